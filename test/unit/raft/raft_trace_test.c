/* raft_trace_test.c - runs test/trace/raft/ files: scenarios a reader can learn Raft from.
 * The commands are explained in test/trace/raft/README. */
#include "raft_cluster.h"
#include "trace_file.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    DELIVER_MAX = 20000,
    TRACE_SEED = 176, /* timers well apart: node 1 is first, then 2, 5, 4 */
};

struct trace {
    struct cluster *c;
    struct raft_config cfg;
    bool brief;                       /* only roles, commits, reads, snapshots */
    bool silent;                      /* nothing at all */
    bool held[CLUSTER_NODES_MAX + 1]; /* by id: writes wait for `sync` */
    bool cut[CLUSTER_NODES_MAX + 1][CLUSTER_NODES_MAX + 1];
};
static struct trace *tracing; /* for the cluster's callbacks, which have no argument */

/* --- what happened, in words --- */

static void say_entry(const struct raft_entry *e)
{
    switch (e->kind) {
    case RAFT_NOOP:
        SAY("noop");
        break;
    case RAFT_COMMAND:
        SAY("%.*s", (int)(e->data.len > 12 ? 12 : e->data.len), (const char *)e->data.data);
        break;
    case RAFT_CONF:
        SAY("conf");
        break;
    }
}

static void say_ids(const char *name, const struct raft_id *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        SAY("%s%s%llu", i == 0 ? " " : "", i == 0 ? name : ",", U(ids[i].n));
    }
}

static void say_conf(const struct raft_conf *conf)
{
    if (conf->voter_count == 0) {
        SAY(" none");
    }
    say_ids("voters=", conf->voters, conf->voter_count);
    say_ids("outgoing=", conf->outgoing, conf->outgoing_count);
    say_ids("learners=", conf->learners, conf->learner_count);
}

static void say_append(const struct raft_msg *m)
{
    SAY(" prev=%llu/%llu", U(m->index.n), U(m->log_term.n));
    if (m->entry_count == 0) {
        SAY(" empty");
    }
    for (uint32_t i = 0; i < m->entry_count; i++) {
        if (i == 4 && m->entry_count > 5) {
            SAY(" ..%llu", U(m->entries[m->entry_count - 1].index.n));
            break;
        }
        SAY("%s%llu/%llu:", i == 0 ? " entries=" : ",", U(m->entries[i].index.n),
            U(m->entries[i].term.n));
        say_entry(&m->entries[i]);
    }
    SAY(" commit=%llu", U(m->commit.n));
}

static void say_msg(const struct raft_msg *m)
{
    SAY("%s term=%llu", raft_msg_name(m->kind), U(m->term.n));
    switch (m->kind) {
    case RAFT_MSG_PREVOTE:
    case RAFT_MSG_VOTE:
        SAY(" last=%llu/%llu%s", U(m->index.n), U(m->log_term.n), m->force ? " force" : "");
        break;
    case RAFT_MSG_PREVOTE_REPLY:
    case RAFT_MSG_VOTE_REPLY:
        SAY(m->reject ? " refused" : " granted");
        break;
    case RAFT_MSG_APPEND:
        say_append(m);
        break;
    case RAFT_MSG_APPEND_REPLY:
        if (m->reject) {
            SAY(" refused prev=%llu try=%llu/%llu", U(m->commit.n), U(m->index.n),
                U(m->log_term.n));
        } else {
            SAY(" match=%llu", U(m->index.n));
        }
        break;
    case RAFT_MSG_TIMEOUT_NOW:
    case RAFT_MSG_KINDS:
        break;
    }
    if (m->round > 0) {
        SAY(" round=%llu", U(m->round));
    }
}

static void say_persist(const struct raft_effect *e)
{
    SAY("writes #%llu", U(e->gate));
    if (e->u.persist.hard_changed) {
        SAY(" term=%llu vote=", U(e->u.persist.hard.term.n));
        if (e->u.persist.hard.voted_for.n == 0) {
            SAY("none");
        } else {
            SAY("%llu", U(e->u.persist.hard.voted_for.n));
        }
    }
    if (e->u.persist.entry_count > 0) {
        SAY(" entries=%llu..%llu", U(e->u.persist.entries[0].index.n),
            U(e->u.persist.entries[e->u.persist.entry_count - 1].index.n));
    }
    SAY("\n");
}

