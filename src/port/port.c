/* port.c - the loop: collect, read the clocks, feed the node, run its effects. */
#include "port/port_internal.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* --- start --- */

static enum err backend_open(struct port *p, enum port_io io, struct diag *why)
{
    enum err err = ERR_REFUSED;

    if (io != PORT_IO_EPOLL) {
        p->backend = &port_backend_uring;
        err = p->backend->open(p, why);
        if (err == ERR_OK || io == PORT_IO_URING) {
            return err;
        }
        (void)snprintf(p->io_note, sizeof p->io_note, "%.*s", (int)sizeof p->io_note - 1,
                       why->text);
    }
    p->backend = &port_backend_epoll;
    return p->backend->open(p, why);
}

static enum err listeners_open(struct port *p, const struct port_config *cfg, struct diag *why)
{
    const char *addrs[PORT_LISTENERS] = {cfg->client_listen, cfg->peer_listen};
    enum err err = ERR_OK;

    for (unsigned i = 0; i < PORT_LISTENERS && err == ERR_OK; i++) {
        struct port_listener *l = &p->listener[i];

        l->kind = i == 0 ? NODE_CONN_CLIENT : NODE_CONN_PEER;
        (void)snprintf(l->addr, sizeof l->addr, "%s", addrs[i]);
        err = port_net_listen(addrs[i], i == 0 ? "--listen" : "--peer", &l->fd, why);
    }
    return err == ERR_OK ? port_packets_open(p, cfg->peer_listen, "--peer", why) : err;
}

static void files_limit(struct port *p, uint32_t maxclients)
{
    uint64_t want = (uint64_t)maxclients + PORT_FILES_RESERVE;

    p->files_max = port_raise_files(want);
    if (p->files_max < want) {
        port_log(NODE_LOG_WARN,
                 "the limit of open files allows fewer clients than maxclients; raise it (ulimit "
                 "-n, LimitNOFILE=) limit=%llu clients=%llu maxclients=%u",
                 (unsigned long long)p->files_max,
                 (unsigned long long)(p->files_max > PORT_FILES_RESERVE
                                          ? p->files_max - PORT_FILES_RESERVE
                                          : 0),
                 maxclients);
    }
    CHECK(PORT_FILES_RESERVE > 16);
    if (p->files_max < 2 * PORT_FILES_RESERVE) {
        p->files_max = 2 * PORT_FILES_RESERVE; /* EMFILE is handled where it happens */
    }
}

static void lists_init(struct port *p)
{
    list_init(&p->dirty);
    list_init(&p->sent);
    list_init(&p->again);
    list_init(&p->deadlines);
    list_init(&p->gated_closes);
    list_init(&p->dead);
    list_init(&p->living_dead);
}

enum err port_create(const struct port_config *cfg, struct port_dir *d, struct port **out,
                     struct diag *why)
{
    struct port *p = MEM_NEW(struct port);
    struct node_time now = port_now();
    enum err err;

    *out = NULL;
    p->dir = d;
    p->next_conn = 1;
    p->reload = cfg->reload;
    p->reload_arg = cfg->reload_arg;
    p->poll = (struct port_poll){.most_us = cfg->poll_us, .mean_us = cfg->poll_us};
    p->next_deadline_us = UINT64_MAX;
    p->started_ms = now.wall_ms;
    p->now_us = now.mono_us;
    for (unsigned i = 0; i < PORT_LISTENERS; i++) {
        p->listener[i].fd = -1;
    }
    p->packets.fd = -1;
    lists_init(p);
    port_gates_init(&p->gates);
    files_limit(p, cfg->maxclients);
    p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    p->spare_fd = eventfd(0, EFD_CLOEXEC);
    CHECK(p->wake_fd >= 0);
    err = listeners_open(p, cfg, why);
    if (err == ERR_OK) {
        err = backend_open(p, cfg->io, why);
    }
    if (err != ERR_OK) {
        p->backend = NULL;
    } else {
        err = port_lanes_start(&p->lanes, port_dir_fd(d), p->wake_fd, why);
    }
    if (err != ERR_OK) {
        port_destroy(p);
        return err;
    }
    *out = p;
    return ERR_OK;
}

