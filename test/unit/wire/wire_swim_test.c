/* Messages of the membership survive the wire, in exactly the bytes the engine counts with. */
#include "base/base_mem.h"
#include "base/base_prng.h"
#include "wire/wire.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct swim_addr addr_of(struct prng *p, bool v6)
{
    struct swim_addr a = {.ip = {[10] = 0xff, [11] = 0xff}};

    for (unsigned i = v6 ? 0 : 12; i < sizeof a.ip; i++) {
        a.ip[i] = (uint8_t)prng_next(p);
    }
    a.port = (uint16_t)prng_between(p, 1, UINT16_MAX);
    return a;
}

static void fill_id(struct prng *p, struct swim_id *id)
{
    store_u64le(id->b, prng_next(p));
    store_u64le(id->b + 8, prng_next(p));
}

static struct swim_record some_record(struct prng *p, enum swim_state state)
{
    struct swim_record r = {.state = state, .addr = addr_of(p, prng_chance(p, 1, 2))};

    fill_id(p, &r.id);
    r.incarnation = prng_below(p, 1ULL << prng_below(p, 48));
    r.by_stream = prng_chance(p, 1, 2);
    if (state == SWIM_ALIVE || state == SWIM_SUSPECT) {
        r.meta_len = (uint8_t)prng_below(p, SWIM_META_MAX + 1);
        for (unsigned i = 0; i < r.meta_len; i++) {
            r.meta[i] = (uint8_t)prng_next(p);
        }
    }
    if (state == SWIM_SUSPECT) {
        fill_id(p, &r.by);
    }
    return r;
}

static void assert_same(const struct swim_msg *a, const struct swim_msg *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_true(swim_id_eq(&a->from, &b->from) && swim_id_eq(&a->to, &b->to));
    assert_int_equal(a->seq, b->seq);
    assert_true(swim_id_eq(&a->target, &b->target));
    assert_true(swim_addr_eq(&a->target_addr, &b->target_addr));
    assert_int_equal(a->wait_ms, b->wait_ms);
    assert_int_equal(a->digest, b->digest);
    assert_int_equal(a->last, b->last);
    assert_int_equal(a->record_count, b->record_count);
    for (uint32_t i = 0; i < a->record_count; i++) {
        const struct swim_record *x = &a->records[i], *y = &b->records[i];

        assert_true(swim_id_eq(&x->id, &y->id) && swim_addr_eq(&x->addr, &y->addr));
        assert_int_equal(x->incarnation, y->incarnation);
        assert_int_equal(x->state, y->state);
        assert_int_equal(x->by_stream, y->by_stream);
        assert_int_equal(x->meta_len, y->meta_len);
        assert_memory_equal(x->meta, y->meta, sizeof x->meta);
        assert_true(swim_id_eq(&x->by, &y->by));
    }
}

static void there_and_back(void **state)
{
    struct wire_swim_records scratch = {0};
    struct prng p = {1};

    (void)state;
    for (unsigned i = 0; i < 2000; i++) {
        struct swim_record records[8];
        struct swim_msg in = {.kind = (enum swim_msg_kind)(i % SWIM_MSG_KINDS), .records = records};
        struct swim_msg out;
        struct buf b = {0};
        size_t bytes;

        fill_id(&p, &in.from);
        fill_id(&p, &in.to);
        in.seq = (uint32_t)prng_next(&p);
        in.last = in.kind == SWIM_STATE && prng_chance(&p, 1, 2);
        if (in.kind == SWIM_PING_REQ) {
            fill_id(&p, &in.target);
            in.target_addr = addr_of(&p, prng_chance(&p, 1, 2));
            in.wait_ms = (uint16_t)prng_next(&p);
        }
        in.digest = in.kind == SWIM_SYNC ? prng_next(&p) : 0;
        in.record_count = (uint32_t)prng_below(&p, ARRAY_COUNT(records) + 1);
        bytes = swim_head_bytes(&in);
        for (uint32_t k = 0; k < in.record_count; k++) {
            records[k] = some_record(&p, (enum swim_state)prng_between(&p, SWIM_ALIVE, SWIM_LEFT));
            bytes += swim_record_bytes(&records[k]);
        }
        wire_put_swim(&b, &in);
        assert_int_equal(b.len, bytes);
        assert_int_equal(wire_get_swim(buf_slice(&b), &out, &scratch), ERR_OK);
        assert_same(&in, &out);
        for (size_t cut = 0; cut < b.len; cut++) {
            assert_int_not_equal(wire_get_swim((struct slice){b.data, cut}, &out, &scratch),
                                 ERR_OK);
        }
        put_u8(&b, 0); /* nor does anything follow */
        assert_int_equal(wire_get_swim(buf_slice(&b), &out, &scratch), ERR_BAD_INPUT);
        buf_free(&b);
    }
    wire_swim_records_free(&scratch);
}

