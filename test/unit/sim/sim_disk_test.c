/* The simulated disk: what is synced stays, what is not may go in any part. */
#include "base/base_hash.h"
#include "base/base_mem.h"
#include "sim/sim_clock.h"
#include "sim/sim_disk.h"
#include "sim/sim_queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static enum err run(struct sim_disk *d, enum disk_op_kind kind, const char *path, uint64_t offset,
                    const char *text, bool sync)
{
    struct disk_op op = {.kind = kind, .sync = sync, .offset = offset, .read_bytes = 100};
    struct buf out = {0};
    enum err err;

    memcpy(op.path, path, strlen(path) + 1);
    if (kind == DISK_RENAME) {
        memcpy(op.path2, text, strlen(text) + 1);
    } else if (text != NULL) {
        buf_append(&op.data, text, strlen(text));
    }
    err = sim_disk_run(d, &op, &out);
    buf_free(&op.data);
    buf_free(&out);
    return err;
}

static bool same(const struct sim_bytes *b, struct slice wanted)
{
    struct buf all = {0};
    bool equal;

    sim_bytes_read(b, 0, SIZE_MAX, &all);
    equal =
        slice_eq(buf_slice(&all), wanted) && sim_bytes_hash(b) == hash64(wanted.data, wanted.len);
    buf_free(&all);
    return equal;
}

static uint8_t byte_at(const struct sim_bytes *b, size_t offset)
{
    return offset < b->laid.len ? b->laid.data[offset] : 0;
}

static bool holds(const struct sim_disk *d, const char *path, const char *text)
{
    const struct sim_file *f = sim_disk_find(d, path);

    return f != NULL && same(&f->view, slice_str(text));
}

static void synced_stays(void **state)
{
    struct prng rng = {1};

    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        struct sim_disk d = {0};

        assert_int_equal(run(&d, DISK_ALLOCATE, "log/1", 8, NULL, false), ERR_OK);
        assert_int_equal(run(&d, DISK_WRITE, "log/1", 0, "abcd", true), ERR_OK);
        assert_int_equal(run(&d, DISK_REPLACE, "meta", 0, "old", false), ERR_OK);
        assert_int_equal(run(&d, DISK_WRITE, "snap/1.tmp", 0, "whole", true), ERR_OK);
        assert_int_equal(run(&d, DISK_RENAME, "snap/1.tmp", 0, "snap/1", false), ERR_OK);
        sim_disk_crash(&d, &rng, true, NULL, 0);
        assert_true(same(&sim_disk_find(&d, "log/1")->view, SLICE("abcd\0\0\0\0")));
        assert_true(holds(&d, "meta", "old"));
        assert_true(holds(&d, "snap/1", "whole"));
        sim_disk_free(&d);
    }
}

static void unsynced_may_go(void **state)
{
    struct prng rng = {2};
    unsigned lost = 0, kept = 0, back = 0;

    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        struct sim_disk d = {0};

        (void)run(&d, DISK_WRITE, "a", 0, "first", true);
        (void)run(&d, DISK_WRITE, "a", 0, "later", false);
        (void)run(&d, DISK_WRITE, "b", 0, "gone", true);
        (void)run(&d, DISK_UNLINK, "b", 0, NULL, false);
        assert_null(sim_disk_find(&d, "b"));
        sim_disk_crash(&d, &rng, false, NULL, 0); /* only the process */
        assert_true(holds(&d, "a", "later"));
        sim_disk_crash(&d, &rng, true, NULL, 0);
        lost += holds(&d, "a", "first");
        kept += holds(&d, "a", "later");
        back += sim_disk_find(&d, "b") != NULL;
        sim_disk_free(&d);
    }
    assert_true(lost > 20);
    assert_true(kept > 20);
    assert_true(back > 20);
}

/* A write that was running when the power failed: each sector on its own. */
static void torn(void **state)
{
    struct prng rng = {3};
    unsigned none = 0, all = 0, part = 0;

    (void)state;
    for (unsigned i = 0; i < 300; i++) {
        struct sim_disk d = {0};
        struct disk_op op = {.kind = DISK_WRITE, .sync = true, .path = "f"};
        const struct disk_op *flying = &op;
        const struct sim_file *f;
        unsigned ones = 0;

        (void)run(&d, DISK_ALLOCATE, "f", 4096, NULL, false);
        buf_reserve(&op.data, 4096);
        memset(op.data.data, 1, 4096);
        op.data.len = 4096;
        sim_disk_crash(&d, &rng, true, &flying, 1);
        f = sim_disk_find(&d, "f");
        assert_int_equal(f->view.len, 4096);
        for (unsigned k = 0; k < 4096; k++) {
            ones += byte_at(&f->view, k);
        }
        none += ones == 0;
        all += ones == 4096;
        part += ones > 0 && ones < 4096;
        buf_free(&op.data);
        sim_disk_free(&d);
    }
    assert_true(none > 10);
    assert_true(all > 10);
    assert_true(part > 10);
}

