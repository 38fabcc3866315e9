#include "node_rig.h"

#include "base/base_hash.h"
#include "base/base_mem.h"

#include <stdio.h>

static struct rig_file *file_find(struct rig *r, const char *path)
{
    for (uint32_t i = 0; i < r->file_count; i++) {
        if (strcmp(r->files[i].path, path) == 0) {
            return &r->files[i];
        }
    }
    return NULL;
}

static struct rig_file *file_make(struct rig *r, const char *path)
{
    struct rig_file *f = file_find(r, path);

    if (f == NULL) {
        CHECK(r->file_count < RIG_FILES_MAX);
        f = &r->files[r->file_count++];
        *f = (struct rig_file){0};
        (void)snprintf(f->path, sizeof f->path, "%s", path);
    }
    return f;
}

static void file_remove(struct rig *r, const char *path)
{
    struct rig_file *f = file_find(r, path);

    if (f != NULL) {
        buf_free(&f->data);
        *f = r->files[--r->file_count];
    }
}

static void file_grow(struct rig_file *f, size_t bytes)
{
    if (f->data.len < bytes) {
        size_t more = bytes - f->data.len;

        buf_reserve(&f->data, more);
        memset(f->data.data + f->data.len, 0, more);
        f->data.len = bytes;
    }
}

static enum err boot_list(void *self, const char *dir,
                          void (*visit)(void *arg, const char *name, uint64_t bytes), void *arg,
                          struct diag *why)
{
    struct rig *r = self;
    size_t len = strlen(dir);
    const char *last = "";

    (void)why;
    for (;;) {
        const struct rig_file *next = NULL;

        for (uint32_t i = 0; i < r->file_count; i++) {
            const char *path = r->files[i].path;

            if (strncmp(path, dir, len) == 0 && path[len] == '/' &&
                strcmp(path + len + 1, last) > 0 &&
                (next == NULL || strcmp(path, next->path) < 0)) {
                next = &r->files[i];
            }
        }
        if (next == NULL) {
            return ERR_OK;
        }
        last = next->path + len + 1;
        visit(arg, last, next->data.len);
    }
}

static enum err boot_read(void *self, const char *path, uint64_t offset, size_t bytes,
                          struct buf *out, struct diag *why)
{
    const struct rig_file *f = file_find(self, path);

    (void)why;
    if (f == NULL) {
        return ERR_NOT_FOUND;
    }
    if (offset < f->data.len) {
        size_t left = f->data.len - (size_t)offset;

        buf_append(out, f->data.data + offset, bytes < left ? bytes : left);
    }
    return ERR_OK;
}

static enum err node_make(struct rig *r, struct diag *why)
{
    const struct disk_boot boot = {.self = r, .list = boot_list, .read = boot_read};
    const uint8_t life = ++r->lives; /* another run, other dice; the identity is on disk by then */
    const uint8_t entropy[32] = {1, 2,           3,          4, 5, 6, 7, (uint8_t)(8 + r->number),
                                 9, [17] = life, [24] = life};

    return node_open(&r->cfg, &boot, r->now, entropy, &r->node, why);
}

static void op_run(struct rig *r, struct disk_op *op)
{
    struct disk_done done = {.token = op->token};
    struct buf read = {0};
    struct rig_file *f;

    switch (op->kind) {
    case DISK_WRITE:
        f = file_make(r, op->path);
        file_grow(f, op->offset + op->data.len);
        if (op->data.len > 0) {
            memcpy(f->data.data + op->offset, op->data.data, op->data.len);
        }
        break;
    case DISK_ALLOCATE:
        if (r->disk_full) {
            done.err = ERR_NO_SPACE;
            diag_set(&done.why, "no space for %s", op->path);
        } else {
            file_grow(file_make(r, op->path), op->offset);
        }
        break;
    case DISK_SYNC:
        break;
    case DISK_REPLACE:
        f = file_make(r, op->path);
        f->data.len = 0;
        buf_append(&f->data, op->data.data, op->data.len);
        break;
    case DISK_RENAME:
        file_remove(r, op->path2);
        f = file_find(r, op->path);
        CHECK(f != NULL);
        (void)snprintf(f->path, sizeof f->path, "%s", op->path2);
        break;
    case DISK_UNLINK:
        file_remove(r, op->path);
        break;
    case DISK_READ:
        done.err = boot_read(r, op->path, op->offset, op->read_bytes, &read, &done.why);
        done.data = buf_slice(&read);
        if (strcmp(op->path, r->unreadable) == 0) {
            done = (struct disk_done){.token = op->token, .err = ERR_IO};
            diag_set(&done.why, "%s: a test says that it cannot be read", op->path);
        }
        break;
    }
    buf_free(&op->data);
    node_disk_done(r->node, &done);
    if (op->lane == DISK_LANE_LOG && op->kind == DISK_WRITE && op->sync) {
        r->durable = op->token;
    }
    buf_free(&read);
}

