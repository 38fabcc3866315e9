#include "wal/wal.h"

#include "base/base_mem.h"
#include "wal/wal_internal.h"

enum { BUFFER_KEEP_BYTES = 4 << 20 }; /* larger ones are given back after use */

struct wal *wal_create(const struct wal_config *cfg)
{
    struct wal *w = MEM_NEW(struct wal);

    CHECK(cfg->segment_bytes >= WAL_SEGMENT_BYTES_MIN);
    CHECK(cfg->segment_bytes % WAL_BLOCK_BYTES == 0);
    w->cfg = *cfg;
    if (w->cfg.spare_count == 0) {
        w->cfg.spare_count = 1; /* there is no writing without one */
    }
    w->ticket = 1;
    w->sequence = 1;
    w->next_number = 1;
    buf_reserve(&w->fill, WAL_BLOCK_BYTES);
    w->fill.len = WAL_BATCH_HEADER_BYTES;
    return w;
}

static void segments_free(struct wal_segments *list)
{
    for (size_t i = 0; i < list->count; i++) {
        mem_free(list->at[i].extents);
    }
    mem_free(list->at);
}

void wal_destroy(struct wal *w)
{
    if (w == NULL) {
        return;
    }
    for (uint32_t i = 0; i < w->known_count; i++) {
        struct wal_group *g = w->groups[w->known[i]];

        buf_free(&g->blob);
        buf_free(&g->blob_flushed);
        mem_free(g);
    }
    segments_free(&w->sealed);
    segments_free(&w->spares);
    segments_free(&w->skipped);
    mem_free(w->house_segment.extents);
    buf_free(&w->fill);
    buf_free(&w->flight);
    mem_free(w);
}

/* --- groups ------------------------------------------------------------ */

struct wal_group *wal_group_of(struct wal *w, uint32_t group)
{
    CHECK(group < WAL_GROUPS_MAX);
    struct wal_group *g = w->groups[group];

    if (UNLIKELY(g == NULL)) {
        g = MEM_NEW(struct wal_group);
        g->number = group;
        w->groups[group] = g;
        w->known[w->known_count++] = (uint16_t)group;
        if (w->recovered && w->groups_lost > 0) {
            w->groups_lost--; /* whoever was lost is being put back */
        }
    }
    return g;
}

uint64_t wal_state_bytes(const struct wal_group *g)
{
    return g->flushed.count == 0 ? 0
                                 : WAL_RECORD_HEADER_BYTES + WAL_STATE_BYTES + g->blob_flushed.len;
}

void wal_group_flushed(struct wal *w, struct wal_group *g)
{
    w->states_bytes -= wal_state_bytes(g);
    g->flushed = g->now;
    if (g->blob_changed) {
        g->blob_flushed.len = 0;
        buf_append_slice(&g->blob_flushed, buf_slice(&g->blob));
        g->blob_changed = false;
    }
    w->states_bytes += wal_state_bytes(g);
}

static struct wal_group *touch(struct wal *w, uint32_t group)
{
    struct wal_group *g = wal_group_of(w, group);

    CHECK(w->recovered);
    if (!g->touched) {
        g->touched = true;
        w->touched[w->touched_count++] = (uint16_t)group;
    }
    return g;
}

/* --- the batch being filled -------------------------------------------- */

/* Where to write body_bytes of body, which are counted as written. */
static uint8_t *record_begin(struct wal *w, struct wal_group *g, enum wal_record_kind kind,
                             size_t body_bytes)
{
    struct wal_record rec = {.kind = (uint8_t)kind, .group = g->number, .number = ++g->now.count};

    CHECK(body_bytes <= UINT32_MAX);
    buf_reserve(&w->fill, WAL_RECORD_HEADER_BYTES + body_bytes);
    uint8_t *at = w->fill.data + w->fill.len;

    wal_record_header_put(at, &rec, (uint32_t)body_bytes);
    w->fill.len += WAL_RECORD_HEADER_BYTES + body_bytes;
    w->fill_records++;
    return at + WAL_RECORD_HEADER_BYTES;
}

/* One record of entries that fit one. */
static void put_run(struct wal *w, struct wal_group *g, const struct raft_entry *entries,
                    uint32_t count, size_t body_bytes)
{
    uint8_t *at = record_begin(w, g, WAL_RECORD_ENTRIES, body_bytes);
    const uint8_t *end = at + body_bytes;

    store_u64le(at, entries[0].index.n);
    store_u32le(at + 8, count);
    store_u32le(at + 12, 0);
    at += WAL_ENTRIES_HEADER_BYTES;
    for (uint32_t i = 0; i < count; i++) {
        const struct raft_entry *e = &entries[i];

        CHECK(e->index.n == entries[0].index.n + i);
        store_u64le(at, e->term.n);
        store_u32le(at + 8, (uint32_t)e->data.len);
        store_u32le(at + 12, (uint32_t)e->kind);
        at += WAL_ENTRY_HEADER_BYTES;
        if (e->data.len > 0) {
            memcpy(at, e->data.data, e->data.len);
            at += e->data.len;
        }
    }
    CHECK(at == end);
    g->batch_bytes += WAL_RECORD_HEADER_BYTES + body_bytes;
}

