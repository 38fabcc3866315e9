/* node.h - the whole product without I/O: sessions, routing, groups, founding.
 *
 * A driver (port: the real world; sim: the simulated one) feeds it events and runs
 * the effects it lists. The same object is simulated and shipped.
 *
 * One loop turn, always in this order:
 *   1. the driver collects what has happened (bytes, completions),
 *   2. reads the clocks: never before 1, or a paused leader could answer a read
 *      that arrived after its lease ended,
 *   3. node_begin(), any number of events, node_end(),
 *   4. runs the effects, in order; those with a gate once that log ticket is
 *      durable, in the order of their tickets.
 *
 * Durability: every disk operation of DISK_LANE_LOG that is a synced WRITE carries
 * the ticket as its token; a ticket is durable when the last such write with it has
 * completed and the node was told so (node_disk_done). Tickets grow. An effect
 * whose gate is not durable must be held back; a crash forgets it.
 *
 * Connections: the driver numbers those it accepts (odd numbers), the node
 * those it dials (even numbers); numbers are never reused in a process's life.
 *
 * No global state: everything hangs off struct node. Owner: one thread at a time.
 */
#ifndef NODE_H
#define NODE_H
#include "base/base_disk.h"
#include "base/base_prng.h"
#include "core/raft/raft.h"
#include "core/swim/swim.h"
#include "resp/resp.h"
#include "seal/seal.h"
#include "wire/wire.h"

enum {
    NODE_PARTITIONS_DEFAULT = 64,
    NODE_MEMBERS_MAX = 64,
    NODE_ADDR_MAX = 64,  /* "host:port" with its zero */
    NODE_TICK_US = 5000, /* call node_tick at least this often */
};

struct node_time {
    uint64_t mono_us; /* monotonic, counts suspend (CLOCK_BOOTTIME) */
    uint64_t wall_ms; /* since 1970 */
};

enum node_start { NODE_START_FOUND, NODE_START_BOOTSTRAP, NODE_START_JOIN, NODE_START_PRESENT };

struct node_config {
    char client_addr[NODE_ADDR_MAX]; /* as other nodes and clients reach this one */
    char peer_addr[NODE_ADDR_MAX];
    struct swim_addr packet_addr; /* peer_addr, resolved by the driver; port 0: no gossip */
    enum node_start start;        /* ignored, with a notice, where data exists */
    uint32_t seed_count;          /* --found or --join list */
    char seeds[NODE_MEMBERS_MAX][NODE_ADDR_MAX];
    uint32_t zone;
    uint32_t weight;                           /* capacity beside the others: 1 to 64 */
    uint32_t partitions;                       /* power of two; founding only */
    uint32_t replicas;                         /* 3, wanted of each partition; founding only */
    uint64_t heartbeat_us;                     /* 50 ms */
    uint64_t election_us_min, election_us_max; /* 300 and 600 ms */
    uint64_t dead_member_replace_us;           /* a member dead for longer: 10 min; 0: never */
    uint64_t request_timeout_us;               /* waiting for a leader or a commit: 5 s */
    bool lease_reads;
    uint32_t segment_bytes;        /* log */
    uint64_t checkpoint_log_bytes; /* snapshot groups so that the log stays about this size */
    uint64_t entry_bytes_max;      /* one command in the log: 64 MiB */
    uint64_t log_memory_bytes;     /* per group: entries kept in memory for lagging peers */
    uint32_t append_bytes_max;     /* entries in one message to a peer: 256 KiB */
    uint32_t inflight_bytes_max;   /* sent to a peer and not acknowledged: 4 MiB */
    uint32_t inflight_count_max;   /* messages: 128 */
    uint32_t snap_chunk_bytes;     /* of a snapshot file, written while writes go on: 64 KiB */
    uint32_t snap_piece_bytes;     /* of one, sent to a peer: 64 KiB */
    uint32_t snap_window;          /* so many chunks or pieces under way: 8 */
    uint32_t maxclients;           /* 10000 */
    uint64_t output_soft_bytes;    /* stop reading a client that has this much unsent */
    uint64_t output_hard_bytes;    /* cut it off */
    uint64_t slowlog_us;           /* -1 as UINT64_MAX: off */
    uint64_t digest_us;            /* replicas that change compare digests this often: 2 s */
    uint64_t scrub_bytes_per_s;    /* items looked at for rot: 2 MiB; 0: none */
    uint64_t scrub_rest_us;        /* between two scrubs of one partition: 10 s */
    uint64_t gossip_probe_us;      /* one member is probed this often: 1 s; the rest follows */
    uint32_t gossip_suspicion;     /* shortest suspicion, in probes times log10 of members: 4 */
    uint32_t movements_max;        /* partitions that come here at once: 4 */
    uint64_t movement_bytes_per_s; /* of snapshots sent to replicas that do not vote yet: 64 MiB */
};
void node_config_defaults(struct node_config *cfg);

