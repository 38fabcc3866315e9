#include "store/store_heap.h"

#include "base/base_mem.h"

enum { ARITY = 4, FIRST_CAP = 8 };

static struct heap_entry *at(const struct store_heap *h, size_t pos)
{
    return &h->pieces[pos / HEAP_PIECE][pos % HEAP_PIECE];
}

static bool before(const struct heap_entry *a, const struct heap_entry *b)
{
    if (a->expire_ms != b->expire_ms) {
        return a->expire_ms < b->expire_ms;
    }
    return slice_cmp(item_key(a->item), item_key(b->item)) < 0;
}

static void put(struct store_heap *h, size_t pos, struct heap_entry e)
{
    *at(h, pos) = e;
    item_set_heap_pos(e.item, (uint32_t)pos);
}

static size_t sift_up(struct store_heap *h, size_t pos, struct heap_entry e)
{
    while (pos > 0 && before(&e, at(h, (pos - 1) / ARITY))) {
        put(h, pos, *at(h, (pos - 1) / ARITY));
        pos = (pos - 1) / ARITY;
    }
    put(h, pos, e);
    return pos;
}

static void sift_down(struct store_heap *h, size_t pos, struct heap_entry e)
{
    for (;;) {
        size_t least = 0, child = pos * ARITY + 1;

        for (size_t i = child; i < child + ARITY && i < h->count; i++) {
            if (before(at(h, i), least == 0 ? &e : at(h, least))) {
                least = i;
            }
        }
        if (least == 0) {
            break;
        }
        put(h, pos, *at(h, least));
        pos = least;
    }
    put(h, pos, e);
}

static void place(struct store_heap *h, size_t pos, struct heap_entry e)
{
    sift_down(h, sift_up(h, pos, e), e);
}

static void make_room(struct store_heap *h)
{
    size_t piece = h->count / HEAP_PIECE;

    if (piece >= h->pieces_cap) {
        size_t cap = h->pieces_cap == 0 ? 1 : h->pieces_cap * 2;

        h->pieces = mem_realloc(h->pieces, cap * sizeof h->pieces[0]);
        h->bytes += (cap - h->pieces_cap) * sizeof h->pieces[0];
        h->pieces_cap = cap;
    }
    if (piece == 0) {
        if (h->count == h->first_cap) {
            size_t cap = h->first_cap == 0 ? FIRST_CAP : h->first_cap * 2;

            h->pieces[0] = mem_realloc(h->first_cap == 0 ? NULL : h->pieces[0],
                                       cap * sizeof(struct heap_entry));
            h->bytes += (cap - h->first_cap) * sizeof(struct heap_entry);
            h->first_cap = cap;
        }
    } else if (h->count % HEAP_PIECE == 0) {
        h->pieces[piece] = mem_alloc(HEAP_PIECE * sizeof(struct heap_entry));
        h->bytes += HEAP_PIECE * sizeof(struct heap_entry);
    }
}

void heap_push(struct store_heap *h, struct store_item *it)
{
    struct heap_entry e = {item_expire_ms(it), it};

    CHECK(item_expires(it));
    CHECK(h->count < UINT32_MAX);
    make_room(h);
    h->count++;
    (void)sift_up(h, h->count - 1, e);
}

void heap_remove(struct store_heap *h, const struct store_item *it)
{
    size_t pos = item_heap_pos(it);
    struct heap_entry last;

    CHECK(pos < h->count);
    CHECK(at(h, pos)->item == it);
    last = *at(h, --h->count);
    if (pos < h->count) {
        place(h, pos, last);
    }
    if (h->count > 0 && h->count % HEAP_PIECE == 0) {
        mem_free(h->pieces[h->count / HEAP_PIECE]);
        h->bytes -= HEAP_PIECE * sizeof(struct heap_entry);
    }
    if (h->count == 0) {
        heap_free(h);
    }
}

void heap_update(struct store_heap *h, uint32_t pos, struct store_item *it)
{
    CHECK(pos < h->count);
    place(h, pos, (struct heap_entry){item_expire_ms(it), it});
}

struct store_item *heap_first(const struct store_heap *h)
{
    return h->count == 0 ? NULL : at(h, 0)->item;
}

bool heap_has(const struct store_heap *h, const struct store_item *it)
{
    uint32_t pos = item_heap_pos(it);

    return pos < h->count && at(h, pos)->item == it && at(h, pos)->expire_ms == item_expire_ms(it);
}

void heap_free(struct store_heap *h)
{
    size_t pieces = (h->count + HEAP_PIECE - 1) / HEAP_PIECE;

    if (pieces == 0 && h->first_cap > 0) {
        pieces = 1; /* the first piece stays until the heap goes */
    }
    for (size_t i = 0; i < pieces; i++) {
        mem_free(h->pieces[i]);
    }
    mem_free(h->pieces);
    *h = (struct store_heap){0};
}

void heap_check(const struct store_heap *h)
{
    for (size_t pos = 0; pos < h->count; pos++) {
        const struct heap_entry *e = at(h, pos);

        CHECK(item_expires(e->item));
        CHECK(item_expire_ms(e->item) == e->expire_ms);
        CHECK(item_heap_pos(e->item) == pos);
        CHECK_IF(pos > 0, before(at(h, (pos - 1) / ARITY), e));
    }
}
