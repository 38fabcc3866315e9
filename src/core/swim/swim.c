/* swim.c - the engine's life: configuration, the clock, messages, views. */
#include "core/swim/swim_internal.h"

bool swim_id_is_zero(const struct swim_id *a)
{
    return load_u64le(a->b) == 0 && load_u64le(a->b + 8) == 0;
}

bool swim_addr_eq(const struct swim_addr *a, const struct swim_addr *b)
{
    return a->port == b->port && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

bool swim_addr_is_v4(const struct swim_addr *a)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    return memcmp(a->ip, mapped, sizeof mapped) == 0;
}

#define MS(n) ((uint64_t)(n)*1000)
#define SECONDS(n) MS((n)*1000ULL)

void swim_config_default(struct swim_config *cfg)
{
    *cfg = (struct swim_config){
        .packet_bytes_max = 1200, /* IPv6 promises 1280; its and UDP's headers, encryption */
        .probe_us = SECONDS(1),
        .probe_us_max = SECONDS(2),
        .timeout_us = MS(500),
        .timeout_us_min = MS(50),
        .helpers = 3,
        .health_max = SWIM_HEALTH_MAX,
        .buddy = true,
        .suspicion_mult = 4,
        .suspicion_max = 6,
        .confirmations = 3,
        .gossip_us_min = MS(100),
        .gossip_us_max = MS(400),
        .fanout = 3,
        .fanout_max = 5,
        .retransmit = 4,
        .retransmit_max = 7,
        .sync_us = SECONDS(30),
        .rejoin_us = SECONDS(10),
        .reap_us = SECONDS(3600),
        .tombstone_us = SECONDS(24 * 3600),
    };
}

void swim_config_plain(struct swim_config *cfg)
{
    cfg->health_max = 0;
    cfg->buddy = false;
    cfg->suspicion_max = 1; /* the longest is the shortest: nobody need confirm */
    cfg->confirmations = 0;
}

static void check_config(const struct swim_config *c)
{
    CHECK(!swim_id_is_zero(&c->self));
    CHECK(c->addr.port != 0);
    CHECK(c->meta_len <= SWIM_META_MAX);
    CHECK(c->packet_bytes_max >= SWIM_PACKET_BYTES_MIN);
    CHECK(c->seed_count <= SWIM_SEEDS_MAX);
    CHECK(c->timeout_us_min > 0 && c->timeout_us_min <= c->timeout_us);
    CHECK(c->probe_us >= 2 * c->timeout_us); /* room for the indirect attempt */
    CHECK(c->probe_us <= c->probe_us_max);
    CHECK(c->helpers <= SWIM_HELPERS_MAX);
    CHECK(c->health_max <= SWIM_HEALTH_MAX);
    CHECK(c->confirmations < SWIM_ACCUSERS_MAX);
    CHECK(c->suspicion_mult >= 1 && c->suspicion_max >= 1);
    CHECK(c->gossip_us_min > 0 && c->gossip_us_min <= c->gossip_us_max);
    CHECK(c->fanout >= 1 && c->fanout <= c->fanout_max && c->fanout_max <= SWIM_FANOUT_MAX);
    CHECK(c->retransmit >= 1 && c->retransmit <= c->retransmit_max);
    CHECK(c->sync_us >= 4 && c->rejoin_us >= 2);
    CHECK(c->reap_us <= c->tombstone_us);
    CHECK(c->incarnation_limit < SWIM_INCARNATION_MAX);
}

/* What one rumour and the largest head take always fits. */
enum {
    RECORD_BYTES_MAX = 1 + 16 + 10 + 18 + 1 + SWIM_META_MAX + 16,
    HEAD_BYTES_MAX = 2 + 16 + 16 + 4 + 2 + 16 + 1 + 18 + 2,
};
static_assert(HEAD_BYTES_MAX + RECORD_BYTES_MAX <= SWIM_PACKET_BYTES_MIN,
              "the smallest packet takes any rumour");
static_assert(SWIM_RUMOURS_MAX < 128, "the count of records of a packet is one byte");

struct swim *swim_create(const struct swim_config *cfg, uint64_t now_us, struct swim_effects *fx)
{
    struct swim *s = MEM_NEW(struct swim);
    struct swim_member *me;

