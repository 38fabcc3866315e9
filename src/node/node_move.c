/* The data follows the map. What the map places is wanted; what the groups' configurations say
 * is. This looks at both, again and again, and takes one step at a time:
 *
 *   placed here, no replica      one begins, as a learner, and asks to be taken in (node_member.c)
 *   voters that are not placed   their leader lets them go, once all that are placed vote
 *   a replica that is out        goes with its data, once it knows for certain
 *
 * No step rests on the one before it having been seen: whoever dies goes on from what is.
 * [docs/protocol/movement.md]
 */
#include "node/node_internal.h"

enum {
    MOVE_US = 100 * 1000,
    ASK_US = 500 * 1000,
    LEADERLESS_US = 2 * 1000 * 1000, /* a voter that hears of no leader may have been let go */
    SETTLE_US = 1000 * 1000,         /* a new leader, or a new map: others may know a newer one */
    SILENT_US = 10 * 1000 * 1000,    /* a learner that nobody knows */
    BEGIN_US = 10 * 1000 * 1000,     /* of a replica that nobody takes in: others may begin */
    ALLOWANCE_US = 100 * 1000,       /* of sending, saved up at most */
    HELD_BYTES_HURRY = 64 << 20,     /* log kept for a learner: it is not slowed any more */
};

/* ---- coming ---- */

static bool placed_here(const struct node *n, uint32_t partition)
{
    return wire_map_places(&n->map, partition, n->self_pos);
}

/* Those that are on their way: one for which nobody does anything does not stand in the way of
 * others. */
static uint32_t coming(const struct node *n)
{
    uint32_t count = 0;

    for (uint32_t p = 0; p < n->map.partitions; p++) {
        const struct group *g = &n->groups[p];

        if (g->here && g->rebuilding && g->move_us != 0) {
            count += g->recv.active || raft_leader(g->raft).n != 0 ||
                             n->now.mono_us - g->move_us < BEGIN_US
                         ? 1
                         : 0;
        }
    }
    return count;
}

static void come(struct group *g)
{
    struct node *n = g->node;
    struct raft_id was = g->self.n != 0 ? g->self : node_replica_id(n, n->self_pos);
    struct raft_id self = node_next_generation(n, was), leader = g->leader;

    if (self.n == 0) {
        node_log(n, NODE_LOG_ERROR,
                 "msg=\"a partition came to this node too often: it stays away; empty the "
                 "directory and bring the node back with --join\" partition=%u",
                 g->partition);
        g->move_us = UINT64_MAX;
        return;
    }
    SOMETIMES(g->self.n != 0, "node_move: a replica comes back to where it was");
    SOMETIMES(g->self.n == 0, "node_move: a replica comes to a new node");
    node_log(n, NODE_LOG_INFO, "msg=\"a replica begins here\" partition=%u epoch=%llu",
             g->partition, (unsigned long long)n->map.epoch);
    node_group_restart_as(g, self, (struct raft_id){0});
    g->leader = leader; /* requests go there meanwhile, and it is whom to ask */
    g->move_us = n->now.mono_us;
    g->led_us = n->now.mono_us;
}

/* ---- going ---- */

static void go(struct group *g, const char *how)
{
    struct node *n = g->node;

    node_log(n, NODE_LOG_INFO, "msg=\"a replica goes\" partition=%u reason=\"%s\"", g->partition,
             how);
    node_group_end(g);
    g->move_us = 0;
    node_found_rebuilt(n); /* it was perhaps the last one to be taken in */
    if (!list_empty(&g->held)) {
        node_route_drain(g);
    }
}

/* Its own log says so: it was named before the newest configuration, which is committed. */
static bool saw_it_go(const struct group *g)
{
    const struct raft_conf *c = node_group_conf(g);

    return !g->rebuilding && c->voter_count > 0 && !raft_conf_has(c, g->self) &&
           raft_conf_settled(g->raft);
}

static void ask(struct group *g)
{
    struct node *n = g->node;
    struct wire_out o = {.group = g->partition, .id = g->self};

    if (n->now.mono_us - g->out_us < ASK_US) {
        return;
    }
    g->out_us = n->now.mono_us;
    g->out_asked = o.asked = ++n->out_number;
    for (uint32_t i = 0; i < n->link_count; i++) {
        struct link *l = &n->links[i];

        if (l->state == LINK_UP) {
            size_t mark = wire_begin(&l->now, WIRE_OUT);

            wire_put_out(&l->now, &o);
            wire_end(&l->now, mark);
        }
    }
}

