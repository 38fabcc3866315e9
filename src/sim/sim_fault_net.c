/* What goes wrong between machines. */
#include "sim/sim_fault.h"
#include "sim/sim_world.h"

/* --- places --- */

static uint32_t places(const struct sim_world *w)
{
    return w->opt.hosts + w->opt.clients;
}

/* The nth place in use: hosts, then clients. */
static uint32_t place(const struct sim_world *w, uint64_t n)
{
    return n < w->opt.hosts ? (uint32_t)n : sim_place_of_client((uint32_t)n - w->opt.hosts);
}

static uint32_t any_place(struct sim_world *w)
{
    return place(w, prng_below(&w->rng, places(w)));
}

static bool is_host(uint32_t at)
{
    return at < SIM_HOSTS_MAX;
}

void sim_fault_cut(struct sim_world *w, uint32_t from, uint32_t to, uint64_t us)
{
    sim_net_cut(w, from, to, w->now_us + us, true);
}

void sim_fault_freeze(struct sim_world *w, uint32_t from, uint32_t to, uint64_t us)
{
    sim_net_cut(w, from, to, w->now_us + us, false);
}

/* --- partitions --- */

enum partition {
    PARTITION_SIDES,   /* each place falls on a side; clients may be on either */
    PARTITION_BRIDGE,  /* and one host reaches both */
    PARTITION_RING,    /* each host reaches its two neighbours: with five, everyone sees a
                          majority and no two see the same */
    PARTITION_CHAIN,   /* the ring, open: with three, two that see only the third */
    PARTITION_LEADER,  /* a leader is alone; clients may still reach it */
    PARTITION_CLIENTS, /* hosts talk; one of them, or some clients, are not reached */
    PARTITION_LINK,    /* two hosts lose each other, and nobody else does */
    PARTITIONS
};

struct cut {
    enum partition kind;
    uint64_t side;     /* a bit per place */
    uint32_t one, two; /* hosts */
};

static bool side_of(const struct cut *c, uint32_t at)
{
    return (c->side >> at & 1) != 0;
}

static bool neighbours(const struct sim_world *w, const struct cut *c, uint32_t a, uint32_t b)
{
    uint32_t hosts = w->opt.hosts;
    bool next = (a + 1) % hosts == b || (b + 1) % hosts == a;
    bool broken = c->kind == PARTITION_CHAIN &&
                  ((a == c->one && (a + 1) % hosts == b) || (b == c->one && (b + 1) % hosts == a));

    return next && !broken;
}

static bool parts(const struct sim_world *w, const struct cut *c, uint32_t a, uint32_t b)
{
    bool hosts = is_host(a) && is_host(b);

    switch (c->kind) {
    case PARTITION_SIDES:
        return side_of(c, a) != side_of(c, b);
    case PARTITION_BRIDGE:
        return side_of(c, a) != side_of(c, b) && a != c->one && b != c->one;
    case PARTITION_RING:
    case PARTITION_CHAIN:
        return hosts && !neighbours(w, c, a, b);
    case PARTITION_LEADER:
        return (a == c->one || b == c->one) && (hosts || side_of(c, a) != side_of(c, b));
    case PARTITION_CLIENTS:
        return !hosts && (a == c->one || b == c->one || side_of(c, a) != side_of(c, b));
    case PARTITION_LINK:
        return hosts && ((a == c->one && b == c->two) || (a == c->two && b == c->one));
    case PARTITIONS:
        break;
    }
    UNREACHABLE("partition");
}

