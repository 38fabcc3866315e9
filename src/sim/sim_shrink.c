#include "sim/sim_shrink.h"

#include "sim/sim_args.h"
#include "sim/sim_ddmin.h"
#include "sim/sim_pool.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

enum { ITEMS_MAX = SIM_RECORD_NAMES, CHOICES_MAX = 16, MILLI = 1000 };

struct shrink {
    const struct sim_shrink_limits *limits;
    void (*tell)(const char *sentence);
    uint64_t kind;
    struct sim_shrunk *best;
    struct sim_record *record; /* of the best run */
    struct sim_try slots[SIM_JOBS_MAX];
    size_t slot_candidate[SIM_JOBS_MAX];
    uint32_t running;
    enum { BY_CLASS, BY_FAULT, BY_OP } leaving_out;
};

/* --- candidates --- */

/* A run to try. Its sets are its own. */
struct candidate {
    struct sim_options opt;
    struct sim_set set;
};
typedef void make_fn(struct shrink *s, const void *arg, size_t pos, struct candidate *out);

/* Try them, several at a time, and take the lowest that still shows the finding; its record becomes
 * the record of the best run. */
static void start_one(struct shrink *s, uint32_t slot, make_fn *make, const void *arg, size_t pos)
{
    struct candidate c = {.opt = s->best->given};

    make(s, arg, pos, &c);
    c.opt.log = SIM_LOG_NONE;
    if (sim_try_start(&s->slots[slot], &c.opt, SIM_LOG_NONE, s->limits->seed_s)) {
        s->slot_candidate[slot] = pos;
        s->running++;
        s->best->runs++;
    }
    sim_set_free(&c.set);
}

/* The slot whose process ended; its verdict. UINT32_MAX: none is left. */
static uint32_t wait_one(struct shrink *s, struct sim_verdict *v)
{
    while (s->running > 0) {
        int status;
        pid_t pid = waitpid(-1, &status, 0);

        if (pid < 0 && errno != EINTR) {
            break;
        }
        for (uint32_t i = 0; pid > 0 && i < s->limits->jobs; i++) {
            if (s->slots[i].pid == pid) {
                sim_try_end(&s->slots[i], status, v);
                s->running--;
                return i;
            }
        }
    }
    return UINT32_MAX;
}

static void cancel_above(struct shrink *s, size_t pos)
{
    for (uint32_t i = 0; i < s->limits->jobs; i++) {
        if (s->slots[i].pid > 0 && s->slot_candidate[i] > pos) {
            sim_try_cancel(&s->slots[i]);
            s->running--;
        }
    }
}

static bool out_of_time(struct shrink *s)
{
    s->best->out_of_time = s->best->out_of_time || sim_pool_now_s() > s->limits->until_s;
    return s->best->out_of_time;
}

static size_t first_good(struct shrink *s, size_t count, make_fn *make, const void *arg)
{
    size_t next = 0, good = SIM_DDMIN_NONE;

    for (;;) {
        struct sim_verdict v;
        uint32_t slot;

        for (uint32_t i = 0; i < s->limits->jobs; i++) {
            if (s->slots[i].pid == 0 && next < count && next < good && !out_of_time(s)) {
                start_one(s, i, make, arg, next++);
            }
        }
        slot = wait_one(s, &v);
        if (slot == UINT32_MAX) {
            break;
        }
        if (v.found && v.kind == s->kind && s->slot_candidate[slot] < good) {
            good = s->slot_candidate[slot];
            *s->record = s->slots[slot].trial->record;
            cancel_above(s, good);
        }
    }
    return good != SIM_DDMIN_NONE ? good : s->best->out_of_time ? SIM_DDMIN_STOP : SIM_DDMIN_NONE;
}

static void say(struct shrink *s, const char *what, size_t left)
{
    char sentence[120];

    if (s->tell != NULL) {
        (void)snprintf(sentence, sizeof sentence, "%lu runs; %zu %s left", s->best->runs, left,
                       what);
        s->tell(sentence);
    }
}

/* --- leaving out items of a list --- */

static uint64_t classes_on(const struct sim_options *given)
{
    struct sim_options drawn = *given;
    uint64_t on = 0;

    sim_options_draw(&drawn);
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        on |= drawn.fault[i] ? sim_fault_bit((enum sim_fault)i) : 0;
    }
    return on;
}

