/* What goes wrong between machines. */
#include "sim/sim_fault.h"
#include "sim/sim_world.h"

static void unblock_event(struct sim_world *w, uint64_t from, uint64_t to)
{
    if (w->phase == SIM_FAULTS) {
        sim_net_block(w, (uint32_t)from, (uint32_t)to, false);
    }
}

void sim_fault_cut(struct sim_world *w, uint32_t from, uint32_t to, uint64_t us)
{
    sim_net_block(w, from, to, true);
    sim_in(w, us, unblock_event, from, to);
}

void sim_fault_freeze(struct sim_world *w, uint32_t from, uint32_t to, uint64_t us)
{
    sim_net_freeze(w, from, to);
    sim_in(w, us, unblock_event, from, to);
}

void sim_fault_partition(struct sim_world *w, bool one_way)
{
    /* Each place falls on a side; clients may be on either. */
    uint64_t side = prng_below(&w->rng, 1U << SIM_PLACES);
    uint64_t us = sim_fault_length_us(w);
    bool bridge = !one_way && prng_chance(&w->rng, 1, 4);
    uint64_t middle = prng_below(&w->rng, w->opt.hosts); /* reaches both sides */

    sim_say(w, SIM_LOG_SHORT, "partition %s sides %lx for %lu us", one_way ? "one way" : "", side,
            us);
    for (uint32_t from = 0; from < SIM_PLACES; from++) {
        for (uint32_t to = 0; to < SIM_PLACES; to++) {
            bool cut = (side >> from & 1) != (side >> to & 1);

            if (bridge && (from == middle || to == middle)) {
                cut = false;
            }
            if (cut && (!one_way || (side >> from & 1) == 1)) {
                sim_fault_cut(w, from, to, one_way ? us : us + prng_below(&w->rng, us / 2 + 1));
            }
        }
    }
}

static void unslow_event(struct sim_world *w, uint64_t from, uint64_t to)
{
    w->net.slow_us[from][to] = 0;
}

void sim_fault_slow_link(struct sim_world *w)
{
    uint64_t from = prng_below(&w->rng, SIM_PLACES);
    uint64_t to = prng_below(&w->rng, SIM_PLACES);

    w->net.slow_us[from][to] = prng_between(&w->rng, 1000, 500000);
    sim_say(w, SIM_LOG_SHORT, "link %lu->%lu slow by %lu us", from, to, w->net.slow_us[from][to]);
    sim_in(w, sim_fault_length_us(w), unslow_event, from, to);
}
