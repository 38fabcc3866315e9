#include "node/node_internal.h"

#include "base/base_mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static_assert((int)NODE_MEMBERS_MAX <= (int)WIRE_MEMBERS_MAX, "a map holds every member");
static_assert((int)NODE_ADDR_MAX == (int)WIRE_ADDR_MAX, "an address fits on the wire");

void node_config_defaults(struct node_config *cfg)
{
    *cfg = (struct node_config){
        .partitions = NODE_PARTITIONS_DEFAULT,
        .replicas = 3,
        .weight = 1,
        .heartbeat_us = 50 * 1000,
        .election_us_min = 300 * 1000,
        .election_us_max = 600 * 1000,
        .request_timeout_us = 5 * 1000 * 1000,
        .dead_member_replace_us = 600ULL * 1000 * 1000,
        .lease_reads = true,
        .segment_bytes = 32U << 20,
        .checkpoint_log_bytes = 256UL << 20,
        .entry_bytes_max = 64UL << 20,
        .log_memory_bytes = 128UL << 10,
        .append_bytes_max = 256U << 10,
        .inflight_bytes_max = 4U << 20,
        .inflight_count_max = 128,
        .snap_chunk_bytes = SNAPFILE_CHUNK_BYTES,
        .snap_piece_bytes = 64 << 10, /* neither side works on one for a millisecond */
        .snap_window = 8,
        .maxclients = 10000,
        .output_soft_bytes = 1UL << 20,
        .output_hard_bytes = 256UL << 20,
        .slowlog_us = 10000,
        .digest_us = 2 * 1000 * 1000,
        .scrub_bytes_per_s = 2UL << 20,
        .movements_max = 4,
        .movement_bytes_per_s = 64UL << 20,
        .scrub_rest_us = 10 * 1000 * 1000,
        .gossip_probe_us = 1000 * 1000,
        .gossip_suspicion = 4,
    };
}

struct node_effect *node_effect_push(struct node *n, enum node_effect_kind kind)
{
    struct node_effects *fx = n->fx;

    MEM_GROW(fx->at, fx->count, fx->cap);
    struct node_effect *e = &fx->at[fx->count++];
    /* The op of an effect is large; only NODE_DISK sets it. */
    e->kind = kind;
    e->conn = 0;
    e->gate = 0;
    e->on = false;
    e->data = (struct buf){0};
    e->addr[0] = 0;
    e->level = NODE_LOG_INFO;
    e->err = ERR_OK;
    e->why.text[0] = 0;
    return e;
}

void node_effects_free(struct node_effects *fx)
{
    for (size_t i = 0; i < fx->count; i++) {
        if (fx->at[i].kind == NODE_SEND || fx->at[i].kind == NODE_LOG ||
            fx->at[i].kind == NODE_PACKET) {
            buf_free(&fx->at[i].data);
        } else if (fx->at[i].kind == NODE_DISK) {
            buf_free(&fx->at[i].op.data);
        }
    }
    mem_free(fx->at);
    *fx = (struct node_effects){0};
}

void node_log(struct node *n, enum node_log_level level, const char *fmt, ...)
{
    struct node_effect *e = node_effect_push(n, NODE_LOG);
    va_list ap, again;
    int len;

    e->level = level;
    va_start(ap, fmt);
    va_copy(again, ap);
    len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    CHECK(len >= 0);
    buf_reserve(&e->data, (size_t)len + 1);
    (void)vsnprintf((char *)e->data.data, (size_t)len + 1, fmt, again);
    va_end(again);
    e->data.len = (size_t)len;
}

void node_fail(struct node *n, enum err err, const struct diag *why)
{
    if (n->stop_said) {
        return;
    }
    n->stop_said = true;
    n->phase = NODE_PHASE_STOPPED;
    struct node_effect *e = node_effect_push(n, NODE_STOP);
    e->err = err;
    e->why = *why;
}

