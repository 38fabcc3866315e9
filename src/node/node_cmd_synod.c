/* SYNOD: the cluster in words and numbers, for people and for `synod cluster`. */
#include "node/node_internal.h"

#include <stdio.h>

static const char *phase_name(enum node_phase phase)
{
    switch (phase) {
    case NODE_PHASE_IDENTITY:
        return "writing its identity";
    case NODE_PHASE_FOUNDING:
        return "waiting for the founding members or a map";
    case NODE_PHASE_MAP:
        return "writing the map";
    case NODE_PHASE_SERVING:
        return "serving";
    case NODE_PHASE_STOPPING:
        return "stopping";
    case NODE_PHASE_STOPPED:
        return "stopped";
    }
    UNREACHABLE("node phase");
}

static const char *suspicion_name(const struct digest *d)
{
    switch (d->suspect) {
    case SUSPECT_NOT:
        return d->unresolved ? " UNRESOLVED" : "";
    case SUSPECT_ROT:
        return d->quarantined ? " rotten, being rebuilt" : " ROTTEN";
    case SUSPECT_DIFFERS:
        return d->quarantined ? " differs, being rebuilt" : " DIFFERS";
    }
    UNREACHABLE("suspicion");
}

/* What is wrong with states: here, and of other replicas as far as the leader here knows. */
static void status_repairs(const struct node *n, struct buf *b)
{
    for (uint32_t p = 0; p < n->map.partitions; p++) {
        const struct group *g = &n->groups[p];
        const struct digest *d = &g->digest;

        if (d->suspect != SUSPECT_NOT) {
            buf_printf(b, "partition %u: the state here is%s; it serves %s\n", p, suspicion_name(d),
                       d->alone ? "ON, FOR NO OTHER IS SOUND" : "nobody");
        }
        if (d->unresolved) {
            buf_printf(b, "partition %u: THE REPLICAS DIFFER, and none can be told right\n", p);
        }
        for (uint8_t i = 0; i < d->voter_count; i++) {
            int pos = node_member_of(n, d->voters[i].id);

            if (d->voters[i].wrong) {
                buf_printf(b, "partition %u: the replica of %s is wrong and is rebuilt from here\n",
                           p, pos < 0 ? "a former member" : n->map.members[pos].client_addr);
            }
        }
    }
}

/* Who decides the next map, and whether they can. */
static void status_council(const struct node *n, struct buf *b)
{
    const struct wire_map *map = node_chain_map(n);
    struct diag why;

    if (map == NULL) {
        return;
    }
    buf_printf(b, "council of the map:");
    for (uint8_t i = 0; i < map->council_count; i++) {
        buf_printf(b, " %s", map->members[map->council[i]].peer_addr);
    }
    node_chain_why(n, &why);
    buf_printf(b, "%s%s\n", why.text[0] != 0 ? "; THE MAP CANNOT BE CHANGED NOW: " : "", why.text);
}

static void status(const struct node *n, struct buf *b)
{
    char id[41];
    uint32_t led = 0, here = 0, rebuilding = 0, leaderless = 0;

    node_id_text(n, id);
    for (uint32_t p = 0; n->groups != NULL && p < n->map.partitions; p++) {
        const struct group *g = &n->groups[p];

        here += g->here ? 1 : 0;
        led += node_group_leads(g) ? 1 : 0;
        rebuilding += g->here && g->rebuilding ? 1 : 0;
        leaderless += g->leader.n == 0 ? 1 : 0;
    }
    buf_printf(b, "node %.32s at %s is %s\n", id, n->cfg.client_addr, phase_name(n->phase));
    for (uint32_t i = 0; i < n->link_count; i++) {
        if (n->links[i].refused[0] != 0) {
            buf_printf(b, "refused by %s: %s\n", n->links[i].addr, n->links[i].refused);
        }
    }
    if (n->groups == NULL) {
        return;
    }
    buf_printf(b, "partitions %u, replicas %u, map epoch %llu\n", n->map.partitions,
               n->map.replicas, (unsigned long long)n->map.epoch);
    status_council(n, b);
    buf_printf(b, "here: %u partitions, %u led, %u being rebuilt\n", here, led, rebuilding);
    buf_printf(b, "without a known leader: %u\n", leaderless);
    buf_printf(b, "log: %llu bytes live, %llu on disk%s\n",
               (unsigned long long)wal_live_bytes(n->wal),
               (unsigned long long)wal_disk_bytes(n->wal),
               wal_full(n->wal) ? ", THE DISK IS FULL: writes are refused" : "");
    buf_printf(b,
               "replicas: %llu digests compared, %llu different, %llu rebuilt; %llu scrubs, %llu "
               "found damage\n",
               (unsigned long long)n->stats.digests_compared,
               (unsigned long long)n->stats.digests_different,
               (unsigned long long)n->stats.repairs_done, (unsigned long long)n->stats.scrubs,
               (unsigned long long)n->stats.scrubs_damaged);
    status_repairs(n, b);
}

/* only: one partition, or -1 for all that have a replica here. */
static void groups(const struct node *n, struct buf *b, bool digests, int64_t only)
{
    for (uint32_t p = 0; n->groups != NULL && p < n->map.partitions; p++) {
        const struct group *g = &n->groups[p];

        if (!g->here || (only >= 0 && only != (int64_t)p)) {
            continue;
        }
        buf_printf(b, "%u %s%s%s term %llu first %llu last %llu commit %llu applied %llu keys %zu",
                   p, raft_role_name(raft_role(g->raft)), g->rebuilding ? " rebuilding" : "",
                   suspicion_name(&g->digest), (unsigned long long)raft_term_now(g->raft).n,
                   (unsigned long long)raft_first(g->raft).n,
                   (unsigned long long)raft_last(g->raft).n,
                   (unsigned long long)raft_commit(g->raft).n, (unsigned long long)g->applied.n,
                   store_count(g->store));
        if (digests) {
            buf_printf(b, " digest %016llx", (unsigned long long)store_digest(g->store));
        }
        buf_printf(b, "\n");
    }
}

void node_cmd_synod(struct session *s, const struct cmd *cmd, uint32_t argc,
                    const struct slice *argv, struct resp_writer *w)
{
    struct buf b = {0};
    int64_t only = -1;

    if (argc > 2 &&
        (!cmd_parse_int(argv[2], &only) || only < 0 || only >= (int64_t)s->node->map.partitions)) {
        resp_put_error(w, "ERR no such partition");
        return;
    }
    if (cmd->id == CMD_ID_SYNOD_STATUS) {
        status(s->node, &b);
    } else if (cmd->id == CMD_ID_SYNOD_MEMBERS) {
        node_gossip_members(s->node, &b);
    } else if (cmd->id == CMD_ID_SYNOD_MOVES) {
        node_map_moves_text(s->node, &b);
    } else if (cmd->id == CMD_ID_SYNOD_KEYS) {
        node_gossip_keys(s->node, &b);
    } else if (cmd->id == CMD_ID_SYNOD_GROUPS || cmd->id == CMD_ID_SYNOD_DIGEST) {
        groups(s->node, &b, cmd->id == CMD_ID_SYNOD_DIGEST, only);
    }
    resp_put_verbatim(w, "txt", buf_slice(&b));
    buf_free(&b);
}