static void keep(struct shrink *s, const struct sim_kept *kept, struct sim_options *opt,
                 struct sim_set *set)
{
    for (size_t i = 0; i < kept->count && s->leaving_out != BY_CLASS; i++) {
        sim_set_add(set, kept->items[i], kept->items[i]);
    }
    switch (s->leaving_out) {
    case BY_CLASS:
        opt->fault_mask_off = s->best->given.fault_mask_off | classes_on(&s->best->given);
        for (size_t i = 0; i < kept->count; i++) {
            opt->fault_mask_off &= ~sim_fault_bit((enum sim_fault)kept->items[i]);
        }
        break;
    case BY_FAULT:
        opt->only_faults = set;
        opt->skip_faults = NULL;
        break;
    case BY_OP:
        opt->only_ops = set;
        opt->skip_ops = NULL;
        break;
    }
}

static void make_kept(struct shrink *s, const void *arg, size_t pos, struct candidate *out)
{
    const struct sim_kept *kept = arg;

    keep(s, &kept[pos], &out->opt, &out->set);
}

static void adopt(struct shrink *s, const struct sim_kept *kept)
{
    struct sim_set *mine = s->leaving_out == BY_OP ? &s->best->only_ops : &s->best->only_faults;

    if (s->leaving_out == BY_CLASS) {
        keep(s, kept, &s->best->given, NULL);
        return;
    }
    sim_set_free(mine);
    keep(s, kept, &s->best->given, mine);
}

static size_t try_kept(void *arg, const struct sim_kept *candidates, size_t count)
{
    static const char *const words[] = {"classes of faults", "faults", "operations"};
    struct shrink *s = arg;
    size_t good = first_good(s, count, make_kept, candidates);

    if (good < count) {
        adopt(s, &candidates[good]);
        say(s, words[s->leaving_out], candidates[good].count);
    }
    return good;
}

static int by_name(const void *a, const void *b)
{
    uint64_t x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

static void leave_out_names(struct shrink *s, const struct sim_names *names)
{
    uint64_t *items = mem_alloc((names->count + 1) * sizeof items[0]);
    struct sim_kept nothing = {items, 0};
    size_t count = names->count;

    if (count == 0) { /* say so: then the classes need not be named */
        (void)try_kept(s, &nothing, 1);
    }
    memcpy(items, names->at, count * sizeof items[0]);
    qsort(items, count, sizeof items[0], by_name);
    (void)sim_ddmin(items, count, try_kept, s);
    mem_free(items);
}

static void leave_out_classes(struct shrink *s)
{
    uint64_t on = classes_on(&s->best->given);
    uint64_t items[SIM_FAULT_COUNT];
    size_t count = 0;

    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        if ((on & sim_fault_bit((enum sim_fault)i)) != 0) {
            items[count++] = i;
        }
    }
    s->leaving_out = BY_CLASS;
    (void)sim_ddmin(items, count, try_kept, s);
}

/* --- smaller numbers --- */

struct choices {
    size_t option; /* offset of a uint32_t in struct sim_options */
    uint32_t of[CHOICES_MAX];
    size_t count;
};

static void make_number(struct shrink *s, const void *arg, size_t pos, struct candidate *out)
{
    const struct choices *c = arg;

    (void)s;
    memcpy((char *)&out->opt + c->option, &c->of[pos], sizeof c->of[pos]);
}

/* The least of a few numbers below now that will do. */
static void lower_number(struct shrink *s, size_t option, uint32_t now, uint32_t least)
{
    struct choices c = {.option = option};

    for (uint32_t n = least; n < now && c.count < CHOICES_MAX; n += n < 4 ? 1 : n / 2) {
        c.of[c.count++] = n;
    }
    if (c.count > 0) {
        size_t good = first_good(s, c.count, make_number, &c);

        if (good < c.count) {
            memcpy((char *)&s->best->given + option, &c.of[good], sizeof c.of[good]);
        }
    }
}

