#include "sim/sim_options.h"

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
    o->fault_gap_us = 2 * o->election_us_max;
    o->fault_long_us = 4 * o->election_us_max;
    turn_on(o, SIM_FAULT_LEADER);
}

/* A leader sleeps through the end of its lease while its clients go on asking it. */
static void draw_pauses(struct sim_options *o, struct prng *p)
{
    o->hosts = (uint32_t)PICK(p, 3, 3, 5);
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
    o->fault_gap_us = PICK(p, 200000, 500000);
    o->fault_long_us = PICK(p, 1000000, 3000000);
    o->strike_permille = 700;
    turn_on(o, SIM_FAULT_LEADER);
    turn_on(o, SIM_FAULT_PAUSE);
    turn_on(o, SIM_FAULT_TURN_PAUSE);
    turn_on(o, SIM_FAULT_PARTITION);
}

/* Timeouts that no healthy network or disk could meet would only show that they are wrong. */
static void make_timeouts_sane(struct sim_options *o)
{
    uint64_t least = 10 * (o->latency_us + o->jitter_us) + 4 * o->disk_sync_us;

    if (o->election_us_min < least) {
        o->election_us_max = o->election_us_max * least / o->election_us_min;
        o->election_us_min = least;
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

void sim_options_draw(struct sim_options *o)
{
    struct prng p = {o->seed ^ 0x5ee0d5ee0dULL};

    draw_product(o, &p);
    draw_workload(o, &p);
    draw_network(o, &p);
    draw_faults(o, &p);
    o->profile = (enum sim_profile)PICK(&p, SIM_PROFILE_GENERAL, SIM_PROFILE_GENERAL,
                                        SIM_PROFILE_ELECTIONS, SIM_PROFILE_PAUSES);
    if (o->profile == SIM_PROFILE_ELECTIONS) {
        draw_elections(o, &p);
    } else if (o->profile == SIM_PROFILE_PAUSES) {
        draw_pauses(o, &p);
    }
    make_timeouts_sane(o);
    leave_out(o);
    CHECK(o->hosts >= 1 && o->hosts <= SIM_HOSTS_MAX);
    CHECK(o->clients >= 1 && o->clients <= SIM_CLIENTS_MAX);
    CHECK(o->keys >= 1 && o->keys <= SIM_KEYS_MAX);
}

void sim_options_text(const struct sim_options *o, char *out, size_t size)
{
    int at = snprintf(out, size,
                      "%s hosts=%u partitions=%u replicas=%u clients=%u keys=%u heartbeat=%lums "
                      "election=%lu-%lums lease=%d segment=%uK log=%luK memory=%luK value<=%u "
                      "pipeline<=%u think=%lums latency=%lu+%luus sync=%luus gap=%lums faults=",
                      profile_names[o->profile], o->hosts, o->partitions, o->replicas, o->clients,
                      o->keys, o->heartbeat_us / 1000, o->election_us_min / 1000,
                      o->election_us_max / 1000, o->lease_reads, o->segment_bytes >> 10,
                      o->checkpoint_log_bytes >> 10, o->log_memory_bytes >> 10, o->value_bytes_max,
                      o->pipeline_max, o->think_us / 1000, o->latency_us, o->jitter_us,
                      o->disk_sync_us, o->fault_gap_us / 1000);

    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        if (o->fault[i] && at > 0 && (size_t)at < size) {
            at += snprintf(out + at, size - (size_t)at, "%s,", fault_names[i]);
        }
    }
}
