/* Who takes part in a group, and who leads it: taking rebuilt replicas in again,
 * spreading leaders evenly, handing leadership over before a stop.
 *
 * A replica comes back in decided steps: learner, caught up, joint configuration
 * without the one it replaces, done. Each step is taken when its JOIN comes again,
 * so that a new leader goes on where the old one stopped.
 */
#include "node/node_internal.h"

enum {
    JOIN_US = 300 * 1000,
    BALANCE_US = 200 * 1000,
    LEADER_SETTLE_US = 2 * 1000 * 1000,
    TRANSFERS_PER_ROUND = 4,
    CAUGHT_UP_ENTRIES = 128,
    STOP_HANDOVER_US = 2 * 1000 * 1000,
    STOP_ALL_US = 4 * 1000 * 1000,
};

static void send_join(struct group *g, struct link *l)
{
    struct wire_join j = {.group = g->partition, .id = g->self, .replaces = g->replaces};
    size_t mark;

    node_self_member(g->node, &j.member);
    mark = wire_begin(&l->now, WIRE_JOIN);
    wire_put_join(&l->now, &j);
    wire_end(&l->now, mark);
}

static void ask_to_join(struct group *g)
{
    struct node *n = g->node;
    const struct raft_conf *conf = node_group_conf(g);

    if (raft_conf_is_voter(conf, g->self) && conf->outgoing_count == 0) {
        g->rebuilding = false;
        node_log(n, NODE_LOG_INFO, "msg=\"the replica votes again\" partition=%u", g->partition);
        node_found_rebuilt(n);
        return;
    }
    if (n->now.mono_us - g->join_sent_us < JOIN_US) {
        return;
    }
    g->join_sent_us = n->now.mono_us;
    for (uint32_t i = 0; i < n->link_count; i++) {
        struct link *l = &n->links[i];

        if (l->state == LINK_UP &&
            (g->leader.n == 0 || node_short_id(&l->node) == node_of_raft_id(g->leader))) {
            send_join(g, l);
        }
    }
}

void node_member_tick(struct node *n)
{
    for (uint32_t p = 0; p < n->map.partitions && n->groups != NULL; p++) {
        if (n->groups[p].here && n->groups[p].rebuilding) {
            ask_to_join(&n->groups[p]);
        }
    }
}

/* The one voter that the joining replica takes the place of: an earlier generation of its
 * own, else the owner of its address, else one whose node is a member no more. Never two:
 * each joiner replaces one. 0: none. */
static struct raft_id victim_of(struct node *n, const struct link *l, const struct raft_conf *conf,
                                struct raft_id joining)
{
    int slot = node_member_by_addr(n, l->hello_peer);
    struct raft_id owner = {0}, stranger = {0};

    for (uint8_t i = 0; i < conf->voter_count; i++) {
        struct raft_id voter = conf->voters[i];

        if (node_of_raft_id(voter) == node_of_raft_id(joining)) {
            return voter;
        }
        if (node_member_of(n, voter) < 0) {
            stranger = voter;
        } else if (slot >= 0 && node_member_of(n, voter) == slot) {
            owner = voter;
        }
    }
    return owner.n != 0 ? owner : stranger;
}

static void drop_old_learners(struct raft_conf *c, struct raft_id joining)
{
    uint8_t kept = 0;

    for (uint8_t i = 0; i < c->learner_count; i++) {
        if (c->learners[i].n == joining.n ||
            node_of_raft_id(c->learners[i]) != node_of_raft_id(joining)) {
            c->learners[kept++] = c->learners[i];
        }
    }
    c->learner_count = kept;
}

static bool is_learner(const struct raft_conf *c, struct raft_id id)
{
    return raft_conf_has(c, id) && !raft_conf_is_voter(c, id);
}

/* The joint configuration in which the joining replica votes in place of its victim. */
static void swap_in(const struct raft_conf *now, struct raft_id victim, struct raft_id joining,
                    struct raft_conf *next)
{
    uint8_t kept = 0;

