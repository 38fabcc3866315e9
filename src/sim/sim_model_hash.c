/* Hashes: kept as one byte string of pairs, sorted by the number of the field. */
#include "base/base_mem.h"
#include "sim/sim_model_internal.h"

#include <stdio.h>
#include <stdlib.h>

struct pair {
    uint32_t field, value; /* blobs */
};

/* A private copy, with room for `more` pairs; in scratch, which stays as it is until the next. */
struct pairs {
    struct pair *at;
    uint32_t count;
};

static struct pairs pairs_of(const struct sim_run *r, const struct sim_key_state *k, uint32_t more)
{
    struct slice packed = run_text(r, k);
    struct buf *b = &r->m->scratch;

    b->len = 0;
    buf_append_slice(b, packed);
    buf_reserve(b, (more + 1) * sizeof(struct pair));
    return (struct pairs){(struct pair *)(void *)b->data,
                          (uint32_t)(packed.len / sizeof(struct pair))};
}

static uint32_t position(const struct pairs *p, uint32_t field)
{
    uint32_t i = 0;

    while (i < p->count && p->at[i].field < field) {
        i++;
    }
    return i;
}

static uint32_t pairs_get(const struct pairs *p, uint32_t field)
{
    uint32_t i = position(p, field);

    return i < p->count && p->at[i].field == field ? p->at[i].value : 0;
}

/* 1 when the field is new. */
static uint32_t pairs_put(struct pairs *p, uint32_t field, uint32_t value)
{
    uint32_t i = position(p, field);

    if (i < p->count && p->at[i].field == field) {
        p->at[i].value = value;
        return 0;
    }
    memmove(p->at + i + 1, p->at + i, (p->count - i) * sizeof p->at[0]);
    p->at[i] = (struct pair){field, value};
    p->count++;
    return 1;
}

static uint32_t pairs_remove(struct pairs *p, uint32_t field)
{
    uint32_t i = position(p, field);

    if (i == p->count || p->at[i].field != field) {
        return 0;
    }
    memmove(p->at + i, p->at + i + 1, (p->count - i - 1) * sizeof p->at[0]);
    p->count--;
    return 1;
}

static void keep(const struct sim_run *r, struct sim_key_state *k, const struct pairs *p)
{
    if (p->count == 0) {
        run_delete(k);
        return;
    }
    k->value = sim_blob_put(&r->m->blobs,
                            (struct slice){(const uint8_t *)p->at, p->count * sizeof p->at[0]})
                   << 1 |
               1;
}

static bool run_hset(const struct sim_run *r, struct sim_key_state *k)
{
    struct pairs p = pairs_of(r, k, r->c->word_count / 2);
    int64_t added = 0;

    if (r->c->word_count % 2 != 0) {
        return says_error(r, "ERR");
    }
    for (uint32_t i = 2; i < r->c->word_count; i += 2) {
        added += pairs_put(&p, r->c->words[i], r->c->words[i + 1]);
    }
    keep(r, k, &p);
    return r->c->cmd->id == SIM_HSET ? says_int(r, added) : says_ok(r);
}

static bool run_hincr(const struct sim_run *r, struct sim_key_state *k)
{
    struct pairs p = pairs_of(r, k, 1);
    uint32_t old = pairs_get(&p, r->c->words[2]), blob;
    int64_t n = 0, by;
    char text[64];
    int len;

    if (r->c->cmd->id == SIM_HINCRBYFLOAT) { /* the string model's sum, on the field */
        struct sim_key_state field = {.value = old << 1};
        struct sim_state state = {.key[0] = field};
        uint32_t words[3] = {r->c->words[0], r->c->words[2], r->c->words[3]};
        struct sim_call c = *r->c;
        struct sim_run inner = {r->m, &c, &state};
        bool same;

        c.cmd = sim_command_of(SIM_INCRBYFLOAT);
        c.words = words;
        c.word_count = 3;
        c.key[0] = 0;
        same = run_number(&inner);
        if (state.key[0].value == old << 1) {
            return same;
        }
        blob = state.key[0].value >> 1;
        p = pairs_of(r, k, 1);
        (void)pairs_put(&p, r->c->words[2], blob);
        keep(r, k, &p);
        return same;
    }
    if (!run_word_int(r, 3, &by) || (old != 0 && !run_int(sim_blob_get(&r->m->blobs, old), &n)) ||
        __builtin_add_overflow(n, by, &n)) {
        return says_error(r, "ERR");
    }
    len = snprintf(text, sizeof text, "%ld", n);
    blob = sim_blob_put(&r->m->blobs, (struct slice){(const uint8_t *)text, (size_t)len});
    (void)pairs_put(&p, r->c->words[2], blob);
    keep(r, k, &p);
    return says_int(r, n);
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct pair));
}

