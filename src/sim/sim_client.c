#include "sim/sim_client.h"

#include "sim/sim_world.h"

#include <stdio.h>

enum { VALUES_PER_OP = 4, RECONNECT_US = 20000 };

static void act_event(struct sim_world *w, uint64_t client, uint64_t unused);

void sim_client_init(struct sim_world *w, uint32_t id)
{
    w->clients[id] = (struct sim_client){.id = id, .rng = sim_dice(w, SIM_FOR_CLIENT, id)};
}

void sim_client_free(struct sim_client *c)
{
    buf_free(&c->in);
}

enum sim_family sim_object_family(const struct sim_world *w, uint32_t object)
{
    uint64_t total = 0;
    uint64_t at;

    for (unsigned i = 0; i < SIM_FAMILY_COUNT; i++) {
        total += w->opt.family_weight[i];
    }
    CHECK(total > 0);
    at = hash64_mix(w->opt.seed, object + 77) % total;
    for (unsigned i = 0; i < SIM_FAMILY_COUNT; i++) {
        if (at < w->opt.family_weight[i]) {
            return (enum sim_family)i;
        }
        at -= w->opt.family_weight[i];
    }
    UNREACHABLE("family");
}

bool sim_client_quiet(const struct sim_client *c)
{
    return c->waiting_count == 0;
}

static void act_in(struct sim_world *w, struct sim_client *c, uint64_t us)
{
    if (!c->acting) {
        c->acting = true;
        sim_in(w, us, act_event, c->id, 0);
    }
}

void sim_client_wake(struct sim_world *w, struct sim_client *c)
{
    act_in(w, c, prng_below(&c->rng, 1000));
}

/* --- requests --- */

static enum sim_op_kind pick_write(struct prng *p, enum sim_family family)
{
    static const enum sim_op_kind reg[] = {SIM_OP_SET,    SIM_OP_SET,    SIM_OP_SETNX,
                                           SIM_OP_SET_NX, SIM_OP_GETSET, SIM_OP_DEL};

    switch (family) {
    case SIM_REGISTER:
        return reg[prng_below(p, ARRAY_COUNT(reg))];
    case SIM_COUNTER:
        return SIM_OP_INCRBY;
    case SIM_STRING:
        return SIM_OP_APPEND;
    case SIM_HASH:
        return prng_chance(p, 1, 4) ? SIM_OP_HDEL : SIM_OP_HSET;
    case SIM_PAIR:
        return prng_chance(p, 1, 4) ? SIM_OP_SET_FIRST : SIM_OP_MSET;
    case SIM_FAMILY_COUNT:
        break;
    }
    UNREACHABLE("family");
}

static enum sim_op_kind pick_read(struct prng *p, enum sim_family family, bool whole)
{
    bool part = !whole && prng_chance(p, 1, 2);

    switch (family) {
    case SIM_REGISTER:
        return SIM_OP_GET;
    case SIM_COUNTER:
        return SIM_OP_COUNT;
    case SIM_STRING:
        return part ? SIM_OP_STRLEN : SIM_OP_TEXT;
    case SIM_HASH:
        return part ? SIM_OP_HGET : SIM_OP_HMGET;
    case SIM_PAIR:
        return SIM_OP_MGET;
    case SIM_FAMILY_COUNT:
        break;
    }
    UNREACHABLE("family");
}

static void put_arg(struct buf *b, struct slice arg)
{
    buf_printf(b, "$%zu\r\n", arg.len);
    buf_append_slice(b, arg);
    buf_append(b, "\r\n", 2);
}

/* A command of words; "%" stands for the next of the op's values. */
static void put_command(const struct sim_world *w, struct buf *b, const struct sim_op *op,
                        const char *words)
{
    struct buf args = {0}, value = {0};
    unsigned argc = 0, next = 0;

    for (const char *at = words; *at != 0;) {
        size_t len = strcspn(at, " ");

        value.len = 0;
        if (len == 1 && at[0] == '%') {
            sim_value_put(&value, op->a[next++], w->opt.value_bytes_max);
        } else {
            buf_append(&value, at, len);
        }
        put_arg(&args, buf_slice(&value));
        argc++;
        at += len + (at[len] == ' ');
    }
    buf_printf(b, "*%u\r\n", argc);
    buf_append_slice(b, buf_slice(&args));
    buf_free(&args);
    buf_free(&value);
}

