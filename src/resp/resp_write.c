/* resp_write.c - replies, in the version the client chose. */
#include "resp/resp.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

enum { RESP_HEADER_MAX = 24 }; /* kind, a 64-bit number, line end */

static const char resp_digit_pairs[] = "00010203040506070809101112131415161718192021222324"
                                       "25262728293031323334353637383940414243444546474849"
                                       "50515253545556575859606162636465666768697071727374"
                                       "75767778798081828384858687888990919293949596979899";

/* Decimal digits of v, right-aligned before end; returns their start. */
static inline char *resp_digits(char *end, uint64_t v)
{
    while (v >= 100) {
        end -= 2;
        memcpy(end, resp_digit_pairs + 2 * (v % 100), 2);
        v /= 100;
    }
    if (v >= 10) {
        end -= 2;
        memcpy(end, resp_digit_pairs + 2 * v, 2);
    } else {
        *--end = (char)('0' + v);
    }
    return end;
}

size_t resp_print_int(int64_t value, char out[RESP_INT_TEXT_MAX])
{
    char text[RESP_HEADER_MAX];
    char *end = text + sizeof(text);
    char *start = resp_digits(end, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);

    if (value < 0) {
        *--start = '-';
    }
    memcpy(out, start, (size_t)(end - start));
    return (size_t)(end - start);
}

/* "<kind><count>\r\n" and room for `more` bytes behind it. */
static inline void resp_put_header(struct resp_writer *w, char kind, uint64_t count, size_t more)
{
    struct buf *out = w->out;
    uint8_t *p;

    CHECK(!w->mute);
    buf_reserve(out, RESP_HEADER_MAX + more);
    p = out->data + out->len;
    *p++ = (uint8_t)kind;
    if (LIKELY(count < 10)) {
        *p++ = (uint8_t)('0' + count);
    } else {
        char text[RESP_HEADER_MAX];
        char *start = resp_digits(text + sizeof(text), count);
        size_t len = (size_t)(text + sizeof(text) - start);

        memcpy(p, start, len);
        p += len;
    }
    *p++ = '\r';
    *p++ = '\n';
    out->len = (size_t)(p - out->data);
}

static void resp_put_text(struct resp_writer *w, const char *text)
{
    buf_append(w->out, text, strlen(text));
}

void resp_put_simple(struct resp_writer *w, const char *text)
{
    uint8_t *p;
    size_t len;

    if (w->mute) {
        return;
    }
    len = strlen(text);
    buf_reserve(w->out, len + 3);
    p = w->out->data + w->out->len;
    *p++ = '+';
    for (size_t i = 0; i < len; i++) {
        CHECK(text[i] != '\r' && text[i] != '\n');
        *p++ = (uint8_t)text[i];
    }
    *p++ = '\r';
    *p++ = '\n';
    w->out->len += len + 3;
}

/* An error is one line, whatever a client's own words brought into it. As Redis
 * does, line ends at its end are cut off, others become spaces. */
static void resp_finish_error(struct resp_writer *w, size_t from)
{
    while (w->out->len > from &&
           (w->out->data[w->out->len - 1] == '\r' || w->out->data[w->out->len - 1] == '\n')) {
        w->out->len--;
    }
    for (size_t i = from; i < w->out->len; i++) {
        if (w->out->data[i] == '\r' || w->out->data[i] == '\n') {
            w->out->data[i] = ' ';
        }
    }
    resp_put_text(w, "\r\n");
}

void resp_put_error(struct resp_writer *w, const char *text)
{
    size_t from;

    if (w->mute) {
        return;
    }
    put_u8(w->out, '-');
    from = w->out->len;
    resp_put_text(w, text);
    resp_finish_error(w, from);
}

/* Formatted text at the end of out. */
static void resp_put_vprintf(struct buf *out, const char *fmt, va_list args)
{
    va_list again;
    int len;

    va_copy(again, args);
    len = vsnprintf(NULL, 0, fmt, args);
    CHECK(len >= 0);
    buf_reserve(out, (size_t)len + 1);
    len = vsnprintf((char *)out->data + out->len, (size_t)len + 1, fmt, again);
    out->len += (size_t)len;
    va_end(again);
}

void resp_put_errorf(struct resp_writer *w, const char *fmt, ...)
{
    va_list args;
    size_t from;

    if (w->mute) {
        return;
    }
    put_u8(w->out, '-');
    from = w->out->len;
    va_start(args, fmt);
    resp_put_vprintf(w->out, fmt, args);
    va_end(args);
    resp_finish_error(w, from);
}

