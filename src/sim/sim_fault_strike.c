/* What strikes at the worst moments: elections, changes of membership, snapshots. */
#include "sim/sim_fault.h"
#include "sim/sim_world.h"

enum {
    STRIKE_CUT,
    STRIKE_MUTE,
    STRIKE_KILL,
    STRIKE_POWER,
    STRIKE_DOZE,
    STRIKE_VOTER,
    STRIKE_WITNESS,
    STRIKE_MINORITY,
    STRIKE_KEEP_LEARNER, /* of changes of membership only */
    STRIKES = STRIKE_KEEP_LEARNER,
};

/* From a moment to a few elections. */
static uint64_t strike_us(struct sim_world *w)
{
    return prng_between(&w->rng, w->opt.election_us_min / 4, 3 * w->opt.election_us_max);
}

static void freeze_both(struct sim_world *w, uint32_t a, uint32_t b, uint64_t us)
{
    sim_fault_freeze(w, a, b, us);
    sim_fault_freeze(w, b, a, us);
}

/* Its peers lose it; its clients do not. mute: it still hears them. */
static void cut_from_peers(struct sim_world *w, struct sim_host *h, bool mute)
{
    uint64_t us = strike_us(w);

    sim_say(w, SIM_LOG_SHORT, "leader n%u %s for %s", h->id,
            mute ? "is not heard by its peers" : "and its peers lose each other",
            sim_span(us).text);
    for (uint32_t i = 0; i < w->opt.hosts; i++) {
        if (i != h->id) {
            sim_fault_freeze(w, h->id, i, us);
            if (!mute) {
                sim_fault_freeze(w, i, h->id, us);
            }
        }
    }
}

/* h and the others of its side are left to themselves; who was left so before comes back. */
static void leave(struct sim_world *w, struct sim_host *h, uint32_t side)
{
    uint64_t us = prng_between(&w->rng, w->opt.election_us_max, 6 * w->opt.election_us_max);

    sim_say(w, SIM_LOG_SHORT, "leader n%u is left in a minority for %s: %s", h->id,
            sim_span(us).text, sim_sides(&w->opt, side).text);
    for (uint32_t a = 0; a < w->opt.hosts; a++) {
        for (uint32_t b = 0; b < w->opt.hosts; b++) {
            if ((side >> a & 1) != (side >> b & 1)) {
                sim_fault_freeze(w, a, b, us);
            } else if (a != b) {
                sim_net_open_link(w, a, b);
            }
        }
    }
}

/* One after the other leads, appends what only a few get, and vanishes [R fig. 8]. Sometimes it is
 * a majority that is left, and another leader cannot come. */
static void leave_minority(struct sim_world *w, struct sim_host *h)
{
    uint64_t with = prng_below(&w->rng, w->opt.hosts / 2 + prng_chance(&w->rng, 1, 4));
    uint64_t first = prng_between(&w->rng, 1, w->opt.hosts - 1);
    uint32_t side = 1U << h->id;

    for (uint32_t i = 0; i < with; i++) {
        side |= 1U << ((h->id + 1 + (first + i) % (w->opt.hosts - 1)) % w->opt.hosts);
    }
    leave(w, h, side);
    w->play = (struct sim_play){
        .act = with == 1 && w->opt.hosts == 5 ? SIM_ACT_LEFT : SIM_ACT_NONE,
        .leader = h->id,
        .side = side,
    };
}

/* With five, what a leader and one more have can be replaced on the leader alone: the next one is
 * left with just that one. Then whoever kept it may lead, and have it committed. */
static bool next_act(struct sim_world *w, struct sim_host *h, uint64_t name)
{
    enum sim_act act = w->play.act;

    if (act == SIM_ACT_LEFT && (w->play.side >> h->id & 1) == 0 && prng_chance(&w->rng, 3, 4)) {
        w->play.act = SIM_ACT_REPLACED;
        sim_fault_struck(w, name);
        leave(w, h, 1U << h->id | 1U << w->play.leader);
        return true;
    }
    w->play.act = SIM_ACT_NONE;
    return act == SIM_ACT_REPLACED && prng_chance(&w->rng, 2, 3);
}

