/* paxos_internal.h - what the files of core/paxos share. Nothing outside includes it.
 *
 *   paxos.c           life, dispatch of messages and time, views
 *   paxos_council.c   ballots and quorums                            [PMS s2.2, FP s3]
 *   paxos_acceptor.c  promises and acceptances                       [PMS s2.2, 1b and 2b]
 *   paxos_proposer.c  ballots, both phases, back-off                 [PMS s2.2, 1a and 2a]
 *   paxos_learner.c   what is chosen, the chain, catching up         [PMS s2.3]
 *   paxos_flush.c     effects
 *   paxos_check.c     the invariants
 */
#ifndef PAXOS_INTERNAL_H
#define PAXOS_INTERNAL_H
#include "base/base_mem.h"
#include "core/paxos/paxos.h"
#include "core/quorum/quorum.h"

/* Beyond these a number from the network is nonsense, and sums cannot overflow. */
#define PAXOS_ROUND_MAX ((uint64_t)1 << 62)
#define PAXOS_INSTANCE_MAX ((uint64_t)1 << 62)
#define PAXOS_NO_PLACE UINT32_MAX

/* A value that messages not yet sent, the acceptor and the proposer hold at once. */
struct paxos_bytes {
    uint32_t refs;
    struct slice bytes; /* behind this struct */
};
struct paxos_letter {
    struct paxos_msg msg;
    struct paxos_bytes *bytes; /* of msg.value; NULL: none */
};

struct paxos_proposer {
    enum paxos_phase phase;
    struct paxos_ballot ballot;
    struct paxos_bytes *wanted; /* the caller's; NULL: only what others began is finished */
    struct paxos_bytes *value;  /* phase 1: of `best`. Phase 2: what is proposed */
    struct paxos_ballot best;   /* highest accepted one that a promise told of; none */
    enum quorum_vote votes[PAXOS_ACCEPTORS_MAX]; /* of this phase, by place in the council */
    uint64_t due_us;                             /* resend, or end of the back-off */
    uint64_t backoff_us;                         /* the next one is at most this long */
    bool offered;                                /* wanted has been in an ACCEPT */
    bool withdrawn;
};

struct paxos {
    struct paxos_config cfg;
    struct prng prng;
    uint64_t now_us; /* never runs backwards */
    bool forgot;
    bool work; /* a flush has something to look at */

    struct paxos_instance decided;
    struct paxos_bytes *value;    /* of it; NULL: nothing is known */
    struct paxos_council council; /* that it names: of the open instance */

    /* acceptor; what hard.value points to is accepted_bytes */
    struct paxos_hard hard;
    struct paxos_bytes *accepted_bytes;
    uint64_t finish_due_us; /* UINT64_MAX: nothing to find out */

    struct paxos_proposer prop;
    uint64_t round_seen; /* highest of anybody */
    /* learner: the newest ballot that each place of the council is known to have accepted */
    struct paxos_ballot seen[PAXOS_ACCEPTORS_MAX];

    /* durability */
    bool hard_dirty, decided_dirty; /* not yet given to the driver */
    uint64_t hard_ticket;           /* of the write that has it */
    uint64_t round_handed;          /* hard.round as of the last write, */
    uint64_t round_ticket;          /* the write that raised it to that, */
    uint64_t round_durable;         /* and how far it is on stable storage */
    uint64_t durable_ticket, flush_ticket;

    /* to be listed by the next flush */
    struct paxos_letter *outbox;
    uint32_t outbox_count, outbox_cap;
    bool learned;
    bool over;
    struct paxos_instance over_instance;
    enum paxos_outcome over_outcome;
    /* lent to the driver by the last flush */
    struct paxos_bytes **lent;
    uint32_t lent_count, lent_cap;
};

static inline bool paxos_none(struct paxos_ballot b)
{
    return b.round == 0;
}
static inline bool paxos_same(struct paxos_ballot a, struct paxos_ballot b)
{
    return paxos_ballot_cmp(a, b) == 0;
}
static inline uint64_t paxos_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}
static inline uint64_t paxos_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* --- paxos_council.c --- */
/* PAXOS_NO_PLACE: not a member. */
uint32_t paxos_place(const struct paxos_council *c, struct paxos_id id);
/* This member is an acceptor of the open instance, and may act as one. */
bool paxos_accepts(const struct paxos *p);

/* --- paxos.c --- */
struct paxos_bytes *paxos_bytes_new(struct slice s);
struct paxos_bytes *paxos_bytes_ref(struct paxos_bytes *b); /* NULL is allowed */
void paxos_bytes_drop(struct paxos_bytes **b);              /* and forgets it */
/* Takes over the caller's reference; drops what was there. */
void paxos_bytes_set(struct paxos_bytes **place, struct paxos_bytes *b);
/* A message to be sent, of the open instance; bytes may be NULL. Valid until the next one. */
struct paxos_msg *paxos_send(struct paxos *p, enum paxos_msg_kind kind, struct paxos_id to,
                             struct paxos_bytes *bytes);
/* Empties the outbox. */
void paxos_outbox_clear(struct paxos *p);

/* --- paxos_acceptor.c --- */
/* Fresh for the instance after the newest decided one. */
void paxos_acceptor_reset(struct paxos *p);
MUST_USE enum err paxos_acceptor_prepare(struct paxos *p, const struct paxos_msg *m);
MUST_USE enum err paxos_acceptor_accept(struct paxos *p, const struct paxos_msg *m);
/* The same from this member's own proposer. True: promised, accepted. */
bool paxos_acceptor_promise_own(struct paxos *p, struct paxos_ballot ballot);
bool paxos_acceptor_accept_own(struct paxos *p, struct paxos_ballot ballot, struct paxos_bytes *b);

/* --- paxos_proposer.c --- */
void paxos_proposer_begin(struct paxos *p); /* a new ballot */
void paxos_proposer_tick(struct paxos *p);
MUST_USE enum err paxos_proposer_promise(struct paxos *p, const struct paxos_msg *m);
void paxos_proposer_accepted(struct paxos *p, const struct paxos_msg *m);
void paxos_proposer_nack(struct paxos *p, const struct paxos_msg *m);
/* See whether the votes have become enough, or never will. */
void paxos_proposer_look(struct paxos *p);
/* A member that lagged has been told: repeat what it missed. */
void paxos_proposer_repeat(struct paxos *p, struct paxos_id to);
/* Nothing is pursued any more; a wanted value is dropped. */
void paxos_proposer_end(struct paxos *p);

/* --- paxos_learner.c --- */
void paxos_learner_accepted(struct paxos *p, const struct paxos_msg *m);
/* See whether `ballot` has been accepted by a quorum, and its value is here. */
void paxos_learner_look(struct paxos *p, struct paxos_ballot ballot);
/* What this member's own proposer saw chosen; everybody is told. */
void paxos_learner_chosen(struct paxos *p, struct paxos_bytes *value);
MUST_USE enum err paxos_learner_told(struct paxos *p, struct paxos_instance instance,
                                     struct slice value);
void paxos_tell(struct paxos *p, struct paxos_id to); /* the newest decided value */

/* --- paxos_flush.c --- */
/* The write that makes all of the hard state durable; 0: it is. */
uint64_t paxos_hard_gate(const struct paxos *p);
#endif
