/* SYNOD DRAIN, LEAVE, RETURN, FORGET, WEIGHT, ZONE, REPLICAS, REBALANCE: changes of the map,
 * answered when they are decided. SYNOD MOVES: how far the data has followed. */
#include "node/node_internal.h"

#include "node/node_mapplan.h"

#include <stdio.h>

static const struct {
    enum cmd_id cmd;
    enum node_change_kind kind;
    const char *name; /* of the command, in errors */
} rows[] = {
    {CMD_ID_SYNOD_DRAIN, NODE_CHANGE_DRAIN, "drain"},
    {CMD_ID_SYNOD_LEAVE, NODE_CHANGE_LEAVE, "leave"},
    {CMD_ID_SYNOD_RETURN, NODE_CHANGE_RETURN, "return"},
    {CMD_ID_SYNOD_FORGET, NODE_CHANGE_FORGET, "forget"},
    {CMD_ID_SYNOD_WEIGHT, NODE_CHANGE_WEIGH, "weight"},
    {CMD_ID_SYNOD_ZONE, NODE_CHANGE_ZONE, "zone"},
    {CMD_ID_SYNOD_REPLICAS, NODE_CHANGE_REPLICAS, "replicas"},
    {CMD_ID_SYNOD_REBALANCE, NODE_CHANGE_REBALANCE, "rebalance"},
};

static int row_of(const struct cmd *cmd)
{
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (rows[i].cmd == cmd->id) {
            return (int)i;
        }
    }
    return -1;
}

bool node_cmd_map_is(const struct cmd *cmd)
{
    return row_of(cmd) >= 0;
}

/* ---- which member is meant ---- */

enum { ID_DIGITS = 32, ID_DIGITS_MIN = 4 };

/* The name is how its id begins. */
static bool id_begins(const struct wire_id *id, struct slice name)
{
    char text[ID_DIGITS + 1];

    for (unsigned i = 0; i < sizeof id->b; i++) {
        (void)snprintf(text + 2 * (size_t)i, 3, "%02x", id->b[i]);
    }
    return name.len >= ID_DIGITS_MIN && name.len <= ID_DIGITS &&
           slice_eq_nocase(name, (struct slice){(const uint8_t *)text, name.len});
}

/* By an address, by its id or how that begins, or `self`. */
static int member_named(const struct node *n, struct slice name, struct diag *why)
{
    int found = -1;

    for (uint32_t i = 0; i < n->map.member_count; i++) {
        const struct wire_member *m = &n->map.members[i];

        if (slice_eq(name, slice_str(m->client_addr)) || slice_eq(name, slice_str(m->peer_addr)) ||
            id_begins(&m->node, name) || (node_arg_is(name, "self") && i == n->self_pos)) {
            if (found >= 0) {
                diag_set(why, "more than one member is meant by %.*s; say more of its id",
                         (int)(name.len < 64 ? name.len : 64), (const char *)name.data);
                return -1;
            }
            found = (int)i;
        }
    }
    if (found < 0) {
        diag_set(
            why,
            "no member has the address %.*s, or an id that begins so; SYNOD MEMBERS lists them",
            (int)(name.len < 64 ? name.len : 64), (const char *)name.data);
    }
    return found;
}

/* ---- what is asked for ---- */

/* Whoever is alive is not forgotten: it leaves. */
static bool may_forget(const struct node *n, uint32_t pos, struct diag *why)
{
    struct swim_record r;
    enum swim_state state = node_gossip_state(n, pos, &r);

    if (pos == n->self_pos || state == SWIM_ALIVE || state == SWIM_SUSPECT ||
        (pos < n->link_count && n->links[pos].state == LINK_UP)) {
        diag_set(why, "%s is there; SYNOD LEAVE takes a member out that is",
                 n->map.members[pos].client_addr);
        return false;
    }
    return true;
}

static bool number(struct slice arg, int64_t most, int64_t *out, struct diag *why)
{
    if (cmd_parse_int(arg, out) && *out >= 0 && *out <= most) {
        return true;
    }
    diag_set(why, "a number from 0 to %lld is needed", (long long)most);
    return false;
}

static bool read_member(struct node *n, const struct slice *argv, struct node_change *c,
                        struct diag *why)
{
    int pos = member_named(n, argv[2], why);
    int64_t value = 0;

    if (pos < 0 ||
        (c->kind == NODE_CHANGE_WEIGH && !number(argv[3], WIRE_WEIGHT_MAX, &value, why)) ||
        (c->kind == NODE_CHANGE_ZONE && !number(argv[3], UINT32_MAX, &value, why)) ||
        (c->kind == NODE_CHANGE_FORGET && !may_forget(n, (uint32_t)pos, why))) {
        return false;
    }
    c->member = n->map.members[pos];
    if (c->kind == NODE_CHANGE_WEIGH) {
        c->member.weight = (uint8_t)value;
    } else if (c->kind == NODE_CHANGE_ZONE) {
        c->member.zone = (uint32_t)value;
    }
    return true;
}

static bool read_change(struct node *n, const struct slice *argv, struct node_change *c,
                        struct diag *why)
{
    int64_t value;

    if (c->kind == NODE_CHANGE_REBALANCE) {
        return true;
    }
    if (c->kind != NODE_CHANGE_REPLICAS) {
        return read_member(n, argv, c, why);
    }
    if (!number(argv[2], UINT8_MAX, &value, why)) {
        return false;
    }
    c->replicas = (uint32_t)value;
    return true;
}

