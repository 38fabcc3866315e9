/* paxos_proposer.c - ballots and the two phases [PMS s2.2, s2.4].
 *
 * A ballot is used once: its round is durable before it is spoken, so that one that
 * restarts cannot offer another value in the same ballot. What is outbid waits a random
 * time before it tries again, and longer each time: of two that duel, one soon has the
 * time that two phases take to itself.
 */
#include "core/paxos/paxos_internal.h"

static struct quorum_tally tally(const struct paxos *p, uint8_t needed)
{
    struct quorum_tally t = {.needed = needed, .count = p->council.count};
    uint32_t self = paxos_place(&p->council, p->cfg.self);

    memcpy(t.votes, p->prop.votes, p->council.count * sizeof t.votes[0]);
    if (self != PAXOS_NO_PLACE && t.votes[self] == QUORUM_YES && paxos_hard_gate(p) != 0 &&
        !PLANTED(PAXOS_OWN_EARLY)) {
        t.votes[self] = QUORUM_UNHEARD; /* not on disk yet */
    }
    return t;
}

static void forget_ballot(struct paxos *p)
{
    struct paxos_proposer *o = &p->prop;

    o->ballot = o->best = (struct paxos_ballot){0};
    paxos_bytes_drop(&o->value);
    memset(o->votes, 0, sizeof o->votes);
    o->phase = PAXOS_IDLE;
    o->due_us = UINT64_MAX;
}

/* There is a value of its own to be pursued. */
static bool wishes(const struct paxos_proposer *o)
{
    return o->wanted != NULL && !o->withdrawn;
}

void paxos_proposer_end(struct paxos *p)
{
    forget_ballot(p);
    paxos_bytes_drop(&p->prop.wanted);
    p->prop.offered = p->prop.withdrawn = false;
    p->prop.backoff_us = 0;
}

static void ask(struct paxos *p, struct paxos_id to)
{
    bool first = p->prop.phase == PAXOS_PREPARING;

    CHECK(first || p->prop.phase == PAXOS_ACCEPTING);
    paxos_send(p, first ? PAXOS_PREPARE : PAXOS_ACCEPT, to, first ? NULL : p->prop.value)->ballot =
        p->prop.ballot;
}

/* Everybody of the council; its own acceptor was asked by the caller. */
static void ask_all(struct paxos *p, bool own)
{
    for (uint32_t i = 0; i < p->council.count; i++) {
        p->prop.votes[i] = QUORUM_UNHEARD;
        if (p->council.ids[i].n == p->cfg.self.n) {
            p->prop.votes[i] = own ? QUORUM_YES : QUORUM_NO;
        } else {
            ask(p, p->council.ids[i]);
        }
    }
    p->prop.due_us = p->now_us + p->cfg.retry_us;
    p->work = true;
}

void paxos_proposer_begin(struct paxos *p)
{
    struct paxos_proposer *o = &p->prop;
    bool own;

    CHECK(p->decided.n > 0);
    CHECK(!p->forgot);
    forget_ballot(p);
    if (p->round_seen >= PAXOS_ROUND_MAX) {
        return; /* nobody gets there by counting */
    }
    p->round_seen++;
    p->hard.round = p->round_seen;
    p->hard_dirty = true;
    o->ballot = (struct paxos_ballot){.round = p->hard.round, .node = p->cfg.self};
    o->phase = PAXOS_PREPARING;
    own = paxos_acceptor_promise_own(p, o->ballot);
    if (own && !paxos_none(p->hard.accepted)) {
        o->best = p->hard.accepted;
        o->value = paxos_bytes_ref(p->accepted_bytes);
    }
    ask_all(p, own);
}

/* The round of the ballot is durable: it may have been heard of. */
static bool spoken(const struct paxos *p)
{
    return p->prop.ballot.round <= p->round_durable;
}

