/* Keys of any type: success, arity, options, missing and expired keys, the limits. */
#include "cmd_transcript.h"

#define NOT_INT "-" CMD_ERR_NOT_INT
#define SYNTAX "-" CMD_ERR_SYNTAX
#define NX_AND "-ERR NX and XX, GT or LT options at the same time are not compatible"

static void presence(void **state)
{
    static const struct transcript_row rows[] = {
        {"DEL", "-ERR wrong number of arguments for 'del' command"},
        {"DEL a", ":0"},
        {"SET a 1", "+OK"},
        {"SET b 1", "+OK"},
        {"HSET h f v", ":1"},
        {"EXISTS a b h zz", ":3"},
        {"EXISTS a a a", ":3"},
        {"TOUCH a zz a", ":2"},
        {"TYPE a", "+string"},
        {"TYPE h", "+hash"},
        {"TYPE zz", "+none"},
        {"DBSIZE", ":3"},
        {"DEL a a zz", ":1"},
        {"UNLINK b h", ":2"},
        {"DBSIZE", ":0"},
        {"SET \\x00 1", "+OK"},
        {"EXISTS \\x00", ":1"},
        {"SET a 1 PX 100", "+OK"},
        {"@now 1000099", ""},
        {"EXISTS a", ":1"},
        {"@now 1000100", ""},
        {"EXISTS a", ":0"},
        {"TYPE a", "+none"},
        {"TOUCH a", ":0"},
        {"DEL a", ":0"},
    };
    (void)state;
    TRANSCRIPT_CHECK(rows);
}

static void expire(void **state)
{
    static const struct transcript_row rows[] = {
        {"EXPIRE a", "-ERR wrong number of arguments for 'expire' command"},
        {"EXPIRE a 10", ":0"},
        {"TTL a", ":-2"},
        {"PTTL a", ":-2"},
        {"EXPIRETIME a", ":-2"},
        {"SET a 1", "+OK"},
        {"TTL a", ":-1"},
        {"PTTL a", ":-1"},
        {"EXPIRETIME a", ":-1"},
        {"PEXPIRETIME a", ":-1"},
        {"PERSIST a", ":0"},
        {"EXPIRE a 10", ":1"},
        {"TTL a", ":10"},
        {"PTTL a", ":10000"},
        {"EXPIRETIME a", ":1010"},
        {"PEXPIRETIME a", ":1010000"},
        {"PERSIST a", ":1"},
        {"PERSIST a", ":0"},
        {"PERSIST zz", ":0"},
        {"PEXPIRE a 1499", ":1"}, /* seconds are rounded to the nearest */
        {"TTL a", ":1"},
        {"PEXPIRE a 1500", ":1"},
        {"TTL a", ":2"},
        {"PEXPIRE a 1", ":1"},
        {"TTL a", ":0"},
        {"EXPIREAT a 2000", ":1"},
        {"PEXPIRETIME a", ":2000000"},
        {"PEXPIREAT a 1999999", ":1"},
        {"PEXPIRETIME a", ":1999999"},
        {"EXPIRE a ten", NOT_INT},
        {"EXPIRE a 1.5", NOT_INT},
        {"EXPIRE zz ten", NOT_INT},
        {"EXPIRE a 9223372036854775", "-ERR invalid expire time in 'expire' command"},
        {"EXPIRE a 9223372036853775", ":1"}, /* the largest that fits, now being 1000 s */
        {"EXPIRE a -9223372036854776", "-ERR invalid expire time in 'expire' command"},
        {"PEXPIRE a 9223372036854775807", "-ERR invalid expire time in 'pexpire' command"},
        {"PEXPIRE a 9223372036853775807", ":1"},
        {"EXPIREAT a 9223372036854776", "-ERR invalid expire time in 'expireat' command"},
        {"EXPIREAT a 9223372036854775", ":1"},
        {"PEXPIREAT a 9223372036854775808", NOT_INT},
        {"PEXPIREAT a 9223372036854775807", ":1"},
        {"PEXPIRETIME a", ":9223372036854775807"},
        {"EXISTS a", ":1"},
    };
    (void)state;
    TRANSCRIPT_CHECK(rows);
}

