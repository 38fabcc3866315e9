/* raft_replication.c - appends, their acknowledgements, and the commit index.
 *
 * The leader numbers and sends; a follower accepts only what fits its log at the
 * previous entry [R s5.3]. The leader's own write runs in parallel with the
 * followers' [D 10.2.1]: its log counts towards the commit only as far as it is
 * durable, so an entry may be committed before its leader has stored it.
 */
#include "core/raft/raft_internal.h"

/* --- progress of a peer --- */

void raft_flights_clear(struct raft_peer *p)
{
    p->flight_head = p->flight_count = 0;
    p->flight_bytes = 0;
}

static void flight_push(struct raft *r, struct raft_peer *p, uint64_t last, uint64_t bytes)
{
    uint32_t cap = r->cfg.inflight_count_max;

    CHECK(p->flight_count < cap);
    if (p->flights == NULL) {
        p->flights = mem_alloc(cap * sizeof *p->flights);
    }
    p->flights[(p->flight_head + p->flight_count) % cap] = (struct raft_flight){last, bytes};
    p->flight_count++;
    p->flight_bytes += bytes;
}

static void flights_land(struct raft *r, struct raft_peer *p)
{
    while (p->flight_count > 0 && p->flights[p->flight_head].last <= p->match.n) {
        CHECK(p->flight_bytes >= p->flights[p->flight_head].bytes);
        p->flight_bytes -= p->flights[p->flight_head].bytes;
        p->flight_head = (p->flight_head + 1) % r->cfg.inflight_count_max;
        p->flight_count--;
    }
}

void raft_peer_begin(struct raft *r, struct raft_peer *p)
{
    *p = (struct raft_peer){
        .id = p->id,
        .voter = p->voter,
        .outgoing = p->outgoing,
        .flights = p->flights,
        .vote = p->vote,
        .next.n = raft_log_last(&r->log) + 1,
        .since_us = r->now_us,
    };
}

void raft_probe(struct raft_peer *p)
{
    p->progress = RAFT_PROBE;
    p->probe_sent = false;
    p->next.n = p->match.n + 1;
    raft_flights_clear(p);
}

static void pipeline(struct raft_peer *p)
{
    raft_probe(p);
    p->progress = RAFT_REPLICATE;
}

void raft_peer_reset(struct raft *r, struct raft_id peer)
{
    struct raft_peer *p = raft_peer_find(r, peer);

    if (r->role != RAFT_LEADER || p == NULL || p->progress == RAFT_SNAPSHOT) {
        return; /* a snapshot's end is told by raft_snapshot_sent() */
    }
    if (p->match.n > 0) {
        raft_probe(p);
    }
    p->probe_sent = false;
    raft_flights_clear(p);
    p->progress = RAFT_PROBE;
    r->heartbeat_due_us = 0;
    r->work = true;
}

void raft_peer_forgot(struct raft *r, struct raft_id peer)
{
    struct raft_peer *p = raft_peer_find(r, peer);

    if (p != NULL) {
        raft_peer_begin(r, p);
        p->vote = QUORUM_NO;
        r->work = true;
    }
}

/* --- commit --- */

static uint64_t match_of(const struct raft_peer *p)
{
    return p->match.n;
}

static void commit_to(struct raft *r, uint64_t index)
{
    CHECK(index > r->commit.n);
    CHECK(index <= raft_log_last(&r->log));
    if (r->role == RAFT_LEADER) {
        for (uint64_t i = r->commit.n + 1; i <= index; i++) {
            r->uncommitted_bytes -= raft_log_at(&r->log, i)->data.len;
        }
    }
    r->commit.n = index;
    r->work = true;
}

/* May end the leadership, when it commits a configuration without this replica. */
void raft_advance_commit(struct raft *r)
{
    uint64_t reached;

    CHECK(r->role == RAFT_LEADER);
    reached = raft_quorum(r, r->log.durable, match_of);
    /* Only entries of the own term are committed by counting; the ones before
     * them follow [R s5.4.2, figure 8]. */
    if (reached > r->commit.n &&
        (raft_log_term(&r->log, reached) == r->hard.term.n || PLANTED(FIGURE8))) {
        commit_to(r, reached);
        raft_conf_committed(r);
    }
}

/* --- proposals --- */

void raft_append_own(struct raft *r, enum raft_entry_kind kind, struct slice data)
{
    CHECK(r->role == RAFT_LEADER);
    raft_log_append(&r->log, r->hard.term, kind, data);
    r->uncommitted_bytes += data.len;
    r->work = true;
}

