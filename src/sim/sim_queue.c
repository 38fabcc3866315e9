#include "sim/sim_queue.h"

#include "base/base_mem.h"

enum {
    CHILDREN = 4
}; /* of each place of the heap: half as deep as with two, and they lie together */

static bool before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->seq < b->seq;
}

void sim_queue_free(struct sim_queue *q)
{
    mem_free(q->heap);
    *q = (struct sim_queue){0};
}

void sim_queue_push(struct sim_queue *q, uint64_t at_us, sim_fn *fn, uint64_t a, uint64_t b)
{
    struct sim_event ev = {.at_us = at_us, .seq = ++q->seq, .fn = fn, .a = a, .b = b};
    size_t pos;

    if (q->count == q->cap) {
        q->cap = q->cap == 0 ? 256 : q->cap * 2;
        q->heap = mem_realloc(q->heap, q->cap * sizeof q->heap[0]);
    }
    pos = q->count++;
    while (pos > 0 && before(&ev, &q->heap[(pos - 1) / CHILDREN])) {
        q->heap[pos] = q->heap[(pos - 1) / CHILDREN];
        pos = (pos - 1) / CHILDREN;
    }
    q->heap[pos] = ev;
}

bool sim_queue_pop(struct sim_queue *q, struct sim_event *out)
{
    struct sim_event last;
    size_t pos = 0;

    if (q->count == 0) {
        return false;
    }
    *out = q->heap[0];
    last = q->heap[--q->count];
    for (;;) {
        size_t child = CHILDREN * pos + 1;
        size_t end = child + CHILDREN < q->count ? child + CHILDREN : q->count;

        if (child >= q->count) {
            break;
        }
        for (size_t other = child + 1; other < end; other++) {
            child = before(&q->heap[other], &q->heap[child]) ? other : child;
        }
        if (before(&last, &q->heap[child])) {
            break;
        }
        q->heap[pos] = q->heap[child];
        pos = child;
    }
    if (q->count > 0) {
        q->heap[pos] = last;
    }
    return true;
}