    *next = *now;
    next->outgoing_count = now->voter_count;
    memcpy(next->outgoing, now->voters, sizeof next->outgoing);
    next->voter_count = 0;
    for (uint8_t i = 0; i < now->voter_count; i++) {
        if (now->voters[i].n != victim.n) {
            next->voters[next->voter_count++] = now->voters[i];
        }
    }
    next->voters[next->voter_count++] = joining;
    for (uint8_t i = 0; i < now->learner_count; i++) {
        if (now->learners[i].n != joining.n) {
            next->learners[kept++] = now->learners[i];
        }
    }
    next->learner_count = kept;
}

void node_member_join(struct node *n, struct link *l, const struct wire_join *j)
{
    struct group *g =
        n->groups != NULL && j->group < n->map.partitions ? &n->groups[j->group] : NULL;
    const struct raft_conf *now;
    struct raft_conf next;
    struct buf context = {0};
    struct raft_id victim;
    enum err err;

    if (g == NULL || !node_group_leads(g) || !raft_conf_settled(g->raft) ||
        !node_group_trusted(g) || /* it has no snapshot to give */
        !wire_id_eq(&j->member.node, &l->node) ||
        node_of_raft_id(j->id) != node_short_id(&l->node) || !node_writable(n)) {
        return;
    }
    now = node_group_conf(g);
    if (raft_conf_is_voter(now, j->id)) {
        return;
    }
    victim = victim_of(n, l, now, j->id);
    if (victim.n == 0) {
        return;
    }
    if (is_learner(now, j->id)) {
        if (raft_match(g->raft, j->id).n + CAUGHT_UP_ENTRIES < raft_commit(g->raft).n) {
            return; /* asked again while it catches up */
        }
        swap_in(now, victim, j->id, &next);
    } else {
        next = *now;
        drop_old_learners(&next, j->id);
        if (next.learner_count == RAFT_LEARNERS_MAX) {
            return;
        }
        next.learners[next.learner_count++] = j->id;
    }
    wire_put_member(&context, &j->member);
    err = raft_propose_conf(g->raft, n->now.mono_us, &next, buf_slice(&context));
    buf_free(&context);
    SOMETIMES(err == ERR_OK, "node_member: a replica is taken in");
    node_group_mark(g);
}

/* A replica counts as rebuilt once a configuration in which it votes is in its log. Was that
 * never committed and is replaced, it is a learner again and must go on asking: nobody else
 * takes the step that is left. */
void node_member_conf_changed(struct group *g)
{
    if (!g->rebuilding && is_learner(node_group_conf(g), g->self)) {
        SOMETIMES_RARE(true, "node_member: a learner again", 20000,
                       "a leader is cut off from its voters with just the configuration in which "
                       "a learner votes; test/unit/node/node_member_test.c");
        g->rebuilding = true;
    }
}

void node_member_conf_applied(struct group *g, const struct raft_conf *conf, struct slice context)
{
    struct node *n = g->node;
    struct reader r = reader_of(context.data, context.len);
    struct wire_member m;

    if (g->rebuilding && raft_conf_is_voter(conf, g->self) && conf->outgoing_count == 0) {
        g->rebuilding = false;
        node_log(n, NODE_LOG_INFO, "msg=\"the replica votes again\" partition=%u", g->partition);
        node_found_rebuilt(n);
    }
    if (context.len == 0 || wire_get_member(&r, &m) != ERR_OK) {
        return;
    }
    node_members_learn(n, &m, 1);
}

/* ---- leadership ---- */

/* The voter that node `pos` runs in this group, if it can lead now. */
static bool can_lead(struct group *g, uint32_t pos, struct raft_id *out)
{
    struct node *n = g->node;
    const struct raft_conf *c = node_group_conf(g);
    struct link *l = node_link_at(n, pos);

    if (l == NULL || l->avoid || node_gossip_unwell(n, pos)) {
        return false;
    }
    for (uint8_t i = 0; i < c->voter_count; i++) {
        if (node_of_raft_id(c->voters[i]) == node_short_id(&l->node)) {
            *out = c->voters[i];
            return !node_digest_bad(g, *out) &&
                   raft_match(g->raft, *out).n + CAUGHT_UP_ENTRIES >= raft_last(g->raft).n;
        }
    }
    return false;
}

