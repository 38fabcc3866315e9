/* sim_check_linear.h - is there an order of the commands on some keys that explains
 * every reply, and is true to real time and to each connection?
 *
 * The search of Wing and Gong (1993) with Lowe's memoisation (2017): a set of commands already
 * placed, and the state they lead to, is tried once. Those of unknown outcome may be placed
 * anywhere after their call, or never. To keep them from making 2^n sets:
 *
 * - whoever arrives at a tried place with the same unknown ones used up, or more, turns back;
 * - of unknown ones that are alike the earliest is used first;
 * - what fits now and by its reply changed nothing is placed at once: it cannot be in the way;
 * - a value that is still to be read, and that nobody will write again, is not given up;
 * - an unknown one is placed only where it matters: not when the next command would say the same
 * without it and leave the same, not when the next unknown one wipes its effect out, and two that
 * commute in one order only. Each such placement has a twin without it, or with it later, that is
 * tried;
 * - it searches in rounds: first explanations in which at most one unknown one stands between two
 * that replied, then two, then four, then any number.
 *
 * Independent of the product: the meaning of commands is in sim_model.h.
 */
#ifndef SIM_CHECK_LINEAR_H
#define SIM_CHECK_LINEAR_H
#include "sim/sim_model.h"

/* What a value's text tells of who wrote it. */
enum sim_values {
    SIM_VALUES_ANY,   /* nothing */
    SIM_VALUES_WHOLE, /* written as one word: whoever had that word */
    SIM_VALUES_LISTS, /* tokens, appended: whoever appended the first */
};
struct sim_value_kind {
    enum sim_values kind;
    uint8_t end; /* LISTS: of each token */
};
enum sim_linear_verdict { SIM_LINEAR, SIM_NOT_LINEAR, SIM_LINEAR_UNDECIDED };
struct sim_linear_report {
    uint64_t states; /* tried */
    uint32_t known;
    uint32_t placed_most;         /* known ones in the longest explanation found */
    const struct sim_call *stuck; /* the earliest-returning one no explanation got past, or NULL */
    struct sim_state state;       /* what the longest explanation ends with */
};
/* calls: those that happened or may have, of one connection in the order of sending, all with
 * the keys of one state; refused ones and reads without a reply are left out by the caller.
 * UNDECIDED: more than states_max were tried. */
struct sim_linear_input {
    const struct sim_call *calls;
    uint32_t count;
    struct sim_value_kind values;
    uint64_t states_max;
};
enum sim_linear_verdict sim_check_linear(struct sim_model *m, const struct sim_linear_input *in,
                                         struct sim_linear_report *report);
#endif
