/* Edges of the keyspace, by hand and by table. */
#include "base/base_hash.h"
#include "base/base_mem.h"
#include "store/store_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct slice number_key(uint64_t n, char text[32])
{
    int len = snprintf(text, 32, "key:%llu", (unsigned long long)n);

    return (struct slice){(const uint8_t *)text, (size_t)len};
}

/* The number in such a key. */
static uint64_t number_of(struct slice key)
{
    uint64_t n = 0;

    assert_true(key.len > 4);
    for (size_t i = 4; i < key.len; i++) {
        assert_in_range(key.data[i], '0', '9');
        n = n * 10 + (uint64_t)(key.data[i] - '0');
    }
    return n;
}

static void integers_are_canonical_or_text(void **state)
{
    static const struct {
        const char *name, *text;
        bool is_int;
        int64_t value;
    } rows[] = {
        {"zero", "0", true, 0},
        {"minus zero", "-0", false, 0},
        {"leading zero", "007", false, 0},
        {"plus", "+7", false, 0},
        {"minus alone", "-", false, 0},
        {"nothing", "", false, 0},
        {"a space before", " 1", false, 0},
        {"a letter", "1a", false, 0},
        {"one", "1", true, 1},
        {"minus one", "-1", true, -1},
        {"largest", "9223372036854775807", true, INT64_MAX},
        {"one too large", "9223372036854775808", false, 0},
        {"smallest", "-9223372036854775808", true, INT64_MIN},
        {"one too small", "-9223372036854775809", false, 0},
        {"twenty digits", "18446744073709551616", false, 0},
        {"twenty-one characters", "-10000000000000000000", false, 0},
    };
    struct store *s = store_create(1);

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct store_item *it = store_set_string(s, SLICE("k"), slice_str(rows[i].text), 0);
        char scratch[STORE_INT_TEXT_MAX];
        int64_t value = 0;

        if (store_string_int(it, &value) != rows[i].is_int || value != rows[i].value ||
            !slice_eq(store_string(it, scratch), slice_str(rows[i].text))) {
            fail_msg("%s", rows[i].name);
        }
        store_check(s);
    }
    store_destroy(s);
}

static void encodings_are_named_as_redis_does(void **state)
{
    struct store *s = store_create(1);
    struct slice k = SLICE("k");
    char text[2000];

    (void)state;
    memset(text, 'x', sizeof text);
    assert_string_equal(store_item_encoding(store_set_string(s, k, SLICE("12"), 0)), "int");
    assert_string_equal(store_item_encoding(store_set_string(s, k, SLICE("a"), 0)), "embstr");
    for (size_t len = 44; len <= 45; len++) {
        struct slice value = {(const uint8_t *)text, len};

        assert_string_equal(store_item_encoding(store_set_string(s, k, value, 0)),
                            len == 44 ? "embstr" : "raw");
    }
    (void)store_set_string(s, k, SLICE("1"), 0);
    assert_string_equal(store_item_encoding(store_string_write(s, k, 1, SLICE("2"))), "raw");
    (void)store_set_string(s, k, (struct slice){(const uint8_t *)text, sizeof text}, 0);
    assert_string_equal(store_item_encoding(store_find(s, k, 0, 0)), "raw");
    store_destroy(s);
}

