/* raft_random_test.c - random histories against the judges of raft_cluster.c.
 *
 * Each seed draws a cluster and its troubles: delay, loss, duplication,
 * reordering, partitions, crashes that lose unsynced writes, pauses, clocks that
 * drift, slow disks; under them proposals, reads, transfers, configuration
 * changes, compaction and snapshots. Then everything heals, and the cluster must
 * commit new entries everywhere: safety first, then liveness.
 *
 *   raft_random_test              400 seeds, a few seconds
 *   raft_random_test FIRST COUNT  others, or more
 */
#include "raft_cluster.h"

#include <stdio.h>
#include <stdlib.h>

enum { STEPS = 2500, LIVENESS_STEPS = 20000 };

struct swarm { /* chances out of 1000 per step, drawn per seed */
    uint32_t drop, duplicate, slow, crash, crash_leader, restart, partition, heal, pause, compact;
    uint32_t propose, read, transfer, conf, keep_log, snapshot_fail, reset, stray;
    uint64_t delay_us, sync_us, step_us;
};
struct flight_image {
    struct image image;
    uint64_t from, to, due_us;
};
struct harness {
    struct cluster *c;
    struct prng prng;
    struct swarm s;
    uint32_t members; /* founding */
    bool cut[CLUSTER_NODES_MAX][CLUSTER_NODES_MAX];
    struct flight_image images[32];
    uint32_t image_count;
    uint64_t token, proposed;
    bool healed;
};
static struct harness *running; /* for the callback, which has no argument */
static uint64_t total_leaders, total_chosen, total_reads, total_installs;

/* Asked at random: a refusal is an answer too, and counted so that it is seen. */
static uint64_t refusals;
static void refused(enum err err)
{
    refusals += err != ERR_OK;
}

static bool chance(struct harness *h, uint32_t per_mille)
{
    return prng_chance(&h->prng, per_mille, 1000);
}

/* Between low and high, each order of magnitude as likely as the next. */
static uint64_t draw_scale(struct prng *p, uint64_t low, uint64_t high)
{
    uint64_t top = low;

    while (top < high && prng_chance(p, 3, 4)) {
        top *= 2;
    }
    return prng_between(p, low, top < high ? top : high);
}

static void draw_faults(struct harness *h)
{
    struct prng *p = &h->prng;
    struct swarm *s = &h->s;

    s->drop = (uint32_t)prng_below(p, 200);
    s->crash = (uint32_t)prng_below(p, 6);
    s->crash_leader = prng_chance(p, 1, 3) ? (uint32_t)prng_below(p, 60) : 0;
    s->partition = (uint32_t)prng_below(p, 20);
    s->heal = 1 + (uint32_t)prng_below(p, 30);
    s->pause = (uint32_t)prng_below(p, 6);
}

static void draw_swarm(struct harness *h)
{
    struct prng *p = &h->prng;
    struct swarm *s = &h->s;

    if (prng_chance(p, 3, 4)) {
        draw_faults(h);
    }
    s->duplicate = (uint32_t)prng_below(p, 100);
    s->slow = (uint32_t)prng_below(p, 300);
    s->restart = (uint32_t)draw_scale(p, 5, 500);
    s->compact = (uint32_t)prng_below(p, 30);
    s->propose = (uint32_t)draw_scale(p, 5, 700);
    s->read = (uint32_t)prng_below(p, 500);
    s->transfer = prng_chance(p, 1, 2) ? (uint32_t)prng_below(p, 10) : 0;
    s->conf = prng_chance(p, 1, 2) ? (uint32_t)prng_below(p, 15) : 0;
    s->keep_log = (uint32_t)prng_below(p, 1000);
    s->snapshot_fail = (uint32_t)prng_below(p, 300);
    s->reset = (uint32_t)prng_below(p, 5);
    s->stray = (uint32_t)prng_below(p, 20);
    s->delay_us = draw_scale(p, 100, 30000);
    s->sync_us = draw_scale(p, 100, 60000);
    s->step_us = prng_between(p, 1000, 10000);
}

