/* store_snap.c - the forkless snapshot: a scan over the live table.
 *
 * Every item carries the epoch (one byte) of the snapshot that last wrote it, or that
 * was running or last run when it was made. Beginning a snapshot raises the store's epoch, so all
 * items are unwritten at once, without touching them. The scan writes what it meets unwritten; a
 * writer does so just before it changes such an item. The scan's guarantee (no item that stays is
 * missed, however the table grows) makes the whole.
 *
 * Big values are never written at once. The first to meet one, scan or writer, adopts it:
 * notes what it was called and its expiry time, and lists it. From then on its parts are
 * treated alike: fields have epochs of their own, pieces of strings are copied before
 * their first change. A big value that is deleted meanwhile lives on until written.
 */
#include "base/base_mem.h"
#include "store/store_internal.h"

enum {
    PENDING_BYTES = 32 << 10,
    EPOCHS_MAX = 250, /* begun without one completed; fewer than the values of a byte */
    STEPS_MIN = 16,   /* buckets looked at per call, when there is little to write */
    STEP_BYTES = 256, /* what looking at a bucket is counted as */
};

void snap_init(struct store *s)
{
    list_init(&s->snap.pending);
    list_init(&s->snap.origins);
}

bool store_snap_active(const struct store *s)
{
    return s->snap.active;
}

/* --- records --- */

static void put_head(struct buf *out, enum snap_record kind, uint64_t expire_ms, struct slice key)
{
    put_u8(out, (uint8_t)kind);
    put_varint(out, expire_ms);
    put_bytes(out, key);
}

static void put_small_item(struct buf *out, const struct store_item *it)
{
    struct slice value = item_value(it), field;

    switch (item_kind(it)) {
    case ITEM_INT:
        put_head(out, SNAP_INT, item_expire_ms(it), item_key(it));
        put_u64le(out, (uint64_t)item_int(it));
        return;
    case ITEM_INLINE:
        put_head(out, SNAP_STRING, item_expire_ms(it), item_key(it));
        put_bytes(out, value);
        return;
    case ITEM_PACK: {
        struct slice pack = value;

        put_head(out, SNAP_HASH, item_expire_ms(it), item_key(it));
        put_u32le(out, (uint32_t)pack_count(pack));
        for (size_t pos = 0; pack_next(pack, &pos, &field, &value);) {
            put_bytes(out, field);
            put_bytes(out, value);
        }
        return;
    }
    case ITEM_LONG:
    case ITEM_TABLE:
        break;
    }
    UNREACHABLE("a big value is written in parts");
}

/* --- what writers set aside --- */

static struct buf *pending_room(struct store *s)
{
    struct snap_pending *last = LIST_ENTRY(s->snap.pending.prev, struct snap_pending, link);

    if (list_empty(&s->snap.pending) || last->bytes.len >= PENDING_BYTES) {
        last = MEM_NEW(struct snap_pending);
        list_push_back(&s->snap.pending, &last->link);
    }
    return &last->bytes;
}

static void pending_take(struct store *s, struct buf *out)
{
    struct snap_pending *first = LIST_ENTRY(s->snap.pending.next, struct snap_pending, link);

    if (out != NULL) {
        buf_append_slice(out, buf_slice(&first->bytes));
    }
    s->bytes -= first->bytes.len;
    list_remove(&first->link);
    buf_free(&first->bytes);
    mem_free(first);
}

static void adopt(struct store *s, const struct store_item *it)
{
    struct store_origin *o = MEM_NEW(struct store_origin);

    o->big = item_pointer(it);
    o->expire_ms = item_expire_ms(it);
    if (!o->big->is_table) {
        o->len = ((const struct store_long *)(const void *)o->big)->len;
    }
    buf_append_slice(&o->key, item_key(it));
    o->big->origin = o;
    list_push_back(&s->snap.origins, &o->link);
}

void snap_touch_slow(struct store *s, struct store_item *it)
{
    if (item_is_big(it)) {
        struct store_big *big = item_pointer(it);

        if (big->epoch != s->epoch && big->origin == NULL) {
            SOMETIMES(true, "store: a big value is changed before the snapshot reached it");
            adopt(s, it);
        }
    } else if (it->epoch != s->epoch && PLANTED(SNAP_MISSES_CHANGE)) {
        it->epoch = s->epoch;
    } else if (it->epoch != s->epoch) {
        if (!s->snap.looks_only) {
            struct buf *room = pending_room(s);
            size_t before = room->len;

            put_small_item(room, it);
            s->bytes += room->len - before;
        }
        s->snap.digest += scrub_item_digest(it);
        it->epoch = s->epoch;
    }
}

static void origin_add_field(struct store_origin *o, const struct store_item *field)
{
    o->sum += item_field_digest(item_key(field), item_value(field));
    o->count++;
}