static void hashes_convert_at_redis_thresholds(void **state)
{
    struct store *s = store_create(1);
    struct slice h = SLICE("h");
    char text[65], name[32];

    (void)state;
    memset(text, 'x', sizeof text);
    for (uint64_t i = 0; i < 128; i++) {
        assert_true(store_hash_set(s, h, number_key(i, name), SLICE("v")));
    }
    assert_string_equal(store_item_encoding(store_find(s, h, 0, 0)), "listpack");
    assert_false(store_hash_set(s, h, number_key(5, name), SLICE("w")));
    assert_string_equal(store_item_encoding(store_find(s, h, 0, 0)), "listpack");
    assert_true(store_hash_set(s, h, number_key(128, name), SLICE("v")));
    assert_string_equal(store_item_encoding(store_find(s, h, 0, 0)), "hashtable");
    store_check(s);
    (void)store_hash_set(s, SLICE("a"), SLICE("f"), (struct slice){(const uint8_t *)text, 64});
    assert_string_equal(store_item_encoding(store_find(s, SLICE("a"), 0, 0)), "listpack");
    (void)store_hash_set(s, SLICE("a"), SLICE("f"), (struct slice){(const uint8_t *)text, 65});
    assert_string_equal(store_item_encoding(store_find(s, SLICE("a"), 0, 0)), "hashtable");
    (void)store_hash_set(s, SLICE("b"), (struct slice){(const uint8_t *)text, 65}, SLICE("v"));
    assert_string_equal(store_item_encoding(store_find(s, SLICE("b"), 0, 0)), "hashtable");
    store_check(s);
    store_destroy(s);
}

static void a_hash_goes_with_its_last_field(void **state)
{
    struct store *s = store_create(1);
    char name[32];

    (void)state;
    for (unsigned fields = 1; fields < 300; fields += 140) {
        for (uint64_t i = 0; i < fields; i++) {
            (void)store_hash_set(s, SLICE("h"), number_key(i, name), SLICE(""));
        }
        assert_false(store_hash_del(s, SLICE("h"), SLICE("absent")));
        for (uint64_t i = 0; i < fields; i++) {
            assert_int_equal(store_count(s), 1);
            assert_true(store_hash_del(s, SLICE("h"), number_key(i, name)));
        }
        assert_int_equal(store_count(s), 0);
        assert_true(store_digest(s) == 0);
        assert_false(store_hash_del(s, SLICE("h"), SLICE("absent")));
        store_check(s);
    }
    store_destroy(s);
}

static void time_hides_and_writes_remove(void **state)
{
    struct store *s = store_create(1);
    struct slice k = SLICE("k");

    (void)state;
    (void)store_set_string(s, k, SLICE("v"), 100);
    assert_non_null(store_find(s, k, 99, 7));
    assert_int_equal(store_item_access_s(store_find(s, k, 99, 0)), 7);
    assert_false(store_take_saw_expired(s));
    assert_null(store_find(s, k, 100, 0));
    assert_true(store_take_saw_expired(s));
    assert_false(store_take_saw_expired(s));
    assert_int_equal(store_count(s), 1); /* a read changes nothing */
    assert_int_equal(store_next_expire_ms(s), 100);
    assert_non_null(store_find_write(s, k, 99));
    assert_null(store_find_write(s, k, 100));
    assert_int_equal(store_count(s), 0);
    assert_int_equal(store_next_expire_ms(s), 0);
    assert_false(store_take_saw_expired(s));
    store_destroy(s);
}

static void expiry_is_by_time_then_key(void **state)
{
    struct store *s = store_create(1);

    (void)state;
    (void)store_set_string(s, SLICE("c"), SLICE("v"), 10);
    (void)store_set_string(s, SLICE("b"), SLICE("v"), 20);
    (void)store_set_string(s, SLICE("a"), SLICE("v"), 20);
    (void)store_set_string(s, SLICE("d"), SLICE("v"), 0);
    store_set_expire(s, SLICE("d"), 15);
    assert_int_equal(store_expires_count(s), 4);
    assert_int_equal(store_expire_due(s, 9, 100), 0);
    assert_int_equal(store_expire_due(s, 20, 3), 3);
    assert_null(store_find(s, SLICE("a"), 0, 0));
    assert_non_null(store_find(s, SLICE("b"), 0, 0));
    store_set_expire(s, SLICE("b"), 0);
    assert_int_equal(store_expires_count(s), 0);
    assert_int_equal(store_expire_due(s, UINT64_MAX, 3), 0);
    store_check(s);
    store_destroy(s);
}

