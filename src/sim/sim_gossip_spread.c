/* The spread of one rumour: who knows, whom they choose, what arrives. */
#include "sim/sim_gossip.h"

#include "base/base_mem.h"
#include "sim/sim_queue.h"

enum {
    PPM = 1000000,
    SAMPLES = 64, /* probes that a member has behind it when the rumour begins */
    STEPS_PER_INTERVAL = 10,
    PICKS = 32, /* remembered of one member's choices, at first */
};

enum packet_kind { TICK, CALL, ANSWER };
/* What a packet says, in the lowest bits of its event. */
enum { CARRIES = 1, KNOWS = 2, FLAG_BITS = 2 }; /* the rumour; that its sender needs none */

struct member {
    bool knows, fresh; /* fresh: since this round, and tells from the next on */
    bool cut;
    uint8_t fanout, limit, sent;
    uint64_t interval_us, slow_us;
};

struct spread {
    const struct sim_gossip_spread_setup *setup;
    struct sim_gossip_spread *out;
    struct prng prng;
    struct member *member;
    uint32_t *known;  /* by number, in the order of learning */
    uint32_t tellers; /* who know and are not tired */
    uint64_t now_us;
    size_t head_bytes, record_bytes;
    struct sim_queue queue;
    uint32_t pending; /* packets under way */
    /* with turns: whom each has chosen in this turn */
    uint32_t *picks, *picked;
    uint32_t picks_cap;
};

const char *sim_gossip_mode_name(enum sim_gossip_mode mode)
{
    static const char *const names[] = {"push", "pull", "push-pull"};

    return mode < SIM_GOSSIP_MODES ? names[mode] : "?";
}

/* --- whom --- */

static bool was_picked(const struct spread *s, uint32_t who, uint32_t other)
{
    const uint32_t *picks = s->picks + (size_t)who * s->picks_cap;

    for (uint32_t i = 0; i < s->picked[who]; i++) {
        if (picks[i] == other) {
            return true;
        }
    }
    return false;
}

static void remember(struct spread *s, uint32_t who, uint32_t other)
{
    uint32_t cap = s->picks_cap;

    if (s->picked[who] == cap) {
        uint32_t *wider = mem_alloc((size_t)s->setup->world.nodes * 2 * cap * sizeof wider[0]);

        for (uint32_t i = 0; i < s->setup->world.nodes; i++) {
            memcpy(wider + (size_t)i * 2 * cap, s->picks + (size_t)i * cap,
                   s->picked[i] * sizeof wider[0]);
        }
        mem_free(s->picks);
        s->picks = wider;
        s->picks_cap = 2 * cap;
    }
    s->picks[(size_t)who * s->picks_cap + s->picked[who]++] = other;
}

/* Uniform among the others; with turns, among those who have not been chosen in this turn. */
static uint32_t choose(struct spread *s, uint32_t who)
{
    uint32_t n = s->setup->world.nodes, other;

    if (s->setup->turns && s->picked[who] == n - 1) {
        s->picked[who] = 0;
    }
    do {
        other = (uint32_t)prng_below(&s->prng, n - 1);
        other += other >= who;
    } while (s->setup->turns && was_picked(s, who, other));
    if (s->setup->turns) {
        remember(s, who, other);
    }
    return other;
}

/* --- what arrives --- */

static bool arrives(struct spread *s, uint32_t from, uint32_t to)
{
    const struct sim_gossip_world *w = &s->setup->world;
    bool apart = s->member[from].cut != s->member[to].cut && s->now_us >= w->cut_from_us &&
                 s->now_us < w->cut_until_us;

    return !prng_chance(&s->prng, w->loss_ppm, PPM) && !apart;
}

static void count_packet(struct spread *s, bool rumour)
{
    s->out->packets++;
    s->out->rumours += rumour;
    s->out->bytes += s->head_bytes + (rumour ? s->record_bytes : 0);
}

