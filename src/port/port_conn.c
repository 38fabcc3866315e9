/* port_conn.c - connections: their life, and what waits to be sent on them. */
#include "port/port_internal.h"

#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { OUT_FREE_MAX = 4096 };

static struct port_conn *conn_new(struct port *p, uint64_t id, int fd, enum node_conn_kind kind)
{
    struct port_conn *c = MEM_NEW(struct port_conn);

    c->id = id;
    c->fd = fd;
    c->kind = kind;
    c->known = true;
    c->reading = true;
    list_init(&c->in_dirty);
    list_init(&c->in_sent);
    list_init(&c->in_again);
    list_init(&c->in_deadline);
    list_init(&c->in_rearm);
    CHECK(map64_put(&p->conns, id, c) == NULL);
    p->conn_count++;
    return c;
}

static void deadline_set(struct port *p, struct port_conn *c, uint64_t us)
{
    list_remove(&c->in_deadline);
    c->deadline_us = p->now_us + us;
    list_push_back(&p->deadlines, &c->in_deadline);
    if (c->deadline_us < p->next_deadline_us) {
        p->next_deadline_us = c->deadline_us;
    }
}

static void out_drop(struct port *p, struct port_conn *c)
{
    struct port_out *o = c->out_head;

    c->out_head = o->next;
    if (c->out_head == NULL) {
        c->out_tail = NULL;
    }
    buf_free(&o->data);
    if (p->out_free_count < OUT_FREE_MAX) {
        o->next = p->out_free;
        p->out_free = o;
        p->out_free_count++;
    } else {
        mem_free(o);
    }
}

/* The last step of every connection. Output that was not sent is lost, so this is
 * either after flushing or because the other end is gone. */
static void conn_detach(struct port *p, struct port_conn *c, bool reset)
{
    CHECK(c->state != CONN_DEAD);
    CHECK(!c->known);
    c->state = CONN_DEAD;
    list_remove(&c->in_dirty);
    list_remove(&c->in_sent);
    list_remove(&c->in_again);
    list_remove(&c->in_deadline);
    if (c->fd < 0) {
        port_conn_released(p, c);
        return;
    }
    if (reset) {
        struct linger hard = {.l_onoff = 1, .l_linger = 0};

        (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    }
    list_push_back(&p->living_dead, &c->in_deadline);
    p->backend->detach(p, c);
}

void port_conn_released(struct port *p, struct port_conn *c)
{
    CHECK(c->state == CONN_DEAD);
    list_remove(&c->in_deadline);
    list_push_back(&p->dead, &c->in_dirty);
    CHECK(p->conn_count > 0);
    p->conn_count--;
}

void port_conn_bury(struct port *p)
{
    LIST_EACH(item, &p->dead)
    {
        struct port_conn *c = LIST_ENTRY(item, struct port_conn, in_dirty);

        if (c->gated > 0) {
            continue; /* the gate queue still points here */
        }
        list_remove(item);
        while (c->out_head != NULL) {
            out_drop(p, c);
        }
        buf_free(&c->held);
        mem_free(c);
    }
}

/* --- what the backends report --- */

static struct port_event *event_new(struct port *p)
{
    MEM_GROW(p->events, p->event_count, p->event_cap);
    return &p->events[p->event_count++];
}

void port_event_push(struct port *p, enum port_event_kind kind, struct port_conn *c)
{
    *event_new(p) = (struct port_event){.kind = kind, .conn = c};
}

void port_event_push_packet(struct port *p, struct port_packet *k, size_t len)
{
    *event_new(p) = (struct port_event){.kind = EVENT_PACKET, .packet = k, .len = len};
}

void port_on_accept(struct port *p, struct port_listener *l, int fd)
{
    /* Peers may use the reserve; clients may not. */
    uint64_t most = p->files_max - (l->kind == NODE_CONN_CLIENT ? PORT_FILES_RESERVE : 16);

    if (p->conn_count >= most) {
        p->rejected++;
        if (p->now_us - p->full_logged_us > 1000000) {
            p->full_logged_us = p->now_us;
            port_log(NODE_LOG_WARN,
                     "connection refused: the limit of open files is near limit=%llu",
                     (unsigned long long)p->files_max);
        }
        (void)close(fd);
        return;
    }
    port_net_tune(fd, l->kind);
    struct port_conn *c = conn_new(p, p->next_conn, fd, l->kind);

    p->next_conn += 2;
    c->state = CONN_OPEN;
    port_event_push(p, EVENT_ACCEPTED, c);
}

void port_on_accept_error(struct port *p, struct port_listener *l, int error)
{
    if (error != EMFILE && error != ENFILE && error != ENOBUFS && error != ENOMEM) {
        return; /* the caller vanished before it was accepted, or the like */
    }
    /* Give one caller an end instead of a silent wait, then let the others be. */
    if (p->spare_fd >= 0) {
        (void)close(p->spare_fd);
        int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd >= 0) {
            p->rejected++;
            (void)close(fd);
        }
        p->spare_fd = eventfd(0, EFD_CLOEXEC);
    }
    if (p->now_us - p->full_logged_us > 1000000) {
        p->full_logged_us = p->now_us;
        port_log(NODE_LOG_WARN, "accepting pauses: out of files or memory listen=%s errno=%d",
                 l->addr, error);
    }
    l->paused_until = p->now_us + PORT_ACCEPT_PAUSE_US;
}

