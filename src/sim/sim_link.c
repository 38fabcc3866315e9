#include "sim/sim_link.h"

enum {
    MILLION = 1000000,
    TAIL_MAX = 50, /* the rarest delay, in spreads */
    RTO_US_MIN = 200000,
    RTO_US_SUM_MAX = 15000000,
};

void sim_link_draw(struct sim_link *l, const struct sim_options *o, struct prng dice)
{
    enum sim_link_shape shape = o->link_shape;

    if (shape == SIM_LINK_MIXED) {
        shape = (enum sim_link_shape)prng_below(&dice, SIM_LINK_MIXED);
    }
    *l = (struct sim_link){
        .shape = shape,
        .base_us = 1 + (o->links_differ ? prng_between(&dice, o->latency_us / 4, o->latency_us)
                                        : o->latency_us),
        .spread_us = o->jitter_us,
        .bytes_per_s = o->bytes_per_s,
    };
    l->dice = dice;
}

/* Exponential with this mean, in integers: the leading zeros of a random word are geometric,
 * and the bits behind them a good enough logarithm. */
static uint64_t exponential(struct prng *p, uint64_t mean)
{
    uint64_t word = prng_next(p) | 1;
    unsigned zeros = (unsigned)__builtin_clzll(word);
    uint64_t fraction = (word << zeros << 1) >> 44; /* 20 bits below the leading one */
    uint64_t halvings = ((uint64_t)(zeros + 1) << 20) - fraction;

    return (mean * halvings >> 20) * 693 / 1000; /* ln 2 */
}

static uint64_t root(uint64_t n)
{
    CHECK(n > 0);
    uint64_t top = 1ULL << ((63 - (unsigned)__builtin_clzll(n)) / 2), r = top;

    for (uint64_t bit = top >> 1; bit > 0; bit >>= 1) {
        if ((r + bit) * (r + bit) <= n) {
            r += bit;
        }
    }
    return r;
}

/* Pareto with exponent 2: one in a hundred is ten times the unit. */
static uint64_t pareto(struct prng *p, uint64_t unit)
{
    uint64_t u = 1 + prng_below(p, 1U << 20);

    return unit * 1024 / root(u) - unit;
}

static uint64_t beyond_base(struct sim_link *l)
{
    struct prng *p = &l->dice;
    uint64_t spread = l->spread_us;

    switch (l->shape) {
    case SIM_LINK_CONSTANT:
        return spread / 2;
    case SIM_LINK_UNIFORM:
        return prng_below(p, spread);
    case SIM_LINK_EXPONENTIAL:
        return exponential(p, spread / 3);
    case SIM_LINK_PARETO:
        return pareto(p, spread / 4);
    case SIM_LINK_BIMODAL: /* two ways through the network, one of them busy */
        return prng_chance(p, 9, 10) ? prng_below(p, spread / 8 + 1)
                                     : spread / 2 + prng_below(p, 2 * spread);
    case SIM_LINK_MIXED:
        break;
    }
    UNREACHABLE("shape of a link");
}

uint64_t sim_link_delay_us(struct sim_link *l, bool calm)
{
    uint64_t most = l->spread_us * (calm ? 1 : TAIL_MAX);
    uint64_t more = l->spread_us == 0 ? 0 : beyond_base(l);

    return l->base_us + (more < most ? more : most) + l->slow_us;
}

/* What TCP needs to notice the loss and send again. Often the pieces that follow tell it
 * within a round trip; at the end of a burst only the timer does. */
static uint64_t loss_us(struct sim_link *l, uint64_t round_us)
{
    uint64_t rto = round_us < RTO_US_MIN ? RTO_US_MIN : round_us;
    uint64_t sum = 0;

    while (prng_chance(&l->dice, l->loss_ppm, MILLION)) {
        if (sum == 0 && prng_chance(&l->dice, 1, 2)) {
            sum += round_us;
            continue;
        }
        sum += rto;
        rto *= 2;
        if (sum > RTO_US_SUM_MAX) {
            return UINT64_MAX;
        }
    }
    return sum;
}

uint64_t sim_link_arrival_us(struct sim_link *l, bool calm, uint64_t now_us, size_t bytes)
{
    uint64_t delay = sim_link_delay_us(l, calm);
    uint64_t lost = l->loss_ppm > 0 ? loss_us(l, 2 * delay) : 0;

    if (l->busy_until_us < now_us) {
        l->busy_until_us = now_us;
    }
    l->busy_until_us += bytes * MILLION / l->bytes_per_s;
    return lost == UINT64_MAX ? UINT64_MAX : l->busy_until_us + delay + lost;
}
