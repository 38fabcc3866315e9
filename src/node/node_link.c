/* Links: one TCP connection per pair of nodes, for everything between them.
 *
 * A member is its id: whoever says hello under it, from whatever address, is that member. Of
 * two members the one with the lower id dials; one that is not where the map has it dials all,
 * and also the addresses it was given on its command line, for others may have moved as well.
 * Of two connections of one pair that of the lower id stays. (Before there is a map: the lower
 * address dials; a joiner dials one after the other.) Both say hello first. Frames are
 * gathered during a turn and sent at its end: Raft messages that wait for a log
 * write in one gated send, everything else at once.
 */
#include "node/node_internal.h"

#include "base/base_mem.h"

#include <stdio.h>

enum {
    RETRY_US_MIN = 20 * 1000,
    RETRY_US_MAX = 500 * 1000,
    HELLO_US_MAX = 2 * 1000 * 1000,
    UNSENT_BYTES_MAX = 1 << 30, /* a peer that talks but does not read */
    GUESTS_MAX = 256,
    FOUND_PATIENCE_US = 1000 * 1000,
};

static void link_reset_frames(struct link *l)
{
    l->now.len = l->gated.len = l->requests.len = l->replies.len = l->raft_now.len = 0;
    l->records.len = 0;
    l->raft_now_open = l->raft_gated_open = l->request_open = l->reply_open = false;
    l->gate = 0;
}

static bool mapped(const struct node *n)
{
    return n->map.partitions > 0;
}

static void send_buf(struct node *n, struct link *l, struct buf *b, uint64_t gate)
{
    struct node_effect *e;

    if (b->len == 0) {
        return;
    }
    e = node_effect_push(n, NODE_SEND);
    e->conn = l->conn;
    e->gate = gate;
    e->data = *b;
    l->unsent += b->len;
    n->stats.out_bytes += b->len;
    *b = (struct buf){0};
}

static void link_add(struct node *n, const char *addr)
{
    CHECK(n->link_count < NODE_LINKS_MAX);
    struct link *l = &n->links[n->link_count];

    *l = (struct link){.pos = n->link_count++};
    (void)strncpy(l->addr, addr, sizeof l->addr - 1);
}

static struct link *link_by_addr(struct node *n, const char *addr)
{
    for (uint32_t i = 0; i < n->link_count; i++) {
        if (strcmp(n->links[i].addr, addr) == 0) {
            return &n->links[i];
        }
    }
    return NULL;
}

/* Before the map: a link per listed address. With it: link i belongs to member i; behind them
 * those to listed addresses where the map has nobody, and places for visitors. */
static void links_list(struct node *n)
{
    n->link_count = 0;
    for (uint32_t i = 0; i < n->map.member_count; i++) {
        link_add(n, n->map.members[i].peer_addr);
        n->links[i].node = n->map.members[i].node;
    }
    for (uint32_t i = 0; i < n->cfg.seed_count; i++) {
        const char *seed = n->cfg.seeds[i];

        if (!mapped(n) ||
            (strcmp(seed, n->cfg.peer_addr) != 0 && node_member_by_addr(n, seed) < 0)) {
            link_add(n, seed);
            n->links[n->link_count - 1].seed = true;
        }
    }
    for (uint32_t i = 0; mapped(n) && i < NODE_VISITORS_MAX; i++) {
        link_add(n, "");
    }
}

/* A place for a visitor; NULL: there are enough of them. */
static struct link *link_vacant(struct node *n)
{
    for (uint32_t i = n->map.member_count; i < n->link_count; i++) {
        if (n->links[i].addr[0] == 0 && n->links[i].conn == 0) {
            return &n->links[i];
        }
    }
    return NULL;
}

/* Where a link of the former list belongs now; NULL: nowhere. */
static struct link *link_home(struct node *n, const struct link *was)
{
    int pos;

    if (n->map.partitions == 0) {
        return link_by_addr(n, was->addr);
    }
    if (was->state == LINK_VISIT) { /* a visitor that is a member now says hello anew */
        return node_member_by_id(n, &was->hello.node) < 0 ? link_vacant(n) : NULL;
    }
    if (!wire_id_is_zero(&was->node) && !was->seed) {
        pos = node_member_by_id(n, &was->node);
        return pos < 0 ? NULL : &n->links[pos];
    }
    if (was->state == LINK_UP) { /* of the founding list */
        pos = node_member_by_id(n, &was->node);
        return pos < 0 ? NULL : &n->links[pos];
    }
    for (uint32_t i = n->map.member_count; i < n->link_count; i++) {
        if (n->links[i].seed && strcmp(n->links[i].addr, was->addr) == 0) {
            return &n->links[i];
        }
    }
    return NULL;
}

