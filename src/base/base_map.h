/* base_map.h - a hash map from uint64_t to pointers; open addressing, power of two.
 *
 * Iteration order depends only on the keys and on the order of operations, never
 * on addresses, so that a simulated run repeats exactly.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H
#include "base/base.h"

struct map64 {
    struct map64_slot *slots;
    size_t count, cap;
};
struct map64_slot {
    uint64_t key;
    void *value; /* NULL: free */
};
void map64_free(struct map64 *m); /* the values stay the caller's */
/* NULL when absent. */
void *map64_get(const struct map64 *m, uint64_t key);
/* value must not be NULL; returns the value it replaced, or NULL. */
void *map64_put(struct map64 *m, uint64_t key, void *value);
void *map64_remove(struct map64 *m, uint64_t key); /* what was there, or NULL */
/* Start with *pos = 0; false at the end. The map must not change meanwhile. */
bool map64_each(const struct map64 *m, size_t *pos, uint64_t *key, void **value);
#endif
