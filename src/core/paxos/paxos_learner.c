/* paxos_learner.c - what is chosen, and the chain that it makes [PMS s2.3].
 *
 * A member learns in three ways: its own proposer collected a quorum; it heard from a
 * quorum itself, as acceptors tell the whole council (so that a decision survives the
 * death of its proposer); or somebody who knows says so. A decided value ends its instance
 * here and opens the next, with the council that it names.
 */
#include "core/paxos/paxos_internal.h"

void paxos_tell(struct paxos *p, struct paxos_id to)
{
    struct paxos_msg *m = paxos_send(p, PAXOS_DECIDED, to, p->value);

    m->instance = p->decided;
}

/* What becomes of the own proposal, if there is one, now that `value` is decided. */
static void settle_proposal(struct paxos *p, struct paxos_instance instance, struct slice value)
{
    const struct paxos_bytes *wanted = p->prop.wanted;

    if (wanted == NULL) {
        return;
    }
    p->over = true;
    p->over_instance.n = p->decided.n + 1;
    if (instance.n == p->over_instance.n) {
        p->over_outcome = slice_eq(wanted->bytes, value) ? PAXOS_WON : PAXOS_LOST;
    } else {
        SOMETIMES(p->prop.offered, "paxos: the chain went on without a proposer");
        p->over_outcome = p->prop.offered ? PAXOS_UNKNOWN : PAXOS_LOST;
    }
}

static void decide(struct paxos *p, struct paxos_instance instance, struct paxos_bytes *value)
{
    struct paxos_council next = {0};
    bool valid = p->cfg.council_of(value->bytes, &next) && paxos_council_valid(&next);

    CHECK(valid); /* looked at when it came */
    CHECK(instance.n > p->decided.n);
    settle_proposal(p, instance, value->bytes);
    paxos_bytes_set(&p->value, paxos_bytes_ref(value));
    p->decided = instance;
    if (!PLANTED(PAXOS_OLD_COUNCIL) || p->council.count == 0) {
        p->council = next;
    }
    p->hard_dirty = p->decided_dirty = true;
    p->learned = p->work = true;
    if (PLANTED(PAXOS_STATE_KEPT)) {
        p->hard.instance.n = p->decided.n + 1;
    } else {
        paxos_acceptor_reset(p);
    }
    paxos_proposer_end(p);
    memset(p->seen, 0, sizeof p->seen);
}

void paxos_learner_chosen(struct paxos *p, struct paxos_bytes *value)
{
    struct paxos_council old = p->council;
    struct paxos_instance instance = {p->decided.n + 1};

    value = paxos_bytes_ref(value);
    decide(p, instance, value);
    paxos_bytes_drop(&value);
    for (uint32_t i = 0; i < old.count; i++) {
        if (old.ids[i].n != p->cfg.self.n) {
            paxos_tell(p, old.ids[i]);
        }
    }
    for (uint32_t i = 0; i < p->council.count; i++) {
        struct paxos_id id = p->council.ids[i];

        if (id.n != p->cfg.self.n && !paxos_council_has(&old, id)) {
            paxos_tell(p, id);
        }
    }
}

void paxos_learner_look(struct paxos *p, struct paxos_ballot ballot)
{
    struct paxos_instance instance = {p->decided.n + 1};
    struct paxos_bytes *value;
    uint32_t count = 0;

    for (uint32_t i = 0; i < p->council.count; i++) {
        bool durable = p->council.ids[i].n != p->cfg.self.n || paxos_hard_gate(p) == 0;

        count += durable && paxos_same(p->seen[i], ballot);
        if (PLANTED(PAXOS_BALLOTS_MIXED)) {
            count += durable && !paxos_none(p->seen[i]) && !paxos_same(p->seen[i], ballot);
        }
    }
    if (paxos_none(ballot) || count < p->council.quorum2) {
        return;
    }
    if (!paxos_same(p->hard.accepted, ballot)) {
        SOMETIMES(true, "paxos: a quorum accepted what has not come here");
        return; /* its proposer will say */
    }
    value = paxos_bytes_ref(p->accepted_bytes);
    SOMETIMES(ballot.node.n != p->cfg.self.n, "paxos: a decision learned from the acceptors");
    decide(p, instance, value);
    paxos_bytes_drop(&value);
}

void paxos_learner_accepted(struct paxos *p, const struct paxos_msg *m)
{
    uint32_t place = paxos_place(&p->council, m->from);

    if (place == PAXOS_NO_PLACE) {
        return;
    }
    if (paxos_ballot_cmp(m->ballot, p->seen[place]) > 0) {
        p->seen[place] = m->ballot;
    }
    paxos_learner_look(p, m->ballot);
}

enum err paxos_learner_told(struct paxos *p, struct paxos_instance instance, struct slice value)
{
    struct paxos_council next;
    struct paxos_bytes *b;

    if (instance.n == 0 || instance.n > PAXOS_INSTANCE_MAX || !p->cfg.council_of(value, &next) ||
        !paxos_council_valid(&next)) {
        return ERR_BAD_INPUT;
    }
    if (instance.n == p->decided.n && !slice_eq(value, p->value->bytes)) {
        return ERR_FORKED; /* the chain has forked */
    }
    if (instance.n <= p->decided.n) {
        return ERR_OK;
    }
    SOMETIMES(p->decided.n > 0 && instance.n > p->decided.n + 1, "paxos: instances were skipped");
    b = paxos_bytes_new(value);
    decide(p, instance, b);
    paxos_bytes_drop(&b);
    return ERR_OK;
}
