/* Opening a data directory: snapshots, then the log on top of them.
 *
 * A replica that lost something (the log names it damaged, or its snapshot cannot be
 * read) has forgotten what it promised. It starts anew under the next generation
 * and is taken in again by its leader as a learner.
 */
#include "node/node_internal.h"

#include "base/base_hash.h"
#include "base/base_mem.h"

#include <stdio.h>

enum { READ_PIECE_BYTES = 4 << 20, PIECE_BYTES_MIN = 4 << 10, PIECE_BYTES_MAX = 256 << 10 };

/* The bytes of a group's entries lie in a few large pieces, not each in an allocation
 * of its own: the holes these would leave between the items of the stores are pages
 * that the process could not give back. */
struct boot_piece {
    struct boot_piece *next;
    size_t len, cap;
    uint8_t bytes[];
};
struct boot_group {
    struct raft_entry *entries;
    size_t count, cap;
    struct boot_piece *pieces; /* the one being filled first */
    struct wal_group_state state;
    struct buf blob;
    bool known, damaged;
    char why[128];
};
struct booting {
    struct node *n;
    struct boot_group *groups;
    uint32_t group_count;
};

static struct boot_group *boot_group(struct booting *b, uint32_t group)
{
    return group < b->group_count ? &b->groups[group] : NULL;
}

static void entries_drop(struct boot_group *g)
{
    while (g->pieces != NULL) {
        struct boot_piece *next = g->pieces->next;

        mem_free(g->pieces);
        g->pieces = next;
    }
    mem_free(g->entries);
    g->entries = NULL;
    g->count = g->cap = 0;
}

static struct slice piece_copy(struct boot_group *g, struct slice data)
{
    struct boot_piece *p = g->pieces;
    uint8_t *at;

    if (p == NULL || p->cap - p->len < data.len) {
        size_t cap = p == NULL ? PIECE_BYTES_MIN : p->cap * 2;

        cap = cap > PIECE_BYTES_MAX ? PIECE_BYTES_MAX : cap;
        cap = cap < data.len ? data.len : cap;
        p = mem_alloc(sizeof *p + cap);
        *p = (struct boot_piece){.next = g->pieces, .cap = cap};
        g->pieces = p;
    }
    at = p->bytes + p->len;
    if (data.len > 0) {
        memcpy(at, data.data, data.len);
    }
    p->len += data.len;
    return (struct slice){at, data.len};
}

static void on_entries(void *self, uint32_t group, const struct raft_entry *entries, uint32_t count)
{
    struct boot_group *g = boot_group(self, group);

    if (g == NULL || count == 0) {
        return;
    }
    if (g->count > 0) {
        uint64_t first = g->entries[0].index.n, from = entries[0].index.n;

        if (from <= first || from > first + g->count) {
            entries_drop(g); /* a gap: only a snapshot or damage explains it */
        } else {
            g->count = from - first;
        }
    }
    if (g->count + count > g->cap) {
        g->cap = (g->count + count) * 2;
        g->entries = mem_realloc(g->entries, g->cap * sizeof g->entries[0]);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct raft_entry e = entries[i];

        e.data = piece_copy(g, entries[i].data);
        g->entries[g->count++] = e;
    }
}

static void on_state(void *self, uint32_t group, const struct wal_group_state *state)
{
    struct boot_group *g = boot_group(self, group);

    if (g != NULL) {
        g->known = true;
        g->state = *state;
        g->blob.len = 0;
        buf_append_slice(&g->blob, state->blob);
        g->state.blob = (struct slice){0};
    }
}

static void on_reset(void *self, uint32_t group)
{
    struct boot_group *g = boot_group(self, group);

    if (g != NULL) {
        entries_drop(g);
    }
}

static void on_damaged(void *self, uint32_t group, const char *why)
{
    struct boot_group *g = boot_group(self, group);

    if (g != NULL) {
        g->damaged = true;
        (void)strncpy(g->why, why, sizeof g->why - 1);
    }
}

/* The snapshot named by the log, into the group's store. */
static enum err load_snapshot(struct group *g, const struct disk_boot *boot,
                              const struct wal_group_state *state, struct diag *why)
{
    char name[DISK_PATH_MAX];
    struct snapfile_reader reader;
    struct buf piece = {0};
    uint64_t at = 0;
    enum err err = ERR_OK;

    snapfile_name(g->partition, state->snap_file, false, name);
    snapfile_reader_init(&reader, g->store);
    for (;;) {
        piece.len = 0;
        err = boot->read(boot->self, name, at, READ_PIECE_BYTES, &piece, why);
        if (err != ERR_OK || piece.len == 0) {
            break;
        }
        at += piece.len;
        err = snapfile_read(&reader, buf_slice(&piece), why);
        if (err != ERR_OK) {
            break;
        }
    }
    if (err == ERR_OK) {
        err = snapfile_finish(&reader, why);
    }
    if (err == ERR_OK &&
        (reader.head.index.n != state->snap_index.n || reader.head.group != g->partition)) {
        diag_set(why, "%s holds another snapshot than the log names", name);
        err = ERR_CORRUPT;
    }
    snapfile_reader_free(&reader);
    buf_free(&piece);
    g->snap_bytes = at;
    return err;
}

