/* Commands that the node answers by itself: the connection's and the server's. */
#include "node/node_internal.h"

#include "base/base_hash.h"
#include "base/base_mem.h"

#include <stdio.h>

bool node_arg_is(struct slice arg, const char *word)
{
    return slice_eq_nocase(arg, slice_str(word));
}

/* ---- the connection ---- */

static void cmd_ping(struct session *s, uint32_t argc, const struct slice *argv,
                     struct resp_writer *w)
{
    (void)s;
    if (argc > 2) {
        cmd_reject_arity(w, cmd_by_id(CMD_ID_PING));
    } else if (argc == 2) {
        resp_put_bulk(w, argv[1]);
    } else {
        resp_put_simple(w, "PONG");
    }
}

static void hello_reply(struct session *s, struct resp_writer *w)
{
    resp_put_map(w, 7);
    resp_put_bulk_str(w, "server");
    resp_put_bulk_str(w, "redis");
    resp_put_bulk_str(w, "version");
    resp_put_bulk_str(w, NODE_REDIS_VERSION);
    resp_put_bulk_str(w, "proto");
    resp_put_int(w, s->proto);
    resp_put_bulk_str(w, "id");
    resp_put_int(w, (int64_t)s->id);
    resp_put_bulk_str(w, "mode");
    resp_put_bulk_str(w, "cluster");
    resp_put_bulk_str(w, "role");
    resp_put_bulk_str(w, "master");
    resp_put_bulk_str(w, "modules");
    resp_put_array(w, 0);
}

#define ERR_NO_PASSWORD                                                                            \
    "ERR AUTH <password> called without any password configured for the default user. Are you "    \
    "sure your configuration is correct?"
#define ERR_WRONG_PASSWORD "WRONGPASS invalid username-password pair or user is disabled."

/* There are no users yet: the default one needs no password and takes any. */
static bool auth_ok(struct slice user)
{
    return node_arg_is(user, "default");
}

bool node_client_name_ok(struct slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] < '!' || name.data[i] > '~') {
            return false;
        }
    }
    return true;
}

void node_client_set_text(char **field, struct slice text)
{
    mem_free(*field);
    *field = text.len == 0 ? NULL : mem_strndup(text.data, text.len);
}

static void cmd_hello(struct session *s, uint32_t argc, const struct slice *argv,
                      struct resp_writer *w)
{
    int64_t proto = s->proto;
    struct slice name = {0};
    bool named = false;

    if (argc >= 2 && !cmd_parse_int(argv[1], &proto)) {
        resp_put_error(w, "ERR Protocol version is not an integer or out of range");
        return;
    }
    if (proto != 2 && proto != 3) {
        resp_put_error(w, "NOPROTO unsupported protocol version");
        return;
    }
    for (uint32_t i = 2; i < argc; i++) {
        if (node_arg_is(argv[i], "AUTH") && i + 2 < argc) {
            if (!auth_ok(argv[i + 1])) {
                resp_put_error(w, ERR_WRONG_PASSWORD);
                return;
            }
            i += 2;
        } else if (node_arg_is(argv[i], "SETNAME") && i + 1 < argc) {
            name = argv[++i];
            named = true;
            if (!node_client_name_ok(name)) {
                resp_put_error(w, "ERR Client names cannot contain spaces, newlines or special "
                                  "characters.");
                return;
            }
        } else {
            resp_put_errorf(w, "ERR Syntax error in HELLO option '%.*s'",
                            argv[i].len < 128 ? (int)argv[i].len : 128, (const char *)argv[i].data);
            return;
        }
    }
    if (named) {
        node_client_set_text(&s->name, name);
    }
    s->proto = (uint8_t)proto;
    w->proto = s->proto;
    hello_reply(s, w);
}

static void cmd_auth(uint32_t argc, const struct slice *argv, struct resp_writer *w)
{
    if (argc > 3) {
        resp_put_error(w, CMD_ERR_SYNTAX);
    } else if (argc == 2) {
        resp_put_error(w, ERR_NO_PASSWORD);
    } else if (auth_ok(argv[1])) {
        resp_put_simple(w, "OK");
    } else {
        resp_put_error(w, ERR_WRONG_PASSWORD);
    }
}

static void cmd_select(const struct slice *argv, struct resp_writer *w)
{
    int64_t db;

    if (!cmd_parse_int(argv[1], &db)) {
        resp_put_error(w, CMD_ERR_NOT_INT);
    } else if (db != 0) {
        resp_put_error(w, "ERR SELECT is not allowed in cluster mode");
    } else {
        resp_put_simple(w, "OK");
    }
}

static void cmd_reset(struct session *s, struct resp_writer *w)
{
    s->proto = 2;
    s->reply_mode = SESSION_REPLY_ON;
    s->skip_next = s->asked_map = s->no_evict = s->no_touch = s->readonly = false;
    node_client_set_text(&s->name, (struct slice){0});
    w->proto = 2;
    w->mute = false;
    resp_put_simple(w, "RESET");
}

/* ---- the server ---- */

static void cmd_time(struct node *n, struct resp_writer *w)
{
    resp_put_array(w, 2);
    resp_put_bulkf(w, "%llu", (unsigned long long)n->now.wall_ms / 1000);
    resp_put_bulkf(w, "%llu", (unsigned long long)(n->now.wall_ms % 1000) * 1000);
}