static void nonsense(void **state)
{
    struct swim_msg m = {.kind = SWIM_PING, .from = {{1}}, .to = {{2}}}, out;
    struct wire_swim_records scratch = {0};
    struct buf b = {0};

    (void)state;
    wire_put_swim(&b, &m);
    b.data[0] = 2;
    assert_int_equal(wire_get_swim(buf_slice(&b), &out, &scratch), ERR_VERSION);
    b.data[0] = 1;
    b.data[1] = SWIM_MSG_KINDS;
    assert_int_equal(wire_get_swim(buf_slice(&b), &out, &scratch), ERR_BAD_INPUT);
    b.data[1] = 0x20; /* an unknown flag */
    assert_int_equal(wire_get_swim(buf_slice(&b), &out, &scratch), ERR_BAD_INPUT);
    b.data[1] = SWIM_PING;
    b.data[b.len - 1] = 0x7f; /* more records than bytes */
    assert_int_equal(wire_get_swim(buf_slice(&b), &out, &scratch), ERR_BAD_INPUT);
    assert_int_equal(scratch.cap, 0);
    buf_free(&b);
}

/* The format is frozen: these bytes were written by version 1 and must stay readable. */
static void frozen_vector(void **state)
{
    struct swim_record r = {.id = {{0xaa, [15] = 0xbb}},
                            .addr = {.ip = {[10] = 0xff, [11] = 0xff, 10, 0, 0, 7}, .port = 7946},
                            .incarnation = 300,
                            .state = SWIM_SUSPECT,
                            .by_stream = true,
                            .meta_len = 2,
                            .meta = {5, 6},
                            .by = {{0xcc, [15] = 0xdd}}};
    struct swim_msg m = {.kind = SWIM_ACK,
                         .from = {{1, [15] = 2}},
                         .to = {{3, [15] = 4}},
                         .seq = 0x01020304,
                         .record_count = 1,
                         .records = &r};
    static const uint8_t want[] = {
        1,    1,                                                       /* version, kind */
        1,    0,    0, 0, 0,    0,    0, 0, 0, 0, 0, 0, 0, 0, 0, 2,    /* from */
        3,    0,    0, 0, 0,    0,    0, 0, 0, 0, 0, 0, 0, 0, 0, 4,    /* to */
        4,    3,    2, 1,                                              /* seq */
        1,                                                             /* records */
        0x0a,                                                          /* suspect, by stream */
        0xaa, 0,    0, 0, 0,    0,    0, 0, 0, 0, 0, 0, 0, 0, 0, 0xbb, /* id */
        0xac, 0x02,                                                    /* incarnation */
        10,   0,    0, 7, 0x0a, 0x1f,                                  /* address */
        2,    5,    6,                                                 /* metadata */
        0xcc, 0,    0, 0, 0,    0,    0, 0, 0, 0, 0, 0, 0, 0, 0, 0xdd, /* by */
    };
    struct buf b = {0};

    (void)state;
    wire_put_swim(&b, &m);
    assert_int_equal(b.len, sizeof want);
    assert_memory_equal(b.data, want, sizeof want);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(nonsense),
        cmocka_unit_test(frozen_vector),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
