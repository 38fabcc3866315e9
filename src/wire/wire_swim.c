#include "base/base_mem.h"
#include "wire/wire.h"

/* A packet: u8 version, u8 kind and flag, 16 from, 16 to, u32 seq; PING_REQ: 16 target, its
 * address, u16 wait; SYNC: u64 digest; count of records, records. [docs/protocol/swim.md] */
enum {
    SWIM_VERSION = 1,
    KIND_MASK = 0x0f,
    FLAG_LAST = 0x10,
    STATE_MASK = 0x07,
    FLAG_BY_STREAM = 0x08,
    FLAG_V6 = 0x10,
    RECORD_BYTES_MIN = 1 + 16 + 1 + 6,
};

static void put_id(struct buf *b, const struct swim_id *id)
{
    buf_append(b, id->b, sizeof id->b);
}

static void get_id(struct reader *r, struct swim_id *id)
{
    struct slice raw = get_raw(r, sizeof id->b);

    *id = (struct swim_id){{0}};
    if (!r->bad) {
        memcpy(id->b, raw.data, sizeof id->b);
    }
}

static uint8_t flag_v6(const struct swim_addr *a)
{
    return swim_addr_is_v4(a) ? 0 : FLAG_V6;
}

static void put_addr(struct buf *b, const struct swim_addr *a)
{
    if (swim_addr_is_v4(a)) {
        buf_append(b, a->ip + 12, 4);
    } else {
        buf_append(b, a->ip, sizeof a->ip);
    }
    put_u16le(b, a->port);
}

static void get_addr(struct reader *r, bool v6, struct swim_addr *a)
{
    struct slice raw = get_raw(r, v6 ? sizeof a->ip : 4);

    *a = (struct swim_addr){0};
    if (!r->bad) {
        memcpy(a->ip + (sizeof a->ip - raw.len), raw.data, raw.len);
        a->ip[10] = v6 ? a->ip[10] : 0xff;
        a->ip[11] = v6 ? a->ip[11] : 0xff;
    }
    a->port = get_u16le(r);
    r->bad = r->bad || (v6 && swim_addr_is_v4(a)); /* one form for each address */
}

static void put_record(struct buf *b, const struct swim_record *r)
{
    put_u8(b, (uint8_t)((unsigned)r->state | (r->by_stream ? FLAG_BY_STREAM : 0u) |
                        flag_v6(&r->addr)));
    put_id(b, &r->id);
    put_varint(b, r->incarnation);
    put_addr(b, &r->addr);
    if (r->state == SWIM_ALIVE || r->state == SWIM_SUSPECT) {
        put_bytes(b, (struct slice){r->meta, r->meta_len});
    }
    if (r->state == SWIM_SUSPECT) {
        put_id(b, &r->by);
    }
}

static bool get_record(struct reader *r, struct swim_record *out)
{
    uint8_t head = get_u8(r);

    *out = (struct swim_record){0};
    if (r->bad || (head & STATE_MASK) == SWIM_UNKNOWN || (head & STATE_MASK) >= SWIM_STATES ||
        (head & ~(STATE_MASK | FLAG_BY_STREAM | FLAG_V6)) != 0) {
        return false;
    }
    out->state = (enum swim_state)(head & STATE_MASK);
    out->by_stream = (head & FLAG_BY_STREAM) != 0;
    get_id(r, &out->id);
    out->incarnation = get_varint(r);
    get_addr(r, (head & FLAG_V6) != 0, &out->addr);
    if (out->state == SWIM_ALIVE || out->state == SWIM_SUSPECT) {
        struct slice meta = get_bytes(r);

        if (r->bad || meta.len > SWIM_META_MAX) {
            return false;
        }
        out->meta_len = (uint8_t)meta.len;
        if (meta.len > 0) {
            memcpy(out->meta, meta.data, meta.len);
        }
    }
    if (out->state == SWIM_SUSPECT) {
        get_id(r, &out->by);
    }
    return !r->bad;
}

void wire_put_swim(struct buf *b, const struct swim_msg *m)
{
    size_t start = b->len, bytes = swim_head_bytes(m);

    put_u8(b, SWIM_VERSION);
    put_u8(b, (uint8_t)((unsigned)m->kind | (m->last ? FLAG_LAST : 0u)));
    put_id(b, &m->from);
    put_id(b, &m->to);
    put_u32le(b, m->seq);
    if (m->kind == SWIM_PING_REQ) {
        put_id(b, &m->target);
        put_u8(b, flag_v6(&m->target_addr));
        put_addr(b, &m->target_addr);
        put_u16le(b, m->wait_ms);
    }
    if (m->kind == SWIM_SYNC) {
        put_u64le(b, m->digest);
    }
    put_varint(b, m->record_count);
    for (uint32_t i = 0; i < m->record_count; i++) {
        put_record(b, &m->records[i]);
        bytes += swim_record_bytes(&m->records[i]);
    }
    CHECK(b->len - start == bytes); /* the engine fills packets by these numbers */
}

void wire_swim_records_free(struct wire_swim_records *s)
{
    mem_free(s->at);
    *s = (struct wire_swim_records){0};
}

static enum err get_records(struct reader *r, struct swim_msg *m, struct wire_swim_records *records)
{
    uint64_t count = get_varint(r);

    if (r->bad || count > reader_left(r) / RECORD_BYTES_MIN || count > SWIM_MEMBERS_MAX) {
        return ERR_BAD_INPUT;
    }
    if (count > records->cap) {
        records->cap = (uint32_t)count;
        records->at = mem_realloc(records->at, count * sizeof records->at[0]);
    }
    for (uint64_t i = 0; i < count; i++) {
        if (!get_record(r, &records->at[i])) {
            return ERR_BAD_INPUT;
        }
    }
    m->record_count = (uint32_t)count;
    m->records = count == 0 ? NULL : records->at;
    return r->pos == r->end ? ERR_OK : ERR_BAD_INPUT;
}

enum err wire_get_swim(struct slice payload, struct swim_msg *m, struct wire_swim_records *records)
{
    struct reader r = reader_of(payload.data, payload.len);
    uint8_t version = get_u8(&r), head = get_u8(&r);

    *m = (struct swim_msg){.last = (head & FLAG_LAST) != 0};
    if (r.bad) {
        return ERR_BAD_INPUT;
    }
    if (version != SWIM_VERSION) {
        return ERR_VERSION;
    }
    if ((head & KIND_MASK) >= SWIM_MSG_KINDS || (head & ~(KIND_MASK | FLAG_LAST)) != 0) {
        return ERR_BAD_INPUT;
    }
    m->kind = (enum swim_msg_kind)(head & KIND_MASK);
    get_id(&r, &m->from);
    get_id(&r, &m->to);
    m->seq = get_u32le(&r);
    if (m->kind == SWIM_PING_REQ) {
        uint8_t flags;

        get_id(&r, &m->target);
        flags = get_u8(&r);
        if ((flags & ~FLAG_V6) != 0) {
            return ERR_BAD_INPUT;
        }
        get_addr(&r, flags != 0, &m->target_addr);
        m->wait_ms = get_u16le(&r);
    }
    if (m->kind == SWIM_SYNC) {
        m->digest = get_u64le(&r);
    }
    return get_records(&r, m, records);
}
