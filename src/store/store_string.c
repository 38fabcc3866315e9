/* store_string.c - values of type string: a number, inline bytes, or bytes apart. */
#include "base/base_hash.h"
#include "base/base_mem.h"
#include "store/store_internal.h"

static const uint8_t zeros[LONG_CHUNK_BYTES];
static uint64_t zero_chunk_hash;

__attribute__((constructor)) static void store_zero_chunk_hash_fill(void)
{
    zero_chunk_hash = hash64(zeros, sizeof zeros);
}

uint64_t long_chunk_term(struct slice chunk, size_t number)
{
    return hash64_mix(hash64(chunk.data, chunk.len), number);
}

static struct slice chunk_of(const struct store_long *lg, size_t number)
{
    size_t from = number * LONG_CHUNK_BYTES, left = lg->len - from;

    return (struct slice){lg->data + from, left < LONG_CHUNK_BYTES ? left : LONG_CHUNK_BYTES};
}

/* Terms of the chunks that hold bytes from..to (to excluded), as long as lg->len is. */
static uint64_t sum_of(const struct store_long *lg, size_t from, size_t to)
{
    uint64_t sum = 0;

    to = to < lg->len ? to : lg->len;
    for (size_t n = from / LONG_CHUNK_BYTES; n * LONG_CHUNK_BYTES < to; n++) {
        sum += long_chunk_term(chunk_of(lg, n), n);
    }
    return sum;
}

uint64_t long_sum_slow(const struct store_long *lg)
{
    return sum_of(lg, 0, lg->len);
}

size_t long_bytes(const struct store_long *lg)
{
    return item_class(sizeof *lg) + item_class(lg->cap);
}

/* The bytes up to len, and the sum, are the caller's to set. */
struct store_long *long_make(struct store *s, size_t len, size_t cap)
{
    struct store_long *lg = MEM_NEW(struct store_long);

    CHECK(len <= cap);
    lg->big.epoch = s->epoch;
    lg->len = len;
    lg->cap = cap;
    lg->zero_end = len == cap ? 0 : cap;
    lg->data = len == cap ? mem_alloc(cap) : mem_zalloc(cap);
    s->bytes += long_bytes(lg);
    return lg;
}

void long_free(struct store *s, struct store_long *lg)
{
    s->bytes -= long_bytes(lg);
    mem_free(lg->data);
    mem_free(lg);
}

/* --- reading --- */

struct slice store_string(const struct store_item *it, char scratch[STORE_INT_TEXT_MAX])
{
    const struct store_long *lg;

    CHECK(store_item_type(it) == STORE_STRING);
    if (item_kind(it) == ITEM_INT) {
        return item_print_int(item_int(it), scratch);
    }
    if (item_kind(it) == ITEM_INLINE) {
        return item_value(it);
    }
    lg = item_pointer(it);
    return (struct slice){lg->data, lg->len};
}

size_t store_string_len(const struct store_item *it)
{
    char scratch[STORE_INT_TEXT_MAX];

    return store_string(it, scratch).len;
}

bool store_string_int(const struct store_item *it, int64_t *value)
{
    CHECK(store_item_type(it) == STORE_STRING);
    if (item_kind(it) != ITEM_INT) {
        return false;
    }
    *value = item_int(it);
    return true;
}

/* --- setting --- */

/* Make the key's item one of kind INT, INLINE or LONG with these value bytes. */
static struct store_item *set_value(struct store *s, const struct item_shape *shape,
                                    const void *value)
{
    struct store_place at = place_find(s, shape->key);
    struct store_item *it = at.slot == NULL ? NULL : slot_item(*at.slot);

    if (it != NULL) {
        item_begin_change(s, it);
        if (!item_is_big(it) && item_fits(it, shape)) {
            bool moved = item_expire_ms(it) != shape->expire_ms;

            item_reshape(it, shape);
            memmove(item_value_ptr(it), value, shape->value_len);
            if (moved) {
                heap_update(&s->heap, item_heap_pos(it), it);
            }
            return item_end_change(s, it);
        }
    }
    it = item_make(shape);
    memcpy(item_value_ptr(it), value, shape->value_len);
    if (at.slot == NULL) {
        item_link(s, at.hash, it);
    } else {
        item_replace(s, at.slot, it);
    }
    return item_end_change(s, it);
}

struct store_item *store_set_int(struct store *s, struct slice key, int64_t value,
                                 uint64_t expire_ms)
{
    struct item_shape shape = {ITEM_INT, s->epoch, expire_ms, key, sizeof value};

    return set_value(s, &shape, &value);
}

struct store_item *store_set_string(struct store *s, struct slice key, struct slice value,
                                    uint64_t expire_ms)
{
    struct item_shape shape = {ITEM_INLINE, s->epoch, expire_ms, key, value.len};
    struct store_long *lg;
    int64_t number;

    CHECK(value.len <= STORE_STRING_BYTES_MAX);
    if (value.len <= INT_TEXT_BYTES_MAX && item_parse_int(value, &number)) {
        return store_set_int(s, key, number, expire_ms);
    }
    if (value.len <= ITEM_INLINE_MAX) {
        return set_value(s, &shape, value.len == 0 ? (const void *)"" : value.data);
    }
    lg = long_make(s, value.len, value.len);
    memcpy(lg->data, value.data, value.len);
    lg->sum = long_sum_slow(lg);
    shape.kind = ITEM_LONG;
    shape.value_len = sizeof lg;
    return set_value(s, &shape, &lg);
}

/* --- writing in place --- */

/* A quarter more than needed: appending costs few copies and little memory. */
static size_t cap_for(size_t len)
{
    return len + len / 4;
}

