/* sim_gossip_args.h - the command line of `synod sim gossip`. */
#ifndef SIM_GOSSIP_ARGS_H
#define SIM_GOSSIP_ARGS_H
#include "sim/sim_gossip.h"
#include "sim/sim_plot.h"

#include <stdio.h>

enum { SIM_GOSSIP_SIZES_MAX = 10 };
/* Which of two: bits. */
enum { SIM_GOSSIP_FIRST = 1, SIM_GOSSIP_SECOND = 2, SIM_GOSSIP_BOTH = 3 };

struct sim_gossip_args {
    struct sim_gossip_world world; /* but for nodes and seed */
    struct swim_config cfg;        /* fan-out, transmissions and their bounds; the rest default */
    uint32_t sizes, size[SIM_GOSSIP_SIZES_MAX];
    uint64_t seed, count;
    uint32_t modes;     /* bits of enum sim_gossip_mode */
    uint32_t hows;      /* static, adaptive */
    uint32_t clocks;    /* rounds, time */
    uint32_t lifeguard; /* on, off */
    bool turns, untiring, detect, help, seed_given, fanout_given;
    uint64_t interval_us, time_us;
    uint32_t crashes; /* SIM_GOSSIP_CRASHES_AUTO: one in a hundred, one at least */
    enum sim_plot_format format;
    const char *svg; /* NULL: none */
};
#define SIM_GOSSIP_CRASHES_AUTO UINT32_MAX

/* Everything that was not said gets its default. False: why names what makes no sense. */
MUST_USE bool sim_gossip_args_parse(struct sim_gossip_args *a, int argc, char **argv,
                                    struct diag *why);
void sim_gossip_args_usage(FILE *to);
#endif
