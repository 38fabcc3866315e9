/* Routing: from a command to the leader of its partition, here or elsewhere.
 *
 * A request waits (held) while no leader can be reached; nothing has happened to it
 * then. Once it was sent or proposed it may happen: it is not repeated unless
 * the other side says that it did not. Held requests of a partition leave in
 * the order of their arrival.
 */
#include "node/node_internal.h"

#include "base/base_hash.h"
#include "base/base_mem.h"

#include <stdio.h>

static void keep_command(struct request *r, uint32_t argc, const struct slice *argv)
{
    if (r->command.len == 0) {
        cmd_encode(&r->command, r->cmd, argc, argv);
    }
}

static void hold(struct group *g, struct request *r, uint32_t argc, const struct slice *argv)
{
    if (argv != NULL) {
        keep_command(r, argc, argv);
    }
    r->state = REQUEST_HELD;
    list_push_back(&g->held, &r->in_group);
}

/* ---- at the leader ---- */

static struct hlc_stamp logged_time(struct group *g)
{
    node_group_leader_time(g);
    return hlc_now(&g->clock, g->node->now.wall_ms);
}

enum {
    REMOVAL_KEYS_MAX = 64,
    LINK_SOFT_BYTES = 64 << 20, /* unsent to a peer: requests for it wait here */
};

#define ERR_DISK_FULL                                                                              \
    "MISCONF the disk of the partition's leader is full: the write was not done; free space in "   \
    "its "                                                                                         \
    "data directory"

enum sent {
    SENT,
    NOT_SENT,   /* not the leader */
    SENT_LATER, /* the leader, but not now: wait here */
};

/* argv NULL: r->command holds the encoded command. */
static enum sent propose(struct group *g, struct request *r, uint32_t argc,
                         const struct slice *argv)
{
    struct node *n = g->node;
    struct buf *b = &n->scratch;
    struct raft_index index;
    enum err err;

    if (!node_writable(n)) {
        if (node_member_can_leave(g)) {
            return SENT_LATER; /* another replica is about to lead */
        }
        node_request_error(n, r, ERR_DISK_FULL);
        return SENT;
    }
    b->len = 0;
    put_u64le(b, logged_time(g).n);
    if (argv != NULL) {
        cmd_encode(b, r->cmd, argc, argv);
    } else {
        buf_append(b, r->command.data, r->command.len);
    }
    if (b->len > n->cfg.entry_bytes_max) {
        node_request_error(n, r,
                           "ERR the command is larger than one log entry may be "
                           "(entry-max-bytes); nothing was done");
        return SENT;
    }
    err = raft_propose(g->raft, n->now.mono_us, buf_slice(b), &index);
    if (b->cap > (1U << 20)) {
        buf_free(b);
    }
    if (err != ERR_OK) {
        /* A leader that hands over takes nothing more: what waits here leaves in order, to
         * whoever leads next. */
        return err == ERR_FULL || node_group_leads(g) ? SENT_LATER : NOT_SENT;
    }
    n->stats.proposals++;
    r->state = REQUEST_PROPOSED;
    if (r->command.cap > 4096) {
        buf_free(&r->command);
    }
    r->command.len = 0;
    r->wait_index = index;
    node_pending_push(g, index, raft_term_now(g->raft), r);
    node_group_mark(g);
    return SENT;
}

static uint64_t present_ms(const struct group *g)
{
    uint64_t logged_ms = hlc_ms(g->clock.last);

    return g->node->now.wall_ms > logged_ms ? g->node->now.wall_ms : logged_ms;
}

/* The time of a read that stands behind what is applied and before the rest of the log: the
 * present, but not later than the entry that comes next. What has not run out for that one
 * must be there for the read: PERSIST may be next. */
static uint64_t read_time_ms(const struct group *g)
{
    const struct raft_entry *e;

    for (uint64_t at = g->applied.n + 1; (e = raft_entry(g->raft, (struct raft_index){at})) != NULL;
         at++) {
        if (e->kind == RAFT_COMMAND) {
            uint64_t next_ms = hlc_ms((struct hlc_stamp){load_u64le(e->data.data)});
            uint64_t now_ms = present_ms(g);

            return next_ms < now_ms ? next_ms : now_ms;
        }
    }
    return present_ms(g);
}