static void witness_event(struct sim_world *w, uint64_t host_witness, uint64_t name)
{
    struct sim_host *h = &w->hosts[host_witness >> 8];

    if (!sim_faults_on(w)) {
        return;
    }
    w->rng = sim_dice(w, SIM_FOR_STRIKE, name ^ (host_witness + 1) << 40);
    freeze_both(w, (uint32_t)(host_witness & 255), h->id, 2 * w->opt.election_us_max);
    sim_host_crash(w, h, false);
    sim_host_start_in(w, h, 1000);
}

/* The leader keeps just as many voters as its lease needs; then these restart, far from it and
 * near the others, who have waited long enough to elect another. Until then clients only read on
 * this side: the others' logs would be too old to be elected. On the other side they wait, and
 * then ask whoever is. */
static void leave_witnesses(struct sim_world *w, struct sim_host *h, uint64_t name)
{
    uint32_t kept = (w->opt.hosts - 1) / 2;
    uint64_t us = prng_between(&w->rng, w->opt.election_us_min, 3 * w->opt.election_us_max / 2);
    uint64_t quiet_us = prng_chance(&w->rng, 3, 4) ? w->now_us + us : 0;

    h->only_reads_until_us = quiet_us;
    sim_say(w, SIM_LOG_SHORT, "leader n%u keeps only %u voters for %s; then these restart", h->id,
            kept, sim_span(us).text);
    for (uint32_t i = 1; i < w->opt.hosts; i++) {
        uint32_t other = (h->id + i) % w->opt.hosts;

        if (i <= kept) {
            sim_in(w, us, witness_event, h->id | (uint64_t)other << 8, name);
            w->hosts[other].only_reads_until_us = quiet_us;
        } else {
            w->hosts[other].rest_until_us = quiet_us;
            freeze_both(w, h->id, other, us + w->opt.election_us_max);
        }
    }
}

/* Is the replica of the partition on that host a learner, as h sees it? */
static bool is_learner(const struct sim_world *w, const struct sim_host *h, uint32_t host,
                       uint32_t part)
{
    struct node_group_view mine, its;

    if (w->hosts[host].node == NULL || !node_group_view(h->node, part, &mine) || !mine.here ||
        !node_group_view(w->hosts[host].node, part, &its) || !its.here) {
        return false;
    }
    return raft_conf_has(mine.conf, its.self) && !raft_conf_is_voter(mine.conf, its.self);
}

/* The leader loses the voters and keeps those who have no vote. */
static void keep_learners(struct sim_world *w, struct sim_host *h, uint32_t part)
{
    uint64_t us = strike_us(w);

    if (h->node == NULL) {
        return;
    }
    sim_say(w, SIM_LOG_SHORT, "leader n%u loses its voters and keeps its learners for %s", h->id,
            sim_span(us).text);
    for (uint32_t i = 0; i < w->opt.hosts; i++) {
        if (i != h->id && !is_learner(w, h, i, part)) {
            freeze_both(w, h->id, i, us);
        }
    }
}

struct aim {
    uint64_t host, kind, part;
};
static uint64_t aim_pack(struct aim a)
{
    return a.host | a.kind << 8 | a.part << 16;
}

static void strike(struct sim_world *w, struct aim at, uint64_t name)
{
    struct sim_host *h = &w->hosts[at.host];

    switch (at.kind) {
    case STRIKE_CUT:
    case STRIKE_MUTE:
        cut_from_peers(w, h, at.kind == STRIKE_MUTE);
        break;
    case STRIKE_VOTER: /* what it promised may not be on its disk yet */
        h = &w->hosts[(h->id + 1 + prng_below(&w->rng, w->opt.hosts - 1)) % w->opt.hosts];
        sim_host_crash(w, h, true);
        sim_host_start_in(w, h, prng_below(&w->rng, w->opt.election_us_min));
        break;
    case STRIKE_DOZE:
        h->doze_us = w->opt.election_us_min + strike_us(w);
        break;
    case STRIKE_WITNESS:
        leave_witnesses(w, h, name);
        break;
    case STRIKE_MINORITY:
        leave_minority(w, h);
        break;
    case STRIKE_KEEP_LEARNER:
        keep_learners(w, h, (uint32_t)at.part);
        break;
    case STRIKE_KILL:
    case STRIKE_POWER:
        sim_host_crash(w, h, at.kind == STRIKE_POWER);
        sim_host_start_in(w, h, strike_us(w));
        break;
    }
    sim_trace(w, 0x571, at.kind);
}

