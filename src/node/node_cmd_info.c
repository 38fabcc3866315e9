/* INFO: sections of "name:value" lines under the names that Redis's tools read. */
#include "node/node_internal.h"

#include <stdio.h>

static uint32_t groups_led(const struct node *n)
{
    uint32_t led = 0;

    for (uint32_t p = 0; n->groups != NULL && p < n->map.partitions; p++) {
        led += node_group_leads(&n->groups[p]) ? 1 : 0;
    }
    return led;
}

static void human(uint64_t bytes, char out[32])
{
    static const char units[] = "BKMGTP";
    double value = (double)bytes;
    unsigned unit = 0;

    while (value >= 1024 && unit < 5) {
        value /= 1024;
        unit++;
    }
    (void)snprintf(out, 32, unit == 0 ? "%.0f%c" : "%.2f%c", value, units[unit]);
}

static void section_server(const struct node *n, struct buf *b)
{
    char id[41];
    uint64_t up = (n->now.mono_us - n->started.mono_us) / 1000000;

    node_id_text(n, id);
    buf_printf(b,
               "# Server\r\nredis_version:%s\r\nsynod_version:%s\r\nredis_mode:cluster\r\n"
               "os:Linux\r\narch_bits:64\r\nmultiplexing_api:%s\r\nprocess_id:%llu\r\n"
               "run_id:%s\r\ntcp_port:%s\r\nserver_time_usec:%llu\r\nuptime_in_seconds:%llu\r\n"
               "uptime_in_days:%llu\r\nexecutable:synod\r\nconfig_file:\r\n",
               NODE_REDIS_VERSION, NODE_VERSION, n->gauges.io, (unsigned long long)n->gauges.pid,
               id,
               strrchr(n->cfg.client_addr, ':') == NULL ? "" : strrchr(n->cfg.client_addr, ':') + 1,
               (unsigned long long)n->now.wall_ms * 1000, (unsigned long long)up,
               (unsigned long long)up / 86400);
}

static void section_clients(const struct node *n, struct buf *b)
{
    buf_printf(b,
               "# Clients\r\nconnected_clients:%u\r\ncluster_connections:%u\r\nmaxclients:%u\r\n"
               "blocked_clients:0\r\n",
               n->session_count, n->link_count == 0 ? 0 : n->link_count - 1, n->cfg.maxclients);
}

static void section_memory(const struct node *n, struct buf *b)
{
    char heap[32], rss[32];
    uint64_t data = 0, log = 0;

    for (uint32_t p = 0; n->groups != NULL && p < n->map.partitions; p++) {
        if (n->groups[p].here) {
            data += store_memory(n->groups[p].store);
            log += raft_log_bytes(n->groups[p].raft);
        }
    }
    human(n->gauges.heap_bytes, heap);
    human(n->gauges.rss_bytes, rss);
    buf_printf(b,
               "# Memory\r\nused_memory:%llu\r\nused_memory_human:%s\r\nused_memory_rss:%llu\r\n"
               "used_memory_rss_human:%s\r\nused_memory_dataset:%llu\r\nused_memory_log:%llu\r\n"
               "maxmemory:0\r\nmaxmemory_policy:noeviction\r\nmem_allocator:jemalloc\r\n",
               (unsigned long long)n->gauges.heap_bytes, heap,
               (unsigned long long)n->gauges.rss_bytes, rss, (unsigned long long)data,
               (unsigned long long)log);
}

static void section_persistence(const struct node *n, struct buf *b)
{
    buf_printf(b,
               "# Persistence\r\nloading:%d\r\naof_enabled:1\r\nlog_live_bytes:%llu\r\n"
               "log_disk_bytes:%llu\r\nlog_durable_batches:%llu\r\nlog_full:%d\r\n"
               "snapshots_written:%llu\r\nsnapshot_in_progress:%u\r\nsnapshots_refused:%llu\r\n",
               node_ready(n) ? 0 : 1, (unsigned long long)wal_live_bytes(n->wal),
               (unsigned long long)wal_disk_bytes(n->wal), (unsigned long long)wal_durable(n->wal),
               wal_full(n->wal) ? 1 : 0, (unsigned long long)n->stats.snapshots_written,
               n->checkpoints_active, (unsigned long long)n->troubles.snapshots_refused);
}

static void section_stats(const struct node *n, struct buf *b)
{
    const struct stats *s = &n->stats;

    buf_printf(b,
               "# Stats\r\ntotal_connections_received:%llu\r\ntotal_commands_processed:%llu\r\n"
               "instantaneous_ops_per_sec:%llu\r\ntotal_net_input_bytes:%llu\r\n"
               "total_net_output_bytes:%llu\r\nrejected_connections:%llu\r\n"
               "total_error_replies:%llu\r\nclient_output_buffer_limit_disconnections:%llu\r\n"
               "forwarded_requests:%llu\r\nlog_proposals:%llu\r\nlease_reads:%llu\r\n"
               "index_reads:%llu\r\nloop_turns:%llu\r\npeer_protocol_errors:%llu\r\n"
               "packets_unsent:%llu\r\npackets_oversize:%llu\r\n",
               (unsigned long long)s->connections, (unsigned long long)s->commands,
               (unsigned long long)s->ops_per_s, (unsigned long long)s->in_bytes,
               (unsigned long long)s->out_bytes, (unsigned long long)n->gauges.connections_rejected,
               (unsigned long long)s->errors, (unsigned long long)s->output_cut,
               (unsigned long long)s->forwarded, (unsigned long long)s->proposals,
               (unsigned long long)s->lease_reads, (unsigned long long)s->index_reads,
               (unsigned long long)s->turns, (unsigned long long)n->troubles.peer_errors,
               (unsigned long long)n->gauges.packets_unsent,
               (unsigned long long)n->gauges.packets_oversize);
}

