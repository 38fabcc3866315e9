/* What the papers say, in numbers. */
#include "sim/sim_gossip.h"

#include <math.h>

static double kept_of(uint32_t loss_ppm)
{
    return 1.0 - (double)loss_ppm / 1e6;
}

/* What one member gives, or gets, in a round in which nearly nobody knows. */
static double growth_of(enum sim_gossip_mode mode, double fanout, double kept)
{
    double push = fanout * kept, pull = fanout * kept * kept; /* a question and an answer */

    switch (mode) {
    case SIM_GOSSIP_PUSH:
        return push;
    case SIM_GOSSIP_PULL:
        return pull;
    case SIM_GOSSIP_PUSH_PULL:
    case SIM_GOSSIP_MODES:
        break;
    }
    return push + pull;
}

/* Rounds in which the last half learns. */
static double shrink_of(enum sim_gossip_mode mode, double n, double fanout, double kept)
{
    double twice, steady;

    if (mode == SIM_GOSSIP_PUSH) {
        return log(n) / (fanout * kept);
    }
    /* Who asks and is unlucky fails as those it asks do not know: the share left is squared (and
     * more, for a larger fan-out) each round; or its packets are lost: a constant factor. */
    twice = log(log(n)) / log(1 + fanout);
    if (kept >= 1.0) {
        return twice > 0 ? twice : 0;
    }
    steady = log(n) /
             (-fanout * log(1 - kept * kept) + (mode == SIM_GOSSIP_PUSH_PULL ? fanout * kept : 0));
    return twice > steady ? twice : steady;
}

double sim_gossip_theory_rounds(enum sim_gossip_mode mode, uint32_t nodes, uint32_t fanout,
                                uint32_t loss_ppm)
{
    double n = nodes, kept = kept_of(loss_ppm);

    return log(n) / log(1 + growth_of(mode, fanout, kept)) + shrink_of(mode, n, fanout, kept);
}

double sim_gossip_theory_intervals(const struct sim_gossip_spread_setup *s)
{
    double n = s->world.nodes, fanout = s->cfg.fanout, kept = kept_of(s->world.loss_ppm);
    double latency =
        (double)(s->world.latency_us_min + s->world.latency_us_max) / 2 / (double)s->interval_us;
    double gives = growth_of(s->mode, fanout, kept), low = 0, high = gives;

    for (int i = 0; i < 60; i++) {
        double g = (low + high) / 2;

        if (g * exp(g * latency) < gives) {
            low = g;
        } else {
            high = g;
        }
    }
    return log(n) / low + shrink_of(s->mode, n, fanout, kept) + latency;
}

double sim_gossip_theory_rumours(enum sim_gossip_mode mode, uint32_t nodes, uint32_t fanout,
                                 uint32_t loss_ppm)
{
    double n = nodes, kept = kept_of(loss_ppm);

    (void)fanout; /* more at a time, and fewer times */
    switch (mode) {
    case SIM_GOSSIP_PUSH:
        return log(n) / kept;
    case SIM_GOSSIP_PULL:
        return 1 / kept;
    case SIM_GOSSIP_PUSH_PULL:
    case SIM_GOSSIP_MODES:
        break;
    }
    return n > 15 ? log(log(n)) : 1;
}

double sim_gossip_theory_detection(uint32_t nodes)
{
    double others = (double)nodes - 1;

    /* Each of the others probes one of its others: 1 / (1 - (1 - 1/(n-1))^(n-1)), e/(e-1) for
     * many. The dead one does not probe: n - 1 probers choose among n - 1. */
    return others < 2 ? 1 : 1 / (1 - pow(1 - 1 / others, others));
}
