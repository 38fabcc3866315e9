/* sim_fault.h - what goes wrong, and when: the classes a seed switched on. */
#ifndef SIM_FAULT_H
#define SIM_FAULT_H
#include "base/base.h"

struct sim_world;
struct sim_host;

/* The first of a chain of faults that lasts as long as the phase of faults. */
void sim_fault_begin(struct sim_world *w);
/* Nothing gets from one place to the other for a while. */
void sim_fault_cut(struct sim_world *w, uint32_t from, uint32_t to, uint64_t us);
/* A replica on h has just won an election: perhaps it is struck, now or soon. */
void sim_fault_leader(struct sim_world *w, struct sim_host *h);
/* End every fault: links work, everyone runs, disks have room. */
void sim_fault_heal(struct sim_world *w);
#endif
