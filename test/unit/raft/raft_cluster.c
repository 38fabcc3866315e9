#include "raft_cluster.h"

#include <stdio.h>

/* --- copies --- */

static struct raft_entry *entries_copy(const struct raft_entry *from, uint32_t count)
{
    struct raft_entry *to = mem_alloc(count * sizeof *to);

    for (uint32_t i = 0; i < count; i++) {
        to[i] = from[i];
        to[i].data.data = (const uint8_t *)mem_strndup(from[i].data.data, from[i].data.len);
    }
    return to;
}

static void entry_release(struct raft_entry *e)
{
    mem_free((void *)(uintptr_t)e->data.data);
}

static void entries_free(struct raft_entry *entries, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        entry_release(&entries[i]);
    }
    mem_free(entries);
}

struct letter letter_copy(const struct raft_msg *m)
{
    struct letter l = {.msg = *m, .entries = entries_copy(m->entries, m->entry_count)};

    l.msg.entries = l.entries;
    return l;
}

void letter_free(struct letter *l)
{
    entries_free(l->entries, l->msg.entry_count);
    l->entries = NULL;
}

void letters_push(struct letters *ls, struct letter l)
{
    MEM_GROW(ls->at, ls->count, ls->cap);
    ls->at[ls->count++] = l;
}

struct letter letters_take(struct letters *ls, uint32_t pos)
{
    struct letter l = ls->at[pos];

    CHECK(pos < ls->count);
    ls->count--;
    memmove(ls->at + pos, ls->at + pos + 1, (ls->count - pos) * sizeof *ls->at);
    return l;
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    struct prng p = {h ^ (v * 0x9e3779b97f4a7c15ULL)};

    return prng_next(&p);
}

static uint64_t entry_hash(const struct raft_entry *e)
{
    uint64_t h = mix(e->index.n, (uint64_t)e->kind);

    for (size_t i = 0; i < e->data.len; i++) {
        h = mix(h, e->data.data[i]);
    }
    return h;
}

/* --- life --- */

struct cluster *cluster_create(void)
{
    struct cluster *c = MEM_NEW(struct cluster);

    c->cfg = (struct raft_config){
        .heartbeat_us = 50000,
        .election_us_min = 300000,
        .election_us_max = 600000,
        .lease_drift_ppm = 10000,
        .append_bytes_max = 4096,
        .inflight_bytes_max = 16384,
        .inflight_count_max = 8,
        .uncommitted_bytes_max = 1 << 20,
        .lease_reads = true,
    };
    return c;
}

static void forget_memory(struct cluster_node *n)
{
    for (uint32_t i = 0; i < n->write_count; i++) {
        entries_free(n->writes[i].entries, n->writes[i].entry_count);
    }
    for (uint32_t i = 0; i < n->held_count; i++) {
        letter_free(&n->held[i].letter);
    }
    n->write_count = n->held_count = n->read_count = 0;
    raft_destroy(n->raft);
    n->raft = NULL;
}

void cluster_destroy(struct cluster *c)
{
    for (uint32_t i = 0; i < c->count; i++) {
        struct cluster_node *n = &c->nodes[i];

        forget_memory(n);
        entries_free(n->log, n->log_count);
        mem_free(n->writes);
        mem_free(n->held);
        mem_free(n->reads);
        raft_effects_free(&n->fx);
    }
    for (uint32_t i = 0; i < c->network.count; i++) {
        letter_free(&c->network.at[i]);
    }
    mem_free(c->network.at);
    mem_free(c);
}

uint64_t cluster_clock(const struct cluster *c, const struct cluster_node *n)
{
    return c->now_us * n->clock_rate / 1000000 + n->clock_offset_us;
}

struct cluster_node *cluster_find(struct cluster *c, uint64_t id)
{
    for (uint32_t i = 0; i < c->count; i++) {
        if (c->nodes[i].id.n == id) {
            return &c->nodes[i];
        }
    }
    return NULL;
}

struct cluster_node *cluster_add(struct cluster *c, uint64_t id, const struct raft_conf *conf)
{
    struct cluster_node *n = &c->nodes[c->count++];

