/* `synod sim ring`: the placements it compares, what is fair, what moves, and the command line. */
#include "sim/sim_ring.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { MANY = 16384, PLACED = 5 };

static struct sim_ring_cluster cluster, earlier;
static struct ring_placement placed[PLACED][MANY], was[PLACED][MANY];

static struct sim_ring_shape shape_of(uint32_t partitions, uint32_t replicas)
{
    return (struct sim_ring_shape){partitions, replicas, 160, 7};
}

static void make(uint32_t nodes, uint32_t zones, uint32_t weight_most)
{
    struct prng p = {nodes + 1000 * zones + 7};

    cluster = (struct sim_ring_cluster){.nodes = 0};
    for (uint32_t i = 0; i < nodes; i++) {
        uint32_t weight = (uint32_t)prng_between(&p, 1, weight_most);

        sim_ring_join(&cluster, prng_next(&p), weight, i % zones);
    }
}

/* What synod placed before stays as far as it can. */
static void place_all(const struct sim_ring_shape *shape)
{
    struct sim_ring_scene scene = {&cluster, shape, placed[SIM_RING_SYNOD]};
    struct diag why = {""};

    for (unsigned k = 0; k < PLACED; k++) {
        if (!sim_ring_place(&scene, (enum sim_ring_placer)k, placed[k], &why)) {
            fail_msg("%s", why.text);
        }
    }
}

/* Values that implementations of others document or test: the Rust crate jump_consistent_hash, the
 * Python package jump-consistent-hash, and a test of Microsoft's. */
static void jump_gives_the_published_values(void **state)
{
    static const struct {
        uint64_t key;
        uint32_t buckets, want;
    } rows[] = {{0, 60, 0},
                {1, 60, 55},
                {2, 60, 46},
                {256, 1024, 520},
                {10863919174838991, 11, 6},
                {2016238256797177309, 11, 3}};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        assert_int_equal(sim_ring_jump(rows[i].key, rows[i].buckets), rows[i].want);
    }
    assert_int_equal(sim_ring_jump(UINT64_MAX, 1), 0);
}

/* The theorem of the paper: with one bucket more, a key stays or goes to that one. */
static void jump_moves_only_to_the_new_bucket(void **state)
{
    struct prng p = {3};

    (void)state;
    for (uint32_t i = 0; i < 1000; i++) {
        uint64_t key = prng_next(&p);

        for (uint32_t n = 1; n < 100; n++) {
            uint32_t before = sim_ring_jump(key, n), after = sim_ring_jump(key, n + 1);

            assert_true(after == before || after == n);
        }
    }
}

/* --- what is fair --- */

static void assert_fair(const struct sim_ring_shape *shape, const double *want)
{
    double fair[RING_NODES_MAX];

    sim_ring_fair(&cluster, shape, fair);
    for (uint32_t i = 0; i < cluster.nodes; i++) {
        if (fabs(fair[i] - want[i]) > 1e-6) {
            fail_msg("node %u: %.6f is fair, not %.6f", i, want[i], fair[i]);
        }
    }
}

static void build(const uint32_t (*weight_zone)[2], uint32_t nodes)
{
    cluster = (struct sim_ring_cluster){.nodes = 0};
    for (uint32_t i = 0; i < nodes; i++) {
        sim_ring_join(&cluster, 99 + i, weight_zone[i][0], weight_zone[i][1]);
    }
}

