#include "sim/sim_client.h"

#include "resp/resp.h"
#include "sim/sim_command.h"
#include "sim/sim_world.h"

#include <stdio.h>

enum {
    RECONNECT_US = 20000,
    HEALTHY_PIPELINE_MAX = 32,
    OPS_MANY = 20000,
    BYTES_MANY = 24 << 20,
    THINK_LONG_US = 400000,
    READING_US = 2000,
    NOBODY = UINT32_MAX
};

static void act_event(struct sim_world *w, uint64_t client, uint64_t link);

void sim_client_init(struct sim_world *w, uint32_t id)
{
    w->clients[id] = (struct sim_client){.id = id, .rng = sim_dice(w, SIM_FOR_CLIENT, id)};
    for (uint32_t i = 0; i < SIM_PIPES_MAX; i++) {
        w->clients[id].link[i].wish = SIM_HOSTS_MAX;
    }
}

void sim_client_free(struct sim_client *c)
{
    for (uint32_t i = 0; i < SIM_PIPES_MAX; i++) {
        buf_free(&c->link[i].in);
        mem_free(c->link[i].waiting);
    }
}

static enum sim_family family_of(const struct sim_world *w, uint32_t object)
{
    uint64_t total = 0;
    uint64_t at;

    for (unsigned i = 0; i < SIM_FAMILY_COUNT; i++) {
        total += w->opt.family_weight[i];
    }
    CHECK(total > 0);
    at = hash64_mix(w->opt.seed, object + 77) % total;
    for (unsigned i = 0; i < SIM_FAMILY_COUNT; i++) {
        if (at < w->opt.family_weight[i]) {
            return (enum sim_family)i;
        }
        at -= w->opt.family_weight[i];
    }
    UNREACHABLE("family");
}

bool sim_client_quiet(const struct sim_client *c)
{
    for (uint32_t i = 0; i < SIM_PIPES_MAX; i++) {
        if (c->link[i].waiting_count > 0) {
            return false;
        }
    }
    return true;
}

bool sim_client_has_read(const struct sim_world *w, const struct sim_client *c)
{
    return c->reads_done * w->opt.clients + c->id >= w->opt.keys && sim_client_quiet(c);
}

static uint32_t link_number(const struct sim_client *c, const struct sim_pipe *l)
{
    return (uint32_t)(l - c->link);
}

static void act_in(struct sim_world *w, struct sim_client *c, struct sim_pipe *l, uint64_t us)
{
    if (!l->acting) {
        l->acting = true;
        sim_in(w, us, act_event, c->id, link_number(c, l));
    }
}

void sim_client_wake(struct sim_world *w, struct sim_client *c)
{
    if (w->phase > SIM_FAULTS) {
        sim_net_client_reading(w, c->id, true); /* nobody is lazy any more */
    }
    for (uint32_t i = 0; i < w->opt.habits.links; i++) {
        act_in(w, c, &c->link[i], prng_below(&c->rng, 1000));
    }
}

static bool must_succeed(const struct sim_world *w, const struct sim_pipe *l,
                         const struct sim_op *op)
{
    return sim_live_must_succeed(w, l->host, op->call_us);
}

/* Leaders are spread evenly again by handing over, in a healthy cluster too. A command that
 * was bounced meanwhile, behind which another of its pipeline went ahead, is told so: after the
 * next leader was elected, or before, when the one that hands over has stepped down. */
static bool handed_over(struct sim_world *w, const struct sim_op *op, struct slice error)
{
    enum { BOUNCING_US = 100000 };
    struct diag why;

    if (error.len <= 8 || memcmp(error.data, "TRYAGAIN", 8) != 0) {
        return false;
    }
    return w->raft.elected_us + BOUNCING_US >= op->call_us ||
           !(w->phase == SIM_CORE_HEALTHY ? sim_check_raft_core(w, &why)
                                          : sim_check_raft_converged(w, &why));
}

