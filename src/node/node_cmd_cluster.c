/* CLUSTER: the map as Redis Cluster clients expect it. A partition's leader is the
 * "master" of its slots, the other replicas are its replicas. While a partition has
 * no leader, its preferred one is shown: requests sent there are held or forwarded. */
#include "node/node_internal.h"

#include "base/base_hash.h"
#include "base/base_mem.h"

#include <stdio.h>
#include <stdlib.h>

struct host_port {
    char host[NODE_ADDR_MAX];
    int port;
};

static struct host_port split(const char *addr)
{
    struct host_port hp = {.host = "", .port = 0};
    const char *colon = strrchr(addr, ':');
    size_t len;

    if (colon == NULL) {
        return hp;
    }
    hp.port = (int)strtol(colon + 1, NULL, 10);
    len = (size_t)(colon - addr);
    if (len >= 2 && addr[0] == '[' && addr[len - 1] == ']') {
        addr++;
        len -= 2;
    }
    memcpy(hp.host, addr, len);
    hp.host[len] = 0;
    return hp;
}

static void member_id_text(const struct node *n, uint32_t pos, char out[41])
{
    for (unsigned i = 0; i < 16; i++) {
        (void)snprintf(out + (size_t)i * 2, 3, "%02x", n->map.members[pos].node.b[i]);
    }
    memcpy(out + 32, "00000000", 9);
}

static uint32_t leader_pos(const struct node *n, uint32_t partition)
{
    int pos = n->groups == NULL ? -1 : node_member_of(n, n->groups[partition].leader);

    return pos >= 0 && n->groups[partition].leader.n != 0
               ? (uint32_t)pos
               : n->map.placement[partition * n->map.replicas];
}

static uint32_t first_slot(const struct node *n, uint32_t partition)
{
    return partition * (HASHSLOT_COUNT / n->map.partitions);
}

static bool same_replicas(const struct node *n, uint32_t p, uint32_t q)
{
    const uint8_t *row;
    uint32_t count = wire_map_row(&n->map, p, &row);

    for (uint32_t r = 0; r < count; r++) {
        if (!wire_map_places(&n->map, q, row[r])) {
            return false;
        }
    }
    if (wire_map_row(&n->map, q, &row) != count) {
        return false;
    }
    return leader_pos(n, p) == leader_pos(n, q);
}

/* The end (exclusive, a partition) of the run of alike partitions that begins at p. */
static uint32_t run_end(const struct node *n, uint32_t p)
{
    uint32_t end = p + 1;

    while (end < n->map.partitions && same_replicas(n, p, end)) {
        end++;
    }
    return end;
}

static bool member_reachable(const struct node *n, uint32_t pos)
{
    return pos == n->self_pos || (pos < n->link_count && n->links[pos].state == LINK_UP);
}

/* Redis's words for what gossip says; without gossip, for what the link says. */
static const char *member_flag(const struct node *n, uint32_t pos)
{
    switch (node_gossip_state(n, pos, NULL)) {
    case SWIM_ALIVE:
        return "";
    case SWIM_SUSPECT:
        return ",fail?";
    case SWIM_DEAD:
    case SWIM_LEFT:
        return ",fail";
    case SWIM_UNKNOWN:
    case SWIM_STATES:
        break;
    }
    return member_reachable(n, pos) ? "" : ",fail?";
}

static void put_member(const struct node *n, uint32_t pos, struct resp_writer *w)
{
    struct host_port hp = split(n->map.members[pos].client_addr);
    char id[41];

    member_id_text(n, pos, id);
    resp_put_array(w, 4);
    resp_put_bulk_str(w, hp.host);
    resp_put_int(w, hp.port);
    resp_put_bulk_str(w, id);
    resp_put_array(w, 0);
}

static void cluster_slots(const struct node *n, struct resp_writer *w)
{
    size_t runs = 0;

    for (uint32_t p = 0; p < n->map.partitions; p = run_end(n, p)) {
        runs++;
    }
    resp_put_array(w, runs);
    for (uint32_t p = 0, end; p < n->map.partitions; p = end) {
        const uint8_t *row;
        uint32_t count = wire_map_row(&n->map, p, &row), leader = leader_pos(n, p);

        end = run_end(n, p);
        resp_put_array(w, 3 + (size_t)count - (wire_map_places(&n->map, p, leader) ? 1 : 0));
        resp_put_int(w, first_slot(n, p));
        resp_put_int(w, (int64_t)first_slot(n, end) - 1);
        put_member(n, leader, w);
        for (uint32_t r = 0; r < count; r++) {
            if (row[r] != leader) {
                put_member(n, row[r], w);
            }
        }
    }
}

