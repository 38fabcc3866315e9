/* paxos_check.c - what is always true of one member [docs/protocol/paxos.md, invariants]. */
#include "core/paxos/paxos_internal.h"

static void check_acceptor(const struct paxos *p)
{
    const struct paxos_hard *h = &p->hard;

    CHECK(paxos_ballot_cmp(h->accepted, h->promised) <= 0);
    CHECK(paxos_none(h->accepted) == (p->accepted_bytes == NULL));
    CHECK_IF(p->accepted_bytes != NULL, h->value.data == p->accepted_bytes->bytes.data);
    CHECK_IF(paxos_none(h->accepted), h->value.len == 0);
    CHECK_IF(p->decided.n == 0, paxos_none(h->promised));
    CHECK(h->instance.n == (p->decided.n == 0 ? 0 : p->decided.n + 1));
    CHECK(h->promised.round <= p->round_seen || PLANTED(PAXOS_ROUND_REUSED));
    CHECK(h->round <= p->round_seen);
    CHECK_IF(paxos_none(h->accepted), p->finish_due_us == UINT64_MAX || PLANTED(PAXOS_STATE_KEPT));
}

static void check_proposer(const struct paxos *p)
{
    const struct paxos_proposer *o = &p->prop;
    bool active = o->phase == PAXOS_PREPARING || o->phase == PAXOS_ACCEPTING;

    CHECK(active == !paxos_none(o->ballot));
    CHECK_IF(active, o->ballot.node.n == p->cfg.self.n);
    CHECK_IF(active, o->ballot.round == p->hard.round); /* its newest, and used once */
    CHECK_IF(active, !p->forgot);
    CHECK_IF(active, p->decided.n > 0);
    CHECK_IF(active, o->due_us != UINT64_MAX);
    CHECK_IF(o->phase == PAXOS_PREPARING,
             paxos_none(o->best) == (o->value == NULL) || PLANTED(PAXOS_NEWEST_PROMISE));
    CHECK_IF(o->phase == PAXOS_ACCEPTING, o->value != NULL);
    /* Free to choose only where no promise told of a value [PMS s2.2]. */
    CHECK_IF(o->phase == PAXOS_ACCEPTING && paxos_none(o->best), o->value == o->wanted);
    CHECK_IF(!active, o->value == NULL);
    CHECK(paxos_ballot_cmp(o->best, o->ballot) < 0 || paxos_none(o->best) ||
          PLANTED(PAXOS_NEWEST_PROMISE) || PLANTED(PAXOS_OLD_PROMISE) ||
          PLANTED(PAXOS_ROUND_REUSED));
    CHECK_IF(o->wanted == NULL, !o->offered && !o->withdrawn);
    CHECK_IF(o->withdrawn, o->offered);
    CHECK_IF(o->phase == PAXOS_WAITING, o->due_us != UINT64_MAX);
}

void paxos_check(const struct paxos *p)
{
    CHECK((p->decided.n == 0) == (p->value == NULL));
    CHECK((p->decided.n == 0) == (p->council.count == 0));
    CHECK_IF(p->decided.n > 0, paxos_council_valid(&p->council));
    check_acceptor(p);
    check_proposer(p);
    for (uint32_t i = 0; i < PAXOS_ACCEPTORS_MAX; i++) {
        CHECK_IF(!paxos_none(p->seen[i]), i < p->council.count);
        CHECK_IF(p->prop.votes[i] != QUORUM_UNHEARD, i < p->council.count);
    }
    CHECK_IF(p->decided_dirty, p->hard_dirty); /* one write opens the next instance */
    CHECK_IF(p->hard_dirty, p->work);
    CHECK_IF(p->outbox_count > 0, p->work);
    CHECK(p->round_durable <= p->round_handed);
    CHECK(p->round_handed <= p->hard.round);
    CHECK(p->round_ticket <= p->hard_ticket);
    CHECK(p->hard_ticket <= p->flush_ticket);
}
