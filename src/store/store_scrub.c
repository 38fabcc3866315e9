/* store_scrub.c - does memory still hold what was written?
 *
 * Writes keep the store's digest by taking away what an item was and adding what it
 * becomes, so it tells what the content should be. A walk over all items tells what it is.
 * The walk is the snapshot's (store_snap.c): every item is met once, as of begin, while
 * writes go on. This file has the digests from the bytes themselves; item_digest rests
 * on the sums kept with hashes and long strings, which rot would leave as they were.
 */
#include "store/store_internal.h"

static uint64_t pack_digest(struct slice pack)
{
    struct slice field, value;
    uint64_t sum = 0;
    size_t pos = 0, count = 0;

    while (pack_next(pack, &pos, &field, &value) && pos <= pack.len) {
        sum += item_field_digest(field, value);
        count++;
    }
    /* Lengths that lead past the end: no content has this digest. */
    return pos <= pack.len ? item_fields_digest(sum, count) : ~item_fields_digest(sum, count);
}

uint64_t scrub_item_digest(const struct store_item *it)
{
    CHECK(!item_is_big(it));
    if (item_kind(it) == ITEM_PACK) {
        return item_digest_as(item_key(it), item_expire_ms(it), pack_digest(item_value(it)));
    }
    return item_digest(it); /* numbers and inline bytes have no sums apart */
}

uint64_t scrub_chunks_sum(struct slice bytes, size_t offset)
{
    uint64_t sum = 0;

    CHECK(offset % LONG_CHUNK_BYTES == 0);
    for (size_t at = 0; at < bytes.len; at += LONG_CHUNK_BYTES) {
        size_t left = bytes.len - at;
        struct slice chunk = {bytes.data + at, left < LONG_CHUNK_BYTES ? left : LONG_CHUNK_BYTES};

        sum += long_chunk_term(chunk, (offset + at) / LONG_CHUNK_BYTES);
    }
    return sum;
}

uint64_t scrub_origin_digest(const struct store_origin *o)
{
    uint64_t content =
        o->big->is_table ? item_fields_digest(o->sum, o->count) : item_bytes_digest(o->sum, o->len);

    return item_digest_as(buf_slice(&o->key), o->expire_ms, content);
}

bool scrub_item_placed(const struct store *s, const struct store_item *it)
{
    struct slice key = item_key(it);
    const uint64_t *slot = table_find(&s->table, table_hash(&s->table, key), key);

    if (slot == NULL || slot_item(*slot) != it) {
        return false;
    }
    return !item_expires(it) || heap_has(&s->heap, it);
}

/* --- what faulty memory does --- */

static uint8_t *rot_pack(struct store_item *it, struct prng *rng, size_t *len)
{
    struct slice pack = item_value(it), field, value = {0};
    uint64_t skip = prng_below(rng, pack_count(pack));

    for (size_t pos = 0; pack_next(pack, &pos, &field, &value) && skip > 0; skip--) {
    }
    *len = value.len;
    return item_value_ptr(it) + (value.data - pack.data);
}

static uint8_t *rot_field(struct store_item *it, struct prng *rng, size_t *len)
{
    struct store_fields *f = item_pointer(it);
    struct store_item *field = table_random(&f->table, rng);

    *len = item_value_len(field);
    return item_value_ptr(field);
}

/* The bytes of a value, of which one may change without any length being wrong. */
static uint8_t *rot_bytes(struct store_item *it, struct prng *rng, size_t *len)
{
    switch (item_kind(it)) {
    case ITEM_INT:
    case ITEM_INLINE:
        *len = item_value_len(it);
        return item_value_ptr(it);
    case ITEM_LONG:
        *len = ((const struct store_long *)item_pointer(it))->len;
        return ((struct store_long *)item_pointer(it))->data;
    case ITEM_PACK:
        return rot_pack(it, rng, len);
    case ITEM_TABLE:
        return rot_field(it, rng, len);
    }
    UNREACHABLE("kind of item");
}

bool store_rot(struct store *s, struct prng *rng, struct buf *key)
{
    struct store_item *it = store_random(s, rng);
    size_t len = 0;
    uint8_t *bytes = it == NULL ? NULL : rot_bytes(it, rng, &len);

    if (len == 0) {
        return false;
    }
    bytes[prng_below(rng, len)] ^= (uint8_t)(1U << prng_below(rng, 8));
    buf_append_slice(key, item_key(it));
    return true;
}
