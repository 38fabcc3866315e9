/* hlc.h - hybrid logical clock: physical milliseconds that never run backwards.
 *
 * Source: Kulkarni, Demirbas et al., Logical Physical Clocks (2014), algorithm 1.
 * A stamp is 48 bits of milliseconds since 1970 and 16 bits of logical count.
 */
#ifndef HLC_H
#define HLC_H
#include "base/base.h"

struct hlc_stamp {
    uint64_t n; /* milliseconds << 16 | logical */
};
struct hlc {
    struct hlc_stamp last;
};
static inline uint64_t hlc_ms(struct hlc_stamp s)
{
    return s.n >> 16;
}
/* A stamp later than every earlier one, for a local or send event. */
struct hlc_stamp hlc_now(struct hlc *c, uint64_t wall_ms);
/* Take note of a stamp from elsewhere: all later stamps exceed it. A stamp more
 * than HLC_AHEAD_MS_MAX ahead of the wall clock is refused with ERR_REFUSED, so
 * that one broken clock cannot drag the cluster's time away. */
enum { HLC_AHEAD_MS_MAX = 60 * 1000 };
MUST_USE enum err hlc_witness(struct hlc *c, struct hlc_stamp seen, uint64_t wall_ms);
#endif
