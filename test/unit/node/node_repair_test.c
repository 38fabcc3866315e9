/* Rot in the memory of a cluster of one, where nobody could repair it; and files that wait. */
#include "base/base_hash.h"
#include "node/node_internal.h"
#include "node_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct group *group_of_a(void)
{
    return &rig.node->groups[node_partition_of_slot(rig.node, hashslot_of_key(SLICE("a")))];
}

static unsigned snapshot_files(void)
{
    unsigned count = 0;

    for (uint32_t i = 0; i < rig.file_count; i++) {
        count += strncmp(rig.files[i].path, "snap/", 5) == 0 ? 1 : 0;
    }
    return count;
}

static void checkpoint(struct group *g)
{
    node_checkpoint_want(g);
    rig_turns(&rig, 40, NODE_TICK_US);
}

/* Nobody could send it another state: it serves on, and says so. */
static void alone_it_serves_on_and_says_so(void **state)
{
    struct group *g = group_of_a();
    struct prng rng = {1};
    struct buf key = {0};

    (void)state;
    assert_string_equal(rig_ask(&rig, "SET a abcdefgh\r\n"), "+OK\r\n");
    assert_true(node_rot(rig.node, g->partition, &rng, &key));
    assert_false(node_sound(rig.node, g->partition));
    rig.deep_off = true; /* node_check would find it at once */
    rig_turns(&rig, 3000, NODE_TICK_US);
    assert_int_equal(g->digest.suspect, SUSPECT_ROT);
    assert_true(g->digest.alone);
    assert_true(g->digest.unresolved);
    assert_string_equal(rig_ask(&rig, "SET a 1\r\nGET a\r\n"), "+OK\r\n$1\r\n1\r\n");
    assert_non_null(strstr(rig_ask(&rig, "INFO replication\r\n"), "partitions_unresolved:1\r\n"));
    assert_non_null(strstr(rig_ask(&rig, "SYNOD STATUS\r\n"), "FOR NO OTHER IS SOUND"));
    buf_free(&key);
    /* The remedy that the log names. */
    rig_reopen(&rig);
    assert_true(node_sound(rig.node, group_of_a()->partition));
    assert_int_equal(group_of_a()->digest.suspect, SUSPECT_NOT);
}

/* What a checkpoint has read is not what was written: it gets no name. */
static void a_rotten_checkpoint_is_never_named(void **state)
{
    struct group *g = group_of_a();
    struct prng rng = {2};
    struct buf key = {0};

    (void)state;
    rig.node->cfg.scrub_bytes_per_s = 0; /* before a scrub sees it */
    assert_string_equal(rig_ask(&rig, "SET a abcdefgh\r\n"), "+OK\r\n");
    assert_true(node_rot(rig.node, g->partition, &rng, &key));
    rig.deep_off = true;
    checkpoint(g);
    assert_int_equal(g->digest.suspect, SUSPECT_ROT);
    assert_int_equal(g->snap_file, 0);
    assert_int_equal(snapshot_files(), 0);
    buf_free(&key);
}

/* One is given up while its writes are under way, and the next begins: what the disk says of the
 * first must not vouch for the second, which would get its name before it is there. */
static void a_completion_of_one_given_up_is_nobodys(void **state)
{
    struct group *g = group_of_a();
    uint32_t before = rig.pending_count;

    (void)state;
    assert_string_equal(rig_ask(&rig, "SET a 1\r\n"), "+OK\r\n");
    node_checkpoint_want(g);
    while (!g->checkpoint.active) {
        rig_turns(&rig, 1, NODE_TICK_US);
    }
    assert_true(rig.pending_count > before); /* written, and the node does not know it yet */
    rig.now.mono_us += NODE_TICK_US;
    node_begin(rig.node, rig.now);
    node_checkpoint_abort(g);
    node_checkpoint_want(g);
    node_tick(rig.node);
    node_end(rig.node, &rig.fx);
    rig_effects(&rig);
    assert_true(g->checkpoint.active);
    rig_turns(&rig, 40, NODE_TICK_US);
    assert_false(g->checkpoint.active);
    assert_int_equal(snapshot_files(), 1);
    rig_reopen(&rig);
    assert_string_equal(rig_ask(&rig, "GET a\r\n"), "$1\r\n1\r\n");
}