static void full(void **state)
{
    struct sim_disk d = {0};

    (void)state;
    (void)run(&d, DISK_ALLOCATE, "f", 100, NULL, false);
    d.full = true;
    assert_int_equal(run(&d, DISK_WRITE, "f", 90, "0123456789", true), ERR_OK);
    assert_int_equal(run(&d, DISK_WRITE, "f", 91, "0123456789", true), ERR_NO_SPACE);
    assert_int_equal(run(&d, DISK_ALLOCATE, "g", 1, NULL, false), ERR_NO_SPACE);
    assert_int_equal(run(&d, DISK_REPLACE, "f", 0, "x", false), ERR_NO_SPACE);
    assert_int_equal(run(&d, DISK_UNLINK, "f", 0, NULL, false), ERR_OK);
    assert_int_equal(run(&d, DISK_READ, "f", 0, NULL, false), ERR_NOT_FOUND);
    sim_disk_free(&d);
}

static void refuses_when_read_only(void **state)
{
    struct sim_disk d = {0};

    (void)state;
    (void)run(&d, DISK_WRITE, "f", 0, "abc", true);
    d.read_only = true;
    assert_int_equal(run(&d, DISK_WRITE, "f", 0, "xyz", true), ERR_IO);
    assert_int_equal(run(&d, DISK_UNLINK, "f", 0, NULL, false), ERR_IO);
    assert_int_equal(run(&d, DISK_READ, "f", 0, NULL, false), ERR_OK);
    assert_true(holds(&d, "f", "abc"));
    sim_disk_free(&d);
}

static void a_broken_sector_is_good_once_it_is_written(void **state)
{
    char sector[SIM_SECTOR_BYTES + 1];
    struct sim_disk d = {0}, copy = {0};

    (void)state;
    memset(sector, 'a', sizeof sector);
    sector[SIM_SECTOR_BYTES] = 0;
    (void)run(&d, DISK_ALLOCATE, "f", 4 * SIM_SECTOR_BYTES, NULL, false);
    assert_true(sim_disk_break(&d, "f", SIM_SECTOR_BYTES + 7));
    assert_false(sim_disk_break(&d, "g", 0));
    assert_int_equal(run(&d, DISK_READ, "f", 0, NULL, false), ERR_OK); /* up to byte 100 */
    assert_int_equal(run(&d, DISK_READ, "f", SIM_SECTOR_BYTES - 1, NULL, false), ERR_IO);
    assert_int_equal(run(&d, DISK_READ, "f", 2 * SIM_SECTOR_BYTES, NULL, false), ERR_OK);
    (void)run(&d, DISK_WRITE, "f", SIM_SECTOR_BYTES, "part", true);
    sim_disk_copy(&copy, &d);
    assert_int_equal(run(&copy, DISK_READ, "f", SIM_SECTOR_BYTES, NULL, false), ERR_IO);
    (void)run(&d, DISK_WRITE, "f", SIM_SECTOR_BYTES, sector, true);
    assert_int_equal(run(&d, DISK_READ, "f", SIM_SECTOR_BYTES, NULL, false), ERR_OK);
    sim_disk_free(&d);
    sim_disk_free(&copy);
}

/* A misdirected write leaves its place as it was and overwrites another; a corrupted one
 * differs in a few bits. */
static void wrong_writes(void **state)
{
    struct disk_op op = {.kind = DISK_WRITE, .sync = true, .path = "log/1", .offset = 4096};
    struct prng rng = {5};
    unsigned same_file = 0, other_file = 0;

    (void)state;
    buf_reserve(&op.data, 4096);
    memset(op.data.data, 1, 4096);
    op.data.len = 4096;
    for (unsigned i = 0; i < 100; i++) {
        struct sim_disk d = {0};
        struct diag where;
        const struct sim_file *f, *g;
        uint64_t ones[2] = {0}, differ = 0;

        (void)run(&d, DISK_ALLOCATE, "log/1", 16384, NULL, false);
        (void)run(&d, DISK_ALLOCATE, "log/2", 8192, NULL, false);
        (void)run(&d, DISK_ALLOCATE, "snap/1", 8192, NULL, false);
        f = sim_disk_find(&d, "log/1");
        g = sim_disk_find(&d, "log/2");
        if (sim_disk_misdirect(&d, &rng, &op, &where)) {
            for (size_t k = 0; k < 16384; k++) {
                ones[0] += byte_at(&f->view, k);
                ones[1] += k < 8192 ? byte_at(&g->view, k) : 0;
            }
            same_file += ones[0] == 4096;
            other_file += ones[1] == 4096;
            assert_int_equal(ones[0] + ones[1], 4096);
            assert_int_equal(byte_at(&f->view, 4096), 0);
        }
        sim_disk_corrupt(&d, &rng, &op);
        for (size_t k = 4096; k < 8192; k++) {
            differ += byte_at(&f->view, k) != 1;
        }
        assert_in_range(differ, 0, 8);
        assert_false(f->apart);
        sim_disk_free(&d);
    }
    assert_true(same_file > 10);
    assert_true(other_file > 10);
    buf_free(&op.data);
}

