/* wal_world.h - a log on a simulated disk, fed at random, with a model of what it
 * should remember. */
#ifndef WAL_WORLD_H
#define WAL_WORLD_H
#include "wal_disk.h"
#include "wal_model.h"

struct world {
    struct prng rng;
    struct disk_sim disk;
    struct wal_config cfg;
    struct wal *w;
    struct model previous; /* before the newest durable batch */
    struct model durable, flight, current;
    uint64_t now_us;
    uint64_t ticket_seen;
    bool large; /* some batches exceed a segment */
    uint64_t peak_bytes, batches;
};

/* Uniform below bound, from the world's seed. */
uint64_t rnd(struct world *wo, uint64_t bound);
void world_init(struct world *wo, uint64_t seed);
/* A new log on the same disk; *read is what it recovered. */
void world_recover(struct world *wo, struct model *read, struct wal_recovery *found);
/* The same, where damage must not be found: read equals the durable model, or that
 * with the batch in flight. */
void world_open(struct world *wo);
/* One event: a put, a flush, housekeeping or a completion. */
void world_step(struct world *wo);
/* Write everything put so far, and settle. */
void world_settle(struct world *wo);
void world_close(struct world *wo);
#endif
