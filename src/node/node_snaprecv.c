/* Receiving a snapshot: loaded into a new store and written to disk piece by piece;
 * put in place of the old state only when it is whole, checked and durable.
 */
#include "node/node_internal.h"

#include "base/base_hash.h"

enum { PATIENCE_US = 20 * 1000 * 1000, SAY_AGAIN_US = 10 * 1000 * 1000 };

static void send_ack(struct link *l, const struct wire_chunk_ack *a)
{
    size_t mark = wire_begin(&l->now, WIRE_CHUNK_ACK);

    wire_put_chunk_ack(&l->now, a);
    wire_end(&l->now, mark);
}

/* Of the snapshot that is received. */
static void ack(struct group *g, uint8_t state, uint64_t gate)
{
    struct snap_recv *v = &g->recv;
    struct link *l = node_link_to(g->node, v->from);

    if (l == NULL) {
        return;
    }
    CHECK(gate <= wal_durable(g->node->wal));
    send_ack(l, &(struct wire_chunk_ack){.group = g->partition,
                                         .from = g->self,
                                         .to = v->from,
                                         .file = v->sender_file,
                                         .index = v->index,
                                         .offset = v->offset,
                                         .state = state});
}

static void recv_path(const struct group *g, bool temporary, char *out)
{
    snapfile_name(g->partition, g->recv.file, temporary, out);
}

void node_snap_recv_abort(struct group *g)
{
    struct snap_recv *v = &g->recv;
    struct node *n = g->node;
    struct disk_op *op;

    if (!v->active) {
        return;
    }
    snapfile_reader_free(&v->reader);
    if (v->store != NULL) {
        store_destroy(v->store);
        op = disk_ops_push(&n->ops, DISK_UNLINK, DISK_LANE_BULK);
        op->token = node_token(DISK_USER_FORGET, g->partition, n->next_token++);
        recv_path(g, true, op->path);
        if (v->finishing) { /* the rename comes before this */
            op = disk_ops_push(&n->ops, DISK_UNLINK, DISK_LANE_BULK);
            op->token = node_token(DISK_USER_FORGET, g->partition, n->next_token++);
            recv_path(g, false, op->path);
        }
    }
    *v = (struct snap_recv){0};
}

static void begin(struct group *g, struct link *l, const struct wire_chunk *c)
{
    struct node *n = g->node;
    struct snap_recv *v = &g->recv;

    node_snap_recv_abort(g);
    *v = (struct snap_recv){.active = true,
                            .sender_file = c->file,
                            .file = n->next_file++,
                            .first_token = n->next_token,
                            .from = c->from,
                            .index = c->index,
                            .term = c->term,
                            .total = c->total,
                            .conn = l->conn,
                            .store = node_group_store(g),
                            .last_progress_us = n->now.mono_us};
    snapfile_reader_init(&v->reader, v->store);
}

static enum err take_bytes(struct group *g, const struct wire_chunk *c)
{
    struct node *n = g->node;
    struct snap_recv *v = &g->recv;
    struct diag why = {{0}};
    struct disk_op *op;
    enum err err = snapfile_read(&v->reader, c->bytes, &why);

    if (err == ERR_OK && c->last) {
        err = snapfile_finish(&v->reader, &why);
        if (err == ERR_OK &&
            (v->reader.head.index.n != v->index.n || v->reader.head.term.n != v->term.n ||
             v->reader.head.group != g->partition)) {
            diag_set(&why, "it is not the snapshot it was announced as");
            err = ERR_CORRUPT;
        }
    }
    if (err != ERR_OK) {
        n->troubles.snapshots_refused++;
        node_log(n, NODE_LOG_ERROR, "msg=\"snapshot refused\" partition=%u reason=\"%s\"",
                 g->partition, why.text);
        return err;
    }
    op = disk_ops_push(&n->ops, DISK_WRITE, DISK_LANE_BULK);
    op->token = node_token(DISK_USER_RECV, g->partition, n->next_token++);
    op->offset = v->offset;
    recv_path(g, true, op->path);
    buf_append_slice(&op->data, c->bytes);
    v->offset += c->bytes.len;
    v->in_flight++;
    v->last_progress_us = n->now.mono_us;
    return ERR_OK;
}

