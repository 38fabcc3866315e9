/* paxos_trace_test.c - runs test/trace/paxos/ files: scenarios a reader can learn Paxos from.
 * The commands are explained in test/trace/paxos/README. */
#include "paxos_cluster.h"
#include "trace_file.h"

enum { DELIVER_MAX = 20000, TRACE_SEED = 5 };

struct trace {
    struct cluster *c;
    bool held[CLUSTER_NODES_MAX + 1]; /* by id: writes wait for `sync` */
    bool cut[CLUSTER_NODES_MAX + 1][CLUSTER_NODES_MAX + 1];
};
static struct trace tracing;

/* --- what happened, in words --- */

static void say_ballot(const char *name, struct paxos_ballot b)
{
    if (b.round == 0) {
        SAY(" %s=none", name);
    } else {
        SAY(" %s=%llu.%llu", name, U(b.round), U(b.node.n));
    }
}

static void say_value(const char *name, struct slice v)
{
    SAY(" %s=%.*s", name, (int)v.len, (const char *)v.data);
}

static void say_msg(const struct paxos_msg *m)
{
    SAY("%s %llu", paxos_msg_name(m->kind), U(m->instance.n));
    switch (m->kind) {
    case PAXOS_PREPARE:
    case PAXOS_ACCEPTED:
        say_ballot("ballot", m->ballot);
        break;
    case PAXOS_PROMISE:
        say_ballot("ballot", m->ballot);
        say_ballot("accepted", m->accepted);
        if (m->accepted.round != 0) {
            say_value("value", m->value);
        }
        break;
    case PAXOS_ACCEPT:
        say_ballot("ballot", m->ballot);
        say_value("value", m->value);
        break;
    case PAXOS_NACK:
        say_ballot("ballot", m->ballot);
        say_ballot("beat", m->accepted);
        break;
    case PAXOS_DECIDED:
        say_value("value", m->value);
        break;
    case PAXOS_ASK:
    case PAXOS_MSG_KINDS:
        break;
    }
    SAY("\n");
}

static void say_persist(const struct paxos_effect *e)
{
    const struct paxos_hard *h = &e->u.persist.hard;

    SAY("writes #%llu", U(e->gate));
    if (e->u.persist.decided_changed) {
        SAY(" decided=%llu", U(e->u.persist.decided.n));
        say_value("value", e->u.persist.value);
    }
    SAY(" round=%llu", U(h->round));
    if (h->promised.round != 0) {
        SAY(" %llu:", U(h->instance.n));
        say_ballot("promised", h->promised);
        say_ballot("accepted", h->accepted);
    }
    if (h->accepted.round != 0) {
        say_value("value", h->value);
    }
    SAY("\n");
}

static void on_effect(struct cluster *c, struct cluster_node *n, const struct paxos_effect *e)
{
    (void)c;
    SAY("%llu ", U(n->id.n));
    switch (e->kind) {
    case PAXOS_PERSIST:
        say_persist(e);
        break;
    case PAXOS_SEND:
        SAY("-> %llu ", U(e->u.msg.to.n));
        if (e->gate != 0) {
            SAY("after #%llu: ", U(e->gate));
        }
        say_msg(&e->u.msg);
        break;
    case PAXOS_LEARNED:
        SAY("learns %llu:", U(e->u.learned.instance.n));
        say_value("value", e->u.learned.value);
        SAY("\n");
        break;
    case PAXOS_PROPOSAL_OVER:
        SAY("proposal for %llu is over: %s\n", U(e->u.over.instance.n),
            paxos_outcome_name(e->u.over.outcome));
        break;
    }
}

static void say_err(uint64_t id, enum err err)
{
    if (err != ERR_OK) {
        SAY("%llu says: %s\n", U(id), err_text(err));
    }
}

/* --- turning the wheels --- */

static void sync_node(struct cluster_node *n, bool forced)
{
    while (n->paxos != NULL && (forced || !tracing.held[n->id.n]) && cluster_sync(tracing.c, n)) {
    }
}

static void turn(struct cluster_node *n)
{
    cluster_flush(tracing.c, n);
    sync_node(n, false);
    cluster_check(tracing.c);
}

