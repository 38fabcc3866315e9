/* wal_recover.c - reads the log back and judges what is damaged.
 *
 * Batches are numbered without gaps and one is in flight at a time. So whatever
 * has a higher number proves that all lower ones had been synced: bad bytes
 * before it are damage. Bad bytes with nothing after them are a torn tail.
 *
 * Who lost something: every record carries the count of its group's records.
 * The state that begins the next segment replaces all that was lost except
 * entries; those lost for good are the ones that no snapshot covers. */
#include "base/base_mem.h"
#include "wal/wal_internal.h"

#include <stdlib.h>

/* Entries from `first` on, up to the next run, are of `term`. */
struct run {
    uint64_t first, term;
};

/* What is known of a group while reading. */
struct wal_track {
    bool lost;        /* records are missing since the last whole state */
    bool condemned;   /* an earlier recovery found it damaged and nobody reset it */
    bool delivered;   /* the visitor has entries */
    uint32_t checked; /* damaged places up to this one did not touch the group */
    uint64_t need;    /* entries up to here were lost unless a snapshot covers them */
    struct run *runs;
    uint32_t run_count, run_cap;
};

enum file_kind {
    FILE_USED,  /* its own header */
    FILE_STALE, /* recycled: the header of its former life, none of its own written */
    FILE_EMPTY, /* zeros */
    FILE_BAD,   /* anything else */
};

struct file {
    uint64_t number, bytes;
    enum file_kind kind;
    bool torn_header; /* BAD, with our magic */
    bool zero_body;   /* nothing behind the first block */
    bool used;        /* a header or a batch of its own was found */
    bool started;     /* its first batch is whole */
    uint64_t written; /* end of its last whole batch */
    struct wal_segment_header header;
};

struct recovery {
    struct wal *w;
    const struct disk_boot *boot;
    const struct wal_visitor *visitor;
    struct wal_recovery *found;
    struct diag *why;
    struct file *files;
    size_t file_count, file_cap;
    struct buf bytes;    /* the file being read */
    struct buf unread;   /* u64 offsets of its blocks that the device could not read */
    bool any_read;       /* the device gave something */
    bool tail_unread;    /* the place after the last whole batch could not be read */
    uint64_t expected;   /* sequence of the next batch; 0: none seen yet */
    uint64_t limit;      /* batches from here on were cut by a later segment */
    bool open_end;       /* damage after the last whole batch */
    uint32_t groups;     /* as the last batch counted them */
    uint64_t torn_bytes; /* bad since the last whole batch */
    char place[80];      /* of the last damage */
    struct raft_entry *entries;
    uint32_t entry_cap;
};

/* --- files ------------------------------------------------------------- */

static void list_one(void *arg, const char *name, uint64_t bytes)
{
    struct recovery *rc = arg;
    uint64_t number;

    if (!wal_segment_number(name, &number)) {
        return; /* not ours: left alone */
    }
    MEM_GROW(rc->files, rc->file_count, rc->file_cap);
    rc->files[rc->file_count++] = (struct file){.number = number, .bytes = bytes};
}

static int file_order(const void *a, const void *b)
{
    const struct file *fa = a, *fb = b;

    return (fa->number > fb->number) - (fa->number < fb->number);
}

/* Blocks that the device cannot read count as bad bytes: neither zeros nor ours. */
static enum err read_blocks(struct recovery *rc, const char *path, uint64_t bytes)
{
    uint64_t end = rc->bytes.len;

    while (end < bytes) {
        uint64_t want = bytes - end < WAL_BLOCK_BYTES ? bytes - end : WAL_BLOCK_BYTES;
        enum err err = rc->boot->read(rc->boot->self, path, end, want, &rc->bytes, rc->why);

        if (err == ERR_IO) {
            rc->bytes.len = end;
            put_u64le(&rc->unread, end);
            buf_reserve(&rc->bytes, want);
            memset(rc->bytes.data + end, 0xbd, want);
            rc->bytes.len = end + want;
            rc->found->unread_blocks++;
        } else if (err != ERR_OK) {
            return err;
        } else if (rc->bytes.len == end) {
            return ERR_OK; /* the end of the file */
        } else {
            rc->any_read = true;
        }
        end = rc->bytes.len;
    }
    return ERR_OK;
}