static void say_op(const struct sim_world *w, const struct sim_op *op)
{
    struct buf text = {0};

    if (w->opt.log >= SIM_LOG_OPS) {
        sim_history_put_op(&text, &w->history, op, 60);
        sim_say(w, SIM_LOG_OPS, "c%u op %u %lu.%lu: %.*s", op->client, op->id, op->name >> 32,
                op->name & UINT32_MAX, (int)text.len, (const char *)text.data);
        buf_free(&text);
    }
}

/* --- a connection and its end --- */

static void drop_link(struct sim_world *w, struct sim_client *c, struct sim_pipe *l)
{
    for (uint32_t i = 0; i < l->waiting_count; i++) {
        struct sim_op *op;

        if (l->waiting[i] == NOBODY) {
            continue;
        }
        op = &w->history.ops[l->waiting[i]];
        op->outcome = SIM_OP_LOST;
        say_op(w, op);
        if (must_succeed(w, l, op) && !l->gone_by_itself) {
            struct buf text = {0};

            sim_history_put_op(&text, &w->history, op, 60);
            sim_found(w, "op %u was not answered in a healthy cluster: %.*s", op->id, (int)text.len,
                      (const char *)text.data);
            buf_free(&text);
        }
    }
    l->waiting_count = 0;
    l->state = SIM_PIPE_IDLE;
    l->in.len = 0;
    l->leaving = l->gone_by_itself = l->follows = false;
    l->tries++;
    act_in(w, c, l, 1 + prng_below(&c->rng, RECONNECT_US));
}

static void leave(struct sim_world *w, struct sim_client *c, struct sim_pipe *l)
{
    sim_net_client_close(w, l->conn);
    drop_link(w, c, l);
}

struct link_at {
    struct sim_client *c;
    struct sim_pipe *l;
};
/* An event about a link carries client << 8 | link. */
static struct link_at link_of(struct sim_world *w, uint64_t client_link)
{
    struct sim_client *c = &w->clients[client_link >> 8];

    return (struct link_at){c, &c->link[client_link & 0xff]};
}

static uint64_t link_name(const struct sim_client *c, const struct sim_pipe *l)
{
    return (uint64_t)c->id << 8 | link_number(c, l);
}

static void timeout_event(struct sim_world *w, uint64_t client_link, uint64_t tries)
{
    struct link_at at = link_of(w, client_link);

    if (at.l->tries != tries || at.l->state == SIM_PIPE_IDLE ||
        (at.l->state == SIM_PIPE_OPEN && at.l->waiting_count == 0)) {
        return;
    }
    sim_say(w, SIM_LOG_FULL, "c%u gives up on its connection", at.c->id);
    leave(w, at.c, at.l);
}

static void hasty_event(struct sim_world *w, uint64_t client_link, uint64_t tries)
{
    struct link_at at = link_of(w, client_link);

    if (at.l->tries == tries && at.l->state == SIM_PIPE_OPEN) {
        sim_say(w, SIM_LOG_FULL, "c%u goes without waiting for its replies", at.c->id);
        at.l->gone_by_itself = true;
        leave(w, at.c, at.l);
    }
}

/* Whatever became of the connection meanwhile. */
static void read_again_event(struct sim_world *w, uint64_t client_link, uint64_t unused)
{
    struct link_at at = link_of(w, client_link);

    (void)unused;
    sim_net_client_reading(w, at.c->id, true);
}

static void dial(struct sim_world *w, struct sim_client *c, struct sim_pipe *l)
{
    l->host = sim_live_host(w, &c->rng);
    if (l->wish < w->opt.hosts && w->phase <= SIM_FAULTS) {
        l->host = l->wish;
        l->follows = true;
    } else {
        l->follows = w->phase <= SIM_FAULTS && prng_chance(&c->rng, w->opt.habits.follows, 1000);
    }
    l->wish = SIM_HOSTS_MAX;
    l->state = SIM_PIPE_DIALING;
    l->tries++;
    l->conn = sim_net_client_dial(w, c->id, l->host);
    sim_in(w, 3000000, timeout_event, link_name(c, l), l->tries);
}

/* --- requests --- */

