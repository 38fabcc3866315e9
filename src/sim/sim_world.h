/* sim_world.h - everything of one run, and the few words its parts share. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H
#include "base/base_hash.h"
#include "base/base_mem.h"
#include "sim/sim_check_gossip.h"
#include "sim/sim_check_map.h"
#include "sim/sim_check_raft.h"
#include "sim/sim_churn.h"
#include "sim/sim_client.h"
#include "sim/sim_fault_memory.h"
#include "sim/sim_harm.h"
#include "sim/sim_history.h"
#include "sim/sim_host.h"
#include "sim/sim_live.h"
#include "sim/sim_net.h"
#include "sim/sim_options.h"
#include "sim/sim_packet.h"
#include "sim/sim_queue.h"
#include "sim/sim_record.h"
#include "sim/sim_story.h"

enum sim_phase {
    SIM_FOUNDING, /* until every node is ready, at most a while */
    SIM_FAULTS,
    SIM_CORE,         /* some stay away: the others must come back by themselves */
    SIM_CORE_HEALTHY, /* ... and every operation through them must succeed */
    SIM_HEALING,      /* all faults are over: the cluster must come back by itself */
    SIM_HEALTHY,      /* every operation must succeed */
    SIM_READING,      /* clients read everything once */
    SIM_SETTLING,     /* replicas must become equal */
    SIM_DONE,
};

/* Each purpose has dice of its own, so that a run from which one fault or one operation was left
 * out goes on with the others as they were. */
enum sim_purpose {
    SIM_FOR_HOST,
    SIM_FOR_LINK,
    SIM_FOR_CLIENT,
    SIM_FOR_OP,
    SIM_FOR_FAULT,
    SIM_FOR_STRIKE,
    SIM_FOR_HEAL,
    SIM_FOR_PACKET,
};

/* A leader was left with one other; the one after it was left with that leader. */
enum sim_act { SIM_ACT_NONE, SIM_ACT_LEFT, SIM_ACT_REPLACED };
struct sim_play {
    enum sim_act act;
    uint32_t leader, side; /* of the first act; side: a bit for each host */
};

struct sim_world {
    struct sim_options opt;
    struct prng rng; /* of the fault that is being made; sim_fault.c sets it before each */
    uint64_t now_us;
    struct sim_queue queue;
    enum sim_phase phase;
    uint64_t phase_since_us;
    uint64_t fault_now;        /* the name of the fault that this event is about; 0: none */
    uint64_t healthy_since_us; /* operations called later must succeed; 0: not yet */
    struct sim_host hosts[SIM_HOSTS_MAX];
    struct sim_net net;
    struct sim_packets packets;
    struct sim_client clients[SIM_CLIENTS_MAX];
    struct sim_history history;
    struct sim_reply reply;                /* the one being read */
    int64_t wall_offset_ms[SIM_HOSTS_MAX]; /* as the history has it */
    struct sim_raft_check raft;
    struct sim_gossip_check gossip;
    struct sim_map_check map;
    struct sim_churn churn;
    struct sim_harm harm;
    struct sim_live live;
    struct sim_rots rots;
    struct sim_play play;
    bool truce;     /* no new faults until the harmed replica is whole again */
    uint64_t trace; /* a hash of everything that happened */
    uint64_t events, turns, faults;
    bool found;
    uint64_t kind;      /* of the finding: of which sentence it is an instance */
    char finding[2048]; /* the first one */
};

/* Run one seed to its end. opt: its given part. The rest is drawn. */
struct sim_result {
    bool found;
    uint64_t kind;
    char finding[2048];
    uint64_t trace;
    uint64_t virtual_us, turns, ops, ops_ok, ops_unknown, ops_fail, inconclusive, faults;
    uint64_t core_us, heal_us; /* from the end of the faults until the core, or all, served */
};
void sim_world_run(const struct sim_options *given, struct sim_result *out);

static inline struct prng sim_dice(const struct sim_world *w, enum sim_purpose what, uint64_t name)
{
    return (struct prng){hash64_mix(hash64_mix(w->opt.seed, (uint64_t)what + 1), name)};
}
static inline bool sim_faults_on(const struct sim_world *w)
{
    return w->phase == SIM_FAULTS && !w->truce;
}
void sim_in(struct sim_world *w, uint64_t delay_us, sim_fn *fn, uint64_t a, uint64_t b);
void sim_at(struct sim_world *w, uint64_t at_us, sim_fn *fn, uint64_t a, uint64_t b);
/* Part of the trace hash: anything that must be the same in a second run. */
static inline void sim_trace(struct sim_world *w, uint64_t what, uint64_t detail)
{
    w->trace = hash64_mix(w->trace ^ what, detail + w->now_us * 0x9e3779b97f4a7c15ULL);
}
/* The first finding ends the run. */
void sim_found(struct sim_world *w, const char *fmt, ...) PRINTF_LIKE(2, 3) __attribute__((cold));
/* A line of the story, in plain words: on standard output, or recorded, or neither. */
void sim_say(const struct sim_world *w, enum sim_log level, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Uniform in [0, 2 * mean]. */
uint64_t sim_around(struct sim_world *w, uint64_t mean);
#endif
