#include "store/snapfile.h"

#include "base/base_hash.h"
#include "base/base_mem.h"

#include <stdio.h>

/* [docs/format/snapshot.md] Every byte is under a checksum. */
enum {
    HEAD_FIXED_BYTES = 52, /* up to and with the length of the blob */
    HEAD_BLOB_BYTES_MAX = 16 << 20,
    CHUNK_HEAD_BYTES = 20,
    FOOT_BYTES = 20,
    MARK_BYTES = 4,
};
static const char head_magic[8] = {'s', 'y', 'n', 'o', 'd', 's', 'n', 'p'};
static const uint32_t CHUNK_MARK = 0x4b4e4843; /* "CHNK" */
static const uint32_t FOOT_MARK = 0x544f4f46;  /* "FOOT" */

/* --- names --- */

void snapfile_name(uint32_t group, uint64_t file, bool temporary, char out[DISK_PATH_MAX])
{
    (void)snprintf(out, DISK_PATH_MAX, SNAPFILE_DIR "/%05u-%016llX.%s", group,
                   (unsigned long long)file, temporary ? "tmp" : "snap");
}

bool snapfile_parse_name(const char *name, uint32_t *group, uint64_t *file, bool *temporary)
{
    char again[DISK_PATH_MAX];
    const char *base = strrchr(name, '/');
    unsigned g;
    unsigned long long f;
    char kind[8];

    base = base == NULL ? name : base + 1;
    if (strlen(base) > 40 || sscanf(base, "%10u-%16llX.%7s", &g, &f, kind) != 3) {
        return false;
    }
    *group = g;
    *file = f;
    *temporary = strcmp(kind, "tmp") == 0;
    snapfile_name(*group, *file, *temporary, again); /* one spelling of each name */
    return strcmp(base, again + sizeof SNAPFILE_DIR) == 0;
}

/* --- writing --- */

void snapfile_put_head(struct buf *out, const struct snapfile_head *head)
{
    size_t start = out->len;

    CHECK(head->blob.len <= HEAD_BLOB_BYTES_MAX);
    buf_append(out, head_magic, sizeof head_magic);
    put_u32le(out, SNAPFILE_VERSION);
    put_u32le(out, head->group);
    put_u64le(out, head->index.n);
    put_u64le(out, head->term.n);
    put_u64le(out, head->digest);
    put_u64le(out, head->item_count);
    put_u32le(out, (uint32_t)head->blob.len);
    CHECK(out->len - start == HEAD_FIXED_BYTES);
    /* The length is checked before it is believed. */
    put_u32le(out, checksum32(out->data + start, HEAD_FIXED_BYTES));
    buf_append_slice(out, head->blob);
    put_u64le(out, hash64(out->data + start, out->len - start));
}

void snapfile_put_chunk(struct buf *out, struct slice items)
{
    size_t start = out->len;

    CHECK(items.len <= SNAPFILE_CHUNK_BYTES_MAX);
    put_u32le(out, CHUNK_MARK);
    put_u32le(out, (uint32_t)items.len);
    put_u64le(out, hash64(items.data, items.len));
    put_u32le(out, checksum32(out->data + start, out->len - start));
    buf_append_slice(out, items);
}

void snapfile_put_foot(struct buf *out, uint64_t chunk_count)
{
    size_t start = out->len;

    put_u32le(out, FOOT_MARK);
    put_u64le(out, chunk_count);
    put_u64le(out, hash64(out->data + start, out->len - start));
}

/* --- reading --- */

void snapfile_reader_init(struct snapfile_reader *r, struct store *into)
{
    *r = (struct snapfile_reader){.into = into};
}

void snapfile_reader_free(struct snapfile_reader *r)
{
    buf_free(&r->pending);
    buf_free(&r->head_blob);
    *r = (struct snapfile_reader){0};
}

/* What a step found at the front of the bytes: ERR_OK with `used` > 0, or ERR_AGAIN: more
 * bytes are needed. */
struct step {
    struct slice left;
    size_t used;
};

static enum err corrupt(struct diag *why, const struct snapfile_reader *r, const char *what)
{
    diag_set(why, "snapshot file: %s, after %llu whole chunks", what,
             (unsigned long long)r->chunk_count);
    return ERR_CORRUPT;
}

static enum err read_head(struct snapfile_reader *r, struct step *step, struct diag *why)
{
    const uint8_t *p = step->left.data;
    struct reader f = reader_of(p, step->left.len);
    struct snapfile_head *head = &r->head;
    uint32_t version, blob_len;
    size_t whole;

