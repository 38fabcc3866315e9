#include "sim/sim_options.h"

#include "sim/sim_story.h"

#include <stdio.h>
#include <string.h>

#define SIM_BUG_NAME(id, name, what) name,
#define PLANTED_NAME(id, name, room, what) name,
static const char *const bug_names[] = {SIM_BUG_LIST(SIM_BUG_NAME) PLANTED_LIST(PLANTED_NAME)};
#define SIM_BUG_WHAT(id, name, what) what,
#define PLANTED_WHAT(id, name, room, what) what,
static const char *const bug_whats[] = {SIM_BUG_LIST(SIM_BUG_WHAT) PLANTED_LIST(PLANTED_WHAT)};
#define SIM_BUG_ROOM(id, name, what) "sim",
#define PLANTED_ROOM(id, name, room, what) room,
static const char *const bug_rooms[] = {SIM_BUG_LIST(SIM_BUG_ROOM) PLANTED_LIST(PLANTED_ROOM)};
#define SIM_FAULT_NAME(id, name, what) name,
static const char *const fault_names[] = {SIM_FAULT_LIST(SIM_FAULT_NAME)};
#define SIM_FAULT_WHAT(id, name, what) what,
static const char *const fault_whats[] = {SIM_FAULT_LIST(SIM_FAULT_WHAT)};
#define SIM_PROFILE_NAME(id, name) name,
static const char *const profile_names[] = {SIM_PROFILE_LIST(SIM_PROFILE_NAME)};

const char *sim_bug_name(enum sim_bug bug)
{
    CHECK(bug < SIM_BUG_COUNT);
    return bug_names[bug];
}

const char *sim_bug_what(enum sim_bug bug)
{
    CHECK(bug < SIM_BUG_COUNT);
    return bug_whats[bug];
}

const char *sim_bug_room(enum sim_bug bug)
{
    CHECK(bug < SIM_BUG_COUNT);
    return bug_rooms[bug];
}

void sim_bug_plant(enum sim_bug bug)
{
    CHECK(bug < SIM_BUG_COUNT);
#ifdef SYNOD_PLANTED
    /* The product's bugs are the last ones, in the order of their own list. */
    unsigned first = SIM_BUG_COUNT - (PLANTED_COUNT - 1);

    planted_now = bug < first ? PLANTED_NONE : (enum planted)(bug - first + 1);
#endif
}

const char *sim_fault_name(enum sim_fault fault)
{
    CHECK(fault < SIM_FAULT_COUNT);
    return fault_names[fault];
}

const char *sim_fault_what(enum sim_fault fault)
{
    CHECK(fault < SIM_FAULT_COUNT);
    return fault_whats[fault];
}

