/* How even a placement is, and what differs between two. */
#include "sim/sim_ring.h"

#include <math.h>
#include <string.h>

enum { HALVINGS = 80 }; /* more than a double has digits */

/* --- what would be fair --- */

/* Replicas that a zone can have, as evenly over the zones as their nodes allow: `least` are
 * in each, and what remains then goes to zones that have room for one more. */
struct zone_range {
    double least[SIM_RING_ZONES_MAX], most[SIM_RING_ZONES_MAX];
};

static void range_zones(const struct sim_ring_cluster *c, const struct sim_ring_shape *shape,
                        struct zone_range *out)
{
    uint32_t size[SIM_RING_ZONES_MAX] = {0}, given = 0;
    uint32_t want = sim_ring_replicas(c, shape);

    *out = (struct zone_range){.least = {0}};
    for (uint32_t i = 0; i < c->nodes; i++) {
        size[c->node[i].zone]++;
    }
    for (uint32_t level = 0; given < want; level++) {
        uint32_t open = 0;

        for (uint32_t z = 0; z < SIM_RING_ZONES_MAX; z++) {
            out->most[z] += size[z] > level ? shape->partitions : 0;
            open += size[z] > level;
        }
        given += open;
        CHECK(open > 0);
        if (given <= want) { /* the level is full */
            memcpy(out->least, out->most, sizeof out->least);
        }
    }
}

/* What the zone's nodes carry at this load for each unit of weight. */
static double zone_filled(const struct sim_ring_cluster *c, uint32_t zone, double level,
                          double node_most)
{
    double sum = 0;

    for (uint32_t i = 0; i < c->nodes; i++) {
        if (c->node[i].zone == zone) {
            sum += fmin(node_most, level * c->node[i].weight);
        }
    }
    return sum;
}

/* The level at which all zones together carry the total, each within its range. */
static double common_level(const struct sim_ring_cluster *c, const struct sim_ring_shape *shape,
                           const struct zone_range *range)
{
    double total = (double)shape->partitions * sim_ring_replicas(c, shape);
    double low = 0, high = shape->partitions;

    for (uint32_t i = 0; i < HALVINGS; i++) {
        double level = (low + high) / 2, sum = 0;

        for (uint32_t z = 0; z < SIM_RING_ZONES_MAX; z++) {
            if (range->most[z] > 0) {
                double filled = zone_filled(c, z, level, shape->partitions);

                sum += fmin(range->most[z], fmax(range->least[z], filled));
            }
        }
        if (sum < total) {
            low = level;
        } else {
            high = level;
        }
    }
    return high;
}

/* The level within one zone that gives it what the common level does, brought into its range. */
static double zone_level(const struct sim_ring_cluster *c, const struct sim_ring_shape *shape,
                         uint32_t zone, double common, const struct zone_range *range)
{
    double want = zone_filled(c, zone, common, shape->partitions);
    double low = 0, high = shape->partitions;

    want = fmin(range->most[zone], fmax(range->least[zone], want));
    for (uint32_t i = 0; i < HALVINGS; i++) {
        double level = (low + high) / 2;

        if (zone_filled(c, zone, level, shape->partitions) < want) {
            low = level;
        } else {
            high = level;
        }
    }
    return high;
}

void sim_ring_fair(const struct sim_ring_cluster *c, const struct sim_ring_shape *shape,
                   double fair[RING_NODES_MAX])
{
    struct zone_range range;
    double common;

    range_zones(c, shape, &range);
    common = common_level(c, shape, &range);
    for (uint32_t z = 0; z < SIM_RING_ZONES_MAX; z++) {
        double high = range.most[z] > 0 ? zone_level(c, shape, z, common, &range) : 0;

        for (uint32_t i = 0; i < c->nodes; i++) {
            if (c->node[i].zone == z) {
                fair[i] = fmin(shape->partitions, high * c->node[i].weight);
            }
        }
    }
}

static double weight_of_all(const struct sim_ring_cluster *c)
{
    double sum = 0;

    for (uint32_t i = 0; i < c->nodes; i++) {
        sum += c->node[i].weight;
    }
    return sum;
}

/* The loads of all nodes against what would be fair for them. */
struct loads {
    uint32_t replicas[RING_NODES_MAX], leads[RING_NODES_MAX];
};

/* Synod's bound: the fair share, rounded up. */
static bool over_bound(double load, double share)
{
    return load > ceil(share - 1e-6);
}

static void weigh_loads(const struct sim_ring_cluster *c, const struct sim_ring_shape *shape,
                        const struct loads *l, struct sim_ring_balance *out)
{
    double fair[RING_NODES_MAX], squares = 0, over = 0, weight = weight_of_all(c);

    sim_ring_fair(c, shape, fair);
    out->emptiest = INFINITY;
    for (uint32_t i = 0; i < c->nodes; i++) {
        double ratio = l->replicas[i] / fair[i];
        double lead_share = shape->partitions * c->node[i].weight / weight;

        out->fullest = fmax(out->fullest, ratio);
        out->emptiest = fmin(out->emptiest, ratio);
        out->leads_fullest = fmax(out->leads_fullest, l->leads[i] / lead_share);
        squares += (ratio - 1) * (ratio - 1);
        over += over_bound(l->replicas[i], fair[i]);
    }
    out->deviation = sqrt(squares / c->nodes);
    out->over = over / c->nodes;
}

/* --- what a placement gives --- */

static uint32_t zones_of(const struct sim_ring_cluster *c, const uint32_t place[RING_REPLICAS_MAX],
                         uint32_t count)
{
    uint32_t zones = 0;

    for (uint32_t i = 0; i < count; i++) {
        bool first = true;

        for (uint32_t k = 0; k < i; k++) {
            first = first && c->node[place[k]].zone != c->node[place[i]].zone;
        }
        zones += first;
    }
    return zones;
}

