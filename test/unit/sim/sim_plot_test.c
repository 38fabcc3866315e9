/* What studies print: tables that line up, CSV that reads back, SVG that is well-formed. */
#include "sim/sim_plot.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct sim_plot_column columns[] = {
    {"who", "who", true},
    {"load", "load_per_cent", false},
    {"remark", "remark", true},
};

static void assert_printed(struct sim_plot_table *t, enum sim_plot_format f, const char *want)
{
    struct buf out = {0};

    sim_plot_print(t, f, &out);
    put_u8(&out, 0);
    assert_string_equal((const char *)out.data, want);
    buf_free(&out);
}

static void fill(struct sim_plot_table *t)
{
    *t = (struct sim_plot_table){.column = columns, .columns = ARRAY_COUNT(columns)};
    sim_plot_cell(t, "n%d", 1);
    sim_plot_cell(t, "%.1f", 9.5);
    sim_plot_cell(t, "none");
    sim_plot_cell(t, "zone ä");
    sim_plot_cell(t, "%.1f", 101.25);
    sim_plot_cell(t, "says \"no\", twice");
}

static void tables_line_up(void **state)
{
    struct sim_plot_table t;

    (void)state;
    fill(&t);
    assert_printed(&t, SIM_PLOT_TABLE,
                   "who      load  remark\n"
                   "n1        9.5  none\n"
                   "zone ä  101.2  says \"no\", twice\n");
    sim_plot_table_free(&t);
}

static void csv_quotes_what_would_split(void **state)
{
    struct sim_plot_table t;

    (void)state;
    fill(&t);
    assert_printed(&t, SIM_PLOT_CSV,
                   "who,load_per_cent,remark\n"
                   "n1,9.5,none\n"
                   "zone ä,101.2,\"says \"\"no\"\", twice\"\n");
    sim_plot_table_free(&t);
}

static void a_table_without_rows_has_its_heads(void **state)
{
    struct sim_plot_table t = {.column = columns, .columns = ARRAY_COUNT(columns)};

    (void)state;
    assert_printed(&t, SIM_PLOT_TABLE, "who  load  remark\n");
    assert_printed(&t, SIM_PLOT_CSV, "who,load_per_cent,remark\n");
}

static void formats_are_known_by_name(void **state)
{
    enum sim_plot_format f;

    (void)state;
    assert_true(sim_plot_format_parse("table", &f) && f == SIM_PLOT_TABLE);
    assert_true(sim_plot_format_parse("csv", &f) && f == SIM_PLOT_CSV);
    assert_false(sim_plot_format_parse("xml", &f));
    assert_false(sim_plot_format_parse("", &f));
}

/* --- curves --- */

static char *draw(const struct sim_plot_chart *charts, uint32_t count, struct buf *out)
{
    sim_plot_svg(charts, count, out);
    put_u8(out, 0);
    return (char *)out->data;
}

static uint32_t times(const char *text, const char *what)
{
    uint32_t count = 0;

    for (text = strstr(text, what); text != NULL; text = strstr(text + 1, what)) {
        count++;
    }
    return count;
}

static void curves_stand_at_their_places(void **state)
{
    struct sim_plot_chart c = {.title = "a < b & c", .x_name = "x", .y_name = "y"};
    uint32_t line = sim_plot_curve_add(&c, false, "measured");
    struct buf out = {0};
    const char *svg;

    (void)state;
    sim_plot_add(&c, line, 0, 0);
    sim_plot_add(&c, line, 10, 100);
    svg = draw(&c, 1, &out);
    assert_non_null(strstr(svg, "a &lt; b &amp; c"));
    assert_non_null(strstr(svg, "M80.0 340.0 L640.0 44.0 ")); /* corner to corner */
    assert_int_equal(times(svg, "<circle"), 2 + 1);           /* points and legend */
    assert_int_equal(times(svg, "<g "), times(svg, "</g>"));
    assert_int_equal(times(svg, "nan") + times(svg, "inf"), 0);
    sim_plot_chart_free(&c);
    buf_free(&out);
}

