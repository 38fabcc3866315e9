/* What a study of placements found, as tables, sentences, CSV and curves. */
#include "sim/sim_ring.h"

#include <stdio.h>

static const struct sim_ring_sample *sample_of(const struct sim_ring_study *s, uint32_t size,
                                               unsigned placer, unsigned measure)
{
    CHECK(measure < SIM_RING_MEASURES);
    return &s->sample[size][placer][measure];
}

/* --- CSV: a line for each measure --- */

static const char *const measure_names[SIM_RING_MOVED] = {
    [SIM_RING_FULLEST] = "fullest_over_fair",
    [SIM_RING_EMPTIEST] = "emptiest_over_fair",
    [SIM_RING_DEVIATION] = "standard_deviation_over_fair",
    [SIM_RING_LEADS_FULLEST] = "leaders_fullest_over_fair",
    [SIM_RING_OVER] = "share_of_nodes_over_bound",
    [SIM_RING_VIOLATIONS] = "share_of_partitions_zone_violated",
    [SIM_RING_DOUBLED] = "share_of_partitions_replica_doubled",
};

static void put_csv_name(struct sim_plot_table *t, unsigned measure)
{
    if (measure < SIM_RING_MOVED) {
        sim_plot_cell(t, "%s", measure_names[measure]);
    } else if (measure < SIM_RING_MOVED_LEADS) {
        sim_plot_cell(t, "share_of_replicas_moved_by_%s",
                      sim_ring_step_name((enum sim_ring_step)(measure - SIM_RING_MOVED)));
    } else {
        sim_plot_cell(t, "share_of_leaders_moved_by_%s",
                      sim_ring_step_name((enum sim_ring_step)(measure - SIM_RING_MOVED_LEADS)));
    }
}

static void report_csv(const struct sim_ring_study *s, struct buf *out)
{
    static const struct sim_plot_column columns[] = {
        {"nodes", "nodes", false},   {"placement", "placement", true}, {"measure", "measure", true},
        {"median", "median", false}, {"worst", "worst", false},        {"mean", "mean", false},
        {"values", "values", false},
    };
    struct sim_plot_table t = {.column = columns, .columns = ARRAY_COUNT(columns)};

    for (uint32_t i = 0; i < s->options->sizes; i++) {
        for (unsigned k = 0; k < SIM_RING_PLACERS; k++) {
            for (unsigned m = 0; m < SIM_RING_MEASURES; m++) {
                const struct sim_ring_sample *v = sample_of(s, i, k, m);

                if (v->count > 0) {
                    sim_plot_cell(&t, "%u", s->options->size[i]);
                    sim_plot_cell(&t, "%s", sim_ring_placer_name((enum sim_ring_placer)k));
                    put_csv_name(&t, m);
                    sim_plot_cell(&t, "%.6f", v->median);
                    sim_plot_cell(&t, "%.6f", v->worst);
                    sim_plot_cell(&t, "%.6f", v->mean);
                    sim_plot_cell(&t, "%u", v->count);
                }
            }
        }
    }
    sim_plot_print(&t, SIM_PLOT_CSV, out);
    sim_plot_table_free(&t);
}

/* --- tables --- */

static void report_balance(const struct sim_ring_study *s, struct buf *out)
{
    static const struct sim_plot_column columns[] = {
        {"nodes", "", false},        {"placement", "", true},       {"fullest", "", false},
        {"at worst", "", false},     {"emptiest", "", false},       {"at worst", "", false},
        {"deviation %", "", false},  {"leaders", "", false},        {"at worst", "", false},
        {"over bound %", "", false}, {"zones broken %", "", false},
    };
    struct sim_plot_table t = {.column = columns, .columns = ARRAY_COUNT(columns)};

    for (uint32_t i = 0; i < s->options->sizes; i++) {
        for (unsigned k = 0; k < SIM_RING_PLACERS; k++) {
            const struct sim_ring_sample *m = s->sample[i][k];

            sim_plot_cell(&t, "%u", s->options->size[i]);
            sim_plot_cell(&t, "%s", sim_ring_placer_name((enum sim_ring_placer)k));
            sim_plot_cell(&t, "%.2f", m[SIM_RING_FULLEST].median);
            sim_plot_cell(&t, "%.2f", m[SIM_RING_FULLEST].worst);
            sim_plot_cell(&t, "%.2f", m[SIM_RING_EMPTIEST].median);
            sim_plot_cell(&t, "%.2f", m[SIM_RING_EMPTIEST].worst);
            sim_plot_cell(&t, "%.1f", 100 * m[SIM_RING_DEVIATION].median);
            sim_plot_cell(&t, "%.2f", m[SIM_RING_LEADS_FULLEST].median);
            sim_plot_cell(&t, "%.2f", m[SIM_RING_LEADS_FULLEST].worst);
            sim_plot_cell(&t, "%.1f", 100 * m[SIM_RING_OVER].mean);
            sim_plot_cell(&t, "%.1f", 100 * m[SIM_RING_VIOLATIONS].mean);
        }
    }
    buf_printf(out,
               "\nBalance: replicas of the fullest and the emptiest node over their fair share "
               "(1.00 is even);\nleaders: the same of the node that leads most; over bound: "
               "nodes above their share rounded\nup, in all states; zones broken: partitions "
               "with two replicas in a zone needlessly\n");
    sim_plot_print(&t, SIM_PLOT_TABLE, out);
    sim_plot_table_free(&t);
}

