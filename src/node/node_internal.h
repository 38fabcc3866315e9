/* node_internal.h - the parts of a node; private to this room.
 *
 * Who owns what: the node owns groups (one per partition), links (one per member
 * position, and guests), sessions (one per client connection). A request is owned
 * by the queue it stands in, until it is answered; see node_request.h.
 */
#ifndef NODE_INTERNAL_H
#define NODE_INTERNAL_H
#include "base/base_list.h"
#include "base/base_map.h"
#include "cmd/cmd.h"
#include "core/hlc/hlc.h"
#include "core/ring/ring.h"
#include "node/node.h"
#include "node/node_chain.h"
#include "node/node_mapchange.h"
#include "store/snapfile.h"
#include "store/store.h"
#include "wal/wal.h"
#include "wire/wire.h"

struct group;
struct link;
struct session;
struct request;

/* ---- identity and map (node_found.c) ---- */

enum node_phase {
    NODE_PHASE_IDENTITY, /* the new id is being written */
    NODE_PHASE_FOUNDING, /* waiting for the other founding members, or for a map */
    NODE_PHASE_MAP,      /* the map is being written */
    NODE_PHASE_SERVING,
    NODE_PHASE_STOPPING,
    NODE_PHASE_STOPPED,
};

/* The low 24 bits of a raft id are the replica's generation; the rest names its node. A
 * generation is a count (12 bits), so that the later of two is known, and 12 random bits,
 * so that a replica that forgot its count does not take a name it has used. */
enum { NODE_GENERATION_MASK = 0xffffff, NODE_GENERATION_SHIFT = 12 };
static inline uint64_t node_short_id(const struct wire_id *id)
{
    return load_u64le(id->b) & ~(uint64_t)NODE_GENERATION_MASK;
}
/* A member speaks in the chain of maps under its node's id and a generation of its own: chance,
 * for there is no order among them. */
static inline uint64_t node_of_paxos_id(uint64_t id)
{
    return id & ~(uint64_t)NODE_GENERATION_MASK;
}
static inline uint64_t node_of_raft_id(struct raft_id id)
{
    return id.n & ~(uint64_t)NODE_GENERATION_MASK;
}

/* ---- requests (node_route.c) ---- */

enum request_origin {
    REQUEST_SESSION, /* a client of this node waits */
    REQUEST_LINK,    /* another node forwarded it; never forwarded again */
    REQUEST_CHILD,   /* part of a request that concerns several partitions */
};
enum request_state {
    REQUEST_NEW,
    REQUEST_HELD,      /* no leader known or reachable: nothing has happened */
    REQUEST_FORWARDED, /* sent to the leader: may happen */
    REQUEST_PROPOSED,  /* in the local leader's log: may happen */
    REQUEST_READING,   /* waits for the leader's right to answer, or for apply */
    REQUEST_DONE,      /* reply complete; waits for its turn in the session */
};
/* One command on one partition, or the parent of several (children > 0). */
struct request {
    struct list in_group;   /* held, forwarded or reading queue of the group */
    struct list in_session; /* order of replies */
    struct list in_timeout; /* all unfinished ones, oldest first */
    uint64_t id;            /* grows with age; also the order within a partition */
    enum request_origin origin;
    enum request_state state;
    uint8_t proto;
    bool is_write, after_writes;
    bool right;    /* READING: the leader may answer it */
    bool bounced;  /* came back untouched at least once */
    bool happened; /* DONE: it was executed, or may have been */
    bool muted;    /* CLIENT REPLY: nobody wants the answer */
    uint32_t partition;
    const struct cmd *cmd;
    struct session *session; /* SESSION: NULL once the client is gone */
    uint64_t conn;           /* LINK: the connection to answer on. FORWARDED: sent on */
    uint64_t remote_id;      /* LINK */
    struct request *parent;  /* CHILD */
    struct fanout *fanout;   /* parent: how to combine */
    uint64_t deadline_us, started_us;
    struct raft_index wait_index;  /* READING: answer when applied */
    struct raft_index barrier;     /* READING: entries beyond it came after this read */
    struct raft_term barrier_term; /* of the entry there: those before it are still the same */
    struct raft_term removal_term; /* READING: the reply is known; it leaves when the removal
                                      that it rests on, logged in this term, is applied */
    struct buf command;            /* cmd_encode()d, kept while it may be sent again */
    struct buf reply;
};

/* ---- groups (node_group.c, node_apply.c) ---- */

struct pending {
    struct raft_index index;
    struct raft_term term;
    struct request *request; /* NULL: nobody waits any more */
};

