/* paxos_random_test.c - random histories against the judges of paxos_cluster.c.
 *
 * Each seed draws a council with its quorums, and troubles: loss, duplication, reordering,
 * links that are cut, slow disks, crashes between any two writes, directories lost; under
 * them several members propose, withdraw, and change the council. Then everything heals,
 * and new values must be decided: safety first, then liveness.
 *
 *   paxos_random_test              4000 seeds, a few seconds
 *   paxos_random_test FIRST COUNT  others, or more
 */
#include "paxos_cluster.h"

#include <stdio.h>
#include <stdlib.h>

enum { SEEDS = 4000, STEPS = 220, LIVENESS_STEPS = 6000 };

struct swarm { /* chances out of 1000 per step, drawn per seed */
    uint32_t drop, duplicate, crash, restart, wipe, cut, heal, propose, withdraw, gossip;
    uint64_t delay_us, sync_us, step_us;
};
struct harness {
    struct cluster *c;
    struct prng prng;
    struct swarm s;
    bool cut[CLUSTER_NODES_MAX + 1][CLUSTER_NODES_MAX + 1];
    uint32_t wiped;
    uint64_t proposed;
    bool healed;
};
static uint64_t total_won, total_lost, total_unknown, total_ballots, total_chosen, refusals;

static bool chance(struct harness *h, uint32_t per_mille)
{
    return prng_chance(&h->prng, per_mille, 1000);
}

/* NAME@COUNCIL:Q1/Q2, the council drawn among the nodes, quorums that just meet or more. */
static struct value draw_value(struct harness *h)
{
    char text[VALUE_BYTES_MAX], ids[CLUSTER_NODES_MAX + 1] = "";
    uint32_t want = 1 + (uint32_t)prng_below(&h->prng, h->c->count), have = 0, q1, q2;
    int len;

    for (uint32_t i = 0; i < h->c->count; i++) {
        if (prng_chance(&h->prng, want - have, h->c->count - i)) {
            ids[have++] = (char)('0' + h->c->nodes[i].id.n);
        }
    }
    ids[have] = 0;
    q1 = have / 2 + 1;
    if (prng_chance(&h->prng, 1, 3)) {
        q1 = 1 + (uint32_t)prng_below(&h->prng, have);
    }
    q2 = have + 1 - q1;
    if (q2 < have && prng_chance(&h->prng, 1, 4)) {
        q2++;
    }
    len = snprintf(text, sizeof text, "v%llu@%s:%u/%u", (unsigned long long)++h->proposed, ids, q1,
                   q2);
    return value_of((struct slice){(const uint8_t *)text, (size_t)len});
}

static void draw_swarm(struct harness *h)
{
    struct prng *p = &h->prng;
    bool calm = prng_chance(p, 1, 8);

    h->s = (struct swarm){
        .drop = calm ? 0 : (uint32_t)prng_below(p, 300),
        .duplicate = (uint32_t)prng_below(p, 200),
        .crash = calm ? 0 : (uint32_t)prng_below(p, 60),
        .restart = 20 + (uint32_t)prng_below(p, 300),
        .wipe = prng_chance(p, 1, 4) ? 150 : 0,
        .cut = calm ? 0 : (uint32_t)prng_below(p, 60),
        .heal = 10 + (uint32_t)prng_below(p, 100),
        .propose = 20 + (uint32_t)prng_below(p, 200),
        .withdraw = prng_chance(p, 1, 3) ? 10 : 0,
        .gossip = prng_chance(p, 1, 2) ? 10 : 0,
        .delay_us = prng_between(p, 1000, prng_chance(p, 1, 2) ? 20000 : 400000),
        .sync_us = prng_between(p, 1000, prng_chance(p, 1, 2) ? 20000 : 400000),
        .step_us = prng_between(p, 2000, 40000),
    };
    h->c->cfg.retry_us = prng_between(p, 20000, 300000);
    h->c->cfg.backoff_us_min = prng_between(p, 1000, 30000);
    /* Well above what two phases take once healed: else a duel need not end. */
    h->c->cfg.backoff_us_max = prng_between(p, 400000, 1500000);
    h->c->cfg.finish_us = prng_chance(p, 1, 2) ? prng_between(p, 50000, 900000) : 0;
}