/* What is moved beside what must be; negative: nothing must be. */
static double times_ideal(const struct sim_ring_study *s, uint32_t size, unsigned placer,
                          unsigned step)
{
    double ideal = sample_of(s, size, SIM_RING_IDEAL, SIM_RING_MOVED + step)->mean;

    return ideal < 1e-9 ? -1 : sample_of(s, size, placer, SIM_RING_MOVED + step)->mean / ideal;
}

static void put_move(struct sim_plot_table *t, const struct sim_ring_study *s, uint32_t size,
                     const unsigned which[2])
{
    const struct sim_ring_sample *moved = sample_of(s, size, which[0], SIM_RING_MOVED + which[1]);
    const struct sim_ring_sample *leads =
        sample_of(s, size, which[0], SIM_RING_MOVED_LEADS + which[1]);
    double times = times_ideal(s, size, which[0], which[1]);

    sim_plot_cell(t, "%u", s->options->size[size]);
    sim_plot_cell(t, "%s", sim_ring_step_name((enum sim_ring_step)which[1]));
    sim_plot_cell(t, "%s", sim_ring_placer_name((enum sim_ring_placer)which[0]));
    sim_plot_cell(t, "%.2f", 100 * moved->median);
    sim_plot_cell(t, "%.2f", 100 * moved->worst);
    if (times < 0) {
        sim_plot_cell(t, "-");
    } else {
        sim_plot_cell(t, "%.2f", times);
    }
    sim_plot_cell(t, "%.1f", 100 * leads->median);
    sim_plot_cell(t, "%.1f", 100 * leads->worst);
}

static void report_moves(const struct sim_ring_study *s, struct buf *out)
{
    static const struct sim_plot_column columns[] = {
        {"nodes", "", false},     {"step", "", true},      {"placement", "", true},
        {"moved %", "", false},   {"at worst", "", false}, {"times ideal", "", false},
        {"leaders %", "", false}, {"at worst", "", false},
    };
    struct sim_plot_table t = {.column = columns, .columns = ARRAY_COUNT(columns)};

    for (uint32_t i = 0; i < s->options->sizes; i++) {
        for (unsigned step = 0; step < SIM_RING_KINDS; step++) {
            for (unsigned k = 0; k < SIM_RING_PLACERS; k++) {
                if (sample_of(s, i, k, SIM_RING_MOVED + step)->count > 0) {
                    put_move(&t, s, i, (const unsigned[2]){k, step});
                }
            }
        }
    }
    buf_printf(out, "\nMovement: share of all replicas that one step moves to another node; the "
                    "ideal is what\nstays unavoidable when both before and after are even; "
                    "leaders: partitions with another leader\n");
    sim_plot_print(&t, SIM_PLOT_TABLE, out);
    sim_plot_table_free(&t);
}

/* --- sentences --- */

static void put_setting(const struct sim_ring_options *o, struct buf *out)
{
    buf_printf(out, "%u partitions, %u replicas, %u zone%s, ", o->shape.partitions,
               o->shape.replicas, o->zones, o->zones == 1 ? "" : "s");
    if (o->weights == 0) {
        buf_printf(out, "weights 1 to %u", o->weight_most);
    } else {
        buf_printf(out, "weights");
        for (uint32_t i = 0; i < o->weights; i++) {
            buf_printf(out, " %u", o->weight[i]);
        }
    }
    buf_printf(out, "; draws of seeds %lu to %lu\n", o->seed, o->seed + o->count - 1);
}

static void put_sentence(const struct sim_ring_study *s, uint32_t size, unsigned placer,
                         struct buf *out)
{
    const struct sim_ring_sample *m = s->sample[size][placer];
    const char *between = "; moves, beside what must move:";
    double broken = 100 * m[SIM_RING_VIOLATIONS].mean;

    buf_printf(out, "  %s: the fullest node carries %.2f times its share (at worst %.2f)",
               sim_ring_placer_name((enum sim_ring_placer)placer), m[SIM_RING_FULLEST].median,
               m[SIM_RING_FULLEST].worst);
    for (unsigned step = 0; step < SIM_RING_KINDS; step++) {
        double times = times_ideal(s, size, placer, step);

        if (m[SIM_RING_MOVED + step].count > 0 && times >= 0) {
            buf_printf(out, "%s %s %.2f times", between,
                       sim_ring_step_name((enum sim_ring_step)step), times);
            between = ",";
        }
    }
    if (broken > 0) {
        buf_printf(out, "; %.1f %% of partitions have two replicas in a zone needlessly", broken);
    }
    buf_printf(out, "\n");
}

