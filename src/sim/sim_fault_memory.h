/* sim_fault_memory.h - memory that rots: a bit of one value of one replica changes, and nobody
 * is told. The replicas must find it and repair it by themselves.
 *
 * At most one replica of a partition is rotten at a time: two would be a majority's memory.
 * Until it is found out, a rotten replica that leads may show the value; no product could
 * know better. So what clients were told of that object while it led is not judged (their
 * writes may have happened, their reads count for nothing). From the turn on in which
 * the replica knows that it is wrong, every answer is judged in full. Most rot strikes
 * followers, which answer nobody, and then nothing at all is excused.
 *
 * A replica that thinks itself wrong although nothing rotted is a finding, and so is rot that
 * outlives the phase of healing.
 */
#ifndef SIM_FAULT_MEMORY_H
#define SIM_FAULT_MEMORY_H
#include "sim/sim_history.h"
#include "sim/sim_options.h"

struct sim_world;
struct sim_host;

enum { SIM_ROTS_MAX = 256 };
struct sim_rot {
    uint32_t host, part, object;
    uint32_t life;     /* of the host's process: a restart reads the disk again */
    uint64_t installs; /* of the replica then: a snapshot replaces what had rotted */
    uint64_t since_us;
    uint64_t known_us; /* 0: nobody knows yet */
    uint64_t end_us;   /* 0: still there */
    bool led;          /* the replica has led while nobody knew */
    bool overwritten;  /* what was copied from it before, into another key or a checkpoint under
                          way, is wrong until the replica's state is replaced */
};
struct sim_rots {
    struct sim_rot at[SIM_ROTS_MAX];
    uint32_t count;
};
/* Strike: a value in some of the partitions. */
void sim_rot_some(struct sim_world *w);
/* After each turn of a host, before its answers leave; and when its process has ended. */
void sim_rot_turn(struct sim_world *w, struct sim_host *h);
void sim_rot_gone(struct sim_world *w, struct sim_host *h);
/* This replica's state is, or may still be, not what the others have. */
bool sim_rot_in(const struct sim_world *w, uint32_t host, uint32_t part);
bool sim_rot_in_host(const struct sim_world *w, uint32_t host);
/* The answer that op gets now may come from a rotten leader that did not know yet. */
bool sim_rot_excuses(const struct sim_world *w, const struct sim_op *op);
/* Nothing is rotten any more. False: why says what is. */
bool sim_rot_healed(const struct sim_world *w, struct diag *why);
/* How long that may take, once everyone is there: it is found, judged, and rebuilt. */
uint64_t sim_rot_bound_us(const struct sim_world *w);
#endif