static void say_cut(const struct sim_world *w, const struct cut *c)
{
    struct sim_sides sides = sim_sides(&w->opt, c->side);

    switch (c->kind) {
    case PARTITION_SIDES:
        sim_say(w, SIM_LOG_SHORT, "two sides lose each other: %s", sides.text);
        break;
    case PARTITION_BRIDGE:
        sim_say(w, SIM_LOG_SHORT, "two sides lose each other, n%u reaches both: %s", c->one,
                sides.text);
        break;
    case PARTITION_RING:
        sim_say(w, SIM_LOG_SHORT, "each node reaches only its two neighbours in a ring");
        break;
    case PARTITION_CHAIN:
        sim_say(w, SIM_LOG_SHORT,
                "each node reaches only its neighbours in a chain that ends at n%u", c->one);
        break;
    case PARTITION_LEADER:
        sim_say(w, SIM_LOG_SHORT, "leader n%u is alone, but for clients on its side: %s", c->one,
                sides.text);
        break;
    case PARTITION_CLIENTS:
        sim_say(w, SIM_LOG_SHORT, "clients do not reach n%u, nor the other side: %s", c->one,
                sides.text);
        break;
    case PARTITION_LINK:
        sim_say(w, SIM_LOG_SHORT, "n%u and n%u lose each other", c->one, c->two);
        break;
    case PARTITIONS:
        break;
    }
}

static struct cut draw_cut(struct sim_world *w)
{
    struct cut c = {.kind = (enum partition)prng_below(&w->rng, PARTITIONS + 2),
                    .side = prng_next(&w->rng),
                    .one = (uint32_t)prng_below(&w->rng, w->opt.hosts)};

    if (c.kind >= PARTITIONS) { /* the commonest one is common */
        c.kind = PARTITION_SIDES;
    }
    if (c.kind == PARTITION_LEADER) {
        c.one = sim_fault_any_leader(w)->id;
    }
    c.two = (c.one + 1 + (uint32_t)prng_below(&w->rng, w->opt.hosts)) % w->opt.hosts;
    say_cut(w, &c);
    return c;
}

void sim_fault_partition(struct sim_world *w)
{
    uint64_t us = sim_fault_length_us(w);
    bool breaks = prng_chance(&w->rng, 3, 4);
    struct cut c = draw_cut(w);

    for (uint32_t i = 0; i < places(w); i++) {
        for (uint32_t j = 0; j < places(w); j++) {
            uint32_t from = place(w, i), to = place(w, j);

            if (from != to && (is_host(from) || is_host(to)) && parts(w, &c, from, to)) {
                uint64_t until_us = w->now_us + us + prng_below(&w->rng, us / 2 + 1);

                sim_net_cut(w, from, to, until_us, breaks);
            }
        }
    }
}

/* Some speak and are not heard: a whole side, or one host that is mute, or deaf. */
void sim_fault_one_way(struct sim_world *w)
{
    uint64_t us = sim_fault_length_us(w), side = prng_next(&w->rng);
    bool breaks = prng_chance(&w->rng, 1, 2);

    if (prng_chance(&w->rng, 1, 2)) {
        side = 1ULL << prng_below(&w->rng, w->opt.hosts);
        side = prng_chance(&w->rng, 1, 2) ? side : ~side;
    }
    sim_say(w, SIM_LOG_SHORT, "the first are not heard by the others for %s: %s", sim_span(us).text,
            sim_sides(&w->opt, side).text);
    for (uint32_t i = 0; i < places(w); i++) {
        for (uint32_t j = 0; j < places(w); j++) {
            uint32_t from = place(w, i), to = place(w, j);

            if ((side >> from & 1) != 0 && (side >> to & 1) == 0) {
                sim_net_cut(w, from, to, w->now_us + us, breaks);
            }
        }
    }
}

/* --- clogs: everything is held, and then comes at once --- */

void sim_fault_clog(struct sim_world *w)
{
    uint32_t at = any_place(w);
    uint64_t us = sim_fault_length_us(w), what = prng_below(&w->rng, 4);

    sim_say(w, SIM_LOG_SHORT, "what %s %s is held back for %s", sim_who(at).text,
            what == 0   ? "sends somebody"
            : what == 1 ? "is sent"
            : what == 2 ? "sends"
                        : "sends and is sent",
            sim_span(us).text);
    if (what == 0) {
        uint32_t to = any_place(w);

        sim_fault_freeze(w, at, to, us);
        return;
    }
    for (uint32_t i = 0; i < places(w); i++) {
        uint32_t other = place(w, i);

        if (what != 1) {
            sim_fault_freeze(w, at, other, us);
        }
        if (what != 2) {
            sim_fault_freeze(w, other, at, us);
        }
    }
}

