#include "sim/sim_net.h"

#include "sim/sim_world.h"
#include "wire/wire.h"

static void pump(struct sim_world *w, uint64_t conn_dir, uint64_t unused);

static uint32_t place_of(const struct sim_end *e)
{
    return e->is_host ? e->who : (uint32_t)SIM_PLACE_CLIENTS;
}

static void flow_drop(struct sim_flow *f)
{
    for (size_t i = 0; i < f->count; i++) {
        buf_free(&f->pieces[f->first + i].data);
    }
    mem_free(f->pieces);
    buf_free(&f->frames);
    buf_free(&f->late);
    *f = (struct sim_flow){.pumping = f->pumping, .hello_sent = f->hello_sent};
}

static void conn_drop_bytes(struct sim_conn *c)
{
    for (unsigned i = 0; i < 2; i++) {
        flow_drop(&c->flow[i]);
        buf_free(&c->end[i].waiting);
    }
}

void sim_net_init(struct sim_world *w)
{
    for (uint32_t from = 0; from < SIM_PLACES; from++) {
        for (uint32_t to = 0; to < SIM_PLACES; to++) {
            w->net.dice[from][to] = sim_dice(w, SIM_FOR_LINK, sim_name(from, to));
        }
    }
}

void sim_net_free(struct sim_net *net)
{
    for (uint32_t i = 0; i < net->count; i++) {
        conn_drop_bytes(net->conns[i]);
        mem_free(net->conns[i]);
    }
    for (unsigned i = 0; i < SIM_HOSTS_MAX; i++) {
        map64_free(&net->numbers[i]);
    }
    mem_free(net->conns);
    *net = (struct sim_net){0};
}

static uint32_t conn_new(struct sim_net *net)
{
    if (net->count == net->cap) {
        net->cap = net->cap == 0 ? 64 : net->cap * 2;
        net->conns = mem_realloc(net->conns, net->cap * sizeof net->conns[0]);
    }
    net->conns[net->count] = MEM_NEW(struct sim_conn);
    return net->count++;
}

static void number_put(struct sim_net *net, uint32_t host, uint64_t number, uint32_t conn)
{
    void *old = map64_put(&net->numbers[host], number, (void *)((uintptr_t)conn + 1));

    CHECK(old == NULL);
}

/* The conn and which end of it; NULL: the number is dead. */
static struct sim_conn *number_find(struct sim_net *net, const struct sim_host *h, uint64_t number,
                                    uint32_t *conn, unsigned *end)
{
    void *v = map64_get(&net->numbers[h->id], number);
    struct sim_conn *c;

    if (v == NULL) {
        return NULL;
    }
    *conn = (uint32_t)((uintptr_t)v - 1);
    c = net->conns[*conn];
    *end = c->end[0].is_host && c->end[0].who == h->id && c->end[0].number == number &&
                   c->end[0].life == h->life
               ? 0
               : 1;
    CHECK(c->end[*end].number == number);
    return c;
}

static uint64_t link_latency_us(struct sim_world *w, uint32_t from, uint32_t to)
{
    struct prng *dice = &w->net.dice[from][to];
    uint64_t us = 1 + w->opt.latency_us;

    if (w->opt.jitter_us > 0) {
        us += prng_below(dice, w->opt.jitter_us);
        if (w->phase == SIM_FAULTS && prng_chance(dice, 1, 200)) {
            us += prng_below(dice, 20 * w->opt.jitter_us);
        }
    }
    return us + w->net.slow_us[from][to];
}

/* --- ends learn of things --- */