/* One more packet with the rumour by one who knows; false: it is tired of telling. */
static bool tell(struct spread *s, uint32_t who)
{
    struct member *m = &s->member[who];

    if (!m->knows || m->fresh || (!s->setup->untiring && m->sent >= m->limit)) {
        return false;
    }
    if (!s->setup->untiring && ++m->sent == m->limit) {
        s->tellers--;
    }
    return true;
}

static uint64_t mark_of(const struct spread *s)
{
    return s->setup->timed ? s->now_us : s->now_us / s->setup->interval_us + 1;
}

/* The curve up to now; what was learned at this moment is not in it yet. */
static void draw_curve(struct spread *s, uint32_t step)
{
    struct sim_gossip_spread *out = s->out;

    while (out->steps < step) {
        if ((out->steps & (out->steps - 1)) == 0) {
            out->curve =
                mem_realloc(out->curve, (size_t)(2 * out->steps + 2) * sizeof out->curve[0]);
        }
        out->curve[out->steps++] = out->reached;
    }
}

static void learn(struct spread *s, uint32_t who)
{
    uint32_t n = s->setup->world.nodes;
    struct member *m = &s->member[who];
    const uint32_t want[SIM_GOSSIP_SHARES] = {(n + 1) / 2,
                                              (uint32_t)(((uint64_t)n * 99 + 99) / 100), n};

    if (m->knows) {
        return;
    }
    m->knows = true;
    m->fresh = !s->setup->timed;
    s->known[s->out->reached++] = who;
    s->tellers++;
    for (int share = 0; share < SIM_GOSSIP_SHARES; share++) {
        if (s->out->reached == want[share]) {
            s->out->at[share] = mark_of(s);
        }
    }
}

/* --- rounds: all call at once, by what they knew when the round began --- */

static void call_in_round(struct spread *s, uint32_t from)
{
    enum sim_gossip_mode mode = s->setup->mode;
    uint32_t to = choose(s, from);
    bool told = mode != SIM_GOSSIP_PULL && tell(s, from), answered;

    count_packet(s, told);
    if (!arrives(s, from, to)) {
        return;
    }
    if (told) {
        learn(s, to);
    }
    if (mode == SIM_GOSSIP_PUSH) {
        return;
    }
    /* Who asks says what it knows, and is sent only what it lacks. */
    answered = (!s->member[from].knows || s->member[from].fresh) && tell(s, to);
    count_packet(s, answered);
    if (answered && arrives(s, to, from)) {
        learn(s, from);
    } else if (!answered) {
        (void)arrives(s, to, from); /* the same dice, whatever it carries */
    }
}

static void one_round(struct spread *s)
{
    bool all_call = s->setup->mode != SIM_GOSSIP_PUSH;
    uint32_t known = s->out->reached, callers = all_call ? s->setup->world.nodes : known;

    for (uint32_t i = 0; i < callers; i++) {
        uint32_t who = all_call ? i : s->known[i];
        const struct member *m = &s->member[who];

        for (uint32_t call = 0; call < m->fanout; call++) {
            if (all_call || s->setup->untiring || m->sent < m->limit) {
                call_in_round(s, who);
            }
        }
    }
    for (uint32_t i = known; i < s->out->reached; i++) {
        s->member[s->known[i]].fresh = false;
    }
}

static bool is_over(const struct spread *s)
{
    return s->out->reached == s->setup->world.nodes || (s->tellers == 0 && s->pending == 0);
}

static void run_rounds(struct spread *s)
{
    s->member[s->known[0]].fresh = false;
    for (uint32_t round = 0; round < SIM_GOSSIP_ROUNDS_MAX && !is_over(s); round++) {
        s->now_us = round * s->setup->interval_us;
        one_round(s);
        draw_curve(s, round + 2);
    }
}

/* --- time: everyone has a clock, packets are under way --- */

static void send(struct spread *s, uint64_t kind, uint32_t from, uint64_t to_and_flags)
{
    const struct sim_gossip_world *w = &s->setup->world;
    uint32_t to = (uint32_t)(to_and_flags >> FLAG_BITS);
    uint64_t delay = prng_between(&s->prng, w->latency_us_min, w->latency_us_max) +
                     s->member[from].slow_us + s->member[to].slow_us;

    count_packet(s, (to_and_flags & CARRIES) != 0);
    if (arrives(s, from, to)) {
        s->pending++;
        sim_queue_push(&s->queue, s->now_us + delay, NULL, kind << 32 | from, to_and_flags);
    }
}