static void gaps_are_zeros_and_cost_little(void **state)
{
    enum { FAR = 300 << 20 };
    struct store *s = store_create(1), *other = store_create(2);
    struct slice k = SLICE("k");
    char scratch[STORE_INT_TEXT_MAX];
    struct slice text;

    (void)state;
    (void)store_string_write(s, k, 5, SLICE("x"));
    text = store_string(store_find(s, k, 0, 0), scratch);
    assert_int_equal(text.len, 6);
    assert_memory_equal(text.data, "\0\0\0\0\0x", 6);
    (void)store_string_write(s, k, FAR, SLICE("end"));
    assert_int_equal(store_string_len(store_find(s, k, 0, 0)), FAR + 3);
    (void)store_string_write(s, k, FAR + 1, SLICE("N"));
    /* The same content with the gap filled in another order. */
    (void)store_string_write(other, k, 2000, SLICE("\0\0\0"));
    (void)store_string_write(other, k, 2 << 20, SLICE("\0"));
    (void)store_string_write(other, k, FAR + 2, SLICE("d"));
    (void)store_string_write(other, k, FAR, SLICE("eN"));
    (void)store_string_write(other, k, 5, SLICE("x"));
    assert_true(store_digest(s) == store_digest(other));
    store_destroy(s);
    store_destroy(other);
}

static void appending_costs_what_is_appended(void **state)
{
    struct store *s = store_create(1);
    uint8_t piece[1000];
    char scratch[STORE_INT_TEXT_MAX];
    size_t len = 0;

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        memset(piece, (int)(i & 0xff), sizeof piece);
        (void)store_string_write(s, SLICE("k"), len, (struct slice){piece, 1 + i % 999});
        len += 1 + i % 999;
    }
    assert_int_equal(store_string_len(store_find(s, SLICE("k"), 0, 0)), len);
    store_check(s);
    /* And it equals the same bytes set at once. */
    struct slice whole = store_string(store_find(s, SLICE("k"), 0, 0), scratch);
    struct store *other = store_create(2);
    (void)store_set_string(other, SLICE("k"), whole, 0);
    assert_true(store_digest(s) == store_digest(other));
    assert_true(store_memory(s) < len + len / 3 + 10000);
    store_destroy(s);
    store_destroy(other);
}

struct seen {
    uint8_t times[20000];
};

static void mark(void *arg, struct store_item *it)
{
    uint64_t n = number_of(store_item_key(it));

    if (n < ARRAY_COUNT(((struct seen *)arg)->times)) {
        ((struct seen *)arg)->times[n] = 1;
    }
}

/* Keys 0..99 stay; the table grows and shrinks thirty-fold between any two calls. */
static void a_scan_misses_nothing_that_stays(void **state)
{
    struct prng rng = {5};
    char name[32];

    (void)state;
    for (unsigned round = 0; round < 60; round++) {
        struct store *s = store_create(round);
        struct seen seen = {{0}};
        uint64_t cursor = 0, others = round % 2 == 0 ? 0 : 3000, calls = 0;

        for (uint64_t i = 0; i < 100 + others; i++) {
            (void)store_set_string(s, number_key(i, name), SLICE("v"), 0);
        }
        do {
            cursor = store_scan(s, cursor, 10, mark, &seen);
            assert_true(cursor < 1ULL << 48);
            uint64_t want = prng_below(&rng, 4) == 0 ? prng_below(&rng, 3000) : others;
            for (; others < want; others++) {
                (void)store_set_string(s, number_key(100 + others, name), SLICE("v"), 0);
            }
            for (; others > want; others--) {
                assert_true(store_del(s, number_key(100 + others - 1, name)));
            }
            assert_true(++calls < 5000);
        } while (cursor != 0);
        for (unsigned i = 0; i < 100; i++) {
            assert_int_equal(seen.times[i], 1);
        }
        store_check(s);
        store_destroy(s);
    }
}