static enum err read_file(struct recovery *rc, const struct file *f, uint64_t bytes)
{
    char path[DISK_PATH_MAX];
    enum err err;

    wal_segment_path(f->number, path);
    rc->bytes.len = rc->unread.len = 0;
    err = rc->boot->read(rc->boot->self, path, 0, bytes, &rc->bytes, rc->why);
    if (err == ERR_IO) {
        rc->bytes.len = 0;
        return read_blocks(rc, path, bytes);
    }
    rc->any_read = rc->any_read || err == ERR_OK;
    return err;
}

static bool was_unread(const struct recovery *rc, uint64_t from, uint64_t bytes)
{
    for (size_t at = 0; at < rc->unread.len; at += 8) {
        uint64_t block = load_u64le(rc->unread.data + at);

        if (block < from + bytes && from < block + WAL_BLOCK_BYTES) {
            return true;
        }
    }
    return false;
}

static bool all_zero(struct slice s)
{
    return s.len == 0 || (s.data[0] == 0 && memcmp(s.data, s.data + 1, s.len - 1) == 0);
}

static enum err classify(struct recovery *rc, struct file *f)
{
    enum err err = read_file(rc, f, WAL_BLOCK_BYTES);
    struct slice block = buf_slice(&rc->bytes);

    if (err != ERR_OK) {
        return err;
    }
    if (!wal_segment_header_get(block, &f->header)) {
        f->kind = all_zero(block) ? FILE_EMPTY : FILE_BAD;
        f->torn_header = wal_segment_magic(block);
        return ERR_OK;
    }
    if (f->header.version > WAL_FORMAT_VERSION) {
        diag_set(rc->why,
                 "log segment " WAL_DIR "/%016llu.seg has format version %u, this program reads up "
                 "to %d: start the newer version again",
                 (unsigned long long)f->number, f->header.version, WAL_FORMAT_VERSION);
        return ERR_VERSION;
    }
    f->kind = f->header.number == f->number ? FILE_USED : FILE_STALE;
    f->used = f->kind == FILE_USED;
    return ERR_OK;
}

/* --- damage ------------------------------------------------------------ */

static void damage(struct recovery *rc, uint64_t segment, uint64_t offset)
{
    struct diag text;

    rc->found->damaged_places++;
    diag_set(&text, WAL_DIR "/%016llu.seg before byte %llu", (unsigned long long)segment,
             (unsigned long long)offset);
    memcpy(rc->place, text.text, sizeof rc->place - 1);
    rc->open_end = true;
    SOMETIMES(true, "wal: damage before the tail");
}

/* Something at (segment, offset) was written after all batches below `sequence`
 * had been synced. */
static void proof(struct recovery *rc, uint64_t sequence, uint64_t segment, uint64_t offset)
{
    if (rc->expected == 0) {
        rc->expected = sequence;
    } else if (sequence > rc->expected && !PLANTED(DAMAGE_CUT)) {
        damage(rc, segment, offset);
        rc->expected = sequence;
        rc->torn_bytes = 0; /* what was bad is now known to be damage */
    }
}

/* --- records ----------------------------------------------------------- */

static void forget_entries(struct recovery *rc, uint32_t group, uint64_t last)
{
    struct wal_track *t = rc->w->groups[group]->track;

    if (t->delivered && rc->visitor->reset != NULL) {
        rc->visitor->reset(rc->visitor->self, group);
    }
    t->delivered = false;
    t->run_count = 0;
    rc->w->groups[group]->now.last = last;
}

static void runs_add(struct wal_track *t, uint64_t index, uint64_t term)
{
    while (t->run_count > 0 && t->runs[t->run_count - 1].first >= index) {
        t->run_count--;
    }
    if (t->run_count > 0 && t->runs[t->run_count - 1].term == term) {
        return;
    }
    MEM_GROW(t->runs, t->run_count, t->run_cap);
    t->runs[t->run_count++] = (struct run){index, term};
}

/* Is the entry at index, if it was seen, of another term? */
static bool term_differs(const struct wal_track *t, uint64_t index, uint64_t term)
{
    for (uint32_t i = t->run_count; i-- > 0;) {
        if (t->runs[i].first <= index) {
            return t->runs[i].term != term;
        }
    }
    return false;
}

