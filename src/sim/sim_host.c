#include "sim/sim_host.h"

#include "sim/sim_fault.h"
#include "sim/sim_judge.h"
#include "sim/sim_world.h"
#include "store/snapfile.h"
#include "wire/wire.h"

#include <stdio.h>

static void host_proceed(struct sim_world *w, struct sim_host *h);
static void turn_event(struct sim_world *w, uint64_t host, uint64_t life);

void sim_host_peer_addr(uint32_t id, char out[NODE_ADDR_MAX])
{
    (void)snprintf(out, NODE_ADDR_MAX, "n%u:17000", id);
}

void sim_host_client_addr(uint32_t id, char out[NODE_ADDR_MAX])
{
    (void)snprintf(out, NODE_ADDR_MAX, "n%u:7000", id);
}

void sim_host_init(struct sim_world *w, uint32_t id)
{
    struct sim_host *h = &w->hosts[id];

    *h = (struct sim_host){.id = id, .rng = sim_dice(w, SIM_FOR_HOST, id), .odd_number = 1};
    h->clock.anchor_mono_us = prng_below(&h->rng, 1ULL << 40);
    if (w->opt.fault[SIM_FAULT_DRIFT]) {
        h->clock.drift_ppm = sim_clock_draw_ppm(&h->rng, w->opt.clock_base_ppm);
    }
    if (w->opt.fault[SIM_FAULT_CLOCKS_APART]) {
        h->clock.drift_ppm = sim_clock_draw_far_ppm(&h->rng);
    }
    if (w->opt.fault[SIM_FAULT_WALL_JUMP]) {
        h->clock.wall_offset_ms = (int64_t)prng_below(&h->rng, 20001) - 10000;
    }
    h->turn_delay_us = prng_between(&h->rng, 1, w->opt.turn_us);
    h->disk.copies = w->opt.disk_copies;
    h->disk.sync_lies = w->opt.bug == SIM_BUG_FSYNC_LIES;
}

static void inputs_clear(struct sim_inputs *in)
{
    for (size_t i = 0; i < in->count; i++) {
        buf_free(&in->at[i].data);
        mem_free(in->at[i].path);
    }
    in->count = 0;
}

static void host_forget_process(struct sim_host *h)
{
    inputs_clear(&h->inbox);
    inputs_clear(&h->taken);
    for (size_t i = h->effect_pos; i < h->effects.count; i++) {
        buf_free(&h->effects.at[i].data);
        if (h->effects.at[i].kind == NODE_DISK) { /* the op of other kinds is not set */
            buf_free(&h->effects.at[i].op.data);
        }
    }
    h->effects.count = h->effect_pos = 0;
    for (size_t i = 0; i < h->held_count; i++) {
        buf_free(&h->held[i].data);
    }
    h->held_count = 0;
    for (unsigned lane = 0; lane < DISK_LANE_COUNT; lane++) {
        for (size_t i = 0; i < h->lanes[lane].count; i++) {
            buf_free(&sim_lane_op(&h->lanes[lane], i)->data);
        }
        h->lanes[lane].count = 0;
    }
    h->ticket_count = 0;
    h->packets_waiting = 0;
    h->ticket_issued = h->ticket_durable = 0;
    h->stage = SIM_STAGE_IDLE;
    h->next_turn_us = 0;
    h->paused = h->stopping = h->clock_read = h->write_failed = false;
    h->write_fault = h->write_fault == SIM_WRITE_FAILS ? SIM_WRITE_AS_MEANT : h->write_fault;
    h->disk_stall_until_us = h->doze_us = 0;
}

void sim_host_free(struct sim_world *w, struct sim_host *h)
{
    (void)w;
    host_forget_process(h);
    if (h->node != NULL) {
        node_close(h->node);
        h->node = NULL;
    }
    sim_disk_free(&h->disk);
    mem_free(h->inbox.at);
    mem_free(h->taken.at);
    mem_free(h->held);
    mem_free(h->tickets);
    node_effects_free(&h->effects);
    for (unsigned lane = 0; lane < DISK_LANE_COUNT; lane++) {
        mem_free(h->lanes[lane].ops);
    }
}

/* --- turns --- */

static void schedule_turn(struct sim_world *w, struct sim_host *h, uint64_t at_us)
{
    if (h->node == NULL || h->paused || h->stage != SIM_STAGE_IDLE) {
        return;
    }
    if (h->next_turn_us != 0 && h->next_turn_us <= at_us) {
        return;
    }
    h->next_turn_us = at_us;
    sim_at(w, at_us, turn_event, h->id, h->life);
}

static void schedule_tick(struct sim_world *w, struct sim_host *h)
{
    uint64_t due = sim_clock_world_us(&h->clock, node_deadline_us(h->node));
    uint64_t latest = w->now_us + NODE_TICK_US;

    if (due > latest) {
        due = latest;
    }
    if (due <= w->now_us) {
        due = w->now_us + 1;
    }
    schedule_turn(w, h, due + prng_below(&h->rng, 200));
}

