/* Replicas prove that they are equal: the leader asks for the digest at one index, and
 * the majority's is right. [docs/protocol/replicas.md]
 *
 * It names the last index of its own log. What follows is sent after the question, on the
 * same connection: nobody has applied more, and everybody comes past. So there is
 * nothing to wait for, and nothing to keep but one number.
 */
#include "node/node_internal.h"

enum {
    ROUND_PERIODS = 4, /* so many periods may a round take that somebody is slow to answer */
    SAY_AGAIN_US = 60 * 1000 * 1000,
};

void node_digest_send(struct group *g, struct wire_digest *d)
{
    struct link *l = node_link_to(g->node, d->to);
    size_t mark;

    if (l == NULL || !l->digests) {
        return;
    }
    d->group = g->partition;
    d->from = g->self;
    d->term = raft_term_now(g->raft);
    mark = wire_begin(&l->now, WIRE_DIGEST);
    wire_put_digest(&l->now, d);
    wire_end(&l->now, mark);
}

void node_digest_role_changed(struct group *g)
{
    struct digest *d = &g->digest;

    /* What was asked, answered and found belongs to one leadership; the next begins anew. */
    d->stop = d->noted = d->round = (struct raft_index){0};
    d->has_majority = d->unresolved = d->said = false;
    d->voter_count = 0;
    d->next_us = 0;
    node_repair_role_changed(g);
}

bool node_digest_bad(const struct group *g, struct raft_id voter)
{
    for (uint8_t i = 0; i < g->digest.voter_count; i++) {
        const struct voter_digest *v = &g->digest.voters[i];

        if (v->id.n == voter.n) {
            return v->wrong || v->damaged;
        }
    }
    return false;
}

/* ---- the leader ---- */

static struct voter_digest *voter_of(struct digest *d, struct raft_id id)
{
    for (uint8_t i = 0; i < d->voter_count; i++) {
        if (d->voters[i].id.n == id.n) {
            return &d->voters[i];
        }
    }
    return NULL;
}

static void verdict(struct group *g, struct voter_digest *v)
{
    struct digest *d = &g->digest;
    struct node *n = g->node;

    if (!v->wrong) {
        n->stats.digests_different++;
        node_log(n, NODE_LOG_ERROR,
                 "msg=\"a replica's state is wrong and is rebuilt from this one; its log and votes "
                 "stay good\" partition=%u node=%016llx reason=\"%s\" index=%llu digest=%016llx "
                 "majority=%016llx",
                 g->partition, (unsigned long long)node_of_raft_id(v->id),
                 v->digest != d->majority ? "another digest than the majority's"
                                          : "it does not trust its state",
                 (unsigned long long)d->round.n, (unsigned long long)v->digest,
                 (unsigned long long)d->majority);
    }
    v->wrong = true;
    node_digest_send(
        g, &(struct wire_digest){
               .kind = WIRE_DIGEST_VERDICT, .to = v->id, .index = d->round, .digest = d->majority});
}

static unsigned votes_for(const struct digest *d, uint64_t digest)
{
    unsigned votes = d->noted_digest == digest ? 1 : 0;

    for (uint8_t i = 0; i < d->voter_count; i++) {
        votes += d->voters[i].answered && d->voters[i].digest == digest ? 1 : 0;
    }
    return votes;
}

/* A digest that more than half of all voters have, whoever has not answered. */
static bool find_majority(const struct digest *d, uint64_t *digest)
{
    unsigned most = (d->voter_count + 1U) / 2; /* one vote more decides */

    *digest = d->noted_digest;
    if (votes_for(d, *digest) > most) {
        return true;
    }
    for (uint8_t i = 0; i < d->voter_count; i++) {
        *digest = d->voters[i].digest;
        if (d->voters[i].answered && votes_for(d, *digest) > most) {
            return true;
        }
    }
    return false;
}

/* Every voter has spoken, and still nobody can be told right from wrong, or nobody who is
 * right is left: nothing is destroyed. People must look. */
static void unresolved(struct group *g, const char *what)
{
    struct digest *d = &g->digest;
    struct node *n = g->node;

    d->unresolved = true;
    d->alone = d->suspect != SUSPECT_NOT;
    if (d->said && n->now.mono_us - d->said_us < SAY_AGAIN_US) {
        return;
    }
    d->said = true;
    d->said_us = n->now.mono_us;
    node_log(n, NODE_LOG_ERROR,
             "msg=\"the replicas of a partition cannot prove which of them is right; nothing is "
             "rebuilt and the leader serves on\" partition=%u reason=\"%s\" index=%llu "
             "digest=%016llx remedy=\"keep copies of the data directories, compare SYNOD DIGEST on "
             "the nodes, and restart the node that is in doubt: it reads its state from its disk\"",
             g->partition, what, (unsigned long long)d->round.n,
             (unsigned long long)d->noted_digest);
}