static void fair_shares_are_what_can_be(void **state)
{
    static const struct {
        const char *name;
        uint32_t replicas, nodes, member[5][2]; /* weight, zone */
        double want[5];
    } rows[] = {
        {"by weight", 1, 3, {{1, 0}, {1, 0}, {2, 0}}, {16, 16, 32}},
        {"all of it", 3, 3, {{1, 0}, {1, 0}, {9, 0}}, {64, 64, 64}},
        {"fewer nodes than replicas", 3, 2, {{1, 0}, {2, 0}}, {64, 64}},
        {"not twice on the heaviest",
         2,
         4,
         {{9, 0}, {1, 0}, {1, 0}, {1, 0}},
         {64, 64.0 / 3, 64.0 / 3, 64.0 / 3}},
        {"alone in its zone",
         2,
         4,
         {{1, 0}, {1, 1}, {1, 1}, {1, 1}},
         {64, 64.0 / 3, 64.0 / 3, 64.0 / 3}},
        {"zones in turn",
         3,
         5,
         {{1, 0}, {1, 0}, {1, 0}, {1, 1}, {1, 1}},
         {38.4, 38.4, 38.4, 38.4, 38.4}},
        {"the third of one zone is in the other",
         4,
         5,
         {{1, 0}, {1, 0}, {1, 0}, {1, 0}, {1, 1}},
         {48, 48, 48, 48, 64}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct sim_ring_shape shape = shape_of(64, rows[i].replicas);

        build(rows[i].member, rows[i].nodes);
        print_message("%s\n", rows[i].name);
        assert_fair(&shape, rows[i].want);
    }
}

/* Of fair shares at random: they add up, and nobody has two replicas of a partition. */
static void fair_shares_add_up(void **state)
{
    (void)state;
    for (uint32_t nodes = 1; nodes <= 40; nodes++) {
        for (uint32_t zones = 1; zones <= 6; zones++) {
            struct sim_ring_shape shape = shape_of(64, 3);
            double fair[RING_NODES_MAX], sum = 0;

            make(nodes, zones, 16);
            sim_ring_fair(&cluster, &shape, fair);
            for (uint32_t i = 0; i < nodes; i++) {
                assert_true(fair[i] > 0 && fair[i] <= 64);
                sum += fair[i];
            }
            assert_true(fabs(sum - 64.0 * sim_ring_replicas(&cluster, &shape)) < 1e-6);
        }
    }
}

/* --- what moves --- */

static void the_ideal_moves_one_share(void **state)
{
    (void)state;
    for (uint32_t nodes = 3; nodes <= 60; nodes++) {
        struct sim_ring_shape shape = shape_of(64, 3);
        struct sim_ring_move m;

        make(nodes, 1, 1);
        earlier = cluster;
        sim_ring_join(&cluster, 5, 1, 0);
        m = sim_ring_moved_ideal(&earlier, &cluster, &shape);
        assert_true(fabs(m.replicas - 1.0 / (nodes + 1)) < 1e-9);
        assert_true(fabs(m.leads - 1.0 / (nodes + 1)) < 1e-9);
        earlier = cluster;
        sim_ring_leave(&cluster, 0);
        m = sim_ring_moved_ideal(&earlier, &cluster, &shape);
        assert_true(fabs(m.replicas - 1.0 / (nodes + 1)) < 1e-9);
    }
    make(3, 1, 1); /* three replicas on three nodes: all have all, whatever they weigh */
    earlier = cluster;
    sim_ring_reweigh(&cluster, 0, 9);
    assert_true(
        sim_ring_moved_ideal(&earlier, &cluster, &(struct sim_ring_shape){64, 3, 1, 1}).replicas <
        1e-9);
}

static bool has(const struct ring_placement *p, uint64_t id)
{
    for (uint32_t i = 0; i < p->count; i++) {
        if (p->replica[i] == id) {
            return true;
        }
    }
    return false;
}

/* Rendezvous and ketama move to whoever joins, and from whoever leaves, nothing else; with as many
 * partitions as there are slots that is the ideal share, but for chance. */
static void consistent_hashes_move_no_more_than_they_must(void **state)
{
    static const enum sim_ring_placer placers[] = {SIM_RING_RENDEZVOUS, SIM_RING_KETAMA};
    struct sim_ring_shape shape = shape_of(MANY, 3);
    uint64_t id;

    (void)state;
    make(12, 1, 1);
    place_all(&shape);
    memcpy(was, placed, sizeof was);
    sim_ring_join(&cluster, 12345, 1, 0);
    id = cluster.node[12].id;
    place_all(&shape);
    for (size_t k = 0; k < ARRAY_COUNT(placers); k++) {
        struct sim_ring_move m = sim_ring_moved(&shape, was[placers[k]], placed[placers[k]]);

        assert_true(fabs(m.replicas - 1.0 / 13) < 0.02);
        for (uint32_t p = 0; p < MANY; p++) {
            for (uint32_t i = 0; i < 3; i++) {
                uint64_t now = placed[placers[k]][p].replica[i];

                assert_true(now == id || has(&was[placers[k]][p], now));
            }
        }
    }
    sim_ring_leave(&cluster, 12); /* and back */
    place_all(&shape);
    for (size_t k = 0; k < ARRAY_COUNT(placers); k++) {
        assert_memory_equal(was[placers[k]], placed[placers[k]], sizeof was[0]);
    }
}

/* A leaver's buckets are taken by the last ones, so about twice the ideal moves, or nothing more
 * when the last one leaves. */
static void jump_moves_twice_when_one_in_the_middle_leaves(void **state)
{
    struct sim_ring_shape shape = shape_of(MANY, 1);

    (void)state;
    for (uint32_t pos = 0; pos < 10; pos += 9) {
        struct sim_ring_move m;

        make(10, 1, 1);
        place_all(&shape);
        memcpy(was, placed, sizeof was);
        sim_ring_leave(&cluster, pos);
        place_all(&shape);
        m = sim_ring_moved(&shape, was[SIM_RING_JUMP], placed[SIM_RING_JUMP]);
        assert_true(fabs(m.replicas - (pos == 9 ? 0.1 : 0.2)) < 0.02);
    }
}

/* --- what a placement is --- */

static void loads_follow_weights(void **state)
{
    struct sim_ring_shape shape = shape_of(MANY, 1);
    struct sim_ring_balance b;

    (void)state;
    make(8, 1, 8);
    place_all(&shape);
    for (unsigned k = 0; k < PLACED; k++) {
        sim_ring_weigh(&cluster, &shape, placed[k], &b);
        assert_true(b.fullest < 1.25 && b.emptiest > 0.75);
        assert_true(b.deviation < 0.12);
    }
}

/* Every replica of a partition is on a member of its own, whatever happens to the members; synod
 * besides keeps zones apart and its bound, always. */
static void replicas_are_apart(void **state)
{
    struct prng p = {11};

    (void)state;
    for (uint32_t round = 0; round < 60; round++) {
        uint32_t zones = 1 + round % 5, replicas = 1 + round % 4;
        struct sim_ring_shape shape = shape_of(64, replicas);

        make(1 + round, zones, round % 2 == 0 ? 1 : 8);
        for (uint32_t step = 0; step < 4; step++) {
            struct sim_ring_balance b;

            if (step % 2 == 0) {
                sim_ring_join(&cluster, prng_next(&p), 1 + step, step % zones);
            } else {
                sim_ring_leave(&cluster, (uint32_t)prng_below(&p, cluster.nodes));
            }
            place_all(&shape);
            for (unsigned k = 0; k < PLACED; k++) {
                sim_ring_weigh(&cluster, &shape, placed[k], &b);
                assert_int_equal(b.doubled, 0);
                assert_true(k > SIM_RING_AFRESH || b.zone_violations == 0);
                assert_true(k > SIM_RING_AFRESH || b.over == 0);
            }
        }
    }
}

static void what_is_wrong_is_seen(void **state)
{
    struct sim_ring_shape shape = shape_of(64, 3);
    struct ring_placement *p = placed[SIM_RING_SYNOD];
    struct ring_placement right;
    struct sim_ring_balance b;

    (void)state;
    make(9, 3, 1);
    place_all(&shape);
    right = p[5];
    p[5].replica[1] = p[5].replica[0]; /* twice on one node */
    sim_ring_weigh(&cluster, &shape, p, &b);
    assert_int_equal(b.doubled, 1);
    p[5] = right;
    p[5].replica[2] = right.replica[2] + (1 << 20); /* on a stranger with a member's serial */
    sim_ring_weigh(&cluster, &shape, p, &b);
    assert_int_equal(b.doubled, 1);
    p[5] = right;
    p[5].count = 2;
    sim_ring_weigh(&cluster, &shape, p, &b);
    assert_int_equal(b.doubled, 1);
    p[5].count = 3;
    for (uint32_t i = 0; i < 3; i++) {
        p[5].replica[i] = cluster.node[3 * i].id; /* all in zone 0 */
    }
    sim_ring_weigh(&cluster, &shape, p, &b);
    assert_int_equal(b.doubled, 0);
    assert_int_equal(b.zone_violations, 1);
    for (uint32_t i = 0; i < 64; i++) { /* all on three nodes of nine */
        p[i] = right;
    }
    sim_ring_weigh(&cluster, &shape, p, &b);
    assert_true(fabs(b.fullest - 3) < 1e-6 && b.emptiest == 0);
    assert_true(fabs(b.deviation - sqrt((3 * 4 + 6) / 9.0)) < 1e-6);
    assert_true(fabs(b.over - 3 / 9.0) < 1e-9);
    assert_true(fabs(b.leads_fullest - 9) < 1e-6);
}

/* --- the command --- */

static bool parse(struct sim_ring_options *o, const char *line, struct diag *why)
{
    static char text[256], name[] = "ring";
    char *argv[32] = {name};
    int argc = 1;

    (void)snprintf(text, sizeof text, "%s", line);
    for (char *at = text; *at != 0;) {
        argv[argc++] = at;
        at += strcspn(at, " ");
        if (*at != 0) {
            *at++ = 0;
        }
    }
    return sim_ring_parse(o, argc, argv, why);
}

static void nonsense_is_refused(void **state)
{
    static const char *const lines[] = {
        "--nodes 5,3",
        "--nodes 0",
        "--nodes 257",
        "--nodes 3,",
        "--nodes 3x",
        "--partitions 48",
        "--partitions 32768",
        "--replicas 8",
        "--replicas 0",
        "--zones 0",
        "--zones 65",
        "--weights 0",
        "--weights 65",
        "--weights heavy",
        "--vnodes 0",
        "--steps jump",
        "--steps join,",
        "--steps zone",
        "--nodes 1 --steps leave",
        "--nodes 256",
        "--count 0",
        "--format xml",
        "--what 1",
        "--seed",
        "--seed -1",
        "--svg",
    };
    struct sim_ring_options o;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
        struct diag why = {""};

        if (parse(&o, lines[i], &why) || why.text[0] == 0) {
            fail_msg("%s: taken", lines[i]);
        }
    }
}

