/* Members of the engine that ships, in virtual time: some crash, some are slow, packets are lost.
 * How soon are deaths known, and who is buried alive? */
#include "sim/sim_gossip.h"

#include "base/base_hash.h"
#include "base/base_mem.h"
#include "sim/sim_queue.h"
#include "wire/wire.h"

#include <stdlib.h>

enum { PPM = 1000000, PERSIST_US = 2000, NONE = UINT32_MAX };
#define SECONDS(n) ((uint64_t)(n)*1000000)
/* All members hear of each other at once; what they have to say about that is over by then. */
#define WARM_UP_US SECONDS(30)

enum event_kind { TICK, DELIVER, DURABLE, CRASH, SLEEP };

struct node {
    struct swim *swim; /* NULL: crashed */
    bool slow, cut, victim;
    uint64_t tick_at_us, slow_us, awake_at_us;
    uint64_t crashed_us, after_us[SIM_GOSSIP_STAGES]; /* the latter NEVER until it happens */
    uint32_t mourners;                                /* hold it dead */
    uint64_t buried;                                  /* alive, in this incarnation at last */
};

struct packet {
    uint32_t from, to;
    bool stream;
    uint32_t bytes;
    uint8_t data[];
};

struct world {
    const struct sim_gossip_detect_setup *setup;
    struct sim_gossip_detect *out;
    struct prng prng;
    struct node *node;
    struct sim_queue queue;
    uint64_t now_us;
    uint32_t alive, mourned; /* mourned: victims that all hold dead */
    bool counting;
    uint64_t packets, bytes;
    struct swim_effects fx;
    struct wire_swim_records scratch;
    struct buf encoded;
};

/* --- names --- */

static struct swim_id id_of(uint32_t i)
{
    struct swim_id id;

    store_u32le(id.b, i + 1);
    store_u32le(id.b + 4, (uint32_t)hash64_mix(i, 1));
    store_u64le(id.b + 8, hash64_mix(i, 2));
    return id;
}

static uint32_t number_of(const struct swim_id *id)
{
    return load_u32le(id->b) - 1; /* zero, anybody: NONE */
}

static struct swim_addr addr_of(uint32_t i)
{
    struct swim_addr a = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 10}, .port = 7946};

    a.ip[13] = (uint8_t)(i >> 16);
    a.ip[14] = (uint8_t)(i >> 8);
    a.ip[15] = (uint8_t)i;
    return a;
}

static uint32_t at_addr(const struct swim_addr *a)
{
    return (uint32_t)a->ip[13] << 16 | (uint32_t)a->ip[14] << 8 | a->ip[15];
}

/* --- who hears whom --- */

static bool are_apart(const struct world *w, uint32_t a, uint32_t b)
{
    const struct sim_gossip_world *o = &w->setup->world;
    uint64_t since_us = w->now_us < WARM_UP_US ? 0 : w->now_us - WARM_UP_US;

    return w->node[a].cut != w->node[b].cut && w->now_us >= WARM_UP_US &&
           since_us >= o->cut_from_us && since_us < o->cut_until_us;
}

static void send(struct world *w, uint32_t from, const struct swim_effect *e)
{
    const struct sim_gossip_world *o = &w->setup->world;
    uint32_t to = at_addr(&e->u.send.addr);
    bool stream = e->kind == SWIM_SEND_STREAM;
    struct packet *p;
    uint64_t delay;

    w->encoded.len = 0;
    wire_put_swim(&w->encoded, &e->u.send.msg);
    if (!stream) {
        CHECK(w->encoded.len <= w->setup->cfg.packet_bytes_max);
        w->packets += w->counting;
        w->bytes += w->counting ? w->encoded.len : 0;
        if (prng_chance(&w->prng, o->loss_ppm, PPM)) {
            return;
        }
    }
    p = mem_alloc(sizeof *p + w->encoded.len);
    *p = (struct packet){from, to, stream, (uint32_t)w->encoded.len};
    memcpy(p->data, w->encoded.data, w->encoded.len);
    delay = prng_between(&w->prng, o->latency_us_min, o->latency_us_max) + w->node[from].slow_us +
            w->node[to].slow_us;
    sim_queue_push(&w->queue, w->now_us + delay, NULL, (uint64_t)DELIVER << 32 | to,
                   (uint64_t)(uintptr_t)p);
}

/* --- what is judged --- */

static void stage(struct world *w, struct node *victim, enum sim_gossip_stage stage)
{
    if (victim->after_us[stage] == SIM_GOSSIP_NEVER) {
        victim->after_us[stage] = w->now_us - victim->crashed_us;
        w->mourned += stage == SIM_GOSSIP_DEAD_ALL;
    }
}

