/* store_heap.h - expiring items by (expiry time, key): a 4-ary heap in pieces of 8 KiB.
 *
 * An item knows its place, so that it can be taken out from the middle. Growth never
 * copies more than one piece.
 */
#ifndef STORE_HEAP_H
#define STORE_HEAP_H
#include "store/store_item.h"

struct heap_entry {
    uint64_t expire_ms;
    struct store_item *item;
};
enum { HEAP_PIECE = 512 };
struct store_heap {
    struct heap_entry **pieces;
    size_t pieces_cap, first_cap;
    size_t count;
    size_t bytes;
};
void heap_push(struct store_heap *h, struct store_item *it);
void heap_remove(struct store_heap *h, const struct store_item *it);
/* The item at this place was replaced by `it`, maybe with another time. */
void heap_update(struct store_heap *h, uint32_t pos, struct store_item *it);
struct store_item *heap_first(const struct store_heap *h); /* NULL when empty */
/* The item's entry stands where the item says, with its time. */
bool heap_has(const struct store_heap *h, const struct store_item *it);
void heap_free(struct store_heap *h);
void heap_check(const struct store_heap *h);
#endif
