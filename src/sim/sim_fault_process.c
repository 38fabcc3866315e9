/* What goes wrong with processes and their clocks; and what strikes those who just won an
 * election. */
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

/* --- clocks --- */

void sim_fault_wall_jump(struct sim_world *w)
{
    struct sim_host *h = sim_fault_any_host(w);

    h->clock.wall_offset_ms += (int64_t)prng_below(&w->rng, 120001) - 60000;
    sim_say(w, SIM_LOG_SHORT, "n%u wall clock jumps to offset %ld ms", h->id,
            h->clock.wall_offset_ms);
}

void sim_fault_drift(struct sim_world *w)
{
    struct sim_host *h = sim_fault_any_host(w);

    sim_clock_drift(&h->clock, w->now_us, (int64_t)prng_below(&w->rng, 9001) - 4500);
}

/* --- what strikes leaders --- */

enum { STRIKE_CUT, STRIKE_MUTE, STRIKE_KILL, STRIKE_POWER, STRIKE_DOZE, STRIKE_VOTER, STRIKES };

/* From a moment to a few elections. */
static uint64_t strike_us(struct sim_world *w)
{
    return prng_between(&w->rng, w->opt.election_us_min / 4, 3 * w->opt.election_us_max);
}

/* Its peers lose it; its clients do not. mute: it still hears them. */
static void cut_from_peers(struct sim_world *w, struct sim_host *h, bool mute)
{
    uint64_t us = strike_us(w);

    sim_say(w, SIM_LOG_SHORT, "leader n%u %s for %lu us", h->id, mute ? "muted" : "cut off", us);
    for (uint32_t i = 0; i < w->opt.hosts; i++) {
        if (i != h->id) {
            sim_fault_freeze(w, h->id, i, us);
            if (!mute) {
                sim_fault_freeze(w, i, h->id, us);
            }
        }
    }
}

static void strike(struct sim_world *w, struct sim_host *h, uint64_t kind)
{
    switch (kind) {
    case STRIKE_CUT:
    case STRIKE_MUTE:
        cut_from_peers(w, h, kind == STRIKE_MUTE);
        break;
    case STRIKE_VOTER: /* what it promised may not be on its disk yet */
        h = &w->hosts[(h->id + 1 + prng_below(&w->rng, w->opt.hosts - 1)) % w->opt.hosts];
        sim_host_crash(w, h, true);
        sim_host_start_in(w, h, prng_below(&w->rng, w->opt.election_us_min));
        break;
    case STRIKE_DOZE:
        h->doze_us = w->opt.election_us_min + strike_us(w);
        break;
    case STRIKE_KILL:
    case STRIKE_POWER:
        sim_host_crash(w, h, kind == STRIKE_POWER);
        sim_host_start_in(w, h, strike_us(w));
        break;
    }
    sim_trace(w, 0x571, kind);
}

static void strike_event(struct sim_world *w, uint64_t host_kind, uint64_t name)
{
    if (sim_faults_on(w)) {
        w->rng = sim_dice(w, SIM_FOR_STRIKE, name ^ 1ULL << 63);
        sim_fault_struck(w, name);
        strike(w, &w->hosts[host_kind & 255], host_kind >> 8);
    }
}

void sim_fault_leader(struct sim_world *w, struct sim_host *h, uint64_t name)
{
    uint64_t round_us = 2 * (w->opt.latency_us + w->opt.jitter_us) + w->opt.disk_sync_us;
    uint64_t kind = prng_below(&w->rng, STRIKES);

    if (w->opt.hosts < 3) {
        return;
    }
    if (w->opt.profile == SIM_PROFILE_PAUSES && prng_chance(&w->rng, 1, 2)) {
        kind = STRIKE_DOZE;
    } else if (w->opt.profile == SIM_PROFILE_ELECTIONS && prng_chance(&w->rng, 1, 2)) {
        kind = STRIKE_CUT;
    }
    if (kind == STRIKE_DOZE) { /* once it has a lease */
        sim_in(w, round_us + prng_below(&w->rng, 1000000), strike_event, h->id | kind << 8, name);
    } else if (kind <= STRIKE_MUTE && prng_chance(&w->rng, 1, 2)) {
        sim_fault_struck(w, name);
        strike(w, h, kind); /* before it could say anything */
    } else {
        sim_in(w, 1 + prng_below(&w->rng, 3 * round_us), strike_event, h->id | kind << 8, name);
    }
}

void sim_fault_elected(struct sim_world *w, struct sim_host *h, uint32_t part, uint64_t term)
{
    uint64_t name = sim_name(part + 1, (uint32_t)term);

    if (!sim_faults_on(w) || !w->opt.fault[SIM_FAULT_LEADER] || w->opt.hosts < 3 ||
        !sim_options_fault_in(&w->opt, name)) {
        return;
    }
    w->rng = sim_dice(w, SIM_FOR_STRIKE, name);
    if (prng_chance(&w->rng, w->opt.strike_permille, 1000)) {
        sim_fault_leader(w, h, name);
    }
}
