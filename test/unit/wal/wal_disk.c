#include "wal_disk.h"

#include "base/base_mem.h"

#include <stdlib.h>

void disk_sim_drop(struct disk_sim *d)
{
    for (int lane = 0; lane < DISK_LANE_COUNT; lane++) {
        disk_ops_free(&d->lanes[lane]);
    }
}

void disk_sim_free(struct disk_sim *d)
{
    disk_sim_drop(d);
    for (size_t i = 0; i < d->count; i++) {
        buf_free(&d->files[i].bytes);
    }
    for (size_t i = 0; i < d->unlinked_count; i++) {
        buf_free(&d->unlinked[i].bytes);
    }
    d->count = d->unlinked_count = 0;
}

struct disk_file *disk_sim_find(struct disk_sim *d, const char *path)
{
    for (size_t i = 0; i < d->count; i++) {
        if (strcmp(d->files[i].path, path) == 0) {
            return &d->files[i];
        }
    }
    return NULL;
}

struct disk_file *disk_sim_add(struct disk_sim *d, const char *path)
{
    struct disk_file *f = disk_sim_find(d, path);

    if (f == NULL) {
        CHECK(d->count < DISK_FILES_MAX);
        f = &d->files[d->count++];
        *f = (struct disk_file){0};
        memcpy(f->path, path, strlen(path) + 1);
    }
    return f;
}

static struct disk_file detach(struct disk_sim *d, struct disk_file *f)
{
    struct disk_file taken = *f;

    *f = d->files[--d->count];
    return taken;
}

void disk_sim_remove(struct disk_sim *d, const char *path)
{
    struct disk_file *f = disk_sim_find(d, path);

    if (f != NULL) {
        struct disk_file taken = detach(d, f);

        buf_free(&taken.bytes);
    }
}

uint64_t disk_sim_bytes(const struct disk_sim *d)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < d->count; i++) {
        sum += d->files[i].bytes.len;
    }
    return sum;
}

/* --- boot -------------------------------------------------------------- */

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct disk_file *)a)->path, ((const struct disk_file *)b)->path);
}

static enum err boot_list(void *self, const char *dir,
                          void (*visit)(void *arg, const char *name, uint64_t bytes), void *arg,
                          struct diag *why)
{
    struct disk_sim *d = self;
    size_t len = strlen(dir);

    (void)why;
    if (d->count > 0) {
        qsort(d->files, d->count, sizeof d->files[0], by_path);
    }
    for (size_t i = 0; i < d->count; i++) {
        if (strncmp(d->files[i].path, dir, len) == 0 && d->files[i].path[len] == '/') {
            visit(arg, d->files[i].path + len + 1, d->files[i].bytes.len);
        }
    }
    return ERR_OK;
}

static enum err boot_read(void *self, const char *path, uint64_t offset, size_t bytes,
                          struct buf *out, struct diag *why)
{
    struct disk_sim *d = self;
    struct disk_file *f = disk_sim_find(d, path);

    if (f == NULL) {
        diag_set(why, "%s: no such file", path);
        return ERR_NOT_FOUND;
    }
    if (strcmp(path, d->bad_path) == 0 && d->bad_block * DISK_BLOCK_BYTES < offset + bytes &&
        offset < (d->bad_block + d->bad_count) * DISK_BLOCK_BYTES) {
        diag_set(why, "%s: cannot be read", path);
        return ERR_IO;
    }
    if (offset < f->bytes.len) {
        size_t left = f->bytes.len - offset;

        buf_append(out, f->bytes.data + offset, left < bytes ? left : bytes);
    }
    return ERR_OK;
}

struct disk_boot disk_sim_boot(struct disk_sim *d)
{
    return (struct disk_boot){d, boot_list, boot_read};
}

/* --- operations -------------------------------------------------------- */

void disk_sim_submit(struct disk_sim *d, struct disk_ops *ops)
{
    for (size_t i = 0; i < ops->count; i++) {
        struct disk_op *op = &ops->at[i];

        *disk_ops_push(&d->lanes[op->lane], op->kind, op->lane) = *op;
    }
    ops->count = 0;
}

static void grow(struct disk_file *f, size_t bytes)
{
    if (f->bytes.len < bytes) {
        buf_reserve(&f->bytes, bytes - f->bytes.len);
        memset(f->bytes.data + f->bytes.len, 0, bytes - f->bytes.len);
        f->bytes.len = bytes;
    }
}