void sim_host_input(struct sim_world *w, struct sim_host *h, struct sim_input *in, bool wake)
{
    struct sim_inputs *box = &h->inbox;

    CHECK(h->node != NULL);
    MEM_GROW(box->at, box->count, box->cap);
    box->at[box->count++] = *in;
    if (wake) {
        schedule_turn(w, h, w->now_us + 1 + prng_below(&h->rng, h->turn_delay_us));
    }
}

static void resume_event(struct sim_world *w, uint64_t host, uint64_t life)
{
    struct sim_host *h = &w->hosts[host];

    if (h->life == life && h->paused && w->now_us >= h->paused_until_us) {
        sim_host_resume(w, h);
    }
}

static const char *const stage_words[] = {
    [SIM_STAGE_IDLE] = "between two turns",
    [SIM_STAGE_COLLECTED] = "after it collected what arrived and before it read its clocks",
    [SIM_STAGE_RUNNING] = "between two effects of a turn",
};

static void pause_until(struct sim_world *w, struct sim_host *h, uint64_t until_us)
{
    h->paused_since_us = h->paused ? h->paused_since_us : w->now_us;
    h->paused = true;
    h->paused_until_us = until_us;
    h->next_turn_us = 0;
    sim_at(w, until_us, resume_event, h->id, h->life);
}

/* A busy machine: the process waits for a processor. */
static bool maybe_nap(struct sim_world *w, struct sim_host *h)
{
    if (w->now_us >= h->starve_until_us || !sim_faults_on(w)) {
        return false;
    }
    h->napping = true;
    pause_until(w, h, w->now_us + 1 + prng_below(&h->rng, h->starve_us));
    return true;
}

void sim_host_pause(struct sim_world *w, struct sim_host *h, uint64_t for_us)
{
    if (h->node == NULL || (h->paused && h->paused_until_us >= w->now_us + for_us)) {
        return;
    }
    sim_say(w, SIM_LOG_SHORT, "n%u is stopped for %s, %s", h->id, sim_span(for_us).text,
            stage_words[h->stage]);
    if (sim_faults_on(w) && w->opt.fault[SIM_FAULT_PARTITION] && prng_chance(&h->rng, 1, 2)) {
        /* The most telling moment: its peers go on without it, its clients wait for it. */
        for (uint32_t i = 0; i < w->opt.hosts; i++) {
            sim_fault_cut(w, i, h->id, for_us + for_us / 4);
        }
    }
    h->napping = false;
    pause_until(w, h, w->now_us + for_us);
}

void sim_host_resume(struct sim_world *w, struct sim_host *h)
{
    if (h->node == NULL || !h->paused) {
        return;
    }
    h->paused = false;
    if (!h->napping) {
        sim_say(w, SIM_LOG_SHORT, "n%u goes on", h->id);
    }
    if (w->opt.fault[SIM_FAULT_CLOCKS_APART] && !h->napping) {
        sim_clock_stood(&h->clock, h->paused_since_us, w->now_us);
    }
    if (h->stage == SIM_STAGE_IDLE) {
        schedule_turn(w, h, w->now_us + 1);
    } else {
        host_proceed(w, h);
    }
}

static void turn_event(struct sim_world *w, uint64_t host, uint64_t life)
{
    struct sim_host *h = &w->hosts[host];

    if (h->life != life || h->node == NULL || h->paused || h->next_turn_us != w->now_us ||
        h->stage != SIM_STAGE_IDLE) {
        return;
    }
    h->next_turn_us = 0;
    host_proceed(w, h);
}

/* Whether an ambush strikes here: at this place of a turn, or, of the effects, before this one. */
static bool ambushed(struct sim_world *w, struct sim_host *h, enum sim_ambush_place place)
{
    const struct sim_ambush *a = &h->ambush;

    return a->fault != 0 && a->place == place && a->turns == 0 && sim_faults_on(w) &&
           (place != SIM_AMBUSH_EFFECT ||
            (h->effects.count > 0 && h->effect_pos == a->dice % (h->effects.count + 1)));
}

/* False: it did not strike, or the pause is not possible now. */
static bool spring(struct sim_world *w, struct sim_host *h, enum sim_ambush_place place)
{
    struct sim_ambush a = h->ambush;

    if (!ambushed(w, h, place)) {
        return false;
    }
    h->ambush = (struct sim_ambush){0};
    sim_fault_struck(w, a.fault);
    if (a.crash) {
        sim_say(w, SIM_LOG_SHORT, "n%u is struck in the middle of a turn, after %zu of %zu effects",
                h->id, h->effect_pos, h->effects.count);
        sim_host_crash(w, h, a.power);
        sim_host_start_in(w, h, a.for_us);
        return true;
    }
    sim_host_pause(w, h, a.for_us);
    return true;
}

/* Whether a pause was ordered for the most telling place of a turn. */
static bool maybe_doze(struct sim_world *w, struct sim_host *h)
{
    uint64_t us = h->doze_us;

    h->doze_us = 0;
    if (us == 0 || !sim_faults_on(w)) {
        return false;
    }
    sim_host_pause(w, h, us);
    return true;
}

static void read_clock(struct sim_world *w, struct sim_host *h)
{
    h->now = (struct node_time){.mono_us = sim_clock_mono_us(&h->clock, w->now_us),
                                .wall_ms = sim_clock_wall_ms(&h->clock, w->now_us)};
    sim_judge_wall(w, h->id, h->now.wall_ms);
}

