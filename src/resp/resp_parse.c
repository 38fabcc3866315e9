/* resp_parse.c - requests: arrays of bulk strings, and inline commands.
 *
 * The common case, a whole command of small arguments in one piece, runs through
 * resp_parse() with one short loop per argument. Anything unusual (a cut, a long
 * number, an error) leaves that path for the slow functions, which decide alike
 * however the bytes were cut.
 */
#include "resp/resp.h"

#include "base/base_mem.h"

enum {
    RESP_ARGS_KEPT = 1024, /* arrays larger than this are given back after use */
    RESP_ARGS_FIRST = 16,
    RESP_SHORT_DIGITS = 9, /* counts of the fast path; cannot overflow 32 bits */
};

void resp_parser_init(struct resp_parser *p, struct resp_limits limits)
{
    CHECK(limits.inline_bytes_max > 0);
    CHECK(limits.args_max > 0);
    *p = (struct resp_parser){.limits = limits};
}

void resp_parser_free(struct resp_parser *p)
{
    mem_free(p->spans);
    mem_free(p->argv);
    buf_free(&p->scratch);
    *p = (struct resp_parser){.limits = p->limits};
}

/* The next call starts a new command. The arrays stay: argv was just handed out. */
static void resp_parser_reset(struct resp_parser *p)
{
    p->at = 0;
    p->scanned = 0;
    p->argc = 0;
    p->want = 0;
    p->bulk_len = 0;
    p->multibulk = false;
    p->in_bulk = false;
}

static void resp_parser_resize(struct resp_parser *p, size_t cap)
{
    p->spans = mem_realloc(p->spans, cap * sizeof(*p->spans));
    p->argv = mem_realloc(p->argv, cap * sizeof(*p->argv));
    p->cap = cap;
}

/* Room for one more argument. Grows with the arguments that came, never with the
 * number that was announced. */
static inline void resp_parser_room(struct resp_parser *p, uint32_t argc)
{
    if (UNLIKELY(argc >= p->cap)) {
        resp_parser_resize(p, p->cap == 0 ? RESP_ARGS_FIRST : p->cap * 2);
    }
}

static enum resp_status resp_bad(struct resp_parser *p, struct diag *why, const char *what)
{
    diag_set(why, "ERR Protocol error: %s", what);
    resp_parser_reset(p);
    return RESP_BAD;
}

bool resp_parse_int(struct slice text, int64_t *value)
{
    const uint8_t *pos = text.data;
    const uint8_t *end = text.data + text.len;
    bool negative = false;
    uint64_t v = 0;

    if (text.len == 0 || text.len > 20) {
        return false;
    }
    if (*pos == '-') {
        negative = true;
        pos++;
    }
    if (pos == end || (*pos == '0' && (negative || text.len > 1))) {
        return false; /* one spelling per number: no "-0", no "007" */
    }
    for (; pos < end; pos++) {
        unsigned digit = (unsigned)*pos - '0';

        if (digit > 9 || v > (UINT64_MAX - digit) / 10) {
            return false;
        }
        v = v * 10 + digit;
    }
    if (v > (uint64_t)INT64_MAX + (negative ? 1 : 0)) {
        return false;
    }
    *value = (int64_t)(negative ? 0 - v : v);
    return true;
}

/* "<digits>\r\n" in its usual short form; returns what follows it, or NULL: ask the
 * slow path. */
static inline const uint8_t *resp_short_count(const uint8_t *pos, const uint8_t *end, size_t *value)
{
    const uint8_t *first = pos;
    uint32_t v;
    unsigned digit;

    if (end - pos < 3) {
        return NULL;
    }
    v = (uint32_t)pos[0] - '0';
    if (v > 9) {
        return NULL;
    }
    for (pos++; pos < end && (digit = (unsigned)*pos - '0') <= 9; pos++) {
        if (v == 0 || pos - first >= RESP_SHORT_DIGITS) {
            return NULL;
        }
        v = v * 10 + digit;
    }
    if (end - pos < 2 || pos[0] != '\r' || pos[1] != '\n') {
        return NULL;
    }
    *value = v;
    return pos + 2;
}

/* The line at p->at, without its line end, which p->at then is behind. */
static enum resp_status resp_line(struct resp_parser *p, const uint8_t *data, size_t len,
                                  struct slice *line)
{
    size_t from = p->scanned > p->at ? p->scanned : p->at;
    size_t last = p->at + p->limits.inline_bytes_max; /* the '\r' may not be behind it */
    size_t to = len <= last ? len : last + 1;
    const uint8_t *cr = from < to ? memchr(data + from, '\r', to - from) : NULL;
    size_t at;

    if (cr == NULL) {
        p->scanned = to;
        return len > last ? RESP_BAD : RESP_MORE;
    }
    at = (size_t)(cr - data);
    if (at + 1 >= len) {
        p->scanned = at;
        return RESP_MORE;
    }
    *line = (struct slice){data + p->at, at - p->at};
    p->at = at + 2;
    return RESP_DONE;
}

/* Line end complete? resp_line() steps over two bytes; here is the second. */
static bool resp_line_ended(const struct resp_parser *p, const uint8_t *data)
{
    return data[p->at - 1] == '\n';
}

