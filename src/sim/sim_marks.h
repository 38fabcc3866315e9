/* sim_marks.h - whether rare situations really occur: in how many seeds each mark was reached.
 *
 * A mark is a SOMETIMES of base.h; all of them are known by being linked in. One that no seed
 * ever reaches guards code that nothing tests.
 */
#ifndef SIM_MARKS_H
#define SIM_MARKS_H
#include "base/base.h"

#include <stdio.h>

enum { SIM_MARKS_MAX = 1024 };

struct sim_marks {                 /* may be shared by processes */
    uint32_t seeds[SIM_MARKS_MAX]; /* by the place of the mark in the program */
};
struct sim_marks_seen { /* of one process */
    uint64_t hits[SIM_MARKS_MAX];
};
/* A seed has ended: count the marks it reached. seen: zero at first. */
void sim_marks_count(struct sim_marks *m, struct sim_marks_seen *seen);

struct sim_marks_sum {
    uint32_t total, reached;
    uint32_t missing; /* never reached, though neither rare nor out of the simulator's reach */
};
/* Sum up a run over that many seeds. to: a table goes there, most reached first; NULL: none. */
struct sim_marks_sum sim_marks_sum_up(const struct sim_marks *m, uint64_t seeds, FILE *to);
/* The names of the missing ones, a line each. */
void sim_marks_missing(const struct sim_marks *m, uint64_t seeds, FILE *to);
#endif
