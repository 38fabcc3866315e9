#include "node_trio.h"

#include "base/base_hash.h"
#include "base/base_mem.h"
#include "node/node_internal.h"

#include <stdio.h>

enum { SET_US = 10 * 1000 * 1000 };

static unsigned number_of(const struct trio *t, const struct rig *r)
{
    return (unsigned)(r - t->at);
}

/* ---- what a node does to its connections ---- */

static struct trio_line *line_of(struct trio *t, unsigned node, uint64_t conn, uint8_t *end)
{
    for (uint32_t i = t->line_count; i-- > 0;) {
        for (*end = 0; *end < 2; (*end)++) {
            if (t->lines[i].node[*end] == node && t->lines[i].conn[*end] == conn) {
                return &t->lines[i];
            }
        }
    }
    return NULL;
}

static void packet_push(struct trio *t, struct trio_packet p)
{
    MEM_GROW(t->packets, t->packet_count, t->packet_cap);
    t->packets[t->packet_count++] = p;
}

static void dial(struct trio *t, unsigned from, const struct node_effect *e)
{
    unsigned to = 0;

    while (to < TRIO && strcmp(t->at[to].cfg.peer_addr, e->addr) != 0) {
        to++;
    }
    CHECK(t->line_count < TRIO_LINES_MAX);
    if (to == TRIO) { /* nobody is there */
        t->lines[t->line_count++] = (struct trio_line){
            .node = {(uint8_t)from, (uint8_t)from}, .conn = {e->conn, 0}, .over = {false, true}};
        return;
    }
    t->lines[t->line_count++] =
        (struct trio_line){.node = {(uint8_t)from, (uint8_t)to}, .conn = {e->conn, 0}};
}

struct swim_addr trio_addr(unsigned node)
{
    return (struct swim_addr){
        .ip = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1},
        .port = (uint16_t)(17000 + node),
    };
}

static void datagram_push(struct trio *t, unsigned from, unsigned to, struct buf *data)
{
    if (t->deaf[from][to] || t->at[to].node == NULL) {
        t->datagrams_lost++;
        buf_free(data);
        return;
    }
    if (t->datagram_count == t->datagram_cap) {
        t->datagram_cap = t->datagram_cap == 0 ? 16 : 2 * t->datagram_cap;
        t->datagrams = mem_realloc(t->datagrams, t->datagram_cap * sizeof t->datagrams[0]);
    }
    t->datagrams[t->datagram_count++] =
        (struct trio_datagram){.from = (uint8_t)from, .to = (uint8_t)to, .data = *data};
    *data = (struct buf){0};
}

void trio_datagram(struct trio *t, unsigned from, unsigned to, struct slice bytes)
{
    struct buf data = {0};

    buf_append_slice(&data, bytes);
    datagram_push(t, from, to, &data);
}

void trio_deafen(struct trio *t, unsigned node, bool deaf)
{
    for (unsigned i = 0; i < TRIO; i++) {
        t->deaf[node][i] = t->deaf[i][node] = deaf && i != node;
    }
}

static void datagrams_deliver(struct trio *t, unsigned node)
{
    size_t kept = 0;

    for (size_t i = 0; i < t->datagram_count; i++) {
        struct trio_datagram d = t->datagrams[i];
        struct swim_addr from = trio_addr(d.from);

        if (d.to != node) {
            t->datagrams[kept++] = d;
            continue;
        }
        if (t->harm) {
            d.data.data[(7 * i + d.data.len / 2) % d.data.len] ^= 4;
        }
        node_packet(t->at[node].node, &from, d.data.data, d.data.len);
        buf_free(&d.data);
    }
    t->datagram_count = kept;
}

static void on_effect(struct rig *r, struct node_effect *e)
{
    struct trio *t = r->peers_arg;
    unsigned from = number_of(t, r);
    struct trio_line *line;
    uint8_t end;

    if (e->kind == NODE_DIAL) {
        dial(t, from, e);
        return;
    }
    if (e->kind == NODE_PACKET) {
        CHECK(e->to.port >= 17000 && e->to.port < 17000 + TRIO);
        CHECK(e->data.len <= NODE_PACKET_BYTES_MAX);
        datagram_push(t, from, e->to.port - 17000U, &e->data);
        return;
    }
    line = line_of(t, from, e->conn, &end);
    CHECK(line != NULL);
    if (e->kind == NODE_CLOSE) {
        line->over[end] = true;
        return;
    }
    packet_push(
        t, (struct trio_packet){
               .line = (uint32_t)(line - t->lines), .from = end, .gate = e->gate, .data = e->data});
    e->data = (struct buf){0};
}

/* ---- what happens to a node ---- */

static bool passes(const struct trio *t, const struct trio_line *l)
{
    return !t->cut[l->node[0]][l->node[1]] && !t->cut[l->node[1]][l->node[0]];
}

static bool carries(const struct trio *t, const struct trio_packet *p)
{
    const struct trio_line *l = &t->lines[p->line];

    return !t->cut[l->node[p->from]][l->node[1 - p->from]] &&
           p->gate <= t->at[l->node[p->from]].durable;
}

