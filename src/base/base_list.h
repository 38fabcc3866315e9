/* base_list.h - an intrusive doubly linked list with a sentinel head. */
#ifndef BASE_LIST_H
#define BASE_LIST_H
#include "base/base.h"

struct list {
    struct list *prev, *next;
};
#define LIST_ENTRY(ptr, type, member) CONTAINER_OF(ptr, type, member)
#define LIST_EACH(it, head)                                                                        \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head);                      \
         it = it##_next, it##_next = it->next)

static inline void list_init(struct list *head)
{
    head->prev = head->next = head;
}
static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}
static inline void list_insert_before(struct list *at, struct list *item)
{
    item->prev = at->prev;
    item->next = at;
    at->prev->next = item;
    at->prev = item;
}
static inline void list_push_back(struct list *head, struct list *item)
{
    list_insert_before(head, item);
}
static inline void list_push_front(struct list *head, struct list *item)
{
    list_insert_before(head->next, item);
}
/* Unlink; the item is then a list of itself, so removing twice is harmless. */
static inline void list_remove(struct list *item)
{
    item->prev->next = item->next;
    item->next->prev = item->prev;
    list_init(item);
}
static inline struct list *list_pop_front(struct list *head)
{
    struct list *item = head->next;

    if (item == head) {
        return NULL;
    }
    list_remove(item);
    return item;
}
#endif