    CHECK(c->count <= CLUSTER_NODES_MAX);
    *n = (struct cluster_node){.id.n = id, .clock_rate = 1000000};
    if (conf != NULL) {
        n->image.conf = *conf;
    }
    return n;
}

void cluster_start(struct cluster *c, struct cluster_node *n)
{
    struct raft_config cfg = c->cfg;
    struct raft_recovered rec = {
        .hard = n->hard,
        .snap_index = n->image.index,
        .snap_term = n->image.term,
        .conf = n->image.conf,
        .commit = n->commit_hint,
    };

    CHECK(n->raft == NULL);
    cfg.self = n->id;
    cfg.seed = mix(c->seed, n->id.n + c->now_us);
    n->raft = raft_create(&cfg, &rec);
    for (uint32_t i = 0; i < n->log_count; i++) {
        CHECK(raft_restore(n->raft, &n->log[i]) == ERR_OK);
    }
    n->ticket = 1;
    n->applied = n->image.index.n;
    n->digest = n->image.digest;
    n->applied_conf = n->image.conf;
    n->start_us = c->now_us;
    raft_start(n->raft, cluster_clock(c, n));
    cluster_flush(c, n);
}

/* --- disk --- */

static void store(struct cluster_node *n, struct pending_write *w)
{
    if (w->hard_changed) {
        n->hard = w->hard;
    }
    for (uint32_t i = 0; i < w->entry_count; i++) {
        MEM_GROW(n->log, n->log_count, n->log_cap);
        n->log[n->log_count++] = w->entries[i];
    }
    mem_free(w->entries);
    CHECK(w->commit.n >= n->commit_hint.n || n->raft == NULL);
    n->commit_hint = w->commit;
}

static struct pending_write pop_write(struct cluster_node *n)
{
    struct pending_write w = n->writes[0];

    n->write_count--;
    memmove(n->writes, n->writes + 1, n->write_count * sizeof *n->writes);
    return w;
}

static uint64_t stored_last(const struct cluster_node *n)
{
    uint64_t last = n->log_count > 0 ? n->log[n->log_count - 1].index.n : 0;

    return last > n->image.index.n ? last : n->image.index.n;
}

/* An independent look at what the gates are for. */
static void check_spoken(const struct cluster_node *n, const struct raft_msg *m)
{
    CHECK(n->hard.term.n >= m->term.n || m->kind == RAFT_MSG_PREVOTE ||
          m->kind == RAFT_MSG_PREVOTE_REPLY);
    if (m->kind == RAFT_MSG_VOTE_REPLY && !m->reject) {
        CHECK(n->hard.term.n > m->term.n || n->hard.voted_for.n == m->to.n);
    }
    if (m->kind == RAFT_MSG_APPEND_REPLY && !m->reject && n->hard.term.n == m->term.n) {
        CHECK(stored_last(n) >= m->index.n);
    }
}

static void release_held(struct cluster *c, struct cluster_node *n, uint64_t durable)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < n->held_count; i++) {
        if (n->held[i].gate <= durable) {
            check_spoken(n, &n->held[i].letter.msg);
            letters_push(&c->network, n->held[i].letter);
        } else {
            n->held[kept++] = n->held[i];
        }
    }
    n->held_count = kept;
}

bool cluster_sync(struct cluster *c, struct cluster_node *n)
{
    struct pending_write w;
    uint64_t ticket;

    if (n->write_count == 0) {
        return false;
    }
    w = pop_write(n);
    ticket = w.ticket;
    store(n, &w);
    release_held(c, n, ticket);
    raft_durable(n->raft, cluster_clock(c, n), ticket);
    cluster_flush(c, n);
    return true;
}

void cluster_crash(struct cluster *c, struct cluster_node *n, uint32_t survive)
{
    (void)c;
    while (survive-- > 0 && n->write_count > 0) {
        struct pending_write w = pop_write(n);

        store(n, &w);
    }
    forget_memory(n);
}

/* --- effects --- */