static void deliver(struct trio *t, unsigned node)
{
    size_t kept = 0;

    for (size_t i = 0; i < t->packet_count; i++) {
        struct trio_packet p = t->packets[i];
        struct trio_line *l = &t->lines[p.line];
        uint8_t to = 1 - p.from;

        if (l->node[to] == node && l->over[to]) {
            buf_free(&p.data);
        } else if (l->node[to] == node && carries(t, &p)) {
            node_received(t->at[node].node, l->conn[to], p.data.data, p.data.len);
            buf_free(&p.data);
        } else {
            t->packets[kept++] = p;
        }
    }
    t->packet_count = kept;
}

static void lines_change(struct trio *t, unsigned node)
{
    struct node *n = t->at[node].node;

    for (uint32_t i = 0; i < t->line_count; i++) {
        struct trio_line *l = &t->lines[i];

        if (!passes(t, l)) {
            continue;
        }
        if (l->node[1] == node && l->conn[1] == 0 && !l->over[0] && !l->over[1]) {
            l->conn[1] = 3 + 2 * t->accepted++;
            node_accepted(n, l->conn[1], NODE_CONN_PEER, "a peer");
        }
        if (l->node[0] == node && l->conn[1] != 0 && !l->told && !l->over[0]) {
            l->told = true;
            node_dialed(n, l->conn[0]);
        }
        for (unsigned end = 0; end < 2; end++) {
            if (l->node[end] == node && l->conn[end] != 0 && l->over[1 - end] && !l->over[end]) {
                l->over[end] = true;
                node_closed(n, l->conn[end], "closed by the peer");
            }
        }
    }
}

static void turn(struct trio *t, unsigned node)
{
    struct rig *r = &t->at[node];

    if (r->node == NULL) {
        r->now.mono_us += t->turn_us;
        r->now.wall_ms += t->turn_us / 1000;
        return;
    }
    rig_turn_begin(r, t->turn_us);
    deliver(t, node);
    datagrams_deliver(t, node);
    lines_change(t, node);
    for (uint32_t i = 0; i < t->line_count; i++) { /* nothing waits in a kernel */
        for (unsigned end = 0; end < 2; end++) {
            if (t->lines[i].node[end] == node && !t->lines[i].over[end]) {
                node_sent(r->node, t->lines[i].conn[end], 0);
            }
        }
    }
    node_tick(r->node);
    rig_turn_end(r);
}

void trio_run(struct trio *t, uint64_t us)
{
    for (uint64_t gone = 0; gone < us; gone += t->turn_us) {
        for (unsigned i = 0; i < TRIO; i++) {
            turn(t, i);
        }
    }
}

void trio_cut_off(struct trio *t, unsigned node, bool cut)
{
    for (unsigned i = 0; i < TRIO; i++) {
        t->cut[node][i] = t->cut[i][node] = cut && i != node;
    }
}

void trio_inject(struct trio *t, unsigned from, unsigned to, struct slice bytes)
{
    for (uint32_t i = t->line_count; i-- > 0;) {
        const struct trio_line *l = &t->lines[i];
        uint8_t end = l->node[0] == from ? 0 : 1;

        if (l->told && !l->over[0] && !l->over[1] && l->node[end] == from &&
            l->node[1 - end] == to) {
            struct buf data = {0};

            buf_append(&data, bytes.data, bytes.len);
            packet_push(t, (struct trio_packet){.line = i, .from = end, .data = data});
            return;
        }
    }
    UNREACHABLE("no connection between them");
}

/* ---- life ---- */

void trio_kill(struct trio *t, unsigned node)
{
    for (size_t i = 0; i < t->packet_count; i++) {
        struct trio_packet *p = &t->packets[i];

        if (t->lines[p->line].node[p->from] == node) {
            p->data.len = 0;
            p->gate = 0;
        }
    }
    for (uint32_t i = 0; i < t->line_count; i++) {
        for (unsigned end = 0; end < 2; end++) {
            t->lines[i].over[end] = t->lines[i].over[end] || t->lines[i].node[end] == node;
        }
    }
    rig_kill(&t->at[node]);
}

void trio_start(struct trio *t, unsigned node)
{
    struct diag why;

    CHECK(rig_start(&t->at[node], &why) == ERR_OK);
    rig_client(&t->at[node]);
}

void trio_readdress(struct trio *t, unsigned node, unsigned port)
{
    struct rig *r = &t->at[node];

    (void)snprintf(r->cfg.client_addr, sizeof r->cfg.client_addr, "127.0.0.1:70%u%u", port, node);
    (void)snprintf(r->cfg.peer_addr, sizeof r->cfg.peer_addr, "127.0.0.1:170%u%u", port, node);
}