/* --- tickets: which log writes are durable --- */

static struct sim_ticket *ticket_find(struct sim_host *h, uint64_t ticket)
{
    for (size_t i = 0; i < h->ticket_count; i++) {
        if (h->tickets[i].ticket == ticket) {
            return &h->tickets[i];
        }
    }
    return NULL;
}

static void ticket_issue(struct sim_world *w, struct sim_host *h, uint64_t ticket)
{
    struct sim_ticket *t = ticket_find(h, ticket);

    if (t == NULL) {
        if (ticket <= h->ticket_issued) {
            sim_found(w, "n%u: log ticket %lu issued after %lu: tickets must grow", h->id, ticket,
                      h->ticket_issued);
            return;
        }
        MEM_GROW(h->tickets, h->ticket_count, h->ticket_cap);
        t = &h->tickets[h->ticket_count++];
        *t = (struct sim_ticket){.ticket = ticket};
        h->ticket_issued = ticket;
    }
    t->open++;
    t->failed = false;
}

static void ticket_done(struct sim_host *h, uint64_t ticket, bool ok)
{
    struct sim_ticket *t = ticket_find(h, ticket);

    CHECK(t != NULL);
    CHECK(t->open > 0);
    t->open--;
    t->failed = t->failed || !ok;
    while (h->ticket_count > 0 && h->tickets[0].open == 0 && !h->tickets[0].failed) {
        h->ticket_durable = h->tickets[0].ticket;
        memmove(&h->tickets[0], &h->tickets[1], (h->ticket_count - 1) * sizeof h->tickets[0]);
        h->ticket_count--;
    }
}

/* --- the disk lanes --- */

static void disk_event(struct sim_world *w, uint64_t host, uint64_t life_lane);

static uint64_t disk_latency_us(struct sim_world *w, struct sim_host *h, const struct disk_op *op)
{
    bool syncs = op->sync || op->kind == DISK_SYNC || op->kind == DISK_ALLOCATE ||
                 op->kind == DISK_REPLACE || op->kind == DISK_RENAME;
    uint64_t us = 1 + prng_below(&h->rng, 2 * w->opt.disk_write_us) + op->data.len / 1000;

    if (syncs) {
        us += w->opt.disk_sync_us / 2 + prng_below(&h->rng, w->opt.disk_sync_us + 1);
    }
    if (sim_faults_on(w) && w->opt.fault[SIM_FAULT_SLOW_DISK] && prng_chance(&h->rng, 1, 500)) {
        us += prng_below(&h->rng, w->opt.fault_long_us);
    }
    if (h->disk_stall_until_us > w->now_us + us) {
        us = h->disk_stall_until_us - w->now_us;
    }
    return us;
}

static void lane_start(struct sim_world *w, struct sim_host *h, unsigned lane)
{
    if (h->lanes[lane].count > 0) {
        sim_in(w, disk_latency_us(w, h, sim_lane_op(&h->lanes[lane], 0)), disk_event, h->id,
               (uint64_t)h->life << 8 | lane);
    }
}

static const char *disk_word(const struct disk_op *op)
{
    switch (op->kind) {
    case DISK_WRITE:
        return op->sync ? "write and sync" : "write";
    case DISK_ALLOCATE:
        return "allocation";
    case DISK_SYNC:
        return "sync";
    case DISK_REPLACE:
        return "replacement";
    case DISK_RENAME:
        return "renaming";
    case DISK_UNLINK:
        return "removal";
    case DISK_READ:
        return "read";
    }
    UNREACHABLE("disk op kind");
}

static bool op_is_ticket(const struct disk_op *op)
{
    return op->lane == DISK_LANE_LOG && op->kind == DISK_WRITE && op->sync;
}

/* The twin is harmed by nothing that is not wrong with the disk itself: as full, as writable. */
static struct sim_disk *twin_of(struct sim_world *w, const struct sim_host *h)
{
    struct sim_disk *twin = &w->harm.twin;

    if (!sim_harm_is_on(w, h) || !w->harm.has_twin) {
        return NULL;
    }
    twin->full = h->disk.full;
    twin->read_only = h->disk.read_only;
    return twin;
}

/* The op as it was meant, on the twin of a harmed disk. */
static void run_on_twin(struct sim_world *w, struct sim_host *h, const struct disk_op *op)
{
    struct sim_disk *twin = twin_of(w, h);
    struct buf none = {0};

    if (twin != NULL && op->kind != DISK_READ) {
        enum err ignored = sim_disk_run(twin, op, &none);

        (void)ignored; /* as it is with the disk itself */
    }
}

