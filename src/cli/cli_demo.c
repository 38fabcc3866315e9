/* cli_demo.c - a whole local cluster: children of this process, one per node.
 *
 * DIR/nodeK/data holds the node's data, DIR/nodeK/log what it says, DIR/nodeK/pid
 * its process. DIR/demo remembers nodes and port: the addresses are part of the
 * cluster, so a later start must repeat them. */
#include "base/base.h"
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { NODES_MAX = 9, PATH_BYTES = 512, STOP_MS = 15000, READY_MS = 120000, PEER_OFFSET = 10000 };

struct child {
    pid_t pid; /* 0: not running */
    bool ready;
    char dir[PATH_BYTES];
};
struct demo {
    int nodes, port;
    const char *dir, *io, *poll_us, *log_level, *gossip_key;
    struct child child[NODES_MAX];
    char found[NODES_MAX * 24];
    sigset_t before; /* the signal mask to give to the children */
};

static int usage(FILE *to, int status)
{
    (void)fprintf(
        to, "usage: synod demo [--nodes N] [--dir DIR] [--port BASE] [--io HOW] [--poll-us N] "
            "[--log-level L]\n"
            "                  [--gossip-key FILE]\n"
            "  N nodes (default 3) on 127.0.0.1:BASE, BASE+1, ... (default 7001), data in DIR\n"
            "  (default ./synod-demo), which a later start finds again; Ctrl-C stops all\n");
    return status;
}

static int64_t now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool number(const char *flag, const char *text, int most, int *out)
{
    char *end;
    long n = strtol(text, &end, 10);

    if (*text == '\0' || *end != '\0' || n < 1 || n > most) {
        (void)fprintf(stderr, "synod: --%s %s: expected a number of 1..%d\n", flag, text, most);
        return false;
    }
    *out = (int)n;
    return true;
}

/* 0: go on; otherwise the exit status plus one. */
static int parse(struct demo *d, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        const char *flag = argv[i];
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;

        if (strcmp(flag, "--help") == 0 || strcmp(flag, "-h") == 0) {
            return 1 + usage(stdout, 0);
        }
        if (strcmp(flag, "--nodes") != 0 && strcmp(flag, "--dir") != 0 &&
            strcmp(flag, "--port") != 0 && strcmp(flag, "--io") != 0 &&
            strcmp(flag, "--poll-us") != 0 && strcmp(flag, "--log-level") != 0 &&
            strcmp(flag, "--gossip-key") != 0) {
            (void)fprintf(stderr, "synod: unknown flag %s\n", flag);
            return 1 + usage(stderr, 2);
        }
        if (value == NULL) {
            (void)fprintf(stderr, "synod: %s needs a value\n", flag);
            return 1 + usage(stderr, 2);
        }
        i++;
        if (strcmp(flag, "--nodes") == 0) {
            if (!number("nodes", value, NODES_MAX, &d->nodes)) {
                return 1 + 2;
            }
        } else if (strcmp(flag, "--port") == 0) {
            if (!number("port", value, 65535 - PEER_OFFSET - NODES_MAX, &d->port)) {
                return 1 + 2;
            }
        } else if (strcmp(flag, "--dir") == 0) {
            d->dir = value;
        } else if (strcmp(flag, "--io") == 0) {
            d->io = value;
        } else if (strcmp(flag, "--poll-us") == 0) {
            d->poll_us = value;
        } else if (strcmp(flag, "--gossip-key") == 0) {
            d->gossip_key = value;
        } else {
            d->log_level = value;
        }
    }
    return 0;
}

static bool path_of(char out[PATH_BYTES], const char *dir, const char *name)
{
    return snprintf(out, PATH_BYTES, "%s/%s", dir, name) < PATH_BYTES;
}

static bool make_dir(const char *path)
{
    char part[PATH_BYTES];

    (void)snprintf(part, sizeof part, "%s", path);
    for (char *at = part + 1;; at++) {
        char kept = *at;

        if (kept == '/' || kept == '\0') {
            *at = '\0';
            if (mkdir(part, 0700) != 0 && errno != EEXIST) {
                (void)fprintf(stderr, "synod: cannot create %s: %s\n", part, strerror(errno));
                return false;
            }
            *at = kept;
        }
        if (kept == '\0') {
            return true;
        }
    }
}

/* The same nodes and port as before, or a first start. */
static bool same_as_before(const struct demo *d)
{
    char path[PATH_BYTES];
    int nodes = 0, port = 0;
    FILE *f;

    if (!path_of(path, d->dir, "demo")) {
        (void)fprintf(stderr, "synod: --dir %s: the name is too long\n", d->dir);
        return false;
    }
    f = fopen(path, "re");
    if (f != NULL) {
        int fields = fscanf(f, "nodes %d port %d", &nodes, &port);

        (void)fclose(f);
        if (fields == 2 && (nodes != d->nodes || port != d->port)) {
            (void)fprintf(
                stderr,
                "synod: %s holds a demo of %d nodes on port %d; say --nodes %d --port %d, "
                "or choose another --dir\n",
                d->dir, nodes, port, nodes, port);
            return false;
        }
        return true;
    }
    f = fopen(path, "we");
    if (f == NULL || fprintf(f, "nodes %d port %d\n", d->nodes, d->port) < 0 || fclose(f) != 0) {
        (void)fprintf(stderr, "synod: cannot write %s: %s\n", path, strerror(errno));
        return false;
    }
    return true;
}

