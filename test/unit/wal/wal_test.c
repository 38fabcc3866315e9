/* The log's rules, one test each; and frozen bytes of the format. */
#include "wal/wal_internal.h"
#include "wal_disk.h"
#include "wal_model.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { SEGMENT = 16 * 4096 };

struct rig {
    struct disk_sim disk;
    struct wal *w;
    struct model read;
    struct wal_recovery found;
    struct diag why;
    uint64_t now_us;
};
static struct rig rig;

static enum err open_err(uint32_t segment_bytes)
{
    struct wal_config cfg = {.segment_bytes = segment_bytes, .spare_count = 1};
    struct disk_boot boot = disk_sim_boot(&rig.disk);
    struct wal_visitor visitor = model_visitor(&rig.read);

    rig.read = (struct model){0};
    rig.w = wal_create(&cfg);
    return wal_recover(rig.w, &boot, &visitor, &rig.found, &rig.why);
}

static void open_log(void)
{
    assert_int_equal(open_err(SEGMENT), ERR_OK);
}

static void close_log(void)
{
    wal_destroy(rig.w);
    rig.w = NULL;
    disk_sim_drop(&rig.disk);
}

static bool done_one(enum disk_lane lane)
{
    struct disk_done done;

    if (!disk_sim_step(&rig.disk, lane, &done)) {
        return false;
    }
    assert_true(wal_owns(rig.w, done.token));
    assert_int_equal(wal_disk_done(rig.w, rig.now_us, &done, &rig.why), ERR_OK);
    wal_check(rig.w);
    return true;
}

static void turn(void)
{
    struct disk_ops ops = {0};

    wal_flush(rig.w, &ops);
    wal_tidy(rig.w, rig.now_us += 100000, &ops);
    disk_sim_submit(&rig.disk, &ops);
    disk_ops_free(&ops);
    wal_check(rig.w);
}

static void settle(void)
{
    for (int i = 0; i < 60; i++) {
        turn();
        while (done_one(DISK_LANE_BULK) || done_one(DISK_LANE_LOG)) {
        }
    }
}

static void put(uint32_t group, uint64_t index, uint64_t term, size_t bytes)
{
    static const uint8_t zeros[300000];
    struct raft_entry e = {{index}, {term}, RAFT_COMMAND, {zeros, bytes}};

    wal_put_entries(rig.w, group, &e, 1);
}

static void batch(uint32_t group, uint64_t index, size_t bytes)
{
    put(group, index, 1, bytes);
    settle();
}

static int setup(void **state)
{
    (void)state;
    rig = (struct rig){0};
    open_log();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close_log();
    disk_sim_free(&rig.disk);
    return 0;
}

static struct disk_file *file_of(uint64_t number)
{
    char path[DISK_PATH_MAX];

    wal_segment_path(number, path);
    return disk_sim_find(&rig.disk, path);
}

/* Position in the file of the batch with that sequence. */
static uint64_t batch_at(uint64_t number, uint64_t sequence)
{
    struct disk_file *f = file_of(number);
    struct wal_batch_header h;

    for (uint64_t at = 4096; at < f->bytes.len; at += 4096) {
        struct slice s = {f->bytes.data + at, f->bytes.len - at};

        if (wal_batch_header_get(s, number, at, &h) && h.sequence == sequence) {
            return at;
        }
    }
    fail_msg("no such batch");
    return 0;
}

/* --- rules ------------------------------------------------------------- */

static void tickets_grow_by_one_batch_in_flight(void **state)
{
    (void)state;
    assert_int_equal(wal_ticket(rig.w), 1);
    assert_int_equal(wal_durable(rig.w), 0);
    put(0, 1, 1, 10);
    assert_false(wal_can_flush(rig.w)); /* no segment yet */
    turn();
    assert_true(done_one(DISK_LANE_BULK)); /* the first ALLOCATE is all it takes */
    assert_true(wal_can_flush(rig.w));
    turn();
    assert_int_equal(wal_ticket(rig.w), 2);
    put(0, 2, 1, 10);
    assert_false(wal_can_flush(rig.w)); /* one in flight */
    assert_true(done_one(DISK_LANE_LOG));
    assert_int_equal(wal_durable(rig.w), 1);
    assert_true(wal_can_flush(rig.w));
    settle();
    assert_int_equal(wal_durable(rig.w), 2);
    assert_false(wal_owns(rig.w, 1ULL << 62)); /* the node's own */
}