void wal_put_entries(struct wal *w, uint32_t group, const struct raft_entry *entries,
                     uint32_t count)
{
    if (count == 0) {
        return;
    }
    struct wal_group *g = touch(w, group);
    uint32_t from = 0;
    uint64_t last = entries[count - 1].index.n;
    size_t bytes = WAL_ENTRIES_HEADER_BYTES;

    CHECK(entries[0].index.n > 0);
    CHECK(entries[0].index.n <= g->now.last + 1); /* a hole would be read back as damage */
    for (uint32_t i = 0; i < count; i++) {
        size_t more = WAL_ENTRY_HEADER_BYTES + entries[i].data.len;

        CHECK(more < UINT32_MAX - WAL_ENTRIES_HEADER_BYTES);
        if (UNLIKELY(i > from && bytes + more > WAL_ENTRIES_BODY_MAX)) {
            put_run(w, g, entries + from, i - from, bytes);
            from = i;
            bytes = WAL_ENTRIES_HEADER_BYTES;
        }
        bytes += more;
    }
    put_run(w, g, entries + from, count - from, bytes);
    if (entries[0].index.n <= g->now.last) {
        g->covers = true; /* a truncated tail needs no snapshot any more */
    }
    g->now.last = last;
    g->batch_max = last > g->batch_max ? last : g->batch_max;
}

void wal_put_hard(struct wal *w, uint32_t group, struct raft_hard hard)
{
    struct wal_group *g = touch(w, group);
    uint8_t *at = record_begin(w, g, WAL_RECORD_HARD, 16);

    if (PLANTED(HARD_UNWRITTEN) && hard.voted_for.n != 0) {
        hard = g->now.hard;
    }
    if (PLANTED(VOTE_UNWRITTEN)) {
        hard.voted_for.n = 0;
    }
    store_u64le(at, hard.term.n);
    store_u64le(at + 8, hard.voted_for.n);
    g->now.hard = hard;
}

void wal_put_commit(struct wal *w, uint32_t group, struct raft_index commit)
{
    struct wal_group *g = touch(w, group);

    store_u64le(record_begin(w, g, WAL_RECORD_COMMIT, 8), commit.n);
    g->now.commit = commit;
}

void wal_put_snapshot(struct wal *w, uint32_t group, struct raft_index index, struct raft_term term,
                      uint64_t file)
{
    struct wal_group *g = touch(w, group);
    uint8_t *at = record_begin(w, g, WAL_RECORD_SNAPSHOT, 24);

    store_u64le(at, index.n);
    store_u64le(at + 8, term.n);
    store_u64le(at + 16, file);
    g->now.snap_index = index;
    g->now.snap_term = term;
    g->now.snap_file = file;
    if (index.n > g->now.last) {
        g->now.last = index.n; /* installed: the entries before it are history */
    }
    g->covers = true;
}

void wal_put_blob(struct wal *w, uint32_t group, struct slice blob)
{
    struct wal_group *g = touch(w, group);
    uint8_t *at = record_begin(w, g, WAL_RECORD_BLOB, blob.len);

    if (blob.len > 0) {
        memcpy(at, blob.data, blob.len);
    }
    g->blob.len = 0;
    buf_append_slice(&g->blob, blob);
    g->blob_changed = true;
}

void wal_reset_group(struct wal *w, uint32_t group)
{
    struct wal_group *g = touch(w, group);

    (void)record_begin(w, g, WAL_RECORD_RESET, 0);
    g->now = (struct wal_state){.count = g->now.count};
    g->blob.len = 0;
    g->blob_changed = true;
    g->batch_reset = true;
    g->batch_max = 0;
    g->batch_bytes = 0;
    g->covers = true;
}

/* --- issuing ----------------------------------------------------------- */

uint64_t wal_ticket(const struct wal *w)
{
    return w->ticket;
}

uint64_t wal_durable(const struct wal *w)
{
    return w->durable;
}

bool wal_fits_active(const struct wal *w)
{
    return w->active.number != 0 && w->active.used + wal_pad(w->fill.len) <= w->active.bytes;
}

uint64_t wal_need_bytes(const struct wal *w)
{
    return WAL_BLOCK_BYTES + wal_pad(w->fill.len + w->states_bytes);
}

bool wal_can_flush(const struct wal *w)
{
    if (w->fill_records == 0 || w->flight_state != WAL_FLIGHT_NONE) {
        return false;
    }
    return wal_fits_active(w) || (w->spares.count > 0 && w->spares.at[0].ready &&
                                  w->spares.at[0].bytes >= wal_need_bytes(w));
}