void port_destroy(struct port *p)
{
    struct list *item;

    if (p->lanes.files != NULL) {
        port_lanes_stop(&p->lanes);
    }
    if (p->backend != NULL) {
        port_conn_destroy_all(p);
        p->backend->close(p);
    }
    while ((item = list_pop_front(&p->living_dead)) != NULL) {
        struct port_conn *c = LIST_ENTRY(item, struct port_conn, in_deadline);

        if (c->fd >= 0) {
            (void)close(c->fd);
        }
        port_conn_released(p, c);
    }
    struct port_gated *gated;

    p->gates.durable = UINT64_MAX; /* only to empty the queue: nothing is sent any more */
    while ((gated = port_gates_pop(&p->gates)) != NULL) {
        gated->conn->gated--;
        buf_free(&gated->data);
        mem_free(gated);
    }
    port_conn_bury(p);
    CHECK(p->conn_count == 0);
    port_gates_free(&p->gates);
    while (p->out_free != NULL) {
        struct port_out *next = p->out_free->next;

        mem_free(p->out_free);
        p->out_free = next;
    }
    for (unsigned i = 0; i < PORT_LISTENERS; i++) {
        if (p->listener[i].fd >= 0) {
            (void)close(p->listener[i].fd);
        }
    }
    port_packets_close(p);
    (void)close(p->wake_fd);
    (void)close(p->spare_fd);
    node_effects_free(&p->fx);
    mem_free(p->events);
    mem_free(p);
}

const char *port_io_name(const struct port *p)
{
    return p->backend->name;
}

const char *port_io_note(const struct port *p)
{
    return p->io_note;
}

/* Both may run in a signal handler. */
static void request(struct port *p, atomic_uint *which)
{
    uint64_t one = 1;
    int saved = errno;

    atomic_fetch_add_explicit(which, 1, memory_order_relaxed);
    if (write(p->wake_fd, &one, sizeof one) < 0) {
        errno = saved; /* it is full: awake already */
    }
    errno = saved;
}

void port_request_stop(struct port *p)
{
    request(p, &p->stop_requests);
}

void port_request_reload(struct port *p)
{
    request(p, &p->reload_requests);
}

void port_on_wake(struct port *p)
{
    uint64_t count;

    p->woken = true;
    if (read(p->wake_fd, &count, sizeof count) < 0) {
        SOMETIMES(true, "port: woken without a reason");
    }
}

/* --- effects --- */

static void run_send(struct port *p, struct node_effect *e)
{
    struct port_conn *c = map64_get(&p->conns, e->conn);

    if (c == NULL) {
        buf_free(&e->data); /* gone in this turn; the node did not know yet */
    } else if (e->gate > p->gates.durable) {
        port_gates_hold(&p->gates, e->gate, c, &e->data);
    } else {
        port_conn_send(p, c, &e->data);
    }
}

static void run_disk(struct port *p, struct node_effect *e)
{
    struct port_item *item = MEM_NEW(struct port_item);

    CHECK(e->op.lane < DISK_LANE_COUNT);
    item->op = e->op; /* and its data */
    e->op.data = (struct buf){0};
    if (item->op.lane == DISK_LANE_LOG && item->op.kind == DISK_WRITE && item->op.sync) {
        port_gates_issued(&p->gates, item->op.token);
    }
    port_lanes_put(&p->lanes, item->op.lane, item);
}

static void run_effect(struct port *p, struct node_effect *e)
{
    struct port_conn *c = NULL;

    if (e->kind == NODE_CLOSE || e->kind == NODE_READ) {
        c = map64_get(&p->conns, e->conn);
    }
    switch (e->kind) {
    case NODE_SEND:
        run_send(p, e);
        break;
    case NODE_CLOSE:
        if (c != NULL) {
            port_conn_close(p, c);
        }
        break;
    case NODE_DIAL:
        port_conn_dial(p, e->conn, e->addr);
        break;
    case NODE_READ:
        if (c != NULL) {
            port_conn_read(p, c, e->on);
        }
        break;
    case NODE_DISK:
        run_disk(p, e);
        break;
    case NODE_LOG:
        port_log_text(e->level, buf_slice(&e->data));
        buf_free(&e->data);
        break;
    case NODE_PACKET:
        port_packet_send(p, &e->to, buf_slice(&e->data));
        buf_free(&e->data);
        break;
    case NODE_READY:
        break; /* the node logs it; who polls it asks CLUSTER INFO */
    case NODE_STOP:
        p->stopped = true;
        p->stop_err = e->err;
        p->stop_why = e->why;
        break;
    }
}

