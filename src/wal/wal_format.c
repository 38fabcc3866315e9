#include "base/base_hash.h"
#include "wal/wal_internal.h"

#define SEGMENT_MAGIC 0x4c4157444f4e5953ULL /* "SYNODWAL", read as bytes */
#define BATCH_MAGIC 0x424e5953U             /* "SYNB" */

enum { NAME_DIGITS = 16 };

void wal_segment_path(uint64_t number, char path[DISK_PATH_MAX])
{
    static const char prefix[] = WAL_DIR "/";
    size_t at = sizeof prefix - 1;

    CHECK(number > 0);
    memset(path, 0, DISK_PATH_MAX);
    memcpy(path, prefix, at);
    for (size_t i = NAME_DIGITS; i-- > 0;) {
        path[at + i] = (char)('0' + number % 10);
        number /= 10;
    }
    CHECK(number == 0); /* ten thousand million million segments */
    memcpy(path + at + NAME_DIGITS, ".seg", 4);
}

bool wal_segment_number(const char *name, uint64_t *number)
{
    uint64_t n = 0;

    for (size_t i = 0; i < NAME_DIGITS; i++) {
        if (name[i] < '0' || name[i] > '9') {
            return false;
        }
        n = n * 10 + (uint64_t)(name[i] - '0');
    }
    *number = n;
    return n > 0 && strcmp(name + NAME_DIGITS, ".seg") == 0;
}

void wal_segment_header_put(uint8_t *at, const struct wal_segment_header *h)
{
    CHECK(h->number > 0);
    CHECK(h->bytes % WAL_BLOCK_BYTES == 0);
    CHECK(h->first_sequence > 0);
    memset(at, 0, WAL_BLOCK_BYTES);
    store_u64le(at, SEGMENT_MAGIC);
    store_u32le(at + 16, h->version);
    store_u32le(at + 20, WAL_BLOCK_BYTES);
    store_u64le(at + 24, h->number);
    store_u64le(at + 32, h->bytes);
    store_u64le(at + 40, h->first_sequence);
    store_u64le(at + 8, hash64(at + 16, WAL_SEGMENT_HEADER_BYTES - 16));
}

bool wal_segment_magic(struct slice block)
{
    return block.len >= 8 && load_u64le(block.data) == SEGMENT_MAGIC;
}

bool wal_segment_header_get(struct slice block, struct wal_segment_header *h)
{
    const uint8_t *at = block.data;

    if (block.len < WAL_SEGMENT_HEADER_BYTES || !wal_segment_magic(block) ||
        load_u64le(at + 8) != hash64(at + 16, WAL_SEGMENT_HEADER_BYTES - 16)) {
        return false;
    }
    *h = (struct wal_segment_header){.version = load_u32le(at + 16),
                                     .number = load_u64le(at + 24),
                                     .bytes = load_u64le(at + 32),
                                     .first_sequence = load_u64le(at + 40)};
    return h->version > WAL_FORMAT_VERSION ||
           (h->version > 0 && load_u32le(at + 20) == WAL_BLOCK_BYTES && h->number > 0 &&
            h->first_sequence > 0 && h->bytes % WAL_BLOCK_BYTES == 0);
}

void wal_batch_header_put(uint8_t *at, struct wal_batch_header *h)
{
    CHECK(h->bytes >= WAL_BATCH_HEADER_BYTES);
    CHECK(h->offset % WAL_BLOCK_BYTES == 0);
    CHECK(h->offset >= WAL_BLOCK_BYTES);
    h->checksum = hash64(at + WAL_BATCH_HEADER_BYTES, h->bytes - WAL_BATCH_HEADER_BYTES);
    store_u32le(at, BATCH_MAGIC);
    store_u64le(at + 8, h->checksum);
    store_u64le(at + 16, h->sequence);
    store_u64le(at + 24, h->segment);
    store_u64le(at + 32, h->offset);
    store_u64le(at + 40, h->bytes);
    store_u32le(at + 48, h->records);
    store_u32le(at + 52, h->groups);
    store_u64le(at + 56, 0);
    store_u32le(at + 4, checksum32(at + 8, WAL_BATCH_HEADER_BYTES - 8));
}

bool wal_batch_header_get(struct slice at, uint64_t segment, uint64_t offset,
                          struct wal_batch_header *h)
{
    const uint8_t *p = at.data;

    if (at.len < WAL_BATCH_HEADER_BYTES || load_u32le(p) != BATCH_MAGIC ||
        load_u32le(p + 4) != checksum32(p + 8, WAL_BATCH_HEADER_BYTES - 8)) {
        return false;
    }
    *h = (struct wal_batch_header){
        .checksum = load_u64le(p + 8),
        .sequence = load_u64le(p + 16),
        .segment = load_u64le(p + 24),
        .offset = load_u64le(p + 32),
        .bytes = load_u64le(p + 40),
        .records = load_u32le(p + 48),
        .groups = load_u32le(p + 52),
    };
    /* The last two keep sums of ours from overflowing, whatever the bytes say. */
    return (h->segment == segment || PLANTED(OLD_BATCHES)) && h->offset == offset &&
           h->sequence > 0 && h->bytes >= WAL_BATCH_HEADER_BYTES && h->bytes < UINT64_MAX / 4 &&
           h->sequence < UINT64_MAX / 4;
}

