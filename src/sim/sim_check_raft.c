#include "sim/sim_check_raft.h"

#include "cmd/cmd.h"
#include "sim/sim_fault.h"
#include "sim/sim_world.h"

struct sim_entry_seen {
    uint64_t hash, before_term;
};

static void boxes_free(struct map64 *m)
{
    size_t pos = 0;
    uint64_t key;
    void *value;

    while (map64_each(m, &pos, &key, &value)) {
        mem_free(value);
    }
    map64_free(m);
}

void sim_check_raft_free(struct sim_raft_check *c)
{
    for (unsigned i = 0; i < SIM_PARTITIONS_MAX; i++) {
        mem_free(c->of[i].committed);
        boxes_free(&c->of[i].leaders);
        boxes_free(&c->of[i].entries);
    }
}

void sim_check_raft_started(struct sim_world *w, struct sim_host *h)
{
    memset(w->raft.seen[h->id], 0, sizeof w->raft.seen[h->id]);
}

static uint64_t entry_hash(const struct raft_entry *e)
{
    return hash64_seeded(e->data.data, e->data.len, (uint64_t)e->kind + 1) | 1;
}

static struct sim_committed *committed_at(struct sim_partition_check *p, uint64_t index)
{
    if (index >= p->cap) {
        uint64_t cap = p->cap == 0 ? 1024 : p->cap;

        while (cap <= index) {
            cap *= 2;
        }
        p->committed = mem_realloc(p->committed, cap * sizeof p->committed[0]);
        memset(p->committed + p->cap, 0, (cap - p->cap) * sizeof p->committed[0]);
        p->cap = cap;
    }
    if (index >= p->count) {
        p->count = index + 1;
    }
    return &p->committed[index];
}

/* [R election safety] */
static void check_leader(struct sim_world *w, struct sim_host *h, uint32_t part,
                         const struct node_group_view *v)
{
    struct map64 *leaders = &w->raft.of[part].leaders;
    uint64_t *who = map64_get(leaders, v->term.n);

    if (who == NULL) {
        who = MEM_NEW(uint64_t);
        *who = v->self.n;
        (void)map64_put(leaders, v->term.n, who);
        w->raft.elections++;
        w->raft.elected_us = w->now_us;
        sim_say(w, SIM_LOG_SHORT, "n%u becomes leader of partition p%u in term %lu", h->id, part,
                v->term.n);
        sim_fault_elected(w, h, part, v->term.n);
    } else if (*who != v->self.n) {
        sim_found(w, "election safety: p%u term %lu has two leaders, %lx and %lx (n%u)", part,
                  v->term.n, *who, v->self.n, h->id);
    }
}

/* [R leader completeness] */
static void check_complete(struct sim_world *w, struct sim_host *h, uint32_t part,
                           const struct node_group_view *v)
{
    struct sim_partition_check *p = &w->raft.of[part];

    for (uint64_t i = 1; i < p->count; i++) {
        const struct sim_committed *c = &p->committed[i];
        struct raft_term have = raft_term_at(v->raft, (struct raft_index){i});

        if (c->term == 0 || c->seen_in_term >= v->term.n) {
            continue;
        }
        if (i > v->last.n || (have.n != 0 && have.n != c->term)) {
            sim_found(w,
                      "leader completeness: n%u leads p%u in term %lu, last %lu; entry %lu of "
                      "term %lu was committed in term %lu, it has term %lu there",
                      h->id, part, v->term.n, v->last.n, i, c->term, c->seen_in_term, have.n);
            return;
        }
    }
}

