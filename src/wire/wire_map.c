/* The cluster map: its bytes, and looking things up in it. */
#include "base/base_mem.h"
#include "wire/wire.h"

/* So that a map of another format is told from damage, in a file as on a connection. */
enum { MAP_FORMAT = 1 };

static_assert((int)WIRE_MEMBERS_MAX <= (int)WIRE_NOBODY, "no member's position is nobody's");

void wire_put_map(struct buf *b, const struct wire_map *m)
{
    put_u8(b, MAP_FORMAT);
    buf_append(b, m->cluster.b, sizeof m->cluster.b);
    put_varint(b, m->epoch);
    put_varint(b, m->partitions);
    put_varint(b, m->replicas);
    put_varint(b, m->member_count);
    for (uint32_t i = 0; i < m->member_count; i++) {
        wire_put_member(b, &m->members[i]);
    }
    put_u8(b, m->council_count);
    buf_append(b, m->council, m->council_count);
    buf_append(b, m->placement, (size_t)m->partitions * m->replicas);
}

/* One member at least, none twice, nobody only at the end. */
static bool row_valid(const struct wire_map *m, const uint8_t *row)
{
    uint64_t seen = 0;
    bool ended = false;

    static_assert(WIRE_MEMBERS_MAX <= 64, "a bit for each");
    for (uint32_t r = 0; r < m->replicas; r++) {
        if (row[r] == WIRE_NOBODY) {
            ended = true;
            continue;
        }
        if (ended || row[r] >= m->member_count || (seen >> row[r] & 1) != 0) {
            return false;
        }
        seen |= 1ULL << row[r];
    }
    return seen != 0;
}

static enum err get_placement(struct reader *r, struct wire_map *m)
{
    size_t bytes = (size_t)m->partitions * m->replicas;
    struct slice raw = get_raw(r, bytes);

    if (r->bad || r->pos != r->end) {
        return ERR_BAD_INPUT;
    }
    for (uint32_t p = 0; p < m->partitions; p++) {
        if (!row_valid(m, raw.data + (size_t)p * m->replicas)) {
            return ERR_BAD_INPUT;
        }
    }
    m->placement = mem_alloc(bytes);
    memcpy(m->placement, raw.data, bytes);
    return ERR_OK;
}

static bool same_node(const struct wire_member *a, const struct wire_member *b)
{
    return wire_id_eq(&a->node, &b->node) || a->paxos == b->paxos;
}

/* Positions that grow: so that one council has one encoding. */
static enum err get_council(struct reader *r, struct wire_map *m)
{
    struct slice raw;

    m->council_count = get_u8(r);
    if (r->bad || m->council_count == 0 || m->council_count > WIRE_COUNCIL_MAX) {
        return ERR_BAD_INPUT;
    }
    raw = get_raw(r, m->council_count);
    for (uint8_t i = 0; !r->bad && i < m->council_count; i++) {
        m->council[i] = raw.data[i];
        if (m->council[i] >= m->member_count || (i > 0 && m->council[i] <= m->council[i - 1])) {
            return ERR_BAD_INPUT;
        }
    }
    return r->bad ? ERR_BAD_INPUT : ERR_OK;
}

enum err wire_get_map(struct slice payload, struct wire_map *m)
{
    struct reader r = reader_of(payload.data, payload.len);
    uint64_t partitions, replicas, member_count;
    uint8_t format = get_u8(&r);
    struct slice cluster;

    *m = (struct wire_map){0};
    if (r.bad || format != MAP_FORMAT) {
        return r.bad ? ERR_BAD_INPUT : ERR_VERSION;
    }
    cluster = get_raw(&r, sizeof m->cluster.b);
    m->epoch = get_varint(&r);
    partitions = get_varint(&r);
    replicas = get_varint(&r);
    member_count = get_varint(&r);
    if (r.bad || partitions == 0 || partitions > 16384 || (partitions & (partitions - 1)) != 0 ||
        replicas == 0 || replicas > WIRE_REPLICAS_MAX || member_count == 0 ||
        member_count > WIRE_MEMBERS_MAX) {
        return ERR_BAD_INPUT;
    }
    memcpy(m->cluster.b, cluster.data, sizeof m->cluster.b);
    m->partitions = (uint32_t)partitions;
    m->replicas = (uint32_t)replicas;
    m->member_count = (uint32_t)member_count;
    for (uint32_t i = 0; i < m->member_count; i++) {
        if (wire_get_member(&r, &m->members[i]) != ERR_OK) {
            return ERR_BAD_INPUT;
        }
        for (uint32_t k = 0; k < i; k++) {
            if (same_node(&m->members[i], &m->members[k])) {
                return ERR_BAD_INPUT;
            }
        }
    }
    return get_council(&r, m) == ERR_OK ? get_placement(&r, m) : ERR_BAD_INPUT;
}

void wire_map_free(struct wire_map *m)
{
    mem_free(m->placement);
    *m = (struct wire_map){0};
}

void wire_map_copy(struct wire_map *to, const struct wire_map *from)
{
    size_t bytes = (size_t)from->partitions * from->replicas;

    *to = *from;
    to->placement = mem_alloc(bytes);
    memcpy(to->placement, from->placement, bytes);
}

uint32_t wire_map_row(const struct wire_map *m, uint32_t partition, const uint8_t **row)
{
    uint32_t count = 0;

    *row = &m->placement[(size_t)partition * m->replicas];
    while (count < m->replicas && (*row)[count] != WIRE_NOBODY) {
        count++;
    }
    return count;
}

bool wire_map_places(const struct wire_map *m, uint32_t partition, uint32_t pos)
{
    const uint8_t *row;
    uint32_t count = wire_map_row(m, partition, &row);

    for (uint32_t r = 0; r < count; r++) {
        if (row[r] == pos) {
            return true;
        }
    }
    return false;
}

int wire_map_member(const struct wire_map *m, const struct wire_id *id)
{
    for (uint32_t i = 0; i < m->member_count; i++) {
        if (wire_id_eq(&m->members[i].node, id)) {
            return (int)i;
        }
    }
    return -1;
}
