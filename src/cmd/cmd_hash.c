/* cmd_hash.c - commands on hashes: field -> value.
 *
 * Replies, error texts and the order in which arguments are judged follow Redis
 * 7.0 (t_hash.c, and db.c for HSCAN). The order of fields is the store's.
 */
#include "base/base_map.h"
#include "base/base_mem.h"
#include "cmd/cmd_find.h"
#include "cmd/cmd_handlers.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Pairs must be complete. */
static bool hset_all(struct call *c, int64_t *created)
{
    struct store_item *it;

    *created = 0;
    if (c->argc % 2 == 1) {
        cmd_reject_arity(&c->out, c->cmd);
        return false;
    }
    if (!cmd_find_write(c, c->argv[1], STORE_HASH, &it)) {
        return false;
    }
    for (uint32_t pos = 2; pos < c->argc; pos += 2) {
        *created += store_hash_set(c->store, c->argv[1], c->argv[pos], c->argv[pos + 1]);
    }
    c->changed = true;
    return true;
}

void cmd_hset(struct call *c)
{
    int64_t created;

    if (hset_all(c, &created)) {
        resp_put_int(&c->out, created);
    }
}

void cmd_hmset(struct call *c)
{
    int64_t created;

    if (hset_all(c, &created)) {
        resp_put_simple(&c->out, "OK");
    }
}

void cmd_hsetnx(struct call *c)
{
    struct store_item *it;
    struct slice value;

    if (!cmd_find_write(c, c->argv[1], STORE_HASH, &it)) {
        return;
    }
    if (it != NULL && store_hash_get(it, c->argv[2], &value)) {
        resp_put_int(&c->out, 0);
        return;
    }
    (void)store_hash_set(c->store, c->argv[1], c->argv[2], c->argv[3]);
    c->changed = true;
    resp_put_int(&c->out, 1);
}

/* The field's value, or null; it may be NULL. */
static void put_field(struct call *c, const struct store_item *it, struct slice field)
{
    struct slice value;

    if (it != NULL && store_hash_get(it, field, &value)) {
        resp_put_bulk(&c->out, value);
    } else {
        resp_put_null(&c->out);
    }
}

void cmd_hget(struct call *c)
{
    struct store_item *it;

    if (cmd_find_read(c, c->argv[1], STORE_HASH, &it)) {
        put_field(c, it, c->argv[2]);
    }
}

void cmd_hmget(struct call *c)
{
    struct store_item *it;

    if (!cmd_find_read(c, c->argv[1], STORE_HASH, &it)) {
        return;
    }
    resp_put_array(&c->out, c->argc - 2);
    for (uint32_t pos = 2; pos < c->argc; pos++) {
        put_field(c, it, c->argv[pos]);
    }
}

void cmd_hincrby(struct call *c)
{
    char text[STORE_INT_TEXT_MAX + 1];
    struct store_item *it;
    struct slice old;
    int64_t by, value = 0;
    int len;

    if (!cmd_arg_int(c, 3, &by) || !cmd_find_write(c, c->argv[1], STORE_HASH, &it)) {
        return;
    }
    if (it != NULL && store_hash_get(it, c->argv[2], &old) && !cmd_parse_int(old, &value)) {
        resp_put_error(&c->out, "ERR hash value is not an integer");
        return;
    }
    if (__builtin_add_overflow(value, by, &value)) {
        resp_put_error(&c->out, "ERR increment or decrement would overflow");
        return;
    }
    len = snprintf(text, sizeof(text), "%" PRId64, value);
    CHECK(len > 0 && (size_t)len < sizeof(text));
    (void)store_hash_set(c->store, c->argv[1], c->argv[2],
                         (struct slice){(const uint8_t *)text, (size_t)len});
    c->changed = true;
    resp_put_int(&c->out, value);
}

