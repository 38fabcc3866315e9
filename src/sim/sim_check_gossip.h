/* sim_check_gossip.h - what views of the membership may never show, and that they agree at last.
 *
 * Independent of swim_check(): it knows which ids there were, what each has said of itself, and
 * what each node held of each before.
 */
#ifndef SIM_CHECK_GOSSIP_H
#define SIM_CHECK_GOSSIP_H
#include "core/swim/swim.h"
#include "sim/sim_options.h"

struct sim_world;
struct sim_host;

enum { SIM_IDS_MAX = 64 }; /* a node that loses its directory has another one */
struct sim_gossip_id {
    struct swim_id id;
    uint32_t host;
    uint64_t said; /* the highest incarnation that it itself had; 0: none yet */
};
struct sim_gossip_seen { /* in one life of an observer */
    uint64_t incarnation;
    enum swim_state state;
};
struct sim_gossip_check {
    struct sim_gossip_id ids[SIM_IDS_MAX];
    uint32_t id_count;
    bool overflow; /* too many: nothing is checked any more */
    struct sim_gossip_seen seen[SIM_HOSTS_MAX][SIM_IDS_MAX];
    bool spoke[SIM_HOSTS_MAX];     /* in this life */
    uint64_t stamp[SIM_HOSTS_MAX]; /* of the view when it was last looked at */
    uint64_t healed_us;            /* the faults were over */
};
void sim_check_gossip_started(struct sim_world *w, struct sim_host *h);
void sim_check_gossip_turn(struct sim_world *w, struct sim_host *h);
/* Every node holds every node alive, at the incarnation that it has, and nobody else. */
bool sim_check_gossip_agrees(struct sim_world *w, struct diag *why);
/* From the end of the faults until they must. */
uint64_t sim_check_gossip_bound_us(const struct sim_world *w);
#endif
