/* resp_item.c - any RESP2 or RESP3 value, token by token. */
#include "resp/resp.h"

#include <math.h>
#include <stdlib.h>

enum {
    RESP_ITEM_LINE_MAX = 64 << 10,
    RESP_ITEM_BULK_MAX = 512 << 20,
    RESP_ITEM_REAL_MAX = 64, /* digits of a double; Redis never sends half of it */
};

static enum resp_status resp_item_bad(struct diag *why, const char *what)
{
    diag_set(why, "ERR Protocol error: %s", what);
    return RESP_BAD;
}

/* The rest of the line behind the kind byte; *used includes the line end. */
static enum resp_status resp_item_line(const uint8_t *data, size_t len, struct slice *line,
                                       size_t *used, struct diag *why)
{
    size_t to = len <= RESP_ITEM_LINE_MAX ? len : RESP_ITEM_LINE_MAX + 1;
    const uint8_t *cr = to > 1 ? memchr(data + 1, '\r', to - 1) : NULL;
    size_t at;

    if (cr == NULL) {
        return len > RESP_ITEM_LINE_MAX ? resp_item_bad(why, "too big reply line") : RESP_MORE;
    }
    at = (size_t)(cr - data);
    if (at + 1 >= len) {
        return RESP_MORE;
    }
    if (data[at + 1] != '\n') {
        return resp_item_bad(why, "expected line end in reply");
    }
    *line = (struct slice){data + 1, at - 1};
    *used = at + 2;
    return RESP_DONE;
}

static bool resp_item_real(struct slice text, double *value)
{
    char copy[RESP_ITEM_REAL_MAX + 1];
    char *end;

    if (slice_eq(text, SLICE("inf")) || slice_eq(text, SLICE("-inf"))) {
        *value = text.data[0] == '-' ? -INFINITY : INFINITY;
        return true;
    }
    if (slice_eq(text, SLICE("nan"))) {
        *value = NAN;
        return true;
    }
    if (text.len == 0 || text.len > RESP_ITEM_REAL_MAX) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];

        if (!((c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E')) {
            return false; /* keeps strtod from hexadecimal, names and spaces */
        }
        copy[i] = (char)c;
    }
    copy[text.len] = '\0';
    *value = strtod(copy, &end);
    return end == copy + text.len;
}

static bool resp_item_bignum_ok(struct slice text)
{
    size_t from = text.len > 0 && (text.data[0] == '-' || text.data[0] == '+') ? 1 : 0;

    for (size_t i = from; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
    }
    return text.len > from;
}

/* A value that fits on its line. */
static enum resp_status resp_item_scalar(uint8_t kind, struct slice line, struct resp_item *item,
                                         struct diag *why)
{
    item->text = line;
    switch (kind) {
    case '+':
        item->kind = RESP_ITEM_SIMPLE;
        return RESP_DONE;
    case '-':
        item->kind = RESP_ITEM_ERROR;
        return RESP_DONE;
    case ':':
        item->kind = RESP_ITEM_INT;
        return resp_parse_int(line, &item->integer) ? RESP_DONE
                                                    : resp_item_bad(why, "invalid integer");
    case '_':
        item->kind = RESP_ITEM_NULL;
        return line.len == 0 ? RESP_DONE : resp_item_bad(why, "invalid null");
    case ',':
        item->kind = RESP_ITEM_DOUBLE;
        return resp_item_real(line, &item->real) ? RESP_DONE : resp_item_bad(why, "invalid double");
    case '#':
        item->kind = RESP_ITEM_BOOL;
        item->integer = slice_eq(line, SLICE("t")) ? 1 : 0;
        return item->integer == 1 || slice_eq(line, SLICE("f"))
                   ? RESP_DONE
                   : resp_item_bad(why, "invalid boolean");
    case '(':
        item->kind = RESP_ITEM_BIGNUM;
        return resp_item_bignum_ok(line) ? RESP_DONE : resp_item_bad(why, "invalid big number");
    default:
        return resp_item_bad(why, "unknown kind of reply");
    }
}

