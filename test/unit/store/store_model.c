#include "store_model.h"

#include "base/base_mem.h"

static void set_buf(struct buf *b, struct slice s)
{
    b->len = 0;
    buf_append_slice(b, s);
}

static void item_clear(struct model_item *it)
{
    for (size_t i = 0; i < it->pair_count; i++) {
        buf_free(&it->pairs[i].field);
        buf_free(&it->pairs[i].value);
    }
    mem_free(it->pairs);
    buf_free(&it->text);
    buf_free(&it->key);
    *it = (struct model_item){0};
}

static struct model_item item_clone(const struct model_item *from)
{
    struct model_item it = {.expire_ms = from->expire_ms, .is_hash = from->is_hash};

    set_buf(&it.key, buf_slice(&from->key));
    set_buf(&it.text, buf_slice(&from->text));
    it.pair_count = from->pair_count;
    it.pairs = mem_zalloc(from->pair_count * sizeof it.pairs[0]);
    for (size_t i = 0; i < from->pair_count; i++) {
        set_buf(&it.pairs[i].field, buf_slice(&from->pairs[i].field));
        set_buf(&it.pairs[i].value, buf_slice(&from->pairs[i].value));
    }
    return it;
}

void model_free(struct model *m)
{
    for (size_t i = 0; i < m->count; i++) {
        item_clear(&m->items[i]);
    }
    mem_free(m->items);
    *m = (struct model){0};
}

struct model model_clone(const struct model *m)
{
    struct model copy = {mem_alloc(m->count * sizeof copy.items[0]), m->count};

    for (size_t i = 0; i < m->count; i++) {
        copy.items[i] = item_clone(&m->items[i]);
    }
    return copy;
}

/* The first place whose key is not smaller. */
static size_t place_of(const struct model *m, struct slice key)
{
    size_t low = 0, high = m->count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (slice_cmp(buf_slice(&m->items[middle].key), key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct model_item *model_find(struct model *m, struct slice key)
{
    size_t at = place_of(m, key);

    return at < m->count && slice_eq(buf_slice(&m->items[at].key), key) ? &m->items[at] : NULL;
}

static struct model_item *insert(struct model *m, struct model_item it)
{
    size_t at = place_of(m, buf_slice(&it.key));

    m->items = mem_realloc(m->items, (m->count + 1) * sizeof m->items[0]);
    memmove(&m->items[at + 1], &m->items[at], (m->count - at) * sizeof m->items[0]);
    m->items[at] = it;
    m->count++;
    return &m->items[at];
}

struct model_item *model_make(struct model *m, struct slice key)
{
    struct model_item it = {0};

    set_buf(&it.key, key);
    return insert(m, it);
}

void model_del(struct model *m, struct slice key)
{
    struct model_item *it = model_find(m, key);

    if (it != NULL) {
        size_t at = (size_t)(it - m->items);

        item_clear(it);
        m->count--;
        memmove(it, it + 1, (m->count - at) * sizeof *it);
    }
}

void model_set(struct model *m, struct slice key, struct slice value, uint64_t expire_ms)
{
    struct model_item *it;

    model_del(m, key);
    it = model_make(m, key);
    it->expire_ms = expire_ms;
    set_buf(&it->text, value);
}

void model_write(struct model *m, struct slice key, size_t offset, struct slice bytes)
{
    struct model_item *it = model_find(m, key);

    it = it == NULL ? model_make(m, key) : it;
    while (bytes.len > 0 && it->text.len < offset + bytes.len) {
        put_u8(&it->text, 0);
    }
    if (bytes.len > 0) {
        CHECK(it->text.data != NULL);
        memcpy(it->text.data + offset, bytes.data, bytes.len);
    }
}

bool model_hash_set(struct model *m, struct slice key, struct slice field, struct slice value)
{
    struct model_item *it = model_find(m, key);
    struct model_pair pair = {0};

    it = it == NULL ? model_make(m, key) : it;
    it->is_hash = true;
    for (size_t i = 0; i < it->pair_count; i++) {
        if (slice_eq(buf_slice(&it->pairs[i].field), field)) {
            set_buf(&it->pairs[i].value, value);
            return false;
        }
    }
    set_buf(&pair.field, field);
    set_buf(&pair.value, value);
    it->pairs = mem_realloc(it->pairs, (it->pair_count + 1) * sizeof it->pairs[0]);
    it->pairs[it->pair_count++] = pair;
    return true;
}

bool model_hash_del(struct model *m, struct slice key, struct slice field)
{
    struct model_item *it = model_find(m, key);

    for (size_t i = 0; it != NULL && i < it->pair_count; i++) {
        if (slice_eq(buf_slice(&it->pairs[i].field), field)) {
            buf_free(&it->pairs[i].field);
            buf_free(&it->pairs[i].value);
            it->pairs[i] = it->pairs[--it->pair_count];
            if (it->pair_count == 0) {
                model_del(m, key);
            }
            return true;
        }
    }
    return false;
}

void model_copy(struct model *m, struct slice from, struct slice to)
{
    struct model_item copy = item_clone(model_find(m, from));

    model_del(m, to);
    set_buf(&copy.key, to);
    (void)insert(m, copy);
}

size_t model_expire(struct model *m, uint64_t now_ms, size_t max)
{
    size_t done = 0;

    for (; done < max; done++) {
        struct model_item *least = NULL;

        for (size_t i = 0; i < m->count; i++) {
            struct model_item *it = &m->items[i];

            if (it->expire_ms != 0 && it->expire_ms <= now_ms &&
                (least == NULL || it->expire_ms < least->expire_ms)) {
                least = it; /* equal times: the first in key order stays */
            }
        }
        if (least == NULL) {
            break;
        }
        model_del(m, buf_slice(&least->key));
    }
    return done;
}