static void strike_event(struct sim_world *w, uint64_t aim, uint64_t name)
{
    if (sim_faults_on(w)) {
        w->rng = sim_dice(w, SIM_FOR_STRIKE, name ^ 1ULL << 63);
        sim_fault_struck(w, name);
        strike(w, (struct aim){aim & 255, aim >> 8 & 255, aim >> 16}, name);
    }
}

static uint64_t pick_strike(struct sim_world *w)
{
    uint64_t kind = prng_below(&w->rng, STRIKES);

    if (w->opt.profile == SIM_PROFILE_PAUSES && prng_chance(&w->rng, 2, 3)) {
        kind = prng_chance(&w->rng, w->opt.witness_percent, 100) ? STRIKE_WITNESS : STRIKE_DOZE;
    } else if (w->opt.profile == SIM_PROFILE_ELECTIONS && prng_chance(&w->rng, 2, 3)) {
        kind = prng_chance(&w->rng, 1, 2) ? STRIKE_MINORITY : STRIKE_CUT;
    }
    return kind;
}

void sim_fault_leader(struct sim_world *w, struct sim_host *h, uint64_t name)
{
    uint64_t round_us = 2 * (w->opt.latency_us + w->opt.jitter_us) + w->opt.disk_sync_us;
    struct aim at = {.host = h->id, .kind = pick_strike(w)};
    bool quiet = at.kind == STRIKE_CUT || at.kind == STRIKE_MUTE || at.kind == STRIKE_MINORITY;

    if (w->opt.hosts < 3) {
        return;
    }
    if (at.kind == STRIKE_DOZE || at.kind == STRIKE_WITNESS) { /* once it has a lease */
        sim_in(w, round_us + prng_below(&w->rng, 4 * w->opt.election_us_max), strike_event,
               aim_pack(at), name);
    } else if (quiet && prng_chance(&w->rng, 1, 2)) {
        sim_fault_struck(w, name);
        strike(w, at, name); /* before it could say anything */
    } else {
        sim_in(w, 1 + prng_below(&w->rng, 3 * round_us), strike_event, aim_pack(at), name);
    }
}

static bool may_strike(struct sim_world *w, enum sim_fault fault, uint64_t name)
{
    if (!sim_faults_on(w) || !w->opt.fault[fault] || w->opt.hosts < 3 ||
        !sim_options_fault_in(&w->opt, name)) {
        return false;
    }
    w->rng = sim_dice(w, SIM_FOR_STRIKE, name);
    return true;
}

void sim_fault_elected(struct sim_world *w, struct sim_host *h, uint32_t part, uint64_t term)
{
    uint64_t name = sim_name(part + 1, (uint32_t)term);

    if (!may_strike(w, SIM_FAULT_LEADER, name) ||
        (w->opt.profile == SIM_PROFILE_ELECTIONS && next_act(w, h, name))) {
        return;
    }
    if (prng_chance(&w->rng, w->opt.strike_permille, 1000)) {
        sim_fault_leader(w, h, name);
    }
}

