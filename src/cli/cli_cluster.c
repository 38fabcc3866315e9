/* cli_cluster.c - questions to a running cluster. */
#include "base/base.h"
#include "cli/cli.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int usage(FILE *to, int status)
{
    (void)fprintf(to, "usage: synod cluster status [--host HOST] [--port PORT]\n"
                      "  asks the node at 127.0.0.1:7001 when not said otherwise\n");
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
            const redisReply *e = r->element[i];

            if (e->type == REDIS_REPLY_INTEGER) {
                (void)printf("%lld\n", e->integer);
            } else {
                (void)printf("%.*s\n", (int)e->len, e->str != NULL ? e->str : "");
            }
        }
        break;
    default:
        if (r->str != NULL && r->len > 0) {
            (void)printf("%.*s%s", (int)r->len, r->str, r->str[r->len - 1] == '\n' ? "" : "\n");
        }
    }
}

static int status(const char *host, int port)
{
    struct timeval limit = {.tv_sec = 5};
    redisContext *c = redisConnectWithTimeout(host, port, limit);
    redisReply *r = NULL;
    int result = 1;

    if (c == NULL || c->err != 0) {
        (void)fprintf(stderr, "synod: cannot connect to %s:%d: %s; is the node running?\n", host,
                      port, c != NULL ? c->errstr : "out of memory");
        goto out;
    }
    (void)redisSetTimeout(c, limit);
    r = redisCommand(c, "SYNOD STATUS");
    if (r == NULL) {
        (void)fprintf(stderr, "synod: no answer from %s:%d: %s\n", host, port, c->errstr);
    } else if (r->type == REDIS_REPLY_ERROR) {
        (void)fprintf(stderr, "synod: %s:%d answers: %s\n", host, port, r->str);
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

int cli_cluster(int argc, char **argv)
{
    const char *host = "127.0.0.1";
    long port = 7001;

    if (argc > 0 && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)) {
        return usage(stdout, 0);
    }
    if (argc == 0 || strcmp(argv[0], "status") != 0) {
        (void)fprintf(stderr, "synod: unknown word %s after cluster\n",
                      argc > 0 ? argv[0] : "(none)");
        return usage(stderr, 2);
    }
    for (int i = 1; i < argc; i++) {
        char *end = NULL;

        if (strcmp(argv[i], "--host") == 0 && i + 1 < argc) {
            host = argv[++i];
        } else if (strcmp(argv[i], "--port") == 0 && i + 1 < argc) {
            port = strtol(argv[++i], &end, 10);
            if (*end != '\0' || port < 1 || port > 65535) {
                (void)fprintf(stderr, "synod: --port %s: expected a port of 1..65535\n", argv[i]);
                return 2;
            }
        } else {
            (void)fprintf(stderr, "synod: unknown flag %s, or its value is missing\n", argv[i]);
            return usage(stderr, 2);
        }
    }
    return status(host, (int)port);
}
