/* port_net.c - addresses, and sockets bound to them. */
#include "port/port_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum {
    BIND_WAIT_US = 15000000,
    BIND_PAUSE_US = 20000,
    BIND_LOOK_US = 1000000, /* for a process that holds it: costs some ms with many processes */
    BIND_SAY_US = 1000000,
    NAME_WAIT_US = 3000000, /* name servers may start with us */
    NAME_PAUSE_US = 200000,
};

/* What the user asked for, for the messages. */
struct port_wanted {
    const char *addr, *flag;
    bool packets;
};

/* Split "host:port" or "[v6]:port"; false when it is neither. */
static bool split(const char *addr, char host[NODE_ADDR_MAX], char port[8])
{
    const char *colon = strrchr(addr, ':');
    const char *from = addr;
    size_t host_len;

    if (colon == NULL || strlen(colon + 1) == 0 || strlen(colon + 1) > 5) {
        return false;
    }
    host_len = (size_t)(colon - addr);
    if (*addr == '[') {
        if (host_len < 3 || addr[host_len - 1] != ']') {
            return false;
        }
        from++;
        host_len -= 2;
    } else if (memchr(addr, ':', host_len) != NULL) {
        return false; /* a bare v6 address: which colon begins the port? */
    }
    if (host_len == 0 || host_len >= NODE_ADDR_MAX) {
        return false;
    }
    memcpy(host, from, host_len);
    host[host_len] = '\0';
    (void)snprintf(port, 8, "%s", colon + 1);
    return true;
}

static int resolve(const char *addr, sa_family_t family, bool numeric, struct sockaddr_storage *out)
{
    struct addrinfo hints = {
        .ai_family = family, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char host[NODE_ADDR_MAX], port[8];
    int rc;

    if (!split(addr, host, port)) {
        return EAI_NONAME;
    }
    if (numeric) {
        hints.ai_flags |= AI_NUMERICHOST;
    }
    rc = getaddrinfo(host, port, &hints, &found);
    if (rc == 0) {
        memset(out, 0, sizeof *out);
        memcpy(out, found->ai_addr, found->ai_addrlen);
        freeaddrinfo(found);
    }
    return rc;
}

int port_net_resolve(const char *addr, bool numeric, struct sockaddr_storage *out)
{
    return resolve(addr, AF_UNSPEC, numeric, out);
}

socklen_t port_net_len(const struct sockaddr_storage *a)
{
    return a->ss_family == AF_INET6 ? (socklen_t)sizeof(struct sockaddr_in6)
                                    : (socklen_t)sizeof(struct sockaddr_in);
}

void port_net_text(const struct sockaddr_storage *a, char out[NODE_ADDR_MAX])
{
    char host[INET6_ADDRSTRLEN] = "?";

    if (a->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)a;

        (void)inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
        (void)snprintf(out, NODE_ADDR_MAX, "[%s]:%u", host, ntohs(v6->sin6_port));
    } else {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)a;

        (void)inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
        (void)snprintf(out, NODE_ADDR_MAX, "%s:%u", host, ntohs(v4->sin_port));
    }
}

static enum err bind_failed(const struct port_wanted *w, int error,
                            const struct port_holder *holder, struct diag *why)
{
    const char *kind = w->packets ? "UDP port of " : "";

    switch (error) {
    case EADDRINUSE:
        if (holder->pid == (int)getpid()) {
            diag_set(why, "cannot listen on %s%s: this node has it already; choose another %s",
                     kind, w->addr, w->flag);
        } else if (holder->pid > 0) {
            diag_set(why,
                     "cannot listen on %s%s: address already in use by process %d (%s); stop it or "
                     "choose another %s",
                     kind, w->addr, holder->pid, holder->name, w->flag);
        } else {
            diag_set(
                why,
                "cannot listen on %s%s: address already in use; stop the process that holds it "
                "(ss -l%cnp) or choose another %s",
                kind, w->addr, w->packets ? 'u' : 't', w->flag);
        }
        return ERR_EXISTS;
    case EACCES:
        diag_set(why,
                 "cannot listen on %s%s: ports below 1024 need privileges; choose a higher one",
                 kind, w->addr);
        return ERR_BAD_ARGUMENT;
    case EADDRNOTAVAIL:
        diag_set(why,
                 "cannot listen on %s%s: this machine has no such address (ip addr lists them)",
                 kind, w->addr);
        return ERR_BAD_ARGUMENT;
    default:
        diag_set(why, "cannot listen on %s%s: %s", kind, w->addr, strerror(error));
        return ERR_IO;
    }
}

