#include "core/ring/ring.h"

#include "base/base_hash.h"
#include "base/base_mem.h"
#include "core/ring/ring_internal.h"

#include <stdlib.h>

enum { NOBODY = RING_NODES_MAX };

/* --- who takes part --- */

static int by_id(const void *a, const void *b)
{
    uint64_t x = ((const struct ring_node *)a)->id, y = ((const struct ring_node *)b)->id;

    return (x > y) - (x < y);
}

static MUST_USE enum err judge_shape(const struct ring_wish *wish, struct diag *why)
{
    uint32_t partitions = wish->partitions;

    if (wish->nodes == 0 || wish->nodes > RING_NODES_MAX) {
        diag_set(why, "%u nodes; a ring has 1 to %d", wish->nodes, RING_NODES_MAX);
        return ERR_BAD_ARGUMENT;
    }
    if (partitions == 0 || (partitions & (partitions - 1)) != 0 || partitions > HASHSLOT_COUNT) {
        diag_set(why, "%u partitions; it must be a power of two up to %d", partitions,
                 HASHSLOT_COUNT);
        return ERR_BAD_ARGUMENT;
    }
    if (wish->replicas == 0 || wish->replicas > RING_REPLICAS_MAX) {
        diag_set(why, "%u replicas; it must be 1 to %d", wish->replicas, RING_REPLICAS_MAX);
        return ERR_BAD_ARGUMENT;
    }
    return ERR_OK;
}

/* All nodes, ordered by id. */
static MUST_USE enum err judge_nodes(const struct ring_node *node, uint32_t nodes, struct diag *why)
{
    uint32_t draining = 0;

    for (uint32_t i = 0; i < nodes; i++) {
        const struct ring_node *n = &node[i];

        if (n->id == 0) {
            diag_set(why, "a node has the id 0");
            return ERR_BAD_ARGUMENT;
        }
        if (i > 0 && n->id == n[-1].id) {
            diag_set(why, "node %016lx is listed twice", (unsigned long)n->id);
            return ERR_BAD_ARGUMENT;
        }
        if (n->weight == 0 || n->weight > RING_WEIGHT_MAX) {
            diag_set(why, "node %016lx has the weight %u; it must be 1 to %d", (unsigned long)n->id,
                     n->weight, RING_WEIGHT_MAX);
            return ERR_BAD_ARGUMENT;
        }
        draining += n->draining;
    }
    if (draining == nodes) {
        diag_set(why, "no node may hold anything: all are draining");
        return ERR_BAD_ARGUMENT;
    }
    return ERR_OK;
}

static void number_zones(struct ring_set *s)
{
    for (uint32_t i = 0; i < s->nodes; i++) {
        uint32_t twin = 0;

        while (s->node[twin].zone != s->node[i].zone) {
            twin++;
        }
        s->zone[i] = twin == i ? s->zones++ : s->zone[twin];
    }
    CHECK(s->zones <= s->nodes);
}

static MUST_USE enum err make_set(const struct ring_wish *wish, struct ring_set *s,
                                  struct diag *why)
{
    enum err err = judge_shape(wish, why);

    if (err != ERR_OK) {
        return err;
    }
    *s = (struct ring_set){.partitions = wish->partitions};
    memcpy(s->node, wish->node, wish->nodes * sizeof s->node[0]);
    qsort(s->node, wish->nodes, sizeof s->node[0], by_id);
    err = judge_nodes(s->node, wish->nodes, why);
    if (err != ERR_OK) {
        return err;
    }
    for (uint32_t i = 0; i < wish->nodes; i++) {
        if (!s->node[i].draining) {
            s->weight += s->node[i].weight;
            s->node[s->nodes++] = s->node[i];
        }
    }
    s->replicas = wish->replicas < s->nodes ? wish->replicas : s->nodes;
    number_zones(s);
    return ERR_OK;
}

