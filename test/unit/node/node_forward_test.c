/* Requests that another node forwards, while the leader goes away from it. */
#include "node/node_internal.h"
#include "node_trio.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The others have a leader after an election timeout and a little; a silent link is closed
 * after 3 s. */
enum { SOON_US = 1500 * 1000, LONG_US = 10 * 1000 * 1000 };

static struct trio t;
static unsigned leader, other;

static void open_with(uint64_t election_us)
{
    leader = trio_open_led(&t, election_us);
    other = (leader + 1) % TRIO;
    trio_set(&t, other, 1);
}

static int setup(void **state)
{
    (void)state;
    open_with(0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    trio_close(&t);
    return 0;
}

/* The mix of real faults: the cluster served again after half a second, but a client whose request
 * had gone to the old leader waited until the link was given up, 3 s. */
static void a_write_sent_to_a_leader_cut_off_is_in_doubt_soon(void **state)
{
    const char *said;

    (void)state;
    trio_cut_off(&t, leader, true);
    said = trio_ask(&t, other, "SET a 2\r\n", SOON_US);
    assert_non_null(strstr(said, "-INDOUBT "));
    assert_string_equal(trio_ask(&t, other, "GET a\r\n", SOON_US), "$1\r\n1\r\n");
}

static void a_read_sent_to_a_leader_cut_off_is_asked_again(void **state)
{
    (void)state;
    trio_cut_off(&t, leader, true);
    assert_string_equal(trio_ask(&t, other, "GET a\r\n", SOON_US), "$1\r\n1\r\n");
}

/* Once the peer has been silent for a while nothing is sent to it: what comes now is done by
 * whoever leads next. */
static void what_comes_before_the_election_waits_for_it(void **state)
{
    (void)state;
    trio_close(&t);
    open_with(1000 * 1000);
    trio_cut_off(&t, leader, true);
    trio_run(&t, 600 * 1000);
    assert_int_equal(trio_leader(&t, "a"), leader); /* no other yet */
    assert_string_equal(trio_ask(&t, other, "SET a 2\r\n", 2 * SOON_US), "+OK\r\n");
}

static void an_old_leader_that_is_back_disturbs_nobody(void **state)
{
    (void)state;
    trio_cut_off(&t, leader, true);
    assert_string_equal(trio_ask(&t, other, "GET a\r\n", SOON_US), "$1\r\n1\r\n");
    assert_string_equal(trio_ask(&t, other, "SET a 2\r\n", SOON_US), "+OK\r\n");
    trio_cut_off(&t, leader, false);
    for (unsigned i = 0; i < 100; i++) {
        assert_string_equal(trio_ask(&t, other, "GET a\r\n", SOON_US), "$1\r\n2\r\n");
    }
}

static void hand_over(unsigned to)
{
    struct rig *r = &t.at[leader];
    struct group *g = trio_group(&t, leader);

    node_begin(r->node, r->now);
    assert_int_equal(raft_transfer(g->raft, r->now.mono_us, trio_group(&t, to)->self), ERR_OK);
    node_group_mark(g);
    rig_turn_end(r);
}

/* A read was asked again of the next leader. The answer of the one before, who is not heard for
 * a while, comes before that of the next one, and says what was true when it led. */
static void an_answer_that_comes_late_is_nobodys(void **state)
{
    const uint64_t *asked = &t.at[other].node->stats.forwarded;
    struct buf *said = &t.at[other].out;
    unsigned next = (leader + 2) % TRIO, turns = 0;
    uint64_t before;

    (void)state;
    t.cut[leader][other] = true; /* it hears what it is asked */
    said->len = 0;
    rig_send(&t.at[other], "GET a\r\n", 7);
    trio_run(&t, 5 * TRIO_TURN_US);
    hand_over(next);
    trio_run(&t, 20 * TRIO_TURN_US);
    assert_int_equal(trio_leader(&t, "a"), next);
    trio_set(&t, next, 2);
    for (before = *asked; *asked == before; turns++) {
        assert_in_range(turns, 0, SOON_US / TRIO_TURN_US);
        trio_run(&t, TRIO_TURN_US);
    }
    t.cut[next][other] = true;
    t.cut[leader][other] = false;
    trio_run(&t, 5 * TRIO_TURN_US);
    assert_int_equal(said->len, 0);
    t.cut[next][other] = false;
    trio_run(&t, 5 * TRIO_TURN_US);
    put_u8(said, 0);
    assert_string_equal((const char *)said->data, "$1\r\n2\r\n");
}

/* A peer that is heard answers by itself: a leader that hands over knows what became of what it
 * was sent, though another leads meanwhile. */
static void a_handover_leaves_nothing_in_doubt(void **state)
{
    struct rig *r = &t.at[leader];

    (void)state;
    t.at[other].out.len = 0;
    rig_send(&t.at[other], "SET a 2\r\n", 9);
    trio_run(&t, 2 * TRIO_TURN_US); /* proposed, not yet committed */
    r->hold_log = true;
    hand_over(other);
    trio_run(&t, SOON_US);
    r->hold_log = false;
    assert_int_not_equal(trio_leader(&t, "a"), leader);
    trio_run(&t, SOON_US);
    put_u8(&t.at[other].out, 0);
    assert_string_equal((const char *)t.at[other].out.data, "+OK\r\n");
}

/* A seed of the simulator: in a healthy cluster, whose leadership was being spread evenly again, a
 * read behind a write of its client met an item past its time. A leader that hands over logs no
 * removal, so the client was told TRYAGAIN, though nothing was wrong. */
static void a_read_past_an_items_time_waits_for_a_handover(void **state)
{
    static const char both[] = "SET {a}b 1\r\nGET a\r\n";
    struct rig *r;
    struct group *g;

    (void)state;
    trio_close(&t);
    open_with(1000 * 1000);
    r = &t.at[leader];
    g = trio_group(&t, leader);
    assert_string_equal(trio_ask(&t, leader, "SET a 1 PX 60\r\n", SOON_US), "+OK\r\n");
    for (unsigned i = 0; i < TRIO; i++) {
        t.cut[i][leader] = i != leader; /* it is heard, and hears nothing */
    }
    r->out.len = 0;
    rig_send(r, both, strlen(both));
    trio_run(&t, 2 * TRIO_TURN_US);
    node_begin(r->node, r->now);
    assert_int_equal(
        raft_transfer(g->raft, r->now.mono_us, t.at[other].node->groups[g->partition].self),
        ERR_OK);
    node_group_mark(g);
    rig_turn_end(r);
    trio_run(&t, 100 * 1000);
    assert_int_equal(r->out.len, 0);
    for (unsigned i = 0; i < TRIO; i++) {
        t.cut[i][leader] = false;
    }
    trio_run(&t, SOON_US);
    put_u8(&r->out, 0);
    assert_string_equal((const char *)r->out.data, "+OK\r\n$-1\r\n");
    assert_int_equal(trio_leader(&t, "a"), other);
}

#define FORWARD_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FORWARD_TEST(a_write_sent_to_a_leader_cut_off_is_in_doubt_soon),
        FORWARD_TEST(a_read_sent_to_a_leader_cut_off_is_asked_again),
        FORWARD_TEST(what_comes_before_the_election_waits_for_it),
        FORWARD_TEST(an_old_leader_that_is_back_disturbs_nobody),
        FORWARD_TEST(an_answer_that_comes_late_is_nobodys),
        FORWARD_TEST(a_handover_leaves_nothing_in_doubt),
        FORWARD_TEST(a_read_past_an_items_time_waits_for_a_handover),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
