/* wal_house.c - segment files: kept allocated ahead, sealed, recycled, removed.
 *
 * One operation at a time, so that files appear in the order of their numbers.
 * A missing number above the newest segment in use is then a lost file, never
 * the trace of a crash; recovery rests on that. */
#include "base/base_mem.h"
#include "wal/wal_internal.h"

/* Recycled segments kept beyond the spares asked for: without them each new segment
 * would be allocated just before an old one comes free, and that one removed. */
enum { SPARES_SURPLUS = 2 };

/* --- lists ------------------------------------------------------------- */

void wal_segments_add(struct wal_segments *list, struct wal_segment segment)
{
    size_t pos = list->count;

    CHECK(segment.number > 0);
    MEM_GROW(list->at, list->count, list->cap);
    while (pos > 0 && list->at[pos - 1].number > segment.number) {
        list->at[pos] = list->at[pos - 1];
        pos--;
    }
    list->at[pos] = segment;
    list->count++;
}

struct wal_segment wal_segments_take(struct wal_segments *list, size_t pos)
{
    CHECK(pos < list->count);
    struct wal_segment taken = list->at[pos];

    list->count--;
    memmove(&list->at[pos], &list->at[pos + 1], (list->count - pos) * sizeof list->at[0]);
    return taken;
}

/* --- what is alive ----------------------------------------------------- */

static bool covered(const struct wal_group *g, uint64_t max_index, uint64_t segment)
{
    uint64_t snap = g->flushed.snap_index.n;

    /* Entries above the last one were truncated: they need no snapshot. */
    return snap >= max_index || snap >= g->flushed.last || segment < g->reset_segment;
}

void wal_group_grew(struct wal *w, struct wal_group *g, uint64_t max_index, uint64_t bytes)
{
    g->active_max = max_index > g->active_max ? max_index : g->active_max;
    g->active_bytes += bytes;
    w->live_bytes += bytes;
}

static void active_clear(struct wal *w, struct wal_group *g)
{
    CHECK(w->live_bytes >= g->active_bytes);
    w->live_bytes -= g->active_bytes;
    g->active_bytes = 0;
    g->active_max = 0;
}

void wal_group_reset_at(struct wal *w, struct wal_group *g, uint64_t segment)
{
    g->reset_segment = segment;
    active_clear(w, g);
}

static struct wal_extent *extent_of(struct wal_segment *s, uint32_t group)
{
    uint32_t low = 0, high = s->extent_count;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;

        if (s->extents[mid].group < group) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < s->extent_count && s->extents[low].group == group ? &s->extents[low] : NULL;
}

void wal_group_cover(struct wal *w, struct wal_group *g)
{
    for (size_t i = 0; i < w->sealed.count; i++) {
        struct wal_segment *s = &w->sealed.at[i];
        struct wal_extent *e = s->live_count == 0 ? NULL : extent_of(s, g->number);

        if (e != NULL && e->bytes > 0 && covered(g, e->max_index, s->number)) {
            CHECK(w->live_bytes >= e->bytes);
            w->live_bytes -= e->bytes;
            e->bytes = 0;
            s->live_count--;
        }
    }
    if (g->active_bytes > 0 && covered(g, g->active_max, UINT64_MAX)) {
        active_clear(w, g);
    }
}

void wal_seal(struct wal *w)
{
    struct wal_segment *s = &w->active;
    uint32_t count = 0;

    if (s->number == 0) {
        return;
    }
    for (uint32_t i = 0; i < w->known_count; i++) {
        count += w->groups[w->known[i]]->active_bytes > 0;
    }
    s->extents = count == 0 ? NULL : mem_alloc(count * sizeof s->extents[0]);
    for (uint32_t n = 0; n < WAL_GROUPS_MAX && s->extent_count < count; n++) {
        struct wal_group *g = w->groups[n];

        if (g != NULL && g->active_bytes > 0) {
            s->extents[s->extent_count++] = (struct wal_extent){
                .group = n, .max_index = g->active_max, .bytes = g->active_bytes};
            g->active_bytes = 0;
            g->active_max = 0;
        }
    }
    CHECK(s->extent_count == count);
    s->live_count = count;
    wal_segments_add(&w->sealed, *s);
    w->active = (struct wal_segment){0};
}