static void expect(struct sim_pipe *l, uint32_t position)
{
    MEM_GROW(l->waiting, l->waiting_count, l->waiting_cap);
    l->waiting[l->waiting_count++] = position;
}

static bool fits_inline(struct slice words)
{
    for (struct reader r = reader_of(words.data, words.len); reader_left(&r) > 0;) {
        struct slice word = get_raw(&r, get_u32le(&r));

        if (word.len == 0 || word.len > 1000 || memchr(word.data, '"', word.len) != NULL) {
            return false;
        }
    }
    return true;
}

/* Words as sim_workload_words gives them, as bytes for the wire. */
static void encode(struct buf *out, struct slice words, bool as_line)
{
    struct resp_writer w = {.out = out, .proto = 2};
    unsigned count = 0;

    for (struct reader r = reader_of(words.data, words.len); reader_left(&r) > 0; count++) {
        (void)get_raw(&r, get_u32le(&r));
    }
    if (!as_line) {
        resp_put_array(&w, count);
    }
    for (struct reader r = reader_of(words.data, words.len); reader_left(&r) > 0;) {
        struct slice word = get_raw(&r, get_u32le(&r));

        if (as_line) {
            buf_append_slice(out, word);
            put_u8(out, ' ');
        } else {
            resp_put_bulk(&w, word);
        }
    }
    if (as_line) {
        buf_append(out, "\r\n", 2);
    }
}

static struct sim_op *record(struct sim_world *w, struct sim_client *c, struct sim_pipe *l,
                             struct slice words)
{
    struct sim_op *op = sim_history_push(&w->history);

    op->client = c->id;
    op->conn = l->conn;
    op->call_us = w->now_us;
    for (struct reader r = reader_of(words.data, words.len); reader_left(&r) > 0;) {
        sim_history_word(&w->history, get_raw(&r, get_u32le(&r)));
    }
    return op;
}

static bool writes(const struct sim_history *h, const struct sim_op *op)
{
    const struct sim_command *cmd = sim_command_find(sim_op_word(h, op, 0));

    return cmd == NULL || (cmd->flags & SIM_COMMAND_WRITES) != 0;
}

/* Some who only read give up early and ask another node: perhaps one that sleeps. */
static uint64_t patience_us(const struct sim_world *w, bool writes_any)
{
    return w->phase == SIM_FAULTS && w->opt.patience_us > 0 && !writes_any
               ? w->opt.patience_us
               : 2 * w->opt.request_timeout_us + 3000000;
}

/* Planted: as if a lost reply had been retried. */
static bool sent_twice(const struct sim_world *w, struct sim_client *c, struct sim_pipe *l,
                       struct slice words, struct buf *out)
{
    if (w->opt.bug != SIM_BUG_APPLY_TWICE || !prng_chance(&c->rng, 1, 50)) {
        return false;
    }
    expect(l, NOBODY);
    encode(out, words, false);
    return true;
}

/* One command into out; false: there is none, or it is left out of this run. */
static bool put_request(struct sim_world *w, struct sim_client *c, struct sim_pipe *l, bool silent,
                        struct buf *out)
{
    uint64_t name = sim_name(c->id * SIM_PIPES_MAX + link_number(c, l) + 1, ++l->ops);
    bool only_reads = w->now_us < w->hosts[l->host].only_reads_until_us;
    struct sim_request r = {.habits = &w->opt.habits,
                            .objects = w->opt.keys,
                            .read_percent = only_reads ? 100 : w->opt.read_percent,
                            .value_bytes_max = w->opt.value_bytes_max,
                            .number = w->history.count + 1,
                            .wall_ms = sim_clock_wall_ms(&(struct sim_clock){0}, w->now_us),
                            .sparing = w->history.blobs.bytes > BYTES_MANY,
                            .closing = w->phase >= SIM_READING,
                            .scan = &c->scan};
    struct buf words = {0};
    struct sim_op *op;