/* A write that goes wrong and is reported as done. */
static void write_wrong(struct sim_world *w, struct sim_host *h, const struct disk_op *op)
{
    struct diag where = {{0}};
    bool done = true;

    run_on_twin(w, h, op);
    if (h->write_fault == SIM_WRITE_ELSEWHERE) {
        done = sim_disk_misdirect(&h->disk, &h->rng, op, &where);
        sim_say(w, SIM_LOG_SHORT, "n%u: a write lands at %s instead", h->id, where.text);
    } else {
        sim_disk_corrupt(&h->disk, &h->rng, op);
        sim_say(w, SIM_LOG_SHORT, "n%u: bytes change on their way to %s, at byte %lu", h->id,
                op->path, op->offset);
    }
    h->write_fault = SIM_WRITE_AS_MEANT;
    if (done) {
        sim_fault_wrote_wrong(w, h);
    } else { /* there was no other place */
        enum err err = sim_disk_run(&h->disk, op, NULL);

        CHECK(err == ERR_OK);
        sim_harm_cancel(w);
    }
}

static bool can_go_wrong(const struct sim_host *h, const struct disk_op *op)
{
    const struct sim_file *f = sim_disk_find(&h->disk, op->path);

    return op->kind == DISK_WRITE && op->data.len > 0 && !h->disk.full && !h->disk.read_only &&
           (h->write_fault != SIM_WRITE_ELSEWHERE || f != NULL);
}

/* Run an operation, as the faults that were ordered let it. */
static enum err run_op(struct sim_world *w, struct sim_host *h, const struct disk_op *op,
                       struct buf *read)
{
    if (h->write_fault == SIM_WRITE_AS_MEANT || !can_go_wrong(h, op)) {
        run_on_twin(w, h, op);
        return sim_disk_run(&h->disk, op, read);
    }
    if (h->write_fault != SIM_WRITE_FAILS) {
        write_wrong(w, h, op);
        return ERR_OK;
    }
    if (prng_chance(&h->rng, 1, 2)) { /* what a failed write left behind is unknown */
        enum err ignored = sim_disk_run(&h->disk, op, read);

        (void)ignored;
        run_on_twin(w, h, op);
    }
    h->write_fault = SIM_WRITE_AS_MEANT;
    sim_say(w, SIM_LOG_SHORT, "n%u: its disk reports an error for %s", h->id, op->path);
    return ERR_IO;
}

static void disk_event(struct sim_world *w, uint64_t host, uint64_t life_lane)
{
    struct sim_host *h = &w->hosts[host];
    struct sim_lane *l = &h->lanes[life_lane & 255];
    struct sim_input in = {.kind = SIM_IN_DISK};
    struct disk_op op;

    if (h->life != life_lane >> 8) {
        return;
    }
    CHECK(l->count > 0);
    op = *sim_lane_op(l, 0);
    l->first++;
    l->count--;
    in.number = op.token;
    in.err = run_op(w, h, &op, &in.data);
    if (in.err != ERR_OK) {
        in.path = mem_strndup(op.path, strlen(op.path));
    }
    sim_trace(w, 0xd15c + op.kind, hash64_mix(op.token, in.err));
    sim_say(w, SIM_LOG_FULL, "n%u: %s of %s is done: %zu bytes at %lu, number %lu, %s", h->id,
            disk_word(&op), op.path, op.data.len, op.offset, op.token, err_name(in.err));
    in.ticket = op_is_ticket(&op);
    in.read = op.kind == DISK_READ;
    if (in.ticket && in.err == ERR_OK) {
        struct sim_log_write *at = &h->log_writes[h->log_write_count++ % SIM_LOG_WRITES];

        *at = (struct sim_log_write){.offset = op.offset, .bytes = op.data.len, .at_us = w->now_us};
        memcpy(at->path, op.path, sizeof at->path);
    }
    buf_free(&op.data);
    sim_host_input(w, h, &in, true);
    lane_start(w, h, (unsigned)(life_lane & 255));
}

static void lane_grow(struct sim_lane *l)
{
    struct sim_lane old = *l;

    l->cap = old.cap == 0 ? 16 : old.cap * 2;
    l->ops = mem_alloc(l->cap * sizeof l->ops[0]);
    l->first = 0;
    for (size_t i = 0; i < old.count; i++) {
        l->ops[i] = *sim_lane_op(&old, i);
    }
    mem_free(old.ops);
}

static void lane_push(struct sim_world *w, struct sim_host *h, struct disk_op *op)
{
    struct sim_lane *l = &h->lanes[op->lane];

    CHECK(op->lane < DISK_LANE_COUNT);
    if (op_is_ticket(op)) {
        ticket_issue(w, h, op->token);
    }
    if (l->count == l->cap) {
        lane_grow(l);
    }
    *sim_lane_op(l, l->count++) = *op;
    op->data = (struct buf){0};
    if (l->count == 1) {
        lane_start(w, h, op->lane);
    }
}

/* --- effects --- */

static void send_now(struct sim_world *w, struct sim_host *h, struct node_effect *e)
{
    sim_trace(w, 0x5e0d + h->id, hash64_mix(e->conn, hash64(e->data.data, e->data.len)));
    sim_net_send(w, h, e->conn, &e->data);
}

/* Planted bugs: whether the frames carry a raft message of a kind whose gate the faulty driver
 * forgets. */
