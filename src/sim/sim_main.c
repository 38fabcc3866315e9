/* The command line: which seeds, in how many processes, and what came of them. */
#include "sim/sim.h"

#include "sim/sim_world.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { JOBS_MAX = 64, MARKS_MAX = 1024, SEED_SECONDS_MAX = 300, POLL_US = 20000 };

struct main_options {
    struct sim_options sim;
    uint64_t count;
    uint32_t jobs;
    bool verify, keep_going, seed_given;
    struct sim_set only_faults, skip_faults, only_ops, skip_ops;
};

/* Shared with the worker processes. */
struct worker_report {
    uint64_t next; /* the seed it is at; beyond the last: finished */
    uint64_t seeds, combined, virtual_us, turns, ops, ops_ok, ops_unknown, ops_fail, inconclusive;
    uint64_t faults;
    bool found;
    uint64_t found_seed;
    char finding[2048];
};
struct shared {
    volatile bool stop;
    struct worker_report of[JOBS_MAX];
    uint64_t marks[MARKS_MAX];
};

static const char usage[] =
    "usage: synod sim cluster [options]\n"
    "  --seed S         the first seed; without it one is drawn and printed\n"
    "  --count N        run seeds S to S+N-1 (1)\n"
    "  --time SECONDS   virtual length of the phase of faults (10)\n"
    "  --log short|full what happens, line by line, in virtual time\n"
    "  --jobs N         processes (all processors)\n"
    "  --verify         run each seed twice and compare the trace hashes\n"
    "  --keep-going     report every finding, not only the first\n"
    "  --no-order       do not judge the order of what one client pipelined\n"
    "  --without CLASS  leave a class of faults out, to shrink a finding\n"
    "  --only-faults, --skip-faults, --only-ops, --skip-ops LIST\n"
    "                   these faults or operations alone, or all but these: 3,7-9,2.14\n"
    "  --bug NAME       plant a bug on purpose; the run must find it:\n";

static void print_usage(FILE *to)
{
    (void)fputs(usage, to);
    for (unsigned i = 1; i < SIM_BUG_COUNT; i++) {
        (void)fprintf(to, "                     %-20s %-6s %s\n", sim_bug_name((enum sim_bug)i),
                      sim_bug_room((enum sim_bug)i), sim_bug_what((enum sim_bug)i));
    }
    (void)fputs("  classes of faults:", to);
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        (void)fprintf(to, " %s", sim_fault_name((enum sim_fault)i));
    }
    (void)fputs("\n", to);
}

static bool parse_number(const char *text, uint64_t *out)
{
    char *end;

    errno = 0;
    *out = strtoull(text, &end, 0);
    return errno == 0 && *text != 0 && *text != '-' && *end == 0;
}

static bool parse_bug(const char *text, enum sim_bug *out)
{
    for (unsigned i = 0; i < SIM_BUG_COUNT; i++) {
        if (strcmp(text, sim_bug_name((enum sim_bug)i)) == 0) {
            *out = (enum sim_bug)i;
            return true;
        }
    }
    return false;
}

static bool parse_fault(const char *text, uint64_t *mask)
{
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        if (strcmp(text, sim_fault_name((enum sim_fault)i)) == 0) {
            *mask |= sim_fault_bit((enum sim_fault)i);
            return true;
        }
    }
    return false;
}

static bool parse_log(const char *text, enum sim_log *out)
{
    *out = strcmp(text, "full") == 0 ? SIM_LOG_FULL : SIM_LOG_SHORT;
    return strcmp(text, "full") == 0 || strcmp(text, "short") == 0;
}

/* What to leave out. The set is the caller's and lives as long as the program. */
static bool parse_set(const char *text, struct sim_set *set, const struct sim_set **out)
{
    *out = set;
    return sim_set_parse(set, text);
}

