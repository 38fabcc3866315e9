/* Edges of the contract of paxos.h that no trace reaches. */
#include "paxos_cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct paxos_config some_config(void)
{
    return (struct paxos_config){
        .self = {1},
        .retry_us = 100,
        .backoff_us_min = 10,
        .backoff_us_max = 1000,
        .value_bytes_max = 16,
        .council_of = cluster_council_of,
    };
}

static struct paxos *made(const struct paxos_recovered *rec)
{
    struct paxos_config cfg = some_config();
    struct paxos *p;

    assert_int_equal(paxos_create(&cfg, rec, 0, &p), ERR_OK);
    paxos_check(p);
    return p;
}

/* By definition: no set of q1 of them misses a set of q2. */
static bool always_meet(unsigned count, unsigned q1, unsigned q2)
{
    for (unsigned a = 0; a < 1U << count; a++) {
        for (unsigned b = 0; b < 1U << count; b++) {
            if ((unsigned)__builtin_popcount(a) == q1 && (unsigned)__builtin_popcount(b) == q2 &&
                (a & b) == 0) {
                return false;
            }
        }
    }
    return true;
}

static void quorums_that_must_meet_do(void **state)
{
    (void)state;
    for (unsigned count = 1; count <= 6; count++) {
        for (unsigned q1 = 0; q1 <= count + 1; q1++) {
            for (unsigned q2 = 0; q2 <= count + 1; q2++) {
                struct paxos_council c = {(uint8_t)count, (uint8_t)q1, (uint8_t)q2, {{0}}};
                bool possible = q1 > 0 && q2 > 0 && q1 <= count && q2 <= count;

                for (unsigned i = 0; i < count; i++) {
                    c.ids[i].n = 10 + i;
                }
                assert_int_equal(paxos_council_valid(&c), possible && always_meet(count, q1, q2));
            }
        }
    }
}

static void ballots_are_ordered(void **state)
{
    const struct paxos_ballot rising[] = {
        {0, {0}}, {1, {1}}, {1, {2}}, {2, {1}}, {2, {UINT64_MAX}}, {UINT64_MAX, {1}},
    };

    (void)state;
    for (int i = 0; i < (int)ARRAY_COUNT(rising); i++) {
        for (int k = 0; k < (int)ARRAY_COUNT(rising); k++) {
            assert_int_equal(paxos_ballot_cmp(rising[i], rising[k]), (i > k) - (i < k));
        }
    }
}

static void what_contradicts_itself_is_not_started(void **state)
{
    const struct paxos_ballot low = {1, {2}}, high = {2, {3}};
    const struct paxos_recovered rows[] = {
        {.decided = {1}, .value = SLICE("?")},        /* names no council */
        {.decided = {1}, .value = SLICE("a@12:1/1")}, /* whose quorums do not meet */
        {.decided = {1}, .value = SLICE("a@1"), .hard = {.instance = {3}}}, /* 2 is not known */
        {.decided = {1},
         .value = SLICE("a@1"),
         .hard = {.instance = {2}, .promised = low, .accepted = high, .value = SLICE("b")}},
        {.hard = {.instance = {1}, .promised = low}}, /* promised, but to whom? */
        {.decided = {1}, .value = SLICE("a@1"), .hard = {.round = UINT64_MAX}},
    };
    struct paxos_config cfg = some_config();
    struct paxos *p;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        assert_int_equal(paxos_create(&cfg, &rows[i], 0, &p), ERR_CORRUPT);
        assert_null(p);
    }
    paxos_destroy(NULL);
}

/* The write that opened the next instance was lost: what is there of the old one is over. */
static void an_older_instance_is_forgotten_the_round_is_not(void **state)
{
    const struct paxos_recovered rec = {
        .decided = {4},
        .value = SLICE("d@123"),
        .hard = {.round = 7,
                 .instance = {4},
                 .promised = {7, {1}},
                 .accepted = {7, {1}},
                 .value = SLICE("d@123")},
    };
    struct paxos *p = made(&rec);
    struct paxos_hard hard = paxos_hard(p);

    (void)state;
    assert_int_equal(hard.instance.n, 5);
    assert_int_equal(hard.round, 7);
    assert_int_equal(hard.promised.round, 0);
    assert_int_equal(hard.accepted.round, 0);
    assert_int_equal(paxos_deadline_us(p), UINT64_MAX);
    paxos_destroy(p);
}

