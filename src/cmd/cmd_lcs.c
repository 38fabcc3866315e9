/* cmd_lcs.c - LCS: the longest common subsequence of two strings.
 *
 * Dynamic programming over a table of (len a + 1) x (len b + 1) lengths, as in Redis
 * 7.0. Of the table only the row above is kept, and one bit per cell that says
 * which way the walk back goes: 1/32 of the memory. The limit on the product of
 * the lengths is nevertheless that of Redis, so that the same inputs are accepted.
 */
#include "base/base_mem.h"
#include "cmd/cmd_find.h"
#include "cmd/cmd_handlers.h"

/* What Redis would allocate: four bytes per cell, at most proto-max-bulk-len. */
enum { LCS_CELLS_MAX = STORE_STRING_BYTES_MAX / 4 };

struct lcs {
    struct slice a, b;
    bool want_len, want_idx, want_match_len;
    int64_t min_match_len;
    uint8_t *up;       /* one bit per cell (i, j), i and j from 1: go to (i - 1, j) */
    uint32_t length;   /* of the longest common subsequence */
    struct buf found;  /* the subsequence itself, filled from its end */
    struct buf ranges; /* struct lcs_range, in the order of the reply: last match first */
};
/* A run of equal bytes, both ends included. */
struct lcs_range {
    uint32_t a_start, a_end, b_start, b_end;
};

static bool lcs_parse(struct call *c, struct lcs *l)
{
    for (uint32_t pos = 3; pos < c->argc; pos++) {
        if (cmd_arg_is(c, pos, SLICE("IDX"))) {
            l->want_idx = true;
        } else if (cmd_arg_is(c, pos, SLICE("LEN"))) {
            l->want_len = true;
        } else if (cmd_arg_is(c, pos, SLICE("WITHMATCHLEN"))) {
            l->want_match_len = true;
        } else if (cmd_arg_is(c, pos, SLICE("MINMATCHLEN")) && pos + 1 < c->argc) {
            if (!cmd_arg_int(c, ++pos, &l->min_match_len)) {
                return false;
            }
        } else {
            resp_put_error(&c->out, CMD_ERR_SYNTAX);
            return false;
        }
    }
    if (l->want_idx && l->want_len) {
        resp_put_error(&c->out,
                       "ERR If you want both the length and indexes, please just use IDX.");
        return false;
    }
    if (((uint64_t)l->a.len + 1) * ((uint64_t)l->b.len + 1) > LCS_CELLS_MAX) {
        resp_put_error(&c->out, "ERR Insufficient memory, transient memory for LCS exceeds "
                                "proto-max-bulk-len");
        return false;
    }
    return true;
}

static size_t lcs_cell(const struct lcs *l, uint32_t i, uint32_t j)
{
    CHECK(i > 0 && j > 0);
    return (size_t)(i - 1) * l->b.len + (j - 1);
}

/* Fill length and, unless only that is wanted, the directions. */
static void lcs_measure(struct lcs *l)
{
    uint32_t *row = mem_zalloc((l->b.len + 1) * sizeof(*row)); /* row[j] = LCS(i - 1, j) */

    for (uint32_t i = 1; i <= l->a.len; i++) {
        uint8_t byte = l->a.data[i - 1];
        uint32_t diagonal = 0; /* LCS(i - 1, j - 1) */
        uint32_t left = 0;     /* LCS(i, j - 1) */

        for (uint32_t j = 1; j <= l->b.len; j++) {
            uint32_t above = row[j];

            if (byte == l->b.data[j - 1]) {
                left = diagonal + 1;
            } else if (above > left) {
                left = above;
                if (l->up != NULL) {
                    l->up[lcs_cell(l, i, j) / 8] |= (uint8_t)(1U << (lcs_cell(l, i, j) % 8));
                }
            }
            diagonal = above;
            row[j] = left;
        }
    }
    l->length = row[l->b.len];
    mem_free(row);
}

