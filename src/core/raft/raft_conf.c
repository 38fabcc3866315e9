/* raft_conf.c - configurations: their bytes, their history, and legal steps between them.
 *
 * A configuration is in force from the moment its entry is appended, committed
 * or not [R s6], so truncating the log takes it back. The history holds every one
 * appended since the compaction point, and the one in force at that point.
 */
#include "core/raft/raft_internal.h"

enum { CONF_FORMAT_VERSION = 1 };
static_assert((int)RAFT_VOTERS_MAX < (int)QUORUM_MEMBERS_MAX, "each half fits the vote rules");

static bool ids_have(const struct raft_id *ids, uint32_t count, struct raft_id id)
{
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i].n == id.n) {
            return true;
        }
    }
    return false;
}

bool raft_conf_is_voter(const struct raft_conf *c, struct raft_id id)
{
    return ids_have(c->voters, c->voter_count, id) || ids_have(c->outgoing, c->outgoing_count, id);
}

bool raft_conf_has(const struct raft_conf *c, struct raft_id id)
{
    return raft_conf_is_voter(c, id) || ids_have(c->learners, c->learner_count, id);
}

static bool ids_valid(const struct raft_id *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i].n == 0 || ids_have(ids, i, ids[i])) {
            return false;
        }
    }
    return true;
}

/* A learner may be in the outgoing half: it is being demoted. */
bool raft_conf_valid(const struct raft_conf *c)
{
    if (c->voter_count == 0 || c->voter_count > RAFT_VOTERS_MAX ||
        c->outgoing_count > RAFT_VOTERS_MAX || c->learner_count > RAFT_LEARNERS_MAX) {
        return false;
    }
    if (!ids_valid(c->voters, c->voter_count) || !ids_valid(c->outgoing, c->outgoing_count) ||
        !ids_valid(c->learners, c->learner_count)) {
        return false;
    }
    for (uint32_t i = 0; i < c->learner_count; i++) {
        if (ids_have(c->voters, c->voter_count, c->learners[i])) {
            return false;
        }
    }
    return true;
}

static void put_ids(struct buf *out, const struct raft_id *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        put_u64le(out, ids[i].n);
    }
}

void raft_conf_encode(const struct raft_conf *c, struct slice context, struct buf *out)
{
    CHECK(raft_conf_valid(c));
    put_u8(out, CONF_FORMAT_VERSION);
    put_u8(out, c->voter_count);
    put_u8(out, c->outgoing_count);
    put_u8(out, c->learner_count);
    put_ids(out, c->voters, c->voter_count);
    put_ids(out, c->outgoing, c->outgoing_count);
    put_ids(out, c->learners, c->learner_count);
    buf_append_slice(out, context);
}

static void get_ids(struct reader *in, struct raft_id *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        ids[i].n = get_u64le(in);
    }
}

enum err raft_conf_decode(struct slice data, struct raft_conf *c, struct slice *context)
{
    struct reader in = reader_of(data.data, data.len);

    *c = (struct raft_conf){0};
    if (get_u8(&in) != CONF_FORMAT_VERSION) {
        return ERR_BAD_INPUT;
    }
    c->voter_count = get_u8(&in);
    c->outgoing_count = get_u8(&in);
    c->learner_count = get_u8(&in);
    if (in.bad || c->voter_count > RAFT_VOTERS_MAX || c->outgoing_count > RAFT_VOTERS_MAX ||
        c->learner_count > RAFT_LEARNERS_MAX) {
        return ERR_BAD_INPUT;
    }
    get_ids(&in, c->voters, c->voter_count);
    get_ids(&in, c->outgoing, c->outgoing_count);
    get_ids(&in, c->learners, c->learner_count);
    if (in.bad || !raft_conf_valid(c)) {
        return ERR_BAD_INPUT;
    }
    *context = get_raw(&in, reader_left(&in));
    return ERR_OK;
}

/* --- the peers of the configuration in force --- */

struct raft_peer *raft_peer_find(const struct raft *r, struct raft_id id)
{
    for (uint32_t i = 0; i < r->peer_count; i++) {
        if (r->peers[i].id.n == id.n) {
            return (struct raft_peer *)&r->peers[i];
        }
    }
    return NULL;
}

static void add_peer(struct raft *r, struct raft_peer *old, uint32_t old_count, struct raft_id id)
{
    struct raft_peer *p;

    if (id.n == r->cfg.self.n || raft_peer_find(r, id) != NULL) {
        return;
    }
    CHECK(r->peer_count < RAFT_PEERS_MAX);
    p = &r->peers[r->peer_count++];
    *p = (struct raft_peer){.id = id};
    for (uint32_t i = 0; i < old_count; i++) {
        if (old[i].id.n == id.n) {
            *p = old[i];
            old[i].flights = NULL; /* moved */
            return;
        }
    }
    raft_peer_begin(r, p);
}

