/* What a node makes of a harmed data directory, where it has nobody to ask. */
#include "node_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct diag why;

static const char *const metadata[] = {"meta/node", "meta/node.copy", "meta/map", "meta/map.copy"};

static int setup(void **state)
{
    (void)rig_setup(state);
    assert_string_equal(rig_ask(&rig, "SET a 1\r\n"), "+OK\r\n");
    return 0;
}

static void harm(const char *path)
{
    struct buf *b = rig_file(&rig, path);

    assert_non_null(b);
    b->data[b->len - 1] ^= 1;
}

static void lost_metadata_is_made_good_from_its_copy(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(metadata); i++) {
        rig_lose(&rig, metadata[i]);
        rig_reopen(&rig);
        assert_string_equal(rig_ask(&rig, "GET a\r\n"), "$1\r\n1\r\n");
        assert_non_null(rig_file(&rig, metadata[i]));
    }
}

static void damaged_metadata_is_made_good_from_its_copy(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(metadata); i++) {
        harm(metadata[i]);
        rig_reopen(&rig);
        assert_string_equal(rig_ask(&rig, "GET a\r\n"), "$1\r\n1\r\n");
    }
    for (size_t i = 0; i < ARRAY_COUNT(metadata); i += 2) { /* and the copies are good again */
        rig_lose(&rig, metadata[i]);
    }
    rig_reopen(&rig);
    assert_string_equal(rig_ask(&rig, "GET a\r\n"), "$1\r\n1\r\n");
}

/* A flipped bit in the version used to pass for a file of a newer program. */
static void a_damaged_version_is_no_newer_program(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(metadata); i++) {
        rig_file(&rig, metadata[i])->data[10] ^= 0x20;
        rig_reopen(&rig);
        assert_string_equal(rig_ask(&rig, "GET a\r\n"), "$1\r\n1\r\n");
    }
    rig_file(&rig, "meta/map")->data[8] = 2;
    rig_file(&rig, "meta/map.copy")->data[8] = 2;
    assert_int_equal(rig_try_open(&rig, &why), ERR_VERSION);
    assert_non_null(strstr(why.text, "newer version"));
}

static void metadata_lost_twice_is_refused(void **state)
{
    (void)state;
    harm("meta/node");
    harm("meta/node.copy");
    uint64_t before = rig_disk_hash(&rig);

    assert_int_equal(rig_try_open(&rig, &why), ERR_CORRUPT);
    assert_non_null(strstr(why.text, "--join"));
    assert_true(rig_disk_hash(&rig) == before);
}

static void a_map_without_an_identity_is_refused(void **state)
{
    (void)state;
    rig_lose(&rig, "meta/node");
    rig_lose(&rig, "meta/node.copy");
    assert_int_equal(rig_try_open(&rig, &why), ERR_CORRUPT);
    assert_non_null(strstr(why.text, "identity is lost"));
}

/* Rebuilding from peers that do not exist would have thrown away what is left. */
static void damage_to_the_only_replica_is_refused(void **state)
{
    struct buf *log;

    (void)state;
    assert_string_equal(rig_ask(&rig, "SET a 2\r\n"), "+OK\r\n");
    assert_string_equal(rig_ask(&rig, "SET a 3\r\n"), "+OK\r\n");
    log = rig_file(&rig, "log/0000000000000001.seg");
    assert_non_null(log);
    for (size_t at = 4096; at + 4096 < log->len; at += 4096) { /* the second batch of the log */
        if (load_u32le(log->data + at) == 0x424e5953 && load_u64le(log->data + at + 16) == 2) {
            log->data[at + 70] ^= 1;
        }
    }
    uint64_t before = rig_disk_hash(&rig);

    assert_int_equal(rig_try_open(&rig, &why), ERR_CORRUPT);
    assert_non_null(strstr(why.text, "no other replica"));
    assert_non_null(strstr(why.text, "backup"));
    assert_true(rig_disk_hash(&rig) == before);
}

/* A write alone is a batch of a few hundred bytes, padded to a block of 4096. Snapshots were once
 * begun by the bytes of entries in use: at 63 MiB of them the log had taken a disk of 1 GiB, and
 * no snapshot could be written any more. Found by the mix of real faults. */
static void small_batches_do_not_fill_the_disk(void **state)
{
    enum { LIMIT = 1 << 20, BATCHES = 3000 };
    uint64_t most = 0;

    (void)state;
    assert_string_equal(rig_ask(&rig, "CONFIG SET checkpoint-log-bytes 1048576\r\n"), "+OK\r\n");
    for (unsigned i = 0; i < BATCHES; i++) {
        char text[40];

        (void)snprintf(text, sizeof text, "SET k%u 1\r\n", i % 10);
        assert_string_equal(rig_ask(&rig, text), "+OK\r\n");
        if (i % 100 == 0) {
            rig_turns(&rig, 20, NODE_TICK_US);
            const char *at = strstr(rig_ask(&rig, "INFO persistence\r\n"), "log_disk_bytes:");

            assert_non_null(at);
            uint64_t bytes = strtoull(at + strlen("log_disk_bytes:"), NULL, 10);

            most = bytes > most ? bytes : most;
        }
    }
    assert_in_range(most, 1, 2 * LIMIT); /* and not the 12 MiB that were written */
}

#define DISK_TEST(f) cmocka_unit_test_setup_teardown(f, setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DISK_TEST(small_batches_do_not_fill_the_disk),
        DISK_TEST(lost_metadata_is_made_good_from_its_copy),
        DISK_TEST(damaged_metadata_is_made_good_from_its_copy),
        DISK_TEST(a_damaged_version_is_no_newer_program),
        DISK_TEST(metadata_lost_twice_is_refused),
        DISK_TEST(a_map_without_an_identity_is_refused),
        DISK_TEST(damage_to_the_only_replica_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
