/* Streaming the newest snapshot file to a replica that the log cannot catch up.
 * The receiver's acknowledgements are the pace: at most a few pieces are under way.
 */
#include "node/node_internal.h"

#include "base/base_mem.h"

enum {
    PATIENCE_US = 15 * 1000 * 1000,
    BAD_AGAIN_US = 10 * 1000 * 1000, /* a receiver whose memory is at fault finds every file bad */
    CATCH_UP_US = 10 * 1000 * 1000,
    GIVEN_UP_US = 1000 * 1000, /* the receiver's disk is full, as a rule: it stays so */
};

static void send_end(struct group *g, struct snap_send *s, bool ok)
{
    struct node *n = g->node;
    uint64_t file = s->file;

    list_remove(&s->in_group);
    if (g->raft != NULL) {
        raft_snapshot_sent(g->raft, s->to, s->index, ok);
        node_group_mark(g);
    }
    mem_free(s);
    /* An older file was kept only for this. */
    if (file != g->snap_file && n->phase != NODE_PHASE_STOPPED) {
        node_checkpoint_retire(g, file);
    }
}

void node_snap_sends_drop(struct group *g, uint64_t conn_peer_node, bool all)
{
    LIST_EACH(it, &g->sends)
    {
        struct snap_send *s = LIST_ENTRY(it, struct snap_send, in_group);

        if (all || node_of_raft_id(s->to) == conn_peer_node) {
            send_end(g, s, false);
        }
    }
}

static void read_next(struct group *g, struct snap_send *s)
{
    struct node *n = g->node;
    struct disk_op *op;

    if (s->reading || s->last_read || s->end_us != 0 ||
        s->read_offset - s->acked_offset >=
            (uint64_t)n->cfg.snap_window * n->cfg.snap_piece_bytes) {
        return;
    }
    if (!node_move_allowed(g, s->to, n->cfg.snap_piece_bytes)) {
        return; /* tried again with the next tick */
    }
    op = disk_ops_push(&n->ops, DISK_READ, DISK_LANE_BULK);
    op->token = s->read_token = node_token(DISK_USER_SEND_READ, g->partition, n->next_token++);
    op->offset = s->read_offset;
    op->read_bytes = n->cfg.snap_piece_bytes;
    snapfile_name(g->partition, s->file, false, op->path);
    s->reading = true;
}

static void send_begin(struct group *g, struct raft_id to)
{
    struct snap_send *s = MEM_NEW(struct snap_send);

    *s = (struct snap_send){.to = to,
                            .file = g->snap_file,
                            .bytes = g->snap_bytes,
                            .index = g->snap_index,
                            .term = g->snap_term,
                            .began_us = g->node->now.mono_us,
                            .last_progress_us = g->node->now.mono_us};
    list_push_back(&g->sends, &s->in_group);
    g->retain_until_us = g->node->now.mono_us + CATCH_UP_US;
    read_next(g, s);
}

/* The file on disk will do if the log goes on right after it. */
static bool file_will_do(const struct group *g)
{
    return g->snap_file != 0 && !node_checkpoint_bad(g) &&
           g->snap_index.n + 1 >= raft_first(g->raft).n && !g->checkpoint.active;
}

static bool sending_to(struct group *g, struct raft_id peer)
{
    LIST_EACH(it, &g->sends)
    {
        if (LIST_ENTRY(it, struct snap_send, in_group)->to.n == peer.n) {
            return true;
        }
    }
    return false;
}

static void wait_for_next(struct group *g, struct raft_id peer)
{
    bool waits = false;

    for (uint32_t i = 0; i < g->snap_peer_count; i++) {
        waits = waits || g->snap_peers[i].n == peer.n;
    }
    if (!waits && g->snap_peer_count < RAFT_PEERS_MAX) {
        g->snap_peers[g->snap_peer_count++] = peer;
    }
    node_checkpoint_want(g);
}

void node_snap_need(struct group *g, struct raft_id peer)
{
    if (sending_to(g, peer)) {
        return;
    }
    if (!node_group_trusted(g)) {
        raft_snapshot_sent(g->raft, peer, (struct raft_index){0}, false); /* from who leads next */
    } else if (file_will_do(g)) {
        send_begin(g, peer);
    } else {
        wait_for_next(g, peer);
    }
}

void node_snap_repair(struct group *g, struct raft_id peer, struct raft_index least)
{
    if (sending_to(g, peer)) {
        return;
    }
    if (g->snap_file != 0 && !node_checkpoint_bad(g) && g->snap_index.n >= least.n) {
        send_begin(g, peer);
    } else if (g->applied.n >= least.n) {
        wait_for_next(g, peer);
    }
}

