/* raft.h - one replica of one Raft group, without I/O.
 *
 * Feed it messages, proposals, durable tickets and the time; once per loop turn
 * call raft_flush(), which lists in order what the driver must do. It never
 * blocks, reads a clock, draws entropy or touches a file. Same inputs, same effects.
 *
 * Durability is data: an effect with a gate may run only once the log write with
 * that ticket is on stable storage. A vote or an append acknowledgement before
 * its fsync is then impossible, not merely forbidden.
 *
 * Time: `now_us` is monotonic, includes suspend, and was read after the inputs
 * of this turn had been received; otherwise a paused leader could answer a read
 * that arrived after its lease ended.
 *
 * Owner: one thread at a time. The entries' bytes are the raft's until compacted
 * or truncated.
 * Source: [R] Ongaro, Ousterhout, In Search of an Understandable Consensus
 * Algorithm, extended version (2014); [D] Ongaro, Consensus: Bridging Theory and
 * Practice (2014): 3.10 transfer, 4.2.3 disruptive servers, 4.3 joint
 * consensus, 6.4 reads, 9.6 pre-vote, 10.2 writing in parallel and pipelining.
 */
#ifndef RAFT_H
#define RAFT_H
#include "base/base_bytes.h"
#include "base/base_prng.h"

struct raft_id {
    uint64_t n; /* 0: none */
};
struct raft_term {
    uint64_t n;
};
struct raft_index {
    uint64_t n; /* 1-based; 0: before the log */
};

enum {
    RAFT_VOTERS_MAX = 7,
    RAFT_LEARNERS_MAX = 4,
    /* both halves of a joint configuration, and the learners */
    RAFT_PEERS_MAX = 2 * RAFT_VOTERS_MAX + RAFT_LEARNERS_MAX,
};

/* Who takes part. Joint while outgoing_count > 0: then both the majority of
 * voters and that of voters_outgoing must agree [D 4.3]. */
struct raft_conf {
    uint8_t voter_count, outgoing_count, learner_count;
    struct raft_id voters[RAFT_VOTERS_MAX];
    struct raft_id outgoing[RAFT_VOTERS_MAX];
    struct raft_id learners[RAFT_LEARNERS_MAX];
};
bool raft_conf_has(const struct raft_conf *c, struct raft_id id);
bool raft_conf_is_voter(const struct raft_conf *c, struct raft_id id); /* in either half */
/* The data of a RAFT_CONF entry: the configuration, then context bytes that raft
 * carries and does not read. */
void raft_conf_encode(const struct raft_conf *c, struct slice context, struct buf *out);
MUST_USE enum err raft_conf_decode(struct slice data, struct raft_conf *c, struct slice *context);

enum raft_entry_kind {
    RAFT_NOOP,    /* a leader's first entry of its term [R s8] */
    RAFT_COMMAND, /* the state machine's */
    RAFT_CONF,    /* a configuration; in force from the moment it is appended */
};
struct raft_entry {
    struct raft_index index;
    struct raft_term term;
    enum raft_entry_kind kind;
    struct slice data;
};

/* What must survive a crash besides the entries. */
struct raft_hard {
    struct raft_term term;
    struct raft_id voted_for;
};

struct raft_config {
    struct raft_id self;
    uint64_t heartbeat_us;          /* leader: at least one message per peer and period */
    uint64_t election_us_min;       /* followers wait a random time between these two; */
    uint64_t election_us_max;       /* min is also the stickiness that leases rest on */
    uint64_t lease_drift_ppm;       /* clocks' relative rate error; shortens the lease */
    uint32_t append_bytes_max;      /* payload of one append message */
    uint32_t inflight_bytes_max;    /* per peer: sent and not acknowledged */
    uint32_t inflight_count_max;    /* per peer: append messages */
    uint64_t uncommitted_bytes_max; /* proposals beyond it get ERR_FULL */
    uint64_t seed;                  /* of the election timeouts */
    bool lease_reads;               /* false: every read takes a round [D 6.4] */
};

enum raft_role { RAFT_FOLLOWER, RAFT_PRE_CANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };

