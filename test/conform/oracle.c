/* oracle.c - do our commands answer as a real Redis does?
 *
 *   oracle --family string|bitmap|hash|key|all [--seed S] [--count N] [--proto 2|3|both]
 *          [--server PROGRAM] [--log]
 *
 * Random commands go to a redis-server of our own and, in this process, to our
 * handlers, and the replies are compared. Each write also goes through the log's
 * encoding to a second store, which must stay equal to the first. Exit 0: all
 * alike. 1: not. 77: there is no redis-server.
 */
#include "oracle.h"
#include "cmd/cmd.h"
#include "store/store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BATCH = 32, DUMP_EVERY = 512, FINDINGS_MAX = 20, EXIT_SKIP = 77 };

struct options {
    const char *family, *server;
    uint64_t seed, count;
    bool proto2, proto3, log;
};

struct oracle {
    const struct options *opt;
    const char *family;
    uint8_t proto;
    struct oracle_gen gen;
    struct oracle_redis redis;
    struct store *leader, *follower; /* the follower gets what the log would carry */
    struct prng rng;
    uint64_t done, errors, findings;
    struct oracle_command batch[BATCH];
    struct buf request, reply, entry;
};

static uint64_t wall_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void print_quoted(struct slice s)
{
    (void)putchar('"');
    for (size_t i = 0; i < s.len && i < 400; i++) {
        if (s.data[i] >= ' ' && s.data[i] < 127 && s.data[i] != '"' && s.data[i] != '\\') {
            (void)putchar(s.data[i]);
        } else {
            (void)printf("\\x%02x", s.data[i]);
        }
    }
    (void)printf("\"%s", s.len > 400 ? "..." : "");
}

static void print_command(const struct oracle_command *cmd)
{
    for (uint32_t i = 0; i < cmd->argc; i++) {
        (void)printf(i == 0 ? "" : " ");
        print_quoted(cmd->argv[i]);
    }
    (void)printf("\n");
}

static void finding(struct oracle *o, const struct oracle_command *cmd, struct slice ours,
                    struct slice theirs)
{
    o->findings++;
    (void)printf("family %s seed %" PRIu64 " proto %u command %" PRIu64 ": ", o->family,
                 o->opt->seed, o->proto, o->done);
    print_command(cmd);
    (void)printf("  synod ");
    print_quoted(ours);
    (void)printf("\n  redis ");
    print_quoted(theirs);
    (void)printf("\n");
}

/* What a replica does with the log entry of this write. */
static void follow(struct oracle *o, const struct call *led, uint64_t seed)
{
    struct cmd_decoded entry;
    struct call c = {.store = o->follower, .now_ms = led->now_ms, .rng = {seed}};

    o->entry.len = 0;
    cmd_encode(&o->entry, led->cmd, led->argc, led->argv);
    CHECK(o->entry.len == cmd_encoded_bytes(led->cmd, led->argc, led->argv));
    CHECK(cmd_decode(buf_slice(&o->entry), &entry) == ERR_OK);
    CHECK(entry.cmd == led->cmd);
    c.cmd = entry.cmd;
    c.argc = entry.argc;
    c.argv = entry.argv;
    c.out.mute = true;
    cmd_run(&c);
    CHECK(c.changed == led->changed);
    cmd_decoded_free(&entry);
}

/* Our reply, into o->reply. */
static void run_ours(struct oracle *o, const struct oracle_command *in, uint64_t now_ms)
{
    struct resp_writer out = {.out = &o->reply, .proto = o->proto};
    const struct cmd *cmd = cmd_lookup(in->argv, in->argc);
    uint64_t seed = prng_next(&o->rng);
    uint64_t before = store_digest(o->leader);
    struct call c = {.cmd = cmd,
                     .argc = in->argc,
                     .argv = in->argv,
                     .store = o->leader,
                     .now_ms = now_ms,
                     .access_s = (uint32_t)(now_ms / 1000),
                     .rng = {seed},
                     .out = out};

    o->reply.len = 0;
    if (cmd == NULL) {
        cmd_reject_unknown(&out, in->argv, in->argc);
        return;
    }
    if (!cmd_arity_ok(cmd, in->argc)) {
        cmd_reject_arity(&out, cmd);
        return;
    }
    if (cmd->handler == NULL) { /* the node's; only the helps are asked for here */
        CHECK(strstr(cmd->name, "|help") != NULL);
        cmd_help(&out, cmd);
        return;
    }
    cmd_run(&c);
    if (store_digest(o->leader) != before) {
        CHECK((cmd->flags & CMD_WRITE) != 0);
        CHECK(c.changed);
    }
    if ((cmd->flags & CMD_WRITE) != 0) {
        follow(o, &c, seed);
    }
}

static void compare(struct oracle *o, const struct oracle_command *cmd, uint64_t now_ms)
{
    struct slice theirs;

    if (o->opt->log) {
        (void)printf("%" PRIu64 ": ", o->done);
        print_command(cmd);
        (void)fflush(stdout);
    }
    theirs = oracle_redis_reply(&o->redis);
    run_ours(o, cmd, now_ms);
    if (!oracle_reply_same(buf_slice(&o->reply), theirs, cmd->norm)) {
        finding(o, cmd, buf_slice(&o->reply), theirs);
    }
    o->done++;
    o->errors += theirs.data[0] == '-';
}

