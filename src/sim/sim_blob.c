#include "sim/sim_blob.h"

#include "base/base_hash.h"
#include "base/base_mem.h"

enum { CHUNK_BYTES = 64 << 10, TABLE_LEAST = 64 };

void sim_blobs_free(struct sim_blobs *b)
{
    for (uint32_t i = 0; i < b->chunk_count; i++) {
        mem_free(b->chunks[i]);
    }
    mem_free(b->chunks);
    mem_free(b->at);
    mem_free(b->table);
    *b = (struct sim_blobs){0};
}

static uint32_t slot_of(const struct sim_blobs *b, struct slice text)
{
    uint32_t slot = (uint32_t)hash64(text.data, text.len) & (b->table_cap - 1);

    while (b->table[slot] != 0 && !slice_eq(b->at[b->table[slot] - 1], text)) {
        slot = (slot + 1) & (b->table_cap - 1);
    }
    return slot;
}

static void grow_table(struct sim_blobs *b)
{
    mem_free(b->table);
    b->table_cap = b->table_cap == 0 ? (uint32_t)TABLE_LEAST : b->table_cap * 2;
    b->table = mem_zalloc(b->table_cap * sizeof b->table[0]);
    for (uint32_t i = 0; i < b->count; i++) {
        b->table[slot_of(b, b->at[i])] = i + 1;
    }
}

static struct slice copy_of(struct sim_blobs *b, struct slice text)
{
    uint8_t *to;

    if (b->chunk_count == 0 || b->chunk_used + text.len > CHUNK_BYTES) {
        size_t bytes = text.len > CHUNK_BYTES ? text.len : CHUNK_BYTES;

        MEM_GROW(b->chunks, b->chunk_count, b->chunk_cap);
        b->chunks[b->chunk_count++] = mem_alloc(bytes);
        b->chunk_used = 0;
    }
    to = b->chunks[b->chunk_count - 1] + b->chunk_used;
    if (text.len > 0) {
        memcpy(to, text.data, text.len);
    }
    b->chunk_used += text.len;
    b->bytes += text.len;
    return (struct slice){to, text.len};
}

static uint32_t put(struct sim_blobs *b, struct slice text, bool copy)
{
    uint32_t slot;

    if (2 * (b->count + 1) > b->table_cap) {
        grow_table(b);
    }
    slot = slot_of(b, text);
    if (b->table[slot] == 0) {
        MEM_GROW(b->at, b->count, b->cap);
        b->at[b->count++] = copy ? copy_of(b, text) : text;
        b->table[slot] = b->count;
    }
    return b->table[slot];
}

uint32_t sim_blob_put(struct sim_blobs *b, struct slice text)
{
    return put(b, text, true);
}

uint32_t sim_blob_borrow(struct sim_blobs *b, struct slice text)
{
    return put(b, text, false);
}

uint32_t sim_blob_find(const struct sim_blobs *b, struct slice text)
{
    return b->table_cap == 0 ? 0 : b->table[slot_of(b, text)];
}