static void what_cannot_be_drawn_interrupts_the_line(void **state)
{
    struct sim_plot_chart c = {.title = "t", .x_name = "x", .y_name = "y", .y_log = true};
    uint32_t line = sim_plot_curve_add(&c, false, "measured");
    uint32_t theory = sim_plot_curve_add(&c, true, "theory");
    struct buf out = {0};
    const char *svg;

    (void)state;
    sim_plot_add(&c, line, 1, 1);
    sim_plot_add(&c, line, 2, 0); /* has no logarithm */
    sim_plot_add(&c, line, 3, NAN);
    sim_plot_add(&c, line, 4, 100);
    sim_plot_add(&c, theory, 1, 1);
    sim_plot_add(&c, theory, 4, 100);
    svg = draw(&c, 1, &out);
    assert_non_null(strstr(svg, "M80.0 340.0 M640.0 44.0 "));
    assert_non_null(strstr(svg, "M80.0 340.0 L640.0 44.0 "));
    assert_int_equal(times(svg, "<circle"), 2 + 1); /* theory has no marks */
    assert_int_equal(times(svg, "stroke-dasharray"), 1 + 1);
    assert_int_equal(times(svg, "nan") + times(svg, "inf"), 0);
    sim_plot_chart_free(&c);
    buf_free(&out);
}

/* One value alone, the same value twice, huge and tiny ranges: always some ticks, never a NaN. */
static void any_range_has_axes(void **state)
{
    static const double ranges[][2] = {{1, 1},      {0, 0},        {-5, -5}, {1e-9, 2e-9},
                                       {1, 100000}, {-1e12, 1e12}, {3, 3.1}, {1e-5, 1e15}};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ranges); i++) {
        for (int log = 0; log < 2; log++) {
            struct sim_plot_chart c = {
                .title = "t", .x_name = "x", .y_name = "y", .x_log = log, .y_log = log};
            uint32_t line = sim_plot_curve_add(&c, false, "measured");
            bool drawn = log == 0 || ranges[i][0] > 0;
            struct buf out = {0};
            const char *svg;

            sim_plot_add(&c, line, ranges[i][0], ranges[i][0]);
            sim_plot_add(&c, line, ranges[i][1], ranges[i][1]);
            svg = draw(&c, 1, &out);
            assert_int_equal(times(svg, "nan") + times(svg, "inf\""), 0);
            if (drawn) {
                assert_in_range(times(svg, "text-anchor=\"end\""), 1, 20);
                assert_in_range(times(svg, "class=\"grid\""), 2, 40);
            }
            sim_plot_chart_free(&c);
            buf_free(&out);
        }
    }
}

static void a_chart_without_points_says_so(void **state)
{
    struct sim_plot_chart c[2] = {{.title = "t", .x_name = "x", .y_name = "y"},
                                  {.title = "u", .x_name = "x", .y_name = "y"}};
    struct buf out = {0};
    const char *svg;

    (void)state;
    svg = draw(c, 2, &out);
    assert_int_equal(times(svg, "nothing was measured"), 2);
    buf_free(&out);
}

static void a_file_that_cannot_be_written_is_named(void **state)
{
    struct buf text = {0};
    struct diag why = {""};

    (void)state;
    buf_printf(&text, "x");
    assert_false(sim_plot_write("/nowhere/to/be/found.svg", &text, &why));
    assert_non_null(strstr(why.text, "/nowhere/to/be/found.svg"));
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_line_up),
        cmocka_unit_test(csv_quotes_what_would_split),
        cmocka_unit_test(a_table_without_rows_has_its_heads),
        cmocka_unit_test(formats_are_known_by_name),
        cmocka_unit_test(curves_stand_at_their_places),
        cmocka_unit_test(what_cannot_be_drawn_interrupts_the_line),
        cmocka_unit_test(any_range_has_axes),
        cmocka_unit_test(a_chart_without_points_says_so),
        cmocka_unit_test(a_file_that_cannot_be_written_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
