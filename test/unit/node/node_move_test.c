/* The data follows the map. Three nodes are given maps by hand, as if these had been decided, and
 * what is there must become what is placed, with every key in its place. */
#include "base/base_mem.h"
#include "node/node_internal.h"
#include "node_trio.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { LONG_US = 10 * 1000 * 1000, STEP_US = 20 * 1000, KEYS = 40 };

static struct trio t;
static uint64_t epoch;

/* ---- maps ---- */

/* Each partition at these nodes, `NOBODY` at the end; the first moves on with the partition. */
#define NOBODY WIRE_NOBODY

static struct wire_map map_with(unsigned node, const uint8_t row[3], uint32_t shift)
{
    const struct node *n = t.at[node].node;
    struct wire_map m;
    uint32_t count = 0;

    while (count < 3 && row[count] != NOBODY) {
        count++;
    }
    wire_map_copy(&m, &n->map);
    assert_int_equal(m.replicas, 3);
    m.epoch = epoch;
    for (uint32_t p = 0; p < m.partitions; p++) {
        for (uint32_t r = 0; r < 3; r++) {
            uint8_t at = r < count ? row[(r + p * shift) % count] : NOBODY;

            m.placement[p * 3 + r] = at;
        }
    }
    return m;
}

static void give(unsigned node, const uint8_t row[3])
{
    struct node *n = t.at[node].node;

    if (n != NULL) {
        node_begin(n, t.at[node].now);
        node_map_take(n, map_with(node, row, 1));
        node_end(n, &t.at[node].fx);
        rig_effects(&t.at[node]);
    }
}

/* As if a peer had told of the decision. */
static void tell(unsigned node, const uint8_t row[3])
{
    struct node *n = t.at[node].node;
    struct wire_map m = map_with(node, row, 1);
    struct buf value = {0};

    wire_put_map(&value, &m);
    node_begin(n, t.at[node].now);
    node_chain_learn(n, &n->links[(n->self_pos + 1) % TRIO], buf_slice(&value));
    node_end(n, &t.at[node].fx);
    rig_effects(&t.at[node]);
    wire_map_free(&m);
    buf_free(&value);
}

static void give_all(const uint8_t row[3])
{
    epoch++;
    for (unsigned i = 0; i < TRIO; i++) {
        tell(i, row);
    }
}

static unsigned alive(void)
{
    unsigned node = 0;

    while (t.at[node].node == NULL) {
        node++;
    }
    return node;
}

/* Every partition has exactly the placed voters, led by one of them, and no other replica. */
static bool as_placed(const uint8_t row[3])
{
    for (uint32_t p = 0; p < 4; p++) {
        uint32_t wanted = 0, leaders = 0;

        for (unsigned i = 0; i < TRIO; i++) {
            struct node *n = t.at[i].node;
            bool placed = row[0] == i || row[1] == i || row[2] == i;
            const struct group *g;
            const struct raft_conf *c;

            wanted += placed ? 1 : 0;
            if (n == NULL) {
                return false;
            }
            g = &n->groups[p];
            if (g->here != placed || g->leader.n == 0) {
                return false;
            }
            if (!placed) {
                continue;
            }
            leaders += node_group_leads(g) ? 1 : 0;
            c = node_group_conf(g);
            for (uint8_t v = 0; v < c->voter_count; v++) {
                int pos = node_member_of(n, c->voters[v]);

                if (pos < 0 || !wire_map_places(&n->map, p, (uint32_t)pos)) {
                    return false;
                }
            }
            if (g->rebuilding || !raft_conf_settled(g->raft) || c->learner_count > 0) {
                return false;
            }
        }
        if (leaders != 1) {
            return false;
        }
        for (unsigned i = 0; i < TRIO; i++) {
            const struct group *g = &t.at[i].node->groups[p];

            if (node_group_leads(g) && node_group_conf(g)->voter_count != wanted) {
                return false;
            }
        }
    }
    return true;
}