/* What is said behind a gate rests on the records up to its ticket, and on no more. */
static void records_are_counted_by_ticket(void **state)
{
    (void)state;
    assert_int_equal(wal_records(rig.w, 5, 1), 0);
    batch(5, 1, 10); /* ticket 1 */
    assert_int_equal(wal_records(rig.w, 5, wal_durable(rig.w)), 1);
    put(5, 2, 1, 10);
    turn(); /* ticket 2, in flight */
    wal_put_commit(rig.w, 5, (struct raft_index){1});
    assert_int_equal(wal_records(rig.w, 5, 1), 1);
    assert_int_equal(wal_records(rig.w, 5, 2), 2);
    assert_int_equal(wal_records(rig.w, 5, 3), 3);
    settle();
    assert_int_equal(wal_records(rig.w, 5, wal_durable(rig.w)), 3);
    wal_reset_group(rig.w, 5); /* counts go on */
    settle();
    close_log();
    open_log();
    assert_int_equal(wal_records(rig.w, 5, wal_durable(rig.w)), 4);
}

static void everything_is_read_back(void **state)
{
    (void)state;
    put(3, 1, 1, 10);
    put(3, 2, 1, 20);
    put(3, 2, 2, 30); /* replaced */
    wal_put_hard(rig.w, 3, (struct raft_hard){{7}, {9}});
    wal_put_commit(rig.w, 3, (struct raft_index){1});
    wal_put_snapshot(rig.w, 3, (struct raft_index){1}, (struct raft_term){1}, 77);
    wal_put_blob(rig.w, 3, SLICE("who"));
    settle();
    close_log();
    open_log();

    const struct model_group *g = &rig.read.groups[3];

    assert_int_equal(g->base, 1);
    assert_int_equal(g->count, 1);
    assert_int_equal(g->entries[0].term, 2);
    assert_int_equal(g->hard.term.n, 7);
    assert_int_equal(g->hard.voted_for.n, 9);
    assert_int_equal(g->commit, 1);
    assert_int_equal(g->snap_file, 77);
    assert_int_equal(rig.found.batches, 1);
    assert_int_equal(rig.found.records, 7);
    assert_int_equal(rig.found.damaged_places, 0);
}

static void a_torn_tail_is_cut_and_stays_cut(void **state)
{
    (void)state;
    batch(0, 1, 10);
    batch(0, 2, 9000);
    file_of(1)->bytes.data[batch_at(1, 2) + 5000] ^= 1;
    for (int round = 0; round < 3; round++) {
        close_log();
        open_log();
        assert_int_equal(rig.read.groups[0].count, 1 + round);
        assert_int_equal(rig.found.torn_bytes, round == 0 ? 12288 : 0);
        assert_int_equal(rig.found.damaged_places, 0);
        batch(0, 2 + (uint64_t)round, 10); /* goes to a fresh segment */
    }
}

static void damage_names_only_who_lost_something(void **state)
{
    (void)state;
    batch(0, 1, 10);
    batch(1, 1, 10); /* will be damaged */
    batch(0, 2, 10);
    put(1, 2, 1, 10);
    batch(2, 1, 10);
    file_of(1)->bytes.data[batch_at(1, 2) + 100] ^= 1;
    close_log();
    open_log();
    assert_int_equal(rig.found.damaged_places, 1);
    assert_false(rig.read.damaged[0]); /* its next record shows that none is missing */
    assert_true(rig.read.damaged[1]);
    assert_false(rig.read.damaged[2]); /* its only record came later, and is its first */
    assert_int_equal(rig.read.groups[0].count, 2);

    /* Until it is reset it stays damaged, wherever the damage went. */
    wal_put_commit(rig.w, 2, (struct raft_index){1});
    settle();
    close_log();
    open_log();
    assert_true(rig.read.damaged[1]);
    wal_reset_group(rig.w, 1);
    wal_put_blob(rig.w, 1, SLICE("anew"));
    settle();
    close_log();
    open_log();
    assert_false(rig.read.damaged[1]);
    assert_int_equal(rig.read.groups[1].count, 0);
}

