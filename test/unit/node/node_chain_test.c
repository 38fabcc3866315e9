/* The chain of maps on three nodes: what is decided once is so for all, whoever dies, forgets,
 * moves or comes anew. */
#include "node/node_internal.h"
#include "node_trio.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { A_SECOND = 1000000, PATIENCE_US = 3 * A_SECOND };

static struct trio t;
static struct {
    bool over;
    enum node_chain_end end;
    char why[512];
} ended[TRIO];

static int setup(void **state)
{
    (void)state;
    trio_open(&t, 0);
    memset(ended, 0, sizeof ended);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    trio_close(&t);
    return 0;
}

static void note(struct node *n, uint64_t arg, enum node_chain_end end, const char *why)
{
    (void)n;
    ended[arg].over = true;
    ended[arg].end = end;
    (void)snprintf(ended[arg].why, sizeof ended[arg].why, "%s", why);
}

static const struct wire_map *map(unsigned node)
{
    return &t.at[node].node->map;
}

static const struct wire_member *member(unsigned at, unsigned whom)
{
    int pos = wire_map_member(map(at), &t.at[whom].node->id);

    assert_true(pos >= 0);
    return &map(at)->members[pos];
}

/* Node `by` wants the capacity of `whom` to be so. */
static void weigh(unsigned by, unsigned whom, uint8_t weight)
{
    struct node_change change = {.kind = NODE_CHANGE_WEIGH, .member = *member(by, whom)};

    change.member.weight = weight;
    assert_true(node_chain_propose(t.at[by].node, &change, PATIENCE_US, note, by));
}

static void assert_ended(unsigned by, enum node_chain_end end)
{
    assert_true(ended[by].over);
    assert_int_equal(ended[by].end, end);
    assert_true((ended[by].why[0] != 0) == (end != NODE_CHAIN_DONE));
    ended[by].over = false;
}

/* All that are up have the same map, and that of paxos is in force. */
static void assert_agreed(uint64_t epoch)
{
    struct node_map_view first = {0}, v;

    for (unsigned i = 0; i < TRIO; i++) {
        if (t.at[i].node == NULL) {
            continue;
        }
        assert_true(node_map_view(t.at[i].node, &v));
        assert_int_equal(v.epoch, epoch);
        assert_int_equal(map(i)->epoch, epoch);
        assert_true(first.epoch == 0 || v.digest == first.digest);
        assert_int_equal(node_troubles(t.at[i].node).maps_forked, 0);
        assert_int_equal(node_troubles(t.at[i].node).peer_errors, 0);
        first = v;
    }
}

static void one_change_is_decided_for_all(void **state)
{
    (void)state;
    weigh(1, 2, 5);
    trio_run(&t, A_SECOND);
    assert_ended(1, NODE_CHAIN_DONE);
    assert_agreed(2);
    assert_int_equal(member(0, 2)->weight, 5);
    weigh(0, 2, 5); /* it is so already */
    trio_run(&t, A_SECOND);
    assert_ended(0, NODE_CHAIN_DONE);
    assert_agreed(2);
}

/* Both are decided, one on top of the other: nobody's change is lost. */
static void two_that_propose_at_once_both_get_their_way(void **state)
{
    (void)state;
    weigh(0, 1, 7);
    weigh(1, 2, 9);
    weigh(2, 0, 3);
    trio_run(&t, 3 * A_SECOND);
    for (unsigned i = 0; i < TRIO; i++) {
        assert_ended(i, NODE_CHAIN_DONE);
    }
    assert_agreed(4);
    assert_int_equal(member(0, 1)->weight, 7);
    assert_int_equal(member(1, 2)->weight, 9);
    assert_int_equal(member(2, 0)->weight, 3);
}

