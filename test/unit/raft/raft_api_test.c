/* raft_api_test.c - the edges of the contract that no trace shows: bytes of
 * configurations, recovery, limits, and garbage from the network. */
#include "raft_cluster.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the three above first */
#include <cmocka.h>

static const struct raft_config config = {
    .self.n = 1,
    .heartbeat_us = 50000,
    .election_us_min = 300000,
    .election_us_max = 600000,
    .append_bytes_max = 4096,
    .inflight_bytes_max = 16384,
    .inflight_count_max = 4,
    .uncommitted_bytes_max = 1000,
    .seed = 1,
    .lease_reads = true,
};

static struct raft_recovered recovered(uint8_t voters)
{
    struct raft_recovered rec = {.hard.term.n = 5};

    for (uint8_t i = 1; i <= voters; i++) {
        rec.conf.voters[rec.conf.voter_count++].n = i;
    }
    return rec;
}

static struct raft_entry entry(uint64_t index, uint64_t term)
{
    return (struct raft_entry){
        .index.n = index, .term.n = term, .kind = RAFT_COMMAND, .data = SLICE("data")};
}

static enum err restore(struct raft *r, uint64_t index, uint64_t term)
{
    struct raft_entry e = entry(index, term);

    return raft_restore(r, &e);
}

static void test_conf_bytes(void **state)
{
    struct raft_conf in = {.voter_count = 2, .outgoing_count = 1, .learner_count = 1}, out;
    struct slice context;
    struct buf b = {0};

    (void)state;
    in.voters[0].n = 0x0102030405060708;
    in.voters[1].n = 2;
    in.outgoing[0].n = 3;
    in.learners[0].n = 4;
    raft_conf_encode(&in, SLICE("ctx"), &b);
    assert_int_equal(b.len, 4 + 4 * 8 + 3);
    assert_int_equal(b.data[0], 1); /* frozen: version, counts, then ids */
    assert_int_equal(b.data[1], 2);
    assert_int_equal(b.data[4], 8);
    assert_int_equal(b.data[11], 1);
    assert_int_equal(raft_conf_decode(buf_slice(&b), &out, &context), ERR_OK);
    assert_memory_equal(&in, &out, sizeof in);
    assert_true(slice_eq(context, SLICE("ctx")));
    for (size_t len = 0; len < 36; len++) { /* every shorter prefix of the fixed part */
        assert_int_equal(raft_conf_decode((struct slice){b.data, len}, &out, &context),
                         ERR_BAD_INPUT);
    }
    b.data[4 + 8] = 0; /* a voter 0 */
    assert_int_equal(raft_conf_decode(buf_slice(&b), &out, &context), ERR_BAD_INPUT);
    b.data[0] = 9;
    assert_int_equal(raft_conf_decode(buf_slice(&b), &out, &context), ERR_BAD_INPUT);
    buf_free(&b);
}

static void test_restore(void **state)
{
    struct raft_recovered rec = recovered(3);
    struct raft *r;

    (void)state;
    rec.commit.n = 99; /* beyond what is there: cut */
    r = raft_create(&config, &rec);
    assert_int_equal(restore(r, 1, 1), ERR_OK);
    assert_int_equal(restore(r, 2, 1), ERR_OK);
    assert_int_equal(restore(r, 4, 1), ERR_CORRUPT); /* a gap */
    assert_int_equal(restore(r, 3, 6), ERR_CORRUPT); /* of a term never stored */
    assert_int_equal(restore(r, 3, 2), ERR_OK);
    assert_int_equal(restore(r, 2, 3), ERR_OK); /* an overwritten tail */
    raft_start(r, 1);
    raft_check(r);
    assert_int_equal(raft_last(r).n, 2);
    assert_int_equal(raft_term_at(r, (struct raft_index){2}).n, 3);
    assert_int_equal(raft_commit(r).n, 2);
    raft_destroy(r);
}

/* A snapshot replaced the log; its old records are still in the files. */
static void test_restore_after_install(void **state)
{
    struct raft_recovered rec = recovered(3);
    struct raft *r;

    (void)state;
    rec.snap_index.n = 15;
    rec.snap_term.n = 3;
    r = raft_create(&config, &rec);
    assert_int_equal(restore(r, 14, 1), ERR_OK);
    assert_int_equal(restore(r, 15, 1), ERR_OK);
    assert_int_equal(restore(r, 16, 1), ERR_OK); /* older than the snapshot: left over */
    assert_int_equal(restore(r, 17, 1), ERR_OK);
    assert_int_equal(restore(r, 18, 1), ERR_OK);
    assert_int_equal(restore(r, 17, 2), ERR_OK); /* a replaced tail among the leftovers */
    assert_int_equal(restore(r, 19, 2), ERR_CORRUPT);
    assert_int_equal(raft_last(r).n, 15);
    assert_int_equal(restore(r, 16, 4), ERR_OK);
    assert_int_equal(restore(r, 17, 5), ERR_OK);
    assert_int_equal(raft_last(r).n, 17);
    assert_int_equal(restore(r, 15, 5), ERR_OK); /* at or below: takes the rest away */
    assert_int_equal(raft_last(r).n, 15);
    raft_start(r, 1);
    raft_check(r);
    raft_destroy(r);
}

