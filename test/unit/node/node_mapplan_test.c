/* Changes of the map that plan the placement anew: who holds what afterwards, and what is refused.
 */
#include "node/node_mapplan.h"

#include "base/base_mem.h"
#include "base/base_prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { PARTITIONS = 64 };

static struct wire_member member(uint8_t number)
{
    struct wire_member m = {.weight = 1, .paxos = number};

    memset(m.node.b, number, sizeof m.node.b);
    (void)snprintf(m.peer_addr, sizeof m.peer_addr, "n%u:17000", number);
    (void)snprintf(m.client_addr, sizeof m.client_addr, "n%u:7000", number);
    return m;
}

/* Members 1, 2, ...; everything placed. */
static struct wire_map map_of(uint8_t members, uint32_t replicas)
{
    struct wire_map map = {.epoch = 1, .partitions = PARTITIONS, .replicas = replicas};
    struct diag why = {0};

    map.placement = mem_alloc((size_t)PARTITIONS * replicas);
    memset(map.placement, WIRE_NOBODY, (size_t)PARTITIONS * replicas);
    while (map.member_count < members) {
        map.members[map.member_count] = member((uint8_t)(map.member_count + 1));
        map.member_count++;
    }
    assert_int_equal(node_map_replan(&map, &why), ERR_OK);
    node_map_choose_council(&map);
    return map;
}

/* What is sent is what is read: a map that is good for the wire is good. */
static void check(const struct wire_map *map)
{
    struct buf bytes = {0};
    struct wire_map read;

    wire_put_map(&bytes, map);
    assert_int_equal(wire_get_map(buf_slice(&bytes), &read), ERR_OK);
    wire_map_free(&read);
    buf_free(&bytes);
}

static struct diag refused;

static enum node_change_verdict change(struct wire_map *map, const struct node_change *c,
                                       uint64_t *moves)
{
    struct wire_map next;
    enum node_change_verdict verdict;

    refused = (struct diag){0};
    verdict = node_mapchange(map, c, &next, &refused);
    assert_true((verdict == NODE_CHANGE_REFUSED) == (refused.text[0] != 0));
    *moves = 0;
    if (verdict == NODE_CHANGE_NEXT) {
        check(&next);
        *moves = node_map_moves(map, &next);
        wire_map_free(map);
        *map = next;
        assert_int_equal(node_mapchange(map, c, &next, &refused), NODE_CHANGE_IS_SO);
    }
    return verdict;
}

/* Of member `number`; moved: how many replicas that moves. */
static void must(struct wire_map *map, enum node_change_kind kind, uint8_t number, uint64_t moved)
{
    struct node_change c = {.kind = kind, .member = member(number)};
    uint64_t moves;

    if (change(map, &c, &moves) != NODE_CHANGE_NEXT) {
        fail_msg("refused: %s", refused.text);
    }
    assert_int_equal(moves, moved);
}

static void must_not(struct wire_map *map, enum node_change_kind kind, uint8_t number,
                     const char *says)
{
    struct node_change c = {.kind = kind, .member = member(number)};
    uint64_t moves;

    assert_int_equal(change(map, &c, &moves), NODE_CHANGE_REFUSED);
    assert_string_equal(refused.text, says);
}

/* 1 -> 3 -> 4: a newcomer holds nothing until a re-plan gives it its share. */
static void a_cluster_grows(void **state)
{
    struct wire_map map = map_of(1, 3);

    (void)state;
    for (uint8_t n = 2; n <= 4; n++) {
        must(&map, NODE_CHANGE_JOIN, n, 0);
        assert_int_equal(node_map_load(&map, n - 1U), 0);
        must(&map, NODE_CHANGE_REBALANCE, n, n <= 3 ? 64 : 48);
        assert_int_equal(node_map_load(&map, n - 1U), n <= 3 ? 64 : 48);
    }
    wire_map_free(&map);
}

