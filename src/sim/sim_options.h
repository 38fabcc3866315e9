/* sim_options.h - what a run is made of: some given, most drawn from the seed.
 *
 * Swarm testing (Groce et al. 2012): each seed switches whole classes of faults
 * and commands on or off, so that rare combinations get runs of their own instead
 * of being drowned in an average of everything.
 */
#ifndef SIM_OPTIONS_H
#define SIM_OPTIONS_H
#include "base/base_prng.h"
#include "sim/sim_set.h"
#include "sim/sim_workload.h"

enum { SIM_HOSTS_MAX = 5, SIM_CLIENTS_MAX = 12, SIM_KEYS_MAX = 4096 };

/* short: faults, elections, phases. ops: and what clients ask and are told. full: and every message
 * and disk operation. */
enum sim_log { SIM_LOG_NONE, SIM_LOG_SHORT, SIM_LOG_OPS, SIM_LOG_FULL };
struct sim_record;

/* Bugs put in on purpose, to prove that a run finds them. */
#define SIM_BUG_LIST(X)                                                                            \
    X(SIM_BUG_NONE, "none", "nothing is planted")                                                  \
    X(SIM_BUG_CANARY, "canary", "a checker that fails on purpose: reporting works")                \
    X(SIM_BUG_VOTE_BEFORE_FSYNC, "vote-before-fsync", "the driver sends votes before their gate")  \
    X(SIM_BUG_ACK_BEFORE_FSYNC, "ack-before-fsync", "the driver sends append replies early")       \
    X(SIM_BUG_GATES_IGNORED, "gates-ignored", "the driver ignores every gate")                     \
    X(SIM_BUG_LEASE_AFTER_PAUSE, "lease-after-pause",                                              \
      "the driver reads the clock before it collects what arrived")                                \
    X(SIM_BUG_CLOCKS_APART, "clocks-apart", "clocks run further apart than leases bear")           \
    X(SIM_BUG_FSYNC_LIES, "fsync-lies", "the disk reports a sync that did not happen")             \
    X(SIM_BUG_APPLY_TWICE, "apply-twice", "the simulated client sends a write twice")
#define SIM_BUG_ENUM(id, name, what) id,
#define SIM_BUG_IN_PRODUCT(id, name, room, what) SIM_BUG_IN_PRODUCT_##id,
/* Those of base_planted.h come last; a release has none. */
enum sim_bug { SIM_BUG_LIST(SIM_BUG_ENUM) PLANTED_LIST(SIM_BUG_IN_PRODUCT) SIM_BUG_COUNT };
const char *sim_bug_name(enum sim_bug bug);
const char *sim_bug_what(enum sim_bug bug);
const char *sim_bug_room(enum sim_bug bug);
/* Let the product have this bug, or none if it is one of the driver's. */
void sim_bug_plant(enum sim_bug bug);

