#include "sim/sim_check_linear.h"

#include "base/base_hash.h"
#include "base/base_mem.h"
#include "sim/sim_calls.h"

#include <stdlib.h>

enum { TRIES_OF_A_STATE = 8, ALIKE_MAX = 16, ROUND_SHARE = 8, CHAIN_MOST = 8 };

/* What was tried: for a set of placed known calls and a state, which unknown ones had been used
 * up. An entry is the key (0: free), then the bits of the used ones. */
struct seen {
    uint64_t *at;
    size_t count, cap;
    uint32_t words; /* of an entry */
};

static uint64_t *seen_free_slot(struct seen *s, uint64_t key)
{
    size_t pos = key & (s->cap - 1);

    while (s->at[pos * s->words] != 0) {
        pos = (pos + 1) & (s->cap - 1);
    }
    s->count++;
    return s->at + pos * s->words;
}

static void seen_grow(struct seen *s)
{
    struct seen next = {.cap = s->cap == 0 ? 256 : s->cap * 2, .words = s->words};

    next.at = mem_zalloc(next.cap * s->words * sizeof next.at[0]);
    for (size_t i = 0; i < s->cap; i++) {
        const uint64_t *entry = s->at + i * s->words;

        if (entry[0] != 0) {
            memcpy(seen_free_slot(&next, entry[0]), entry, s->words * sizeof entry[0]);
        }
    }
    mem_free(s->at);
    *s = next;
}

static bool subset(const uint64_t *part, const uint64_t *whole, uint32_t words)
{
    for (uint32_t i = 0; i < words; i++) {
        if ((part[i] & ~whole[i]) != 0) {
            return false;
        }
    }
    return true;
}

/* True: nothing at least as good was tried before. Of one key only so many sets are compared;
 * the rest have keys of their own, and find only their likes. */
static bool seen_insert(struct seen *s, uint64_t key, const uint64_t *used)
{
    uint64_t *entry;
    unsigned alike = 0;

    key |= key == 0;
    if (2 * (s->count + 1) > s->cap) {
        seen_grow(s);
    }
    for (size_t pos = key & (s->cap - 1); s->at[pos * s->words] != 0;
         pos = (pos + 1) & (s->cap - 1)) {
        entry = s->at + pos * s->words;
        if (entry[0] == key && subset(entry + 1, used, s->words - 1)) {
            return false;
        }
        alike += entry[0] == key;
        if (alike == ALIKE_MAX) {
            key = hash64_mix(key, hash64(used, (s->words - 1) * sizeof used[0])) | 1;
            alike = 0;
            pos = (key - 1) & (s->cap - 1);
        }
    }
    entry = seen_free_slot(s, key);
    entry[0] = key;
    memcpy(entry + 1, used, (s->words - 1) * sizeof used[0]);
    return true;
}

/* The call placed last, when it is an unknown one: what follows must need it. */
struct newest {
    bool unknown;
    uint32_t pos;
    unsigned gone;
    struct sim_state before;
};
/* Everything that a placement changes, but for the marks of what is placed. */
struct place {
    struct sim_state state;
    struct newest newest;
    uint32_t first;       /* known calls before it are all placed */
    uint32_t chain;       /* unknown ones placed since the last known one */
    uint64_t latest_call; /* of those placed: what was over by then comes too late */
};
/* One choice made; to be taken back when nothing follows from it. */
struct step {
    struct place before;
    uint64_t limit;
    uint32_t cand, cand_count; /* known ones that may come next, into search.cands */
    bool forced;               /* the only candidate: it fits and changes nothing */
    uint32_t next;             /* candidate to try: these, then the unknown */
    uint32_t branch;           /* which of its keys are gone: the one to try next */
    bool unknown;
    uint32_t op; /* placed by this step */
};

