/* sim_check_map.h - one map per epoch, over all nodes and all time; and no node goes back. */
#ifndef SIM_CHECK_MAP_H
#define SIM_CHECK_MAP_H
#include "base/base.h"

struct sim_world;
struct sim_host;

enum { SIM_EPOCHS_MAX = 4096, SIM_MAP_HOSTS_MAX = 5 };
struct sim_map_check {
    uint64_t digest[SIM_EPOCHS_MAX]; /* of the map of that epoch, once anybody had it; 0: nobody */
    uint64_t newest;
    /* of each host's process */
    uint64_t epoch[SIM_MAP_HOSTS_MAX], self[SIM_MAP_HOSTS_MAX];
};
/* The node was opened anew: what it has been told may have gone back to what was durable. */
void sim_check_map_started(struct sim_world *w, struct sim_host *h);
void sim_check_map_turn(struct sim_world *w, struct sim_host *h);
/* Every node that is up has the newest map that anybody had, and stands in it under its id. */
bool sim_check_map_converged(struct sim_world *w, struct diag *why);
#endif