/* Phase 2: what the highest ballot among the promises had; if none had any, the own wish. */
static void begin_accept(struct paxos *p)
{
    struct paxos_proposer *o = &p->prop;

    CHECK(o->phase == PAXOS_PREPARING);
    CHECK(spoken(p) || PLANTED(PAXOS_OWN_EARLY));
    if (PLANTED(PAXOS_OWN_VALUE) && wishes(o)) {
        paxos_bytes_drop(&o->value);
    }
    if (o->value == NULL && !wishes(o)) {
        SOMETIMES(true, "paxos: nothing was left to be finished");
        forget_ballot(p);
        return;
    }
    SOMETIMES(o->value != NULL && o->wanted != NULL, "paxos: a value found is proposed again");
    if (o->value == NULL) {
        o->value = paxos_bytes_ref(o->wanted);
        o->offered = true;
    }
    o->phase = PAXOS_ACCEPTING;
    ask_all(p, paxos_acceptor_accept_own(p, o->ballot, o->value));
}

static void back_off(struct paxos *p)
{
    struct paxos_proposer *o = &p->prop;
    uint64_t most = paxos_max(o->backoff_us, 2 * p->cfg.backoff_us_min);

    most = paxos_min(most, p->cfg.backoff_us_max);
    forget_ballot(p);
    o->phase = PAXOS_WAITING;
    o->due_us = p->now_us + prng_between(&p->prng, p->cfg.backoff_us_min, most);
    o->backoff_us = paxos_min(2 * most, p->cfg.backoff_us_max);
}

void paxos_proposer_look(struct paxos *p)
{
    struct paxos_proposer *o = &p->prop;
    struct quorum_tally t;

    /* Phase 1 may be won and phase 2 with it: a council of one. */
    while (o->phase == PAXOS_PREPARING || o->phase == PAXOS_ACCEPTING) {
        bool first = o->phase == PAXOS_PREPARING;

        t = tally(p, first ? p->council.quorum1 : p->council.quorum2);
        if (PLANTED(PAXOS_QUORUM_SHORT) && !first && t.count > 1) {
            t.needed = (uint8_t)(t.needed - (t.needed > 1));
        }
        switch (quorum_count_needed(&t)) {
        case QUORUM_OPEN:
            return;
        case QUORUM_LOST:
            back_off(p);
            return;
        case QUORUM_WON:
            if (!first) {
                paxos_learner_chosen(p, o->value);
                return;
            }
            begin_accept(p);
            break;
        }
    }
}

/* Some have not answered. Outbid by any of the others, only a new ballot helps. */
static void again(struct paxos *p)
{
    struct paxos_proposer *o = &p->prop;

    for (uint32_t i = 0; i < p->council.count; i++) {
        if (o->votes[i] == QUORUM_NO) {
            back_off(p);
            return;
        }
    }
    for (uint32_t i = 0; i < p->council.count; i++) {
        if (o->votes[i] == QUORUM_UNHEARD && p->council.ids[i].n != p->cfg.self.n) {
            ask(p, p->council.ids[i]);
        }
    }
    o->due_us = p->now_us + p->cfg.retry_us;
}

void paxos_proposer_tick(struct paxos *p)
{
    struct paxos_proposer *o = &p->prop;

    if (p->forgot) {
        return;
    }
    if (p->now_us >= p->finish_due_us) {
        p->finish_due_us =
            p->now_us + prng_between(&p->prng, p->cfg.finish_us, 2 * p->cfg.finish_us);
        SOMETIMES(o->phase == PAXOS_IDLE, "paxos: an acceptor finishes what its proposer left");
        if (o->phase == PAXOS_IDLE) {
            paxos_proposer_begin(p);
        }
    }
    if (p->now_us < o->due_us) {
        return;
    }
    switch (o->phase) {
    case PAXOS_IDLE:
        break;
    case PAXOS_WAITING:
        if (wishes(o) || !paxos_none(p->hard.accepted)) {
            paxos_proposer_begin(p);
        } else {
            forget_ballot(p);
        }
        break;
    case PAXOS_PREPARING:
    case PAXOS_ACCEPTING:
        again(p);
        break;
    }
}

