#include "sim/sim_fault.h"

#include "sim/sim_world.h"

static void fault_event(struct sim_world *w, uint64_t a, uint64_t b);

static uint64_t length_us(struct sim_world *w)
{
    return prng_between(&w->rng, 1000, w->opt.fault_long_us);
}

static struct sim_host *any_host(struct sim_world *w)
{
    return &w->hosts[prng_below(&w->rng, w->opt.hosts)];
}

/* One that leads something, if there is any. */
static struct sim_host *any_leader(struct sim_world *w)
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

/* --- processes and machines --- */

static void crash_some(struct sim_world *w, bool power, bool many)
{
    uint32_t count = many ? (uint32_t)prng_between(&w->rng, 2, w->opt.hosts) : 1;
    uint64_t first = prng_below(&w->rng, w->opt.hosts);
    bool at_once = prng_chance(&w->rng, 1, 2);

    for (uint32_t i = 0; i < count; i++) {
        struct sim_host *h = &w->hosts[(first + i) % w->opt.hosts];

        if (h->node != NULL) {
            sim_host_crash(w, h, power);
            sim_host_start_in(w, h, at_once ? 1000 : length_us(w));
        }
    }
}

static void wipe_one(struct sim_world *w)
{
    struct sim_host *h = any_host(w);
    struct diag why;

    /* Two at a time would be a majority's memory: nothing could survive that. */
    if (w->opt.hosts < 3 || !sim_check_raft_converged(w, &why)) {
        return;
    }
    sim_say(w, SIM_LOG_SHORT, "n%u loses its directory", h->id);
    sim_host_crash(w, h, true);
    sim_disk_wipe(&h->disk);
    h->wiped = true;
    h->impostor = prng_chance(&w->rng, 1, 3);
    h->log_write_count = 0;
    sim_host_start_in(w, h, length_us(w));
}

/* A bit rots in one of the older batches of a log, seen at the next start. Never in the
 * newest, which nobody could tell from one that was torn; never in two replicas at a time. */
static void flip_one(struct sim_world *w)
{
    struct sim_host *h = any_host(w);
    const struct sim_log_write *at;
    uint64_t pick, offset;
    struct diag why;

    if (w->opt.hosts < 3 || h->log_write_count < SIM_LOG_WRITES ||
        !sim_check_raft_converged(w, &why)) {
        return;
    }
    sim_host_crash(w, h, false);
    pick = h->log_write_count - prng_between(&w->rng, 4, SIM_LOG_WRITES - 1);
    at = &h->log_writes[pick % SIM_LOG_WRITES];
    offset = at->offset + prng_below(&w->rng, at->bytes);
    if (sim_disk_flip(&h->disk, at->path, offset, (unsigned)prng_below(&w->rng, 8))) {
        sim_say(w, SIM_LOG_SHORT, "n%u a bit flips in %s at %lu", h->id, at->path, offset);
    }
    h->log_write_count = 0;
    sim_host_start_in(w, h, length_us(w));
}

/* --- links --- */

static void unblock_event(struct sim_world *w, uint64_t from, uint64_t to)
{
    if (w->phase == SIM_FAULTS) {
        sim_net_block(w, (uint32_t)from, (uint32_t)to, false);
    }
}

void sim_fault_cut(struct sim_world *w, uint32_t from, uint32_t to, uint64_t us)
{
    sim_net_block(w, from, to, true);
    sim_in(w, us, unblock_event, from, to);
}

static void partition(struct sim_world *w, bool one_way)
{
    /* Each place falls on a side; clients may be on either. */
    uint64_t side = prng_below(&w->rng, 1U << SIM_PLACES);
    uint64_t us = length_us(w);
    bool bridge = !one_way && prng_chance(&w->rng, 1, 4);
    uint64_t middle = prng_below(&w->rng, w->opt.hosts); /* reaches both sides */

    sim_say(w, SIM_LOG_SHORT, "partition %s sides %lx for %lu us", one_way ? "one way" : "", side,
            us);
    for (uint32_t from = 0; from < SIM_PLACES; from++) {
        for (uint32_t to = 0; to < SIM_PLACES; to++) {
            bool cut = (side >> from & 1) != (side >> to & 1);

            if (bridge && (from == middle || to == middle)) {
                cut = false;
            }
            if (cut && (!one_way || (side >> from & 1) == 1)) {
                sim_fault_cut(w, from, to, one_way ? us : us + prng_below(&w->rng, us / 2 + 1));
            }
        }
    }
}

