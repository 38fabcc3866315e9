/* Sessions: client connections, their commands in, their replies out in order. */
#include "node/node_internal.h"

#include "base/base_hash.h"
#include "base/base_mem.h"

#include <stdio.h>

enum {
    PIPELINE_MAX = 4096, /* requests of one client under way */
    PIPELINE_START = 16, /* as long as the size of its replies is not known */
    PIPELINE_MIN = 4,
    PIPELINE_BYTES = 4 << 20,  /* of replies expected at once */
    INPUT_BYTES_MAX = 1 << 30, /* one command, received and not yet whole */
    KEYS_INLINE = 64,
    SOME_KEYS_MAX = 1 << 20,
};

void node_session_accepted(struct node *n, uint64_t conn, const char *addr)
{
    struct session *s;

    n->stats.connections++;
    if (n->session_count >= n->cfg.maxclients || n->phase == NODE_PHASE_STOPPING) {
        /* The client may take this for the reply to its first command. */
        const char *why = n->phase == NODE_PHASE_STOPPING
                              ? "-TRYAGAIN this node is stopping; nothing was done\r\n"
                              : "-ERR max number of clients reached\r\n";
        struct node_effect *e = node_effect_push(n, NODE_SEND);

        e->conn = conn;
        buf_append(&e->data, why, strlen(why));
        node_effect_push(n, NODE_CLOSE)->conn = conn;
        n->gauges.connections_rejected++;
        return;
    }
    s = MEM_NEW(struct session);
    s->node = n;
    s->conn = conn;
    s->id = n->next_session++;
    s->proto = 2;
    s->window = PIPELINE_START;
    s->created_us = s->active_us = n->now.mono_us;
    (void)strncpy(s->addr, addr, sizeof s->addr - 1);
    struct resp_limits limits = RESP_LIMITS_DEFAULT;

    limits.bulk_bytes_max = n->proto_max_bulk;
    resp_parser_init(&s->parser, limits);
    list_init(&s->replies);
    list_init(&s->in_dirty);
    list_push_back(&n->session_list, &s->in_node);
    n->session_count++;
    CHECK(map64_put(&n->sessions, conn, s) == NULL);
}

static void session_free(struct session *s)
{
    struct node *n = s->node;

    LIST_EACH(it, &s->replies)
    {
        struct request *r = LIST_ENTRY(it, struct request, in_session);

        list_remove(&r->in_session);
        r->session = NULL;
        if (r->state == REQUEST_DONE) {
            node_request_free(n, r);
        }
    }
    list_remove(&s->in_node);
    list_remove(&s->in_dirty);
    n->session_count--;
    CHECK(map64_remove(&n->sessions, s->conn) == s);
    resp_parser_free(&s->parser);
    buf_free(&s->in);
    buf_free(&s->out);
    mem_free(s->name);
    mem_free(s->lib_name);
    mem_free(s->lib_ver);
    mem_free(s);
}

void node_session_closed(struct session *s)
{
    session_free(s);
}

void node_session_mark(struct session *s)
{
    if (!s->dirty) {
        s->dirty = true;
        list_push_back(&s->node->session_dirty, &s->in_dirty);
    }
}

void node_session_kill(struct session *s)
{
    s->closing = true;
    node_session_mark(s);
}

/* ---- replies ---- */

/* How many requests may be under way follows from how large the replies are: thousands
 * of forwarded reads of large values would fill the link from the leader for seconds,
 * and all other traffic between the two nodes would wait behind them. */
static void window_learn(struct session *s, size_t bytes)
{
    size_t fits;

    s->reply_bytes =
        bytes > s->reply_bytes ? bytes : s->reply_bytes - (s->reply_bytes - bytes) / 32;
    fits = PIPELINE_BYTES / (s->reply_bytes + 1);
    fits = fits < PIPELINE_MIN ? PIPELINE_MIN : fits > PIPELINE_MAX ? PIPELINE_MAX : fits;
    s->window = s->window < fits ? s->window + 1 : (uint32_t)fits;
}