static uint32_t place_of(const struct ring_set *s, uint64_t id)
{
    const struct ring_node key = {.id = id};
    const struct ring_node *found = bsearch(&key, s->node, s->nodes, sizeof s->node[0], by_id);

    return found == NULL ? NOBODY : (uint32_t)(found - s->node);
}

/* --- who carries what --- */

struct plan {
    struct ring_set set;
    struct ring_flow flow;
    uint16_t *order;  /* of preference: [partition * nodes + k] */
    uint32_t *leader; /* [partition] */
    uint32_t *load;   /* [node], while the ring is walked */
};

static void keep(struct plan *plan, uint32_t partition, const struct ring_placement *row)
{
    uint32_t nodes = plan->set.nodes;
    const uint16_t *order = &plan->order[(size_t)partition * nodes];
    uint8_t *cell = &plan->flow.cell[(size_t)partition * nodes];

    CHECK(row->count <= RING_REPLICAS_MAX);
    for (uint32_t i = 0; i < row->count; i++) {
        uint32_t node = place_of(&plan->set, row->replica[i]), k = 0;

        if (node == NOBODY) {
            continue;
        }
        while (order[k] != node) {
            k++;
        }
        if (cell[k] == 0) {
            cell[k] = RING_ON | RING_KEPT;
            plan->load[node]++;
        }
        if (i == 0) {
            cell[k] |= RING_LAST; /* a leader's replica rather stays */
            plan->leader[partition] = node;
        }
    }
}

/* Walk the ring for the holes of a partition, past full nodes and full zones; at first
 * only into zones that have too little. What finds no place is left to the flow. */
static void walk(struct plan *plan, uint32_t partition)
{
    const struct ring_bounds *b = &plan->flow.bounds;
    uint32_t nodes = plan->set.nodes, count = 0;
    const uint16_t *order = &plan->order[(size_t)partition * nodes];
    uint8_t *cell = &plan->flow.cell[(size_t)partition * nodes];
    uint8_t in_zone[RING_NODES_MAX] = {0};

    for (uint32_t k = 0; k < nodes; k++) {
        if (cell[k] != 0) {
            in_zone[plan->set.zone[order[k]]]++;
            count++;
        }
    }
    for (uint32_t round = 0; round < 2; round++) {
        const uint8_t *zone_most = round == 0 ? b->zone_low : b->zone_high;

        for (uint32_t k = 0; k < nodes && count < plan->set.replicas; k++) {
            uint32_t node = order[k], zone = plan->set.zone[node];

            if (cell[k] == 0 && in_zone[zone] < zone_most[zone] &&
                plan->load[node] < b->high[node]) {
                cell[k] = RING_ON;
                plan->load[node]++;
                in_zone[zone]++;
                count++;
            }
        }
    }
}

static void place(struct plan *plan, const struct ring_placement *present)
{
    const struct ring_set *s = &plan->set;

    for (uint32_t p = 0; p < s->partitions; p++) {
        plan->leader[p] = NOBODY;
        if (present != NULL) {
            keep(plan, p, &present[p]);
        }
    }
    for (uint32_t p = 0; p < s->partitions; p++) {
        walk(plan, p);
    }
    plan->flow.rows = s->partitions;
    plan->flow.width = plan->flow.nodes = s->nodes;
    plan->flow.zones = s->zones;
    plan->flow.want = s->replicas;
    plan->flow.node = plan->order;
    plan->flow.zone = s->zone;
    if (!ring_flow_run(&plan->flow)) {
        UNREACHABLE("giving every node its share of every partition is fair");
    }
}

/* Append a node to a row unless it is there. */
static void list(struct plan *plan, uint16_t *row, uint32_t *count, uint32_t node)
{
    for (uint32_t i = 0; i < *count; i++) {
        if (row[i] == node) {
            return;
        }
    }
    CHECK(*count < plan->set.replicas);
    row[(*count)++] = (uint16_t)node;
}

/* The nodes of each row: those that stay, in their present order, then new ones in the order
 * of the ring. Leaders that do not stay are forgotten. */