static void run_effects(struct port *p)
{
    struct port_gated *gated;

    /* Tickets that became durable in this turn: the node was told while it was fed. */
    while ((gated = port_gates_pop(&p->gates)) != NULL) {
        port_conn_ungate(p, gated->conn, &gated->data);
        mem_free(gated);
    }
    for (size_t i = 0; i < p->fx.count; i++) {
        run_effect(p, &p->fx.at[i]);
    }
    p->fx.count = 0;
    port_conn_flush_all(p);
}

/* --- one turn --- */

static void tell_done(struct port *p, struct port_item *item)
{
    const struct disk_op *op = &item->op;

    if (item->addr[0] != '\0') {
        port_conn_resolved(p, item->conn, &item->to, item->error);
        return;
    }
    item->done.data = buf_slice(&item->read);
    node_disk_done(p->node, &item->done);
    if (op->lane == DISK_LANE_LOG && op->kind == DISK_WRITE && op->sync) {
        port_gates_done(&p->gates, op->token, item->done.err == ERR_OK);
    }
}

static void tell_items(struct port *p, struct port_item *items)
{
    while (items != NULL) {
        struct port_item *next = items->next;

        tell_done(p, items);
        port_item_free(items);
        items = next;
    }
}

static void tell_stop(struct port *p)
{
    unsigned requests = atomic_load_explicit(&p->stop_requests, memory_order_relaxed);

    if (requests > 0 && p->stops_told == 0) {
        p->stops_told = requests;
        p->stop_deadline_us = p->now_us + PORT_STOP_US;
        port_log(NODE_LOG_INFO, "stopping");
        node_stop(p->node);
    }
    if (p->stops_told > 0 && p->now_us > p->stop_deadline_us && !p->stopped) {
        p->stopped = true;
        p->stop_err = ERR_STOPPED;
        diag_set(&p->stop_why, "the clean stop took longer than %d s and was abandoned",
                 PORT_STOP_US / 1000000);
    }
}

static void tell_reload(struct port *p)
{
    unsigned requests = atomic_load_explicit(&p->reload_requests, memory_order_relaxed);

    if (requests != p->reloads_done) { /* several that came together are one */
        p->reloads_done = requests;
        if (p->reload != NULL) {
            p->reload(p->node, p->reload_arg);
        }
    }
}

static uint64_t timeout_us(const struct port *p, uint64_t now)
{
    uint64_t at = node_deadline_us(p->node);

    if (p->urgent) {
        return 0;
    }
    at = at < p->next_tick_us ? at : p->next_tick_us;
    return at > now ? at - now : 0;
}

static void pause_listeners(struct port *p)
{
    for (unsigned i = 0; i < PORT_LISTENERS; i++) {
        struct port_listener *l = &p->listener[i];

        if (l->paused_until == 0) {
            continue;
        }
        if (p->now_us < l->paused_until) {
            p->backend->accept(p, l, false);
        } else {
            l->paused_until = 0;
            p->backend->accept(p, l, true);
        }
    }
}

static void feed(struct port *p, struct node_time now, struct port_item *items)
{
    node_begin(p->node, now);
    tell_items(p, items);
    port_conn_again(p);
    for (size_t i = 0; i < p->event_count; i++) {
        port_conn_tell(p, &p->events[i]);
    }
    p->event_count = 0;
    port_conn_tell_sent(p);
    tell_reload(p);
    tell_stop(p);
    if (p->now_us >= p->next_tick_us || p->now_us >= node_deadline_us(p->node)) {
        node_tick(p->node);
        p->next_tick_us = p->now_us + NODE_TICK_US;
    }
    node_end(p->node, &p->fx);
}

