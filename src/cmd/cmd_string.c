/* cmd_string.c - commands on string values.
 *
 * Replies, error texts and the order in which arguments are judged follow Redis
 * 7.0 (t_string.c); test/conform/oracle.c compares them with the real one.
 */
#include "base/base_mem.h"
#include "cmd/cmd_find.h"
#include "cmd/cmd_handlers.h"

#include <math.h>

enum set_flags {
    SET_NX = 1 << 0,
    SET_XX = 1 << 1,
    SET_GET = 1 << 2,
    SET_KEEPTTL = 1 << 3,
    SET_PERSIST = 1 << 4, /* GETEX only */
    SET_EX = 1 << 5,
    SET_PX = 1 << 6,
    SET_EXAT = 1 << 7,
    SET_PXAT = 1 << 8,
    SET_SECONDS = SET_EX | SET_EXAT,
    SET_RELATIVE = SET_EX | SET_PX,
    SET_EXPIRE = SET_EX | SET_PX | SET_EXAT | SET_PXAT,
};

#define ERR_TOO_LONG "ERR string exceeds maximum allowed size (proto-max-bulk-len)"
#define ERR_OVERFLOW "ERR increment or decrement would overflow"

/* Options that differ only in name, and what may not stand beside them. A word may
 * be repeated; of repeated expiries the last counts. */
struct set_option {
    struct slice name;
    unsigned flag, excludes;
    bool for_set, for_getex;
};
static const struct set_option set_options[] = {
    {SLICE("NX"), SET_NX, SET_XX, true, false},
    {SLICE("XX"), SET_XX, SET_NX, true, false},
    {SLICE("GET"), SET_GET, 0, true, false},
    {SLICE("KEEPTTL"), SET_KEEPTTL, SET_PERSIST | SET_EXPIRE, true, false},
    {SLICE("PERSIST"), SET_PERSIST, SET_KEEPTTL | SET_EXPIRE, false, true},
    {SLICE("EX"), SET_EX, SET_KEEPTTL | SET_PERSIST | (SET_EXPIRE & ~SET_EX), true, true},
    {SLICE("PX"), SET_PX, SET_KEEPTTL | SET_PERSIST | (SET_EXPIRE & ~SET_PX), true, true},
    {SLICE("EXAT"), SET_EXAT, SET_KEEPTTL | SET_PERSIST | (SET_EXPIRE & ~SET_EXAT), true, true},
    {SLICE("PXAT"), SET_PXAT, SET_KEEPTTL | SET_PERSIST | (SET_EXPIRE & ~SET_PXAT), true, true},
};

/* Read the options from argv[first] on. *expire_pos: where the time stands, if one
 * does. False: the error is written. */
static bool set_parse_options(struct call *c, uint32_t first, bool getex, unsigned *flags,
                              uint32_t *expire_pos)
{
    for (uint32_t pos = first; pos < c->argc; pos++) {
        const struct set_option *found = NULL;

        for (size_t i = 0; i < ARRAY_COUNT(set_options); i++) {
            const struct set_option *o = &set_options[i];

            if ((getex ? o->for_getex : o->for_set) && cmd_arg_is(c, pos, o->name)) {
                found = o;
                break;
            }
        }
        if (found == NULL || (*flags & found->excludes) != 0 ||
            ((found->flag & SET_EXPIRE) != 0 && pos + 1 == c->argc)) {
            resp_put_error(&c->out, CMD_ERR_SYNTAX);
            return false;
        }
        *flags |= found->flag;
        if ((found->flag & SET_EXPIRE) != 0) {
            *expire_pos = ++pos;
        }
    }
    CHECK(((*flags & SET_EXPIRE) != 0) == (*expire_pos != 0));
    return true;
}

/* The absolute time that argv[pos] means under these flags. */
static bool set_parse_expire(struct call *c, unsigned flags, uint32_t pos, uint64_t *expire_ms)
{
    int64_t value;
    uint64_t ms;

    if (!cmd_arg_int(c, pos, &value)) {
        return false;
    }
    if (value <= 0 || ((flags & SET_SECONDS) != 0 && value > INT64_MAX / 1000)) {
        goto invalid;
    }
    ms = (uint64_t)value * ((flags & SET_SECONDS) != 0 ? 1000U : 1U);
    if ((flags & SET_RELATIVE) != 0) {
        ms += c->now_ms;
    }
    if (ms > INT64_MAX) {
        goto invalid;
    }
    *expire_ms = ms;
    return true;
invalid:
    resp_put_errorf(&c->out, "ERR invalid expire time in '%s' command", c->cmd->name);
    return false;
}

