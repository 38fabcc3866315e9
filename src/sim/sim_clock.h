/* sim_clock.h - a machine's two clocks: one that only drifts, one that also jumps. */
#ifndef SIM_CLOCK_H
#define SIM_CLOCK_H
#include "base/base.h"

struct sim_clock {
    uint64_t anchor_us, anchor_mono_us; /* mono was anchor_mono at world time anchor */
    int64_t drift_ppm;
    int64_t wall_offset_ms;
};
/* Continuous: what was shown until now stays shown. */
void sim_clock_drift(struct sim_clock *c, uint64_t now_us, int64_t drift_ppm);
uint64_t sim_clock_mono_us(const struct sim_clock *c, uint64_t now_us);
uint64_t sim_clock_wall_ms(const struct sim_clock *c, uint64_t now_us);
/* World time at which the clock shows mono_us or just more. */
uint64_t sim_clock_world_us(const struct sim_clock *c, uint64_t mono_us);
#endif
