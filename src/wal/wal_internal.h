/* wal_internal.h - the parts of the log that its own files share.
 *
 * wal.c fills and issues batches, wal_house.c keeps segment files, wal_recover.c
 * reads them back, wal_format.c knows the bytes [docs/format/wal.md].
 */
#ifndef WAL_INTERNAL_H
#define WAL_INTERNAL_H
#include "wal/wal.h"

/* --- bytes ------------------------------------------------------------- */

enum {
    WAL_BLOCK_BYTES = DISK_BLOCK_BYTES,
    WAL_SEGMENT_BYTES_MIN = 4 * WAL_BLOCK_BYTES,
    WAL_SEGMENT_HEADER_BYTES = 64, /* in a block of its own */
    WAL_BATCH_HEADER_BYTES = 64,
    WAL_RECORD_HEADER_BYTES = 16,
    WAL_ENTRIES_HEADER_BYTES = 16,
    WAL_ENTRY_HEADER_BYTES = 16,
    WAL_STATE_BYTES = 64,           /* before the blob */
    WAL_ENTRIES_BODY_MAX = 1 << 28, /* one record; a longer run of entries is split */
};
static_assert(WAL_GROUPS_MAX <= UINT16_MAX, "a group's number fits its field");

struct wal_segment_header {
    uint32_t version;
    uint64_t number;         /* of the file it was written for */
    uint64_t bytes;          /* size of the file */
    uint64_t first_sequence; /* of its first batch; all before it are in lower segments */
};

struct wal_batch_header {
    uint64_t sequence; /* grows by one with each batch, for the life of the log */
    uint64_t segment;  /* where it was meant to be: tells stale and misdirected ones */
    uint64_t offset;
    uint64_t bytes;    /* header and records, without padding */
    uint64_t checksum; /* of the records */
    uint32_t records;
    uint32_t groups; /* known to the log after this batch */
};

enum wal_record_kind {
    WAL_RECORD_STATE = 1, /* begins a segment; number: of the group's last record */
    WAL_RECORD_ENTRIES,
    WAL_RECORD_HARD,
    WAL_RECORD_COMMIT,
    WAL_RECORD_SNAPSHOT,
    WAL_RECORD_BLOB,
    WAL_RECORD_RESET,
};

struct wal_record {
    uint8_t kind;
    uint32_t group;
    uint64_t number; /* counts the group's records from 1: a gap is a loss */
    struct slice body;
};

/* What a segment's first batch says of a group. */
struct wal_state {
    uint64_t count; /* records so far */
    uint64_t last;  /* index of the newest entry */
    struct raft_hard hard;
    struct raft_index commit, snap_index;
    struct raft_term snap_term;
    uint64_t snap_file;
    bool damaged; /* found by recovery, not yet reset */
};

static inline uint64_t wal_pad(uint64_t bytes)
{
    return (bytes + WAL_BLOCK_BYTES - 1) / WAL_BLOCK_BYTES * WAL_BLOCK_BYTES;
}

/* "log/0000000000000007.seg" */
void wal_segment_path(uint64_t number, char path[DISK_PATH_MAX]);
/* The inverse, of a name without its directory; false: not a segment's. */
bool wal_segment_number(const char *name, uint64_t *number);

/* One block. */
void wal_segment_header_put(uint8_t *at, const struct wal_segment_header *h);
/* False: no header, or damaged. Only when true is *h meaningful; its version may be newer. */
bool wal_segment_header_get(struct slice block, struct wal_segment_header *h);
bool wal_segment_magic(struct slice block);

/* h->checksum is computed here, from the records that follow the header. */
void wal_batch_header_put(uint8_t *at, struct wal_batch_header *h);
/* Header whole and meant for this place; says nothing of the records. */
bool wal_batch_header_get(struct slice at, uint64_t segment, uint64_t offset,
                          struct wal_batch_header *h);
/* `batch` holds the whole batch: the checksum holds and every record is well formed. */
bool wal_batch_ok(struct slice batch, const struct wal_batch_header *h);

/* The next of the records of a batch; false at the end and when malformed. */
bool wal_record_get(struct reader *r, struct wal_record *rec);
void wal_record_header_put(uint8_t *at, const struct wal_record *rec, uint32_t body_bytes);
void wal_state_put(struct buf *out, uint32_t group, const struct wal_state *s, struct slice blob);
void wal_state_get(const struct wal_record *rec, struct wal_state *s, struct slice *blob);

/* --- machine ----------------------------------------------------------- */

/* A group's uncovered entries in one sealed segment. */
struct wal_extent {
    uint32_t group;
    uint64_t max_index;
    uint64_t bytes; /* 0: a snapshot covers them */
};