/* Writing a checkpoint (node_checkpoint.c). */
struct checkpoint {
    bool active, finishing;
    uint64_t file;
    struct raft_index index;
    struct raft_term term;
    struct raft_conf conf;
    struct buf blob;
    uint64_t offset, chunk_count;
    uint32_t in_flight;
    bool produced_all, sync_issued;
    uint64_t first_token; /* completions of older operations are of one given up */
};
/* Streaming a snapshot file to a peer (node_snapsend.c). */
struct snap_send {
    struct list in_group;
    struct raft_id to;
    uint64_t file, bytes;
    struct raft_index index;
    struct raft_term term;
    uint64_t read_offset, acked_offset;
    bool reading, last_read;
    uint64_t read_token; /* of the read under way: one of a former send is not ours */
    uint64_t end_us;     /* given up by the receiver: until then it is not asked again */
    uint64_t began_us;
    uint64_t last_progress_us;
};
/* Receiving one (node_snaprecv.c). */
struct snap_recv {
    bool active, finishing;
    uint64_t sender_file, file; /* its name there; ours */
    struct raft_id from;
    struct raft_index index;
    struct raft_term term;
    uint64_t offset, total;
    uint64_t conn;
    struct store *store;
    struct snapfile_reader reader;
    uint32_t in_flight;
    uint64_t last_progress_us;
    uint64_t install_ticket; /* INSTALLED is said once this is durable */
    uint64_t first_token;    /* completions of older operations are of one given up */
};

/* What was heard of a replica (node_past.c). */
struct heard {
    struct raft_id replica; /* its newest id */
    uint64_t records;       /* of its log, of this group: it has at least these */
    uint64_t run;           /* of its process, that wrote the last of them; 0: not known */
    bool forgot;            /* it came back with less */
};

/* A snapshot file that goes once the log no longer names it, durably. */
struct snap_old {
    uint64_t file, ticket;
};
enum { SNAP_OLD_MAX = 8 };

/* Why a replica does not trust its own state; it serves nobody from it (node_repair.c). */
enum suspicion {
    SUSPECT_NOT,
    SUSPECT_ROT,     /* the content is not what the writes made of it */
    SUSPECT_DIFFERS, /* a majority has another digest at the same index */
};
/* What the leader knows of another voter's state, in its present leadership. */
struct voter_digest {
    struct raft_id id;
    bool answered; /* in the round under way */
    bool damaged;  /* it says that its content has rotted */
    bool wrong;    /* it was told to be rebuilt */
    uint64_t digest;
};
/* Replicas prove that they are equal (node_digest.c, docs/protocol/replicas.md). */
struct digest {
    /* every replica: what its leader asked for */
    struct raft_index stop;  /* note the digest when this is applied; 0: nothing asked */
    struct raft_index noted; /* the last that it answered for, in this term */
    uint64_t noted_digest;
    /* the leader: the round under way */
    struct raft_index round; /* 0: none yet in this leadership */
    uint64_t round_us;       /* when it began */
    uint64_t next_us;        /* of the next one, or of asking again */
    uint64_t majority;       /* the digest that more than half of the voters have */
    bool has_majority, said;
    uint64_t said_us;
    bool unresolved; /* all voters have answered and nobody can be told right from wrong */
    uint8_t voter_count;
    struct voter_digest voters[RAFT_VOTERS_MAX]; /* the others */
    /* a replica that is not right (node_repair.c) */
    enum suspicion suspect;
    bool quarantined;  /* its leader sends it a snapshot; meanwhile it applies nothing */
    bool alone;        /* leader, suspect, and no other replica is better: it serves */
    uint64_t stuck_us; /* when people are told that it takes long */
    uint64_t help_us;  /* of its last request for a snapshot, or report of its damage */
};

/* The leader: how far a learner has come (node_member.c). */
struct caught_up {
    struct raft_id id;
    struct raft_index goal; /* the end of the log at since_us */
    uint64_t since_us;
};

struct group {
    struct node *node;
    uint32_t partition;
    bool here;       /* a replica lives on this node */
    bool dirty;      /* in node->dirty */
    bool rebuilding; /* not yet (again) a voter */
    struct raft *raft;
    struct store *store;
    struct raft_id self;
    struct raft_id replaces; /* rebuilding: whom */
    struct raft_index applied;
    struct raft_term applied_term;
    struct hlc clock;           /* newest logged time */
    struct raft_term time_term; /* led here with the clock set after the log */
    /* proposals in index order, a ring */
    struct pending *pending;
    uint32_t pending_head, pending_count, pending_cap;
    /* those whose entry was replaced in this log: another replica may still hold it and
     * have it committed, so only what is applied at their index decides [R fig. 8] */
    struct pending *replaced;
    uint32_t replaced_count, replaced_cap;
    struct list reading;   /* waiting for right or apply */
    struct list held;      /* in id order */
    struct list forwarded; /* in id order */
    /* where writes go */
    struct raft_id leader;
    struct raft_term leader_term;
    /* snapshots */
    uint64_t snap_file; /* newest durable one; 0: none */
    struct raft_index snap_index;
    struct raft_term snap_term;
    uint64_t snap_bytes;
    bool snap_wanted;     /* a peer needs one newer than we have */
    uint64_t snap_bad;    /* a file that was found damaged; 0: none */
    uint64_t snap_bad_us; /* no other is written before because a receiver says so */
    uint64_t snap_ticket; /* of the log write that names snap_file */
    struct snap_old snap_old[SNAP_OLD_MAX];
    uint32_t snap_old_count;
    struct raft_id snap_peers[RAFT_PEERS_MAX]; /* wait for the next checkpoint */
    uint32_t snap_peer_count;
    struct checkpoint checkpoint;
    struct list sends;
    struct snap_recv recv;
    uint64_t installs;        /* since the start */
    uint64_t install_ticket;  /* of the log write in which the last one became this replica's state:
                                 what it says rests on that */
    uint64_t retain_until_us; /* keep entries after snap_index for a catching-up peer */
    uint64_t join_sent_us;
    struct caught_up caught;
    /* taken out, or not? (node_move.c) */
    uint64_t out_asked, out_us;     /* number and time of the last question */
    uint64_t led_us;                /* a leader was known last */
    uint64_t name_ticket;           /* of the log write in which this replica took its name */
    uint64_t move_us;               /* this replica began to be brought here */
    struct raft_conf snap_conf;     /* as of snap_index: that of the blob */
    uint64_t records, records_news; /* durable log records; the news in which they grew */
    struct heard heard[RAFT_PEERS_MAX];
    uint8_t heard_count;
    bool heard_news;           /* more than the log holds */
    struct wire_starts starts; /* of this replica */
    uint64_t heard_save_us;
    uint64_t leader_since_us;
    struct raft_index expire_index; /* newest logged removal of what is past its time, in this
                                       replica's present leadership */
    bool transfer_asked;
    struct digest digest;
    uint64_t scrub_us; /* no scrub before */
};

