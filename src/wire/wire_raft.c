#include "base/base_mem.h"
#include "wire/wire.h"

/* kind in the low four bits, then the flags */
enum { FLAG_REJECT = 0x10, FLAG_FORCE = 0x20, KIND_MASK = 0x0f };
enum { ENTRY_BYTES_MIN = 3 }; /* term, kind, length: what one entry takes at least */

void wire_put_raft(struct buf *b, uint32_t group, const struct raft_msg *m)
{
    bool reject = m->reject && !(PLANTED(REJECT_LOST) && m->kind == RAFT_MSG_APPEND_REPLY);

    put_varint(b, group);
    put_u8(b, (uint8_t)((unsigned)m->kind | (reject ? FLAG_REJECT : 0u) |
                        (m->force ? FLAG_FORCE : 0u)));
    put_u64le(b, m->from.n);
    put_u64le(b, m->to.n);
    put_varint(b, m->term.n);
    put_varint(b, m->index.n);
    put_varint(b, m->log_term.n);
    put_varint(b, m->commit.n);
    put_varint(b, m->stamp_us);
    put_varint(b, m->round);
    put_varint(b, m->entry_count);
    for (uint32_t i = 0; i < m->entry_count; i++) {
        const struct raft_entry *e = &m->entries[i];

        CHECK(e->index.n == m->index.n + 1 + i);
        put_varint(b, e->term.n);
        put_u8(b, (uint8_t)e->kind);
        put_bytes(b, e->data);
    }
}

void wire_entries_free(struct wire_entries *e)
{
    mem_free(e->at);
    *e = (struct wire_entries){0};
}

static enum err get_entries(struct reader *r, struct raft_msg *m, struct wire_entries *entries)
{
    uint64_t count = get_varint(r);

    if (r->bad || count > reader_left(r) / ENTRY_BYTES_MIN) {
        return ERR_BAD_INPUT;
    }
    if (count > entries->cap) {
        entries->cap = (uint32_t)count;
        entries->at = mem_realloc(entries->at, count * sizeof entries->at[0]);
    }
    for (uint64_t i = 0; i < count; i++) {
        struct raft_entry *e = &entries->at[i];
        uint8_t kind;

        e->index.n = m->index.n + 1 + i;
        e->term.n = get_varint(r);
        if (PLANTED(ENTRY_TERMS)) {
            e->term = m->term;
        }
        kind = get_u8(r);
        e->data = get_bytes(r);
        if (r->bad || kind > RAFT_CONF) {
            return ERR_BAD_INPUT;
        }
        e->kind = (enum raft_entry_kind)kind;
    }
    m->entry_count = (uint32_t)count;
    m->entries = count == 0 ? NULL : entries->at;
    return ERR_OK;
}

enum err wire_get_raft(struct reader *r, uint32_t *group, struct raft_msg *m,
                       struct wire_entries *entries)
{
    uint64_t group_wide = get_varint(r);
    uint8_t head = get_u8(r);

    *m = (struct raft_msg){0};
    m->from.n = get_u64le(r);
    m->to.n = get_u64le(r);
    m->term.n = get_varint(r);
    m->index.n = get_varint(r);
    m->log_term.n = get_varint(r);
    m->commit.n = get_varint(r);
    m->stamp_us = get_varint(r);
    m->round = get_varint(r);
    if (r->bad || group_wide > UINT32_MAX || (head & KIND_MASK) >= RAFT_MSG_KINDS ||
        (head & ~(KIND_MASK | FLAG_REJECT | FLAG_FORCE)) != 0) {
        return ERR_BAD_INPUT;
    }
    *group = (uint32_t)group_wide;
    m->kind = (enum raft_msg_kind)(head & KIND_MASK);
    m->reject = (head & FLAG_REJECT) != 0;
    m->force = (head & FLAG_FORCE) != 0;
    return get_entries(r, m, entries);
}
