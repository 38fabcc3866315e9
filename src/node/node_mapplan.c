#include "node/node_mapplan.h"

#include "base/base_mem.h"
#include "core/ring/ring.h"
#include "node/node_internal.h"

static_assert((int)WIRE_MEMBERS_MAX <= (int)RING_NODES_MAX, "every member is a node of the ring");
static_assert((int)WIRE_WEIGHT_MAX == (int)RING_WEIGHT_MAX, "weights are the ring's");

/* ---- the placement ---- */

static void read_rows(const struct wire_map *map, struct ring_placement *rows)
{
    for (uint32_t p = 0; p < map->partitions; p++) {
        const uint8_t *row;
        uint32_t count = wire_map_row(map, p, &row);

        rows[p] = (struct ring_placement){.count = (uint8_t)count};
        for (uint32_t i = 0; i < count; i++) {
            rows[p].replica[i] = node_short_id(&map->members[row[i]].node);
        }
    }
}

static uint8_t place_of(const struct wire_map *map, uint64_t id)
{
    for (uint32_t i = 0; i < map->member_count; i++) {
        if (node_short_id(&map->members[i].node) == id) {
            return (uint8_t)i;
        }
    }
    UNREACHABLE("the ring places on members only");
}

static void write_rows(struct wire_map *map, const struct ring_placement *rows)
{
    memset(map->placement, WIRE_NOBODY, (size_t)map->partitions * map->replicas);
    for (uint32_t p = 0; p < map->partitions; p++) {
        for (uint32_t i = 0; i < rows[p].count; i++) {
            map->placement[(size_t)p * map->replicas + i] = place_of(map, rows[p].replica[i]);
        }
    }
}

enum err node_map_replan(struct wire_map *map, struct diag *why)
{
    struct ring_placement *rows = mem_alloc(map->partitions * sizeof *rows);
    struct ring_node nodes[WIRE_MEMBERS_MAX];
    const struct ring_wish wish = {.node = nodes,
                                   .nodes = map->member_count,
                                   .partitions = map->partitions,
                                   .replicas = map->replicas};
    enum err err;

    for (uint32_t i = 0; i < map->member_count; i++) {
        const struct wire_member *m = &map->members[i];

        nodes[i] = (struct ring_node){.id = node_short_id(&m->node),
                                      .weight = m->weight,
                                      .zone = m->zone,
                                      .draining = m->state != WIRE_MEMBER_UP};
    }
    read_rows(map, rows);
    err = ring_replan(&wish, rows, rows, why);
    if (err == ERR_OK) {
        write_rows(map, rows);
    }
    mem_free(rows);
    return err;
}

uint64_t node_map_moves(const struct wire_map *before, const struct wire_map *after)
{
    uint64_t moves = 0;

    for (uint32_t p = 0; p < after->partitions; p++) {
        const uint8_t *row;
        uint32_t count = wire_map_row(after, p, &row);

        for (uint32_t i = 0; i < count; i++) {
            int pos = wire_map_member(before, &after->members[row[i]].node);

            moves += pos < 0 || !wire_map_places(before, p, (uint32_t)pos);
        }
    }
    return moves;
}

uint32_t node_map_load(const struct wire_map *map, uint32_t pos)
{
    uint32_t load = 0;

    for (uint32_t p = 0; p < map->partitions; p++) {
        load += wire_map_places(map, p, pos);
    }
    return load;
}

/* Rows of another width; those that get shorter lose their last members. */
static void set_replicas(struct wire_map *map, uint32_t replicas)
{
    uint32_t common = replicas < map->replicas ? replicas : map->replicas;
    uint8_t *placement = mem_alloc((size_t)map->partitions * replicas);

    memset(placement, WIRE_NOBODY, (size_t)map->partitions * replicas);
    for (uint32_t p = 0; p < map->partitions; p++) {
        memcpy(&placement[(size_t)p * replicas], &map->placement[(size_t)p * map->replicas],
               common);
    }
    mem_free(map->placement);
    map->placement = placement;
    map->replicas = replicas;
}

