/* sim_set.h - a set of things of a run by their names: "3,7-9,2.14" names faults and operations.
 *
 * A name is a number, or two of them with a dot: what belongs together, and which of it. Kept as
 * sorted ranges, so that thousands of operations cost a few words, in memory and on a line.
 */
#ifndef SIM_SET_H
#define SIM_SET_H
#include "base/base_bytes.h"

struct sim_range {
    uint64_t first, last; /* names, both included; they share their upper half */
};
struct sim_set {
    struct sim_range *ranges; /* sorted, apart from each other */
    size_t count, cap;
};
/* The name MAJOR.MINOR; major 0 is written without a dot. */
static inline uint64_t sim_name(uint32_t major, uint32_t minor)
{
    return (uint64_t)major << 32 | minor;
}
void sim_set_free(struct sim_set *s);
void sim_set_add(struct sim_set *s, uint64_t first, uint64_t last);
bool sim_set_has(const struct sim_set *s, uint64_t name);
/* How many names. */
uint64_t sim_set_size(const struct sim_set *s);
/* All names, ascending, appended to out as uint64_t. */
void sim_set_names(const struct sim_set *s, struct buf *out);
/* Add what text names. False: it is no list of names; s holds a part of it. */
MUST_USE bool sim_set_parse(struct sim_set *s, const char *text);
/* As sim_set_parse reads it, appended; "none" when empty. */
void sim_set_print(const struct sim_set *s, struct buf *out);
void sim_name_print(uint64_t name, struct buf *out);
#endif
