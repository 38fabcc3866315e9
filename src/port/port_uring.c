/* port_uring.c - the backend on io_uring; liburing is used here alone.
 *
 * Accepts and receives are multishot; received bytes land in a ring of provided
 * buffers, so that idle connections cost none. A connection has at most one
 * receive and one send in the kernel; its memory stays until both have ended.
 * Source: Axboe, Efficient IO with io_uring (2019); io_uring_setup(2). */
#include "port/port_internal.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BUFFER_GROUP = 0, MSGS = PORT_URING_ENTRIES };
enum { TAG_RECV, TAG_SEND, TAG_DIAL, TAG_CANCEL, TAG_ACCEPT, TAG_WAKE, TAG_PACKETS, TAG_MASK = 7 };

struct uring_io {
    struct io_uring ring;
    struct io_uring_buf_ring *bufs;
    uint8_t *memory;                    /* of the buffers */
    uint16_t taken[PORT_URING_BUFFERS]; /* given to the node in this turn */
    unsigned taken_count;
    struct list rearm; /* connections whose receive ended although they want more */
    bool wake_armed, packets_armed;
    /* Headers of sends not yet submitted; the kernel copies them at submission. */
    struct msghdr msgs[MSGS];
    struct iovec iovs[MSGS][PORT_IOV_MAX];
    unsigned msg_count;
};

static size_t bufs_bytes(void)
{
    return PORT_URING_BUFFERS * sizeof(struct io_uring_buf);
}

static void submit(struct uring_io *u)
{
    int rc;

    do {
        rc = io_uring_submit(&u->ring);
    } while (rc == -EINTR || rc == -EAGAIN || rc == -EBUSY);
    CHECK(rc >= 0);
    u->msg_count = 0;
}

/* Preparing an entry clears its user_data: set that afterwards. */
static struct io_uring_sqe *next_sqe(struct uring_io *u)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

    if (sqe == NULL) {
        submit(u);
        sqe = io_uring_get_sqe(&u->ring);
        CHECK(sqe != NULL);
    }
    return sqe;
}

static uint64_t mark_of(const void *ptr, uintptr_t tag)
{
    return (uint64_t)((uintptr_t)ptr | tag);
}

static enum err refused(struct diag *why, const char *what, int error)
{
    diag_set(why,
             "the kernel refuses io_uring (%s: %s); use --io epoll, or allow io_uring (sysctl "
             "kernel.io_uring_disabled, the container's seccomp profile, Linux 6.0 or newer)",
             what, strerror(error));
    return ERR_REFUSED;
}

static int setup_ring(struct io_uring *ring)
{
    /* Newest first; an older kernel answers EINVAL to flags it does not know. */
    static const unsigned flags[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
        IORING_SETUP_COOP_TASKRUN,
        0,
    };
    int rc = -EINVAL;

    for (size_t i = 0; i < ARRAY_COUNT(flags) && rc == -EINVAL; i++) {
        struct io_uring_params params = {
            .flags = flags[i] | IORING_SETUP_CQSIZE,
            .cq_entries = 8 * PORT_URING_ENTRIES,
        };

        rc = io_uring_queue_init_params(PORT_URING_ENTRIES, ring, &params);
    }
    return rc;
}

static void give_buffer(struct uring_io *u, unsigned id, unsigned place)
{
    io_uring_buf_ring_add(u->bufs, u->memory + (size_t)id * PORT_URING_BUFFER_BYTES,
                          PORT_URING_BUFFER_BYTES, (unsigned short)id,
                          io_uring_buf_ring_mask(PORT_URING_BUFFERS), (int)place);
}

