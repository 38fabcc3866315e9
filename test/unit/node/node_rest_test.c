/* Links between nodes that have nothing in common: they rest, wake when they are wanted, and are
 * never trusted for having been well once. */
#include "node/node_internal.h"
#include "node_trio.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { MS = 1000, SECOND_US = 1000 * 1000 };

static struct trio t;
static unsigned owner, other;

static struct link *link_of(unsigned at, unsigned to)
{
    struct node *n = t.at[at].node;

    for (uint32_t i = 0; i < n->link_count; i++) {
        if (strcmp(n->links[i].addr, t.at[to].cfg.peer_addr) == 0) {
            return &n->links[i];
        }
    }
    fail_msg("no link from %u to %u", at, to);
    return NULL;
}

static bool all_rest(void)
{
    for (unsigned i = 0; i < TRIO; i++) {
        for (unsigned k = 0; k < TRIO; k++) {
            const struct link *l = i == k ? NULL : link_of(i, k);

            if (l != NULL && (l->state != LINK_UP || !l->resting || !l->peer_resting)) {
                return false;
            }
        }
    }
    return true;
}

static int setup(void **state)
{
    (void)state;
    trio_open_apart(&t);
    owner = trio_leader(&t, "a");
    other = (owner + 1) % TRIO;
    trio_run(&t, 7 * SECOND_US);
    assert_true(all_rest());
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    trio_close(&t);
    return 0;
}

/* Hours of saying next to nothing, and still a link. */
static void idle_links_cost_little(void **state)
{
    uint64_t before = t.at[other].node->stats.out_bytes;

    (void)state;
    trio_run(&t, 60 * SECOND_US);
    assert_true(all_rest());
    /* Two links, a ping and a few hints each five seconds. */
    assert_true(t.at[other].node->stats.out_bytes - before < 60 / 5 * 2 * 200);
}

static void the_first_request_wakes_it(void **state)
{
    (void)state;
    trio_run(&t, 2 * SECOND_US); /* quiet by now */
    assert_true(node_link_quiet(t.at[other].node, link_of(other, owner)));
    assert_string_equal(trio_ask(&t, other, "SET a 1\r\n", 20 * MS), "+OK\r\n");
    assert_false(link_of(other, owner)->peer_resting);
    assert_false(link_of(owner, other)->peer_resting);
    assert_string_equal(trio_ask(&t, other, "GET a\r\n", 20 * MS), "$1\r\n1\r\n");
    trio_run(&t, 400 * MS);
    assert_false(node_link_quiet(t.at[other].node, link_of(other, owner)));
    trio_run(&t, 7 * SECOND_US);
    assert_true(all_rest());
}

/* The owner went away while nobody looked: what is asked of it was never sent, and did not happen.
 */
static void nothing_is_sent_to_one_that_went_while_it_rested(void **state)
{
    const char *said;

    (void)state;
    trio_run(&t, 2 * SECOND_US);
    trio_cut_off(&t, owner, true);
    said = trio_ask(&t, other, "SET a 2\r\n", 15 * SECOND_US);
    assert_true(strncmp(said, "-TRYAGAIN", 9) == 0 || strncmp(said, "-CLUSTERDOWN", 12) == 0);
    assert_int_not_equal(link_of(other, owner)->state, LINK_UP);
    trio_cut_off(&t, owner, false);
    trio_run(&t, 2 * SECOND_US);
    assert_string_equal(trio_ask(&t, other, "GET a\r\n", SECOND_US), "$-1\r\n");
}

/* Once it is wanted, its silence is borne no longer than any other's. */
static void a_wanted_link_is_cut_after_three_seconds(void **state)
{
    (void)state;
    trio_run(&t, 2 * SECOND_US);
    trio_cut_off(&t, owner, true);
    rig_send(&t.at[other], "SET a 2\r\n", strlen("SET a 2\r\n"));
    trio_run(&t, 2900 * MS);
    assert_int_equal(link_of(other, owner)->state, LINK_UP);
    trio_run(&t, 200 * MS);
    assert_int_not_equal(link_of(other, owner)->state, LINK_UP);
    /* A third node has not asked: it knows after two pings are missing. */
    assert_int_equal(link_of((owner + 2) % TRIO, owner)->state, LINK_UP);
    trio_run(&t, 11 * SECOND_US);
    assert_int_not_equal(link_of((owner + 2) % TRIO, owner)->state, LINK_UP);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(idle_links_cost_little),
        TEST(the_first_request_wakes_it),
        TEST(nothing_is_sent_to_one_that_went_while_it_rested),
        TEST(a_wanted_link_is_cut_after_three_seconds),
    };

    return cmocka_run_group_tests_name("rest", tests, NULL, NULL);
}
