/* What the simulator is told and how it reports: sets of names, delta debugging, the command line,
 * marks; and that a planted bug's finding shrinks to a command that repeats it. */
#include "sim/sim_args.h"
#include "sim/sim_ddmin.h"
#include "sim/sim_finding.h"
#include "sim/sim_marks.h"
#include "sim/sim_pool.h"
#include "sim/sim_shrink.h"
#include "sim/sim_story.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* --- sets of names --- */

static void assert_printed(const struct sim_set *s, const char *want)
{
    struct buf out = {0};

    sim_set_print(s, &out);
    put_u8(&out, 0);
    assert_string_equal((const char *)out.data, want);
    buf_free(&out);
}

static void test_sets_read_as_they_are_written(void **state)
{
    (void)state;
    static const struct {
        const char *text, *printed;
        uint64_t size;
    } rows[] = {
        {"none", "none", 0},
        {"7", "7", 1},
        {"7-9,3", "3,7-9", 4},
        {"3,4,5", "3-5", 3},
        {"1-5,3-9,10", "1-10", 10},
        {"2.14,2.15,1.3", "1.3,2.14-15", 3},
        {"1.4294967295,2.0", "1.4294967295,2.0", 2}, /* neighbours in number, not in name */
        {"0,1", "0-1", 2},
    };

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct sim_set s = {0};

        assert_true(sim_set_parse(&s, rows[i].text));
        assert_printed(&s, rows[i].printed);
        assert_true(sim_set_size(&s) == rows[i].size);
        sim_set_free(&s);
    }
}

static void test_bad_sets_are_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {"",   ",",  "1,",    "1,,2",       "-1", "2-1", "a",
                                       "1.", ".1", "1.2.3", "4294967296", "1-", "1 2", "none,1"};

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct sim_set s = {0};

        assert_false(sim_set_parse(&s, rows[i]));
        sim_set_free(&s);
    }
}

/* Against a plain array, with ranges that touch, overlap and swallow. */
static void test_sets_hold_what_was_added(void **state)
{
    (void)state;
    struct prng dice = {7};

    for (unsigned round = 0; round < 50; round++) {
        bool in[200] = {0};
        struct sim_set s = {0};

        for (unsigned i = 0; i < 20; i++) {
            uint64_t first = prng_below(&dice, 200);
            uint64_t last = first + prng_below(&dice, 200 - first < 12 ? 200 - first : 12);

            sim_set_add(&s, first, last);
            for (uint64_t n = first; n <= last; n++) {
                in[n] = true;
            }
        }
        for (unsigned n = 0; n < 200; n++) {
            assert_true(sim_set_has(&s, n) == in[n]);
        }
        sim_set_free(&s);
    }
}

/* --- delta debugging --- */

struct wanted { /* it happens as long as all of these stay */
    const uint64_t *items;
    size_t count;
    unsigned tries, tries_max;
};

static bool holds(const struct wanted *w, const struct sim_kept *kept)
{
    for (size_t i = 0; i < w->count; i++) {
        bool there = false;

        for (size_t k = 0; k < kept->count; k++) {
            there = there || kept->items[k] == w->items[i];
        }
        if (!there) {
            return false;
        }
    }
    return true;
}

static size_t first_that_holds(void *arg, const struct sim_kept *candidates, size_t count)
{
    struct wanted *w = arg;

    for (size_t i = 0; i < count; i++) {
        if (w->tries++ >= w->tries_max) {
            return SIM_DDMIN_STOP;
        }
        if (holds(w, &candidates[i])) {
            return i;
        }
    }
    return SIM_DDMIN_NONE;
}

static size_t reduce(uint64_t *items, size_t count, struct wanted *w)
{
    for (size_t i = 0; i < count; i++) {
        items[i] = i;
    }
    return sim_ddmin(items, count, first_that_holds, w);
}

static void test_ddmin_leaves_what_it_takes(void **state)
{
    (void)state;
    static const uint64_t pair[] = {3, 999}, row[] = {17, 18, 19, 20, 500};
    static uint64_t items[1000];
    struct wanted none = {NULL, 0, 0, 1000}, two = {pair, 2, 0, 1000}, five = {row, 5, 0, 1000};

    assert_int_equal(reduce(items, 1000, &none), 0);
    assert_int_equal(none.tries, 1);
    assert_int_equal(reduce(items, 1000, &two), 2);
    assert_memory_equal(items, pair, sizeof pair);
    assert_true(two.tries < 100);
    assert_int_equal(reduce(items, 1000, &five), 5);
    assert_memory_equal(items, row, sizeof row);
    assert_int_equal(reduce(items, 0, &none), 0);
    two = (struct wanted){pair, 1, 0, 1000};
    assert_int_equal(reduce(items, 4, &two), 1);
    assert_true(items[0] == 3);
}

