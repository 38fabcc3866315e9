/* base_prng.h - seeded pseudo-random numbers; each machine owns its own.
 *
 * splitmix64 (Steele, Lea, Flood 2014): one word of state, so that a seed can be
 * logged and replayed. Not for secrets.
 */
#ifndef BASE_PRNG_H
#define BASE_PRNG_H
#include "base/base.h"

struct prng {
    uint64_t state;
};
static inline uint64_t prng_next(struct prng *p)
{
    uint64_t z = (p->state += 0x9e3779b97f4a7c15ULL);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}
/* Uniform in [0, bound); bound > 0. The bias of the multiply is below 2^-32 for
 * the bounds in use. */
static inline uint64_t prng_below(struct prng *p, uint64_t bound)
{
    return (uint64_t)(((unsigned __int128)prng_next(p) * bound) >> 64);
}
/* Uniform in [low, high], both included. */
static inline uint64_t prng_between(struct prng *p, uint64_t low, uint64_t high)
{
    return low + prng_below(p, high - low + 1);
}
/* True with probability part / whole. */
static inline bool prng_chance(struct prng *p, uint64_t part, uint64_t whole)
{
    return prng_below(p, whole) < part;
}
#endif
