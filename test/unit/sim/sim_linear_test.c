/* The checkers against histories whose verdict is known: for each model legal ones, some of
 * them tricky, and one for each way to be wrong. A history is written as docs/format/history.md
 * says; a line here is "conn call-return words > reply". */
#include "base/base_mem.h"
#include "sim/sim_check.h"

#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Clocks of two nodes that differ by 100 ms; history times below are in ms. */
static const char skewed[] = "wall 0 n1 1000000 1000000\nwall 0 n2 1000100 1000100\n";

/* "1 10-20 GET a > _": one op a line; times in ms; "10-" was not answered. */
static void put_line(struct buf *out, const char *line, size_t len)
{
    unsigned conn = 0, call = 0, back = 0;
    int at = 0;
    char copy[512];

    assert_true(len < sizeof copy);
    memcpy(copy, line, len);
    copy[len] = 0;
    if (sscanf(copy, "%u %u-%u %n", &conn, &call, &back, &at) == 3 && at > 0) {
        buf_printf(out, "op %u %u %u000 %u000 %s\n", conn, conn, call, back, copy + at);
    } else {
        at = 0;
        assert_int_equal(sscanf(copy, "%u %u- %n", &conn, &call, &at), 2);
        assert_true(at > 0);
        buf_printf(out, "op %u %u %u000 - %s\n", conn, conn, call, copy + at);
    }
}

static struct sim_check_result check(const char *head, const char *lines, bool any_order)
{
    struct sim_check_options options = {.any_order = any_order};
    struct sim_check_result result;
    struct sim_history h = {0};
    struct buf text = {0};
    struct diag why;

