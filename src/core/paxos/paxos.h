/* paxos.h - one member's part in a chain of single-decree Paxos instances, without I/O.
 *
 * Each instance decides one value, once and for ever; the value of instance n names the
 * council, the acceptors that decide instance n + 1. A value is complete in itself (the
 * cluster map is), so who lags is told the newest one and needs none between.
 *
 * Feed it messages, proposals, durable tickets and the time; once per loop turn call
 * paxos_flush(), which lists in order what the driver must do. It never blocks, reads a
 * clock, draws entropy or touches a file. Same inputs, same effects.
 *
 * Durability is data: an effect with a gate may run only once the log write with that
 * ticket is on stable storage. A promise that is spoken before it is durable can be
 * forgotten by a crash, and then two values can be chosen.
 *
 * Owner: one thread at a time. Values are copied in; what is handed out is borrowed.
 * Source: [PMS] Lamport, Paxos Made Simple (2001); [FP] Howard, Malkhi, Spiegelman,
 * Flexible Paxos: Quorum Intersection Revisited (2016). Deviations: docs/protocol/paxos.md.
 */
#ifndef PAXOS_H
#define PAXOS_H
#include "base/base_bytes.h"
#include "base/base_prng.h"

/* A member. One that forgot what it wrote never speaks under the same id again. */
struct paxos_id {
    uint64_t n; /* 0: none */
};
/* Place in the chain: the epoch of the map. */
struct paxos_instance {
    uint64_t n; /* 0: before the first */
};
/* Ordered by round, then node. Round 0: none, and before all others. */
struct paxos_ballot {
    uint64_t round;
    struct paxos_id node; /* whose ballot it is: no other may use it */
};
int paxos_ballot_cmp(struct paxos_ballot a, struct paxos_ballot b); /* -1, 0 or 1 */

enum { PAXOS_ACCEPTORS_MAX = 7 };

/* The acceptors of one instance, and how many of them make a quorum of each phase. Every
 * quorum of phase 1 must meet every one of phase 2; no others need to meet [FP s3]. */
struct paxos_council {
    uint8_t count;
    uint8_t quorum1, quorum2;
    struct paxos_id ids[PAXOS_ACCEPTORS_MAX];
};
/* Ids distinct and not zero, quorum1 + quorum2 > count, neither above it. */
bool paxos_council_valid(const struct paxos_council *c);
bool paxos_council_has(const struct paxos_council *c, struct paxos_id id);

struct paxos_config {
    struct paxos_id self;
    uint64_t retry_us;       /* no quorum after this: the silent ones are asked again */
    uint64_t backoff_us_min; /* outbid: a random wait of at least min; what it may be at most */
    uint64_t backoff_us_max; /* doubles each time, up to max: several times what both phases take */
    uint64_t finish_us;      /* a value accepted and not decided for so long (up to twice, at
                              * random): find out, and finish it. 0: never */
    uint32_t value_bytes_max;
    uint64_t seed; /* of these waits */
    /* The council that a value names; false: it is no value. Pure, and the same on every
     * member: two members that read different councils in one value would not be one chain. */
    bool (*council_of)(struct slice value, struct paxos_council *council);
};

enum paxos_msg_kind {
    PAXOS_PREPARE,  /* 1a: promise me this ballot */
    PAXOS_PROMISE,  /* 1b: no lower one from now on; what I accepted last */
    PAXOS_ACCEPT,   /* 2a: accept this value in this ballot */
    PAXOS_ACCEPTED, /* 2b: done; to the whole council, which learns by it */
    PAXOS_NACK,     /* not this ballot: `accepted` is promised, and must be beaten */
    PAXOS_DECIDED,  /* the value of this instance; nothing more is to be agreed on */
    PAXOS_ASK,      /* instance: my newest; tell me what is newer */
    PAXOS_MSG_KINDS
};
struct paxos_msg {
    enum paxos_msg_kind kind;
    struct paxos_id from, to;
    struct paxos_instance instance;
    struct paxos_ballot ballot;   /* the one asked for, promised, accepted or refused */
    struct paxos_ballot accepted; /* PROMISE: of `value`, or none. NACK: the one to beat */
    struct slice value;           /* ACCEPT, DECIDED, PROMISE unless `accepted` is none; borrowed */
};

/* What must survive a crash besides the newest decided value. */
struct paxos_hard {
    uint64_t round;                 /* highest that this member ever used, in any instance */
    struct paxos_instance instance; /* the open one; of it is what follows */
    struct paxos_ballot promised, accepted;
    struct slice value; /* of `accepted`; borrowed */
};

/* How an own proposal ended. */
enum paxos_outcome {
    PAXOS_WON,     /* it is the value of its instance */
    PAXOS_LOST,    /* another one is: it did not happen and never will */
    PAXOS_UNKNOWN, /* the chain went on without us: only the newest value can tell */
};

