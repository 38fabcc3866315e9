/* swim_merge.c - what is heard about members meets what is known [SWIM s4.2].
 *
 * The greater (incarnation, state) wins. Only its owner raises an incarnation, so whoever denies
 * a suspicion overrides it, and nothing older ever revives the dead. */
#include "core/swim/swim_internal.h"

static bool newer(const struct swim_record *r, const struct swim_member *m)
{
    if (r->incarnation != m->incarnation) {
        return r->incarnation > m->incarnation;
    }
    if (PLANTED(SWIM_REVIVES) && m->state == SWIM_DEAD && r->state == SWIM_ALIVE) {
        return true;
    }
    return r->state > m->state;
}

static bool is_buried(const struct swim_member *m)
{
    return m->state == SWIM_DEAD || m->state == SWIM_LEFT;
}

/* --- suspicion [LG s. IV-B] --- */

static void suspicion_timer(struct swim *s, uint32_t pos)
{
    const struct swim_suspicion *p = s->members[pos].suspicion;

    swim_timer_set(s, pos,
                   p->began_us + swim_suspicion_us(p->shortest_us, p->longest_us,
                                                   p->accuser_count - 1u, p->needed));
}

static void suspicion_begin(struct swim *s, uint32_t pos, const struct swim_id *by)
{
    struct swim_suspicion *p = MEM_NEW(struct swim_suspicion);
    uint32_t others = swim_living(s) > 2 ? swim_living(s) - 2 : 0; /* who could confirm it */

    p->began_us = s->now_us;
    p->needed = (uint8_t)(s->cfg.confirmations < others ? s->cfg.confirmations : others);
    p->shortest_us = swim_suspicion_min_us(s);
    p->longest_us = p->needed == 0 ? p->shortest_us : s->cfg.suspicion_max * p->shortest_us;
    p->accusers[0] = *by;
    p->accuser_count = 1;
    s->members[pos].suspicion = p;
    s->stats.suspicions++;
    suspicion_timer(s, pos);
}

/* The same suspicion once more: only another accuser counts, or another reason. */
static void confirm(struct swim *s, uint32_t pos, const struct swim_record *r)
{
    struct swim_member *m = &s->members[pos];
    struct swim_suspicion *p = m->suspicion;

    if (r->by_stream && !m->by_stream) {
        m->by_stream = true;
        swim_rumour_add(s, pos);
    }
    for (uint32_t i = 0; i < p->accuser_count && !PLANTED(SWIM_ECHO_CONFIRMS); i++) {
        if (swim_id_eq(&p->accusers[i], &r->by)) {
            return;
        }
    }
    if (p->accuser_count > p->needed) {
        return;
    }
    p->accusers[p->accuser_count++] = r->by;
    suspicion_timer(s, pos);
    swim_rumour_add(s, pos); /* told anew: the first K confirmations are news [LG] */
    SOMETIMES(p->accuser_count > p->needed, "swim: a suspicion was fully confirmed");
}

/* --- one member's change of state --- */

static void orders_follow(struct swim *s, uint32_t pos)
{
    struct swim_member *m = &s->members[pos];
    uint8_t wanted = swim_is_living(m) ? 2 : m->state == SWIM_DEAD && !m->reaped ? 1 : 0;

    if (pos != SWIM_SELF && m->order_count != wanted) {
        swim_orders_leave(s, pos);
        if (wanted > 0) {
            swim_orders_enter(s, pos, wanted == 2);
        }
    }
}

static void tell_change(struct swim_effects *fx, const struct swim_member *m, enum swim_state was)
{
    struct swim_effect *e = swim_effect_add(fx, SWIM_CHANGED);

    e->u.changed.id = m->id;
    e->u.changed.was = was;
    e->u.changed.is = m->reaped ? SWIM_UNKNOWN : (enum swim_state)m->state;
    e->u.changed.refuted = m->state == SWIM_ALIVE && (was == SWIM_SUSPECT || was == SWIM_DEAD);
}

static void take_content(struct swim_member *m, const struct swim_record *r)
{
    if (r->state == SWIM_ALIVE || r->state == SWIM_SUSPECT) {
        m->addr = r->addr;
        m->meta_len = r->meta_len;
        memcpy(m->meta, r->meta, sizeof m->meta);
    } else if (m->addr.port == 0) {
        m->addr = r->addr;
    }
}

static void become(struct swim *s, uint32_t pos, const struct swim_record *r,
                   struct swim_effects *fx)
{
    struct swim_member *m = &s->members[pos];
    enum swim_state was = m->reaped ? SWIM_UNKNOWN : (enum swim_state)m->state;
    bool was_buried = is_buried(m);