/* The logged time never goes back, whoever leads with whatever clock [docs/protocol/cluster.md]. */
static void check_time(struct sim_world *w, struct sim_host *h, uint32_t part,
                       const struct node_group_view *v, const struct raft_entry *e)
{
    const struct raft_entry *before = e;

    if (e->kind != RAFT_COMMAND || e->data.len < 8) {
        return;
    }
    do {
        before = raft_entry(v->raft, (struct raft_index){before->index.n - 1});
    } while (before != NULL && before->kind != RAFT_COMMAND);
    if (before != NULL && before->data.len >= 8 &&
        load_u64le(before->data.data) >= load_u64le(e->data.data)) {
        sim_found(w, "logged time: n%u p%u goes back %lu ms from index %lu to %lu", h->id, part,
                  (load_u64le(before->data.data) - load_u64le(e->data.data)) >> 16, before->index.n,
                  e->index.n);
    }
}

/* For the judge of the history: in which order to look for an explanation first. */
static void note_logged(struct sim_world *w, uint32_t part, const struct raft_entry *e)
{
    const struct sim_logged logged = {
        .log = part, .index = e->index.n, .term = e->term.n, .at_us = w->now_us};
    struct cmd_decoded d;

    sim_history_logged(&w->history, &logged);
    if (e->kind != RAFT_COMMAND || e->data.len < 8 || /* behind its time */
        cmd_decode((struct slice){e->data.data + 8, e->data.len - 8}, &d) != ERR_OK) {
        return; /* without words: it may have replaced one that had some */
    }
    for (uint32_t i = 0; i < d.argc; i++) {
        sim_history_logged_word(&w->history, d.argv[i]);
    }
    cmd_decoded_free(&d);
}

/* [R log matching]: same index and term, same entry and same entry before it. */
static void check_entry(struct sim_world *w, struct sim_host *h, uint32_t part,
                        const struct node_group_view *v, uint64_t index)
{
    const struct raft_entry *e = raft_entry(v->raft, (struct raft_index){index});
    struct sim_entry_seen *seen;
    uint64_t key, before, hash;

    if (e == NULL) {
        return;
    }
    CHECK(e->index.n == index);
    hash = entry_hash(e);
    before = raft_term_at(v->raft, (struct raft_index){index - 1}).n;
    key = hash64_mix(index, e->term.n);
    seen = map64_get(&w->raft.of[part].entries, key);
    if (seen == NULL) {
        seen = MEM_NEW(struct sim_entry_seen);
        *seen = (struct sim_entry_seen){hash, before};
        (void)map64_put(&w->raft.of[part].entries, key, seen);
        check_time(w, h, part, v, e);
        note_logged(w, part, e);
        return;
    }
    if (seen->hash != hash ||
        (before != 0 && seen->before_term != 0 && seen->before_term != before)) {
        sim_found(w, "log matching: n%u p%u has another entry at index %lu term %lu", h->id, part,
                  index, e->term.n);
    }
    seen->before_term = seen->before_term == 0 ? before : seen->before_term;
}

/* [R state machine safety], as far as the log shows it. */
static void check_commit(struct sim_world *w, struct sim_host *h, uint32_t part,
                         const struct node_group_view *v, uint64_t from)
{
    for (uint64_t i = from; i <= v->commit.n; i++) {
        struct sim_committed *c = committed_at(&w->raft.of[part], i);
        const struct raft_entry *e = raft_entry(v->raft, (struct raft_index){i});

        if (e == NULL) {
            continue;
        }
        if (c->term == 0) {
            c->term = e->term.n;
            c->hash = entry_hash(e);
            c->seen_in_term = v->term.n;
        } else if (c->term != e->term.n || c->hash != entry_hash(e)) {
            sim_found(w,
                      "state machine safety: p%u index %lu was committed in term %lu; n%u commits "
                      "term %lu there",
                      part, i, c->term, h->id, e->term.n);
            return;
        }
    }
}

void sim_check_raft_drop_replaced(struct sim_world *w)
{
    struct sim_history *h = &w->history;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < h->logged_count; i++) {
        const struct sim_logged *l = &h->logged[i];
        const struct sim_partition_check *p = &w->raft.of[l->log];
        uint64_t term = l->index < p->count ? p->committed[l->index].term : 0;

        if (term == 0 || term == l->term) {
            h->logged[kept++] = *l;
        }
    }
    h->logged_count = kept;
}

