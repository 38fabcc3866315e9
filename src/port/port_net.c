/* port_net.c - addresses and listening sockets. */
#include "port/port_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { LISTEN_TRIES = 150, LISTEN_PAUSE_MS = 20 };

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

int port_net_resolve(const char *addr, bool numeric, struct sockaddr_storage *out)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
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

static enum err listen_failed(const char *addr, const char *flag, int error, struct diag *why)
{
    switch (error) {
    case EADDRINUSE:
        diag_set(why,
                 "cannot listen on %s: address already in use; stop the process that holds it "
                 "(ss -ltnp) or choose another %s",
                 addr, flag);
        return ERR_EXISTS;
    case EACCES:
        diag_set(why, "cannot listen on %s: ports below 1024 need privileges; choose a higher one",
                 addr);
        return ERR_BAD_ARGUMENT;
    case EADDRNOTAVAIL:
        diag_set(why, "cannot listen on %s: this machine has no such address (ip addr lists them)",
                 addr);
        return ERR_BAD_ARGUMENT;
    default:
        diag_set(why, "cannot listen on %s: %s", addr, strerror(error));
        return ERR_IO;
    }
}

/* The kernel takes a killed process's ring apart after the process is gone, and the ring
 * holds the listening socket: measured 4 to 16 ms, and more than half a second on a machine that
 * has no processor to spare. A restart must not trip over that: it tries for 3 s. */
static int bind_and_listen(int s, const struct sockaddr_storage *at)
{
    const struct timespec pause = {.tv_nsec = LISTEN_PAUSE_MS * 1000 * 1000};

    bool bound = false;

    for (unsigned tries = 0;; tries++) {
        bound = bound || bind(s, (const struct sockaddr *)at, port_net_len(at)) == 0;
        if (bound && listen(s, PORT_BACKLOG) == 0) {
            return 0;
        }
        if (errno != EADDRINUSE || tries == LISTEN_TRIES) {
            return errno;
        }
        (void)nanosleep(&pause, NULL);
    }
}

enum err port_net_listen(const char *addr, const char *flag, int *fd, struct diag *why)
{
    struct sockaddr_storage at;
    int one = 1;
    int rc = port_net_resolve(addr, false, &at);

    *fd = -1;
    if (rc != 0) {
        diag_set(why, "cannot listen on %s: %s; give HOST:PORT or [V6-ADDRESS]:PORT", addr,
                 gai_strerror(rc));
        return ERR_BAD_ARGUMENT;
    }
    int s = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (s < 0) {
        return listen_failed(addr, flag, errno, why);
    }
    (void)setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (at.ss_family == AF_INET6) {
        (void)setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    }
    int error = bind_and_listen(s, &at);

    if (error != 0) {
        (void)close(s);
        return listen_failed(addr, flag, error, why);
    }
    *fd = s;
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