/* A file that keeps no zeros, and one that keeps them all, are the same file. */
static void zeros_behind(void **state)
{
    struct sim_bytes b = {0}, copy = {0};
    uint8_t dumb[5000] = {0}, data[300];
    size_t len = 0;
    struct prng rng = {9};

    (void)state;
    for (unsigned step = 0; step < 2000; step++) {
        size_t offset = (size_t)prng_below(&rng, sizeof dumb - sizeof data);
        size_t bytes = (size_t)prng_below(&rng, sizeof data);

        switch (prng_below(&rng, step % 100 == 0 ? 4 : 3)) {
        case 0:
            memset(data, (int)prng_between(&rng, 1, 255), sizeof data);
            sim_bytes_lay(&b, offset, data, bytes);
            memcpy(dumb + offset, data, bytes);
            len = bytes > 0 && offset + bytes > len ? offset + bytes : len;
            break;
        case 1:
            if (offset < len) {
                *sim_bytes_at(&b, offset) ^= 1;
                dumb[offset] ^= 1;
            }
            break;
        case 2:
            sim_bytes_copy(&copy, &b);
            assert_true(same(&copy, (struct slice){dumb, len}));
            break;
        default:
            len = offset;
            sim_bytes_zeros(&b, len);
            memset(dumb, 0, sizeof dumb);
        }
        assert_true(same(&b, (struct slice){dumb, len}));
    }
    assert_true(slice_eq(sim_bytes_whole(&b), (struct slice){dumb, len}));
    sim_bytes_free(&b);
    sim_bytes_free(&copy);
}

static void clocks(void **state)
{
    struct sim_clock c = {.drift_ppm = 500};
    uint64_t mono = sim_clock_mono_us(&c, 1000000);

    (void)state;
    assert_int_equal(mono, 1000500);
    sim_clock_drift(&c, 1000000, -500);
    assert_int_equal(sim_clock_mono_us(&c, 1000000), mono);
    assert_int_equal(sim_clock_mono_us(&c, 2000000), mono + 999500);
    for (uint64_t t = mono; t < mono + 100000; t += 977) {
        assert_true(sim_clock_mono_us(&c, sim_clock_world_us(&c, t)) >= t);
    }
}

/* What is due next, by looking at everything: the earliest, of equals the one said first. */
static size_t due(const struct sim_event *said, size_t count)
{
    size_t first = 0;

    for (size_t i = 1; i < count; i++) {
        first = said[i].at_us < said[first].at_us ? i : first;
    }
    return first;
}

static void queue(void **state)
{
    static const uint64_t spans[] = {1, 2, 63, 64, 5000, 300000, 1ULL << 40};
    struct sim_event said[200], ev = {0};
    struct sim_queue q = {0};
    struct prng rng = {7};
    uint64_t now = 1000000, name = 0;
    size_t count = 0;

    (void)state;
    for (unsigned step = 0; step < 40000; step++) {
        if (count < ARRAY_COUNT(said) && prng_chance(&rng, step % 4000 < 2000 ? 2 : 1, 3)) {
            uint64_t at = now + prng_below(&rng, spans[prng_below(&rng, ARRAY_COUNT(spans))]);

            sim_queue_push(&q, at, NULL, ++name, 0);
            said[count++] = (struct sim_event){.at_us = at, .a = name};
        } else if (count > 0) {
            size_t pos = due(said, count);

            assert_true(sim_queue_pop(&q, &ev));
            assert_int_equal(ev.a, said[pos].a);
            assert_int_equal(ev.at_us, said[pos].at_us);
            now = ev.at_us;
            memmove(&said[pos], &said[pos + 1], (--count - pos) * sizeof said[0]);
        } else {
            assert_false(sim_queue_pop(&q, &ev));
        }
    }
    sim_queue_free(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(synced_stays),
        cmocka_unit_test(unsynced_may_go),
        cmocka_unit_test(torn),
        cmocka_unit_test(full),
        cmocka_unit_test(zeros_behind),
        cmocka_unit_test(clocks),
        cmocka_unit_test(refuses_when_read_only),
        cmocka_unit_test(a_broken_sector_is_good_once_it_is_written),
        cmocka_unit_test(wrong_writes),
        cmocka_unit_test(queue),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
