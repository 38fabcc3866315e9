/* Scrubs: does the memory of each partition still hold what was written? One partition
 * at a time, a small piece per tick; what it finds, the replicas decide together.
 *
 * A checkpoint is a scrub too: it takes the same walk and proves the same.
 */
#include "node/node_internal.h"

enum {
    PIECE_BYTES_MAX = 64 << 10, /* a tick may come late; a pause must not come of it */
    PIECE_BYTES_MIN = 1 << 10,
};

static void end(struct group *g)
{
    struct node *n = g->node;

    n->scrubbing = false;
    g->scrub_us = n->now.mono_us + n->cfg.scrub_rest_us;
}

void node_scrub_stop(struct group *g)
{
    if (g->node->scrubbing && g->node->scrub_partition == g->partition) {
        store_snap_abort(g->store);
        g->node->scrubbing = false;
    }
}

/* The next partition that is due, in a circle. */
static struct group *next_due(struct node *n)
{
    for (uint32_t i = 1; i <= n->map.partitions; i++) {
        struct group *g = &n->groups[(n->scrub_partition + i) % n->map.partitions];

        if (g->here && !g->checkpoint.active && !g->recv.active && n->now.mono_us >= g->scrub_us &&
            g->digest.suspect == SUSPECT_NOT) {
            return g;
        }
    }
    return NULL;
}

static void step(struct group *g, size_t bytes)
{
    struct node *n = g->node;

    n->stats.scrub_bytes += bytes;
    if (store_scrub_next(g->store, bytes)) {
        return;
    }
    end(g);
    n->stats.scrubs++;
    if (!store_snap_sound(g->store)) {
        n->stats.scrubs_damaged++;
        node_repair_suspect(g, SUSPECT_ROT, "its memory does not hold what was written");
    }
}

void node_scrub_tick(struct node *n)
{
    uint64_t now = n->now.mono_us, passed = now - n->scrub_due_us, bytes;
    struct group *g;

    if (n->groups == NULL || n->phase != NODE_PHASE_SERVING || n->cfg.scrub_bytes_per_s == 0) {
        n->scrub_due_us = now;
        return;
    }
    bytes = n->cfg.scrub_bytes_per_s * (passed < 1000000 ? passed : 1000000) / 1000000;
    if (bytes < PIECE_BYTES_MIN) {
        return;
    }
    n->scrub_due_us = now;
    if (!n->scrubbing) {
        g = next_due(n);
        if (g == NULL) {
            return;
        }
        n->scrub_partition = g->partition;
        n->scrubbing = true;
        store_scrub_begin(g->store);
    }
    step(&n->groups[n->scrub_partition], bytes < PIECE_BYTES_MAX ? bytes : PIECE_BYTES_MAX);
}