static void answer(struct group *g, struct link *l, const struct wire_out *o)
{
    struct raft_index commit = raft_commit(g->raft);
    const struct raft_conf *c = raft_conf_as_of(g->raft, commit);
    struct wire_out back = {
        .group = o->group, .answer = true, .id = o->id, .asked = o->asked, .index = commit};
    size_t mark;

    if (PLANTED(OUT_UNCOMMITTED)) {
        c = node_group_conf(g);
        back.index = raft_last(g->raft);
    }
    if (c->voter_count == 0 || c->outgoing_count > 0 || raft_conf_has(c, o->id)) {
        return;
    }
    mark = wire_begin(&l->now, WIRE_OUT);
    wire_put_out(&l->now, &back);
    wire_end(&l->now, mark);
}

/* As of an index behind all that names this replica here, the others have committed to a
 * configuration without it: whatever is decided from now on is decided without it. */
static void told(struct group *g, const struct wire_out *o)
{
    struct raft_index named = raft_conf_named(g->raft, g->self);

    if (o->id.n != g->self.n || o->asked != g->out_asked || g->out_asked == 0 ||
        o->index.n <= named.n) {
        SOMETIMES_RARE(o->id.n == g->self.n && o->index.n <= named.n,
                       "node_move: told by one who is behind", 20000,
                       "the map is behind where the group is ahead; "
                       "test/unit/node/node_move_test.c");
        return;
    }
    if (g->rebuilding && placed_here(g->node, g->partition)) {
        return; /* placed again meanwhile: it is about to be taken in */
    }
    SOMETIMES(true, "node_move: told that it is out");
    go(g, "it was taken out of its group");
}

void node_move_out(struct node *n, struct link *l, const struct wire_out *o)
{
    struct group *g =
        n->groups != NULL && o->group < n->map.partitions ? &n->groups[o->group] : NULL;

    if (g == NULL || !g->here) {
        return;
    }
    if (o->answer) {
        told(g, o);
    } else if (node_of_raft_id(o->id) == node_short_id(&l->node)) {
        answer(g, l, o);
    }
}

static void look_at_replica(struct group *g)
{
    struct node *n = g->node;
    bool placed = placed_here(n, g->partition);

    if (raft_leader(g->raft).n != 0 || g->led_us == 0) {
        g->led_us = n->now.mono_us;
    }
    if (saw_it_go(g)) {
        SOMETIMES(true, "node_move: its own log says that it is out");
        go(g, "its log ends with a configuration without it");
    } else if (PLANTED(DROPPED_EARLY) && !placed) {
        go(g, "the map does not place it");
    } else if (!placed || (!g->rebuilding && n->now.mono_us - g->led_us > LEADERLESS_US)) {
        ask(g);
    }
}

/* ---- letting go, by the leader ---- */

bool node_move_superfluous(const struct group *g, struct raft_id replica)
{
    const struct node *n = g->node;
    int pos = node_member_of(n, replica);

    return pos < 0 || !wire_map_places(&n->map, g->partition, (uint32_t)pos);
}

/* Every placed node runs a voter, and a sound one as far as is known. */
static bool all_placed_vote(const struct group *g)
{
    const struct node *n = g->node;
    const struct raft_conf *c = node_group_conf(g);
    const uint8_t *row;
    uint32_t count = wire_map_row(&n->map, g->partition, &row);

    for (uint32_t r = 0; r < count; r++) {
        bool votes = false;

        for (uint8_t i = 0; i < c->voter_count; i++) {
            votes = votes || (node_member_of(n, c->voters[i]) == (int)row[r] &&
                              !node_digest_bad(g, c->voters[i]));
        }
        if (!votes) {
            return false;
        }
    }
    return true;
}

static void keep_learners(const struct group *g, struct raft_conf *next)
{
    const struct node *n = g->node;
    uint8_t kept = 0;

    for (uint8_t i = 0; i < next->learner_count; i++) {
        struct raft_id id = next->learners[i];
        bool stranger = node_member_of(n, id) < 0; /* perhaps one that this node has yet to meet */

        if (stranger ? raft_peer_silence_us(g->raft, id, n->now.mono_us) < SILENT_US
                     : !node_move_superfluous(g, id)) {
            next->learners[kept++] = id;
        }
    }
    next->learner_count = kept;
}

