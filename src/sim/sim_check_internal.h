/* sim_check_internal.h - what the checkers of a history share. */
#ifndef SIM_CHECK_INTERNAL_H
#define SIM_CHECK_INTERNAL_H
#include "sim/sim_check.h"
#include "sim/sim_command.h"

/* What an op was, beyond its outcome. */
enum judged_kind {
    JUDGED_KNOWN,   /* it happened, and this is what it said */
    JUDGED_UNKNOWN, /* it may have happened, or will */
    JUDGED_REFUSED, /* it did not happen */
    JUDGED_NOT,     /* of no model, or of no key */
};
struct judged {
    const struct sim_op *op;
    const struct sim_command *cmd; /* NULL: none that a model knows */
    enum judged_kind kind;
    struct sim_command_keys keys;
    uint64_t latest_us; /* of an unknown one: when it has happened, or never will */
};
struct check {
    const struct sim_history *h;
    struct sim_check_options opt;
    struct sim_check_result *out;
    struct judged *ops;    /* as in the history */
    uint64_t *wall_end_us; /* as its walls: when the node's next begins */
};
static inline uint32_t judged_key(const struct check *c, const struct judged *j, uint32_t i)
{
    CHECK(i < j->keys.count);
    return c->h->words[j->op->word + j->keys.first + i * j->keys.step];
}
static inline bool judged_is_all(const struct judged *j)
{
    return j->cmd != NULL && (j->cmd->flags & SIM_COMMAND_ALL) != 0;
}
static inline bool check_done(const struct check *c)
{
    return c->out->found >= c->opt.found_max;
}

/* A finding: its sentence; then the ops it rests on, each as a line. */
void check_found(struct check *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
void check_show(struct check *c, const struct sim_op *op, const char *mark);
void check_note(struct check *c, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The bounds, in ms, of the logged time of what ran between two times of the history. */
void check_wall(const struct check *c, uint64_t call_us, uint64_t return_us, uint64_t *lo_ms,
                uint64_t *hi_ms);

/* A dumb twin for keys that are only counted up and down: the last read shows all that was
 * acknowledged and nothing that was not sent. False: it was found not to. */
bool check_count(struct check *c, struct judged *const *ops, uint32_t count);

/* The parts. */
void check_groups(struct check *c);   /* keys that belong together: sim_check_linear.h */
void check_keyspace(struct check *c); /* SCAN, KEYS, RANDOMKEY, DBSIZE */
void check_fields(struct check *c);   /* HSCAN */
#endif
