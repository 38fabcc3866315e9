/* cmd_scan.c - one partition's part of what concerns all keys.
 *
 * The node asks every partition and combines the answers; the two CLUSTER rows it
 * sends to the partition of the slot.
 */
#include "cmd/cmd_find.h"
#include "cmd/cmd_handlers.h"

#include "base/base_hash.h"

enum {
    CMD_HASHSLOTS = 16384,
    CMD_SCAN_COUNT = 10,
    CMD_RANDOM_TRIES = 100, /* as Redis: then the keys are nearly all past their time */
};

/* Keys that pass a filter, as encoded bulk strings, until their number is known. */
struct cmd_gather {
    struct call *c;
    struct slice pattern; /* data NULL: every key */
    struct slice type;    /* data NULL: every type */
    int32_t hashslot;     /* -1: every slot */
    size_t max, count;
    struct buf keys;
};

/* store_find() decides whether a key's time has come, and notes that it was asked;
 * only keys that have an expiry pay for it. */
static bool cmd_live(struct call *c, const struct store_item *it)
{
    return store_item_expire_ms(it) == 0 ||
           store_find(c->store, store_item_key(it), c->now_ms, 0) != NULL;
}

static void cmd_gather_item(void *arg, struct store_item *it)
{
    struct cmd_gather *g = arg;
    struct slice key = store_item_key(it);
    struct resp_writer w = {.out = &g->keys, .proto = g->c->out.proto};

    if (g->count >= g->max || (g->hashslot >= 0 && hashslot_of_key(key) != g->hashslot)) {
        return;
    }
    if (g->pattern.data != NULL && !cmd_glob(g->pattern, key, false)) {
        return;
    }
    if (g->type.data != NULL &&
        !slice_eq_nocase(g->type, slice_str(store_type_name(store_item_type(it))))) {
        return;
    }
    if (!cmd_live(g->c, it)) {
        return;
    }
    g->count++;
    resp_put_bulk(&w, key);
}

static void cmd_gather_reply(struct cmd_gather *g)
{
    resp_put_array(&g->c->out, g->count);
    resp_put_raw(&g->c->out, buf_slice(&g->keys));
    buf_free(&g->keys);
}

static bool cmd_is_star(struct slice pattern)
{
    return pattern.len == 1 && pattern.data[0] == '*';
}

void cmd_keys_all(struct call *c)
{
    struct cmd_gather g = {.c = c, .hashslot = -1, .max = SIZE_MAX};

    if (!cmd_is_star(c->argv[1])) {
        g.pattern = c->argv[1];
    }
    store_each(c->store, cmd_gather_item, &g);
    cmd_gather_reply(&g);
}

/* As strtoul() reads it: Redis takes a sign and leading zeros, no spaces. */
static bool cmd_scan_cursor(struct slice text, uint64_t *cursor)
{
    size_t i = text.len > 0 && (text.data[0] == '+' || text.data[0] == '-') ? 1 : 0;
    bool negative = i == 1 && text.data[0] == '-';
    uint64_t v = 0;

    if (text.len == 0) { /* strtoul() calls it 0 */
        *cursor = 0;
        return true;
    }
    if (i == text.len) {
        return false;
    }
    for (; i < text.len; i++) {
        unsigned digit = (unsigned)text.data[i] - '0';

        if (digit > 9 || __builtin_mul_overflow(v, 10U, &v) ||
            __builtin_add_overflow(v, digit, &v)) {
            return false;
        }
    }
    *cursor = negative ? 0 - v : v;
    return true;
}