static void draw_config(struct harness *h)
{
    struct prng *p = &h->prng;
    struct raft_config *cfg = &h->c->cfg;

    cfg->lease_reads = prng_chance(p, 3, 4);
    cfg->heartbeat_us = prng_between(p, 10000, 50000);
    cfg->election_us_min = cfg->heartbeat_us * prng_between(p, 3, 6);
    cfg->election_us_max = cfg->election_us_min * prng_between(p, 2, 4);
    cfg->append_bytes_max = (uint32_t)draw_scale(p, 1, 1000);
    cfg->inflight_bytes_max = (uint32_t)prng_between(p, 1, 4000);
    cfg->inflight_count_max = (uint32_t)prng_between(p, 1, 16);
    cfg->uncommitted_bytes_max = prng_between(p, 100, 100000);
}

static void snapshot_wanted(struct cluster *c, struct cluster_node *n, struct raft_id peer)
{
    struct harness *h = running;

    (void)c;
    if (n->image.index.n == 0 || h->image_count == ARRAY_COUNT(h->images)) {
        raft_snapshot_sent(n->raft, peer, n->image.index, false);
        return;
    }
    c->snapshots++;
    h->images[h->image_count++] = (struct flight_image){
        .image = n->image,
        .from = n->id.n,
        .to = peer.n,
        .due_us = c->now_us + prng_between(&h->prng, 1000, 400000),
    };
}

static uint32_t place(const struct harness *h, uint64_t id)
{
    for (uint32_t i = 0; i < h->c->count; i++) {
        if (h->c->nodes[i].id.n == id) {
            return i;
        }
    }
    return CLUSTER_NODES_MAX;
}

static void step_images(struct harness *h)
{
    for (uint32_t i = 0; i < h->image_count; i++) {
        struct flight_image f = h->images[i];
        struct cluster_node *from = cluster_find(h->c, f.from), *to = cluster_find(h->c, f.to);
        bool ok = !chance(h, h->healed ? 0 : h->s.snapshot_fail);

        if (f.due_us > h->c->now_us) {
            continue;
        }
        h->images[i--] = h->images[--h->image_count];
        ok = ok && to != NULL && to->raft != NULL && !h->cut[place(h, f.from)][place(h, f.to)];
        if (ok) {
            refused(cluster_install(h->c, to, &f.image, chance(h, h->s.keep_log)));
        }
        if (from != NULL && from->raft != NULL) {
            raft_snapshot_sent(from->raft, (struct raft_id){f.to}, f.image.index, ok);
            cluster_flush(h->c, from);
        }
    }
}

/* A snapshot nobody asked for any more: late, from anyone, to anyone. */
static void stray_image(struct harness *h)
{
    struct cluster_node *from = &h->c->nodes[prng_below(&h->prng, h->c->count)];
    struct cluster_node *to = &h->c->nodes[prng_below(&h->prng, h->c->count)];

    if (chance(h, h->s.stray) && from->image.term.n > 0 && to->raft != NULL) {
        refused(cluster_install(h->c, to, &from->image, chance(h, h->s.keep_log)));
    }
}

/* New letters get a time of arrival; some are lost or doubled. */
static void post(struct harness *h, uint32_t from)
{
    struct letters *net = &h->c->network;

    for (uint32_t i = from; i < net->count; i++) {
        struct letter *l = &net->at[i];

        if (l->due_us != 0) {
            continue;
        }
        l->due_us = h->c->now_us + prng_between(&h->prng, 50, h->s.delay_us);
        if (h->healed) {
            continue;
        }
        if (chance(h, h->s.slow)) {
            l->due_us += prng_below(&h->prng, h->s.delay_us * 20);
        }
        if (chance(h, h->s.duplicate)) {
            struct letter twin = letter_copy(&l->msg);

            twin.due_us = h->c->now_us + prng_below(&h->prng, 2000000);
            letters_push(net, twin);
        } else if (chance(h, h->s.drop)) {
            struct letter lost = letters_take(net, i--);

            letter_free(&lost);
        }
    }
}

static void deliver(struct harness *h)
{
    struct letters *net = &h->c->network;

    post(h, 0);
    for (uint32_t i = 0; i < net->count; i++) {
        uint32_t from = place(h, net->at[i].msg.from.n), to = place(h, net->at[i].msg.to.n);
        struct letter l;

        if (net->at[i].due_us > h->c->now_us || h->c->nodes[to].paused) {
            continue;
        }
        l = letters_take(net, i--);
        if (from < h->c->count && h->cut[from][to]) {
            letter_free(&l);
            continue;
        }
        enum err err = cluster_receive(h->c, &l);

        CHECK(err == ERR_OK); /* no correct replica says nonsense */
    }
}

