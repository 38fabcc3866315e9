#include "sim/sim_args.h"

#include "sim/sim_words.h"

enum { MICRO = 1000000 };

static const char usage_head[] =
    "usage: synod sim cluster [options]\n"
    "which runs:\n"
    "  --seed S           the first seed; without it one is drawn and printed\n"
    "  --count N          run seeds S to S+N-1 (1)\n"
    "  --minutes M        run seeds from S on until M minutes have passed\n"
    "  --jobs N           processes (all processors)\n"
    "  --keep-going       go on after a finding; without it the first one ends the run\n"
    "  --verify           run each seed twice and compare the trace hashes\n"
    "  --seed-seconds N   a seed that takes longer counts as hung (300)\n"
    "what is printed:\n"
    "  --log short|ops|full   faults, elections, phases; and operations; and all messages\n"
    "  --events N         so many lines of the story with a finding (40)\n"
    "  --marks none|list|required   rare situations: how many seeds reached each; required: fail\n"
    "                     when one was never reached (list from 200 seeds, required from 2000)\n"
    "  --shrink, --no-shrink   make a finding smaller: when there is one, by default\n"
    "  --shrink-seconds N at most so long (60)\n"
    "what a run is made of, where the seed should not decide:\n"
    "  --time SECONDS     virtual length of the phase of faults (10)\n"
    "  --hosts, --partitions, --clients, --keys N\n"
    "  --without CLASS,...    leave classes of faults out\n"
    "  --only-faults, --skip-faults, --only-ops, --skip-ops LIST\n"
    "                     these alone, or all but these: 3,7-9,2.14 or none, as the log names "
    "them\n"
    "  --no-order         do not judge the order of what one client pipelined\n"
    "  --history FILE     write what clients asked and were told, for `synod sim check FILE`\n"
    "  --bug NAME         plant a bug on purpose; the run must find it\n"
    "bugs:\n";

void sim_args_usage(FILE *to)
{
    (void)fputs(usage_head, to);
    for (unsigned i = 1; i < SIM_BUG_COUNT; i++) {
        (void)fprintf(to, "                     %-20s %-6s %s\n", sim_bug_name((enum sim_bug)i),
                      sim_bug_room((enum sim_bug)i), sim_bug_what((enum sim_bug)i));
    }
    (void)fputs("classes of faults:\n", to);
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        (void)fprintf(to, "  %-18s %s\n", sim_fault_name((enum sim_fault)i),
                      sim_fault_what((enum sim_fault)i));
    }
}

void sim_args_free(struct sim_args *a)
{
    sim_set_free(&a->only_faults);
    sim_set_free(&a->skip_faults);
    sim_set_free(&a->only_ops);
    sim_set_free(&a->skip_ops);
}

/* --- values --- */

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

static bool parse_fault(struct slice text, uint64_t *mask)
{
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        const char *name = sim_fault_name((enum sim_fault)i);

        if (strlen(name) == text.len && memcmp(name, text.data, text.len) == 0) {
            *mask |= sim_fault_bit((enum sim_fault)i);
            return true;
        }
    }
    return false;
}

/* Names with commas between them. */
static bool parse_faults(const char *text, uint64_t *mask)
{
    for (;;) {
        struct slice name = {(const uint8_t *)text, strcspn(text, ",")};

        if (!parse_fault(name, mask)) {
            return false;
        }
        if (text[name.len] == 0) {
            return true;
        }
        text += name.len + 1;
    }
}

static const char *const log_names[] = {[SIM_LOG_NONE] = "none",
                                        [SIM_LOG_SHORT] = "short",
                                        [SIM_LOG_OPS] = "ops",
                                        [SIM_LOG_FULL] = "full"};
static const char *const marks_names[] = {[SIM_MARKS_AUTO] = "auto",
                                          [SIM_MARKS_NONE] = "none",
                                          [SIM_MARKS_LIST] = "list",
                                          [SIM_MARKS_REQUIRED] = "required"};

