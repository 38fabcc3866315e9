#include "sim/sim_ddmin.h"

#include "base/base_mem.h"

#include <string.h>

enum { AT_ONCE = 32 }; /* candidates made at a time: each may be as long as the list */

struct list {
    uint64_t *items;
    size_t count;
    uint64_t *room; /* for candidates, one behind the other */
};

/* The list without the part of that many items that begins at `from`. */
static struct sim_kept without(const struct list *l, uint64_t *to, size_t from, size_t part)
{
    size_t until = l->count - from < part ? l->count : from + part;

    memcpy(to, l->items, from * sizeof to[0]);
    memcpy(to + from, l->items + until, (l->count - until) * sizeof to[0]);
    return (struct sim_kept){to, l->count - (until - from)};
}

/* Leave out the first part from *at on that may go; *at is then behind what was tried.
 * SIM_DDMIN_NONE: none of those tried. */
static size_t step(struct list *l, size_t *at, size_t part, sim_ddmin_fn *first, void *arg)
{
    struct sim_kept kept[AT_ONCE] = {0};
    size_t tried = 0, good;

    for (size_t from = *at; from < l->count && tried < AT_ONCE; from += part) {
        kept[tried] = without(l, l->room + tried * l->count, from, part);
        tried++;
    }
    good = first(arg, kept, tried);
    if (good < tried) {
        *at += good * part; /* what stood behind the part stands here now */
        l->count = kept[good].count;
        memmove(l->items, kept[good].items, l->count * sizeof l->items[0]);
    } else {
        *at += tried * part;
    }
    return good;
}

/* One walk over the list. False: there was no time for it. */
static bool walk(struct list *l, size_t part, sim_ddmin_fn *first, void *arg, bool *changed)
{
    size_t at = 0;

    *changed = false;
    while (at < l->count) {
        size_t good = step(l, &at, part, first, arg);

        if (good == SIM_DDMIN_STOP) {
            return false;
        }
        *changed = *changed || good != SIM_DDMIN_NONE;
    }
    return true;
}

size_t sim_ddmin(uint64_t *items, size_t count, sim_ddmin_fn *first, void *arg)
{
    struct list l = {.count = count};
    struct sim_kept nothing = {items, 0};
    size_t part = (count + 1) / 2;
    bool changed = false;

    if (count == 0 || first(arg, &nothing, 1) == 0) {
        return 0; /* often: it does not take any of them */
    }
    l.room = mem_alloc(count * AT_ONCE * sizeof items[0]);
    l.items = mem_alloc(count * sizeof items[0]);
    memcpy(l.items, items, count * sizeof items[0]);
    while (walk(&l, part, first, arg, &changed) && (part > 1 || changed)) {
        part = part > 1 ? (part + 1) / 2 : 1;
    }
    memcpy(items, l.items, l.count * sizeof items[0]);
    mem_free(l.items);
    mem_free(l.room);
    return l.count;
}