static void settle(const uint8_t row[3])
{
    for (unsigned i = 0; i < 600 && !as_placed(row); i++) {
        trio_run(&t, STEP_US * 5);
    }
    if (!as_placed(row)) {
        for (unsigned i = 0; i < TRIO; i++) {
            print_message("node %u\n%s\n", i, trio_ask(&t, i, "SYNOD GROUPS\r\n", LONG_US));
        }
    }
    assert_true(as_placed(row));
}

/* ---- content ---- */

static void write_all(unsigned node, unsigned value)
{
    for (unsigned k = 0; k < KEYS; k++) {
        char text[64];

        (void)snprintf(text, sizeof text, "SET k%u %u\r\n", k, value);
        assert_string_equal(trio_ask(&t, node, text, LONG_US), "+OK\r\n");
    }
}

static void read_all(unsigned node, unsigned value)
{
    for (unsigned k = 0; k < KEYS; k++) {
        char text[64], want[32], number[16];
        int digits = snprintf(number, sizeof number, "%u", value);

        (void)snprintf(text, sizeof text, "GET k%u\r\n", k);
        (void)snprintf(want, sizeof want, "$%d\r\n%s\r\n", digits, number);
        assert_string_equal(trio_ask(&t, node, text, LONG_US), want);
    }
}

