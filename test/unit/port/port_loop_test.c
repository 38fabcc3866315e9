/* The loop on both backends, under a node that answers single words: the same
 * tests, the same outcome. Each test starts a loop of its own in a thread. */
#include "base/base_mem.h"
#include "port/port_internal.h"
#include "port_fake_node.h"
#include "port_test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

enum { CLIENT_PORT = 22100, PEER_PORT = 22101, MANY = 2000 };

#define PEER_ADDR "127.0.0.1:22101"
#define PEER_ADDR_V6 "[::1]:22101"

struct world {
    enum port_io io;
    const char *peer;
    char folder[64];
    struct port_dir *dir;
    struct port *port;
    struct node *node;
    pthread_t thread;
    bool joined;
    enum err err;
    struct diag why;
    bool refused;
    atomic_uint reloads;
    pthread_barrier_t started;
};
static struct world w;

static void on_reload(struct node *n, void *arg)
{
    assert_ptr_equal(n, w.node);
    assert_ptr_equal(arg, &w);
    atomic_fetch_add(&w.reloads, 1);
}

/* io_uring has one submitter: the loop is made in the thread that runs it. */
static void *loop_main(void *arg)
{
    struct port_config cfg = {w.io, "127.0.0.1:22100", w.peer, 5000, PORT_POLL_US, on_reload, &w};
    struct diag why;

    (void)arg;
    w.err = port_create(&cfg, w.dir, &w.port, &w.why);
    (void)pthread_barrier_wait(&w.started);
    if (w.err == ERR_OK) {
        w.err = port_run(w.port, w.node, &why);
    }
    return NULL;
}

static int set_up_io(enum port_io io, const char *peer)
{
    w = (struct world){.io = io, .peer = peer};
    test_dir_make(w.folder);
    assert_int_equal(port_dir_open(w.folder, &w.dir, &w.why), ERR_OK);
    w.node = fake_node_create();
    assert_int_equal(pthread_barrier_init(&w.started, NULL, 2), 0);
    assert_int_equal(pthread_create(&w.thread, NULL, loop_main, NULL), 0);
    (void)pthread_barrier_wait(&w.started);
    w.refused = w.port == NULL;
    if (w.refused && w.err != ERR_REFUSED) {
        fail_msg("%s", w.why.text);
    }
    return 0;
}

static int set_up_uring(void **state)
{
    (void)state;
    return set_up_io(PORT_IO_URING, PEER_ADDR);
}
static int set_up_epoll(void **state)
{
    (void)state;
    return set_up_io(PORT_IO_EPOLL, PEER_ADDR);
}

static bool have_v6(void)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int s = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool have = s >= 0 && bind(s, (struct sockaddr *)&a, sizeof a) == 0;

    if (s >= 0) {
        (void)close(s);
    }
    return have;
}

/* Where there is no IPv6 the test repeats that of IPv4. */
static int set_up_v6(void **state)
{
    (void)state;
    return set_up_io(PORT_IO_AUTO, have_v6() ? PEER_ADDR_V6 : PEER_ADDR);
}

static int tear_down(void **state)
{
    (void)state;
    if (!w.joined) {
        if (w.port != NULL) {
            port_request_stop(w.port);
        }
        assert_int_equal(pthread_join(w.thread, NULL), 0);
    }
    if (w.port != NULL) {
        assert_int_equal(w.err, ERR_OK);
        port_destroy(w.port);
    }
    fake_node_destroy(w.node);
    port_dir_close(w.dir);
    test_dir_remove(w.folder);
    (void)pthread_barrier_destroy(&w.started);
    return 0;
}

#define NEEDS_LOOP()                                                                               \
    do {                                                                                           \
        (void)state;                                                                               \
        if (w.refused) {                                                                           \
            skip();                                                                                \
        }                                                                                          \
    } while (0)

/* Ends the loop early, so that the node's counts may be read. */
static struct fake_counts stop_and_count(void)
{
    port_request_stop(w.port);
    assert_int_equal(pthread_join(w.thread, NULL), 0);
    w.joined = true;
    return fake_node_counts(w.node);
}