/* "*n": how many arguments follow. */
static enum resp_status resp_array_header(struct resp_parser *p, const uint8_t *data, size_t len,
                                          struct diag *why)
{
    struct slice line;
    int64_t count;
    enum resp_status status = resp_line(p, data, len, &line);

    if (status == RESP_BAD) {
        return resp_bad(p, why, "too big mbulk count string");
    }
    if (status == RESP_MORE) {
        return RESP_MORE;
    }
    line = (struct slice){line.data + 1, line.len - 1};
    if (!resp_line_ended(p, data) || !resp_parse_int(line, &count) ||
        count > (int64_t)p->limits.args_max) {
        return resp_bad(p, why, "invalid multibulk length");
    }
    p->want = count > 0 ? (uint32_t)count : 0;
    p->multibulk = true;
    return RESP_DONE;
}

/* "$n": how long the next argument is. */
static enum resp_status resp_bulk_header(struct resp_parser *p, const uint8_t *data, size_t len,
                                         struct diag *why)
{
    struct slice line;
    int64_t bytes;
    enum resp_status status;

    if (p->at >= len) {
        return RESP_MORE;
    }
    if (data[p->at] != '$') {
        uint8_t got = data[p->at];

        /* Redis blanks line ends in errors; a zero would end our text. */
        diag_set(why, "ERR Protocol error: expected '$', got '%c'",
                 got == '\r' || got == '\n' || got == 0 ? ' ' : got);
        resp_parser_reset(p);
        return RESP_BAD;
    }
    status = resp_line(p, data, len, &line);
    if (status == RESP_BAD) {
        return resp_bad(p, why, "too big bulk count string");
    }
    if (status == RESP_MORE) {
        return RESP_MORE;
    }
    line = (struct slice){line.data + 1, line.len - 1};
    if (!resp_line_ended(p, data) || !resp_parse_int(line, &bytes) || bytes < 0 ||
        (uint64_t)bytes > p->limits.bulk_bytes_max) {
        return resp_bad(p, why, "invalid bulk length");
    }
    p->bulk_len = (size_t)bytes;
    return RESP_DONE;
}

/* --- inline commands --------------------------------------------------------- */

static int resp_hex(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool resp_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* What a backslash escape inside double quotes stands for; pos is at the backslash
 * and is left on the last byte of the escape. */
static uint8_t resp_unescape(const uint8_t **pos, const uint8_t *end)
{
    const uint8_t *p = *pos;

    if (end - p >= 4 && p[1] == 'x' && resp_hex(p[2]) >= 0 && resp_hex(p[3]) >= 0) {
        *pos = p + 3;
        return (uint8_t)(resp_hex(p[2]) * 16 + resp_hex(p[3]));
    }
    *pos = p + 1;
    switch (p[1]) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'b':
        return '\b';
    case 'a':
        return '\a';
    default:
        return p[1];
    }
}

/* A quoted piece, from behind its opening quote; appended to scratch. Returns what
 * follows the closing quote, or NULL: there is none, or text sticks to it. */
static const uint8_t *resp_quoted(struct buf *scratch, const uint8_t *pos, const uint8_t *end,
                                  uint8_t quote)
{
    for (; pos < end; pos++) {
        if (*pos == quote) {
            return pos + 1 == end || resp_space(pos[1]) ? pos + 1 : NULL;
        }
        if (*pos == '\\' && quote == '"' && end - pos >= 2) {
            put_u8(scratch, resp_unescape(&pos, end));
        } else if (*pos == '\\' && quote == '\'' && end - pos >= 2 && pos[1] == '\'') {
            put_u8(scratch, '\'');
            pos++;
        } else {
            put_u8(scratch, *pos);
        }
    }
    return NULL;
}

/* One argument of an inline line, unquoted into scratch. NULL: unbalanced quotes. */
static const uint8_t *resp_inline_arg(struct buf *scratch, const uint8_t *pos, const uint8_t *end)
{
    while (pos < end) {
        uint8_t c = *pos;

        if (c == ' ' || c == '\n' || c == '\r' || c == '\t') {
            return pos;
        }
        if (c == '"' || c == '\'') {
            return resp_quoted(scratch, pos + 1, end, c); /* a closing quote ends the argument */
        }
        put_u8(scratch, c);
        pos++;
    }
    return pos;
}

static enum resp_status resp_inline(struct resp_parser *p, const uint8_t *data, size_t len,
                                    struct resp_command *out, struct diag *why)
{
    size_t last = p->limits.inline_bytes_max;
    size_t to = len <= last ? len : last + 1;
    const uint8_t *nl = p->scanned < to ? memchr(data + p->scanned, '\n', to - p->scanned) : NULL;
    const uint8_t *pos = data;
    const uint8_t *end = nl;
    uint32_t argc = 0;

