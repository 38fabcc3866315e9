/* Many draws of a cluster: the same members and steps for every placement. */
#include "sim/sim_ring.h"

#include "base/base_mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *sim_ring_step_name(enum sim_ring_step step)
{
    static const char *const names[] = {[SIM_RING_JOIN] = "join",
                                        [SIM_RING_LEAVE] = "leave",
                                        [SIM_RING_WEIGHT] = "weight",
                                        [SIM_RING_ZONE] = "zone"};

    CHECK(step < SIM_RING_KINDS);
    return names[step];
}

/* One draw of one size, and what each placement makes of it. */
struct draw {
    const struct sim_ring_options *options;
    struct sim_ring_shape shape;
    struct prng prng;
    struct sim_ring_cluster now, before;
    struct ring_placement *placed[SIM_RING_PLACERS], *was[SIM_RING_PLACERS];
    uint64_t violations[SIM_RING_PLACERS], doubled[SIM_RING_PLACERS]; /* in all states */
    struct sim_ring_sample (*sample)[SIM_RING_MEASURES];              /* [placer] */
};

static void record(struct sim_ring_sample *s, double value)
{
    MEM_GROW(s->value, s->count, s->room);
    s->value[s->count++] = value;
}

/* --- what happens to the members --- */

/* The weight of the next one to join; always the same number of draws, whatever the options. */
static uint32_t next_weight(struct draw *d)
{
    const struct sim_ring_options *o = d->options;
    uint32_t drawn = (uint32_t)prng_between(&d->prng, 1, o->weight_most);

    return o->weights == 0 ? drawn : o->weight[d->now.joined % o->weights];
}

static void join(struct draw *d)
{
    uint32_t weight = next_weight(d), zone = d->now.joined % d->options->zones;

    sim_ring_join(&d->now, prng_next(&d->prng), weight, zone);
}

/* Another weight than before: one more, one less, half or double of it. */
static uint32_t changed_weight(struct draw *d, uint32_t weight)
{
    uint32_t other = 0;

    switch (prng_below(&d->prng, 4)) {
    case 0:
        other = weight + 1;
        break;
    case 1:
        other = weight - 1;
        break;
    case 2:
        other = weight / 2;
        break;
    default:
        other = weight * 2;
    }
    return other == 0 || other > RING_WEIGHT_MAX || other == weight ? weight % 2 + 1 : other;
}

static void take_step(struct draw *d, enum sim_ring_step step)
{
    uint32_t pos = (uint32_t)prng_below(&d->prng, d->now.nodes);
    struct ring_node *n = &d->now.node[pos];

    switch (step) {
    case SIM_RING_JOIN:
        join(d);
        break;
    case SIM_RING_LEAVE:
        sim_ring_leave(&d->now, pos);
        break;
    case SIM_RING_WEIGHT:
        sim_ring_reweigh(&d->now, pos, changed_weight(d, n->weight));
        break;
    case SIM_RING_ZONE:
        n->zone = (n->zone + 1 + (uint32_t)prng_below(&d->prng, d->options->zones - 1)) %
                  d->options->zones;
        break;
    case SIM_RING_KINDS:
        UNREACHABLE("no step");
    }
}

/* --- what is measured --- */

/* present: what synod placed before the step; NULL: nothing. */
static MUST_USE bool place_all(struct draw *d, const struct ring_placement *present,
                               struct diag *why)
{
    const struct sim_ring_scene scene = {&d->now, &d->shape, present};

    for (unsigned k = 0; k < SIM_RING_IDEAL; k++) {
        if (!sim_ring_place(&scene, (enum sim_ring_placer)k, d->placed[k], why)) {
            return false;
        }
    }
    return true;
}

/* Balance is of the size that was asked for; what must never be broken is looked at always. */
static void measure_state(struct draw *d, bool first)
{
    for (unsigned k = 0; k < SIM_RING_PLACERS; k++) {
        struct sim_ring_sample *sample = d->sample[k];
        struct sim_ring_balance b;

        if (k == SIM_RING_IDEAL) {
            sim_ring_weigh_ideal(&d->now, &d->shape, &b);
        } else {
            sim_ring_weigh(&d->now, &d->shape, d->placed[k], &b);
        }
        record(&sample[SIM_RING_OVER], b.over);
        d->violations[k] += b.zone_violations;
        d->doubled[k] += b.doubled;
        if (first) {
            record(&sample[SIM_RING_FULLEST], b.fullest);
            record(&sample[SIM_RING_EMPTIEST], b.emptiest);
            record(&sample[SIM_RING_DEVIATION], b.deviation);
            record(&sample[SIM_RING_LEADS_FULLEST], b.leads_fullest);
        }
    }
}