static void on_entries(struct recovery *rc, struct wal_group *g, struct slice body)
{
    struct wal_track *t = g->track;
    struct reader r = reader_of(body.data, body.len);
    uint64_t first = get_u64le(&r);
    uint32_t count = get_u32le(&r);

    (void)get_u32le(&r);
    if (count > rc->entry_cap) {
        rc->entry_cap = count;
        rc->entries = mem_realloc(rc->entries, count * sizeof rc->entries[0]);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct raft_entry *e = &rc->entries[i];

        *e = (struct raft_entry){.index = {first + i}, .term = {get_u64le(&r)}};
        size_t bytes = get_u32le(&r);

        e->kind = (enum raft_entry_kind)get_u32le(&r);
        e->data = get_raw(&r, bytes);
    }
    CHECK(!r.bad); /* judged by wal_batch_ok */
    if (first > g->now.last + 1) {
        t->lost = true; /* those in between are in no record that is left */
        forget_entries(rc, g->number, first - 1);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (i == 0 || rc->entries[i].term.n != rc->entries[i - 1].term.n) {
            runs_add(t, first + i, rc->entries[i].term.n);
        }
    }
    if (first <= t->need) {
        t->need = first - 1; /* the lost ones from here on had been replaced */
    }
    if (rc->visitor->entries != NULL) {
        rc->visitor->entries(rc->visitor->self, g->number, rc->entries, count);
    }
    t->delivered = true;
    g->now.last = first + count - 1;
    wal_group_grew(rc->w, g, g->now.last, WAL_RECORD_HEADER_BYTES + body.len);
}

static void on_snapshot(struct recovery *rc, struct wal_group *g, struct slice body)
{
    uint64_t index = load_u64le(body.data), term = load_u64le(body.data + 8);

    g->now.snap_index.n = index;
    g->now.snap_term.n = term;
    g->now.snap_file = load_u64le(body.data + 16);
    if (index > g->now.last || term_differs(g->track, index, term)) {
        forget_entries(rc, g->number, index); /* installed: the log restarts after it */
        g->track->need = 0;
    }
}

static void blob_set(struct wal_group *g, struct slice blob)
{
    g->blob.len = 0;
    buf_append_slice(&g->blob, blob);
    g->blob_changed = true;
}

static void on_reset(struct recovery *rc, struct wal_group *g, uint64_t segment)
{
    struct wal_track *t = g->track;

    forget_entries(rc, g->number, 0);
    g->now = (struct wal_state){.count = g->now.count};
    blob_set(g, (struct slice){0});
    wal_group_reset_at(rc->w, g, segment);
    t->lost = t->condemned = false;
    t->need = 0;
}

/* The whole of a group but its entries: it makes up for every other loss. */
static void on_state(struct recovery *rc, struct wal_group *g, const struct wal_record *rec)
{
    struct wal_track *t = g->track;
    uint64_t count_seen = g->now.count, last_seen = g->now.last;
    struct slice blob;

    wal_state_get(rec, &g->now, &blob);
    blob_set(g, blob);
    t->condemned |= g->now.damaged;
    if (count_seen != rec->number || t->lost) {
        uint64_t last = g->now.last;

        forget_entries(rc, g->number, last);
        t->lost = false;
        t->need = last;
    } else {
        g->now.last = last_seen; /* as read; an installed snapshot may have cut it */
    }
}

static void on_record(struct recovery *rc, const struct wal_record *rec, uint64_t segment)
{
    struct wal_group *g = wal_group_of(rc->w, rec->group);

    if (g->track == NULL) {
        g->track = MEM_NEW(struct wal_track);
    }
    struct wal_track *t = g->track;

    rc->found->records++;
    t->checked = rc->found->damaged_places;
    if (rec->kind == WAL_RECORD_STATE) {
        on_state(rc, g, rec);
        return;
    }
    if (rec->number != g->now.count + 1) {
        t->lost = true;
    }
    g->now.count = rec->number;
    switch (rec->kind) {
    case WAL_RECORD_ENTRIES:
        on_entries(rc, g, rec->body);
        break;
    case WAL_RECORD_HARD:
        g->now.hard.term.n = load_u64le(rec->body.data);
        g->now.hard.voted_for.n = load_u64le(rec->body.data + 8);
        break;
    case WAL_RECORD_COMMIT:
        g->now.commit.n = load_u64le(rec->body.data);
        break;
    case WAL_RECORD_SNAPSHOT:
        on_snapshot(rc, g, rec->body);
        break;
    case WAL_RECORD_BLOB:
        blob_set(g, rec->body);
        break;
    case WAL_RECORD_RESET:
        on_reset(rc, g, segment);
        break;
    default:
        UNREACHABLE("a kind that wal_batch_ok let pass");
    }
}