static void proposals_are_judged(void **state)
{
    const struct paxos_recovered rec = {.decided = {1}, .value = SLICE("a@123")};
    const struct paxos_recovered nothing = {.decided = {0}};
    const struct paxos_instance next = {2};
    struct paxos *p = made(&nothing);

    (void)state;
    assert_int_equal(paxos_propose(p, 0, next, SLICE("b")), ERR_AGAIN);
    assert_int_equal(paxos_council_now(p)->count, 0);
    assert_int_equal(paxos_value(p).len, 0);
    paxos_destroy(p);

    p = made(&rec);
    assert_int_equal(paxos_propose(p, 0, (struct paxos_instance){1}, SLICE("b")), ERR_STALE);
    assert_int_equal(paxos_propose(p, 0, (struct paxos_instance){3}, SLICE("b")), ERR_AGAIN);
    assert_int_equal(paxos_propose(p, 0, next, SLICE("?")), ERR_BAD_ARGUMENT);
    assert_int_equal(paxos_propose(p, 0, next, SLICE("seventeen letters")), ERR_TOO_LARGE);
    assert_int_equal(paxos_learn(p, 0, next, SLICE("seventeen letters")), ERR_TOO_LARGE);
    assert_int_equal(paxos_learn(p, 0, next, SLICE("?")), ERR_BAD_INPUT);
    assert_int_equal(paxos_propose(p, 5, next, SLICE("b@123")), ERR_OK);
    assert_int_equal(paxos_deadline_us(p), 105);
    assert_int_equal(paxos_propose(p, 0, next, SLICE("c@123")), ERR_FULL);
    paxos_forget(p);
    assert_true(paxos_forgot(p));
    assert_int_equal(paxos_deadline_us(p), UINT64_MAX);
    assert_int_equal(paxos_propose(p, 0, next, SLICE("c@123")), ERR_REFUSED);
    paxos_check(p);
    paxos_destroy(p);
}

/* Its end is told once, by the flush, and cannot be withdrawn any more. */
static void an_end_is_told_once(void **state)
{
    const struct paxos_recovered rec = {.decided = {1}, .value = SLICE("a@123")};
    struct paxos_effects fx = {0};
    struct paxos *p = made(&rec);
    uint32_t ends = 0;

    (void)state;
    assert_true(paxos_withdraw(p)); /* nothing */
    assert_int_equal(paxos_propose(p, 0, (struct paxos_instance){2}, SLICE("b@123")), ERR_OK);
    assert_int_equal(paxos_learn(p, 0, (struct paxos_instance){2}, SLICE("c@123")), ERR_OK);
    assert_false(paxos_withdraw(p));
    assert_int_equal(paxos_propose(p, 0, (struct paxos_instance){3}, SLICE("d@123")), ERR_FULL);
    paxos_flush(p, 1, &fx);
    for (uint32_t i = 0; i < fx.count; i++) {
        if (fx.at[i].kind == PAXOS_PROPOSAL_OVER) {
            assert_int_equal(fx.at[i].u.over.instance.n, 2);
            assert_int_equal(fx.at[i].u.over.outcome, PAXOS_LOST);
            ends++;
        }
    }
    assert_int_equal(ends, 1);
    paxos_flush(p, 1, &fx);
    assert_int_equal(fx.count, 0);
    assert_true(paxos_withdraw(p));
    paxos_check(p);
    paxos_effects_free(&fx);
    paxos_destroy(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quorums_that_must_meet_do),
        cmocka_unit_test(ballots_are_ordered),
        cmocka_unit_test(what_contradicts_itself_is_not_started),
        cmocka_unit_test(an_older_instance_is_forgotten_the_round_is_not),
        cmocka_unit_test(proposals_are_judged),
        cmocka_unit_test(an_end_is_told_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