struct node;

/* Read the data directory (or find it empty) and make a node of it. entropy: 32 random
 * bytes, for a new identity and the seeds. first: effects that go before the
 * first turn. ERR_CORRUPT, ERR_VERSION, ERR_BAD_ARGUMENT, ERR_IO: why names the
 * object and the remedy; nothing was changed. */
MUST_USE enum err node_open(const struct node_config *cfg, const struct disk_boot *boot,
                            struct node_time now, const uint8_t entropy[32], struct node **out,
                            struct diag *why);
void node_close(struct node *n);

/* --- events, between node_begin and node_end --- */
void node_begin(struct node *n, struct node_time now);
enum node_conn_kind { NODE_CONN_CLIENT, NODE_CONN_PEER };
/* addr: the remote end, for CLIENT LIST and log lines. */
void node_accepted(struct node *n, uint64_t conn, enum node_conn_kind kind, const char *addr);
void node_dialed(struct node *n, uint64_t conn); /* a NODE_DIAL succeeded */
/* The connection is gone, or a NODE_DIAL failed. Ends the number; not called after a
 * NODE_CLOSE of the node's own. */
void node_closed(struct node *n, uint64_t conn, const char *reason);
/* Bytes, borrowed for the call. May arrive in any pieces. */
void node_received(struct node *n, uint64_t conn, const uint8_t *data, size_t len);
/* Unsent bytes of the connection fell to `unsent`; called when it changed a lot and
 * when it reached 0. */
void node_sent(struct node *n, uint64_t conn, size_t unsent);
/* A datagram has arrived at packet_addr's port; borrowed for the call. Judged, not trusted. */
void node_packet(struct node *n, const struct swim_addr *from, const uint8_t *data, size_t len);
/* The keys of packets from now on; copied. count 0, as before the first call: one that is made of
 * the cluster's id. May be called at any time. */
void node_packet_keys(struct node *n, const struct seal_keys *keys);
void node_disk_done(struct node *n, const struct disk_done *done);
void node_tick(struct node *n);
/* A decided map, newer than the present one (or ignored). Takes map.placement. Not from within a
 * frame of a link, for links are renumbered. Members are found again by their id, wherever they
 * stand in it and whatever their address; what it places here begins to be brought here, and what
 * it does not goes once the others have it. A node that it does not name stops (ERR_STALE). A node
 * without a cluster enters the one whose map names it. */
void node_map_take(struct node *n, struct wire_map map);
/* Have the map changed as the change says (node_mapchange.h), within a few seconds or not at all;
 * what comes of it is logged. False: too many wait, or there is no map yet. */
struct node_change;
MUST_USE bool node_want(struct node *n, const struct node_change *change);
/* Begin a clean stop: no new clients, leadership handed over, the log flushed;
 * NODE_STOP follows with ERR_OK, within a few seconds at most. */
void node_stop(struct node *n);

/* --- effects --- */
enum node_effect_kind {
    NODE_SEND,  /* data to conn, after gate */
    NODE_CLOSE, /* conn, once what was sent before has left; the number is dead now */
    NODE_DIAL,  /* connect conn to addr */
    NODE_READ,  /* conn: start (on) or stop reading from it */
    NODE_DISK,  /* op */
    NODE_LOG,   /* one structured line, level and text */
    NODE_READY, /* every partition that has a replica here has a known leader (once) */
    NODE_STOP,  /* err ERR_OK: clean. Otherwise why says what happened. */
    /* data, one datagram, to `to` from packet_addr's port. May be lost; never behind a gate;
     * whatever the socket says, nobody is told. */
    NODE_PACKET,
};
/* The largest datagram; fits the least MTU of IPv6 with its headers. */
enum { NODE_PACKET_BYTES_MAX = 1232 };
enum node_log_level { NODE_LOG_DEBUG, NODE_LOG_INFO, NODE_LOG_WARN, NODE_LOG_ERROR };
struct node_effect {
    enum node_effect_kind kind;
    uint64_t conn;
    uint64_t gate;             /* SEND: ticket to await, 0 = none */
    bool on;                   /* READ */
    struct buf data;           /* SEND, PACKET, LOG (key=value pairs): the driver frees it */
    struct swim_addr to;       /* PACKET */
    struct disk_op op;         /* DISK */
    char addr[NODE_ADDR_MAX];  /* DIAL */
    enum node_log_level level; /* LOG */
    enum err err;              /* STOP */
    struct diag why;           /* STOP */
};
struct node_effects {
    struct node_effect *at;
    size_t count, cap;
};
void node_effects_free(struct node_effects *fx);
/* End the turn: fills fx (overwritten; its buffers must have been taken). */
void node_end(struct node *n, struct node_effects *fx);
/* A deadline by which node_tick must be called. */
uint64_t node_deadline_us(const struct node *n);