static void long_reserve(struct store *s, struct store_long *lg, size_t len)
{
    size_t cap = cap_for(len);

    if (len <= lg->cap) {
        return;
    }
    s->bytes -= long_bytes(lg);
    if (len / 2 > lg->len) {
        /* Mostly gap: fresh zero pages cost nothing until they are touched. */
        uint8_t *data = mem_zalloc(cap);

        memcpy(data, lg->data, lg->len);
        mem_free(lg->data);
        lg->data = data;
        lg->zero_end = cap;
    } else {
        lg->data = mem_realloc(lg->data, cap);
    }
    lg->cap = cap;
    s->bytes += long_bytes(lg);
}

/* Terms of chunks of zeros that begin in from..to; `from` and `to` are chunk borders. */
static uint64_t sum_of_zeros(size_t from, size_t to)
{
    uint64_t sum = 0;

    for (size_t n = from / LONG_CHUNK_BYTES; n < to / LONG_CHUNK_BYTES; n++) {
        sum += hash64_mix(zero_chunk_hash, n);
    }
    return sum;
}

/* Zeros between the old end and offset; what is known to be zero stays untouched. */
static void fill_gap(struct store_long *lg, size_t offset)
{
    size_t from = lg->len > lg->zero_end ? lg->len : lg->zero_end;

    if (from < offset) {
        memset(lg->data + from, 0, offset - from);
    }
}

static void long_write(struct store *s, struct store_long *lg, size_t offset, struct slice bytes)
{
    const size_t end = offset + bytes.len, was = lg->len;
    /* The old last chunk changes when the string grows, even where nothing is written. */
    const size_t tail = was - was % LONG_CHUNK_BYTES;
    const size_t start = offset - offset % LONG_CHUNK_BYTES;

    if (end <= was) {
        lg->sum -= sum_of(lg, offset, end);
        memcpy(lg->data + offset, bytes.data, bytes.len);
        lg->sum += sum_of(lg, offset, end);
        return;
    }
    long_reserve(s, lg, end);
    if (!PLANTED(DIGEST_LEFT_OUT)) {
        lg->sum -= sum_of(lg, offset < tail ? offset : tail, was);
    }
    fill_gap(lg, offset);
    lg->len = end;
    memcpy(lg->data + offset, bytes.data, bytes.len);
    if (start <= tail + LONG_CHUNK_BYTES) {
        lg->sum += sum_of(lg, offset < tail ? offset : tail, end);
        return;
    }
    lg->sum += sum_of(lg, tail, tail + LONG_CHUNK_BYTES);
    lg->sum += sum_of_zeros(tail + LONG_CHUNK_BYTES, start);
    lg->sum += sum_of(lg, start, end);
}

/* A small string grows beyond what is kept inline. */
static struct store_item *become_long(struct store *s, uint64_t *slot, size_t offset,
                                      struct slice bytes)
{
    struct store_item *it = slot_item(*slot);
    size_t need = offset + bytes.len;
    struct store_long *lg = long_make(s, 0, cap_for(need));
    char scratch[STORE_INT_TEXT_MAX];

    long_write(s, lg, 0, store_string(it, scratch));
    long_write(s, lg, offset, bytes);
    it = item_resize(s, slot, ITEM_LONG, sizeof lg);
    it->epoch = s->epoch;
    memcpy(item_value_ptr(it), &lg, sizeof lg);
    return it;
}

static struct store_item *write_inline(struct store *s, uint64_t *slot, size_t offset,
                                       struct slice bytes)
{
    struct store_item *it = slot_item(*slot);
    char scratch[STORE_INT_TEXT_MAX];
    struct slice text = store_string(it, scratch);
    bool was_int = item_kind(it) == ITEM_INT;
    size_t was = text.len, end = bytes.len == 0 ? 0 : offset + bytes.len;

    it = item_resize(s, slot, ITEM_INLINE, was > end ? was : end);
    it->kind |= ITEM_RAW;
    if (was_int) {
        memcpy(item_value_ptr(it), text.data, text.len);
    }
    if (end > was) {
        memset(item_value_ptr(it) + was, 0, end - was);
    }
    if (bytes.len > 0) {
        memcpy(item_value_ptr(it) + offset, bytes.data, bytes.len);
    }
    return it;
}

struct store_item *store_string_write(struct store *s, struct slice key, size_t offset,
                                      struct slice bytes)
{
    struct store_place at = place_find(s, key);
    struct store_item *it;

    CHECK(offset <= STORE_STRING_BYTES_MAX);
    CHECK(bytes.len <= STORE_STRING_BYTES_MAX - offset);
    if (at.slot == NULL) {
        it = store_set_string(s, key, offset == 0 ? bytes : (struct slice){0}, 0);
        if (offset == 0 || bytes.len == 0) {
            return it;
        }
        at = place_find(s, key);
    }
    it = slot_item(*at.slot);
    CHECK(store_item_type(it) == STORE_STRING);
    item_begin_change(s, it);
    if (item_kind(it) == ITEM_LONG) {
        if (bytes.len > 0) {
            struct store_long *lg = item_pointer(it);

            if (UNLIKELY(lg->big.origin != NULL)) {
                snap_touch_bytes_slow(s, lg, offset, bytes.len);
            }
            long_write(s, lg, offset, bytes);
        }
    } else if (bytes.len > 0 && offset + bytes.len > ITEM_INLINE_MAX) {
        it = become_long(s, at.slot, offset, bytes);
    } else {
        it = write_inline(s, at.slot, offset, bytes);
    }
    return item_end_change(s, it);
}
