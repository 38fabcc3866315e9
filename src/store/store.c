#include "store/store.h"

#include "base/base_hash.h"
#include "base/base_mem.h"
#include "store/store_internal.h"

enum { CORPSE_ITEMS_PER_WRITE = 4, CORPSE_ITEMS_PER_WORK = 256 };

const char *store_type_name(enum store_type type)
{
    switch (type) {
    case STORE_NONE:
        return "none";
    case STORE_STRING:
        return "string";
    case STORE_HASH:
        return "hash";
    }
    UNREACHABLE("type of item");
}

struct store *store_create(uint64_t seed)
{
    struct store *s = MEM_NEW(struct store);

    s->table.seed = seed;
    list_init(&s->corpses);
    snap_init(s);
    return s;
}

void store_destroy(struct store *s)
{
    if (s == NULL) {
        return;
    }
    store_snap_abort(s);
    store_clear(s);
    corpses_work(s, SIZE_MAX);
    CHECK(s->bytes == 0);
    mem_free(s);
}

void store_clear(struct store *s)
{
    if (!snap_take_table(s)) {
        corpse_add(s, s->table);
    }
    s->table = (struct store_table){.seed = s->table.seed};
    heap_free(&s->heap);
    s->digest = 0;
}

/* --- one change of one item --- */

struct store_place place_find(struct store *s, struct slice key)
{
    uint64_t hash = table_hash(&s->table, key);

    return (struct store_place){hash, table_find(&s->table, hash, key)};
}

void item_begin_change(struct store *s, struct store_item *it)
{
    snap_touch(s, it);
    s->digest -= item_digest(it);
    s->bytes -= item_class(item_bytes(it));
    if (UNLIKELY(!list_empty(&s->corpses))) {
        corpses_work(s, CORPSE_ITEMS_PER_WRITE);
    }
}

struct store_item *item_end_change(struct store *s, struct store_item *it)
{
    s->digest += item_digest(it);
    s->bytes += item_class(item_bytes(it));
    if (s->access_s != 0) {
        it->access_s = s->access_s;
    }
    return it;
}

void item_link(struct store *s, uint64_t hash, struct store_item *it)
{
    table_insert(&s->table, hash, it);
    if (item_expires(it)) {
        heap_push(&s->heap, it);
    }
}

void item_swap(struct store *s, uint64_t *slot, struct store_item *now)
{
    struct store_item *was = slot_item(*slot);

    now->access_s = was->access_s;
    if (item_expires(was) && item_expires(now)) {
        heap_update(&s->heap, item_heap_pos(was), now);
    } else if (item_expires(was)) {
        heap_remove(&s->heap, was);
    } else if (item_expires(now)) {
        heap_push(&s->heap, now);
    }
    table_replace(slot, now);
    mem_free(was);
}

void item_replace(struct store *s, uint64_t *slot, struct store_item *now)
{
    struct store_item *was = slot_item(*slot);
    struct store_big *big = item_is_big(was) ? item_pointer(was) : NULL;

    item_swap(s, slot, now);
    if (big != NULL) {
        big_release(s, big);
    }
}

void item_drop(struct store *s, struct store_place at)
{
    struct store_item *it = slot_item(*at.slot);
    struct store_big *big = item_is_big(it) ? item_pointer(it) : NULL;

    item_begin_change(s, it);
    if (item_expires(it)) {
        heap_remove(&s->heap, it);
    }
    table_remove(&s->table, at.hash, at.slot);
    mem_free(it);
    if (big != NULL) {
        big_release(s, big);
    }
}

struct item_shape item_shape_of(const struct store_item *it)
{
    return (struct item_shape){
        .kind = item_kind(it),
        .epoch = it->epoch,
        .expire_ms = item_expire_ms(it),
        .key = item_key(it),
        .value_len = item_value_len(it),
    };
}

struct store_item *item_resize(struct store *s, uint64_t *slot, enum item_kind kind, size_t len)
{
    struct store_item *it = slot_item(*slot), *now;
    struct item_shape shape = item_shape_of(it);
    size_t kept = shape.value_len < len ? shape.value_len : len;

    shape.kind = kind;
    shape.value_len = len;
    if (item_fits(it, &shape)) {
        item_reshape(it, &shape);
        return it;
    }
    now = item_make(&shape);
    memcpy(item_value_ptr(now), item_value_ptr(it), kept);
    item_swap(s, slot, now);
    return now;
}