enum err raft_propose(struct raft *r, uint64_t now_us, struct slice data, struct raft_index *index)
{
    raft_time(r, now_us);
    if (r->role != RAFT_LEADER || r->transfer_to.n != 0) {
        return ERR_NOT_LEADER;
    }
    /* One is always let through, however large. */
    if (r->uncommitted_bytes > 0 &&
        r->uncommitted_bytes + data.len > r->cfg.uncommitted_bytes_max) {
        return ERR_FULL;
    }
    if (raft_log_last(&r->log) >= RAFT_INDEX_MAX - 2) {
        return ERR_FULL;
    }
    raft_append_own(r, RAFT_COMMAND, data);
    index->n = raft_log_last(&r->log);
    return ERR_OK;
}

/* --- follower --- */

static void want_ack(struct raft_ack *ack, const struct raft_msg *m, uint64_t match)
{
    if (!ack->wanted) {
        *ack = (struct raft_ack){.wanted = true};
    }
    ack->match.n = raft_max(ack->match.n, match);
    ack->stamp_us = raft_max(ack->stamp_us, m->stamp_us);
    ack->round = raft_max(ack->round, m->round);
}

/* The logs do not meet at m->index. Name a place where they may [R s5.3, end]. */
static void refuse_append(struct raft *r, const struct raft_msg *m)
{
    struct raft_msg *reply = raft_send(r, RAFT_MSG_APPEND_REPLY, m->from);

    reply->reject = true;
    reply->index.n = raft_log_meet(&r->log, m->index.n, m->log_term.n);
    reply->log_term.n = raft_log_term(&r->log, reply->index.n);
    reply->commit = m->index; /* which message is refused: tells stale refusals */
    reply->stamp_us = m->stamp_us;
    reply->round = m->round;
}

static void append_entry(struct raft *r, const struct raft_entry *e)
{
    struct raft_conf conf;
    struct slice context;

    raft_log_append(&r->log, e->term, e->kind, e->data);
    if (UNLIKELY(e->kind == RAFT_CONF)) {
        /* Judged before. The context is borrowed from the message for the call. */
        CHECK(raft_conf_decode(e->data, &conf, &context) == ERR_OK);
        raft_conf_push(r, &conf, e->index, context);
    }
}

/* Entries the log has already are skipped; the first that differs ends it. Returns
 * the number skipped, or UINT32_MAX for a sender that contradicts what is committed. */
static uint32_t skip_known(const struct raft *r, const struct raft_msg *m)
{
    uint64_t last = raft_log_last(&r->log);
    uint32_t skip = 0;

    while (skip < m->entry_count) {
        const struct raft_entry *e = &m->entries[skip];

        if (e->index.n > last) {
            break;
        }
        if (e->index.n >= r->log.snap_index.n && raft_log_term(&r->log, e->index.n) != e->term.n) {
            return e->index.n <= r->commit.n ? UINT32_MAX : skip;
        }
        skip++;
    }
    return skip;
}

static void replace_tail(struct raft *r, uint64_t from)
{
    CHECK(from > r->commit.n); /* [R] leader completeness */
    SOMETIMES(true, "raft: a tail was replaced");
    raft_log_truncate(&r->log, from);
    raft_conf_truncate(r, from);
    r->truncated_from = r->truncated_from == 0 ? from : raft_min(r->truncated_from, from);
}

enum err raft_handle_append(struct raft *r, const struct raft_msg *m)
{
    uint64_t last = raft_log_last(&r->log), verified = m->index.n + m->entry_count;
    uint32_t skip;

    CHECK(m->term.n == r->hard.term.n);
    if (r->role == RAFT_LEADER || (r->leader.n != 0 && r->leader.n != m->from.n)) {
        return ERR_BAD_INPUT; /* a second leader of one term */
    }
    if (r->role != RAFT_FOLLOWER || r->leader.n == 0) {
        raft_become_follower(r, r->hard.term, m->from);
    }
    r->election_due_us = r->now_us + r->election_timeout_us;
    r->sticky_until_us = r->now_us + r->cfg.election_us_min;
    r->quick_retries = 0;

