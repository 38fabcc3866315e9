/* faultshim.c - loaded before libc into one node (LD_PRELOAD): slow and failing disk calls, and a
 * wall clock that is wrong, as a small file shared with the harness says.
 *
 * SYNOD_FAULTS names the file; its layout is `struct faults`, written by the harness (shim.py) and
 * read here at each call. Without it every call goes through. Only what a node uses is caught:
 * pwrite, fsync, fdatasync, fallocate and the clocks; the monotonic clocks are left alone. With
 * _FILE_OFFSET_BITS=64, which the build sets here as for the node, pwrite is libc's pwrite64. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* All fields are of one size so that no layout has holes. */
struct faults {
    int64_t wall_ns;                                 /* added to the wall clock */
    int64_t write_us;                                /* each pwrite takes so much longer */
    int64_t sync_us;                                 /* each fsync and fdatasync */
    int64_t write_errno, sync_errno, allocate_errno; /* 0: none */
    int64_t writes, syncs, slowed, failed;           /* counted here */
};
static volatile struct faults *faults;
static int (*real_clock_gettime)(clockid_t, struct timespec *);
static int (*real_fsync)(int), (*real_fdatasync)(int);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_fallocate)(int, int, off_t, off_t);

__attribute__((constructor)) static void shim_begin(void)
{
    const char *path = getenv("SYNOD_FAULTS");
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *at;

    *(void **)&real_fsync = dlsym(RTLD_NEXT, "fsync");
    *(void **)&real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    *(void **)&real_pwrite = dlsym(RTLD_NEXT, "pwrite");
    *(void **)&real_fallocate = dlsym(RTLD_NEXT, "fallocate");
    *(void **)&real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    if (fd < 0) {
        return;
    }
    at = mmap(NULL, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (at != MAP_FAILED) {
        faults = at;
    }
}

/* 0, or -1 with errno: the call fails without having been made. */
static int suffer(int64_t us, int64_t error)
{
    if (us > 0) {
        struct timespec t = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};

        (void)__atomic_add_fetch(&faults->slowed, 1, __ATOMIC_RELAXED);
        (void)nanosleep(&t, NULL);
    }
    if (error != 0) {
        (void)__atomic_add_fetch(&faults->failed, 1, __ATOMIC_RELAXED);
        errno = (int)error;
        return -1;
    }
    return 0;
}

static int write_suffers(void)
{
    if (faults == NULL) {
        return 0;
    }
    (void)__atomic_add_fetch(&faults->writes, 1, __ATOMIC_RELAXED);
    return suffer(faults->write_us, faults->write_errno);
}

static int sync_suffers(void)
{
    if (faults == NULL) {
        return 0;
    }
    (void)__atomic_add_fetch(&faults->syncs, 1, __ATOMIC_RELAXED);
    return suffer(faults->sync_us, faults->sync_errno);
}

/* libc declares them with names of its own, which nobody else may use. */
/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name) */
ssize_t pwrite(int fd, const void *data, size_t bytes, off_t at)
{
    return write_suffers() != 0 ? -1 : real_pwrite(fd, data, bytes, at);
}

int fsync(int fd)
{
    return sync_suffers() != 0 ? -1 : real_fsync(fd);
}

int fdatasync(int fd)
{
    return sync_suffers() != 0 ? -1 : real_fdatasync(fd);
}

int fallocate(int fd, int mode, off_t at, off_t bytes)
{
    if (faults != NULL && suffer(0, faults->allocate_errno) != 0) {
        return -1;
    }
    return real_fallocate(fd, mode, at, bytes);
}

static void shift(struct timespec *t, int64_t by_ns)
{
    int64_t ns = (int64_t)t->tv_sec * 1000000000 + t->tv_nsec + by_ns;

    t->tv_sec = ns / 1000000000;
    t->tv_nsec = ns % 1000000000;
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
    /* An allocator may ask for the time before our constructor has run. */
    int status = real_clock_gettime != NULL ? real_clock_gettime(clock, t)
                                            : (int)syscall(SYS_clock_gettime, clock, t);

    if (status == 0 && faults != NULL &&
        (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        shift(t, faults->wall_ns);
    }
    return status;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone)
{
    struct timespec now;

    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) {
        return -1;
    }
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out)
{
    struct timespec now;

    if (clock_gettime(CLOCK_REALTIME, &now) != 0) {
        return (time_t)-1;
    }
    if (out != NULL) {
        *out = now.tv_sec;
    }
    return now.tv_sec;
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