/* Which of the names it is; false: none of them. */
static bool choose(const char *const *names, size_t count, const char *text, unsigned *out)
{
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

/* --- options, a row each --- */

/* A number within bounds, put into 32 or 64 bits. */
struct number_option {
    const char *name;
    size_t at;
    bool wide;
    uint64_t least, most;
};
#define NARROW(option, field, least, most)                                                         \
    {                                                                                              \
        option, offsetof(struct sim_args, field), false, (least), (most)                           \
    }
#define WIDE(option, field, least, most)                                                           \
    {                                                                                              \
        option, offsetof(struct sim_args, field), true, (least), (most)                            \
    }
static const struct number_option number_options[] = {
    WIDE("--seed", sim.seed, 0, UINT64_MAX),
    WIDE("--count", count, 1, UINT32_MAX),
    WIDE("--minutes", minutes, 1, 1000000),
    NARROW("--jobs", jobs, 1, SIM_JOBS_MAX),
    NARROW("--seed-seconds", seed_s, 1, 100000),
    NARROW("--shrink-seconds", shrink_s, 1, 100000),
    NARROW("--events", events, 0, 256),
    NARROW("--hosts", sim.hosts_given, 1, SIM_HOSTS_MAX),
    NARROW("--partitions", sim.partitions_given, 1, 16),
    NARROW("--clients", sim.clients_given, 1, SIM_CLIENTS_MAX),
    NARROW("--keys", sim.keys_given, 1, SIM_KEYS_MAX),
};

static bool set_number(struct sim_args *a, const struct number_option *row, const char *value)
{
    uint64_t n;

    if (!sim_word_number(value, row->least, row->most, &n)) {
        return false;
    }
    if (row->wide) {
        memcpy((char *)a + row->at, &n, sizeof n);
    } else {
        uint32_t narrow = (uint32_t)n;

        memcpy((char *)a + row->at, &narrow, sizeof narrow);
    }
    return true;
}

/* What to leave out; the options borrow the set. */
static bool set_choice(struct sim_set *set, const struct sim_set **used, const char *value)
{
    *used = set;
    return sim_set_parse(set, value);
}

static bool take_flag(struct sim_args *a, const char *name)
{
    const struct {
        const char *name;
        bool *flag;
        bool value;
    } flags[] = {
        {"--help", &a->help, true},
        {"--verify", &a->verify, true},
        {"--keep-going", &a->keep_going, true},
        {"--no-order", &a->sim.any_order, true},
        {"--shrink", &a->shrink, true},
        {"--no-shrink", &a->shrink, false},
    };

    for (size_t i = 0; i < ARRAY_COUNT(flags); i++) {
        if (strcmp(name, flags[i].name) == 0) {
            *flags[i].flag = flags[i].value;
            return true;
        }
    }
    return false;
}

static enum sim_taken take(void *to, const char *name, const char *value)
{
    struct sim_args *a = to;
    unsigned chosen = 0;

    if (take_flag(a, name)) {
        return SIM_WORD_FLAG;
    }
    for (size_t i = 0; i < ARRAY_COUNT(number_options); i++) {
        if (strcmp(name, number_options[i].name) == 0) {
            a->seed_given =
                a->seed_given || number_options[i].at == offsetof(struct sim_args, sim.seed);
            return sim_word_judge(set_number(a, &number_options[i], value));
        }
    }
    if (strcmp(name, "--time") == 0) {
        return sim_word_judge(sim_word_seconds(value, &a->sim.fault_us) && a->sim.fault_us > 0);
    }
    if (strcmp(name, "--log") == 0) {
        bool good = choose(log_names, ARRAY_COUNT(log_names), value, &chosen);

        a->sim.log = (enum sim_log)chosen;
        return sim_word_judge(good);
    }
    if (strcmp(name, "--marks") == 0) {
        bool good = choose(marks_names, ARRAY_COUNT(marks_names), value, &chosen);

        a->marks = (enum sim_marks_wish)chosen;
        return sim_word_judge(good);
    }
    if (strcmp(name, "--history") == 0) {
        a->sim.history_path = value;
        return sim_word_judge(*value != 0);
    }
    if (strcmp(name, "--bug") == 0) {
        return sim_word_judge(parse_bug(value, &a->sim.bug));
    }
    if (strcmp(name, "--without") == 0) {
        return sim_word_judge(parse_faults(value, &a->sim.fault_mask_off));
    }
    if (strcmp(name, "--only-faults") == 0) {
        return sim_word_judge(set_choice(&a->only_faults, &a->sim.only_faults, value));
    }
    if (strcmp(name, "--skip-faults") == 0) {
        return sim_word_judge(set_choice(&a->skip_faults, &a->sim.skip_faults, value));
    }
    if (strcmp(name, "--only-ops") == 0) {
        return sim_word_judge(set_choice(&a->only_ops, &a->sim.only_ops, value));
    }
    if (strcmp(name, "--skip-ops") == 0) {
        return sim_word_judge(set_choice(&a->skip_ops, &a->sim.skip_ops, value));
    }
    return SIM_WORD_UNKNOWN;
}

bool sim_args_parse(struct sim_args *a, int argc, char **argv, struct diag *why)
{
    int at = 1;

    *a = (struct sim_args){.sim = {.fault_us = 10 * MICRO},
                           .count = 1,
                           .shrink = true,
                           .shrink_s = 60,
                           .seed_s = 300,
                           .events = 40};
    if (argc > at && strcmp(argv[at], "cluster") == 0) {
        at++;
    }
    return sim_words_take(argc - at, argv + at, take, a, why);
}

/* --- the command that repeats a run --- */

static void put_seconds(struct buf *out, uint64_t us)
{
    char text[32];
    size_t len = (size_t)snprintf(text, sizeof text, "%lu.%06lu", us / MICRO, us % MICRO);

    while (text[len - 1] == '0') {
        len--;
    }
    len -= text[len - 1] == '.';
    buf_append(out, text, len);
}

static void put_set(struct buf *out, const char *name, const struct sim_set *set)
{
    if (set != NULL) {
        buf_printf(out, " %s ", name);
        sim_set_print(set, out);
    }
}

static void put_count(struct buf *out, const char *name, uint32_t count)
{
    if (count != 0) {
        buf_printf(out, " %s %u", name, count);
    }
}

void sim_args_command(const struct sim_options *given, struct buf *out)
{
    const char *between = " --without ";

    buf_printf(out, "./dev sim --seed %lu --time ", given->seed);
    put_seconds(out, given->fault_us);
    put_count(out, "--hosts", given->hosts_given);
    put_count(out, "--partitions", given->partitions_given);
    put_count(out, "--clients", given->clients_given);
    put_count(out, "--keys", given->keys_given);
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        if ((given->fault_mask_off & sim_fault_bit((enum sim_fault)i)) != 0) {
            buf_printf(out, "%s%s", between, sim_fault_name((enum sim_fault)i));
            between = ",";
        }
    }
    put_set(out, "--only-faults", given->only_faults);
    put_set(out, "--skip-faults", given->skip_faults);
    put_set(out, "--only-ops", given->only_ops);
    put_set(out, "--skip-ops", given->skip_ops);
    if (given->bug != SIM_BUG_NONE) {
        buf_printf(out, " --bug %s", sim_bug_name(given->bug));
    }
    buf_printf(out, "%s", given->any_order ? " --no-order" : "");
}
