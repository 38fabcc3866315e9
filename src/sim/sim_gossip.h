/* sim_gossip.h - `synod sim gossip`: how fast news spreads and death is noticed, beside theory.
 *
 * Two studies. The spread of one rumour among up to a million members is a model: exact about
 * who chooses whom, who is told, and what is lost; silent about everything else that members do.
 * The detection of deaths, and of deaths that are none, is by the engine that ships
 * (core/swim), every message through its codec. Both take fan-out, transmissions and intervals
 * from core/swim's own rules. Same setup, same result, on every machine.
 */
#ifndef SIM_GOSSIP_H
#define SIM_GOSSIP_H
#include "base/base_bytes.h"
#include "base/base_prng.h"
#include "core/swim/swim.h"

enum {
    SIM_GOSSIP_NODES_MAX = 1000000,
    SIM_GOSSIP_DETECT_NODES_MAX = 2000, /* each member holds all others: 400 KB each at that size */
    SIM_GOSSIP_ROUNDS_MAX = 10000,
};
#define SIM_GOSSIP_NEVER UINT64_MAX

/* Who knows tells; everyone asks, says whether it knows, and is told what it lacks; both. */
enum sim_gossip_mode { SIM_GOSSIP_PUSH, SIM_GOSSIP_PULL, SIM_GOSSIP_PUSH_PULL, SIM_GOSSIP_MODES };
const char *sim_gossip_mode_name(enum sim_gossip_mode mode);

/* What the network and the members are like; times in us. */
struct sim_gossip_world {
    uint32_t nodes; /* 2 or more */
    uint64_t seed;
    uint32_t loss_ppm; /* of packets, each for itself */
    uint64_t latency_us_min, latency_us_max;
    uint32_t slow_ppm; /* so many members are slow: */
    uint64_t slow_us_min, slow_us_max;
    bool slow_sleeps;                   /* they sleep so long at a time, and are awake so long;
                                           else: each packet to or from one takes so much longer */
    uint32_t cut_ppm;                   /* so many members hear only each other, */
    uint64_t cut_from_us, cut_until_us; /* that long after the beginning */
};

struct sim_gossip_spread_setup {
    struct sim_gossip_world world;
    enum sim_gossip_mode mode;
    bool adaptive; /* fan-out, transmissions and interval follow what a member has measured */
    bool timed;    /* members have a clock each and packets take time; else: rounds, all at once */
    bool turns;    /* nobody is chosen again before all were, as in core/swim; else: by chance */
    bool untiring; /* told on for ever; else: as often as cfg.retransmit says */
    uint64_t interval_us; /* static, timed; and how long a round lasts */
    struct swim_config cfg;
};

enum { SIM_GOSSIP_HALF, SIM_GOSSIP_MOST, SIM_GOSSIP_ALL, SIM_GOSSIP_SHARES }; /* 50, 99, 100 % */
struct sim_gossip_spread {
    uint32_t reached;
    uint64_t at[SIM_GOSSIP_SHARES];   /* rounds, or us; NEVER: not reached */
    uint64_t packets, rumours, bytes; /* sent by all until then; rumours: packets that carry it */
    uint32_t steps;                   /* of the curve: rounds, or tenths of interval_us */
    uint32_t *curve;                  /* who knew at the end of each; [0] = 1 */
};
/* One member knows; what follows, until all do, or nobody tells or asks any more, or
 * SIM_GOSSIP_ROUNDS_MAX rounds or intervals have passed. */
void sim_gossip_spread(const struct sim_gossip_spread_setup *setup, struct sim_gossip_spread *out);
void sim_gossip_spread_free(struct sim_gossip_spread *s);

/* --- theory (sim_gossip_theory.c) --- */

/* Rounds until all know, of a fan-out whose packets are lost with loss_ppm. Push is
 * log_{1+q} n + ln n / q with q = fanout (1 - loss): [Pittel 1987] for q = 1, [Doerr, Huber, Levavi
 * 2013] for losses. Pull, push-pull: first growth by its factor, then squaring what is left
 * [Karp et al. 2000]: log_3 n + log_2 ln n for fan-out 1. */
double sim_gossip_theory_rounds(enum sim_gossip_mode mode, uint32_t nodes, uint32_t fanout,
                                uint32_t loss_ppm);
/* Intervals until all know, where every member has a clock of its own and a packet takes
 * `latency` intervals: growth e^(gt) with g e^(g latency) = what one member gives in an interval.
 */
double sim_gossip_theory_intervals(const struct sim_gossip_spread_setup *s);
/* Packets with the rumour for each member. Push: half of them know when it is log n rounds old,
 * then each tells in each of ln n / q rounds: fanout * ln n / q. Pull: one each, as often as it
 * takes. Push-pull: ln ln n, up to a factor. */
double sim_gossip_theory_rumours(enum sim_gossip_mode mode, uint32_t nodes, uint32_t fanout,
                                 uint32_t loss_ppm);
/* Periods from a death to the end of the first period in which somebody probes the dead [SWIM]. */
double sim_gossip_theory_detection(uint32_t nodes);

/* --- detection (sim_gossip_detect.c) --- */

struct sim_gossip_detect_setup {
    struct sim_gossip_world world;
    struct swim_config cfg; /* of every member */
    uint64_t time_us;       /* in which members crash, and false deaths are counted */
    uint32_t crashes;       /* of members that are not slow, one by one at random times */
};
enum sim_gossip_stage {
    SIM_GOSSIP_PROBED,    /* the first probe that gets no answer */
    SIM_GOSSIP_SUSPECTED, /* somebody suspects */
    SIM_GOSSIP_DEAD,      /* somebody knows it is dead */
    SIM_GOSSIP_DEAD_MOST, /* 99 % know */
    SIM_GOSSIP_DEAD_ALL,  /* all know */
    SIM_GOSSIP_STAGES
};
struct sim_gossip_detect {
    uint32_t crashes;
    uint64_t *after_us[SIM_GOSSIP_STAGES]; /* of each crash, in order of size; NEVER */
    /* Of members that are up, where the observer could hear them. */
    uint64_t false_views;      /* an observer holds dead ... */
    uint64_t false_views_well; /* ... a member that is not slow */
    uint64_t false_deaths;     /* a member is buried, by one or by many, in one incarnation */
    uint64_t false_deaths_well;
    uint64_t failed_probes;            /* of the dead too */
    uint64_t refutations;              /* members deny that they are suspect or dead */
    double packets_per_s, bytes_per_s; /* of one member, packets only, in the whole time */
    uint64_t shortest_us;              /* a suspicion's shortest time, at the end */
};
void sim_gossip_detect(const struct sim_gossip_detect_setup *setup, struct sim_gossip_detect *out);
void sim_gossip_detect_free(struct sim_gossip_detect *d);

/* Exit status: 0, or 2 for wrong usage. argv[0] is ignored. */
int sim_gossip_main(int argc, char **argv);
#endif