/* ---- a member is taken out ---- */

static void take_out_of_row(uint8_t *row, uint32_t width, uint32_t pos)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < width; i++) {
        if (row[i] != pos && row[i] != WIRE_NOBODY) {
            row[kept++] = (uint8_t)(row[i] - (row[i] > pos));
        }
    }
    memset(row + kept, WIRE_NOBODY, width - kept);
}

/* Members behind it move up one place, in rows and council too. */
static void take_out(struct wire_map *map, uint32_t pos)
{
    uint8_t seats = 0;

    CHECK(pos < map->member_count && map->member_count > 1);
    for (uint32_t p = 0; p < map->partitions; p++) {
        take_out_of_row(&map->placement[(size_t)p * map->replicas], map->replicas, pos);
    }
    for (uint8_t i = 0; i < map->council_count; i++) {
        if (map->council[i] != pos) {
            map->council[seats++] = (uint8_t)(map->council[i] - (map->council[i] > pos));
        }
    }
    map->council_count = seats;
    map->member_count--;
    memmove(&map->members[pos], &map->members[pos + 1],
            (map->member_count - pos) * sizeof map->members[0]);
}

static uint32_t up_beside(const struct wire_map *map, uint32_t pos)
{
    uint32_t up = 0;

    for (uint32_t i = 0; i < map->member_count; i++) {
        up += i != pos && map->members[i].state == WIRE_MEMBER_UP;
    }
    return up;
}

/* A partition of which nobody else is to have a replica; map->partitions: there is none. */
static uint32_t held_alone(const struct wire_map *map, uint32_t pos)
{
    for (uint32_t p = 0; p < map->partitions; p++) {
        const uint8_t *row;

        if (wire_map_row(map, p, &row) == 1 && row[0] == pos) {
            return p;
        }
    }
    return map->partitions;
}

/* ---- the changes ---- */

static enum node_change_verdict replanned(struct wire_map *next, struct diag *why)
{
    return node_map_replan(next, why) == ERR_OK ? NODE_CHANGE_NEXT : NODE_CHANGE_REFUSED;
}

static enum node_change_verdict set_state(struct wire_map *next, uint32_t pos,
                                          enum wire_member_state state, struct diag *why)
{
    struct wire_member *m = &next->members[pos];

    if (m->state == state) {
        return NODE_CHANGE_IS_SO;
    }
    if (state != WIRE_MEMBER_UP && up_beside(next, pos) == 0) {
        diag_set(why, "%s is the last member that may hold data", m->client_addr);
        return NODE_CHANGE_REFUSED;
    }
    if (state == WIRE_MEMBER_AWAY && m->state != WIRE_MEMBER_UP) {
        return NODE_CHANGE_IS_SO; /* it gives its replicas away already */
    }
    m->state = state;
    return replanned(next, why);
}

static enum node_change_verdict forget(struct wire_map *next, uint32_t pos, struct diag *why)
{
    const char *addr = next->members[pos].client_addr;
    uint32_t alone = held_alone(next, pos);

    if (up_beside(next, pos) == 0) {
        diag_set(why, "%s is the last member that may hold data", addr);
        return NODE_CHANGE_REFUSED;
    }
    if (alone < next->partitions) {
        diag_set(why, "partition %u is on %s alone: forgetting that would lose it", alone, addr);
        return NODE_CHANGE_REFUSED;
    }
    take_out(next, pos);
    return replanned(next, why);
}

static enum node_change_verdict remove_left(struct wire_map *next, uint32_t pos, struct diag *why)
{
    const struct wire_member *m = &next->members[pos];

    if (m->state != WIRE_MEMBER_LEAVING || node_map_load(next, pos) > 0) {
        diag_set(why, "%s does not leave, or something is placed on it", m->client_addr);
        return NODE_CHANGE_REFUSED;
    }
    take_out(next, pos);
    return NODE_CHANGE_NEXT;
}

