/* Applying committed entries to the store, and telling those who wait. */
#include "node/node_internal.h"

#include "base/base_hash.h"
#include "base/base_mem.h"

/* Entries kept in memory per group for peers that lag: a live one, and one to which
 * a snapshot is on its way. */
#define COMPACT_BOUND (16UL << 20)
#define COMPACT_BOUND_CATCH_UP (256UL << 20)

void node_pending_push(struct group *g, struct raft_index index, struct raft_term term,
                       struct request *r)
{
    if (g->pending_count == g->pending_cap) {
        uint32_t cap = g->pending_cap == 0 ? 16 : g->pending_cap * 2;
        struct pending *moved = mem_alloc(cap * sizeof *moved);

        for (uint32_t i = 0; i < g->pending_count; i++) {
            moved[i] = g->pending[(g->pending_head + i) & (g->pending_cap - 1)];
        }
        mem_free(g->pending);
        g->pending = moved;
        g->pending_head = 0;
        g->pending_cap = cap;
    }
    g->pending[(g->pending_head + g->pending_count++) & (g->pending_cap - 1)] =
        (struct pending){index, term, r};
}

static struct pending *pending_front(struct group *g)
{
    return g->pending_count == 0 ? NULL : &g->pending[g->pending_head];
}

static void pending_pop(struct group *g)
{
    g->pending_head = (g->pending_head + 1) & (g->pending_cap - 1);
    g->pending_count--;
}

/* Decide what waits for replaced entries at or below this index. The request whose
 * entry came back after all, or NULL. */
static struct request *replaced_take(struct group *g, const struct raft_entry *e)
{
    struct request *happened = NULL;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < g->replaced_count; i++) {
        struct pending p = g->replaced[i];

        if (p.index.n > e->index.n) {
            g->replaced[kept++] = p;
        } else if (p.index.n == e->index.n && p.term.n == e->term.n) {
            SOMETIMES(true, "node_apply: a replaced entry was committed after all");
            happened = p.request;
        } else if (p.request != NULL) {
            node_request_not_leader(g->node, p.request);
        }
    }
    g->replaced_count = kept;
    return happened;
}

/* The request whose entry this is, or NULL. Those whose place another entry took did
 * not happen. */
static struct request *pending_take(struct group *g, const struct raft_entry *e)
{
    struct request *found = g->replaced_count > 0 ? replaced_take(g, e) : NULL;

    for (;;) {
        struct pending *p = pending_front(g);

        if (p == NULL || p->index.n > e->index.n) {
            return found;
        }
        struct pending got = *p;

        pending_pop(g);
        if (got.index.n == e->index.n && got.term.n == e->term.n) {
            return got.request;
        }
        if (got.request != NULL) {
            node_request_not_leader(g->node, got.request);
        }
    }
}

static struct pending *pending_at(struct group *g, uint32_t i)
{
    return &g->pending[(g->pending_head + i) & (g->pending_cap - 1)];
}

/* Entries from `from` on were replaced in this log. That does not decide their fate:
 * another replica may hold them, lead, and have them committed. */
void node_apply_truncated(struct group *g, struct raft_index from)
{
    uint32_t kept = 0;

    while (kept < g->pending_count) {
        if (pending_at(g, kept)->index.n >= from.n) {
            break;
        }
        kept++;
    }
    for (uint32_t i = kept; i < g->pending_count; i++) {
        if (PLANTED(TRUNCATED_FAILS) && pending_at(g, i)->request != NULL) {
            node_request_not_leader(g->node, pending_at(g, i)->request);
            continue;
        }
        MEM_GROW(g->replaced, g->replaced_count, g->replaced_cap);
        g->replaced[g->replaced_count++] = *pending_at(g, i);
    }
    g->pending_count = kept;
}

/* A snapshot jumped over entries, or the replica is gone: whether they happened cannot be told
 * here. */
void node_apply_drop_pending(struct group *g, struct raft_index upto, const char *why)
{
    uint32_t kept = 0;

    for (struct pending *p = pending_front(g); p != NULL && p->index.n <= upto.n;
         p = pending_front(g)) {
        struct request *r = p->request;

        pending_pop(g);
        if (r != NULL) {
            node_request_in_doubt(g->node, r, why);
        }
    }
    for (uint32_t i = 0; i < g->replaced_count; i++) {
        struct pending p = g->replaced[i];

        if (p.index.n > upto.n) {
            g->replaced[kept++] = p;
        } else if (p.request != NULL) {
            node_request_in_doubt(g->node, p.request, why);
        }
    }
    g->replaced_count = kept;
}

