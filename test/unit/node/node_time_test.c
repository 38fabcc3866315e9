/* The time that a leader logs: never earlier than what its log already holds. */
#include "node/node_internal.h"
#include "node_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const char SET[] = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n";

/* The group with the most entries: that of the key. */
static struct group *group_of_key(void)
{
    struct group *most = &rig.node->groups[0];

    for (uint32_t p = 1; p < rig.node->map.partitions; p++) {
        struct group *g = &rig.node->groups[p];

        most = raft_last(g->raft).n > raft_last(most->raft).n ? g : most;
    }
    return most;
}

/* Returns how many commands are in the log. */
static uint32_t check_times(const struct group *g)
{
    uint64_t before = 0;
    uint32_t count = 0;

    for (struct raft_index at = raft_first(g->raft); at.n <= raft_last(g->raft).n; at.n++) {
        const struct raft_entry *e = raft_entry(g->raft, at);

        if (e->kind == RAFT_COMMAND) {
            assert_true(load_u64le(e->data.data) > before);
            before = load_u64le(e->data.data);
            count++;
        }
    }
    return count;
}

/* The node restarts with its clock set back, and is asked in the turn in which it comes to lead:
 * a leader took the log's time over only at the end of that turn (the simulator's seed 35, whose
 * wall clocks strobed). */
static void asked_in_the_turn_that_makes_it_lead(void **state)
{
    struct group *g;
    struct diag why;

    (void)state;
    assert_string_equal(rig_ask(&rig, SET), "+OK\r\n");
    rig_kill(&rig);
    rig.now.wall_ms -= 60 * 1000;
    assert_int_equal(rig_start(&rig, &why), ERR_OK);
    g = group_of_key();
    rig_client(&rig);
    for (unsigned turns = 0; raft_role(g->raft) != RAFT_LEADER; turns++) {
        assert_true(turns < 200);
        rig_turn_begin(&rig, NODE_TICK_US);
        if (raft_role(g->raft) == RAFT_LEADER) {
            node_received(rig.node, 1, (const uint8_t *)SET, sizeof SET - 1);
        }
        node_tick(rig.node);
        rig_turn_end(&rig);
    }
    rig_turns(&rig, 20, NODE_TICK_US);
    assert_int_equal(check_times(g), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(asked_in_the_turn_that_makes_it_lead),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
