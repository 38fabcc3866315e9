/* Commands that concern every partition: asked of each, the answers combined. */
#include "node/node_internal.h"

#include "base/base_mem.h"

#include <stdio.h>
#include <stdlib.h>

void node_fanout_free(struct fanout *f)
{
    buf_free(&f->items);
    buf_free(&f->error);
    mem_free(f->order);
    mem_free(f);
}

static enum fanout_kind kind_of(const struct cmd *cmd)
{
    /* The few rows flagged CMD_FANOUT; all others never come here. */
    if (cmd->id == CMD_ID_DBSIZE) {
        return FANOUT_SUM;
    }
    if (cmd->id == CMD_ID_KEYS) {
        return FANOUT_CONCAT;
    }
    if (cmd->id == CMD_ID_RANDOMKEY) {
        return FANOUT_FIRST;
    }
    if (cmd->id == CMD_ID_SCAN) {
        return FANOUT_SCAN;
    }
    return FANOUT_OK;
}

static void ask(struct node *n, struct request *parent, uint32_t partition, uint32_t argc,
                const struct slice *argv)
{
    struct request *child = node_request_new(n, REQUEST_CHILD, parent->cmd, partition);

    child->parent = parent;
    child->proto = parent->proto;
    child->after_writes = parent->after_writes;
    node_route(n, child, argc, argv);
}

static void finish(struct node *n, struct request *parent)
{
    struct fanout *f = parent->fanout;
    struct resp_writer w = node_request_writer(n, parent);

    if (f->error.len > 0 && f->kind == FANOUT_OK && f->sum > 0) {
        /* The partition's own words, that nothing was done, are not true of the whole. */
        SOMETIMES(true, "node_fanout: done by some partitions only");
        CHECK(f->error.len > 3); /* "-text\r\n" */
        resp_put_errorf(&w, "INDOUBT some partitions did it, others may not have: %.*s",
                        (int)f->error.len - 3, (const char *)f->error.data + 1);
        node_request_replied(n, parent);
        return;
    }
    if (f->error.len > 0) {
        resp_put_raw(&w, buf_slice(&f->error));
        node_request_replied(n, parent);
        return;
    }
    switch (f->kind) {
    case FANOUT_SUM:
        resp_put_int(&w, f->sum);
        break;
    case FANOUT_OK:
        resp_put_simple(&w, "OK");
        break;
    case FANOUT_CONCAT:
        resp_put_array(&w, f->count);
        resp_put_raw(&w, buf_slice(&f->items));
        break;
    case FANOUT_FIRST:
    case FANOUT_SCAN:
        resp_put_raw(&w, buf_slice(&f->items));
        break;
    }
    node_request_replied(n, parent);
}

/* SCAN's cursor carries the partition in its low bits: cursor * P + partition. */
static bool scan_start(struct node *n, struct request *parent, uint32_t argc,
                       const struct slice *argv)
{
    struct fanout *f = parent->fanout;
    struct slice rewritten[16], *args = rewritten;
    char text[STORE_INT_TEXT_MAX], cursor_text[STORE_INT_TEXT_MAX + 1];
    unsigned long long cursor;
    char *end;
    int len;

    if (argv[1].len == 0 || argv[1].len >= sizeof cursor_text) {
        goto bad;
    }
    memcpy(cursor_text, argv[1].data, argv[1].len);
    cursor_text[argv[1].len] = 0;
    cursor = strtoull(cursor_text, &end, 10);
    if (*end != 0 || cursor_text[0] < '0' || cursor_text[0] > '9') {
        goto bad;
    }
    f->partition = (uint32_t)(cursor % n->map.partitions);
    len = snprintf(text, sizeof text, "%llu", cursor / n->map.partitions);
    if (argc > ARRAY_COUNT(rewritten)) {
        args = mem_alloc(argc * sizeof *args);
    }
    memcpy(args, argv, argc * sizeof *args);
    args[1] = (struct slice){(const uint8_t *)text, (size_t)len};
    f->left = 1;
    ask(n, parent, f->partition, argc, args);
    if (args != rewritten) {
        mem_free(args);
    }
    return true;
bad:
    node_request_error(n, parent, "ERR invalid cursor");
    return false;
}

/* [cursor, keys] of one partition: translate the cursor; after its end comes the
 * next partition's beginning. */
static void scan_reply(struct node *n, struct fanout *f, struct slice reply, uint8_t proto)
{
    struct resp_item outer, cursor;
    size_t used, more;
    struct diag why;
    char text[STORE_INT_TEXT_MAX];
    unsigned long long at = 0, next;
    struct resp_writer w = {.out = &f->items, .proto = proto};

    CHECK(resp_item_next(reply.data, reply.len, &outer, &used, &why) == RESP_DONE);
    CHECK(outer.kind == RESP_ITEM_ARRAY && outer.count == 2);
    CHECK(resp_item_next(reply.data + used, reply.len - used, &cursor, &more, &why) == RESP_DONE);
    for (size_t i = 0; i < cursor.text.len; i++) {
        at = at * 10 + (cursor.text.data[i] - '0');
    }
    if (at != 0) {
        next = at * n->map.partitions + f->partition;
    } else {
        next = f->partition + 1 < n->map.partitions ? f->partition + 1 : 0;
    }
    (void)snprintf(text, sizeof text, "%llu", next);
    resp_put_array(&w, 2);
    resp_put_bulk_str(&w, text);
    resp_put_raw(&w, (struct slice){reply.data + used + more, reply.len - used - more});
}