void cmd_hincrbyfloat(struct call *c)
{
    char text[5 * 1024];
    struct store_item *it;
    struct slice old, printed;
    long double by, value = 0;

    if (!cmd_parse_long_double(c->argv[3], &by)) {
        resp_put_error(&c->out, CMD_ERR_NOT_FLOAT);
        return;
    }
    if (!isfinite(by)) {
        resp_put_error(&c->out, "ERR value is NaN or Infinity");
        return;
    }
    if (!cmd_find_write(c, c->argv[1], STORE_HASH, &it)) {
        return;
    }
    if (it != NULL && store_hash_get(it, c->argv[2], &old) && !cmd_parse_long_double(old, &value)) {
        resp_put_error(&c->out, "ERR hash value is not a float");
        return;
    }
    value += by;
    if (!isfinite(value)) {
        resp_put_error(&c->out, "ERR increment would produce NaN or Infinity");
        return;
    }
    printed = (struct slice){(const uint8_t *)text, cmd_print_long_double(value, text)};
    (void)store_hash_set(c->store, c->argv[1], c->argv[2], printed);
    c->changed = true;
    resp_put_bulk(&c->out, printed);
}

void cmd_hdel(struct call *c)
{
    struct store_item *it;
    int64_t deleted = 0;

    if (!cmd_find_write(c, c->argv[1], STORE_HASH, &it)) {
        return;
    }
    if (it != NULL) {
        size_t left = store_hash_len(it);

        for (uint32_t pos = 2; pos < c->argc && left > 0; pos++) {
            if (store_hash_del(c->store, c->argv[1], c->argv[pos])) {
                deleted++;
                left--;
            }
        }
    }
    c->changed = deleted > 0;
    resp_put_int(&c->out, deleted);
}

void cmd_hlen(struct call *c)
{
    struct store_item *it;

    if (cmd_find_read(c, c->argv[1], STORE_HASH, &it)) {
        resp_put_int(&c->out, it == NULL ? 0 : (int64_t)store_hash_len(it));
    }
}

void cmd_hstrlen(struct call *c)
{
    struct store_item *it;
    struct slice value;

    if (cmd_find_read(c, c->argv[1], STORE_HASH, &it)) {
        bool found = it != NULL && store_hash_get(it, c->argv[2], &value);

        resp_put_int(&c->out, found ? (int64_t)value.len : 0);
    }
}

void cmd_hexists(struct call *c)
{
    struct store_item *it;
    struct slice value;

    if (cmd_find_read(c, c->argv[1], STORE_HASH, &it)) {
        resp_put_int(&c->out, it != NULL && store_hash_get(it, c->argv[2], &value));
    }
}

/* The items of the reply, without its header. */
static void put_all(struct call *c, const struct store_item *it, bool fields, bool values)
{
    struct store_hash_cursor cursor = {0};
    struct slice field, value;

    while (store_hash_next(it, &cursor, &field, &value)) {
        if (fields) {
            resp_put_bulk(&c->out, field);
        }
        if (values) {
            resp_put_bulk(&c->out, value);
        }
    }
}

static void get_all(struct call *c, bool fields, bool values)
{
    struct store_item *it;
    size_t count;

    if (!cmd_find_read(c, c->argv[1], STORE_HASH, &it)) {
        return;
    }
    count = it == NULL ? 0 : store_hash_len(it);
    if (fields && values) {
        resp_put_map(&c->out, count);
    } else {
        resp_put_array(&c->out, count);
    }
    if (it != NULL && !c->out.mute) {
        put_all(c, it, fields, values);
    }
}

void cmd_hkeys(struct call *c)
{
    get_all(c, true, false);
}

void cmd_hvals(struct call *c)
{
    get_all(c, false, true);
}

void cmd_hgetall(struct call *c)
{
    get_all(c, true, true);
}

/* --- HSCAN ---------------------------------------------------------------- */

struct hscan {
    uint64_t cursor;
    size_t count;
    bool match;
    struct slice pattern;
    struct buf found; /* struct slice, field and value in turn */
};

