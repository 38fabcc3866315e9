/* The flow of least cost: successive shortest paths from a start that is optimal for what
 * it carries [Ahuja, Magnanti, Orlin, s9.7].
 *
 *   row --> zone of the row --> node --> sink
 *
 * Each row sends `want` units; an arc from a row to one of its zones carries what the zone
 * may have of the row, an arc from there to a node is a cell (one unit, when it is on), an
 * arc to the sink carries what the node may have. A cell that is kept costs -1, others 0.
 *
 * At first cells are as they were given and the other arcs are brought into their bounds,
 * so that some vertices get more than they send (excess) or less (need). Kept cells are on,
 * so no residual arc has a negative cost: the start is optimal for its own excesses. Then
 * one unit after another goes from an excess to the need that is reached at the least cost,
 * which keeps it optimal, until there is no excess left. */
#include "base/base_mem.h"
#include "core/ring/ring_internal.h"

enum { NONE = UINT32_MAX, SINK = 0, FIRST_NODE = 1 };

/* Vertices that were reached, the least distance first, then in the order of arrival. */
struct entry {
    uint32_t vertex;
    int32_t distance;
    uint64_t order;
};

struct work {
    struct ring_flow *f;
    uint32_t vertices, first_row, first_zone;
    int32_t *excess;    /* [vertex]; negative: need */
    int32_t *potential; /* [vertex]: no residual arc costs less than nothing beside these */
    uint8_t *in_zone;   /* [row * zones + zone]: carried from the row */
    uint32_t *to_sink;  /* [node]: carried */
    uint32_t *of_node;  /* cells by node, those to be given away first */
    uint32_t first[RING_NODES_MAX + 1];
    /* One search: what is marked with its number. */
    uint32_t search;
    uint32_t *mark, *from, *via; /* [vertex]: via is a cell */
    int32_t *distance;
    struct entry *heap;
    uint32_t heap_count, heap_room;
    uint64_t order;
    uint32_t need; /* the nearest one, once it is known */
};

/* --- the heap --- */

static bool sooner(const struct entry *a, const struct entry *b)
{
    return a->distance != b->distance ? a->distance < b->distance : a->order < b->order;
}

static void heap_put(struct work *w, uint32_t vertex, int32_t distance)
{
    struct entry e = {vertex, distance, w->order++};
    uint32_t at = w->heap_count;

    MEM_GROW(w->heap, w->heap_count, w->heap_room);
    w->heap_count++;
    for (; at > 0 && sooner(&e, &w->heap[(at - 1) / 2]); at = (at - 1) / 2) {
        w->heap[at] = w->heap[(at - 1) / 2];
    }
    w->heap[at] = e;
}

static struct entry heap_take(struct work *w)
{
    struct entry top = w->heap[0], last = w->heap[--w->heap_count];
    uint32_t at = 0;

    for (;;) {
        uint32_t child = 2 * at + 1;

        if (child + 1 < w->heap_count && sooner(&w->heap[child + 1], &w->heap[child])) {
            child++;
        }
        if (child >= w->heap_count || !sooner(&w->heap[child], &last)) {
            break;
        }
        w->heap[at] = w->heap[child];
        at = child;
    }
    if (w->heap_count > 0) {
        w->heap[at] = last;
    }
    return top;
}

/* --- one search --- */

/* An arc of the residual network. */
static void reach(struct work *w, uint32_t from, uint32_t to, int32_t cost, uint32_t via)
{
    int32_t reduced = cost + w->potential[from] - w->potential[to];
    int32_t distance = w->distance[from] + reduced;

    CHECK(reduced >= 0);
    if (w->mark[to] == w->search && w->distance[to] <= distance) {
        return;
    }
    w->mark[to] = w->search;
    w->distance[to] = distance;
    w->from[to] = from;
    w->via[to] = via;
    if (w->excess[to] < 0 && reduced == 0 && w->need == NONE) {
        w->need = to; /* nobody is nearer: the least distance is taken first */
    }
    heap_put(w, to, distance);
}

static void reach_from_sink(struct work *w)
{
    for (uint32_t i = 0; i < w->f->nodes; i++) {
        if (w->to_sink[i] > w->f->bounds.low[i]) {
            reach(w, SINK, FIRST_NODE + i, 0, NONE);
        }
    }
}

