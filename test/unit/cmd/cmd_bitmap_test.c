/* Bits of strings, and integers inside them. */
#include "cmd_transcript.h"

#define WRONGTYPE "-" CMD_ERR_WRONGTYPE
#define NOT_INT "-" CMD_ERR_NOT_INT
#define SYNTAX "-" CMD_ERR_SYNTAX
#define BAD_OFFSET "-ERR bit offset is not an integer or out of range"
#define BAD_BIT "-ERR bit is not an integer or out of range"
#define BAD_TYPE                                                                                   \
    "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but "   \
    "i64 is."

static void single_bits(void **state)
{
    static const struct transcript_row rows[] = {
        {"SETBIT b 7 1", ":0"},
        {"SETBIT b 7 1", ":1"},
        {"GET b", "$1 \x01"},
        {"GETBIT b 7", ":1"},
        {"GETBIT b 6", ":0"},
        {"GETBIT b 800", ":0"},
        {"GETBIT none 0", ":0"},
        {"SETBIT b 23 0", ":0"}, /* grows all the same */
        {"STRLEN b", ":3"},
        {"SETBIT b -1 1", BAD_OFFSET},
        {"SETBIT b 4294967296 1", BAD_OFFSET},
        {"SETBIT b x 1", BAD_OFFSET},
        {"SETBIT b #1 1", BAD_OFFSET},
        {"SETBIT b 0 2", BAD_BIT},
        {"SETBIT b 0 x", BAD_BIT},
        {"GETBIT b 4294967296", BAD_OFFSET},
        {"HSET h f v", ":1"},
        {"SETBIT h 0 1", WRONGTYPE},
        {"GETBIT h 0", WRONGTYPE},
        {"SET n 1", "+OK"}, /* kept as an integer: the text is what has bits */
        {"GETBIT n 2", ":1"},
        {"SETBIT n 6 1", ":0"},
        {"GET n", "$1 3"},
        {"INCR n", ":4"},
    };
    (void)state;
    TRANSCRIPT_CHECK(rows);
}