static bool entries_ok(struct slice body)
{
    struct reader r = reader_of(body.data, body.len);
    uint64_t first = get_u64le(&r);
    uint32_t count = get_u32le(&r);

    (void)get_u32le(&r);
    if (first == 0 || first > UINT64_MAX / 4 || count == 0) {
        return false;
    }
    for (uint32_t i = 0; i < count && !r.bad; i++) {
        (void)get_u64le(&r);
        size_t bytes = get_u32le(&r);
        uint32_t kind = get_u32le(&r);

        (void)get_raw(&r, bytes);
        if (kind > RAFT_CONF) {
            return false;
        }
    }
    return !r.bad && reader_left(&r) == 0;
}

static bool record_ok(const struct wal_record *rec)
{
    if (rec->group >= WAL_GROUPS_MAX || rec->number == 0 || rec->number > UINT64_MAX / 4) {
        return false;
    }
    switch (rec->kind) {
    case WAL_RECORD_STATE:
        return rec->body.len >= WAL_STATE_BYTES && load_u64le(rec->body.data) < UINT64_MAX / 4;
    case WAL_RECORD_ENTRIES:
        return entries_ok(rec->body);
    case WAL_RECORD_HARD:
        return rec->body.len == 16;
    case WAL_RECORD_COMMIT:
        return rec->body.len == 8;
    case WAL_RECORD_SNAPSHOT:
        return rec->body.len == 24 && load_u64le(rec->body.data) < UINT64_MAX / 4;
    case WAL_RECORD_BLOB:
        return true;
    case WAL_RECORD_RESET:
        return rec->body.len == 0;
    default: /* a byte from the disk, not an enum of ours */
        return false;
    }
}

bool wal_record_get(struct reader *r, struct wal_record *rec)
{
    if (reader_left(r) == 0) {
        return false;
    }
    uint32_t bytes = get_u32le(r);

    rec->group = get_u16le(r);
    rec->kind = get_u8(r);
    (void)get_u8(r);
    rec->number = get_u64le(r);
    rec->body = get_raw(r, bytes);
    return !r->bad;
}

bool wal_batch_ok(struct slice batch, const struct wal_batch_header *h)
{
    if (batch.len < h->bytes) {
        return false;
    }
    const uint8_t *records = batch.data + WAL_BATCH_HEADER_BYTES;
    size_t bytes = h->bytes - WAL_BATCH_HEADER_BYTES;
    struct reader r = reader_of(records, bytes);
    struct wal_record rec;
    uint32_t count = 0;

    if (hash64(records, bytes) != h->checksum && !PLANTED(CHECKSUM_IGNORED)) {
        return false;
    }
    while (wal_record_get(&r, &rec)) {
        if (!record_ok(&rec)) {
            return false;
        }
        count++;
    }
    return !r.bad && count == h->records;
}

void wal_record_header_put(uint8_t *at, const struct wal_record *rec, uint32_t body_bytes)
{
    store_u32le(at, body_bytes);
    store_u16le(at + 4, (uint16_t)rec->group);
    at[6] = rec->kind;
    at[7] = 0;
    store_u64le(at + 8, rec->number);
}

void wal_state_put(struct buf *out, uint32_t group, const struct wal_state *s, struct slice blob)
{
    struct wal_record rec = {.kind = WAL_RECORD_STATE, .group = group, .number = s->count};

    CHECK(s->count > 0);
    buf_reserve(out, WAL_RECORD_HEADER_BYTES + WAL_STATE_BYTES + blob.len);
    wal_record_header_put(out->data + out->len, &rec, (uint32_t)(WAL_STATE_BYTES + blob.len));
    out->len += WAL_RECORD_HEADER_BYTES;
    put_u64le(out, s->last);
    put_u64le(out, s->hard.term.n);
    put_u64le(out, s->hard.voted_for.n);
    put_u64le(out, s->commit.n);
    put_u64le(out, s->snap_index.n);
    put_u64le(out, s->snap_term.n);
    put_u64le(out, s->snap_file);
    put_u64le(out, s->damaged ? 1 : 0);
    buf_append_slice(out, blob);
}

void wal_state_get(const struct wal_record *rec, struct wal_state *s, struct slice *blob)
{
    struct reader r = reader_of(rec->body.data, rec->body.len);

    s->count = rec->number;
    s->last = get_u64le(&r);
    s->hard.term.n = get_u64le(&r);
    s->hard.voted_for.n = get_u64le(&r);
    s->commit.n = get_u64le(&r);
    s->snap_index.n = get_u64le(&r);
    s->snap_term.n = get_u64le(&r);
    s->snap_file = get_u64le(&r);
    s->damaged = (get_u64le(&r) & 1) != 0;
    *blob = get_raw(&r, reader_left(&r));
    CHECK(!r.bad); /* judged by wal_batch_ok */
}