static bool something_came(struct port *p)
{
    return p->event_count > 0 || p->urgent || p->woken || port_lanes_done(&p->lanes);
}

/* At least once, which also submits what is to be sent; then until something came or
 * look_us have passed [port_poll]. How much of left_us to sleep for then: 0 if something came. */
static uint64_t look_for_work(struct port *p, uint64_t start_us, uint64_t look_us, uint64_t left_us)
{
    for (;;) {
        uint64_t gone_us;

        p->backend->wait(p, 0);
        if (left_us == 0 || something_came(p)) {
            return 0;
        }
        gone_us = port_mono_us() - start_us;
        if (gone_us >= look_us) {
            return gone_us < left_us ? left_us - gone_us : 0;
        }
        (void)sched_yield();
    }
}

static void collect(struct port *p, uint64_t start_us)
{
    uint64_t left_us = timeout_us(p, start_us);
    uint64_t look_us = port_poll_us(&p->poll);

    p->woken = false;
    if (p->packets.more) {
        port_packets_collect(p);
    }
    look_us = look_us < left_us ? look_us : left_us;
    if (left_us == 0 || look_us > 0) {
        left_us = look_for_work(p, start_us, look_us, left_us);
    }
    if (left_us > 0) {
        port_lanes_sleep(&p->lanes, true);
        p->backend->wait(p, port_lanes_done(&p->lanes) ? 0 : left_us);
        port_lanes_sleep(&p->lanes, false);
    }
}

static void turn(struct port *p)
{
    uint64_t start_us = port_mono_us();
    struct port_item *items;
    struct node_time now;

    p->turn++;
    collect(p, start_us);
    items = port_lanes_take(&p->lanes);
    p->urgent = false;
    /* Only now: what arrived did so before this moment [node.h, one loop turn]. */
    now = port_now();
    p->now_us = now.mono_us;
    port_poll_waited(&p->poll, p->now_us - start_us);
    feed(p, now, items);
    p->backend->recycle(p);
    port_packets_recycle(p);
    run_effects(p);
    port_conn_deadlines(p, p->now_us);
    pause_listeners(p);
    port_conn_bury(p);
    if (p->now_us >= p->next_gauges_us) {
        port_gauges(p);
        p->next_gauges_us = p->now_us + 1000000;
    }
}

static bool unsent_left(struct port *p)
{
    size_t pos = 0;
    uint64_t id;
    void *value;

    while (map64_each(&p->conns, &pos, &id, &value)) {
        if (((struct port_conn *)value)->unsent > 0) {
            return true;
        }
    }
    return !list_empty(&p->deadlines);
}

/* The last replies leave, within a moment. */
static void farewell(struct port *p)
{
    uint64_t until = port_mono_us() + 300000;

    for (unsigned i = 0; i < PORT_LISTENERS; i++) {
        p->listener[i].paused_until = UINT64_MAX;
        p->backend->accept(p, &p->listener[i], false);
    }
    while (unsent_left(p) && port_mono_us() < until) {
        p->woken = true; /* the end of our own sends is what is waited for: come back at it */
        p->backend->wait(p, 10000);
        p->now_us = port_mono_us();
        p->urgent = false;
        p->event_count = 0; /* nobody is left to be told */
        p->backend->recycle(p);
        p->packets.count = 0;
        port_conn_flush_all(p);
        port_conn_deadlines(p, p->now_us);
    }
}

enum err port_run(struct port *p, struct node *n, struct diag *why)
{
    p->node = n;
    p->urgent = true; /* the first turn carries the effects of opening */
    port_gauges(p);
    for (unsigned i = 0; i < PORT_LISTENERS; i++) {
        p->backend->accept(p, &p->listener[i], true);
    }
    while (!p->stopped) {
        turn(p);
    }
    farewell(p);
    if (p->stop_err != ERR_OK) {
        *why = p->stop_why;
    }
    return p->stop_err;
}
