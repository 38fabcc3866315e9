/* sim_fault.h - what goes wrong, and when: the classes a seed switched on. */
#ifndef SIM_FAULT_H
#define SIM_FAULT_H
#include "sim/sim_options.h"

struct sim_world;
/* Names of strikes at snapshots are this, plus the host, and a number. */
enum { SIM_NAMES_SNAPSHOT = 100 };
struct sim_host;

/* The first of a chain of faults that lasts as long as the phase of faults. */
void sim_fault_begin(struct sim_world *w);
/* Nothing gets from one place to the other for a while. */
void sim_fault_cut(struct sim_world *w, uint32_t from, uint32_t to, uint64_t us);
/* The same, and no connection breaks: TCP outlives a short cut, and sends again after it. */
void sim_fault_freeze(struct sim_world *w, uint32_t from, uint32_t to, uint64_t us);
/* A replica on h has just won an election: perhaps it is struck, now or soon. */
void sim_fault_elected(struct sim_world *w, struct sim_host *h, uint32_t part, uint64_t term);
/* One asks for votes: perhaps its requests are late. */
void sim_fault_candidate(struct sim_world *w, struct sim_host *h, uint32_t part, uint64_t term);
/* A majority has an entry of an older term from h, which leads: perhaps it is struck before its
 * own term's first entry gets there. */
void sim_fault_inherited(struct sim_world *w, struct sim_host *h, uint32_t part, uint64_t term);
/* h, which leads, has begun a step of a change of membership: perhaps it is struck. */
void sim_fault_member(struct sim_world *w, struct sim_host *h, uint32_t part, uint64_t index);
/* A fault of that name happened: every fault has one, so that it can be left out. */
void sim_fault_struck(struct sim_world *w, uint64_t name);
/* End every fault: links work, everyone runs, disks have room. */
void sim_fault_heal(struct sim_world *w);
/* Those of one host; links are none of them. */
void sim_fault_heal_host(struct sim_world *w, struct sim_host *h);

/* For the families of faults. */
uint64_t sim_fault_length_us(struct sim_world *w);
struct sim_host *sim_fault_any_host(struct sim_world *w);
struct sim_host *sim_fault_any_leader(struct sim_world *w); /* any host, where nobody leads */
/* A host was started: perhaps it does not get far. */
void sim_fault_started(struct sim_world *w, struct sim_host *h);
/* A host is about to do something with a snapshot file: perhaps it, or another, is struck. naming:
 * it is the last write's sync, before the file gets its name. */
void sim_fault_snapshot_op(struct sim_world *w, struct sim_host *h, bool naming);
void sim_fault_crash_loop(struct sim_world *w, uint64_t name);
void sim_fault_starve(struct sim_world *w);
void sim_fault_mass_stop(struct sim_world *w);
void sim_fault_strobe(struct sim_world *w);
void sim_fault_clocks_apart(struct sim_world *w);
/* Strike h, now or soon, as a fault of that name. */
void sim_fault_leader(struct sim_world *w, struct sim_host *h, uint64_t name);
void sim_fault_partition(struct sim_world *w);
void sim_fault_one_way(struct sim_world *w);
void sim_fault_clog(struct sim_world *w);
void sim_fault_swizzle(struct sim_world *w);
void sim_fault_slow_link(struct sim_world *w);
void sim_fault_packets(struct sim_world *w);
void sim_fault_streams(struct sim_world *w);
void sim_fault_loss(struct sim_world *w);
void sim_fault_narrow(struct sim_world *w);
void sim_fault_slow_reader(struct sim_world *w);
void sim_fault_flood(struct sim_world *w);
void sim_fault_crash_some(struct sim_world *w, bool power, bool many);
void sim_fault_slow_disk(struct sim_world *w);
void sim_fault_disk_full(struct sim_world *w);
void sim_fault_read_only(struct sim_world *w);
void sim_fault_disk_error(struct sim_world *w);
void sim_fault_misdirect(struct sim_world *w);
void sim_fault_corrupt(struct sim_world *w);
void sim_fault_wipe(struct sim_world *w);
void sim_fault_flip(struct sim_world *w);
void sim_fault_rot(struct sim_world *w);
void sim_fault_latent(struct sim_world *w);
void sim_fault_lost_file(struct sim_world *w);
void sim_fault_old_image(struct sim_world *w);
void sim_fault_disks_heal(struct sim_world *w);
/* A write went wrong without a word, as was ordered. */
void sim_fault_wrote_wrong(struct sim_world *w, struct sim_host *h);
void sim_fault_wall_jump(struct sim_world *w);
void sim_fault_drift(struct sim_world *w);
#endif