static void swizzle_event(struct sim_world *w, uint64_t ways, uint64_t until_us)
{
    if (sim_faults_on(w) && until_us > w->now_us) {
        sim_net_cut(w, (uint32_t)(ways >> 8), ways & 255, until_us, false);
    }
}

/* A random subset of the ways is cut one by one, and they heal one by one in another order. */
void sim_fault_swizzle(struct sim_world *w)
{
    uint64_t us = sim_fault_length_us(w);
    bool both = prng_chance(&w->rng, 1, 2);

    sim_say(w, SIM_LOG_SHORT,
            "links between nodes are cut one by one and heal in another order, in %s",
            sim_span(2 * us).text);
    for (uint32_t from = 0; from < w->opt.hosts; from++) {
        for (uint32_t to = 0; to < w->opt.hosts; to++) {
            uint64_t since = prng_below(&w->rng, us);
            uint64_t until = w->now_us + us + prng_below(&w->rng, us);

            if (from == to || prng_chance(&w->rng, 1, 2)) {
                continue;
            }
            sim_in(w, since, swizzle_event, (uint64_t)from << 8 | to, until);
            if (both) {
                sim_in(w, since, swizzle_event, (uint64_t)to << 8 | from, until);
            }
        }
    }
}

/* --- datagrams, or connections, alone --- */

static void packets_again_event(struct sim_world *w, uint64_t from, uint64_t to)
{
    sim_net_link(&w->net, (uint32_t)from, (uint32_t)to)->packet_loss_ppm = 0;
}

void sim_fault_packets(struct sim_world *w)
{
    static const uint32_t rates[] = {100000, 300000, 700000, 1000000, 1000000};
    uint32_t one = (uint32_t)prng_below(&w->rng, w->opt.hosts);
    uint32_t ppm = rates[prng_below(&w->rng, ARRAY_COUNT(rates))];
    uint64_t us = 2 * sim_fault_length_us(w), ways = prng_between(&w->rng, 1, 3);

    sim_say(w, SIM_LOG_SHORT, "of the datagrams %s n%u, %u in a million are lost, for %s",
            ways == 1   ? "to"
            : ways == 2 ? "from"
                        : "to and from",
            one, ppm, sim_span(us).text);
    for (uint32_t i = 0; i < w->opt.hosts; i++) {
        if ((ways & 1) != 0) {
            sim_net_link(&w->net, i, one)->packet_loss_ppm = ppm;
            sim_in(w, us, packets_again_event, i, one);
        }
        if ((ways & 2) != 0) {
            sim_net_link(&w->net, one, i)->packet_loss_ppm = ppm;
            sim_in(w, us, packets_again_event, one, i);
        }
    }
}

/* A firewall that lets datagrams through: of one node to all others, or to one of them. */
void sim_fault_streams(struct sim_world *w)
{
    uint32_t one = (uint32_t)prng_below(&w->rng, w->opt.hosts);
    uint32_t two = (uint32_t)prng_below(&w->rng, w->opt.hosts);
    bool all = prng_chance(&w->rng, 1, 2);
    uint64_t until_us = w->now_us + 2 * sim_fault_length_us(w);

    sim_say(w, SIM_LOG_SHORT, "connections of n%u and %s carry nothing for %s, datagrams pass", one,
            all ? "the others" : sim_who(two).text, sim_span(until_us - w->now_us).text);
    for (uint32_t i = 0; i < w->opt.hosts; i++) {
        if (i != one && (all || i == two)) {
            sim_net_cut_streams(w, i, one, until_us);
            sim_net_cut_streams(w, one, i, until_us);
        }
    }
}

