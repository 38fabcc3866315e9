/* raft.c - life of a replica, dispatch of messages and time, views. */
#include "core/raft/raft_internal.h"

/* --- life --- */

struct raft *raft_create(const struct raft_config *cfg, const struct raft_recovered *rec)
{
    struct raft *r = MEM_NEW(struct raft);

    CHECK(cfg->self.n != 0);
    CHECK(cfg->heartbeat_us > 0 && cfg->heartbeat_us < cfg->election_us_min);
    CHECK(cfg->election_us_min <= cfg->election_us_max);
    CHECK(cfg->lease_drift_ppm < 1000000);
    CHECK(cfg->append_bytes_max > 0);
    CHECK(cfg->inflight_bytes_max > 0 && cfg->inflight_count_max > 0);
    CHECK_IF(rec->snap_index.n == 0, rec->snap_term.n == 0);
    CHECK(rec->conf.voter_count == 0 || raft_conf_valid(&rec->conf));
    r->cfg = *cfg;
    r->prng.state = cfg->seed;
    r->hard = rec->hard;
    r->log.snap_index = rec->snap_index;
    r->log.snap_term = rec->snap_term;
    r->log.handed = r->log.durable = rec->snap_index.n;
    r->commit = r->applied = r->listed_commit = rec->snap_index;
    r->commit_hint = rec->commit;
    if (rec->snap_term.n > r->hard.term.n) {
        /* Installed just before the crash. Nothing was said in that term yet, so
         * no vote of it is forgotten. */
        r->hard = (struct raft_hard){.term = rec->snap_term};
        r->hard_dirty = true;
    }
    raft_conf_push(r, &rec->conf, rec->snap_index, (struct slice){NULL, 0});
    return r;
}

void raft_destroy(struct raft *r)
{
    if (r == NULL) {
        return;
    }
    raft_log_free(&r->log);
    raft_conf_free(r);
    mem_free(r->confs);
    for (uint32_t i = 0; i < r->peer_count; i++) {
        mem_free(r->peers[i].flights);
    }
    mem_free(r->reads);
    mem_free(r->outbox);
    mem_free(r->lost);
    mem_free(r);
}

/* Leftovers of a log that a snapshot replaced: they follow an entry that is not the
 * snapshot's. A term lower than the one before gives away the first; the rest
 * continue it, or replace a part of it. Skipped, until something fits. */
static bool restore_stale(struct raft *r, const struct raft_entry *e)
{
    uint64_t last = raft_log_last(&r->log);
    bool first = e->index.n == last + 1 && e->term.n < raft_log_term(&r->log, last);
    bool more = e->index.n > last + 1 && e->index.n <= r->restore_stale_next;

    SOMETIMES_RARE(first, "raft: recovery met leftovers of a replaced log", MARK_NOT_DUE,
                   "a snapshot inside a tail that nobody else has, and a crash before the log is "
                   "cleaned; test/unit/raft/raft_api_test.c");
    r->restore_stale_next = first || more ? e->index.n + 1 : 0;
    return first || more;
}

enum err raft_restore(struct raft *r, const struct raft_entry *e)
{
    struct raft_conf conf;
    struct slice context;

    CHECK(!r->started);
    if (e->index.n == 0 || e->term.n == 0 || e->term.n > r->hard.term.n ||
        (e->kind == RAFT_CONF && raft_conf_decode(e->data, &conf, &context) != ERR_OK)) {
        return ERR_CORRUPT;
    }
    if (e->index.n <= raft_log_last(&r->log)) {
        uint64_t from = raft_max(e->index.n, r->log.snap_index.n + 1);

        raft_log_truncate(&r->log, from);
        raft_conf_truncate(r, from);
    }
    if (e->index.n <= r->log.snap_index.n) {
        r->restore_stale_next = 0;
        return ERR_OK;
    }
    if (restore_stale(r, e)) {
        return ERR_OK;
    }
    if (e->index.n != raft_log_last(&r->log) + 1) {
        return ERR_CORRUPT;
    }
    raft_log_append(&r->log, e->term, e->kind, e->data);
    r->log.handed = r->log.durable = e->index.n;
    if (e->kind == RAFT_CONF) {
        raft_conf_push(r, &conf, e->index, context);
    }
    return ERR_OK;
}

