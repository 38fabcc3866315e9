/* The parser, writer and walker of RESP: tables with both sides of every edge, and
 * every request again at every place it can be cut. */
#include "base/base_mem.h"
#include "base/base_prng.h"
#include "resp/resp.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct resp_limits small = {
    .bulk_bytes_max = 100, .inline_bytes_max = 64, .args_max = 20};

/* What a parse came to, as text: "MORE", "BAD why" or "used|arg|arg...". */
static void outcome(enum resp_status status, const struct resp_command *cmd, const struct diag *why,
                    struct buf *out)
{
    out->len = 0;
    if (status == RESP_MORE) {
        buf_printf(out, "MORE");
    } else if (status == RESP_BAD) {
        assert_int_equal(strncmp(why->text, "ERR Protocol error: ", 20), 0);
        buf_printf(out, "BAD %s", why->text + 20);
    } else {
        buf_printf(out, "%zu", cmd->used);
        for (uint32_t i = 0; i < cmd->argc; i++) {
            put_u8(out, '|');
            buf_append_slice(out, cmd->argv[i]);
        }
    }
    put_u8(out, 0);
    out->len--;
}

/* Parse a copy that ends where its memory ends, so that reading past it is seen. */
static enum resp_status parse_exact(struct resp_parser *p, const uint8_t *data, size_t len,
                                    struct buf *text)
{
    uint8_t *copy = mem_alloc(len);
    struct resp_command cmd;
    struct diag why = {""};
    enum resp_status status;

    memcpy(copy, data, len);
    status = resp_parse(p, copy, len, &cmd, &why);
    outcome(status, &cmd, &why, text);
    if (status == RESP_MORE) {
        assert_true(resp_parser_wants(p, len) > len);
    }
    mem_free(copy);
    return status;
}

/* The outcome when the bytes arrive as first `cut`, then up to `again`, then all. */
static void parse_cut(struct slice in, size_t cut, size_t again, struct buf *text)
{
    struct resp_parser p;

    resp_parser_init(&p, small);
    if (parse_exact(&p, in.data, cut, text) == RESP_MORE &&
        parse_exact(&p, in.data, again, text) == RESP_MORE) {
        parse_exact(&p, in.data, in.len, text);
    }
    resp_parser_free(&p);
}

static void parse_bytewise(struct slice in, struct buf *text)
{
    struct resp_parser p;

    resp_parser_init(&p, small);
    for (size_t len = 0; len <= in.len; len++) {
        if (parse_exact(&p, in.data, len, text) != RESP_MORE) {
            break;
        }
    }
    resp_parser_free(&p);
}

