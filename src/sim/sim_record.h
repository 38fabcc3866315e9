/* sim_record.h - what a run leaves behind for whoever looks into its finding.
 *
 * Fixed in size, so that it can lie in memory shared with another process: the story of a run that
 * died of a CHECK is there when its process is not.
 */
#ifndef SIM_RECORD_H
#define SIM_RECORD_H
#include "sim/sim_options.h"

enum { SIM_RECORD_NAMES = 1 << 16, SIM_RECORD_LINES = 256, SIM_RECORD_LINE_BYTES = 240 };

struct sim_names { /* as they came; those beyond the last place are forgotten */
    uint32_t count;
    uint64_t at[SIM_RECORD_NAMES];
};
struct sim_line {
    uint64_t at_us;
    char text[SIM_RECORD_LINE_BYTES];
};
struct sim_record {
    enum sim_log level;                     /* set before the run: the lines to keep */
    uint64_t now_us;                        /* where the run is */
    uint64_t faults_from_us;                /* when its phase of faults began; 0: not yet */
    struct sim_names faults;                /* that struck */
    struct sim_names ops;                   /* that were sent */
    uint64_t lines;                         /* told so far */
    struct sim_line line[SIM_RECORD_LINES]; /* the newest, in turn */
};
static inline void sim_names_add(struct sim_names *n, uint64_t name)
{
    if (n->count < SIM_RECORD_NAMES) {
        n->at[n->count++] = name;
    }
}
#endif
