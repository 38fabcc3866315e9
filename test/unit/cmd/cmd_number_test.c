/* Numbers and patterns, as Redis reads and prints them. */
#include "cmd_transcript.h"

#include <math.h>

static void floats_are_read(void **state)
{
    static const struct {
        struct slice text;
        bool ok;
        long double value;
    } rows[] = {
#define ROW(text, ok, value) {{(const uint8_t *)(text), sizeof(text) - 1}, ok, value}
        ROW("0", true, 0),          ROW("1.5", true, 1.5L),
        ROW("-1.5e3", true, -1500), ROW("+1", true, 1),
        ROW(".5", true, 0.5L),      ROW("5.", true, 5),
        ROW("0x1p3", true, 8),      ROW("0x10", true, 16),
        ROW("inf", true, INFINITY), ROW("-Infinity", true, -INFINITY),
        ROW("nan", false, 0),       ROW("", false, 0),
        ROW(" 1", false, 0),        ROW("1 ", false, 0),
        ROW("1\0", false, 0),       ROW("1_0", false, 0),
        ROW("1e", false, 0),        ROW("--1", false, 0),
        ROW("1,5", false, 0),       ROW("1e-9999", false, 0),
        ROW("1e9999", false, 0),
#undef ROW
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        long double wide = 0;
        double narrow = 0;

        if (cmd_parse_long_double(rows[i].text, &wide) != rows[i].ok ||
            cmd_parse_double(rows[i].text, &narrow) != rows[i].ok) {
            fail_msg("'%.*s'", (int)rows[i].text.len, (const char *)rows[i].text.data);
        }
        if (rows[i].ok) {
            assert_true(wide == rows[i].value);
            assert_true(narrow == (double)rows[i].value);
        }
    }
}

/* What fits a long double need not fit a double; too long a text fits neither. */
static void floats_have_limits(void **state)
{
    char text[5 * 1024 + 1];
    long double wide;
    double narrow;

    (void)state;
    assert_true(cmd_parse_long_double(SLICE("1e400"), &wide));
    assert_false(cmd_parse_double(SLICE("1e400"), &narrow));
    assert_true(cmd_parse_double(SLICE("1e308"), &narrow));
    assert_false(cmd_parse_double(SLICE("1e309"), &narrow));
    assert_true(cmd_parse_double(SLICE("1e-320"), &narrow)); /* small, but not lost */
    assert_false(cmd_parse_double(SLICE("1e-400"), &narrow));
    memset(text, '1', sizeof(text));
    text[4000] = '.';
    assert_true(cmd_parse_long_double((struct slice){(uint8_t *)text, 5 * 1024 - 1}, &wide));
    assert_false(cmd_parse_long_double((struct slice){(uint8_t *)text, 5 * 1024}, &wide));
}

static void floats_are_printed(void **state)
{
    static const struct {
        long double value;
        const char *text;
    } rows[] = {
        {0, "0"},
        {-0.0L, "0"},
        {3.0L + 0.1L, "3.1"},
        {10.5L + 0.1L, "10.6"},
        {5200, "5200"},
        {1e-17L, "0.00000000000000001"},
        {1e-18L, "0"},
        {-1e-18L, "0"}, /* never "-0" */
        {1e20L, "100000000000000000000"},
        {-2.5L, "-2.5"},
        {INFINITY, "inf"},
        {-INFINITY, "-inf"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        char out[5 * 1024];
        size_t len = cmd_print_long_double(rows[i].value, out);
        const char *want = rows[i].text;

        assert_int_equal(len, strlen(want));
        assert_memory_equal(out, want, len);
    }
}

/* The largest number has 4933 digits and must fit. */
static void largest_float_is_printed(void **state)
{
    char out[5 * 1024];
    long double value;

    (void)state;
    assert_true(cmd_parse_long_double(SLICE("-1.18973149535723176502e4932"), &value));
    assert_true(cmd_print_long_double(value, out) == 4934);
}

static void globs(void **state)
{
    static const struct {
        const char *pattern, *text;
        bool match, match_nocase;
    } rows[] = {
        {"", "", true, true},
        {"", "a", false, false},
        {"*", "", true, true},
        {"*", "abc", true, true},
        {"**", "abc", true, true},
        {"a*", "a", true, true},
        {"a*c", "abbc", true, true},
        {"a*c", "abbd", false, false},
        {"*a", "ba", true, true},
        {"*b*b", "abab", true, true},
        {"*b*bc", "abab", false, false},
        {"?", "", false, false},
        {"?", "a", true, true},
        {"a?c", "abc", true, true},
        {"A", "a", false, true},
        {"a", "A", false, true},
        {"[ab]", "b", true, true},
        {"[ab]", "c", false, false},
        {"[^ab]", "c", true, true},
        {"[^ab]", "a", false, false},
        {"[a-c]", "b", true, true},
        {"[a-c]", "d", false, false},
        {"[c-a]", "b", true, true},
        {"[A-C]", "b", false, true},
        {"[a-c]", "B", false, true},
        {"[]", "]", false, false},
        {"[\\]]", "]", true, true},
        {"[\\a]", "A", false, false},
        {"[a", "a", true, true},
        {"[a", "b", false, false},
        {"[^", "x", true, true},
        {"[", "[", false, false},
        {"[a-", "-", true, true},
        {"\\*", "*", true, true},
        {"\\*", "a", false, false},
        {"\\", "\\", true, true},
        {"a\\", "a\\", true, true},
        {"\\\\", "\\", true, true},
        {"h[ae]llo*", "hallo you", true, true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct slice pattern = slice_str(rows[i].pattern);
        struct slice text = slice_str(rows[i].text);

        if (cmd_glob(pattern, text, false) != rows[i].match ||
            cmd_glob(pattern, text, true) != rows[i].match_nocase) {
            fail_msg("'%s' on '%s'", rows[i].pattern, rows[i].text);
        }
    }
}

/* What takes a recursive matcher for ever ends soon. */
static void hostile_globs_end(void **state)
{
    struct buf pattern = {0};
    struct buf text = {0};

    (void)state;
    for (int i = 0; i < 1000; i++) {
        buf_append(&pattern, "a*", 2);
        buf_append(&text, "aa", 2);
    }
    put_u8(&pattern, 'b');
    assert_false(cmd_glob(buf_slice(&pattern), buf_slice(&text), false));
    text.len = 0;
    pattern.len = 0;
    put_u8(&pattern, '*');
    for (int i = 0; i < 50000; i++) {
        put_u8(&pattern, 'a');
        buf_append(&text, "aa", 2);
    }
    put_u8(&pattern, 'b');
    assert_false(cmd_glob(buf_slice(&pattern), buf_slice(&text), false));
    buf_free(&pattern);
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(floats_are_read),
        cmocka_unit_test(floats_have_limits),
        cmocka_unit_test(floats_are_printed),
        cmocka_unit_test(largest_float_is_printed),
        cmocka_unit_test(globs),
        cmocka_unit_test(hostile_globs_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