static void past_times_delete(void **state)
{
    static const struct transcript_row rows[] = {
        {"SET a 1", "+OK"},
        {"EXPIRE a 0", ":1"},
        {"EXISTS a", ":0"},
        {"SET a 1", "+OK"},
        {"EXPIRE a -1", ":1"},
        {"EXISTS a", ":0"},
        {"SET a 1", "+OK"},
        {"PEXPIREAT a 1000000", ":1"},
        {"EXISTS a", ":0"},
        {"SET a 1", "+OK"},
        {"PEXPIREAT a 1000001", ":1"},
        {"EXISTS a", ":1"},
        {"PEXPIREAT a -5", ":1"},
        {"EXISTS a", ":0"},
        {"EXPIRE a -1", ":0"},
        {"SET a 1", "+OK"},
        {"PEXPIRE a -9223372036854775808", ":1"},
        {"EXISTS a", ":0"},
    };
    (void)state;
    TRANSCRIPT_CHECK(rows);
}

static void expire_options(void **state)
{
    static const struct transcript_row rows[] = {
        {"SET a 1", "+OK"},
        {"EXPIRE a 10 foo", "-ERR Unsupported option foo"},
        {"EXPIRE a ten foo", "-ERR Unsupported option foo"},
        {"EXPIRE a 10 NX XX", NX_AND},
        {"EXPIRE a 10 NX GT", NX_AND},
        {"EXPIRE a 10 LT NX", NX_AND},
        {"EXPIRE a 10 GT LT", "-ERR GT and LT options at the same time are not compatible"},
        {"EXPIRE a 10 XX", ":0"},
        {"EXPIRE a 10 GT", ":0"}, /* no expiry counts as the furthest */
        {"TTL a", ":-1"},
        {"EXPIRE a 10 LT", ":1"},
        {"EXPIRE a 20 NX", ":0"},
        {"TTL a", ":10"},
        {"EXPIRE a 10 GT", ":0"},
        {"EXPIRE a 11 gt", ":1"},
        {"EXPIRE a 11 LT", ":0"},
        {"EXPIRE a 10 lt", ":1"},
        {"EXPIRE a 30 XX GT", ":1"},
        {"EXPIRE a 30 XX", ":1"},
        {"EXPIRE a 20 XX XX LT", ":1"},
        {"PERSIST a", ":1"},
        {"EXPIRE a 5 XX LT", ":0"},
        {"EXPIRE a 5 nx", ":1"},
        {"EXPIRE a -1 LT", ":1"},
        {"EXISTS a", ":0"},
        {"EXPIRE a 10 NX", ":0"},
    };
    (void)state;
    TRANSCRIPT_CHECK(rows);
}

static void copy(void **state)
{
    static const struct transcript_row rows[] = {
        {"COPY a", "-ERR wrong number of arguments for 'copy' command"},
        {"COPY a b", ":0"},
        {"SET a 1 PX 5000", "+OK"},
        {"COPY a b", ":1"},
        {"GET b", "$1 1"},
        {"PTTL b", ":5000"},
        {"SET a 2", "+OK"},
        {"COPY a b", ":0"},
        {"GET b", "$1 1"},
        {"COPY a b REPLACE", ":1"},
        {"GET b", "$1 2"},
        {"PTTL b", ":-1"},
        {"COPY a c DB 0", ":1"},
        {"COPY a c db 0 replace replace", ":1"},
        {"COPY a c DB 1", "-ERR Copying to another database is not allowed in cluster mode"},
        {"COPY a c DB 15", "-ERR Copying to another database is not allowed in cluster mode"},
        {"COPY a c DB 16", "-ERR DB index is out of range"},
        {"COPY a c DB -1", "-ERR DB index is out of range"},
        {"COPY a c DB x", NOT_INT},
        {"COPY a c DB 2147483648", NOT_INT},
        {"COPY a c DB", SYNTAX},
        {"COPY a c foo", SYNTAX},
        {"COPY a a", "-ERR source and destination objects are the same"},
        {"COPY zz zz", "-ERR source and destination objects are the same"},
        {"COPY zz c REPLACE", ":0"},
        {"EXISTS c", ":1"},
        {"HSET h f v", ":1"},
        {"COPY h c REPLACE", ":1"},
        {"HGETALL c", "*2 $1 f $1 v"},
        {"HSET c f w", ":0"},
        {"HGET h f", "$1 v"}, /* a copy, not a share */
        {"PEXPIRE c 10", ":1"},
        {"@now 1000010", ""},
        {"COPY c d", ":0"},
        {"COPY a c", ":1"}, /* what is past its time is not in the way */
    };
    (void)state;
    TRANSCRIPT_CHECK(rows);
}