/* ---- links to other nodes (node_link.c) ---- */

enum link_state {
    LINK_DOWN,
    LINK_DIALING,
    LINK_HELLO,
    LINK_VISIT, /* one of the two is no member of the map that the other knows */
    LINK_UP,
};
/* Members, listed addresses where the map has nobody, and who comes and is no member. */
enum { NODE_VISITORS_MAX = 8, NODE_LINKS_MAX = 2 * NODE_MEMBERS_MAX + NODE_VISITORS_MAX };
struct link {
    uint32_t pos;             /* in node->links */
    char addr[NODE_ADDR_MAX]; /* to dial; empty: a place for visitors */
    enum link_state state;
    bool seed;               /* a listed address, where the map has nobody */
    bool dialed;             /* by this node, not by the peer */
    uint64_t conn;           /* 0: none */
    struct wire_id node;     /* of the hello; of the map before */
    struct wire_hello hello; /* slices point into hello_* below */
    char hello_peer[NODE_ADDR_MAX], hello_client[NODE_ADDR_MAX];
    bool avoid;                   /* the peer is stopping or its disk is full: not to lead */
    bool digests;                 /* the peer understands WIRE_DIGEST */
    bool gossips;                 /* ... and WIRE_SWIM */
    uint64_t map_epoch, map_told; /* of the map that the peer has, as it said; that it was sent */
    /* of the membership (node_gossip.c) */
    bool greeted;         /* this connection was used to compare views */
    uint64_t lost_us;     /* when it last went down */
    uint64_t packet_us;   /* of the newest packet from the member */
    uint64_t state_since; /* wall clock, ms: the member is in its present state */
    struct buf in;
    /* frames built during a turn */
    struct buf now;   /* sent at once */
    struct buf gated; /* Raft messages that wait for a ticket */
    uint64_t gate;
    size_t raft_now_mark, raft_gated_mark, request_mark, reply_mark;
    struct buf requests, replies; /* whole frames under construction */
    bool raft_now_open, raft_gated_open, request_open, reply_open;
    struct buf records; /* of what waits for the gate */
    size_t records_mark;
    uint64_t records_news; /* of the node, told so far */
    uint64_t run;          /* of the peer's process */
    struct buf raft_now;
    uint64_t retry_us, heard_us, ping_us;
    /* of pings (node_ping.c) */
    uint64_t used_us;    /* when it last carried what is not lightly lost, either way */
    uint64_t roused_us;  /* when this end began to use a link that rested; 0: it was heard since */
    uint64_t ping_epoch; /* of the map, as said last: another one is said at once */
    bool resting, peer_resting, peer_rests; /* this end said so; the peer did; it understands */
    uint32_t failures;
    size_t unsent;
    char refused[160]; /* why the last attempt was refused */
};

/* Connections accepted on the peer port that have not said hello yet. */
struct guest {
    uint64_t conn, since_us;
    struct buf in;
    char addr[NODE_ADDR_MAX];
};

/* ---- client sessions (node_session.c) ---- */

enum session_reply_mode { SESSION_REPLY_ON, SESSION_REPLY_OFF, SESSION_REPLY_SKIP };
struct session {
    struct list in_node;
    struct list in_dirty;
    uint64_t conn, id;
    struct node *node;
    struct resp_parser parser;
    struct buf in;       /* received, not yet parsed */
    struct buf out;      /* to be sent at the end of the turn */
    struct list replies; /* requests in order */
    uint32_t waiting;    /* requests in replies */
    uint32_t window;     /* so many at most */
    size_t reply_bytes;  /* of its larger recent replies */
    uint32_t writes_waiting;
    uint8_t proto;
    enum session_reply_mode reply_mode;
    bool skip_next, skip_asked; /* CLIENT REPLY SKIP: the next one; asked by this one */
    bool asked_map, no_evict, no_touch, closing, dirty, reading_off, readonly;
    size_t unsent;
    uint64_t created_us, active_us, commands;
    char addr[NODE_ADDR_MAX];
    char *name, *lib_name, *lib_ver;
    const struct cmd *last_cmd;
};

/* ---- disk operations of the node's own (tokens below bit 62, above tickets) ---- */

