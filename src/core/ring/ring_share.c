/* What is fair: load by weight, as far as zones and "no two on one node" allow.
 *
 * At a level, a node carries level * weight, but not more than every partition once; a
 * zone carries what its nodes do, brought into the range that zones have. There is one
 * level at which all zones together carry everything; and within a zone that was brought
 * into its range, one at which its nodes carry just that.
 *
 * Levels are found by halving, as integers of 2^-FRACTION_BITS. True shares are fractions
 * whose denominator is a sum of weights, 2^14 at most, so one that is not whole is further
 * than 2^-14 from every whole number, and halving, twice and times a weight, errs by less
 * than 2^-19: what is nearer than NEAR to a whole number is that number, and rounding is
 * exact. */
#include "core/ring/ring_internal.h"

enum { FRACTION_BITS = 40 };
static const uint64_t ONE = 1ULL << FRACTION_BITS;
static const uint64_t NEAR = 1ULL << (FRACTION_BITS - 18);

static_assert(RING_NODES_MAX * RING_WEIGHT_MAX <= 1 << 14, "a share that is not whole is not NEAR");

/* Replicas that each zone can have of a partition, as evenly over the zones as their nodes
 * allow: `low` are in each, and what remains then goes to zones with room for one more. */
static void range_zones(const struct ring_set *s, struct ring_bounds *out)
{
    uint32_t size[RING_NODES_MAX] = {0}, given = 0;

    for (uint32_t i = 0; i < s->nodes; i++) {
        size[s->zone[i]]++;
    }
    for (uint32_t z = 0; z < s->zones; z++) {
        out->zone_low[z] = out->zone_high[z] = 0;
    }
    for (uint32_t level = 0; given < s->replicas; level++) {
        for (uint32_t z = 0; z < s->zones; z++) {
            out->zone_low[z] = out->zone_high[z];
        }
        for (uint32_t z = 0; z < s->zones; z++) {
            if (size[z] > level) {
                out->zone_high[z]++;
                given++;
            }
        }
        CHECK(level < s->replicas);
    }
    for (uint32_t z = 0; given == s->replicas && z < s->zones; z++) {
        out->zone_low[z] = out->zone_high[z]; /* the last level is full */
    }
}

static uint64_t least_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* What the zone's nodes carry at this level. */
static uint64_t zone_filled(const struct ring_set *s, uint32_t zone, uint64_t level)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < s->nodes; i++) {
        if (s->zone[i] == zone) {
            sum += least_u64(s->partitions * ONE, level * s->node[i].weight);
        }
    }
    return sum;
}

/* The same, brought into the zone's range. */
static uint64_t zone_carried(const struct ring_set *s, const struct ring_bounds *b, uint32_t zone,
                             uint64_t level)
{
    uint64_t filled = zone_filled(s, zone, level);
    uint64_t low = (uint64_t)b->zone_low[zone] * s->partitions * ONE;
    uint64_t high = (uint64_t)b->zone_high[zone] * s->partitions * ONE;

    return filled < low ? low : least_u64(filled, high);
}

/* The level at which all zones together carry everything. */
static uint64_t common_level(const struct ring_set *s, const struct ring_bounds *b)
{
    uint64_t total = (uint64_t)s->partitions * s->replicas * ONE;
    uint64_t low = 0, high = s->partitions * ONE;

    while (low < high) {
        uint64_t level = low + (high - low) / 2, sum = 0;

        for (uint32_t z = 0; z < s->zones; z++) {
            sum += zone_carried(s, b, z, level);
        }
        if (sum < total) {
            low = level + 1;
        } else {
            high = level;
        }
    }
    return low;
}

/* The level at which the zone's nodes carry so much. */
static uint64_t level_for(const struct ring_set *s, uint32_t zone, uint64_t carried)
{
    uint64_t low = 0, high = s->partitions * ONE;

    while (low < high) {
        uint64_t level = low + (high - low) / 2;

        if (zone_filled(s, zone, level) < carried) {
            low = level + 1;
        } else {
            high = level;
        }
    }
    return low;
}

void ring_share(const struct ring_set *s, struct ring_bounds *out)
{
    uint64_t common;

    range_zones(s, out);
    common = common_level(s, out);
    for (uint32_t z = 0; z < s->zones; z++) {
        uint64_t level = level_for(s, z, zone_carried(s, out, z, common));

        for (uint32_t i = 0; i < s->nodes; i++) {
            if (s->zone[i] == z) {
                uint64_t share = least_u64(s->partitions * ONE, level * s->node[i].weight);

                out->low[i] = (uint32_t)((share + NEAR) >> FRACTION_BITS);
                out->high[i] = (uint32_t)((share + ONE - 1 - NEAR) >> FRACTION_BITS);
            }
        }
    }
}
