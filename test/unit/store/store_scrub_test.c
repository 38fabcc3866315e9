/* Rot in memory, of every kind of value, and what finds it. */
#include "base/base_mem.h"
#include "store/store_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { LONG_BYTES = 40000, FIELDS = 500 };

static void fill(struct store *s, enum item_kind kind, struct slice key)
{
    char name[32];
    uint8_t *text = mem_zalloc(LONG_BYTES);

    switch (kind) {
    case ITEM_INT:
        (void)store_set_int(s, key, 7, 0);
        break;
    case ITEM_INLINE:
        (void)store_set_string(s, key, SLICE("a value of some length"), 99);
        break;
    case ITEM_LONG:
        (void)store_set_string(s, key, (struct slice){text, LONG_BYTES}, 0);
        break;
    case ITEM_PACK:
    case ITEM_TABLE:
        for (unsigned i = 0; i < (kind == ITEM_PACK ? 5U : (unsigned)FIELDS); i++) {
            int len = snprintf(name, sizeof name, "field:%u", i);

            (void)store_hash_set(s, key, (struct slice){(const uint8_t *)name, (size_t)len},
                                 SLICE("value"));
        }
        break;
    }
    mem_free(text);
}

static bool scrub(struct store *s, size_t bytes)
{
    store_scrub_begin(s);
    while (store_scrub_next(s, bytes)) {
    }
    return store_snap_sound(s);
}

static bool snapshot(struct store *s)
{
    struct buf out = {0};

    store_snap_begin(s);
    while (store_snap_next(s, 4000, &out)) {
    }
    buf_free(&out);
    return store_snap_sound(s);
}

static void each_kind_of_rot_is_found(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 200; round++) {
        enum item_kind kind = (enum item_kind)(round % (ITEM_TABLE + 1));
        struct prng rng = {round};
        struct store *s = store_create(round);
        struct buf key = {0};

        fill(s, kind, SLICE("key"));
        assert_true(scrub(s, 1000));
        assert_true(store_rot(s, &rng, &key));
        assert_true(slice_eq(buf_slice(&key), SLICE("key")));
        assert_false(scrub(s, 1000));
        assert_false(snapshot(s)); /* it must not be named, sent or believed */
        assert_false(scrub(s, 10));
        buf_free(&key);
        store_destroy(s);
    }
}

/* A write takes away what the item was: the rotten bytes. So the digest kept is wrong for
 * ever, even where the value is right again, and both the next scrub and the other
 * replicas see it. */
static void a_write_does_not_hide_it(void **state)
{
    static const char *const ways[] = {"overwritten", "deleted", "renamed", "given a time"};

    (void)state;
    for (unsigned way = 0; way < ARRAY_COUNT(ways); way++) {
        for (unsigned kind = ITEM_INT; kind <= ITEM_INLINE; kind++) {
            struct store *s = store_create(1), *sound = store_create(2);
            struct prng rng = {kind};
            struct buf key = {0};

            fill(s, (enum item_kind)kind, SLICE("key"));
            fill(sound, (enum item_kind)kind, SLICE("key"));
            assert_true(store_rot(s, &rng, &key));
            assert_true(store_digest(s) == store_digest(sound));
            for (unsigned i = 0; i < 2; i++) {
                struct store *of = i == 0 ? s : sound;

                if (way == 0) {
                    (void)store_set_int(of, SLICE("key"), 5, 0);
                } else if (way == 1) {
                    assert_true(store_del(of, SLICE("key")));
                } else if (way == 2) {
                    store_rename(of, SLICE("key"), SLICE("another"));
                } else {
                    store_set_expire(of, SLICE("key"), 1000);
                }
            }
            if (way <= 1) {
                assert_false(store_digest(s) == store_digest(sound));
                assert_false(scrub(s, 1000));
            } else { /* what was taken away came back under another name */
                assert_false(store_digest(s) == store_digest(sound) && scrub(s, 1000));
            }
            buf_free(&key);
            store_destroy(s);
            store_destroy(sound);
        }
    }
}

/* A hash that has rotted becomes a table, or is copied: its bytes go along, and so does the sum
 * that they should have. A CHECK of the two ended the process here, where a repair was due. */