enum disk_user {
    DISK_USER_IDENTITY = 1,
    DISK_USER_MAP,
    DISK_USER_INCARNATION,
    DISK_USER_META_FIRST, /* of the two files of each */
    DISK_USER_CHAIN,
    DISK_USER_CHECKPOINT, /* chunk written */
    DISK_USER_CHECKPOINT_SYNCED,
    DISK_USER_CHECKPOINT_NAMED,
    DISK_USER_SEND_READ,
    DISK_USER_RECV,
    DISK_USER_RECV_SYNCED,
    DISK_USER_RECV_NAMED,
    DISK_USER_FORGET, /* nobody waits */
};
/* token = bit 62, 6 bits user, 20 bits partition, the rest a number */
#define NODE_TOKEN_BIT (1ULL << 62)
#define NODE_TOKEN_NUMBER ((1ULL << 36) - 1)
static inline uint64_t node_token(enum disk_user user, uint32_t partition, uint64_t number)
{
    return NODE_TOKEN_BIT | ((uint64_t)user << 56) | ((uint64_t)partition << 36) |
           (number & NODE_TOKEN_NUMBER);
}
static inline enum disk_user node_token_user(uint64_t token)
{
    return (enum disk_user)((token >> 56) & 0x3f);
}
static inline uint64_t node_token_number(uint64_t token)
{
    return token & NODE_TOKEN_NUMBER;
}

/* ---- counters and logs shown by INFO, SLOWLOG, LATENCY ---- */

struct slow_entry {
    uint64_t id, when_s, took_us;
    struct buf args; /* argc varint, then put_bytes each, shortened */
    char client[NODE_ADDR_MAX];
    char name[64];
};
enum { SLOWLOG_MAX = 1024, LATENCY_SAMPLES = 160 };
struct latency_event {
    char name[24];
    uint32_t head, count;
    uint64_t max_ms;
    struct {
        uint64_t when_s, ms;
    } at[LATENCY_SAMPLES];
};
struct stats {
    uint64_t connections, commands, in_bytes, out_bytes, errors;
    uint64_t forwarded, proposals, lease_reads, index_reads;
    uint64_t elections, snapshots_written, snapshots_sent, snapshots_installed;
    uint64_t turns, output_cut;
    uint64_t digests_compared, digests_different, repairs_begun, repairs_done;
    uint64_t scrubs, scrub_bytes, scrubs_damaged;
    uint64_t ops_mark_us, ops_mark_commands, ops_per_s;
};
struct cmd_stat {
    uint64_t calls, rejected;
};

/* What the map needs without anybody asking (node_keeper.c). */
struct keeper_dead {
    struct wire_id node;
    uint64_t since_us; /* 0: nobody */
};
struct keeper {
    struct keeper_dead dead[WIRE_MEMBERS_MAX]; /* members that are not there */
    uint64_t look_us;                          /* not before */
    uint64_t majority_us;                      /* since then more than half are; 0: they are not */
    uint64_t map_epoch, map_us;                /* of the map, first seen then */
    uint64_t fair_epoch;                       /* of the map that `fair` is about */
    bool fair;
    bool asking; /* a change is being decided */
};

struct node {
    struct node_config cfg;
    struct node_gauges gauges;
    struct node_time now, started;
    struct prng rng;
    enum node_phase phase;
    struct wire_id id;
    uint64_t paxos;                     /* under which this node takes part in the chain of maps */
    uint64_t first_paxos;               /* of meta/node: before there was a map */
    uint64_t paxos_ids;                 /* taken in this run */
    struct wire_map map;                /* partitions 0: none yet */
    struct wire_map map_taken;          /* newer and decided: in force when this node serves */
    uint64_t map_us;                    /* since when the present one is in force here */
    uint64_t move_us;                   /* next look at what is to be moved */
    uint64_t out_number;                /* of questions */
    uint64_t move_bytes, move_bytes_us; /* snapshots for learners: may be sent now; counted at */
    uint32_t self_pos;                  /* in map.members */
    bool log_started;                   /* the log has held votes: its absence would be amnesia */
    bool joined; /* came later, and is not yet a voter in every group that is placed here */
    bool was_ready;
    struct chain *chain;      /* NULL: no map yet */
    struct wire_map map_next; /* being written */
    bool map_writing, map_dirty;
    bool identity_repair;  /* one of its two files is to be written again */
    enum err meta_failed;  /* of the first of two files */
    uint64_t map_retry_us; /* not before: the disk was full */

    struct wal *wal;
    struct group *groups; /* map.partitions of them */
    struct group **dirty;
    uint32_t dirty_count;
    struct raft_effects raft_fx;
    struct wire_entries entries; /* scratch of decoding */
    struct buf scratch;          /* scratch of encoding */

    struct link links[NODE_LINKS_MAX];
    uint32_t link_count;
    struct guest *guests;
    uint32_t guest_count, guest_cap;

    struct map64 sessions; /* conn -> struct session */
    struct list session_list, session_dirty;
    uint32_t session_count;
    uint64_t next_conn, next_session, next_request, next_file, next_token;

    struct map64 forwarded; /* request id -> struct request */
    struct map64 reads;     /* token -> struct request */
    struct list timeouts;
    struct list deciding; /* requests that wait for a change of the map (node_cmd_map.c) */
    struct request *free_requests;
    uint32_t free_request_count;

