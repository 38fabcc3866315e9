/* The command line of `synod sim gossip`. */
#include "sim/sim_gossip_args.h"

#include "sim/sim_words.h"

#define MS(n) ((uint64_t)(n)*1000)
enum { PPM = 1000000, SECONDS_MAX = 3600, FANOUT_DEFAULT = 1 };

void sim_gossip_args_usage(FILE *to)
{
    (void)fputs(
        "usage: synod sim gossip [options]\n"
        "how one rumour spreads, beside theory; with --detect, how deaths are noticed\n"
        "  --seed S, --count N    seeds S to S+N-1; medians and the worst are printed (drawn, 5)\n"
        "  --nodes N,N,...        sizes (10000; with --detect 100)\n"
        "  --loss PERCENT         of packets (0)\n"
        "  --latency MS[-MS]      one way (1-5)\n"
        "  --slow PERCENT         of members (0), whose packets take --slow-ms longer each way\n"
        "  --slow-ms MS[-MS]      each slow member draws its own (1000-5000)\n"
        "  --slow-kind delay|sleep    sleep, with --detect: they sleep and wake, each so long\n"
        "  --partition PERCENT    of members hear only each other (0), each member by its own die\n"
        "  --partition-ms MS-MS   from when to when (0-2000; with --detect in the time measured)\n"
        "the spread:\n"
        "  --mode push|pull|push-pull|all     (all)\n"
        "  --how static|adaptive|both         adaptive: fan-out, transmissions and interval "
        "follow\n"
        "                         loss and round trips that each member has measured, by "
        "core/swim's\n"
        "                         rules and within its bounds (static)\n"
        "  --clock rounds|time|both           all at once, or everyone by its own clock (both)\n"
        "  --fanout F             members chosen each time (1); adaptive: at least\n"
        "  --fanout-max F         adaptive: at most (5/3 of it, as core/swim)\n"
        "  --retransmit L         each tells L log10(n+1) times; 0: for ever (0)\n"
        "  --retransmit-max L     adaptive: at most (7/4 of it, as core/swim)\n"
        "  --choose chance|turns  turns: nobody again before all were chosen, as core/swim "
        "(chance)\n"
        "  --interval MS          a round; static: the time between two of a member (200)\n"
        "detection, by the engine that ships, 3 to 2000 members:\n"
        "  --detect               this, and not the spread\n"
        "  --lifeguard on|off|both            off is plain SWIM (both)\n"
        "  --time SECONDS         measured, after 30 s in which they get to know each other (60)\n"
        "  --crash N              members that crash, at random times in it (one in a hundred)\n"
        "output:\n"
        "  --format table|csv     (table)\n"
        "  --svg FILE             and curves\n",
        to);
}

static bool parse_percent(const char *text, double most, uint32_t *out_ppm)
{
    double percent;

    if (!sim_word_fraction(text, most, &percent)) {
        return false;
    }
    *out_ppm = (uint32_t)(percent * (PPM / 100.0) + 0.5);
    return true;
}

/* "5" or "1-5" milliseconds. */
static bool parse_range(const char *text, uint64_t *min_us, uint64_t *max_us)
{
    char first[32];
    size_t len = strcspn(text, "-");

    if (len >= sizeof first) {
        return false;
    }
    memcpy(first, text, len);
    first[len] = 0;
    if (!sim_word_seconds(first, min_us)) {
        return false;
    }
    *max_us = *min_us;
    if (text[len] == '-' && !sim_word_seconds(text + len + 1, max_us)) {
        return false;
    }
    *min_us /= 1000; /* the number was of milliseconds */
    *max_us /= 1000;
    return *min_us <= *max_us && *max_us <= SECONDS_MAX * MS(1000);
}

/* Names in the order of their bits, then what means all of them. */
static bool parse_bits(const char *text, const char *const names[], uint32_t *out)
{
    for (uint32_t i = 0; names[i] != NULL; i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = names[i + 1] == NULL ? (1u << i) - 1 : 1u << i;
            return true;
        }
    }
    return false;
}

static bool parse_either(const char *text, const char *no, const char *yes, bool *out)
{
    *out = strcmp(text, yes) == 0;
    return *out || strcmp(text, no) == 0;
}

static enum sim_taken take_world(struct sim_gossip_args *a, const char *name, const char *value)
{
    struct sim_gossip_world *w = &a->world;

