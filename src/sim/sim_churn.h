/* sim_churn.h - the map is changed during a run: replicas come, go and change places.
 *
 * Changes are asked for at any node, as people would, and decided by the nodes themselves: by
 * some sooner, by some later, and many of them while others are still being followed.
 */
#ifndef SIM_CHURN_H
#define SIM_CHURN_H
#include "node/node_mapchange.h"
#include "sim/sim_options.h"

struct sim_world;
struct sim_host;

struct sim_churn {
    uint64_t asked; /* changes, so far */
    /* of each host: what its node is asked for in its next turn */
    bool waits[SIM_HOSTS_MAX];
    struct node_change change[SIM_HOSTS_MAX];
};
/* A fault of that class: a change of the map is asked for. */
void sim_churn_some(struct sim_world *w);
/* Within a turn of the node. */
void sim_churn_feed(struct sim_world *w, struct sim_host *h);
bool sim_churn_began(const struct sim_world *w);
/* How many replicas the partition is to have, and whether one of them on that host, as far as
 * that host knows. */
uint32_t sim_churn_wanted(const struct sim_world *w, uint32_t part, uint32_t host);
bool sim_churn_places(const struct sim_world *w, uint32_t part, uint32_t host);
/* Beyond what healing takes: from the newest map until all is where it says. */
uint64_t sim_churn_bound_us(const struct sim_world *w);
#endif
