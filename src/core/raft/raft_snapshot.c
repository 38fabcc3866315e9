/* raft_snapshot.c - where the log begins: compaction, and what replaces the rest [R s7]. */
#include "core/raft/raft_internal.h"

void raft_compact(struct raft *r, struct raft_index index)
{
    uint64_t upto = raft_min(index.n, r->log.durable);

    CHECK(index.n <= r->commit.n);
    if (upto <= r->log.snap_index.n) {
        return;
    }
    raft_conf_compact(r, upto);
    raft_log_compact(&r->log, upto);
    r->work = true; /* a peer may now need a snapshot */
}

void raft_snapshot_sent(struct raft *r, struct raft_id peer, struct raft_index index, bool ok)
{
    struct raft_peer *p = raft_peer_find(r, peer);

    if (r->role != RAFT_LEADER || p == NULL || !p->snapshot_asked) {
        return;
    }
    p->snapshot_asked = false;
    p->snapshot_listed = false;
    p->snapshot_hold = !ok;
    if (p->progress == RAFT_SNAPSHOT) {
        raft_probe(p);
        if (ok) {
            /* A guess, proved or refuted by the probe. */
            p->next.n = raft_min(raft_max(p->match.n, index.n), raft_log_last(&r->log)) + 1;
        }
    }
    r->work = true;
}

enum err raft_install(struct raft *r, uint64_t now_us, struct raft_index index,
                      struct raft_term term, const struct raft_conf *conf)
{
    CHECK(raft_conf_valid(conf));
    CHECK(term.n > 0 && term.n <= RAFT_TERM_MAX && index.n <= RAFT_INDEX_MAX);
    raft_time(r, now_us);
    if (index.n <= r->commit.n) {
        return ERR_STALE;
    }
    if (term.n > r->hard.term.n || r->role != RAFT_LEADER) {
        bool known = term.n <= r->hard.term.n && r->role == RAFT_FOLLOWER;

        raft_become_follower(r, (struct raft_term){raft_max(term.n, r->hard.term.n)},
                             known ? r->leader : (struct raft_id){0});
    }
    if (index.n <= raft_log_last(&r->log) && raft_log_term(&r->log, index.n) == term.n) {
        /* What follows stays: it is the same log [R s7, rule 6]. */
        SOMETIMES(true, "raft: a snapshot fell inside the log");
        if (r->role == RAFT_LEADER) {
            r->uncommitted_bytes = 0;
            for (uint64_t i = index.n + 1; i <= raft_log_last(&r->log); i++) {
                r->uncommitted_bytes += raft_log_at(&r->log, i)->data.len;
            }
        }
        /* The snapshot holds these, durably; what was acknowledged beyond it must stay. */
        r->log.durable = raft_max(r->log.durable, index.n);
        r->log.handed = raft_max(r->log.handed, index.n);
        raft_conf_compact(r, index.n);
        raft_log_compact(&r->log, index.n);
    } else {
        if (r->role == RAFT_LEADER) {
            raft_become_follower(r, r->hard.term, (struct raft_id){0});
        }
        if (raft_log_last(&r->log) > r->commit.n) {
            r->truncated_from = r->truncated_from == 0
                                    ? r->commit.n + 1
                                    : raft_min(r->truncated_from, r->commit.n + 1);
        }
        r->ack_entries.wanted = r->ack_empty.wanted = false; /* of entries that are gone */
        raft_log_reset(&r->log, index, term);
        raft_conf_reset(r, conf, index);
    }
    r->commit = r->applied = r->listed_commit = index;
    r->work = true;
    return ERR_OK;
}
