/* The keeper: what it sees, and what it has done about it. */
#include "node/node_keeper.h"

#include "node/node_gossip.h"
#include "node/node_mapplan.h"

/* ---- what is to be done ---- */

static bool alive(const struct keeper_view *v, uint32_t pos)
{
    return (v->alive >> pos & 1) != 0;
}

static uint32_t alive_count(const struct keeper_view *v)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < v->map->member_count; i++) {
        count += alive(v, i);
    }
    return count;
}

/* The first of the council that is alive. */
static bool acts(const struct keeper_view *v)
{
    for (uint8_t i = 0; i < v->map->council_count; i++) {
        if (alive(v, v->map->council[i])) {
            return v->map->council[i] == v->self;
        }
    }
    return false;
}

static bool change(const struct keeper_view *v, enum node_change_kind kind, uint32_t pos,
                   struct node_change *out)
{
    *out = (struct node_change){.kind = kind, .member = v->map->members[pos]};
    return true;
}

/* What only this member itself can know for certain. */
static bool for_itself(const struct keeper_view *v, struct node_change *out)
{
    enum wire_member_state state = v->map->members[v->self].state;

    if (state == WIRE_MEMBER_LEAVING && v->empty && node_map_load(v->map, v->self) == 0) {
        return change(v, NODE_CHANGE_REMOVE, v->self, out);
    }
    if (state == WIRE_MEMBER_AWAY && v->majority_us >= KEEPER_BACK_US) {
        return change(v, NODE_CHANGE_RETURN, v->self, out);
    }
    return false;
}

/* One at a time: who is still dead when what this one had has been made elsewhere is the next.
 * A movement that has not ended in all that time may be waiting for the dead one. */
static bool for_the_dead(const struct keeper_view *v, struct node_change *out)
{
    bool wait = v->moving && v->map_us < v->replace_us;

    for (uint32_t i = 0; i < v->map->member_count; i++) {
        const struct wire_member *m = &v->map->members[i];

        if (alive(v, i)) {
            continue;
        }
        if (m->state == WIRE_MEMBER_UP && v->replace_us > 0 && v->dead_us[i] >= v->replace_us &&
            !wait) {
            return change(v, NODE_CHANGE_AWAY, i, out);
        }
        if (m->state == WIRE_MEMBER_LEAVING && v->dead_us[i] >= KEEPER_LEAVER_US && !v->moving &&
            node_map_load(v->map, i) == 0) {
            return change(v, NODE_CHANGE_REMOVE, i, out);
        }
    }
    return false;
}

/* Newcomers get their share when all are there to give and take. */
static bool for_balance(const struct keeper_view *v, struct node_change *out)
{
    for (uint32_t i = 0; i < v->map->member_count; i++) {
        if (v->map->members[i].state == WIRE_MEMBER_UP && !alive(v, i)) {
            return false;
        }
    }
    return !v->fair && !v->moving && v->map_us >= KEEPER_REST_US &&
           change(v, NODE_CHANGE_REBALANCE, v->self, out);
}

bool keeper_next(const struct keeper_view *v, struct node_change *out)
{
    CHECK(alive(v, v->self));
    if (for_itself(v, out)) {
        return true;
    }
    if (!acts(v) || 2 * alive_count(v) <= v->map->member_count) {
        return false;
    }
    return for_the_dead(v, out) || for_balance(v, out);
}

/* ---- what is seen ---- */

static bool connected(const struct node *n, const struct wire_member *m)
{
    for (uint32_t i = 0; i < n->link_count; i++) {
        if (n->links[i].state == LINK_UP && wire_id_eq(&n->links[i].node, &m->node)) {
            return true;
        }
    }
    return false;
}

static bool is_alive(const struct node *n, uint32_t pos, struct gossip_load *load)
{
    struct swim_record r;
    enum swim_state state;

    *load = (struct gossip_load){.known = false};
    if (pos == n->self_pos) {
        return true;
    }
    state = node_gossip_state(n, pos, &r);
    if (state == SWIM_UNKNOWN) { /* no gossip, or not yet */
        return connected(n, &n->map.members[pos]);
    }
    *load = gossip_load_of(&r);
    return state == SWIM_ALIVE || state == SWIM_SUSPECT;
}

/* The voters of a group that is led here are those that are placed, and nobody is on the way. */
static bool as_placed(const struct group *g)
{
    const struct raft_conf *c = node_group_conf(g);
    const struct wire_map *map = &g->node->map;
    const uint8_t *row;

    if (c->outgoing_count > 0 || c->learner_count > 0 ||
        c->voter_count != wire_map_row(map, g->partition, &row)) {
        return false;
    }
    for (uint8_t i = 0; i < c->voter_count; i++) {
        int pos = node_member_of(g->node, c->voters[i]);

        if (pos < 0 || !wire_map_places(map, g->partition, (uint32_t)pos)) {
            return false;
        }
    }
    return true;
}