static void without_a_majority_people_are_told_who_is_missing(void **state)
{
    (void)state;
    trio_kill(&t, 1);
    trio_kill(&t, 2);
    weigh(0, 0, 4);
    trio_run(&t, PATIENCE_US + A_SECOND);
    assert_ended(0, NODE_CHAIN_TIMEOUT);
    assert_non_null(strstr(ended[0].why, "2 of the 3 acceptors"));
    assert_non_null(strstr(ended[0].why, t.at[1].cfg.peer_addr));
    assert_non_null(strstr(ended[0].why, t.at[2].cfg.peer_addr));
    assert_agreed(1);
    weigh(0, 0, 4);
    trio_start(&t, 1); /* two of three are enough */
    trio_run(&t, 2 * A_SECOND);
    assert_ended(0, NODE_CHAIN_DONE);
    assert_agreed(2);
}

static enum paxos_phase phase(unsigned node)
{
    return paxos_phase(t.at[node].node->chain->paxos);
}

/* Its value has left, and the answers do not come: it may be decided, and is. */
static void what_was_offered_may_still_happen(void **state)
{
    (void)state;
    weigh(0, 0, 4);
    for (unsigned i = 0; i < 2000 && phase(0) != PAXOS_ACCEPTING; i++) {
        trio_run(&t, TRIO_TURN_US);
    }
    assert_int_equal(phase(0), PAXOS_ACCEPTING);
    t.cut[1][0] = t.cut[2][0] = true; /* it speaks, and does not hear */
    trio_run(&t, PATIENCE_US + A_SECOND);
    assert_ended(0, NODE_CHAIN_INDOUBT);
    assert_non_null(strstr(ended[0].why, "may still happen"));
    t.cut[1][0] = t.cut[2][0] = false;
    trio_run(&t, 6 * A_SECOND);
    assert_agreed(2);
    assert_int_equal(member(1, 0)->weight, 4);
}

/* A promise is spoken when both files have it, and not with one of them. */
static void a_promise_waits_for_both_files(void **state)
{
    (void)state;
    trio_kill(&t, 2);
    t.at[1].hold = "meta/chain.copy";
    weigh(0, 0, 4);
    trio_run(&t, A_SECOND);
    assert_int_equal(phase(0), PAXOS_PREPARING);
    assert_true(t.at[1].node->chain->held_count > 0);
    assert_agreed(1);
    t.at[1].hold = NULL;
    trio_run(&t, A_SECOND);
    assert_ended(0, NODE_CHAIN_DONE);
    assert_agreed(2);
}

/* Between the two files it dies: they are made equal before it says anything. */
static void a_crash_between_the_files_is_mended(void **state)
{
    struct paxos_hard hard;

    (void)state;
    trio_kill(&t, 2);
    t.at[1].hold = "meta/chain.copy";
    weigh(0, 0, 4);
    trio_run(&t, A_SECOND / 5);
    trio_kill(&t, 1);
    trio_start(&t, 1);
    assert_true(t.at[1].node->chain->mending);
    hard = paxos_hard(t.at[1].node->chain->paxos);
    assert_true(hard.promised.round > 0);
    trio_run(&t, A_SECOND);
    assert_true(t.at[1].node->chain->mending); /* the copy is held yet */
    assert_agreed(1);
    t.at[1].hold = NULL;
    trio_run(&t, 2 * A_SECOND);
    assert_false(t.at[1].node->chain->mending);
    assert_ended(0, NODE_CHAIN_DONE);
    assert_agreed(2);
}

static void a_restart_between_promise_and_acceptance(void **state)
{
    struct paxos_ballot promised;

    (void)state;
    trio_kill(&t, 2);
    weigh(0, 0, 4);
    for (unsigned i = 0; i < 2000 && phase(0) != PAXOS_ACCEPTING; i++) {
        trio_run(&t, TRIO_TURN_US);
    }
    promised = paxos_hard(t.at[1].node->chain->paxos).promised;
    assert_true(promised.round > 0);
    trio_kill(&t, 1);
    trio_start(&t, 1);
    assert_int_equal(paxos_ballot_cmp(paxos_hard(t.at[1].node->chain->paxos).promised, promised),
                     0);
    trio_run(&t, 2 * A_SECOND);
    assert_ended(0, NODE_CHAIN_DONE);
    assert_agreed(2);
}

