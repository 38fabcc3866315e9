/* `synod sim gossip`: runs the studies that a command line names, and prints them. */
#include "sim/sim_gossip_args.h"

#include "base/base_mem.h"

#include <math.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

enum { CHARTS = 2, STEPS_PER_INTERVAL = 10 };

struct report {
    const struct sim_gossip_args *args;
    struct sim_plot_table table;
    struct sim_plot_chart chart[CHARTS];
    struct buf notes;
};

/* --- numbers --- */

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static uint64_t median_of(uint64_t *values, size_t count)
{
    qsort(values, count, sizeof values[0], by_size);
    return count == 0 ? SIM_GOSSIP_NEVER : values[count / 2];
}

/* A cell for what may never have happened. */
static void value_cell(struct sim_plot_table *t, uint64_t value, double unit, int digits)
{
    if (value == SIM_GOSSIP_NEVER) {
        sim_plot_cell(t, "never");
    } else {
        sim_plot_cell(t, "%.*f", digits, (double)value / unit);
    }
}

/* --- the spread --- */

static const struct sim_plot_column spread_columns[] = {
    {"nodes", "nodes", false},
    {"mode", "mode", true},
    {"how", "how", true},
    {"in", "unit", true},
    {"seeds", "seeds", false},
    {"reached all", "seeds_all_reached", false},
    {"least, %", "least_reached_percent", false},
    {"50 %", "half_median", false},
    {"99 %", "most_median", false},
    {"100 %", "all_median", false},
    {"worst", "all_worst", false},
    {"theory", "all_theory", false},
    {"ratio", "median_to_theory", false},
    {"rumours", "rumours_per_node", false},
    {"theory", "rumours_per_node_theory", false},
    {"packets", "packets_per_node", false},
    {"bytes", "bytes_per_node", false},
};

struct spread_sums {
    uint64_t *at[SIM_GOSSIP_SHARES]; /* of each seed */
    uint64_t all_reached, packets, rumours, bytes;
    uint32_t least;
};

static void draw_spread(struct report *r, const struct sim_gossip_spread_setup *s,
                        const struct sim_gossip_spread *got)
{
    double step = s->timed ? 1.0 / STEPS_PER_INTERVAL : 1;
    struct sim_plot_chart *c = &r->chart[0];
    char name[64];
    uint32_t curve;

    if (c->curves == SIM_PLOT_CURVES_MAX) {
        return;
    }
    (void)snprintf(name, sizeof name, "%s, %s, %s", sim_gossip_mode_name(s->mode),
                   s->adaptive ? "adaptive" : "static", s->timed ? "own clocks" : "rounds");
    curve = sim_plot_curve_add(c, false, name);
    for (uint32_t i = 0; i < got->steps; i++) {
        sim_plot_add(c, curve, i * step, got->curve[i] * 100.0 / s->world.nodes);
    }
}

static void run_seeds(struct report *r, struct sim_gossip_spread_setup *s, struct spread_sums *sums)
{
    const struct sim_gossip_args *a = r->args;

    sums->least = s->world.nodes;
    for (uint64_t i = 0; i < a->count; i++) {
        struct sim_gossip_spread got;

        s->world.seed = a->seed + i;
        sim_gossip_spread(s, &got);
        for (int k = 0; k < SIM_GOSSIP_SHARES; k++) {
            sums->at[k][i] = got.at[k];
        }
        sums->all_reached += got.reached == s->world.nodes;
        sums->least = got.reached < sums->least ? got.reached : sums->least;
        sums->packets += got.packets;
        sums->rumours += got.rumours;
        sums->bytes += got.bytes;
        if (i == 0 && s->world.nodes == a->size[a->sizes - 1]) {
            draw_spread(r, s, &got);
        }
        sim_gossip_spread_free(&got);
    }
}

