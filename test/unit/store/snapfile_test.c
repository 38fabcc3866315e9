/* The snapshot file: its frozen bytes, pieces of every size, damage to every byte. */
#include "base/base_hash.h"
#include "base/base_mem.h"
#include "store/snapfile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void fill(struct store *s)
{
    uint8_t text[1500];
    char name[16];

    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (uint8_t)(i * 7);
    }
    (void)store_set_int(s, SLICE("int"), -5, 0);
    (void)store_set_string(s, SLICE("text"), SLICE("hello"), 1700000000000);
    (void)store_set_string(s, SLICE("long"), (struct slice){text, sizeof text}, 3);
    (void)store_hash_set(s, SLICE("small hash"), SLICE("f"), SLICE("v"));
    for (int i = 0; i < 150; i++) {
        int len = snprintf(name, sizeof name, "f%d", i);

        (void)store_hash_set(s, SLICE("hash"), (struct slice){(const uint8_t *)name, (size_t)len},
                             SLICE("w"));
    }
}

static void write_file(struct store *s, size_t bytes, struct buf *out)
{
    struct snapfile_head head = {
        .group = 3,
        .index = {77},
        .term = {5},
        .digest = store_digest(s),
        .item_count = store_count(s),
        .blob = SLICE("configuration"),
    };
    struct buf chunk = {0};
    uint64_t chunks = 0;
    bool more;

    snapfile_put_head(out, &head);
    store_snap_begin(s);
    do {
        more = store_snap_next(s, bytes, &chunk);
        if (chunk.len > 0) {
            snapfile_put_chunk(out, buf_slice(&chunk));
            chunks++;
        }
        chunk.len = 0;
    } while (more);
    snapfile_put_foot(out, chunks);
    buf_free(&chunk);
}

/* Read in pieces of this size. */
static enum err read_file(struct slice file, size_t piece, struct store *into, struct diag *why)
{
    struct snapfile_reader r;
    enum err err = ERR_OK;

    snapfile_reader_init(&r, into);
    for (size_t at = 0; at < file.len && err == ERR_OK; at += piece) {
        size_t left = file.len - at;

        err = snapfile_read(&r, (struct slice){file.data + at, left < piece ? left : piece}, why);
    }
    if (err == ERR_OK) {
        err = snapfile_finish(&r, why);
    }
    if (err == ERR_OK) {
        assert_int_equal(r.head.group, 3);
        assert_int_equal(r.head.index.n, 77);
        assert_int_equal(r.head.term.n, 5);
        assert_true(slice_eq(r.head.blob, SLICE("configuration")));
    }
    snapfile_reader_free(&r);
    return err;
}

static void every_piece_size_reads_the_same(void **state)
{
    struct store *s = store_create(1);
    struct buf file = {0};
    struct diag why;

    (void)state;
    fill(s);
    write_file(s, 300, &file);
    for (size_t piece = 1; piece <= file.len; piece += piece < 200 ? 1 : 97) {
        struct store *into = store_create(2);

        assert_int_equal(read_file(buf_slice(&file), piece, into, &why), ERR_OK);
        assert_true(store_digest(into) == store_digest(s));
        store_check(into);
        store_destroy(into);
    }
    buf_free(&file);
    store_destroy(s);
}

static void damage_to_any_byte_is_found(void **state)
{
    struct store *s = store_create(1);
    struct buf file = {0};
    struct diag why;

    (void)state;
    fill(s);
    write_file(s, 1000, &file);
    for (size_t at = 0; at < file.len; at++) {
        for (unsigned way = 0; way < 2; way++) {
            struct store *into = store_create(2);
            uint8_t was = file.data[at];

            file.data[at] = (uint8_t)(was ^ (way == 0 ? 1U << at % 8 : 0xffU));
            assert_int_not_equal(read_file(buf_slice(&file), file.len, into, &why), ERR_OK);
            file.data[at] = was;
            store_destroy(into);
        }
    }
    for (size_t len = 0; len < file.len; len += 1 + len / 50) {
        struct store *into = store_create(2);

        assert_int_equal(read_file((struct slice){file.data, len}, 1000, into, &why), ERR_CORRUPT);
        store_destroy(into);
    }
    buf_free(&file);
    store_destroy(s);
}

/* Bytes of a file as version 1 wrote it: they must read for ever, and be written alike. */
static const char frozen[] =
    /* magic, version, group, index, term, digest, items, length of the blob, checksum */
    "73796e6f64736e70"
    "01000000"
    "03000000"
    "4d00000000000000"
    "0500000000000000"
    "749399bf17b1e60c"
    "0100000000000000"
    "0d000000"
    "b1458179"
    "636f6e66696775726174696f6e" /* blob and checksum */
    "73a8755368733479"
    "43484e4b" /* a chunk: mark, length, checksum of the items, of this head; items */
    "0d000000"
    "9375ab754aabbf72"
    "10fc8d86"
    "02e807036b65790576616c7565"
    "464f4f54" /* the foot: mark, chunks, checksum */
    "0100000000000000"
    "309e2bc655e427d5";