static void test_ddmin_stops_when_told(void **state)
{
    (void)state;
    static const uint64_t pair[] = {3, 999};
    static uint64_t items[1000];
    struct wanted w = {pair, 2, 0, 8};
    struct sim_kept left = {items, 0};

    left.count = reduce(items, 1000, &w);
    assert_true(left.count < 1000); /* what was left out so far stays out */
    assert_true(holds(&w, &left));
}

/* --- the command line --- */

static bool parse(struct sim_args *a, const char *line, struct diag *why)
{
    static char words[512];
    char *argv[40];
    int argc = 0;
    char *rest = words;

    assert_true(strlen(line) < sizeof words);
    memcpy(words, line, strlen(line) + 1);
    while (rest != NULL) {
        argv[argc++] = strsep(&rest, " ");
    }
    return sim_args_parse(a, argc, argv, why);
}

static void test_commands_read_as_they_are_written(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "./dev sim --seed 7 --time 10",
        "./dev sim --seed 18446744073709551615 --time 0.000001",
        "./dev sim --seed 1 --time 2.937 --hosts 3 --partitions 1 --clients 2 --keys 4",
        "./dev sim --seed 1 --time 10 --without kill,frames --only-faults 1-2,1.4 --only-ops none",
        "./dev sim --seed 1 --time 10 --skip-faults 12 --skip-ops 1.2-8 --bug canary --no-order",
    };

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const char *options = rows[i] + strlen("./dev ");
        struct buf out = {0};
        struct sim_args a;
        struct diag why = {0};

        assert_true(parse(&a, options, &why));
        sim_args_command(&a.sim, &out);
        put_u8(&out, 0);
        assert_string_equal((const char *)out.data, rows[i]);
        buf_free(&out);
        sim_args_free(&a);
    }
}

static void test_bad_commands_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *line, *why;
    } rows[] = {
        {"sim --sede 7", "there is no option --sede"},
        {"sim --seed", "--seed cannot be ''"},
        {"sim --seed -1", "--seed cannot be '-1'"},
        {"sim --count 0", "--count cannot be '0'"},
        {"sim --hosts 6", "--hosts cannot be '6'"},
        {"sim --time 0", "--time cannot be '0'"},
        {"sim --time nan", "--time cannot be 'nan'"},
        {"sim --without kill,thunder", "--without cannot be 'kill,thunder'"},
        {"sim --only-ops 3-1", "--only-ops cannot be '3-1'"},
        {"sim --bug none-such", "--bug cannot be 'none-such'"},
    };

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct sim_args a;
        struct diag why = {0};

        assert_false(parse(&a, rows[i].line, &why));
        assert_string_equal(why.text, rows[i].why);
        sim_args_free(&a);
    }
}

static void test_what_is_not_said_has_a_default(void **state)
{
    (void)state;
    struct sim_args a;
    struct diag why = {0};

    assert_true(parse(&a, "sim cluster --no-shrink", &why));
    assert_true(a.count == 1 && a.sim.fault_us == 10000000 && !a.shrink && !a.seed_given);
    assert_true(a.sim.only_faults == NULL && a.sim.skip_ops == NULL);
    sim_args_free(&a);
    assert_true(parse(&a, "sim --seed 3 --minutes 5 --marks required --log ops", &why));
    assert_true(a.seed_given && a.minutes == 5 && a.marks == SIM_MARKS_REQUIRED && a.shrink);
    assert_true(a.sim.log == SIM_LOG_OPS);
    sim_args_free(&a);
}

/* --- marks --- */

static void reach(bool often, bool rare)
{
    SOMETIMES(true, "sim_tool_test: always");
    SOMETIMES(often, "sim_tool_test: often");
    SOMETIMES(false, "sim_tool_test: never");
    SOMETIMES_RARE(rare, "sim_tool_test: rare", 1000, "two things at once");
}

static bool printed_missing(const struct sim_marks *m, uint64_t seeds, const char *name)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *to = open_memstream(&text, &bytes);
    bool there;

    assert_non_null(to);
    sim_marks_missing(m, seeds, to);
    assert_int_equal(fclose(to), 0);
    there = strstr(text, name) != NULL;
    free(text);
    return there;
}