/* The write of meta/map did not come about: meta/chain knows better. */
static void a_map_that_is_only_in_the_chain_is_found_there(void **state)
{
    (void)state;
    t.at[1].hold = "meta/map";
    weigh(0, 0, 4);
    trio_run(&t, A_SECOND);
    assert_agreed(2);
    trio_kill(&t, 1);
    t.at[1].hold = NULL;
    trio_start(&t, 1);
    assert_int_equal(map(1)->epoch, 2);
    trio_run(&t, A_SECOND);
    assert_agreed(2);
}

static void an_acceptor_that_lost_its_promises_gets_another_id(void **state)
{
    uint64_t was = t.at[2].node->paxos;

    (void)state;
    trio_kill(&t, 2);
    rig_lose(&t.at[2], "meta/chain");
    rig_lose(&t.at[2], "meta/chain.copy");
    trio_start(&t, 2);
    assert_true(t.at[2].node->paxos != was);
    assert_int_equal(node_of_paxos_id(t.at[2].node->paxos), node_of_paxos_id(was));
    trio_run(&t, 3 * A_SECOND);
    assert_agreed(2);
    assert_true(member(0, 2)->paxos == t.at[2].node->paxos);
    trio_kill(&t, 1); /* and counts under it */
    weigh(0, 0, 4);
    trio_run(&t, 2 * A_SECOND);
    assert_ended(0, NODE_CHAIN_DONE);
    assert_agreed(3);
}

/* Its peers tell it of the log, and what is beside the log is as old. */
static void an_old_image_speaks_under_another_id(void **state)
{
    static struct rig_image image;
    uint64_t was = t.at[2].node->paxos;

    (void)state;
    rig_image_take(&t.at[2], &image);
    for (unsigned i = 0; i < 20; i++) {
        trio_set(&t, 0, i);
    }
    trio_run(&t, A_SECOND);
    trio_kill(&t, 2);
    rig_image_put(&t.at[2], &image);
    trio_start(&t, 2);
    trio_run(&t, 4 * A_SECOND);
    assert_true(t.at[2].node->paxos != was);
    assert_true(member(0, 2)->paxos == t.at[2].node->paxos);
    assert_agreed(2);
    rig_image_free(&image);
}

static void all_move_at_once(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TRIO; i++) {
        trio_kill(&t, i);
        trio_readdress(&t, i, 5);
    }
    for (unsigned i = 0; i < TRIO; i++) { /* the command line says where they are now */
        for (unsigned k = 0; k < TRIO; k++) {
            memcpy(t.at[i].cfg.seeds[k], t.at[k].cfg.peer_addr, NODE_ADDR_MAX);
        }
    }
    for (unsigned i = 0; i < TRIO; i++) {
        trio_start(&t, i);
    }
    trio_run(&t, 6 * A_SECOND);
    assert_agreed(map(0)->epoch);
    for (unsigned i = 0; i < TRIO; i++) {
        assert_string_equal(member(0, i)->peer_addr, t.at[i].cfg.peer_addr);
        assert_string_equal(member(0, i)->client_addr, t.at[i].cfg.client_addr);
    }
    trio_set(&t, 0, 1);
}

/* It knows where the others are, and that is enough. */
static void one_moves(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TRIO; i++) {
        trio_kill(&t, i);
        if (i == 1) {
            trio_readdress(&t, i, 5);
        }
        trio_start(&t, i);
    }
    trio_run(&t, 4 * A_SECOND);
    assert_agreed(2);
    assert_string_equal(member(0, 1)->peer_addr, t.at[1].cfg.peer_addr);
    trio_set(&t, 1, 1);
}

static void two_exchange_their_addresses(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TRIO; i++) {
        trio_kill(&t, i);
    }
    memcpy(t.at[0].cfg.peer_addr, "127.0.0.1:17001", 16);
    memcpy(t.at[1].cfg.peer_addr, "127.0.0.1:17000", 16);
    for (unsigned i = 0; i < TRIO; i++) {
        trio_start(&t, i);
    }
    trio_run(&t, 6 * A_SECOND);
    assert_agreed(3);
    assert_string_equal(member(2, 0)->peer_addr, "127.0.0.1:17001");
    assert_string_equal(member(2, 1)->peer_addr, "127.0.0.1:17000");
    trio_set(&t, 1, 1);
}

