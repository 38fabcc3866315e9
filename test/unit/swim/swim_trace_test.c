/* swim_trace_test.c - runs test/trace/swim/ files: scenarios a reader can learn SWIM from.
 * The commands are explained in test/trace/swim/README. */
#include "swim_world.h"
#include "trace_file.h"

#include <stdlib.h>

enum { TRACE_SEED = 1 };

struct trace {
    struct world *w;
    struct swim_config cfg;
    bool brief;   /* only changes of state */
    bool silent;  /* nothing at all */
    uint32_t one; /* show this node alone; 0: all */
    uint64_t seed, began_us;
};
static struct trace *tracing; /* for the world's callback, which has no argument */

/* --- what happened, in words --- */

static void say_record(const struct swim_record *r)
{
    SAY(" %u=%s/%llu", world_number(&r->id), swim_state_name(r->state), U(r->incarnation));
    if (r->state == SWIM_SUSPECT) {
        SAY(" by %u", world_number(&r->by));
    }
    if (r->by_stream) {
        SAY(" for streams");
    }
}

static void say_send(const struct world_node *n, const struct swim_effect *e)
{
    const struct swim_msg *m = &e->u.send.msg;
    uint32_t to = world_number(&m->to);

    if (to != 0) {
        SAY("%u -> %u %s", n->number, to, swim_msg_name(m->kind));
    } else {
        SAY("%u -> whoever is at %u: %s", n->number, world_addr_number(&e->u.send.addr),
            swim_msg_name(m->kind));
    }
    if (m->kind == SWIM_PING_REQ) {
        SAY(" target=%u wait=%ums", world_number(&m->target), m->wait_ms);
    }
    if (m->last) {
        SAY(" last");
    }
    for (uint32_t i = 0; i < m->record_count && i < 8; i++) {
        SAY("%s", i == 0 ? ":" : ",");
        say_record(&m->records[i]);
    }
    if (m->record_count > 8) {
        SAY(" and %u more", m->record_count - 8);
    }
    SAY("\n");
}

static void say_change(const struct world_node *n, const struct swim_effect *e)
{
    struct swim_record r = {0};
    uint32_t about = world_number(&e->u.changed.id);

    if (e->u.changed.is == SWIM_UNKNOWN) {
        SAY("%u no longer lists %u\n", n->number, about);
        return;
    }
    CHECK(swim_find(n->swim, &e->u.changed.id, &r));
    SAY("%u holds %u %s, incarnation %llu", n->number, about, swim_state_name(e->u.changed.is),
        U(r.incarnation));
    if (r.by_stream) {
        SAY(", for its streams");
    }
    if (e->u.changed.refuted) {
        SAY(": it was %s and denies it", swim_state_name(e->u.changed.was));
    }
    SAY("\n");
}

static void on_effect(struct world *w, struct world_node *n, const struct swim_effect *e)
{
    struct trace *t = tracing;
    bool detail = e->kind == SWIM_SEND || e->kind == SWIM_SEND_STREAM || e->kind == SWIM_PERSIST;

    if (t->silent || (t->brief && detail) || (t->one != 0 && t->one != n->number)) {
        return;
    }
    SAY("%7.3f ", (double)(w->now_us - t->began_us) / 1e6);
    switch (e->kind) {
    case SWIM_SEND:
    case SWIM_SEND_STREAM:
        say_send(n, e);
        break;
    case SWIM_PERSIST:
        SAY("%u writes: incarnations up to %llu are used\n", n->number, U(e->u.limit));
        break;
    case SWIM_CHANGED:
        say_change(n, e);
        break;
    case SWIM_GONE:
        SAY("%u has said goodbye and stops\n", n->number);
        break;
    }
}

/* --- commands --- */

static struct world_node *node_arg(struct trace *t, const struct words *w, uint32_t pos)
{
    struct world_node *n =
        t->w == NULL || pos >= w->count ? NULL : world_node(t->w, (uint32_t)number(w->at[pos]));

    if (n == NULL) {
        bad_command(w->at[0]);
    }
    return n;
}

static struct world_node *up(struct trace *t, const struct words *w, uint32_t pos)
{
    struct world_node *n = node_arg(t, w, pos);

    if (n->swim == NULL) {
        bad_command("the node is down");
    }
    return n;
}

static void cmd_nodes(struct trace *t, const struct words *w)
{
    uint32_t count = (uint32_t)number(w->at[1]);
    bool silent = t->silent;

    world_destroy(t->w);
    t->w = world_create(t->seed);
    t->w->cfg = t->cfg;
    t->w->on_effect = on_effect;
    t->began_us = t->w->now_us;
    t->silent = silent || flag(w, "settled");
    for (uint32_t i = 1; i <= count; i++) {
        (void)world_add(t->w);
    }
    for (uint32_t i = 1; i <= count && !flag(w, "stopped"); i++) {
        world_start(t->w, world_node(t->w, i), i == 1 ? 0 : 1);
    }
    if (flag(w, "settled")) { /* all know all, nothing is left to tell; time starts here */
        world_run(t->w, 20 * 1000000ULL);
        CHECK(world_agrees(t->w));
        t->began_us = t->w->now_us;
    }
    t->silent = silent;
}

