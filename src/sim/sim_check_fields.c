/* HSCAN in several calls: a field that was there from the first to the last must be shown. That
 * what a call shows was there then is part of the model.
 *
 * As with keys (sim_check_keyspace.c) no order of the commands is needed: a reply proves the field
 * present, and nothing that could have removed it overlaps the time from then on. */
#include "base/base_mem.h"
#include "sim/sim_check_internal.h"

struct fields {
    struct check *c;
    uint32_t key; /* of the iteration under judgement: a blob, like all below */
    uint64_t from_us, until_us;
    uint64_t *removed_us;    /* by field: a command that ended then may have removed it */
    uint64_t all_removed_us; /* ... or all of them */
    bool *shown;             /* by field */
};

static bool names_key(const struct check *c, const struct judged *j, uint32_t key)
{
    for (uint32_t i = 0; i < j->keys.count; i++) {
        if (judged_key(c, j, i) == key) {
            return true;
        }
    }
    return false;
}

static uint32_t word_of(const struct check *c, const struct judged *j, uint32_t i)
{
    return c->h->words[j->op->word + i];
}

static void later(uint64_t *at_us, uint64_t than_us)
{
    *at_us = than_us > *at_us ? than_us : *at_us;
}

/* --- what may have removed --- */

static void note_removal(struct fields *f, const struct judged *j)
{
    enum sim_command_id id = j->cmd->id;
    uint64_t end_us = j->kind == JUDGED_KNOWN ? j->op->return_us : j->latest_us;

    if (id == SIM_HSET || id == SIM_HMSET || id == SIM_HSETNX || id == SIM_HINCRBY ||
        id == SIM_HINCRBYFLOAT || id == SIM_PERSIST) {
        return;
    }
    if (id == SIM_HDEL) {
        for (uint32_t i = 2; i < j->op->words; i++) {
            later(&f->removed_us[word_of(f->c, j, i)], end_us);
        }
        return;
    }
    /* A deadline, once given, may remove at any time. */
    later(&f->all_removed_us, id >= SIM_EXPIRE && id <= SIM_PEXPIREAT ? UINT64_MAX : end_us);
}

static void note_removals(struct fields *f)
{
    const struct check *c = f->c;

    f->all_removed_us = 0;
    memset(f->removed_us, 0, (c->h->blobs.count + 1) * sizeof f->removed_us[0]);
    for (uint32_t i = 0; i < c->h->count; i++) {
        const struct judged *j = &c->ops[i];

        if ((j->kind == JUDGED_KNOWN || j->kind == JUDGED_UNKNOWN) && j->cmd != NULL &&
            (j->cmd->flags & SIM_COMMAND_WRITES) != 0 && j->op->call_us <= f->until_us &&
            (judged_is_all(j) || names_key(c, j, f->key))) {
            note_removal(f, j);
        }
    }
}

/* --- what proves --- */

/* The field that was there when j ran must be shown. False: it was not. */
static bool must_show(struct fields *f, const struct judged *j, uint32_t field)
{
    struct slice name = sim_blob_get(&f->c->h->blobs, field);

    if (f->shown[field] || j->op->call_us <= f->all_removed_us ||
        j->op->call_us <= f->removed_us[field]) {
        return true;
    }
    check_found(f->c, "HSCAN leaves out field %.*s, which was there all the time:", (int)name.len,
                (const char *)name.data);
    check_show(f->c, j->op, "it was there after ");
    return false;
}

