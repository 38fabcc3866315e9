/* sim_check_raft.h - the five properties of Raft [R fig. 3], over all nodes at once.
 *
 * Looks at every replica after every turn and remembers what was true anywhere:
 * who led which term, which entry stood at (index, term), what was committed, what the
 * state was at each applied index. Independent of raft's own raft_check().
 */
#ifndef SIM_CHECK_RAFT_H
#define SIM_CHECK_RAFT_H
#include "base/base_map.h"
#include "node/node.h"
#include "sim/sim_options.h"

struct sim_world;
struct sim_host;

enum { SIM_PARTITIONS_MAX = 16 };

struct sim_committed {
    uint64_t term, hash;   /* 0: not known here */
    uint64_t seen_in_term; /* newest term of the node that first showed it */
    uint64_t digest;       /* of the state after applying it; 0: not seen */
    uint32_t digest_host;
};
struct sim_group_seen { /* one replica, since its node started */
    bool known, was_leader;
    uint64_t self, term, commit, applied, last, last_term, entry_checked;
};
struct sim_partition_check {
    struct sim_committed *committed; /* by index */
    uint64_t count, cap;             /* indices below count are tracked */
    uint64_t inherited_term; /* in which a majority was first seen with an older term's entry */
    struct map64 leaders;    /* term -> raft id, boxed */
    struct map64 entries;    /* mix(index, term) -> struct sim_entry_seen */
};
struct sim_raft_check {
    struct sim_partition_check of[SIM_PARTITIONS_MAX];
    struct sim_group_seen seen[SIM_HOSTS_MAX][SIM_PARTITIONS_MAX];
    uint64_t elections, installs;
    uint64_t elected_us; /* when the latest leader was */
    /* Of the node whose turn it is, as they are after the turn. */
    struct node_group_view views[SIM_PARTITIONS_MAX];
    uint32_t view_count;
};
void sim_check_raft_free(struct sim_raft_check *c);
/* The node was opened anew: what it knows may have gone back to what was durable. */
void sim_check_raft_started(struct sim_world *w, struct sim_host *h);
/* Leave in the history's logs, at each index, what was committed there; where that was never seen,
 * all. */
void sim_check_raft_drop_replaced(struct sim_world *w);
/* Fills views, which other checkers of the same turn use too. */
void sim_check_raft_turn(struct sim_world *w, struct sim_host *h);
/* Every partition has one leader, known to all its replicas, and no replica is missing. */
bool sim_check_raft_converged(struct sim_world *w, struct diag *why);
/* The same among the hosts of the core alone, and whoever else may vote. */
bool sim_check_raft_core(struct sim_world *w, struct diag *why);
/* All replicas of each partition are at the same index with the same digest. */
bool sim_check_raft_settled(struct sim_world *w, struct diag *why);
#endif