void node_issue_ops(struct node *n)
{
    for (size_t i = 0; i < n->ops.count; i++) {
        node_effect_push(n, NODE_DISK)->op = n->ops.at[i];
    }
    n->ops.count = 0;
}

bool node_writable(const struct node *n)
{
    return !wal_full(n->wal);
}

static uint64_t load_entropy(const uint8_t entropy[32], unsigned word)
{
    return load_u64le(entropy + (size_t)word * 8);
}

static void node_setup(struct node *n, const struct node_config *cfg, struct node_time now,
                       const uint8_t entropy[32])
{
    n->cfg = *cfg;
    n->now = n->started = now;
    n->rng.state = load_entropy(entropy, 0) ^ load_entropy(entropy, 3);
    n->run = load_entropy(entropy, 2) | 1;
    n->next_conn = 2;
    n->next_session = n->next_request = n->next_token = 1;
    n->next_file = (now.wall_ms << 20) | (load_entropy(entropy, 1) & 0xfffff);
    list_init(&n->session_list);
    list_init(&n->session_dirty);
    list_init(&n->timeouts);
    list_init(&n->deciding);
    n->cmd_stats = mem_zalloc(cmd_count() * sizeof n->cmd_stats[0]);
    n->slowlog_max = 128;
    n->proto_max_bulk = 512U << 20;
    n->fx = &n->early;
    n->wal = wal_create(&(struct wal_config){.segment_bytes = cfg->segment_bytes,
                                             .spare_count = WAL_CONFIG_DEFAULT.spare_count});
}

enum err node_open(const struct node_config *cfg, const struct disk_boot *boot,
                   struct node_time now, const uint8_t entropy[32], struct node **out,
                   struct diag *why)
{
    struct node *n = MEM_NEW(struct node);
    enum err err;

    *out = NULL;
    node_setup(n, cfg, now, entropy);
    err = node_found_boot(n, boot, entropy, why);
    if (err == ERR_OK) {
        err = node_boot_groups(n, boot, why);
    }
    if (err == ERR_OK) {
        err = node_gossip_boot(n, boot, entropy, why);
    }
    if (err != ERR_OK) {
        node_close(n);
        return err;
    }
    node_found_begin(n);
    *out = n;
    return ERR_OK;
}

static void sessions_free(struct node *n)
{
    LIST_EACH(it, &n->session_list)
    {
        node_session_closed(LIST_ENTRY(it, struct session, in_node));
    }
    map64_free(&n->sessions);
}

static void requests_free(struct node *n)
{
    LIST_EACH(it, &n->timeouts)
    {
        struct request *r = LIST_ENTRY(it, struct request, in_timeout);

        node_request_free(n, r);
    }
    LIST_EACH(it, &n->deciding)
    {
        node_request_free(n, LIST_ENTRY(it, struct request, in_group));
    }
    while (n->free_requests != NULL) {
        struct request *r = n->free_requests;

        n->free_requests = r->parent;
        buf_free(&r->command);
        buf_free(&r->reply);
        mem_free(r);
    }
    map64_free(&n->forwarded);
    map64_free(&n->reads);
}

void node_close(struct node *n)
{
    n->fx = &n->early;
    n->phase = NODE_PHASE_STOPPED;
    sessions_free(n);
    for (uint32_t p = 0; n->groups != NULL && p < n->map.partitions; p++) {
        node_group_free(&n->groups[p]);
    }
    requests_free(n);
    mem_free(n->groups);
    mem_free(n->dirty);
    for (uint32_t i = 0; i < n->link_count; i++) {
        node_link_free(&n->links[i]);
    }
    for (uint32_t i = 0; i < n->guest_count; i++) {
        buf_free(&n->guests[i].in);
    }
    mem_free(n->guests);
    for (uint32_t i = 0; n->slowlog != NULL && i < SLOWLOG_MAX; i++) {
        buf_free(&n->slowlog[i].args);
    }
    mem_free(n->slowlog);
    mem_free(n->cmd_stats);
    node_gossip_free(n);
    raft_effects_free(&n->raft_fx);
    wire_entries_free(&n->entries);
    buf_free(&n->scratch);
    disk_ops_free(&n->ops);
    node_chain_free(n);
    wire_map_free(&n->map);
    wire_map_free(&n->map_next);
    wire_map_free(&n->map_taken);
    wal_destroy(n->wal);
    node_effects_free(&n->early);
    mem_free(n);
}

