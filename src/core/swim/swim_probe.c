/* swim_probe.c - is it there? A ping, then helpers' pings and a stream, then suspicion
 * [SWIM s3.1; nacks and local health: LG s. IV-A]. */
#include "core/swim/swim_internal.h"

/* The helper says that it is there itself before the asker's patience ends. */
enum { NACK_PERCENT = 80 };

static void ping(struct swim *s, const struct swim_id *to, const struct swim_addr *addr,
                 uint32_t seq, struct swim_effects *fx)
{
    struct swim_msg m = {.kind = SWIM_PING, .to = *to, .seq = seq};

    swim_send(s, &m, addr, fx);
}

static void probe_begin(struct swim *s, struct swim_effects *fx)
{
    struct swim_probe *p = &s->probe;
    uint32_t pos = swim_order_next(s, SWIM_ORDER_PROBE);
    struct swim_addr addr;

    p->phase = SWIM_IDLE;
    s->probe_at_us = s->now_us + swim_probe_us(s);
    if (pos == SWIM_NONE) {
        return;
    }
    addr = s->members[pos].addr;
    *p = (struct swim_probe){
        .phase = SWIM_DIRECT,
        .target = s->members[pos].id,
        .incarnation = s->members[pos].incarnation,
        .seq = ++s->seq,
        .sent_us = s->now_us,
        .timeout_at_us = s->now_us + swim_timeout_us(s),
        .end_at_us = s->probe_at_us,
    };
    s->stats.probes++;
    ping(s, &p->target, &addr, p->seq, fx);
}

static bool is_helper(const struct swim_probe *p, const struct swim_id *id, uint32_t *place)
{
    for (uint32_t i = 0; i < p->helper_count; i++) {
        if (swim_id_eq(&p->helpers[i], id)) {
            *place = i;
            return true;
        }
    }
    return false;
}

/* Alive, not the target, not chosen yet; a few draws, so that it stays O(k). */
static uint32_t draw_helper(struct swim *s)
{
    for (uint32_t tries = 0; tries < 8; tries++) {
        uint32_t pos = swim_order_any(s, SWIM_ORDER_PROBE), place;
        const struct swim_member *m = pos == SWIM_NONE ? NULL : &s->members[pos];

        if (m != NULL && m->state == SWIM_ALIVE && !swim_id_eq(&m->id, &s->probe.target) &&
            !is_helper(&s->probe, &m->id, &place)) {
            return pos;
        }
    }
    return SWIM_NONE;
}

static void probe_indirect(struct swim *s, struct swim_effects *fx)
{
    struct swim_probe *p = &s->probe;
    uint32_t target = swim_lookup(s, &p->target);
    uint64_t wait_ms = (p->end_at_us - s->now_us) / 1000;
    struct swim_msg m = {.kind = SWIM_STREAM_PING, .to = p->target, .seq = p->seq};
    struct swim_addr target_addr;

    p->phase = SWIM_INDIRECT;
    if (target == SWIM_NONE || !swim_is_living(&s->members[target])) {
        return;
    }
    target_addr = s->members[target].addr;
    while (p->helper_count < s->cfg.helpers) {
        uint32_t pos = draw_helper(s);
        struct swim_msg ask = {
            .kind = SWIM_PING_REQ,
            .seq = p->seq,
            .target = p->target,
            .target_addr = target_addr,
            .wait_ms = (uint16_t)(wait_ms > UINT16_MAX ? UINT16_MAX : wait_ms),
        };
        struct swim_addr addr;

        if (pos == SWIM_NONE) {
            break;
        }
        ask.to = s->members[pos].id;
        addr = s->members[pos].addr;
        p->helpers[p->helper_count++] = ask.to;
        swim_send(s, &ask, &addr, fx);
    }
    /* Where packets are filtered but streams pass, the member lives. */
    swim_send_stream(s, &m, &target_addr, fx);
}

static void probe_end(struct swim *s, struct swim_effects *fx)
{
    struct swim_probe *p = &s->probe;
    uint32_t pos = swim_lookup(s, &p->target);

    /* One that has spoken of itself anew since the probe began is no suspect: it may have started
     * again while the old life was probed. */
    if (p->phase == SWIM_INDIRECT && pos != SWIM_NONE && swim_is_living(&s->members[pos]) &&
        s->members[pos].incarnation == p->incarnation) {
        s->stats.probes_failed++;
        /* Helpers that answer nothing at all: more likely it is me [LG]. */
        swim_health_add(s, p->helper_count == 0 ? 1 : (int)(p->helper_count - p->nacks));
        swim_accuse(s, pos, false, fx);
    }
    p->phase = SWIM_IDLE;
}

void swim_probe_tick(struct swim *s, struct swim_effects *fx)
{
    if (s->probe.phase == SWIM_DIRECT && s->now_us >= s->probe.timeout_at_us) {
        probe_indirect(s, fx);
    }
    if (s->now_us >= s->probe_at_us) {
        probe_end(s, fx);
        probe_begin(s, fx);
    }
}