static void push_tick(struct spread *s, uint32_t who, uint64_t at_us)
{
    sim_queue_push(&s->queue, at_us, NULL, (uint64_t)TICK << 32 | who, 0);
}

static void on_tick(struct spread *s, uint32_t who)
{
    const struct member *m = &s->member[who];
    bool tells = m->knows && s->setup->mode != SIM_GOSSIP_PULL, told = tells;

    for (uint32_t call = 0; call < m->fanout && (told || s->setup->mode != SIM_GOSSIP_PUSH);
         call++) {
        told = tells && tell(s, who);
        if (told || s->setup->mode != SIM_GOSSIP_PUSH) {
            send(s, CALL, who,
                 (uint64_t)choose(s, who) << FLAG_BITS | (m->knows ? KNOWS : 0) | told);
        }
    }
    if (told || s->setup->mode != SIM_GOSSIP_PUSH) {
        push_tick(s, who, s->now_us + m->interval_us);
    }
}

static void learn_and_tick(struct spread *s, uint32_t who)
{
    if (!s->member[who].knows) {
        learn(s, who);
        if (s->setup->mode == SIM_GOSSIP_PUSH) { /* in the others the clock goes anyway */
            push_tick(s, who, s->now_us + prng_below(&s->prng, s->member[who].interval_us + 1));
        }
    }
}

static void happen(struct spread *s, const struct sim_event *e)
{
    uint32_t from = (uint32_t)e->a, to = (uint32_t)(e->b >> FLAG_BITS);
    bool told = (e->b & CARRIES) != 0, lacks = (e->b & KNOWS) == 0;

    switch ((enum packet_kind)(e->a >> 32)) {
    case TICK:
        on_tick(s, from);
        return;
    case CALL:
        s->pending--;
        if (told) {
            learn_and_tick(s, to);
        }
        if (s->setup->mode != SIM_GOSSIP_PUSH) {
            send(s, ANSWER, to, (uint64_t)from << FLAG_BITS | (lacks && tell(s, to)));
        }
        return;
    case ANSWER:
        s->pending--;
        if (told) {
            learn_and_tick(s, to);
        }
        return;
    }
}

static void run_timed(struct spread *s)
{
    uint64_t end_us = SIM_GOSSIP_ROUNDS_MAX * s->setup->interval_us;
    uint64_t step_us = s->setup->interval_us / STEPS_PER_INTERVAL;
    struct sim_event e;

    step_us = step_us == 0 ? 1 : step_us;
    for (uint32_t who = 0; who < s->setup->world.nodes; who++) {
        if (s->setup->mode != SIM_GOSSIP_PUSH || s->member[who].knows) {
            push_tick(s, who, prng_below(&s->prng, s->member[who].interval_us + 1));
        }
    }
    while (!is_over(s) && sim_queue_pop(&s->queue, &e) && e.at_us < end_us) {
        s->now_us = e.at_us;
        draw_curve(s, (uint32_t)((s->now_us + step_us - 1) / step_us));
        happen(s, &e);
    }
    draw_curve(s, (uint32_t)(s->now_us / step_us) + 2);
    sim_queue_free(&s->queue);
}

/* --- members --- */

/* What a member has measured of loss and round trips when the rumour begins: by probes, whose
 * answers are those of members chosen by chance, as the engine's are. */