static int setup(void **state)
{
    (void)state;
    trio_open(&t, 0);
    epoch = 100;
    write_all(0, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    trio_close(&t);
    return 0;
}

static const uint8_t ALL[3] = {0, 1, 2}, ONE[3] = {1, NOBODY, NOBODY}, TWO[3] = {0, 2, NOBODY};

/* ---- tests ---- */

static void three_become_one_and_one_becomes_three(void **state)
{
    (void)state;
    give_all(ONE);
    settle(ONE);
    read_all(2, 1); /* a node without any replica forwards */
    write_all(0, 2);
    give_all(ALL);
    settle(ALL);
    read_all(1, 2);
    for (unsigned i = 0; i < TRIO; i++) {
        /* A replica that comes back has a new name. */
        assert_true(i == 1 || (t.at[i].node->groups[0].self.n & NODE_GENERATION_MASK) != 0);
        assert_int_equal(node_troubles(t.at[i].node).replicas_lost, 0);
    }
    trio_kill(&t, 1); /* what it alone had is on the others */
    trio_run(&t, 3 * 1000 * 1000);
    read_all(2, 2);
}

/* From one node to another, with no overlap: the leader itself is superfluous. */
static void the_only_replica_moves(void **state)
{
    static const uint8_t other[3] = {2, NOBODY, NOBODY};

    (void)state;
    give_all(ONE);
    settle(ONE);
    give_all(other);
    settle(other);
    read_all(0, 1);
    write_all(1, 3);
    give_all(ONE);
    settle(ONE);
    read_all(0, 3);
}

static void one_of_two_is_swapped(void **state)
{
    static const uint8_t swapped[3] = {0, 1, NOBODY};

    (void)state;
    give_all(TWO);
    settle(TWO);
    give_all(swapped);
    settle(swapped);
    read_all(2, 1);
}

/* The members stand in another order: links and groups go by the node, not by its position. */
static void members_change_places(void **state)
{
    (void)state;
    epoch++;
    for (unsigned i = 0; i < TRIO; i++) {
        struct wire_map m = map_with(i, ALL, 1);
        struct wire_member first = m.members[0];

        m.members[0] = m.members[2];
        m.members[2] = first;
        node_begin(t.at[i].node, t.at[i].now);
        node_map_take(t.at[i].node, m);
        node_end(t.at[i].node, &t.at[i].fx);
        rig_effects(&t.at[i]);
        assert_int_equal(t.at[i].node->self_pos, 2 - i);
    }
    trio_run(&t, 3 * 1000 * 1000);
    for (unsigned i = 0; i < TRIO; i++) {
        read_all(i, 1);
        for (uint32_t l = 0; l < t.at[i].node->map.member_count; l++) {
            if (l != t.at[i].node->self_pos) {
                assert_int_equal(t.at[i].node->links[l].state, LINK_UP);
                assert_true(
                    wire_id_eq(&t.at[i].node->links[l].node, &t.at[i].node->map.members[l].node));
            }
        }
    }
}

static void an_older_map_is_not_taken(void **state)
{
    struct node *n = t.at[0].node;
    struct wire_map m = map_with(0, ONE, 1);

    (void)state;
    m.epoch = 0;
    node_begin(n, t.at[0].now);
    node_map_take(n, m);
    m = map_with(0, ONE, 1);
    m.cluster.b[3] ^= 1;
    node_map_take(n, m);
    node_end(n, &t.at[0].fx);
    rig_effects(&t.at[0]);
    assert_true(wire_map_places(&n->map, 0, 0) && wire_map_places(&n->map, 0, 2));
}

/* Whatever step they have come to, all die and come back, and go on. */
static void restarts_between_any_two_steps(void **state)
{
    (void)state;
    for (unsigned steps = 0; steps < 40; steps += 3) {
        const uint8_t *goal = (steps / 3) % 2 == 0 ? ONE : ALL;

        give_all(goal);
        trio_run(&t, (uint64_t)steps * 70 * 1000);
        for (unsigned i = 0; i < TRIO; i++) {
            trio_kill(&t, i);
        }
        for (unsigned i = 0; i < TRIO; i++) {
            trio_start(&t, i);
        }
        give_all(goal); /* perhaps nobody had written the one before */
        settle(goal);
        read_all(steps % TRIO, 1);
        for (unsigned i = 0; i < TRIO; i++) {
            assert_int_equal(node_troubles(t.at[i].node).replicas_lost, 0);
        }
    }
}

/* Two maps in quick succession: one on its way out is wanted again. */
static void placed_again_while_it_is_let_go(void **state)
{
    (void)state;
    for (unsigned ms = 900; ms < 1400; ms += 45) {
        give_all(ONE);
        trio_run(&t, (uint64_t)ms * 1000);
        give_all(ALL);
        settle(ALL);
        read_all(0, 1);
    }
}

/* One has not heard of the map yet and leads: nobody is taken in or let go on its account, and all
 * goes on when it has. */
static void a_leader_that_is_behind(void **state)
{
    (void)state;
    epoch++;
    give(0, ONE);
    give(2, ONE);
    trio_run(&t, 3 * 1000 * 1000);
    read_all(2, 1);
    give(1, ONE);
    settle(ONE);
    epoch++;
    give(0, ALL);
    give(2, ALL);
    trio_run(&t, 3 * 1000 * 1000);
    assert_int_equal(node_group_conf(&t.at[1].node->groups[0])->voter_count, 1);
    give(1, ALL);
    settle(ALL);
}

/* The first node is away while the others are told that only one holds data. */
static void let_go_behind_its_back(void)
{
    trio_kill(&t, 0);
    epoch++;
    give(1, ONE);
    give(2, ONE);
    trio_run(&t, 8 * 1000 * 1000);
}

/* Who is let go while it is away does not know it, and must not be a voter when it is back. */
static void let_go_while_it_was_away(void **state)
{
    (void)state;
    let_go_behind_its_back();
    assert_int_equal(node_group_conf(&t.at[1].node->groups[1])->voter_count, 1);
    trio_start(&t, 0);
    trio_run(&t, 1000 * 1000);
    give(0, ONE);
    settle(ONE);
    write_all(0, 4);
    read_all(2, 4);
}

/* As before, but the map places it again before it is back: it believes that it votes. */
static void let_go_and_wanted_while_it_was_away(void **state)
{
    struct raft_id was = t.at[0].node->groups[1].self;

    (void)state;
    let_go_behind_its_back();
    epoch++;
    give(1, ALL);
    give(2, ALL);
    trio_start(&t, 0);
    give(0, ALL);
    settle(ALL);
    assert_true(t.at[0].node->groups[1].self.n > was.n);
    read_all(0, 1);
}

/* One who has seen less than the asking replica answers it: that is no proof. */
static void one_who_is_behind_proves_nothing(void **state)
{
    struct group *g = &t.at[0].node->groups[0];
    struct wire_out o = {.answer = true, .id = g->self, .asked = 7};
    struct raft_conf c = *node_group_conf(g);
    unsigned leader = TRIO;

    (void)state;
    for (unsigned i = 0; i < TRIO; i++) {
        leader = node_group_leads(&t.at[i].node->groups[0]) ? i : leader;
    }
    assert_in_range(leader, 0, TRIO - 1);
    /* A configuration that names it, at an index of its own. */
    c.learner_count = 1;
    c.learners[0] = (struct raft_id){0x990000000000};
    node_begin(t.at[leader].node, t.at[leader].now);
    assert_int_equal(raft_propose_conf(t.at[leader].node->groups[0].raft, t.at[leader].now.mono_us,
                                       &c, (struct slice){0}),
                     ERR_OK);
    node_group_mark(&t.at[leader].node->groups[0]);
    node_end(t.at[leader].node, &t.at[leader].fx);
    rig_effects(&t.at[leader]);
    trio_run(&t, 100 * 1000);
    g->out_asked = 7;
    o.index = raft_conf_named(g->raft, g->self);
    assert_true(o.index.n > 0);
    node_begin(t.at[0].node, t.at[0].now);
    node_move_out(t.at[0].node, &t.at[0].node->links[1], &o);
    assert_true(g->here);
    o.index.n++;
    o.asked = 6; /* the answer to an earlier question */
    node_move_out(t.at[0].node, &t.at[0].node->links[1], &o);
    assert_true(g->here);
    o.asked = 7;
    node_move_out(t.at[0].node, &t.at[0].node->links[1], &o);
    assert_false(g->here);
    node_end(t.at[0].node, &t.at[0].fx);
    rig_effects(&t.at[0]);
    settle(ALL); /* it is placed, and comes back under another name */
}

/* No more than a few at once come to one node. */
static void a_few_at_once(void **state)
{
    static const uint8_t without[3] = {1, 2, NOBODY};
    uint32_t most = 0;

    (void)state;
    give_all(without);
    settle(without);
    t.at[0].node->cfg.movements_max = 1;
    give_all(ALL);
    for (unsigned i = 0; i < 2000 && !as_placed(ALL); i++) {
        uint32_t coming = 0;

        trio_run(&t, 2000);
        for (uint32_t p = 0; p < 4; p++) {
            coming += t.at[0].node->groups[p].here && t.at[0].node->groups[p].rebuilding ? 1 : 0;
        }
        most = coming > most ? coming : most;
    }
    assert_true(as_placed(ALL));
    assert_int_equal(most, 1);
}

static void a_member_no_more(void **state)
{
    struct node *n = t.at[2].node;
    struct wire_map m;

    (void)state;
    epoch++;
    for (unsigned i = 0; i < TRIO; i++) {
        static const uint8_t rest[3] = {0, 1, NOBODY};

        m = map_with(i, rest, 1);
        m.member_count = 2;
        node_begin(t.at[i].node, t.at[i].now);
        node_map_take(t.at[i].node, m);
        node_end(t.at[i].node, &t.at[i].fx);
        rig_effects(&t.at[i]);
    }
    assert_int_equal(n->phase, NODE_PHASE_STOPPED);
    trio_kill(&t, 2);
    for (unsigned i = 0; i < 60; i++) {
        trio_run(&t, 100 * 1000);
    }
    for (uint32_t p = 0; p < 4; p++) {
        assert_int_equal(node_group_conf(&t.at[0].node->groups[p])->voter_count, 2);
    }
    assert_int_equal(alive(), 0);
    read_all(0, 1);
}

#define MOVE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        MOVE_TEST(three_become_one_and_one_becomes_three),
        MOVE_TEST(the_only_replica_moves),
        MOVE_TEST(one_of_two_is_swapped),
        MOVE_TEST(members_change_places),
        MOVE_TEST(an_older_map_is_not_taken),
        MOVE_TEST(restarts_between_any_two_steps),
        MOVE_TEST(placed_again_while_it_is_let_go),
        MOVE_TEST(a_leader_that_is_behind),
        MOVE_TEST(let_go_while_it_was_away),
        MOVE_TEST(let_go_and_wanted_while_it_was_away),
        MOVE_TEST(one_who_is_behind_proves_nothing),
        MOVE_TEST(a_few_at_once),
        MOVE_TEST(a_member_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