/* The kernel takes a killed process's ring apart after the process is gone, in a worker of its
 * own, and the ring holds the socket: measured 4 to 16 ms, and more than nine seconds on a machine
 * that has no processor to spare. A restart must not trip over that: it tries for 15 s. But an
 * address that a living process holds will not come free by waiting. */
static int bind_patiently(int s, const struct sockaddr_storage *at, const struct port_wanted *w,
                          struct port_holder *holder)
{
    const struct timespec pause = {.tv_nsec = BIND_PAUSE_US * 1000};
    uint64_t start_us = port_mono_us(), look_us = 0, gone_us;
    bool bound = false, said = false;

    for (;;) {
        bound = bound || bind(s, (const struct sockaddr *)at, port_net_len(at)) == 0;
        if (bound && (w->packets || listen(s, PORT_BACKLOG) == 0)) {
            return 0;
        }
        if (errno != EADDRINUSE) {
            return errno;
        }
        gone_us = port_mono_us() - start_us;
        if (gone_us >= BIND_WAIT_US) {
            return EADDRINUSE;
        }
        if (gone_us >= look_us) {
            if (port_holder_find(at, w->packets, holder)) {
                return EADDRINUSE;
            }
            *holder = (struct port_holder){0}; /* nobody, or nobody that this user may see */
            look_us += BIND_LOOK_US;
        }
        if (gone_us >= BIND_SAY_US && !said) {
            said = true;
            port_log(NODE_LOG_WARN,
                     "waiting for an address that is in use by no process that can be seen; the "
                     "kernel may not have taken apart one that was killed %s=%s up_to_s=%d",
                     w->packets ? "udp" : "listen", w->addr, BIND_WAIT_US / 1000000);
        }
        (void)nanosleep(&pause, NULL);
    }
}

static enum err bind_wanted(const struct port_wanted *w, int *fd, struct sockaddr_storage *at,
                            struct diag *why)
{
    struct port_holder holder = {0};
    int one = 1, rc = port_net_resolve(w->addr, false, at);

    *fd = -1;
    if (rc != 0) {
        diag_set(why, "cannot listen on %s: %s; give HOST:PORT or [V6-ADDRESS]:PORT", w->addr,
                 gai_strerror(rc));
        return ERR_BAD_ARGUMENT;
    }
    int s = socket(at->ss_family,
                   (w->packets ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (s < 0) {
        return bind_failed(w, errno, &holder, why);
    }
    if (!w->packets) { /* two sockets for datagrams would both be bound, and one be deaf */
        (void)setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    }
    if (at->ss_family == AF_INET6) {
        (void)setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    }
    int error = bind_patiently(s, at, w, &holder);

    if (error != 0) {
        (void)close(s);
        return bind_failed(w, error, &holder, why);
    }
    *fd = s;
    return ERR_OK;
}

enum err port_net_listen(const char *addr, const char *flag, int *fd, struct diag *why)
{
    struct sockaddr_storage at;

    return bind_wanted(&(struct port_wanted){addr, flag, false}, fd, &at, why);
}

enum err port_net_bind_packets(const char *addr, const char *flag, int *fd,
                               struct sockaddr_storage *at, struct diag *why)
{
    return bind_wanted(&(struct port_wanted){addr, flag, true}, fd, at, why);
}

enum err port_net_own(const char *addr, sa_family_t family, struct sockaddr_storage *out,
                      struct diag *why)
{
    const struct timespec pause = {.tv_nsec = NAME_PAUSE_US * 1000};
    uint64_t start_us = port_mono_us();
    int rc;

    do {
        rc = resolve(addr, family, false, out);
    } while (rc == EAI_AGAIN && port_mono_us() - start_us < NAME_WAIT_US &&
             nanosleep(&pause, NULL) == 0);
    if (rc != 0) {
        diag_set(why, "cannot find %s: %s", addr, gai_strerror(rc));
        return ERR_NOT_FOUND;
    }
    return ERR_OK;
}

void port_net_tune(int fd, enum node_conn_kind kind)
{
    int one = 1, idle = 60, interval = 10, probes = 3;
    unsigned silence_ms = 10000;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    if (kind == NODE_CONN_PEER) {
        /* Unacknowledged bytes to a peer: it is gone, dial anew. */
        idle = 5;
        interval = 2;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silence_ms, sizeof silence_ms);
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}