static void encode_request(struct buf *out, const struct oracle_command *cmd)
{
    buf_printf(out, "*%u\r\n", cmd->argc);
    for (uint32_t i = 0; i < cmd->argc; i++) {
        buf_printf(out, "$%zu\r\n", cmd->argv[i].len);
        buf_append_slice(out, cmd->argv[i]);
        buf_append(out, "\r\n", 2);
    }
}

static void run_batch(struct oracle *o, unsigned count)
{
    uint64_t now_ms = wall_ms();

    o->request.len = 0;
    for (unsigned i = 0; i < count; i++) {
        encode_request(&o->request, &o->batch[i]);
    }
    oracle_redis_send(&o->redis, buf_slice(&o->request));
    for (unsigned i = 0; i < count; i++) {
        compare(o, &o->batch[i], now_ms);
    }
}

/* The whole content, on both sides; and the two stores of ours. */
static void compare_content(struct oracle *o)
{
    unsigned pos = 0, count = 0;

    while (oracle_gen_dump(pos++, &o->batch[count])) {
        if (++count == BATCH) {
            run_batch(o, count);
            count = 0;
        }
    }
    run_batch(o, count);
    CHECK(store_digest(o->leader) == store_digest(o->follower));
    CHECK(store_digest(o->leader) == store_digest_slow(o->leader));
    store_check(o->leader);
}

static bool run(const struct options *opt, const char *family, uint8_t proto, uint64_t *findings)
{
    struct oracle o = {.opt = opt, .family = family, .proto = proto, .rng = {opt->seed}};
    uint64_t started = wall_ms();

    CHECK(oracle_gen_init(&o.gen, family, opt->seed * 2 + proto % 2));
    if (!oracle_redis_start(&o.redis, opt->server, proto)) {
        return false;
    }
    o.leader = store_create(opt->seed);
    o.follower = store_create(~opt->seed);
    for (uint64_t left = opt->count; left > 0 && o.findings < FINDINGS_MAX;) {
        unsigned count = left < BATCH ? (unsigned)left : BATCH;

        for (unsigned i = 0; i < count; i++) {
            oracle_gen_next(&o.gen, &o.batch[i]);
        }
        run_batch(&o, count);
        left -= count;
        if (left % DUMP_EVERY < BATCH) {
            compare_content(&o);
        }
    }
    (void)printf("oracle: family %s proto %u seed %" PRIu64 ": %" PRIu64
                 " replies compared (%" PRIu64 " errors), %" PRIu64 " differ, %" PRIu64 " ms\n",
                 family, proto, opt->seed, o.done, o.errors, o.findings, wall_ms() - started);
    (void)fflush(stdout);
    *findings += o.findings;
    oracle_redis_stop(&o.redis);
    store_destroy(o.leader);
    store_destroy(o.follower);
    for (unsigned i = 0; i < BATCH; i++) {
        buf_free(&o.batch[i].bytes);
    }
    buf_free(&o.request);
    buf_free(&o.reply);
    buf_free(&o.entry);
    return true;
}

static void usage(void)
{
    (void)fprintf(stderr, "usage: oracle --family string|bitmap|hash|key|all [--seed S] "
                          "[--count N] [--proto 2|3|both] [--server PROGRAM] [--log]\n");
    exit(2);
}

static uint64_t parse_number(const char *text)
{
    char *end;
    uint64_t value;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (errno != 0 || *text == '\0' || *end != '\0') {
        usage();
    }
    return value;
}

static void parse_args(int argc, char **argv, struct options *opt)
{
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        const char *value = i + 1 < argc ? argv[i + 1] : "";

        if (strcmp(name, "--log") == 0) {
            opt->log = true;
            continue;
        }
        i++;
        if (strcmp(name, "--family") == 0) {
            opt->family = value;
        } else if (strcmp(name, "--seed") == 0) {
            opt->seed = parse_number(value);
        } else if (strcmp(name, "--count") == 0) {
            opt->count = parse_number(value);
        } else if (strcmp(name, "--server") == 0) {
            opt->server = value;
        } else if (strcmp(name, "--proto") == 0) {
            opt->proto2 = strcmp(value, "3") != 0;
            opt->proto3 = strcmp(value, "2") != 0;
        } else {
            usage();
        }
    }
}

int main(int argc, char **argv)
{
    static const char *const families[] = {"string", "bitmap", "hash", "key"};
    struct options opt = {.family = "all",
                          .server = "redis-server",
                          .seed = 1,
                          .count = 20000,
                          .proto2 = true,
                          .proto3 = true};
    uint64_t findings = 0;
    bool any = false;

    parse_args(argc, argv, &opt);
    for (size_t i = 0; i < ARRAY_COUNT(families); i++) {
        if (strcmp(opt.family, "all") != 0 && strcmp(opt.family, families[i]) != 0) {
            continue;
        }
        any = true;
        if ((opt.proto2 && !run(&opt, families[i], 2, &findings)) ||
            (opt.proto3 && !run(&opt, families[i], 3, &findings))) {
            (void)printf("oracle: no %s here\n", opt.server);
            return EXIT_SKIP;
        }
    }
    if (!any) {
        usage();
    }
    if (findings > 0) {
        (void)printf("repeat: oracle --family %s --seed %" PRIu64 " --count %" PRIu64 "\n",
                     opt.family, opt.seed, opt.count);
    }
    return findings == 0 ? 0 : 1;
}
