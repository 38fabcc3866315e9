/* sim_clock.h - a machine's two clocks: one that only drifts, one that also jumps. */
#ifndef SIM_CLOCK_H
#define SIM_CLOCK_H
#include "base/base_prng.h"

struct sim_clock {
    uint64_t anchor_us, anchor_mono_us; /* mono was anchor_mono at world time anchor */
    int64_t drift_ppm;
    int64_t wall_offset_ms;
};
/* How far the rates of two clocks may be apart for leases to hold: lease_drift_ppm. */
enum { SIM_CLOCKS_APART_PPM = 10000 };
/* A rate between base_ppm and that much more; often one of the two ends. */
int64_t sim_clock_draw_ppm(struct prng *p, int64_t base_ppm);
/* Anything from half the speed to twice. */
int64_t sim_clock_draw_far_ppm(struct prng *p);
/* Both clocks stood still since then, as a paused virtual machine's do. */
void sim_clock_stood(struct sim_clock *c, uint64_t since_us, uint64_t now_us);
/* Rates come closer. */
void sim_clock_calm(struct sim_clock *c, uint64_t now_us);
/* Continuous: what was shown until now stays shown. */
void sim_clock_drift(struct sim_clock *c, uint64_t now_us, int64_t drift_ppm);
uint64_t sim_clock_mono_us(const struct sim_clock *c, uint64_t now_us);
uint64_t sim_clock_wall_ms(const struct sim_clock *c, uint64_t now_us);
/* World time at which the clock shows mono_us or just more. */
uint64_t sim_clock_world_us(const struct sim_clock *c, uint64_t mono_us);
#endif