static void the_format_is_frozen(void **state)
{
    struct store *s = store_create(1), *into = store_create(2);
    struct buf file = {0}, hex = {0};
    struct diag why;

    (void)state;
    (void)store_set_string(s, SLICE("key"), SLICE("value"), 1000);
    write_file(s, 1000, &file);
    for (size_t i = 0; i < file.len; i++) {
        buf_printf(&hex, "%02x", file.data[i]);
    }
    put_u8(&hex, 0);
    assert_string_equal((const char *)hex.data, frozen);
    assert_int_equal(read_file(buf_slice(&file), 7, into, &why), ERR_OK);
    buf_free(&file);
    buf_free(&hex);
    store_destroy(s);
    store_destroy(into);
}

static void names_have_one_spelling(void **state)
{
    static const struct {
        const char *name;
        bool ok, temporary;
    } rows[] = {
        {"00003-00000000000000FF.snap", true, false},
        {"snap/00003-00000000000000FF.snap", true, false},
        {"00003-00000000000000FF.tmp", true, true},
        {"00003-00000000000000ff.snap", false, false},
        {"3-00000000000000FF.snap", false, false},
        {"00003-FF.snap", false, false},
        {"00003-00000000000000FF.snapx", false, false},
        {"00003-00000000000000FF", false, false},
        {"+0003-00000000000000FF.snap", false, false},
        {"", false, false},
    };
    char name[DISK_PATH_MAX];
    uint32_t group;
    uint64_t file;
    bool temporary;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (snapfile_parse_name(rows[i].name, &group, &file, &temporary) != rows[i].ok) {
            fail_msg("%s", rows[i].name);
        }
        if (rows[i].ok) {
            assert_int_equal(group, 3);
            assert_int_equal(file, 255);
            assert_int_equal(temporary, rows[i].temporary);
        }
    }
    snapfile_name(UINT32_MAX, UINT64_MAX, false, name);
    assert_string_equal(name, "snap/4294967295-FFFFFFFFFFFFFFFF.snap");
    assert_true(snapfile_parse_name(name, &group, &file, &temporary));
    assert_int_equal(group, UINT32_MAX);
}

/* Whole chunks, rightly checksummed, that no store wrote. */
static void nonsense_in_a_chunk_is_refused(void **state)
{
    static const struct {
        const char *name;
        struct slice bytes;
    } rows[] = {
        {"unknown kind", SLICE("\x09\x00\x01k")},
        {"cut in the key", SLICE("\x02\x00\x05k")},
        {"cut in the value", SLICE("\x02\x00\x01k\x05v")},
        {"cut in the number", SLICE("\x01\x00\x01k\x05")},
        {"the same key twice", SLICE("\x02\x00\x01k\x01v\x02\x00\x01k\x01v")},
        {"a hash of no fields", SLICE("\x04\x00\x01k\x00\x00\x00\x00")},
        {"the same field twice", SLICE("\x04\x00\x01k\x02\x00\x00\x00\x01"
                                       "f\x00\x01"
                                       "f\x00")},
        {"a part that is not the first", SLICE("\x03\x00\x01k\x01\x01v")},
        {"an empty part", SLICE("\x03\x00\x01k\x00\x00")},
        {"a part of a hash at a string", SLICE("\x02\x00\x01k\x01v\x05\x00\x01k\x01\x00\x00\x00\x01"
                                               "f\x00")},
        {"parts of two expiry times", SLICE("\x05\x00\x01k\x01\x00\x00\x00\x01"
                                            "f\x00\x05\x01\x01k\x01\x00\x00\x00\x01g\x00")},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct store *s = store_create(1);
        struct diag why = {{0}};

        if (store_load(s, rows[i].bytes, &why) != ERR_CORRUPT || why.text[0] == 0) {
            fail_msg("%s", rows[i].name);
        }
        store_check(s);
        store_destroy(s);
    }
}

static void a_later_version_is_named(void **state)
{
    struct store *s = store_create(1);
    struct buf file = {0};
    struct diag why;

    (void)state;
    write_file(s, 1000, &file);
    file.data[8] = 2; /* with the fixed part's checksum made right again */
    store_u32le(file.data + 52, checksum32(file.data, 52));
    assert_int_equal(read_file(buf_slice(&file), file.len, s, &why), ERR_VERSION);
    assert_non_null(strstr(why.text, "version 2"));
    buf_free(&file);
    store_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_piece_size_reads_the_same),
        cmocka_unit_test(damage_to_any_byte_is_found),
        cmocka_unit_test(the_format_is_frozen),
        cmocka_unit_test(names_have_one_spelling),
        cmocka_unit_test(nonsense_in_a_chunk_is_refused),
        cmocka_unit_test(a_later_version_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