/* ---- events ---- */

void node_begin(struct node *n, struct node_time now)
{
    /* A monotonic clock that runs backwards would extend leases: refuse to follow. */
    if (now.mono_us < n->now.mono_us) {
        now.mono_us = n->now.mono_us;
    }
    n->now = now;
    n->fx = &n->early; /* until node_end hands it over */
    n->stats.turns++;
}

void node_accepted(struct node *n, uint64_t conn, enum node_conn_kind kind, const char *addr)
{
    CHECK((conn & 1) == 1);
    if (kind == NODE_CONN_PEER) {
        node_link_accepted(n, conn, addr);
    } else {
        node_session_accepted(n, conn, addr);
    }
}

void node_dialed(struct node *n, uint64_t conn)
{
    struct link *l = node_link_by_conn(n, conn);

    if (l != NULL) {
        node_link_dialed(n, l);
    }
}

void node_closed(struct node *n, uint64_t conn, const char *reason)
{
    struct session *s = map64_get(&n->sessions, conn);
    struct link *l;

    if (s != NULL) {
        node_session_closed(s);
        return;
    }
    l = node_link_by_conn(n, conn);
    if (l != NULL) {
        node_link_closed(n, l, reason);
        return;
    }
    (void)node_link_guest_closed(n, conn);
}

void node_received(struct node *n, uint64_t conn, const uint8_t *data, size_t len)
{
    struct session *s = map64_get(&n->sessions, conn);

    n->stats.in_bytes += len;
    if (s != NULL) {
        node_session_received(s, data, len);
        return;
    }
    (void)node_link_received(n, conn, data, len);
}

void node_sent(struct node *n, uint64_t conn, size_t unsent)
{
    struct session *s = map64_get(&n->sessions, conn);
    struct link *l;

    if (s != NULL) {
        node_session_sent(s, unsent);
        return;
    }
    l = node_link_by_conn(n, conn);
    if (l != NULL) {
        l->unsent = unsent;
    }
}

static void disk_done_own(struct node *n, const struct disk_done *done)
{
    enum disk_user user = node_token_user(done->token);
    uint32_t partition = (uint32_t)(done->token >> 36) & 0xfffff;
    struct group *g =
        n->groups != NULL && partition < n->map.partitions ? &n->groups[partition] : NULL;

    switch (user) {
    case DISK_USER_IDENTITY:
    case DISK_USER_MAP:
    case DISK_USER_INCARNATION:
    case DISK_USER_META_FIRST:
    case DISK_USER_CHAIN:
        node_found_disk(n, user, done);
        return;
    case DISK_USER_CHECKPOINT:
    case DISK_USER_CHECKPOINT_SYNCED:
    case DISK_USER_CHECKPOINT_NAMED:
        CHECK(g != NULL);
        node_checkpoint_disk(g, user, done);
        return;
    case DISK_USER_SEND_READ:
        CHECK(g != NULL);
        node_snap_disk(g, done);
        return;
    case DISK_USER_RECV:
    case DISK_USER_RECV_SYNCED:
    case DISK_USER_RECV_NAMED:
        CHECK(g != NULL);
        node_snap_recv_disk(g, user, done);
        return;
    case DISK_USER_FORGET:
        return;
    }
    UNREACHABLE("disk completion of nobody");
}