static void tell_end(struct sim_world *w, uint64_t conn_end, uint64_t why)
{
    static const char *const reasons[] = {"connection reset by peer", "connection refused",
                                          "connection timed out", "closed by peer"};
    struct sim_conn *c = w->net.conns[conn_end >> 1];
    struct sim_end *e = &c->end[conn_end & 1];
    struct sim_input in = {.kind = SIM_IN_CLOSED, .number = e->number, .reason = reasons[why]};

    if (!e->attached) {
        return;
    }
    e->attached = false;
    buf_free(&e->waiting);
    sim_trace(w, 0xc105ed, conn_end);
    if (!e->is_host) {
        sim_client_closed(w, e->who, (uint32_t)(conn_end >> 1));
        return;
    }
    if (w->hosts[e->who].node != NULL && w->hosts[e->who].life == e->life) {
        sim_say(w, SIM_LOG_FULL, "n%u conn %lu: %s", e->who, e->number, reasons[why]);
        sim_host_input(w, &w->hosts[e->who], &in, true);
    }
}
enum { WHY_RESET, WHY_REFUSED, WHY_TIMEOUT, WHY_FIN };

static void tell_end_in(struct sim_world *w, uint64_t us, uint32_t conn, unsigned end, unsigned why)
{
    sim_in(w, us, tell_end, (uint64_t)conn << 1 | end, why);
}

static void conn_break(struct sim_world *w, uint32_t conn, uint64_t tell0_us, uint64_t tell1_us)
{
    struct sim_conn *c = w->net.conns[conn];

    if (c->broken) {
        return;
    }
    c->broken = true;
    conn_drop_bytes(c);
    tell_end_in(w, tell0_us, conn, 0, WHY_RESET);
    tell_end_in(w, tell1_us, conn, 1, WHY_RESET);
}

/* --- bytes --- */

static struct prng *dice_of(struct sim_world *w, uint32_t conn, unsigned dir)
{
    const struct sim_conn *c = w->net.conns[conn];

    return &w->net.dice[place_of(&c->end[dir])][place_of(&c->end[1 - dir])];
}

static void tell_unsent(struct sim_world *w, struct sim_end *e, struct sim_flow *f)
{
    size_t unsent = f->in_flight > SIM_KERNEL_BYTES ? f->in_flight - SIM_KERNEL_BYTES : 0;
    struct sim_input in = {.kind = SIM_IN_SENT, .number = e->number, .unsent = unsent};
    struct sim_host *h;

    if (!e->is_host || !e->attached || (unsent == f->unsent_told && unsent != 0)) {
        return;
    }
    h = &w->hosts[e->who];
    if (h->node != NULL && h->life == e->life) {
        /* Falling to nothing from something is news; a send that left at once is not. */
        sim_host_input(w, h, &in, f->unsent_told != 0);
    }
    f->unsent_told = unsent;
}

static void pump_at(struct sim_world *w, uint32_t conn, unsigned dir, uint64_t at_us)
{
    w->net.conns[conn]->flow[dir].pumping = true;
    sim_at(w, at_us < w->now_us ? w->now_us : at_us, pump, (uint64_t)conn << 1 | dir, 0);
}

static void flow_put(struct sim_world *w, uint32_t conn, unsigned dir, struct sim_piece piece)
{
    struct sim_conn *c = w->net.conns[conn];
    struct sim_flow *f = &c->flow[dir];
    uint64_t arrives = w->now_us +
                       link_latency_us(w, place_of(&c->end[dir]), place_of(&c->end[1 - dir])) +
                       piece.data.len / 100; /* 100 MB/s */

    if (arrives < f->last_arrival_us) {
        arrives = f->last_arrival_us;
    }
    f->last_arrival_us = piece.arrives_us = arrives;
    if (f->first + f->count == f->cap) {
        if (f->first > f->cap / 2) {
            memmove(f->pieces, f->pieces + f->first, f->count * sizeof f->pieces[0]);
            f->first = 0;
        } else {
            f->cap = f->cap == 0 ? 8 : f->cap * 2;
            f->pieces = mem_realloc(f->pieces, f->cap * sizeof f->pieces[0]);
        }
    }
    f->in_flight += piece.data.len;
    f->pieces[f->first + f->count++] = piece;
    if (!f->pumping) {
        pump_at(w, conn, dir, f->pieces[f->first].arrives_us);
    }
}

