/* store_free.c - taking down large values a few items at a time. */
#include "base/base_mem.h"
#include "store/store_internal.h"

enum { FREE_AT_ONCE = 64 };

static void item_free(struct store *s, struct store_item *it)
{
    s->bytes -= item_class(item_bytes(it));
    if (item_is_big(it)) {
        big_release(s, item_pointer(it));
    }
    mem_free(it);
}

void big_release(struct store *s, struct store_big *big)
{
    if (big->origin != NULL) {
        big->orphan = true; /* the snapshot has yet to write it, and then lets it go */
        return;
    }
    if (big->is_table) {
        fields_free(s, (struct store_fields *)(void *)big);
    } else {
        long_free(s, (struct store_long *)(void *)big);
    }
}

/* Tables of keyspace items are accounted in their store's struct; those of fields, and
 * all that are on their way out, in bytes. */
void corpse_add(struct store *s, struct store_table table)
{
    struct store_corpse *corpse;

    s->bytes += table.bytes;
    corpse = MEM_NEW(struct store_corpse);
    corpse->table = table;
    list_push_back(&s->corpses, &corpse->link);
    if (table.count <= FREE_AT_ONCE) {
        struct store_item *it;

        list_remove(&corpse->link);
        while ((it = table_pop(&corpse->table)) != NULL) {
            item_free(s, it);
        }
        s->bytes -= table.bytes;
        mem_free(corpse);
    }
}

void corpses_work(struct store *s, size_t items)
{
    while (items > 0 && !list_empty(&s->corpses)) {
        struct store_corpse *corpse = LIST_ENTRY(s->corpses.next, struct store_corpse, link);
        size_t before = corpse->table.bytes;
        struct store_item *it = table_pop(&corpse->table);

        s->bytes -= before - corpse->table.bytes;
        items--;
        if (it != NULL) {
            item_free(s, it);
        } else {
            list_remove(&corpse->link);
            mem_free(corpse);
        }
    }
}