static bool bug_skips_gate(const struct sim_world *w, const struct node_effect *e)
{
    enum raft_msg_kind culprit =
        w->opt.bug == SIM_BUG_VOTE_BEFORE_FSYNC ? RAFT_MSG_VOTE_REPLY : RAFT_MSG_APPEND_REPLY;
    struct wire_entries entries = {0};
    struct wire_frame f;
    size_t at = 0;
    bool skip = false;

    if (w->opt.bug == SIM_BUG_GATES_IGNORED) {
        return true;
    }
    if (w->opt.bug != SIM_BUG_VOTE_BEFORE_FSYNC && w->opt.bug != SIM_BUG_ACK_BEFORE_FSYNC) {
        return false;
    }
    while (wire_next(e->data.data + at, e->data.len - at, &f) == ERR_OK) {
        struct reader r = reader_of(f.payload.data, f.payload.len);
        struct raft_msg m;
        uint32_t group;

        while (f.type == WIRE_RAFT && reader_left(&r) > 0 &&
               wire_get_raft(&r, &group, &m, &entries) == ERR_OK) {
            skip = skip || m.kind == culprit;
        }
        at += f.used;
    }
    wire_entries_free(&entries);
    return skip;
}

static void hold(struct sim_world *w, struct sim_host *h, struct node_effect *e)
{
    size_t pos = h->held_count;

    if (h->ticket_issued > 0 && e->gate > h->ticket_issued + 1) {
        sim_found(w, "n%u: a gate on ticket %lu, yet the newest log write is %lu", h->id, e->gate,
                  h->ticket_issued);
    }
    MEM_GROW(h->held, h->held_count, h->held_cap);
    while (pos > 0 && h->held[pos - 1].gate > e->gate) {
        h->held[pos] = h->held[pos - 1];
        pos--;
    }
    h->held[pos] = *e;
    e->data = (struct buf){0};
    h->held_count++;
}

static void release_held(struct sim_world *w, struct sim_host *h)
{
    size_t ready = 0;

    while (ready < h->held_count && h->held[ready].gate <= h->ticket_durable) {
        send_now(w, h, &h->held[ready]);
        ready++;
    }
    if (ready == 0) {
        return;
    }
    h->held_count -= ready;
    memmove(h->held, h->held + ready, h->held_count * sizeof h->held[0]);
}

static const char *effect_name(enum node_effect_kind kind)
{
    static const char *const names[] = {"send", "close", "dial", "read",  "disk",
                                        "log",  "ready", "stop", "packet"};

    return names[kind];
}

static void restart_event(struct sim_world *w, uint64_t host, uint64_t life)
{
    struct sim_host *h = &w->hosts[host];

    h->restarting = false;
    if (h->life == life && h->node == NULL && !h->stays_down) {
        sim_host_start(w, h);
    }
}

void sim_host_start_in(struct sim_world *w, struct sim_host *h, uint64_t delay_us)
{
    if (h->node == NULL) {
        h->restarting = true;
        sim_in(w, delay_us, restart_event, h->id, h->life);
    }
}

static void node_stopped(struct sim_world *w, struct sim_host *h, const struct node_effect *e)
{
    /* Before a node serves there is nothing it could keep read-only. */
    bool too_early = e->err == ERR_NO_SPACE && node_partition_count(h->node) == 0;
    bool refused = h->impostor && e->err == ERR_REFUSED; /* as it should be */
    bool allowed = h->stopping || too_early || refused || h->write_failed;

    h->impostor = h->impostor && !refused; /* the operator reads the advice: --join */

    sim_say(w, SIM_LOG_SHORT, "n%u ends: %s %s", h->id, err_name(e->err),
            e->err == ERR_OK ? "" : e->why.text);
    if (!allowed) {
        sim_found(w, "n%u stopped by itself: %s: %s", h->id, err_name(e->err), e->why.text);
    }
    sim_host_crash(w, h, prng_chance(&h->rng, 1, 4));
    sim_host_start_in(w, h, prng_between(&h->rng, 1000, 500000));
}

/* False: the process is gone. */
static bool run_effect(struct sim_world *w, struct sim_host *h, struct node_effect *e)
{
    sim_trace(w, 0xefec + e->kind, hash64_mix(h->id, e->conn));
    sim_say(w, SIM_LOG_FULL, "n%u wants: %s, connection %lu, %zu bytes, gate %lu", h->id,
            effect_name(e->kind), e->conn, e->data.len, e->gate);
    switch (e->kind) {
    case NODE_SEND:
        if (e->gate <= h->ticket_durable || bug_skips_gate(w, e)) {
            send_now(w, h, e);
        } else {
            hold(w, h, e);
        }
        return true;
    case NODE_CLOSE:
        sim_net_close(w, h, e->conn);
        return true;
    case NODE_DIAL:
        sim_net_dial(w, h, e->conn, e->addr);
        return true;
    case NODE_READ:
        sim_net_read(w, h, e->conn, e->on);
        return true;
    case NODE_DISK:
        sim_trace(w, 0xd15c,
                  hash64_mix(hash64(e->op.path, strlen(e->op.path)),
                             hash64(e->op.data.data, e->op.data.len)));
        if (strncmp(e->op.path, SNAPFILE_DIR "/", sizeof SNAPFILE_DIR) == 0) {
            sim_fault_snapshot_op(w, h, e->op.kind == DISK_SYNC);
        }
        lane_push(w, h, &e->op);
        return true;
    case NODE_LOG:
        sim_say(w, e->level >= NODE_LOG_WARN ? SIM_LOG_SHORT : SIM_LOG_FULL, "n%u says: %.*s",
                h->id, (int)e->data.len, (const char *)e->data.data);
        buf_free(&e->data);
        return true;
    case NODE_READY:
        sim_say(w, SIM_LOG_SHORT, "n%u serves: it knows a leader of every partition it has", h->id);
        if (h->impostor) {
            sim_found(w, "n%u lost its directory, and was taken back with --found", h->id);
        }
        h->founded = true;
        return true;
    case NODE_STOP:
        node_stopped(w, h, e);
        return false;
    case NODE_PACKET:
        sim_packet_send(w, h, &e->to, &e->data);
        return true;
    }
    UNREACHABLE("node effect kind");
}

