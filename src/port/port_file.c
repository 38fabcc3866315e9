/* port_file.c - one disk operation, run to its end on files below the directory.
 *
 * Open files are cached by path and shared by the lanes. An entry is removed when
 * its path is renamed, replaced or unlinked, so that a later operation opens what
 * then has the name; one still in use is closed by its last user.
 *
 * Synced writes of whole blocks go O_DIRECT with O_DSYNC where the file system
 * allows it: one request to the kernel instead of two [docs/decisions/0004-io.md]. */
#include "port/port_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES_MAX = 128, ZERO_BYTES = 256 << 10, WRITE_BEHIND_BYTES = 8 << 20 };

struct file_entry {
    char path[DISK_PATH_MAX];
    int fd;         /* buffered */
    int direct_fd;  /* O_DIRECT | O_DSYNC; -1: not opened yet */
    bool no_direct; /* the file system cannot */
    bool created;   /* by us: its directory is not synced yet */
    bool failed;    /* a sync failed: what the kernel holds is unknown; never again */
    bool gone;      /* no longer under this path: the last user closes it */
    unsigned users;
    uint64_t used;   /* when, in operations */
    uint64_t behind; /* bytes written since write-back was started */
};
struct port_files {
    int dirfd;
    pthread_mutex_t lock; /* of what follows; not held during I/O */
    struct file_entry *entries[FILES_MAX];
    uint64_t ops;
};

enum err port_err_of(int error)
{
    switch (error) {
    case 0:
        return ERR_OK;
    case ENOSPC:
    case EDQUOT:
        return ERR_NO_SPACE;
    case ENOENT:
        return ERR_NOT_FOUND;
    default:
        return ERR_IO;
    }
}

struct port_files *port_files_create(int dirfd)
{
    struct port_files *f = MEM_NEW(struct port_files);

    f->dirfd = dirfd;
    CHECK(pthread_mutex_init(&f->lock, NULL) == 0);
    return f;
}

static void entry_close(struct file_entry *e)
{
    (void)close(e->fd);
    if (e->direct_fd >= 0) {
        (void)close(e->direct_fd);
    }
    mem_free(e);
}

void port_files_destroy(struct port_files *f)
{
    for (unsigned i = 0; i < FILES_MAX; i++) {
        if (f->entries[i] != NULL) {
            CHECK(f->entries[i]->users == 0);
            entry_close(f->entries[i]);
        }
    }
    (void)pthread_mutex_destroy(&f->lock);
    mem_free(f);
}

/* Our own paths only, below the directory. */
static void check_path(const char *path)
{
    CHECK(path[0] != '\0');
    CHECK(path[0] != '/');
    CHECK(strnlen(path, DISK_PATH_MAX) < DISK_PATH_MAX);
    CHECK(strstr(path, "..") == NULL);
}

