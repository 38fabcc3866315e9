/* sim_host.h - one simulated machine: a node, its driver, its disk and clocks.
 *
 * The driver follows node.h to the letter and checks that it can: it keeps its own
 * account of which log tickets are durable, holds gated effects back, and reports a
 * gate that no log write will ever open.
 */
#ifndef SIM_HOST_H
#define SIM_HOST_H
#include "node/node.h"
#include "sim/sim_clock.h"
#include "sim/sim_disk.h"

struct sim_world;

enum sim_input_kind {
    SIM_IN_ACCEPTED,
    SIM_IN_DIALED,
    SIM_IN_CLOSED,
    SIM_IN_RECEIVED,
    SIM_IN_SENT,
    SIM_IN_DISK,
    SIM_IN_STOP,
    SIM_IN_PACKET,
};
struct sim_input {
    enum sim_input_kind kind;
    enum node_conn_kind conn_kind;
    uint64_t number; /* the node's connection number; DISK: the token of the operation */
    size_t unsent;
    struct buf data; /* RECEIVED, PACKET; DISK: what was read */
    uint32_t place;  /* ACCEPTED, PACKET: where it comes from */
    bool harmed;     /* PACKET: it changed on the way */
    const char *reason;
    enum err err; /* DISK: and, of an error, its file */
    char *path;   /* owned; NULL: no error */
    bool ticket;  /* DISK: a write of the log */
    bool read;    /* DISK: it was a read */
};
struct sim_inputs {
    struct sim_input *at;
    size_t count, cap;
};

/* Ops waiting in a lane, in a ring; the first one is running. */
struct sim_lane {
    struct disk_op *ops;
    size_t first, count, cap; /* cap: a power of two */
};
static inline struct disk_op *sim_lane_op(const struct sim_lane *l, size_t pos)
{
    return &l->ops[(l->first + pos) & (l->cap - 1)];
}
struct sim_ticket {
    uint64_t ticket;
    uint32_t open; /* writes not yet completed */
    bool failed;   /* one failed and was not issued again */
};

/* Where a synced batch of the log lies. */
enum { SIM_LOG_WRITES = 64 };
struct sim_log_write {
    char path[DISK_PATH_MAX];
    uint64_t offset, bytes, at_us;
};

/* What becomes of the next write to a file. */
enum sim_write_fault {
    SIM_WRITE_AS_MEANT,
    SIM_WRITE_FAILS,     /* with an error; done or not */
    SIM_WRITE_ELSEWHERE, /* reported as done */
    SIM_WRITE_CHANGED,   /* reported as done */
};

enum sim_stage {
    SIM_STAGE_IDLE,
    SIM_STAGE_COLLECTED, /* inputs taken, clock not yet read */
    SIM_STAGE_RUNNING,   /* effects partly run */
};

/* Waits for a turn of the node and strikes in the middle of it. */
enum sim_ambush_place {
    SIM_AMBUSH_COLLECTED, /* inputs taken, clock not yet read */
    SIM_AMBUSH_RAN,       /* the node ran, nothing of it has left */
    SIM_AMBUSH_EFFECT,    /* before one of the effects, or after the last */
    SIM_AMBUSH_PLACES
};
struct sim_ambush {
    uint64_t fault; /* its name; 0: none is set */
    bool crash, power;
    enum sim_ambush_place place;
    uint32_t turns; /* to let pass */
    uint64_t for_us, dice;
};

struct sim_host {
    uint32_t id;
    struct node *node; /* NULL: down */
    uint32_t life;     /* counts starts and crashes; late events of older lives are void */
    struct sim_disk disk;
    struct sim_clock clock;
    struct prng rng;
    bool paused, stopping, wiped, founded;
    bool stays_down;
    bool dark;     /* without power: not even its kernel answers */
    bool damaged;  /* its disk was: replicas may be lost, and must be noticed */
    bool impostor; /* wiped, and started with --found as if nothing had happened */
    uint64_t paused_until_us;
    struct sim_ambush ambush;
    uint32_t crashes_left; /* it will not get far at the next starts */
    uint64_t crash_name;
    uint64_t starve_us, starve_until_us; /* turns take up to that much longer */
    uint64_t strobe_until_us;
    int64_t strobe_ms;
    uint64_t only_reads_until_us; /* its clients write nothing */
    uint64_t rest_until_us;       /* ... and these ask nothing */
    uint32_t snapshot_ops;
    uint64_t paused_since_us;
    bool napping;           /* paused for so short that nobody says it */
    uint64_t doze_us;       /* pause this long between collecting and the clock, next turn */
    bool restarting;        /* a start is scheduled */
    uint64_t next_turn_us;  /* 0: none scheduled */
    uint64_t turn_delay_us; /* a busy machine reacts late */
    enum sim_stage stage;
    struct sim_inputs inbox, taken;
    uint32_t packets_waiting; /* in its inbox */
    bool clock_read;          /* planted: too early */
    struct node_time now;
    struct node_effects effects;
    size_t effect_pos;
    struct node_effect *held; /* gated sends, in order of tickets */
    size_t held_count, held_cap;
    struct sim_lane lanes[DISK_LANE_COUNT];
    uint64_t disk_stall_until_us; /* ops end no earlier */
    enum sim_write_fault write_fault;
    bool write_failed;          /* the node was told of an error: it must stop in the same turn */
    struct sim_ticket *tickets; /* issued and not durable, growing */
    size_t ticket_count, ticket_cap;
    uint64_t ticket_issued, ticket_durable;
    struct sim_log_write log_writes[SIM_LOG_WRITES]; /* the newest synced ones, in turn */
    uint64_t log_write_count;
    uint64_t odd_number; /* of accepted connections */
    uint64_t turns;
    uint32_t wipes; /* how often its directory was emptied */
};
void sim_host_init(struct sim_world *w, uint32_t id);
void sim_host_free(struct sim_world *w, struct sim_host *h);
/* Open the directory and run. */
void sim_host_start(struct sim_world *w, struct sim_host *h);
/* Start after a delay, unless it is up or about to be. */
void sim_host_start_in(struct sim_world *w, struct sim_host *h, uint64_t delay_us);
/* power: the machine; else the process alone. */
void sim_host_crash(struct sim_world *w, struct sim_host *h, bool power);
void sim_host_pause(struct sim_world *w, struct sim_host *h, uint64_t for_us);
void sim_host_resume(struct sim_world *w, struct sim_host *h);
/* A clean stop, then a start. */
void sim_host_stop(struct sim_world *w, struct sim_host *h);
/* Its directory is empty now; it comes back with --join. */
void sim_host_emptied(struct sim_world *w, struct sim_host *h);
/* Takes in->data. */
void sim_host_input(struct sim_world *w, struct sim_host *h, struct sim_input *in, bool wake);
void sim_host_peer_addr(uint32_t id, char out[NODE_ADDR_MAX]);
void sim_host_client_addr(uint32_t id, char out[NODE_ADDR_MAX]);
static inline bool sim_host_up(const struct sim_host *h)
{
    return h->node != NULL;
}
#endif
