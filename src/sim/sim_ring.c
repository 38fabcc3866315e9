/* The members, and what the placements make of them. */
#include "sim/sim_ring.h"

#include "base/base_hash.h"
#include "base/base_mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *sim_ring_placer_name(enum sim_ring_placer placer)
{
    static const char *const names[] = {
        [SIM_RING_SYNOD] = "synod",   [SIM_RING_AFRESH] = "afresh",
        [SIM_RING_JUMP] = "jump",     [SIM_RING_RENDEZVOUS] = "rendezvous",
        [SIM_RING_KETAMA] = "ketama", [SIM_RING_IDEAL] = "ideal"};

    CHECK(placer < SIM_RING_PLACERS);
    return names[placer];
}

/* --- who is there --- */

void sim_ring_join(struct sim_ring_cluster *c, uint64_t random, uint32_t weight, uint32_t zone)
{
    uint32_t serial = ++c->joined;

    CHECK(c->nodes < RING_NODES_MAX);
    CHECK(serial < SIM_RING_SERIALS);
    c->node[c->nodes++] = (struct ring_node){random << 16 | serial, weight, zone, false};
    for (uint32_t i = 0; i < weight; i++) {
        c->bucket[c->buckets++] = (uint16_t)serial;
    }
}

/* Buckets can only go from the end: the last one gets the number of one that goes. */
static void drop_buckets(struct sim_ring_cluster *c, uint32_t serial, uint32_t count)
{
    for (uint32_t b = c->buckets; b-- > 0 && count > 0;) {
        if (c->bucket[b] == serial) {
            c->bucket[b] = c->bucket[--c->buckets];
            count--;
        }
    }
    CHECK(count == 0);
}

void sim_ring_leave(struct sim_ring_cluster *c, uint32_t pos)
{
    CHECK(pos < c->nodes);
    CHECK(c->nodes > 1);
    drop_buckets(c, sim_ring_serial(c->node[pos].id), c->node[pos].weight);
    c->node[pos] = c->node[--c->nodes];
}

void sim_ring_reweigh(struct sim_ring_cluster *c, uint32_t pos, uint32_t weight)
{
    struct ring_node *n = &c->node[pos];

    CHECK(pos < c->nodes);
    CHECK(weight >= 1 && weight <= RING_WEIGHT_MAX);
    for (; n->weight < weight; n->weight++) {
        c->bucket[c->buckets++] = (uint16_t)sim_ring_serial(n->id);
    }
    drop_buckets(c, sim_ring_serial(n->id), n->weight - weight);
    n->weight = weight;
}

uint32_t sim_ring_zones(const struct sim_ring_cluster *c)
{
    bool used[SIM_RING_ZONES_MAX] = {false};
    uint32_t zones = 0;

    for (uint32_t i = 0; i < c->nodes; i++) {
        CHECK(c->node[i].zone < SIM_RING_ZONES_MAX);
        zones += !used[c->node[i].zone];
        used[c->node[i].zone] = true;
    }
    return zones;
}

uint32_t sim_ring_replicas(const struct sim_ring_cluster *c, const struct sim_ring_shape *shape)
{
    return shape->replicas < c->nodes ? shape->replicas : c->nodes;
}

/* --- jump --- */

uint32_t sim_ring_jump(uint64_t key, uint32_t buckets)
{
    int64_t b = -1, j = 0;

    CHECK(buckets > 0);
    while (j < (int64_t)buckets) {
        b = j;
        key = key * 2862933555777941757ULL + 1;
        j = (int64_t)((double)(b + 1) * ((double)(1LL << 31) / (double)((key >> 33) + 1)));
    }
    return (uint32_t)b;
}

static uint64_t hash_pair(uint64_t a, uint64_t b, uint64_t salt)
{
    uint8_t bytes[16];

    store_u64le(bytes, a);
    store_u64le(bytes + 8, b);
    return hash64_seeded(bytes, sizeof bytes, salt);
}

/* Add a node unless it is there already. */
static void add_replica(struct ring_placement *p, uint64_t id)
{
    for (uint32_t i = 0; i < p->count; i++) {
        if (p->replica[i] == id) {
            return;
        }
    }
    p->replica[p->count++] = id;
}

static void place_jump(const struct sim_ring_cluster *c, const struct sim_ring_shape *shape,
                       struct ring_placement *out)
{
    uint64_t id_of[SIM_RING_SERIALS] = {0};
    uint32_t want = sim_ring_replicas(c, shape);

