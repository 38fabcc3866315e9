/* Curves as SVG: text and lines only, so that any browser and any printer shows them. */
#include "sim/sim_plot.h"

#include "base/base_mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* In pixels. */
enum {
    WIDTH = 900,
    HEIGHT = 400, /* of one chart */
    LEFT = 80,
    RIGHT = 640, /* the legend is beyond */
    TOP = 44,
    BOTTOM = 340,
    LEGEND_X = 664,
    LEGEND_STEP = 24,
    TICKS_MAX = 32,
};

/* Okabe and Ito's palette: told apart by those who do not see all colours. */
static const char *const colours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                      "#000000", "#e69f00", "#56b4e9"};

/* One axis: what it shows and where. */
struct axis {
    double low, high; /* of the values, or of their decimal logarithms */
    bool log;
    double from, to; /* pixels */
    double tick[TICKS_MAX];
    uint32_t ticks;
};

uint32_t sim_plot_curve_add(struct sim_plot_chart *c, bool theory, const char *name)
{
    struct sim_plot_curve *new = &c->curve[c->curves];

    CHECK(c->curves < SIM_PLOT_CURVES_MAX);
    *new = (struct sim_plot_curve){.theory = theory};
    (void)snprintf(new->name, sizeof new->name, "%s", name);
    return c->curves++;
}

void sim_plot_add(struct sim_plot_chart *c, uint32_t curve, double x, double y)
{
    struct sim_plot_curve *to = &c->curve[curve];

    CHECK(curve < c->curves);
    MEM_GROW(to->point, to->points, to->room);
    to->point[to->points++] = (struct sim_plot_point){x, y};
}

void sim_plot_chart_free(struct sim_plot_chart *c)
{
    for (uint32_t i = 0; i < c->curves; i++) {
        mem_free(c->curve[i].point);
    }
    c->curves = 0;
}

static void put_text(struct buf *out, const char *text)
{
    for (; *text != 0; text++) {
        switch (*text) {
        case '<':
            buf_printf(out, "&lt;");
            break;
        case '>':
            buf_printf(out, "&gt;");
            break;
        case '&':
            buf_printf(out, "&amp;");
            break;
        default:
            buf_append(out, text, 1);
        }
    }
}

/* --- axes --- */

static bool drawable(const struct sim_plot_chart *c, const struct sim_plot_point *p)
{
    return isfinite(p->x) && isfinite(p->y) && (!c->x_log || p->x > 0) && (!c->y_log || p->y > 0);
}

static void widen(struct axis *a, double value)
{
    double v = a->log ? log10(value) : value;

    a->low = fmin(a->low, v);
    a->high = fmax(a->high, v);
}

/* 1, 2 or 5 times a power of ten, five to ten of them in the range. */
static double step_of(double range)
{
    double power = pow(10, floor(log10(range / 5)));
    double parts = range / 5 / power;

    return power * (parts < 2 ? 1 : parts < 5 ? 2 : 5);
}

static void add_tick(struct axis *a, double value)
{
    double v = a->log ? log10(value) : value;
    double slack = (a->high - a->low) * 1e-6; /* of rounding */

    if (v >= a->low - slack && v <= a->high + slack && a->ticks < TICKS_MAX) {
        a->tick[a->ticks++] = value;
    }
}

/* The multiples of a step between two values. */
static void even_ticks(struct axis *a, double low, double high)
{
    double step = step_of(high - low), first = ceil(low / step - 1e-9);

    for (uint32_t i = 0; i < TICKS_MAX; i++) {
        double value = (first + i) * step;

        add_tick(a, value == 0 ? 0 : value); /* not -0 */
    }
}

static void linear_ticks(struct axis *a, bool round_out)
{
    if (round_out) {
        double step = step_of(a->high - a->low);

        a->low = floor(a->low / step + 1e-9) * step;
        a->high = ceil(a->high / step - 1e-9) * step;
    }
    even_ticks(a, a->low, a->high);
}

/* Powers of ten, and twice and five times them while they are few; within less than one, even
 * steps, lest there be none at all. */