/* --- segments ---------------------------------------------------------- */

static void take_batch(struct recovery *rc, struct slice batch, const struct wal_batch_header *h)
{
    struct reader r =
        reader_of(batch.data + WAL_BATCH_HEADER_BYTES, h->bytes - WAL_BATCH_HEADER_BYTES);
    struct wal_record rec;

    while (wal_record_get(&r, &rec)) {
        on_record(rc, &rec, h->segment);
    }
    rc->found->batches++;
    rc->found->bytes += wal_pad(h->bytes);
    rc->expected = h->sequence + 1;
    rc->groups = h->groups;
    rc->torn_bytes = 0;
    rc->open_end = false;
}

/* Where the batch after the last whole one would be: a device that cannot read it tells of
 * damage, not of a crash. */
static void look_at_end(struct recovery *rc, const struct file *f)
{
    uint64_t end = f->written == 0 ? WAL_BLOCK_BYTES : f->written;
    struct wal_batch_header h;
    uint64_t bytes = WAL_BLOCK_BYTES;

    if (end < rc->bytes.len &&
        wal_batch_header_get((struct slice){rc->bytes.data + end, rc->bytes.len - end}, f->number,
                             end, &h) &&
        h.sequence >= rc->expected && h.sequence < rc->limit) {
        bytes = wal_pad(h.bytes);
    }
    rc->tail_unread = was_unread(rc, end, bytes);
}

/* Every batch of the file in rc->bytes, and proof of those that are missing. */
static void read_batches(struct recovery *rc, struct file *f)
{
    uint64_t offset = WAL_BLOCK_BYTES;
    size_t end = rc->bytes.len;

    while (offset < end) {
        struct slice at = {rc->bytes.data + offset, end - offset};
        struct wal_batch_header h;

        if (!wal_batch_header_get(at, f->number, offset, &h)) {
            offset += WAL_BLOCK_BYTES;
            continue;
        }
        if (PLANTED(DAMAGE_CUT) && rc->expected > 0 && h.sequence > rc->expected) {
            break;
        }
        if (h.sequence >= rc->limit || (h.sequence < rc->expected && !PLANTED(OLD_BATCHES))) {
            SOMETIMES(true, "wal: batch that was cut before");
            offset += wal_pad(h.bytes);
            continue;
        }
        proof(rc, h.sequence, f->number, offset);
        if (wal_batch_ok(at, &h)) {
            if (!f->used) {
                damage(rc, f->number, 0); /* a batch without the header written with it */
            }
            f->used = true;
            f->started |= offset == WAL_BLOCK_BYTES;
            f->written = offset + wal_pad(h.bytes);
            take_batch(rc, at, &h);
        } else {
            rc->torn_bytes = wal_pad(h.bytes) < end - offset ? wal_pad(h.bytes) : end - offset;
            rc->groups = rc->found->batches == 0 ? h.groups : rc->groups;
        }
        offset += wal_pad(h.bytes);
    }
}

/* Where its contents went when the segment was in use. */
static void seal_file(struct recovery *rc, const struct file *f)
{
    rc->w->active =
        (struct wal_segment){.number = f->number,
                             .bytes = f->bytes,
                             .used = f->written,
                             .started = f->started,
                             .ready = f->kind == FILE_USED && f->bytes == f->header.bytes};
    wal_seal(rc->w);
}

static enum err read_segment(struct recovery *rc, struct file *f)
{
    enum err err = read_file(rc, f, f->bytes);

