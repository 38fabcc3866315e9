/* fuzz_wire.c - frames and messages between nodes, on hostile bytes.
 *
 * The first byte picks a message type; the rest is its payload, judged directly (past
 * the checksum) and as a framed stream. Asserted: no read past the end, and what was
 * decoded, encoded again, decodes to the same bytes.
 */
#include "base/base_mem.h"
#include "wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_raft(struct reader r)
{
    struct wire_entries scratch = {0};
    struct raft_msg m;
    uint32_t group;

    while (reader_left(&r) > 0 && wire_get_raft(&r, &group, &m, &scratch) == ERR_OK) {
        struct buf once = {0}, twice = {0};
        struct wire_entries again_scratch = {0};
        struct raft_msg again;
        struct reader back;

        wire_put_raft(&once, group, &m);
        back = reader_of(once.data, once.len);
        CHECK(wire_get_raft(&back, &group, &again, &again_scratch) == ERR_OK);
        wire_put_raft(&twice, group, &again);
        CHECK(slice_eq(buf_slice(&once), buf_slice(&twice)));
        wire_entries_free(&again_scratch);
        buf_free(&once);
        buf_free(&twice);
    }
    wire_entries_free(&scratch);
}

static void try_swim(struct slice payload)
{
    struct wire_swim_records scratch = {0}, again_scratch = {0};
    struct swim_msg m, again;
    struct buf once = {0}, twice = {0};

    if (wire_get_swim(payload, &m, &scratch) == ERR_OK) {
        wire_put_swim(&once, &m);
        CHECK(wire_get_swim(buf_slice(&once), &again, &again_scratch) == ERR_OK);
        wire_put_swim(&twice, &again);
        CHECK(slice_eq(buf_slice(&once), buf_slice(&twice)));
    }
    buf_free(&once);
    buf_free(&twice);
    wire_swim_records_free(&scratch);
    wire_swim_records_free(&again_scratch);
}

static void try_paxos(struct reader r)
{
    struct paxos_msg m, again;

    while (reader_left(&r) > 0 && wire_get_paxos(&r, &m) == ERR_OK) {
        struct buf once = {0}, twice = {0};
        struct reader back;

        wire_put_paxos(&once, &m);
        back = reader_of(once.data, once.len);
        CHECK(wire_get_paxos(&back, &again) == ERR_OK);
        CHECK(reader_left(&back) == 0);
        wire_put_paxos(&twice, &again);
        CHECK(slice_eq(buf_slice(&once), buf_slice(&twice)));
        buf_free(&once);
        buf_free(&twice);
    }
}

static void try_items(enum wire_type type, struct reader r)
{
    struct wire_request q;
    struct wire_reply p;
    struct wire_leader l;

    while (reader_left(&r) > 0) {
        enum err err = type == WIRE_REQUEST ? wire_get_request(&r, &q)
                       : type == WIRE_REPLY ? wire_get_reply(&r, &p)
                                            : wire_get_leader(&r, &l);

        if (err != ERR_OK) {
            return;
        }
    }
}

/* After the flags of RECORDS, or all of FORGOT. */
static void try_records(struct reader r)
{
    struct wire_records s;

    while (reader_left(&r) > 0 && wire_get_records(&r, &s) == ERR_OK) {
        struct buf once = {0}, twice = {0};
        struct wire_records again;
        struct reader back;

        CHECK(s.starts.count <= WIRE_STARTS_MAX);
        wire_put_records(&once, &s);
        back = reader_of(once.data, once.len);
        CHECK(wire_get_records(&back, &again) == ERR_OK);
        CHECK(reader_left(&back) == 0);
        wire_put_records(&twice, &again);
        CHECK(slice_eq(buf_slice(&once), buf_slice(&twice)));
        buf_free(&once);
        buf_free(&twice);
    }
}

static void try_map(struct slice payload)
{
    struct wire_map m, again;
    struct buf b = {0};

    if (wire_get_map(payload, &m) != ERR_OK) {
        return;
    }
    wire_put_map(&b, &m);
    CHECK(wire_get_map(buf_slice(&b), &again) == ERR_OK);
    wire_map_free(&again);
    wire_map_free(&m);
    buf_free(&b);
}

static void try_payload(uint8_t pick, struct slice payload)
{
    struct wire_hello h;
    struct wire_chunk c;
    struct wire_chunk_ack a;
    struct wire_join j;
    struct wire_digest d;
    struct wire_out o;
    enum err code;
    struct slice text;

    switch (pick % 17) {
    case 0:
        (void)!wire_get_hello(payload, &h);
        return;
    case 1:
        try_raft(reader_of(payload.data, payload.len));
        return;
    case 2:
        try_items(WIRE_REQUEST, reader_of(payload.data, payload.len));
        return;
    case 3:
        try_items(WIRE_REPLY, reader_of(payload.data, payload.len));
        return;
    case 4:
        try_map(payload);
        return;
    case 5:
        (void)!wire_get_chunk(payload, &c);
        return;
    case 6:
        (void)!wire_get_chunk_ack(payload, &a);
        return;
    case 7:
        (void)!wire_get_join(payload, &j);
        return;
    case 8:
        try_items(WIRE_LEADERS, reader_of(payload.data, payload.len));
        return;
    case WIRE_DIGEST - 1:
        (void)!wire_get_digest(payload, &d);
        return;
    case WIRE_RECORDS - 1: {
        struct reader r = reader_of(payload.data, payload.len);

        if ((get_u8(&r) & 1) != 0) {
            (void)get_u64le(&r);
        }
        try_records(r);
        return;
    }
    case WIRE_FORGOT - 1:
        try_records(reader_of(payload.data, payload.len));
        return;
    case WIRE_OUT - 1:
        (void)!wire_get_out(payload, &o);
        return;
    case WIRE_PAXOS - 1:
        try_paxos(reader_of(payload.data, payload.len));
        return;
    default:
        (void)!wire_get_refuse(payload, &code, &text);
        return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_frame f;
    uint8_t *exact;

    if (size == 0) {
        return 0;
    }
    exact = mem_alloc(size - 1); /* ends where the bytes end: overreads show */
    if (size > 1) {
        memcpy(exact, data + 1, size - 1);
    }
    if (wire_next(exact, size - 1, &f) == ERR_OK) {
        try_payload((uint8_t)(f.type - 1), f.payload);
    }
    try_payload(data[0], (struct slice){exact, size - 1});
    try_swim((struct slice){exact, size - 1}); /* a packet, in no frame */
    mem_free(exact);
    return 0;
}
