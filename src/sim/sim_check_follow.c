#include "sim/sim_check_follow.h"

#include "base/base_mem.h"
#include "sim/sim_calls.h"

#include <stdlib.h>

/* Calls of equal words stand together, those that replied before the others, by time. */
struct alike {
    uint64_t sent;
    uint32_t call;
};
struct follow {
    struct sim_model *m;
    const struct sim_call *calls;
    uint32_t count;
    bool *placed;
    uint32_t *after; /* 1 + the known one before it on its connection */
    uint32_t *next;  /* 1 + what was sent next there */
    uint32_t *known; /* into calls, by time of call */
    uint32_t known_count, first, left;
    uint32_t *bound; /* unknown ones that cannot happen for ever */
    uint32_t bound_count;
    struct alike *alike;
    uint32_t *kind;    /* by call: where its likes begin in alike */
    uint32_t *to_come; /* by that place: 1 + the next log entry not reached yet */
    uint32_t *then;    /* by log entry: 1 + the next of the same kind */
    const struct sim_follow_entry *logged;
    uint32_t *skip;  /* by that place: so many of the likes are placed, or too late */
    uint32_t *early; /* calls that were placed before their entry was reached */
    uint32_t early_count;
    uint64_t latest_call;
    struct sim_state state;
};

static int by_likeness(const void *a, const void *b)
{
    const struct alike *x = a, *y = b;

    if (x->sent != y->sent) {
        return x->sent < y->sent ? -1 : 1;
    }
    return x->call < y->call ? -1 : x->call > y->call;
}

/* Where its likes begin; count: there are none. */
static uint32_t find_kind(const struct follow *f, uint64_t sent)
{
    uint32_t from = 0, to = f->count;

    while (from < to) {
        uint32_t mid = from + (to - from) / 2;

        if (f->alike[mid].sent < sent) {
            from = mid + 1;
        } else {
            to = mid;
        }
    }
    return from < f->count && f->alike[from].sent == sent ? from : f->count;
}

static void follow_begin(struct follow *f, const struct sim_follow_input *in)
{
    size_t room = in->count + 1;

    f->calls = in->calls;
    f->count = in->count;
    f->placed = mem_zalloc(room);
    f->after = mem_zalloc(room * sizeof f->after[0]);
    f->next = mem_zalloc(room * sizeof f->next[0]);
    f->known = mem_zalloc(room * sizeof f->known[0]);
    f->bound = mem_zalloc(room * sizeof f->bound[0]);
    f->alike = mem_zalloc(room * sizeof f->alike[0]);
    f->kind = mem_zalloc(room * sizeof f->kind[0]);
    f->to_come = mem_zalloc(room * sizeof f->to_come[0]);
    f->then = mem_zalloc((in->logged_count + 1) * sizeof f->then[0]);
    f->logged = in->logged;
    f->early = mem_zalloc(room * sizeof f->early[0]);
    f->skip = mem_zalloc(room * sizeof f->skip[0]);
    f->known_count = f->left = sim_calls_known(in->calls, in->count, f->known);
    sim_calls_order(in->calls, in->count, f->after, f->next);
    for (uint32_t i = 0; i < in->count; i++) {
        f->alike[i] = (struct alike){in->calls[i].sent, i};
        if (!in->calls[i].known && in->calls[i].return_us != UINT64_MAX) {
            f->bound[f->bound_count++] = i;
        }
    }
    qsort(f->alike, f->count, sizeof f->alike[0], by_likeness);
    for (uint32_t i = 0; i < f->count; i++) {
        bool same = i > 0 && f->alike[i].sent == f->alike[i - 1].sent;

        f->kind[f->alike[i].call] = same ? f->kind[f->alike[i - 1].call] : i;
    }
    for (uint32_t i = in->logged_count; i-- > 0;) {
        uint32_t kind = find_kind(f, in->logged[i].sent); /* of no call: behind the last */

        f->then[i] = f->to_come[kind];
        f->to_come[kind] = i + 1;
    }
}

static void follow_end(struct follow *f)
{
    mem_free(f->placed);
    mem_free(f->after);
    mem_free(f->next);
    mem_free(f->known);
    mem_free(f->bound);
    mem_free(f->alike);
    mem_free(f->kind);
    mem_free(f->to_come);
    mem_free(f->then);
    mem_free(f->early);
    mem_free(f->skip);
}

/* --- placing --- */

/* Who was called later than this must wait for one that is not placed. */
static uint64_t limit_of(const struct follow *f)
{
    uint64_t least = UINT64_MAX;

    for (uint32_t i = f->first; i < f->known_count; i++) {
        const struct sim_call *c = &f->calls[f->known[i]];

        if (c->call_us > least) {
            break;
        }
        if (!f->placed[f->known[i]] && c->return_us < least) {
            least = c->return_us;
        }
    }
    return least;
}

static bool may_follow(const struct follow *f, uint32_t call, uint64_t limit_us)
{
    const struct sim_call *c = &f->calls[call];

    return !f->placed[call] && c->call_us <= limit_us && f->latest_call <= c->return_us &&
           (f->after[call] == 0 || f->placed[f->after[call] - 1]);
}

