#include "sim/sim_queue.h"

#include "base/base_mem.h"

void sim_queue_free(struct sim_queue *q)
{
    mem_free(q->events);
    *q = (struct sim_queue){0};
}

static uint32_t take_free(struct sim_queue *q)
{
    uint32_t number = q->free;

    if (number != 0) {
        q->free = q->events[number].next;
        return number;
    }
    if (q->used == q->cap) {
        q->cap = q->cap == 0 ? 256 : q->cap * 2;
        q->events = mem_realloc(q->events, q->cap * sizeof q->events[0]);
        q->used = q->used == 0 ? 1 : q->used;
    }
    return q->used++;
}

/* Behind all that is in its slot already. */
static void place(struct sim_queue *q, uint32_t number)
{
    struct sim_event *ev = &q->events[number];
    uint64_t differs = ev->at_us ^ q->now_us;
    unsigned level = differs == 0 ? 0 : (63 - (unsigned)__builtin_clzll(differs)) / SIM_QUEUE_DIGIT;
    uint64_t slot = ev->at_us >> (level * SIM_QUEUE_DIGIT) & (SIM_QUEUE_SLOTS - 1);
    struct sim_slot *s = &q->slots[level][slot];

    ev->next = 0;
    if (s->first == 0) {
        s->first = number;
        q->full[level] |= 1ULL << slot;
    } else {
        q->events[s->last].next = number;
    }
    s->last = number;
}

void sim_queue_push(struct sim_queue *q, uint64_t at_us, sim_fn *fn, uint64_t a, uint64_t b)
{
    uint32_t number = take_free(q);

    CHECK(at_us >= q->now_us);
    q->events[number] = (struct sim_event){.at_us = at_us, .fn = fn, .a = a, .b = b};
    place(q, number);
}

/* Time reaches the next slot that is not empty; what lies there goes to the levels below. */
static void deal(struct sim_queue *q, unsigned level)
{
    unsigned slot = (unsigned)__builtin_ctzll(q->full[level]);
    uint32_t number = q->slots[level][slot].first;
    unsigned above = (level + 1) * SIM_QUEUE_DIGIT;
    uint64_t base = above >= 64 ? 0 : q->now_us >> above << above;

    q->slots[level][slot] = (struct sim_slot){0};
    q->full[level] &= ~(1ULL << slot);
    q->now_us = base | (uint64_t)slot << (level * SIM_QUEUE_DIGIT);
    while (number != 0) {
        uint32_t next = q->events[number].next;

        place(q, number);
        number = next;
    }
}

bool sim_queue_pop(struct sim_queue *q, struct sim_event *out)
{
    unsigned level = 0;
    struct sim_slot *s;
    uint32_t number;
    unsigned slot;

    while (q->full[0] == 0) { /* lower levels hold what comes first */
        for (level = 1; level < SIM_QUEUE_LEVELS && q->full[level] == 0; level++) {
        }
        if (level == SIM_QUEUE_LEVELS) {
            return false;
        }
        deal(q, level);
    }
    slot = (unsigned)__builtin_ctzll(q->full[0]);
    s = &q->slots[0][slot];
    number = s->first;
    *out = q->events[number];
    CHECK(out->at_us >= q->now_us);
    q->now_us = out->at_us;
    s->first = out->next;
    if (s->first == 0) {
        q->full[0] &= ~(1ULL << slot);
    }
    q->events[number].next = q->free;
    q->free = number;
    return true;
}
