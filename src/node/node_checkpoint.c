/* Checkpoints: snapshots of partitions on disk, so that the log can be shortened and
 * peers that lag too far can be caught up. One at a time per node; written while
 * the partition goes on changing.
 */
#include "node/node_internal.h"

#include "base/base_mem.h"

#include <stdio.h>

enum { CHECKPOINTS_MAX = 1 };

static void file_op_path(const struct group *g, uint64_t file, bool temporary, char *out)
{
    snapfile_name(g->partition, file, temporary, out);
}

static void write_piece(struct group *g, struct buf *bytes)
{
    struct node *n = g->node;
    struct checkpoint *c = &g->checkpoint;
    struct disk_op *op = disk_ops_push(&n->ops, DISK_WRITE, DISK_LANE_BULK);

    op->token = node_token(DISK_USER_CHECKPOINT, g->partition, n->next_token++);
    file_op_path(g, c->file, true, op->path);
    op->offset = c->offset;
    op->data = *bytes;
    c->offset += bytes->len;
    c->in_flight++;
    *bytes = (struct buf){0};
}

static void begin(struct group *g)
{
    struct node *n = g->node;
    struct checkpoint *c = &g->checkpoint;
    struct buf head = {0};

    *c = (struct checkpoint){.active = true,
                             .file = n->next_file++,
                             .first_token = n->next_token,
                             .index = g->applied,
                             .term = g->applied_term,
                             .blob = c->blob};
    if (PLANTED(INDEX_BEHIND) && c->index.n > g->snap_index.n + 1) {
        c->index.n--;
    }
    node_scrub_stop(g);
    c->blob.len = 0;
    c->conf = *raft_conf_as_of(g->raft, g->applied);
    node_group_encode_blob(g, &c->conf, &c->blob);
    store_snap_begin(g->store);
    snapfile_put_head(&head, &(struct snapfile_head){.group = g->partition,
                                                     .index = c->index,
                                                     .term = c->term,
                                                     .digest = store_digest(g->store),
                                                     .item_count = store_count(g->store),
                                                     .blob = buf_slice(&c->blob)});
    write_piece(g, &head);
    n->checkpoints_active++;
    g->snap_wanted = false;
}

static void unlink_file(struct group *g, uint64_t file, bool temporary)
{
    struct node *n = g->node;
    struct disk_op *op = disk_ops_push(&n->ops, DISK_UNLINK, DISK_LANE_BULK);

    op->token = node_token(DISK_USER_FORGET, g->partition, n->next_token++);
    file_op_path(g, file, temporary, op->path);
}

static bool being_sent(const struct group *g, uint64_t file)
{
    for (const struct list *it = g->sends.next; it != &g->sends; it = it->next) {
        if (CONTAINER_OF(it, const struct snap_send, in_group)->file == file) {
            return true;
        }
    }
    return false;
}

void node_checkpoint_retire(struct group *g, uint64_t file)
{
    if (file == 0 || being_sent(g, file)) {
        return; /* it comes here again when the last sending of it ends */
    }
    if (wal_durable(g->node->wal) >= g->snap_ticket) {
        unlink_file(g, file, false);
    } else if (g->snap_old_count < SNAP_OLD_MAX) { /* else the next start removes it */
        g->snap_old[g->snap_old_count++] = (struct snap_old){file, g->snap_ticket};
    }
}

/* The file has its name. The log may forget what it covers; the file before it goes
 * once the log no longer names it, for a crash must find one of the two. */
static void named(struct group *g)
{
    struct node *n = g->node;
    struct checkpoint *c = &g->checkpoint;
    uint64_t old = g->snap_file;

    node_group_put_blob(g, &c->conf); /* anew: that of the file knows less of the peers by now */
    wal_put_snapshot(n->wal, g->partition, c->index, c->term, c->file);
    g->snap_ticket = wal_ticket(n->wal);
    g->snap_file = c->file;
    node_checkpoint_retire(g, old);
    g->snap_index = c->index;
    g->snap_term = c->term;
    g->snap_bytes = c->offset;
    c->active = false;
    n->checkpoints_active--;
    n->stats.snapshots_written++;
    node_snap_ready(g);
}

/* Every checkpoint is a scrub: what was read must be what the writes had made. */
static bool proved(struct group *g)
{
    g->scrub_us = g->node->now.mono_us + g->node->cfg.scrub_rest_us;
    if (store_snap_sound(g->store)) {
        return true;
    }
    SOMETIMES(true, "node_checkpoint: rot was found");
    g->node->stats.scrubs_damaged++;
    node_repair_suspect(g, SUSPECT_ROT, "a checkpoint does not hold what was written");
    return false;
}