static uint64_t pick(struct prng *p, const uint64_t *of, size_t count)
{
    return of[prng_below(p, count)];
}
#define PICK(p, ...)                                                                               \
    pick((p), (const uint64_t[]){__VA_ARGS__},                                                     \
         sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static void draw_product(struct sim_options *o, struct prng *p)
{
    o->hosts = (uint32_t)PICK(p, 1, 3, 3, 3, 3, 3, 3, 5);
    o->partitions = (uint32_t)PICK(p, 1, 2, 4, 4, 8);
    o->replicas = o->hosts == 5 ? (uint32_t)PICK(p, 3, 5) : 3;
    o->heartbeat_us = PICK(p, 20000, 50000, 50000, 100000);
    o->election_us_min = o->heartbeat_us * PICK(p, 4, 6, 6, 10);
    o->election_us_max = o->election_us_min * PICK(p, 2, 2, 3, 6);
    o->request_timeout_us = PICK(p, 1000000, 2000000, 5000000);
    o->lease_reads = prng_chance(p, 3, 4);
    o->segment_bytes = (uint32_t)PICK(p, 64U << 10, 64U << 10, 128U << 10, 1U << 20);
    o->checkpoint_log_bytes = PICK(p, 64U << 10, 256U << 10, 1U << 20, 8U << 20);
    o->append_bytes_max = (uint32_t)PICK(p, 1, 1, 1000, 256U << 10);
    o->inflight_bytes_max = (uint32_t)PICK(p, 16U << 10, 64U << 10, 4U << 20);
    o->inflight_count_max = (uint32_t)PICK(p, 16, 32, 128);
    o->snap_chunk_bytes = (uint32_t)PICK(p, 10, 1000, 64U << 10);
    o->snap_piece_bytes = (uint32_t)PICK(p, 4000, 16U << 10, 64U << 10);
    o->snap_window = (uint32_t)PICK(p, 1, 1, 2, 8);
    o->log_memory_bytes = PICK(p, 16U << 10, 16U << 10, 64U << 10, 8U << 20);
}

static void draw_workload(struct sim_options *o, struct prng *p)
{
    o->clients = (uint32_t)prng_between(p, 2, 8);
    o->keys = (uint32_t)prng_between(p, 3, 12);
    o->value_bytes_max = (uint32_t)PICK(p, 0, 16, 100, 1000, 8000);
    o->pipeline_max = (uint32_t)PICK(p, 1, 1, 3, 8);
    o->think_us = PICK(p, 2000, 10000, 30000, 100000);
    o->read_percent = (uint32_t)PICK(p, 10, 30, 50, 80);
    for (unsigned i = 0; i < SIM_FAMILY_COUNT; i++) {
        o->family_weight[i] = (uint32_t)PICK(p, 0, 1, 1, 3);
    }
    o->family_weight[prng_below(p, SIM_FAMILY_COUNT)] = 2; /* never nothing at all */
    o->muse_permille = (uint32_t)PICK(p, 0, 0, 20, 100);
    o->patience_us = PICK(p, 0, 0, 1000000);
    o->turn_us = PICK(p, 100, 100, 100, 1000, 5000);
}

static void draw_network(struct sim_options *o, struct prng *p)
{
    o->latency_us = PICK(p, 50, 100, 500, 2000, 10000);
    o->jitter_us = o->latency_us * PICK(p, 0, 1, 1, o->latency_us < 10000 ? 5 : 1);
    o->link_shape = (enum sim_link_shape)PICK(
        p, SIM_LINK_UNIFORM, SIM_LINK_UNIFORM, SIM_LINK_CONSTANT, SIM_LINK_EXPONENTIAL,
        SIM_LINK_PARETO, SIM_LINK_BIMODAL, SIM_LINK_MIXED, SIM_LINK_MIXED);
    o->links_differ = prng_chance(p, 1, 2);
    o->bytes_per_s = PICK(p, 100000000, 100000000, 10000000);
    o->send_window_bytes =
        (uint32_t)PICK(p, 64U << 10, 64U << 10, 256U << 10, o->latency_us < 1000 ? 8192 : 65536);
    o->recv_window_bytes = (uint32_t)PICK(p, 4096, 64U << 10, 1U << 20);
    o->output_soft_bytes = PICK(p, 1024, 64U << 10, 1U << 20, 1U << 20);
}

static void draw_faults(struct sim_options *o, struct prng *p)
{
    uint64_t density = PICK(p, 1, 2, 3); /* of 4: few classes, half, most */

    o->cut_permille = (uint32_t)PICK(p, 0, 20, 200);
    o->disk_write_us = PICK(p, 10, 50, 200);
    o->disk_sync_us = PICK(p, 100, 200, 1000, 10000, 50000);
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        if (prng_chance(p, density, 4)) {
            o->faults_drawn |= sim_fault_bit((enum sim_fault)i);
        }
    }
    o->fault_gap_us = PICK(p, 200000, 500000, 1000000, 3000000);
    o->fault_long_us = PICK(p, 100000, 1000000, 3000000, 6000000);
    o->turn_gap_us = PICK(p, 200000, 1000000, 3000000, 10000000);
    o->strike_permille = (uint32_t)PICK(p, 100, 300, 700);
    o->snapshot_permille = (uint32_t)PICK(p, 5, 20, 100);
    o->clock_base_ppm = -(int64_t)PICK(p, 0, 5000, 10000);
    o->frame_drop_permille = (uint32_t)PICK(p, 0, 10, 100, 300);
    o->frame_twice_permille = (uint32_t)PICK(p, 0, 10, 200);
    o->frame_late_permille = (uint32_t)PICK(p, 0, 10, 200);
    o->faults_while_founding = prng_chance(p, 1, 4);
}

static void turn_on(struct sim_options *o, enum sim_fault fault)
{
    o->faults_drawn |= sim_fault_bit(fault);
}