static void log_ticks(struct axis *a)
{
    double range = a->high - a->low;
    double every = fmax(1, ceil(range / 10));

    if (range < 0.7) {
        even_ticks(a, pow(10, a->low), pow(10, a->high));
        return;
    }
    for (uint32_t i = 0; i < TICKS_MAX; i++) {
        double power = pow(10, floor(a->low) + i * every);

        add_tick(a, power);
        if (range < 4) {
            add_tick(a, 2 * power);
            add_tick(a, 5 * power);
        }
    }
}

/* A range of no width is widened, so that one value alone stands in the middle. */
static void settle(struct axis *a, bool round_out)
{
    if (a->high - a->low < 1e-12) {
        double half = a->log ? 0.5 : a->low == 0 ? 1 : fabs(a->low) / 2;

        a->low -= half;
        a->high += half;
    }
    if (a->log) {
        log_ticks(a);
    } else {
        linear_ticks(a, round_out);
    }
}

static double place(const struct axis *a, double value)
{
    double v = a->log ? log10(value) : value;

    return a->from + (v - a->low) / (a->high - a->low) * (a->to - a->from);
}

/* False: there is nothing to draw. */
static bool make_axes(const struct sim_plot_chart *c, struct axis *x, struct axis *y)
{
    bool any = false;

    *x = (struct axis){
        .low = INFINITY, .high = -INFINITY, .log = c->x_log, .from = LEFT, .to = RIGHT};
    *y = (struct axis){
        .low = INFINITY, .high = -INFINITY, .log = c->y_log, .from = BOTTOM, .to = TOP};
    for (uint32_t i = 0; i < c->curves; i++) {
        for (uint32_t k = 0; k < c->curve[i].points; k++) {
            if (drawable(c, &c->curve[i].point[k])) {
                widen(x, c->curve[i].point[k].x);
                widen(y, c->curve[i].point[k].y);
                any = true;
            }
        }
    }
    if (any) {
        if (c->y_from_zero && !c->y_log) {
            widen(y, 0);
        }
        settle(x, false);
        settle(y, true);
    }
    return any;
}

static void draw_axes(const struct sim_plot_chart *c, const struct axis *x, const struct axis *y,
                      struct buf *out)
{
    for (uint32_t i = 0; i < x->ticks; i++) {
        double at = place(x, x->tick[i]);

        buf_printf(out, "<path class=\"grid\" d=\"M%.1f %d V%d\"/>\n", at, TOP, BOTTOM);
        buf_printf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.6g</text>\n", at,
                   BOTTOM + 18, x->tick[i]);
    }
    for (uint32_t i = 0; i < y->ticks; i++) {
        double at = place(y, y->tick[i]);

        buf_printf(out, "<path class=\"grid\" d=\"M%d %.1f H%d\"/>\n", LEFT, at, RIGHT);
        buf_printf(out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.6g</text>\n", LEFT - 8,
                   at + 4, y->tick[i]);
    }
    buf_printf(out, "<path class=\"axis\" d=\"M%d %d V%d H%d\"/>\n", LEFT, TOP, BOTTOM, RIGHT);
    buf_printf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">", (LEFT + RIGHT) / 2,
               BOTTOM + 40);
    put_text(out, c->x_name);
    buf_printf(out, "</text>\n<text transform=\"translate(20 %d) rotate(-90)\" ",
               (TOP + BOTTOM) / 2);
    buf_printf(out, "text-anchor=\"middle\">");
    put_text(out, c->y_name);
    buf_printf(out, "</text>\n");
}

/* --- curves --- */

static void draw_mark(uint32_t curve, double x, double y, struct buf *out)
{
    const char *colour = colours[curve % ARRAY_COUNT(colours)];

    switch (curve % 5) {
    case 0:
        buf_printf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"", x, y);
        break;
    case 1:
        buf_printf(out, "<path d=\"M%.1f %.1f h7 v7 h-7 z\"", x - 3.5, y - 3.5);
        break;
    case 2:
        buf_printf(out, "<path d=\"M%.1f %.1f l4.5 8 h-9 z\"", x, y - 4.5);
        break;
    case 3:
        buf_printf(out, "<path d=\"M%.1f %.1f l4.5 4.5 l-4.5 4.5 l-4.5 -4.5 z\"", x, y - 4.5);
        break;
    default:
        buf_printf(out, "<path d=\"M%.1f %.1f l4.5 -8 h-9 z\"", x, y + 4.5);
    }
    buf_printf(out, " fill=\"%s\"/>\n", colour);
}

