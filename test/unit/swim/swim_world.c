#include "swim_world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { NODES_MAX = 1024, ADDR_MAX = 16 * WORLD_ADDR_STEP };

void world_finding(const struct world *w, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)fprintf(stderr, "FINDING at %.3f s: ", (double)w->now_us / 1e6);
    (void)vfprintf(stderr, fmt, args);
    (void)fputc('\n', stderr);
    va_end(args);
    exit(1);
}

struct swim_id world_id(uint32_t number)
{
    struct swim_id id = {{0}};

    store_u32le(id.b, number);
    return id;
}

uint32_t world_number(const struct swim_id *id)
{
    return load_u32le(id->b);
}

struct swim_addr world_addr(uint32_t addr)
{
    struct swim_addr a = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 10}, .port = 7946};

    a.ip[13] = (uint8_t)(addr >> 16);
    a.ip[14] = (uint8_t)(addr >> 8);
    a.ip[15] = (uint8_t)addr;
    return a;
}

uint32_t world_addr_number(const struct swim_addr *a)
{
    return (uint32_t)a->ip[13] << 16 | (uint32_t)a->ip[14] << 8 | a->ip[15];
}

struct world *world_create(uint64_t seed)
{
    struct world *w = MEM_NEW(struct world);

    swim_config_default(&w->cfg);
    w->prng.state = seed;
    w->now_us = 1000000;
    w->latency_us_min = w->latency_us_max = 1000;
    w->check_every = 1;
    w->nodes = mem_zalloc(NODES_MAX * sizeof w->nodes[0]);
    w->owner_cap = ADDR_MAX;
    w->owners = mem_zalloc(ADDR_MAX * sizeof w->owners[0]);
    return w;
}

void world_destroy(struct world *w)
{
    if (w == NULL) {
        return;
    }
    for (uint32_t i = 0; i < w->event_count; i++) {
        mem_free((void *)w->events[i].bytes.data);
    }
    for (uint32_t i = 0; i < w->count; i++) {
        swim_destroy(w->nodes[i].swim);
        mem_free(w->nodes[i].buried);
        mem_free(w->nodes[i].probed);
    }
    swim_effects_free(&w->fx);
    wire_swim_records_free(&w->scratch);
    mem_free(w->events);
    mem_free(w->nodes);
    mem_free(w->owners);
    mem_free(w);
}

struct world_node *world_node(struct world *w, uint32_t number)
{
    return number == 0 || number > w->count ? NULL : &w->nodes[number - 1];
}

struct world_node *world_add(struct world *w)
{
    struct world_node *n = &w->nodes[w->count++];

    CHECK(w->count < NODES_MAX);
    *n = (struct world_node){.number = w->count, .addr = w->count, .persist_us = 2000};
    n->buried = mem_zalloc(NODES_MAX * sizeof n->buried[0]);
    n->probed = mem_zalloc(NODES_MAX * sizeof n->probed[0]);
    return n;
}

/* --- events --- */

