/* Changes of the map are pure functions: what they make of a map, and who decides the next one. */
#include "base/base_mem.h"
#include "node/node_mapchange.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct wire_member member(uint8_t number, uint32_t zone)
{
    struct wire_member m = {.zone = zone, .weight = 1, .paxos = number};

    memset(m.node.b, number, sizeof m.node.b);
    (void)snprintf(m.peer_addr, sizeof m.peer_addr, "n%u:17000", number);
    (void)snprintf(m.client_addr, sizeof m.client_addr, "n%u:7000", number);
    return m;
}

/* Members 1, 2, ... in the zones of the text, one letter each; one partition, on the first. A
 * capital letter: it is being drained. */
static struct wire_map map_of(const char *zones)
{
    struct wire_map map = {.epoch = 7, .partitions = 1, .replicas = 1};

    map.placement = mem_zalloc(1);
    while (zones[map.member_count] != 0) {
        char zone = zones[map.member_count];
        struct wire_member *m = &map.members[map.member_count++];

        *m = member((uint8_t)map.member_count, (uint32_t)zone | 32);
        m->state = zone < 'a' ? WIRE_MEMBER_DRAINING : WIRE_MEMBER_UP;
    }
    return map;
}

static const char *council(const struct wire_map *map)
{
    static char text[2 * WIRE_COUNCIL_MAX + 1];

    text[0] = 0;
    for (uint8_t i = 0; i < map->council_count; i++) {
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%u", map->council[i] + 1U);
    }
    return text;
}