static void a_snapshot_makes_up_for_lost_entries(void **state)
{
    (void)state;
    batch(2, 1, 10); /* keeps the segment */
    batch(1, 1, 10); /* will be damaged */
    wal_put_snapshot(rig.w, 1, (struct raft_index){1}, (struct raft_term){1}, 5);
    settle();
    close_log();
    open_log(); /* a fresh segment: begins with the state of all */
    batch(1, 2, 10);
    file_of(1)->bytes.data[batch_at(1, 2) + 100] ^= 1;
    close_log();
    open_log();
    assert_int_equal(rig.found.damaged_places, 1);
    assert_false(rig.read.damaged[1]);
    assert_false(rig.read.damaged[2]);
    assert_int_equal(rig.read.groups[1].base, 1);
    assert_int_equal(rig.read.groups[1].count, 1);
}

static void a_lost_file_is_damage(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 30; i++) {
        batch(0, i, 9000);
    }
    assert_true(rig.w->active.number > 3);
    char path[DISK_PATH_MAX];

    wal_segment_path(rig.w->active.number, path); /* the newest; a spare lies above it */
    close_log();
    disk_sim_remove(&rig.disk, path);
    open_log();
    assert_int_equal(rig.found.damaged_places, 1);
    assert_true(rig.read.damaged[0]);
    assert_true(rig.found.groups_lost > 0);
}

static void bad_blocks(uint64_t number, uint64_t block, uint64_t count)
{
    wal_segment_path(number, rig.disk.bad_path);
    rig.disk.bad_block = block;
    rig.disk.bad_count = count;
}

/* A sector that cannot be read used to keep the whole node from starting. */
static void an_unreadable_block_is_damage(void **state)
{
    (void)state;
    batch(0, 1, 10);
    batch(1, 1, 10); /* cannot be read */
    batch(0, 2, 10);
    bad_blocks(1, batch_at(1, 2) / 4096, 1);
    close_log();
    open_log();
    assert_int_equal(rig.found.unread_blocks, 1);
    assert_int_equal(rig.found.damaged_places, 1);
    assert_false(rig.read.damaged[0]);
    assert_int_equal(rig.read.groups[0].count, 2);
    assert_int_equal(rig.found.groups_lost, 1); /* its only record */
}

/* No crash makes a block unreadable: where the newest batch would be, it is damage. */
static void an_unreadable_block_at_the_end_is_no_torn_tail(void **state)
{
    (void)state;
    batch(0, 1, 10);
    batch(0, 2, 10);
    bad_blocks(1, batch_at(1, 2) / 4096, 1);
    close_log();
    open_log();
    assert_int_equal(rig.found.damaged_places, 1);
    assert_true(rig.read.damaged[0]);

    bad_blocks(1, batch_at(1, 2) / 4096 + 2, 1); /* beyond where the next one would begin */
    close_log();
    open_log();
    assert_int_equal(rig.found.damaged_places, 0);
    assert_false(rig.read.damaged[0]);
    assert_int_equal(rig.read.groups[0].count, 2);
}

static void a_device_that_reads_nothing_loses_nothing(void **state)
{
    (void)state;
    batch(0, 1, 10);
    close_log();
    disk_sim_remove(&rig.disk, "log/0000000000000002.seg"); /* the spare */
    bad_blocks(1, 0, SEGMENT / 4096);
    assert_int_equal(open_err(SEGMENT), ERR_IO);
    assert_non_null(strstr(rig.why.text, "see to the device"));
    wal_destroy(rig.w);
    bad_blocks(1, 0, 0);
    open_log();
    assert_int_equal(rig.read.groups[0].count, 1);
}