    if (m->index.n > last) {
        refuse_append(r, m);
        return ERR_OK;
    }
    if (m->index.n >= r->log.snap_index.n && raft_log_term(&r->log, m->index.n) != m->log_term.n &&
        !PLANTED(LOG_UNMATCHED)) {
        if (m->index.n <= r->commit.n) {
            return ERR_BAD_INPUT;
        }
        refuse_append(r, m);
        return ERR_OK;
    }
    skip = skip_known(r, m);
    if (skip == UINT32_MAX) {
        return ERR_BAD_INPUT;
    }
    if (skip < m->entry_count && m->entries[skip].index.n <= last) {
        replace_tail(r, m->entries[skip].index.n);
    }
    for (uint32_t i = skip; i < m->entry_count; i++) {
        append_entry(r, &m->entries[i]);
    }
    /* What is committed here is in every later leader's log, verified or not. */
    verified = raft_max(verified, r->commit.n);
    if (PLANTED(COMMIT_UNMATCHED) && raft_min(m->commit.n, raft_log_last(&r->log)) > r->commit.n) {
        commit_to(r, raft_min(m->commit.n, raft_log_last(&r->log)));
    }
    if (PLANTED(ACK_UNMATCHED)) {
        verified = raft_log_last(&r->log);
    }
    if (raft_min(m->commit.n, verified) > r->commit.n) {
        commit_to(r, raft_min(m->commit.n, verified));
    }
    want_ack(m->entry_count > 0 ? &r->ack_entries : &r->ack_empty, m, verified);
    return ERR_OK;
}

/* --- leader: replies --- */

static void handle_accept(struct raft *r, struct raft_peer *p, uint64_t match)
{
    bool advanced = match > p->match.n;

    p->match.n = raft_max(p->match.n, match);
    p->next.n = raft_max(p->next.n, p->match.n + 1);
    flights_land(r, p);
    switch (p->progress) {
    case RAFT_PROBE:
        pipeline(p);
        break;
    case RAFT_REPLICATE:
        break;
    case RAFT_SNAPSHOT:
        if (p->match.n >= r->log.snap_index.n) {
            pipeline(p);
        }
        break;
    }
    if (advanced && p->match.n > r->commit.n) {
        raft_advance_commit(r);
    }
    if (r->role == RAFT_LEADER) {
        raft_transfer_poll(r);
    }
}

static void handle_refusal(struct raft *r, struct raft_peer *p, const struct raft_msg *m)
{
    uint64_t refused = m->commit.n, meet;

    if (refused <= p->match.n) {
        return; /* overtaken by an acknowledgement */
    }
    switch (p->progress) {
    case RAFT_PROBE:
        if (refused != p->next.n - 1) {
            return; /* answers an older probe */
        }
        meet = raft_log_meet(&r->log, raft_min(m->index.n, refused - 1), m->log_term.n);
        p->next.n = raft_max(p->match.n, meet) + 1;
        p->probe_sent = false;
        break;
    case RAFT_REPLICATE:
        SOMETIMES(true, "raft: a pipelined append was lost");
        raft_probe(p);
        break;
    case RAFT_SNAPSHOT:
        break;
    }
}

enum err raft_handle_append_reply(struct raft *r, const struct raft_msg *m)
{
    struct raft_peer *p = raft_peer_find(r, m->from);

    if (r->role != RAFT_LEADER || p == NULL) {
        return ERR_OK; /* removed meanwhile */
    }
    if (m->stamp_us > r->now_us || m->round > r->round ||
        (!m->reject && m->index.n > raft_log_last(&r->log))) {
        return ERR_BAD_INPUT; /* echoes what was never said */
    }
    p->heard = true;
    p->heard_us = r->now_us;
    p->snapshot_hold = false;
    p->stamp_us = raft_max(p->stamp_us, m->stamp_us);
    p->round = raft_max(p->round, m->round);
    if (m->reject) {
        handle_refusal(r, p, m);
    } else {
        handle_accept(r, p, m->index.n);
    }
    return ERR_OK;
}

/* --- leader: sending --- */

static void send_append(struct raft *r, struct raft_peer *p, uint32_t count,
                        struct raft_effects *out)
{
    uint64_t prev = p->progress == RAFT_SNAPSHOT ? r->log.snap_index.n : p->next.n - 1;
    struct raft_effect *e = raft_effect_add(out, RAFT_SEND);