static bool parse_choice(struct main_options *o, const char *name, const char *value, bool *known)
{
    *known = true;
    if (strcmp(name, "--only-faults") == 0) {
        return parse_set(value, &o->only_faults, &o->sim.only_faults);
    }
    if (strcmp(name, "--skip-faults") == 0) {
        return parse_set(value, &o->skip_faults, &o->sim.skip_faults);
    }
    if (strcmp(name, "--only-ops") == 0) {
        return parse_set(value, &o->only_ops, &o->sim.only_ops);
    }
    if (strcmp(name, "--skip-ops") == 0) {
        return parse_set(value, &o->skip_ops, &o->sim.skip_ops);
    }
    *known = false;
    return false;
}

/* An option with a value; false: unknown, or a bad value. */
static bool parse_valued(struct main_options *o, const char *name, const char *value)
{
    uint64_t n = 0;
    bool is_number = parse_number(value, &n);
    bool known;
    bool fine = parse_choice(o, name, value, &known);

    if (known) {
        return fine;
    }
    if (strcmp(name, "--seed") == 0) {
        o->sim.seed = n;
        o->seed_given = true;
        return is_number;
    }
    if (strcmp(name, "--count") == 0) {
        o->count = n;
        return is_number && n > 0;
    }
    if (strcmp(name, "--time") == 0) {
        o->sim.fault_us = n * 1000000;
        return is_number && n > 0 && n <= 1000000;
    }
    if (strcmp(name, "--jobs") == 0) {
        o->jobs = (uint32_t)n;
        return is_number && n > 0 && n <= JOBS_MAX;
    }
    if (strcmp(name, "--log") == 0) {
        return parse_log(value, &o->sim.log);
    }
    if (strcmp(name, "--bug") == 0) {
        return parse_bug(value, &o->sim.bug);
    }
    if (strcmp(name, "--without") == 0) {
        return parse_fault(value, &o->sim.fault_mask_off);
    }
    return false;
}

/* -1: go on; otherwise the exit status. */
static int parse(int argc, char **argv, struct main_options *o)
{
    int at = 1;

    if (argc > at && strcmp(argv[at], "cluster") == 0) {
        at++;
    }
    while (at < argc) {
        if (strcmp(argv[at], "--help") == 0) {
            print_usage(stdout);
            return 0;
        }
        if (strcmp(argv[at], "--verify") == 0) {
            o->verify = true;
            at++;
        } else if (strcmp(argv[at], "--no-order") == 0) {
            o->sim.any_order = true;
            at++;
        } else if (strcmp(argv[at], "--keep-going") == 0) {
            o->keep_going = true;
            at++;
        } else if (at + 1 < argc && parse_valued(o, argv[at], argv[at + 1])) {
            at += 2;
        } else {
            (void)fprintf(stderr, "synod sim: cannot make sense of '%s%s%s'\n", argv[at],
                          at + 1 < argc ? " " : "", at + 1 < argc ? argv[at + 1] : "");
            print_usage(stderr);
            return 2;
        }
    }
    return -1;
}

/* --- workers --- */

static void mark_add(const struct base_mark *mark, void *arg)
{
    uint64_t **at = arg;

    *(*at) += mark->hits;
    (*at)++;
}

struct mark_counter {
    uint64_t count;
};
static void mark_count(const struct base_mark *mark, void *arg)
{
    struct mark_counter *c = arg;

    (void)mark;
    c->count++;
}

static uint64_t marks_in_program(void)
{
    struct mark_counter c = {0};

    base_marks_each(mark_count, &c);
    return c.count < MARKS_MAX ? c.count : MARKS_MAX;
}

static void report_found(struct worker_report *r, uint64_t seed, const char *what)
{
    r->found = true;
    r->found_seed = seed;
    (void)snprintf(r->finding, sizeof r->finding, "%s", what);
}

