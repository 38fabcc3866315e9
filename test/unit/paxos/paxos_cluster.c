#include "paxos_cluster.h"

#include <stdio.h>

struct paxos_council cluster_default_council;

/* --- values --- */

struct value value_of(struct slice s)
{
    struct value v = {.len = (uint32_t)s.len};

    CHECK(s.len <= sizeof v.at);
    if (s.len > 0) {
        memcpy(v.at, s.data, s.len);
    }
    return v;
}

struct slice value_slice(const struct value *v)
{
    return (struct slice){v->at, v->len};
}

static bool value_eq(const struct value *a, const struct value *b)
{
    return slice_eq(value_slice(a), value_slice(b));
}

bool cluster_council_of(struct slice value, struct paxos_council *council)
{
    const uint8_t *at = value.len == 0 ? NULL : memchr(value.data, '@', value.len);
    const uint8_t *end = value.data + value.len;

    if (value.len == 0 || value.data[0] == '?') {
        return false;
    }
    if (at == NULL) {
        *council = cluster_default_council;
        return true;
    }
    *council = (struct paxos_council){0};
    for (at++; at < end && *at >= '0' && *at <= '9'; at++) {
        if (council->count == PAXOS_ACCEPTORS_MAX) {
            return false;
        }
        council->ids[council->count++].n = (uint64_t)(*at - '0');
    }
    council->quorum1 = council->quorum2 = (uint8_t)(council->count / 2 + 1);
    if (end - at == 4 && at[0] == ':' && at[2] == '/') {
        council->quorum1 = (uint8_t)(at[1] - '0');
        council->quorum2 = (uint8_t)(at[3] - '0');
    }
    return true;
}

/* --- letters --- */

void letters_push(struct letters *ls, const struct letter *l)
{
    MEM_GROW(ls->at, ls->count, ls->cap);
    ls->at[ls->count++] = *l;
}

struct letter letters_take(struct letters *ls, uint32_t pos)
{
    struct letter l = ls->at[pos];

    CHECK(pos < ls->count);
    ls->count--;
    memmove(ls->at + pos, ls->at + pos + 1, (ls->count - pos) * sizeof *ls->at);
    return l;
}

/* --- the judges --- */

static struct judged_instance *judged(struct cluster *c, uint64_t instance)
{
    CHECK(instance > 0 && instance < CLUSTER_INSTANCES_MAX);
    return &c->judged[instance];
}

static bool among(const struct value *values, uint32_t count, const struct value *v)
{
    for (uint32_t i = 0; i < count; i++) {
        if (value_eq(&values[i], v)) {
            return true;
        }
    }
    return false;
}

/* A ballot has one value, and somebody proposed it in this instance. */
static struct judged_ballot *judge_ballot(struct cluster *c, uint64_t instance,
                                          struct paxos_ballot ballot, const struct value *v)
{
    struct judged_instance *j = judged(c, instance);

    for (uint32_t i = 0; i < j->ballot_count; i++) {
        if (paxos_ballot_cmp(j->ballots[i].ballot, ballot) == 0) {
            CHECK(v == NULL || value_eq(&j->ballots[i].value, v)); /* judge: one value a ballot */
            return &j->ballots[i];
        }
    }
    CHECK(v != NULL);                                /* judge: accepted what nobody sent */
    CHECK(among(j->proposed, j->proposed_count, v)); /* judge: chosen from what was proposed */
    CHECK(j->ballot_count < CLUSTER_BALLOTS_MAX);
    c->ballots++;
    j->ballots[j->ballot_count] = (struct judged_ballot){.ballot = ballot, .value = *v};
    return &j->ballots[j->ballot_count++];
}

static void judge_accepted(struct cluster *c, uint64_t instance, struct paxos_ballot ballot,
                           uint64_t id)
{
    struct judged_instance *j = judged(c, instance);
    struct judged_ballot *b = judge_ballot(c, instance, ballot, NULL);
    struct paxos_council council = {0};
    uint32_t count = 0;

    b->accepted |= 1U << id;
    CHECK(cluster_council_of(value_slice(&judged(c, instance - 1)->chosen), &council));
    for (uint32_t i = 0; i < council.count; i++) {
        count += (b->accepted >> council.ids[i].n) & 1;
    }
    if (count < council.quorum2) {
        return;
    }
    CHECK(!among(j->dead, j->dead_count, &b->value));             /* judge: lost is lost */
    CHECK(j->chosen.len == 0 || value_eq(&j->chosen, &b->value)); /* judge: one value is chosen */
    j->chosen = b->value;
    c->instance_max = instance > c->instance_max ? instance : c->instance_max;
}

static void judge_learned(struct cluster *c, const struct paxos_effect *e)
{
    struct value v = value_of(e->u.learned.value);

    CHECK(value_eq(&judged(c, e->u.learned.instance.n)->chosen, &v)); /* judge: learned is chosen */
}