    if (strcmp(name, "--loss") == 0) {
        return sim_word_judge(parse_percent(value, 99, &w->loss_ppm));
    }
    if (strcmp(name, "--latency") == 0) {
        return sim_word_judge(parse_range(value, &w->latency_us_min, &w->latency_us_max));
    }
    if (strcmp(name, "--slow") == 0) {
        return sim_word_judge(parse_percent(value, 90, &w->slow_ppm));
    }
    if (strcmp(name, "--slow-ms") == 0) {
        return sim_word_judge(parse_range(value, &w->slow_us_min, &w->slow_us_max));
    }
    if (strcmp(name, "--slow-kind") == 0) {
        return sim_word_judge(parse_either(value, "delay", "sleep", &w->slow_sleeps));
    }
    if (strcmp(name, "--partition") == 0) {
        return sim_word_judge(parse_percent(value, 100, &w->cut_ppm));
    }
    if (strcmp(name, "--partition-ms") == 0) {
        return sim_word_judge(parse_range(value, &w->cut_from_us, &w->cut_until_us));
    }
    return SIM_WORD_UNKNOWN;
}

static enum sim_taken take_spread(struct sim_gossip_args *a, const char *name, const char *value)
{
    static const char *const modes[] = {"push", "pull", "push-pull", "all", NULL};
    static const char *const hows[] = {"static", "adaptive", "both", NULL};
    static const char *const clocks[] = {"rounds", "time", "both", NULL};
    uint64_t same;

    if (strcmp(name, "--mode") == 0) {
        return sim_word_judge(parse_bits(value, modes, &a->modes));
    }
    if (strcmp(name, "--how") == 0) {
        return sim_word_judge(parse_bits(value, hows, &a->hows));
    }
    if (strcmp(name, "--clock") == 0) {
        return sim_word_judge(parse_bits(value, clocks, &a->clocks));
    }
    if (strcmp(name, "--fanout") == 0) {
        a->fanout_given = true;
        return sim_word_judge(sim_word_u32(value, 1, SWIM_FANOUT_MAX, &a->cfg.fanout));
    }
    if (strcmp(name, "--fanout-max") == 0) {
        return sim_word_judge(sim_word_u32(value, 1, SWIM_FANOUT_MAX, &a->cfg.fanout_max));
    }
    if (strcmp(name, "--retransmit") == 0) {
        return sim_word_judge(sim_word_u32(value, 0, SWIM_TRANSMITS_MAX, &a->cfg.retransmit));
    }
    if (strcmp(name, "--retransmit-max") == 0) {
        return sim_word_judge(sim_word_u32(value, 1, SWIM_TRANSMITS_MAX, &a->cfg.retransmit_max));
    }
    if (strcmp(name, "--choose") == 0) {
        return sim_word_judge(parse_either(value, "chance", "turns", &a->turns));
    }
    if (strcmp(name, "--interval") == 0) {
        return sim_word_judge(parse_range(value, &a->interval_us, &same) &&
                              same == a->interval_us && same > 0);
    }
    return SIM_WORD_UNKNOWN;
}

static enum sim_taken take_other(struct sim_gossip_args *a, const char *name, const char *value)
{
    static const char *const lifeguard[] = {"on", "off", "both", NULL};

    if (strcmp(name, "--seed") == 0) {
        a->seed_given = true;
        return sim_word_judge(sim_word_number(value, 0, UINT64_MAX, &a->seed));
    }
    if (strcmp(name, "--count") == 0) {
        return sim_word_judge(sim_word_number(value, 1, 10000, &a->count));
    }
    if (strcmp(name, "--nodes") == 0) {
        return sim_word_judge(
            sim_word_numbers(value, (struct sim_word_list){a->size, &a->sizes, SIM_GOSSIP_SIZES_MAX,
                                                           2, SIM_GOSSIP_NODES_MAX}));
    }
    if (strcmp(name, "--lifeguard") == 0) {
        return sim_word_judge(parse_bits(value, lifeguard, &a->lifeguard));
    }
    if (strcmp(name, "--time") == 0) {
        return sim_word_judge(sim_word_seconds(value, &a->time_us) && a->time_us > 0 &&
                              a->time_us <= SECONDS_MAX * MS(1000));
    }
    if (strcmp(name, "--crash") == 0) {
        return sim_word_judge(sim_word_u32(value, 0, SIM_GOSSIP_DETECT_NODES_MAX, &a->crashes));
    }
    if (strcmp(name, "--format") == 0) {
        return sim_word_judge(sim_plot_format_parse(value, &a->format));
    }
    if (strcmp(name, "--svg") == 0) {
        a->svg = value;
        return sim_word_judge(*value != 0);
    }
    return SIM_WORD_UNKNOWN;
}

