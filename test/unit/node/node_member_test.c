/* The way back of a rebuilt replica. The leaders that it hears of are played by the test: a
 * replica takes entries from whoever leads, and what a configuration in them says of it. */
#include "node/node_internal.h"
#include "node_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct raft_id STRANGER = {0x7700};

static struct group *group(struct rig *r)
{
    return &r->node->groups[0];
}

/* The stranger leads in that term and sends one entry after `index`. */
static void append(struct rig *r, uint64_t term, uint64_t index, enum raft_entry_kind kind,
                   const struct raft_conf *conf)
{
    struct raft *raft = group(r)->raft;
    struct buf data = {0};
    struct raft_entry entry = {.index = {index + 1}, .term = {term}, .kind = kind};
    struct raft_msg m = {.kind = RAFT_MSG_APPEND,
                         .from = STRANGER,
                         .to = raft_self(raft),
                         .term = {term},
                         .index = {index},
                         .log_term = raft_term_at(raft, (struct raft_index){index}),
                         .commit = {index},
                         .entry_count = 1,
                         .entries = &entry};

    if (conf != NULL) {
        raft_conf_encode(conf, (struct slice){0}, &data);
        entry.data = buf_slice(&data);
    }
    node_begin(r->node, r->now);
    assert_int_equal(raft_step(raft, r->now.mono_us, &m), ERR_OK);
    node_group_mark(group(r));
    node_end(r->node, &r->fx);
    rig_effects(r);
    buf_free(&data);
    rig_turns(r, 4, NODE_TICK_US);
}

static bool rebuilding(struct rig *r)
{
    struct node_group_view v;

    assert_true(node_group_view(r->node, 0, &v));
    return v.rebuilding;
}

/* The configuration with its vote was in the log, never committed, and replaced by a leader
 * that had not heard of it: the replica was a learner for ever, for it no longer asked. */
static void a_replica_whose_vote_is_taken_back_asks_again(void **state)
{
    struct rig r = {0};
    struct raft_conf learner = {.voter_count = 1, .voters = {STRANGER}, .learner_count = 1};
    struct raft_conf voter = {.voter_count = 2, .voters = {STRANGER}};
    uint64_t term, last;

    (void)state;
    rig_open(&r);
    term = raft_term_now(group(&r)->raft).n;
    last = raft_last(group(&r)->raft).n;
    learner.learners[0] = voter.voters[1] = raft_self(group(&r)->raft);

    append(&r, term + 1, last, RAFT_CONF, &learner);
    assert_true(rebuilding(&r));
    append(&r, term + 1, last + 1, RAFT_CONF, &voter);
    assert_false(rebuilding(&r));
    append(&r, term + 2, last + 1, RAFT_NOOP, NULL);
    assert_true(rebuilding(&r));
    rig_close(&r);
}

/* Three replicas, the leader's log had been cut beyond what the second had, and the third was lost
 * while it was being taken in again. The second needed a snapshot to vote for the change of
 * members, and no snapshot was made while such a change was undecided: the partition stood still
 * until the third came back. (Seed 11958 of 660fdfb.) */
static void a_checkpoint_waits_for_no_change_of_members(void **state)
{
    struct rig r = {0};
    struct raft_conf joint = {
        .voter_count = 2, .voters = {STRANGER}, .outgoing_count = 2, .outgoing = {STRANGER}};
    struct raft_conf later;
    uint64_t term, last;

    (void)state;
    rig_open(&r);
    term = raft_term_now(group(&r)->raft).n;
    last = raft_last(group(&r)->raft).n;
    joint.voters[1] = joint.outgoing[1] = raft_self(group(&r)->raft);
    later = joint;
    later.outgoing_count = 0;
    append(&r, term + 1, last, RAFT_CONF, &joint);
    append(&r, term + 1, last + 1, RAFT_CONF, &later); /* which commits the one before */
    assert_int_equal(group(&r)->applied.n, last + 1);

    node_checkpoint_want(group(&r));
    rig_turns(&r, 40, NODE_TICK_US);
    assert_int_equal(group(&r)->snap_index.n, last + 1);
    assert_int_equal(group(&r)->snap_conf.outgoing_count, 2);
    assert_int_equal(raft_conf_now(group(&r)->raft)->outgoing_count, 0);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_replica_whose_vote_is_taken_back_asks_again),
        cmocka_unit_test(a_checkpoint_waits_for_no_change_of_members),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
