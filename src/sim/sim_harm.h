/* sim_harm.h - what was done to the data of one replica, and what became of it.
 *
 * One machine's data is harmed at a time, and the next one not before every replica
 * of every partition votes again: more than that nothing could survive.
 *
 * A second disk, the twin, gets every operation as it was meant. When the harmed
 * machine starts, a node is opened from the twin as well: where the two agree, the harm
 * was harmless; where they do not, the replica must say so and be rebuilt. Only what
 * was written last may be missing without a word, for it looks like a write that a
 * crash tore; then its peers, who heard of it, must notice.
 */
#ifndef SIM_HARM_H
#define SIM_HARM_H
#include "node/node.h"
#include "sim/sim_disk.h"
#include "sim/sim_options.h"

struct sim_world;
struct sim_host;

enum { SIM_HARM_PARTITIONS_MAX = 16 };

enum sim_harm_kind {
    SIM_HARM_PROVEN,   /* later writes prove that what is missing was there */
    SIM_HARM_NEWEST,   /* perhaps what was written last */
    SIM_HARM_IMAGE,    /* what was written since some time ago */
    SIM_HARM_METADATA, /* the node may refuse to start, with a sentence */
};
struct sim_harm {
    bool open;
    enum sim_harm_kind kind;
    uint32_t host;
    bool armed;       /* the next write goes wrong; not yet harmed */
    bool started;     /* since it was harmed */
    bool must_notice; /* others have surely heard of what is missing */
    bool noticed;
    uint64_t since_us, started_us;
    uint64_t whole_us; /* since when the cluster has been whole again; 0: it is not */
    struct {           /* as the harmed node started */
        bool cut;      /* it knew less than its twin, and did not say so */
        uint64_t self;
    } of[SIM_HARM_PARTITIONS_MAX];
    struct sim_disk twin;
    bool has_twin;
    /* an image taken of a disk */
    struct sim_disk image;
    bool has_image;
    uint32_t image_host, image_life;
    uint64_t image_us, image_writes;
    uint64_t count, cuts, refusals, noticed_count; /* for the log */
};
void sim_harm_free(struct sim_harm *m);
/* May h be harmed now? Then it is the harmed one, and its disk has a twin. For kinds that
 * only its peers can tell, all other faults rest until it is whole again: they must
 * have the chance. */
bool sim_harm_begin(struct sim_world *w, struct sim_host *h, enum sim_harm_kind kind);
/* It came to nothing. */
void sim_harm_cancel(struct sim_world *w);
bool sim_harm_is_on(const struct sim_world *w, const struct sim_host *h);
/* The harmed host is about to be opened with this; judged against its twin. node: NULL when
 * it refused, and why says why. True: go on; false: the operator empties the directory. */
bool sim_harm_judge_start(struct sim_world *w, struct sim_host *h, const struct node_config *cfg,
                          const uint8_t entropy[32], const struct diag *why);
/* Perhaps everything is whole again. */
void sim_harm_poll(struct sim_world *w);
/* The phase of faults is over: have what is left found out. */
void sim_harm_heal(struct sim_world *w);
#endif
