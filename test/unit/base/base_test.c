/* Buffers, readers, numbers, lists, maps, checksums: each against known values or a
 * dumb twin. */
#include "base/base_bytes.h"
#include "base/base_disk.h"
#include "base/base_hash.h"
#include "base/base_list.h"
#include "base/base_map.h"
#include "base/base_mem.h"
#include "base/base_prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void errors_have_names_and_texts(void **state)
{
    (void)state;
    for (int e = 0; e < ERR_COUNT; e++) {
        assert_true(strncmp(err_name((enum err)e), "ERR_", 4) == 0);
        assert_true(strlen(err_text((enum err)e)) > 0);
    }
    assert_string_equal(err_name(ERR_CORRUPT), "ERR_CORRUPT");
    assert_string_equal(err_name(ERR_COUNT), "ERR_UNKNOWN");
}

static void a_diag_is_bounded_and_optional(void **state)
{
    struct diag d;
    char longer[1000];

    (void)state;
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    diag_set(NULL, "nobody asked");
    diag_set(&d, "%s", longer);
    assert_int_equal(strlen(d.text), sizeof d.text - 1);
}

static void visit_mark(const struct base_mark *mark, void *arg)
{
    if (strcmp(mark->name, "base_test: a mark") == 0) {
        *(uint64_t *)arg = mark->hits;
    }
}

static void marks_count_what_was_reached(void **state)
{
    uint64_t hits = 99;

    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        SOMETIMES(i % 3 == 0, "base_test: a mark");
    }
    base_marks_each(visit_mark, &hits);
    assert_int_equal(hits, 4);
}

static void buffers_grow_and_consume(void **state)
{
    struct buf b = {0};

    (void)state;
    for (uint32_t i = 0; i < 1000; i++) {
        put_u32le(&b, i);
    }
    assert_int_equal(b.len, 4000);
    buf_consume(&b, 400);
    assert_int_equal(load_u32le(b.data), 100);
    buf_consume(&b, b.len);
    assert_int_equal(b.len, 0);
    buf_printf(&b, "%s=%d", "answer", 42);
    assert_true(slice_eq(buf_slice(&b), SLICE("answer=42")));
    buf_append(&b, NULL, 0);
    assert_int_equal(b.len, 9);
    buf_free(&b);
    assert_null(b.data);
}

static void slices_compare(void **state)
{
    static const struct {
        struct slice a, b;
        int order;
        bool same_word;
    } rows[] = {
        {SLICE(""), SLICE(""), 0, true},
        {SLICE("a"), SLICE("A"), 1, true},
        {SLICE("a"), SLICE("ab"), -1, false},
        {SLICE("b"), SLICE("ab"), 1, false},
        {SLICE("GetEx"), SLICE("gETeX"), -1, true},
        {SLICE("\xff"), SLICE("\x01"), 1, false},
        {SLICE("@"), SLICE("`"), -1, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        assert_int_equal(slice_cmp(rows[i].a, rows[i].b), rows[i].order);
        assert_int_equal(slice_cmp(rows[i].b, rows[i].a), -rows[i].order);
        assert_int_equal(slice_eq_nocase(rows[i].a, rows[i].b), rows[i].same_word);
        assert_int_equal(slice_eq(rows[i].a, rows[i].b), rows[i].order == 0);
    }
}

static void numbers_are_little_endian(void **state)
{
    static const uint8_t want[] = {0x01, 0x03, 0x02, 0x07, 0x06, 0x05, 0x04, 0x0f,
                                   0x0e, 0x0d, 0x0c, 0x0b, 0x0a, 0x09, 0x08};
    struct buf b = {0};
    struct reader r;

    (void)state;
    put_u8(&b, 0x01);
    put_u16le(&b, 0x0203);
    put_u32le(&b, 0x04050607);
    put_u64le(&b, 0x08090a0b0c0d0e0fULL);
    assert_int_equal(b.len, sizeof want);
    assert_memory_equal(b.data, want, sizeof want);
    r = reader_of(b.data, b.len);
    assert_int_equal(get_u8(&r), 0x01);
    assert_int_equal(get_u16le(&r), 0x0203);
    assert_int_equal(get_u32le(&r), 0x04050607);
    assert_int_equal(get_u64le(&r), 0x08090a0b0c0d0e0fULL);
    assert_false(r.bad);
    assert_int_equal(reader_left(&r), 0);
    buf_free(&b);
}

static void a_reader_never_passes_its_end(void **state)
{
    uint8_t three[3] = {1, 2, 3};
    struct reader r = reader_of(three, 3);

    (void)state;
    assert_int_equal(get_u32le(&r), 0);
    assert_true(r.bad);
    assert_int_equal(get_u8(&r), 0); /* bad is for ever, even where bytes are left */
    assert_int_equal(reader_left(&r), 0);
    r = reader_of(three, 3);
    assert_null(get_raw(&r, 4).data);
    assert_true(r.bad);
    r = reader_of(three, 3);
    assert_int_equal(get_raw(&r, 3).len, 3);
    assert_false(r.bad);
    r = reader_of(three, 0);
    assert_int_equal(get_bytes(&r).len, 0);
    assert_true(r.bad);
    three[0] = 3; /* says three, two are there */
    r = reader_of(three, 3);
    assert_null(get_bytes(&r).data);
    assert_true(r.bad);
}

static void varints_survive_the_round(void **state)
{
    struct prng p = {1};

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t v = i < 66 ? (i < 64 ? 1ULL << i : i - 65ULL) : prng_next(&p) >> (i % 64);
        struct buf b = {0};
        struct reader r;

        put_varint(&b, v);
        assert_int_equal(b.len, varint_bytes(v));
        r = reader_of(b.data, b.len);
        assert_true(get_varint(&r) == v);
        assert_false(r.bad);
        assert_int_equal(reader_left(&r), 0);
        r = reader_of(b.data, b.len - 1);
        (void)get_varint(&r);
        assert_true(r.bad);
        buf_free(&b);
    }
}

