#include "store/store_item.h"

#include "base/base_hash.h"
#include "base/base_mem.h"
#include "store/store_internal.h"

size_t item_shape_bytes(const struct item_shape *shape)
{
    return sizeof(struct store_item) + (shape->expire_ms != 0 ? ITEM_EXPIRY_BYTES : 0U) +
           (shape->key.len >= ITEM_LEN8_ESCAPE ? 4U : 0U) +
           (shape->value_len >= ITEM_LEN8_ESCAPE ? 4U : 0U) + shape->key.len + shape->value_len;
}

struct store_item *item_make(const struct item_shape *shape)
{
    /* The whole of the allocator's class: item_fits counts on it. */
    struct store_item *it = mem_alloc(item_class(item_shape_bytes(shape)));
    uint8_t *at = it->rest;

    CHECK(shape->key.len <= STORE_KEY_BYTES_MAX);
    CHECK(shape->value_len <= UINT32_MAX);
    it->access_s = 0;
    it->kind = (uint8_t)(shape->kind | (shape->expire_ms != 0 ? ITEM_EXPIRES : 0));
    it->epoch = shape->epoch;
    it->key_len8 = (uint8_t)(shape->key.len < ITEM_LEN8_ESCAPE ? shape->key.len : ITEM_LEN8_ESCAPE);
    it->value_len8 =
        (uint8_t)(shape->value_len < ITEM_LEN8_ESCAPE ? shape->value_len : ITEM_LEN8_ESCAPE);
    if (shape->expire_ms != 0) {
        store_u64le(at, shape->expire_ms);
        store_u32le(at + 8, UINT32_MAX);
        at += ITEM_EXPIRY_BYTES;
    }
    if (it->key_len8 == ITEM_LEN8_ESCAPE) {
        store_u32le(at, (uint32_t)shape->key.len);
        at += 4;
    }
    if (it->value_len8 == ITEM_LEN8_ESCAPE) {
        store_u32le(at, (uint32_t)shape->value_len);
        at += 4;
    }
    if (shape->key.len > 0) {
        memcpy(at, shape->key.data, shape->key.len);
    }
    return it;
}

bool item_fits(const struct store_item *it, const struct item_shape *shape)
{
    return item_expires(it) == (shape->expire_ms != 0) &&
           (it->value_len8 == ITEM_LEN8_ESCAPE) == (shape->value_len >= ITEM_LEN8_ESCAPE) &&
           item_class(item_bytes(it)) == item_class(item_shape_bytes(shape));
}

void item_reshape(struct store_item *it, const struct item_shape *shape)
{
    it->kind = (uint8_t)(shape->kind | (shape->expire_ms != 0 ? ITEM_EXPIRES : 0));
    it->epoch = shape->epoch;
    if (shape->expire_ms != 0) {
        store_u64le(it->rest, shape->expire_ms);
    }
    if (it->value_len8 == ITEM_LEN8_ESCAPE) {
        store_u32le(it->rest + item_key_pos(it) - 4, (uint32_t)shape->value_len);
    } else {
        it->value_len8 = (uint8_t)shape->value_len;
    }
}

bool item_parse_int(struct slice text, int64_t *value)
{
    bool minus = text.len > 0 && text.data[0] == '-';
    size_t at = minus ? 1 : 0;
    uint64_t limit = minus ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
    uint64_t v = 0;

    if (text.len == at || text.len > INT_TEXT_BYTES_MAX) {
        return false;
    }
    if (text.data[at] == '0') {
        *value = 0;
        return text.len == 1;
    }
    for (; at < text.len; at++) {
        unsigned digit = (unsigned)text.data[at] - '0';

        if (digit > 9 || v > (limit - digit) / 10) {
            return false;
        }
        v = v * 10 + digit;
    }
    *value = (int64_t)(minus ? 0 - v : v);
    return true;
}

struct slice item_print_int(int64_t value, char scratch[STORE_INT_TEXT_MAX])
{
    uint64_t v = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    size_t at = STORE_INT_TEXT_MAX;

    do {
        scratch[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    if (value < 0) {
        scratch[--at] = '-';
    }
    return (struct slice){(const uint8_t *)scratch + at, STORE_INT_TEXT_MAX - at};
}

enum { DIGEST_INT = 0x11, DIGEST_BYTES = 0x12, DIGEST_HASH = 0x13 };

uint64_t item_field_digest(struct slice field, struct slice value)
{
    return hash64_mix(hash64(field.data, field.len), hash64(value.data, value.len));
}

uint64_t item_int_digest(int64_t number)
{
    return hash64_mix((uint64_t)number, DIGEST_INT);
}

uint64_t item_bytes_digest(uint64_t sum, size_t len)
{
    return hash64_mix(sum + len, DIGEST_BYTES);
}

uint64_t item_fields_digest(uint64_t sum, size_t count)
{
    return hash64_mix(sum + count, DIGEST_HASH);
}

uint64_t item_digest_as(struct slice key, uint64_t expire_ms, uint64_t content)
{
    uint64_t when = expire_ms * 0x9e3779b97f4a7c15ULL;

    return hash64_mix(hash64(key.data, key.len) ^ when, content);
}

/* The same for a number kept as one and for its text; and the same for bytes kept
 * inline or apart. */
static uint64_t content_digest(const struct store_item *it)
{
    struct slice value = item_value(it);
    int64_t number;

    switch (item_kind(it)) {
    case ITEM_INT:
        return item_int_digest(item_int(it));
    case ITEM_INLINE:
        if (value.len <= INT_TEXT_BYTES_MAX && item_parse_int(value, &number)) {
            return item_int_digest(number);
        }
        return item_bytes_digest(long_chunk_term(value, 0), value.len);
    case ITEM_LONG: {
        const struct store_long *lg = item_pointer(it);

        return item_bytes_digest(lg->sum, lg->len);
    }
    case ITEM_PACK:
        return item_fields_digest(pack_sum(value), pack_count(value));
    case ITEM_TABLE: {
        const struct store_fields *f = item_pointer(it);

        return item_fields_digest(f->sum, f->table.count);
    }
    }
    UNREACHABLE("kind of item");
}

uint64_t item_digest(const struct store_item *it)
{
    return item_digest_as(item_key(it), item_expire_ms(it), content_digest(it));
}
