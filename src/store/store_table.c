#include "store/store_table.h"

#include "base/base_hash.h"
#include "base/base_mem.h"

static const uint64_t LINK_BIT = 1ULL << 63;
static const uint64_t ADDRESS_MASK = 0x0000ffffffffffffULL;

static uint64_t slot_tag(uint64_t hash)
{
    return (hash >> 49) << 48;
}

static uint64_t address_bits(const void *p)
{
    uint64_t bits = (uint64_t)(uintptr_t)p;

    CHECK((bits & ~ADDRESS_MASK) == 0);
    return bits;
}

static bool is_link(uint64_t slot)
{
    return (slot & LINK_BIT) != 0;
}

static struct store_bucket *link_target(uint64_t slot)
{
    union {
        uint64_t bits;
        struct store_bucket *bucket;
    } cast = {.bits = slot & ADDRESS_MASK};

    return cast.bucket;
}

/* The next bucket of the chain, or NULL. */
static struct store_bucket *next_of(const struct store_bucket *b)
{
    return is_link(b->slot[TABLE_SLOTS - 1]) ? link_target(b->slot[TABLE_SLOTS - 1]) : NULL;
}

/* Item slots in use of one bucket, which is filled from the front. */
static unsigned used_of(const struct store_bucket *b)
{
    unsigned used = 0;

    while (used < TABLE_SLOTS && b->slot[used] != 0 && !is_link(b->slot[used])) {
        used++;
    }
    return used;
}

static struct store_bucket *bucket_at(const struct store_table *t, size_t pos)
{
    return &t->segments[pos / TABLE_SEGMENT_BUCKETS][pos % TABLE_SEGMENT_BUCKETS];
}

static size_t floor_pow2(size_t n)
{
    return (size_t)1 << (63 - __builtin_clzll(n));
}

/* Buckets below count - 2^k have been split and look at one more bit of the hash. */
static size_t bucket_of(const struct store_table *t, uint64_t hash)
{
    size_t top = floor_pow2(t->bucket_count);
    size_t pos = (size_t)hash & (2 * top - 1);

    return pos < t->bucket_count ? pos : pos & (top - 1);
}

uint64_t table_hash(const struct store_table *t, struct slice key)
{
    return hash64_seeded(key.data, key.len, t->seed);
}

uint64_t *table_find(const struct store_table *t, uint64_t hash, struct slice key)
{
    const uint64_t tag = slot_tag(hash);
    struct store_bucket *b;

    if (t->count == 0) {
        return NULL;
    }
    for (b = bucket_at(t, bucket_of(t, hash)); b != NULL; b = next_of(b)) {
        for (unsigned i = 0; i < TABLE_SLOTS && b->slot[i] != 0; i++) {
            if ((b->slot[i] & ~ADDRESS_MASK) == tag) {
                if (slice_eq(item_key(slot_item(b->slot[i])), key)) {
                    return &b->slot[i];
                }
            }
        }
    }
    return NULL;
}

static struct store_bucket *overflow_make(struct store_table *t)
{
    t->bytes += sizeof(struct store_bucket);
    return mem_zalloc(sizeof(struct store_bucket));
}

static void overflow_free(struct store_table *t, struct store_bucket *b)
{
    t->bytes -= sizeof *b;
    mem_free(b);
}

static void chain_append(struct store_table *t, struct store_bucket *b, uint64_t word)
{
    struct store_bucket *next, *more;
    unsigned used;

    while ((next = next_of(b)) != NULL) {
        b = next;
    }
    used = used_of(b);
    if (used < TABLE_SLOTS) {
        b->slot[used] = word;
        return;
    }
    /* The last item makes room for the link and moves on with the new one. */
    more = overflow_make(t);
    more->slot[0] = b->slot[TABLE_SLOTS - 1];
    more->slot[1] = word;
    b->slot[TABLE_SLOTS - 1] = LINK_BIT | address_bits(more);
}

