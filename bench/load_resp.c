#include "load.h"

#include <stdio.h>
#include <sys/types.h>

static void put_arg(struct buf *b, struct slice s)
{
    char head[24];
    size_t at = sizeof head - 2, len = s.len;

    memcpy(head + at, "\r\n", 2);
    do {
        head[--at] = (char)('0' + len % 10);
        len /= 10;
    } while (len > 0);
    head[--at] = '$';
    buf_append(b, head + at, sizeof head - at);
    buf_append_slice(b, s);
    buf_append(b, "\r\n", 2);
}

static void put_op(struct load *l, struct buf *b)
{
    struct slice value = {l->value, l->opt.value_bytes};
    struct slice key = load_key(l);

    switch (l->opt.mode) {
    case LOAD_SET:
        buf_append(b, "*3\r\n$3\r\nSET\r\n", 13);
        put_arg(b, key);
        put_arg(b, value);
        break;
    case LOAD_GET:
    case LOAD_GET_SERIALIZABLE:
        buf_append(b, "*2\r\n$3\r\nGET\r\n", 13);
        put_arg(b, key);
        break;
    case LOAD_INCR:
        buf_append(b, "*2\r\n$4\r\nINCR\r\n", 14);
        put_arg(b, key);
        break;
    case LOAD_HSET:
        buf_append(b, "*4\r\n$4\r\nHSET\r\n$6\r\nmyhash\r\n", 26);
        put_arg(b, key);
        put_arg(b, value);
        break;
    }
}

void load_resp_batch(struct load *l, struct load_conn *c, uint32_t ops)
{
    for (uint32_t i = 0; i < ops; i++) {
        put_op(l, &c->out);
        if (l->opt.wait == LOAD_WAIT_EACH || (l->opt.wait == LOAD_WAIT_BATCH && i + 1 == ops)) {
            char ms[16];
            int len = snprintf(ms, sizeof ms, "%u", l->opt.wait_ms);

            buf_printf(&c->out, "*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$%d\r\n%s\r\n", len, ms);
            c->replies_left++;
        }
        c->replies_left++;
    }
}

/* The length of the reply at the front, 0 while it is not complete, -1 if it is none.
 * Only the simple kinds: what is asked for has no nested answers. */
static ssize_t reply_bytes(struct slice in)
{
    const uint8_t *end = in.len == 0 ? NULL : memchr(in.data, '\n', in.len);
    size_t line = end == NULL ? 0 : (size_t)(end - in.data) + 1;
    size_t len = 0;

    if (line == 0) {
        return 0;
    }
    if (in.data[0] != '$') {
        return strchr("+-:_", in.data[0]) != NULL ? (ssize_t)line : -1;
    }
    if (in.data[1] == '-') {
        return (ssize_t)line;
    }
    for (size_t i = 1; i + 2 < line; i++) {
        len = len * 10 + (size_t)(in.data[i] - '0');
    }
    return in.len < line + len + 2 ? 0 : (ssize_t)(line + len + 2);
}

/* Is reply number `left` from the end of a batch that of a WAIT? */
static bool is_wait(const struct load *l, uint32_t left)
{
    switch (l->opt.wait) {
    case LOAD_WAIT_NONE:
        return false;
    case LOAD_WAIT_EACH:
        return left % 2 == 1;
    case LOAD_WAIT_BATCH:
        return left == 1;
    }
    return false;
}

static void take_reply(struct load *l, struct load_conn *c, struct slice reply)
{
    bool ok = reply.data[0] != '-';
    bool of_wait = is_wait(l, c->replies_left);

    c->replies_left--;
    if (l->opt.wait == LOAD_WAIT_NONE) {
        load_done(l, c, ok, reply);
        return;
    }
    if (!of_wait) {
        if (!ok) {
            load_done(l, c, false, reply); /* counts now; its WAIT answers for one fewer */
        }
        return;
    }
    ok = reply.data[0] == ':' && reply.data[1] != '0';
    /* A WAIT acknowledges what precedes it: its own write, or all of the batch. */
    for (uint32_t n = l->opt.wait == LOAD_WAIT_EACH ? 1 : c->ops_waiting;
         n > 0 && c->ops_waiting > 0; n--) {
        load_done(l, c, ok, reply);
    }
}

bool load_resp_take(struct load *l, struct load_conn *c)
{
    size_t at = 0;

    while (c->replies_left > 0) {
        struct slice in = {c->in.data + at, c->in.len - at};
        ssize_t len = reply_bytes(in);

        if (len < 0) {
            return false;
        }
        if (len == 0) {
            break;
        }
        take_reply(l, c, (struct slice){in.data, (size_t)len});
        at += (size_t)len;
    }
    buf_consume(&c->in, at);
    return true;
}
