/* The ring: points of nodes, tokens of partitions, and whom a walk meets. */
#include "base/base_hash.h"
#include "base/base_mem.h"
#include "core/ring/ring_internal.h"

#include <stdlib.h>

/* A walk that has passed so many points for each node has met all who weigh enough to be
 * met; the rest follow in the order of their ids. */
enum { STEPS_PER_NODE = 32 };

/* One vnode: a point on the ring and its owner. */
struct point {
    uint64_t at;
    uint32_t node;
};

/* Two vnodes on one point is a 2^-64 matter, but the order must not depend on qsort. */
static int by_point(const void *a, const void *b)
{
    const struct point *x = a, *y = b;

    if (x->at != y->at) {
        return x->at < y->at ? -1 : 1;
    }
    return (x->node > y->node) - (x->node < y->node);
}

static uint64_t hash_of_pair(uint64_t a, uint64_t b)
{
    uint8_t bytes[16];

    store_u64le(bytes, a);
    store_u64le(bytes + 8, b);
    return hash64(bytes, sizeof bytes);
}

/* Partitions have points of their own; 0 is not a node, so no vnode has the same. */
static uint64_t token_of(uint32_t partition)
{
    return hash_of_pair(0, partition);
}

static struct point *make_points(const struct ring_set *s, uint32_t *points)
{
    struct point *point;
    uint32_t count = 0;

    *points = (uint32_t)(s->weight * RING_VNODES_PER_WEIGHT);
    point = mem_alloc(*points * sizeof point[0]);
    for (uint32_t i = 0; i < s->nodes; i++) {
        for (uint32_t v = 0; v < s->node[i].weight * RING_VNODES_PER_WEIGHT; v++) {
            point[count++] = (struct point){hash_of_pair(s->node[i].id, v), i};
        }
    }
    CHECK(count == *points);
    qsort(point, *points, sizeof point[0], by_point);
    return point;
}

/* The first vnode at or after a token; the ring is round. */
static uint32_t first_point(const struct point *point, uint32_t points, uint64_t token)
{
    uint32_t low = 0, high = points;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (point[middle].at < token) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low == points ? 0 : low;
}

void ring_walk(const struct ring_set *s, uint16_t *order)
{
    uint32_t points;
    struct point *point = make_points(s, &points);
    uint32_t steps = points < STEPS_PER_NODE * s->nodes ? points : STEPS_PER_NODE * s->nodes;

    for (uint32_t p = 0; p < s->partitions; p++) {
        uint16_t *row = &order[(size_t)p * s->nodes];
        uint32_t at = first_point(point, points, token_of(p)), met = 0;
        bool seen[RING_NODES_MAX] = {false};

        for (uint32_t i = 0; i < steps + s->nodes && met < s->nodes; i++) {
            uint32_t node = i < steps ? point[at].node : i - steps;

            at = at + 1 == points ? 0 : at + 1;
            if (!seen[node]) {
                seen[node] = true;
                row[met++] = (uint16_t)node;
            }
        }
        CHECK(met == s->nodes);
    }
    mem_free(point);
}
