/* sim_pool.h - many seeds in many processes, and what came of them.
 *
 * Each process takes the next seed that nobody has; what is summed up does not depend on how
 * many there are. One that dies is a finding of the seed it was at, and another takes its place.
 */
#ifndef SIM_POOL_H
#define SIM_POOL_H
#include "sim/sim_args.h"
#include "sim/sim_marks.h"
#include "sim/sim_try.h"

enum { SIM_POOL_FINDINGS_MAX = 64 };

struct sim_pool_finding {
    bool ready; /* its writer has written all of it */
    bool told;
    uint64_t seed;
    struct sim_verdict verdict;
};
struct sim_pool_sums {
    uint64_t seeds, combined, virtual_us, turns, ops, ops_ok, ops_unknown, ops_fail, inconclusive;
    uint64_t faults;
};
struct sim_pool_worker {
    uint64_t at; /* 1 + the seed it is at, as a distance from the first; 0: none */
    struct sim_pool_sums sums;
};
struct sim_pool {  /* shared with the processes */
    uint64_t next; /* seeds given out */
    bool stop;
    uint64_t findings; /* more than kept, perhaps */
    struct sim_pool_finding found[SIM_POOL_FINDINGS_MAX];
    struct sim_pool_worker of[SIM_JOBS_MAX];
    struct sim_marks marks;
    double seconds;   /* how long the run took */
    double busy_s;    /* ... of the time of one processor */
    bool interrupted; /* by the user */
    bool complete;    /* every seed that was asked for has run */
};
/* Run them all, with progress and findings on standard output. NULL: there is no memory, or no
 * process; why says which. Free with sim_pool_free. */
struct sim_pool *sim_pool_run(const struct sim_args *a, struct diag *why);
void sim_pool_free(struct sim_pool *p);
struct sim_pool_sums sim_pool_sum(const struct sim_pool *p);
/* The finding with the lowest seed; NULL: none. */
const struct sim_pool_finding *sim_pool_first(const struct sim_pool *p);
double sim_pool_now_s(void);
#endif