    struct gossip *gossip; /* node_gossip.h; NULL: off */
    struct keeper keeper;
    struct node_effects *fx;   /* of the turn under way */
    struct node_effects early; /* of node_open */
    struct disk_ops ops;
    uint32_t checkpoints_active;
    uint32_t scrub_partition; /* under a scrub, or the next to be */
    bool scrubbing;
    uint64_t scrub_due_us;        /* of the next piece */
    uint64_t checkpoint_pause_us; /* after a full disk */
    uint64_t recv_said_us;        /* that snapshots cannot be stored */
    uint64_t tick_us, balance_us;
    uint64_t run;                      /* of this process: random, never 0 */
    uint64_t records_news, records_us; /* counts changes of groups' records; next time to tell */
    uint64_t stop_us;
    uint64_t stop_ticket;
    bool stop_said, stop_closing;
    struct stats stats;
    struct node_troubles troubles;
    struct cmd_stat *cmd_stats;
    struct slow_entry *slowlog; /* ring; NULL: nothing was slow yet */
    uint32_t slowlog_head, slowlog_count, slowlog_max;
    uint64_t slowlog_next;
    uint64_t latency_threshold_ms;
    struct latency_event latency[8];
    uint32_t latency_count;
    uint32_t proto_max_bulk;
};

/* node.c */
void node_log(struct node *n, enum node_log_level level, const char *fmt, ...) PRINTF_LIKE(3, 4);
struct node_effect *node_effect_push(struct node *n, enum node_effect_kind kind);
void node_fail(struct node *n, enum err err, const struct diag *why);
/* Move listed disk operations into effects. */
void node_issue_ops(struct node *n);
bool node_writable(const struct node *n); /* false: the disk is full */

/* node_past.c */
void node_past_open(struct node *n, struct link *l); /* the link has come up */
void node_past_gated(struct group *g, struct link *l, uint64_t gate);
void node_past_durable(struct group *g); /* the log has become durable */
void node_past_tick(struct node *n);
void node_past_frame(struct node *n, struct link *l, struct slice payload);
void node_past_forgot(struct node *n, struct link *l, struct slice payload);
/* Nothing that this replica says counts. */
bool node_past_void(struct group *g, struct raft_id from);
void node_past_save(struct group *g); /* the group writes to the log: perhaps this too */
void node_past_encode(const struct group *g, struct buf *out);
struct group_blob;
MUST_USE enum err node_past_decode(struct reader *r, struct group_blob *out);
/* The group has been read from the log: it goes on from what stood there. */
void node_past_boot(struct group *g, const struct group_blob *blob);
void node_past_begin(struct group *g); /* it begins in this run: before its blob is written */

/* node_found.c */
MUST_USE enum err node_found_boot(struct node *n, const struct disk_boot *boot,
                                  const uint8_t entropy[32], struct diag *why);
void node_found_begin(struct node *n); /* after boot: dial, write identity */
void node_found_hello(struct node *n, struct link *l);
void node_found_visit(struct node *n, struct link *l); /* one that is no member said hello */
void node_found_tick(struct node *n);
void node_found_rebuilt(struct node *n); /* a replica votes again: perhaps the last one */
void node_found_map(struct node *n, struct link *l, struct slice payload);
void node_found_disk(struct node *n, enum disk_user user, const struct disk_done *of);
/* Take `map` (owned) as the first, to be written; service starts once it is. */
void node_found_adopt(struct node *n, struct wire_map map);
void node_map_write(struct node *n); /* persist node->map as it is now */
/* Position of the member that runs replicas of this id, or -1. */
int node_member_of(const struct node *n, struct raft_id id);
int node_member_by_id(const struct node *n, const struct wire_id *id);
int node_member_by_addr(const struct node *n, const char *peer_addr);
struct raft_id node_replica_id(const struct node *n, uint32_t pos); /* generation 0 */
uint32_t node_partition_of_slot(const struct node *n, uint32_t hashslot);
uint64_t node_found_hash(const struct node *n);
/* One that this node has never spoken under, but for a chance of one in 16 million. */
uint64_t node_new_paxos_id(struct node *n);
void node_groups_alloc(struct node *n);
void node_start_groups(struct node *n); /* the map is durable and new */
void node_self_member(const struct node *n, struct wire_member *out);

/* node_meta.c */
/* The file, or its copy, without the head. *repair: one of the two must be written again. */
MUST_USE enum err node_meta_read(const struct disk_boot *boot, const char *path, struct buf *out,
                                 bool *repair, struct diag *why);
/* Both files; the completion of the second has `user` in its token. */
void node_meta_write(struct node *n, const char *path, enum disk_user user, const struct buf *body);

/* node_boot.c */
/* The id under which a replica that has forgotten comes back; 0: there are no more. */
struct raft_id node_next_generation(struct node *n, struct raft_id was);
MUST_USE enum err node_boot_groups(struct node *n, const struct disk_boot *boot, struct diag *why);

