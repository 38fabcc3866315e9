/* port_epoll.c - the backend for kernels and containers without io_uring.
 *
 * Level-triggered: what a turn leaves unread is reported again. Bytes are received
 * into one arena, so that idle connections cost no buffers. */
#include "port/port_internal.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { EPOLL_EVENTS = 512, ACCEPTS_PER_TURN = 256 };

struct epoll_io {
    int fd;
    uint8_t *arena;
    size_t used;
    struct epoll_event events[EPOLL_EVENTS];
};

/* What an event belongs to is the pointer; the low bits say what it points to. */
enum { TAG_CONN, TAG_LISTENER, TAG_WAKE, TAG_PACKETS, TAG_MASK = 7 };
static void *tagged(void *ptr, uintptr_t tag)
{
    return (char *)ptr + tag;
}

static enum err epoll_open(struct port *p, struct diag *why)
{
    struct epoll_io *e = MEM_NEW(struct epoll_io);
    struct epoll_event wake = {.events = EPOLLIN, .data.ptr = tagged(p, TAG_WAKE)};
    struct epoll_event packets = {.events = EPOLLIN, .data.ptr = tagged(p, TAG_PACKETS)};

    e->fd = epoll_create1(EPOLL_CLOEXEC);
    if (e->fd < 0) {
        diag_set(why, "cannot create an epoll instance: %s", strerror(errno));
        mem_free(e);
        return ERR_IO;
    }
    CHECK(epoll_ctl(e->fd, EPOLL_CTL_ADD, p->wake_fd, &wake) == 0);
    CHECK(epoll_ctl(e->fd, EPOLL_CTL_ADD, p->packets.fd, &packets) == 0);
    e->arena = mem_alloc(PORT_EPOLL_ARENA_BYTES);
    p->io = e;
    return ERR_OK;
}

static void epoll_close(struct port *p)
{
    struct epoll_io *e = p->io;

    (void)close(e->fd);
    mem_free(e->arena);
    mem_free(e);
}

static void epoll_accept(struct port *p, struct port_listener *l, bool on)
{
    struct epoll_io *e = p->io;
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = tagged(l, TAG_LISTENER)};

    if (on != l->on) {
        l->on = on;
        CHECK(epoll_ctl(e->fd, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, l->fd, &ev) == 0);
    }
}

/* c->io_ops holds the event mask the kernel has, with ADDED once it is known there. */
#define ADDED (1U << 27)
static void want(struct port *p, struct port_conn *c, uint32_t mask)
{
    struct epoll_io *e = p->io;
    struct epoll_event ev = {.events = mask, .data.ptr = tagged(c, TAG_CONN)};

    if (c->io_ops == (mask | ADDED)) {
        return;
    }
    CHECK(epoll_ctl(e->fd, (c->io_ops & ADDED) != 0 ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &ev) ==
          0);
    c->io_ops = mask | ADDED;
}

static void epoll_read(struct port *p, struct port_conn *c)
{
    uint32_t mask = c->send_busy ? EPOLLOUT : 0;

    want(p, c, port_conn_wants_input(c) ? mask | EPOLLIN : mask);
}

static void epoll_dial(struct port *p, struct port_conn *c, const struct sockaddr_storage *to)
{
    if (connect(c->fd, (const struct sockaddr *)to, port_net_len(to)) == 0) {
        port_on_dialed(p, c, 0);
        p->urgent = true;
    } else if (errno == EINPROGRESS) {
        want(p, c, EPOLLOUT);
    } else {
        port_on_dialed(p, c, errno);
        p->urgent = true;
    }
}

static void epoll_flush(struct port *p, struct port_conn *c)
{
    struct iovec iov[PORT_IOV_MAX];

    while (c->unsent > 0) {
        struct msghdr m = {.msg_iov = iov, .msg_iovlen = port_conn_iov(c, iov, PORT_IOV_MAX)};
        ssize_t n = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            c->send_busy = errno == EAGAIN || errno == EWOULDBLOCK;
            if (c->send_busy) {
                epoll_read(p, c); /* and now for EPOLLOUT too */
            } else {
                port_on_end(p, c, errno);
                p->urgent = true;
            }
            return;
        }
        port_on_sent(p, c, (size_t)n);
        if (c->state == CONN_DEAD) {
            return;
        }
    }
    if (c->send_busy) {
        c->send_busy = false;
        epoll_read(p, c);
    }
}