/* By those who are left. */
static void judge_mourners(struct world *w, struct node *victim)
{
    if (victim->mourners > 0) {
        stage(w, victim, SIM_GOSSIP_DEAD);
    }
    if (victim->mourners * 100ULL >= w->alive * 99ULL) {
        stage(w, victim, SIM_GOSSIP_DEAD_MOST);
    }
    if (victim->mourners == w->alive) {
        stage(w, victim, SIM_GOSSIP_DEAD_ALL);
    }
}

static void false_death(struct world *w, uint32_t observer, uint32_t about)
{
    struct node *n = &w->node[about];
    struct swim_id id = id_of(about);
    struct swim_record r;

    w->out->false_views++;
    w->out->false_views_well += !n->slow;
    if (swim_find(w->node[observer].swim, &id, &r) && r.incarnation > n->buried) {
        n->buried = r.incarnation;
        w->out->false_deaths++;
        w->out->false_deaths_well += !n->slow;
    }
}

static void judge_change(struct world *w, uint32_t observer, const struct swim_effect *e)
{
    uint32_t about = number_of(&e->u.changed.id);
    enum swim_state was = e->u.changed.was, is = e->u.changed.is;
    struct node *n = &w->node[about];
    bool mourned = was == SWIM_DEAD, mourns = is == SWIM_DEAD;

    n->mourners = n->mourners + mourns - mourned;
    if (n->swim == NULL) {
        if (is == SWIM_SUSPECT) {
            stage(w, n, SIM_GOSSIP_SUSPECTED);
        }
        judge_mourners(w, n);
    } else if (mourns && !mourned && w->counting && !are_apart(w, observer, about)) {
        false_death(w, observer, about);
    }
}

static void judge_send(struct world *w, const struct swim_effect *e)
{
    uint32_t to = number_of(&e->u.send.msg.to);

    if (e->u.send.msg.kind == SWIM_PING && to != NONE && w->node[to].swim == NULL) {
        stage(w, &w->node[to], SIM_GOSSIP_PROBED);
    }
}

/* --- turns --- */

static void run_effects(struct world *w, uint32_t i)
{
    struct node *n = &w->node[i];
    uint64_t at_us;

    for (uint32_t k = 0; k < w->fx.count; k++) {
        const struct swim_effect *e = &w->fx.at[k];

        switch (e->kind) {
        case SWIM_SEND:
            judge_send(w, e);
            send(w, i, e);
            break;
        case SWIM_SEND_STREAM:
            send(w, i, e);
            break;
        case SWIM_PERSIST:
            sim_queue_push(&w->queue, w->now_us + PERSIST_US, NULL, (uint64_t)DURABLE << 32 | i,
                           e->u.limit);
            break;
        case SWIM_CHANGED:
            judge_change(w, i, e);
            break;
        case SWIM_GONE: /* nobody leaves here */
            break;
        }
    }
    swim_effects_clear(&w->fx);
    at_us = swim_deadline_us(n->swim);
    if (at_us < n->tick_at_us) {
        n->tick_at_us = at_us;
        sim_queue_push(&w->queue, at_us > w->now_us ? at_us : w->now_us, NULL,
                       (uint64_t)TICK << 32 | i, at_us);
    }
}

static void on_packet(struct world *w, struct packet *p)
{
    struct swim_addr from = addr_of(p->from);
    struct swim_msg m;

    if (w->node[p->to].swim != NULL && !are_apart(w, p->from, p->to)) {
        CHECK(wire_get_swim((struct slice){p->data, p->bytes}, &m, &w->scratch) == ERR_OK);
        /* What comes before its own limit is durable is refused, as a driver's would be. */
        enum err err = swim_step(w->node[p->to].swim, w->now_us, &m, &from, &w->fx);

        CHECK(err == ERR_OK || err == ERR_STOPPED);
        run_effects(w, p->to);
    }
    mem_free(p);
}

static void crash(struct world *w, uint32_t i)
{
    struct node *n = &w->node[i];

    /* What it held of others dies with it. */
    for (uint32_t other = 0; other < w->setup->world.nodes; other++) {
        struct swim_id id = id_of(other);
        struct swim_record r;

        if (other != i && swim_find(n->swim, &id, &r) && r.state == SWIM_DEAD) {
            w->node[other].mourners--;
        }
    }
    swim_destroy(n->swim);
    n->swim = NULL;
    n->crashed_us = w->now_us;
    w->alive--;
    for (uint32_t other = 0; other < w->setup->world.nodes; other++) {
        if (w->node[other].swim == NULL) {
            judge_mourners(w, &w->node[other]);
        }
    }
}

/* Asleep for a while, then awake for one of the same length: all that came meanwhile is there at
 * once, in its order. */
