/* sim_finding.h - say everything about a finding that helps to understand and repeat it. */
#ifndef SIM_FINDING_H
#define SIM_FINDING_H
#include "sim/sim_args.h"
#include "sim/sim_try.h"

/* The commit the binary was built from, or "unknown". */
extern const char sim_commit[];

/* Run the seed again for its story and print: what, commit, draw, the last events, how to repeat
 * it; then, if wanted, the same of the smallest run that shows it. False: it did not repeat. */
bool sim_finding_report(const struct sim_args *a, uint64_t seed, const struct sim_verdict *v);
/* What a finding means, in plain words; "" when its own are plain enough. */
const char *sim_finding_meaning(const char *finding);
#endif