static void varints_have_one_spelling(void **state)
{
    static const struct {
        const char *name;
        uint8_t bytes[11];
        size_t len;
    } rows[] = {
        {"padded zero", {0x80, 0x00}, 2},
        {"padded one", {0x81, 0x00}, 2},
        {"padded at ten bytes", {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00}, 10},
        {"sixty-five bits", {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02}, 10},
        {"eleven bytes", {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01}, 11},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct reader r = reader_of(rows[i].bytes, rows[i].len);

        if (get_varint(&r) != 0 || !r.bad) {
            fail_msg("accepted: %s", rows[i].name);
        }
    }
}

enum { KEYS = 512 };

/* The map against an array; odd keys far apart, so that probes cross the end. */
static void a_map_agrees_with_its_model(void **state)
{
    struct prng p = {3};
    struct map64 m = {0};
    char cell[KEYS + 1];
    void *model[KEYS] = {0};
    size_t count = 0;

    (void)state;
    for (unsigned step = 0; step < 200000; step++) {
        uint64_t k = prng_below(&p, KEYS);
        uint64_t key = k < KEYS / 2 ? k : k * 0x100000001b3ULL;
        /* Grow for a while, then shrink, so that full and empty tables both occur. */
        bool put = prng_chance(&p, step / 20000 % 2 == 0 ? 3 : 1, 4);

        if (put) {
            assert_ptr_equal(map64_put(&m, key, &cell[k + 1]), model[k]);
            count += model[k] == NULL;
            model[k] = &cell[k + 1];
        } else {
            assert_ptr_equal(map64_remove(&m, key), model[k]);
            count -= model[k] != NULL;
            model[k] = NULL;
        }
        assert_int_equal(m.count, count);
        k = prng_below(&p, KEYS);
        assert_ptr_equal(map64_get(&m, k < KEYS / 2 ? k : k * 0x100000001b3ULL), model[k]);
    }
    size_t pos = 0, seen = 0;
    uint64_t key;
    void *value;
    while (map64_each(&m, &pos, &key, &value)) {
        assert_ptr_equal(map64_get(&m, key), value);
        seen++;
    }
    assert_int_equal(seen, count);
    map64_free(&m);
}

static void an_empty_map_answers(void **state)
{
    struct map64 m = {0};
    size_t pos = 0;
    uint64_t key;
    void *value;

    (void)state;
    assert_null(map64_get(&m, 0));
    assert_null(map64_remove(&m, 0));
    assert_false(map64_each(&m, &pos, &key, &value));
    map64_free(&m);
}

struct item {
    int number;
    struct list link;
};

static void lists_keep_their_order(void **state)
{
    struct list head;
    struct item item[5];
    int want = 0;

    (void)state;
    list_init(&head);
    assert_true(list_empty(&head));
    assert_null(list_pop_front(&head));
    for (int i = 0; i < 5; i++) {
        item[i].number = i;
    }
    list_push_back(&head, &item[1].link);
    list_push_back(&head, &item[3].link);
    list_push_front(&head, &item[0].link);
    list_insert_before(&item[3].link, &item[2].link);
    list_push_back(&head, &item[4].link);
    LIST_EACH(it, &head)
    {
        assert_int_equal(LIST_ENTRY(it, struct item, link)->number, want);
        want++;
        list_remove(it); /* removing the current one is allowed */
    }
    assert_int_equal(want, 5);
    assert_true(list_empty(&head));
    list_remove(&item[2].link); /* and removing twice is harmless */
    assert_true(list_empty(&head));
}

