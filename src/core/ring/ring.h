/* ring.h - consistent hashing with virtual nodes, zones and bounded load, and the
 * smallest change from one placement to the next.
 *
 * Pure functions: same members in any order, same present placement, same answer.
 * Nodes own vnodes in proportion to their weight. A partition's replicas are found by
 * walking the ring from the partition's token, past nodes whose zone has enough and
 * nodes that are full. What such a walk cannot do (give everybody a fair share, and keep
 * what is there when members change) a flow of least cost does: see ring_replan.
 *
 * Fair: no node has two replicas of a partition; each partition's replicas are spread over
 * zones as evenly as their nodes allow; within that, load follows weight. A node's share is
 * a fraction; it gets that rounded down or up, always.
 *
 * Source: Karger et al. 1997 (consistent hashing); Mirrokni, Thorup,
 * Zadimoghaddam 2016 (bounded loads); Dynamo 2007, s6.2 (partitions and tokens);
 * Ahuja, Magnanti, Orlin, Network Flows (1993), s9.7 (successive shortest paths).
 */
#ifndef RING_H
#define RING_H
#include "base/base.h"

enum {
    RING_NODES_MAX = 256,
    RING_REPLICAS_MAX = 7,
    RING_WEIGHT_MAX = 64,
    RING_VNODES_PER_WEIGHT = 64, /* vnodes of a node of weight 1 */
};
struct ring_node {
    uint64_t id;     /* 0 is not a node */
    uint32_t weight; /* capacity, 1 to RING_WEIGHT_MAX */
    uint32_t zone;   /* failure domain; equal numbers share one */
    bool draining;   /* gets nothing, gives all away */
};
/* A row of a placement. */
struct ring_placement {
    uint8_t count;
    uint64_t replica[RING_REPLICAS_MAX]; /* preferred leader first; from count on all 0 */
};
/* What is to be placed, on whom. */
struct ring_wish {
    const struct ring_node *node; /* in any order */
    uint32_t nodes;
    uint32_t partitions;
    uint32_t replicas; /* of each partition; fewer where there are not so many nodes */
};
/* Fill out[0..partitions), which the caller owns and which may be `present` itself, with a
 * placement that is fair, at the least movement from the present one.
 *
 * present  partitions rows, or NULL: nothing is placed yet. Rows may have holes (id 0),
 *          too many or too few replicas, and replicas of nodes that are no members.
 *
 * No other fair placement has fewer replicas on nodes that have none of the partition
 * now; so a fair one comes back unchanged. One more node takes over its own share, rounded
 * down or up, and nothing else moves; what a node held that leaves goes to others, and
 * nothing else moves; docs/protocol/placement.md has the proof, and says for which corners
 * it holds less tightly. Among equals the ring decides.
 *
 * Leaders (replica[0]) are evened out by weight after the replicas: everybody leads its
 * share rounded down or up, or as little beside that as its replicas allow. Of all ways
 * to do that one is taken that changes the fewest leaders.
 *
 * ERR_BAD_ARGUMENT: no nodes that may hold something, too many, a zero or double id, a
 * weight out of range, partitions not a power of two up to 16384, replicas not 1 to
 * RING_REPLICAS_MAX. */
MUST_USE enum err ring_replan(const struct ring_wish *wish, const struct ring_placement *present,
                              struct ring_placement *out, struct diag *why);

/* Replicas of `after` that are on nodes which have none of the partition in `before`. */
uint64_t ring_moves(const struct ring_placement *before, const struct ring_placement *after,
                    uint32_t partitions);
#endif
