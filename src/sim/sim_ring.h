/* sim_ring.h - `synod sim ring`: placements compared, synod's own beside others.
 *
 * A study draws clusters from a seed, lets every placement put the replicas of every
 * partition on nodes, measures how even that is, lets members join, leave and change,
 * and measures what moves. Placements see the same members and the same changes. They
 * are placed by
 *
 *   synod       core/ring as it ships: vnodes, weights, zones, bounded load; after a step,
 *               the least change of what was placed before (ring_replan)
 *   afresh      the same, placed from nothing after every step
 *   jump        Lamping, Veach 2014; replicas are further hashes until they differ, a weight is
 *               so many buckets, and the last bucket takes the place of one that leaves
 *   rendezvous  Thaler, Ravishankar 1998 (HRW): the highest scores; weighted by -w / ln(u)
 *   ketama      a ring of points (Karger et al. 1997; libketama) without bounds: the next nodes
 *
 * The others are as published: they do not know zones.
 */
#ifndef SIM_RING_H
#define SIM_RING_H
#include "base/base_bytes.h"
#include "base/base_prng.h"
#include "core/ring/ring.h"
#include "sim/sim_plot.h"

enum {
    SIM_RING_STEPS_MAX = 64,
    SIM_RING_SIZES_MAX = 16,
    SIM_RING_WEIGHTS_MAX = 16,
    SIM_RING_ZONES_MAX = 64,
    SIM_RING_VNODES_MAX = 1024,
    SIM_RING_DRAWS_MAX = 10000,
    SIM_RING_SERIALS = RING_NODES_MAX + SIM_RING_STEPS_MAX + 1, /* 0 is nobody's */
    SIM_RING_BUCKETS_MAX = RING_NODES_MAX * RING_WEIGHT_MAX,
};
enum sim_ring_placer {
    SIM_RING_SYNOD,
    SIM_RING_AFRESH,
    SIM_RING_JUMP,
    SIM_RING_RENDEZVOUS,
    SIM_RING_KETAMA,
    SIM_RING_IDEAL, /* places nothing: what no placement can better */
    SIM_RING_PLACERS,
};
const char *sim_ring_placer_name(enum sim_ring_placer placer);

/* --- who is there --- */

struct sim_ring_cluster {
    struct ring_node node[RING_NODES_MAX]; /* the low 16 bits of an id are its serial number */
    uint32_t nodes;
    uint32_t joined; /* so far; the last serial number given */
    /* Serial numbers by bucket, for jump: their order is the history of joins and leaves. */
    uint16_t bucket[SIM_RING_BUCKETS_MAX];
    uint32_t buckets;
};
static inline uint32_t sim_ring_serial(uint64_t id)
{
    return (uint32_t)(id & 0xffff);
}
/* A member with a random id; the cluster is not full. */
void sim_ring_join(struct sim_ring_cluster *c, uint64_t random, uint32_t weight, uint32_t zone);
void sim_ring_leave(struct sim_ring_cluster *c, uint32_t pos);
void sim_ring_reweigh(struct sim_ring_cluster *c, uint32_t pos, uint32_t weight);
/* Zones that somebody is in. */
uint32_t sim_ring_zones(const struct sim_ring_cluster *c);

/* --- where replicas are put --- */

struct sim_ring_shape {
    uint32_t partitions, replicas; /* as ring_replan has them */
    uint32_t vnodes;               /* points of ketama for each unit of weight */
    uint64_t salt;                 /* of the partitions' hashes, except synod's, which are fixed */
};
/* Replicas of a partition: never more than there are nodes. */
uint32_t sim_ring_replicas(const struct sim_ring_cluster *c, const struct sim_ring_shape *shape);
struct sim_ring_scene {
    const struct sim_ring_cluster *cluster;
    const struct sim_ring_shape *shape;
    const struct ring_placement *present; /* of synod alone; NULL: nothing is placed yet */
};
/* Fill out[0..partitions) as ring_replan does. placer is not SIM_RING_IDEAL. False: ring_replan's
 * why; only of synod's, which takes no number of partitions that is not a power of two. */
MUST_USE bool sim_ring_place(const struct sim_ring_scene *scene, enum sim_ring_placer placer,
                             struct ring_placement *out, struct diag *why);
/* [JUMP figure 1] The bucket of a key among so many; buckets > 0. */
uint32_t sim_ring_jump(uint64_t key, uint32_t buckets);

/* --- how good that is --- */

/* What each member, by its place, would carry if all were even by weight, as far as that can be:
 * no node has two replicas of a partition, and zones have them as evenly as their nodes allow. */
void sim_ring_fair(const struct sim_ring_cluster *c, const struct sim_ring_shape *shape,
                   double fair[RING_NODES_MAX]);
