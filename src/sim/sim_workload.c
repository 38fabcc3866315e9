#include "sim/sim_workload.h"

#include "base/base_hash.h"
#include "resp/resp.h"

#include <stdio.h>

static uint64_t pick(struct prng *p, const uint64_t *of, size_t count)
{
    return of[prng_below(p, count)];
}
#define PICK(p, ...)                                                                               \
    (uint32_t) pick((p), (const uint64_t[]){__VA_ARGS__},                                          \
                    sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

void sim_habits_draw(struct sim_habits *h, uint64_t seed)
{
    struct prng p = {seed ^ 0x4ab175};

    h->links = PICK(&p, 1, 1, 2, 3);
    h->resp3 = PICK(&p, 0, 500, 1000);
    h->follows = PICK(&p, 0, 0, 300, 1000);
    h->inline_commands = PICK(&p, 0, 0, 100);
    h->silent = PICK(&p, 0, 0, 50, 200);
    h->hasty = PICK(&p, 0, 0, 5, 50);
    h->lazy = PICK(&p, 0, 0, 0, 20);
    h->lazy_us_max = PICK(&p, 100000, 1000000, 4000000);
    h->keyspace = PICK(&p, 0, 5, 20, 50);
    h->flushes = PICK(&p, 0, 0, 0, 300, 2000);
    h->crossing = PICK(&p, 0, 0, 10);
    h->big = PICK(&p, 0, 0, 0, 0, 0, 0, 0, 10);
    h->big_bytes_max = PICK(&p, 100000, 300000, 1000000);
    h->many_keys = PICK(&p, 0, 0, 0, 0, 0, 0, 0, 100, 400, 1500);
    /* Thousands of concurrent commands on one key would only keep the checker busy. */
    h->long_pipeline = h->many_keys >= 400 ? PICK(&p, 0, 0, 64, 200) : 0;
    h->fields = PICK(&p, 3, 3, 3, 3, 3, 40); /* more than one call of HSCAN shows */
    if (h->long_pipeline > 0) {
        h->silent = h->hasty = h->lazy = 0; /* nor would thousands of which nothing is known */
    }
}

void sim_habits_put(const struct sim_habits *h, struct buf *out)
{
    buf_printf(out,
               "%u connections of a client, RESP3 %u of 1000, following the map %u, inline %u, "
               "silent %u, hasty %u, not reading %u, over all keys %u, FLUSHALL %u of a million, "
               "crossing slots %u, big values %u, %u fields of a hash",
               h->links, h->resp3, h->follows, h->inline_commands, h->silent, h->hasty, h->lazy,
               h->keyspace, h->flushes, h->crossing, h->big, h->fields);
}

const char *sim_family_name(enum sim_family family)
{
    static const char *const names[SIM_FAMILY_COUNT] = {
        [SIM_FAMILY_REGISTER] = "register", [SIM_FAMILY_COUNTER] = "counter",
        [SIM_FAMILY_FLOAT] = "float",       [SIM_FAMILY_STRING] = "string",
        [SIM_FAMILY_RANGE] = "range",       [SIM_FAMILY_BITMAP] = "bitmap",
        [SIM_FAMILY_HASH] = "hash",         [SIM_FAMILY_HASH_COUNT] = "hash-count",
        [SIM_FAMILY_PAIR] = "pair",         [SIM_FAMILY_TIMED] = "timed"};

    CHECK(family < SIM_FAMILY_COUNT);
    return names[family];
}

/* Commands as templates: $k stands for the object, $v a value, $f a field, $n a small number,
 * $o an offset, $t milliseconds, $w the time in milliseconds, $u the number of the request, $c the
 * cursor of an iteration over the fields. */
struct repertoire {
    const char *const *writes;
    size_t write_count;
    const char *const *reads;
    size_t read_count;
    const char *closing;
};
static const char *const register_writes[] = {
    "SET reg:$k $v",     "SET reg:$k $v",   "SET reg:$k $v NX",     "SET reg:$k $v XX",
    "SET reg:$k $v GET", "SETNX reg:$k $v", "GETSET reg:$k $v",     "GETDEL reg:$k",
    "DEL reg:$k",        "UNLINK reg:$k",   "SET reg:$k $v KEEPTTL"};
static const char *const register_reads[] = {"GET reg:$k",
                                             "GET reg:$k",
                                             "GET reg:$k",
                                             "MGET reg:$k",
                                             "EXISTS reg:$k",
                                             "TYPE reg:$k",
                                             "TOUCH reg:$k",
                                             "OBJECT ENCODING reg:$k",
                                             "OBJECT IDLETIME reg:$k",
                                             "OBJECT FREQ reg:$k"};
static const char *const counter_writes[] = {"INCR ctr:$k", "INCRBY ctr:$k $n", "INCRBY ctr:$k $n",
                                             "DECR ctr:$k", "DECRBY ctr:$k $n"};
static const char *const counter_reads[] = {"GET ctr:$k"};
static const char *const float_writes[] = {"INCRBYFLOAT flt:$k $n.25", "INCRBYFLOAT flt:$k -$n.5"};
static const char *const float_reads[] = {"GET flt:$k"};
static const char *const string_writes[] = {
    "APPEND str:$k $u,", "APPEND str:$k $u,", "APPEND str:$k $u,", "APPEND str:$k $u,",
    "APPEND str:$k $u,", "APPEND str:$k $u,", "APPEND str:$k $u,", "APPEND str:$k $u,",
    "APPEND str:$k $u,", "DEL str:$k"};
static const char *const string_reads[] = {"GET str:$k", "GET str:$k", "STRLEN str:$k"};
static const char *const range_writes[] = {"SETRANGE rng:$k $o $u.", "SETRANGE rng:$k $o $u.",
                                           "SET rng:$k $u........", "DEL rng:$k"};
static const char *const range_reads[] = {"GET rng:$k", "GETRANGE rng:$k $o -1",
                                          "GETRANGE rng:$k $o 12", "STRLEN rng:$k"};
static const char *const bitmap_writes[] = {"SETBIT {bit:$k}a $o 1",
                                            "SETBIT {bit:$k}a $o 0",
                                            "SETBIT {bit:$k}b $o 1",
                                            "BITFIELD {bit:$k}a INCRBY u4 #1 $n GET u8 0",
                                            "BITFIELD {bit:$k}a OVERFLOW SAT INCRBY i5 3 $n",
                                            "BITFIELD {bit:$k}b SET u3 2 $n",
                                            "BITOP OR {bit:$k}b {bit:$k}a {bit:$k}b",
                                            "BITOP XOR {bit:$k}a {bit:$k}a {bit:$k}b",
                                            "BITOP NOT {bit:$k}b {bit:$k}a"};
static const char *const bitmap_reads[] = {
    "GETBIT {bit:$k}a $o",         "BITCOUNT {bit:$k}a",
    "BITPOS {bit:$k}a 1",          "MGET {bit:$k}a {bit:$k}b",
    "MGET {bit:$k}a {bit:$k}b",    "BITFIELD_RO {bit:$k}b GET i6 1",
    "LCS {bit:$k}a {bit:$k}b",     "LCS {bit:$k}a {bit:$k}b LEN",
    "LCS {bit:$k}a {bit:$k}b IDX", "LCS {bit:$k}a {bit:$k}b IDX MINMATCHLEN $n WITHMATCHLEN"};
static const char *const hash_writes[] = {"HSET hash:$k f$f $v",      "HSET hash:$k f$f $v",
                                          "HSET hash:$k f0 $v f2 $v", "HMSET hash:$k f1 $v f2 $v",
                                          "HSETNX hash:$k f$f $v",    "HDEL hash:$k f$f",
                                          "HDEL hash:$k f0 f1"};
static const char *const hash_reads[] = {"HGET hash:$k f$f",
                                         "HMGET hash:$k f0 f1 f2",
                                         "HGETALL hash:$k",
                                         "HLEN hash:$k",
                                         "HKEYS hash:$k",
                                         "HVALS hash:$k",
                                         "HEXISTS hash:$k f$f",
                                         "HSCAN hash:$k $c COUNT $n",
                                         "HSCAN hash:$k $c COUNT 1",
                                         "HRANDFIELD hash:$k",
                                         "HRANDFIELD hash:$k $n",
                                         "HRANDFIELD hash:$k -$n WITHVALUES",
                                         "HRANDFIELD hash:$k $n WITHVALUES",
                                         "OBJECT ENCODING hash:$k"};
static const char *const hash_count_writes[] = {"HINCRBY hcnt:$k f$f $n", "HINCRBY hcnt:$k f$f -$n",
                                                "HINCRBY hcnt:$k f$f $n", "HDEL hcnt:$k f$f",
                                                "HINCRBYFLOAT hcnt:$k g $n.5"};
static const char *const hash_count_reads[] = {"HGETALL hcnt:$k", "HGET hcnt:$k f$f",
                                               "HSTRLEN hcnt:$k f$f"};
static const char *const pair_writes[] = {
    "MSET {pair:$k}a $v {pair:$k}b $v",   "MSET {pair:$k}a $v {pair:$k}b $v",
    "MSETNX {pair:$k}a $v {pair:$k}b $v", "SET {pair:$k}a $v",
    "DEL {pair:$k}a {pair:$k}b",          "RENAME {pair:$k}a {pair:$k}b",
    "RENAMENX {pair:$k}b {pair:$k}a",     "COPY {pair:$k}a {pair:$k}b REPLACE",
    "COPY {pair:$k}b {pair:$k}a"};
static const char *const pair_reads[] = {"MGET {pair:$k}a {pair:$k}b", "MGET {pair:$k}b {pair:$k}a",
                                         "EXISTS {pair:$k}a {pair:$k}b"};
static const char *const timed_writes[] = {
    "SET ttl:$k $v PX $t",   "SET ttl:$k $v PX $t",  "PSETEX ttl:$k $t $v",   "SET ttl:$k $v",
    "PEXPIRE ttl:$k $t",     "PEXPIRE ttl:$k $t",    "EXPIRE ttl:$k $n",      "PEXPIREAT ttl:$k $w",
    "PEXPIRE ttl:$k $t NX",  "PEXPIRE ttl:$k $t GT", "PEXPIRE ttl:$k $t LT",  "PERSIST ttl:$k",
    "GETEX ttl:$k PX $t",    "GETEX ttl:$k PERSIST", "SET ttl:$k $v KEEPTTL", "DEL ttl:$k",
    "SET ttl:$k $v NX PX $t"};
static const char *const timed_reads[] = {"GET ttl:$k",   "GET ttl:$k", "GET ttl:$k",
                                          "PTTL ttl:$k",  "TTL ttl:$k", "PEXPIRETIME ttl:$k",
                                          "EXISTS ttl:$k"};
#define ROW(name, closing)                                                                         \
    {                                                                                              \
        name##_writes, ARRAY_COUNT(name##_writes), name##_reads, ARRAY_COUNT(name##_reads),        \
            closing                                                                                \
    }
static const struct repertoire repertoires[SIM_FAMILY_COUNT] = {
    [SIM_FAMILY_REGISTER] = ROW(register, "GET reg:$k"),
    [SIM_FAMILY_COUNTER] = ROW(counter, "GET ctr:$k"),
    [SIM_FAMILY_FLOAT] = ROW(float, "GET flt:$k"),
    [SIM_FAMILY_STRING] = ROW(string, "GET str:$k"),
    [SIM_FAMILY_RANGE] = ROW(range, "GET rng:$k"),
    [SIM_FAMILY_BITMAP] = ROW(bitmap, "MGET {bit:$k}a {bit:$k}b"),
    [SIM_FAMILY_HASH] = ROW(hash, "HGETALL hash:$k"),
    [SIM_FAMILY_HASH_COUNT] = ROW(hash_count, "HGETALL hcnt:$k"),
    [SIM_FAMILY_PAIR] = ROW(pair, "MGET {pair:$k}a {pair:$k}b"),
    [SIM_FAMILY_TIMED] = ROW(timed, "GET ttl:$k"),
};
static const char *const keyspace_reads[] = {"DBSIZE", "KEYS *", "KEYS reg:*", "KEYS *:1*",
                                             "RANDOMKEY"};

static void put_decimal(struct buf *out, uint64_t n)
{
    char text[RESP_INT_TEXT_MAX];

    buf_append(out, text, resp_print_int((int64_t)n, text));
}

/* The text of value number `value`: what it is made of can be told from it. */
static void put_value(const struct sim_request *r, struct prng *dice, uint64_t value,
                      struct buf *out)
{
    /* Letters in turn, from one that depends on the value; copied, for there are many. */
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";
    enum { PERIOD = 26 };
    uint64_t pad = hash64_mix(value, 0xbead) % ((uint64_t)r->value_bytes_max + 1);

    if (!r->sparing && prng_chance(dice, r->habits->big, 1000)) {
        pad = prng_between(dice, r->habits->big_bytes_max / 4, r->habits->big_bytes_max);
    }
    put_u8(out, 'v');
    put_decimal(out, value);
    put_u8(out, '.');
    buf_reserve(out, pad);
    for (uint64_t at = 0; at < pad; at += PERIOD) {
        buf_append(out, letters + value % PERIOD, pad - at < PERIOD ? pad - at : PERIOD);
    }
}

static void put_letter(const struct sim_request *r, struct prng *dice, char letter, struct buf *out)
{
    switch (letter) {
    case 'k':
        put_decimal(out, r->object);
        return;
    case 'f':
        put_decimal(out, prng_below(dice, r->habits->fields));
        return;
    case 'n':
        put_decimal(out, prng_between(dice, 1, 3));
        return;
    case 'o':
        put_decimal(out, prng_below(dice, 12));
        return;
    case 'c':
        if (r->scan->field_cursor[0] != 0 && r->scan->field_object == r->object) {
            buf_append(out, r->scan->field_cursor, strlen(r->scan->field_cursor));
        } else {
            put_u8(out, '0');
        }
        return;
    case 't':
        put_decimal(out, prng_between(dice, 1, 40) * prng_between(dice, 1, 100));
        return;
    case 'w':
        put_decimal(out, r->wall_ms + prng_below(dice, 5000) - 500);
        return;
    case 'u':
        put_decimal(out, r->number);
        return;
    default:
        UNREACHABLE("letter of a template");
    }
}

static void put_words(const struct sim_request *r, struct prng *dice, const char *words,
                      struct buf *out)
{
    uint64_t value = r->number * 4;

    for (const char *at = words; *at != 0;) {
        size_t len = strcspn(at, " "), began = out->len;

        put_u32le(out, 0);
        for (size_t i = 0; i < len; i++) {
            if (at[i] != '$') {
                put_u8(out, (uint8_t)at[i]);
            } else if (at[++i] == 'v') {
                put_value(r, dice, value++, out);
            } else {
                put_letter(r, dice, at[i], out);
            }
        }
        store_u32le(out->data + began, (uint32_t)(out->len - began - 4));
        at += len + (at[len] == ' ');
    }
}

static void put_crossing(const struct sim_request *r, struct prng *dice, struct buf *out)
{
    static const char *const commands[] = {"DEL", "UNLINK", "EXISTS", "TOUCH", "MGET"};
    char words[80];

    (void)snprintf(words, sizeof words, "%s reg:%u ctr:%u hash:%u",
                   commands[prng_below(dice, ARRAY_COUNT(commands))], r->object, r->object,
                   r->object + 1);
    put_words(r, dice, words, out);
}

static void put_keyspace(const struct sim_request *r, struct prng *dice, struct buf *out)
{
    char words[80];

    if (prng_chance(dice, 1, 2) && r->scan->cursor[0] == 0) {
        put_words(r, dice, keyspace_reads[prng_below(dice, ARRAY_COUNT(keyspace_reads))], out);
        return;
    }
    (void)snprintf(words, sizeof words, "SCAN %s COUNT %lu",
                   r->scan->cursor[0] == 0 ? "0" : r->scan->cursor, prng_between(dice, 2, 40));
    put_words(r, dice, words, out);
}

void sim_workload_words(const struct sim_request *r, struct prng *dice, struct buf *out)
{
    const struct repertoire *from = &repertoires[r->family];

    if (r->closing) {
        put_words(r, dice, from->closing, out);
    } else if (prng_chance(dice, r->habits->flushes, 1000000)) {
        put_words(r, dice, prng_chance(dice, 1, 2) ? "FLUSHALL" : "FLUSHDB", out);
    } else if (prng_chance(dice, r->habits->keyspace, 1000)) {
        put_keyspace(r, dice, out);
    } else if (prng_chance(dice, r->habits->crossing, 1000)) {
        put_crossing(r, dice, out);
    } else if (r->family == SIM_FAMILY_HASH && r->scan->field_cursor[0] != 0 &&
               r->scan->field_object == r->object && prng_chance(dice, 1, 3)) {
        put_words(r, dice, "HSCAN hash:$k $c COUNT $n", out);
    } else if (prng_chance(dice, r->read_percent, 100)) {
        put_words(r, dice, from->reads[prng_below(dice, from->read_count)], out);
    } else {
        put_words(r, dice, from->writes[prng_below(dice, from->write_count)], out);
    }
}
