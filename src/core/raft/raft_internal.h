/* raft_internal.h - what the files of core/raft share. Nothing outside includes it.
 *
 *   raft.c              life, dispatch of messages and time, views
 *   raft_election.c     roles, votes, pre-votes, stickiness      [R s5.2, D 4.2.3, 9.6]
 *   raft_replication.c  appends, acknowledgements, commit         [R s5.3, s5.4]
 *   raft_log.c          the entries in memory, what is durable
 *   raft_conf.c         configurations and their history          [R s6, D 4]
 *   raft_read.c         leases and read-index                     [D 6.4]
 *   raft_transfer.c     handing leadership over                   [D 3.10]
 *   raft_snapshot.c     compaction and install                    [R s7]
 *   raft_flush.c        effects
 *   raft_check.c        the invariants
 */
#ifndef RAFT_INTERNAL_H
#define RAFT_INTERNAL_H
#include "base/base_mem.h"
#include "core/quorum/quorum.h"
#include "core/raft/raft.h"

/* Beyond these a number from the network is nonsense, and sums cannot overflow. */
#define RAFT_TERM_MAX ((uint64_t)1 << 62)
#define RAFT_INDEX_MAX ((uint64_t)1 << 62)

/* A log write given to the driver and not yet durable. */
struct raft_write {
    uint64_t ticket;
    uint64_t last; /* the log is durable up to here once the ticket is */
};
struct raft_log {
    struct raft_entry *at; /* at[head], index snap_index + 1, and on: contiguous */
    size_t head, count, cap;
    struct raft_index snap_index; /* the entry before the first one held, */
    struct raft_term snap_term;   /* and its term */
    uint64_t bytes;               /* of the held entries' data */
    uint64_t handed;              /* entries up to here were given to the driver to write */
    uint64_t durable;             /* and up to here are on stable storage */
    struct raft_write *writes;    /* tickets ascending */
    uint32_t write_count, write_cap;
};

/* Replication to one peer. PROBE: one message to find where the logs meet.
 * REPLICATE: pipelined. SNAPSHOT: what it needs is compacted; heartbeats only. */
enum raft_progress { RAFT_PROBE, RAFT_REPLICATE, RAFT_SNAPSHOT };
struct raft_flight {
    uint64_t last;
    uint64_t bytes;
};
struct raft_peer {
    struct raft_id id;
    bool voter, outgoing; /* in which halves; neither: a learner */
    enum quorum_vote vote;
    enum raft_progress progress;
    bool probe_sent;
    bool snapshot_asked;  /* NEED_SNAPSHOT listed, raft_snapshot_sent not yet called */
    bool snapshot_listed; /* list it with this flush */
    bool snapshot_hold;   /* the last one failed: ask again only when heard from */
    bool greeted;         /* sent anything, and */
    bool heard;           /* heard from, since this replica leads */
    struct raft_index match, next;
    uint64_t since_us; /* counts as heard then: start of leadership or membership */
    uint64_t heard_us, sent_us, empty_us;
    uint64_t stamp_us;           /* newest stamp of ours it echoed; 0: none */
    uint64_t round;              /* newest read round it echoed */
    struct raft_flight *flights; /* ring of inflight_count_max, allocated at first use */
    uint32_t flight_head, flight_count;
    uint64_t flight_bytes;
};

/* A configuration and where it was appended; the first one is that of snap_index. */
struct raft_conf_at {
    struct raft_index index;
    struct raft_conf conf;
    struct buf context;
};
struct raft_pending_read {
    uint64_t token;
    struct raft_index index;
    uint64_t round; /* a majority must confirm this one, begun after the read came */
};
/* Acknowledgements of one turn, made one. */
struct raft_ack {
    bool wanted;
    struct raft_index match;
    uint64_t stamp_us, round;
};

struct raft {
    struct raft_config cfg;
    struct prng prng;
    bool started;
    bool work;       /* a flush has something to look at */
    uint64_t now_us; /* never runs backwards */

    enum raft_role role;
    struct raft_id leader; /* of this term; 0: unknown */
    struct raft_hard hard;
    bool hard_dirty;      /* not yet given to the driver */
    uint64_t hard_ticket; /* of the write that has it */
    uint64_t durable_ticket, flush_ticket;
    struct raft_log log;
    struct raft_index commit, applied;
    struct raft_index commit_hint; /* of raft_recovered, until raft_start */
    uint64_t restore_stale_next;   /* raft_restore: continues a run of stale entries */

    struct raft_conf_at *confs; /* ascending; the last one is in force */
    uint32_t conf_count, conf_cap;
    struct raft_peer peers[RAFT_PEERS_MAX]; /* everyone in the conf but this replica */
    uint32_t peer_count;
    bool self_voter, self_outgoing;

    uint64_t election_timeout_us; /* drawn anew at each change of role */
    uint64_t election_due_us;
    uint64_t sticky_until_us; /* before then no vote without force */
    bool forced;              /* this candidacy was asked for by the leader */
    uint32_t quick_retries;   /* of pre-votes, since a leader was heard from */

    /* leader */
    struct raft_index term_start; /* the no-op of this term */
    uint64_t uncommitted_bytes;
    uint64_t heartbeat_due_us, quorum_due_us;
    bool lease_off; /* a transfer was asked for in this term */
    struct raft_id transfer_to;
    bool transfer_sent;
    uint64_t transfer_due_us;
    uint64_t round;   /* newest read round begun */
    bool round_fresh; /* begun in this flush: every voter gets a message */
    struct raft_pending_read *reads;
    uint32_t read_head, read_count, read_cap;