static void it_is_still_found_in_another_form(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 3; way++) {
        struct store *s = store_create(way);
        struct prng rng = {way};
        struct buf key = {0};

        fill(s, way == 0 ? ITEM_PACK : way == 1 ? ITEM_TABLE : ITEM_LONG, SLICE("key"));
        assert_true(store_rot(s, &rng, &key));
        if (way == 0) {
            fill(s, ITEM_TABLE, SLICE("other"));
            (void)store_hash_set(s, SLICE("key"), SLICE("long"),
                                 SLICE("a value of more than sixty-four bytes makes a table of the "
                                       "hash, whatever it holds"));
            assert_string_equal(store_item_encoding(store_find(s, SLICE("key"), 0, 0)),
                                "hashtable");
        } else {
            store_copy(s, SLICE("key"), SLICE("copy"));
            assert_true(store_del(s, SLICE("key")));
        }
        assert_false(scrub(s, 1000));
        buf_free(&key);
        store_destroy(s);
    }
}

static void rot_behind_the_walk_is_found_by_the_next(void **state)
{
    struct store *s = store_create(5);
    struct prng rng = {5};
    struct buf key = {0};

    (void)state;
    fill(s, ITEM_INLINE, SLICE("first"));
    store_scrub_begin(s);
    while (s->snap.digest == 0) {
        assert_true(store_scrub_next(s, 1));
    }
    assert_true(store_rot(s, &rng, &key));
    while (store_scrub_next(s, 1)) {
    }
    assert_true(store_snap_sound(s));
    assert_false(scrub(s, 1));
    buf_free(&key);
    store_destroy(s);
}

/* The bytes are right, but a search would not find them. */
static void an_item_in_the_wrong_place_is_found(void **state)
{
    struct store *s = store_create(9);
    struct store_place at;

    (void)state;
    fill(s, ITEM_INLINE, SLICE("key"));
    at = place_find(s, SLICE("key"));
    *at.slot ^= 1ULL << 60; /* a bit of the hash beside the address */
    assert_null(store_find(s, SLICE("key"), 0, 0));
    assert_false(scrub(s, 1000));
    *at.slot ^= 1ULL << 60;
    assert_true(scrub(s, 1000));
    heap_first(&s->heap)->rest[8] ^= 1; /* its place among those that expire */
    assert_false(scrub(s, 1000));
    heap_first(&s->heap)->rest[8] ^= 1;
    store_destroy(s);
}

static void a_scrub_gives_way_and_goes_by_pieces(void **state)
{
    struct store *s = store_create(3);
    char name[32];
    unsigned calls = 0;

    (void)state;
    for (unsigned i = 0; i < 5000; i++) {
        int len = snprintf(name, sizeof name, "key:%u", i);

        (void)store_set_string(s, (struct slice){(const uint8_t *)name, (size_t)len},
                               SLICE("a value"), 0);
    }
    store_scrub_begin(s);
    while (store_scrub_next(s, 1000)) {
        calls++;
    }
    assert_in_range(calls, 50, 400);
    assert_true(store_snap_sound(s));
    store_scrub_begin(s);
    assert_true(store_scrub_next(s, 1000));
    store_snap_abort(s); /* a snapshot is wanted */
    assert_true(snapshot(s));
    store_check(s);
    store_scrub_begin(s);
    assert_true(store_scrub_next(s, 1000));
    store_clear(s); /* what it walks over is gone from the store, and still there */
    (void)store_set_string(s, SLICE("new"), SLICE("value"), 0);
    while (store_scrub_next(s, 1000)) {
    }
    assert_true(store_snap_sound(s));
    store_destroy(s);
}

static void nothing_cannot_rot(void **state)
{
    struct store *s = store_create(3);
    struct prng rng = {1};
    struct buf key = {0};

    (void)state;
    assert_true(scrub(s, 1));
    assert_false(store_rot(s, &rng, &key));
    (void)store_set_string(s, SLICE("k"), SLICE(""), 0);
    assert_false(store_rot(s, &rng, &key));
    assert_int_equal(key.len, 0);
    store_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_of_rot_is_found),
        cmocka_unit_test(a_write_does_not_hide_it),
        cmocka_unit_test(it_is_still_found_in_another_form),
        cmocka_unit_test(rot_behind_the_walk_is_found_by_the_next),
        cmocka_unit_test(an_item_in_the_wrong_place_is_found),
        cmocka_unit_test(a_scrub_gives_way_and_goes_by_pieces),
        cmocka_unit_test(nothing_cannot_rot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