/* --- housekeeping ------------------------------------------------------ */

/* New segments leave room beside the groups' states, however many there are. */
static uint64_t target_bytes(const struct wal *w)
{
    uint64_t bytes = w->cfg.segment_bytes;

    return w->states_bytes > bytes / 4 ? bytes + wal_pad(2 * w->states_bytes) : bytes;
}

/* The oldest segment may go when nothing in it is alive and the one then oldest begins
 * with every group's state. One whose beginning is damaged goes with those before it. */
static bool oldest_dead(const struct wal *w)
{
    for (size_t i = 0; i < w->sealed.count; i++) {
        if (i > 0 && w->sealed.at[i].started) {
            return true;
        }
        if (w->sealed.at[i].live_count > 0) {
            return false;
        }
    }
    return w->sealed.count > 0 && (w->active.started || PLANTED(RECYCLED_EARLY));
}

/* The list whose first segment may go, or NULL. */
static struct wal_segments *releasable(struct wal *w)
{
    /* Only below a segment in use: a gap there is no lost file. */
    if (w->skipped.count > 0 && w->active.started && w->skipped.at[0].number < w->active.number) {
        return &w->skipped;
    }
    return oldest_dead(w) ? &w->sealed : NULL;
}

static struct disk_op *house_push(struct wal *w, struct disk_ops *ops, enum disk_op_kind kind,
                                  enum wal_house_kind house)
{
    struct disk_op *op = disk_ops_push(ops, kind, DISK_LANE_BULK);

    CHECK(w->house == WAL_HOUSE_NONE);
    w->house = house;
    op->token = ++w->house_token | WAL_TOKEN_HOUSE;
    return op;
}

/* Make the last spare, or a new one, a file of `bytes`. */
static void allocate(struct wal *w, struct disk_ops *ops, uint64_t bytes)
{
    struct disk_op *op = house_push(w, ops, DISK_ALLOCATE, WAL_HOUSE_ALLOCATE);

    if (w->spares.count == 0 || w->spares.at[w->spares.count - 1].ready) {
        wal_segments_add(&w->spares, (struct wal_segment){.number = w->next_number++});
    }
    struct wal_segment *s = &w->spares.at[w->spares.count - 1];

    CHECK(s->number + 1 == w->next_number);
    w->disk_bytes = w->disk_bytes - s->bytes + bytes;
    s->bytes = bytes;
    op->offset = bytes;
    wal_segment_path(s->number, op->path);
}

/* The first of the list becomes the last spare. */
static void recycle(struct wal *w, struct disk_ops *ops, struct wal_segments *list)
{
    struct disk_op *op = house_push(w, ops, DISK_RENAME, WAL_HOUSE_RECYCLE);

    w->house_list = list;
    w->house_segment = wal_segments_take(list, 0);
    wal_segment_path(w->house_segment.number, op->path);
    wal_segment_path(w->next_number, op->path2);
    SOMETIMES(true, "wal: segment recycled");
}

static void drop(struct wal *w, struct disk_ops *ops, struct wal_segments *list, size_t pos)
{
    bool spare = list == &w->spares;
    struct disk_op *op =
        house_push(w, ops, DISK_UNLINK, spare ? WAL_HOUSE_DISCARD : WAL_HOUSE_REMOVE);

    w->house_list = list;
    w->house_segment = wal_segments_take(list, pos);
    wal_segment_path(w->house_segment.number, op->path);
}

/* Spares too small for the batch that waits lose their turn: numbers are used in
 * order. They are recycled once a later segment is in use. */
static void skip_small_spares(struct wal *w, uint64_t need)
{
    while (w->spares.count > 0 && w->spares.at[0].ready && w->spares.at[0].bytes < need) {
        wal_segments_add(&w->skipped, wal_segments_take(&w->spares, 0));
        SOMETIMES(true, "wal: spare skipped for a large batch");
    }
}

