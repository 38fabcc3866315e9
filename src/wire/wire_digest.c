#include "wire/wire.h"

/* kind in the low bits, then the flag */
enum { FLAG_DAMAGED = 0x10, KIND_MASK = 0x0f };

void wire_put_digest(struct buf *b, const struct wire_digest *d)
{
    put_varint(b, d->group);
    put_u8(b, (uint8_t)((unsigned)d->kind | (d->damaged ? FLAG_DAMAGED : 0u)));
    put_u64le(b, d->from.n);
    put_u64le(b, d->to.n);
    put_varint(b, d->term.n);
    put_varint(b, d->index.n);
    put_u64le(b, d->digest);
}

enum err wire_get_digest(struct slice payload, struct wire_digest *d)
{
    struct reader r = reader_of(payload.data, payload.len);
    uint64_t group = get_varint(&r);
    uint8_t head = get_u8(&r);

    *d = (struct wire_digest){.group = (uint32_t)group, .damaged = (head & FLAG_DAMAGED) != 0};
    d->from.n = get_u64le(&r);
    d->to.n = get_u64le(&r);
    d->term.n = get_varint(&r);
    d->index.n = get_varint(&r);
    d->digest = get_u64le(&r);
    if (r.bad || r.pos != r.end || group > UINT32_MAX || (head & KIND_MASK) >= WIRE_DIGEST_KINDS ||
        (head & ~(KIND_MASK | FLAG_DAMAGED)) != 0) {
        return ERR_BAD_INPUT;
    }
    d->kind = (enum wire_digest_kind)(head & KIND_MASK);
    return ERR_OK;
}