static void mark_field(void *arg, struct slice field, struct slice value)
{
    (void)value;
    ((struct seen *)arg)->times[number_of(field)] = 1;
}

static void a_hash_scan_misses_nothing_that_stays(void **state)
{
    struct store *s = store_create(3);
    struct seen seen = {{0}};
    uint64_t cursor = 0, more = 1000;
    char name[32];

    (void)state;
    for (uint64_t i = 0; i < 1000; i++) {
        (void)store_hash_set(s, SLICE("h"), number_key(i, name), SLICE("v"));
    }
    do {
        cursor = store_hash_scan(store_find(s, SLICE("h"), 0, 0), cursor, 10, mark_field, &seen);
        for (unsigned i = 0; i < 100; i++, more++) {
            (void)store_hash_set(s, SLICE("h"), number_key(more % 10000, name), SLICE("v"));
        }
    } while (cursor != 0);
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(seen.times[i], 1);
    }
    store_destroy(s);
}

static void chance_reaches_every_item_alike(void **state)
{
    enum { ITEMS = 200, DRAWS = 200000 };
    struct store *s = store_create(3);
    struct prng rng = {11};
    unsigned hits[ITEMS] = {0}, field_hits[ITEMS] = {0};
    struct slice field, value;
    char name[32];

    (void)state;
    assert_null(store_random(s, &rng));
    for (uint64_t i = 0; i < ITEMS; i++) {
        (void)store_hash_set(s, SLICE("key:0"), number_key(i, name), SLICE("v"));
        (void)store_set_string(s, number_key(i + 1, name), SLICE("v"), 0);
    }
    for (unsigned i = 0; i < DRAWS; i++) {
        hits[number_of(store_item_key(store_random(s, &rng))) % ITEMS]++;
        store_hash_random(store_find(s, SLICE("key:0"), 0, 0), &rng, &field, &value);
        field_hits[number_of(field)]++;
    }
    for (unsigned i = 1; i < ITEMS; i++) {
        assert_in_range(hits[i], DRAWS / ITEMS * 8 / 10, DRAWS / ITEMS * 12 / 10);
        assert_in_range(field_hits[i], DRAWS / ITEMS * 8 / 10, DRAWS / ITEMS * 12 / 10);
    }
    store_destroy(s);
}

/* Everything of a snapshot, `bytes` at a time, with the largest output of one call. */
static struct store *load_all(struct store *s, size_t bytes, size_t *largest)
{
    struct store *into = store_create(77);
    struct buf out = {0};
    struct diag why;
    bool more;

    *largest = 0;
    do {
        more = store_snap_next(s, bytes, &out);
        *largest = out.len > *largest ? out.len : *largest;
        assert_int_equal(store_load(into, buf_slice(&out), &why), ERR_OK);
        out.len = 0;
    } while (more);
    buf_free(&out);
    store_check(into);
    return into;
}

/* One big hash and one big string, treated in each of these ways after begin. */
enum treatment { UNTOUCHED, WRITTEN, DELETED, REPLACED, RENAMED, EXPIRING, CLEARED, WAYS };

static void treat(struct store *s, enum treatment way, struct slice key, bool hash)
{
    char name[32];

    switch (way) {
    case UNTOUCHED:
    case WAYS:
        return;
    case WRITTEN:
        for (uint64_t i = 0; i < 3000; i += 3) {
            if (hash) {
                (void)store_hash_set(s, key, number_key(i, name), SLICE("new"));
                (void)store_hash_del(s, key, number_key(i + 1, name));
                (void)store_hash_set(s, key, number_key(i + 5000, name), SLICE("more"));
            } else {
                (void)store_string_write(s, key, (size_t)i * 700, SLICE("overwritten"));
            }
        }
        return;
    case DELETED:
        assert_true(store_del(s, key));
        return;
    case REPLACED:
        (void)store_set_string(s, key, SLICE("small"), 5);
        return;
    case RENAMED:
        store_rename(s, key, SLICE("else"));
        return;
    case EXPIRING:
        store_set_expire(s, key, 12345);
        return;
    case CLEARED:
        store_clear(s);
        (void)store_set_string(s, key, SLICE("after"), 0);
        return;
    }
}

