/* node_chain.h - the cluster map as a chain of Paxos decisions; private to this room.
 *
 * Map e is the value of instance e of core/paxos and names the council that decides map e + 1.
 * node_chain.c drives the protocol: its messages, its file meta/chain, what it learns.
 * node_steward.c has changes of the map decided, for whoever asks, and asks for those that
 * this node needs itself. [docs/protocol/map.md]
 */
#ifndef NODE_CHAIN_H
#define NODE_CHAIN_H
#include "core/paxos/paxos.h"
#include "node/node_mapchange.h"

struct node;
struct link;
struct disk_boot;
struct disk_done;

/* ---- for whoever wants the map changed (node_steward.c) ---- */

enum node_chain_end {
    NODE_CHAIN_DONE,    /* the map says so now */
    NODE_CHAIN_REFUSED, /* it cannot be; nothing happened */
    NODE_CHAIN_TIMEOUT, /* not decided in time, and it will not be */
    NODE_CHAIN_INDOUBT, /* not decided in time; it may still happen */
};
/* why: a sentence for people unless DONE. Called once, never from within node_chain_propose; the
 * map that says so may be in force only from the end of the turn. It may propose. */
typedef void node_chain_done(struct node *n, uint64_t arg, enum node_chain_end end,
                             const char *why);
/* Have the map changed. The change is applied to the newest map, proposed, and applied anew to
 * every other map that is decided instead, until it is in. False: too many wait, or there is no
 * map yet; done is not called. */
bool node_chain_propose(struct node *n, const struct node_change *change, uint64_t timeout_us,
                        node_chain_done *done, uint64_t arg);
/* Why the map cannot be changed now: which acceptors are not connected. Empty where a majority
 * of the council is. */
void node_chain_why(const struct node *n, struct diag *why);
/* The newest decided map; it may be in force only from the end of the turn. NULL: none. */
const struct wire_map *node_chain_map(const struct node *n);
enum { NODE_CHAIN_PATIENCE_US = 10 * 1000 * 1000 }; /* for people */

/* ---- the driver (node_chain.c) ---- */

enum { CHAIN_HELD_MAX = 256, CHAIN_PROPOSALS_MAX = 32 };

/* A message that waits for a write of meta/chain. */
struct chain_held {
    uint64_t gate;
    uint64_t to;
    struct buf frame;
};
struct chain_proposal {
    struct node_change change;
    uint64_t until_us;
    node_chain_done *done;
    uint64_t arg;
};
struct chain {
    struct paxos *paxos;
    struct paxos_effects fx;
    struct wire_map map; /* the newest decided */
    uint64_t digest;     /* of its bytes */
    /* meta/chain: writes are numbered; one at a time */
    uint64_t issued, durable;
    bool writing;
    bool dirty;      /* `body` is newer than what is being written */
    struct buf body; /* the newest state */
    uint64_t write_retry_us;
    bool mending;       /* one of the two files is not as new as the other: nothing is said yet */
    uint64_t listen_us; /* who knows that this node forgot has said so by then */
    bool renewed;       /* it has taken another id in this run */
    struct chain_held held[CHAIN_HELD_MAX]; /* oldest first */
    uint32_t held_count;
    /* node_steward.c: the first is under way */
    struct chain_proposal proposals[CHAIN_PROPOSALS_MAX];
    uint32_t proposal_count;
    bool offered; /* the first is in paxos */
    bool won;     /* ... and is decided */
    bool self_asked;
    uint64_t self_us; /* not before */
};

/* The chain as it stands in meta/chain, or lost. n->map: that of meta/map. A newer map found here
 * takes its place. ERR_VERSION, ERR_STALE (no member any more). */
MUST_USE enum err node_chain_boot(struct node *n, const struct disk_boot *boot, struct diag *why);
/* The map by which this node becomes a member: meta/chain is written, ahead of meta/map. */
void node_chain_found(struct node *n, const struct wire_map *map);
void node_chain_begin(struct node *n); /* the map is durable: take part */
void node_chain_free(struct node *n);
void node_chain_tick(struct node *n);
void node_chain_flush(struct node *n); /* at the end of a turn, before the links' */
void node_chain_disk(struct node *n, const struct disk_done *done);
void node_chain_frame(struct node *n, struct link *l, struct slice payload);
/* A decided map that came some other way. */
void node_chain_learn(struct node *n, struct link *l, struct slice map);
/* This node has forgotten what it said: it speaks under another id from now on. */
void node_chain_forgot(struct node *n);

/* node_steward.c */
void node_steward_tick(struct node *n);
void node_steward_next(struct node *n); /* offer what waits, end what is over */
/* A joiner has said hello on l, or asks again. */
void node_steward_join(struct node *n, struct link *l);

#endif