/* All return 0 or an errno. */
static int sync_parent(struct port_files *f, const char *path)
{
    char dir[DISK_PATH_MAX];
    const char *slash = strrchr(path, '/');
    int fd, error;

    if (slash == NULL) {
        (void)snprintf(dir, sizeof dir, ".");
    } else {
        (void)snprintf(dir, sizeof dir, "%.*s", (int)(slash - path), path);
    }
    fd = openat(f->dirfd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    error = fsync(fd) == 0 ? 0 : errno;
    (void)close(fd);
    return error;
}

static int open_file(struct port_files *f, const char *path, bool create, bool *created)
{
    int fd = openat(f->dirfd, path, O_RDWR | O_CLOEXEC);

    *created = false;
    if (fd < 0 && errno == ENOENT && create) {
        fd = openat(f->dirfd, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        *created = fd >= 0;
    }
    return fd;
}

/* After a failed sync the kernel may have dropped the pages and call the next one
 * a success; so there is no next one.
 * Source: Rebello et al., Can Applications Recover from fsync Failures? (2020). */
static int entry_sync(struct port_files *f, struct file_entry *e, bool all)
{
    int error = 0;

    if (e->failed) {
        return EIO;
    }
    if ((all ? fsync(e->fd) : fdatasync(e->fd)) != 0) {
        error = errno;
    }
    if (error == 0 && e->created) {
        error = sync_parent(f, e->path);
        e->created = error != 0;
    }
    e->failed = error != 0;
    return error;
}

/* Not in use, no failure to remember. owing: its directory is not synced yet. */
static bool entry_idle(const struct file_entry *e, bool owing)
{
    return e->users == 0 && !e->failed && e->created == owing;
}

static struct file_entry **entry_oldest(struct port_files *f, bool owing)
{
    struct file_entry **best = NULL;

    for (unsigned i = 0; i < FILES_MAX; i++) {
        struct file_entry *e = f->entries[i];

        if (e != NULL && entry_idle(e, owing) && (best == NULL || e->used < (*best)->used)) {
            best = &f->entries[i];
        }
    }
    return best;
}

/* A place for a new entry: an empty one, or that of the least recently used idle
 * entry which owes the disk nothing. Where all owe something, as when a snapshot of
 * every partition is being received, the oldest pays first. One whose sync failed
 * stays: forgetting it would forget the failure. 0 or an errno. */
static int entry_place(struct port_files *f, struct file_entry ***out)
{
    int error = EMFILE;

    for (unsigned i = 0; i < FILES_MAX; i++) {
        if (f->entries[i] == NULL) {
            *out = &f->entries[i];
            return 0;
        }
    }
    *out = entry_oldest(f, false);
    while (*out == NULL && (*out = entry_oldest(f, true)) != NULL) {
        int synced = entry_sync(f, **out, true);

        if (synced != 0) {
            CHECK((**out)->failed); /* so that the next turn takes another */
            error = synced;
            *out = NULL;
        }
    }
    if (*out == NULL) {
        return error;
    }
    entry_close(**out);
    **out = NULL;
    return 0;
}

/* Under the lock. */
static int entry_open(struct port_files *f, const char *path, bool create, struct file_entry **out)
{
    struct file_entry **place;
    bool created;
    int fd, error = entry_place(f, &place);

    if (error != 0) {
        return error;
    }
    fd = open_file(f, path, create, &created);
    if (fd < 0) {
        return errno;
    }
    *place = MEM_NEW(struct file_entry);
    **place = (struct file_entry){
        .fd = fd, .direct_fd = -1, .created = created, .users = 1, .used = f->ops};
    (void)snprintf((*place)->path, sizeof(*place)->path, "%s", path);
    *out = *place;
    return 0;
}

static int entry_get(struct port_files *f, const char *path, bool create, struct file_entry **out)
{
    *out = NULL;
    CHECK(pthread_mutex_lock(&f->lock) == 0);
    f->ops++;
    for (unsigned i = 0; i < FILES_MAX; i++) {
        struct file_entry *e = f->entries[i];

        if (e != NULL && strcmp(e->path, path) == 0) {
            e->users++;
            e->used = f->ops;
            CHECK(pthread_mutex_unlock(&f->lock) == 0);
            *out = e;
            return 0;
        }
    }
    /* Opening under the lock: rare, and two lanes then cannot open the same file twice. */
    int error = entry_open(f, path, create, out);

    CHECK(pthread_mutex_unlock(&f->lock) == 0);
    return error;
}

static void entry_put(struct port_files *f, struct file_entry *e)
{
    bool last;

    CHECK(pthread_mutex_lock(&f->lock) == 0);
    CHECK(e->users > 0);
    e->users--;
    last = e->gone && e->users == 0;
    CHECK(pthread_mutex_unlock(&f->lock) == 0);
    if (last) {
        entry_close(e);
    }
}

/* The path means another file from now on, or none. */
static void entry_forget(struct port_files *f, const char *path)
{
    struct file_entry *close_me = NULL;

    CHECK(pthread_mutex_lock(&f->lock) == 0);
    for (unsigned i = 0; i < FILES_MAX; i++) {
        struct file_entry *e = f->entries[i];

        if (e != NULL && strcmp(e->path, path) == 0) {
            f->entries[i] = NULL;
            e->gone = true;
            close_me = e->users == 0 ? e : NULL;
        }
    }
    CHECK(pthread_mutex_unlock(&f->lock) == 0);
    if (close_me != NULL) {
        entry_close(close_me);
    }
}

static int write_all(int fd, const uint8_t *data, size_t len, uint64_t offset)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, data, len, (off_t)offset);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? errno : EIO;
        }
        data += n;
        len -= (size_t)n;
        offset += (size_t)n;
    }
    return 0;
}

static bool direct_ready(struct port_files *f, struct file_entry *e)
{
    if (e->direct_fd < 0 && !e->no_direct) {
        e->direct_fd = openat(f->dirfd, e->path, O_RDWR | O_DIRECT | O_DSYNC | O_CLOEXEC);
        e->no_direct = e->direct_fd < 0;
    }
    return e->direct_fd >= 0;
}

