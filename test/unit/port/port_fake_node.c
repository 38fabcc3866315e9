#include "port_fake_node.h"

#include "base/base_map.h"
#include "base/base_mem.h"

#include <stdio.h>
#include <stdlib.h>

enum { BIG_STEP = 64 << 10 };

struct fake_conn {
    uint64_t id, dialer;
    struct buf in;
    uint64_t deaf_until;
    bool dead;
};
struct node {
    struct node_time now;
    struct node_effects fx; /* gathered during the turn */
    struct map64 conns;
    uint64_t ticket, in_flight, next_dial, offset;
    struct node_gauges gauges;
    struct node_config cfg;
    struct fake_counts counts;
    bool in_turn;
};

static struct node_effect *push(struct node *n, enum node_effect_kind kind, uint64_t conn)
{
    MEM_GROW(n->fx.at, n->fx.count, n->fx.cap);
    CHECK(n->fx.at != NULL);
    n->fx.at[n->fx.count] = (struct node_effect){.kind = kind, .conn = conn};
    return &n->fx.at[n->fx.count++];
}

static struct buf *reply(struct node *n, struct fake_conn *c, uint64_t gate)
{
    struct node_effect *last = n->fx.count > 0 ? &n->fx.at[n->fx.count - 1] : NULL;

    if (last != NULL && last->kind == NODE_SEND && last->conn == c->id && last->gate == gate &&
        last->data.len < BIG_STEP) {
        return &last->data;
    }
    struct node_effect *e = push(n, NODE_SEND, c->id);

    e->gate = gate;
    return &e->data;
}

static uint64_t log_write(struct node *n, const char *text)
{
    struct node_effect *e = push(n, NODE_DISK, 0);

    e->op.kind = DISK_WRITE;
    e->op.lane = DISK_LANE_LOG;
    e->op.sync = true;
    e->op.token = ++n->ticket;
    (void)snprintf(e->op.path, sizeof e->op.path, "log/fake");
    e->op.offset = n->offset;
    n->offset = (n->offset + DISK_BLOCK_BYTES) % (8 << 20);
    buf_printf(&e->op.data, "%s", text);
    while (e->op.data.len < DISK_BLOCK_BYTES) {
        put_u8(&e->op.data, 0);
    }
    return n->ticket;
}

static void big(struct node *n, struct fake_conn *c, size_t bytes)
{
    size_t at = 0;

    while (at < bytes) {
        struct node_effect *e = push(n, NODE_SEND, c->id);
        size_t step = bytes - at < BIG_STEP ? bytes - at : BIG_STEP;

        buf_reserve(&e->data, step);
        for (size_t i = 0; i < step; i++) {
            e->data.data[i] = (uint8_t)((at + i) % 251);
        }
        e->data.len = step;
        at += step;
    }
}

static void command(struct node *n, struct fake_conn *c, const char *line)
{
    if (strcmp(line, "PING") == 0) {
        buf_append(reply(n, c, 0), "+PONG\r\n", 7);
    } else if (strcmp(line, "CONFIG") == 0) {
        buf_append(reply(n, c, 0), "-ERR no\r\n", 9); /* redis-benchmark asks */
    } else if (strncmp(line, "ECHO ", 5) == 0) {
        buf_printf(reply(n, c, 0), "%s\r\n", line + 5);
    } else if (strncmp(line, "BIG ", 4) == 0) {
        big(n, c, strtoul(line + 4, NULL, 10));
    } else if (strncmp(line, "SYNC ", 5) == 0) {
        uint64_t gate = log_write(n, line + 5);

        buf_printf(reply(n, c, gate), "%s\r\n", line + 5);
    } else if (strcmp(line, "MIXED") == 0) {
        uint64_t gate = log_write(n, "mixed");

        buf_printf(reply(n, c, gate), "gated\r\n");
        buf_printf(reply(n, c, 0), "free\r\n");
    } else if (strcmp(line, "CLOSE") == 0) {
        buf_printf(reply(n, c, 0), "BYE\r\n");
        (void)push(n, NODE_CLOSE, c->id);
        c->dead = true;
    } else if (strcmp(line, "LASTSYNC") == 0) {
        uint64_t gate = log_write(n, "last");

        buf_printf(reply(n, c, gate), "BYE\r\n");
        (void)push(n, NODE_CLOSE, c->id);
        c->dead = true;
    } else if (strncmp(line, "DEAF ", 5) == 0) {
        c->deaf_until = n->now.mono_us + strtoul(line + 5, NULL, 10) * 1000;
        push(n, NODE_READ, c->id)->on = false;
    } else if (strncmp(line, "DIAL ", 5) == 0) {
        struct fake_conn *d = MEM_NEW(struct fake_conn);
        struct node_effect *e;

        n->next_dial += 2;
        d->id = n->next_dial;
        d->dialer = c->id;
        (void)map64_put(&n->conns, d->id, d);
        e = push(n, NODE_DIAL, d->id);
        (void)snprintf(e->addr, sizeof e->addr, "%s", line + 5);
    } else if (strcmp(line, "CLOSED") == 0) {
        buf_printf(reply(n, c, 0), "%08lu\r\n", n->counts.closed);
    } else if (strcmp(line, "STOP") == 0) {
        node_stop(n);
    }
}

struct node *fake_node_create(void)
{
    return MEM_NEW(struct node);
}

static void conn_free(struct node *n, struct fake_conn *c)
{
    (void)map64_remove(&n->conns, c->id);
    buf_free(&c->in);
    mem_free(c);
}

