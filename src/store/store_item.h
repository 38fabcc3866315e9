/* store_item.h - how one item lies in memory: header, optional parts, key, value.
 *
 *   access_s u32 | kind and flags u8 | epoch u8 | key length u8 | value length u8
 *   expire_ms u64, place in the expiry heap u32     only with ITEM_EXPIRES
 *   key length u32                                  only when the u8 is 255
 *   value length u32                                only when the u8 is 255
 *   key, value
 *
 * 16-byte keys with 100-byte values make 124 bytes: the allocator's class of 128.
 * Fields of large hashes are items too, of kind ITEM_INLINE whatever their length.
 */
#ifndef STORE_ITEM_H
#define STORE_ITEM_H
#include "base/base_bytes.h"
#include "base/base_list.h"
#include "base/base_map.h"
#include "store/store.h"

enum item_kind {
    ITEM_INT,    /* value: i64 */
    ITEM_INLINE, /* value: the bytes */
    ITEM_LONG,   /* value: pointer to a struct store_long */
    ITEM_PACK,   /* value: sum u64, count u8, then (field length u8, value length u8, both)* */
    ITEM_TABLE,  /* value: pointer to a struct store_fields */
};
enum {
    ITEM_KIND_MASK = 0x07,
    ITEM_EXPIRES = 0x10,
    ITEM_RAW = 0x20, /* INLINE, written in place: OBJECT ENCODING says raw */
    ITEM_LEN8_ESCAPE = 255,
    ITEM_EXPIRY_BYTES = 12,
    ITEM_INLINE_MAX = 1024, /* longer strings live in a struct store_long */
    EMBSTR_BYTES_MAX = 44,  /* Redis's boundary between the names embstr and raw */
    INT_TEXT_BYTES_MAX = 20,
};

struct store_item {
    uint32_t access_s;
    uint8_t kind; /* enum item_kind and flags */
    uint8_t epoch;
    uint8_t key_len8, value_len8;
    uint8_t rest[];
};

static inline enum item_kind item_kind(const struct store_item *it)
{
    return (enum item_kind)(it->kind & ITEM_KIND_MASK);
}
static inline bool item_expires(const struct store_item *it)
{
    return (it->kind & ITEM_EXPIRES) != 0;
}
static inline bool item_is_big(const struct store_item *it)
{
    return item_kind(it) == ITEM_LONG || item_kind(it) == ITEM_TABLE;
}
static inline size_t item_key_pos(const struct store_item *it)
{
    return (item_expires(it) ? ITEM_EXPIRY_BYTES : 0U) +
           (it->key_len8 == ITEM_LEN8_ESCAPE ? 4U : 0U) +
           (it->value_len8 == ITEM_LEN8_ESCAPE ? 4U : 0U);
}
static inline size_t item_key_len(const struct store_item *it)
{
    if (LIKELY(it->key_len8 != ITEM_LEN8_ESCAPE)) {
        return it->key_len8;
    }
    return load_u32le(it->rest + (item_expires(it) ? ITEM_EXPIRY_BYTES : 0));
}
static inline size_t item_value_len(const struct store_item *it)
{
    if (LIKELY(it->value_len8 != ITEM_LEN8_ESCAPE)) {
        return it->value_len8;
    }
    return load_u32le(it->rest + item_key_pos(it) - 4);
}
static inline struct slice item_key(const struct store_item *it)
{
    return (struct slice){it->rest + item_key_pos(it), item_key_len(it)};
}
static inline uint8_t *item_value_ptr(struct store_item *it)
{
    return it->rest + item_key_pos(it) + item_key_len(it);
}
static inline struct slice item_value(const struct store_item *it)
{
    return (struct slice){it->rest + item_key_pos(it) + item_key_len(it), item_value_len(it)};
}
static inline size_t item_bytes(const struct store_item *it)
{
    return sizeof *it + item_key_pos(it) + item_key_len(it) + item_value_len(it);
}
static inline int64_t item_int(const struct store_item *it)
{
    int64_t v;

    memcpy(&v, item_value(it).data, sizeof v);
    return v;
}
static inline void *item_pointer(const struct store_item *it)
{
    void *p;

    memcpy(&p, item_value(it).data, sizeof p);
    return p;
}
static inline uint64_t item_expire_ms(const struct store_item *it)
{
    return item_expires(it) ? load_u64le(it->rest) : 0;
}
static inline uint32_t item_heap_pos(const struct store_item *it)
{
    return load_u32le(it->rest + 8);
}
static inline void item_set_heap_pos(struct store_item *it, uint32_t pos)
{
    store_u32le(it->rest + 8, pos);
}

/* What the allocator sets aside for `bytes`: jemalloc's classes, 16 apart up to 128,
 * then four per doubling. Arithmetic, so that accounts are cheap and repeat exactly. */
static inline size_t item_class(size_t bytes)
{
    unsigned shift;

    if (bytes <= 128) {
        return bytes <= 8 ? 8 : (bytes + 15) & ~(size_t)15;
    }
    shift = 61U - (unsigned)__builtin_clzll(bytes - 1);
    return (((bytes - 1) >> shift) + 1) << shift;
}

struct item_shape {
    enum item_kind kind;
    uint8_t epoch;
    uint64_t expire_ms;
    struct slice key;
    size_t value_len;
};
/* A new item; the value's bytes are the caller's to fill. Free with mem_free. */
struct store_item *item_make(const struct item_shape *shape);
size_t item_shape_bytes(const struct item_shape *shape);
/* Could `it` become this shape where it lies, its key staying in place? */
bool item_fits(const struct store_item *it, const struct item_shape *shape);
/* Kind, epoch, expiry time and value length of a shape that fits. Clears ITEM_RAW. */
void item_reshape(struct store_item *it, const struct item_shape *shape);

/* Canonical decimal of an int64, as Redis decides: no plus, no leading zero, no "-0". */
bool item_parse_int(struct slice text, int64_t *value);
struct slice item_print_int(int64_t value, char scratch[STORE_INT_TEXT_MAX]);

/* Digests; they depend on content alone. */
uint64_t item_digest(const struct store_item *it);
uint64_t item_field_digest(struct slice field, struct slice value);
/* The parts of item_digest: of an integer; of bytes, from the sum of their chunks' terms; of
 * fields, from the sum of theirs; of any of these under a key. */
uint64_t item_int_digest(int64_t number);
uint64_t item_bytes_digest(uint64_t sum, size_t len);
uint64_t item_fields_digest(uint64_t sum, size_t count);
uint64_t item_digest_as(struct slice key, uint64_t expire_ms, uint64_t content);
#endif