static enum node_change_verdict weigh(struct wire_map *next, uint32_t pos,
                                      const struct wire_member *as, struct diag *why)
{
    struct wire_member *m = &next->members[pos];

    if (as->weight == 0 || as->weight > WIRE_WEIGHT_MAX) {
        diag_set(why, "a weight is 1 to %d", WIRE_WEIGHT_MAX);
        return NODE_CHANGE_REFUSED;
    }
    if (m->weight == as->weight) {
        return NODE_CHANGE_IS_SO;
    }
    m->weight = as->weight;
    return replanned(next, why);
}

static enum node_change_verdict rezone(struct wire_map *next, uint32_t pos,
                                       const struct wire_member *as, struct diag *why)
{
    if (next->members[pos].zone == as->zone) {
        return NODE_CHANGE_IS_SO;
    }
    next->members[pos].zone = as->zone;
    return replanned(next, why);
}

static enum node_change_verdict rebalance(struct wire_map *next, struct diag *why)
{
    size_t bytes = (size_t)next->partitions * next->replicas;
    uint8_t *before = mem_alloc(bytes);
    enum node_change_verdict verdict;

    memcpy(before, next->placement, bytes);
    verdict = replanned(next, why);
    if (verdict == NODE_CHANGE_NEXT && memcmp(before, next->placement, bytes) == 0) {
        verdict = NODE_CHANGE_IS_SO;
    }
    mem_free(before);
    return verdict;
}

static enum node_change_verdict want_replicas(struct wire_map *next, uint32_t replicas,
                                              struct diag *why)
{
    if (replicas == 0 || replicas > RING_REPLICAS_MAX) {
        diag_set(why, "a partition has 1 to %d replicas", RING_REPLICAS_MAX);
        return NODE_CHANGE_REFUSED;
    }
    if (next->replicas == replicas) {
        return NODE_CHANGE_IS_SO;
    }
    set_replicas(next, replicas);
    return replanned(next, why);
}

static enum node_change_verdict of_member(struct wire_map *next, const struct node_change *change,
                                          struct diag *why)
{
    int found = wire_map_member(next, &change->member.node);
    uint32_t pos = (uint32_t)found;

    if (found < 0) {
        if (change->kind == NODE_CHANGE_REMOVE || change->kind == NODE_CHANGE_FORGET) {
            return NODE_CHANGE_IS_SO;
        }
        diag_set(why, "the node is not a member of the cluster");
        return NODE_CHANGE_REFUSED;
    }
    switch (change->kind) {
    case NODE_CHANGE_DRAIN:
        return set_state(next, pos, WIRE_MEMBER_DRAINING, why);
    case NODE_CHANGE_LEAVE:
        return set_state(next, pos, WIRE_MEMBER_LEAVING, why);
    case NODE_CHANGE_AWAY:
        return set_state(next, pos, WIRE_MEMBER_AWAY, why);
    case NODE_CHANGE_RETURN:
        return set_state(next, pos, WIRE_MEMBER_UP, why);
    case NODE_CHANGE_REMOVE:
        return remove_left(next, pos, why);
    case NODE_CHANGE_FORGET:
        return forget(next, pos, why);
    case NODE_CHANGE_WEIGH:
        return weigh(next, pos, &change->member, why);
    case NODE_CHANGE_ZONE:
        return rezone(next, pos, &change->member, why);
    case NODE_CHANGE_JOIN:
    case NODE_CHANGE_READDRESS:
    case NODE_CHANGE_RENEW:
    case NODE_CHANGE_COUNCIL:
    case NODE_CHANGE_REBALANCE:
    case NODE_CHANGE_REPLICAS:
        break;
    }
    UNREACHABLE("not a change of a member's part in the placement");
}

enum node_change_verdict node_mapplan(struct wire_map *next, const struct node_change *change,
                                      struct diag *why)
{
    if (change->kind == NODE_CHANGE_REBALANCE) {
        return rebalance(next, why);
    }
    if (change->kind == NODE_CHANGE_REPLICAS) {
        return want_replicas(next, change->replicas, why);
    }
    return of_member(next, change, why);
}
