/* Histories of a cluster: fair after every step, at the least movement. */
#include "base/base_prng.h"
#include "core/ring/ring_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { PARTITIONS_MAX = 1024, NODES_MAX = 51 };

static struct ring_node members[RING_NODES_MAX];
static uint32_t nodes;
static struct ring_placement now[PARTITIONS_MAX], before[PARTITIONS_MAX], again[PARTITIONS_MAX];
static struct ring_set set;
static struct ring_bounds bounds;

/* Those who take part, as the plan sees them: in the order of ids, zones by number. */
static void make_bounds(uint32_t partitions, uint32_t replicas)
{
    set = (struct ring_set){.partitions = partitions};
    for (uint32_t i = 0; i < nodes; i++) {
        if (!members[i].draining) {
            set.node[set.nodes] = members[i];
            set.zone[set.nodes++] = members[i].zone;
            set.zones = members[i].zone >= set.zones ? members[i].zone + 1 : set.zones;
        }
    }
    set.replicas = replicas < set.nodes ? replicas : set.nodes;
    ring_share(&set, &bounds);
}

static uint32_t place_of(uint64_t id)
{
    for (uint32_t i = 0; i < set.nodes; i++) {
        if (set.node[i].id == id) {
            return i;
        }
    }
    return RING_NODES_MAX;
}

/* No node twice, zones and loads within their bounds. */
static bool is_fair(const struct ring_placement *placed)
{
    uint32_t load[RING_NODES_MAX] = {0};
    bool fair = true;

    for (uint32_t p = 0; p < set.partitions; p++) {
        uint32_t in_zone[RING_NODES_MAX] = {0};

        fair &= placed[p].count == set.replicas;
        for (uint32_t i = 0; i < placed[p].count; i++) {
            uint32_t place = place_of(placed[p].replica[i]);

            if (place == RING_NODES_MAX) {
                return false;
            }
            for (uint32_t k = 0; k < i; k++) {
                fair &= placed[p].replica[k] != placed[p].replica[i];
            }
            in_zone[set.zone[place]]++;
            load[place]++;
        }
        for (uint32_t z = 0; z < set.zones; z++) {
            fair &= in_zone[z] >= bounds.zone_low[z] && in_zone[z] <= bounds.zone_high[z];
        }
    }
    for (uint32_t i = 0; i < set.nodes; i++) {
        fair &= load[i] >= bounds.low[i] && load[i] <= bounds.high[i];
    }
    return fair;
}

static void replan(uint32_t partitions, uint32_t replicas, const struct ring_placement *from,
                   struct ring_placement *to)
{
    struct diag why = {""};

    if (ring_replan(&(struct ring_wish){members, nodes, partitions, replicas}, from, to, &why) !=
        ERR_OK) {
        fail_msg("%s", why.text);
    }
}

/* One step: fair, and when asked again, nothing to do. Gives what moved. */
static uint64_t step(uint32_t partitions, uint32_t replicas)
{
    memcpy(before, now, sizeof before);
    replan(partitions, replicas, now, now);
    make_bounds(partitions, replicas);
    assert_true(is_fair(now));
    replan(partitions, replicas, now, again);
    assert_memory_equal(now, again, partitions * sizeof now[0]);
    return ring_moves(before, now, partitions);
}

static void begin(uint32_t count, uint32_t zones, uint32_t weight_most, struct prng *prng)
{
    nodes = count;
    for (uint32_t i = 0; i < count; i++) {
        members[i] = (struct ring_node){.id = prng_next(prng) | 1,
                                        .weight = (uint32_t)prng_between(prng, 1, weight_most),
                                        .zone = (uint32_t)prng_below(prng, zones)};
    }
    memset(now, 0, sizeof now);
}

static uint32_t load_of(const struct ring_placement *placed, uint64_t id, uint32_t partitions)
{
    uint32_t load = 0;

    for (uint32_t p = 0; p < partitions; p++) {
        for (uint32_t i = 0; i < placed[p].count; i++) {
            load += placed[p].replica[i] == id;
        }
    }
    return load;
}