    if (nl == NULL) {
        p->scanned = to;
        return len > last ? resp_bad(p, why, "too big inline request") : RESP_MORE;
    }
    if (end > data && end[-1] == '\r') {
        end--;
    }
    p->scratch.len = 0;
    buf_reserve(&p->scratch, 1); /* so that even an empty argument has an address */
    for (;;) {
        while (pos < end && resp_space(*pos)) {
            pos++;
        }
        if (pos == end) {
            break;
        }
        if (argc == p->limits.args_max) {
            return resp_bad(p, why, "too big inline request");
        }
        resp_parser_room(p, argc);
        p->spans[argc].at = p->scratch.len;
        pos = resp_inline_arg(&p->scratch, pos, end);
        if (pos == NULL) {
            return resp_bad(p, why, "unbalanced quotes in request");
        }
        p->spans[argc].len = p->scratch.len - p->spans[argc].at;
        argc++;
    }
    for (uint32_t i = 0; i < argc; i++) { /* only now: scratch may have moved while it grew */
        p->argv[i] = (struct slice){p->scratch.data + p->spans[i].at, p->spans[i].len};
    }
    *out = (struct resp_command){argc, p->argv, (size_t)(nl - data) + 1};
    resp_parser_reset(p);
    return RESP_DONE;
}

/* --- the entry --------------------------------------------------------------- */

/* First call for a command: drop what a huge one left, then read "*n". */
static enum resp_status resp_begin(struct resp_parser *p, const uint8_t *data, size_t len,
                                   struct diag *why)
{
    const uint8_t *body;
    size_t count;

    if (UNLIKELY(p->cap > RESP_ARGS_KEPT)) {
        resp_parser_resize(p, RESP_ARGS_FIRST);
    }
    if (UNLIKELY(p->scratch.cap > (64U << 10))) {
        buf_free(&p->scratch);
    }
    body = resp_short_count(data + 1, data + len, &count);
    if (LIKELY(body != NULL && count <= p->limits.args_max)) {
        p->at = (size_t)(body - data);
        p->want = (uint32_t)count;
        p->multibulk = true;
        return RESP_DONE;
    }
    return resp_array_header(p, data, len, why);
}

/* Whole arguments in short form, as many as there are: the hot loop. Its state lives in
 * registers and is stored once at the end. */
static void resp_arguments_short(struct resp_parser *p, const uint8_t *data, size_t len)
{
    const size_t bulk_max = p->limits.bulk_bytes_max;
    const uint8_t *end = data + len;
    const uint8_t *pos = data + p->at;
    uint32_t argc = p->argc;

    while (argc < p->want && pos < end && *pos == '$') {
        size_t bytes;
        const uint8_t *body = resp_short_count(pos + 1, end, &bytes);

        if (body == NULL || bytes > bulk_max || (size_t)(end - body) < bytes + 2 ||
            body[bytes] != '\r' || body[bytes + 1] != '\n') {
            break; /* the slow path judges it */
        }
        resp_parser_room(p, argc);
        p->spans[argc++] = (struct resp_span){(size_t)(body - data), bytes};
        pos = body + bytes + 2;
    }
    p->argc = argc;
    p->at = (size_t)(pos - data);
}

static enum resp_status resp_arguments(struct resp_parser *p, const uint8_t *data, size_t len,
                                       struct diag *why)
{
    for (;;) {
        if (!p->in_bulk) {
            enum resp_status status;

            resp_arguments_short(p, data, len);
            if (p->argc == p->want) {
                return RESP_DONE;
            }
            status = resp_bulk_header(p, data, len, why);
            if (status != RESP_DONE) {
                return status;
            }
            p->in_bulk = true;
        }
        if (len - p->at < p->bulk_len + 2) {
            return RESP_MORE;
        }
        if (data[p->at + p->bulk_len] != '\r' || data[p->at + p->bulk_len + 1] != '\n') {
            return resp_bad(p, why, "expected line end after bulk string");
        }
        resp_parser_room(p, p->argc);
        p->spans[p->argc++] = (struct resp_span){p->at, p->bulk_len};
        p->at += p->bulk_len + 2;
        p->in_bulk = false;
        if (p->argc == p->want) {
            return RESP_DONE;
        }
    }
}

enum resp_status resp_parse(struct resp_parser *p, const uint8_t *data, size_t len,
                            struct resp_command *out, struct diag *why)
{
    enum resp_status status;

    CHECK(p->at <= len);
    if (!p->multibulk) {
        if (len == 0) {
            return RESP_MORE;
        }
        if (data[0] != '*') {
            return resp_inline(p, data, len, out, why);
        }
        status = resp_begin(p, data, len, why);
        if (UNLIKELY(status != RESP_DONE)) {
            return status;
        }
    }
    status = resp_arguments(p, data, len, why);
    if (status != RESP_DONE) {
        return status;
    }
    for (uint32_t i = 0; i < p->argc; i++) {
        p->argv[i] = (struct slice){data + p->spans[i].at, p->spans[i].len};
    }
    *out = (struct resp_command){p->argc, p->argv, p->at};
    resp_parser_reset(p);
    return RESP_DONE;
}

size_t resp_parser_wants(const struct resp_parser *p, size_t len)
{
    size_t known = p->in_bulk ? p->at + p->bulk_len + 2 : 0;

    return known > len ? known : len + 1;
}
