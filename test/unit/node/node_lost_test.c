/* A replica whose disk lost what it had said: three nodes, none of them played. */
#include "node/node_internal.h"
#include "node_trio.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { LONG_US = 10 * 1000 * 1000, BATCH_MAGIC = 0x424e5953 /* docs/format/wal.md */ };

static struct trio t;
static struct rig_image image;
static unsigned leader, follower, third;

static int setup(void **state)
{
    (void)state;
    leader = trio_open_led(&t, 0);
    follower = (leader + 1) % TRIO;
    third = (leader + 2) % TRIO;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_image_free(&image);
    trio_close(&t);
    return 0;
}

/* The header of the newest batch of the log is not what was written; what a crash tears looks
 * the same. */
static void lose_newest_batch(struct rig *r)
{
    uint8_t *newest = NULL;

    for (uint32_t i = 0; i < r->file_count; i++) {
        struct buf *b = &r->files[i].data;

        if (strncmp(r->files[i].path, "log/", 4) != 0) {
            continue;
        }
        for (size_t at = 0; at + DISK_BLOCK_BYTES <= b->len; at += DISK_BLOCK_BYTES) {
            uint8_t *batch = b->data + at;

            if (load_u32le(batch) == BATCH_MAGIC &&
                (newest == NULL || load_u64le(batch + 16) > load_u64le(newest + 16))) {
                newest = batch;
            }
        }
    }
    CHECK(newest != NULL);
    memset(newest, 0, 64);
}

static void assert_whole_again(struct raft_id was)
{
    const struct raft_conf *conf;
    bool voter = false;

    trio_run(&t, 3 * 1000 * 1000);
    assert_true(trio_group(&t, follower)->self.n > was.n);
    assert_false(trio_group(&t, follower)->rebuilding);
    conf = raft_conf_now(trio_group(&t, leader)->raft);
    assert_int_equal(conf->voter_count, TRIO);
    for (uint8_t i = 0; i < conf->voter_count; i++) {
        voter = voter || conf->voters[i].n == trio_group(&t, follower)->self.n;
    }
    assert_true(voter);
    for (unsigned i = 0; i < TRIO; i++) {
        struct node_group_view v, first;

        assert_true(node_group_view(t.at[0].node, trio_partition(&t, "a"), &first));
        assert_true(node_group_view(t.at[i].node, trio_partition(&t, "a"), &v));
        assert_int_equal(v.applied.n, first.applied.n);
        assert_true(v.digest == first.digest);
        if (i != follower) {
            assert_true(node_past_void(trio_group(&t, i), was));
            assert_false(node_past_void(trio_group(&t, i), trio_group(&t, follower)->self));
        }
    }
}

static void an_old_image_is_noticed(void **state)
{
    struct raft_id was = trio_group(&t, follower)->self;

    (void)state;
    trio_set(&t, leader, 1);
    rig_image_take(&t.at[follower], &image);
    for (unsigned i = 2; i < 10; i++) {
        trio_set(&t, leader, i);
    }
    trio_kill(&t, follower);
    rig_image_put(&t.at[follower], &image);
    trio_start(&t, follower);
    assert_whole_again(was);
    /* Only what was written to since is rebuilt. */
    assert_int_equal(node_troubles(t.at[follower].node).replicas_lost, 1);
}

static void a_lost_newest_batch_is_noticed(void **state)
{
    struct raft_id was = trio_group(&t, follower)->self;

    (void)state;
    trio_cut_off(&t, third, true); /* so that it is the follower who acknowledges */
    trio_set(&t, leader, 1);
    trio_kill(&t, follower);
    lose_newest_batch(&t.at[follower]);
    trio_cut_off(&t, third, false);
    trio_start(&t, follower);
    assert_whole_again(was);
}

/* And no longer than that: the next restart finds all that was said. */
static void a_rebuilt_replica_is_believed_again(void **state)
{
    struct raft_id was = trio_group(&t, follower)->self;

    a_lost_newest_batch_is_noticed(state);
    for (unsigned i = 0; i < 3; i++) {
        struct raft_id self = trio_group(&t, follower)->self;

        trio_set(&t, leader, 10 + i);
        trio_kill(&t, follower);
        trio_start(&t, follower);
        trio_run(&t, 1000 * 1000);
        assert_int_equal(node_troubles(t.at[follower].node).replicas_lost, 0);
        assert_true(trio_group(&t, follower)->self.n == self.n);
        assert_whole_again(was);
    }
}

/* The leader and one follower have an acknowledged write. The leader goes, the follower comes back
 * without it: the third, who has heard of it, does not lead with the vote of who forgot. */
static void who_forgot_does_not_elect(void **state)
{
    (void)state;
    trio_set(&t, leader, 1);
    trio_run(&t, 100 * 1000);
    t.cut[leader][third] = true;
    trio_set(&t, leader, 2);
    trio_run(&t, 50 * 1000);
    assert_string_equal(trio_ask(&t, leader, "GET a\r\n", LONG_US), "$1\r\n2\r\n");
    trio_kill(&t, leader);
    trio_kill(&t, follower);
    t.cut[leader][third] = false;
    lose_newest_batch(&t.at[follower]);
    trio_start(&t, follower);
    for (unsigned i = 0; i < 30; i++) {
        trio_run(&t, 100 * 1000);
        assert_int_equal(trio_leader(&t, "a"), TRIO);
    }
    trio_start(&t, leader);
    assert_string_equal(trio_ask(&t, third, "GET a\r\n", LONG_US), "$1\r\n2\r\n");
}

/* Said twice, or late, it is of a replica that is no more. */
static void a_word_that_comes_again_rebuilds_nothing(void **state)
{
    struct wire_records s = {.group = trio_partition(&t, "a"), .records = 1000000};
    struct buf b = {0};
    struct raft_id self;

    (void)state;
    trio_set(&t, leader, 1);
    s.replica = trio_group(&t, follower)->self;
    for (unsigned i = 0; i < 3; i++) {
        size_t mark = wire_begin(&b, WIRE_FORGOT);

        wire_put_records(&b, &s);
        wire_end(&b, mark);
    }
    trio_inject(&t, leader, follower, buf_slice(&b));
    trio_run(&t, TRIO_TURN_US);
    self = trio_group(&t, follower)->self;
    assert_true(self.n > s.replica.n);
    assert_int_equal(node_troubles(t.at[follower].node).replicas_lost, 1);
    trio_inject(&t, third, follower, buf_slice(&b));
    trio_run(&t, 3 * 1000 * 1000);
    assert_true(trio_group(&t, follower)->self.n == self.n);
    assert_int_equal(node_troubles(t.at[follower].node).replicas_lost, 1);
    assert_false(trio_group(&t, follower)->rebuilding);
    buf_free(&b);
}

#define LOST_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOST_TEST(an_old_image_is_noticed),
        LOST_TEST(a_lost_newest_batch_is_noticed),
        LOST_TEST(a_rebuilt_replica_is_believed_again),
        LOST_TEST(who_forgot_does_not_elect),
        LOST_TEST(a_word_that_comes_again_rebuilds_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