static int dial(int to)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)to)};
    struct timeval limit = {.tv_sec = 20};
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(s >= 0);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(s, (struct sockaddr *)&a, sizeof a), 0);
    (void)setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return s;
}

static void say(int s, const char *text)
{
    size_t len = strlen(text);

    while (len > 0) {
        ssize_t n = send(s, text, len, MSG_NOSIGNAL);

        assert_true(n > 0);
        text += n;
        len -= (size_t)n;
    }
}

static void expect(int s, const char *text)
{
    char got[4096];
    size_t len = strlen(text), have = 0;

    assert_true(len < sizeof got);
    while (have < len) {
        ssize_t n = recv(s, got + have, len - have, 0);

        if (n <= 0) {
            got[have] = '\0';
            fail_msg("expected \"%s\", got \"%s\" and then %s", text, got,
                     n == 0 ? "the end" : strerror(errno));
        }
        have += (size_t)n;
    }
    assert_memory_equal(got, text, len);
}

static void expect_end(int s)
{
    char c;

    assert_int_equal(recv(s, &c, 1, 0), 0);
    (void)close(s);
}

static void nap_ms(long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000};

    (void)nanosleep(&t, NULL);
}

static void echo(void **state)
{
    NEEDS_LOOP();
    int s = dial(CLIENT_PORT), t = dial(PEER_PORT);

    for (int i = 0; i < 100; i++) {
        say(s, "ECHO hello\n");
        expect(s, "hello\r\n");
    }
    say(s, "EC");
    nap_ms(5);
    say(s, "HO in pieces\nPING\n");
    expect(s, "in pieces\r\n+PONG\r\n");
    say(t, "PING\n");
    expect(t, "+PONG\r\n");
    (void)close(s);
    (void)close(t);
}

/* Sends, ends its side, waits: what came with the end is answered. */
static void half_closed(void **state)
{
    NEEDS_LOOP();
    int s = dial(CLIENT_PORT);

    say(s, "ECHO last words\n");
    assert_int_equal(shutdown(s, SHUT_WR), 0);
    expect(s, "last words\r\n");
    expect_end(s);
}

static void gates_hold(void **state)
{
    NEEDS_LOOP();
    int s = dial(CLIENT_PORT);

    for (int i = 0; i < 50; i++) {
        char text[32], want[32];

        (void)snprintf(text, sizeof text, "SYNC %d\n", i);
        (void)snprintf(want, sizeof want, "%d\r\n", i);
        say(s, text);
        expect(s, want);
    }
    say(s, "MIXED\n");
    expect(s, "free\r\ngated\r\n"); /* the one without a gate overtakes */
    say(s, "SYNC a\nSYNC b\nSYNC c\n");
    expect(s, "a\r\nb\r\nc\r\n");
    say(s, "LASTSYNC\n"); /* the close waits for the gate */
    expect(s, "BYE\r\n");
    expect_end(s);
}

/* The loop keeps its numbers in order although a reader is slow. */
static void slow_reader(void **state)
{
    NEEDS_LOOP();
    enum { BYTES = 48 << 20 };
    int s = dial(CLIENT_PORT), other = dial(CLIENT_PORT);
    uint8_t *got = mem_alloc(1 << 16);
    size_t have = 0;
    char text[32];

    (void)snprintf(text, sizeof text, "BIG %d\n", BYTES);
    say(s, text);
    for (int i = 0; i < 20; i++) { /* others are not held up */
        say(other, "PING\n");
        expect(other, "+PONG\r\n");
        nap_ms(5);
    }
    while (have < BYTES) {
        ssize_t n = recv(s, got, 1 << 16, 0);

        assert_true(n > 0);
        for (ssize_t i = 0; i < n; i++) {
            if (got[i] != (uint8_t)((have + (size_t)i) % 251)) {
                fail_msg("byte %zu is wrong", have + (size_t)i);
            }
        }
        have += (size_t)n;
    }
    say(s, "PING\n");
    expect(s, "+PONG\r\n");
    mem_free(got);
    (void)close(s);
    (void)close(other);
    nap_ms(20);
    struct fake_counts counts = stop_and_count();

    assert_true(counts.unsent_peak > 1 << 20); /* progress was told while much was unsent, */
    assert_true(counts.sent_reports > 20);     /* step by step, */
    assert_true(counts.sent_zero >= 1);        /* to the end */
}