static void checksums_are_the_published_ones(void **state)
{
    struct hash64_stream h;
    char text[1000];

    (void)state;
    assert_int_equal(crc16("123456789", 9), 0x31c3); /* CRC16/XMODEM */
    assert_int_equal(crc16("", 0), 0);
    /* XXH3 of nothing, seed 0, as its specification prints it. */
    assert_true(hash64("", 0) == 0x2d06800538d394c2ULL);
    assert_int_equal(checksum32("", 0), 0x38d394c2);
    memset(text, 'k', sizeof text);
    hash64_stream_begin(&h);
    for (size_t at = 0, piece = 1; at < sizeof text; at += piece, piece = piece % 97 + 1) {
        size_t left = sizeof text - at;

        hash64_stream_add(&h, text + at, piece < left ? piece : left);
    }
    assert_true(hash64_stream_end(&h) == hash64(text, sizeof text));
    assert_true(hash64_seeded("a", 1, 1) != hash64_seeded("a", 1, 2));
    assert_true(hash64_mix(1, 2) != hash64_mix(2, 1));
}

/* What `redis-cli cluster keyslot` answers. */
static void hash_slots_follow_the_hashtag_rules(void **state)
{
    static const struct {
        const char *name;
        struct slice key, same_as;
    } rows[] = {
        {"a tag", SLICE("{user1000}.following"), SLICE("user1000")},
        {"tags join keys", SLICE("{user1000}.followers"), SLICE("user1000")},
        {"the first closing brace ends it", SLICE("foo{{bar}}zap"), SLICE("{bar")},
        {"the first tag only", SLICE("foo{bar}{zap}"), SLICE("bar")},
        {"a tag of one letter", SLICE("{a}"), SLICE("a")},
    };

    (void)state;
    assert_int_equal(hashslot_of_key(SLICE("foo")), 12182);
    assert_int_equal(hashslot_of_key(SLICE("bar")), 5061);
    assert_int_equal(hashslot_of_key(SLICE("")), 0);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (hashslot_of_key(rows[i].key) != hashslot_of_key(rows[i].same_as)) {
            fail_msg("%s", rows[i].name);
        }
    }
    /* An empty tag, an open one, a closing one alone: the whole key counts. */
    struct slice whole[] = {SLICE("foo{}{bar}"), SLICE("foo{bar"), SLICE("foo}bar{"), SLICE("{"),
                            SLICE("{}")};
    for (size_t i = 0; i < ARRAY_COUNT(whole); i++) {
        assert_int_equal(hashslot_of_key(whole[i]), crc16(whole[i].data, whole[i].len) % 16384);
    }
}

static void chance_repeats_and_is_bounded(void **state)
{
    struct prng a = {9}, b = {9};
    unsigned hits = 0;

    (void)state;
    for (unsigned i = 0; i < 10000; i++) {
        assert_true(prng_next(&a) == prng_next(&b));
        assert_true(prng_below(&a, 7) < 7);
        assert_in_range(prng_between(&a, 5, 6), 5, 6);
        hits += prng_chance(&a, 1, 4);
        b = a;
    }
    assert_in_range(hits, 2300, 2700);
    assert_int_equal(prng_between(&a, UINT64_MAX, UINT64_MAX) == UINT64_MAX, 1);
    /* splitmix64 with seed 0, the first value of the authors' program */
    a.state = 0;
    assert_true(prng_next(&a) == 0xe220a8397b1dcdafULL);
}

static void memory_is_counted_and_copied(void **state)
{
    char *copy = mem_strndup("abcdef", 3);
    char *nothing = mem_alloc(0);

    (void)state;
    assert_string_equal(copy, "abc");
    assert_true(mem_usable(copy) >= 4);
    copy = mem_realloc(copy, 100);
    assert_string_equal(copy, "abc");
    mem_free(copy);
    mem_free(nothing);
    mem_free(NULL);
}

static void disk_operations_are_a_list(void **state)
{
    struct disk_ops ops = {0};

    (void)state;
    for (unsigned i = 0; i < 40; i++) {
        struct disk_op *op = disk_ops_push(&ops, DISK_WRITE, DISK_LANE_LOG);

        assert_int_equal(op->token, 0);
        op->token = i;
        put_u64le(&op->data, i);
    }
    assert_int_equal(ops.count, 40);
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(ops.at[i].token, i);
        assert_int_equal(load_u64le(ops.at[i].data.data), i);
    }
    disk_ops_free(&ops);
    assert_int_equal(ops.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_have_names_and_texts),
        cmocka_unit_test(a_diag_is_bounded_and_optional),
        cmocka_unit_test(marks_count_what_was_reached),
        cmocka_unit_test(buffers_grow_and_consume),
        cmocka_unit_test(slices_compare),
        cmocka_unit_test(numbers_are_little_endian),
        cmocka_unit_test(a_reader_never_passes_its_end),
        cmocka_unit_test(varints_survive_the_round),
        cmocka_unit_test(varints_have_one_spelling),
        cmocka_unit_test(a_map_agrees_with_its_model),
        cmocka_unit_test(an_empty_map_answers),
        cmocka_unit_test(lists_keep_their_order),
        cmocka_unit_test(checksums_are_the_published_ones),
        cmocka_unit_test(hash_slots_follow_the_hashtag_rules),
        cmocka_unit_test(chance_repeats_and_is_bounded),
        cmocka_unit_test(memory_is_counted_and_copied),
        cmocka_unit_test(disk_operations_are_a_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