static void feed_accepted(struct sim_host *h, const struct sim_input *in)
{
    char addr[NODE_ADDR_MAX] = "10.0.1.1:4000";

    if (in->place < SIM_HOSTS_MAX) {
        sim_host_peer_addr(in->place, addr);
    }
    node_accepted(h->node, in->number, in->conn_kind, addr);
}

static void feed_disk(struct sim_host *h, const struct sim_input *in)
{
    struct disk_done done;

    if (in->ticket) {
        ticket_done(h, in->number, in->err == ERR_OK);
    }
    h->write_failed = h->write_failed || (in->err == ERR_IO && !in->read);
    done.token = in->number;
    done.err = in->err;
    done.data = buf_slice(&in->data);
    done.why.text[0] = 0;
    if (in->err != ERR_OK) {
        diag_set(&done.why, "%s: simulated: %s", in->path, err_text(in->err));
    }
    node_disk_done(h->node, &done);
}

/* Whatever changed on the way must be dropped, and nothing else. */
static void feed_packet(struct sim_world *w, struct sim_host *h, const struct sim_input *in)
{
    struct swim_addr from = sim_packet_addr(in->place);
    struct node_gossip_counts before = node_gossip_counts(h->node), after;
    uint64_t dropped;
    bool listens; /* it may have stopped in this very turn, for its disk failed (seed 5577) */

    node_packet(h->node, &from, in->data.data, in->data.len);
    after = node_gossip_counts(h->node);
    dropped = after.dropped_sealed - before.dropped_sealed;
    listens = after.packets_in > before.packets_in;
    if (listens && in->harmed && dropped != 1) {
        sim_found(w, "n%u takes a packet from n%u that has changed on its way", h->id, in->place);
    } else if (!in->harmed && dropped != 0) {
        sim_found(w, "n%u drops a packet from n%u that is as it was sent", h->id, in->place);
    }
}

static void feed(struct sim_world *w, struct sim_host *h, struct sim_input *in)
{
    switch (in->kind) {
    case SIM_IN_ACCEPTED:
        feed_accepted(h, in);
        break;
    case SIM_IN_DIALED:
        node_dialed(h->node, in->number);
        break;
    case SIM_IN_CLOSED:
        node_closed(h->node, in->number, in->reason);
        break;
    case SIM_IN_RECEIVED:
        node_received(h->node, in->number, in->data.data, in->data.len);
        break;
    case SIM_IN_SENT:
        node_sent(h->node, in->number, in->unsent);
        break;
    case SIM_IN_DISK:
        feed_disk(h, in);
        mem_free(in->path);
        break;
    case SIM_IN_STOP:
        node_stop(h->node);
        break;
    case SIM_IN_PACKET:
        feed_packet(w, h, in);
        break;
    }
    buf_free(&in->data);
}

/* After a failed write nobody knows what the disk holds: the node stops at once, and says why. */
static void check_stops(struct sim_world *w, const struct sim_host *h)
{
    bool stops = !h->write_failed;

    for (size_t i = 0; i < h->effects.count && !stops; i++) {
        const struct node_effect *e = &h->effects.at[i];

        stops = e->kind == NODE_STOP && e->err != ERR_OK && e->why.text[0] != 0;
    }
    if (!stops) {
        sim_found(w, "n%u was told of a disk error, and goes on", h->id);
    }
}

static bool any_damaged(const struct sim_world *w)
{
    for (uint32_t i = 0; i < w->opt.hosts; i++) {
        if (w->hosts[i].damaged) {
            return true;
        }
    }
    return false;
}

/* The product repairs itself. What it repairs must have been broken by a fault. */
static void check_troubles(struct sim_world *w, const struct sim_host *h)
{
    struct node_troubles t = node_troubles(h->node);

    if (t.replicas_lost > 0 && !h->damaged) {
        sim_found(w, "n%u gave up %lu replicas as damaged, and nothing damaged its disk", h->id,
                  t.replicas_lost);
    }
    if (t.snapshots_refused > 0 && !any_damaged(w)) {
        sim_found(w, "n%u received a snapshot that is not whole", h->id);
    }
    if (t.maps_forked > 0) {
        sim_found(w, "n%u has seen the chain of maps fork", h->id);
    }
    if (t.peer_errors > 0) {
        sim_found(w, "n%u cannot read what a peer said, and no network changes bytes", h->id);
    }
}

