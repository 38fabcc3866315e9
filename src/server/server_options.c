/* server_options.c - flags and configuration lines. */
#include "server/server_options.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    PEER_PORT_OFFSET = 10000,
    CLIENTS_MAX = 1000000,
    REPLICAS_MAX = 7,
    WEIGHT_MAX = 64,
    PARTITIONS_MAX = 16384,
    POLL_US_MAX = 10000
};

struct row {
    const char *name;  /* without the dashes */
    const char *value; /* NULL: a flag without a value */
    /* false: the value does not fit */
    bool (*set)(struct server_options *o, const char *value);
    const char *expects; /* "..., expected X" */
    const char *summary;
};

static bool copy(char *to, size_t size, const char *from)
{
    if (*from == '\0' || strlen(from) >= size) {
        return false;
    }
    (void)snprintf(to, size, "%s", from);
    return true;
}

static bool number(const char *text, uint64_t most, uint64_t *out)
{
    char *end;
    unsigned long long n;

    if (*text < '0' || *text > '9') {
        return false;
    }
    n = strtoull(text, &end, 10);
    *out = n;
    return *end == '\0' && n <= most && strlen(text) < 20;
}

static bool number32(const char *text, uint32_t least, uint32_t most, uint32_t *out)
{
    uint64_t n;

    if (!number(text, most, &n) || n < least) {
        return false;
    }
    *out = (uint32_t)n;
    return true;
}

bool server_addr_ok(const char *addr, uint32_t *port)
{
    const char *colon = strrchr(addr, ':');
    uint32_t n;

    if (colon == NULL || colon == addr || strlen(addr) >= NODE_ADDR_MAX ||
        strpbrk(addr, " \t,/") != NULL || !number32(colon + 1, 1, 65535, &n)) {
        return false;
    }
    if (*addr == '[') {
        if (colon - addr < 3 || colon[-1] != ']') {
            return false;
        }
    } else if (memchr(addr, ':', (size_t)(colon - addr)) != NULL) {
        return false; /* a v6 address without its brackets */
    }
    if (port != NULL) {
        *port = n;
    }
    return true;
}

static bool set_addr(char out[NODE_ADDR_MAX], const char *value)
{
    return server_addr_ok(value, NULL) && copy(out, NODE_ADDR_MAX, value);
}

static bool set_dir(struct server_options *o, const char *v)
{
    return copy(o->dir, sizeof o->dir, v);
}
static bool set_listen(struct server_options *o, const char *v)
{
    return set_addr(o->listen, v);
}
static bool set_peer(struct server_options *o, const char *v)
{
    return set_addr(o->peer, v);
}
static bool set_advertise(struct server_options *o, const char *v)
{
    return set_addr(o->advertise, v);
}
static bool set_config(struct server_options *o, const char *v)
{
    return copy(o->config_file, sizeof o->config_file, v);
}

static bool set_gossip_key(struct server_options *o, const char *v)
{
    return copy(o->gossip_key, sizeof o->gossip_key, v);
}

static bool set_seeds(struct server_options *o, const char *v, enum node_start start)
{
    struct node_config *n = &o->node;

    n->seed_count = 0;
    n->start = start;
    while (*v != '\0') {
        size_t len = strcspn(v, ",");
        char one[NODE_ADDR_MAX];

        if (len >= sizeof one || n->seed_count == NODE_MEMBERS_MAX) {
            return false;
        }
        memcpy(one, v, len);
        one[len] = '\0';
        if (!set_addr(n->seeds[n->seed_count], one)) {
            return false;
        }
        for (uint32_t i = 0; i < n->seed_count; i++) {
            if (strcmp(n->seeds[i], one) == 0) {
                return false;
            }
        }
        n->seed_count++;
        v += len;
        if (*v == ',' && *++v == '\0') {
            return false;
        }
    }
    return n->seed_count > 0;
}
static bool set_found(struct server_options *o, const char *v)
{
    return set_seeds(o, v, NODE_START_FOUND);
}
static bool set_join(struct server_options *o, const char *v)
{
    return set_seeds(o, v, NODE_START_JOIN);
}
static bool set_bootstrap(struct server_options *o, const char *v)
{
    if (v != NULL && strcmp(v, "yes") != 0) { /* in a file: "bootstrap yes" */
        return strcmp(v, "no") == 0;
    }
    o->node.start = NODE_START_BOOTSTRAP;
    o->bootstrap = true;
    return true;
}

