/* The arithmetic of the engine, as tables, and the edges of its contract. */
#include "core/swim/swim_internal.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void logarithms(void **state)
{
    static const struct {
        uint64_t x, factor, want;
    } rows[] = {
        {1, 4, 0},           {2, 4, 2},     {10, 4, 4},           {11, 4, 5},
        {100, 4, 8},         {1000, 4, 12}, {100000, 1000, 5000}, {1000000, 4, 24},
        {1ULL << 63, 1, 19},
    };

    (void)state;
    assert_int_equal(swim_log2_q16(1), 0);
    assert_int_equal(swim_log2_q16(8), 3 << 16);
    assert_int_equal(swim_log2_q16(1ULL << 40), 40 << 16);
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        assert_int_equal(swim_log10_times(rows[i].x, rows[i].factor), rows[i].want);
    }
    for (uint64_t x = 1; x < 100000; x++) {
        assert_true(swim_log2_q16(x) <= swim_log2_q16(x + 1));
    }
}

/* [LG] figure 5's curve: most of the way with the first confirmation. */
static void suspicion_times(void **state)
{
    static const struct {
        const char *name;
        uint64_t shortest, longest;
        uint32_t confirmed, needed;
        uint64_t want;
    } rows[] = {
        {"nobody confirms", 4000, 24000, 0, 3, 24000},
        {"one of three", 4000, 24000, 1, 3, 14000},
        {"two of three", 4000, 24000, 2, 3, 8151},
        {"all three", 4000, 24000, 3, 3, 4000},
        {"more than needed", 4000, 24000, 4, 3, 4000},
        {"nobody could confirm", 4000, 4000, 0, 0, 4000},
        {"one of one", 4000, 24000, 1, 1, 4000},
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        uint64_t got =
            swim_suspicion_us(rows[i].shortest, rows[i].longest, rows[i].confirmed, rows[i].needed);

        if (got != rows[i].want) {
            print_error("%s: %llu\n", rows[i].name, (unsigned long long)got);
        }
        assert_int_equal(got, rows[i].want);
    }
}

static struct swim_config some_config(void)
{
    struct swim_config cfg;

    swim_config_default(&cfg);
    cfg.self.b[0] = 1;
    cfg.addr.port = 1;
    cfg.seed = 7;
    return cfg;
}

/* What adapts stays within its bounds, whatever is measured. */
static void bounds(void **state)
{
    struct swim_config cfg = some_config();
    struct swim_effects fx = {0};
    struct swim *s = swim_create(&cfg, 1, &fx);
    struct prng prng = {3};
    struct swim_tuning t;

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        bool lossy = (i / 1000) % 2 == 1;

        swim_rtt_sample(s, prng_below(&prng, 1ULL << prng_below(&prng, 24)));
        swim_loss_sample(s, lossy && prng_chance(&prng, 9, 10));
        swim_health_add(s, (int)prng_below(&prng, 5) - 2);
        swim_tuning(s, &t);
        assert_in_range(t.health, 0, SWIM_HEALTH_MAX);
        assert_in_range(t.timeout_us, cfg.timeout_us_min, cfg.timeout_us * (SWIM_HEALTH_MAX + 1));
        assert_in_range(t.probe_us, cfg.probe_us, cfg.probe_us_max * (SWIM_HEALTH_MAX + 1));
        assert_in_range(t.gossip_us, cfg.gossip_us_min, cfg.gossip_us_max);
        assert_in_range(t.fanout, cfg.fanout, cfg.fanout_max);
        assert_in_range(t.transmits, 1, SWIM_TRANSMITS_MAX);
        assert_true(t.probe_us >= 2 * t.timeout_us); /* the indirect attempt has its time */
        if (i % 1000 == 999) {
            assert_int_equal(t.fanout, lossy ? cfg.fanout_max : cfg.fanout);
        }
    }
    swim_destroy(s);
    swim_effects_free(&fx);
}