static void rename_keys(void **state)
{
    static const struct transcript_row rows[] = {
        {"RENAME a b", "-ERR no such key"},
        {"RENAME a a", "-ERR no such key"},
        {"RENAMENX a a", "-ERR no such key"},
        {"SET a 1 PX 5000", "+OK"},
        {"RENAME a a", "+OK"},
        {"RENAMENX a a", ":0"},
        {"RENAME a b", "+OK"},
        {"EXISTS a", ":0"},
        {"PTTL b", ":5000"},
        {"SET a 2", "+OK"},
        {"RENAMENX a b", ":0"},
        {"GET b", "$1 1"},
        {"RENAME a b", "+OK"},
        {"GET b", "$1 2"},
        {"PTTL b", ":-1"}, /* the expiry is that of the source */
        {"RENAMENX b c", ":1"},
        {"HSET h f v", ":1"},
        {"RENAME h c", "+OK"},
        {"TYPE c", "+hash"},
        {"SET d 1 PX 10", "+OK"},
        {"@now 1000010", ""},
        {"RENAMENX c d", ":1"},
        {"TTL d", ":-1"},
        {"DBSIZE", ":1"},
    };
    (void)state;
    TRANSCRIPT_CHECK(rows);
}

static void objects(void **state)
{
    static const struct transcript_row rows[] = {
        {"OBJECT", "-ERR wrong number of arguments for 'object' command"},
        {"OBJECT ENCODING", "-ERR wrong number of arguments for 'object|encoding' command"},
        {"OBJECT foo", "-ERR unknown subcommand 'foo'. Try OBJECT HELP."},
        {"OBJECT ENCODING a", "$-1"},
        {"OBJECT FREQ a", "$-1"},
        {"SET a 1", "+OK"},
        {"SET e hello", "+OK"},
        {"SET r 123456789012345678901234567890123456789012345", "+OK"},
        {"HSET h f v", ":1"},
        {"OBJECT ENCODING a", "$3 int"},
        {"OBJECT ENCODING e", "$6 embstr"},
        {"OBJECT ENCODING r", "$3 raw"},
        {"OBJECT ENCODING h", "$8 listpack"},
        {"OBJECT REFCOUNT a", ":1"},
        {"OBJECT FREQ a",
         "-ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note "
         "that when switching between policies at runtime LRU and LFU data will take some time to "
         "adjust."},
        {"TOUCH a", ":1"},
        {"@now 1007000", ""},
        {"OBJECT IDLETIME a", ":7"},
        {"TTL a", ":-1"},
        {"EXISTS a", ":1"},
        {"TYPE a", "+string"},
        {"OBJECT IDLETIME a", ":7"}, /* looking is not using */
        {"GET a", "$1 1"},
        {"OBJECT IDLETIME a", ":0"},
        {"MEMORY USAGE zz", "$-1"},
        {"MEMORY USAGE a SAMPLES", SYNTAX},
        {"MEMORY USAGE a SAMPLES -1", SYNTAX},
        {"MEMORY USAGE a SAMPLES x", NOT_INT},
        {"MEMORY USAGE a foo 1", SYNTAX},
    };
    (void)state;
    TRANSCRIPT_CHECK(rows);
}