/* Fill the hole with the chain's last item; an overflow bucket of one item goes. */
static void chain_remove(struct store_table *t, struct store_bucket *b, uint64_t *hole)
{
    struct store_bucket *before = NULL, *next;
    unsigned last;

    while ((next = next_of(b)) != NULL) {
        before = b;
        b = next;
    }
    last = used_of(b) - 1;
    *hole = b->slot[last];
    b->slot[last] = 0;
    if (before != NULL && last == 1) {
        before->slot[TABLE_SLOTS - 1] = b->slot[0];
        overflow_free(t, b);
    }
}

static void resize_bytes(struct store_table *t, size_t from, size_t to)
{
    t->bytes -= from == 0 ? 0 : item_class(from);
    t->bytes += to == 0 ? 0 : item_class(to);
}

static void first_segment_resize(struct store_table *t, size_t cap)
{
    struct store_bucket *first = t->first_cap == 0 ? NULL : t->segments[0];

    resize_bytes(t, t->first_cap * sizeof *first, cap * sizeof *first);
    first = mem_realloc(first, cap * sizeof *first);
    t->segments[0] = first;
    t->first_cap = cap;
}

static void make_room(struct store_table *t, size_t pos)
{
    size_t segment = pos / TABLE_SEGMENT_BUCKETS;

    if (segment >= t->segments_cap) {
        size_t cap = t->segments_cap == 0 ? 1 : t->segments_cap * 2;

        resize_bytes(t, t->segments_cap * sizeof(void *), cap * sizeof(void *));
        t->segments = mem_realloc(t->segments, cap * sizeof t->segments[0]);
        t->segments_cap = cap;
    }
    if (segment == 0) {
        if (pos >= t->first_cap) {
            first_segment_resize(t, t->first_cap == 0 ? 1 : t->first_cap * 2);
        }
    } else if (pos % TABLE_SEGMENT_BUCKETS == 0) {
        resize_bytes(t, 0, TABLE_SEGMENT_BUCKETS * sizeof(struct store_bucket));
        t->segments[segment] = mem_alloc(TABLE_SEGMENT_BUCKETS * sizeof(struct store_bucket));
    }
    memset(bucket_at(t, pos), 0, sizeof(struct store_bucket));
}

/* Take a whole chain out, leaving its bucket empty. The links stay in `head`. */
static struct store_bucket chain_take(struct store_bucket *b)
{
    struct store_bucket head = *b;

    memset(b, 0, sizeof *b);
    return head;
}

static void prefetch_keys(const struct store_bucket *b)
{
    for (unsigned i = 0; i < TABLE_SLOTS && b->slot[i] != 0; i++) {
        __builtin_prefetch(slot_item(b->slot[i])); /* a link's target too */
    }
}

/* One bucket more: the chain of its twin is dealt out between the two. */
static void grow(struct store_table *t)
{
    size_t pos = t->bucket_count;
    size_t top = pos == 0 ? 0 : floor_pow2(pos);
    struct store_bucket head, *node = &head, *next;

    make_room(t, pos);
    t->bucket_count++;
    if (pos == 0) {
        return;
    }
    head = chain_take(bucket_at(t, pos - top));
    while (node != NULL) {
        prefetch_keys(node);
        next = next_of(node);
        for (unsigned i = 0, used = used_of(node); i < used; i++) {
            uint64_t hash = table_hash(t, item_key(slot_item(node->slot[i])));

            chain_append(t, bucket_at(t, bucket_of(t, hash)), node->slot[i]);
        }
        if (node != &head) {
            overflow_free(t, node);
        }
        node = next;
    }
}

