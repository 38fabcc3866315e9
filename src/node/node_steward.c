/* Having changes of the map decided: for whoever asks, and those that this node needs itself.
 *
 * One at a time is in paxos; the others wait their turn. A change is applied to the newest map
 * that is known, again and again until that map says what it wants: another map may win, and
 * whether a lost proposal was decided after all shows in the map as well.
 */
#include "node/node_internal.h"

#include <stdio.h>

enum {
    SELF_AGAIN_US = 1000 * 1000,
    JOIN_PATIENCE_US = 5 * 1000 * 1000,
    WANT_PATIENCE_US = 3 * 1000 * 1000
};

/* ---- why not ---- */

static bool answers(const struct node *n, const struct wire_member *m)
{
    if (wire_id_eq(&m->node, &n->id)) {
        return m->paxos == n->paxos;
    }
    for (uint32_t i = 0; i < n->link_count; i++) {
        const struct link *l = &n->links[i];

        if (l->state == LINK_UP && wire_id_eq(&l->node, &m->node)) {
            return true;
        }
    }
    return false;
}

void node_chain_why(const struct node *n, struct diag *why)
{
    const struct wire_map *map = node_chain_map(n);
    char silent[120] = "";
    uint32_t count = 0;

    why->text[0] = 0;
    for (uint8_t i = 0; map != NULL && i < map->council_count; i++) {
        const struct wire_member *m = &map->members[map->council[i]];
        size_t len = strlen(silent);

        if (!answers(n, m)) {
            count++;
            (void)snprintf(silent + len, sizeof silent - len, "%s%s", len > 0 ? ", " : "",
                           m->peer_addr);
        }
    }
    if (map != NULL && map->council_count - count < map->council_count / 2U + 1) {
        diag_set(why,
                 "%u of the %u acceptors of the cluster map do not answer (%s); a majority of "
                 "them has to agree",
                 count, map->council_count, silent);
    }
}

/* ---- the queue ---- */

bool node_chain_propose(struct node *n, const struct node_change *change, uint64_t timeout_us,
                        node_chain_done *done, uint64_t arg)
{
    struct chain *c = n->chain;

    if (c == NULL || c->proposal_count == CHAIN_PROPOSALS_MAX) {
        return false;
    }
    c->proposals[c->proposal_count++] = (struct chain_proposal){
        .change = *change, .until_us = n->now.mono_us + timeout_us, .done = done, .arg = arg};
    return true;
}

static void end_at(struct node *n, uint32_t at, enum node_chain_end end, const char *why)
{
    struct chain *c = n->chain;
    struct chain_proposal p = c->proposals[at];

    c->proposal_count--;
    memmove(&c->proposals[at], &c->proposals[at + 1],
            (c->proposal_count - at) * sizeof c->proposals[0]);
    if (at == 0) {
        c->offered = c->won = false;
    }
    p.done(n, p.arg, end, why);
}

static void timed_out(struct node *n, uint32_t at)
{
    struct chain *c = n->chain;
    bool nothing = at > 0 || !c->offered || paxos_withdraw(c->paxos);
    struct diag silent, why;

    node_chain_why(n, &silent);
    if (silent.text[0] == 0) {
        diag_set(&silent, "the council did not agree in time");
    }
    SOMETIMES(nothing, "node_steward: a change of the map was not decided in time");
    SOMETIMES_RARE(!nothing, "node_steward: a change of the map in doubt", 20000,
                   "a majority of the council is lost between its promises and its acceptances; "
                   "test/unit/node/node_chain_test.c");
    if (nothing) {
        diag_set(&why, "the cluster map was not changed: %s", silent.text);
    } else {
        diag_set(&why, "the change of the cluster map may still happen: %s", silent.text);
    }
    end_at(n, at, nothing ? NODE_CHAIN_TIMEOUT : NODE_CHAIN_INDOUBT, why.text);
}

/* True: it is over, one way or another. */
static bool offer(struct node *n, const struct chain_proposal *p)
{
    struct chain *c = n->chain;
    struct wire_map next;
    struct buf value = {0};
    struct diag why = {0};
    enum err err;

    switch (node_mapchange(&c->map, &p->change, &next, &why)) {
    case NODE_CHANGE_IS_SO:
        end_at(n, 0, NODE_CHAIN_DONE, "");
        return true;
    case NODE_CHANGE_REFUSED:
        end_at(n, 0, NODE_CHAIN_REFUSED, why.text);
        return true;
    case NODE_CHANGE_NEXT:
        break;
    }
    wire_put_map(&value, &next);
    err = paxos_propose(c->paxos, n->now.mono_us, (struct paxos_instance){next.epoch},
                        buf_slice(&value));
    wire_map_free(&next);
    buf_free(&value);
    if (err == ERR_TOO_LARGE || err == ERR_BAD_ARGUMENT) {
        end_at(n, 0, NODE_CHAIN_REFUSED, "the map that would come of it cannot be");
        return true;
    }
    c->offered = err == ERR_OK; /* else a newer map is about to be learned: next turn */
    return false;
}

void node_steward_next(struct node *n)
{
    struct chain *c = n->chain;

    if (c->won) {
        end_at(n, 0, NODE_CHAIN_DONE, "");
    }
    while (c->proposal_count > 0 && !c->offered && !c->mending && n->now.mono_us >= c->listen_us &&
           offer(n, &c->proposals[0])) {
    }
}

