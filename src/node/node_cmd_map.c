/* SYNOD MOVES: how far the data has followed the map. */
#include "node/node_internal.h"

#include "node/node_mapplan.h"

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