/* ---- the answer ---- */

static struct request *waiting(struct node *n, uint64_t id)
{
    LIST_EACH(it, &n->deciding)
    {
        struct request *r = LIST_ENTRY(it, struct request, in_group);

        if (r->id == id) {
            return r;
        }
    }
    UNREACHABLE("a request waits until the chain has answered");
}

static void decided(struct node *n, uint64_t arg, enum node_chain_end end, const char *why)
{
    struct request *r = waiting(n, arg);
    struct resp_writer w = node_request_writer(n, r);

    switch (end) {
    case NODE_CHAIN_DONE:
        resp_put_simple(&w, "OK");
        break;
    case NODE_CHAIN_REFUSED:
        n->stats.errors++;
        resp_put_errorf(&w, "ERR %s: %s", rows[row_of(r->cmd)].name, why);
        break;
    case NODE_CHAIN_TIMEOUT:
        n->stats.errors++;
        resp_put_errorf(&w, "TRYAGAIN %s", why);
        break;
    case NODE_CHAIN_INDOUBT:
        n->stats.errors++;
        resp_put_errorf(&w, "INDOUBT %s", why);
        break;
    }
    node_request_replied(n, r);
}

void node_cmd_map(struct node *n, struct request *r, const struct slice *argv)
{
    const char *name = rows[row_of(r->cmd)].name;
    struct node_change c = {.kind = rows[row_of(r->cmd)].kind};
    struct diag why = {{0}};
    char text[sizeof why.text + 32];

    list_remove(&r->in_timeout); /* the chain decides in time, or says that it did not */
    if (n->groups == NULL) {
        node_request_error(n, r, "CLUSTERDOWN the cluster is not founded yet; nothing was done");
    } else if (!read_change(n, argv, &c, &why)) {
        (void)snprintf(text, sizeof text, "ERR %s: %s", name, why.text);
        node_request_error(n, r, text);
    } else if (!node_chain_propose(n, &c, NODE_CHAIN_PATIENCE_US, decided, r->id)) {
        node_request_error(n, r, "TRYAGAIN too many changes of the map wait; nothing was done");
    } else {
        list_push_back(&n->deciding, &r->in_group);
    }
}

/* ---- how far the data has followed ---- */

static const char *state_name(enum wire_member_state state)
{
    switch (state) {
    case WIRE_MEMBER_UP:
        return "up";
    case WIRE_MEMBER_DRAINING:
        return "draining";
    case WIRE_MEMBER_LEAVING:
        return "leaving";
    case WIRE_MEMBER_AWAY:
        return "away";
    case WIRE_MEMBER_STATES:
        break;
    }
    UNREACHABLE("state of a member");
}

void node_map_member_text(const struct node *n, uint32_t pos, struct buf *b)
{
    const struct wire_member *m = &n->map.members[pos];

    buf_printf(b, "weight %u %s placed %u", m->weight, state_name(m->state),
               node_map_load(&n->map, pos));
}

static void name_of(const struct node *n, struct raft_id replica, struct buf *b)
{
    int pos = node_member_of(n, replica);

    buf_printf(b, " %s", pos < 0 ? "(no member)" : n->map.members[pos].client_addr);
}

/* Of a group that is led here: who is to come, who is to go. */
static uint32_t moves_of(const struct group *g, struct buf *b)
{
    const struct node *n = g->node;
    const struct raft_conf *c = node_group_conf(g);
    struct buf line = {0};
    const uint8_t *row;
    uint32_t placed = wire_map_row(&n->map, g->partition, &row), moves = 0;
    uint64_t voting = 0;

    for (uint8_t i = 0; i < c->voter_count; i++) {
        int pos = node_member_of(n, c->voters[i]);

        if (pos >= 0 && wire_map_places(&n->map, g->partition, (uint32_t)pos)) {
            voting |= 1ULL << pos;
            continue;
        }
        buf_printf(&line, " from");
        name_of(n, c->voters[i], &line);
        moves++;
    }
    for (uint32_t i = 0; i < placed; i++) {
        if ((voting >> row[i] & 1) == 0) {
            buf_printf(&line, " to %s", n->map.members[row[i]].client_addr);
            moves++;
        }
    }
    for (uint8_t i = 0; i < c->learner_count; i++) {
        buf_printf(&line, " learning");
        name_of(n, c->learners[i], &line);
        node_move_progress(g, c->learners[i], &line);
    }
    if (moves > 0) {
        buf_printf(b, "partition %u:%.*s\n", g->partition, (int)line.len, (const char *)line.data);
    }
    buf_free(&line);
    return moves;
}

void node_map_moves_text(const struct node *n, struct buf *b)
{
    uint32_t led = 0, moving = 0, moves = 0;

    for (uint32_t p = 0; n->groups != NULL && p < n->map.partitions; p++) {
        const struct group *g = &n->groups[p];

        if (g->here && node_group_leads(g)) {
            uint32_t of_this = moves_of(g, b);

            led++;
            moving += of_this > 0;
            moves += of_this;
        }
    }
    buf_printf(
        b,
        "map epoch %llu: of %u partitions led here, %u are not yet where they are placed: %u "
        "replicas are to come or go\n",
        (unsigned long long)n->map.epoch, led, moving, moves);
}
