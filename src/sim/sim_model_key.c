/* Keys whatever they hold, and their deadlines. */
#include "sim/sim_model_internal.h"

static bool run_type(const struct sim_run *r)
{
    static const char *const names[] = {
        [SIM_MISSING] = "none", [SIM_STRING] = "string", [SIM_HASH] = "hash"};

    return says_simple(r, names[run_found(run_key(r, 0))]);
}

static bool says_one_of(const struct sim_run *r, const char *const *texts, size_t count)
{
    bool found = false;

    for (size_t i = 0; i < count; i++) {
        uint32_t blob = sim_blob_find(&r->m->blobs, slice_str(texts[i]));

        found = found || (blob != 0 && says_bulk(r, blob));
    }
    return found || !r->c->known;
}

/* How a value is kept is up to the server, but not that of another type. */
static bool run_object(const struct sim_run *r)
{
    static const char *const strings[] = {"int", "embstr", "raw"};
    static const char *const hashes[] = {"listpack", "hashtable"};
    const struct sim_item *said = &r->c->items[0];
    enum sim_found found = run_found(run_key(r, 0));

    if (found == SIM_MISSING) {
        return says_null(r);
    }
    if (run_word_is(r, 1, "ENCODING")) {
        return found == SIM_STRING ? says_one_of(r, strings, ARRAY_COUNT(strings))
                                   : says_one_of(r, hashes, ARRAY_COUNT(hashes));
    }
    if (run_word_is(r, 1, "FREQ")) { /* none is counted */
        return says_error(r, "ERR");
    }
    return !r->c->known || (said->kind == SIM_ITEM_INT && said->n >= run_word_is(r, 1, "REFCOUNT"));
}

/* COPY, RENAME, RENAMENX: from the first key to the second. */
static bool run_move(const struct sim_run *r)
{
    enum sim_command_id id = r->c->cmd->id;
    struct sim_key_state *from = run_key(r, 0), *to = run_key(r, 1), moved = *from;
    bool replace = id == SIM_RENAME;

    for (uint32_t i = 3; i < r->c->word_count; i++) {
        replace = replace || run_word_is(r, i, "REPLACE");
    }
    if (from == to && id == SIM_COPY) {
        return says_error(r, "ERR");
    }
    if (from->value == 0) {
        return id == SIM_COPY ? says_int(r, 0) : says_error(r, "ERR");
    }
    if (to->value != 0 && !replace) {
        return says_int(r, 0);
    }
    if (id != SIM_COPY) {
        run_delete(from);
    }
    *to = moved;
    return id == SIM_RENAME ? says_ok(r) : says_int(r, 1);
}

bool run_keys(const struct sim_run *r)
{
    enum sim_command_id id = r->c->cmd->id;
    int64_t found = 0;

    if (id == SIM_TYPE) {
        return run_type(r);
    }
    if (id == SIM_OBJECT) {
        return run_object(r);
    }
    if (id >= SIM_COPY) {
        return run_move(r);
    }
    for (uint32_t i = 0; i < r->c->key_count; i++) {
        struct sim_key_state *k = run_key(r, i);

        found += k->value != 0;
        if (id == SIM_DEL || id == SIM_UNLINK) {
            run_delete(k);
        }
    }
    return says_int(r, found);
}

/* --- deadlines --- */

static uint64_t plus(uint64_t ms, int64_t by)
{
    if (by < 0) {
        return ms < (uint64_t)-by ? 0 : ms - (uint64_t)-by;
    }
    return ms > UINT64_MAX - (uint64_t)by ? UINT64_MAX : ms + (uint64_t)by;
}

/* The deadline is known to lie in [lo, hi]; false: it cannot. */
static bool narrow(struct sim_key_state *k, uint64_t lo, uint64_t hi)
{
    k->lo_ms = lo > k->lo_ms ? lo : k->lo_ms;
    k->hi_ms = hi < k->hi_ms ? hi : k->hi_ms;
    return k->lo_ms <= k->hi_ms && k->hi_ms > 0;
}

static bool run_ttl(const struct sim_run *r, struct sim_key_state *k)
{
    enum sim_command_id id = r->c->cmd->id;
    int64_t said, least, most;

    if (k->value == 0 || k->hi_ms == 0) {
        return says_int(r, k->value == 0 ? -2 : -1);
    }
    if (!r->c->known) {
        return true;
    }
    said = r->c->items[0].n;
    if (r->c->items[0].kind != SIM_ITEM_INT || said < 0 || said > INT64_MAX / 2000) {
        return false;
    }
    least = most = said;
    if (id == SIM_TTL || id == SIM_EXPIRETIME) { /* rounded to seconds */
        least = said * 1000 - 500;
        most = said * 1000 + 499;
    }
    if (id == SIM_TTL || id == SIM_PTTL) {
        return narrow(k, plus(r->c->lo_ms, least), plus(r->c->hi_ms, most));
    }
    return narrow(k, plus(0, least), plus(0, most));
}

/* Whether the condition words let a new deadline through: it must, it may. */
static void judge(const struct sim_run *r, const struct sim_key_state *old,
                  const struct sim_key_state *next, bool *must, bool *may)
{
    *must = *may = true;
    for (uint32_t i = 3; i < r->c->word_count; i++) {
        bool timed = old->hi_ms != 0;

        if (run_word_is(r, i, "NX") || run_word_is(r, i, "XX")) {
            bool pass = timed == run_word_is(r, i, "XX");

            *must = *must && pass;
            *may = *may && pass;
        } else if (run_word_is(r, i, "GT")) {
            *must = *must && timed && next->lo_ms > old->hi_ms;
            *may = *may && timed && next->hi_ms > old->lo_ms;
        } else if (run_word_is(r, i, "LT")) {
            *must = *must && (!timed || next->hi_ms < old->lo_ms);
            *may = *may && (!timed || next->lo_ms < old->hi_ms);
        }
    }
}

static bool run_expire(const struct sim_run *r, struct sim_key_state *k)
{
    enum sim_command_id id = r->c->cmd->id;
    int64_t factor = id == SIM_EXPIRE || id == SIM_EXPIREAT ? 1000 : 1;
    struct sim_key_state next = *k;
    bool must, may, done;
    int64_t n;

    if (!run_word_int(r, 2, &n) || n > INT64_MAX / 1000000 || n < INT64_MIN / 1000000) {
        return says_error(r, "ERR");
    }
    if (k->value == 0) {
        return says_int(r, 0);
    }
    if (id == SIM_EXPIRE || id == SIM_PEXPIRE) {
        run_deadline_in(r, &next, n * factor);
    } else {
        run_deadline_at(r, &next, n * factor);
    }
    judge(r, k, &next, &must, &may);
    done = r->c->known ? r->c->items[0].n != 0 : may;
    if ((done && !may) || (!done && must && r->c->known)) {
        return false;
    }
    if (done) {
        *k = next;
    }
    return says_int(r, done);
}

bool run_expiry(const struct sim_run *r)
{
    enum sim_command_id id = r->c->cmd->id;
    struct sim_key_state *k = run_key(r, 0);
    bool timed = k->value != 0 && k->hi_ms != 0;

    if (id >= SIM_TTL) {
        return run_ttl(r, k);
    }
    if (id != SIM_PERSIST) {
        return run_expire(r, k);
    }
    if (timed) {
        *k = (struct sim_key_state){.value = k->value};
    }
    return says_int(r, timed);
}
