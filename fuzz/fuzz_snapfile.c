/* fuzz_snapfile - bytes as a snapshot file, and as the items within a chunk.
 *
 * The first byte says how: odd, the rest is a file in pieces of that many bytes; even, the
 * rest is one chunk's items (whose checksums a fuzzer would not guess). What loads must be
 * a sound store, and what that store writes must load to the same digest. */
#include "base/base_mem.h"
#include "store/snapfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void read_file(struct slice file, size_t piece, struct store *into)
{
    struct snapfile_reader r;
    struct diag why;
    enum err err = ERR_OK;

    snapfile_reader_init(&r, into);
    for (size_t at = 0; at < file.len && err == ERR_OK; at += piece) {
        size_t left = file.len - at;

        err = snapfile_read(&r, (struct slice){file.data + at, left < piece ? left : piece}, &why);
    }
    if (err == ERR_OK) {
        err = snapfile_finish(&r, &why);
        CHECK_IF(err == ERR_OK, store_digest(into) == r.head.digest);
    }
    snapfile_reader_free(&r);
}

static void survives_the_round(struct store *s)
{
    struct store *copy = store_create(2);
    struct buf file = {0}, items = {0};
    struct snapfile_head head = {.digest = store_digest(s), .item_count = store_count(s)};
    struct snapfile_reader r;
    struct diag why;
    bool more;
    uint64_t chunks = 0;

    snapfile_put_head(&file, &head);
    store_snap_begin(s);
    do {
        more = store_snap_next(s, 64, &items);
        if (items.len > 0) {
            snapfile_put_chunk(&file, buf_slice(&items));
            chunks++;
        }
        items.len = 0;
    } while (more);
    snapfile_put_foot(&file, chunks);
    snapfile_reader_init(&r, copy);
    CHECK(snapfile_read(&r, buf_slice(&file), &why) == ERR_OK);
    CHECK(snapfile_finish(&r, &why) == ERR_OK);
    snapfile_reader_free(&r);
    buf_free(&file);
    buf_free(&items);
    store_destroy(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct store *s;

    if (len == 0) {
        return 0;
    }
    s = store_create(1);
    if (data[0] % 2 == 1) {
        read_file((struct slice){data + 1, len - 1}, data[0], s);
    } else {
        struct diag why;

        (void)store_load(s, (struct slice){data + 1, len - 1}, &why);
    }
    store_check(s);
    survives_the_round(s);
    store_destroy(s);
    return 0;
}