static void reach_from_node(struct work *w, uint32_t node)
{
    const struct ring_flow *f = w->f;

    if (w->to_sink[node] < f->bounds.high[node]) {
        reach(w, FIRST_NODE + node, SINK, 0, NONE);
    }
    for (uint32_t i = w->first[node]; i < w->first[node + 1]; i++) {
        uint32_t c = w->of_node[i], row = c / f->width;

        if ((f->cell[c] & RING_ON) != 0) {
            reach(w, FIRST_NODE + node, w->first_zone + row * f->zones + f->zone[node],
                  (f->cell[c] & RING_KEPT) != 0, c);
        }
    }
}

/* Zones in the order of preference of their nodes. */
static void reach_from_row(struct work *w, uint32_t row)
{
    const struct ring_flow *f = w->f;

    for (uint32_t c = row * f->width; c < (row + 1) * f->width; c++) {
        uint32_t zone = f->zone[f->node[c]], at = row * f->zones + zone;

        if (w->in_zone[at] < f->bounds.zone_high[zone]) {
            reach(w, w->first_row + row, w->first_zone + at, 0, NONE);
        }
    }
}

static void reach_from_zone(struct work *w, uint32_t at)
{
    const struct ring_flow *f = w->f;
    uint32_t row = at / f->zones, zone = at % f->zones;

    if (w->in_zone[at] > f->bounds.zone_low[zone]) {
        reach(w, w->first_zone + at, w->first_row + row, 0, NONE);
    }
    for (uint32_t c = row * f->width; c < (row + 1) * f->width; c++) {
        if (f->zone[f->node[c]] == zone && (f->cell[c] & RING_ON) == 0) {
            reach(w, w->first_zone + at, FIRST_NODE + f->node[c],
                  (f->cell[c] & RING_KEPT) != 0 ? -1 : 0, c);
        }
    }
}

static void reach_from(struct work *w, uint32_t vertex)
{
    if (vertex == SINK) {
        reach_from_sink(w);
    } else if (vertex < w->first_row) {
        reach_from_node(w, vertex - FIRST_NODE);
    } else if (vertex < w->first_zone) {
        reach_from_row(w, vertex - w->first_row);
    } else {
        reach_from_zone(w, vertex - w->first_zone);
    }
}

/* The nearest need. Vertices nearer than that have their potential lowered by what they
 * are nearer, which is all that keeps reduced costs from falling below nothing. */
static uint32_t nearest_need(struct work *w, uint32_t source, uint32_t *settled)
{
    uint32_t count = 0;

    w->search++;
    w->heap_count = 0;
    w->need = NONE;
    w->mark[source] = w->search;
    w->distance[source] = 0;
    w->from[source] = w->via[source] = NONE;
    heap_put(w, source, 0);
    while (w->heap_count > 0 && w->need == NONE) {
        struct entry e = heap_take(w);

        if (e.distance != w->distance[e.vertex]) {
            continue; /* it was reached again, nearer */
        }
        if (w->excess[e.vertex] < 0) {
            w->need = e.vertex;
        } else {
            settled[count++] = e.vertex;
            reach_from(w, e.vertex);
        }
    }
    for (uint32_t i = 0; w->need != NONE && i < count; i++) {
        w->potential[settled[i]] += w->distance[settled[i]] - w->distance[w->need];
    }
    return w->need;
}

/* --- one unit --- */

static void push_arc(struct work *w, uint32_t from, uint32_t to)
{
    if (w->via[to] != NONE) { /* a cell, on or off */
        w->f->cell[w->via[to]] ^= RING_ON;
    } else if (from == SINK) {
        w->to_sink[to - FIRST_NODE]--;
    } else if (to == SINK) {
        w->to_sink[from - FIRST_NODE]++;
    } else if (from < w->first_zone) {
        w->in_zone[to - w->first_zone]++;
    } else {
        w->in_zone[from - w->first_zone]--;
    }
}

static void push(struct work *w, uint32_t source, uint32_t need)
{
    for (uint32_t to = need; to != source; to = w->from[to]) {
        push_arc(w, w->from[to], to);
    }
    w->excess[source]--;
    w->excess[need]++;
}

/* --- the start --- */