void fake_node_destroy(struct node *n)
{
    size_t pos = 0;
    uint64_t id;
    void *value;

    while (map64_each(&n->conns, &pos, &id, &value)) {
        buf_free(&((struct fake_conn *)value)->in);
        mem_free(value);
    }
    map64_free(&n->conns);
    node_effects_free(&n->fx);
    mem_free(n);
}

struct fake_counts fake_node_counts(const struct node *n)
{
    return n->counts;
}

void node_begin(struct node *n, struct node_time now)
{
    CHECK(!n->in_turn);
    CHECK(now.mono_us >= n->now.mono_us);
    n->in_turn = true;
    n->now = now;
    n->counts.turns++;
}

void node_accepted(struct node *n, uint64_t conn, enum node_conn_kind kind, const char *addr)
{
    struct fake_conn *c = MEM_NEW(struct fake_conn);

    CHECK(n->in_turn);
    CHECK(conn % 2 == 1);
    CHECK(kind == NODE_CONN_CLIENT || kind == NODE_CONN_PEER);
    CHECK(addr[0] != '\0');
    c->id = conn;
    CHECK(map64_put(&n->conns, conn, c) == NULL);
    n->counts.accepted++;
}

static void answer_dial(struct node *n, struct fake_conn *d, const char *text)
{
    struct fake_conn *c = map64_get(&n->conns, d->dialer);

    if (c != NULL && !c->dead) {
        buf_printf(reply(n, c, 0), "%s\r\n", text);
    }
}

void node_dialed(struct node *n, uint64_t conn)
{
    struct fake_conn *d = map64_get(&n->conns, conn);

    CHECK(d != NULL);
    answer_dial(n, d, "OK");
    (void)push(n, NODE_CLOSE, conn);
    conn_free(n, d);
}

void node_closed(struct node *n, uint64_t conn, const char *reason)
{
    struct fake_conn *c = map64_get(&n->conns, conn);

    if (c == NULL) {
        return; /* our close and its end met in one turn */
    }
    if (conn % 2 == 0) {
        answer_dial(n, c, reason);
    }
    conn_free(n, c);
    n->counts.closed++;
}

void node_received(struct node *n, uint64_t conn, const uint8_t *data, size_t len)
{
    struct fake_conn *c = map64_get(&n->conns, conn);
    size_t at = 0;

    CHECK(n->in_turn);
    CHECK(len > 0);
    if (c == NULL || c->dead) {
        return; /* closed earlier in this turn */
    }
    n->counts.bytes_in += len;
    buf_append(&c->in, data, len);
    for (;;) {
        uint8_t *end = memchr(c->in.data + at, '\n', c->in.len - at);
        size_t line_end;

        if (end == NULL || c->dead) {
            break;
        }
        line_end = (size_t)(end - c->in.data);
        *end = '\0';
        if (line_end > at && c->in.data[line_end - 1] == '\r') {
            c->in.data[line_end - 1] = '\0';
        }
        command(n, c, (const char *)c->in.data + at);
        at = line_end + 1;
    }
    buf_consume(&c->in, at);
    if (c->dead) {
        conn_free(n, c);
    }
}

void node_sent(struct node *n, uint64_t conn, size_t unsent)
{
    if (map64_get(&n->conns, conn) == NULL) {
        return;
    }
    n->counts.sent_reports++;
    n->counts.sent_zero += unsent == 0;
    if (unsent > n->counts.unsent_peak) {
        n->counts.unsent_peak = unsent;
    }
}

/* Back to where it came from. */
void node_packet(struct node *n, const struct swim_addr *from, const uint8_t *data, size_t len)
{
    CHECK(n->in_turn);
    CHECK(len <= NODE_PACKET_BYTES_MAX);
    n->counts.packets++;
    if (len > 0 && data[0] == '!') {
        return; /* told to keep it */
    }
    struct node_effect *e = push(n, NODE_PACKET, 0);

    e->to = *from;
    buf_append(&e->data, data, len);
}

void node_disk_done(struct node *n, const struct disk_done *done)
{
    CHECK(n->in_turn);
    CHECK(done->err == ERR_OK);
    n->counts.disk_done++;
}

void node_tick(struct node *n)
{
    size_t pos = 0;
    uint64_t id;
    void *value;

    n->counts.ticks++;
    while (map64_each(&n->conns, &pos, &id, &value)) {
        struct fake_conn *c = value;

        if (c->deaf_until != 0 && n->now.mono_us >= c->deaf_until) {
            c->deaf_until = 0;
            push(n, NODE_READ, c->id)->on = true;
            buf_printf(reply(n, c, 0), "OK\r\n");
        }
    }
}

void node_stop(struct node *n)
{
    push(n, NODE_STOP, 0)->err = ERR_OK;
}

void node_end(struct node *n, struct node_effects *fx)
{
    struct node_effects taken = *fx;

    CHECK(n->in_turn);
    CHECK(fx->count == 0);
    n->in_turn = false;
    *fx = n->fx;
    taken.count = 0;
    n->fx = taken;
}

void node_effects_free(struct node_effects *fx)
{
    for (size_t i = 0; i < fx->count; i++) {
        buf_free(&fx->at[i].data);
        buf_free(&fx->at[i].op.data);
    }
    mem_free(fx->at);
    *fx = (struct node_effects){0};
}

uint64_t node_deadline_us(const struct node *n)
{
    (void)n;
    return UINT64_MAX;
}

struct node_gauges *node_gauges(struct node *n)
{
    return &n->gauges;
}