static uint32_t leads_of(uint64_t id, uint32_t partitions)
{
    uint32_t leads = 0;

    for (uint32_t p = 0; p < partitions; p++) {
        leads += now[p].replica[0] == id;
    }
    return leads;
}

static uint64_t leads_moved(uint32_t partitions)
{
    uint64_t moved = 0;

    for (uint32_t p = 0; p < partitions; p++) {
        moved += before[p].replica[0] != now[p].replica[0];
    }
    return moved;
}

/* --- least: beside every placement there is --- */

enum { TINY_PARTITIONS = 4, TINY_NODES = 4, TINY_ROWS = 1 << TINY_NODES };

/* The least movement to any fair placement, by trying all. */
static uint64_t least_by_trying(const struct ring_placement *from, uint32_t at)
{
    static struct ring_placement tried[TINY_PARTITIONS];
    uint64_t least = UINT64_MAX;

    if (at == TINY_PARTITIONS) {
        return is_fair(tried) ? ring_moves(from, tried, TINY_PARTITIONS) : UINT64_MAX;
    }
    for (uint32_t row = 0; row < 1U << set.nodes; row++) {
        if ((uint32_t)__builtin_popcount(row) != set.replicas) {
            continue;
        }
        tried[at] = (struct ring_placement){.count = 0};
        for (uint32_t i = 0; i < set.nodes; i++) {
            if ((row >> i & 1) != 0) {
                tried[at].replica[tried[at].count++] = set.node[i].id;
            }
        }
        uint64_t moves = least_by_trying(from, at + 1);

        least = moves < least ? moves : least;
    }
    return least;
}

/* From any placement at all: with holes, strangers and too many replicas. */
static void nothing_moves_less(void **state)
{
    struct prng prng = {99};

    (void)state;
    for (uint32_t round = 0; round < 400; round++) {
        uint32_t replicas = (uint32_t)prng_between(&prng, 1, 3);
        uint64_t moved;

        begin((uint32_t)prng_between(&prng, 1, TINY_NODES), (uint32_t)prng_between(&prng, 1, 4),
              (uint32_t)prng_between(&prng, 1, 4), &prng);
        for (uint32_t p = 0; p < TINY_PARTITIONS; p++) {
            now[p].count = (uint8_t)prng_below(&prng, 5);
            for (uint32_t i = 0; i < now[p].count; i++) {
                uint64_t pick = prng_below(&prng, TINY_NODES + 2);

                now[p].replica[i] = pick < nodes ? members[pick].id : pick == nodes ? 0 : 77;
            }
        }
        moved = step(TINY_PARTITIONS, replicas);
        assert_int_equal(moved, least_by_trying(before, 0));
    }
}

/* --- what a join and a leave may move --- */

/* Equal weights, one zone: one who joins takes over its own share; what one held who leaves
 * goes to others. Nothing else moves, and leaders change as little. */
static void one_share_moves(void **state)
{
    static const uint32_t sizes[] = {64, 256, 1024};
    struct prng prng = {5};

    (void)state;
    for (uint32_t k = 0; k < ARRAY_COUNT(sizes); k++) {
        uint32_t partitions = sizes[k];

        begin(3, 1, 1, &prng);
        (void)step(partitions, 3);
        while (nodes < NODES_MAX) {
            uint32_t share = (partitions * 3 + nodes) / (nodes + 1);

            members[nodes++] = (struct ring_node){prng_next(&prng) | 1, 1, 0, false};
            assert_in_range(step(partitions, 3), 0, share);
            assert_in_range(leads_moved(partitions), 0, partitions / nodes + nodes);
        }
        while (nodes > 1) {
            uint32_t pos = (uint32_t)prng_below(&prng, nodes);
            uint32_t held = load_of(now, members[pos].id, partitions);

            members[pos] = members[--nodes];
            assert_int_equal(step(partitions, 3), nodes < 3 ? 0 : held);
        }
    }
}

