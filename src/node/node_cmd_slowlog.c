/* SLOWLOG and LATENCY: what took long, from a command's arrival to its reply. That
 * includes the log write and the majority's answer, which is what a client waits for. */
#include "node/node_internal.h"

#include "base/base_mem.h"

#include <stdio.h>

enum { SLOW_ARGS_MAX = 32, SLOW_ARG_BYTES_MAX = 128 };

static void keep_args(struct slow_entry *e, uint32_t argc, const struct slice *argv)
{
    uint32_t count = argc < SLOW_ARGS_MAX ? argc : SLOW_ARGS_MAX;
    char text[96];

    e->args.len = 0;
    put_varint(&e->args, count);
    for (uint32_t i = 0; i < count; i++) {
        if (argc > count && i == count - 1) {
            (void)snprintf(text, sizeof text, "... (%u more arguments)", argc - count + 1);
            put_bytes(&e->args, slice_str(text));
        } else if (argv[i].len > SLOW_ARG_BYTES_MAX) {
            (void)snprintf(text, sizeof text, "... (%zu more bytes)",
                           argv[i].len - SLOW_ARG_BYTES_MAX);
            put_varint(&e->args, SLOW_ARG_BYTES_MAX + strlen(text));
            buf_append(&e->args, argv[i].data, SLOW_ARG_BYTES_MAX);
            buf_append(&e->args, text, strlen(text));
        } else {
            put_bytes(&e->args, argv[i]);
        }
    }
}

void node_slowlog_note(struct session *s, uint32_t argc, const struct slice *argv, uint64_t took_us)
{
    struct node *n = s->node;
    struct slow_entry *e;

    node_latency_note(n, "command", took_us / 1000);
    if (n->slowlog_max == 0) {
        return;
    }
    if (n->slowlog == NULL) {
        n->slowlog = mem_zalloc(SLOWLOG_MAX * sizeof n->slowlog[0]);
    }
    n->slowlog_head = (n->slowlog_head + SLOWLOG_MAX - 1) % SLOWLOG_MAX;
    if (n->slowlog_count < SLOWLOG_MAX) {
        n->slowlog_count++;
    }
    e = &n->slowlog[n->slowlog_head];
    e->id = n->slowlog_next++;
    e->when_s = n->now.wall_ms / 1000;
    e->took_us = took_us;
    keep_args(e, argc, argv);
    memcpy(e->client, s->addr, sizeof e->client);
    (void)snprintf(e->name, sizeof e->name, "%s", s->name == NULL ? "" : s->name);
}

static uint32_t shown_count(const struct node *n)
{
    return n->slowlog_count < n->slowlog_max ? n->slowlog_count : n->slowlog_max;
}

static void slowlog_get(struct node *n, uint32_t argc, const struct slice *argv,
                        struct resp_writer *w)
{
    int64_t want = 10;
    uint32_t count = shown_count(n);

    if (argc == 3 && (!cmd_parse_int(argv[2], &want) || want < -1)) {
        resp_put_error(w, "ERR count should be greater than or equal to -1");
        return;
    }
    if (want >= 0 && (uint64_t)want < count) {
        count = (uint32_t)want;
    }
    resp_put_array(w, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct slow_entry *e = &n->slowlog[(n->slowlog_head + i) % SLOWLOG_MAX];
        struct reader r = reader_of(e->args.data, e->args.len);
        uint64_t args = get_varint(&r);

        resp_put_array(w, 6);
        resp_put_int(w, (int64_t)e->id);
        resp_put_int(w, (int64_t)e->when_s);
        resp_put_int(w, (int64_t)e->took_us);
        resp_put_array(w, args);
        for (uint64_t k = 0; k < args; k++) {
            resp_put_bulk(w, get_bytes(&r));
        }
        resp_put_bulk_str(w, e->client);
        resp_put_bulk_str(w, e->name);
    }
}

void node_cmd_slowlog(struct session *s, const struct cmd *cmd, uint32_t argc,
                      const struct slice *argv, struct resp_writer *w)
{
    if (cmd->id == CMD_ID_SLOWLOG_GET) {
        slowlog_get(s->node, argc, argv, w);
    } else if (cmd->id == CMD_ID_SLOWLOG_LEN) {
        resp_put_int(w, shown_count(s->node));
    } else if (cmd->id == CMD_ID_SLOWLOG_RESET) {
        s->node->slowlog_count = 0;
        resp_put_simple(w, "OK");
    }
}

/* ---- LATENCY ---- */

void node_latency_note(struct node *n, const char *event, uint64_t ms)
{
    struct latency_event *e = NULL;

    if (n->latency_threshold_ms == 0 || ms < n->latency_threshold_ms) {
        return;
    }
    for (uint32_t i = 0; i < n->latency_count; i++) {
        if (strcmp(n->latency[i].name, event) == 0) {
            e = &n->latency[i];
        }
    }
    if (e == NULL) {
        if (n->latency_count == ARRAY_COUNT(n->latency)) {
            return;
        }
        e = &n->latency[n->latency_count++];
        *e = (struct latency_event){0};
        (void)snprintf(e->name, sizeof e->name, "%s", event);
    }
    e->at[e->head].when_s = n->now.wall_ms / 1000;
    e->at[e->head].ms = ms;
    e->head = (e->head + 1) % LATENCY_SAMPLES;
    e->count += e->count < LATENCY_SAMPLES ? 1 : 0;
    e->max_ms = ms > e->max_ms ? ms : e->max_ms;
}