static void unslow_event(struct sim_world *w, uint64_t from, uint64_t to)
{
    w->net.slow_us[from][to] = 0;
}

static void slow_link(struct sim_world *w)
{
    uint64_t from = prng_below(&w->rng, SIM_PLACES);
    uint64_t to = prng_below(&w->rng, SIM_PLACES);

    w->net.slow_us[from][to] = prng_between(&w->rng, 1000, 500000);
    sim_say(w, SIM_LOG_SHORT, "link %lu->%lu slow by %lu us", from, to, w->net.slow_us[from][to]);
    sim_in(w, length_us(w), unslow_event, from, to);
}

/* --- disks and clocks --- */

static void room_event(struct sim_world *w, uint64_t host, uint64_t unused)
{
    (void)unused;
    w->hosts[host].disk.full = false;
}

static void disk_full(struct sim_world *w)
{
    struct sim_host *h = any_host(w);

    h->disk.full = true;
    sim_say(w, SIM_LOG_SHORT, "n%u disk full", h->id);
    sim_in(w, length_us(w), room_event, h->id, 0);
}

static void wall_jump(struct sim_world *w)
{
    struct sim_host *h = any_host(w);

    h->clock.wall_offset_ms += (int64_t)prng_below(&w->rng, 120001) - 60000;
    sim_say(w, SIM_LOG_SHORT, "n%u wall clock jumps to offset %ld ms", h->id,
            h->clock.wall_offset_ms);
}

static void drift(struct sim_world *w)
{
    struct sim_host *h = any_host(w);

    sim_clock_drift(&h->clock, w->now_us, (int64_t)prng_below(&w->rng, 9001) - 4500);
}

/* --- what strikes leaders --- */

enum { STRIKE_CUT, STRIKE_MUTE, STRIKE_KILL, STRIKE_POWER, STRIKE_DOZE, STRIKE_VOTER, STRIKES };

/* From a moment to a few elections. */
static uint64_t strike_us(struct sim_world *w)
{
    return prng_between(&w->rng, w->opt.election_us_min / 4, 3 * w->opt.election_us_max);
}

static void freeze(struct sim_world *w, uint32_t from, uint32_t to, uint64_t us)
{
    sim_net_freeze(w, from, to);
    sim_in(w, us, unblock_event, from, to);
}