void node_link_free(struct link *l)
{
    buf_free(&l->in);
    buf_free(&l->now);
    buf_free(&l->gated);
    buf_free(&l->records);
    buf_free(&l->requests);
    buf_free(&l->replies);
    buf_free(&l->raft_now);
}

/* Into its place, which says whom it leads to. */
static void link_place(struct link *to, const struct link *from)
{
    struct link place = *to;

    *to = *from;
    to->pos = place.pos;
    to->seed = place.seed;
    memcpy(to->addr, place.addr, sizeof to->addr);
    if (to->state != LINK_UP) {
        to->node = place.node;
    }
    to->hello.peer_addr = slice_str(to->hello_peer);
    to->hello.client_addr = slice_str(to->hello_client);
}

/* A visitor that is a member now gets the map that says so, and comes back as one. */
static void farewell(struct node *n, struct link *l)
{
    if (l->state == LINK_VISIT && mapped(n) && node_member_by_id(n, &l->hello.node) >= 0) {
        SOMETIMES(true, "node_link: a node has joined by a decided map");
        node_link_say_map(n, l);
        send_buf(n, l, &l->now, 0);
    }
}

void node_links_setup(struct node *n)
{
    uint32_t old_count = n->link_count;
    struct link *old = mem_alloc((old_count + 1) * sizeof *old);

    memcpy(old, n->links, old_count * sizeof old[0]);
    links_list(n);
    for (uint32_t i = 0; i < old_count; i++) {
        struct link *l = link_home(n, &old[i]);

        if (l != NULL && l->conn == 0 && l->now.data == NULL) {
            link_place(l, &old[i]);
            continue;
        }
        if (old[i].conn != 0) {
            farewell(n, &old[i]);
            node_effect_push(n, NODE_CLOSE)->conn = old[i].conn;
        }
        node_link_free(&old[i]);
    }
    mem_free(old);
}

static bool is_self(const struct node *n, const struct link *l)
{
    return strcmp(l->addr, n->cfg.peer_addr) == 0 || (mapped(n) && l->pos == n->self_pos);
}

/* Some member is not connected, and it may be this address where it can be found. */
static bool seed_needed(const struct node *n, const struct link *l)
{
    int known = wire_id_is_zero(&l->node) ? -1 : node_member_by_id(n, &l->node);

    if (known >= 0 && n->links[known].state == LINK_UP) {
        return false;
    }
    for (uint32_t i = 0; i < n->map.member_count; i++) {
        if (i != n->self_pos && n->links[i].state != LINK_UP) {
            return true;
        }
    }
    return false;
}

static bool dials(const struct node *n, const struct link *l)
{
    if (l->addr[0] == 0) {
        return false;
    }
    if (mapped(n)) {
        const struct wire_member *me = &n->map.members[n->self_pos];

        return l->seed ? seed_needed(n, l)
                       : memcmp(n->id.b, l->node.b, sizeof n->id.b) < 0 ||
                             strcmp(me->peer_addr, n->cfg.peer_addr) != 0;
    }
    for (uint32_t i = 0; n->cfg.start == NODE_START_JOIN && i < n->link_count; i++) {
        if (n->links[i].state != LINK_DOWN) {
            return false; /* one member is asked at a time */
        }
    }
    /* The others may have a map, in which this address is that of one with a lower id. */
    return n->cfg.start == NODE_START_JOIN || strcmp(n->cfg.peer_addr, l->addr) < 0 ||
           n->now.mono_us - n->started.mono_us > FOUND_PATIENCE_US;
}

static void put_own_hello(struct node *n, struct buf *b)
{
    struct wire_hello h = {
        .version = WIRE_VERSION,
        .node = n->id,
        .cluster = n->map.cluster,
        .map_epoch = n->map.epoch,
        .found_hash = n->cfg.start == NODE_START_FOUND ? node_found_hash(n) : 0,
        .joining = !mapped(n) && n->cfg.start == NODE_START_JOIN,
        .zone = n->cfg.zone,
        .paxos = n->paxos,
        .weight = (uint8_t)n->cfg.weight,
        .peer_addr = slice_str(n->cfg.peer_addr),
        .client_addr = slice_str(n->cfg.client_addr),
    };
    size_t mark = wire_begin(b, WIRE_HELLO);

    wire_put_hello(b, &h);
    wire_end(b, mark);
}

