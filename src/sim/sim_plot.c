/* Tables and CSV; the curves are in sim_plot_svg.c. */
#include "sim/sim_plot.h"

#include "base/base_mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { CELL_BYTES_MAX = 256 };

bool sim_plot_format_parse(const char *text, enum sim_plot_format *out)
{
    bool csv = strcmp(text, "csv") == 0;

    *out = csv ? SIM_PLOT_CSV : SIM_PLOT_TABLE;
    return csv || strcmp(text, "table") == 0;
}

void sim_plot_cell(struct sim_plot_table *t, const char *fmt, ...)
{
    char cell[CELL_BYTES_MAX];
    va_list args;
    int len;

    va_start(args, fmt);
    len = vsnprintf(cell, sizeof cell, fmt, args);
    va_end(args);
    CHECK(len >= 0 && len < CELL_BYTES_MAX);
    buf_append(&t->text, cell, (size_t)len + 1);
    t->cells++;
}

/* The cell that begins at *pos; *pos goes on to the next one. */
static const char *take_cell(const struct sim_plot_table *t, size_t *pos)
{
    const char *cell = (const char *)t->text.data + *pos;

    *pos += strlen(cell) + 1;
    CHECK(*pos <= t->text.len);
    return cell;
}

/* --- CSV --- */

static void put_csv(struct buf *out, const char *cell)
{
    if (strpbrk(cell, ",\"\n") == NULL) {
        buf_append(out, cell, strlen(cell));
        return;
    }
    buf_append(out, "\"", 1);
    for (; *cell != 0; cell++) {
        buf_append(out, *cell == '"' ? "\"\"" : cell, *cell == '"' ? 2 : 1);
    }
    buf_append(out, "\"", 1);
}

static void print_csv(const struct sim_plot_table *t, struct buf *out)
{
    size_t pos = 0;

    for (uint32_t c = 0; c < t->columns; c++) {
        put_csv(out, t->column[c].csv);
        buf_append(out, c + 1 == t->columns ? "\n" : ",", 1);
    }
    for (uint32_t i = 0; i < t->cells; i++) {
        put_csv(out, take_cell(t, &pos));
        buf_append(out, (i + 1) % t->columns == 0 ? "\n" : ",", 1);
    }
}

/* --- the table --- */

/* In characters, not bytes: the text is UTF-8. */
static uint32_t width_of(const char *text)
{
    uint32_t width = 0;

    for (; *text != 0; text++) {
        width += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return width;
}

static void put_spaces(struct buf *out, uint32_t count)
{
    buf_printf(out, "%*s", (int)count, "");
}

static void put_padded(struct buf *out, const char *cell, uint32_t width, bool left)
{
    uint32_t spaces = width - width_of(cell);

    put_spaces(out, left ? 0 : spaces);
    buf_append(out, cell, strlen(cell));
    put_spaces(out, left ? spaces : 0);
}

static void print_table(const struct sim_plot_table *t, struct buf *out)
{
    uint32_t *width = mem_zalloc(t->columns * sizeof width[0]);
    size_t pos = 0;

    for (uint32_t c = 0; c < t->columns; c++) {
        width[c] = width_of(t->column[c].name);
    }
    for (uint32_t i = 0; i < t->cells; i++) {
        uint32_t w = width_of(take_cell(t, &pos));

        width[i % t->columns] = w > width[i % t->columns] ? w : width[i % t->columns];
    }
    pos = 0;
    for (uint32_t i = 0; i < t->cells + t->columns; i++) {
        uint32_t c = i % t->columns;
        bool left = t->column[c].left, last = c + 1 == t->columns;
        const char *cell = i < t->columns ? t->column[c].name : take_cell(t, &pos);

        /* nothing follows the last cell of a line, not even spaces */
        put_padded(out, cell, last && left ? width_of(cell) : width[c], left);
        buf_printf(out, "%s", last ? "\n" : "  ");
    }
    mem_free(width);
}

void sim_plot_print(const struct sim_plot_table *t, enum sim_plot_format format, struct buf *out)
{
    CHECK(t->columns > 0);
    CHECK(t->cells % t->columns == 0);
    switch (format) {
    case SIM_PLOT_TABLE:
        print_table(t, out);
        break;
    case SIM_PLOT_CSV:
        print_csv(t, out);
        break;
    }
}

void sim_plot_table_free(struct sim_plot_table *t)
{
    buf_free(&t->text);
    t->cells = 0;
}

bool sim_plot_write(const char *path, const struct buf *text, struct diag *why)
{
    FILE *f = fopen(path, "wb");
    bool good = f != NULL && fwrite(text->data, 1, text->len, f) == text->len;

    if (f != NULL && fclose(f) != 0) { /* what was buffered may fail only now */
        good = false;
    }
    if (!good) {
        diag_set(why, "cannot write %s: %s", path, strerror(errno));
    }
    return good;
}