/* New letters get a time of arrival; some are lost or doubled. */
static void post(struct harness *h)
{
    struct letters *net = &h->c->network;

    for (uint32_t i = 0; i < net->count; i++) {
        struct letter *l = &net->at[i];

        if (l->due_us != 0) {
            continue;
        }
        l->due_us = h->c->now_us + prng_between(&h->prng, 50, h->s.delay_us);
        if (h->healed) {
            continue;
        }
        if (chance(h, h->s.duplicate)) {
            struct letter twin = *l;

            twin.due_us = h->c->now_us + prng_below(&h->prng, 3000000);
            letters_push(net, &twin);
        } else if (chance(h, h->s.drop)) {
            (void)letters_take(net, i--);
        }
    }
}

static void deliver(struct harness *h)
{
    struct letters *net = &h->c->network;

    post(h);
    for (uint32_t i = 0; i < net->count; i++) {
        struct cluster_node *to = cluster_find(h->c, net->at[i].msg.to.n);
        struct letter l;
        enum err err;

        if (net->at[i].due_us > h->c->now_us) {
            continue;
        }
        l = letters_take(net, i--);
        if (to == NULL || to->paxos == NULL || h->cut[l.msg.from.n][l.msg.to.n]) {
            continue;
        }
        err = cluster_receive(h->c, &l);
        CHECK(err == ERR_OK);              /* no correct member says nonsense */
        if (prng_chance(&h->prng, 1, 2)) { /* otherwise several messages make one turn */
            cluster_flush(h->c, to);
        }
    }
}

static void propose(struct harness *h, struct cluster_node *n)
{
    struct value v = draw_value(h);
    uint64_t instance = paxos_decided(n->paxos).n + 1;

    if (instance < CLUSTER_INSTANCES_MAX - 1 && (n->wanted.len == 0 || h->healed)) {
        refusals += cluster_propose(h->c, n, instance, value_slice(&v)) != ERR_OK;
    }
}

static void gossip(struct harness *h, struct cluster_node *n)
{
    const struct cluster_node *from = &h->c->nodes[prng_below(&h->prng, h->c->count)];

    if (from->paxos != NULL && paxos_decided(from->paxos).n > 0) {
        struct value v = value_of(paxos_value(from->paxos));
        enum err err =
            paxos_learn(n->paxos, h->c->now_us, paxos_decided(from->paxos), value_slice(&v));

        CHECK(err == ERR_OK); /* judge: no fork */
    }
}

static void fail(struct harness *h, struct cluster_node *n)
{
    if (!chance(h, h->s.crash)) {
        return;
    }
    cluster_crash(h->c, n, (uint32_t)prng_below(&h->prng, n->write_count + 1));
    n->sync_due_us = 0;
    if (h->wiped < 2 && chance(h, h->s.wipe)) {
        cluster_wipe(h->c, n);
        h->wiped++;
    }
}

static void step_node(struct harness *h, struct cluster_node *n)
{
    if (n->paxos == NULL) {
        if (h->healed || chance(h, h->s.restart)) {
            enum err err = cluster_start(h->c, n);

            CHECK(err == ERR_OK); /* what it wrote is whole */
        }
        return;
    }
    if (chance(h, h->s.propose)) {
        propose(h, n);
    }
    if (chance(h, h->s.withdraw) && n->wanted.len > 0 && paxos_withdraw(n->paxos)) {
        n->wanted.len = 0;
    }
    if (chance(h, h->healed ? 100 : h->s.gossip)) {
        gossip(h, n);
    }
    paxos_tick(n->paxos, h->c->now_us);
    cluster_flush(h->c, n);
    if (n->write_count > 0 && n->sync_due_us == 0) {
        n->sync_due_us = h->c->now_us + prng_between(&h->prng, 50, h->s.sync_us);
    }
    if (n->sync_due_us != 0 && h->c->now_us >= n->sync_due_us) {
        n->sync_due_us = 0;
        (void)cluster_sync(h->c, n);
    }
    if (!h->healed) {
        fail(h, n);
    }
}

static void step_network(struct harness *h)
{
    uint64_t a = 1 + prng_below(&h->prng, h->c->count);

    if (h->healed || chance(h, h->s.heal)) {
        memset(h->cut, 0, sizeof h->cut);
    } else if (chance(h, h->s.cut)) {
        for (uint64_t b = 1; b <= h->c->count; b++) { /* alone, and sometimes one way only */
            h->cut[a][b] = prng_chance(&h->prng, 2, 3);
            h->cut[b][a] = prng_chance(&h->prng, 2, 3);
        }
    }
}