/* # the object, @ the field, = a number; % is left for put_command. */
static const char *const op_words[SIM_OP_KINDS] = {
    [SIM_OP_GET] = "GET reg:#",
    [SIM_OP_SET] = "SET reg:# %",
    [SIM_OP_SETNX] = "SETNX reg:# %",
    [SIM_OP_SET_NX] = "SET reg:# % NX",
    [SIM_OP_GETSET] = "SET reg:# % GET",
    [SIM_OP_DEL] = "DEL reg:#",
    [SIM_OP_INCRBY] = "INCRBY ctr:# =",
    [SIM_OP_COUNT] = "GET ctr:#",
    [SIM_OP_APPEND] = "APPEND str:# =,",
    [SIM_OP_TEXT] = "GET str:#",
    [SIM_OP_STRLEN] = "STRLEN str:#",
    [SIM_OP_HSET] = "HSET hash:# f@ %",
    [SIM_OP_HGET] = "HGET hash:# f@",
    [SIM_OP_HDEL] = "HDEL hash:# f@",
    [SIM_OP_HMGET] = "HMGET hash:# f0 f1 f2",
    [SIM_OP_MSET] = "MSET {pair:#}a % {pair:#}b %",
    [SIM_OP_MGET] = "MGET {pair:#}a {pair:#}b",
    [SIM_OP_SET_FIRST] = "SET {pair:#}a %",
};

static void put_op(const struct sim_world *w, struct buf *b, const struct sim_op *op)
{
    struct buf words = {0};

    for (const char *f = op_words[op->kind]; *f != 0; f++) {
        if (*f == '#') {
            buf_printf(&words, "%u", op->object);
        } else if (*f == '@') {
            buf_printf(&words, "%u", op->field);
        } else if (*f == '=') {
            buf_printf(&words, "%lu", op->a[0]);
        } else {
            put_u8(&words, (uint8_t)*f);
        }
    }
    put_u8(&words, 0);
    put_command(w, b, op, (const char *)words.data);
    buf_free(&words);
}

static struct sim_op *new_op(struct sim_world *w, struct sim_client *c, uint32_t object, bool last)
{
    enum sim_family family = sim_object_family(w, object);
    bool read = last || prng_chance(&c->rng, w->opt.read_percent, 100);
    struct sim_op *op = sim_history_push(&w->history);
    char token[24];

    op->client = c->id;
    op->object = object;
    op->kind = read ? pick_read(&c->rng, family, last) : pick_write(&c->rng, family);
    op->field = family == SIM_HASH ? (uint8_t)prng_below(&c->rng, 3) : 0;
    op->invoke_us = w->now_us;
    op->a[0] = (uint64_t)op->id * VALUES_PER_OP;
    op->a[1] = op->a[0] + 1;
    if (op->kind == SIM_OP_INCRBY) {
        op->a[0] = prng_between(&c->rng, 1, 3);
    } else if (op->kind == SIM_OP_APPEND) {
        op->a[0] = op->id;
        op->a[1] = (uint64_t)snprintf(token, sizeof token, "%lu,", op->a[0]);
    }
    return op;
}

static bool must_succeed(const struct sim_world *w, const struct sim_op *op)
{
    return sim_live_must_succeed(w, w->clients[op->client].host, op->invoke_us);
}

static void drop_link(struct sim_world *w, struct sim_client *c)
{
    for (uint32_t i = 0; i < c->waiting_count; i++) {
        struct sim_op *op;

        if (c->waiting[i] == UINT32_MAX) {
            continue;
        }
        op = &w->history.ops[c->waiting[i]];
        op->outcome = SIM_OP_UNKNOWN;
        if (must_succeed(w, op)) {
            sim_found(w, "op %u %s was not answered in a healthy cluster", op->id,
                      sim_op_name(op->kind));
        }
    }
    c->waiting_count = 0;
    c->link = SIM_CLIENT_IDLE;
    c->in.len = 0;
    c->tries++;
    act_in(w, c, 1 + prng_below(&c->rng, RECONNECT_US));
}

static void timeout_event(struct sim_world *w, uint64_t client, uint64_t tries)
{
    struct sim_client *c = &w->clients[client];

    if (c->tries != tries || c->link == SIM_CLIENT_IDLE) {
        return;
    }
    if (c->link == SIM_CLIENT_CONNECTED && c->waiting_count == 0) {
        return;
    }
    sim_say(w, SIM_LOG_FULL, "c%u gives up on its connection", c->id);
    sim_net_client_close(w, c->conn);
    drop_link(w, c);
}