static struct store *big_values(struct slice key, bool hash)
{
    struct store *s = store_create(1);
    uint8_t *text = mem_alloc(1 << 20);
    char name[32];

    for (uint64_t i = 0; i < 1 << 20; i++) {
        text[i] = (uint8_t)hash64_mix(i, 1);
    }
    for (uint64_t i = 0; i < 3000; i++) {
        if (hash) {
            (void)store_hash_set(s, key, number_key(i, name), (struct slice){text + i, 100});
        }
        (void)store_set_string(s, number_key(i, name), SLICE("small"), i);
    }
    if (!hash) {
        (void)store_set_string(s, key, (struct slice){text, 1 << 20}, 999);
    }
    mem_free(text);
    return s;
}

static void big_values_are_written_in_parts(void **state)
{
    (void)state;
    for (unsigned mix = 0; mix < (unsigned)WAYS * 4; mix++) {
        bool hash = mix % 2 == 0, late = mix / 2 % 2 == 0;
        enum treatment way = (enum treatment)(mix / 4);
        struct slice key = SLICE("big");
        struct store *s = big_values(key, hash), *early = store_create(3), *rest;
        uint64_t digest = store_digest(s);
        struct buf out = {0};
        struct diag why;
        size_t largest;

        store_snap_begin(s);
        if (late) { /* the scan is on its way, perhaps within the big value */
            for (unsigned i = 0; i < 40; i++) {
                assert_true(store_snap_next(s, 2000, &out));
                assert_int_equal(store_load(early, buf_slice(&out), &why), ERR_OK);
                out.len = 0;
            }
        }
        treat(s, way, key, hash);
        store_check(s);
        while (store_snap_next(s, 2000, &out)) {
            assert_true(out.len < 60000);
            assert_int_equal(store_load(early, buf_slice(&out), &why), ERR_OK);
            out.len = 0;
        }
        assert_int_equal(store_load(early, buf_slice(&out), &why), ERR_OK);
        assert_true(store_digest(early) == digest);
        store_check(early);
        store_check(s);
        /* The next snapshot sees what is there now. */
        digest = store_digest(s);
        store_snap_begin(s);
        rest = load_all(s, 100000, &largest);
        assert_true(store_digest(rest) == digest);
        buf_free(&out);
        store_destroy(rest);
        store_destroy(early);
        store_destroy(s);
    }
}

static void snapshots_broken_off_leave_nothing_behind(void **state)
{
    struct store *s = store_create(1);
    struct buf out = {0};
    size_t largest;
    char name[32];

    (void)state;
    for (uint64_t i = 0; i < 500; i++) {
        (void)store_set_string(s, number_key(i, name), SLICE("small"), 0);
        (void)store_hash_set(s, SLICE("h"), number_key(i, name), SLICE("v"));
    }
    for (unsigned round = 0; round < 600; round++) { /* more than a byte of epochs */
        store_snap_begin(s);
        (void)store_snap_next(s, 500, &out);
        (void)store_hash_set(s, SLICE("h"), number_key(round % 500, name), SLICE("w"));
        (void)store_set_string(s, number_key(round % 500, name), SLICE("changed"), 0);
        store_snap_abort(s);
        assert_false(store_snap_active(s));
        out.len = 0;
        if (round % 300 == 299) { /* epochs start over meanwhile */
            store_snap_begin(s);
            struct store *copy = load_all(s, 100, &largest);
            assert_true(store_digest(copy) == store_digest(s));
            store_destroy(copy);
        }
    }
    store_check(s);
    store_snap_begin(s);
    struct store *copy = load_all(s, 1, &largest);
    assert_true(store_digest(copy) == store_digest(s));
    store_snap_abort(s); /* none runs: nothing happens */
    buf_free(&out);
    store_destroy(copy);
    store_destroy(s);
}