/* The place whose vote this message is, or PAXOS_NO_PLACE: of another ballot or phase. */
static uint32_t voter(const struct paxos *p, const struct paxos_msg *m, enum paxos_phase phase)
{
    uint32_t place = paxos_place(&p->council, m->from);
    bool mine = paxos_same(m->ballot, p->prop.ballot);

    if (PLANTED(PAXOS_OLD_PROMISE) && phase == PAXOS_PREPARING) {
        mine = m->ballot.node.n == p->cfg.self.n;
    }
    if (!mine || p->prop.phase != phase || place == PAXOS_NO_PLACE ||
        p->prop.votes[place] != QUORUM_UNHEARD) {
        return PAXOS_NO_PLACE;
    }
    return place;
}

enum err paxos_proposer_promise(struct paxos *p, const struct paxos_msg *m)
{
    struct paxos_proposer *o = &p->prop;
    uint32_t place = voter(p, m, PAXOS_PREPARING);
    int order = paxos_ballot_cmp(m->accepted, o->best);
    struct paxos_council next;

    if (!paxos_none(m->accepted) &&
        (!p->cfg.council_of(m->value, &next) || !paxos_council_valid(&next))) {
        return ERR_BAD_INPUT;
    }
    if (place == PAXOS_NO_PLACE) {
        return ERR_OK;
    }
    if (!spoken(p) || (paxos_same(m->accepted, o->ballot) && !PLANTED(PAXOS_ROUND_REUSED))) {
        return ERR_BAD_INPUT; /* nobody can have been asked yet, or have accepted already */
    }
    if (order == 0 && o->value != NULL && !slice_eq(o->value->bytes, m->value)) {
        return ERR_FORKED; /* one ballot, two values */
    }
    if (order > 0 || (PLANTED(PAXOS_NEWEST_PROMISE) && !paxos_none(m->accepted))) {
        SOMETIMES(!paxos_none(o->best), "paxos: promises told of different ballots");
        o->best = m->accepted;
        paxos_bytes_set(&o->value, paxos_bytes_new(m->value));
    }
    o->votes[place] = QUORUM_YES;
    paxos_proposer_look(p);
    return ERR_OK;
}

void paxos_proposer_accepted(struct paxos *p, const struct paxos_msg *m)
{
    uint32_t place = voter(p, m, PAXOS_ACCEPTING);

    if (place != PAXOS_NO_PLACE) {
        p->prop.votes[place] = QUORUM_YES;
        paxos_proposer_look(p);
    }
}

void paxos_proposer_nack(struct paxos *p, const struct paxos_msg *m)
{
    uint32_t place = voter(p, m, p->prop.phase);

    if (place == PAXOS_NO_PLACE || paxos_ballot_cmp(m->accepted, m->ballot) <= 0) {
        return; /* late, or no reason */
    }
    p->prop.votes[place] = QUORUM_NO;
    SOMETIMES(p->prop.phase == PAXOS_ACCEPTING, "paxos: outbid between the phases");
    paxos_proposer_look(p);
}

void paxos_proposer_repeat(struct paxos *p, struct paxos_id to)
{
    uint32_t place = paxos_place(&p->council, to);

    if ((p->prop.phase == PAXOS_PREPARING || p->prop.phase == PAXOS_ACCEPTING) &&
        place != PAXOS_NO_PLACE && p->prop.votes[place] == QUORUM_UNHEARD) {
        ask(p, to);
    }
}

bool paxos_withdraw(struct paxos *p)
{
    struct paxos_proposer *o = &p->prop;

    if (p->over) {
        return false; /* it has ended, and the next flush says how */
    }
    if (o->wanted == NULL) {
        return true;
    }
    if (!o->offered) { /* an attempt under way may still finish what others began */
        paxos_bytes_drop(&o->wanted);
        return true;
    }
    o->withdrawn = true;
    forget_ballot(p);
    return false;
}
