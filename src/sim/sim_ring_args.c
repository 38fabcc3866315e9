/* The command line of `synod sim ring`. */
#include "sim/sim_ring.h"

#include "base/base_hash.h"
#include "sim/sim_words.h"

#include <string.h>

static const uint32_t usual_sizes[] = {3, 5, 9, 20, 50};
enum { USUAL_PARTITIONS = 64, USUAL_VNODES = 160, USUAL_DRAWS = 100, RANDOM_WEIGHT_MOST = 8 };

static const char usage_text[] =
    "usage: synod sim ring [options]\n"
    "  how evenly synod's ring places replicas and how much moves when members change, beside\n"
    "  the same ring placed afresh, jump consistent hash, rendezvous (HRW), a ketama ring without "
    "bounds, and the ideal\n"
    "the cluster:\n"
    "  --nodes LIST       numbers of nodes, 1 to 256 (3,5,9,20,50)\n"
    "  --partitions N     a power of two up to 16384 (64); each is an equal range of hash slots,\n"
    "                     so shares of partitions are shares of keys\n"
    "  --replicas N       1 to 7 (3)\n"
    "  --zones N          nodes are in zones 0 to N-1 in turn, 1 to 64 (1)\n"
    "  --weights LIST     capacities 1 to 64, of the nodes in turn; or random: 1 to 8 (1)\n"
    "  --vnodes N         points of the ketama ring for each unit of weight, 1 to 1024 (160);\n"
    "                     synod's has 64\n"
    "what happens to it:\n"
    "  --steps LIST       join, leave (a random node), weight (a random node's changes), zone (a\n"
    "                     random node is moved to another), one after the other, or none\n"
    "                     (join,leave)\n"
    "  --seed S           the first draw (1): ids of nodes, hashes, weights, who leaves\n"
    "  --count N          draws S to S+N-1, 1 to 10000 (100)\n"
    "what is printed:\n"
    "  --format table|csv\n"
    "  --svg FILE         and curves over the number of nodes\n"
    "Same options, same output. Exit status 1: synod's placement broke a promise; 2: the command\n"
    "makes no sense. docs/howto/sim-ring.md says how to read it.\n";

void sim_ring_usage(struct buf *out)
{
    buf_append(out, usage_text, sizeof usage_text - 1);
}

static bool parse_step(const char *text, size_t len, enum sim_ring_step *out)
{
    for (unsigned i = 0; i < SIM_RING_KINDS; i++) {
        const char *name = sim_ring_step_name((enum sim_ring_step)i);

        if (strlen(name) == len && memcmp(name, text, len) == 0) {
            *out = (enum sim_ring_step)i;
            return true;
        }
    }
    return false;
}

static bool parse_steps(struct sim_ring_options *o, const char *text)
{
    o->steps = 0;
    if (strcmp(text, "none") == 0) {
        return true;
    }
    for (;;) {
        size_t len = strcspn(text, ",");

        if (o->steps == SIM_RING_STEPS_MAX || !parse_step(text, len, &o->step[o->steps])) {
            return false;
        }
        o->steps++;
        if (text[len] == 0) {
            return true;
        }
        text += len + 1;
    }
}

static bool parse_weights(struct sim_ring_options *o, const char *text)
{
    if (strcmp(text, "random") == 0) {
        o->weights = 0;
        o->weight_most = RANDOM_WEIGHT_MOST;
        return true;
    }
    return sim_word_numbers(text, (struct sim_word_list){o->weight, &o->weights,
                                                         SIM_RING_WEIGHTS_MAX, 1, RING_WEIGHT_MAX});
}

static bool parse_partitions(struct sim_ring_options *o, const char *text)
{
    return sim_word_u32(text, 1, HASHSLOT_COUNT, &o->shape.partitions) &&
           (o->shape.partitions & (o->shape.partitions - 1)) == 0;
}

static bool parse_nodes(struct sim_ring_options *o, const char *text)
{
    bool good = sim_word_numbers(
        text, (struct sim_word_list){o->size, &o->sizes, SIM_RING_SIZES_MAX, 1, RING_NODES_MAX});

    for (uint32_t i = 1; good && i < o->sizes; i++) {
        good = o->size[i] > o->size[i - 1];
    }
    return good;
}

