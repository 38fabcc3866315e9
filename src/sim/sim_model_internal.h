/* sim_model_internal.h - the words that the families of the model share. */
#ifndef SIM_MODEL_INTERNAL_H
#define SIM_MODEL_INTERNAL_H
#include "sim/sim_model.h"

/* One command being run. */
struct sim_run {
    struct sim_model *m;
    const struct sim_call *c;
    struct sim_state *s;
};
static inline struct sim_key_state *run_key(const struct sim_run *r, uint32_t i)
{
    CHECK(i < r->c->key_count);
    return &r->s->key[r->c->key[i]];
}
static inline struct slice run_word(const struct sim_run *r, uint32_t i)
{
    CHECK(i < r->c->word_count);
    return sim_blob_get(&r->m->blobs, r->c->words[i]);
}
bool run_word_is(const struct sim_run *r, uint32_t i, const char *word);
/* The whole word as Redis reads integers; false: it is none. */
bool run_int(struct slice text, int64_t *out);
static inline bool run_word_int(const struct sim_run *r, uint32_t i, int64_t *out)
{
    return i < r->c->word_count && run_int(run_word(r, i), out);
}

/* Redis's rules of ranges in something of that length: negative ends count from behind, and what
 * lies outside is cut off. False: nothing is left of it. */
bool run_range(int64_t *from, int64_t *to, int64_t len);

/* Does the reply say that? Of an unknown command: always. */
bool says_int(const struct sim_run *r, int64_t n);
bool says_ok(const struct sim_run *r);
bool says_null(const struct sim_run *r);
bool says_simple(const struct sim_run *r, const char *text);
bool says_error(const struct sim_run *r, const char *first_word);
bool says_bulk(const struct sim_run *r, uint32_t blob);
/* A string's text or null. */
bool says_value(const struct sim_run *r, uint32_t value);
/* An array (set, map of half as many) of count scalars. */
bool says_array(const struct sim_run *r, uint32_t count);
/* The i-th of an array: bulk of that blob, 0: null. */
bool says_nth(const struct sim_run *r, uint32_t i, uint32_t blob);

enum sim_found { SIM_MISSING, SIM_STRING, SIM_HASH };
static inline enum sim_found run_found(const struct sim_key_state *k)
{
    return k->value == 0 ? SIM_MISSING : (k->value & 1) != 0 ? SIM_HASH : SIM_STRING;
}
static inline struct slice run_text(const struct sim_run *r, const struct sim_key_state *k)
{
    return k->value == 0 ? SLICE("") : sim_blob_get(&r->m->blobs, k->value >> 1);
}
static inline void run_delete(struct sim_key_state *k)
{
    *k = (struct sim_key_state){0};
}
/* A new string; the deadline goes. */
void run_set(struct sim_key_state *k, uint32_t blob);
/* Another string under the same deadline. */
void run_change(const struct sim_run *r, struct sim_key_state *k, struct slice text);
/* Give k a deadline that far after the time of the command; not positive: it is deleted. */
void run_deadline_in(const struct sim_run *r, struct sim_key_state *k, int64_t ms);
void run_deadline_at(const struct sim_run *r, struct sim_key_state *k, int64_t at_ms);

/* The families. */
bool run_string(const struct sim_run *r);
bool run_number(const struct sim_run *r);
bool run_bits(const struct sim_run *r);
bool run_lcs(const struct sim_run *r);
bool run_hash(const struct sim_run *r);
bool run_keys(const struct sim_run *r);
bool run_expiry(const struct sim_run *r);
/* The options of SET and GETEX that give a time, at word *i: 1 taken (i moved on), 0 none of
 * these, -1 an error. Applied to k. */
int run_time_option(const struct sim_run *r, uint32_t *i, struct sim_key_state *k);
#endif
