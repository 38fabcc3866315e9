/* When a loop looks for work before it sleeps, and when it sleeps at once. */
#include "port/port_internal.h"
#include "port_test.h"

enum { MOST = 200, TICK = 10000 };

static struct port_poll fed(uint64_t us, unsigned times)
{
    struct port_poll w = {.most_us = MOST, .mean_us = MOST};

    for (unsigned i = 0; i < times; i++) {
        port_poll_waited(&w, us);
    }
    return w;
}

static void test_short_waits_are_polled_for(void **state)
{
    struct port_poll w = fed(100, 20);

    (void)state;
    assert_int_equal(port_poll_us(&w), MOST);
}

static void test_idle_sleeps_at_once(void **state)
{
    struct port_poll w = fed(TICK, 20);

    (void)state;
    assert_int_equal(port_poll_us(&w), 0);
}

/* Heartbeats: a tick, then three messages within 50 us. The node is idle all the same. */
static void test_a_burst_after_a_tick_is_not_load(void **state)
{
    struct port_poll w = fed(TICK, 20);

    (void)state;
    for (unsigned tick = 0; tick < 100; tick++) {
        port_poll_waited(&w, TICK);
        for (unsigned i = 0; i < 3; i++) {
            port_poll_waited(&w, 50);
            assert_int_equal(port_poll_us(&w), 0);
        }
    }
}

static void test_load_is_noticed_within_twenty_waits(void **state)
{
    struct port_poll w = fed(TICK, 1000);

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        port_poll_waited(&w, 50);
    }
    assert_int_equal(port_poll_us(&w), MOST);
}

static void test_one_late_reply_does_not_stop_it_for_long(void **state)
{
    struct port_poll w = fed(60, 100);
    unsigned waits = 0;

    (void)state;
    port_poll_waited(&w, 5000);
    while (port_poll_us(&w) == 0) {
        port_poll_waited(&w, 60);
        waits++;
    }
    assert_in_range(waits, 0, 4);
}

static void test_zero_never_polls(void **state)
{
    struct port_poll w = {0};

    (void)state;
    port_poll_waited(&w, 0);
    assert_int_equal(port_poll_us(&w), 0);
    port_poll_waited(&w, 1000);
    assert_int_equal(port_poll_us(&w), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short_waits_are_polled_for),
        cmocka_unit_test(test_idle_sleeps_at_once),
        cmocka_unit_test(test_a_burst_after_a_tick_is_not_load),
        cmocka_unit_test(test_load_is_noticed_within_twenty_waits),
        cmocka_unit_test(test_one_late_reply_does_not_stop_it_for_long),
        cmocka_unit_test(test_zero_never_polls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
