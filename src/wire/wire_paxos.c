#include "wire/wire.h"

static bool has_ballot(enum paxos_msg_kind kind)
{
    return kind != PAXOS_DECIDED && kind != PAXOS_ASK;
}

static bool has_second(enum paxos_msg_kind kind)
{
    return kind == PAXOS_PROMISE || kind == PAXOS_NACK;
}

static bool has_value(const struct paxos_msg *m)
{
    return m->kind == PAXOS_ACCEPT || m->kind == PAXOS_DECIDED ||
           (m->kind == PAXOS_PROMISE && m->accepted.round != 0);
}

static void put_ballot(struct buf *b, struct paxos_ballot ballot)
{
    put_varint(b, ballot.round);
    if (ballot.round != 0) {
        put_u64le(b, ballot.node.n);
    }
}

static struct paxos_ballot get_ballot(struct reader *r)
{
    struct paxos_ballot ballot = {.round = get_varint(r)};

    if (ballot.round != 0) {
        ballot.node.n = get_u64le(r);
    }
    return ballot;
}

void wire_put_paxos(struct buf *b, const struct paxos_msg *m)
{
    put_u8(b, (uint8_t)m->kind);
    put_u64le(b, m->from.n);
    put_u64le(b, m->to.n);
    put_varint(b, m->instance.n);
    if (has_ballot(m->kind)) {
        put_ballot(b, m->ballot);
    }
    if (has_second(m->kind)) {
        put_ballot(b, m->accepted);
    }
    if (has_value(m)) {
        put_bytes(b, m->value);
    }
}

enum err wire_get_paxos(struct reader *r, struct paxos_msg *m)
{
    uint8_t kind = get_u8(r);

    *m = (struct paxos_msg){0};
    if (r->bad || kind >= PAXOS_MSG_KINDS) {
        return ERR_BAD_INPUT;
    }
    m->kind = (enum paxos_msg_kind)kind;
    m->from.n = get_u64le(r);
    m->to.n = get_u64le(r);
    m->instance.n = get_varint(r);
    if (has_ballot(m->kind)) {
        m->ballot = get_ballot(r);
    }
    if (has_second(m->kind)) {
        m->accepted = get_ballot(r);
    }
    if (!r->bad && has_value(m)) {
        m->value = get_bytes(r);
    }
    return r->bad ? ERR_BAD_INPUT : ERR_OK;
}
