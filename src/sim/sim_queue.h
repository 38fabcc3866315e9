/* sim_queue.h - what will happen, ordered by time, then by when it was said.
 *
 * A wheel of wheels, as in kernels' timers, but exact: on level 0 a slot is a microsecond, on
 * level n it is 64^n of them. An event waits on the level of the highest digit (of base 64) in
 * which its time differs from now, in a list in the order of saying. When time reaches a slot of
 * a higher level its list is dealt out to the levels below, before anything can be said that
 * would belong there: so the order of saying is kept, without comparing anything.
 *
 * Time only grows: nothing is pushed that is earlier than what was popped last.
 */
#ifndef SIM_QUEUE_H
#define SIM_QUEUE_H
#include "base/base.h"

struct sim_world;
typedef void sim_fn(struct sim_world *w, uint64_t a, uint64_t b);

struct sim_event {
    uint64_t at_us;
    sim_fn *fn;
    uint64_t a, b;
    uint32_t next; /* in its slot, or among those that are free; 0: none */
};
enum { SIM_QUEUE_DIGIT = 6, SIM_QUEUE_SLOTS = 1 << SIM_QUEUE_DIGIT, SIM_QUEUE_LEVELS = 11 };
static_assert(SIM_QUEUE_DIGIT * SIM_QUEUE_LEVELS >= 64, "every time has a level");
struct sim_slot {
    uint32_t first, last; /* 0: empty */
};
struct sim_queue {
    struct sim_event *events; /* by number; 0 is never one */
    uint32_t used, cap, free;
    uint64_t now_us;                 /* of what was popped last */
    uint64_t full[SIM_QUEUE_LEVELS]; /* a bit for each slot that is not empty */
    struct sim_slot slots[SIM_QUEUE_LEVELS][SIM_QUEUE_SLOTS];
};
void sim_queue_free(struct sim_queue *q);
/* at_us: not before what was popped last. */
void sim_queue_push(struct sim_queue *q, uint64_t at_us, sim_fn *fn, uint64_t a, uint64_t b);
/* False: nothing left. */
bool sim_queue_pop(struct sim_queue *q, struct sim_event *out);
#endif
