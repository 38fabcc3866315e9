/* sim_model.h - what each command means, run by one thread on a few keys.
 *
 * Written from Redis's documentation, independent of the product. A state is small and
 * plain, so that a search can keep and compare many: values are numbers of byte strings.
 *
 * Expiry. A command runs at a logged time that nobody outside knows exactly: it lies
 * between lo_ms and hi_ms, what the clocks of the nodes may have shown. So a deadline is an
 * interval too. A key with one may be gone for a command when the deadline may have passed
 * at its time, and must be when it has for certain; the search tries what may be. What TTL
 * and its kin say narrows the interval.
 */
#ifndef SIM_MODEL_H
#define SIM_MODEL_H
#include "sim/sim_command.h"
#include "sim/sim_history.h"

enum { SIM_KEYS_JOINED_MAX = 8, SIM_CALL_KEYS_MAX = 16 };

struct sim_key_state {
    uint32_t value;        /* 0: not there; blob << 1: a string; blob << 1 | 1: a hash */
    uint32_t rel_ms;       /* not 0: relative to when an op of unknown outcome ran; hi_ms is open */
    uint64_t lo_ms, hi_ms; /* the deadline lies within; hi 0: none */
};
struct sim_state {
    struct sim_key_state key[SIM_KEYS_JOINED_MAX];
};

/* A command as the model takes it: words and replies in the model's own numbers. */
struct sim_call {
    uint32_t id, conn;
    uint64_t call_us, return_us; /* return: of a known one; else the latest it can happen */
    bool known;                  /* replied, and the reply binds */
    const struct sim_command *cmd;
    uint32_t *words;
    struct sim_item *items;
    uint32_t word_count, item_count;
    uint8_t key[SIM_CALL_KEYS_MAX]; /* of the state, in the order of the command's keys */
    uint8_t key_count;
    uint64_t lo_ms, hi_ms; /* of its logged time */
    uint64_t sent;         /* tells its words as they were sent from others */
    uint64_t place;        /* APPEND: 1 + where its token stands whenever read; 0: not known */
};
struct sim_model {
    struct sim_blobs blobs;
    struct buf scratch;
    uint32_t keys; /* of the state that are in use */
};
void sim_model_free(struct sim_model *m);

/* Of the keys that c names, as bits: which may be gone by expiry when it runs in state s;
 * *must: which must be. Resolves what only the order tells first. */
unsigned sim_model_gone(const struct sim_model *m, const struct sim_call *c, struct sim_state *s,
                        unsigned *must);
/* Run c in *s, with the keys of `gone` expired and the others not. False: c's reply
 * is not what this gives; *s is then undefined. */
bool sim_model_step(struct sim_model *m, const struct sim_call *c, unsigned gone,
                    struct sim_state *s);
#endif
