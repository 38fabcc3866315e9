/* cli_cluster.c - questions and orders to a running cluster: each word is one SYNOD command
 * to one node, whose answer is printed. */
#include "base/base.h"
#include "cli/cli.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ARGS_MAX = 2,
    CONNECT_S = 5,
    ANSWER_S = 60, /* an order is answered when the cluster has decided */
};

struct word {
    const char *name;
    const char *command; /* after SYNOD */
    int arg_count;
    bool order; /* it changes the cluster: no answer means that it may have happened */
    const char *args, *help;
};
static const struct word WORDS[] = {
    {"status", "STATUS", 0, false, "", "the cluster in words and numbers"},
    {"members", "MEMBERS", 0, false, "", "each member, and what gossip knows of it"},
    {"moves", "MOVES", 0, false, "", "movements of data under way, with the time left"},
    {"drain", "DRAIN", 1, true, " MEMBER", "move all data away from a member; it stays one"},
    {"return", "RETURN", 1, true, " MEMBER", "take it into use again"},
    {"leave", "LEAVE", 1, true, " MEMBER", "drain a member, then take it out of the cluster"},
    {"forget", "FORGET", 1, true, " MEMBER", "take out one that is dead and will not come back"},
    {"weight", "WEIGHT", 2, true, " MEMBER N", "its share of the data beside the others, 1 to 64"},
    {"zone", "ZONE", 2, true, " MEMBER N", "where it stands; replicas are spread over zones"},
    {"replicas", "REPLICAS", 1, true, " N", "how many of each partition, 1 to 7"},
    {"rebalance", "REBALANCE", 0, true, "", "even out, moving as little as possible"},
    {"keys", "KEYS", 0, false, "", "which keys seal the packets between members"},
};

struct target {
    const char *host;
    int port;
};

static int usage(FILE *to, int status)
{
    (void)fprintf(to, "usage: synod cluster WORD [--host HOST] [--port PORT]\n");
    for (size_t i = 0; i < sizeof WORDS / sizeof WORDS[0]; i++) {
        (void)fprintf(to, "  %s%-*s %s\n", WORDS[i].name, (int)(18 - strlen(WORDS[i].name)),
                      WORDS[i].args, WORDS[i].help);
    }
    (void)fprintf(to, "  asks the node at 127.0.0.1:7001 when not said otherwise; MEMBER is an id, "
                      "its\n  beginning, or an address. A new member joins when it is started:\n"
                      "  synod server --dir DIR --listen HOST:PORT --join PEER-ADDRESS,...\n");
    return status;
}

static void print_reply(const redisReply *r)
{
    switch (r->type) {
    case REDIS_REPLY_INTEGER:
        (void)printf("%lld\n", r->integer);
        break;
    case REDIS_REPLY_ARRAY:
        for (size_t i = 0; i < r->elements; i++) {
            print_reply(r->element[i]);
        }
        break;
    default:
        if (r->str != NULL && r->len > 0) {
            (void)printf("%.*s%s", (int)r->len, r->str, r->str[r->len - 1] == '\n' ? "" : "\n");
        }
    }
}

static void say_no_answer(const struct word *w, const struct target *to, const char *why)
{
    (void)fprintf(stderr, "synod: no answer from %s:%d: %s%s\n", to->host, to->port, why,
                  w->order ? "; it may have happened all the same: look with synod cluster members"
                           : "");
}

static int ask(const struct word *w, const struct target *to, char **args)
{
    struct timeval connect_limit = {.tv_sec = CONNECT_S}, answer_limit = {.tv_sec = ANSWER_S};
    const char *argv[2 + ARGS_MAX] = {"SYNOD", w->command};
    redisContext *c = redisConnectWithTimeout(to->host, to->port, connect_limit);
    redisReply *r = NULL;
    int result = 1;

    for (int i = 0; i < w->arg_count; i++) {
        argv[2 + i] = args[i];
    }
    if (c == NULL || c->err != 0) {
        (void)fprintf(stderr, "synod: cannot connect to %s:%d: %s; is the node running?\n",
                      to->host, to->port, c != NULL ? c->errstr : "out of memory");
        goto out;
    }
    (void)redisSetTimeout(c, answer_limit);
    r = redisCommandArgv(c, 2 + w->arg_count, argv, NULL);
    if (r == NULL) {
        say_no_answer(w, to, c->errstr);
    } else if (r->type == REDIS_REPLY_ERROR) {
        (void)fprintf(stderr, "synod: %s:%d answers: %s\n", to->host, to->port, r->str);
    } else {
        print_reply(r);
        result = 0;
    }
out:
    if (r != NULL) {
        freeReplyObject(r);
    }
    if (c != NULL) {
        redisFree(c);
    }
    return result;
}

static const struct word *word_named(const char *name)
{
    for (size_t i = 0; i < sizeof WORDS / sizeof WORDS[0]; i++) {
        if (strcmp(WORDS[i].name, name) == 0) {
            return &WORDS[i];
        }
    }
    return NULL;
}

/* argv[*at] is a flag: take it and its value. */
static bool take_flag(struct target *to, int argc, char **argv, int *at)
{
    const char *flag = argv[*at];
    char *end = NULL;

    if (strcmp(flag, "--host") == 0 && *at + 1 < argc) {
        to->host = argv[++*at];
        return true;
    }
    if (strcmp(flag, "--port") == 0 && *at + 1 < argc) {
        long port = strtol(argv[++*at], &end, 10);

        if (end == argv[*at] || *end != '\0' || port < 1 || port > 65535) {
            (void)fprintf(stderr, "synod: --port %s: expected a port of 1..65535\n", argv[*at]);
            return false;
        }
        to->port = (int)port;
        return true;
    }
    (void)fprintf(stderr, "synod: unknown flag %s, or its value is missing\n", flag);
    return false;
}

int cli_cluster(int argc, char **argv)
{
    struct target to = {.host = "127.0.0.1", .port = 7001};
    const struct word *w;
    char *args[ARGS_MAX];
    int arg_count = 0;

    if (argc > 0 && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)) {
        return usage(stdout, 0);
    }
    w = argc > 0 ? word_named(argv[0]) : NULL;
    if (w == NULL) {
        (void)fprintf(stderr, "synod: unknown word %s after cluster\n",
                      argc > 0 ? argv[0] : "(none)");
        return usage(stderr, 2);
    }
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) == 0) {
            if (!take_flag(&to, argc, argv, &i)) {
                return 2;
            }
        } else if (arg_count == w->arg_count) {
            (void)fprintf(stderr, "synod: cluster %s takes%s and nothing more; %s is too much\n",
                          w->name, w->arg_count > 0 ? w->args : " no words", argv[i]);
            return 2;
        } else {
            args[arg_count++] = argv[i];
        }
    }
    if (arg_count < w->arg_count) {
        (void)fprintf(stderr, "synod: cluster %s needs%s\n", w->name, w->args);
        return 2;
    }
    return ask(w, &to, args);
}