#define TEN "0123456789"
static const struct {
    const char *name;
    struct slice in;
    const char *want;
} requests[] = {
#define ROW(name, in, want)                                                                        \
    {                                                                                              \
        name, {(const uint8_t *)(in), sizeof(in) - 1}, want                                        \
    }
    ROW("nothing", "", "MORE"),
    ROW("ping", "*1\r\n$4\r\nPING\r\n", "14|PING"),
    ROW("set", "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nvalue\r\n", "31|SET|k|value"),
    ROW("two commands: the first", "*1\r\n$1\r\na\r\n*1\r\n$1\r\nb\r\n", "11|a"),
    ROW("empty argument", "*2\r\n$1\r\na\r\n$0\r\n\r\n", "17|a|"),
    ROW("line ends inside", "*1\r\n$6\r\n\r\n$1\r\n\r\n", "16|\r\n$1\r\n"),
    ROW("no arguments", "*0\r\n", "4"),
    ROW("null array", "*-1\r\n", "5"),
    ROW("far below null", "*-10\r\n", "6"),
    ROW("last byte missing", "*1\r\n$1\r\na\r", "MORE"),
    ROW("most arguments",
        "*20\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n"
        "$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n"
        "$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\nb\r\n",
        "145|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|b"),
    ROW("one argument too many", "*21\r\n", "BAD invalid multibulk length"),
    ROW("count is no number", "*x\r\n", "BAD invalid multibulk length"),
    ROW("count is empty", "*\r\n", "BAD invalid multibulk length"),
    ROW("count with leading zero", "*01\r\n", "BAD invalid multibulk length"),
    ROW("count with plus", "*+1\r\n", "BAD invalid multibulk length"),
    ROW("count overflows", "*99999999999999999999\r\n", "BAD invalid multibulk length"),
    ROW("count without line feed", "*1\r$1\r\na\r\n", "BAD invalid multibulk length"),
    ROW("count line as long as allowed", "*" TEN TEN TEN TEN TEN TEN "123\r\n",
        "BAD invalid multibulk length"),
    ROW("count line without end, not yet too long", "*" TEN TEN TEN TEN TEN TEN "123", "MORE"),
    ROW("count line one longer", "*" TEN TEN TEN TEN TEN TEN "1234\r\n",
        "BAD too big mbulk count string"),
    ROW("not a bulk string", "*1\r\n:1\r\n", "BAD expected '$', got ':'"),
    ROW("line end where a bulk string belongs", "*1\r\n\r\n", "BAD expected '$', got ' '"),
    ROW("largest bulk", "*1\r\n$100\r\n" TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "\r\n",
        "112|" TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN),
    ROW("bulk one too large", "*1\r\n$101\r\n", "BAD invalid bulk length"),
    ROW("bulk of negative length", "*1\r\n$-1\r\n", "BAD invalid bulk length"),
    ROW("bulk length is no number", "*1\r\n$1x\r\n", "BAD invalid bulk length"),
    ROW("bulk length is empty", "*1\r\n$\r\n", "BAD invalid bulk length"),
    ROW("bulk length with leading zero", "*1\r\n$01\r\na\r\n", "BAD invalid bulk length"),
    ROW("bulk line one too long", "*1\r\n$" TEN TEN TEN TEN TEN TEN "1234\r\n",
        "BAD too big bulk count string"),
    ROW("bulk ends elsewhere", "*1\r\n$1\r\nabc\r\n", "BAD expected line end after bulk string"),
    ROW("bulk ends with half a line end", "*1\r\n$1\r\na\rb",
        "BAD expected line end after bulk string"),

    ROW("inline", "PING\r\n", "6|PING"),
    ROW("inline, line feed alone", "SET a 1\n", "8|SET|a|1"),
    ROW("inline, blanks around", "  SET \t a  1 \r\n", "15|SET|a|1"),
    ROW("inline, empty line", "\r\n", "2"),
    ROW("inline, only blanks", "   \r\n", "5"),
    ROW("inline, no end yet", "PING", "MORE"),
    ROW("inline, double quotes", "SET a \"b c\"\r\n", "13|SET|a|b c"),
    ROW("inline, empty quotes", "SET a \"\"\r\n", "10|SET|a|"),
    ROW("inline, only empty quotes", "''\r\n", "4|"),
    ROW("inline, escapes", "\"\\x41\\n\\r\\t\\b\\a\\\"\\\\\\q\"\r\n", "24|A\n\r\t\b\a\"\\q"),
    ROW("inline, half an escape in hexadecimal", "\"\\x4g\"\r\n", "8|x4g"),
    ROW("inline, single quotes", "'a\\'b\\n'\r\n", "10|a'b\\n"),
    ROW("inline, quote inside a word", "ab\"c d\" e\r\n", "11|abc d|e"),
    ROW("inline, unbalanced double", "SET a \"b\r\n", "BAD unbalanced quotes in request"),
    ROW("inline, unbalanced single", "SET a 'b\r\n", "BAD unbalanced quotes in request"),
    ROW("inline, text sticks to a quote", "\"a\"b\r\n", "BAD unbalanced quotes in request"),
    ROW("inline, escape at the end", "\"a\\\r\n", "BAD unbalanced quotes in request"),
    ROW("inline, longest", TEN TEN TEN TEN TEN TEN "123\r\n", "65|" TEN TEN TEN TEN TEN TEN "123"),
    ROW("inline, not yet too long", TEN TEN TEN TEN TEN TEN "1234", "MORE"),
    ROW("inline, one too long", TEN TEN TEN TEN TEN TEN "1234\r\n", "BAD too big inline request"),
    ROW("inline, too long without end", TEN TEN TEN TEN TEN TEN "12345",
        "BAD too big inline request"),
    ROW("inline, most arguments", "a a a a a a a a a a a a a a a a a a a b\r\n",
        "41|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|b"),
    ROW("inline, one argument too many", "a a a a a a a a a a a a a a a a a a a a b\r\n",
        "BAD too big inline request"),
#undef ROW
};

