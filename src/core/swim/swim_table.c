/* swim_table.c - the members: found by id, visited in random order, woken by timers.
 * Every operation is O(1), timers O(log n); nothing walks over all members. */
#include "core/swim/swim_internal.h"

static uint64_t hash_of(const struct swim_id *id)
{
    return hash64_mix(load_u64le(id->b), load_u64le(id->b + 8));
}

bool swim_is_living(const struct swim_member *m)
{
    return m->state == SWIM_ALIVE || m->state == SWIM_SUSPECT;
}

uint64_t swim_member_digest(const struct swim_member *m)
{
    return swim_is_living(m) ? hash64_mix(hash_of(&m->id), m->incarnation) : 0;
}

/* The slot of the id, or the free one where it belongs. */
static uint32_t slot_of(const struct swim *s, const struct swim_id *id)
{
    uint32_t slot = (uint32_t)hash_of(id) & (s->slot_cap - 1);

    while (s->slots[slot] != 0 && !swim_id_eq(&s->members[s->slots[slot] - 1].id, id)) {
        slot = (slot + 1) & (s->slot_cap - 1);
    }
    return slot;
}

uint32_t swim_lookup(const struct swim *s, const struct swim_id *id)
{
    uint32_t found = s->slot_cap == 0 ? 0 : s->slots[slot_of(s, id)];

    return found == 0 ? SWIM_NONE : found - 1;
}

static void slots_grow(struct swim *s)
{
    uint32_t *old = s->slots, old_cap = s->slot_cap;

    s->slot_cap = old_cap == 0 ? 64 : 2 * old_cap;
    s->slots = mem_zalloc(s->slot_cap * sizeof s->slots[0]);
    for (uint32_t i = 0; i < old_cap; i++) {
        if (old[i] != 0) {
            s->slots[slot_of(s, &s->members[old[i] - 1].id)] = old[i];
        }
    }
    mem_free(old);
}

/* Close the gap, so that no search ends too early. */
static void slot_free(struct swim *s, uint32_t gap)
{
    uint32_t mask = s->slot_cap - 1;

    for (uint32_t at = (gap + 1) & mask; s->slots[at] != 0; at = (at + 1) & mask) {
        uint32_t home = (uint32_t)hash_of(&s->members[s->slots[at] - 1].id) & mask;

        if (((at - home) & mask) >= ((at - gap) & mask)) {
            s->slots[gap] = s->slots[at];
            gap = at;
        }
    }
    s->slots[gap] = 0;
}

uint32_t swim_insert(struct swim *s, const struct swim_id *id)
{
    uint32_t pos = s->free_head;

    CHECK(swim_lookup(s, id) == SWIM_NONE);
    if (s->slot_count >= SWIM_MEMBERS_MAX) {
        return SWIM_NONE;
    }
    if (pos != SWIM_NONE) {
        s->free_head = s->members[pos].next;
    } else {
        MEM_GROW(s->members, s->member_used, s->member_cap);
        pos = s->member_used++;
    }
    s->members[pos] = (struct swim_member){.id = *id, .timer_pos = SWIM_NONE};
    if ((s->slot_count + 1) * 4 > s->slot_cap * 3) {
        slots_grow(s);
    }
    s->slots[slot_of(s, id)] = pos + 1;
    s->slot_count++;
    return pos;
}

void swim_remove(struct swim *s, uint32_t pos)
{
    struct swim_member *m = &s->members[pos];

    CHECK(pos != SWIM_SELF);
    CHECK(m->order_count == 0 && m->suspicion == NULL && !m->queued);
    swim_timer_clear(s, pos);
    slot_free(s, slot_of(s, &m->id));
    s->slot_count--;
    *m = (struct swim_member){.next = s->free_head, .timer_pos = SWIM_NONE};
    s->free_head = pos;
}

void swim_table_free(struct swim *s)
{
    for (uint32_t i = 0; i < s->member_used; i++) {
        mem_free(s->members[i].suspicion);
    }
    for (int which = 0; which < SWIM_ORDERS; which++) {
        mem_free(s->orders[which].at);
    }
    mem_free(s->members);
    mem_free(s->slots);
    mem_free(s->timers);
}

/* --- orders --- */

static uint32_t *order_pos(struct swim *s, enum swim_which which, uint32_t pos)
{
    return &s->members[pos].order_pos[which == SWIM_ORDER_GOSSIP ? 1 : 0];
}

static void order_put(struct swim *s, enum swim_which which, uint32_t at, uint32_t pos)
{
    s->orders[which].at[at] = pos;
    *order_pos(s, which, pos) = at;
}

/* Among those who had their turn or those who wait for it, by chance: a new member must neither
 * be always first nor always last [SWIM s4.3]. */
