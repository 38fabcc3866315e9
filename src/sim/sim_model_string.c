/* Strings and numbers in strings. */
#include "sim/sim_model_internal.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { VALUE_BYTES_MAX = 512 << 20 };

static bool wrong_type(const struct sim_run *r)
{
    return says_error(r, "WRONGTYPE");
}

int run_time_option(const struct sim_run *r, uint32_t *i, struct sim_key_state *k)
{
    static const struct {
        const char *name;
        int64_t factor;
        bool absolute;
    } options[] = {{"EX", 1000, false}, {"PX", 1, false}, {"EXAT", 1000, true}, {"PXAT", 1, true}};

    for (size_t o = 0; o < ARRAY_COUNT(options); o++) {
        int64_t n;

        if (!run_word_is(r, *i, options[o].name)) {
            continue;
        }
        if (!run_word_int(r, *i + 1, &n) || n <= 0 || n > INT64_MAX / 1000000) {
            return -1;
        }
        if (options[o].absolute) {
            run_deadline_at(r, k, n * options[o].factor);
        } else {
            run_deadline_in(r, k, n * options[o].factor);
        }
        *i += 2;
        return 1;
    }
    return 0;
}

static bool run_set_command(const struct sim_run *r)
{
    struct sim_key_state *k = run_key(r, 0), old = *k, next = {0};
    bool nx = false, xx = false, get = false, keep = false;

    run_set(&next, r->c->words[2]);
    for (uint32_t i = 3; i < r->c->word_count;) {
        int timed = run_time_option(r, &i, &next);

        if (timed < 0) {
            return says_error(r, "ERR");
        }
        if (timed > 0) {
            continue;
        }
        nx = nx || run_word_is(r, i, "NX");
        xx = xx || run_word_is(r, i, "XX");
        get = get || run_word_is(r, i, "GET");
        keep = keep || run_word_is(r, i, "KEEPTTL");
        i++;
    }
    if (get && run_found(&old) == SIM_HASH) {
        return wrong_type(r);
    }
    if (!(nx && old.value != 0) && !(xx && old.value == 0)) {
        *k = next;
        if (keep) {
            k->lo_ms = old.lo_ms;
            k->hi_ms = old.hi_ms;
            k->rel_ms = old.rel_ms;
        }
        return get ? says_value(r, old.value) : says_ok(r);
    }
    return get ? says_value(r, old.value) : says_null(r);
}

static bool run_getex(const struct sim_run *r)
{
    struct sim_key_state *k = run_key(r, 0), old = *k;
    uint32_t i = 2;

    if (run_found(k) != SIM_STRING) {
        return run_found(k) == SIM_MISSING ? says_null(r) : wrong_type(r);
    }
    if (run_word_is(r, i, "PERSIST")) {
        run_set(k, old.value >> 1);
    } else if (i < r->c->word_count && run_time_option(r, &i, k) < 0) {
        return says_error(r, "ERR");
    }
    return says_value(r, old.value);
}

static bool run_getrange(const struct sim_run *r)
{
    struct sim_key_state *k = run_key(r, 0);
    struct slice text = run_text(r, k);
    int64_t from, to;

    if (!run_word_int(r, 2, &from) || !run_word_int(r, 3, &to)) {
        return says_error(r, "ERR");
    }
    if (run_found(k) == SIM_HASH) {
        return wrong_type(r);
    }
    text = run_range(&from, &to, (int64_t)text.len)
               ? (struct slice){text.data + from, (size_t)(to - from) + 1}
               : SLICE("");
    return says_bulk(r, sim_blob_put(&r->m->blobs, text));
}

static bool run_setrange(const struct sim_run *r)
{
    struct sim_key_state *k = run_key(r, 0);
    struct slice old = run_text(r, k), with = run_word(r, 3);
    struct buf *b = &r->m->scratch;
    int64_t at;

    if (!run_word_int(r, 2, &at) || at < 0) {
        return says_error(r, "ERR");
    }
    if (run_found(k) == SIM_HASH) {
        return wrong_type(r);
    }
    if (with.len == 0) {
        return says_int(r, (int64_t)old.len);
    }
    if (at > VALUE_BYTES_MAX - (int64_t)with.len) {
        return says_error(r, "ERR");
    }
    b->len = 0;
    buf_append_slice(b, old);
    if (b->len < (size_t)at + with.len) {
        size_t more = (size_t)at + with.len - b->len;

        buf_reserve(b, more);
        memset(b->data + b->len, 0, more);
        b->len += more;
    }
    memcpy(b->data + at, with.data, with.len);
    run_change(r, k, buf_slice(b));
    return says_int(r, (int64_t)b->len);
}

static bool run_append(const struct sim_run *r)
{
    struct sim_key_state *k = run_key(r, 0);
    struct buf *b = &r->m->scratch;

    if (run_found(k) == SIM_HASH) {
        return wrong_type(r);
    }
    b->len = 0;
    buf_append_slice(b, run_text(r, k));
    buf_append_slice(b, run_word(r, 2));
    run_change(r, k, buf_slice(b));
    return says_int(r, (int64_t)b->len);
}

