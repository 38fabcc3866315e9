/* swim_world_test.c - random worlds of SWIM engines: hundreds of members, loss, slow members,
 * partitions, restarts, moves, leavers, dead streams. A world is safe all the time (judges of
 * swim_world.c, swim_check) and comes to one truth once it is left alone.
 *
 *   swim_world_test [SEED [COUNT]]
 */
#include "swim_world.h"

#include <stdio.h>
#include <stdlib.h>

#define SEC(n) ((n)*1000000ULL)

static void require_agreement(struct world *w, uint64_t within_us, const char *what)
{
    for (uint64_t waited = 0; !world_agrees(w); waited += SEC(1)) {
        if (waited > within_us) {
            world_explain(w);
            world_finding(w, "no agreement within %llu s: %s",
                          (unsigned long long)(within_us / SEC(1)), what);
        }
        world_run(w, SEC(1));
    }
}

static struct world *found_world(uint64_t seed, uint32_t count)
{
    struct world *w = world_create(seed);

    w->check_every = 1 + count;
    for (uint32_t i = 0; i < count; i++) {
        (void)world_add(w);
    }
    for (uint32_t i = 1; i <= count; i++) {
        world_start(w, world_node(w, i), i == 1 ? 0 : 1 + (uint32_t)prng_below(&w->prng, i - 1));
    }
    return w;
}

static uint64_t packets_of(const struct world *w, uint64_t *rumours)
{
    uint64_t packets = 0;

    *rumours = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        packets += w->nodes[i].packets;
        *rumours += w->nodes[i].rumours;
    }
    return packets;
}

/* Nothing is lost and nobody comes or goes: the round robin's bound holds, nobody is suspected,
 * nothing is told when there is nothing to tell. */
static void calm_world(uint64_t seed)
{
    struct world *w = found_world(seed, 24);
    uint64_t rumours, later;

    require_agreement(w, SEC(30), "a founding");
    world_run(w, SEC(30));
    (void)packets_of(w, &rumours);
    for (uint32_t i = 1; i <= w->count; i++) {
        for (uint32_t k = 1; k <= w->count; k++) {
            world_node(w, i)->probed[k] = swim_stats(world_node(w, i)->swim)->probes;
        }
    }
    w->judge_fairness = true;
    world_run(w, SEC(200));
    (void)packets_of(w, &later);
    if (later != rumours) {
        world_finding(w, "%llu rumours were told and nothing had happened",
                      (unsigned long long)(later - rumours));
    }
    for (uint32_t i = 1; i <= w->count; i++) {
        if (swim_stats(world_node(w, i)->swim)->suspicions != 0) {
            world_finding(w, "%u suspected somebody in a calm world", i);
        }
    }
    world_destroy(w);
}

/* Who is killed is dead to all others within: a period until it is probed by somebody, the probe,
 * the longest suspicion if nobody confirms it, and the rumour's way [docs/protocol/swim.md]. */
static void detection_world(uint64_t seed)
{
    uint32_t count = 100, victim = 7;
    struct world *w = found_world(seed, count);
    struct swim_tuning t;
    uint64_t bound, began;

    require_agreement(w, SEC(30), "a founding");
    swim_tuning(world_node(w, 1)->swim, &t);
    bound = 6 * SEC(1) + t.suspicion_us_max + SEC(5);
    world_crash(w, world_node(w, victim));
    began = w->now_us;
    for (uint32_t i = 1; i <= count; i++) {
        while (i != victim && world_state(world_node(w, i), victim) != SWIM_DEAD) {
            world_run(w, 10000);
            if (w->now_us - began > bound) {
                world_finding(w, "%u does not know after %llu s that %u is dead", i,
                              (unsigned long long)(bound / SEC(1)), victim);
            }
        }
    }
    (void)printf("seed %llu: 100 members know of a death after %.2f s (shortest suspicion %.2f)\n",
                 (unsigned long long)seed, (double)(w->now_us - began) / 1e6,
                 (double)t.suspicion_us_min / 1e6);
    world_destroy(w);
}