    buf_printf(&text, "synod-history 1\n%s", head);
    while (*lines != 0) {
        size_t len = strcspn(lines, "\n");

        put_line(&text, lines, len);
        lines += len + (lines[len] == '\n');
    }
    if (sim_history_parse(&h, buf_slice(&text), &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    sim_check_history(&h, &options, &result);
    assert_int_equal(result.undecided, 0);
    sim_history_free(&h);
    buf_free(&text);
    return result;
}

static void expect(const char *head, const char *lines, bool legal)
{
    struct sim_check_result result = check(head, lines, false);

    if ((result.found == 0) != legal) {
        fail_msg("%s:\n%s\n%.*s", legal ? "legal" : "illegal", lines, (int)result.findings.len,
                 (const char *)result.findings.data);
    }
    sim_check_free(&result);
}

static void legal(const char *lines)
{
    expect("", lines, true);
}

static void illegal(const char *lines)
{
    expect("", lines, false);
}

/* Illegal, and the finding says these words. */
static void illegal_saying(const char *lines, const char *words)
{
    struct sim_check_result result = check("", lines, false);

    put_u8(&result.findings, 0);
    assert_true(result.found > 0);
    if (strstr((const char *)result.findings.data, words) == NULL) {
        fail_msg("does not say '%s': %s", words, (const char *)result.findings.data);
    }
    sim_check_free(&result);
}

static void registers(void **state)
{
    (void)state;
    legal("");
    legal("1 1-2 SET a 7 > +OK\n1 3-4 GET a > $7");
    illegal("1 1-2 SET a 7 > +OK\n1 3-4 GET a > _"); /* a lost write */
    /* Overlapping: either answer is right, but not back and forth. */
    legal("1 1-10 SET a 7 > +OK\n2 3-4 GET a > _\n2 5-6 GET a > $7");
    illegal("1 1-10 SET a 7 > +OK\n2 3-4 GET a > $7\n2 5-6 GET a > _");
    /* A stale read: what a leader would say whose lease has ended. */
    illegal("1 1-2 SET a 7 > +OK\n1 3-4 SET a 8 > +OK\n2 5-6 GET a > $7");
    legal("1 1-2 SET a 7 > +OK\n1 3-6 SET a 8 > +OK\n2 5-6 GET a > $7");
    /* A value that nobody wrote. */
    illegal("1 1-2 SET a 7 > +OK\n1 3-4 GET a > $9");
    /* Two may not both be the first, nor none. */
    illegal("1 1-9 SETNX a 7 > :1\n2 1-9 SETNX a 8 > :1");
    illegal("1 1-9 SET a 7 NX > _\n2 1-9 SET a 8 NX > _");
    legal("1 1-9 SETNX a 7 > :1\n2 1-9 SET a 8 XX > +OK\n3 10-11 GET a > $8");
    illegal("1 1-2 SET a 8 XX > +OK");
    /* Old values form a chain. */
    legal("1 1-9 SET a 1 GET > $2\n2 1-9 GETSET a 2 > $3\n3 1-9 SET a 3 GET > _");
    illegal("1 1-9 SET a 1 GET > $2\n2 1-9 GETSET a 2 > $1");
    illegal("1 1-2 SET a 1 > +OK\n1 3-9 GETDEL a > $1\n2 3-9 GETDEL a > $1");
    illegal("1 1-2 SET a 1 > +OK\n1 3-9 DEL a > :1\n2 3-9 UNLINK a > :1");
    /* Deleted, and back again. */
    illegal("1 1-2 SET a 1 > +OK\n1 3-4 DEL a > :1\n2 5-6 GET a > $1");
    legal("1 1-2 SET a 1 > +OK\n1 3-4 TYPE a > +string\n1 5-6 EXISTS a > :1\n1 7-8 TOUCH a > :1");
    illegal("1 1-2 SET a 1 > +OK\n1 3-4 TYPE a > +hash");
    legal("1 1-2 HSET a f 1 > :1\n1 3-4 GET a > -\"WRONGTYPE no string\"\n1 5-6 SET a 1 > +OK");
    illegal("1 1-2 SET a 1 > +OK\n1 3-4 GET a > -\"WRONGTYPE no string\"");
}

static void unknown_outcomes(void **state)
{
    (void)state;
    /* It may have happened, even much later ... */
    legal("1 1- SET a 7 > lost\n2 3-4 GET a > _\n2 5-6 GET a > $7");
    legal("1 1-2 SET a 7 > -\"INDOUBT who knows\"\n2 3-4 GET a > _\n2 5-6 GET a > $7");
    /* ... once, ... */
    illegal("1 1- SET a 7 > lost\n2 3-4 GET a > $7\n2 5-6 SET a 8 > +OK\n2 7-8 GET a > $7");
    /* ... but not before it was called. */
    illegal("1 1-2 GET a > $7\n2 3- SET a 7 > lost");
    /* What needed no reply has happened when the next one comes, or never will. */
    legal("1 1- SET a 7 > silent\n1 1-5 PING > +PONG\n2 6-7 GET a > $7");
    illegal("1 1- SET a 7 > silent\n1 1-5 PING > +PONG\n2 6-7 GET a > _\n2 8-9 GET a > $7");
    legal("1 1- SET a 7 > silent\n2 6-7 GET a > _\n2 8-9 GET a > $7");
    /* Nor behind one of unknown outcome that was called later: the search once asked only what
     * replied. (Found by sim_brute_test.c.) */
    illegal("1 2- DEL a > silent\n1 6-6 DEL a > -\"CLUSTERDOWN no\"\n2 7- INCRBY a 2 > silent\n"
            "3 1-9 GETSET a 0 > $2\n4 14-14 GET a > _");
    illegal("1 1- APPEND a 1, > silent\n1 4-5 STRLEN a > :0\n2 7- APPEND a 2, > lost\n"
            "3 8-9 GET a > $2,1,");
    legal("1 1- APPEND a 1, > silent\n1 4-5 STRLEN a > :0\n2 5- APPEND a 2, > lost\n"
          "3 8-9 GET a > $2,1,");
}

static void refused(void **state)
{
    (void)state;
    illegal_saying("1 1-2 SET a 7 > -\"CLUSTERDOWN no leader\"\n2 3-4 GET a > $7",
                   "had happened, which was refused");
    illegal("1 1-2 SET a 7 > +OK\n1 3-4 DEL a > -\"TRYAGAIN later\"\n2 5-6 GET a > _");
    illegal("1 1-2 INCR a > -\"MISCONF disk full\"\n2 3-4 GET a > $1");
    illegal("1 1-2 APPEND a x, > -\"MOVED 1 n2:1\"\n2 3-4 GET a > $x,");
    legal("1 1-2 SET a 7 > -\"READONLY no\"\n2 3-4 GET a > _\n2 5-6 DEL a b > -\"CROSSSLOT no\"");
    /* What would be refused so ties no keys together, though nobody heard: between partitions a
     * connection's order is not promised. A server that has no slots does both. */
    legal("1 1-9 SET a 7 > +OK\n1 1-9 SET b 7 > +OK\n2 2-3 GET b > $7\n2 4-5 GET a > _\n"
          "3 20- DEL a b > lost");
    illegal("1 1-9 SET a 7 > +OK\n1 1-9 SET b 7 > +OK\n2 2-3 GET b > $7\n2 4-5 GET a > _\n"
            "3 20-21 DEL a b > :2");
    /* The command's own errors must be right ones. */
    legal("1 1-2 SET a x > +OK\n1 3-4 INCR a > -\"ERR value is not an integer\"");
    illegal("1 1-2 SET a 1 > +OK\n1 3-4 INCR a > -\"ERR value is not an integer\"");
    /* And none of a kind that nobody knows. */
    illegal_saying("1 1-2 SET a 7 > -\"EIEIO farm\"", "none of the documented");
    illegal_saying("1 1-2 SET a 7 > :1", "no reply of that kind");
    illegal_saying("1 1-2 GET a b > _", "was accepted");
}

static void counters(void **state)
{
    struct buf many = {0};

    (void)state;
    legal("1 1-5 INCRBY a 2 > :2\n2 2-6 INCRBY a 3 > :5");
    illegal("1 1-5 INCRBY a 2 > :2\n2 2-6 INCRBY a 2 > :2"); /* a lost update */
    illegal("1 1-2 INCR a > :1\n1 3-4 GET a > $2");          /* done twice */
    illegal("1 1- INCR a > lost\n2 3-4 GET a > $2");         /* twice, and nobody knows of once */
    legal("1 1-2 DECRBY a 2 > :-2\n1 3-4 DECR a > :-3\n1 5-6 GET a > $-3");
    legal("1 1-2 INCRBYFLOAT a 1.25 > $1.25\n1 3-4 INCRBYFLOAT a -0.25 > $1\n1 5-6 INCR a > :2");
    illegal("1 1-2 INCRBYFLOAT a 1.25 > $1.25\n1 3-4 INCRBYFLOAT a 1.25 > $1.25");
    /* 2^40 subsets, if they were not alike. */
    for (unsigned i = 0; i < 40; i++) {
        buf_printf(&many, "%u %u- INCR a > lost\n", i + 10, i);
    }
    buf_printf(&many, "1 100-101 GET a > $17\n1 102-103 INCR a > :18\n");
    put_u8(&many, 0);
    legal((const char *)many.data);
    many.len--;
    buf_printf(&many, "1 104-105 GET a > $42\n");
    put_u8(&many, 0);
    illegal((const char *)many.data);
    buf_free(&many);
}

static void strings(void **state)
{
    (void)state;
    legal("1 1-9 APPEND a 1, > :4\n2 1-9 APPEND a 2, > :2\n3 3-9 GET a > $2,1,\n3 10-11 STRLEN a > "
          ":4");
    illegal("1 1-2 APPEND a 1, > :2\n1 3-4 APPEND a 2, > :2");
    illegal_saying("1 1-2 APPEND a 1, > :2\n1 3-4 GET a > $1,1,", "at byte 0 and at byte 2");
    illegal("1 1-2 APPEND a 1, > :2\n1 3-4 APPEND a 2, > :4\n1 5-6 GET a > $2,1,");
    /* Lost, never read, and then the length must tell. */
    legal("1 1- APPEND a 10, > lost\n2 3-4 APPEND a 2, > :5\n2 5-6 STRLEN a > :5");
    illegal("1 1- APPEND a 10, > lost\n2 3-4 APPEND a 2, > :7");
    legal("1 1-2 APPEND a 1, > :2\n1 3-4 DEL a > :1\n1 5-6 APPEND a 2, > :2\n1 7-8 GET a > $2,");
    illegal("1 1-2 APPEND a 1, > :2\n1 3-4 DEL a > :1\n1 5-6 APPEND a 2, > :4");
    legal(
        "1 1-2 SET a hello > +OK\n1 3-4 SETRANGE a 6 x > :7\n1 5-6 GETRANGE a 4 -1 > $\"o\\x00x\"");
    illegal("1 1-2 SET a hello > +OK\n1 3-9 SETRANGE a 0 J > :5\n2 3-9 SETRANGE a 4 y > :5\n"
            "3 10-11 GET a > $Jello");
}

static void bitmaps(void **state)
{
    (void)state;
    legal("1 1-9 SETBIT a 3 1 > :0\n2 1-9 SETBIT a 3 0 > :1\n3 10-11 BITCOUNT a > :0");
    illegal("1 1-9 SETBIT a 3 1 > :0\n2 1-9 SETBIT a 3 1 > :0");
    illegal("1 1-2 SETBIT a 3 1 > :0\n1 3-4 GETBIT a 3 > :0");
    legal(
        "1 1-2 SETBIT a 1 1 > :0\n1 3-4 GET a > $@\n1 5-6 BITPOS a 1 > :1\n1 7-8 BITPOS a 0 > :0");
    legal("1 1-2 BITFIELD a INCRBY u4 #1 3 GET u8 0 > *2 :3 :3\n"
          "1 3-4 BITFIELD a OVERFLOW SAT INCRBY u4 #1 15 OVERFLOW FAIL INCRBY u4 #1 1 > *2 :15 _\n"
          "1 5-6 BITFIELD a INCRBY i4 4 -1 > *1 :-2\n1 7-8 GET a > $\"\\x0e\"");
    illegal("1 1-2 BITFIELD a INCRBY u4 0 3 > *1 :3\n1 3-4 BITFIELD a INCRBY u4 0 3 > *1 :3");
    legal("1 1-2 SET {t}a @ > +OK\n1 3-4 BITOP NOT {t}b {t}a > :1\n1 5-6 BITCOUNT {t}b > :7\n"
          "1 7-8 BITOP AND {t}a {t}a {t}b > :1\n1 9-10 BITCOUNT {t}a > :0");
    illegal("1 1-2 SET {t}a @ > +OK\n1 3-4 BITOP OR {t}b {t}a {t}b > :1\n1 5-6 GET {t}b > _");
}

static void hashes(void **state)
{
    (void)state;
    legal("1 1-9 HSET a f 1 g 2 > :2\n2 1-9 HGETALL a > %0\n3 10-11 HGETALL a > *4 $g $2 $f $1");
    illegal("1 1-9 HSET a f 1 g 2 > :2\n2 3-4 HMGET a f g > *2 $1 _"); /* half of it */
    illegal("1 1-2 HSET a f 1 > :1\n1 3-4 HDEL a f > :1\n1 5-6 HDEL a f > :1");
    illegal("1 1-2 HSET a f 1 > :1\n1 3-4 HSETNX a f 2 > :1");
    legal("1 1-2 HSET a f 1 > :1\n1 3-4 HKEYS a > ~1 $f\n1 5-6 HVALS a > *1 $1\n1 7-8 HLEN a > :1\n"
          "1 9-10 HDEL a f > :1\n1 11-12 EXISTS a > :0");
    illegal("1 1-9 HINCRBY a f 2 > :2\n2 1-9 HINCRBY a f 3 > :3");
    legal(
        "1 1-9 HINCRBY a f 2 > :2\n2 1-9 HINCRBY a f 3 > :5\n1 10-11 HINCRBYFLOAT a f 0.5 > $5.5");
}

static void hashes_in_part(void **state)
{
    static const char three[] = "1 1-2 HSET a f 1 g 2 h 3 > :3\n";
    static const struct {
        const char *line;
        bool legal;
    } rows[] = {
        {"1 3-4 HRANDFIELD a > $g", true},
        {"1 3-4 HRANDFIELD a > $x", false},
        {"1 3-4 HRANDFIELD a > _", false},
        {"1 3-4 HRANDFIELD b > _", true},
        {"1 3-4 HRANDFIELD b 2 > *0", true},
        {"1 3-4 HRANDFIELD a 2 > *2 $h $f", true},
        {"1 3-4 HRANDFIELD a 2 > *2 $f $f", false},
        {"1 3-4 HRANDFIELD a 2 > *1 $f", false},
        {"1 3-4 HRANDFIELD a 9 > *3 $h $f $g", true},
        {"1 3-4 HRANDFIELD a 9 > *2 $h $f", false},
        {"1 3-4 HRANDFIELD a 0 > *0", true},
        {"1 3-4 HRANDFIELD a -4 > *4 $h $f $h $f", true},
        {"1 3-4 HRANDFIELD a -4 > *3 $h $f $h", false},
        {"1 3-4 HRANDFIELD a 2 WITHVALUES > *4 $h $3 $f $1", true},
        {"1 3-4 HRANDFIELD a 2 WITHVALUES > *4 $h $1 $f $1", false},
        {"1 3-4 HRANDFIELD a 2 WITHVALUES > *2 *2 $h $3 *2 $f $1", true},
        {"1 3-4 HRANDFIELD a 2 WITHVALUES > *2 *2 $h $3 *2 $h $3", false},
        {"1 3-4 HRANDFIELD a x > -\"ERR no\"", true},
        {"1 3-4 HSCAN a 0 > *2 $0 *6 $h $3 $f $1 $g $2", true},
        {"1 3-4 HSCAN a 0 > *2 $0 *8 $h $3 $f $1 $g $2 $h $3", true}, /* twice is allowed */
        {"1 3-4 HSCAN a 0 > *2 $0 *4 $h $3 $f $1", false},
        {"1 3-4 HSCAN a 0 MATCH f > *2 $0 *2 $f $1", true},
        {"1 3-4 HSCAN a 0 > *2 $0 *6 $h $3 $f $1 $g $1", false},
        {"1 3-4 HSCAN a 0 > *2 $7 *2 $x $1", false},
        {"1 3-4 HSCAN b 0 > *2 $0 *0", true},
        /* In two calls: g was there all the time, f came and h went. */
        {"1 3-4 HSCAN a 0 > *2 $7 *2 $f $1\n1 5-6 HDEL a h > :1\n"
         "1 7-8 HSCAN a 7 > *2 $0 *2 $g $2",
         true},
        {"1 3-4 HSCAN a 0 > *2 $7 *2 $f $1\n1 5-6 HDEL a h > :1\n1 7-8 HSCAN a 7 > *2 $0 *0",
         false},
        {"1 3-4 HSCAN a 0 > *2 $7 *2 $f $1\n1 5-6 HDEL a h > :1\n"
         "1 7-8 HSCAN a 7 > *2 $0 *2 $h $3",
         false},
        {"1 3-4 HSCAN a 0 > *2 $7 *2 $f $1\n2 1-9 DEL a > :1\n1 7-8 HSCAN a 7 > *2 $0 *0", true},
        {"1 3-4 HSCAN a 0 > *2 $7 *2 $f $1", true}, /* given up */
        {"1 3-4 OBJECT ENCODING a > $listpack", true},
        {"1 3-4 OBJECT ENCODING a > $raw", false},
        {"1 3-4 OBJECT ENCODING a > _", false},
        {"1 3-4 OBJECT ENCODING b > _", true},
        {"1 3-4 OBJECT IDLETIME a > :0", true},
        {"1 3-4 OBJECT IDLETIME a > :-1", false},
        {"1 3-4 OBJECT REFCOUNT a > :0", false},
        {"1 3-4 OBJECT FREQ a > -\"ERR none\"", true},
        {"1 3-4 OBJECT FREQ a > _", false},
        {"1 3-4 OBJECT FREQ b > _", true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        char lines[256];

        (void)snprintf(lines, sizeof lines, "%s%s", three, rows[i].line);
        expect("", lines, rows[i].legal);
    }
}

static void subsequences(void **state)
{
    static const char both[] = "1 1-2 SET {t}a ohmytext > +OK\n1 1-2 SET {t}b mynewtext > +OK\n";
    static const struct {
        const char *line;
        bool legal;
    } rows[] = {
        {"1 3-4 LCS {t}a {t}b > $mytext", true},
        {"1 3-4 LCS {t}a {t}b > $mytxt", false},
        {"1 3-4 LCS {t}a {t}b > $mytexx", false},
        {"1 3-4 LCS {t}a {t}b LEN > :6", true},
        {"1 3-4 LCS {t}a {t}b LEN > :5", false},
        {"1 3-4 LCS {t}a {t}c > $\"\"", true},
        {"1 3-4 LCS {t}a {t}b LEN IDX > -\"ERR both\"", true},
        {"1 3-4 LCS {t}a {t}b IDX > *4 $matches *2 *2 *2 :4 :7 *2 :5 :8 *2 *2 :2 :3 *2 :0 :1 $len "
         ":6",
         true},
        {"1 3-4 LCS {t}a {t}b IDX > %2 $matches *1 *2 *2 :4 :7 *2 :5 :8 $len :6", false},
        {"1 3-4 LCS {t}a {t}b IDX MINMATCHLEN 4 WITHMATCHLEN > "
         "%2 $matches *1 *3 *2 :4 :7 *2 :5 :8 :4 $len :6",
         true},
        {"1 3-4 LCS {t}a {t}b IDX MINMATCHLEN 4 WITHMATCHLEN > "
         "%2 $matches *1 *3 *2 :4 :7 *2 :5 :8 :3 $len :6",
         false},
        {"1 3-4 LCS {t}a {t}b IDX MINMATCHLEN 5 > %2 $matches *1 *2 *2 :4 :7 *2 :5 :8 $len :6",
         false},
        {"1 3-4 LCS {t}a {t}b IDX MINMATCHLEN 4 > %2 $matches *1 *2 *2 :4 :7 *2 :4 :7 $len :6",
         false},
        {"1 3-4 LCS {t}a {t}b IDX MINMATCHLEN 9 > %2 $matches *0 $len :6", true},
        {"1 3-4 HSET {t}c f 1 > :1\n1 5-6 LCS {t}a {t}c > -\"ERR no strings\"", true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        char lines[256];

        (void)snprintf(lines, sizeof lines, "%s%s", both, rows[i].line);
        expect("", lines, rows[i].legal);
    }
}

static void pairs(void **state)
{
    (void)state;
    legal("1 1-9 MSET {t}a 1 {t}b 2 > +OK\n2 1-9 MGET {t}a {t}b > *2 _ _\n2 10-11 MGET {t}b {t}a > "
          "*2 $2 $1");
    illegal("1 1-9 MSET {t}a 1 {t}b 2 > +OK\n2 3-4 MGET {t}a {t}b > *2 $1 _"); /* torn */
    illegal("1 1-9 MSET {t}a 1 {t}b 2 > +OK\n2 3-4 GET {t}a > $1\n2 5-6 GET {t}b > _");
    illegal("1 1-2 SET {t}a 1 > +OK\n1 3-4 MSETNX {t}a 2 {t}b 2 > :1");
    legal("1 1-2 SET {t}a 1 > +OK\n1 3-4 MSETNX {t}a 2 {t}b 2 > :0\n1 5-6 GET {t}b > _");
    illegal("1 1-2 SET {t}a 1 > +OK\n1 3-9 RENAME {t}a {t}b > +OK\n2 3-9 EXISTS {t}a {t}b > :2");
    illegal("1 1-2 SET {t}a 1 > +OK\n1 3-9 RENAME {t}a {t}b > +OK\n2 3-9 EXISTS {t}a {t}b > :0");
    legal("1 1-2 SET {t}a 1 > +OK\n1 3-4 COPY {t}a {t}b > :1\n1 5-6 COPY {t}a {t}b > :0\n"
          "1 7-8 DEL {t}a {t}b > :2\n1 9-10 RENAME {t}a {t}b > -\"ERR no such key\"");
}

static void order_of_a_connection(void **state)
{
    struct sim_check_result result;
    static const char swapped[] = "1 1-9 SET a 1 > +OK\n1 1-9 SET a 2 > +OK\n2 10-11 GET a > $1";

    (void)state;
    legal("1 1-9 SET a 1 > +OK\n1 1-9 SET a 2 > +OK\n2 10-11 GET a > $2");
    illegal(swapped);
    result = check("", swapped, true); /* unless nobody asks for it */
    assert_int_equal(result.found, 0);
    sim_check_free(&result);
    illegal("1 1-9 GET a > $1\n1 1-9 SET a 1 > +OK");
    illegal("1 1-9 APPEND a 1, > :4\n1 1-9 APPEND a 2, > :2");
    /* Two connections are two. */
    legal("1 1-9 SET a 1 > +OK\n2 1-9 SET a 2 > +OK\n3 10-11 GET a > $1");
    /* A lost one may come late, also behind a later one. */
    legal("1 1-2 SET a 1 > -\"INDOUBT ?\"\n1 1-9 SET a 2 > +OK\n2 10-11 GET a > $1");
}

static void flushes(void **state)
{
    (void)state;
    illegal("1 1-2 SET a 1 > +OK\n1 3-4 FLUSHALL > +OK\n2 5-6 GET a > $1");
    legal("1 1-2 SET a 1 > +OK\n1 3-8 FLUSHALL > +OK\n2 5-6 GET a > $1");
    legal("1 1-2 SET a 1 > +OK\n1 1-2 SET b 1 > +OK\n1 3- FLUSHALL > lost\n2 5-6 GET a > _\n"
          "2 7-8 GET b > $1");
    illegal("1 1-2 SET a 1 > +OK\n1 3-4 FLUSHALL > -\"CLUSTERDOWN no\"\n2 5-6 GET a > _");
    legal("1 1-2 SET a 1 > +OK\n1 3-4 FLUSHDB > -\"INDOUBT some did\"\n2 5-6 GET a > _");
}

static void keyspace(void **state)
{
    (void)state;
    legal("1 1-2 SET a 1 > +OK\n1 3-4 DBSIZE > :1\n1 5-6 KEYS * > *1 $a\n1 7-8 RANDOMKEY > $a\n"
          "1 9-10 SCAN 0 > *2 $0 *1 $a\n1 11-12 DEL a > :1\n1 13-14 DBSIZE > :0");
    illegal("1 1-2 SET a 1 > +OK\n1 3-4 DBSIZE > :0");
    illegal("1 1-2 SET a 1 > +OK\n1 3-4 DBSIZE > :2");
    legal("1 1-2 SET a 1 > +OK\n2 3-9 SET b 1 > +OK\n1 3-4 DBSIZE > :1\n1 5-6 DBSIZE > :2");
    illegal("1 1-2 SET a 1 > +OK\n1 3-4 KEYS * > *0");
    illegal("1 1-2 SET a 1 > +OK\n1 3-4 KEYS * > *2 $a $a");
    illegal("1 1-2 SET a 1 > +OK\n1 3-4 DEL a > :1\n1 5-6 KEYS * > *1 $a");
    illegal_saying("1 3-4 KEYS * > *1 $ghost", "nobody ever named");
    legal("1 1-2 SET a 1 > +OK\n1 3-4 KEYS b* > *0");
    illegal("1 1-2 SET a 1 > +OK\n1 3-4 RANDOMKEY > _");
    /* A whole iteration: b was there all the time, c came, a went. */
    legal("1 1-2 SET a 1 > +OK\n1 3-4 SET b 1 > +OK\n2 5-6 SCAN 0 > *2 $7 *0\n1 7-8 DEL a > :1\n"
          "1 9-10 SET c 1 > +OK\n2 11-12 SCAN 7 > *2 $0 *1 $b");
    illegal_saying("1 1-2 SET a 1 > +OK\n1 3-4 SET b 1 > +OK\n2 5-6 SCAN 0 > *2 $7 *1 $a\n"
                   "2 11-12 SCAN 7 > *2 $0 *0",
                   "leaves out key b");
    illegal("1 1-2 SET a 1 > +OK\n1 3-4 DEL a > :1\n2 5-6 SCAN 0 > *2 $0 *1 $a");
}

static void expiry(void **state)
{
    (void)state;
    /* Clocks show 1000000..1000100 ms more than the history. */
    expect(skewed, "1 1000-1001 SET a 1 PX 500 > +OK\n1 1300-1301 GET a > $1", true);
    expect(skewed, "1 1000-1001 SET a 1 PX 500 > +OK\n1 1300-1301 GET a > _", false); /* early */
    expect(skewed, "1 1000-1001 SET a 1 PX 500 > +OK\n1 1450-1451 GET a > _", true);
    expect(skewed, "1 1000-1001 SET a 1 PX 500 > +OK\n1 1550-1551 GET a > $1", true);
    expect(skewed, "1 1000-1001 SET a 1 PX 500 > +OK\n1 1700-1701 GET a > $1", false); /* late */
    expect(skewed, "1 1000-1001 SET a 1 PX 500 > +OK\n1 1700-1701 GET a > _", true);
    /* Gone is gone. */
    expect(skewed,
           "1 1000-1001 SET a 1 PX 500 > +OK\n1 1550-1551 GET a > _\n1 1560-1561 GET a > $1",
           false);
    expect(skewed,
           "1 1000-1001 SET a 1 PX 500 > +OK\n1 1550-1551 TTL a > :-2\n1 1560-1561 EXPIRE a 5 > :1",
           false);
    expect("", "1 1000-1001 SET a 1 PX 500 > +OK\n1 1002-1003 GET a > _\n1 1560-1561 GET a > $1",
           false);
    /* Cancelled, overwritten, kept, prolonged. */
    expect(skewed,
           "1 1000-1001 SET a 1 PX 500 > +OK\n1 1100-1101 PERSIST a > :1\n1 5-6 GET a > _\n"
           "1 9000-9001 GET a > $1",
           true);
    expect(skewed,
           "1 1000-1001 SET a 1 PX 500 > +OK\n1 1100-1101 SET a 2 > +OK\n"
           "1 9000-9001 GET a > _",
           false);
    expect(skewed,
           "1 1000-1001 SET a 1 PX 500 > +OK\n1 1100-1101 SET a 2 KEEPTTL > +OK\n"
           "1 9000-9001 GET a > $2",
           false);
    expect(skewed,
           "1 1000-1001 SET a 1 PX 500 > +OK\n1 1100-1101 GETEX a PX 9000 > $1\n"
           "1 9000-9001 GET a > $1",
           true);
    expect(skewed, "1 1000-1001 SET a 1 > +OK\n1 1100-1101 GET a > _", false);
    expect(skewed,
           "1 1000-1001 SET a 1 > +OK\n1 1100-1101 PEXPIREAT a 1001300 > :1\n"
           "1 1310-1311 GET a > $1",
           false);
    expect(skewed,
           "1 1000-1001 SET a 1 > +OK\n1 1100-1101 PEXPIREAT a 1001300 > :1\n"
           "1 1190-1191 GET a > _",
           false);
    /* What TTL says must fit, and is remembered. */
    expect(skewed, "1 1000-1001 SET a 1 PX 500 > +OK\n1 1100-1101 PTTL a > :350", true);
    expect(skewed, "1 1000-1001 SET a 1 PX 500 > +OK\n1 1100-1101 PTTL a > :200", false);
    expect(skewed,
           "1 1000-1001 SET a 1 PX 500 > +OK\n1 1100-1101 PEXPIRETIME a > :1001500\n"
           "1 1510-1511 GET a > $1",
           false);
    expect(skewed, "1 1000-1001 SET a 1 PX 500 > +OK\n1 1100-1101 TTL a > :-1", false);
    expect(skewed,
           "1 1000-1001 SET a 1 PX 500 > +OK\n1 1100-1101 PEXPIRE a 9000 LT > :0\n"
           "1 1102-1103 PEXPIRE a 900 GT > :1\n1 1104-1105 PEXPIRE a 9 NX > :0",
           true);
    /* One of unknown outcome runs before what sees it. */
    expect(skewed, "1 1000- SET a 1 PX 500 > lost\n2 8000-8001 GET a > $1\n2 8900-8901 GET a > $1",
           false);
    expect(skewed, "1 1000- SET a 1 PX 500 > lost\n2 8000-8001 GET a > $1\n2 8900-8901 GET a > _",
           true);
    /* A clock that goes back: nothing need expire before it comes there again. */
    expect("wall 0 n1 1000 1000\nwall 1000000 n1 0 0\n",
           "1 900-901 SET a 1 PX 500 > +OK\n1 1600-1601 GET a > $1", true);
    expect("wall 0 n1 1000 1000\n", "1 900-901 SET a 1 PX 500 > +OK\n1 1600-1601 GET a > $1",
           false);
}

/* A history that would take the search long: forty commands of unknown outcome, of which some
 * happened. What the log says is tried, never believed. */
static void logs(void **state)
{
    struct sim_check_options options = {.states_max = 100};
    struct buf text = {0};

    (void)state;
    for (unsigned lie = 0; lie < 4; lie++) {
        struct sim_check_result result;
        struct sim_history h = {0};
        struct diag why;
        char bits[9] = "";

        text.len = 0;
        buf_printf(&text, "synod-history 1\n");
        for (unsigned i = 0; i < 40; i++) {
            buf_printf(&text, "op %u %u %u - SETRANGE a %u %c%u > lost\n", i, i, i + 1, i % 7,
                       'a' + i % 20, i % 10);
        }
        buf_printf(&text, "op 99 99 100 101 GET a > $");
        for (unsigned i = 0; i < 8; i++) { /* of the 15th to the 21st */
            bits[i] = (char)(i < 7 ? 'a' + (14 + i) % 20 : '0');
        }
        buf_printf(&text, "%s\n", lie == 1 ? "zzzzzzzz" : bits);
        for (unsigned i = 0; i < 7; i++) {
            unsigned op = 14 + (lie == 2 ? 6 - i : i);

            buf_printf(&text, "log 0 %u 1 %u setrange a %u %c%u\n", i + 1, lie == 3 ? 5 : 50,
                       op % 7, 'a' + op % 20, op % 10);
        }
        assert_int_equal(sim_history_parse(&h, buf_slice(&text), &why), ERR_OK);
        sim_check_history(&h, &options, &result);
        assert_int_equal(result.followed, lie == 0 || lie == 2); /* what happened is enough */
        assert_true(lie == 1 ? result.found + result.undecided > 0 : result.found == 0);
        sim_check_free(&result);
        sim_history_free(&h);
    }
    buf_free(&text);
}

static void files(void **state)
{
    static const char text[] = "synod-history 1\n"
                               "wall 0 n1 -5 7\n"
                               "note 10 n2 was \"killed\"\n"
                               "op 1 2 3 4 SET a \"b c\\x00\\\"\\\\\" \"\" > +OK\n"
                               "op 1 2 5 6 MGET a \">\" > *3 $\"\" _ %1 :-7 #t\n"
                               "op 1 3 5 - GET a > lost\n"
                               "op 1 3 6 - GET a > silent\n"
                               "log 0 1 2 4 set a \"b c\\x00\\\"\\\\\" \"\"\n"
                               "log 0 2 2 5\n";
    static const char *const bad[] = {"",
                                      "synod-history 2\n",
                                      "synod-history 1\nop 1 2 3 4 GET a\n",
                                      "synod-history 1\nop 1 2 3 4 > _\n",
                                      "synod-history 1\nop 1 2 3 - GET a > _\n",
                                      "synod-history 1\nop 1 2 4 3 GET a > _\n",
                                      "synod-history 1\nop 1 2 3 4 GET a > *2 _\n",
                                      "synod-history 1\nop 1 2 3 4 GET a > _ _\n",
                                      "synod-history 1\nop 1 2 3 4 GET \"a > _\n",
                                      "synod-history 1\nop 1 2 3 4 GET \"\\q\" > _\n",
                                      "synod-history 1\nop 1 2 3 4x GET a > _\n",
                                      "synod-history 1\nop 1 2 3 4 GET a > ?\n",
                                      "synod-history 1\nwall 0 n1 7 5\n",
                                      "synod-history 1\nlog 0 1 2\n",
                                      "synod-history 1\nlog 0 1 2 3 \"a\n",
                                      "synod-history 1\nnonsense\n"};
    struct sim_history h = {0};
    struct buf again = {0};
    struct diag why;

    (void)state;
    assert_int_equal(sim_history_parse(&h, SLICE(text), &why), ERR_OK);
    assert_int_equal(h.count, 4);
    assert_int_equal(h.ops[1].id, 5);
    assert_true(slice_eq(sim_op_word(&h, &h.ops[0], 2), SLICE("b c\0\"\\")));
    sim_history_put(&again, &h);
    assert_true(slice_eq(buf_slice(&again), SLICE(text)));
    sim_history_free(&h);
    buf_free(&again);
    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
        assert_int_not_equal(sim_history_parse(&h, slice_str(bad[i]), &why), ERR_OK);
        sim_history_free(&h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registers),
        cmocka_unit_test(unknown_outcomes),
        cmocka_unit_test(refused),
        cmocka_unit_test(counters),
        cmocka_unit_test(strings),
        cmocka_unit_test(bitmaps),
        cmocka_unit_test(hashes),
        cmocka_unit_test(hashes_in_part),
        cmocka_unit_test(subsequences),
        cmocka_unit_test(pairs),
        cmocka_unit_test(order_of_a_connection),
        cmocka_unit_test(flushes),
        cmocka_unit_test(keyspace),
        cmocka_unit_test(expiry),
        cmocka_unit_test(logs),
        cmocka_unit_test(files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
