/* What came of the seeds that a command line names. */
#include "sim/sim.h"

#include "sim/sim_check.h"
#include "sim/sim_finding.h"
#include "sim/sim_gossip.h"
#include "sim/sim_pool.h"
#include "sim/sim_ring.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

static void draw_seed(struct sim_args *a)
{
    if (!a->seed_given) {
        uint32_t drawn = 0;

        if (getrandom(&drawn, sizeof drawn, 0) != (ssize_t)sizeof drawn) {
            drawn = (uint32_t)getpid();
        }
        a->sim.seed = drawn;
        (void)printf("seed %lu\n", a->sim.seed);
    }
}

static void settle_numbers(struct sim_args *a)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    draw_seed(a);
    if (a->minutes != 0) {
        a->count = UINT64_MAX - a->sim.seed;
    }
    if (a->jobs == 0) {
        a->jobs = cpus < 1 ? 1 : cpus > SIM_JOBS_MAX ? SIM_JOBS_MAX : (uint32_t)cpus;
    }
    if (a->sim.log != SIM_LOG_NONE) {
        a->jobs = 1; /* the lines of two runs must not mix */
    }
}

static void print_sums(const struct sim_args *a, const struct sim_pool *p)
{
    struct sim_pool_sums s = sim_pool_sum(p);
    double virtual_s = (double)s.virtual_us / 1e6;

    (void)printf("%lu seeds, %.0f virtual s in %.1f s: %.0f seeds a minute, %.0f times real time, "
                 "%.0f on one processor\n",
                 s.seeds, virtual_s, p->seconds, (double)s.seeds / p->seconds * 60,
                 virtual_s / p->seconds, virtual_s / p->busy_s);
    (void)printf("%lu operations: %lu ok, %lu did not happen, %lu unknown; %lu faults, %lu turns; "
                 "%lu objects undecided\n",
                 s.ops, s.ops_ok, s.ops_fail, s.ops_unknown, s.faults, s.turns, s.inconclusive);
    if (a->minutes != 0 || (p->complete && a->count > 1)) {
        (void)printf("combined trace of seeds %lu to %lu: %016lx\n", a->sim.seed,
                     a->sim.seed + s.seeds - 1, s.combined);
    }
}

/* A run of the whole mix, long enough for every mark. */
static bool marks_due(const struct sim_args *a, uint64_t seeds)
{
    const struct sim_options *o = &a->sim;
    bool whole_mix = o->bug == SIM_BUG_NONE && o->fault_mask_off == 0 && o->only_faults == NULL &&
                     o->skip_faults == NULL && o->only_ops == NULL && o->skip_ops == NULL &&
                     o->hosts_given == 0 && o->partitions_given == 0 && o->clients_given == 0 &&
                     o->keys_given == 0;

    return a->marks == SIM_MARKS_REQUIRED ||
           (a->marks == SIM_MARKS_AUTO && whole_mix && seeds >= SIM_MARKS_REQUIRED_FROM);
}

/* False: a mark that is due was never reached. */
static bool print_marks(const struct sim_args *a, const struct sim_pool *p)
{
    uint64_t seeds = sim_pool_sum(p).seeds;
    bool list = a->marks == SIM_MARKS_LIST || a->marks == SIM_MARKS_REQUIRED ||
                (a->marks == SIM_MARKS_AUTO && seeds >= SIM_MARKS_LIST_FROM);
    struct sim_marks_sum sum = sim_marks_sum_up(&p->marks, seeds, list ? stdout : NULL);
    bool due = marks_due(a, seeds) && p->findings == 0 && !p->interrupted && sum.missing > 0;

    (void)printf("%u of %u marks reached; %lu findings\n", sum.reached, sum.total, p->findings);
    if (due) {
        (void)printf("FAILED: %u marks must be reached in %lu seeds and were not:\n", sum.missing,
                     seeds);
        sim_marks_missing(&p->marks, seeds, stdout);
    }
    return !due;
}

static int run(const struct sim_args *a)
{
    struct diag why = {0};
    struct sim_pool *p = sim_pool_run(a, &why);
    const struct sim_pool_finding *first;
    int status = 0;

    if (p == NULL) {
        (void)fprintf(stderr, "synod sim: %s\n", why.text);
        return 2;
    }
    print_sums(a, p);
    if (!print_marks(a, p)) {
        status = 1;
    }
    first = sim_pool_first(p);
    if (first != NULL) {
        status = 1;
        if (!sim_finding_report(a, first->seed, &first->verdict)) {
            (void)printf("run again, the seed did not end like that: the run is not repeatable\n");
        }
    } else if (p->interrupted) {
        status = 130;
    }
    sim_pool_free(p);
    return status;
}

int sim_main(int argc, char **argv)
{
    struct sim_args a;
    struct diag why = {0};
    int status = 2;

    if (argc > 1 && strcmp(argv[1], "check") == 0) {
        return sim_check_main(argc - 1, argv + 1);
    }
    if (argc > 1 && strcmp(argv[1], "ring") == 0) {
        return sim_ring_main(argc - 1, argv + 1);
    }
    if (argc > 1 && strcmp(argv[1], "gossip") == 0) {
        return sim_gossip_main(argc - 1, argv + 1);
    }
    if (!sim_args_parse(&a, argc, argv, &why)) {
        (void)fprintf(stderr, "synod sim: %s; --help lists what there is\n", why.text);
    } else if (a.help) {
        sim_args_usage(stdout);
        status = 0;
    } else {
        settle_numbers(&a);
        status = run(&a);
    }
    sim_args_free(&a);
    return status;
}