/* Does its reply say what comes out with these keys gone? */
static bool fits(const struct follow *f, uint32_t call, unsigned gone, struct sim_state *next)
{
    const struct sim_call *c = &f->calls[call];
    unsigned must, may;

    *next = f->state;
    may = sim_model_gone(f->m, c, next, &must);
    return (gone & ~may) == 0 && sim_model_step(f->m, c, gone | must, next);
}

static bool place(struct follow *f, uint32_t call, unsigned gone)
{
    const struct sim_call *c = &f->calls[call];
    struct sim_state next;

    if (!fits(f, call, gone, &next)) {
        return false;
    }
    f->state = next;
    f->placed[call] = true;
    f->left -= c->known;
    f->latest_call = c->call_us > f->latest_call ? c->call_us : f->latest_call;
    while (f->first < f->known_count && f->placed[f->known[f->first]]) {
        f->first++;
    }
    return true;
}

static bool place_somehow(struct follow *f, uint32_t call)
{
    const struct sim_call *c = &f->calls[call];
    struct sim_state state = f->state;
    unsigned must, may = sim_model_gone(f->m, c, &state, &must);

    for (unsigned gone = may; gone != 0; gone = (gone - 1) & may) {
        if (place(f, call, gone)) {
            return true;
        }
    }
    return false;
}

/* Behind c, it would be too late for an unknown one that the log has yet to tell of. */
static bool is_to_come(const struct follow *f, uint32_t call)
{
    uint32_t next = f->to_come[f->kind[call]];

    return next > 0 && f->logged[next - 1].at_us <= f->calls[call].return_us;
}

static bool comes_too_soon(struct follow *f, const struct sim_call *c)
{
    for (uint32_t i = 0; i < f->bound_count;) {
        uint32_t call = f->bound[i];

        if (f->placed[call] || f->calls[call].return_us < f->latest_call) {
            f->bound[i] = f->bound[--f->bound_count];
        } else if (f->calls[call].return_us < c->call_us && is_to_come(f, call)) {
            return true;
        } else {
            i++;
        }
    }
    return false;
}

/* --- what changed nothing --- */

enum patience {
    WHAT_FITS,    /* now, and is in nobody's way */
    WHAT_IS_LEFT, /* ... or may be in the way, or changes nothing by chance */
    WHAT_EXPIRED, /* fits if something has expired */
};

static bool leaves_state(const struct follow *f, uint32_t call)
{
    struct sim_state next;

    return fits(f, call, 0, &next) &&
           memcmp(&next, &f->state, f->m->keys * sizeof next.key[0]) == 0;
}

static bool place_idle(struct follow *f, uint32_t call, enum patience patience)
{
    const struct sim_call *c = &f->calls[call];
    bool done;

    if (!sim_call_changed_nothing(f->m, c) &&
        (patience != WHAT_IS_LEFT || !leaves_state(f, call))) {
        return false;
    }
    if (patience == WHAT_FITS && comes_too_soon(f, c)) {
        return false;
    }
    done = patience == WHAT_EXPIRED ? place_somehow(f, call) : place(f, call, 0);
    if (done && (c->cmd->flags & SIM_COMMAND_WRITES) != 0) {
        f->early[f->early_count++] = call;
    }
    return done;
}

/* One pass by time of call. What is placed lets later ones through. */
static bool place_all_idle(struct follow *f, enum patience patience)
{
    uint64_t limit_us = limit_of(f);
    bool any = false;

    for (uint32_t i = f->first; i < f->known_count; i++) {
        uint32_t call = f->known[i];

        if (f->calls[call].call_us > limit_us) {
            break;
        }
        if (may_follow(f, call, limit_us) && place_idle(f, call, patience)) {
            any = true;
            limit_us = f->calls[call].return_us == limit_us ? limit_of(f) : limit_us;
        }
    }
    return any;
}

/* --- what the log tells --- */

/* The first of a kind that may still happen; count: none. */
static uint32_t first_left(struct follow *f, uint32_t kind)
{
    uint64_t sent = f->alike[kind].sent;

    for (uint32_t i = kind + f->skip[kind]; i < f->count && f->alike[i].sent == sent; i++) {
        uint32_t call = f->alike[i].call;

        if (!f->placed[call] && f->latest_call <= f->calls[call].return_us) {
            return i;
        }
        f->skip[kind]++;
    }
    return f->count;
}

/* Of equal commands the one comes first that was answered before the log has the next of them, then
 * the one whose connection goes on first: where the log has what was written there next. */
static uint32_t goes_on(const struct follow *f, uint32_t call)
{
    uint32_t kind = f->kind[call], next = f->next[call], alike = f->then[f->to_come[kind] - 1], on;

    if (alike > 0 && f->calls[call].return_us < f->logged[alike - 1].at_us) {
        return 0;
    }
    while (next > 0 && (f->calls[next - 1].cmd->flags & SIM_COMMAND_WRITES) == 0) {
        next = f->next[next - 1];
    }
    if (next == 0) {
        return UINT32_MAX;
    }
    on = f->kind[next - 1] == kind ? alike : f->to_come[f->kind[next - 1]];
    return on == 0 ? UINT32_MAX : on;
}