struct wal_segment {
    uint64_t number; /* 0: none */
    uint64_t bytes;  /* of the file */
    uint64_t used;   /* up to here it was written */
    bool ready;      /* fully allocated, and its header block known */
    bool started;    /* its first batch, with every group's state, is durable */
    uint32_t extent_count, live_count;
    struct wal_extent *extents; /* by group, ascending */
};

struct wal_segments {
    struct wal_segment *at; /* ascending by number */
    size_t count, cap;
};

struct wal_track; /* wal_recover.c */

struct wal_group {
    uint32_t number;
    bool touched; /* by the batch being filled */
    bool covers;  /* and so that older entries may have become superfluous */
    bool batch_reset;
    bool blob_changed;
    uint64_t batch_max, batch_bytes;   /* entries of the batch being filled */
    uint64_t active_max, active_bytes; /* uncovered entries in the active segment */
    uint64_t durable_count;            /* of its newest record on disk */
    uint64_t reset_segment;            /* all entries in lower segments are dead */
    struct wal_state now;              /* as put */
    struct wal_state flushed;          /* before the batch being filled */
    struct buf blob, blob_flushed;
    struct wal_track *track; /* recovery only */
};

enum wal_flight_state { WAL_FLIGHT_NONE, WAL_FLIGHT_WRITING, WAL_FLIGHT_NO_SPACE };
enum wal_house_kind {
    WAL_HOUSE_NONE,
    WAL_HOUSE_ALLOCATE, /* the last spare */
    WAL_HOUSE_RECYCLE,  /* house_segment becomes the last spare */
    WAL_HOUSE_REMOVE,   /* house_segment */
    WAL_HOUSE_DISCARD,  /* the last spare, for which there was no space */
};

struct wal {
    struct wal_config cfg;
    bool recovered;

    struct wal_group *groups[WAL_GROUPS_MAX];
    uint16_t known[WAL_GROUPS_MAX]; /* numbers, in order of appearance */
    uint32_t known_count;
    uint32_t groups_lost; /* named by no record that is left */

    /* The batch being filled: room for its header, then records. */
    struct buf fill;
    uint32_t fill_records;
    uint64_t ticket;
    uint16_t touched[WAL_GROUPS_MAX];
    uint32_t touched_count;

    /* The batch on its way, kept whole: a write may have to be repeated. */
    struct buf flight;
    enum wal_flight_state flight_state;
    uint64_t flight_offset;
    uint16_t covering[WAL_GROUPS_MAX];
    uint32_t covering_count;
    uint16_t flown[WAL_GROUPS_MAX]; /* groups with records in it */
    uint32_t flown_count;
    uint64_t durable;

    uint64_t sequence;    /* of the next batch */
    uint64_t next_number; /* of the next file */
    struct wal_segment active;
    struct wal_segments sealed, spares;
    struct wal_segments skipped; /* spares whose turn passed: too small, or unreadable */
    uint64_t states_bytes;       /* all groups' states as records */
    uint64_t live_bytes, disk_bytes;

    enum wal_house_kind house;        /* at most one operation at a time, so that file numbers */
    uint64_t house_token;             /* appear and vanish in order */
    struct wal_segment house_segment; /* taken out of its list */
    struct wal_segments *house_list;  /* and the list */
    bool discard_due;

    bool no_space;
    uint64_t now_us, retry_us;
};

struct wal_group *wal_group_of(struct wal *w, uint32_t group); /* made when new */
uint64_t wal_state_bytes(const struct wal_group *g);           /* of `flushed`, as a record */
/* Take over what was put as the state that the next segment would begin with. */
void wal_group_flushed(struct wal *w, struct wal_group *g);
/* Entries of the group went into the active segment. */
void wal_group_grew(struct wal *w, struct wal_group *g, uint64_t max_index, uint64_t bytes);
void wal_group_reset_at(struct wal *w, struct wal_group *g, uint64_t segment);
/* Snapshots, resets and truncations are durable: count anew what they leave alive. */
void wal_group_cover(struct wal *w, struct wal_group *g);

void wal_segments_add(struct wal_segments *list, struct wal_segment segment); /* by number */
struct wal_segment wal_segments_take(struct wal_segments *list, size_t pos);
/* The active segment is at its end: remember what it holds. */
void wal_seal(struct wal *w);
/* Bytes that a new segment must have for the batch being filled. */
uint64_t wal_need_bytes(const struct wal *w);
bool wal_fits_active(const struct wal *w);
void wal_house_next(struct wal *w, struct disk_ops *ops);
MUST_USE enum err wal_house_done(struct wal *w, const struct disk_done *done, struct diag *why);
void wal_write_push(struct wal *w, struct disk_ops *ops);

enum { WAL_RETRY_US = 200000 }; /* after a full disk */
#define WAL_TOKEN_HOUSE (1ULL << 63)
#define WAL_TOKEN_FOREIGN (1ULL << 62)
#endif