struct search {
    struct sim_model *m;
    const struct sim_call **known, **unknown; /* by call */
    uint32_t known_count, unknown_count;
    bool *known_placed, *unknown_placed;
    uint32_t *known_after, *unknown_after; /* 1 + the known one before it on its connection */
    uint32_t *alike;         /* of an unknown one: 1 + the next earlier one of the same effect */
    uint64_t *unknown_class; /* equal: alike */
    uint32_t *bound;         /* those of unknown that are bound to happen by some time */
    uint32_t bound_count;
    uint64_t *used;
    uint64_t tries; /* of placements, in vain or not */
    uint32_t placed;
    uint64_t placed_hash;
    struct place at;
    struct seen seen;
    struct step *steps;
    uint32_t depth, step_cap;
    uint32_t *cands;
    uint32_t cand_count, cand_cap;
    uint32_t chain_max; /* of this round */
    bool cut;           /* something was left out because of it */
    struct sim_value_kind values;
    uint32_t *reads_left, *writes_left; /* by blob: calls not placed that show it, or write it */
    uint32_t blobs;                     /* how many of them */
};

static int by_call(const void *a, const void *b)
{
    const struct sim_call *x = *(const struct sim_call *const *)a;
    const struct sim_call *y = *(const struct sim_call *const *)b;

    if (x->call_us != y->call_us) {
        return x->call_us < y->call_us ? -1 : 1;
    }
    return x->id < y->id ? -1 : x->id > y->id;
}

static void link_order(struct search *s, const struct sim_call *calls, uint32_t count)
{
    uint32_t *after = mem_alloc((count + 1) * sizeof after[0]);
    uint32_t *place = mem_zalloc((count + 1) * sizeof place[0]); /* 1 + among the known, by call */

    sim_calls_order(calls, count, after, NULL);
    for (uint32_t i = 0; i < s->known_count; i++) {
        place[s->known[i] - calls] = i + 1;
    }
    for (uint32_t i = 0; i < s->known_count; i++) {
        uint32_t before = after[s->known[i] - calls];

        s->known_after[i] = before == 0 ? 0 : place[before - 1];
    }
    for (uint32_t i = 0; i < s->unknown_count; i++) {
        uint32_t before = after[s->unknown[i] - calls];

        s->unknown_after[i] = before == 0 ? 0 : place[before - 1];
    }
    mem_free(after);
    mem_free(place);
}

static uint64_t class_of(const struct sim_call *c)
{
    uint64_t h = hash64_mix(c->cmd->id, c->return_us);

    for (uint32_t i = 1; i < c->word_count; i++) {
        h = hash64_mix(h, c->words[i]);
    }
    return hash64_mix(h, c->place) | 1;
}

static void link_alike(struct search *s)
{
    for (uint32_t i = 0; i < s->unknown_count; i++) {
        s->unknown_class[i] = class_of(s->unknown[i]);
        if (s->unknown[i]->return_us != UINT64_MAX) {
            s->bound[s->bound_count++] = i;
        }
        for (uint32_t k = i; k > 0 && s->alike[i] == 0; k--) {
            s->alike[i] = s->unknown_class[k - 1] == s->unknown_class[i] ? k : 0;
        }
    }
}

/* --- values still to be read --- */

/* By what a value is told from others: 0: nothing. */
static uint32_t identity(const struct search *s, uint32_t blob)
{
    struct slice text;
    const uint8_t *end;

    if (s->values.kind == SIM_VALUES_ANY || blob == 0) {
        return 0;
    }
    if (s->values.kind == SIM_VALUES_LISTS) {
        text = sim_blob_get(&s->m->blobs, blob);
        end = text.len == 0 ? NULL : memchr(text.data, s->values.end, text.len);
        if (end == NULL) {
            return 0;
        }
        text.len = (size_t)(end - text.data) + 1;
        blob = sim_blob_find(&s->m->blobs, text);
    }
    return blob <= s->blobs ? blob : 0;
}

/* c is placed, or is not any more. */
static void count_values(struct search *s, const struct sim_call *c, bool placed)
{
    uint32_t by = placed ? UINT32_MAX : 1; /* modulo 2^32: minus one */

    if (s->values.kind == SIM_VALUES_ANY) {
        return;
    }
    for (uint32_t i = 0; i < c->item_count; i++) {
        s->reads_left[identity(s, c->items[i].blob)] += by;
    }
    for (uint32_t w = c->cmd->id == SIM_APPEND ? 2 : c->cmd->value; w > 0 && w < c->word_count;
         w = c->cmd->value_step == 0 ? 0 : w + c->cmd->value_step) {
        s->writes_left[identity(s, c->words[w])] += by;
    }
}

