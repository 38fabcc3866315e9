/* sim_history.h - what clients asked, what they were told, and when.
 *
 * Commands and replies are kept as they went over the wire, so that a history can be
 * written to a file and judged from there (docs/format/history.md).
 */
#ifndef SIM_HISTORY_H
#define SIM_HISTORY_H
#include "sim/sim_blob.h"

/* A reply, flattened: each value, an array's right behind it. The sign is that of the text. */
enum sim_item_kind {
    SIM_ITEM_SIMPLE = '+',
    SIM_ITEM_ERROR = '-',
    SIM_ITEM_INT = ':',
    SIM_ITEM_BULK = '$',
    SIM_ITEM_DOUBLE = ',',
    SIM_ITEM_NULL = '_',
    SIM_ITEM_BOOL = '#',
    SIM_ITEM_ARRAY = '*',
    SIM_ITEM_SET = '~',
    SIM_ITEM_MAP = '%',
};
struct sim_item {
    enum sim_item_kind kind;
    uint32_t blob; /* SIMPLE, ERROR, BULK, DOUBLE; otherwise 0 */
    int64_t n;     /* INT, BOOL; ARRAY, SET: replies that follow; MAP: pairs */
};

enum sim_outcome {
    SIM_OP_OPEN,    /* not answered yet; judged like LOST */
    SIM_OP_REPLIED, /* with anything, errors too */
    SIM_OP_LOST,    /* no reply came: at any later time, or never */
    SIM_OP_SILENT,  /* none was wanted: before the next reply of its connection, or never */
};
struct sim_op {
    uint32_t id;     /* from 1; in a file the number of the line */
    uint64_t name;   /* in the simulator: what --skip-ops calls it */
    uint32_t object; /* ... and which number its keys have */
    uint32_t client, conn;
    enum sim_outcome outcome;
    uint64_t call_us, return_us; /* return: of REPLIED; otherwise UINT64_MAX */
    uint32_t word, words;        /* into history.words */
    uint32_t item, items;        /* into history.items */
};

/* From at_us on, until the node's next: its wall clock less that of the history, in ms. */
struct sim_wall {
    uint64_t at_us;
    uint32_t node; /* a blob */
    int64_t least_ms, most_ms;
};
struct sim_note {
    uint64_t at_us;
    uint32_t text; /* a blob */
};
/* A command as some log has it: a hint in which order to look for an explanation, never believed.
 */
struct sim_logged {
    uint32_t log;         /* keys that are ever named together are of one log */
    uint64_t index, term; /* of several at one index the last term counts */
    uint64_t at_us;       /* it stood there by then, and hardly earlier */
    uint32_t word, words; /* into history.words */
};
struct sim_history {
    struct sim_blobs blobs;
    struct sim_op *ops; /* those of one connection in the order in which they were sent */
    uint32_t count, cap;
    uint32_t *words; /* blobs */
    uint32_t word_count, word_cap;
    struct sim_item *items;
    uint32_t item_count, item_cap;
    struct sim_wall *walls;
    uint32_t wall_count, wall_cap;
    struct sim_note *notes;
    uint32_t note_count, note_cap;
    struct sim_logged *logged; /* in any order */
    uint32_t logged_count, logged_cap;
};
void sim_history_free(struct sim_history *h);
/* A zeroed op with its id and no words; valid until the next push. */
struct sim_op *sim_history_push(struct sim_history *h);
/* Words belong to the newest op. */
void sim_history_word(struct sim_history *h, struct slice word);
/* Without words as yet. */
void sim_history_logged(struct sim_history *h, const struct sim_logged *logged);
/* Belongs to the newest logged one. */
void sim_history_logged_word(struct sim_history *h, struct slice word);
/* Replies may come in any order of ops, the items of one reply together. */
void sim_history_item(struct sim_history *h, struct sim_op *op, enum sim_item_kind kind,
                      struct slice text, int64_t n);
void sim_history_wall(struct sim_history *h, struct sim_wall wall);
void sim_history_note(struct sim_history *h, uint64_t at_us, struct slice text);

static inline struct slice sim_op_word(const struct sim_history *h, const struct sim_op *op,
                                       uint32_t i)
{
    CHECK(i < op->words);
    return sim_blob_get(&h->blobs, h->words[op->word + i]);
}
/* The text of an error reply; empty when it is none. */
struct slice sim_op_error(const struct sim_history *h, const struct sim_op *op);

/* --- as text --- */

/* Appends the whole history. */
void sim_history_put(struct buf *out, const struct sim_history *h);
/* One op, as its line without the end; long words are cut to about limit bytes (0: not). */
void sim_history_put_op(struct buf *out, const struct sim_history *h, const struct sim_op *op,
                        size_t limit);
/* ERR_BAD_INPUT, ERR_VERSION: why names line and reason; h must be freed all the same. */
MUST_USE enum err sim_history_parse(struct sim_history *h, struct slice text, struct diag *why);
#endif
