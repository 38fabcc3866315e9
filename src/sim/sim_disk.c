#include "sim/sim_disk.h"

#include "base/base_hash.h"
#include "base/base_mem.h"

#include <stdio.h>
#include <stdlib.h>

static struct sim_file *find(const struct sim_disk *d, const char *path)
{
    if (d->latest != NULL && !d->latest->removed && strcmp(d->latest->path, path) == 0) {
        return d->latest;
    }
    for (size_t i = 0; i < d->count; i++) {
        if (!d->files[i]->removed && strcmp(d->files[i]->path, path) == 0) {
            return d->files[i];
        }
    }
    return NULL;
}

const struct sim_file *sim_disk_find(const struct sim_disk *d, const char *path)
{
    return find(d, path);
}

static struct sim_file *make(struct sim_disk *d, const char *path)
{
    struct sim_file *f = MEM_NEW(struct sim_file);

    CHECK(strlen(path) > 0 && strlen(path) < DISK_PATH_MAX);
    memcpy(f->path, path, strlen(path) + 1);
    MEM_GROW(d->files, d->count, d->cap);
    d->files[d->count++] = f;
    return f;
}

static void drop_pending(struct sim_file *f)
{
    for (size_t i = 0; i < f->pending_count; i++) {
        buf_free(&f->pending[i].data);
    }
    f->pending_count = 0;
}

static void file_free(struct sim_file *f)
{
    drop_pending(f);
    mem_free(f->pending);
    mem_free(f->bad);
    sim_bytes_free(&f->view);
    sim_bytes_free(&f->platter);
    mem_free(f);
}

static void forget(struct sim_disk *d, struct sim_file *f)
{
    for (size_t i = 0; i < d->count; i++) {
        if (d->files[i] == f) {
            d->latest = NULL;
            memmove(&d->files[i], &d->files[i + 1], (d->count - i - 1) * sizeof d->files[0]);
            d->count--;
            file_free(f);
            return;
        }
    }
    UNREACHABLE("the file is not on its disk");
}

void sim_disk_wipe(struct sim_disk *d)
{
    for (size_t i = 0; i < d->count; i++) {
        file_free(d->files[i]);
    }
    d->count = 0;
    d->latest = NULL;
}

void sim_disk_free(struct sim_disk *d)
{
    sim_disk_wipe(d);
    mem_free(d->files);
    *d = (struct sim_disk){0};
}

/* From now on what is written is not on the platter. */
static void keep_platter(struct sim_file *f)
{
    if (!f->apart) {
        sim_bytes_copy(&f->platter, &f->view);
        f->apart = true;
    }
}

/* The platter has all that the view has. */
static void drop_platter(struct sim_file *f)
{
    if (!f->stray) {
        sim_bytes_free(&f->platter);
        f->apart = false;
    }
}

static void remember_pending(struct sim_file *f, uint64_t offset, struct slice data)
{
    MEM_GROW(f->pending, f->pending_count, f->pending_cap);
    f->pending[f->pending_count] = (struct sim_write){.offset = offset};
    buf_append_slice(&f->pending[f->pending_count].data, data);
    f->pending_count++;
}

static void file_sync(struct sim_disk *d, struct sim_file *f)
{
    if (d->sync_lies && f->entry_durable && d->syncs++ % 4 == 0) {
        return;
    }
    for (size_t i = 0; i < f->pending_count; i++) {
        struct sim_write *w = &f->pending[i];

        if (w->data.len > 0) {
            sim_bytes_lay(&f->platter, w->offset, w->data.data, w->data.len);
        }
    }
    drop_pending(f);
    drop_platter(f);
    f->entry_durable = true;
}

static size_t dir_len(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? 0 : (size_t)(slash - path);
}

static bool same_dir(const char *a, const char *b)
{
    size_t len = dir_len(a);

    return len == dir_len(b) && memcmp(a, b, len) == 0;
}

/* Unlinks in the directory of path are final, and what was linked there stays. */
static void dir_sync(struct sim_disk *d, const char *path)
{
    for (size_t i = d->count; i > 0; i--) {
        struct sim_file *f = d->files[i - 1];

        if (!same_dir(f->path, path)) {
            continue;
        }
        if (f->removed) {
            forget(d, f);
        } else {
            f->entry_durable = true;
        }
    }
}