/* HKEYS, HVALS, HGETALL: what is there, in any order. */
static bool run_hall(const struct sim_run *r, struct sim_key_state *k)
{
    enum sim_command_id id = r->c->cmd->id;
    struct pairs p = pairs_of(r, k, 0);
    struct pair *said;
    bool same;

    if (!r->c->known) {
        return true;
    }
    if (!says_array(r, p.count * (id == SIM_HGETALL ? 2 : 1))) {
        return false;
    }
    said = mem_alloc((p.count + 1) * sizeof said[0]);
    for (uint32_t i = 0; i < p.count; i++) {
        const struct sim_item *item = &r->c->items[1 + i * (id == SIM_HGETALL ? 2 : 1)];

        said[i].field = id == SIM_HVALS ? 0 : item->blob;
        said[i].value = id == SIM_HVALS ? item->blob : id == SIM_HGETALL ? item[1].blob : 0;
        p.at[i].field = id == SIM_HVALS ? 0 : p.at[i].field;
        p.at[i].value = id == SIM_HKEYS ? 0 : p.at[i].value;
    }
    qsort(said, p.count, sizeof said[0], by_bytes);
    qsort(p.at, p.count, sizeof p.at[0], by_bytes);
    same = p.count == 0 || memcmp(said, p.at, p.count * sizeof said[0]) == 0;
    mem_free(said);
    return same;
}

/* A field that is shown must be there, and with that value if one is shown. */
static bool shows(const struct pairs *p, uint32_t field, uint32_t value)
{
    uint32_t has = pairs_get(p, field);

    return has != 0 && (value == 0 || value == has);
}

static bool shown_before(const struct sim_item *first, uint32_t i, uint32_t step)
{
    for (uint32_t k = 0; k < i; k++) {
        if (first[k * step].blob == first[i * step].blob) {
            return true;
        }
    }
    return false;
}

static bool run_hrandfield(const struct sim_run *r, struct sim_key_state *k)
{
    struct pairs p = pairs_of(r, k, 0);
    const struct sim_item *item = r->c->items;
    uint32_t step = r->c->word_count > 3 ? 2 : 1; /* WITHVALUES */
    uint64_t want;
    int64_t count;

    if (!r->c->known) {
        return true;
    }
    if (r->c->word_count == 2) {
        return p.count == 0 ? says_null(r) : says_bulk(r, 0) && shows(&p, item[0].blob, 0);
    }
    if (!run_word_int(r, 2, &count) || count == INT64_MIN) {
        return says_error(r, "ERR");
    }
    want = count < 0 ? (uint64_t)-count : (uint64_t)count;
    want = p.count == 0 ? 0 : count > 0 && want > p.count ? p.count : want;
    if (item->kind != SIM_ITEM_ARRAY) {
        return false;
    }
    if (step == 2 && want > 0 && item[1].kind == SIM_ITEM_ARRAY) { /* RESP3: pairs */
        step = 3;
    }
    if (r->c->item_count != 1 + want * step || item->n != (int64_t)(step == 2 ? 2 * want : want)) {
        return false;
    }
    item += step == 3 ? 2 : 1;
    for (uint32_t i = 0; i < want; i++) {
        const struct sim_item *at = &item[i * step];

        if (!shows(&p, at->blob, step == 1 ? 0 : at[1].blob) ||
            (count > 0 && shown_before(item, i, step))) {
            return false;
        }
    }
    return true;
}

