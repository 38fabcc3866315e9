/* sim_churn.h - maps that change during a run: replicas come, go and change places.
 *
 * Each map is decided here, once, and given to every node after a time of its own, so that some
 * act on it while others know nothing of it yet.
 */
#ifndef SIM_CHURN_H
#define SIM_CHURN_H
#include "node/node.h"
#include "sim/sim_options.h"

struct sim_world;
struct sim_host;

struct sim_churn {
    struct wire_map map; /* the newest; partitions 0: that of the founding is in force */
    uint64_t due_us[SIM_HOSTS_MAX];
};
void sim_churn_free(struct sim_churn *c);
/* A fault of that class: a new map. */
void sim_churn_some(struct sim_world *w);
/* Within a turn of the node: it is given the newest map, if its time has come. */
void sim_churn_feed(struct sim_world *w, struct sim_host *h);
/* From now on nobody waits for it. */
void sim_churn_heal(struct sim_world *w);
bool sim_churn_began(const struct sim_world *w);
/* How many replicas the partition is to have, and whether one of them on that host. */
uint32_t sim_churn_wanted(const struct sim_world *w, uint32_t part);
bool sim_churn_places(const struct sim_world *w, uint32_t part, uint32_t host);
/* Beyond what healing takes: from the newest map until all is where it says. */
uint64_t sim_churn_bound_us(const struct sim_world *w);
#endif
