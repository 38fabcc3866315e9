#include "sim/sim_check_internal.h"

#include "base/base_hash.h"
#include "base/base_mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { STATES_MAX = 1000000, FOUND_MAX = 10, SHOWN_WORD_BYTES = 60 };

void sim_check_free(struct sim_check_result *result)
{
    buf_free(&result->findings);
    buf_free(&result->notes);
}

static void put_sentence(struct buf *b, const char *fmt, va_list ap)
{
    char text[1024];

    (void)vsnprintf(text, sizeof text, fmt, ap);
    buf_printf(b, "%s\n", text);
}

void check_found(struct check *c, const char *fmt, ...)
{
    va_list ap;

    c->out->found++;
    va_start(ap, fmt);
    put_sentence(&c->out->findings, fmt, ap);
    va_end(ap);
}

void check_note(struct check *c, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    put_sentence(&c->out->notes, fmt, ap);
    va_end(ap);
}

void check_show(struct check *c, const struct sim_op *op, const char *mark)
{
    buf_printf(&c->out->findings, "  %s%u: ", mark, op->id);
    sim_history_put_op(&c->out->findings, c->h, op, SHOWN_WORD_BYTES);
    put_u8(&c->out->findings, '\n');
}

/* --- one by one --- */

static void judge_reply(struct check *c, struct judged *j)
{
    const struct sim_item *item = &c->h->items[j->op->item];
    struct slice error = sim_op_error(c->h, j->op);

    j->kind = JUDGED_KNOWN;
    if (error.len > 0) {
        switch (sim_error_of(error)) {
        case SIM_ERROR_REFUSED:
            j->kind = JUDGED_REFUSED;
            return;
        case SIM_ERROR_DOUBT:
            j->kind = JUDGED_UNKNOWN;
            return;
        case SIM_ERROR_ANSWER:
            j->kind = j->cmd == NULL || judged_is_all(j) ? JUDGED_REFUSED : JUDGED_KNOWN;
            return;
        case SIM_ERROR_STRANGE:
            j->kind = JUDGED_UNKNOWN;
            break;
        }
        check_found(c,
                    "op %u was answered with an error that is none of the documented:", j->op->id);
        check_show(c, j->op, "");
    } else if (j->cmd != NULL && strchr(j->cmd->kinds, (int)item->kind) == NULL) {
        check_found(c, "op %u: %s has no reply of that kind:", j->op->id, j->cmd->name);
        check_show(c, j->op, "");
        j->kind = JUDGED_UNKNOWN;
    }
}

static void judge_op(struct check *c, struct judged *j)
{
    struct slice name = sim_op_word(c->h, j->op, 0);

    j->cmd = sim_command_find(name);
    j->latest_us = UINT64_MAX;
    if (j->cmd != NULL) {
        j->keys = sim_command_keys(j->cmd, j->op->words);
    }
    if (j->op->outcome == SIM_OP_REPLIED) {
        judge_reply(c, j);
    } else {
        j->kind = JUDGED_UNKNOWN;
    }
    c->out->replied += j->kind == JUDGED_KNOWN;
    c->out->refused += j->kind == JUDGED_REFUSED;
    c->out->unknown += j->kind == JUDGED_UNKNOWN;
    if (j->cmd == NULL) {
        j->kind = JUDGED_NOT;
        if (!sim_command_keyless(name)) {
            c->out->unjudged++;
            check_note(c, "op %u: no model knows %.*s; what it changes is not accounted for",
                       j->op->id, (int)name.len, (const char *)name.data);
        }
    } else if (j->kind == JUDGED_KNOWN && j->cmd->arity > 0 &&
               j->op->words != (uint32_t)j->cmd->arity) {
        check_found(c, "op %u: %s with %u words was accepted:", j->op->id, j->cmd->name,
                    j->op->words);
        check_show(c, j->op, "");
        j->kind = JUDGED_NOT;
    } else if ((int)j->op->words < abs(j->cmd->arity)) {
        j->kind = JUDGED_NOT; /* no server ran it */
    }
}

static bool crosses_slots(const struct check *c, const struct judged *j)
{
    for (uint32_t i = 1; i < j->keys.count; i++) {
        if (hashslot_of_key(sim_blob_get(&c->h->blobs, judged_key(c, j, i))) !=
            hashslot_of_key(sim_blob_get(&c->h->blobs, judged_key(c, j, 0)))) {
            return true;
        }
    }
    return false;
}

/* A cluster refuses keys of several slots, whether or not the client heard of it. Were such a
 * command to tie its keys together, the order of a connection would be asked for between
 * partitions, where none is promised (seed 10073 of 660fdfb). A server that did answer one is
 * none that refuses them. */
static void leave_out_crossing(struct check *c)
{
    for (uint32_t i = 0; i < c->h->count; i++) {
        if (c->ops[i].kind == JUDGED_KNOWN && crosses_slots(c, &c->ops[i])) {
            return;
        }
    }
    for (uint32_t i = 0; i < c->h->count; i++) {
        if (c->ops[i].kind == JUDGED_UNKNOWN && crosses_slots(c, &c->ops[i])) {
            c->ops[i].kind = JUDGED_NOT;
        }
    }
}

