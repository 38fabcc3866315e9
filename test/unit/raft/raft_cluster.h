/* raft_cluster.h - several replicas, their disks and the network between them, in memory.
 *
 * Used by the traces (everything happens on command) and by the random harness.
 * It runs effects as a driver must: writes are pending until synced, messages
 * wait for their gates, a crash forgets both. And it judges, with its own
 * bookkeeping: election safety, log matching, leader completeness, state-machine
 * safety [R figure 3], gates, and that reads are linearizable.
 */
#ifndef RAFT_CLUSTER_H
#define RAFT_CLUSTER_H
#include "base/base_mem.h"
#include "core/raft/raft.h"

enum { CLUSTER_NODES_MAX = 9, CLUSTER_TERMS_MAX = 1 << 16, CLUSTER_INDEX_MAX = 1 << 18 };

/* A message with entries of its own. */
struct letter {
    struct raft_msg msg;
    struct raft_entry *entries;
    uint64_t due_us; /* random harness: when it arrives */
};
struct letters {
    struct letter *at;
    uint32_t count, cap;
};
struct pending_write {
    uint64_t ticket;
    bool hard_changed;
    struct raft_hard hard;
    struct raft_entry *entries;
    uint32_t entry_count;
    struct raft_index commit;
};
struct held {
    uint64_t gate;
    struct letter letter;
};
struct image { /* of the state machine */
    struct raft_index index;
    struct raft_term term;
    struct raft_conf conf;
    uint64_t digest;
};
struct waiting_read {
    uint64_t token;
    uint64_t need;  /* what had been committed anywhere when it came */
    uint64_t index; /* 0: not ready */
};
struct cluster_node {
    struct raft_id id;
    struct raft *raft; /* NULL: down */
    bool paused, installing;
    /* disk */
    struct raft_hard hard;
    struct raft_entry *log; /* in the order written, overwritten tails and all */
    uint32_t log_count, log_cap;
    struct raft_index commit_hint;
    struct image image;
    /* lost in a crash */
    struct pending_write *writes;
    uint32_t write_count, write_cap;
    struct held *held;
    uint32_t held_count, held_cap;
    uint64_t ticket;
    uint64_t applied;
    uint64_t digest;
    struct raft_conf applied_conf;
    struct waiting_read *reads;
    uint32_t read_count, read_cap;
    struct raft_effects fx;
    uint64_t sync_due_us;
    uint64_t start_us;
    /* this node's clock: true time * rate / 1e6 + offset */
    uint64_t clock_offset_us;
    uint64_t clock_rate;
};
struct cluster {
    struct cluster_node nodes[CLUSTER_NODES_MAX];
    uint32_t count;
    uint64_t now_us;
    struct raft_config cfg; /* seed and self are set per node */
    uint64_t seed;
    struct letters network;
    uint64_t reads_answered, reads_lost, snapshots, installs, leaders;
    /* judges */
    uint64_t leader_of[CLUSTER_TERMS_MAX];
    struct {
        uint64_t term, data_hash, digest;
    } chosen[CLUSTER_INDEX_MAX];
    uint64_t chosen_max;
    /* Trace output; may be NULL. Called as each effect is run. */
    void (*on_effect)(struct cluster *c, struct cluster_node *n, const struct raft_effect *e);
    void (*on_snapshot_wanted)(struct cluster *c, struct cluster_node *n, struct raft_id peer);
    void (*on_read)(struct cluster *c, struct cluster_node *n, uint64_t token, bool answered);
};

struct cluster *cluster_create(void);
void cluster_destroy(struct cluster *c);
uint64_t cluster_clock(const struct cluster *c, const struct cluster_node *n);
struct cluster_node *cluster_find(struct cluster *c, uint64_t id);
/* conf: NULL for one that waits to be added. */
struct cluster_node *cluster_add(struct cluster *c, uint64_t id, const struct raft_conf *conf);
void cluster_start(struct cluster *c, struct cluster_node *n);
/* Everything not synced is gone; of it, the first `survive` writes happened to be stored. */
void cluster_crash(struct cluster *c, struct cluster_node *n, uint32_t survive);
/* Hand a letter to its addressee, and flush it. */
enum err cluster_receive(struct cluster *c, struct letter *l);
void cluster_flush(struct cluster *c, struct cluster_node *n);
/* The oldest write becomes durable. False: none was pending. */
bool cluster_sync(struct cluster *c, struct cluster_node *n);
enum err cluster_read(struct cluster *c, struct cluster_node *n, uint64_t token);
/* Store the state machine, then compact the log up to `index`. */
void cluster_compact(struct cluster *c, struct cluster_node *n, uint64_t index);
/* Image of `from` put in place at `to`. */
enum err cluster_install(struct cluster *c, struct cluster_node *to, const struct image *image,
                         bool keep_log);
struct image cluster_image(const struct cluster_node *n);
void cluster_check(struct cluster *c);
void cluster_check_deep(struct cluster *c);
/* What everyone thinks, on stderr: for a failing seed. */
void cluster_print(struct cluster *c);
struct letter letter_copy(const struct raft_msg *m);
void letter_free(struct letter *l);
void letters_push(struct letters *ls, struct letter l);
struct letter letters_take(struct letters *ls, uint32_t pos);
#endif