void snap_touch_field_slow(struct store *s, struct store_fields *f, struct store_item *field)
{
    struct buf *room;
    size_t before;

    if (field->epoch == s->epoch || PLANTED(SNAP_MISSES_FIELD)) {
        field->epoch = s->epoch;
        return;
    }
    origin_add_field(f->big.origin, field);
    field->epoch = s->epoch;
    if (s->snap.looks_only) {
        return;
    }
    room = pending_room(s);
    before = room->len;
    put_head(room, SNAP_HASH_PART, f->big.origin->expire_ms, buf_slice(&f->big.origin->key));
    put_u32le(room, 1);
    put_bytes(room, item_key(field));
    put_bytes(room, item_value(field));
    s->bytes += room->len - before;
}

static struct slice piece_of(const struct store_origin *o, size_t number)
{
    const struct store_long *lg = (const struct store_long *)(const void *)o->big;
    size_t from = number * SNAP_PIECE_BYTES, left = o->len - from;

    return (struct slice){lg->data + from, left < SNAP_PIECE_BYTES ? left : SNAP_PIECE_BYTES};
}

void snap_touch_bytes_slow(struct store *s, struct store_long *lg, size_t offset, size_t len)
{
    struct store_origin *o = lg->big.origin;
    size_t end = offset + len < o->len ? offset + len : o->len;

    for (size_t n = offset / SNAP_PIECE_BYTES; n * SNAP_PIECE_BYTES < end; n++) {
        struct slice piece = piece_of(o, n);

        if (n * SNAP_PIECE_BYTES >= o->done && map64_get(&o->saved, n + 1) == NULL) {
            (void)map64_put(&o->saved, n + 1, mem_strndup((const char *)piece.data, piece.len));
            s->bytes += piece.len;
        }
    }
}

/* --- begin and end --- */

static void set_epoch(void *arg, struct store_item *it)
{
    struct store *s = arg;
    struct table_pos pos = {0};
    struct store_item *field;

    it->epoch = s->epoch;
    if (item_is_big(it)) {
        ((struct store_big *)item_pointer(it))->epoch = s->epoch;
    }
    if (item_kind(it) == ITEM_TABLE) {
        struct store_fields *f = item_pointer(it);

        while ((field = table_next(&f->table, &pos)) != NULL) {
            field->epoch = s->epoch;
        }
    }
}

static void begin(struct store *s, bool looks_only)
{
    struct store_snap *snap = &s->snap;

    CHECK(!snap->active);
    CHECK(list_empty(&snap->pending));
    CHECK(list_empty(&snap->origins));
    if (snap->begun == EPOCHS_MAX) {
        SOMETIMES_RARE(true, "store: epochs start over after many broken off snapshots",
                       MARK_NOT_DUE,
                       "250 snapshots of one partition in a row that are broken off; "
                       "test/unit/store/store_test.c");
        store_each(s, set_epoch, s);
        snap->begun = 0;
    }
    snap->active = true;
    snap->walk_over = snap->detached = snap->misplaced = snap->sound = false;
    snap->looks_only = looks_only;
    snap->cursor = 0;
    snap->kept = s->digest;
    snap->digest = 0;
    snap->begun++;
    s->epoch++;
}

void store_snap_begin(struct store *s)
{
    begin(s, false);
}

void store_scrub_begin(struct store *s)
{
    begin(s, true);
}

static void origin_end(struct store *s, struct store_origin *o)
{
    struct store_big *big = o->big;
    size_t pos = 0;
    uint64_t number;
    void *copy;

    while (map64_each(&o->saved, &pos, &number, &copy)) {
        s->bytes -= piece_of(o, (size_t)number - 1).len;
        mem_free(copy);
    }
    map64_free(&o->saved);
    buf_free(&o->key);
    list_remove(&o->link);
    mem_free(o);
    big->origin = NULL;
    if (big->orphan) {
        big_release(s, big);
    }
}

static void snap_end(struct store *s)
{
    s->snap.active = false;
    if (s->snap.detached) {
        s->bytes -= s->snap.table.bytes; /* corpse_add takes them over */
        corpse_add(s, s->snap.table);
        s->snap.table = (struct store_table){0};
        s->snap.detached = false;
    }
}

void store_snap_abort(struct store *s)
{
    if (!s->snap.active) {
        return;
    }
    while (!list_empty(&s->snap.pending)) {
        pending_take(s, NULL);
    }
    while (!list_empty(&s->snap.origins)) {
        origin_end(s, LIST_ENTRY(s->snap.origins.next, struct store_origin, link));
    }
    snap_end(s);
}

bool snap_take_table(struct store *s)
{
    struct store_snap *snap = &s->snap;

    if (!snap->active || snap->walk_over || snap->detached) {
        return false;
    }
    snap->table = s->table;
    snap->detached = true;
    s->bytes += snap->table.bytes; /* the store's own table is counted apart */
    return true;
}

/* --- the walk --- */

struct walk {
    struct store *s;
    struct buf *out; /* NULL: only look */
    size_t end;      /* go on until out is this long, or so much was looked at, */
    size_t steps;    /* or this many buckets have been looked at */
    size_t looked;
    struct store_origin *origin; /* of the fields met */
    uint32_t count;
};