static void judge_leader(struct cluster *c, const struct cluster_node *n)
{
    uint64_t term = raft_term_now(n->raft).n;

    CHECK(term < CLUSTER_TERMS_MAX);
    if (c->leader_of[term] == n->id.n) {
        return;
    }
    CHECK(c->leader_of[term] == 0); /* election safety */
    c->leader_of[term] = n->id.n;
    c->leaders++;
    CHECK(raft_last(n->raft).n >= c->chosen_max); /* leader completeness */
    for (uint64_t i = raft_first(n->raft).n; i <= c->chosen_max; i++) {
        CHECK(raft_term_at(n->raft, (struct raft_index){i}).n == c->chosen[i].term);
    }
}

static void apply(struct cluster *c, struct cluster_node *n, uint64_t upto)
{
    while (n->applied < upto) {
        uint64_t index = n->applied + 1, hash;
        const struct raft_entry *e = raft_entry(n->raft, (struct raft_index){index});

        CHECK(e != NULL);
        CHECK(index < CLUSTER_INDEX_MAX);
        hash = entry_hash(e);
        n->digest = mix(n->digest, hash);
        if (index > c->chosen_max) {
            CHECK(index == c->chosen_max + 1);
            c->chosen[index].term = e->term.n;
            c->chosen[index].data_hash = hash;
            c->chosen[index].digest = n->digest;
            c->chosen_max = index;
        }
        CHECK(c->chosen[index].term == e->term.n); /* state-machine safety */
        CHECK(c->chosen[index].data_hash == hash);
        CHECK(c->chosen[index].digest == n->digest);
        if (e->kind == RAFT_CONF) {
            struct slice context;

            CHECK(raft_conf_decode(e->data, &n->applied_conf, &context) == ERR_OK);
        }
        n->applied = index;
    }
    raft_applied(n->raft, (struct raft_index){n->applied});
}

static void forget_read(struct cluster_node *n, uint32_t pos)
{
    n->read_count--;
    memmove(n->reads + pos, n->reads + pos + 1, (n->read_count - pos) * sizeof *n->reads);
}

static void answer_reads(struct cluster *c, struct cluster_node *n)
{
    for (uint32_t i = 0; i < n->read_count; i++) {
        struct waiting_read *w = &n->reads[i];

        if (w->index != 0 && w->index <= n->applied) {
            CHECK(n->applied >= w->need); /* linearizable */
            c->reads_answered++;
            if (c->on_read != NULL) {
                c->on_read(c, n, w->token, true);
            }
            forget_read(n, i--);
        }
    }
}

static void add_write(struct cluster_node *n, const struct raft_effect *e)
{
    struct pending_write w = {
        .ticket = e->gate,
        .hard_changed = e->u.persist.hard_changed,
        .hard = e->u.persist.hard,
        .entries = entries_copy(e->u.persist.entries, e->u.persist.entry_count),
        .entry_count = e->u.persist.entry_count,
        .commit = raft_commit(n->raft),
    };

    CHECK(e->gate == n->ticket);
    CHECK(n->write_count == 0 || n->writes[n->write_count - 1].ticket < e->gate);
    for (uint32_t i = 1; i < w.entry_count; i++) {
        CHECK(w.entries[i].index.n == w.entries[i - 1].index.n + 1);
    }
    MEM_GROW(n->writes, n->write_count, n->write_cap);
    n->writes[n->write_count++] = w;
    n->ticket++;
}

static void run_read(struct cluster_node *n, const struct raft_effect *e, struct cluster *c)
{
    for (uint32_t i = 0; i < n->read_count; i++) {
        if (n->reads[i].token == e->u.read.token) {
            if (e->kind == RAFT_READ_READY) {
                CHECK(e->u.read.index.n >= n->reads[i].need); /* linearizable */
                n->reads[i].index = e->u.read.index.n;
            } else {
                forget_read(n, i);
                c->reads_lost++;
            }
            return;
        }
    }
    UNREACHABLE("a token that was never asked");
}