static void a_newer_version_is_refused(void **state)
{
    struct wal_segment_header h = {
        .version = 2, .number = 1, .bytes = SEGMENT, .first_sequence = 1};

    (void)state;
    batch(0, 1, 10);
    close_log();
    wal_segment_header_put(file_of(1)->bytes.data, &h);
    assert_int_equal(open_err(SEGMENT), ERR_VERSION);
    assert_non_null(strstr(rig.why.text, "0000000000000001.seg has format version 2"));
}

static void a_file_of_rubbish_is_corrupt(void **state)
{
    (void)state;
    close_log();
    struct disk_file *f = disk_sim_add(&rig.disk, WAL_DIR "/0000000000000001.seg");

    for (int i = 0; i < 9000; i++) {
        put_u8(&f->bytes, (uint8_t)(i * 7 + 1));
    }
    assert_int_equal(open_err(SEGMENT), ERR_CORRUPT);
    assert_true(strlen(rig.why.text) > 0);
}

static void snapshots_keep_the_disk_bounded(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 500; i++) {
        uint32_t group = 9;

        batch((uint32_t)(i % 2), (i + 1) / 2, 3000);
        if (wal_live_bytes(rig.w) > 2 * SEGMENT) {
            assert_true(wal_laggard(rig.w, &group));
            assert_true(group < 2);
            uint64_t last = rig.w->groups[group]->now.last;

            wal_put_snapshot(rig.w, group, (struct raft_index){last}, (struct raft_term){1}, i);
        }
        assert_true(wal_disk_bytes(rig.w) <= 9 * SEGMENT);
    }
    settle();
    assert_int_equal(wal_disk_bytes(rig.w), disk_sim_bytes(&rig.disk));
    assert_true(rig.disk.renames > 5);
    assert_true(rig.disk.allocates < 10); /* recycling, not allocating, keeps it going */
}

static void a_large_batch_gets_its_own_segment(void **state)
{
    (void)state;
    batch(0, 1, 10);
    batch(0, 2, 300000);
    assert_int_equal(wal_durable(rig.w), 2);
    batch(0, 3, 10);
    close_log();
    open_log();
    assert_int_equal(rig.read.groups[0].count, 3);
}

static void a_full_disk_stops_proposals_and_passes(void **state)
{
    uint64_t i = 1;

    (void)state;
    rig.disk.capacity = 3 * SEGMENT;
    for (; !wal_full(rig.w); i++) {
        assert_true(i < 100);
        batch(0, i, 3000);
    }
    assert_int_equal(wal_durable(rig.w) + 1, wal_ticket(rig.w));
    wal_put_hard(rig.w, 0, (struct raft_hard){{2}, {1}}); /* a vote still fits */
    settle();
    assert_int_equal(wal_durable(rig.w) + 1, wal_ticket(rig.w));
    assert_true(wal_full(rig.w));
    rig.disk.capacity = 0;
    settle();
    assert_false(wal_full(rig.w));
}

static void a_batch_without_space_is_written_again(void **state)
{
    (void)state;
    batch(0, 1, 10);
    rig.disk.writes_fail_no_space = true;
    batch(0, 2, 10);
    assert_int_equal(wal_durable(rig.w), 1);
    assert_true(wal_full(rig.w));
    rig.disk.writes_fail_no_space = false;
    settle();
    assert_int_equal(wal_durable(rig.w), 2);
    assert_false(wal_full(rig.w));
}

static void a_failed_sync_is_returned(void **state)
{
    struct disk_done done;

    (void)state;
    settle();
    put(0, 1, 1, 10);
    turn();
    rig.disk.fail_next = ERR_IO;
    assert_true(disk_sim_step(&rig.disk, DISK_LANE_LOG, &done));
    assert_int_equal(wal_disk_done(rig.w, 0, &done, &rig.why), ERR_IO);
    assert_non_null(strstr(rig.why.text, "writing the log failed"));
    assert_int_equal(wal_durable(rig.w), 0);
}

/* --- frozen bytes ------------------------------------------------------ */

#define SEGMENT_HEX                                                                                \
    "53594e4f4457414c770a42b882254cd601000000001000000100000000000000"                             \
    "0000010000000000010000000000000000000000000000000000000000000000"