static enum err restore_raft(struct group *g, const struct boot_group *b,
                             const struct group_blob *blob, struct diag *why)
{
    struct node *n = g->node;
    struct raft_config cfg;
    struct raft_recovered rec = {
        .hard = b->state.hard,
        .snap_index = b->state.snap_index,
        .snap_term = b->state.snap_term,
        .conf = blob->conf,
        .commit = b->state.commit,
    };

    node_group_raft_config(n, blob->self, g->partition, &cfg);
    g->raft = raft_create(&cfg, &rec);
    for (size_t i = 0; i < b->count; i++) {
        if (b->entries[i].index.n <= rec.snap_index.n) {
            continue;
        }
        if (raft_restore(g->raft, &b->entries[i]) != ERR_OK) {
            diag_set(why, "the log of partition %u has a gap before entry %llu", g->partition,
                     (unsigned long long)b->entries[i].index.n);
            return ERR_CORRUPT;
        }
    }
    return ERR_OK;
}

static void group_forget(struct group *g)
{
    if (g->raft != NULL) {
        raft_destroy(g->raft);
    }
    if (g->store != NULL) {
        store_destroy(g->store);
    }
    g->raft = NULL;
    g->store = NULL;
    g->here = false;
}

struct raft_id node_next_generation(struct node *n, struct raft_id was)
{
    uint64_t count = ((was.n & NODE_GENERATION_MASK) >> NODE_GENERATION_SHIFT) + 1;
    uint64_t chance = prng_below(&n->rng, 1ULL << NODE_GENERATION_SHIFT);
    uint64_t generation = count << NODE_GENERATION_SHIFT | chance;

    if (generation > NODE_GENERATION_MASK) {
        return (struct raft_id){0};
    }
    return (struct raft_id){node_of_raft_id(was) | generation};
}

/* Not even the generation is known: far above those in use. */
static struct raft_id unknown_generation(const struct node *n)
{
    return (struct raft_id){node_replica_id(n, n->self_pos).n | (NODE_GENERATION_MASK >> 1)};
}

static enum err rebuild(struct group *g, struct raft_id was, const char *why, struct diag *refused)
{
    struct raft_id self = node_next_generation(g->node, was);
    const uint8_t *row;

    if (PLANTED(DAMAGED_VOTES)) {
        self = was;
    }
    if (wire_map_row(&g->node->map, g->partition, &row) == 1 && row[0] == g->node->self_pos) {
        diag_set(refused,
                 "partition %u lost data (%s) and has no other replica to rebuild it from: restore "
                 "the data directory from a backup; nothing in it was changed",
                 g->partition, why);
        return ERR_CORRUPT;
    }
    if (self.n == 0) {
        /* What an earlier generation promised may still be believed. */
        diag_set(refused,
                 "partition %u was rebuilt too often under this node's identity; empty the "
                 "data directory and bring the node back with --join",
                 g->partition);
        return ERR_CORRUPT;
    }
    node_log(
        g->node, NODE_LOG_ERROR,
        "msg=\"a replica lost data and is rebuilt from its peers; it does not vote meanwhile\" "
        "partition=%u reason=\"%s\"",
        g->partition, why);
    SOMETIMES(true, "node_boot: a damaged replica");
    g->node->troubles.replicas_lost++;
    group_forget(g);
    node_group_restart_as(g, self, was);
    return ERR_OK;
}

/* Only what is lost is rebuilt. What this program merely does not understand stays as it is
 * and the node does not start: were it forgotten on several nodes at once, after a
 * downgrade say, nobody would be left to rebuild from. A file that the device cannot read is
 * lost; had the device failed as a whole, the log could not have been read before it. */
static bool is_lost(enum err err)
{
    return err == ERR_CORRUPT || err == ERR_NOT_FOUND || err == ERR_IO;
}

static enum err open_group(struct group *g, struct boot_group *b, const struct disk_boot *boot,
                           struct diag *refused)
{
    struct node *n = g->node;
    struct group_blob blob = {0};
    struct diag why = {{0}};
    enum err err = b->damaged ? ERR_CORRUPT : node_group_decode_blob(buf_slice(&b->blob), &blob);