static struct call read_call(struct group *g, uint64_t now_ms, const struct cmd *cmd, uint32_t argc,
                             const struct slice *argv)
{
    struct node *n = g->node;

    return (struct call){
        .cmd = cmd,
        .argc = argc,
        .argv = argv,
        .store = g->store,
        .now_ms = now_ms,
        .access_s = (uint32_t)(n->now.wall_ms / 1000),
        .rng = {prng_next(&n->rng)},
    };
}

/* A read saw items past their time: the removal is logged before anybody is told, or a
 * later leader with a slower clock could show them again. It names the read's keys, for
 * more may be due than one entry removes. NULL: whatever is due. */
static bool log_removal(struct group *g, const struct cmd_decoded *read)
{
    struct node *n = g->node;
    uint32_t pos[REMOVAL_KEYS_MAX], keys = 0;
    struct slice argv[2 + REMOVAL_KEYS_MAX] = {SLICE("synod.expire"), SLICE("1000")};
    struct raft_index index;
    struct buf *b = &n->scratch;

    if (read != NULL) {
        keys = cmd_keys(read->cmd, read->argc, read->argv, pos, REMOVAL_KEYS_MAX);
        keys = keys < REMOVAL_KEYS_MAX ? keys : REMOVAL_KEYS_MAX;
    }
    for (uint32_t i = 0; i < keys; i++) {
        argv[2 + i] = read->argv[pos[i]];
    }
    b->len = 0;
    put_u64le(b, logged_time(g).n);
    cmd_encode(b, cmd_by_id(CMD_ID_SYNOD_EXPIRE), 2 + keys, argv);
    if (!node_writable(n) ||
        raft_propose(g->raft, n->now.mono_us, buf_slice(b), &index) != ERR_OK) {
        return false;
    }
    g->expire_index = index;
    node_group_mark(g);
    return true;
}

/* False: an item past its time was met. The reply may leave only when its removal is
 * logged, or the reader must be asked to wait. */
static bool run_read(struct group *g, struct call *c, struct resp_writer *w)
{
    c->out = *w;
    (void)store_take_saw_expired(g->store);
    cmd_run(c);
    if (store_take_saw_expired(g->store) && (c->cmd->flags & CMD_FANOUT) == 0) {
        SOMETIMES(true, "node_route: a read met an item past its time");
        return false;
    }
    return true;
}

bool node_route_read_now(struct node *n, struct session *s, const struct cmd *cmd,
                         uint32_t partition, uint32_t argc, const struct slice *argv,
                         struct resp_writer *w)
{
    struct group *g = &n->groups[partition];
    struct call c;
    size_t before;

    if (s->waiting != 0 || !list_empty(&g->held) || !node_group_leads(g) ||
        !node_group_trusted(g) || !raft_lease_valid(g->raft, n->now.mono_us) ||
        (g->applied.n != raft_commit(g->raft).n && !PLANTED(READ_UNAPPLIED))) {
        return false;
    }
    bool now = false;

    if (raft_read(g->raft, n->now.mono_us, n->next_request, &now) != ERR_OK || !now) {
        /* The token belongs to no request: its answer will be ignored. */
        n->next_request++;
        return false;
    }
    n->stats.lease_reads++;
    c = read_call(g, present_ms(g), cmd, argc, argv);
    before = w->out->len;
    if (run_read(g, &c, w)) {
        return true;
    }
    w->out->len = before;
    return false;
}

static enum sent read_at_leader(struct group *g, struct request *r, uint32_t argc,
                                const struct slice *argv)
{
    struct node *n = g->node;
    bool now = false;

    if (raft_read(g->raft, n->now.mono_us, r->id, &now) != ERR_OK) {
        return NOT_SENT;
    }
    if (argv != NULL) {
        keep_command(r, argc, argv);
    }
    r->state = REQUEST_READING;
    r->right = now;
    r->barrier = raft_last(g->raft);
    r->barrier_term = raft_term_at(g->raft, r->barrier);
    r->wait_index = r->after_writes ? r->barrier : g->applied;
    if (now) {
        n->stats.lease_reads++;
    } else {
        n->stats.index_reads++;
        CHECK(map64_put(&n->reads, r->id, r) == NULL);
    }
    list_push_back(&g->reading, &r->in_group);
    node_group_mark(g);
    return SENT;
}

/* The reply rests on a removal: it leaves if that was applied, and nothing else in its
 * place. */
