/* wal_model.h - what a log should remember, the dumb way; and a visitor that builds
 * the same from what recovery says. */
#ifndef WAL_MODEL_H
#define WAL_MODEL_H
#include "wal/wal.h"

enum { MODEL_GROUPS = 6, MODEL_ENTRIES = 512, MODEL_BLOB = 300 };

struct model_entry {
    uint64_t term, hash;
};
struct model_group {
    bool exists;
    uint64_t base; /* entries[0] has index base + 1 */
    uint32_t count;
    struct model_entry entries[MODEL_ENTRIES];
    struct raft_hard hard;
    uint64_t commit, snap_index, snap_term, snap_file;
    uint64_t blob_hash;
};
struct model {
    struct model_group groups[MODEL_GROUPS];
    bool damaged[MODEL_GROUPS];
};

static inline uint64_t model_last(const struct model_group *g)
{
    return g->base + g->count;
}
void model_entries(struct model *m, uint32_t group, const struct raft_entry *e, uint32_t count);
void model_hard(struct model *m, uint32_t group, struct raft_hard hard);
void model_commit(struct model *m, uint32_t group, uint64_t commit);
void model_snapshot(struct model *m, uint32_t group, uint64_t index, uint64_t term, uint64_t file);
void model_blob(struct model *m, uint32_t group, struct slice blob);
void model_reset(struct model *m, uint32_t group);

/* Builds *m; it must be zeroed before. Checks the order of calls. */
struct wal_visitor model_visitor(struct model *m);
bool model_group_equal(const struct model_group *a, const struct model_group *b);
bool model_equal(const struct model *a, const struct model *b);
#endif
