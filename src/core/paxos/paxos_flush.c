/* paxos_flush.c - what the driver must do, in the order it must do it.
 *
 * First the write, then the messages, then what the caller is to learn. A promise, an
 * acceptance and the first word in a new ballot wait for the write of all that they rest
 * on. The rest states what is true anyhow: what is chosen stays chosen without us, and a
 * ballot to beat is only advice.
 */
#include "core/paxos/paxos_internal.h"

void paxos_effects_free(struct paxos_effects *fx)
{
    mem_free(fx->at);
    *fx = (struct paxos_effects){0};
}

static struct paxos_effect *add(struct paxos_effects *out, enum paxos_effect_kind kind)
{
    struct paxos_effect *e;

    MEM_GROW(out->at, out->count, out->cap);
    e = &out->at[out->count++];
    *e = (struct paxos_effect){.kind = kind};
    return e;
}

uint64_t paxos_hard_gate(const struct paxos *p)
{
    if (p->hard_dirty) {
        return UINT64_MAX; /* not even given to the driver */
    }
    return p->hard_ticket > p->durable_ticket ? p->hard_ticket : 0;
}

static uint64_t gate_of(const struct paxos *p, const struct paxos_msg *m)
{
    switch (m->kind) {
    case PAXOS_PROMISE:
    case PAXOS_ACCEPTED:
        return PLANTED(PAXOS_UNGATED) ? 0 : paxos_hard_gate(p);
    case PAXOS_PREPARE:
        return m->ballot.round > p->round_durable ? p->round_ticket : 0;
    case PAXOS_ACCEPT:
        CHECK(m->ballot.round <= p->round_durable || PLANTED(PAXOS_OWN_EARLY));
        return 0;
    case PAXOS_NACK:
    case PAXOS_DECIDED:
    case PAXOS_ASK:
        return 0;
    case PAXOS_MSG_KINDS:
        break;
    }
    UNREACHABLE("a kind of message");
}

static void list_persist(struct paxos *p, struct paxos_effects *out)
{
    struct paxos_effect *e;

    if (!p->hard_dirty) {
        CHECK(!p->decided_dirty);
        return;
    }
    CHECK(p->flush_ticket > p->durable_ticket); /* a write that is over cannot be joined */
    e = add(out, PAXOS_PERSIST);
    e->gate = p->flush_ticket;
    e->u.persist.hard = p->hard;
    e->u.persist.decided_changed = p->decided_dirty;
    e->u.persist.decided = p->decided;
    if (p->value != NULL) {
        e->u.persist.value = p->value->bytes;
    }
    p->hard_dirty = p->decided_dirty = false;
    p->hard_ticket = p->flush_ticket;
    if (p->hard.round > p->round_handed) {
        p->round_handed = p->hard.round;
        p->round_ticket = p->flush_ticket;
    }
}

static void list_messages(struct paxos *p, struct paxos_effects *out)
{
    for (uint32_t i = 0; i < p->outbox_count; i++) {
        struct paxos_letter *l = &p->outbox[i];
        struct paxos_effect *e = add(out, PAXOS_SEND);

        e->gate = gate_of(p, &l->msg);
        CHECK(e->gate != UINT64_MAX);
        e->u.msg = l->msg;
        if (l->bytes != NULL) { /* lent until the next flush */
            MEM_GROW(p->lent, p->lent_count, p->lent_cap);
            p->lent[p->lent_count++] = l->bytes;
        }
    }
    p->outbox_count = 0;
}

void paxos_flush(struct paxos *p, uint64_t ticket, struct paxos_effects *out)
{
    out->count = 0;
    CHECK(ticket >= p->flush_ticket);
    while (p->lent_count > 0) {
        paxos_bytes_drop(&p->lent[--p->lent_count]);
    }
    if (!p->work) {
        return;
    }
    p->work = false;
    p->flush_ticket = ticket;
    list_persist(p, out);
    list_messages(p, out);
    if (p->over) {
        struct paxos_effect *e = add(out, PAXOS_PROPOSAL_OVER);

        e->u.over.instance = p->over_instance;
        e->u.over.outcome = p->over_outcome;
        p->over = false;
    }
    if (p->learned) {
        struct paxos_effect *e = add(out, PAXOS_LEARNED);

        e->u.learned.instance = p->decided;
        e->u.learned.value = p->value->bytes;
        p->learned = false;
    }
}