    check_config(cfg);
    s->cfg = *cfg;
    s->prng.state = cfg->seed;
    s->now_us = s->began_us = now_us;
    s->free_head = SWIM_NONE;
    for (uint32_t i = 0; i <= SWIM_TRANSMITS_MAX; i++) {
        s->rumours[i] = (struct swim_rumours){SWIM_NONE, SWIM_NONE};
    }
    s->gossip_at_us = s->relay_at_us = SWIM_NEVER;
    s->seq = (uint32_t)prng_next(&s->prng);
    CHECK(swim_insert(s, &cfg->self) == SWIM_SELF);
    me = &s->members[SWIM_SELF];
    me->state = SWIM_ALIVE;
    me->addr = cfg->addr;
    me->meta_len = cfg->meta_len;
    memcpy(me->meta, cfg->meta, sizeof me->meta);
    s->digest = swim_member_digest(me);
    s->counts[SWIM_ALIVE] = 1;
    s->durable = cfg->incarnation_limit;
    s->wanted = cfg->incarnation_limit + 1; /* above all that a former life can have said */
    s->asked = s->wanted + SWIM_INCARNATION_AHEAD;
    swim_effect_add(fx, SWIM_PERSIST)->u.limit = s->asked;
    /* Nodes that start together must not probe and compare together. */
    s->probe_at_us = now_us + prng_below(&s->prng, cfg->probe_us);
    s->sync_at_us = now_us + prng_between(&s->prng, cfg->sync_us / 2, cfg->sync_us);
    s->rejoin_at_us = now_us;
    return s;
}

void swim_destroy(struct swim *s)
{
    if (s != NULL) {
        swim_table_free(s);
        mem_free(s);
    }
}

static void forward(struct swim *s, uint64_t now_us)
{
    s->now_us = now_us > s->now_us ? now_us : s->now_us;
}

static void maybe_gone(struct swim *s, struct swim_effects *fx)
{
    if (!s->leaving || s->gone) {
        return;
    }
    if (s->speaking && !s->members[SWIM_SELF].queued && s->goodbyes < SWIM_GOODBYES) {
        s->goodbyes++; /* in a small cluster one round is all of them, and may be lost */
        swim_rumour_add(s, SWIM_SELF);
    }
    if (!s->members[SWIM_SELF].queued || s->orders[SWIM_ORDER_GOSSIP].count == 0) {
        s->gone = true;
        (void)swim_effect_add(fx, SWIM_GONE);
    }
}

