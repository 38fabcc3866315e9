/* A replica of three that does not trust its own state is rebuilt from one that is right. */
#include "node/node_internal.h"
#include "node_trio.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { LONG_US = 10 * 1000 * 1000 };

static struct trio t;
static unsigned leader, other;

static int setup(void **state)
{
    (void)state;
    leader = trio_open_led(&t, 0);
    other = (leader + 1) % TRIO;
    trio_set(&t, other, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    trio_close(&t);
    return 0;
}

static void doubt(unsigned node, enum suspicion why)
{
    uint64_t installs = trio_group(&t, node)->installs;

    node_begin(t.at[node].node, t.at[node].now);
    node_repair_suspect(trio_group(&t, node), why, "a test says so");
    node_end(t.at[node].node, &t.at[node].fx);
    rig_effects(&t.at[node]);
    trio_run(&t, LONG_US);
    assert_int_equal(trio_group(&t, node)->digest.suspect, SUSPECT_NOT);
    assert_int_equal(trio_group(&t, node)->installs, installs + 1);
    assert_string_equal(trio_ask(&t, node, "GET a\r\n", LONG_US), "$1\r\n1\r\n");
}

static void who_found_rot_in_itself_is_rebuilt(void **state)
{
    (void)state;
    doubt(other, SUSPECT_ROT);
}

/* A leader was outvoted, since a value had rotted, and handed over. The value was overwritten
 * before the next leader compared digests: equal ones, so it did nothing, and the replica waited
 * for it for ever; its log was never cut again. (Seed 4757 of 660fdfb.) */
static void who_was_outvoted_is_rebuilt_though_equal_by_now(void **state)
{
    (void)state;
    doubt(other, SUSPECT_DIFFERS);
}

static void a_leader_in_doubt_hands_over_and_is_rebuilt(void **state)
{
    (void)state;
    doubt(leader, SUSPECT_DIFFERS);
    assert_int_not_equal(trio_leader(&t, "a"), TRIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_found_rot_in_itself_is_rebuilt, setup, teardown),
        cmocka_unit_test_setup_teardown(who_was_outvoted_is_rebuilt_though_equal_by_now, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_leader_in_doubt_hands_over_and_is_rebuilt, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
