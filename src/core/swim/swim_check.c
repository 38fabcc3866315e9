/* swim_check.c - what is always true of one engine [docs/protocol/swim.md, invariants].
 * Walks over everything: for tests and simulation. */
#include "core/swim/swim_internal.h"

static void check_place(const struct swim *s, uint32_t pos)
{
    const struct swim_member *m = &s->members[pos];
    uint32_t orders = swim_is_living(m) ? 2 : m->state == SWIM_DEAD && !m->reaped ? 1 : 0;

    CHECK(swim_lookup(s, &m->id) == pos);
    CHECK((m->state == SWIM_SUSPECT) == (m->suspicion != NULL));
    CHECK_IF(m->reaped, m->state == SWIM_DEAD || m->state == SWIM_LEFT);
    CHECK_IF(m->by_stream, m->state == SWIM_SUSPECT || m->state == SWIM_DEAD);
    if (pos == SWIM_SELF) {
        CHECK(swim_id_eq(&m->id, &s->cfg.self));
        CHECK(m->order_count == 0);
        CHECK(m->timer_pos == SWIM_NONE);
        CHECK(m->state == SWIM_ALIVE || (s->leaving && m->state == SWIM_LEFT));
        return;
    }
    CHECK(m->incarnation > 0);
    CHECK(m->order_count == orders);
    CHECK((m->state == SWIM_ALIVE) == (m->timer_pos == SWIM_NONE));
    if (m->timer_pos != SWIM_NONE) {
        CHECK(m->timer_pos < s->timer_count);
        CHECK(s->timers[m->timer_pos].member == pos);
    }
    if (m->suspicion != NULL) {
        const struct swim_suspicion *p = m->suspicion;

        CHECK(p->accuser_count >= 1);
        CHECK(p->accuser_count <= p->needed + 1u);
        CHECK(p->shortest_us <= p->longest_us);
        for (uint32_t i = 1; i < p->accuser_count; i++) {
            CHECK(!swim_id_eq(&p->accusers[i], &p->accusers[i - 1])); /* independent */
        }
    }
}

static void check_members(const struct swim *s)
{
    uint32_t counts[SWIM_STATES] = {0}, used = 0, tombstones = 0;
    uint64_t digest = 0;

    for (uint32_t pos = 0; pos < s->member_used; pos++) {
        const struct swim_member *m = &s->members[pos];

        if (m->state == SWIM_UNKNOWN) {
            continue;
        }
        used++;
        tombstones += m->reaped;
        counts[m->state] += !m->reaped;
        digest ^= swim_member_digest(m);
        check_place(s, pos);
    }
    CHECK(used == s->slot_count);
    CHECK(tombstones == s->tombstones);
    CHECK(digest == s->digest);
    for (int state = 0; state < SWIM_STATES; state++) {
        CHECK(counts[state] == s->counts[state]);
    }
}

static void check_orders(const struct swim *s)
{
    for (int which = 0; which < SWIM_ORDERS; which++) {
        const struct swim_order *o = &s->orders[which];

        CHECK(o->cursor <= o->count);
        for (uint32_t i = 0; i < o->count; i++) {
            const struct swim_member *m = &s->members[o->at[i]];

            CHECK(m->order_pos[which == SWIM_ORDER_GOSSIP ? 1 : 0] == i);
            CHECK(m->order_count == (which == SWIM_ORDER_GONE ? 1 : 2));
        }
    }
    /* Nobody alive is missing from the round: with the check of each place, a bijection. */
    CHECK(s->orders[SWIM_ORDER_PROBE].count == swim_living(s) - (s->leaving ? 0 : 1) ||
          !s->speaking);
    CHECK(s->orders[SWIM_ORDER_GOSSIP].count == s->orders[SWIM_ORDER_PROBE].count);
    CHECK(s->orders[SWIM_ORDER_GONE].count == s->counts[SWIM_DEAD]);
}

static void check_rumours(const struct swim *s)
{
    uint32_t found = 0;

    for (uint32_t sent = 0; sent <= SWIM_TRANSMITS_MAX; sent++) {
        uint32_t prev = SWIM_NONE;

        for (uint32_t pos = s->rumours[sent].head; pos != SWIM_NONE; pos = s->members[pos].next) {
            CHECK(s->members[pos].queued);
            CHECK(s->members[pos].transmits == sent);
            CHECK(s->members[pos].prev == prev);
            prev = pos;
            found++;
        }
        CHECK(s->rumours[sent].tail == prev);
    }
    CHECK(found == s->rumour_count);
    /* What is to be told has a time when it will be. */
    CHECK_IF(found > 0 && s->orders[SWIM_ORDER_GOSSIP].count > 0, s->gossip_at_us != SWIM_NEVER);
}

void swim_check(const struct swim *s)
{
    check_members(s);
    check_orders(s);
    check_rumours(s);
    for (uint32_t i = 1; i < s->timer_count; i++) {
        CHECK(s->timers[(i - 1) / 2].at_us <= s->timers[i].at_us);
    }
    CHECK(s->health <= s->cfg.health_max);
    CHECK(s->members[SWIM_SELF].incarnation <= s->wanted);
    CHECK(s->wanted <= s->asked);
    CHECK(s->durable <= s->asked);
    CHECK(s->members[SWIM_SELF].incarnation <= s->durable); /* nothing is spoken before */
    CHECK(s->lost_count <= SWIM_LOST_MAX);
    CHECK(s->probe.nacks <= s->probe.helper_count);
}
