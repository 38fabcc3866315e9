/* paxos_acceptor.c - promises and acceptances [PMS s2.2].
 *
 * Two rules keep the whole protocol safe: an acceptor that promised a ballot accepts none
 * below it, and it tells with its promise what it accepted last. Both are worth nothing if
 * a crash can make it forget: every answer waits for the write (paxos_flush.c), and one
 * that has forgotten all the same is as silent as one that is dead.
 */
#include "core/paxos/paxos_internal.h"

void paxos_acceptor_reset(struct paxos *p)
{
    p->hard.instance.n = p->decided.n == 0 ? 0 : p->decided.n + 1;
    p->hard.promised = p->hard.accepted = (struct paxos_ballot){0};
    p->hard.value = (struct slice){0};
    paxos_bytes_drop(&p->accepted_bytes);
    p->finish_due_us = UINT64_MAX;
}

static void promise(struct paxos *p, struct paxos_ballot ballot)
{
    CHECK(paxos_ballot_cmp(ballot, p->hard.promised) > 0);
    p->hard.promised = ballot;
    p->hard_dirty = true;
    p->work = true;
}

static void nack(struct paxos *p, const struct paxos_msg *m)
{
    struct paxos_msg *reply = paxos_send(p, PAXOS_NACK, m->from, NULL);

    reply->ballot = m->ballot;
    reply->accepted = p->hard.promised; /* tells the loser what it must beat */
}

enum err paxos_acceptor_prepare(struct paxos *p, const struct paxos_msg *m)
{
    int order = paxos_ballot_cmp(m->ballot, p->hard.promised);
    struct paxos_msg *reply;

    if (!paxos_council_has(&p->council, p->cfg.self)) {
        return ERR_BAD_INPUT; /* the same value, another council */
    }
    if (p->forgot && !PLANTED(PAXOS_FORGOT_ANSWERS)) {
        SOMETIMES(true, "paxos: an acceptor that forgot was asked");
        return ERR_OK;
    }
    if (order < 0) {
        nack(p, m);
        return ERR_OK;
    }
    SOMETIMES(order == 0, "paxos: prepare repeated"); /* the answer was lost: again */
    if (order > 0) {
        promise(p, m->ballot);
    }
    reply = paxos_send(p, PAXOS_PROMISE, m->from, p->accepted_bytes);
    reply->ballot = m->ballot;
    reply->accepted = p->hard.accepted;
    return ERR_OK;
}

static void accept(struct paxos *p, struct paxos_ballot ballot, struct paxos_bytes *b)
{
    uint32_t self = paxos_place(&p->council, p->cfg.self);

    CHECK(self != PAXOS_NO_PLACE);
    p->hard.promised = p->hard.accepted = ballot;
    p->hard.value = b->bytes;
    paxos_bytes_set(&p->accepted_bytes, paxos_bytes_ref(b));
    p->hard_dirty = true;
    p->work = true;
    p->seen[self] = ballot;
    if (p->cfg.finish_us != 0) {
        p->finish_due_us =
            p->now_us + prng_between(&p->prng, p->cfg.finish_us, 2 * p->cfg.finish_us);
    }
}

/* To all that learn by it; the proposer is told even if it is not of the council. */
static void tell_accepted(struct paxos *p, struct paxos_ballot ballot)
{
    for (uint32_t i = 0; i < p->council.count; i++) {
        if (p->council.ids[i].n != p->cfg.self.n) {
            paxos_send(p, PAXOS_ACCEPTED, p->council.ids[i], NULL)->ballot = ballot;
        }
    }
    if (!paxos_council_has(&p->council, ballot.node)) {
        paxos_send(p, PAXOS_ACCEPTED, ballot.node, NULL)->ballot = ballot;
    }
}

enum err paxos_acceptor_accept(struct paxos *p, const struct paxos_msg *m)
{
    int order = paxos_ballot_cmp(m->ballot, p->hard.promised);
    struct paxos_council next;
    struct paxos_bytes *b;

    if (!paxos_council_has(&p->council, p->cfg.self) || !p->cfg.council_of(m->value, &next) ||
        !paxos_council_valid(&next)) {
        return ERR_BAD_INPUT;
    }
    if (p->forgot && !PLANTED(PAXOS_FORGOT_ANSWERS)) {
        return ERR_OK;
    }
    if (order < 0 && !PLANTED(PAXOS_PROMISE_BROKEN)) {
        nack(p, m);
        return ERR_OK;
    }
    if (paxos_same(m->ballot, p->hard.accepted)) {
        if (!slice_eq(m->value, p->hard.value)) {
            return ERR_FORKED; /* one ballot, two values */
        }
        SOMETIMES(true, "paxos: accept repeated");
        paxos_send(p, PAXOS_ACCEPTED, m->from, NULL)->ballot = m->ballot;
        return ERR_OK;
    }
    b = paxos_bytes_new(m->value);
    accept(p, m->ballot, b);
    paxos_bytes_drop(&b);
    tell_accepted(p, m->ballot);
    paxos_learner_look(p, m->ballot); /* the others' acceptances may have come before */
    return ERR_OK;
}

bool paxos_acceptor_promise_own(struct paxos *p, struct paxos_ballot ballot)
{
    if (!paxos_accepts(p) || paxos_ballot_cmp(ballot, p->hard.promised) <= 0) {
        return false;
    }
    promise(p, ballot);
    return true;
}

bool paxos_acceptor_accept_own(struct paxos *p, struct paxos_ballot ballot, struct paxos_bytes *b)
{
    if (!paxos_accepts(p) || paxos_ballot_cmp(ballot, p->hard.promised) < 0) {
        return false;
    }
    accept(p, ballot, b);
    tell_accepted(p, ballot);
    return true;
}
