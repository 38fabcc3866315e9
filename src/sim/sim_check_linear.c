#include "sim/sim_check_linear.h"

#include "base/base_hash.h"
#include "base/base_mem.h"

#include <stdlib.h>
#include <string.h>

/* The visited set: 64-bit fingerprints of (placed ops, state), never 0. */
struct seen {
    uint64_t *at;
    size_t count, cap;
};

static bool seen_insert(struct seen *s, uint64_t key);

static void seen_grow(struct seen *s)
{
    struct seen next = {.cap = s->cap == 0 ? 1024 : s->cap * 2};

    next.at = mem_zalloc(next.cap * sizeof next.at[0]);
    for (size_t i = 0; i < s->cap; i++) {
        if (s->at[i] != 0) {
            (void)seen_insert(&next, s->at[i]);
        }
    }
    mem_free(s->at);
    *s = next;
}

/* True: it was not there. */
static bool seen_insert(struct seen *s, uint64_t key)
{
    size_t pos;

    key |= key == 0;
    if (2 * (s->count + 1) > s->cap) {
        seen_grow(s);
    }
    for (pos = key & (s->cap - 1); s->at[pos] != 0; pos = (pos + 1) & (s->cap - 1)) {
        if (s->at[pos] == key) {
            return false;
        }
    }
    s->at[pos] = key;
    s->count++;
    return true;
}

struct search {
    const struct sim_op **known, **unknown; /* by call */
    uint32_t known_count, unknown_count;
    bool *known_placed, *unknown_placed;
    uint64_t *unknown_class; /* equal: they differ in nothing that anyone saw */
    uint32_t first; /* known ops before it are all placed */
    uint32_t placed;
    uint64_t placed_hash;
    struct sim_state state;
    struct seen seen;
};

/* One choice made; to be taken back when nothing follows from it. */
struct step {
    struct sim_state before;
    uint32_t first_before;
    uint32_t next; /* candidate to try next: known ones, then the unknown */
    bool unknown;
    uint32_t op; /* placed by this step */
};

static int by_call(const void *a, const void *b)
{
    const struct sim_op *const *oa = a;
    const struct sim_op *const *ob = b;

    if ((*oa)->invoke_us != (*ob)->invoke_us) {
        return (*oa)->invoke_us < (*ob)->invoke_us ? -1 : 1;
    }
    return (*oa)->id < (*ob)->id ? -1 : 1;
}

static bool observed(const struct search *s, uint64_t value)
{
    for (uint32_t i = 0; i < s->known_count; i++) {
        for (unsigned k = 0; k < SIM_STATE_WORDS; k++) {
            if (s->known[i]->r[k] == value) {
                return true;
            }
        }
    }
    return false;
}

/* Writes of unknown outcome whose values nobody ever read are alike: trying one of
 * them, the earliest, is enough. Without this, n of them make 2^n states. */
static uint64_t class_of(const struct search *s, const struct sim_op *op)
{
    uint64_t c = hash64_mix(op->kind, op->field);

    switch (op->kind) {
    case SIM_OP_SET:
    case SIM_OP_SET_FIRST:
    case SIM_OP_SETNX:
    case SIM_OP_SET_NX:
    case SIM_OP_GETSET:
    case SIM_OP_HSET:
    case SIM_OP_MSET:
        if (observed(s, op->a[0]) || (op->kind == SIM_OP_MSET && observed(s, op->a[1]))) {
            return hash64_mix(c, op->id);
        }
        return c;
    case SIM_OP_APPEND: /* its token is in every later chain */
        return hash64_mix(c, op->id);
    case SIM_OP_INCRBY:
        return hash64_mix(c, op->a[0]);
    case SIM_OP_DEL:
    case SIM_OP_HDEL:
    case SIM_OP_GET:
    case SIM_OP_COUNT:
    case SIM_OP_TEXT:
    case SIM_OP_STRLEN:
    case SIM_OP_HGET:
    case SIM_OP_HMGET:
    case SIM_OP_MGET:
    case SIM_OP_KINDS:
        break;
    }
    return c;
}

static void search_begin(struct search *s, const struct sim_op *ops, uint32_t count)
{
    s->known = mem_alloc(count * sizeof s->known[0]);
    s->unknown = mem_alloc(count * sizeof s->unknown[0]);
    for (uint32_t i = 0; i < count; i++) {
        if (ops[i].outcome == SIM_OP_OK) {
            s->known[s->known_count++] = &ops[i];
        } else if (ops[i].outcome != SIM_OP_FAIL && sim_op_writes(ops[i].kind)) {
            s->unknown[s->unknown_count++] = &ops[i];
        }
    }
    qsort(s->known, s->known_count, sizeof s->known[0], by_call);
    qsort(s->unknown, s->unknown_count, sizeof s->unknown[0], by_call);
    s->known_placed = mem_zalloc(count);
    s->unknown_placed = mem_zalloc(count);
    s->unknown_class = mem_zalloc(count * sizeof s->unknown_class[0]);
    for (uint32_t i = 0; i < s->unknown_count; i++) {
        s->unknown_class[i] = class_of(s, s->unknown[i]);
    }
}

static void search_end(struct search *s)
{
    mem_free(s->known);
    mem_free(s->unknown);
    mem_free(s->known_placed);
    mem_free(s->unknown_placed);
    mem_free(s->unknown_class);
    mem_free(s->seen.at);
}

/* An op may come next if it was called before every unplaced known op returned. */
static uint64_t earliest_return(const struct search *s)
{
    uint64_t least = UINT64_MAX;

    for (uint32_t i = s->first; i < s->known_count && s->known[i]->invoke_us <= least; i++) {
        if (!s->known_placed[i] && s->known[i]->return_us < least) {
            least = s->known[i]->return_us;
        }
    }
    return least;
}