static void test_marks_are_counted_by_seed(void **state)
{
    (void)state;
    static struct sim_marks m, all;
    static struct sim_marks_seen seen;
    struct sim_marks_sum few, many;

    memset(all.seeds, 1, sizeof all.seeds);
    reach(true, false);
    reach(true, false); /* twice in one seed is one seed */
    sim_marks_count(&m, &seen);
    reach(false, false);
    sim_marks_count(&m, &seen);
    few = sim_marks_sum_up(&m, 2, NULL);
    many = sim_marks_sum_up(&m, 1000, NULL);
    assert_true(few.reached >= 2 && few.total > few.reached);
    assert_true(printed_missing(&m, 2, "sim_tool_test: never"));
    assert_false(printed_missing(&m, 2, "sim_tool_test: often"));
    assert_false(printed_missing(&m, 999, "sim_tool_test: rare"));
    assert_true(printed_missing(&m, 1000, "sim_tool_test: rare"));
    assert_true(many.missing > few.missing);
    assert_int_equal(sim_marks_sum_up(&all, 5000, NULL).missing, 0);
}

/* --- findings --- */

static void test_findings_are_explained(void **state)
{
    (void)state;
    assert_non_null(strstr(sim_finding_meaning("at 1.2 s: election safety: p0"), "leader"));
    assert_string_equal(sim_finding_meaning("something new"), "");
    assert_string_equal(sim_span(340).text, "340 us");
    assert_string_equal(sim_span(12000).text, "12 ms");
    assert_string_equal(sim_span(1250000).text, "1.25 s");
}

/* The first seed that shows the bug. */
static bool hunt(struct sim_try *t, struct sim_options *given, struct sim_verdict *v)
{
    for (given->seed = 1; given->seed <= 40; given->seed++) {
        if (sim_try_run(t, given, SIM_LOG_NONE, 300, v) && v->found) {
            return true;
        }
    }
    return false;
}

static void test_a_planted_bug_shrinks(void **state)
{
    (void)state;
    struct sim_options given = {.fault_us = 2000000, .bug = SIM_BUG_APPLY_TWICE};
    struct sim_shrink_limits limits = {.until_s = sim_pool_now_s() + 20, .jobs = 2, .seed_s = 300};
    struct sim_verdict v, again;
    struct sim_shrunk small;
    struct sim_args a;
    struct buf command = {0};
    struct diag why = {0};
    struct sim_try t;
    uint32_t faults, ops;

    assert_true(sim_try_init(&t));
    assert_true(hunt(&t, &given, &v));
    faults = t.trial->record.faults.count;
    ops = t.trial->record.ops.count;
    sim_shrink(&given, v.kind, &t.trial->record, &limits, NULL, &small);

    sim_args_command(&small.given, &command);
    put_u8(&command, 0);
    assert_true(parse(&a, (const char *)command.data + strlen("./dev "), &why));
    assert_true(sim_try_run(&t, &a.sim, SIM_LOG_OPS, 300, &again));
    assert_true(again.found && again.kind == v.kind);
    assert_true(t.trial->record.faults.count <= faults && t.trial->record.ops.count < ops);
    assert_true(t.trial->record.lines > 0);
    buf_free(&command);
    sim_args_free(&a);
    sim_shrunk_free(&small);
    sim_try_deinit(&t);
}

static void test_a_death_is_a_finding(void **state)
{
    (void)state;
    struct sim_options given = {.seed = 1, .fault_us = 1000000};
    struct sim_verdict v;
    struct sim_try t;

    assert_true(sim_try_init(&t));
    given.hosts_given = SIM_HOSTS_MAX + 1; /* more than there is room for: a CHECK fails */
    assert_true(sim_try_run(&t, &given, SIM_LOG_NONE, 300, &v));
    assert_true(v.found);
    assert_non_null(strstr(v.finding, "CHECK failed"));
    given.hosts_given = 0;
    assert_true(
        sim_try_run(&t, &given, SIM_LOG_NONE, 300, &v)); /* and the next one is judged anew */
    assert_false(v.found);
    sim_try_deinit(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sets_read_as_they_are_written),
        cmocka_unit_test(test_bad_sets_are_refused),
        cmocka_unit_test(test_sets_hold_what_was_added),
        cmocka_unit_test(test_ddmin_leaves_what_it_takes),
        cmocka_unit_test(test_ddmin_stops_when_told),
        cmocka_unit_test(test_commands_read_as_they_are_written),
        cmocka_unit_test(test_bad_commands_are_refused),
        cmocka_unit_test(test_what_is_not_said_has_a_default),
        cmocka_unit_test(test_marks_are_counted_by_seed),
        cmocka_unit_test(test_findings_are_explained),
        cmocka_unit_test(test_a_planted_bug_shrinks),
        cmocka_unit_test(test_a_death_is_a_finding),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
