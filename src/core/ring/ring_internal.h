/* The parts of a plan: who takes part, the order of the ring, fair shares, the flow. */
#ifndef RING_INTERNAL_H
#define RING_INTERNAL_H
#include "core/ring/ring.h"

/* Those that may hold something, in the order of their ids: the order given does not
 * matter. From here on a node is its place in this list. */
struct ring_set {
    struct ring_node node[RING_NODES_MAX];
    uint32_t nodes;
    uint32_t zone[RING_NODES_MAX]; /* place of the node's zone among the zones */
    uint32_t zones;
    uint64_t weight; /* of all */
    uint32_t partitions;
    uint32_t replicas; /* not more than nodes */
};

/* Every partition's nodes in the order in which a walk of the ring from its token meets
 * them: order[partition * nodes + k]. */
void ring_walk(const struct ring_set *s, uint16_t *order);

/* What each node must carry at least and at most, and each zone of each partition. */
struct ring_bounds {
    uint32_t low[RING_NODES_MAX], high[RING_NODES_MAX];
    uint8_t zone_low[RING_NODES_MAX], zone_high[RING_NODES_MAX];
};
/* The fair share rounded down and up. */
void ring_share(const struct ring_set *s, struct ring_bounds *out);

/* Which of a row's cells are on. A row is a partition; a cell, one node that could carry
 * it. `want` cells of each row must be on, within the bounds. */
enum {
    RING_ON = 1,   /* chosen */
    RING_KEPT = 2, /* it costs one to turn this off; before the run it is on */
    RING_LAST = 4, /* given away after others of its node */
};
struct ring_flow {
    uint32_t rows, width, nodes, zones;
    uint32_t want;        /* cells on in a row */
    const uint16_t *node; /* [row * width + k], in the order of preference */
    const uint32_t *zone; /* [node] */
    uint8_t *cell;        /* [row * width + k] */
    struct ring_bounds bounds;
};
/* Meet the bounds at the least cost, near to what is on already. False: that cannot be,
 * and cells are what was tried. */
MUST_USE bool ring_flow_run(struct ring_flow *f);

/* Who leads what, among rows[partition * replicas + i], nodes in the order of preference.
 * leader[partition]: in, who leads now, RING_NODES_MAX for nobody; out, who will. */
void ring_lead(const struct ring_set *s, const uint16_t *rows, uint32_t *leader);
#endif