/* Write the value as GET does; it may be NULL. */
static void put_string_or_null(struct call *c, const struct store_item *it)
{
    char scratch[STORE_INT_TEXT_MAX];

    if (it == NULL) {
        resp_put_null(&c->out);
    } else if (!c->out.mute) {
        resp_put_bulk(&c->out, store_string(it, scratch));
    }
}

/* Give the key this value. A time that is already past means that it goes at once. */
static void set_value(struct call *c, struct slice key, struct slice value, uint64_t expire_ms)
{
    if (expire_ms != 0 && expire_ms <= c->now_ms) {
        (void)store_del(c->store, key);
    } else {
        (void)store_set_string(c->store, key, value, expire_ms);
    }
    c->changed = true;
}

static void set_with_options(struct call *c)
{
    struct slice key = c->argv[1];
    struct store_item *it;
    unsigned flags = 0;
    uint32_t expire_pos = 0;
    uint64_t expire_ms = 0;

    if (!set_parse_options(c, 3, false, &flags, &expire_pos)) {
        return;
    }
    if (expire_pos != 0 && !set_parse_expire(c, flags, expire_pos, &expire_ms)) {
        return;
    }
    it = store_find_write(c->store, key, c->now_ms);
    if ((flags & SET_GET) != 0) {
        if (it != NULL && store_item_type(it) != STORE_STRING) {
            resp_put_error(&c->out, CMD_ERR_WRONGTYPE);
            return;
        }
        put_string_or_null(c, it);
    }
    if (((flags & SET_NX) != 0 && it != NULL) || ((flags & SET_XX) != 0 && it == NULL)) {
        if ((flags & SET_GET) == 0) {
            resp_put_null(&c->out);
        }
        return;
    }
    if ((flags & SET_KEEPTTL) != 0 && it != NULL) {
        expire_ms = store_item_expire_ms(it);
    }
    set_value(c, key, c->argv[2], expire_ms);
    if ((flags & SET_GET) == 0) {
        resp_put_simple(&c->out, "OK");
    }
}

void cmd_set(struct call *c)
{
    if (c->argc > 3) {
        set_with_options(c);
        return;
    }
    (void)store_set_string(c->store, c->argv[1], c->argv[2], 0);
    c->changed = true;
    resp_put_simple(&c->out, "OK");
}

void cmd_setnx(struct call *c)
{
    if (store_find_write(c->store, c->argv[1], c->now_ms) != NULL) {
        resp_put_int(&c->out, 0);
        return;
    }
    (void)store_set_string(c->store, c->argv[1], c->argv[2], 0);
    c->changed = true;
    resp_put_int(&c->out, 1);
}

static void set_with_time(struct call *c, unsigned flags)
{
    uint64_t expire_ms;

    if (!set_parse_expire(c, flags, 2, &expire_ms)) {
        return;
    }
    set_value(c, c->argv[1], c->argv[3], expire_ms);
    resp_put_simple(&c->out, "OK");
}

void cmd_setex(struct call *c)
{
    set_with_time(c, SET_EX);
}

void cmd_psetex(struct call *c)
{
    set_with_time(c, SET_PX);
}

void cmd_get(struct call *c)
{
    struct store_item *it;

    if (cmd_find_read(c, c->argv[1], STORE_STRING, &it)) {
        put_string_or_null(c, it);
    }
}

void cmd_getset(struct call *c)
{
    struct store_item *it;

    if (!cmd_find_write(c, c->argv[1], STORE_STRING, &it)) {
        return;
    }
    put_string_or_null(c, it);
    (void)store_set_string(c->store, c->argv[1], c->argv[2], 0);
    c->changed = true;
}

void cmd_getdel(struct call *c)
{
    struct store_item *it;

    if (!cmd_find_write(c, c->argv[1], STORE_STRING, &it)) {
        return;
    }
    put_string_or_null(c, it);
    if (it != NULL) {
        c->changed = store_del(c->store, c->argv[1]);
        CHECK(c->changed);
    }
}

