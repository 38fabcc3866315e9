/* sim_command.h - the commands that the checkers understand.
 *
 * A table of its own, from the documentation of Redis 7.0: what a judge knows must not come
 * from the one who is judged.
 */
#ifndef SIM_COMMAND_H
#define SIM_COMMAND_H
#include "base/base_bytes.h"

enum {
    SIM_COMMAND_WRITES = 1, /* may change something */
    SIM_COMMAND_INSIDE = 2, /* its reply or effect depends on the bytes of a value */
    SIM_COMMAND_ALL = 4,    /* concerns every key, named or not */
};

/* id, name, least arity (exact when positive), keys: first, last (-1: to the end), step;
 * values that are written whole: first, step (0: one); flags, kinds of reply besides errors. */
#define SIM_COMMAND_LIST(X)                                                                        \
    X(GET, "get", 2, 1, 1, 1, 0, 0, 0, "$_")                                                       \
    X(SET, "set", -3, 1, 1, 1, 2, 0, 1, "+$_")                                                     \
    X(SETNX, "setnx", 3, 1, 1, 1, 2, 0, 1, ":")                                                    \
    X(SETEX, "setex", 4, 1, 1, 1, 3, 0, 1, "+")                                                    \
    X(PSETEX, "psetex", 4, 1, 1, 1, 3, 0, 1, "+")                                                  \
    X(GETSET, "getset", 3, 1, 1, 1, 2, 0, 1, "$_")                                                 \
    X(GETDEL, "getdel", 2, 1, 1, 1, 0, 0, 1, "$_")                                                 \
    X(GETEX, "getex", -2, 1, 1, 1, 0, 0, 1, "$_")                                                  \
    X(APPEND, "append", 3, 1, 1, 1, 0, 0, 3, ":")                                                  \
    X(STRLEN, "strlen", 2, 1, 1, 1, 0, 0, 2, ":")                                                  \
    X(INCR, "incr", 2, 1, 1, 1, 0, 0, 3, ":")                                                      \
    X(DECR, "decr", 2, 1, 1, 1, 0, 0, 3, ":")                                                      \
    X(INCRBY, "incrby", 3, 1, 1, 1, 0, 0, 3, ":")                                                  \
    X(DECRBY, "decrby", 3, 1, 1, 1, 0, 0, 3, ":")                                                  \
    X(INCRBYFLOAT, "incrbyfloat", 3, 1, 1, 1, 0, 0, 3, "$")                                        \
    X(GETRANGE, "getrange", 4, 1, 1, 1, 0, 0, 2, "$")                                              \
    X(SUBSTR, "substr", 4, 1, 1, 1, 0, 0, 2, "$")                                                  \
    X(SETRANGE, "setrange", 4, 1, 1, 1, 0, 0, 3, ":")                                              \
    X(LCS, "lcs", -3, 1, 2, 1, 0, 0, 2, "$:*%")                                                    \
    X(MGET, "mget", -2, 1, -1, 1, 0, 0, 0, "*")                                                    \
    X(MSET, "mset", -3, 1, -1, 2, 2, 2, 1, "+")                                                    \
    X(MSETNX, "msetnx", -3, 1, -1, 2, 2, 2, 1, ":")                                                \
    X(SETBIT, "setbit", 4, 1, 1, 1, 0, 0, 3, ":")                                                  \
    X(GETBIT, "getbit", 3, 1, 1, 1, 0, 0, 2, ":")                                                  \
    X(BITCOUNT, "bitcount", -2, 1, 1, 1, 0, 0, 2, ":")                                             \
    X(BITPOS, "bitpos", -3, 1, 1, 1, 0, 0, 2, ":")                                                 \
    X(BITOP, "bitop", -4, 2, -1, 1, 0, 0, 3, ":")                                                  \
    X(BITFIELD, "bitfield", -2, 1, 1, 1, 0, 0, 3, "*")                                             \
    X(BITFIELD_RO, "bitfield_ro", -2, 1, 1, 1, 0, 0, 2, "*")                                       \
    X(HSET, "hset", -4, 1, 1, 1, 3, 2, 1, ":")                                                     \
    X(HMSET, "hmset", -4, 1, 1, 1, 3, 2, 1, "+")                                                   \
    X(HSETNX, "hsetnx", 4, 1, 1, 1, 3, 0, 1, ":")                                                  \
    X(HGET, "hget", 3, 1, 1, 1, 0, 0, 0, "$_")                                                     \
    X(HMGET, "hmget", -3, 1, 1, 1, 0, 0, 0, "*")                                                   \
    X(HINCRBY, "hincrby", 4, 1, 1, 1, 0, 0, 3, ":")                                                \
    X(HINCRBYFLOAT, "hincrbyfloat", 4, 1, 1, 1, 0, 0, 3, "$")                                      \
    X(HDEL, "hdel", -3, 1, 1, 1, 0, 0, 1, ":")                                                     \
    X(HLEN, "hlen", 2, 1, 1, 1, 0, 0, 0, ":")                                                      \
    X(HSTRLEN, "hstrlen", 3, 1, 1, 1, 0, 0, 2, ":")                                                \
    X(HKEYS, "hkeys", 2, 1, 1, 1, 0, 0, 0, "*~")                                                   \
    X(HVALS, "hvals", 2, 1, 1, 1, 0, 0, 0, "*~")                                                   \
    X(HGETALL, "hgetall", 2, 1, 1, 1, 0, 0, 0, "*%")                                               \
    X(HRANDFIELD, "hrandfield", -2, 1, 1, 1, 0, 0, 0, "$_*")                                       \
    X(HSCAN, "hscan", -3, 1, 1, 1, 0, 0, 0, "*")                                                   \
    X(HEXISTS, "hexists", 3, 1, 1, 1, 0, 0, 0, ":")                                                \
    X(DEL, "del", -2, 1, -1, 1, 0, 0, 1, ":")                                                      \
    X(UNLINK, "unlink", -2, 1, -1, 1, 0, 0, 1, ":")                                                \
    X(EXISTS, "exists", -2, 1, -1, 1, 0, 0, 0, ":")                                                \
    X(TOUCH, "touch", -2, 1, -1, 1, 0, 0, 0, ":")                                                  \
    X(OBJECT, "object", -2, 2, 2, 1, 0, 0, 0, "$:_*")                                              \
    X(TYPE, "type", 2, 1, 1, 1, 0, 0, 0, "+")                                                      \
    X(EXPIRE, "expire", -3, 1, 1, 1, 0, 0, 1, ":")                                                 \
    X(PEXPIRE, "pexpire", -3, 1, 1, 1, 0, 0, 1, ":")                                               \
    X(EXPIREAT, "expireat", -3, 1, 1, 1, 0, 0, 1, ":")                                             \
    X(PEXPIREAT, "pexpireat", -3, 1, 1, 1, 0, 0, 1, ":")                                           \
    X(PERSIST, "persist", 2, 1, 1, 1, 0, 0, 1, ":")                                                \
    X(TTL, "ttl", 2, 1, 1, 1, 0, 0, 0, ":")                                                        \
    X(PTTL, "pttl", 2, 1, 1, 1, 0, 0, 0, ":")                                                      \
    X(EXPIRETIME, "expiretime", 2, 1, 1, 1, 0, 0, 0, ":")                                          \
    X(PEXPIRETIME, "pexpiretime", 2, 1, 1, 1, 0, 0, 0, ":")                                        \
    X(COPY, "copy", -3, 1, 2, 1, 0, 0, 1, ":")                                                     \
    X(RENAME, "rename", 3, 1, 2, 1, 0, 0, 1, "+")                                                  \
    X(RENAMENX, "renamenx", 3, 1, 2, 1, 0, 0, 1, ":")                                              \
    X(FLUSHALL, "flushall", -1, 0, 0, 0, 0, 0, 5, "+")                                             \
    X(FLUSHDB, "flushdb", -1, 0, 0, 0, 0, 0, 5, "+")                                               \
    X(SCAN, "scan", -2, 0, 0, 0, 0, 0, 4, "*")                                                     \
    X(KEYS, "keys", 2, 0, 0, 0, 0, 0, 4, "*~")                                                     \
    X(RANDOMKEY, "randomkey", 1, 0, 0, 0, 0, 0, 4, "$_")                                           \
    X(DBSIZE, "dbsize", 1, 0, 0, 0, 0, 0, 4, ":")