/* Whoever leads does not hear that another is asked to: it may go on under its lease. */
static void leader_is_deaf(struct sim_world *w, const struct sim_host *h, uint32_t part,
                           uint64_t name)
{
    uint64_t us = prng_between(&w->rng, w->opt.election_us_min, 2 * w->opt.election_us_max);

    for (uint32_t leader = 0; leader < w->opt.hosts; leader++) {
        if (leader == h->id || !w->raft.seen[leader][part].was_leader) {
            continue;
        }
        sim_fault_struck(w, name);
        sim_say(w, SIM_LOG_SHORT, "leader n%u hears nothing of candidate n%u for %s", leader, h->id,
                sim_span(us).text);
        for (uint32_t i = 0; i < w->opt.hosts; i++) {
            if (i != leader) {
                sim_fault_freeze(w, i, leader, us);
            }
        }
    }
}

void sim_fault_candidate(struct sim_world *w, struct sim_host *h, uint32_t part, uint64_t term)
{
    uint64_t name = sim_name((h->id + 1) << 8 | (part + 1), (uint32_t)term);
    uint64_t us;

    if (!may_strike(w, SIM_FAULT_LEADER, name)) {
        return;
    }
    if (w->opt.profile == SIM_PROFILE_PAUSES && prng_chance(&w->rng, 1, 2)) {
        leader_is_deaf(w, h, part, name);
    }
    if (w->opt.profile != SIM_PROFILE_ELECTIONS ||
        !prng_chance(&w->rng, w->opt.strike_permille, 8000)) {
        return;
    }
    us = prng_between(&w->rng, w->opt.election_us_min, w->opt.election_us_max);
    sim_say(w, SIM_LOG_SHORT, "candidate n%u and its peers lose each other for %s", h->id,
            sim_span(us).text);
    sim_fault_struck(w, name);
    for (uint32_t i = 0; i < w->opt.hosts; i++) {
        if (i != h->id) {
            freeze_both(w, h->id, i, us); /* its requests for votes are on their way, and late */
        }
    }
}

/* The leader hears on, and is not heard: what it learns next it cannot pass on. Everybody else is
 * back, also those who led between the term of the entry and this one [R fig. 8 c]. */
void sim_fault_inherited(struct sim_world *w, struct sim_host *h, uint32_t part, uint64_t term)
{
    uint64_t name = sim_name(2U << 16 | (part + 1), (uint32_t)term), us;

    if (w->opt.profile != SIM_PROFILE_ELECTIONS || !may_strike(w, SIM_FAULT_LEADER, name) ||
        !prng_chance(&w->rng, 2, 3)) {
        return;
    }
    us = prng_between(&w->rng, 2 * w->opt.election_us_max, 6 * w->opt.election_us_max);
    sim_fault_struck(w, name);
    sim_say(w, SIM_LOG_SHORT,
            "leader n%u is not heard for %s, once a majority has an entry of an "
            "older term",
            h->id, sim_span(us).text);
    for (uint32_t a = 0; a < w->opt.hosts; a++) {
        for (uint32_t b = 0; b < w->opt.hosts; b++) {
            if (a == h->id && b != a) {
                sim_fault_freeze(w, a, b, us);
            } else if (a != b) {
                sim_net_open_link(w, a, b);
            }
        }
    }
    sim_trace(w, 0x571, STRIKES + 1);
}

void sim_fault_member(struct sim_world *w, struct sim_host *h, uint32_t part, uint64_t index)
{
    static const uint8_t kinds[] = {STRIKE_KEEP_LEARNER, STRIKE_KEEP_LEARNER, STRIKE_CUT,
                                    STRIKE_KILL,         STRIKE_POWER,        STRIKE_VOTER};
    uint64_t name = sim_name(1U << 16 | (part + 1), (uint32_t)index);
    struct aim at = {.host = h->id, .part = part};

    if (!may_strike(w, SIM_FAULT_MEMBER, name) || !prng_chance(&w->rng, 1, 2)) {
        return;
    }
    at.kind = kinds[prng_below(&w->rng, ARRAY_COUNT(kinds))];
    if ((at.kind == STRIKE_CUT || at.kind == STRIKE_KEEP_LEARNER) && prng_chance(&w->rng, 1, 2)) {
        sim_fault_struck(w, name);
        strike(w, at, name); /* nobody, or only a learner, hears of the new configuration */
    } else {
        sim_in(w, 1 + prng_below(&w->rng, 400000), strike_event, aim_pack(at), name);
    }
}