/* --- sectors that cannot be read --- */

static bool unreadable(const struct sim_file *f, uint64_t offset, uint64_t bytes)
{
    for (size_t i = 0; i < f->bad_count; i++) {
        uint64_t at = f->bad[i] * SIM_SECTOR_BYTES;

        if (at < offset + bytes && offset < at + SIM_SECTOR_BYTES && at < f->view.len) {
            return true;
        }
    }
    return false;
}

/* A drive puts a good sector in the place of a bad one that is written as a whole. */
static void remap(struct sim_file *f, uint64_t offset, uint64_t bytes)
{
    size_t kept = 0;

    for (size_t i = 0; i < f->bad_count; i++) {
        uint64_t at = f->bad[i] * SIM_SECTOR_BYTES;

        if (at < offset || at + SIM_SECTOR_BYTES > offset + bytes) {
            f->bad[kept++] = f->bad[i];
        }
    }
    f->bad_count = kept;
}

bool sim_disk_break(struct sim_disk *d, const char *path, uint64_t offset)
{
    struct sim_file *f = find(d, path);

    if (f == NULL || offset >= f->view.len) {
        return false;
    }
    MEM_GROW(f->bad, f->bad_count, f->bad_cap);
    f->bad[f->bad_count++] = offset / SIM_SECTOR_BYTES;
    return true;
}

/* --- operations --- */

/* On the view and on the platter. */
static void lay_all(struct sim_file *f, uint64_t offset, struct slice data)
{
    if (data.len > 0) {
        sim_bytes_lay(&f->view, offset, data.data, data.len);
        remap(f, offset, data.len);
        if (f->apart) {
            sim_bytes_lay(&f->platter, offset, data.data, data.len);
        }
    }
}

/* To write up to there; f is NULL for a new file. */
static bool no_room(const struct sim_disk *d, const struct sim_file *f, uint64_t end)
{
    return d->full && (d->copies || f == NULL || end > f->view.len);
}

static enum err run_write(struct sim_disk *d, const struct disk_op *op)
{
    struct sim_file *f = find(d, op->path);
    uint64_t end = op->offset + op->data.len;

    if (no_room(d, f, end)) {
        return ERR_NO_SPACE;
    }
    if (f == NULL) {
        f = make(d, op->path);
    }
    if (op->sync && !d->sync_lies) { /* most writes: they need not be remembered first */
        file_sync(d, f);
        lay_all(f, op->offset, buf_slice(&op->data));
        return ERR_OK;
    }
    if (op->data.len > 0) {
        keep_platter(f);
        sim_bytes_lay(&f->view, op->offset, op->data.data, op->data.len);
        remap(f, op->offset, op->data.len);
        remember_pending(f, op->offset, buf_slice(&op->data));
    }
    if (op->sync) {
        file_sync(d, f);
    }
    return ERR_OK;
}

bool sim_disk_flip(struct sim_disk *d, const char *path, uint64_t offset, unsigned bit)
{
    struct sim_file *f = find(d, path);

    if (f == NULL || offset >= sim_file_platter_bytes(f) || offset >= f->view.len) {
        return false;
    }
    *sim_bytes_at(&f->view, offset) ^= (uint8_t)(1U << bit);
    if (f->apart) {
        *sim_bytes_at(&f->platter, offset) ^= (uint8_t)(1U << bit);
        f->stray = true;
    }
    return true;
}

bool sim_disk_lose(struct sim_disk *d, const char *path)
{
    struct sim_file *f = find(d, path);

    if (f != NULL) {
        forget(d, f);
    }
    return f != NULL;
}

/* --- writes that go wrong without a word --- */

static bool is_neighbour(const struct sim_file *f, const struct disk_op *op)
{
    return !f->removed && f->view.len >= op->data.len && same_dir(f->path, op->path);
}