/* Could it lead instead of this replica, or be rebuilt from? A replica that does not trust its own
 * state has discredited its digest; any other that trusts its own is then the better one. */
static bool is_right(const struct digest *d, const struct voter_digest *v)
{
    return v->answered && !v->damaged &&
           (d->has_majority ? v->digest == d->majority : d->suspect != SUSPECT_NOT);
}

/* The most advanced voter that is better than this replica. */
static struct raft_id successor(const struct group *g)
{
    const struct digest *d = &g->digest;
    struct raft_id best = {0};

    for (uint8_t i = 0; i < d->voter_count; i++) {
        const struct voter_digest *v = &d->voters[i];
        const struct link *l = node_link_to(g->node, v->id);

        if (is_right(d, v) && l != NULL && !l->avoid &&
            (best.n == 0 || raft_match(g->raft, v->id).n > raft_match(g->raft, best).n)) {
            best = v->id;
        }
    }
    return best;
}

/* A replica that is wrong leads: at once, while the answers are fresh, it hands over. */
static void judge_self(struct group *g)
{
    struct digest *d = &g->digest;
    bool all = true, better = false;

    for (uint8_t i = 0; i < d->voter_count; i++) {
        all = all && d->voters[i].answered;
        better = better || is_right(d, &d->voters[i]);
    }
    if (better) {
        d->alone = d->unresolved = false;
        node_repair_hand_over(g, successor(g));
    } else if (all) {
        unresolved(g, "this one's content has rotted, and no other replica is sound");
    }
}

/* What the answers so far prove. */
static void judge(struct group *g)
{
    struct digest *d = &g->digest;
    bool all = true;

    d->has_majority = find_majority(d, &d->majority);
    if (d->has_majority && d->noted_digest != d->majority && d->suspect == SUSPECT_NOT) {
        g->node->stats.digests_different++;
        node_repair_suspect(g, SUSPECT_DIFFERS, "most replicas have another digest");
    }
    if (d->suspect != SUSPECT_NOT) {
        judge_self(g);
        return;
    }
    for (uint8_t i = 0; i < d->voter_count; i++) {
        struct voter_digest *v = &d->voters[i];

        all = all && v->answered;
        if (!v->answered || !d->has_majority) {
            continue;
        }
        if (is_right(d, v)) {
            v->wrong = false;
        } else {
            verdict(g, v);
        }
    }
    if (d->has_majority) {
        d->unresolved = false;
    } else if (all) {
        unresolved(g, "no digest has a majority");
    }
}

static void ask(struct group *g)
{
    struct digest *d = &g->digest;

    for (uint8_t i = 0; i < d->voter_count; i++) {
        if (!d->voters[i].answered) {
            node_digest_send(g, &(struct wire_digest){.kind = WIRE_DIGEST_ASK,
                                                      .to = d->voters[i].id,
                                                      .index = d->round});
        }
    }
}

static void begin_round(struct group *g)
{
    const struct raft_conf *c = node_group_conf(g);
    struct digest *d = &g->digest;
    struct voter_digest voters[RAFT_VOTERS_MAX];
    uint8_t count = 0;

    for (uint8_t i = 0; i < c->voter_count; i++) {
        const struct voter_digest *known = voter_of(d, c->voters[i]);

        if (c->voters[i].n != g->self.n) {
            voters[count] = (struct voter_digest){.id = c->voters[i]};
            voters[count++].wrong = known != NULL && known->wrong;
        }
    }
    memcpy(d->voters, voters, sizeof voters[0] * count);
    d->voter_count = count;
    d->has_majority = false;
    d->round = raft_last(g->raft);
    d->round_us = g->node->now.mono_us;
    d->noted.n = 0;
    d->stop = d->round;
    ask(g);
    if (g->applied.n == d->stop.n) {
        node_digest_applied(g);
    }
}

/* Everybody who can be asked has answered, and all is well with them. */
static bool round_complete(const struct group *g)
{
    const struct digest *d = &g->digest;

    for (uint8_t i = 0; i < d->voter_count; i++) {
        if (!d->voters[i].answered && node_link_to(g->node, d->voters[i].id) != NULL) {
            return false;
        }
    }
    return d->noted.n == d->round.n;
}

static bool any_wrong(const struct digest *d)
{
    for (uint8_t i = 0; i < d->voter_count; i++) {
        if (d->voters[i].wrong || d->voters[i].damaged) {
            return true;
        }
    }
    return d->suspect != SUSPECT_NOT;
}