static void begin_line(const struct sim_plot_curve *curve, uint32_t pos, struct buf *out)
{
    buf_printf(out, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"1.8\"%s d=\"",
               colours[pos % ARRAY_COUNT(colours)],
               curve->theory ? " stroke-dasharray=\"7 4\"" : "");
}

/* The line is interrupted where a point cannot be drawn. */
static void draw_curve(const struct sim_plot_chart *c, uint32_t pos, const struct axis axes[2],
                       struct buf *out)
{
    const struct sim_plot_curve *curve = &c->curve[pos];
    char move = 'M';

    begin_line(curve, pos, out);
    for (uint32_t k = 0; k < curve->points; k++) {
        const struct sim_plot_point *p = &curve->point[k];

        if (!drawable(c, p)) {
            move = 'M';
            continue;
        }
        buf_printf(out, "%c%.1f %.1f ", move, place(&axes[0], p->x), place(&axes[1], p->y));
        move = 'L';
    }
    buf_printf(out, "\"/>\n");
    for (uint32_t k = 0; k < curve->points; k++) {
        if (!curve->theory && drawable(c, &curve->point[k])) {
            draw_mark(pos, place(&axes[0], curve->point[k].x), place(&axes[1], curve->point[k].y),
                      out);
        }
    }
}

static void draw_legend(const struct sim_plot_chart *c, struct buf *out)
{
    for (uint32_t i = 0; i < c->curves; i++) {
        double y = TOP + 8 + (double)i * LEGEND_STEP;

        begin_line(&c->curve[i], i, out);
        buf_printf(out, "M%d %.1f h28\"/>\n", LEGEND_X, y);
        if (!c->curve[i].theory) {
            draw_mark(i, LEGEND_X + 14, y, out);
        }
        buf_printf(out, "<text x=\"%d\" y=\"%.1f\">", LEGEND_X + 36, y + 4);
        put_text(out, c->curve[i].name);
        buf_printf(out, "</text>\n");
    }
}

static void draw_chart(const struct sim_plot_chart *c, struct buf *out)
{
    struct axis axes[2];

    buf_printf(out, "<text class=\"title\" x=\"%d\" y=\"26\">", LEFT);
    put_text(out, c->title);
    buf_printf(out, "</text>\n");
    if (!make_axes(c, &axes[0], &axes[1])) {
        buf_printf(out, "<text x=\"%d\" y=\"%d\">nothing was measured</text>\n", LEFT,
                   (TOP + BOTTOM) / 2);
        return;
    }
    draw_axes(c, &axes[0], &axes[1], out);
    for (uint32_t i = 0; i < c->curves; i++) {
        draw_curve(c, i, axes, out);
    }
    draw_legend(c, out);
}

void sim_plot_svg(const struct sim_plot_chart *charts, uint32_t count, struct buf *out)
{
    uint32_t height = count * HEIGHT;

    buf_printf(out,
               "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%u\" "
               "viewBox=\"0 0 %d %u\">\n",
               WIDTH, height, WIDTH, height);
    buf_printf(out, "<style>text{font:13px sans-serif;fill:#222}.title{font-size:16px;"
                    "font-weight:bold}.grid{stroke:#ddd;fill:none}.axis{stroke:#222;fill:none}"
                    "</style>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n");
    for (uint32_t i = 0; i < count; i++) {
        buf_printf(out, "<g transform=\"translate(0 %u)\">\n", i * HEIGHT);
        draw_chart(&charts[i], out);
        buf_printf(out, "</g>\n");
    }
    buf_printf(out, "</svg>\n");
}
