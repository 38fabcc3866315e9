/* sim_live.h - what must work again when the faults end: through whom, and by when.
 *
 * Often not everyone comes back: a minority stays dead, asleep, cut off, deaf or mute, and the
 * core, which has a majority of every partition, must serve all the same. Only then does
 * everyone heal, and replicas must become equal.
 *
 * The bounds follow from the product's own timeouts; see sim_live.c.
 */
#ifndef SIM_LIVE_H
#define SIM_LIVE_H
#include "base/base_prng.h"

struct sim_world;

enum sim_outside {
    SIM_OUTSIDE_DEAD,   /* its process is gone */
    SIM_OUTSIDE_DARK,   /* its machine is: nothing answers at its address */
    SIM_OUTSIDE_ASLEEP, /* its kernel answers, nobody else */
    SIM_OUTSIDE_CUT,
    SIM_OUTSIDE_DEAF, /* it is heard, and hears nothing */
    SIM_OUTSIDE_MUTE,
    SIM_OUTSIDE_KINDS
};
struct sim_live {
    uint32_t outsiders;        /* a bit per host */
    uint32_t damaged;          /* lost a part of its data, and is perhaps not yet rebuilt */
    uint64_t core_us, heal_us; /* how long it took */
};
/* The faults are over. True: some stay away; the others were healed. */
bool sim_live_begin(struct sim_world *w);
/* Long enough for whatever may still be unnoticed after the faults. */
uint64_t sim_live_settle_us(const struct sim_world *w);
/* Whether what a client sent then to the host it is connected to must have succeeded. */
bool sim_live_must_succeed(const struct sim_world *w, uint32_t host, uint64_t sent_us);
/* The core cannot be asked to serve: a replica of it is still being rebuilt, by bad luck of a
 * kind that nobody announced. */
bool sim_live_excused(struct sim_world *w);
bool sim_live_in_core(const struct sim_world *w, uint32_t host);
/* A host that clients may use: any, or one of the core. */
uint32_t sim_live_host(const struct sim_world *w, struct prng *dice);
/* From the end of the faults until the core serves; until all replicas have leaders and votes. */
uint64_t sim_live_core_bound_us(const struct sim_world *w);
uint64_t sim_live_heal_bound_us(const struct sim_world *w);
#endif