/* --- links that work badly --- */

static void unslow_event(struct sim_world *w, uint64_t from, uint64_t to)
{
    sim_net_link(&w->net, (uint32_t)from, (uint32_t)to)->slow_us = 0;
}

void sim_fault_slow_link(struct sim_world *w)
{
    uint32_t from = any_place(w), to = any_place(w);
    struct sim_link *l = sim_net_link(&w->net, from, to);

    l->slow_us = prng_between(&w->rng, 1000, 500000);
    sim_say(w, SIM_LOG_SHORT, "everything from %s to %s takes %s longer", sim_who(from).text,
            sim_who(to).text, sim_span(l->slow_us).text);
    sim_in(w, sim_fault_length_us(w), unslow_event, from, to);
}

static void lossless_event(struct sim_world *w, uint64_t from, uint64_t to)
{
    sim_net_link(&w->net, (uint32_t)from, (uint32_t)to)->loss_ppm = 0;
}

void sim_fault_loss(struct sim_world *w)
{
    uint32_t at = any_place(w);
    uint64_t us = sim_fault_length_us(w);
    static const uint32_t rates[] = {1000, 10000, 50000, 200000, 500000};
    uint32_t ppm = rates[prng_below(&w->rng, ARRAY_COUNT(rates))];

    sim_say(w, SIM_LOG_SHORT, "%s: of what it sends, %u packets in a million are lost, for %s",
            sim_who(at).text, ppm, sim_span(us).text);
    for (uint32_t i = 0; i < places(w); i++) {
        sim_net_link(&w->net, at, place(w, i))->loss_ppm = ppm;
        sim_in(w, us, lossless_event, at, place(w, i));
    }
}

static void widen_event(struct sim_world *w, uint64_t from, uint64_t to)
{
    sim_net_link(&w->net, (uint32_t)from, (uint32_t)to)->bytes_per_s = w->opt.bytes_per_s;
}

/* What one place can send shrinks to the rate of a bad line. */
void sim_fault_narrow(struct sim_world *w)
{
    uint32_t at = any_place(w);
    uint64_t us = sim_fault_length_us(w), rate = prng_between(&w->rng, 100000, 2000000);

    sim_say(w, SIM_LOG_SHORT, "%s can send %lu bytes per second at most, for %s", sim_who(at).text,
            rate, sim_span(us).text);
    for (uint32_t i = 0; i < places(w); i++) {
        sim_net_link(&w->net, at, place(w, i))->bytes_per_s = rate;
        sim_in(w, us, widen_event, at, place(w, i));
    }
}

/* --- connections --- */

static void read_event(struct sim_world *w, uint64_t client, uint64_t unused)
{
    (void)unused;
    sim_net_client_reading(w, (uint32_t)client, true);
}

void sim_fault_slow_reader(struct sim_world *w)
{
    uint32_t client = (uint32_t)prng_below(&w->rng, w->opt.clients);
    uint64_t us = sim_fault_length_us(w);

    sim_say(w, SIM_LOG_SHORT, "c%u does not read its replies for %s", client, sim_span(us).text);
    sim_net_client_reading(w, client, false);
    sim_in(w, us, read_event, client, 0);
}

void sim_fault_flood(struct sim_world *w)
{
    uint32_t host = (uint32_t)prng_below(&w->rng, w->opt.hosts);
    uint64_t count = prng_chance(&w->rng, 1, 8) ? 300 : prng_between(&w->rng, 1, 30);
    bool peer_port = prng_chance(&w->rng, 1, 2);

    sim_say(w, SIM_LOG_SHORT, "%lu strangers connect to n%u, to its port for %s", count, host,
            peer_port ? "nodes" : "clients");
    for (uint64_t i = 0; i < count; i++) {
        sim_net_stranger(w, host, peer_port);
    }
}