void node_apply_orphan(struct group *g, const struct request *r)
{
    uint32_t low = 0, high = g->pending_count;

    while (low < high) { /* the ring is in the order of indexes */
        uint32_t middle = low + (high - low) / 2;
        struct pending *p = pending_at(g, middle);

        if (p->request == r) {
            p->request = NULL;
            return;
        }
        if (p->index.n < r->wait_index.n) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (uint32_t i = 0; i < g->replaced_count; i++) {
        if (g->replaced[i].request == r) {
            g->replaced[i] = g->replaced[--g->replaced_count];
            return;
        }
    }
}

static void apply_command(struct group *g, const struct raft_entry *e)
{
    struct node *n = g->node;
    struct request *r = pending_take(g, e);
    struct cmd_decoded d;
    struct hlc_stamp stamp;
    struct slice body;
    struct call c;

    CHECK(e->data.len >= 8);
    stamp.n = load_u64le(e->data.data);
    body = (struct slice){e->data.data + 8, e->data.len - 8};
    /* Every replica would fail alike: the leader encoded what the log carries. */
    CHECK(cmd_decode(body, &d) == ERR_OK);
    c = (struct call){
        .cmd = d.cmd,
        .argc = d.argc,
        .argv = d.argv,
        .store = g->store,
        .now_ms = PLANTED(OWN_CLOCK) ? n->now.wall_ms : hlc_ms(stamp),
        .access_s = (uint32_t)(hlc_ms(stamp) / 1000),
        .rng = {hash64_mix(hash64_mix(g->partition, e->index.n), e->term.n)},
        .out = {.mute = true, .proto = 2},
    };
    if (stamp.n > g->clock.last.n && !PLANTED(TIME_FORGOTTEN)) {
        g->clock.last = stamp;
    }
    if (r != NULL) {
        c.out = node_request_writer(n, r);
    }
    if (!PLANTED(APPLY_SKIPPED) || r != NULL || n->self_pos != 1 || e->index.n % 64 != 0) {
        cmd_run(&c);
    }
    if (r != NULL) {
        node_request_replied(n, r);
    }
    cmd_decoded_free(&d);
}

static void apply_conf(struct group *g, const struct raft_entry *e)
{
    struct raft_conf conf;
    struct slice context;

    CHECK(raft_conf_decode(e->data, &conf, &context) == ERR_OK);
    node_member_conf_applied(g, &conf);
}

static struct raft_index keep_for(const struct group *g, struct raft_id peer,
                                  struct raft_index upto)
{
    struct raft_index has = raft_match(g->raft, peer);

    if (peer.n != g->self.n && has.n + 1 >= raft_first(g->raft).n && has.n < upto.n &&
        raft_peer_silence_us(g->raft, peer, g->node->now.mono_us) < g->node->cfg.election_us_max) {
        return has;
    }
    return upto;
}

/* While a peer is being caught up: what comes after the snapshot on its way, or after what it has
 * once that is installed. Newer checkpoints are made meanwhile; were the log cut at those, the
 * peer would need another snapshot, for ever under load (seed 4076 of 660fdfb). */
static struct raft_index keep_for_catching_up(const struct group *g)
{
    const struct raft_conf *c = node_group_conf(g);
    struct raft_index upto = g->snap_index;

    LIST_EACH(it, &g->sends)
    {
        const struct snap_send *s = LIST_ENTRY(it, struct snap_send, in_group);

        upto = s->index.n < upto.n ? s->index : upto;
    }
    for (uint8_t i = 0; i < c->voter_count; i++) {
        upto = keep_for(g, c->voters[i], upto);
    }
    for (uint8_t i = 0; i < c->learner_count; i++) {
        upto = keep_for(g, c->learners[i], upto);
    }
    return upto;
}

/* Memory of the log: keep a tail for peers that lag a little; keep more while a peer
 * is being caught up; never more than the hard bound. */
static void compact(struct group *g)
{
    struct node *n = g->node;
    uint64_t held = raft_log_bytes(g->raft), keep = n->cfg.log_memory_bytes;
    struct raft_index upto, first;

    if (held <= keep + keep / 4) {
        return;
    }
    if (n->now.mono_us < g->retain_until_us) {
        /* What is written while a snapshot goes over the network is no more than it, as a rule. */
        uint64_t bound =
            g->snap_bytes > COMPACT_BOUND_CATCH_UP ? g->snap_bytes : COMPACT_BOUND_CATCH_UP;

        upto = held > bound ? g->applied : keep_for_catching_up(g);
    } else if (raft_role(g->raft) == RAFT_LEADER) {
        uint64_t bound = keep * 64 < COMPACT_BOUND ? keep * 64 : COMPACT_BOUND;

        upto = held > bound ? g->applied : raft_match_min(g->raft, n->now.mono_us);
    } else {
        upto = g->applied;
    }
    if (upto.n > g->applied.n) {
        upto = g->applied;
    }
    first = raft_first(g->raft);
    while (first.n <= upto.n && held > keep) {
        const struct raft_entry *e = raft_entry(g->raft, first);

        CHECK(e != NULL);
        held -= e->data.len + sizeof *e < held ? e->data.len + sizeof *e : held;
        first.n++;
    }
    if (first.n > raft_first(g->raft).n) {
        raft_compact(g->raft, (struct raft_index){first.n - 1});
    }
}

void node_apply(struct group *g)
{
    struct raft_index commit = raft_commit(g->raft);
    struct raft_index before = g->applied;
    bool moved;

    while (g->applied.n < commit.n && !g->digest.quarantined) {
        struct raft_index at = {g->applied.n + 1};
        const struct raft_entry *e = raft_entry(g->raft, at);

        /* Reads stand between the entries where they arrived: a client that sends GET and
         * then INCR at once must not get the incremented value from its GET. Whoever waits
         * here waits for nothing today: what acknowledges an entry also confirms the reads
         * before it. But that is raft's affair, and the order of answers is not. */
        if (!list_empty(&g->reading) && !node_reads_ready(g)) {
            break;
        }

        CHECK(e != NULL);
        g->applied = at;
        g->applied_term = e->term;
        switch (e->kind) {
        case RAFT_NOOP:
            CHECK(pending_take(g, e) == NULL);
            break;
        case RAFT_COMMAND:
            apply_command(g, e);
            break;
        case RAFT_CONF:
            CHECK(pending_take(g, e) == NULL);
            apply_conf(g, e);
            break;
        }
        if (UNLIKELY(at.n == g->digest.stop.n)) {
            node_digest_applied(g);
        }
    }
    moved = g->applied.n > before.n;
    if (moved) {
        raft_applied(g->raft, g->applied);
        compact(g);
        node_group_mark(g); /* reads may have become ready */
    }
    if (!list_empty(&g->reading)) {
        (void)node_reads_ready(g);
    }
}
