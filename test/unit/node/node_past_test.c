/* Whether a replica that came back has forgotten: what its peers make of the counts of records
 * that it says. The peer that speaks is played by the test. */
#include "node/node_internal.h"
#include "node_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct raft_id PEER = {0x7700000}, NEXT = {0x7701000};

struct past {
    struct rig r;
    struct link link;
};

static void setup(struct past *p)
{
    *p = (struct past){0};
    rig_open(&p->r);
    store_u64le(p->link.node.b, PEER.n);
}

static void teardown(struct past *p)
{
    buf_free(&p->link.now);
    rig_close(&p->r);
}

/* The process with that number opens a connection, or speaks on (run 0); true: it is told that
 * it has forgotten. */
static bool says_as(struct past *p, struct raft_id id, uint64_t run, struct wire_records s)
{
    struct buf b = {0};
    bool told;

    s.replica = id;
    put_u8(&b, run != 0);
    if (run != 0) {
        put_u64le(&b, run);
    }
    wire_put_records(&b, &s);
    p->link.now.len = 0;
    node_begin(p->r.node, p->r.now);
    node_past_frame(p->r.node, &p->link, buf_slice(&b));
    node_end(p->r.node, &p->r.fx);
    rig_effects(&p->r);
    buf_free(&b);
    told = p->link.now.len > 0;
    assert_int_equal(told, run != 0 && node_past_void(&p->r.node->groups[0], id));
    return told;
}

static bool says(struct past *p, uint64_t run, struct wire_records s)
{
    return says_as(p, PEER, run, s);
}

static bool opens(struct past *p, uint64_t run, uint64_t records, uint8_t starts,
                  const struct wire_start *start)
{
    struct wire_records s = {.records = records, .starts.count = starts};

    for (uint8_t i = 0; i < starts; i++) {
        s.starts.at[i] = start[i];
    }
    return says(p, run, s);
}

/* Its first run began with ten records and has been heard of fifty-nine. */
static void setup_heard_of_59(struct past *p)
{
    setup(p);
    assert_false(opens(p, 1, 10, 1, &(struct wire_start){.run = 1, .records = 10}));
    assert_false(says(p, 0, (struct wire_records){.records = 59}));
}

static void a_new_connection_of_the_same_run_forgets_nothing(void **state)
{
    const struct wire_start starts[] = {{.run = 1, .records = 10}};
    struct past p;

    (void)state;
    setup_heard_of_59(&p);
    assert_false(opens(&p, 1, 59, 1, starts));
    assert_false(opens(&p, 1, 64, 1, starts));
    teardown(&p);
}

static void a_run_that_begins_with_all_forgets_nothing(void **state)
{
    const struct wire_start starts[] = {{1, 10}, {2, 59}, {3, 61}};
    struct past p;

    (void)state;
    setup_heard_of_59(&p);
    assert_false(opens(&p, 2, 60, 2, starts));
    assert_false(opens(&p, 3, 61, 3, starts));
    teardown(&p);
}

/* Seed 991 of 5700ac3: the newest batch was damaged on its way to the disk, the process ended and
 * came back without it. Eight seconds passed before it met a peer again. Meanwhile it wrote a
 * checkpoint, and with that had as many records as before: nobody noticed, and its leader, who
 * took it to have what it had acknowledged, never sent it the rest. */
static void what_is_written_before_a_peer_is_met_does_not_hide_the_loss(void **state)
{
    const struct wire_start starts[] = {{1, 10}, {2, 57}};
    struct past p;

    (void)state;
    setup_heard_of_59(&p);
    assert_true(opens(&p, 2, 60, 2, starts));
    teardown(&p);
}

/* The same, and the process ends once more before it meets anybody. */
static void nor_does_another_restart(void **state)
{
    const struct wire_start starts[] = {{1, 10}, {2, 57}, {3, 60}};
    struct past p;

    (void)state;
    setup_heard_of_59(&p);
    assert_true(opens(&p, 3, 62, 3, starts));
    teardown(&p);
}

/* An old image knows nothing of the run in which it was heard of, and earlier runs began with
 * less than that one had in the end. */
static void a_run_that_is_not_listed_is_judged_by_the_last_start(void **state)
{
    const struct wire_start whole[] = {{1, 10}, {3, 60}}, old[] = {{1, 10}, {3, 40}};
    struct past p;

    (void)state;
    setup(&p);
    assert_false(opens(&p, 2, 59, 0, NULL));
    assert_false(opens(&p, 3, 60, 2, whole));
    teardown(&p);
    setup(&p);
    assert_false(opens(&p, 2, 59, 0, NULL));
    assert_true(opens(&p, 3, 70, 2, old));
    teardown(&p);
}