    if (err != ERR_OK) {
        return err;
    }
    if (f->kind == FILE_USED) {
        proof(rc, f->header.first_sequence, f->number, 0);
    }
    f->zero_body =
        rc->bytes.len <= WAL_BLOCK_BYTES ||
        all_zero((struct slice){rc->bytes.data + WAL_BLOCK_BYTES, rc->bytes.len - WAL_BLOCK_BYTES});
    read_batches(rc, f);
    if (f->kind == FILE_USED && rc->bytes.len < f->header.bytes) {
        damage(rc, f->number, f->header.bytes); /* cut short: no crash does that */
        rc->torn_bytes = 0;
    }
    if (f->used) {
        look_at_end(rc, f);
        rc->found->segments++;
        seal_file(rc, f);
    }
    return ERR_OK;
}

/* Above the last segment in use a file was lost or overwritten. Spares below it lose
 * their turn: writing goes on above, so that the next recovery knows that this was
 * judged. */
static void damage_above(struct recovery *rc, uint64_t number)
{
    damage(rc, number, 0);
    while (rc->w->spares.count > 0) {
        wal_segments_add(&rc->w->skipped, wal_segments_take(&rc->w->spares, 0));
    }
}

/* A file above the last one in use. Only the last of all may be half allocated. */
static void take_spare(struct recovery *rc, const struct file *f, bool is_last)
{
    bool whole = f->bytes >= WAL_SEGMENT_BYTES_MIN && f->bytes % WAL_BLOCK_BYTES == 0;
    struct wal_segment s = {.number = f->number, .bytes = f->bytes};

    s.ready = whole && (f->kind == FILE_STALE || (f->kind == FILE_EMPTY && !is_last));
    if (f->kind == FILE_BAD && !f->torn_header && !f->zero_body) {
        damage_above(rc, f->number); /* once a segment, perhaps */
    }
    if (f->kind != FILE_BAD && (s.ready || is_last)) {
        wal_segments_add(&rc->w->spares, s);
    } else {
        wal_segments_add(&rc->w->skipped, s);
    }
}

/* In a log with no whole header: a first segment's first write may be torn, nothing
 * else may. */
static bool unreadable(const struct file *f)
{
    return f->kind == FILE_BAD && !f->zero_body && (!f->torn_header || f->number != 1);
}

/* Numbers above the last segment in use have no gap unless a file was lost. */
static enum err take_rest(struct recovery *rc)
{
    size_t rest = rc->file_count;
    uint64_t last = 0;

    while (rest > 0 && !rc->files[rest - 1].used) {
        rest--;
    }
    last = rest == 0 ? 0 : rc->files[rest - 1].number;
    for (size_t i = 0; i < rc->file_count; i++) {
        const struct file *f = &rc->files[i];

        rc->w->disk_bytes += f->bytes;
        rc->w->next_number = f->number + 1;
        if (i < rest) {
            if (!f->used) {
                wal_segments_add(&rc->w->skipped,
                                 (struct wal_segment){.number = f->number, .bytes = f->bytes});
            }
            continue;
        }
        if (rest == 0 && unreadable(f)) {
            diag_set(rc->why,
                     "log segment " WAL_DIR "/%016llu.seg cannot be read: it is no segment of this "
                     "program, or all of it is damaged; move the data directory aside and let the "
                     "node rejoin",
                     (unsigned long long)f->number);
            return ERR_CORRUPT;
        }
        if (f->number != last + 1) {
            damage_above(rc, f->number);
        }
        last = f->number;
        take_spare(rc, f, i + 1 == rc->file_count);
    }
    return ERR_OK;
}

/* --- the whole --------------------------------------------------------- */

static void judge(struct recovery *rc, struct wal_group *g)
{
    struct wal_track *t = g->track;
    const struct wal_visitor *v = rc->visitor;
    struct diag why = {""};

    if (t->checked < rc->found->damaged_places) {
        t->lost = true; /* nothing later tells: assume the worst */
    }
    if (t->condemned) {
        diag_set(&why, "found damaged at an earlier start and not rebuilt since");
    } else if (t->lost || t->need > g->now.snap_index.n) {
        diag_set(&why, "log records were lost to damage%s%s", rc->place[0] != 0 ? " in " : "",
                 rc->place);
    }
    g->now.damaged = why.text[0] != 0;
    wal_group_flushed(rc->w, g);
    g->durable_count = g->flushed.count;

    const struct wal_state *s = &g->now;
    bool empty = s->last == 0 && s->hard.term.n == 0 && s->hard.voted_for.n == 0 &&
                 s->commit.n == 0 && s->snap_index.n == 0 && g->blob.len == 0;

    if (v->state != NULL && (!empty || s->damaged)) {
        v->state(v->self, g->number,
                 &(struct wal_group_state){.hard = s->hard,
                                           .commit = s->commit,
                                           .snap_index = s->snap_index,
                                           .snap_term = s->snap_term,
                                           .snap_file = s->snap_file,
                                           .blob = buf_slice(&g->blob)});
    }
    if (v->damaged != NULL && s->damaged) {
        v->damaged(v->self, g->number, why.text);
    }
}