/* Nothing is sent before the first limit is durable; then it lives, and refuses what is not its. */
static void contract(void **state)
{
    struct swim_config cfg = some_config();
    struct swim_effects fx = {0};
    struct swim *s = swim_create(&cfg, 1, &fx);
    struct swim_addr addr = {.port = 9};
    struct swim_msg m = {.kind = SWIM_PING, .from = {{2}}, .to = cfg.self};

    (void)state;
    assert_int_equal(fx.count, 1);
    assert_int_equal(fx.at[0].kind, SWIM_PERSIST);
    assert_int_equal(swim_step(s, 2, &m, &addr, &fx), ERR_STOPPED);
    assert_true(swim_deadline_us(s) == SWIM_NEVER);
    swim_durable(s, 3, fx.at[0].u.limit, &fx);
    swim_check(s);
    swim_effects_clear(&fx);
    assert_int_equal(swim_step(s, 4, &m, &addr, &fx), ERR_OK);
    assert_int_equal(fx.at[0].u.send.msg.kind, SWIM_ACK);
    m.to.b[0] = 3;
    assert_int_equal(swim_step(s, 5, &m, &addr, &fx), ERR_MISROUTED);
    m.to = cfg.self;
    m.from = cfg.self;
    assert_int_equal(swim_step(s, 5, &m, &addr, &fx), ERR_MISROUTED);
    m.from = (struct swim_id){{0}};
    assert_int_equal(swim_step(s, 5, &m, &addr, &fx), ERR_BAD_INPUT);
    m.from.b[0] = 2;
    m.kind = SWIM_PING_REQ;
    assert_int_equal(swim_step(s, 5, &m, &addr, &fx), ERR_BAD_INPUT); /* of nobody */
    for (unsigned i = 0; i < SWIM_SEEDS_MAX; i++) {
        addr.port++;
        assert_int_equal(swim_join(s, 6, &addr, &fx), ERR_OK);
        assert_int_equal(swim_join(s, 6, &addr, &fx), ERR_OK); /* known */
    }
    addr.port++;
    assert_int_equal(swim_join(s, 6, &addr, &fx), ERR_FULL);
    swim_effects_clear(&fx);
    swim_leave(s, 7, &fx);
    assert_int_equal(fx.at[0].kind, SWIM_GONE); /* alone: nobody to say goodbye to */
    swim_check(s);
    swim_destroy(s);
    swim_effects_free(&fx);
}

/* The table finds everybody after any inserts and removals, and orders lose nobody. */
static void table_beside_a_list(void **state)
{
    struct swim_config cfg = some_config();
    struct swim_effects fx = {0};
    struct swim *s;
    struct prng prng = {11};
    enum { IDS = 300 };
    uint64_t incarnation[IDS] = {0};
    uint64_t now = 10;

    (void)state;
    cfg.reap_us = 20 * 1000000;
    cfg.tombstone_us = 40 * 1000000;
    s = swim_create(&cfg, 1, &fx);
    swim_durable(s, 2, fx.at[0].u.limit, &fx);
    for (unsigned i = 0; i < 6000; i++) {
        unsigned who = (unsigned)prng_below(&prng, IDS);
        struct swim_record r = {.addr = {.port = 5}, .by = {{9}}};
        struct swim_msg m = {.kind = SWIM_GOSSIP, .from = {{9}}, .record_count = 1, .records = &r};

        store_u32le(r.id.b, who + 100);
        incarnation[who] += prng_below(&prng, 2);
        r.incarnation = incarnation[who] + 1;
        r.state = (enum swim_state)prng_between(&prng, SWIM_ALIVE, SWIM_LEFT);
        now += prng_below(&prng, 100000);
        assert_int_equal(swim_step(s, now, &m, &r.addr, &fx), ERR_OK);
        swim_tick(s, now, &fx);
        swim_effects_clear(&fx);
        swim_check(s);
    }
    /* Left alone, all come to an end: suspects die, the dead are reaped, tombstones forgotten. */
    for (unsigned i = 0; i < 4000; i++) {
        now += 100000;
        swim_tick(s, now, &fx);
        swim_effects_clear(&fx);
    }
    swim_check(s);
    now += 4000 * 1000000ULL; /* who is still alive is probed slowly: nobody answers */
    for (unsigned i = 0; i < 8000; i++) {
        now += 1000000;
        swim_tick(s, now, &fx);
        swim_effects_clear(&fx);
    }
    assert_int_equal(swim_count(s, SWIM_ALIVE), 1);
    assert_int_equal(s->slot_count, 1);
    swim_check(s);
    swim_destroy(s);
    swim_effects_free(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logarithms),
        cmocka_unit_test(suspicion_times),
        cmocka_unit_test(bounds),
        cmocka_unit_test(contract),
        cmocka_unit_test(table_beside_a_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