void node_snap_ready(struct group *g)
{
    uint32_t count = g->snap_peer_count;

    g->snap_peer_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (node_group_leads(g) && !sending_to(g, g->snap_peers[i])) {
            send_begin(g, g->snap_peers[i]);
        }
    }
}

static struct snap_send *send_of_token(struct group *g, uint64_t token)
{
    LIST_EACH(it, &g->sends)
    {
        struct snap_send *s = LIST_ENTRY(it, struct snap_send, in_group);

        if (s->reading && s->read_token == token) {
            return s;
        }
    }
    return NULL;
}

/* The file is of no use, to this node's next start neither: whoever needs one waits for the
 * next. */
static void file_bad(struct group *g, struct snap_send *s, const char *why)
{
    SOMETIMES_RARE(true, "node_snapsend: a snapshot file that is no good any more", 20000,
                   "somebody needs a snapshot between the harm of its file and the next one; "
                   "test/unit/node/node_snap_test.c");
    node_log(g->node, NODE_LOG_ERROR,
             "msg=\"a snapshot file is damaged and is written anew\" partition=%u file=%llx "
             "reason=\"%s\"",
             g->partition, (unsigned long long)s->file, why);
    node_checkpoint_spoiled(g, s->file);
    send_end(g, s, false);
}

void node_snap_disk(struct group *g, const struct disk_done *done)
{
    struct node *n = g->node;
    struct snap_send *s = send_of_token(g, done->token);
    struct link *l;
    struct wire_chunk c;
    size_t mark;

    if (s == NULL) {
        return;
    }
    s->reading = false;
    if (s->end_us != 0) {
        return;
    }
    l = node_link_to(n, s->to);
    if (l == NULL || !node_group_leads(g)) {
        send_end(g, s, false);
        return;
    }
    if (done->err != ERR_OK) {
        file_bad(g, s, done->why.text);
        return;
    }
    if (done->data.len == 0) {
        file_bad(g, s, "it is shorter than it was");
        return;
    }
    c = (struct wire_chunk){.group = g->partition,
                            .from = g->self,
                            .to = s->to,
                            .file = s->file,
                            .index = s->index,
                            .term = s->term,
                            .sender_term = raft_term_now(g->raft),
                            .offset = s->read_offset,
                            .total = s->bytes,
                            .last = s->read_offset + done->data.len >= s->bytes,
                            .bytes = done->data};
    mark = wire_begin(&l->now, WIRE_CHUNK);
    wire_put_chunk(&l->now, &c);
    wire_end(&l->now, mark);
    s->read_offset += done->data.len;
    s->last_read = c.last;
    read_next(g, s);
}

void node_snap_ack(struct node *n, struct link *l, const struct wire_chunk_ack *a)
{
    struct group *g;

    if (n->groups == NULL || a->group >= n->map.partitions ||
        node_of_raft_id(a->from) != node_short_id(&l->node)) {
        return;
    }
    g = &n->groups[a->group];
    LIST_EACH(it, &g->sends)
    {
        struct snap_send *s = LIST_ENTRY(it, struct snap_send, in_group);

        if (s->to.n != a->from.n || s->file != a->file) {
            continue;
        }
        if (a->state == WIRE_CHUNK_MORE) {
            if (a->offset > s->acked_offset && a->offset <= s->read_offset) {
                s->acked_offset = a->offset;
                s->last_progress_us = n->now.mono_us;
                g->retain_until_us = n->now.mono_us + CATCH_UP_US;
            }
            read_next(g, s);
            return;
        }
        if (a->state == WIRE_CHUNK_INSTALLED) {
            n->stats.snapshots_sent++;
            send_end(g, s, true);
        } else if (a->state == WIRE_CHUNK_DAMAGED && n->now.mono_us >= g->snap_bad_us) {
            g->snap_bad_us = n->now.mono_us + BAD_AGAIN_US;
            file_bad(g, s, "its receiver cannot read it");
        } else if (s->end_us == 0) {
            SOMETIMES(true, "node_snapsend: given up by the receiver");
            s->end_us = n->now.mono_us + GIVEN_UP_US;
        }
        return;
    }
}

void node_snap_send_tick(struct group *g)
{
    LIST_EACH(it, &g->sends)
    {
        struct snap_send *s = LIST_ENTRY(it, struct snap_send, in_group);

        if (!node_group_leads(g) || g->node->now.mono_us - s->last_progress_us > PATIENCE_US ||
            (s->end_us != 0 && g->node->now.mono_us >= s->end_us)) {
            send_end(g, s, false);
        } else {
            read_next(g, s);
        }
    }
}