void node_disk_done(struct node *n, const struct disk_done *done)
{
    struct diag why = {0};

    if (n->phase == NODE_PHASE_STOPPED) {
        return;
    }
    if (done->err == ERR_IO &&
        (wal_owns(n->wal, done->token) || node_token_user(done->token) != DISK_USER_SEND_READ)) {
        /* After a failed write or fsync nobody knows what the device holds. (A snapshot that
         * cannot be read, on its way to a peer, is written anew.) */
        node_fail(n, ERR_IO, &done->why);
        return;
    }
    if (!wal_owns(n->wal, done->token)) {
        disk_done_own(n, done);
        return;
    }
    uint64_t before = wal_durable(n->wal);
    enum err err = wal_disk_done(n->wal, n->now.mono_us, done, &why);

    if (err != ERR_OK) {
        node_fail(n, err, &why);
    } else if (wal_durable(n->wal) != before) {
        node_groups_durable(n, wal_durable(n->wal));
    }
}

static void ops_per_second(struct node *n)
{
    uint64_t took = n->now.mono_us - n->stats.ops_mark_us;

    if (took >= 1000 * 1000) {
        n->stats.ops_per_s = (n->stats.commands - n->stats.ops_mark_commands) * 1000000 / took;
        n->stats.ops_mark_us = n->now.mono_us;
        n->stats.ops_mark_commands = n->stats.commands;
    }
}

void node_tick(struct node *n)
{
    if (n->phase == NODE_PHASE_STOPPED || n->now.mono_us < n->tick_us) {
        return;
    }
    n->tick_us = n->now.mono_us + NODE_TICK_US;
    node_found_tick(n);
    node_link_tick(n);
    node_chain_tick(n);
    node_gossip_tick(n);
    node_past_tick(n);
    for (uint32_t p = 0; p < n->map.partitions && n->groups != NULL; p++) {
        struct group *g = &n->groups[p];

        if (g->here) {
            store_work(g->store);
        }
        if (g->here && n->now.mono_us >= raft_deadline_us(g->raft)) {
            raft_tick(g->raft, n->now.mono_us);
            node_group_mark(g);
        }
        if (!list_empty(&g->held)) {
            node_route_drain(g);
        }
    }
    node_route_timeouts(n);
    node_move_tick(n);
    node_member_tick(n);
    node_keeper_tick(n);
    node_balance_tick(n);
    node_expire_tick(n);
    node_checkpoint_tick(n);
    node_digest_tick(n);
    node_scrub_tick(n);
    node_stop_tick(n);
    ops_per_second(n);
}

void node_stop(struct node *n)
{
    if (n->phase == NODE_PHASE_STOPPED || n->phase == NODE_PHASE_STOPPING) {
        return;
    }
    n->phase = NODE_PHASE_STOPPING;
    n->stop_us = n->now.mono_us;
    node_log(n, NODE_LOG_INFO, "msg=\"stopping: leadership is handed over, the log is flushed\"");
}

static bool all_led(const struct node *n)
{
    for (uint32_t p = 0; p < n->map.partitions; p++) {
        if (n->groups[p].leader.n == 0) {
            return false;
        }
    }
    return n->map.partitions > 0;
}

bool node_ready(const struct node *n)
{
    return n->groups != NULL && all_led(n);
}

static void say_ready(struct node *n)
{
    if (n->was_ready || n->groups == NULL || !all_led(n)) {
        return;
    }
    n->was_ready = true;
    (void)node_effect_push(n, NODE_READY);
    node_log(n, NODE_LOG_INFO, "msg=\"every partition has a leader\" partitions=%u after_ms=%llu",
             n->map.partitions, (unsigned long long)(n->now.mono_us - n->started.mono_us) / 1000);
}

