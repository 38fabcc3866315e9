/* oracle_reply.c - do two replies say the same?
 *
 * Both are rendered as text in which what may differ has been evened out: items
 * without order are sorted, random choices become their kind. */
#include "base/base_mem.h"
#include "oracle.h"
#include "resp/resp.h"

#include <stdlib.h>

enum { SECONDS_APART = 30 };

static int compare_bufs(const void *a, const void *b)
{
    return slice_cmp(buf_slice(a), buf_slice(b));
}

static size_t render(struct buf *out, struct slice in, enum oracle_norm norm);

/* Items in groups of `group`, each rendered on its own, then sorted and joined. */
static size_t render_items(struct buf *out, struct slice in, size_t count, size_t group)
{
    struct buf *parts = mem_zalloc((count / group + 1) * sizeof(*parts));
    size_t used = 0, groups = (count + group - 1) / group;

    for (size_t i = 0; i < count; i++) {
        used +=
            render(&parts[i / group], (struct slice){in.data + used, in.len - used}, ORACLE_EXACT);
    }
    qsort(parts, groups, sizeof(*parts), compare_bufs);
    for (size_t i = 0; i < groups; i++) {
        buf_append_slice(out, buf_slice(&parts[i]));
        buf_free(&parts[i]);
    }
    mem_free(parts);
    return used;
}

/* One value from the front of in; returns its bytes. */
static size_t render(struct buf *out, struct slice in, enum oracle_norm norm)
{
    struct resp_item item;
    struct diag why;
    size_t used, count;

    CHECK(resp_item_next(in.data, in.len, &item, &used, &why) == RESP_DONE);
    if (item.kind < RESP_ITEM_ARRAY) {
        if (norm == ORACLE_SHAPE && item.kind == RESP_ITEM_BULK) {
            buf_append(out, "$", 1);
        } else {
            buf_append(out, in.data, used);
        }
        return used;
    }
    buf_printf(out, "%c%zu\n", in.data[0], item.count);
    count = item.kind == RESP_ITEM_MAP ? item.count * 2 : item.count;
    if (norm == ORACLE_UNORDERED || norm == ORACLE_PAIRS) {
        return used + render_items(out, (struct slice){in.data + used, in.len - used}, count,
                                   norm == ORACLE_PAIRS ? 2 : 1);
    }
    for (size_t i = 0; i < count; i++) {
        enum oracle_norm inner = norm == ORACLE_SHAPE ? ORACLE_SHAPE : ORACLE_EXACT;

        if (i == 1 && norm == ORACLE_SCAN) {
            inner = ORACLE_UNORDERED;
        } else if (i == 1 && norm == ORACLE_SCAN_PAIRS) {
            inner = ORACLE_PAIRS;
        }
        used += render(out, (struct slice){in.data + used, in.len - used}, inner);
    }
    return used;
}

static bool near_in_time(struct slice a, struct slice b, int64_t apart)
{
    struct resp_item x, y;
    struct diag why;
    size_t used;

    return resp_item_next(a.data, a.len, &x, &used, &why) == RESP_DONE &&
           resp_item_next(b.data, b.len, &y, &used, &why) == RESP_DONE && x.kind == RESP_ITEM_INT &&
           y.kind == RESP_ITEM_INT && x.integer >= 0 && y.integer >= 0 &&
           x.integer - y.integer <= apart && y.integer - x.integer <= apart;
}

bool oracle_reply_same(struct slice a, struct slice b, enum oracle_norm norm)
{
    struct buf x = {0}, y = {0};
    bool same;

    if (slice_eq(a, b)) {
        return true;
    }
    if (norm == ORACLE_EXACT) {
        return false;
    }
    if (norm == ORACLE_SECONDS || norm == ORACLE_MILLIS) {
        return near_in_time(a, b, norm == ORACLE_SECONDS ? SECONDS_APART : SECONDS_APART * 1000);
    }
    (void)render(&x, a, norm);
    (void)render(&y, b, norm);
    same = slice_eq(buf_slice(&x), buf_slice(&y));
    buf_free(&x);
    buf_free(&y);
    return same;
}