bool node_member_can_leave(struct group *g)
{
    const uint8_t *placed;
    uint32_t count = wire_map_row(&g->node->map, g->partition, &placed);
    struct raft_id to;

    for (uint32_t r = 0; r < count; r++) {
        if (placed[r] != g->node->self_pos && can_lead(g, placed[r], &to)) {
            return true;
        }
    }
    return false;
}

static bool hand_over(struct group *g, bool to_anyone)
{
    struct node *n = g->node;
    const uint8_t *placed;
    uint32_t count = wire_map_row(&n->map, g->partition, &placed);
    uint32_t tries = to_anyone ? count : 1;
    struct raft_id to;

    for (uint32_t r = 0; r < tries; r++) {
        if (placed[r] != n->self_pos && can_lead(g, placed[r], &to)) {
            g->leader_since_us = n->now.mono_us; /* asked again only after a while */
            g->transfer_asked = true;
            if (raft_transfer(g->raft, n->now.mono_us, to) == ERR_OK) {
                node_group_mark(g);
                return true;
            }
        }
    }
    return false;
}

void node_balance_tick(struct node *n)
{
    bool leave = n->phase == NODE_PHASE_STOPPING || !node_writable(n);
    uint32_t asked = 0;

    if (n->groups == NULL || (!leave && n->now.mono_us < n->balance_us)) {
        return;
    }
    n->balance_us = n->now.mono_us + BALANCE_US;
    for (uint32_t p = 0; p < n->map.partitions; p++) {
        struct group *g = &n->groups[p];
        uint64_t settle = leave ? (g->transfer_asked ? 500 * 1000 : 0) : LEADER_SETTLE_US;

        if (!node_group_leads(g) || n->now.mono_us - g->leader_since_us < settle ||
            !raft_conf_settled(g->raft) || !node_group_trusted(g)) {
            continue;
        }
        if (hand_over(g, leave) && !leave && ++asked == TRANSFERS_PER_ROUND) {
            return;
        }
    }
}

static bool leads_any(const struct node *n)
{
    for (uint32_t p = 0; p < n->map.partitions && n->groups != NULL; p++) {
        if (node_group_leads(&n->groups[p])) {
            return true;
        }
    }
    return false;
}

void node_stop_tick(struct node *n)
{
    uint64_t since = n->now.mono_us - n->stop_us;
    bool alone = true;

    if (n->phase != NODE_PHASE_STOPPING) {
        return;
    }
    for (uint32_t i = 0; i < n->link_count; i++) {
        alone = alone && n->links[i].state != LINK_UP;
    }
    if (leads_any(n) && !alone && since < STOP_HANDOVER_US) {
        return;
    }
    if (!n->stop_closing) {
        n->stop_closing = true;
        for (uint32_t p = 0; p < n->map.partitions && n->groups != NULL; p++) {
            if (n->groups[p].here) {
                wal_put_commit(n->wal, p, raft_commit(n->groups[p].raft));
                node_past_save(&n->groups[p]);
            }
        }
        LIST_EACH(it, &n->session_list)
        {
            node_session_kill(LIST_ENTRY(it, struct session, in_node));
        }
        n->stop_ticket = wal_ticket(n->wal);
        node_gossip_leave(n);
        return;
    }
    if ((n->session_count > 0 || !node_gossip_left(n) ||
         (n->groups != NULL && wal_durable(n->wal) < n->stop_ticket && !wal_full(n->wal))) &&
        since < STOP_ALL_US) {
        return;
    }
    struct diag why;

    diag_set(&why, "stopped");
    node_fail(n, ERR_OK, &why);
}
