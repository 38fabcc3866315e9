/* swim_rumour.c - what is told on, how often, and what fits into a packet.
 *
 * At most one rumour about each member: its record as it is now. Rumours are ordered by how
 * often they were sent, then by age; a packet takes them from the front [SWIM s4.1]. */
#include "core/swim/swim_internal.h"

bool swim_msg_is_stream(enum swim_msg_kind kind)
{
    return kind >= SWIM_STREAM_PING;
}

static size_t addr_bytes(const struct swim_addr *a)
{
    return swim_addr_is_v4(a) ? 6 : 18;
}

size_t swim_record_bytes(const struct swim_record *r)
{
    size_t bytes = 1 + sizeof r->id.b + varint_bytes(r->incarnation) + addr_bytes(&r->addr);

    if (r->state == SWIM_ALIVE || r->state == SWIM_SUSPECT) {
        bytes += 1 + (size_t)r->meta_len;
    }
    return bytes + (r->state == SWIM_SUSPECT ? sizeof r->by.b : 0);
}

size_t swim_head_bytes(const struct swim_msg *m)
{
    /* version, kind and flags, from, to, seq, count of records */
    size_t bytes = 2 + sizeof m->from.b + sizeof m->to.b + 4 + varint_bytes(m->record_count);

    if (m->kind == SWIM_PING_REQ) {
        bytes += sizeof m->target.b + 1 + addr_bytes(&m->target_addr) + 2;
    }
    return bytes + (m->kind == SWIM_SYNC ? 8 : 0);
}

struct swim_effect *swim_effect_add(struct swim_effects *fx, enum swim_effect_kind kind)
{
    MEM_GROW(fx->at, fx->count, fx->cap);
    fx->at[fx->count] = (struct swim_effect){.kind = kind};
    return &fx->at[fx->count++];
}

struct swim_record *swim_record_add(struct swim_effects *fx)
{
    MEM_GROW(fx->records, fx->record_count, fx->record_cap);
    return &fx->records[fx->record_count++];
}

/* The records may have moved while the list grew: point at where they are now. */
void swim_records_settle(struct swim_effects *fx)
{
    for (uint32_t i = 0; i < fx->count; i++) {
        struct swim_effect *e = &fx->at[i];

        if (e->kind == SWIM_SEND || e->kind == SWIM_SEND_STREAM) {
            e->u.send.msg.records =
                e->u.send.msg.record_count == 0 ? NULL : fx->records + e->u.send.record_first;
        }
    }
}

void swim_effects_clear(struct swim_effects *fx)
{
    fx->count = 0;
    fx->record_count = 0;
}

void swim_effects_free(struct swim_effects *fx)
{
    mem_free(fx->at);
    mem_free(fx->records);
    *fx = (struct swim_effects){0};
}

void swim_record_of(const struct swim_member *m, struct swim_record *out)
{
    *out = (struct swim_record){
        .id = m->id,
        .addr = m->addr,
        .incarnation = m->incarnation,
        .state = (enum swim_state)m->state,
        .by_stream = m->by_stream,
    };
    if (swim_is_living(m)) {
        out->meta_len = m->meta_len;
        memcpy(out->meta, m->meta, sizeof out->meta);
    }
    if (m->suspicion != NULL) {
        out->by = m->suspicion->accusers[0];
    }
}

/* --- the queue --- */

static void link_last(struct swim *s, uint32_t pos, uint8_t transmits)
{
    struct swim_rumours *q = &s->rumours[transmits];
    struct swim_member *m = &s->members[pos];

    m->queued = true;
    m->transmits = transmits;
    m->next = SWIM_NONE;
    m->prev = q->tail;
    if (q->tail == SWIM_NONE) {
        q->head = pos;
    } else {
        s->members[q->tail].next = pos;
    }
    q->tail = pos;
    s->rumour_count++;
}

void swim_rumour_drop(struct swim *s, uint32_t pos)
{
    struct swim_member *m = &s->members[pos];
    struct swim_rumours *q = &s->rumours[m->transmits];

    if (!m->queued) {
        return;
    }
    if (m->prev == SWIM_NONE) {
        q->head = m->next;
    } else {
        s->members[m->prev].next = m->next;
    }
    if (m->next == SWIM_NONE) {
        q->tail = m->prev;
    } else {
        s->members[m->next].prev = m->prev;
    }
    m->queued = false;
    s->rumour_count--;
}

void swim_rumour_add(struct swim *s, uint32_t pos)
{
    swim_rumour_drop(s, pos);
    link_last(s, pos, 0);
    if (s->gossip_at_us == SWIM_NEVER) {
        /* any time within the interval: those who heard of it together do not tell it together */
        s->gossip_at_us = s->now_us + prng_below(&s->prng, swim_gossip_us(s) + 1);
    }
}

/* Sent once more: further back in the queue, or out of it. */
static void count_sent(struct swim *s, uint32_t pos, uint32_t limit)
{
    uint8_t transmits = (uint8_t)(s->members[pos].transmits + 1);

    swim_rumour_drop(s, pos);
    if (transmits < limit || PLANTED(SWIM_TELLS_FOREVER)) {
        link_last(s, pos, transmits < SWIM_TRANSMITS_MAX ? transmits : SWIM_TRANSMITS_MAX);
    }
}

