/* Every message survives the wire, and no cut or flipped byte gets through. */
#include "base/base_hash.h"
#include "base/base_mem.h"
#include "base/base_prng.h"
#include "wire/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct wire_id some_id(uint8_t seed)
{
    struct wire_id id;

    memset(id.b, seed, sizeof id.b);
    return id;
}

static struct wire_member some_member(uint8_t seed)
{
    struct wire_member m = {.node = some_id(seed),
                            .paxos = seed + 1,
                            .zone = seed,
                            .weight = 1,
                            .state = seed % WIRE_MEMBER_STATES};

    (void)snprintf(m.peer_addr, sizeof m.peer_addr, "10.0.0.%u:17001", seed);
    (void)snprintf(m.client_addr, sizeof m.client_addr, "10.0.0.%u:7001", seed);
    return m;
}

/* One frame of the type around what fill() puts, found again by wire_next. */
static struct wire_frame framed(struct buf *b, enum wire_type type,
                                void (*fill)(struct buf *b, const void *what), const void *what)
{
    struct wire_frame f;
    size_t mark;

    b->len = 0;
    mark = wire_begin(b, type);
    fill(b, what);
    wire_end(b, mark);
    for (size_t cut = 0; cut < b->len; cut++) {
        assert_int_equal(wire_next(b->data, cut, &f), ERR_AGAIN);
    }
    assert_int_equal(wire_next(b->data, b->len, &f), ERR_OK);
    assert_int_equal(f.type, type);
    assert_int_equal(f.used, b->len);
    return f;
}

static void fill_hello(struct buf *b, const void *what)
{
    wire_put_hello(b, what);
}

static void hello_round_trip(void **state)
{
    struct wire_hello in = {.version = WIRE_VERSION,
                            .node = some_id(1),
                            .cluster = some_id(2),
                            .map_epoch = 77,
                            .found_hash = 0x1234,
                            .joining = true,
                            .zone = 3,
                            .weight = 5,
                            .paxos = 0x77,
                            .peer_addr = SLICE("[::1]:17001"),
                            .client_addr = SLICE("[::1]:7001")};
    struct wire_hello out;
    struct buf b = {0};
    struct wire_frame f = framed(&b, WIRE_HELLO, fill_hello, &in);

    (void)state;
    assert_int_equal(wire_get_hello(f.payload, &out), ERR_OK);
    assert_true(wire_id_eq(&in.node, &out.node) && wire_id_eq(&in.cluster, &out.cluster));
    assert_int_equal(out.map_epoch, 77);
    assert_int_equal(out.found_hash, 0x1234);
    assert_true(out.joining);
    assert_int_equal(out.zone, 3);
    assert_int_equal(out.paxos, 0x77);
    assert_true(slice_eq(in.peer_addr, out.peer_addr));
    assert_true(slice_eq(in.client_addr, out.client_addr));
    for (size_t cut = 0; cut < f.payload.len; cut++) {
        assert_int_not_equal(wire_get_hello((struct slice){f.payload.data, cut}, &out), ERR_OK);
    }
    buf_free(&b);
}

static void hello_of_another_version(void **state)
{
    struct wire_hello in = {.version = WIRE_VERSION + 1,
                            .node = some_id(1),
                            .peer_addr = SLICE("a:1"),
                            .client_addr = SLICE("a:2")};
    struct wire_hello out;
    struct buf b = {0};
    struct wire_frame f = framed(&b, WIRE_HELLO, fill_hello, &in);

    (void)state;
    assert_int_equal(wire_get_hello(f.payload, &out), ERR_VERSION);
    buf_free(&b);
}

static void fill_raft(struct buf *b, const void *what)
{
    wire_put_raft(b, 63, what);
}

