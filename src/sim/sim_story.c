#include "sim/sim_story.h"

#include "sim/sim_net.h"

#include <stdio.h>

static const uint64_t MONTH_US = 30ULL * 24 * 3600 * 1000000; /* longer than any run */

struct sim_span sim_span(uint64_t us)
{
    struct sim_span s;
    uint64_t ms = us / 1000;

    if (us > MONTH_US) {
        (void)snprintf(s.text, sizeof s.text, "ever");
    } else if (us >= 1000000) {
        (void)snprintf(s.text, sizeof s.text, "%.6g s", (double)ms / 1e3);
    } else if (us >= 1000) {
        (void)snprintf(s.text, sizeof s.text, "%.4g ms", (double)us / 1e3);
    } else {
        (void)snprintf(s.text, sizeof s.text, "%lu us", us);
    }
    return s;
}

struct sim_who sim_who(uint32_t place)
{
    struct sim_who who;

    if (place < SIM_HOSTS_MAX) {
        (void)snprintf(who.text, sizeof who.text, "n%u", place);
    } else {
        (void)snprintf(who.text, sizeof who.text, "c%u", place - SIM_HOSTS_MAX);
    }
    return who;
}

static size_t put_side(const struct sim_options *o, uint64_t side, char *out, size_t size)
{
    size_t at = 0;

    for (uint32_t i = 0; i < o->hosts + o->clients && at < size; i++) {
        uint32_t place = i < o->hosts ? i : sim_place_of_client(i - o->hosts);

        if ((side >> place & 1) != 0) {
            at += (size_t)snprintf(out + at, size - at, "%s%s", at == 0 ? "" : " ",
                                   sim_who(place).text);
        }
    }
    if (at == 0) {
        at = (size_t)snprintf(out, size, "nobody");
    }
    return at < size ? at : size - 1;
}

struct sim_sides sim_sides(const struct sim_options *o, uint64_t side)
{
    struct sim_sides s;
    size_t at = put_side(o, side, s.text, sizeof s.text);

    at += (size_t)snprintf(s.text + at, sizeof s.text - at, " | ");
    if (at < sizeof s.text) {
        (void)put_side(o, ~side, s.text + at, sizeof s.text - at);
    }
    return s;
}