/* --- finding --- */

static bool is_past(const struct store_item *it, uint64_t now_ms)
{
    return UNLIKELY(item_expires(it)) && item_expire_ms(it) <= now_ms;
}

struct store_item *store_find(struct store *s, struct slice key, uint64_t now_ms, uint32_t access_s)
{
    struct store_place at = place_find(s, key);
    struct store_item *it = at.slot == NULL ? NULL : slot_item(*at.slot);

    if (it == NULL) {
        return NULL;
    }
    if (is_past(it, now_ms)) {
        s->saw_expired = true;
        return NULL;
    }
    if (access_s != 0) {
        it->access_s = access_s;
    }
    return it;
}

struct store_item *store_find_write(struct store *s, struct slice key, uint64_t now_ms)
{
    struct store_place at = place_find(s, key);

    if (at.slot == NULL) {
        return NULL;
    }
    if (is_past(slot_item(*at.slot), now_ms)) {
        item_drop(s, at);
        return NULL;
    }
    return slot_item(*at.slot);
}

bool store_take_saw_expired(struct store *s)
{
    bool saw = s->saw_expired;

    s->saw_expired = false;
    return saw;
}

/* --- views of an item --- */

enum store_type store_item_type(const struct store_item *it)
{
    switch (item_kind(it)) {
    case ITEM_INT:
    case ITEM_INLINE:
    case ITEM_LONG:
        return STORE_STRING;
    case ITEM_PACK:
    case ITEM_TABLE:
        return STORE_HASH;
    }
    UNREACHABLE("kind of item");
}

struct slice store_item_key(const struct store_item *it)
{
    return item_key(it);
}

uint64_t store_item_expire_ms(const struct store_item *it)
{
    return item_expire_ms(it);
}

uint32_t store_item_access_s(const struct store_item *it)
{
    return it->access_s;
}

void store_item_set_access(struct store_item *it, uint32_t access_s)
{
    it->access_s = access_s;
}

void store_set_access(struct store *s, uint32_t access_s)
{
    s->access_s = access_s;
}

const char *store_item_encoding(const struct store_item *it)
{
    switch (item_kind(it)) {
    case ITEM_INT:
        return "int";
    case ITEM_INLINE:
        return item_value_len(it) <= EMBSTR_BYTES_MAX && (it->kind & ITEM_RAW) == 0 ? "embstr"
                                                                                    : "raw";
    case ITEM_LONG:
        return "raw";
    case ITEM_PACK:
        return "listpack";
    case ITEM_TABLE:
        return "hashtable";
    }
    UNREACHABLE("kind of item");
}

size_t store_item_memory(const struct store_item *it)
{
    /* The slot, and its share of a bucket that is on average three quarters full. */
    enum { SLOT_SHARE_BYTES = 11 };
    size_t bytes = item_class(item_bytes(it)) + SLOT_SHARE_BYTES;

    bytes += item_expires(it) ? sizeof(struct heap_entry) : 0;
    bytes += item_kind(it) == ITEM_LONG ? long_bytes(item_pointer(it)) : 0;
    bytes += item_kind(it) == ITEM_TABLE ? fields_bytes(item_pointer(it)) : 0;
    return bytes;
}

/* --- keys --- */

bool store_del(struct store *s, struct slice key)
{
    struct store_place at = place_find(s, key);

    if (at.slot == NULL) {
        return false;
    }
    item_drop(s, at);
    return true;
}

/* The same value under another name or with another time; the old item stays. */
static struct store_item *item_remake(struct store *s, const struct store_item *it,
                                      struct slice key, uint64_t expire_ms)
{
    struct item_shape shape = item_shape_of(it);
    struct slice value = item_value(it);
    struct store_item *now;

    shape.key = key;
    shape.expire_ms = expire_ms;
    shape.epoch = s->epoch;
    now = item_make(&shape);
    now->kind |= it->kind & ITEM_RAW;
    now->access_s = it->access_s;
    if (value.len > 0) {
        memcpy(item_value_ptr(now), value.data, value.len);
    }
    return now;
}

void store_set_expire(struct store *s, struct slice key, uint64_t expire_ms)
{
    struct store_place at = place_find(s, key);
    struct store_item *it;

    CHECK(at.slot != NULL);
    it = slot_item(*at.slot);
    if (item_expire_ms(it) == expire_ms) {
        return;
    }
    item_begin_change(s, it);
    if (item_expires(it) && expire_ms != 0) {
        store_u64le(it->rest, expire_ms);
        heap_update(&s->heap, item_heap_pos(it), it);
    } else {
        struct store_item *now = item_remake(s, it, item_key(it), expire_ms);

        item_swap(s, at.slot, now);
        it = now;
    }
    (void)item_end_change(s, it);
}

