/* sim_check_follow.h - does the order of a log explain every reply?
 *
 * One pass that never goes back: writes as the log has them, and what changed nothing as soon as it
 * fits. The log is not believed: each placement must agree with the model, with real time and with
 * the order of its connection, so what is explained this way is explained. The search
 * (sim_check_linear.h) takes long exactly where many commands of unknown outcome may have
 * happened in any order or never; a log says which.
 */
#ifndef SIM_CHECK_FOLLOW_H
#define SIM_CHECK_FOLLOW_H
#include "sim/sim_model.h"

struct sim_follow_entry {
    uint64_t sent;  /* as sim_call.sent of equal words */
    uint64_t at_us; /* called before, and not answered before */
};
/* calls: as for sim_check_linear(). logged: in the order of the log; anything may be missing from
 * it, or be of no call. */
struct sim_follow_input {
    const struct sim_call *calls;
    uint32_t count;
    const struct sim_follow_entry *logged;
    uint32_t logged_count;
};
/* True: an explanation was found. False says nothing. */
bool sim_check_follow(struct sim_model *m, const struct sim_follow_input *in);
/* Copies the calls without those of unknown outcome that the log says nothing of: an explanation
 * without them is one. out: room for in->count. Returns how many. */
uint32_t sim_check_follow_happened(const struct sim_follow_input *in, struct sim_call *out);
#endif