static void check_digest(struct sim_world *w, struct sim_host *h, uint32_t part,
                         const struct node_group_view *v)
{
    struct sim_committed *c;

    /* Where skipping is planted, the replicas must find it by their own comparing. */
    if (v->applied.n == 0 || sim_rot_in(w, h->id, part) || PLANTED(APPLY_SKIPPED)) {
        return;
    }
    c = committed_at(&w->raft.of[part], v->applied.n);
    if (c->digest_host == 0) {
        c->digest = v->digest;
        c->digest_host = h->id + 1;
    } else if (c->digest != v->digest) {
        sim_found(w, "p%u at index %lu: n%u has digest %lx, n%u had %lx", part, v->applied.n, h->id,
                  v->digest, c->digest_host - 1, c->digest);
    }
}

/* A follower took entries of an older term from its leader. Have enough of them the last one, and
 * nobody the leader's own, then only the rule of figure 8 keeps it from being committed. */
static void look_for_inherited(struct sim_world *w, uint32_t part, const struct node_group_view *v)
{
    struct sim_partition_check *p = &w->raft.of[part];
    struct node_group_view other;
    uint32_t have = 1, leader = UINT32_MAX; /* the leader has it */

    if (p->inherited_term >= v->term.n) {
        return;
    }
    for (uint32_t i = 0; i < w->opt.hosts; i++) {
        if (w->hosts[i].node == NULL || !node_group_view(w->hosts[i].node, part, &other) ||
            !other.here || other.raft == NULL || other.term.n != v->term.n) {
            continue;
        }
        if (other.role == RAFT_LEADER) {
            leader = i;
        } else {
            have += raft_term_at(other.raft, v->last).n == raft_term_at(v->raft, v->last).n;
        }
    }
    if (leader != UINT32_MAX && have > v->conf->voter_count / 2) {
        p->inherited_term = v->term.n;
        sim_fault_inherited(w, &w->hosts[leader], part, v->term.n);
    }
}

/* Nothing of what is checked: entries are replaced by those of a newer term alone. */
static bool changed(const struct sim_group_seen *s, const struct node_group_view *v)
{
    return s->term != v->term.n || s->commit != v->commit.n || s->applied != v->applied.n ||
           s->last != v->last.n || s->was_leader != (v->role == RAFT_LEADER) ||
           s->last_term != raft_term_at(v->raft, v->last).n;
}