/* Takes data. */
static void flow_bytes(struct sim_world *w, uint32_t conn, unsigned dir, struct buf *data)
{
    struct prng *dice = dice_of(w, conn, dir);

    w->net.bytes += data->len;
    while (data->len > 1 && prng_chance(dice, w->opt.cut_permille, 1000)) {
        struct sim_piece part = {0};
        size_t cut = (size_t)prng_between(dice, 1, data->len - 1);

        buf_append(&part.data, data->data, cut);
        buf_consume(data, cut);
        flow_put(w, conn, dir, part);
    }
    flow_put(w, conn, dir, (struct sim_piece){.data = *data});
    *data = (struct buf){0};
}

static void deliver(struct sim_world *w, struct sim_end *e, uint32_t conn, struct buf *data)
{
    struct sim_input in = {.kind = SIM_IN_RECEIVED, .number = e->number, .data = *data};

    sim_trace(w, 0xde11 + conn, hash64(data->data, data->len));
    if (!e->is_host) {
        sim_client_received(w, e->who, conn, data);
        return;
    }
    if (!e->reading) {
        buf_append_slice(&e->waiting, buf_slice(data));
        buf_free(data);
        return;
    }
    *data = (struct buf){0};
    sim_host_input(w, &w->hosts[e->who], &in, true);
}

static void piece_arrives(struct sim_world *w, uint32_t conn, unsigned dir, struct sim_piece *p)
{
    struct sim_conn *c = w->net.conns[conn];
    struct sim_end *to = &c->end[1 - dir];

    c->flow[dir].in_flight -= p->data.len;
    if (!to->attached) {
        /* Nobody is there any more: the sender is told. */
        buf_free(&p->data);
        tell_end_in(w, link_latency_us(w, place_of(to), place_of(&c->end[dir])), conn, dir,
                    WHY_RESET);
        return;
    }
    if (p->data.len > 0) {
        deliver(w, to, conn, &p->data);
    }
    buf_free(&p->data);
    if (p->fin) {
        tell_end(w, (uint64_t)conn << 1 | (1 - dir), WHY_FIN);
    }
    tell_unsent(w, &c->end[dir], &c->flow[dir]);
}

static void pump(struct sim_world *w, uint64_t conn_dir, uint64_t unused)
{
    uint32_t conn = (uint32_t)(conn_dir >> 1);
    unsigned dir = conn_dir & 1;
    struct sim_conn *c = w->net.conns[conn];
    struct sim_flow *f = &c->flow[dir];

    (void)unused;
    f->pumping = false;
    if (c->broken || w->net.blocked[place_of(&c->end[dir])][place_of(&c->end[1 - dir])]) {
        return; /* sim_net_block(off) pumps again */
    }
    while (f->count > 0 && f->pieces[f->first].arrives_us <= w->now_us && !c->broken) {
        struct sim_piece p = f->pieces[f->first];

        f->first++;
        f->count--;
        piece_arrives(w, conn, dir, &p);
    }
    if (f->count == 0) {
        f->first = 0;
    } else if (!f->pumping && !c->broken) {
        pump_at(w, conn, dir, f->pieces[f->first].arrives_us);
    }
}

/* --- frames, and what may happen to them --- */

static void frame_out(struct sim_world *w, uint32_t conn, unsigned dir, const uint8_t *data,
                      size_t len)
{
    struct buf copy = {0};

    buf_append(&copy, data, len);
    flow_bytes(w, conn, dir, &copy);
}

static void one_frame(struct sim_world *w, uint32_t conn, unsigned dir, const uint8_t *data,
                      size_t len)
{
    struct sim_flow *f = &w->net.conns[conn]->flow[dir];
    struct prng *dice = dice_of(w, conn, dir);
    bool raft = len > 8 && data[8] == WIRE_RAFT && f->hello_sent;
    struct buf late = {0};

    f->hello_sent = true;
    if (raft && prng_chance(dice, w->opt.frame_drop_permille, 1000)) {
        w->net.frames_dropped++;
        return;
    }
    if (raft && f->late.len == 0 && prng_chance(dice, w->opt.frame_late_permille, 1000)) {
        w->net.frames_late++;
        buf_append(&f->late, data, len);
        return;
    }
    frame_out(w, conn, dir, data, len);
    if (raft && prng_chance(dice, w->opt.frame_twice_permille, 1000)) {
        w->net.frames_doubled++;
        frame_out(w, conn, dir, data, len);
    }
    if (raft && f->late.len > 0) {
        late = f->late;
        f->late = (struct buf){0};
        flow_bytes(w, conn, dir, &late);
    }
}