static void disk_run(struct rig *r)
{
    uint32_t kept = 0, count = r->pending_count;
    struct disk_op *ops;
    bool held = false;

    if (count == 0) {
        return; /* most turns */
    }
    ops = mem_alloc(count * sizeof *ops);
    memcpy(ops, r->pending, count * sizeof *ops);
    r->pending_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        held = held || (r->hold != NULL && strstr(ops[i].path, r->hold) != NULL);
        if (ops[i].lane == DISK_LANE_LOG ? r->hold_log : held) {
            r->pending[kept++] = ops[i];
        } else {
            op_run(r, &ops[i]);
        }
    }
    r->pending_count = kept;
    mem_free(ops);
}

static bool of_a_peer(const struct node_effect *e)
{
    return (e->kind == NODE_SEND || e->kind == NODE_CLOSE || e->kind == NODE_DIAL ||
            e->kind == NODE_PACKET) &&
           e->conn != 1;
}

static void effect_run(struct rig *r, struct node_effect *e)
{
    if (r->peers != NULL && of_a_peer(e)) {
        r->peers(r, e);
        return;
    }
    switch (e->kind) {
    case NODE_SEND:
        r->gate_max = e->gate > r->gate_max ? e->gate : r->gate_max;
        if (e->conn == 1) {
            buf_append(&r->out, e->data.data, e->data.len);
        }
        buf_free(&e->data);
        break;
    case NODE_CLOSE:
        r->closed = r->closed || e->conn == 1;
        break;
    case NODE_READ:
        r->reading_off = !e->on;
        break;
    case NODE_DISK:
        CHECK(r->pending_count < RIG_PENDING_MAX);
        r->pending[r->pending_count++] = e->op;
        break;
    case NODE_LOG:
    case NODE_PACKET:
        buf_free(&e->data);
        break;
    case NODE_STOP:
        r->stopped = true;
        break;
    case NODE_DIAL:
    case NODE_READY:
        break;
    }
}

void rig_effects(struct rig *r)
{
    for (size_t i = 0; i < r->fx.count; i++) {
        effect_run(r, &r->fx.at[i]);
    }
    r->fx.count = 0;
    node_check(r->node, r->deep_off ? NODE_CHECK_BOOKS : NODE_CHECK_DEEP);
}

void rig_turn_begin(struct rig *r, uint64_t step_us)
{
    r->now.mono_us += step_us;
    r->now.wall_ms += step_us / 1000;
    node_begin(r->node, r->now);
    disk_run(r);
}

void rig_turn_end(struct rig *r)
{
    node_end(r->node, &r->fx);
    rig_effects(r);
}

void rig_turns(struct rig *r, unsigned count, uint64_t step_us)
{
    for (unsigned i = 0; i < count; i++) {
        rig_turn_begin(r, step_us);
        node_tick(r->node);
        rig_turn_end(r);
    }
}

void rig_send(struct rig *r, const void *data, size_t len)
{
    node_begin(r->node, r->now);
    node_received(r->node, 1, data, len);
    rig_turn_end(r);
}

