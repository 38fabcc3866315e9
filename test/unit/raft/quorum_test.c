/* quorum_test.c - the vote rules: rows by name, then random sets against a dumb twin. */
#include "base/base_prng.h"
#include "core/quorum/quorum.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    uint32_t count;
    uint64_t values[5];
    uint64_t reached;
} reached_rows[] = {
    {"nobody: no condition", 0, {0}, UINT64_MAX},
    {"alone", 1, {7}, 7},
    {"two: both are needed", 2, {7, 3}, 3},
    {"three: the middle one", 3, {9, 1, 5}, 5},
    {"three equal", 3, {4, 4, 4}, 4},
    {"three, one silent", 3, {0, 8, 6}, 6},
    {"three, two silent", 3, {0, 8, 0}, 0},
    {"four: three are needed", 4, {4, 3, 2, 1}, 2},
    {"five: the middle one", 5, {5, 1, 4, 2, 3}, 3},
    {"largest", 1, {UINT64_MAX}, UINT64_MAX},
};

#define Y QUORUM_YES
#define N QUORUM_NO
#define U QUORUM_UNHEARD
static const struct {
    const char *name;
    uint32_t count;
    enum quorum_vote votes[5];
    enum quorum_outcome outcome;
} vote_rows[] = {
    {"nobody: no condition", 0, {U}, QUORUM_WON},
    {"alone, not yet", 1, {U}, QUORUM_OPEN},
    {"alone, yes", 1, {Y}, QUORUM_WON},
    {"alone, no", 1, {N}, QUORUM_LOST},
    {"two: half is not enough", 2, {Y, U}, QUORUM_OPEN},
    {"two: half against is enough", 2, {Y, N}, QUORUM_LOST},
    {"three: one yes", 3, {Y, U, U}, QUORUM_OPEN},
    {"three: two yes", 3, {Y, U, Y}, QUORUM_WON},
    {"three: one of each", 3, {Y, N, U}, QUORUM_OPEN},
    {"three: two no", 3, {N, U, N}, QUORUM_LOST},
    {"four: split", 4, {Y, Y, N, N}, QUORUM_LOST},
    {"five: two yes two no", 5, {Y, Y, N, N, U}, QUORUM_OPEN},
};

/* By definition: the largest value that a majority reaches. */
static uint64_t dumb_reached(const uint64_t *values, uint32_t count)
{
    uint64_t best = 0;

    if (count == 0) {
        return UINT64_MAX;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at_least = 0;

        for (uint32_t k = 0; k < count; k++) {
            at_least += values[k] >= values[i];
        }
        if (2 * at_least > count && values[i] > best) {
            best = values[i];
        }
    }
    return best;
}

static int check_rows(void)
{
    int bad = 0;

    for (size_t i = 0; i < ARRAY_COUNT(reached_rows); i++) {
        if (quorum_reached(reached_rows[i].values, reached_rows[i].count) !=
            reached_rows[i].reached) {
            printf("reached: %s\n", reached_rows[i].name);
            bad++;
        }
    }
    for (size_t i = 0; i < ARRAY_COUNT(vote_rows); i++) {
        if (quorum_count(vote_rows[i].votes, vote_rows[i].count) != vote_rows[i].outcome) {
            printf("votes: %s\n", vote_rows[i].name);
            bad++;
        }
    }
    return bad;
}

/* Flexible quorums: what one more or one less needed makes of the same votes. */
static const struct {
    const char *name;
    struct quorum_tally tally;
    enum quorum_outcome outcome;
} needed_rows[] = {
    {"one of three, unheard", {3, 1, {U, U, U}}, QUORUM_OPEN},
    {"one of three, one yes", {3, 1, {N, N, Y}}, QUORUM_WON},
    {"one of three, two no", {3, 1, {N, N, U}}, QUORUM_OPEN},
    {"one of three, all no", {3, 1, {N, N, N}}, QUORUM_LOST},
    {"all of three, two yes", {3, 3, {Y, Y, U}}, QUORUM_OPEN},
    {"all of three", {3, 3, {Y, Y, Y}}, QUORUM_WON},
    {"all of three, one no", {3, 3, {Y, N, U}}, QUORUM_LOST},
    {"four of five, one no", {5, 4, {Y, Y, N, Y, U}}, QUORUM_OPEN},
    {"four of five, two no", {5, 4, {Y, Y, N, Y, N}}, QUORUM_LOST},
    {"alone", {1, 1, {Y}}, QUORUM_WON},
};

static int check_needed(void)
{
    int bad = 0;

    for (size_t i = 0; i < ARRAY_COUNT(needed_rows); i++) {
        if (quorum_count_needed(&needed_rows[i].tally) != needed_rows[i].outcome) {
            printf("needed: %s\n", needed_rows[i].name);
            bad++;
        }
    }
    /* A majority is one of them. */
    for (size_t i = 0; i < ARRAY_COUNT(vote_rows); i++) {
        struct quorum_tally t = {vote_rows[i].count, quorum_majority(vote_rows[i].count), {U}};

        memcpy(t.votes, vote_rows[i].votes, sizeof vote_rows[i].votes);
        bad += t.count > 0 && quorum_count_needed(&t) != vote_rows[i].outcome;
    }
    return bad;
}

static int check_joint(void)
{
    static const enum quorum_outcome all[] = {QUORUM_OPEN, QUORUM_WON, QUORUM_LOST};
    int bad = 0;

    for (int a = 0; a < 3; a++) {
        for (int b = 0; b < 3; b++) {
            bool won = all[a] == QUORUM_WON && all[b] == QUORUM_WON;
            bool lost = all[a] == QUORUM_LOST || all[b] == QUORUM_LOST;

            bad += quorum_joint(all[a], all[b]) != (won    ? QUORUM_WON
                                                    : lost ? QUORUM_LOST
                                                           : QUORUM_OPEN);
        }
    }
    return bad;
}

static int check_twin(void)
{
    struct prng prng = {11};
    int bad = 0;

    for (int round = 0; round < 100000; round++) {
        uint64_t now[QUORUM_MEMBERS_MAX], old[QUORUM_MEMBERS_MAX], a, b;
        uint32_t now_count = (uint32_t)prng_below(&prng, 8);
        uint32_t old_count = (uint32_t)prng_below(&prng, 8);

        for (uint32_t i = 0; i < QUORUM_MEMBERS_MAX; i++) {
            now[i] = prng_below(&prng, 6);
            old[i] = prng_below(&prng, 6);
        }
        a = dumb_reached(now, now_count);
        b = dumb_reached(old, old_count);
        bad += quorum_reached(now, now_count) != a;
        bad += quorum_reached_joint(now, now_count, old, old_count) != (a < b ? a : b);
    }
    return bad;
}

int main(void)
{
    int bad = check_rows() + check_needed() + check_joint() + check_twin();

    printf("%d failed\n", bad);
    return bad != 0;
}