static void spread_row(struct report *r, const struct sim_gossip_spread_setup *s,
                       struct spread_sums *sums)
{
    const struct sim_gossip_args *a = r->args;
    struct sim_plot_table *t = &r->table;
    uint32_t n = s->world.nodes;
    double unit = s->timed ? 1e6 : 1, each = (double)a->count * n;
    double theory = s->timed
                        ? sim_gossip_theory_intervals(s) * (double)s->interval_us / 1e6
                        : sim_gossip_theory_rounds(s->mode, n, s->cfg.fanout, s->world.loss_ppm);
    uint64_t all = 0;

    sim_plot_cell(t, "%u", n);
    sim_plot_cell(t, "%s", sim_gossip_mode_name(s->mode));
    sim_plot_cell(t, "%s", s->adaptive ? "adaptive" : "static");
    sim_plot_cell(t, "%s", s->timed ? "seconds" : "rounds");
    sim_plot_cell(t, "%lu", a->count);
    sim_plot_cell(t, "%lu", sums->all_reached);
    sim_plot_cell(t, "%.4f", sums->least * 100.0 / n);
    for (int k = 0; k < SIM_GOSSIP_SHARES; k++) {
        all = median_of(sums->at[k], a->count);
        value_cell(t, all, unit, s->timed ? 3 : 0);
    }
    value_cell(t, sums->at[SIM_GOSSIP_ALL][a->count - 1], unit, s->timed ? 3 : 0);
    sim_plot_cell(t, "%.*f", s->timed ? 3 : 1, theory);
    if (all == SIM_GOSSIP_NEVER) {
        sim_plot_cell(t, "-");
    } else {
        sim_plot_cell(t, "%.2f", (double)all / unit / theory);
    }
    sim_plot_cell(t, "%.2f", (double)sums->rumours / each);
    sim_plot_cell(t, "%.2f",
                  sim_gossip_theory_rumours(s->mode, n, s->cfg.fanout, s->world.loss_ppm));
    sim_plot_cell(t, "%.2f", (double)sums->packets / each);
    sim_plot_cell(t, "%.0f", (double)sums->bytes / each);
}

/* One mode, static or adaptive, by one clock: all sizes. */
static void spread_sizes(struct report *r, struct sim_gossip_spread_setup *s)
{
    const struct sim_gossip_args *a = r->args;
    struct sim_plot_chart *c = &r->chart[1];
    bool drawn = !s->timed && c->curves + 2 <= SIM_PLOT_CURVES_MAX;
    uint32_t measured = 0, theory = 0;
    char name[64];

    if (drawn) {
        (void)snprintf(name, sizeof name, "%s, %s", sim_gossip_mode_name(s->mode),
                       s->adaptive ? "adaptive" : "static");
        measured = sim_plot_curve_add(c, false, name);
        (void)snprintf(name, sizeof name, "%s, theory", sim_gossip_mode_name(s->mode));
        theory = sim_plot_curve_add(c, true, name);
    }
    for (uint32_t i = 0; i < a->sizes; i++) {
        struct spread_sums sums = {0};
        uint64_t all;

        s->world.nodes = a->size[i];
        for (int k = 0; k < SIM_GOSSIP_SHARES; k++) {
            sums.at[k] = mem_alloc(a->count * sizeof sums.at[k][0]);
        }
        run_seeds(r, s, &sums);
        spread_row(r, s, &sums);
        all = median_of(sums.at[SIM_GOSSIP_ALL], a->count);
        if (drawn && all != SIM_GOSSIP_NEVER) {
            sim_plot_add(c, measured, a->size[i], (double)all);
        }
        if (drawn) {
            sim_plot_add(
                c, theory, a->size[i],
                sim_gossip_theory_rounds(s->mode, a->size[i], s->cfg.fanout, s->world.loss_ppm));
        }
        for (int k = 0; k < SIM_GOSSIP_SHARES; k++) {
            mem_free(sums.at[k]);
        }
    }
}