    if (err == ERR_VERSION && b->blob.len > 0) {
        diag_set(refused, "partition %u was written by another version: start that one again",
                 g->partition);
        return ERR_VERSION;
    }
    if (err != ERR_OK) {
        struct raft_id was = node_replica_id(n, n->self_pos);

        if (b->blob.len >= 9) {
            was.n = load_u64le(b->blob.data + 1);
        } else {
            was = unknown_generation(n);
        }
        return rebuild(g, was, b->damaged ? b->why : "nothing of it is left in the log", refused);
    }
    g->self = blob.self;
    if (blob.gone) {
        node_past_boot(g, &blob);
        return ERR_OK;
    }
    g->here = true;
    g->clock.last = blob.last_stamp;
    g->store = node_group_store(g);
    if (b->state.snap_file != 0) {
        err = load_snapshot(g, boot, &b->state, &why);
    }
    if (err != ERR_OK && !is_lost(err)) {
        *refused = why;
        return err;
    }
    if (err == ERR_OK) {
        err = restore_raft(g, b, &blob, &why);
    }
    if (err != ERR_OK) {
        return rebuild(g, blob.self, why.text, refused);
    }
    g->snap_conf = blob.conf;
    node_past_boot(g, &blob);
    g->applied = g->snap_index = b->state.snap_index;
    g->applied_term = g->snap_term = b->state.snap_term;
    g->snap_file = b->state.snap_file;
    raft_start(g->raft, n->now.mono_us);
    raft_applied(g->raft, g->applied);
    g->rebuilding = !raft_conf_is_voter(raft_conf_now(g->raft), g->self);
    node_group_mark(g);
    node_apply(g);
    return ERR_OK;
}

static void unlink_stray(void *arg, const char *name, uint64_t bytes)
{
    struct node *n = arg;
    uint32_t partition;
    uint64_t file;
    bool temporary;

    (void)bytes;
    if (!snapfile_parse_name(name, &partition, &file, &temporary)) {
        return;
    }
    if (!temporary && partition < n->map.partitions && n->groups[partition].here &&
        n->groups[partition].snap_file == file) {
        return;
    }
    struct disk_op *op = disk_ops_push(&n->ops, DISK_UNLINK, DISK_LANE_BULK);

    op->token = node_token(DISK_USER_FORGET, 0, n->next_token++);
    (void)snprintf(op->path, sizeof op->path, SNAPFILE_DIR "/%s", name);
}

/* Whatever stood in the log of a group that is not here is lost, perhaps the name under which it
 * was here once: one that comes takes a name far above. */
static void remember_unknown(struct group *g)
{
    struct raft_conf nobody = {0};

    g->self = unknown_generation(g->node);
    node_past_begin(g);
    node_group_put_blob(g, &nobody);
}

static enum err open_groups(struct node *n, struct booting *b, const struct disk_boot *boot,
                            const struct wal_recovery *found, struct diag *why)
{
    bool lost = n->log_started &&
                (found->records == 0 || found->damaged_places > 0 || found->groups_lost > 0);
    uint32_t known = 0;

    for (uint32_t p = 0; p < n->map.partitions; p++) {
        known += b->groups[p].known ? 1 : 0;
    }
    SOMETIMES_RARE(known == 0 && n->log_started, "node_boot: nothing is left of the log", 5000,
                   "a log of one file, which is lost or whose whole content is");
    if (known == 0 && !n->log_started) {
        node_start_groups(n); /* stopped between the map and the first log write */
        return ERR_OK;
    }
    node_groups_alloc(n);
    for (uint32_t p = 0; p < n->map.partitions; p++) {
        bool placed = wire_map_places(&n->map, p, n->self_pos);

        if (!b->groups[p].known && !b->groups[p].damaged && lost && !placed) {
            remember_unknown(&n->groups[p]);
        } else if (b->groups[p].known || b->groups[p].damaged || (placed && lost)) {
            enum err err = open_group(&n->groups[p], &b->groups[p], boot, why);

            if (err != ERR_OK) {
                return err;
            }
        }
        entries_drop(&b->groups[p]); /* raft has its own copy: memory goes as it comes */
    }
    node_log(n, NODE_LOG_INFO,
             "msg=\"log read\" segments=%llu records=%llu bytes=%llu torn_bytes=%llu "
             "unread_blocks=%llu damaged_places=%u",
             (unsigned long long)found->segments, (unsigned long long)found->records,
             (unsigned long long)found->bytes, (unsigned long long)found->torn_bytes,
             (unsigned long long)found->unread_blocks, found->damaged_places);
    return boot->list(boot->self, SNAPFILE_DIR, unlink_stray, n, why);
}

enum err node_boot_groups(struct node *n, const struct disk_boot *boot, struct diag *why)
{
    struct booting b = {.n = n, .group_count = n->map.partitions};
    struct wal_recovery found = {0};
    const struct wal_visitor visitor = {.self = &b,
                                        .entries = on_entries,
                                        .state = on_state,
                                        .reset = on_reset,
                                        .damaged = on_damaged};
    enum err err;

    b.groups = mem_zalloc((b.group_count + 1) * sizeof b.groups[0]);
    err = wal_recover(n->wal, boot, &visitor, &found, why);
    if (err == ERR_OK && n->map.partitions == 0 && found.records > 0) {
        diag_set(why, "the directory has a log but no cluster map (meta/map is missing); restore "
                      "it, or empty the directory and bring the node back with --join");
        err = ERR_CORRUPT;
    }
    if (err == ERR_OK && n->map.partitions > 0) {
        err = open_groups(n, &b, boot, &found, why);
    }
    for (uint32_t p = 0; p < b.group_count; p++) {
        entries_drop(&b.groups[p]);
        buf_free(&b.groups[p].blob);
    }
    mem_free(b.groups);
    return err;
}