    if (memcmp(p, head_magic,
               step->left.len < sizeof head_magic ? step->left.len : sizeof head_magic) != 0) {
        return corrupt(why, r, "this is not a snapshot file");
    }
    if (step->left.len < HEAD_FIXED_BYTES + 4) {
        return ERR_AGAIN;
    }
    (void)get_raw(&f, sizeof head_magic);
    version = get_u32le(&f);
    if (checksum32(p, HEAD_FIXED_BYTES) != load_u32le(p + HEAD_FIXED_BYTES)) {
        return corrupt(why, r, "the header fails its checksum");
    }
    if (version != SNAPFILE_VERSION) {
        diag_set(why, "snapshot file: version %u; this program reads version %d", version,
                 SNAPFILE_VERSION);
        return ERR_VERSION;
    }
    head->group = get_u32le(&f);
    head->index.n = get_u64le(&f);
    head->term.n = get_u64le(&f);
    head->digest = get_u64le(&f);
    head->item_count = get_u64le(&f);
    blob_len = get_u32le(&f);
    if (blob_len > HEAD_BLOB_BYTES_MAX) {
        return corrupt(why, r, "the header is longer than any");
    }
    whole = HEAD_FIXED_BYTES + 4 + (size_t)blob_len;
    if (step->left.len < whole + 8) {
        return ERR_AGAIN;
    }
    if (hash64(p, whole) != load_u64le(p + whole)) {
        return corrupt(why, r, "the header's blob fails its checksum");
    }
    buf_append(&r->head_blob, p + HEAD_FIXED_BYTES + 4, blob_len);
    head->blob = buf_slice(&r->head_blob);
    r->have_head = true;
    step->used = whole + 8;
    return ERR_OK;
}

static enum err read_chunk(struct snapfile_reader *r, struct step *step, struct diag *why)
{
    const uint8_t *p = step->left.data;
    struct slice items;
    enum err err;

    if (step->left.len < CHUNK_HEAD_BYTES) {
        return ERR_AGAIN;
    }
    if (checksum32(p, CHUNK_HEAD_BYTES - 4) != load_u32le(p + CHUNK_HEAD_BYTES - 4)) {
        return corrupt(why, r, "the head of a chunk fails its checksum");
    }
    items = (struct slice){p + CHUNK_HEAD_BYTES, load_u32le(p + MARK_BYTES)};
    if (items.len > SNAPFILE_CHUNK_BYTES_MAX) {
        return corrupt(why, r, "a chunk is longer than any");
    }
    if (step->left.len - CHUNK_HEAD_BYTES < items.len) {
        return ERR_AGAIN;
    }
    if (hash64(items.data, items.len) != load_u64le(p + 8)) {
        return corrupt(why, r, "a chunk fails its checksum");
    }
    err = store_load(r->into, items, why);
    r->chunk_count += err == ERR_OK;
    step->used = CHUNK_HEAD_BYTES + items.len;
    return err;
}

static enum err read_foot(struct snapfile_reader *r, struct step *step, struct diag *why)
{
    const uint8_t *p = step->left.data;

    if (step->left.len < FOOT_BYTES) {
        return ERR_AGAIN;
    }
    if (hash64(p, FOOT_BYTES - 8) != load_u64le(p + FOOT_BYTES - 8)) {
        return corrupt(why, r, "the foot fails its checksum");
    }
    if (load_u64le(p + MARK_BYTES) != r->chunk_count) {
        return corrupt(why, r, "chunks are missing");
    }
    r->done = true;
    step->used = FOOT_BYTES;
    return ERR_OK;
}

static enum err read_step(struct snapfile_reader *r, struct step *step, struct diag *why)
{
    uint32_t mark;

    if (r->done) {
        return corrupt(why, r, "there are bytes after the foot");
    }
    if (!r->have_head) {
        return read_head(r, step, why);
    }
    if (step->left.len < MARK_BYTES) {
        return ERR_AGAIN;
    }
    mark = load_u32le(step->left.data);
    if (mark == CHUNK_MARK) {
        return read_chunk(r, step, why);
    }
    if (mark == FOOT_MARK) {
        return read_foot(r, step, why);
    }
    return corrupt(why, r, "neither a chunk nor the foot");
}

enum err snapfile_read(struct snapfile_reader *r, struct slice piece, struct diag *why)
{
    enum err err = ERR_OK;
    bool whole = r->pending.len == 0; /* then nothing need be copied */
    struct step step;
    size_t used = 0;

    if (!whole) {
        buf_append_slice(&r->pending, piece);
        piece = buf_slice(&r->pending);
    }
    while (used < piece.len) {
        step = (struct step){{piece.data + used, piece.len - used}, 0};
        err = read_step(r, &step, why);
        if (err != ERR_OK) {
            break;
        }
        CHECK(step.used > 0);
        used += step.used;
    }
    if (whole) {
        buf_append(&r->pending, piece.data + used, piece.len - used);
    } else {
        buf_consume(&r->pending, used);
    }
    return err == ERR_AGAIN ? ERR_OK : err;
}

enum err snapfile_finish(struct snapfile_reader *r, struct diag *why)
{
    if (!r->done) {
        return corrupt(why, r, "it is cut short");
    }
    if (store_count(r->into) != r->head.item_count) {
        return corrupt(why, r, "the number of items is not the header's");
    }
    if (store_digest(r->into) != r->head.digest) {
        return corrupt(why, r, "the digest is not the header's");
    }
    return ERR_OK;
}
