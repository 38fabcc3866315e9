/* Hashes. Order is the store's: transcripts use one field where order would show. */
#include "cmd_transcript.h"

#define WRONGTYPE "-" CMD_ERR_WRONGTYPE
#define NOT_INT "-" CMD_ERR_NOT_INT
#define NOT_FLOAT "-" CMD_ERR_NOT_FLOAT
#define SYNTAX "-" CMD_ERR_SYNTAX

static void fields(void **state)
{
    static const struct transcript_row rows[] = {
        {"HSET h a 1 b 2 a 3", ":2"},
        {"HSET h a", "-ERR wrong number of arguments for 'hset' command"},
        {"HSET h a 1 b", "-ERR wrong number of arguments for 'hset' command"},
        {"HMSET h a 1 b", "-ERR wrong number of arguments for 'hmset' command"},
        {"HMSET h c 4", "+OK"},
        {"HGET h a", "$1 3"},
        {"HGET h none", "$-1"},
        {"HGET none a", "$-1"},
        {"HMGET h a none c", "*3 $1 3 $-1 $1 4"},
        {"HMGET none a b", "*2 $-1 $-1"},
        {"HSETNX h a 9", ":0"},
        {"HSETNX h d 9", ":1"},
        {"HLEN h", ":4"},
        {"HLEN none", ":0"},
        {"HSTRLEN h a", ":1"},
        {"HSTRLEN h none", ":0"},
        {"HSTRLEN none a", ":0"},
        {"HEXISTS h a", ":1"},
        {"HEXISTS h none", ":0"},
        {"HDEL h a b c none", ":3"},
        {"HKEYS h", "*1 $1 d"},
        {"HVALS h", "*1 $1 9"},
        {"HGETALL h", "*2 $1 d $1 9"},
        {"@proto 3", ""},
        {"HGETALL h", "%1 $1 d $1 9"},
        {"HGETALL none", "%0"},
        {"HGET none a", "_"},
        {"@proto 2", ""},
        {"HDEL h d d d", ":1"},
        {"EXISTS h", ":0"},
        {"HDEL h d", ":0"},
        {"HKEYS h", "*0"},
        {"HGETALL h", "*0"},
        {"HSET h \"\" \"\"", ":1"},
        {"HGETALL h", "*2 $0  $0 "},
    };
    (void)state;
    TRANSCRIPT_CHECK(rows);
}

static void wrong_type(void **state)
{
    static const struct transcript_row rows[] = {
        {"SET s 1", "+OK"},
        {"HSET s a 1", WRONGTYPE},
        {"HMSET s a 1", WRONGTYPE},
        {"HSETNX s a 1", WRONGTYPE},
        {"HGET s a", WRONGTYPE},
        {"HMGET s a", WRONGTYPE},
        {"HINCRBY s a 1", WRONGTYPE},
        {"HINCRBY s a x", NOT_INT},
        {"HINCRBYFLOAT s a 1", WRONGTYPE},
        {"HDEL s a", WRONGTYPE},
        {"HLEN s", WRONGTYPE},
        {"HSTRLEN s a", WRONGTYPE},
        {"HKEYS s", WRONGTYPE},
        {"HVALS s", WRONGTYPE},
        {"HGETALL s", WRONGTYPE},
        {"HEXISTS s a", WRONGTYPE},
        {"HSCAN s 0", WRONGTYPE},
        {"HSCAN s x", "-ERR invalid cursor"},
        {"HRANDFIELD s", WRONGTYPE},
        {"HRANDFIELD s 3", WRONGTYPE},
    };
    (void)state;
    TRANSCRIPT_CHECK(rows);
}

