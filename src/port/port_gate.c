/* port_gate.c - effects that wait for a log ticket to be durable. */
#include "port/port_internal.h"

void port_gates_init(struct port_gates *g)
{
    *g = (struct port_gates){0};
    list_init(&g->fifo);
}

void port_gates_free(struct port_gates *g)
{
    struct list *item;

    while ((item = list_pop_front(&g->fifo)) != NULL) {
        struct port_gated *gated = LIST_ENTRY(item, struct port_gated, in_fifo);

        buf_free(&gated->data);
        mem_free(gated);
    }
    mem_free(g->tickets);
}

void port_gates_issued(struct port_gates *g, uint64_t ticket)
{
    size_t at = g->ticket_count;

    while (at > 0 && g->tickets[at - 1].n > ticket) {
        at--; /* a retry after a full disk is older than the newest */
    }
    if (at > 0 && g->tickets[at - 1].n == ticket) {
        g->tickets[at - 1].in_flight++;
        g->tickets[at - 1].failed = false;
        return;
    }
    CHECK(ticket > g->durable);
    MEM_GROW(g->tickets, g->ticket_count, g->ticket_cap);
    memmove(&g->tickets[at + 1], &g->tickets[at], (g->ticket_count - at) * sizeof g->tickets[0]);
    g->tickets[at] = (struct port_ticket){.n = ticket, .in_flight = 1};
    g->ticket_count++;
}

void port_gates_done(struct port_gates *g, uint64_t ticket, bool ok)
{
    size_t at = 0, complete = 0;

    while (at < g->ticket_count && g->tickets[at].n != ticket) {
        at++;
    }
    CHECK(at < g->ticket_count);
    CHECK(g->tickets[at].in_flight > 0);
    g->tickets[at].in_flight--;
    g->tickets[at].failed = g->tickets[at].failed || !ok;
    /* A ticket with a failed write is not durable until its writes were issued
     * again and done; neither is any later one. */
    while (complete < g->ticket_count && g->tickets[complete].in_flight == 0 &&
           !g->tickets[complete].failed) {
        complete++;
    }
    if (complete > 0) {
        g->durable = g->tickets[complete - 1].n;
        g->ticket_count -= complete;
        memmove(g->tickets, &g->tickets[complete], g->ticket_count * sizeof g->tickets[0]);
    }
}

void port_gates_hold(struct port_gates *g, uint64_t gate, struct port_conn *c, struct buf *data)
{
    struct port_gated *gated = mem_alloc(sizeof *gated);
    struct list *after = g->fifo.prev;

    CHECK(gate > g->durable);
    *gated = (struct port_gated){.gate = gate, .conn = c, .data = *data};
    c->gated++;
    *data = (struct buf){0};
    while (after != &g->fifo && LIST_ENTRY(after, struct port_gated, in_fifo)->gate > gate) {
        after = after->prev;
    }
    list_insert_before(after->next, &gated->in_fifo);
}

struct port_gated *port_gates_pop(struct port_gates *g)
{
    if (list_empty(&g->fifo)) {
        return NULL;
    }
    struct port_gated *gated = LIST_ENTRY(g->fifo.next, struct port_gated, in_fifo);

    if (gated->gate > g->durable) {
        return NULL;
    }
    list_remove(&gated->in_fifo);
    return gated;
}
