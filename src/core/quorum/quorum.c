#include "core/quorum/quorum.h"

uint64_t quorum_reached(const uint64_t *values, uint32_t count)
{
    uint64_t sorted[QUORUM_MEMBERS_MAX]; /* greatest first */

    CHECK(count <= QUORUM_MEMBERS_MAX);
    if (count == 0) {
        return UINT64_MAX;
    }
    /* Insertion: the sets have three, five or seven members. */
    for (uint32_t i = 0; i < count; i++) {
        uint32_t place = i;

        while (place > 0 && sorted[place - 1] < values[i]) {
            sorted[place] = sorted[place - 1];
            place--;
        }
        sorted[place] = values[i];
    }
    return sorted[quorum_majority(count) - 1];
}

uint64_t quorum_reached_joint(const uint64_t *now, uint32_t now_count, const uint64_t *old,
                              uint32_t old_count)
{
    uint64_t a = quorum_reached(now, now_count), b = quorum_reached(old, old_count);

    return a < b ? a : b;
}

enum quorum_outcome quorum_count(const enum quorum_vote *votes, uint32_t count)
{
    uint32_t yes = 0, no = 0;

    CHECK(count <= QUORUM_MEMBERS_MAX);
    if (count == 0) {
        return QUORUM_WON;
    }
    for (uint32_t i = 0; i < count; i++) {
        yes += votes[i] == QUORUM_YES;
        no += votes[i] == QUORUM_NO;
    }
    if (yes >= quorum_majority(count)) {
        return QUORUM_WON;
    }
    return count - no < quorum_majority(count) ? QUORUM_LOST : QUORUM_OPEN;
}

enum quorum_outcome quorum_count_needed(const struct quorum_tally *t)
{
    uint32_t yes = 0, no = 0;

    CHECK(t->count <= QUORUM_MEMBERS_MAX);
    CHECK(t->needed > 0 && t->needed <= t->count);
    for (uint32_t i = 0; i < t->count; i++) {
        yes += t->votes[i] == QUORUM_YES;
        no += t->votes[i] == QUORUM_NO;
    }
    if (yes >= t->needed) {
        return QUORUM_WON;
    }
    return t->count - no < t->needed ? QUORUM_LOST : QUORUM_OPEN;
}

enum quorum_outcome quorum_joint(enum quorum_outcome a, enum quorum_outcome b)
{
    if (a == QUORUM_LOST || b == QUORUM_LOST) {
        return QUORUM_LOST;
    }
    return a == QUORUM_WON && b == QUORUM_WON ? QUORUM_WON : QUORUM_OPEN;
}
