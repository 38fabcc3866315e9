/* paxos_cluster.h - several members of one chain, their disks and the network, in memory.
 *
 * Used by the traces (everything happens on command) and by the random harness. It runs
 * effects as a driver must: writes are pending until synced, messages wait for their gates,
 * a crash forgets both. And it judges with its own bookkeeping of who accepted what: at
 * most one value is chosen in an instance, only what was proposed, what is learned is what
 * was chosen, a ballot has one value, outcomes are true, and what is spoken is durable.
 *
 * A value is text: NAME, decided by whom the default says; NAME@123 names the council
 * 1, 2, 3 with majorities; NAME@123:3/1 with quorums of 3 in phase 1 and 1 in phase 2.
 */
#ifndef PAXOS_CLUSTER_H
#define PAXOS_CLUSTER_H
#include "base/base_mem.h"
#include "core/paxos/paxos.h"

enum {
    CLUSTER_NODES_MAX = 9,
    CLUSTER_INSTANCES_MAX = 128,
    CLUSTER_BALLOTS_MAX = 256,
    CLUSTER_VALUES_MAX = 256,
    VALUE_BYTES_MAX = 48,
};

struct value {
    uint32_t len;
    uint8_t at[VALUE_BYTES_MAX];
};
struct letter {
    struct paxos_msg msg; /* its value is the one below */
    struct value value;
    uint64_t due_us; /* random harness: when it arrives */
};
struct letters {
    struct letter *at;
    uint32_t count, cap;
};
struct disk { /* what one write holds, and what all of them left behind */
    struct paxos_hard hard;
    struct value accepted;
    struct paxos_instance decided;
    struct value value;
};
struct pending_write {
    uint64_t ticket;
    struct disk disk;
    bool decided_changed;
};
struct held {
    uint64_t gate;
    struct letter letter;
};
struct cluster_node {
    struct paxos_id id;
    struct paxos *paxos; /* NULL: down */
    struct disk disk;
    bool forgot;
    struct value wanted; /* what it proposes, and where; len 0: nothing */
    uint64_t wanted_in;
    /* lost in a crash */
    struct pending_write *writes;
    uint32_t write_count, write_cap;
    struct held *held;
    uint32_t held_count, held_cap;
    uint64_t ticket;
    struct paxos_effects fx;
    uint64_t sync_due_us;
};
struct judged_ballot {
    struct paxos_ballot ballot;
    struct value value;
    uint32_t accepted; /* by whom: bits by id */
};
struct judged_instance {
    struct judged_ballot ballots[CLUSTER_BALLOTS_MAX];
    uint32_t ballot_count;
    struct value proposed[CLUSTER_VALUES_MAX];
    uint32_t proposed_count;
    struct value dead[CLUSTER_VALUES_MAX]; /* said to be lost */
    uint32_t dead_count;
    struct value chosen; /* len 0: nothing is */
};
struct cluster {
    struct cluster_node nodes[CLUSTER_NODES_MAX];
    uint32_t count;
    uint64_t now_us;
    struct paxos_config cfg; /* seed and self are set per node */
    uint64_t seed;
    struct letters network;
    bool judge_gates; /* off: an unsafe message must be found by what comes of it */
    uint64_t won, lost, unknown, ballots;
    uint64_t instance_max; /* newest chosen */
    struct judged_instance judged[CLUSTER_INSTANCES_MAX];
    /* Trace output; may be NULL. Called as each effect is run. */
    void (*on_effect)(struct cluster *c, struct cluster_node *n, const struct paxos_effect *e);
};

/* For values that name no council. */
extern struct paxos_council cluster_default_council;
bool cluster_council_of(struct slice value, struct paxos_council *council);
struct value value_of(struct slice s);
struct slice value_slice(const struct value *v);

struct cluster *cluster_create(void);
void cluster_destroy(struct cluster *c);
struct cluster_node *cluster_find(struct cluster *c, uint64_t id);
/* first: the founding value, decided as instance 1; NULL for one that knows nothing. */
struct cluster_node *cluster_add(struct cluster *c, uint64_t id, const struct value *first);
enum err cluster_start(struct cluster *c, struct cluster_node *n);
/* Everything not synced is gone; of it, the first `survive` writes happened to be stored. */
void cluster_crash(struct cluster *c, struct cluster_node *n, uint32_t survive);
/* A node that is down loses its disk too, and knows that it did. */
void cluster_wipe(struct cluster *c, struct cluster_node *n);
enum err cluster_receive(struct cluster *c, struct letter *l);
enum err cluster_propose(struct cluster *c, struct cluster_node *n, uint64_t instance,
                         struct slice value);
/* What the trace tells and no node did: somebody proposed it, and it may be accepted; it is
 * decided. The judges take the first word for it. */
void cluster_given(struct cluster *c, uint64_t instance, struct slice value);
void cluster_given_decided(struct cluster *c, uint64_t instance, struct slice value);
void cluster_flush(struct cluster *c, struct cluster_node *n);
/* The oldest write becomes durable. False: none was pending. */
bool cluster_sync(struct cluster *c, struct cluster_node *n);
void cluster_check(const struct cluster *c);
void letters_push(struct letters *ls, const struct letter *l);
struct letter letters_take(struct letters *ls, uint32_t pos);
#endif