    c->rng = sim_dice(w, SIM_FOR_OP, name);
    r.object = (uint32_t)prng_below(&c->rng, w->opt.keys);
    if (r.closing) {
        r.object = c->reads_done * w->opt.clients + c->id;
        if (r.object >= w->opt.keys) {
            return false;
        }
        c->reads_done++;
    } else if (!sim_options_op_in(&w->opt, name)) {
        return false;
    }
    r.family = family_of(w, r.object);
    sim_workload_words(&r, &c->rng, &words);
    op = record(w, c, l, buf_slice(&words));
    op->name = name;
    op->object = r.object;
    l->writes = l->writes || writes(&w->history, op);
    if (w->opt.record != NULL && !r.closing) {
        sim_names_add(&w->opt.record->ops, name);
    }
    encode(out, buf_slice(&words),
           prng_chance(&c->rng, w->opt.habits.inline_commands, 1000) &&
               fits_inline(buf_slice(&words)));
    if (silent) {
        /* Not SIM_OP_SILENT: what nobody wanted to hear may have been INDOUBT, when the link to
         * the leader broke, and then it happens after what the connection asked later. */
        op->outcome = SIM_OP_LOST;
    } else {
        expect(l, op->id - 1);
    }
    say_op(w, op);
    if (!silent) {
        (void)sent_twice(w, c, l, buf_slice(&words), out);
    }
    buf_free(&words);
    return true;
}

static void put_plain(struct buf *out, const char *line)
{
    buf_printf(out, "%s\r\n", line);
}

/* What happens after a batch was sent: usually nothing but waiting. */
static void behave(struct sim_world *w, struct sim_client *c, struct sim_pipe *l)
{
    const struct sim_habits *h = &w->opt.habits;

    if (w->phase > SIM_FAULTS) {
        return;
    }
    if (prng_chance(&c->rng, h->hasty, 1000)) {
        sim_in(w, prng_below(&c->rng, 4 * w->opt.latency_us + 1000), hasty_event, link_name(c, l),
               l->tries);
    } else if (prng_chance(&c->rng, h->lazy, 1000)) {
        sim_say(w, SIM_LOG_FULL, "c%u stops reading", c->id);
        sim_net_client_reading(w, c->id, false);
        sim_in(w, prng_below(&c->rng, h->lazy_us_max), read_again_event, link_name(c, l), 0);
    }
}

/* Commands whose replies are not wanted, between OFF and ON or each behind a SKIP. */
static void put_silent(struct sim_world *w, struct sim_client *c, struct sim_pipe *l,
                       uint64_t batch, struct buf *out)
{
    bool skip = prng_chance(&c->rng, 1, 2);

    if (!skip) {
        put_plain(out, "CLIENT REPLY OFF");
    }
    for (uint64_t i = 0; i < batch; i++) {
        struct buf one = {0};

        if (put_request(w, c, l, true, &one)) {
            if (skip) {
                put_plain(out, "CLIENT REPLY SKIP");
            }
            buf_append_slice(out, buf_slice(&one));
        }
        buf_free(&one);
    }
    put_plain(out, skip ? "PING" : "CLIENT REPLY ON");
    expect(l, NOBODY);
}

static void send_batch(struct sim_world *w, struct sim_client *c, struct sim_pipe *l)
{
    uint64_t most = w->phase > SIM_FAULTS && w->opt.pipeline_max > HEALTHY_PIPELINE_MAX
                        ? HEALTHY_PIPELINE_MAX /* overload is not what this phase is about */
                        : w->opt.pipeline_max;
    uint64_t batch = prng_between(&c->rng, 1, most);
    bool silent = w->phase <= SIM_FAULTS && prng_chance(&c->rng, w->opt.habits.silent, 1000);
    struct buf out = {0};

    l->writes = false;
    if (silent) {
        put_silent(w, c, l, batch, &out);
    }
    for (uint64_t i = 0; i < batch && !silent; i++) {
        (void)put_request(w, c, l, false, &out);
    }
    l->tries++;
    if (out.len > 0) {
        sim_in(w, patience_us(w, l->writes), timeout_event, link_name(c, l), l->tries);
        sim_net_client_send(w, l->conn, &out);
        behave(w, c, l);
    } else if (w->phase < SIM_READING) { /* left out: it thinks, as if it had been answered */
        act_in(w, c, l, 1 + prng_below(&c->rng, 2 * w->opt.think_us));
    }
    buf_free(&out);
}