static struct latency_event *latency_find(struct node *n, struct slice name)
{
    for (uint32_t i = 0; i < n->latency_count; i++) {
        if (slice_eq_nocase(name, slice_str(n->latency[i].name))) {
            return &n->latency[i];
        }
    }
    return NULL;
}

static void latency_latest(const struct node *n, struct resp_writer *w)
{
    resp_put_array(w, n->latency_count);
    for (uint32_t i = 0; i < n->latency_count; i++) {
        const struct latency_event *e = &n->latency[i];
        uint32_t last = (e->head + LATENCY_SAMPLES - 1) % LATENCY_SAMPLES;

        resp_put_array(w, 4);
        resp_put_bulk_str(w, e->name);
        resp_put_int(w, (int64_t)e->at[last].when_s);
        resp_put_int(w, (int64_t)e->at[last].ms);
        resp_put_int(w, (int64_t)e->max_ms);
    }
}

static void latency_history(struct node *n, struct slice name, struct resp_writer *w)
{
    const struct latency_event *e = latency_find(n, name);
    uint32_t count = e == NULL ? 0 : e->count;

    resp_put_array(w, count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = (e->head + LATENCY_SAMPLES - count + i) % LATENCY_SAMPLES;

        resp_put_array(w, 2);
        resp_put_int(w, (int64_t)e->at[at].when_s);
        resp_put_int(w, (int64_t)e->at[at].ms);
    }
}

static void latency_reset(struct node *n, uint32_t argc, const struct slice *argv,
                          struct resp_writer *w)
{
    int64_t count = 0;

    if (argc == 2) {
        count = n->latency_count;
        n->latency_count = 0;
    }
    for (uint32_t i = 2; i < argc; i++) {
        struct latency_event *e = latency_find(n, argv[i]);

        if (e != NULL) {
            *e = n->latency[--n->latency_count];
            count++;
        }
    }
    resp_put_int(w, count);
}

static void latency_doctor(const struct node *n, struct resp_writer *w)
{
    struct buf b = {0};

    if (n->latency_threshold_ms == 0) {
        buf_printf(&b, "Latency monitoring is disabled in this instance: CONFIG SET "
                       "latency-monitor-threshold MILLISECONDS enables it.\n");
    } else if (n->latency_count == 0) {
        buf_printf(&b, "No latency event above %llu ms was seen.\n",
                   (unsigned long long)n->latency_threshold_ms);
    }
    for (uint32_t i = 0; i < n->latency_count; i++) {
        const struct latency_event *e = &n->latency[i];
        uint64_t sum = 0;

        for (uint32_t k = 0; k < e->count; k++) {
            sum += e->at[k].ms;
        }
        buf_printf(&b, "%s: %u events, mean %llu ms, worst %llu ms\n", e->name, e->count,
                   (unsigned long long)(e->count == 0 ? 0 : sum / e->count),
                   (unsigned long long)e->max_ms);
    }
    resp_put_verbatim(w, "txt", buf_slice(&b));
    buf_free(&b);
}

/* One line per sample, a bar as long as its share of the worst. */
static void latency_graph(struct node *n, struct slice name, struct resp_writer *w)
{
    const struct latency_event *e = latency_find(n, name);
    struct buf b = {0};

    if (e == NULL) {
        resp_put_errorf(w, "ERR No samples available for event '%.*s'",
                        name.len < 64 ? (int)name.len : 64, (const char *)name.data);
        return;
    }
    for (uint32_t i = 0; i < e->count; i++) {
        uint32_t at = (e->head + LATENCY_SAMPLES - e->count + i) % LATENCY_SAMPLES;
        uint64_t bar = e->max_ms == 0 ? 0 : e->at[at].ms * 60 / e->max_ms;

        buf_printf(&b, "%8llu ms ", (unsigned long long)e->at[at].ms);
        for (uint64_t k = 0; k < bar; k++) {
            buf_printf(&b, "#");
        }
        buf_printf(&b, "\n");
    }
    resp_put_verbatim(w, "txt", buf_slice(&b));
    buf_free(&b);
}

void node_cmd_latency(struct session *s, const struct cmd *cmd, uint32_t argc,
                      const struct slice *argv, struct resp_writer *w)
{
    if (cmd->id == CMD_ID_LATENCY_LATEST) {
        latency_latest(s->node, w);
    } else if (cmd->id == CMD_ID_LATENCY_HISTORY) {
        latency_history(s->node, argv[2], w);
    } else if (cmd->id == CMD_ID_LATENCY_RESET) {
        latency_reset(s->node, argc, argv, w);
    } else if (cmd->id == CMD_ID_LATENCY_DOCTOR) {
        latency_doctor(s->node, w);
    } else if (cmd->id == CMD_ID_LATENCY_GRAPH) {
        latency_graph(s->node, argv[2], w);
    }
}
