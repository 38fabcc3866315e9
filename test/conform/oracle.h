/* oracle.h - random commands, given to our handlers and to a real Redis alike.
 *
 * oracle_gen.c makes the commands, oracle_redis.c runs the real server and talks to
 * it, oracle_reply.c decides whether two replies say the same, oracle.c is the
 * program.
 */
#ifndef ORACLE_H
#define ORACLE_H
#include "base/base_bytes.h"
#include "base/base_prng.h"

#include <sys/types.h>

enum { ORACLE_ARGS_MAX = 64 };

/* How much two replies may differ. */
enum oracle_norm {
    ORACLE_EXACT,     /* byte by byte */
    ORACLE_UNORDERED, /* the same items in any order */
    ORACLE_PAIRS,     /* the same pairs in any order */
    ORACLE_SCAN,      /* [cursor, items in any order] */
    ORACLE_SCAN_PAIRS,
    ORACLE_SHAPE,   /* the same kinds and counts: chosen at random */
    ORACLE_SECONDS, /* numbers from 0 on, a few seconds apart */
    ORACLE_MILLIS,
};

/* One command, its arguments owned by `bytes`. */
struct oracle_command {
    enum oracle_norm norm;
    uint32_t argc;
    struct slice argv[ORACLE_ARGS_MAX];
    size_t at[ORACLE_ARGS_MAX + 1]; /* argument i: bytes at[i] to at[i + 1] */
    struct buf bytes;
};

struct oracle_gen {
    struct prng rng;
    const char *family; /* "string", "bitmap", "hash", "key" */
    uint64_t times;     /* relative times given out: all differ */
    char script[512];   /* what is left of a template of several commands */
    enum oracle_norm script_norm;
    unsigned last_key;
    bool spoil; /* arguments may be lost, added, spoilt */
};
bool oracle_gen_init(struct oracle_gen *g, const char *family, uint64_t seed);
void oracle_gen_next(struct oracle_gen *g, struct oracle_command *out);
/* Commands that show the whole content: pos counts up from 0; false at the end. */
bool oracle_gen_dump(unsigned pos, struct oracle_command *out);

struct oracle_redis {
    pid_t pid;
    int fd;
    char dir[64];
    struct buf in;
    size_t used; /* bytes of in that were taken */
};
/* False: there is no redis-server, or it does not start. */
bool oracle_redis_start(struct oracle_redis *r, const char *program, int proto);
void oracle_redis_stop(struct oracle_redis *r);
void oracle_redis_send(struct oracle_redis *r, struct slice bytes);
/* The next reply, borrowed until the next call. */
struct slice oracle_redis_reply(struct oracle_redis *r);

bool oracle_reply_same(struct slice a, struct slice b, enum oracle_norm norm);
#endif
