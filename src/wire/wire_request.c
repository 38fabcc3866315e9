#include "wire/wire.h"

void wire_put_request(struct buf *b, const struct wire_request *q)
{
    put_varint(b, q->id);
    put_varint(b, q->partition);
    put_varint(b, q->term.n);
    put_u8(b, PLANTED(AFTER_WRITES_LOST) ? q->flags & WIRE_REQUEST_RESP3 : q->flags);
    put_bytes(b, q->command);
}

enum err wire_get_request(struct reader *r, struct wire_request *q)
{
    uint64_t partition;

    q->id = get_varint(r);
    partition = get_varint(r);
    q->term.n = get_varint(r);
    q->flags = get_u8(r);
    q->command = get_bytes(r);
    q->partition = (uint32_t)partition;
    if (r->bad || partition > UINT32_MAX ||
        (q->flags & ~(WIRE_REQUEST_AFTER_WRITES | WIRE_REQUEST_RESP3)) != 0) {
        return ERR_BAD_INPUT;
    }
    return ERR_OK;
}

void wire_put_reply(struct buf *b, const struct wire_reply *p)
{
    put_varint(b, p->id);
    put_u8(b, (uint8_t)p->outcome);
    put_bytes(b, p->reply);
}

enum err wire_get_reply(struct reader *r, struct wire_reply *p)
{
    uint8_t outcome;

    p->id = get_varint(r);
    outcome = get_u8(r);
    p->reply = get_bytes(r);
    if (r->bad || outcome >= WIRE_OUTCOMES) {
        return ERR_BAD_INPUT;
    }
    p->outcome = (enum wire_outcome)outcome;
    return ERR_OK;
}

void wire_put_leader(struct buf *b, const struct wire_leader *l)
{
    put_varint(b, l->partition);
    put_varint(b, l->term.n);
    put_u64le(b, l->leader.n);
}

enum err wire_get_leader(struct reader *r, struct wire_leader *l)
{
    uint64_t partition = get_varint(r);

    l->partition = (uint32_t)partition;
    l->term.n = get_varint(r);
    l->leader.n = get_u64le(r);
    return r->bad || partition > UINT32_MAX ? ERR_BAD_INPUT : ERR_OK;
}
