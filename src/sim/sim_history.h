/* sim_history.h - what clients asked, what they were told, and when.
 *
 * An outcome is one of three: it happened and this was the reply; it did not happen;
 * nobody knows. The last may take effect at any later time, or never.
 */
#ifndef SIM_HISTORY_H
#define SIM_HISTORY_H
#include "base/base.h"
#include "sim/sim_options.h"

#define SIM_OP_LIST(X)                                                                             \
    X(SIM_OP_GET, "GET")             /* register: r0 = value or 0 */                               \
    X(SIM_OP_SET, "SET")             /* a0 */                                                      \
    X(SIM_OP_SETNX, "SETNX")         /* a0; r0 = 1 when set */                                     \
    X(SIM_OP_SET_NX, "SET NX")       /* a0; r0 = 1 when set */                                     \
    X(SIM_OP_GETSET, "SET GET")      /* a0; r0 = old value or 0 */                                 \
    X(SIM_OP_DEL, "DEL")             /* r0 = 1 when it was there */                                \
    X(SIM_OP_INCRBY, "INCRBY")       /* a0; r0 = new value */                                      \
    X(SIM_OP_COUNT, "GET counter")   /* r0 = value, r1 = 1 when there */                           \
    X(SIM_OP_APPEND, "APPEND")       /* a0 token, a1 its length; r0 = new length */                \
    X(SIM_OP_TEXT, "GET string")     /* r0 = chain of tokens, r1 = length */                       \
    X(SIM_OP_STRLEN, "STRLEN")       /* r1 = length */                                             \
    X(SIM_OP_HSET, "HSET")           /* field, a0; r0 = 1 when new */                              \
    X(SIM_OP_HGET, "HGET")           /* field; r0 = value or 0 */                                  \
    X(SIM_OP_HDEL, "HDEL")           /* field; r0 = 1 when it was there */                         \
    X(SIM_OP_HMGET, "HMGET")         /* r0..r2 = values or 0 */                                    \
    X(SIM_OP_MSET, "MSET")           /* a0, a1 */                                                  \
    X(SIM_OP_MGET, "MGET")           /* r0, r1 = values or 0 */                                    \
    X(SIM_OP_SET_FIRST, "SET first") /* a0, on the first key of a pair */
#define SIM_OP_ENUM(id, name) id,
enum sim_op_kind { SIM_OP_LIST(SIM_OP_ENUM) SIM_OP_KINDS };
const char *sim_op_name(enum sim_op_kind kind);
bool sim_op_writes(enum sim_op_kind kind);

enum sim_outcome { SIM_OP_OPEN, SIM_OP_OK, SIM_OP_FAIL, SIM_OP_UNKNOWN };

enum { SIM_STATE_WORDS = 3 };
struct sim_op {
    uint32_t id;   /* from 1; unique in the run */
    uint64_t name; /* sim_name(client + 1, its how manieth): what --skip-ops calls it */
    uint32_t client, object;
    enum sim_op_kind kind;
    uint8_t field; /* hashes: 0..2 */
    enum sim_outcome outcome;
    uint64_t invoke_us, return_us; /* return: of OK and FAIL */
    uint64_t a[2];
    uint64_t place; /* APPEND: 1 + where its token was read; 0: it never was */
    uint64_t r[SIM_STATE_WORDS];
};
struct sim_history {
    struct sim_op *ops;
    uint32_t count, cap;
};
void sim_history_free(struct sim_history *h);
/* A zeroed op with its id; valid until the next push. */
struct sim_op *sim_history_push(struct sim_history *h);

/* The sequential meaning of each op on one object; all zero: nothing there. */
struct sim_state {
    uint64_t s[SIM_STATE_WORDS];
};
/* Apply op; false: its reply (of an OK op) is not what this state gives. */
bool sim_model_step(struct sim_state *state, const struct sim_op *op);
/* One token more in a chain. */
uint64_t sim_chain(uint64_t chain, uint64_t token);
#endif
