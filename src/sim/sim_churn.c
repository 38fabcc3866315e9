#include "sim/sim_churn.h"

#include "sim/sim_world.h"

/* What the product promises itself, restated here (node_move.c, node_member.c). */
enum {
    STEP_US = 2000000, /* a replica is taken in or let go, one after the other */
    WAIT_US = 5000000, /* a map must be a second old, a leaderless voter asks after two */
};

void sim_churn_free(struct sim_churn *c)
{
    wire_map_free(&c->map);
}

bool sim_churn_began(const struct sim_world *w)
{
    return w->churn.map.partitions > 0;
}

static int position_of(const struct wire_map *m, uint32_t host)
{
    char addr[NODE_ADDR_MAX];

    sim_host_peer_addr(host, addr);
    for (uint32_t i = 0; i < m->member_count; i++) {
        if (strcmp(m->members[i].peer_addr, addr) == 0) {
            return (int)i;
        }
    }
    return -1;
}

uint32_t sim_churn_wanted(const struct sim_world *w, uint32_t part)
{
    const uint8_t *row;

    if (!sim_churn_began(w)) {
        return w->opt.replicas < w->opt.hosts ? w->opt.replicas : w->opt.hosts;
    }
    return wire_map_row(&w->churn.map, part, &row);
}

bool sim_churn_places(const struct sim_world *w, uint32_t part, uint32_t host)
{
    int pos = position_of(&w->churn.map, host);

    return pos >= 0 && wire_map_places(&w->churn.map, part, (uint32_t)pos);
}

uint64_t sim_churn_bound_us(const struct sim_world *w)
{
    return sim_churn_began(w) ? WAIT_US + (uint64_t)w->opt.partitions * w->opt.replicas * STEP_US
                              : 0;
}

/* --- deciding --- */

static const struct wire_map *newest(const struct sim_world *w)
{
    if (sim_churn_began(w)) {
        return &w->churn.map;
    }
    for (uint32_t i = 0; i < w->opt.hosts; i++) {
        if (w->hosts[i].node != NULL && node_partition_count(w->hosts[i].node) > 0) {
            return node_map(w->hosts[i].node);
        }
    }
    return NULL;
}

/* So many members, in any order, the first to lead. */
static void draw_row(struct sim_world *w, struct wire_map *m, uint32_t part)
{
    uint8_t all[WIRE_MEMBERS_MAX], *row = &m->placement[(size_t)part * m->replicas];
    uint32_t most = m->replicas < m->member_count ? m->replicas : m->member_count;
    uint32_t count = prng_chance(&w->rng, 1, 2) ? most : (uint32_t)prng_between(&w->rng, 1, most);

    for (uint32_t i = 0; i < m->member_count; i++) {
        all[i] = (uint8_t)i;
    }
    for (uint32_t r = 0; r < m->replicas; r++) {
        uint64_t other = r + prng_below(&w->rng, r < m->member_count ? m->member_count - r : 1);

        row[r] = WIRE_NOBODY;
        if (r < count) {
            row[r] = all[other];
            all[other] = all[r];
        }
    }
}

/* The same members at other positions. */
static void swap_members(struct sim_world *w, struct wire_map *m)
{
    uint8_t a = (uint8_t)prng_below(&w->rng, m->member_count);
    uint8_t b = (uint8_t)prng_below(&w->rng, m->member_count);
    struct wire_member was = m->members[a];

    m->members[a] = m->members[b];
    m->members[b] = was;
    for (size_t i = 0; i < (size_t)m->partitions * m->replicas; i++) {
        uint8_t at = m->placement[i];

        m->placement[i] = at == a ? b : at == b ? a : at;
    }
}

static void tell(const struct sim_world *w)
{
    struct buf text = {0};

    for (uint32_t part = 0; part < w->churn.map.partitions; part++) {
        buf_printf(&text, " p%u:", part);
        for (uint32_t i = 0; i < w->opt.hosts; i++) {
            if (sim_churn_places(w, part, i)) {
                buf_printf(&text, "n%u", i);
            }
        }
    }
    sim_say(w, SIM_LOG_SHORT, "map %lu is decided:%.*s", w->churn.map.epoch, (int)text.len,
            (const char *)text.data);
    buf_free(&text);
}

static void decide(struct sim_world *w)
{
    const struct wire_map *from = newest(w);
    struct wire_map next;
    uint64_t way = prng_below(&w->rng, 4);

    if (from == NULL) {
        return;
    }
    wire_map_copy(&next, from);
    next.epoch++;
    for (uint32_t part = 0; part < next.partitions; part++) {
        if (prng_chance(&w->rng, 1, 2)) {
            draw_row(w, &next, part);
        }
    }
    if (prng_chance(&w->rng, 1, 4)) {
        swap_members(w, &next);
    }
    sim_churn_free(&w->churn);
    w->churn.map = next;
    for (uint32_t i = 0; i < w->opt.hosts; i++) {
        uint64_t most = way == 0   ? 1000
                        : way == 1 ? w->opt.fault_long_us
                                   : (uint64_t)1 << prng_between(&w->rng, 10, 22);

        w->churn.due_us[i] = w->now_us + prng_below(&w->rng, most);
    }
    sim_trace(w, 0xc4a6, next.epoch);
    tell(w);
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
    if (prng_chance(&w->rng, 1, 3)) { /* and another, while that one is being followed */
        sim_in(w, prng_between(&w->rng, 1000, 3000000), again_event, w->fault_now, 0);
    }
}

/* --- giving --- */

void sim_churn_feed(struct sim_world *w, struct sim_host *h)
{
    struct wire_map copy;

    if (!sim_churn_began(w) || w->now_us < w->churn.due_us[h->id] ||
        node_partition_count(h->node) == 0 || node_map(h->node)->epoch >= w->churn.map.epoch) {
        return;
    }
    wire_map_copy(&copy, &w->churn.map);
    node_map_take(h->node, copy);
}

void sim_churn_heal(struct sim_world *w)
{
    memset(w->churn.due_us, 0, sizeof w->churn.due_us);
}