static int setup_buffers(struct uring_io *u)
{
    struct io_uring_buf_reg reg = {.ring_entries = PORT_URING_BUFFERS, .bgid = BUFFER_GROUP};

    u->bufs = mmap(NULL, bufs_bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    u->memory = mmap(NULL, (size_t)PORT_URING_BUFFERS * PORT_URING_BUFFER_BYTES,
                     PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (u->bufs == MAP_FAILED || u->memory == MAP_FAILED) {
        return -ENOMEM;
    }
    reg.ring_addr = (uint64_t)(uintptr_t)u->bufs;
    int rc = io_uring_register_buf_ring(&u->ring, &reg, 0);

    if (rc != 0) {
        return rc;
    }
    io_uring_buf_ring_init(u->bufs);
    for (unsigned i = 0; i < PORT_URING_BUFFERS; i++) {
        give_buffer(u, i, i);
    }
    io_uring_buf_ring_advance(u->bufs, PORT_URING_BUFFERS);
    return 0;
}

/* Multishot receive came with Linux 6.0 and has no flag of its own to ask for;
 * the zero-copy send of the same release has. */
static bool new_enough(struct io_uring *ring)
{
    struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
    bool yes = probe != NULL && io_uring_opcode_supported(probe, IORING_OP_SEND_ZC) != 0;

    io_uring_free_probe(probe);
    return yes;
}

static void arm_wake(struct port *p)
{
    struct uring_io *u = p->io;
    struct io_uring_sqe *sqe = next_sqe(u);

    io_uring_prep_poll_multishot(sqe, p->wake_fd, POLLIN);
    sqe->user_data = mark_of(p, TAG_WAKE);
    u->wake_armed = true;
}

/* Says once for each datagram that came that there is something, not for as long as there is. */
static void arm_packets(struct port *p)
{
    struct uring_io *u = p->io;
    struct io_uring_sqe *sqe = next_sqe(u);

    io_uring_prep_poll_multishot(sqe, p->packets.fd, POLLIN);
    sqe->user_data = mark_of(p, TAG_PACKETS);
    u->packets_armed = true;
}

static enum err uring_open(struct port *p, struct diag *why)
{
    struct uring_io *u = MEM_NEW(struct uring_io);
    enum err err = ERR_REFUSED;
    int rc = setup_ring(&u->ring);

    if (rc != 0) {
        mem_free(u);
        return refused(why, "io_uring_setup", -rc);
    }
    list_init(&u->rearm);
    p->io = u;
    if (!new_enough(&u->ring)) {
        err = refused(why, "no multishot receive", ENOSYS);
        goto fail;
    }
    rc = setup_buffers(u);
    if (rc != 0) {
        err = refused(why, "provided buffers", -rc);
        goto fail;
    }
    (void)io_uring_register_ring_fd(&u->ring); /* saves a little; older kernels lack it */
    arm_wake(p);
    arm_packets(p);
    return ERR_OK;
fail:
    p->backend->close(p);
    return err;
}

static void uring_close(struct port *p)
{
    struct uring_io *u = p->io;

    io_uring_queue_exit(&u->ring);
    if (u->bufs != NULL && u->bufs != MAP_FAILED) {
        (void)munmap(u->bufs, bufs_bytes());
    }
    if (u->memory != NULL && u->memory != MAP_FAILED) {
        (void)munmap(u->memory, (size_t)PORT_URING_BUFFERS * PORT_URING_BUFFER_BYTES);
    }
    mem_free(u);
    p->io = NULL;
}

static void arm_accept(struct uring_io *u, struct port_listener *l)
{
    struct io_uring_sqe *sqe = next_sqe(u);

    io_uring_prep_multishot_accept(sqe, l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    sqe->user_data = mark_of(l, TAG_ACCEPT);
    l->armed = true;
}

static void cancel(struct uring_io *u, uint64_t mark)
{
    struct io_uring_sqe *sqe = next_sqe(u);

    io_uring_prep_cancel64(sqe, mark, 0);
    sqe->user_data = TAG_CANCEL;
}

static void uring_accept(struct port *p, struct port_listener *l, bool on)
{
    struct uring_io *u = p->io;

    l->on = on;
    if (on && !l->armed) {
        arm_accept(u, l);
    } else if (!on && l->armed) {
        cancel(u, mark_of(l, TAG_ACCEPT));
    }
}

static void uring_read(struct port *p, struct port_conn *c)
{
    struct uring_io *u = p->io;
    bool wants = port_conn_wants_input(c);

    if (wants && !c->recv_armed) {
        struct io_uring_sqe *sqe = next_sqe(u);

        list_remove(&c->in_rearm);
        io_uring_prep_recv_multishot(sqe, c->fd, NULL, 0, 0);
        sqe->flags |= IOSQE_BUFFER_SELECT;
        sqe->buf_group = BUFFER_GROUP;
        sqe->user_data = mark_of(c, TAG_RECV);
        c->recv_armed = true;
        c->recv_stopping = false;
        c->io_ops++;
    } else if (!wants && c->recv_armed && !c->recv_stopping) {
        cancel(u, mark_of(c, TAG_RECV));
        c->recv_stopping = true;
    }
}

static void uring_dial(struct port *p, struct port_conn *c, const struct sockaddr_storage *to)
{
    struct uring_io *u = p->io;
    struct io_uring_sqe *sqe = next_sqe(u);

    io_uring_prep_connect(sqe, c->fd, (const struct sockaddr *)to, port_net_len(to));
    sqe->user_data = mark_of(c, TAG_DIAL);
    c->io_ops++;
    submit(u); /* the address is the caller's: the kernel copies it now */
}

static void uring_flush(struct port *p, struct port_conn *c)
{
    struct uring_io *u = p->io;
    struct io_uring_sqe *sqe = next_sqe(u);

    CHECK(!c->send_busy);
    CHECK(c->unsent > 0);
    if (c->out_head->next == NULL) {
        struct buf *b = &c->out_head->data;

        io_uring_prep_send(sqe, c->fd, b->data + c->out_pos, b->len - c->out_pos, MSG_NOSIGNAL);
    } else {
        CHECK(u->msg_count < MSGS); /* one per entry of the submission queue at most */
        struct iovec *iov = u->iovs[u->msg_count];
        struct msghdr *m = &u->msgs[u->msg_count++];

        *m = (struct msghdr){.msg_iov = iov, .msg_iovlen = port_conn_iov(c, iov, PORT_IOV_MAX)};
        io_uring_prep_sendmsg(sqe, c->fd, m, MSG_NOSIGNAL);
    }
    sqe->user_data = mark_of(c, TAG_SEND);
    c->send_busy = true;
    c->io_ops++;
}

static void finish(struct port *p, struct port_conn *c)
{
    if (c->io_ops == 0) {
        (void)close(c->fd);
        port_conn_released(p, c);
    }
}

static void uring_detach(struct port *p, struct port_conn *c)
{
    struct uring_io *u = p->io;

    list_remove(&c->in_rearm);
    if (c->io_ops > 0) {
        struct io_uring_sqe *sqe = next_sqe(u);

        io_uring_prep_cancel_fd(sqe, c->fd, IORING_ASYNC_CANCEL_ALL);
        sqe->user_data = TAG_CANCEL;
    }
    finish(p, c);
}

/* --- completions --- */

static void on_recv(struct port *p, struct port_conn *c, const struct io_uring_cqe *cqe)
{
    struct uring_io *u = p->io;

    if ((cqe->flags & IORING_CQE_F_MORE) == 0) {
        c->recv_armed = false;
        c->recv_stopping = false;
        c->io_ops--;
    }
    if ((cqe->flags & IORING_CQE_F_BUFFER) != 0) {
        uint16_t id = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);

        CHECK(u->taken_count < PORT_URING_BUFFERS);
        u->taken[u->taken_count++] = id;
        if (cqe->res > 0) {
            port_on_data(p, c, u->memory + (size_t)id * PORT_URING_BUFFER_BYTES, (size_t)cqe->res);
        }
    }
    if (c->state == CONN_DEAD) {
        finish(p, c);
        return;
    }
    if (cqe->res == 0) {
        port_on_end(p, c, 0);
    } else if (cqe->res < 0 && cqe->res != -ENOBUFS && cqe->res != -ECANCELED &&
               cqe->res != -EINTR && cqe->res != -EAGAIN) {
        port_on_end(p, c, -cqe->res);
    }
    SOMETIMES(cqe->res == -ENOBUFS, "port: every receive buffer was in use");
    if (c->state != CONN_DEAD && !c->recv_armed && port_conn_wants_input(c) &&
        list_empty(&c->in_rearm)) {
        list_push_back(&u->rearm, &c->in_rearm); /* once the buffers are back */
    }
}

static void on_send(struct port *p, struct port_conn *c, int result)
{
    c->io_ops--;
    c->send_busy = false;
    if (c->state == CONN_DEAD) {
        finish(p, c);
        return;
    }
    if (result >= 0) {
        port_on_sent(p, c, (size_t)result);
    } else if (result != -EINTR && result != -EAGAIN && result != -ENOBUFS) {
        port_on_end(p, c, -result);
        return;
    }
    if (c->state != CONN_DEAD && c->unsent > 0) {
        uring_flush(p, c);
    }
}

static void on_dial(struct port *p, struct port_conn *c, int result)
{
    c->io_ops--;
    if (c->state == CONN_DEAD) {
        finish(p, c);
        return;
    }
    port_on_dialed(p, c, -result);
}

static void on_accept(struct port *p, struct port_listener *l, const struct io_uring_cqe *cqe)
{
    if ((cqe->flags & IORING_CQE_F_MORE) == 0) {
        l->armed = false;
    }
    if (cqe->res >= 0) {
        port_on_accept(p, l, cqe->res);
    } else if (cqe->res != -ECANCELED) {
        port_on_accept_error(p, l, -cqe->res);
    }
}

static void on_wake(struct port *p, const struct io_uring_cqe *cqe)
{
    struct uring_io *u = p->io;

    u->wake_armed = (cqe->flags & IORING_CQE_F_MORE) != 0;
    port_on_wake(p);
}

static void on_packets(struct port *p, const struct io_uring_cqe *cqe)
{
    struct uring_io *u = p->io;

    u->packets_armed = (cqe->flags & IORING_CQE_F_MORE) != 0;
    port_packets_collect(p);
}

static void on_completion(struct port *p, const struct io_uring_cqe *cqe)
{
    uintptr_t tag = (uintptr_t)cqe->user_data & TAG_MASK;
    void *ptr = (void *)((uintptr_t)cqe->user_data & ~(uintptr_t)TAG_MASK);

    switch (tag) {
    case TAG_RECV:
        on_recv(p, ptr, cqe);
        return;
    case TAG_SEND:
        on_send(p, ptr, cqe->res);
        return;
    case TAG_DIAL:
        on_dial(p, ptr, cqe->res);
        return;
    case TAG_ACCEPT:
        on_accept(p, ptr, cqe);
        return;
    case TAG_WAKE:
        on_wake(p, cqe);
        return;
    case TAG_PACKETS:
        on_packets(p, cqe);
        return;
    case TAG_CANCEL: /* what it cancelled reports by itself */
        return;
    default:
        UNREACHABLE("unknown completion");
    }
}

static void enter(struct uring_io *u, uint64_t timeout_us)
{
    struct __kernel_timespec t = {.tv_sec = (long long)(timeout_us / 1000000),
                                  .tv_nsec = (long long)(timeout_us % 1000000) * 1000};
    struct io_uring_cqe *first;
    int rc;

    if (timeout_us == 0) {
        rc = io_uring_submit_and_get_events(&u->ring);
    } else {
        rc = io_uring_submit_and_wait_timeout(&u->ring, &first, 1, &t, NULL);
    }
    CHECK(rc >= 0 || rc == -ETIME || rc == -EINTR || rc == -EAGAIN || rc == -EBUSY);
    if (io_uring_sq_ready(&u->ring) == 0) {
        u->msg_count = 0;
    }
}

static void uring_wait(struct port *p, uint64_t timeout_us)
{
    struct uring_io *u = p->io;
    uint64_t start_us = timeout_us > 0 ? port_mono_us() : 0;
    uint64_t left_us = timeout_us;

    for (;;) {
        struct io_uring_cqe *cqe;
        unsigned head, count = 0;

        enter(u, left_us);
        io_uring_for_each_cqe(&u->ring, head, cqe)
        {
            on_completion(p, cqe);
            count++;
        }
        io_uring_cq_advance(&u->ring, count);
        if (timeout_us == 0 || p->event_count > 0 || p->urgent || p->woken || count == 0) {
            return;
        }
        /* Only our own sends ended: nothing the node has to hear of now. */
        uint64_t gone_us = port_mono_us() - start_us;

        if (gone_us >= timeout_us) {
            return;
        }
        left_us = timeout_us - gone_us;
    }
}

static void uring_recycle(struct port *p)
{
    struct uring_io *u = p->io;
    struct list *item;

    for (unsigned i = 0; i < u->taken_count; i++) {
        give_buffer(u, u->taken[i], i);
    }
    if (u->taken_count > 0) {
        io_uring_buf_ring_advance(u->bufs, (int)u->taken_count);
        u->taken_count = 0;
    }
    while ((item = list_pop_front(&u->rearm)) != NULL) {
        uring_read(p, LIST_ENTRY(item, struct port_conn, in_rearm));
    }
    for (unsigned i = 0; i < PORT_LISTENERS; i++) {
        struct port_listener *l = &p->listener[i];

        if (l->on && !l->armed && l->paused_until == 0) {
            arm_accept(u, l);
        }
    }
    if (!u->wake_armed) {
        arm_wake(p);
    }
    if (!u->packets_armed) {
        arm_packets(p);
    }
}

const struct port_backend port_backend_uring = {
    .name = "uring",
    .open = uring_open,
    .close = uring_close,
    .accept = uring_accept,
    .dial = uring_dial,
    .read = uring_read,
    .flush = uring_flush,
    .detach = uring_detach,
    .wait = uring_wait,
    .recycle = uring_recycle,
};
