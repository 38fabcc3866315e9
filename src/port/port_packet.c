/* port_packet.c - the datagrams of the peer port: one socket, read when it is readable.
 *
 * Both backends say when; the reading is the same: a turn takes at most PORT_PACKETS, straight
 * into memory that is there for the whole life. What does not fit a turn waits in the socket.
 * They are few, some a second for each member, so neither a receive in the ring nor a send that
 * waits for the kernel's buffers would pay: what cannot be sent now is lost, as datagrams are. */
#include "port/port_internal.h"

#include <errno.h>
#include <unistd.h>

enum { BATCH = 16 }; /* datagrams for one system call */

enum err port_packets_open(struct port *p, const char *addr, const char *flag, struct diag *why)
{
    struct port_packets *k = &p->packets;

    enum err err = port_net_bind_packets(addr, flag, &k->fd, &k->bound, why);

    if (err == ERR_OK) {
        k->slot = mem_alloc(PORT_PACKETS * sizeof k->slot[0]);
    }
    return err;
}

void port_packets_close(struct port *p)
{
    if (p->packets.fd >= 0) {
        (void)close(p->packets.fd);
    }
    mem_free(p->packets.slot);
}

static void addr_of(const struct sockaddr_storage *from, struct swim_addr *out)
{
    *out = (struct swim_addr){.ip = {[10] = 0xff, [11] = 0xff}};
    if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)from;

        memcpy(out->ip, &v6->sin6_addr, sizeof out->ip);
        out->port = ntohs(v6->sin6_port);
    } else {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)from;

        memcpy(out->ip + 12, &v4->sin_addr, 4);
        out->port = ntohs(v4->sin_port);
    }
}

/* False: the socket's family does not reach it. */
static bool addr_to(const struct sockaddr_storage *bound, const struct swim_addr *to,
                    struct sockaddr_storage *out)
{
    bool v4 = swim_addr_is_v4(to);

    if (v4 != (bound->ss_family == AF_INET)) {
        return false;
    }
    *out = *bound; /* the family; and for addresses of one link, the link */
    if (v4) {
        struct sockaddr_in *a = (struct sockaddr_in *)out;

        memcpy(&a->sin_addr, to->ip + 12, 4);
        a->sin_port = htons(to->port);
    } else {
        struct sockaddr_in6 *a = (struct sockaddr_in6 *)out;

        memcpy(&a->sin6_addr, to->ip, sizeof to->ip);
        a->sin6_port = htons(to->port);
    }
    return true;
}

/* One batch of what is there. False: the socket is empty. */
static bool receive(struct port *p, unsigned most)
{
    struct port_packets *k = &p->packets;
    struct mmsghdr msgs[BATCH];
    struct iovec iov[BATCH];
    int got;

    for (unsigned i = 0; i < most; i++) {
        struct port_packet *at = &k->slot[k->count + i];

        iov[i] = (struct iovec){at->bytes, sizeof at->bytes};
        msgs[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &at->from,
                                               .msg_namelen = sizeof at->from,
                                               .msg_iov = &iov[i],
                                               .msg_iovlen = 1}};
    }
    got = recvmmsg(k->fd, msgs, most, MSG_DONTWAIT, NULL);
    if (got < 0) {
        /* An error that waits at the socket, of a datagram sent long ago, is no end: go on. */
        return errno != EAGAIN && errno != EWOULDBLOCK;
    }
    for (unsigned i = 0; i < (unsigned)got; i++) {
        struct port_packet *at = &k->slot[k->count++];

        if ((msgs[i].msg_hdr.msg_flags & MSG_TRUNC) != 0) {
            k->oversize++; /* none of ours; its slot is not used in this turn */
            continue;
        }
        k->received++;
        k->received_bytes += msgs[i].msg_len;
        port_event_push_packet(p, at, msgs[i].msg_len);
    }
    return true;
}

void port_packets_collect(struct port *p)
{
    struct port_packets *k = &p->packets;

    k->more = false;
    for (unsigned calls = 0; calls < PORT_PACKETS; calls++) {
        unsigned room = PORT_PACKETS - k->count;

        if (room == 0) {
            break;
        }
        if (!receive(p, room < BATCH ? room : BATCH)) {
            return;
        }
    }
    SOMETIMES(true, "port: more datagrams than one turn takes");
    k->more = true;
}

void port_packet_tell(struct port *p, const struct port_event *e)
{
    struct swim_addr from;

    addr_of(&e->packet->from, &from);
    node_packet(p->node, &from, e->packet->bytes, e->len);
}

void port_packets_recycle(struct port *p)
{
    p->packets.count = 0;
    if (p->packets.more) {
        p->urgent = true; /* the kernel does not say again that there is something */
    }
}

void port_packet_send(struct port *p, const struct swim_addr *to, struct slice data)
{
    struct port_packets *k = &p->packets;
    struct sockaddr_storage at;
    ssize_t n = -1;

    CHECK(data.len <= NODE_PACKET_BYTES_MAX);
    CHECK(to->port != 0);
    if (addr_to(&k->bound, to, &at)) {
        /* An error may be of an earlier datagram, which the kernel tells here: once more. */
        for (unsigned tries = 0; tries < 2 && n < 0; tries++) {
            n = sendto(k->fd, data.data, data.len, MSG_DONTWAIT | MSG_NOSIGNAL,
                       (const struct sockaddr *)&at, port_net_len(&at));
            if (n < 0 && errno != ECONNREFUSED && errno != EINTR) {
                break;
            }
        }
    }
    if (n < 0) {
        k->unsent++; /* no room, no route, too large for the way, forbidden: as if lost */
    } else {
        k->sent++;
        k->sent_bytes += data.len;
    }
}

enum err port_packet_addr(const struct port *p, const char *addr, struct swim_addr *out,
                          struct diag *why)
{
    struct sockaddr_storage at;
    enum err err = port_net_own(addr, p->packets.bound.ss_family, &at, why);

    *out = (struct swim_addr){0};
    if (err == ERR_OK) {
        addr_of(&at, out);
    }
    return err;
}
