#include "core/ring/ring.h"

#include "base/base_hash.h"
#include "base/base_mem.h"

#include <stdlib.h>

enum {
    NOBODY = RING_NODES_MAX,  /* no node; also the end of a path */
    NO_PARTITION = UINT32_MAX /* the end of a list of partitions */
};

/* One vnode: a point on the ring and the place of its owner among the members in
 * the order of their ids. */
struct point {
    uint64_t at;
    uint32_t node;
};

struct ring {
    struct ring_node node[RING_NODES_MAX]; /* ordered by id: their order given does not matter */
    uint32_t nodes;
    uint32_t zone[RING_NODES_MAX]; /* place of the node's zone among the zones */
    uint32_t zones;
    uint64_t weight; /* of all */
    uint32_t partitions, replicas;
    struct point *point; /* ordered */
    uint32_t points;
    uint32_t load[RING_NODES_MAX]; /* replicas carried so far */
    uint32_t load_max[RING_NODES_MAX];
};

/* The replicas of one partition while they are being chosen. */
struct choice {
    bool taken[RING_NODES_MAX];
    uint32_t zone_taken[RING_NODES_MAX];
    uint32_t zone_level; /* a zone with more replicas than this has to wait */
};

static int by_id(const void *a, const void *b)
{
    uint64_t x = ((const struct ring_node *)a)->id, y = ((const struct ring_node *)b)->id;

    return (x > y) - (x < y);
}

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

static MUST_USE enum err judge(const struct ring *r, struct diag *why)
{
    for (uint32_t i = 0; i < r->nodes; i++) {
        const struct ring_node *n = &r->node[i];

        if (n->id == 0) {
            diag_set(why, "a node has the id 0");
            return ERR_BAD_ARGUMENT;
        }
        if (i > 0 && n->id == n[-1].id) {
            diag_set(why, "node %016lx is listed twice", (unsigned long)n->id);
            return ERR_BAD_ARGUMENT;
        }
        if (n->weight == 0 || n->weight > RING_WEIGHT_MAX) {
            diag_set(why, "node %016lx has the weight %u; it must be 1 to %d", (unsigned long)n->id,
                     n->weight, RING_WEIGHT_MAX);
            return ERR_BAD_ARGUMENT;
        }
    }
    return ERR_OK;
}

static void number_zones(struct ring *r)
{
    for (uint32_t i = 0; i < r->nodes; i++) {
        uint32_t twin = 0;

        while (r->node[twin].zone != r->node[i].zone) {
            twin++;
        }
        r->zone[i] = twin == i ? r->zones++ : r->zone[twin];
    }
    CHECK(r->zones <= r->nodes);
}

static void make_points(struct ring *r)
{
    uint32_t count = 0;

    r->points = (uint32_t)(r->weight * RING_VNODES_PER_WEIGHT);
    r->point = mem_alloc(r->points * sizeof r->point[0]);
    for (uint32_t i = 0; i < r->nodes; i++) {
        for (uint32_t v = 0; v < r->node[i].weight * RING_VNODES_PER_WEIGHT; v++) {
            r->point[count++] = (struct point){hash_of_pair(r->node[i].id, v), i};
        }
    }
    CHECK(count == r->points);
    qsort(r->point, r->points, sizeof r->point[0], by_point);
}

/* The node's part of a total by its weight, rounded up. */
static uint32_t share_up(const struct ring *r, uint32_t node, uint64_t total)
{
    return (uint32_t)((total * r->node[node].weight + r->weight - 1) / r->weight);
}

/* (1 + epsilon) of the share rounded down, but the share rounded up at least: with few
 * partitions for a node, rounding up the former would leave others with nothing. */
static void bound_loads(struct ring *r)
{
    uint64_t total = (uint64_t)r->partitions * r->replicas;

    for (uint32_t i = 0; i < r->nodes; i++) {
        uint64_t over = total * r->node[i].weight * (100 + RING_EPSILON_PERCENT);
        uint32_t share = share_up(r, i, total);

        r->load_max[i] = (uint32_t)(over / (r->weight * 100));
        if (r->load_max[i] < share) {
            r->load_max[i] = share;
        }
    }
}

/* The first vnode at or after a token; the ring is round. */
static uint32_t first_point(const struct ring *r, uint64_t token)
{
    uint32_t low = 0, high = r->points;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (r->point[middle].at < token) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low == r->points ? 0 : low;
}

/* Replicas go to zones evenly: with enough zones each to its own, else the second
 * round begins only when every zone that has a node left has had its first. */