static void deliver_one(struct letter l)
{
    struct cluster_node *n = cluster_find(tracing.c, l.msg.to.n);

    if (n == NULL || n->paxos == NULL || tracing.cut[l.msg.from.n][l.msg.to.n]) {
        return;
    }
    say_err(n->id.n, cluster_receive(tracing.c, &l));
    turn(n);
}

struct choice { /* of letters; 0 and -1: any */
    uint64_t from, to;
    int kind;
};

static struct choice choice_arg(const struct words *w)
{
    struct choice chosen = {.kind = -1};

    link_arg(w, &chosen.from, &chosen.to);
    for (uint32_t i = 1; i < w->count; i++) {
        for (int k = 0; k < PAXOS_MSG_KINDS; k++) {
            if (strcmp(w->at[i], paxos_msg_name((enum paxos_msg_kind)k)) == 0) {
                chosen.kind = k;
            }
        }
    }
    return chosen;
}

static bool matches(const struct letter *l, const struct choice *chosen)
{
    return (chosen->from == 0 || l->msg.from.n == chosen->from) &&
           (chosen->to == 0 || l->msg.to.n == chosen->to) &&
           (chosen->kind < 0 || (int)l->msg.kind == chosen->kind);
}

/* Everything, and all that follows from it; or what waits now and matches. */
static void cmd_deliver(const struct words *w)
{
    struct letters *net = &tracing.c->network;
    struct choice chosen = choice_arg(w);
    bool all = w->count == 1;
    uint32_t pos = 0, limit = all ? DELIVER_MAX : net->count;

    while (pos < net->count && limit > 0) {
        limit--;
        if (matches(&net->at[pos], &chosen)) {
            deliver_one(letters_take(net, pos));
            pos = all ? 0 : pos;
        } else {
            pos++;
        }
    }
}

static void cmd_lose(const struct words *w)
{
    struct letters *net = &tracing.c->network;
    struct choice chosen = choice_arg(w);

    for (uint32_t i = 0; i < net->count; i++) {
        if (matches(&net->at[i], &chosen)) {
            (void)letters_take(net, i--);
        }
    }
}

static void cmd_duplicate(const struct words *w)
{
    struct letters *net = &tracing.c->network;
    struct choice chosen = choice_arg(w);
    uint32_t count = net->count;

    for (uint32_t i = 0; i < count; i++) {
        struct letter twin = net->at[i];

        if (matches(&twin, &chosen)) {
            letters_push(net, &twin);
        }
    }
}

static void tick_node(struct cluster_node *n)
{
    if (n->paxos != NULL) {
        paxos_tick(n->paxos, tracing.c->now_us);
        turn(n);
    }
}

static void tick_all(uint64_t ms)
{
    tracing.c->now_us += ms * 1000;
    for (uint32_t i = 0; i < tracing.c->count; i++) {
        tick_node(&tracing.c->nodes[i]);
    }
}

/* --- commands --- */

static struct cluster_node *node_arg(const struct words *w, uint32_t pos)
{
    struct cluster_node *n = pos < w->count ? cluster_find(tracing.c, number(w->at[pos])) : NULL;

    if (n == NULL) {
        bad_command(w->at[0]);
    }
    return n;
}

static struct cluster_node *up_arg(const struct words *w, uint32_t pos)
{
    struct cluster_node *n = node_arg(w, pos);

    if (n->paxos == NULL) {
        bad_command("the node is down");
    }
    return n;
}

static void start(struct cluster_node *n)
{
    say_err(n->id.n, cluster_start(tracing.c, n));
    if (n->paxos != NULL) {
        turn(n);
    }
}

/* nodes N [first=VALUE] [finish=MS] [spare=K] [ignorant=K] */
static void cmd_nodes(const struct words *w)
{
    uint64_t count = number(w->at[1]), spare = option_number(w, "spare", 0);
    uint64_t ignorant = option_number(w, "ignorant", 0);
    const char *text = option(w, "first");
    struct value first = value_of(slice_str(text == NULL ? "first" : text));

    cluster_destroy(tracing.c);
    memset(&tracing, 0, sizeof tracing);
    tracing.c = cluster_create();
    tracing.c->seed = TRACE_SEED;
    tracing.c->now_us = 1000000;
    tracing.c->cfg.finish_us = option_number(w, "finish", 0) * 1000;
    tracing.c->on_effect = on_effect;
    cluster_default_council = (struct paxos_council){0};
    for (uint64_t i = 1; i <= count; i++) {
        cluster_default_council.ids[cluster_default_council.count++].n = i;
    }
    cluster_default_council.quorum1 = cluster_default_council.quorum2 = (uint8_t)(count / 2 + 1);
    for (uint64_t i = 1; i <= count + spare + ignorant; i++) {
        start(cluster_add(tracing.c, i, i <= count + spare ? &first : NULL));
    }
}