/* Replace or create the item of a key by `now`. */
static void put_item(struct store *s, struct store_item *now)
{
    struct store_place at = place_find(s, item_key(now));

    if (at.slot == NULL) {
        item_link(s, at.hash, now);
    } else {
        uint32_t access_s = now->access_s;

        item_begin_change(s, slot_item(*at.slot));
        item_replace(s, at.slot, now);
        now->access_s = access_s;
    }
    (void)item_end_change(s, now);
}

static void *long_copy(struct store *s, const struct store_long *from)
{
    struct store_long *lg = long_make(s, from->len, from->len);

    memcpy(lg->data, from->data, from->len);
    lg->sum = from->sum;
    return lg;
}

void store_copy(struct store *s, struct slice from, struct slice to)
{
    struct store_place at = place_find(s, from);
    struct store_item *it, *now;

    CHECK(at.slot != NULL);
    if (slice_eq(from, to)) {
        return;
    }
    it = slot_item(*at.slot);
    now = item_remake(s, it, to, item_expire_ms(it));
    if (item_is_big(it)) {
        void *value = item_kind(it) == ITEM_LONG ? long_copy(s, item_pointer(it))
                                                 : (void *)fields_copy(s, item_pointer(it));

        memcpy(item_value_ptr(now), &value, sizeof value);
    }
    put_item(s, now);
}

void store_rename(struct store *s, struct slice from, struct slice to)
{
    struct store_place at = place_find(s, from);
    struct store_item *it, *now;

    CHECK(at.slot != NULL);
    if (slice_eq(from, to)) {
        return;
    }
    it = slot_item(*at.slot);
    item_begin_change(s, it); /* a snapshot learns the old name of a big value here */
    now = item_remake(s, it, to, item_expire_ms(it));
    if (item_expires(it)) {
        heap_remove(&s->heap, it);
    }
    table_remove(&s->table, at.hash, at.slot);
    mem_free(it);
    put_item(s, now);
}

size_t store_expire_due(struct store *s, uint64_t now_ms, size_t max)
{
    size_t done = 0;

    for (; done < max; done++) {
        struct store_item *it = heap_first(&s->heap);

        if (it == NULL || !is_past(it, now_ms)) {
            break;
        }
        item_drop(s, place_find(s, item_key(it)));
    }
    return done;
}

uint64_t store_next_expire_ms(const struct store *s)
{
    const struct store_item *it = heap_first(&s->heap);

    return it == NULL ? 0 : item_expire_ms(it);
}

/* --- the whole --- */

size_t store_count(const struct store *s)
{
    return s->table.count;
}

size_t store_expires_count(const struct store *s)
{
    return s->heap.count;
}

size_t store_memory(const struct store *s)
{
    return sizeof *s + s->bytes + s->table.bytes + s->heap.bytes;
}

struct scan_count {
    table_visit *visit;
    void *arg;
    size_t seen;
};

static void scan_visit(void *arg, struct store_item *it)
{
    struct scan_count *c = arg;

    c->seen++;
    c->visit(c->arg, it);
}

uint64_t store_scan(struct store *s, uint64_t cursor, size_t count, table_visit *visit, void *arg)
{
    struct scan_count c = {visit, arg, 0};
    size_t buckets = count < SIZE_MAX / 10 ? count * 10 : SIZE_MAX; /* empty ones count too */

    do {
        cursor = table_scan(&s->table, cursor, scan_visit, &c);
    } while (cursor != 0 && c.seen < count && --buckets > 0);
    return cursor;
}

void store_each(struct store *s, table_visit *visit, void *arg)
{
    struct table_pos pos = {0};
    struct store_item *it;

    while ((it = table_next(&s->table, &pos)) != NULL) {
        visit(arg, it);
    }
}

struct store_item *store_random(struct store *s, struct prng *rng)
{
    return s->table.count == 0 ? NULL : table_random(&s->table, rng);
}

void store_work(struct store *s)
{
    corpses_work(s, CORPSE_ITEMS_PER_WORK);
}

uint64_t store_digest(const struct store *s)
{
    return s->digest;
}