static void raise_zone_level(const struct ring *r, struct choice *c)
{
    uint32_t lowest = UINT32_MAX;

    for (uint32_t i = 0; i < r->nodes; i++) {
        if (!c->taken[i] && c->zone_taken[r->zone[i]] < lowest) {
            lowest = c->zone_taken[r->zone[i]];
        }
    }
    CHECK(lowest != UINT32_MAX);
    c->zone_level = lowest;
}

static bool eligible(const struct ring *r, const struct choice *c, uint32_t node)
{
    return !c->taken[node] && c->zone_taken[r->zone[node]] <= c->zone_level;
}

/* The least loaded eligible node for its weight: zones come before the load bound,
 * since a failed zone costs data and a busy node only time. */
static uint32_t least_loaded(const struct ring *r, const struct choice *c)
{
    uint32_t best = NOBODY;

    for (uint32_t i = 0; i < r->nodes; i++) {
        if (!eligible(r, c, i)) {
            continue;
        }
        if (best == NOBODY || (uint64_t)r->load[i] * r->node[best].weight <
                                  (uint64_t)r->load[best] * r->node[i].weight) {
            best = i;
        }
    }
    CHECK(best != NOBODY);
    return best;
}

static uint32_t next_replica(const struct ring *r, const struct choice *c, uint32_t *pos,
                             uint32_t *seen)
{
    while (*seen < r->points) {
        uint32_t node = r->point[*pos].node;

        if (eligible(r, c, node) && r->load[node] < r->load_max[node]) {
            return node;
        }
        *pos = *pos + 1 == r->points ? 0 : *pos + 1;
        ++*seen;
    }
    return least_loaded(r, c);
}

static void choose_replicas(struct ring *r, uint32_t partition, uint32_t *out)
{
    struct choice c = {.zone_level = 0};
    uint32_t start = first_point(r, token_of(partition));
    uint32_t pos = start, seen = 0;

    for (uint32_t i = 0; i < r->replicas; i++) {
        uint32_t level = c.zone_level;

        raise_zone_level(r, &c);
        if (c.zone_level != level) {
            pos = start; /* nodes passed over for their zone are allowed again */
            seen = 0;
        }
        out[i] = next_replica(r, &c, &pos, &seen);
        c.taken[out[i]] = true;
        c.zone_taken[r->zone[out[i]]]++;
        r->load[out[i]]++;
    }
}

/* Who leads what: a flow from partitions to nodes through their replicas. */
struct leads {
    const struct ring *ring;
    const uint32_t *replica;        /* [partition * replicas + i] */
    uint32_t *leader;               /* [partition], NOBODY while it has none */
    uint32_t *next;                 /* [partition]: others of the same leader */
    uint32_t first[RING_NODES_MAX]; /* head of a leader's list */
    uint32_t count[RING_NODES_MAX];
    uint32_t limit[RING_NODES_MAX];
};

static void lead_add(struct leads *l, uint32_t partition, uint32_t node)
{
    l->leader[partition] = node;
    l->next[partition] = l->first[node];
    l->first[node] = partition;
    l->count[node]++;
}

static void lead_remove(struct leads *l, uint32_t partition)
{
    uint32_t node = l->leader[partition];
    uint32_t *link = &l->first[node];

    while (*link != partition) {
        link = &l->next[*link];
    }
    *link = l->next[partition];
    l->leader[partition] = NOBODY;
    l->count[node]--;
}

/* A breadth-first search for a node with room, from the replicas of a partition
 * through partitions whose leader could be another of their replicas. */
struct search {
    uint32_t queue[RING_NODES_MAX];
    uint32_t tail;
    uint32_t via[RING_NODES_MAX]; /* the partition that would move to this node */
    bool seen[RING_NODES_MAX];
};

static uint32_t search_from(const struct leads *l, struct search *s, uint32_t partition)
{
    for (uint32_t i = 0; i < l->ring->replicas; i++) {
        uint32_t node = l->replica[partition * l->ring->replicas + i];

        if (s->seen[node]) {
            continue;
        }
        s->seen[node] = true;
        s->via[node] = partition;
        if (l->count[node] < l->limit[node]) {
            return node;
        }
        s->queue[s->tail++] = node;
    }
    return NOBODY;
}

/* Give the partition a leader, moving others' leaders along the shortest path if
 * need be. False: not within the limits. No node's count ever falls. */
static bool lead_assign(struct leads *l, uint32_t partition)
{
    struct search s = {.tail = 0};
    uint32_t free_node = search_from(l, &s, partition);

    for (uint32_t head = 0; free_node == NOBODY && head < s.tail; head++) {
        uint32_t p = l->first[s.queue[head]];

        while (free_node == NOBODY && p != NO_PARTITION) {
            free_node = search_from(l, &s, p);
            p = l->next[p];
        }
    }
    if (free_node == NOBODY) {
        return false;
    }
    for (;;) { /* each partition of the path moves one node on, the last first */
        uint32_t moved = s.via[free_node];
        uint32_t was = l->leader[moved];

        if (was != NOBODY) {
            lead_remove(l, moved);
        }
        lead_add(l, moved, free_node);
        if (moved == partition) {
            return true;
        }
        free_node = was;
    }
}

