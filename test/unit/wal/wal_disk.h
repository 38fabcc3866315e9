/* wal_disk.h - a disk in memory for the log's tests: runs operations one at a time
 * per lane, loses and tears what was not synced, gets full, and can be damaged. */
#ifndef WAL_DISK_H
#define WAL_DISK_H
#include "base/base_prng.h"
#include "wal/wal.h"

enum { DISK_FILES_MAX = 256, DISK_UNDO_MAX = 8 };

struct disk_file {
    char path[DISK_PATH_MAX];
    struct buf bytes;
};
struct disk_sim {
    struct disk_file files[DISK_FILES_MAX];
    size_t count;
    struct disk_ops lanes[DISK_LANE_COUNT];   /* waiting, in order */
    struct disk_file unlinked[DISK_UNDO_MAX]; /* may come back in a crash */
    size_t unlinked_count;
    uint64_t capacity; /* of all files; 0: unlimited */
    bool writes_fail_no_space;
    enum err fail_next;            /* the next operation ends with it */
    char bad_path[DISK_PATH_MAX];  /* a file of which one block cannot be read while opening; */
    uint64_t bad_block, bad_count; /* or several from there on */
    uint64_t allocates, renames, unlinks, writes;
};

void disk_sim_free(struct disk_sim *d);
struct disk_boot disk_sim_boot(struct disk_sim *d);
/* Take the operations over; ops is empty afterwards. */
void disk_sim_submit(struct disk_sim *d, struct disk_ops *ops);
/* Run the first operation of the lane. False: none waits. */
bool disk_sim_step(struct disk_sim *d, enum disk_lane lane, struct disk_done *done);
/* The power goes: operations under way are torn, the rest never happened. */
void disk_sim_crash(struct disk_sim *d, struct prng *rng);
/* As a crash in which nothing under way had any effect. */
void disk_sim_drop(struct disk_sim *d);

struct disk_file *disk_sim_find(struct disk_sim *d, const char *path);
struct disk_file *disk_sim_add(struct disk_sim *d, const char *path);
void disk_sim_remove(struct disk_sim *d, const char *path);
uint64_t disk_sim_bytes(const struct disk_sim *d);
#endif