static void list_rows(struct plan *plan, const struct ring_placement *present, uint16_t *rows)
{
    const struct ring_set *s = &plan->set;

    for (uint32_t p = 0; p < s->partitions; p++) {
        const uint16_t *order = &plan->order[(size_t)p * s->nodes];
        const uint8_t *cell = &plan->flow.cell[(size_t)p * s->nodes];
        uint16_t *row = &rows[(size_t)p * s->replicas];
        bool chosen[RING_NODES_MAX + 1] = {false}; /* nobody is not */
        uint32_t count = 0;

        for (uint32_t k = 0; k < s->nodes; k++) {
            chosen[order[k]] = (cell[k] & RING_ON) != 0;
        }
        for (uint32_t i = 0; present != NULL && i < present[p].count; i++) {
            uint32_t node = place_of(s, present[p].replica[i]);

            if (chosen[node]) {
                list(plan, row, &count, node);
            }
        }
        for (uint32_t k = 0; k < s->nodes; k++) {
            if (chosen[order[k]]) {
                list(plan, row, &count, order[k]);
            }
        }
        CHECK(count == s->replicas);
        if (!chosen[plan->leader[p]]) {
            plan->leader[p] = NOBODY;
        }
    }
}

static void write_rows(const struct plan *plan, const uint16_t *rows, struct ring_placement *out)
{
    const struct ring_set *s = &plan->set;

    for (uint32_t p = 0; p < s->partitions; p++) {
        uint32_t at = 1;

        out[p] = (struct ring_placement){.count = (uint8_t)s->replicas};
        out[p].replica[0] = s->node[plan->leader[p]].id;
        for (uint32_t i = 0; i < s->replicas; i++) {
            uint32_t node = rows[p * s->replicas + i];

            if (node != plan->leader[p]) {
                out[p].replica[at++] = s->node[node].id;
            }
        }
        CHECK(at == s->replicas);
    }
}

enum err ring_replan(const struct ring_wish *wish, const struct ring_placement *present,
                     struct ring_placement *out, struct diag *why)
{
    struct plan *plan = mem_zalloc(sizeof *plan);
    enum err err = make_set(wish, &plan->set, why);
    uint16_t *rows = NULL;
    size_t cells;

    if (err != ERR_OK) {
        goto out;
    }
    cells = (size_t)plan->set.partitions * plan->set.nodes;
    plan->order = mem_alloc(cells * sizeof plan->order[0]);
    plan->flow.cell = mem_zalloc(cells);
    plan->leader = mem_alloc(plan->set.partitions * sizeof plan->leader[0]);
    plan->load = mem_zalloc(plan->set.nodes * sizeof plan->load[0]);
    rows = mem_alloc((size_t)plan->set.partitions * plan->set.replicas * sizeof rows[0]);
    ring_walk(&plan->set, plan->order);
    ring_share(&plan->set, &plan->flow.bounds);
    place(plan, present);
    list_rows(plan, present, rows);
    ring_lead(&plan->set, rows, plan->leader);
    write_rows(plan, rows, out);
out:
    mem_free(plan->order);
    mem_free(plan->flow.cell);
    mem_free(plan->leader);
    mem_free(plan->load);
    mem_free(plan);
    mem_free(rows);
    return err;
}

static bool holds(const struct ring_placement *row, uint64_t id)
{
    for (uint32_t i = 0; i < row->count; i++) {
        if (row->replica[i] == id) {
            return true;
        }
    }
    return false;
}

uint64_t ring_moves(const struct ring_placement *before, const struct ring_placement *after,
                    uint32_t partitions)
{
    uint64_t moves = 0;

    for (uint32_t p = 0; p < partitions; p++) {
        for (uint32_t i = 0; i < after[p].count; i++) {
            uint64_t id = after[p].replica[i];

            moves += id != 0 && !holds(&before[p], id);
        }
    }
    return moves;
}