static void sleep_and_wake(struct world *w, uint32_t i)
{
    const struct sim_gossip_world *o = &w->setup->world;
    struct node *n = &w->node[i];

    n->awake_at_us = w->now_us + prng_between(&w->prng, o->slow_us_min, o->slow_us_max);
    sim_queue_push(&w->queue,
                   n->awake_at_us + prng_between(&w->prng, o->slow_us_min, o->slow_us_max) + 1,
                   NULL, (uint64_t)SLEEP << 32 | i, 0);
}

static void happen(struct world *w, const struct sim_event *e)
{
    uint32_t i = (uint32_t)e->a;
    struct node *n = &w->node[i];
    enum event_kind kind = (enum event_kind)(e->a >> 32);

    if (w->now_us < n->awake_at_us && kind != CRASH) {
        sim_queue_push(&w->queue, n->awake_at_us, NULL, e->a, e->b);
        return;
    }
    switch (kind) {
    case TICK:
        if (n->swim != NULL && n->tick_at_us == e->b) {
            n->tick_at_us = SIM_GOSSIP_NEVER;
            swim_tick(n->swim, w->now_us, &w->fx);
            run_effects(w, i);
        }
        return;
    case DELIVER:
        on_packet(w, (struct packet *)(uintptr_t)e->b);
        return;
    case DURABLE:
        if (n->swim != NULL) {
            swim_durable(n->swim, w->now_us, e->b, &w->fx);
            run_effects(w, i);
        }
        return;
    case CRASH:
        crash(w, i);
        return;
    case SLEEP:
        sleep_and_wake(w, i);
        return;
    }
}

static void run_until(struct world *w, uint64_t end_us)
{
    struct sim_event e;

    /* The end is an event too: nothing beyond it is popped. */
    sim_queue_push(&w->queue, end_us, NULL, (uint64_t)CRASH << 32, SIM_GOSSIP_NEVER);
    while (sim_queue_pop(&w->queue, &e)) {
        w->now_us = e.at_us;
        if (e.a >> 32 == CRASH && e.b == SIM_GOSSIP_NEVER) {
            return;
        }
        happen(w, &e);
    }
}

/* --- a cluster that knows itself --- */

static void start(struct world *w, uint32_t i)
{
    struct swim_config cfg = w->setup->cfg;

    cfg.self = id_of(i);
    cfg.addr = addr_of(i);
    cfg.seed = prng_next(&w->prng);
    cfg.seed_count = 1;
    cfg.seeds[0] = addr_of(i == 0 ? 1 : 0);
    w->node[i].tick_at_us = SIM_GOSSIP_NEVER;
    w->node[i].swim = swim_create(&cfg, w->now_us, &w->fx);
    /* Its limit is durable at once, so that it can hear who is there. */
    CHECK(w->fx.count == 1 && w->fx.at[0].kind == SWIM_PERSIST);
    swim_durable(w->node[i].swim, w->now_us, w->fx.at[0].u.limit, &w->fx);
    w->fx.at[0] = w->fx.at[--w->fx.count];
    run_effects(w, i);
}

/* Everyone gets the view of one who has heard of all, as it would by joining. */
static void introduce(struct world *w)
{
    uint32_t n = w->setup->world.nodes;
    struct swim_record *all = mem_zalloc(n * sizeof all[0]);

    for (uint32_t i = 0; i < n; i++) {
        struct swim_id id = id_of(i);

        CHECK(swim_find(w->node[i].swim, &id, &all[i]));
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t teller = i == 0 ? 1 : 0;
        struct swim_addr addr = addr_of(teller);
        struct swim_msg m = {.kind = SWIM_STATE,
                             .from = id_of(teller),
                             .to = id_of(i),
                             .last = true,
                             .record_count = n,
                             .records = all};

        CHECK(swim_step(w->node[i].swim, w->now_us, &m, &addr, &w->fx) == ERR_OK);
        run_effects(w, i);
    }
    mem_free(all);
}

static void draw_slow(struct world *w, uint32_t i)
{
    const struct sim_gossip_world *o = &w->setup->world;
    struct node *n = &w->node[i];

    n->slow = true;
    if (o->slow_sleeps) {
        sim_queue_push(&w->queue, WARM_UP_US + prng_below(&w->prng, o->slow_us_max + 1), NULL,
                       (uint64_t)SLEEP << 32 | i, 0);
    } else {
        n->slow_us = prng_between(&w->prng, o->slow_us_min, o->slow_us_max);
    }
}