void raft_start(struct raft *r, uint64_t now_us)
{
    CHECK(!r->started);
    r->started = true;
    r->now_us = now_us;
    r->commit.n = raft_max(r->commit.n, raft_min(r->commit_hint.n, raft_log_last(&r->log)));
    r->sticky_until_us = PLANTED(RESTART_VOTES) ? now_us : now_us + r->cfg.election_us_min;
    raft_election_timer(r);
    r->work = true;
    /* Alone: nobody to wait for. But not while the leader that left may still hold a lease
     * on what this replica said; it steps down once it knows its removal committed. */
    if (raft_only_voter(r) && raft_conf_settled(r)) {
        raft_campaign(r, false);
    }
}

/* --- messages --- */

static bool entries_valid(const struct raft_msg *m)
{
    uint64_t term = m->log_term.n;
    struct raft_conf conf;
    struct slice context;

    if (m->entry_count > 0 && m->entries == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < m->entry_count; i++) {
        const struct raft_entry *e = &m->entries[i];

        if (e->index.n != m->index.n + 1 + i || e->term.n < term || e->term.n > m->term.n ||
            e->term.n == 0 || e->kind > RAFT_CONF) {
            return false;
        }
        if (e->kind == RAFT_CONF && raft_conf_decode(e->data, &conf, &context) != ERR_OK) {
            return false;
        }
        term = e->term.n;
    }
    return true;
}

/* Could a correct peer have said this at all? */
static bool msg_valid(const struct raft *r, const struct raft_msg *m)
{
    if (m->from.n == 0 || m->from.n == r->cfg.self.n || m->kind >= RAFT_MSG_KINDS) {
        return false;
    }
    /* Only a fresh replica that refuses a pre-vote is still in term 0. */
    if (m->term.n == 0 && !(m->kind == RAFT_MSG_PREVOTE_REPLY && m->reject)) {
        return false;
    }
    if (m->term.n > RAFT_TERM_MAX || m->log_term.n > m->term.n || m->index.n > RAFT_INDEX_MAX ||
        m->commit.n > RAFT_INDEX_MAX) {
        return false;
    }
    if (m->kind != RAFT_MSG_APPEND) {
        return m->entry_count == 0;
    }
    if ((m->index.n == 0) != (m->log_term.n == 0) || m->entry_count > RAFT_INDEX_MAX - m->index.n) {
        return false;
    }
    return entries_valid(m);
}

/* An answer counts only from the configuration's members. */
static bool is_reply(enum raft_msg_kind kind)
{
    return kind == RAFT_MSG_PREVOTE_REPLY || kind == RAFT_MSG_VOTE_REPLY ||
           kind == RAFT_MSG_APPEND_REPLY;
}

/* A message of a lower term. Its sender is told the present one, or it would
 * wait for ever: with pre-vote it does not find out by campaigning [D 9.6]. */
static void answer_old_term(struct raft *r, const struct raft_msg *m)
{
    if (m->kind == RAFT_MSG_VOTE) {
        raft_send(r, RAFT_MSG_VOTE_REPLY, m->from)->reject = true;
    } else if (m->kind == RAFT_MSG_APPEND) {
        SOMETIMES(true, "raft: a leader of an older term was told so");
        raft_send(r, RAFT_MSG_APPEND_REPLY, m->from)->reject = true;
    }
}

/* Bring the term up to the message's. False: the message ends here. */
static bool settle_term(struct raft *r, const struct raft_msg *m)
{
    bool asks = m->kind == RAFT_MSG_PREVOTE || (m->kind == RAFT_MSG_PREVOTE_REPLY && !m->reject);

    if (asks) {
        return true; /* speaks of a term that has not begun */
    }
    if (m->term.n < r->hard.term.n) {
        /* A refusal by someone sticky is of an older term, and still an answer. */
        if (m->kind == RAFT_MSG_PREVOTE_REPLY) {
            return true;
        }
        answer_old_term(r, m);
        return false;
    }
    if (m->kind == RAFT_MSG_VOTE && !m->force && raft_vote_sticks(r)) {
        SOMETIMES(true, "raft: a vote was refused for a leader's sake");
        return m->term.n == r->hard.term.n;
    }
    if (m->term.n > r->hard.term.n) {
        raft_become_follower(r, m->term, (struct raft_id){0});
    }
    return true;
}