/* Leader after leader dies with an entry that it alone, or just one more, has. */
static void draw_elections(struct sim_options *o, struct prng *p)
{
    bool calm = prng_chance(p, 1, 2); /* nothing else keeps anyone from leading */

    o->faults_drawn = calm ? 0 : o->faults_drawn;
    o->hosts = (uint32_t)PICK(p, 3, 3, 5);
    o->replicas = o->hosts;
    o->partitions = (uint32_t)PICK(p, 1, 1, 2);
    o->heartbeat_us = PICK(p, 10000, 20000);
    o->election_us_min = o->heartbeat_us * 5;
    o->election_us_max = o->election_us_min * PICK(p, 2, 3);
    o->append_bytes_max = 1;
    o->latency_us = PICK(p, 100, 500, 2000);
    o->jitter_us = o->latency_us;
    o->disk_sync_us = PICK(p, 200, 2000, 10000);
    o->frame_drop_permille = (uint32_t)PICK(p, 0, 0, 100);
    o->strike_permille = (uint32_t)PICK(p, 700, 900, 1000);
    o->fault_gap_us = (calm ? PICK(p, 4, 10) : 2) * o->election_us_max;
    o->fault_long_us = 4 * o->election_us_max;
    turn_on(o, SIM_FAULT_LEADER);
}

/* Whoever misses a moment needs a snapshot, and something happens to it on the way. */
static void draw_snapshots(struct sim_options *o, struct prng *p)
{
    o->hosts = (uint32_t)PICK(p, 3, 3, 5);
    o->partitions = (uint32_t)PICK(p, 1, 2, 4);
    o->segment_bytes = 64U << 10;
    o->checkpoint_log_bytes = PICK(p, 8U << 10, 32U << 10);
    o->log_memory_bytes = PICK(p, 4096, 16U << 10);
    o->value_bytes_max = (uint32_t)PICK(p, 1000, 8000);
    o->think_us = PICK(p, 2000, 10000);
    o->read_percent = 10;
    o->fault_gap_us = PICK(p, 200000, 500000);
    o->fault_long_us = PICK(p, 1000000, 3000000);
    o->snapshot_permille = (uint32_t)PICK(p, 20, 100, 300);
    o->disk_sync_us = PICK(p, 1000, 20000, 50000);
    turn_on(o, SIM_FAULT_SNAPSHOT);
    turn_on(o, prng_chance(p, 3, 4) ? SIM_FAULT_SLOW_DISK : SIM_FAULT_DISK_FULL);
    turn_on(o, SIM_FAULT_PAUSE);
    turn_on(o, prng_chance(p, 1, 2) ? SIM_FAULT_PARTITION : SIM_FAULT_CLOG);
    turn_on(o, prng_chance(p, 1, 2) ? SIM_FAULT_WIPE : SIM_FAULT_KILL);
}

/* Ways to read from a leader that no longer leads. */
enum pauses {
    PAUSES_MIXED,    /* with all other faults */
    PAUSES_SLEEP,    /* whoever sleeps is not the only one that could lead */
    PAUSES_RESTARTS, /* of those whose answers a lease rests on */
    PAUSES_HANDOVERS /* before a stop; the old leader hears nothing of the new one */
};

static void draw_pause_faults(struct sim_options *o, struct prng *p)
{
    enum pauses kind = (enum pauses)PICK(p, PAUSES_MIXED, PAUSES_SLEEP, PAUSES_SLEEP,
                                         PAUSES_RESTARTS, PAUSES_HANDOVERS);

    o->strike_permille = 700;
    o->witness_percent = 33;
    o->fault_gap_us = PICK(p, 200000, 500000);
    o->fault_long_us = PICK(p, 1000000, 3000000);
    o->faults_drawn = kind == PAUSES_MIXED ? o->faults_drawn : 0;
    turn_on(o, SIM_FAULT_LEADER);
    switch (kind) {
    case PAUSES_MIXED:
        turn_on(o, SIM_FAULT_PAUSE);
        turn_on(o, SIM_FAULT_TURN_PAUSE);
        turn_on(o, SIM_FAULT_PARTITION);
        break;
    case PAUSES_SLEEP:
        turn_on(o, SIM_FAULT_PARTITION);
        break;
    case PAUSES_RESTARTS:
        o->partitions = 1;
        o->muse_permille = 20;
        o->strike_permille = 200; /* who is elected then must be able to take writes */
        o->witness_percent = 90;
        o->fault_gap_us = 4 * o->election_us_max;
        break;
    case PAUSES_HANDOVERS:
        o->strike_permille = 200;
        turn_on(o, SIM_FAULT_STOP);
        break;
    }
}