static bool must_show_all(struct fields *f, const struct judged *j)
{
    const struct sim_item *items = &f->c->h->items[j->op->item];
    enum sim_command_id id = j->cmd->id;
    uint32_t step = id == SIM_HSET || id == SIM_HMSET ? 2 : 1;
    bool fine = true;

    if (items[0].kind == SIM_ITEM_ERROR) {
        return true;
    }
    if (id == SIM_HGETALL || id == SIM_HKEYS) {
        for (uint32_t i = 1; i < j->op->items && fine; i += id == SIM_HKEYS ? 1 : 2) {
            fine = must_show(f, j, items[i].blob);
        }
        return fine;
    }
    if (step == 1 && id != SIM_HSETNX && id != SIM_HINCRBY && id != SIM_HINCRBYFLOAT) {
        return id != SIM_HGET || items[0].kind == SIM_ITEM_NULL ||
               must_show(f, j, word_of(f->c, j, 2));
    }
    for (uint32_t i = 2; i < (step == 1 ? 3 : j->op->words) && fine; i += step) {
        fine = must_show(f, j, word_of(f->c, j, i));
    }
    return fine;
}

/* --- iterations --- */

/* The client's next that asks for the cursor this one got; NULL: it gave up, or this was the
 * last. */
static const struct judged *next_of(const struct check *c, const struct judged *j)
{
    uint32_t cursor = c->h->items[j->op->item + 1].blob;

    for (uint32_t i = (uint32_t)(j - c->ops) + 1; i < c->h->count; i++) {
        const struct judged *next = &c->ops[i];

        if (next->cmd == j->cmd && next->op->client == j->op->client &&
            next->kind == JUDGED_KNOWN && next->op->call_us >= j->op->return_us &&
            judged_key(c, next, 0) == judged_key(c, j, 0) && word_of(c, next, 2) == cursor &&
            next->op->items >= 3) {
            return next;
        }
    }
    return NULL;
}

static bool is_plain(const struct check *c, const struct judged *j)
{
    for (uint32_t i = 3; i < j->op->words; i++) {
        if (slice_eq_nocase(sim_op_word(c->h, j->op, i), SLICE("MATCH"))) {
            return false;
        }
    }
    return j->op->items >= 3;
}

static void judge_iteration(struct fields *f, const struct judged *first)
{
    const struct check *c = f->c;
    uint32_t zero = sim_blob_find(&c->h->blobs, SLICE("0"));
    const struct judged *j = first;
    bool fine = true;

    memset(f->shown, 0, c->h->blobs.count + 1);
    for (;;) {
        for (uint32_t i = 3; i < j->op->items; i += 2) {
            f->shown[c->h->items[j->op->item + i].blob] = true;
        }
        if (c->h->items[j->op->item + 1].blob == zero) {
            break;
        }
        j = next_of(c, j);
        if (j == NULL || !is_plain(c, j)) {
            return;
        }
    }
    f->key = judged_key(c, first, 0);
    f->from_us = first->op->call_us;
    f->until_us = j->op->return_us;
    note_removals(f);
    for (uint32_t i = 0; i < c->h->count && fine; i++) {
        const struct judged *proof = &c->ops[i];

        if (proof->kind == JUDGED_KNOWN && proof->op->return_us <= f->from_us &&
            names_key(c, proof, f->key)) {
            fine = must_show_all(f, proof);
        }
    }
    if (!fine) {
        check_show(f->c, first->op, "the iteration began with ");
        check_show(f->c, j->op, "and ended with ");
    }
}

void check_fields(struct check *c)
{
    struct fields f = {.c = c};
    uint32_t zero = sim_blob_find(&c->h->blobs, SLICE("0"));

    f.removed_us = mem_alloc((c->h->blobs.count + 1) * sizeof f.removed_us[0]);
    f.shown = mem_alloc(c->h->blobs.count + 1);
    for (uint32_t i = 0; i < c->h->count && !check_done(c); i++) {
        const struct judged *j = &c->ops[i];

        /* One call that shows all is judged by the model. */
        if (j->kind == JUDGED_KNOWN && j->cmd->id == SIM_HSCAN && is_plain(c, j) &&
            word_of(c, j, 2) == zero && c->h->items[j->op->item + 1].blob != zero) {
            judge_iteration(&f, j);
        }
    }
    mem_free(f.removed_us);
    mem_free(f.shown);
}