static void answer_after_removal(struct group *g, struct request *r)
{
    struct node *n = g->node;

    if (raft_term_at(g->raft, r->wait_index).n == r->removal_term.n) {
        struct buf reply = r->reply;

        r->reply = (struct buf){0};
        node_request_reply(n, r, buf_slice(&reply));
        buf_free(&reply);
        return;
    }
    r->removal_term.n = 0;
    r->reply.len = 0;
    node_request_not_leader(n, r);
}

static void answer_wait_for_removal(struct group *g, struct request *r,
                                    const struct cmd_decoded *read)
{
    if (log_removal(g, read)) {
        r->wait_index = g->expire_index;
        r->removal_term = raft_term_now(g->raft);
        return;
    }
    if (node_writable(g->node)) { /* handing over: whoever leads next answers */
        SOMETIMES(true, "node_route: a read past an item's time waits for the next leader");
        node_request_not_leader(g->node, r);
        return;
    }
    r->reply.len = 0;
    node_request_error(g->node, r,
                       "MISCONF the key's time has come but its removal cannot be logged: the disk "
                       "of the partition's leader is full");
}

/* Answer a READING request whose time has come. */
static void answer_read(struct group *g, struct request *r)
{
    struct node *n = g->node;
    struct cmd_decoded d;
    struct resp_writer w = {.out = &r->reply, .proto = r->proto};
    struct call c;
    bool late;

    if (r->removal_term.n != 0) {
        answer_after_removal(g, r);
        return;
    }
    if (r->after_writes && raft_term_at(g->raft, r->barrier).n != r->barrier_term.n) {
        /* Its client's earlier writes were replaced here: it goes behind them again. */
        SOMETIMES(true, "node_route: a read whose writes were replaced");
        node_request_not_leader(n, r);
        return;
    }
    CHECK(cmd_decode(buf_slice(&r->command), &d) == ERR_OK);
    /* Entries up to the barrier are older than the read, those beyond it are not. */
    late = g->applied.n >= r->barrier.n;
    c = read_call(g, late ? read_time_ms(g) : present_ms(g), d.cmd, d.argc, d.argv);
    if (run_read(g, &c, &w)) {
        if (r->session != NULL && n->now.mono_us - r->started_us >= n->cfg.slowlog_us) {
            node_slowlog_note(r->session, d.argc, d.argv, n->now.mono_us - r->started_us);
        }
        node_request_replied(n, r);
    } else if (!late) {
        /* Older entries, written while the item's time had not come, may still change it. */
        SOMETIMES(true, "node_route: a read past an item's time waits for older entries");
        r->reply.len = 0;
        r->wait_index = r->barrier;
        r->after_writes = true;
    } else {
        answer_wait_for_removal(g, r, &d);
    }
    cmd_decoded_free(&d);
}

bool node_reads_ready(struct group *g)
{
    bool clear = true;

    LIST_EACH(it, &g->reading)
    {
        struct request *r = LIST_ENTRY(it, struct request, in_group);

        if (r->right && r->wait_index.n <= g->applied.n) {
            answer_read(g, r);
        } else if (!r->right && r->barrier.n <= g->applied.n) {
            clear = false;
        }
    }
    return clear;
}

void node_reads_overtaken(struct group *g, struct raft_index upto)
{
    LIST_EACH(it, &g->reading)
    {
        struct request *r = LIST_ENTRY(it, struct request, in_group);

        if (r->barrier.n < upto.n) {
            SOMETIMES(true, "node_route: a read overtaken by a snapshot");
            r->removal_term.n = 0;
            r->reply.len = 0;
            node_request_not_leader(g->node, r);
        }
    }
}

void node_read_right(struct node *n, uint64_t token, struct raft_index index)
{
    struct request *r = map64_remove(&n->reads, token);

    if (r != NULL) {
        r->right = true;
        r->wait_index = index.n > r->wait_index.n ? index : r->wait_index;
        node_group_mark(&n->groups[r->partition]);
    }
}

void node_read_lost(struct node *n, uint64_t token)
{
    struct request *r = map64_get(&n->reads, token);

    if (r != NULL) {
        node_request_not_leader(n, r);
    }
}

