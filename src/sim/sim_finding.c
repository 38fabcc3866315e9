#include "sim/sim_finding.h"

#include "sim/sim_pool.h"
#include "sim/sim_shrink.h"
#include "sim/sim_story.h"

#include <stdio.h>
#include <unistd.h>

enum { WIDTH = 96, STORY_OPS_MAX = 100 };

/* By words of the finding; the first row that fits. */
static const struct {
    const char *words, *meaning;
} meanings[] = {
    {"election safety",
     "Two replicas believed that they lead the same partition in the same term. A term has one "
     "leader at most: some replica voted twice in it, or forgot its vote over a restart, or "
     "counted votes that were not a majority."},
    {"leader completeness",
     "A replica became leader without an entry that had been committed before. What was committed "
     "may have been acknowledged to a client, and this leader will overwrite it: either the entry "
     "was counted as committed before a majority had it on disk, or voters elected someone whose "
     "log was older than theirs."},
    {"log matching",
     "Two logs have different entries at the same index and term. Some leader made two, or a log "
     "was read back other than it was written."},
    {"state machine safety",
     "Two replicas committed different entries at the same index: one of them applies something "
     "that the others do not."},
    {"has digest",
     "Two replicas applied the same log up to the same index and hold different data. A command "
     "did not do the same everywhere, or a snapshot does not hold what it should."},
    {"not linearizable",
     "No order of the operations on this object explains all replies, though each must take effect "
     "at one moment between call and answer. A read missed a write that was acknowledged before, "
     "or saw one that was refused, or an acknowledged write was lost."},
    {"acknowledged",
     "What clients were told does not add up: a write that was acknowledged is missing, or one "
     "that was never sent took effect."},
    {"token of op",
     "A value that was appended once stands at more than one place, or moved: a write took effect "
     "twice."},
    {"liveness", "All faults had ended long before, and the cluster did not come back by itself."},
    {"was not answered in a healthy cluster",
     "All faults had ended and the cluster had recovered, and still an operation got no answer."},
    {"in a healthy cluster",
     "All faults had ended and the cluster had recovered, and still an operation was refused."},
    {"makes no sense",
     "The reply is none that this command can have: bytes were mixed up, or it belongs to another "
     "request."},
    {"went back",
     "A replica forgot while it ran something that it had known: its term, what it had "
     "committed, or what it had applied."},
    {"stopped by itself",
     "A node ended without having been asked to, and its disk had not failed."},
    {"cannot open its directory",
     "After a restart a node could not use what it had written itself."},
    {"taken back with --found",
     "A node that had lost its data took part again as if it had not: it may vote twice."},
    {"a gate on ticket",
     "The node asked for something to be held back until a write that it never issued."},
    {"tickets must grow", "The node numbered its log writes in a wrong order."},
    {"CHECK failed", "The node noticed by itself that its state is wrong, and ended at once."},
    {"takes for ever", "One seed takes longer than it possibly should: somebody runs in circles."},
    {"on purpose", "This checker fails on purpose, to prove that findings are reported."},
};

const char *sim_finding_meaning(const char *finding)
{
    for (size_t i = 0; i < ARRAY_COUNT(meanings); i++) {
        if (strstr(finding, meanings[i].words) != NULL) {
            return meanings[i].meaning;
        }
    }
    return "";
}

/* --- printing --- */

/* A paragraph, each line behind two spaces. */
static void print_wrapped(const char *text)
{
    size_t column = 0;

    while (*text != 0) {
        size_t word = strcspn(text, " ");

        if (column > 0 && column + 1 + word > WIDTH) {
            (void)printf("\n");
            column = 0;
        }
        (void)printf("%s%.*s", column == 0 ? "  " : " ", (int)word, text);
        column += (column == 0 ? 2 : 1) + word;
        text += word;
        text += strspn(text, " ");
    }
    (void)printf("\n");
}

static void print_drawn(const struct sim_options *given)
{
    struct sim_options drawn = *given;
    struct buf text = {0};

    sim_options_draw(&drawn);
    sim_options_text(&drawn, &text);
    put_u8(&text, 0);
    print_wrapped((const char *)text.data);
    buf_free(&text);
}

static void print_command(const struct sim_options *given, const char *more)
{
    struct buf command = {0};

    sim_args_command(given, &command);
    (void)printf("  %.*s%s\n", (int)command.len, (const char *)command.data, more);
    buf_free(&command);
}