/* A snapshot of a term that the hard state had not reached when the crash came. */
static void test_snapshot_term(void **state)
{
    struct raft_recovered rec = recovered(3);
    struct raft_effects fx = {0};
    struct raft *r;

    (void)state;
    rec.snap_index.n = 4;
    rec.snap_term.n = 9;
    rec.hard.voted_for.n = 2;
    r = raft_create(&config, &rec);
    raft_start(r, 1);
    assert_int_equal(raft_hard(r).term.n, 9);
    assert_int_equal(raft_hard(r).voted_for.n, 0);
    raft_flush(r, 1, 1, &fx);
    assert_int_equal(fx.at[0].kind, RAFT_PERSIST);
    assert_true(fx.at[0].u.persist.hard_changed);
    raft_destroy(r);
    raft_effects_free(&fx);
}

static void test_idle_flush_is_empty(void **state)
{
    struct raft_recovered rec = recovered(3);
    struct raft_effects fx = {0};
    struct raft *r = raft_create(&config, &rec);

    (void)state;
    raft_start(r, 1);
    raft_flush(r, 1, 1, &fx);
    raft_flush(r, 2, 1, &fx);
    assert_int_equal(fx.count, 0);
    raft_tick(r, 3);
    raft_flush(r, 3, 1, &fx);
    assert_int_equal(fx.count, 0);
    raft_destroy(r);
    raft_effects_free(&fx);
}

/* The highest term is the end of elections, not of the process. */
static void test_last_term(void **state)
{
    struct raft_recovered rec = recovered(1);
    struct raft_effects fx = {0};
    struct raft *r;

    (void)state;
    rec.hard.term.n = (uint64_t)1 << 62;
    r = raft_create(&config, &rec);
    raft_start(r, 1);
    raft_tick(r, raft_deadline_us(r));
    raft_flush(r, 1, 1, &fx);
    raft_check(r);
    assert_int_equal(raft_role(r), RAFT_FOLLOWER);
    raft_destroy(r);
    raft_effects_free(&fx);
}

/* --- garbage --- */

static uint64_t odd_number(struct prng *p)
{
    static const uint64_t edges[] = {
        0, 1, 2, 1ULL << 31, 1ULL << 62, (1ULL << 62) + 1, UINT64_MAX - 1, UINT64_MAX};

    return prng_chance(p, 1, 8) ? edges[prng_below(p, ARRAY_COUNT(edges))] : prng_below(p, 12);
}

static struct raft_msg garbage(struct prng *p, struct raft_entry *entries)
{
    static const char conf[] = "\1\1\0\0\2\0\0\0\0\0\0\0ctx";
    struct raft_msg m = {
        .kind = (enum raft_msg_kind)prng_below(p, RAFT_MSG_KINDS + 1),
        .from.n = prng_below(p, 5),
        .to.n = 1,
        .term.n = odd_number(p),
        .index.n = odd_number(p),
        .log_term.n = odd_number(p),
        .commit.n = odd_number(p),
        .reject = prng_chance(p, 1, 3),
        .force = prng_chance(p, 1, 3),
        .stamp_us = odd_number(p),
        .round = odd_number(p),
        .entries = entries,
    };

    if (m.kind == RAFT_MSG_APPEND) {
        uint64_t term = m.log_term.n;

        m.entry_count = (uint32_t)prng_below(p, 4);
        for (uint32_t i = 0; i < m.entry_count; i++) {
            term = prng_chance(p, 1, 10) ? odd_number(p) : term + prng_below(p, 2);
            entries[i] = entry(m.index.n + 1 + i, term);
            entries[i].index.n += prng_chance(p, 1, 20);
            if (prng_chance(p, 1, 4)) {
                entries[i].kind = (enum raft_entry_kind)prng_below(p, 4);
                entries[i].data = (struct slice){(const uint8_t *)conf, prng_below(p, sizeof conf)};
            }
        }
    }
    return m;
}

static void test_garbage(void **state)
{
    struct raft_effects fx = {0};
    uint64_t accepted = 0, led = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct raft_recovered rec = recovered((uint8_t)(seed % 4));
        struct prng p = {seed};
        struct raft_entry entries[4];
        struct raft_index index;
        uint64_t now = 1, ticket = 1;
        struct raft *r;

        rec.hard.term.n = seed % 3;
        r = raft_create(&config, &rec);
        raft_start(r, now);
        for (int i = 0; i < 400; i++) {
            struct raft_msg m = garbage(&p, entries);

            now += prng_below(&p, 60000);
            accepted += raft_step(r, now, &m) == ERR_OK;
            raft_check(r);
            raft_tick(r, now);
            accepted += raft_propose(r, now, SLICE("x"), &index) == ERR_OK;
            raft_flush(r, now, ticket, &fx);
            raft_check(r);
            raft_durable(r, now, ticket++);
            raft_applied(r, raft_commit(r));
            raft_compact(r, (struct raft_index){raft_commit(r).n / 2});
            raft_check(r);
            led += raft_role(r) == RAFT_LEADER;
        }
        raft_destroy(r);
    }
    assert_true(accepted > 1000);
    assert_true(led > 100);
    raft_effects_free(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conf_bytes),
        cmocka_unit_test(test_restore),
        cmocka_unit_test(test_restore_after_install),
        cmocka_unit_test(test_snapshot_term),
        cmocka_unit_test(test_idle_flush_is_empty),
        cmocka_unit_test(test_last_term),
        cmocka_unit_test(test_garbage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