void node_session_done(struct session *s)
{
    struct node *n = s->node;

    while (!list_empty(&s->replies)) {
        struct request *r = LIST_ENTRY(s->replies.next, struct request, in_session);

        if (r->state != REQUEST_DONE) {
            break;
        }
        window_learn(s, r->reply.len);
        if (!r->muted) {
            buf_append(&s->out, r->reply.data, r->reply.len);
        }
        list_remove(&r->in_session);
        s->waiting--;
        node_request_free(n, r);
    }
    node_session_mark(s);
}

/* A reply that is known now, in its turn: behind those still awaited. */
static struct request *local_reply(struct session *s, struct resp_writer *w)
{
    struct node *n = s->node;
    struct request *r;

    *w = (struct resp_writer){.out = &s->out, .proto = s->proto};
    if (s->reply_mode != SESSION_REPLY_ON || s->skip_next) {
        w->mute = true;
    }
    if (s->waiting == 0) {
        node_session_mark(s);
        return NULL;
    }
    r = node_request_new(n, REQUEST_SESSION, cmd_by_id(CMD_ID_PING), 0);
    list_remove(&r->in_timeout);
    r->state = REQUEST_DONE;
    r->session = s;
    list_push_back(&s->replies, &r->in_session);
    s->waiting++;
    w->out = &r->reply;
    return r;
}

static void session_error(struct session *s, const char *text)
{
    struct resp_writer w;

    (void)local_reply(s, &w);
    s->node->stats.errors++;
    resp_put_error(&w, text);
}

/* ---- commands ---- */

/* The slot of the command's keys; -1: they lie in different ones. */
static int command_slot(const struct cmd *cmd, uint32_t argc, const struct slice *argv)
{
    uint32_t inline_pos[KEYS_INLINE], *pos = inline_pos;
    uint32_t count;
    int slot;

    if (cmd->first_key == 1 && cmd->last_key == 1) {
        return hashslot_of_key(argv[1]);
    }
    if (argc > KEYS_INLINE) {
        pos = mem_alloc(argc * sizeof *pos);
    }
    count = cmd_keys(cmd, argc, argv, pos, argc > KEYS_INLINE ? argc : KEYS_INLINE);
    slot = count == 0 ? 0 : hashslot_of_key(argv[pos[0]]);
    for (uint32_t i = 1; i < count; i++) {
        if (hashslot_of_key(argv[pos[i]]) != slot) {
            slot = -1;
            break;
        }
    }
    if (pos != inline_pos) {
        mem_free(pos);
    }
    return slot;
}

static struct request *session_request(struct session *s, const struct cmd *cmd, uint32_t partition)
{
    struct node *n = s->node;
    struct request *r = node_request_new(n, REQUEST_SESSION, cmd, partition);

    r->session = s;
    r->proto = s->proto;
    r->muted = s->reply_mode != SESSION_REPLY_ON || s->skip_next;
    r->after_writes = s->writes_waiting > 0;
    if (r->is_write) {
        s->writes_waiting++;
    }
    list_push_back(&s->replies, &r->in_session);
    s->waiting++;
    return r;
}

/* A client that asked for the map is told where to go; others are served anyway. */
static bool moved(struct session *s, uint32_t slot, uint32_t partition)
{
    struct node *n = s->node;
    struct group *g = &n->groups[partition];
    struct resp_writer w;
    int pos;

    if (!s->asked_map || g->leader.n == 0 || (g->here && g->leader.n == g->self.n)) {
        return false;
    }
    pos = node_member_of(n, g->leader);
    if (pos < 0 || (uint32_t)pos == n->self_pos || !list_empty(&g->held)) {
        return false;
    }
    (void)local_reply(s, &w);
    resp_put_errorf(&w, "MOVED %u %s", slot, n->map.members[pos].client_addr);
    return true;
}

