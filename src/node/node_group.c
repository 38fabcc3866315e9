/* Groups: one Raft replica with its store per partition that lives here. */
#include "node/node_internal.h"

#include "base/base_hash.h"
#include "base/base_mem.h"

void node_group_raft_config(const struct node *n, struct raft_id self, uint32_t partition,
                            struct raft_config *out)
{
    *out = (struct raft_config){
        .self = self,
        .heartbeat_us = n->cfg.heartbeat_us,
        .election_us_min = n->cfg.election_us_min,
        .election_us_max = n->cfg.election_us_max,
        .lease_drift_ppm = 10000, /* one per cent: far beyond what quartz does */
        .append_bytes_max = n->cfg.append_bytes_max,
        .inflight_bytes_max = n->cfg.inflight_bytes_max,
        .inflight_count_max = n->cfg.inflight_count_max,
        .uncommitted_bytes_max = n->cfg.entry_bytes_max + (8UL << 20),
        .seed = hash64_mix(n->rng.state, hash64_mix(self.n, partition)),
        .lease_reads = n->cfg.lease_reads,
    };
}

void node_group_init(struct node *n, uint32_t partition)
{
    struct group *g = &n->groups[partition];

    *g = (struct group){.node = n, .partition = partition};
    list_init(&g->reading);
    list_init(&g->held);
    list_init(&g->forwarded);
    list_init(&g->sends);
}

void node_group_free(struct group *g)
{
    node_snap_sends_drop(g, 0, true);
    if (g->recv.active) {
        node_snap_recv_abort(g);
    }
    buf_free(&g->checkpoint.blob);
    mem_free(g->pending);
    mem_free(g->replaced);
    if (g->raft != NULL) {
        raft_destroy(g->raft);
    }
    if (g->store != NULL) {
        store_destroy(g->store);
    }
}

void node_group_mark(struct group *g)
{
    if (!g->dirty && g->here) {
        g->dirty = true;
        g->node->dirty[g->node->dirty_count++] = g;
    }
}

bool node_group_leads(const struct group *g)
{
    return g->here && raft_role(g->raft) == RAFT_LEADER;
}

const struct raft_conf *node_group_conf(const struct group *g)
{
    return raft_conf_now(g->raft);
}

/* ---- the blob: who this replica is, and the configuration as of its snapshot ---- */

enum { BLOB_VERSION = 4 };
/* flags */
enum { BLOB_GONE = 1 }; /* the replica of this id was taken out; its name is not used again */

static void encode_conf_members(const struct node *n, const struct raft_conf *conf, struct buf *out)
{
    uint32_t count = 0;
    struct buf members = {0};

    for (uint32_t i = 0; i < n->map.member_count; i++) {
        uint64_t short_id = node_short_id(&n->map.members[i].node);
        bool in_conf = false;

        for (uint8_t v = 0; v < conf->voter_count; v++) {
            in_conf = in_conf || node_of_raft_id(conf->voters[v]) == short_id;
        }
        for (uint8_t v = 0; v < conf->learner_count; v++) {
            in_conf = in_conf || node_of_raft_id(conf->learners[v]) == short_id;
        }
        if (in_conf && count < RAFT_PEERS_MAX) {
            count++;
            wire_put_member(&members, &n->map.members[i]);
        }
    }
    put_varint(out, count);
    buf_append(out, members.data, members.len);
    buf_free(&members);
}

void node_group_encode_blob(const struct group *g, const struct raft_conf *conf, struct buf *out)
{
    struct buf conf_bytes = {0};

    put_u8(out, BLOB_VERSION);
    put_u64le(out, g->self.n);
    put_u8(out, g->here ? 0 : BLOB_GONE);
    put_u64le(out, g->clock.last.n);
    if (conf->voter_count > 0) { /* a replica that waits to be taken in knows of none */
        raft_conf_encode(conf, (struct slice){0}, &conf_bytes);
    }
    put_bytes(out, buf_slice(&conf_bytes));
    buf_free(&conf_bytes);
    encode_conf_members(g->node, conf, out);
    node_past_encode(g, out);
}