static void act_event(struct sim_world *w, uint64_t client, uint64_t link)
{
    struct sim_client *c = &w->clients[client];
    struct sim_pipe *l = &c->link[link];

    l->acting = false;
    if (w->phase == SIM_FOUNDING || w->phase >= SIM_SETTLING ||
        (w->phase >= SIM_READING && link > 0)) {
        return;
    }
    if (l->state == SIM_PIPE_IDLE) {
        dial(w, c, l);
    } else if (l->state == SIM_PIPE_OPEN && l->waiting_count == 0) {
        if (l->leaving || (l->follows && w->phase > SIM_FAULTS)) {
            leave(w, c, l);
        } else if (w->phase == SIM_FAULTS && w->now_us < w->hosts[l->host].rest_until_us) {
            act_in(w, c, l, w->hosts[l->host].rest_until_us - w->now_us);
        } else {
            send_batch(w, c, l);
        }
    }
}

/* --- replies --- */

/* -MOVED slot host:port: go there next. */
static void follow(struct sim_world *w, struct sim_pipe *l, struct slice error)
{
    char addr[NODE_ADDR_MAX];

    for (uint32_t i = 0; i < w->opt.hosts; i++) {
        size_t len;

        sim_host_client_addr(i, addr);
        len = strlen(addr);
        if (error.len > len && memcmp(error.data + error.len - len, addr, len) == 0) {
            l->wish = i;
            l->leaving = true;
        }
    }
}

static void note_cursor(char *to, size_t room, const struct sim_reply *r)
{
    struct slice text = r->count > 1 ? r->parts[1].text : SLICE("");

    to[0] = 0;
    if (text.len > 0 && text.len < room && !slice_eq(text, SLICE("0"))) {
        memcpy(to, text.data, text.len);
        to[text.len] = 0;
    }
}

/* The client's next SCAN, or HSCAN of this object, goes on from here. */
static void note_scan(struct sim_world *w, struct sim_client *c, const struct sim_op *op,
                      const struct sim_reply *r)
{
    struct slice name = sim_op_word(&w->history, op, 0);

    if (slice_eq(name, SLICE("SCAN"))) {
        note_cursor(c->scan.cursor, sizeof c->scan.cursor, r);
    } else if (slice_eq(name, SLICE("HSCAN")) &&
               (c->scan.field_cursor[0] == 0 || c->scan.field_object == op->object)) {
        note_cursor(c->scan.field_cursor, sizeof c->scan.field_cursor, r);
        c->scan.field_object = op->object;
    }
}

/* The answer may come from a value that has rotted: only that it was not done is believed. */
static bool believed(const struct sim_world *w, const struct sim_op *op, const struct sim_reply *r)
{
    return !sim_rot_excuses(w, op) || (r->parts[0].kind == SIM_ITEM_ERROR &&
                                       sim_error_of(r->parts[0].text) == SIM_ERROR_REFUSED);
}

static void op_answered(struct sim_world *w, struct sim_client *c, struct sim_pipe *l,
                        struct sim_op *op, const struct sim_reply *r)
{
    struct slice error;

    if (!believed(w, op, r)) {
        op->outcome = SIM_OP_LOST;
        return;
    }
    op->outcome = SIM_OP_REPLIED;
    op->return_us = w->now_us;
    for (uint32_t i = 0; i < r->count; i++) {
        sim_history_item(&w->history, op, r->parts[i].kind, r->parts[i].text, r->parts[i].n);
    }
    say_op(w, op);
    note_scan(w, c, op, r);
    error = sim_op_error(&w->history, op);
    if (error.len == 0) {
        return;
    }
    if (l->follows && error.len > 6 && memcmp(error.data, "MOVED ", 6) == 0) {
        follow(w, l, error);
    } else if (must_succeed(w, l, op) && sim_error_of(error) != SIM_ERROR_ANSWER &&
               memcmp(error.data, "CROSS", 5) != 0 && !handed_over(w, op, error)) {
        struct buf text = {0};

        sim_history_put_op(&text, &w->history, op, 200);
        sim_found(w, "op %u failed in a healthy cluster: %.*s", op->id, (int)text.len,
                  (const char *)text.data);
        buf_free(&text);
    }
}

