#include "load.h"

#include "base/base_mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, READ_BYTES = 64 * 1024 };

static uint64_t now_ns(void)
{
    struct timespec t;

    CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

/* Log-linear: each power of two in LOAD_STEPS equal steps, so within 3 % everywhere. */
static uint32_t bucket_of(uint64_t ns)
{
    uint32_t power;
    uint64_t bucket;

    if (ns < LOAD_STEPS) {
        return (uint32_t)ns;
    }
    power = 63 - (uint32_t)__builtin_clzll(ns);
    bucket = (uint64_t)(power - 4) * LOAD_STEPS + (ns >> (power - 5)) - LOAD_STEPS;
    return bucket < LOAD_BUCKETS ? (uint32_t)bucket : LOAD_BUCKETS - 1;
}

static uint64_t bucket_ns(uint32_t bucket)
{
    uint32_t power = bucket / LOAD_STEPS + 4;

    if (bucket < LOAD_STEPS) {
        return bucket;
    }
    return (uint64_t)(bucket % LOAD_STEPS + LOAD_STEPS) << (power - 5);
}

static double percentile_us(const struct load *l, double percent)
{
    uint64_t want = (uint64_t)((double)l->done * percent / 100), seen = 0;

    for (uint32_t i = 0; i < LOAD_BUCKETS; i++) {
        seen += l->histogram[i];
        if (seen > want) {
            return (double)bucket_ns(i) / 1000;
        }
    }
    return (double)l->latency_max_ns / 1000;
}

void load_done(struct load *l, struct load_conn *c, bool ok, struct slice error)
{
    uint64_t took = l->end_ns - c->batch_ns;

    CHECK(c->ops_waiting > 0);
    c->ops_waiting--;
    if (!ok) {
        if (l->errors++ == 0) {
            (void)snprintf(l->first_error, sizeof l->first_error, "%.*s",
                           (int)strcspn((const char *)error.data, "\r\n"),
                           (const char *)error.data);
        }
        return;
    }
    l->done++;
    l->histogram[bucket_of(took)]++;
    l->latency_max_ns = took > l->latency_max_ns ? took : l->latency_max_ns;
}

/* By hand: on a machine shared with the servers, every microsecond of ours is one of theirs. */
struct slice load_key(struct load *l)
{
    enum { DIGITS = 12 };
    static uint8_t key[LOAD_PREFIX_MAX + DIGITS];
    uint64_t n =
        l->opt.sequential ? l->next_key++ % l->opt.keys : prng_below(&l->prng, l->opt.keys);
    size_t prefix = strlen(l->opt.prefix);

    memcpy(key, l->opt.prefix, prefix);
    for (size_t i = prefix + DIGITS; i-- > prefix;) {
        key[i] = (uint8_t)('0' + n % 10);
        n /= 10;
    }
    return (struct slice){key, prefix + DIGITS};
}

static void watch(struct load *l, struct load_conn *c, bool writable)
{
    struct epoll_event e = {.events = writable ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = c};

    CHECK(epoll_ctl(l->epoll, EPOLL_CTL_MOD, c->fd, &e) == 0);
}

static void conn_break(struct load *l, struct load_conn *c, const char *why)
{
    if (!c->broken) {
        c->broken = true;
        l->errors += c->ops_waiting + 1;
        if (l->first_error[0] == 0) {
            (void)snprintf(l->first_error, sizeof l->first_error, "connection: %s", why);
        }
        (void)close(c->fd);
    }
}

static void conn_flush(struct load *l, struct load_conn *c, bool was_blocked)
{
    while (c->sent < c->out.len) {
        ssize_t n = send(c->fd, c->out.data + c->sent, c->out.len - c->sent, MSG_NOSIGNAL);

        if (n < 0 && errno == EAGAIN) {
            watch(l, c, true);
            return;
        }
        if (n < 0) {
            conn_break(l, c, strerror(errno));
            return;
        }
        c->sent += (size_t)n;
    }
    c->out.len = c->sent = 0;
    if (was_blocked) {
        watch(l, c, false);
    }
}

static bool time_left(const struct load *l)
{
    return l->opt.seconds <= 0 || (double)(l->end_ns - l->start_ns) / 1e9 < l->opt.seconds;
}

static void conn_begin_batch(struct load *l, struct load_conn *c)
{
    uint64_t left = l->opt.count - l->issued;
    uint32_t ops = left < l->opt.pipeline ? (uint32_t)left : l->opt.pipeline;

    if (ops == 0 || !time_left(l)) {
        return;
    }
    l->issued += ops;
    c->ops_waiting = ops;
    c->batch_ns = now_ns();
    if (l->opt.proto == LOAD_ETCD) {
        load_etcd_batch(l, c, ops);
    } else {
        load_resp_batch(l, c, ops);
    }
    conn_flush(l, c, false);
}

static void conn_readable(struct load *l, struct load_conn *c)
{
    ssize_t n;
    bool good;

    buf_reserve(&c->in, READ_BYTES);
    n = recv(c->fd, c->in.data + c->in.len, READ_BYTES, 0);
    if (n < 0 && errno == EAGAIN) {
        return;
    }
    if (n <= 0) {
        conn_break(l, c, n == 0 ? "closed by the server" : strerror(errno));
        return;
    }
    c->in.len += (size_t)n;
    l->end_ns = now_ns();
    good = l->opt.proto == LOAD_ETCD ? load_etcd_take(l, c) : load_resp_take(l, c);
    if (!good) {
        conn_break(l, c, "not the protocol");
        return;
    }
    if (c->out.len > 0) {
        conn_flush(l, c, false); /* answers to pings */
    }
    if (!c->broken && c->ops_waiting == 0 && c->replies_left == 0) {
        conn_begin_batch(l, c);
    }
}

static bool conn_open(struct load *l, struct load_conn *c, uint32_t number)
{
    uint32_t t = number % l->opt.targets;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(l->opt.port[t])};
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    int on = 1;

    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(c->fd >= 0);
    if (inet_pton(AF_INET, l->opt.host[t], &at.sin_addr) != 1 ||
        connect(c->fd, (struct sockaddr *)&at, sizeof at) != 0) {
        (void)fprintf(stderr, "load: cannot connect to %s:%u: %s\n", l->opt.host[t], l->opt.port[t],
                      strerror(errno));
        return false;
    }
    CHECK(setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
    CHECK(fcntl(c->fd, F_SETFL, O_NONBLOCK) == 0);
    CHECK(epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &e) == 0);
    return true;
}