static bool run_mget(const struct sim_run *r)
{
    bool same = says_array(r, r->c->key_count);

    for (uint32_t i = 0; i < r->c->key_count && same; i++) {
        const struct sim_key_state *k = run_key(r, i);

        same = says_nth(r, i, run_found(k) == SIM_STRING ? k->value >> 1 : 0);
    }
    return same;
}

static bool run_mset(const struct sim_run *r, bool nx)
{
    for (uint32_t i = 0; i < r->c->key_count && nx; i++) {
        if (run_key(r, i)->value != 0) {
            return says_int(r, 0);
        }
    }
    for (uint32_t i = 0; i < r->c->key_count; i++) {
        run_set(run_key(r, i), r->c->words[2 * i + 2]);
    }
    return nx ? says_int(r, 1) : says_ok(r);
}

static bool run_setex(const struct sim_run *r, int64_t factor)
{
    struct sim_key_state *k = run_key(r, 0);
    int64_t n;

    if (!run_word_int(r, 2, &n) || n <= 0 || n > INT64_MAX / 1000000) {
        return says_error(r, "ERR");
    }
    run_set(k, r->c->words[3]);
    run_deadline_in(r, k, n * factor);
    return says_ok(r);
}

bool run_string(const struct sim_run *r)
{
    enum sim_command_id id = r->c->cmd->id;
    struct sim_key_state *k = run_key(r, 0), old = *k;

    if (id == SIM_SET) {
        return run_set_command(r);
    }
    if (id == SIM_SETNX) {
        if (k->value == 0) {
            run_set(k, r->c->words[2]);
        }
        return says_int(r, old.value == 0);
    }
    if (id == SIM_SETEX || id == SIM_PSETEX) {
        return run_setex(r, id == SIM_SETEX ? 1000 : 1);
    }
    if (id == SIM_MGET) {
        return run_mget(r);
    }
    if (id == SIM_LCS) {
        return run_lcs(r);
    }
    if (id == SIM_MSET || id == SIM_MSETNX) {
        return run_mset(r, id == SIM_MSETNX);
    }
    if (id == SIM_APPEND) {
        return run_append(r);
    }
    if (id == SIM_SETRANGE) {
        return run_setrange(r);
    }
    if (id == SIM_GETRANGE || id == SIM_SUBSTR) {
        return run_getrange(r);
    }
    if (id == SIM_GETEX) {
        return run_getex(r);
    }
    if (run_found(k) == SIM_HASH) {
        return wrong_type(r);
    }
    if (id == SIM_STRLEN) {
        return says_int(r, (int64_t)run_text(r, k).len);
    }
    if (id == SIM_GETSET) {
        run_set(k, r->c->words[2]);
    } else if (id == SIM_GETDEL) {
        run_delete(k);
    }
    return says_value(r, old.value);
}

/* --- numbers --- */

static bool run_float(const struct sim_run *r, struct sim_key_state *k)
{
    struct slice old = run_text(r, k), by = run_word(r, 2);
    char text[5200], *end; /* a long double in full */
    long double sum, add;
    int len;

    if (old.len >= 300 || by.len >= 300) {
        return says_error(r, "ERR");
    }
    memcpy(text, by.data, by.len);
    text[by.len] = 0;
    add = strtold(text, &end);
    if (*end != 0 || by.len == 0) {
        return says_error(r, "ERR");
    }
    memcpy(text, old.data, old.len);
    text[old.len] = 0;
    sum = strtold(text, &end) + add;
    if (*end != 0 || (old.len == 0 && k->value != 0) || isnan(sum) || isinf(sum)) {
        return says_error(r, "ERR");
    }
    len = snprintf(text, sizeof text, "%.17Lf", sum);
    while (text[len - 1] == '0') {
        len--;
    }
    len -= text[len - 1] == '.';
    if (len == 2 && memcmp(text, "-0", 2) == 0) {
        memcpy(text, "0", 1);
        len = 1;
    }
    run_change(r, k, (struct slice){(const uint8_t *)text, (size_t)len});
    return says_bulk(r, k->value >> 1);
}

bool run_number(const struct sim_run *r)
{
    struct sim_key_state *k = run_key(r, 0);
    enum sim_command_id id = r->c->cmd->id;
    int64_t old = 0, by = 1;
    char text[32];
    int len;

    if ((id == SIM_INCRBY || id == SIM_DECRBY) && !run_word_int(r, 2, &by)) {
        return says_error(r, "ERR");
    }
    if (run_found(k) == SIM_HASH) {
        return wrong_type(r);
    }
    if (id == SIM_INCRBYFLOAT) {
        return run_float(r, k);
    }
    if ((id == SIM_DECRBY && by == INT64_MIN) ||
        (k->value != 0 && !run_int(run_text(r, k), &old))) {
        return says_error(r, "ERR");
    }
    by = id == SIM_DECR || id == SIM_DECRBY ? -by : by;
    if (__builtin_add_overflow(old, by, &old)) {
        return says_error(r, "ERR");
    }
    len = snprintf(text, sizeof text, "%ld", old);
    run_change(r, k, (struct slice){(const uint8_t *)text, (size_t)len});
    return says_int(r, old);
}
