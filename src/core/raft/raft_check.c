/* raft_check.c - what is always true of one replica [docs/protocol/raft.md, invariants].
 * Cheap enough to run after every step: it looks at the log's ends, not through it. */
#include "core/raft/raft_internal.h"

static void check_log(const struct raft *r)
{
    const struct raft_log *l = &r->log;
    uint64_t last = raft_log_last(l);

    CHECK(l->head + l->count <= l->cap);
    CHECK((l->snap_index.n == 0) == (l->snap_term.n == 0));
    CHECK(l->snap_index.n <= l->durable);
    CHECK(l->durable <= l->handed);
    CHECK(l->handed <= last);
    CHECK(raft_log_term(l, last) <= r->hard.term.n);
    if (l->count > 0) {
        CHECK(raft_log_at(l, l->snap_index.n + 1)->index.n == l->snap_index.n + 1);
        CHECK(raft_log_at(l, last)->index.n == last);
        CHECK(raft_log_at(l, l->snap_index.n + 1)->term.n >= l->snap_term.n);
    } else {
        CHECK(l->bytes == 0);
    }
    CHECK(l->snap_index.n <= r->commit.n);
    CHECK(r->commit.n <= last);
    CHECK(r->applied.n <= r->commit.n);
    CHECK(r->listed_commit.n <= r->commit.n);
    for (uint32_t i = 0; i < l->write_count; i++) {
        CHECK(l->writes[i].ticket > r->durable_ticket);
        CHECK(l->writes[i].last <= l->handed);
        CHECK(i == 0 || l->writes[i - 1].ticket < l->writes[i].ticket);
    }
}

static void check_confs(const struct raft *r)
{
    CHECK(r->conf_count >= 1);
    CHECK(r->confs[0].index.n <= r->log.snap_index.n);
    for (uint32_t i = 1; i < r->conf_count; i++) {
        CHECK(r->confs[i].index.n > r->log.snap_index.n);
        CHECK(r->confs[i].index.n > r->confs[i - 1].index.n);
        CHECK(r->confs[i].index.n <= raft_log_last(&r->log));
        CHECK(raft_log_at(&r->log, r->confs[i].index.n)->kind == RAFT_CONF);
        CHECK(raft_conf_valid(&r->confs[i].conf));
    }
    for (uint32_t i = 0; i < r->peer_count; i++) {
        CHECK(raft_conf_has(raft_conf_now(r), r->peers[i].id));
        CHECK(r->peers[i].id.n != r->cfg.self.n);
    }
    CHECK((r->self_voter || r->self_outgoing) == raft_conf_is_voter(raft_conf_now(r), r->cfg.self));
}

static void check_peer(const struct raft *r, const struct raft_peer *p)
{
    CHECK(p->match.n < p->next.n);
    CHECK(p->match.n <= raft_log_last(&r->log));
    CHECK(p->next.n <= raft_log_last(&r->log) + 1);
    CHECK(p->stamp_us <= r->now_us);
    CHECK(p->round <= r->round);
    CHECK(p->flight_count <= r->cfg.inflight_count_max);
    CHECK_IF(p->flight_count == 0, p->flight_bytes == 0);
    CHECK_IF(p->progress != RAFT_REPLICATE, p->flight_count == 0);
    CHECK_IF(p->flight_count > 1, p->flight_bytes <= r->cfg.inflight_bytes_max);
    CHECK_IF(p->snapshot_listed, p->snapshot_asked);
}

static void check_leader(const struct raft *r)
{
    CHECK(r->leader.n == r->cfg.self.n);
    CHECK(r->hard.voted_for.n == r->cfg.self.n);
    CHECK(r->term_start.n > 0);
    CHECK(r->term_start.n <= raft_log_last(&r->log));
    CHECK_IF(r->term_start.n > r->log.snap_index.n,
             raft_log_term(&r->log, r->term_start.n) == r->hard.term.n);
    CHECK(raft_log_term(&r->log, raft_log_last(&r->log)) == r->hard.term.n);
    CHECK_IF(r->transfer_to.n != 0, r->lease_off);
    CHECK(!r->ack_entries.wanted && !r->ack_empty.wanted);
    CHECK_IF(r->commit.n == raft_log_last(&r->log), r->uncommitted_bytes == 0);
    for (uint32_t i = 0; i < r->peer_count; i++) {
        check_peer(r, &r->peers[i]);
    }
    for (uint32_t i = 0; i < r->read_count; i++) {
        CHECK(r->reads[r->read_head + i].round <= r->round + 1);
        CHECK(r->reads[r->read_head + i].index.n >= r->term_start.n);
    }
}

void raft_check(const struct raft *r)
{
    check_log(r);
    check_confs(r);
    CHECK(r->hard.term.n <= RAFT_TERM_MAX);
    CHECK_IF(r->hard.term.n == 0, r->hard.voted_for.n == 0);
    CHECK(r->flush_ticket >= r->hard_ticket);
    switch (r->role) {
    case RAFT_LEADER:
        check_leader(r);
        return;
    case RAFT_CANDIDATE:
        CHECK(r->hard.voted_for.n == r->cfg.self.n);
        CHECK(r->leader.n == 0);
        break;
    case RAFT_PRE_CANDIDATE:
        CHECK(r->leader.n == 0);
        break;
    case RAFT_FOLLOWER:
        CHECK(r->leader.n != r->cfg.self.n);
        break;
    }
    CHECK(r->transfer_to.n == 0);
    CHECK(r->read_count == 0);
}