static enum sim_taken take(void *to, const char *name, const char *value)
{
    struct sim_ring_options *o = to;

    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        o->help = true;
        return SIM_WORD_FLAG;
    }
    if (strcmp(name, "--nodes") == 0) {
        return sim_word_judge(parse_nodes(o, value));
    }
    if (strcmp(name, "--partitions") == 0) {
        return sim_word_judge(parse_partitions(o, value));
    }
    if (strcmp(name, "--replicas") == 0) {
        return sim_word_judge(sim_word_u32(value, 1, RING_REPLICAS_MAX, &o->shape.replicas));
    }
    if (strcmp(name, "--zones") == 0) {
        return sim_word_judge(sim_word_u32(value, 1, SIM_RING_ZONES_MAX, &o->zones));
    }
    if (strcmp(name, "--weights") == 0) {
        return sim_word_judge(parse_weights(o, value));
    }
    if (strcmp(name, "--vnodes") == 0) {
        return sim_word_judge(sim_word_u32(value, 1, SIM_RING_VNODES_MAX, &o->shape.vnodes));
    }
    if (strcmp(name, "--steps") == 0) {
        return sim_word_judge(parse_steps(o, value));
    }
    if (strcmp(name, "--seed") == 0) {
        return sim_word_judge(sim_word_number(value, 0, UINT64_MAX, &o->seed));
    }
    if (strcmp(name, "--count") == 0) {
        return sim_word_judge(sim_word_u32(value, 1, SIM_RING_DRAWS_MAX, &o->count));
    }
    if (strcmp(name, "--format") == 0) {
        return sim_word_judge(sim_plot_format_parse(value, &o->format));
    }
    if (strcmp(name, "--svg") == 0) {
        o->svg = value;
        return sim_word_judge(*value != 0);
    }
    return SIM_WORD_UNKNOWN;
}

/* Steps must leave somebody, and not more than a ring can have. */
static bool steps_fit(const struct sim_ring_options *o, struct diag *why)
{
    uint32_t least = o->size[0], most = o->size[o->sizes - 1];

    for (uint32_t i = 0; i < o->steps; i++) {
        if (o->step[i] == SIM_RING_LEAVE && least == 1) {
            diag_set(why, "--steps: step %u, a leave, takes the last of %u nodes", i + 1,
                     o->size[0]);
            return false;
        }
        if (o->step[i] == SIM_RING_JOIN && most == RING_NODES_MAX) {
            diag_set(why, "--steps: step %u, a join, is one more than %d nodes, which is the most",
                     i + 1, RING_NODES_MAX);
            return false;
        }
        if (o->step[i] == SIM_RING_ZONE && o->zones == 1) {
            diag_set(why, "--steps: a node can only change its zone with --zones 2 or more");
            return false;
        }
        least = least + (o->step[i] == SIM_RING_JOIN) - (o->step[i] == SIM_RING_LEAVE);
        most = most + (o->step[i] == SIM_RING_JOIN) - (o->step[i] == SIM_RING_LEAVE);
    }
    return true;
}

bool sim_ring_parse(struct sim_ring_options *o, int argc, char **argv, struct diag *why)
{
    *o = (struct sim_ring_options){
        .sizes = ARRAY_COUNT(usual_sizes),
        .shape = {.partitions = USUAL_PARTITIONS, .replicas = 3, .vnodes = USUAL_VNODES},
        .zones = 1,
        .weight = {1},
        .weights = 1,
        .weight_most = 1,
        .step = {SIM_RING_JOIN, SIM_RING_LEAVE},
        .steps = 2,
        .seed = 1,
        .count = USUAL_DRAWS};
    memcpy(o->size, usual_sizes, sizeof usual_sizes);
    if (!sim_words_take(argc - 1, argv + 1, take, o, why)) {
        return false;
    }
    return o->help || steps_fit(o, why);
}
