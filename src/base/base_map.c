#include "base/base_map.h"

#include "base/base_mem.h"

static size_t home_of(const struct map64 *m, uint64_t key)
{
    uint64_t h = key * 0x9e3779b97f4a7c15ULL;

    return (size_t)(h ^ (h >> 29)) & (m->cap - 1);
}

static struct map64_slot *find(const struct map64 *m, uint64_t key)
{
    size_t at = home_of(m, key);

    while (m->slots[at].value != NULL && m->slots[at].key != key) {
        at = (at + 1) & (m->cap - 1);
    }
    return &m->slots[at];
}

static void grow(struct map64 *m)
{
    struct map64 old = *m;

    m->cap = old.cap == 0 ? 16 : old.cap * 2;
    m->slots = mem_zalloc(m->cap * sizeof m->slots[0]);
    for (size_t i = 0; i < old.cap; i++) {
        if (old.slots[i].value != NULL) {
            *find(m, old.slots[i].key) = old.slots[i];
        }
    }
    mem_free(old.slots);
}

void map64_free(struct map64 *m)
{
    mem_free(m->slots);
    *m = (struct map64){0};
}

void *map64_get(const struct map64 *m, uint64_t key)
{
    return m->cap == 0 ? NULL : find(m, key)->value;
}

void *map64_put(struct map64 *m, uint64_t key, void *value)
{
    struct map64_slot *slot;
    void *was;

    CHECK(value != NULL);
    if ((m->count + 1) * 4 > m->cap * 3) {
        grow(m);
    }
    slot = find(m, key);
    was = slot->value;
    m->count += was == NULL;
    *slot = (struct map64_slot){key, value};
    return was;
}

void *map64_remove(struct map64 *m, uint64_t key)
{
    struct map64_slot *slot = m->cap == 0 ? NULL : find(m, key);
    void *was = slot == NULL ? NULL : slot->value;
    size_t hole, at;

    if (was == NULL) {
        return NULL;
    }
    m->count--;
    /* Close the gap, so that no probe sequence is cut: Knuth 6.4, algorithm R. */
    hole = at = (size_t)(slot - m->slots);
    for (;;) {
        at = (at + 1) & (m->cap - 1);
        if (m->slots[at].value == NULL) {
            break;
        }
        size_t home = home_of(m, m->slots[at].key);
        if (((at - home) & (m->cap - 1)) >= ((at - hole) & (m->cap - 1))) {
            m->slots[hole] = m->slots[at];
            hole = at;
        }
    }
    m->slots[hole] = (struct map64_slot){0};
    return was;
}

bool map64_each(const struct map64 *m, size_t *pos, uint64_t *key, void **value)
{
    while (*pos < m->cap) {
        const struct map64_slot *slot = &m->slots[(*pos)++];

        if (slot->value != NULL) {
            *key = slot->key;
            *value = slot->value;
            return true;
        }
    }
    return false;
}