static void run_effect(struct cluster *c, struct cluster_node *n, const struct raft_effect *e)
{
    switch (e->kind) {
    case RAFT_PERSIST:
        add_write(n, e);
        break;
    case RAFT_SEND:
        CHECK(e->gate < n->ticket);
        if (e->gate == 0) {
            check_spoken(n, &e->u.msg);
            letters_push(&c->network, letter_copy(&e->u.msg));
        } else {
            CHECK(n->write_count > 0 && e->gate >= n->writes[0].ticket);
            MEM_GROW(n->held, n->held_count, n->held_cap);
            n->held[n->held_count++] = (struct held){e->gate, letter_copy(&e->u.msg)};
        }
        break;
    case RAFT_COMMITTED:
        apply(c, n, e->u.index.n);
        break;
    case RAFT_ROLE_CHANGED:
        if (raft_role(n->raft) == RAFT_LEADER) {
            judge_leader(c, n);
        }
        break;
    case RAFT_READ_READY:
    case RAFT_READ_LOST:
        run_read(n, e, c);
        break;
    case RAFT_NEED_SNAPSHOT:
        if (c->on_snapshot_wanted != NULL) {
            c->on_snapshot_wanted(c, n, e->u.id);
        }
        break;
    case RAFT_TRUNCATED:
        CHECK(e->u.index.n > n->applied || n->installing);
        break;
    case RAFT_CONF_CHANGED:
        break;
    }
}

void cluster_flush(struct cluster *c, struct cluster_node *n)
{
    raft_flush(n->raft, cluster_clock(c, n), n->ticket, &n->fx);
    raft_check(n->raft);
    for (uint32_t i = 0; i < n->fx.count; i++) {
        if (c->on_effect != NULL) {
            c->on_effect(c, n, &n->fx.at[i]);
        }
        CHECK(n->fx.at[i].kind != RAFT_PERSIST || i == 0); /* the write is listed first */
        run_effect(c, n, &n->fx.at[i]);
    }
    answer_reads(c, n);
}

/* --- inputs --- */

enum err cluster_receive(struct cluster *c, struct letter *l)
{
    struct cluster_node *n = cluster_find(c, l->msg.to.n);
    enum err err = ERR_OK;

    if (n != NULL && n->raft != NULL) {
        err = raft_step(n->raft, cluster_clock(c, n), &l->msg);
        raft_check(n->raft);
    }
    letter_free(l);
    return err;
}

enum err cluster_read(struct cluster *c, struct cluster_node *n, uint64_t token)
{
    bool now = false;
    uint64_t need = c->chosen_max;
    enum err err = raft_read(n->raft, cluster_clock(c, n), token, &now);

    if (err != ERR_OK) {
        return err;
    }
    MEM_GROW(n->reads, n->read_count, n->read_cap);
    n->reads[n->read_count++] = (struct waiting_read){token, need, now ? n->applied : 0};
    if (now) {
        CHECK(n->applied >= need);
        if (n->applied == 0) {
            n->read_count--;
        }
    }
    answer_reads(c, n);
    return ERR_OK;
}

struct image cluster_image(const struct cluster_node *n)
{
    return (struct image){
        .index.n = n->applied,
        .term = raft_term_at(n->raft, (struct raft_index){n->applied}),
        .conf = n->applied_conf,
        .digest = n->digest,
    };
}

/* Only from the front: a later record may replace one before it. */
static void recycle_log(struct cluster_node *n)
{
    uint32_t drop = 0;

    while (drop < n->log_count && n->log[drop].index.n <= n->image.index.n) {
        entry_release(&n->log[drop++]);
    }
    if (drop == 0) {
        return;
    }
    n->log_count -= drop;
    memmove(n->log, n->log + drop, n->log_count * sizeof *n->log);
}

void cluster_compact(struct cluster *c, struct cluster_node *n, uint64_t index)
{
    (void)c;
    CHECK(index <= n->applied);
    if (n->applied > n->image.index.n && n->applied_conf.voter_count > 0) {
        n->image = cluster_image(n);
        CHECK(n->image.term.n > 0);
        recycle_log(n);
    }
    if (index <= n->image.index.n) {
        raft_compact(n->raft, (struct raft_index){index});
        raft_check(n->raft);
    }
}

