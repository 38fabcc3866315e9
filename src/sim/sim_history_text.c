/* A history as text: docs/format/history.md. */
#include "base/base_mem.h"
#include "sim/sim_history.h"

static const char first_line[] = "synod-history 1";

/* --- out --- */

static bool is_bare(struct slice s)
{
    if (s.len == 0 || (s.len == 1 && s.data[0] == '>')) {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] <= ' ' || s.data[i] > '~' || s.data[i] == '"' || s.data[i] == '\\') {
            return false;
        }
    }
    return true;
}

static void put_word(struct buf *out, struct slice s, size_t limit)
{
    size_t len = limit > 0 && s.len > limit ? limit : s.len;

    if (is_bare((struct slice){s.data, len})) {
        buf_append(out, s.data, len);
    } else {
        put_u8(out, '"');
        for (size_t i = 0; i < len; i++) {
            uint8_t c = s.data[i];

            if (c == '"' || c == '\\') {
                buf_printf(out, "\\%c", c);
            } else if (c >= ' ' && c <= '~') {
                put_u8(out, c);
            } else {
                buf_printf(out, "\\x%02x", c);
            }
        }
        put_u8(out, '"');
    }
    if (len < s.len) {
        buf_printf(out, "...(%zu bytes)", s.len);
    }
}

static void put_item(struct buf *out, const struct sim_history *h, const struct sim_item *item,
                     size_t limit)
{
    switch (item->kind) {
    case SIM_ITEM_SIMPLE:
    case SIM_ITEM_ERROR:
    case SIM_ITEM_BULK:
    case SIM_ITEM_DOUBLE:
        buf_printf(out, " %c", (char)item->kind);
        put_word(out, sim_blob_get(&h->blobs, item->blob), limit);
        break;
    case SIM_ITEM_BOOL:
        buf_printf(out, " #%c", item->n != 0 ? 't' : 'f');
        break;
    case SIM_ITEM_NULL:
        buf_printf(out, " _");
        break;
    case SIM_ITEM_INT:
    case SIM_ITEM_ARRAY:
    case SIM_ITEM_SET:
    case SIM_ITEM_MAP:
        buf_printf(out, " %c%ld", (char)item->kind, item->n);
        break;
    }
}

void sim_history_put_op(struct buf *out, const struct sim_history *h, const struct sim_op *op,
                        size_t limit)
{
    buf_printf(out, "op %u %u %lu ", op->client, op->conn, op->call_us);
    if (op->outcome == SIM_OP_REPLIED) {
        buf_printf(out, "%lu", op->return_us);
    } else {
        buf_printf(out, "-");
    }
    for (uint32_t i = 0; i < op->words; i++) {
        put_u8(out, ' ');
        put_word(out, sim_op_word(h, op, i), limit);
    }
    buf_printf(out, " >");
    if (op->outcome != SIM_OP_REPLIED) {
        buf_printf(out, op->outcome == SIM_OP_SILENT ? " silent" : " lost");
    }
    for (uint32_t i = 0; i < op->items; i++) {
        put_item(out, h, &h->items[op->item + i], limit);
        if (limit > 0 && i == limit && i + 1 < op->items) {
            buf_printf(out, " ...(%u values)", op->items);
            break;
        }
    }
}

void sim_history_put(struct buf *out, const struct sim_history *h)
{
    buf_printf(out, "%s\n", first_line);
    for (uint32_t i = 0; i < h->wall_count; i++) {
        const struct sim_wall *wall = &h->walls[i];

        buf_printf(out, "wall %lu ", wall->at_us);
        put_word(out, sim_blob_get(&h->blobs, wall->node), 0);
        buf_printf(out, " %ld %ld\n", wall->least_ms, wall->most_ms);
    }
    for (uint32_t i = 0; i < h->note_count; i++) {
        struct slice text = sim_blob_get(&h->blobs, h->notes[i].text);

        buf_printf(out, "note %lu ", h->notes[i].at_us);
        buf_append_slice(out, text);
        put_u8(out, '\n');
    }
    for (uint32_t i = 0; i < h->count; i++) {
        sim_history_put_op(out, h, &h->ops[i], 0);
        put_u8(out, '\n');
    }
    for (uint32_t i = 0; i < h->logged_count; i++) {
        const struct sim_logged *l = &h->logged[i];

        buf_printf(out, "log %u %lu %lu %lu", l->log, l->index, l->term, l->at_us);
        for (uint32_t w = 0; w < l->words; w++) {
            put_u8(out, ' ');
            put_word(out, sim_blob_get(&h->blobs, h->words[l->word + w]), 0);
        }
        put_u8(out, '\n');
    }
}

/* --- in --- */

struct text_reader {
    struct sim_history *h;
    const uint8_t *at, *end; /* of the line, from the next field on */
    uint32_t line;
    const char *wrong; /* NULL: nothing yet */
    struct buf word;   /* of the last quoted word */
};