/* node_link.c */
void node_link_free(struct link *l);   /* its buffers */
void node_links_setup(struct node *n); /* from seeds or map */
void node_link_tick(struct node *n);
void node_link_accepted(struct node *n, uint64_t conn, const char *addr);
void node_link_dialed(struct node *n, struct link *l);
void node_link_closed(struct node *n, struct link *l, const char *reason);
bool node_link_guest_closed(struct node *n, uint64_t conn);
bool node_link_received(struct node *n, uint64_t conn, const uint8_t *data, size_t len);
struct link *node_link_by_conn(struct node *n, uint64_t conn);
/* What was built for l is sent, then its connection ends. */
void node_link_end(struct node *n, struct link *l);
void node_link_say_map(struct node *n, struct link *l); /* the newest decided */
/* The link to the node that runs a replica; NULL when it is not up. */
struct link *node_link_to(struct node *n, struct raft_id id);
struct link *node_link_at(struct node *n, uint32_t member_pos); /* up, or NULL */
void node_link_send_raft(struct node *n, uint32_t partition, const struct raft_msg *m,
                         uint64_t gate);
struct buf *node_link_request_frame(struct link *l);
struct buf *node_link_reply_frame(struct link *l);
void node_links_flush(struct node *n);
void node_link_refuse(struct node *n, uint64_t conn, enum err code, const char *text);
void node_link_drop(struct node *n, struct link *l, const char *reason);
/* For longer than a peer that is there is ever silent, so that it is not asked for anything; but
 * it may only be slow, and the link is kept. */
/* As node_link_drop: the peer said what no correct one says. */
void node_link_garbled(struct node *n, struct link *l, const char *reason);

/* node_group.c */
void node_group_init(struct node *n, uint32_t partition);
void node_group_free(struct group *g);
void node_group_raft_config(const struct node *n, struct raft_id self, uint32_t partition,
                            struct raft_config *out);
void node_group_mark(struct group *g); /* something changed: flush it this turn */
void node_groups_flush(struct node *n);
void node_groups_durable(struct node *n, uint64_t ticket);
void node_group_put_blob(struct group *g, const struct raft_conf *conf);
void node_group_encode_blob(const struct group *g, const struct raft_conf *conf, struct buf *out);
/* An empty keyspace. All replicas hash alike in every life, so that a cursor of SCAN means the
 * same wherever it goes on. */
struct store *node_group_store(const struct group *g);
struct group_blob {
    struct raft_id self;
    bool gone;
    struct raft_conf conf;
    struct hlc_stamp last_stamp;
    uint32_t member_count;
    struct wire_member members[RAFT_PEERS_MAX];
    struct heard heard[RAFT_PEERS_MAX];
    uint8_t heard_count;
    struct wire_starts starts;
};
MUST_USE enum err node_group_decode_blob(struct slice data, struct group_blob *out);
/* The replica was taken out: it and its data go. It remembers its name, which is not used again. */
void node_group_end(struct group *g);
/* The group as a fresh replica under a new identity. */
void node_group_restart_as(struct group *g, struct raft_id self, struct raft_id replaces);
bool node_group_leads(const struct group *g);
void node_group_learn_leader(struct group *g, struct raft_id leader, struct raft_term term);
/* Add to what is sent to l: who leads the group, as far as this replica knows. */
void node_group_tell_leader(struct group *g, struct link *l);
/* Before this leader stamps anything: its clock is no earlier than what its log holds. Asked for
 * whenever a stamp is made, for it may lead since this very turn. */
void node_group_leader_time(struct group *g);
const struct raft_conf *node_group_conf(const struct group *g);

/* node_apply.c */
void node_apply(struct group *g);
void node_apply_truncated(struct group *g, struct raft_index from);
void node_apply_drop_pending(struct group *g, struct raft_index upto, const char *why);
void node_apply_orphan(struct group *g, const struct request *r); /* nobody waits any more */
void node_pending_push(struct group *g, struct raft_index index, struct raft_term term,
                       struct request *r);

/* node_route.c */
struct request *node_request_new(struct node *n, enum request_origin origin, const struct cmd *cmd,
                                 uint32_t partition);
void node_request_free(struct node *n, struct request *r);
/* Route a command; argv is borrowed for the call. */
void node_route(struct node *n, struct request *r, uint32_t argc, const struct slice *argv);
void node_route_drain(struct group *g); /* try the held ones again */
void node_route_drain_all(struct node *n);
void node_route_link_down(struct node *n, uint64_t conn);
/* Nothing is heard from l: who waits for an answer that another leader could give by now does
 * not wait until the link is given up. */
void node_route_link_quiet(struct node *n, const struct link *l);
void node_route_request_frame(struct node *n, struct link *l, struct slice payload);
void node_route_reply_frame(struct node *n, struct link *l, struct slice payload);
void node_route_timeouts(struct node *n);
/* A read that can be answered at once: true when it was. */
bool node_route_read_now(struct node *n, struct session *s, const struct cmd *cmd,
                         uint32_t partition, uint32_t argc, const struct slice *argv,
                         struct resp_writer *w);
void node_expire_tick(struct node *n);
/* The outcome of a request; frees it or queues its reply. */
void node_request_reply(struct node *n, struct request *r, struct slice reply);
struct resp_writer node_request_writer(struct node *n, struct request *r);
void node_request_replied(struct node *n, struct request *r); /* after the writer was used */
void node_request_error(struct node *n, struct request *r, const char *text);
void node_request_not_leader(struct node *n, struct request *r); /* did not happen: route anew */
void node_request_in_doubt(struct node *n, struct request *r, const char *why);
/* Answer those READING whose index is applied. False: one still lacks the right to be
 * answered, and what comes after it in the log must not be applied before it is. */