static bool holds(const struct search *s, const struct sim_state *state, uint32_t id)
{
    for (uint32_t i = 0; i < s->m->keys; i++) {
        uint32_t value = state->key[i].value;

        if ((value & 1) == 0 && value != 0 && identity(s, value >> 1) == id) {
            return true;
        }
        if ((value & 1) != 0) {
            struct slice packed = sim_blob_get(&s->m->blobs, value >> 1);

            for (size_t at = 4; at < packed.len; at += 8) {
                uint32_t blob;

                memcpy(&blob, packed.data + at, sizeof blob);
                if (identity(s, blob) == id) {
                    return true;
                }
            }
        }
    }
    return false;
}

static bool misses(const struct search *s, uint32_t id, const struct sim_state *after)
{
    return id != 0 && s->reads_left[id] > 0 && s->writes_left[id] == 0 && !holds(s, after, id);
}

/* Does this step give up a value that somebody is still to read, and nobody to write? c
 * itself may be who reads it. */
static bool gives_up(struct search *s, const struct sim_call *c, const struct sim_state *after)
{
    bool lost = false;

    if (s->values.kind == SIM_VALUES_ANY) {
        return false;
    }
    count_values(s, c, true);
    for (uint32_t i = 0; i < s->m->keys && !lost; i++) {
        uint32_t value = s->at.state.key[i].value;

        if (value == 0 || value == after->key[i].value) {
            continue;
        }
        if ((value & 1) == 0) {
            lost = misses(s, identity(s, value >> 1), after);
        } else {
            struct slice packed = sim_blob_get(&s->m->blobs, value >> 1);

            for (size_t at = 4; at < packed.len && !lost; at += 8) {
                uint32_t blob;

                memcpy(&blob, packed.data + at, sizeof blob);
                lost = misses(s, identity(s, blob), after);
            }
        }
    }
    count_values(s, c, false);
    return lost;
}

static void search_begin(struct search *s, const struct sim_linear_input *in)
{
    const struct sim_call *calls = in->calls;
    uint32_t count = in->count;

    s->values = in->values;
    s->blobs = s->m->blobs.count;
    s->reads_left = mem_zalloc((s->blobs + 1) * sizeof s->reads_left[0]);
    s->writes_left = mem_zalloc((s->blobs + 1) * sizeof s->writes_left[0]);
    s->known = mem_alloc((count + 1) * sizeof(void *));
    s->unknown = mem_alloc((count + 1) * sizeof(void *));
    for (uint32_t i = 0; i < count; i++) {
        if (calls[i].known) {
            s->known[s->known_count++] = &calls[i];
        } else {
            s->unknown[s->unknown_count++] = &calls[i];
        }
        count_values(s, &calls[i], false);
    }
    qsort(s->known, s->known_count, sizeof(void *), by_call);
    qsort(s->unknown, s->unknown_count, sizeof(void *), by_call);
    s->known_placed = mem_zalloc(count + 1);
    s->unknown_placed = mem_zalloc(count + 1);
    s->known_after = mem_zalloc((count + 1) * sizeof s->known_after[0]);
    s->unknown_after = mem_zalloc((count + 1) * sizeof s->unknown_after[0]);
    s->bound = mem_zalloc((count + 1) * sizeof s->bound[0]);
    s->alike = mem_zalloc((count + 1) * sizeof s->alike[0]);
    s->unknown_class = mem_zalloc((count + 1) * sizeof s->unknown_class[0]);
    s->seen.words = 1 + (s->unknown_count + 63) / 64;
    s->used = mem_zalloc(s->seen.words * sizeof s->used[0]);
    link_order(s, calls, count);
    link_alike(s);
}

static void search_end(struct search *s)
{
    mem_free(s->known);
    mem_free(s->unknown);
    mem_free(s->known_placed);
    mem_free(s->unknown_placed);
    mem_free(s->known_after);
    mem_free(s->unknown_after);
    mem_free(s->alike);
    mem_free(s->bound);
    mem_free(s->unknown_class);
    mem_free(s->used);
    mem_free(s->seen.at);
    mem_free(s->steps);
    mem_free(s->cands);
    mem_free(s->reads_left);
    mem_free(s->writes_left);
}