static void rig_prepare(struct trio *t, unsigned node, uint64_t election_us, bool gossip)
{
    struct rig *r = &t->at[node];

    r->number = (uint8_t)node;
    r->peers = on_effect;
    r->peers_arg = t;
    r->now = (struct node_time){.mono_us = 1000000, .wall_ms = 1700000000000};
    node_config_defaults(&r->cfg);
    if (election_us != 0) {
        r->cfg.election_us_min = election_us;
        r->cfg.election_us_max = 2 * election_us;
    }
    if (gossip) {
        r->cfg.packet_addr = trio_addr(node);
        r->cfg.gossip_probe_us = 200000;
        r->deep_off = true; /* such tests are long, and not about content */
    }
    r->cfg.start = NODE_START_FOUND;
    r->cfg.partitions = 4;
    r->cfg.replicas = t->replicas;
    r->cfg.segment_bytes = 64 << 10;
    (void)snprintf(r->cfg.client_addr, sizeof r->cfg.client_addr, "127.0.0.1:700%u", node);
    (void)snprintf(r->cfg.peer_addr, sizeof r->cfg.peer_addr, "127.0.0.1:1700%u", node);
    r->cfg.seed_count = TRIO;
    for (unsigned i = 0; i < TRIO; i++) {
        (void)snprintf(r->cfg.seeds[i], sizeof r->cfg.seeds[i], "127.0.0.1:1700%u", i);
    }
}

struct how {
    uint64_t election_us; /* 0: as usual */
    bool gossip;
    unsigned founders;
    uint32_t replicas;
};

static void open_trio(struct trio *t, struct how how)
{
    unsigned founders = how.founders;
    bool ready = false;

    *t = (struct trio){.turn_us = how.gossip ? NODE_TICK_US : TRIO_TURN_US,
                       .replicas = how.replicas};
    for (unsigned i = 0; i < TRIO; i++) {
        struct diag why;

        rig_prepare(t, i, how.election_us, how.gossip);
        t->at[i].cfg.seed_count = founders;
        if (i >= founders) {
            t->at[i].cfg.start = NODE_START_JOIN;
            continue;
        }
        CHECK(rig_start(&t->at[i], &why) == ERR_OK);
    }
    for (unsigned i = 0; i < 100 && !ready; i++) {
        trio_run(t, 100000);
        ready = true;
        for (unsigned k = 0; k < founders; k++) {
            ready = ready && node_ready(t->at[k].node);
        }
    }
    CHECK(ready);
    for (unsigned i = 0; i < founders; i++) {
        rig_client(&t->at[i]);
    }
}

void trio_open(struct trio *t, uint64_t election_us)
{
    open_trio(t, (struct how){election_us, false, TRIO, TRIO});
}

void trio_open_some(struct trio *t, unsigned founders)
{
    open_trio(t, (struct how){0, false, founders, TRIO});
}

void trio_open_gossip(struct trio *t)
{
    open_trio(t, (struct how){0, true, TRIO, TRIO});
}

void trio_open_apart(struct trio *t)
{
    open_trio(t, (struct how){0, false, TRIO, 1});
}

void trio_close(struct trio *t)
{
    for (unsigned i = 0; i < TRIO; i++) {
        rig_close(&t->at[i]);
    }
    for (size_t i = 0; i < t->packet_count; i++) {
        buf_free(&t->packets[i].data);
    }
    mem_free(t->packets);
    for (size_t i = 0; i < t->datagram_count; i++) {
        buf_free(&t->datagrams[i].data);
    }
    mem_free(t->datagrams);
    *t = (struct trio){0};
}

/* ---- asking ---- */

const char *trio_ask(struct trio *t, unsigned node, const char *bytes, uint64_t us)
{
    struct rig *r = &t->at[node];

    r->out.len = 0;
    rig_send(r, bytes, strlen(bytes));
    for (uint64_t gone = 0; gone < us && r->out.len == 0; gone += t->turn_us) {
        trio_run(t, t->turn_us);
    }
    put_u8(&r->out, 0);
    return (const char *)r->out.data;
}

uint32_t trio_partition(struct trio *t, const char *key)
{
    unsigned alive = 0;

    while (t->at[alive].node == NULL) {
        alive++;
    }
    return node_partition_of_slot(t->at[alive].node, hashslot_of_key(slice_str(key)));
}

unsigned trio_leader(struct trio *t, const char *key)
{
    unsigned leader = TRIO;

    for (unsigned i = 0; i < TRIO; i++) {
        if (t->at[i].node == NULL ||
            !node_group_leads(&t->at[i].node->groups[trio_partition(t, key)])) {
            continue;
        }
        if (leader != TRIO) {
            return TRIO;
        }
        leader = i;
    }
    return leader;
}

unsigned trio_open_led(struct trio *t, uint64_t election_us)
{
    unsigned leader;

    trio_open(t, election_us);
    leader = trio_leader(t, "a");
    CHECK(leader < TRIO);
    return leader;
}

struct group *trio_group(struct trio *t, unsigned node)
{
    return &t->at[node].node->groups[trio_partition(t, "a")];
}

void trio_set(struct trio *t, unsigned node, unsigned i)
{
    char text[64];

    (void)snprintf(text, sizeof text, "SET a %u\r\n", i);
    CHECK(strcmp(trio_ask(t, node, text, SET_US), "+OK\r\n") == 0);
}
