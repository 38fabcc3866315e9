/* Whole clusters, briefly: that a seed repeats exactly, that a healthy product passes, and
 * that the checkers speak up when a bug is planted. */
#include "sim/sim_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { BRIEF_US = 1500000, FOR_BUGS_US = 3000000 };

static struct sim_result run(uint64_t seed, enum sim_bug bug)
{
    struct sim_options given = {
        .seed = seed, .fault_us = bug == SIM_BUG_NONE ? BRIEF_US : FOR_BUGS_US, .bug = bug};
    struct sim_result result;

    sim_world_run(&given, &result);
    return result;
}

static void test_a_seed_repeats(void **state)
{
    (void)state;
    struct sim_result once = run(1, SIM_BUG_NONE);
    struct sim_result other = run(2, SIM_BUG_NONE);
    struct sim_result twice = run(1, SIM_BUG_NONE); /* whatever ran in between */

    assert_true(once.trace == twice.trace);
    assert_true(once.turns == twice.turns && once.ops == twice.ops);
    assert_true(once.virtual_us == twice.virtual_us);
    assert_true(once.trace != other.trace);
}

static void test_clusters_work(void **state)
{
    (void)state;
    for (uint64_t seed = 11; seed <= 12; seed++) {
        struct sim_result r = run(seed, SIM_BUG_NONE);

        if (r.found) {
            print_error("seed %lu: %s\n", seed, r.finding);
        }
        assert_false(r.found);
        assert_true(r.ops_ok > 0);
        assert_true(r.ops == r.ops_ok + r.ops_fail + r.ops_unknown);
    }
}

static bool is_found(enum sim_bug bug, const char *said)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct sim_result r = run(seed, bug);

        if (r.found && strstr(r.finding, said) != NULL) {
            return true;
        }
    }
    return false;
}

static void test_checkers_speak_up(void **state)
{
    (void)state;
    assert_true(is_found(SIM_BUG_CANARY, "on purpose"));
    assert_true(is_found(SIM_BUG_APPLY_TWICE, ""));
    assert_true(is_found(SIM_BUG_GATES_IGNORED, ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_seed_repeats),
        cmocka_unit_test(test_clusters_work),
        cmocka_unit_test(test_checkers_speak_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
