/* raft_flush.c - what the driver must do, in the order it must do it.
 *
 * First the write, then the messages that may wait for it, then what the state
 * machine and the clients are to learn. Nothing is said in a term that is not
 * durable: every message waits at least for the hard state.
 */
#include "core/raft/raft_internal.h"

void raft_effects_free(struct raft_effects *fx)
{
    mem_free(fx->at);
    *fx = (struct raft_effects){0};
}

struct raft_effect *raft_effect_add(struct raft_effects *out, enum raft_effect_kind kind)
{
    struct raft_effect *e;

    MEM_GROW(out->at, out->count, out->cap);
    e = &out->at[out->count++];
    e->kind = kind;
    e->gate = 0;
    return e;
}

struct raft_msg *raft_send(struct raft *r, enum raft_msg_kind kind, struct raft_id to)
{
    struct raft_msg *m;

    MEM_GROW(r->outbox, r->outbox_count, r->outbox_cap);
    m = &r->outbox[r->outbox_count++];
    *m = (struct raft_msg){.kind = kind, .from = r->cfg.self, .to = to, .term = r->hard.term};
    r->work = true;
    return m;
}

uint64_t raft_hard_gate(const struct raft *r)
{
    if (r->hard_dirty) {
        return UINT64_MAX; /* not even given to the driver */
    }
    return r->hard_ticket > r->durable_ticket ? r->hard_ticket : 0;
}

static void list_persist(struct raft *r, struct raft_effects *out)
{
    uint64_t last = raft_log_last(&r->log), from = r->log.handed + 1;
    struct raft_effect *e;

    if (!r->hard_dirty && from > last) {
        return;
    }
    CHECK(r->flush_ticket > r->durable_ticket); /* a write that is over cannot be joined */
    e = raft_effect_add(out, RAFT_PERSIST);
    e->gate = r->flush_ticket;
    e->u.persist.hard_changed = r->hard_dirty;
    e->u.persist.hard = r->hard;
    e->u.persist.entry_count = (uint32_t)(last + 1 - from);
    e->u.persist.entries = NULL;
    if (from <= last) {
        e->u.persist.entries = raft_log_at(&r->log, from);
        raft_log_hand_out(&r->log, r->flush_ticket);
    }
    if (r->hard_dirty) {
        r->hard_dirty = false;
        r->hard_ticket = r->flush_ticket;
    }
}

static void list_ack(struct raft *r, struct raft_ack *ack, uint64_t match, struct raft_effects *out)
{
    struct raft_effect *e;

    if (!ack->wanted) {
        return;
    }
    CHECK(r->role == RAFT_FOLLOWER);
    CHECK(r->leader.n != 0);
    e = raft_effect_add(out, RAFT_SEND);
    e->gate = raft_max(raft_hard_gate(r), raft_log_gate(&r->log, match));
    if (PLANTED(ACK_UNGATED)) {
        e->gate = raft_hard_gate(r);
    }
    e->u.msg = (struct raft_msg){
        .kind = RAFT_MSG_APPEND_REPLY,
        .from = r->cfg.self,
        .to = r->leader,
        .term = r->hard.term,
        .index.n = match,
        .stamp_us = ack->stamp_us,
        .round = ack->round,
    };
    ack->wanted = false;
}

static void list_messages(struct raft *r, struct raft_effects *out)
{
    uint64_t gate = raft_hard_gate(r);

    for (uint32_t i = 0; i < r->outbox_count; i++) {
        struct raft_effect *e = raft_effect_add(out, RAFT_SEND);

        e->gate = gate;
        e->u.msg = r->outbox[i];
    }
    r->outbox_count = 0;
    list_ack(r, &r->ack_empty, raft_min(r->ack_empty.match.n, r->log.durable), out);
    list_ack(r, &r->ack_entries, r->ack_entries.match.n, out);
}

static void list_snapshots(struct raft *r, struct raft_effects *out)
{
    for (uint32_t i = 0; i < r->peer_count; i++) {
        if (r->peers[i].snapshot_listed) {
            r->peers[i].snapshot_listed = false;
            raft_effect_add(out, RAFT_NEED_SNAPSHOT)->u.id = r->peers[i].id;
        }
    }
}

static void list_news(struct raft *r, struct raft_effects *out)
{
    if (r->truncated_from != 0) {
        raft_effect_add(out, RAFT_TRUNCATED)->u.index.n = r->truncated_from;
        r->truncated_from = 0;
    }
    if (r->conf_changed) {
        (void)raft_effect_add(out, RAFT_CONF_CHANGED);
        r->conf_changed = false;
    }
    if (r->commit.n > r->listed_commit.n) {
        raft_effect_add(out, RAFT_COMMITTED)->u.index = r->commit;
        r->listed_commit = r->commit;
    }
    for (uint32_t i = 0; i < r->lost_count; i++) {
        raft_effect_add(out, RAFT_READ_LOST)->u.read.token = r->lost[i];
    }
    r->lost_count = 0;
    raft_reads_list(r, out);
    if (r->role == RAFT_LEADER) {
        list_snapshots(r, out);
    }
    if (r->role != r->listed_role || r->leader.n != r->listed_leader.n ||
        r->hard.term.n != r->listed_term.n) {
        (void)raft_effect_add(out, RAFT_ROLE_CHANGED);
        r->listed_role = r->role;
        r->listed_leader = r->leader;
        r->listed_term = r->hard.term;
    }
}

void raft_flush(struct raft *r, uint64_t now_us, uint64_t ticket, struct raft_effects *out)
{
    out->count = 0;
    CHECK(r->started);
    CHECK(ticket >= r->flush_ticket);
    raft_time(r, now_us);
    if (!r->work && (r->role != RAFT_LEADER || r->now_us < r->heartbeat_due_us)) {
        return;
    }
    r->work = false;
    r->flush_ticket = ticket;
    list_persist(r, out);
    list_messages(r, out);
    if (r->role == RAFT_LEADER) {
        raft_reads_begin_round(r);
        raft_replicate(r, out);
    }
    list_news(r, out);
}
