/* Whether a replica that came back has forgotten: what its peers make of the counts of records
 * that it says. The peer that speaks is played by the test. */
#include "node/node_internal.h"
#include "node_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct raft_id PEER = {0x7700000};

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
static bool says(struct past *p, uint64_t run, struct wire_records s)
{
    struct buf b = {0};
    bool told;

    s.replica = PEER;
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
    assert_int_equal(told, node_past_void(&p->r.node->groups[0], PEER));
    return told;
}

static bool opens(struct past *p, uint64_t run, uint64_t records, uint8_t starts,
                  const struct wire_start *start)
{
    struct wire_records s = {.records = records, .start_count = starts};

    for (uint8_t i = 0; i < starts; i++) {
        s.starts[i] = start[i];
    }
    return says(p, run, s);
}

static void a_new_connection_of_the_same_run_forgets_nothing(void **state)
{
    const struct wire_start starts[] = {{.run = 1, .records = 10}};
    struct past p;

    (void)state;
    setup(&p);
    assert_false(opens(&p, 1, 10, 1, starts));
    assert_false(says(&p, 0, (struct wire_records){.records = 59}));
    assert_false(opens(&p, 1, 59, 1, starts));
    assert_false(opens(&p, 1, 64, 1, starts));
    teardown(&p);
}

static void a_run_that_begins_with_all_forgets_nothing(void **state)
{
    const struct wire_start starts[] = {{1, 10}, {2, 59}, {3, 61}};
    struct past p;

    (void)state;
    setup(&p);
    assert_false(opens(&p, 1, 10, 1, starts));
    assert_false(says(&p, 0, (struct wire_records){.records = 59}));
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
    setup(&p);
    assert_false(opens(&p, 1, 10, 1, starts));
    assert_false(says(&p, 0, (struct wire_records){.records = 59}));
    assert_true(opens(&p, 2, 60, 2, starts));
    teardown(&p);
}

/* The same, and the process ends once more before it meets anybody. */
static void nor_does_another_restart(void **state)
{
    const struct wire_start starts[] = {{1, 10}, {2, 57}, {3, 60}};
    struct past p;

    (void)state;
    setup(&p);
    assert_false(opens(&p, 1, 10, 1, starts));
    assert_false(says(&p, 0, (struct wire_records){.records = 59}));
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
        assert_int_equal(g->start_count, i < WIRE_STARTS_MAX ? i : WIRE_STARTS_MAX);
        assert_true(g->starts[g->start_count - 1].run == r.node->run);
        assert_true(g->starts[g->start_count - 1].records > last);
        last = g->starts[g->start_count - 1].records;
        node_begin(r.node, r.now);
        node_group_put_blob(&r.node->groups[0], &r.node->groups[0].snap_conf);
        node_end(r.node, &r.fx);
        rig_effects(&r);
        rig_turns(&r, 4, NODE_TICK_US);
    }
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_connection_of_the_same_run_forgets_nothing),
        cmocka_unit_test(a_run_that_begins_with_all_forgets_nothing),
        cmocka_unit_test(what_is_written_before_a_peer_is_met_does_not_hide_the_loss),
        cmocka_unit_test(nor_does_another_restart),
        cmocka_unit_test(a_run_that_is_not_listed_is_judged_by_the_last_start),
        cmocka_unit_test(starts_survive_restarts_and_the_oldest_goes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