static void raft_round_trip(void **state)
{
    const struct raft_entry entries[3] = {
        {.index = {11}, .term = {4}, .kind = RAFT_NOOP},
        {.index = {12}, .term = {4}, .kind = RAFT_COMMAND, .data = SLICE("set a 1")},
        {.index = {13}, .term = {5}, .kind = RAFT_CONF, .data = SLICE("conf")},
    };
    struct raft_msg in = {.kind = RAFT_MSG_APPEND,
                          .from = {~0ULL},
                          .to = {2},
                          .term = {5},
                          .index = {10},
                          .log_term = {3},
                          .commit = {9},
                          .reject = true,
                          .force = true,
                          .stamp_us = 1ULL << 40,
                          .round = 8,
                          .entry_count = 3,
                          .entries = entries};
    struct wire_entries scratch = {0};
    struct raft_msg out;
    uint32_t group;
    struct buf b = {0};
    struct wire_frame f = framed(&b, WIRE_RAFT, fill_raft, &in);
    struct reader r = reader_of(f.payload.data, f.payload.len);

    (void)state;
    assert_int_equal(wire_get_raft(&r, &group, &out, &scratch), ERR_OK);
    assert_int_equal(reader_left(&r), 0);
    assert_int_equal(group, 63);
    assert_int_equal(out.kind, in.kind);
    assert_true(out.from.n == in.from.n && out.to.n == in.to.n && out.term.n == in.term.n);
    assert_true(out.index.n == 10 && out.log_term.n == 3 && out.commit.n == 9);
    assert_true(out.reject && out.force);
    assert_true(out.stamp_us == in.stamp_us && out.round == 8);
    assert_int_equal(out.entry_count, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(out.entries[i].index.n, entries[i].index.n);
        assert_int_equal(out.entries[i].term.n, entries[i].term.n);
        assert_int_equal(out.entries[i].kind, entries[i].kind);
        assert_true(slice_eq(out.entries[i].data, entries[i].data));
    }
    for (size_t cut = 0; cut < f.payload.len; cut++) {
        r = reader_of(f.payload.data, cut);
        assert_int_not_equal(wire_get_raft(&r, &group, &out, &scratch), ERR_OK);
    }
    wire_entries_free(&scratch);
    buf_free(&b);
}

static void fill_request(struct buf *b, const void *what)
{
    wire_put_request(b, what);
    wire_put_request(b, what);
}

static void fill_reply(struct buf *b, const void *what)
{
    wire_put_reply(b, what);
}

static void requests_and_replies_share_frames(void **state)
{
    struct wire_request q = {.id = 99,
                             .partition = 5,
                             .term = {7},
                             .flags = WIRE_REQUEST_RESP3,
                             .command = SLICE("cmd")},
                        got;
    struct wire_reply p = {.id = 99, .outcome = WIRE_IN_DOUBT, .reply = SLICE("why")}, back;
    struct buf b = {0};
    struct wire_frame f = framed(&b, WIRE_REQUEST, fill_request, &q);
    struct reader r = reader_of(f.payload.data, f.payload.len);

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(wire_get_request(&r, &got), ERR_OK);
        assert_true(got.id == 99 && got.partition == 5 && got.term.n == 7);
        assert_int_equal(got.flags, WIRE_REQUEST_RESP3);
        assert_true(slice_eq(got.command, q.command));
    }
    assert_int_equal(reader_left(&r), 0);
    f = framed(&b, WIRE_REPLY, fill_reply, &p);
    r = reader_of(f.payload.data, f.payload.len);
    assert_int_equal(wire_get_reply(&r, &back), ERR_OK);
    assert_true(back.id == 99 && back.outcome == WIRE_IN_DOUBT);
    assert_true(slice_eq(back.reply, p.reply));
    buf_free(&b);
}

static void fill_map(struct buf *b, const void *what)
{
    wire_put_map(b, what);
}

