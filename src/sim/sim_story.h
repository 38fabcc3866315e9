/* sim_story.h - the words of the log: who, how long, how much.
 *
 * Each returns its text by value, to be used at once as an argument: sim_span(us).text.
 */
#ifndef SIM_STORY_H
#define SIM_STORY_H
#include "sim/sim_options.h"

struct sim_span {
    char text[24];
};
/* A length of time as people say it: "340 us", "12 ms", "1.25 s", "ever". */
struct sim_span sim_span(uint64_t us);

struct sim_who {
    char text[16];
};
/* A place of the network: "n0" a node, "c3" a client. */
struct sim_who sim_who(uint32_t place);

struct sim_sides {
    char text[120];
};
/* The places in use, each on one of two sides by its bit: "n0 c1 | n1 n2 c0". */
struct sim_sides sim_sides(const struct sim_options *o, uint64_t side);
#endif