static void lower_numbers(struct shrink *s)
{
    struct sim_options drawn = s->best->given;

    sim_options_draw(&drawn);
    say(s, "nodes at most", drawn.hosts);
    if (drawn.hosts > 3) {
        lower_number(s, offsetof(struct sim_options, hosts_given), drawn.hosts, 3);
    }
    lower_number(s, offsetof(struct sim_options, partitions_given), drawn.partitions, 1);
    lower_number(s, offsetof(struct sim_options, clients_given), drawn.clients, 1);
    lower_number(s, offsetof(struct sim_options, keys_given), drawn.keys, 1);
}

static void make_time(struct shrink *s, const void *arg, size_t pos, struct candidate *out)
{
    const uint64_t *times = arg;

    (void)s;
    out->opt.fault_us = times[pos];
}

/* The end of the phase of faults: where the finding was made, or a part of what it is. */
static void cut_time(struct shrink *s)
{
    uint64_t now = s->best->given.fault_us;
    uint64_t from = s->record->faults_from_us;
    uint64_t needed = from == 0 ? 0 : s->record->now_us - from + 1;
    uint64_t times[CHOICES_MAX];
    size_t count = 0, good;

    for (unsigned part = 1; part < 8; part++) {
        uint64_t t = now * part / 8 / MILLI * MILLI;

        if (t > 0 && (needed > now || t < needed)) {
            times[count++] = t;
        }
    }
    needed += MILLI - needed % MILLI;
    if (needed < now) {
        times[count++] = needed;
    }
    good = count == 0 ? SIM_DDMIN_NONE : first_good(s, count, make_time, times);
    if (good < count) {
        s->best->given.fault_us = times[good];
        say(s, "ms of faults", times[good] / MILLI);
    }
}

/* --- a short command --- */

static void make_mask(struct shrink *s, const void *arg, size_t pos, struct candidate *out)
{
    const uint64_t *masks = arg;

    (void)s;
    out->opt.fault_mask_off = masks[pos];
}

/* Where single faults are named, most classes need not be named too: only those that also do
 * something all the time. */
static void name_fewer_classes(struct shrink *s)
{
    static const enum sim_fault always[] = {SIM_FAULT_FRAMES, SIM_FAULT_LATE_ACCEPT,
                                            SIM_FAULT_WALL_JUMP, SIM_FAULT_DRIFT,
                                            SIM_FAULT_SLOW_DISK};
    uint64_t mask = 0;

    for (size_t i = 0; i < ARRAY_COUNT(always); i++) {
        mask |= s->best->given.fault_mask_off & sim_fault_bit(always[i]);
    }
    if (s->best->given.only_faults != NULL && mask != s->best->given.fault_mask_off &&
        first_good(s, 1, make_mask, &mask) == 0) {
        s->best->given.fault_mask_off = mask;
    }
}

/* --- all of it --- */

static void shrink_all(struct shrink *s)
{
    leave_out_classes(s);
    cut_time(s);
    lower_numbers(s);
    s->leaving_out = BY_FAULT;
    leave_out_names(s, &s->record->faults);
    name_fewer_classes(s);
    cut_time(s);
    s->leaving_out = BY_OP;
    leave_out_names(s, &s->record->ops);
    s->leaving_out =
        BY_FAULT; /* with fewer operations some of the faults may have lost their use */
    leave_out_names(s, &s->record->faults);
    cut_time(s);
}

void sim_shrink(const struct sim_options *given, uint64_t kind, const struct sim_record *record,
                const struct sim_shrink_limits *limits, void (*tell)(const char *sentence),
                struct sim_shrunk *out)
{
    struct shrink *s = MEM_NEW(struct shrink);
    bool ready = true;

    *out = (struct sim_shrunk){.given = *given};
    s->limits = limits;
    s->tell = tell;
    s->kind = kind;
    s->best = out;
    s->record = MEM_NEW(struct sim_record);
    *s->record = *record;
    for (uint32_t i = 0; i < limits->jobs; i++) {
        ready = sim_try_init(&s->slots[i]) && ready;
    }
    if (ready) {
        shrink_all(s);
    }
    for (uint32_t i = 0; i < limits->jobs; i++) {
        sim_try_deinit(&s->slots[i]);
    }
    mem_free(s->record);
    mem_free(s);
}

void sim_shrunk_free(struct sim_shrunk *s)
{
    sim_set_free(&s->only_faults);
    sim_set_free(&s->only_ops);
}
