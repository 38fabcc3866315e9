/* Gossip: the node drives core/swim, and makes use of what it says.
 *
 * Small messages travel as sealed datagrams, whole views on the links that are there anyway. A
 * link that comes up is used to compare views, by which nodes learn each other's packet address:
 * nothing is resolved here. Only members of the map are believed, and only they are spoken to.
 * [docs/protocol/swim.md]
 */
#include "node/node_gossip.h"

#include "base/base_hash.h"
#include "base/base_mem.h"

#include <stdio.h>

#define META_INCARNATION "meta/incarnation"

enum {
    LOOK_US = 1000 * 1000,      /* at links, and at what to tell of oneself */
    LOAD_US = 30 * 1000 * 1000, /* a mere change of load is told no more often */
    /* A link that is down for so many probes, and so long, does not come back by itself. */
    LINK_PATIENCE_PROBES = 5,
    LINK_PATIENCE_US_MIN = 2 * 1000 * 1000,
    LEAVE_US_MAX = 1000 * 1000, /* goodbyes take no longer */
    RETRY_US = 1000 * 1000,
    META_VERSION = 1,
    META_WRITABLE = 1,
    META_WHOLE = 2,
};

static struct swim_id swim_id_of(const struct wire_id *id)
{
    struct swim_id out;

    memcpy(out.b, id->b, sizeof out.b);
    return out;
}

static int member_of(const struct node *n, const struct swim_id *id)
{
    struct wire_id wire;

    memcpy(wire.b, id->b, sizeof wire.b);
    return node_member_by_id(n, &wire);
}

/* ---- sealing ---- */

static struct slice cluster_of(const struct node *n)
{
    return (struct slice){n->map.cluster.b, sizeof n->map.cluster.b};
}

/* With no key configured, one made of the cluster's id: it keeps clusters apart, not attackers. */
static void ring_make(struct node *n)
{
    struct gossip *g = n->gossip;
    struct seal_keys of_cluster;

    seal_ring_destroy(g->ring);
    if (g->keys.count > 0) {
        g->ring = seal_ring_create(&g->keys);
        return;
    }
    seal_keys_of_cluster(&of_cluster, cluster_of(n));
    g->ring = seal_ring_create(&of_cluster);
    seal_keys_wipe(&of_cluster);
}

void node_packet_keys(struct node *n, const struct seal_keys *keys)
{
    if (n->gossip != NULL) {
        n->gossip->keys = *keys;
        if (n->gossip->swim != NULL) {
            ring_make(n);
        }
    }
}

static void nonces_begin(struct gossip *g, const uint8_t entropy[32])
{
    uint8_t seed[32];

    seal_hkdf((struct slice){entropy, 32}, (struct slice){NULL, 0}, SLICE("synod packet nonces"),
              seed, sizeof seed);
    seal_nonces_init(&g->nonces, (struct slice){seed, sizeof seed});
    seal_wipe(seed, sizeof seed);
}

/* ---- what a member tells of itself ---- */

/* u8 version, u8 flags, u64 map epoch, u16 partitions here, u16 led; later versions add behind. */
static void load_put(const struct node *n, uint8_t out[GOSSIP_META_BYTES])
{
    uint32_t here = 0, led = 0, rebuilding = 0;

    for (uint32_t p = 0; n->groups != NULL && p < n->map.partitions; p++) {
        here += n->groups[p].here;
        rebuilding += n->groups[p].here && n->groups[p].rebuilding;
        led += node_group_leads(&n->groups[p]);
    }
    out[0] = META_VERSION;
    out[1] = (uint8_t)((node_writable(n) ? META_WRITABLE : 0) | (rebuilding == 0 ? META_WHOLE : 0));
    store_u64le(out + 2, n->map.epoch);
    store_u16le(out + 10, (uint16_t)here);
    store_u16le(out + 12, (uint16_t)led);
}

struct gossip_load gossip_load_of(const struct swim_record *r)
{
    struct gossip_load l = {0};

    if (r->meta_len < GOSSIP_META_BYTES || r->meta[0] == 0) {
        return l;
    }
    l.known = true;
    l.writable = (r->meta[1] & META_WRITABLE) != 0;
    l.whole = (r->meta[1] & META_WHOLE) != 0;
    l.map_epoch = load_u64le(r->meta + 2);
    l.here = load_u16le(r->meta + 10);
    l.led = load_u16le(r->meta + 12);
    return l;
}

/* ---- effects of the engine ---- */

