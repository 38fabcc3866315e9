/* raft_election.c - roles, votes and pre-votes.
 *
 * A vote is a promise: it is durable before it is spoken (every message waits for
 * the hard state), and the candidate's own vote is no exception: it counts only
 * once durable. Stickiness [D 4.2.3]: whoever heard from a leader, or started,
 * less than election_us_min ago supports no other. Leases rest on that.
 */
#include "core/raft/raft_internal.h"

enum { PREVOTE_QUICK_RETRIES = 3 };

/* A replica without a vote must still lead where its removal is not known to be
 * committed [D 4.2.2]: the remaining voters may need the entries only it has,
 * among them the one that removes it. Its own vote then does not count. */
bool raft_electable(const struct raft *r)
{
    bool voter = r->self_voter || r->self_outgoing;

    for (uint32_t i = r->conf_count - 1; !voter && r->confs[i].index.n > r->commit.n; i--) {
        CHECK(i > 0); /* the first one is committed */
        voter = raft_conf_is_voter(&r->confs[i - 1].conf, r->cfg.self);
    }
    return voter && r->hard.term.n < RAFT_TERM_MAX;
}

/* Nobody else's vote or acknowledgement is needed. */
bool raft_only_voter(const struct raft *r)
{
    for (uint32_t i = 0; i < r->peer_count; i++) {
        if (r->peers[i].voter || r->peers[i].outgoing) {
            return false;
        }
    }
    return raft_electable(r);
}

void raft_election_timer(struct raft *r)
{
    r->election_timeout_us = prng_between(&r->prng, r->cfg.election_us_min, r->cfg.election_us_max);
    r->election_due_us = r->now_us + r->election_timeout_us;
}

bool raft_vote_sticks(const struct raft *r)
{
    return r->role == RAFT_LEADER || r->now_us < r->sticky_until_us;
}

void raft_become_follower(struct raft *r, struct raft_term term, struct raft_id leader)
{
    bool role_lost = r->role != RAFT_FOLLOWER;

    CHECK(term.n >= r->hard.term.n);
    if (term.n > r->hard.term.n) {
        r->hard = (struct raft_hard){.term = term};
        r->hard_dirty = true;
        /* What was said in the older term and not yet sent is void: an
         * acknowledgement among it may be of entries about to be replaced,
         * which would then never have been durable. */
        r->outbox_count = 0;
        r->ack_entries.wanted = r->ack_empty.wanted = false;
    }
    if (r->role == RAFT_LEADER) {
        raft_reads_lose(r);
        raft_transfer_end(r);
    }
    r->role = RAFT_FOLLOWER;
    r->leader = leader;
    r->forced = false;
    r->work = true;
    if (role_lost) {
        raft_election_timer(r);
    }
}

static void become_leader(struct raft *r)
{
    CHECK(r->role == RAFT_CANDIDATE);
    CHECK(raft_electable(r));
    CHECK(r->read_count == 0);
    r->role = RAFT_LEADER;
    r->leader = r->cfg.self;
    r->lease_off = false;
    r->term_start.n = raft_log_last(&r->log) + 1;
    r->heartbeat_due_us = 0;
    r->quorum_due_us = r->now_us + r->cfg.election_us_max;
    r->uncommitted_bytes = 0;
    for (uint64_t i = r->commit.n + 1; i < r->term_start.n; i++) {
        r->uncommitted_bytes += raft_log_at(&r->log, i)->data.len;
    }
    for (uint32_t i = 0; i < r->peer_count; i++) {
        raft_peer_begin(r, &r->peers[i]);
    }
    /* Commits what earlier terms left behind, by the rule of figure 8 [R s5.4.2]. */
    raft_append_own(r, RAFT_NOOP, (struct slice){NULL, 0});
}

static enum quorum_outcome count_votes(const struct raft *r)
{
    enum quorum_vote now[QUORUM_MEMBERS_MAX], old[QUORUM_MEMBERS_MAX];
    enum quorum_vote own = QUORUM_YES;
    uint32_t now_count = 0, old_count = 0;

    if (r->role == RAFT_CANDIDATE && raft_hard_gate(r) != 0) {
        own = QUORUM_UNHEARD; /* not on disk yet */
    }
    if (r->self_voter) {
        now[now_count++] = own;
    }
    if (r->self_outgoing) {
        old[old_count++] = own;
    }
    for (uint32_t i = 0; i < r->peer_count; i++) {
        if (r->peers[i].voter) {
            now[now_count++] = r->peers[i].vote;
        }
        if (r->peers[i].outgoing) {
            old[old_count++] = r->peers[i].vote;
        }
    }
    return quorum_joint(quorum_count(now, now_count), quorum_count(old, old_count));
}

static void ask_votes(struct raft *r, enum raft_msg_kind kind, uint64_t term)
{
    for (uint32_t i = 0; i < r->peer_count; i++) {
        struct raft_peer *p = &r->peers[i];
        struct raft_msg *m;

        p->vote = QUORUM_UNHEARD;
        if (!p->voter && !p->outgoing) {
            continue;
        }
        m = raft_send(r, kind, p->id);
        m->term.n = term;
        m->index.n = raft_log_last(&r->log);
        m->log_term.n = raft_log_term(&r->log, m->index.n);
        m->force = r->forced && kind == RAFT_MSG_VOTE;
    }
}

void raft_campaign(struct raft *r, bool force)
{
    CHECK(r->role != RAFT_LEADER);
    CHECK(raft_electable(r));
    r->role = RAFT_CANDIDATE;
    r->leader = (struct raft_id){0};
    r->hard.term.n++;
    r->hard.voted_for = r->cfg.self;
    r->hard_dirty = true;
    r->forced = force;
    r->outbox_count = 0;
    r->ack_entries.wanted = r->ack_empty.wanted = false;
    r->work = true;
    raft_election_timer(r);
    ask_votes(r, RAFT_MSG_VOTE, r->hard.term.n);
}