static void study_spread(struct report *r)
{
    const struct sim_gossip_args *a = r->args;
    struct sim_gossip_spread_setup s = {.world = a->world,
                                        .turns = a->turns,
                                        .untiring = a->untiring,
                                        .interval_us = a->interval_us,
                                        .cfg = a->cfg};

    r->table.column = spread_columns;
    r->table.columns = ARRAY_COUNT(spread_columns);
    r->chart[0].title = "who knows";
    r->chart[0].x_name = "rounds, or intervals";
    r->chart[0].y_name = "% of members";
    r->chart[0].y_from_zero = true;
    r->chart[1].title = "until all know";
    r->chart[1].x_name = "members";
    r->chart[1].y_name = "rounds";
    r->chart[1].x_log = r->chart[1].y_from_zero = true;
    for (unsigned setting = 0; setting < 4u * SIM_GOSSIP_MODES; setting++) {
        unsigned mode = setting / 4, how = 1u << setting % 2, clock = 1u << setting / 2 % 2;

        if ((a->modes >> mode & 1) != 0 && (a->hows & how) != 0 && (a->clocks & clock) != 0) {
            s.mode = (enum sim_gossip_mode)mode;
            s.adaptive = how == SIM_GOSSIP_SECOND;
            s.timed = clock == SIM_GOSSIP_SECOND;
            spread_sizes(r, &s);
        }
    }
    buf_printf(&r->notes,
               "medians over seeds, and the worst; rumours, packets and bytes of each member.\n"
               "theory is that of the static fan-out, without slow members and partitions:\n"
               "push log2 n + ln n [Pittel 1987], push-pull log3 n + O(log log n) [Karp et al. "
               "2000].\n");
}

/* --- detection --- */

static const struct sim_plot_column detect_columns[] = {
    {"nodes", "nodes", false},
    {"Lifeguard", "lifeguard", true},
    {"crashes", "crashes", false},
    {"probed, periods", "probed_periods_mean", false},
    {"suspected, periods", "suspected_periods_mean", false},
    {"theory", "suspected_periods_theory", false},
    {"dead, s", "dead_first_s_median", false},
    {"to 99 %, s", "dead_most_s_median", false},
    {"to all, s", "dead_all_s_median", false},
    {"worst, s", "dead_all_s_worst", false},
    {"false views", "false_views", false},
    {"of well", "false_views_well", false},
    {"false deaths", "false_deaths", false},
    {"of well", "false_deaths_well", false},
    {"refutations", "refutations", false},
    {"packets/s", "packets_per_s", false},
    {"bytes/s", "bytes_per_s", false},
};

struct detect_sums {
    uint64_t crashes, *after_us[SIM_GOSSIP_STAGES];
    struct sim_gossip_detect total;
};

static void detect_seeds(const struct sim_gossip_args *a, struct sim_gossip_detect_setup *s,
                         struct detect_sums *sums)
{
    for (int k = 0; k < SIM_GOSSIP_STAGES; k++) {
        sums->after_us[k] = mem_alloc((a->count * s->crashes + 1) * sizeof sums->after_us[k][0]);
    }
    for (uint64_t i = 0; i < a->count; i++) {
        struct sim_gossip_detect got;

        s->world.seed = a->seed + i;
        sim_gossip_detect(s, &got);
        for (int k = 0; k < SIM_GOSSIP_STAGES; k++) {
            memcpy(sums->after_us[k] + sums->crashes, got.after_us[k],
                   got.crashes * sizeof got.after_us[k][0]);
        }
        sums->crashes += got.crashes;
        sums->total.false_views += got.false_views;
        sums->total.false_views_well += got.false_views_well;
        sums->total.false_deaths += got.false_deaths;
        sums->total.false_deaths_well += got.false_deaths_well;
        sums->total.refutations += got.refutations;
        sums->total.packets_per_s += got.packets_per_s / (double)a->count;
        sums->total.bytes_per_s += got.bytes_per_s / (double)a->count;
        sim_gossip_detect_free(&got);
    }
}

static double mean_of(const uint64_t *values, uint64_t count)
{
    double sum = 0;

    for (uint64_t i = 0; i < count; i++) {
        sum += (double)values[i]; /* NEVER makes it absurd, and so it reads */
    }
    return count == 0 ? 0 : sum / (double)count;
}