bool node_reads_ready(struct group *g);
/* The state is about to hold entries up to this one, which came after some of the reads that
 * wait: those go elsewhere, or a client would see in a read what it wrote after it. */
void node_reads_overtaken(struct group *g, struct raft_index upto);
void node_read_right(struct node *n, uint64_t token, struct raft_index index);
void node_read_lost(struct node *n, uint64_t token);

/* node_fanout.c */
enum fanout_kind {
    FANOUT_SUM,    /* DBSIZE */
    FANOUT_OK,     /* FLUSHALL */
    FANOUT_CONCAT, /* KEYS */
    FANOUT_FIRST,  /* RANDOMKEY: partitions in random order until one is not empty */
    FANOUT_SCAN,   /* one partition; the cursor is translated */
};
struct fanout {
    enum fanout_kind kind;
    uint32_t left;    /* children not yet answered */
    int64_t sum;      /* OK: partitions that did it, or may have */
    size_t count;     /* CONCAT: items */
    struct buf items; /* CONCAT */
    struct buf error; /* the first error */
    uint32_t *order;  /* FIRST: partitions still to ask */
    uint32_t order_at, order_count;
    uint32_t partition; /* SCAN */
};
void node_fanout_start(struct node *n, struct request *parent, uint32_t argc,
                       const struct slice *argv);
void node_fanout_child(struct node *n, struct request *child, struct slice reply);
void node_fanout_free(struct fanout *f);

/* node_session.c */
void node_session_accepted(struct node *n, uint64_t conn, const char *addr);
void node_session_received(struct session *s, const uint8_t *data, size_t len);
void node_session_closed(struct session *s);
void node_session_kill(struct session *s); /* close after what is queued */
void node_session_mark(struct session *s);
void node_sessions_flush(struct node *n);
void node_sessions_resume(struct node *n); /* those that were waiting go on */
void node_session_sent(struct session *s, size_t unsent);
void node_session_done(struct session *s); /* a request of its may be at the head */
void node_session_resume(struct session *s);

#define NODE_VERSION "0.1.0"
#define NODE_REDIS_VERSION "7.0.15" /* what clients may expect of the commands */

/* node_command.c and its families: commands answered by the node itself */
void node_command(struct session *s, const struct cmd *cmd, uint32_t argc, const struct slice *argv,
                  struct resp_writer *w);
/* A word of a command, any case. */
bool node_arg_is(struct slice arg, const char *word);
bool node_client_name_ok(struct slice name);
void node_client_set_text(char **field, struct slice text);
void node_cmd_client(struct session *s, const struct cmd *cmd, uint32_t argc,
                     const struct slice *argv, struct resp_writer *w);
void node_cmd_config(struct session *s, const struct cmd *cmd, uint32_t argc,
                     const struct slice *argv, struct resp_writer *w);
void node_cmd_cluster(struct session *s, const struct cmd *cmd, uint32_t argc,
                      const struct slice *argv, struct resp_writer *w);
void node_cmd_info(struct node *n, uint32_t argc, const struct slice *argv, struct resp_writer *w);
void node_cmd_slowlog(struct session *s, const struct cmd *cmd, uint32_t argc,
                      const struct slice *argv, struct resp_writer *w);
void node_cmd_latency(struct session *s, const struct cmd *cmd, uint32_t argc,
                      const struct slice *argv, struct resp_writer *w);
void node_cmd_synod(struct session *s, const struct cmd *cmd, uint32_t argc,
                    const struct slice *argv, struct resp_writer *w);
void node_slowlog_note(struct session *s, uint32_t argc, const struct slice *argv,
                       uint64_t took_us);
void node_latency_note(struct node *n, const char *event, uint64_t ms);

/* node_checkpoint.c */
void node_checkpoint_tick(struct node *n);
void node_checkpoint_want(struct group *g);
/* The file was found damaged: if it is the newest, another is written though nothing changed. */
void node_checkpoint_spoiled(struct group *g, uint64_t file);
bool node_checkpoint_bad(const struct group *g); /* the newest file is such a one */
void node_checkpoint_disk(struct group *g, enum disk_user user, const struct disk_done *done);
void node_checkpoint_abort(struct group *g);
void node_checkpoint_pump(struct group *g);

/* A file that is not snap_file any more: it goes when the log names that one durably. */
void node_checkpoint_retire(struct group *g, uint64_t file);

/* node_snapsend.c */
void node_snap_need(struct group *g, struct raft_id peer);
/* As node_snap_need, for a replica whose state is wrong and whose log is right: a snapshot of
 * index `least` or later. */
void node_snap_repair(struct group *g, struct raft_id peer, struct raft_index least);
void node_snap_ready(struct group *g); /* a new checkpoint is durable */
void node_snap_ack(struct node *n, struct link *l, const struct wire_chunk_ack *a);
void node_snap_disk(struct group *g, const struct disk_done *done);
void node_snap_send_tick(struct group *g);
void node_snap_sends_drop(struct group *g, uint64_t conn_peer_node, bool all);