static bool before(const struct world_event *a, const struct world_event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void push(struct world *w, struct world_event e)
{
    uint32_t at = w->event_count++;

    if (w->event_count > w->event_cap) {
        w->event_cap = w->event_cap == 0 ? 256 : 2 * w->event_cap;
        w->events = mem_realloc(w->events, w->event_cap * sizeof w->events[0]);
    }
    e.order = w->event_order++;
    for (; at > 0 && before(&e, &w->events[(at - 1) / 2]); at = (at - 1) / 2) {
        w->events[at] = w->events[(at - 1) / 2];
    }
    w->events[at] = e;
}

static struct world_event pop(struct world *w)
{
    struct world_event first = w->events[0], last = w->events[--w->event_count];
    uint32_t at = 0;

    for (;;) {
        uint32_t child = 2 * at + 1;

        if (child + 1 < w->event_count && before(&w->events[child + 1], &w->events[child])) {
            child++;
        }
        if (child >= w->event_count || !before(&w->events[child], &last)) {
            break;
        }
        w->events[at] = w->events[child];
        at = child;
    }
    w->events[at] = last;
    return first;
}

/* --- judges --- */

/* What a node says of itself must be below what it has made durable. */
static void judge_spoken(struct world *w, struct world_node *n, const struct swim_msg *m)
{
    for (uint32_t i = 0; i < m->record_count; i++) {
        const struct swim_record *r = &m->records[i];

        if (world_number(&r->id) != n->number) {
            continue;
        }
        if (r->incarnation > n->persisted) {
            world_finding(w, "%u speaks incarnation %llu, durable is %llu", n->number,
                          (unsigned long long)r->incarnation, (unsigned long long)n->persisted);
        }
        n->spoken = r->incarnation > n->spoken ? r->incarnation : n->spoken;
    }
}

/* The buddy system: who is suspect or dead to me reads that first. */
static void judge_buddy(struct world *w, struct world_node *n, const struct swim_msg *m)
{
    enum swim_state state = world_state(n, world_number(&m->to));

    if (swim_msg_is_stream(m->kind) || state == SWIM_UNKNOWN || state == SWIM_ALIVE) {
        return;
    }
    if (m->record_count == 0 || !swim_id_eq(&m->records[0].id, &m->to)) {
        world_finding(w, "%u sends %s to %u, which it holds %s, and does not say so first",
                      n->number, swim_msg_name(m->kind), world_number(&m->to),
                      swim_state_name(state));
    }
}

/* Between two probes of a member lie at most 2n - 2 of others [SWIM s4.3]. */
static void judge_fairness(struct world *w, struct world_node *n, const struct swim_msg *m)
{
    uint64_t probe = swim_stats(n->swim)->probes, bound = 2ULL * (w->count - 1) - 1;
    uint64_t *last = &n->probed[world_number(&m->to)];

    if (m->kind != SWIM_PING || !w->judge_fairness) {
        return;
    }
    *last = probe;
    for (uint32_t i = 1; i <= w->count; i++) {
        if (i != n->number && probe - n->probed[i] > bound) {
            world_finding(w, "%u has made %llu probes without one of %u; the bound is %llu",
                          n->number, (unsigned long long)(probe - n->probed[i]), i,
                          (unsigned long long)bound);
        }
    }
}

/* In one life of an observer nobody rises from the dead but by a higher incarnation. */
static void judge_change(struct world *w, struct world_node *n, const struct swim_effect *e)
{
    struct swim_record r;
    uint32_t about = world_number(&e->u.changed.id);

    if (!swim_find(n->swim, &e->u.changed.id, &r)) {
        return;
    }
    if (r.state == SWIM_DEAD || r.state == SWIM_LEFT) {
        n->buried[about] = r.incarnation > n->buried[about] ? r.incarnation : n->buried[about];
    } else if (r.incarnation <= n->buried[about]) {
        world_finding(w, "%u holds %u %s in incarnation %llu and has buried %llu", n->number, about,
                      swim_state_name(r.state), (unsigned long long)r.incarnation,
                      (unsigned long long)n->buried[about]);
    }
}

/* --- the network --- */

static bool passes(struct world *w, uint32_t from_addr, const struct world_node *to, bool stream)
{
    const struct world_node *from = world_node(w, w->owners[from_addr]);

    if (to == NULL || to->swim == NULL || from == NULL || from->side != to->side) {
        return false;
    }
    if (from->number < 32 && to->number < 32 && w->cut[from->number][to->number]) {
        return false;
    }
    return stream ? !from->stream_dead && !to->stream_dead
                  : !from->packets_dead && !to->packets_dead;
}

static void send(struct world *w, struct world_node *n, const struct swim_effect *e)
{
    bool stream = e->kind == SWIM_SEND_STREAM;
    struct buf b = {0};
    uint32_t to_addr = world_addr_number(&e->u.send.addr);
    const struct world_node *to = world_node(w, w->owners[to_addr]);

    judge_spoken(w, n, &e->u.send.msg);
    judge_buddy(w, n, &e->u.send.msg);
    judge_fairness(w, n, &e->u.send.msg);
    wire_put_swim(&b, &e->u.send.msg);
    if (stream) {
        n->stream_bytes += b.len;
    } else {
        n->packets++;
        n->packet_bytes += b.len;
        n->rumours += e->u.send.msg.record_count;
        if (b.len > n->cfg.packet_bytes_max) {
            world_finding(w, "%u sends a packet of %zu bytes", n->number, b.len);
        }
    }
    if (!stream && prng_chance(&w->prng, w->loss_ppm, 1000000)) {
        buf_free(&b);
        return;
    }
    push(w, (struct world_event){
                .at_us = w->now_us + prng_between(&w->prng, w->latency_us_min, w->latency_us_max) +
                         n->slow_us + (to == NULL ? 0 : to->slow_us),
                .kind = WORLD_DELIVER,
                .from_addr = n->addr,
                .to_addr = to_addr,
                .stream = stream,
                .bytes = {b.data, b.len},
            });
}

/* Carry out what the engine asked for in this turn, then look at it. */
static void run_effects(struct world *w, struct world_node *n)
{
    uint64_t at;

    for (uint32_t i = 0; i < w->fx.count; i++) {
        const struct swim_effect *e = &w->fx.at[i];

        if (w->on_effect != NULL && !n->silent) {
            w->on_effect(w, n, e);
        }
        switch (e->kind) {
        case SWIM_SEND:
        case SWIM_SEND_STREAM:
            send(w, n, e);
            break;
        case SWIM_PERSIST:
            push(w, (struct world_event){.at_us = w->now_us + n->persist_us,
                                         .kind = WORLD_DURABLE,
                                         .node = n->number,
                                         .life = n->life,
                                         .limit = e->u.limit});
            break;
        case SWIM_CHANGED:
            judge_change(w, n, e);
            break;
        case SWIM_GONE:
            n->left = true;
            break;
        }
    }
    swim_effects_clear(&w->fx);
    if (++w->turns % w->check_every == 0) {
        swim_check(n->swim);
    }
    if (n->left) {
        world_crash(w, n);
        return;
    }
    at = swim_deadline_us(n->swim);
    if (at < n->tick_at_us) {
        n->tick_at_us = at;
        push(w, (struct world_event){
                    .at_us = at, .kind = WORLD_TICK, .node = n->number, .life = n->life});
    }
}

void world_tick(struct world *w, struct world_node *n)
{
    n->tick_at_us = UINT64_MAX;
    swim_tick(n->swim, w->now_us, &w->fx);
    run_effects(w, n);
}

void world_receive(struct world *w, struct world_node *n, const struct swim_msg *m,
                   uint32_t from_addr)
{
    struct swim_addr addr = world_addr(from_addr);
    enum err err = swim_step(n->swim, w->now_us, m, &addr, &w->fx);

    CHECK(err == ERR_OK || err == ERR_MISROUTED || err == ERR_STOPPED || err == ERR_BAD_INPUT);
    run_effects(w, n);
}

static void deliver(struct world *w, const struct world_event *e)
{
    struct world_node *to = world_node(w, w->owners[e->to_addr]);
    struct swim_msg m;

    if (passes(w, e->from_addr, to, e->stream)) {
        CHECK(wire_get_swim(e->bytes, &m, &w->scratch) == ERR_OK);
        world_receive(w, to, &m, e->from_addr);
    }
    mem_free((void *)e->bytes.data);
}

static void happen(struct world *w, const struct world_event *e)
{
    struct world_node *n = world_node(w, e->node);

    switch (e->kind) {
    case WORLD_DELIVER:
        deliver(w, e);
        return;
    case WORLD_TICK:
        if (n->swim != NULL && n->life == e->life && e->at_us == n->tick_at_us) {
            world_tick(w, n);
        }
        return;
    case WORLD_DURABLE:
        if (n->swim != NULL && n->life == e->life) {
            n->persisted = e->limit > n->persisted ? e->limit : n->persisted;
            swim_durable(n->swim, w->now_us, e->limit, &w->fx);
            run_effects(w, n);
        }
        return;
    }
}

void world_run(struct world *w, uint64_t us)
{
    uint64_t end = w->now_us + us;

    while (w->event_count > 0 && w->events[0].at_us <= end) {
        struct world_event e = pop(w);

        w->now_us = e.at_us > w->now_us ? e.at_us : w->now_us;
        happen(w, &e);
    }
    w->now_us = end;
}

/* --- lives --- */

void world_start(struct world *w, struct world_node *n, uint32_t seed)
{
    CHECK(n->swim == NULL);
    n->cfg = w->cfg;
    n->cfg.self = world_id(n->number);
    n->cfg.addr = world_addr(n->addr);
    n->cfg.meta_len = 4;
    store_u32le(n->cfg.meta, n->number);
    n->cfg.incarnation_limit = n->persisted;
    n->cfg.seed = prng_next(&w->prng);
    if (seed != 0) {
        n->cfg.seeds[n->cfg.seed_count++] = world_addr(world_node(w, seed)->addr);
    }
    if (seed > 1 && n->number != 1) { /* and of the first, which stays where it is */
        n->cfg.seeds[n->cfg.seed_count++] = world_addr(world_node(w, 1)->addr);
    }
    n->life++;
    n->left = false;
    n->tick_at_us = UINT64_MAX;
    w->owners[n->addr] = n->number;
    memset(n->buried, 0, NODES_MAX * sizeof n->buried[0]);
    n->swim = swim_create(&n->cfg, w->now_us, &w->fx);
    run_effects(w, n);
}

void world_crash(struct world *w, struct world_node *n)
{
    swim_destroy(n->swim);
    n->swim = NULL;
    w->owners[n->addr] = n->number; /* nobody takes it over */
}

void world_leave(struct world *w, struct world_node *n)
{
    swim_leave(n->swim, w->now_us, &w->fx);
    run_effects(w, n);
}

void world_move(struct world *w, struct world_node *n)
{
    struct swim_addr addr;

    w->owners[n->addr] = 0;
    n->addr += WORLD_ADDR_STEP;
    CHECK(n->addr < w->owner_cap);
    w->owners[n->addr] = n->number;
    addr = world_addr(n->addr);
    if (n->swim != NULL) {
        swim_set_self(n->swim, w->now_us, &addr, (struct slice){n->cfg.meta, n->cfg.meta_len},
                      &w->fx);
        run_effects(w, n);
    }
}

void world_link_failed(struct world *w, struct world_node *n, uint32_t about)
{
    struct swim_id id = world_id(about);

    swim_link_failed(n->swim, w->now_us, &id, &w->fx);
    run_effects(w, n);
}

void world_greet(struct world *w, struct world_node *n, uint32_t whom)
{
    struct swim_id id = world_id(whom);

    swim_greet(n->swim, w->now_us, &id, &w->fx);
    run_effects(w, n);
}

void world_forget(struct world *w, struct world_node *n, uint32_t whom)
{
    struct swim_id id = world_id(whom);

    swim_forget(n->swim, w->now_us, &id, &w->fx);
    run_effects(w, n);
}

enum swim_state world_state(const struct world_node *n, uint32_t about)
{
    struct swim_id id = world_id(about);
    struct swim_record r;

    return swim_find(n->swim, &id, &r) ? r.state : SWIM_UNKNOWN;
}

static bool is_true(const struct world *w, const struct swim_record *r)
{
    const struct world_node *about = &w->nodes[world_number(&r->id) - 1];

    if (r->state == SWIM_DEAD || r->state == SWIM_LEFT) {
        return about->swim == NULL;
    }
    return r->state == SWIM_ALIVE && about->swim != NULL &&
           world_addr_number(&r->addr) == about->addr && r->meta_len == 4 &&
           load_u32le(r->meta) == about->number;
}

bool world_agrees(const struct world *w)
{
    uint32_t up = 0;

    for (uint32_t i = 0; i < w->count; i++) {
        up += w->nodes[i].swim != NULL;
    }
    for (uint32_t i = 0; i < w->count; i++) {
        const struct world_node *n = &w->nodes[i];
        struct swim_record r;

        if (n->swim == NULL) {
            continue;
        }
        if (swim_count(n->swim, SWIM_ALIVE) != up) {
            return false;
        }
        for (uint32_t pos = 0; swim_each(n->swim, &pos, &r);) {
            if (!is_true(w, &r)) {
                return false;
            }
        }
    }
    return true;
}

void world_explain(const struct world *w)
{
    for (uint32_t i = 0; i < w->count; i++) {
        const struct world_node *n = &w->nodes[i];
        struct swim_record r;

        if (n->swim == NULL) {
            continue;
        }
        (void)fprintf(stderr, "%u addr %u life %u:", n->number, n->addr, n->life);
        for (uint32_t k = 1; k <= w->count; k++) {
            if (w->nodes[k - 1].swim != NULL && world_state(n, k) == SWIM_UNKNOWN) {
                (void)fprintf(stderr, " misses %u;", k);
            }
        }
        for (uint32_t pos = 0; swim_each(n->swim, &pos, &r);) {
            if (!is_true(w, &r)) {
                (void)fprintf(stderr, " %u %s incarnation %llu addr %u;", world_number(&r.id),
                              swim_state_name(r.state), (unsigned long long)r.incarnation,
                              world_addr_number(&r.addr));
            }
        }
        (void)fputc('\n', stderr);
    }
}