/* The last bucket's chain joins its twin's. */
static void shrink(struct store_table *t)
{
    size_t pos = t->bucket_count - 1;
    struct store_bucket head = chain_take(bucket_at(t, pos)), *node = &head, *next;

    t->bucket_count--;
    while (node != NULL) {
        next = next_of(node);
        for (unsigned i = 0, used = used_of(node); i < used; i++) {
            chain_append(t, bucket_at(t, pos - floor_pow2(pos)), node->slot[i]);
        }
        if (node != &head) {
            overflow_free(t, node);
        }
        node = next;
    }
    if (pos >= TABLE_SEGMENT_BUCKETS) {
        if (pos % TABLE_SEGMENT_BUCKETS == 0) {
            resize_bytes(t, TABLE_SEGMENT_BUCKETS * sizeof(struct store_bucket), 0);
            mem_free(t->segments[pos / TABLE_SEGMENT_BUCKETS]);
        }
    } else if (pos * 4 <= t->first_cap) {
        first_segment_resize(t, t->first_cap / 2);
    }
}

void table_insert(struct store_table *t, uint64_t hash, struct store_item *it)
{
    if (t->count >= t->bucket_count * TABLE_LOAD_MAX) {
        grow(t);
    }
    chain_append(t, bucket_at(t, bucket_of(t, hash)), slot_tag(hash) | address_bits(it));
    t->count++;
}

void table_replace(uint64_t *slot, struct store_item *it)
{
    *slot = (*slot & ~ADDRESS_MASK) | address_bits(it);
}

void table_remove(struct store_table *t, uint64_t hash, uint64_t *slot)
{
    CHECK(t->count > 0);
    chain_remove(t, bucket_at(t, bucket_of(t, hash)), slot);
    t->count--;
    if (t->bucket_count > 1 && t->count < t->bucket_count * TABLE_LOAD_MIN) {
        shrink(t);
    }
}

/* Free memory of the last bucket, which is empty. */
static void drop_empty_bucket(struct store_table *t)
{
    if (t->bucket_count == 1) {
        table_free(t);
    } else {
        shrink(t);
    }
}

struct store_item *table_pop(struct store_table *t)
{
    while (t->bucket_count > 0) {
        struct store_bucket *b = bucket_at(t, t->bucket_count - 1);

        if (b->slot[0] != 0) {
            struct store_item *it = slot_item(b->slot[0]);

            chain_remove(t, b, &b->slot[0]);
            t->count--;
            return it;
        }
        drop_empty_bucket(t);
    }
    return NULL;
}

void table_free(struct store_table *t)
{
    for (size_t pos = 0; pos < t->bucket_count; pos++) {
        struct store_bucket *b = next_of(bucket_at(t, pos)), *next;

        for (; b != NULL; b = next) {
            next = next_of(b);
            overflow_free(t, b);
        }
    }
    for (size_t pos = 0; pos < t->bucket_count; pos += TABLE_SEGMENT_BUCKETS) {
        mem_free(t->segments[pos / TABLE_SEGMENT_BUCKETS]);
    }
    mem_free(t->segments);
    *t = (struct store_table){.seed = t->seed};
}

static uint64_t reverse_bits(uint64_t v)
{
    v = ((v >> 1) & 0x5555555555555555ULL) | ((v & 0x5555555555555555ULL) << 1);
    v = ((v >> 2) & 0x3333333333333333ULL) | ((v & 0x3333333333333333ULL) << 2);
    v = ((v >> 4) & 0x0f0f0f0f0f0f0f0fULL) | ((v & 0x0f0f0f0f0f0f0f0fULL) << 4);
    return __builtin_bswap64(v);
}

/* The cursor counts with its bits reversed, as in Redis's dictScan (Pieter Noordhuis):
 * a bucket that splits or merges stays behind or ahead of the cursor as a whole. */
