#include "sim/sim_fault.h"

#include "sim/sim_world.h"

/* Faults have names. Those of the chain are 1, 2, 3 and so on; a strike at whoever won the election
 * of a term is PARTITION + 1 . TERM, one at a snapshot 100 + HOST . NUMBER. Whatever a fault draws,
 * it draws from dice of that name: the n-th is the same fault at the same time, whichever others
 * were left out of the run. */

uint64_t sim_fault_length_us(struct sim_world *w)
{
    return prng_between(&w->rng, 1000, w->opt.fault_long_us);
}

struct sim_host *sim_fault_any_host(struct sim_world *w)
{
    return &w->hosts[prng_below(&w->rng, w->opt.hosts)];
}

/* One that leads something, if there is any. */
struct sim_host *sim_fault_any_leader(struct sim_world *w)
{
    uint64_t first = prng_below(&w->rng, w->opt.hosts);

    for (uint32_t i = 0; i < w->opt.hosts; i++) {
        uint32_t id = (uint32_t)(first + i) % w->opt.hosts;

        for (uint32_t part = 0; part < w->opt.partitions; part++) {
            if (w->hosts[id].node != NULL && w->raft.seen[id][part].was_leader) {
                return &w->hosts[id];
            }
        }
    }
    return &w->hosts[first];
}

/* --- what waits for a turn --- */

static void ambush(struct sim_world *w, struct sim_host *h, bool crash, uint64_t name)
{
    struct sim_ambush *a = &h->ambush;

    *a = (struct sim_ambush){.fault = name,
                             .crash = crash,
                             .power = w->opt.fault[SIM_FAULT_POWER] && prng_chance(&w->rng, 1, 2),
                             .turns = (uint32_t)prng_between(&w->rng, 1, 64),
                             .dice = prng_next(&w->rng) >> 8};
    if (crash) {
        a->place = SIM_AMBUSH_EFFECT;
        a->for_us = prng_between(&w->rng, 100, 2 * w->opt.fault_long_us / 3);
    } else {
        a->place = (enum sim_ambush_place)prng_below(&w->rng, SIM_AMBUSH_PLACES);
        a->for_us = prng_between(&w->rng, 1000, w->opt.fault_long_us);
    }
}

void sim_fault_struck(struct sim_world *w, uint64_t name)
{
    w->faults++;
    w->fault_now = name;
    if (w->opt.record != NULL) {
        sim_names_add(&w->opt.record->faults, name);
    }
}

static void kill_one(struct sim_world *w)
{
    sim_fault_crash_some(w, false, false);
}

static void power_one(struct sim_world *w)
{
    sim_fault_crash_some(w, true, false);
}

static void crash_many(struct sim_world *w)
{
    if (w->opt.hosts > 1) {
        sim_fault_crash_some(w, w->opt.fault[SIM_FAULT_POWER] && prng_chance(&w->rng, 1, 2), true);
    }
}

static void pause_one(struct sim_world *w)
{
    if (prng_chance(&w->rng, 1, 2)) {
        sim_fault_any_leader(w)->doze_us = sim_fault_length_us(w);
    } else {
        sim_host_pause(w, sim_fault_any_host(w), sim_fault_length_us(w));
    }
}

static void break_one(struct sim_world *w)
{
    sim_net_break_one(w, prng_chance(&w->rng, 1, 2));
}

/* It hands its leadership over, and half of the time does not hear what comes of it. */
static void stop_one(struct sim_world *w)
{
    bool leads = w->opt.profile == SIM_PROFILE_PAUSES; /* and may think that it has a lease */
    struct sim_host *h = leads ? sim_fault_any_leader(w) : sim_fault_any_host(w);
    bool deaf = prng_chance(&w->rng, 1, 2);

    sim_host_stop(w, h);
    for (uint32_t i = 0; i < w->opt.hosts; i++) {
        if (deaf && i != h->id) {
            sim_fault_freeze(w, i, h->id, 2 * w->opt.election_us_max);
        }
    }
}

/* One fault of the class. NULL: it happens by itself, or has a name of its own: see one_fault(). */
static void (*const faults[SIM_FAULT_COUNT])(struct sim_world *w) = {
    [SIM_FAULT_KILL] = kill_one,
    [SIM_FAULT_POWER] = power_one,
    [SIM_FAULT_MASS] = crash_many,
    [SIM_FAULT_PAUSE] = pause_one,
    [SIM_FAULT_STARVE] = sim_fault_starve,
    [SIM_FAULT_PARTITION] = sim_fault_partition,
    [SIM_FAULT_ONE_WAY] = sim_fault_one_way,
    [SIM_FAULT_RESET] = break_one,
    [SIM_FAULT_SLOW_LINK] = sim_fault_slow_link,
    [SIM_FAULT_CLOG] = sim_fault_clog,
    [SIM_FAULT_SWIZZLE] = sim_fault_swizzle,
    [SIM_FAULT_HALF_OPEN] = sim_net_forget_one,
    [SIM_FAULT_LOSS] = sim_fault_loss,
    [SIM_FAULT_NARROW] = sim_fault_narrow,
    [SIM_FAULT_SLOW_READER] = sim_fault_slow_reader,
    [SIM_FAULT_FLOOD] = sim_fault_flood,
    [SIM_FAULT_WALL_JUMP] = sim_fault_wall_jump,
    [SIM_FAULT_STROBE] = sim_fault_strobe,
    [SIM_FAULT_CLOCKS_APART] = sim_fault_clocks_apart,
    [SIM_FAULT_DRIFT] = sim_fault_drift,
    [SIM_FAULT_SLOW_DISK] = sim_fault_slow_disk,
    [SIM_FAULT_DISK_FULL] = sim_fault_disk_full,
    [SIM_FAULT_READ_ONLY] = sim_fault_read_only,
    [SIM_FAULT_DISK_ERROR] = sim_fault_disk_error,
    [SIM_FAULT_MISDIRECT] = sim_fault_misdirect,
    [SIM_FAULT_CORRUPT] = sim_fault_corrupt,
    [SIM_FAULT_WIPE] = sim_fault_wipe,
    [SIM_FAULT_FLIP] = sim_fault_flip,
    [SIM_FAULT_ROT] = sim_fault_rot,
    [SIM_FAULT_LATENT] = sim_fault_latent,
    [SIM_FAULT_LOST_FILE] = sim_fault_lost_file,
    [SIM_FAULT_OLD_IMAGE] = sim_fault_old_image,
    [SIM_FAULT_STOP] = stop_one,
    [SIM_FAULT_MEMORY] = sim_rot_some,
    [SIM_FAULT_MASS_STOP] = sim_fault_mass_stop,
    [SIM_FAULT_PACKETS] = sim_fault_packets,
    [SIM_FAULT_CHURN] = sim_churn_some,
    [SIM_FAULT_STREAMS] = sim_fault_streams,
};