static enum sim_taken take(void *to, const char *name, const char *value)
{
    struct sim_gossip_args *a = to;
    enum sim_taken taken = take_world(a, name, value);

    if (strcmp(name, "--help") == 0 || strcmp(name, "--detect") == 0) {
        *(name[2] == 'h' ? &a->help : &a->detect) = true;
        return SIM_WORD_FLAG;
    }
    taken = taken == SIM_WORD_UNKNOWN ? take_spread(a, name, value) : taken;
    return taken == SIM_WORD_UNKNOWN ? take_other(a, name, value) : taken;
}

/* What one option's meaning has to do with another's. */
static bool settle(struct sim_gossip_args *a, struct diag *why)
{
    struct swim_config *c = &a->cfg;

    if (a->sizes == 0) {
        a->size[a->sizes++] = a->detect ? 100 : 10000;
    }
    if (!a->detect || a->fanout_given) {
        c->fanout_max = c->fanout_max != 0 ? c->fanout_max : (5 * c->fanout + 2) / 3;
        c->fanout_max = c->fanout_max > SWIM_FANOUT_MAX ? SWIM_FANOUT_MAX : c->fanout_max;
    }
    a->untiring = c->retransmit == 0;
    c->retransmit = a->untiring ? 1 : c->retransmit;
    c->retransmit_max = c->retransmit_max != 0 ? c->retransmit_max : (7 * c->retransmit + 3) / 4;
    if (c->fanout > c->fanout_max || c->retransmit > c->retransmit_max) {
        diag_set(why, "fan-out and transmissions cannot be above their own maximum");
        return false;
    }
    for (uint32_t i = 0; i < a->sizes && a->detect; i++) {
        uint64_t slow = (uint64_t)a->size[i] * a->world.slow_ppm / PPM;
        uint64_t crashes = a->crashes == SIM_GOSSIP_CRASHES_AUTO ? 1 : a->crashes;

        if (a->size[i] < 3 || a->size[i] > SIM_GOSSIP_DETECT_NODES_MAX) {
            diag_set(why, "--detect runs an engine for each member: 3 to %d of them, not %u",
                     SIM_GOSSIP_DETECT_NODES_MAX, a->size[i]);
            return false;
        }
        if (slow + crashes + 2 > a->size[i]) {
            diag_set(why, "of %u members, %lu slow and %lu that crash leave too few", a->size[i],
                     slow, crashes);
            return false;
        }
    }
    return true;
}

bool sim_gossip_args_parse(struct sim_gossip_args *a, int argc, char **argv, struct diag *why)
{
    struct swim_config defaults;

    *a = (struct sim_gossip_args){
        .world = {.latency_us_min = MS(1),
                  .latency_us_max = MS(5),
                  .slow_us_min = MS(1000),
                  .slow_us_max = MS(5000),
                  .cut_until_us = MS(2000)},
        .count = 5,
        .modes = (1u << SIM_GOSSIP_MODES) - 1,
        .hows = SIM_GOSSIP_FIRST,
        .clocks = SIM_GOSSIP_BOTH,
        .lifeguard = SIM_GOSSIP_BOTH,
        .interval_us = MS(200),
        .time_us = MS(60000),
        .crashes = SIM_GOSSIP_CRASHES_AUTO,
    };
    swim_config_default(&defaults);
    a->cfg = defaults;
    a->cfg.fanout = FANOUT_DEFAULT;
    a->cfg.fanout_max = a->cfg.retransmit = a->cfg.retransmit_max = 0;
    if (!sim_words_take(argc - 1, argv + 1, take, a, why)) {
        return false;
    }
    if (a->detect) { /* as it ships, but for what was said */
        a->cfg.fanout = a->fanout_given ? a->cfg.fanout : defaults.fanout;
        a->cfg.fanout_max =
            a->cfg.fanout_max != 0 || a->fanout_given ? a->cfg.fanout_max : defaults.fanout_max;
        a->cfg.retransmit = a->cfg.retransmit != 0 ? a->cfg.retransmit : defaults.retransmit;
    }
    return a->help || settle(a, why);
}
