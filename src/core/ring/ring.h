/* ring.h - consistent hashing with virtual nodes, zones and bounded load.
 *
 * A pure function from members to placement: same members in any order, same
 * answer. Nodes own vnodes in proportion to their weight. A partition's replicas
 * are found by walking the ring from the partition's token, skipping nodes whose
 * zone is already used (while enough zones are left) and nodes that already
 * carry more than (1 + epsilon) of the average load.
 *
 * Source: Karger et al. 1997 (consistent hashing); Mirrokni, Thorup,
 * Zadimoghaddam 2016 (bounded loads); Dynamo 2007, s6.2 (partitions and tokens).
 */
#ifndef RING_H
#define RING_H
#include "base/base.h"

enum {
    RING_NODES_MAX = 256,
    RING_REPLICAS_MAX = 7,
    RING_WEIGHT_MAX = 64,
    RING_VNODES_PER_WEIGHT = 64, /* vnodes of a node of weight 1 */
    RING_EPSILON_PERCENT = 10,   /* allowed load above the share, but one replica at least */
};
struct ring_node {
    uint64_t id;     /* 0 is not a node */
    uint32_t weight; /* capacity, 1 to RING_WEIGHT_MAX */
    uint32_t zone;   /* failure domain; equal numbers share one */
};
struct ring_placement {
    uint8_t count;
    uint64_t replica[RING_REPLICAS_MAX]; /* preferred leader first */
};
/* Fill out[0..partitions), which the caller owns. replicas is cut to the number of
 * nodes. Where there are fewer zones than replicas, zones get them evenly. Zones come
 * before the load bound: a node that is alone in its zone may carry more.
 *
 * Leaders (replica[0]) are evened out after the replicas: with equal weights every
 * node leads its share rounded down or up; in general none leads more than its share
 * rounded up, unless weights and zones leave no other way.
 *
 * ERR_BAD_ARGUMENT: no nodes, too many, a zero or double id, a weight out of range,
 * partitions not a power of two up to 16384, replicas not 1 to RING_REPLICAS_MAX. */
MUST_USE enum err ring_place(const struct ring_node *nodes, uint32_t node_count,
                             uint32_t partitions, uint32_t replicas, struct ring_placement *out,
                             struct diag *why);
#endif
