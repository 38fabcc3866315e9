/* sim_plot.h - what a study prints: a table for people, CSV for programs, curves as SVG.
 *
 * Everything is appended to a buffer: same cells and points, same bytes. sim_plot_write alone
 * touches a file. Structs start as zeros but for the fields said to be given; free them with
 * their free function.
 */
#ifndef SIM_PLOT_H
#define SIM_PLOT_H
#include "base/base_bytes.h"

enum sim_plot_format { SIM_PLOT_TABLE, SIM_PLOT_CSV };
/* "table" or "csv"; false: neither. */
MUST_USE bool sim_plot_format_parse(const char *text, enum sim_plot_format *out);

struct sim_plot_column {
    const char *name; /* of the table: a few words with the unit */
    const char *csv;  /* of CSV: one_word_with_unit */
    bool left;        /* words are left, numbers right */
};
/* Give column and columns; then cells, row by row. */
struct sim_plot_table {
    const struct sim_plot_column *column; /* borrowed */
    uint32_t columns;
    uint32_t cells;
    struct buf text; /* of all cells, each ended by a zero */
};
/* The next cell; after the last column a new row begins. Cells of CSV are quoted where they must.
 */
void sim_plot_cell(struct sim_plot_table *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Append the table with its heads; an unfinished row is our bug. */
void sim_plot_print(const struct sim_plot_table *t, enum sim_plot_format format, struct buf *out);
void sim_plot_table_free(struct sim_plot_table *t);

enum { SIM_PLOT_CURVES_MAX = 12 };
struct sim_plot_point {
    double x, y;
};
struct sim_plot_curve {
    char name[64]; /* in the legend */
    bool theory;   /* dashed and without marks, beside what was measured */
    struct sim_plot_point *point;
    uint32_t points, room;
};
/* Give names, logs, and curve[i].name of each curve. Texts may hold anything: they are escaped. */
struct sim_plot_chart {
    const char *title, *x_name, *y_name; /* borrowed */
    bool x_log, y_log; /* logarithmic; points that are not above 0 are then left out */
    bool y_from_zero;  /* a linear axis begins at 0, whatever the least value is */
    struct sim_plot_curve curve[SIM_PLOT_CURVES_MAX];
    uint32_t curves;
};
/* A new curve; its place for sim_plot_add. More than SIM_PLOT_CURVES_MAX are our bug. */
uint32_t sim_plot_curve_add(struct sim_plot_chart *c, bool theory, const char *name);
/* The next point of a curve; curves are drawn in this order. */
void sim_plot_add(struct sim_plot_chart *c, uint32_t curve, double x, double y);
/* One document with the charts below each other, readable without colour: marks and dashes differ.
 * A chart without a point says so in place of curves. */
void sim_plot_svg(const struct sim_plot_chart *charts, uint32_t count, struct buf *out);
void sim_plot_chart_free(struct sim_plot_chart *c);

/* Create or replace a file. False: why names it and what the system said. */
MUST_USE bool sim_plot_write(const char *path, const struct buf *text, struct diag *why);
#endif