/* Some who only read give up early and ask another node: perhaps one that sleeps. */
static uint64_t patience_us(const struct sim_world *w, bool writes)
{
    return w->phase == SIM_FAULTS && w->opt.patience_us > 0 && !writes
               ? w->opt.patience_us
               : 2 * w->opt.request_timeout_us + 3000000;
}

static void send_batch(struct sim_world *w, struct sim_client *c)
{
    uint64_t batch = prng_between(&c->rng, 1, w->opt.pipeline_max);
    struct buf out = {0};
    bool writes = false;

    for (uint64_t i = 0; i < batch; i++) {
        bool last = w->phase >= SIM_READING;
        uint64_t name = sim_name(c->id + 1, ++c->ops);
        uint32_t object;
        struct sim_op *op;

        c->rng = sim_dice(w, SIM_FOR_OP, name);
        object = (uint32_t)prng_below(&c->rng, w->opt.keys);
        if (!last && !sim_options_op_in(&w->opt, name)) {
            continue;
        }
        if (last) {
            object = c->reads_done * w->opt.clients + c->id;
            if (object >= w->opt.keys) {
                break;
            }
            c->reads_done++;
        }
        op = new_op(w, c, object, last);
        c->waiting[c->waiting_count++] = op->id - 1;
        put_op(w, &out, op);
        op->name = name;
        if (w->opt.record != NULL && !last) {
            sim_names_add(&w->opt.record->ops, name);
        }
        writes = writes || sim_op_writes(op->kind);
        sim_say(w, SIM_LOG_OPS, "c%u asks: op %u (%u.%u), %s of object %u, value %lu", c->id,
                op->id, c->id + 1, (uint32_t)name, sim_op_name(op->kind), op->object, op->a[0]);
        if (w->opt.bug == SIM_BUG_APPLY_TWICE && sim_op_writes(op->kind) &&
            prng_chance(&c->rng, 1, 50)) {
            c->waiting[c->waiting_count++] = UINT32_MAX;
            put_op(w, &out, op); /* planted: as if a lost reply had been retried */
            break;
        }
    }
    c->tries++;
    if (out.len > 0) {
        sim_in(w, patience_us(w, writes), timeout_event, c->id, c->tries);
        sim_net_client_send(w, c->conn, &out);
    } else if (w->phase < SIM_READING) { /* left out: it thinks, as if it had been answered */
        act_in(w, c, 1 + prng_below(&c->rng, 2 * w->opt.think_us));
    }
    buf_free(&out);
}

static void act_event(struct sim_world *w, uint64_t client, uint64_t unused)
{
    struct sim_client *c = &w->clients[client];

    (void)unused;
    c->acting = false;
    if (w->phase == SIM_FOUNDING || w->phase >= SIM_SETTLING) {
        return;
    }
    if (c->link == SIM_CLIENT_IDLE) {
        c->host = sim_live_host(w, &c->rng);
        c->link = SIM_CLIENT_DIALING;
        c->tries++;
        c->conn = sim_net_client_dial(w, c->id, c->host);
        sim_in(w, 3000000, timeout_event, c->id, c->tries);
    } else if (c->link == SIM_CLIENT_CONNECTED && c->waiting_count == 0) {
        send_batch(w, c);
    }
}

/* --- replies --- */

enum { REPLY_OK, REPLY_FAIL, REPLY_UNKNOWN, REPLY_WRONG };

static bool starts(struct slice s, const char *with)
{
    return s.len >= strlen(with) && memcmp(s.data, with, strlen(with)) == 0;
}

static int read_error(struct slice text)
{
    static const char *const did_not_happen[] = {"CLUSTERDOWN", "TRYAGAIN", "LOADING", "READONLY",
                                                 "MISCONF"};

    for (size_t i = 0; i < ARRAY_COUNT(did_not_happen); i++) {
        if (starts(text, did_not_happen[i])) {
            return REPLY_FAIL;
        }
    }
    return starts(text, "INDOUBT") ? REPLY_UNKNOWN : REPLY_WRONG;
}