static void requests_in_one_piece(void **state)
{
    struct buf text = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(requests); i++) {
        parse_cut(requests[i].in, requests[i].in.len, requests[i].in.len, &text);
        if (strcmp((char *)text.data, requests[i].want) != 0) {
            fail_msg("%s: got %s, want %s", requests[i].name, text.data, requests[i].want);
        }
    }
    buf_free(&text);
}

static void requests_however_cut(void **state)
{
    struct buf text = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(requests); i++) {
        struct slice in = requests[i].in;

        parse_bytewise(in, &text);
        if (strcmp((char *)text.data, requests[i].want) != 0) {
            fail_msg("%s, byte by byte: %s", requests[i].name, text.data);
        }
        for (size_t cut = 0; cut <= in.len; cut++) {
            for (size_t again = cut; again <= in.len; again++) {
                parse_cut(in, cut, again, &text);
                if (strcmp((char *)text.data, requests[i].want) != 0) {
                    fail_msg("%s, cut at %zu and %zu: %s", requests[i].name, cut, again, text.data);
                }
            }
        }
    }
    buf_free(&text);
}

static void parser_is_used_again(void **state)
{
    static const char stream[] = "*1\r\n$1\r\na\r\nPING x\r\n*x\r\n*2\r\n$1\r\nb\r\n$1\r\nc\r\n";
    struct resp_parser p;
    struct resp_command cmd;
    struct diag why;
    const uint8_t *at = (const uint8_t *)stream;
    size_t left = sizeof(stream) - 1;

    (void)state;
    resp_parser_init(&p, RESP_LIMITS_DEFAULT);
    assert_int_equal(resp_parse(&p, at, left, &cmd, &why), RESP_DONE);
    assert_int_equal(cmd.used, 11);
    at += cmd.used;
    left -= cmd.used;
    assert_int_equal(resp_parse(&p, at, left, &cmd, &why), RESP_DONE);
    assert_int_equal(cmd.argc, 2);
    at += cmd.used;
    left -= cmd.used;
    assert_int_equal(resp_parse(&p, at, left, &cmd, &why), RESP_BAD);
    at += 4; /* a caller closes here; the parser could go on */
    left -= 4;
    assert_int_equal(resp_parse(&p, at, left, &cmd, &why), RESP_DONE);
    assert_int_equal(cmd.argc, 2);
    assert_true(slice_eq(cmd.argv[1], SLICE("c")));
    resp_parser_free(&p);
}

/* An announced size is known at once, and no memory is taken for announced counts. */
static void parser_tells_what_it_wants(void **state)
{
    struct resp_parser p;
    struct resp_command cmd;
    struct diag why;

    (void)state;
    resp_parser_init(&p, RESP_LIMITS_DEFAULT);
    assert_int_equal(resp_parse(&p, (const uint8_t *)"*1048576\r\n", 10, &cmd, &why), RESP_MORE);
    assert_int_equal(resp_parser_wants(&p, 10), 11);
    assert_true(p.cap <= 16);
    resp_parser_free(&p);
    resp_parser_init(&p, RESP_LIMITS_DEFAULT);
    assert_int_equal(resp_parse(&p, (const uint8_t *)"*1\r\n$536870912\r\nabc", 19, &cmd, &why),
                     RESP_MORE);
    assert_int_equal(resp_parser_wants(&p, 19), 16 + (512U << 20) + 2);
    resp_parser_free(&p);
    resp_parser_init(&p, RESP_LIMITS_DEFAULT);
    assert_int_equal(resp_parse(&p, (const uint8_t *)"*1\r\n$536870913\r\nabc", 19, &cmd, &why),
                     RESP_BAD);
    resp_parser_free(&p);
}

/* Many arguments arriving in pieces: time stays proportional, the arrays are given back. */
static void parser_takes_many_arguments(void **state)
{
    enum { ARGS = 100000 };
    struct resp_parser p;
    struct resp_command cmd;
    struct diag why;
    struct buf in = {0};

    (void)state;
    buf_printf(&in, "*%d\r\n", ARGS);
    for (int i = 0; i < ARGS; i++) {
        buf_printf(&in, "$%d\r\n%d\r\n", i < 10 ? 1 : 2, i < 10 ? i : 10 + i % 90);
    }
    resp_parser_init(&p, RESP_LIMITS_DEFAULT);
    for (size_t len = 0; len < in.len; len += 997) {
        assert_int_equal(resp_parse(&p, in.data, len, &cmd, &why), RESP_MORE);
    }
    assert_int_equal(resp_parse(&p, in.data, in.len, &cmd, &why), RESP_DONE);
    assert_int_equal(cmd.argc, ARGS);
    assert_true(slice_eq(cmd.argv[7], SLICE("7")));
    assert_true(slice_eq(cmd.argv[99], SLICE("19")));
    assert_int_equal(resp_parse(&p, (const uint8_t *)"*1\r\n$1\r\na\r\n", 11, &cmd, &why),
                     RESP_DONE);
    assert_true(p.cap < 1024);
    resp_parser_free(&p);
    buf_free(&in);
}

