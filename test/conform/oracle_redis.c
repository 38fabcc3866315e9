/* oracle_redis.c - a redis-server of our own on a unix socket in a directory of its
 * own, so that it meets no other; it ends when we end. */
#include "oracle.h"
#include "resp/resp.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { START_TRIES = 500, START_WAIT_MS = 10 };

static void run_server(const char *program, const char *dir, const char *sock)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)!freopen("/dev/null", "w", stdout);
    execlp(program, program, "--port", "0", "--unixsocket", sock, "--save", "", "--appendonly",
           "no", "--dir", dir, (char *)NULL);
    _exit(127);
}

static int connect_to(const char *sock)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    CHECK(strlen(sock) < sizeof(addr.sun_path));
    memcpy(addr.sun_path, sock, strlen(sock) + 1);
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

bool oracle_redis_start(struct oracle_redis *r, const char *program, int proto)
{
    char sock[96];

    *r = (struct oracle_redis){.fd = -1};
    (void)snprintf(r->dir, sizeof(r->dir), "/tmp/synod-oracle-XXXXXX");
    CHECK(mkdtemp(r->dir) != NULL);
    (void)snprintf(sock, sizeof(sock), "%s/sock", r->dir);
    r->pid = fork();
    CHECK(r->pid >= 0);
    if (r->pid == 0) {
        run_server(program, r->dir, sock);
    }
    for (int tries = 0; tries < START_TRIES && r->fd < 0; tries++) {
        struct timespec wait = {0, START_WAIT_MS * 1000000L};

        if (waitpid(r->pid, NULL, WNOHANG) == r->pid) {
            r->pid = 0;
            break;
        }
        (void)nanosleep(&wait, NULL);
        r->fd = connect_to(sock);
    }
    if (r->fd < 0) {
        oracle_redis_stop(r);
        return false;
    }
    if (proto == 3) {
        oracle_redis_send(r, SLICE("HELLO 3\r\n"));
        (void)oracle_redis_reply(r);
    }
    return true;
}

void oracle_redis_stop(struct oracle_redis *r)
{
    char path[96];

    if (r->fd >= 0) {
        close(r->fd);
    }
    if (r->pid > 0) {
        (void)kill(r->pid, SIGKILL);
        (void)waitpid(r->pid, NULL, 0);
    }
    (void)snprintf(path, sizeof(path), "%s/sock", r->dir);
    (void)unlink(path);
    (void)rmdir(r->dir);
    buf_free(&r->in);
    *r = (struct oracle_redis){.fd = -1};
}

void oracle_redis_send(struct oracle_redis *r, struct slice bytes)
{
    while (bytes.len > 0) {
        ssize_t sent = write(r->fd, bytes.data, bytes.len);

        if (sent < 0 && errno == EINTR) {
            continue;
        }
        CHECK(sent > 0);
        bytes.data += sent;
        bytes.len -= (size_t)sent;
    }
}

struct slice oracle_redis_reply(struct oracle_redis *r)
{
    struct diag why;
    size_t used;

    if (r->used == r->in.len) {
        r->used = 0;
        r->in.len = 0;
    }
    for (;;) {
        struct slice left = {r->in.data + r->used, r->in.len - r->used};
        enum resp_status status =
            left.len == 0 ? RESP_MORE : resp_value_bytes(left.data, left.len, &used, &why);
        ssize_t got;

        CHECK(status != RESP_BAD);
        if (status == RESP_DONE) {
            r->used += used;
            return (struct slice){left.data, used};
        }
        buf_reserve(&r->in, 64U << 10);
        got = read(r->fd, r->in.data + r->in.len, r->in.cap - r->in.len);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        CHECK(got > 0);
        r->in.len += (size_t)got;
    }
}