static void all_keys(void **state)
{
    static const struct transcript_row rows[] = {
        {"KEYS *", "*0"},
        {"RANDOMKEY", "$-1"},
        {"SCAN 0", "*2 $1 0 *0"},
        {"SET a1 1 PX 100", "+OK"},
        {"KEYS *", "*1 $2 a1"},
        {"KEYS a?", "*1 $2 a1"},
        {"KEYS a", "*0"},
        {"RANDOMKEY", "$2 a1"},
        {"SCAN 0", "*2 $1 0 *1 $2 a1"},
        {"SCAN 0 COUNT 100 MATCH a* TYPE string", "*2 $1 0 *1 $2 a1"},
        {"SCAN 0 match b*", "*2 $1 0 *0"},
        {"SCAN 0 TYPE HASH", "*2 $1 0 *0"},
        {"SCAN 0 TYPE STRING", "*2 $1 0 *1 $2 a1"},
        {"SCAN 0 TYPE nosuch", "*2 $1 0 *0"},
        {"SCAN +0", "*2 $1 0 *1 $2 a1"},
        {"SCAN x", "-ERR invalid cursor"},
        {"SCAN \\x201", "-ERR invalid cursor"},
        {"SCAN 18446744073709551616", "-ERR invalid cursor"},
        {"SCAN 0 COUNT", SYNTAX},
        {"SCAN 0 COUNT 0", SYNTAX},
        {"SCAN 0 COUNT x", NOT_INT},
        {"SCAN 0 foo 1", SYNTAX},
        {"CLUSTER COUNTKEYSINSLOT x", NOT_INT},
        {"CLUSTER COUNTKEYSINSLOT -1", "-ERR Invalid slot"},
        {"CLUSTER COUNTKEYSINSLOT 16384", "-ERR Invalid slot"},
        {"CLUSTER COUNTKEYSINSLOT 16383", ":0"},
        {"SET foo 1", "+OK"}, /* hash slot 12182 */
        {"SET x{foo} 1", "+OK"},
        {"CLUSTER COUNTKEYSINSLOT 12182", ":2"},
        {"CLUSTER GETKEYSINSLOT 12182 0", "*0"},
        {"CLUSTER GETKEYSINSLOT 12182 -1", "-ERR Invalid slot or number of keys"},
        {"CLUSTER GETKEYSINSLOT 16384 1", "-ERR Invalid slot or number of keys"},
        {"DEL x{foo}", ":1"},
        {"CLUSTER GETKEYSINSLOT 12182 9", "*1 $3 foo"},
        {"DEL foo", ":1"},
        {"@now 1000100", ""},
        {"KEYS *", "*0"},
        {"SCAN 0", "*2 $1 0 *0"},
        {"RANDOMKEY", "$-1"},
        {"FLUSHALL foo", SYNTAX},
        {"FLUSHALL SYNC ASYNC", SYNTAX},
        {"FLUSHALL ASYNC", "+OK"},
        {"DBSIZE", ":0"},
        {"FLUSHDB sync", "+OK"},
        {"FLUSHDB", "+OK"},
    };
    (void)state;
    TRANSCRIPT_CHECK(rows);
}

/* A read that passes over an expired key tells so, whichever command it was. */
static void reads_tell_of_expired_keys(void **state)
{
    static const char *const reads[] = {"EXISTS a",  "TTL a",   "TYPE a",
                                        "GET a",     "KEYS *",  "SCAN 0 COUNT 99",
                                        "RANDOMKEY", "TOUCH a", "OBJECT ENCODING a"};
    struct transcript t;

    (void)state;
    transcript_init(&t);
    transcript_run(&t, "SET a 1 PX 10");
    for (size_t i = 0; i < ARRAY_COUNT(reads); i++) {
        t.now_ms = TRANSCRIPT_NOW_MS + 9;
        transcript_run(&t, reads[i]);
        assert_false(store_take_saw_expired(t.store));
        t.now_ms = TRANSCRIPT_NOW_MS + 10;
        transcript_run(&t, reads[i]);
        assert_true(store_take_saw_expired(t.store));
        assert_false(t.changed);
        assert_int_equal(store_count(t.store), 1);
    }
    transcript_free(&t);
}

