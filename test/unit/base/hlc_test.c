/* Hybrid time: later than everything seen, close to the wall, deaf to broken clocks. */
#include "base/base_prng.h"
#include "core/hlc/hlc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct hlc_stamp stamp(uint64_t ms, uint64_t logical)
{
    return (struct hlc_stamp){ms << 16 | logical};
}

static void it_follows_the_wall_and_never_turns_back(void **state)
{
    struct hlc c = {{0}};

    (void)state;
    assert_true(hlc_now(&c, 1000).n == stamp(1000, 0).n);
    assert_true(hlc_now(&c, 1000).n == stamp(1000, 1).n); /* the same millisecond: count */
    assert_true(hlc_now(&c, 900).n == stamp(1000, 2).n);  /* the wall went back: count on */
    assert_true(hlc_now(&c, 1001).n == stamp(1001, 0).n); /* ahead again: the wall leads */
}

static void what_was_seen_is_before_what_follows(void **state)
{
    struct hlc c = {{0}};

    (void)state;
    assert_int_equal(hlc_witness(&c, stamp(5000, 7), 1000), ERR_OK);
    assert_true(hlc_now(&c, 1000).n == stamp(5000, 8).n);
    assert_int_equal(hlc_witness(&c, stamp(4000, 0), 1000), ERR_OK); /* older: nothing */
    assert_true(hlc_now(&c, 1000).n == stamp(5000, 9).n);
}

static void a_broken_clock_is_refused(void **state)
{
    struct hlc c = {{0}};
    struct hlc_stamp last = hlc_now(&c, 1000);

    (void)state;
    assert_int_equal(hlc_witness(&c, stamp(1000 + HLC_AHEAD_MS_MAX + 1, 0), 1000), ERR_REFUSED);
    assert_true(c.last.n == last.n);
    assert_int_equal(hlc_witness(&c, stamp(1000 + HLC_AHEAD_MS_MAX, 0), 1000), ERR_OK);
}

/* Two clocks with walls that jump, talking at random: every stamp is later than all
 * those that could have caused it. */
static void causes_come_before_effects(void **state)
{
    struct prng p = {11};
    struct hlc c[2] = {{{0}}, {{0}}};
    struct hlc_stamp newest[2] = {{0}, {0}};

    (void)state;
    for (unsigned i = 0; i < 100000; i++) {
        unsigned who = (unsigned)prng_below(&p, 2);
        uint64_t wall = 100000 + i + prng_below(&p, 20000);

        if (prng_chance(&p, 1, 3)) {
            if (hlc_witness(&c[who], newest[1 - who], wall) == ERR_OK &&
                newest[1 - who].n > newest[who].n) {
                newest[who] = newest[1 - who];
            }
        } else {
            struct hlc_stamp s = hlc_now(&c[who], wall);

            assert_true(s.n > newest[who].n);
            newest[who] = s;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_follows_the_wall_and_never_turns_back),
        cmocka_unit_test(what_was_seen_is_before_what_follows),
        cmocka_unit_test(a_broken_clock_is_refused),
        cmocka_unit_test(causes_come_before_effects),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