static uint32_t ranges_of(const struct node *n, uint32_t pos, uint32_t (*range)[2], uint32_t max)
{
    uint32_t count = 0;

    for (uint32_t p = 0; p < n->map.partitions; p++) {
        if (leader_pos(n, p) != pos) {
            continue;
        }
        if (count > 0 && range[count - 1][1] + 1 == first_slot(n, p)) {
            range[count - 1][1] = first_slot(n, p + 1) - 1;
        } else if (count < max) {
            range[count][0] = first_slot(n, p);
            range[count++][1] = first_slot(n, p + 1) - 1;
        }
    }
    return count;
}

static void cluster_nodes(const struct node *n, struct resp_writer *w)
{
    uint32_t(*range)[2] = mem_alloc((n->map.partitions + 1) * sizeof *range);
    struct buf b = {0};
    char id[41];

    for (uint32_t i = 0; i < n->map.member_count; i++) {
        const struct wire_member *m = &n->map.members[i];
        struct host_port peer = split(m->peer_addr);
        bool up = member_reachable(n, i);
        uint32_t count = ranges_of(n, i, range, n->map.partitions);

        member_id_text(n, i, id);
        buf_printf(&b, "%s %s@%d %smaster%s - 0 %llu %llu %s", id, m->client_addr, peer.port,
                   i == n->self_pos ? "myself," : "", member_flag(n, i),
                   up ? (unsigned long long)n->now.wall_ms : 0ULL, (unsigned long long)n->map.epoch,
                   up ? "connected" : "disconnected");
        for (uint32_t k = 0; k < count; k++) {
            buf_printf(&b, " %u-%u", range[k][0], range[k][1]);
        }
        buf_printf(&b, "\n");
    }
    if (n->map.partitions == 0) {
        struct host_port peer = split(n->cfg.peer_addr);

        node_id_text(n, id);
        buf_printf(&b, "%s %s@%d myself,master - 0 0 0 connected\n", id, n->cfg.client_addr,
                   peer.port);
    }
    resp_put_verbatim(w, "txt", buf_slice(&b));
    buf_free(&b);
    mem_free(range);
}

static void shard_node(const struct node *n, uint32_t pos, bool leads, struct resp_writer *w)
{
    struct host_port hp = split(n->map.members[pos].client_addr);
    char id[41];

    member_id_text(n, pos, id);
    resp_put_map(w, 7);
    resp_put_bulk_str(w, "id");
    resp_put_bulk_str(w, id);
    resp_put_bulk_str(w, "port");
    resp_put_int(w, hp.port);
    resp_put_bulk_str(w, "ip");
    resp_put_bulk_str(w, hp.host);
    resp_put_bulk_str(w, "endpoint");
    resp_put_bulk_str(w, hp.host);
    resp_put_bulk_str(w, "role");
    resp_put_bulk_str(w, leads ? "master" : "replica");
    resp_put_bulk_str(w, "replication-offset");
    resp_put_int(w, 0);
    resp_put_bulk_str(w, "health");
    resp_put_bulk_str(w, member_reachable(n, pos) && strcmp(member_flag(n, pos), ",fail") != 0
                             ? "online"
                             : "fail");
}

/* One shard per leading node: its ranges, and those that replicate any of them. */
static void cluster_shards(const struct node *n, struct resp_writer *w)
{
    uint32_t(*range)[2] = mem_alloc((n->map.partitions + 1) * sizeof *range);

    resp_put_array(w, n->map.member_count);
    for (uint32_t i = 0; i < n->map.member_count; i++) {
        uint32_t count = ranges_of(n, i, range, n->map.partitions);
        bool replica[NODE_MEMBERS_MAX] = {false};
        size_t replicas = 0;

        for (uint32_t p = 0; p < n->map.partitions; p++) {
            const uint8_t *row;
            uint32_t placed = leader_pos(n, p) == i ? wire_map_row(&n->map, p, &row) : 0;

            for (uint32_t r = 0; r < placed; r++) {
                replicas += !replica[row[r]] && row[r] != i ? 1 : 0;
                replica[row[r]] = true;
            }
        }
        resp_put_map(w, 2);
        resp_put_bulk_str(w, "slots");
        resp_put_array(w, (size_t)count * 2);
        for (uint32_t k = 0; k < count; k++) {
            resp_put_int(w, range[k][0]);
            resp_put_int(w, range[k][1]);
        }
        resp_put_bulk_str(w, "nodes");
        resp_put_array(w, 1 + replicas);
        shard_node(n, i, true, w);
        for (uint32_t pos = 0; pos < n->map.member_count; pos++) {
            if (replica[pos] && pos != i) {
                shard_node(n, pos, false, w);
            }
        }
    }
    mem_free(range);
}

struct slot_counts {
    uint32_t led, suspect, dead; /* partitions by what is known of their leader */
    uint32_t leaders;
};