enum raft_msg_kind {
    RAFT_MSG_PREVOTE, /* term: the one it would start */
    RAFT_MSG_PREVOTE_REPLY,
    RAFT_MSG_VOTE,
    RAFT_MSG_VOTE_REPLY,
    RAFT_MSG_APPEND, /* also the heartbeat, with no entries */
    RAFT_MSG_APPEND_REPLY,
    RAFT_MSG_TIMEOUT_NOW, /* leadership transfer [D 3.10] */
    RAFT_MSG_KINDS
};
struct raft_msg {
    enum raft_msg_kind kind;
    struct raft_id from, to;
    struct raft_term term;
    struct raft_index index;   /* APPEND: previous entry. VOTE: last. REPLY: match, or hint */
    struct raft_term log_term; /* of `index` */
    struct raft_index commit;  /* refusing APPEND_REPLY: `index` of the refused message */
    bool reject;
    bool force;        /* VOTE: by transfer, stickiness does not apply */
    uint64_t stamp_us; /* APPEND: the leader's clock; its reply echoes it (leases) */
    uint64_t round;    /* APPEND: read-index round; its reply echoes it */
    uint32_t entry_count;
    const struct raft_entry *entries; /* APPEND: contiguous from index + 1; borrowed */
};

enum raft_effect_kind {
    RAFT_PERSIST,      /* make hard state and/or entries part of log write `gate` */
    RAFT_SEND,         /* msg, once `gate` is durable (0: now) */
    RAFT_COMMITTED,    /* entries up to `index` are committed: apply those not yet applied */
    RAFT_ROLE_CHANGED, /* role, leader or term changed: see raft_role(), raft_leader() */
    /* Entries from `index` on were replaced here. That alone does not decide their
     * fate: another replica may hold them and commit them yet (figure 8). One
     * did not happen once an entry of another term is committed at its index. */
    RAFT_TRUNCATED,
    RAFT_READ_READY,    /* read `token` may be answered once `index` is applied */
    RAFT_READ_LOST,     /* read `token`: leadership lost, nothing answered */
    RAFT_NEED_SNAPSHOT, /* peer `id` needs entries that were compacted away */
    RAFT_CONF_CHANGED,  /* a configuration came into force or was taken back */
};
struct raft_effect {
    enum raft_effect_kind kind;
    uint64_t gate;
    union {
        struct {
            bool hard_changed;
            struct raft_hard hard;
            uint32_t entry_count; /* replaces everything from entries[0].index on */
            const struct raft_entry *entries;
        } persist;
        struct raft_msg msg;
        struct raft_index index;
        struct {
            uint64_t token;
            struct raft_index index;
        } read;
        struct raft_id id;
    } u;
};
/* Effects of one flush. Grown as needed; entries and messages are borrowed until
 * the next call into this raft. */
struct raft_effects {
    struct raft_effect *at;
    uint32_t count, cap;
};
void raft_effects_free(struct raft_effects *fx);

struct raft; /* raft_internal.h */

/* A fresh or recovered replica. Feed the recovered entries with raft_restore(),
 * in order, then call raft_start(). snap_*: the state up to which entries are
 * not available (0 for a new group); conf: the configuration as of it.
 * commit: known committed (may exceed what is recovered: it is cut). */
struct raft_recovered {
    struct raft_hard hard;
    struct raft_index snap_index;
    struct raft_term snap_term;
    struct raft_conf conf;
    struct raft_index commit;
};
struct raft *raft_create(const struct raft_config *cfg, const struct raft_recovered *rec);
void raft_destroy(struct raft *r);
/* One recovered entry. An index at or below the last one replaces from there on
 * (the log replays overwritten tails). ERR_CORRUPT: a gap. */
MUST_USE enum err raft_restore(struct raft *r, const struct raft_entry *entry);
/* Begin. Votes are refused for one election_us_min: a leader may hold a lease
 * on what this replica said before it restarted. The only voter of a configuration that is
 * known to be committed leads at once. */
void raft_start(struct raft *r, uint64_t now_us);

/* A message from a peer; judged, not trusted. Terms, duplicates and reordering
 * are handled. ERR_MISROUTED: not for this id. ERR_BAD_INPUT: nonsense. */
MUST_USE enum err raft_step(struct raft *r, uint64_t now_us, const struct raft_msg *msg);
void raft_tick(struct raft *r, uint64_t now_us);
uint64_t raft_deadline_us(const struct raft *r); /* call raft_tick no later than this */

/* Append to the log; the bytes are copied. On ERR_OK *index is its place: it
 * happened when (index, raft_term_now) is committed. ERR_NOT_LEADER (also while
 * a transfer runs), ERR_FULL: did not happen. */
MUST_USE enum err raft_propose(struct raft *r, uint64_t now_us, struct slice data,
                               struct raft_index *index);
