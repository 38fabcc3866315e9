/* resp.h - the Redis serialization protocol, versions 2 and 3, without I/O.
 *
 * Requests: resp_parse() takes the bytes received so far and yields one command
 * whose arguments point into those bytes; nothing is copied. It keeps offsets,
 * so that a large argument arriving in pieces is scanned once.
 * Replies: resp_put_*() append to a buffer in the version the client chose.
 * Values: resp_item_next() walks any RESP2/3 value token by token, for replies
 * that are combined or checked.
 *
 * Our deviations, so that a result never depends on how the bytes were cut, and a
 * stream that lost its framing is noticed: every line end must be "\r\n" (Redis
 * skips two bytes), and a line longer than the limit is refused even when its end
 * is already there.
 *
 * Owner: one thread at a time. Errors are worded as Redis 7 words them.
 * Source: redis.io/docs/reference/protocol-spec, RESP3 specification.
 */
#ifndef RESP_H
#define RESP_H
#include "base/base_bytes.h"

enum resp_status {
    RESP_DONE, /* one whole command; `used` bytes belong to it */
    RESP_MORE, /* incomplete: call again with the same bytes and more */
    RESP_BAD,  /* breaks the protocol: answer with `why`, then close */
};

struct resp_limits {
    size_t bulk_bytes_max;   /* proto-max-bulk-len, default 512 MiB */
    size_t inline_bytes_max; /* 64 KiB, also for the lines *n and $n */
    uint32_t args_max;       /* 1 Mi */
};
#define RESP_LIMITS_DEFAULT                                                                        \
    ((struct resp_limits){                                                                         \
        .bulk_bytes_max = 512UL << 20, .inline_bytes_max = 64UL << 10, .args_max = 1U << 20})

/* One request. argc may be 0 (empty line, *0): nothing to answer, skip it. */
struct resp_command {
    uint32_t argc;
    const struct slice *argv; /* the array is the parser's, the bytes are the caller's */
    size_t used;              /* bytes of the input that this command took */
};

struct resp_parser {
    struct resp_limits limits;
    struct resp_span {
        size_t at, len;
    } * spans; /* arguments found so far, as offsets */
    struct slice *argv;
    struct buf scratch; /* unquoted inline arguments */
    size_t cap;
    size_t at;      /* first byte not yet looked at */
    size_t scanned; /* where the search for the next line end goes on */
    uint32_t argc, want;
    size_t bulk_len; /* of the argument being awaited */
    bool multibulk, in_bulk;
};
void resp_parser_init(struct resp_parser *p, struct resp_limits limits);
void resp_parser_free(struct resp_parser *p);
/* data must start at the first byte of the current command, on every call until
 * RESP_DONE or RESP_BAD. why: the text of the error reply, without "-" and line
 * end ("ERR Protocol error: ..."), set only on RESP_BAD. */
enum resp_status resp_parse(struct resp_parser *p, const uint8_t *data, size_t len,
                            struct resp_command *out, struct diag *why);
/* After RESP_MORE: total bytes the current command is known to need, so that the
 * caller can size its buffer once. At least len + 1. */
size_t resp_parser_wants(const struct resp_parser *p, size_t len);
/* A 64-bit integer in its one canonical spelling: no sign but '-', no leading
 * zeros, no spaces. Lengths, counts and integer values are all read with it. */
bool resp_parse_int(struct slice text, int64_t *value);
/* The same spelling, written; returns its length. */
enum { RESP_INT_TEXT_MAX = 24 };
size_t resp_print_int(int64_t value, char out[RESP_INT_TEXT_MAX]);

/* Where replies go. mute: nothing is written (a follower applying a command). */
struct resp_writer {
    struct buf *out;
    uint8_t proto; /* 2 or 3 */
    bool mute;
};
void resp_put_simple(struct resp_writer *w, const char *text); /* +OK */
void resp_put_error(struct resp_writer *w, const char *text);  /* "ERR ...": -ERR ... */
void resp_put_errorf(struct resp_writer *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
void resp_put_int(struct resp_writer *w, int64_t value);
void resp_put_bulk(struct resp_writer *w, struct slice bytes);
void resp_put_bulk_str(struct resp_writer *w, const char *text);
void resp_put_bulkf(struct resp_writer *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
void resp_put_null(struct resp_writer *w);       /* $-1, or _ */
void resp_put_null_array(struct resp_writer *w); /* *-1, or _ */
void resp_put_array(struct resp_writer *w, size_t count);
void resp_put_map(struct resp_writer *w, size_t pairs); /* RESP2: array of 2 * pairs */
void resp_put_set(struct resp_writer *w, size_t count); /* RESP2: array */
void resp_put_push(struct resp_writer *w, size_t count);
void resp_put_double(struct resp_writer *w, double value); /* RESP2: bulk, as Redis 7 prints */
void resp_put_bool(struct resp_writer *w, bool value);     /* RESP2: :1 or :0 */
void resp_put_verbatim(struct resp_writer *w, const char *kind3, struct slice text);
/* Bytes already encoded for this client's version. */
void resp_put_raw(struct resp_writer *w, struct slice encoded);

/* One token of any value. Aggregates are followed by their items: `count` items,
 * or 2 * count for RESP_ITEM_MAP and RESP_ITEM_ATTRIBUTE. */
enum resp_item_kind {
    RESP_ITEM_SIMPLE,
    RESP_ITEM_ERROR, /* also blob errors */
    RESP_ITEM_INT,
    RESP_ITEM_BULK,
    RESP_ITEM_NULL,
    RESP_ITEM_DOUBLE,
    RESP_ITEM_BOOL,
    RESP_ITEM_BIGNUM,
    RESP_ITEM_VERBATIM,
    RESP_ITEM_ARRAY,
    RESP_ITEM_MAP,
    RESP_ITEM_SET,
    RESP_ITEM_PUSH,
    RESP_ITEM_ATTRIBUTE,
};
struct resp_item {
    enum resp_item_kind kind;
    int64_t integer;   /* INT, BOOL */
    double real;       /* DOUBLE */
    size_t count;      /* aggregates */
    struct slice text; /* SIMPLE, ERROR, BULK, BIGNUM, VERBATIM, DOUBLE as written */
};
enum { RESP_NESTING_MAX = 32 };
/* One token from the front of data. RESP_DONE: *used bytes belong to it. */
enum resp_status resp_item_next(const uint8_t *data, size_t len, struct resp_item *item,
                                size_t *used, struct diag *why);
/* The bytes of one whole value, nested items included, or RESP_MORE / RESP_BAD. */
enum resp_status resp_value_bytes(const uint8_t *data, size_t len, size_t *used, struct diag *why);
#endif