static void judge_over(struct cluster *c, struct cluster_node *n, const struct paxos_effect *e)
{
    struct judged_instance *j = judged(c, e->u.over.instance.n);

    CHECK(n->wanted.len > 0 && n->wanted_in == e->u.over.instance.n);
    switch (e->u.over.outcome) {
    case PAXOS_WON:
        CHECK(value_eq(&j->chosen, &n->wanted)); /* judge: won is won */
        c->won++;
        break;
    case PAXOS_LOST:
        CHECK(!value_eq(&j->chosen, &n->wanted)); /* judge: lost is lost */
        CHECK(j->dead_count < CLUSTER_VALUES_MAX);
        j->dead[j->dead_count++] = n->wanted;
        c->lost++;
        break;
    case PAXOS_UNKNOWN:
        c->unknown++;
        break;
    }
    n->wanted.len = 0;
}

/* A promise or an acceptance that is spoken is on disk, or its instance is over there. */
static void judge_spoken(const struct cluster *c, const struct cluster_node *n,
                         const struct paxos_msg *m)
{
    bool later = n->disk.hard.instance.n > m->instance.n;

    if (!c->judge_gates) {
        return;
    }
    if (m->kind == PAXOS_PROMISE || m->kind == PAXOS_ACCEPTED) {
        CHECK(!n->forgot); /* judge: who forgot is silent */
        CHECK(later || paxos_ballot_cmp(n->disk.hard.promised, m->ballot) >= 0);
    }
    if (m->kind == PAXOS_ACCEPTED) {
        CHECK(later || paxos_ballot_cmp(n->disk.hard.accepted, m->ballot) >= 0);
    }
    if (m->kind == PAXOS_PREPARE || m->kind == PAXOS_ACCEPT) {
        CHECK(n->disk.hard.round >= m->ballot.round);
    }
}

static void judge_proposed(struct cluster *c, uint64_t instance, const struct value *v)
{
    struct judged_instance *j = judged(c, instance);

    CHECK(j->proposed_count < CLUSTER_VALUES_MAX);
    j->proposed[j->proposed_count++] = *v;
}

void cluster_given(struct cluster *c, uint64_t instance, struct slice value)
{
    struct value v = value_of(value);

    judge_proposed(c, instance, &v);
}

void cluster_given_decided(struct cluster *c, uint64_t instance, struct slice value)
{
    struct judged_instance *j = judged(c, instance);

    if (j->chosen.len == 0) {
        j->chosen = value_of(value);
    }
}

void cluster_check(const struct cluster *c)
{
    for (uint32_t i = 0; i < c->count; i++) {
        if (c->nodes[i].paxos != NULL) {
            paxos_check(c->nodes[i].paxos);
        }
    }
}

/* --- life --- */

struct cluster *cluster_create(void)
{
    struct cluster *c = MEM_NEW(struct cluster);

    c->cfg = (struct paxos_config){
        .retry_us = 200000,
        .backoff_us_min = 20000,
        .backoff_us_max = 1000000,
        .finish_us = 2000000,
        .value_bytes_max = VALUE_BYTES_MAX,
        .council_of = cluster_council_of,
    };
    c->judge_gates = true;
    return c;
}