static void map_round_trip(void **state)
{
    uint8_t placement[8] = {0, 1, 1, 2, 2, 0, 0, 1};
    struct wire_map in = {.cluster = some_id(9),
                          .epoch = 3,
                          .partitions = 4,
                          .replicas = 2,
                          .member_count = 3,
                          .council_count = 1,
                          .placement = placement};
    struct wire_map out;
    struct buf b = {0};
    struct wire_frame f;

    (void)state;
    for (uint8_t i = 0; i < 3; i++) {
        in.members[i] = some_member(i);
    }
    f = framed(&b, WIRE_MAP, fill_map, &in);
    assert_int_equal(wire_get_map(f.payload, &out), ERR_OK);
    assert_int_equal(out.member_count, 3);
    assert_memory_equal(out.placement, placement, sizeof placement);
    assert_string_equal(out.members[2].peer_addr, in.members[2].peer_addr);
    wire_map_free(&out);
    for (size_t cut = 0; cut < f.payload.len; cut++) {
        assert_int_not_equal(wire_get_map((struct slice){f.payload.data, cut}, &out), ERR_OK);
    }
    buf_free(&b);
}

/* What a row of the placement may say. */
static void placement_rows(void **state)
{
    static const struct {
        const char *name;
        uint8_t row[3];
        bool valid;
        uint32_t count;
    } rows[] = {
        {"three of three", {2, 0, 1}, true, 3},
        {"two, where there are no more", {1, 0, WIRE_NOBODY}, true, 2},
        {"one", {2, WIRE_NOBODY, WIRE_NOBODY}, true, 1},
        {"nobody at all", {WIRE_NOBODY, WIRE_NOBODY, WIRE_NOBODY}, false, 0},
        {"nobody between two", {1, WIRE_NOBODY, 0}, false, 0},
        {"one twice", {1, 0, 1}, false, 0},
        {"a member that is not there", {0, 1, 3}, false, 0},
    };
    struct buf b = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint8_t placement[6] = {0, 1, 2};
        struct wire_map in = {.cluster = some_id(9),
                              .epoch = 3,
                              .partitions = 2,
                              .replicas = 3,
                              .member_count = 3,
                              .council_count = 1,
                              .placement = placement};
        struct wire_map out;
        struct wire_frame f;
        const uint8_t *row;

        for (uint8_t m = 0; m < 3; m++) {
            in.members[m] = some_member(m);
        }
        memcpy(placement + 3, rows[i].row, sizeof rows[i].row);
        f = framed(&b, WIRE_MAP, fill_map, &in);
        assert_true((wire_get_map(f.payload, &out) == ERR_OK) == rows[i].valid);
        if (rows[i].valid) {
            assert_int_equal(wire_map_row(&out, 1, &row), rows[i].count);
            assert_true(wire_map_places(&out, 1, rows[i].row[0]));
            assert_false(wire_map_places(&out, 1, WIRE_NOBODY));
        }
        wire_map_free(&out);
    }
    buf_free(&b);
}

/* Members are told apart by their ids, and by the ids under which they decide. */
static void no_member_twice(void **state)
{
    uint8_t placement[1] = {0};
    struct wire_map in = {.cluster = some_id(9),
                          .epoch = 3,
                          .partitions = 1,
                          .replicas = 1,
                          .member_count = 2,
                          .council_count = 1,
                          .placement = placement};
    struct wire_map out;
    struct buf b = {0};

    (void)state;
    in.members[0] = some_member(0);
    in.members[1] = some_member(1);
    in.members[1].node = in.members[0].node;
    assert_int_not_equal(wire_get_map(framed(&b, WIRE_MAP, fill_map, &in).payload, &out), ERR_OK);
    in.members[1] = some_member(1);
    in.members[1].paxos = in.members[0].paxos;
    assert_int_not_equal(wire_get_map(framed(&b, WIRE_MAP, fill_map, &in).payload, &out), ERR_OK);
    in.members[1] = some_member(1);
    assert_int_equal(wire_get_map(framed(&b, WIRE_MAP, fill_map, &in).payload, &out), ERR_OK);
    assert_int_equal(wire_map_member(&out, &in.members[1].node), 1);
    wire_map_free(&out);
    buf_free(&b);
}