/* A checkpoint's predecessor waits for the log; then a snapshot from another replica takes the
 * checkpoint's place. Of the two files only the first was remembered: the second stayed until
 * the next start. */
/* What came back on the link for a first piece, or a later one, of file 9. */
static uint8_t told_of_piece(struct link *l, uint64_t offset)
{
    struct group *g = group_of_a();
    struct wire_chunk c = {.group = g->partition,
                           .from = {0x7700000},
                           .to = g->self,
                           .file = 9,
                           .index = {g->applied.n + 5},
                           .term = raft_term_now(g->raft),
                           .sender_term = raft_term_now(g->raft),
                           .offset = offset,
                           .bytes = SLICE("x")};
    struct wire_chunk_ack a;
    struct wire_frame f;

    l->now.len = 0;
    node_begin(rig.node, rig.now);
    node_snap_chunk(rig.node, l, &c);
    node_end(rig.node, &rig.fx);
    rig_effects(&rig);
    assert_int_equal(wire_next(l->now.data, l->now.len, &f), ERR_OK);
    assert_int_equal(f.type, WIRE_CHUNK_ACK);
    assert_int_equal(wire_get_chunk_ack(f.payload, &a), ERR_OK);
    assert_true(a.file == 9);
    return a.state;
}

/* A leader sent its snapshot while that of the leader before it was being synced, on a disk that
 * took its time. It was told nothing, and sent nothing more for 15 s. */
static void a_sender_that_is_not_listened_to_is_told(void **state)
{
    struct group *g = group_of_a();
    struct link l = {.conn = 77};

    (void)state;
    store_u64le(l.node.b, 0x7700000);
    g->recv = (struct snap_recv){.active = true, .finishing = true, .sender_file = 8, .conn = 76};
    assert_int_equal(told_of_piece(&l, 0), WIRE_CHUNK_GIVEN_UP);
    g->recv = (struct snap_recv){0};
    assert_int_equal(told_of_piece(&l, 64), WIRE_CHUNK_GIVEN_UP);
    buf_free(&l.now);
}

static void every_file_that_waits_for_the_log_goes(void **state)
{
    struct group *g = group_of_a();
    uint64_t second;

    (void)state;
    assert_string_equal(rig_ask(&rig, "SET a 1\r\n"), "+OK\r\n");
    checkpoint(g);
    assert_int_equal(snapshot_files(), 1);
    assert_string_equal(rig_ask(&rig, "SET a 2\r\n"), "+OK\r\n");
    rig.hold_log = true;
    checkpoint(g);
    assert_int_equal(g->snap_old_count, 1);
    assert_int_equal(snapshot_files(), 2);
    second = g->snap_file; /* as install() does it */
    g->snap_file = second + 1;
    g->snap_ticket = wal_ticket(rig.node->wal);
    wal_put_snapshot(rig.node->wal, g->partition, g->snap_index, g->snap_term, g->snap_file);
    node_checkpoint_retire(g, second);
    assert_int_equal(g->snap_old_count, 2);
    rig_turns(&rig, 5, NODE_TICK_US);
    assert_int_equal(snapshot_files(), 2); /* a crash now would need one of them */
    rig.hold_log = false;
    rig_turns(&rig, 40, NODE_TICK_US);
    assert_int_equal(g->snap_old_count, 0);
    assert_int_equal(snapshot_files(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(alone_it_serves_on_and_says_so),
        RIG_TEST(a_rotten_checkpoint_is_never_named),
        RIG_TEST(a_completion_of_one_given_up_is_nobodys),
        RIG_TEST(every_file_that_waits_for_the_log_goes),
        RIG_TEST(a_sender_that_is_not_listened_to_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