/* Block by block, those that chance lets through (rng NULL: all). */
static void write_blocks(struct disk_sim *d, const struct disk_op *op, struct prng *rng)
{
    struct disk_file *f = disk_sim_find(d, op->path);
    uint64_t mode = rng == NULL ? 0 : prng_below(rng, 4); /* all, none, a prefix, any */
    size_t blocks = (op->data.len + DISK_BLOCK_BYTES - 1) / DISK_BLOCK_BYTES;
    size_t prefix = mode == 2 ? (size_t)prng_below(rng, blocks + 1) : 0;

    CHECK(f != NULL); /* the log writes into allocated segments only */
    CHECK(op->offset + op->data.len <= f->bytes.len);
    for (size_t i = 0; i < blocks; i++) {
        size_t at = i * DISK_BLOCK_BYTES;
        size_t len = op->data.len - at < DISK_BLOCK_BYTES ? op->data.len - at : DISK_BLOCK_BYTES;

        if (mode == 0 || (mode == 2 && i < prefix) || (mode == 3 && prng_chance(rng, 1, 2))) {
            memcpy(f->bytes.data + op->offset + at, op->data.data + at, len);
        }
    }
}

static enum err allocate(struct disk_sim *d, const struct disk_op *op, struct prng *rng)
{
    struct disk_file *f = disk_sim_add(d, op->path);
    uint64_t others = disk_sim_bytes(d) - f->bytes.len, size = op->offset;

    if (rng != NULL) {
        size = prng_chance(rng, 1, 3) ? size : prng_below(rng, size);
    } else if (d->capacity > 0 && others + size > d->capacity) {
        size = d->capacity > others ? d->capacity - others : 0;
    }
    f->bytes.len = 0;
    grow(f, size);
    return size == op->offset ? ERR_OK : ERR_NO_SPACE;
}

static void dir_synced(struct disk_sim *d)
{
    for (size_t i = 0; i < d->unlinked_count; i++) {
        buf_free(&d->unlinked[i].bytes);
    }
    d->unlinked_count = 0;
}

static void unlink_file(struct disk_sim *d, const char *path)
{
    struct disk_file *f = disk_sim_find(d, path);

    if (f != NULL) {
        if (d->unlinked_count == DISK_UNDO_MAX) {
            dir_synced(d);
        }
        d->unlinked[d->unlinked_count++] = detach(d, f);
    }
}

static void rename_file(struct disk_sim *d, const struct disk_op *op)
{
    struct disk_file *f = disk_sim_find(d, op->path);

    CHECK(f != NULL);
    CHECK(disk_sim_find(d, op->path2) == NULL); /* the log never renames over a file */
    memcpy(f->path, op->path2, DISK_PATH_MAX);
}

static enum err perform(struct disk_sim *d, const struct disk_op *op, struct prng *rng)
{
    switch (op->kind) {
    case DISK_WRITE:
        if (d->writes_fail_no_space && rng == NULL) {
            return ERR_NO_SPACE;
        }
        write_blocks(d, op, rng);
        d->writes++;
        return ERR_OK;
    case DISK_ALLOCATE:
        d->allocates++;
        return allocate(d, op, rng);
    case DISK_RENAME:
        if (rng == NULL || prng_chance(rng, 1, 2)) {
            rename_file(d, op);
        }
        if (rng == NULL) {
            dir_synced(d);
        }
        d->renames++;
        return ERR_OK;
    case DISK_UNLINK:
        if (rng == NULL || prng_chance(rng, 1, 2)) {
            unlink_file(d, op->path);
        }
        d->unlinks++;
        return ERR_OK;
    case DISK_SYNC:
    case DISK_REPLACE:
    case DISK_READ:
        break;
    }
    UNREACHABLE("the log does not ask for that");
}

bool disk_sim_step(struct disk_sim *d, enum disk_lane lane, struct disk_done *done)
{
    struct disk_ops *q = &d->lanes[lane];

    if (q->count == 0) {
        return false;
    }
    struct disk_op op = q->at[0];

    q->count--;
    memmove(&q->at[0], &q->at[1], q->count * sizeof q->at[0]);
    *done = (struct disk_done){.token = op.token, .err = d->fail_next};
    if (d->fail_next == ERR_OK) {
        done->err = perform(d, &op, NULL);
    }
    if (done->err != ERR_OK) {
        diag_set(&done->why, "%s: %s", op.path, err_text(done->err));
    }
    d->fail_next = ERR_OK;
    buf_free(&op.data);
    return true;
}

void disk_sim_crash(struct disk_sim *d, struct prng *rng)
{
    for (int lane = 0; lane < DISK_LANE_COUNT; lane++) {
        if (d->lanes[lane].count > 0) {
            (void)perform(d, &d->lanes[lane].at[0], rng);
        }
    }
    for (size_t i = 0; i < d->unlinked_count; i++) {
        if (prng_chance(rng, 1, 2) && disk_sim_find(d, d->unlinked[i].path) == NULL) {
            *disk_sim_add(d, d->unlinked[i].path) = d->unlinked[i];
            d->unlinked[i].bytes = (struct buf){0};
        }
    }
    dir_synced(d);
    disk_sim_drop(d);
}