static void check_node(struct sim_world *w, const struct sim_host *h)
{
    if (h->turns % 1024 == 0 && !sim_rot_in_host(w, h->id)) {
        node_check(h->node, NODE_CHECK_DEEP);
    } else if (h->turns % 16 == 0) {
        node_check(h->node, NODE_CHECK_BOOKS);
    } else if (h->effects.count > 0) { /* a turn without effects changed little */
        node_check(h->node, NODE_CHECK_STEP);
    }
}

static void run_node(struct sim_world *w, struct sim_host *h)
{
    node_begin(h->node, h->now);
    sim_churn_feed(w, h);
    for (size_t i = 0; i < h->taken.count; i++) {
        struct sim_input *in = &h->taken.at[i];

        /* The node may have closed the connection meanwhile. */
        if (in->kind == SIM_IN_DISK || in->kind == SIM_IN_STOP || in->kind == SIM_IN_PACKET ||
            sim_net_open(w, h, in->number, in->kind == SIM_IN_CLOSED)) {
            feed(w, h, in);
        } else {
            buf_free(&in->data);
        }
    }
    h->taken.count = 0;
    node_tick(h->node);
    node_end(h->node, &h->effects);
    h->effect_pos = 0;
    check_stops(w, h);
    h->turns++;
    w->turns++;
    sim_trace(w, 0x7019, hash64_mix(h->id, h->effects.count));
    check_node(w, h);
    check_troubles(w, h);
    sim_check_raft_turn(w, h);
    sim_check_gossip_turn(w, h);
    sim_check_map_turn(w, h);
    sim_rot_turn(w, h);
}

/* Run what is left of the effects. False: crashed, or paused in between. */
static bool run_effects(struct sim_world *w, struct sim_host *h)
{
    uint32_t life = h->life;

    while (h->effect_pos < h->effects.count) {
        if (spring(w, h, SIM_AMBUSH_EFFECT) || !run_effect(w, h, &h->effects.at[h->effect_pos]) ||
            h->life != life) {
            return false;
        }
        h->effect_pos++;
    }
    if (spring(w, h, SIM_AMBUSH_EFFECT)) {
        return false;
    }
    h->effects.count = h->effect_pos = 0;
    return true;
}

static void take_inputs(struct sim_host *h)
{
    struct sim_inputs empty = h->taken;

    CHECK(empty.count == 0);
    h->taken = h->inbox;
    h->inbox = empty;
    h->packets_waiting = 0;
}

static void host_proceed(struct sim_world *w, struct sim_host *h)
{
    bool early = w->opt.bug == SIM_BUG_LEASE_AFTER_PAUSE;

    if (h->stage == SIM_STAGE_IDLE) {
        if (early) { /* planted: the clock first, what arrived meanwhile later */
            read_clock(w, h);
        } else {
            take_inputs(h);
        }
        h->stage = SIM_STAGE_COLLECTED;
        h->ambush.turns -= h->ambush.turns > 0;
        if (maybe_doze(w, h) || spring(w, h, SIM_AMBUSH_COLLECTED) || maybe_nap(w, h)) {
            return;
        }
    }
    if (h->stage == SIM_STAGE_COLLECTED) {
        if (early) {
            take_inputs(h);
        } else {
            read_clock(w, h);
        }
        run_node(w, h);
        if (w->found) {
            return;
        }
        h->stage = SIM_STAGE_RUNNING;
        release_held(w, h);
        if (spring(w, h, SIM_AMBUSH_RAN) || maybe_nap(w, h)) {
            return;
        }
    }
    if (run_effects(w, h)) {
        h->stage = SIM_STAGE_IDLE;
        schedule_tick(w, h);
        if (h->inbox.count > 0) {
            schedule_turn(w, h, w->now_us + 1 + prng_below(&h->rng, h->turn_delay_us));
        }
    }
}

/* --- start and end --- */

static void host_config(struct sim_world *w, struct sim_host *h, struct node_config *cfg)
{
    node_config_defaults(cfg);
    sim_host_client_addr(h->id, cfg->client_addr);
    sim_host_peer_addr(h->id, cfg->peer_addr);
    cfg->start = h->wiped && !h->impostor ? NODE_START_JOIN : NODE_START_FOUND;
    if (w->opt.hosts == 1) {
        cfg->start = NODE_START_BOOTSTRAP;
    }
    cfg->seed_count = w->opt.hosts;
    for (uint32_t i = 0; i < w->opt.hosts; i++) {
        sim_host_peer_addr(i, cfg->seeds[i]);
    }
    cfg->partitions = w->opt.partitions;
    cfg->replicas = w->opt.replicas;
    cfg->heartbeat_us = w->opt.heartbeat_us;
    cfg->election_us_min = w->opt.election_us_min;
    cfg->election_us_max = w->opt.election_us_max;
    cfg->request_timeout_us = w->opt.request_timeout_us;
    cfg->lease_reads = w->opt.lease_reads;
    cfg->segment_bytes = w->opt.segment_bytes;
    cfg->checkpoint_log_bytes = w->opt.checkpoint_log_bytes;
    cfg->log_memory_bytes = w->opt.log_memory_bytes;
    cfg->append_bytes_max = w->opt.append_bytes_max;
    cfg->inflight_bytes_max = w->opt.inflight_bytes_max;
    cfg->inflight_count_max = w->opt.inflight_count_max;
    cfg->output_soft_bytes = w->opt.output_soft_bytes;
    cfg->snap_chunk_bytes = w->opt.snap_chunk_bytes;
    cfg->snap_piece_bytes = w->opt.snap_piece_bytes;
    cfg->snap_window = w->opt.snap_window;
    cfg->digest_us = w->opt.digest_us;
    cfg->scrub_rest_us = w->opt.scrub_rest_us;
    if (w->opt.gossip) {
        cfg->packet_addr = sim_packet_addr(h->id);
        cfg->gossip_probe_us = w->opt.gossip_probe_us;
        cfg->gossip_suspicion = w->opt.gossip_suspicion;
    }
}

