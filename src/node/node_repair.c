/* A replica whose state is wrong: it answers nobody, and is rebuilt from one that is right.
 * [docs/protocol/replicas.md]
 *
 * Its log and its votes are as good as ever: they lie on disk with checksums of their own,
 * and Raft never reads the state. So it goes on voting and acknowledging, and the group
 * bears as many failures as before. What it does no more: answer from its state, write
 * it to disk, send it to others, or lead for longer than it takes to hand over.
 */
#include "node/node_internal.h"

enum {
    HELP_US = 200 * 1000,
    STUCK_US = 10 * 1000 * 1000, /* people are told, and again after a minute */
    SAY_AGAIN_US = 60 * 1000 * 1000,
    LOG_BYTES_MAX = 256 << 20, /* of entries that wait for the snapshot */
};

/* Nothing leaves this replica's state any more: no answer, no checkpoint, no snapshot. */
static void shut(struct group *g)
{
    node_apply_drop_pending(g, (struct raft_index){UINT64_MAX},
                            "this replica was overtaken by a snapshot");
    node_reads_overtaken(g, (struct raft_index){UINT64_MAX});
    node_checkpoint_abort(g);
    node_scrub_stop(g);
    g->snap_wanted = false;
    g->snap_peer_count = 0;
    node_snap_sends_drop(g, 0, true);
    node_group_mark(g);
}

void node_repair_suspect(struct group *g, enum suspicion why, const char *how)
{
    struct digest *d = &g->digest;
    struct node *n = g->node;

    CHECK(why != SUSPECT_NOT);
    if (d->suspect != SUSPECT_NOT) {
        return;
    }
    SOMETIMES(why == SUSPECT_ROT, "node_repair: rot was found by the replica itself");
    SOMETIMES_RARE(why == SUSPECT_DIFFERS, "node_repair: a leader was outvoted", 5000,
                   "a leader whose value rots, and who does not come across it itself first");
    d->suspect = why;
    d->stuck_us = n->now.mono_us + STUCK_US;
    d->alone = false;
    d->help_us = 0;
    node_log(n, NODE_LOG_ERROR,
             "msg=\"this replica's state is wrong: it serves nobody from it until it is rebuilt\" "
             "partition=%u reason=\"%s\" applied=%llu digest=%016llx%s",
             g->partition, how, (unsigned long long)g->applied.n,
             (unsigned long long)store_digest(g->store),
             node_group_leads(g) ? " leading=\"until another takes over\"" : "");
    shut(g);
    if (node_group_leads(g)) {
        d->round.n = d->next_us = 0; /* who is right? */
    }
}

void node_repair_quarantine(struct group *g, uint64_t majority)
{
    struct digest *d = &g->digest;
    struct node *n = g->node;

    CHECK(!d->quarantined);
    SOMETIMES(true, "node_repair: a replica is rebuilt");
    if (d->suspect == SUSPECT_NOT) {
        node_log(n, NODE_LOG_ERROR,
                 "msg=\"this replica's state differs from the majority's and is rebuilt from the "
                 "leader's\" partition=%u index=%llu digest=%016llx majority=%016llx",
                 g->partition, (unsigned long long)d->noted.n, (unsigned long long)d->noted_digest,
                 (unsigned long long)majority);
        d->suspect = SUSPECT_DIFFERS;
        d->stuck_us = n->now.mono_us + STUCK_US;
        shut(g);
    }
    d->quarantined = true;
    d->alone = false;
    d->help_us = 0;
    n->stats.repairs_begun++;
}

/* Another leader decides anew, by what it sees itself. */
void node_repair_role_changed(struct group *g)
{
    struct digest *d = &g->digest;

    SOMETIMES(d->quarantined, "node_repair: the leader changed during a repair");
    d->quarantined = d->alone = false;
    d->help_us = 0;
}

bool node_repair_takes(const struct group *g, struct raft_index index)
{
    return g->digest.quarantined && index.n >= g->applied.n && index.n <= raft_commit(g->raft).n;
}

void node_repair_installed(struct group *g)
{
    struct digest *d = &g->digest;
    struct node *n = g->node;

    d->stop = d->noted = (struct raft_index){0};
    if (d->suspect == SUSPECT_NOT) {
        return;
    }
    d->suspect = SUSPECT_NOT;
    d->quarantined = d->alone = false;
    n->stats.repairs_done++;
    node_log(n, NODE_LOG_INFO, "msg=\"the replica's state was rebuilt\" partition=%u index=%llu",
             g->partition, (unsigned long long)g->applied.n);
}

void node_repair_hand_over(struct group *g, struct raft_id to)
{
    struct node *n = g->node;

    CHECK(g->digest.suspect != SUSPECT_NOT);
    if (to.n != 0 && raft_transfer(g->raft, n->now.mono_us, to) == ERR_OK) {
        SOMETIMES(true, "node_repair: a leader that is wrong hands over");
        node_group_mark(g);
    }
}

static void ask_for_help(struct group *g)
{
    struct digest *d = &g->digest;
    struct wire_digest m = {.to = raft_leader(g->raft), .index = g->applied};

    if (m.to.n == 0) {
        return;
    }
    if (d->quarantined) {
        m.kind = WIRE_DIGEST_WANT;
        node_digest_send(g, &m);
    } else {
        m.kind = WIRE_DIGEST_ANSWER; /* to no question: the leader will ask one */
        m.digest = store_digest(g->store);
        m.damaged = true;
        node_digest_send(g, &m);
    }
}

/* The others are away, or lag and cannot be caught up from here. */
static void say_stuck(struct group *g)
{
    struct digest *d = &g->digest;
    struct node *n = g->node;

    if (n->now.mono_us < d->stuck_us) {
        return;
    }
    d->stuck_us = n->now.mono_us + SAY_AGAIN_US;
    node_log(n, NODE_LOG_ERROR,
             "msg=\"this replica's state is wrong and could not be rebuilt yet\" partition=%u "
             "leads=%d remedy=\"bring the other replicas back; or restart this node: it reads its "
             "state from its disk\"",
             g->partition, node_group_leads(g) ? 1 : 0);
}

void node_repair_tick(struct node *n)
{
    for (uint32_t p = 0; p < n->map.partitions && n->groups != NULL; p++) {
        struct group *g = &n->groups[p];
        struct digest *d = &g->digest;

        if (!g->here || d->suspect == SUSPECT_NOT || d->alone) {
            continue;
        }
        say_stuck(g);
        if (!node_group_leads(g) && !g->recv.active && n->now.mono_us - d->help_us >= HELP_US) {
            d->help_us = n->now.mono_us;
            ask_for_help(g);
        }
    }
}

bool node_repair_log_full(const struct group *g)
{
    return g->digest.quarantined && raft_log_bytes(g->raft) > LOG_BYTES_MAX;
}
