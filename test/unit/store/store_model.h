/* store_model.h - the keyspace as a sorted array, kept by the dumbest code that works. */
#ifndef STORE_MODEL_H
#define STORE_MODEL_H
#include "base/base_bytes.h"

struct model_pair {
    struct buf field, value;
};
struct model_item {
    struct buf key;
    uint64_t expire_ms;
    bool is_hash;
    struct buf text;
    struct model_pair *pairs;
    size_t pair_count;
};
struct model {
    struct model_item *items; /* in the order of their keys */
    size_t count;
};
void model_free(struct model *m);
struct model model_clone(const struct model *m);
struct model_item *model_find(struct model *m, struct slice key); /* NULL: absent */
struct model_item *model_make(struct model *m, struct slice key); /* absent until now */
void model_del(struct model *m, struct slice key);
void model_set(struct model *m, struct slice key, struct slice value, uint64_t expire_ms);
void model_write(struct model *m, struct slice key, size_t offset, struct slice bytes);
bool model_hash_set(struct model *m, struct slice key, struct slice field, struct slice value);
bool model_hash_del(struct model *m, struct slice key, struct slice field);
void model_copy(struct model *m, struct slice from, struct slice to);
/* By (time, key), as store_expire_due. */
size_t model_expire(struct model *m, uint64_t now_ms, size_t max);
#endif
