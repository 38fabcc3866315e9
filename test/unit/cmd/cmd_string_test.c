/* Strings: success, arity, wrong type, missing key, expired key, and the limits. */
#include "cmd_transcript.h"

#define WRONGTYPE "-" CMD_ERR_WRONGTYPE
#define NOT_INT "-" CMD_ERR_NOT_INT
#define NOT_FLOAT "-" CMD_ERR_NOT_FLOAT
#define SYNTAX "-" CMD_ERR_SYNTAX

static void set_and_get(void **state)
{
    static const struct transcript_row rows[] = {
        {"GET a", "$-1"},
        {"SET a 1", "+OK"},
        {"GET a", "$1 1"},
        {"SET a", "-ERR wrong number of arguments for 'set' command"},
        {"SET a 2 NX", "$-1"},
        {"SET b 2 XX", "$-1"},
        {"SET a 2 XX GET", "$1 1"},
        {"SET c 9 NX GET", "$-1"},
        {"SET c 8 nx get", "$1 9"},
        {"GET c", "$1 9"},
        {"SET a 3 NX XX", SYNTAX},
        {"SET a 3 EX", SYNTAX},
        {"SET a 3 EX 10 PX 10", SYNTAX},
        {"SET a 3 KEEPTTL EX 10", SYNTAX},
        {"SET a 3 PERSIST", SYNTAX},
        {"SET a 3 EX ten", NOT_INT},
        {"SET a 3 EX 0", "-ERR invalid expire time in 'set' command"},
        {"SET a 3 PX -5", "-ERR invalid expire time in 'set' command"},
        {"SET a 3 EX 9223372036854776", "-ERR invalid expire time in 'set' command"},
        {"SET a 3 PX 9223372036854775807", "-ERR invalid expire time in 'set' command"},
        {"GET a", "$1 2"},
        {"HSET h f v", ":1"},
        {"GET h", WRONGTYPE},
        {"SET h 1 GET", WRONGTYPE},
        {"GETSET h 1", WRONGTYPE},
        {"GETDEL h", WRONGTYPE},
        {"GETEX h", WRONGTYPE},
        {"SETNX h 1", ":0"},
        {"SETNX n 1", ":1"},
        {"SET h 1", "+OK"}, /* SET replaces any type */
        {"GETSET h 2", "$1 1"},
        {"GETDEL h", "$1 2"},
        {"GETDEL h", "$-1"},
        {"@proto 3", ""},
        {"GET h", "_"},
        {"SET h 1 XX", "_"},
    };
    (void)state;
    TRANSCRIPT_CHECK(rows);
}

static void times(void **state)
{
    static const struct transcript_row rows[] = {
        {"SET a 1 PX 100", "+OK"},
        {"PEXPIRETIME a", ":1000100"},
        {"SET a 2 KEEPTTL", "+OK"},
        {"PEXPIRETIME a", ":1000100"},
        {"INCR a", ":3"},
        {"APPEND a 0", ":2"},
        {"SETRANGE a 0 4", ":2"},
        {"SETBIT a 0 0", ":0"},
        {"INCRBYFLOAT a 0.5", "$4 40.5"},
        {"PEXPIRETIME a", ":1000100"},
        {"@now 1000099", ""},
        {"GET a", "$4 40.5"},
        {"@now 1000101", ""},
        {"GET a", "$-1"},
        {"SET a 3 XX", "$-1"},
        {"INCR a", ":1"},
        {"PEXPIRETIME a", ":-1"},
        {"SET a 1 EX 5", "+OK"},
        {"SET a 2", "+OK"}, /* without options the time is gone */
        {"PEXPIRETIME a", ":-1"},
        {"SETEX a 7 x", "+OK"},
        {"PEXPIRETIME a", ":1007101"},
        {"PSETEX a 7 x", "+OK"},
        {"PEXPIRETIME a", ":1000108"},
        {"SETEX a 0 x", "-ERR invalid expire time in 'setex' command"},
        {"PSETEX a -1 x", "-ERR invalid expire time in 'psetex' command"},
        {"GETEX a EX 1", "$1 x"},
        {"PEXPIRETIME a", ":1001101"},
        {"GETEX a PERSIST", "$1 x"},
        {"PEXPIRETIME a", ":-1"},
        {"GETEX a PXAT 1000102", "$1 x"},
        {"PEXPIRETIME a", ":1000102"},
        {"GETEX a KEEPTTL", SYNTAX},
        {"GETEX a EX 1 PERSIST", SYNTAX},
        {"GETEX a EX 0", "-ERR invalid expire time in 'getex' command"},
        {"GETEX none EX 0", "$-1"}, /* of an absent key the time is not judged */
        {"GETEX a PXAT 5", "$1 x"},
        {"EXISTS a", ":0"},
        {"SET a 1 PXAT 5", "+OK"}, /* gone at once */
        {"GET a", "$-1"},
        {"SET a 1 EXAT 1001", "+OK"},
        {"PEXPIRETIME a", ":1001000"},
    };
    (void)state;
    TRANSCRIPT_CHECK(rows);
}