#define SIM_FAULT_LIST(X)                                                                          \
    X(SIM_FAULT_KILL, "kill", "a process ends; what it wrote stays")                               \
    X(SIM_FAULT_POWER, "power", "a machine loses power: unsynced writes suffer")                   \
    X(SIM_FAULT_CRASH_LOOP, "crash-loop", "a process dies again and again, soon after its start")  \
    X(SIM_FAULT_MASS, "mass", "several or all nodes end at once")                                  \
    X(SIM_FAULT_TURN_CRASH, "turn-crash", "a process ends between any two effects of a turn")      \
    X(SIM_FAULT_PAUSE, "pause", "a process is stopped for a while, as by SIGSTOP")                 \
    X(SIM_FAULT_TURN_PAUSE, "turn-pause", "a process is stopped in the middle of a turn")          \
    X(SIM_FAULT_STARVE, "starve", "a machine is busy: turns begin and end late")                   \
    X(SIM_FAULT_SNAPSHOT, "snapshot", "who writes, sends or receives a snapshot is struck")        \
    X(SIM_FAULT_PARTITION, "partition", "groups of machines cannot talk to each other")            \
    X(SIM_FAULT_ONE_WAY, "one-way", "one direction between groups is dead")                        \
    X(SIM_FAULT_RESET, "reset", "a connection breaks, often unnoticed")                            \
    X(SIM_FAULT_SLOW_LINK, "slow-link", "one direction of a link becomes slow")                    \
    X(SIM_FAULT_CLOG, "clog", "links hold everything, then deliver it at once")                    \
    X(SIM_FAULT_SWIZZLE, "swizzle", "links are cut one by one and heal in another order")          \
    X(SIM_FAULT_HALF_OPEN, "half-open", "the bytes of a connection go into nothing")               \
    X(SIM_FAULT_LOSS, "loss", "TCP sends again, late, and gives up at last")                       \
    X(SIM_FAULT_NARROW, "narrow", "a machine can send little per second")                          \
    X(SIM_FAULT_SLOW_READER, "slow-reader", "a client does not read its replies")                  \
    X(SIM_FAULT_LATE_ACCEPT, "late-accept", "connections are taken late by the process")           \
    X(SIM_FAULT_FLOOD, "flood", "strangers connect, by the hundreds")                              \
    X(SIM_FAULT_FRAMES, "frames", "raft messages are lost, doubled, reordered")                    \
    X(SIM_FAULT_WALL_JUMP, "wall-jump", "a wall clock jumps")                                      \
    X(SIM_FAULT_STROBE, "strobe", "a wall clock jumps to and fro, many times a second")            \
    X(SIM_FAULT_DRIFT, "drift", "monotonic clocks run apart, up to what leases bear")              \
    X(SIM_FAULT_CLOCKS_APART, "clocks-apart", "without leases: clocks run far apart, and stop")    \
    X(SIM_FAULT_SLOW_DISK, "slow-disk", "a disk operation takes up to seconds")                    \
    X(SIM_FAULT_DISK_FULL, "disk-full", "a disk has no room for a while")                          \
    X(SIM_FAULT_READ_ONLY, "read-only", "a file system refuses every change for a while")          \
    X(SIM_FAULT_DISK_ERROR, "disk-error", "one write or sync fails")                               \
    X(SIM_FAULT_MISDIRECT, "misdirect", "a write lands elsewhere, and is reported as done")        \
    X(SIM_FAULT_CORRUPT, "corrupt", "a write changes on its way, and is reported as done")         \
    X(SIM_FAULT_WIPE, "wipe", "a node loses its directory")                                        \
    X(SIM_FAULT_FLIP, "flip", "a synced bit of one log changes")                                   \
    X(SIM_FAULT_ROT, "rot", "a bit of a snapshot or of metadata changes")                          \
    X(SIM_FAULT_LATENT, "latent", "a sector cannot be read")                                       \
    X(SIM_FAULT_LOST_FILE, "lost-file", "one file of a directory is gone")                         \
    X(SIM_FAULT_OLD_IMAGE, "old-image", "a directory is as it was some time ago")                  \
    X(SIM_FAULT_STOP, "stop", "a clean stop and start")                                            \
    X(SIM_FAULT_MASS_STOP, "mass-stop", "a clean stop of several or all at once")                  \
    X(SIM_FAULT_LEADER, "leader", "whoever just won an election is struck")                        \
    X(SIM_FAULT_MEMBER, "member", "a change of membership is struck in its midst")                 \
    X(SIM_FAULT_MEMORY, "memory", "a bit of a value in one replica's memory changes")              \
    X(SIM_FAULT_PACKETS, "packets", "datagrams are lost, doubled, reordered, damaged; alone")      \
    X(SIM_FAULT_STREAMS, "streams", "connections carry nothing, and datagrams pass")               \
    X(SIM_FAULT_CHURN, "churn", "the map changes: replicas come, go and change places")
#define SIM_FAULT_ENUM(id, name, what) id,
enum sim_fault { SIM_FAULT_LIST(SIM_FAULT_ENUM) SIM_FAULT_COUNT };
static_assert(SIM_FAULT_COUNT <= 64, "a class is a bit of a mask");
const char *sim_fault_name(enum sim_fault fault);
const char *sim_fault_what(enum sim_fault fault);
static inline uint64_t sim_fault_bit(enum sim_fault fault)
{
    return (uint64_t)1 << fault;
}

/* How the delay of a link varies. */
enum sim_link_shape {
    SIM_LINK_CONSTANT,
    SIM_LINK_UNIFORM,
    SIM_LINK_EXPONENTIAL,
    SIM_LINK_PARETO, /* heavy-tailed */
    SIM_LINK_BIMODAL,
    SIM_LINK_MIXED, /* each link has its own */
};

