#include "sim/sim_churn.h"

#include "sim/sim_world.h"

/* What the product promises itself, restated here (node_move.c, node_member.c). */
enum {
    STEP_US = 2000000, /* a replica is taken in or let go, one after the other */
    WAIT_US = 5000000, /* a map must be a second old, a leaderless voter asks after two */
    LATE_US = 5000000, /* a change may be decided so long after it was asked for */
};

bool sim_churn_began(const struct sim_world *w)
{
    return w->churn.asked > 0;
}

uint32_t sim_churn_wanted(const struct sim_world *w, uint32_t part, uint32_t host)
{
    const struct wire_map *m = node_map(w->hosts[host].node);
    const uint8_t *row;

    return m->partitions == 0 ? 0 : wire_map_row(m, part, &row);
}

bool sim_churn_places(const struct sim_world *w, uint32_t part, uint32_t host)
{
    const struct wire_map *m = node_map(w->hosts[host].node);
    char addr[NODE_ADDR_MAX];

    sim_host_peer_addr(host, addr);
    for (uint32_t i = 0; i < m->member_count; i++) {
        if (strcmp(m->members[i].peer_addr, addr) == 0) {
            return wire_map_places(m, part, i);
        }
    }
    return false;
}

uint64_t sim_churn_bound_us(const struct sim_world *w)
{
    uint64_t steps = (uint64_t)w->opt.partitions * w->opt.hosts;

    return sim_churn_began(w) ? LATE_US + WAIT_US + steps * STEP_US : 0;
}

/* --- asking --- */

static struct node_change draw_change(struct sim_world *w, const struct wire_map *m)
{
    static const enum node_change_kind kinds[] = {
        NODE_CHANGE_DRAIN, NODE_CHANGE_RETURN,    NODE_CHANGE_RETURN,   NODE_CHANGE_WEIGH,
        NODE_CHANGE_ZONE,  NODE_CHANGE_REBALANCE, NODE_CHANGE_REPLICAS, NODE_CHANGE_REPLICAS};
    struct node_change c = {.kind = kinds[prng_below(&w->rng, ARRAY_COUNT(kinds))],
                            .member = m->members[prng_below(&w->rng, m->member_count)]};

    c.replicas = (uint32_t)prng_between(&w->rng, 1, m->member_count);
    if (c.kind == NODE_CHANGE_WEIGH) {
        c.member.weight = (uint8_t)(1U << prng_below(&w->rng, 5));
    } else if (c.kind == NODE_CHANGE_ZONE) {
        c.member.zone = (uint32_t)prng_below(&w->rng, 3);
    }
    return c;
}

static void decide(struct sim_world *w)
{
    uint32_t at = (uint32_t)prng_below(&w->rng, w->opt.hosts);
    const struct sim_host *h = &w->hosts[at];
    char text[80];

    if (h->node == NULL || node_partition_count(h->node) == 0) {
        return;
    }
    w->churn.change[at] = draw_change(w, node_map(h->node));
    w->churn.waits[at] = true;
    w->churn.asked++;
    node_mapchange_text(&w->churn.change[at], text);
    sim_trace(w, 0xc4a6, w->churn.asked);
    sim_say(w, SIM_LOG_SHORT, "n%u is asked for a new map: %s", at, text);
}

static void again_event(struct sim_world *w, uint64_t name, uint64_t unused)
{
    (void)unused;
    if (sim_faults_on(w)) {
        w->rng = sim_dice(w, SIM_FOR_FAULT, name ^ 0xa6a1ULL << 48);
        decide(w);
    }
}

void sim_churn_some(struct sim_world *w)
{
    decide(w);
    if (prng_chance(&w->rng, 1, 2)) { /* and another, while that one is being followed */
        sim_in(w, prng_between(&w->rng, 1000, 3000000), again_event, w->fault_now, 0);
    }
}

void sim_churn_feed(struct sim_world *w, struct sim_host *h)
{
    if (w->churn.waits[h->id]) {
        w->churn.waits[h->id] = false;
        (void)!node_want(h->node, &w->churn.change[h->id]);
    }
}
