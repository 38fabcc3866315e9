/* wal.h - the durable log of one worker, shared by all of its groups; without I/O.
 *
 * Records put during a loop turn become one batch: one write and one fdatasync,
 * issued by wal_flush() as disk operations with one ticket. At most one batch is
 * in flight; what is put meanwhile forms the next one. Batches start on block
 * boundaries and are padded to them, so that a block once synced is never
 * written again. Segments are preallocated and recycled: writes into them need
 * no metadata.
 *
 * Every new segment begins with the whole state of every group other than its
 * entries (term and vote, commit, snapshot, blob), so that an old segment may be
 * recycled as soon as snapshots cover the entries in it.
 *
 * Recovery [docs/format/wal.md]: a torn tail is cut; damage before the tail is
 * never cut silently: the groups that lost something are named to the visitor,
 * all others go on. Source of the rule: Alagappan et al., Protocol-Aware
 * Recovery for Consensus-Based Storage (FAST 2018).
 *
 * Owner: one thread at a time.
 */
#ifndef WAL_H
#define WAL_H
#include "base/base_disk.h"
#include "core/raft/raft.h"

enum { WAL_FORMAT_VERSION = 1, WAL_GROUPS_MAX = 16384 };
#define WAL_DIR "log"

struct wal_config {
    uint32_t segment_bytes; /* default 32 MiB; a larger batch gets a segment of its own */
    uint32_t spare_count;   /* segments kept allocated ahead, default 2; two more are kept
                             * when they come free, rather than removed */
};
#define WAL_CONFIG_DEFAULT ((struct wal_config){.segment_bytes = 32U << 20, .spare_count = 2})

/* What the log keeps of a group besides its entries; the newest wins. */
struct wal_group_state {
    struct raft_hard hard;
    struct raft_index commit; /* a hint, never ahead of the truth */
    struct raft_index snap_index;
    struct raft_term snap_term;
    uint64_t snap_file; /* names the snapshot file; 0: none */
    struct slice blob;  /* opaque, the node's: who this replica is, its configuration */
};

struct wal_visitor {
    void *self;
    /* Contiguous entries in log order; entries[0] may lie at or below what was
     * seen: it replaces from there on. Borrowed. */
    void (*entries)(void *self, uint32_t group, const struct raft_entry *entries, uint32_t count);
    /* Newest state, after every entry of the group; blob borrowed. */
    void (*state)(void *self, uint32_t group, const struct wal_group_state *state);
    /* The group was removed or reset: forget the entries seen so far. */
    void (*reset)(void *self, uint32_t group);
    /* The group lost records to damage: it must not vote or acknowledge under
     * its present identity. Called after everything else of the group. */
    void (*damaged)(void *self, uint32_t group, const char *why);
};

struct wal_recovery {
    uint64_t segments, batches, records, bytes;
    uint64_t torn_bytes;     /* cut from the tail */
    uint64_t unread_blocks;  /* the device could not read them; they count as bad bytes */
    uint32_t damaged_places; /* where something before the tail is missing or fails its checksum */
    /* Groups that the log once knew and of which it has no record left: damaged
     * too, but not to be named. A caller that knows which groups should be here must
     * treat those it saw nothing of as damaged. */
    uint32_t groups_lost;
};

struct wal;
struct wal *wal_create(const struct wal_config *cfg);
void wal_destroy(struct wal *w);

/* Read everything back, once, before the first put. ERR_VERSION: written by a
 * newer version; ERR_IO (nothing can be read), ERR_CORRUPT (a segment file cannot be made out
 * at all); why names the file and the remedy. Writing goes on in a fresh segment. */
MUST_USE enum err wal_recover(struct wal *w, const struct disk_boot *boot,
                              const struct wal_visitor *visitor, struct wal_recovery *found,
                              struct diag *why);

/* The batch being filled. */
/* Replaces everything from entries[0].index on, which is at most the last one plus 1
 * (after a reset: 1; after a snapshot beyond the last entry: its index plus 1). */
void wal_put_entries(struct wal *w, uint32_t group, const struct raft_entry *entries,
                     uint32_t count);
void wal_put_hard(struct wal *w, uint32_t group, struct raft_hard hard);
void wal_put_commit(struct wal *w, uint32_t group, struct raft_index commit);
/* The group's state up to index is in snapshot `file`, durably: entries up to
 * index are not needed any more. When the snapshot came from another replica and
 * the log does not reach it (or says otherwise), put
 * wal_reset_group() before it in the same turn, and hard state and blob again after:
 * entries that the log holds beyond index must not be read back. */
void wal_put_snapshot(struct wal *w, uint32_t group, struct raft_index index, struct raft_term term,
                      uint64_t file);
void wal_put_blob(struct wal *w, uint32_t group, struct slice blob);
/* The group starts afresh, without entries, votes or snapshot. */
void wal_reset_group(struct wal *w, uint32_t group);

/* The ticket that what is put now will have; grows by one with each batch. */
uint64_t wal_ticket(const struct wal *w);
uint64_t wal_durable(const struct wal *w); /* all tickets up to this are on disk */
/* The count of the group's newest record in the batches up to ticket, over the life of the log:
 * what is said behind that gate rests on so many. Tickets before the one in flight are one:
 * durable. */
uint64_t wal_records(const struct wal *w, uint32_t group, uint64_t ticket);
/* Records wait and a batch may be issued now. */
bool wal_can_flush(const struct wal *w);
/* Issue the batch, if it may be: lists WRITEs (sync) in DISK_LANE_LOG whose
 * tokens are the ticket, and housekeeping (allocate, unlink, rename) in
 * DISK_LANE_BULK. The batch is durable when the last WRITE with the token ends. */
void wal_flush(struct wal *w, struct disk_ops *ops);
/* Housekeeping without a batch: keep spares allocated, recycle what snapshots
 * released. Call once a turn; cheap when there is nothing to do. now_us paces
 * retries after a full disk. */
void wal_tidy(struct wal *w, uint64_t now_us, struct disk_ops *ops);
/* A completion whose token wal_owns(). ERR_OK or ERR_NO_SPACE: handled inside. Any
 * other error: returned with why; the caller must stop the process, for what the
 * kernel wrote is unknown after a failed fsync. */
MUST_USE enum err wal_disk_done(struct wal *w, uint64_t now_us, const struct disk_done *done,
                                struct diag *why);
/* Tickets are below 2^62 and housekeeping has bit 63: a token with bit 62 and without
 * bit 63 is never the log's. */
bool wal_owns(const struct wal *w, uint64_t token);

/* The disk is full and the last spare segment is in use: no new proposals may be
 * taken. Votes and commits still fit. Ends by itself when space returns. */
bool wal_full(const struct wal *w);
/* Bytes of entries in use beyond what snapshots cover; and the group whose entries
 * hold back the oldest segment (false: none). For the checkpoint policy. */
uint64_t wal_live_bytes(const struct wal *w);
/* Bytes of disk that snapshots can free: sealed segments whole, for a batch is padded to blocks
 * and a segment stays until nothing in it is in use; of the active one what is in use. */
uint64_t wal_held_bytes(const struct wal *w);
bool wal_laggard(const struct wal *w, uint32_t *group);
uint64_t wal_disk_bytes(const struct wal *w); /* of all segment files */

void wal_check(const struct wal *w);
#endif