static void mean_cell(struct sim_plot_table *t, const uint64_t *values, uint64_t count, double unit)
{
    uint64_t worst = count == 0 ? SIM_GOSSIP_NEVER : values[count - 1];

    if (worst == SIM_GOSSIP_NEVER) {
        sim_plot_cell(t, "%s", count == 0 ? "-" : "never");
    } else {
        sim_plot_cell(t, "%.2f", mean_of(values, count) / unit);
    }
}

static void detect_row(struct report *r, const struct sim_gossip_detect_setup *s, bool plain,
                       struct detect_sums *sums)
{
    struct sim_plot_table *t = &r->table;
    double period = (double)s->cfg.probe_us;
    uint64_t count = sums->crashes, median[SIM_GOSSIP_STAGES];

    for (int k = 0; k < SIM_GOSSIP_STAGES; k++) {
        median[k] = median_of(sums->after_us[k], count);
    }
    sim_plot_cell(t, "%u", s->world.nodes);
    sim_plot_cell(t, "%s", plain ? "off" : "on");
    sim_plot_cell(t, "%lu", count);
    mean_cell(t, sums->after_us[SIM_GOSSIP_PROBED], count, period);
    mean_cell(t, sums->after_us[SIM_GOSSIP_SUSPECTED], count, period);
    sim_plot_cell(t, "%.2f", sim_gossip_theory_detection(s->world.nodes));
    value_cell(t, median[SIM_GOSSIP_DEAD], 1e6, 2);
    value_cell(t, median[SIM_GOSSIP_DEAD_MOST], 1e6, 2);
    value_cell(t, median[SIM_GOSSIP_DEAD_ALL], 1e6, 2);
    value_cell(t, count == 0 ? SIM_GOSSIP_NEVER : sums->after_us[SIM_GOSSIP_DEAD_ALL][count - 1],
               1e6, 2);
    sim_plot_cell(t, "%lu", sums->total.false_views);
    sim_plot_cell(t, "%lu", sums->total.false_views_well);
    sim_plot_cell(t, "%lu", sums->total.false_deaths);
    sim_plot_cell(t, "%lu", sums->total.false_deaths_well);
    sim_plot_cell(t, "%lu", sums->total.refutations);
    sim_plot_cell(t, "%.1f", sums->total.packets_per_s);
    sim_plot_cell(t, "%.0f", sums->total.bytes_per_s);
}

/* The share of the crashes that are that far, over time. */
static void draw_detect(struct report *r, const struct sim_gossip_detect_setup *s, bool plain,
                        const struct detect_sums *sums)
{
    static const enum sim_gossip_stage stages[] = {SIM_GOSSIP_SUSPECTED, SIM_GOSSIP_DEAD,
                                                   SIM_GOSSIP_DEAD_ALL};
    static const char *const names[] = {"suspected", "dead to one", "dead to all"};
    struct sim_plot_chart *c = &r->chart[0];
    char name[64];

    for (size_t k = 0; k < ARRAY_COUNT(stages) && c->curves < SIM_PLOT_CURVES_MAX; k++) {
        uint32_t curve;

        (void)snprintf(name, sizeof name, "%s, %u, %s", plain ? "plain" : "Lifeguard",
                       s->world.nodes, names[k]);
        curve = sim_plot_curve_add(c, false, name);
        for (uint64_t i = 0; i < sums->crashes; i++) {
            if (sums->after_us[stages[k]][i] != SIM_GOSSIP_NEVER) {
                sim_plot_add(c, curve, (double)sums->after_us[stages[k]][i] / 1e6,
                             (double)(i + 1) * 100.0 / (double)sums->crashes);
            }
        }
    }
}

static void compare_note(struct report *r, uint32_t nodes, uint64_t with, uint64_t without)
{
    buf_printf(&r->notes, "%u members: %lu false views of well ones with Lifeguard, %lu without",
               nodes, with, without);
    if (without > 0) {
        buf_printf(&r->notes, ": %.4f of them", (double)with / (double)without);
    }
    buf_printf(&r->notes, "\n");
}