/* Here, as far as it can be seen here. */
static bool moving_here(const struct node *n)
{
    for (uint32_t p = 0; p < n->map.partitions; p++) {
        const struct group *g = &n->groups[p];

        if (g->here != wire_map_places(&n->map, p, n->self_pos) || (g->here && g->rebuilding) ||
            (g->here && node_group_leads(g) && !as_placed(g))) {
            return true;
        }
    }
    return false;
}

/* There, by what it says of itself. */
static bool moving_there(const struct node *n, uint32_t pos, const struct gossip_load *load)
{
    return load->known && (load->map_epoch != n->map.epoch || !load->whole ||
                           load->here != node_map_load(&n->map, pos));
}

static uint64_t for_so_long(const struct node *n, uint64_t since_us)
{
    return since_us == 0 ? 0 : n->now.mono_us - since_us;
}

/* Since when a member has not been there; by its id, for maps change positions. */
static uint64_t dead_since(struct node *n, uint32_t pos, bool is_there)
{
    struct keeper *k = &n->keeper;
    const struct wire_id *id = &n->map.members[pos].node;
    struct keeper_dead *free_entry = NULL;

    for (uint32_t i = 0; i < WIRE_MEMBERS_MAX; i++) {
        struct keeper_dead *d = &k->dead[i];

        if (d->since_us == 0 || wire_map_member(&n->map, &d->node) < 0) {
            d->since_us = 0;
            free_entry = d;
        } else if (wire_id_eq(&d->node, id)) {
            d->since_us = is_there ? 0 : d->since_us;
            return d->since_us;
        }
    }
    if (!is_there) {
        CHECK(free_entry != NULL);
        *free_entry = (struct keeper_dead){.node = *id, .since_us = n->now.mono_us};
        return n->now.mono_us;
    }
    return 0;
}

static bool is_fair(struct node *n)
{
    struct keeper *k = &n->keeper;

    if (k->fair_epoch != n->map.epoch) { /* planning is dear: once for each map */
        const struct node_change c = {.kind = NODE_CHANGE_REBALANCE};
        struct wire_map next;
        struct diag why = {{0}};
        enum node_change_verdict verdict = node_mapchange(&n->map, &c, &next, &why);

        if (verdict == NODE_CHANGE_NEXT) {
            wire_map_free(&next);
        }
        k->fair = verdict != NODE_CHANGE_NEXT;
        k->fair_epoch = n->map.epoch;
    }
    return k->fair;
}

static void look(struct node *n, struct keeper_view *v)
{
    struct keeper *k = &n->keeper;

    *v = (struct keeper_view){.map = &n->map, .self = n->self_pos, .empty = true};
    v->replace_us = n->cfg.dead_member_replace_us;
    v->moving = moving_here(n);
    for (uint32_t i = 0; i < n->map.member_count; i++) {
        struct gossip_load load;
        bool there = is_alive(n, i, &load);

        v->alive |= (uint64_t)there << i;
        v->dead_us[i] = for_so_long(n, dead_since(n, i, there));
        v->moving |= there && i != n->self_pos && moving_there(n, i, &load);
    }
    for (uint32_t p = 0; p < n->map.partitions; p++) {
        v->empty &= !n->groups[p].here;
    }
    if (2 * alive_count(v) <= n->map.member_count) {
        k->majority_us = 0;
    } else if (k->majority_us == 0) {
        k->majority_us = n->now.mono_us;
    }
    if (k->map_epoch != n->map.epoch) {
        k->map_epoch = n->map.epoch;
        k->map_us = n->now.mono_us;
    }
    v->majority_us = for_so_long(n, k->majority_us);
    v->map_us = for_so_long(n, k->map_us);
    v->fair = is_fair(n);
}

/* ---- what is done ---- */

enum { LOOK_US = 1000 * 1000, AGAIN_US = 10 * 1000 * 1000 };

static void decided(struct node *n, uint64_t arg, enum node_chain_end end, const char *why)
{
    (void)arg;
    n->keeper.asking = false;
    if (end != NODE_CHAIN_DONE) {
        n->keeper.look_us = n->now.mono_us + AGAIN_US;
        node_log(n, NODE_LOG_WARN,
                 "msg=\"a change of the map that is due is not decided\" why=\"%s\"", why);
    }
}

void node_keeper_tick(struct node *n)
{
    struct keeper *k = &n->keeper;
    struct keeper_view v;
    struct node_change c;
    char text[80];

    if (n->phase != NODE_PHASE_SERVING || n->groups == NULL || k->asking ||
        n->now.mono_us < k->look_us) {
        return;
    }
    k->look_us = n->now.mono_us + LOOK_US;
    look(n, &v);
    if (!keeper_next(&v, &c) || !node_chain_propose(n, &c, NODE_CHAIN_PATIENCE_US, decided, 0)) {
        return;
    }
    SOMETIMES_RARE(c.kind == NODE_CHANGE_AWAY, "node_keeper: a dead member is replaced",
                   MARK_NOT_DUE, "runs are shorter than patience with the dead");
    k->asking = true;
    node_mapchange_text(&c, text);
    node_log(n, NODE_LOG_INFO, "msg=\"the map is due for a change\" change=\"%s\" epoch=%llu", text,
             (unsigned long long)n->map.epoch);
}