/* -1: the file system would not do it this way. */
static int write_direct(struct file_entry *e, const struct disk_op *op, struct port_bounce *bounce)
{
    size_t done = 0;

    while (done < op->data.len) {
        const uint8_t *from = op->data.data + done;
        size_t len = op->data.len - done;
        int error;

        if (((uintptr_t)from % DISK_BLOCK_BYTES) != 0) {
            len = len < bounce->bytes ? len : bounce->bytes;
            memcpy(bounce->at, from, len);
            from = bounce->at;
        }
        error = write_all(e->direct_fd, from, len, op->offset + done);
        if (error == EINVAL && done == 0) {
            e->no_direct = true; /* blocks larger than ours, perhaps */
            (void)close(e->direct_fd);
            e->direct_fd = -1;
            return -1;
        }
        if (error != 0) {
            e->failed = error != ENOSPC && error != EDQUOT;
            return error;
        }
        done += len;
    }
    return 0;
}

static int run_write(struct port_files *f, const struct disk_op *op, struct port_bounce *bounce)
{
    bool blocks = op->offset % DISK_BLOCK_BYTES == 0 && op->data.len % DISK_BLOCK_BYTES == 0;
    struct file_entry *e;
    int error = entry_get(f, op->path, true, &e);

    if (error != 0) {
        return error;
    }
    if (e->failed) {
        error = EIO;
        goto out;
    }
    if (op->sync && blocks && !e->created && direct_ready(f, e)) {
        error = write_direct(e, op, bounce);
        if (error >= 0) {
            goto out;
        }
    }
    error = write_all(e->fd, op->data.data, op->data.len, op->offset);
    if (error == 0 && op->sync) {
        error = entry_sync(f, e, false);
    } else if (error == 0) {
        e->behind += op->data.len;
        if (e->behind >= WRITE_BEHIND_BYTES) {
            /* A snapshot's pages leave steadily, not in one burst before its sync. */
            (void)sync_file_range(e->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
            e->behind = 0;
        }
    }
out:
    entry_put(f, e);
    return error;
}

struct port_bounce port_bounce_new(size_t bytes)
{
    struct port_bounce b = {.bytes = bytes, .whole = mem_zalloc(bytes + DISK_BLOCK_BYTES)};
    size_t past = (uintptr_t)b.whole % DISK_BLOCK_BYTES;

    b.at = (uint8_t *)b.whole + (past == 0 ? 0 : DISK_BLOCK_BYTES - past);
    return b;
}

void port_bounce_free(struct port_bounce *b)
{
    mem_free(b->whole);
    *b = (struct port_bounce){0};
}

static int write_zeros(int fd, uint64_t size)
{
    struct port_bounce zeros = port_bounce_new(ZERO_BYTES);
    int error = 0;

    for (uint64_t at = 0; at < size && error == 0; at += ZERO_BYTES) {
        size_t len = size - at < ZERO_BYTES ? (size_t)(size - at) : ZERO_BYTES;

        error = write_all(fd, zeros.at, len, at);
    }
    port_bounce_free(&zeros);
    return error;
}

static int run_allocate(struct port_files *f, const struct disk_op *op)
{
    bool created;
    int error = 0, fd;

    entry_forget(f, op->path);
    fd = open_file(f, op->path, true, &created);
    if (fd < 0) {
        return errno;
    }
    /* Ask for the whole space first: a full disk is then known before it is written to,
     * and the file lies in one piece. */
    if (fallocate(fd, 0, 0, (off_t)op->offset) != 0 && errno != EOPNOTSUPP) {
        error = errno;
    }
    if (error == 0 && ftruncate(fd, (off_t)op->offset) != 0) {
        error = errno;
    }
    if (error == 0) {
        int direct = op->offset % DISK_BLOCK_BYTES == 0
                         ? openat(f->dirfd, op->path, O_RDWR | O_DIRECT | O_CLOEXEC)
                         : -1; /* past the page cache: nobody reads zeros */

        error = direct >= 0 ? write_zeros(direct, op->offset) : EINVAL;
        if (error == EINVAL) {
            error = write_zeros(fd, op->offset);
        }
        if (direct >= 0) {
            (void)close(direct);
        }
    }
    if (error == 0 && fsync(fd) != 0) {
        error = errno;
    }
    (void)close(fd);
    if (error != 0 && created) {
        (void)unlinkat(f->dirfd, op->path, 0);
    }
    return error != 0 ? error : sync_parent(f, op->path);
}

static int run_sync(struct port_files *f, const struct disk_op *op)
{
    struct file_entry *e;
    int error = entry_get(f, op->path, false, &e);

    if (error == 0) {
        error = entry_sync(f, e, true);
        entry_put(f, e);
    }
    return error;
}

static int run_replace(struct port_files *f, const struct disk_op *op)
{
    char temporary[DISK_PATH_MAX + 8];
    int error = 0, fd;

    (void)snprintf(temporary, sizeof temporary, "%s.new", op->path);
    fd = openat(f->dirfd, temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return errno;
    }
    error = write_all(fd, op->data.data, op->data.len, 0);
    if (error == 0 && fsync(fd) != 0) {
        error = errno;
    }
    (void)close(fd);
    if (error == 0 && renameat(f->dirfd, temporary, f->dirfd, op->path) != 0) {
        error = errno;
    }
    if (error != 0) {
        (void)unlinkat(f->dirfd, temporary, 0);
        return error;
    }
    entry_forget(f, op->path);
    return sync_parent(f, op->path);
}

static int run_rename(struct port_files *f, const struct disk_op *op)
{
    int error;

    check_path(op->path2);
    if (renameat(f->dirfd, op->path, f->dirfd, op->path2) != 0) {
        return errno;
    }
    entry_forget(f, op->path);
    entry_forget(f, op->path2);
    error = sync_parent(f, op->path2);
    if (error == 0) {
        const char *a = strrchr(op->path, '/'), *b = strrchr(op->path2, '/');
        size_t dir = a == NULL ? 0 : (size_t)(a - op->path);

        if (dir != (b == NULL ? 0 : (size_t)(b - op->path2)) ||
            strncmp(op->path, op->path2, dir) != 0) {
            error = sync_parent(f, op->path);
        }
    }
    return error;
}

static int run_unlink(struct port_files *f, const struct disk_op *op)
{
    int error = unlinkat(f->dirfd, op->path, 0) == 0 ? 0 : errno;

    entry_forget(f, op->path);
    return error == ENOENT ? 0 : error;
}

static int run_read(struct port_files *f, const struct disk_op *op, struct buf *read)
{
    struct file_entry *e;
    int error = entry_get(f, op->path, false, &e);

    if (error != 0) {
        return error;
    }
    buf_reserve(read, op->read_bytes + 1);
    while (read->len < op->read_bytes) {
        ssize_t n = pread(e->fd, read->data + read->len, op->read_bytes - read->len,
                          (off_t)(op->offset + read->len));

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            error = n < 0 ? errno : 0;
            break;
        }
        read->len += (size_t)n;
    }
    entry_put(f, e);
    return error;
}