static void councils(void **state)
{
    static const struct {
        const char *name;
        uint8_t count, pos[3];
        bool valid;
    } rows[] = {
        {"one", 1, {2}, true},
        {"all", 3, {0, 1, 2}, true},
        {"nobody", 0, {0}, false},
        {"one twice", 2, {1, 1}, false},
        {"in another order", 2, {1, 0}, false},
        {"not there", 2, {0, 3}, false},
    };
    struct buf b = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint8_t placement[1] = {0};
        struct wire_map in = {.cluster = some_id(9),
                              .epoch = 3,
                              .partitions = 1,
                              .replicas = 1,
                              .member_count = 3,
                              .council_count = rows[i].count,
                              .placement = placement};
        struct wire_map out;

        for (uint8_t m = 0; m < 3; m++) {
            in.members[m] = some_member(m);
        }
        memcpy(in.council, rows[i].pos, sizeof rows[i].pos);
        assert_true((wire_get_map(framed(&b, WIRE_MAP, fill_map, &in).payload, &out) == ERR_OK) ==
                    rows[i].valid);
        wire_map_free(&out);
    }
    buf_free(&b);
}

static void fill_chunk(struct buf *b, const void *what)
{
    wire_put_chunk(b, what);
}

static void fill_ack(struct buf *b, const void *what)
{
    wire_put_chunk_ack(b, what);
}

static void fill_join(struct buf *b, const void *what)
{
    wire_put_join(b, what);
}

static void snapshot_frames_round_trip(void **state)
{
    struct wire_chunk c = {.group = 1,
                           .from = {2},
                           .to = {3},
                           .file = 4,
                           .index = {5},
                           .term = {6},
                           .sender_term = {7},
                           .offset = 8,
                           .last = true,
                           .bytes = SLICE("xyz")};
    struct wire_chunk_ack a = {.group = 1,
                               .from = {3},
                               .to = {2},
                               .file = 4,
                               .index = {5},
                               .offset = 11,
                               .state = WIRE_CHUNK_INSTALLED};
    struct wire_join j = {.group = 2, .id = {0x100}, .replaces = {0x200}};
    struct wire_chunk c2;
    struct wire_chunk_ack a2;
    struct wire_join j2;
    struct buf b = {0};
    struct wire_frame f = framed(&b, WIRE_CHUNK, fill_chunk, &c);

    (void)state;
    assert_int_equal(wire_get_chunk(f.payload, &c2), ERR_OK);
    assert_true(c2.group == 1 && c2.from.n == 2 && c2.to.n == 3 && c2.file == 4);
    assert_true(c2.index.n == 5 && c2.term.n == 6 && c2.sender_term.n == 7 && c2.offset == 8);
    assert_true(c2.last && slice_eq(c.bytes, c2.bytes));
    f = framed(&b, WIRE_CHUNK_ACK, fill_ack, &a);
    assert_int_equal(wire_get_chunk_ack(f.payload, &a2), ERR_OK);
    assert_true(a2.offset == 11 && a2.state == WIRE_CHUNK_INSTALLED && a2.from.n == 3);
    j.member = some_member(4);
    f = framed(&b, WIRE_JOIN, fill_join, &j);
    assert_int_equal(wire_get_join(f.payload, &j2), ERR_OK);
    assert_true(j2.id.n == 0x100 && j2.replaces.n == 0x200);
    assert_string_equal(j2.member.client_addr, j.member.client_addr);
    buf_free(&b);
}

static void fill_digest(struct buf *b, const void *what)
{
    wire_put_digest(b, what);
}