static void measure_step(struct draw *d, enum sim_ring_step step)
{
    for (unsigned k = 0; k < SIM_RING_PLACERS; k++) {
        struct sim_ring_move m = k == SIM_RING_IDEAL
                                     ? sim_ring_moved_ideal(&d->before, &d->now, &d->shape)
                                     : sim_ring_moved(&d->shape, d->was[k], d->placed[k]);

        record(&d->sample[k][SIM_RING_MOVED + step], m.replicas);
        record(&d->sample[k][SIM_RING_MOVED_LEADS + step], m.leads);
    }
}

static MUST_USE bool run_steps(struct draw *d, struct diag *why)
{
    for (uint32_t i = 0; i < d->options->steps; i++) {
        d->before = d->now;
        for (unsigned k = 0; k < SIM_RING_IDEAL; k++) {
            struct ring_placement *swapped = d->was[k];

            d->was[k] = d->placed[k];
            d->placed[k] = swapped;
        }
        take_step(d, d->options->step[i]);
        if (!place_all(d, d->was[SIM_RING_SYNOD], why)) {
            return false;
        }
        measure_step(d, d->options->step[i]);
        measure_state(d, false);
    }
    return true;
}

static MUST_USE bool run_draw(struct draw *d, uint32_t nodes, uint64_t seed, struct diag *why)
{
    double states = (double)d->shape.partitions * (1 + d->options->steps);

    d->prng = (struct prng){seed};
    d->now = (struct sim_ring_cluster){.nodes = 0};
    d->shape.salt = prng_next(&d->prng);
    memset(d->violations, 0, sizeof d->violations);
    memset(d->doubled, 0, sizeof d->doubled);
    for (uint32_t i = 0; i < nodes; i++) {
        join(d);
    }
    if (!place_all(d, NULL, why)) {
        return false;
    }
    measure_state(d, true);
    if (!run_steps(d, why)) {
        return false;
    }
    for (unsigned k = 0; k < SIM_RING_PLACERS; k++) {
        record(&d->sample[k][SIM_RING_VIOLATIONS], (double)d->violations[k] / states);
        record(&d->sample[k][SIM_RING_DOUBLED], (double)d->doubled[k] / states);
    }
    return true;
}

/* --- samples --- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void settle(struct sim_ring_sample *s, bool least_is_worst)
{
    double sum = 0;

    if (s->count == 0) {
        return;
    }
    qsort(s->value, s->count, sizeof s->value[0], by_value);
    for (uint32_t i = 0; i < s->count; i++) {
        sum += s->value[i];
    }
    s->mean = sum / s->count;
    s->median = (s->value[(s->count - 1) / 2] + s->value[s->count / 2]) / 2;
    s->worst = s->value[least_is_worst ? 0 : s->count - 1];
}

static void settle_all(struct sim_ring_study *s)
{
    for (uint32_t i = 0; i < s->options->sizes; i++) {
        for (unsigned k = 0; k < SIM_RING_PLACERS; k++) {
            for (unsigned m = 0; m < SIM_RING_MEASURES; m++) {
                settle(&s->sample[i][k][m], m == SIM_RING_EMPTIEST);
            }
        }
    }
}

bool sim_ring_run(struct sim_ring_study *s, const struct sim_ring_options *o, struct diag *why)
{
    struct draw *d = mem_zalloc(sizeof *d);
    size_t bytes = o->shape.partitions * sizeof(struct ring_placement);
    bool good = true;

    *s = (struct sim_ring_study){.options = o};
    d->options = o;
    d->shape = o->shape;
    for (unsigned k = 0; k < SIM_RING_IDEAL; k++) {
        d->placed[k] = mem_zalloc(bytes);
        d->was[k] = mem_zalloc(bytes);
    }
    for (uint32_t i = 0; i < o->sizes && good; i++) {
        d->sample = s->sample[i];
        for (uint32_t n = 0; n < o->count && good; n++) {
            good = run_draw(d, o->size[i], o->seed + n, why);
        }
    }
    for (unsigned k = 0; k < SIM_RING_IDEAL; k++) {
        mem_free(d->placed[k]);
        mem_free(d->was[k]);
    }
    mem_free(d);
    settle_all(s);
    if (!good) {
        sim_ring_free(s);
    }
    return good;
}

void sim_ring_free(struct sim_ring_study *s)
{
    for (uint32_t i = 0; i < SIM_RING_SIZES_MAX; i++) {
        for (unsigned k = 0; k < SIM_RING_PLACERS; k++) {
            for (unsigned m = 0; m < SIM_RING_MEASURES; m++) {
                mem_free(s->sample[i][k][m].value);
                s->sample[i][k][m] = (struct sim_ring_sample){.value = NULL};
            }
        }
    }
}