void port_on_data(struct port *p, struct port_conn *c, const uint8_t *data, size_t len)
{
    if (c->state != CONN_OPEN || !c->known) {
        return; /* draining: nobody wants it */
    }
    if (!c->reading || c->held.len > 0) {
        SOMETIMES(true, "port: bytes arrived after reading was stopped");
        buf_append(&c->held, data, len);
        return;
    }
    c->fed_turn = p->turn;
    port_event_push(p, EVENT_DATA, c);
    p->events[p->event_count - 1].data = data;
    p->events[p->event_count - 1].len = len;
}

static void conn_again(struct port *p, struct port_conn *c)
{
    list_remove(&c->in_again);
    list_push_back(&p->again, &c->in_again);
    p->urgent = true;
}

void port_on_end(struct port *p, struct port_conn *c, int error)
{
    switch (c->state) {
    case CONN_OPEN:
        if (c->ended && (error == 0 || c->end_errno != 0)) {
            return;
        }
        c->ended = true;
        c->end_errno = error;
        /* What came with the end is answered first, so that a caller which sends,
         * shuts its side and waits gets its reply. */
        if (error != 0 || (c->reading && c->held.len == 0 && c->fed_turn != p->turn)) {
            port_event_push(p, EVENT_CLOSED, c);
        } else {
            conn_again(p, c);
        }
        return;
    case CONN_FLUSHING:
        if (error == 0) {
            c->ended = true; /* it may still read; the deadline bounds the wait */
            p->backend->read(p, c);
            return;
        }
        conn_detach(p, c, true);
        return;
    case CONN_DRAINING:
        conn_detach(p, c, error != 0);
        return;
    case CONN_RESOLVING:
    case CONN_DIALING:
    case CONN_DEAD:
        return;
    }
}

void port_on_dialed(struct port *p, struct port_conn *c, int error)
{
    if (c->state != CONN_DIALING) {
        return;
    }
    list_remove(&c->in_deadline);
    if (error == 0) {
        c->state = CONN_OPEN;
        port_net_tune(c->fd, c->kind);
        port_event_push(p, EVENT_DIALED, c);
    } else {
        c->end_errno = error;
        port_event_push(p, EVENT_CLOSED, c);
    }
}