const char *rig_ask(struct rig *r, const char *bytes)
{
    r->out.len = 0;
    rig_send(r, bytes, strlen(bytes));
    rig_turns(r, 20, NODE_TICK_US);
    put_u8(&r->out, 0);
    return (const char *)r->out.data;
}

void rig_client(struct rig *r)
{
    node_begin(r->node, r->now);
    node_accepted(r->node, 1, NODE_CONN_CLIENT, "127.0.0.1:5000");
    rig_turn_end(r);
}

void rig_open(struct rig *r)
{
    r->now = (struct node_time){.mono_us = 1000000, .wall_ms = 1700000000000};
    node_config_defaults(&r->cfg);
    r->cfg.start = NODE_START_BOOTSTRAP;
    r->cfg.partitions = 8;
    r->cfg.segment_bytes = 64 << 10;
    (void)snprintf(r->cfg.client_addr, sizeof r->cfg.client_addr, "127.0.0.1:7001");
    (void)snprintf(r->cfg.peer_addr, sizeof r->cfg.peer_addr, "127.0.0.1:17001");
    struct diag why;

    CHECK(node_make(r, &why) == ERR_OK);
    rig_turns(r, 40, NODE_TICK_US);
    CHECK(node_ready(r->node));
    rig_client(r);
}

void rig_kill(struct rig *r)
{
    if (r->node != NULL) {
        node_close(r->node);
        r->node = NULL;
    }
    for (uint32_t i = 0; i < r->pending_count; i++) {
        buf_free(&r->pending[i].data);
    }
    r->pending_count = 0;
    r->durable = 0;
}

enum err rig_start(struct rig *r, struct diag *why)
{
    enum err err = node_make(r, why);

    if (err != ERR_OK) {
        r->node = NULL;
    }
    return err;
}

enum err rig_try_open(struct rig *r, struct diag *why)
{
    enum err err;

    rig_kill(r);
    err = rig_start(r, why);
    if (err != ERR_OK) {
        return err;
    }
    rig_turns(r, 200, NODE_TICK_US);
    CHECK(node_ready(r->node));
    rig_client(r);
    return ERR_OK;
}

void rig_reopen(struct rig *r)
{
    struct diag why;

    CHECK(rig_try_open(r, &why) == ERR_OK);
}

struct buf *rig_file(struct rig *r, const char *path)
{
    struct rig_file *f = file_find(r, path);

    return f == NULL ? NULL : &f->data;
}

void rig_lose(struct rig *r, const char *path)
{
    file_remove(r, path);
}

static uint32_t files_copy(const struct rig_file *from, uint32_t count, struct rig_file *to)
{
    for (uint32_t i = 0; i < count; i++) {
        to[i] = (struct rig_file){0};
        memcpy(to[i].path, from[i].path, sizeof to[i].path);
        buf_append(&to[i].data, from[i].data.data, from[i].data.len);
    }
    return count;
}

static void files_free(struct rig_file *files, uint32_t *count)
{
    while (*count > 0) {
        buf_free(&files[--*count].data);
    }
}

void rig_image_take(const struct rig *r, struct rig_image *out)
{
    out->file_count = files_copy(r->files, r->file_count, out->files);
}

void rig_image_put(struct rig *r, const struct rig_image *image)
{
    files_free(r->files, &r->file_count);
    r->file_count = files_copy(image->files, image->file_count, r->files);
}

void rig_image_free(struct rig_image *image)
{
    files_free(image->files, &image->file_count);
}

uint64_t rig_disk_hash(const struct rig *r)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < r->file_count; i++) {
        sum += hash64_seeded(r->files[i].data.data, r->files[i].data.len,
                             hash64(r->files[i].path, strlen(r->files[i].path)));
    }
    return sum;
}

void rig_close(struct rig *r)
{
    rig_kill(r);
    files_free(r->files, &r->file_count);
    buf_free(&r->out);
    mem_free(r->fx.at);
    *r = (struct rig){0};
}

struct rig rig;

int rig_setup(void **state)
{
    (void)state;
    rig_open(&rig);
    return 0;
}

int rig_teardown(void **state)
{
    (void)state;
    rig_close(&rig);
    return 0;
}
