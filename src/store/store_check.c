/* store_check.c - every invariant of the keyspace, and the digest from scratch. */
#include "store/store_internal.h"

/* From the bytes alone: the sums kept with values are part of what is checked. */
static uint64_t big_digest_slow(const struct store_item *it)
{
    const struct store_long *lg = item_pointer(it);
    struct store_hash_cursor c = {0};
    struct slice field, value;
    uint64_t sum = 0, content;
    size_t count = 0;

    if (item_kind(it) == ITEM_LONG) {
        content = item_bytes_digest(long_sum_slow(lg), lg->len);
    } else {
        while (store_hash_next(it, &c, &field, &value)) {
            sum += item_field_digest(field, value);
            count++;
        }
        content = item_fields_digest(sum, count);
    }
    return item_digest_as(item_key(it), item_expire_ms(it), content);
}

uint64_t store_digest_slow(const struct store *s)
{
    struct table_pos pos = {0};
    struct store_item *it;
    uint64_t digest = 0;

    while ((it = table_next(&s->table, &pos)) != NULL) {
        digest += item_is_big(it) ? big_digest_slow(it) : scrub_item_digest(it);
    }
    return digest;
}

static void check_pack(const struct store_item *it)
{
    struct slice pack = item_value(it), field, value;
    size_t pos = 0, count = 0;

    while (pack_next(pack, &pos, &field, &value)) {
        CHECK(pos <= pack.len);
        CHECK(field.len <= PACK_TEXT_BYTES_MAX);
        CHECK(value.len <= PACK_TEXT_BYTES_MAX);
        count++;
    }
    CHECK(count == pack_count(pack));
    CHECK(count > 0);
    CHECK(count <= PACK_ENTRIES_MAX);
}

static void check_fields(const struct store *s, const struct store_fields *f)
{
    struct table_pos pos = {0};
    struct store_item *it;
    size_t bytes = 0;

    CHECK(f->big.is_table);
    CHECK(f->table.count > 0);
    table_check(&f->table);
    while ((it = table_next(&f->table, &pos)) != NULL) {
        CHECK(item_kind(it) == ITEM_INLINE);
        CHECK(!item_expires(it));
        CHECK_IF(s->snap.active && f->big.epoch == s->epoch, it->epoch == s->epoch);
        bytes += item_class(item_bytes(it));
    }
    CHECK(bytes == f->bytes);
}

static void check_big(const struct store *s, const struct store_item *it)
{
    const struct store_big *big = item_pointer(it);

    CHECK(!big->orphan);
    CHECK_IF(big->origin != NULL, s->snap.active);
    CHECK_IF(big->origin != NULL, big->origin->big == big);
    CHECK_IF(big->origin != NULL, big->epoch != s->epoch);
    if (big->is_table) {
        check_fields(s, item_pointer(it));
    } else {
        const struct store_long *lg = item_pointer(it);

        CHECK(lg->len <= lg->cap);
        CHECK(lg->zero_end <= lg->cap);
        for (size_t i = lg->len; i < lg->zero_end; i++) {
            CHECK(lg->data[i] == 0);
        }
    }
}

static size_t item_all_bytes(const struct store_item *it)
{
    size_t bytes = item_class(item_bytes(it));

    if (item_kind(it) == ITEM_LONG) {
        bytes += long_bytes(item_pointer(it));
    } else if (item_kind(it) == ITEM_TABLE) {
        bytes += fields_bytes(item_pointer(it));
    }
    return bytes;
}

void store_check(const struct store *s)
{
    struct table_pos pos = {0};
    struct store_item *it;
    size_t expires = 0, bytes = 0;

    table_check(&s->table);
    heap_check(&s->heap);
    while ((it = table_next(&s->table, &pos)) != NULL) {
        int64_t number;

        expires += item_expires(it);
        bytes += item_all_bytes(it);
        CHECK_IF(item_kind(it) == ITEM_INLINE, item_value_len(it) <= ITEM_INLINE_MAX);
        CHECK_IF(item_kind(it) == ITEM_INLINE && item_parse_int(item_value(it), &number),
                 (it->kind & ITEM_RAW) != 0);
        CHECK_IF(item_is_big(it), item_value_len(it) == sizeof(void *));
        if (item_kind(it) == ITEM_PACK) {
            check_pack(it);
        } else if (item_is_big(it)) {
            check_big(s, it);
        }
    }
    CHECK(expires == s->heap.count);
    CHECK(bytes <= s->bytes);
    CHECK_IF(!s->snap.active && list_empty(&s->corpses), bytes == s->bytes);
    CHECK_IF(!s->snap.active, list_empty(&s->snap.origins));
    CHECK_IF(!s->snap.active, list_empty(&s->snap.pending));
    CHECK(store_digest_slow(s) == s->digest);
}
