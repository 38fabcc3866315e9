#include "sim/sim_net.h"

#include "sim/sim_world.h"
#include "wire/wire.h"

enum {
    SYN_RETRY_US = 1000000,
    SYN_TRIES = 3,
    NOTICE_US_MAX = 6000000, /* a broken connection that nobody uses */
};

static void pump(struct sim_world *w, uint64_t conn_dir, uint64_t unused);

static bool calm(const struct sim_world *w)
{
    return !sim_faults_on(w);
}

static struct sim_link *link_of(struct sim_world *w, const struct sim_conn *c, unsigned dir)
{
    return &w->net.links[c->end[dir].place][c->end[1 - dir].place];
}

static uint64_t delay_us(struct sim_world *w, uint32_t from, uint32_t to)
{
    return sim_link_delay_us(&w->net.links[from][to], calm(w));
}

static bool cut_between(const struct sim_world *w, uint32_t a, uint32_t b)
{
    return sim_link_cut(&w->net.links[a][b]) || sim_link_cut(&w->net.links[b][a]);
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
    for (unsigned from = 0; from < SIM_PLACES; from++) {
        for (unsigned to = 0; to < SIM_PLACES; to++) {
            sim_link_draw(&w->net.links[from][to], &w->opt,
                          sim_dice(w, SIM_FOR_LINK, sim_name(from, to)));
            w->net.links[from][to].packet_dice = sim_dice(w, SIM_FOR_PACKET, sim_name(from, to));
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
    mem_free(net->live);
    *net = (struct sim_net){0};
}

static uint32_t conn_new(struct sim_net *net)
{
    MEM_GROW(net->conns, net->count, net->cap);
    MEM_GROW(net->live, net->live_count, net->live_cap);
    net->conns[net->count] = MEM_NEW(struct sim_conn);
    net->live[net->live_count++] = net->count;
    return net->count++;
}

static bool conn_over(const struct sim_conn *c)
{
    return (c->broken || c->accepted) && !c->end[0].attached && !c->end[1].attached &&
           (c->broken || (c->flow[0].count == 0 && c->flow[1].count == 0));
}

/* Forget those that are over; what is left may still matter to somebody. */
static void sweep(struct sim_net *net)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < net->live_count; i++) {
        struct sim_conn *c = net->conns[net->live[i]];

        if (conn_over(c)) {
            conn_drop_bytes(c);
        } else {
            net->live[kept++] = net->live[i];
        }
    }
    net->live_count = kept;
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
    if (!e->is_host && e->who == SIM_STRANGER) {
        return;
    }
    if (!e->is_host) {
        sim_client_closed(w, e->who, (uint32_t)(conn_end >> 1));
        return;
    }
    if (w->hosts[e->who].node != NULL && w->hosts[e->who].life == e->life) {
        sim_say(w, SIM_LOG_FULL, "n%u learns that its connection %lu has ended: %s", e->who,
                e->number, reasons[why]);
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

static void tell_unsent(struct sim_world *w, struct sim_end *e, struct sim_flow *f)
{
    struct sim_input in = {.kind = SIM_IN_SENT, .number = e->number, .unsent = f->unsent};
    struct sim_host *h;

    if (!e->is_host || !e->attached || (f->unsent == f->unsent_told && f->unsent != 0)) {
        return;
    }
    h = &w->hosts[e->who];
    if (h->node != NULL && h->life == e->life) {
        /* Falling to nothing from something is news; a send that left at once is not. */
        sim_host_input(w, h, &in, f->unsent_told != 0);
    }
    f->unsent_told = f->unsent;
}

static void pump_at(struct sim_world *w, uint32_t conn, unsigned dir, uint64_t at_us)
{
    w->net.conns[conn]->flow[dir].pumping = true;
    sim_at(w, at_us < w->now_us ? w->now_us : at_us, pump, (uint64_t)conn << 1 | dir, 0);
}

/* Nothing moves now; whatever changes that pumps again. */
static bool flow_stands(struct sim_world *w, const struct sim_conn *c, unsigned dir)
{
    return c->broken || c->stuck || !c->accepted || sim_link_cut(link_of(w, c, dir));
}

/* The next piece leaves the sender's kernel. */
static void piece_flies(struct sim_world *w, uint32_t conn, unsigned dir)
{
    struct sim_conn *c = w->net.conns[conn];
    struct sim_flow *f = &c->flow[dir];
    struct sim_piece *p = &f->pieces[f->first + f->flying];
    struct sim_link *l = link_of(w, c, dir);
    uint64_t arrives = sim_link_arrival_us(l, calm(w), w->now_us, p->data.len);

    if (arrives == UINT64_MAX) {
        sim_say(w, SIM_LOG_SHORT, "a connection of %s and %s breaks: too much of it was lost",
                sim_who(c->end[0].place).text, sim_who(c->end[1].place).text);
        conn_break(w, conn, prng_below(&l->dice, NOTICE_US_MAX),
                   prng_below(&l->dice, NOTICE_US_MAX));
        return;
    }
    if (arrives < f->last_arrival_us) {
        arrives = f->last_arrival_us;
    }
    f->last_arrival_us = p->arrives_us = arrives;
    f->flying++;
    f->flying_bytes += p->data.len;
    f->unsent -= p->data.len;
}

static void flow_launch(struct sim_world *w, uint32_t conn, unsigned dir)
{
    struct sim_conn *c = w->net.conns[conn];
    struct sim_flow *f = &c->flow[dir];

    while (f->flying < f->count && !c->broken) {
        const struct sim_piece *p = &f->pieces[f->first + f->flying];

        if (f->flying_bytes > 0 && f->flying_bytes + p->data.len > w->opt.send_window_bytes) {
            break;
        }
        piece_flies(w, conn, dir);
    }
    if (f->flying > 0 && !f->pumping && !flow_stands(w, c, dir)) {
        pump_at(w, conn, dir, f->pieces[f->first].arrives_us);
    }
}

static void flow_push(struct sim_flow *f, struct sim_piece piece)
{
    if (f->first + f->count == f->cap) {
        if (f->first > f->cap / 2) {
            memmove(f->pieces, f->pieces + f->first, f->count * sizeof f->pieces[0]);
            f->first = 0;
        } else {
            f->cap = f->cap == 0 ? 8 : f->cap * 2;
            f->pieces = mem_realloc(f->pieces, f->cap * sizeof f->pieces[0]);
        }
    }
    f->unsent += piece.data.len;
    f->pieces[f->first + f->count++] = piece;
}

/* Takes data. */
static void flow_bytes(struct sim_world *w, uint32_t conn, unsigned dir, struct buf *data)
{
    struct sim_flow *f = &w->net.conns[conn]->flow[dir];
    struct prng *dice = &link_of(w, w->net.conns[conn], dir)->dice;

    w->net.bytes += data->len;
    while (data->len > 1) {
        size_t cut = w->opt.send_window_bytes; /* no piece is larger than a window */
        struct sim_piece part = {0};

        if (prng_chance(dice, w->opt.cut_permille, 1000)) {
            cut = (size_t)prng_between(dice, 1, data->len - 1);
        }
        if (cut >= data->len) {
            break;
        }
        buf_append(&part.data, data->data, cut);
        buf_consume(data, cut);
        flow_push(f, part);
    }
    flow_push(f, (struct sim_piece){.data = *data});
    *data = (struct buf){0};
    flow_launch(w, conn, dir);
}

static void deliver(struct sim_world *w, struct sim_end *e, uint32_t conn, struct buf *data)
{
    struct sim_input in = {.kind = SIM_IN_RECEIVED, .number = e->number, .data = *data};

    sim_trace(w, 0xde11 + conn, hash64(data->data, data->len));
    if (!e->reading) {
        buf_append_slice(&e->waiting, buf_slice(data));
        buf_free(data);
        return;
    }
    if (!e->is_host) {
        if (e->who != SIM_STRANGER) {
            sim_client_received(w, e->who, conn, data);
        }
        return;
    }
    *data = (struct buf){0};
    sim_host_input(w, &w->hosts[e->who], &in, true);
}

/* Nobody is there any more: the kernel says so, where there is one. */
static void bounce(struct sim_world *w, uint32_t conn, unsigned dir)
{
    struct sim_conn *c = w->net.conns[conn];
    const struct sim_end *to = &c->end[1 - dir], *from = &c->end[dir];

    if (!to->is_host || !w->hosts[to->who].dark) {
        tell_end_in(w, delay_us(w, to->place, from->place), conn, dir, WHY_RESET);
    }
}

static void piece_arrives(struct sim_world *w, uint32_t conn, unsigned dir, struct sim_piece *p)
{
    struct sim_conn *c = w->net.conns[conn];
    struct sim_end *to = &c->end[1 - dir];

    c->flow[dir].flying--;
    c->flow[dir].flying_bytes -= p->data.len;
    if (!to->attached) {
        buf_free(&p->data);
        bounce(w, conn, dir);
        return;
    }
    if (p->data.len > 0) {
        deliver(w, to, conn, &p->data);
    }
    buf_free(&p->data);
    if (p->kind != SIM_PIECE_BYTES) {
        tell_end(w, (uint64_t)conn << 1 | (1 - dir),
                 p->kind == SIM_PIECE_FIN ? WHY_FIN : WHY_RESET);
    }
    flow_launch(w, conn, dir);
    tell_unsent(w, &c->end[dir], &c->flow[dir]);
}

/* What has arrived may be given to the receiver: it reads, or its kernel has room. */
static bool has_room(const struct sim_world *w, const struct sim_end *to, const struct sim_piece *p)
{
    return !to->attached || to->reading || p->kind == SIM_PIECE_RESET ||
           (p->kind == SIM_PIECE_BYTES && to->waiting.len < w->opt.recv_window_bytes);
}

static void pump(struct sim_world *w, uint64_t conn_dir, uint64_t unused)
{
    uint32_t conn = (uint32_t)(conn_dir >> 1);
    unsigned dir = conn_dir & 1;
    struct sim_conn *c = w->net.conns[conn];
    struct sim_flow *f = &c->flow[dir];

    (void)unused;
    f->pumping = false;
    while (!flow_stands(w, c, dir) && f->flying > 0) {
        struct sim_piece p = f->pieces[f->first];

        if (!has_room(w, &c->end[1 - dir], &p)) {
            return; /* reading on pumps again */
        }
        if (p.arrives_us > w->now_us) {
            if (!f->pumping) {
                pump_at(w, conn, dir, p.arrives_us);
            }
            break;
        }
        f->first++;
        f->count--;
        piece_arrives(w, conn, dir, &p);
    }
    if (f->count == 0) {
        f->first = 0;
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
    struct prng *dice = &link_of(w, w->net.conns[conn], dir)->dice;
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
        if (w->net.conns[conn]->broken) {
            return; /* and its bytes are gone */
        }
        at += len;
    }
    buf_consume(&f->frames, at);
}

static bool frames_mode(const struct sim_world *w, const struct sim_conn *c, unsigned dir)
{
    return c->peers && c->end[0].is_host && w->opt.fault[SIM_FAULT_FRAMES] &&
           (w->phase == SIM_FAULTS || c->flow[dir].frames.len > 0);
}

static void end_send(struct sim_world *w, uint32_t conn, unsigned dir, struct buf *data)
{
    struct sim_conn *c = w->net.conns[conn];

    if (c->broken) {
        /* Half-open until now: the other side's kernel answers with a reset. */
        uint32_t from = c->end[dir].place, to = c->end[1 - dir].place;

        if (!cut_between(w, from, to)) {
            tell_end_in(w, 2 * delay_us(w, from, to), conn, dir, WHY_RESET);
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
    } else if (e->who != SIM_STRANGER) {
        sim_client_connected(w, e->who, (uint32_t)conn);
    }
}

/* The process takes the connection that its kernel has made. */
static void accepted(struct sim_world *w, uint64_t conn, uint64_t life)
{
    struct sim_conn *c = w->net.conns[conn];
    struct sim_end *e = &c->end[1];
    struct sim_host *h = &w->hosts[e->who];
    struct sim_input in = {.kind = SIM_IN_ACCEPTED,
                           .conn_kind = c->peers ? NODE_CONN_PEER : NODE_CONN_CLIENT,
                           .place = c->end[0].place};

    if (h->life != life || h->node == NULL || c->broken) {
        conn_break(w, (uint32_t)conn, delay_us(w, h->id, c->end[0].place), 0);
        return;
    }
    e->attached = e->reading = c->accepted = true;
    e->number = in.number = h->odd_number;
    h->odd_number += 2;
    number_put(&w->net, h->id, e->number, (uint32_t)conn);
    sim_trace(w, 0xacce, conn);
    sim_host_input(w, h, &in, true);
    flow_launch(w, (uint32_t)conn, 0);
}

static uint64_t accept_us(struct sim_world *w, struct prng *dice)
{
    if (w->phase == SIM_FAULTS && w->opt.fault[SIM_FAULT_LATE_ACCEPT] && prng_chance(dice, 1, 4)) {
        return prng_below(dice, w->opt.fault_long_us);
    }
    return 0;
}

static void dial_arrives(struct sim_world *w, uint64_t conn, uint64_t host)
{
    struct sim_conn *c = w->net.conns[conn];
    struct sim_host *h = &w->hosts[host];
    uint32_t from = c->end[0].place;
    uint64_t back_us = delay_us(w, (uint32_t)host, from), late_us;

    if (!c->end[0].attached) {
        c->broken = true;
        return;
    }
    if (cut_between(w, from, (uint32_t)host) || h->dark) {
        if (++c->dials < SYN_TRIES) {
            sim_in(w, (uint64_t)SYN_RETRY_US << (c->dials - 1), dial_arrives, conn, host);
            return;
        }
        c->broken = true;
        tell_end_in(w, prng_between(&w->net.links[from][host].dice, 1, SYN_RETRY_US),
                    (uint32_t)conn, 0, WHY_TIMEOUT);
        return;
    }
    if (h->node == NULL || h->stopping) {
        c->broken = true;
        tell_end_in(w, back_us, (uint32_t)conn, 0, WHY_REFUSED);
        return;
    }
    late_us = accept_us(w, &w->net.links[from][host].dice);
    c->end[1] = (struct sim_end){.is_host = true, .who = h->id, .place = h->id, .life = h->life};
    if (late_us == 0) {
        accepted(w, conn, h->life);
    } else {
        sim_in(w, late_us, accepted, conn, h->life);
    }
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
                                 .place = h->id,
                                 .life = h->life,
                                 .number = number};
    CHECK(number % 2 == 0);
    number_put(&w->net, h->id, number, conn);
    for (uint32_t i = 0; i < w->opt.hosts; i++) {
        sim_host_peer_addr(i, peer);
        if (strcmp(peer, addr) == 0) {
            c->end[1].place = i;
            sim_in(w, delay_us(w, h->id, i), dial_arrives, conn, i);
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
    if (c->broken) {
        return;
    }
    flow_push(&c->flow[end], (struct sim_piece){.kind = SIM_PIECE_FIN});
    flow_launch(w, conn, end);
    flow_launch(w, conn, 1 - end); /* what waited for it to read is refused now */
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

static void end_reads(struct sim_world *w, uint32_t conn, unsigned end, bool on)
{
    struct sim_end *e = &w->net.conns[conn]->end[end];

    if (!e->attached) {
        return;
    }
    e->reading = on;
    if (on && e->waiting.len > 0) {
        struct buf data = e->waiting;

        e->waiting = (struct buf){0};
        deliver(w, e, conn, &data);
        buf_free(&data);
    }
    if (on) {
        flow_launch(w, conn, 1 - end);
    }
}

void sim_net_read(struct sim_world *w, struct sim_host *h, uint64_t number, bool on)
{
    uint32_t conn;
    unsigned end;

    if (number_find(&w->net, h, number, &conn, &end) != NULL) {
        end_reads(w, conn, end, on);
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

/* Pieces from there on never leave. */
static void flow_cut_tail(struct sim_flow *f, size_t kept)
{
    while (f->count > kept) {
        struct sim_piece *p = &f->pieces[f->first + --f->count];

        if (f->count < f->flying) {
            f->flying--;
            f->flying_bytes -= p->data.len;
        } else {
            f->unsent -= p->data.len;
        }
        buf_free(&p->data);
    }
    buf_free(&f->frames);
    buf_free(&f->late);
}

/* An end's process is gone. */
static void end_dies(struct sim_world *w, uint32_t conn, unsigned end, bool power)
{
    struct sim_conn *c = w->net.conns[conn];
    struct sim_flow *f = &c->flow[end];
    struct prng *dice = &link_of(w, c, end)->dice;
    bool was_attached = c->end[end].attached;

    c->end[end].attached = false;
    buf_free(&c->end[end].waiting);
    if (c->broken) {
        return;
    }
    flow_cut_tail(f, f->flying); /* what the kernel never had */
    if (power || prng_chance(dice, 1, 2)) {
        flow_cut_tail(f, (size_t)prng_below(dice, f->flying + 1));
    }
    if (!power && was_attached) {
        flow_push(f, (struct sim_piece){.kind = prng_chance(dice, 1, 2) ? SIM_PIECE_FIN
                                                                        : SIM_PIECE_RESET});
        flow_launch(w, conn, end);
    } else if (power && prng_chance(dice, 1, 2)) { /* a router says so; else nobody does */
        tell_end_in(w, prng_between(dice, 1000, 4000000), conn, 1 - end, WHY_RESET);
    }
    flow_launch(w, conn, 1 - end); /* what waited for it to read is refused now */
}

void sim_net_host_down(struct sim_world *w, struct sim_host *h, bool power)
{
    sweep(&w->net);
    for (uint32_t i = 0; i < w->net.live_count; i++) {
        const struct sim_conn *c = w->net.conns[w->net.live[i]];

        for (unsigned end = 0; end < 2; end++) {
            const struct sim_end *e = &c->end[end];

            if (e->is_host && e->who == h->id && e->life == h->life) {
                end_dies(w, w->net.live[i], end, power);
            }
        }
    }
    map64_free(&w->net.numbers[h->id]);
    w->net.numbers[h->id] = (struct map64){0};
}

static uint32_t dial_from(struct sim_world *w, uint32_t who, uint32_t place, uint32_t host)
{
    uint32_t conn = conn_new(&w->net);
    struct sim_conn *c = w->net.conns[conn];

    c->end[0] = (struct sim_end){.attached = true, .reading = true, .who = who, .place = place};
    c->end[1].place = host;
    sim_in(w, delay_us(w, place, host), dial_arrives, conn, host);
    return conn;
}

uint32_t sim_net_client_dial(struct sim_world *w, uint32_t client, uint32_t host)
{
    return dial_from(w, client, sim_place_of_client(client), host);
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

/* TCP tries a link that was cut at ever longer intervals: what waits goes on with the next
 * try. */
static void go_on(struct sim_world *w, uint32_t conn, unsigned dir, uint64_t cut_us)
{
    struct sim_conn *c = w->net.conns[conn];
    struct sim_flow *f = &c->flow[dir];
    struct prng *dice = &link_of(w, c, dir)->dice;
    uint64_t wait_us = delay_us(w, c->end[dir].place, c->end[1 - dir].place);

    if (f->flying > 0 && !f->pumping && !flow_stands(w, c, dir)) {
        if (prng_chance(dice, 1, 2)) {
            wait_us += prng_below(dice, cut_us < 2000000 ? cut_us : 2000000);
        }
        pump_at(w, conn, dir, w->now_us + wait_us);
    }
}

static void link_opens(struct sim_world *w, uint32_t from, uint32_t to)
{
    struct sim_link *l = &w->net.links[from][to];
    uint64_t cut_us = w->now_us - l->cut_since_us;

    l->cut_since_us = l->cut_until_us = 0;
    l->packets_pass = false;
    for (uint32_t i = 0; i < w->net.live_count; i++) {
        const struct sim_conn *c = w->net.conns[w->net.live[i]];

        for (unsigned dir = 0; dir < 2; dir++) {
            if (c->end[dir].place == from && c->end[1 - dir].place == to) {
                go_on(w, w->net.live[i], dir, cut_us + 1);
            }
        }
    }
}

static void open_event(struct sim_world *w, uint64_t from, uint64_t to)
{
    const struct sim_link *l = &w->net.links[from][to];

    if (sim_link_cut(l) && l->cut_until_us <= w->now_us) {
        link_opens(w, (uint32_t)from, (uint32_t)to);
    }
}

void sim_net_cut(struct sim_world *w, uint32_t from, uint32_t to, uint64_t until_us, bool breaks)
{
    struct sim_link *l = &w->net.links[from][to];
    bool was_cut = sim_link_cut(l);

    if (until_us > l->cut_until_us) {
        l->cut_until_us = until_us;
        if (until_us != UINT64_MAX) {
            sim_at(w, until_us, open_event, from, to);
        }
    }
    l->cut_since_us = was_cut ? l->cut_since_us : w->now_us;
    l->packets_pass = false;
    if (was_cut || !breaks) {
        return;
    }
    sweep(&w->net);
    for (uint32_t i = 0; i < w->net.live_count; i++) {
        const struct sim_conn *c = w->net.conns[w->net.live[i]];
        bool over = (c->end[0].place == from && c->end[1].place == to) ||
                    (c->end[1].place == from && c->end[0].place == to);

        if (over && prng_chance(&w->rng, 1, 2)) {
            /* It will not survive: each side gives up in its own time. */
            conn_break(w, w->net.live[i], prng_between(&w->rng, 1000, NOTICE_US_MAX),
                       prng_between(&w->rng, 1000, NOTICE_US_MAX));
        }
    }
}

void sim_net_cut_streams(struct sim_world *w, uint32_t from, uint32_t to, uint64_t until_us)
{
    struct sim_link *l = &w->net.links[from][to];
    bool was_cut = sim_link_cut(l);

    sim_net_cut(w, from, to, until_us, true);
    l->packets_pass = !was_cut;
}

void sim_net_open_link(struct sim_world *w, uint32_t from, uint32_t to)
{
    if (sim_link_cut(sim_net_link(&w->net, from, to))) {
        link_opens(w, from, to);
    }
}

/* UINT32_MAX: there is none. */
static uint32_t any_conn(struct sim_world *w)
{
    uint32_t count = 0;
    uint64_t pick;

    sweep(&w->net);
    for (uint32_t i = 0; i < w->net.live_count; i++) {
        const struct sim_conn *c = w->net.conns[w->net.live[i]];

        count += c->established && c->accepted && !c->broken;
    }
    pick = count == 0 ? 0 : prng_below(&w->rng, count);
    for (uint32_t i = 0; i < w->net.live_count && count > 0; i++) {
        const struct sim_conn *c = w->net.conns[w->net.live[i]];

        if (c->established && c->accepted && !c->broken && pick-- == 0) {
            return w->net.live[i];
        }
    }
    return UINT32_MAX;
}

void sim_net_break_one(struct sim_world *w, bool quiet)
{
    uint64_t most = quiet ? NOTICE_US_MAX : 2000;
    uint32_t conn = any_conn(w);

    if (conn != UINT32_MAX) {
        conn_break(w, conn, prng_between(&w->rng, 1, most), prng_between(&w->rng, 1, most));
    }
}

void sim_net_reset_host(struct sim_world *w, uint32_t host)
{
    for (uint32_t i = 0; i < w->net.live_count; i++) {
        const struct sim_conn *c = w->net.conns[w->net.live[i]];
        bool peers = c->end[0].is_host && c->end[1].is_host;

        if (peers && (c->end[0].who == host || c->end[1].who == host)) {
            conn_break(w, w->net.live[i], prng_below(&w->rng, 2000), prng_below(&w->rng, 2000));
        }
    }
}

void sim_net_forget_one(struct sim_world *w)
{
    uint32_t conn = any_conn(w);
    uint64_t told = prng_below(&w->rng, 4);

    if (conn == UINT32_MAX) {
        return;
    }
    w->net.conns[conn]->stuck = true;
    sim_say(w, SIM_LOG_SHORT, "a connection of %s and %s is forgotten on the way",
            sim_who(w->net.conns[conn]->end[0].place).text,
            sim_who(w->net.conns[conn]->end[1].place).text);
    if (told < 2) {
        tell_end_in(w, prng_between(&w->rng, 1, 2000), conn, (unsigned)told, WHY_RESET);
    }
}

void sim_net_client_reading(struct sim_world *w, uint32_t client, bool on)
{
    for (uint32_t i = 0; i < w->net.live_count; i++) {
        const struct sim_end *e = &w->net.conns[w->net.live[i]]->end[0];

        if (!e->is_host && e->attached && e->who == client) {
            end_reads(w, w->net.live[i], 0, on);
        }
    }
}

static void stranger_leaves(struct sim_world *w, uint64_t conn, uint64_t unused)
{
    (void)unused;
    end_close(w, (uint32_t)conn, 0);
}

static void stranger_speaks(struct sim_world *w, uint64_t conn, uint64_t bytes)
{
    struct buf data = {0};

    while (data.len < bytes) {
        put_u8(&data, (uint8_t)prng_next(&link_of(w, w->net.conns[conn], 0)->dice));
    }
    if (w->net.conns[conn]->established && w->net.conns[conn]->end[0].attached) {
        end_send(w, (uint32_t)conn, 0, &data);
    }
    buf_free(&data);
}

void sim_net_stranger(struct sim_world *w, uint32_t host, bool peer_port)
{
    uint32_t conn = dial_from(w, SIM_STRANGER, sim_place_of_client(0), host);
    uint64_t stays_us = prng_below(&w->rng, 2 * w->opt.fault_long_us);

    w->net.conns[conn]->peers = peer_port;
    if (prng_chance(&w->rng, 1, 2)) {
        sim_in(w, prng_below(&w->rng, stays_us + 1), stranger_speaks, conn,
               prng_between(&w->rng, 1, 40));
    }
    sim_in(w, stays_us, stranger_leaves, conn, 0);
}

static void conn_heals(struct sim_world *w, uint32_t conn)
{
    const struct sim_conn *c = w->net.conns[conn];

    for (unsigned end = 0; end < 2; end++) {
        bool host = c->end[end].is_host;

        if (c->broken || (c->stuck && !host)) {
            tell_end_in(w, prng_between(&w->rng, 1, 100000), conn, end, WHY_RESET);
        }
        if (!host && !c->end[end].reading) {
            end_reads(w, conn, end, true);
        }
    }
}

void sim_net_heal(struct sim_world *w)
{
    for (uint32_t from = 0; from < SIM_PLACES; from++) {
        for (uint32_t to = 0; to < SIM_PLACES; to++) {
            struct sim_link *l = &w->net.links[from][to];

            l->slow_us = 0;
            l->loss_ppm = l->packet_loss_ppm = 0;
            l->bytes_per_s = w->opt.bytes_per_s;
            l->busy_until_us = w->now_us;
            if (sim_link_cut(l)) {
                link_opens(w, from, to);
            }
        }
    }
    sweep(&w->net);
    for (uint32_t i = 0; i < w->net.live_count; i++) {
        conn_heals(w, w->net.live[i]);
    }
}