static void cmd_start(const struct words *w)
{
    for (uint32_t i = 1; i < w->count; i++) {
        start(node_arg(w, i));
    }
}

static void cmd_crash(const struct words *w)
{
    for (uint32_t i = 1; i < w->count; i++) {
        if (strchr(w->at[i], '=') == NULL) {
            cluster_crash(tracing.c, node_arg(w, i), (uint32_t)option_number(w, "survive", 0));
        }
    }
}

static void cmd_wipe(const struct words *w)
{
    cluster_crash(tracing.c, node_arg(w, 1), 0);
    cluster_wipe(tracing.c, node_arg(w, 1));
}

static void cmd_forget(const struct words *w)
{
    struct cluster_node *n = up_arg(w, 1);

    paxos_forget(n->paxos);
    n->forgot = true;
    turn(n);
}

static void cmd_propose(const struct words *w)
{
    struct cluster_node *n = up_arg(w, 1);
    uint64_t instance = option_number(w, "instance", paxos_decided(n->paxos).n + 1);

    say_err(n->id.n, cluster_propose(tracing.c, n, instance, slice_str(w->at[2])));
    turn(n);
}

static void cmd_withdraw(const struct words *w)
{
    struct cluster_node *n = up_arg(w, 1);

    SAY("%llu %s\n", U(n->id.n),
        paxos_withdraw(n->paxos) ? "withdraws: it never left" : "withdraws: it may be chosen yet");
    turn(n);
}

static void cmd_learn(const struct words *w)
{
    struct cluster_node *n = up_arg(w, 1);

    cluster_given_decided(tracing.c, number(w->at[2]), slice_str(w->at[3]));
    say_err(n->id.n, paxos_learn(n->paxos, tracing.c->now_us,
                                 (struct paxos_instance){number(w->at[2])}, slice_str(w->at[3])));
    turn(n);
}

static void cmd_timeout(const struct words *w)
{
    struct cluster_node *n = up_arg(w, 1);
    uint64_t due = paxos_deadline_us(n->paxos);

    if (due == UINT64_MAX) {
        SAY("%llu waits for nothing\n", U(n->id.n));
        return;
    }
    tracing.c->now_us = due > tracing.c->now_us ? due : tracing.c->now_us;
    tick_node(n);
}

static void cmd_tick(const struct words *w)
{
    tick_all(number(w->at[1]));
}

/* Time passes in steps, and messages arrive at once. */
static void cmd_run(const struct words *w)
{
    static char word[] = "deliver";
    const struct words all = {.at = {word}, .count = 1};

    for (uint64_t ms = number(w->at[1]); ms > 0; ms -= ms > 10 ? 10 : ms) {
        tick_all(ms > 10 ? 10 : ms);
        cmd_deliver(&all);
    }
}

static void set_cut(const struct words *w, bool cut)
{
    if (w->count == 1) {
        memset(tracing.cut, cut ? 1 : 0, sizeof tracing.cut);
    }
    for (uint32_t i = 1; i < w->count; i++) {
        uint64_t from, to;

        if (strstr(w->at[i], "->") != NULL) {
            parse_link(w->at[i], &from, &to);
            tracing.cut[from][to] = cut;
            continue;
        }
        for (from = 0; from <= CLUSTER_NODES_MAX; from++) { /* a node: all of its links */
            tracing.cut[from][number(w->at[i])] = tracing.cut[number(w->at[i])][from] = cut;
        }
    }
}

static void cmd_cut(const struct words *w)
{
    set_cut(w, true);
}

static void cmd_heal(const struct words *w)
{
    set_cut(w, false);
}

static void cmd_hold(const struct words *w)
{
    tracing.held[node_arg(w, 1)->id.n] = true;
}

/* What is pending now, not what follows from it. */
static void cmd_sync(const struct words *w)
{
    struct cluster_node *n = up_arg(w, 1);

    for (uint32_t i = n->write_count; i > 0; i--) {
        (void)cluster_sync(tracing.c, n);
    }
    cluster_check(tracing.c);
}

