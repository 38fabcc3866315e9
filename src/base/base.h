/* base.h - the few words every room shares: checks, errors, coverage marks.
 *
 * Three kinds of trouble are never mixed. Our own bug: CHECK, which stays on in
 * release builds. The environment: an enum err the caller must use, with a diag
 * sentence. A peer or client misbehaving: rejected, counted, carried on.
 */
#ifndef BASE_H
#define BASE_H
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base_planted.h"

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))
#define LIKELY(cond) __builtin_expect(!!(cond), 1)
#define UNLIKELY(cond) __builtin_expect(!!(cond), 0)
#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* CHECK guards against our own bugs, never against input. Split conditions, so
 * that the line number names the culprit. */
#define CHECK(cond) (LIKELY(cond) ? (void)0 : check_failed(#cond, __FILE__, __LINE__))
/* If `a` holds then `b` must; reads as the sentence it is. */
#define CHECK_IF(a, b) CHECK(!(a) || (b))
#define UNREACHABLE(why) check_failed("unreachable: " why, __FILE__, __LINE__)

/* Cold: the code of failures is kept apart from what runs. */
_Noreturn void check_failed(const char *cond, const char *file, int line) __attribute__((cold));

/* A rare but legal situation. Every mark of the program sits in one linker
 * section, so that a long simulation can list those that were never reached. */
struct base_mark {
    const char *name; /* "room: what happened" */
    const char *file;
    uint64_t hits;
    uint32_t rare_seeds; /* in fewer seeds than these it may stay unreached; 0: not declared rare */
    const char *rare_why; /* what must come together for it */
};
/* In place of a number of seeds: the simulator need not reach it; why names the test that does. */
#define MARK_NOT_DUE UINT32_MAX
#define SOMETIMES_RARE(cond, what, seeds, why)                                                     \
    do {                                                                                           \
        static struct base_mark mark_here = {(what), __FILE__, 0, (seeds), (why)};                 \
        static struct base_mark *const mark_ptr __attribute__((used, section("base_marks"))) =     \
            &mark_here;                                                                            \
        (void)mark_ptr;                                                                            \
        if (cond) {                                                                                \
            __atomic_fetch_add(&mark_here.hits, 1, __ATOMIC_RELAXED);                              \
        }                                                                                          \
    } while (0)
#define SOMETIMES(cond, what) SOMETIMES_RARE(cond, what, 0, NULL)

/* Visit every mark linked into the program. */
void base_marks_each(void (*visit)(const struct base_mark *mark, void *arg), void *arg);

#define ERR_LIST(X)                                                                                \
    X(ERR_OK, "ok")                                                                                \
    X(ERR_AGAIN, "not now; retry after progress")                                                  \
    X(ERR_FULL, "a fixed limit is reached; retry after progress")                                  \
    X(ERR_TOO_LARGE, "larger than the stated limit")                                               \
    X(ERR_BAD_INPUT, "input breaks its format")                                                    \
    X(ERR_BAD_ARGUMENT, "argument out of range or of the wrong kind")                              \
    X(ERR_CORRUPT, "stored bytes fail their checksum")                                             \
    X(ERR_VERSION, "written by an unsupported version")                                            \
    X(ERR_NOT_FOUND, "no such thing")                                                              \
    X(ERR_EXISTS, "it is there already")                                                           \
    X(ERR_BUSY, "in use by another process")                                                       \
    X(ERR_NO_SPACE, "no space left on the device")                                                 \
    X(ERR_IO, "the device reported an error")                                                      \
    X(ERR_NOT_LEADER, "this replica is not the leader")                                            \
    X(ERR_MISROUTED, "message addressed to another node")                                          \
    X(ERR_STALE, "superseded by something newer")                                                  \
    X(ERR_REFUSED, "refused by a rule")                                                            \
    X(ERR_STOPPED, "stopping")                                                                     \
    X(ERR_FORKED, "two values where there can be only one")
#define ERR_ENUM(name, text) name,
enum err { ERR_LIST(ERR_ENUM) ERR_COUNT };

/* The fixed sentence of an error code; codes never reach users without a diag. */
const char *err_text(enum err err);
const char *err_name(enum err err);

/* A bounded human explanation that travels next to an enum err. It names the
 * object and, where there is one, the remedy. */
struct diag {
    char text[512];
};
void diag_set(struct diag *d, const char *fmt, ...) PRINTF_LIKE(2, 3) __attribute__((cold));
#endif
