/* What goes wrong with processes and their clocks. */
#include "sim/sim_fault.h"
#include "sim/sim_world.h"

void sim_fault_crash_some(struct sim_world *w, bool power, bool many)
{
    uint32_t count = many ? (uint32_t)prng_between(&w->rng, 2, w->opt.hosts) : 1;
    uint64_t first = prng_below(&w->rng, w->opt.hosts);
    bool at_once = prng_chance(&w->rng, 1, 2);

    for (uint32_t i = 0; i < count; i++) {
        struct sim_host *h = &w->hosts[(first + i) % w->opt.hosts];

        if (h->node != NULL) {
            sim_host_crash(w, h, power);
            sim_host_start_in(w, h, at_once ? 1000 : sim_fault_length_us(w));
        }
    }
}

static void again_event(struct sim_world *w, uint64_t host_left, uint64_t name)
{
    struct sim_host *h = &w->hosts[host_left & 255];
    uint64_t left = host_left >> 8;

    if (!sim_faults_on(w)) {
        return;
    }
    w->rng = sim_dice(w, SIM_FOR_FAULT, name ^ left << 48);
    if (h->node != NULL) {
        sim_host_crash(w, h, w->opt.fault[SIM_FAULT_POWER] && prng_chance(&w->rng, 1, 2));
        sim_host_start_in(w, h, 1000);
    }
    if (left > 1) {
        sim_in(w, prng_between(&w->rng, 2000, w->opt.election_us_max), again_event,
               h->id | (left - 1) << 8, name);
    }
}

/* Recovery, rebuilding and snapshots are themselves cut short. */
void sim_fault_crash_loop(struct sim_world *w, uint64_t name)
{
    uint64_t host = sim_fault_any_host(w)->id;

    again_event(w, host | prng_between(&w->rng, 2, 8) << 8, name);
}

/* --- clocks --- */

void sim_fault_wall_jump(struct sim_world *w)
{
    struct sim_host *h = sim_fault_any_host(w);

    h->clock.wall_offset_ms += (int64_t)prng_below(&w->rng, 120001) - 60000;
    sim_say(w, SIM_LOG_SHORT, "n%u: its wall clock jumps and is now %ld ms off", h->id,
            h->clock.wall_offset_ms);
}

void sim_fault_drift(struct sim_world *w)
{
    struct sim_host *h = sim_fault_any_host(w);

    sim_clock_drift(&h->clock, w->now_us, (int64_t)prng_below(&w->rng, 9001) - 4500);
}
