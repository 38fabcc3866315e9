/* store_hash.c - values of type hash: one packed run of pairs while small, then a table. */
#include "base/base_mem.h"
#include "store/store_internal.h"

/* --- the packed form: PACK_HEAD_BYTES, then (u8 length, u8 length, field, value)* --- */

bool pack_next(struct slice pack, size_t *pos, struct slice *field, struct slice *value)
{
    size_t at = *pos == 0 ? PACK_HEAD_BYTES : *pos;

    if (at >= pack.len) {
        return false;
    }
    *field = (struct slice){pack.data + at + 2, pack.data[at]};
    *value = (struct slice){field->data + field->len, pack.data[at + 1]};
    *pos = at + 2 + field->len + value->len;
    return true;
}

/* Offset of the pair within the pack, or 0. */
static size_t pack_find(struct slice pack, struct slice field)
{
    size_t at = PACK_HEAD_BYTES;

    while (at < pack.len) {
        const uint8_t *pair = pack.data + at;

        if (pair[0] == field.len &&
            (field.len == 0 || memcmp(pair + 2, field.data, field.len) == 0)) {
            return at;
        }
        at += 2U + pair[0] + pair[1];
    }
    return 0;
}

static struct slice pack_value_at(struct slice pack, size_t at)
{
    return (struct slice){pack.data + at + 2 + pack.data[at], pack.data[at + 1]};
}

static void pack_set_head(struct store_item *it, uint64_t sum, size_t count)
{
    store_u64le(item_value_ptr(it), sum);
    item_value_ptr(it)[8] = (uint8_t)count;
}

static void pair_write(uint8_t *at, struct slice field, struct slice value)
{
    at[0] = (uint8_t)field.len;
    at[1] = (uint8_t)value.len;
    if (field.len > 0) {
        memcpy(at + 2, field.data, field.len);
    }
    if (value.len > 0) {
        memcpy(at + 2 + field.len, value.data, value.len);
    }
}

static struct store_item *pack_append(struct store *s, uint64_t *slot, struct slice field,
                                      struct slice value)
{
    struct slice pack = item_value(slot_item(*slot));
    uint64_t sum = pack_sum(pack) + item_field_digest(field, value);
    size_t count = pack_count(pack) + 1, end = pack.len;
    struct store_item *it = item_resize(s, slot, ITEM_PACK, end + 2 + field.len + value.len);

    pair_write(item_value_ptr(it) + end, field, value);
    pack_set_head(it, sum, count);
    return it;
}

/* Another value in the pair at offset `at`. */
static struct store_item *pack_replace(struct store *s, uint64_t *slot, size_t at,
                                       struct slice value)
{
    struct slice pack = item_value(slot_item(*slot));
    struct slice field = {pack.data + at + 2, pack.data[at]};
    struct slice old = pack_value_at(pack, at);
    uint64_t sum = pack_sum(pack) - item_field_digest(field, old) + item_field_digest(field, value);
    size_t count = pack_count(pack), from = at + 2 + field.len, len = pack.len;
    size_t old_len = old.len, rest = len - from - old_len;
    struct store_item *it = slot_item(*slot);

    if (value.len > old_len) {
        it = item_resize(s, slot, ITEM_PACK, len + value.len - old_len);
    }
    memmove(item_value_ptr(it) + from + value.len, item_value_ptr(it) + from + old_len, rest);
    if (value.len < old_len) {
        it = item_resize(s, slot, ITEM_PACK, len + value.len - old_len);
    }
    item_value_ptr(it)[at + 1] = (uint8_t)value.len;
    if (value.len > 0) {
        memcpy(item_value_ptr(it) + from, value.data, value.len);
    }
    pack_set_head(it, sum, count);
    return it;
}

static struct store_item *pack_remove(struct store *s, uint64_t *slot, size_t at)
{
    struct store_item *it = slot_item(*slot);
    struct slice pack = item_value(it);
    struct slice field = {pack.data + at + 2, pack.data[at]};
    struct slice value = pack_value_at(pack, at);
    uint64_t sum = pack_sum(pack) - item_field_digest(field, value);
    size_t count = pack_count(pack) - 1, gone = 2 + field.len + value.len;

    memmove(item_value_ptr(it) + at, item_value_ptr(it) + at + gone, pack.len - at - gone);
    it = item_resize(s, slot, ITEM_PACK, pack.len - gone);
    pack_set_head(it, sum, count);
    return it;
}

/* --- the table form --- */

struct store_fields *fields_make(struct store *s)
{
    struct store_fields *f = MEM_NEW(struct store_fields);

    f->big.is_table = true;
    f->big.epoch = s->epoch;
    f->table.seed = s->table.seed;
    s->bytes += item_class(sizeof *f);
    return f;
}

size_t fields_bytes(const struct store_fields *f)
{
    return item_class(sizeof *f) + f->table.bytes + f->bytes;
}

void fields_free(struct store *s, struct store_fields *f)
{
    s->bytes -= f->table.bytes; /* corpse_add takes them over */
    corpse_add(s, f->table);
    s->bytes -= item_class(sizeof *f);
    mem_free(f);
}