static void counters(void **state)
{
    static const struct transcript_row rows[] = {
        {"HINCRBY h n 5", ":5"},
        {"HINCRBY h n -7", ":-2"},
        {"HINCRBY h n 9223372036854775807", ":9223372036854775805"},
        {"HINCRBY h n 3", "-ERR increment or decrement would overflow"},
        {"HSET h t text", ":1"},
        {"HINCRBY h t 1", "-ERR hash value is not an integer"},
        {"HINCRBY h n 1.5", NOT_INT},
        {"HINCRBYFLOAT h f 10.50", "$4 10.5"},
        {"HINCRBYFLOAT h f 0.1", "$4 10.6"},
        {"HINCRBYFLOAT h f x", NOT_FLOAT},
        {"HINCRBYFLOAT h f inf", "-ERR value is NaN or Infinity"},
        {"HINCRBYFLOAT h t 1", "-ERR hash value is not a float"},
        {"HSET h f 5.0e3", ":0"},
        {"HINCRBYFLOAT h f 2.0e2", "$4 5200"},
        {"HINCRBYFLOAT none f x", NOT_FLOAT},
        {"EXISTS none", ":0"},
    };
    (void)state;
    TRANSCRIPT_CHECK(rows);
}

static void expired(void **state)
{
    static const struct transcript_row rows[] = {
        {"HSET h a 1 b 2", ":2"},
        {"PEXPIREAT h 1000100", ":1"},
        {"HSET h c 3", ":1"}, /* the time stays */
        {"PEXPIRETIME h", ":1000100"},
        {"@now 1000101", ""},
        {"HGET h a", "$-1"},
        {"HLEN h", ":0"},
        {"HSET h a 1", ":1"}, /* a new hash */
        {"HLEN h", ":1"},
        {"PEXPIRETIME h", ":-1"},
    };
    (void)state;
    TRANSCRIPT_CHECK(rows);
}

static void scan(void **state)
{
    static const struct transcript_row rows[] = {
        {"HSET h aa 1", ":1"},
        {"HSCAN h 0", "*2 $1 0 *2 $2 aa $1 1"},
        {"HSCAN h 5 COUNT 1", "*2 $1 0 *2 $2 aa $1 1"}, /* a small one comes whole */
        {"HSCAN h 0 MATCH a*", "*2 $1 0 *2 $2 aa $1 1"},
        {"HSCAN h 0 MATCH b*", "*2 $1 0 *0"},
        {"HSCAN h 0 COUNT 0", SYNTAX},
        {"HSCAN h 0 COUNT x", NOT_INT},
        {"HSCAN h 0 COUNT", SYNTAX},
        {"HSCAN h 0 TYPE hash", SYNTAX},
        {"HSCAN h x", "-ERR invalid cursor"},
        {"HSCAN h \"\"", "*2 $1 0 *2 $2 aa $1 1"},
        {"HSCAN h 99999999999999999999", "-ERR invalid cursor"},
        {"HSCAN none 0 NONSENSE", "*2 $1 0 *0"},
    };
    (void)state;
    TRANSCRIPT_CHECK(rows);
}

/* Every field of a large hash is found while it is walked, with small steps. */
static void scan_finds_all(void **state)
{
    enum { FIELDS = 1000 };
    uint8_t seen[FIELDS] = {0};
    struct transcript t;
    char text[128];
    uint64_t cursor = 0;
    int steps = 0, found = 0;

    (void)state;
    transcript_init(&t);
    for (int i = 0; i < FIELDS; i++) {
        (void)snprintf(text, sizeof(text), "HSET h f%d %d", i, i);
        transcript_run(&t, text);
    }
    do {
        char *at;

        (void)snprintf(text, sizeof(text), "HSCAN h %llu COUNT 7", (unsigned long long)cursor);
        transcript_run(&t, text);
        at = strchr(transcript_reply(&t), ' ');
        assert_non_null(at);
        cursor = strtoull(strchr(at + 1, ' ') + 1, NULL, 10);
        for (at = strstr(at, " f"); at != NULL; at = strstr(at + 1, " f")) {
            seen[strtoul(at + 2, NULL, 10)] = 1;
        }
        assert_true(++steps < 10 * FIELDS);
    } while (cursor != 0);
    for (int i = 0; i < FIELDS; i++) {
        found += seen[i];
    }
    assert_int_equal(found, FIELDS);
    assert_true(steps > FIELDS / 100);
    transcript_free(&t);
}

