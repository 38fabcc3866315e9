/* sim_queue.h - what will happen, ordered by time, then by when it was said. */
#ifndef SIM_QUEUE_H
#define SIM_QUEUE_H
#include "base/base.h"

struct sim_world;
typedef void sim_fn(struct sim_world *w, uint64_t a, uint64_t b);

struct sim_event {
    uint64_t at_us;
    uint64_t seq; /* breaks ties: the order of two events never depends on the heap */
    sim_fn *fn;
    uint64_t a, b;
};
struct sim_queue {
    struct sim_event *heap;
    size_t count, cap;
    uint64_t seq;
};
void sim_queue_free(struct sim_queue *q);
void sim_queue_push(struct sim_queue *q, uint64_t at_us, sim_fn *fn, uint64_t a, uint64_t b);
/* False: nothing left. */
bool sim_queue_pop(struct sim_queue *q, struct sim_event *out);
#endif