/* Closed by the node with output that is never read: bounded, and harmless. */
static void never_reads(void **state)
{
    NEEDS_LOOP();
    int s = dial(CLIENT_PORT), other = dial(CLIENT_PORT);
    char c[4096];
    ssize_t n;
    uint64_t start = port_mono_us();

    say(s, "BIG 30000000\nCLOSE\n");
    say(other, "PING\n");
    expect(other, "+PONG\r\n");
    nap_ms(PORT_LINGER_US / 1000 + 500);
    do {
        n = recv(s, c, sizeof c, 0);
    } while (n > 0);
    assert_int_equal(n, -1); /* cut off by a reset, not ended as if it were whole */
    assert_int_equal(errno, ECONNRESET);
    assert_true(port_mono_us() - start < 10000000);
    (void)close(s);
    (void)close(other);
}

/* The last reply arrives although more input was on its way. */
static void close_keeps_the_reply(void **state)
{
    NEEDS_LOOP();
    for (int i = 0; i < 50; i++) {
        int s = dial(CLIENT_PORT);

        say(s, "CLOSE\nECHO lost\nECHO lost\nECHO lost\n");
        expect(s, "BYE\r\n");
        expect_end(s);
    }
}

static void deaf_for_a_while(void **state)
{
    NEEDS_LOOP();
    int s = dial(CLIENT_PORT);
    uint64_t start = port_mono_us();

    say(s, "DEAF 150\n");
    nap_ms(30);
    say(s, "PING\nECHO kept\n");
    expect(s, "OK\r\n+PONG\r\nkept\r\n");
    assert_true(port_mono_us() - start > 140000);
    /* The other side may go away meanwhile. */
    say(s, "DEAF 50\n");
    nap_ms(10);
    say(s, "PING\n");
    (void)close(s);
    nap_ms(100);
    s = dial(CLIENT_PORT);
    say(s, "PING\n");
    expect(s, "+PONG\r\n");
    (void)close(s);
}

static void dials(void **state)
{
    NEEDS_LOOP();
    int s = dial(CLIENT_PORT);

    say(s, "DIAL 127.0.0.1:22101\n");
    expect(s, "OK\r\n");
    say(s, "DIAL 127.0.0.1:22198\n");
    expect(s, "Connection refused\r\n");
    say(s, "DIAL localhost:22101\n"); /* a name: looked up by a thread */
    expect(s, "OK\r\n");
    (void)close(s);
}

/* Waits until the node was told of so many ends: a busy machine takes its time. */
static void wait_closed(uint64_t want)
{
    char said[11] = {0};
    int s = dial(CLIENT_PORT);

    for (int i = 0; i < 4000 && strtoull(said, NULL, 10) < want; i++) {
        nap_ms(5);
        say(s, "CLOSED\n");
        assert_int_equal(recv(s, said, sizeof said - 1, MSG_WAITALL), sizeof said - 1);
    }
    assert_int_equal(strtoull(said, NULL, 10), want); /* each told, once */
    (void)close(s);
}

static void many_connections(void **state)
{
    NEEDS_LOOP();
    static int s[MANY];
    struct rlimit r = {.rlim_cur = 0};

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &r), 0);
    if (r.rlim_cur < 2 * MANY + 200) {
        skip();
    }
    for (int i = 0; i < MANY; i++) {
        s[i] = dial(CLIENT_PORT);
    }
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < MANY; i++) {
            say(s[i], "ECHO many\n");
        }
        for (int i = 0; i < MANY; i++) {
            expect(s[i], "many\r\n");
        }
    }
    for (int i = 0; i < MANY; i++) {
        (void)close(s[i]);
    }
    wait_closed(MANY);
    struct fake_counts counts = stop_and_count();

    assert_int_equal(counts.accepted, MANY + 1);
    assert_true(counts.closed <= MANY + 1);
}