/* Its peers lose it; its clients do not. mute: it still hears them. */
static void cut_from_peers(struct sim_world *w, struct sim_host *h, bool mute)
{
    uint64_t us = strike_us(w);

    sim_say(w, SIM_LOG_SHORT, "leader n%u %s for %lu us", h->id, mute ? "muted" : "cut off", us);
    for (uint32_t i = 0; i < w->opt.hosts; i++) {
        if (i != h->id) {
            freeze(w, h->id, i, us);
            if (!mute) {
                freeze(w, i, h->id, us);
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
    w->faults++;
    sim_trace(w, 0x571, kind);
}

static void strike_event(struct sim_world *w, uint64_t host, uint64_t kind)
{
    if (w->phase == SIM_FAULTS) {
        strike(w, &w->hosts[host], kind);
    }
}

void sim_fault_leader(struct sim_world *w, struct sim_host *h)
{
    uint64_t round_us = 2 * (w->opt.latency_us + w->opt.jitter_us) + w->opt.disk_sync_us;
    uint64_t kind;

    if (w->phase != SIM_FAULTS || !w->opt.fault[SIM_FAULT_LEADER] || w->opt.hosts < 3 ||
        !prng_chance(&w->rng, w->opt.strike_permille, 1000)) {
        return;
    }
    kind = prng_below(&w->rng, STRIKES);
    if (w->opt.profile == SIM_PROFILE_PAUSES && prng_chance(&w->rng, 1, 2)) {
        kind = STRIKE_DOZE;
    } else if (w->opt.profile == SIM_PROFILE_ELECTIONS && prng_chance(&w->rng, 1, 2)) {
        kind = STRIKE_CUT;
    }
    if (kind == STRIKE_DOZE) { /* once it has a lease */
        sim_in(w, round_us + prng_below(&w->rng, 1000000), strike_event, h->id, kind);
    } else if (kind <= STRIKE_MUTE && prng_chance(&w->rng, 1, 2)) {
        strike(w, h, kind); /* before it could say anything */
    } else {
        sim_in(w, 1 + prng_below(&w->rng, 3 * round_us), strike_event, h->id, kind);
    }
}

static void one_fault(struct sim_world *w, enum sim_fault fault)
{
    struct sim_host *h = any_host(w);

    switch (fault) {
    case SIM_FAULT_KILL:
    case SIM_FAULT_POWER:
        crash_some(w, fault == SIM_FAULT_POWER, false);
        break;
    case SIM_FAULT_MASS:
        if (w->opt.hosts > 1) {
            crash_some(w, w->opt.fault[SIM_FAULT_POWER] && prng_chance(&w->rng, 1, 2), true);
        }
        break;
    case SIM_FAULT_PAUSE:
        if (prng_chance(&w->rng, 1, 2)) {
            any_leader(w)->doze_us = length_us(w);
        } else {
            sim_host_pause(w, h, length_us(w));
        }
        break;
    case SIM_FAULT_PARTITION:
    case SIM_FAULT_ONE_WAY:
        partition(w, fault == SIM_FAULT_ONE_WAY);
        break;
    case SIM_FAULT_RESET:
        sim_net_break_one(w, prng_chance(&w->rng, 1, 2));
        break;
    case SIM_FAULT_SLOW_LINK:
        slow_link(w);
        break;
    case SIM_FAULT_WALL_JUMP:
        wall_jump(w);
        break;
    case SIM_FAULT_DRIFT:
        drift(w);
        break;
    case SIM_FAULT_SLOW_DISK:
        h->disk_stall_until_us = w->now_us + length_us(w);
        break;
    case SIM_FAULT_DISK_FULL:
        disk_full(w);
        break;
    case SIM_FAULT_DISK_ERROR:
        h->fail_next_write = true;
        break;
    case SIM_FAULT_WIPE:
        wipe_one(w);
        break;
    case SIM_FAULT_FLIP:
        flip_one(w);
        break;
    case SIM_FAULT_STOP:
        sim_host_stop(w, h);
        break;
    case SIM_FAULT_LEADER:
        sim_fault_leader(w, any_leader(w));
        break;
    case SIM_FAULT_TURN_CRASH: /* these three happen by themselves, all the time */
    case SIM_FAULT_TURN_PAUSE:
    case SIM_FAULT_FRAMES:
    case SIM_FAULT_COUNT:
        break;
    }
}

static void fault_event(struct sim_world *w, uint64_t a, uint64_t b)
{
    enum sim_fault fault = (enum sim_fault)prng_below(&w->rng, SIM_FAULT_COUNT);

    (void)a;
    (void)b;
    if (w->phase != SIM_FAULTS) {
        return;
    }
    if (w->opt.profile == SIM_PROFILE_ELECTIONS && prng_chance(&w->rng, 1, 2)) {
        fault = SIM_FAULT_LEADER; /* so that it is never quiet for long */
    }
    for (unsigned i = 0; i < SIM_FAULT_COUNT && !w->opt.fault[fault]; i++) {
        fault = (enum sim_fault)((fault + 1) % SIM_FAULT_COUNT);
    }
    if (w->opt.fault[fault]) {
        w->faults++;
        sim_trace(w, 0xfa017, fault);
        one_fault(w, fault);
    }
    sim_in(w, 1 + sim_around(w, w->opt.fault_gap_us), fault_event, 0, 0);
}

void sim_fault_begin(struct sim_world *w)
{
    sim_in(w, sim_around(w, w->opt.fault_gap_us), fault_event, 0, 0);
}

void sim_fault_heal(struct sim_world *w)
{
    sim_net_heal(w);
    for (uint32_t i = 0; i < w->opt.hosts; i++) {
        struct sim_host *h = &w->hosts[i];

        h->disk.full = false;
        h->fail_next_write = false;
        h->disk_stall_until_us = 0;
        if (h->clock.drift_ppm != 0) {
            sim_clock_drift(&h->clock, w->now_us, h->clock.drift_ppm / 2);
        }
        sim_host_resume(w, h);
        sim_host_start_in(w, h, 1000);
    }
}
