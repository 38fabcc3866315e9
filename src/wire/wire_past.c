#include "wire/wire.h"

void wire_put_records(struct buf *b, const struct wire_records *s)
{
    put_varint(b, s->group);
    put_u64le(b, s->replica.n);
    put_varint(b, s->records);
}

enum err wire_get_records(struct reader *r, struct wire_records *s)
{
    uint64_t group = get_varint(r);

    s->group = (uint32_t)group;
    s->replica.n = get_u64le(r);
    s->records = get_varint(r);
    return r->bad || group > UINT32_MAX || s->replica.n == 0 ? ERR_BAD_INPUT : ERR_OK;
}