/* Items whose time has come go through the log, a bounded number at once. */
void node_expire_tick(struct node *n)
{
    for (uint32_t p = 0; p < n->map.partitions && n->groups != NULL; p++) {
        struct group *g = &n->groups[p];
        uint64_t due;

        if (!node_group_leads(g) || !node_group_trusted(g)) {
            continue;
        }
        due = store_next_expire_ms(g->store);
        if (due != 0 && due <= n->now.wall_ms && g->expire_index.n <= g->applied.n) {
            (void)log_removal(g, NULL);
        }
    }
}

/* ---- towards the leader ---- */

static enum sent forward(struct group *g, struct request *r, uint32_t argc,
                         const struct slice *argv)
{
    struct node *n = g->node;
    struct link *l = node_link_to(n, g->leader);

    if (l == NULL || l->unsent > LINK_SOFT_BYTES) {
        return NOT_SENT;
    }
    if (node_link_quiet(n, l)) {
        node_ping_rouse(n, l);
        return NOT_SENT;
    }
    if (argv != NULL) {
        keep_command(r, argc, argv);
    }
    struct wire_request q = {
        .id = r->id,
        .partition = g->partition,
        .term = g->leader_term,
        .flags = (uint8_t)((r->after_writes ? WIRE_REQUEST_AFTER_WRITES : 0) |
                           (r->proto == 3 ? WIRE_REQUEST_RESP3 : 0)),
        .command = buf_slice(&r->command),
    };

    if (r->command.len > n->cfg.entry_bytes_max) {
        node_request_error(n, r,
                           "ERR the command is larger than one log entry may be "
                           "(entry-max-bytes); nothing was done");
        return SENT;
    }
    wire_put_request(node_link_request_frame(l), &q);
    r->state = REQUEST_FORWARDED;
    r->conn = l->conn;
    n->stats.forwarded++;
    CHECK(map64_put(&n->forwarded, r->id, r) == NULL);
    list_push_back(&g->forwarded, &r->in_group);
    return SENT;
}

static enum sent try_send(struct group *g, struct request *r, uint32_t argc,
                          const struct slice *argv)
{
    if (node_group_leads(g) && !node_group_trusted(g)) {
        return SENT_LATER; /* another replica is about to lead, one that is right */
    }
    if (node_group_leads(g)) {
        return r->is_write ? propose(g, r, argc, argv) : read_at_leader(g, r, argc, argv);
    }
    if (r->origin == REQUEST_LINK || g->leader.n == 0 || (g->here && g->leader.n == g->self.n)) {
        return NOT_SENT;
    }
    return forward(g, r, argc, argv);
}

void node_route(struct node *n, struct request *r, uint32_t argc, const struct slice *argv)
{
    struct group *g = &n->groups[r->partition];

    if (!list_empty(&g->held) || try_send(g, r, argc, argv) != SENT) {
        hold(g, r, argc, argv);
    }
}

/* A request that came back may be sent again only while its client's later ones for the
 * partition have not happened: otherwise it would take effect after them. */
enum order { ORDER_KEPT, ORDER_UNDECIDED, ORDER_LOST };

static enum order order_of(const struct request *r)
{
    const struct request *anchor = r->origin == REQUEST_CHILD ? r->parent : r;
    const struct session *s = anchor->session;
    enum order order = ORDER_KEPT;

    if (!r->bounced || s == NULL || PLANTED(ORDER_IGNORED)) {
        return ORDER_KEPT;
    }
    for (const struct list *it = anchor->in_session.next; it != &s->replies; it = it->next) {
        const struct request *later = CONTAINER_OF(it, const struct request, in_session);

        if (later->fanout == NULL && later->partition != r->partition) {
            continue;
        }
        if (later->fanout != NULL || later->happened) {
            return ORDER_LOST;
        }
        if (later->state != REQUEST_HELD && later->state != REQUEST_DONE) {
            order = ORDER_UNDECIDED;
        }
    }
    return order;
}

/* False: the request must wait. */
static bool order_allows(struct node *n, struct request *r)
{
    switch (order_of(r)) {
    case ORDER_KEPT:
        return true;
    case ORDER_UNDECIDED:
        SOMETIMES(true, "node_route: waits for what its client sent later");
        return false;
    case ORDER_LOST:
        SOMETIMES(true, "node_route: overtaken by what its client sent later");
        node_request_error(n, r,
                           "TRYAGAIN the partition's leader changed and a later command of this "
                           "connection went ahead; this one was not done");
        return false;
    }
    UNREACHABLE("order");
}