/* --- snapshots --- */

static void reset_event(struct sim_world *w, uint64_t host, uint64_t name)
{
    if (sim_faults_on(w)) {
        w->rng = sim_dice(w, SIM_FOR_STRIKE, name ^ 3ULL << 62);
        sim_net_reset_host(w, (uint32_t)host);
    }
}

static void snapshot_event(struct sim_world *w, uint64_t host, uint64_t name)
{
    struct sim_host *h = &w->hosts[host], *other;
    uint64_t what;

    if (!sim_faults_on(w)) {
        return;
    }
    w->rng = sim_dice(w, SIM_FOR_STRIKE, name ^ 1ULL << 63);
    other = &w->hosts[(host + 1 + prng_below(&w->rng, w->opt.hosts)) % w->opt.hosts];
    what = prng_below(&w->rng, 7);
    sim_fault_struck(w, name);
    sim_trace(w, 0x5a95, what);
    sim_say(w, SIM_LOG_SHORT, "n%u is struck at a snapshot, kind %lu", h->id, what);
    switch (what) {
    case 0:
    case 1:
        h = what == 0 ? h : other;
        sim_host_crash(w, h, w->opt.fault[SIM_FAULT_POWER] && prng_chance(&w->rng, 1, 2));
        sim_host_start_in(w, h, prng_between(&w->rng, 100, strike_us(w)));
        if (prng_chance(&w->rng, 1, 3)) {
            h->crashes_left = (uint32_t)prng_between(&w->rng, 1, 3);
            h->crash_name = name;
        }
        return;
    case 2:
        sim_fault_cut(w, h->id, other->id, strike_us(w));
        sim_fault_cut(w, other->id, h->id, strike_us(w));
        return;
    case 3:
        sim_host_pause(w, h, strike_us(w));
        return;
    default: /* it starts over while the disk is still at work for the one given up */
        if (w->opt.fault[SIM_FAULT_SLOW_DISK]) {
            h->disk_stall_until_us = w->now_us + prng_between(&w->rng, 100000, 1000000);
        }
        sim_in(w, prng_below(&w->rng, 20000), reset_event, h->id, name);
        return;
    }
}

/* The file is whole and about to get its name: the disk takes its time, the links break, and the
 * next snapshot begins before it has. */
static void stall_naming(struct sim_world *w, struct sim_host *h, struct prng *dice, uint64_t name)
{
    uint64_t us = 100000 + prng_between(dice, w->opt.election_us_min, 3 * w->opt.election_us_max);

    sim_fault_struck(w, name);
    sim_trace(w, 0x5a96, us);
    sim_say(w, SIM_LOG_SHORT, "n%u: its disk takes %s to name a snapshot, and its links break",
            h->id, sim_span(us).text);
    h->disk_stall_until_us = w->now_us + us;
    sim_in(w, 1 + prng_below(dice, 20000), reset_event, h->id, name);
}

void sim_fault_snapshot_op(struct sim_world *w, struct sim_host *h, bool naming)
{
    uint64_t name = sim_name(SIM_NAMES_SNAPSHOT + h->id, ++h->snapshot_ops), soon_us;
    struct prng dice;

    if (!sim_faults_on(w) || !w->opt.fault[SIM_FAULT_SNAPSHOT] ||
        !sim_options_fault_in(&w->opt, name)) {
        return;
    }
    dice = sim_dice(w, SIM_FOR_STRIKE, name);
    soon_us = w->opt.disk_sync_us + 4 * (w->opt.latency_us + w->opt.jitter_us);
    if (naming && w->opt.profile == SIM_PROFILE_SNAPSHOTS && w->opt.fault[SIM_FAULT_SLOW_DISK] &&
        prng_chance(&dice, 1, 4)) {
        stall_naming(w, h, &dice, name);
    } else if (prng_chance(&dice, w->opt.snapshot_permille, 1000)) {
        sim_in(w, prng_below(&dice, 2 * soon_us), snapshot_event, h->id, name);
    }
}
