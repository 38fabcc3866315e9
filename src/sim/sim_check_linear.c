#include "sim/sim_check_linear.h"

#include "base/base_hash.h"
#include "base/base_mem.h"

#include <stdlib.h>
#include <string.h>

/* What was tried: for a set of placed known ops and a state, which unknown ops had
 * been used up. Whoever arrives there with the same ones used, or more, has no
 * more choices left than a search that failed. */
enum { UNKNOWN_WORDS = 4, UNKNOWN_MAX = 64 * UNKNOWN_WORDS };
struct tried {
    uint64_t key; /* 0: free */
    uint64_t used[UNKNOWN_WORDS];
};
struct seen {
    struct tried *at;
    size_t count, cap;
};

static void seen_put(struct seen *s, const struct tried *t)
{
    size_t pos = t->key & (s->cap - 1);

    while (s->at[pos].key != 0) {
        pos = (pos + 1) & (s->cap - 1);
    }
    s->at[pos] = *t;
    s->count++;
}

static void seen_grow(struct seen *s)
{
    struct seen next = {.cap = s->cap == 0 ? 1024 : s->cap * 2};

    next.at = mem_zalloc(next.cap * sizeof next.at[0]);
    for (size_t i = 0; i < s->cap; i++) {
        if (s->at[i].key != 0) {
            seen_put(&next, &s->at[i]);
        }
    }
    mem_free(s->at);
    *s = next;
}

static bool subset(const uint64_t *part, const uint64_t *whole)
{
    for (unsigned i = 0; i < UNKNOWN_WORDS; i++) {
        if ((part[i] & ~whole[i]) != 0) {
            return false;
        }
    }
    return true;
}

/* True: nothing at least as good was tried before. */
static bool seen_insert(struct seen *s, uint64_t key, const uint64_t used[UNKNOWN_WORDS])
{
    struct tried t = {.key = key | (key == 0)};

    if (2 * (s->count + 1) > s->cap) {
        seen_grow(s);
    }
    for (size_t pos = t.key & (s->cap - 1); s->at[pos].key != 0; pos = (pos + 1) & (s->cap - 1)) {
        if (s->at[pos].key == t.key && subset(s->at[pos].used, used)) {
            return false;
        }
    }
    memcpy(t.used, used, sizeof t.used);
    seen_put(s, &t);
    return true;
}

struct search {
    struct sim_op *ops;                     /* a copy: values nobody read are made equal */
    const struct sim_op **known, **unknown; /* by call */
    uint32_t known_count, unknown_count;
    uint64_t longest; /* of the texts read */
    uint64_t used[UNKNOWN_WORDS];
    bool last_unknown; /* the newest placement, */
    uint32_t last;     /* and which one it was */
    bool *known_placed, *unknown_placed;
    uint32_t *known_after, *unknown_after; /* 1 + the known op that its client asked before it */
    uint64_t *unknown_class;               /* equal: they differ in nothing that anyone saw */
    uint32_t first;                        /* known ops before it are all placed */
    uint32_t placed;
    uint64_t placed_hash;
    struct sim_state state;
    struct seen seen;
};