/* The same with weights, none of which is so heavy that its share is every partition: a share
 * is by weight, and rounding may move one more for each node that is rounded the other way. */
static void one_share_moves_by_weight(void **state)
{
    struct prng prng = {6};
    uint64_t moved_all = 0, share_all = 0;

    (void)state;
    for (uint32_t round = 0; round < 3; round++) {
        begin(12, 1, 4, &prng);
        (void)step(256, 3);
        while (nodes < 40) {
            uint32_t weight = (uint32_t)prng_between(&prng, 1, 4);
            uint64_t id = prng_next(&prng) | 1, moved;

            members[nodes++] = (struct ring_node){id, weight, 0, false};
            moved = step(256, 3);
            assert_in_range(moved, 0, bounds.high[place_of(id)] + nodes);
            moved_all += moved;
            share_all += bounds.high[place_of(id)];
        }
        while (nodes > 12) {
            uint32_t pos = (uint32_t)prng_below(&prng, nodes);
            uint32_t held = load_of(now, members[pos].id, 256);
            uint64_t moved;

            members[pos] = members[--nodes];
            moved = step(256, 3);
            assert_in_range(moved, held, held + nodes);
            moved_all += moved;
            share_all += held;
        }
    }
    print_message("replicas moved: %.4f times the share\n", (double)moved_all / (double)share_all);
    assert_true(moved_all * 100 <= share_all * 103);
}

/* --- whatever happens --- */

static void change(struct prng *prng, uint32_t zones)
{
    uint32_t pos = (uint32_t)prng_below(prng, nodes);

    switch (prng_below(prng, 6)) {
    case 0:
    case 1:
        if (nodes < 30) {
            members[nodes++] =
                (struct ring_node){prng_next(prng) | 1, (uint32_t)prng_between(prng, 1, 8),
                                   (uint32_t)prng_below(prng, zones), false};
        }
        break;
    case 2:
        if (nodes > 1) {
            members[pos] = members[--nodes];
        }
        break;
    case 3:
        members[pos].weight = (uint32_t)prng_between(prng, 1, 8);
        break;
    case 4:
        members[pos].zone = (uint32_t)prng_below(prng, zones);
        break;
    default:
        members[pos].draining = !members[pos].draining;
    }
    members[0].draining = false;
}

/* What must move at the least: what is missing in rows, and what is missing at nodes. */
static uint64_t must_move(void)
{
    uint64_t holes = 0, missing = 0;

    for (uint32_t p = 0; p < set.partitions; p++) {
        uint32_t stay = 0;

        for (uint32_t i = 0; i < before[p].count; i++) {
            stay += place_of(before[p].replica[i]) != RING_NODES_MAX;
        }
        holes += stay < set.replicas ? set.replicas - stay : 0;
    }
    for (uint32_t i = 0; i < set.nodes; i++) {
        uint32_t held = load_of(before, set.node[i].id, set.partitions);

        missing += held < bounds.low[i] ? bounds.low[i] - held : 0;
    }
    return holes > missing ? holes : missing;
}

static void any_history_stays_fair(void **state)
{
    struct prng prng = {7};
    uint64_t moved_all = 0, must_all = 0;

    (void)state;
    for (uint32_t round = 0; round < 150; round++) {
        uint32_t partitions = 1U << prng_between(&prng, 4, 7);
        uint32_t zones = (uint32_t)prng_between(&prng, 1, 6);
        uint32_t replicas = (uint32_t)prng_between(&prng, 1, 5);

        begin((uint32_t)prng_between(&prng, 1, 12), zones, 8, &prng);
        (void)step(partitions, replicas);
        for (uint32_t i = 0; i < 20; i++) {
            change(&prng, zones);
            if (prng_below(&prng, 20) == 0) {
                replicas = (uint32_t)prng_between(&prng, 1, 5);
            }
            moved_all += step(partitions, replicas);
            must_all += must_move();
        }
    }
    print_message("replicas moved: %.3f times what is missing somewhere\n",
                  (double)moved_all / (double)must_all);
    assert_true(moved_all * 100 <= must_all * 115);
}

