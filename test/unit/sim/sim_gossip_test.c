/* Gossip: the model of the spread where its outcome is known exactly, beside theory over seeds, and
 * the engines of the detection: deaths found, nobody buried alive where nothing is wrong. */
#include "sim/sim_gossip.h"
#include "sim/sim_gossip_args.h"

#include "base/base_mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct sim_gossip_spread_setup plain_setup(uint32_t nodes, enum sim_gossip_mode mode)
{
    struct sim_gossip_spread_setup s = {.mode = mode, .untiring = true, .interval_us = 200000};

    swim_config_default(&s.cfg);
    s.cfg.fanout = 1;
    s.world.nodes = nodes;
    s.world.seed = 1;
    s.world.latency_us_min = 1000;
    s.world.latency_us_max = 5000;
    return s;
}

static void two_members_need_one_round(void **state)
{
    (void)state;
    for (unsigned mode = 0; mode < SIM_GOSSIP_MODES; mode++) {
        struct sim_gossip_spread_setup s = plain_setup(2, (enum sim_gossip_mode)mode);
        struct sim_gossip_spread got;

        sim_gossip_spread(&s, &got);
        assert_int_equal(got.reached, 2);
        assert_int_equal(got.at[SIM_GOSSIP_HALF], 0);
        assert_int_equal(got.at[SIM_GOSSIP_ALL], 1);
        /* push-pull: one is told because it asks, and at the same time unasked */
        assert_int_equal(got.rumours, mode == SIM_GOSSIP_PUSH_PULL ? 2 : 1);
        assert_int_equal(got.steps, 2);
        assert_int_equal(got.curve[0], 1);
        assert_int_equal(got.curve[1], 2);
        /* push: one packet; else both ask, and both are answered */
        assert_int_equal(got.packets, mode == SIM_GOSSIP_PUSH ? 1 : 4);
        sim_gossip_spread_free(&got);
    }
}

/* Whoever tells all others at once, by turns, is done in one round with n - 1 packets. */
static void a_fan_out_of_all_is_one_round(void **state)
{
    struct sim_gossip_spread_setup s = plain_setup(9, SIM_GOSSIP_PUSH);
    struct sim_gossip_spread got;

    (void)state;
    s.cfg.fanout = s.cfg.fanout_max = 12; /* more than there are */
    s.turns = true;
    sim_gossip_spread(&s, &got);
    assert_int_equal(got.at[SIM_GOSSIP_ALL], 1);
    assert_int_equal(got.packets, 8);
    sim_gossip_spread_free(&got);
}

/* Who is alone tells as often as it may, and is tired. */
static void nothing_passes_where_all_is_lost(void **state)
{
    (void)state;
    for (unsigned timed = 0; timed < 2; timed++) {
        struct sim_gossip_spread_setup s = plain_setup(10, SIM_GOSSIP_PUSH);
        struct sim_gossip_spread got;

        s.world.loss_ppm = 1000000;
        s.timed = timed != 0;
        s.untiring = false; /* lambda 4: log10(11) * 4 = 5 packets, rounded up */
        sim_gossip_spread(&s, &got);
        assert_int_equal(got.reached, 1);
        assert_int_equal(got.packets, 5);
        assert_true(got.at[SIM_GOSSIP_ALL] == SIM_GOSSIP_NEVER);
        sim_gossip_spread_free(&got);
    }
}

static uint64_t run(const struct sim_gossip_spread_setup *setup, uint64_t seed, uint32_t *reached)
{
    struct sim_gossip_spread_setup s = *setup;
    struct sim_gossip_spread got;
    uint64_t at;

    s.world.seed = seed;
    sim_gossip_spread(&s, &got);
    at = got.at[SIM_GOSSIP_ALL];
    *reached = got.reached;
    for (uint32_t i = 1; i < got.steps; i++) {
        assert_true(got.curve[i] >= got.curve[i - 1]);
    }
    assert_int_equal(got.curve[got.steps - 1], got.reached);
    sim_gossip_spread_free(&got);
    return at;
}

static double mean_rounds(const struct sim_gossip_spread_setup *s, uint64_t seeds)
{
    double sum = 0;

    for (uint64_t seed = 1; seed <= seeds; seed++) {
        uint32_t reached;

        sum += (double)run(s, seed, &reached);
        assert_int_equal(reached, s->world.nodes);
    }
    return sum / (double)seeds;
}

