#include "wire/wire.h"

void wire_put_records(struct buf *b, const struct wire_records *s)
{
    put_varint(b, s->group);
    put_u64le(b, s->replica.n);
    put_varint(b, s->records);
    put_varint(b, s->start_count);
    for (uint8_t i = 0; i < s->start_count; i++) {
        put_u64le(b, s->starts[i].run);
        put_varint(b, s->starts[i].records);
    }
}

enum err wire_get_records(struct reader *r, struct wire_records *s)
{
    uint64_t group = get_varint(r), starts;

    s->group = (uint32_t)group;
    s->replica.n = get_u64le(r);
    s->records = get_varint(r);
    starts = get_varint(r);
    if (r->bad || starts > WIRE_STARTS_MAX) {
        return ERR_BAD_INPUT;
    }
    s->start_count = (uint8_t)starts;
    for (uint8_t i = 0; i < s->start_count; i++) {
        s->starts[i].run = get_u64le(r);
        s->starts[i].records = get_varint(r);
    }
    return r->bad || group > UINT32_MAX || s->replica.n == 0 ? ERR_BAD_INPUT : ERR_OK;
}