static void probe_answered(struct swim *s, bool direct)
{
    struct swim_probe *p = &s->probe;

    if (p->phase == SWIM_DIRECT) {
        swim_rtt_sample(s, s->now_us - p->sent_us);
        swim_loss_sample(s, false);
    } else if (!direct) {
        swim_loss_sample(s, true); /* it lives, and its answer did not come: lost on the way */
    }
    p->phase = SWIM_ANSWERED;
    swim_health_add(s, -1);
}

/* --- pings for others --- */

static void relay_end_scan(struct swim *s)
{
    s->relay_at_us = SWIM_NEVER;
    for (uint32_t i = 0; i < SWIM_RELAYS_MAX; i++) {
        const struct swim_relay *y = &s->relays[i];
        uint64_t at = y->nacked ? y->end_at_us : y->nack_at_us;

        if (y->used && at < s->relay_at_us) {
            s->relay_at_us = at;
        }
    }
}

static void relay_answer(struct swim *s, const struct swim_relay *y, enum swim_msg_kind kind,
                         struct swim_effects *fx)
{
    struct swim_msg m = {.kind = kind, .to = y->origin, .seq = y->origin_seq};

    swim_send(s, &m, &y->origin_addr, fx);
}

void swim_relays_tick(struct swim *s, struct swim_effects *fx)
{
    if (s->now_us < s->relay_at_us) {
        return;
    }
    for (uint32_t i = 0; i < SWIM_RELAYS_MAX; i++) {
        struct swim_relay *y = &s->relays[i];

        if (y->used && !y->nacked && s->now_us >= y->nack_at_us) {
            y->nacked = true;
            relay_answer(s, y, SWIM_NACK, fx);
        }
        if (y->used && s->now_us >= y->end_at_us) {
            y->used = false;
        }
    }
    relay_end_scan(s);
}

void swim_on_ping_req(struct swim *s, const struct swim_msg *m, const struct swim_addr *addr,
                      struct swim_effects *fx)
{
    struct swim_relay *y = &s->relays[++s->seq % SWIM_RELAYS_MAX];
    uint64_t wait_us = (uint64_t)m->wait_ms * 1000;

    if (y->used) {
        s->stats.relays_dropped++; /* the asker counts on others; the newest has most time left */
    }
    *y = (struct swim_relay){
        .used = true,
        .origin = m->from,
        .target = m->target,
        .origin_addr = *addr,
        .origin_seq = m->seq,
        .seq = s->seq,
        .nack_at_us = s->now_us + wait_us * NACK_PERCENT / 100,
        .end_at_us = s->now_us + wait_us,
    };
    s->relay_at_us = y->nack_at_us < s->relay_at_us ? y->nack_at_us : s->relay_at_us;
    ping(s, &m->target, &m->target_addr, y->seq, fx);
}

/* --- answers --- */

void swim_on_ping(struct swim *s, const struct swim_msg *m, const struct swim_addr *addr,
                  struct swim_effects *fx)
{
    struct swim_msg ack = {.kind = SWIM_ACK, .to = m->from, .seq = m->seq};
    uint32_t pos = swim_lookup(s, &m->from);

    if (m->kind == SWIM_STREAM_PING) {
        ack.kind = SWIM_STREAM_ACK;
        swim_send_stream(s, &ack, addr, fx);
        return;
    }
    swim_send(s, &ack, addr, fx);
    if (pos == SWIM_NONE && s->now_us >= s->greet_at_us) {
        /* It knows me and I do not know it: compare views, at a bounded pace. */
        s->greet_at_us = s->now_us + s->cfg.probe_us;
        swim_sync_with(s, &m->from, addr, fx);
    }
}

void swim_on_ack(struct swim *s, const struct swim_msg *m, struct swim_effects *fx)
{
    struct swim_probe *p = &s->probe;
    struct swim_relay *y = &s->relays[m->seq % SWIM_RELAYS_MAX];
    uint32_t place;

    if ((p->phase == SWIM_DIRECT || p->phase == SWIM_INDIRECT) && m->seq == p->seq) {
        bool direct = swim_id_eq(&m->from, &p->target);

        if (direct || is_helper(p, &m->from, &place)) {
            probe_answered(s, direct && m->kind == SWIM_ACK);
        }
        return;
    }
    if (m->kind == SWIM_ACK && y->used && y->seq == m->seq && swim_id_eq(&y->target, &m->from)) {
        y->used = false;
        relay_answer(s, y, SWIM_ACK, fx);
    }
}

void swim_on_nack(struct swim *s, const struct swim_msg *m)
{
    struct swim_probe *p = &s->probe;
    uint32_t place;

    if (p->phase == SWIM_INDIRECT && m->seq == p->seq && is_helper(p, &m->from, &place) &&
        !p->nacked[place]) {
        p->nacked[place] = true;
        p->nacks++;
    }
}
