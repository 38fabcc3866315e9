/* What the map needs without anybody asking: who acts, on what, and when nobody does. */
#include "node/node_keeper.h"

#include "base/base_mem.h"
#include "node/node_mapplan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MEMBERS = 5, PARTITIONS = 16, MIN_10 = 600 };

/* A view in a line: what differs from five members that are up and alive, seen by the first, with
 * a map of long ago to which everything has come. */
struct row {
    const char *name;
    const char *states; /* of the members: u(p), d(raining), l(eaving), a(way) */
    const char *there;  /* +: alive; -: dead for long; ~: dead since a moment ago */
    uint32_t self;
    const char *also; /* words: moving, unfair, young (the map), back (a while), never, empty */
    const char *due;  /* the change's kind and member, or "" */
};

static const char *const kinds[] = {
    [NODE_CHANGE_AWAY] = "away",
    [NODE_CHANGE_RETURN] = "return",
    [NODE_CHANGE_REMOVE] = "remove",
    [NODE_CHANGE_REBALANCE] = "rebalance",
};

static struct wire_map map_of(const char *states)
{
    struct wire_map map = {.epoch = 1, .partitions = PARTITIONS, .replicas = 3};
    struct diag why = {0};

    map.placement = mem_alloc((size_t)PARTITIONS * 3);
    memset(map.placement, WIRE_NOBODY, (size_t)PARTITIONS * 3);
    for (int i = 0; i < MEMBERS; i++) {
        struct wire_member *m = &map.members[map.member_count++];

        *m = (struct wire_member){.weight = 1, .paxos = (unsigned)i + 1};
        memset(m->node.b, i + 1, sizeof m->node.b);
        m->state = states[i] == 'd'   ? WIRE_MEMBER_DRAINING
                   : states[i] == 'l' ? WIRE_MEMBER_LEAVING
                   : states[i] == 'a' ? WIRE_MEMBER_AWAY
                                      : WIRE_MEMBER_UP;
    }
    assert_int_equal(node_map_replan(&map, &why), ERR_OK);
    node_map_choose_council(&map);
    return map;
}

static bool says(const struct row *row, const char *word)
{
    return strstr(row->also, word) != NULL;
}

static void check(const struct row *row)
{
    struct wire_map map = map_of(row->states);
    struct keeper_view v = {.map = &map, .self = row->self};
    struct node_change c;
    char due[32] = "";

    v.replace_us = says(row, "never") ? 0 : MIN_10 * 1000000ULL;
    for (uint32_t i = 0; i < MEMBERS; i++) {
        v.alive |= (uint64_t)(row->there[i] == '+') << i;
        v.dead_us[i] = row->there[i] == '-' ? MIN_10 * 1000000ULL : row->there[i] == '~' ? 1000 : 0;
    }
    v.majority_us = says(row, "back") ? KEEPER_BACK_US : 1;
    v.map_us = says(row, "young") ? 1000000 : MIN_10 * 1000000ULL - says(row, "moving");
    v.moving = says(row, "moving") || says(row, "stuck");
    v.fair = !says(row, "unfair");
    v.empty = says(row, "empty");
    if (keeper_next(&v, &c)) {
        (void)snprintf(due, sizeof due, "%s %u", kinds[c.kind], c.member.node.b[0]);
    }
    if (strcmp(due, row->due) != 0) {
        fail_msg("%s: \"%s\" is due, not \"%s\"", row->name, due, row->due);
    }
    wire_map_free(&map);
}

static void what_is_due(void **state)
{
    static const struct row rows[] = {
        {"all is well", "uuuuu", "+++++", 0, "", ""},
        {"one is dead", "uuuuu", "+++-+", 0, "", "away 4"},
        {"but not for long", "uuuuu", "+++~+", 0, "", ""},
        {"nobody is ever to be replaced", "uuuuu", "+++-+", 0, "never", ""},
        {"another acts", "uuuuu", "+++-+", 1, "", ""},
        {"the next of the council acts", "uuuuu", "-++++", 1, "", "away 1"},
        {"one of two", "uuuuu", "++--+", 0, "", "away 3"},
        {"the other when that has come to rest", "uuauu", "++--+", 0, "moving", ""},
        {"the other", "uuauu", "++--+", 0, "", "away 4"},
        {"a movement stands still for as long", "uuauu", "++--+", 0, "stuck", "away 4"},
        {"no majority is alive", "uuuuu", "++---", 0, "", ""},
        {"who drains is not replaced, it gives away", "uuudu", "+++-+", 0, "", ""},
        {"a newcomer gets its share", "uuuuu", "+++++", 0, "unfair", "rebalance 1"},
        {"when others have joined too", "uuuuu", "+++++", 0, "unfair young", ""},
        {"when the last movement has ended", "uuuuu", "+++++", 0, "unfair moving", ""},
        {"when all are there", "uuuuu", "++++~", 0, "unfair", ""},
        {"but for those that are not counted on", "uuuua", "++++-", 0, "unfair", "rebalance 1"},
        {"only one sees to that", "uuuuu", "+++++", 2, "unfair", ""},
        {"who leaves has nothing more", "uuulu", "+++++", 3, "empty", "remove 4"},
        {"who leaves has something yet", "uuulu", "+++++", 3, "", ""},
        {"others wait for it to say so", "uuulu", "+++++", 0, "", ""},
        {"unless it died of it", "uuulu", "+++-+", 0, "", "remove 4"},
        {"a moment ago", "uuulu", "+++~+", 0, "", ""},
        {"before all that it had was elsewhere", "uuulu", "+++-+", 0, "moving", ""},
        {"who drains stays, with nothing", "uuudu", "+++++", 3, "empty", ""},
        {"who was away is back", "uuuau", "+++++", 3, "back empty", "return 4"},
        {"perhaps not for long", "uuuau", "+++++", 3, "empty", ""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        check(&rows[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_due),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