static void print_story(const struct sim_record *r, uint32_t most)
{
    uint64_t count = r->lines < most ? r->lines : most;

    count = count < SIM_RECORD_LINES ? count : SIM_RECORD_LINES;
    (void)printf(count == r->lines ? "the whole story:\n" : "the last %lu events:\n", count);
    for (uint64_t i = r->lines - count; i < r->lines; i++) {
        const struct sim_line *line = &r->line[i % SIM_RECORD_LINES];

        (void)printf("  %3lu.%03lu s  %s\n", line->at_us / 1000000, line->at_us / 1000 % 1000,
                     line->text);
    }
}

static void print_all(const struct sim_options *given, const struct sim_verdict *v,
                      const struct sim_record *r, uint32_t events)
{
    const char *meaning = sim_finding_meaning(v->finding);

    print_wrapped(v->finding);
    if (*meaning != 0) {
        print_wrapped(meaning);
    }
    (void)printf("what the seed drew:\n");
    print_drawn(given);
    print_story(r, events);
    (void)printf("repeat it with (commit %s):\n", sim_commit);
    print_command(given, " --log full");
}

/* --- shrinking --- */

static bool terminal;

static void tell(const char *sentence)
{
    if (terminal) {
        (void)printf("\rshrinking: %-60s", sentence);
        (void)fflush(stdout);
    }
}

static void report_shrunk(const struct sim_args *a, const struct sim_shrunk *s, struct sim_try *t,
                          double seconds)
{
    const struct sim_record *r = &t->trial->record;
    uint32_t faults = r->faults.count, ops = r->ops.count;
    uint64_t virtual_us = r->now_us;
    struct sim_verdict v;
    enum sim_log level = SIM_LOG_OPS;

    if (!sim_try_run(t, &s->given, level, a->seed_s, &v) || !v.found) {
        (void)printf("the smallest run did not show it again\n");
        return;
    }
    if (r->ops.count > STORY_OPS_MAX) { /* too many to read */
        level = SIM_LOG_SHORT;
        if (!sim_try_run(t, &s->given, level, a->seed_s, &v)) {
            return;
        }
    }
    (void)printf(
        "\nSHRUNK seed %lu in %.0f s and %lu runs%s: %u faults of %u are left, %u operations "
        "of %u, %s of %s\n",
        s->given.seed, seconds, s->runs, s->out_of_time ? " (out of time)" : "", r->faults.count,
        faults, r->ops.count, ops, sim_span(r->now_us).text, sim_span(virtual_us).text);
    print_all(&s->given, &v, r, level == SIM_LOG_OPS ? SIM_RECORD_LINES : a->events);
}

static void shrink(const struct sim_args *a, const struct sim_options *given,
                   const struct sim_verdict *v, struct sim_try *t)
{
    double began = sim_pool_now_s();
    struct sim_shrink_limits limits = {
        .until_s = began + a->shrink_s, .jobs = a->jobs, .seed_s = a->seed_s};
    struct sim_shrunk s;

    terminal = isatty(STDOUT_FILENO) != 0;
    (void)printf("shrinking, for up to %u s; --no-shrink leaves it out\n", a->shrink_s);
    (void)fflush(stdout);
    sim_shrink(given, v->kind, &t->trial->record, &limits, tell, &s);
    if (terminal) {
        (void)printf("\r%72s\r", "");
    }
    report_shrunk(a, &s, t, sim_pool_now_s() - began);
    sim_shrunk_free(&s);
}

bool sim_finding_report(const struct sim_args *a, uint64_t seed, const struct sim_verdict *v)
{
    struct sim_options given = a->sim;
    struct sim_verdict again;
    struct sim_try t;
    bool repeated = false;

    given.seed = seed;
    given.log = SIM_LOG_NONE;
    if (sim_try_init(&t) && sim_try_run(&t, &given, SIM_LOG_SHORT, a->seed_s, &again)) {
        repeated = again.found && again.kind == v->kind;
        (void)printf("\nFINDING of seed %lu\n", seed);
        print_all(&given, v, &t.trial->record, a->events);
        (void)fflush(stdout);
        if (repeated && a->shrink) {
            shrink(a, &given, v, &t);
        }
    }
    sim_try_deinit(&t);
    return repeated;
}
