/* sim_disk.h - the files of one simulated machine, and what a crash leaves of them.
 *
 * Two views of every file: what the running system reads (page cache) and what
 * is on the platter. An unsynced write may be lost, kept, or torn at 512 bytes by
 * a power failure, in any order relative to others; a synced one is kept. Killing
 * only the process loses nothing that was written, yet makes nothing durable.
 *
 * Directory entries: those made or removed by ALLOCATE, REPLACE and RENAME are durable
 * when the op ends, and so are earlier changes in the same directory. A file made by
 * WRITE becomes durable with its first sync. An UNLINK may be undone by a power
 * failure until its directory is synced.
 *
 * Beyond crashes, the device itself may be at fault: writes that land elsewhere or
 * with other bytes, bits that flip, sectors that cannot be read until they are
 * written again, files that vanish, a file system that turned read-only.
 */
#ifndef SIM_DISK_H
#define SIM_DISK_H
#include "base/base_disk.h"
#include "base/base_prng.h"
#include "sim/sim_bytes.h"

enum { SIM_SECTOR_BYTES = 512 };

struct sim_write {
    uint64_t offset;
    struct buf data;
};
struct sim_file {
    char path[DISK_PATH_MAX];
    struct sim_bytes view, platter;
    bool apart;    /* the platter may differ from the view; else only the view is kept */
    bool stray;    /* bits flipped while they were apart: a sync does not make them equal */
    uint64_t *bad; /* numbers of sectors that cannot be read */
    size_t bad_count, bad_cap;
    struct sim_write *pending; /* in view, not yet on the platter */
    size_t pending_count, pending_cap;
    bool entry_durable; /* the name survives a power failure */
    bool removed;       /* unlinked, and may come back */
};
static inline uint64_t sim_file_platter_bytes(const struct sim_file *f)
{
    return f->apart ? f->platter.len : f->view.len;
}
struct sim_disk {
    struct sim_file **files;
    size_t count, cap;
    struct sim_file *latest; /* of the files, the one last operated on: often the next one too */
    bool full;               /* nothing may grow */
    bool copies;    /* blocks are copied on writing: when it is full, nothing may be written */
    bool read_only; /* nothing may change: every write is an error */
    bool sync_lies; /* planted: one sync of four does nothing */
    uint64_t syncs;
};
void sim_disk_free(struct sim_disk *d);
void sim_disk_wipe(struct sim_disk *d);
/* One bit of a synced byte changes. False: there is no such byte. */
bool sim_disk_flip(struct sim_disk *d, const char *path, uint64_t offset, unsigned bit);
/* The sector that holds the byte cannot be read until all of it is written anew. */
bool sim_disk_break(struct sim_disk *d, const char *path, uint64_t offset);
/* The file is gone, durably. */
bool sim_disk_lose(struct sim_disk *d, const char *path);
/* A WRITE whose bytes land elsewhere: at another block of its file, or in another file
 * of its directory. Reported as done; the old place keeps what it had. where: for
 * the log. False: there is no other place, and nothing was written. */
bool sim_disk_misdirect(struct sim_disk *d, struct prng *rng, const struct disk_op *op,
                        struct diag *where);
/* A WRITE of which a few bits change on the way. */
void sim_disk_corrupt(struct sim_disk *d, struct prng *rng, const struct disk_op *op);
/* Everything, views, platters and what is pending; to is overwritten. */
void sim_disk_copy(struct sim_disk *to, const struct sim_disk *from);
/* Run op to its end. READ fills read_out. ERR_NO_SPACE, ERR_IO (read-only,
 * or an unreadable sector): nothing changed. */
MUST_USE enum err sim_disk_run(struct sim_disk *d, const struct disk_op *op, struct buf *read_out);
/* The process ended, or (power) the machine. flying: ops that had begun and not
 * ended, at most one per lane; they may have happened, not happened, or torn. */
void sim_disk_crash(struct sim_disk *d, struct prng *rng, bool power,
                    const struct disk_op *const *flying, size_t flying_count);
/* A view for node_open; d is borrowed. */
struct disk_boot sim_disk_boot(struct sim_disk *d);
/* Writes that a power failure may lose. */
size_t sim_disk_unsynced(const struct sim_disk *d);
uint64_t sim_disk_bytes(const struct sim_disk *d);
const struct sim_file *sim_disk_find(const struct sim_disk *d, const char *path);
/* A hash of everything readable. */
uint64_t sim_disk_hash(const struct sim_disk *d);
#endif
