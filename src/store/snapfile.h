/* snapfile.h - the snapshot file: header, checksummed chunks, footer. Without I/O.
 *
 * The same bytes are written to disk and streamed to peers. [docs/format/snapshot.md]
 * Names: snap/GGGGG-FFFFFFFFFFFFFFFF.snap (group decimal, file id hex), in DISK_LANE_BULK;
 * written as .tmp and renamed once whole and synced.
 */
#ifndef STORE_SNAPFILE_H
#define STORE_SNAPFILE_H
#include "base/base_disk.h"
#include "core/raft/raft.h"
#include "store/store.h"

enum { SNAPFILE_VERSION = 1, SNAPFILE_CHUNK_BYTES = 64 << 10, SNAPFILE_CHUNK_BYTES_MAX = 1 << 30 };
#define SNAPFILE_DIR "snap"

struct snapfile_head {
    uint32_t group;
    struct raft_index index;
    struct raft_term term;
    uint64_t digest; /* of the store at index */
    uint64_t item_count;
    struct slice blob; /* the node's: configuration, last logged time */
};
void snapfile_name(uint32_t group, uint64_t file, bool temporary, char out[DISK_PATH_MAX]);
/* False: not the name of a snapshot file. */
bool snapfile_parse_name(const char *name, uint32_t *group, uint64_t *file, bool *temporary);

void snapfile_put_head(struct buf *out, const struct snapfile_head *head);
void snapfile_put_chunk(struct buf *out, struct slice items);
void snapfile_put_foot(struct buf *out, uint64_t chunk_count);

/* Reads pieces of any size in order and loads the items into a store. */
struct snapfile_reader {
    struct store *into;
    struct buf pending;
    struct snapfile_head head; /* blob points into head_blob */
    struct buf head_blob;
    uint64_t chunk_count;
    bool have_head, done;
};
void snapfile_reader_init(struct snapfile_reader *r, struct store *into);
void snapfile_reader_free(struct snapfile_reader *r); /* not the store */
/* ERR_CORRUPT, ERR_VERSION: why says what and where. */
MUST_USE enum err snapfile_read(struct snapfile_reader *r, struct slice piece, struct diag *why);
/* After the last piece: whole, and the store's digest and count are the header's. */
MUST_USE enum err snapfile_finish(struct snapfile_reader *r, struct diag *why);
#endif