    s->digest ^= swim_member_digest(m);
    if (was != SWIM_UNKNOWN) {
        s->counts[was]--;
    }
    s->tombstones -= m->reaped;
    mem_free(m->suspicion);
    m->suspicion = NULL;
    take_content(m, r);
    m->state = (uint8_t)r->state;
    m->incarnation = r->incarnation;
    m->by_stream = r->by_stream && (r->state == SWIM_SUSPECT || r->state == SWIM_DEAD);
    /* A death of somebody never heard of is remembered, not listed, and so not told to the next
     * newcomer: or the dead would circulate for ever among those who come later. */
    m->reaped = is_buried(m) && was == SWIM_UNKNOWN;
    s->digest ^= swim_member_digest(m);
    s->tombstones += m->reaped;
    if (!m->reaped) {
        s->counts[m->state]++;
    }
    if (swim_is_living(m)) {
        swim_timer_clear(s, pos);
    } else if (!was_buried) {
        swim_timer_set(s, pos, s->now_us + (m->reaped ? s->cfg.tombstone_us : s->cfg.reap_us));
    }
    orders_follow(s, pos);
    if (m->state == SWIM_SUSPECT) {
        suspicion_begin(s, pos, &r->by);
    }
    swim_rumour_add(s, pos);
    if (was != SWIM_UNKNOWN || !m->reaped) {
        tell_change(fx, m, was);
    }
    if (m->state == SWIM_ALIVE) {
        swim_lost_found(s, &m->id);
    }
}

void swim_accuse(struct swim *s, uint32_t pos, bool by_stream, struct swim_effects *fx)
{
    struct swim_member *m = &s->members[pos];
    struct swim_record r;

    CHECK(pos != SWIM_SELF);
    if (!swim_is_living(m)) {
        return;
    }
    swim_record_of(m, &r);
    r.state = SWIM_SUSPECT;
    r.by = s->cfg.self;
    r.by_stream = by_stream;
    if (m->state == SWIM_ALIVE) {
        become(s, pos, &r, fx);
    } else {
        confirm(s, pos, &r);
    }
}

void swim_bury(struct swim *s, uint32_t pos, struct swim_effects *fx)
{
    struct swim_record r;

    if (s->members[pos].reaped || s->members[pos].state == SWIM_LEFT) {
        return;
    }
    swim_record_of(&s->members[pos], &r);
    r.state = SWIM_LEFT;
    become(s, pos, &r, fx);
}

/* --- the node itself --- */

static void settle_self(struct swim *s, struct swim_effects *fx)
{
    struct swim_member *me = &s->members[SWIM_SELF];

    if (s->wanted + SWIM_INCARNATION_AHEAD / 2 > s->asked) {
        s->asked = s->wanted + SWIM_INCARNATION_AHEAD;
        swim_effect_add(fx, SWIM_PERSIST)->u.limit = s->asked;
    }
    if (s->wanted > s->durable && !PLANTED(SWIM_SPEAKS_EARLY)) {
        SOMETIMES_RARE(s->speaking, "swim: a refutation waited for the disk", MARK_NOT_DUE,
                       "32 refutations while one write takes; test/trace/swim/restart.txt");
        return;
    }
    s->speaking = true;
    s->digest ^= swim_member_digest(me);
    me->incarnation = s->wanted;
    me->addr = s->cfg.addr;
    me->meta_len = s->cfg.meta_len;
    memcpy(me->meta, s->cfg.meta, sizeof me->meta);
    s->digest ^= swim_member_digest(me);
    swim_rumour_add(s, SWIM_SELF);
}

void swim_raise(struct swim *s, uint64_t above, struct swim_effects *fx)
{
    if (s->wanted <= above) {
        s->wanted = above + 1;
        settle_self(s, fx);
    }
}

void swim_durable(struct swim *s, uint64_t now_us, uint64_t limit, struct swim_effects *fx)
{
    CHECK(limit <= s->asked);
    s->now_us = now_us > s->now_us ? now_us : s->now_us;
    s->durable = limit > s->durable ? limit : s->durable;
    if (s->members[SWIM_SELF].incarnation < s->wanted && s->wanted <= s->durable && !s->leaving) {
        settle_self(s, fx);
    }
    swim_records_settle(fx);
}

static void prove_to(struct swim *s, uint32_t pos, struct swim_effects *fx)
{
    if (pos != SWIM_NONE && pos != SWIM_SELF) {
        struct swim_addr addr = s->members[pos].addr;
        struct swim_msg ping = {
            .kind = SWIM_STREAM_PING, .to = s->members[pos].id, .seq = s->proof_seq};

        swim_send_stream(s, &ping, &addr, fx);
    }
}

/* My streams are said to fail. A packet proves nothing about that: ask the accuser and a few
 * others over streams; their answer allows me to deny it. */
static void prove(struct swim *s, const struct swim_record *r, struct swim_effects *fx)
{
    s->proof_incarnation =
        r->incarnation > s->proof_incarnation ? r->incarnation : s->proof_incarnation;
    if (s->proving && s->now_us < s->proof_at_us) {
        return;
    }
    s->proving = true;
    s->proof_at_us = s->now_us + swim_timeout_us(s);
    s->proof_seq = ++s->seq;
    prove_to(s, swim_lookup(s, &r->by), fx);
    for (uint32_t i = 0; i < s->cfg.helpers; i++) {
        prove_to(s, swim_order_any(s, SWIM_ORDER_PROBE), fx);
    }
}