/* A file whose header cannot be read must not lie among the spares: above the
 * segments in use it would pass for a lost one. */
static bool reusable(const struct wal_segment *s, uint64_t target)
{
    return s->ready && s->bytes >= target && s->bytes <= 2 * target;
}

void wal_house_next(struct wal *w, struct disk_ops *ops)
{
    uint64_t target = target_bytes(w);
    struct wal_segments *gone;

    if (w->house != WAL_HOUSE_NONE) {
        return;
    }
    if (w->discard_due) { /* a half-made file would keep its space from the snapshots */
        w->discard_due = false;
        drop(w, ops, &w->spares, w->spares.count - 1);
        return;
    }
    if (w->fill_records > 0 && !wal_fits_active(w)) {
        uint64_t need = wal_need_bytes(w);

        skip_small_spares(w, need);
        if (need > target && (w->spares.count == 0 || !w->spares.at[0].ready)) {
            target = need + w->cfg.segment_bytes; /* it may grow while it waits */
        }
    }
    bool unready = w->spares.count > 0 && !w->spares.at[w->spares.count - 1].ready;
    bool lacking = w->spares.count < w->cfg.spare_count;

    gone = releasable(w);
    if (gone != NULL && !unready && w->spares.count < w->cfg.spare_count + SPARES_SURPLUS &&
        reusable(&gone->at[0], target)) {
        recycle(w, ops, gone);
    } else if (gone != NULL) {
        drop(w, ops, gone, 0);
    } else if ((lacking || unready) && (!w->no_space || w->now_us >= w->retry_us)) {
        allocate(w, ops, target);
    }
}

static void house_succeeded(struct wal *w, enum wal_house_kind house)
{
    struct wal_segment s = w->house_segment;

    mem_free(s.extents);
    w->house_segment = (struct wal_segment){0};
    switch (house) {
    case WAL_HOUSE_ALLOCATE:
        w->spares.at[w->spares.count - 1].ready = true;
        w->no_space = w->flight_state == WAL_FLIGHT_NO_SPACE;
        break;
    case WAL_HOUSE_RECYCLE:
        s = (struct wal_segment){.number = w->next_number++, .bytes = s.bytes, .ready = true};
        wal_segments_add(&w->spares, s);
        break;
    case WAL_HOUSE_DISCARD:
        CHECK(s.number + 1 == w->next_number);
        w->next_number--; /* numbers stay without gaps above the segments in use */
        w->disk_bytes -= s.bytes;
        break;
    case WAL_HOUSE_REMOVE:
        CHECK(w->disk_bytes >= s.bytes);
        w->disk_bytes -= s.bytes;
        break;
    case WAL_HOUSE_NONE:
        UNREACHABLE("a completion without an operation");
    }
}

/* The disk is full: allocation waits, the others are simply tried again. */
static void house_no_space(struct wal *w, enum wal_house_kind house)
{
    w->no_space = true;
    w->retry_us = w->now_us + WAL_RETRY_US;
    if (house != WAL_HOUSE_ALLOCATE) {
        wal_segments_add(w->house_list, w->house_segment);
        w->house_segment = (struct wal_segment){0};
    }
    w->discard_due = house == WAL_HOUSE_ALLOCATE || house == WAL_HOUSE_DISCARD;
    SOMETIMES(true, "wal: no space for a segment");
}

enum err wal_house_done(struct wal *w, const struct disk_done *done, struct diag *why)
{
    enum wal_house_kind house = w->house;

    CHECK(house != WAL_HOUSE_NONE);
    CHECK(done->token == (w->house_token | WAL_TOKEN_HOUSE));
    w->house = WAL_HOUSE_NONE;
    if (done->err == ERR_OK) {
        house_succeeded(w, house);
        return ERR_OK;
    }
    if (done->err == ERR_NO_SPACE) {
        house_no_space(w, house);
        return ERR_OK;
    }
    w->house = house; /* the caller stops; nothing more is asked of the disk */
    diag_set(why, "keeping the log's segment files in directory " WAL_DIR " failed: %s",
             done->why.text);
    return done->err;
}
