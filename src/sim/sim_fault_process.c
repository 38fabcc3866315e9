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
/* Recovery, rebuilding and snapshots are themselves cut short: at some time after a start, or
 * between two effects of the first turns. Reading the directory changes nothing. */
void sim_fault_crash_loop(struct sim_world *w, uint64_t name)
{
    struct sim_host *h = sim_fault_any_host(w);
    uint64_t times = prng_between(&w->rng, 2, 8);

    if (prng_chance(&w->rng, 1, 2)) {
        again_event(w, h->id | times << 8, name);
    } else if (h->node != NULL) {
        h->crashes_left = (uint32_t)times;
        h->crash_name = name;
        sim_host_crash(w, h, w->opt.fault[SIM_FAULT_POWER] && prng_chance(&w->rng, 1, 2));
        sim_host_start_in(w, h, prng_between(&w->rng, 1000, 100000));
    }
}

/* --- clocks --- */

void sim_fault_wall_jump(struct sim_world *w)
{
    struct sim_host *h = sim_fault_any_host(w);

    h->clock.wall_offset_ms += (int64_t)prng_below(&w->rng, 120001) - 60000;
    sim_say(w, SIM_LOG_SHORT, "n%u: its wall clock jumps and is now %ld ms off", h->id,
            h->clock.wall_offset_ms);
}

static void strobe_event(struct sim_world *w, uint64_t host, uint64_t back)
{
    struct sim_host *h = &w->hosts[host];

    if (sim_faults_on(w) && w->now_us < h->strobe_until_us) {
        h->clock.wall_offset_ms += back != 0 ? -h->strobe_ms : h->strobe_ms;
        sim_in(w, prng_between(&h->rng, 1000, 50000), strobe_event, host, back ^ 1);
    }
}

void sim_fault_strobe(struct sim_world *w)
{
    struct sim_host *h = sim_fault_any_host(w);
    bool running = w->now_us < h->strobe_until_us;

    h->strobe_ms = (int64_t)(1ULL << prng_between(&w->rng, 2, 18));
    h->strobe_until_us = w->now_us + sim_fault_length_us(w);
    sim_say(w, SIM_LOG_SHORT, "n%u wall clock strobes by %ld ms", h->id, h->strobe_ms);
    if (!running) {
        sim_in(w, 1, strobe_event, h->id, 0);
    }
}

void sim_fault_drift(struct sim_world *w)
{
    struct sim_host *h = sim_fault_any_host(w);

    sim_clock_drift(&h->clock, w->now_us, sim_clock_draw_ppm(&w->rng, w->opt.clock_base_ppm));
}

void sim_fault_clocks_apart(struct sim_world *w)
{
    struct sim_host *h = sim_fault_any_host(w);

    sim_clock_drift(&h->clock, w->now_us, sim_clock_draw_far_ppm(&w->rng));
    sim_say(w, SIM_LOG_SHORT, "n%u clock runs at %ld ppm", h->id, h->clock.drift_ppm);
}

/* --- starts and stops --- */

void sim_fault_mass_stop(struct sim_world *w)
{
    uint32_t count = (uint32_t)prng_between(&w->rng, w->opt.hosts / 2 + 1, w->opt.hosts);
    uint64_t first = prng_below(&w->rng, w->opt.hosts);

    for (uint32_t i = 0; i < count; i++) {
        sim_host_stop(w, &w->hosts[(first + i) % w->opt.hosts]);
    }
}

void sim_fault_starve(struct sim_world *w)
{
    struct sim_host *h = sim_fault_any_host(w);

    h->starve_us = 1ULL << prng_between(&w->rng, 10, 18); /* 1 to 260 ms */
    h->starve_until_us = w->now_us + sim_fault_length_us(w);
    sim_say(w, SIM_LOG_SHORT, "n%u starves: up to %lu us more per turn", h->id, h->starve_us);
}

void sim_fault_started(struct sim_world *w, struct sim_host *h)
{
    struct prng dice;

    if (h->crashes_left == 0 || !sim_faults_on(w)) {
        return;
    }
    dice = sim_dice(w, SIM_FOR_STRIKE, h->crash_name ^ (uint64_t)h->crashes_left << 56);
    h->crashes_left--;
    h->ambush = (struct sim_ambush){
        .fault = h->crash_name,
        .crash = true,
        .power = w->opt.fault[SIM_FAULT_POWER] && prng_chance(&dice, 1, 2),
        .place = SIM_AMBUSH_EFFECT,
        .turns = prng_chance(&dice, 1, 2) ? 0 : (uint32_t)prng_below(&dice, 24),
        .dice = prng_next(&dice) >> 8,
        .for_us = prng_between(&dice, 100, 100000),
    };
}