void cmd_getex(struct call *c)
{
    struct store_item *it;
    unsigned flags = 0;
    uint32_t expire_pos = 0;
    uint64_t expire_ms = 0;

    if (!set_parse_options(c, 2, true, &flags, &expire_pos) ||
        !cmd_find_write(c, c->argv[1], STORE_STRING, &it)) {
        return;
    }
    if (it != NULL && expire_pos != 0 && !set_parse_expire(c, flags, expire_pos, &expire_ms)) {
        return; /* of an absent key Redis does not look at the time */
    }
    put_string_or_null(c, it);
    if (it == NULL || (flags & (SET_EXPIRE | SET_PERSIST)) == 0) {
        return;
    }
    if (expire_ms != 0 && expire_ms <= c->now_ms) {
        (void)store_del(c->store, c->argv[1]);
        c->changed = true;
    } else if (expire_ms != store_item_expire_ms(it)) {
        store_set_expire(c->store, c->argv[1], expire_ms);
        c->changed = true;
    }
}

/* Would a string of `size` bytes be too long? Writes the error if so. */
static bool too_long(struct call *c, uint64_t size)
{
    if (LIKELY(size <= STORE_STRING_BYTES_MAX)) {
        return false;
    }
    resp_put_error(&c->out, ERR_TOO_LONG);
    return true;
}

void cmd_append(struct call *c)
{
    struct slice more = c->argv[2];
    struct store_item *it;
    size_t len;

    if (!cmd_find_write(c, c->argv[1], STORE_STRING, &it)) {
        return;
    }
    len = it == NULL ? 0 : store_string_len(it);
    if (it != NULL && too_long(c, (uint64_t)len + more.len)) {
        return;
    }
    if (it == NULL) {
        (void)store_set_string(c->store, c->argv[1], more, 0);
        c->changed = true;
    } else {
        (void)store_string_write(c->store, c->argv[1], len, more);
        c->changed = more.len > 0;
    }
    resp_put_int(&c->out, (int64_t)(len + more.len));
}

void cmd_strlen(struct call *c)
{
    struct store_item *it;

    if (cmd_find_read(c, c->argv[1], STORE_STRING, &it)) {
        resp_put_int(&c->out, it == NULL ? 0 : (int64_t)store_string_len(it));
    }
}

static void incr_by(struct call *c, int64_t by)
{
    char scratch[STORE_INT_TEXT_MAX];
    struct store_item *it;
    int64_t value = 0;

    if (!cmd_find_write(c, c->argv[1], STORE_STRING, &it)) {
        return;
    }
    if (it != NULL && !store_string_int(it, &value) &&
        !cmd_parse_int(store_string(it, scratch), &value)) {
        resp_put_error(&c->out, CMD_ERR_NOT_INT);
        return;
    }
    if (__builtin_add_overflow(value, by, &value)) {
        resp_put_error(&c->out, ERR_OVERFLOW);
        return;
    }
    (void)store_set_int(c->store, c->argv[1], value, it == NULL ? 0 : store_item_expire_ms(it));
    c->changed = true;
    resp_put_int(&c->out, value);
}

void cmd_incr(struct call *c)
{
    incr_by(c, 1);
}

void cmd_decr(struct call *c)
{
    incr_by(c, -1);
}

void cmd_incrby(struct call *c)
{
    int64_t by;

    if (cmd_arg_int(c, 2, &by)) {
        incr_by(c, by);
    }
}

void cmd_decrby(struct call *c)
{
    int64_t by;

    if (!cmd_arg_int(c, 2, &by)) {
        return;
    }
    if (by == INT64_MIN) { /* has no opposite */
        resp_put_error(&c->out, "ERR decrement would overflow");
        return;
    }
    incr_by(c, -by);
}

