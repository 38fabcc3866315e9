/* sim_check.h - everything that is judged about a history.
 *
 * The same code judges what the simulator recorded and what docs/format/history.md
 * describes in a file. It shares nothing with the product.
 */
#ifndef SIM_CHECK_H
#define SIM_CHECK_H
#include "sim/sim_history.h"

struct sim_check_options {
    bool any_order;      /* what one connection sent may take effect in any order */
    uint64_t states_max; /* that a search may try; 0: the default */
    uint32_t found_max;  /* stop after so many findings; 0: the default */
};
struct sim_check_result {
    struct buf findings; /* sentences, and below each the commands it rests on */
    uint32_t found;
    uint64_t replied, refused, unknown;
    uint64_t groups;      /* of keys that belong together */
    uint64_t followed;    /* of them: explained by the order of a log */
    uint64_t undecided;   /* searches given up; each is also a line of notes */
    uint64_t unjudged;    /* commands of no model, or naming too many keys */
    uint64_t states;      /* tried by all searches */
    uint64_t states_most; /* by one */
    struct buf notes;
};
void sim_check_free(struct sim_check_result *result);
/* result: overwritten; free it. */
void sim_check_history(const struct sim_history *h, const struct sim_check_options *options,
                       struct sim_check_result *result);

/* `synod sim check FILE`; argv[0] is the word check. Exit status: 0 no finding, 1 one was
 * printed, 2 wrong usage or a file that cannot be read. */
int sim_check_main(int argc, char **argv);
#endif
