/* Commands that concern every key, by their weaker promise: they look at each partition at
 * some moment between call and return. A key that was there all that time must show, one that
 * cannot have been there must not.
 *
 * What was there is told without an order of the commands: a reply that proves the key present (or
 * absent), and nothing that could have changed that overlaps the time from then on. */
#include "base/base_mem.h"
#include "sim/sim_check_internal.h"

#include <stdlib.h>

enum {
    FACT_MAKES = 1,
    FACT_REMOVES = 2,
    FACT_TIMED = 4,
    FACT_PRESENT = 8,
    FACT_ABSENT = 16,
    FACT_WHOLE = 32 /* it left no deadline */
};
/* Of some facts of one key: the latest end of what could remove it, give it a deadline, make it. */
struct ends {
    uint64_t removes, timed, makes;
    bool any_timed, any_makes;
};
struct fact {
    uint64_t call_us, latest_us; /* latest: UINT64_MAX when the outcome is not known */
    unsigned is;
    struct ends ends; /* of the key's facts up to this one */
};
/* A window, and what flushes mean for every key in it. */
struct window {
    uint64_t from_us, until_us;
    uint64_t removes;    /* the latest end of a flush called before the window ends */
    uint64_t flushed_us; /* the latest call of one that ended before it begins, or 0 */
};
struct keyspace {
    struct check *c;
    uint32_t *index; /* by blob: 1 + number of the key */
    uint32_t *blob;  /* by number */
    uint32_t count;
    uint32_t *start;    /* by number, and one more: into facts */
    struct fact *facts; /* of each key in the order of their calls */
    struct fact *flushes;
    uint32_t flush_count;
    bool *certain, *possible; /* by number: in the window last looked at */
    uint32_t certain_count, possible_count;
    bool *shown; /* by number: scratch */
};

/* --- facts --- */

static unsigned write_makes(enum sim_command_id id, uint32_t nth, bool timed)
{
    if (id == SIM_DEL || id == SIM_UNLINK || id == SIM_GETDEL || id == SIM_HDEL) {
        return FACT_REMOVES;
    }
    if (id == SIM_PERSIST) {
        return 0;
    }
    if (id == SIM_EXPIRE || id == SIM_PEXPIRE || id == SIM_EXPIREAT || id == SIM_PEXPIREAT ||
        id == SIM_GETEX) {
        return timed ? FACT_REMOVES | FACT_TIMED : 0;
    }
    if (id == SIM_BITOP) {
        return nth == 0 ? FACT_MAKES | FACT_REMOVES : 0;
    }
    if (id == SIM_COPY || id == SIM_RENAME || id == SIM_RENAMENX) {
        /* A deadline moves along. */
        return nth == 0 ? (id == SIM_COPY ? 0 : FACT_REMOVES)
                        : FACT_MAKES | FACT_REMOVES | FACT_TIMED;
    }
    return timed ? FACT_MAKES | FACT_REMOVES | FACT_TIMED : FACT_MAKES;
}

static bool gives_time(enum sim_command_id id, uint32_t words)
{
    if (id == SIM_SET || id == SIM_GETEX) {
        return words > (id == SIM_SET ? 3U : 2U);
    }
    return id == SIM_SETEX || id == SIM_PSETEX || (id >= SIM_EXPIRE && id <= SIM_PEXPIREAT);
}

static bool item_null(const struct sim_item *item)
{
    return item->kind == SIM_ITEM_NULL;
}