/* ---- what this node needs itself ---- */

static void self_done(struct node *n, uint64_t arg, enum node_chain_end end, const char *why)
{
    struct chain *c = n->chain;

    (void)arg;
    c->self_asked = false;
    c->self_us = n->now.mono_us + (end == NODE_CHAIN_DONE ? 0 : SELF_AGAIN_US);
    if (end != NODE_CHAIN_DONE) {
        node_log(n, NODE_LOG_WARN,
                 "msg=\"the cluster map should say something else of this node; tried again\" "
                 "reason=\"%s\"",
                 why);
    }
}

/* What the newest map should say of this node, or of the council if it is the first of it. */
static bool needs(const struct node *n, struct node_change *change)
{
    const struct wire_map *map = &n->chain->map;
    int pos = wire_map_member(map, &n->id);
    struct wire_map fit = *map;
    const struct wire_member *m;

    if (pos < 0) {
        return false;
    }
    m = &map->members[pos];
    *change = (struct node_change){.member = *m};
    if (m->paxos != n->paxos) {
        change->kind = NODE_CHANGE_RENEW;
        change->member.paxos = n->paxos;
        return true;
    }
    if (strcmp(m->peer_addr, n->cfg.peer_addr) != 0 ||
        strcmp(m->client_addr, n->cfg.client_addr) != 0) {
        change->kind = NODE_CHANGE_READDRESS;
        memcpy(change->member.peer_addr, n->cfg.peer_addr, sizeof change->member.peer_addr);
        memcpy(change->member.client_addr, n->cfg.client_addr, sizeof change->member.client_addr);
        return true;
    }
    node_map_choose_council(&fit);
    change->kind = NODE_CHANGE_COUNCIL;
    return map->council[0] == pos && (fit.council_count != map->council_count ||
                                      memcmp(fit.council, map->council, fit.council_count) != 0);
}

static void look_after_self(struct node *n)
{
    struct chain *c = n->chain;
    struct node_change change;

    if (c->self_asked || n->now.mono_us < c->self_us) {
        return;
    }
    c->self_us = n->now.mono_us + SELF_AGAIN_US / 4;
    if (needs(n, &change)) {
        SOMETIMES(change.kind == NODE_CHANGE_RENEW, "node_steward: a member enters under a new id");
        c->self_asked = node_chain_propose(n, &change, NODE_CHAIN_PATIENCE_US, self_done, 0);
    }
}

void node_steward_tick(struct node *n)
{
    struct chain *c = n->chain;

    for (uint32_t i = c->proposal_count; i-- > 0;) {
        if (n->now.mono_us >= c->proposals[i].until_us && !(i == 0 && c->won)) {
            timed_out(n, i);
        }
    }
    look_after_self(n);
}

/* ---- the driver ---- */

static void wanted_done(struct node *n, uint64_t arg, enum node_chain_end end, const char *why)
{
    (void)arg;
    node_log(n, end == NODE_CHAIN_DONE ? NODE_LOG_INFO : NODE_LOG_WARN,
             "msg=\"a change of the map that was asked for is %s\" reason=\"%s\"",
             end == NODE_CHAIN_DONE ? "in force" : "not", why);
}

bool node_want(struct node *n, const struct node_change *change)
{
    return node_chain_propose(n, change, WANT_PATIENCE_US, wanted_done, 0);
}

/* ---- joiners ---- */

static void join_done(struct node *n, uint64_t conn, enum node_chain_end end, const char *why)
{
    struct link *l = node_link_by_conn(n, conn);

    if (l == NULL || l->state != LINK_VISIT) {
        return; /* it asks again, here or elsewhere */
    }
    if (end == NODE_CHAIN_DONE) { /* the map is about to be in force: the link is told then */
        return;
    }
    node_link_refuse(n, conn, end == NODE_CHAIN_REFUSED ? ERR_REFUSED : ERR_AGAIN, why);
}

/* The address is that of another member, which is connected. */
static bool is_held(const struct node *n, const char *addr, const struct wire_id *joiner)
{
    int at = node_member_by_addr(n, addr);

    return at >= 0 && n->links[at].state == LINK_UP && !wire_id_eq(&n->links[at].node, joiner);
}

void node_steward_join(struct node *n, struct link *l)
{
    const struct wire_hello *h = &l->hello;
    struct node_change change = {
        .kind = NODE_CHANGE_JOIN,
        .member = {.node = h->node, .zone = h->zone, .weight = h->weight, .paxos = h->paxos}};

    memcpy(change.member.peer_addr, l->hello_peer, sizeof change.member.peer_addr);
    memcpy(change.member.client_addr, l->hello_client, sizeof change.member.client_addr);
    if (is_held(n, l->hello_peer, &h->node)) {
        /* It has moved, and will say so; or its end has not been noticed yet. */
        SOMETIMES(true, "node_steward: the place of a member that is there is wanted");
        node_link_refuse(n, l->conn, ERR_AGAIN,
                         "the member at this address is connected; the address is given to "
                         "another node only when it is gone, or has said that it is elsewhere");
        return;
    }
    if (!node_chain_propose(n, &change, JOIN_PATIENCE_US, join_done, l->conn)) {
        node_link_refuse(n, l->conn, ERR_AGAIN, "too many changes of the map wait here");
    }
}