/* One replica's data is harmed, noticed and made good, then the next one's: the harm of a replica
 * must begin in a whole cluster, which the other profiles seldom have. */
static void draw_storage(struct sim_options *o, struct prng *p)
{
    static const enum sim_fault harms[] = {
        SIM_FAULT_WIPE,      SIM_FAULT_FLIP,      SIM_FAULT_ROT,       SIM_FAULT_LATENT,
        SIM_FAULT_LOST_FILE, SIM_FAULT_OLD_IMAGE, SIM_FAULT_MISDIRECT, SIM_FAULT_CORRUPT};
    static const enum sim_fault others[] = {
        SIM_FAULT_MEMBER, SIM_FAULT_MEMBER, SIM_FAULT_MEMORY,    SIM_FAULT_KILL,
        SIM_FAULT_POWER,  SIM_FAULT_LEADER, SIM_FAULT_DISK_FULL, SIM_FAULT_SLOW_DISK};

    o->hosts = (uint32_t)PICK(p, 3, 5);
    o->replicas = o->hosts; /* of three, one being rebuilt, the others need each other */
    o->partitions = (uint32_t)PICK(p, 1, 2, 4);
    o->heartbeat_us = PICK(p, 20000, 50000);
    o->election_us_min = o->heartbeat_us * 5;
    o->election_us_max = o->election_us_min * 2;
    o->latency_us = PICK(p, 50, 500, 2000);
    o->jitter_us = o->latency_us;
    o->disk_sync_us = PICK(p, 100, 1000, 10000);
    o->think_us = PICK(p, 2000, 10000);
    o->read_percent = 30;
    o->fault_gap_us = PICK(p, 100000, 300000);
    o->fault_long_us = PICK(p, 100000, 1000000);
    o->faults_drawn = 0;
    for (unsigned i = 0; i < 4; i++) {
        turn_on(o, harms[prng_below(p, ARRAY_COUNT(harms))]);
    }
    for (unsigned i = 0; i < 3; i++) {
        turn_on(o, others[prng_below(p, ARRAY_COUNT(others))]);
    }
    o->faults_while_founding = false;
}

/* A leader sleeps through the end of its lease while its clients go on asking it. */
static void draw_pauses(struct sim_options *o, struct prng *p)
{
    o->hosts = (uint32_t)PICK(p, 3, 3, 5);
    o->replicas = o->hosts;
    o->partitions = (uint32_t)PICK(p, 1, 2);
    o->heartbeat_us = PICK(p, 10000, 20000, 50000);
    o->election_us_min = o->heartbeat_us * 5;
    o->election_us_max = o->election_us_min * 2;
    o->lease_reads = true;
    o->latency_us = PICK(p, 50, 500);
    o->jitter_us = o->latency_us;
    o->disk_sync_us = PICK(p, 100, 1000);
    o->clients = (uint32_t)prng_between(p, 6, SIM_CLIENTS_MAX);
    o->keys = (uint32_t)prng_between(p, 1, 3);
    o->think_us = PICK(p, 2000, 10000);
    o->muse_permille = (uint32_t)PICK(p, 100, 300);
    o->read_percent = (uint32_t)PICK(p, 50, 80);
    o->patience_us = o->election_us_max * PICK(p, 1, 2, 4);
    draw_pause_faults(o, p);
}

enum { LOAD_PER_S = 1000, REQUEST_TIMEOUT_US_MAX = 5000000 };

/* Timeouts that no healthy network or disk could meet would only show that they are wrong. */
static void make_timeouts_sane(struct sim_options *o)
{
    uint64_t least = 10 * (o->latency_us + o->jitter_us) + 4 * o->disk_sync_us;

    if (o->election_us_min < least) {
        o->election_us_max = o->election_us_max * least / o->election_us_min;
        o->election_us_min = least;
    }
}