static void run_seed(const struct main_options *o, struct worker_report *r, uint64_t seed)
{
    struct sim_options given = o->sim;
    struct sim_result once, twice;

    given.seed = seed;
    (void)alarm(SEED_SECONDS_MAX);
    sim_world_run(&given, &once);
    if (o->verify && !once.found) {
        sim_world_run(&given, &twice);
        if (twice.trace != once.trace) {
            report_found(r, seed, "two runs of the seed differ: the simulation is not repeatable");
        }
    }
    r->seeds++;
    r->combined += hash64_mix(seed, once.trace);
    r->virtual_us += once.virtual_us;
    r->turns += once.turns;
    r->ops += once.ops;
    r->ops_ok += once.ops_ok;
    r->ops_fail += once.ops_fail;
    r->ops_unknown += once.ops_unknown;
    r->inconclusive += once.inconclusive;
    r->faults += once.faults;
    if (once.found) {
        report_found(r, seed, once.finding);
    }
    if (o->count == 1) {
        (void)printf("seed %lu trace %016lx\n", seed, once.trace);
    }
}

static _Noreturn void work(const struct main_options *o, struct shared *s, uint32_t id)
{
    struct worker_report *r = &s->of[id];
    uint64_t end = o->sim.seed + o->count;
    uint64_t *marks = s->marks;

    while (r->next < end && !s->stop && !r->found) {
        uint64_t seed = r->next;

        run_seed(o, r, seed);
        r->next = seed + o->jobs;
    }
    /* Processes add to one array; a lost count does not turn a reached mark unreached. */
    base_marks_each(mark_add, &marks);
    (void)fflush(stdout);
    _exit(0);
}

static pid_t start_worker(const struct main_options *o, struct shared *s, uint32_t id)
{
    pid_t pid;

    (void)fflush(stdout);
    pid = fork();
    if (pid == 0) {
        work(o, s, id);
    }
    return pid;
}

static void print_finding(const struct main_options *o, const struct worker_report *r)
{
    (void)printf("FINDING seed %lu: %s\n", r->found_seed, r->finding);
    (void)printf("  replay: ./dev sim --seed %lu --time %lu", r->found_seed,
                 o->sim.fault_us / 1000000);
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        if ((o->sim.fault_mask_off & sim_fault_bit((enum sim_fault)i)) != 0) {
            (void)printf(" --without %s", sim_fault_name((enum sim_fault)i));
        }
    }
    if (o->sim.bug != SIM_BUG_NONE) {
        (void)printf(" --bug %s", sim_bug_name(o->sim.bug));
    }
    (void)printf("%s --log full\n", o->sim.any_order ? " --no-order" : "");
    (void)fflush(stdout);
}

/* A worker ended. True: it should be started again for its remaining seeds. */
static bool worker_ended(const struct main_options *o, struct shared *s, uint32_t id, int status,
                         uint64_t *findings)
{
    struct worker_report *r = &s->of[id];

    if (WIFSIGNALED(status)) {
        char what[160];
        int sig = WTERMSIG(status);

        (void)snprintf(what, sizeof what, "the process died of signal %d (%s)", sig,
                       sig == SIGALRM ? "the seed takes for ever" : "see the lines above");
        report_found(r, r->next, what);
        r->next += o->jobs;
    } else if (WEXITSTATUS(status) != 0) {
        report_found(r, r->next, "the process ended early (see the lines above)");
        r->next += o->jobs;
    }
    if (!r->found) {
        return false;
    }
    (*findings)++;
    print_finding(o, r);
    r->found = false;
    if (!o->keep_going) {
        s->stop = true;
    }
    return o->keep_going && r->next < o->sim.seed + o->count;
}

