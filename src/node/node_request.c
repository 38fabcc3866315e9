/* Requests: their life from creation to the reply, whoever waits for it. */
#include "node/node_internal.h"

#include "base/base_mem.h"

enum { FREE_REQUESTS_MAX = 4096, KEPT_BUF_BYTES_MAX = 1024 };

struct request *node_request_new(struct node *n, enum request_origin origin, const struct cmd *cmd,
                                 uint32_t partition)
{
    struct request *r = n->free_requests;
    struct buf command = {0}, reply = {0};

    if (r == NULL) {
        r = MEM_NEW(struct request);
    } else {
        n->free_requests = r->parent;
        n->free_request_count--;
        command = r->command;
        reply = r->reply;
    }
    *r = (struct request){
        .id = n->next_request++,
        .origin = origin,
        .proto = 2,
        .cmd = cmd,
        .is_write = (cmd->flags & CMD_WRITE) != 0,
        .partition = partition,
        .started_us = n->now.mono_us,
        .deadline_us = n->now.mono_us + n->cfg.request_timeout_us,
        .command = command,
        .reply = reply,
    };
    list_init(&r->in_group);
    list_init(&r->in_session);
    list_push_back(&n->timeouts, &r->in_timeout);
    return r;
}

static void buf_keep_small(struct buf *b)
{
    if (b->cap > KEPT_BUF_BYTES_MAX) {
        buf_free(b);
    }
    b->len = 0;
}

void node_request_free(struct node *n, struct request *r)
{
    list_remove(&r->in_group);
    list_remove(&r->in_session);
    list_remove(&r->in_timeout);
    if (r->fanout != NULL) {
        node_fanout_free(r->fanout);
        r->fanout = NULL;
    }
    if (n->free_request_count >= FREE_REQUESTS_MAX) {
        buf_free(&r->command);
        buf_free(&r->reply);
        mem_free(r);
        return;
    }
    buf_keep_small(&r->command);
    buf_keep_small(&r->reply);
    r->parent = n->free_requests;
    n->free_requests = r;
    n->free_request_count++;
}

/* It stands in no queue and no table that could still find it. */
static void detach(struct node *n, struct request *r)
{
    if (r->state == REQUEST_FORWARDED) {
        CHECK(map64_remove(&n->forwarded, r->id) == r);
    }
    if (r->state == REQUEST_READING && !r->right) {
        (void)map64_remove(&n->reads, r->id);
    }
    list_remove(&r->in_group);
    list_remove(&r->in_timeout);
    r->state = REQUEST_DONE;
}

static bool at_head(const struct request *r)
{
    return r->session != NULL && r->session->replies.next == &r->in_session;
}

/* Straight into the client's output when it is this one's turn. */
struct resp_writer node_request_writer(struct node *n, struct request *r)
{
    struct resp_writer w = {.out = &r->reply, .proto = r->proto, .mute = r->muted};

    (void)n;
    if (r->origin == REQUEST_SESSION && r->session == NULL) {
        w.mute = true;
    } else if (r->origin == REQUEST_SESSION && at_head(r)) {
        w.out = &r->session->out;
    }
    return w;
}

static void reply_to_link(struct node *n, struct request *r, enum wire_outcome outcome)
{
    struct link *l =
        PLANTED(REPLY_BY_NODE) ? node_link_at(n, (uint32_t)r->conn) : node_link_by_conn(n, r->conn);

    if (l != NULL && l->state == LINK_UP) {
        struct wire_reply p = {
            .id = r->remote_id, .outcome = outcome, .reply = buf_slice(&r->reply)};

        wire_put_reply(node_link_reply_frame(l), &p);
    }
}

static void finish(struct node *n, struct request *r, enum wire_outcome outcome)
{
    struct session *s = r->session;

    if (r->state != REQUEST_DONE) {
        detach(n, r);
    }
    switch (r->origin) {
    case REQUEST_SESSION:
        if (s == NULL) {
            node_request_free(n, r);
            return;
        }
        if (r->is_write) {
            CHECK(s->writes_waiting > 0);
            s->writes_waiting--;
        }
        node_session_done(s);
        return;
    case REQUEST_LINK:
        reply_to_link(n, r, outcome);
        node_request_free(n, r);
        return;
    case REQUEST_CHILD: {
        struct request *child = r;

        node_fanout_child(n, child, buf_slice(&child->reply));
        node_request_free(n, child);
        return;
    }
    }
}

void node_request_replied(struct node *n, struct request *r)
{
    r->happened = true;
    finish(n, r, WIRE_DONE);
}

void node_request_reply(struct node *n, struct request *r, struct slice reply)
{
    struct resp_writer w = node_request_writer(n, r);

    resp_put_raw(&w, reply);
    r->happened = true;
    finish(n, r, WIRE_DONE);
}

void node_request_error(struct node *n, struct request *r, const char *text)
{
    struct resp_writer w = node_request_writer(n, r);

    n->stats.errors++;
    r->reply.len = 0; /* of a read that waits for a removal: it must not follow the error */
    resp_put_error(&w, text);
    finish(n, r, WIRE_DONE);
}

/* In the order of age, so that one client's writes to one key keep their order. */
static void hold_in_order(struct group *g, struct request *r)
{
    struct list *at = g->held.prev;

    while (at != &g->held && LIST_ENTRY(at, struct request, in_group)->id > r->id) {
        at = at->prev;
    }
    list_insert_before(at->next, &r->in_group);
}

void node_request_not_leader(struct node *n, struct request *r)
{
    struct group *g = &n->groups[r->partition];

    if (r->origin == REQUEST_LINK) {
        r->reply.len = 0;
        finish(n, r, WIRE_NOT_LEADER);
        return;
    }
    if (r->command.len == 0) {
        node_request_error(n, r, "TRYAGAIN the partition's leader changed; the write was not done");
        return;
    }
    /* It did not happen, so that it may be tried again; what was read here does not count. */
    r->bounced = true;
    r->reply.len = 0;
    r->removal_term.n = 0;
    list_remove(&r->in_group);
    if (r->state == REQUEST_FORWARDED) {
        CHECK(map64_remove(&n->forwarded, r->id) == r);
    } else if (r->state == REQUEST_READING && !r->right) {
        (void)map64_remove(&n->reads, r->id);
    }
    r->right = false;
    r->state = REQUEST_HELD;
    hold_in_order(g, r);
}

void node_request_in_doubt(struct node *n, struct request *r, const char *why)
{
    struct resp_writer w;

    SOMETIMES(true, "node_request: a write in doubt");
    r->happened = true; /* for those before it: it may have */
    if (r->origin == REQUEST_LINK) {
        r->reply.len = 0;
        buf_append(&r->reply, why, strlen(why));
        finish(n, r, WIRE_IN_DOUBT);
        return;
    }
    w = node_request_writer(n, r);
    n->stats.errors++;
    resp_put_errorf(&w, "INDOUBT the write may or may not have happened: %s", why);
    finish(n, r, WIRE_DONE);
}