enum err node_group_decode_blob(struct slice data, struct group_blob *out)
{
    struct reader r = reader_of(data.data, data.len);
    struct slice conf, context;
    uint64_t members;
    uint8_t version = get_u8(&r), flags;

    *out = (struct group_blob){0};
    if (version != BLOB_VERSION) {
        return ERR_VERSION;
    }
    out->self.n = get_u64le(&r);
    flags = get_u8(&r);
    out->gone = (flags & BLOB_GONE) != 0;
    out->last_stamp.n = get_u64le(&r);
    conf = get_bytes(&r);
    members = get_varint(&r);
    if (r.bad || members > RAFT_PEERS_MAX || flags > BLOB_GONE ||
        (conf.len > 0 && raft_conf_decode(conf, &out->conf, &context) != ERR_OK)) {
        return ERR_CORRUPT;
    }
    out->member_count = (uint32_t)members;
    for (uint32_t i = 0; i < out->member_count; i++) {
        if (wire_get_member(&r, &out->members[i]) != ERR_OK) {
            return ERR_CORRUPT;
        }
    }
    if (node_past_decode(&r, out) != ERR_OK) {
        return ERR_CORRUPT;
    }
    return r.bad || r.pos != r.end ? ERR_CORRUPT : ERR_OK;
}

void node_group_put_blob(struct group *g, const struct raft_conf *conf)
{
    struct buf blob = {0};

    g->snap_conf = *conf;
    node_group_encode_blob(g, conf, &blob);
    wal_put_blob(g->node->wal, g->partition, buf_slice(&blob));
    buf_free(&blob);
}

/* ---- starting replicas ---- */

struct store *node_group_store(const struct group *g)
{
    const struct wire_id *cluster = &g->node->map.cluster;

    return store_create(hash64_mix(hash64(cluster->b, sizeof cluster->b), g->partition));
}

static void group_fresh(struct group *g, struct raft_id self, const struct raft_conf *conf)
{
    struct node *n = g->node;
    struct raft_config cfg;
    struct raft_recovered rec = {.conf = *conf};

    node_group_raft_config(n, self, g->partition, &cfg);
    g->here = true;
    g->self = self;
    g->raft = raft_create(&cfg, &rec);
    g->store = node_group_store(g);
    raft_start(g->raft, n->now.mono_us);
    node_past_begin(g);
    g->name_ticket = wal_ticket(n->wal);
    node_group_put_blob(g, conf);
    node_group_mark(g);
}

/* Nothing is left of the replica, here and in the log. */
static void group_forget(struct group *g, const char *why)
{
    struct node *n = g->node;
    uint64_t old = g->snap_file;

    if (g->here) {
        node_scrub_stop(g);
        node_checkpoint_abort(g);
        node_apply_drop_pending(g, (struct raft_index){UINT64_MAX}, why);
        raft_destroy(g->raft);
        store_destroy(g->store);
        g->raft = NULL;
        g->store = NULL;
        g->here = false;
    }
    wal_reset_group(n->wal, g->partition);
    g->applied = g->snap_index = (struct raft_index){0};
    g->applied_term = g->snap_term = (struct raft_term){0};
    g->snap_file = 0;
    g->snap_ticket = wal_ticket(n->wal);
    node_checkpoint_retire(g, old);
    g->digest = (struct digest){0};
    g->retain_until_us = 0;
    g->snap_peer_count = 0;
    g->snap_wanted = false;
    g->caught = (struct caught_up){0};
    if (g->leader.n == g->self.n) {
        g->leader = (struct raft_id){0};
    }
}

void node_group_restart_as(struct group *g, struct raft_id self, struct raft_id replaces)
{
    struct raft_conf nobody = {0};

    group_forget(g, "this replica was overtaken by a snapshot");
    g->leader = (struct raft_id){0};
    g->rebuilding = true;
    g->replaces = replaces;
    group_fresh(g, self, &nobody);
}

void node_group_end(struct group *g)
{
    struct node *n = g->node;
    struct raft_conf nobody = {0};

    node_snap_sends_drop(g, 0, true);
    node_snap_recv_abort(g);
    group_forget(g, "this replica was taken out");
    g->rebuilding = false;
    node_group_put_blob(g, &nobody);
    while (!list_empty(&g->reading)) {
        node_request_not_leader(n, LIST_ENTRY(g->reading.next, struct request, in_group));
    }
}