bool sim_disk_misdirect(struct sim_disk *d, struct prng *rng, const struct disk_op *op,
                        struct diag *where)
{
    struct disk_op wrong = *op;
    struct sim_file *f = NULL;
    uint64_t first, blocks;

    CHECK(op->kind == DISK_WRITE);
    if (d->count == 0 || d->full || d->read_only) {
        return false;
    }
    first = prng_below(rng, d->count);
    for (size_t i = 0; i < d->count && f == NULL; i++) {
        struct sim_file *other = d->files[(first + i) % d->count];

        f = is_neighbour(other, op) ? other : NULL;
    }
    if (prng_chance(rng, 1, 2) && find(d, op->path) != NULL &&
        is_neighbour(find(d, op->path), op)) {
        f = find(d, op->path);
    }
    if (f == NULL) {
        return false;
    }
    blocks = (f->view.len - op->data.len) / DISK_BLOCK_BYTES + 1;
    wrong.offset = prng_below(rng, blocks) * DISK_BLOCK_BYTES;
    if (strcmp(f->path, op->path) == 0 && wrong.offset == op->offset) {
        return false;
    }
    memcpy(wrong.path, f->path, sizeof wrong.path);
    diag_set(where, "%s at %lu instead of %s at %lu", wrong.path, wrong.offset, op->path,
             op->offset);
    CHECK(run_write(d, &wrong) == ERR_OK);
    if (op->sync) {
        struct sim_file *meant = find(d, op->path);

        if (meant != NULL) {
            file_sync(d, meant); /* whatever was written to it before */
        }
    }
    return true;
}

void sim_disk_corrupt(struct sim_disk *d, struct prng *rng, const struct disk_op *op)
{
    struct disk_op wrong = *op;
    uint64_t bits = prng_between(rng, 1, 8);

    CHECK(op->kind == DISK_WRITE && op->data.len > 0);
    wrong.data = (struct buf){0};
    buf_append_slice(&wrong.data, buf_slice(&op->data));
    for (; bits > 0; bits--) {
        wrong.data.data[prng_below(rng, wrong.data.len)] ^= (uint8_t)(1U << prng_below(rng, 8));
    }
    CHECK(run_write(d, &wrong) == ERR_OK);
    buf_free(&wrong.data);
}

/* --- copies --- */

static void file_copy(struct sim_file *to, const struct sim_file *from)
{
    sim_bytes_copy(&to->view, &from->view);
    if (from->apart) {
        sim_bytes_copy(&to->platter, &from->platter);
        to->apart = true;
        to->stray = from->stray;
    }
    for (size_t i = 0; i < from->pending_count; i++) {
        remember_pending(to, from->pending[i].offset, buf_slice(&from->pending[i].data));
    }
    if (from->bad_count > 0) {
        to->bad = mem_alloc(from->bad_count * sizeof to->bad[0]);
        memcpy(to->bad, from->bad, from->bad_count * sizeof to->bad[0]);
        to->bad_count = to->bad_cap = from->bad_count;
    }
    to->entry_durable = from->entry_durable;
    to->removed = from->removed;
}

void sim_disk_copy(struct sim_disk *to, const struct sim_disk *from)
{
    sim_disk_wipe(to);
    to->full = from->full;
    to->copies = from->copies;
    to->read_only = from->read_only;
    to->sync_lies = from->sync_lies;
    to->syncs = from->syncs;
    for (size_t i = 0; i < from->count; i++) {
        file_copy(make(to, from->files[i]->path), from->files[i]);
    }
}

static void put_whole(struct sim_disk *d, const char *path, const uint8_t *data, size_t len)
{
    struct sim_file *old = find(d, path);
    struct sim_file *f;

    if (old != NULL) {
        forget(d, old);
    }
    f = make(d, path);
    if (data != NULL) {
        sim_bytes_lay(&f->view, 0, data, len);
    } else {
        sim_bytes_zeros(&f->view, len);
    }
    dir_sync(d, path);
}

static enum err run_rename(struct sim_disk *d, const struct disk_op *op)
{
    struct sim_file *f = find(d, op->path);
    struct sim_file *target = find(d, op->path2);