void resp_put_int(struct resp_writer *w, int64_t value)
{
    if (w->mute) {
        return;
    }
    if (LIKELY(value >= 0)) {
        resp_put_header(w, ':', (uint64_t)value, 0);
        return;
    }
    put_u8(w->out, ':');
    resp_put_header(w, '-', 0 - (uint64_t)value, 0);
}

void resp_put_bulk(struct resp_writer *w, struct slice bytes)
{
    uint8_t *p;

    if (w->mute) {
        return;
    }
    resp_put_header(w, '$', bytes.len, bytes.len + 2);
    p = w->out->data + w->out->len;
    if (bytes.len > 0) {
        memcpy(p, bytes.data, bytes.len);
    }
    p[bytes.len] = '\r';
    p[bytes.len + 1] = '\n';
    w->out->len += bytes.len + 2;
}

void resp_put_bulk_str(struct resp_writer *w, const char *text)
{
    resp_put_bulk(w, slice_str(text));
}

void resp_put_bulkf(struct resp_writer *w, const char *fmt, ...)
{
    struct buf text = {0};
    va_list args;

    if (w->mute) {
        return;
    }
    va_start(args, fmt);
    resp_put_vprintf(&text, fmt, args);
    va_end(args);
    resp_put_bulk(w, buf_slice(&text));
    buf_free(&text);
}

void resp_put_null(struct resp_writer *w)
{
    if (!w->mute) {
        resp_put_text(w, w->proto >= 3 ? "_\r\n" : "$-1\r\n");
    }
}

void resp_put_null_array(struct resp_writer *w)
{
    if (!w->mute) {
        resp_put_text(w, w->proto >= 3 ? "_\r\n" : "*-1\r\n");
    }
}

void resp_put_array(struct resp_writer *w, size_t count)
{
    if (!w->mute) {
        resp_put_header(w, '*', count, 0);
    }
}

void resp_put_map(struct resp_writer *w, size_t pairs)
{
    if (!w->mute) {
        resp_put_header(w, w->proto >= 3 ? '%' : '*', w->proto >= 3 ? pairs : 2 * pairs, 0);
    }
}

void resp_put_set(struct resp_writer *w, size_t count)
{
    if (!w->mute) {
        resp_put_header(w, w->proto >= 3 ? '~' : '*', count, 0);
    }
}

void resp_put_push(struct resp_writer *w, size_t count)
{
    if (!w->mute) {
        resp_put_header(w, w->proto >= 3 ? '>' : '*', count, 0);
    }
}

void resp_put_double(struct resp_writer *w, double value)
{
    char text[64];
    int len;

    if (w->mute) {
        return;
    }
    if (isinf(value)) {
        len = snprintf(text, sizeof(text), "%s", value > 0 ? "inf" : "-inf");
    } else if (isnan(value)) {
        len = snprintf(text, sizeof(text), "nan"); /* never a sign: replicas must agree */
    } else {
        len = snprintf(text, sizeof(text), "%.17g", value);
    }
    CHECK(len > 0 && (size_t)len < sizeof(text));
    if (w->proto >= 3) {
        put_u8(w->out, ',');
        resp_put_text(w, text);
        resp_put_text(w, "\r\n");
    } else {
        resp_put_bulk(w, (struct slice){(const uint8_t *)text, (size_t)len});
    }
}

void resp_put_bool(struct resp_writer *w, bool value)
{
    if (w->mute) {
        return;
    }
    if (w->proto >= 3) {
        resp_put_text(w, value ? "#t\r\n" : "#f\r\n");
    } else {
        resp_put_int(w, value ? 1 : 0);
    }
}

void resp_put_verbatim(struct resp_writer *w, const char *kind3, struct slice text)
{
    if (w->mute) {
        return;
    }
    CHECK(strlen(kind3) == 3);
    if (w->proto < 3) {
        resp_put_bulk(w, text);
        return;
    }
    resp_put_header(w, '=', text.len + 4, text.len + 6);
    resp_put_text(w, kind3);
    put_u8(w->out, ':');
    buf_append_slice(w->out, text);
    resp_put_text(w, "\r\n");
}

void resp_put_raw(struct resp_writer *w, struct slice encoded)
{
    if (!w->mute) {
        buf_append_slice(w->out, encoded);
    }
}