/* One of a kind whose entry this may be, known or not; count: none. */
static uint32_t choose_like(struct follow *f, uint32_t kind, uint64_t at_us, bool known)
{
    uint64_t sent = f->alike[kind].sent, limit_us = limit_of(f);
    uint32_t best = f->count, best_on = 0;

    for (uint32_t i = first_left(f, kind); i < f->count && f->alike[i].sent == sent; i++) {
        uint32_t call = f->alike[i].call, on;
        const struct sim_call *c = &f->calls[call];
        struct sim_state next;

        if (c->known != known || c->call_us > at_us || c->return_us < at_us ||
            !may_follow(f, call, limit_us) || !fits(f, call, 0, &next)) {
            continue;
        }
        on = goes_on(f, call);
        if (best == f->count || on < best_on) {
            best = call;
            best_on = on;
        }
    }
    return best;
}

static bool place_like(struct follow *f, uint32_t kind, uint64_t at_us)
{
    uint32_t call = choose_like(f, kind, at_us, true);

    call = call == f->count ? choose_like(f, kind, at_us, false) : call;
    return call < f->count && place(f, call, 0);
}

/* The same, where it fits only because something has expired. */
static bool place_like_expired(struct follow *f, uint32_t kind, uint64_t at_us)
{
    uint64_t sent = f->alike[kind].sent, limit_us = limit_of(f);

    for (uint32_t i = first_left(f, kind); i < f->count && f->alike[i].sent == sent; i++) {
        uint32_t call = f->alike[i].call;
        const struct sim_call *c = &f->calls[call];

        if (c->call_us <= at_us && c->return_us >= at_us && may_follow(f, call, limit_us) &&
            place_somehow(f, call)) {
            return true;
        }
    }
    return false;
}

/* Was the call placed before its turn, and is this its turn? */
static bool was_early(struct follow *f, uint32_t kind, uint64_t at_us)
{
    for (uint32_t i = 0; i < f->early_count; i++) {
        const struct sim_call *c = &f->calls[f->early[i]];

        if (f->kind[f->early[i]] == kind && c->call_us <= at_us && c->return_us >= at_us) {
            f->early[i] = f->early[--f->early_count];
            return true;
        }
    }
    return false;
}

static bool follow_entry(struct follow *f, uint32_t entry, uint32_t kind)
{
    uint64_t at_us = f->logged[entry].at_us;
    bool placed;

    do {
        (void)place_all_idle(f, WHAT_FITS);
        placed = was_early(f, kind, at_us) || place_like(f, kind, at_us) ||
                 first_left(f, kind) == f->count;
    } while (!placed && (place_all_idle(f, WHAT_IS_LEFT) || place_all_idle(f, WHAT_EXPIRED)));
    placed = placed || place_like_expired(f, kind, at_us);
    f->to_come[kind] = f->then[entry];
    return placed;
}

bool sim_check_follow(struct sim_model *m, const struct sim_follow_input *in)
{
    struct follow f = {.m = m};
    bool fits = true, explained;

    follow_begin(&f, in);
    for (uint32_t i = 0; i < in->logged_count && fits && f.left > 0; i++) {
        uint32_t kind = find_kind(&f, in->logged[i].sent);

        fits = kind == f.count || follow_entry(&f, i, kind);
    }
    while (fits && f.left > 0 &&
           (place_all_idle(&f, WHAT_FITS) || place_all_idle(&f, WHAT_IS_LEFT) ||
            place_all_idle(&f, WHAT_EXPIRED))) {
    }
    explained = f.left == 0;
    follow_end(&f);
    return explained;
}

static int by_sent(const void *a, const void *b)
{
    const struct sim_follow_entry *x = a, *y = b;

    if (x->sent != y->sent) {
        return x->sent < y->sent ? -1 : 1;
    }
    return x->at_us < y->at_us ? -1 : x->at_us > y->at_us;
}

uint32_t sim_check_follow_happened(const struct sim_follow_input *in, struct sim_call *out)
{
    struct sim_follow_entry *sorted = mem_alloc((in->logged_count + 1) * sizeof sorted[0]);
    uint32_t kept = 0;

    memcpy(sorted, in->logged, in->logged_count * sizeof sorted[0]);
    qsort(sorted, in->logged_count, sizeof sorted[0], by_sent);
    for (uint32_t i = 0; i < in->count; i++) {
        const struct sim_call *c = &in->calls[i];
        const struct sim_follow_entry earliest = {c->sent, c->call_us};
        uint32_t from = 0, to = in->logged_count;

        while (from < to) {
            uint32_t mid = from + (to - from) / 2;

            if (by_sent(&sorted[mid], &earliest) < 0) {
                from = mid + 1;
            } else {
                to = mid;
            }
        }
        if (c->known || (from < in->logged_count && sorted[from].sent == c->sent &&
                         sorted[from].at_us <= c->return_us)) {
            out[kept++] = *c;
        }
    }
    mem_free(sorted);
    return kept;
}