static void count_and_find(void **state)
{
    static const struct transcript_row rows[] = {
        {"SET s foobar", "+OK"},
        {"BITCOUNT s", ":26"},
        {"BITCOUNT s 0 0", ":4"},
        {"BITCOUNT s 1 1 BYTE", ":6"},
        {"BITCOUNT s 5 30 BIT", ":17"},
        {"BITCOUNT s -1 -2", ":0"},
        {"BITCOUNT s -2 -1", ":7"},
        {"BITCOUNT s 9 20", ":0"},
        {"BITCOUNT s 0", SYNTAX},
        {"BITCOUNT s 0 1 BITS", SYNTAX},
        {"BITCOUNT s a 1", NOT_INT},
        {"BITCOUNT none a 1", ":0"}, /* an absent key is answered first */
        {"BITPOS s 1", ":1"},
        {"BITPOS s 0", ":0"},
        {"BITPOS s 1 2", ":17"},
        {"BITPOS s 1 -1 -1", ":41"},
        {"BITPOS s 0 9 20 BIT", ":11"},
        {"BITPOS s 2", "-ERR The bit argument must be 1 or 0."},
        {"BITPOS s x", NOT_INT},
        {"BITPOS s 1 0 1 BIT extra", SYNTAX},
        {"BITPOS none 0", ":0"},
        {"BITPOS none 1", ":-1"},
        {"SET f \xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "+OK"},
        {"BITPOS f 0", ":80"}, /* zeros follow the end, when no end was given */
        {"BITPOS f 0 3", ":80"},
        {"BITPOS f 0 0 -1", ":-1"},
        {"BITPOS f 0 5 3", ":-1"},
        {"SET e \"\"", "+OK"},
        {"BITPOS e 0", ":-1"},
        {"BITCOUNT e", ":0"},
        {"HSET h f v", ":1"},
        {"BITCOUNT h", WRONGTYPE},
        {"BITPOS h 1", WRONGTYPE},
    };
    (void)state;
    TRANSCRIPT_CHECK(rows);
}

static void operations(void **state)
{
    static const struct transcript_row rows[] = {
        {"MSET a abcdef b abc n 12", "+OK"},
        {"BITOP AND r a b", ":6"},
        {"BITCOUNT r 3 5", ":0"},
        {"BITOP or r a b", ":6"},
        {"GET r", "$6 abcdef"},
        {"BITOP XOR r a a", ":6"},
        {"BITCOUNT r", ":0"},
        {"BITOP NOT r b", ":3"},
        {"BITOP NOT r r", ":3"},
        {"GET r", "$3 abc"},
        {"BITOP OR n n n", ":2"},
        {"INCR n", ":13"},
        {"SET r 1 EX 100", "+OK"},
        {"BITOP OR r a none", ":6"},
        {"TTL r", ":-1"}, /* the target is a new value */
        {"BITOP AND r none none", ":0"},
        {"EXISTS r", ":0"},
        {"BITOP NOT r a b", "-ERR BITOP NOT must be called with a single source key."},
        {"BITOP NAND r a b", SYNTAX},
        {"HSET h f v", ":1"},
        {"BITOP OR r a h", WRONGTYPE},
        {"BITOP OR h a b", ":6"}, /* the target may be of any type */
        {"TYPE h", "+string"},
    };
    (void)state;
    TRANSCRIPT_CHECK(rows);
}

static void fields(void **state)
{
    static const struct transcript_row rows[] = {
        {"BITFIELD b", "*0"},
        {"EXISTS b", ":0"},
        {"BITFIELD b SET u8 0 255 GET u4 0 GET i4 2", "*3 :0 :15 :-1"},
        {"BITFIELD b INCRBY u8 0 1", "*1 :0"},
        {"BITFIELD b OVERFLOW SAT INCRBY u8 #1 300 INCRBY i8 #2 -300", "*2 :255 :-128"},
        {"BITFIELD b OVERFLOW FAIL INCRBY u8 #1 1 SET i4 0 8", "*2 $-1 $-1"},
        {"BITFIELD b OVERFLOW WRAP SET i4 0 8 GET i4 0", "*2 :0 :-8"},
        {"BITFIELD b SET i64 #0 -1 GET i64 #0 INCRBY i64 #0 1", "*3 :-9151455180305203200 :-1 :0"},
        {"BITFIELD b GET u63 1000", "*1 :0"}, /* reading does not grow */
        {"STRLEN b", ":8"},
        {"BITFIELD b GET u64 0", BAD_TYPE},
        {"BITFIELD b GET i0 0", BAD_TYPE},
        {"BITFIELD b GET i65 0", BAD_TYPE},
        {"BITFIELD b GET x8 0", BAD_TYPE},
        {"BITFIELD b GET u8 -1", BAD_OFFSET},
        {"BITFIELD b SET u8 4294967295 1", BAD_OFFSET}, /* ends past the largest string */
        {"BITFIELD b GET u8 #4611686018427387904", BAD_OFFSET},
        {"BITFIELD b SET u8 0 x", NOT_INT},
        {"BITFIELD b OVERFLOW NONE", "-ERR Invalid OVERFLOW type specified"},
        {"BITFIELD b SET u8 0", SYNTAX},
        {"BITFIELD b SET u8 0 1 NONSENSE", SYNTAX}, /* and nothing was done */
        {"BITFIELD b GET u8 0", "*1 :0"},
        {"BITFIELD_RO b GET u8 0", "*1 :0"},
        {"BITFIELD_RO b SET u8 0 1", "-ERR BITFIELD_RO only supports the GET subcommand"},
        {"BITFIELD_RO none GET u8 0", "*1 :0"},
        {"HSET h f v", ":1"},
        {"BITFIELD h", WRONGTYPE},
        {"BITFIELD h SET u8 0 1", WRONGTYPE},
        {"@proto 3", ""},
        {"BITFIELD b OVERFLOW FAIL SET u1 0 2", "*1 _"},
    };
    (void)state;
    TRANSCRIPT_CHECK(rows);
}

/* One bit at a time: what BITCOUNT and BITPOS should say. */
static void counting_agrees_with_its_twin(void **state)
{
    struct prng rng = {9};
    struct transcript t;

    (void)state;
    transcript_init(&t);
    for (int round = 0; round < 2000; round++) {
        uint8_t bytes[40];
        size_t len = 1 + prng_below(&rng, sizeof(bytes));
        uint64_t from = prng_below(&rng, len * 8), to = prng_between(&rng, from, len * 8 - 1);
        unsigned look_for = (unsigned)prng_below(&rng, 2);
        int64_t count = 0, first = -1;
        char text[128];

        memset(bytes, look_for ? 0 : 0xff, len);
        for (size_t i = prng_below(&rng, 6); i > 0; i--) {
            bytes[prng_below(&rng, len)] ^= (uint8_t)(1U << prng_below(&rng, 8));
        }
        for (uint64_t bit = from; bit <= to; bit++) {
            unsigned is = bytes[bit / 8] >> (7 - bit % 8) & 1;

            count += is;
            first = first < 0 && is == look_for ? (int64_t)bit : first;
        }
        (void)store_set_string(t.store, SLICE("b"), (struct slice){bytes, len}, 0);
        (void)snprintf(text, sizeof(text), "BITCOUNT b %d %d BIT", (int)from, (int)to);
        transcript_run(&t, text);
        assert_int_equal(strtoll(transcript_reply(&t) + 1, NULL, 10), count);
        (void)snprintf(text, sizeof(text), "BITPOS b %u %d %d BIT", look_for, (int)from, (int)to);
        transcript_run(&t, text);
        assert_int_equal(strtoll(transcript_reply(&t) + 1, NULL, 10), first);
    }
    transcript_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(single_bits),
        cmocka_unit_test(count_and_find),
        cmocka_unit_test(operations),
        cmocka_unit_test(fields),
        cmocka_unit_test(counting_agrees_with_its_twin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
