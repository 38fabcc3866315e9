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
    put_varint(b, h->since);
    put_varint(b, h->zone);
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
    h->since = get_varint(&r);
    h->zone = (uint32_t)get_varint(&r);
    h->peer_addr = get_bytes(&r);
    h->client_addr = get_bytes(&r);
    if (h->peer_addr.len >= WIRE_ADDR_MAX || h->client_addr.len >= WIRE_ADDR_MAX ||
        wire_id_is_zero(&h->node)) {
        return ERR_BAD_INPUT;
    }
    return finish(&r);
}

void wire_put_member(struct buf *b, const struct wire_member *m)
{
    put_id(b, &m->node);
    put_varint(b, m->since);
    put_varint(b, m->zone);
    put_bytes(b, slice_str(m->peer_addr));
    put_bytes(b, slice_str(m->client_addr));
}

enum err wire_get_member(struct reader *r, struct wire_member *m)
{
    get_id(r, &m->node);
    m->since = get_varint(r);
    m->zone = (uint32_t)get_varint(r);
    get_addr(r, m->peer_addr);
    get_addr(r, m->client_addr);
    return r->bad ? ERR_BAD_INPUT : ERR_OK;
}

void wire_put_map(struct buf *b, const struct wire_map *m)
{
    put_id(b, &m->cluster);
    put_varint(b, m->epoch);
    put_varint(b, m->partitions);
    put_varint(b, m->replicas);
    put_varint(b, m->member_count);
    for (uint32_t i = 0; i < m->member_count; i++) {
        wire_put_member(b, &m->members[i]);
    }
    buf_append(b, m->placement, (size_t)m->partitions * m->replicas);
}

static enum err get_placement(struct reader *r, struct wire_map *m)
{
    size_t bytes = (size_t)m->partitions * m->replicas;
    struct slice raw = get_raw(r, bytes);

    if (finish(r) != ERR_OK) {
        return ERR_BAD_INPUT;
    }
    for (size_t i = 0; i < bytes; i++) {
        if (raw.data[i] >= m->member_count) {
            return ERR_BAD_INPUT;
        }
    }
    m->placement = mem_alloc(bytes);
    memcpy(m->placement, raw.data, bytes);
    return ERR_OK;
}

enum err wire_get_map(struct slice payload, struct wire_map *m)
{
    struct reader r = reader_of(payload.data, payload.len);
    uint64_t partitions, replicas, member_count;

    *m = (struct wire_map){0};
    get_id(&r, &m->cluster);
    m->epoch = get_varint(&r);
    partitions = get_varint(&r);
    replicas = get_varint(&r);
    member_count = get_varint(&r);
    if (r.bad || partitions == 0 || partitions > 16384 || (partitions & (partitions - 1)) != 0 ||
        replicas == 0 || replicas > WIRE_REPLICAS_MAX || member_count == 0 ||
        member_count > WIRE_MEMBERS_MAX || replicas > member_count) {
        return ERR_BAD_INPUT;
    }
    m->partitions = (uint32_t)partitions;
    m->replicas = (uint32_t)replicas;
    m->member_count = (uint32_t)member_count;
    for (uint32_t i = 0; i < m->member_count; i++) {
        if (wire_get_member(&r, &m->members[i]) != ERR_OK) {
            return ERR_BAD_INPUT;
        }
    }
    return get_placement(&r, m);
}

void wire_map_free(struct wire_map *m)
{
    mem_free(m->placement);
    *m = (struct wire_map){0};
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