static void sum_up(const struct main_options *o, struct shared *s, double seconds,
                   struct worker_report *sum)
{
    for (uint32_t i = 0; i < o->jobs; i++) {
        const struct worker_report *r = &s->of[i];

        sum->seeds += r->seeds;
        sum->combined += r->combined;
        sum->virtual_us += r->virtual_us;
        sum->turns += r->turns;
        sum->ops += r->ops;
        sum->ops_ok += r->ops_ok;
        sum->ops_fail += r->ops_fail;
        sum->ops_unknown += r->ops_unknown;
        sum->inconclusive += r->inconclusive;
        sum->faults += r->faults;
    }
    (void)printf("%lu seeds, %.0f virtual s in %.1f s: %.0f times real time with %u processes, "
                 "%.0f with one\n",
                 sum->seeds, (double)sum->virtual_us / 1e6, seconds,
                 (double)sum->virtual_us / 1e6 / seconds, o->jobs,
                 (double)sum->virtual_us / 1e6 / seconds / o->jobs);
    (void)printf("%lu operations: %lu ok, %lu did not happen, %lu unknown; %lu faults, %lu turns; "
                 "%lu objects undecided\n",
                 sum->ops, sum->ops_ok, sum->ops_fail, sum->ops_unknown, sum->faults, sum->turns,
                 sum->inconclusive);
}

struct mark_list {
    const uint64_t *hits;
    uint64_t at, unreached;
};
static void mark_list(const struct base_mark *mark, void *arg)
{
    struct mark_list *l = arg;

    if (l->at < MARKS_MAX && l->hits[l->at] == 0 && strncmp(mark->name, "port: ", 6) != 0) {
        (void)printf("  never reached: %s\n", mark->name);
        l->unreached++;
    }
    l->at++;
}

static double now_s(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static uint64_t run_workers(const struct main_options *o, struct shared *s)
{
    pid_t pids[JOBS_MAX];
    uint32_t running = 0;
    uint64_t findings = 0;

    for (uint32_t i = 0; i < o->jobs; i++) {
        s->of[i].next = o->sim.seed + i;
        pids[i] = start_worker(o, s, i);
        running += pids[i] > 0;
    }
    while (running > 0) {
        int status;
        pid_t pid = waitpid(-1, &status, 0);

        if (pid < 0 && errno == EINTR) {
            continue;
        }
        if (pid < 0) {
            break;
        }
        for (uint32_t i = 0; i < o->jobs; i++) {
            if (pids[i] != pid) {
                continue;
            }
            running--;
            if (worker_ended(o, s, i, status, &findings)) {
                pids[i] = start_worker(o, s, i);
                running += pids[i] > 0;
            }
        }
    }
    return findings;
}

static void draw_seed(struct main_options *o)
{
    if (!o->seed_given) {
        uint32_t drawn = 0;

        if (getrandom(&drawn, sizeof drawn, 0) != (ssize_t)sizeof drawn) {
            drawn = (uint32_t)getpid();
        }
        o->sim.seed = drawn;
        (void)printf("seed %lu\n", o->sim.seed);
    }
}

int sim_main(int argc, char **argv)
{
    struct main_options o = {.sim = {.fault_us = 10000000}, .count = 1};
    struct worker_report sum = {0};
    struct mark_list unreached = {0};
    struct shared *s;
    uint64_t findings;
    double began = now_s();
    int status = parse(argc, argv, &o);
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    if (status >= 0) {
        return status;
    }
    draw_seed(&o);
    if (o.jobs == 0) {
        o.jobs = cpus < 1 ? 1 : cpus > JOBS_MAX ? JOBS_MAX : (uint32_t)cpus;
    }
    if (o.jobs > o.count) {
        o.jobs = (uint32_t)o.count;
    }
    s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s == MAP_FAILED) {
        (void)fprintf(stderr, "synod sim: no memory to share with the worker processes\n");
        return 2;
    }
    findings = run_workers(&o, s);
    sum_up(&o, s, now_s() - began, &sum);
    if (o.count > 1) {
        (void)printf("combined trace %016lx\n", sum.combined);
    }
    unreached.hits = s->marks;
    base_marks_each(mark_list, &unreached);
    (void)printf("%lu of %lu marks never reached; %lu findings\n", unreached.unreached,
                 marks_in_program(), findings);
    (void)munmap(s, sizeof *s);
    return findings > 0 ? 1 : 0;
}