static void send_packet(struct node *n, const struct swim_effect *e)
{
    struct gossip *g = n->gossip;
    uint8_t nonce[SEAL_NONCE_BYTES];
    struct node_effect *out;

    if (e->u.send.addr.port == 0) {
        return;
    }
    g->plain.len = 0;
    wire_put_swim(&g->plain, &e->u.send.msg);
    out = node_effect_push(n, NODE_PACKET);
    out->to = e->u.send.addr;
    seal_nonces_next(&g->nonces, nonce);
    seal_packet(g->ring, nonce, cluster_of(n), buf_slice(&g->plain), &out->data);
    CHECK(out->data.len <= NODE_PACKET_BYTES_MAX);
    g->counts.packets_out++;
    g->counts.packet_bytes_out += out->data.len;
}

/* The link to the member; to whoever is at the address, where no id is given. */
static struct link *stream_to(struct node *n, const struct swim_id *id,
                              const struct swim_addr *addr)
{
    for (uint32_t i = 0; i < n->link_count && i < n->map.member_count; i++) {
        struct link *l = &n->links[i];
        struct swim_id at = swim_id_of(&l->node);
        struct swim_record r;

        if (l->state != LINK_UP || !l->gossips) {
            continue;
        }
        if (swim_id_is_zero(id) ? swim_find(n->gossip->swim, &at, &r) && swim_addr_eq(&r.addr, addr)
                                : swim_id_eq(id, &at)) {
            return l;
        }
    }
    return NULL;
}

static void send_frame(struct node *n, const struct swim_effect *e)
{
    struct link *l = stream_to(n, &e->u.send.msg.to, &e->u.send.addr);
    struct gossip *g = n->gossip;
    size_t mark;

    if (l == NULL) {
        return;
    }
    mark = wire_begin(&l->now, WIRE_SWIM);
    wire_put_swim(&l->now, &e->u.send.msg);
    wire_end(&l->now, mark);
    g->counts.frames_out++;
    g->counts.frame_bytes_out += l->now.len - mark;
}

static void limit_write(struct node *n)
{
    struct gossip *g = n->gossip;
    struct buf body = {0};

    if (g->writing || g->asked <= g->limit || n->now.mono_us < g->retry_us) {
        return;
    }
    g->writing = true;
    g->written = g->asked;
    put_u64le(&body, g->written);
    node_meta_write(n, META_INCARNATION, DISK_USER_INCARNATION, &body);
    buf_free(&body);
}

static void say_change(struct node *n, uint32_t pos, const struct swim_effect *e)
{
    enum swim_state is = e->u.changed.is, was = e->u.changed.was;
    enum node_log_level level =
        is == SWIM_DEAD || is == SWIM_SUSPECT ? NODE_LOG_WARN : NODE_LOG_INFO;
    struct swim_record r;
    bool known = swim_find(n->gossip->swim, &e->u.changed.id, &r);

    node_log(n, level, "msg=\"member is %s\" peer=%s was=%s incarnation=%llu%s%s",
             swim_state_name(is), n->map.members[pos].peer_addr, swim_state_name(was),
             known ? (unsigned long long)r.incarnation : 0ULL,
             known && r.by_stream ? " for=its-connections" : "",
             e->u.changed.refuted ? " denied=yes" : "");
}

static void changed(struct node *n, const struct swim_effect *e)
{
    int pos = member_of(n, &e->u.changed.id);
    struct link *l;

    if (e->u.changed.is == e->u.changed.was || pos < 0 || (uint32_t)pos >= n->link_count) {
        return;
    }
    l = &n->links[pos];
    l->state_since = n->now.wall_ms;
    say_change(n, (uint32_t)pos, e);
    if (e->u.changed.is == SWIM_DEAD && l->state == LINK_UP && node_link_quiet(n, l)) {
        /* What waits for an answer of the dead goes elsewhere; the link is dialed for ever. */
        node_link_drop(n, l, "the other members hold it dead");
    } else if (e->u.changed.is == SWIM_ALIVE && l->state == LINK_DOWN) {
        l->retry_us = n->now.mono_us;
        l->failures = 0;
    }
}