/* One choice made; to be taken back when nothing follows from it. */
struct step {
    struct sim_state before;
    uint32_t first_before, last_before;
    bool last_unknown_before;
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

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static const uint64_t value_unseen = UINT64_MAX; /* no op writes it */

/* Values that nobody ever read differ in nothing: one stands for all. Without this, n
 * writes of unknown outcome make 2^n states. */
static void merge_unseen(struct search *s, uint32_t count)
{
    uint64_t *seen = mem_alloc(((size_t)count * SIM_STATE_WORDS + 1) * sizeof seen[0]);
    size_t seen_count = 0;

    for (uint32_t i = 0; i < count; i++) {
        for (unsigned k = 0; k < SIM_STATE_WORDS && s->ops[i].outcome == SIM_OP_OK; k++) {
            seen[seen_count++] = s->ops[i].r[k];
        }
    }
    qsort(seen, seen_count, sizeof seen[0], by_value);
    for (uint32_t i = 0; i < count; i++) {
        struct sim_op *op = &s->ops[i];

        if (!sim_op_writes(op->kind) || op->kind == SIM_OP_INCRBY || op->kind == SIM_OP_APPEND) {
            continue;
        }
        for (unsigned k = 0; k < ARRAY_COUNT(op->a); k++) {
            if (bsearch(&op->a[k], seen, seen_count, sizeof seen[0], by_value) == NULL) {
                op->a[k] = value_unseen;
            }
        }
    }
    mem_free(seen);
}

/* Equal: two unknown ops have the same effect at any time. */
static uint64_t class_of(const struct sim_op *op)
{
    enum sim_op_kind kind = op->kind;

    if (kind == SIM_OP_APPEND) { /* its token is in every later chain */
        return hash64_mix(kind, op->id);
    }
    if (kind == SIM_OP_DEL || kind == SIM_OP_HDEL) {
        return hash64_mix(kind, op->field);
    }
    if (kind == SIM_OP_GETSET) {
        kind = SIM_OP_SET;
    } else if (kind == SIM_OP_SET_NX) {
        kind = SIM_OP_SETNX;
    }
    return hash64_mix(hash64_mix(kind, op->field),
                      hash64_mix(op->a[0], kind == SIM_OP_MSET ? op->a[1] : 0));
}

enum { CLIENTS_TRACKED = 64 };

/* The commands of one connection take effect in their order: what a client asked before must
 * be placed before, even within one pipeline, whose calls are of one time. Only known ops
 * bind: an unknown one may take effect late. */
static void link_order(struct search *s)
{
    uint32_t newest[CLIENTS_TRACKED] = {0};
    uint32_t k = 0;

    if (s->known_count == 0 || s->known[0]->client == SIM_CLIENT_ANY) {
        return;
    }
    for (uint32_t i = 0; i < s->known_count; i++) {
        uint32_t client = s->known[i]->client % CLIENTS_TRACKED;

        while (k < s->unknown_count && by_call(&s->unknown[k], &s->known[i]) < 0) {
            s->unknown_after[k] = newest[s->unknown[k]->client % CLIENTS_TRACKED];
            k++;
        }
        s->known_after[i] = newest[client];
        newest[client] = i + 1;
    }
    for (; k < s->unknown_count; k++) {
        s->unknown_after[k] = newest[s->unknown[k]->client % CLIENTS_TRACKED];
    }
}

static bool in_order(const struct search *s, uint32_t after)
{
    return after == 0 || s->known_placed[after - 1];
}

static void search_begin(struct search *s, const struct sim_op *ops, uint32_t count)
{
    s->ops = mem_alloc(((size_t)count + 1) * sizeof s->ops[0]);
    for (uint32_t i = 0; i < count; i++) {
        s->ops[i] = ops[i];
    }
    merge_unseen(s, count);
    s->known = mem_alloc(count * sizeof s->known[0]);
    s->unknown = mem_alloc(count * sizeof s->unknown[0]);
    for (uint32_t i = 0; i < count; i++) {
        const struct sim_op *op = &s->ops[i];

        if (op->outcome == SIM_OP_OK) {
            s->known[s->known_count++] = op;
            if (op->kind == SIM_OP_TEXT && op->r[1] > s->longest) {
                s->longest = op->r[1];
            }
        } else if (op->outcome != SIM_OP_FAIL && sim_op_writes(op->kind)) {
            s->unknown[s->unknown_count++] = op;
        }
    }
    if (s->known_count > 0) {
        qsort(s->known, s->known_count, sizeof s->known[0], by_call);
    }
    if (s->unknown_count > 0) {
        qsort(s->unknown, s->unknown_count, sizeof s->unknown[0], by_call);
    }
    s->known_placed = mem_zalloc(count);
    s->unknown_placed = mem_zalloc(count);
    s->unknown_class = mem_zalloc(count * sizeof s->unknown_class[0]);
    s->known_after = mem_zalloc(count * sizeof s->known_after[0]);
    s->unknown_after = mem_zalloc(count * sizeof s->unknown_after[0]);
    link_order(s);
    for (uint32_t i = 0; i < s->unknown_count; i++) {
        s->unknown_class[i] = class_of(s->unknown[i]);
    }
}

static void search_end(struct search *s)
{
    mem_free(s->ops);
    mem_free(s->known);
    mem_free(s->unknown);
    mem_free(s->known_placed);
    mem_free(s->unknown_placed);
    mem_free(s->unknown_class);
    mem_free(s->known_after);
    mem_free(s->unknown_after);
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
        if (!s->unknown_placed[i] && s->unknown_class[i] == s->unknown_class[pos] &&
            in_order(s, s->unknown_after[i])) {
            return true;
        }
    }
    return false;
}