/* As strtoul reads it, which is what Redis does: "", "+1" and "-1" are numbers. */
static bool hscan_parse_cursor(struct call *c, struct hscan *h)
{
    struct slice arg = c->argv[2];
    char text[64], *end;

    if (arg.len < sizeof(text) && (arg.len == 0 || !isspace(arg.data[0]))) {
        memcpy(text, arg.len == 0 ? (const uint8_t *)"" : arg.data, arg.len);
        text[arg.len] = '\0';
        errno = 0;
        h->cursor = strtoul(text, &end, 10);
        if (end == text + arg.len && errno != ERANGE) {
            return true;
        }
    }
    resp_put_error(&c->out, "ERR invalid cursor");
    return false;
}

static bool hscan_parse_options(struct call *c, struct hscan *h)
{
    int64_t count = 10;

    for (uint32_t pos = 3; pos < c->argc; pos += 2) {
        if (cmd_arg_is(c, pos, SLICE("COUNT")) && pos + 1 < c->argc) {
            if (!cmd_arg_int(c, pos + 1, &count)) {
                return false;
            }
            if (count < 1) {
                resp_put_error(&c->out, CMD_ERR_SYNTAX);
                return false;
            }
        } else if (cmd_arg_is(c, pos, SLICE("MATCH")) && pos + 1 < c->argc) {
            h->match = true;
            h->pattern = c->argv[pos + 1];
        } else {
            resp_put_error(&c->out, CMD_ERR_SYNTAX);
            return false;
        }
    }
    h->count = (size_t)count;
    return true;
}

static void hscan_visit(void *arg, struct slice field, struct slice value)
{
    struct hscan *h = arg;

    if (!h->match || cmd_glob(h->pattern, field, false)) {
        buf_append(&h->found, &field, sizeof(field));
        buf_append(&h->found, &value, sizeof(value));
    }
}

/* A small hash is returned whole, whatever cursor and count were given, as Redis
 * does for its compact encoding. */
static uint64_t hscan_run(const struct store_item *it, struct hscan *h)
{
    struct store_hash_cursor cursor = {0};
    struct slice field, value;

    if (strcmp(store_item_encoding(it), "listpack") != 0) {
        return store_hash_scan(it, h->cursor, h->count, hscan_visit, h);
    }
    while (store_hash_next(it, &cursor, &field, &value)) {
        hscan_visit(h, field, value);
    }
    return 0;
}

void cmd_hscan(struct call *c)
{
    struct hscan h = {0};
    struct store_item *it;
    uint64_t next = 0;
    size_t count;

    if (!hscan_parse_cursor(c, &h) || !cmd_find_read(c, c->argv[1], STORE_HASH, &it)) {
        return;
    }
    if (it != NULL) { /* of an absent key Redis does not look at the options */
        if (!hscan_parse_options(c, &h)) {
            return;
        }
        next = hscan_run(it, &h);
    }
    count = h.found.len / sizeof(struct slice);
    resp_put_array(&c->out, 2);
    resp_put_bulkf(&c->out, "%" PRIu64, next);
    resp_put_array(&c->out, count);
    for (size_t i = 0; i < count; i++) {
        struct slice s;

        memcpy(&s, h.found.data + i * sizeof(s), sizeof(s));
        resp_put_bulk(&c->out, s);
    }
    buf_free(&h.found);
}

/* --- HRANDFIELD ----------------------------------------------------------- */

/* A reply longer than this is refused: with a negative count one small hash could
 * otherwise be asked to repeat itself for ever. */
enum { HRANDFIELD_REPLY_BYTES_MAX = STORE_STRING_BYTES_MAX };

/* How fields are put: with their values or not. */
static void put_pair(struct call *c, bool with_values, struct slice field, struct slice value)
{
    if (with_values && c->out.proto > 2) {
        resp_put_array(&c->out, 2);
    }
    resp_put_bulk(&c->out, field);
    if (with_values) {
        resp_put_bulk(&c->out, value);
    }
}

static void put_pairs_header(struct call *c, bool with_values, uint64_t count)
{
    resp_put_array(&c->out, with_values && c->out.proto == 2 ? count * 2 : count);
}