static bool earlier_alike(const struct search *s, uint32_t pos)
{
    for (uint32_t i = 0; i < pos; i++) {
        if (!s->unknown_placed[i] && s->unknown_class[i] == s->unknown_class[pos]) {
            return true;
        }
    }
    return false;
}

static uint64_t fingerprint(const struct search *s, const struct sim_state *state)
{
    return hash64_mix(s->placed_hash,
                      hash64_mix(state->s[0], hash64_mix(state->s[1], state->s[2])));
}

/* Try one candidate; true: placed, state moved on. */
static bool try_place(struct search *s, bool unknown, uint32_t pos)
{
    const struct sim_op *op = unknown ? s->unknown[pos] : s->known[pos];
    struct sim_state next = s->state;
    uint64_t mark = hash64_mix(0x0b5e55ed, op->id);

    if (!sim_model_step(&next, op)) {
        return false;
    }
    if (unknown && memcmp(&next, &s->state, sizeof next) == 0) {
        return false; /* no effect: placing it explains nothing */
    }
    s->placed_hash ^= mark;
    if (!seen_insert(&s->seen, fingerprint(s, &next))) {
        s->placed_hash ^= mark;
        return false;
    }
    s->state = next;
    if (unknown) {
        s->unknown_placed[pos] = true;
    } else {
        s->known_placed[pos] = true;
        s->placed++;
        while (s->first < s->known_count && s->known_placed[s->first]) {
            s->first++;
        }
    }
    return true;
}

static void take_back(struct search *s, const struct step *step)
{
    const struct sim_op *op = step->unknown ? s->unknown[step->op] : s->known[step->op];

    s->placed_hash ^= hash64_mix(0x0b5e55ed, op->id);
    s->state = step->before;
    s->first = step->first_before;
    if (step->unknown) {
        s->unknown_placed[step->op] = false;
    } else {
        s->known_placed[step->op] = false;
        s->placed--;
    }
}

/* The next placement from candidate *next on; false: none is left. */
static bool advance(struct search *s, struct step *step)
{
    uint64_t limit = earliest_return(s);

    step->before = s->state;
    step->first_before = s->first;
    while (step->next < s->known_count - s->first) {
        uint32_t pos = s->first + step->next;

        if (s->known[pos]->invoke_us > limit) {
            step->next = s->known_count - s->first;
            break;
        }
        step->next++;
        if (!s->known_placed[pos] && try_place(s, false, pos)) {
            step->unknown = false;
            step->op = pos;
            return true;
        }
    }
    while (step->next < s->known_count - s->first + s->unknown_count) {
        uint32_t pos = step->next - (s->known_count - s->first);

        step->next++;
        if (s->unknown[pos]->invoke_us > limit) {
            return false;
        }
        if (!s->unknown_placed[pos] && !earlier_alike(s, pos) && try_place(s, true, pos)) {
            step->unknown = true;
            step->op = pos;
            return true;
        }
    }
    return false;
}

static void note_progress(const struct search *s, struct sim_linear_report *report)
{
    uint64_t least = UINT64_MAX;

    if (s->placed < report->placed_most && report->stuck_id != 0) {
        return;
    }
    report->placed_most = s->placed;
    report->stuck_id = 0;
    for (uint32_t i = s->first; i < s->known_count && s->known[i]->invoke_us <= least; i++) {
        if (!s->known_placed[i] && s->known[i]->return_us < least) {
            least = s->known[i]->return_us;
            report->stuck_id = s->known[i]->id;
        }
    }
}

enum sim_verdict sim_check_linear(const struct sim_op *ops, uint32_t count,
                                  struct sim_linear_report *report)
{
    struct search s = {0};
    struct step *steps;
    uint32_t depth = 0;
    enum sim_verdict verdict = SIM_NOT_LINEAR;

    *report = (struct sim_linear_report){0};
    search_begin(&s, ops, count);
    report->known = s.known_count;
    steps = mem_zalloc((count + 1) * sizeof steps[0]);
    for (;;) {
        if (s.placed == s.known_count) {
            verdict = SIM_LINEAR;
            break;
        }
        if (s.seen.count > SIM_LINEAR_STATES_MAX) {
            verdict = SIM_LINEAR_UNDECIDED;
            break;
        }
        if (advance(&s, &steps[depth])) {
            note_progress(&s, report);
            depth++;
            CHECK(depth <= count);
            steps[depth].next = 0;
            continue;
        }
        note_progress(&s, report);
        if (depth == 0) {
            break;
        }
        depth--;
        take_back(&s, &steps[depth]);
    }
    report->states = s.seen.count;
    if (verdict == SIM_LINEAR) {
        report->stuck_id = 0;
    }
    mem_free(steps);
    search_end(&s);
    return verdict;
}

bool sim_check_acked_counter(const struct sim_op *ops, uint32_t count, struct diag *why)
{
    const struct sim_op *last = NULL;
    uint64_t least = 0, most = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (ops[i].kind == SIM_OP_COUNT && ops[i].outcome == SIM_OP_OK &&
            (last == NULL || ops[i].invoke_us > last->invoke_us)) {
            last = &ops[i];
        }
    }
    if (last == NULL) {
        return true;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (ops[i].kind != SIM_OP_INCRBY || ops[i].outcome == SIM_OP_FAIL) {
            continue;
        }
        most += ops[i].invoke_us <= last->return_us ? ops[i].a[0] : 0;
        if (ops[i].outcome == SIM_OP_OK && ops[i].return_us < last->invoke_us) {
            least += ops[i].a[0];
        }
    }
    if (last->r[0] < least || last->r[0] > most) {
        diag_set(why, "counter reads %lu; acknowledged %lu, sent %lu", last->r[0], least, most);
        return false;
    }
    return true;
}