static void digests_round_trip(void **state)
{
    static const uint8_t want[] = {3, 0x11, 2, 0, 0, 0, 0, 0, 0,    0, 1,
                                   0, 0,    0, 0, 0, 0, 0, 7, 0xac, 2, /* index 300 */
                                   8, 7,    6, 5, 4, 3, 2, 1};
    struct wire_digest d = {.group = 3,
                            .kind = WIRE_DIGEST_ANSWER,
                            .damaged = true,
                            .from = {2},
                            .to = {1},
                            .term = {7},
                            .index = {300},
                            .digest = 0x0102030405060708};
    struct wire_digest back;
    struct buf b = {0};
    struct wire_frame f = framed(&b, WIRE_DIGEST, fill_digest, &d);

    (void)state;
    assert_int_equal(f.payload.len, sizeof want);
    assert_memory_equal(f.payload.data, want, sizeof want);
    assert_int_equal(wire_get_digest(f.payload, &back), ERR_OK);
    assert_true(back.group == 3 && back.kind == WIRE_DIGEST_ANSWER && back.damaged);
    assert_true(back.from.n == 2 && back.to.n == 1 && back.term.n == 7 && back.index.n == 300);
    assert_true(back.digest == d.digest);
    b.data[WIRE_HEAD_BYTES + 1] = 0x05; /* a kind that nobody knows */
    assert_int_equal(wire_get_digest(f.payload, &back), ERR_BAD_INPUT);
    b.data[WIRE_HEAD_BYTES + 1] = 0x21; /* a flag that nobody knows */
    assert_int_equal(wire_get_digest(f.payload, &back), ERR_BAD_INPUT);
    f.payload.len--;
    assert_int_equal(wire_get_digest(f.payload, &back), ERR_BAD_INPUT);
    buf_free(&b);
}

static void paxos_there_and_back(const struct paxos_msg *in)
{
    struct paxos_msg out;
    struct buf b = {0};
    struct reader r;

    wire_put_paxos(&b, in);
    r = reader_of(b.data, b.len);
    assert_int_equal(wire_get_paxos(&r, &out), ERR_OK);
    assert_int_equal(reader_left(&r), 0);
    assert_int_equal(out.kind, in->kind);
    assert_true(out.from.n == in->from.n && out.to.n == in->to.n);
    assert_true(out.instance.n == in->instance.n);
    assert_int_equal(paxos_ballot_cmp(out.ballot, in->ballot), 0);
    assert_int_equal(paxos_ballot_cmp(out.accepted, in->accepted), 0);
    assert_true(slice_eq(out.value, in->value));
    for (size_t cut = 0; cut < b.len; cut++) {
        r = reader_of(b.data, cut);
        assert_int_equal(wire_get_paxos(&r, &out), ERR_BAD_INPUT);
    }
    b.data[0] = PAXOS_MSG_KINDS;
    r = reader_of(b.data, b.len);
    assert_int_equal(wire_get_paxos(&r, &out), ERR_BAD_INPUT);
    buf_free(&b);
}

