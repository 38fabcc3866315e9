/* netbox.c - a switch in user space that treats each way between two ports badly on demand.
 *
 * Port i is the TAP device tap<i>; whoever starts this moves the devices into network
 * namespaces. The Ethernet address of what sits behind port i ends in the byte i; other
 * frames (broadcasts, multicasts) go nowhere: neighbours are entered by hand.
 *
 * Lines on standard input, each answered by a line:
 *   way FROM TO [drop] [stale] [loss PERMILLE] [twice PERMILLE] [delay US] [jitter US]
 *               everything that is not said is off. drop: nothing passes. stale: TCP connections
 *               opened before this moment are dead without a word, new ones are not. jitter: up to
 *               so much later, each frame for itself, so that frames overtake each other.
 *   heal        all ways are good again
 *   stats       frames passed, dropped, lost, doubled and delayed since the start
 * The end of standard input ends the process, and with it the devices. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum {
    PORTS_MAX = 16,
    FRAME_BYTES_MAX = 9000,
    QUEUE_MAX = 8192,   /* frames on their way; as in a real queue, the next is lost */
    FLOWS = 1 << 14,    /* places for connections by hash; a power of two */
    FRAMES_A_TURN = 64, /* of one port, before the others get their turn */
    TCP = 6,
};

struct way {
    bool drop;
    uint64_t stale_since_us; /* 0: off */
    uint32_t loss, twice;    /* permille */
    uint64_t delay_us, jitter_us;
};
struct frame {
    uint64_t due_us, number; /* of equal time the earlier first */
    int to;
    uint32_t bytes;
    uint8_t *data;
};
static struct way ways[PORTS_MAX][PORTS_MAX];
static int ports[PORTS_MAX], port_count;
static struct frame queue[QUEUE_MAX]; /* a heap, the next due on top */
static size_t queued;
static uint64_t numbered, chance;
static uint64_t flow_opened_us[FLOWS];
static struct {
    unsigned long long passed, dropped, lost, doubled, delayed;
} stats;

static uint64_t now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t next_chance(void)
{
    chance ^= chance << 13;
    chance ^= chance >> 7;
    chance ^= chance << 17;
    return chance;
}

static bool happens(uint32_t permille)
{
    return permille > 0 && next_chance() % 1000 < permille;
}

/* --- frames that wait --- */

static bool before(const struct frame *a, const struct frame *b)
{
    return a->due_us != b->due_us ? a->due_us < b->due_us : a->number < b->number;
}

static void exchange(size_t a, size_t b)
{
    struct frame kept = queue[a];

    queue[a] = queue[b];
    queue[b] = kept;
}