/* Propose the next configuration: learners changed only; or a joint one whose
 * outgoing half is the present voters. Leaving the joint one is automatic once
 * it is committed. ERR_REFUSED: one is under way, or the step is not legal. */
MUST_USE enum err raft_propose_conf(struct raft *r, uint64_t now_us, const struct raft_conf *next,
                                    struct slice context);
/* A linearizable read. True: answer now, from what is applied (lease valid and
 * everything committed before is applied). False: RAFT_READ_READY or _LOST will
 * name the token. ERR_NOT_LEADER otherwise. */
MUST_USE enum err raft_read(struct raft *r, uint64_t now_us, uint64_t token, bool *now);
/* Hand leadership to a voter. Leases end with the request, for the whole term. */
MUST_USE enum err raft_transfer(struct raft *r, uint64_t now_us, struct raft_id to);
/* The driver's link to a peer broke or came up: probe anew, resend. */
void raft_peer_reset(struct raft *r, struct raft_id peer);
/* The peer has lost what it acknowledged and may have lost its vote: neither counts any more
 * for what is still to be decided. The driver passes on nothing that it says under this id. */
void raft_peer_forgot(struct raft *r, struct raft_id peer);
/* The log write `ticket`, and all before it, are durable. */
void raft_durable(struct raft *r, uint64_t now_us, uint64_t ticket);
/* The state machine has applied up to index. */
void raft_applied(struct raft *r, struct raft_index index);

/* Everything to be done since the last flush. ticket: of the log write that
 * this turn's RAFT_PERSIST becomes part of; never smaller than before. */
void raft_flush(struct raft *r, uint64_t now_us, uint64_t ticket, struct raft_effects *out);

/* Drop entries up to index (applied; their effect is in the state). */
void raft_compact(struct raft *r, struct raft_index index);
/* A snapshot for a peer was delivered whole (ok), or given up: go on or ask again. */
void raft_snapshot_sent(struct raft *r, struct raft_id peer, struct raft_index index, bool ok);
/* The driver put a received snapshot in place of the state machine: the log restarts after it. What
 * is sent from now on rests on that; until it is durable the driver holds it back. ERR_STALE: what
 * is here is as new; nothing changed. */
MUST_USE enum err raft_install(struct raft *r, uint64_t now_us, struct raft_index index,
                               struct raft_term term, const struct raft_conf *conf);

/* Views. */
enum raft_role raft_role(const struct raft *r);
struct raft_id raft_self(const struct raft *r);
struct raft_id raft_leader(const struct raft *r); /* 0: unknown */
struct raft_term raft_term_now(const struct raft *r);
struct raft_index raft_commit(const struct raft *r);
struct raft_index raft_last(const struct raft *r);
struct raft_index raft_first(const struct raft *r); /* oldest entry held; last + 1 if none */
struct raft_hard raft_hard(const struct raft *r);
const struct raft_conf *raft_conf_now(const struct raft *r); /* newest appended */
bool raft_conf_settled(const struct raft *r);                /* newest is committed and not joint */
/* The one that was in force at that index, which the log's snapshot does not exceed; perhaps
 * joint. For a snapshot of the state there [D 4.1, 5.1]. */
const struct raft_conf *raft_conf_as_of(const struct raft *r, struct raft_index index);
/* The newest index as of which a configuration known here names the replica; 0: none does, or only
 * that from before the log. */
struct raft_index raft_conf_named(const struct raft *r, struct raft_id id);
/* Held entry at index, or NULL. Borrowed until the next call that changes r. */
const struct raft_entry *raft_entry(const struct raft *r, struct raft_index index);
/* Term at index, also at the compaction point; 0 when unknown. */
struct raft_term raft_term_at(const struct raft *r, struct raft_index index);
uint64_t raft_log_bytes(const struct raft *r); /* memory of the held entries */
/* Leader: what a peer has acknowledged; 0 when unknown. */
struct raft_index raft_match(const struct raft *r, struct raft_id peer);
/* Leader: lowest index that every peer heard from within an election timeout has. */
struct raft_index raft_match_min(const struct raft *r, uint64_t now_us);
bool raft_lease_valid(const struct raft *r, uint64_t now_us);
/* Microseconds since the peer was last heard from; UINT64_MAX: never. Leader only. */
uint64_t raft_peer_silence_us(const struct raft *r, struct raft_id peer, uint64_t now_us);

/* Every invariant this struct promises; run after each step in tests and sim. */
void raft_check(const struct raft *r);
const char *raft_role_name(enum raft_role role);
const char *raft_msg_name(enum raft_msg_kind kind);
#endif