struct sent {
    struct judged *j;
    uint32_t pos;
};
static int by_conn(const void *a, const void *b)
{
    const struct sent *x = a, *y = b;

    if (x->j->op->conn != y->j->op->conn) {
        return x->j->op->conn < y->j->op->conn ? -1 : 1;
    }
    return x->pos < y->pos ? -1 : x->pos > y->pos;
}

/* A connection is served in order: what needed no reply has happened when a later reply
 * comes, or never will. */
static void bound_silent(struct check *c)
{
    struct sent *sent;
    uint64_t next = UINT64_MAX;
    bool any = false;

    for (uint32_t i = 0; i < c->h->count && !any; i++) {
        any = c->h->ops[i].outcome == SIM_OP_SILENT;
    }
    if (!any) { /* the simulator's own histories have none, and are long */
        return;
    }
    sent = mem_alloc((c->h->count + 1) * sizeof sent[0]);
    for (uint32_t i = 0; i < c->h->count; i++) {
        sent[i] = (struct sent){&c->ops[i], i};
    }
    qsort(sent, c->h->count, sizeof sent[0], by_conn);
    for (uint32_t i = c->h->count; i-- > 0;) {
        struct judged *j = sent[i].j;

        if (i + 1 < c->h->count && j->op->conn != sent[i + 1].j->op->conn) {
            next = UINT64_MAX;
        }
        if (j->op->outcome == SIM_OP_REPLIED) {
            next = j->op->return_us;
        } else if (j->op->outcome == SIM_OP_SILENT) {
            j->latest_us = next;
        }
    }
    mem_free(sent);
}

/* --- clocks --- */

static uint64_t clamp_ms(uint64_t us, int64_t offset_ms)
{
    int64_t ms = (int64_t)(us / 1000) + offset_ms;

    return ms < 0 ? 0 : (uint64_t)ms;
}

/* When the node's next line begins. */
static uint64_t wall_end_us(const struct sim_history *h, uint32_t at)
{
    uint64_t end = UINT64_MAX;

    for (uint32_t i = 0; i < h->wall_count; i++) {
        bool later = h->walls[i].at_us > h->walls[at].at_us ||
                     (h->walls[i].at_us == h->walls[at].at_us && i > at);

        if (later && h->walls[i].node == h->walls[at].node && h->walls[i].at_us < end) {
            end = h->walls[i].at_us;
        }
    }
    return end;
}

void check_wall(const struct check *c, uint64_t call_us, uint64_t return_us, uint64_t *lo_ms,
                uint64_t *hi_ms)
{
    const struct sim_history *h = c->h;

    *lo_ms = h->wall_count == 0 ? 0 : UINT64_MAX;
    *hi_ms = h->wall_count == 0 || return_us == UINT64_MAX ? UINT64_MAX : 0;
    for (uint32_t i = 0; i < h->wall_count; i++) {
        const struct sim_wall *wall = &h->walls[i];
        uint64_t end_us = c->wall_end_us[i];

        if (wall->at_us > return_us) {
            continue;
        }
        /* A logged time never runs back, so the highest that any clock ever showed may count;
         * but it is never behind the clock of whoever logs it. */
        if (*hi_ms != UINT64_MAX) {
            uint64_t most = clamp_ms(end_us < return_us ? end_us : return_us, wall->most_ms) + 1;

            *hi_ms = most > *hi_ms ? most : *hi_ms;
        }
        if (end_us >= call_us) {
            uint64_t least =
                clamp_ms(wall->at_us > call_us ? wall->at_us : call_us, wall->least_ms);

            *lo_ms = least < *lo_ms ? least : *lo_ms;
        }
    }
    *lo_ms = *lo_ms == UINT64_MAX ? 0 : *lo_ms;
}

/* --- all --- */

void sim_check_history(const struct sim_history *h, const struct sim_check_options *options,
                       struct sim_check_result *result)
{
    struct check c = {.h = h, .opt = *options, .out = result};

    *result = (struct sim_check_result){0};
    c.opt.states_max = c.opt.states_max == 0 ? STATES_MAX : c.opt.states_max;
    c.opt.found_max = c.opt.found_max == 0 ? FOUND_MAX : c.opt.found_max;
    c.ops = mem_zalloc((h->count + 1) * sizeof c.ops[0]);
    c.wall_end_us = mem_zalloc((h->wall_count + 1) * sizeof c.wall_end_us[0]);
    for (uint32_t i = 0; i < h->wall_count; i++) {
        c.wall_end_us[i] = wall_end_us(h, i);
    }
    for (uint32_t i = 0; i < h->count; i++) {
        c.ops[i].op = &h->ops[i];
        judge_op(&c, &c.ops[i]);
    }
    leave_out_crossing(&c);
    bound_silent(&c);
    if (!check_done(&c)) {
        check_groups(&c);
    }
    if (!check_done(&c)) {
        check_keyspace(&c);
    }
    if (!check_done(&c)) {
        check_fields(&c);
    }
    mem_free(c.ops);
    mem_free(c.wall_end_us);
}