void port_on_sent(struct port *p, struct port_conn *c, size_t bytes)
{
    CHECK(bytes <= c->unsent);
    c->unsent -= bytes;
    while (bytes > 0) {
        size_t left = c->out_head->data.len - c->out_pos;

        if (bytes < left) {
            c->out_pos += bytes;
            break;
        }
        bytes -= left;
        c->out_pos = 0;
        out_drop(p, c);
    }
    CHECK((c->unsent == 0) == (c->out_head == NULL));
    if (c->state == CONN_OPEN &&
        (c->unsent == 0 || c->unsent + PORT_SENT_STEP_BYTES <= c->reported)) {
        if (list_empty(&c->in_sent)) {
            list_push_back(&p->sent, &c->in_sent);
        }
        if (c->peak >= PORT_SENT_URGENT_BYTES) {
            p->urgent = true;
        }
    }
    port_conn_maybe_shut(p, c);
}

/* --- what the node asks for --- */

unsigned port_conn_iov(const struct port_conn *c, struct iovec *iov, unsigned max)
{
    unsigned count = 0;
    size_t skip = c->out_pos;

    for (const struct port_out *o = c->out_head; o != NULL && count < max; o = o->next) {
        iov[count++] = (struct iovec){o->data.data + skip, o->data.len - skip};
        skip = 0;
    }
    return count;
}

void port_conn_send(struct port *p, struct port_conn *c, struct buf *data)
{
    struct port_out *o = p->out_free;

    if (data->len == 0 || (c->state != CONN_OPEN && c->state != CONN_FLUSHING)) {
        buf_free(data);
        return;
    }
    if (o != NULL) {
        p->out_free = o->next;
        p->out_free_count--;
    } else {
        o = mem_alloc(sizeof *o);
    }
    o->next = NULL;
    o->data = *data;
    *data = (struct buf){0};
    if (c->out_tail != NULL) {
        c->out_tail->next = o;
    } else {
        c->out_head = o;
    }
    c->out_tail = o;
    c->unsent += o->data.len;
    c->reported += o->data.len; /* the node counts what it sends */
    if (c->unsent > c->peak) {
        c->peak = c->unsent;
    }
    if (list_empty(&c->in_dirty)) {
        list_push_back(&p->dirty, &c->in_dirty);
    }
}

void port_conn_flush_all(struct port *p)
{
    struct list *item;

    while ((item = list_pop_front(&p->dirty)) != NULL) {
        struct port_conn *c = LIST_ENTRY(item, struct port_conn, in_dirty);

        if (c->unsent > 0 && !c->send_busy) {
            p->backend->flush(p, c);
        }
    }
}

/* FLUSHING ends when the last byte has left: then our side is shut and the other
 * side's input is thrown away until it ends too. A plain close would answer
 * unread input with a reset, which can overtake and destroy our last reply. */
void port_conn_maybe_shut(struct port *p, struct port_conn *c)
{
    if (c->state != CONN_FLUSHING || c->unsent > 0 || c->gated > 0) {
        return;
    }
    (void)shutdown(c->fd, SHUT_WR);
    c->state = CONN_DRAINING;
    deadline_set(p, c, PORT_LINGER_US);
    if (c->ended) {
        conn_detach(p, c, c->end_errno != 0);
        return;
    }
    p->backend->read(p, c);
}

void port_conn_ungate(struct port *p, struct port_conn *c, struct buf *data)
{
    CHECK(c->gated > 0);
    c->gated--;
    port_conn_send(p, c, data); /* drops it where the connection is gone */
    if (c->state == CONN_FLUSHING && c->gated == 0) {
        deadline_set(p, c, PORT_LINGER_US);
        port_conn_maybe_shut(p, c);
    }
}

static void conn_forget(struct port *p, struct port_conn *c)
{
    CHECK(c->known);
    c->known = false;
    (void)map64_remove(&p->conns, c->id);
}