/* --- views, for the driver, INFO and the simulator's checkers --- */
/* What only the driver knows, for INFO; may be filled at any time. */
struct node_gauges {
    uint64_t rss_bytes, heap_bytes, pid, uptime_start_ms;
    double cpu_user_s, cpu_sys_s;
    char io[16]; /* "uring", "epoll", "sim" */
    char data_dir[256];
    uint64_t connections_rejected;
    uint64_t packets_unsent;   /* the system did not take them */
    uint64_t packets_oversize; /* came, larger than any node sends */
};
struct node_gauges *node_gauges(struct node *n);
const struct node_config *node_config(const struct node *n); /* live: CONFIG SET changes it */
bool node_ready(const struct node *n);
uint32_t node_partition_count(const struct node *n);   /* 0: no cluster yet */
const struct wire_map *node_map(const struct node *n); /* in force; partitions 0: none */
struct node_group_view {
    bool here; /* a replica of this partition is on this node */
    enum raft_role role;
    struct raft_id self, leader;
    struct raft_term term;
    struct raft_index first, last, commit, applied;
    uint64_t digest; /* of the store at applied */
    uint64_t keys;
    bool rebuilding;   /* not a voter: being brought back */
    uint64_t installs; /* snapshots that took the place of its state, since the start */
    bool suspect;      /* its state is known to be wrong; it serves nobody from it */
    bool unresolved;   /* replicas differ and nobody can tell which is right */
    const struct raft *raft;
    const struct raft_conf *conf;
};
bool node_group_view(const struct node *n, uint32_t partition, struct node_group_view *out);
/* The newest decided map. False: none yet. */
struct node_map_view {
    uint64_t epoch, digest; /* digest: of all that it says */
    uint32_t members, acceptors;
    uint64_t self; /* the id under which this node takes part in deciding the next one */
};
bool node_map_view(const struct node *n, struct node_map_view *out);
/* The newest decided map has this node under that id: false while it has lost what it promised and
 * is not yet taken in under another. */
bool node_map_has_self(const struct node *n);
/* What a correct cluster on sound disks never sees; since the process started. */
struct node_troubles {
    uint64_t peer_errors;       /* links ended for bytes of a peer that cannot be read */
    uint64_t replicas_lost;     /* given up as damaged, to be rebuilt from the others */
    uint64_t snapshots_refused; /* received, and not whole or not what was announced */
    uint64_t maps_forked;       /* two values where the chain of maps can have one */
};
struct node_troubles node_troubles(const struct node *n);
/* The membership as this node sees it; NULL: no gossip, or no map yet. */
const struct swim *node_swim(const struct node *n);
struct swim_id node_swim_id(const struct node *n); /* this node's own */
struct node_gossip_counts {                        /* since the process started */
    uint64_t packets_in, packets_out, packet_bytes_in, packet_bytes_out;
    uint64_t frames_in, frames_out, frame_bytes_out;
    uint64_t dropped_sealed;  /* packets that no key of this cluster opens, or changed */
    uint64_t dropped_garbled; /* opened, and cannot be read */
    uint64_t dropped_foreign; /* to or from somebody who is not a member */
    uint64_t records_foreign; /* of whom the map does not know; the rest of the message counts */
};
struct node_gossip_counts node_gossip_counts(const struct node *n);
/* What faulty memory does to the replica of a partition here: store_rot. For the simulator. */
bool node_rot(struct node *n, uint32_t partition, struct prng *rng, struct buf *key);
/* All of its content is what the writes made of it: looked at in one go, which takes long. */
bool node_sound(const struct node *n, uint32_t partition);
void node_id_text(const struct node *n, char out[41]);
/* Every invariant; expensive parts only when deep. */
enum node_check_depth {
    NODE_CHECK_STEP,  /* what may be wrong for one turn only: the state of Raft */
    NODE_CHECK_BOOKS, /* and the accounts of the log, in which an error stays */
    NODE_CHECK_DEEP   /* and every item of the store: slow */
};
void node_check(const struct node *n, enum node_check_depth depth);
#endif
