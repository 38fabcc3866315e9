#include "base/base_hash.h"
#include "wire/wire.h"

bool wire_id_eq(const struct wire_id *a, const struct wire_id *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

bool wire_id_is_zero(const struct wire_id *a)
{
    static const struct wire_id zero;

    return wire_id_eq(a, &zero);
}

static bool type_known(uint8_t type)
{
    return type >= WIRE_HELLO && type <= WIRE_OUT;
}

enum err wire_next(const uint8_t *data, size_t len, struct wire_frame *out)
{
    uint32_t rest;

    if (len < 4) {
        return ERR_AGAIN;
    }
    rest = PLANTED(FRAME_16_BITS) ? load_u16le(data) : load_u32le(data);
    if (rest < WIRE_HEAD_BYTES - 4) {
        return ERR_CORRUPT;
    }
    if (rest > WIRE_FRAME_BYTES_MAX) {
        return ERR_TOO_LARGE;
    }
    if (len - 4 < rest) {
        return ERR_AGAIN;
    }
    if (load_u32le(data + 4) != checksum32(data + 8, rest - 4)) {
        return ERR_CORRUPT;
    }
    if (!type_known(data[8])) {
        return ERR_CORRUPT;
    }
    out->type = (enum wire_type)data[8];
    out->payload = (struct slice){data + WIRE_HEAD_BYTES, rest - (WIRE_HEAD_BYTES - 4)};
    out->used = 4 + (size_t)rest;
    return ERR_OK;
}

size_t wire_begin(struct buf *b, enum wire_type type)
{
    size_t mark = b->len;

    buf_reserve(b, WIRE_HEAD_BYTES);
    memset(b->data + b->len, 0, 8);
    b->data[b->len + 8] = (uint8_t)type;
    b->len += WIRE_HEAD_BYTES;
    return mark;
}

void wire_end(struct buf *b, size_t mark)
{
    size_t rest = b->len - mark - 4;

    CHECK(b->len >= mark + WIRE_HEAD_BYTES);
    CHECK(rest <= WIRE_FRAME_BYTES_MAX);
    store_u32le(b->data + mark, (uint32_t)rest);
    store_u32le(b->data + mark + 4, checksum32(b->data + mark + 8, rest - 4));
}