static void councils_fit_the_members(void **state)
{
    static const struct {
        const char *name, *zones, *present, *council;
    } rows[] = {
        {"one member", "a", "", "1"},
        {"two: either one's death would stop two acceptors", "aa", "", "1"},
        {"two, and who sits stays", "aa", "2", "2"},
        {"three", "aaa", "1", "123"},
        {"four bear no more deaths than three", "aaaa", "", "123"},
        {"five", "aaaaa", "123", "12345"},
        {"who sits stays", "aaaaaaa", "34567", "34567"},
        {"zones come first", "aaabc", "123", "12345"},
        {"two zones of four members", "aabb", "12", "123"},
        {"five of three zones, evenly", "aaaaabbbc", "12345", "12679"},
        {"not who is being drained", "aAaa", "123", "134"},
        {"unless there is nobody else", "AA", "", "1"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct wire_map map = map_of(rows[i].zones);

        for (const char *c = rows[i].present; *c != 0; c++) {
            map.council[map.council_count++] = (uint8_t)(*c - '1');
        }
        node_map_choose_council(&map);
        assert_string_equal(council(&map), rows[i].council);
        node_map_choose_council(&map); /* it has found its rest */
        assert_string_equal(council(&map), rows[i].council);
        wire_map_free(&map);
    }
}

static enum node_change_verdict change(struct wire_map *map, enum node_change_kind kind,
                                       struct wire_member m)
{
    struct node_change c = {.kind = kind, .member = m};
    struct wire_map next;
    struct diag why = {0};
    enum node_change_verdict verdict = node_mapchange(map, &c, &next, &why);

    assert_true((verdict == NODE_CHANGE_REFUSED) == (why.text[0] != 0));
    if (verdict == NODE_CHANGE_NEXT) {
        assert_int_equal(next.epoch, map->epoch + 1);
        wire_map_free(map);
        *map = next;
        assert_int_equal(node_mapchange(map, &c, &next, &why), NODE_CHANGE_IS_SO);
    }
    return verdict;
}

static void a_node_joins_at_a_new_address(void **state)
{
    struct wire_map map = map_of("ab");
    struct wire_member m = member(9, 3);

    (void)state;
    node_map_choose_council(&map);
    assert_int_equal(change(&map, NODE_CHANGE_JOIN, m), NODE_CHANGE_NEXT);
    assert_int_equal(map.member_count, 3);
    assert_int_equal(wire_map_member(&map, &m.node), 2);
    assert_string_equal(council(&map), "123"); /* three may decide from now on */
    assert_false(wire_map_places(&map, 0, 2)); /* what it is to hold is decided apart */
    wire_map_free(&map);
}

static void an_emptied_node_takes_its_former_place(void **state)
{
    struct wire_map map = map_of("aaa");
    struct wire_member again = member(9, 'a');

    (void)state;
    node_map_choose_council(&map);
    memcpy(again.peer_addr, map.members[1].peer_addr, sizeof again.peer_addr);
    assert_int_equal(change(&map, NODE_CHANGE_JOIN, again), NODE_CHANGE_NEXT);
    assert_int_equal(map.member_count, 3);
    assert_int_equal(wire_map_member(&map, &again.node), 1);
    assert_string_equal(council(&map), "123"); /* under its new id */
    assert_int_equal(map.members[1].paxos, 9);
    wire_map_free(&map);
}

/* It crashed before it had the map that names it, and has another id to speak under. */
static void a_node_that_asks_again_is_not_added_twice(void **state)
{
    struct wire_map map = map_of("a");
    struct wire_member m = member(9, 'a');

    (void)state;
    node_map_choose_council(&map);
    assert_int_equal(change(&map, NODE_CHANGE_JOIN, m), NODE_CHANGE_NEXT);
    m.paxos = 99;
    assert_int_equal(change(&map, NODE_CHANGE_JOIN, m), NODE_CHANGE_NEXT);
    assert_int_equal(map.member_count, 2);
    assert_int_equal(map.members[1].paxos, 99);
    wire_map_free(&map);
}

/* Two nodes have each other's addresses now. Between the two changes both are at one. */
static void addresses_may_be_exchanged(void **state)
{
    struct wire_map map = map_of("aab");
    struct wire_member one = member(1, 'a'), two = member(2, 'a'), lost = member(9, 'a');

    (void)state;
    node_map_choose_council(&map);
    memcpy(one.peer_addr, "n2:17000", 9);
    memcpy(two.peer_addr, "n1:17000", 9);
    memcpy(lost.peer_addr, "n2:17000", 9);
    assert_int_equal(change(&map, NODE_CHANGE_READDRESS, one), NODE_CHANGE_NEXT);
    assert_int_equal(change(&map, NODE_CHANGE_JOIN, lost), NODE_CHANGE_REFUSED); /* which one? */
    assert_int_equal(change(&map, NODE_CHANGE_READDRESS, two), NODE_CHANGE_NEXT);
    assert_string_equal(map.members[0].peer_addr, "n2:17000");
    assert_string_equal(map.members[1].peer_addr, "n1:17000");
    wire_map_free(&map);
}

static void what_cannot_be_is_refused(void **state)
{
    struct wire_map map = map_of("aab");
    struct wire_member m = member(9, 'a');

    (void)state;
    node_map_choose_council(&map);
    assert_int_equal(change(&map, NODE_CHANGE_READDRESS, m), NODE_CHANGE_REFUSED);
    assert_int_equal(change(&map, NODE_CHANGE_RENEW, m), NODE_CHANGE_REFUSED);
    m.paxos = 2; /* that of another */
    assert_int_equal(change(&map, NODE_CHANGE_JOIN, m), NODE_CHANGE_REFUSED);
    m = member(1, 'a');
    m.paxos = 2;
    assert_int_equal(change(&map, NODE_CHANGE_RENEW, m), NODE_CHANGE_REFUSED);
    for (unsigned i = 3; i < WIRE_MEMBERS_MAX; i++) {
        assert_int_equal(change(&map, NODE_CHANGE_JOIN, member((uint8_t)(i + 10), i)),
                         NODE_CHANGE_NEXT);
    }
    assert_int_equal(change(&map, NODE_CHANGE_JOIN, member(200, 1)), NODE_CHANGE_REFUSED);
    wire_map_free(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(councils_fit_the_members),
        cmocka_unit_test(a_node_joins_at_a_new_address),
        cmocka_unit_test(an_emptied_node_takes_its_former_place),
        cmocka_unit_test(a_node_that_asks_again_is_not_added_twice),
        cmocka_unit_test(addresses_may_be_exchanged),
        cmocka_unit_test(what_cannot_be_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
