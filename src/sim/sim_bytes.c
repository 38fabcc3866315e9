#include "sim/sim_bytes.h"

#include "base/base_hash.h"

void sim_bytes_free(struct sim_bytes *b)
{
    buf_free(&b->laid);
    b->len = 0;
}

/* For what will be laid up to end, and in a file of known size for all that may be. */
static void reserve(struct sim_bytes *b, size_t end)
{
    if (end > b->laid.cap) {
        buf_reserve(&b->laid, (end > b->len ? end : b->len) - b->laid.len);
    }
}

/* Zeros that were only known lie in memory, up to end. */
static void lay_zeros(struct sim_bytes *b, size_t end)
{
    if (end > b->laid.len) {
        reserve(b, end);
        memset(b->laid.data + b->laid.len, 0, end - b->laid.len);
        b->laid.len = end;
    }
}

void sim_bytes_lay(struct sim_bytes *b, uint64_t offset, const void *data, size_t len)
{
    size_t from = (size_t)offset, end = from + len, over;

    if (len == 0) {
        return;
    }
    reserve(b, end);
    lay_zeros(b, from);
    over = end < b->laid.len ? len : b->laid.len - from; /* the part that overwrites */
    if (over > 0) {
        memcpy(b->laid.data + from, data, over);
    }
    buf_append(&b->laid, (const uint8_t *)data + over, len - over);
    b->len = end > b->len ? end : b->len;
}

void sim_bytes_zeros(struct sim_bytes *b, size_t len)
{
    b->laid.len = 0;
    b->len = len;
}

void sim_bytes_copy(struct sim_bytes *to, const struct sim_bytes *from)
{
    to->laid.len = 0;
    buf_append_slice(&to->laid, buf_slice(&from->laid));
    to->len = from->len;
}

void sim_bytes_read(const struct sim_bytes *b, uint64_t offset, size_t len, struct buf *out)
{
    size_t from = (size_t)offset, laid;

    if (offset >= b->len) {
        return;
    }
    len = len < b->len - from ? len : b->len - from;
    laid = from >= b->laid.len ? 0 : b->laid.len - from;
    laid = laid < len ? laid : len;
    buf_reserve(out, len);
    if (laid > 0) {
        memcpy(out->data + out->len, b->laid.data + from, laid);
    }
    memset(out->data + out->len + laid, 0, len - laid);
    out->len += len;
}

uint8_t *sim_bytes_at(struct sim_bytes *b, uint64_t offset)
{
    CHECK(offset < b->len);
    lay_zeros(b, (size_t)offset + 1);
    return &b->laid.data[offset];
}

struct slice sim_bytes_whole(struct sim_bytes *b)
{
    lay_zeros(b, b->len);
    return buf_slice(&b->laid);
}

uint64_t sim_bytes_hash(const struct sim_bytes *b)
{
    static const uint8_t zeros[4096];
    struct hash64_stream h;
    size_t left = b->len - b->laid.len;

    if (left == 0) {
        return hash64(b->laid.data, b->laid.len);
    }
    hash64_stream_begin(&h);
    hash64_stream_add(&h, b->laid.data, b->laid.len);
    for (; left > sizeof zeros; left -= sizeof zeros) {
        hash64_stream_add(&h, zeros, sizeof zeros);
    }
    hash64_stream_add(&h, zeros, left);
    return hash64_stream_end(&h);
}