static void the_command_line_is_understood(void **state)
{
    struct sim_ring_options o;
    struct diag why;

    (void)state;
    assert_true(parse(&o, "", &why));
    assert_int_equal(o.sizes, 5);
    assert_int_equal(o.steps, 2);
    assert_true(parse(&o,
                      "--nodes 3,7 --partitions 256 --replicas 2 --vnodes 40 --zones 3 "
                      "--weights random --steps zone,weight --seed 0x10 --count 9 --format csv",
                      &why));
    assert_true(o.sizes == 2 && o.size[1] == 7 && o.shape.partitions == 256);
    assert_true(o.shape.replicas == 2 && o.shape.vnodes == 40 && o.zones == 3);
    assert_true(o.weights == 0 && o.weight_most == 8 && o.steps == 2);
    assert_true(o.step[0] == SIM_RING_ZONE && o.step[1] == SIM_RING_WEIGHT);
    assert_true(o.seed == 16 && o.count == 9 && o.format == SIM_PLOT_CSV);
    assert_true(parse(&o, "--steps none --nodes 1,256 --weights 1,2,64", &why));
    assert_true(o.steps == 0 && o.weights == 3 && o.weight[2] == 64);
    assert_true(parse(&o, "--nodes 1 --steps join,leave", &why));
    assert_true(parse(&o, "--help", &why) && o.help);
}