static void epoll_detach(struct port *p, struct port_conn *c)
{
    (void)close(c->fd); /* leaves the epoll set with it */
    port_conn_released(p, c);
}

static void collect_accepts(struct port *p, struct port_listener *l)
{
    for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd >= 0) {
            port_on_accept(p, l, fd);
        } else if (errno == EAGAIN) {
            return;
        } else {
            port_on_accept_error(p, l, errno);
            return;
        }
    }
}

static void collect_bytes(struct port *p, struct port_conn *c)
{
    struct epoll_io *e = p->io;
    size_t room = PORT_EPOLL_ARENA_BYTES - e->used;
    ssize_t n;

    if (room > PORT_EPOLL_READ_BYTES) {
        room = PORT_EPOLL_READ_BYTES;
    }
    if (room == 0) {
        SOMETIMES(true, "port: more input than one turn takes");
        p->urgent = true;
        return;
    }
    n = recv(c->fd, e->arena + e->used, room, MSG_DONTWAIT);
    if (n > 0) {
        port_on_data(p, c, e->arena + e->used, (size_t)n);
        e->used += (size_t)n;
    } else if (n == 0) {
        port_on_end(p, c, 0);
    } else if (errno != EAGAIN && errno != EINTR) {
        port_on_end(p, c, errno);
    }
    if (c->state != CONN_DEAD && c->ended) {
        epoll_read(p, c); /* an end stays readable: do not ask again */
    }
}

static void collect_conn(struct port *p, struct port_conn *c, uint32_t events)
{
    int error = 0;
    socklen_t len = sizeof error;

    if (c->state == CONN_DIALING) {
        if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) {
            error = errno;
        }
        want(p, c, 0);
        port_on_dialed(p, c, error);
        return;
    }
    if ((events & EPOLLOUT) != 0 && c->send_busy) {
        epoll_flush(p, c);
    }
    if (c->state == CONN_DEAD) {
        return;
    }
    if ((events & EPOLLIN) != 0 && port_conn_wants_input(c)) {
        collect_bytes(p, c);
    } else if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
        /* Not asked to read, yet it is over: bytes in between do not matter any more. */
        if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error == 0) {
            error = ECONNRESET;
        }
        port_on_end(p, c, error);
    }
}

static void epoll_wait_turn(struct port *p, uint64_t timeout_us)
{
    struct epoll_io *e = p->io;
    struct timespec t = {.tv_sec = (time_t)(timeout_us / 1000000),
                         .tv_nsec = (long)(timeout_us % 1000000) * 1000};
    int n = epoll_pwait2(e->fd, e->events, EPOLL_EVENTS, &t, NULL);

    if (n < 0 && errno == ENOSYS) { /* before Linux 5.11 */
        n = epoll_wait(e->fd, e->events, EPOLL_EVENTS, (int)((timeout_us + 999) / 1000));
    }
    for (int i = 0; i < n; i++) {
        uintptr_t tag = (uintptr_t)e->events[i].data.ptr & TAG_MASK;
        void *ptr = (char *)e->events[i].data.ptr - tag;

        if (tag == TAG_CONN) {
            collect_conn(p, ptr, e->events[i].events);
        } else if (tag == TAG_LISTENER) {
            collect_accepts(p, ptr);
        } else if (tag == TAG_PACKETS) {
            port_packets_collect(p);
        } else {
            port_on_wake(p);
        }
    }
}

static void epoll_recycle(struct port *p)
{
    struct epoll_io *e = p->io;

    e->used = 0;
}

const struct port_backend port_backend_epoll = {
    .name = "epoll",
    .open = epoll_open,
    .close = epoll_close,
    .accept = epoll_accept,
    .dial = epoll_dial,
    .read = epoll_read,
    .flush = epoll_flush,
    .detach = epoll_detach,
    .wait = epoll_wait_turn,
    .recycle = epoll_recycle,
};
