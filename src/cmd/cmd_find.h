/* cmd_find.h - how a handler finds its key and reads its number arguments.
 *
 * Each function that returns false has written the error reply; the handler
 * returns at once. Items are borrowed until the next write to the store.
 */
#ifndef CMD_FIND_H
#define CMD_FIND_H
#include "cmd/cmd.h"

/* *it is NULL when the key is absent. False: the key holds another type. */
MUST_USE static inline bool cmd_find_read(struct call *c, struct slice key, enum store_type type,
                                          struct store_item **it)
{
    *it = store_find(c->store, key, c->now_ms, c->access_s);
    if (LIKELY(*it == NULL || store_item_type(*it) == type)) {
        return true;
    }
    resp_put_error(&c->out, CMD_ERR_WRONGTYPE);
    return false;
}

/* The same for a handler that is about to write. */
MUST_USE static inline bool cmd_find_write(struct call *c, struct slice key, enum store_type type,
                                           struct store_item **it)
{
    *it = store_find_write(c->store, key, c->now_ms);
    if (LIKELY(*it == NULL || store_item_type(*it) == type)) {
        return true;
    }
    resp_put_error(&c->out, CMD_ERR_WRONGTYPE);
    return false;
}

/* argv[pos] as an integer. */
MUST_USE static inline bool cmd_arg_int(struct call *c, uint32_t pos, int64_t *value)
{
    CHECK(pos < c->argc);
    if (LIKELY(cmd_parse_int(c->argv[pos], value))) {
        return true;
    }
    resp_put_error(&c->out, CMD_ERR_NOT_INT);
    return false;
}

/* Is argv[pos] this word, in any case? */
static inline bool cmd_arg_is(const struct call *c, uint32_t pos, struct slice word)
{
    return slice_eq_nocase(c->argv[pos], word);
}
#endif