static void say_role(const struct raft *r)
{
    SAY("is %s in term %llu", raft_role_name(raft_role(r)), U(raft_term_now(r).n));
    if (raft_role(r) == RAFT_FOLLOWER) {
        if (raft_leader(r).n == 0) {
            SAY(", leader unknown");
        } else {
            SAY(" of %llu", U(raft_leader(r).n));
        }
    }
    SAY("\n");
}

static void say_committed(const struct cluster_node *n, uint64_t upto)
{
    SAY("commits %llu..%llu:", U(n->applied + 1), U(upto));
    for (uint64_t i = n->applied + 1; i <= upto; i++) {
        if (i > n->applied + 5 && i < upto) {
            continue;
        }
        SAY(i == upto && upto > n->applied + 6 ? " .. " : " ");
        say_entry(raft_entry(n->raft, (struct raft_index){i}));
    }
    SAY("\n");
}

static void on_effect(struct cluster *c, struct cluster_node *n, const struct raft_effect *e)
{
    bool detail = e->kind == RAFT_PERSIST || e->kind == RAFT_SEND;

    (void)c;
    if (tracing->silent || (tracing->brief && detail)) {
        return;
    }
    SAY("%llu ", U(n->id.n));
    switch (e->kind) {
    case RAFT_PERSIST:
        say_persist(e);
        break;
    case RAFT_SEND:
        SAY("-> %llu ", U(e->u.msg.to.n));
        if (e->gate != 0) {
            SAY("after #%llu: ", U(e->gate));
        }
        say_msg(&e->u.msg);
        SAY("\n");
        break;
    case RAFT_COMMITTED:
        say_committed(n, e->u.index.n);
        break;
    case RAFT_ROLE_CHANGED:
        say_role(n->raft);
        break;
    case RAFT_TRUNCATED:
        SAY("replaces entries from %llu on\n", U(e->u.index.n));
        break;
    case RAFT_READ_READY:
        SAY("read %llu ready at index %llu\n", U(e->u.read.token), U(e->u.read.index.n));
        break;
    case RAFT_READ_LOST:
        SAY("read %llu lost\n", U(e->u.read.token));
        break;
    case RAFT_NEED_SNAPSHOT:
        SAY("must send a snapshot to %llu\n", U(e->u.id.n));
        break;
    case RAFT_CONF_CHANGED:
        SAY("uses");
        say_conf(raft_conf_now(n->raft));
        SAY("\n");
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

static void sync_node(struct trace *t, struct cluster_node *n, bool forced)
{
    while (n->raft != NULL && (forced || !t->held[n->id.n]) && cluster_sync(t->c, n)) {
    }
}

static void turn(struct trace *t, struct cluster_node *n)
{
    cluster_flush(t->c, n);
    sync_node(t, n, false);
    cluster_check(t->c);
}

static bool letter_wanted(const struct letter *l, uint64_t from, uint64_t to, int kind)
{
    return (from == 0 || l->msg.from.n == from) && (to == 0 || l->msg.to.n == to) &&
           (kind < 0 || l->msg.kind == (enum raft_msg_kind)kind);
}

static void deliver_one(struct trace *t, struct letter l)
{
    uint64_t from = l.msg.from.n, to = l.msg.to.n;
    struct cluster_node *n = cluster_find(t->c, to);

    if (n == NULL || n->raft == NULL || t->cut[from][to]) {
        letter_free(&l);
        return;
    }
    say_err(to, cluster_receive(t->c, &l));
    turn(t, n);
}

/* Deliver what matches, in order, and what that causes if `all`. */
static void deliver(struct trace *t, uint64_t from, uint64_t to, int kind, bool all)
{
    uint32_t pos = 0, limit = all ? DELIVER_MAX : t->c->network.count;

    while (pos < t->c->network.count && limit > 0) {
        struct letter *l = &t->c->network.at[pos];
        struct cluster_node *n = cluster_find(t->c, l->msg.to.n);

        limit--;
        if (!letter_wanted(l, from, to, kind) || (n != NULL && n->paused)) {
            pos++;
            continue;
        }
        deliver_one(t, letters_take(&t->c->network, pos));
        if (all) {
            pos = 0;
        }
    }
}

static void tick(struct trace *t, struct cluster_node *n)
{
    if (n->raft != NULL && !n->paused) {
        raft_tick(n->raft, cluster_clock(t->c, n));
        turn(t, n);
    }
}

static void tick_all(struct trace *t, uint64_t ms)
{
    t->c->now_us += ms * 1000;
    for (uint32_t i = 0; i < t->c->count; i++) {
        tick(t, &t->c->nodes[i]);
    }
}

/* --- commands --- */

static struct cluster_node *node_arg(struct trace *t, const struct words *w, uint32_t pos)
{
    struct cluster_node *n;

    if (pos >= w->count || (n = cluster_find(t->c, number(w->at[pos]))) == NULL) {
        bad_command(w->at[0]);
    }
    return n;
}

static struct raft *up(const struct cluster_node *n)
{
    if (n->raft == NULL) {
        bad_command("the node is down");
    }
    return n->raft;
}

static void ids_arg(const struct words *w, const char *name, struct raft_id *ids, uint8_t *count)
{
    const char *s = option(w, name);

    for (; s != NULL && *s != 0; s = *s == 0 ? s : s + 1) {
        ids[(*count)++].n = strtoull(s, (char **)&s, 10);
    }
}

static void conf_arg(const struct words *w, struct raft_conf *conf)
{
    *conf = (struct raft_conf){0};
    ids_arg(w, "voters", conf->voters, &conf->voter_count);
    ids_arg(w, "outgoing", conf->outgoing, &conf->outgoing_count);
    ids_arg(w, "learners", conf->learners, &conf->learner_count);
}

static void cmd_nodes(struct trace *t, const struct words *w)
{
    struct raft_conf conf = {0};
    uint64_t count = number(w->at[1]), spare = option_number(w, "spare", 0);

    cluster_destroy(t->c);
    t->c = cluster_create();
    t->c->cfg = t->cfg;
    t->c->seed = TRACE_SEED;
    t->c->now_us = 1000000;
    t->c->on_effect = on_effect;
    memset(t->held, 0, sizeof t->held);
    memset(t->cut, 0, sizeof t->cut);
    for (uint64_t i = 1; i <= count; i++) {
        conf.voters[conf.voter_count++].n = i;
    }
    for (uint64_t i = 1; i <= count + spare; i++) {
        struct cluster_node *n = cluster_add(t->c, i, i <= count ? &conf : NULL);

        if (!flag(w, "stopped")) {
            cluster_start(t->c, n);
            turn(t, n);
        }
    }
}

static void cmd_config(struct trace *t, const struct words *w)
{
    struct raft_config *cfg = &t->cfg;

    cfg->append_bytes_max = (uint32_t)option_number(w, "append", cfg->append_bytes_max);
    cfg->inflight_bytes_max = (uint32_t)option_number(w, "window", cfg->inflight_bytes_max);
    cfg->inflight_count_max = (uint32_t)option_number(w, "messages", cfg->inflight_count_max);
    cfg->uncommitted_bytes_max = option_number(w, "uncommitted", cfg->uncommitted_bytes_max);
    cfg->lease_reads = option_number(w, "leases", cfg->lease_reads) != 0;
}

/* disk N term=T vote=V terms=1,1,2: what a stopped node has stored. */
static void cmd_disk(struct trace *t, const struct words *w)
{
    struct cluster_node *n = node_arg(t, w, 1);
    const char *s = option(w, "terms");
    uint64_t index = 0;

    n->hard.term.n = option_number(w, "term", 0);
    n->hard.voted_for.n = option_number(w, "vote", 0);
    for (; s != NULL && *s != 0; s = *s == 0 ? s : s + 1) {
        uint64_t term = strtoull(s, (char **)&s, 10);
        char text[32];
        int len = snprintf(text, sizeof text, "%llu.%llu", U(++index), U(term));

        if (n->log_count == n->log_cap) {
            n->log_cap += 64;
            n->log = mem_realloc(n->log, n->log_cap * sizeof *n->log);
        }
        n->log[n->log_count++] = (struct raft_entry){
            .index.n = index,
            .term.n = term,
            .kind = RAFT_COMMAND,
            .data = {(uint8_t *)mem_strndup(text, (size_t)len), (size_t)len},
        };
    }
}

static void cmd_start(struct trace *t, const struct words *w)
{
    for (uint32_t i = 0; i < t->c->count; i++) {
        struct cluster_node *n = &t->c->nodes[i];

        if (n->raft == NULL && (flag(w, "all") || n == node_arg(t, w, 1))) {
            cluster_start(t->c, n);
            turn(t, n);
        }
    }
}

static void cmd_timeout(struct trace *t, const struct words *w)
{
    struct cluster_node *n = node_arg(t, w, 1);
    uint64_t due = raft_deadline_us(up(n));

    t->c->now_us = due > t->c->now_us ? due : t->c->now_us;
    tick(t, n);
}

static int kind_arg(const struct words *w)
{
    for (uint32_t i = 1; i < w->count; i++) {
        for (int k = 0; k < RAFT_MSG_KINDS; k++) {
            if (strcmp(w->at[i], raft_msg_name((enum raft_msg_kind)k)) == 0) {
                return k;
            }
        }
    }
    return -1;
}

static void cmd_deliver(struct trace *t, const struct words *w)
{
    uint64_t from, to;

    link_arg(w, &from, &to);
    deliver(t, from, to, kind_arg(w), w->count == 1);
}

static void cmd_lose(struct trace *t, const struct words *w)
{
    uint64_t from, to;

    link_arg(w, &from, &to);
    for (uint32_t i = 0; i < t->c->network.count; i++) {
        if (letter_wanted(&t->c->network.at[i], from, to, kind_arg(w))) {
            struct letter l = letters_take(&t->c->network, i--);

            letter_free(&l);
        }
    }
}

static void cmd_duplicate(struct trace *t, const struct words *w)
{
    uint32_t count = t->c->network.count;

    (void)w;
    for (uint32_t i = 0; i < count; i++) {
        letters_push(&t->c->network, letter_copy(&t->c->network.at[i].msg));
    }
}

static void cmd_reverse(struct trace *t, const struct words *w)
{
    struct letters *net = &t->c->network;

    (void)w;
    for (uint32_t i = 0; i < net->count / 2; i++) {
        struct letter l = net->at[i];

        net->at[i] = net->at[net->count - 1 - i];
        net->at[net->count - 1 - i] = l;
    }
}

static void set_cut(struct trace *t, const struct words *w, bool cut)
{
    if (w->count == 1) {
        memset(t->cut, cut ? 1 : 0, sizeof t->cut);
    }
    for (uint32_t i = 1; i < w->count; i++) {
        uint64_t from, to;

        if (strstr(w->at[i], "->") != NULL) {
            parse_link(w->at[i], &from, &to);
            t->cut[from][to] = cut;
            continue;
        }
        for (from = 0; from <= CLUSTER_NODES_MAX; from++) { /* a node: all of its links */
            t->cut[from][number(w->at[i])] = t->cut[number(w->at[i])][from] = cut;
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

static void cmd_tick(struct trace *t, const struct words *w)
{
    tick_all(t, number(w->at[1]));
}

/* Time passes in steps, and messages arrive at once. */
static void cmd_run(struct trace *t, const struct words *w)
{
    for (uint64_t ms = number(w->at[1]); ms > 0; ms -= ms > 10 ? 10 : ms) {
        tick_all(t, ms > 10 ? 10 : ms);
        deliver(t, 0, 0, -1, true);
    }
}

static void cmd_sync(struct trace *t, const struct words *w)
{
    sync_node(t, node_arg(t, w, 1), true);
    cluster_check(t->c);
}

static void cmd_hold(struct trace *t, const struct words *w)
{
    t->held[node_arg(t, w, 1)->id.n] = true;
}

static void cmd_unhold(struct trace *t, const struct words *w)
{
    t->held[node_arg(t, w, 1)->id.n] = false;
    sync_node(t, node_arg(t, w, 1), true);
}

static void cmd_crash(struct trace *t, const struct words *w)
{
    for (uint32_t i = 1; i < w->count; i++) {
        cluster_crash(t->c, node_arg(t, w, i), 0);
    }
}

static void cmd_pause(struct trace *t, const struct words *w)
{
    node_arg(t, w, 1)->paused = true;
}

static void cmd_resume(struct trace *t, const struct words *w)
{
    node_arg(t, w, 1)->paused = false;
}

static void cmd_propose(struct trace *t, const struct words *w)
{
    struct cluster_node *n = node_arg(t, w, 1);
    struct raft_index index;

    for (uint32_t i = 2; i < w->count; i++) {
        say_err(n->id.n, raft_propose(up(n), cluster_clock(t->c, n), slice_str(w->at[i]), &index));
    }
    turn(t, n);
}

static void on_read(struct cluster *c, struct cluster_node *n, uint64_t token, bool answered)
{
    (void)c;
    CHECK(answered);
    SAY("%llu answers read %llu\n", U(n->id.n), U(token));
}

static void cmd_read(struct trace *t, const struct words *w)
{
    struct cluster_node *n = node_arg(t, w, 1);

    (void)up(n);
    t->c->on_read = on_read;
    for (uint32_t i = 2; i < w->count; i++) {
        say_err(n->id.n, cluster_read(t->c, n, number(w->at[i])));
    }
    turn(t, n);
}

static void cmd_transfer(struct trace *t, const struct words *w)
{
    struct cluster_node *n = node_arg(t, w, 1);

    say_err(n->id.n,
            raft_transfer(up(n), cluster_clock(t->c, n), (struct raft_id){number(w->at[2])}));
    turn(t, n);
}

static void cmd_conf(struct trace *t, const struct words *w)
{
    struct cluster_node *n = node_arg(t, w, 1);
    struct raft_conf conf;

    conf_arg(w, &conf);
    say_err(n->id.n,
            raft_propose_conf(up(n), cluster_clock(t->c, n), &conf, (struct slice){NULL, 0}));
    turn(t, n);
}

static void cmd_compact(struct trace *t, const struct words *w)
{
    struct cluster_node *n = node_arg(t, w, 1);

    (void)up(n);
    cluster_compact(t->c, n, number(w->at[2]));
    SAY("%llu holds %llu..%llu\n", U(n->id.n), U(raft_first(n->raft).n), U(raft_last(n->raft).n));
    turn(t, n);
}

/* snapshot FROM->TO [fail]: the image of FROM reaches TO, or does not. */
static void cmd_snapshot(struct trace *t, const struct words *w)
{
    uint64_t from_id, to_id;
    struct cluster_node *from, *to;
    bool ok = !flag(w, "fail");

    link_arg(w, &from_id, &to_id);
    from = cluster_find(t->c, from_id);
    to = cluster_find(t->c, to_id);
    CHECK(from != NULL && to != NULL);
    if (ok) {
        say_err(to_id, cluster_install(t->c, to, &from->image, false));
        SAY("%llu holds %llu..%llu\n", U(to_id), U(raft_first(up(to)).n), U(raft_last(to->raft).n));
        turn(t, to);
    }
    raft_snapshot_sent(up(from), to->id, from->image.index, ok);
    turn(t, from);
}

static void cmd_reset(struct trace *t, const struct words *w)
{
    struct cluster_node *n = node_arg(t, w, 1);

    raft_peer_reset(up(n), (struct raft_id){number(w->at[2])});
    turn(t, n);
}

/* recv N KIND from= term= index= log_term= commit= refused force: as from the network. */
static void cmd_recv(struct trace *t, const struct words *w)
{
    struct cluster_node *n = node_arg(t, w, 1);
    struct raft_entry e = {
        .index.n = option_number(w, "index", 0) + 1,
        .term.n = option_number(w, "entry_term", 0),
        .kind = RAFT_COMMAND,
        .data = SLICE("?"),
    };
    struct raft_msg m = {
        .kind = (enum raft_msg_kind)kind_arg(w),
        .from.n = option_number(w, "from", 0),
        .to.n = option_number(w, "to", n->id.n),
        .term.n = option_number(w, "term", 0),
        .index.n = option_number(w, "index", 0),
        .log_term.n = option_number(w, "log_term", 0),
        .commit.n = option_number(w, "commit", 0),
        .stamp_us = option_number(w, "stamp", 0),
        .round = option_number(w, "round", 0),
        .reject = flag(w, "refused"),
        .force = flag(w, "force"),
        .entry_count = e.term.n != 0,
        .entries = &e,
    };

    say_err(n->id.n, raft_step(up(n), cluster_clock(t->c, n), &m));
    turn(t, n);
}

static void cmd_log(struct trace *t, const struct words *w)
{
    for (uint32_t i = 1; i < w->count; i++) {
        struct cluster_node *n = node_arg(t, w, i);

        SAY("%llu:", U(n->id.n));
        for (uint64_t k = raft_first(up(n)).n; k <= raft_last(n->raft).n; k++) {
            const struct raft_entry *e = raft_entry(n->raft, (struct raft_index){k});

            SAY(" %llu/%llu:", U(k), U(e->term.n));
            say_entry(e);
        }
        SAY("\n");
    }
}

static void cmd_status(struct trace *t, const struct words *w)
{
    (void)w;
    for (uint32_t i = 0; i < t->c->count; i++) {
        struct cluster_node *n = &t->c->nodes[i];

        SAY("%llu ", U(n->id.n));
        if (n->raft == NULL) {
            SAY("down\n");
            continue;
        }
        SAY("%s term=%llu leader=%llu log=%llu..%llu commit=%llu",
            raft_role_name(raft_role(n->raft)), U(raft_term_now(n->raft).n),
            U(raft_leader(n->raft).n), U(raft_first(n->raft).n), U(raft_last(n->raft).n),
            U(raft_commit(n->raft).n));
        SAY("%s\n", raft_lease_valid(n->raft, cluster_clock(t->c, n)) ? " lease" : "");
    }
}

static void cmd_show(struct trace *t, const struct words *w)
{
    t->brief = flag(w, "brief");
    t->silent = flag(w, "nothing");
}

static const struct {
    const char *name;
    void (*run)(struct trace *t, const struct words *w);
    uint32_t words_min;
} commands[] = {
    {"nodes", cmd_nodes, 2},     {"config", cmd_config, 2},     {"disk", cmd_disk, 2},
    {"start", cmd_start, 2},     {"restart", cmd_start, 2},     {"timeout", cmd_timeout, 2},
    {"tick", cmd_tick, 2},       {"run", cmd_run, 2},           {"deliver", cmd_deliver, 1},
    {"lose", cmd_lose, 1},       {"reverse", cmd_reverse, 1},   {"duplicate", cmd_duplicate, 1},
    {"cut", cmd_cut, 2},         {"heal", cmd_heal, 1},         {"hold", cmd_hold, 2},
    {"release", cmd_unhold, 2},  {"sync", cmd_sync, 2},         {"crash", cmd_crash, 2},
    {"pause", cmd_pause, 2},     {"resume", cmd_resume, 2},     {"propose", cmd_propose, 3},
    {"read", cmd_read, 3},       {"transfer", cmd_transfer, 3}, {"conf", cmd_conf, 3},
    {"compact", cmd_compact, 3}, {"snapshot", cmd_snapshot, 2}, {"reset", cmd_reset, 3},
    {"recv", cmd_recv, 3},       {"log", cmd_log, 2},           {"status", cmd_status, 1},
    {"show", cmd_show, 2},
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

    t = (struct trace){.c = cluster_create()};
    t.cfg = t.c->cfg;
    tracing = &t;
}

static void end(void)
{
    cluster_destroy(tracing->c);
}

int main(int argc, char **argv)
{
    static const struct trace_machine machine = {begin, run, end};

    return trace_main(argc, argv, &machine);
}
