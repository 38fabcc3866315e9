/* CLIENT: what is known of connections, and what they may ask for. */
#include "node/node_internal.h"

#include "base/base_mem.h"

#include <stdio.h>

static void describe(const struct session *s, struct buf *b)
{
    const struct node *n = s->node;
    char flags[8];
    size_t at = 0;

    if (s->no_evict) {
        flags[at++] = 'e';
    }
    if (s->no_touch) {
        flags[at++] = 'T';
    }
    if (s->readonly) {
        flags[at++] = 'r';
    }
    if (at == 0) {
        flags[at++] = 'N';
    }
    flags[at] = 0;
    buf_printf(b,
               "id=%llu addr=%s laddr=%s fd=%llu name=%s age=%llu idle=%llu flags=%s db=0 sub=0 "
               "psub=0 ssub=0 multi=-1 qbuf=%zu qbuf-free=%zu argv-mem=0 multi-mem=0 rbs=0 rbp=0 "
               "obl=%zu oll=%u omem=%zu tot-mem=%zu events=r cmd=%s user=default redir=-1 resp=%u "
               "lib-name=%s lib-ver=%s",
               (unsigned long long)s->id, s->addr, n->cfg.client_addr, (unsigned long long)s->conn,
               s->name == NULL ? "" : s->name,
               (unsigned long long)(n->now.mono_us - s->created_us) / 1000000,
               (unsigned long long)(n->now.mono_us - s->active_us) / 1000000, flags, s->in.len,
               s->in.cap - s->in.len, s->out.len, s->waiting, s->unsent,
               sizeof *s + s->in.cap + s->out.cap + s->unsent,
               s->last_cmd == NULL ? "NULL" : s->last_cmd->name, s->proto,
               s->lib_name == NULL ? "" : s->lib_name, s->lib_ver == NULL ? "" : s->lib_ver);
}

static bool parse_id(struct slice text, uint64_t *id)
{
    int64_t value;

    if (!cmd_parse_int(text, &value) || value <= 0) {
        return false;
    }
    *id = (uint64_t)value;
    return true;
}

static struct session *session_by_id(struct node *n, uint64_t id)
{
    LIST_EACH(it, &n->session_list)
    {
        struct session *s = LIST_ENTRY(it, struct session, in_node);

        if (s->id == id) {
            return s;
        }
    }
    return NULL;
}

static void client_list(struct session *s, uint32_t argc, const struct slice *argv,
                        struct resp_writer *w)
{
    struct node *n = s->node;
    struct buf b = {0};
    bool none = false;

    if (argc == 4 && node_arg_is(argv[2], "TYPE")) {
        if (!node_arg_is(argv[3], "normal") && !node_arg_is(argv[3], "master") &&
            !node_arg_is(argv[3], "replica") && !node_arg_is(argv[3], "slave") &&
            !node_arg_is(argv[3], "pubsub")) {
            resp_put_errorf(w, "ERR Unknown client type '%.*s'",
                            argv[3].len < 128 ? (int)argv[3].len : 128, (const char *)argv[3].data);
            return;
        }
        none = !node_arg_is(argv[3], "normal");
    } else if (argc > 3 && node_arg_is(argv[2], "ID")) {
        for (uint32_t i = 3; i < argc; i++) {
            uint64_t id;
            struct session *found;

            if (!parse_id(argv[i], &id)) {
                resp_put_error(w, "ERR Invalid client ID");
                buf_free(&b);
                return;
            }
            found = session_by_id(n, id);
            if (found != NULL) {
                describe(found, &b);
                buf_printf(&b, "\n");
            }
        }
        none = true;
    } else if (argc != 2) {
        resp_put_error(w, CMD_ERR_SYNTAX);
        return;
    }
    if (!none) {
        LIST_EACH(it, &n->session_list)
        {
            describe(LIST_ENTRY(it, struct session, in_node), &b);
            buf_printf(&b, "\n");
        }
    }
    resp_put_verbatim(w, "txt", buf_slice(&b));
    buf_free(&b);
}

struct kill_filter {
    uint64_t id;
    struct slice addr, laddr, user, type;
    bool skip_me;
};

static bool parse_filter(struct kill_filter *f, uint32_t argc, const struct slice *argv,
                         struct resp_writer *w)
{
    for (uint32_t i = 2; i + 1 < argc; i += 2) {
        struct slice value = argv[i + 1];

        if (node_arg_is(argv[i], "ID")) {
            if (!parse_id(value, &f->id)) {
                resp_put_error(w, "ERR client-id should be greater than 0");
                return false;
            }
        } else if (node_arg_is(argv[i], "ADDR")) {
            f->addr = value;
        } else if (node_arg_is(argv[i], "LADDR")) {
            f->laddr = value;
        } else if (node_arg_is(argv[i], "USER")) {
            f->user = value;
        } else if (node_arg_is(argv[i], "TYPE")) {
            f->type = value;
        } else if (node_arg_is(argv[i], "SKIPME") &&
                   (node_arg_is(value, "yes") || node_arg_is(value, "no"))) {
            f->skip_me = node_arg_is(value, "yes");
        } else {
            resp_put_error(w, CMD_ERR_SYNTAX);
            return false;
        }
    }
    if (argc % 2 != 0) {
        resp_put_error(w, CMD_ERR_SYNTAX);
        return false;
    }
    return true;
}