void swim_tick(struct swim *s, uint64_t now_us, struct swim_effects *fx)
{
    forward(s, now_us);
    if (!s->speaking || s->gone) {
        return;
    }
    while (s->timer_count > 0 && s->timers[0].at_us <= s->now_us) {
        swim_timer_due(s, s->timers[0].member, fx);
    }
    swim_relays_tick(s, fx);
    if (!s->leaving) {
        swim_probe_tick(s, fx);
        swim_rejoin_tick(s, fx);
        swim_sync_tick(s, fx);
    }
    if (s->now_us >= s->gossip_at_us) {
        swim_gossip(s, fx);
    }
    maybe_gone(s, fx);
    swim_records_settle(fx);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t swim_deadline_us(const struct swim *s)
{
    uint64_t at = earlier(s->gossip_at_us, s->relay_at_us);

    if (!s->speaking || s->gone) {
        return SWIM_NEVER;
    }
    if (s->timer_count > 0) {
        at = earlier(at, s->timers[0].at_us);
    }
    if (s->leaving) {
        return at;
    }
    if (s->probe.phase == SWIM_DIRECT) {
        at = earlier(at, s->probe.timeout_at_us);
    }
    return earlier(earlier(at, s->probe_at_us), earlier(s->sync_at_us, s->rejoin_at_us));
}

static void dispatch(struct swim *s, const struct swim_msg *m, const struct swim_addr *addr,
                     struct swim_effects *fx)
{
    switch (m->kind) {
    case SWIM_PING:
    case SWIM_STREAM_PING:
        swim_on_ping(s, m, addr, fx);
        return;
    case SWIM_STREAM_ACK:
        if (m->seq == s->proof_seq) {
            swim_proven(s, fx);
        }
        swim_on_ack(s, m, fx);
        return;
    case SWIM_ACK:
        swim_on_ack(s, m, fx);
        return;
    case SWIM_PING_REQ:
        swim_on_ping_req(s, m, addr, fx);
        return;
    case SWIM_NACK:
        swim_on_nack(s, m);
        return;
    case SWIM_SYNC:
        swim_on_sync(s, m, addr, fx);
        return;
    case SWIM_STATE:
        swim_on_state(s, m, addr, fx);
        return;
    case SWIM_GOSSIP:
    case SWIM_MSG_KINDS:
        return;
    }
}

enum err swim_step(struct swim *s, uint64_t now_us, const struct swim_msg *msg,
                   const struct swim_addr *addr, struct swim_effects *fx)
{
    forward(s, now_us);
    if (!s->speaking || s->gone) {
        return ERR_STOPPED;
    }
    if (msg->kind >= SWIM_MSG_KINDS || swim_id_is_zero(&msg->from) ||
        (msg->kind == SWIM_PING_REQ &&
         (swim_id_is_zero(&msg->target) || msg->target_addr.port == 0))) {
        return ERR_BAD_INPUT;
    }
    if (swim_id_eq(&msg->from, &s->cfg.self) ||
        (!swim_id_is_zero(&msg->to) && !swim_id_eq(&msg->to, &s->cfg.self))) {
        return ERR_MISROUTED; /* an address that was somebody else's once */
    }
    if (msg->kind != SWIM_SYNC && msg->kind != SWIM_STATE) {
        for (uint32_t i = 0; i < msg->record_count; i++) {
            swim_merge(s, &msg->records[i], &msg->from, fx);
        }
    }
    dispatch(s, msg, addr, fx);
    swim_records_settle(fx);
    return ERR_OK;
}

void swim_link_failed(struct swim *s, uint64_t now_us, const struct swim_id *id,
                      struct swim_effects *fx)
{
    uint32_t pos = swim_lookup(s, id), seconds;
    uint64_t patience = 2 * s->cfg.suspicion_max * swim_suspicion_min_us(s);

    forward(s, now_us);
    if (!s->speaking || s->leaving || pos == SWIM_NONE || pos == SWIM_SELF) {
        return;
    }
    seconds = (uint32_t)((s->now_us - s->began_us) / SECONDS(1)) + 1;
    if (s->members[pos].accused_s == 0 ||
        seconds - s->members[pos].accused_s > patience / SECONDS(1)) {
        s->members[pos].accused_s = seconds;
        swim_accuse(s, pos, true, fx);
    }
    swim_records_settle(fx);
}

void swim_greet(struct swim *s, uint64_t now_us, const struct swim_id *id, struct swim_effects *fx)
{
    static const struct swim_addr unknown;

    forward(s, now_us);
    if (!s->speaking || s->leaving || swim_id_eq(id, &s->cfg.self)) {
        return;
    }
    uint32_t pos = swim_lookup(s, id);
    struct swim_addr addr = pos == SWIM_NONE ? unknown : s->members[pos].addr;

    swim_sync_with(s, id, &addr, fx);
    swim_records_settle(fx);
}

void swim_forget(struct swim *s, uint64_t now_us, const struct swim_id *id, struct swim_effects *fx)
{
    uint32_t pos = swim_lookup(s, id);

    forward(s, now_us);
    if (pos != SWIM_NONE && pos != SWIM_SELF && !s->leaving) {
        swim_bury(s, pos, fx);
        swim_records_settle(fx);
    }
}

void swim_set_pace(struct swim *s, const struct swim_config *cfg)
{
    struct swim_config paced = *cfg;

    paced.self = s->cfg.self;
    paced.addr = s->cfg.addr;
    paced.meta_len = s->cfg.meta_len;
    memcpy(paced.meta, s->cfg.meta, sizeof paced.meta);
    paced.incarnation_limit = s->cfg.incarnation_limit;
    paced.seed = s->cfg.seed;
    paced.seed_count = s->cfg.seed_count;
    memcpy(paced.seeds, s->cfg.seeds, sizeof paced.seeds);
    check_config(&paced);
    s->cfg = paced;
}

void swim_set_self(struct swim *s, uint64_t now_us, const struct swim_addr *addr, struct slice meta,
                   struct swim_effects *fx)
{
    CHECK(addr->port != 0);
    CHECK(meta.len <= SWIM_META_MAX);
    forward(s, now_us);
    if (s->leaving) {
        return;
    }
    s->cfg.addr = *addr;
    s->cfg.meta_len = (uint8_t)meta.len;
    memset(s->cfg.meta, 0, sizeof s->cfg.meta);
    if (meta.len > 0) {
        memcpy(s->cfg.meta, meta.data, meta.len);
    }
    if (s->speaking) {
        swim_raise(s, s->members[SWIM_SELF].incarnation, fx);
    }
    swim_records_settle(fx);
}

enum err swim_join(struct swim *s, uint64_t now_us, const struct swim_addr *addr,
                   struct swim_effects *fx)
{
    static const struct swim_id anybody;

    forward(s, now_us);
    for (uint32_t i = 0; i < s->cfg.seed_count; i++) {
        if (swim_addr_eq(&s->cfg.seeds[i], addr)) {
            return ERR_OK;
        }
    }
    if (s->cfg.seed_count == SWIM_SEEDS_MAX) {
        return ERR_FULL;
    }
    s->cfg.seeds[s->cfg.seed_count++] = *addr;
    if (s->speaking && !s->leaving) {
        swim_sync_with(s, &anybody, addr, fx);
        swim_records_settle(fx);
    }
    return ERR_OK;
}

void swim_leave(struct swim *s, uint64_t now_us, struct swim_effects *fx)
{
    struct swim_member *me = &s->members[SWIM_SELF];

    forward(s, now_us);
    if (s->leaving) {
        return;
    }
    s->leaving = true;
    s->probe.phase = SWIM_IDLE;
    if (s->speaking) {
        s->digest ^= swim_member_digest(me);
        s->counts[SWIM_ALIVE]--;
        me->state = SWIM_LEFT;
        s->counts[SWIM_LEFT]++;
        swim_rumour_drop(s, SWIM_SELF);
    }
    maybe_gone(s, fx);
}

/* --- views --- */

uint32_t swim_count(const struct swim *s, enum swim_state state)
{
    return state < SWIM_STATES ? s->counts[state] : 0;
}

bool swim_find(const struct swim *s, const struct swim_id *id, struct swim_record *out)
{
    uint32_t pos = swim_lookup(s, id);

    if (pos == SWIM_NONE || s->members[pos].reaped) {
        return false;
    }
    swim_record_of(&s->members[pos], out);
    return true;
}

bool swim_each(const struct swim *s, uint32_t *pos, struct swim_record *out)
{
    while (*pos < s->member_used) {
        const struct swim_member *m = &s->members[(*pos)++];

        if (m->state != SWIM_UNKNOWN && !m->reaped) {
            swim_record_of(m, out);
            return true;
        }
    }
    return false;
}

uint64_t swim_digest(const struct swim *s)
{
    return s->digest;
}

void swim_tuning(const struct swim *s, struct swim_tuning *out)
{
    uint64_t shortest = swim_suspicion_min_us(s);

    *out = (struct swim_tuning){
        .health = s->health,
        .rtt_us = s->rtt_us,
        .loss_ppm = s->loss_ppm,
        .probe_us = swim_probe_us(s),
        .timeout_us = swim_timeout_us(s),
        .gossip_us = swim_gossip_us(s),
        .fanout = swim_fanout(s),
        .transmits = swim_transmits(s),
        .suspicion_us_min = shortest,
        .suspicion_us_max = s->cfg.suspicion_max * shortest,
    };
}

const struct swim_stats *swim_stats(const struct swim *s)
{
    return &s->stats;
}

const char *swim_state_name(enum swim_state state)
{
    static const char *const names[SWIM_STATES] = {"unknown", "alive", "suspect", "dead", "left"};

    return state < SWIM_STATES ? names[state] : "?";
}

const char *swim_msg_name(enum swim_msg_kind kind)
{
    static const char *const names[SWIM_MSG_KINDS] = {
        "ping", "ack", "ping-req", "nack", "gossip", "stream-ping", "stream-ack", "sync", "state",
    };

    return kind < SWIM_MSG_KINDS ? names[kind] : "?";
}