/* $, ! and =: a length, then that many bytes and a line end. */
static enum resp_status resp_item_bulk(const uint8_t *data, size_t len, struct resp_item *item,
                                       size_t *used, struct diag *why)
{
    struct slice line;
    size_t at;
    int64_t bytes;
    enum resp_status status = resp_item_line(data, len, &line, &at, why);

    if (status != RESP_DONE) {
        return status;
    }
    if (data[0] == '$' && slice_eq(line, SLICE("-1"))) {
        item->kind = RESP_ITEM_NULL;
        *used = at;
        return RESP_DONE;
    }
    if (!resp_parse_int(line, &bytes) || bytes < 0 || bytes > RESP_ITEM_BULK_MAX ||
        (data[0] == '=' && bytes < 4)) {
        return resp_item_bad(why, "invalid bulk length");
    }
    if (len - at < (size_t)bytes + 2) {
        return RESP_MORE;
    }
    if (data[at + (size_t)bytes] != '\r' || data[at + (size_t)bytes + 1] != '\n') {
        return resp_item_bad(why, "expected line end after bulk string");
    }
    item->text = (struct slice){data + at, (size_t)bytes};
    *used = at + (size_t)bytes + 2;
    if (data[0] == '=') {
        item->kind = RESP_ITEM_VERBATIM;
        if (item->text.data[3] != ':') {
            return resp_item_bad(why, "invalid verbatim string");
        }
        item->text = (struct slice){item->text.data + 4, item->text.len - 4};
    } else {
        item->kind = data[0] == '!' ? RESP_ITEM_ERROR : RESP_ITEM_BULK;
    }
    return RESP_DONE;
}

static enum resp_status resp_item_aggregate(enum resp_item_kind kind, struct slice line,
                                            struct resp_item *item, struct diag *why)
{
    int64_t count;

    item->kind = kind;
    if (kind == RESP_ITEM_ARRAY && slice_eq(line, SLICE("-1"))) {
        item->kind = RESP_ITEM_NULL;
        return RESP_DONE;
    }
    if (!resp_parse_int(line, &count) || count < 0 || count > INT32_MAX) {
        return resp_item_bad(why, "invalid multibulk length");
    }
    item->count = (size_t)count;
    return RESP_DONE;
}

enum resp_status resp_item_next(const uint8_t *data, size_t len, struct resp_item *item,
                                size_t *used, struct diag *why)
{
    struct slice line;
    enum resp_status status;

    *item = (struct resp_item){0};
    if (len == 0) {
        return RESP_MORE;
    }
    if (data[0] == '$' || data[0] == '!' || data[0] == '=') {
        return resp_item_bulk(data, len, item, used, why);
    }
    if (memchr("+-:_,#(*%~>|", data[0], 12) == NULL) {
        return resp_item_bad(why, "unknown kind of reply");
    }
    status = resp_item_line(data, len, &line, used, why);
    if (status != RESP_DONE) {
        return status;
    }
    switch (data[0]) {
    case '*':
        return resp_item_aggregate(RESP_ITEM_ARRAY, line, item, why);
    case '%':
        return resp_item_aggregate(RESP_ITEM_MAP, line, item, why);
    case '~':
        return resp_item_aggregate(RESP_ITEM_SET, line, item, why);
    case '>':
        return resp_item_aggregate(RESP_ITEM_PUSH, line, item, why);
    case '|':
        return resp_item_aggregate(RESP_ITEM_ATTRIBUTE, line, item, why);
    default:
        return resp_item_scalar(data[0], line, item, why);
    }
}

/* How many tokens of the next level follow the head of an aggregate. */
static size_t resp_item_children(const struct resp_item *item)
{
    switch (item->kind) {
    case RESP_ITEM_ARRAY:
    case RESP_ITEM_SET:
    case RESP_ITEM_PUSH:
        return item->count;
    case RESP_ITEM_MAP:
    case RESP_ITEM_ATTRIBUTE:
        return 2 * item->count;
    case RESP_ITEM_SIMPLE:
    case RESP_ITEM_ERROR:
    case RESP_ITEM_INT:
    case RESP_ITEM_BULK:
    case RESP_ITEM_NULL:
    case RESP_ITEM_DOUBLE:
    case RESP_ITEM_BOOL:
    case RESP_ITEM_BIGNUM:
    case RESP_ITEM_VERBATIM:
        return 0;
    }
    UNREACHABLE("every kind is named above");
}

enum resp_status resp_value_bytes(const uint8_t *data, size_t len, size_t *used, struct diag *why)
{
    size_t left[RESP_NESTING_MAX + 1] = {1}; /* values still to come, level by level */
    size_t depth = 0;
    size_t at = 0;

    for (;;) {
        struct resp_item item;
        size_t bytes;
        size_t children;
        enum resp_status status = resp_item_next(data + at, len - at, &item, &bytes, why);

        if (status != RESP_DONE) {
            return status;
        }
        CHECK(bytes > 0 && bytes <= len - at);
        at += bytes;
        if (item.kind != RESP_ITEM_ATTRIBUTE) { /* an attribute only precedes a value */
            left[depth]--;
        }
        children = resp_item_children(&item);
        if (children > 0) {
            if (depth == RESP_NESTING_MAX) {
                return resp_item_bad(why, "reply is nested too deeply");
            }
            left[++depth] = children;
        }
        while (left[depth] == 0) {
            if (depth == 0) {
                *used = at;
                return RESP_DONE;
            }
            depth--;
        }
    }
}