static void check_replica(struct sim_world *w, struct sim_host *h, uint32_t part,
                          const struct node_group_view *v)
{
    struct sim_group_seen *s = &w->raft.seen[h->id][part];
    bool same_life = s->known && s->self == v->self.n;
    uint64_t from = v->first.n;

    if (same_life && !changed(s, v)) {
        return;
    }
    if (same_life) {
        if (v->term.n < s->term || v->commit.n < s->commit || v->applied.n < s->applied) {
            sim_found(w, "n%u p%u went back: term %lu>%lu commit %lu>%lu applied %lu>%lu", h->id,
                      part, s->term, v->term.n, s->commit, v->commit.n, s->applied, v->applied.n);
            return;
        }
        if (raft_term_at(v->raft, (struct raft_index){s->last}).n == s->last_term) {
            from = s->last + 1;
        }
        w->raft.installs += v->first.n > s->last + 1;
    }
    if (v->applied.n > v->commit.n || (v->commit.n > v->last.n)) {
        sim_found(w, "n%u p%u applied %lu commit %lu last %lu", h->id, part, v->applied.n,
                  v->commit.n, v->last.n);
        return;
    }
    if (v->role == RAFT_LEADER && (!same_life || !s->was_leader || s->term != v->term.n)) {
        check_leader(w, h, part, v); /* first: it names the cause of what the others see */
        check_complete(w, h, part, v);
    }
    if (v->role == RAFT_CANDIDATE && (!same_life || s->term != v->term.n)) {
        sim_fault_candidate(w, h, part, v->term.n);
    }
    if (v->role == RAFT_LEADER && v->conf->learner_count + v->conf->outgoing_count > 0 &&
        !raft_conf_settled(v->raft) && v->last.n != s->last) {
        sim_fault_member(w, h, part, v->last.n);
    }
    if (v->role == RAFT_FOLLOWER && v->leader.n != 0 && same_life && v->last.n > s->last &&
        raft_term_at(v->raft, v->last).n < v->term.n) {
        look_for_inherited(w, part, v);
    }
    for (uint64_t i = from < v->first.n ? v->first.n : from; i <= v->last.n; i++) {
        check_entry(w, h, part, v, i);
    }
    if (!same_life || v->commit.n > s->commit) {
        check_commit(w, h, part, v, same_life ? s->commit + 1 : v->first.n);
    }
    if (!same_life || v->applied.n > s->applied) {
        check_digest(w, h, part, v);
    }
    *s = (struct sim_group_seen){.known = true,
                                 .was_leader = v->role == RAFT_LEADER,
                                 .self = v->self.n,
                                 .term = v->term.n,
                                 .commit = v->commit.n,
                                 .applied = v->applied.n,
                                 .last = v->last.n,
                                 .last_term = raft_term_at(v->raft, v->last).n};
}

void sim_check_raft_turn(struct sim_world *w, struct sim_host *h)
{
    uint32_t count = node_partition_count(h->node);

    CHECK(count <= SIM_PARTITIONS_MAX);
    w->raft.view_count = count;
    for (uint32_t part = 0; part < count; part++) {
        CHECK(node_group_view(h->node, part, &w->raft.views[part]));
    }
    if (w->opt.bug == SIM_BUG_CANARY && h->turns == 1000) {
        sim_found(w, "canary: this checker fails on purpose");
    }
    for (uint32_t part = 0; part < count && !w->found; part++) {
        if (w->raft.views[part].here) {
            check_replica(w, h, part, &w->raft.views[part]);
        } else {
            w->raft.seen[h->id][part].known = false;
        }
    }
}

static bool one_leader(struct sim_world *w, uint32_t part, struct diag *why)
{
    uint64_t leader = 0, term = 0;
    uint32_t replicas = 0, wanted = sim_churn_wanted(w, part, 0);
    struct node_group_view v;

    for (uint32_t i = 0; i < w->opt.hosts; i++) {
        if (!node_group_view(w->hosts[i].node, part, &v) || !v.here) {
            continue;
        }
        replicas++;
        if (!sim_churn_places(w, part, i)) {
            diag_set(why, "p%u is still on n%u", part, i);
            return false;
        }
        if (v.rebuilding) {
            diag_set(why, "p%u is being rebuilt on n%u", part, i);
            return false;
        }
        if (v.leader.n == 0 || (leader != 0 && (v.leader.n != leader || v.term.n != term))) {
            diag_set(why, "p%u: n%u (raft %lx, %s, term %lu) believes in leader %lx, others in %lx",
                     part, i, v.self.n, raft_role_name(v.role), v.term.n, v.leader.n, leader);
            return false;
        }
        leader = v.leader.n;
        term = v.term.n;
        if (v.conf->voter_count != wanted || v.conf->outgoing_count != 0 ||
            v.conf->learner_count != 0) {
            diag_set(why, "p%u on n%u: %u voters, %u outgoing, %u learners; %u wanted", part, i,
                     v.conf->voter_count, v.conf->outgoing_count, v.conf->learner_count, wanted);
            return false;
        }
    }
    if (replicas != wanted) {
        diag_set(why, "p%u has %u replicas of %u", part, replicas, wanted);
        return false;
    }
    return true;
}