static bool read_value(const struct sim_world *w, bool null, struct slice text, uint64_t *value)
{
    *value = 0;
    if (null) {
        return true;
    }
    *value = sim_value_get(text, w->opt.value_bytes_max);
    return *value != 0;
}

/* A token is the number of its APPEND: remember where it stands. Nothing is ever removed,
 * so it must stand there in every read. */
static bool note_place(struct sim_world *w, uint64_t token, uint64_t at)
{
    struct sim_op *append =
        token > 0 && token <= w->history.count ? &w->history.ops[token - 1] : NULL;

    if (append == NULL || append->kind != SIM_OP_APPEND) {
        return false;
    }
    if (append->place != 0 && append->place != at + 1) {
        sim_found(w, "the token of op %u was read at %lu and at %lu", append->id, append->place - 1,
                  at);
    }
    append->place = at + 1;
    return true;
}

static int read_text(struct sim_world *w, struct sim_op *op, struct slice text)
{
    uint64_t token = 0, began = 0;

    op->r[0] = 0;
    op->r[1] = text.len;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == ',') {
            if (!note_place(w, token, began)) {
                return REPLY_WRONG;
            }
            op->r[0] = sim_chain(op->r[0], token);
            token = 0;
            began = i + 1;
        } else if (text.data[i] >= '0' && text.data[i] <= '9') {
            token = token * 10 + (uint64_t)(text.data[i] - '0');
        } else {
            return REPLY_WRONG;
        }
    }
    return text.len == 0 || text.data[text.len - 1] == ',' ? REPLY_OK : REPLY_WRONG;
}

static int read_count(struct sim_op *op, const struct sim_reply *r)
{
    op->r[1] = r->kind != SIM_REPLY_NULL;
    op->r[0] = 0;
    for (size_t i = 0; i < r->text.len && r->kind == SIM_REPLY_BULK; i++) {
        if (r->text.data[i] < '0' || r->text.data[i] > '9') {
            return REPLY_WRONG;
        }
        op->r[0] = op->r[0] * 10 + (uint64_t)(r->text.data[i] - '0');
    }
    return r->kind == SIM_REPLY_NULL || r->kind == SIM_REPLY_BULK ? REPLY_OK : REPLY_WRONG;
}

static int read_items(const struct sim_world *w, struct sim_op *op, const struct sim_reply *r,
                      int64_t count)
{
    if (r->kind != SIM_REPLY_ARRAY || r->integer != count) {
        return REPLY_WRONG;
    }
    for (int64_t i = 0; i < count; i++) {
        if (!read_value(w, r->item_null[i], r->items[i], &op->r[i])) {
            return REPLY_WRONG;
        }
    }
    return REPLY_OK;
}

static int read_reply(struct sim_world *w, struct sim_op *op, const struct sim_reply *r)
{
    bool null = r->kind == SIM_REPLY_NULL;
    bool bulk = null || r->kind == SIM_REPLY_BULK;
    bool ok = r->kind == SIM_REPLY_SIMPLE && slice_eq(r->text, SLICE("OK"));

    if (r->kind == SIM_REPLY_ERROR) {
        return read_error(r->text);
    }
    switch (op->kind) {
    case SIM_OP_GET:
    case SIM_OP_GETSET:
    case SIM_OP_HGET:
        return bulk && read_value(w, null, r->text, &op->r[0]) ? REPLY_OK : REPLY_WRONG;
    case SIM_OP_SET:
    case SIM_OP_MSET:
    case SIM_OP_SET_FIRST:
        return ok ? REPLY_OK : REPLY_WRONG;
    case SIM_OP_SET_NX:
        op->r[0] = ok;
        return ok || null ? REPLY_OK : REPLY_WRONG;
    case SIM_OP_SETNX:
    case SIM_OP_DEL:
    case SIM_OP_HSET:
    case SIM_OP_HDEL:
    case SIM_OP_INCRBY:
    case SIM_OP_APPEND:
        op->r[0] = (uint64_t)r->integer;
        return r->kind == SIM_REPLY_INT ? REPLY_OK : REPLY_WRONG;
    case SIM_OP_STRLEN:
        op->r[1] = (uint64_t)r->integer;
        return r->kind == SIM_REPLY_INT ? REPLY_OK : REPLY_WRONG;
    case SIM_OP_COUNT:
        return read_count(op, r);
    case SIM_OP_TEXT:
        return bulk ? read_text(w, op, null ? (struct slice){0} : r->text) : REPLY_WRONG;
    case SIM_OP_HMGET:
        return read_items(w, op, r, 3);
    case SIM_OP_MGET:
        return read_items(w, op, r, 2);
    case SIM_OP_KINDS:
        break;
    }
    UNREACHABLE("op kind");
}