/* Both halves bury each other, and find each other again though nobody tells them to. */
static void partition_world(uint64_t seed)
{
    uint32_t count = 40;
    struct world *w = found_world(seed, count);

    require_agreement(w, SEC(30), "a founding");
    for (uint32_t i = 1; i <= count; i++) {
        world_node(w, i)->side = i > count / 3;
    }
    world_run(w, SEC(240));
    for (uint32_t i = 1; i <= count; i++) {
        const struct world_node *n = world_node(w, i);

        if (swim_count(n->swim, SWIM_ALIVE) != (i > count / 3 ? count - count / 3 : count / 3)) {
            world_finding(w, "%u does not know its side of the partition", i);
        }
    }
    for (uint32_t i = 1; i <= count; i++) {
        world_node(w, i)->side = 0;
    }
    require_agreement(w, SEC(120), "after a long partition");
    world_destroy(w);
}

/* Its packets pass, its streams do not: those who notice say so, and it must not stay alive. */
static void stream_world(uint64_t seed)
{
    uint32_t count = 16, victim = 5;
    struct world *w = found_world(seed, count);

    require_agreement(w, SEC(30), "a founding");
    world_node(w, victim)->stream_dead = true;
    for (uint32_t second = 0; second < 120; second++) {
        world_link_failed(w, world_node(w, 2), victim);
        world_link_failed(w, world_node(w, 9), victim);
        world_run(w, SEC(1));
    }
    for (uint32_t i = 1; i <= count; i++) {
        if (i != victim && world_state(world_node(w, i), victim) != SWIM_DEAD) {
            world_finding(w, "%u holds %u %s, whose streams have failed for two minutes", i, victim,
                          swim_state_name(world_state(world_node(w, i), victim)));
        }
    }
    world_node(w, victim)->stream_dead = false;
    require_agreement(w, SEC(60), "streams work again");
    /* One accuser whose own line is bad convinces nobody for long. */
    for (uint32_t second = 0; second < 120; second++) {
        world_link_failed(w, world_node(w, 3), 4);
        world_run(w, SEC(1));
        if (world_state(world_node(w, 9), 4) == SWIM_DEAD) {
            world_finding(w, "one accuser has buried a member whose streams work");
        }
    }
    require_agreement(w, SEC(60), "an accuser with a bad line");
    world_destroy(w);
}

static void one_fault(struct world *w)
{
    struct world_node *n = &w->nodes[prng_below(&w->prng, w->count)];

    switch (prng_below(&w->prng, 8)) {
    case 0:
        if (n->swim != NULL && n->number != 1) {
            world_crash(w, n);
        }
        break;
    case 1:
    case 2:
        if (n->swim == NULL) {
            n->persisted = prng_chance(&w->prng, 1, 6) ? 0 : n->persisted; /* its disk is lost */
            world_start(w, n, n->number == 1 ? 2 : 1);
        }
        break;
    case 3:
        if (n->swim != NULL && n->number != 1 && prng_chance(&w->prng, 1, 3)) {
            world_leave(w, n);
        }
        break;
    case 4:
        if (n->number != 1 && n->addr < 8 * WORLD_ADDR_STEP) {
            world_move(w, n);
        }
        break;
    case 5:
        n->slow_us = prng_chance(&w->prng, 1, 2) ? 0 : prng_below(&w->prng, SEC(2));
        break;
    case 6:
        for (uint32_t i = 0; i < w->count; i++) {
            w->nodes[i].side = (uint32_t)prng_below(&w->prng, 1 + prng_below(&w->prng, 2));
        }
        break;
    case 7:
        for (uint32_t i = 0; i < w->count; i++) {
            w->nodes[i].side = 0;
        }
        n->persist_us = prng_below(&w->prng, SEC(1));
        break;
    default:
        break;
    }
}