/* What the reply proves of the key after the command. */
static unsigned reply_proves(const struct check *c, const struct judged *j, uint32_t nth)
{
    const struct sim_item *item = &c->h->items[j->op->item];
    enum sim_command_id id = j->cmd->id;

    if (item->kind == SIM_ITEM_ERROR) {
        return 0;
    }
    if (id == SIM_MSET) {
        return FACT_PRESENT | FACT_WHOLE;
    }
    if (id == SIM_RENAME && nth == 0) {
        return FACT_ABSENT;
    }
    if (id == SIM_MGET) {
        return item_null(&item[nth + 1]) ? 0 : FACT_PRESENT;
    }
    if (id == SIM_DEL || id == SIM_UNLINK) {
        return FACT_ABSENT;
    }
    if (j->keys.count != 1) {
        return 0;
    }
    if (id == SIM_SET || id == SIM_GETSET) {
        bool plain = j->op->words == 3;

        return plain ? FACT_PRESENT | FACT_WHOLE : 0;
    }
    if (id == SIM_GETDEL) {
        return FACT_ABSENT;
    }
    if (id == SIM_GET) {
        return item_null(item) ? FACT_ABSENT : FACT_PRESENT;
    }
    if (id == SIM_EXISTS) {
        return item->n == 0 ? FACT_ABSENT : FACT_PRESENT;
    }
    if (id == SIM_SETNX || id == SIM_APPEND || (id >= SIM_INCR && id <= SIM_INCRBYFLOAT) ||
        id == SIM_SETBIT || id == SIM_HSET || id == SIM_HSETNX || id == SIM_HINCRBY ||
        id == SIM_HMSET) {
        return FACT_PRESENT;
    }
    if ((id == SIM_STRLEN || id == SIM_HLEN || id == SIM_HEXISTS || id == SIM_SETRANGE) &&
        item->n > 0) {
        return FACT_PRESENT;
    }
    return 0;
}

static void add_key(struct keyspace *k, uint32_t blob)
{
    if (k->index[blob] == 0) {
        k->blob[k->count] = blob;
        k->index[blob] = ++k->count;
    }
    k->start[k->index[blob]]++;
}

static bool counts(const struct judged *j)
{
    return j->kind == JUDGED_KNOWN || j->kind == JUDGED_UNKNOWN;
}

static struct fact fact_of(const struct check *c, const struct judged *j, uint32_t nth)
{
    bool known = j->kind == JUDGED_KNOWN;
    struct fact f = {.call_us = j->op->call_us,
                     .latest_us = known ? j->op->return_us : j->latest_us};

    if ((j->cmd->flags & SIM_COMMAND_WRITES) != 0) {
        f.is = write_makes(j->cmd->id, nth, gives_time(j->cmd->id, j->op->words));
    }
    f.is |= known ? reply_proves(c, j, nth) : 0;
    return f;
}

