/* sim_check_linear.h - is there an order of the operations on one object that
 * explains every reply and respects real time?
 *
 * The search of Wing and Gong (1993) with Lowe's memoisation (2017): a set of operations
 * already placed, and the state they lead to, is tried once. Operations of unknown
 * outcome may be placed anywhere after their call, or never.
 *
 * With SIM_CLIENT_ANY as the client of all ops, what one client pipelined may take effect in
 * any order; otherwise in the order it was sent.
 *
 * Independent of the product: the models are in sim_history.c.
 */
#ifndef SIM_CHECK_LINEAR_H
#define SIM_CHECK_LINEAR_H
#include "sim/sim_history.h"

enum sim_verdict { SIM_LINEAR, SIM_NOT_LINEAR, SIM_LINEAR_UNDECIDED };
struct sim_linear_report {
    uint64_t states;      /* tried */
    uint32_t placed_most; /* known ops in the longest explanation found */
    uint32_t known;
    uint32_t stuck_id; /* the earliest-returning op no explanation got past; 0: none */
};
#define SIM_CLIENT_ANY UINT32_MAX
enum { SIM_LINEAR_STATES_MAX = 200000 };
/* ops: of one object, in any order; FAIL and OPEN reads are left out by the search. */
enum sim_verdict sim_check_linear(const struct sim_op *ops, uint32_t count,
                                  struct sim_linear_report *report);

/* A dumb twin for counters and strings that are never deleted: every acknowledged
 * write shows in the last read, nothing refused does. ops of one object; the last read is
 * the OK COUNT or TEXT that was called last. False: why says what is missing. */
bool sim_check_acked_counter(const struct sim_op *ops, uint32_t count, struct diag *why);
#endif