/* Only what changed something says so: the node logs and counts by it. */
static void changes_are_told(void **state)
{
    static const struct {
        const char *command;
        bool changes;
    } rows[] = {
        {"DEL a", false},      {"SET a 1", true},       {"EXPIRE a 10 XX", false},
        {"EXPIRE a 10", true}, {"PERSIST a", true},     {"PERSIST a", false},
        {"COPY a b", true},    {"COPY a b", false},     {"RENAME a a", false},
        {"RENAME a b", true},  {"RENAMENX b b", false}, {"EXPIRE b -1", true},
        {"FLUSHALL", false},   {"SET a 1", true},       {"FLUSHALL", true},
    };
    struct transcript t;

    (void)state;
    transcript_init(&t);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        transcript_run(&t, rows[i].command);
        if (t.changed != rows[i].changes) {
            fail_msg("row %zu: %s", i, rows[i].command);
        }
    }
    transcript_free(&t);
}

/* The node's own removal of keys that are due. */
static void due_keys_are_removed(void **state)
{
    struct transcript t;
    struct slice argv[2] = {SLICE("synod.expire"), SLICE("2")};
    struct call c = {.cmd = cmd_by_id(CMD_ID_SYNOD_EXPIRE), .argc = 2, .argv = argv};

    (void)state;
    transcript_init(&t);
    transcript_run(&t, "SYNOD.EXPIRE 2"); /* but no client may */
    assert_string_equal(transcript_reply(&t),
                        "-ERR unknown command 'SYNOD.EXPIRE', with args beginning with: '2' ");
    for (int i = 0; i < 5; i++) {
        char text[64];

        snprintf(text, sizeof(text), "SET k%d 1 PX %d", i, 10 + i);
        transcript_run(&t, text);
    }
    c.store = t.store;
    c.now_ms = TRANSCRIPT_NOW_MS + 12;
    c.out = (struct resp_writer){&t.out, 2, true};
    cmd_run(&c);
    assert_true(c.changed);
    assert_int_equal(store_count(t.store), 3);
    cmd_run(&c);
    assert_int_equal(store_count(t.store), 2);
    c.changed = false;
    cmd_run(&c);
    assert_false(c.changed);
    assert_int_equal(store_count(t.store), 2);
    transcript_free(&t);
}

/* SCAN over many keys: each at least once, none but these. */
static void scan_finds_all(void **state)
{
    enum { KEYS = 1000 };
    struct transcript t;
    unsigned seen[KEYS] = {0};
    char command[64] = "SCAN 0 COUNT 7";
    size_t calls = 0;

    (void)state;
    transcript_init(&t);
    for (int i = 0; i < KEYS; i++) {
        char text[32];

        snprintf(text, sizeof(text), "SET k%d 1", i);
        transcript_run(&t, text);
    }
    do {
        struct resp_item item;
        struct diag why;
        size_t at = 0;
        size_t used;

        transcript_run(&t, command);
        assert_int_equal(resp_item_next(t.out.data, t.out.len, &item, &used, &why), RESP_DONE);
        at += used;
        assert_int_equal(resp_item_next(t.out.data + at, t.out.len - at, &item, &used, &why),
                         RESP_DONE);
        at += used;
        snprintf(command, sizeof(command), "SCAN %.*s COUNT 7", (int)item.text.len,
                 (const char *)item.text.data);
        assert_int_equal(resp_item_next(t.out.data + at, t.out.len - at, &item, &used, &why),
                         RESP_DONE);
        at += used;
        for (size_t left = item.count; left > 0; left--) {
            int key;

            assert_int_equal(resp_item_next(t.out.data + at, t.out.len - at, &item, &used, &why),
                             RESP_DONE);
            at += used;
            key = atoi((const char *)item.text.data + 1);
            assert_in_range(key, 0, KEYS - 1);
            seen[key]++;
        }
        assert_int_equal(at, t.out.len);
        assert_true(++calls < KEYS);
    } while (strcmp(command, "SCAN 0 COUNT 7") != 0);
    for (int i = 0; i < KEYS; i++) {
        assert_true(seen[i] > 0);
    }
    transcript_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(presence),
        cmocka_unit_test(expire),
        cmocka_unit_test(past_times_delete),
        cmocka_unit_test(expire_options),
        cmocka_unit_test(copy),
        cmocka_unit_test(rename_keys),
        cmocka_unit_test(objects),
        cmocka_unit_test(all_keys),
        cmocka_unit_test(reads_tell_of_expired_keys),
        cmocka_unit_test(changes_are_told),
        cmocka_unit_test(due_keys_are_removed),
        cmocka_unit_test(scan_finds_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