static void one_fault(struct sim_world *w, enum sim_fault fault, uint64_t name)
{
    if (fault == SIM_FAULT_LEADER) {
        sim_fault_leader(w, sim_fault_any_leader(w), name);
    } else if (fault == SIM_FAULT_CRASH_LOOP) {
        sim_fault_crash_loop(w, name);
    } else if (fault == SIM_FAULT_TURN_CRASH || fault == SIM_FAULT_TURN_PAUSE) {
        ambush(w, sim_fault_any_host(w), fault == SIM_FAULT_TURN_CRASH, name);
    } else if (faults[fault] != NULL) {
        faults[fault](w);
    }
}

static bool inside_turns(enum sim_fault fault)
{
    return fault == SIM_FAULT_TURN_CRASH || fault == SIM_FAULT_TURN_PAUSE;
}

/* Classes that are no single faults: there all the time, or called for. */
static bool continuous(enum sim_fault fault)
{
    return fault == SIM_FAULT_FRAMES || fault == SIM_FAULT_LATE_ACCEPT ||
           fault == SIM_FAULT_MEMBER || fault == SIM_FAULT_SNAPSHOT;
}

/* The class of the next fault, from w->rng; SIM_FAULT_COUNT: the seed has none of that kind.
 * Classes left out by hand are drawn all the same, and then do nothing: the others stay what they
 * were. */
static enum sim_fault pick_class(struct sim_world *w, bool in_turn)
{
    enum sim_fault fault = (enum sim_fault)prng_below(&w->rng, SIM_FAULT_COUNT);

    if (!in_turn && w->opt.profile == SIM_PROFILE_ELECTIONS && prng_chance(&w->rng, 1, 2)) {
        return SIM_FAULT_LEADER; /* so that it is never quiet for long */
    }
    if (!in_turn && (w->opt.faults_drawn & sim_fault_bit(SIM_FAULT_CHURN)) != 0 &&
        prng_chance(&w->rng, 1, 5)) {
        return SIM_FAULT_CHURN; /* beside so many other classes it would be rare */
    }
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        if ((w->opt.faults_drawn & sim_fault_bit(fault)) != 0 && !continuous(fault) &&
            inside_turns(fault) == in_turn) {
            return fault;
        }
        fault = (enum sim_fault)((fault + 1) % SIM_FAULT_COUNT);
    }
    return SIM_FAULT_COUNT;
}

static bool deferred(enum sim_fault fault)
{
    return inside_turns(fault) || fault == SIM_FAULT_LEADER;
}

/* Two chains in one: faults that take time, and those that wait inside a turn. */
static void fault_event(struct sim_world *w, uint64_t name, uint64_t unused)
{
    uint64_t both_us = w->opt.fault_gap_us + w->opt.turn_gap_us;
    uint64_t gap_us = w->opt.fault_gap_us * w->opt.turn_gap_us / both_us;
    enum sim_fault fault;

    (void)unused;
    if (w->phase != SIM_FAULTS) {
        return;
    }
    w->rng = sim_dice(w, SIM_FOR_FAULT, name);
    sim_in(w, 1 + sim_around(w, gap_us), fault_event, name + 1, 0);
    fault = pick_class(w, prng_chance(&w->rng, w->opt.fault_gap_us, both_us));
    if (fault == SIM_FAULT_COUNT || !w->opt.fault[fault] || !sim_options_fault_in(&w->opt, name) ||
        w->truce) {
        return;
    }
    sim_trace(w, 0xfa017, fault);
    if (!deferred(fault)) {
        sim_fault_struck(w, name);
    }
    one_fault(w, fault, name);
}

void sim_fault_begin(struct sim_world *w)
{
    w->rng = sim_dice(w, SIM_FOR_FAULT, 0);
    sim_in(w, sim_around(w, w->opt.fault_gap_us), fault_event, 1, 0);
}

void sim_fault_heal_host(struct sim_world *w, struct sim_host *h)
{
    h->ambush = (struct sim_ambush){0};
    sim_clock_calm(&h->clock, w->now_us);
    h->starve_until_us = h->strobe_until_us = 0;
    h->crashes_left = 0;
    h->stays_down = false;
    sim_host_resume(w, h);
    sim_host_start_in(w, h, 1000);
}

void sim_fault_heal(struct sim_world *w)
{
    w->rng = sim_dice(w, SIM_FOR_HEAL, 0);
    sim_net_heal(w);
    sim_fault_disks_heal(w);
    for (uint32_t i = 0; i < w->opt.hosts; i++) {
        sim_fault_heal_host(w, &w->hosts[i]);
    }
}