static bool set_io(struct server_options *o, const char *v)
{
    static const char *const names[] = {"auto", "uring", "epoll"};

    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        if (strcmp(v, names[i]) == 0) {
            o->io = (enum port_io)i;
            return true;
        }
    }
    return false;
}
static bool set_poll(struct server_options *o, const char *v)
{
    return number32(v, 0, POLL_US_MAX, &o->poll_us);
}
static bool set_log_level(struct server_options *o, const char *v)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};

    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        if (strcmp(v, names[i]) == 0) {
            o->log_level = (enum node_log_level)i;
            return true;
        }
    }
    return false;
}
static bool set_workers(struct server_options *o, const char *v)
{
    (void)o;
    return strcmp(v, "1") == 0;
}
static bool set_zone(struct server_options *o, const char *v)
{
    return number32(v, 0, UINT32_MAX, &o->node.zone);
}
static bool set_weight(struct server_options *o, const char *v)
{
    return number32(v, 1, WEIGHT_MAX, &o->node.weight);
}
static bool set_replicas(struct server_options *o, const char *v)
{
    return number32(v, 1, REPLICAS_MAX, &o->node.replicas);
}
static bool set_partitions(struct server_options *o, const char *v)
{
    uint32_t n = 0;
    bool ok = number32(v, 1, PARTITIONS_MAX, &n) && (n & (n - 1)) == 0;

    if (ok) {
        o->node.partitions = n;
    }
    return ok;
}
static bool set_maxclients(struct server_options *o, const char *v)
{
    return number32(v, 1, CLIENTS_MAX, &o->node.maxclients);
}

static const struct row rows[] = {
    {"dir", "DIR", set_dir, "a directory name of at most 255 characters",
     "the node's data; created where missing"},
    {"listen", "HOST:PORT", set_listen, "HOST:PORT or [V6-ADDRESS]:PORT", "where clients connect"},
    {"peer", "HOST:PORT", set_peer, "HOST:PORT or [V6-ADDRESS]:PORT",
     "where other nodes connect; default: the client port + 10000"},
    {"advertise", "HOST:PORT", set_advertise, "HOST:PORT or [V6-ADDRESS]:PORT",
     "how clients and nodes reach --listen, where it is 0.0.0.0 or behind a translation"},
    {"found", "LIST", set_found, "HOST:PORT,HOST:PORT,... without repetition",
     "found a cluster: the --peer addresses of all its first members, the same on each"},
    {"bootstrap", NULL, set_bootstrap, "yes or no", "found a cluster of this node alone"},
    {"join", "LIST", set_join, "HOST:PORT,HOST:PORT,... without repetition",
     "join a cluster, as a new member or in place of a lost one: --peer addresses of members"},
    {"gossip-key", "FILE", set_gossip_key, "a file name of at most 255 characters",
     "keys of the packets between nodes, one a line, the first seals; SIGHUP reads it again"},
    {"io", "HOW", set_io, "auto, uring or epoll", "how to talk to the kernel; default auto"},
    {"poll-us", "N", set_poll, "a number of 0..10000",
     "under load, look for work this many microseconds before sleeping; default 200; 0: never"},
    {"workers", "N", set_workers, "1: a node has one worker in this version", "threads that serve"},
    {"zone", "N", set_zone, "a number of 0..4294967295",
     "failure zone; replicas are spread over zones"},
    {"weight", "N", set_weight, "a number of 1..64",
     "capacity beside the other nodes: it has so many times the partitions; default 1"},
    {"replicas", "N", set_replicas, "a number of 1..7",
     "of each partition; default 3; founding only"},
    {"partitions", "P", set_partitions, "a power of two, 1..16384", "default 64; founding only"},
    {"maxclients", "N", set_maxclients, "a number of 1..1000000", "connections; default 10000"},
    {"config", "FILE", set_config, "a file name of at most 255 characters",
     "lines of `name value`, named as the flags; flags win"},
    {"log-level", "L", set_log_level, "debug, info, warn or error", "default info"},
};
static_assert(ARRAY_COUNT(rows) <= 64, "a bit for each");

