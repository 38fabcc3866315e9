/* port_dir.c - the data directory: lock, format, and reading it before the start. */
#include "port/port_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DIR_FORMAT = 1 };
#define VERSION_TEXT "synod data directory, format "

struct port_dir {
    int fd, lock_fd;
    char *path;
};

int port_dir_fd(const struct port_dir *d)
{
    return d->fd;
}

const char *port_dir_path(const struct port_dir *d)
{
    return d->path;
}

/* mkdir -p, mode 0700. */
static int make_path(const char *path)
{
    char *copy = mem_strndup(path, strlen(path));
    int error = 0;

    for (char *at = copy + 1; error == 0 && *at != '\0'; at++) {
        if (*at == '/') {
            *at = '\0';
            error = mkdir(copy, 0700) != 0 && errno != EEXIST ? errno : 0;
            *at = '/';
        }
    }
    if (error == 0 && mkdir(copy, 0700) != 0 && errno != EEXIST) {
        error = errno;
    }
    mem_free(copy);
    return error;
}

static enum err take_lock(struct port_dir *d, struct diag *why)
{
    char pid[32] = "";
    ssize_t n;

    d->lock_fd = openat(d->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (d->lock_fd < 0) {
        diag_set(why, "cannot open %s/lock: %s; give this user the directory (chown)", d->path,
                 strerror(errno));
        return ERR_IO;
    }
    if (flock(d->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) {
            diag_set(why, "cannot lock %s/lock: %s", d->path, strerror(errno));
            return ERR_IO;
        }
        n = pread(d->lock_fd, pid, sizeof pid - 1, 0);
        pid[n > 0 ? n : 0] = '\0';
        pid[strcspn(pid, "\n")] = '\0';
        diag_set(why, "data directory %s is in use by process %s; stop it or choose another --dir",
                 d->path, pid[0] != '\0' ? pid : "(unknown)");
        return ERR_BUSY;
    }
    (void)snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    if (ftruncate(d->lock_fd, 0) != 0 ||
        pwrite(d->lock_fd, pid, strlen(pid), 0) != (ssize_t)strlen(pid)) {
        if (errno != ENOSPC && errno != EDQUOT) {
            diag_set(why, "cannot write %s/lock: %s", d->path, strerror(errno));
            return ERR_IO;
        }
        /* A full disk must not keep a node from starting: the lock holds without the number. */
        SOMETIMES(true, "port: lock file not written, disk full");
    }
    return ERR_OK;
}

static enum err write_version(struct port_dir *d, struct diag *why)
{
    struct port_files *files = port_files_create(d->fd);
    struct disk_op op = {.kind = DISK_REPLACE, .path = "VERSION"};
    struct disk_done done;
    struct port_bounce none = {0};

    buf_printf(&op.data, VERSION_TEXT "%d\n", DIR_FORMAT);
    port_file_run(files, &op, &none, &done, NULL);
    buf_free(&op.data);
    port_files_destroy(files);
    if (done.err != ERR_OK) {
        diag_set(why, "data directory %s: %s", d->path, done.why.text);
    }
    return done.err;
}

static enum err check_version(struct port_dir *d, struct diag *why)
{
    char text[128];
    int fd = openat(d->fd, "VERSION", O_RDONLY | O_CLOEXEC);
    ssize_t n;
    char *end;
    long format;

    if (fd < 0 && errno == ENOENT) {
        return write_version(d, why);
    }
    if (fd < 0) {
        diag_set(why, "cannot open %s/VERSION: %s", d->path, strerror(errno));
        return ERR_IO;
    }
    n = read(fd, text, sizeof text - 1);
    (void)close(fd);
    text[n > 0 ? n : 0] = '\0';
    if (strncmp(text, VERSION_TEXT, strlen(VERSION_TEXT)) != 0) {
        diag_set(why, "%s/VERSION is not a synod data directory's; choose another --dir", d->path);
        return ERR_CORRUPT;
    }
    format = strtol(text + strlen(VERSION_TEXT), &end, 10);
    if (format < 1 || format > DIR_FORMAT) {
        diag_set(why,
                 "data directory %s has format %ld, this synod knows formats up to %d; start the "
                 "version that wrote it",
                 d->path, format, DIR_FORMAT);
        return ERR_VERSION;
    }
    return ERR_OK;
}

static enum err make_rooms(struct port_dir *d, struct diag *why)
{
    static const char *const rooms[] = {"log", "snap", "meta"};

