/* The bytes clients send and understand. */
#include "base/base_hash.h"
#include "base/base_mem.h"
#include "sim/sim_client.h"

static bool line(struct slice in, size_t at, struct slice *text, size_t *next)
{
    const uint8_t *end = at < in.len ? memchr(in.data + at, '\r', in.len - at) : NULL;

    if (end == NULL || (size_t)(end - in.data) + 1 >= in.len) {
        return false;
    }
    *text = (struct slice){in.data + at, (size_t)(end - in.data) - at};
    *next = (size_t)(end - in.data) + 2;
    return true;
}

static bool number(struct slice s, int64_t *out)
{
    bool minus = s.len > 0 && s.data[0] == '-';
    uint64_t v = 0;

    if (s.len == (minus ? 1 : 0) || s.len > 20) {
        return false;
    }
    for (size_t i = minus ? 1 : 0; i < s.len; i++) {
        if (s.data[i] < '0' || s.data[i] > '9') {
            return false;
        }
        v = v * 10 + (uint64_t)(s.data[i] - '0');
    }
    *out = minus ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

/* A value that is not an array. */
static size_t scalar(struct slice in, struct sim_reply *out)
{
    struct slice text;
    size_t next;
    int64_t len;

    if (in.len == 0 || !line(in, 1, &text, &next)) {
        return 0;
    }
    *out = (struct sim_reply){.text = text};
    switch (in.data[0]) {
    case '+':
        out->kind = SIM_REPLY_SIMPLE;
        return next;
    case '-':
        out->kind = SIM_REPLY_ERROR;
        return next;
    case ':':
        out->kind = SIM_REPLY_INT;
        return number(text, &out->integer) ? next : SIZE_MAX;
    case '$':
        break;
    default:
        return SIZE_MAX;
    }
    if (!number(text, &len) || len < -1) {
        return SIZE_MAX;
    }
    if (len == -1) {
        out->kind = SIM_REPLY_NULL;
        return next;
    }
    if (in.len - next < (size_t)len + 2) {
        return 0;
    }
    out->kind = SIM_REPLY_BULK;
    out->text = (struct slice){in.data + next, (size_t)len};
    return next + (size_t)len + 2;
}

size_t sim_reply_parse(struct slice in, struct sim_reply *out)
{
    struct slice text;
    size_t at, used;
    int64_t count;

    if (in.len == 0) {
        return 0;
    }
    if (in.data[0] != '*') {
        return scalar(in, out);
    }
    if (!line(in, 1, &text, &at)) {
        return 0;
    }
    if (!number(text, &count) || count < 0 || count > 3) {
        return SIZE_MAX;
    }
    *out = (struct sim_reply){.kind = SIM_REPLY_ARRAY, .integer = count};
    for (int64_t i = 0; i < count; i++) {
        struct sim_reply item;

        used = scalar((struct slice){in.data + at, in.len - at}, &item);
        if (used == 0 || used == SIZE_MAX) {
            return used;
        }
        out->items[i] = item.text;
        out->item_null[i] = item.kind == SIM_REPLY_NULL;
        at += used;
    }
    return at;
}

void sim_value_put(struct buf *out, uint64_t value, uint32_t bytes_max)
{
    uint64_t pad = hash64_mix(value, 0xbead) % ((uint64_t)bytes_max + 1);

    /* Letters in turn, from one that depends on the value; copied, for there are many. */
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";
    enum { PERIOD = 26 };

    buf_printf(out, "v%lu.", value);
    buf_reserve(out, pad);
    for (uint64_t at = 0; at < pad; at += PERIOD) {
        buf_append(out, letters + value % PERIOD, pad - at < PERIOD ? pad - at : PERIOD);
    }
}

uint64_t sim_value_get(struct slice text, uint32_t bytes_max)
{
    struct buf want = {0};
    uint64_t value = 0;
    bool same;

    for (size_t i = 1; i < text.len && i < 20 && text.data[i] >= '0' && text.data[i] <= '9'; i++) {
        value = value * 10 + (uint64_t)(text.data[i] - '0');
    }
    sim_value_put(&want, value, bytes_max);
    same = slice_eq(text, buf_slice(&want));
    buf_free(&want);
    return same ? value : 0;
}