static void cmd_config(struct trace *t, const struct words *w)
{
    struct swim_config *c = &t->cfg;

    c->helpers = (uint32_t)option_number(w, "helpers", c->helpers);
    c->packet_bytes_max = (uint32_t)option_number(w, "packet", c->packet_bytes_max);
    c->confirmations = (uint32_t)option_number(w, "confirmations", c->confirmations);
    c->fanout = (uint32_t)option_number(w, "fanout", c->fanout);
    c->reap_us = 1000000 * option_number(w, "reap", c->reap_us / 1000000);
    c->tombstone_us = 1000000 * option_number(w, "tombstone", c->tombstone_us / 1000000);
    c->sync_us = 1000000 * option_number(w, "sync", c->sync_us / 1000000);
    c->rejoin_us = 1000000 * option_number(w, "rejoin", c->rejoin_us / 1000000);
    t->seed = option_number(w, "seed", t->seed);
}

static void cmd_start(struct trace *t, const struct words *w)
{
    world_start(t->w, node_arg(t, w, 1), (uint32_t)option_number(w, "seed", 0));
}

static void cmd_crash(struct trace *t, const struct words *w)
{
    for (uint32_t i = 1; i < w->count; i++) {
        world_crash(t->w, up(t, w, i));
    }
}

static void cmd_leave(struct trace *t, const struct words *w)
{
    world_leave(t->w, up(t, w, 1));
}

static void cmd_move(struct trace *t, const struct words *w)
{
    world_move(t->w, node_arg(t, w, 1));
    SAY("%u is at %u now\n", node_arg(t, w, 1)->number, node_arg(t, w, 1)->addr);
}

static void cmd_link_failed(struct trace *t, const struct words *w)
{
    world_link_failed(t->w, up(t, w, 1), (uint32_t)number(w->at[2]));
}

static void cmd_greet(struct trace *t, const struct words *w)
{
    world_greet(t->w, up(t, w, 1), (uint32_t)number(w->at[2]));
}

static void cmd_forget(struct trace *t, const struct words *w)
{
    world_forget(t->w, up(t, w, 1), (uint32_t)number(w->at[2]));
}

static void cmd_run(struct trace *t, const struct words *w)
{
    world_run(t->w, number(w->at[1]) * 1000);
}

static void set_link(struct trace *t, const char *s, bool cut)
{
    char *end;
    uint64_t from = strtoull(s, &end, 10), to;

    if (strncmp(end, "->", 2) != 0 || from > 31) {
        bad_command("a link is FROM->TO");
    }
    to = number(end + 2);
    t->w->cut[from][to & 31] = cut;
}

static void set_cut(struct trace *t, const struct words *w, bool cut)
{
    if (w->count == 1) {
        memset(t->w->cut, cut ? 1 : 0, sizeof t->w->cut);
    }
    for (uint32_t i = 1; i < w->count; i++) {
        if (strstr(w->at[i], "->") != NULL) {
            set_link(t, w->at[i], cut);
            continue;
        }
        for (uint32_t k = 0; k < 32; k++) { /* a node: all of its links */
            t->w->cut[k][number(w->at[i]) & 31] = t->w->cut[number(w->at[i]) & 31][k] = cut;
        }
    }
}

static void cmd_cut(struct trace *t, const struct words *w)
{
    set_cut(t, w, true);
}

static void cmd_heal(struct trace *t, const struct words *w)
{
    set_cut(t, w, false);
}

static void cmd_streams(struct trace *t, const struct words *w)
{
    node_arg(t, w, 1)->stream_dead = flag(w, "fail");
}

static void cmd_packets(struct trace *t, const struct words *w)
{
    node_arg(t, w, 1)->packets_dead = flag(w, "fail");
}

static void cmd_slow(struct trace *t, const struct words *w)
{
    node_arg(t, w, 1)->slow_us = 1000 * number(w->at[2]);
}

static void cmd_disk(struct trace *t, const struct words *w)
{
    struct world_node *n = node_arg(t, w, 1);

    n->persist_us = 1000 * option_number(w, "takes", n->persist_us / 1000);
    n->persisted = option_number(w, "limit", n->persisted);
}

static enum swim_state state_arg(const char *s)
{
    for (int state = 1; state < SWIM_STATES; state++) {
        if (strcmp(s, swim_state_name((enum swim_state)state)) == 0) {
            return (enum swim_state)state;
        }
    }
    bad_command(s);
}

static enum swim_msg_kind kind_arg(const char *s)
{
    for (int kind = 0; kind < SWIM_MSG_KINDS; kind++) {
        if (strcmp(s, swim_msg_name((enum swim_msg_kind)kind)) == 0) {
            return (enum swim_msg_kind)kind;
        }
    }
    bad_command(s);
}

