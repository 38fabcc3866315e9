/* Pings: whether the other end of a link is there, and how closely that is watched.
 *
 * A link in use is pinged every 200 ms: what is sent on it is lost with it, so no request goes
 * where nothing came from for 500 ms, and 3 s of silence end it. Among many nodes most pairs share
 * no partition and say nothing to each other for hours; a link that carried nothing for a while
 * rests: each end says so and pings rarely. Nothing is taken for granted on a link that rests. It
 * is quiet like any other, and whoever wants to send a request there asks for a ping first, which
 * wakes both ends. That the member behind it died is then told by gossip.
 * [docs/protocol/wire.md, Links that rest]
 */
#include "node/node_internal.h"

enum {
    PING_US = 200 * 1000,
    QUIET_US = 500 * 1000, /* two pings are missing */
    SILENCE_US_MAX = 3 * 1000 * 1000,
    REST_AFTER_US = 5 * 1000 * 1000,
    REST_PING_US = 5 * 1000 * 1000,
    REST_SILENCE_US_MAX = 2 * REST_PING_US + SILENCE_US_MAX,
    FLAGS_AT = 10,   /* behind u8 avoid, u8 features, u64 epoch of the sender's map */
    FLAG_ANSWER = 1, /* ping back at once: the link is wanted */
    FLAG_RESTS = 2,  /* the next one may come after REST_PING_US */
};

bool node_link_quiet(const struct node *n, const struct link *l)
{
    return n->now.mono_us - l->heard_us > QUIET_US;
}

static bool rests(const struct node *n, const struct link *l)
{
    return l->state == LINK_UP && l->peer_rests && n->now.mono_us - l->used_us > REST_AFTER_US;
}

static void send_ping(struct node *n, struct link *l, uint8_t flags)
{
    size_t mark = wire_begin(&l->now, WIRE_PING);

    l->ping_us = n->now.mono_us;
    l->ping_epoch = n->map.epoch;
    put_u8(&l->now, n->phase == NODE_PHASE_STOPPING || !node_writable(n) ? 1 : 0);
    put_u8(&l->now, WIRE_DIGESTS | WIRE_RESTS | (n->gossip != NULL ? WIRE_GOSSIP : 0));
    put_u64le(&l->now, n->map.epoch);
    put_u8(&l->now, flags);
    wire_end(&l->now, mark);
}

void node_ping_used(struct node *n, struct link *l)
{
    l->used_us = n->now.mono_us;
    if (l->peer_resting) {
        /* It wakes when that arrives; from now on its silence counts like any other's. */
        l->peer_resting = false;
        l->roused_us = n->now.mono_us;
    }
}

void node_ping_rouse(struct node *n, struct link *l)
{
    if (l->peer_resting) {
        SOMETIMES_RARE(true, "node_ping: a link that rested is wanted", MARK_NOT_DUE,
                       "node_rest_test.c: in a run all nodes have partitions in common");
        node_ping_used(n, l);
        send_ping(n, l, FLAG_ANSWER);
    }
}

bool node_ping_silent(const struct node *n, const struct link *l)
{
    uint64_t since = l->heard_us > l->roused_us ? l->heard_us : l->roused_us;

    return n->now.mono_us - since > (l->peer_resting ? REST_SILENCE_US_MAX : SILENCE_US_MAX);
}

/* Whether the link is wanted, and whether the peer watches it. */
static void take_flags(struct node *n, struct link *l, uint8_t flags)
{
    /* One that was under way when this end began to use the link says nothing any more. */
    l->peer_resting = (flags & FLAG_RESTS) != 0 && n->now.mono_us - l->used_us > SILENCE_US_MAX;
    if ((flags & FLAG_ANSWER) != 0) {
        node_ping_used(n, l);
        send_ping(n, l, 0);
    }
    if (l->roused_us != 0 && !l->peer_resting) {
        l->roused_us = 0;
        node_route_drain_all(n); /* what waited for this */
    }
}

void node_ping_frame(struct node *n, struct link *l, struct slice payload)
{
    uint8_t features = payload.len > 1 ? payload.data[1] : 0;

    l->avoid = payload.len > 0 && payload.data[0] != 0;
    l->digests = (features & WIRE_DIGESTS) != 0;
    l->gossips = (features & WIRE_GOSSIP) != 0;
    l->peer_rests = (features & WIRE_RESTS) != 0;
    if (payload.len >= FLAGS_AT) {
        l->map_epoch = load_u64le(payload.data + 2);
    }
    if (l->state != LINK_UP) {
        return;
    }
    if (n->map.partitions > 0 && l->map_epoch < n->map.epoch && l->map_told < n->map.epoch) {
        SOMETIMES(true, "node_link: a node that lags is told the map");
        node_link_say_map(n, l);
    }
    take_flags(n, l, payload.len > FLAGS_AT ? payload.data[FLAGS_AT] : 0);
    node_gossip_greet(n, l);
}

void node_ping_tick(struct node *n, struct link *l)
{
    bool resting = rests(n, l);

    if (n->now.mono_us - l->ping_us < (resting ? REST_PING_US : PING_US) && resting == l->resting) {
        return;
    }
    SOMETIMES_RARE(resting && !l->resting, "node_ping: a link begins to rest", MARK_NOT_DUE,
                   "node_rest_test.c: in a run all nodes have partitions in common");
    l->resting = resting;
    send_ping(n, l, resting ? FLAG_RESTS : 0);
    /* Said again: the peer may not have had the map when it was said first. */
    for (uint32_t p = 0; p < n->map.partitions && n->groups != NULL; p++) {
        if (node_group_leads(&n->groups[p])) {
            node_group_tell_leader(&n->groups[p], l);
        }
    }
}
