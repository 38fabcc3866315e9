/* sim_judge.h - what a run recorded, brought before the checkers. */
#ifndef SIM_JUDGE_H
#define SIM_JUDGE_H
#include "base/base.h"

struct sim_world;
struct sim_result;

/* A host read its wall clock: the bounds of every logged time come from these. */
void sim_judge_wall(struct sim_world *w, uint32_t host, uint64_t wall_ms);
/* At the end: a finding becomes the run's, the counts go to out. */
void sim_judge_history(struct sim_world *w, struct sim_result *out);
#endif
