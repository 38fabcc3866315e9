/* The keyspace against a sorted array: random writes of every kind, with growth, scans,
 * expiry, and snapshots taken while it changes. */
#include "base/base_mem.h"
#include "store/store_internal.h"
#include "store_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { KEYS = 600, TEXT_MAX = 4000 };

struct world {
    struct prng rng;
    struct store *store;
    struct model model;
    uint64_t now_ms;
    uint64_t key_range;
    bool snapping, scrubbing;
    struct model as_of_begin;
    uint64_t digest_as_of_begin;
    struct store *loaded;
    uint8_t bytes[TEXT_MAX * 12];
    char name[2][64];
};

static struct slice random_key(struct world *w, unsigned which)
{
    /* Some keys are longer than a length byte says, one is empty. */
    uint64_t n = prng_below(&w->rng, w->key_range);
    int len = snprintf(w->name[which], sizeof w->name[which], "key:%llu", (unsigned long long)n);
    static char longer[2][700];

    if (n == 7) {
        return (struct slice){(const uint8_t *)"", 0};
    }
    if (n % 61 == 5) {
        memset(longer[which], 'k', sizeof longer[which]);
        memcpy(longer[which], w->name[which], (size_t)len);
        return (struct slice){(const uint8_t *)longer[which], 254 + n % 3 * 200};
    }
    return (struct slice){(const uint8_t *)w->name[which], (size_t)len};
}

static struct slice random_text(struct world *w)
{
    static const size_t edges[] = {0,   1,    2,    43,   44,   45,   100,  253,   254,  255,
                                   256, 1023, 1024, 1025, 2048, 2049, 3000, 17000, 40000};
    size_t len = prng_chance(&w->rng, 1, 2) ? prng_below(&w->rng, 130)
                                            : edges[prng_below(&w->rng, ARRAY_COUNT(edges))];

    if (prng_chance(&w->rng, 1, 4)) {
        int64_t number = (int64_t)prng_next(&w->rng) >> prng_below(&w->rng, 64);
        char digits[32];
        int n = snprintf(digits, sizeof digits, "%lld", (long long)number);

        memcpy(w->bytes, digits, (size_t)n);
        return (struct slice){w->bytes, (size_t)n};
    }
    if (len > 3000 && !prng_chance(&w->rng, 1, 4)) {
        len = 50;
    }
    for (size_t i = 0; i < len; i++) {
        w->bytes[i] = (uint8_t)prng_next(&w->rng);
    }
    return (struct slice){w->bytes, len};
}

static struct slice random_field(struct world *w, char name[32])
{
    int len = snprintf(name, 32, "f%llu", (unsigned long long)prng_below(&w->rng, 300));

    return (struct slice){(const uint8_t *)name, (size_t)len};
}

static void same_hash(const struct store_item *it, const struct model_item *want)
{
    struct store_hash_cursor c = {0};
    struct slice field, value;
    size_t seen = 0;

    assert_int_equal(store_hash_len(it), want->pair_count);
    for (size_t i = 0; i < want->pair_count; i++) {
        assert_true(store_hash_get(it, buf_slice(&want->pairs[i].field), &value));
        assert_true(slice_eq(value, buf_slice(&want->pairs[i].value)));
    }
    while (store_hash_next(it, &c, &field, &value)) {
        seen++;
    }
    assert_int_equal(seen, want->pair_count);
}

static void same_item(struct store *s, const struct model_item *want)
{
    struct store_item *it = store_find(s, buf_slice(&want->key), 0, 0);
    char scratch[STORE_INT_TEXT_MAX];

    assert_non_null(it);
    assert_true(slice_eq(store_item_key(it), buf_slice(&want->key)));
    assert_int_equal(store_item_expire_ms(it), want->expire_ms);
    assert_int_equal(store_item_type(it), want->is_hash ? STORE_HASH : STORE_STRING);
    if (want->is_hash) {
        same_hash(it, want);
    } else {
        assert_true(slice_eq(store_string(it, scratch), buf_slice(&want->text)));
        assert_int_equal(store_string_len(it), want->text.len);
    }
}

