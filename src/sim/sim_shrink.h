/* sim_shrink.h - make a finding small: what does it take at least?
 *
 * Leaves out of the run whole classes of faults, time, machines, partitions, clients and keys, then
 * single faults, then single operations, as long as a finding of the same kind remains. It
 * works because every fault and operation has a name and dice of its own: see sim_fault.c.
 */
#ifndef SIM_SHRINK_H
#define SIM_SHRINK_H
#include "sim/sim_try.h"

struct sim_shrink_limits {
    double until_s;  /* wall clock, as sim_pool_now_s counts */
    uint32_t jobs;   /* runs at a time */
    unsigned seed_s; /* a run that takes longer is hung */
};
struct sim_shrunk {
    struct sim_options given; /* the smallest run found; borrows the sets below */
    struct sim_set only_faults, only_ops;
    uint64_t runs;
    bool out_of_time;
};
/* given: a run that ends with a finding of that kind, and what it left behind. tell: called now and
 * then with a sentence on the state of things; may be NULL. Free with sim_shrunk_free. */
void sim_shrink(const struct sim_options *given, uint64_t kind, const struct sim_record *record,
                const struct sim_shrink_limits *limits, void (*tell)(const char *sentence),
                struct sim_shrunk *out);
void sim_shrunk_free(struct sim_shrunk *s);
#endif
