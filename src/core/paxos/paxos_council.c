/* paxos_council.c - the order of ballots, and who makes a quorum. */
#include "core/paxos/paxos_internal.h"

int paxos_ballot_cmp(struct paxos_ballot a, struct paxos_ballot b)
{
    if (a.round != b.round) {
        return a.round < b.round ? -1 : 1;
    }
    return (a.node.n > b.node.n) - (a.node.n < b.node.n);
}

bool paxos_council_valid(const struct paxos_council *c)
{
    if (c->count == 0 || c->count > PAXOS_ACCEPTORS_MAX) {
        return false;
    }
    if (c->quorum1 == 0 || c->quorum2 == 0 || c->quorum1 > c->count || c->quorum2 > c->count) {
        return false;
    }
    if (c->quorum1 + c->quorum2 <= c->count) {
        return false; /* two that do not meet [FP s3] */
    }
    for (uint32_t i = 0; i < c->count; i++) {
        if (c->ids[i].n == 0 || paxos_place(c, c->ids[i]) != i) {
            return false;
        }
    }
    return true;
}

uint32_t paxos_place(const struct paxos_council *c, struct paxos_id id)
{
    for (uint32_t i = 0; i < c->count; i++) {
        if (c->ids[i].n == id.n) {
            return i;
        }
    }
    return PAXOS_NO_PLACE;
}

bool paxos_council_has(const struct paxos_council *c, struct paxos_id id)
{
    return paxos_place(c, id) != PAXOS_NO_PLACE;
}

bool paxos_accepts(const struct paxos *p)
{
    return !p->forgot && paxos_council_has(&p->council, p->cfg.self);
}
