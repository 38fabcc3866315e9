#include "sim/sim_marks.h"

#include <stdlib.h>
#include <string.h>

struct counting {
    struct sim_marks *m;
    struct sim_marks_seen *seen;
    size_t at;
};

static void count_one(const struct base_mark *mark, void *arg)
{
    struct counting *c = arg;
    size_t at = c->at++;

    if (at >= SIM_MARKS_MAX) {
        return;
    }
    if (mark->hits != c->seen->hits[at]) {
        c->seen->hits[at] = mark->hits;
        __atomic_fetch_add(&c->m->seeds[at], 1, __ATOMIC_RELAXED);
    }
}

void sim_marks_count(struct sim_marks *m, struct sim_marks_seen *seen)
{
    struct counting c = {m, seen, 0};

    base_marks_each(count_one, &c);
}

/* --- the sum --- */

struct row {
    const struct base_mark *mark;
    uint32_t seeds;
};
struct rows {
    const struct sim_marks *m;
    struct row of[SIM_MARKS_MAX];
    size_t at, count;
};

/* What does real input and output is not linked to the simulated world; what no node drives yet
 * is linked for studies of its own (`synod sim gossip`). */
static bool out_of_reach(const struct base_mark *mark)
{
    static const char *const rooms[] = {"src/port/", "src/server/", "core/paxos/"};

    for (size_t i = 0; i < ARRAY_COUNT(rooms); i++) {
        if (strstr(mark->file, rooms[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static void gather_one(const struct base_mark *mark, void *arg)
{
    struct rows *r = arg;
    size_t at = r->at++;

    if (at < SIM_MARKS_MAX && !out_of_reach(mark)) {
        r->of[r->count++] = (struct row){mark, r->m->seeds[at]};
    }
}

static int most_reached_first(const void *a, const void *b)
{
    const struct row *x = a;
    const struct row *y = b;

    if (x->seeds != y->seeds) {
        return x->seeds < y->seeds ? 1 : -1;
    }
    return strcmp(x->mark->name, y->mark->name);
}

static void gather(struct rows *r, const struct sim_marks *m)
{
    *r = (struct rows){.m = m};
    base_marks_each(gather_one, r);
    if (r->count > 0) {
        qsort(r->of, r->count, sizeof r->of[0], most_reached_first);
    }
}

static bool is_missing(const struct row *row, uint64_t seeds)
{
    uint32_t rare = row->mark->rare_seeds;

    return row->seeds == 0 && rare != MARK_NOT_DUE && seeds >= rare;
}

struct sim_marks_sum sim_marks_sum_up(const struct sim_marks *m, uint64_t seeds, FILE *to)
{
    struct sim_marks_sum sum = {0};
    struct rows r;

    gather(&r, m);
    if (to != NULL) {
        (void)fprintf(to, "seeds that reached each mark, of %lu:\n", seeds);
    }
    for (size_t i = 0; i < r.count; i++) {
        const struct row *row = &r.of[i];

        sum.total++;
        sum.reached += row->seeds > 0;
        sum.missing += is_missing(row, seeds);
        if (to == NULL) {
            continue;
        }
        (void)fprintf(to, "  %7u  %s", row->seeds, row->mark->name);
        if (row->seeds == 0 && row->mark->rare_seeds == MARK_NOT_DUE) {
            (void)fprintf(to, " (not due: %s)", row->mark->rare_why);
        } else if (row->seeds == 0 && row->mark->rare_seeds > 0) {
            (void)fprintf(to, " (rare: %s; due within %u seeds)", row->mark->rare_why,
                          row->mark->rare_seeds);
        }
        (void)fprintf(to, "\n");
    }
    return sum;
}

void sim_marks_missing(const struct sim_marks *m, uint64_t seeds, FILE *to)
{
    struct rows r;

    gather(&r, m);
    for (size_t i = 0; i < r.count; i++) {
        if (is_missing(&r.of[i], seeds)) {
            (void)fprintf(to, "  never reached: %s (%s)\n", r.of[i].mark->name, r.of[i].mark->file);
        }
    }
}