static struct slot_counts count_slots(const struct node *n)
{
    struct slot_counts c = {0};
    bool leads[NODE_MEMBERS_MAX] = {false};

    for (uint32_t p = 0; n->groups != NULL && p < n->map.partitions; p++) {
        enum swim_state state = node_gossip_state(n, leader_pos(n, p), NULL);

        leads[leader_pos(n, p)] = true;
        if (n->groups[p].leader.n == 0 || state == SWIM_DEAD || state == SWIM_LEFT) {
            c.dead++;
        } else if (state == SWIM_SUSPECT) {
            c.suspect++;
        } else {
            c.led++;
        }
    }
    for (uint32_t i = 0; i < n->map.member_count; i++) {
        c.leaders += leads[i] ? 1 : 0;
    }
    return c;
}

static void cluster_info(const struct node *n, struct resp_writer *w)
{
    struct node_gossip_counts gossip = node_gossip_counts(n);
    unsigned long long sent = gossip.packets_out + gossip.frames_out;
    unsigned long long received = gossip.packets_in + gossip.frames_in;
    struct slot_counts c = count_slots(n);
    struct buf b = {0};
    uint32_t per = n->map.partitions == 0 ? 0 : HASHSLOT_COUNT / n->map.partitions;

    buf_printf(&b,
               "cluster_enabled:1\r\ncluster_state:%s\r\ncluster_slots_assigned:%u\r\n"
               "cluster_slots_ok:%u\r\ncluster_slots_pfail:%u\r\ncluster_slots_fail:%u\r\n"
               "cluster_known_nodes:%u\r\ncluster_size:%u\r\ncluster_current_epoch:%llu\r\n"
               "cluster_my_epoch:%llu\r\ncluster_stats_messages_sent:%llu\r\n"
               "cluster_stats_messages_received:%llu\r\n",
               node_ready(n) ? "ok" : "fail", n->map.partitions * per, c.led * per, c.suspect * per,
               c.dead * per, n->map.member_count, c.leaders, (unsigned long long)n->map.epoch,
               (unsigned long long)n->map.epoch, sent, received);
    resp_put_verbatim(w, "txt", buf_slice(&b));
    buf_free(&b);
}

static void cluster_links(const struct node *n, struct resp_writer *w)
{
    size_t up = 0;
    char id[41];

    for (uint32_t i = 0; i < n->map.member_count; i++) {
        up += i != n->self_pos && member_reachable(n, i) ? 1 : 0;
    }
    resp_put_array(w, up);
    for (uint32_t i = 0; i < n->map.member_count; i++) {
        const struct link *l = &n->links[i];

        if (i == n->self_pos || !member_reachable(n, i)) {
            continue;
        }
        member_id_text(n, i, id);
        resp_put_map(w, 6);
        resp_put_bulk_str(w, "direction");
        resp_put_bulk_str(w, (l->conn & 1) == 0 ? "to" : "from");
        resp_put_bulk_str(w, "node");
        resp_put_bulk_str(w, id);
        resp_put_bulk_str(w, "create-time");
        resp_put_int(w, 0);
        resp_put_bulk_str(w, "events");
        resp_put_bulk_str(w, "rw");
        resp_put_bulk_str(w, "send-buffer-allocated");
        resp_put_int(w, (int64_t)l->unsent);
        resp_put_bulk_str(w, "send-buffer-used");
        resp_put_int(w, (int64_t)l->unsent);
    }
}

void node_cmd_cluster(struct session *s, const struct cmd *cmd, uint32_t argc,
                      const struct slice *argv, struct resp_writer *w)
{
    struct node *n = s->node;
    char id[41];

    (void)argc;
    if (cmd->id == CMD_ID_CLUSTER_INFO) {
        cluster_info(n, w);
    } else if (cmd->id == CMD_ID_CLUSTER_NODES) {
        s->asked_map = true;
        cluster_nodes(n, w);
    } else if (cmd->id == CMD_ID_CLUSTER_SLOTS) {
        s->asked_map = true;
        cluster_slots(n, w);
    } else if (cmd->id == CMD_ID_CLUSTER_SHARDS) {
        s->asked_map = true;
        cluster_shards(n, w);
    } else if (cmd->id == CMD_ID_CLUSTER_MYID) {
        node_id_text(n, id);
        resp_put_bulk_str(w, id);
    } else if (cmd->id == CMD_ID_CLUSTER_KEYSLOT) {
        resp_put_int(w, hashslot_of_key(argv[2]));
    } else if (cmd->id == CMD_ID_CLUSTER_LINKS) {
        cluster_links(n, w);
    } else if (cmd->id == CMD_ID_CLUSTER_COUNT_FAILURE_REPORTS) {
        resp_put_int(w, 0);
    }
}