/* last: the class of the op placed last if it was unknown: it decides which moves are
 * pointless now. */
static uint64_t fingerprint(const struct search *s, const struct sim_state *state, uint64_t last)
{
    return hash64_mix(s->placed_hash + last,
                      hash64_mix(state->s[0], hash64_mix(state->s[1], state->s[2])));
}

/* Strings only grow: where a token was read is where it was appended, and one that was
 * never read came after the longest text. */
static bool place_fits(const struct search *s, const struct sim_op *op)
{
    if (op->kind != SIM_OP_APPEND || s->longest == 0) {
        return true;
    }
    return op->place != 0 ? s->state.s[1] == op->place - 1 : s->state.s[1] >= s->longest;
}

/* An unknown write right after another one that it overwrites: then the earlier one
 * explains nothing, and the search without it is made anyway. Equal increments commute:
 * one order is enough. */
static bool pointless(const struct search *s, uint32_t pos)
{
    const struct sim_op *op = s->unknown[pos];
    const struct sim_op *last;

    if (!s->last_unknown) {
        return false;
    }
    last = s->unknown[s->last];
    switch (op->kind) {
    case SIM_OP_SET:
    case SIM_OP_GETSET:
    case SIM_OP_DEL:
    case SIM_OP_MSET:
        return true;
    case SIM_OP_HSET:
    case SIM_OP_HDEL:
        return last->field >= op->field; /* of one field, or of two in the other order */
    case SIM_OP_INCRBY:
        return last->a[0] > op->a[0];
    case SIM_OP_SET_FIRST:
        return last->kind == SIM_OP_SET_FIRST;
    case SIM_OP_SETNX:
    case SIM_OP_SET_NX:
    case SIM_OP_APPEND:
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
    return false;
}

static void use(struct search *s, uint32_t pos, bool on)
{
    uint64_t bit = 1ULL << (pos % 64);

    s->unknown_placed[pos] = on;
    if (on) {
        s->used[pos / 64] |= bit;
    } else {
        s->used[pos / 64] &= ~bit;
    }
}

/* Try one candidate; true: placed, state moved on. */
static bool try_place(struct search *s, bool unknown, uint32_t pos)
{
    const struct sim_op *op = unknown ? s->unknown[pos] : s->known[pos];
    struct sim_state next = s->state;
    uint64_t mark = unknown ? 0 : hash64_mix(0x0b5e55ed, op->id);

    if (!in_order(s, unknown ? s->unknown_after[pos] : s->known_after[pos]) || !place_fits(s, op) ||
        !sim_model_step(&next, op)) {
        return false;
    }
    if (unknown && (memcmp(&next, &s->state, sizeof next) == 0 || pointless(s, pos))) {
        return false; /* without effect it explains nothing */
    }
    if (unknown) {
        use(s, pos, true);
    }
    s->placed_hash ^= mark;
    if (!seen_insert(&s->seen, fingerprint(s, &next, unknown ? s->unknown_class[pos] : 0),
                     s->used)) {
        s->placed_hash ^= mark;
        if (unknown) {
            use(s, pos, false);
        }
        return false;
    }
    s->state = next;
    s->last_unknown = unknown;
    s->last = pos;
    if (!unknown) {
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
    s->state = step->before;
    s->first = step->first_before;
    s->last = step->last_before;
    s->last_unknown = step->last_unknown_before;
    if (step->unknown) {
        use(s, step->op, false);
    } else {
        s->placed_hash ^= hash64_mix(0x0b5e55ed, s->known[step->op]->id);
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
    step->last_before = s->last;
    step->last_unknown_before = s->last_unknown;
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
    if (s.unknown_count > UNKNOWN_MAX) {
        search_end(&s);
        return SIM_LINEAR_UNDECIDED;
    }
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
