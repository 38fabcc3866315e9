/* LCS. Of several longest common subsequences any will do: what is said must be one of them. */
#include "base/base_mem.h"
#include "sim/sim_model_internal.h"

/* The length of the longest common subsequence. */
static int64_t length_of(struct slice a, struct slice b)
{
    uint32_t *row = mem_zalloc((b.len + 1) * sizeof row[0]);
    uint32_t length;

    for (size_t i = 0; i < a.len; i++) {
        uint32_t diagonal = 0;

        for (size_t j = 0; j < b.len; j++) {
            uint32_t above = row[j + 1], longer = above > row[j] ? above : row[j];

            row[j + 1] = a.data[i] == b.data[j] ? diagonal + 1 : longer;
            diagonal = above;
        }
    }
    length = row[b.len];
    mem_free(row);
    return length;
}

static bool is_within(struct slice part, struct slice whole)
{
    size_t found = 0;

    for (size_t i = 0; i < whole.len && found < part.len; i++) {
        found += whole.data[i] == part.data[found];
    }
    return found == part.len;
}

static struct slice between(struct slice s, int64_t from, int64_t to)
{
    return (struct slice){s.data + from, (size_t)(to - from)};
}

struct options {
    bool len, idx, with_len;
    int64_t least;
};

static bool read_options(const struct sim_run *r, struct options *o)
{
    *o = (struct options){0};
    for (uint32_t i = 3; i < r->c->word_count; i++) {
        if (run_word_is(r, i, "LEN")) {
            o->len = true;
        } else if (run_word_is(r, i, "IDX")) {
            o->idx = true;
        } else if (run_word_is(r, i, "WITHMATCHLEN")) {
            o->with_len = true;
        } else if (!run_word_is(r, i, "MINMATCHLEN") || !run_word_int(r, ++i, &o->least)) {
            return false;
        }
    }
    return !(o->len && o->idx);
}

/* The next item, if it is of that kind; *n: its number. */
static bool take(const struct sim_run *r, uint32_t *at, enum sim_item_kind kind, int64_t *n)
{
    if (*at >= r->c->item_count || r->c->items[*at].kind != kind) {
        return false;
    }
    *n = r->c->items[(*at)++].n;
    return true;
}

/* One match: where it begins and ends in both. */
static bool take_match(const struct sim_run *r, const struct options *o, uint32_t *at,
                       int64_t range[4])
{
    int64_t n, len = 0;

    return take(r, at, SIM_ITEM_ARRAY, &n) && n == (o->with_len ? 3 : 2) &&
           take(r, at, SIM_ITEM_ARRAY, &n) && n == 2 && take(r, at, SIM_ITEM_INT, &range[0]) &&
           take(r, at, SIM_ITEM_INT, &range[1]) && take(r, at, SIM_ITEM_ARRAY, &n) && n == 2 &&
           take(r, at, SIM_ITEM_INT, &range[2]) && take(r, at, SIM_ITEM_INT, &range[3]) &&
           (!o->with_len || (take(r, at, SIM_ITEM_INT, &len) && len == range[1] - range[0] + 1));
}

/* Matches come from the last to the first. Together with the best that lies between them - what
 * MINMATCHLEN left out - they must make up the whole length. */
static bool says_matches(const struct sim_run *r, const struct options *o, struct slice a,
                         struct slice b)
{
    int64_t n, count, range[4], a_end = (int64_t)a.len, b_end = (int64_t)b.len, sum = 0;
    int64_t length = length_of(a, b), gap;
    uint32_t at = 0;

    if (r->c->item_count < 5 || !take(r, &at, r->c->items[0].kind, &n) ||
        (r->c->items[0].kind != SIM_ITEM_MAP && r->c->items[0].kind != SIM_ITEM_ARRAY) ||
        n != (r->c->items[0].kind == SIM_ITEM_MAP ? 2 : 4) || !take(r, &at, SIM_ITEM_BULK, &n) ||
        !take(r, &at, SIM_ITEM_ARRAY, &count)) {
        return false;
    }
    for (int64_t i = 0; i < count; i++) {
        if (!take_match(r, o, &at, range) || range[0] < 0 || range[1] < range[0] || range[2] < 0 ||
            range[1] - range[0] != range[3] - range[2] || range[1] >= a_end || range[3] >= b_end ||
            range[1] - range[0] + 1 < o->least ||
            !slice_eq(between(a, range[0], range[1] + 1), between(b, range[2], range[3] + 1))) {
            return false;
        }
        gap = length_of(between(a, range[1] + 1, a_end), between(b, range[3] + 1, b_end));
        sum += range[1] - range[0] + 1 + gap;
        if (o->least <= 1 && gap > 0) {
            return false;
        }
        a_end = range[0];
        b_end = range[2];
    }
    gap = length_of(between(a, 0, a_end), between(b, 0, b_end));
    return sum + gap == length && (o->least > 1 || gap == 0) && take(r, &at, SIM_ITEM_BULK, &n) &&
           take(r, &at, SIM_ITEM_INT, &n) && n == length && at == r->c->item_count;
}

bool run_lcs(const struct sim_run *r)
{
    struct sim_key_state *x = run_key(r, 0), *y = run_key(r, 1);
    struct slice a, b, said;
    struct options o;

    if (run_found(x) == SIM_HASH || run_found(y) == SIM_HASH || !read_options(r, &o)) {
        return says_error(r, "ERR");
    }
    if (!r->c->known) {
        return true;
    }
    a = run_text(r, x);
    b = run_text(r, y);
    if (o.idx) {
        return says_matches(r, &o, a, b);
    }
    if (o.len) {
        return says_int(r, length_of(a, b));
    }
    if (!says_bulk(r, 0)) {
        return false;
    }
    said = sim_blob_get(&r->m->blobs, r->c->items[0].blob);
    return (int64_t)said.len == length_of(a, b) && is_within(said, a) && is_within(said, b);
}