    CHECK(prev >= r->log.snap_index.n);
    CHECK(prev + count <= raft_log_last(&r->log));
    e->gate = raft_hard_gate(r);
    e->u.msg = (struct raft_msg){
        .kind = RAFT_MSG_APPEND,
        .from = r->cfg.self,
        .to = p->id,
        .term = r->hard.term,
        .index.n = prev,
        .log_term.n = raft_log_term(&r->log, prev),
        .commit = r->commit,
        .stamp_us = r->now_us,
        .round = r->round,
        .entry_count = count,
        .entries = count > 0 ? raft_log_at(&r->log, prev + 1) : NULL,
    };
    p->greeted = true;
    p->sent_us = r->now_us;
    if (count == 0) {
        p->empty_us = r->now_us;
    }
}

/* How many entries from `from` on go into one message of at most append_bytes_max. The
 * first goes whatever its size, if the window has room for it: a message size smaller
 * than the entries must not turn the pipeline into one entry per round trip. */
static uint32_t batch(const struct raft *r, uint64_t from, uint64_t window, uint64_t *bytes)
{
    uint64_t last = raft_log_last(&r->log);
    uint32_t count = 0;

    *bytes = 0;
    while (from + count <= last && count < UINT32_MAX) {
        uint64_t more = raft_log_at(&r->log, from + count)->data.len + sizeof(struct raft_entry);

        if (*bytes + more > (count == 0 ? window : raft_min(window, r->cfg.append_bytes_max))) {
            break;
        }
        *bytes += more;
        count++;
    }
    return count;
}

static bool send_entries(struct raft *r, struct raft_peer *p, struct raft_effects *out)
{
    const struct raft_config *cfg = &r->cfg;
    bool sent = false;
    uint64_t bytes, window;
    uint32_t count;

    if (p->progress == RAFT_PROBE && !p->probe_sent) {
        count = batch(r, p->next.n, UINT64_MAX, &bytes);
        send_append(r, p, count, out);
        p->probe_sent = true;
        return true;
    }
    while (p->progress == RAFT_REPLICATE && p->next.n <= raft_log_last(&r->log)) {
        if (p->flight_count == cfg->inflight_count_max ||
            (p->flight_count > 0 && p->flight_bytes >= cfg->inflight_bytes_max)) {
            SOMETIMES(true, "raft: the window of a peer was full");
            break;
        }
        window = p->flight_count == 0 ? UINT64_MAX : cfg->inflight_bytes_max - p->flight_bytes;
        count = batch(r, p->next.n, window, &bytes);
        if (count == 0) {
            break;
        }
        send_append(r, p, count, out);
        p->next.n += count;
        flight_push(r, p, p->next.n - 1, bytes);
        sent = true;
    }
    return sent;
}

/* When this peer must get an empty append: nothing was sent for a period; or nothing
 * was heard, though entries went out: their acknowledgement waits for a
 * write that may be slow, the answer to an empty append does not. */
static uint64_t heartbeat_due(const struct raft *r, const struct raft_peer *p)
{
    uint64_t quiet_us = raft_max(raft_max(p->empty_us, p->heard_us), p->since_us);

    return raft_min(p->sent_us, quiet_us) + r->cfg.heartbeat_us;
}

static void replicate_peer(struct raft *r, struct raft_peer *p, struct raft_effects *out)
{
    bool sent = false, must = !p->greeted;

    if (p->progress != RAFT_SNAPSHOT && p->next.n <= r->log.snap_index.n) {
        p->progress = RAFT_SNAPSHOT;
        raft_flights_clear(p);
    }
    if (p->progress == RAFT_SNAPSHOT) {
        bool alive = p->heard && r->now_us - p->heard_us < r->cfg.election_us_max;

        if (!p->snapshot_asked && !p->snapshot_hold && alive) {
            p->snapshot_asked = p->snapshot_listed = true;
        }
    } else {
        sent = send_entries(r, p, out);
    }
    must = must || (r->round_fresh && (p->voter || p->outgoing));
    if ((must && !sent) || r->now_us >= heartbeat_due(r, p)) {
        send_append(r, p, 0, out);
    }
}

void raft_replicate(struct raft *r, struct raft_effects *out)
{
    CHECK(r->role == RAFT_LEADER);
    r->heartbeat_due_us = UINT64_MAX;
    for (uint32_t i = 0; i < r->peer_count; i++) {
        replicate_peer(r, &r->peers[i], out);
        r->heartbeat_due_us = raft_min(r->heartbeat_due_us, heartbeat_due(r, &r->peers[i]));
    }
    r->round_fresh = false;
}