    for (size_t i = 0; i < ARRAY_COUNT(rooms); i++) {
        if (mkdirat(d->fd, rooms[i], 0700) != 0 && errno != EEXIST) {
            diag_set(why, "cannot create %s/%s: %s", d->path, rooms[i], strerror(errno));
            return port_err_of(errno);
        }
    }
    if (fsync(d->fd) != 0) {
        diag_set(why, "cannot sync %s: %s", d->path, strerror(errno));
        return ERR_IO;
    }
    return ERR_OK;
}

enum err port_dir_open(const char *path, struct port_dir **out, struct diag *why)
{
    struct port_dir *d = MEM_NEW(struct port_dir);
    int error = make_path(path);
    enum err err;

    *out = NULL;
    d->fd = d->lock_fd = -1;
    d->path = mem_strndup(path, strlen(path));
    if (error == 0) {
        d->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        error = d->fd < 0 ? errno : 0;
    }
    if (error != 0) {
        diag_set(why, "cannot use data directory %s: %s", path, strerror(error));
        err = error == ENOSPC ? ERR_NO_SPACE : ERR_IO;
        goto out;
    }
    err = take_lock(d, why);
    if (err == ERR_OK) {
        err = make_rooms(d, why);
    }
    if (err == ERR_OK) {
        err = check_version(d, why);
    }
    if (err == ERR_OK) {
        *out = d;
        d = NULL;
    }
out:
    if (d != NULL) {
        port_dir_close(d);
    }
    return err;
}

void port_dir_close(struct port_dir *d)
{
    if (d->lock_fd >= 0) {
        (void)close(d->lock_fd);
    }
    if (d->fd >= 0) {
        (void)close(d->fd);
    }
    mem_free(d->path);
    mem_free(d);
}

/* --- disk_boot --- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum err boot_list(void *self, const char *dir,
                          void (*visit)(void *arg, const char *name, uint64_t bytes), void *arg,
                          struct diag *why)
{
    struct port_dir *d = self;
    int fd = openat(d->fd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char **names = NULL;
    size_t count = 0, cap = 0;
    struct dirent *entry;
    DIR *stream;

    if (fd < 0 && errno == ENOENT) {
        return ERR_OK;
    }
    stream = fd < 0 ? NULL : fdopendir(fd);
    if (stream == NULL) {
        diag_set(why, "cannot list %s/%s: %s", d->path, dir, strerror(errno));
        return ERR_IO;
    }
    if (fsync(fd) != 0) { /* names that a killed process left unsynced */
        diag_set(why, "cannot sync %s/%s: %s", d->path, dir, strerror(errno));
        (void)closedir(stream);
        return ERR_IO;
    }
    while ((entry = readdir(stream)) != NULL) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        MEM_GROW(names, count, cap);
        names[count++] = mem_strndup(entry->d_name, strlen(entry->d_name));
    }
    if (count > 0) {
        qsort(names, count, sizeof names[0], by_name);
    }
    for (size_t i = 0; i < count; i++) {
        struct stat s;

        if (fstatat(fd, names[i], &s, 0) == 0 && S_ISREG(s.st_mode)) {
            visit(arg, names[i], (uint64_t)s.st_size);
        }
        mem_free(names[i]);
    }
    mem_free(names);
    (void)closedir(stream);
    return ERR_OK;
}

static enum err boot_read(void *self, const char *path, uint64_t offset, size_t bytes,
                          struct buf *out, struct diag *why)
{
    struct port_dir *d = self;
    int fd = openat(d->fd, path, O_RDONLY | O_CLOEXEC);
    enum err err = ERR_OK;
    size_t done = 0;

    if (fd < 0) {
        diag_set(why, "cannot open %s/%s: %s", d->path, path, strerror(errno));
        return errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    }
    if (offset == 0 && fsync(fd) != 0) { /* bytes that a killed process left unsynced */
        diag_set(why, "cannot sync %s/%s: %s", d->path, path, strerror(errno));
        err = ERR_IO;
        bytes = 0;
    }
    while (done < bytes) {
        /* In steps: the caller may ask for more than the file has. */
        size_t step = bytes - done < (1U << 20) ? bytes - done : 1U << 20;
        ssize_t n;

        buf_reserve(out, step);
        n = pread(fd, out->data + out->len, step, (off_t)(offset + done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            diag_set(why, "cannot read %s/%s: %s", d->path, path, strerror(errno));
            err = ERR_IO;
        }
        if (n <= 0) {
            break;
        }
        out->len += (size_t)n;
        done += (size_t)n;
    }
    (void)close(fd);
    return err;
}

struct disk_boot port_dir_boot(struct port_dir *d)
{
    return (struct disk_boot){.self = d, .list = boot_list, .read = boot_read};
}