/* The members' places of a partition's replicas; false: somebody is no member, or is there twice.
 */
static bool find_members(const struct sim_ring_cluster *c, const uint32_t *place_of,
                         const struct ring_placement *p, uint32_t place[RING_REPLICAS_MAX])
{
    for (uint32_t i = 0; i < p->count; i++) {
        uint32_t serial = sim_ring_serial(p->replica[i]);

        place[i] = serial < SIM_RING_SERIALS ? place_of[serial] : RING_NODES_MAX;
        if (place[i] == RING_NODES_MAX || c->node[place[i]].id != p->replica[i]) {
            return false;
        }
        for (uint32_t k = 0; k < i; k++) {
            if (place[k] == place[i]) {
                return false;
            }
        }
    }
    return true;
}

void sim_ring_weigh(const struct sim_ring_cluster *c, const struct sim_ring_shape *shape,
                    const struct ring_placement *placed, struct sim_ring_balance *out)
{
    uint32_t place_of[SIM_RING_SERIALS], want = sim_ring_replicas(c, shape);
    uint32_t zones = sim_ring_zones(c), different = zones < want ? zones : want;
    struct loads l = {.replicas = {0}};

    *out = (struct sim_ring_balance){0};
    for (uint32_t i = 0; i < SIM_RING_SERIALS; i++) {
        place_of[i] = RING_NODES_MAX;
    }
    for (uint32_t i = 0; i < c->nodes; i++) {
        place_of[sim_ring_serial(c->node[i].id)] = i;
    }
    for (uint32_t p = 0; p < shape->partitions; p++) {
        uint32_t place[RING_REPLICAS_MAX] = {0};

        if (placed[p].count != want || !find_members(c, place_of, &placed[p], place)) {
            out->doubled++;
            continue;
        }
        for (uint32_t i = 0; i < want; i++) {
            l.replicas[place[i]]++;
        }
        l.leads[place[0]]++;
        out->zone_violations += zones_of(c, place, want) < different;
    }
    weigh_loads(c, shape, &l, out);
}

/* Shares rounded down, then those with the largest rests up (Hare, Niemeyer). */
static void round_shares(const double *share, uint32_t count, uint32_t total, uint32_t *out)
{
    bool up[RING_NODES_MAX] = {false};
    uint32_t sum = 0;

    for (uint32_t i = 0; i < count; i++) {
        out[i] = (uint32_t)floor(share[i] + 1e-6);
        sum += out[i];
    }
    for (; sum < total; sum++) {
        uint32_t best = RING_NODES_MAX;

        for (uint32_t i = 0; i < count; i++) {
            if (!up[i] &&
                (best == RING_NODES_MAX || share[i] - out[i] > share[best] - out[best] + 1e-6)) {
                best = i;
            }
        }
        CHECK(best != RING_NODES_MAX);
        up[best] = true;
        out[best]++;
    }
}

void sim_ring_weigh_ideal(const struct sim_ring_cluster *c, const struct sim_ring_shape *shape,
                          struct sim_ring_balance *out)
{
    double fair[RING_NODES_MAX], leads[RING_NODES_MAX], weight = weight_of_all(c);
    struct loads l = {.replicas = {0}};

    *out = (struct sim_ring_balance){0};
    sim_ring_fair(c, shape, fair);
    for (uint32_t i = 0; i < c->nodes; i++) {
        leads[i] = shape->partitions * c->node[i].weight / weight;
    }
    round_shares(fair, c->nodes, shape->partitions * sim_ring_replicas(c, shape), l.replicas);
    round_shares(leads, c->nodes, shape->partitions, l.leads);
    weigh_loads(c, shape, &l, out);
}

/* --- what moves --- */

static bool holds(const struct ring_placement *p, uint64_t id)
{
    for (uint32_t i = 0; i < p->count; i++) {
        if (p->replica[i] == id) {
            return true;
        }
    }
    return false;
}

struct sim_ring_move sim_ring_moved(const struct sim_ring_shape *shape,
                                    const struct ring_placement *before,
                                    const struct ring_placement *after)
{
    uint64_t moved = 0, all = 0, leads = 0;

    for (uint32_t p = 0; p < shape->partitions; p++) {
        for (uint32_t i = 0; i < after[p].count; i++) {
            moved += !holds(&before[p], after[p].replica[i]);
        }
        all += after[p].count;
        leads += before[p].replica[0] != after[p].replica[0];
    }
    return (struct sim_ring_move){(double)moved / (double)all, (double)leads / shape->partitions};
}

struct sim_ring_move sim_ring_moved_ideal(const struct sim_ring_cluster *before,
                                          const struct sim_ring_cluster *after,
                                          const struct sim_ring_shape *shape)
{
    double was[RING_NODES_MAX], will[RING_NODES_MAX], replicas = 0, leads = 0;
    double weight_before = weight_of_all(before), weight_after = weight_of_all(after);

    sim_ring_fair(before, shape, was);
    sim_ring_fair(after, shape, will);
    for (uint32_t i = 0; i < after->nodes; i++) {
        double load = 0, lead = 0;

        for (uint32_t k = 0; k < before->nodes; k++) {
            if (before->node[k].id == after->node[i].id) {
                load = was[k];
                lead = before->node[k].weight / weight_before;
            }
        }
        replicas += fmax(0, will[i] - load);
        leads += fmax(0, after->node[i].weight / weight_after - lead);
    }
    replicas /= (double)shape->partitions * sim_ring_replicas(after, shape);
    return (struct sim_ring_move){replicas, leads};
}
