/* cmd_key.c - keys of any type: delete, count, copy, rename, look inside. */
#include "cmd/cmd_find.h"
#include "cmd/cmd_handlers.h"

enum { CMD_DATABASES = 16 }; /* Redis's default: numbers beyond get another error */

/* --- presence ---------------------------------------------------------------- */

void cmd_del(struct call *c)
{
    int64_t removed = 0;

    for (uint32_t i = 1; i < c->argc; i++) {
        /* One past its time goes too, but was not there for the client. */
        if (store_find_write(c->store, c->argv[i], c->now_ms) != NULL) {
            bool there = store_del(c->store, c->argv[i]);

            CHECK(there);
            removed++;
        }
    }
    c->changed = c->changed || removed > 0;
    resp_put_int(&c->out, removed);
}

void cmd_unlink(struct call *c)
{
    cmd_del(c); /* freeing is the store's business either way */
}

void cmd_exists(struct call *c)
{
    int64_t there = 0;

    for (uint32_t i = 1; i < c->argc; i++) {
        there += store_find(c->store, c->argv[i], c->now_ms, 0) != NULL;
    }
    resp_put_int(&c->out, there);
}

void cmd_touch(struct call *c)
{
    int64_t there = 0;

    for (uint32_t i = 1; i < c->argc; i++) {
        there += store_find(c->store, c->argv[i], c->now_ms, c->access_s) != NULL;
    }
    resp_put_int(&c->out, there);
}

void cmd_type(struct call *c)
{
    const struct store_item *it = store_find(c->store, c->argv[1], c->now_ms, 0);

    resp_put_simple(&c->out, store_type_name(it == NULL ? STORE_NONE : store_item_type(it)));
}

/* --- copy and rename --------------------------------------------------------- */

/* COPY's options. There is one database, so DB may only name it. */
static bool cmd_copy_options(struct call *c, bool *replace)
{
    bool other_db = false;

    *replace = false;
    for (uint32_t i = 3; i < c->argc; i++) {
        if (cmd_arg_is(c, i, SLICE("replace"))) {
            *replace = true;
        } else if (cmd_arg_is(c, i, SLICE("db")) && i + 1 < c->argc) {
            int64_t db;

            i++;
            if (!cmd_arg_int(c, i, &db)) {
                return false;
            }
            if (db < INT32_MIN || db > INT32_MAX) {
                resp_put_error(&c->out, CMD_ERR_NOT_INT);
                return false;
            }
            if (db < 0 || db >= CMD_DATABASES) {
                resp_put_error(&c->out, "ERR DB index is out of range");
                return false;
            }
            other_db = db != 0;
        } else {
            resp_put_error(&c->out, CMD_ERR_SYNTAX);
            return false;
        }
    }
    if (other_db) {
        resp_put_error(&c->out, "ERR Copying to another database is not allowed in cluster mode");
        return false;
    }
    return true;
}

void cmd_copy(struct call *c)
{
    struct slice from = c->argv[1];
    struct slice to = c->argv[2];
    bool replace;

    if (!cmd_copy_options(c, &replace)) {
        return;
    }
    if (slice_eq(from, to)) {
        resp_put_error(&c->out, "ERR source and destination objects are the same");
        return;
    }
    if (store_find_write(c->store, from, c->now_ms) == NULL ||
        (store_find_write(c->store, to, c->now_ms) != NULL && !replace)) {
        resp_put_int(&c->out, 0);
        return;
    }
    store_copy(c->store, from, to);
    c->changed = true;
    resp_put_int(&c->out, 1);
}

/* False: replied already. The source exists and differs from the target. */
static bool cmd_rename_source(struct call *c, bool *same)
{
    if (store_find_write(c->store, c->argv[1], c->now_ms) == NULL) {
        resp_put_error(&c->out, "ERR no such key");
        return false;
    }
    *same = slice_eq(c->argv[1], c->argv[2]);
    return true;
}

void cmd_rename(struct call *c)
{
    bool same;

    if (!cmd_rename_source(c, &same)) {
        return;
    }
    if (!same) {
        store_rename(c->store, c->argv[1], c->argv[2]);
        c->changed = true;
    }
    resp_put_simple(&c->out, "OK");
}

void cmd_renamenx(struct call *c)
{
    bool same;

    if (!cmd_rename_source(c, &same)) {
        return;
    }
    if (same || store_find_write(c->store, c->argv[2], c->now_ms) != NULL) {
        resp_put_int(&c->out, 0);
        return;
    }
    store_rename(c->store, c->argv[1], c->argv[2]);
    c->changed = true;
    resp_put_int(&c->out, 1);
}

/* --- OBJECT and MEMORY ------------------------------------------------------- */

/* The item of argv[2], not marked as used; NULL: null was replied. */
static const struct store_item *cmd_inspect(struct call *c)
{
    const struct store_item *it = store_find(c->store, c->argv[2], c->now_ms, 0);

    if (it == NULL) {
        resp_put_null(&c->out);
    }
    return it;
}

void cmd_object_encoding(struct call *c)
{
    const struct store_item *it = cmd_inspect(c);

    if (it != NULL) {
        resp_put_bulk_str(&c->out, store_item_encoding(it));
    }
}

void cmd_object_idletime(struct call *c)
{
    const struct store_item *it = cmd_inspect(c);

    if (it != NULL) {
        uint32_t used_s = store_item_access_s(it);

        /* 0: not used since it was loaded from a snapshot; nothing is known of before. */
        resp_put_int(&c->out, used_s != 0 && c->access_s > used_s ? c->access_s - used_s : 0);
    }
}

void cmd_object_refcount(struct call *c)
{
    if (cmd_inspect(c) != NULL) {
        resp_put_int(&c->out, 1); /* values are never shared */
    }
}

void cmd_object_freq(struct call *c)
{
    if (cmd_inspect(c) != NULL) {
        resp_put_error(&c->out,
                       "ERR An LFU maxmemory policy is not selected, access frequency not tracked. "
                       "Please note that when switching between policies at runtime LRU and LFU "
                       "data will take some time to adjust.");
    }
}

void cmd_memory_usage(struct call *c)
{
    const struct store_item *it;

    for (uint32_t i = 3; i < c->argc; i += 2) { /* sizes are exact: samples are only checked */
        int64_t samples;

        if (!cmd_arg_is(c, i, SLICE("samples")) || i + 1 == c->argc) {
            resp_put_error(&c->out, CMD_ERR_SYNTAX);
            return;
        }
        if (!cmd_arg_int(c, i + 1, &samples)) {
            return;
        }
        if (samples < 0) {
            resp_put_error(&c->out, CMD_ERR_SYNTAX);
            return;
        }
    }
    it = cmd_inspect(c);
    if (it != NULL) {
        resp_put_int(&c->out, (int64_t)store_item_memory(it));
    }
}
