/* sim_blob.h - byte strings with numbers: equal strings, equal numbers.
 *
 * A history and a model compare values all the time; so each is kept once, and its number
 * is compared. Numbers count from 1, in the order of first sight; 0 is never one.
 */
#ifndef SIM_BLOB_H
#define SIM_BLOB_H
#include "base/base_bytes.h"

struct sim_blobs {
    struct slice *at; /* by number - 1 */
    uint32_t count, cap;
    uint32_t *table; /* open addressing; a power of two */
    uint32_t table_cap;
    uint8_t **chunks;
    uint32_t chunk_count, chunk_cap;
    size_t chunk_used;
    uint64_t bytes; /* copied */
};
void sim_blobs_free(struct sim_blobs *b);
/* The number of text; a new one is copied. */
uint32_t sim_blob_put(struct sim_blobs *b, struct slice text);
/* As put, but a new text is borrowed: it must outlive b. */
uint32_t sim_blob_borrow(struct sim_blobs *b, struct slice text);
/* Its number, 0 when it was never put. */
uint32_t sim_blob_find(const struct sim_blobs *b, struct slice text);
static inline struct slice sim_blob_get(const struct sim_blobs *b, uint32_t blob)
{
    CHECK(blob > 0 && blob <= b->count);
    return b->at[blob - 1];
}
#endif