static void an_empty_store_is_small_and_answers(void **state)
{
    struct store *s = store_create(1);
    struct buf out = {0};

    (void)state;
    assert_true(store_memory(s) <= 512);
    assert_int_equal(store_scan(s, 12345, 10, mark, NULL), 0);
    assert_null(store_find(s, SLICE("k"), 0, 0));
    assert_false(store_del(s, SLICE("k")));
    store_work(s);
    store_snap_begin(s);
    while (store_snap_next(s, 100, &out)) {
    }
    assert_int_equal(out.len, 0);
    store_clear(s);
    store_check(s);
    store_destroy(s);
    store_destroy(NULL);
}

static void the_digest_sees_every_difference(void **state)
{
    struct store *s = store_create(1);
    struct slice k = SLICE("k");
    uint64_t seen[8];
    size_t count = 0;

    (void)state;
    seen[count++] = store_digest(s);
    (void)store_set_string(s, k, SLICE("v"), 0);
    seen[count++] = store_digest(s);
    store_set_expire(s, k, 1);
    seen[count++] = store_digest(s);
    (void)store_set_int(s, k, 7, 0);
    seen[count++] = store_digest(s);
    store_rename(s, k, SLICE("l"));
    seen[count++] = store_digest(s);
    store_clear(s);
    (void)store_hash_set(s, k, SLICE("a"), SLICE("b"));
    seen[count++] = store_digest(s);
    (void)store_hash_set(s, k, SLICE("a"), SLICE("c"));
    seen[count++] = store_digest(s);
    store_clear(s);
    (void)store_hash_set(s, k, SLICE("b"), SLICE("a"));
    seen[count++] = store_digest(s);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            assert_true(seen[i] != seen[j]);
        }
    }
    store_destroy(s);
}

static void a_large_hash_goes_a_little_at_a_time(void **state)
{
    struct store *s = store_create(1);
    size_t before, calls = 0;
    char name[32];

    (void)state;
    for (uint64_t i = 0; i < 20000; i++) {
        (void)store_hash_set(s, SLICE("h"), number_key(i, name), SLICE("v"));
    }
    before = store_memory(s);
    (void)store_del(s, SLICE("h"));
    assert_int_equal(store_count(s), 0);
    assert_true(store_memory(s) > before / 2);
    while (store_memory(s) > 1000) {
        store_work(s);
        calls++;
    }
    assert_in_range(calls, 20, 1000);
    store_check(s);
    store_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_canonical_or_text),
        cmocka_unit_test(encodings_are_named_as_redis_does),
        cmocka_unit_test(hashes_convert_at_redis_thresholds),
        cmocka_unit_test(a_hash_goes_with_its_last_field),
        cmocka_unit_test(time_hides_and_writes_remove),
        cmocka_unit_test(expiry_is_by_time_then_key),
        cmocka_unit_test(gaps_are_zeros_and_cost_little),
        cmocka_unit_test(appending_costs_what_is_appended),
        cmocka_unit_test(a_scan_misses_nothing_that_stays),
        cmocka_unit_test(a_hash_scan_misses_nothing_that_stays),
        cmocka_unit_test(chance_reaches_every_item_alike),
        cmocka_unit_test(big_values_are_written_in_parts),
        cmocka_unit_test(snapshots_broken_off_leave_nothing_behind),
        cmocka_unit_test(an_empty_store_is_small_and_answers),
        cmocka_unit_test(the_digest_sees_every_difference),
        cmocka_unit_test(a_large_hash_goes_a_little_at_a_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