void node_route_drain(struct group *g)
{
    struct node *n = g->node;

    while (!list_empty(&g->held)) {
        struct request *r = LIST_ENTRY(g->held.next, struct request, in_group);

        if (!order_allows(n, r)) {
            if (g->held.next == &r->in_group) {
                return;
            }
            continue; /* answered: it is gone */
        }
        list_remove(&r->in_group);
        enum sent sent = try_send(g, r, 0, NULL);

        if (sent == NOT_SENT && r->origin == REQUEST_LINK) {
            node_request_not_leader(n, r);
        } else if (sent != SENT) {
            r->state = REQUEST_HELD;
            list_push_front(&g->held, &r->in_group);
            return;
        }
    }
}

void node_route_drain_all(struct node *n)
{
    for (uint32_t p = 0; p < n->map.partitions && n->groups != NULL; p++) {
        if (!list_empty(&n->groups[p].held)) {
            node_route_drain(&n->groups[p]);
        }
    }
}

/* No answer to what was sent on that connection will come, or none that is waited for: what
 * may have happened is in doubt, what only reads is asked again. */
static void forwarded_lost(struct group *g, uint64_t conn, const char *why)
{
    LIST_EACH(it, &g->forwarded)
    {
        struct request *r = LIST_ENTRY(it, struct request, in_group);

        if (r->conn != conn) {
            continue;
        }
        if (r->is_write && !PLANTED(RESENT_IN_DOUBT)) {
            node_request_in_doubt(g->node, r, why);
        } else {
            node_request_not_leader(g->node, r);
        }
    }
}

void node_route_link_down(struct node *n, uint64_t conn)
{
    for (uint32_t p = 0; p < n->map.partitions && n->groups != NULL; p++) {
        forwarded_lost(&n->groups[p], conn, "the connection to the partition's leader broke");
    }
}

void node_route_link_quiet(struct node *n, const struct link *l)
{
    for (uint32_t p = 0; p < n->map.partitions && n->groups != NULL; p++) {
        struct group *g = &n->groups[p];

        /* Leaders are only learned in order of their terms: this one is newer than those that
         * the requests were sent to. */
        if (g->leader.n != 0 && node_of_raft_id(g->leader) != node_short_id(&l->node) &&
            !list_empty(&g->forwarded)) {
            SOMETIMES(true, "node_route: another leads, and the one before is not heard");
            forwarded_lost(g, l->conn, "the partition's leader was cut off and another leads");
        }
    }
}

static void refuse_request(struct link *l, uint64_t id, enum wire_outcome outcome)
{
    struct wire_reply p = {.id = id, .outcome = outcome};

    wire_put_reply(node_link_reply_frame(l), &p);
}

static void take_request(struct node *n, struct link *l, const struct wire_request *q)
{
    struct group *g;
    struct cmd_decoded d;
    struct request *r;
    enum sent sent;

    if (n->groups == NULL || q->partition >= n->map.partitions) {
        refuse_request(l, q->id, WIRE_NOT_LEADER);
        return;
    }
    g = &n->groups[q->partition];
    /* The term must be the one the sender meant: a request that was long on its way
     * must not overtake a later one that went to another leader. */
    if (!node_group_leads(g) || raft_term_now(g->raft).n != q->term.n) {
        refuse_request(l, q->id, WIRE_NOT_LEADER);
        return;
    }
    if (cmd_decode(q->command, &d) != ERR_OK || (d.cmd->flags & (CMD_READ | CMD_WRITE)) == 0 ||
        d.cmd->handler == NULL) {
        node_link_garbled(n, l, "a forwarded command that cannot be read");
        return;
    }
    r = node_request_new(n, REQUEST_LINK, d.cmd, q->partition);
    r->conn = PLANTED(REPLY_BY_NODE) ? l->pos : l->conn;
    r->remote_id = q->id;
    r->proto = (q->flags & WIRE_REQUEST_RESP3) != 0 ? 3 : 2;
    r->after_writes = (q->flags & WIRE_REQUEST_AFTER_WRITES) != 0;
    /* A full log is waited for here, in order: sent back, a large write would be
     * overtaken by a small one that was already on its way. */
    sent = list_empty(&g->held) ? try_send(g, r, d.argc, d.argv) : SENT_LATER;
    if (sent == SENT_LATER) {
        hold(g, r, d.argc, d.argv);
    } else if (sent == NOT_SENT) {
        node_request_free(n, r);
        refuse_request(l, q->id, WIRE_NOT_LEADER);
    }
    cmd_decoded_free(&d);
}