static bool walk_spent(const struct walk *w)
{
    return (w->out != NULL ? w->out->len : w->looked) >= w->end || w->steps == 0;
}

static void walk_item(void *arg, struct store_item *it)
{
    struct walk *w = arg;
    struct store_snap *snap = &w->s->snap;

    if (snap->looks_only && !snap->detached && !scrub_item_placed(w->s, it)) {
        snap->misplaced = true;
    }
    if (item_is_big(it)) {
        const struct store_big *big = item_pointer(it);

        if (big->epoch != w->s->epoch && big->origin == NULL) {
            adopt(w->s, it);
        }
    } else if (it->epoch != w->s->epoch) {
        if (w->out != NULL) {
            put_small_item(w->out, it);
        }
        w->looked += item_bytes(it);
        snap->digest += scrub_item_digest(it);
        it->epoch = w->s->epoch;
    }
}

static void walk_field(void *arg, struct store_item *field)
{
    struct walk *w = arg;

    if (field->epoch != w->s->epoch) {
        if (w->out != NULL) {
            put_bytes(w->out, item_key(field));
            put_bytes(w->out, item_value(field));
        }
        w->looked += item_bytes(field);
        origin_add_field(w->origin, field);
        field->epoch = w->s->epoch;
        w->count++;
    }
}

static void scan_fields(struct walk *w, struct store_origin *o)
{
    const struct store_fields *f = (const struct store_fields *)(const void *)o->big;

    w->count = 0;
    w->origin = o;
    do {
        o->cursor = table_scan(&f->table, o->cursor, walk_field, w);
        w->steps--;
    } while (o->cursor != 0 && !walk_spent(w));
}

/* Some more fields, one record. True: those were the last. */
static bool walk_fields(struct walk *w, struct store_origin *o)
{
    size_t start, count_pos;

    if (w->out == NULL) {
        scan_fields(w, o);
        return o->cursor == 0;
    }
    start = w->out->len;
    put_head(w->out, SNAP_HASH_PART, o->expire_ms, buf_slice(&o->key));
    count_pos = w->out->len;
    put_u32le(w->out, 0);
    scan_fields(w, o);
    store_u32le(w->out->data + count_pos, w->count);
    if (w->count == 0) {
        w->out->len = start;
    }
    return o->cursor == 0;
}

static bool walk_string(struct walk *w, struct store_origin *o)
{
    do {
        size_t number = o->done / SNAP_PIECE_BYTES;
        struct slice piece = piece_of(o, number);
        uint8_t *copy = map64_remove(&o->saved, number + 1);
        struct slice old = copy == NULL ? piece : (struct slice){copy, piece.len};

        if (w->out != NULL) {
            put_head(w->out, SNAP_STRING_PART, o->expire_ms, buf_slice(&o->key));
            put_varint(w->out, o->done);
            put_bytes(w->out, old);
        }
        o->sum += scrub_chunks_sum(old, o->done);
        w->looked += old.len;
        w->s->bytes -= copy == NULL ? 0 : piece.len;
        mem_free(copy);
        o->done += piece.len;
        w->steps--;
    } while (o->done < o->len && !walk_spent(w));
    return o->done == o->len;
}

static void walk_origin(struct walk *w)
{
    struct store_origin *o = LIST_ENTRY(w->s->snap.origins.next, struct store_origin, link);
    bool last = o->big->is_table ? walk_fields(w, o) : walk_string(w, o);

    if (last) {
        w->s->snap.digest += scrub_origin_digest(o);
        o->big->epoch = w->s->epoch;
        origin_end(w->s, o);
    }
}

static bool walk_on(struct store *s, size_t bytes, struct buf *out)
{
    struct store_snap *snap = &s->snap;
    struct walk w = {.s = s,
                     .out = out,
                     .end = out != NULL ? out->len + bytes : bytes,
                     .steps = STEPS_MIN + bytes / STEP_BYTES};

    CHECK(snap->active);
    CHECK(snap->looks_only == (out == NULL));
    do {
        if (!list_empty(&snap->pending)) {
            pending_take(s, out);
            w.steps--;
        } else if (!list_empty(&snap->origins)) {
            walk_origin(&w);
        } else if (!snap->walk_over) {
            snap->cursor =
                table_scan(snap->detached ? &snap->table : &s->table, snap->cursor, walk_item, &w);
            snap->walk_over = snap->cursor == 0;
            w.steps--;
        } else {
            snap_end(s);
            snap->begun = 0; /* everything has this epoch now */
            snap->sound = snap->digest == snap->kept && !snap->misplaced;
            return false;
        }
    } while (!walk_spent(&w));
    return true;
}

bool store_snap_next(struct store *s, size_t bytes, struct buf *out)
{
    return walk_on(s, bytes, out);
}

bool store_scrub_next(struct store *s, size_t bytes)
{
    return walk_on(s, bytes, NULL);
}

bool store_snap_sound(const struct store *s)
{
    CHECK(!s->snap.active);
    return s->snap.sound;
}