static void run_events(struct load *l)
{
    struct epoll_event event[EVENTS];
    int count = epoll_wait(l->epoll, event, EVENTS, 1000);

    for (int i = 0; i < count; i++) {
        struct load_conn *c = event[i].data.ptr;

        if (!c->broken && event[i].events & EPOLLOUT) {
            conn_flush(l, c, true);
        }
        if (!c->broken && event[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
            conn_readable(l, c);
        }
    }
}

static bool busy(const struct load *l)
{
    for (uint32_t i = 0; i < l->opt.clients; i++) {
        if (!l->conn[i].broken && l->conn[i].ops_waiting + l->conn[i].replies_left > 0) {
            return true;
        }
    }
    return false;
}

/* Stops by itself: after count or seconds, or 10 s without any answer. */
static bool run(struct load *l)
{
    l->conn = mem_zalloc(l->opt.clients * sizeof l->conn[0]);
    l->epoll = epoll_create1(0);
    CHECK(l->epoll >= 0);
    for (uint32_t i = 0; i < l->opt.clients; i++) {
        if (!conn_open(l, &l->conn[i], i)) {
            return false;
        }
    }
    l->start_ns = l->end_ns = now_ns();
    for (uint32_t i = 0; i < l->opt.clients; i++) {
        conn_begin_batch(l, &l->conn[i]);
    }
    while (busy(l)) {
        run_events(l);
        if (now_ns() - l->end_ns > 10000000000U) {
            (void)fprintf(stderr, "load: no answer for 10 s\n");
            l->errors++;
            break;
        }
    }
    return true;
}

static void report(struct load *l)
{
    double seconds = (double)(l->end_ns - l->start_ns) / 1e9;

    for (char *p = strpbrk(l->first_error, "\"\\"); p != NULL; p = strpbrk(p, "\"\\")) {
        *p = '\'';
    }
    (void)printf("{\"ops\": %lu, \"seconds\": %.3f, \"per_s\": %.1f, \"p50_us\": %.1f, "
                 "\"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f, \"errors\": %lu, "
                 "\"first_error\": \"%s\"}\n",
                 (unsigned long)l->done, seconds, seconds > 0 ? (double)l->done / seconds : 0,
                 percentile_us(l, 50), percentile_us(l, 99), percentile_us(l, 99.9),
                 (double)l->latency_max_ns / 1000, (unsigned long)l->errors, l->first_error);
}

static bool choose(const char *given, const char *const *names, uint32_t count, int *out)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(given, names[i]) == 0) {
            *out = (int)i;
            return true;
        }
    }
    (void)fprintf(stderr, "load: unknown value %s\n", given);
    return false;
}

