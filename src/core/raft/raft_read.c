/* raft_read.c - linearizable reads without writing to the log [D 6.4].
 *
 * A read must see every write acknowledged before it came. It needs two things:
 * an index that covers them, and proof that no later leader existed when it
 * came. The index is the commit index, or this term's no-op while that is not
 * committed. The proof is a majority's answer to a message sent after the read
 * came (a round), or a lease: a majority that heard from this leader less than
 * election_us_min ago, and so has not voted since.
 */
#include "core/raft/raft_internal.h"

static uint64_t stamp_of(const struct raft_peer *p)
{
    return p->stamp_us;
}

static uint64_t round_of(const struct raft_peer *p)
{
    return p->round;
}

bool raft_lease_valid(const struct raft *r, uint64_t now_us)
{
    const struct raft_config *cfg = &r->cfg;
    uint64_t now = raft_max(r->now_us, now_us), heard, lease_us;

    if (r->role != RAFT_LEADER || !cfg->lease_reads ||
        (r->lease_off && !PLANTED(TRANSFER_KEEPS_LEASE)) || r->commit.n < r->term_start.n) {
        return false;
    }
    heard = raft_quorum(r, now, stamp_of);
    lease_us = cfg->election_us_min - cfg->election_us_min * cfg->lease_drift_ppm / 1000000;
    if (PLANTED(LEASE_FOREVER)) {
        return heard > 0;
    }
    return heard > 0 && now < heard + lease_us;
}

enum err raft_read(struct raft *r, uint64_t now_us, uint64_t token, bool *now)
{
    struct raft_pending_read *read;

    raft_time(r, now_us);
    *now = false;
    if (r->role != RAFT_LEADER) {
        return ERR_NOT_LEADER;
    }
    if ((r->applied.n >= r->commit.n || PLANTED(READ_UNAPPLIED)) && r->read_count == 0 &&
        raft_lease_valid(r, now_us)) {
        *now = true;
        return ERR_OK;
    }
    if (r->read_head + r->read_count == r->read_cap) {
        if (r->read_head >= r->read_cap / 2 && r->read_head > 0) {
            memmove(r->reads, r->reads + r->read_head, r->read_count * sizeof *r->reads);
            r->read_head = 0;
        } else {
            MEM_GROW(r->reads, r->read_cap, r->read_cap);
        }
    }
    read = &r->reads[r->read_head + r->read_count++];
    *read = (struct raft_pending_read){
        .token = token,
        .index.n = PLANTED(READ_BEFORE_NOOP) ? r->commit.n : raft_max(r->commit.n, r->term_start.n),
        .round = r->round + 1, /* the next to begin; one round serves all that wait */
    };
    r->work = true;
    return ERR_OK;
}

void raft_reads_lose(struct raft *r)
{
    for (uint32_t i = 0; i < r->read_count; i++) {
        MEM_GROW(r->lost, r->lost_count, r->lost_cap);
        r->lost[r->lost_count++] = r->reads[r->read_head + i].token;
    }
    r->read_head = r->read_count = 0;
}

void raft_reads_begin_round(struct raft *r)
{
    CHECK(r->role == RAFT_LEADER);
    if (r->read_count == 0 || raft_lease_valid(r, r->now_us)) {
        return;
    }
    if (r->reads[r->read_head + r->read_count - 1].round > r->round) {
        r->round++;
        r->round_fresh = true;
    }
}

void raft_reads_list(struct raft *r, struct raft_effects *out)
{
    uint64_t confirmed;
    bool lease;

    if (r->role != RAFT_LEADER || r->read_count == 0) {
        return;
    }
    lease = raft_lease_valid(r, r->now_us) || PLANTED(READ_UNCONFIRMED);
    confirmed = raft_quorum(r, r->round, round_of);
    while (r->read_count > 0 && (lease || r->reads[r->read_head].round <= confirmed)) {
        struct raft_effect *e = raft_effect_add(out, RAFT_READ_READY);

        e->u.read.token = r->reads[r->read_head].token;
        e->u.read.index = r->reads[r->read_head].index;
        r->read_head++;
        r->read_count--;
    }
    if (r->read_count == 0) {
        r->read_head = 0;
    }
}