static uint64_t later_of(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static int by_call(const void *a, const void *b)
{
    const struct fact *x = a, *y = b;

    return x->call_us < y->call_us ? -1 : x->call_us > y->call_us;
}

/* Facts of one key: in order, each with the ends of all up to it. A run's are in order. */
static void order_facts(struct fact *facts, uint32_t count)
{
    struct ends e = {0};
    bool ordered = true;

    for (uint32_t i = 1; i < count; i++) {
        ordered = ordered && facts[i - 1].call_us <= facts[i].call_us;
    }
    if (!ordered) {
        qsort(facts, count, sizeof facts[0], by_call);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct fact *f = &facts[i];

        if ((f->is & FACT_TIMED) != 0) {
            e.any_timed = true;
            e.timed = later_of(e.timed, f->latest_us);
        } else if ((f->is & FACT_REMOVES) != 0) {
            e.removes = later_of(e.removes, f->latest_us);
        }
        if ((f->is & FACT_MAKES) != 0) {
            e.any_makes = true;
            e.makes = later_of(e.makes, f->latest_us);
        }
        f->ends = e;
    }
}

static void gather_facts(struct keyspace *k)
{
    struct check *c = k->c;
    uint32_t *at;

    for (uint32_t i = 0; i < c->h->count; i++) {
        for (uint32_t n = 0; n < c->ops[i].keys.count && counts(&c->ops[i]); n++) {
            add_key(k, judged_key(c, &c->ops[i], n));
        }
    }
    at = mem_alloc((k->count + 1) * sizeof at[0]);
    for (uint32_t i = 0; i < k->count; i++) {
        k->start[i + 1] += k->start[i];
        at[i] = k->start[i];
    }
    k->facts = mem_alloc((k->start[k->count] + 1) * sizeof k->facts[0]);
    k->flushes = mem_alloc((c->h->count + 1) * sizeof k->flushes[0]);
    for (uint32_t i = 0; i < c->h->count; i++) {
        const struct judged *j = &c->ops[i];

        for (uint32_t n = 0; n < j->keys.count && counts(j); n++) {
            k->facts[at[k->index[judged_key(c, j, n)] - 1]++] = fact_of(c, j, n);
        }
        if (counts(j) && judged_is_all(j) && (j->cmd->flags & SIM_COMMAND_WRITES) != 0) {
            k->flushes[k->flush_count++] = (struct fact){
                .call_us = j->op->call_us,
                .latest_us = j->kind == JUDGED_KNOWN ? j->op->return_us : j->latest_us,
                .is = FACT_REMOVES | FACT_ABSENT};
        }
    }
    for (uint32_t i = 0; i < k->count; i++) {
        order_facts(k->facts + k->start[i], k->start[i + 1] - k->start[i]);
    }
    mem_free(at);
}

/* --- windows --- */

/* The end of those facts of the key that were called until then. */
static uint32_t facts_until(const struct keyspace *k, uint32_t key, uint64_t us)
{
    uint32_t least = k->start[key], most = k->start[key + 1];

    while (least < most) {
        uint32_t middle = least + (most - least) / 2;

        if (k->facts[middle].call_us <= us) {
            least = middle + 1;
        } else {
            most = middle;
        }
    }
    return least;
}

/* Of what was called before the window ends. */
static struct ends ends_of(const struct keyspace *k, uint32_t key, const struct window *w)
{
    uint32_t end = facts_until(k, key, w->until_us);
    struct ends e = {0};

    if (end > k->start[key]) {
        e = k->facts[end - 1].ends;
    }
    e.removes = later_of(e.removes, w->removes);
    return e;
}

/* Proved at the end of f, and nothing since could have changed it. */
static bool proves_present(const struct fact *f, const struct ends *e)
{
    bool whole = (f->is & FACT_WHOLE) != 0;

    return (f->is & FACT_PRESENT) != 0 && f->call_us > e->removes &&
           (!e->any_timed || (whole && f->call_us > e->timed));
}

static bool proves_absent(const struct fact *f, const struct ends *e)
{
    return (f->is & FACT_ABSENT) != 0 && (!e->any_makes || f->call_us > e->makes);
}

static void look_at_key(struct keyspace *k, uint32_t key, const struct window *w)
{
    struct ends e = ends_of(k, key, w);
    bool present = false, absent = !e.any_makes || w->flushed_us > e.makes;

    for (uint32_t i = facts_until(k, key, w->from_us); i-- > k->start[key];) {
        const struct fact *f = &k->facts[i];

        if ((present || f->call_us <= e.removes) && (absent || f->call_us <= e.makes)) {
            break; /* nor does anything before it prove more */
        }
        if (f->latest_us <= w->from_us) {
            present = present || proves_present(f, &e);
            absent = absent || proves_absent(f, &e);
        }
    }
    k->certain[key] = present;
    k->possible[key] = !absent;
    k->certain_count += present;
    k->possible_count += !absent;
}

static void look(struct keyspace *k, uint64_t from_us, uint64_t until_us)
{
    struct window w = {.from_us = from_us, .until_us = until_us};

    for (uint32_t i = 0; i < k->flush_count; i++) {
        const struct fact *f = &k->flushes[i];

        w.removes = f->call_us <= until_us ? later_of(w.removes, f->latest_us) : w.removes;
        w.flushed_us = f->latest_us <= from_us ? later_of(w.flushed_us, f->call_us) : w.flushed_us;
    }
    k->certain_count = k->possible_count = 0;
    for (uint32_t key = 0; key < k->count; key++) {
        look_at_key(k, key, &w);
    }
}

/* --- patterns --- */

static bool is_simple_pattern(struct slice p)
{
    return memchr(p.data, '[', p.len) == NULL && memchr(p.data, '\\', p.len) == NULL;
}

/* Of * and ? only. */
static bool matches(struct slice p, struct slice s)
{
    size_t i = 0, at = 0, star = SIZE_MAX, from = 0;

    while (at < s.len) {
        if (i < p.len && p.data[i] == '*') {
            star = i++;
            from = at;
        } else if (i < p.len && (p.data[i] == '?' || p.data[i] == s.data[at])) {
            i++;
            at++;
        } else if (star != SIZE_MAX) {
            i = star + 1;
            at = ++from;
        } else {
            return false;
        }
    }
    while (i < p.len && p.data[i] == '*') {
        i++;
    }
    return i == p.len;
}

/* --- what was shown --- */

static struct slice name_of(const struct keyspace *k, uint32_t key)
{
    return sim_blob_get(&k->c->h->blobs, k->blob[key]);
}

/* A key that op shows, in the window that was looked at. False: it cannot have been there. */
static bool may_show(struct keyspace *k, const struct judged *j, uint32_t blob)
{
    uint32_t key = k->index[blob];
    struct slice name = sim_blob_get(&k->c->h->blobs, blob);

    if (key != 0 && k->possible[key - 1]) {
        return true;
    }
    check_found(k->c, "op %u: %s shows key %.*s, which %s:", j->op->id, j->cmd->name, (int)name.len,
                (const char *)name.data, key == 0 ? "nobody ever named" : "cannot have been there");
    check_show(k->c, j->op, "");
    return false;
}

static bool must_show(struct keyspace *k, const struct judged *j, struct slice pattern)
{
    for (uint32_t key = 0; key < k->count; key++) {
        if (k->certain[key] && !k->shown[key] && matches(pattern, name_of(k, key))) {
            struct slice name = name_of(k, key);

            check_found(k->c,
                        "op %u: %s leaves out key %.*s, which was there all the time:", j->op->id,
                        j->cmd->name, (int)name.len, (const char *)name.data);
            check_show(k->c, j->op, "");
            return false;
        }
    }
    return true;
}

static void judge_keys(struct keyspace *k, const struct judged *j)
{
    const struct sim_item *items = &k->c->h->items[j->op->item];
    struct slice pattern = sim_op_word(k->c->h, j->op, 1);

    if (!is_simple_pattern(pattern)) {
        return;
    }
    memset(k->shown, 0, k->count);
    for (int64_t i = 1; i <= items[0].n; i++) {
        if (!may_show(k, j, items[i].blob)) {
            return;
        }
        if (k->shown[k->index[items[i].blob] - 1]) {
            check_found(k->c, "op %u: KEYS shows a key twice:", j->op->id);
            check_show(k->c, j->op, "");
            return;
        }
        k->shown[k->index[items[i].blob] - 1] = true;
    }
    (void)must_show(k, j, pattern);
}

static void judge_one(struct keyspace *k, const struct judged *j)
{
    const struct sim_item *items = &k->c->h->items[j->op->item];

    look(k, j->op->call_us, j->op->return_us);
    if (j->cmd->id == SIM_KEYS) {
        judge_keys(k, j);
    } else if (j->cmd->id == SIM_DBSIZE) {
        if (items[0].n < k->certain_count || items[0].n > k->possible_count) {
            check_found(k->c, "op %u: DBSIZE says %ld; at least %u keys were there, at most %u:",
                        j->op->id, items[0].n, k->certain_count, k->possible_count);
            check_show(k->c, j->op, "");
        }
    } else if (items[0].kind != SIM_ITEM_NULL) {
        (void)may_show(k, j, items[0].blob);
    } else if (k->certain_count > 0) {
        check_found(k->c,
                    "op %u: RANDOMKEY finds nothing; %u keys were there all the time:", j->op->id,
                    k->certain_count);
        check_show(k->c, j->op, "");
    }
}

/* --- SCAN --- */

/* The options of a SCAN; false: some that are not judged. */
static bool scan_pattern(const struct check *c, const struct judged *j, struct slice *pattern)
{
    *pattern = SLICE("*");
    for (uint32_t i = 2; i + 1 < j->op->words; i += 2) {
        if (slice_eq_nocase(sim_op_word(c->h, j->op, i), SLICE("MATCH"))) {
            *pattern = sim_op_word(c->h, j->op, i + 1);
        } else if (!slice_eq_nocase(sim_op_word(c->h, j->op, i), SLICE("COUNT"))) {
            return false;
        }
    }
    return is_simple_pattern(*pattern);
}

/* Cursor and keys; false: not of that shape. */
static bool scan_reply(const struct check *c, const struct judged *j, uint32_t *cursor)
{
    const struct sim_item *items = &c->h->items[j->op->item];

    if (j->op->items < 3 || items[0].n != 2 || items[1].kind != SIM_ITEM_BULK ||
        items[2].kind != SIM_ITEM_ARRAY || items[2].n != (int64_t)j->op->items - 3) {
        return false;
    }
    *cursor = items[1].blob;
    return true;
}

/* The iteration that `at` begins, followed to its end. */
static void judge_scan(struct keyspace *k, uint32_t at)
{
    const struct check *c = k->c;
    const struct judged *first = &c->ops[at], *j = first;
    uint32_t zero = sim_blob_find(&c->h->blobs, SLICE("0")), cursor;
    struct slice pattern;

    if (!scan_pattern(c, first, &pattern)) {
        return;
    }
    memset(k->shown, 0, k->count);
    for (;;) {
        if (!scan_reply(c, j, &cursor)) {
            check_found(k->c, "op %u: SCAN's reply is not a cursor and keys:", j->op->id);
            check_show(k->c, j->op, "");
            return;
        }
        look(k, j->op->call_us, j->op->return_us);
        for (uint32_t i = 3; i < j->op->items; i++) {
            uint32_t blob = c->h->items[j->op->item + i].blob;

            if (!may_show(k, j, blob)) {
                return;
            }
            k->shown[k->index[blob] - 1] = true;
        }
        if (cursor == zero) {
            break;
        }
        /* The client's next that asks for this cursor; without one it gave up. */
        for (at++; at < c->h->count; at++) {
            const struct judged *next = &c->ops[at];

            if (next->cmd == first->cmd && next->op->client == first->op->client &&
                next->kind == JUDGED_KNOWN && next->op->call_us >= j->op->return_us &&
                c->h->words[next->op->word + 1] == cursor) {
                break;
            }
        }
        if (at == c->h->count) {
            return;
        }
        j = &c->ops[at];
    }
    look(k, first->op->call_us, j->op->return_us);
    if (!must_show(k, j, pattern)) {
        check_show(k->c, first->op, "the iteration began with ");
    }
}

void check_keyspace(struct check *c)
{
    struct keyspace k = {.c = c};
    uint32_t zero = sim_blob_find(&c->h->blobs, SLICE("0"));

    k.index = mem_zalloc((c->h->blobs.count + 1) * sizeof k.index[0]);
    k.blob = mem_zalloc((c->h->blobs.count + 1) * sizeof k.blob[0]);
    k.start = mem_zalloc((c->h->blobs.count + 2) * sizeof k.start[0]);
    gather_facts(&k);
    k.certain = mem_zalloc(k.count + 1);
    k.possible = mem_zalloc(k.count + 1);
    k.shown = mem_zalloc(k.count + 1);
    for (uint32_t i = 0; i < c->h->count && !check_done(c); i++) {
        const struct judged *j = &c->ops[i];

        if (j->kind != JUDGED_KNOWN || !judged_is_all(j) ||
            (j->cmd->flags & SIM_COMMAND_WRITES) != 0) {
            continue;
        }
        if (j->cmd->id != SIM_SCAN) {
            judge_one(&k, j);
        } else if (c->h->words[j->op->word + 1] == zero) {
            judge_scan(&k, i);
        }
    }
    mem_free(k.index);
    mem_free(k.blob);
    mem_free(k.start);
    mem_free(k.facts);
    mem_free(k.flushes);
    mem_free(k.certain);
    mem_free(k.possible);
    mem_free(k.shown);
}