static struct store_item *field_make(struct store *s, struct store_fields *f, struct slice field,
                                     struct slice value)
{
    struct item_shape shape = {ITEM_INLINE, s->epoch, 0, field, value.len};
    struct store_item *it = item_make(&shape);

    if (value.len > 0) {
        memcpy(item_value_ptr(it), value.data, value.len);
    }
    f->sum += item_field_digest(field, value);
    f->bytes += item_class(item_bytes(it));
    s->bytes += item_class(item_bytes(it));
    return it;
}

static void field_unmake(struct store *s, struct store_fields *f, struct store_item *it)
{
    f->sum -= item_field_digest(item_key(it), item_value(it));
    f->bytes -= item_class(item_bytes(it));
    s->bytes -= item_class(item_bytes(it));
    mem_free(it);
}

void fields_add(struct store *s, struct store_fields *f, struct slice field, struct slice value)
{
    struct store_item *it = field_make(s, f, field, value);
    size_t before = f->table.bytes;

    table_insert(&f->table, table_hash(&f->table, field), it);
    s->bytes += f->table.bytes - before;
}

struct store_fields *fields_copy(struct store *s, const struct store_fields *from)
{
    struct store_fields *f = fields_make(s);
    struct table_pos pos = {0};
    struct store_item *it;

    while ((it = table_next(&from->table, &pos)) != NULL) {
        fields_add(s, f, item_key(it), item_value(it));
    }
    f->sum = from->sum; /* what the writes made of it; if these bytes differ, a scrub finds it */
    return f;
}

/* True: the field is new. */
static bool fields_set(struct store *s, struct store_fields *f, struct slice field,
                       struct slice value)
{
    uint64_t hash = table_hash(&f->table, field);
    uint64_t *slot = table_find(&f->table, hash, field);
    struct store_item *was, *now;

    if (slot == NULL) {
        fields_add(s, f, field, value);
        return true;
    }
    was = slot_item(*slot);
    if (UNLIKELY(f->big.origin != NULL)) {
        snap_touch_field_slow(s, f, was);
    }
    now = field_make(s, f, field, value);
    table_replace(slot, now);
    field_unmake(s, f, was);
    return false;
}

static bool fields_del(struct store *s, struct store_fields *f, struct slice field)
{
    uint64_t hash = table_hash(&f->table, field);
    uint64_t *slot = table_find(&f->table, hash, field);
    struct store_item *it;
    size_t before = f->table.bytes;

    if (slot == NULL) {
        return false;
    }
    it = slot_item(*slot);
    if (UNLIKELY(f->big.origin != NULL)) {
        snap_touch_field_slow(s, f, it);
    }
    table_remove(&f->table, hash, slot);
    s->bytes -= before - f->table.bytes;
    field_unmake(s, f, it);
    return true;
}

/* The pack's pairs move to a table; the item then holds its address. */
static struct store_item *become_table(struct store *s, uint64_t *slot)
{
    struct store_fields *f = fields_make(s);
    struct slice pack = item_value(slot_item(*slot)), field, value;
    struct store_item *it;

    for (size_t pos = 0; pack_next(pack, &pos, &field, &value);) {
        fields_add(s, f, field, value);
    }
    /* What the writes made of it, not what is there: if the bytes differ, a scrub finds it. */
    f->sum = pack_sum(pack);
    it = item_resize(s, slot, ITEM_TABLE, sizeof f);
    memcpy(item_value_ptr(it), &f, sizeof f);
    return it;
}

/* --- reading --- */

size_t store_hash_len(const struct store_item *it)
{
    CHECK(store_item_type(it) == STORE_HASH);
    if (item_kind(it) == ITEM_PACK) {
        return pack_count(item_value(it));
    }
    return ((const struct store_fields *)item_pointer(it))->table.count;
}

static bool fits_pack(struct slice field, struct slice value)
{
    return field.len <= PACK_TEXT_BYTES_MAX && value.len <= PACK_TEXT_BYTES_MAX;
}

bool store_hash_get(const struct store_item *it, struct slice field, struct slice *value)
{
    CHECK(store_item_type(it) == STORE_HASH);
    if (item_kind(it) == ITEM_PACK) {
        struct slice pack = item_value(it);
        size_t at = field.len <= PACK_TEXT_BYTES_MAX ? pack_find(pack, field) : 0;

        if (at == 0) {
            return false;
        }
        *value = pack_value_at(pack, at);
        return true;
    }
    struct store_fields *f = item_pointer(it);
    uint64_t *slot = table_find(&f->table, table_hash(&f->table, field), field);

    if (slot == NULL) {
        return false;
    }
    *value = item_value(slot_item(*slot));
    return true;
}

bool store_hash_next(const struct store_item *it, struct store_hash_cursor *c, struct slice *field,
                     struct slice *value)
{
    struct table_pos pos = {c->a, c->b, c->node};
    struct store_fields *f;
    struct store_item *found;

