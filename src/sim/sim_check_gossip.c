#include "sim/sim_check_gossip.h"

#include "sim/sim_world.h"

void sim_check_gossip_started(struct sim_world *w, struct sim_host *h)
{
    struct sim_gossip_check *c = &w->gossip;

    memset(c->seen[h->id], 0, sizeof c->seen[h->id]);
    c->spoke[h->id] = false;
    c->stamp[h->id] = 0;
}

static struct sim_gossip_id *id_find(struct sim_gossip_check *c, const struct swim_id *id)
{
    for (uint32_t i = 0; i < c->id_count; i++) {
        if (swim_id_eq(&c->ids[i].id, id)) {
            return &c->ids[i];
        }
    }
    return NULL;
}

/* What the node says of itself. NULL: nothing yet, or there were too many ids. */
static struct sim_gossip_id *own(struct sim_world *w, struct sim_host *h, struct swim_record *r)
{
    struct sim_gossip_check *c = &w->gossip;
    struct swim_id id = node_swim_id(h->node);
    struct sim_gossip_id *known = id_find(c, &id);

    if (known == NULL && c->id_count == SIM_IDS_MAX) {
        c->overflow = true;
        return NULL;
    }
    if (known == NULL) {
        known = &c->ids[c->id_count++];
        *known = (struct sim_gossip_id){.id = id, .host = h->id};
    }
    CHECK(swim_find(node_swim(h->node), &id, r));
    return known;
}

static void look_at_self(struct sim_world *w, struct sim_host *h)
{
    struct sim_gossip_check *c = &w->gossip;
    struct swim_record r;
    struct sim_gossip_id *id = own(w, h, &r);

    if (id == NULL || r.incarnation == 0) {
        return;
    }
    if (id->host != h->id) {
        sim_found(w, "n%u and n%u have one id", h->id, id->host);
    }
    /* A disk that lost what was written, or lies about it, may have lost this too. */
    if (!c->spoke[h->id] && r.incarnation <= id->said && !h->damaged) {
        sim_found(w, "n%u begins at incarnation %lu, and has said %lu before it was started anew",
                  h->id, r.incarnation, id->said);
    }
    c->spoke[h->id] = true;
    id->said = r.incarnation > id->said ? r.incarnation : id->said;
}

static void look_at(struct sim_world *w, struct sim_host *h, const struct swim_record *r)
{
    struct sim_gossip_check *c = &w->gossip;
    struct sim_gossip_id *id = id_find(c, &r->id);
    struct sim_gossip_seen *seen;

    if (id == NULL) {
        sim_found(w, "n%u lists a member that never was", h->id);
        return;
    }
    if (r->incarnation > id->said) {
        sim_found(w, "n%u holds incarnation %lu of n%u, which never had more than %lu", h->id,
                  r->incarnation, id->host, id->said);
    }
    seen = &c->seen[h->id][id - c->ids];
    if (r->incarnation < seen->incarnation ||
        (r->incarnation == seen->incarnation && r->state < seen->state)) {
        sim_found(w, "n%u holds n%u %s at incarnation %lu, after it held it %s at %lu", h->id,
                  id->host, swim_state_name(r->state), r->incarnation, swim_state_name(seen->state),
                  seen->incarnation);
    }
    *seen = (struct sim_gossip_seen){r->incarnation, r->state};
}

/* Of states and incarnations: a view that has not changed is not looked at again. */
static uint64_t stamp_of(const struct swim *s)
{
    uint64_t stamp = swim_digest(s) + 1;

    for (unsigned state = 0; state < SWIM_STATES; state++) {
        stamp = hash64_mix(stamp, swim_count(s, (enum swim_state)state));
    }
    return stamp;
}

void sim_check_gossip_turn(struct sim_world *w, struct sim_host *h)
{
    const struct swim *s = node_swim(h->node);
    struct sim_gossip_check *c = &w->gossip;
    struct swim_record r;
    uint32_t pos = 0;
    uint64_t stamp;

    if (s == NULL || c->overflow || (stamp = stamp_of(s)) == c->stamp[h->id]) {
        return;
    }
    c->stamp[h->id] = stamp;
    swim_check(s);
    look_at_self(w, h);
    while (!c->overflow && swim_each(s, &pos, &r)) {
        if (r.incarnation > 0) {
            look_at(w, h, &r);
        }
    }
}

static bool holds(struct sim_world *w, uint32_t at, uint32_t about, struct diag *why)
{
    struct swim_id id = node_swim_id(w->hosts[about].node);
    struct swim_record r = {.state = SWIM_UNKNOWN}, self = {0};

    (void)swim_find(node_swim(w->hosts[about].node), &id, &self);
    if (!swim_find(node_swim(w->hosts[at].node), &id, &r) || r.state != SWIM_ALIVE ||
        r.incarnation != self.incarnation) {
        diag_set(why, "n%u holds n%u %s at incarnation %lu; it is at %lu", at, about,
                 swim_state_name(r.state), r.incarnation, self.incarnation);
        return false;
    }
    return true;
}

bool sim_check_gossip_agrees(struct sim_world *w, struct diag *why)
{
    for (uint32_t i = 0; i < w->opt.hosts && w->opt.gossip; i++) {
        if (w->hosts[i].node == NULL || node_swim(w->hosts[i].node) == NULL) {
            diag_set(why, "n%u does not gossip", i);
            return false;
        }
    }
    for (uint32_t i = 0; i < w->opt.hosts && w->opt.gossip; i++) {
        const struct swim *s = node_swim(w->hosts[i].node);

        for (uint32_t k = 0; k < w->opt.hosts; k++) {
            if (!holds(w, i, k, why)) {
                return false;
            }
        }
        if (swim_count(s, SWIM_ALIVE) + swim_count(s, SWIM_SUSPECT) != w->opt.hosts) {
            diag_set(why, "n%u holds somebody alive who is no more", i);
            return false;
        }
    }
    return true;
}

/* Links come up; who is held dead is tried, or tries somebody; who is accused for its streams
 * proves them; and an accusation on its way may begin all that once more. */
uint64_t sim_check_gossip_bound_us(const struct sim_world *w)
{
    return sim_live_heal_bound_us(w) + 60 * w->opt.gossip_probe_us;
}