static void counters(void **state)
{
    static const struct transcript_row rows[] = {
        {"INCR n", ":1"},
        {"DECR n", ":0"},
        {"INCRBY n 41", ":41"},
        {"DECRBY n -1", ":42"},
        {"INCRBY n 9223372036854775807", "-ERR increment or decrement would overflow"},
        {"INCRBY n 9223372036854775765", ":9223372036854775807"},
        {"INCR n", "-ERR increment or decrement would overflow"},
        {"DECRBY n -9223372036854775808", "-ERR decrement would overflow"},
        {"DECRBY n 9223372036854775807", ":0"},
        {"INCRBY n 1.5", NOT_INT},
        {"INCRBY n 9223372036854775808", NOT_INT},
        {"SET n 01", "+OK"},
        {"INCR n", NOT_INT},
        {"SET n 4", "+OK"},
        {"APPEND n 2", ":2"},
        {"INCR n", ":43"},
        {"HSET h f v", ":1"},
        {"INCR h", WRONGTYPE},
        {"INCRBY h x", NOT_INT},
        {"INCRBYFLOAT f 10.5", "$4 10.5"},
        {"INCRBYFLOAT f 0.1", "$4 10.6"},
        {"INCRBYFLOAT f -5", "$3 5.6"},
        {"INCRBYFLOAT f 5.0e3", "$22 5005.60000000000000009"},
        {"INCRBYFLOAT f x", NOT_FLOAT},
        {"INCRBYFLOAT f inf", "-ERR increment would produce NaN or Infinity"},
        {"INCRBYFLOAT f nan", NOT_FLOAT},
        {"INCRBYFLOAT h 1", WRONGTYPE},
        {"SET f x", "+OK"},
        {"INCRBYFLOAT f 1", NOT_FLOAT},
        {"INCRBYFLOAT z 3.0", "$1 3"},
    };
    (void)state;
    TRANSCRIPT_CHECK(rows);
}

static void ranges(void **state)
{
    static const struct transcript_row rows[] = {
        {"APPEND s Hello", ":5"},
        {"APPEND s \" World\"", ":11"},
        {"APPEND e \"\"", ":0"},
        {"EXISTS e", ":1"},
        {"STRLEN s", ":11"},
        {"STRLEN none", ":0"},
        {"GETRANGE s 0 4", "$5 Hello"},
        {"GETRANGE s -5 -1", "$5 World"},
        {"GETRANGE s -1 -5", "$0 "},
        {"GETRANGE s 3 1", "$0 "},
        {"GETRANGE s 6 100", "$5 World"},
        {"GETRANGE s 100 200", "$0 "},
        {"GETRANGE s -9223372036854775808 9223372036854775807", "$11 Hello World"},
        {"GETRANGE none 0 -1", "$0 "},
        {"SUBSTR s 0 0", "$1 H"},
        {"GETRANGE s a 1", NOT_INT},
        {"SETRANGE s 6 Redis", ":11"},
        {"GET s", "$11 Hello Redis"},
        {"SETRANGE g 2 x", ":3"},
        {"GETRANGE g 2 2", "$1 x"},
        {"SETRANGE none 5 \"\"", ":0"},
        {"EXISTS none", ":0"},
        {"SETRANGE s 1 \"\"", ":11"},
        {"SETRANGE s -1 x", "-ERR offset is out of range"},
        {"SETRANGE s 536870912 x", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)"},
        {"SETRANGE s 9223372036854775807 x",
         "-ERR string exceeds maximum allowed size (proto-max-bulk-len)"},
        {"SET i 100", "+OK"},
        {"SETRANGE i 1 2", ":3"},
        {"INCR i", ":121"},
        {"HSET h f v", ":1"},
        {"APPEND h x", WRONGTYPE},
        {"STRLEN h", WRONGTYPE},
        {"GETRANGE h 0 1", WRONGTYPE},
        {"SETRANGE h 0 \"\"", WRONGTYPE},
    };
    (void)state;
    TRANSCRIPT_CHECK(rows);
}

static void several_keys(void **state)
{
    static const struct transcript_row rows[] = {
        {"MSET a 1 b 2", "+OK"},
        {"MSET a 1 b", "-ERR wrong number of arguments for 'mset' command"},
        {"MSETNX c 1 a 2", ":0"},
        {"EXISTS c", ":0"},
        {"MSETNX c 1 d 2 c 3", ":1"},
        {"MSETNX a", "-ERR wrong number of arguments for 'msetnx' command"},
        {"HSET h f v", ":1"},
        {"MGET a h none c", "*4 $1 1 $-1 $-1 $1 3"},
        {"MSET h 5", "+OK"},
        {"MGET h", "*1 $1 5"},
        {"@proto 3", ""},
        {"MGET none", "*1 _"},
    };
    (void)state;
    TRANSCRIPT_CHECK(rows);
}

