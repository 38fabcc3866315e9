#include "sim/sim_clock.h"

enum { MILLION = 1000000 };
static const uint64_t wall_start_ms = 1700000000000ULL;

uint64_t sim_clock_mono_us(const struct sim_clock *c, uint64_t now_us)
{
    uint64_t passed = now_us - c->anchor_us;
    int64_t extra = (int64_t)passed * c->drift_ppm / MILLION;

    CHECK(now_us >= c->anchor_us);
    return c->anchor_mono_us + passed + (uint64_t)extra;
}

void sim_clock_drift(struct sim_clock *c, uint64_t now_us, int64_t drift_ppm)
{
    c->anchor_mono_us = sim_clock_mono_us(c, now_us);
    c->anchor_us = now_us;
    c->drift_ppm = drift_ppm;
}

int64_t sim_clock_draw_ppm(struct prng *p, int64_t base_ppm)
{
    uint64_t what = prng_below(p, 3);

    return base_ppm + (what == 0   ? 0
                       : what == 1 ? SIM_CLOCKS_APART_PPM
                                   : (int64_t)prng_below(p, SIM_CLOCKS_APART_PPM + 1));
}

int64_t sim_clock_draw_far_ppm(struct prng *p)
{
    static const int64_t rates[] = {-500000, -300000, 0, 400000, 1000000};

    return rates[prng_below(p, ARRAY_COUNT(rates))];
}

void sim_clock_stood(struct sim_clock *c, uint64_t since_us, uint64_t now_us)
{
    /* Its rate may have changed meanwhile: what was shown then stays shown. */
    since_us = since_us > c->anchor_us ? since_us : c->anchor_us;
    c->anchor_mono_us = sim_clock_mono_us(c, since_us);
    c->anchor_us = now_us;
    c->wall_offset_ms -= (int64_t)((now_us - since_us) / 1000);
}

void sim_clock_calm(struct sim_clock *c, uint64_t now_us)
{
    int64_t ppm = c->drift_ppm;

    if (ppm != 0) {
        sim_clock_drift(c, now_us, ppm < -10000 || ppm > 10000 ? 0 : ppm / 2);
    }
}

uint64_t sim_clock_wall_ms(const struct sim_clock *c, uint64_t now_us)
{
    return wall_start_ms + now_us / 1000 + (uint64_t)c->wall_offset_ms;
}

uint64_t sim_clock_world_us(const struct sim_clock *c, uint64_t mono_us)
{
    uint64_t passed;

    if (mono_us <= c->anchor_mono_us) {
        return c->anchor_us;
    }
    passed = mono_us - c->anchor_mono_us;
    if (passed > (uint64_t)1 << 40) { /* "never" */
        return UINT64_MAX;
    }
    return c->anchor_us + passed * MILLION / (uint64_t)(MILLION + c->drift_ppm) + 1;
}