static void draw_habits(struct sim_options *o)
{
    sim_habits_draw(&o->habits, o->seed);
    if (o->profile == SIM_PROFILE_GENERAL) {
        o->keys = o->habits.many_keys > 0 ? o->habits.many_keys : o->keys;
        if (o->habits.long_pipeline > 0) {
            o->pipeline_max = o->habits.long_pipeline;
            o->value_bytes_max = o->value_bytes_max < 100 ? o->value_bytes_max : 100;
        }
    }
    if (o->habits.links * o->clients > SIM_CLIENTS_MAX) {
        o->habits.links = SIM_CLIENTS_MAX / o->clients;
    }
}

/* What was given by hand takes the place of what was drawn; the rest stays as it was drawn. */
static void leave_out(struct sim_options *o)
{
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        o->fault[i] =
            (o->faults_drawn & ~o->fault_mask_off & sim_fault_bit((enum sim_fault)i)) != 0;
    }
    o->hosts = o->hosts_given != 0 ? o->hosts_given : o->hosts;
    o->partitions = o->partitions_given != 0 ? o->partitions_given : o->partitions;
    o->clients = o->clients_given != 0 ? o->clients_given : o->clients;
    o->keys = o->keys_given != 0 ? o->keys_given : o->keys;
}

static bool is_in(const struct sim_set *only, const struct sim_set *skip, uint64_t name)
{
    return (only == NULL || sim_set_has(only, name)) && (skip == NULL || !sim_set_has(skip, name));
}

bool sim_options_fault_in(const struct sim_options *o, uint64_t name)
{
    return is_in(o->only_faults, o->skip_faults, name);
}

bool sim_options_op_in(const struct sim_options *o, uint64_t name)
{
    return is_in(o->only_ops, o->skip_ops, name);
}

/* How long all that clients may have under way takes one partition, window by window. */
static uint64_t backlog_us(const struct sim_options *o)
{
    uint64_t round_us = 2 * o->disk_sync_us + 4 * (o->latency_us + o->jitter_us);
    uint64_t flying = o->inflight_bytes_max / (o->value_bytes_max + 100);

    flying = flying < o->inflight_count_max ? flying : o->inflight_count_max;
    return 2 * (uint64_t)o->clients * o->pipeline_max * round_us / (flying < 1 ? 1 : flying);
}

/* A command with two of the largest values, on its three hops, behind another one. */
static uint64_t big_us(const struct sim_options *o)
{
    uint64_t bytes = o->habits.big > 0 ? o->habits.big_bytes_max : 0;
    uint64_t rounds = bytes / o->send_window_bytes;

    return 12 * (bytes * 1000000 / o->bytes_per_s + rounds * 2 * (o->latency_us + o->jitter_us));
}

/* A heartbeat waits behind a large value on its link: where that takes as long as an election
 * timeout, leaders change for ever with every such write (docs/howto/run.md). Seed 2044. */
static void make_values_sane(struct sim_options *o)
{
    uint64_t bearable = o->bytes_per_s / 8 * o->election_us_min / 1000000;

    if (o->habits.big_bytes_max > bearable) {
        o->habits.big_bytes_max = (uint32_t)bearable;
    }
}

/* A healthy cluster answers in time; it may be slow, and then clients ask less at once. */
static void make_patience_sane(struct sim_options *o)
{
    while (backlog_us(o) > REQUEST_TIMEOUT_US_MAX && o->pipeline_max > 1) {
        o->pipeline_max /= 2;
    }
    if (o->request_timeout_us < backlog_us(o) + big_us(o)) {
        o->request_timeout_us = backlog_us(o) + big_us(o);
    }
}

/* A run is about faults, and most of its cost is operations: but for a few, seeds have no more
 * than so many of them per second. */
static void make_load_sane(struct sim_options *o, struct prng *p)
{
    uint64_t batch = (o->pipeline_max + 1) / 2, least;

    least = o->clients * o->habits.links * batch * 1000000 / LOAD_PER_S;
    if (o->think_us < least && !prng_chance(p, 1, 8)) {
        o->think_us = least;
    }
}

/* Short intervals, or a run would be over before anybody is held dead. */
static void draw_gossip(struct sim_options *o, struct prng *p)
{
    o->gossip = prng_chance(p, 7, 8);
    o->gossip_probe_us = PICK(p, 200000, 200000, 500000, 1000000);
    o->gossip_suspicion = (uint32_t)PICK(p, 2, 4, 4);
    o->packet_drop_permille = (uint32_t)PICK(p, 0, 10, 100, 300);
    o->packet_twice_permille = (uint32_t)PICK(p, 0, 10, 200);
    o->packet_late_permille = (uint32_t)PICK(p, 0, 10, 200);
    o->packet_harm_permille = (uint32_t)PICK(p, 0, 10, 100);
}