static void cmd_lolwut(struct node *n, struct resp_writer *w)
{
    struct buf art = {0};
    static const char *const shade[] = {" ", ".", ":", "o", "O", "@"};

    /* The ring as it is: each column a partition, each row a member, dark where it leads. */
    for (uint32_t m = 0; m < n->map.member_count; m++) {
        for (uint32_t p = 0; p < n->map.partitions && n->groups != NULL; p++) {
            int leader = node_member_of(n, n->groups[p].leader);
            unsigned tone = leader == (int)m ? 5 : 0;

            tone = tone == 0 && wire_map_places(&n->map, p, m) ? 2 : tone;
            buf_printf(&art, "%s", shade[tone]);
        }
        buf_printf(&art, "\n");
    }
    buf_printf(&art, "\nsynod ver. %s\n", NODE_VERSION);
    resp_put_verbatim(w, "txt", buf_slice(&art));
    buf_free(&art);
}

/* Every acknowledged write is on a majority already: the answer is how many. */
static void cmd_wait(struct session *s, const struct slice *argv, struct resp_writer *w)
{
    struct node *n = s->node;
    int64_t replicas, timeout;

    if (!cmd_parse_int(argv[1], &replicas)) {
        resp_put_error(w, CMD_ERR_NOT_INT);
        return;
    }
    if (!cmd_parse_int(argv[2], &timeout)) {
        resp_put_error(w, "ERR timeout is not an integer or out of range");
        return;
    }
    if (timeout < 0) {
        resp_put_error(w, "ERR timeout is negative");
        return;
    }
    /* Where there are fewer members than replicas wanted, there are fewer replicas. */
    resp_put_int(
        w, (n->map.replicas < n->map.member_count ? n->map.replicas : n->map.member_count) / 2);
}

static void memory_doctor(struct resp_writer *w)
{
    resp_put_verbatim(w, "txt",
                      SLICE("Hi Sam, I can't find any memory issue in your instance. I can "
                            "only account for what occurs on this base.\n"));
}

static bool starts_with(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static bool is_help(const char *name)
{
    const char *bar = strchr(name, '|');

    return bar != NULL && strcmp(bar, "|help") == 0;
}

/* Families by the container's name: "client|list" goes to the client family. */
static bool run_family(struct session *s, const struct cmd *cmd, uint32_t argc,
                       const struct slice *argv, struct resp_writer *w)
{
    if (starts_with(cmd->name, "client|")) {
        node_cmd_client(s, cmd, argc, argv, w);
    } else if (starts_with(cmd->name, "config|")) {
        node_cmd_config(s, cmd, argc, argv, w);
    } else if (starts_with(cmd->name, "cluster|")) {
        node_cmd_cluster(s, cmd, argc, argv, w);
    } else if (starts_with(cmd->name, "slowlog|")) {
        node_cmd_slowlog(s, cmd, argc, argv, w);
    } else if (starts_with(cmd->name, "latency|")) {
        node_cmd_latency(s, cmd, argc, argv, w);
    } else if (starts_with(cmd->name, "synod|")) {
        node_cmd_synod(s, cmd, argc, argv, w);
    } else if (starts_with(cmd->name, "command")) {
        cmd_command(w, argc, argv);
    } else {
        return false;
    }
    return true;
}

static bool run_connection(struct session *s, const struct cmd *cmd, uint32_t argc,
                           const struct slice *argv, struct resp_writer *w)
{
    if (cmd->id == CMD_ID_PING) {
        cmd_ping(s, argc, argv, w);
    } else if (cmd->id == CMD_ID_ECHO) {
        resp_put_bulk(w, argv[1]);
    } else if (cmd->id == CMD_ID_HELLO) {
        cmd_hello(s, argc, argv, w);
    } else if (cmd->id == CMD_ID_AUTH) {
        cmd_auth(argc, argv, w);
    } else if (cmd->id == CMD_ID_SELECT) {
        cmd_select(argv, w);
    } else if (cmd->id == CMD_ID_RESET) {
        cmd_reset(s, w);
    } else if (cmd->id == CMD_ID_QUIT) {
        resp_put_simple(w, "OK");
        node_session_kill(s);
    } else if (cmd->id == CMD_ID_READONLY || cmd->id == CMD_ID_READWRITE) {
        s->readonly = cmd->id == CMD_ID_READONLY; /* noted: reads are served alike */
        resp_put_simple(w, "OK");
    } else {
        return false;
    }
    return true;
}

void node_command(struct session *s, const struct cmd *cmd, uint32_t argc, const struct slice *argv,
                  struct resp_writer *w)
{
    if (is_help(cmd->name)) {
        cmd_help(w, cmd);
        return;
    }
    if (run_connection(s, cmd, argc, argv, w) || run_family(s, cmd, argc, argv, w)) {
        return;
    }
    if (cmd->id == CMD_ID_INFO) {
        node_cmd_info(s->node, argc, argv, w);
    } else if (cmd->id == CMD_ID_TIME) {
        cmd_time(s->node, w);
    } else if (cmd->id == CMD_ID_LOLWUT) {
        cmd_lolwut(s->node, w);
    } else if (cmd->id == CMD_ID_WAIT) {
        cmd_wait(s, argv, w);
    } else if (cmd->id == CMD_ID_MEMORY_DOCTOR) {
        memory_doctor(w);
    } else {
        /* A container without its subcommand. */
        cmd_reject_unknown(w, argv, argc);
    }
}
