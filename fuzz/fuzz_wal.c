/* Log recovery against arbitrary bytes: it may refuse or name damage, but never reads
 * out of bounds, never breaks an invariant, and a log it accepts can be written on
 * and read again.
 *
 * Input: an even first byte, then the contents of segment 1 (from its 64-byte header
 * on, the rest of the block left out); or an odd one, then changes to a whole log,
 * each: segment, 3 bytes of position, value to exclusive-or. */
#include "base/base_hash.h"
#include "base/base_mem.h"
#include "wal/wal_internal.h"
#include "wal_disk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SEGMENT = 6 * 4096 };

static const struct wal_config config = {.segment_bytes = SEGMENT, .spare_count = 1};

/* The visitor holds recovery to its promises: order, contiguity, readable bytes. */
struct seen {
    uint64_t last[WAL_GROUPS_MAX];
    bool stated[WAL_GROUPS_MAX];
    uint64_t sum;
};

static void on_entries(void *self, uint32_t group, const struct raft_entry *e, uint32_t count)
{
    struct seen *s = self;

    CHECK(group < WAL_GROUPS_MAX);
    CHECK(!s->stated[group]);
    CHECK(s->last[group] == 0 || e[0].index.n <= s->last[group] + 1);
    for (uint32_t i = 0; i < count; i++) {
        CHECK(e[i].index.n == e[0].index.n + i);
        s->sum += hash64(e[i].data.data, e[i].data.len);
    }
    s->last[group] = e[count - 1].index.n;
}

static void on_state(void *self, uint32_t group, const struct wal_group_state *state)
{
    struct seen *s = self;

    CHECK(!s->stated[group]);
    s->stated[group] = true;
    s->sum += hash64(state->blob.data, state->blob.len);
}

static void on_reset(void *self, uint32_t group)
{
    ((struct seen *)self)->last[group] = 0;
}

static void on_damaged(void *self, uint32_t group, const char *why)
{
    CHECK(((struct seen *)self)->stated[group]);
    CHECK(why[0] != 0);
}

/* NULL: refused. */
static struct wal *recover(struct disk_sim *d)
{
    struct wal *w = wal_create(&config);
    struct disk_boot boot = disk_sim_boot(d);
    struct seen *seen = MEM_NEW(struct seen);
    struct wal_visitor v = {seen, on_entries, on_state, on_reset, on_damaged};
    struct wal_recovery found;
    struct diag why = {""};
    enum err err = wal_recover(w, &boot, &v, &found, &why);

    mem_free(seen);
    if (err != ERR_OK) {
        CHECK(err == ERR_VERSION || err == ERR_CORRUPT);
        CHECK(why.text[0] != 0);
        wal_destroy(w);
        return NULL;
    }
    wal_check(w);
    return w;
}

static void settle(struct disk_sim *d, struct wal *w)
{
    struct disk_ops ops = {0};
    struct disk_done done;
    struct diag why;

    for (int i = 0; i < 12; i++) {
        wal_flush(w, &ops);
        disk_sim_submit(d, &ops);
        while (disk_sim_step(d, DISK_LANE_BULK, &done) || disk_sim_step(d, DISK_LANE_LOG, &done)) {
            CHECK(wal_disk_done(w, 0, &done, &why) == ERR_OK);
        }
        wal_check(w);
    }
    disk_ops_free(&ops);
    CHECK(wal_durable(w) + 1 == wal_ticket(w));
}

static void build_valid(struct disk_sim *d)
{
    struct wal *w = recover(d);

    for (uint64_t i = 1; i <= 12; i++) {
        static const uint8_t zeros[3000];
        struct raft_entry e = {{i}, {1}, RAFT_COMMAND, {zeros, 500 * (size_t)(i % 7)}};

        for (uint32_t group = 0; group < 3; group++) {
            if ((i + group) % 3 != 0) {
                e.index.n = w->groups[group] == NULL ? 1 : w->groups[group]->now.last + 1;
                wal_put_entries(w, group, &e, 1);
            }
        }
        wal_put_hard(w, (uint32_t)i % 3, (struct raft_hard){{i}, {1}});
        settle(d, w);
    }
    wal_destroy(w);
    disk_sim_drop(d);
}

static void mutate(struct disk_sim *d, const uint8_t *data, size_t size)
{
    static struct disk_sim valid; /* built once: kept for the process's life */

    if (valid.count == 0) {
        build_valid(&valid);
    }
    for (size_t i = 0; i < valid.count; i++) {
        buf_append_slice(&disk_sim_add(d, valid.files[i].path)->bytes,
                         buf_slice(&valid.files[i].bytes));
    }
    for (; size >= 5; data += 5, size -= 5) {
        struct disk_file *f = &d->files[data[0] % d->count];
        uint32_t at = data[1] | (uint32_t)data[2] << 8 | (uint32_t)data[3] << 16;

        if (f->bytes.len == 0) {
            continue;
        }
        if (data[4] == 0) {
            f->bytes.len = at % f->bytes.len; /* cut short */
        } else {
            f->bytes.data[at % f->bytes.len] ^= data[4];
        }
    }
}

/* Checksums a fuzzer cannot guess are put right, so that what lies behind is reached. */
static void plant(struct disk_sim *d, const uint8_t *data, size_t size)
{
    struct disk_file *f = disk_sim_add(d, WAL_DIR "/0000000000000001.seg");
    size_t head = size < 64 ? size : 64;

    buf_append(&f->bytes, data, head);
    while (f->bytes.len < 4096) {
        put_u8(&f->bytes, 0);
    }
    buf_append(&f->bytes, data + head, size - head);
    while (f->bytes.len % 4096 != 0) {
        put_u8(&f->bytes, 0);
    }
    if (size > 0 && (data[0] & 1) != 0) {
        struct wal_segment_header sh = {1, 1, f->bytes.len, 1};

        wal_segment_header_put(f->bytes.data, &sh);
    }
    if (f->bytes.len > 4096 && size > 1 && (data[1] & 1) != 0) {
        struct wal_batch_header bh = {.sequence = 1,
                                      .segment = 1,
                                      .offset = 4096,
                                      .bytes = 64 + (size > 128 ? size - 128 : 0),
                                      .records = data[1] >> 1,
                                      .groups = 1};

        wal_batch_header_put(f->bytes.data + 4096, &bh);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct disk_sim d;

    if (size == 0 || size > 65536) {
        return 0;
    }
    d = (struct disk_sim){0};
    if ((data[0] & 1) != 0) {
        mutate(&d, data + 1, size - 1);
    } else {
        plant(&d, data + 1, size - 1);
    }
    struct wal *w = recover(&d);

    if (w != NULL) {
        wal_put_commit(w, 7, (struct raft_index){1});
        settle(&d, w);
        wal_destroy(w);
        w = recover(&d);
        CHECK(w != NULL); /* what was accepted once is accepted again */
        wal_destroy(w);
    }
    disk_sim_free(&d);
    return 0;
}