/* What a seed is mostly about: rare situations get runs in which they are common. */
#define SIM_PROFILE_LIST(X)                                                                        \
    X(SIM_PROFILE_GENERAL, "general")                                                              \
    X(SIM_PROFILE_ELECTIONS, "elections") /* many, each struck at once; one entry per message */   \
    X(SIM_PROFILE_SNAPSHOTS, "snapshots") /* short logs, replicas that lag; many snapshots */      \
    X(SIM_PROFILE_STORAGE,                                                                         \
      "storage")                    /* data is harmed again and again, and little else happens */  \
    X(SIM_PROFILE_PAUSES, "pauses") /* leaders stop for longer than a lease; few keys, much read   \
                                     */
#define SIM_PROFILE_ENUM(id, name) id,
enum sim_profile { SIM_PROFILE_LIST(SIM_PROFILE_ENUM) SIM_PROFILE_COUNT };

struct sim_options {
    /* given */
    uint64_t seed;
    uint64_t fault_us; /* length of the first phase */
    enum sim_log log;
    struct sim_record *record; /* what to leave behind; NULL: nothing. Borrowed */
    enum sim_bug bug;
    bool any_order;           /* what one client pipelined may take effect in any order */
    const char *history_path; /* where to write what clients asked and were told, or NULL */
    /* To shrink a finding: what of the run is left out. NULL: no such set; borrowed. */
    uint64_t fault_mask_off; /* classes */
    const struct sim_set *only_faults, *skip_faults, *only_ops, *skip_ops;
    uint32_t hosts_given, partitions_given, clients_given, keys_given; /* 0: as drawn */
    /* drawn */
    enum sim_profile profile;
    uint32_t hosts, partitions, replicas, clients, keys;
    uint64_t heartbeat_us, election_us_min, election_us_max, request_timeout_us;
    bool lease_reads;
    uint32_t segment_bytes;
    uint64_t checkpoint_log_bytes, log_memory_bytes;
    uint32_t append_bytes_max, inflight_bytes_max, inflight_count_max;
    uint32_t snap_chunk_bytes, snap_piece_bytes, snap_window;
    uint64_t digest_us, scrub_rest_us;
    bool gossip;
    uint64_t gossip_probe_us;
    uint32_t gossip_suspicion;
    uint32_t value_bytes_max, pipeline_max;
    uint64_t think_us;
    uint64_t patience_us;   /* of those who only read, while things break; 0: that of all */
    uint64_t turn_us;       /* between an input and the turn that takes it, at most about this */
    uint32_t muse_permille; /* how often a client thinks for about an election's time */
    uint32_t family_weight[SIM_FAMILY_COUNT];
    struct sim_habits habits;
    uint32_t read_percent;
    uint64_t latency_us, jitter_us; /* least of the slowest link; what is added */
    enum sim_link_shape link_shape;
    bool links_differ;
    uint64_t bytes_per_s;                          /* of each link */
    uint32_t send_window_bytes, recv_window_bytes; /* of the kernels, per connection */
    uint64_t output_soft_bytes;                    /* unsent to a client: then it is not read */
    uint32_t cut_permille;                         /* a sent piece arrives in several */
    uint64_t disk_write_us, disk_sync_us;
    bool disk_copies;            /* blocks are copied on writing: a full disk refuses all writes */
    uint64_t faults_drawn;       /* a bit for each class the seed switched on */
    bool fault[SIM_FAULT_COUNT]; /* ... and nobody left out */
    uint64_t fault_gap_us;       /* mean time between two faults */
    uint64_t fault_long_us;      /* they last up to about this long */
    uint64_t turn_gap_us;        /* ... and between two that strike inside a turn */
    uint32_t strike_permille;    /* of the elections won */
    uint32_t witness_percent;    /* of the strikes at a lease: those it rests on restart */
    uint32_t snapshot_permille;  /* of the operations on snapshot files */
    int64_t clock_base_ppm;      /* the slowest clock; the fastest is SIM_CLOCKS_APART_PPM faster */
    uint32_t frame_drop_permille, frame_twice_permille, frame_late_permille;
    uint32_t packet_drop_permille, packet_twice_permille, packet_late_permille;
    uint32_t packet_harm_permille;
    bool faults_while_founding;
};
/* Fill the drawn part from seed. */
void sim_options_draw(struct sim_options *o);
/* Whether a fault, or an operation of a client, belongs to the run. */
bool sim_options_fault_in(const struct sim_options *o, uint64_t name);
bool sim_options_op_in(const struct sim_options *o, uint64_t name);
/* Everything drawn, in words, appended. */
void sim_options_text(const struct sim_options *o, struct buf *out);
#endif