static _Noreturn void child_run(const struct demo *d, int k, pid_t parent)
{
    char listen[32], data[PATH_BYTES], log[PATH_BYTES];
    const char *argv[20] = {"synod", "server", "--listen", listen, "--dir", data};
    int argc = 6, fd;

    (void)setpgid(0, 0); /* a Ctrl-C is for the parent, which tells the children */
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) {
        _exit(1); /* it died before the line above */
    }
    (void)sigprocmask(SIG_SETMASK, &d->before, NULL);
    (void)snprintf(listen, sizeof listen, "127.0.0.1:%d", d->port + k);
    if (!path_of(data, d->child[k].dir, "data") || !path_of(log, d->child[k].dir, "log")) {
        _exit(1);
    }
    fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0) {
        _exit(1);
    }
    if (d->nodes == 1) {
        argv[argc++] = "--bootstrap";
    } else {
        argv[argc++] = "--found";
        argv[argc++] = d->found;
    }
    if (d->io != NULL) {
        argv[argc++] = "--io";
        argv[argc++] = d->io;
    }
    if (d->poll_us != NULL) {
        argv[argc++] = "--poll-us";
        argv[argc++] = d->poll_us;
    }
    if (d->log_level != NULL) {
        argv[argc++] = "--log-level";
        argv[argc++] = d->log_level;
    }
    if (d->gossip_key != NULL) {
        argv[argc++] = "--gossip-key";
        argv[argc++] = d->gossip_key;
    }
    (void)execv("/proc/self/exe", (char *const *)(uintptr_t)argv);
    (void)fprintf(stderr, "synod: cannot start a node: %s\n", strerror(errno));
    _exit(1);
}

static bool child_start(struct demo *d, int k)
{
    struct child *c = &d->child[k];
    pid_t parent = getpid();
    char name[16], path[PATH_BYTES];
    FILE *f;

    (void)snprintf(name, sizeof name, "node%d", k + 1);
    if (!path_of(c->dir, d->dir, name) || !make_dir(c->dir) || !path_of(path, c->dir, "pid")) {
        return false;
    }
    c->pid = fork();
    if (c->pid == 0) {
        child_run(d, k, parent);
    }
    if (c->pid < 0) {
        c->pid = 0;
        (void)fprintf(stderr, "synod: cannot start node %d: %s\n", k + 1, strerror(errno));
        return false;
    }
    f = fopen(path, "we");
    if (f == NULL || fprintf(f, "%d\n", (int)c->pid) < 0 || fclose(f) != 0) {
        (void)fprintf(stderr, "synod: cannot write %s: %s\n", path, strerror(errno));
        return false;
    }
    return true;
}

/* What the child said last, for the user who has not opened its log. */
static void last_line(const struct child *c, char *out, size_t size)
{
    char path[PATH_BYTES], text[2048];
    ssize_t n = 0;
    int fd = path_of(path, c->dir, "log") ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    char *line;

    if (fd >= 0) {
        off_t end = lseek(fd, 0, SEEK_END);
        off_t from = end > (off_t)sizeof text - 1 ? end - (off_t)sizeof text + 1 : 0;

        n = pread(fd, text, sizeof text - 1, from);
        (void)close(fd);
    }
    text[n > 0 ? n : 0] = '\0';
    while (n > 0 && text[n - 1] == '\n') {
        text[--n] = '\0';
    }
    line = strrchr(text, '\n');
    (void)snprintf(out, size, "%.*s", (int)size - 1, line != NULL ? line + 1 : text);
}

static int running(const struct demo *d)
{
    int count = 0;

    for (int k = 0; k < d->nodes; k++) {
        count += d->child[k].pid != 0;
    }
    return count;
}

static void child_forget(struct child *c)
{
    char path[PATH_BYTES];

    c->pid = 0;
    c->ready = false;
    if (path_of(path, c->dir, "pid")) {
        (void)unlink(path);
    }
}

/* Collect those that ended; true when one did that was not asked to. */
static bool reap(struct demo *d, bool asked)
{
    bool lost = false;
    pid_t pid;
    int status;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (int k = 0; k < d->nodes; k++) {
            struct child *c = &d->child[k];
            char said[400];

            if (c->pid != pid) {
                continue;
            }
            if (!asked || (WIFEXITED(status) && WEXITSTATUS(status) != 0)) {
                last_line(c, said, sizeof said);
                (void)fprintf(stderr, "synod: node %d (process %d) %s %d; it said: %s\n", k + 1,
                              (int)pid, WIFEXITED(status) ? "ended with status" : "died of signal",
                              WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status), said);
                lost = true;
            }
            child_forget(c);
        }
    }
    return lost;
}