static void same_content(struct store *s, const struct model *m)
{
    store_check(s);
    assert_int_equal(store_count(s), m->count);
    for (size_t i = 0; i < m->count; i++) {
        same_item(s, &m->items[i]);
    }
}

/* Another store that got there by another way: reverse order, other seed. */
static void digest_follows_content(const struct world *w)
{
    struct store *s = store_create(99);
    const struct model *m = &w->model;

    for (size_t i = m->count; i-- > 0;) {
        const struct model_item *it = &m->items[i];
        struct slice key = buf_slice(&it->key);

        if (it->is_hash) {
            (void)store_hash_set(s, key, SLICE("gone"), SLICE("x"));
            for (size_t k = it->pair_count; k-- > 0;) {
                (void)store_hash_set(s, key, buf_slice(&it->pairs[k].field),
                                     buf_slice(&it->pairs[k].value));
            }
            (void)store_hash_del(s, key, SLICE("gone"));
        } else {
            struct slice text = it->text.len == 0 ? SLICE("") : buf_slice(&it->text);
            size_t half = text.len / 2;

            (void)store_string_write(s, key, 0, (struct slice){text.data, half});
            (void)store_string_write(s, key, half,
                                     (struct slice){text.data + half, text.len - half});
        }
        store_set_expire(s, key, it->expire_ms);
    }
    assert_true(store_digest(s) == store_digest(w->store));
    store_check(s);
    store_destroy(s);
}

static void snap_some(struct world *w, size_t bytes)
{
    struct buf chunk = {0};
    struct diag why;
    bool more = store_snap_next(w->store, bytes, &chunk);

    assert_int_equal(store_load(w->loaded, buf_slice(&chunk), &why), ERR_OK);
    buf_free(&chunk);
    if (!more) {
        assert_false(store_snap_active(w->store));
        assert_true(store_snap_sound(w->store));
        same_content(w->loaded, &w->as_of_begin);
        assert_true(store_digest(w->loaded) == w->digest_as_of_begin);
        store_destroy(w->loaded);
        model_free(&w->as_of_begin);
        w->snapping = false;
    }
}

/* No write may make a scrub see rot where there is none. */
static void scrub_step(struct world *w)
{
    if (prng_chance(&w->rng, 1, 300)) {
        store_snap_abort(w->store);
        w->scrubbing = false;
    } else if (!store_scrub_next(w->store, (size_t)prng_below(&w->rng, 3000))) {
        assert_true(store_snap_sound(w->store));
        w->scrubbing = false;
    }
}

static void snap_step(struct world *w)
{
    if (w->scrubbing) {
        scrub_step(w);
    } else if (!w->snapping && prng_chance(&w->rng, 1, 3)) {
        store_scrub_begin(w->store);
        w->scrubbing = true;
    } else if (!w->snapping) {
        store_snap_begin(w->store);
        w->as_of_begin = model_clone(&w->model);
        w->digest_as_of_begin = store_digest(w->store);
        w->loaded = store_create(prng_next(&w->rng));
        w->snapping = true;
    } else if (prng_chance(&w->rng, 1, 300)) {
        store_snap_abort(w->store);
        store_destroy(w->loaded);
        model_free(&w->as_of_begin);
        w->snapping = false;
    } else {
        snap_some(w, (size_t)prng_below(&w->rng, 3000));
    }
}

static bool is_type(struct world *w, struct slice key, bool hash)
{
    struct model_item *it = model_find(&w->model, key);

    return it == NULL || it->is_hash == hash;
}

static void write_hash(struct world *w, struct slice key)
{
    char name[32];
    /* A few hashes become large, most stay small. */
    unsigned times = key.len % 5 == 0 ? (unsigned)prng_below(&w->rng, 60) : 1;

    if (!is_type(w, key, true)) {
        return;
    }
    for (unsigned i = 0; i < times; i++) {
        struct slice field = random_field(w, name), value = random_text(w);

        if (prng_chance(&w->rng, 1, 4)) {
            assert_int_equal(store_hash_del(w->store, key, field),
                             model_hash_del(&w->model, key, field));
        } else {
            assert_int_equal(store_hash_set(w->store, key, field, value),
                             model_hash_set(&w->model, key, field, value));
        }
    }
}