static void queue_put(const struct frame *f)
{
    size_t at = queued++;

    queue[at] = *f;
    while (at > 0 && before(&queue[at], &queue[(at - 1) / 2])) {
        exchange(at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

static struct frame queue_take(void)
{
    struct frame top = queue[0];
    size_t at = 0;

    queue[0] = queue[--queued];
    for (;;) {
        size_t least = 2 * at + 1;

        if (least + 1 < queued && before(&queue[least + 1], &queue[least])) {
            least++;
        }
        if (least >= queued || !before(&queue[least], &queue[at])) {
            return top;
        }
        exchange(least, at);
        at = least;
    }
}

/* --- what a way does to a frame --- */

static uint64_t flow_hash(const uint8_t *ip, const uint8_t *tcp)
{
    uint32_t a, b;
    uint64_t h;

    memcpy(&a, ip + 12, sizeof a);
    memcpy(&b, ip + 16, sizeof b);
    /* The same for both directions. */
    h = (uint64_t)(a ^ b) << 32 | (uint32_t)((tcp[0] << 8 | tcp[1]) ^ (tcp[2] << 8 | tcp[3]));
    h ^= (uint64_t)(a + b) * 0x9e3779b97f4a7c15U;
    h *= 0xff51afd7ed558ccdU;
    return (h ^ h >> 33) & (FLOWS - 1);
}

/* When the connection of this frame was opened; UINT64_MAX: it belongs to none. */
static uint64_t flow_opened(const uint8_t *data, uint32_t bytes)
{
    const uint8_t *ip = data + 14, *tcp;
    uint64_t *opened;

    if (bytes < 14 + 20 || data[12] != 8 || data[13] != 0 || ip[9] != TCP ||
        bytes < 14 + 4U * (ip[0] & 15) + 14) {
        return UINT64_MAX;
    }
    tcp = ip + 4U * (ip[0] & 15);
    opened = &flow_opened_us[flow_hash(ip, tcp)];
    if ((tcp[13] & 0x12) == 0x02) { /* SYN without ACK */
        *opened = now_us();
    }
    return *opened;
}

static void deliver(const struct frame *f)
{
    if (write(ports[f->to], f->data, f->bytes) == (ssize_t)f->bytes) {
        stats.passed++;
    }
    free(f->data);
}

static void send_on(const struct way *w, int to, const uint8_t *data, uint32_t bytes)
{
    struct frame f = {.due_us = now_us() + w->delay_us, .number = ++numbered, .to = to};

    if (w->jitter_us > 0) {
        f.due_us += next_chance() % w->jitter_us;
    }
    if (queued == QUEUE_MAX || (f.data = malloc(bytes)) == NULL) {
        stats.lost++;
        return;
    }
    memcpy(f.data, data, bytes);
    f.bytes = bytes;
    if (w->delay_us + w->jitter_us == 0) {
        deliver(&f);
    } else {
        stats.delayed++;
        queue_put(&f);
    }
}

static void treat(int from, const uint8_t *data, uint32_t bytes)
{
    int to = data[5];
    uint64_t opened;
    const struct way *w;

    if (bytes < 14 || (data[0] & 1) != 0 || to >= port_count) {
        return;
    }
    w = &ways[from][to];
    opened = flow_opened(data, bytes);
    if (w->drop || opened < w->stale_since_us) {
        stats.dropped++;
    } else if (happens(w->loss)) {
        stats.lost++;
    } else {
        send_on(w, to, data, bytes);
        if (happens(w->twice)) {
            stats.doubled++;
            send_on(w, to, data, bytes);
        }
    }
}

/* --- lines --- */

static bool way_number(struct way *w, const char *word, uint64_t n)
{
    if (strcmp(word, "loss") == 0) {
        w->loss = (uint32_t)n;
    } else if (strcmp(word, "twice") == 0) {
        w->twice = (uint32_t)n;
    } else if (strcmp(word, "delay") == 0) {
        w->delay_us = n;
    } else if (strcmp(word, "jitter") == 0) {
        w->jitter_us = n;
    } else {
        return false;
    }
    return true;
}

static bool set_way(char *words)
{
    struct way w = {0};
    char *rest = words, *word;
    long from = strtol(rest, &rest, 10), to = strtol(rest, &rest, 10);

    if (from < 0 || to < 0 || from >= port_count || to >= port_count) {
        return false;
    }
    while ((word = strsep(&rest, " ")) != NULL) {
        if (*word == 0) {
            continue;
        }
        if (strcmp(word, "drop") == 0) {
            w.drop = true;
        } else if (strcmp(word, "stale") == 0) {
            w.stale_since_us = now_us();
        } else if (rest == NULL || !way_number(&w, word, strtoull(rest, &rest, 10))) {
            return false;
        }
    }
    ways[from][to] = w;
    return true;
}

static void obey(char *line)
{
    bool known = true;

    if (strncmp(line, "way ", 4) == 0) {
        known = set_way(line + 4);
    } else if (strcmp(line, "heal") == 0) {
        memset(ways, 0, sizeof ways);
    } else if (strcmp(line, "stats") == 0) {
        (void)printf("passed %llu dropped %llu lost %llu doubled %llu delayed %llu\n", stats.passed,
                     stats.dropped, stats.lost, stats.doubled, stats.delayed);
        return;
    } else {
        known = false;
    }
    (void)puts(known ? "ok" : "unknown");
}

/* False: the other side is gone. */
static bool read_lines(void)
{
    static char line[4096];
    static size_t len;
    ssize_t n = read(STDIN_FILENO, line + len, sizeof line - 1 - len);
    char *end;

    if (n <= 0) {
        return n < 0 && errno == EINTR;
    }
    len += (size_t)n;
    line[len] = 0;
    while ((end = strchr(line, '\n')) != NULL) {
        *end = 0;
        obey(line);
        len -= (size_t)(end + 1 - line);
        memmove(line, end + 1, len + 1);
    }
    (void)fflush(stdout);
    return len < sizeof line - 1;
}

static int open_port(int i)
{
    struct ifreq want = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

    (void)snprintf(want.ifr_name, sizeof want.ifr_name, "tap%d", i);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &want) != 0) {
        (void)fprintf(stderr, "netbox: no device %s: %s\n", want.ifr_name, strerror(errno));
        exit(1);
    }
    return fd;
}

static void read_frames(int port)
{
    static uint8_t data[FRAME_BYTES_MAX];

    for (int i = 0; i < FRAMES_A_TURN; i++) {
        ssize_t n = read(ports[port], data, sizeof data);

        if (n <= 0) {
            return;
        }
        treat(port, data, (uint32_t)n);
    }
}

static struct timespec until_due(void)
{
    uint64_t now = now_us(), due = queued > 0 ? queue[0].due_us : now + 1000000;
    uint64_t us = due > now ? due - now : 0;

    return (struct timespec){.tv_sec = (time_t)(us / 1000000),
                             .tv_nsec = (long)(us % 1000000 * 1000)};
}

int main(int argc, char **argv)
{
    struct pollfd waits[PORTS_MAX + 1];
    int count = argc > 1 ? atoi(argv[1]) : 0;

    if (count < 2 || count > PORTS_MAX) {
        (void)fprintf(stderr, "usage: netbox PORTS [SEED]; 2 to %d ports\n", PORTS_MAX);
        return 2;
    }
    chance = 0x9e3779b97f4a7c15U ^ (argc > 2 ? strtoull(argv[2], NULL, 10) : 1);
    for (; port_count < count; port_count++) {
        ports[port_count] = open_port(port_count);
        waits[port_count] = (struct pollfd){.fd = ports[port_count], .events = POLLIN};
    }
    waits[count] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
    (void)puts("ready");
    (void)fflush(stdout);
    for (;;) {
        struct timespec wait = until_due();

        (void)ppoll(waits, (nfds_t)count + 1, &wait, NULL);
        while (queued > 0 && queue[0].due_us <= now_us()) {
            struct frame f = queue_take();

            deliver(&f);
        }
        for (int i = 0; i < count; i++) {
            if (waits[i].revents != 0) {
                read_frames(i);
            }
        }
        if (waits[count].revents != 0 && !read_lines()) {
            return 0;
        }
    }
}