/* One call sees the hash at one moment. An iteration of one call shows all of it; longer ones are
 * judged by sim_check_fields.c. */
static bool run_hscan(const struct sim_run *r, struct sim_key_state *k)
{
    struct pairs p = pairs_of(r, k, 0);
    const struct sim_item *item = r->c->items;
    uint32_t shown = 0, zero = sim_blob_find(&r->m->blobs, SLICE("0"));
    bool whole = r->c->words[2] == zero;

    if (!r->c->known) {
        return true;
    }
    if (r->c->item_count < 3 || item[0].n != 2 || item[1].kind != SIM_ITEM_BULK ||
        item[2].kind != SIM_ITEM_ARRAY || item[2].n != (int64_t)r->c->item_count - 3 ||
        item[2].n % 2 != 0) {
        return item[0].kind == SIM_ITEM_ERROR && says_error(r, "ERR");
    }
    for (uint32_t i = 3; i < r->c->word_count; i++) {
        whole = whole && !run_word_is(r, i, "MATCH");
    }
    whole = whole && item[1].blob == zero;
    for (uint32_t i = 3; i < r->c->item_count; i += 2) {
        if (!shows(&p, item[i].blob, item[i + 1].blob)) {
            return false;
        }
        shown += !shown_before(&item[3], (i - 3) / 2, 2);
    }
    return !whole || shown == p.count;
}

static bool run_hdel(const struct sim_run *r, struct sim_key_state *k)
{
    struct pairs p = pairs_of(r, k, 0);
    int64_t removed = 0;

    for (uint32_t i = 2; i < r->c->word_count; i++) {
        removed += pairs_remove(&p, r->c->words[i]);
    }
    if (removed > 0) {
        keep(r, k, &p);
    }
    return says_int(r, removed);
}

static bool run_hmget(const struct sim_run *r, struct sim_key_state *k)
{
    struct pairs p = pairs_of(r, k, 0);
    bool same = says_array(r, r->c->word_count - 2);

    for (uint32_t i = 2; i < r->c->word_count && same; i++) {
        same = says_nth(r, i - 2, pairs_get(&p, r->c->words[i]));
    }
    return same;
}

/* Those that look at one field. */
static bool run_hfield(const struct sim_run *r, struct sim_key_state *k)
{
    enum sim_command_id id = r->c->cmd->id;
    struct pairs p = pairs_of(r, k, 1);
    uint32_t value = pairs_get(&p, r->c->words[2]);

    if (id == SIM_HGET) {
        return value == 0 ? says_null(r) : says_bulk(r, value);
    }
    if (id == SIM_HSTRLEN) {
        return says_int(r, value == 0 ? 0 : (int64_t)sim_blob_get(&r->m->blobs, value).len);
    }
    if (id == SIM_HEXISTS) {
        return says_int(r, value != 0);
    }
    CHECK(id == SIM_HSETNX);
    if (value == 0) {
        (void)pairs_put(&p, r->c->words[2], r->c->words[3]);
        keep(r, k, &p);
    }
    return says_int(r, value == 0);
}

bool run_hash(const struct sim_run *r)
{
    enum sim_command_id id = r->c->cmd->id;
    struct sim_key_state *k = run_key(r, 0);

    if (run_found(k) == SIM_STRING) {
        return says_error(r, "WRONGTYPE");
    }
    if (id == SIM_HSET || id == SIM_HMSET) {
        return run_hset(r, k);
    }
    if (id == SIM_HINCRBY || id == SIM_HINCRBYFLOAT) {
        return run_hincr(r, k);
    }
    if (id == SIM_HKEYS || id == SIM_HVALS || id == SIM_HGETALL) {
        return run_hall(r, k);
    }
    if (id == SIM_HRANDFIELD) {
        return run_hrandfield(r, k);
    }
    if (id == SIM_HSCAN) {
        return run_hscan(r, k);
    }
    if (id == SIM_HDEL) {
        return run_hdel(r, k);
    }
    if (id == SIM_HMGET) {
        return run_hmget(r, k);
    }
    if (id == SIM_HLEN) {
        return says_int(r, pairs_of(r, k, 0).count);
    }
    return run_hfield(r, k);
}
