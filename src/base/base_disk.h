/* base_disk.h - what a machine may ask of a disk, as data.
 *
 * Machines never touch files. They list operations; a driver (port or sim) runs
 * them and reports each completion. Within one lane operations run strictly in
 * order, one after another; lanes are independent. Paths are relative to the
 * data directory and use '/'.
 */
#ifndef BASE_DISK_H
#define BASE_DISK_H
#include "base/base_bytes.h"

enum { DISK_PATH_MAX = 96, DISK_BLOCK_BYTES = 4096 };

enum disk_lane {
    DISK_LANE_LOG,  /* the log: latency decides how fast a write is acknowledged */
    DISK_LANE_BULK, /* snapshots and metadata: throughput, never in the log's way */
    DISK_LANE_COUNT
};

enum disk_op_kind {
    DISK_WRITE,    /* data at offset; the file is created, and grows, as needed */
    DISK_ALLOCATE, /* make the file `offset` bytes of zeros that are really written to
                      the device, file and directory entry synced: later writes inside
                      it need no metadata */
    DISK_SYNC,     /* all earlier writes of the file are on stable storage */
    DISK_REPLACE,  /* write `data` as the whole file: temporary, sync, rename, sync of
                      the directory; after a crash the file is the old or the new one */
    DISK_RENAME,   /* path to path2, directory synced */
    DISK_UNLINK,   /* absent is not an error */
    DISK_READ,     /* up to `offset`..+`read_bytes`; short at the end of the file */
};

struct disk_op {
    enum disk_op_kind kind;
    enum disk_lane lane;
    bool sync; /* WRITE: fdatasync before completing */
    /* Chosen by the issuer, returned with the completion. */
    uint64_t token;
    char path[DISK_PATH_MAX];
    char path2[DISK_PATH_MAX]; /* RENAME */
    uint64_t offset;           /* WRITE, READ; ALLOCATE: the size */
    size_t read_bytes;         /* READ */
    struct buf data;           /* WRITE, REPLACE: owned by the op; the driver frees it */
};

/* A completion, given back to the machine that issued the op. */
struct disk_done {
    uint64_t token;
    enum err err;      /* ERR_OK, ERR_NO_SPACE, ERR_IO, ERR_NOT_FOUND (READ) */
    struct slice data; /* READ: borrowed for the call */
    struct diag why;   /* set when err is not ERR_OK */
};

/* Reading while a node opens its directory, before it runs. Synchronous. What is
 * listed and read is on stable storage first: the process that wrote it may have
 * been killed before its sync, and whoever reads it back will build on it. */
struct disk_boot {
    void *self;
    /* Calls visit for each file below dir ("log", "snap"), in name order, names
     * without the directory. A directory that does not exist is empty. */
    enum err (*list)(void *self, const char *dir,
                     void (*visit)(void *arg, const char *name, uint64_t bytes), void *arg,
                     struct diag *why);
    /* Appends up to `bytes` bytes from `offset` to out; short at the end of the
     * file. ERR_NOT_FOUND when there is no such file. */
    enum err (*read)(void *self, const char *path, uint64_t offset, size_t bytes, struct buf *out,
                     struct diag *why);
};

/* A growable list of operations, filled by machines and drained by the driver. */
struct disk_ops {
    struct disk_op *at;
    size_t count, cap;
};
/* A zeroed op at the end of the list; valid until the next push. */
struct disk_op *disk_ops_push(struct disk_ops *ops, enum disk_op_kind kind, enum disk_lane lane);
void disk_ops_free(struct disk_ops *ops); /* and the data of those still listed */
#endif