static bool filter_hits(const struct kill_filter *f, const struct session *me,
                        const struct session *s)
{
    return !(f->skip_me && s == me) && (f->id == 0 || f->id == s->id) &&
           (f->addr.len == 0 || slice_eq(f->addr, slice_str(s->addr))) &&
           (f->laddr.len == 0 || slice_eq(f->laddr, slice_str(s->node->cfg.client_addr))) &&
           (f->user.len == 0 || node_arg_is(f->user, "default")) &&
           (f->type.len == 0 || node_arg_is(f->type, "normal"));
}

static void client_kill(struct session *s, uint32_t argc, const struct slice *argv,
                        struct resp_writer *w)
{
    struct kill_filter f = {.skip_me = argc > 3};
    int64_t killed = 0;

    if (argc == 3) {
        f.addr = argv[2];
    } else if (!parse_filter(&f, argc, argv, w)) {
        return;
    }
    LIST_EACH(it, &s->node->session_list)
    {
        struct session *other = LIST_ENTRY(it, struct session, in_node);

        if (filter_hits(&f, s, other)) {
            node_session_kill(other);
            killed++;
        }
    }
    if (argc > 3) {
        resp_put_int(w, killed);
    } else if (killed > 0) {
        resp_put_simple(w, "OK");
    } else {
        resp_put_error(w, "ERR No such client");
    }
}

static void client_reply(struct session *s, const struct slice *argv, struct resp_writer *w)
{
    if (node_arg_is(argv[2], "ON")) {
        s->reply_mode = SESSION_REPLY_ON;
        w->mute = false;
        resp_put_simple(w, "OK");
    } else if (node_arg_is(argv[2], "OFF")) {
        s->reply_mode = SESSION_REPLY_OFF;
    } else if (node_arg_is(argv[2], "SKIP")) {
        if (s->reply_mode == SESSION_REPLY_ON) {
            s->skip_asked = true;
        }
    } else {
        resp_put_error(w, CMD_ERR_SYNTAX);
    }
}

static void on_off(bool *flag, struct slice word, struct resp_writer *w)
{
    if (node_arg_is(word, "on") || node_arg_is(word, "off")) {
        *flag = node_arg_is(word, "on");
        resp_put_simple(w, "OK");
    } else {
        resp_put_error(w, CMD_ERR_SYNTAX);
    }
}

static void client_setinfo(struct session *s, const struct slice *argv, struct resp_writer *w)
{
    bool is_name = node_arg_is(argv[2], "lib-name");

    if (!is_name && !node_arg_is(argv[2], "lib-ver")) {
        resp_put_errorf(w, "ERR Unrecognized option '%.*s'",
                        argv[2].len < 128 ? (int)argv[2].len : 128, (const char *)argv[2].data);
    } else if (!node_client_name_ok(argv[3])) {
        resp_put_errorf(w, "ERR %s cannot contain spaces, newlines or special characters.",
                        is_name ? "lib-name" : "lib-ver");
    } else {
        node_client_set_text(is_name ? &s->lib_name : &s->lib_ver, argv[3]);
        resp_put_simple(w, "OK");
    }
}

static void client_names(struct session *s, const struct cmd *cmd, const struct slice *argv,
                         struct resp_writer *w)
{
    if (cmd->id == CMD_ID_CLIENT_GETNAME) {
        if (s->name == NULL) {
            resp_put_null(w);
        } else {
            resp_put_bulk_str(w, s->name);
        }
    } else if (!node_client_name_ok(argv[2])) {
        resp_put_error(w, "ERR Client names cannot contain spaces, newlines or special "
                          "characters.");
    } else {
        node_client_set_text(&s->name, argv[2]);
        resp_put_simple(w, "OK");
    }
}

void node_cmd_client(struct session *s, const struct cmd *cmd, uint32_t argc,
                     const struct slice *argv, struct resp_writer *w)
{
    struct buf b = {0};

    if (cmd->id == CMD_ID_CLIENT_ID) {
        resp_put_int(w, (int64_t)s->id);
    } else if (cmd->id == CMD_ID_CLIENT_INFO) {
        describe(s, &b);
        buf_printf(&b, "\n");
        resp_put_verbatim(w, "txt", buf_slice(&b));
        buf_free(&b);
    } else if (cmd->id == CMD_ID_CLIENT_LIST) {
        client_list(s, argc, argv, w);
    } else if (cmd->id == CMD_ID_CLIENT_KILL) {
        client_kill(s, argc, argv, w);
    } else if (cmd->id == CMD_ID_CLIENT_REPLY) {
        client_reply(s, argv, w);
    } else if (cmd->id == CMD_ID_CLIENT_NO_EVICT) {
        on_off(&s->no_evict, argv[2], w);
    } else if (cmd->id == CMD_ID_CLIENT_NO_TOUCH) {
        on_off(&s->no_touch, argv[2], w);
    } else if (cmd->id == CMD_ID_CLIENT_SETINFO) {
        client_setinfo(s, argv, w);
    } else if (cmd->id == CMD_ID_CLIENT_SETNAME || cmd->id == CMD_ID_CLIENT_GETNAME) {
        client_names(s, cmd, argv, w);
    }
}