/* Ask for the next pieces, up to the window; at the end, sync and name the file. */
void node_checkpoint_pump(struct group *g)
{
    struct node *n = g->node;
    struct checkpoint *c = &g->checkpoint;

    while (c->active && !c->produced_all && c->in_flight < n->cfg.snap_window) {
        struct buf items = {0}, piece = {0};
        bool more = store_snap_next(g->store, n->cfg.snap_chunk_bytes, &items);

        if (!more && !proved(g)) {
            buf_free(&items);
            return; /* it was given up */
        }
        if (items.len > 0) {
            snapfile_put_chunk(&piece, buf_slice(&items));
            c->chunk_count++;
        }
        if (!more) {
            snapfile_put_foot(&piece, c->chunk_count);
            c->produced_all = true;
        }
        buf_free(&items);
        write_piece(g, &piece);
    }
    if (c->produced_all && c->in_flight == 0 && !c->sync_issued) {
        struct disk_op *op = disk_ops_push(&n->ops, DISK_SYNC, DISK_LANE_BULK);

        op->token = node_token(DISK_USER_CHECKPOINT_SYNCED, g->partition, n->next_token++);
        file_op_path(g, c->file, true, op->path);
        op = disk_ops_push(&n->ops, DISK_RENAME, DISK_LANE_BULK);
        op->token = node_token(DISK_USER_CHECKPOINT_NAMED, g->partition, n->next_token++);
        file_op_path(g, c->file, true, op->path);
        file_op_path(g, c->file, false, op->path2);
        c->sync_issued = true;
        if (PLANTED(SNAP_NAMED_EARLY)) {
            named(g);
        }
    }
}

void node_checkpoint_abort(struct group *g)
{
    struct checkpoint *c = &g->checkpoint;

    if (!c->active) {
        return;
    }
    if (store_snap_active(g->store)) {
        store_snap_abort(g->store);
    }
    unlink_file(g, c->file, true);
    unlink_file(g, c->file, false);
    c->active = false;
    c->file = 0;
    g->snap_wanted = g->snap_wanted || g->snap_peer_count > 0; /* they still wait for one */
    g->node->checkpoints_active--;
}

void node_checkpoint_disk(struct group *g, enum disk_user user, const struct disk_done *done)
{
    struct checkpoint *c = &g->checkpoint;

    if (!c->active ||
        (node_token_number(done->token) < c->first_token && !PLANTED(OLD_COMPLETION))) {
        SOMETIMES_RARE(c->active, "node_checkpoint: a completion of one given up", 20000,
                       "a disk that stalls while a snapshot is given up and the next begins; "
                       "test/unit/node/node_repair_test.c");
        return; /* given up meanwhile; it must not vouch for the next one */
    }
    if (done->err != ERR_OK) {
        SOMETIMES(true, "node_checkpoint: no space for a snapshot");
        node_log(g->node, NODE_LOG_WARN, "msg=\"snapshot given up\" partition=%u reason=\"%s\"",
                 g->partition, done->why.text);
        node_checkpoint_abort(g);
        g->node->checkpoint_pause_us = g->node->now.mono_us + 1000 * 1000;
        return;
    }
    if (user == DISK_USER_CHECKPOINT) {
        if (c->in_flight > 0) {
            c->in_flight--;
        }
        node_checkpoint_pump(g);
    } else if (user == DISK_USER_CHECKPOINT_NAMED) {
        named(g);
    }
}

void node_checkpoint_want(struct group *g)
{
    g->snap_wanted = true;
}

void node_checkpoint_spoiled(struct group *g, uint64_t file)
{
    if (file == g->snap_file) {
        g->snap_bad = file;
        node_checkpoint_want(g);
    }
}

bool node_checkpoint_bad(const struct group *g)
{
    return g->snap_file != 0 && g->snap_bad == g->snap_file;
}

/* Another one at the same index is worth nothing, unless the one there is no good. A change of
 * members under way is no obstacle: it may need this snapshot to be decided, where it is a
 * follower that lags whose vote is missing (seed 11958 of 660fdfb). */
static bool can_begin(const struct group *g)
{
    return g->here && !g->checkpoint.active && !g->recv.active && g->snap_old_count == 0 &&
           node_group_trusted(g) && (g->applied.n > g->snap_index.n || node_checkpoint_bad(g));
}

static void drop_old(struct node *n, struct group *g)
{
    while (g->snap_old_count > 0 && wal_durable(n->wal) >= g->snap_old[0].ticket) {
        unlink_file(g, g->snap_old[0].file, false);
        memmove(&g->snap_old[0], &g->snap_old[1], --g->snap_old_count * sizeof g->snap_old[0]);
    }
}

void node_checkpoint_tick(struct node *n)
{
    uint32_t laggard;
    struct group *next = NULL;

    for (uint32_t p = 0; p < n->map.partitions && n->groups != NULL; p++) {
        struct group *g = &n->groups[p];

        drop_old(n, g);
        if (!g->here) {
            continue;
        }
        node_snap_send_tick(g);
        node_snap_recv_tick(g);
        if (next == NULL && g->snap_wanted && can_begin(g)) {
            next = g;
        }
    }
    if (n->groups == NULL || n->checkpoints_active >= CHECKPOINTS_MAX ||
        n->now.mono_us < n->checkpoint_pause_us) {
        return;
    }
    if (next == NULL && wal_held_bytes(n->wal) > n->cfg.checkpoint_log_bytes &&
        wal_laggard(n->wal, &laggard) && can_begin(&n->groups[laggard])) {
        next = &n->groups[laggard];
    }
    if (next != NULL) {
        begin(next);
        node_checkpoint_pump(next);
    }
}