static void name_file(struct group *g)
{
    struct node *n = g->node;
    struct disk_op *op = disk_ops_push(&n->ops, DISK_SYNC, DISK_LANE_BULK);

    op->token = node_token(DISK_USER_RECV_SYNCED, g->partition, n->next_token++);
    recv_path(g, true, op->path);
    op = disk_ops_push(&n->ops, DISK_RENAME, DISK_LANE_BULK);
    op->token = node_token(DISK_USER_RECV_NAMED, g->partition, n->next_token++);
    recv_path(g, true, op->path);
    recv_path(g, false, op->path2);
    g->recv.finishing = true;
}

/* Of another one. Whoever is not told waits for 15 s before it sends anything again. */
static void give_up(struct link *l, const struct wire_chunk *c)
{
    send_ack(l, &(struct wire_chunk_ack){.group = c->group,
                                         .from = c->to,
                                         .to = c->from,
                                         .file = c->file,
                                         .index = c->index,
                                         .state = WIRE_CHUNK_GIVEN_UP});
}

void node_snap_chunk(struct node *n, struct link *l, const struct wire_chunk *c)
{
    struct group *g;
    struct snap_recv *v;
    enum err err;

    if (n->groups == NULL || c->group >= n->map.partitions || !n->groups[c->group].here) {
        return;
    }
    g = &n->groups[c->group];
    v = &g->recv;
    if (c->to.n != g->self.n || node_of_raft_id(c->from) != node_short_id(&l->node) ||
        c->sender_term.n < raft_term_now(g->raft).n ||
        (c->index.n <= g->applied.n && !node_repair_takes(g, c->index))) {
        SOMETIMES(true, "node_snaprecv: a snapshot that is not needed");
        give_up(l, c);
        return;
    }
    if (c->offset == 0) {
        if (v->active && v->finishing) {
            /* Let the one that is whole finish. It may be given up yet, when the connection that
             * it came on breaks; until then another leader has sent its own (seed 32564 of
             * 7926d60: the partition stood still meanwhile). */
            if (v->sender_file != c->file || v->conn != l->conn) {
                give_up(l, c);
            }
            return;
        }
        begin(g, l, c); /* also where the sender starts over */
    }
    if (!v->active || v->sender_file != c->file || v->conn != l->conn) {
        give_up(l, c); /* the rest of one that was given up */
        return;
    }
    if (v->finishing || c->offset != v->offset) {
        return;
    }
    err = take_bytes(g, c);
    if (err != ERR_OK) {
        ack(g, err == ERR_CORRUPT ? WIRE_CHUNK_DAMAGED : WIRE_CHUNK_GIVEN_UP, 0);
        node_snap_recv_abort(g);
        return;
    }
    if (c->last) {
        name_file(g);
    }
}

/* The state of the snapshot takes the place of this replica's. */
static void take_state(struct group *g, const struct group_blob *blob)
{
    struct node *n = g->node;
    struct snap_recv *v = &g->recv;
    uint64_t old_file = g->snap_file;

    node_checkpoint_abort(g);
    node_scrub_stop(g);
    store_destroy(g->store);
    g->store = v->store;
    v->store = NULL;
    g->applied = g->snap_index = v->index;
    g->applied_term = g->snap_term = v->term;
    g->snap_file = v->file;
    g->snap_bytes = v->offset;
    if (blob->last_stamp.n > g->clock.last.n) {
        g->clock.last = blob->last_stamp;
    }
    node_apply_drop_pending(g, v->index, "this replica was overtaken by a snapshot");
    node_reads_overtaken(g, v->index);
    g->snap_ticket = g->install_ticket = v->install_ticket = wal_ticket(n->wal);
    node_checkpoint_retire(g, old_file);
}

/* The log begins anew after the snapshot. */
static void put_log_after(struct group *g, const struct group_blob *blob)
{
    struct wal *w = g->node->wal;
    struct raft_index first = raft_first(g->raft);

    wal_reset_group(w, g->partition);
    wal_put_hard(w, g->partition, raft_hard(g->raft));
    node_group_put_blob(g, &blob->conf);
    wal_put_snapshot(w, g->partition, g->snap_index, g->snap_term, g->snap_file);
    if (raft_last(g->raft).n >= first.n) {
        wal_put_entries(w, g->partition, raft_entry(g->raft, first),
                        (uint32_t)(raft_last(g->raft).n - first.n + 1));
    }
}