uint64_t table_scan(const struct store_table *t, uint64_t cursor, table_visit *visit, void *arg)
{
    size_t top, pos, mask;

    if (t->bucket_count == 0) {
        return 0;
    }
    top = floor_pow2(t->bucket_count);
    pos = bucket_of(t, cursor);
    /* Bits of the hash that this bucket's items have in common. */
    mask = pos < top && pos >= t->bucket_count - top ? top - 1 : 2 * top - 1;
    for (struct store_bucket *b = bucket_at(t, pos); b != NULL; b = next_of(b)) {
        prefetch_keys(b);
        for (unsigned i = 0, used = used_of(b); i < used; i++) {
            visit(arg, slot_item(b->slot[i]));
        }
    }
    return reverse_bits(reverse_bits(cursor | ~(uint64_t)mask) + 1);
}

struct store_item *table_next(const struct store_table *t, struct table_pos *pos)
{
    while (pos->bucket < t->bucket_count) {
        if (pos->node == NULL) {
            pos->node = bucket_at(t, pos->bucket);
            pos->slot = 0;
        }
        if (pos->slot < TABLE_SLOTS && pos->node->slot[pos->slot] != 0 &&
            !is_link(pos->node->slot[pos->slot])) {
            return slot_item(pos->node->slot[pos->slot++]);
        }
        pos->node = next_of(pos->node);
        pos->slot = 0;
        pos->bucket += pos->node == NULL;
    }
    return NULL;
}

static struct store_item *chain_at(const struct store_bucket *b, size_t pos)
{
    for (; b != NULL; b = next_of(b)) {
        unsigned used = used_of(b);

        if (pos < used) {
            return slot_item(b->slot[pos]);
        }
        pos -= used;
    }
    return NULL;
}

/* A bucket and a place in it, again until there is an item: every item is as likely.
 * Chains longer than PLACES are beyond chance: the mean is at most 12. */
struct store_item *table_random(const struct store_table *t, struct prng *rng)
{
    enum { PLACES = 48, TRIES = 10000 };
    struct table_pos first = {0};

    CHECK(t->count > 0);
    for (unsigned i = 0; i < TRIES; i++) {
        size_t pos = (size_t)prng_below(rng, t->bucket_count);
        struct store_item *it = chain_at(bucket_at(t, pos), (size_t)prng_below(rng, PLACES));

        if (it != NULL) {
            return it;
        }
    }
    return table_next(t, &first);
}

void table_check(const struct store_table *t)
{
    size_t count = 0;
    size_t bytes = t->segments_cap == 0 ? 0 : item_class(t->segments_cap * sizeof(void *));

    CHECK_IF(t->bucket_count == 0, t->count == 0);
    CHECK_IF(t->bucket_count > 0 && t->bucket_count < TABLE_SEGMENT_BUCKETS,
             t->bucket_count <= t->first_cap);
    for (size_t pos = 0; pos < t->bucket_count; pos++) {
        const struct store_bucket *b = bucket_at(t, pos);

        if (pos % TABLE_SEGMENT_BUCKETS == 0) {
            bytes += item_class((pos == 0 ? t->first_cap : TABLE_SEGMENT_BUCKETS) * sizeof *b);
        }
        for (; b != NULL; b = next_of(b)) {
            unsigned used = used_of(b);

            for (unsigned i = 0; i < used; i++) {
                uint64_t hash = table_hash(t, item_key(slot_item(b->slot[i])));

                CHECK(bucket_of(t, hash) == pos);
                CHECK((b->slot[i] & ~ADDRESS_MASK) == slot_tag(hash));
            }
            for (unsigned i = used; i < TABLE_SLOTS; i++) {
                CHECK(b->slot[i] == 0 || (i == TABLE_SLOTS - 1 && is_link(b->slot[i])));
            }
            CHECK_IF(next_of(b) != NULL, used == TABLE_SLOTS - 1);
            CHECK_IF(b != bucket_at(t, pos), used >= 2);
            bytes += b != bucket_at(t, pos) ? sizeof *b : 0;
            count += used;
        }
    }
    CHECK(count == t->count);
    CHECK(bytes == t->bytes);
}