#define BATCH_HEX                                                                                  \
    "53594e420e83645d707415839b457d2101000000000000000100000000000000"                             \
    "0010000000000000f50000000000000006000000020000000000000000000000"
#define ENTRIES_HEX                                                                                \
    "2300000002010200010000000000000001000000000000000100000000000000"                             \
    "05000000000000000300000001000000616263"
#define HARD_HEX "1000000002000300010000000000000005000000000000000600000000000000"
#define COMMIT_HEX "080000000200040002000000000000000100000000000000"
#define SNAPSHOT_HEX                                                                               \
    "1800000002000500030000000000000001000000000000000500000000000000"                             \
    "0900000000000000"
#define BLOB_HEX "020000000200060004000000000000006d65"
#define RESET_HEX "00000000020107000200000000000000"
#define STATE_258_HEX                                                                              \
    "4000000002010100020000000000000000000000000000000000000000000000"                             \
    "0000000000000000000000000000000000000000000000000000000000000000"                             \
    "00000000000000000000000000000000"
#define STATE_2_HEX                                                                                \
    "4200000002000100040000000000000001000000000000000500000000000000"                             \
    "0600000000000000010000000000000001000000000000000500000000000000"                             \
    "090000000000000000000000000000006d65"

static void assert_hex(const uint8_t *at, size_t len, const char *want)
{
    static const char digits[] = "0123456789abcdef";
    struct buf hex = {0};

    for (size_t i = 0; i < len; i++) {
        put_u8(&hex, (uint8_t)digits[at[i] >> 4]);
        put_u8(&hex, (uint8_t)digits[at[i] & 15]);
    }
    put_u8(&hex, 0);
    assert_string_equal((const char *)hex.data, want);
    buf_free(&hex);
}

static void the_format_is_frozen(void **state)
{
    struct raft_entry e = {{1}, {5}, RAFT_COMMAND, SLICE("abc")};

    (void)state;
    wal_put_entries(rig.w, 258, &e, 1);
    wal_put_hard(rig.w, 2, (struct raft_hard){{5}, {6}});
    wal_put_commit(rig.w, 2, (struct raft_index){1});
    wal_put_snapshot(rig.w, 2, (struct raft_index){1}, (struct raft_term){5}, 9);
    wal_put_blob(rig.w, 2, SLICE("me"));
    wal_reset_group(rig.w, 258);
    settle();
    const uint8_t *at = file_of(1)->bytes.data;

    assert_hex(at, 64, SEGMENT_HEX);
    assert_hex(at + 4096, 64, BATCH_HEX);
    assert_hex(at + 4160, 51, ENTRIES_HEX);
    assert_hex(at + 4211, 32, HARD_HEX);
    assert_hex(at + 4243, 24, COMMIT_HEX);
    assert_hex(at + 4267, 40, SNAPSHOT_HEX);
    assert_hex(at + 4307, 18, BLOB_HEX);
    assert_hex(at + 4325, 16, RESET_HEX);
    close_log();
    open_log(); /* the next segment begins with states */
    wal_put_commit(rig.w, 2, (struct raft_index){1});
    settle();
    at = file_of(2)->bytes.data + 4160;
    assert_hex(at, 80, STATE_258_HEX);
    assert_hex(at + 80, 82, STATE_2_HEX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(tickets_grow_by_one_batch_in_flight),
        T(records_are_counted_by_ticket),
        T(everything_is_read_back),
        T(a_torn_tail_is_cut_and_stays_cut),
        T(damage_names_only_who_lost_something),
        T(a_snapshot_makes_up_for_lost_entries),
        T(a_lost_file_is_damage),
        T(an_unreadable_block_is_damage),
        T(an_unreadable_block_at_the_end_is_no_torn_tail),
        T(a_device_that_reads_nothing_loses_nothing),
        T(a_newer_version_is_refused),
        T(a_file_of_rubbish_is_corrupt),
        T(snapshots_keep_the_disk_bounded),
        T(a_large_batch_gets_its_own_segment),
        T(a_full_disk_stops_proposals_and_passes),
        T(a_batch_without_space_is_written_again),
        T(a_failed_sync_is_returned),
        T(the_format_is_frozen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
