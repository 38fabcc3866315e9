#include "sim/sim_check_map.h"

#include "sim/sim_world.h"

static_assert((int)SIM_MAP_HOSTS_MAX == (int)SIM_HOSTS_MAX, "a place for each");

void sim_check_map_started(struct sim_world *w, struct sim_host *h)
{
    w->map.epoch[h->id] = 0;
    w->map.self[h->id] = 0;
}

static void judge(struct sim_world *w, struct sim_host *h, const struct node_map_view *v)
{
    struct sim_map_check *c = &w->map;

    if (v->epoch == 0 || v->epoch >= SIM_EPOCHS_MAX) {
        sim_found(w, "n%u has a map of epoch %lu", h->id, v->epoch);
        return;
    }
    if (v->epoch < c->epoch[h->id]) {
        sim_found(w, "n%u went back from map %lu to map %lu", h->id, c->epoch[h->id], v->epoch);
        return;
    }
    if (c->digest[v->epoch] == 0) {
        c->digest[v->epoch] = v->digest | 1;
        c->newest = v->epoch > c->newest ? v->epoch : c->newest;
        sim_say(w, SIM_LOG_SHORT,
                "map %lu is decided: %u members, %u acceptors; n%u is the first "
                "to know",
                v->epoch, v->members, v->acceptors, h->id);
        SOMETIMES(v->epoch > 2, "sim_check_map: a map after the second");
    } else if (c->digest[v->epoch] != (v->digest | 1)) {
        sim_found(w, "two maps of epoch %lu: n%u has another one", v->epoch, h->id);
        return;
    }
    c->epoch[h->id] = v->epoch;
}

void sim_check_map_turn(struct sim_world *w, struct sim_host *h)
{
    struct sim_map_check *c = &w->map;
    struct node_map_view v;

    if (!node_map_view(h->node, &v) || (v.epoch == c->epoch[h->id] && v.self == c->self[h->id] &&
                                        c->digest[v.epoch] == (v.digest | 1))) {
        return;
    }
    c->self[h->id] = v.self;
    judge(w, h, &v);
}

bool sim_check_map_converged(struct sim_world *w, struct diag *why)
{
    for (uint32_t i = 0; i < w->opt.hosts; i++) {
        struct node_map_view v;

        if (sim_host_up(&w->hosts[i]) && node_map_view(w->hosts[i].node, &v) &&
            v.epoch < w->map.newest) {
            diag_set(why, "n%u has map %lu, and %lu is decided", i, v.epoch, w->map.newest);
            return false;
        }
        /* Until then one acceptor has forgotten, and no other may: of three that would be the
         * majority, and the map could never change again (seed 4154). */
        if (sim_host_up(&w->hosts[i]) && w->map.newest > 0 &&
            !node_map_has_self(w->hosts[i].node)) {
            diag_set(why, "n%u is not in map %lu under its present id", i, w->map.newest);
            return false;
        }
    }
    return true;
}