/* 4 -> 3 -> 1: who leaves gives away first, and is removed when it has nothing. */
static void a_cluster_shrinks(void **state)
{
    struct wire_map map = map_of(4, 3);

    (void)state;
    for (uint8_t n = 4; n >= 2; n--) {
        uint32_t held = node_map_load(&map, 1); /* the second, whoever that is */
        struct wire_id gone = map.members[1].node;

        must_not(&map, NODE_CHANGE_REMOVE, gone.b[0],
                 gone.b[0] == 2   ? "n2:7000 does not leave, or something is placed on it"
                 : gone.b[0] == 3 ? "n3:7000 does not leave, or something is placed on it"
                                  : "n4:7000 does not leave, or something is placed on it");
        must(&map, NODE_CHANGE_LEAVE, gone.b[0], n > 3 ? held : 0);
        assert_int_equal(node_map_load(&map, 1), 0);
        must(&map, NODE_CHANGE_REMOVE, gone.b[0], 0);
        assert_int_equal(map.member_count, n - 1);
        assert_int_equal(wire_map_member(&map, &gone), -1);
        assert_int_equal(map.council_count, n - 1 >= 3 ? 3 : 1);
    }
    must_not(&map, NODE_CHANGE_LEAVE, 1, "n1:7000 is the last member that may hold data");
    must_not(&map, NODE_CHANGE_DRAIN, 1, "n1:7000 is the last member that may hold data");
    must_not(&map, NODE_CHANGE_AWAY, 1, "n1:7000 is the last member that may hold data");
    must_not(&map, NODE_CHANGE_FORGET, 1, "n1:7000 is the last member that may hold data");
    wire_map_free(&map);
}

static void who_drains_gives_all_away_and_may_return(void **state)
{
    struct wire_map map = map_of(4, 3);

    (void)state;
    must(&map, NODE_CHANGE_DRAIN, 2, 48);
    assert_int_equal(map.members[1].state, WIRE_MEMBER_DRAINING);
    assert_int_equal(node_map_load(&map, 1), 0);
    must(&map, NODE_CHANGE_LEAVE, 2, 0); /* it has changed its mind, and may do so again */
    must(&map, NODE_CHANGE_RETURN, 2, 48);
    assert_int_equal(node_map_load(&map, 1), 48);
    wire_map_free(&map);
}

/* Who has been dead too long has its replicas made elsewhere. Who drains does so already. */
static void the_dead_are_replaced_and_welcome(void **state)
{
    struct wire_map map = map_of(5, 3);
    struct node_change away = {.kind = NODE_CHANGE_AWAY, .member = member(3)};
    uint32_t held = node_map_load(&map, 2);
    uint64_t moves;

    (void)state;
    must(&map, NODE_CHANGE_AWAY, 3, held);
    assert_int_equal(node_map_load(&map, 2), 0);
    must(&map, NODE_CHANGE_RETURN, 3, 38); /* its share, rounded down */
    must(&map, NODE_CHANGE_DRAIN, 3, 38);
    assert_int_equal(change(&map, &away, &moves), NODE_CHANGE_IS_SO);
    assert_int_equal(map.members[2].state, WIRE_MEMBER_DRAINING);
    wire_map_free(&map);
}

static void a_dead_member_is_forgotten(void **state)
{
    struct wire_map map = map_of(4, 3), alone = map_of(3, 1);
    uint32_t held = node_map_load(&map, 0);
    char says[80];

    (void)state;
    must(&map, NODE_CHANGE_FORGET, 1, held);
    assert_int_equal(map.member_count, 3);
    assert_int_equal(map.members[0].node.b[0], 2); /* positions moved, ids did not */
    for (uint32_t p = 0; p < PARTITIONS && !wire_map_places(&alone, p, 0); p++) {
        (void)snprintf(says, sizeof says,
                       "partition %u is on n1:7000 alone: forgetting that would lose it", p + 1);
    }
    if (wire_map_places(&alone, 0, 0)) {
        (void)snprintf(says, sizeof says,
                       "partition 0 is on n1:7000 alone: forgetting that would lose it");
    }
    must_not(&alone, NODE_CHANGE_FORGET, 1, says);
    must(&alone, NODE_CHANGE_DRAIN, 1, node_map_load(&alone, 0));
    must(&alone, NODE_CHANGE_FORGET, 1, 0);
    wire_map_free(&map);
    wire_map_free(&alone);
}