static void lcs(void **state)
{
    static const struct transcript_row rows[] = {
        {"MSET a ohmytext b mynewtext", "+OK"},
        {"LCS a b", "$6 mytext"},
        {"LCS a b LEN", ":6"},
        {"LCS a b IDX", "*4 $7 matches *2 *2 *2 :4 :7 *2 :5 :8 *2 *2 :2 :3 *2 :0 :1 $3 len :6"},
        {"LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN",
         "*4 $7 matches *1 *3 *2 :4 :7 *2 :5 :8 :4 $3 len :6"},
        {"LCS a none", "$0 "},
        {"LCS a b LEN IDX", "-ERR If you want both the length and indexes, please just use IDX."},
        {"LCS a b MINMATCHLEN", SYNTAX},
        {"LCS a b MINMATCHLEN x", NOT_INT},
        {"HSET h f v", ":1"},
        {"LCS a h NONSENSE", "-ERR The specified keys must contain string values"},
        {"SET n 12345", "+OK"},
        {"LCS n n", "$5 12345"},
        {"SETRANGE big 20000 x", ":20001"},
        {"LCS big big LEN", "-ERR Insufficient memory, transient memory for LCS exceeds "
                            "proto-max-bulk-len"},
        {"@proto 3", ""},
        {"LCS a b IDX MINMATCHLEN 9", "%2 $7 matches *0 $3 len :6"},
    };
    (void)state;
    TRANSCRIPT_CHECK(rows);
}

/* `changed` is what the node counts and watchers look at. */
static void changed_is_told(void **state)
{
    static const struct {
        const char *command;
        bool changed;
    } rows[] = {
        {"GET a", false},           {"SET a 1", true},          {"SET a 1 NX", false},
        {"SETNX a 1", false},       {"SET b 1 XX", false},      {"GETDEL b", false},
        {"GETEX a", false},         {"GETEX a PERSIST", false}, {"GETEX a EX 5", true},
        {"GETEX a PERSIST", true},  {"APPEND a \"\"", false},   {"SETRANGE a 1 \"\"", false},
        {"INCR a", true},           {"INCRBY a x", false},      {"MSETNX a 1 b 2", false},
        {"SETBIT a 0 0", false},    {"SETBIT a 0 1", true},     {"GETDEL a", true},
        {"BITOP AND a b c", false}, {"HDEL h f", false},        {"HSET h f v", true},
        {"HSETNX h f v", false},    {"HDEL h f f", true},
    };
    struct transcript t;

    (void)state;
    transcript_init(&t);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        transcript_run(&t, rows[i].command);
        if (t.changed != rows[i].changed) {
            print_error("row %zu: %s\n", i, rows[i].command);
            fail();
        }
    }
    transcript_free(&t);
}

/* The textbook recursion, on strings short enough for it. */
static uint32_t lcs_dumb(struct slice a, struct slice b)
{
    uint32_t table[9][9] = {{0}};

    for (size_t i = 1; i <= a.len; i++) {
        for (size_t j = 1; j <= b.len; j++) {
            if (a.data[i - 1] == b.data[j - 1]) {
                table[i][j] = table[i - 1][j - 1] + 1;
            } else {
                table[i][j] = table[i - 1][j] > table[i][j - 1] ? table[i - 1][j] : table[i][j - 1];
            }
        }
    }
    return table[a.len][b.len];
}

static void lcs_agrees_with_its_twin(void **state)
{
    struct prng rng = {3};
    struct transcript t;

    (void)state;
    transcript_init(&t);
    for (int round = 0; round < 500; round++) {
        uint8_t bytes[2][8];
        struct slice s[2];
        char want[32];

        for (int k = 0; k < 2; k++) {
            s[k] = (struct slice){bytes[k], prng_below(&rng, 9)};
            for (size_t i = 0; i < s[k].len; i++) {
                bytes[k][i] = (uint8_t)('a' + prng_below(&rng, 3));
            }
            (void)store_set_string(t.store, k == 0 ? SLICE("a") : SLICE("b"), s[k], 0);
        }
        (void)snprintf(want, sizeof(want), ":%u", lcs_dumb(s[0], s[1]));
        transcript_run(&t, "LCS a b LEN");
        assert_string_equal(transcript_reply(&t), want);
        transcript_run(&t, "LCS a b");
        assert_int_equal(strtoul((const char *)t.out.data + 1, NULL, 10), lcs_dumb(s[0], s[1]));
    }
    transcript_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_and_get),     cmocka_unit_test(times),
        cmocka_unit_test(counters),        cmocka_unit_test(ranges),
        cmocka_unit_test(several_keys),    cmocka_unit_test(lcs),
        cmocka_unit_test(changed_is_told), cmocka_unit_test(lcs_agrees_with_its_twin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
