#include "wal_model.h"

#include "base/base_hash.h"

void model_entries(struct model *m, uint32_t group, const struct raft_entry *e, uint32_t count)
{
    struct model_group *g = &m->groups[group];

    for (uint32_t i = 0; i < count; i++) {
        uint64_t index = e[i].index.n;

        if (index <= g->base) {
            continue; /* below the snapshot: may be said, need not */
        }
        CHECK(index <= model_last(g) + 1);
        g->count = (uint32_t)(index - g->base);
        CHECK(g->count <= MODEL_ENTRIES);
        g->entries[g->count - 1] = (struct model_entry){
            e[i].term.n, hash64_mix(hash64(e[i].data.data, e[i].data.len), (uint64_t)e[i].kind)};
    }
    g->exists = true;
}

void model_hard(struct model *m, uint32_t group, struct raft_hard hard)
{
    m->groups[group].hard = hard;
    m->groups[group].exists = true;
}

void model_commit(struct model *m, uint32_t group, uint64_t commit)
{
    m->groups[group].commit = commit;
    m->groups[group].exists = true;
}

/* Entries up to index go. */
static void model_base(struct model_group *g, uint64_t index)
{
    if (index >= model_last(g)) {
        g->base = index;
        g->count = 0;
    } else if (index > g->base) {
        uint32_t gone = (uint32_t)(index - g->base);

        memmove(g->entries, g->entries + gone, (g->count - gone) * sizeof g->entries[0]);
        g->count -= gone;
        g->base = index;
    }
}

void model_snapshot(struct model *m, uint32_t group, uint64_t index, uint64_t term, uint64_t file)
{
    struct model_group *g = &m->groups[group];

    g->snap_index = index;
    g->snap_term = term;
    g->snap_file = file;
    g->exists = true;
    model_base(g, index);
}

void model_blob(struct model *m, uint32_t group, struct slice blob)
{
    m->groups[group].blob_hash = blob.len == 0 ? 0 : hash64(blob.data, blob.len);
    m->groups[group].exists = true;
}

void model_reset(struct model *m, uint32_t group)
{
    m->groups[group] = (struct model_group){0};
}

/* --- from a visit ------------------------------------------------------ */

/* Entries are delivered before the snapshot is known: base follows the first. */
static void visit_entries(void *self, uint32_t group, const struct raft_entry *e, uint32_t count)
{
    if (group >= MODEL_GROUPS) {
        return; /* not modelled */
    }
    struct model *m = self;
    struct model_group *g = &m->groups[group];

    CHECK(count > 0);
    if (g->count == 0) {
        g->base = e[0].index.n - 1;
    }
    CHECK(e[0].index.n <= model_last(g) + 1); /* contiguous, as promised */
    if (e[0].index.n <= g->base) {
        g->base = e[0].index.n - 1;
        g->count = 0;
    }
    if (g->count + count > MODEL_ENTRIES) {
        model_base(g, model_last(g) - MODEL_ENTRIES / 2 < e[0].index.n
                          ? model_last(g) - MODEL_ENTRIES / 2
                          : e[0].index.n - 1);
    }
    model_entries(m, group, e, count);
}

static void visit_state(void *self, uint32_t group, const struct wal_group_state *s)
{
    if (group >= MODEL_GROUPS) {
        return; /* not modelled */
    }
    struct model *m = self;
    struct model_group *g = &m->groups[group];

    g->exists = true;
    g->hard = s->hard;
    g->commit = s->commit.n;
    model_snapshot(m, group, s->snap_index.n, s->snap_term.n, s->snap_file);
    model_blob(m, group, s->blob);
}

static void visit_reset(void *self, uint32_t group)
{
    if (group >= MODEL_GROUPS) {
        return; /* not modelled */
    }
    model_reset(self, group);
}

static void visit_damaged(void *self, uint32_t group, const char *why)
{
    if (group >= MODEL_GROUPS) {
        return; /* not modelled */
    }
    struct model *m = self;

    CHECK(why[0] != 0);
    m->damaged[group] = true;
}

struct wal_visitor model_visitor(struct model *m)
{
    return (struct wal_visitor){m, visit_entries, visit_state, visit_reset, visit_damaged};
}

bool model_group_equal(const struct model_group *a, const struct model_group *b)
{
    return a->base == b->base && a->count == b->count &&
           memcmp(a->entries, b->entries, a->count * sizeof a->entries[0]) == 0 &&
           a->hard.term.n == b->hard.term.n && a->hard.voted_for.n == b->hard.voted_for.n &&
           a->commit == b->commit && a->snap_index == b->snap_index &&
           a->snap_term == b->snap_term && a->snap_file == b->snap_file &&
           a->blob_hash == b->blob_hash;
}

bool model_equal(const struct model *a, const struct model *b)
{
    for (uint32_t i = 0; i < MODEL_GROUPS; i++) {
        if (!model_group_equal(&a->groups[i], &b->groups[i])) {
            return false;
        }
    }
    return true;
}
