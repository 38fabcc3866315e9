#include "sim/sim_history.h"

#include "base/base_hash.h"
#include "base/base_mem.h"

#define SIM_OP_NAME(id, name) name,
static const char *const op_names[] = {SIM_OP_LIST(SIM_OP_NAME)};

const char *sim_op_name(enum sim_op_kind kind)
{
    CHECK(kind < SIM_OP_KINDS);
    return op_names[kind];
}

bool sim_op_writes(enum sim_op_kind kind)
{
    switch (kind) {
    case SIM_OP_GET:
    case SIM_OP_COUNT:
    case SIM_OP_TEXT:
    case SIM_OP_STRLEN:
    case SIM_OP_HGET:
    case SIM_OP_HMGET:
    case SIM_OP_MGET:
        return false;
    case SIM_OP_SET:
    case SIM_OP_SETNX:
    case SIM_OP_SET_NX:
    case SIM_OP_GETSET:
    case SIM_OP_DEL:
    case SIM_OP_INCRBY:
    case SIM_OP_APPEND:
    case SIM_OP_HSET:
    case SIM_OP_HDEL:
    case SIM_OP_MSET:
    case SIM_OP_SET_FIRST:
        return true;
    case SIM_OP_KINDS:
        break;
    }
    UNREACHABLE("op kind");
}

void sim_history_free(struct sim_history *h)
{
    mem_free(h->ops);
    *h = (struct sim_history){0};
}

struct sim_op *sim_history_push(struct sim_history *h)
{
    if (h->count == h->cap) {
        h->cap = h->cap == 0 ? 1024 : h->cap * 2;
        h->ops = mem_realloc(h->ops, h->cap * sizeof h->ops[0]);
    }
    h->ops[h->count] = (struct sim_op){.id = h->count + 1, .return_us = UINT64_MAX};
    return &h->ops[h->count++];
}

uint64_t sim_chain(uint64_t chain, uint64_t token)
{
    return hash64_mix(chain, token) | 1; /* never that of an empty string */
}

/* What an OK op must have returned. */
static bool gives(const struct sim_op *op, unsigned words, uint64_t r0, uint64_t r1, uint64_t r2)
{
    const uint64_t want[SIM_STATE_WORDS] = {r0, r1, r2};

    if (op->outcome != SIM_OP_OK) {
        return true;
    }
    for (unsigned i = 0; i < SIM_STATE_WORDS; i++) {
        if ((words & (1U << i)) != 0 && op->r[i] != want[i]) {
            return false;
        }
    }
    return true;
}

bool sim_model_step(struct sim_state *state, const struct sim_op *op)
{
    uint64_t *s = state->s;
    uint64_t old = s[0];
    uint64_t f = s[op->field];

    switch (op->kind) {
    case SIM_OP_GET:
        return gives(op, 1, s[0], 0, 0);
    case SIM_OP_SET:
    case SIM_OP_SET_FIRST:
        s[0] = op->a[0];
        return true;
    case SIM_OP_SETNX:
    case SIM_OP_SET_NX:
        s[0] = old == 0 ? op->a[0] : old;
        return gives(op, 1, old == 0, 0, 0);
    case SIM_OP_GETSET:
        s[0] = op->a[0];
        return gives(op, 1, old, 0, 0);
    case SIM_OP_DEL:
        s[0] = 0;
        return gives(op, 1, old != 0, 0, 0);
    case SIM_OP_INCRBY:
        s[0] += op->a[0];
        s[1] = 1;
        return gives(op, 1, s[0], 0, 0);
    case SIM_OP_COUNT:
        return gives(op, 3, s[0], s[1], 0);
    case SIM_OP_APPEND:
        s[0] = sim_chain(s[0], op->a[0]);
        s[1] += op->a[1];
        return gives(op, 1, s[1], 0, 0);
    case SIM_OP_TEXT:
        return gives(op, 3, s[0], s[1], 0);
    case SIM_OP_STRLEN:
        return gives(op, 2, 0, s[1], 0);
    case SIM_OP_HSET:
        s[op->field] = op->a[0];
        return gives(op, 1, f == 0, 0, 0);
    case SIM_OP_HGET:
        return gives(op, 1, f, 0, 0);
    case SIM_OP_HDEL:
        s[op->field] = 0;
        return gives(op, 1, f != 0, 0, 0);
    case SIM_OP_HMGET:
        return gives(op, 7, s[0], s[1], s[2]);
    case SIM_OP_MSET:
        s[0] = op->a[0];
        s[1] = op->a[1];
        return true;
    case SIM_OP_MGET:
        return gives(op, 3, s[0], s[1], 0);
    case SIM_OP_KINDS:
        break;
    }
    UNREACHABLE("op kind");
}