/* One size, with Lifeguard and without. */
static void detect_size(struct report *r, uint32_t nodes)
{
    const struct sim_gossip_args *a = r->args;
    uint64_t views[2] = {0};

    for (unsigned plain = 0; plain < 2; plain++) {
        struct detect_sums sums = {0};
        struct sim_gossip_detect_setup s = {
            .world = a->world, .cfg = a->cfg, .time_us = a->time_us, .crashes = a->crashes};

        if ((a->lifeguard >> plain & 1) == 0) {
            continue;
        }
        s.world.nodes = nodes;
        if (s.crashes == SIM_GOSSIP_CRASHES_AUTO) {
            s.crashes = nodes < 100 ? 1 : nodes / 100;
        }
        if (plain == 1) {
            swim_config_plain(&s.cfg);
        }
        detect_seeds(a, &s, &sums);
        detect_row(r, &s, plain == 1, &sums);
        draw_detect(r, &s, plain == 1, &sums);
        views[plain] = sums.total.false_views_well;
        for (int k = 0; k < SIM_GOSSIP_STAGES; k++) {
            mem_free(sums.after_us[k]);
        }
    }
    if (a->lifeguard == SIM_GOSSIP_BOTH) {
        compare_note(r, nodes, views[0], views[1]);
    }
}

static void study_detection(struct report *r)
{
    r->table.column = detect_columns;
    r->table.columns = ARRAY_COUNT(detect_columns);
    r->chart[0].title = "crashed members that are";
    r->chart[0].x_name = "seconds after the crash";
    r->chart[0].y_name = "% of crashes";
    r->chart[0].y_from_zero = true;
    for (uint32_t i = 0; i < r->args->sizes; i++) {
        detect_size(r, r->args->size[i]);
    }
    buf_printf(&r->notes,
               "probed, suspected: means. theory: e/(e-1) periods [SWIM], where all periods begin "
               "together;\nhere each member has its own, and a mean of 1 for the first probe and "
               "1 more for its end is expected.\nfalse view: an observer holds a member dead that "
               "is up; false death: a member buried by one or more; well: it is not slow.\n");
}

/* --- the whole --- */

static void draw_seed(struct sim_gossip_args *a)
{
    uint32_t drawn = 0;

    if (!a->seed_given) {
        if (getrandom(&drawn, sizeof drawn, 0) != (ssize_t)sizeof drawn) {
            drawn = (uint32_t)getpid();
        }
        a->seed = drawn;
        (void)fprintf(stderr, "seed %lu\n", a->seed);
    }
}

static int report(struct report *r)
{
    struct buf out = {0}, svg = {0};
    struct diag why;
    int status = 0;

    sim_plot_print(&r->table, r->args->format, &out);
    if (r->args->format == SIM_PLOT_TABLE) {
        buf_append_slice(&out, buf_slice(&r->notes));
    }
    (void)fwrite(out.data, 1, out.len, stdout);
    if (r->args->svg != NULL) {
        sim_plot_svg(r->chart, r->args->detect ? 1 : CHARTS, &svg);
        if (!sim_plot_write(r->args->svg, &svg, &why)) {
            (void)fprintf(stderr, "synod sim gossip: %s\n", why.text);
            status = 2;
        }
    }
    buf_free(&out);
    buf_free(&svg);
    return status;
}

int sim_gossip_main(int argc, char **argv)
{
    struct sim_gossip_args a;
    struct report r = {.args = &a};
    struct diag why = {0};
    int status;

    if (!sim_gossip_args_parse(&a, argc, argv, &why)) {
        (void)fprintf(stderr, "synod sim gossip: %s; --help lists what there is\n", why.text);
        return 2;
    }
    if (a.help) {
        sim_gossip_args_usage(stdout);
        return 0;
    }
    draw_seed(&a);
    if (a.detect) {
        study_detection(&r);
    } else {
        study_spread(&r);
    }
    status = report(&r);
    for (int i = 0; i < CHARTS; i++) {
        sim_plot_chart_free(&r.chart[i]);
    }
    sim_plot_table_free(&r.table);
    buf_free(&r.notes);
    return status;
}