/* Resets, and ends in the middle of everything. */
static void abrupt_ends(void **state)
{
    NEEDS_LOOP();
    struct linger hard = {.l_onoff = 1, .l_linger = 0};

    for (int i = 0; i < 200; i++) {
        int s = dial(CLIENT_PORT);

        say(s, i % 4 == 0 ? "BIG 3000000\n" : i % 4 == 1 ? "SYNC x\n" : "DEAF 5\nPING\n");
        if (i % 2 == 0) {
            (void)setsockopt(s, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        }
        (void)close(s);
    }
    int s = dial(CLIENT_PORT);

    say(s, "SYNC after\n");
    expect(s, "after\r\n");
    (void)close(s);
}

static void stop_from_inside(void **state)
{
    NEEDS_LOOP();
    int s = dial(CLIENT_PORT);

    say(s, "ECHO bye\nSTOP\n");
    expect(s, "bye\r\n"); /* the last replies leave */
    (void)close(s);
}

/* --- datagrams --- */

static int packet_socket(const char *to)
{
    struct sockaddr_storage a;
    struct timeval limit = {.tv_sec = 20};

    assert_int_equal(port_net_resolve(to, true, &a), 0);
    int s = socket(a.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_true(s >= 0);
    assert_int_equal(connect(s, (struct sockaddr *)&a, port_net_len(&a)), 0);
    (void)setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return s;
}

static void expect_packet(int s, const void *bytes, size_t len)
{
    uint8_t got[2 * NODE_PACKET_BYTES_MAX];

    assert_int_equal(recv(s, got, sizeof got, 0), len);
    assert_memory_equal(got, bytes, len);
}

static void packets(void **state)
{
    NEEDS_LOOP();
    static uint8_t bytes[NODE_PACKET_BYTES_MAX + 1];
    int s = packet_socket(w.peer), t = packet_socket(w.peer);

    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i + 1);
    }
    assert_int_equal(send(s, bytes, NODE_PACKET_BYTES_MAX, 0), NODE_PACKET_BYTES_MAX);
    expect_packet(s, bytes, NODE_PACKET_BYTES_MAX);
    /* One byte too many is none of ours; none at all is one, and each finds its way back. */
    assert_int_equal(send(s, bytes, sizeof bytes, 0), sizeof bytes);
    assert_int_equal(send(s, bytes, 0, 0), 0);
    assert_int_equal(send(t, bytes, 7, 0), 7);
    expect_packet(s, bytes, 0);
    expect_packet(t, bytes, 7);
    (void)close(s);
    (void)close(t);
    struct fake_counts counts = stop_and_count();

    assert_int_equal(counts.packets, 3);
    assert_int_equal(w.port->packets.received, 3);
    assert_int_equal(w.port->packets.received_bytes, NODE_PACKET_BYTES_MAX + 7);
    assert_int_equal(w.port->packets.sent, 3);
    assert_int_equal(w.port->packets.oversize, 1);
}

/* More than one turn takes, and from then on silence: none is left behind. */
static void packets_at_once(void **state)
{
    NEEDS_LOOP();
    enum { ROUNDS = 20, BURST = 3 * PORT_PACKETS };
    int s = packet_socket(w.peer), c = dial(CLIENT_PORT);

    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < BURST - 1; i++) {
            assert_int_equal(send(s, "!keep", 5, 0), 5);
        }
        assert_int_equal(send(s, "last", 4, 0), 4);
        expect_packet(s, "last", 4);
        say(c, "PING\n"); /* connections have their turns meanwhile */
        expect(c, "+PONG\r\n");
    }
    (void)close(s);
    (void)close(c);
    assert_int_equal(stop_and_count().packets, ROUNDS * BURST);
}