static void write_bytes(struct world *w, struct slice key)
{
    struct model_item *it = model_find(&w->model, key);
    struct slice bytes = random_text(w);
    size_t len = it == NULL ? 0 : it->text.len;
    size_t offset = prng_chance(&w->rng, 1, 2) ? len : (size_t)prng_below(&w->rng, len + 3000);

    if (is_type(w, key, false)) {
        struct store_item *after = store_string_write(w->store, key, offset, bytes);

        model_write(&w->model, key, offset, bytes);
        assert_true(slice_eq(store_item_key(after), key));
    }
}

static uint64_t random_expiry(struct world *w)
{
    return prng_chance(&w->rng, 2, 3) ? 0 : w->now_ms + 1 + prng_below(&w->rng, 50);
}

static void move(struct world *w, struct slice from)
{
    struct slice to = random_key(w, 1);

    if (model_find(&w->model, from) == NULL) {
        return;
    }
    if (prng_chance(&w->rng, 1, 2)) {
        store_copy(w->store, from, to);
        if (!slice_eq(from, to)) {
            model_copy(&w->model, from, to);
        }
    } else {
        store_rename(w->store, from, to);
        if (!slice_eq(from, to)) {
            model_copy(&w->model, from, to);
            model_del(&w->model, from);
        }
    }
}

static void expire(struct world *w)
{
    size_t max = (size_t)prng_below(&w->rng, 20);

    w->now_ms += prng_below(&w->rng, 4);
    assert_int_equal(store_expire_due(w->store, w->now_ms, max),
                     model_expire(&w->model, w->now_ms, max));
}

static void step(struct world *w)
{
    struct slice key = random_key(w, 0);
    uint64_t when;

    switch (prng_below(&w->rng, 12)) {
    case 0:
    case 1:
    case 2: {
        struct slice value = random_text(w);

        when = random_expiry(w);
        (void)store_set_string(w->store, key, value, when);
        model_set(&w->model, key, value, when);
        break;
    }
    case 3:
    case 4:
        write_bytes(w, key);
        break;
    case 5:
    case 6:
    case 7:
        write_hash(w, key);
        break;
    case 8:
        assert_int_equal(store_del(w->store, key), model_find(&w->model, key) != NULL);
        model_del(&w->model, key);
        break;
    case 9:
        if (model_find(&w->model, key) != NULL) {
            when = random_expiry(w);
            store_set_expire(w->store, key, when);
            model_find(&w->model, key)->expire_ms = when;
        }
        break;
    case 10:
        move(w, key);
        break;
    default:
        expire(w);
        break;
    }
}

static void run(uint64_t seed, unsigned steps)
{
    struct world *w = MEM_NEW(struct world);

    w->rng.state = seed;
    w->store = store_create(seed);
    w->now_ms = 1000;
    w->key_range = seed % 3 == 0 ? 20 : KEYS;
    for (unsigned i = 0; i < steps; i++) {
        step(w);
        if (prng_chance(&w->rng, 1, 3)) {
            snap_step(w);
        }
        if (prng_chance(&w->rng, 1, 8)) {
            store_work(w->store);
        }
        if (prng_chance(&w->rng, 1, 2000)) {
            store_clear(w->store);
            model_free(&w->model);
        }
        if (i % 500 == 0) {
            same_content(w->store, &w->model);
            digest_follows_content(w);
        }
    }
    same_content(w->store, &w->model);
    while (w->snapping) {
        snap_some(w, 1 << 20);
    }
    for (unsigned i = 0; i < 10000; i++) {
        store_work(w->store);
    }
    store_check(w->store);
    store_clear(w->store);
    store_destroy(w->store);
    model_free(&w->model);
    mem_free(w);
}

static void the_store_agrees_with_its_model(void **state)
{
    const char *seeds = getenv("SEEDS");
    uint64_t count = seeds == NULL ? 6 : strtoull(seeds, NULL, 10);

    (void)state;
    for (uint64_t seed = 1; seed <= count; seed++) {
        run(seed, 4000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_store_agrees_with_its_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