static void integers(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        int64_t value;
    } rows[] = {
        {"0", true, 0},
        {"7", true, 7},
        {"-1", true, -1},
        {"9223372036854775807", true, INT64_MAX},
        {"9223372036854775808", false, 0},
        {"-9223372036854775808", true, INT64_MIN},
        {"-9223372036854775809", false, 0},
        {"18446744073709551616", false, 0},
        {"99999999999999999999", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {"-0", false, 0},
        {"00", false, 0},
        {"01", false, 0},
        {"-01", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1.0", false, 0},
        {"0x1", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        char text[RESP_INT_TEXT_MAX];
        int64_t value = 0;

        if (resp_parse_int(slice_str(rows[i].text), &value) != rows[i].ok ||
            value != rows[i].value) {
            fail_msg("'%s'", rows[i].text);
        }
        if (rows[i].ok) {
            struct slice back = {(const uint8_t *)text, resp_print_int(value, text)};

            assert_true(slice_eq(back, slice_str(rows[i].text)));
        }
    }
}

/* --- writer ------------------------------------------------------------------ */

typedef void put_reply(struct resp_writer *w);
#define PUT(name, ...)                                                                             \
    static void put_##name(struct resp_writer *w)                                                  \
    {                                                                                              \
        __VA_ARGS__;                                                                               \
    }
PUT(ok, resp_put_simple(w, "OK"))
PUT(error, resp_put_error(w, "ERR no"))
PUT(error_lines, resp_put_error(w, "ERR a\r\nb"))
PUT(errorf, resp_put_errorf(w, "ERR %s %d", "x\n", 7))
PUT(zero, resp_put_int(w, 0))
PUT(ten, resp_put_int(w, 10))
PUT(int_max, resp_put_int(w, INT64_MAX))
PUT(int_min, resp_put_int(w, INT64_MIN))
PUT(bulk, resp_put_bulk(w, SLICE("a\0b")))
PUT(bulk_empty, resp_put_bulk(w, (struct slice){NULL, 0}))
PUT(bulk_str, resp_put_bulk_str(w, "0123456789ab"))
PUT(bulkf, resp_put_bulkf(w, "%d-%d", 1, 2))
PUT(null, resp_put_null(w))
PUT(null_array, resp_put_null_array(w))
PUT(array, resp_put_array(w, 12))
PUT(map, resp_put_map(w, 3))
PUT(set, resp_put_set(w, 3))
PUT(push, resp_put_push(w, 3))
PUT(tenth, resp_put_double(w, 0.1))
PUT(three, resp_put_double(w, 3))
PUT(huge, resp_put_double(w, 1e300))
PUT(minus_inf, resp_put_double(w, -INFINITY))
PUT(plus_inf, resp_put_double(w, INFINITY))
PUT(nan, resp_put_double(w, -NAN))
PUT(yes, resp_put_bool(w, true))
PUT(no, resp_put_bool(w, false))
PUT(verbatim, resp_put_verbatim(w, "txt", SLICE("hi")))
PUT(raw, resp_put_raw(w, SLICE("+raw\r\n")))

static const struct {
    put_reply *put;
    struct slice two, three;
} replies[] = {
#define ROW(put, two, three)                                                                       \
    {                                                                                              \
        put, {(const uint8_t *)(two), sizeof(two) - 1},                                            \
        {                                                                                          \
            (const uint8_t *)(three), sizeof(three) - 1                                            \
        }                                                                                          \
    }
    ROW(put_ok, "+OK\r\n", "+OK\r\n"),
    ROW(put_error, "-ERR no\r\n", "-ERR no\r\n"),
    ROW(put_error_lines, "-ERR a  b\r\n", "-ERR a  b\r\n"),
    ROW(put_errorf, "-ERR x  7\r\n", "-ERR x  7\r\n"),
    ROW(put_zero, ":0\r\n", ":0\r\n"),
    ROW(put_ten, ":10\r\n", ":10\r\n"),
    ROW(put_int_max, ":9223372036854775807\r\n", ":9223372036854775807\r\n"),
    ROW(put_int_min, ":-9223372036854775808\r\n", ":-9223372036854775808\r\n"),
    ROW(put_bulk, "$3\r\na\0b\r\n", "$3\r\na\0b\r\n"),
    ROW(put_bulk_empty, "$0\r\n\r\n", "$0\r\n\r\n"),
    ROW(put_bulk_str, "$12\r\n0123456789ab\r\n", "$12\r\n0123456789ab\r\n"),
    ROW(put_bulkf, "$3\r\n1-2\r\n", "$3\r\n1-2\r\n"),
    ROW(put_null, "$-1\r\n", "_\r\n"),
    ROW(put_null_array, "*-1\r\n", "_\r\n"),
    ROW(put_array, "*12\r\n", "*12\r\n"),
    ROW(put_map, "*6\r\n", "%3\r\n"),
    ROW(put_set, "*3\r\n", "~3\r\n"),
    ROW(put_push, "*3\r\n", ">3\r\n"),
    ROW(put_tenth, "$19\r\n0.10000000000000001\r\n", ",0.10000000000000001\r\n"),
    ROW(put_three, "$1\r\n3\r\n", ",3\r\n"),
    ROW(put_huge, "$23\r\n1.0000000000000001e+300\r\n", ",1.0000000000000001e+300\r\n"),
    ROW(put_minus_inf, "$4\r\n-inf\r\n", ",-inf\r\n"),
    ROW(put_plus_inf, "$3\r\ninf\r\n", ",inf\r\n"),
    ROW(put_nan, "$3\r\nnan\r\n", ",nan\r\n"),
    ROW(put_yes, ":1\r\n", "#t\r\n"),
    ROW(put_no, ":0\r\n", "#f\r\n"),
    ROW(put_verbatim, "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"),
    ROW(put_raw, "+raw\r\n", "+raw\r\n"),
#undef ROW
};

static void replies_in_both_versions(void **state)
{
    struct buf out = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(replies); i++) {
        for (uint8_t proto = 2; proto <= 3; proto++) {
            struct resp_writer w = {&out, proto, false};
            struct slice want = proto == 2 ? replies[i].two : replies[i].three;
            struct resp_item item;
            struct diag why = {""};
            size_t used;

            out.len = 0;
            replies[i].put(&w);
            if (!slice_eq(buf_slice(&out), want)) {
                fail_msg("row %zu: %.*s", i, (int)out.len, (char *)out.data);
            }
            assert_int_equal(resp_item_next(out.data, out.len, &item, &used, &why), RESP_DONE);
            assert_int_equal(used, out.len);
            w.mute = true;
            replies[i].put(&w);
            assert_int_equal(used, out.len);
        }
    }
    buf_free(&out);
}

/* --- walker ------------------------------------------------------------------ */

static const struct {
    const char *name, *in;
    enum resp_status want;
    size_t used; /* when done */
} values[] = {
    {"nothing", "", RESP_MORE, 0},
    {"simple", "+OK\r\n+", RESP_DONE, 5},
    {"half a line end", "+OK\r", RESP_MORE, 0},
    {"other byte after carriage return", "+OK\rx", RESP_BAD, 0},
    {"largest integer", ":9223372036854775807\r\n", RESP_DONE, 22},
    {"one too large", ":9223372036854775808\r\n", RESP_BAD, 0},
    {"bulk", "$3\r\nabc\r\n", RESP_DONE, 9},
    {"bulk, short", "$3\r\nabc\r", RESP_MORE, 0},
    {"bulk, ends elsewhere", "$3\r\nabcd\r\n", RESP_BAD, 0},
    {"null bulk", "$-1\r\n", RESP_DONE, 5},
    {"bulk of other negative length", "$-2\r\n", RESP_BAD, 0},
    {"largest bulk", "$536870912\r\n", RESP_MORE, 0},
    {"bulk one too large", "$536870913\r\n", RESP_BAD, 0},
    {"blob error", "!3\r\nERR\r\n", RESP_DONE, 9},
    {"blob error is never null", "!-1\r\n", RESP_BAD, 0},
    {"verbatim", "=5\r\ntxt:a\r\n", RESP_DONE, 11},
    {"verbatim without colon", "=5\r\ntxtaa\r\n", RESP_BAD, 0},
    {"verbatim too short", "=3\r\ntxt\r\n", RESP_BAD, 0},
    {"null", "_\r\n", RESP_DONE, 3},
    {"null with text", "_x\r\n", RESP_BAD, 0},
    {"true", "#t\r\n", RESP_DONE, 4},
    {"neither true nor false", "#x\r\n", RESP_BAD, 0},
    {"double", ",-1.5e3\r\n", RESP_DONE, 9},
    {"double, hexadecimal", ",0x1p3\r\n", RESP_BAD, 0},
    {"double, empty", ",\r\n", RESP_BAD, 0},
    {"double, infinite", ",-inf\r\n", RESP_DONE, 7},
    {"big number", "(-123456789012345678901234567890\r\n", RESP_DONE, 34},
    {"big number, empty", "(\r\n", RESP_BAD, 0},
    {"big number, sign alone", "(-\r\n", RESP_BAD, 0},
    {"empty array", "*0\r\n", RESP_DONE, 4},
    {"null array", "*-1\r\n", RESP_DONE, 5},
    {"array", "*2\r\n:1\r\n$1\r\na\r\n:9\r\n", RESP_DONE, 15},
    {"array, short", "*2\r\n:1\r\n", RESP_MORE, 0},
    {"array of negative count", "*-2\r\n", RESP_BAD, 0},
    {"most items", "*2147483647\r\n", RESP_MORE, 0},
    {"one item too many", "*2147483648\r\n", RESP_BAD, 0},
    {"null set is not a thing", "~-1\r\n", RESP_BAD, 0},
    {"map", "%1\r\n+a\r\n:1\r\n:2\r\n", RESP_DONE, 12},
    {"map, half a pair", "%1\r\n+a\r\n", RESP_MORE, 0},
    {"nested", "*2\r\n*1\r\n*0\r\n~1\r\n#t\r\n", RESP_DONE, 20},
    {"push", ">1\r\n+a\r\n", RESP_DONE, 8},
    {"attribute before a value", "|1\r\n+a\r\n:1\r\n:2\r\n", RESP_DONE, 16},
    {"attribute alone", "|1\r\n+a\r\n:1\r\n", RESP_MORE, 0},
    {"attribute inside an array", "*1\r\n|1\r\n+a\r\n:1\r\n:2\r\n", RESP_DONE, 20},
    {"unknown kind", "?1\r\n", RESP_BAD, 0},
    {"zero byte", "\0", RESP_MORE, 0},
};

static void values_of_every_kind(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
        size_t len = strlen(values[i].in);
        uint8_t *copy = mem_alloc(len);
        size_t used = 0;
        struct diag why = {""};
        enum resp_status status;

        memcpy(copy, values[i].in, len);
        status = resp_value_bytes(copy, len, &used, &why);
        if (status != values[i].want || (status == RESP_DONE && used != values[i].used)) {
            fail_msg("%s: %d, %zu bytes, %s", values[i].name, (int)status, used, why.text);
        }
        assert_true((status == RESP_BAD) == (why.text[0] != '\0'));
        mem_free(copy);
    }
}

static void nesting_has_a_limit(void **state)
{
    struct buf in = {0};
    struct diag why = {""};
    size_t used;

    (void)state;
    for (int i = 0; i < RESP_NESTING_MAX; i++) {
        buf_printf(&in, "*1\r\n");
    }
    buf_printf(&in, ":1\r\n");
    assert_int_equal(resp_value_bytes(in.data, in.len, &used, &why), RESP_DONE);
    assert_int_equal(used, in.len);
    in.len -= 4;
    buf_printf(&in, "*1\r\n:1\r\n");
    assert_int_equal(resp_value_bytes(in.data, in.len, &used, &why), RESP_BAD);
    buf_free(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_in_one_piece),       cmocka_unit_test(requests_however_cut),
        cmocka_unit_test(parser_is_used_again),        cmocka_unit_test(parser_tells_what_it_wants),
        cmocka_unit_test(parser_takes_many_arguments), cmocka_unit_test(integers),
        cmocka_unit_test(replies_in_both_versions),    cmocka_unit_test(values_of_every_kind),
        cmocka_unit_test(nesting_has_a_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