static void report_words(const struct sim_ring_study *s, struct buf *out)
{
    for (uint32_t i = 0; i < s->options->sizes; i++) {
        buf_printf(out, "\nWith %u node%s:\n", s->options->size[i],
                   s->options->size[i] == 1 ? "" : "s");
        for (unsigned k = 0; k < SIM_RING_IDEAL; k++) {
            put_sentence(s, i, k, out);
        }
    }
}

double sim_ring_broken(const struct sim_ring_study *s)
{
    double sum = 0;

    for (uint32_t i = 0; i < s->options->sizes; i++) {
        sum += sample_of(s, i, SIM_RING_SYNOD, SIM_RING_VIOLATIONS)->mean;
        sum += sample_of(s, i, SIM_RING_SYNOD, SIM_RING_DOUBLED)->mean;
        sum += sample_of(s, i, SIM_RING_SYNOD, SIM_RING_OVER)->mean;
    }
    return sum / s->options->sizes;
}

void sim_ring_report(const struct sim_ring_study *s, struct buf *out)
{
    switch (s->options->format) {
    case SIM_PLOT_CSV:
        report_csv(s, out);
        return;
    case SIM_PLOT_TABLE:
        put_setting(s->options, out);
        report_balance(s, out);
        if (s->options->steps > 0) {
            report_moves(s, out);
        }
        report_words(s, out);
        return;
    }
}

/* --- curves --- */

static void draw_measure(const struct sim_ring_study *s, struct sim_plot_chart *c, unsigned measure,
                         double unit)
{
    for (unsigned k = 0; k < SIM_RING_PLACERS; k++) {
        uint32_t curve = sim_plot_curve_add(c, k == SIM_RING_IDEAL,
                                            sim_ring_placer_name((enum sim_ring_placer)k));

        for (uint32_t i = 0; i < s->options->sizes; i++) {
            const struct sim_ring_sample *v = sample_of(s, i, k, measure);

            if (v->count > 0) {
                sim_plot_add(c, curve, s->options->size[i], unit * v->median);
            }
        }
    }
}

void sim_ring_draw(const struct sim_ring_study *s, struct buf *out)
{
    static const char *const titles[SIM_RING_KINDS] = {
        [SIM_RING_JOIN] = "Replicas moved when a node joins",
        [SIM_RING_LEAVE] = "Replicas moved when a node leaves",
        [SIM_RING_WEIGHT] = "Replicas moved when a node's weight changes",
        [SIM_RING_ZONE] = "Replicas moved when a node's zone changes"};
    struct sim_plot_chart chart[1 + SIM_RING_KINDS];
    uint32_t charts = 1;

    chart[0] = (struct sim_plot_chart){.title = "Balance: the fullest node (median)",
                                       .x_name = "nodes",
                                       .y_name = "replicas over the fair share",
                                       .x_log = true};
    draw_measure(s, &chart[0], SIM_RING_FULLEST, 1);
    for (unsigned step = 0; step < SIM_RING_KINDS; step++) {
        if (sample_of(s, 0, SIM_RING_SYNOD, SIM_RING_MOVED + step)->count > 0) {
            chart[charts] = (struct sim_plot_chart){.title = titles[step],
                                                    .x_name = "nodes before",
                                                    .y_name = "% of all replicas (median)",
                                                    .x_log = true,
                                                    .y_from_zero = true};
            draw_measure(s, &chart[charts++], SIM_RING_MOVED + step, 100);
        }
    }
    sim_plot_svg(chart, charts, out);
    for (uint32_t i = 0; i < charts; i++) {
        sim_plot_chart_free(&chart[i]);
    }
}

/* --- the command --- */

static int complain(const struct diag *why)
{
    (void)fprintf(stderr, "synod sim ring: %s; --help lists what there is\n", why->text);
    return 2;
}

static int study(const struct sim_ring_options *o, struct buf *out, struct diag *why)
{
    static struct sim_ring_study s; /* large */
    int status = 0;

    if (!sim_ring_run(&s, o, why)) {
        return complain(why);
    }
    sim_ring_report(&s, out);
    if (o->svg != NULL) {
        struct buf svg = {0};

        sim_ring_draw(&s, &svg);
        if (!sim_plot_write(o->svg, &svg, why)) {
            status = complain(why);
        }
        buf_free(&svg);
    }
    if (sim_ring_broken(&s) > 0) {
        (void)fprintf(stderr,
                      "synod sim ring: synod's own placement broke a promise: %.4f %% of "
                      "partitions lack a node or zone of their own for each replica, or nodes "
                      "have more than their share\n",
                      100 * sim_ring_broken(&s));
        status = status == 0 ? 1 : status;
    }
    sim_ring_free(&s);
    return status;
}

int sim_ring_main(int argc, char **argv)
{
    struct sim_ring_options o;
    struct diag why = {""};
    struct buf out = {0};
    int status = 0;

    if (!sim_ring_parse(&o, argc, argv, &why)) {
        return complain(&why);
    }
    if (o.help) {
        sim_ring_usage(&out);
    } else {
        status = study(&o, &out, &why);
    }
    if (out.len > 0) {
        (void)fwrite(out.data, 1, out.len, stdout);
    }
    buf_free(&out);
    return status;
}