/* A call may come next if it was called before every unplaced known one returned. */
static uint64_t earliest_return(const struct search *s, const struct sim_call **which)
{
    uint64_t least = UINT64_MAX;

    *which = NULL;
    for (uint32_t i = s->at.first; i < s->known_count && s->known[i]->call_us <= least; i++) {
        if (!s->known_placed[i] && s->known[i]->return_us < least) {
            least = s->known[i]->return_us;
            *which = s->known[i];
        }
    }
    return least;
}

static bool in_order(const struct search *s, uint32_t after)
{
    return after == 0 || s->known_placed[after - 1];
}

static bool earlier_alike(const struct search *s, uint32_t pos)
{
    for (uint32_t i = s->alike[pos]; i > 0; i = s->alike[i - 1]) {
        if (!s->unknown_placed[i - 1] && in_order(s, s->unknown_after[i - 1])) {
            return true;
        }
    }
    return false;
}

static size_t state_bytes(const struct search *s)
{
    return s->m->keys * sizeof s->at.state.key[0];
}

static bool same_state(const struct search *s, const struct sim_state *a, const struct sim_state *b)
{
    return memcmp(a, b, state_bytes(s)) == 0;
}

/* Run c on a copy of from; false: it does not fit, or these keys cannot be what has expired. */
static bool run(const struct search *s, const struct sim_call *c, unsigned gone,
                const struct sim_state *from, struct sim_state *to)
{
    unsigned must, may;

    *to = *from;
    may = sim_model_gone(s->m, c, to, &must);
    return (gone & ~may) == 0 && (must & ~gone) == 0 && sim_model_step(s->m, c, gone, to);
}

/* Does this placement, right behind an unknown one, not need that one? Then the same is reached
 * without it, or with it later. */
static bool unneeded(const struct search *s, const struct sim_call *c, unsigned gone,
                     const struct sim_state *after)
{
    const struct newest *n = &s->at.newest;
    const struct sim_call *last;
    struct sim_state without, swapped;

    if (!n->unknown || !run(s, c, gone, &n->before, &without)) {
        return false;
    }
    if (!c->known && same_state(s, &without, after)) {
        return true;
    }
    last = s->unknown[n->pos];
    if (c->known ? c->call_us > last->return_us : by_call(&c, &last) > 0) {
        return false;
    }
    return run(s, last, n->gone, &without, &swapped) && same_state(s, &swapped, after);
}

static bool place_fits(const struct search *s, const struct sim_call *c)
{
    uint32_t value;

    if (c->place == 0) {
        return true;
    }
    value = s->at.state.key[c->key[0]].value;
    return (value == 0 ? 0 : sim_blob_get(&s->m->blobs, value >> 1).len) == c->place - 1;
}

static uint64_t fingerprint(const struct search *s)
{
    uint64_t h = hash64_mix(s->placed_hash, hash64(&s->at.state, state_bytes(s)));

    if (s->at.newest.unknown) { /* it decides what is unneeded from here on */
        h = hash64_mix(h, hash64_mix(s->unknown_class[s->at.newest.pos],
                                     hash64(&s->at.newest.before, state_bytes(s))));
        h = hash64_mix(h, s->at.chain);
    }
    return h;
}

static void mark(struct search *s, bool unknown, uint32_t pos, bool on)
{
    count_values(s, unknown ? s->unknown[pos] : s->known[pos], on);
    if (unknown) {
        uint64_t bit = 1ULL << (pos % 64);

        s->unknown_placed[pos] = on;
        s->used[pos / 64] = on ? s->used[pos / 64] | bit : s->used[pos / 64] & ~bit;
    } else {
        s->known_placed[pos] = on;
        s->placed = on ? s->placed + 1 : s->placed - 1;
        s->placed_hash ^= hash64_mix(0x0b5e55ed, pos);
    }
}