    if (f == NULL) {
        return ERR_NOT_FOUND;
    }
    if (target != NULL && target != f) {
        forget(d, target);
    }
    memcpy(f->path, op->path2, sizeof f->path);
    dir_sync(d, op->path);
    dir_sync(d, op->path2);
    return ERR_OK;
}

enum err sim_disk_run(struct sim_disk *d, const struct disk_op *op, struct buf *read_out)
{
    struct sim_file *f = find(d, op->path);

    d->latest = f;
    if (d->read_only && op->kind != DISK_READ) {
        return ERR_IO;
    }
    switch (op->kind) {
    case DISK_WRITE:
        return run_write(d, op);
    case DISK_ALLOCATE:
        if (d->full && (f == NULL || f->view.len < op->offset)) {
            return ERR_NO_SPACE;
        }
        put_whole(d, op->path, NULL, (size_t)op->offset);
        return ERR_OK;
    case DISK_SYNC:
        if (f == NULL) {
            return ERR_NOT_FOUND;
        }
        file_sync(d, f);
        return ERR_OK;
    case DISK_REPLACE:
        if (d->full) {
            return ERR_NO_SPACE;
        }
        put_whole(d, op->path, op->data.data == NULL ? (const uint8_t *)"" : op->data.data,
                  op->data.len);
        return ERR_OK;
    case DISK_RENAME:
        return run_rename(d, op);
    case DISK_UNLINK:
        if (f != NULL) {
            f->removed = true;
        }
        return ERR_OK;
    case DISK_READ:
        if (f == NULL) {
            return ERR_NOT_FOUND;
        }
        if (unreadable(f, op->offset, op->read_bytes)) {
            return ERR_IO;
        }
        sim_bytes_read(&f->view, op->offset, op->read_bytes, read_out);
        return ERR_OK;
    }
    UNREACHABLE("disk op kind");
}

/* Part of a write reaches the file. How much is kept is itself a coin: all, nothing,
 * a prefix, or each sector for itself. */
static void lay_torn(struct sim_bytes *b, struct prng *rng, const struct sim_write *w)
{
    uint64_t mode = prng_below(rng, 4);
    size_t cut = w->data.len == 0 ? 0 : (size_t)prng_below(rng, w->data.len + 1);
    size_t at = 0;

    while (at < w->data.len) {
        uint64_t place = w->offset + at;
        size_t step = SIM_SECTOR_BYTES - (size_t)(place % SIM_SECTOR_BYTES);
        bool keep;

        if (step > w->data.len - at) {
            step = w->data.len - at;
        }
        keep = mode == 0 || (mode == 1 && at < cut) || (mode == 2 && prng_chance(rng, 1, 2));
        if (keep) {
            sim_bytes_lay(b, place, w->data.data + at, step);
        }
        at += step;
    }
}

/* An op that was running: none, part, or all of it. */
static void fly(struct sim_disk *d, struct prng *rng, const struct disk_op *op)
{
    bool happened = prng_chance(rng, 1, 2);
    struct buf none = {0};

    if (d->read_only) {
        return;
    }
    switch (op->kind) {
    case DISK_WRITE: {
        struct sim_file *f = find(d, op->path);
        struct sim_write w = {.offset = op->offset, .data = op->data};

        if ((f == NULL && !happened) || no_room(d, f, op->offset + op->data.len)) {
            return;
        }
        if (f == NULL) {
            f = make(d, op->path);
        }
        /* The page cache takes it whole or in part; the platter is decided later. */
        keep_platter(f);
        lay_torn(&f->view, rng, &w);
        remember_pending(f, 0, sim_bytes_whole(&f->view));
        return;
    }
    case DISK_ALLOCATE:
        if (happened && !d->full) {
            put_whole(d, op->path, NULL, (size_t)prng_below(rng, op->offset + 1));
            find(d, op->path)->entry_durable = prng_chance(rng, 1, 2);
        }
        return;
    case DISK_SYNC:
    case DISK_REPLACE:
    case DISK_RENAME:
    case DISK_UNLINK:
        if (happened) {
            enum err ignored = sim_disk_run(d, op, &none);

            (void)ignored; /* it may fail; nobody is left to be told */
        }
        return;
    case DISK_READ:
        return;
    }
}