static void report(const char *line, struct buf *out)
{
    struct sim_ring_options o;
    static struct sim_ring_study s;
    struct diag why = {""};

    if (!parse(&o, line, &why) || !sim_ring_run(&s, &o, &why)) {
        fail_msg("%s", why.text);
    }
    assert_true(sim_ring_broken(&s) == 0);
    sim_ring_report(&s, out);
    sim_ring_draw(&s, out);
    sim_ring_free(&s);
    put_u8(out, 0);
}

static void the_same_seeds_give_the_same_report(void **state)
{
    static const char *const lines[] = {
        "--nodes 3,9 --count 4 --zones 3 --steps join,leave,weight,zone --weights random",
        "--nodes 1,2 --count 3 --steps join",
        "--nodes 4 --count 5 --format csv --steps none",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
        struct buf one = {0}, two = {0};

        report(lines[i], &one);
        report(lines[i], &two);
        assert_string_equal((const char *)one.data, (const char *)two.data);
        assert_null(strstr((const char *)one.data, "nan"));
        buf_free(&one);
        buf_free(&two);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jump_gives_the_published_values),
        cmocka_unit_test(jump_moves_only_to_the_new_bucket),
        cmocka_unit_test(fair_shares_are_what_can_be),
        cmocka_unit_test(fair_shares_add_up),
        cmocka_unit_test(the_ideal_moves_one_share),
        cmocka_unit_test(consistent_hashes_move_no_more_than_they_must),
        cmocka_unit_test(jump_moves_twice_when_one_in_the_middle_leaves),
        cmocka_unit_test(loads_follow_weights),
        cmocka_unit_test(replicas_are_apart),
        cmocka_unit_test(what_is_wrong_is_seen),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(the_command_line_is_understood),
        cmocka_unit_test(the_same_seeds_give_the_same_report),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