static void section_replication(const struct node *n, struct buf *b)
{
    uint32_t here = 0, rebuilding = 0, wrong = 0, unresolved = 0;

    for (uint32_t p = 0; n->groups != NULL && p < n->map.partitions; p++) {
        const struct group *g = &n->groups[p];

        here += g->here ? 1 : 0;
        rebuilding += g->here && g->rebuilding ? 1 : 0;
        wrong += g->here && g->digest.suspect != SUSPECT_NOT ? 1 : 0;
        unresolved += g->here && g->digest.unresolved ? 1 : 0;
    }
    buf_printf(
        b,
        "# Replication\r\nrole:master\r\nconnected_slaves:0\r\npartitions:%u\r\n"
        "partitions_here:%u\r\npartitions_led:%u\r\npartitions_rebuilding:%u\r\n"
        "elections_won:%llu\r\nsnapshots_sent:%llu\r\nsnapshots_installed:%llu\r\n"
        "replicas_lost:%llu\r\n"
        "partitions_state_wrong:%u\r\npartitions_unresolved:%u\r\n"
        "digests_compared:%llu\r\ndigests_different:%llu\r\nrepairs_begun:%llu\r\n"
        "repairs_done:%llu\r\nscrubs_done:%llu\r\nscrub_bytes:%llu\r\n"
        "scrubs_damaged:%llu\r\n",
        n->map.partitions, here, groups_led(n), rebuilding, (unsigned long long)n->stats.elections,
        (unsigned long long)n->stats.snapshots_sent,
        (unsigned long long)n->stats.snapshots_installed,
        (unsigned long long)n->troubles.replicas_lost, wrong, unresolved,
        (unsigned long long)n->stats.digests_compared,
        (unsigned long long)n->stats.digests_different, (unsigned long long)n->stats.repairs_begun,
        (unsigned long long)n->stats.repairs_done, (unsigned long long)n->stats.scrubs,
        (unsigned long long)n->stats.scrub_bytes, (unsigned long long)n->stats.scrubs_damaged);
}

static void section_cpu(const struct node *n, struct buf *b)
{
    buf_printf(b, "# CPU\r\nused_cpu_sys:%.6f\r\nused_cpu_user:%.6f\r\n", n->gauges.cpu_sys_s,
               n->gauges.cpu_user_s);
}

static void section_commandstats(const struct node *n, struct buf *b)
{
    buf_printf(b, "# Commandstats\r\n");
    for (size_t i = 0; i < cmd_count(); i++) {
        const struct cmd_stat *s = &n->cmd_stats[i];

        if (s->calls + s->rejected > 0) {
            buf_printf(b, "cmdstat_%s:calls=%llu,rejected_calls=%llu\r\n", cmd_at(i)->name,
                       (unsigned long long)s->calls, (unsigned long long)s->rejected);
        }
    }
}

static void section_cluster(const struct node *n, struct buf *b)
{
    (void)n;
    buf_printf(b, "# Cluster\r\ncluster_enabled:1\r\n");
}

static void section_keyspace(const struct node *n, struct buf *b)
{
    uint64_t keys = 0, expires = 0;

    for (uint32_t p = 0; n->groups != NULL && p < n->map.partitions; p++) {
        if (n->groups[p].here) {
            keys += store_count(n->groups[p].store);
            expires += store_expires_count(n->groups[p].store);
        }
    }
    buf_printf(b, "# Keyspace\r\n");
    if (keys > 0) {
        buf_printf(b, "db0:keys=%llu,expires=%llu,avg_ttl=0\r\n", (unsigned long long)keys,
                   (unsigned long long)expires);
    }
}

static const struct {
    const char *name;
    void (*print)(const struct node *n, struct buf *b);
    bool by_default;
} sections[] = {
    {"server", section_server, true},     {"clients", section_clients, true},
    {"memory", section_memory, true},     {"persistence", section_persistence, true},
    {"stats", section_stats, true},       {"replication", section_replication, true},
    {"cpu", section_cpu, true},           {"commandstats", section_commandstats, false},
    {"cluster", section_cluster, true},   {"gossip", node_gossip_info, true},
    {"keyspace", section_keyspace, true},
};

void node_cmd_info(struct node *n, uint32_t argc, const struct slice *argv, struct resp_writer *w)
{
    struct buf b = {0};

    for (size_t k = 0; k < ARRAY_COUNT(sections); k++) {
        bool wanted = argc == 1 && sections[k].by_default;

        for (uint32_t i = 1; i < argc; i++) {
            wanted = wanted || slice_eq_nocase(argv[i], slice_str(sections[k].name)) ||
                     slice_eq_nocase(argv[i], SLICE("all")) ||
                     slice_eq_nocase(argv[i], SLICE("everything")) ||
                     (slice_eq_nocase(argv[i], SLICE("default")) && sections[k].by_default);
        }
        if (wanted) {
            if (b.len > 0) {
                buf_printf(&b, "\r\n");
            }
            sections[k].print(n, &b);
        }
    }
    resp_put_verbatim(w, "txt", buf_slice(&b));
    buf_free(&b);
}