/* The file is whole and named: state, log and Raft change over in one turn, and the
 * log's batch makes it durable as one.
 *
 * Raft takes no snapshot of what it knows to be committed. Where only the state was wrong
 * (node_repair.c) it is not asked: its log stays, and goes on being applied after the
 * snapshot's index, as if this replica had written the file itself. */
static void install(struct group *g)
{
    struct node *n = g->node;
    struct snap_recv *v = &g->recv;
    bool state_only = node_repair_takes(g, v->index);
    struct group_blob blob;

    if (node_group_decode_blob(buf_slice(&v->reader.head_blob), &blob) != ERR_OK ||
        (!state_only &&
         raft_install(g->raft, n->now.mono_us, v->index, v->term, &blob.conf) != ERR_OK)) {
        struct disk_op *op = disk_ops_push(&n->ops, DISK_UNLINK, DISK_LANE_BULK);

        op->token = node_token(DISK_USER_FORGET, g->partition, n->next_token++);
        recv_path(g, false, op->path);
        ack(g, WIRE_CHUNK_GIVEN_UP, 0);
        node_snap_recv_abort(g);
        return;
    }
    SOMETIMES(!state_only, "node_snaprecv: a snapshot was installed");
    SOMETIMES(state_only, "node_snaprecv: the state was replaced under its log");
    take_state(g, &blob);
    if (state_only) {
        node_group_put_blob(g, &blob.conf);
        wal_put_snapshot(n->wal, g->partition, g->snap_index, g->snap_term, g->snap_file);
    } else {
        put_log_after(g, &blob);
    }
    wal_put_commit(n->wal, g->partition, raft_commit(g->raft));
    raft_applied(g->raft, g->applied);
    n->stats.snapshots_installed++;
    g->installs++;
    node_repair_installed(g);
    node_group_mark(g);
}

/* A full disk refuses one after the other until there is space: said now and then. */
static void say_not_stored(struct group *g, const struct disk_done *done)
{
    struct node *n = g->node;

    if (n->recv_said_us == 0 || n->now.mono_us - n->recv_said_us >= SAY_AGAIN_US) {
        n->recv_said_us = n->now.mono_us;
        node_log(n, NODE_LOG_WARN,
                 "msg=\"snapshots from others cannot be stored\" partition=%u reason=\"%s\"",
                 g->partition, done->why.text);
    }
}

void node_snap_recv_disk(struct group *g, enum disk_user user, const struct disk_done *done)
{
    struct snap_recv *v = &g->recv;

    if (!v->active || v->install_ticket != 0 ||
        (node_token_number(done->token) < v->first_token && !PLANTED(OLD_COMPLETION))) {
        /* Of one that was given up, say when its link broke during the sync: were it
         * taken for the present one's, a half received state would be installed. */
        SOMETIMES_RARE(v->active && v->install_ticket == 0,
                       "node_snaprecv: a completion of one given up", 5000,
                       "a link breaks and comes back while the receiver's disk stalls");
        return;
    }
    if (done->err != ERR_OK) {
        say_not_stored(g, done);
        ack(g, WIRE_CHUNK_GIVEN_UP, 0);
        node_snap_recv_abort(g);
        return;
    }
    if (user == DISK_USER_RECV) {
        if (v->in_flight > 0) {
            v->in_flight--;
        }
        if (!v->finishing) {
            ack(g, WIRE_CHUNK_MORE, 0);
        }
    } else if (user == DISK_USER_RECV_NAMED) {
        CHECK(v->finishing);
        install(g);
    }
}

void node_snap_recv_tick(struct group *g)
{
    struct snap_recv *v = &g->recv;
    struct node *n = g->node;

    if (!v->active) {
        return;
    }
    if (v->install_ticket != 0) {
        if (wal_durable(n->wal) >= v->install_ticket) {
            ack(g, WIRE_CHUNK_INSTALLED, v->install_ticket);
            node_snap_recv_abort(g);
        }
        return;
    }
    if (n->now.mono_us - v->last_progress_us > PATIENCE_US && !v->finishing) {
        node_snap_recv_abort(g);
    }
}