/* Takes data. The struct wire_frame layout is known here alone: u32 length of the
 * rest, u32 checksum, u8 type. */
static void frames_send(struct sim_world *w, uint32_t conn, unsigned dir, struct buf *data)
{
    struct sim_flow *f = &w->net.conns[conn]->flow[dir];
    size_t at = 0;

    buf_append_slice(&f->frames, buf_slice(data));
    buf_free(data);
    while (f->frames.len - at >= 4) {
        size_t len = 4 + (size_t)load_u32le(f->frames.data + at);

        if (len > f->frames.len - at) {
            break;
        }
        one_frame(w, conn, dir, f->frames.data + at, len);
        at += len;
    }
    buf_consume(&f->frames, at);
}

static bool frames_mode(const struct sim_world *w, const struct sim_conn *c, unsigned dir)
{
    return c->peers && w->opt.fault[SIM_FAULT_FRAMES] &&
           (w->phase == SIM_FAULTS || c->flow[dir].frames.len > 0);
}

static void end_send(struct sim_world *w, uint32_t conn, unsigned dir, struct buf *data)
{
    struct sim_conn *c = w->net.conns[conn];

    if (c->broken) {
        /* Half-open until now: the other side's kernel answers with a reset. */
        uint32_t from = place_of(&c->end[dir]);
        uint32_t to = place_of(&c->end[1 - dir]);

        if (!w->net.blocked[from][to] && !w->net.blocked[to][from]) {
            tell_end_in(w, 2 * link_latency_us(w, from, to), conn, dir, WHY_RESET);
        }
        buf_free(data);
        return;
    }
    if (data->len == 0) {
        buf_free(data);
        return;
    }
    if (frames_mode(w, c, dir)) {
        frames_send(w, conn, dir, data);
    } else {
        flow_bytes(w, conn, dir, data);
    }
    tell_unsent(w, &c->end[dir], &c->flow[dir]);
}

void sim_net_send(struct sim_world *w, struct sim_host *h, uint64_t number, struct buf *data)
{
    uint32_t conn;
    unsigned end;
    struct sim_conn *c = number_find(&w->net, h, number, &conn, &end);

    if (c == NULL || !c->end[end].attached) {
        buf_free(data);
        return;
    }
    if (!c->established && end == 0) {
        sim_found(w, "n%u sends on connection %lu before it was dialed", h->id, number);
        buf_free(data);
        return;
    }
    end_send(w, conn, end, data);
}

/* --- opening and closing --- */

static void dial_arrives(struct sim_world *w, uint64_t conn, uint64_t host);

static void dialed(struct sim_world *w, uint64_t conn, uint64_t unused)
{
    struct sim_end *e = &w->net.conns[conn]->end[0];
    struct sim_input in = {.kind = SIM_IN_DIALED, .number = e->number};

    (void)unused;
    if (!e->attached || w->net.conns[conn]->broken) {
        return;
    }
    w->net.conns[conn]->established = true;
    if (e->is_host) {
        sim_host_input(w, &w->hosts[e->who], &in, true);
    } else {
        sim_client_connected(w, e->who, (uint32_t)conn);
    }
}