void swim_proven(struct swim *s, struct swim_effects *fx)
{
    if (!s->proving || s->leaving) {
        return;
    }
    s->proving = false;
    if (s->proof_incarnation >= s->wanted) {
        s->stats.refutations++;
        SOMETIMES(true, "swim: a working stream refuted a suspicion of streams");
        swim_raise(s, s->proof_incarnation, fx);
    }
}

static bool same_content(const struct swim_record *r, const struct swim_member *m)
{
    return swim_addr_eq(&r->addr, &m->addr) && r->meta_len == m->meta_len &&
           memcmp(r->meta, m->meta, m->meta_len) == 0;
}

static void merge_self(struct swim *s, const struct swim_record *r, struct swim_effects *fx)
{
    const struct swim_member *me = &s->members[SWIM_SELF];

    if (s->leaving || r->incarnation < me->incarnation ||
        (r->state == SWIM_ALIVE && r->incarnation == me->incarnation && same_content(r, me))) {
        return;
    }
    if (r->state == SWIM_ALIVE) {
        /* I have not said this: a former life has, whose limit was lost with its disk; or a twin
         * does, that was started from a copy of my disk. With it this goes on for ever, so it
         * has a pace. */
        SOMETIMES_RARE(true, "swim: an incarnation of a forgotten life came back", 20000,
                       "both files of the limit are harmed, or an image older than the last start "
                       "comes back");
        if (s->now_us >= s->conflict_at_us) {
            s->conflict_at_us = s->now_us + s->cfg.probe_us;
            s->stats.conflicts++;
            swim_raise(s, r->incarnation, fx);
        }
    } else if (r->by_stream && !PLANTED(SWIM_PACKET_PROVES)) {
        prove(s, r, fx);
    } else if (r->incarnation >= s->wanted && !PLANTED(SWIM_NO_REFUTE)) {
        s->stats.refutations++;
        swim_health_add(s, 1); /* [LG]: others found me slow; perhaps I am */
        swim_raise(s, r->incarnation, fx);
    }
}

/* --- what is heard --- */

static bool sensible(const struct swim_record *r)
{
    return r->state > SWIM_UNKNOWN && r->state < SWIM_STATES && !swim_id_is_zero(&r->id) &&
           r->incarnation <= SWIM_INCARNATION_MAX && r->incarnation > 0 &&
           r->meta_len <= SWIM_META_MAX &&
           (r->state == SWIM_DEAD || r->state == SWIM_LEFT || r->addr.port != 0) &&
           (r->state != SWIM_SUSPECT || !swim_id_is_zero(&r->by));
}

void swim_merge(struct swim *s, const struct swim_record *r, const struct swim_id *teller,
                struct swim_effects *fx)
{
    uint32_t pos;

    if (!sensible(r)) {
        s->stats.rejected++;
        return;
    }
    pos = swim_lookup(s, &r->id);
    if (pos == SWIM_SELF) {
        merge_self(s, r, fx);
        return;
    }
    if (pos == SWIM_NONE && (pos = swim_insert(s, &r->id)) == SWIM_NONE) {
        s->stats.rejected++;
        return;
    }
    if (newer(r, &s->members[pos])) {
        become(s, pos, r, fx);
        return;
    }
    if (r->state == SWIM_SUSPECT && s->members[pos].state == SWIM_SUSPECT &&
        r->incarnation == s->members[pos].incarnation) {
        confirm(s, pos, r);
        return;
    }
    if (r->incarnation < s->members[pos].incarnation || r->state < s->members[pos].state) {
        s->stats.stale++;
        if (r->state == SWIM_ALIVE && is_buried(&s->members[pos]) && !s->members[pos].queued) {
            /* Somebody believes in a life that has ended: it, and the member if it lives again
             * under an old incarnation, must hear of the end to get past it. */
            SOMETIMES(swim_id_eq(&r->id, teller), "swim: a member came back with an old record");
            swim_rumour_add(s, pos);
        }
    }
}

static void reap(struct swim *s, uint32_t pos, struct swim_effects *fx)
{
    struct swim_member *m = &s->members[pos];
    enum swim_state was = (enum swim_state)m->state;

    if (was == SWIM_DEAD) {
        swim_lost_add(s, m);
    }
    swim_orders_leave(s, pos);
    swim_rumour_drop(s, pos);
    s->counts[was]--;
    m->reaped = true;
    s->tombstones++;
    swim_timer_set(s, pos, s->now_us + (s->cfg.tombstone_us - s->cfg.reap_us));
    tell_change(fx, m, was);
}

void swim_timer_due(struct swim *s, uint32_t pos, struct swim_effects *fx)
{
    struct swim_member *m = &s->members[pos];

    if (m->state == SWIM_SUSPECT) {
        struct swim_record r;

        swim_record_of(m, &r);
        r.state = SWIM_DEAD;
        s->stats.deaths++;
        become(s, pos, &r, fx);
    } else if (!m->reaped && (m->state == SWIM_DEAD || !PLANTED(SWIM_LEAVERS_STAY))) {
        reap(s, pos, fx);
    } else if (!m->reaped) {
        swim_timer_set(s, pos, SWIM_NEVER);
    } else {
        s->tombstones--;
        swim_rumour_drop(s, pos);
        swim_remove(s, pos);
    }
}