static void rounds_are_those_of_theory(void **state)
{
    static const struct {
        enum sim_gossip_mode mode;
        uint32_t nodes, fanout, loss_ppm;
        double low, high; /* of the mean, by theory */
    } rows[] = {
        {SIM_GOSSIP_PUSH, 10000, 1, 0, 0.98, 1.15}, /* [Doerr, Kuennemann 2014]: -1.2 to +2.8 */
        {SIM_GOSSIP_PUSH, 1000, 1, 0, 0.95, 1.2},        {SIM_GOSSIP_PUSH, 3000, 3, 0, 0.9, 1.3},
        {SIM_GOSSIP_PUSH, 3000, 1, 200000, 0.95, 1.2},   {SIM_GOSSIP_PULL, 3000, 1, 0, 0.9, 1.2},
        {SIM_GOSSIP_PUSH_PULL, 10000, 1, 0, 0.85, 1.15},
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        struct sim_gossip_spread_setup s = plain_setup(rows[i].nodes, rows[i].mode);
        double theory, ratio;

        s.cfg.fanout = rows[i].fanout;
        s.world.loss_ppm = rows[i].loss_ppm;
        theory = sim_gossip_theory_rounds(s.mode, s.world.nodes, s.cfg.fanout, s.world.loss_ppm);
        ratio = mean_rounds(&s, 10) / theory;
        if (ratio < rows[i].low || ratio > rows[i].high) {
            print_error("row %u: %.3f times theory's %.1f\n", i, ratio, theory);
        }
        assert_true(ratio >= rows[i].low && ratio <= rows[i].high);
    }
}

static void the_same_seed_is_the_same_run(void **state)
{
    (void)state;
    for (unsigned setting = 0; setting < 24; setting++) {
        struct sim_gossip_spread_setup s =
            plain_setup(500, (enum sim_gossip_mode)(setting % SIM_GOSSIP_MODES));
        struct sim_gossip_spread a, b;

        s.timed = setting / 3 % 2 != 0;
        s.adaptive = setting / 6 % 2 != 0;
        s.turns = setting / 12 != 0;
        s.world.loss_ppm = 100000;
        s.world.slow_ppm = 100000;
        s.world.slow_us_max = 1000000;
        s.world.cut_ppm = 300000;
        s.world.cut_until_us = 1000000;
        sim_gossip_spread(&s, &a);
        sim_gossip_spread(&s, &b);
        assert_memory_equal(a.at, b.at, sizeof a.at);
        assert_true(a.packets == b.packets && a.bytes == b.bytes && a.rumours == b.rumours);
        assert_int_equal(a.steps, b.steps);
        assert_memory_equal(a.curve, b.curve, a.steps * sizeof a.curve[0]);
        sim_gossip_spread_free(&b);
        s.world.seed = 2;
        sim_gossip_spread(&s, &b);
        assert_true(a.packets != b.packets || a.steps != b.steps);
        sim_gossip_spread_free(&a);
        sim_gossip_spread_free(&b);
    }
}

/* Half the packets are lost. With the engine's budget as configured some are not reached; with what
 * the engine makes of it once it has measured the loss, all are. */
static void what_adapts_reaches_all_under_loss(void **state)
{
    (void)state;
    for (unsigned timed = 0; timed < 2; timed++) {
        uint32_t reached[2] = {0};

        for (unsigned adaptive = 0; adaptive < 2; adaptive++) {
            struct sim_gossip_spread_setup s = plain_setup(10000, SIM_GOSSIP_PUSH);

            swim_config_default(&s.cfg);
            s.untiring = false;
            s.adaptive = adaptive != 0;
            s.timed = timed != 0;
            s.world.loss_ppm = 500000;
            for (uint64_t seed = 1; seed <= 5; seed++) {
                uint32_t now;

                (void)run(&s, seed, &now);
                reached[adaptive] += now;
            }
        }
        assert_true(reached[0] < 5 * 10000);
        assert_int_equal(reached[1], 5 * 10000);
    }
}

/* Nobody beyond the cut hears before it ends; then all do. */
static void a_partition_holds_until_it_ends(void **state)
{
    (void)state;
    for (unsigned timed = 0; timed < 2; timed++) {
        struct sim_gossip_spread_setup s = plain_setup(200, SIM_GOSSIP_PUSH_PULL);
        struct sim_gossip_spread got;

        s.timed = timed != 0;
        s.world.cut_ppm = 500000;
        s.world.cut_until_us = 20 * s.interval_us;
        sim_gossip_spread(&s, &got);
        assert_int_equal(got.reached, 200);
        assert_true(got.at[SIM_GOSSIP_ALL] > (timed != 0 ? s.world.cut_until_us : 20));
        assert_in_range(got.curve[timed != 0 ? 190 : 19], 60, 140);
        sim_gossip_spread_free(&got);
    }
}

/* --- detection --- */

static struct sim_gossip_detect_setup detect_setup(uint32_t nodes, uint32_t crashes)
{
    struct sim_gossip_detect_setup s = {.crashes = crashes, .time_us = 20000000};

    swim_config_default(&s.cfg);
    s.world = plain_setup(nodes, SIM_GOSSIP_PUSH).world;
    return s;
}