void server_options_init(struct server_options *o)
{
    *o = (struct server_options){.log_level = NODE_LOG_INFO, .poll_us = PORT_POLL_US};
    node_config_defaults(&o->node);
    o->node.start = NODE_START_PRESENT;
}

static const struct row *row_find(const char *name, size_t len)
{
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (strlen(rows[i].name) == len && strncmp(rows[i].name, name, len) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

static uint64_t row_bit(const struct row *r)
{
    return 1ULL << (size_t)(r - rows);
}

static uint64_t bit_of(const char *name)
{
    return row_bit(row_find(name, strlen(name)));
}

/* The row this name is nearest to, or NULL: a slip of at most two letters. */
static const struct row *row_near(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        size_t same = 0, len = strlen(rows[i].name);

        while (same < len && rows[i].name[same] == name[same]) {
            same++;
        }
        if (same >= 3 || (same >= 2 && len <= 4)) {
            return &rows[i];
        }
    }
    return NULL;
}

static enum err flag_unknown(const char *arg, struct diag *why)
{
    const struct row *near = strncmp(arg, "--", 2) == 0 ? row_near(arg + 2) : NULL;

    if (near != NULL) {
        diag_set(why, "unknown flag %s; did you mean --%s? `synod server --help` lists all", arg,
                 near->name);
    } else {
        diag_set(why, "unknown flag %s; `synod server --help` lists all", arg);
    }
    return ERR_BAD_ARGUMENT;
}

static enum err flag_set(struct server_options *o, const struct row *r, const char *value,
                         struct diag *why)
{
    if ((o->given & row_bit(r)) != 0) {
        diag_set(why, "--%s is given twice; keep one", r->name);
        return ERR_BAD_ARGUMENT;
    }
    o->given |= row_bit(r);
    if (!r->set(o, value)) {
        diag_set(why, "--%s %s: expected %s", r->name, value != NULL ? value : "", r->expects);
        return ERR_BAD_ARGUMENT;
    }
    return ERR_OK;
}

enum err server_options_flags(struct server_options *o, int argc, char **argv, struct diag *why)
{
    enum err err = ERR_OK;

    for (int i = 0; i < argc && err == ERR_OK; i++) {
        const char *arg = argv[i];
        const char *equals = strchr(arg, '=');
        size_t len = equals != NULL ? (size_t)(equals - arg) : strlen(arg);
        const struct row *r =
            len > 2 && strncmp(arg, "--", 2) == 0 ? row_find(arg + 2, len - 2) : NULL;

        if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
            o->help = true;
            return ERR_OK;
        }
        if (r == NULL) {
            return flag_unknown(arg, why);
        }
        if (r->value == NULL && equals == NULL) {
            err = flag_set(o, r, NULL, why);
        } else if (equals != NULL) {
            err = flag_set(o, r, equals + 1, why);
        } else if (i + 1 < argc) {
            err = flag_set(o, r, argv[++i], why);
        } else {
            diag_set(why, "--%s needs a value: %s", r->name, r->expects);
            err = ERR_BAD_ARGUMENT;
        }
    }
    return err;
}

static enum err line_set(struct server_options *o, const char *name, unsigned number_of, char *line,
                         struct diag *why)
{
    char *key = line + strspn(line, " \t\r");
    size_t len = strcspn(key, " \t\r");
    char *value = key + len + strspn(key + len, " \t\r");
    const struct row *r;

    for (size_t end = strlen(value); end > 0 && strchr(" \t\r", value[end - 1]) != NULL; end--) {
        value[end - 1] = '\0';
    }
    if (len == 0 || *key == '#') {
        return ERR_OK;
    }
    r = row_find(key, len);
    if (r == NULL || r->set == set_config) {
        diag_set(why, "%s line %u: unknown name %.*s; `synod server --help` lists all", name,
                 number_of, (int)len, key);
        return ERR_BAD_ARGUMENT;
    }
    if ((o->given & row_bit(r)) != 0) {
        return ERR_OK; /* a flag said it, or an earlier line: the first wins */
    }
    o->given |= row_bit(r);
    if (*value == '\0' || !r->set(o, value)) {
        diag_set(why, "%s line %u: %s %s: expected %s", name, number_of, r->name, value,
                 r->expects);
        return ERR_BAD_ARGUMENT;
    }
    return ERR_OK;
}

