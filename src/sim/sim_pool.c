#include "sim/sim_pool.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { POLL_MS = 20, LINE_S = 30, COLUMNS = 100 };

static volatile sig_atomic_t asked_to_stop;

static void on_interrupt(int sig)
{
    (void)sig;
    asked_to_stop = asked_to_stop + 1;
}

double sim_pool_now_s(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* What the processes that have ended took of the processors. */
static double children_s(void)
{
    struct rusage u;

    (void)getrusage(RUSAGE_CHILDREN, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* --- what a process does --- */

static void found(struct sim_pool *p, uint64_t seed, const struct sim_verdict *v, bool go_on)
{
    uint64_t at = __atomic_fetch_add(&p->findings, 1, __ATOMIC_SEQ_CST);

    if (at < SIM_POOL_FINDINGS_MAX) {
        p->found[at].seed = seed;
        p->found[at].verdict = *v;
        __atomic_store_n(&p->found[at].ready, true, __ATOMIC_SEQ_CST);
    }
    if (!go_on) {
        __atomic_store_n(&p->stop, true, __ATOMIC_SEQ_CST);
    }
}

static void add(struct sim_pool_sums *s, uint64_t seed, const struct sim_result *r)
{
    s->seeds++;
    s->combined += hash64_mix(seed, r->trace);
    s->virtual_us += r->virtual_us;
    s->turns += r->turns;
    s->ops += r->ops;
    s->ops_ok += r->ops_ok;
    s->ops_fail += r->ops_fail;
    s->ops_unknown += r->ops_unknown;
    s->inconclusive += r->inconclusive;
    s->faults += r->faults;
}

static void run_seed(const struct sim_args *a, struct sim_pool *p, struct sim_pool_sums *s,
                     uint64_t seed)
{
    struct sim_options given = a->sim;
    struct sim_verdict v = {0};
    struct sim_result once, twice;

    given.seed = seed;
    (void)alarm(a->seed_s);
    sim_world_run(&given, &once);
    v.found = once.found;
    v.kind = once.kind;
    memcpy(v.finding, once.finding, sizeof v.finding);
    if (a->verify && !once.found) {
        given.log = SIM_LOG_NONE;
        sim_world_run(&given, &twice);
        s->virtual_us += twice.virtual_us; /* its time counts too */
        if (twice.trace != once.trace) {
            v.found = true;
            (void)snprintf(v.finding, sizeof v.finding,
                           "two runs of the seed differ: the simulation is not repeatable");
        }
    }
    (void)alarm(0);
    add(s, seed, &once);
    if (v.found) {
        found(p, seed, &v, a->keep_going);
    }
    if (a->count == 1 && a->minutes == 0) {
        (void)printf("seed %lu trace %016lx\n", seed, once.trace);
    }
}

static _Noreturn void work(const struct sim_args *a, struct sim_pool *p, uint32_t id, int words)
{
    struct sim_pool_worker *me = &p->of[id];
    struct sim_marks_seen *seen = mem_zalloc(sizeof *seen);

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)signal(SIGINT, SIG_IGN); /* the seed is finished first; the parent says when to stop */
    sim_words_use(words);
    mem_keep_freed();
    while (!__atomic_load_n(&p->stop, __ATOMIC_SEQ_CST)) {
        uint64_t at = __atomic_fetch_add(&p->next, 1, __ATOMIC_SEQ_CST);

        if (at >= a->count) {
            break;
        }
        me->at = at + 1;
        run_seed(a, p, &me->sums, a->sim.seed + at);
        sim_marks_count(&p->marks, seen);
        me->at = 0;
    }
    (void)fflush(stdout);
    _exit(0);
}

/* --- what the parent does --- */

struct parent {
    const struct sim_args *a;
    struct sim_pool *p;
    pid_t pids[SIM_JOBS_MAX];
    int words[SIM_JOBS_MAX];
    uint32_t running;
    bool terminal, line_open; /* a line of progress stands there without its end */
    double began_s, next_s;
};

static void start(struct parent *me, uint32_t id)
{
    pid_t pid;

    (void)fflush(stdout);
    if (me->words[id] >= 0) {
        (void)close(me->words[id]);
    }
    me->words[id] = sim_words_open();
    pid = fork();
    if (pid == 0) {
        work(me->a, me->p, id, me->words[id]);
    }
    me->pids[id] = pid > 0 ? pid : 0;
    me->running += pid > 0;
}

struct sim_pool_sums sim_pool_sum(const struct sim_pool *p)
{
    struct sim_pool_sums sum = {0};

    for (uint32_t i = 0; i < SIM_JOBS_MAX; i++) {
        const struct sim_pool_sums *s = &p->of[i].sums;

        sum.seeds += s->seeds;
        sum.combined += s->combined;
        sum.virtual_us += s->virtual_us;
        sum.turns += s->turns;
        sum.ops += s->ops;
        sum.ops_ok += s->ops_ok;
        sum.ops_unknown += s->ops_unknown;
        sum.ops_fail += s->ops_fail;
        sum.inconclusive += s->inconclusive;
        sum.faults += s->faults;
    }
    return sum;
}

const struct sim_pool_finding *sim_pool_first(const struct sim_pool *p)
{
    const struct sim_pool_finding *first = NULL;

    for (uint32_t i = 0; i < SIM_POOL_FINDINGS_MAX; i++) {
        const struct sim_pool_finding *f = &p->found[i];

        if (f->ready && (first == NULL || f->seed < first->seed)) {
            first = f;
        }
    }
    return first;
}

static void clear_line(struct parent *me)
{
    if (me->line_open) {
        (void)printf("\r%*s\r", COLUMNS, "");
        me->line_open = false;
    }
}

static void show_progress(struct parent *me)
{
    struct sim_pool_sums s = sim_pool_sum(me->p);
    double passed = sim_pool_now_s() - me->began_s;
    char line[160];

    (void)snprintf(line, sizeof line,
                   "%lu seeds, %.0f a minute; %.0f virtual s, %.0f times real time; %lu findings",
                   s.seeds, (double)s.seeds / passed * 60, (double)s.virtual_us / 1e6,
                   (double)s.virtual_us / 1e6 / passed, me->p->findings);
    if (me->terminal) {
        (void)printf("\r%-*.*s", COLUMNS, COLUMNS, line);
        me->line_open = true;
    } else {
        (void)printf("%s\n", line);
    }
    (void)fflush(stdout);
}

static void maybe_progress(struct parent *me)
{
    double now = sim_pool_now_s();

    if (now >= me->next_s && me->a->sim.log == SIM_LOG_NONE) {
        me->next_s = now + (me->terminal ? 0.5 : LINE_S);
        show_progress(me);
    }
}

/* Findings are told when they are made, a line each; what is to be known of the first comes at
 * the end. */
static void tell_findings(struct parent *me)
{
    for (uint32_t i = 0; i < SIM_POOL_FINDINGS_MAX; i++) {
        struct sim_pool_finding *f = &me->p->found[i];
        struct sim_options given = me->a->sim;
        struct buf command = {0};

        if (!__atomic_load_n(&f->ready, __ATOMIC_SEQ_CST) || f->told) {
            continue;
        }
        f->told = true;
        given.seed = f->seed;
        sim_args_command(&given, &command);
        clear_line(me);
        (void)printf("FINDING seed %lu: %s\n  repeat: %.*s\n", f->seed, f->verdict.finding,
                     (int)command.len, (const char *)command.data);
        (void)fflush(stdout);
        (void)fputs(f->verdict.last_words, stderr);
        buf_free(&command);
    }
}

static void ended(struct parent *me, uint32_t id, int status)
{
    struct sim_pool_worker *worker = &me->p->of[id];
    struct sim_verdict v;

    me->pids[id] = 0;
    me->running--;
    if (worker->at == 0) {
        return;
    }
    sim_words_verdict(me->words[id], status, &v); /* it left in the middle of a seed */
    found(me->p, me->a->sim.seed + worker->at - 1, &v, me->a->keep_going);
    worker->at = 0;
    worker->sums.seeds++;
    if (!me->p->stop) {
        start(me, id);
    }
}

static void reap(struct parent *me)
{
    int status;
    pid_t pid;

    while (me->running > 0 && (pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (uint32_t i = 0; i < me->a->jobs; i++) {
            if (me->pids[i] == pid) {
                ended(me, i, status);
            }
        }
    }
}

static void watch(struct parent *me)
{
    while (me->running > 0) {
        double passed;

        (void)poll(NULL, 0, POLL_MS);
        reap(me);
        tell_findings(me);
        maybe_progress(me);
        passed = sim_pool_now_s() - me->began_s;
        if (asked_to_stop > 0 || (me->a->minutes != 0 && passed >= (double)me->a->minutes * 60)) {
            __atomic_store_n(&me->p->stop, true, __ATOMIC_SEQ_CST);
            me->p->interrupted = asked_to_stop > 0;
        }
        for (uint32_t i = 0; i < me->a->jobs && asked_to_stop > 1; i++) {
            me->p->of[i].at = 0; /* asked again: the seeds under way do not count */
            if (me->pids[i] > 0) {
                (void)kill(me->pids[i], SIGKILL);
            }
        }
    }
}

struct sim_pool *sim_pool_run(const struct sim_args *a, struct diag *why)
{
    struct sim_pool *p =
        mmap(NULL, sizeof *p, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct parent me = {.a = a, .p = p, .terminal = isatty(STDOUT_FILENO) != 0};
    struct sigaction act = {.sa_handler = on_interrupt};

    if (p == MAP_FAILED) {
        diag_set(why, "no memory to share with the worker processes");
        return NULL;
    }
    (void)sigaction(SIGINT, &act, NULL);
    me.began_s = sim_pool_now_s();
    me.next_s = me.began_s + (me.terminal ? 0.5 : LINE_S);
    for (uint32_t i = 0; i < a->jobs; i++) {
        me.words[i] = -1;
        start(&me, i);
    }
    if (me.running == 0) {
        diag_set(why, "no worker process could be started");
        sim_pool_free(p);
        return NULL;
    }
    watch(&me);
    tell_findings(&me);
    clear_line(&me);
    for (uint32_t i = 0; i < a->jobs; i++) {
        if (me.words[i] >= 0) {
            (void)close(me.words[i]);
        }
    }
    (void)signal(SIGINT, SIG_DFL);
    p->busy_s = children_s();
    p->seconds = sim_pool_now_s() - me.began_s;
    p->complete = sim_pool_sum(p).seeds == a->count;
    return p;
}

void sim_pool_free(struct sim_pool *p)
{
    (void)munmap(p, sizeof *p);
}