static void link_dial(struct node *n, struct link *l)
{
    struct node_effect *e = node_effect_push(n, NODE_DIAL);

    l->conn = n->next_conn;
    n->next_conn += 2;
    l->state = LINK_DIALING;
    l->dialed = true;
    l->heard_us = n->now.mono_us;
    l->in.len = PLANTED(HALF_FRAME_KEPT) ? l->in.len : 0;
    link_reset_frames(l);
    e->conn = l->conn;
    memcpy(e->addr, l->addr, sizeof e->addr);
}

static void link_down(struct node *n, struct link *l)
{
    uint64_t conn = l->conn;
    bool was_up = l->state == LINK_UP;
    uint64_t wait = (uint64_t)RETRY_US_MIN << (l->failures < 5 ? l->failures : 5);

    l->state = LINK_DOWN;
    l->conn = 0;
    l->in.len = PLANTED(HALF_FRAME_KEPT) ? l->in.len : 0;
    l->unsent = 0;
    l->failures++;
    link_reset_frames(l);
    if (wait > RETRY_US_MAX) {
        wait = RETRY_US_MAX;
    }
    l->digests = l->gossips = l->greeted = false; /* whoever comes next says so again */
    l->map_epoch = l->map_told = 0;
    l->retry_us = n->now.mono_us + wait / 2 + prng_below(&n->rng, wait);
    if (was_up) {
        l->lost_us = n->now.mono_us;
        node_route_link_down(n, conn);
        for (uint32_t p = 0; p < n->map.partitions && n->groups != NULL; p++) {
            node_snap_sends_drop(&n->groups[p], node_short_id(&l->node), false);
            if (n->groups[p].recv.active && n->groups[p].recv.conn == conn) {
                node_snap_recv_abort(&n->groups[p]);
            }
        }
    }
}

void node_link_drop(struct node *n, struct link *l, const char *reason)
{
    if (l->conn == 0) {
        return;
    }
    node_log(n, NODE_LOG_WARN, "msg=\"link closed\" peer=%s reason=\"%s\"", l->addr, reason);
    node_effect_push(n, NODE_CLOSE)->conn = l->conn;
    link_down(n, l);
}

void node_link_garbled(struct node *n, struct link *l, const char *reason)
{
    n->troubles.peer_errors++;
    node_link_drop(n, l, reason);
}

void node_link_closed(struct node *n, struct link *l, const char *reason)
{
    if (l->state == LINK_UP) {
        node_log(n, NODE_LOG_INFO, "msg=\"link lost\" peer=%s reason=\"%s\"", l->hello_peer,
                 reason);
    }
    link_down(n, l);
}

void node_link_refuse(struct node *n, uint64_t conn, enum err code, const char *text)
{
    struct buf b = {0};
    size_t mark = wire_begin(&b, WIRE_REFUSE);
    struct link *l = node_link_by_conn(n, conn);

    wire_put_refuse(&b, code, text);
    wire_end(&b, mark);
    struct node_effect *e = node_effect_push(n, NODE_SEND);
    e->conn = conn;
    e->data = b;
    node_effect_push(n, NODE_CLOSE)->conn = conn;
    node_log(n, NODE_LOG_WARN, "msg=\"refused a node\" peer=%s reason=\"%s\"",
             l != NULL ? l->hello_peer : "?", text);
    if (l != NULL) {
        link_down(n, l);
    } else {
        (void)node_link_guest_closed(n, conn);
    }
}

void node_link_dialed(struct node *n, struct link *l)
{
    CHECK(l->state == LINK_DIALING);
    l->state = LINK_HELLO;
    l->heard_us = n->now.mono_us;
    put_own_hello(n, &l->now);
}

struct link *node_link_by_conn(struct node *n, uint64_t conn)
{
    for (uint32_t i = 0; i < n->link_count; i++) {
        if (n->links[i].conn == conn && conn != 0) {
            return &n->links[i];
        }
    }
    return NULL;
}

struct link *node_link_at(struct node *n, uint32_t member_pos)
{
    return member_pos < n->link_count && n->links[member_pos].state == LINK_UP
               ? &n->links[member_pos]
               : NULL;
}

struct link *node_link_to(struct node *n, struct raft_id id)
{
    for (uint32_t i = 0; i < n->link_count; i++) {
        if (n->links[i].state == LINK_UP &&
            node_short_id(&n->links[i].node) == node_of_raft_id(id)) {
            return &n->links[i];
        }
    }
    return NULL;
}

/* ---- guests: accepted, not yet introduced ---- */