static void order_enter(struct swim *s, enum swim_which which, uint32_t pos)
{
    struct swim_order *o = &s->orders[which];

    MEM_GROW(o->at, o->count, o->cap);
    if (prng_below(&s->prng, o->count + 1) < o->cursor) {
        if (o->cursor < o->count) {
            order_put(s, which, o->count, o->at[o->cursor]);
        }
        order_put(s, which, o->cursor++, pos);
    } else {
        order_put(s, which, o->count, pos);
    }
    o->count++;
}

static void order_leave(struct swim *s, enum swim_which which, uint32_t pos)
{
    struct swim_order *o = &s->orders[which];
    uint32_t at = *order_pos(s, which, pos);

    CHECK(at < o->count && o->at[at] == pos);
    if (at < o->cursor) {
        order_put(s, which, at, o->at[--o->cursor]);
        at = o->cursor;
    }
    if (at != --o->count) { /* else it was the last, or the one before has closed the gap */
        order_put(s, which, at, o->at[o->count]);
    }
}

void swim_orders_enter(struct swim *s, uint32_t pos, bool living)
{
    struct swim_member *m = &s->members[pos];

    CHECK(m->order_count == 0);
    CHECK(pos != SWIM_SELF);
    if (living) {
        order_enter(s, SWIM_ORDER_PROBE, pos);
        order_enter(s, SWIM_ORDER_GOSSIP, pos);
        m->order_count = 2;
    } else {
        order_enter(s, SWIM_ORDER_GONE, pos);
        m->order_count = 1;
    }
}

void swim_orders_leave(struct swim *s, uint32_t pos)
{
    struct swim_member *m = &s->members[pos];

    if (m->order_count == 2) {
        order_leave(s, SWIM_ORDER_PROBE, pos);
        order_leave(s, SWIM_ORDER_GOSSIP, pos);
    } else if (m->order_count == 1) {
        order_leave(s, SWIM_ORDER_GONE, pos);
    }
    m->order_count = 0;
}

uint32_t swim_order_next(struct swim *s, enum swim_which which)
{
    struct swim_order *o = &s->orders[which];
    uint32_t drawn, pos;

    if (o->count == 0) {
        return SWIM_NONE;
    }
    if (o->cursor >= o->count) {
        o->cursor = 0;
    }
    drawn = o->cursor + (uint32_t)prng_below(&s->prng, o->count - o->cursor);
    if (PLANTED(SWIM_STARVES)) {
        drawn = (uint32_t)prng_below(&s->prng, o->count);
    }
    pos = o->at[drawn];
    order_put(s, which, drawn, o->at[o->cursor]);
    order_put(s, which, o->cursor++, pos);
    return pos;
}

uint32_t swim_order_any(struct swim *s, enum swim_which which)
{
    const struct swim_order *o = &s->orders[which];

    return o->count == 0 ? SWIM_NONE : o->at[prng_below(&s->prng, o->count)];
}

/* --- timers: a binary heap, the earliest first --- */

static void timer_put(struct swim *s, uint32_t at, struct swim_timer t)
{
    s->timers[at] = t;
    s->members[t.member].timer_pos = at;
}

/* Earlier; at the same time the lower place, so that runs repeat. */
static bool timer_before(struct swim_timer a, struct swim_timer b)
{
    return a.at_us != b.at_us ? a.at_us < b.at_us : a.member < b.member;
}

static void timer_sift(struct swim *s, uint32_t at)
{
    struct swim_timer t = s->timers[at];

    while (at > 0 && timer_before(t, s->timers[(at - 1) / 2])) {
        timer_put(s, at, s->timers[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (;;) {
        uint32_t child = 2 * at + 1;

        if (child + 1 < s->timer_count && timer_before(s->timers[child + 1], s->timers[child])) {
            child++;
        }
        if (child >= s->timer_count || !timer_before(s->timers[child], t)) {
            break;
        }
        timer_put(s, at, s->timers[child]);
        at = child;
    }
    timer_put(s, at, t);
}

void swim_timer_set(struct swim *s, uint32_t pos, uint64_t at_us)
{
    uint32_t at = s->members[pos].timer_pos;

    if (at == SWIM_NONE) {
        MEM_GROW(s->timers, s->timer_count, s->timer_cap);
        at = s->timer_count++;
    }
    s->timers[at] = (struct swim_timer){at_us, pos};
    timer_sift(s, at);
}

void swim_timer_clear(struct swim *s, uint32_t pos)
{
    uint32_t at = s->members[pos].timer_pos;

    if (at == SWIM_NONE) {
        return;
    }
    s->members[pos].timer_pos = SWIM_NONE;
    s->timer_count--;
    if (at < s->timer_count) {
        s->timers[at] = s->timers[s->timer_count];
        timer_sift(s, at);
    }
}
