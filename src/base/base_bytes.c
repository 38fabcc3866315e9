#include "base/base_bytes.h"

#include "base/base_mem.h"

#include <stdarg.h>
#include <stdio.h>

enum { BUF_CAP_MIN = 64 };

struct slice slice_str(const char *s)
{
    return (struct slice){(const uint8_t *)s, strlen(s)};
}

bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static uint8_t ascii_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

bool slice_eq_nocase(struct slice a, struct slice b)
{
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        if (ascii_lower(a.data[i]) != ascii_lower(b.data[i])) {
            return false;
        }
    }
    return true;
}

int slice_cmp(struct slice a, struct slice b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);

    if (order != 0) {
        return order < 0 ? -1 : 1;
    }
    return (a.len > b.len) - (a.len < b.len);
}

void buf_free(struct buf *b)
{
    mem_free(b->data);
    *b = (struct buf){0};
}

void buf_reserve_slow(struct buf *b, size_t more)
{
    size_t need = b->len + more;
    size_t cap = b->cap < BUF_CAP_MIN ? BUF_CAP_MIN : b->cap * 2;

    CHECK(need >= more);
    if (cap < need) {
        cap = need;
    }
    b->data = mem_realloc(b->data, cap);
    b->cap = cap;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap, again;
    int len;

    va_start(ap, fmt);
    va_copy(again, ap);
    len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    CHECK(len >= 0);
    buf_reserve(b, (size_t)len + 1);
    (void)vsnprintf((char *)b->data + b->len, (size_t)len + 1, fmt, again);
    va_end(again);
    b->len += (size_t)len;
}

void buf_consume(struct buf *b, size_t count)
{
    CHECK(count <= b->len);
    b->len -= count;
    if (b->len > 0 && count > 0) {
        memmove(b->data, b->data + count, b->len);
    }
}

void put_varint_long(struct buf *b, uint64_t v)
{
    buf_reserve(b, 10);
    while (v >= 0x80) {
        b->data[b->len++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    b->data[b->len++] = (uint8_t)v;
}

size_t varint_bytes(uint64_t v)
{
    size_t bytes = 1;

    while (v >= 0x80) {
        v >>= 7;
        bytes++;
    }
    return bytes;
}

void put_bytes(struct buf *b, struct slice s)
{
    put_varint(b, s.len);
    buf_append_slice(b, s);
}

/* The bytes, or NULL and bad when fewer than `count` are left. */
static const uint8_t *take(struct reader *r, size_t count)
{
    const uint8_t *at = r->pos;

    if (UNLIKELY(r->bad || (size_t)(r->end - r->pos) < count)) {
        r->bad = true;
        return NULL;
    }
    r->pos += count;
    return at;
}

uint16_t get_u16le(struct reader *r)
{
    const uint8_t *p = take(r, 2);

    return p == NULL ? 0 : load_u16le(p);
}

uint32_t get_u32le(struct reader *r)
{
    const uint8_t *p = take(r, 4);

    return p == NULL ? 0 : load_u32le(p);
}

uint64_t get_u64le(struct reader *r)
{
    const uint8_t *p = take(r, 8);

    return p == NULL ? 0 : load_u64le(p);
}

uint64_t get_varint_long(struct reader *r)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = get_u8(r);

        if (r->bad || (shift == 63 && byte > 1)) {
            break;
        }
        v |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            if (byte == 0 && shift > 0) {
                break; /* padded encoding: two spellings of one number */
            }
            return v;
        }
    }
    r->bad = true;
    return 0;
}

struct slice get_raw(struct reader *r, size_t len)
{
    const uint8_t *p = take(r, len);

    return p == NULL ? (struct slice){0} : (struct slice){p, len};
}

struct slice get_bytes(struct reader *r)
{
    uint64_t len = get_varint(r);

    if (r->bad || len > (uint64_t)(r->end - r->pos)) {
        r->bad = true;
        return (struct slice){0};
    }
    return get_raw(r, (size_t)len);
}