/* Ask whether an election could be won, before disturbing anyone [D 9.6]. */
static void pre_campaign(struct raft *r)
{
    r->role = RAFT_PRE_CANDIDATE;
    r->leader = (struct raft_id){0};
    r->ack_entries.wanted = r->ack_empty.wanted = false;
    r->forced = false;
    r->work = true;
    raft_election_timer(r);
    ask_votes(r, RAFT_MSG_PREVOTE, r->hard.term.n + 1);
}

void raft_election_tick(struct raft *r)
{
    if (r->now_us < r->election_due_us) {
        return;
    }
    if (!raft_electable(r)) {
        SOMETIMES(r->leader.n != 0, "raft: a replica without a vote lost sight of its leader");
        r->leader = (struct raft_id){0};
        r->ack_entries.wanted = r->ack_empty.wanted = false;
        r->work = true;
        raft_election_timer(r);
    } else if (raft_only_voter(r)) {
        raft_campaign(r, false);
    } else {
        pre_campaign(r);
    }
}

void raft_election_durable(struct raft *r)
{
    if (r->role == RAFT_CANDIDATE && count_votes(r) == QUORUM_WON) {
        become_leader(r);
    }
}

/* [R s5.4.1]: the candidate's log is at least as new as this one. */
static bool up_to_date(const struct raft *r, const struct raft_msg *m)
{
    uint64_t last = raft_log_last(&r->log), last_term = raft_log_term(&r->log, last);

    if (PLANTED(OLD_LOG_VOTE)) {
        return true;
    }
    return m->log_term.n != last_term ? m->log_term.n > last_term : m->index.n >= last;
}

void raft_handle_prevote(struct raft *r, const struct raft_msg *m)
{
    bool grant = m->term.n > r->hard.term.n && !raft_vote_sticks(r) && up_to_date(r, m);
    struct raft_msg *reply = raft_send(r, RAFT_MSG_PREVOTE_REPLY, m->from);

    /* No promise is made, so nothing is written and no timer moves. */
    reply->reject = !grant;
    if (grant) {
        reply->term = m->term; /* which round of asking this answers */
    }
}

void raft_handle_vote(struct raft *r, const struct raft_msg *m)
{
    bool unbound = r->hard.voted_for.n == 0 && r->leader.n == 0;
    bool grant = (unbound || r->hard.voted_for.n == m->from.n) && up_to_date(r, m);

    CHECK(m->term.n == r->hard.term.n);
    if (PLANTED(VOTE_TWICE) && r->role == RAFT_FOLLOWER) {
        grant = up_to_date(r, m);
    }
    grant = grant && (m->force || !raft_vote_sticks(r)) && r->role != RAFT_LEADER;
    if (grant) {
        r->hard_dirty = r->hard_dirty || r->hard.voted_for.n != m->from.n;
        r->hard.voted_for = m->from;
        raft_election_timer(r);
    }
    raft_send(r, RAFT_MSG_VOTE_REPLY, m->from)->reject = !grant;
}

void raft_handle_vote_reply(struct raft *r, const struct raft_msg *m)
{
    bool pre = m->kind == RAFT_MSG_PREVOTE_REPLY;
    struct raft_peer *p = raft_peer_find(r, m->from);

    if (p == NULL || r->role != (pre ? RAFT_PRE_CANDIDATE : RAFT_CANDIDATE)) {
        return;
    }
    if (!m->reject && m->term.n != r->hard.term.n + (pre ? 1 : 0)) {
        return; /* answers an older question */
    }
    if (p->vote == QUORUM_UNHEARD) {
        p->vote = m->reject ? QUORUM_NO : QUORUM_YES;
    }
    switch (count_votes(r)) {
    case QUORUM_OPEN:
        break;
    case QUORUM_WON:
        if (pre) {
            raft_campaign(r, false);
        } else {
            become_leader(r);
        }
        break;
    case QUORUM_LOST:
        raft_become_follower(r, r->hard.term, (struct raft_id){0});
        if (pre && r->quick_retries < PREVOTE_QUICK_RETRIES) {
            /* our deviation: asking harms nobody, so ask again soon. The others
             * may only have heard from the dead leader a moment later. */
            r->quick_retries++;
            r->election_due_us = r->now_us + r->election_timeout_us / 4;
        }
        break;
    }
}

void raft_handle_timeout_now(struct raft *r, const struct raft_msg *m)
{
    if (r->role != RAFT_FOLLOWER || r->leader.n != m->from.n || !raft_electable(r)) {
        return;
    }
    raft_campaign(r, true);
}

static uint64_t heard_of(const struct raft_peer *p)
{
    return p->heard ? p->heard_us : p->since_us;
}

/* Check-quorum [D 6.2]: a leader that cannot commit must not hold on to its
 * clients, nor keep others from electing a better one by its heartbeats. */
void raft_leader_tick(struct raft *r)
{
    if (r->now_us >= r->quorum_due_us) {
        r->quorum_due_us = raft_quorum(r, r->now_us, heard_of) + r->cfg.election_us_max;
        if (r->now_us >= r->quorum_due_us) {
            SOMETIMES(true, "raft: a leader without a quorum stepped down");
            raft_become_follower(r, r->hard.term, (struct raft_id){0});
            return;
        }
    }
    if (r->transfer_to.n != 0 && r->now_us >= r->transfer_due_us) {
        SOMETIMES(true, "raft: a transfer was given up");
        raft_transfer_end(r);
    }
    if (r->now_us >= r->heartbeat_due_us) {
        r->work = true;
    }
}
