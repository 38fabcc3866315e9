/* Who leads what: as even by weight as the replicas allow, changing as few as possible. */
#include "base/base_mem.h"
#include "core/ring/ring_internal.h"

#include <string.h>

enum { NOBODY = RING_NODES_MAX };

struct leads {
    const struct ring_set *set;
    const uint16_t *rows;
    const uint32_t *leader;
    struct ring_bounds tight; /* shares by weight */
    struct ring_bounds loose; /* what can always be met: an equal part of each node's replicas */
    struct ring_flow flow;
};

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t most(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static void make_bounds(struct leads *l)
{
    const struct ring_set *s = l->set;
    uint32_t load[RING_NODES_MAX] = {0};

    for (uint32_t c = 0; c < s->partitions * s->replicas; c++) {
        load[l->rows[c]]++;
    }
    l->tight.zone_low[0] = l->tight.zone_high[0] = 1;
    l->loose = l->tight;
    for (uint32_t i = 0; i < s->nodes; i++) {
        uint64_t share = (uint64_t)s->partitions * s->node[i].weight;

        l->tight.low[i] = (uint32_t)(share / s->weight);
        l->tight.high[i] = (uint32_t)((share + s->weight - 1) / s->weight);
        l->loose.low[i] = least(l->tight.low[i], load[i] / s->replicas);
        l->loose.high[i] = most(l->tight.high[i], (load[i] + s->replicas - 1) / s->replicas);
    }
}

/* Kept leaders, and where there is none, the first in the order of preference who may. */
static void start(struct leads *l)
{
    const struct ring_set *s = l->set;
    uint32_t count[RING_NODES_MAX] = {0};

    memset(l->flow.cell, 0, (size_t)s->partitions * s->replicas);
    for (uint32_t c = 0; c < s->partitions * s->replicas; c++) {
        if (l->rows[c] == l->leader[c / s->replicas]) {
            l->flow.cell[c] = RING_ON | RING_KEPT;
            count[l->rows[c]]++;
        }
    }
    for (uint32_t p = 0; p < s->partitions; p++) {
        uint32_t first = p * s->replicas, c = first;

        if (l->leader[p] != NOBODY) {
            continue;
        }
        while (c < first + s->replicas && count[l->rows[c]] >= l->flow.bounds.high[l->rows[c]]) {
            c++;
        }
        c = c == first + s->replicas ? first : c;
        l->flow.cell[c] = RING_ON;
        count[l->rows[c]]++;
    }
}

/* So many more than the share, or fewer, where that helps. */
static MUST_USE bool try_with(struct leads *l, uint32_t slack)
{
    struct ring_bounds *b = &l->flow.bounds;

    *b = l->tight;
    for (uint32_t i = 0; i < l->set->nodes; i++) {
        b->low[i] = most(l->loose.low[i], b->low[i] - least(b->low[i], slack));
        b->high[i] = least(l->loose.high[i], b->high[i] + slack);
    }
    start(l);
    return ring_flow_run(&l->flow);
}

void ring_lead(const struct ring_set *s, const uint16_t *rows, uint32_t *leader)
{
    static const uint32_t one_zone[RING_NODES_MAX];
    struct leads l = {.set = s, .rows = rows, .leader = leader};
    uint32_t low = 0, high = s->partitions; /* slack: too little below low, enough at high */

    l.flow = (struct ring_flow){.rows = s->partitions,
                                .width = s->replicas,
                                .nodes = s->nodes,
                                .zones = 1,
                                .want = 1,
                                .node = rows,
                                .zone = one_zone};
    l.flow.cell = mem_alloc((size_t)s->partitions * s->replicas);
    make_bounds(&l);
    if (!try_with(&l, 0)) {
        low = 1;
        while (low < high) {
            uint32_t middle = low + (high - low) / 2;

            if (try_with(&l, middle)) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        if (!try_with(&l, low)) {
            UNREACHABLE("everybody can lead an equal part of its replicas");
        }
    }
    for (uint32_t c = 0; c < s->partitions * s->replicas; c++) {
        if ((l.flow.cell[c] & RING_ON) != 0) {
            leader[c / s->replicas] = rows[c];
        }
    }
    mem_free(l.flow.cell);
}