    CHECK(store_item_type(it) == STORE_HASH);
    if (item_kind(it) == ITEM_PACK) {
        return pack_next(item_value(it), &c->a, field, value);
    }
    f = item_pointer(it);
    found = table_next(&f->table, &pos);
    *c = (struct store_hash_cursor){pos.bucket, pos.slot, pos.node};
    if (found == NULL) {
        return false;
    }
    *field = item_key(found);
    *value = item_value(found);
    return true;
}

struct field_visit {
    void (*visit)(void *arg, struct slice field, struct slice value);
    void *arg;
    size_t seen;
};

static void visit_field(void *arg, struct store_item *it)
{
    struct field_visit *v = arg;

    v->seen++;
    v->visit(v->arg, item_key(it), item_value(it));
}

uint64_t store_hash_scan(const struct store_item *it, uint64_t cursor, size_t count,
                         void (*visit)(void *arg, struct slice field, struct slice value),
                         void *arg)
{
    struct field_visit v = {visit, arg, 0};
    size_t buckets = count < SIZE_MAX / 10 ? count * 10 : SIZE_MAX;
    struct store_fields *f;

    CHECK(store_item_type(it) == STORE_HASH);
    if (item_kind(it) == ITEM_PACK) {
        struct slice field, value;

        for (size_t pos = 0; pack_next(item_value(it), &pos, &field, &value);) {
            visit(arg, field, value);
        }
        return 0;
    }
    f = item_pointer(it);
    do {
        cursor = table_scan(&f->table, cursor, visit_field, &v);
    } while (cursor != 0 && v.seen < count && --buckets > 0);
    return cursor;
}

void store_hash_random(const struct store_item *it, struct prng *rng, struct slice *field,
                       struct slice *value)
{
    if (item_kind(it) == ITEM_PACK) {
        struct slice pack = item_value(it);
        size_t skip = (size_t)prng_below(rng, pack_count(pack)), pos = 0;

        do {
            CHECK(pack_next(pack, &pos, field, value));
        } while (skip-- > 0);
        return;
    }
    CHECK(item_kind(it) == ITEM_TABLE);
    struct store_fields *f = item_pointer(it);
    struct store_item *found = table_random(&f->table, rng);

    *field = item_key(found);
    *value = item_value(found);
}

/* --- writing --- */

static void hash_create(struct store *s, uint64_t hash, struct slice key)
{
    struct item_shape shape = {ITEM_PACK, s->epoch, 0, key, PACK_HEAD_BYTES};
    struct store_item *it = item_make(&shape);

    pack_set_head(it, 0, 0);
    item_link(s, hash, it);
    (void)item_end_change(s, it);
}

/* The item is in no account now; it is PACK before, PACK or TABLE after. */
static struct store_item *pack_set(struct store *s, uint64_t *slot, struct slice field,
                                   struct slice value, bool *added)
{
    struct slice pack = item_value(slot_item(*slot));
    size_t at = field.len <= PACK_TEXT_BYTES_MAX ? pack_find(pack, field) : 0;
    struct store_item *it;

    *added = at == 0;
    if (fits_pack(field, value) && (at != 0 || pack_count(pack) < PACK_ENTRIES_MAX)) {
        return at != 0 ? pack_replace(s, slot, at, value) : pack_append(s, slot, field, value);
    }
    it = become_table(s, slot);
    (void)fields_set(s, item_pointer(it), field, value);
    return it;
}

bool store_hash_set(struct store *s, struct slice key, struct slice field, struct slice value)
{
    struct store_place at = place_find(s, key);
    struct store_item *it;
    bool added;

    CHECK(field.len <= STORE_KEY_BYTES_MAX);
    CHECK(value.len <= STORE_STRING_BYTES_MAX);
    if (at.slot == NULL) {
        hash_create(s, at.hash, key);
        at = place_find(s, key);
    }
    it = slot_item(*at.slot);
    CHECK(store_item_type(it) == STORE_HASH);
    item_begin_change(s, it);
    if (item_kind(it) == ITEM_PACK) {
        it = pack_set(s, at.slot, field, value, &added);
    } else {
        added = fields_set(s, item_pointer(it), field, value);
    }
    (void)item_end_change(s, it);
    return added;
}

bool store_hash_del(struct store *s, struct slice key, struct slice field)
{
    struct store_place at = place_find(s, key);
    struct store_item *it;
    struct slice value;

    if (at.slot == NULL) {
        return false;
    }
    it = slot_item(*at.slot);
    if (!store_hash_get(it, field, &value)) {
        return false;
    }
    if (store_hash_len(it) == 1 && item_kind(it) == ITEM_PACK) {
        item_drop(s, at);
        return true;
    }
    item_begin_change(s, it);
    if (item_kind(it) == ITEM_PACK) {
        it = pack_remove(s, at.slot, pack_find(item_value(it), field));
    } else {
        (void)fields_del(s, item_pointer(it), field);
    }
    (void)item_end_change(s, it);
    if (store_hash_len(it) == 0) {
        item_drop(s, at);
    }
    return true;
}