void node_link_accepted(struct node *n, uint64_t conn, const char *addr)
{
    /* An identity that a crash could still change must not be told to anyone; and whoever wants
     * to join asks one member after the other. */
    if (n->guest_count == GUESTS_MAX || n->phase == NODE_PHASE_IDENTITY ||
        (!mapped(n) && n->cfg.start == NODE_START_JOIN)) {
        node_effect_push(n, NODE_CLOSE)->conn = conn;
        return;
    }
    MEM_GROW(n->guests, n->guest_count, n->guest_cap);
    struct guest *g = &n->guests[n->guest_count++];

    *g = (struct guest){.conn = conn, .since_us = n->now.mono_us};
    (void)strncpy(g->addr, addr, sizeof g->addr - 1);
}

static void guest_remove(struct node *n, uint32_t at)
{
    buf_free(&n->guests[at].in);
    n->guests[at] = n->guests[--n->guest_count];
}

bool node_link_guest_closed(struct node *n, uint64_t conn)
{
    for (uint32_t i = 0; i < n->guest_count; i++) {
        if (n->guests[i].conn == conn) {
            guest_remove(n, i);
            return true;
        }
    }
    return false;
}

static void hello_keep(struct link *l, const struct wire_hello *h)
{
    l->hello = *h;
    memcpy(l->hello_peer, h->peer_addr.data, h->peer_addr.len);
    l->hello_peer[h->peer_addr.len] = 0;
    memcpy(l->hello_client, h->client_addr.data, h->client_addr.len);
    l->hello_client[h->client_addr.len] = 0;
    l->hello.peer_addr = slice_str(l->hello_peer);
    l->hello.client_addr = slice_str(l->hello_client);
}

/* Whatever was sent to replicas on that node may be lost: ask anew where they are. */
static void reset_peers(struct group *g, const struct link *l, const struct raft_id *ids,
                        uint8_t count)
{
    for (uint8_t i = 0; i < count; i++) {
        if (node_of_raft_id(ids[i]) == node_short_id(&l->node)) {
            raft_peer_reset(g->raft, ids[i]);
            node_group_mark(g);
        }
    }
}

static void link_up(struct node *n, struct link *l, const struct wire_hello *h)
{
    hello_keep(l, h);
    l->state = LINK_UP;
    l->node = h->node;
    l->failures = 0;
    l->refused[0] = 0;
    l->map_epoch = h->map_epoch;
    l->heard_us = n->now.mono_us;
    l->ping_us = n->now.mono_us;
    l->used_us = n->now.mono_us; /* it may be wanted: both ends know little yet */
    l->roused_us = 0;
    l->resting = l->peer_rests = l->peer_resting = false;
    node_found_hello(n, l);
    if (l->state != LINK_UP) {
        return;
    }
    node_past_open(n, l);
    node_log(n, NODE_LOG_INFO, "msg=\"link up\" peer=%s", l->hello_peer);
    for (uint32_t p = 0; p < n->map.partitions && n->groups != NULL; p++) {
        struct group *g = &n->groups[p];

        if (g->here) {
            const struct raft_conf *c = raft_conf_now(g->raft);

            node_group_tell_leader(g, l); /* it may have restarted since it was last told */
            reset_peers(g, l, c->voters, c->voter_count);
            reset_peers(g, l, c->outgoing, c->outgoing_count);
            reset_peers(g, l, c->learners, c->learner_count);
        }
        if (!list_empty(&g->held)) {
            node_route_drain(g);
        }
    }
}

/* One that is no member of the newest map that is known here, or this node is none. */
static void link_visit(struct node *n, struct link *l, const struct wire_hello *h)
{
    hello_keep(l, h);
    l->state = LINK_VISIT;
    l->map_epoch = h->map_epoch;
    l->heard_us = l->ping_us = n->now.mono_us;
    if (mapped(n)) {
        node_found_visit(n, l);
    }
}

/* Whether a new connection to the member takes the place of its present one. Both sides decide
 * alike: that of the lower id stays, or the newer of two that are alike. */
static bool prevails(const struct node *n, const struct link *old, bool dialed)
{
    bool lower = memcmp(n->id.b, old->node.b, sizeof n->id.b) < 0;

    return old->conn == 0 || old->state == LINK_DIALING || dialed == lower || old->dialed != lower;
}

/* The connection of `from`, or that of a guest in it, is one with the member of link l. */
static void link_adopt(struct node *n, struct link *l, struct link *from,
                       const struct wire_hello *h)
{
    if (l->conn != 0) {
        node_link_drop(n, l, "the peer connected anew");
    }
    buf_free(&l->in);
    l->in = from->in;
    from->in = (struct buf){0};
    l->conn = from->conn;
    l->dialed = from->dialed;
    link_reset_frames(l);
    if (!l->dialed) {
        put_own_hello(n, &l->now);
    }
    link_up(n, l, h);
}