static void lcs_emit(struct lcs *l, const struct lcs_range *r)
{
    if ((int64_t)(r->a_end - r->a_start) + 1 >= l->min_match_len) {
        buf_append(&l->ranges, r, sizeof(*r));
    }
}

/* Walk back from the far corner, collecting bytes and runs. */
static void lcs_walk(struct lcs *l)
{
    uint32_t i = (uint32_t)l->a.len, j = (uint32_t)l->b.len, left = l->length;
    struct lcs_range run = {0};
    bool in_run = false;

    buf_reserve(&l->found, (size_t)left + 1);
    l->found.len = left;
    while (i > 0 && j > 0) {
        if (l->a.data[i - 1] == l->b.data[j - 1]) {
            CHECK(left > 0);
            l->found.data[--left] = l->a.data[i - 1];
            run.a_start = --i;
            run.b_start = --j;
            if (!in_run) {
                run.a_end = i;
                run.b_end = j;
                in_run = true;
            }
            continue;
        }
        if (in_run) {
            lcs_emit(l, &run);
            in_run = false;
        }
        if ((l->up[lcs_cell(l, i, j) / 8] >> (lcs_cell(l, i, j) % 8) & 1) != 0) {
            i--;
        } else {
            j--;
        }
    }
    if (in_run) {
        lcs_emit(l, &run);
    }
    CHECK(left == 0);
}

static void lcs_reply_ranges(struct call *c, const struct lcs *l)
{
    size_t count = l->ranges.len / sizeof(struct lcs_range);

    resp_put_map(&c->out, 2);
    resp_put_bulk_str(&c->out, "matches");
    resp_put_array(&c->out, count);
    for (size_t pos = 0; pos < count; pos++) {
        struct lcs_range r;

        memcpy(&r, l->ranges.data + pos * sizeof(r), sizeof(r));
        resp_put_array(&c->out, l->want_match_len ? 3 : 2);
        resp_put_array(&c->out, 2);
        resp_put_int(&c->out, r.a_start);
        resp_put_int(&c->out, r.a_end);
        resp_put_array(&c->out, 2);
        resp_put_int(&c->out, r.b_start);
        resp_put_int(&c->out, r.b_end);
        if (l->want_match_len) {
            resp_put_int(&c->out, (int64_t)(r.a_end - r.a_start) + 1);
        }
    }
    resp_put_bulk_str(&c->out, "len");
    resp_put_int(&c->out, l->length);
}

void cmd_lcs(struct call *c)
{
    char scratch_a[STORE_INT_TEXT_MAX], scratch_b[STORE_INT_TEXT_MAX];
    struct store_item *a = store_find(c->store, c->argv[1], c->now_ms, c->access_s);
    struct store_item *b = store_find(c->store, c->argv[2], c->now_ms, c->access_s);
    struct lcs l = {0};

    if ((a != NULL && store_item_type(a) != STORE_STRING) ||
        (b != NULL && store_item_type(b) != STORE_STRING)) {
        resp_put_error(&c->out, "ERR The specified keys must contain string values");
        return;
    }
    l.a = a == NULL ? SLICE("") : store_string(a, scratch_a);
    l.b = b == NULL ? SLICE("") : store_string(b, scratch_b);
    if (!lcs_parse(c, &l) || c->out.mute) {
        return;
    }
    if (!l.want_len) {
        l.up = mem_zalloc(l.a.len * l.b.len / 8 + 1);
    }
    lcs_measure(&l);
    if (!l.want_len) {
        lcs_walk(&l);
    }
    if (l.want_idx) {
        lcs_reply_ranges(c, &l);
    } else if (l.want_len) {
        resp_put_int(&c->out, l.length);
    } else {
        resp_put_bulk(&c->out, buf_slice(&l.found));
    }
    mem_free(l.up);
    buf_free(&l.found);
    buf_free(&l.ranges);
}