/* Make peers[] that of the newest configuration; who stays keeps its progress. */
static void rebuild_peers(struct raft *r)
{
    const struct raft_conf *c = &raft_conf_last(r)->conf;
    struct raft_peer old[RAFT_PEERS_MAX];
    uint32_t old_count = r->peer_count;

    memcpy(old, r->peers, old_count * sizeof *old);
    r->peer_count = 0;
    for (uint32_t i = 0; i < c->voter_count; i++) {
        add_peer(r, old, old_count, c->voters[i]);
    }
    for (uint32_t i = 0; i < c->outgoing_count; i++) {
        add_peer(r, old, old_count, c->outgoing[i]);
    }
    for (uint32_t i = 0; i < c->learner_count; i++) {
        add_peer(r, old, old_count, c->learners[i]);
    }
    for (uint32_t i = 0; i < old_count; i++) {
        mem_free(old[i].flights);
    }
    for (uint32_t i = 0; i < r->peer_count; i++) {
        r->peers[i].voter = ids_have(c->voters, c->voter_count, r->peers[i].id);
        r->peers[i].outgoing = ids_have(c->outgoing, c->outgoing_count, r->peers[i].id);
    }
    r->self_voter = ids_have(c->voters, c->voter_count, r->cfg.self);
    r->self_outgoing = ids_have(c->outgoing, c->outgoing_count, r->cfg.self);
    r->conf_changed = r->started;
    r->heartbeat_due_us = 0; /* newcomers hear from the leader at once */
    r->work = true;
    if (r->transfer_to.n != 0 && !ids_have(c->voters, c->voter_count, r->transfer_to)) {
        raft_transfer_end(r);
    }
}

/* Planted: counted against the voters' majority without a look at who says it. */
static void count_learner(uint64_t *values, uint32_t count, uint64_t value)
{
    uint32_t lowest = 0;

    for (uint32_t i = 1; i < count; i++) {
        lowest = values[i] < values[lowest] ? i : lowest;
    }
    if (count > 0 && value > values[lowest]) {
        values[lowest] = value;
    }
}

uint64_t raft_quorum(const struct raft *r, uint64_t self, uint64_t (*of)(const struct raft_peer *))
{
    uint64_t now[QUORUM_MEMBERS_MAX], old[QUORUM_MEMBERS_MAX];
    uint32_t now_count = 0, old_count = 0;

    if (r->self_voter) {
        now[now_count++] = self;
    }
    if (r->self_outgoing) {
        old[old_count++] = self;
    }
    for (uint32_t i = 0; i < r->peer_count; i++) {
        const struct raft_peer *p = &r->peers[i];

        if (p->voter) {
            now[now_count++] = of(p);
        }
        if (p->outgoing) {
            old[old_count++] = of(p);
        }
        if (PLANTED(LEARNER_COUNTS) && !p->voter && !p->outgoing) {
            count_learner(now, now_count, of(p));
        }
    }
    /* No voters at all is no quorum, rather than any. */
    return now_count == 0 ? 0 : quorum_reached_joint(now, now_count, old, old_count);
}

/* --- history --- */

void raft_conf_push(struct raft *r, const struct raft_conf *c, struct raft_index index,
                    struct slice context)
{
    struct raft_conf_at *at;

    CHECK(r->conf_count == 0 || raft_conf_last(r)->index.n < index.n || index.n == 0);
    MEM_GROW(r->confs, r->conf_count, r->conf_cap);
    at = &r->confs[r->conf_count++];
    *at = (struct raft_conf_at){.index = index, .conf = *c};
    buf_append_slice(&at->context, context);
    rebuild_peers(r);
}

void raft_conf_truncate(struct raft *r, uint64_t from)
{
    bool taken_back = false;

    while (r->conf_count > 1 && raft_conf_last(r)->index.n >= from) {
        buf_free(&r->confs[--r->conf_count].context);
        taken_back = true;
    }
    SOMETIMES(taken_back, "raft: a configuration was taken back by truncation");
    if (taken_back) {
        rebuild_peers(r);
    }
}

void raft_conf_compact(struct raft *r, uint64_t index)
{
    uint32_t drop = 0;

    while (drop + 1 < r->conf_count && r->confs[drop + 1].index.n <= index) {
        buf_free(&r->confs[drop].context);
        drop++;
    }
    if (drop > 0) {
        r->conf_count -= drop;
        memmove(r->confs, r->confs + drop, r->conf_count * sizeof *r->confs);
    }
}

void raft_conf_reset(struct raft *r, const struct raft_conf *c, struct raft_index index)
{
    raft_conf_free(r);
    raft_conf_push(r, c, index, (struct slice){NULL, 0});
}