/* Which link an accepted connection becomes. NULL: none, and the guest was told. */
static struct link *link_for(struct node *n, uint64_t conn, const struct wire_hello *h)
{
    char addr[NODE_ADDR_MAX];
    struct link *l;
    int pos;

    if (!mapped(n)) {
        memcpy(addr, h->peer_addr.data, h->peer_addr.len);
        addr[h->peer_addr.len] = 0;
        l = link_by_addr(n, addr);
        if (l == NULL || is_self(n, l) || h->joining) {
            node_link_refuse(n, conn, h->joining ? ERR_AGAIN : ERR_REFUSED,
                             h->joining ? "this node belongs to no cluster yet"
                                        : "this address is not on the list of members");
            return NULL;
        }
        return l;
    }
    pos = node_member_by_id(n, &h->node);
    if (pos >= 0 && ((uint32_t)pos == n->self_pos || !prevails(n, &n->links[pos], false))) {
        SOMETIMES((uint32_t)pos != n->self_pos, "node_link: a second connection is closed");
        node_effect_push(n, NODE_CLOSE)->conn = conn;
        (void)node_link_guest_closed(n, conn);
        return NULL;
    }
    l = pos >= 0 ? &n->links[pos] : link_vacant(n);
    if (l == NULL) {
        node_link_refuse(n, conn, ERR_AGAIN, "too many strangers are here already");
    }
    return l;
}

/* The first frame of an accepted connection decides which link it becomes. */
static void guest_hello(struct node *n, uint32_t at, struct slice payload)
{
    struct link from = {.conn = n->guests[at].conn};
    struct wire_hello h;
    struct link *l;
    enum err err = wire_get_hello(payload, &h);

    if (err != ERR_OK) {
        node_link_refuse(n, from.conn, err,
                         err == ERR_VERSION ? "the two nodes speak different protocol versions"
                                            : "the hello cannot be read");
        return;
    }
    l = link_for(n, from.conn, &h);
    if (l == NULL) {
        return;
    }
    from.in = n->guests[at].in;
    n->guests[at].in = (struct buf){0};
    guest_remove(n, at);
    if (!mapped(n) || node_member_by_id(n, &h.node) >= 0) {
        link_adopt(n, l, &from, &h);
        return;
    }
    buf_free(&l->in);
    l->in = from.in;
    l->conn = from.conn;
    l->dialed = false;
    link_reset_frames(l);
    put_own_hello(n, &l->now);
    link_visit(n, l, &h);
}

/* The node at an address that was dialed has said who it is. */
static void dialed_hello(struct node *n, struct link *l, const struct wire_hello *h)
{
    int pos = mapped(n) ? node_member_by_id(n, &h->node) : -1;
    struct link *home = pos < 0 ? NULL : &n->links[pos];

    if ((home != NULL && home == l) || (!mapped(n) && n->cfg.start != NODE_START_JOIN)) {
        link_up(n, l, h);
    } else if (home == NULL) {
        link_visit(n, l, h);
    } else if ((uint32_t)pos == n->self_pos || !prevails(n, home, true)) {
        if (l->seed) {
            l->node = h->node;
        }
        node_link_drop(n, l, "the node at this address is known already");
    } else {
        struct link from = {.conn = l->conn, .dialed = true};

        SOMETIMES_RARE(true, "node_link: a member was found at another address", MARK_NOT_DUE,
                       "machines keep their addresses; test/unit/node/node_chain_test.c");
        if (l->seed) {
            l->node = h->node; /* where to find it is known, and need not be tried again */
        }
        /* Bytes behind the hello stay with the caller, who looks for the connection anew. */
        l->conn = 0;
        l->state = LINK_DOWN;
        link_reset_frames(l);
        l->retry_us = n->now.mono_us + RETRY_US_MAX;
        link_adopt(n, home, &from, h);
    }
}

/* ---- frames ---- */

static void frame_raft(struct node *n, struct link *l, struct slice payload)
{
    struct reader r = reader_of(payload.data, payload.len);

    while (reader_left(&r) > 0) {
        struct raft_msg m;
        uint32_t partition;

        if (wire_get_raft(&r, &partition, &m, &n->entries) != ERR_OK) {
            node_link_garbled(n, l, "a Raft message that cannot be read");
            return;
        }
        if (n->groups == NULL || partition >= n->map.partitions || !n->groups[partition].here ||
            node_of_raft_id(m.from) != node_short_id(&l->node)) {
            continue; /* for a replica that is not, or not yet, here */
        }
        struct group *g = &n->groups[partition];

        if (node_past_void(g, m.from)) {
            SOMETIMES(true, "node_link: a message of a replica that has forgotten");
            continue;
        }
        if (m.entry_count > 0 && (wal_full(n->wal) || node_repair_log_full(g))) {
            SOMETIMES(wal_full(n->wal), "node_link: append ignored, disk full");
            continue; /* not acknowledged: the leader sends it again */
        }
        enum err err = raft_step(g->raft, n->now.mono_us, &m);

        SOMETIMES(err == ERR_MISROUTED, "node_link: message for an earlier replica");
        node_group_mark(g);
    }
}