static bool cmd_scan_options(struct call *c, struct cmd_gather *g, int64_t *count)
{
    for (uint32_t i = 2; i < c->argc; i += 2) {
        bool paired = i + 1 < c->argc;

        if (paired && cmd_arg_is(c, i, SLICE("count"))) {
            if (!cmd_arg_int(c, i + 1, count)) {
                return false;
            }
            if (*count < 1) {
                resp_put_error(&c->out, CMD_ERR_SYNTAX);
                return false;
            }
        } else if (paired && cmd_arg_is(c, i, SLICE("match"))) {
            g->pattern = cmd_is_star(c->argv[i + 1]) ? (struct slice){NULL, 0} : c->argv[i + 1];
        } else if (paired && cmd_arg_is(c, i, SLICE("type"))) {
            g->type = c->argv[i + 1];
        } else {
            resp_put_error(&c->out, CMD_ERR_SYNTAX);
            return false;
        }
    }
    return true;
}

void cmd_scan(struct call *c)
{
    struct cmd_gather g = {.c = c, .hashslot = -1, .max = SIZE_MAX};
    char text[RESP_INT_TEXT_MAX];
    int64_t count = CMD_SCAN_COUNT;
    uint64_t cursor;

    if (!cmd_scan_cursor(c->argv[1], &cursor)) {
        resp_put_error(&c->out, "ERR invalid cursor");
        return;
    }
    if (!cmd_scan_options(c, &g, &count)) {
        return;
    }
    cursor = store_scan(c->store, cursor, (size_t)count, cmd_gather_item, &g);
    CHECK(cursor < (1ULL << 48));
    resp_put_array(&c->out, 2);
    resp_put_bulk(&c->out,
                  (struct slice){(const uint8_t *)text, resp_print_int((int64_t)cursor, text)});
    cmd_gather_reply(&g);
}

void cmd_randomkey(struct call *c)
{
    for (int i = 0; i < CMD_RANDOM_TRIES; i++) {
        struct store_item *it = store_random(c->store, &c->rng);

        if (it == NULL) {
            break;
        }
        if (cmd_live(c, it)) {
            resp_put_bulk(&c->out, store_item_key(it));
            return;
        }
    }
    resp_put_null(&c->out);
}

void cmd_dbsize(struct call *c)
{
    resp_put_int(&c->out, (int64_t)store_count(c->store));
}

void cmd_flushall(struct call *c)
{
    if (c->argc > 2 ||
        (c->argc == 2 && !cmd_arg_is(c, 1, SLICE("sync")) && !cmd_arg_is(c, 1, SLICE("async")))) {
        resp_put_error(&c->out, CMD_ERR_SYNTAX);
        return;
    }
    c->changed = c->changed || store_count(c->store) > 0;
    store_clear(c->store);
    resp_put_simple(&c->out, "OK");
}

void cmd_flushdb(struct call *c)
{
    cmd_flushall(c); /* there is one database */
}

void cmd_cluster_countkeysinslot(struct call *c)
{
    struct cmd_gather g = {.c = c, .max = SIZE_MAX};
    int64_t hashslot;

    if (!cmd_arg_int(c, 2, &hashslot)) {
        return;
    }
    if (hashslot < 0 || hashslot >= CMD_HASHSLOTS) {
        resp_put_error(&c->out, "ERR Invalid slot");
        return;
    }
    g.hashslot = (int32_t)hashslot;
    store_each(c->store, cmd_gather_item, &g);
    buf_free(&g.keys);
    resp_put_int(&c->out, (int64_t)g.count);
}

void cmd_cluster_getkeysinslot(struct call *c)
{
    struct cmd_gather g = {.c = c};
    int64_t hashslot;
    int64_t max;

    if (!cmd_arg_int(c, 2, &hashslot) || !cmd_arg_int(c, 3, &max)) {
        return;
    }
    if (hashslot < 0 || hashslot >= CMD_HASHSLOTS || max < 0) {
        resp_put_error(&c->out, "ERR Invalid slot or number of keys");
        return;
    }
    g.hashslot = (int32_t)hashslot;
    g.max = (size_t)max;
    store_each(c->store, cmd_gather_item, &g);
    cmd_gather_reply(&g);
}
