/* sim_ddmin.h - delta debugging: what of a list does it take for something to happen?
 *
 * Source: Zeller, Hildebrandt, Simplifying and Isolating Failure-Inducing Input (2002), s3, ddmin.
 * our deviation: only complements are tried, and after one that did the next part is tried, not the
 * first again. Parts that matter together are seldom found alone, and a try costs a simulated run.
 */
#ifndef SIM_DDMIN_H
#define SIM_DDMIN_H
#include "base/base.h"

/* One candidate: the items that stay. */
struct sim_kept {
    const uint64_t *items;
    size_t count;
};
/* Which of the candidates still makes it happen: the place of the first; SIM_DDMIN_NONE: none of
 * them; SIM_DDMIN_STOP: no time to find out. They may be tried at the same time. */
#define SIM_DDMIN_NONE SIZE_MAX
#define SIM_DDMIN_STOP (SIZE_MAX - 1)
typedef size_t sim_ddmin_fn(void *arg, const struct sim_kept *candidates, size_t count);

/* Reduce items in place, keeping their order, until no single one can be left out or there is no
 * time. Returns how many are left. It must happen with all of them. */
size_t sim_ddmin(uint64_t *items, size_t count, sim_ddmin_fn *first, void *arg);
#endif