void cmd_incrbyfloat(struct call *c)
{
    char scratch[STORE_INT_TEXT_MAX], text[5 * 1024];
    struct store_item *it;
    long double value = 0, by;
    struct slice printed;

    if (!cmd_find_write(c, c->argv[1], STORE_STRING, &it)) {
        return;
    }
    if ((it != NULL && !cmd_parse_long_double(store_string(it, scratch), &value)) ||
        !cmd_parse_long_double(c->argv[2], &by)) {
        resp_put_error(&c->out, CMD_ERR_NOT_FLOAT);
        return;
    }
    value += by;
    if (!isfinite(value)) {
        resp_put_error(&c->out, "ERR increment would produce NaN or Infinity");
        return;
    }
    printed = (struct slice){(const uint8_t *)text, cmd_print_long_double(value, text)};
    (void)store_set_string(c->store, c->argv[1], printed,
                           it == NULL ? 0 : store_item_expire_ms(it));
    c->changed = true;
    resp_put_bulk(&c->out, printed);
}

void cmd_getrange(struct call *c)
{
    char scratch[STORE_INT_TEXT_MAX];
    struct store_item *it;
    struct slice value = {NULL, 0};
    int64_t start, end, len;

    if (!cmd_arg_int(c, 2, &start) || !cmd_arg_int(c, 3, &end) ||
        !cmd_find_read(c, c->argv[1], STORE_STRING, &it)) {
        return;
    }
    if (it != NULL) {
        value = store_string(it, scratch);
    }
    len = (int64_t)value.len;
    if (len == 0 || (start < 0 && end < 0 && start > end)) {
        goto empty;
    }
    start = start < 0 ? start + len : start;
    end = end < 0 ? end + len : end;
    start = start < 0 ? 0 : start;
    end = end < 0 ? 0 : end;
    end = end >= len ? len - 1 : end;
    if (start > end) {
        goto empty;
    }
    resp_put_bulk(&c->out, (struct slice){value.data + start, (size_t)(end - start + 1)});
    return;
empty:
    resp_put_bulk(&c->out, SLICE(""));
}

void cmd_substr(struct call *c)
{
    cmd_getrange(c);
}

void cmd_setrange(struct call *c)
{
    struct slice bytes = c->argv[3];
    struct store_item *it;
    int64_t offset;
    size_t len, end;

    if (!cmd_arg_int(c, 2, &offset)) {
        return;
    }
    if (offset < 0) {
        resp_put_error(&c->out, "ERR offset is out of range");
        return;
    }
    if (!cmd_find_write(c, c->argv[1], STORE_STRING, &it)) {
        return;
    }
    len = it == NULL ? 0 : store_string_len(it);
    if (bytes.len == 0) { /* nothing to write: an absent key stays absent */
        resp_put_int(&c->out, (int64_t)len);
        return;
    }
    if (too_long(c, (uint64_t)offset + bytes.len)) {
        return;
    }
    (void)store_string_write(c->store, c->argv[1], (size_t)offset, bytes);
    c->changed = true;
    end = (size_t)offset + bytes.len;
    resp_put_int(&c->out, (int64_t)(end > len ? end : len));
}

void cmd_mget(struct call *c)
{
    resp_put_array(&c->out, c->argc - 1);
    for (uint32_t pos = 1; pos < c->argc; pos++) {
        struct store_item *it = store_find(c->store, c->argv[pos], c->now_ms, c->access_s);

        /* A key of another type counts as absent here. */
        put_string_or_null(c, it != NULL && store_item_type(it) == STORE_STRING ? it : NULL);
    }
}

/* Pairs must be complete. */
static bool mset_arity_ok(struct call *c)
{
    if (c->argc % 2 == 1) {
        return true;
    }
    cmd_reject_arity(&c->out, c->cmd);
    return false;
}

static void mset_all(struct call *c)
{
    for (uint32_t pos = 1; pos < c->argc; pos += 2) {
        (void)store_set_string(c->store, c->argv[pos], c->argv[pos + 1], 0);
    }
    c->changed = true;
}

void cmd_mset(struct call *c)
{
    if (mset_arity_ok(c)) {
        mset_all(c);
        resp_put_simple(&c->out, "OK");
    }
}

void cmd_msetnx(struct call *c)
{
    if (!mset_arity_ok(c)) {
        return;
    }
    for (uint32_t pos = 1; pos < c->argc; pos += 2) {
        if (store_find_write(c->store, c->argv[pos], c->now_ms) != NULL) {
            resp_put_int(&c->out, 0);
            return;
        }
    }
    mset_all(c);
    resp_put_int(&c->out, 1);
}
