/* Files of metadata: short, written whole, with a checksum, and each kept twice, so that one
 * lost or damaged file is made good from the other. The second is written after the first: when
 * both can be read, the first is the newer. [docs/format/meta.md] */
#include "node/node_internal.h"

#include "base/base_hash.h"

#include <stdio.h>

#define META_COPY ".copy"
static const char META_MAGIC[8] = {'S', 'Y', 'N', 'M', 'E', 'T', 'A', '1'};
enum { META_HEAD_BYTES = 16, META_VERSION = 1, META_BYTES_MAX = 64 << 20 };
/* magic, u32 version, u32 checksum of the rest, the rest */
static void meta_wrap(struct buf *out, const struct buf *body)
{
    buf_append(out, META_MAGIC, sizeof META_MAGIC);
    put_u32le(out, META_VERSION);
    put_u32le(out, checksum32(body->data, body->len));
    buf_append(out, body->data, body->len);
}

static enum err meta_read_one(const struct disk_boot *boot, const char *path, struct buf *out,
                              struct diag *why)
{
    enum err err = boot->read(boot->self, path, 0, META_BYTES_MAX, out, why);

    if (err != ERR_OK) {
        return err;
    }
    if (out->len < META_HEAD_BYTES || memcmp(out->data, META_MAGIC, sizeof META_MAGIC) != 0) {
        diag_set(why,
                 "%s is not a synod file; restore it, or bring this node back empty with "
                 "--join",
                 path);
        return ERR_CORRUPT;
    }
    if (load_u32le(out->data + 12) !=
        checksum32(out->data + META_HEAD_BYTES, out->len - META_HEAD_BYTES)) {
        diag_set(why,
                 "%s is damaged (its checksum fails); empty the directory and bring this "
                 "node back with --join",
                 path);
        return ERR_CORRUPT;
    }
    if (load_u32le(out->data + 8) > META_VERSION) {
        diag_set(why,
                 "%s has format version %u, this program knows up to %u: start the newer "
                 "version",
                 path, load_u32le(out->data + 8), META_VERSION);
        err = ERR_VERSION;
    }
    buf_consume(out, META_HEAD_BYTES);
    return err;
}

enum err node_meta_read(const struct disk_boot *boot, const char *path, struct buf *out,
                        bool *repair, struct diag *why)
{
    char copy_path[DISK_PATH_MAX];
    struct buf copy = {0};
    struct diag copy_why = {{0}};
    enum err err = meta_read_one(boot, path, out, why), copy_err;

    (void)snprintf(copy_path, sizeof copy_path, "%s" META_COPY, path);
    copy_err = meta_read_one(boot, copy_path, &copy, &copy_why);
    *repair = false;
    if (((err == ERR_OK && copy_err == ERR_VERSION) ||
         (err == ERR_VERSION && copy_err == ERR_OK)) &&
        slice_eq(buf_slice(out), buf_slice(&copy))) {
        /* The same content, and the other file says that it is of this version: the number,
         * which no checksum covers, is damaged. */
        SOMETIMES(true, "node_meta: a damaged version number");
        *repair = true;
        err = ERR_OK;
    } else if (copy_err == ERR_VERSION) {
        *why = copy_why;
        err = ERR_VERSION;
    } else if (err == ERR_OK) {
        *repair = copy_err != ERR_OK || !slice_eq(buf_slice(out), buf_slice(&copy));
    } else if (err != ERR_VERSION && copy_err == ERR_OK) {
        SOMETIMES(true, "node_meta: metadata made good from its copy");
        *repair = true;
        buf_free(out);
        *out = copy;
        copy = (struct buf){0};
        err = ERR_OK;
    } else if (err == ERR_NOT_FOUND && copy_err != ERR_NOT_FOUND) {
        *why = copy_why;
        err = copy_err;
    }
    buf_free(&copy);
    return err;
}

void node_meta_write(struct node *n, const char *path, enum disk_user user, const struct buf *body)
{
    struct disk_op *op = disk_ops_push(&n->ops, DISK_REPLACE, DISK_LANE_BULK);

    op->token = node_token(DISK_USER_META_FIRST, 0, n->next_token++);
    (void)snprintf(op->path, sizeof op->path, "%s", path);
    meta_wrap(&op->data, body);
    op = disk_ops_push(&n->ops, DISK_REPLACE, DISK_LANE_BULK);
    op->token = node_token(user, 0, n->next_token++);
    (void)snprintf(op->path, sizeof op->path, "%s" META_COPY, path);
    meta_wrap(&op->data, body);
}