static void wrong(struct text_reader *r, const char *why)
{
    r->wrong = r->wrong == NULL ? why : r->wrong;
}

static void skip_spaces(struct text_reader *r)
{
    while (r->at < r->end && *r->at == ' ') {
        r->at++;
    }
}

static int hex_digit(uint8_t c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* What follows a backslash. */
static void read_escape(struct text_reader *r)
{
    static const char names[] = "nrt\\\"", means[] = "\n\r\t\\\"";
    const char *name = r->at < r->end && *r->at != 0 ? strchr(names, *r->at) : NULL;

    if (name != NULL) {
        put_u8(&r->word, (uint8_t)means[name - names]);
        r->at++;
    } else if (r->end - r->at >= 3 && r->at[0] == 'x' && hex_digit(r->at[1]) >= 0 &&
               hex_digit(r->at[2]) >= 0) {
        put_u8(&r->word, (uint8_t)(hex_digit(r->at[1]) * 16 + hex_digit(r->at[2])));
        r->at += 3;
    } else {
        wrong(r, "an escape that is none of \\\" \\\\ \\n \\r \\t \\xHH");
        r->at = r->end;
    }
}

static struct slice read_word(struct text_reader *r)
{
    const uint8_t *began = r->at;

    if (r->at == r->end || *r->at != '"') {
        while (r->at < r->end && *r->at != ' ') {
            if (*r->at < ' ' || *r->at > '~' || *r->at == '"' || *r->at == '\\') {
                wrong(r, "a byte that must stand between quotes");
            }
            r->at++;
        }
        if (r->at == began) {
            wrong(r, "a field is missing");
        }
        return (struct slice){began, (size_t)(r->at - began)};
    }
    r->at++;
    r->word.len = 0;
    while (r->at < r->end && *r->at != '"') {
        uint8_t c = *r->at++;

        if (c == '\\') {
            read_escape(r);
        } else {
            put_u8(&r->word, c);
        }
    }
    if (r->at == r->end) {
        wrong(r, "a quoted word without its end");
    } else if (++r->at < r->end && *r->at != ' ') {
        wrong(r, "no space after a quoted word");
    }
    return buf_slice(&r->word);
}

static int64_t read_number(struct text_reader *r)
{
    bool minus = r->at < r->end && *r->at == '-';
    uint64_t n = 0;
    unsigned digits = 0;

    r->at += minus;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9') {
        n = n * 10 + (uint64_t)(*r->at++ - '0');
        digits++;
    }
    if (digits == 0 || digits > 19 || n > (uint64_t)INT64_MAX + minus) {
        wrong(r, "a number is missing or too long");
    }
    if (r->at < r->end && *r->at != ' ') {
        wrong(r, "a number with something behind it");
    }
    return minus ? (int64_t)(0 - n) : (int64_t)n;
}

static uint64_t read_count(struct text_reader *r)
{
    int64_t n;

    skip_spaces(r);
    n = read_number(r);
    if (n < 0) {
        wrong(r, "a number below 0");
    }
    return n < 0 ? 0 : (uint64_t)n;
}

static bool at_sign(const struct text_reader *r, const char *sign)
{
    size_t len = strlen(sign);

    return (size_t)(r->end - r->at) >= len && memcmp(r->at, sign, len) == 0 &&
           (r->at + len == r->end || r->at[len] == ' ');
}

/* One value; how many more replies it holds. */
static uint64_t read_item(struct text_reader *r, struct sim_op *op)
{
    uint8_t kind = r->at < r->end ? *r->at++ : 0;
    int64_t n = 0;

    switch (kind) {
    case SIM_ITEM_SIMPLE:
    case SIM_ITEM_ERROR:
    case SIM_ITEM_BULK:
    case SIM_ITEM_DOUBLE:
        sim_history_item(r->h, op, (enum sim_item_kind)kind, read_word(r), 0);
        return 0;
    case SIM_ITEM_NULL:
        break;
    case SIM_ITEM_BOOL:
        n = r->at < r->end && *r->at == 't';
        r->at += r->at < r->end;
        break;
    case SIM_ITEM_INT:
    case SIM_ITEM_ARRAY:
    case SIM_ITEM_SET:
    case SIM_ITEM_MAP:
        n = read_number(r);
        break;
    default:
        wrong(r, "an outcome that is no reply, lost or silent");
        return 0;
    }
    sim_history_item(r->h, op, (enum sim_item_kind)kind, (struct slice){0}, n);
    if (kind == SIM_ITEM_INT || kind == SIM_ITEM_BOOL || kind == SIM_ITEM_NULL) {
        return 0;
    }
    if (n < 0 || n > INT32_MAX) {
        wrong(r, "a count out of range");
        return 0;
    }
    return kind == SIM_ITEM_MAP ? 2 * (uint64_t)n : (uint64_t)n;
}