static void random_errors(void **state)
{
    static const struct transcript_row rows[] = {
        {"HRANDFIELD none", "$-1"},
        {"HRANDFIELD none 3", "*0"},
        {"HRANDFIELD none x", NOT_INT},
        {"HRANDFIELD none -9223372036854775808",
         "-ERR value is out of range, value must between -9223372036854775807 and "
         "9223372036854775807"},
        {"HRANDFIELD none 4611686018427387904 WITHVALUES", "-ERR value is out of range"},
        {"HRANDFIELD none 1 VALUES", SYNTAX},
        {"HRANDFIELD none 1 WITHVALUES x", SYNTAX},
        {"HSET h a 1", ":1"},
        {"HRANDFIELD h", "$1 a"},
        {"HRANDFIELD h 0", "*0"},
        {"HRANDFIELD h 5", "*1 $1 a"},
        {"HRANDFIELD h -3", "*3 $1 a $1 a $1 a"},
        {"HRANDFIELD h 5 WITHVALUES", "*2 $1 a $1 1"},
        {"HRANDFIELD h -2 WITHVALUES", "*4 $1 a $1 1 $1 a $1 1"},
        {"@proto 3", ""},
        {"HRANDFIELD none", "_"},
        {"HRANDFIELD h 5 WITHVALUES", "*1 *2 $1 a $1 1"},
        {"HRANDFIELD h -2 WITHVALUES", "*2 *2 $1 a $1 1 *2 $1 a $1 1"},
    };
    (void)state;
    TRANSCRIPT_CHECK(rows);
}

/* A positive count: that many, all different, and each field as likely as any. */
static void random_is_uniform(void **state)
{
    enum { FIELDS = 300, ROUNDS = 600 };
    static const uint64_t counts[] = {1, 7, 99, 101, 299, 300, 301};
    struct transcript t;
    char text[64];

    (void)state;
    transcript_init(&t);
    for (int i = 0; i < FIELDS; i++) {
        (void)snprintf(text, sizeof(text), "HSET h f%d x", i);
        transcript_run(&t, text);
    }
    for (size_t k = 0; k < ARRAY_COUNT(counts); k++) {
        uint64_t want = counts[k] < FIELDS ? counts[k] : FIELDS;
        uint32_t drawn[FIELDS] = {0}, last_round[FIELDS] = {0};

        (void)snprintf(text, sizeof(text), "HRANDFIELD h %u", (unsigned)counts[k]);
        for (uint32_t round = 1; round <= ROUNDS; round++) {
            uint64_t got = 0;

            transcript_run(&t, text);
            for (const char *at = strstr(transcript_reply(&t), " f"); at != NULL;
                 at = strstr(at + 1, " f")) {
                unsigned long field = strtoul(at + 2, NULL, 10);

                assert_true(field < FIELDS);
                assert_true(last_round[field] != round); /* none twice in one reply */
                last_round[field] = round;
                drawn[field]++;
                got++;
            }
            assert_int_equal(got, want);
        }
        for (int i = 0; i < FIELDS && want >= 99; i++) {
            double mean = (double)ROUNDS * (double)want / FIELDS;

            assert_true((double)drawn[i] > mean * 0.6 - 1);
            assert_true((double)drawn[i] < mean * 1.5 + 1);
        }
    }
    transcript_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields),        cmocka_unit_test(wrong_type),
        cmocka_unit_test(counters),      cmocka_unit_test(expired),
        cmocka_unit_test(scan),          cmocka_unit_test(scan_finds_all),
        cmocka_unit_test(random_errors), cmocka_unit_test(random_is_uniform),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
