/* The map is changed by commands and by what it needs: three nodes, and what a client is told. */
#include "node/node_internal.h"
#include "node/node_mapplan.h"
#include "node_trio.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { SECOND_US = 1000 * 1000, ANSWER_US = 12 * SECOND_US, MOVED_US = 30 * SECOND_US };

static struct trio t;

static int set_up(void **state)
{
    (void)state;
    trio_open(&t, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    trio_close(&t);
    return 0;
}

/* The command's last word is the client address of that member, unless TRIO is given. */
static const char *ask(unsigned node, const char *command, unsigned member)
{
    char line[128];

    (void)snprintf(line, sizeof line, "SYNOD %s %s\r\n", command,
                   member == TRIO ? "" : t.at[member].node->cfg.client_addr);
    return trio_ask(&t, node, line, ANSWER_US);
}

static void assert_begins(const char *text, const char *with)
{
    if (strncmp(text, with, strlen(with)) != 0) {
        fail_msg("\"%s\" does not begin with \"%s\"", text, with);
    }
}

static uint32_t replicas_on(unsigned node)
{
    const struct node *n = t.at[node].node;
    uint32_t here = 0;

    for (uint32_t p = 0; p < n->map.partitions; p++) {
        here += n->groups[p].here;
    }
    return here;
}

static void wait_for_replicas(unsigned node, uint32_t count)
{
    for (uint64_t us = 0; us < MOVED_US && replicas_on(node) != count; us += SECOND_US) {
        trio_run(&t, SECOND_US);
    }
    assert_int_equal(replicas_on(node), count);
}

static void wait_for_state(unsigned member, enum wire_member_state want)
{
    const struct node *n = t.at[0].node;

    for (uint64_t us = 0; us < MOVED_US && n->map.members[member].state != want; us += SECOND_US) {
        trio_run(&t, SECOND_US);
    }
    assert_int_equal(n->map.members[member].state, want);
}

static void a_node_is_drained_and_returns(void **state)
{
    uint32_t all = t.at[0].node->map.partitions;

    (void)state;
    trio_set(&t, 0, 1);
    assert_begins(ask(0, "DRAIN", 2), "+OK");
    wait_for_replicas(2, 0);
    trio_set(&t, 2, 2);                       /* it serves clients still, from others */
    assert_begins(ask(0, "DRAIN", 2), "+OK"); /* it is so */
    assert_begins(ask(2, "RETURN", 2), "+OK");
    wait_for_replicas(2, all);
    trio_set(&t, 1, 3);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    assert_begins(ask(0, "DRAIN n9:1", TRIO), "-ERR drain: no member has the address n9:1");
    assert_begins(ask(0, "FORGET", 1), "-ERR forget: ");
    assert_begins(ask(0, "REPLICAS 9", TRIO), "-ERR replicas: a partition has 1 to 7 replicas");
    assert_begins(ask(0, "WEIGHT self 0", TRIO), "-ERR weight: a weight is 1 to 64");
    assert_begins(ask(0, "WEIGHT self x", TRIO), "-ERR weight: a number from 0 to 64 is needed");
    assert_begins(ask(0, "DRAIN", 1), "+OK");
    assert_begins(ask(0, "DRAIN", 2), "+OK");
    assert_begins(ask(0, "DRAIN self", TRIO), "-ERR drain: ");
}

/* The command is answered when the map is decided; without a majority of the council, never. */
static void without_a_majority_nothing_is_decided(void **state)
{
    (void)state;
    trio_cut_off(&t, 0, true);
    assert_begins(ask(0, "REPLICAS 2", TRIO), "-");
    trio_cut_off(&t, 0, false);
}

static void the_dead_are_forgotten(void **state)
{
    char addr[NODE_ADDR_MAX], line[128];

    (void)state;
    (void)snprintf(addr, sizeof addr, "%s", t.at[2].node->cfg.client_addr);
    trio_kill(&t, 2);
    trio_run(&t, 10 * SECOND_US); /* its connections are given up */
    (void)snprintf(line, sizeof line, "FORGET %s", addr);
    assert_begins(ask(0, line, TRIO), "+OK");
    assert_int_equal(t.at[0].node->map.member_count, 2);
    trio_set(&t, 1, 1);
}

/* Dead for longer than the patience with it: what it had is made elsewhere, as far as there is
 * anybody. It is back, and welcome. */
static void the_dead_are_replaced_and_return(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TRIO; i++) {
        t.at[i].node->cfg.dead_member_replace_us = 3 * SECOND_US;
    }
    trio_kill(&t, 2);
    wait_for_state(2, WIRE_MEMBER_AWAY);
    assert_int_equal(node_map_load(&t.at[0].node->map, 2), 0);
    trio_start(&t, 2);
    wait_for_state(2, WIRE_MEMBER_UP);
    wait_for_replicas(2, t.at[0].node->map.partitions);
    trio_set(&t, 2, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_node_is_drained_and_returns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(mistakes_are_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_a_majority_nothing_is_decided, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_dead_are_forgotten, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_dead_are_replaced_and_return, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
