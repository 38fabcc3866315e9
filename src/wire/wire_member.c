#include "base/base_mem.h"
#include "wire/wire.h"

static void put_id(struct buf *b, const struct wire_id *id)
{
    buf_append(b, id->b, sizeof id->b);
}

static void get_id(struct reader *r, struct wire_id *id)
{
    struct slice raw = get_raw(r, sizeof id->b);

    memset(id->b, 0, sizeof id->b);
    if (!r->bad) {
        memcpy(id->b, raw.data, sizeof id->b);
    }
}

/* An address that fits and holds no zero byte; anything else is a bad frame. */
static void get_addr(struct reader *r, char out[WIRE_ADDR_MAX])
{
    struct slice s = get_bytes(r);

    out[0] = 0;
    if (r->bad || s.len >= WIRE_ADDR_MAX || (s.len > 0 && memchr(s.data, 0, s.len) != NULL)) {
        r->bad = true;
        return;
    }
    if (s.len > 0) {
        memcpy(out, s.data, s.len);
    }
    out[s.len] = 0;
}

static enum err finish(const struct reader *r)
{
    return r->bad || r->pos != r->end ? ERR_BAD_INPUT : ERR_OK;
}

void wire_put_hello(struct buf *b, const struct wire_hello *h)
{
    put_u16le(b, h->version);
    put_id(b, &h->node);
    put_id(b, &h->cluster);
    put_varint(b, h->map_epoch);
    put_u64le(b, h->found_hash);
    put_u8(b, h->joining ? 1 : 0);
    put_varint(b, h->zone);
    put_u8(b, h->weight);
    put_u64le(b, h->paxos);
    put_bytes(b, h->peer_addr);
    put_bytes(b, h->client_addr);
}

enum err wire_get_hello(struct slice payload, struct wire_hello *h)
{
    struct reader r = reader_of(payload.data, payload.len);

    h->version = get_u16le(&r);
    if (!r.bad && h->version != WIRE_VERSION) {
        return ERR_VERSION;
    }
    get_id(&r, &h->node);
    get_id(&r, &h->cluster);
    h->map_epoch = get_varint(&r);
    h->found_hash = get_u64le(&r);
    h->joining = get_u8(&r) != 0;
    h->zone = (uint32_t)get_varint(&r);
    h->weight = get_u8(&r);
    h->paxos = get_u64le(&r);
    h->peer_addr = get_bytes(&r);
    h->client_addr = get_bytes(&r);
    if (h->peer_addr.len >= WIRE_ADDR_MAX || h->client_addr.len >= WIRE_ADDR_MAX ||
        wire_id_is_zero(&h->node) || h->paxos == 0 || h->weight == 0 ||
        h->weight > WIRE_WEIGHT_MAX) {
        return ERR_BAD_INPUT;
    }
    return finish(&r);
}

void wire_put_member(struct buf *b, const struct wire_member *m)
{
    put_id(b, &m->node);
    put_varint(b, m->zone);
    put_u8(b, m->weight);
    put_u8(b, (uint8_t)m->state);
    put_u64le(b, m->paxos);
    put_bytes(b, slice_str(m->peer_addr));
    put_bytes(b, slice_str(m->client_addr));
}

enum err wire_get_member(struct reader *r, struct wire_member *m)
{
    uint8_t state;

    get_id(r, &m->node);
    m->zone = (uint32_t)get_varint(r);
    m->weight = get_u8(r);
    state = get_u8(r);
    m->state = (enum wire_member_state)state;
    m->paxos = get_u64le(r);
    get_addr(r, m->peer_addr);
    get_addr(r, m->client_addr);
    if (r->bad || m->paxos == 0 || m->weight == 0 || m->weight > WIRE_WEIGHT_MAX ||
        state >= WIRE_MEMBER_STATES) {
        return ERR_BAD_INPUT;
    }
    return ERR_OK;
}

void wire_put_join(struct buf *b, const struct wire_join *j)
{
    put_varint(b, j->group);
    put_u64le(b, j->id.n);
    put_u64le(b, j->replaces.n);
    wire_put_member(b, &j->member);
}

enum err wire_get_join(struct slice payload, struct wire_join *j)
{
    struct reader r = reader_of(payload.data, payload.len);
    uint64_t group = get_varint(&r);

    j->group = (uint32_t)group;
    j->id.n = get_u64le(&r);
    j->replaces.n = get_u64le(&r);
    if (group > UINT32_MAX || wire_get_member(&r, &j->member) != ERR_OK) {
        return ERR_BAD_INPUT;
    }
    return finish(&r);
}

void wire_put_out(struct buf *b, const struct wire_out *o)
{
    put_varint(b, o->group);
    put_u8(b, o->answer ? 1 : 0);
    put_u64le(b, o->id.n);
    put_u64le(b, o->asked);
    put_varint(b, o->index.n);
}

enum err wire_get_out(struct slice payload, struct wire_out *o)
{
    struct reader r = reader_of(payload.data, payload.len);
    uint64_t group = get_varint(&r);
    uint8_t answer = get_u8(&r);

    o->group = (uint32_t)group;
    o->answer = answer == 1;
    o->id.n = get_u64le(&r);
    o->asked = get_u64le(&r);
    o->index.n = get_varint(&r);
    return group > UINT32_MAX || answer > 1 ? ERR_BAD_INPUT : finish(&r);
}

void wire_put_refuse(struct buf *b, enum err code, const char *text)
{
    put_u8(b, (uint8_t)code);
    put_bytes(b, slice_str(text));
}

enum err wire_get_refuse(struct slice payload, enum err *code, struct slice *text)
{
    struct reader r = reader_of(payload.data, payload.len);
    uint8_t raw = get_u8(&r);

    *code = raw < ERR_COUNT ? (enum err)raw : ERR_REFUSED;
    *text = get_bytes(&r);
    return finish(&r);
}