/* It is not part of the group yet, so that no leader speaks to it. */
static bool waits_for_leader(const struct group *g)
{
    return g->rebuilding && raft_leader(g->raft).n == 0;
}

static void frame_leaders(struct node *n, struct link *l, struct slice payload)
{
    struct reader r = reader_of(payload.data, payload.len);
    struct wire_leader hint;

    while (reader_left(&r) > 0) {
        if (wire_get_leader(&r, &hint) != ERR_OK) {
            node_link_garbled(n, l, "a leader list that cannot be read");
            return;
        }
        if (n->groups != NULL && hint.partition < n->map.partitions &&
            (!n->groups[hint.partition].here || waits_for_leader(&n->groups[hint.partition]))) {
            node_group_learn_leader(&n->groups[hint.partition], hint.leader, hint.term);
        }
    }
}

static void frame_refuse(struct node *n, struct link *l, struct slice payload)
{
    enum err code;
    struct slice text;
    struct diag why = {0};

    if (wire_get_refuse(payload, &code, &text) != ERR_OK) {
        return;
    }
    (void)snprintf(l->refused, sizeof l->refused, "%.*s", (int)text.len, (const char *)text.data);
    node_log(n, NODE_LOG_ERROR, "msg=\"refused by a peer\" peer=%s reason=\"%.*s\"", l->addr,
             (int)text.len, (const char *)text.data);
    if (n->phase == NODE_PHASE_FOUNDING && code != ERR_AGAIN) {
        diag_set(&why, "refused by %s: %.*s", l->addr, (int)text.len, (const char *)text.data);
        node_fail(n, code == ERR_OK ? ERR_REFUSED : code, &why);
    }
}

static void frame_replica(struct node *n, struct link *l, const struct wire_frame *f)
{
    struct wire_chunk c;
    struct wire_chunk_ack a;
    struct wire_join j;
    struct wire_digest d;
    struct wire_out o;

    if (f->type == WIRE_CHUNK && wire_get_chunk(f->payload, &c) == ERR_OK) {
        node_snap_chunk(n, l, &c);
    } else if (f->type == WIRE_CHUNK_ACK && wire_get_chunk_ack(f->payload, &a) == ERR_OK) {
        node_snap_ack(n, l, &a);
    } else if (f->type == WIRE_JOIN && wire_get_join(f->payload, &j) == ERR_OK) {
        node_member_join(n, l, &j);
    } else if (f->type == WIRE_DIGEST && wire_get_digest(f->payload, &d) == ERR_OK) {
        node_digest_frame(n, l, &d);
    } else if (f->type == WIRE_OUT && wire_get_out(f->payload, &o) == ERR_OK) {
        node_move_out(n, l, &o);
    } else {
        node_link_garbled(n, l, "a frame that cannot be read");
    }
}

static void link_frame(struct node *n, struct link *l, const struct wire_frame *f)
{
    struct wire_hello h;

    if (l->state == LINK_HELLO && f->type != WIRE_HELLO && f->type != WIRE_REFUSE) {
        node_link_garbled(n, l, "the first frame is not a hello");
        return;
    }
    if (l->state == LINK_VISIT && f->type != WIRE_MAP && f->type != WIRE_REFUSE &&
        f->type != WIRE_PING && f->type != WIRE_HELLO) {
        return; /* one that believes to be a member; the newer map says who is right */
    }
    if (f->type != WIRE_PING && f->type != WIRE_LEADERS && f->type != WIRE_SWIM &&
        f->type != WIRE_RECORDS) {
        l->used_us = n->now.mono_us;
    }
    switch (f->type) {
    case WIRE_HELLO:
        if (l->state != LINK_HELLO || wire_get_hello(f->payload, &h) != ERR_OK) {
            node_link_garbled(n, l, "an unexpected hello, or of another protocol version");
            return;
        }
        dialed_hello(n, l, &h);
        return;
    case WIRE_RAFT:
        frame_raft(n, l, f->payload);
        return;
    case WIRE_REQUEST:
        node_route_request_frame(n, l, f->payload);
        return;
    case WIRE_REPLY:
        node_route_reply_frame(n, l, f->payload);
        return;
    case WIRE_MAP:
        node_found_map(n, l, f->payload);
        return;
    case WIRE_CHUNK:
    case WIRE_CHUNK_ACK:
    case WIRE_JOIN:
    case WIRE_DIGEST:
        frame_replica(n, l, f);
        return;
    case WIRE_LEADERS:
        frame_leaders(n, l, f->payload);
        return;
    case WIRE_REFUSE:
        frame_refuse(n, l, f->payload);
        return;
    case WIRE_RECORDS:
        node_past_frame(n, l, f->payload);
        return;
    case WIRE_FORGOT:
        node_past_forgot(n, l, f->payload);
        return;
    case WIRE_SWIM:
        node_gossip_frame(n, l, f->payload);
        return;
    case WIRE_OUT:
        frame_replica(n, l, f);
        return;
    case WIRE_PAXOS:
        node_chain_frame(n, l, f->payload);
        return;
    case WIRE_PING:
        node_ping_frame(n, l, f->payload);
        return;
    }
}

