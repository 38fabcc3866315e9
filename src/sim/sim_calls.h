/* sim_calls.h - what can be said of calls without running them. */
#ifndef SIM_CALLS_H
#define SIM_CALLS_H
#include "sim/sim_model.h"

/* The known ones by time of call, as positions; out: room for count. Returns how many. */
uint32_t sim_calls_known(const struct sim_call *calls, uint32_t count, uint32_t *out);
/* The commands of one connection take effect in their order, even within one pipeline, whose
 * calls are of one time. Only known ones bind: an unknown one may take effect late.
 * after: by position, 1 + the known one before it on its connection, 0: none; next, unless NULL:
 * 1 + whatever was sent next there. */
void sim_calls_order(const struct sim_call *calls, uint32_t count, uint32_t *after, uint32_t *next);
/* Whatever c found, by its reply it changed nothing. */
bool sim_call_changed_nothing(const struct sim_model *m, const struct sim_call *c);
#endif