/* The connection that this is about; NULL: one that was given up. */
static struct sim_pipe *find_link(struct sim_client *c, uint32_t conn)
{
    for (uint32_t i = 0; i < SIM_PIPES_MAX; i++) {
        if (c->link[i].state != SIM_PIPE_IDLE && c->link[i].conn == conn) {
            return &c->link[i];
        }
    }
    return NULL;
}

void sim_client_connected(struct sim_world *w, uint32_t client, uint32_t conn)
{
    struct sim_client *c = &w->clients[client];
    struct sim_pipe *l = find_link(c, conn);
    struct buf hello = {0};

    if (l == NULL || l->state != SIM_PIPE_DIALING) {
        return;
    }
    l->state = SIM_PIPE_OPEN;
    l->tries++;
    if (prng_chance(&c->rng, w->opt.habits.resp3, 1000)) {
        put_plain(&hello, "HELLO 3");
        expect(l, NOBODY);
    }
    if (l->follows) {
        put_plain(&hello, "CLUSTER SLOTS");
        expect(l, NOBODY);
    }
    if (hello.len > 0) {
        sim_in(w, 3000000, timeout_event, link_name(c, l), l->tries);
        sim_net_client_send(w, conn, &hello);
    } else {
        act_in(w, c, l, 1);
    }
    buf_free(&hello);
}

void sim_client_closed(struct sim_world *w, uint32_t client, uint32_t conn)
{
    struct sim_client *c = &w->clients[client];
    struct sim_pipe *l = find_link(c, conn);

    if (l != NULL) {
        drop_link(w, c, l);
    }
}

static void all_answered(struct sim_world *w, struct sim_client *c, struct sim_pipe *l)
{
    uint64_t think = w->opt.think_us;

    if (w->history.count > OPS_MANY || w->history.blobs.bytes > BYTES_MANY) {
        think = think < THINK_LONG_US ? THINK_LONG_US : think; /* a seed must come to an end */
    }
    if (prng_chance(&c->rng, w->opt.muse_permille, 1000)) {
        think = w->opt.election_us_max; /* someone must ask a leader that has slept long */
    }
    if (w->phase >= SIM_READING) {
        think = READING_US; /* thousands of keys are still to be read */
    }
    l->tries++;
    act_in(w, c, l, 1 + prng_below(&c->rng, 2 * think));
}

void sim_client_received(struct sim_world *w, uint32_t client, uint32_t conn,
                         const struct buf *data)
{
    struct sim_client *c = &w->clients[client];
    struct sim_pipe *l = find_link(c, conn);
    uint32_t answered = 0;
    size_t at = 0;

    if (l == NULL || l->state != SIM_PIPE_OPEN) {
        return;
    }
    buf_append_slice(&l->in, buf_slice(data));
    for (;;) {
        size_t used = sim_reply_parse((struct slice){l->in.data + at, l->in.len - at}, &w->reply);

        if (used == 0) {
            break;
        }
        if (used == SIZE_MAX || answered == l->waiting_count) {
            sim_found(w, "c%u received bytes that are no reply to anything: %.*s", c->id,
                      l->in.len - at < 40 ? (int)(l->in.len - at) : 40,
                      (const char *)l->in.data + at);
            return;
        }
        if (l->waiting[answered] != NOBODY) {
            op_answered(w, c, l, &w->history.ops[l->waiting[answered]], &w->reply);
        }
        answered++;
        at += used;
    }
    buf_consume(&l->in, at);
    l->waiting_count -= answered;
    memmove(l->waiting, l->waiting + answered, l->waiting_count * sizeof l->waiting[0]);
    if (l->waiting_count == 0 && answered > 0) {
        all_answered(w, c, l);
    }
}
