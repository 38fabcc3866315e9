#include "node/node_keeper.h"

#include "node/node_mapplan.h"

/* ---- what is to be done ---- */

static bool alive(const struct keeper_view *v, uint32_t pos)
{
    return (v->alive >> pos & 1) != 0;
}

static uint32_t alive_count(const struct keeper_view *v)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < v->map->member_count; i++) {
        count += alive(v, i);
    }
    return count;
}

/* The first of the council that is alive. */
static bool acts(const struct keeper_view *v)
{
    for (uint8_t i = 0; i < v->map->council_count; i++) {
        if (alive(v, v->map->council[i])) {
            return v->map->council[i] == v->self;
        }
    }
    return false;
}

static bool change(const struct keeper_view *v, enum node_change_kind kind, uint32_t pos,
                   struct node_change *out)
{
    *out = (struct node_change){.kind = kind, .member = v->map->members[pos]};
    return true;
}

/* What only this member itself can know for certain. */
static bool for_itself(const struct keeper_view *v, struct node_change *out)
{
    enum wire_member_state state = v->map->members[v->self].state;

    if (state == WIRE_MEMBER_LEAVING && v->empty && node_map_load(v->map, v->self) == 0) {
        return change(v, NODE_CHANGE_REMOVE, v->self, out);
    }
    if (state == WIRE_MEMBER_AWAY && v->majority_us >= KEEPER_BACK_US) {
        return change(v, NODE_CHANGE_RETURN, v->self, out);
    }
    return false;
}

/* One at a time: who is still dead when what this one had has been made elsewhere is the next.
 * A movement that has not ended in all that time may be waiting for the dead one. */
static bool for_the_dead(const struct keeper_view *v, struct node_change *out)
{
    bool wait = v->moving && v->map_us < v->replace_us;

    for (uint32_t i = 0; i < v->map->member_count; i++) {
        const struct wire_member *m = &v->map->members[i];

        if (alive(v, i)) {
            continue;
        }
        if (m->state == WIRE_MEMBER_UP && v->replace_us > 0 && v->dead_us[i] >= v->replace_us &&
            !wait) {
            return change(v, NODE_CHANGE_AWAY, i, out);
        }
        if (m->state == WIRE_MEMBER_LEAVING && v->dead_us[i] >= KEEPER_LEAVER_US && !v->moving &&
            node_map_load(v->map, i) == 0) {
            return change(v, NODE_CHANGE_REMOVE, i, out);
        }
    }
    return false;
}

/* Newcomers get their share when all are there to give and take. */
static bool for_balance(const struct keeper_view *v, struct node_change *out)
{
    for (uint32_t i = 0; i < v->map->member_count; i++) {
        if (v->map->members[i].state == WIRE_MEMBER_UP && !alive(v, i)) {
            return false;
        }
    }
    return !v->fair && !v->moving && v->map_us >= KEEPER_REST_US &&
           change(v, NODE_CHANGE_REBALANCE, v->self, out);
}

bool keeper_next(const struct keeper_view *v, struct node_change *out)
{
    CHECK(alive(v, v->self));
    if (for_itself(v, out)) {
        return true;
    }
    if (!acts(v) || 2 * alive_count(v) <= v->map->member_count) {
        return false;
    }
    return for_the_dead(v, out) || for_balance(v, out);
}