static void run_effects(struct node *n)
{
    struct gossip *g = n->gossip;

    for (uint32_t i = 0; i < g->fx.count; i++) {
        const struct swim_effect *e = &g->fx.at[i];

        switch (e->kind) {
        case SWIM_SEND:
            send_packet(n, e);
            break;
        case SWIM_SEND_STREAM:
            send_frame(n, e);
            break;
        case SWIM_PERSIST:
            g->asked = e->u.limit;
            break;
        case SWIM_CHANGED:
            changed(n, e);
            break;
        case SWIM_GONE:
            g->gone = true;
            break;
        }
    }
    swim_effects_clear(&g->fx);
    limit_write(n);
}

/* ---- what arrives ---- */

/* Records of those whom the map does not know are left out. False: the message itself is from or
 * about such a one. */
static bool believe(struct node *n, struct swim_msg *m)
{
    struct gossip *g = n->gossip;
    uint32_t kept = 0;

    if (member_of(n, &m->from) < 0 || (m->kind == SWIM_PING_REQ && member_of(n, &m->target) < 0)) {
        g->counts.dropped_foreign++;
        return false;
    }
    for (uint32_t i = 0; i < m->record_count; i++) {
        if (member_of(n, &g->records.at[i].id) >= 0) {
            g->records.at[kept++] = g->records.at[i];
        } else {
            g->counts.records_foreign++;
        }
    }
    m->record_count = kept;
    return true;
}

static void step(struct node *n, const struct swim_msg *m, const struct swim_addr *addr)
{
    struct gossip *g = n->gossip;
    enum err err = swim_step(g->swim, n->now.mono_us, m, addr, &g->fx);

    g->counts.dropped_foreign += err == ERR_MISROUTED ? 1 : 0;
    g->counts.dropped_garbled += err == ERR_BAD_INPUT ? 1 : 0;
    run_effects(n);
}

void node_packet(struct node *n, const struct swim_addr *from, const uint8_t *data, size_t len)
{
    struct gossip *g = n->gossip;
    struct swim_msg m;

    if (g == NULL || g->swim == NULL || n->phase == NODE_PHASE_STOPPED) {
        return;
    }
    g->counts.packets_in++;
    g->counts.packet_bytes_in += len;
    g->plain.len = 0;
    if (seal_open(g->ring, cluster_of(n), (struct slice){data, len}, &g->plain) != ERR_OK) {
        g->counts.dropped_sealed++;
        return;
    }
    if (wire_get_swim(buf_slice(&g->plain), &m, &g->records) != ERR_OK ||
        swim_msg_is_stream(m.kind)) {
        g->counts.dropped_garbled++;
        return;
    }
    if (believe(n, &m)) {
        int pos = member_of(n, &m.from);

        if ((uint32_t)pos < n->link_count) {
            n->links[pos].packet_us = n->now.mono_us;
        }
        step(n, &m, from);
    }
}

void node_gossip_frame(struct node *n, struct link *l, struct slice payload)
{
    struct gossip *g = n->gossip;
    struct swim_id peer = swim_id_of(&l->node);
    struct swim_addr addr = {0};
    struct swim_record r;
    struct swim_msg m;

    if (g == NULL || g->swim == NULL) {
        return; /* it asks again */
    }
    if (wire_get_swim(payload, &m, &g->records) != ERR_OK || !swim_msg_is_stream(m.kind) ||
        !swim_id_eq(&m.from, &peer)) {
        node_link_garbled(n, l, "a message of the membership that cannot be read");
        return;
    }
    g->counts.frames_in++;
    if (!believe(n, &m)) {
        return;
    }
    if (swim_find(g->swim, &m.from, &r)) {
        addr = r.addr;
    }
    for (uint32_t i = 0; i < m.record_count; i++) {
        if (swim_id_eq(&m.records[i].id, &m.from)) {
            addr = m.records[i].addr;
        }
    }
    step(n, &m, &addr);
}

/* ---- life ---- */

static void pace(const struct node *n, struct swim_config *cfg)
{
    const uint64_t probe = n->cfg.gossip_probe_us;

    swim_config_default(cfg);
    cfg->suspicion_mult = n->cfg.gossip_suspicion;
    if (probe == cfg->probe_us) {
        return;
    }
    cfg->probe_us = probe;
    cfg->probe_us_max = 2 * probe;
    cfg->timeout_us = probe / 2;
    cfg->timeout_us_min = probe / 20;
    cfg->gossip_us_min = probe / 10;
    cfg->gossip_us_max = 4 * probe / 10;
    cfg->sync_us = 30 * probe;
    cfg->rejoin_us = 10 * probe;
}

