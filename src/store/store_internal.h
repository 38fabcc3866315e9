/* store_internal.h - what the files of this room share; nobody else includes it. */
#ifndef STORE_INTERNAL_H
#define STORE_INTERNAL_H
#include "store/store_heap.h"
#include "store/store_item.h"
#include "store/store_table.h"

enum {
    PACK_HEAD_BYTES = 9, /* sum u64, count u8 */
    PACK_ENTRIES_MAX = 128,
    PACK_TEXT_BYTES_MAX = 64,
    LONG_CHUNK_BYTES = 1024,     /* a string's digest is a sum over these */
    SNAP_PIECE_BYTES = 16 << 10, /* a long string is saved and written in these */
};
static_assert((int)ITEM_INLINE_MAX <= (int)LONG_CHUNK_BYTES, "an inline string is one chunk");
static_assert(SNAP_PIECE_BYTES % LONG_CHUNK_BYTES == 0, "pieces are whole chunks");
static_assert(PACK_ENTRIES_MAX <= UINT8_MAX, "the count is a byte");

/* A value kept apart from its item; the head of store_long and store_fields. */
struct store_big {
    bool is_table;
    bool orphan;                 /* its item is gone; the running snapshot frees it once written */
    uint8_t epoch;               /* written by the snapshot of this epoch, or made since it began */
    struct store_origin *origin; /* while a snapshot is to write it; else NULL */
};
/* What a running snapshot must remember of a big value: what it was called. */
struct store_origin {
    struct list link;
    struct store_big *big;
    uint64_t expire_ms;
    uint64_t cursor;    /* table: of table_scan */
    size_t len, done;   /* string: as of begin; bytes written */
    uint64_t sum;       /* of the digests of what was written: chunks or fields */
    size_t count;       /* fields written */
    struct map64 saved; /* string: piece number + 1 -> old bytes, until written */
    struct buf key;
};
struct store_long {
    struct store_big big;
    uint64_t sum; /* of long_chunk_term over all chunks */
    size_t len, cap;
    size_t zero_end; /* bytes from len up to here are known to be zero */
    uint8_t *data;
};
struct store_fields {
    struct store_big big;
    uint64_t sum; /* of item_field_digest over all fields */
    size_t bytes; /* of the fields' items, by class */
    struct store_table table;
};

/* A table whose items are freed a few at a time. */
struct store_corpse {
    struct list link;
    struct store_table table;
};
/* Encoded items that snap_next has not handed out. */
struct snap_pending {
    struct list link;
    struct buf bytes;
};
struct store_snap {
    bool active, walk_over;
    bool detached;            /* store_clear has given the table to the snapshot */
    bool looks_only;          /* a scrub: nothing is written out */
    bool misplaced;           /* an item stands where nobody would find it */
    bool sound;               /* of the last one that was completed */
    uint64_t kept;            /* the store's digest as of begin, */
    uint64_t digest;          /* and that of the bytes met since */
    unsigned begun;           /* snapshots begun since one was completed */
    uint64_t cursor;          /* of table_scan */
    struct store_table table; /* when detached */
    struct list pending;      /* struct snap_pending */
    struct list origins;      /* struct store_origin: big values to be written */
};

struct store {
    struct store_table table;
    struct store_heap heap;
    uint64_t digest;
    size_t bytes; /* items, values and their tables; without table and heap above */
    bool saw_expired;
    uint32_t access_s; /* of items being written; 0: leave theirs */
    uint8_t epoch;     /* of the running or last snapshot */
    struct list corpses;
    struct store_snap snap;
};

/* store.c: one change of one item. Between begin and end the item is in no account. */
struct store_place {
    uint64_t hash;
    uint64_t *slot; /* NULL: absent */
};
struct store_place place_find(struct store *s, struct slice key);
void item_begin_change(struct store *s, struct store_item *it);
struct store_item *item_end_change(struct store *s, struct store_item *it);
/* A new item for a key that is absent: link it, then item_end_change. */
void item_link(struct store *s, uint64_t hash, struct store_item *it);
/* Put `now` in the place of `was`, which is freed without its value. Both are the same key. */
void item_swap(struct store *s, uint64_t *slot, struct store_item *now);
/* As item_swap, and the old value goes too. */
void item_replace(struct store *s, uint64_t *slot, struct store_item *now);
/* The item and its value go. */
void item_drop(struct store *s, struct store_place at);
/* Another value length, same key, expiry and access time; within begin and end. Kept bytes:
 * the first of the value, up to the shorter length. */
struct store_item *item_resize(struct store *s, uint64_t *slot, enum item_kind kind, size_t len);
struct item_shape item_shape_of(const struct store_item *it);

/* store_string.c */
uint64_t long_chunk_term(struct slice chunk, size_t number);
uint64_t long_sum_slow(const struct store_long *lg);
struct store_long *long_make(struct store *s, size_t len, size_t cap);
void long_free(struct store *s, struct store_long *lg);
size_t long_bytes(const struct store_long *lg);

/* store_hash.c */
static inline uint64_t pack_sum(struct slice pack)
{
    return load_u64le(pack.data);
}
static inline size_t pack_count(struct slice pack)
{
    return pack.data[8];
}
/* Start with *pos = 0; false at the end. */
bool pack_next(struct slice pack, size_t *pos, struct slice *field, struct slice *value);
struct store_fields *fields_make(struct store *s);
struct store_fields *fields_copy(struct store *s, const struct store_fields *from);
/* The table goes to the corpses when it is not small. */
void fields_free(struct store *s, struct store_fields *f);
/* The field must be absent. */
void fields_add(struct store *s, struct store_fields *f, struct slice field, struct slice value);
size_t fields_bytes(const struct store_fields *f);

/* store_free.c */
void big_release(struct store *s, struct store_big *big);
void corpse_add(struct store *s, struct store_table table);
/* Free up to `items` items of what was let go. */
void corpses_work(struct store *s, size_t items);

/* store_snap.c: before the first change. */
void snap_touch_slow(struct store *s, struct store_item *it);
void snap_touch_field_slow(struct store *s, struct store_fields *f, struct store_item *field);
void snap_touch_bytes_slow(struct store *s, struct store_long *lg, size_t offset, size_t len);
static inline void snap_touch(struct store *s, struct store_item *it)
{
    if (UNLIKELY(s->snap.active)) {
        snap_touch_slow(s, it);
    }
}
/* store_scrub.c: digests of the bytes as they are, not of the sums kept with them. */
uint64_t scrub_item_digest(const struct store_item *it); /* not of a big one */
uint64_t scrub_chunks_sum(struct slice bytes, size_t offset);
uint64_t scrub_origin_digest(const struct store_origin *o); /* all of it was written */
/* It is where a search looks for it, and the expiry heap agrees. */
bool scrub_item_placed(const struct store *s, const struct store_item *it);
/* Records of a snapshot, read back by store_load. [docs/format/snapshot.md] */
enum snap_record {
    SNAP_INT = 1,         /* i64 */
    SNAP_STRING = 2,      /* bytes */
    SNAP_STRING_PART = 3, /* varint offset, bytes: in order, the first at 0 */
    SNAP_HASH = 4,        /* u32 count, (field, value)*: the whole */
    SNAP_HASH_PART = 5,   /* the same, some of them */
};
void snap_init(struct store *s);
/* store_clear is about to empty the table: true when the snapshot has taken it over. */
bool snap_take_table(struct store *s);
#endif
