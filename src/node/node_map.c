/* A newer map comes into force: members are found again wherever they stand in it now, links
 * follow their nodes, and what is placed elsewhere begins to move (node_move.c).
 *
 * Nobody may hold a link or a position of the old map meanwhile: not from within a frame.
 */
#include "node/node_internal.h"

static bool fits(struct node *n, const struct wire_map *map)
{
    if (!wire_id_eq(&map->cluster, &n->map.cluster) || map->partitions != n->map.partitions) {
        node_log(n, NODE_LOG_ERROR,
                 "msg=\"a map of another cluster was decided: ignored\" epoch=%llu",
                 (unsigned long long)map->epoch);
        return false;
    }
    return map->epoch > n->map.epoch && map->epoch > n->map_taken.epoch;
}

/* Those of members that have left, or whose place another node has taken. */
static void drop_links(struct node *n, const struct wire_map *map)
{
    for (uint32_t i = 0; i < n->link_count; i++) {
        struct link *l = &n->links[i];

        if (l->state == LINK_UP && wire_map_member(map, &l->node) < 0) {
            SOMETIMES(true, "node_map: the link of a member that has left");
            node_link_drop(n, l, "the node is a member no more");
        }
    }
}

void node_map_apply(struct node *n)
{
    struct wire_map map;
    struct diag why;
    int pos;

    if (n->map_taken.partitions == 0 || n->phase != NODE_PHASE_SERVING || n->groups == NULL) {
        return; /* every turn but a few */
    }
    map = n->map_taken;
    n->map_taken = (struct wire_map){0};
    if (!fits(n, &map)) { /* one came meanwhile, on another way */
        wire_map_free(&map);
        return;
    }
    pos = wire_map_member(&map, &n->id);
    if (pos < 0) {
        diag_set(&why,
                 "the cluster's map %llu does not name this node any more; to bring it back, empty "
                 "its directory and start it with --join",
                 (unsigned long long)map.epoch);
        wire_map_free(&map);
        node_fail(n, ERR_STALE, &why);
        return;
    }
    drop_links(n, &map);
    wire_map_free(&n->map);
    n->map = map;
    n->self_pos = (uint32_t)pos;
    n->map_us = n->now.mono_us;
    n->move_us = 0;
    node_links_setup(n);
    node_map_write(n);
    node_log(n, NODE_LOG_INFO, "msg=\"a new map\" epoch=%llu members=%u replicas=%u",
             (unsigned long long)n->map.epoch, n->map.member_count, n->map.replicas);
}

void node_map_take(struct node *n, struct wire_map map)
{
    bool entering = n->phase == NODE_PHASE_FOUNDING && n->map.partitions == 0;

    if (entering && wire_map_member(&map, &n->id) >= 0) {
        node_found_adopt(n, map);
        return;
    }
    if (entering || n->map.partitions == 0 || !fits(n, &map)) {
        wire_map_free(&map);
        return;
    }
    wire_map_free(&n->map_taken);
    n->map_taken = map;
    node_map_apply(n);
}