/* recv N KIND from= [to=] [seq=] [about= is= inc= by= streams]: as from the network. */
static void cmd_recv(struct trace *t, const struct words *w)
{
    struct world_node *n = up(t, w, 1);
    uint32_t from = (uint32_t)option_number(w, "from", 0);
    struct swim_record r = {
        .id = world_id((uint32_t)option_number(w, "about", 0)),
        .addr = world_addr((uint32_t)option_number(w, "about", 0)),
        .incarnation = option_number(w, "inc", 1),
        .state = option(w, "is") == NULL ? SWIM_ALIVE : state_arg(option(w, "is")),
        .by = world_id((uint32_t)option_number(w, "by", 0)),
        .by_stream = flag(w, "streams"),
    };
    struct swim_msg m = {
        .kind = kind_arg(w->at[2]),
        .from = world_id(from),
        .to = world_id((uint32_t)option_number(w, "to", n->number)),
        .seq = (uint32_t)option_number(w, "seq", 0),
        .record_count = option(w, "about") != NULL,
        .records = &r,
    };

    world_receive(t->w, n, &m, from);
}

static void cmd_status(struct trace *t, const struct words *w)
{
    for (uint32_t i = 0; i < t->w->count; i++) {
        const struct world_node *n = &t->w->nodes[i];

        if (w->count > 1 && n != node_arg(t, w, 1)) {
            continue;
        }
        SAY("%u", n->number);
        if (n->swim == NULL) {
            SAY(" down\n");
            continue;
        }
        for (uint32_t k = 1; k <= t->w->count; k++) {
            struct swim_id id = world_id(k);
            struct swim_record r;

            if (swim_find(n->swim, &id, &r)) {
                SAY(" %u=%s/%llu", k, swim_state_name(r.state), U(r.incarnation));
            }
        }
        SAY("\n");
    }
}

static void cmd_tuning(struct trace *t, const struct words *w)
{
    struct world_node *n = up(t, w, 1);
    const struct swim_stats *s = swim_stats(n->swim);
    struct swim_tuning u;

    swim_tuning(n->swim, &u);
    SAY("health=%u period=%llums timeout=%llums gossip=%llums fanout=%u transmits=%u loss=%u%%\n",
        u.health, U(u.probe_us / 1000), U(u.timeout_us / 1000), U(u.gossip_us / 1000), u.fanout,
        u.transmits, u.loss_ppm / 10000);
    SAY("suspicion=%llu..%llums probes=%llu failed=%llu stale=%llu rejected=%llu\n",
        U(u.suspicion_us_min / 1000), U(u.suspicion_us_max / 1000), U(s->probes),
        U(s->probes_failed), U(s->stale), U(s->rejected));
}

static void cmd_lose(struct trace *t, const struct words *w)
{
    t->w->loss_ppm = (uint32_t)number(w->at[1]) * 10000;
}

static void cmd_latency(struct trace *t, const struct words *w)
{
    t->w->latency_us_min = t->w->latency_us_max = 1000 * number(w->at[1]);
}

/* show all | brief | nothing | N: of node N alone */
static void cmd_show(struct trace *t, const struct words *w)
{
    t->brief = flag(w, "brief");
    t->silent = flag(w, "nothing");
    t->one = w->count > 2 ? (uint32_t)number(w->at[2]) : 0;
}

static const struct {
    const char *name;
    void (*run)(struct trace *t, const struct words *w);
    uint32_t words_min;
} commands[] = {
    {"nodes", cmd_nodes, 2},     {"config", cmd_config, 2},   {"start", cmd_start, 2},
    {"restart", cmd_start, 2},   {"crash", cmd_crash, 2},     {"leave", cmd_leave, 2},
    {"move", cmd_move, 2},       {"run", cmd_run, 2},         {"cut", cmd_cut, 1},
    {"heal", cmd_heal, 1},       {"streams", cmd_streams, 3}, {"packets", cmd_packets, 3},
    {"slow", cmd_slow, 3},       {"disk", cmd_disk, 2},       {"recv", cmd_recv, 4},
    {"status", cmd_status, 1},   {"tuning", cmd_tuning, 2},   {"lose", cmd_lose, 2},
    {"latency", cmd_latency, 2}, {"show", cmd_show, 2},       {"link-failed", cmd_link_failed, 3},
    {"greet", cmd_greet, 3},     {"forget", cmd_forget, 3},
};

static void run(const struct words *w)
{
    for (uint32_t i = 0; i < ARRAY_COUNT(commands); i++) {
        if (strcmp(w->at[0], commands[i].name) == 0 && w->count >= commands[i].words_min) {
            commands[i].run(tracing, w);
            return;
        }
    }
    bad_command(w->at[0]);
}

static void begin(void)
{
    static struct trace t;

    t = (struct trace){.seed = TRACE_SEED};
    swim_config_default(&t.cfg);
    tracing = &t;
}

static void end(void)
{
    world_destroy(tracing->w);
}

int main(int argc, char **argv)
{
    static const struct trace_machine machine = {begin, run, end};

    return trace_main(argc, argv, &machine);
}