static void dial_arrives(struct sim_world *w, uint64_t conn, uint64_t host)
{
    struct sim_conn *c = w->net.conns[conn];
    struct sim_host *h = &w->hosts[host];
    uint32_t from = place_of(&c->end[0]);
    struct sim_input in = {.kind = SIM_IN_ACCEPTED,
                           .conn_kind = c->peers ? NODE_CONN_PEER : NODE_CONN_CLIENT};
    uint64_t back_us = link_latency_us(w, (uint32_t)host, from);

    if (!c->end[0].attached) {
        c->broken = true;
        return;
    }
    if (w->net.blocked[from][host] || w->net.blocked[host][from]) {
        c->broken = true;
        tell_end_in(w, prng_between(&w->net.dice[from][host], 500000, 3000000), (uint32_t)conn, 0,
                    WHY_TIMEOUT);
        return;
    }
    if (h->node == NULL || h->stopping) {
        c->broken = true;
        tell_end_in(w, back_us, (uint32_t)conn, 0, WHY_REFUSED);
        return;
    }
    c->end[1] = (struct sim_end){.is_host = true,
                                 .attached = true,
                                 .reading = true,
                                 .who = h->id,
                                 .life = h->life,
                                 .number = h->odd_number};
    h->odd_number += 2;
    number_put(&w->net, h->id, c->end[1].number, (uint32_t)conn);
    in.number = c->end[1].number;
    if (c->end[0].is_host) {
        sim_host_peer_addr(from, in.addr);
    } else {
        memcpy(in.addr, "10.0.1.1:4000", sizeof "10.0.1.1:4000");
    }
    sim_trace(w, 0xacce, conn);
    sim_host_input(w, h, &in, true);
    sim_in(w, back_us, dialed, conn, 0);
}

void sim_net_dial(struct sim_world *w, struct sim_host *h, uint64_t number, const char *addr)
{
    uint32_t conn = conn_new(&w->net);
    struct sim_conn *c = w->net.conns[conn];
    char peer[NODE_ADDR_MAX];

    c->peers = true;
    c->end[0] = (struct sim_end){.is_host = true,
                                 .attached = true,
                                 .reading = true,
                                 .who = h->id,
                                 .life = h->life,
                                 .number = number};
    CHECK(number % 2 == 0);
    number_put(&w->net, h->id, number, conn);
    for (uint32_t i = 0; i < w->opt.hosts; i++) {
        sim_host_peer_addr(i, peer);
        if (strcmp(peer, addr) == 0) {
            sim_in(w, link_latency_us(w, h->id, i), dial_arrives, conn, i);
            return;
        }
    }
    sim_found(w, "n%u dials %s, where nobody ever was", h->id, addr);
}

static void end_close(struct sim_world *w, uint32_t conn, unsigned end)
{
    struct sim_conn *c = w->net.conns[conn];

    if (!c->end[end].attached) {
        return;
    }
    c->end[end].attached = false;
    buf_free(&c->end[end].waiting);
    if (!c->broken && c->end[1 - end].attached) {
        flow_put(w, conn, end, (struct sim_piece){.fin = true});
    }
}

void sim_net_close(struct sim_world *w, struct sim_host *h, uint64_t number)
{
    uint32_t conn;
    unsigned end;
    struct sim_conn *c = number_find(&w->net, h, number, &conn, &end);

    if (c != NULL) {
        (void)map64_remove(&w->net.numbers[h->id], number);
        end_close(w, conn, end);
    }
}

void sim_net_read(struct sim_world *w, struct sim_host *h, uint64_t number, bool on)
{
    uint32_t conn;
    unsigned end;
    struct sim_conn *c = number_find(&w->net, h, number, &conn, &end);
    struct sim_end *e;

    if (c == NULL || !c->end[end].attached) {
        return;
    }
    e = &c->end[end];
    e->reading = on;
    if (on && e->waiting.len > 0) {
        struct buf data = e->waiting;

        e->waiting = (struct buf){0};
        deliver(w, e, conn, &data);
    }
}

bool sim_net_open(struct sim_world *w, struct sim_host *h, uint64_t number, bool last)
{
    bool open = map64_get(&w->net.numbers[h->id], number) != NULL;

    if (open && last) {
        (void)map64_remove(&w->net.numbers[h->id], number);
    }
    return open;
}

