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
    const struct link *to;

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
    if (!wire_map_places(&n->map, g->partition, n->self_pos)) {
        return; /* it goes again, once it knows that it is not in */
    }
    to = node_link_to(n, g->leader);
    for (uint32_t i = 0; i < n->link_count; i++) {
        struct link *l = &n->links[i];

        if (l->state == LINK_UP && (to == NULL || to == l)) {
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

/* Its node is to have a replica of the group, as far as this leader's map says. */
static bool wanted(const struct group *g, const struct link *l, struct raft_id joining)
{
    const struct node *n = g->node;
    int pos = node_member_of(n, joining);

    pos = pos >= 0 ? pos : node_member_by_addr(n, l->hello_peer);
    return pos >= 0 && wire_map_places(&n->map, g->partition, (uint32_t)pos);
}

/* The one voter that the joining replica takes the place of: an earlier generation of its
 * own, else the owner of its address, else one whose node is a member no more, else one whose node
 * is not placed any more, the most silent first. Never two: each joiner replaces one; and never
 * this leader, which hands over and is let go after that. 0: none. */
static struct raft_id victim_of(const struct group *g, const struct link *l,
                                const struct raft_conf *conf, struct raft_id joining)
{
    struct node *n = g->node;
    int slot = node_member_by_addr(n, l->hello_peer);
    struct raft_id owner = {0}, stranger = {0}, superfluous = {0};
    uint64_t silence = 0;

    for (uint8_t i = 0; i < conf->voter_count; i++) {
        struct raft_id voter = conf->voters[i];

        if (node_of_raft_id(voter) == node_of_raft_id(joining)) {
            return voter;
        }
        if (node_member_of(n, voter) < 0) {
            stranger = voter;
        } else if (slot >= 0 && node_member_of(n, voter) == slot) {
            owner = voter;
        } else if (voter.n != g->self.n && node_move_superfluous(g, voter) &&
                   raft_peer_silence_us(g->raft, voter, n->now.mono_us) >= silence) {
            silence = raft_peer_silence_us(g->raft, voter, n->now.mono_us);
            superfluous = voter;
        }
    }
    if (owner.n == 0) {
        owner = stranger.n != 0 ? stranger : superfluous;
    }
    return owner;
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

/* It has what the log held a short while ago, under whatever rate of writes [D 4.2.1]. */
static bool caught_up(struct group *g, struct raft_id learner)
{
    struct node *n = g->node;
    struct caught_up *c = &g->caught;
    struct raft_index has = raft_match(g->raft, learner);
    bool soon = c->id.n == learner.n && has.n >= c->goal.n &&
                n->now.mono_us - c->since_us <= 2 * (uint64_t)JOIN_US;

    if (has.n + CAUGHT_UP_ENTRIES >= raft_commit(g->raft).n || soon || PLANTED(JOINED_EARLY)) {
        return true;
    }
    if (c->id.n != learner.n || has.n >= c->goal.n) {
        *c = (struct caught_up){learner, raft_last(g->raft), n->now.mono_us};
    }
    return false;
}

/* The joint configuration in which the joining replica votes in place of its victim, if any. */
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
    struct raft_id victim;
    enum err err;

    if (g == NULL || !node_group_leads(g) || !raft_conf_settled(g->raft) ||
        !node_group_trusted(g) || /* it has no snapshot to give */
        !wanted(g, l, j->id) || !wire_id_eq(&j->member.node, &l->node) ||
        node_of_raft_id(j->id) != node_short_id(&l->node) || !node_writable(n)) {
        return;
    }
    now = node_group_conf(g);
    if (raft_conf_is_voter(now, j->id)) {
        return;
    }
    victim = victim_of(g, l, now, j->id);
    if (victim.n == 0 && now->voter_count == RAFT_VOTERS_MAX) {
        return;
    }
    if (is_learner(now, j->id)) {
        if (!caught_up(g, j->id)) {
            return; /* asked again while it catches up */
        }
        SOMETIMES(victim.n == 0, "node_member: a group grows by one");
        swap_in(now, victim, j->id, &next);
    } else {
        next = *now;
        drop_old_learners(&next, j->id);
        if (next.learner_count == RAFT_LEARNERS_MAX) {
            return;
        }
        next.learners[next.learner_count++] = j->id;
    }
    err = raft_propose_conf(g->raft, n->now.mono_us, &next, (struct slice){0});
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

void node_member_conf_applied(struct group *g, const struct raft_conf *conf)
{
    struct node *n = g->node;

    if (g->rebuilding && raft_conf_is_voter(conf, g->self) && conf->outgoing_count == 0) {
        g->rebuilding = false;
        node_log(n, NODE_LOG_INFO, "msg=\"the replica votes again\" partition=%u", g->partition);
        node_found_rebuilt(n);
    }
}

/* ---- leadership ---- */

static bool leaving(const struct node *n)
{
    return n->phase == NODE_PHASE_STOPPING || !node_writable(n);
}

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
    for (uint32_t pos = 0; pos < g->node->map.member_count; pos++) {
        if (pos != g->node->self_pos && can_lead(g, pos, &to)) {
            return true;
        }
    }
    return false;
}

static bool transfer(struct group *g, struct raft_id to)
{
    struct node *n = g->node;

    g->leader_since_us = n->now.mono_us; /* asked again only after a while */
    g->transfer_asked = true;
    if (raft_transfer(g->raft, n->now.mono_us, to) != ERR_OK) {
        return false;
    }
    node_group_mark(g);
    return true;
}

/* To whom it is placed with first, if that one can lead; to_anyone: to another that is placed, or
 * at last to any. */
static bool hand_over(struct group *g, bool to_anyone)
{
    struct node *n = g->node;
    const uint8_t *placed;
    uint32_t count = wire_map_row(&n->map, g->partition, &placed);
    bool placed_only = node_move_superfluous(g, g->self) && !leaving(n);
    uint32_t tries = to_anyone ? count : 1;
    struct raft_id to;

    for (uint32_t r = 0; r < tries; r++) {
        if (placed[r] == n->self_pos && !to_anyone) {
            return false;
        }
        if (placed[r] != n->self_pos && can_lead(g, placed[r], &to) && transfer(g, to)) {
            return true;
        }
    }
    for (uint32_t pos = 0; pos < n->map.member_count && to_anyone && !placed_only; pos++) {
        if (pos != n->self_pos && can_lead(g, pos, &to) && transfer(g, to)) {
            return true;
        }
    }
    return false;
}

void node_balance_tick(struct node *n)
{
    bool leave = leaving(n);
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
        if (hand_over(g, leave || node_move_superfluous(g, g->self)) && !leave &&
            ++asked == TRANSFERS_PER_ROUND) {
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