static const char *op_name(enum disk_op_kind kind)
{
    switch (kind) {
    case DISK_WRITE:
        return "write";
    case DISK_ALLOCATE:
        return "allocate";
    case DISK_SYNC:
        return "sync";
    case DISK_REPLACE:
        return "replace";
    case DISK_RENAME:
        return "rename";
    case DISK_UNLINK:
        return "unlink";
    case DISK_READ:
        return "read";
    }
    return "?";
}

void port_file_run(struct port_files *f, const struct disk_op *op, struct port_bounce *bounce,
                   struct disk_done *done, struct buf *read)
{
    int error = 0;

    check_path(op->path);
    switch (op->kind) {
    case DISK_WRITE:
        error = run_write(f, op, bounce);
        break;
    case DISK_ALLOCATE:
        error = run_allocate(f, op);
        break;
    case DISK_SYNC:
        error = run_sync(f, op);
        break;
    case DISK_REPLACE:
        error = run_replace(f, op);
        break;
    case DISK_RENAME:
        error = run_rename(f, op);
        break;
    case DISK_UNLINK:
        error = run_unlink(f, op);
        break;
    case DISK_READ:
        error = run_read(f, op, read);
        break;
    }
    *done = (struct disk_done){.token = op->token, .err = port_err_of(error)};
    if (done->err == ERR_NOT_FOUND && op->kind != DISK_READ) {
        done->err = ERR_IO; /* a file of ours that should be there */
    }
    if (done->err != ERR_OK) {
        diag_set(&done->why, "cannot %s %s: %s", op_name(op->kind), op->path, strerror(error));
    }
}