static void first_start(struct node *n, struct request *parent, uint32_t argc,
                        const struct slice *argv)
{
    struct fanout *f = parent->fanout;

    f->order_count = n->map.partitions;
    f->order = mem_alloc(f->order_count * sizeof f->order[0]);
    for (uint32_t i = 0; i < f->order_count; i++) {
        uint32_t j = (uint32_t)prng_below(&n->rng, i + 1);

        f->order[i] = f->order[j];
        f->order[j] = i;
    }
    f->left = 1;
    parent->command.len = 0;
    cmd_encode(&parent->command, parent->cmd, argc, argv);
    ask(n, parent, f->order[f->order_at++], argc, argv);
}

/* Empty: ask the next partition, until none is left. */
static bool first_goes_on(struct node *n, struct request *parent, struct slice reply)
{
    struct fanout *f = parent->fanout;
    bool empty = reply.len > 0 && (reply.data[0] == '_' ||
                                   (reply.len > 1 && reply.data[0] == '$' && reply.data[1] == '-'));

    if (empty && f->order_at < f->order_count) {
        struct cmd_decoded d;

        CHECK(cmd_decode(buf_slice(&parent->command), &d) == ERR_OK);
        ask(n, parent, f->order[f->order_at++], d.argc, d.argv);
        cmd_decoded_free(&d);
        return true;
    }
    buf_append_slice(&f->items, reply);
    return false;
}

void node_fanout_start(struct node *n, struct request *parent, uint32_t argc,
                       const struct slice *argv)
{
    struct fanout *f = MEM_NEW(struct fanout);

    parent->fanout = f;
    f->kind = kind_of(parent->cmd);
    if (f->kind == FANOUT_SCAN) {
        (void)scan_start(n, parent, argc, argv);
        return;
    }
    if (f->kind == FANOUT_FIRST) {
        first_start(n, parent, argc, argv);
        return;
    }
    f->left = n->map.partitions;
    for (uint32_t p = 0; p < n->map.partitions; p++) {
        ask(n, parent, p, argc, argv);
    }
}

static void concat(struct fanout *f, struct slice reply)
{
    struct resp_item head;
    struct diag why;
    size_t used;

    CHECK(resp_item_next(reply.data, reply.len, &head, &used, &why) == RESP_DONE);
    CHECK(head.kind == RESP_ITEM_ARRAY);
    f->count += head.count;
    buf_append(&f->items, reply.data + used, reply.len - used);
}

/* Another node sent it: judged before it is taken apart. */
static bool reply_fits(const struct fanout *f, struct slice reply)
{
    struct resp_item head, cursor;
    struct diag why;
    size_t whole, used;

    if (reply.len == 0 || resp_value_bytes(reply.data, reply.len, &whole, &why) != RESP_DONE ||
        whole != reply.len ||
        resp_item_next(reply.data, reply.len, &head, &used, &why) != RESP_DONE) {
        return false;
    }
    if (head.kind == RESP_ITEM_ERROR) {
        return true;
    }
    switch (f->kind) {
    case FANOUT_SUM:
        return head.kind == RESP_ITEM_INT;
    case FANOUT_CONCAT:
        return head.kind == RESP_ITEM_ARRAY;
    case FANOUT_SCAN:
        if (head.kind != RESP_ITEM_ARRAY || head.count != 2 ||
            resp_item_next(reply.data + used, reply.len - used, &cursor, &used, &why) !=
                RESP_DONE) {
            return false;
        }
        for (size_t i = 0; i < cursor.text.len; i++) {
            if (cursor.text.data[i] < '0' || cursor.text.data[i] > '9') {
                return false;
            }
        }
        return cursor.kind == RESP_ITEM_BULK && cursor.text.len < STORE_INT_TEXT_MAX;
    case FANOUT_OK:
    case FANOUT_FIRST:
        return true;
    }
    UNREACHABLE("fanout kind");
}

static bool in_doubt(struct slice reply)
{
    static const char text[] = "-INDOUBT ";

    return reply.len > sizeof text - 1 && memcmp(reply.data, text, sizeof text - 1) == 0;
}

void node_fanout_child(struct node *n, struct request *child, struct slice reply)
{
    struct request *parent = child->parent;
    struct fanout *f = parent->fanout;

    CHECK(f != NULL && f->left > 0);
    if (!reply_fits(f, reply)) {
        reply = SLICE("-INDOUBT a partition gave an answer that cannot be read\r\n");
    }
    if (f->kind == FANOUT_OK && (reply.data[0] != '-' || in_doubt(reply))) {
        f->sum++; /* it happened there, or may have */
    }
    if (reply.data[0] == '-') {
        if (f->error.len == 0) {
            buf_append_slice(&f->error, reply);
        }
    } else if (f->kind == FANOUT_SUM) {
        struct resp_item item;
        struct diag why;
        size_t used;

        CHECK(resp_item_next(reply.data, reply.len, &item, &used, &why) == RESP_DONE);
        f->sum += item.integer;
    } else if (f->kind == FANOUT_CONCAT) {
        concat(f, reply);
    } else if (f->kind == FANOUT_SCAN) {
        scan_reply(n, f, reply, parent->proto);
    } else if (f->kind == FANOUT_FIRST && first_goes_on(n, parent, reply)) {
        return;
    }
    if (--f->left == 0) {
        finish(n, parent);
    }
}