static uint32_t partitions_everywhere(struct sim_world *w, struct diag *why)
{
    for (uint32_t i = 0; i < w->opt.hosts; i++) {
        struct sim_host *h = &w->hosts[i];

        if (h->node == NULL) {
            diag_set(why, "n%u is down", i);
            return 0;
        }
        if (node_partition_count(h->node) != w->opt.partitions) {
            diag_set(why, "n%u knows of %u partitions", i, node_partition_count(h->node));
            return 0;
        }
        if (!node_ready(h->node)) {
            struct node_group_view v = {0};
            uint32_t part = 0;

            while (part < w->opt.partitions && node_group_view(h->node, part, &v) &&
                   v.leader.n != 0) {
                part++;
            }
            diag_set(why, "n%u is not ready: it knows no leader of p%u, which is%s here", i, part,
                     v.here ? "" : " not");
            return 0;
        }
    }
    return w->opt.partitions;
}

bool sim_check_raft_converged(struct sim_world *w, struct diag *why)
{
    uint32_t count = partitions_everywhere(w, why);

    for (uint32_t part = 0; part < count; part++) {
        if (!one_leader(w, part, why)) {
            return false;
        }
    }
    return count > 0 && sim_check_map_converged(w, why);
}

/* Those of the core agree on a leader among themselves; one that is being rebuilt may not know
 * it yet. */
static bool core_leads(struct sim_world *w, uint32_t part, struct diag *why)
{
    struct node_group_view v, leader = {0};

    for (uint32_t i = 0; i < w->opt.hosts; i++) {
        if (sim_live_in_core(w, i) && node_group_view(w->hosts[i].node, part, &v) && v.here &&
            v.role == RAFT_LEADER && v.term.n > leader.term.n) {
            leader = v;
        }
    }
    for (uint32_t i = 0; i < w->opt.hosts; i++) {
        if (sim_live_in_core(w, i) && node_group_view(w->hosts[i].node, part, &v) && v.here &&
            !v.rebuilding && (v.leader.n == 0 || v.leader.n != leader.self.n)) {
            diag_set(why, "p%u: n%u (%s, term %lu) believes in leader %lx; %lx leads term %lu",
                     part, i, raft_role_name(v.role), v.term.n, v.leader.n, leader.self.n,
                     leader.term.n);
            return false;
        }
    }
    return leader.self.n != 0;
}

bool sim_check_raft_core(struct sim_world *w, struct diag *why)
{
    for (uint32_t i = 0; i < w->opt.hosts; i++) {
        const struct node *n = w->hosts[i].node;

        if (sim_live_in_core(w, i) && (n == NULL || node_partition_count(n) == 0)) {
            diag_set(why, "n%u %s", i, n == NULL ? "is down" : "knows of no cluster");
            return false;
        }
    }
    for (uint32_t part = 0; part < w->opt.partitions; part++) {
        if (!core_leads(w, part, why)) {
            return false;
        }
    }
    return true;
}

bool sim_check_raft_settled(struct sim_world *w, struct diag *why)
{
    if (!sim_check_raft_converged(w, why)) {
        return false;
    }
    for (uint32_t part = 0; part < w->opt.partitions; part++) {
        struct node_group_view v, first = {0};

        for (uint32_t i = 0; i < w->opt.hosts; i++) {
            if (!node_group_view(w->hosts[i].node, part, &v) || !v.here) {
                continue;
            }
            if (!first.here) {
                first = v;
            }
            if (v.applied.n != first.applied.n || v.last.n != v.applied.n ||
                v.digest != first.digest || v.keys != first.keys) {
                diag_set(why, "p%u: n%u applied %lu last %lu digest %lx, another %lu %lu %lx", part,
                         i, v.applied.n, v.last.n, v.digest, first.applied.n, first.last.n,
                         first.digest);
                return false;
            }
        }
    }
    return true;
}