/* A partition may have one replica for a while: nothing that it says is lost can be made good. So
 * data is harmed in one run, and moves in another. */
static void draw_churn(struct sim_options *o, struct prng *p)
{
    static const enum sim_fault harms[] = {
        SIM_FAULT_MISDIRECT, SIM_FAULT_CORRUPT,   SIM_FAULT_WIPE,
        SIM_FAULT_FLIP,      SIM_FAULT_ROT,       SIM_FAULT_LATENT,
        SIM_FAULT_LOST_FILE, SIM_FAULT_OLD_IMAGE, SIM_FAULT_MEMORY};
    bool moves = o->profile != SIM_PROFILE_STORAGE && o->hosts > 1 && prng_chance(p, 1, 3);

    o->faults_drawn &= ~sim_fault_bit(SIM_FAULT_CHURN);
    if (moves) {
        turn_on(o, SIM_FAULT_CHURN);
        turn_on(o, prng_chance(p, 1, 2) ? SIM_FAULT_MEMBER : SIM_FAULT_KILL);
    }
    for (unsigned i = 0; i < ARRAY_COUNT(harms) && moves; i++) {
        o->faults_drawn &= ~sim_fault_bit(harms[i]);
    }
}

void sim_options_draw(struct sim_options *o)
{
    struct prng p = {o->seed ^ 0x5ee0d5ee0dULL};

    draw_product(o, &p);
    draw_workload(o, &p);
    draw_network(o, &p);
    draw_faults(o, &p);
    o->profile =
        (enum sim_profile)PICK(&p, SIM_PROFILE_GENERAL, SIM_PROFILE_GENERAL, SIM_PROFILE_ELECTIONS,
                               SIM_PROFILE_PAUSES, SIM_PROFILE_SNAPSHOTS, SIM_PROFILE_STORAGE);
    if (o->profile == SIM_PROFILE_ELECTIONS) {
        draw_elections(o, &p);
    } else if (o->profile == SIM_PROFILE_PAUSES) {
        draw_pauses(o, &p);
    } else if (o->profile == SIM_PROFILE_SNAPSHOTS) {
        draw_snapshots(o, &p);
    } else if (o->profile == SIM_PROFILE_STORAGE) {
        draw_storage(o, &p);
    }
    draw_churn(o, &p);
    draw_habits(o);
    make_load_sane(o, &p);
    make_timeouts_sane(o);
    make_values_sane(o);
    make_patience_sane(o);
    o->digest_us = PICK(&p, 100000, 500000, 2000000);
    o->scrub_rest_us = PICK(&p, 100000, 500000, 2000000);
    o->disk_copies = prng_chance(&p, 1, 3);
    draw_gossip(o, &p);
    if (o->lease_reads && o->bug != SIM_BUG_CLOCKS_APART) {
        o->faults_drawn &= ~sim_fault_bit(SIM_FAULT_CLOCKS_APART); /* nothing is promised then */
    } else if (o->bug == SIM_BUG_CLOCKS_APART) {
        o->lease_reads = true;
        turn_on(o, SIM_FAULT_CLOCKS_APART);
    }
    leave_out(o);
    CHECK(o->hosts >= 1 && o->hosts <= SIM_HOSTS_MAX);
    CHECK(o->clients >= 1 && o->clients <= SIM_CLIENTS_MAX);
    CHECK(o->keys >= 1 && o->keys <= SIM_KEYS_MAX);
}

static void put_span(struct buf *out, const char *what, uint64_t us)
{
    buf_printf(out, ", %s %s", what, sim_span(us).text);
}