static void stormy_world(uint64_t seed)
{
    struct prng draw = {seed};
    uint32_t count = (uint32_t)prng_between(&draw, 5, seed % 8 == 0 ? 300 : 60);
    struct world *w = found_world(seed, count);

    w->cfg.reap_us = SEC(120); /* those who start again: reap soon */
    w->cfg.tombstone_us = SEC(1000);
    w->loss_ppm = (uint32_t)prng_below(&w->prng, 200000);
    w->latency_us_max = prng_between(&w->prng, 1000, 100000);
    for (uint32_t i = 0; i < (count > 100 ? 20u : 60u); i++) {
        one_fault(w);
        world_run(w, prng_below(&w->prng, SEC(5)));
    }
    w->loss_ppm /= 4;
    for (uint32_t i = 0; i < count; i++) {
        w->nodes[i].slow_us = 0;
        w->nodes[i].side = 0;
    }
    require_agreement(w, SEC(300), "after a storm");
    w->loss_ppm = 0;
    world_run(w, SEC(10));
    require_agreement(w, SEC(60), "in peace");
    world_destroy(w);
}

/* Leavers and dead are listed for their time and then no more; memory does not grow. */
static void reaping_world(uint64_t seed)
{
    struct world *w = world_create(seed);
    uint32_t count = 12;

    w->cfg.reap_us = SEC(60);
    w->cfg.tombstone_us = SEC(180);
    for (uint32_t i = 1; i <= count; i++) {
        world_start(w, world_add(w), i == 1 ? 0 : 1);
    }
    require_agreement(w, SEC(30), "a founding");
    world_leave(w, world_node(w, 4));
    world_crash(w, world_node(w, 5));
    world_run(w, SEC(40));
    if (world_state(world_node(w, 1), 4) != SWIM_LEFT ||
        world_state(world_node(w, 1), 5) != SWIM_DEAD) {
        world_finding(w, "a leaver is %s, a crashed member is %s",
                      swim_state_name(world_state(world_node(w, 1), 4)),
                      swim_state_name(world_state(world_node(w, 1), 5)));
    }
    world_run(w, SEC(100));
    for (uint32_t i = 1; i <= count; i++) {
        const struct world_node *n = world_node(w, i);

        if (n->swim != NULL &&
            swim_count(n->swim, SWIM_LEFT) + swim_count(n->swim, SWIM_DEAD) > 0) {
            world_finding(w, "%u still lists who has left or died", i);
        }
    }
    /* The dead one is tried for ever by its address, though nobody lists it. */
    world_start(w, world_node(w, 5), 0);
    require_agreement(w, SEC(150), "a reaped member that came back by itself");
    world_destroy(w);
}

/* A member has lived often, then its disk is lost: it begins at 1 again and hears what it once
 * said. It must get above that, and not before its new limit is durable. */
static void forgetful_world(uint64_t seed)
{
    struct world *w = found_world(seed, 5);
    struct world_node *n = world_node(w, 3);

    require_agreement(w, SEC(30), "a founding");
    for (uint32_t life = 0; life < 4; life++) {
        world_crash(w, n);
        world_run(w, prng_below(&w->prng, SEC(20)));
        n->persisted = life == 3 ? 0 : n->persisted;
        n->persist_us = SEC(1);
        world_start(w, n, 1);
        world_run(w, SEC(2) + prng_below(&w->prng, SEC(20)));
    }
    require_agreement(w, SEC(30), "a lost disk");
    world_destroy(w);
}

static void all_worlds(uint64_t seed)
{
    calm_world(seed);
    detection_world(seed);
    partition_world(seed);
    stream_world(seed);
    reaping_world(seed);
    forgetful_world(seed);
    stormy_world(seed);
}

int main(int argc, char **argv)
{
    uint64_t seed = 1, count = 6;

    if (argc > 1) {
        seed = strtoull(argv[1], NULL, 10);
        count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    }
    for (uint64_t i = 0; i < count; i++) {
        (void)fprintf(stderr, "world %llu\n", (unsigned long long)seed + i);
        all_worlds(seed + i);
    }
    return 0;
}