static void conclude(struct recovery *rc)
{
    struct wal *w = rc->w;

    if (rc->found->batches == 0 && rc->expected > 1) {
        /* Older segments went, so this one's first batch had been synced. */
        damage(rc, rc->files[0].number, rc->files[0].bytes);
        rc->torn_bytes = 0;
    }
    if (rc->tail_unread) {
        SOMETIMES(true, "wal: the place of the newest batch cannot be read");
        damage(rc, w->sealed.at[w->sealed.count - 1].number,
               w->sealed.at[w->sealed.count - 1].used);
        rc->torn_bytes = 0;
    }
    for (uint32_t i = 0; i < w->known_count; i++) {
        judge(rc, w->groups[w->known[i]]);
    }
    for (uint32_t i = 0; i < w->known_count; i++) {
        wal_group_cover(w, w->groups[w->known[i]]);
    }
    if (rc->found->batches == 0 && !rc->open_end) {
        rc->groups = 0; /* the first batch of all, torn: nobody was told of it */
    }
    w->groups_lost = rc->groups > w->known_count ? rc->groups - w->known_count : 0;
    if (rc->open_end && w->groups_lost == 0) {
        w->groups_lost = 1; /* perhaps: what was lost last may have been all of one */
    }
    w->sequence = rc->expected == 0 ? 1 : rc->expected;
    w->recovered = true;
    rc->found->torn_bytes = rc->torn_bytes;
    rc->found->groups_lost = w->groups_lost;
    SOMETIMES(rc->torn_bytes > 0, "wal: torn tail cut");
    wal_check(w);
}

static enum err recover(struct recovery *rc)
{
    enum err err = rc->boot->list(rc->boot->self, WAL_DIR, list_one, rc, rc->why);

    if (rc->file_count > 1) {
        qsort(rc->files, rc->file_count, sizeof rc->files[0], file_order);
    }
    for (size_t i = 0; i < rc->file_count && err == ERR_OK; i++) {
        err = classify(rc, &rc->files[i]);
    }
    for (size_t i = 0; i < rc->file_count && err == ERR_OK; i++) {
        rc->limit = UINT64_MAX;
        for (size_t j = i + 1; j < rc->file_count; j++) {
            const struct file *later = &rc->files[j];

            if (later->kind == FILE_USED && later->header.first_sequence < rc->limit) {
                rc->limit = later->header.first_sequence;
            }
        }
        err = read_segment(rc, &rc->files[i]);
    }
    if (err == ERR_OK && rc->found->unread_blocks > 0 && !rc->any_read) {
        diag_set(rc->why, "the device can read nothing of the log in directory " WAL_DIR
                          ": see to the device, then start the node again");
        err = ERR_IO; /* not lost, as far as anybody knows */
    }
    if (err == ERR_OK) {
        err = take_rest(rc);
    }
    if (err == ERR_OK) {
        conclude(rc);
    }
    return err;
}

enum err wal_recover(struct wal *w, const struct disk_boot *boot, const struct wal_visitor *visitor,
                     struct wal_recovery *found, struct diag *why)
{
    struct recovery rc = {.w = w, .boot = boot, .visitor = visitor, .found = found, .why = why};

    CHECK(!w->recovered);
    CHECK(w->known_count == 0);
    *found = (struct wal_recovery){0};
    enum err err = recover(&rc);

    for (uint32_t i = 0; i < w->known_count; i++) {
        struct wal_group *g = w->groups[w->known[i]];

        mem_free(g->track->runs);
        mem_free(g->track);
        g->track = NULL;
    }
    mem_free(rc.files);
    mem_free(rc.entries);
    buf_free(&rc.bytes);
    buf_free(&rc.unread);
    return err;
}