/* The first spare becomes active. The batch begins with what an older segment
 * may be recycled without: every group's state as it was before the batch. */
static void roll(struct wal *w, struct buf *out, uint32_t *records)
{
    struct wal_segment_header h;

    wal_seal(w);
    w->active = wal_segments_take(&w->spares, 0);
    w->active.used = WAL_BLOCK_BYTES;
    h = (struct wal_segment_header){.version = WAL_FORMAT_VERSION,
                                    .number = w->active.number,
                                    .bytes = w->active.bytes,
                                    .first_sequence = w->sequence};
    buf_reserve(out, wal_need_bytes(w));
    wal_segment_header_put(out->data, &h);
    out->len = WAL_BLOCK_BYTES + WAL_BATCH_HEADER_BYTES;
    for (uint32_t i = 0; i < w->known_count; i++) {
        const struct wal_group *g = w->groups[w->known[i]];

        if (g->flushed.count > 0) {
            struct wal_state state = g->flushed;

            if (PLANTED(STATES_LEFT_OUT)) {
                state.hard = (struct raft_hard){0};
            }
            wal_state_put(out, g->number, &state, buf_slice(&g->blob_flushed));
            (*records)++;
        }
    }
    buf_append(out, w->fill.data + WAL_BATCH_HEADER_BYTES, w->fill.len - WAL_BATCH_HEADER_BYTES);
    SOMETIMES(true, "wal: next segment");
}

/* What the batch holds now belongs to the active segment. */
static void account(struct wal *w)
{
    CHECK(w->covering_count == 0);
    CHECK(w->flown_count == 0);
    for (uint32_t i = 0; i < w->touched_count; i++) {
        struct wal_group *g = w->groups[w->touched[i]];

        if (g->batch_reset) {
            wal_group_reset_at(w, g, w->active.number);
        }
        if (g->batch_bytes > 0) {
            wal_group_grew(w, g, g->batch_max, g->batch_bytes);
        }
        if (g->covers) {
            w->covering[w->covering_count++] = w->touched[i];
        }
        wal_group_flushed(w, g);
        w->flown[w->flown_count++] = w->touched[i];
        if (PLANTED(RECYCLED_EARLY) && g->covers) {
            wal_group_cover(w, g);
        }
        g->touched = g->covers = g->batch_reset = false;
        g->batch_max = g->batch_bytes = 0;
    }
    w->touched_count = 0;
}

/* The write of the batch in flight: the driver frees its copy, ours is kept for
 * the case that there was no space. */
void wal_write_push(struct wal *w, struct disk_ops *ops)
{
    struct disk_op *op = disk_ops_push(ops, DISK_WRITE, DISK_LANE_LOG);

    CHECK(w->flight.len % WAL_BLOCK_BYTES == 0);
    CHECK(w->flight_offset % WAL_BLOCK_BYTES == 0);
    CHECK(w->flight_offset + w->flight.len == w->active.used);
    op->sync = !PLANTED(SYNC_SKIPPED) || w->ticket % 8 != 0;
    op->token = w->ticket - 1;
    op->offset = w->flight_offset;
    wal_segment_path(w->active.number, op->path);
    buf_append_slice(&op->data, buf_slice(&w->flight));
    w->flight_state = WAL_FLIGHT_WRITING;
}

static void buffer_reset(struct buf *b, size_t len)
{
    if (b->cap > BUFFER_KEEP_BYTES) {
        buf_free(b);
    }
    b->len = 0;
    buf_reserve(b, WAL_BLOCK_BYTES);
    b->len = len;
}

static void issue(struct wal *w, struct disk_ops *ops)
{
    struct wal_batch_header h = {.sequence = w->sequence, .records = w->fill_records};
    bool rolled = !wal_fits_active(w);

    CHECK(w->flight.len == 0);
    if (rolled) {
        roll(w, &w->flight, &h.records);
    } else {
        struct buf empty = w->flight;

        w->flight = w->fill;
        w->fill = empty;
    }
    size_t before = rolled ? WAL_BLOCK_BYTES : 0; /* the segment's header */

    h.segment = w->active.number;
    h.offset = w->active.used;
    h.bytes = w->flight.len - before;
    h.groups = w->known_count + w->groups_lost;
    wal_batch_header_put(w->flight.data + before, &h);
    size_t padding = wal_pad(h.bytes) - h.bytes;

    buf_reserve(&w->flight, padding);
    memset(w->flight.data + w->flight.len, 0, padding);
    w->flight.len += padding;
    w->flight_offset = w->active.used - before;
    w->active.used += wal_pad(h.bytes);
    CHECK(w->active.used <= w->active.bytes);
    account(w);
    buffer_reset(&w->fill, WAL_BATCH_HEADER_BYTES);
    w->fill_records = 0;
    w->sequence++;
    w->ticket++;
    wal_write_push(w, ops);
}

