/* The properties of a placement, measured over many cluster sizes. */
#include "base/base_prng.h"
#include "core/ring/ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { PARTITIONS = 64, PARTITIONS_MAX = 1024, NODES_MAX = 51 };

static struct ring_node members[RING_NODES_MAX];
static struct ring_placement placed[PARTITIONS_MAX], before[PARTITIONS_MAX];

static void make_members(uint32_t count, uint32_t zones)
{
    struct prng p = {42};

    for (uint32_t i = 0; i < count; i++) {
        members[i] = (struct ring_node){prng_next(&p) | 1, 1, i % zones, false};
    }
}

static void place(uint32_t nodes, uint32_t partitions, uint32_t replicas)
{
    struct diag why = {""};

    if (ring_replan(&(struct ring_wish){members, nodes, partitions, replicas}, NULL, placed,
                    &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
}

static const struct ring_node *member_of(uint64_t id, uint32_t nodes)
{
    for (uint32_t i = 0; i < nodes; i++) {
        if (members[i].id == id) {
            return &members[i];
        }
    }
    fail_msg("placed on a node that is not a member");
    return NULL;
}

/* The dumb checks, on every placement: right count, members only, none twice. */
static void check_placement(uint32_t nodes, uint32_t partitions, uint32_t replicas)
{
    uint32_t want = replicas < nodes ? replicas : nodes;

    for (uint32_t p = 0; p < partitions; p++) {
        assert_int_equal(placed[p].count, want);
        for (uint32_t i = 0; i < want; i++) {
            (void)member_of(placed[p].replica[i], nodes);
            for (uint32_t j = 0; j < i; j++) {
                assert_true(placed[p].replica[i] != placed[p].replica[j]);
            }
        }
    }
}

static uint32_t load_of(uint64_t id, uint32_t partitions)
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
        leads += placed[p].replica[0] == id;
    }
    return leads;
}

static void three_nodes_share_evenly(void **state)
{
    (void)state;
    make_members(3, 1);
    place(3, PARTITIONS, 3);
    check_placement(3, PARTITIONS, 3);
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t leads = leads_of(members[i].id, PARTITIONS);

        assert_int_equal(load_of(members[i].id, PARTITIONS), PARTITIONS);
        assert_in_range(leads, 21, 22);
    }
}

static void loads_and_leaders_are_bounded(void **state)
{
    (void)state;
    for (uint32_t nodes = 1; nodes <= 50; nodes++) {
        for (uint32_t partitions = PARTITIONS; partitions <= PARTITIONS_MAX; partitions *= 4) {
            uint32_t replicas = nodes < 3 ? nodes : 3;
            uint32_t total = partitions * replicas;

            make_members(nodes, 1);
            place(nodes, partitions, 3);
            check_placement(nodes, partitions, 3);
            for (uint32_t i = 0; i < nodes; i++) {
                assert_in_range(load_of(members[i].id, partitions), total / nodes,
                                (total + nodes - 1) / nodes);
                assert_in_range(leads_of(members[i].id, partitions), partitions / nodes,
                                (partitions + nodes - 1) / nodes);
            }
        }
    }
}

static void order_of_members_does_not_matter(void **state)
{
    struct prng p = {7};

    (void)state;
    make_members(20, 4);
    place(20, PARTITIONS, 3);
    memcpy(before, placed, sizeof placed);
    for (uint32_t round = 0; round < 20; round++) {
        for (uint32_t i = 19; i > 0; i--) {
            uint32_t j = (uint32_t)prng_below(&p, i + 1);
            struct ring_node swapped = members[i];

            members[i] = members[j];
            members[j] = swapped;
        }
        place(20, PARTITIONS, 3);
        assert_memory_equal(before, placed, PARTITIONS * sizeof placed[0]);
    }
}

static void zones_share_no_partition(void **state)
{
    (void)state;
    for (uint32_t nodes = 3; nodes <= 30; nodes++) {
        for (uint32_t zones = 2; zones <= 5 && zones <= nodes; zones++) {
            make_members(nodes, zones);
            place(nodes, PARTITIONS, 3);
            check_placement(nodes, PARTITIONS, 3);
            for (uint32_t p = 0; p < PARTITIONS; p++) {
                uint32_t used = 0, different = zones < 3 ? zones : 3;

                for (uint32_t i = 0; i < 3; i++) {
                    used |= 1U << member_of(placed[p].replica[i], nodes)->zone;
                }
                assert_int_equal(__builtin_popcount(used), different);
            }
        }
    }
}

