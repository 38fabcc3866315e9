/* swim_sync.c - whole views over streams: to enter, to meet again, to leave no gap.
 *
 * SYNC carries a digest; only if it differs do both send all they list. A rumour may miss
 * somebody; this does not. */
#include "core/swim/swim_internal.h"

static void add_self(struct swim *s, struct swim_effects *fx)
{
    swim_record_of(&s->members[SWIM_SELF], swim_record_add(fx));
}

void swim_sync_with(struct swim *s, const struct swim_id *id, const struct swim_addr *addr,
                    struct swim_effects *fx)
{
    struct swim_msg m = {.kind = SWIM_SYNC, .to = *id, .digest = s->digest, .record_count = 1};

    add_self(s, fx);
    swim_send_stream(s, &m, addr, fx);
}

static void send_state(struct swim *s, const struct swim_msg *to, const struct swim_addr *addr,
                       struct swim_effects *fx)
{
    struct swim_msg m = {
        .kind = SWIM_STATE, .to = to->from, .seq = to->seq, .last = to->kind == SWIM_STATE};
    struct swim_record r;
    uint32_t pos = 0;

    while (swim_each(s, &pos, &r)) {
        *swim_record_add(fx) = r;
        m.record_count++;
    }
    swim_send_stream(s, &m, addr, fx);
}

void swim_on_sync(struct swim *s, const struct swim_msg *m, const struct swim_addr *addr,
                  struct swim_effects *fx)
{
    /* The sender counts itself, and so must I before the digests are compared. */
    for (uint32_t i = 0; i < m->record_count; i++) {
        swim_merge(s, &m->records[i], &m->from, fx);
    }
    if (m->digest != s->digest) {
        send_state(s, m, addr, fx);
    }
}

/* our deviation: a death that another view holds is a suspicion here, as in memberlist. After a
 * partition each side holds the other dead; to believe that at once would bury everybody twice. */
static void soften(struct swim *s, struct swim_record *r, const struct swim_id *teller)
{
    uint32_t pos = swim_lookup(s, &r->id);

    if (r->state != SWIM_DEAD || pos == SWIM_NONE || pos == SWIM_SELF ||
        !swim_is_living(&s->members[pos]) || r->incarnation < s->members[pos].incarnation) {
        return;
    }
    r->state = SWIM_SUSPECT;
    r->by = *teller;
    r->addr = s->members[pos].addr;
    r->meta_len = s->members[pos].meta_len;
    memcpy(r->meta, s->members[pos].meta, sizeof r->meta);
}

void swim_on_state(struct swim *s, const struct swim_msg *m, const struct swim_addr *addr,
                   struct swim_effects *fx)
{
    for (uint32_t i = 0; i < m->record_count; i++) {
        struct swim_record r = m->records[i];

        soften(s, &r, &m->from);
        swim_merge(s, &r, &m->from, fx);
    }
    swim_proven(s, fx); /* it answers what I sent over a stream */
    if (!m->last) {
        send_state(s, m, addr, fx);
    }
}

void swim_sync_tick(struct swim *s, struct swim_effects *fx)
{
    uint64_t period = swim_sync_us(s);
    uint32_t pos;

    if (s->now_us < s->sync_at_us) {
        return;
    }
    s->sync_at_us = s->now_us + prng_between(&s->prng, period - period / 4, period + period / 4);
    pos = swim_order_any(s, SWIM_ORDER_GOSSIP);
    if (pos != SWIM_NONE) {
        struct swim_id id = s->members[pos].id;
        struct swim_addr addr = s->members[pos].addr;

        swim_sync_with(s, &id, &addr, fx);
    }
}

/* --- the dead, for ever --- */

void swim_lost_add(struct swim *s, const struct swim_member *m)
{
    uint32_t at = s->lost_count;

    if (m->addr.port == 0) {
        return;
    }
    if (at == SWIM_LOST_MAX) {
        at = (uint32_t)prng_below(&s->prng, SWIM_LOST_MAX);
    } else {
        s->lost_count++;
    }
    s->lost[at] = (struct swim_lost){m->id, m->addr};
}

void swim_lost_found(struct swim *s, const struct swim_id *id)
{
    for (uint32_t i = 0; i < s->lost_count; i++) {
        if (swim_id_eq(&s->lost[i].id, id)) {
            s->lost[i] = s->lost[--s->lost_count];
            return;
        }
    }
}

/* Seeds and lost members in turn, every other time one of the listed dead. */
static bool next_to_try(struct swim *s, struct swim_id *id, struct swim_addr *addr)
{
    uint32_t fixed = s->cfg.seed_count + s->lost_count, gone = s->orders[SWIM_ORDER_GONE].count;
    uint32_t turn = s->rejoin_pos++;

    *id = (struct swim_id){{0}};
    if (gone > 0 && (fixed == 0 || turn % 2 == 0)) {
        const struct swim_member *m = &s->members[swim_order_next(s, SWIM_ORDER_GONE)];

        *id = m->id;
        *addr = m->addr;
    } else if (fixed > 0) {
        turn = (gone > 0 ? turn / 2 : turn) % fixed;
        *addr =
            turn < s->cfg.seed_count ? s->cfg.seeds[turn] : s->lost[turn - s->cfg.seed_count].addr;
    } else {
        return false;
    }
    return addr->port != 0 && !swim_addr_eq(addr, &s->cfg.addr);
}

/* Who is alone tries each time; among many, the attempts of all together are about as many as
 * there are addresses to try (as Serf does). */
void swim_rejoin_tick(struct swim *s, struct swim_effects *fx)
{
    uint32_t targets = s->cfg.seed_count + s->lost_count + s->orders[SWIM_ORDER_GONE].count;
    struct swim_id id;
    struct swim_addr addr;

    if (s->now_us < s->rejoin_at_us) {
        return;
    }
    s->rejoin_at_us = s->now_us + prng_between(&s->prng, s->cfg.rejoin_us / 2, s->cfg.rejoin_us);
    if (!PLANTED(SWIM_GIVES_UP) && targets > 0 &&
        prng_chance(&s->prng, targets, swim_living(s) > targets ? swim_living(s) : targets) &&
        next_to_try(s, &id, &addr)) {
        swim_sync_with(s, &id, &addr, fx);
    }
}
