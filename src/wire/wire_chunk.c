#include "wire/wire.h"

void wire_put_chunk(struct buf *b, const struct wire_chunk *c)
{
    put_varint(b, c->group);
    put_u64le(b, c->from.n);
    put_u64le(b, c->to.n);
    put_u64le(b, c->file);
    put_varint(b, c->index.n);
    put_varint(b, c->term.n);
    put_varint(b, c->sender_term.n);
    put_varint(b, c->offset);
    put_varint(b, c->total);
    put_u8(b, c->last ? 1 : 0);
    put_bytes(b, c->bytes);
}

enum err wire_get_chunk(struct slice payload, struct wire_chunk *c)
{
    struct reader r = reader_of(payload.data, payload.len);
    uint64_t group = get_varint(&r);
    uint8_t last;

    c->group = (uint32_t)group;
    c->from.n = get_u64le(&r);
    c->to.n = get_u64le(&r);
    c->file = get_u64le(&r);
    c->index.n = get_varint(&r);
    c->term.n = get_varint(&r);
    c->sender_term.n = get_varint(&r);
    c->offset = get_varint(&r);
    c->total = get_varint(&r);
    last = get_u8(&r);
    c->last = last == 1;
    c->bytes = get_bytes(&r);
    return r.bad || r.pos != r.end || last > 1 || group > UINT32_MAX ? ERR_BAD_INPUT : ERR_OK;
}

void wire_put_chunk_ack(struct buf *b, const struct wire_chunk_ack *a)
{
    put_varint(b, a->group);
    put_u64le(b, a->from.n);
    put_u64le(b, a->to.n);
    put_u64le(b, a->file);
    put_varint(b, a->index.n);
    put_varint(b, a->offset);
    put_u8(b, a->state);
}

enum err wire_get_chunk_ack(struct slice payload, struct wire_chunk_ack *a)
{
    struct reader r = reader_of(payload.data, payload.len);
    uint64_t group = get_varint(&r);

    a->group = (uint32_t)group;
    a->from.n = get_u64le(&r);
    a->to.n = get_u64le(&r);
    a->file = get_u64le(&r);
    a->index.n = get_varint(&r);
    a->offset = get_varint(&r);
    a->state = get_u8(&r);
    return r.bad || r.pos != r.end || a->state > WIRE_CHUNK_DAMAGED || group > UINT32_MAX
               ? ERR_BAD_INPUT
               : ERR_OK;
}