void raft_conf_free(struct raft *r)
{
    for (uint32_t i = 0; i < r->conf_count; i++) {
        buf_free(&r->confs[i].context);
    }
    r->conf_count = 0;
}

const struct raft_conf *raft_conf_now(const struct raft *r)
{
    return &raft_conf_last(r)->conf;
}

const struct raft_conf *raft_conf_as_of(const struct raft *r, struct raft_index index)
{
    uint32_t at = r->conf_count - 1;

    CHECK(index.n >= r->log.snap_index.n);
    while (at > 0 && r->confs[at].index.n > index.n) {
        at--;
    }
    return &r->confs[at].conf;
}

struct raft_index raft_conf_named(const struct raft *r, struct raft_id id)
{
    for (uint32_t at = r->conf_count; at-- > 0;) {
        if (raft_conf_has(&r->confs[at].conf, id)) {
            return r->confs[at].index;
        }
    }
    return (struct raft_index){0};
}

bool raft_conf_settled(const struct raft *r)
{
    return raft_conf_last(r)->index.n <= r->commit.n && raft_conf_last(r)->conf.outgoing_count == 0;
}

/* --- changes, by the leader --- */

static bool same_ids(const struct raft_id *a, uint32_t a_count, const struct raft_id *b,
                     uint32_t b_count)
{
    for (uint32_t i = 0; i < a_count; i++) {
        if (!ids_have(b, b_count, a[i])) {
            return false;
        }
    }
    return a_count == b_count; /* neither has doubles */
}

static void append_conf(struct raft *r, const struct raft_conf *c, struct slice context)
{
    struct buf data = {0};
    struct slice kept = {NULL, 0};
    struct raft_conf read_back;

    raft_conf_encode(c, context, &data);
    CHECK(raft_conf_decode(buf_slice(&data), &read_back, &kept) == ERR_OK);
    raft_append_own(r, RAFT_CONF, buf_slice(&data));
    raft_conf_push(r, c, (struct raft_index){raft_log_last(&r->log)}, kept);
    buf_free(&data);
}

enum err raft_propose_conf(struct raft *r, uint64_t now_us, const struct raft_conf *next,
                           struct slice context)
{
    const struct raft_conf *now = &raft_conf_last(r)->conf;

    raft_time(r, now_us);
    if (r->role != RAFT_LEADER || r->transfer_to.n != 0) {
        return ERR_NOT_LEADER;
    }
    /* One at a time, and only once this term has committed something: until then
     * an older configuration may still turn out to be the committed one. */
    if (!raft_conf_settled(r) || r->commit.n < r->term_start.n || !raft_conf_valid(next)) {
        return ERR_REFUSED;
    }
    if (next->outgoing_count > 0) {
        if (!same_ids(next->outgoing, next->outgoing_count, now->voters, now->voter_count)) {
            return ERR_REFUSED;
        }
    } else if (!same_ids(next->voters, next->voter_count, now->voters, now->voter_count)) {
        return ERR_REFUSED;
    }
    if (raft_log_last(&r->log) >= RAFT_INDEX_MAX - 2) {
        return ERR_FULL;
    }
    append_conf(r, next, context);
    return ERR_OK;
}

/* A removed leader's last act: the others need not wait for an election timeout. */
static void hand_over_and_leave(struct raft *r)
{
    const struct raft_peer *best = NULL;

    for (uint32_t i = 0; i < r->peer_count; i++) {
        if (r->peers[i].voter && (best == NULL || r->peers[i].match.n > best->match.n)) {
            best = &r->peers[i];
        }
    }
    if (best != NULL) {
        (void)raft_send(r, RAFT_MSG_TIMEOUT_NOW, best->id);
    }
    SOMETIMES_RARE(true, "raft: a removed leader stepped down", MARK_NOT_DUE,
                   "nodes only remove replicas that have forgotten, and none of these leads; "
                   "test/trace/raft/removed-leader.txt");
    raft_become_follower(r, r->hard.term, (struct raft_id){0});
}

void raft_conf_committed(struct raft *r)
{
    const struct raft_conf_at *last = raft_conf_last(r);
    struct raft_conf next;
    struct buf context = {0};

    CHECK(r->role == RAFT_LEADER);
    if (last->index.n > r->commit.n || r->commit.n < r->term_start.n) {
        return;
    }
    if (last->conf.outgoing_count > 0) {
        next = last->conf;
        next.outgoing_count = 0;
        memset(next.outgoing, 0, sizeof next.outgoing);
        buf_append_slice(&context, buf_slice(&last->context)); /* `last` may move */
        append_conf(r, &next, buf_slice(&context));
        buf_free(&context);
    } else if (!r->self_voter) {
        hand_over_and_leave(r);
    }
}