enum paxos_effect_kind {
    PAXOS_PERSIST,       /* make this part of log write `gate`: all of it or nothing */
    PAXOS_SEND,          /* msg, once `gate` is durable (0: now) */
    PAXOS_LEARNED,       /* a newer value is decided */
    PAXOS_PROPOSAL_OVER, /* what paxos_propose() began has ended */
};
struct paxos_effect {
    enum paxos_effect_kind kind;
    uint64_t gate;
    union {
        struct {
            struct paxos_hard hard;
            bool decided_changed;
            struct paxos_instance decided;
            struct slice value;
        } persist;
        struct paxos_msg msg;
        struct {
            struct paxos_instance instance;
            struct slice value;
        } learned;
        struct {
            struct paxos_instance instance;
            enum paxos_outcome outcome;
        } over;
    } u;
};
/* Effects of one flush. Grown as needed; values are borrowed until the next call into
 * this paxos. */
struct paxos_effects {
    struct paxos_effect *at;
    uint32_t count, cap;
};
void paxos_effects_free(struct paxos_effects *fx);

struct paxos; /* paxos_internal.h */

/* What is on disk; all zero: a member that waits to be told. A chain is founded by giving
 * each founding member the same first value, decided. */
struct paxos_recovered {
    struct paxos_hard hard;
    struct paxos_instance decided; /* newest; 0: none */
    struct slice value;            /* of it */
    /* What this id promised may be lost (an empty directory, an old image). It learns and
     * tells, but accepts, promises and proposes nothing for as long as it has this id. */
    bool forgot;
};
/* ERR_CORRUPT: what was recovered contradicts itself; nothing was made. */
MUST_USE enum err paxos_create(const struct paxos_config *cfg, const struct paxos_recovered *rec,
                               uint64_t now_us, struct paxos **out);
void paxos_destroy(struct paxos *p); /* NULL is allowed */

/* A message from a peer; judged, not trusted. Duplicates, loss, reordering and other
 * instances are handled. ERR_MISROUTED: not for this id. ERR_BAD_INPUT: nonsense.
 * ERR_FORKED: two values for one ballot or one instance. Somebody forgot and spoke; nothing
 * changed here; people must be told. */
MUST_USE enum err paxos_step(struct paxos *p, uint64_t now_us, const struct paxos_msg *msg);
void paxos_tick(struct paxos *p, uint64_t now_us);
uint64_t paxos_deadline_us(const struct paxos *p); /* call paxos_tick no later than this */

/* Have this value decided in `instance`, the one after the newest decided. It is pursued,
 * through duels and losses, until PAXOS_PROPOSAL_OVER. Any member may; it need not be of the
 * council. ERR_STALE: that one is decided, take the newest value and change it anew.
 * ERR_AGAIN: the one before is not known to be decided. ERR_FULL: one is under way.
 * ERR_TOO_LARGE, ERR_BAD_ARGUMENT (names no council), ERR_REFUSED (this id forgot). */
MUST_USE enum err paxos_propose(struct paxos *p, uint64_t now_us, struct paxos_instance instance,
                                struct slice value);
/* Pursue the own proposal no further. True: it never left and is nothing any more. False:
 * somebody may have accepted it, so that it may be chosen yet; PAXOS_PROPOSAL_OVER comes
 * if its fate becomes known. */
bool paxos_withdraw(struct paxos *p);
/* A decided value that came some other way (gossip). As a DECIDED message. */
MUST_USE enum err paxos_learn(struct paxos *p, uint64_t now_us, struct paxos_instance instance,
                              struct slice value);
/* It was found out that this id forgot: as paxos_recovered.forgot, from now on. */
void paxos_forget(struct paxos *p);
/* The log write `ticket`, and all before it, are durable. */
void paxos_durable(struct paxos *p, uint64_t now_us, uint64_t ticket);

/* Everything to be done since the last flush. ticket: of the log write that this turn's
 * PAXOS_PERSIST becomes part of; never smaller than before, and not durable yet. */
void paxos_flush(struct paxos *p, uint64_t ticket, struct paxos_effects *out);

/* Views. Slices are borrowed until the next call into this paxos. */
enum paxos_phase {
    PAXOS_IDLE,
    PAXOS_WAITING,   /* outbid, until its back-off ends */
    PAXOS_PREPARING, /* phase 1 */
    PAXOS_ACCEPTING, /* phase 2 */
};
struct paxos_instance paxos_decided(const struct paxos *p);
struct slice paxos_value(const struct paxos *p);                      /* of it */
const struct paxos_council *paxos_council_now(const struct paxos *p); /* of the open instance */
enum paxos_phase paxos_phase(const struct paxos *p);
struct paxos_hard paxos_hard(const struct paxos *p);
bool paxos_forgot(const struct paxos *p);

/* Every invariant this struct promises; run after each step in tests and sim. */
void paxos_check(const struct paxos *p);
const char *paxos_msg_name(enum paxos_msg_kind kind);
const char *paxos_phase_name(enum paxos_phase phase);
const char *paxos_outcome_name(enum paxos_outcome outcome);
#endif
