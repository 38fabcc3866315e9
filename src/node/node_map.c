/* What a decided map changes on this node. */
#include "node/node_internal.h"

void node_map_take(struct node *n, struct wire_map map)
{
    int pos = wire_map_member(&map, &n->id);
    struct diag why = {0};

    CHECK(map.epoch > n->map.epoch);
    CHECK(map.partitions == n->map.partitions && wire_id_eq(&map.cluster, &n->map.cluster));
    if (pos < 0) {
        diag_set(&why,
                 "this node is no member any more since map %llu: it was replaced or removed while "
                 "it was away; empty its directory and start it with --join to have it taken in "
                 "again",
                 (unsigned long long)map.epoch);
        wire_map_free(&map);
        node_fail(n, ERR_STALE, &why);
        return;
    }
    wire_map_free(&n->map);
    n->map = map;
    n->self_pos = (uint32_t)pos;
    node_log(n, NODE_LOG_INFO, "msg=\"the cluster has a new map\" epoch=%llu members=%u",
             (unsigned long long)map.epoch, map.member_count);
    node_links_setup(n);
    node_map_write(n);
}