/* Answers to ports where nobody listens any more: the kernel's complaints end nothing. */
static void packets_to_nobody(void **state)
{
    NEEDS_LOOP();
    for (unsigned i = 0; i < 50; i++) {
        int gone = packet_socket(w.peer);

        assert_int_equal(send(gone, "who?", 4, 0), 4);
        (void)close(gone);
    }
    int s = packet_socket(w.peer);

    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(send(s, "still there?", 12, 0), 12);
        expect_packet(s, "still there?", 12);
    }
    (void)close(s);
}

static void packet_addresses(void **state)
{
    NEEDS_LOOP();
    static const uint8_t here[16] = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1};
    struct swim_addr a;
    struct diag why;

    /* Of names, too; of the socket's family alone. */
    assert_int_equal(port_packet_addr(w.port, "localhost:22101", &a, &why), ERR_OK);
    assert_int_equal(a.port, 22101);
    assert_memory_equal(a.ip, here, sizeof here);
    assert_int_equal(port_packet_addr(w.port, "[::1]:22101", &a, &why), ERR_NOT_FOUND);
    assert_int_equal(a.port, 0);
    assert_non_null(strstr(why.text, "[::1]:22101"));
    (void)stop_and_count();
    a = (struct swim_addr){.ip = {[15] = 1}, .port = 22101};
    port_packet_send(w.port, &a, SLICE("over a way that is not there"));
    a = (struct swim_addr){.ip = {[10] = 0xff, [11] = 0xff, [12] = 255, 255, 255, 255}, .port = 1};
    port_packet_send(w.port, &a, SLICE("to everybody, which is forbidden"));
    assert_int_equal(w.port->packets.unsent, 2);
}

/* --- addresses --- */

static double since(const struct timespec *start)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

/* A child that listens, and takes datagrams, until it is killed. 0: the machine has no IPv6. */
static pid_t holder_of(const char *addr)
{
    int pipes[2];
    char c;

    if (addr[0] == '[' && !have_v6()) {
        return 0;
    }
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        struct sockaddr_storage at;
        struct diag why;
        int fd, udp;

        if (port_net_listen(addr, "--peer", &fd, &why) == ERR_OK &&
            port_net_bind_packets(addr, "--peer", &udp, &at, &why) == ERR_OK) {
            (void)write(pipes[1], "x", 1);
            (void)pause();
        }
        _exit(1);
    }
    (void)close(pipes[1]);
    assert_int_equal(read(pipes[0], &c, 1), 1);
    (void)close(pipes[0]);
    return child;
}

/* An address that a living process holds: said at once, with its number and name. */
static void held_by_a_process(void **state)
{
    static const char *const held[] = {"127.0.0.1:22103", "[::1]:22103", "0.0.0.0:22103"};
    static const char *const wanted[] = {"127.0.0.1:22103", "[::1]:22103", "127.0.0.1:22103"};

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(held); i++) {
        struct sockaddr_storage at;
        struct timespec start;
        struct diag why;
        char process[64];
        pid_t child = holder_of(held[i]);
        int fd;

        if (child == 0) {
            continue;
        }
        (void)clock_gettime(CLOCK_MONOTONIC, &start);
        (void)snprintf(process, sizeof process, "in use by process %d (port_loop_test", (int)child);
        assert_int_equal(port_net_listen(wanted[i], "--listen", &fd, &why), ERR_EXISTS);
        assert_non_null(strstr(why.text, process));
        assert_non_null(strstr(why.text, "--listen"));
        assert_int_equal(port_net_bind_packets(wanted[i], "--peer", &fd, &at, &why), ERR_EXISTS);
        assert_non_null(strstr(why.text, process));
        assert_non_null(strstr(why.text, "UDP port of"));
        assert_true(since(&start) < 2);
        /* Killed, it is waited for. */
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(port_net_listen(wanted[i], "--listen", &fd, &why), ERR_OK);
        (void)close(fd);
        assert_int_equal(waitpid(child, NULL, 0), child);
    }
}