/* The node is done with c; what it sent before may still leave. */
static void conn_linger(struct port *p, struct port_conn *c)
{
    CHECK(!c->known);
    CHECK(c->state == CONN_OPEN);
    list_remove(&c->in_sent);
    list_remove(&c->in_again);
    c->state = CONN_FLUSHING;
    /* Held back output waits for the disk, which may take its time: no deadline yet. */
    if (c->gated == 0) {
        deadline_set(p, c, PORT_LINGER_US);
    } else {
        list_push_back(&p->gated_closes, &c->in_deadline);
    }
    if (c->ended && c->end_errno != 0) {
        conn_detach(p, c, true);
        return;
    }
    p->backend->read(p, c);
    port_conn_maybe_shut(p, c);
}

void port_conn_close(struct port *p, struct port_conn *c)
{
    conn_forget(p, c);
    if (c->state == CONN_OPEN) {
        conn_linger(p, c);
    } else {
        conn_detach(p, c, true);
    }
}

void port_conn_read(struct port *p, struct port_conn *c, bool on)
{
    if (c->reading == on || c->state != CONN_OPEN) {
        return;
    }
    c->reading = on;
    if (on && (c->held.len > 0 || c->ended)) {
        conn_again(p, c);
    }
    if (!c->ended) {
        p->backend->read(p, c);
    }
}