/* Who hears of a suspicion should hear of each of its accusers, or it cannot be confirmed. */
static void rotate_accuser(struct swim_member *m, struct swim_record *r)
{
    if (m->suspicion != NULL) {
        struct swim_suspicion *p = m->suspicion;

        r->by = p->accusers[p->said++ % p->accuser_count];
    }
}

struct packing {
    struct swim_effects *fx;
    size_t left;
    uint32_t count, taken[SWIM_RUMOURS_MAX];
};

static bool pack(struct swim *s, struct packing *p, uint32_t pos)
{
    struct swim_record r;
    size_t bytes;

    swim_record_of(&s->members[pos], &r);
    bytes = swim_record_bytes(&r);
    if (p->count == SWIM_RUMOURS_MAX || bytes > p->left) {
        return false;
    }
    rotate_accuser(&s->members[pos], &r);
    *swim_record_add(p->fx) = r;
    p->taken[p->count++] = pos;
    p->left -= PLANTED(SWIM_PACKET_OVERFULL) ? bytes - 1 : bytes;
    return true;
}

/* The receiver itself is suspect or dead to us: it must learn that first, queued or not [LG]. */
static uint32_t pack_buddy(struct swim *s, struct packing *p, const struct swim_id *to)
{
    uint32_t pos = swim_lookup(s, to);

    if (!s->cfg.buddy || pos == SWIM_NONE || pos == SWIM_SELF ||
        s->members[pos].state == SWIM_ALIVE || PLANTED(SWIM_NO_BUDDY)) {
        return SWIM_NONE;
    }
    CHECK(pack(s, p, pos));
    return pos;
}

static void pack_queue(struct swim *s, struct packing *p, uint32_t buddy)
{
    for (uint32_t sent = 0; sent <= SWIM_TRANSMITS_MAX && s->rumour_count > 0; sent++) {
        for (uint32_t pos = s->rumours[sent].head; pos != SWIM_NONE; pos = s->members[pos].next) {
            if (pos != buddy && !pack(s, p, pos)) {
                return;
            }
        }
    }
}

static void send_to(struct swim *s, struct swim_msg *m, const struct swim_addr *addr,
                    struct packing *p)
{
    struct swim_effect *e =
        swim_effect_add(p->fx, swim_msg_is_stream(m->kind) ? SWIM_SEND_STREAM : SWIM_SEND);

    m->from = s->cfg.self;
    e->u.send.addr = *addr;
    e->u.send.msg = *m;
    e->u.send.msg.record_count = p->count;
    e->u.send.record_first = p->fx->record_count - p->count;
}

void swim_send(struct swim *s, struct swim_msg *m, const struct swim_addr *addr,
               struct swim_effects *fx)
{
    struct packing p = {.fx = fx};
    uint32_t buddy, limit;

    m->record_count = 0;
    p.left = s->cfg.packet_bytes_max - swim_head_bytes(m);
    buddy = pack_buddy(s, &p, &m->to);
    pack_queue(s, &p, buddy);
    limit = p.count > 0 ? swim_transmits(s) : 0;
    for (uint32_t i = 0; i < p.count; i++) {
        if (s->members[p.taken[i]].queued) {
            count_sent(s, p.taken[i], limit);
        }
    }
    send_to(s, m, addr, &p);
}

void swim_send_stream(struct swim *s, struct swim_msg *m, const struct swim_addr *addr,
                      struct swim_effects *fx)
{
    struct packing p = {.fx = fx, .count = m->record_count};

    send_to(s, m, addr, &p);
}

static bool is_in(const uint32_t *list, uint32_t count, uint32_t pos)
{
    for (uint32_t i = 0; i < count; i++) {
        if (list[i] == pos) {
            return true;
        }
    }
    return false;
}

/* Rumours to a few, while there are any; nothing at all when there are none. */
void swim_gossip(struct swim *s, struct swim_effects *fx)
{
    uint32_t fanout = swim_fanout(s), peers = s->orders[SWIM_ORDER_GOSSIP].count;
    uint32_t told[SWIM_FANOUT_MAX], count = 0;

    fanout = fanout < peers ? fanout : peers;
    for (uint32_t tries = 0; tries < 2 * fanout && count < fanout && s->rumour_count > 0; tries++) {
        uint32_t pos = swim_order_next(s, SWIM_ORDER_GOSSIP);
        struct swim_msg gossip = {.kind = SWIM_GOSSIP, .to = s->members[pos].id};
        struct swim_addr addr = s->members[pos].addr;

        if (!is_in(told, count, pos)) { /* where a round ends, the next may begin with the same */
            told[count++] = pos;
            swim_send(s, &gossip, &addr, fx);
        }
    }
    s->gossip_at_us =
        s->rumour_count == 0 || peers == 0 ? SWIM_NEVER : s->now_us + swim_gossip_us(s);
}
