#include "sim/sim_history.h"

#include "base/base_mem.h"

void sim_history_free(struct sim_history *h)
{
    sim_blobs_free(&h->blobs);
    mem_free(h->ops);
    mem_free(h->words);
    mem_free(h->items);
    mem_free(h->walls);
    mem_free(h->notes);
    mem_free(h->logged);
    *h = (struct sim_history){0};
}

struct sim_op *sim_history_push(struct sim_history *h)
{
    MEM_GROW(h->ops, h->count, h->cap);
    h->ops[h->count] =
        (struct sim_op){.id = h->count + 1, .return_us = UINT64_MAX, .word = h->word_count};
    return &h->ops[h->count++];
}

static void push_word(struct sim_history *h, struct slice word)
{
    MEM_GROW(h->words, h->word_count, h->word_cap);
    h->words[h->word_count++] = sim_blob_put(&h->blobs, word);
}

void sim_history_word(struct sim_history *h, struct slice word)
{
    struct sim_op *op = &h->ops[h->count - 1];

    CHECK(h->count > 0 && op->word + op->words == h->word_count);
    push_word(h, word);
    op->words++;
}

void sim_history_logged(struct sim_history *h, const struct sim_logged *logged)
{
    struct sim_logged *to;

    MEM_GROW(h->logged, h->logged_count, h->logged_cap);
    to = &h->logged[h->logged_count++];
    *to = *logged;
    to->word = h->word_count;
    to->words = 0;
}

void sim_history_logged_word(struct sim_history *h, struct slice word)
{
    struct sim_logged *logged = &h->logged[h->logged_count - 1];

    CHECK(h->logged_count > 0 && logged->word + logged->words == h->word_count);
    push_word(h, word);
    logged->words++;
}

static bool has_text(enum sim_item_kind kind)
{
    return kind == SIM_ITEM_SIMPLE || kind == SIM_ITEM_ERROR || kind == SIM_ITEM_BULK ||
           kind == SIM_ITEM_DOUBLE;
}

void sim_history_item(struct sim_history *h, struct sim_op *op, enum sim_item_kind kind,
                      struct slice text, int64_t n)
{
    MEM_GROW(h->items, h->item_count, h->item_cap);
    if (op->items == 0) {
        op->item = h->item_count;
    }
    CHECK(op->item + op->items == h->item_count);
    h->items[h->item_count++] = (struct sim_item){
        .kind = kind, .blob = has_text(kind) ? sim_blob_put(&h->blobs, text) : 0, .n = n};
    op->items++;
}

void sim_history_wall(struct sim_history *h, struct sim_wall wall)
{
    MEM_GROW(h->walls, h->wall_count, h->wall_cap);
    h->walls[h->wall_count++] = wall;
}

void sim_history_note(struct sim_history *h, uint64_t at_us, struct slice text)
{
    MEM_GROW(h->notes, h->note_count, h->note_cap);
    h->notes[h->note_count++] = (struct sim_note){at_us, sim_blob_put(&h->blobs, text)};
}

struct slice sim_op_error(const struct sim_history *h, const struct sim_op *op)
{
    if (op->outcome != SIM_OP_REPLIED || op->items == 0 ||
        h->items[op->item].kind != SIM_ITEM_ERROR) {
        return (struct slice){0};
    }
    return sim_blob_get(&h->blobs, h->items[op->item].blob);
}