static bool parse_targets(struct load_options *o, const char *list)
{
    while (*list != 0 && o->targets < LOAD_TARGETS_MAX) {
        unsigned port = 0;
        int used = 0;

        if (sscanf(list, "%63[^:,]:%u%n", o->host[o->targets], &port, &used) != 2 || port == 0 ||
            port > 65535) {
            (void)fprintf(stderr, "load: targets are HOST:PORT,...: %s\n", list);
            return false;
        }
        o->port[o->targets++] = (uint16_t)port;
        list += used;
        list += *list == ',';
    }
    return o->targets > 0;
}

static const struct option long_options[] = {
    {"target", 1, NULL, 't'}, {"proto", 1, NULL, 'o'},   {"mode", 1, NULL, 'm'},
    {"wait", 1, NULL, 'w'},   {"clients", 1, NULL, 'c'}, {"pipeline", 1, NULL, 'P'},
    {"bytes", 1, NULL, 'd'},  {"keys", 1, NULL, 'r'},    {"sequential", 0, NULL, 'q'},
    {"prefix", 1, NULL, 'x'}, {"count", 1, NULL, 'n'},   {"seconds", 1, NULL, 's'},
    {"seed", 1, NULL, 'e'},   {NULL, 0, NULL, 0},
};
static const char *const proto_names[] = {"resp", "etcd"};
static const char *const mode_names[] = {"set", "get", "incr", "hset", "serializable"};
static const char *const wait_names[] = {"none", "each", "batch"};

static bool parse_one(struct load *l, int c)
{
    struct load_options *o = &l->opt;
    int value = 0;
    bool good = true;

    switch (c) {
    case 't':
        return parse_targets(o, optarg);
    case 'o':
        good = choose(optarg, proto_names, ARRAY_COUNT(proto_names), &value);
        o->proto = (enum load_proto)value;
        return good;
    case 'm':
        good = choose(optarg, mode_names, ARRAY_COUNT(mode_names), &value);
        o->mode = (enum load_mode)value;
        return good;
    case 'w':
        good = choose(optarg, wait_names, ARRAY_COUNT(wait_names), &value);
        o->wait = (enum load_wait)value;
        return good;
    case 'c':
        o->clients = (uint32_t)strtoul(optarg, NULL, 10);
        return o->clients > 0;
    case 'P':
        o->pipeline = (uint32_t)strtoul(optarg, NULL, 10);
        return o->pipeline > 0;
    case 'd':
        o->value_bytes = (uint32_t)strtoul(optarg, NULL, 10);
        return true;
    case 'r':
        o->keys = strtoull(optarg, NULL, 10);
        return o->keys > 0;
    case 'q':
        o->sequential = true;
        return true;
    case 'x':
        o->prefix = optarg;
        return strlen(optarg) < 64;
    case 'n':
        o->count = strtoull(optarg, NULL, 10);
        return true;
    case 's':
        o->seconds = strtod(optarg, NULL);
        return o->seconds > 0;
    case 'e':
        l->prng.state = strtoull(optarg, NULL, 10);
        return true;
    default:
        return false;
    }
}

static bool parse(struct load *l, int argc, char **argv)
{
    int c;

    while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (!parse_one(l, c)) {
            return false;
        }
    }
    if (l->opt.proto == LOAD_ETCD && l->opt.pipeline > 1) {
        (void)fprintf(stderr, "load: etcd calls are not pipelined on a connection\n");
        return false;
    }
    return l->opt.targets > 0 && (l->opt.count != UINT64_MAX || l->opt.seconds > 0);
}

int main(int argc, char **argv)
{
    static struct load l;

    l.opt = (struct load_options){.clients = 50,
                                  .pipeline = 1,
                                  .value_bytes = 100,
                                  .keys = 100000,
                                  .prefix = "key:",
                                  .count = UINT64_MAX,
                                  .wait_ms = 5000};
    l.prng.state = 1;
    if (!parse(&l, argc, argv)) {
        (void)fprintf(stderr,
                      "usage: load --target HOST:PORT,... (--count N | --seconds S) [--proto "
                      "resp|etcd] [--mode set|get|incr|hset|serializable]\n"
                      "            [--wait none|each|batch] [--clients N] [--pipeline N] "
                      "[--bytes N] [--keys N] [--sequential] [--prefix P] [--seed N]\n");
        return 2;
    }
    l.value = mem_alloc(l.opt.value_bytes);
    memset(l.value, 'x', l.opt.value_bytes);
    if (!run(&l)) {
        return 1;
    }
    report(&l);
    return l.errors > 0;
}