static void keyed_command(struct session *s, const struct cmd *cmd, uint32_t slot, uint32_t argc,
                          const struct slice *argv)
{
    struct node *n = s->node;
    uint32_t partition = node_partition_of_slot(n, slot);

    if (s->asked_map && moved(s, slot, partition)) {
        return;
    }
    if ((cmd->flags & CMD_READ) != 0 && s->waiting == 0 && s->reply_mode == SESSION_REPLY_ON &&
        !s->skip_next) {
        struct resp_writer w = {.out = &s->out, .proto = s->proto};

        if (node_route_read_now(n, s, cmd, partition, argc, argv, &w)) {
            node_session_mark(s);
            return;
        }
    }
    node_route(n, session_request(s, cmd, partition), argc, argv);
}

/* CLUSTER COUNTKEYSINSLOT slot, GETKEYSINSLOT slot count: asked of the partition. */
static void slot_command(struct session *s, const struct cmd *cmd, uint32_t argc,
                         const struct slice *argv)
{
    int64_t slot = -1;

    if (!cmd_parse_int(argv[2], &slot) || slot < 0 || slot >= HASHSLOT_COUNT) {
        session_error(s, "ERR Invalid slot");
        return;
    }
    node_route(s->node, session_request(s, cmd, node_partition_of_slot(s->node, (uint32_t)slot)),
               argc, argv);
}

static void data_command(struct session *s, const struct cmd *cmd, uint32_t argc,
                         const struct slice *argv)
{
    struct node *n = s->node;
    int slot;

    if (n->groups == NULL) {
        session_error(s, "CLUSTERDOWN the cluster is not founded yet; nothing was done");
        return;
    }
    if ((cmd->flags & CMD_FANOUT) != 0) {
        node_fanout_start(n, session_request(s, cmd, 0), argc, argv);
        return;
    }
    if (cmd->first_key == 0) {
        slot_command(s, cmd, argc, argv);
        return;
    }
    slot = command_slot(cmd, argc, argv);
    if (slot < 0) {
        session_error(s, "CROSSSLOT Keys in request don't hash to the same slot");
        return;
    }
    keyed_command(s, cmd, (uint32_t)slot, argc, argv);
}

static void session_command(struct session *s, uint32_t argc, const struct slice *argv)
{
    struct node *n = s->node;
    const struct cmd *cmd = cmd_lookup(argv, argc);
    bool skipped = s->skip_next;
    struct resp_writer w;

    n->stats.commands++;
    s->commands++;
    if (cmd == NULL || (cmd->flags & CMD_INTERNAL) != 0) {
        (void)local_reply(s, &w);
        n->stats.errors++;
        cmd_reject_unknown(&w, argv, argc);
    } else if (!cmd_arity_ok(cmd, argc)) {
        (void)local_reply(s, &w);
        n->stats.errors++;
        n->cmd_stats[cmd - cmd_at(0)].rejected++;
        cmd_reject_arity(&w, cmd);
    } else {
        s->last_cmd = cmd;
        n->cmd_stats[cmd - cmd_at(0)].calls++;
        if (cmd->handler != NULL && (cmd->flags & (CMD_READ | CMD_WRITE)) != 0) {
            data_command(s, cmd, argc, argv);
        } else if (node_cmd_map_is(cmd)) {
            node_cmd_map(n, session_request(s, cmd, 0), argv);
        } else {
            (void)local_reply(s, &w);
            node_command(s, cmd, argc, argv, &w);
        }
    }
    if (skipped) {
        s->skip_next = false;
    }
    if (s->skip_asked) {
        s->skip_asked = false;
        s->skip_next = true;
    }
}

/* ---- input ---- */

static bool may_parse(const struct session *s)
{
    return !s->closing && s->waiting < s->window &&
           s->out.len + s->unsent < s->node->cfg.output_soft_bytes;
}

/* Parse and run what is whole. Returns the bytes used. */
static size_t run_input(struct session *s, const uint8_t *data, size_t len)
{
    struct diag why;
    size_t at = 0;

    while (at < len && may_parse(s)) {
        struct resp_command c;
        enum resp_status status = resp_parse(&s->parser, data + at, len - at, &c, &why);

        if (status == RESP_MORE) {
            break;
        }
        if (status == RESP_BAD) {
            session_error(s, why.text);
            node_session_kill(s);
            break;
        }
        at += c.used;
        if (c.argc > 0) {
            session_command(s, c.argc, c.argv);
        }
    }
    return at;
}