/* Exactly the share that was asked for, so that runs compare. */
static void draw_roles(struct world *w)
{
    const struct sim_gossip_world *o = &w->setup->world;
    uint32_t slow = (uint32_t)((uint64_t)o->nodes * o->slow_ppm / PPM), left = w->setup->crashes;

    CHECK(slow + left < o->nodes);
    while (slow > 0) {
        uint32_t i = (uint32_t)prng_below(&w->prng, o->nodes);

        if (!w->node[i].slow) {
            draw_slow(w, i);
            slow--;
        }
    }
    while (left > 0) {
        uint32_t i = (uint32_t)prng_below(&w->prng, o->nodes);

        if (!w->node[i].slow && !w->node[i].victim) {
            w->node[i].victim = true;
            sim_queue_push(&w->queue, WARM_UP_US + prng_below(&w->prng, w->setup->time_us), NULL,
                           (uint64_t)CRASH << 32 | i, 0);
            left--;
        }
    }
    for (uint32_t i = 0; i < o->nodes; i++) {
        w->node[i].cut = prng_chance(&w->prng, o->cut_ppm, PPM);
        for (int k = 0; k < SIM_GOSSIP_STAGES; k++) {
            w->node[i].after_us[k] = SIM_GOSSIP_NEVER;
        }
    }
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void sum_up(struct world *w)
{
    struct sim_gossip_detect *out = w->out;
    uint32_t n = w->setup->world.nodes, crashes = 0;
    double member_s = (double)w->setup->time_us / 1e6 * n;

    for (int k = 0; k < SIM_GOSSIP_STAGES; k++) {
        out->after_us[k] = mem_alloc((w->setup->crashes + 1) * sizeof out->after_us[0][0]);
        crashes = 0;
        for (uint32_t i = 0; i < n; i++) {
            if (w->node[i].victim) {
                out->after_us[k][crashes++] = w->node[i].after_us[k];
            }
        }
        qsort(out->after_us[k], crashes, sizeof out->after_us[0][0], by_size);
    }
    out->crashes = crashes;
    out->packets_per_s = (double)w->packets / member_s;
    out->bytes_per_s = (double)w->bytes / member_s;
}

/* Of those who stay up, while it counts: what their engines have counted before is taken off. */
static void sum_stats(struct world *w, bool begin)
{
    for (uint32_t i = 0; i < w->setup->world.nodes; i++) {
        const struct node *n = &w->node[i];

        if (n->swim != NULL && !n->victim) {
            uint64_t failed = swim_stats(n->swim)->probes_failed;
            uint64_t refuted = swim_stats(n->swim)->refutations;

            w->out->failed_probes += begin ? 0 - failed : failed;
            w->out->refutations += begin ? 0 - refuted : refuted;
        }
    }
}

static void free_world(struct world *w)
{
    struct sim_event e;

    while (sim_queue_pop(&w->queue, &e)) {
        if (e.a >> 32 == DELIVER) {
            mem_free((struct packet *)(uintptr_t)e.b);
        }
    }
    for (uint32_t i = 0; i < w->setup->world.nodes; i++) {
        swim_destroy(w->node[i].swim);
    }
    sim_queue_free(&w->queue);
    swim_effects_free(&w->fx);
    wire_swim_records_free(&w->scratch);
    buf_free(&w->encoded);
    mem_free(w->node);
}

void sim_gossip_detect(const struct sim_gossip_detect_setup *setup, struct sim_gossip_detect *out)
{
    struct world w = {.setup = setup, .out = out, .prng = {setup->world.seed}};
    uint32_t n = setup->world.nodes, i = 0;
    struct swim_tuning tuning;
    uint64_t end_us = WARM_UP_US + setup->time_us, patience_us;

    CHECK(n >= 3 && n <= SIM_GOSSIP_DETECT_NODES_MAX);
    *out = (struct sim_gossip_detect){0};
    w.node = mem_zalloc(n * sizeof w.node[0]);
    w.alive = n;
    draw_roles(&w);
    for (uint32_t k = 0; k < n; k++) {
        start(&w, k);
    }
    introduce(&w);
    run_until(&w, WARM_UP_US);
    sum_stats(&w, true);
    w.counting = true;
    run_until(&w, end_us);
    w.counting = false;
    sum_stats(&w, false);
    while (w.node[i].swim == NULL) { /* crashes are fewer than members */
        i++;
    }
    swim_tuning(w.node[i].swim, &tuning);
    out->shortest_us = tuning.suspicion_us_min;
    /* Those who crashed last must become known too. */
    patience_us = 4 * tuning.suspicion_us_max + SECONDS(60);
    while (w.mourned < setup->crashes && w.now_us < end_us + patience_us) {
        run_until(&w, w.now_us + SECONDS(1));
    }
    sum_up(&w);
    free_world(&w);
}

void sim_gossip_detect_free(struct sim_gossip_detect *d)
{
    for (int k = 0; k < SIM_GOSSIP_STAGES; k++) {
        mem_free(d->after_us[k]);
    }
    *d = (struct sim_gossip_detect){0};
}