static void load_follows_weight_and_zone(void **state)
{
    struct wire_map map = map_of(6, 2);
    struct node_change c = {.kind = NODE_CHANGE_WEIGH, .member = member(2)};
    uint64_t moves;

    (void)state;
    c.member.weight = 2;
    assert_int_equal(change(&map, &c, &moves), NODE_CHANGE_NEXT);
    assert_in_range(node_map_load(&map, 1), 36, 37); /* 128 * 2 / 7 */
    assert_in_range(moves, 15, 16);
    c.member.weight = 65;
    assert_int_equal(change(&map, &c, &moves), NODE_CHANGE_REFUSED);
    assert_string_equal(refused.text, "a weight is 1 to 64");
    c = (struct node_change){.kind = NODE_CHANGE_ZONE, .member = member(2)};
    c.member.zone = 9;
    assert_int_equal(change(&map, &c, &moves), NODE_CHANGE_NEXT);
    assert_int_equal(node_map_load(&map, 1), PARTITIONS); /* one of two zones */
    wire_map_free(&map);
}

static void more_or_fewer_replicas_may_be_wanted(void **state)
{
    struct wire_map map = map_of(5, 3);
    struct node_change c = {.kind = NODE_CHANGE_REPLICAS, .replicas = 4};
    uint64_t moves;

    (void)state;
    assert_int_equal(change(&map, &c, &moves), NODE_CHANGE_NEXT);
    assert_int_equal(moves, PARTITIONS);
    c.replicas = 7; /* two more than there are members: holes */
    assert_int_equal(change(&map, &c, &moves), NODE_CHANGE_NEXT);
    assert_int_equal(moves, PARTITIONS);
    c.replicas = 2;
    assert_int_equal(change(&map, &c, &moves), NODE_CHANGE_NEXT);
    assert_true(moves < 8); /* rows are cut, and loads evened out */
    c.replicas = 8;
    assert_int_equal(change(&map, &c, &moves), NODE_CHANGE_REFUSED);
    assert_string_equal(refused.text, "a partition has 1 to 7 replicas");
    wire_map_free(&map);
}

static void strangers_are_told_apart(void **state)
{
    struct wire_map map = map_of(3, 3);
    struct node_change c = {.kind = NODE_CHANGE_FORGET, .member = member(9)};
    uint64_t moves;

    (void)state;
    assert_int_equal(change(&map, &c, &moves), NODE_CHANGE_IS_SO);
    c.kind = NODE_CHANGE_REMOVE;
    assert_int_equal(change(&map, &c, &moves), NODE_CHANGE_IS_SO);
    c.kind = NODE_CHANGE_DRAIN;
    assert_int_equal(change(&map, &c, &moves), NODE_CHANGE_REFUSED);
    assert_string_equal(refused.text, "the node is not a member of the cluster");
    wire_map_free(&map);
}

/* Whatever is asked of it, a map stays one, and says what was asked. */
static void any_history_leaves_a_good_map(void **state)
{
    struct prng prng = {17};

    (void)state;
    for (uint32_t round = 0; round < 20; round++) {
        struct wire_map map = map_of((uint8_t)prng_between(&prng, 1, 9), 3);

        for (uint32_t i = 0; i < 60; i++) {
            struct node_change c = {
                .kind = (enum node_change_kind)prng_below(&prng, NODE_CHANGE_REPLICAS + 1),
                .member = member((uint8_t)prng_between(&prng, 1, 12)),
                .replicas = (uint32_t)prng_between(&prng, 1, 5),
            };
            uint64_t moves;

            c.member.weight = (uint8_t)prng_between(&prng, 1, 5);
            c.member.zone = (uint32_t)prng_below(&prng, 3);
            (void)change(&map, &c, &moves);
        }
        wire_map_free(&map);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cluster_grows),
        cmocka_unit_test(a_cluster_shrinks),
        cmocka_unit_test(who_drains_gives_all_away_and_may_return),
        cmocka_unit_test(the_dead_are_replaced_and_welcome),
        cmocka_unit_test(a_dead_member_is_forgotten),
        cmocka_unit_test(load_follows_weight_and_zone),
        cmocka_unit_test(more_or_fewer_replicas_may_be_wanted),
        cmocka_unit_test(strangers_are_told_apart),
        cmocka_unit_test(any_history_leaves_a_good_map),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