/* Frames straight from the received bytes; only an incomplete one is kept. */
static void link_bytes(struct node *n, struct link *l, const uint8_t *data, size_t len)
{
    uint64_t conn = l->conn;
    bool kept = l->in.len > 0;
    struct buf whole = {0};
    size_t at = 0;

    if (kept) {
        buf_append(&l->in, data, len);
        whole = l->in;
        l->in = (struct buf){0};
        data = whole.data;
        len = whole.len;
    }
    while (l->conn == conn && n->phase != NODE_PHASE_STOPPED) {
        struct wire_frame f;
        enum err err = wire_next(data + at, len - at, &f);

        if (err == ERR_AGAIN) {
            break;
        }
        if (err != ERR_OK) {
            node_link_garbled(n, l, "bytes that are not a frame");
            break;
        }
        at += f.used;
        link_frame(n, l, &f);
        /* A map may have renumbered the links. */
        l = node_link_by_conn(n, conn);
        if (l == NULL) {
            break;
        }
    }
    if (l != NULL && l->conn == conn && at < len) {
        if (kept) {
            buf_consume(&whole, at);
            l->in = whole;
            whole = (struct buf){0};
        } else {
            buf_append(&l->in, data + at, len - at);
        }
        if (l->in.len >= 4 && l->in.cap < (size_t)load_u32le(l->in.data) + 4) {
            buf_reserve(&l->in, (size_t)load_u32le(l->in.data) + 4 - l->in.len);
        }
    }
    buf_free(&whole);
}

bool node_link_received(struct node *n, uint64_t conn, const uint8_t *data, size_t len)
{
    struct link *l = node_link_by_conn(n, conn);
    struct wire_frame f;

    if (l != NULL) {
        l->heard_us = n->now.mono_us;
        link_bytes(n, l, data, len);
        return true;
    }
    for (uint32_t i = 0; i < n->guest_count; i++) {
        struct guest *g = &n->guests[i];

        if (g->conn != conn) {
            continue;
        }
        buf_append(&g->in, data, len);
        enum err err = wire_next(g->in.data, g->in.len, &f);

        if (err == ERR_AGAIN && g->in.len < 4096) {
            return true;
        }
        if (err != ERR_OK || f.type != WIRE_HELLO) {
            node_link_refuse(n, conn, ERR_BAD_INPUT,
                             "this is the port for synod nodes; clients use the other one");
            return true;
        }
        struct buf first = {0};

        buf_append(&first, f.payload.data, f.payload.len);
        buf_consume(&g->in, f.used);
        guest_hello(n, i, buf_slice(&first));
        buf_free(&first);
        l = node_link_by_conn(n, conn);
        if (l != NULL && l->in.len > 0) {
            struct buf rest = l->in;

            l->in = (struct buf){0};
            link_bytes(n, l, rest.data, rest.len);
            buf_free(&rest);
        }
        return true;
    }
    return false;
}

void node_link_tick(struct node *n)
{
    uint64_t now = n->now.mono_us;

    for (uint32_t i = n->guest_count; i-- > 0;) {
        if (now - n->guests[i].since_us > HELLO_US_MAX) {
            node_effect_push(n, NODE_CLOSE)->conn = n->guests[i].conn;
            guest_remove(n, i);
        }
    }
    if (n->phase == NODE_PHASE_IDENTITY || n->phase == NODE_PHASE_STOPPED) {
        return;
    }
    for (uint32_t i = 0; i < n->link_count; i++) {
        struct link *l = &n->links[i];
        bool whole = l->state == LINK_UP || l->state == LINK_VISIT; /* hellos were exchanged */

        if (is_self(n, l)) {
            continue;
        }
        if (l->state == LINK_DOWN) {
            if (dials(n, l) && now >= l->retry_us) {
                link_dial(n, l);
            }
            continue;
        }
        if (whole ? node_ping_silent(n, l) : now - l->heard_us > HELLO_US_MAX) {
            SOMETIMES(l->state == LINK_UP, "node_link: silent peer cut off");
            node_link_drop(n, l, "nothing heard from the peer");
            continue;
        }
        if (l->state == LINK_UP && !l->peer_resting && node_link_quiet(n, l)) {
            node_route_link_quiet(n, l);
        }
        if (l->unsent > UNSENT_BYTES_MAX) {
            node_link_drop(n, l, "the peer does not read what it is sent");
            continue;
        }
        if (whole) {
            node_ping_tick(n, l);
        }
    }
}