/* Try one candidate with these keys gone; true: placed, state moved on. */
static bool try_place(struct search *s, bool unknown, uint32_t pos, unsigned gone)
{
    const struct sim_call *c = unknown ? s->unknown[pos] : s->known[pos];
    struct place before;
    struct sim_state next;

    s->tries++;
    if (!run(s, c, gone, &s->at.state, &next) || (unknown && same_state(s, &next, &s->at.state)) ||
        unneeded(s, c, gone, &next) || gives_up(s, c, &next)) {
        return false;
    }
    before = s->at;
    s->at.newest.unknown = unknown;
    s->at.chain = unknown ? before.chain + 1 : 0;
    if (unknown) {
        s->at.newest.pos = pos;
        s->at.newest.gone = gone;
        s->at.newest.before = before.state;
    }
    if (c->call_us > before.latest_call) {
        s->at.latest_call = c->call_us;
    }
    s->at.state = next;
    mark(s, unknown, pos, true);
    if (!seen_insert(&s->seen, fingerprint(s), s->used)) {
        mark(s, unknown, pos, false);
        s->at = before;
        return false;
    }
    while (s->at.first < s->known_count && s->known_placed[s->at.first]) {
        s->at.first++;
    }
    return true;
}

/* The n-th subset of the bits in `of`; false: there are fewer. */
static bool nth_subset(unsigned of, uint32_t n, unsigned *out)
{
    *out = 0;
    for (unsigned bit = 1; bit <= of && n > 0; bit <<= 1) {
        if ((of & bit) != 0) {
            *out |= (n & 1) != 0 ? bit : 0;
            n >>= 1;
        }
    }
    return n == 0;
}

/* Every choice of what has expired for this candidate, from step->branch on. */
static bool try_branches(struct search *s, struct step *step, bool unknown, uint32_t pos)
{
    const struct sim_call *c = unknown ? s->unknown[pos] : s->known[pos];
    struct sim_state state = s->at.state;
    unsigned must, may, part;

    if (!in_order(s, unknown ? s->unknown_after[pos] : s->known_after[pos]) || !place_fits(s, c)) {
        return false;
    }
    may = sim_model_gone(s->m, c, &state, &must);
    while (nth_subset(may & ~must, step->branch, &part)) {
        step->branch++;
        if (try_place(s, unknown, pos, part | must)) {
            step->unknown = unknown;
            step->op = pos;
            return true;
        }
    }
    return false;
}

/* The next placement from the step's candidate on; false: none is left. */
static bool advance(struct search *s, struct step *step)
{
    for (; step->next < step->cand_count; step->next++, step->branch = 0) {
        if (try_branches(s, step, false, s->cands[step->cand + step->next])) {
            return true;
        }
    }
    for (; step->next < step->cand_count + s->unknown_count && !step->forced;
         step->next++, step->branch = 0) {
        uint32_t pos = step->next - step->cand_count;

        if (s->unknown[pos]->call_us > step->limit) {
            return false;
        }
        if (s->at.chain >= s->chain_max) {
            s->cut = true;
            return false;
        }
        if (!s->unknown_placed[pos] && s->at.latest_call <= s->unknown[pos]->return_us &&
            !earlier_alike(s, pos) && try_branches(s, step, true, pos)) {
            return true;
        }
    }
    return false;
}

/* Once c is placed, is it too late for an unknown one that had to happen by a certain time? */
static bool comes_too_soon(const struct search *s, const struct sim_call *c)
{
    for (uint32_t i = 0; i < s->bound_count; i++) {
        const struct sim_call *u = s->unknown[s->bound[i]];

        if (u->return_us < c->call_us && u->return_us >= s->at.latest_call &&
            !s->unknown_placed[s->bound[i]]) {
            return true;
        }
    }
    return false;
}

/* It fits as things are, and changes nothing, now or later. */
static bool is_idle(const struct search *s, const struct sim_call *c)
{
    struct sim_state next;

    return sim_call_changed_nothing(s->m, c) && !comes_too_soon(s, c) && place_fits(s, c) &&
           run(s, c, 0, &s->at.state, &next) && same_state(s, &next, &s->at.state);
}

/* Known calls that may come next, by their returns: replies come about in the order of what
 * they tell. */
