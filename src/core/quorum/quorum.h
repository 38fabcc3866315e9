/* quorum.h - the vote rules: what a majority of one or two sets of voters agrees on.
 *
 * Pure functions of their arguments. A set with no members puts no condition on
 * the outcome: that is how a configuration that is not joint has an empty second half.
 *
 * Source: [R] s5.3 (commit index), s6 (joint majorities); [D] 4.3, 6.4.1 (leases).
 */
#ifndef QUORUM_H
#define QUORUM_H
#include "base/base.h"

enum { QUORUM_MEMBERS_MAX = 16 };

/* How many of count make a majority. */
static inline uint32_t quorum_majority(uint32_t count)
{
    return count / 2 + 1;
}

/* The largest number that a majority of the values reaches. For match indexes:
 * what is committed; for times: since when a majority has been heard; for
 * rounds: the newest one a majority confirmed. UINT64_MAX: no values. */
uint64_t quorum_reached(const uint64_t *values, uint32_t count);
/* Of two sets at once: what the majorities of both reach. */
uint64_t quorum_reached_joint(const uint64_t *now, uint32_t now_count, const uint64_t *old,
                              uint32_t old_count);

enum quorum_vote { QUORUM_UNHEARD, QUORUM_YES, QUORUM_NO };
enum quorum_outcome {
    QUORUM_OPEN, /* more answers may still decide it */
    QUORUM_WON,
    QUORUM_LOST, /* a majority can no longer be had */
};
enum quorum_outcome quorum_count(const enum quorum_vote *votes, uint32_t count);
/* The same where not a majority but `needed` of the members decide (flexible quorums). */
struct quorum_tally {
    uint32_t count, needed;
    enum quorum_vote votes[QUORUM_MEMBERS_MAX];
};
enum quorum_outcome quorum_count_needed(const struct quorum_tally *t);
/* Won when both are won, lost when either is. */
enum quorum_outcome quorum_joint(enum quorum_outcome a, enum quorum_outcome b);
#endif
