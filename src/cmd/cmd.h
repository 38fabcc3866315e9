/* cmd.h - the table of commands, and those that work on one partition's keyspace.
 *
 * One row each in cmd_table.def; COMMAND, COMMAND DOCS, help, routing and the
 * oracle derive from it. A handler sees only struct call: it is deterministic,
 * so that every replica applies a logged command alike. Replies and error texts
 * are those of Redis 7.0.
 *
 * Rows flagged CMD_NODE have no handler here: they concern the connection, the
 * node or the cluster, and the node room answers them by their id.
 */
#ifndef CMD_H
#define CMD_H
#include "resp/resp.h"
#include "store/store.h"

enum cmd_flags {
    CMD_READ = 1 << 0,    /* reads keys: linearizable, served by the leader */
    CMD_WRITE = 1 << 1,   /* goes through the log */
    CMD_NODE = 1 << 2,    /* answered by the node room */
    CMD_FAST = 1 << 3,    /* O(1) or O(log n) */
    CMD_DENYOOM = 1 << 4, /* may use more memory */
    CMD_ADMIN = 1 << 5,
    CMD_NOAUTH = 1 << 6,  /* allowed before authentication */
    CMD_FANOUT = 1 << 7,  /* concerns all partitions; the node combines the answers */
    CMD_RANDOM = 1 << 8,  /* reply differs from call to call */
    CMD_LOADING = 1 << 9, /* allowed while the node starts */
    CMD_STALE = 1 << 10,
    CMD_INTERNAL = 1 << 11,  /* never accepted from clients: logged by the node itself */
    CMD_CONTAINER = 1 << 12, /* has subcommands (rows "CONFIG|GET") */
};

/* Ids are written to the log: never renumbered, never reused. */
enum cmd_id {
    CMD_ID_NONE = 0,
#define CMD(id, number, ...) CMD_ID_##id = (number),
#include "cmd/cmd_table.def"
#undef CMD
};

struct call;
typedef void cmd_handler(struct call *c);

struct cmd {
    enum cmd_id id;
    const char *name; /* lower case; subcommands "config|get" */
    int arity;        /* as in Redis: exact, or at least -n */
    uint32_t flags;
    int first_key, last_key, key_step; /* 0: none; last -1: the last argument */
    cmd_handler *handler;              /* NULL for CMD_NODE rows */
    const char *group;                 /* "string", "hash", "generic", "bitmap", "server", ... */
    const char *since;                 /* Redis version */
    const char *complexity;
    const char *summary;
    const struct cmd *container; /* of a subcommand row, or NULL */
};

/* One execution of one command on one partition. */
struct call {
    const struct cmd *cmd;
    uint32_t argc;
    const struct slice *argv; /* argv[0] is the name */
    struct store *store;
    uint64_t now_ms;        /* logged time (writes), hybrid time (reads) */
    uint32_t access_s;      /* for OBJECT IDLETIME; 0 on replicas that do not serve */
    struct prng rng;        /* logged seed (writes) */
    struct resp_writer out; /* mute on followers */
    bool changed;           /* set by handlers that changed something */
};

/* NULL: unknown, or CMD_INTERNAL. Subcommand rows are found through their container:
 * argv[1]. A container alone gives its own row, which arity then rejects. */
const struct cmd *cmd_lookup(const struct slice *argv, uint32_t argc);
const struct cmd *cmd_by_name(struct slice name); /* "get", "config|get"; any case */
const struct cmd *cmd_by_id(enum cmd_id id);
size_t cmd_count(void);               /* rows, containers included */
const struct cmd *cmd_at(size_t pos); /* in table order */
bool cmd_arity_ok(const struct cmd *cmd, uint32_t argc);
/* Positions of the keys in argv, for rows with key specs. Returns how many, at most
 * max are written. */
uint32_t cmd_keys(const struct cmd *cmd, uint32_t argc, const struct slice *argv, uint32_t *pos,
                  uint32_t max);
/* Unknown command or subcommand, wrong arity: the error Redis gives, written to out. */
void cmd_reject_unknown(struct resp_writer *out, const struct slice *argv, uint32_t argc);
void cmd_reject_arity(struct resp_writer *out, const struct cmd *cmd);
/* Run a handler row. The store belongs to the partition of the keys. */
void cmd_run(struct call *c);

/* COMMAND, COMMAND COUNT|LIST|INFO|DOCS|GETKEYS|HELP: need only the table. Arity was
 * checked. */
void cmd_command(struct resp_writer *out, uint32_t argc, const struct slice *argv);
/* Any "...|help" row, containers of the node room included. */
void cmd_help(struct resp_writer *out, const struct cmd *help_row);

/* A command as log bytes: id, then the arguments after the name. */
void cmd_encode(struct buf *out, const struct cmd *cmd, uint32_t argc, const struct slice *argv);
size_t cmd_encoded_bytes(const struct cmd *cmd, uint32_t argc, const struct slice *argv);
/* Arguments are borrowed from data; up to 16 of them need no allocation. ERR_BAD_INPUT:
 * not what cmd_encode writes, or a row without handler, or arity does not fit. */
struct cmd_decoded {
    const struct cmd *cmd;
    uint32_t argc;
    struct slice *argv;
    struct slice inline_argv[16];
    struct slice *heap_argv;
};
MUST_USE enum err cmd_decode(struct slice data, struct cmd_decoded *out);
void cmd_decoded_free(struct cmd_decoded *d);

/* Shared texts. */
#define CMD_ERR_WRONGTYPE "WRONGTYPE Operation against a key holding the wrong kind of value"
#define CMD_ERR_SYNTAX "ERR syntax error"
#define CMD_ERR_NOT_INT "ERR value is not an integer or out of range"
#define CMD_ERR_NOT_FLOAT "ERR value is not a valid float"

/* Numbers as Redis reads and prints them. */
bool cmd_parse_int(struct slice text, int64_t *value);   /* canonical decimal only */
bool cmd_parse_double(struct slice text, double *value); /* no NaN, no spaces */
bool cmd_parse_long_double(struct slice text, long double *value);
size_t cmd_print_long_double(long double value, char out[5 * 1024]); /* INCRBYFLOAT's human form */
/* Redis's glob: * ? [a-z] [^x] \x. Work is bounded: a pattern that needs more than
 * 2^26 comparisons does not match. */
bool cmd_glob(struct slice pattern, struct slice text, bool nocase);
#endif
