/* store_table.h - a hash table of items that grows and shrinks one bucket at a time.
 *
 * Linear hashing [Litwin 1980; Larson 1988]: bucket n is split off bucket n - 2^k. There
 * is never a second table and never a long step; the load stays near its target at any
 * size. A bucket is one cache line of eight words: 15 bits of the hash and the item's
 * address. When it is full, its last word links to an overflow bucket of the same form.
 * Buckets lie in segments of 8 KiB, the first of which grows by doubling.
 */
#ifndef STORE_TABLE_H
#define STORE_TABLE_H
#include "store/store_item.h"

enum {
    TABLE_SLOTS = 8,
    TABLE_SEGMENT_BUCKETS = 128,
    TABLE_LOAD_MAX = 6, /* items per bucket beyond which one bucket is split */
    TABLE_LOAD_MIN = 2, /* and below which the last one is merged */
};
struct store_bucket {
    uint64_t slot[TABLE_SLOTS]; /* filled from the front; 0: free */
};
struct store_table {
    struct store_bucket **segments;
    size_t segments_cap;
    size_t first_cap; /* buckets that the first segment has room for */
    size_t bucket_count;
    size_t count; /* items */
    size_t bytes; /* of segments, overflow buckets and the directory, by class */
    uint64_t seed;
};

static inline struct store_item *slot_item(uint64_t slot)
{
    union {
        uint64_t bits;
        struct store_item *item;
    } cast = {.bits = slot & 0x0000ffffffffffffULL};

    return cast.item;
}
uint64_t table_hash(const struct store_table *t, struct slice key);
/* The slot of the item with this key, or NULL. Valid until the next insert or remove. */
uint64_t *table_find(const struct store_table *t, uint64_t hash, struct slice key);
/* The key must be absent. */
void table_insert(struct store_table *t, uint64_t hash, struct store_item *it);
/* Another address for the same key. */
void table_replace(uint64_t *slot, struct store_item *it);
/* The item stays the caller's. */
void table_remove(struct store_table *t, uint64_t hash, uint64_t *slot);
/* Take any item out, shrinking the table; NULL when empty. For taking down a table. */
struct store_item *table_pop(struct store_table *t);
/* Free the table's memory, not the items. */
void table_free(struct store_table *t);

/* Visit one bucket; returns the next cursor, 0 at the end. An item that is there from
 * first to last call is visited at least once, however the table grows or shrinks. */
typedef void table_visit(void *arg, struct store_item *it);
uint64_t table_scan(const struct store_table *t, uint64_t cursor, table_visit *visit, void *arg);

/* Walk all items; the table must not change meanwhile. Start zeroed. */
struct table_pos {
    size_t bucket, slot;
    const struct store_bucket *node;
};
struct store_item *table_next(const struct store_table *t, struct table_pos *pos);
struct store_item *table_random(const struct store_table *t, struct prng *rng); /* not empty */
void table_check(const struct store_table *t);
#endif