/* The peer meets it in a run that writes nothing, whose start is not in the log therefore. What it
 * was heard of is the run before. */
static void a_run_that_writes_nothing_stands_for_no_records(void **state)
{
    const struct wire_start met[] = {{4, 50}, {5, 100}}, later[] = {{4, 50}, {6, 95}, {7, 105}};
    const struct wire_start whole[] = {{4, 50}, {6, 100}, {7, 110}};
    struct past p;

    (void)state;
    for (unsigned lost = 0; lost < 2; lost++) {
        setup(&p);
        assert_false(opens(&p, 4, 50, 1, met));
        assert_false(says(&p, 0, (struct wire_records){.records = 100}));
        assert_false(opens(&p, 5, 100, 2, met));
        assert_int_equal(opens(&p, 7, 110, 3, lost != 0 ? later : whole), lost);
        teardown(&p);
    }
}

/* FORGOT was lost with the connection, the replica went on writing, and the peer that knew was
 * started anew: what was written since hid what was missing. */
static void what_it_writes_after_it_was_found_out_counts_for_nothing(void **state)
{
    const struct wire_start starts[] = {{1, 10}, {2, 57}};
    struct past p;

    (void)state;
    setup_heard_of_59(&p);
    assert_true(opens(&p, 2, 58, 2, starts));
    assert_false(says(&p, 0, (struct wire_records){.records = 70}));
    assert_true(p.r.node->groups[0].heard[0].records == 59);
    node_begin(p.r.node, p.r.now);
    node_group_put_blob(&p.r.node->groups[0], &p.r.node->groups[0].snap_conf);
    node_end(p.r.node, &p.r.fx);
    rig_effects(&p.r);
    rig_turns(&p.r, 10, NODE_TICK_US);
    rig_reopen(&p.r);
    assert_true(node_past_void(&p.r.node->groups[0], PEER));
    assert_true(opens(&p, 2, 72, 2, starts));
    teardown(&p);
}

/* A start was only logged when something else made the group write its blob: a run that voted and
 * ended left no trace of how it began. Found with models/past.pml. */
static void starts_survive_restarts_and_the_oldest_goes(void **state)
{
    struct rig r = {0};
    uint64_t last = 0;

    (void)state;
    rig_open(&r);
    rig_ask(&r, "SET a 1\r\n");
    for (unsigned i = 1; i <= WIRE_STARTS_MAX + 2; i++) {
        const struct group *g;

        rig_reopen(&r);
        g = &r.node->groups[0];
        assert_int_equal(g->starts.count, i + 1 < WIRE_STARTS_MAX ? i + 1 : WIRE_STARTS_MAX);
        assert_true(g->starts.at[g->starts.count - 1].run == r.node->run);
        assert_true(g->starts.at[g->starts.count - 1].records > last);
        last = g->starts.at[g->starts.count - 1].records;
    }
    rig_close(&r);
}

/* Told in any order and twice: what counts is the most that was said, and each opening. */
static void order_and_repetition_do_not_matter(void **state)
{
    const struct wire_start starts[] = {{1, 10}, {2, 59}};
    struct past p;

    (void)state;
    setup_heard_of_59(&p);
    assert_false(says(&p, 0, (struct wire_records){.records = 30}));
    assert_false(says(&p, 0, (struct wire_records){.records = 59}));
    assert_false(opens(&p, 2, 59, 2, starts));
    assert_false(opens(&p, 2, 59, 2, starts));
    assert_true(opens(&p, 3, 40, 1, &(struct wire_start){3, 40}));
    assert_true(opens(&p, 3, 40, 1, &(struct wire_start){3, 40})); /* the first word was lost */
    teardown(&p);
}

/* Once it has forgotten, no number makes up for it: only a new name does. And who goes back to
 * the name before has forgotten as well. */