/* The directory cannot be opened. Where its metadata was harmed, the node says what to do, and
 * its operator does it. */
static void refused(struct sim_world *w, struct sim_host *h, enum err err, const struct diag *why,
                    bool allowed)
{
    h->node = NULL;
    if (!allowed) {
        sim_found(w, "n%u cannot open its directory: %s: %s", h->id, err_name(err), why->text);
        return;
    }
    sim_say(w, SIM_LOG_SHORT, "n%u refuses to start: %s", h->id, why->text);
    sim_host_emptied(w, h);
    sim_host_start_in(w, h, 1000);
}

void sim_host_start(struct sim_world *w, struct sim_host *h)
{
    struct disk_boot boot = sim_disk_boot(&h->disk);
    struct node_config cfg;
    struct diag why = {0};
    uint8_t entropy[32];
    enum err err;
    bool harmed;

    CHECK(h->node == NULL);
    h->dark = false;
    host_config(w, h, &cfg);
    for (unsigned i = 0; i < 4; i++) {
        store_u64le(entropy + 8 * i, prng_next(&h->rng));
    }
    read_clock(w, h);
    sim_trace(w, 0x57a27, sim_disk_hash(&h->disk));
    err = node_open(&cfg, &boot, h->now, entropy, &h->node, &why);
    harmed = sim_harm_is_on(w, h) && !w->harm.armed && !w->harm.started;
    if (harmed && !sim_harm_judge_start(w, h, &cfg, entropy, &why)) {
        refused(w, h, err, &why, true);
        return;
    }
    if (err != ERR_OK) {
        refused(w, h, err, &why, false);
        return;
    }
    h->life++;
    h->odd_number = 1;
    sim_say(w, SIM_LOG_SHORT, "n%u starts, with %lu bytes on its disk", h->id,
            sim_disk_bytes(&h->disk));
    sim_check_raft_started(w, h);
    sim_check_gossip_started(w, h);
    sim_check_map_started(w, h);
    sim_fault_started(w, h);
    schedule_turn(w, h, w->now_us + 1);
}

void sim_host_emptied(struct sim_world *w, struct sim_host *h)
{
    CHECK(h->node == NULL);
    sim_disk_wipe(&h->disk);
    if (twin_of(w, h) != NULL) {
        sim_disk_wipe(&w->harm.twin); /* there is nothing left to compare */
        w->harm.has_twin = false;
    }
    h->wiped = true;
    h->wipes++;
    h->log_write_count = 0;
}

void sim_host_crash(struct sim_world *w, struct sim_host *h, bool power)
{
    const struct disk_op *flying[DISK_LANE_COUNT];
    size_t flying_count = 0;
    struct sim_disk *twin = twin_of(w, h);

    if (h->node == NULL) {
        return;
    }
    sim_say(w, SIM_LOG_SHORT, "n%u stops answering: %s, %zu writes not synced", h->id,
            power ? "power failure" : "its process ends", sim_disk_unsynced(&h->disk));
    for (unsigned lane = 0; lane < DISK_LANE_COUNT; lane++) {
        if (h->lanes[lane].count > 0) {
            flying[flying_count++] = sim_lane_op(&h->lanes[lane], 0);
        }
    }
    if (twin != NULL) {
        struct prng same = h->rng; /* both suffer alike */

        sim_disk_crash(twin, &same, power, flying, flying_count);
    }
    sim_disk_crash(&h->disk, &h->rng, power, flying, flying_count);
    h->dark = power;
    sim_net_host_down(w, h, power);
    node_close(h->node);
    h->node = NULL;
    h->life++;
    sim_rot_gone(w, h);
    host_forget_process(h);
    if (power) { /* the clock counts from boot */
        sim_clock_drift(&h->clock, w->now_us, h->clock.drift_ppm);
        h->clock.anchor_mono_us = prng_below(&h->rng, 1000000);
    }
}

void sim_host_stop(struct sim_world *w, struct sim_host *h)
{
    struct sim_input in = {.kind = SIM_IN_STOP};

    if (h->node != NULL && !h->stopping) {
        sim_say(w, SIM_LOG_SHORT, "n%u is asked to stop, and will be started again", h->id);
        h->stopping = true;
        sim_host_input(w, h, &in, true);
    }
}