static void dial_start(struct port *p, struct port_conn *c, const struct sockaddr_storage *to)
{
    c->fd = socket(to->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    c->state = CONN_DIALING;
    if (c->fd < 0) {
        port_on_dialed(p, c, errno);
        p->urgent = true;
        return;
    }
    deadline_set(p, c, PORT_DIAL_US);
    p->backend->dial(p, c, to);
}

void port_conn_dial(struct port *p, uint64_t id, const char *addr)
{
    struct port_conn *c = conn_new(p, id, -1, NODE_CONN_PEER);
    struct sockaddr_storage to;

    CHECK(id % 2 == 0);
    if (port_net_resolve(addr, true, &to) == 0) {
        dial_start(p, c, &to);
        return;
    }
    /* A name: the lookup may block for seconds, so it has a thread of its own. */
    struct port_item *item = MEM_NEW(struct port_item);

    c->state = CONN_RESOLVING;
    item->conn = id;
    (void)snprintf(item->addr, sizeof item->addr, "%s", addr);
    port_lanes_put(&p->lanes, PORT_LANE_NAMES, item);
}

void port_conn_resolved(struct port *p, uint64_t id, const struct sockaddr_storage *to, int error)
{
    struct port_conn *c = map64_get(&p->conns, id);

    if (c == NULL || c->state != CONN_RESOLVING) {
        return;
    }
    if (error == 0) {
        dial_start(p, c, to);
    } else {
        c->state = CONN_DIALING;
        port_on_dialed(p, c, EADDRNOTAVAIL);
    }
}

/* --- feeding the node --- */

static const char *end_reason(const struct port_conn *c)
{
    return c->end_errno == 0 ? "closed by the other side" : strerror(c->end_errno);
}

static void tell_accepted(struct port *p, struct port_conn *c)
{
    struct sockaddr_storage a;
    socklen_t len = sizeof a;
    char text[NODE_ADDR_MAX] = "?:0";

    if (getpeername(c->fd, (struct sockaddr *)&a, &len) == 0) {
        port_net_text(&a, text);
    }
    node_accepted(p->node, c->id, c->kind, text);
}

void port_conn_tell(struct port *p, const struct port_event *e)
{
    struct port_conn *c = e->conn;

    if (e->kind == EVENT_PACKET) {
        port_packet_tell(p, e);
        return;
    }
    if (!c->known) {
        return;
    }
    switch (e->kind) {
    case EVENT_PACKET:
        return;
    case EVENT_ACCEPTED:
        tell_accepted(p, c);
        p->backend->read(p, c);
        return;
    case EVENT_DIALED:
        node_dialed(p->node, c->id);
        p->backend->read(p, c);
        return;
    case EVENT_DATA:
        node_received(p->node, c->id, e->data, e->len);
        return;
    case EVENT_CLOSED:
        node_closed(p->node, c->id, end_reason(c));
        conn_forget(p, c);
        if (c->end_errno == 0 && c->state == CONN_OPEN) {
            conn_linger(p, c); /* it only ended its side: replies on their way still go */
        } else {
            conn_detach(p, c, c->end_errno != 0);
        }
        return;
    }
}

void port_conn_tell_sent(struct port *p)
{
    struct list *item;

    while ((item = list_pop_front(&p->sent)) != NULL) {
        struct port_conn *c = LIST_ENTRY(item, struct port_conn, in_sent);

        if (c->known) {
            c->reported = c->unsent;
            c->peak = c->unsent;
            node_sent(p->node, c->id, c->unsent);
        }
    }
}

void port_conn_again(struct port *p)
{
    LIST_EACH(item, &p->again)
    {
        struct port_conn *c = LIST_ENTRY(item, struct port_conn, in_again);

        if (c->fed_turn == p->turn) {
            p->urgent = true; /* its bytes are of this turn, its end is of the next */
            continue;
        }
        list_remove(item);
        if (c->state != CONN_OPEN || (!c->reading && c->end_errno == 0)) {
            continue; /* waits until the node reads again */
        }
        if (c->held.len > 0 && c->reading) {
            /* The node may stop reading during this turn; it still gets all of it. */
            node_received(p->node, c->id, c->held.data, c->held.len);
            buf_free(&c->held);
        }
        if (c->ended) {
            port_event_push(p, EVENT_CLOSED, c);
        }
    }
}

/* --- time, and the end --- */

static void deadline_passed(struct port *p, struct port_conn *c)
{
    switch (c->state) {
    case CONN_DIALING:
        port_on_dialed(p, c, ETIMEDOUT);
        p->urgent = true;
        return;
    case CONN_FLUSHING:
    case CONN_DRAINING:
        SOMETIMES(c->unsent > 0, "port: a closed connection did not take its output in time");
        conn_detach(p, c, true);
        return;
    case CONN_RESOLVING:
    case CONN_OPEN:
    case CONN_DEAD:
        UNREACHABLE("no deadline in this state");
    }
}

void port_conn_deadlines(struct port *p, uint64_t now_us)
{
    if (now_us < p->next_deadline_us) {
        return;
    }
    p->next_deadline_us = UINT64_MAX;
    LIST_EACH(item, &p->deadlines)
    {
        struct port_conn *c = LIST_ENTRY(item, struct port_conn, in_deadline);

        if (c->deadline_us <= now_us) {
            list_remove(&c->in_deadline);
            deadline_passed(p, c);
        } else if (c->deadline_us < p->next_deadline_us) {
            p->next_deadline_us = c->deadline_us;
        }
    }
}

/* The backend is closed next, so nothing is asked of it any more. */
static void conn_abandon(struct port *p, struct port_conn *c)
{
    c->known = false;
    c->state = CONN_DEAD;
    list_remove(&c->in_dirty);
    list_remove(&c->in_sent);
    list_remove(&c->in_again);
    list_remove(&c->in_deadline);
    list_remove(&c->in_rearm);
    list_push_back(&p->living_dead, &c->in_deadline);
}

void port_conn_destroy_all(struct port *p)
{
    size_t pos = 0;
    uint64_t id;
    void *value;

    while (map64_each(&p->conns, &pos, &id, &value)) {
        conn_abandon(p, value);
    }
    map64_free(&p->conns);
    LIST_EACH(item, &p->deadlines)
    {
        conn_abandon(p, LIST_ENTRY(item, struct port_conn, in_deadline));
    }
    LIST_EACH(item, &p->gated_closes)
    {
        conn_abandon(p, LIST_ENTRY(item, struct port_conn, in_deadline));
    }
}