static void reading(struct session *s, bool on)
{
    if (s->reading_off == !on) {
        return;
    }
    s->reading_off = !on;
    struct node_effect *e = node_effect_push(s->node, NODE_READ);

    e->conn = s->conn;
    e->on = on;
}

/* Go on with what was received and not yet run. */
void node_session_resume(struct session *s)
{
    if (s->in.len > 0 && may_parse(s)) {
        size_t used = run_input(s, s->in.data, s->in.len);

        buf_consume(&s->in, used);
        if (s->in.len == 0 && s->in.cap > (16U << 10)) {
            buf_free(&s->in);
        }
    }
    if (s->reading_off && may_parse(s)) {
        reading(s, true);
    }
}

void node_session_received(struct session *s, const uint8_t *data, size_t len)
{
    struct node *n = s->node;
    size_t used;

    s->active_us = n->now.mono_us;
    if (s->closing) {
        return;
    }
    if (s->in.len == 0) {
        used = run_input(s, data, len);
        if (used < len && !s->closing) {
            buf_append(&s->in, data + used, len - used);
        }
    } else {
        buf_append(&s->in, data, len);
        used = run_input(s, s->in.data, s->in.len);
        buf_consume(&s->in, used);
    }
    if (s->in.len > 0 && may_parse(s)) {
        size_t wants = resp_parser_wants(&s->parser, s->in.len);

        if (wants > s->in.cap && wants > (64U << 10)) {
            buf_reserve(&s->in, wants - s->in.len);
        }
    }
    if (s->in.len > INPUT_BYTES_MAX) {
        node_log(n, NODE_LOG_WARN, "msg=\"client cut off: too much unread input\" addr=%s",
                 s->addr);
        node_session_kill(s);
    }
    if (!s->closing && !may_parse(s)) {
        SOMETIMES(true, "node_session: a client was made to wait");
        reading(s, false);
    }
}

void node_session_sent(struct session *s, size_t unsent)
{
    s->unsent = unsent;
    if (s->reading_off || s->in.len > 0) {
        node_session_mark(s); /* resumes before the turn ends */
    }
}

/* ---- output ---- */

static void cut_off(struct session *s)
{
    struct node *n = s->node;

    n->stats.output_cut++;
    node_log(n, NODE_LOG_WARN,
             "msg=\"client cut off: it does not read its replies\" addr=%s unsent=%zu", s->addr,
             s->out.len + s->unsent);
    node_effect_push(n, NODE_CLOSE)->conn = s->conn;
    session_free(s);
}

static void flush_one(struct session *s)
{
    struct node *n = s->node;

    if (s->out.len + s->unsent > n->cfg.output_hard_bytes && s->unsent > 0) {
        cut_off(s);
        return;
    }
    if (s->out.len > 0) {
        struct node_effect *e = node_effect_push(n, NODE_SEND);

        e->conn = s->conn;
        e->data = s->out;
        s->unsent += s->out.len;
        n->stats.out_bytes += s->out.len;
        s->out = (struct buf){0};
    }
    if (s->closing && s->waiting == 0) {
        node_effect_push(n, NODE_CLOSE)->conn = s->conn;
        session_free(s);
    }
}

/* Sessions that can go on do so before the groups are flushed. */
void node_sessions_resume(struct node *n)
{
    LIST_EACH(it, &n->session_dirty)
    {
        node_session_resume(LIST_ENTRY(it, struct session, in_dirty));
    }
}

void node_sessions_flush(struct node *n)
{
    for (struct list *it = list_pop_front(&n->session_dirty); it != NULL;
         it = list_pop_front(&n->session_dirty)) {
        struct session *s = LIST_ENTRY(it, struct session, in_dirty);

        s->dirty = false;
        flush_one(s);
    }
}