static void put_product(const struct sim_options *o, struct buf *out)
{
    buf_printf(out, "%u nodes, %u partitions of %u replicas", o->hosts, o->partitions,
               o->replicas < o->hosts ? o->replicas : o->hosts);
    put_span(out, "heartbeat", o->heartbeat_us);
    put_span(out, "election timeout", o->election_us_min);
    buf_printf(out, " to %s", sim_span(o->election_us_max).text);
    put_span(out, "request timeout", o->request_timeout_us);
    if (o->gossip) {
        put_span(out, "a probe every", o->gossip_probe_us);
    }
    buf_printf(out, ", lease reads %s, segments of %u KiB, snapshot after %lu KiB of log",
               o->lease_reads ? "on" : "off", o->segment_bytes >> 10,
               o->checkpoint_log_bytes >> 10);
    buf_printf(out,
               ", %lu KiB of log in memory, appends of %u bytes at most, of which %u bytes and "
               "%u messages may be under way; ",
               o->log_memory_bytes >> 10, o->append_bytes_max, o->inflight_bytes_max,
               o->inflight_count_max);
}

static void put_workload(const struct sim_options *o, struct buf *out)
{
    buf_printf(out,
               "%u clients, %u keys, %u%% reads, values of up to %u bytes, pipelines of up to %u",
               o->clients, o->keys, o->read_percent, o->value_bytes_max, o->pipeline_max);
    put_span(out, "thinking", o->think_us);
    buf_printf(out, ", long thoughts %u of 1000, kinds of keys", o->muse_permille);
    for (unsigned i = 0; i < SIM_FAMILY_COUNT; i++) {
        if (o->family_weight[i] > 0) {
            buf_printf(out, " %s:%u", sim_family_name((enum sim_family)i), o->family_weight[i]);
        }
    }
    buf_printf(out, ", ");
    sim_habits_put(&o->habits, out);
    buf_printf(out, "; ");
}

static const char *shape_name(enum sim_link_shape shape)
{
    switch (shape) {
    case SIM_LINK_CONSTANT:
        return "constant";
    case SIM_LINK_UNIFORM:
        return "uniform";
    case SIM_LINK_EXPONENTIAL:
        return "exponential";
    case SIM_LINK_PARETO:
        return "heavy-tailed";
    case SIM_LINK_BIMODAL:
        return "bimodal";
    case SIM_LINK_MIXED:
        return "mixed";
    }
    UNREACHABLE("link shape");
}

static void put_links(const struct sim_options *o, struct buf *out)
{
    buf_printf(out, "link latency %s", sim_span(o->latency_us).text);
    put_span(out, "jitter", o->jitter_us);
    buf_printf(out,
               " (%s, %s), %lu bytes per second, windows of %u and %u bytes, no more read from "
               "clients at %lu bytes unsent, pieces cut %u of 1000; ",
               shape_name(o->link_shape), o->links_differ ? "each link other" : "all links alike",
               o->bytes_per_s, o->send_window_bytes, o->recv_window_bytes, o->output_soft_bytes,
               o->cut_permille);
}

static void put_faults(const struct sim_options *o, struct buf *out)
{
    bool any = false;

    buf_printf(out, "disk write %s", sim_span(o->disk_write_us).text);
    put_span(out, "sync", o->disk_sync_us);
    buf_printf(out, "%s", o->disk_copies ? ", blocks copied on writing" : "");
    put_span(out, "a fault every", o->fault_gap_us);
    put_span(out, "inside a turn every", o->turn_gap_us);
    put_span(out, "lasting up to", o->fault_long_us);
    buf_printf(out, ", elections struck %u of 1000", o->strike_permille);
    if (o->fault[SIM_FAULT_FRAMES]) {
        buf_printf(out, ", messages dropped %u, doubled %u, late %u of 1000",
                   o->frame_drop_permille, o->frame_twice_permille, o->frame_late_permille);
    }
    if (o->fault[SIM_FAULT_PACKETS] && o->gossip) {
        buf_printf(out, ", datagrams dropped %u, doubled %u, late %u, damaged %u of 1000",
                   o->packet_drop_permille, o->packet_twice_permille, o->packet_late_permille,
                   o->packet_harm_permille);
    }
    buf_printf(out, "%s; faults:", o->faults_while_founding ? ", faults from the start" : "");
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        if (o->fault[i]) {
            buf_printf(out, " %s", fault_names[i]);
            any = true;
        }
    }
    buf_printf(out, "%s", any ? "" : " none");
}

void sim_options_text(const struct sim_options *o, struct buf *out)
{
    buf_printf(out, "profile %s; ", profile_names[o->profile]);
    put_product(o, out);
    put_workload(o, out);
    put_links(o, out);
    put_faults(o, out);
}