void node_groups_alloc(struct node *n)
{
    CHECK(n->groups == NULL);
    n->groups = mem_zalloc(n->map.partitions * sizeof n->groups[0]);
    n->dirty = mem_zalloc(2 * (size_t)n->map.partitions * sizeof(struct group *)); /* see flush */
    for (uint32_t p = 0; p < n->map.partitions; p++) {
        node_group_init(n, p);
    }
}

/* The map is new and durable: make the replicas that it places here, if it is the one of the
 * founding. The replicas of a later one are taken in by those that are there (node_move.c). */
void node_start_groups(struct node *n)
{
    node_groups_alloc(n);
    for (uint32_t p = 0; p < n->map.partitions && (n->map.epoch == 1 || n->joined); p++) {
        const uint8_t *row;
        uint32_t count = wire_map_row(&n->map, p, &row);
        struct raft_conf conf = {0};

        for (uint32_t r = 0; r < count; r++) {
            conf.voters[conf.voter_count++] = node_replica_id(n, row[r]);
        }
        if (!wire_map_places(&n->map, p, n->self_pos)) {
            continue;
        }
        if (n->joined) {
            node_group_restart_as(&n->groups[p], node_replica_id(n, n->self_pos),
                                  (struct raft_id){0});
        } else {
            group_fresh(&n->groups[p], node_replica_id(n, n->self_pos), &conf);
        }
    }
    node_log(n, NODE_LOG_INFO, "msg=\"serving\" partitions=%u replicas=%u members=%u epoch=%llu",
             n->map.partitions, n->map.replicas, n->map.member_count,
             (unsigned long long)n->map.epoch);
}

/* ---- driving ---- */

void node_group_learn_leader(struct group *g, struct raft_id leader, struct raft_term term)
{
    if (term.n < g->leader_term.n || (term.n == g->leader_term.n && leader.n == 0)) {
        return;
    }
    if (g->leader.n == leader.n && g->leader_term.n == term.n) {
        return;
    }
    g->leader = leader;
    g->leader_term = term;
    if (!list_empty(&g->held)) {
        node_route_drain(g);
    }
}

/* Nodes without a replica learn leaders from those that have one. */
void node_group_tell_leader(struct group *g, struct link *l)
{
    struct wire_leader hint = {
        .partition = g->partition, .term = raft_term_now(g->raft), .leader = raft_leader(g->raft)};

    if (l->state == LINK_UP && hint.leader.n != 0) {
        size_t mark = wire_begin(&l->now, WIRE_LEADERS);

        wire_put_leader(&l->now, &hint);
        wire_end(&l->now, mark);
    }
}

static void tell_leader(struct group *g)
{
    struct node *n = g->node;

    for (uint32_t i = 0; i < n->link_count; i++) {
        node_group_tell_leader(g, &n->links[i]);
    }
}

void node_group_leader_time(struct group *g)
{
    struct raft_index at = raft_last(g->raft);

    if (g->time_term.n == raft_term_now(g->raft).n || PLANTED(TIME_FORGOTTEN)) {
        return;
    }
    g->time_term = raft_term_now(g->raft);
    for (uint32_t looked = 0; looked < 1024 && at.n >= raft_first(g->raft).n; looked++, at.n--) {
        const struct raft_entry *e = raft_entry(g->raft, at);

        if (e != NULL && e->kind == RAFT_COMMAND && e->data.len >= 8) {
            uint64_t stamp = load_u64le(e->data.data);

            g->clock.last.n = stamp > g->clock.last.n ? stamp : g->clock.last.n;
            return;
        }
    }
}

static void role_changed(struct group *g)
{
    struct node *n = g->node;
    struct raft_id leader = raft_leader(g->raft);
    struct raft_term term = raft_term_now(g->raft);

    g->transfer_asked = false;
    node_digest_role_changed(g);
    if (raft_role(g->raft) == RAFT_LEADER) {
        g->leader_since_us = n->now.mono_us;
        g->expire_index.n = 0; /* one logged in an earlier term may have been replaced */
        n->stats.elections++;
        tell_leader(g);
    }
    if (g->rebuilding && leader.n == 0 && term.n <= g->leader_term.n) {
        return; /* nobody speaks to it yet: what others say of the leader is better */
    }
    if (g->leader.n != leader.n || g->leader_term.n != term.n) {
        g->leader = leader;
        g->leader_term = term;
        if (!list_empty(&g->held)) {
            node_route_drain(g);
        }
    }
}