/* Each kind with what it carries, and no more. */
static void paxos_round_trip(void **state)
{
    const struct paxos_ballot low = {3, {~0ULL}}, high = {1ULL << 61, {7}};
    const struct slice map = SLICE("a map");
    const struct paxos_msg rows[] = {
        {PAXOS_PREPARE, {1}, {2}, {300}, low, {0}, {0}},
        {PAXOS_PROMISE, {1}, {2}, {300}, high, {0}, {0}},
        {PAXOS_PROMISE, {1}, {2}, {300}, high, low, map},
        {PAXOS_ACCEPT, {1}, {2}, {1ULL << 62}, low, {0}, map},
        {PAXOS_ACCEPT, {1}, {2}, {1}, low, {0}, {0}},
        {PAXOS_ACCEPTED, {~0ULL}, {2}, {2}, low, {0}, {0}},
        {PAXOS_NACK, {1}, {2}, {2}, low, high, {0}},
        {PAXOS_DECIDED, {1}, {2}, {9}, {0}, {0}, map},
        {PAXOS_ASK, {1}, {2}, {0}, {0}, {0}, {0}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        paxos_there_and_back(&rows[i]);
    }
}

/* Frozen, as the others are. */
static void paxos_vector(void **state)
{
    static const uint8_t want[] = {PAXOS_PROMISE,
                                   2,
                                   0,
                                   0,
                                   0,
                                   0,
                                   0,
                                   0,
                                   0,
                                   1,
                                   0,
                                   0,
                                   0,
                                   0,
                                   0,
                                   0,
                                   0,
                                   0xac,
                                   2, /* instance 300 */
                                   5,
                                   1,
                                   0,
                                   0,
                                   0,
                                   0,
                                   0,
                                   0,
                                   0, /* ballot 5.1 */
                                   4,
                                   3,
                                   0,
                                   0,
                                   0,
                                   0,
                                   0,
                                   0,
                                   0, /* accepted 4.3 */
                                   2,
                                   'o',
                                   'k'};
    const struct paxos_msg m = {PAXOS_PROMISE, {2}, {1}, {300}, {5, {1}}, {4, {3}}, SLICE("ok")};
    struct buf b = {0};

    (void)state;
    wire_put_paxos(&b, &m);
    assert_int_equal(b.len, sizeof want);
    assert_memory_equal(b.data, want, sizeof want);
    buf_free(&b);
}

static void a_flipped_bit_is_noticed(void **state)
{
    struct wire_reply p = {.id = 1, .outcome = WIRE_DONE, .reply = SLICE("+OK\r\n")};
    struct buf b = {0};
    struct wire_frame f;

    (void)state;
    (void)framed(&b, WIRE_REPLY, fill_reply, &p);
    for (size_t bit = 32; bit < b.len * 8; bit++) { /* the length is no secret to keep */
        b.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_int_equal(wire_next(b.data, b.len, &f), ERR_CORRUPT);
        b.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    buf_free(&b);
}

static void lengths_are_judged(void **state)
{
    uint8_t head[16] = {0};
    struct wire_frame f;

    (void)state;
    assert_int_equal(wire_next(head, sizeof head, &f), ERR_CORRUPT); /* shorter than its head */
    store_u32le(head, WIRE_FRAME_BYTES_MAX + 1U);
    assert_int_equal(wire_next(head, sizeof head, &f), ERR_TOO_LARGE);
    store_u32le(head, WIRE_FRAME_BYTES_MAX);
    assert_int_equal(wire_next(head, sizeof head, &f), ERR_AGAIN);
}

/* The format is frozen: these bytes were written by version 1 and must stay readable. */
static void frozen_vector(void **state)
{
    struct wire_reply p = {.id = 300, .outcome = WIRE_DONE, .reply = SLICE("+OK\r\n")};
    static const uint8_t want[] = {0x0e, 0,    0, 0, 0xd8, 0x14, 0xff, 0x9c, 4,
                                   0xac, 0x02, 0, 5, '+',  'O',  'K',  '\r', '\n'};
    struct buf b = {0};

    (void)state;
    (void)framed(&b, WIRE_REPLY, fill_reply, &p);
    assert_int_equal(b.len, sizeof want);
    assert_memory_equal(b.data + 8, want + 8, sizeof want - 8);
    assert_int_equal(load_u32le(b.data), 0x0e);
    assert_int_equal(load_u32le(b.data + 4), checksum32(b.data + 8, b.len - 8));
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello_round_trip),
        cmocka_unit_test(hello_of_another_version),
        cmocka_unit_test(raft_round_trip),
        cmocka_unit_test(requests_and_replies_share_frames),
        cmocka_unit_test(map_round_trip),
        cmocka_unit_test(placement_rows),
        cmocka_unit_test(no_member_twice),
        cmocka_unit_test(councils),
        cmocka_unit_test(snapshot_frames_round_trip),
        cmocka_unit_test(digests_round_trip),
        cmocka_unit_test(a_flipped_bit_is_noticed),
        cmocka_unit_test(lengths_are_judged),
        cmocka_unit_test(frozen_vector),
        cmocka_unit_test(paxos_round_trip),
        cmocka_unit_test(paxos_vector),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