static void measure(struct spread *s, struct member *m, uint32_t *loss_ppm, uint64_t *rtt_us)
{
    const struct sim_gossip_world *w = &s->setup->world;

    for (uint32_t i = 0; i < SAMPLES; i++) {
        const struct member *other = &s->member[prng_below(&s->prng, w->nodes)];
        uint64_t rtt = prng_between(&s->prng, 2 * w->latency_us_min, 2 * w->latency_us_max) +
                       2 * m->slow_us + 2 * other->slow_us;
        bool there = !prng_chance(&s->prng, w->loss_ppm, PPM);
        bool lost = !there || prng_chance(&s->prng, w->loss_ppm, PPM); /* or the way back */

        *loss_ppm = swim_loss_after(*loss_ppm, lost);
        if (!lost && rtt <= s->setup->cfg.timeout_us) { /* later ones tell nothing of round trips */
            *rtt_us = swim_rtt_after(*rtt_us, rtt == 0 ? 1 : rtt);
        }
    }
}

static void draw_members(struct spread *s)
{
    const struct sim_gossip_spread_setup *setup = s->setup;
    const struct sim_gossip_world *w = &setup->world;
    uint32_t others = w->nodes - 1;

    for (uint32_t i = 0; i < w->nodes; i++) {
        s->member[i].cut = prng_chance(&s->prng, w->cut_ppm, PPM);
        if (setup->timed && prng_chance(&s->prng, w->slow_ppm, PPM)) {
            s->member[i].slow_us = prng_between(&s->prng, w->slow_us_min, w->slow_us_max);
        }
    }
    for (uint32_t i = 0; i < w->nodes; i++) {
        struct member *m = &s->member[i];
        uint32_t loss_ppm = 0, fanout;
        uint64_t rtt_us = 0;

        if (setup->adaptive) {
            measure(s, m, &loss_ppm, &rtt_us);
        }
        fanout = setup->adaptive ? swim_fanout_for(&setup->cfg, loss_ppm) : setup->cfg.fanout;
        m->fanout = (uint8_t)(fanout < others ? fanout : others);
        m->limit = (uint8_t)swim_transmits_for(&setup->cfg, loss_ppm, w->nodes);
        m->interval_us =
            setup->adaptive ? swim_gossip_us_for(&setup->cfg, rtt_us) : setup->interval_us;
    }
}

/* As long as core/swim's packets: a head, and the record of a member with its metadata. */
static void size_packets(struct spread *s)
{
    const struct swim_msg m = {.kind = SWIM_GOSSIP};
    const struct swim_record r = {.state = SWIM_ALIVE,
                                  .incarnation = 1,
                                  .addr = {.ip = {[10] = 0xff, [11] = 0xff}, .port = 1},
                                  .meta_len = SWIM_META_MAX};

    s->head_bytes = swim_head_bytes(&m);
    s->record_bytes = swim_record_bytes(&r);
}

void sim_gossip_spread(const struct sim_gossip_spread_setup *setup, struct sim_gossip_spread *out)
{
    uint32_t n = setup->world.nodes;
    struct spread s = {.setup = setup, .out = out, .prng = {setup->world.seed}};

    CHECK(n >= 2 && n <= SIM_GOSSIP_NODES_MAX);
    CHECK(setup->interval_us > 0);
    *out = (struct sim_gossip_spread){.at = {SIM_GOSSIP_NEVER, SIM_GOSSIP_NEVER, SIM_GOSSIP_NEVER}};
    s.member = mem_zalloc(n * sizeof s.member[0]);
    s.known = mem_alloc(n * sizeof s.known[0]);
    if (setup->turns) {
        s.picks_cap = PICKS;
        s.picks = mem_alloc((size_t)n * PICKS * sizeof s.picks[0]);
        s.picked = mem_zalloc(n * sizeof s.picked[0]);
    }
    size_packets(&s);
    draw_members(&s);
    learn(&s, (uint32_t)prng_below(&s.prng, n));
    draw_curve(&s, 1);
    if (n <= 2) {
        out->at[SIM_GOSSIP_HALF] = 0; /* who begins is half of two */
    }
    if (setup->timed) {
        run_timed(&s);
    } else {
        run_rounds(&s);
    }
    mem_free(s.member);
    mem_free(s.known);
    mem_free(s.picks);
    mem_free(s.picked);
}

void sim_gossip_spread_free(struct sim_gossip_spread *s)
{
    mem_free(s->curve);
    *s = (struct sim_gossip_spread){0};
}
