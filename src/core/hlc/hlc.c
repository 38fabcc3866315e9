#include "core/hlc/hlc.h"

struct hlc_stamp hlc_now(struct hlc *c, uint64_t wall_ms)
{
    uint64_t physical = wall_ms << 16;

    c->last.n = physical > c->last.n ? physical : c->last.n + 1;
    return c->last;
}

enum err hlc_witness(struct hlc *c, struct hlc_stamp seen, uint64_t wall_ms)
{
    if (hlc_ms(seen) > wall_ms + HLC_AHEAD_MS_MAX && seen.n > c->last.n) {
        return ERR_REFUSED;
    }
    if (seen.n > c->last.n) {
        c->last = seen;
    }
    return ERR_OK;
}