static void cmd_release(const struct words *w)
{
    tracing.held[node_arg(w, 1)->id.n] = false;
    sync_node(up_arg(w, 1), true);
}

static struct paxos_ballot ballot_arg(const struct words *w, const char *name)
{
    const char *s = option(w, name);
    struct paxos_ballot b = {0};

    if (s != NULL && strcmp(s, "none") != 0) {
        b.round = number(s);
        s = strchr(s, '.');
        b.node.n = s == NULL ? 0 : number(s + 1);
    }
    return b;
}

/* recv N KIND from= to= instance= ballot=R.N accepted=R.N beat=R.N value=: from nowhere. */
static void cmd_recv(const struct words *w)
{
    struct cluster_node *n = up_arg(w, 1);
    const char *value = option(w, "value");
    struct choice chosen = choice_arg(w);
    struct letter l = {
        .msg =
            {
                .kind = chosen.kind < 0 ? PAXOS_MSG_KINDS : (enum paxos_msg_kind)chosen.kind,
                .from.n = option_number(w, "from", 0),
                .to.n = n->id.n,
                .instance.n = option_number(w, "instance", paxos_decided(n->paxos).n + 1),
                .ballot = ballot_arg(w, "ballot"),
                .accepted = ballot_arg(w, option(w, "beat") != NULL ? "beat" : "accepted"),
            },
        .value = value_of(slice_str(value == NULL ? "" : value)),
    };

    if (option(w, "to") != NULL) {
        l.msg.to.n = option_number(w, "to", 0);
    }
    l.msg.value = value_slice(&l.value);
    if (value != NULL) {
        cluster_given(tracing.c, l.msg.instance.n, l.msg.value);
    }
    say_err(n->id.n, paxos_step(n->paxos, tracing.c->now_us, &l.msg));
    turn(n);
}

static void cmd_status(const struct words *w)
{
    (void)w;
    for (uint32_t i = 0; i < tracing.c->count; i++) {
        const struct cluster_node *n = &tracing.c->nodes[i];
        struct paxos_hard h;

        if (n->paxos == NULL) {
            SAY("%llu down\n", U(n->id.n));
            continue;
        }
        h = paxos_hard(n->paxos);
        SAY("%llu %s decided=%llu", U(n->id.n), paxos_phase_name(paxos_phase(n->paxos)),
            U(paxos_decided(n->paxos).n));
        say_value("value", paxos_value(n->paxos));
        say_ballot("promised", h.promised);
        say_ballot("accepted", h.accepted);
        SAY("%s\n", paxos_forgot(n->paxos) ? " forgot" : "");
    }
}

static const struct {
    const char *name;
    void (*run)(const struct words *w);
    uint32_t words_min;
} commands[] = {
    {"nodes", cmd_nodes, 2},     {"start", cmd_start, 2},       {"restart", cmd_start, 2},
    {"crash", cmd_crash, 2},     {"wipe", cmd_wipe, 2},         {"forget", cmd_forget, 2},
    {"propose", cmd_propose, 3}, {"withdraw", cmd_withdraw, 2}, {"learn", cmd_learn, 4},
    {"timeout", cmd_timeout, 2}, {"tick", cmd_tick, 2},         {"run", cmd_run, 2},
    {"deliver", cmd_deliver, 1}, {"lose", cmd_lose, 1},         {"duplicate", cmd_duplicate, 1},
    {"cut", cmd_cut, 2},         {"heal", cmd_heal, 1},         {"hold", cmd_hold, 2},
    {"sync", cmd_sync, 2},       {"release", cmd_release, 2},   {"recv", cmd_recv, 3},
    {"status", cmd_status, 1},
};

static void run(const struct words *w)
{
    for (uint32_t i = 0; i < ARRAY_COUNT(commands); i++) {
        if (strcmp(w->at[0], commands[i].name) == 0 && w->count >= commands[i].words_min) {
            commands[i].run(w);
            return;
        }
    }
    bad_command(w->at[0]);
}

static void begin(void)
{
    memset(&tracing, 0, sizeof tracing);
    tracing.c = cluster_create();
}

static void end(void)
{
    cluster_destroy(tracing.c);
}

int main(int argc, char **argv)
{
    static const struct trace_machine machine = {begin, run, end};

    return trace_main(argc, argv, &machine);
}