static void settle(struct group *g)
{
    struct node *n = g->node;
    const struct raft_conf *now = node_group_conf(g);
    struct raft_conf next = *now;
    enum err err;

    if (!raft_conf_settled(g->raft) || !node_group_trusted(g) || !node_writable(n) ||
        n->now.mono_us - g->leader_since_us < SETTLE_US || n->now.mono_us - n->map_us < SETTLE_US) {
        return;
    }
    next.voter_count = 0;
    for (uint8_t i = 0; i < now->voter_count; i++) {
        if (!node_move_superfluous(g, now->voters[i]) || now->voters[i].n == g->self.n) {
            next.voters[next.voter_count++] = now->voters[i];
        }
    }
    if (next.voter_count < now->voter_count && all_placed_vote(g)) {
        SOMETIMES(true, "node_move: voters that are not placed are let go");
        next.outgoing_count = now->voter_count;
        memcpy(next.outgoing, now->voters, sizeof next.outgoing);
    } else {
        next = *now;
    }
    keep_learners(g, &next);
    if (next.outgoing_count == 0 && next.learner_count == now->learner_count) {
        return;
    }
    err = raft_propose_conf(g->raft, n->now.mono_us, &next, (struct slice){0});
    if (err == ERR_OK) {
        node_group_mark(g);
    }
}

/* ---- what people are told ---- */

static void snapshot_progress(const struct node *n, const struct snap_send *s, struct buf *b)
{
    uint64_t took_us = n->now.mono_us - s->began_us;

    buf_printf(b, " (snapshot, %llu of %llu bytes", (unsigned long long)s->acked_offset,
               (unsigned long long)s->bytes);
    if (s->acked_offset > 0) {
        double left_us = (double)(s->bytes - s->acked_offset) / (double)s->acked_offset;

        buf_printf(b, ", about %.0f s left", left_us * (double)took_us / 1e6);
    }
    buf_printf(b, ")");
}

void node_move_progress(const struct group *g, struct raft_id learner, struct buf *b)
{
    uint64_t commit = raft_commit(g->raft).n, has = raft_match(g->raft, learner).n;

    LIST_EACH(it, &g->sends)
    {
        const struct snap_send *s = LIST_ENTRY(it, struct snap_send, in_group);

        if (s->to.n == learner.n) {
            snapshot_progress(g->node, s, b);
            return;
        }
    }
    buf_printf(b, " (log, %llu entries behind)",
               (unsigned long long)(commit > has ? commit - has : 0));
}

/* ---- the pace ---- */

bool node_move_allowed(struct group *g, struct raft_id to, uint64_t bytes)
{
    struct node *n = g->node;
    uint64_t rate = n->cfg.movement_bytes_per_s, passed = n->now.mono_us - n->move_bytes_us;
    uint64_t most = rate / (1000000 / ALLOWANCE_US);

    if (raft_conf_is_voter(node_group_conf(g), to) || raft_log_bytes(g->raft) > HELD_BYTES_HURRY) {
        return true; /* it is needed for the quorum; or under such writes it would never end */
    }
    passed = passed < ALLOWANCE_US ? passed : ALLOWANCE_US;
    n->move_bytes_us = n->now.mono_us;
    n->move_bytes += rate * passed / 1000000;
    most = most > bytes ? most : bytes;
    n->move_bytes = n->move_bytes < most ? n->move_bytes : most;
    if (n->move_bytes < bytes) {
        SOMETIMES_RARE(true, "node_move: a snapshot is sent no faster than allowed", MARK_NOT_DUE,
                       "the simulator's partitions are small, and no test is slow enough yet");
        return false;
    }
    n->move_bytes -= bytes;
    return true;
}

void node_move_tick(struct node *n)
{
    uint32_t under_way;

    if (n->groups == NULL || n->phase != NODE_PHASE_SERVING || n->now.mono_us < n->move_us) {
        return;
    }
    n->move_us = n->now.mono_us + MOVE_US;
    under_way = coming(n);
    for (uint32_t p = 0; p < n->map.partitions; p++) {
        struct group *g = &n->groups[p];

        if (g->here) {
            look_at_replica(g);
        } else if (placed_here(n, p) && under_way < n->cfg.movements_max && node_writable(n) &&
                   g->move_us != UINT64_MAX) {
            under_way++;
            come(g);
        }
        if (node_group_leads(g)) {
            settle(g);
        }
    }
}