static void empty(unsigned node)
{
    struct rig *r = &t.at[node];

    while (r->file_count > 0) {
        rig_lose(r, r->files[0].path);
    }
}

/* It comes back under a new identity, at its place. Its former self is not taken back. */
static void an_emptied_node_takes_its_place(void **state)
{
    static struct rig_image image;
    struct wire_id was = t.at[1].node->id;
    int pos = wire_map_member(map(0), &was);

    (void)state;
    trio_set(&t, 0, 7);
    rig_image_take(&t.at[1], &image);
    trio_kill(&t, 1);
    empty(1);
    t.at[1].number = 9; /* its dice fall otherwise */
    t.at[1].cfg.start = NODE_START_JOIN;
    trio_start(&t, 1);
    trio_run(&t, 8 * A_SECOND);
    assert_agreed(2);
    assert_int_equal(map(0)->member_count, TRIO);
    assert_int_equal(wire_map_member(map(0), &t.at[1].node->id), pos);
    assert_int_equal(wire_map_member(map(0), &was), -1);
    assert_true(node_ready(t.at[1].node));
    assert_false(trio_group(&t, 1)->rebuilding);

    trio_kill(&t, 1);
    rig_image_put(&t.at[1], &image);
    trio_start(&t, 1);
    trio_run(&t, 2 * A_SECOND);
    assert_true(t.at[1].stopped);
    rig_image_free(&image);
}

static void a_new_node_joins(void **state)
{
    (void)state;
    trio_open_some(&t, 2);
    assert_int_equal(map(0)->member_count, 2);
    assert_int_equal(map(0)->council_count, 1);
    trio_start(&t, 2);
    trio_run(&t, 4 * A_SECOND);
    assert_agreed(map(0)->epoch);
    assert_int_equal(map(0)->member_count, 3);
    assert_int_equal(map(2)->council_count, 3);
    trio_set(&t, 2, 3);
    trio_close(&t);
}

/* Seed 4689: founders restarted between their first words and the map, which then named ids that
 * nobody had any more; two of three, and the map could never change. */
static void a_restart_before_the_map_keeps_the_id(void **state)
{
    uint64_t first;

    (void)state;
    trio_open_some(&t, 2);
    trio_cut_off(&t, 2, true);
    trio_start(&t, 2);
    trio_run(&t, A_SECOND);
    first = t.at[2].node->paxos;
    trio_kill(&t, 2);
    trio_start(&t, 2);
    trio_run(&t, A_SECOND);
    assert_true(t.at[2].node->paxos == first);
    trio_cut_off(&t, 2, false);
    trio_run(&t, 4 * A_SECOND);
    assert_int_equal(map(0)->member_count, 3);
    assert_true(member(0, 2)->paxos == first);
    assert_true(node_map_has_self(t.at[2].node));
    trio_close(&t);
}

#define TRIO_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TRIO_TEST(one_change_is_decided_for_all),
        TRIO_TEST(two_that_propose_at_once_both_get_their_way),
        TRIO_TEST(without_a_majority_people_are_told_who_is_missing),
        TRIO_TEST(what_was_offered_may_still_happen),
        TRIO_TEST(a_promise_waits_for_both_files),
        TRIO_TEST(a_crash_between_the_files_is_mended),
        TRIO_TEST(a_restart_between_promise_and_acceptance),
        TRIO_TEST(a_map_that_is_only_in_the_chain_is_found_there),
        TRIO_TEST(an_acceptor_that_lost_its_promises_gets_another_id),
        TRIO_TEST(an_old_image_speaks_under_another_id),
        TRIO_TEST(all_move_at_once),
        TRIO_TEST(one_moves),
        TRIO_TEST(two_exchange_their_addresses),
        TRIO_TEST(an_emptied_node_takes_its_place),
        cmocka_unit_test(a_new_node_joins),
        cmocka_unit_test(a_restart_before_the_map_keeps_the_id),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