void node_route_request_frame(struct node *n, struct link *l, struct slice payload)
{
    struct reader r = reader_of(payload.data, payload.len);
    uint64_t conn = l->conn;

    while (reader_left(&r) > 0 && l->conn == conn) {
        struct wire_request q;

        if (wire_get_request(&r, &q) != ERR_OK) {
            node_link_garbled(n, l, "a request that cannot be read");
            return;
        }
        take_request(n, l, &q);
    }
}

static void take_reply(struct node *n, const struct link *l, const struct wire_reply *p)
{
    struct request *r = map64_get(&n->forwarded, p->id);
    char why[160];

    if (r == NULL || r->conn != l->conn) {
        SOMETIMES(r != NULL, "node_route: an answer of one that was given up");
        return; /* given up meanwhile, or asked again elsewhere */
    }
    switch (p->outcome) {
    case WIRE_DONE:
        node_request_reply(n, r, p->reply);
        return;
    case WIRE_NOT_LEADER:
        SOMETIMES(true, "node_route: a forwarded request came back untouched");
        node_request_not_leader(n, r);
        return;
    case WIRE_IN_DOUBT:
        (void)snprintf(why, sizeof why, "%.*s", (int)p->reply.len, (const char *)p->reply.data);
        node_request_in_doubt(n, r, why);
        return;
    case WIRE_OUTCOMES:
        break;
    }
    UNREACHABLE("outcome was checked when it was decoded");
}

void node_route_reply_frame(struct node *n, struct link *l, struct slice payload)
{
    struct reader r = reader_of(payload.data, payload.len);

    while (reader_left(&r) > 0) {
        struct wire_reply p;

        if (wire_get_reply(&r, &p) != ERR_OK) {
            node_link_garbled(n, l, "a reply that cannot be read");
            return;
        }
        take_reply(n, l, &p);
    }
}

/* ---- giving up ---- */

static void give_up(struct node *n, struct request *r)
{
    struct group *g = &n->groups[r->partition];
    char text[160];

    switch (r->state) {
    case REQUEST_HELD:
        SOMETIMES(true, "node_route: gave up waiting for a leader");
        if (node_group_leads(g) && !node_writable(n)) {
            node_request_error(n, r, ERR_DISK_FULL);
            return;
        }
        if (node_group_leads(g) && !node_group_trusted(g)) {
            (void)snprintf(text, sizeof text,
                           "TRYAGAIN the replica that leads partition %u must be rebuilt, and no "
                           "other took over in time; nothing was done",
                           r->partition);
        } else if (g->leader.n == 0 || r->origin == REQUEST_LINK) {
            (void)snprintf(text, sizeof text,
                           "CLUSTERDOWN partition %u has no leader; nothing was done",
                           r->partition);
        } else {
            (void)snprintf(text, sizeof text,
                           "TRYAGAIN the leader of partition %u cannot be reached; nothing was "
                           "done",
                           r->partition);
        }
        node_request_error(n, r, text);
        return;
    case REQUEST_PROPOSED:
        node_apply_orphan(g, r);
        if (PLANTED(DOUBT_AS_FAILED)) {
            node_request_error(n, r, "TRYAGAIN no majority confirmed it in time");
            return;
        }
        node_request_in_doubt(n, r, "no majority confirmed it in time");
        return;
    case REQUEST_FORWARDED:
        if (r->is_write) {
            node_request_in_doubt(n, r, "the partition's leader did not answer in time");
            return;
        }
        node_request_error(n, r, "TRYAGAIN the partition's leader did not answer in time");
        return;
    case REQUEST_READING:
        node_request_error(n, r,
                           "TRYAGAIN no majority confirmed the leader in time; nothing was "
                           "done");
        return;
    case REQUEST_NEW:
    case REQUEST_DONE:
        break;
    }
    UNREACHABLE("a request without a state that can time out");
}

void node_route_timeouts(struct node *n)
{
    while (!list_empty(&n->timeouts)) {
        struct request *r = LIST_ENTRY(n->timeouts.next, struct request, in_timeout);

        if (r->deadline_us > n->now.mono_us) {
            return;
        }
        if (r->fanout != NULL) {
            list_remove(&r->in_timeout); /* its children decide */
            continue;
        }
        give_up(n, r);
    }
}