static void a_new_generation_ends_it_and_an_old_one_begins_it_again(void **state)
{
    struct wire_records s = {.records = 5};
    struct past p;
    struct group *g;

    (void)state;
    setup(&p);
    g = &p.r.node->groups[0];
    assert_false(opens(&p, 1, 50, 0, NULL));
    assert_true(opens(&p, 2, 40, 0, NULL));
    assert_true(opens(&p, 2, 60, 0, NULL));
    assert_true(opens(&p, 3, 900, 0, NULL));
    assert_false(says_as(&p, NEXT, 3, s));
    assert_true(node_past_void(g, PEER));
    assert_false(node_past_void(g, NEXT));
    assert_true(says_as(&p, PEER, 4, s));
    assert_true(node_past_void(g, NEXT)); /* the directory that had that name is no more */
    teardown(&p);
}

/* What others' replicas have is not for it to say. */
static void a_node_speaks_for_its_own_replicas(void **state)
{
    struct past p;

    (void)state;
    setup(&p);
    assert_false(opens(&p, 1, 50, 0, NULL));
    store_u64le(p.link.node.b, PEER.n + (1ULL << 40));
    assert_false(says_as(&p, NEXT, 2, (struct wire_records){.records = 5}));
    assert_false(node_past_void(&p.r.node->groups[0], PEER));
    teardown(&p);
}

static void a_frame(struct buf *b, uint8_t flags)
{
    struct wire_records s = {.group = 3, .replica = PEER, .records = 300, .starts.count = 2};

    s.starts.at[0] = (struct wire_start){7, 200};
    s.starts.at[1] = (struct wire_start){8, 250};
    put_u8(b, flags);
    if (flags != 0) {
        put_u64le(b, 8);
    }
    wire_put_records(b, &s);
}

static uint64_t errors_after(struct past *p, struct slice payload, bool forgot)
{
    node_begin(p->r.node, p->r.now);
    if (forgot) {
        node_past_forgot(p->r.node, &p->link, payload);
    } else {
        node_past_frame(p->r.node, &p->link, payload);
    }
    node_end(p->r.node, &p->r.fx);
    rig_effects(&p->r);
    return node_troubles(p->r.node).peer_errors;
}

static void a_frame_cut_anywhere_ends_the_link(void **state)
{
    struct past p;

    (void)state;
    setup(&p);
    for (uint8_t flags = 0; flags < 2; flags++) {
        struct buf b = {0};
        size_t empty = flags == 0 ? 1 : 9; /* a frame about no replica is one */

        a_frame(&b, flags);
        for (size_t len = 0; len < b.len; len++) {
            uint64_t before = node_troubles(p.r.node).peer_errors;

            assert_int_equal(errors_after(&p, (struct slice){b.data, len}, false),
                             before + (len == empty ? 0 : 1));
        }
        buf_free(&b);
    }
    teardown(&p);
}

/* Frames have checksums: what comes through is what a peer said. It may still be wrong. */
static void bytes_of_all_kinds_do_no_harm(void **state)
{
    struct past p;
    struct prng rng = {42};

    (void)state;
    setup(&p);
    for (unsigned round = 0; round < 20000; round++) {
        bool forgot = prng_chance(&rng, 1, 2);
        struct buf b = {0};

        a_frame(&b, (uint8_t)prng_below(&rng, 2));
        for (uint64_t k = prng_below(&rng, 4); k > 0; k--) {
            b.data[prng_below(&rng, b.len)] = (uint8_t)prng_next(&rng);
        }
        (void)errors_after(&p, (struct slice){b.data, prng_below(&rng, b.len + 1)}, forgot);
        buf_free(&b);
    }
    assert_string_equal(rig_ask(&p.r, "SET a 1\r\n"), "+OK\r\n");
    teardown(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_connection_of_the_same_run_forgets_nothing),
        cmocka_unit_test(a_run_that_begins_with_all_forgets_nothing),
        cmocka_unit_test(what_is_written_before_a_peer_is_met_does_not_hide_the_loss),
        cmocka_unit_test(nor_does_another_restart),
        cmocka_unit_test(a_run_that_writes_nothing_stands_for_no_records),
        cmocka_unit_test(what_it_writes_after_it_was_found_out_counts_for_nothing),
        cmocka_unit_test(a_run_that_is_not_listed_is_judged_by_the_last_start),
        cmocka_unit_test(starts_survive_restarts_and_the_oldest_goes),
        cmocka_unit_test(order_and_repetition_do_not_matter),
        cmocka_unit_test(a_new_generation_ends_it_and_an_old_one_begins_it_again),
        cmocka_unit_test(a_node_speaks_for_its_own_replicas),
        cmocka_unit_test(a_frame_cut_anywhere_ends_the_link),
        cmocka_unit_test(bytes_of_all_kinds_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