struct sim_ring_balance {
    double fullest, emptiest; /* load over fair share; 1 is even */
    double deviation;         /* standard deviation of that */
    double leads_fullest;     /* the same of preferred leaders over their share by weight */
    double over;              /* share of nodes above their fair share rounded up */
    uint32_t zone_violations; /* partitions with fewer zones than replicas and zones allow */
    uint32_t doubled;         /* partitions with two replicas on one node, or one on no member */
};
void sim_ring_weigh(const struct sim_ring_cluster *c, const struct sim_ring_shape *shape,
                    const struct ring_placement *placed, struct sim_ring_balance *out);
/* Of the fair shares themselves, rounded to whole replicas. */
void sim_ring_weigh_ideal(const struct sim_ring_cluster *c, const struct sim_ring_shape *shape,
                          struct sim_ring_balance *out);
struct sim_ring_move {
    double replicas; /* share of all replicas that are where none of the partition was */
    double leads;    /* share of partitions with another preferred leader */
};
struct sim_ring_move sim_ring_moved(const struct sim_ring_shape *shape,
                                    const struct ring_placement *before,
                                    const struct ring_placement *after);
/* The least that any change from even to even moves. */
struct sim_ring_move sim_ring_moved_ideal(const struct sim_ring_cluster *before,
                                          const struct sim_ring_cluster *after,
                                          const struct sim_ring_shape *shape);

/* --- many draws --- */

enum sim_ring_step {
    SIM_RING_JOIN,
    SIM_RING_LEAVE,
    SIM_RING_WEIGHT,
    SIM_RING_ZONE,
    SIM_RING_KINDS
};
const char *sim_ring_step_name(enum sim_ring_step step);
struct sim_ring_options {
    uint32_t size[SIM_RING_SIZES_MAX]; /* numbers of nodes, ascending */
    uint32_t sizes;
    struct sim_ring_shape shape; /* salt comes from the seed */
    uint32_t zones;
    uint32_t weight[SIM_RING_WEIGHTS_MAX]; /* in turn; none: drawn from 1 to weight_most */
    uint32_t weights, weight_most;
    enum sim_ring_step step[SIM_RING_STEPS_MAX];
    uint32_t steps;
    uint64_t seed;
    uint32_t count; /* draws: seeds seed to seed + count - 1 */
    enum sim_plot_format format;
    const char *svg; /* a path, or NULL */
    bool help;
};
/* Everything not said gets its default. False: why names what makes no sense. */
MUST_USE bool sim_ring_parse(struct sim_ring_options *o, int argc, char **argv, struct diag *why);
void sim_ring_usage(struct buf *out);

enum sim_ring_measure {
    SIM_RING_FULLEST,
    SIM_RING_EMPTIEST,
    SIM_RING_DEVIATION,
    SIM_RING_LEADS_FULLEST,
    SIM_RING_OVER,
    SIM_RING_VIOLATIONS, /* of zones, share of partitions in all states of a draw */
    SIM_RING_DOUBLED,
    SIM_RING_MOVED,                                         /* + kind of step */
    SIM_RING_MOVED_LEADS = SIM_RING_MOVED + SIM_RING_KINDS, /* + kind of step */
    SIM_RING_MEASURES = SIM_RING_MOVED_LEADS + SIM_RING_KINDS,
};
/* The values that all draws gave for one measure. */
struct sim_ring_sample {
    double *value;
    uint32_t count, room;
    double median, worst, mean; /* once settled; worst: the largest, of EMPTIEST the least */
};
struct sim_ring_study {
    const struct sim_ring_options *options; /* borrowed */
    struct sim_ring_sample sample[SIM_RING_SIZES_MAX][SIM_RING_PLACERS][SIM_RING_MEASURES];
};
/* Draw, place, measure, and settle the samples. False: why, and nothing to free. */
MUST_USE bool sim_ring_run(struct sim_ring_study *s, const struct sim_ring_options *o,
                           struct diag *why);
void sim_ring_free(struct sim_ring_study *s);
void sim_ring_report(const struct sim_ring_study *s, struct buf *out);
void sim_ring_draw(const struct sim_ring_study *s, struct buf *out); /* SVG */

/* Share of partitions, over all draws, that synod put on too few nodes or zones, or on strangers;
 * and of nodes that it gave more than their share rounded up.
 * Anything but 0 is a bug of core/ring. */
double sim_ring_broken(const struct sim_ring_study *s);

/* The command: argv[0] is its word (ring). Exit status 0; 1: sim_ring_broken; 2: it makes no sense,
 * or the plot cannot be written. */
int sim_ring_main(int argc, char **argv);
#endif