/* The answer may come from a value that has rotted: only that it was not done is believed. */
static int read_excused(const struct sim_op *op, const struct sim_reply *r)
{
    if (r->kind == SIM_REPLY_ERROR && read_error(r->text) == REPLY_FAIL) {
        return REPLY_FAIL;
    }
    return sim_op_writes(op->kind) ? REPLY_UNKNOWN : REPLY_FAIL;
}

static void op_answered(struct sim_world *w, struct sim_op *op, const struct sim_reply *r)
{
    static const char *const words[] = {"ok", "fail", "unknown", "wrong"};
    int result = sim_rot_excuses(w, op) ? read_excused(op, r) : read_reply(w, op, r);

    op->return_us = result == REPLY_UNKNOWN ? UINT64_MAX : w->now_us;
    op->outcome = result == REPLY_OK     ? SIM_OP_OK
                  : result == REPLY_FAIL ? SIM_OP_FAIL
                                         : SIM_OP_UNKNOWN;
    sim_say(w, SIM_LOG_OPS, "c%u is told: op %u, %s: %s, %lx %lu %.*s", op->client, op->id,
            sim_op_name(op->kind), words[result], op->r[0], op->r[1],
            r->text.len < 60 ? (int)r->text.len : 60, (const char *)r->text.data);
    if (result == REPLY_WRONG) {
        sim_found(w, "op %u %s object %u: reply of kind %d makes no sense: %.*s", op->id,
                  sim_op_name(op->kind), op->object, (int)r->kind,
                  r->text.len < 200 ? (int)r->text.len : 200, (const char *)r->text.data);
    } else if (result != REPLY_OK && must_succeed(w, op)) {
        sim_found(w, "op %u %s in a healthy cluster was answered -%.*s", op->id,
                  sim_op_name(op->kind), r->text.len < 200 ? (int)r->text.len : 200,
                  (const char *)r->text.data);
    }
}

void sim_client_connected(struct sim_world *w, uint32_t client, uint32_t conn)
{
    struct sim_client *c = &w->clients[client];

    if (c->link == SIM_CLIENT_DIALING && c->conn == conn) {
        c->link = SIM_CLIENT_CONNECTED;
        c->tries++;
        act_in(w, c, 1);
    }
}

void sim_client_closed(struct sim_world *w, uint32_t client, uint32_t conn)
{
    struct sim_client *c = &w->clients[client];

    if (c->link != SIM_CLIENT_IDLE && c->conn == conn) {
        drop_link(w, c);
    }
}

void sim_client_received(struct sim_world *w, uint32_t client, uint32_t conn,
                         const struct buf *data)
{
    struct sim_client *c = &w->clients[client];
    struct sim_reply r;
    size_t at = 0;
    uint32_t answered = 0;

    if (c->link != SIM_CLIENT_CONNECTED || c->conn != conn) {
        return;
    }
    buf_append_slice(&c->in, buf_slice(data));
    for (;;) {
        size_t used = sim_reply_parse((struct slice){c->in.data + at, c->in.len - at}, &r);

        if (used == 0) {
            break;
        }
        if (used == SIZE_MAX || answered == c->waiting_count) {
            sim_found(w, "c%u received bytes that are no reply to anything: %.40s", c->id,
                      (const char *)c->in.data + at);
            return;
        }
        if (c->waiting[answered] != UINT32_MAX) {
            op_answered(w, &w->history.ops[c->waiting[answered]], &r);
        }
        answered++;
        at += used;
    }
    buf_consume(&c->in, at);
    c->waiting_count -= answered;
    memmove(c->waiting, c->waiting + answered, c->waiting_count * sizeof c->waiting[0]);
    if (c->waiting_count == 0) {
        uint64_t think = w->opt.think_us;

        if (prng_chance(&c->rng, w->opt.muse_permille, 1000)) {
            think = w->opt.election_us_max; /* someone must ask a leader that has slept long */
        }
        c->tries++;
        act_in(w, c, 1 + prng_below(&c->rng, 2 * think));
    }
}