static void power_off(struct sim_disk *d, struct prng *rng)
{
    for (size_t i = d->count; i > 0; i--) {
        struct sim_file *f = d->files[i - 1];

        for (size_t k = 0; k < f->pending_count; k++) {
            lay_torn(&f->platter, rng, &f->pending[k]);
        }
        drop_pending(f);
        if (f->apart) {
            sim_bytes_free(&f->view);
            f->view = f->platter;
            f->platter = (struct sim_bytes){0};
            f->apart = f->stray = false;
        }
        if (f->removed) {
            bool back = f->entry_durable && prng_chance(rng, 1, 2);

            SOMETIMES(back, "sim_disk: an unlinked file came back");
            if (!back || find(d, f->path) != NULL) {
                forget(d, f);
            } else {
                f->removed = false;
            }
        } else if (!f->entry_durable && prng_chance(rng, 1, 2)) {
            SOMETIMES(true, "sim_disk: a new file's name was lost");
            forget(d, f);
        } else {
            f->entry_durable = true;
        }
    }
}

void sim_disk_crash(struct sim_disk *d, struct prng *rng, bool power,
                    const struct disk_op *const *flying, size_t flying_count)
{
    for (size_t i = 0; i < flying_count; i++) {
        fly(d, rng, flying[i]);
    }
    if (power) {
        power_off(d, rng);
    }
}

static int by_path(const void *a, const void *b)
{
    const struct sim_file *const *fa = a;
    const struct sim_file *const *fb = b;

    return strcmp((*fa)->path, (*fb)->path);
}

static enum err boot_list(void *self, const char *dir,
                          void (*visit)(void *arg, const char *name, uint64_t bytes), void *arg,
                          struct diag *why)
{
    struct sim_disk *d = self;
    size_t len = strlen(dir);
    char inside[DISK_PATH_MAX];

    (void)why;
    (void)snprintf(inside, sizeof inside, "%s/", dir);
    dir_sync(d, inside); /* as struct disk_boot promises */
    if (d->count > 0) {
        qsort(d->files, d->count, sizeof d->files[0], by_path);
    }
    for (size_t i = 0; i < d->count; i++) {
        const struct sim_file *f = d->files[i];

        if (!f->removed && dir_len(f->path) == len && memcmp(f->path, dir, len) == 0) {
            visit(arg, len == 0 ? f->path : f->path + len + 1, f->view.len);
        }
    }
    return ERR_OK;
}

static enum err boot_read(void *self, const char *path, uint64_t offset, size_t bytes,
                          struct buf *out, struct diag *why)
{
    struct sim_file *f = find(self, path);

    if (f != NULL && offset == 0) {
        file_sync(self, f); /* as struct disk_boot promises */
    }
    if (f == NULL) {
        diag_set(why, "%s: no such file", path);
        return ERR_NOT_FOUND;
    }
    if (unreadable(f, offset, bytes)) {
        diag_set(why, "%s: simulated: a sector cannot be read", path);
        return ERR_IO;
    }
    sim_bytes_read(&f->view, offset, bytes, out);
    return ERR_OK;
}

struct disk_boot sim_disk_boot(struct sim_disk *d)
{
    return (struct disk_boot){.self = d, .list = boot_list, .read = boot_read};
}

size_t sim_disk_unsynced(const struct sim_disk *d)
{
    size_t count = 0;

    for (size_t i = 0; i < d->count; i++) {
        count += d->files[i]->pending_count;
    }
    return count;
}

uint64_t sim_disk_bytes(const struct sim_disk *d)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < d->count; i++) {
        bytes += d->files[i]->removed ? 0 : d->files[i]->view.len;
    }
    return bytes;
}

uint64_t sim_disk_hash(const struct sim_disk *d)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < d->count; i++) {
        const struct sim_file *f = d->files[i];

        if (!f->removed) {
            sum ^= hash64_mix(hash64(f->path, strlen(f->path)), sim_bytes_hash(&f->view));
        }
    }
    return sum;
}
