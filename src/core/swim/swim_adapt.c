/* swim_adapt.c - what is measured, and how long and how often follows from it.
 * Pure arithmetic on integers: the same on every machine. */
#include "core/swim/swim_internal.h"

enum {
    PPM = 1000000,
    LOSS_WEIGHT = 16, /* one sample moves the estimate by a sixteenth of the difference */
    RTT_WEIGHT = 8,   /* as TCP does (RFC 6298) */
    RTT_VAR_WEIGHT = 4,
    LOG2_10_Q16 = 217706, /* log2(10) * 65536, rounded up: what is divided by it is not too long */
};

uint32_t swim_log2_q16(uint64_t x)
{
    uint32_t whole, frac = 0;
    uint64_t y;

    CHECK(x > 0);
    whole = 63 - (uint32_t)__builtin_clzll(x);
    y = whole >= 31 ? x >> (whole - 31) : x << (31 - whole); /* 1.0 <= y < 2.0 in 1/2^31 */
    for (uint32_t bit = 1u << 15; bit > 0; bit >>= 1) {
        y = (y * y) >> 31;
        if (y >= 1ULL << 32) {
            y >>= 1;
            frac |= bit;
        }
    }
    return (whole << 16) | frac;
}

uint64_t swim_log10_times(uint64_t x, uint64_t factor)
{
    return (factor * swim_log2_q16(x) + LOG2_10_Q16 - 1) / LOG2_10_Q16;
}

/* [LG] s. IV-B: longest - (longest - shortest) * log(c + 1) / log(k + 1), not below shortest. */
uint64_t swim_suspicion_us(uint64_t shortest, uint64_t longest, uint32_t confirmed, uint32_t needed)
{
    if (needed == 0 || confirmed >= needed) {
        return shortest;
    }
    return longest -
           (longest - shortest) * swim_log2_q16(confirmed + 1) / swim_log2_q16(needed + 1);
}

void swim_health_add(struct swim *s, int delta)
{
    int health = (int)s->health + delta;

    health = health < 0 ? 0 : health;
    s->health = (uint32_t)health > s->cfg.health_max ? s->cfg.health_max : (uint32_t)health;
    SOMETIMES(s->health == SWIM_HEALTH_MAX, "swim: the local health was at its worst");
}

uint64_t swim_rtt_after(uint64_t rtt_us, uint64_t sample_us)
{
    return rtt_us == 0 ? sample_us
                       : (rtt_us * (RTT_WEIGHT - 1) + sample_us + RTT_WEIGHT / 2) / RTT_WEIGHT;
}

uint32_t swim_loss_after(uint32_t loss_ppm, bool lost)
{
    return (loss_ppm * (LOSS_WEIGHT - 1) + (lost ? PPM : 0)) / LOSS_WEIGHT;
}

void swim_rtt_sample(struct swim *s, uint64_t rtt_us)
{
    uint64_t error;

    rtt_us = rtt_us == 0 ? 1 : rtt_us;
    if (s->rtt_us == 0) {
        s->rtt_us = rtt_us;
        s->rtt_var_us = rtt_us / 2;
        return;
    }
    error = rtt_us > s->rtt_us ? rtt_us - s->rtt_us : s->rtt_us - rtt_us;
    s->rtt_var_us = (s->rtt_var_us * (RTT_VAR_WEIGHT - 1) + error) / RTT_VAR_WEIGHT;
    s->rtt_us = swim_rtt_after(s->rtt_us, rtt_us);
}

void swim_loss_sample(struct swim *s, bool lost)
{
    s->loss_ppm = swim_loss_after(s->loss_ppm, lost);
}

uint32_t swim_living(const struct swim *s)
{
    return s->counts[SWIM_ALIVE] + s->counts[SWIM_SUSPECT];
}

static uint64_t clamp(uint64_t x, uint64_t low, uint64_t high)
{
    return x < low ? low : x > high ? high : x;
}

/* Eight deviations above the mean: the estimate is of all members, near and far, so it must
 * allow for their differences and not only for jitter. */
static uint64_t base_timeout(const struct swim *s)
{
    if (s->rtt_us == 0) {
        return s->cfg.timeout_us;
    }
    return clamp(2 * s->rtt_us + 8 * s->rtt_var_us, s->cfg.timeout_us_min, s->cfg.timeout_us);
}

/* A period holds a direct attempt and an indirect one of twice its length [SWIM s3.1]. */
uint64_t swim_base_us(const struct swim *s)
{
    return clamp(3 * base_timeout(s), s->cfg.probe_us, s->cfg.probe_us_max);
}

uint64_t swim_probe_us(const struct swim *s)
{
    return swim_base_us(s) * (s->health + 1);
}

uint64_t swim_timeout_us(const struct swim *s)
{
    return base_timeout(s) * (s->health + 1);
}

uint64_t swim_gossip_us_for(const struct swim_config *cfg, uint64_t rtt_us)
{
    return clamp(4 * rtt_us, cfg->gossip_us_min, cfg->gossip_us_max);
}

uint64_t swim_gossip_us(const struct swim *s)
{
    return swim_gossip_us_for(&s->cfg, s->rtt_us);
}

/* What a share of the packets is lost, is sent so much more often. */
static uint32_t against_loss(uint32_t loss_ppm, uint32_t base, uint32_t max)
{
    uint32_t kept = PPM - (loss_ppm > PPM / 2 ? PPM / 2 : loss_ppm);

    return (uint32_t)clamp(((uint64_t)base * PPM + kept - 1) / kept, base, max);
}

uint32_t swim_fanout_for(const struct swim_config *cfg, uint32_t loss_ppm)
{
    return against_loss(loss_ppm, cfg->fanout, cfg->fanout_max);
}

uint32_t swim_transmits_for(const struct swim_config *cfg, uint32_t loss_ppm, uint32_t living)
{
    uint32_t lambda = against_loss(loss_ppm, cfg->retransmit, cfg->retransmit_max);

    return (uint32_t)clamp(swim_log10_times((uint64_t)living + 1, lambda), 1, SWIM_TRANSMITS_MAX);
}

uint32_t swim_fanout(const struct swim *s)
{
    return swim_fanout_for(&s->cfg, s->loss_ppm);
}

uint32_t swim_transmits(const struct swim *s)
{
    return swim_transmits_for(&s->cfg, s->loss_ppm, swim_living(s));
}

/* Every doubling beyond 32 members adds one interval: the cluster's total stays near linear. */
uint64_t swim_sync_us(const struct swim *s)
{
    uint32_t n = swim_living(s), doublings = 0;

    for (; n > 32; n = (n + 1) / 2) {
        doublings++;
    }
    return s->cfg.sync_us * (doublings + 1);
}

uint64_t swim_suspicion_min_us(const struct swim *s)
{
    uint64_t periods = s->cfg.suspicion_mult * swim_base_us(s);
    uint32_t n = swim_living(s);

    return n <= 10 ? periods : swim_log10_times(n, periods);
}