    for (uint32_t i = 0; i < c->nodes; i++) {
        id_of[sim_ring_serial(c->node[i].id)] = c->node[i].id;
    }
    for (uint32_t p = 0; p < shape->partitions; p++) {
        out[p] = (struct ring_placement){0};
        for (uint64_t attempt = 0; out[p].count < want; attempt++) {
            uint64_t key = hash_pair(p, attempt, shape->salt);

            add_replica(&out[p], id_of[c->bucket[sim_ring_jump(key, c->buckets)]]);
        }
    }
}

/* --- rendezvous --- */

/* The higher of two scores is of node i with probability w_i / (w_i + w_j): -ln(u) / w is an
 * exponential variable of rate w, and the least of them wins. */
static double score(const struct ring_node *n, uint64_t hash)
{
    double u = ((double)(hash >> 11) + 0.5) * 0x1p-53; /* never 0 or 1 */

    return -(double)n->weight / log(u);
}

static void place_rendezvous(const struct sim_ring_cluster *c, const struct sim_ring_shape *shape,
                             struct ring_placement *out)
{
    uint32_t want = sim_ring_replicas(c, shape);

    CHECK(want >= 1 && want <= RING_REPLICAS_MAX);
    for (uint32_t p = 0; p < shape->partitions; p++) {
        double best[RING_REPLICAS_MAX] = {0};

        out[p] = (struct ring_placement){0};
        for (uint32_t i = 0; i < c->nodes; i++) {
            double s = score(&c->node[i], hash_pair(c->node[i].id, p, shape->salt));
            uint32_t at = out[p].count < want ? out[p].count++ : want - 1;

            if (i >= want && s <= best[at]) {
                continue;
            }
            for (; at > 0 && best[at - 1] < s; at--) { /* the lesser ones make room */
                best[at] = best[at - 1];
                out[p].replica[at] = out[p].replica[at - 1];
            }
            best[at] = s;
            out[p].replica[at] = c->node[i].id;
        }
    }
}

/* --- ketama --- */

struct point {
    uint64_t at, id;
};

static int by_point(const void *a, const void *b)
{
    const struct point *x = a, *y = b;

    if (x->at != y->at) {
        return x->at < y->at ? -1 : 1;
    }
    return (x->id > y->id) - (x->id < y->id);
}

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

static void place_ketama(const struct sim_ring_cluster *c, const struct sim_ring_shape *shape,
                         struct ring_placement *out)
{
    struct point *point = mem_alloc((size_t)c->buckets * shape->vnodes * sizeof point[0]);
    uint32_t points = 0, want = sim_ring_replicas(c, shape);

    for (uint32_t i = 0; i < c->nodes; i++) {
        for (uint32_t v = 0; v < c->node[i].weight * shape->vnodes; v++) {
            point[points++] =
                (struct point){hash_pair(c->node[i].id, v, shape->salt), c->node[i].id};
        }
    }
    CHECK(points == c->buckets * shape->vnodes);
    qsort(point, points, sizeof point[0], by_point);
    for (uint32_t p = 0; p < shape->partitions; p++) {
        uint32_t at = first_point(point, points, hash_pair(0, p, shape->salt));

        out[p] = (struct ring_placement){0};
        for (; out[p].count < want; at = at + 1 == points ? 0 : at + 1) {
            add_replica(&out[p], point[at].id);
        }
    }
    mem_free(point);
}

static MUST_USE bool place_synod(const struct sim_ring_scene *scene,
                                 const struct ring_placement *present, struct ring_placement *out,
                                 struct diag *why)
{
    const struct ring_wish wish = {.node = scene->cluster->node,
                                   .nodes = scene->cluster->nodes,
                                   .partitions = scene->shape->partitions,
                                   .replicas = scene->shape->replicas};

    return ring_replan(&wish, present, out, why) == ERR_OK;
}

bool sim_ring_place(const struct sim_ring_scene *scene, enum sim_ring_placer placer,
                    struct ring_placement *out, struct diag *why)
{
    switch (placer) {
    case SIM_RING_SYNOD:
        return place_synod(scene, scene->present, out, why);
    case SIM_RING_AFRESH:
        return place_synod(scene, NULL, out, why);
    case SIM_RING_JUMP:
        place_jump(scene->cluster, scene->shape, out);
        return true;
    case SIM_RING_RENDEZVOUS:
        place_rendezvous(scene->cluster, scene->shape, out);
        return true;
    case SIM_RING_KETAMA:
        place_ketama(scene->cluster, scene->shape, out);
        return true;
    case SIM_RING_IDEAL:
    case SIM_RING_PLACERS:
        break;
    }
    UNREACHABLE("the ideal places nothing");
}
