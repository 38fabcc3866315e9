/* sim_args.h - the command line of the simulator: what it says, and how to say it again. */
#ifndef SIM_ARGS_H
#define SIM_ARGS_H
#include "sim/sim_options.h"

#include <stdio.h>

enum { SIM_JOBS_MAX = 64 };
enum sim_marks_wish {
    SIM_MARKS_AUTO,     /* listed after many seeds, required after very many */
    SIM_MARKS_NONE,     /* one line */
    SIM_MARKS_LIST,     /* listed */
    SIM_MARKS_REQUIRED, /* listed, and the run fails when one was never reached */
};
enum { SIM_MARKS_LIST_FROM = 200, SIM_MARKS_REQUIRED_FROM = 2000 }; /* seeds */

struct sim_args {
    struct sim_options sim; /* the given part; it borrows the sets below */
    struct sim_set only_faults, skip_faults, only_ops, skip_ops;
    uint64_t count;   /* seeds */
    uint64_t minutes; /* ... or, when not 0, as many as they last for */
    uint32_t jobs;    /* 0: one for each processor */
    uint32_t shrink_s,
        seed_s;      /* wall clock: for shrinking; for one seed before it counts as hung */
    uint32_t events; /* lines of the story printed with a finding */
    bool verify, keep_going, seed_given, shrink, help;
    enum sim_marks_wish marks;
};
void sim_args_free(struct sim_args *a);
/* Everything that was not said gets its default. False: why names what makes no sense. Call
 * sim_args_free either way. The argv of a program: the first word is ignored. */
MUST_USE bool sim_args_parse(struct sim_args *a, int argc, char **argv, struct diag *why);
void sim_args_usage(FILE *to);
/* The command that runs these options, appended: "./dev sim --seed 7 --time 10 ...". */
void sim_args_command(const struct sim_options *given, struct buf *out);
#endif