static void *release_later(void *arg)
{
    nap_ms(1300);
    (void)close(*(int *)arg);
    return NULL;
}

/* A socket that lives on without a process, as those of a killed process's ring do: here it is on
 * its way through another socket. A restart gave up after 3 s of that, on a machine whose
 * processors were all busy. */
static void held_by_nobody(void **state)
{
    struct timespec start;
    struct diag why;
    pthread_t later;
    int pair[2], fd;
    char byte = 'x', control[CMSG_SPACE(sizeof fd)] = {0};
    struct iovec iov = {&byte, 1};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
    assert_int_equal(port_net_listen("127.0.0.1:22103", "--listen", &fd, &why), ERR_OK);
    *c = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd)};
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    assert_int_equal(sendmsg(pair[0], &m, 0), 1);
    (void)close(fd);
    assert_int_equal(pthread_create(&later, NULL, release_later, &pair[1]), 0);
    (void)clock_gettime(CLOCK_MONOTONIC, &start);
    assert_int_equal(port_net_listen("127.0.0.1:22103", "--listen", &fd, &why), ERR_OK);
    assert_true(since(&start) > 1.2);
    (void)pthread_join(later, NULL);
    (void)close(fd);
    (void)close(pair[0]);
}

/* Asked for while the loop sleeps. */
static void reloads(void **state)
{
    NEEDS_LOOP();
    for (unsigned i = 1; i <= 3; i++) {
        port_request_reload(w.port);
        for (unsigned waited = 0; atomic_load(&w.reloads) < i && waited < 20000; waited++) {
            nap_ms(1);
        }
        assert_int_equal(atomic_load(&w.reloads), i);
    }
}

static void addresses(void **state)
{
    struct sockaddr_storage a;
    char text[NODE_ADDR_MAX];
    struct diag why;
    int fd;

    (void)state;
    assert_int_equal(port_net_resolve("[::1]:7001", true, &a), 0);
    port_net_text(&a, text);
    assert_string_equal(text, "[::1]:7001");
    assert_int_equal(port_net_resolve("10.1.2.3:65535", true, &a), 0);
    port_net_text(&a, text);
    assert_string_equal(text, "10.1.2.3:65535");
    assert_int_not_equal(port_net_resolve("::1:7001", true, &a), 0);
    assert_int_not_equal(port_net_resolve("nowhere", true, &a), 0);
    assert_int_not_equal(port_net_resolve(":7001", true, &a), 0);
    assert_int_equal(port_net_listen("127.0.0.1:22102", "--listen", &fd, &why), ERR_OK);
    int second;

    assert_int_equal(port_net_listen("127.0.0.1:22102", "--listen", &second, &why), ERR_EXISTS);
    assert_non_null(strstr(why.text, "127.0.0.1:22102"));
    assert_non_null(strstr(why.text, "--listen"));
    assert_non_null(strstr(why.text, "this node has it already"));
    (void)close(fd);
    assert_int_equal(port_net_listen("203.0.113.1:22102", "--peer", &fd, &why), ERR_BAD_ARGUMENT);
}

#define BOTH(f)                                                                                    \
    {#f " on io_uring", f, set_up_uring, tear_down, NULL},                                         \
    {                                                                                              \
#f " on epoll", f, set_up_epoll, tear_down, NULL                                           \
    }
int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(echo),
        BOTH(half_closed),
        BOTH(gates_hold),
        BOTH(slow_reader),
        BOTH(never_reads),
        BOTH(close_keeps_the_reply),
        BOTH(deaf_for_a_while),
        BOTH(dials),
        BOTH(many_connections),
        BOTH(abrupt_ends),
        BOTH(stop_from_inside),
        BOTH(packets),
        {"packets over IPv6", packets, set_up_v6, tear_down, NULL},
        BOTH(packets_at_once),
        BOTH(packets_to_nobody),
        BOTH(packet_addresses),
        BOTH(reloads),
        cmocka_unit_test(held_by_a_process),
        cmocka_unit_test(held_by_nobody),
        cmocka_unit_test(addresses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