static void read_outcome(struct text_reader *r, struct sim_op *op)
{
    uint64_t left = 1;

    skip_spaces(r);
    if (at_sign(r, "lost") || at_sign(r, "silent")) {
        op->outcome = *r->at == 'l' ? SIM_OP_LOST : SIM_OP_SILENT;
        r->at += op->outcome == SIM_OP_LOST ? 4 : 6;
        return;
    }
    op->outcome = SIM_OP_REPLIED;
    while (left > 0 && r->wrong == NULL) {
        skip_spaces(r);
        left += read_item(r, op);
        left--;
    }
}

static void read_op(struct text_reader *r)
{
    struct sim_op *op = sim_history_push(r->h);

    op->id = r->line;
    op->client = (uint32_t)read_count(r);
    op->conn = (uint32_t)read_count(r);
    op->call_us = read_count(r);
    skip_spaces(r);
    if (at_sign(r, "-")) {
        r->at++;
    } else {
        op->return_us = read_count(r);
    }
    skip_spaces(r);
    while (r->at < r->end && !at_sign(r, ">")) {
        sim_history_word(r->h, read_word(r));
        skip_spaces(r);
    }
    if (op->words == 0 || r->at == r->end) {
        wrong(r, op->words == 0 ? "no command" : "no outcome");
        return;
    }
    r->at++;
    read_outcome(r, op);
    if (op->outcome == SIM_OP_REPLIED && op->return_us == UINT64_MAX) {
        wrong(r, "a reply, and no time of its return");
    } else if (op->outcome == SIM_OP_REPLIED && op->return_us < op->call_us) {
        wrong(r, "returned before it was called");
    } else if (op->outcome != SIM_OP_REPLIED) {
        op->return_us = UINT64_MAX;
    }
}

static void read_wall(struct text_reader *r)
{
    struct sim_wall wall = {.at_us = read_count(r)};

    skip_spaces(r);
    wall.node = sim_blob_put(&r->h->blobs, read_word(r));
    skip_spaces(r);
    wall.least_ms = read_number(r);
    skip_spaces(r);
    wall.most_ms = read_number(r);
    if (wall.least_ms > wall.most_ms) {
        wrong(r, "LEAST exceeds MOST");
    }
    sim_history_wall(r->h, wall);
}

static void read_logged(struct text_reader *r)
{
    struct sim_logged logged = {.log = (uint32_t)read_count(r)};

    logged.index = read_count(r);
    logged.term = read_count(r);
    logged.at_us = read_count(r);
    sim_history_logged(r->h, &logged);
    skip_spaces(r);
    while (r->at < r->end) {
        sim_history_logged_word(r->h, read_word(r));
        skip_spaces(r);
    }
}

static void read_line(struct text_reader *r)
{
    skip_spaces(r);
    if (r->at == r->end || *r->at == '#') {
        return;
    }
    if (at_sign(r, "op")) {
        r->at += 2;
        read_op(r);
    } else if (at_sign(r, "wall")) {
        r->at += 4;
        read_wall(r);
    } else if (at_sign(r, "log")) {
        r->at += 3;
        read_logged(r);
    } else if (at_sign(r, "note")) {
        uint64_t at_us;

        r->at += 4;
        at_us = read_count(r);
        skip_spaces(r);
        sim_history_note(r->h, at_us, (struct slice){r->at, (size_t)(r->end - r->at)});
        r->at = r->end;
    } else {
        wrong(r, "a record that is none of op, log, wall, note");
    }
    skip_spaces(r);
    if (r->at < r->end) {
        wrong(r, "something behind the end of the record");
    }
}

enum err sim_history_parse(struct sim_history *h, struct slice text, struct diag *why)
{
    struct text_reader r = {.h = h};
    const uint8_t *at = text.data, *end = text.data + text.len;

    while (at < end && r.wrong == NULL) {
        const uint8_t *line_end = memchr(at, '\n', (size_t)(end - at));

        r.line++;
        r.at = at;
        r.end = line_end != NULL ? line_end : end;
        if (r.line == 1) {
            if (!slice_eq((struct slice){at, (size_t)(r.end - at)}, slice_str(first_line))) {
                diag_set(why, "line 1: not \"%s\"", first_line);
                return ERR_VERSION;
            }
        } else {
            read_line(&r);
        }
        at = line_end != NULL ? line_end + 1 : end;
    }
    buf_free(&r.word);
    if (r.wrong != NULL || r.line == 0) {
        diag_set(why, "line %u: %s", r.line, r.wrong != NULL ? r.wrong : "the file is empty");
        return ERR_BAD_INPUT;
    }
    return ERR_OK;
}
