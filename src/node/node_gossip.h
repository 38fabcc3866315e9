/* node_gossip.h - the node's part in the membership; private to this room. */
#ifndef NODE_GOSSIP_H
#define NODE_GOSSIP_H
#include "node/node_internal.h"

/* What members tell of themselves, in the metadata that swim carries: [docs/protocol/swim.md] */
struct gossip_load {
    bool known;         /* false: it says nothing that this version can read */
    bool writable;      /* its disk takes writes */
    bool whole;         /* none of its replicas is being rebuilt */
    uint64_t map_epoch; /* the newest it has */
    uint32_t here, led; /* partitions: with a replica there, and led from there */
};
struct gossip_load gossip_load_of(const struct swim_record *r);
enum { GOSSIP_META_BYTES = 14 };
static_assert((int)GOSSIP_META_BYTES <= (int)SWIM_META_MAX, "swim carries it");

struct gossip {
    struct swim *swim;      /* NULL: there is no map yet */
    struct seal_ring *ring; /* NULL: likewise */
    struct seal_keys keys;  /* count 0: none was configured */
    struct seal_nonces nonces;
    struct swim_effects fx;
    struct wire_swim_records records; /* scratch of decoding */
    struct buf plain;                 /* scratch of packets */
    uint64_t limit;                   /* incarnations up to this are on disk as used */
    uint64_t written, asked;          /* ... are being written; shall be */
    bool writing, speaks;             /* a write is under way; one has ended well */
    uint64_t retry_us;                /* the disk was full: not before */
    uint64_t began_us, look_us;       /* next look at links and load */
    uint64_t load_us;                 /* the load was told then */
    uint8_t meta[GOSSIP_META_BYTES];  /* as told */
    uint64_t map_epoch;               /* of the members it was last compared with */
    bool leaving, gone;
    uint64_t leave_us;
    struct node_gossip_counts counts;
};
#endif
