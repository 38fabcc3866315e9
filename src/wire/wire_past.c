#include "wire/wire.h"

void wire_put_starts(struct buf *b, const struct wire_starts *s)
{
    put_varint(b, s->count);
    for (uint8_t i = 0; i < s->count; i++) {
        put_u64le(b, s->at[i].run);
        put_varint(b, s->at[i].records);
    }
}

enum err wire_get_starts(struct reader *r, struct wire_starts *s)
{
    uint64_t count = get_varint(r);

    if (r->bad || count > WIRE_STARTS_MAX) {
        return ERR_BAD_INPUT;
    }
    s->count = (uint8_t)count;
    for (uint8_t i = 0; i < s->count; i++) {
        s->at[i].run = get_u64le(r);
        s->at[i].records = get_varint(r);
    }
    return r->bad ? ERR_BAD_INPUT : ERR_OK;
}

void wire_put_records(struct buf *b, const struct wire_records *s)
{
    put_varint(b, s->group);
    put_u64le(b, s->replica.n);
    put_varint(b, s->records);
    wire_put_starts(b, &s->starts);
}

enum err wire_get_records(struct reader *r, struct wire_records *s)
{
    uint64_t group = get_varint(r);

    s->group = (uint32_t)group;
    s->replica.n = get_u64le(r);
    s->records = get_varint(r);
    if (wire_get_starts(r, &s->starts) != ERR_OK) {
        return ERR_BAD_INPUT;
    }
    return group > UINT32_MAX || s->replica.n == 0 ? ERR_BAD_INPUT : ERR_OK;
}