#define SIM_COMMAND_ENUM(id, name, arity, first, last, step, value, value_step, flags, kinds)      \
    SIM_##id,
enum sim_command_id { SIM_COMMAND_LIST(SIM_COMMAND_ENUM) SIM_COMMANDS };

struct sim_command {
    enum sim_command_id id;
    const char *name;
    int arity;
    int first, last, step; /* of keys; first 0: none */
    unsigned value, value_step;
    unsigned flags;
    const char *kinds;
};
/* By its first word, in any case of letters; NULL: none of these. */
const struct sim_command *sim_command_find(struct slice name);
const struct sim_command *sim_command_of(enum sim_command_id id);
/* Touches no key: not judged, and need not be. */
bool sim_command_keyless(struct slice name);
/* Positions of the keys among `words` words: from first on, step apart, `count` of them. */
struct sim_command_keys {
    uint32_t first, step, count;
};
struct sim_command_keys sim_command_keys(const struct sim_command *c, uint32_t words);

/* What an error says of its command. */
enum sim_error {
    SIM_ERROR_REFUSED, /* it did not happen */
    SIM_ERROR_DOUBT,   /* it may happen, once */
    SIM_ERROR_ANSWER,  /* the command's own answer to what it found */
    SIM_ERROR_STRANGE, /* none that is documented */
};
enum sim_error sim_error_of(struct slice text);
#endif