static void deaths_are_found_and_nobody_else_is_buried(void **state)
{
    struct sim_gossip_detect_setup s = detect_setup(24, 4);
    struct sim_gossip_detect a, b;

    (void)state;
    sim_gossip_detect(&s, &a);
    sim_gossip_detect(&s, &b);
    assert_int_equal(a.crashes, 4);
    for (int stage = 0; stage < SIM_GOSSIP_STAGES; stage++) {
        assert_memory_equal(a.after_us[stage], b.after_us[stage], 4 * sizeof a.after_us[0][0]);
        assert_true(a.after_us[stage][3] != SIM_GOSSIP_NEVER);
        assert_true(stage == 0 || a.after_us[stage][0] >= a.after_us[stage - 1][0]);
    }
    assert_true(a.after_us[SIM_GOSSIP_SUSPECTED][0] >= s.cfg.timeout_us_min);
    assert_true(a.after_us[SIM_GOSSIP_DEAD][0] >= a.shortest_us);
    assert_int_equal(a.false_views, 0);
    assert_true(a.bytes_per_s == b.bytes_per_s && a.packets_per_s > 1);
    sim_gossip_detect_free(&a);
    sim_gossip_detect_free(&b);
}

/* Losses, and slow members that accuse others: with Lifeguard at most a tenth as many of those who
 * are well are buried [LG]. */
static void lifeguard_buries_fewer(void **state)
{
    uint64_t views[2];

    (void)state;
    for (unsigned plain = 0; plain < 2; plain++) {
        struct sim_gossip_detect_setup s = detect_setup(100, 0);
        struct sim_gossip_detect got;

        s.world.loss_ppm = 50000;
        s.world.slow_ppm = 100000;
        s.world.slow_us_min = 1000000;
        s.world.slow_us_max = 5000000;
        s.time_us = 120000000;
        if (plain != 0) {
            swim_config_plain(&s.cfg);
        }
        sim_gossip_detect(&s, &got);
        views[plain] = got.false_views_well;
        assert_true(got.false_deaths <= got.false_views);
        assert_true(got.false_views_well <= got.false_views);
        sim_gossip_detect_free(&got);
    }
    assert_true(views[1] > 0);
    assert_true(views[0] * 10 <= views[1]);
}

/* --- the command line --- */

static bool parses(const char *line, struct sim_gossip_args *a, struct diag *why)
{
    char text[256], *argv[32] = {(char *)"gossip"}, *at = text;
    int argc = 1;

    (void)snprintf(text, sizeof text, "%s", line);
    while (*at != 0 && argc < 32) {
        argv[argc++] = at;
        at += strcspn(at, " ");
        if (*at != 0) {
            *at++ = 0;
        }
    }
    return sim_gossip_args_parse(a, argc, argv, why);
}

static void what_makes_no_sense_is_said(void **state)
{
    static const struct {
        const char *line, *why;
    } rows[] = {
        {"--nodes 1", "--nodes cannot be '1'"},
        {"--nodes 10,", "--nodes cannot be '10,'"},
        {"--loss 101", "--loss cannot be '101'"},
        {"--latency 5-1", "--latency cannot be '5-1'"},
        {"--mode shove", "--mode cannot be 'shove'"},
        {"--fanout 0", "--fanout cannot be '0'"},
        {"--seed", "--seed cannot be ''"},
        {"--speed 3", "there is no option --speed"},
        {"--fanout 4 --fanout-max 3",
         "fan-out and transmissions cannot be above their own maximum"},
        {"--detect --nodes 5000",
         "--detect runs an engine for each member: 3 to 2000 of them, not 5000"},
        {"--detect --nodes 10 --slow 50 --crash 4",
         "of 10 members, 5 slow and 4 that crash leave too few"},
    };
    struct sim_gossip_args a;
    struct diag why;

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        assert_false(parses(rows[i].line, &a, &why));
        assert_string_equal(why.text, rows[i].why);
    }
    assert_true(
        parses("--nodes 10,20 --loss 2.5 --latency 0.5-20 --mode pull --how both", &a, &why));
    assert_int_equal(a.sizes, 2);
    assert_int_equal(a.world.loss_ppm, 25000);
    assert_int_equal(a.world.latency_us_min, 500);
    assert_int_equal(a.world.latency_us_max, 20000);
    assert_int_equal(a.modes, 1u << SIM_GOSSIP_PULL);
    assert_int_equal(a.hows, SIM_GOSSIP_BOTH);
    assert_true(a.untiring);
    /* Detection is by the engine as it ships. */
    assert_true(parses("--detect", &a, &why));
    assert_int_equal(a.cfg.fanout, 3);
    assert_int_equal(a.cfg.fanout_max, 5);
    assert_int_equal(a.cfg.retransmit, 4);
    assert_int_equal(a.cfg.retransmit_max, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_members_need_one_round),
        cmocka_unit_test(a_fan_out_of_all_is_one_round),
        cmocka_unit_test(nothing_passes_where_all_is_lost),
        cmocka_unit_test(rounds_are_those_of_theory),
        cmocka_unit_test(the_same_seed_is_the_same_run),
        cmocka_unit_test(what_adapts_reaches_all_under_loss),
        cmocka_unit_test(a_partition_holds_until_it_ends),
        cmocka_unit_test(deaths_are_found_and_nobody_else_is_buried),
        cmocka_unit_test(lifeguard_buries_fewer),
        cmocka_unit_test(what_makes_no_sense_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