void node_gossip_paced(struct node *n)
{
    struct swim_config cfg;

    if (n->gossip != NULL && n->gossip->swim != NULL) {
        pace(n, &cfg);
        swim_set_pace(n->gossip->swim, &cfg);
    }
}

enum err node_gossip_boot(struct node *n, const struct disk_boot *boot, const uint8_t entropy[32],
                          struct diag *why)
{
    struct buf body = {0};
    bool repair = false;
    enum err err;

    if (n->cfg.packet_addr.port == 0) {
        return ERR_OK;
    }
    n->gossip = MEM_NEW(struct gossip);
    nonces_begin(n->gossip, entropy);
    err = node_meta_read(boot, META_INCARNATION, &body, &repair, why);
    if (err == ERR_OK && body.len >= 8 && load_u64le(body.data) < SWIM_INCARNATION_MAX) {
        n->gossip->limit = PLANTED(INCARNATION_FORGOTTEN) ? 0 : load_u64le(body.data);
    } else if (err != ERR_NOT_FOUND && err != ERR_VERSION) {
        /* It begins below what was said before, and the others tell it how far it must rise. */
        node_log(n, NODE_LOG_WARN,
                 "msg=\"" META_INCARNATION
                 " is damaged and is begun anew; nothing is lost by it\"");
        err = ERR_OK;
    }
    buf_free(&body);
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

void node_gossip_free(struct node *n)
{
    struct gossip *g = n->gossip;

    if (g == NULL) {
        return;
    }
    swim_destroy(g->swim);
    seal_ring_destroy(g->ring);
    seal_keys_wipe(&g->keys);
    seal_wipe(&g->nonces, sizeof g->nonces);
    swim_effects_free(&g->fx);
    wire_swim_records_free(&g->records);
    buf_free(&g->plain);
    mem_free(g);
    n->gossip = NULL;
}

static void begin(struct node *n)
{
    struct gossip *g = n->gossip;
    struct swim_config cfg;

    pace(n, &cfg);
    cfg.self = swim_id_of(&n->id);
    cfg.addr = n->cfg.packet_addr;
    cfg.incarnation_limit = g->limit;
    cfg.seed = prng_next(&n->rng);
    cfg.meta_len = GOSSIP_META_BYTES;
    load_put(n, g->meta);
    memcpy(cfg.meta, g->meta, sizeof g->meta);
    g->began_us = n->now.mono_us;
    g->map_epoch = n->map.epoch;
    ring_make(n);
    g->swim = swim_create(&cfg, n->now.mono_us, &g->fx);
    run_effects(n);
}

void node_gossip_persisted(struct node *n, const struct disk_done *done)
{
    struct gossip *g = n->gossip;

    CHECK(g != NULL && g->writing);
    g->writing = false;
    if (done->err != ERR_OK) {
        g->retry_us = n->now.mono_us + RETRY_US;
        if (!g->speaks) {
            node_log(n, NODE_LOG_WARN,
                     "msg=\"the disk is full: the other members hear nothing of this one before "
                     "its incarnation is written\"");
        }
        return;
    }
    g->limit = g->written;
    g->speaks = true;
    swim_durable(g->swim, n->now.mono_us, g->limit, &g->fx);
    run_effects(n);
}

void node_gossip_greet(struct node *n, struct link *l)
{
    struct gossip *g = n->gossip;
    struct swim_id id = swim_id_of(&l->node);

    if (g == NULL || !g->speaks || l->greeted || !l->gossips || member_of(n, &id) < 0 ||
        PLANTED(VIEWS_UNCOMPARED)) {
        return;
    }
    l->greeted = true;
    swim_greet(g->swim, n->now.mono_us, &id, &g->fx);
    run_effects(n);
}

/* ---- from time to time ---- */

static uint64_t patience_us(const struct node *n)
{
    uint64_t us = LINK_PATIENCE_PROBES * n->cfg.gossip_probe_us;

    return us > LINK_PATIENCE_US_MIN ? us : LINK_PATIENCE_US_MIN;
}

/* Packets of the member arrive and its link stays down: for those who would use it, it is not
 * there, and others must know. */
static void look_at_link(struct node *n, struct link *l)
{
    struct gossip *g = n->gossip;
    uint64_t since = l->lost_us > g->began_us ? l->lost_us : g->began_us;
    struct swim_id id = swim_id_of(&l->node);

    if (l->pos == n->self_pos) {
        return;
    }
    if (l->state == LINK_UP) {
        node_gossip_greet(n, l);
    } else if (l->packet_us > since + LOOK_US &&
               /* not one that was on its way */ n->now.mono_us - since > patience_us(n)) {
        swim_link_failed(g->swim, n->now.mono_us, &id, &g->fx);
    }
}

static bool find_stranger(const struct node *n, struct swim_id *out)
{
    struct swim_record r;
    uint32_t pos = 0;

    while (swim_each(n->gossip->swim, &pos, &r)) {
        if (r.state != SWIM_LEFT && member_of(n, &r.id) < 0) {
            *out = r.id;
            return true;
        }
    }
    return false;
}

/* Who is in the map no more counts as having left. */
static void forget_strangers(struct node *n)
{
    struct gossip *g = n->gossip;
    struct swim_id id;

    if (g->map_epoch == n->map.epoch) {
        return;
    }
    g->map_epoch = n->map.epoch;
    while (find_stranger(n, &id)) {
        swim_forget(g->swim, n->now.mono_us, &id, &g->fx);
    }
}

/* Epoch and flags matter to others soon; the load would have all of them talk all the time. */
static void tell_load(struct node *n)
{
    enum { WHAT_MATTERS = 10 };
    struct gossip *g = n->gossip;
    uint8_t meta[GOSSIP_META_BYTES];

    load_put(n, meta);
    if (memcmp(meta, g->meta,
               n->now.mono_us - g->load_us >= LOAD_US ? sizeof meta : WHAT_MATTERS) == 0) {
        return;
    }
    memcpy(g->meta, meta, sizeof meta);
    g->load_us = n->now.mono_us;
    swim_set_self(g->swim, n->now.mono_us, &n->cfg.packet_addr, (struct slice){meta, sizeof meta},
                  &g->fx);
}

static void look(struct node *n)
{
    n->gossip->look_us = n->now.mono_us + LOOK_US;
    for (uint32_t i = 0; i < n->link_count && i < n->map.member_count; i++) {
        look_at_link(n, &n->links[i]);
    }
    forget_strangers(n);
    tell_load(n);
}

void node_gossip_tick(struct node *n)
{
    struct gossip *g = n->gossip;

    if (g == NULL || (g->swim == NULL && n->phase != NODE_PHASE_SERVING)) {
        return;
    }
    if (g->swim == NULL) {
        begin(n);
        return;
    }
    limit_write(n);
    if (n->now.mono_us >= swim_deadline_us(g->swim)) {
        swim_tick(g->swim, n->now.mono_us, &g->fx);
    }
    if (n->now.mono_us >= g->look_us && g->speaks && !g->leaving) {
        look(n);
    }
    if (g->fx.count > 0) {
        run_effects(n);
    }
}

void node_gossip_leave(struct node *n)
{
    struct gossip *g = n->gossip;

    if (g == NULL || g->swim == NULL || g->leaving) {
        return;
    }
    g->leaving = true;
    g->leave_us = n->now.mono_us;
    swim_leave(g->swim, n->now.mono_us, &g->fx);
    run_effects(n);
}

bool node_gossip_left(const struct node *n)
{
    const struct gossip *g = n->gossip;

    return g == NULL || g->swim == NULL || !g->speaks || g->gone ||
           (g->leaving && n->now.mono_us - g->leave_us >= LEAVE_US_MAX);
}

/* ---- views ---- */

enum swim_state node_gossip_state(const struct node *n, uint32_t pos, struct swim_record *out)
{
    struct swim_id id;
    struct swim_record own;
    struct swim_record *r = out != NULL ? out : &own;

    if (n->gossip == NULL || n->gossip->swim == NULL || pos >= n->map.member_count) {
        return SWIM_UNKNOWN;
    }
    id = swim_id_of(&n->map.members[pos].node);
    return swim_find(n->gossip->swim, &id, r) ? r->state : SWIM_UNKNOWN;
}

bool node_gossip_unwell(const struct node *n, uint32_t pos)
{
    enum swim_state state = node_gossip_state(n, pos, NULL);

    return state != SWIM_ALIVE && state != SWIM_UNKNOWN;
}

const struct swim *node_swim(const struct node *n)
{
    return n->gossip == NULL ? NULL : n->gossip->swim;
}

struct swim_id node_swim_id(const struct node *n)
{
    return swim_id_of(&n->id);
}

struct node_gossip_counts node_gossip_counts(const struct node *n)
{
    return n->gossip == NULL ? (struct node_gossip_counts){0} : n->gossip->counts;
}
