/* base_bytes.h - slices, growable buffers, and numbers as little-endian bytes.
 *
 * Structs are never copied to disk or wire; every field goes through put_*, and
 * every read through a struct reader, which never reads past its end and
 * remembers that it would have had to.
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H
#include "base/base.h"

#include <endian.h>
#include <string.h>

/* Borrowed bytes; whoever made the slice says how long they live. */
struct slice {
    const uint8_t *data;
    size_t len;
};
#define SLICE(lit) ((struct slice){(const uint8_t *)(lit), sizeof(lit) - 1})
struct slice slice_str(const char *s);
bool slice_eq(struct slice a, struct slice b);
bool slice_eq_nocase(struct slice a, struct slice b); /* ASCII letters only */
int slice_cmp(struct slice a, struct slice b);        /* memcmp order, shorter first */

/* A growable byte buffer. Zero-initialised is empty and owns nothing. */
struct buf {
    uint8_t *data;
    size_t len, cap;
};
void buf_free(struct buf *b);
void buf_reserve_slow(struct buf *b, size_t more);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Remove the first `count` bytes; the rest moves to the front. */
void buf_consume(struct buf *b, size_t count);

/* Make room for `more` bytes after len; pointers into data may move. */
static inline void buf_reserve(struct buf *b, size_t more)
{
    if (UNLIKELY(b->cap - b->len < more)) {
        buf_reserve_slow(b, more);
    }
}
static inline void buf_append(struct buf *b, const void *data, size_t len)
{
    if (len > 0) {
        buf_reserve(b, len);
        memcpy(b->data + b->len, data, len);
        b->len += len;
    }
}
static inline void buf_append_slice(struct buf *b, struct slice s)
{
    buf_append(b, s.data, s.len);
}
static inline struct slice buf_slice(const struct buf *b)
{
    return (struct slice){b->data, b->len};
}

static inline void store_u16le(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}
static inline void store_u32le(uint8_t *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, sizeof v); /* compilers leave a loop over bytes as it is */
}
static inline void store_u64le(uint8_t *p, uint64_t v)
{
    v = htole64(v);
    memcpy(p, &v, sizeof v);
}
static inline uint16_t load_u16le(const uint8_t *p)
{
    return (uint16_t)(p[0] | (p[1] << 8));
}
static inline uint32_t load_u32le(const uint8_t *p)
{
    return (uint32_t)p[0] | ((uint32_t)p[1] << 8) | ((uint32_t)p[2] << 16) | ((uint32_t)p[3] << 24);
}
static inline uint64_t load_u64le(const uint8_t *p)
{
    return (uint64_t)load_u32le(p) | ((uint64_t)load_u32le(p + 4) << 32);
}

static inline void put_u8(struct buf *b, uint8_t v)
{
    buf_reserve(b, 1);
    b->data[b->len++] = v;
}
static inline void put_u16le(struct buf *b, uint16_t v)
{
    buf_reserve(b, 2);
    store_u16le(b->data + b->len, v);
    b->len += 2;
}
static inline void put_u32le(struct buf *b, uint32_t v)
{
    buf_reserve(b, 4);
    store_u32le(b->data + b->len, v);
    b->len += 4;
}
static inline void put_u64le(struct buf *b, uint64_t v)
{
    buf_reserve(b, 8);
    store_u64le(b->data + b->len, v);
    b->len += 8;
}
void put_varint_long(struct buf *b, uint64_t v);
/* LEB128, at most 10 bytes. */
static inline void put_varint(struct buf *b, uint64_t v)
{
    if (v < 0x80) {
        put_u8(b, (uint8_t)v);
    } else {
        put_varint_long(b, v);
    }
}
size_t varint_bytes(uint64_t v);
/* varint length, then the bytes. */
void put_bytes(struct buf *b, struct slice s);

/* Reads from borrowed bytes. After any failed read `bad` stays true and every
 * further read gives zero: check once, at the end. */
struct reader {
    const uint8_t *pos, *end;
    bool bad;
};
static inline struct reader reader_of(const void *data, size_t len)
{
    const uint8_t *at = data;

    return (struct reader){at, len == 0 ? at : at + len, false};
}
static inline size_t reader_left(const struct reader *r)
{
    return r->bad ? 0 : (size_t)(r->end - r->pos);
}
static inline uint8_t get_u8(struct reader *r)
{
    if (UNLIKELY(r->bad || r->pos == r->end)) {
        r->bad = true;
        return 0;
    }
    return *r->pos++;
}
uint16_t get_u16le(struct reader *r);
uint32_t get_u32le(struct reader *r);
uint64_t get_u64le(struct reader *r);
uint64_t get_varint_long(struct reader *r);
/* Rejects encodings longer than needed for 64 bits. */
static inline uint64_t get_varint(struct reader *r)
{
    if (LIKELY(!r->bad && r->pos != r->end && *r->pos < 0x80)) {
        return *r->pos++;
    }
    return get_varint_long(r);
}
/* Exactly len bytes, borrowed from the source. */
struct slice get_raw(struct reader *r, size_t len);
/* What put_bytes wrote, borrowed from the source. */
struct slice get_bytes(struct reader *r);
#endif