static void step(struct harness *h)
{
    h->c->now_us += prng_between(&h->prng, 100, h->s.step_us);
    step_network(h);
    deliver(h);
    for (uint32_t i = 0; i < h->c->count; i++) {
        step_node(h, &h->c->nodes[i]);
    }
    cluster_check(h->c);
}

/* Enough acceptors of the instance after this one remember their promises. */
static bool fit(struct harness *h, uint64_t decided)
{
    struct paxos_council council;
    uint32_t count = 0;

    CHECK(cluster_council_of(value_slice(&h->c->judged[decided].chosen), &council));
    for (uint32_t i = 0; i < council.count; i++) {
        count += !cluster_find(h->c, council.ids[i].n)->forgot;
    }
    return count >= council.quorum1 && count >= council.quorum2;
}

static bool known(struct harness *h, uint64_t decided)
{
    for (uint32_t i = 0; i < h->c->count; i++) {
        if (h->c->nodes[i].disk.decided.n >= decided) {
            return true;
        }
    }
    return false;
}

/* The newest value is known to somebody, or can be found again; and another decided. */
static bool can_go_on(struct harness *h)
{
    uint64_t newest = h->c->instance_max;

    return fit(h, newest) &&
           (known(h, newest) || (newest > 1 && known(h, newest - 1) && fit(h, newest - 1)));
}

static bool converged(struct harness *h, uint64_t target)
{
    for (uint32_t i = 0; i < h->c->count; i++) {
        const struct paxos *p = h->c->nodes[i].paxos;

        if (p == NULL || paxos_decided(p).n < target) {
            return false;
        }
    }
    return true;
}

/* Once the faults are over, two more values are decided, and everybody knows. */
static void run_healed(struct harness *h)
{
    uint64_t target = h->c->instance_max + 2;
    uint32_t steps = 0;

    h->healed = true;
    h->s.delay_us = 5000;
    h->s.sync_us = 2000;
    h->s.step_us = 10000;
    h->s.propose = 20;
    h->s.withdraw = 0;
    while (target < CLUSTER_INSTANCES_MAX - 4 && can_go_on(h) && !converged(h, target)) {
        step(h);
        CHECK(++steps < LIVENESS_STEPS); /* judge: liveness */
    }
}

static void run_seed(uint64_t seed)
{
    struct harness h = {.c = cluster_create(), .prng = {seed}};
    struct paxos_council council;
    struct value first;
    uint32_t count = (uint32_t)prng_between(&h.prng, 1, 6);

    h.c->seed = seed;
    h.c->now_us = 1000000;
#ifdef SYNOD_PLANTED /* what a bug puts on the wire is to be found by what comes of it */
    h.c->judge_gates = planted_now == PLANTED_NONE;
#endif
    draw_swarm(&h);
    h.c->count = count; /* for the draw of the council */
    for (uint32_t i = 0; i < count; i++) {
        h.c->nodes[i].id.n = i + 1;
    }
    first = draw_value(&h);
    CHECK(cluster_council_of(value_slice(&first), &council));
    h.c->count = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool knows =
            paxos_council_has(&council, (struct paxos_id){i + 1}) || prng_chance(&h.prng, 1, 2);
        enum err err = cluster_start(h.c, cluster_add(h.c, i + 1, knows ? &first : NULL));

        CHECK(err == ERR_OK);
    }
    for (uint32_t i = 0; i < STEPS; i++) {
        step(&h);
    }
    run_healed(&h);
    total_won += h.c->won;
    total_lost += h.c->lost;
    total_unknown += h.c->unknown;
    total_ballots += h.c->ballots;
    total_chosen += h.c->instance_max - 1;
    cluster_destroy(h.c);
}

static void print_unreached(const struct base_mark *mark, void *arg)
{
    (void)arg;
    if (mark->hits == 0) {
        printf("never reached: %s\n", mark->name);
    }
}

int main(int argc, char **argv)
{
    uint64_t first, count;

    first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    count = argc > 2 ? strtoull(argv[2], NULL, 10) : SEEDS;
    for (uint64_t seed = first; seed < first + count; seed++) {
        if (getenv("VERBOSE") != NULL) {
            (void)fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
        }
        run_seed(seed);
    }
    printf("%llu seeds: %llu values chosen in %llu ballots; %llu proposals won, %llu lost, "
           "%llu unknown\n",
           (unsigned long long)count, (unsigned long long)total_chosen,
           (unsigned long long)total_ballots, (unsigned long long)total_won,
           (unsigned long long)total_lost, (unsigned long long)total_unknown);
    base_marks_each(print_unreached, NULL);
    return 0;
}