void sim_net_host_down(struct sim_world *w, struct sim_host *h, bool power)
{
    for (uint32_t i = 0; i < w->net.count; i++) {
        struct sim_conn *c = w->net.conns[i];

        for (unsigned end = 0; end < 2; end++) {
            struct sim_end *e = &c->end[end];
            uint64_t us;

            if (!e->is_host || !e->attached || e->who != h->id || e->life != h->life) {
                continue;
            }
            e->attached = false;
            /* The kernel of a dead process resets at once; a dead machine says nothing. */
            us = power ? prng_between(&w->rng, 1000, 4000000)
                       : link_latency_us(w, h->id, place_of(&c->end[1 - end]));
            conn_break(w, i, us, us);
        }
    }
    map64_free(&w->net.numbers[h->id]);
    w->net.numbers[h->id] = (struct map64){0};
}

uint32_t sim_net_client_dial(struct sim_world *w, uint32_t client, uint32_t host)
{
    uint32_t conn = conn_new(&w->net);
    struct sim_conn *c = w->net.conns[conn];

    c->end[0] = (struct sim_end){.attached = true, .reading = true, .who = client};
    sim_in(w, link_latency_us(w, SIM_PLACE_CLIENTS, host), dial_arrives, conn, host);
    return conn;
}

void sim_net_client_send(struct sim_world *w, uint32_t conn, struct buf *data)
{
    end_send(w, conn, 0, data);
}

void sim_net_client_close(struct sim_world *w, uint32_t conn)
{
    end_close(w, conn, 0);
}

/* --- faults --- */

static void repump(struct sim_world *w, uint32_t conn, unsigned dir)
{
    struct sim_conn *c = w->net.conns[conn];
    struct sim_flow *f = &c->flow[dir];

    if (!c->broken && f->count > 0 && !f->pumping) {
        pump_at(w, conn, dir,
                w->now_us + link_latency_us(w, place_of(&c->end[dir]), place_of(&c->end[1 - dir])));
    }
}

void sim_net_block(struct sim_world *w, uint32_t from, uint32_t to, bool on)
{
    if (w->net.blocked[from][to] == on) {
        return;
    }
    w->net.blocked[from][to] = on;
    for (uint32_t i = 0; i < w->net.count; i++) {
        struct sim_conn *c = w->net.conns[i];

        for (unsigned dir = 0; dir < 2 && !c->broken; dir++) {
            if (place_of(&c->end[dir]) != from || place_of(&c->end[1 - dir]) != to) {
                continue;
            }
            if (!on) {
                repump(w, i, dir);
            } else if (prng_chance(&w->rng, 1, 2)) {
                /* It will not survive: each side gives up in its own time. */
                conn_break(w, i, prng_between(&w->rng, 1000, 6000000),
                           prng_between(&w->rng, 1000, 6000000));
            }
        }
    }
}

void sim_net_freeze(struct sim_world *w, uint32_t from, uint32_t to)
{
    w->net.blocked[from][to] = true; /* pump() looks at it before each piece */
}

void sim_net_break_one(struct sim_world *w, bool quiet)
{
    uint32_t live = 0;
    uint64_t pick;

    for (uint32_t i = 0; i < w->net.count; i++) {
        live += w->net.conns[i]->established && !w->net.conns[i]->broken;
    }
    if (live == 0) {
        return;
    }
    pick = prng_below(&w->rng, live);
    for (uint32_t i = 0; i < w->net.count; i++) {
        if (w->net.conns[i]->established && !w->net.conns[i]->broken && pick-- == 0) {
            uint64_t most = quiet ? 8000000 : 2000;

            conn_break(w, i, prng_between(&w->rng, 1, most), prng_between(&w->rng, 1, most));
            return;
        }
    }
}

void sim_net_heal(struct sim_world *w)
{
    for (uint32_t from = 0; from < SIM_PLACES; from++) {
        for (uint32_t to = 0; to < SIM_PLACES; to++) {
            sim_net_block(w, from, to, false);
            w->net.slow_us[from][to] = 0;
        }
    }
    for (uint32_t i = 0; i < w->net.count; i++) {
        if (w->net.conns[i]->broken) {
            tell_end_in(w, prng_between(&w->rng, 1, 100000), i, 0, WHY_RESET);
            tell_end_in(w, prng_between(&w->rng, 1, 100000), i, 1, WHY_RESET);
        }
    }
}