static void list_candidates(struct search *s, struct step *step)
{
    step->cand = s->cand_count;
    for (uint32_t pos = s->at.first; pos < s->known_count; pos++) {
        const struct sim_call *c = s->known[pos];
        uint32_t at = s->cand_count;

        if (c->call_us > step->limit) {
            break;
        }
        if (s->known_placed[pos] || !in_order(s, s->known_after[pos])) {
            continue;
        }
        MEM_GROW(s->cands, s->cand_count, s->cand_cap);
        if (is_idle(s, c)) {
            s->cands[step->cand] = pos;
            s->cand_count = step->cand + 1;
            step->forced = true;
            break;
        }
        while (at > step->cand && s->known[s->cands[at - 1]]->return_us > c->return_us) {
            s->cands[at] = s->cands[at - 1];
            at--;
        }
        s->cands[at] = pos;
        s->cand_count++;
    }
    step->cand_count = s->cand_count - step->cand;
}

static struct step *new_step(struct search *s, struct sim_linear_report *report)
{
    const struct sim_call *stuck;
    struct step *step;

    MEM_GROW(s->steps, s->depth, s->step_cap);
    step = &s->steps[s->depth++];
    *step = (struct step){.before = s->at, .limit = earliest_return(s, &stuck)};
    list_candidates(s, step);
    if (s->placed > report->placed_most || report->stuck == NULL) {
        report->placed_most = s->placed;
        report->stuck = stuck;
        report->state = s->at.state;
    }
    return step;
}

/* Everything is unplaced again, and nothing tried. */
static void round_begin(struct search *s, uint32_t chain_max)
{
    for (; s->depth > 1; s->depth--) {
        const struct step *step = &s->steps[s->depth - 2];

        mark(s, step->unknown, step->op, false);
    }
    s->at = (struct place){0};
    s->depth = s->cand_count = 0;
    s->seen.count = 0;
    if (s->seen.cap > 0) {
        memset(s->seen.at, 0, s->seen.cap * s->seen.words * sizeof s->seen.at[0]);
    }
    s->tries = 0;
    s->chain_max = chain_max;
    s->cut = false;
}

static uint64_t effort(const struct search *s)
{
    uint64_t tries = s->tries / TRIES_OF_A_STATE;

    return s->seen.count > tries ? s->seen.count : tries;
}

static enum sim_linear_verdict search_round(struct search *s, uint64_t states_max,
                                            struct sim_linear_report *report)
{
    struct step *step = new_step(s, report);

    for (;;) {
        if (s->placed == s->known_count) {
            return SIM_LINEAR;
        }
        if (effort(s) > states_max) {
            return SIM_LINEAR_UNDECIDED;
        }
        if (advance(s, step)) {
            step = new_step(s, report);
            continue;
        }
        s->cand_count = step->cand;
        if (s->depth == 1) {
            return s->cut ? SIM_LINEAR_UNDECIDED : SIM_NOT_LINEAR;
        }
        s->depth--;
        step = &s->steps[s->depth - 1];
        mark(s, step->unknown, step->op, false);
        s->at = step->before;
    }
}

/* Few unknown ones take effect between two that replied. To look for such explanations first, all
 * over the history, is much less than to try every chain of unknown ones at the first place where
 * the wrong ones were placed. The last round has no such limit. */
enum sim_linear_verdict sim_check_linear(struct sim_model *m, const struct sim_linear_input *in,
                                         struct sim_linear_report *report)
{
    struct search s = {.m = m};
    enum sim_linear_verdict verdict = SIM_LINEAR_UNDECIDED;
    uint64_t left = in->states_max, spent;

    *report = (struct sim_linear_report){0};
    search_begin(&s, in);
    report->known = s.known_count;
    for (uint32_t chain = 1; left > 0 && verdict == SIM_LINEAR_UNDECIDED; chain *= 2) {
        bool last = chain >= CHAIN_MOST;

        round_begin(&s, last ? UINT32_MAX : chain);
        verdict = search_round(&s, last ? left : in->states_max / ROUND_SHARE, report);
        report->states += s.seen.count;
        spent = last ? left : effort(&s);
        left -= spent < left ? spent : left;
    }
    if (verdict == SIM_LINEAR) {
        report->stuck = NULL;
    }
    search_end(&s);
    return verdict;
}