/* node_snaprecv.c */
void node_snap_chunk(struct node *n, struct link *l, const struct wire_chunk *c);
void node_snap_recv_disk(struct group *g, enum disk_user user, const struct disk_done *done);
void node_snap_recv_abort(struct group *g);
void node_snap_recv_tick(struct group *g);

/* node_digest.c */
void node_digest_tick(struct node *n);
void node_digest_frame(struct node *n, struct link *l, const struct wire_digest *m);
void node_digest_applied(struct group *g); /* digest.stop was reached */
void node_digest_role_changed(struct group *g);
/* Leader: the voter's state is known to be wrong, or damaged. */
bool node_digest_bad(const struct group *g, struct raft_id voter);
void node_digest_send(struct group *g, struct wire_digest *d);

/* node_repair.c */
void node_repair_tick(struct node *n);
/* This replica's state is not right: it answers nobody from it any more. */
void node_repair_suspect(struct group *g, enum suspicion why, const char *how);
/* The leader has proved it, and will send a snapshot. */
void node_repair_quarantine(struct group *g, uint64_t majority);
/* A snapshot of this index may replace the state although the log reaches further. */
bool node_repair_takes(const struct group *g, struct raft_index index);
void node_repair_installed(struct group *g); /* a snapshot has replaced the state */
void node_repair_role_changed(struct group *g);
/* This replica is wrong and leads; that one is better. 0: it cannot be reached now. */
void node_repair_hand_over(struct group *g, struct raft_id to);
bool node_repair_log_full(const struct group *g); /* no more entries, until it is rebuilt */
/* Requests may be answered from this replica's state. */
static inline bool node_group_trusted(const struct group *g)
{
    return LIKELY(g->digest.suspect == SUSPECT_NOT) || g->digest.alone;
}

/* node_ping.c */
/* Nothing came for so long that no request should be sent on it. */
bool node_link_quiet(const struct node *n, const struct link *l);
void node_ping_used(struct node *n, struct link *l); /* this end sends what wakes the other */
/* A request is to go there, and the link is quiet: wake it, if it is quiet because it rests. */
void node_ping_rouse(struct node *n, struct link *l);
bool node_ping_silent(const struct node *n, const struct link *l); /* for too long */
void node_ping_frame(struct node *n, struct link *l, struct slice payload);
void node_ping_tick(struct node *n, struct link *l);

/* node_gossip.c */
MUST_USE enum err node_gossip_boot(struct node *n, const struct disk_boot *boot,
                                   const uint8_t entropy[32], struct diag *why);
void node_gossip_free(struct node *n);
void node_gossip_tick(struct node *n);
void node_gossip_frame(struct node *n, struct link *l, struct slice payload);
void node_gossip_greet(struct node *n, struct link *l); /* the peer understands, or may now */
void node_gossip_persisted(struct node *n, const struct disk_done *done);
void node_gossip_paced(struct node *n); /* CONFIG SET has changed a setting of it */
void node_gossip_leave(struct node *n); /* say goodbye */
bool node_gossip_left(const struct node *n);
/* What is known of the member at that position of the map. UNKNOWN: nothing, or no gossip. */
enum swim_state node_gossip_state(const struct node *n, uint32_t pos, struct swim_record *out);
/* Not to be given anything to do. */
bool node_gossip_unwell(const struct node *n, uint32_t pos);

/* node_cmd_map.c */
bool node_cmd_map_is(const struct cmd *cmd); /* it changes the map */
void node_cmd_map(struct node *n, struct request *r, const struct slice *argv);
void node_map_moves_text(const struct node *n, struct buf *b);
void node_map_member_text(const struct node *n, uint32_t pos, struct buf *b);

/* node_keeper.c */
void node_keeper_tick(struct node *n);

/* node_cmd_gossip.c */
void node_gossip_info(const struct node *n, struct buf *b);
void node_gossip_members(const struct node *n, struct buf *b);
void node_gossip_keys(const struct node *n, struct buf *b);

/* node_scrub.c */
void node_scrub_tick(struct node *n);
void node_scrub_stop(struct group *g); /* a checkpoint wants the walk, or the store goes */

/* node_map.c: node_map_take, and */
void node_map_apply(struct node *n); /* what was taken before this node served */

/* node_move.c */
void node_move_tick(struct node *n);
void node_move_out(struct node *n, struct link *l, const struct wire_out *o);
/* The map does not place a replica on its node. */
bool node_move_superfluous(const struct group *g, struct raft_id replica);
/* How far a learner of this leader has come, in words. */
void node_move_progress(const struct group *g, struct raft_id learner, struct buf *b);
/* So many bytes may be sent to a learner now; taken from the allowance if so. */
bool node_move_allowed(struct group *g, struct raft_id to, uint64_t bytes);

/* node_member.c */
void node_member_tick(struct node *n);
void node_member_join(struct node *n, struct link *l, const struct wire_join *j);
void node_member_conf_changed(struct group *g); /* appended, or taken back */
void node_member_conf_applied(struct group *g, const struct raft_conf *conf);
void node_balance_tick(struct node *n);
/* Another replica could take the leadership now. */
bool node_member_can_leave(struct group *g);
void node_stop_tick(struct node *n);
#endif