enum err server_options_text(struct server_options *o, const char *name, struct slice text,
                             struct diag *why)
{
    enum err err = ERR_OK;
    size_t at = 0;

    for (unsigned count = 1; at < text.len && err == ERR_OK; count++) {
        const uint8_t *end = memchr(text.data + at, '\n', text.len - at);
        size_t len = end != NULL ? (size_t)(end - text.data) - at : text.len - at;
        char line[8192];

        if (len >= sizeof line || memchr(text.data + at, '\0', len) != NULL) {
            diag_set(why, "%s line %u: too long, or not text", name, count);
            return ERR_BAD_ARGUMENT;
        }
        memcpy(line, text.data + at, len);
        line[len] = '\0';
        err = line_set(o, name, count, line, why);
        at += len + 1;
    }
    return err;
}

static bool is_wildcard(const char *addr)
{
    return strncmp(addr, "0.0.0.0:", 8) == 0 || strncmp(addr, "[::]:", 5) == 0 ||
           strncmp(addr, "*:", 2) == 0;
}

/* host of one address, port of another. */
static bool join_addr(char out[NODE_ADDR_MAX], const char *host_of, uint32_t port)
{
    int host = (int)(strrchr(host_of, ':') - host_of);

    return snprintf(out, NODE_ADDR_MAX, "%.*s:%u", host, host_of, port) < NODE_ADDR_MAX;
}

static enum err finish_addresses(struct server_options *o, struct diag *why)
{
    struct node_config *n = &o->node;
    uint32_t port = 0, peer_port = 0;
    bool fits = true;

    (void)server_addr_ok(o->listen, &port);
    if (o->peer[0] == '\0') {
        if (port + PEER_PORT_OFFSET > 65535) {
            diag_set(why, "--listen %s: the port + %d is no port; say --peer HOST:PORT", o->listen,
                     PEER_PORT_OFFSET);
            return ERR_BAD_ARGUMENT;
        }
        fits = join_addr(o->peer, o->listen, port + PEER_PORT_OFFSET);
    }
    (void)server_addr_ok(o->peer, &peer_port);
    if (is_wildcard(o->listen) && o->advertise[0] == '\0') {
        diag_set(why,
                 "--listen %s is every address of this machine; say with --advertise HOST:PORT "
                 "which one clients and other nodes shall use",
                 o->listen);
        return ERR_BAD_ARGUMENT;
    }
    const char *reached = o->advertise[0] != '\0' ? o->advertise : o->listen;

    if (is_wildcard(reached)) {
        diag_set(why, "--advertise %s is no address that others can reach", reached);
        return ERR_BAD_ARGUMENT;
    }
    (void)snprintf(n->client_addr, sizeof n->client_addr, "%s", reached);
    if (is_wildcard(o->peer) || (o->given & bit_of("peer")) == 0) {
        fits = fits && join_addr(n->peer_addr, reached, peer_port);
    } else {
        (void)snprintf(n->peer_addr, sizeof n->peer_addr, "%s", o->peer);
    }
    if (!fits) {
        diag_set(why, "--listen %s: the address is too long", o->listen);
        return ERR_BAD_ARGUMENT;
    }
    return ERR_OK;
}

enum err server_options_finish(struct server_options *o, struct diag *why)
{
    int starts =
        ((o->given & bit_of("found")) != 0) + o->bootstrap + ((o->given & bit_of("join")) != 0);

    if (o->dir[0] == '\0') {
        diag_set(why, "--dir DIR is missing: where the node keeps its data");
        return ERR_BAD_ARGUMENT;
    }
    if (o->listen[0] == '\0') {
        diag_set(why, "--listen HOST:PORT is missing: where clients connect");
        return ERR_BAD_ARGUMENT;
    }
    if (starts > 1) {
        diag_set(why, "--found, --bootstrap and --join exclude each other; keep one");
        return ERR_BAD_ARGUMENT;
    }
    return finish_addresses(o, why);
}

void server_options_help(struct buf *out)
{
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        char flag[40];

        (void)snprintf(flag, sizeof flag, "--%s %s", rows[i].name,
                       rows[i].value != NULL ? rows[i].value : "");
        buf_printf(out, "  %-23s %s\n", flag, rows[i].summary);
    }
}
