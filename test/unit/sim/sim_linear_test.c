/* The linearizability checker against histories whose verdict is known. */
#include "base/base_prng.h"
#include "sim/sim_check_linear.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { OPS_MAX = 400 };
static struct sim_op ops[OPS_MAX];
static uint32_t count;

static struct sim_op *op(enum sim_op_kind kind, uint64_t a, uint64_t r, uint64_t from, uint64_t to)
{
    ops[count] = (struct sim_op){.id = count + 1,
                                 .client = SIM_CLIENT_ANY, /* each asks for itself */
                                 .kind = kind,
                                 .a = {a, a},
                                 .r = {r},
                                 .outcome = SIM_OP_OK,
                                 .invoke_us = from,
                                 .return_us = to};
    return &ops[count++];
}

static void lost(struct sim_op *o)
{
    o->outcome = SIM_OP_UNKNOWN;
    o->return_us = UINT64_MAX;
}

static enum sim_verdict verdict(void)
{
    struct sim_linear_report report;
    enum sim_verdict v = sim_check_linear(ops, count, &report);

    assert_true((v == SIM_LINEAR) == (report.stuck_id == 0));
    count = 0;
    return v;
}

static void registers(void **state)
{
    (void)state;
    assert_int_equal(verdict(), SIM_LINEAR); /* nothing happened */

    op(SIM_OP_SET, 7, 0, 1, 2);
    op(SIM_OP_GET, 0, 7, 3, 4);
    assert_int_equal(verdict(), SIM_LINEAR);

    /* A lost write: answered, then not there. */
    op(SIM_OP_SET, 7, 0, 1, 2);
    op(SIM_OP_GET, 0, 0, 3, 4);
    assert_int_equal(verdict(), SIM_NOT_LINEAR);

    /* Overlapping: either answer is right, but not back and forth. */
    op(SIM_OP_SET, 7, 0, 1, 10);
    op(SIM_OP_GET, 0, 0, 3, 4);
    op(SIM_OP_GET, 0, 7, 5, 6);
    assert_int_equal(verdict(), SIM_LINEAR);
    op(SIM_OP_SET, 7, 0, 1, 10);
    op(SIM_OP_GET, 0, 7, 3, 4);
    op(SIM_OP_GET, 0, 0, 5, 6);
    assert_int_equal(verdict(), SIM_NOT_LINEAR);

    /* A stale read after a newer write was answered. */
    op(SIM_OP_SET, 7, 0, 1, 2);
    op(SIM_OP_SET, 8, 0, 3, 4);
    op(SIM_OP_GET, 0, 7, 5, 6);
    assert_int_equal(verdict(), SIM_NOT_LINEAR);
}

static void unknown_outcomes(void **state)
{
    (void)state;
    /* It may have happened, even much later ... */
    lost(op(SIM_OP_SET, 7, 0, 1, 2));
    op(SIM_OP_GET, 0, 0, 3, 4);
    op(SIM_OP_GET, 0, 7, 5, 6);
    assert_int_equal(verdict(), SIM_LINEAR);
    /* ... once, ... */
    lost(op(SIM_OP_SET, 7, 0, 1, 2));
    op(SIM_OP_GET, 0, 7, 3, 4);
    op(SIM_OP_SET, 8, 0, 5, 6);
    op(SIM_OP_GET, 0, 7, 7, 8);
    assert_int_equal(verdict(), SIM_NOT_LINEAR);
    /* ... but not before it was called, ... */
    op(SIM_OP_GET, 0, 7, 1, 2);
    lost(op(SIM_OP_SET, 7, 0, 3, 4));
    assert_int_equal(verdict(), SIM_NOT_LINEAR);
    /* ... and what was refused must never show. */
    op(SIM_OP_SET, 7, 0, 1, 2)->outcome = SIM_OP_FAIL;
    op(SIM_OP_GET, 0, 7, 3, 4);
    assert_int_equal(verdict(), SIM_NOT_LINEAR);
}

static void counters(void **state)
{
    struct diag why;

    (void)state;
    op(SIM_OP_INCRBY, 2, 2, 1, 5);
    op(SIM_OP_INCRBY, 3, 5, 2, 6);
    assert_int_equal(verdict(), SIM_LINEAR);
    op(SIM_OP_INCRBY, 2, 2, 1, 5); /* both read the same: one was lost */
    op(SIM_OP_INCRBY, 2, 2, 2, 6);
    assert_int_equal(verdict(), SIM_NOT_LINEAR);
    for (uint64_t i = 0; i < 40; i++) { /* 2^40 subsets, if they were not alike */
        lost(op(SIM_OP_INCRBY, 1, 0, i, i));
    }
    op(SIM_OP_COUNT, 0, 17, 100, 101)->r[1] = 1;
    assert_int_equal(verdict(), SIM_LINEAR);
    for (uint64_t i = 0; i < 40; i++) {
        lost(op(SIM_OP_INCRBY, 1, 0, i, i));
    }
    op(SIM_OP_COUNT, 0, 41, 100, 101)->r[1] = 1;
    assert_false(sim_check_acked_counter(ops, count, &why));
    assert_int_equal(verdict(), SIM_NOT_LINEAR);
}

static void hashes_and_pairs(void **state)
{
    (void)state;
    op(SIM_OP_MSET, 4, 0, 1, 2)->a[1] = 5;
    op(SIM_OP_MGET, 0, 4, 3, 4)->r[1] = 5;
    assert_int_equal(verdict(), SIM_LINEAR);
    op(SIM_OP_MSET, 4, 0, 1, 10)->a[1] = 5;
    op(SIM_OP_MGET, 0, 4, 3, 4)->r[1] = 0; /* half of it: torn */
    assert_int_equal(verdict(), SIM_NOT_LINEAR);
    op(SIM_OP_HSET, 4, 1, 1, 2)->field = 1;
    op(SIM_OP_HDEL, 0, 1, 3, 4)->field = 1;
    op(SIM_OP_HDEL, 0, 1, 5, 6)->field = 1; /* twice the same field */
    assert_int_equal(verdict(), SIM_NOT_LINEAR);
}

/* Random histories made from a real order are accepted; with one reply changed to a
 * value never written they are not. */
static void random_histories(void **state)
{
    struct prng rng = {7};

    (void)state;
    for (unsigned round = 0; round < 100; round++) {
        struct sim_state s = {0};

        for (uint64_t i = 0; i < 200; i++) {
            uint64_t at = 10 * (i + 1);
            bool read = prng_chance(&rng, 1, 2);
            struct sim_op *o =
                op(read ? SIM_OP_GET : SIM_OP_SET, i + 1, 0,
                   at - prng_below(&rng, 40 < at ? 40 : at), at + prng_below(&rng, 40));

            o->r[0] = read ? s.s[0] : 0;
            assert_true(sim_model_step(&s, o));
            if (!read && prng_chance(&rng, 1, 5)) {
                lost(o);
            }
        }
        if (round % 2 == 1) {
            op(SIM_OP_GET, 0, 9999, 100, 200);
        }
        assert_int_equal(verdict(), round % 2 == 1 ? SIM_NOT_LINEAR : SIM_LINEAR);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registers),        cmocka_unit_test(unknown_outcomes),
        cmocka_unit_test(counters),         cmocka_unit_test(hashes_and_pairs),
        cmocka_unit_test(random_histories),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