/* count fields, each chosen anew. */
static void random_repeated(struct call *c, const struct store_item *it, uint64_t count,
                            bool with_values)
{
    size_t begin = c->out.out->len;

    put_pairs_header(c, with_values, count);
    for (uint64_t i = 0; i < count; i++) {
        struct slice field, value;

        store_hash_random(it, &c->rng, &field, &value);
        put_pair(c, with_values, field, value);
        if (c->out.out->len - begin > HRANDFIELD_REPLY_BYTES_MAX) {
            c->out.out->len = begin;
            resp_put_error(&c->out, "ERR value is out of range");
            return;
        }
    }
}

/* count different fields of many: draw, and draw again those already drawn. */
static void random_few(struct call *c, const struct store_item *it, uint64_t count,
                       bool with_values)
{
    struct map64 drawn = {0};

    while (drawn.count < count) {
        struct slice field, value;
        uint64_t place;

        store_hash_random(it, &c->rng, &field, &value);
        place = (uint64_t)(uintptr_t)field.data; /* names it: nothing moves during a read */
        if (map64_get(&drawn, place) == NULL) {
            (void)map64_put(&drawn, place, &drawn);
            put_pair(c, with_values, field, value);
        }
    }
    map64_free(&drawn);
}

/* count different fields, most of them: one walk, each taken with the chance that it
 * is still needed [Knuth, TAOCP 2, 3.4.2 S]. */
static void random_most(struct call *c, const struct store_item *it, uint64_t count,
                        bool with_values)
{
    struct store_hash_cursor cursor = {0};
    struct slice field, value;
    uint64_t left = store_hash_len(it);

    while (count > 0) {
        bool more = store_hash_next(it, &cursor, &field, &value);

        CHECK(more);
        if (prng_chance(&c->rng, count, left)) {
            put_pair(c, with_values, field, value);
            count--;
        }
        left--;
    }
}

static void random_fields(struct call *c, const struct store_item *it, int64_t count,
                          bool with_values)
{
    uint64_t size = it == NULL ? 0 : store_hash_len(it);
    uint64_t want = count < 0 ? (uint64_t)-count : (uint64_t)count;

    if (size == 0 || want == 0) {
        resp_put_array(&c->out, 0);
        return;
    }
    if (c->out.mute) {
        return;
    }
    if (count < 0) {
        random_repeated(c, it, want, with_values);
        return;
    }
    want = want < size ? want : size;
    put_pairs_header(c, with_values, want);
    if (want * 3 < size) {
        random_few(c, it, want, with_values);
    } else {
        random_most(c, it, want, with_values);
    }
}

void cmd_hrandfield(struct call *c)
{
    struct slice field, value;
    struct store_item *it;
    int64_t count = 0;
    bool with_values = c->argc == 4;

    if (c->argc >= 3) {
        if (!cmd_arg_int(c, 2, &count)) {
            return;
        }
        if (count == INT64_MIN) { /* has no opposite */
            resp_put_errorf(
                &c->out, "ERR value is out of range, value must between %" PRId64 " and %" PRId64,
                -INT64_MAX, INT64_MAX);
            return;
        }
        if (c->argc > 4 || (with_values && !cmd_arg_is(c, 3, SLICE("WITHVALUES")))) {
            resp_put_error(&c->out, CMD_ERR_SYNTAX);
            return;
        }
        if (with_values && (count < -INT64_MAX / 2 || count > INT64_MAX / 2)) {
            resp_put_error(&c->out, "ERR value is out of range");
            return;
        }
    }
    if (!cmd_find_read(c, c->argv[1], STORE_HASH, &it)) {
        return;
    }
    if (c->argc >= 3) {
        random_fields(c, it, count, with_values);
    } else if (it == NULL) {
        resp_put_null(&c->out);
    } else {
        store_hash_random(it, &c->rng, &field, &value);
        resp_put_bulk(&c->out, field);
    }
}
