/* raft_transfer.c - handing leadership to a chosen voter [D 3.10].
 *
 * Proposals stop, the target is brought up to the last entry, and is told to
 * campaign at once. Its votes ignore stickiness, so from the request on, for
 * the rest of the term, this leader answers no read from a lease: the message
 * may arrive long after the transfer was given up here.
 */
#include "core/raft/raft_internal.h"

enum err raft_transfer(struct raft *r, uint64_t now_us, struct raft_id to)
{
    const struct raft_peer *p;

    raft_time(r, now_us);
    if (r->role != RAFT_LEADER) {
        return ERR_NOT_LEADER;
    }
    p = raft_peer_find(r, to);
    if (p == NULL || !p->voter) {
        return ERR_BAD_ARGUMENT;
    }
    if (r->transfer_to.n != 0) {
        return r->transfer_to.n == to.n ? ERR_OK : ERR_REFUSED;
    }
    r->lease_off = true;
    r->transfer_to = to;
    r->transfer_sent = false;
    r->transfer_due_us = r->now_us + r->cfg.election_us_max;
    r->work = true;
    raft_transfer_poll(r);
    return ERR_OK;
}

void raft_transfer_poll(struct raft *r)
{
    const struct raft_peer *p;

    CHECK(r->role == RAFT_LEADER);
    if (LIKELY(r->transfer_to.n == 0) || r->transfer_sent) {
        return;
    }
    p = raft_peer_find(r, r->transfer_to);
    CHECK(p != NULL); /* a configuration without it ends the transfer */
    if (p->match.n == raft_log_last(&r->log)) {
        (void)raft_send(r, RAFT_MSG_TIMEOUT_NOW, p->id);
        r->transfer_sent = true;
    }
}

void raft_transfer_end(struct raft *r)
{
    r->transfer_to = (struct raft_id){0};
    r->transfer_sent = false;
}