/* Five replicas over two zones are three and two, never four and one. */
static void too_few_zones_share_evenly(void **state)
{
    (void)state;
    make_members(12, 2);
    place(12, PARTITIONS, 5);
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        uint32_t in_zone_1 = 0;

        for (uint32_t i = 0; i < 5; i++) {
            in_zone_1 += member_of(placed[p].replica[i], 12)->zone;
        }
        assert_in_range(in_zone_1, 2, 3);
    }
}

/* One node alone in its zone carries every partition: the zone rule wins. */
static void a_lonely_zone_carries_all(void **state)
{
    (void)state;
    make_members(9, 3);
    for (uint32_t i = 0; i < 9; i++) {
        members[i].zone = i == 0 ? 0 : 1 + i % 2;
    }
    place(9, PARTITIONS, 3);
    assert_int_equal(load_of(members[0].id, PARTITIONS), PARTITIONS);
    assert_in_range(leads_of(members[0].id, PARTITIONS), 7, 8);
}

static void heavier_nodes_carry_more(void **state)
{
    (void)state;
    make_members(8, 1);
    members[0].weight = members[1].weight = 3;
    place(8, PARTITIONS_MAX, 3);
    check_placement(8, PARTITIONS_MAX, 3);
    for (uint32_t i = 0; i < 8; i++) {
        uint32_t share = PARTITIONS_MAX * 3 * members[i].weight / 12;
        uint32_t leads = PARTITIONS_MAX * members[i].weight / 12;

        assert_int_equal(load_of(members[i].id, PARTITIONS_MAX), share);
        assert_in_range(leads_of(members[i].id, PARTITIONS_MAX), leads, leads + 1);
    }
}

/* The answer is stored by founders and must be the same for ever: a frozen vector. */
static void frozen_vector(void **state)
{
    uint64_t sum = 0;

    (void)state;
    for (uint32_t i = 0; i < 5; i++) {
        members[i] = (struct ring_node){i + 1, 1, 0, false};
    }
    place(5, PARTITIONS, 3);
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        for (uint32_t i = 0; i < 3; i++) {
            sum = sum * 31 + placed[p].replica[i];
        }
    }
    assert_int_equal(sum, 0x67e7e7cecf5cac0f);
}

static void bad_arguments_are_named(void **state)
{
    static const struct {
        const char *name;
        struct ring_node node[2];
        uint32_t nodes, partitions, replicas;
    } rows[] = {
        {"no nodes", {{1, 1, 0, false}}, 0, 64, 3},
        {"too many nodes", {{1, 1, 0, false}}, RING_NODES_MAX + 1, 64, 3},
        {"a zero id", {{1, 1, 0, false}, {0, 1, 0, false}}, 2, 64, 3},
        {"a double id", {{5, 1, 0, false}, {5, 1, 0, false}}, 2, 64, 3},
        {"weight zero", {{1, 1, 0, false}, {2, 0, 0, false}}, 2, 64, 3},
        {"weight too large", {{1, 1, 0, false}, {2, RING_WEIGHT_MAX + 1, 0, false}}, 2, 64, 3},
        {"all draining", {{1, 1, 0, true}, {2, 1, 0, true}}, 2, 64, 3},
        {"no partitions", {{1, 1, 0, false}}, 1, 0, 3},
        {"not a power of two", {{1, 1, 0, false}}, 1, 48, 3},
        {"more than hash slots", {{1, 1, 0, false}}, 1, 32768, 3},
        {"no replicas", {{1, 1, 0, false}}, 1, 64, 0},
        {"too many replicas", {{1, 1, 0, false}}, 1, 64, RING_REPLICAS_MAX + 1},
    };

    (void)state;
    for (uint32_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct diag why = {""};
        const struct ring_wish wish = {rows[i].node, rows[i].nodes, rows[i].partitions,
                                       rows[i].replicas};
        enum err err = ring_replan(&wish, NULL, placed, &why);

        if (err != ERR_BAD_ARGUMENT || why.text[0] == 0) {
            fail_msg("%s: %s, \"%s\"", rows[i].name, err_name(err), why.text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_nodes_share_evenly),
        cmocka_unit_test(loads_and_leaders_are_bounded),
        cmocka_unit_test(order_of_members_does_not_matter),
        cmocka_unit_test(zones_share_no_partition),
        cmocka_unit_test(too_few_zones_share_evenly),
        cmocka_unit_test(a_lonely_zone_carries_all),
        cmocka_unit_test(heavier_nodes_carry_more),
        cmocka_unit_test(frozen_vector),
        cmocka_unit_test(bad_arguments_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