/* ---- sending ---- */

void node_link_send_raft(struct node *n, uint32_t partition, const struct raft_msg *m,
                         uint64_t gate)
{
    struct link *l = node_link_to(n, m->to);

    if (l == NULL) {
        return; /* Raft sends again */
    }
    if (gate <= wal_durable(n->wal)) {
        if (!l->raft_now_open) {
            l->raft_now_mark = wire_begin(&l->raft_now, WIRE_RAFT);
            l->raft_now_open = true;
        }
        wire_put_raft(&l->raft_now, partition, m);
        return;
    }
    if (!l->raft_gated_open) {
        l->raft_gated_mark = wire_begin(&l->gated, WIRE_RAFT);
        l->raft_gated_open = true;
    }
    if (m->kind == RAFT_MSG_APPEND_REPLY || m->kind == RAFT_MSG_VOTE_REPLY) {
        node_past_gated(&n->groups[partition], l, gate);
    }
    wire_put_raft(&l->gated, partition, m);
    l->gate = gate > l->gate ? gate : l->gate;
}

struct buf *node_link_request_frame(struct link *l)
{
    if (!l->request_open) {
        l->request_mark = wire_begin(&l->requests, WIRE_REQUEST);
        l->request_open = true;
    }
    return &l->requests;
}

struct buf *node_link_reply_frame(struct link *l)
{
    if (!l->reply_open) {
        l->reply_mark = wire_begin(&l->replies, WIRE_REPLY);
        l->reply_open = true;
    }
    return &l->replies;
}

void node_link_say_map(struct node *n, struct link *l)
{
    const struct wire_map *map = node_chain_map(n);
    size_t mark;

    if (map == NULL) {
        return;
    }
    mark = wire_begin(&l->now, WIRE_MAP);
    wire_put_map(&l->now, map);
    wire_end(&l->now, mark);
    l->map_told = map->epoch;
}

void node_link_end(struct node *n, struct link *l)
{
    send_buf(n, l, &l->now, 0);
    node_effect_push(n, NODE_CLOSE)->conn = l->conn;
    link_down(n, l);
}

/* What the gated messages rest on goes before them. */
static void records_first(struct link *l)
{
    struct buf messages = l->gated;

    if (l->records.len > 0) {
        wire_end(&l->records, l->records_mark);
        buf_append(&l->records, messages.data, messages.len);
        l->gated = l->records;
        l->records = messages;
        l->records.len = 0;
    }
}

void node_links_flush(struct node *n)
{
    for (uint32_t i = 0; i < n->link_count; i++) {
        struct link *l = &n->links[i];

        if (l->conn == 0 || l->state == LINK_DIALING) {
            continue;
        }
        if (l->raft_now_open || l->raft_gated_open || l->request_open || l->reply_open) {
            node_ping_used(n, l);
        }
        if (l->raft_now_open) {
            wire_end(&l->raft_now, l->raft_now_mark);
            l->raft_now_open = false;
        }
        if (l->request_open) {
            wire_end(&l->requests, l->request_mark);
            l->request_open = false;
        }
        if (l->reply_open) {
            wire_end(&l->replies, l->reply_mark);
            l->reply_open = false;
        }
        /* One send where possible: hello and control first, then the frames. */
        if (l->now.len == 0) {
            struct buf spare = l->now;

            l->now = l->raft_now;
            l->raft_now = spare;
        } else {
            buf_append(&l->now, l->raft_now.data, l->raft_now.len);
            l->raft_now.len = 0;
        }
        buf_append(&l->now, l->requests.data, l->requests.len);
        buf_append(&l->now, l->replies.data, l->replies.len);
        l->requests.len = l->replies.len = 0;
        send_buf(n, l, &l->now, 0);
        if (l->raft_gated_open) {
            wire_end(&l->gated, l->raft_gated_mark);
            l->raft_gated_open = false;
            records_first(l);
            send_buf(n, l, &l->gated, l->gate);
            l->gate = 0;
        }
    }
}
