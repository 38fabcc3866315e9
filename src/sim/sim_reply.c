#include "sim/sim_reply.h"

#include "base/base_mem.h"

void sim_reply_free(struct sim_reply *r)
{
    mem_free(r->parts);
    *r = (struct sim_reply){0};
}

static struct sim_part *add(struct sim_reply *r, enum sim_item_kind kind)
{
    MEM_GROW(r->parts, r->count, r->cap);
    r->parts[r->count] = (struct sim_part){.kind = kind};
    return &r->parts[r->count++];
}

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

/* $ and =: a length, then that many bytes. */
static size_t bulk(struct slice in, size_t at, int64_t len, struct sim_reply *out)
{
    bool verbatim = in.data[at] == '=';
    struct slice text;
    size_t next;

    if (!line(in, at + 1, &text, &next)) {
        return 0; /* its length was read from a whole line: not reached */
    }
    if (len == -1 && !verbatim) {
        (void)add(out, SIM_ITEM_NULL);
        return next;
    }
    if (len < (verbatim ? 4 : 0)) {
        return SIZE_MAX;
    }
    if (in.len - next < (size_t)len + 2) {
        return 0;
    }
    text = (struct slice){in.data + next + (verbatim ? 4 : 0), (size_t)len - (verbatim ? 4 : 0)};
    add(out, SIM_ITEM_BULK)->text = text;
    return next + (size_t)len + 2;
}

/* One value without what it holds; *holds: how many follow. Returns the next position. */
static size_t value(struct slice in, size_t at, struct sim_reply *out, uint64_t *holds)
{
    uint8_t kind = in.data[at];
    struct slice text;
    size_t next;
    int64_t n = 0;

    *holds = 0;
    if (!line(in, at + 1, &text, &next)) {
        return 0;
    }
    if (kind == '+' || kind == '-' || kind == ',') {
        add(out, (enum sim_item_kind)kind)->text = text;
        return next;
    }
    if (kind == '_' || kind == '#') {
        add(out, (enum sim_item_kind)kind)->n = text.len > 0 && text.data[0] == 't';
        return next;
    }
    if (memchr(":$=*~>%", kind, 7) == NULL || !number(text, &n)) {
        return SIZE_MAX;
    }
    if (kind == '$' || kind == '=') {
        return bulk(in, at, n, out);
    }
    if (kind == ':') {
        add(out, SIM_ITEM_INT)->n = n;
        return next;
    }
    if (n == -1 && kind == '*') {
        (void)add(out, SIM_ITEM_NULL);
        return next;
    }
    if (n < 0 || n > INT32_MAX) {
        return SIZE_MAX;
    }
    add(out, kind == '>' ? SIM_ITEM_ARRAY : (enum sim_item_kind)kind)->n = n;
    *holds = kind == '%' ? 2 * (uint64_t)n : (uint64_t)n;
    return next;
}

size_t sim_reply_parse(struct slice in, struct sim_reply *out)
{
    uint64_t left = 1;
    size_t at = 0;

    out->count = 0;
    while (left > 0) {
        uint64_t holds;
        size_t next = at < in.len ? value(in, at, out, &holds) : 0;

        if (next == 0 || next == SIZE_MAX) {
            return next;
        }
        at = next;
        left += holds - 1;
    }
    return at;
}