/* Cells by node: a node gives away first what the ring would hardly give it. */
static void sort_cells(struct work *w)
{
    const struct ring_flow *f = w->f;
    uint32_t at[RING_NODES_MAX] = {0};

    for (uint32_t c = 0; c < f->rows * f->width; c++) {
        at[f->node[c]]++;
    }
    w->first[0] = 0;
    for (uint32_t i = 0; i < f->nodes; i++) {
        w->first[i + 1] = w->first[i] + at[i];
        at[i] = w->first[i];
    }
    for (unsigned last = 0; last <= RING_LAST; last += RING_LAST) {
        for (uint32_t k = f->width; k-- > 0;) {
            for (uint32_t c = k; c < f->rows * f->width; c += f->width) {
                if ((f->cell[c] & RING_LAST) == last) {
                    w->of_node[at[f->node[c]]++] = c;
                }
            }
        }
    }
}

static uint32_t clamp(uint32_t value, uint32_t low, uint32_t high)
{
    return value < low ? low : value > high ? high : value;
}

static void start_row(struct work *w, uint32_t row)
{
    const struct ring_flow *f = w->f;
    int32_t *excess = &w->excess[w->first_zone + row * f->zones];
    uint8_t *in_zone = &w->in_zone[row * f->zones];

    for (uint32_t c = row * f->width; c < (row + 1) * f->width; c++) {
        if ((f->cell[c] & RING_ON) != 0) {
            in_zone[f->zone[f->node[c]]]++;
            w->excess[FIRST_NODE + f->node[c]]++;
        }
        CHECK_IF((f->cell[c] & RING_KEPT) != 0, (f->cell[c] & RING_ON) != 0);
    }
    w->excess[w->first_row + row] = (int32_t)f->want;
    for (uint32_t z = 0; z < f->zones; z++) {
        uint32_t on = in_zone[z],
                 carried = clamp(on, f->bounds.zone_low[z], f->bounds.zone_high[z]);

        excess[z] = (int32_t)carried - (int32_t)on;
        w->excess[w->first_row + row] -= (int32_t)carried;
        in_zone[z] = (uint8_t)carried;
    }
}

static void start(struct work *w)
{
    const struct ring_flow *f = w->f;

    for (uint32_t row = 0; row < f->rows; row++) {
        start_row(w, row);
    }
    w->excess[SINK] = -(int32_t)(f->rows * f->want);
    for (uint32_t i = 0; i < f->nodes; i++) {
        int32_t *excess = &w->excess[FIRST_NODE + i];

        w->to_sink[i] = clamp((uint32_t)*excess, f->bounds.low[i], f->bounds.high[i]);
        *excess -= (int32_t)w->to_sink[i];
        w->excess[SINK] += (int32_t)w->to_sink[i];
    }
    sort_cells(w);
}

static MUST_USE bool repair(struct work *w)
{
    uint32_t *settled = mem_alloc(w->vertices * sizeof settled[0]);
    bool good = true;

    for (uint32_t v = 0; v < w->vertices && good; v++) {
        while (w->excess[v] > 0 && good) {
            uint32_t need = nearest_need(w, v, settled);

            good = need != NONE;
            if (good) {
                push(w, v, need);
            }
        }
    }
    mem_free(settled);
    return good;
}

bool ring_flow_run(struct ring_flow *f)
{
    struct work w = {.f = f, .first_row = FIRST_NODE + f->nodes};
    bool good;

    CHECK(f->nodes > 0 && f->nodes <= RING_NODES_MAX);
    w.first_zone = w.first_row + f->rows;
    w.vertices = w.first_zone + f->rows * f->zones;
    w.excess = mem_zalloc(w.vertices * sizeof w.excess[0]);
    w.potential = mem_zalloc(w.vertices * sizeof w.potential[0]);
    w.in_zone = mem_zalloc((size_t)f->rows * f->zones);
    w.to_sink = mem_zalloc(f->nodes * sizeof w.to_sink[0]);
    w.of_node = mem_alloc((size_t)f->rows * f->width * sizeof w.of_node[0]);
    w.mark = mem_zalloc(w.vertices * sizeof w.mark[0]);
    w.from = mem_alloc(w.vertices * sizeof w.from[0]);
    w.via = mem_alloc(w.vertices * sizeof w.via[0]);
    w.distance = mem_alloc(w.vertices * sizeof w.distance[0]);
    start(&w);
    good = repair(&w);
    mem_free(w.excess);
    mem_free(w.potential);
    mem_free(w.in_zone);
    mem_free(w.to_sink);
    mem_free(w.of_node);
    mem_free(w.mark);
    mem_free(w.from);
    mem_free(w.via);
    mem_free(w.distance);
    mem_free(w.heap);
    return good;
}