static void propose(struct harness *h, struct cluster_node *n)
{
    uint8_t data[64];
    struct raft_index index;
    size_t len = 8 + prng_below(&h->prng, sizeof data - 8);

    memset(data, 'x', sizeof data);
    store_u64le(data, ++h->proposed);
    refused(raft_propose(n->raft, cluster_clock(h->c, n), (struct slice){data, len}, &index));
}

static bool drop_random(struct harness *h, struct raft_id *ids, uint8_t *count, struct raft_id *out)
{
    uint32_t i;

    if (*count == 0) {
        return false;
    }
    i = (uint32_t)prng_below(&h->prng, *count);
    *out = ids[i];
    ids[i] = ids[--*count];
    return true;
}

/* A random legal-looking next configuration; raft refuses what is not. */
static void change_conf(struct harness *h, struct cluster_node *n)
{
    struct raft_conf next = *raft_conf_now(n->raft);
    struct raft_id id = h->c->nodes[prng_below(&h->prng, h->c->count)].id;

    if (prng_chance(&h->prng, 1, 2)) { /* learners only */
        if (!raft_conf_has(&next, id) && next.learner_count < RAFT_LEARNERS_MAX) {
            next.learners[next.learner_count++] = id;
        } else {
            (void)drop_random(h, next.learners, &next.learner_count, &id);
        }
    } else {
        memcpy(next.outgoing, next.voters, sizeof next.voters);
        next.outgoing_count = next.voter_count;
        if (next.voter_count > 1 && prng_chance(&h->prng, 1, 2)) {
            (void)drop_random(h, next.voters, &next.voter_count, &id);
        }
        if (next.voter_count < 5 && drop_random(h, next.learners, &next.learner_count, &id)) {
            next.voters[next.voter_count++] = id;
        }
        if (prng_chance(&h->prng, 1, 4) && next.voter_count > 1 &&
            next.learner_count < RAFT_LEARNERS_MAX) { /* demote */
            (void)drop_random(h, next.voters, &next.voter_count, &id);
            next.learners[next.learner_count++] = id;
        }
    }
    refused(raft_propose_conf(n->raft, cluster_clock(h->c, n), &next, SLICE("why")));
}

static void node_inputs(struct harness *h, struct cluster_node *n)
{
    bool tick_late = prng_chance(&h->prng, 1, 2);

    if (!tick_late) {
        raft_tick(n->raft, cluster_clock(h->c, n));
    }
    if (raft_role(n->raft) == RAFT_LEADER) {
        for (uint64_t i = prng_below(&h->prng, 4); chance(h, h->s.propose) && i > 0; i--) {
            propose(h, n);
        }
        if (chance(h, h->s.conf) && !h->healed) {
            change_conf(h, n);
        }
        if (chance(h, h->s.transfer) && !h->healed) {
            refused(raft_transfer(n->raft, cluster_clock(h->c, n),
                                  h->c->nodes[prng_below(&h->prng, h->c->count)].id));
        }
        if (chance(h, h->s.reset)) {
            raft_peer_reset(n->raft, h->c->nodes[prng_below(&h->prng, h->c->count)].id);
        }
    }
    if (chance(h, h->s.read) && n->read_count < 50) {
        refused(cluster_read(h->c, n, ++h->token));
    }
    if (chance(h, h->s.compact)) {
        cluster_compact(h->c, n, n->applied - prng_below(&h->prng, n->applied / 4 + 1));
    }
    if (tick_late) {
        raft_tick(n->raft, cluster_clock(h->c, n));
    }
}

static void step_node(struct harness *h, struct cluster_node *n)
{
    struct cluster *c = h->c;

    if (n->raft == NULL) {
        if (chance(h, h->s.restart) || h->healed) {
            cluster_start(c, n);
        }
        return;
    }
    if (n->paused) {
        n->paused = !chance(h, 20) && !h->healed;
        if (n->paused) {
            return;
        }
        /* Resumed: it hears what its clients want before it hears from its peers. */
    }
    node_inputs(h, n);
    cluster_flush(c, n);
    if (n->write_count > 0 && n->sync_due_us == 0) {
        n->sync_due_us = c->now_us + prng_between(&h->prng, 50, h->s.sync_us);
    }
    if (n->sync_due_us != 0 && c->now_us >= n->sync_due_us) {
        n->sync_due_us = 0;
        (void)cluster_sync(c, n);
    }
    if (h->healed) {
        return;
    }
    n->paused = chance(h, h->s.pause);
    if (chance(h, h->s.crash) ||
        (raft_role(n->raft) == RAFT_LEADER && chance(h, h->s.crash_leader))) {
        cluster_crash(c, n, (uint32_t)prng_below(&h->prng, n->write_count + 1));
        n->sync_due_us = 0;
    }
}