void wal_flush(struct wal *w, struct disk_ops *ops)
{
    CHECK(w->recovered);
    if (wal_can_flush(w)) {
        issue(w, ops);
    }
    wal_house_next(w, ops);
}

void wal_tidy(struct wal *w, uint64_t now_us, struct disk_ops *ops)
{
    CHECK(w->recovered);
    w->now_us = now_us;
    if (w->flight_state == WAL_FLIGHT_NO_SPACE && now_us >= w->retry_us) {
        wal_write_push(w, ops); /* the same bytes at the same place: they were never synced */
    }
    wal_house_next(w, ops);
}

/* --- completions ------------------------------------------------------- */

bool wal_owns(const struct wal *w, uint64_t token)
{
    (void)w;
    return (token & (WAL_TOKEN_HOUSE | WAL_TOKEN_FOREIGN)) != WAL_TOKEN_FOREIGN;
}

static void batch_done(struct wal *w)
{
    w->durable = w->ticket - 1;
    w->active.started = true;
    w->flight_state = WAL_FLIGHT_NONE;
    buffer_reset(&w->flight, 0);
    for (uint32_t i = 0; i < w->covering_count; i++) {
        wal_group_cover(w, w->groups[w->covering[i]]);
    }
    w->covering_count = 0;
    for (uint32_t i = 0; i < w->flown_count; i++) {
        struct wal_group *g = w->groups[w->flown[i]];

        g->durable_count = g->flushed.count;
    }
    w->flown_count = 0;
}

enum err wal_disk_done(struct wal *w, uint64_t now_us, const struct disk_done *done,
                       struct diag *why)
{
    w->now_us = now_us;
    if ((done->token & WAL_TOKEN_HOUSE) != 0) {
        return wal_house_done(w, done, why);
    }
    CHECK(w->flight_state == WAL_FLIGHT_WRITING);
    CHECK(done->token == w->ticket - 1);
    if (done->err == ERR_OK) {
        batch_done(w);
        return ERR_OK;
    }
    if (done->err == ERR_NO_SPACE) {
        /* Not on ext4 or xfs, whose segments are allocated; where blocks are
         * copied on writing, it is. Nothing of it counts as written. */
        w->flight_state = WAL_FLIGHT_NO_SPACE;
        w->no_space = true;
        w->retry_us = now_us + WAL_RETRY_US;
        SOMETIMES(true, "wal: no space for a batch");
        return ERR_OK;
    }
    diag_set(why, "writing the log failed (segment %016llu at byte %llu): %s",
             (unsigned long long)w->active.number, (unsigned long long)w->flight_offset,
             done->why.text);
    return done->err;
}

/* --- views ------------------------------------------------------------- */

uint64_t wal_records(const struct wal *w, uint32_t group, uint64_t ticket)
{
    CHECK(group < WAL_GROUPS_MAX);
    const struct wal_group *g = w->groups[group];

    if (g == NULL) {
        return 0;
    }
    if (ticket >= w->ticket) {
        return g->now.count;
    }
    return ticket + 1 == w->ticket ? g->flushed.count : g->durable_count;
}

bool wal_full(const struct wal *w)
{
    if (!w->no_space) {
        return false;
    }
    return w->flight_state == WAL_FLIGHT_NO_SPACE || w->spares.count == 0 || !w->spares.at[0].ready;
}

uint64_t wal_live_bytes(const struct wal *w)
{
    return w->live_bytes;
}

uint64_t wal_held_bytes(const struct wal *w)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < w->sealed.count; i++) {
        bytes += w->sealed.at[i].live_count > 0 ? w->sealed.at[i].bytes : 0;
    }
    for (uint32_t i = 0; i < w->known_count; i++) {
        bytes += w->groups[w->known[i]]->active_bytes;
    }
    return bytes;
}

uint64_t wal_disk_bytes(const struct wal *w)
{
    return w->disk_bytes;
}

bool wal_laggard(const struct wal *w, uint32_t *group)
{
    uint64_t most = 0;

    for (size_t i = 0; i < w->sealed.count; i++) {
        const struct wal_segment *s = &w->sealed.at[i];

        for (uint32_t j = 0; s->live_count > 0 && j < s->extent_count; j++) {
            if (s->extents[j].bytes > most) {
                most = s->extents[j].bytes;
                *group = s->extents[j].group;
            }
        }
        if (most > 0) {
            return true;
        }
    }
    for (uint32_t i = 0; i < w->known_count; i++) {
        const struct wal_group *g = w->groups[w->known[i]];

        if (g->active_bytes > most) {
            most = g->active_bytes;
            *group = g->number;
        }
    }
    return most > 0;
}