enum err raft_step(struct raft *r, uint64_t now_us, const struct raft_msg *m)
{
    CHECK(r->started);
    if (m->to.n != r->cfg.self.n) {
        return ERR_MISROUTED;
    }
    if (!msg_valid(r, m)) {
        return ERR_BAD_INPUT;
    }
    raft_time(r, now_us);
    if (is_reply(m->kind) && raft_peer_find(r, m->from) == NULL) {
        return ERR_OK;
    }
    if (!settle_term(r, m)) {
        return ERR_OK;
    }
    r->work = true;
    switch (m->kind) {
    case RAFT_MSG_PREVOTE:
        raft_handle_prevote(r, m);
        break;
    case RAFT_MSG_VOTE:
        raft_handle_vote(r, m);
        break;
    case RAFT_MSG_PREVOTE_REPLY:
    case RAFT_MSG_VOTE_REPLY:
        raft_handle_vote_reply(r, m);
        break;
    case RAFT_MSG_APPEND:
        return raft_handle_append(r, m);
    case RAFT_MSG_APPEND_REPLY:
        return raft_handle_append_reply(r, m);
    case RAFT_MSG_TIMEOUT_NOW:
        raft_handle_timeout_now(r, m);
        break;
    case RAFT_MSG_KINDS:
        return ERR_BAD_INPUT;
    }
    return ERR_OK;
}

/* --- time and durability --- */

void raft_tick(struct raft *r, uint64_t now_us)
{
    CHECK(r->started);
    raft_time(r, now_us);
    if (r->role == RAFT_LEADER) {
        raft_leader_tick(r);
    } else {
        raft_election_tick(r);
    }
}

uint64_t raft_deadline_us(const struct raft *r)
{
    uint64_t due;

    if (r->role != RAFT_LEADER) {
        return r->election_due_us;
    }
    due = raft_min(r->heartbeat_due_us, r->quorum_due_us);
    return r->transfer_to.n != 0 ? raft_min(due, r->transfer_due_us) : due;
}

void raft_durable(struct raft *r, uint64_t now_us, uint64_t ticket)
{
    bool hard_waits = raft_hard_gate(r) != 0;

    raft_time(r, now_us);
    r->durable_ticket = raft_max(r->durable_ticket, ticket);
    if (raft_log_durable(&r->log, ticket) && r->role == RAFT_LEADER) {
        raft_advance_commit(r);
    }
    if (hard_waits && raft_hard_gate(r) == 0) {
        raft_election_durable(r);
    }
}

void raft_applied(struct raft *r, struct raft_index index)
{
    CHECK(index.n <= r->commit.n);
    r->applied.n = raft_max(r->applied.n, index.n);
}

/* --- views --- */

enum raft_role raft_role(const struct raft *r)
{
    return r->role;
}

struct raft_id raft_self(const struct raft *r)
{
    return r->cfg.self;
}

struct raft_id raft_leader(const struct raft *r)
{
    return r->leader;
}

struct raft_term raft_term_now(const struct raft *r)
{
    return r->hard.term;
}

struct raft_index raft_commit(const struct raft *r)
{
    return r->commit;
}

struct raft_index raft_last(const struct raft *r)
{
    return (struct raft_index){raft_log_last(&r->log)};
}

struct raft_index raft_first(const struct raft *r)
{
    return (struct raft_index){r->log.snap_index.n + 1};
}

struct raft_hard raft_hard(const struct raft *r)
{
    return r->hard;
}

struct raft_index raft_match(const struct raft *r, struct raft_id peer)
{
    const struct raft_peer *p = raft_peer_find(r, peer);

    if (r->role != RAFT_LEADER || p == NULL) {
        return (struct raft_index){0};
    }
    return p->match;
}

struct raft_index raft_match_min(const struct raft *r, uint64_t now_us)
{
    uint64_t min = raft_log_last(&r->log);

    for (uint32_t i = 0; i < r->peer_count && r->role == RAFT_LEADER; i++) {
        const struct raft_peer *p = &r->peers[i];

        if (p->heard && now_us < p->heard_us + r->cfg.election_us_max) {
            min = raft_min(min, p->match.n);
        }
    }
    return (struct raft_index){min};
}

uint64_t raft_peer_silence_us(const struct raft *r, struct raft_id peer, uint64_t now_us)
{
    const struct raft_peer *p = raft_peer_find(r, peer);

    if (r->role != RAFT_LEADER || p == NULL || !p->heard) {
        return UINT64_MAX;
    }
    return now_us > p->heard_us ? now_us - p->heard_us : 0;
}

const char *raft_role_name(enum raft_role role)
{
    static const char *const names[] = {"follower", "pre-candidate", "candidate", "leader"};

    CHECK(role < ARRAY_COUNT(names));
    return names[role];
}

const char *raft_msg_name(enum raft_msg_kind kind)
{
    static const char *const names[] = {
        "prevote", "prevote-reply", "vote", "vote-reply", "append", "append-reply", "timeout-now",
    };

    static_assert(ARRAY_COUNT(names) == RAFT_MSG_KINDS, "a name for each kind");
    CHECK(kind < RAFT_MSG_KINDS);
    return names[kind];
}