static void leader_tick(struct group *g)
{
    struct node *n = g->node;
    struct digest *d = &g->digest;
    bool stands = d->round.n != 0 && d->round.n == raft_last(g->raft).n && !any_wrong(d);
    bool young = d->round.n != 0 && n->now.mono_us - d->round_us < ROUND_PERIODS * n->cfg.digest_us;

    if (n->now.mono_us < d->next_us || n->phase != NODE_PHASE_SERVING ||
        !raft_conf_settled(g->raft)) {
        return;
    }
    d->next_us = n->now.mono_us + n->cfg.digest_us;
    if (stands && round_complete(g)) {
        return; /* an idle group that has proved itself says nothing */
    }
    if (stands || (young && !round_complete(g))) {
        ask(g); /* at the same index: those who came late, or are slow */
        return;
    }
    begin_round(g);
}

void node_digest_tick(struct node *n)
{
    for (uint32_t p = 0; p < n->map.partitions && n->groups != NULL; p++) {
        if (node_group_leads(&n->groups[p])) {
            leader_tick(&n->groups[p]);
        }
    }
    node_repair_tick(n);
}

static void take_answer(struct group *g, const struct wire_digest *m)
{
    struct digest *d = &g->digest;
    struct voter_digest *v = voter_of(d, m->from);

    if (v == NULL || m->index.n != d->round.n) {
        if (m->damaged) {
            d->round.n = d->next_us = 0; /* it found damage by itself: hear all of them now */
        }
        return;
    }
    g->node->stats.digests_compared++;
    v->answered = true;
    v->damaged = m->damaged;
    v->digest = m->digest;
    if (d->noted.n == d->round.n) {
        judge(g);
    }
}

/* ---- every replica ---- */

static void answer(struct group *g)
{
    struct digest *d = &g->digest;

    node_digest_send(g, &(struct wire_digest){.kind = WIRE_DIGEST_ANSWER,
                                              .to = raft_leader(g->raft),
                                              .index = d->noted,
                                              .digest = d->noted_digest,
                                              .damaged = d->suspect != SUSPECT_NOT});
}

void node_digest_applied(struct group *g)
{
    struct digest *d = &g->digest;

    CHECK(g->applied.n == d->stop.n);
    d->noted = d->stop;
    d->noted_digest = store_digest(g->store);
    d->stop.n = 0;
    if (node_group_leads(g)) {
        judge(g);
    } else {
        answer(g);
    }
}

static void take_ask(struct group *g, const struct wire_digest *m)
{
    struct digest *d = &g->digest;

    if (d->quarantined || m->index.n < g->applied.n) {
        /* The same question once more, or one that a broken connection delayed. */
        if (!d->quarantined && m->index.n == d->noted.n) {
            answer(g);
        }
        return;
    }
    d->stop = m->index;
    if (g->applied.n == d->stop.n) {
        node_digest_applied(g);
    }
}

static void take_verdict(struct group *g, const struct wire_digest *m)
{
    struct digest *d = &g->digest;

    /* It must be about what this replica said itself. */
    if (d->quarantined || m->index.n != d->noted.n || m->index.n == 0 ||
        (m->digest == d->noted_digest && d->suspect == SUSPECT_NOT)) {
        return;
    }
    node_repair_quarantine(g, m->digest);
}

void node_digest_frame(struct node *n, struct link *l, const struct wire_digest *m)
{
    struct group *g =
        n->groups != NULL && m->group < n->map.partitions ? &n->groups[m->group] : NULL;
    bool to_leader = m->kind == WIRE_DIGEST_ANSWER || m->kind == WIRE_DIGEST_WANT;

    if (g == NULL || !g->here || m->to.n != g->self.n ||
        node_of_raft_id(m->from) != node_short_id(&l->node) ||
        m->term.n != raft_term_now(g->raft).n ||
        (to_leader ? !node_group_leads(g) : raft_leader(g->raft).n != m->from.n)) {
        return;
    }
    switch (m->kind) {
    case WIRE_DIGEST_ASK:
        take_ask(g, m);
        return;
    case WIRE_DIGEST_ANSWER:
        take_answer(g, m);
        return;
    case WIRE_DIGEST_VERDICT:
        take_verdict(g, m);
        return;
    case WIRE_DIGEST_WANT:
        if (node_digest_bad(g, m->from) && g->digest.suspect == SUSPECT_NOT) {
            node_snap_repair(g, m->from, m->index);
        }
        return;
    case WIRE_DIGEST_KINDS:
        break;
    }
    UNREACHABLE("kind was checked when it was decoded");
}