    /* to be listed by the next flush */
    struct raft_msg *outbox;
    uint32_t outbox_count, outbox_cap;
    struct raft_ack ack_entries; /* waits for the entries' write */
    struct raft_ack ack_empty;   /* waits for the hard state only */
    uint64_t *lost;              /* tokens of reads */
    uint32_t lost_count, lost_cap;
    uint64_t truncated_from; /* 0: nothing */
    bool conf_changed;
    struct raft_index listed_commit;
    enum raft_role listed_role;
    struct raft_id listed_leader;
    struct raft_term listed_term;
};

static inline uint64_t raft_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}
static inline uint64_t raft_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}
static inline void raft_time(struct raft *r, uint64_t now_us)
{
    r->now_us = raft_max(r->now_us, now_us);
}

/* --- raft_log.c --- */
static inline uint64_t raft_log_last(const struct raft_log *l)
{
    return l->snap_index.n + l->count;
}
static inline struct raft_entry *raft_log_at(const struct raft_log *l, uint64_t index)
{
    return &l->at[l->head + (index - l->snap_index.n - 1)];
}
/* 0: not known here. */
static inline uint64_t raft_log_term(const struct raft_log *l, uint64_t index)
{
    if (index == l->snap_index.n) {
        return l->snap_term.n;
    }
    if (index < l->snap_index.n || index > raft_log_last(l)) {
        return 0;
    }
    return raft_log_at(l, index)->term.n;
}
void raft_log_free(struct raft_log *l);
/* Copies the data. */
void raft_log_append(struct raft_log *l, struct raft_term term, enum raft_entry_kind kind,
                     struct slice data);
void raft_log_truncate(struct raft_log *l, uint64_t from);
void raft_log_compact(struct raft_log *l, uint64_t index);
/* Empty, beginning after index; all of that is durable. */
void raft_log_reset(struct raft_log *l, struct raft_index index, struct raft_term term);
/* Everything not yet handed out becomes part of write `ticket`. */
void raft_log_hand_out(struct raft_log *l, uint64_t ticket);
/* True when more of the log became durable. */
bool raft_log_durable(struct raft_log *l, uint64_t ticket);
/* The write that makes the log durable up to index; 0: it is. */
uint64_t raft_log_gate(const struct raft_log *l, uint64_t index);
/* The largest index at or below `index` whose term is at most `term`; less than
 * snap_index: it lies in what was compacted. */
uint64_t raft_log_meet(const struct raft_log *l, uint64_t index, uint64_t term);

/* --- raft_conf.c --- */
bool raft_conf_valid(const struct raft_conf *c);
static inline const struct raft_conf_at *raft_conf_last(const struct raft *r)
{
    return &r->confs[r->conf_count - 1];
}
/* The entry at index, just appended, is a configuration: put it in force. */
void raft_conf_push(struct raft *r, const struct raft_conf *c, struct raft_index index,
                    struct slice context);
void raft_conf_truncate(struct raft *r, uint64_t from);
void raft_conf_compact(struct raft *r, uint64_t index);
void raft_conf_reset(struct raft *r, const struct raft_conf *c, struct raft_index index);
void raft_conf_free(struct raft *r);
/* Leader, after a commit: leave a joint configuration, or step down if removed. */
void raft_conf_committed(struct raft *r);
struct raft_peer *raft_peer_find(const struct raft *r, struct raft_id id);
/* What a quorum of the configuration in force reaches; see quorum_reached(). */
uint64_t raft_quorum(const struct raft *r, uint64_t self, uint64_t (*of)(const struct raft_peer *));

/* --- raft_election.c --- */
bool raft_electable(const struct raft *r);
bool raft_only_voter(const struct raft *r);
void raft_election_timer(struct raft *r); /* draw a new timeout and start it */
/* A higher term, or the loss of a role in this one. leader: 0 when unknown. */
void raft_become_follower(struct raft *r, struct raft_term term, struct raft_id leader);
void raft_campaign(struct raft *r, bool force);
void raft_election_tick(struct raft *r);
void raft_leader_tick(struct raft *r);
void raft_election_durable(struct raft *r); /* the own vote may count now */
void raft_handle_prevote(struct raft *r, const struct raft_msg *m);
void raft_handle_vote(struct raft *r, const struct raft_msg *m);
void raft_handle_vote_reply(struct raft *r, const struct raft_msg *m);
void raft_handle_timeout_now(struct raft *r, const struct raft_msg *m);
bool raft_vote_sticks(const struct raft *r);

/* --- raft_replication.c --- */
void raft_append_own(struct raft *r, enum raft_entry_kind kind, struct slice data);
void raft_advance_commit(struct raft *r);
enum err raft_handle_append(struct raft *r, const struct raft_msg *m);
enum err raft_handle_append_reply(struct raft *r, const struct raft_msg *m);
void raft_replicate(struct raft *r, struct raft_effects *out);
void raft_peer_begin(struct raft *r, struct raft_peer *p); /* forget all progress */
void raft_probe(struct raft_peer *p);
void raft_flights_clear(struct raft_peer *p);

/* --- raft_read.c --- */
void raft_reads_lose(struct raft *r);
void raft_reads_begin_round(struct raft *r);
void raft_reads_list(struct raft *r, struct raft_effects *out);

/* --- raft_transfer.c --- */
void raft_transfer_poll(struct raft *r);
void raft_transfer_end(struct raft *r);

/* --- raft_flush.c --- */
struct raft_effect *raft_effect_add(struct raft_effects *out, enum raft_effect_kind kind);
/* A message of the present term, listed by the next flush; fill in the rest. */
struct raft_msg *raft_send(struct raft *r, enum raft_msg_kind kind, struct raft_id to);
/* The write after which the hard state is durable; 0: it is. */
uint64_t raft_hard_gate(const struct raft *r);
#endif