static void step_network(struct harness *h)
{
    uint32_t a = (uint32_t)prng_below(&h->prng, h->c->count);

    if (chance(h, h->s.heal) || h->healed) {
        memset(h->cut, 0, sizeof h->cut);
    } else if (chance(h, h->s.partition)) {
        for (uint32_t b = 0; b < h->c->count; b++) { /* alone, and sometimes one way only */
            h->cut[a][b] = prng_chance(&h->prng, 2, 3);
            h->cut[b][a] = prng_chance(&h->prng, 2, 3);
        }
    }
}

static void step(struct harness *h)
{
    h->c->now_us += prng_between(&h->prng, 100, h->healed ? 10000 : h->s.step_us);
    step_network(h);
    deliver(h);
    step_images(h);
    stray_image(h);
    for (uint32_t i = 0; i < h->c->count; i++) {
        step_node(h, &h->c->nodes[i]);
    }
    cluster_check(h->c);
}

static bool converged(struct harness *h, uint64_t target)
{
    const struct cluster_node *leader = NULL;

    for (uint32_t i = 0; i < h->c->count; i++) {
        struct cluster_node *n = &h->c->nodes[i];

        if (n->raft == NULL) {
            return false;
        }
        if (raft_role(n->raft) == RAFT_LEADER && raft_commit(n->raft).n > target) {
            leader = n;
        }
    }
    if (leader == NULL || !raft_conf_settled(leader->raft)) {
        return false;
    }
    for (uint32_t i = 0; i < h->c->count; i++) {
        if (raft_conf_has(raft_conf_now(leader->raft), h->c->nodes[i].id) &&
            h->c->nodes[i].applied <= target) {
            return false;
        }
    }
    return true;
}

static void found(struct harness *h)
{
    struct raft_conf conf = {0};
    uint32_t count = h->members + (uint32_t)prng_below(&h->prng, 3);

    for (uint32_t i = 0; i < h->members; i++) {
        conf.voters[conf.voter_count++].n = i + 1;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct cluster_node *n = cluster_add(h->c, i + 1, i < h->members ? &conf : NULL);

        n->clock_offset_us = prng_below(&h->prng, 1000000000);
        n->clock_rate = prng_between(&h->prng, 998000, 1002000);
        cluster_start(h->c, n);
    }
}

static void run_seed(uint64_t seed)
{
    struct harness h = {.c = cluster_create(), .prng = {seed}};
    uint64_t target;
    uint32_t steps = 0;

    running = &h;
    h.c->seed = seed;
    h.c->on_snapshot_wanted = snapshot_wanted;
    draw_config(&h);
    h.members = (uint32_t)prng_between(&h.prng, 1, 5);
    draw_swarm(&h);
    found(&h);
    for (uint32_t i = 0; i < STEPS; i++) {
        step(&h);
        if (i % 50 == 0) {
            cluster_check_deep(h.c);
        }
    }
    h.healed = true;
    h.s.propose = 20; /* a window of one small message keeps up with that */
    h.s.sync_us = 1000;
    h.s.delay_us = 5000;
    target = h.c->chosen_max;
    while (!converged(&h, target)) {
        step(&h);
        if (++steps == LIVENESS_STEPS) {
            cluster_print(h.c);
            UNREACHABLE("liveness, once the faults are over");
        }
    }
    cluster_check_deep(h.c);
    total_leaders += h.c->leaders;
    total_chosen += h.c->chosen_max;
    total_reads += h.c->reads_answered;
    total_installs += h.c->installs;
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
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 400;
    bool verbose = getenv("VERBOSE") != NULL;

    for (uint64_t seed = first; seed < first + count; seed++) {
        if (verbose) {
            (void)fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
        }
        run_seed(seed);
    }
    printf("%llu seeds: %llu leaders, %llu entries chosen, %llu reads, %llu snapshots installed\n",
           (unsigned long long)count, (unsigned long long)total_leaders,
           (unsigned long long)total_chosen, (unsigned long long)total_reads,
           (unsigned long long)total_installs);
    base_marks_each(print_unreached, NULL);
    return 0;
}