static bool node_is_ready(int port)
{
    struct timeval limit = {.tv_usec = 500000};
    redisContext *c = redisConnectWithTimeout("127.0.0.1", port, limit);
    redisReply *r = NULL;
    bool ready = false;

    if (c != NULL && c->err == 0) {
        (void)redisSetTimeout(c, limit);
        r = redisCommand(c, "CLUSTER INFO");
        ready = r != NULL && r->str != NULL && strstr(r->str, "cluster_state:ok") != NULL;
    }
    if (r != NULL) {
        freeReplyObject(r);
    }
    if (c != NULL) {
        redisFree(c);
    }
    return ready;
}

static bool all_ready(struct demo *d)
{
    bool all = true;

    for (int k = 0; k < d->nodes && all; k++) {
        struct child *c = &d->child[k];

        c->ready = c->ready || node_is_ready(d->port + k);
        all = c->ready;
    }
    return all;
}

/* The next signal among those the demo waits for; 0 after ms. */
static int wait_signal(int64_t ms)
{
    sigset_t set;
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000};
    int number;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGHUP);
    (void)sigaddset(&set, SIGCHLD);
    number = sigtimedwait(&set, NULL, &t);
    return number > 0 ? number : 0;
}

static bool is_stop(int number)
{
    return number == SIGINT || number == SIGTERM || number == SIGHUP;
}

static void tell_all(const struct demo *d, int number)
{
    for (int k = 0; k < d->nodes; k++) {
        if (d->child[k].pid != 0) {
            (void)kill(d->child[k].pid, number);
        }
    }
}

static bool stop_all(struct demo *d)
{
    int64_t until = now_ms() + STOP_MS;
    bool clean = true;

    tell_all(d, SIGTERM);
    while (running(d) > 0) {
        if (now_ms() >= until) {
            (void)fprintf(stderr, "synod: a node did not stop within %d s; killed\n",
                          STOP_MS / 1000);
            tell_all(d, SIGKILL);
            until = INT64_MAX;
            clean = false;
        }
        if (is_stop(wait_signal(100))) {
            tell_all(d, SIGTERM); /* asked again: a second signal ends a node at once */
        }
        clean = !reap(d, true) && clean;
    }
    return clean;
}

/* 0 ready, 1 failed, -1 asked to stop. */
static int wait_ready(struct demo *d)
{
    int64_t until = now_ms() + READY_MS;
    bool told = false;

    for (;;) {
        if (is_stop(wait_signal(50))) {
            return -1;
        }
        if (reap(d, false)) {
            return 1;
        }
        if (all_ready(d)) {
            return 0;
        }
        if (!told && now_ms() > until) {
            told = true;
            (void)fprintf(stderr, "synod: not ready after %d s; see %s/node1/log\n",
                          READY_MS / 1000, d->dir);
        }
    }
}

static int serve(struct demo *d)
{
    (void)printf("ready %d node%s on 127.0.0.1:%d..%d; connect with: redis-cli -p %d (data in %s, "
                 "Ctrl-C stops)\n",
                 d->nodes, d->nodes > 1 ? "s" : "", d->port, d->port + d->nodes - 1, d->port,
                 d->dir);
    (void)fflush(stdout);
    while (running(d) > 0) {
        if (is_stop(wait_signal(3600 * 1000))) {
            return stop_all(d) ? 0 : 1;
        }
        if (reap(d, false)) {
            (void)fprintf(stderr, "synod: %d of %d nodes go on\n", running(d), d->nodes);
        }
    }
    return 1;
}

static void block_signals(struct demo *d)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGHUP);
    (void)sigaddset(&set, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &set, &d->before);
    (void)signal(SIGPIPE, SIG_IGN);
}

int cli_demo(int argc, char **argv)
{
    struct demo d = {.nodes = 3, .port = 7001, .dir = "synod-demo"};
    int status = parse(&d, argc, argv);
    size_t at = 0;

    if (status != 0) {
        return status - 1;
    }
    if (!make_dir(d.dir) || !same_as_before(&d)) {
        return 1;
    }
    for (int k = 0; k < d.nodes; k++) {
        at += (size_t)snprintf(d.found + at, sizeof d.found - at, "%s127.0.0.1:%d",
                               k > 0 ? "," : "", d.port + PEER_OFFSET + k);
        CHECK(at < sizeof d.found);
    }
    block_signals(&d);
    for (int k = 0; k < d.nodes; k++) {
        if (!child_start(&d, k)) {
            (void)stop_all(&d);
            return 1;
        }
    }
    status = wait_ready(&d);
    if (status == 0) {
        return serve(&d);
    }
    return stop_all(&d) && status < 0 ? 0 : 1;
}