enum err cluster_install(struct cluster *c, struct cluster_node *to, const struct image *image,
                         bool keep_log)
{
    enum err err;

    if (image->index.n <= raft_commit(to->raft).n) {
        return ERR_STALE;
    }
    err = raft_install(to->raft, cluster_clock(c, to), image->index, image->term, &image->conf);
    CHECK(err == ERR_OK);
    raft_check(to->raft);
    to->image = *image;
    to->applied = image->index.n;
    to->digest = image->digest;
    to->applied_conf = image->conf;
    if (!keep_log && raft_last(to->raft).n == image->index.n) {
        /* The log was reset with it: what is pending comes before that. */
        for (uint32_t i = 0; i < to->write_count; i++) {
            entries_free(to->writes[i].entries, to->writes[i].entry_count);
            to->writes[i].entries = NULL;
            to->writes[i].entry_count = 0;
        }
        for (uint32_t i = 0; i < to->log_count; i++) {
            entry_release(&to->log[i]);
        }
        to->log_count = 0;
    }
    c->installs++;
    to->installing = true; /* what the image replaced is listed as truncated */
    cluster_flush(c, to);
    to->installing = false;
    return ERR_OK;
}

/* --- judges --- */

static void check_matching(const struct raft *a, const struct raft *b)
{
    uint64_t last = raft_last(a).n < raft_last(b).n ? raft_last(a).n : raft_last(b).n;
    uint64_t first = raft_first(a).n > raft_first(b).n ? raft_first(a).n : raft_first(b).n;
    bool equal = false;

    for (uint64_t i = last; i >= first && i > 0; i--) {
        const struct raft_entry *x = raft_entry(a, (struct raft_index){i});
        const struct raft_entry *y = raft_entry(b, (struct raft_index){i});

        CHECK_IF(equal, x->term.n == y->term.n); /* log matching */
        equal = equal || x->term.n == y->term.n;
        CHECK_IF(x->term.n == y->term.n, slice_eq(x->data, y->data));
    }
}

void cluster_check(struct cluster *c)
{
    for (uint32_t i = 0; i < c->count; i++) {
        struct cluster_node *n = &c->nodes[i];

        if (n->raft != NULL) {
            raft_check(n->raft);
            CHECK(n->applied == raft_commit(n->raft).n);
        }
    }
}

void cluster_check_deep(struct cluster *c)
{
    for (uint32_t i = 0; i < c->count; i++) {
        for (uint32_t j = i + 1; j < c->count; j++) {
            if (c->nodes[i].raft != NULL && c->nodes[j].raft != NULL) {
                check_matching(c->nodes[i].raft, c->nodes[j].raft);
            }
        }
    }
}

void cluster_print(struct cluster *c)
{
    for (uint32_t i = 0; i < c->count; i++) {
        struct cluster_node *n = &c->nodes[i];
        const struct raft_conf *conf;

        (void)fprintf(stderr, "%llu ", (unsigned long long)n->id.n);
        if (n->raft == NULL) {
            (void)fprintf(stderr, "down\n");
            continue;
        }
        (void)fprintf(
            stderr, "%s term=%llu leader=%llu log=%llu..%llu commit=%llu voters=",
            raft_role_name(raft_role(n->raft)), (unsigned long long)raft_term_now(n->raft).n,
            (unsigned long long)raft_leader(n->raft).n, (unsigned long long)raft_first(n->raft).n,
            (unsigned long long)raft_last(n->raft).n, (unsigned long long)raft_commit(n->raft).n);
        conf = raft_conf_now(n->raft);
        for (uint32_t k = 0; k < conf->voter_count; k++) {
            (void)fprintf(stderr, "%llu ", (unsigned long long)conf->voters[k].n);
        }
        (void)fprintf(stderr, "out=");
        for (uint32_t k = 0; k < conf->outgoing_count; k++) {
            (void)fprintf(stderr, "%llu ", (unsigned long long)conf->outgoing[k].n);
        }
        (void)fprintf(stderr, "learners=");
        for (uint32_t k = 0; k < conf->learner_count; k++) {
            (void)fprintf(stderr, "%llu ", (unsigned long long)conf->learners[k].n);
        }
        (void)fprintf(stderr, "\n");
    }
}