void cluster_destroy(struct cluster *c)
{
    for (uint32_t i = 0; i < c->count; i++) {
        struct cluster_node *n = &c->nodes[i];

        paxos_destroy(n->paxos);
        paxos_effects_free(&n->fx);
        mem_free(n->writes);
        mem_free(n->held);
    }
    mem_free(c->network.at);
    mem_free(c);
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

struct cluster_node *cluster_add(struct cluster *c, uint64_t id, const struct value *first)
{
    struct cluster_node *n = &c->nodes[c->count++];

    CHECK(c->count <= CLUSTER_NODES_MAX);
    n->id.n = id;
    if (first != NULL) {
        n->disk.decided.n = 1;
        n->disk.value = *first;
        judged(c, 1)->chosen = *first;
        c->instance_max = 1;
    }
    return n;
}

enum err cluster_start(struct cluster *c, struct cluster_node *n)
{
    struct paxos_config cfg = c->cfg;
    struct paxos_recovered rec = {
        .hard = n->disk.hard,
        .decided = n->disk.decided,
        .value = value_slice(&n->disk.value),
        .forgot = n->forgot,
    };

    CHECK(n->paxos == NULL);
    cfg.self = n->id;
    cfg.seed = c->seed * 31 + n->id.n * 7 + c->now_us;
    rec.hard.value = value_slice(&n->disk.accepted);
    return paxos_create(&cfg, &rec, c->now_us, &n->paxos);
}

/* A write as it reaches the disk: later ones replace what they hold. */
static void store(struct cluster *c, struct cluster_node *n, const struct pending_write *w)
{
    n->disk.hard = w->disk.hard;
    n->disk.accepted = w->disk.accepted;
    if (w->decided_changed) {
        n->disk.decided = w->disk.decided;
        n->disk.value = w->disk.value;
    }
    if (w->disk.hard.accepted.round != 0) {
        judge_accepted(c, w->disk.hard.instance.n, w->disk.hard.accepted, n->id.n);
    }
}

void cluster_crash(struct cluster *c, struct cluster_node *n, uint32_t survive)
{
    CHECK(survive <= n->write_count);
    for (uint32_t i = 0; i < survive; i++) {
        store(c, n, &n->writes[i]);
    }
    n->write_count = n->held_count = 0;
    n->wanted.len = 0;
    paxos_destroy(n->paxos);
    n->paxos = NULL;
}

void cluster_wipe(struct cluster *c, struct cluster_node *n)
{
    (void)c;
    CHECK(n->paxos == NULL);
    n->disk = (struct disk){0};
    n->forgot = true;
}

/* --- effects --- */

static void release(struct cluster *c, struct cluster_node *n, const struct letter *l)
{
    const struct paxos_msg *m = &l->msg;

    judge_spoken(c, n, m);
    if (m->kind == PAXOS_ACCEPT) {
        judge_ballot(c, m->instance.n, m->ballot, &l->value);
    }
    if (m->kind == PAXOS_ACCEPTED) {
        judge_accepted(c, m->instance.n, m->ballot, n->id.n);
    }
    letters_push(&c->network, l);
}

static void run_persist(struct cluster *c, struct cluster_node *n, const struct paxos_effect *e)
{
    struct pending_write *w;

    MEM_GROW(n->writes, n->write_count, n->write_cap);
    w = &n->writes[n->write_count++];
    *w = (struct pending_write){.ticket = e->gate, .decided_changed = e->u.persist.decided_changed};
    w->disk.hard = e->u.persist.hard;
    w->disk.accepted = value_of(e->u.persist.hard.value);
    w->disk.decided = e->u.persist.decided;
    w->disk.value = value_of(e->u.persist.value);
    if (w->disk.hard.accepted.round != 0) {
        judge_ballot(c, w->disk.hard.instance.n, w->disk.hard.accepted, &w->disk.accepted);
    }
}

static void run_send(struct cluster *c, struct cluster_node *n, const struct paxos_effect *e)
{
    struct letter l = {.msg = e->u.msg, .value = value_of(e->u.msg.value)};
    bool pending = false;

    for (uint32_t i = 0; i < n->write_count; i++) {
        pending = pending || n->writes[i].ticket == e->gate;
    }
    if (e->gate != 0 && pending) {
        MEM_GROW(n->held, n->held_count, n->held_cap);
        n->held[n->held_count++] = (struct held){.gate = e->gate, .letter = l};
        return;
    }
    release(c, n, &l);
}

void cluster_flush(struct cluster *c, struct cluster_node *n)
{
    paxos_flush(n->paxos, n->ticket + 1, &n->fx);
    for (uint32_t i = 0; i < n->fx.count; i++) {
        const struct paxos_effect *e = &n->fx.at[i];

        if (c->on_effect != NULL) {
            c->on_effect(c, n, e);
        }
        switch (e->kind) {
        case PAXOS_PERSIST:
            n->ticket++;
            run_persist(c, n, e);
            break;
        case PAXOS_SEND:
            run_send(c, n, e);
            break;
        case PAXOS_LEARNED:
            judge_learned(c, e);
            break;
        case PAXOS_PROPOSAL_OVER:
            judge_over(c, n, e);
            break;
        }
    }
}

bool cluster_sync(struct cluster *c, struct cluster_node *n)
{
    uint64_t ticket;

    if (n->write_count == 0) {
        return false;
    }
    ticket = n->writes[0].ticket;
    store(c, n, &n->writes[0]);
    n->write_count--;
    memmove(n->writes, n->writes + 1, n->write_count * sizeof *n->writes);
    for (uint32_t i = 0; i < n->held_count; i++) {
        if (n->held[i].gate <= ticket) {
            release(c, n, &n->held[i].letter);
            n->held_count--;
            memmove(n->held + i, n->held + i + 1, (n->held_count - i) * sizeof *n->held);
            i--;
        }
    }
    paxos_durable(n->paxos, c->now_us, ticket);
    cluster_flush(c, n);
    return true;
}

enum err cluster_receive(struct cluster *c, struct letter *l)
{
    struct cluster_node *n = cluster_find(c, l->msg.to.n);

    CHECK(n != NULL && n->paxos != NULL);
    l->msg.value = value_slice(&l->value);
    return paxos_step(n->paxos, c->now_us, &l->msg);
}

enum err cluster_propose(struct cluster *c, struct cluster_node *n, uint64_t instance,
                         struct slice value)
{
    enum err err = paxos_propose(n->paxos, c->now_us, (struct paxos_instance){instance}, value);

    if (err == ERR_OK) {
        n->wanted = value_of(value);
        n->wanted_in = instance;
        judge_proposed(c, instance, &n->wanted);
    }
    return err;
}
