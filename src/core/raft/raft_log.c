/* raft_log.c - the entries in memory, and how much of them is on stable storage.
 *
 * One contiguous array with a moving head: an append message or a log write borrows a
 * run of it without copying. Room in front is reclaimed when it is at least
 * half of the array, so each entry is moved at most once on average.
 *
 * Durability: each write given to the driver is remembered as (ticket, last).
 * Truncation cuts `last` of every write under way: what such a write stores beyond
 * the cut are other entries, and its completion must not vouch for the new ones.
 */
#include "core/raft/raft_internal.h"

enum { LOG_CAP_MIN = 64 };

static void entry_free(struct raft_log *l, struct raft_entry *e)
{
    union {
        const void *in;
        void *out;
    } cast = {.in = e->data.data};

    CHECK(l->bytes >= e->data.len);
    l->bytes -= e->data.len;
    mem_free(cast.out);
    e->data = (struct slice){NULL, 0};
}

void raft_log_free(struct raft_log *l)
{
    for (size_t i = 0; i < l->count; i++) {
        entry_free(l, &l->at[l->head + i]);
    }
    CHECK(l->bytes == 0);
    mem_free(l->at);
    mem_free(l->writes);
    *l = (struct raft_log){0};
}

static void make_room(struct raft_log *l)
{
    if (l->head >= l->cap / 2 && l->cap > 0) {
        memmove(l->at, l->at + l->head, l->count * sizeof *l->at);
        l->head = 0;
        return;
    }
    l->cap = l->cap == 0 ? LOG_CAP_MIN : l->cap * 2;
    l->at = mem_realloc(l->at, l->cap * sizeof *l->at);
}

void raft_log_append(struct raft_log *l, struct raft_term term, enum raft_entry_kind kind,
                     struct slice data)
{
    uint8_t *copy = NULL;

    CHECK(term.n >= raft_log_term(l, raft_log_last(l)));
    if (UNLIKELY(l->head + l->count == l->cap)) {
        make_room(l);
    }
    if (data.len > 0) {
        copy = mem_alloc(data.len);
        memcpy(copy, data.data, data.len);
    }
    l->at[l->head + l->count] = (struct raft_entry){
        .index.n = raft_log_last(l) + 1,
        .term = term,
        .kind = kind,
        .data = {copy, data.len},
    };
    l->count++;
    l->bytes += data.len;
}

void raft_log_truncate(struct raft_log *l, uint64_t from)
{
    CHECK(from > l->snap_index.n);
    while (raft_log_last(l) >= from) {
        entry_free(l, raft_log_at(l, raft_log_last(l)));
        l->count--;
    }
    l->handed = raft_min(l->handed, from - 1);
    l->durable = raft_min(l->durable, from - 1);
    for (uint32_t i = 0; i < l->write_count; i++) {
        l->writes[i].last = raft_min(l->writes[i].last, from - 1);
    }
}

void raft_log_compact(struct raft_log *l, uint64_t index)
{
    CHECK(index <= l->durable);
    if (index <= l->snap_index.n) {
        return;
    }
    l->snap_term.n = raft_log_term(l, index);
    while (l->snap_index.n < index) {
        entry_free(l, &l->at[l->head]);
        l->head++;
        l->count--;
        l->snap_index.n++;
    }
    /* Give back the memory of a burst. */
    if (l->cap > LOG_CAP_MIN && l->count < l->cap / 8) {
        memmove(l->at, l->at + l->head, l->count * sizeof *l->at);
        l->head = 0;
        l->cap /= 4;
        l->at = mem_realloc(l->at, l->cap * sizeof *l->at);
    }
}

void raft_log_reset(struct raft_log *l, struct raft_index index, struct raft_term term)
{
    raft_log_truncate(l, l->snap_index.n + 1);
    l->head = 0;
    l->snap_index = index;
    l->snap_term = term;
    l->handed = l->durable = index.n;
    for (uint32_t i = 0; i < l->write_count; i++) {
        l->writes[i].last = index.n;
    }
}

void raft_log_hand_out(struct raft_log *l, uint64_t ticket)
{
    uint64_t last = raft_log_last(l);

    CHECK(l->handed < last);
    l->handed = last;
    if (l->write_count > 0 && l->writes[l->write_count - 1].ticket == ticket) {
        l->writes[l->write_count - 1].last = last; /* the same batch, still being filled */
        return;
    }
    CHECK(l->write_count == 0 || l->writes[l->write_count - 1].ticket < ticket);
    MEM_GROW(l->writes, l->write_count, l->write_cap);
    l->writes[l->write_count++] = (struct raft_write){ticket, last};
}

bool raft_log_durable(struct raft_log *l, uint64_t ticket)
{
    uint64_t before = l->durable;
    uint32_t done = 0;

    while (done < l->write_count && l->writes[done].ticket <= ticket) {
        l->durable = raft_max(l->durable, l->writes[done].last);
        done++;
    }
    if (done == 0) {
        return false;
    }
    l->write_count -= done;
    memmove(l->writes, l->writes + done, l->write_count * sizeof *l->writes);
    return l->durable > before;
}

uint64_t raft_log_gate(const struct raft_log *l, uint64_t index)
{
    CHECK(index <= l->handed);
    if (index <= l->durable) {
        return 0;
    }
    for (uint32_t i = 0; i < l->write_count; i++) {
        if (l->writes[i].last >= index) {
            return l->writes[i].ticket;
        }
    }
    UNREACHABLE("an entry handed out is durable or part of a write under way");
}

uint64_t raft_log_meet(const struct raft_log *l, uint64_t index, uint64_t term)
{
    uint64_t low = l->snap_index.n, high = raft_min(index, raft_log_last(l));

    if (high < low) {
        return high;
    }
    if (l->snap_term.n > term) {
        return low == 0 ? 0 : low - 1;
    }
    while (low < high) { /* term(low) <= term always; terms never decrease along the log */
        uint64_t middle = low + (high - low + 1) / 2;

        if (raft_log_term(l, middle) <= term) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

const struct raft_entry *raft_entry(const struct raft *r, struct raft_index index)
{
    if (index.n <= r->log.snap_index.n || index.n > raft_log_last(&r->log)) {
        return NULL;
    }
    return raft_log_at(&r->log, index.n);
}

struct raft_term raft_term_at(const struct raft *r, struct raft_index index)
{
    return (struct raft_term){raft_log_term(&r->log, index.n)};
}

uint64_t raft_log_bytes(const struct raft *r)
{
    return r->log.bytes + r->log.count * sizeof(struct raft_entry);
}
