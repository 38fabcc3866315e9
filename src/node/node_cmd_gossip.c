/* The membership in words and numbers: a section of INFO, SYNOD MEMBERS and SYNOD
 * KEYS. */
#include "node/node_gossip.h"

#include <stdio.h>

#define U(x) ((unsigned long long)(x))

static void info_counts(const struct node *n, struct buf *b)
{
    const struct node_gossip_counts c = node_gossip_counts(n);

    buf_printf(b,
               "gossip_packets_sent:%llu\r\ngossip_packets_received:%llu\r\n"
               "gossip_packet_bytes_sent:%llu\r\ngossip_packet_bytes_received:%llu\r\n"
               "gossip_frames_sent:%llu\r\ngossip_frames_received:%llu\r\n"
               "gossip_frame_bytes_sent:%llu\r\ngossip_dropped_not_sealed:%llu\r\n"
               "gossip_dropped_garbled:%llu\r\ngossip_dropped_foreign:%llu\r\n"
               "gossip_records_foreign:%llu\r\n",
               U(c.packets_out), U(c.packets_in), U(c.packet_bytes_out), U(c.packet_bytes_in),
               U(c.frames_out), U(c.frames_in), U(c.frame_bytes_out), U(c.dropped_sealed),
               U(c.dropped_garbled), U(c.dropped_foreign), U(c.records_foreign));
}

void node_gossip_info(const struct node *n, struct buf *b)
{
    const struct swim *s = node_swim(n);
    const struct swim_stats *stats;
    struct swim_tuning t;
    struct swim_record own;

    buf_printf(b, "# Gossip\r\ngossip_enabled:%d\r\n", s != NULL);
    if (s == NULL) {
        return;
    }
    stats = swim_stats(s);
    swim_tuning(s, &t);
    buf_printf(b,
               "gossip_incarnation:%llu\r\ngossip_members_alive:%u\r\ngossip_members_suspect:%u\r\n"
               "gossip_members_dead:%u\r\ngossip_members_left:%u\r\ngossip_health:%u\r\n"
               "gossip_rtt_usec:%llu\r\ngossip_loss_ppm:%u\r\ngossip_probe_interval_ms:%llu\r\n"
               "gossip_probe_timeout_ms:%llu\r\ngossip_suspicion_min_ms:%llu\r\n"
               "gossip_suspicion_max_ms:%llu\r\ngossip_probes:%llu\r\ngossip_probes_failed:%llu\r\n"
               "gossip_suspicions:%llu\r\ngossip_deaths:%llu\r\ngossip_refutations:%llu\r\n"
               "gossip_conflicts:%llu\r\n",
               node_gossip_state(n, n->self_pos, &own) == SWIM_UNKNOWN ? 0 : U(own.incarnation),
               swim_count(s, SWIM_ALIVE), swim_count(s, SWIM_SUSPECT), swim_count(s, SWIM_DEAD),
               swim_count(s, SWIM_LEFT), t.health, U(t.rtt_us), t.loss_ppm, U(t.probe_us / 1000),
               U(t.timeout_us / 1000), U(t.suspicion_us_min / 1000), U(t.suspicion_us_max / 1000),
               U(stats->probes), U(stats->probes_failed), U(stats->suspicions), U(stats->deaths),
               U(stats->refutations), U(stats->conflicts));
    info_counts(n, b);
}

static void put_addr(const struct swim_addr *a, struct buf *b)
{
    if (swim_addr_is_v4(a)) {
        buf_printf(b, "%u.%u.%u.%u:%u", a->ip[12], a->ip[13], a->ip[14], a->ip[15], a->port);
        return;
    }
    for (unsigned i = 0; i < 16; i += 2) {
        buf_printf(b, "%s%x", i == 0 ? "[" : ":", (unsigned)a->ip[i] << 8 | a->ip[i + 1]);
    }
    buf_printf(b, "]:%u", a->port);
}

static const char *link_word(const struct node *n, uint32_t pos)
{
    if (pos == n->self_pos) {
        return "this node";
    }
    return pos < n->link_count && n->links[pos].state == LINK_UP ? "connected" : "not connected";
}

static void put_state(const struct node *n, uint32_t pos, struct buf *b)
{
    uint64_t since = pos < n->link_count ? n->links[pos].state_since : 0;
    struct swim_record r;
    struct gossip_load load;

    if (node_gossip_state(n, pos, &r) == SWIM_UNKNOWN) {
        return;
    }
    since = since == 0 ? n->started.wall_ms : since;
    load = gossip_load_of(&r);
    buf_printf(b, " %s%s for %llu s incarnation %llu", swim_state_name(r.state),
               r.by_stream ? " (its connections)" : "",
               n->now.wall_ms > since ? U((n->now.wall_ms - since) / 1000) : 0, U(r.incarnation));
    if (load.known) {
        buf_printf(b, " epoch %llu partitions %u led %u%s%s", U(load.map_epoch), load.here,
                   load.led, load.writable ? "" : " DISK FULL", load.whole ? "" : " rebuilding");
    }
    buf_printf(b, " packets ");
    put_addr(&r.addr, b);
}

void node_gossip_members(const struct node *n, struct buf *b)
{
    for (uint32_t i = 0; i < n->map.member_count; i++) {
        const struct wire_member *m = &n->map.members[i];
        uint32_t led = 0;

        for (uint32_t p = 0; n->groups != NULL && p < n->map.partitions; p++) {
            led += node_member_of(n, n->groups[p].leader) == (int)i ? 1 : 0;
        }
        for (unsigned k = 0; k < 16; k++) {
            buf_printf(b, "%02x", m->node.b[k]);
        }
        buf_printf(b, " clients %s peers %s zone %u ", m->client_addr, m->peer_addr, m->zone);
        node_map_member_text(n, i, b);
        buf_printf(b, " leads %u %s", led, link_word(n, i));
        put_state(n, i, b);
        buf_printf(b, "\n");
    }
}

/* Never a key: who may ask here need not know what is sent. [docs/howto/gossip-keys.md] */
void node_gossip_keys(const struct node *n, struct buf *b)
{
    const struct gossip *g = n->gossip;

    if (g == NULL || g->ring == NULL) {
        buf_printf(b, "no keys: %s\n",
                   g == NULL ? "this node does not gossip" : "there is no map yet");
        return;
    }
    for (uint32_t i = 0; i < seal_ring_count(g->ring); i++) {
        buf_printf(b, "key %u fingerprint %08x %s, opened %llu packets\n", i + 1,
                   seal_ring_fingerprint(g->ring, i), i == 0 ? "seals and opens" : "opens",
                   U(seal_ring_opened(g->ring, i)));
    }
    buf_printf(b, "%s; packets that none of them opened: %llu\n",
               g->keys.count > 0 ? "configured"
                                 : "made of the cluster's id, which is no secret (--gossip-key)",
               U(g->counts.dropped_sealed));
}