/* Both lists keep their memory: the driver's becomes ours for the next turn. */
void node_end(struct node *n, struct node_effects *fx)
{
    node_map_apply(n);
    if (n->phase != NODE_PHASE_STOPPED) {
        node_chain_flush(n);
        for (unsigned round = 0; round < 4; round++) {
            node_groups_flush(n);
            node_sessions_resume(n);
            if (n->dirty_count == 0) {
                break;
            }
        }
        wal_tidy(n->wal, n->now.mono_us, &n->ops);
        if (wal_can_flush(n->wal)) {
            wal_flush(n->wal, &n->ops);
        }
        node_issue_ops(n);
        node_links_flush(n);
        node_sessions_flush(n);
        say_ready(n);
    }
    struct node_effects mine = n->early;

    n->early = (struct node_effects){.at = fx->at, .count = 0, .cap = fx->cap};
    *fx = mine;
}

uint64_t node_deadline_us(const struct node *n)
{
    return n->dirty_count > 0 ? 0 : n->tick_us;
}

struct node_gauges *node_gauges(struct node *n)
{
    return &n->gauges;
}

const struct node_config *node_config(const struct node *n)
{
    return &n->cfg;
}

const struct wire_map *node_map(const struct node *n)
{
    return &n->map;
}

uint32_t node_partition_count(const struct node *n)
{
    return n->groups == NULL ? 0 : n->map.partitions;
}

bool node_group_view(const struct node *n, uint32_t partition, struct node_group_view *out)
{
    if (n->groups == NULL || partition >= n->map.partitions) {
        return false;
    }
    const struct group *g = &n->groups[partition];

    *out = (struct node_group_view){.here = g->here, .leader = g->leader};
    if (!g->here) {
        return true;
    }
    out->role = raft_role(g->raft);
    out->self = raft_self(g->raft);
    out->term = raft_term_now(g->raft);
    out->first = raft_first(g->raft);
    out->last = raft_last(g->raft);
    out->commit = raft_commit(g->raft);
    out->applied = g->applied;
    out->digest = store_digest(g->store);
    out->keys = store_count(g->store);
    out->rebuilding = g->rebuilding;
    out->installs = g->installs;
    out->suspect = g->digest.suspect != SUSPECT_NOT;
    out->unresolved = g->digest.unresolved;
    out->raft = g->raft;
    out->conf = raft_conf_now(g->raft);
    return true;
}

struct node_troubles node_troubles(const struct node *n)
{
    return n->troubles;
}

bool node_rot(struct node *n, uint32_t partition, struct prng *rng, struct buf *key)
{
    CHECK(n->groups != NULL && partition < n->map.partitions);
    return n->groups[partition].here && store_rot(n->groups[partition].store, rng, key);
}

bool node_sound(const struct node *n, uint32_t partition)
{
    CHECK(n->groups != NULL && partition < n->map.partitions && n->groups[partition].here);
    return store_digest(n->groups[partition].store) ==
           store_digest_slow(n->groups[partition].store);
}

void node_id_text(const struct node *n, char out[41])
{
    for (unsigned i = 0; i < 16; i++) {
        (void)snprintf(out + (size_t)i * 2, 3, "%02x", n->id.b[i]);
    }
    memcpy(out + 32, "00000000", 9); /* Redis's ids have 40 digits */
}

void node_check(const struct node *n, enum node_check_depth depth)
{
    for (uint32_t p = 0; n->groups != NULL && p < n->map.partitions; p++) {
        const struct group *g = &n->groups[p];

        if (!g->here) {
            CHECK(g->raft == NULL && g->store == NULL);
            continue;
        }
        raft_check(g->raft);
        CHECK(g->applied.n <= raft_commit(g->raft).n);
        CHECK(g->snap_index.n <= g->applied.n);
        if (depth == NODE_CHECK_DEEP) {
            CHECK(store_digest(g->store) == store_digest_slow(g->store));
            store_check(g->store);
        }
    }
    if (depth >= NODE_CHECK_BOOKS) {
        wal_check(n->wal);
    }
}