static void persist(struct group *g, const struct raft_effect *e)
{
    struct node *n = g->node;

    if (e->u.persist.hard_changed) {
        wal_put_hard(n->wal, g->partition, e->u.persist.hard);
    }
    if (e->u.persist.entry_count > 0) {
        wal_put_entries(n->wal, g->partition, e->u.persist.entries, e->u.persist.entry_count);
        wal_put_commit(n->wal, g->partition, raft_commit(g->raft));
    }
    node_past_save(g);
}

static void run_effect(struct group *g, const struct raft_effect *e)
{
    struct node *n = g->node;

    switch (e->kind) {
    case RAFT_PERSIST:
        CHECK(e->gate == wal_ticket(n->wal));
        persist(g, e);
        return;
    case RAFT_SEND:
        node_link_send_raft(n, g->partition, &e->u.msg,
                            e->gate > g->install_ticket ? e->gate : g->install_ticket);
        return;
    case RAFT_COMMITTED:
        return; /* applied after the loop, whatever moved the commit index */
    case RAFT_ROLE_CHANGED:
        role_changed(g);
        return;
    case RAFT_TRUNCATED:
        node_apply_truncated(g, e->u.index);
        return;
    case RAFT_READ_READY:
        node_read_right(n, e->u.read.token, e->u.read.index);
        return;
    case RAFT_READ_LOST:
        node_read_lost(n, e->u.read.token);
        return;
    case RAFT_NEED_SNAPSHOT:
        node_snap_need(g, e->u.id);
        return;
    case RAFT_CONF_CHANGED:
        node_member_conf_changed(g);
        return;
    }
}

static void group_flush(struct group *g)
{
    struct node *n = g->node;
    uint32_t count;

    raft_flush(g->raft, n->now.mono_us, wal_ticket(n->wal), &n->raft_fx);
    count = n->raft_fx.count;
    /* Sends borrow the log's memory: everything that may change the raft comes after. */
    for (uint32_t i = 0; i < count; i++) {
        if (n->raft_fx.at[i].kind == RAFT_PERSIST || n->raft_fx.at[i].kind == RAFT_SEND) {
            run_effect(g, &n->raft_fx.at[i]);
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        struct raft_effect e = n->raft_fx.at[i];

        if (e.kind != RAFT_PERSIST && e.kind != RAFT_SEND) {
            run_effect(g, &e);
        }
    }
    node_apply(g);
}

/* Applying may lead to new proposals (expiry, held requests): they mark the group
 * again and are flushed in the same turn, so that they share its log write. */
void node_groups_flush(struct node *n)
{
    for (unsigned round = 0; n->dirty_count > 0; round++) {
        uint32_t count = n->dirty_count;
        struct group *again = NULL;

        if (round == 8) {
            break; /* the rest waits for the next turn */
        }
        for (uint32_t i = 0; i < count; i++) {
            again = n->dirty[i];
            again->dirty = false;
            if (again->here) { /* or it was taken out in this turn */
                group_flush(again);
            }
        }
        /* What was marked meanwhile stands behind the ones just done. */
        memmove(n->dirty, n->dirty + count, (n->dirty_count - count) * sizeof n->dirty[0]);
        n->dirty_count -= count;
    }
}

void node_groups_durable(struct node *n, uint64_t ticket)
{
    for (uint32_t p = 0; p < n->map.partitions && n->groups != NULL; p++) {
        struct group *g = &n->groups[p];

        if (g->here) {
            raft_durable(g->raft, n->now.mono_us, ticket);
            node_past_durable(g);
            node_group_mark(g);
            if (g->recv.install_ticket != 0 && ticket >= g->recv.install_ticket) {
                node_snap_recv_tick(g);
            }
        }
    }
    if (!n->log_started && n->groups != NULL) {
        n->log_started = true;
        node_map_write(n);
    }
}
