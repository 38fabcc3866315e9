#include "sim/sim_model_internal.h"

void sim_model_free(struct sim_model *m)
{
    sim_blobs_free(&m->blobs);
    buf_free(&m->scratch);
}

bool run_word_is(const struct sim_run *r, uint32_t i, const char *word)
{
    return i < r->c->word_count && slice_eq_nocase(run_word(r, i), slice_str(word));
}

bool run_int(struct slice text, int64_t *out)
{
    bool minus = text.len > 0 && text.data[0] == '-';
    size_t at = minus ? 1 : 0;
    uint64_t n = 0, most = (uint64_t)INT64_MAX + (minus ? 1 : 0);

    *out = 0;
    if (text.len == at || text.len > 20) {
        return false;
    }
    if (text.data[at] == '0') {
        return text.len == 1;
    }
    for (; at < text.len; at++) {
        uint64_t digit = (uint64_t)text.data[at] - '0';

        if (digit > 9 || n > (most - digit) / 10) {
            return false;
        }
        n = n * 10 + digit;
    }
    *out = minus ? (int64_t)(0 - n) : (int64_t)n;
    return true;
}

bool run_range(int64_t *from, int64_t *to, int64_t len)
{
    if (*from < 0 && *to < 0 && *from > *to) {
        return false;
    }
    *from = *from < 0 ? *from + len : *from;
    *to = *to < 0 ? *to + len : *to;
    *from = *from < 0 ? 0 : *from;
    *to = *to < 0 ? 0 : *to;
    *to = *to >= len ? len - 1 : *to;
    return *from <= *to;
}

/* --- replies --- */

static bool says(const struct sim_run *r, uint32_t i, enum sim_item_kind kind, uint32_t blob)
{
    return !r->c->known || (i < r->c->item_count && r->c->items[i].kind == kind &&
                            (blob == 0 || r->c->items[i].blob == blob));
}

bool says_int(const struct sim_run *r, int64_t n)
{
    return !r->c->known || (says(r, 0, SIM_ITEM_INT, 0) && r->c->items[0].n == n);
}

bool says_simple(const struct sim_run *r, const char *text)
{
    return !r->c->known ||
           (says(r, 0, SIM_ITEM_SIMPLE, 0) &&
            slice_eq(sim_blob_get(&r->m->blobs, r->c->items[0].blob), slice_str(text)));
}

bool says_ok(const struct sim_run *r)
{
    return says_simple(r, "OK");
}

bool says_null(const struct sim_run *r)
{
    return says(r, 0, SIM_ITEM_NULL, 0);
}

bool says_error(const struct sim_run *r, const char *first_word)
{
    size_t len = strlen(first_word);
    struct slice text;

    if (!r->c->known) {
        return true;
    }
    if (!says(r, 0, SIM_ITEM_ERROR, 0)) {
        return false;
    }
    text = sim_blob_get(&r->m->blobs, r->c->items[0].blob);
    return text.len > len && memcmp(text.data, first_word, len) == 0 && text.data[len] == ' ';
}

bool says_bulk(const struct sim_run *r, uint32_t blob)
{
    return says(r, 0, SIM_ITEM_BULK, blob);
}

bool says_value(const struct sim_run *r, uint32_t value)
{
    return value == 0 ? says_null(r) : says_bulk(r, value >> 1);
}

bool says_array(const struct sim_run *r, uint32_t count)
{
    const struct sim_item *item = r->c->items;

    if (!r->c->known) {
        return true;
    }
    if (r->c->item_count != count + 1) {
        return false;
    }
    return item->kind == SIM_ITEM_MAP
               ? 2 * item->n == count
               : item->n == count && (item->kind == SIM_ITEM_ARRAY || item->kind == SIM_ITEM_SET);
}

bool says_nth(const struct sim_run *r, uint32_t i, uint32_t blob)
{
    return blob == 0 ? says(r, i + 1, SIM_ITEM_NULL, 0) : says(r, i + 1, SIM_ITEM_BULK, blob);
}

/* --- values and deadlines --- */

void run_set(struct sim_key_state *k, uint32_t blob)
{
    *k = (struct sim_key_state){.value = blob << 1};
}

void run_change(const struct sim_run *r, struct sim_key_state *k, struct slice text)
{
    k->value = sim_blob_put(&r->m->blobs, text) << 1;
}

static uint64_t later(uint64_t ms, uint64_t by)
{
    return ms > UINT64_MAX - by ? UINT64_MAX : ms + by;
}

void run_deadline_in(const struct sim_run *r, struct sim_key_state *k, int64_t ms)
{
    if (ms <= 0) {
        run_delete(k);
        return;
    }
    k->lo_ms = later(r->c->lo_ms, (uint64_t)ms);
    k->hi_ms = r->c->known ? later(r->c->hi_ms, (uint64_t)ms) : UINT64_MAX;
    k->rel_ms = r->c->known || ms > UINT32_MAX ? 0 : (uint32_t)ms;
}

void run_deadline_at(const struct sim_run *r, struct sim_key_state *k, int64_t at_ms)
{
    if (at_ms <= 0 || (uint64_t)at_ms < r->c->lo_ms) {
        run_delete(k);
        return;
    }
    k->lo_ms = k->hi_ms = (uint64_t)at_ms;
    k->rel_ms = 0;
}

unsigned sim_model_gone(const struct sim_model *m, const struct sim_call *c, struct sim_state *s,
                        unsigned *must)
{
    unsigned may = 0;

    *must = 0;
    for (uint32_t i = 0; i < m->keys && c->known; i++) {
        /* Whatever gave this deadline ran before c did. */
        if (s->key[i].rel_ms != 0) {
            s->key[i].hi_ms = later(c->hi_ms, s->key[i].rel_ms);
            s->key[i].rel_ms = 0;
        }
    }
    for (uint32_t i = 0; i < c->key_count; i++) {
        const struct sim_key_state *k = &s->key[c->key[i]];

        if (k->hi_ms != 0 && k->lo_ms <= c->hi_ms) {
            may |= 1U << c->key[i];
            *must |= k->hi_ms < c->lo_ms ? 1U << c->key[i] : 0;
        }
    }
    return may;
}

bool sim_model_step(struct sim_model *m, const struct sim_call *c, unsigned gone,
                    struct sim_state *s)
{
    struct sim_run r = {m, c, s};
    enum sim_command_id id = c->cmd->id;

    for (uint32_t i = 0; i < c->key_count; i++) {
        struct sim_key_state *k = run_key(&r, i);

        if ((gone & 1U << c->key[i]) != 0) {
            run_delete(k);
        }
    }
    if (id == SIM_FLUSHALL || id == SIM_FLUSHDB) {
        memset(s, 0, sizeof *s);
        return says_ok(&r);
    }
    if (id >= SIM_DEL && id <= SIM_TYPE) {
        return run_keys(&r);
    }
    if (id >= SIM_EXPIRE && id <= SIM_PEXPIRETIME) {
        return run_expiry(&r);
    }
    if (id >= SIM_COPY && id <= SIM_RENAMENX) {
        return run_keys(&r);
    }
    if (id >= SIM_HSET && id <= SIM_HEXISTS) {
        return run_hash(&r);
    }
    if (id >= SIM_SETBIT && id <= SIM_BITFIELD_RO) {
        return run_bits(&r);
    }
    if (id >= SIM_INCR && id <= SIM_INCRBYFLOAT) {
        return run_number(&r);
    }
    CHECK(id <= SIM_MSETNX);
    return run_string(&r);
}