static uint32_t assign_all(struct leads *l)
{
    uint32_t missing = 0;

    for (uint32_t p = 0; p < l->ring->partitions; p++) {
        if (l->leader[p] == NOBODY && !lead_assign(l, p)) {
            missing++;
        }
    }
    return missing;
}

/* First everybody's share rounded down, then rounded up; then, where zones or weights
 * make that impossible, one more each until it fits. */
static void choose_leaders(struct leads *l)
{
    const struct ring *r = l->ring;
    uint32_t missing;

    for (uint32_t i = 0; i < r->nodes; i++) {
        l->first[i] = NO_PARTITION;
        l->limit[i] = (uint32_t)((uint64_t)r->partitions * r->node[i].weight / r->weight);
    }
    for (uint32_t p = 0; p < r->partitions; p++) {
        l->leader[p] = NOBODY;
    }
    (void)assign_all(l);
    for (uint32_t i = 0; i < r->nodes; i++) {
        l->limit[i] = share_up(r, i, r->partitions);
    }
    missing = assign_all(l);
    for (uint32_t extra = 0; missing > 0; extra++) {
        CHECK(extra < r->partitions);
        for (uint32_t i = 0; i < r->nodes; i++) {
            l->limit[i]++;
        }
        missing = assign_all(l);
    }
}

static void write_placement(const struct leads *l, uint32_t p, struct ring_placement *out)
{
    const struct ring *r = l->ring;
    uint32_t at = 1;

    *out = (struct ring_placement){.count = (uint8_t)r->replicas};
    out->replica[0] = r->node[l->leader[p]].id;
    for (uint32_t i = 0; i < r->replicas; i++) {
        uint32_t node = l->replica[p * r->replicas + i];

        if (node != l->leader[p]) {
            out->replica[at++] = r->node[node].id;
        }
    }
    CHECK(at == r->replicas);
}

static void place(struct ring *r, struct ring_placement *out)
{
    uint32_t *replica = mem_alloc((size_t)r->partitions * r->replicas * sizeof replica[0]);
    struct leads l = {.ring = r, .replica = replica};

    l.leader = mem_alloc(r->partitions * sizeof l.leader[0]);
    l.next = mem_alloc(r->partitions * sizeof l.next[0]);
    for (uint32_t p = 0; p < r->partitions; p++) {
        choose_replicas(r, p, &replica[p * r->replicas]);
    }
    choose_leaders(&l);
    for (uint32_t p = 0; p < r->partitions; p++) {
        write_placement(&l, p, &out[p]);
    }
    mem_free(replica);
    mem_free(l.leader);
    mem_free(l.next);
}

enum err ring_place(const struct ring_node *nodes, uint32_t node_count, uint32_t partitions,
                    uint32_t replicas, struct ring_placement *out, struct diag *why)
{
    struct ring r = {.nodes = node_count, .partitions = partitions, .replicas = replicas};
    enum err err;

    if (node_count == 0 || node_count > RING_NODES_MAX) {
        diag_set(why, "%u nodes; a ring has 1 to %d", node_count, RING_NODES_MAX);
        return ERR_BAD_ARGUMENT;
    }
    if (partitions == 0 || (partitions & (partitions - 1)) != 0 || partitions > HASHSLOT_COUNT) {
        diag_set(why, "%u partitions; it must be a power of two up to %d", partitions,
                 HASHSLOT_COUNT);
        return ERR_BAD_ARGUMENT;
    }
    if (replicas == 0 || replicas > RING_REPLICAS_MAX) {
        diag_set(why, "%u replicas; it must be 1 to %d", replicas, RING_REPLICAS_MAX);
        return ERR_BAD_ARGUMENT;
    }
    r.replicas = replicas < node_count ? replicas : node_count;
    memcpy(r.node, nodes, node_count * sizeof nodes[0]);
    qsort(r.node, r.nodes, sizeof r.node[0], by_id);
    err = judge(&r, why);
    if (err != ERR_OK) {
        return err;
    }
    for (uint32_t i = 0; i < r.nodes; i++) {
        r.weight += r.node[i].weight;
    }
    number_zones(&r);
    make_points(&r);
    bound_loads(&r);
    place(&r, out);
    mem_free(r.point);
    return ERR_OK;
}