/* Every node sees the same plan, in whatever order it lists the members. */
static void order_of_members_does_not_matter(void **state)
{
    struct prng prng = {8};

    (void)state;
    begin(12, 3, 4, &prng);
    (void)step(64, 3);
    for (uint32_t round = 0; round < 20; round++) {
        static struct ring_placement other[64];

        change(&prng, 3);
        replan(64, 3, now, again);
        for (uint32_t i = nodes - 1; i > 0; i--) {
            uint32_t k = (uint32_t)prng_below(&prng, i + 1);
            struct ring_node swapped = members[i];

            members[i] = members[k];
            members[k] = swapped;
        }
        replan(64, 3, now, other);
        assert_memory_equal(again, other, sizeof other);
        memcpy(now, other, sizeof other);
        members[0].draining = false;
    }
}

/* --- few members, and none that are wanted --- */

static void a_cluster_grows_from_one_and_shrinks_again(void **state)
{
    struct prng prng = {9};

    (void)state;
    begin(1, 1, 1, &prng);
    assert_int_equal(step(64, 3), 64);
    assert_int_equal(now[5].count, 1);
    assert_int_equal(now[5].replica[1], 0); /* holes */
    begin(9, 1, 1, &prng);
    nodes = 1;
    (void)step(64, 3);
    for (nodes = 2; nodes <= 9; nodes++) {
        uint64_t share = nodes <= 3 ? 64 : (64 * 3 + nodes - 1) / nodes;

        assert_in_range(step(64, 3), share - 1, share);
        for (uint32_t i = 0; i < nodes; i++) {
            assert_in_range(leads_of(members[i].id, 64), 64 / nodes, (64 + nodes - 1) / nodes);
        }
    }
    for (nodes = 8; nodes >= 1; nodes--) {
        uint32_t held = load_of(now, members[nodes].id, 64);

        assert_int_equal(step(64, 3), nodes >= 3 ? held : 0);
        for (uint32_t i = 0; i < nodes; i++) {
            assert_in_range(leads_of(members[i].id, 64), 64 / nodes, (64 + nodes - 1) / nodes);
        }
    }
}

/* One who drains gives all away and gets nothing; who comes back gets its share again. */
static void a_draining_node_gives_all_away(void **state)
{
    struct prng prng = {10};
    uint32_t held;

    (void)state;
    begin(5, 1, 1, &prng);
    (void)step(64, 3);
    held = load_of(now, members[2].id, 64);
    members[2].draining = true;
    assert_int_equal(step(64, 3), held);
    assert_int_equal(load_of(now, members[2].id, 64), 0);
    members[2].draining = false;
    assert_in_range(step(64, 3), 38, 39);
    assert_in_range(load_of(now, members[2].id, 64), 38, 39);
}

/* The ring decides where there is a choice: what is planned step by step stays near what
 * would be placed at once. */
static void plans_stay_near_the_ring(void **state)
{
    struct prng prng = {11};
    uint64_t away;

    (void)state;
    begin(3, 1, 1, &prng);
    (void)step(1024, 3);
    for (uint32_t i = 0; i < 9; i++) {
        members[nodes++] = (struct ring_node){prng_next(&prng) | 1, 1, 0, false};
        (void)step(1024, 3);
    }
    replan(1024, 3, NULL, again);
    away = ring_moves(now, again, 1024);
    print_message("after nine joins %.3f of the replicas are not where the ring has them\n",
                  (double)away / 3072);
    assert_true(away < 3072 / 2); /* at random three quarters would be */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_moves_less),
        cmocka_unit_test(one_share_moves),
        cmocka_unit_test(one_share_moves_by_weight),
        cmocka_unit_test(any_history_stays_fair),
        cmocka_unit_test(order_of_members_does_not_matter),
        cmocka_unit_test(a_cluster_grows_from_one_and_shrinks_again),
        cmocka_unit_test(a_draining_node_gives_all_away),
        cmocka_unit_test(plans_stay_near_the_ring),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
