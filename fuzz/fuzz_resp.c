/* fuzz_resp.c - the request parser and the value walker on hostile bytes.
 *
 * The first byte picks what is tried and where the input is cut. Asserted: the
 * outcome does not depend on the cuts, nothing is read past the end, and what was
 * parsed, written again as a request, parses to the same.
 */
#include "base/base_mem.h"
#include "resp/resp.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    enum resp_status status;
    size_t used;
    struct buf args; /* arguments, each with its length */
    struct diag why;
};

/* From memory that ends where the bytes end. */
static enum resp_status parse_exact(struct resp_parser *p, const uint8_t *data, size_t len,
                                    struct outcome *out)
{
    uint8_t *copy = mem_alloc(len);
    struct resp_command cmd;

    if (len > 0) {
        memcpy(copy, data, len);
    }
    out->args.len = 0;
    out->used = 0;
    out->status = resp_parse(p, copy, len, &cmd, &out->why);
    if (out->status == RESP_DONE) {
        CHECK(cmd.used > 0 && cmd.used <= len);
        out->used = cmd.used;
        for (uint32_t i = 0; i < cmd.argc; i++) {
            put_bytes(&out->args, cmd.argv[i]);
        }
    }
    if (out->status == RESP_MORE) {
        CHECK(resp_parser_wants(p, len) > len);
    }
    mem_free(copy);
    return out->status;
}

/* The outcome when the bytes arrive in steps of `step`. */
static void parse_in_steps(const uint8_t *data, size_t len, size_t step, struct outcome *out)
{
    const struct resp_limits limits = {
        .bulk_bytes_max = 1 << 16, .inline_bytes_max = 64, .args_max = 64};
    struct resp_parser p;
    size_t have = 0;

    resp_parser_init(&p, limits);
    while (parse_exact(&p, data, have, out) == RESP_MORE && have < len) {
        have = len - have < step ? len : have + step;
    }
    resp_parser_free(&p);
}

static void check_same(const struct outcome *a, const struct outcome *b)
{
    CHECK(a->status == b->status);
    CHECK(a->used == b->used);
    CHECK(slice_eq(buf_slice(&a->args), buf_slice(&b->args)));
    CHECK_IF(a->status == RESP_BAD, strcmp(a->why.text, b->why.text) == 0);
}

/* Written as an array of bulk strings, a command parses to itself. */
static void check_round_trip(const struct outcome *o)
{
    struct buf items = {0};
    struct buf again = {0};
    struct resp_writer w = {&items, 2, false};
    struct reader r = reader_of(o->args.data, o->args.len);
    struct outcome back = {0};
    size_t argc = 0;

    while (reader_left(&r) > 0) {
        resp_put_bulk(&w, get_bytes(&r));
        argc++;
    }
    CHECK(!r.bad);
    w.out = &again;
    resp_put_array(&w, argc);
    resp_put_raw(&w, buf_slice(&items));
    parse_in_steps(again.data, again.len, again.len, &back);
    CHECK(back.status == RESP_DONE);
    CHECK(back.used == again.len);
    CHECK(slice_eq(buf_slice(&back.args), buf_slice(&o->args)));
    buf_free(&back.args);
    buf_free(&items);
    buf_free(&again);
}

static void fuzz_requests(const uint8_t *data, size_t len, size_t step)
{
    struct outcome whole = {0};
    struct outcome cut = {0};

    parse_in_steps(data, len, len > 0 ? len : 1, &whole);
    parse_in_steps(data, len, step, &cut);
    check_same(&whole, &cut);
    if (whole.status == RESP_DONE && whole.args.len > 0) {
        check_round_trip(&whole);
    }
    buf_free(&whole.args);
    buf_free(&cut.args);
}

/* A token written again with the writer is the same token. */
static void check_item(const struct resp_item *item)
{
    struct buf out = {0};
    struct resp_writer w = {&out, 3, false};
    struct resp_item back;
    struct diag why;
    size_t used;

    if (item->kind == RESP_ITEM_INT) {
        resp_put_int(&w, item->integer);
    } else if (item->kind == RESP_ITEM_BULK) {
        resp_put_bulk(&w, item->text);
    } else if (item->kind == RESP_ITEM_BOOL) {
        resp_put_bool(&w, item->integer != 0);
    } else if (item->kind == RESP_ITEM_DOUBLE) {
        resp_put_double(&w, item->real);
    } else if (item->kind == RESP_ITEM_MAP) {
        resp_put_map(&w, item->count);
    } else {
        return;
    }
    CHECK(resp_item_next(out.data, out.len, &back, &used, &why) == RESP_DONE);
    CHECK(used == out.len);
    CHECK(back.kind == item->kind);
    CHECK(back.integer == item->integer);
    CHECK(back.count == item->count);
    CHECK(item->kind == RESP_ITEM_DOUBLE || slice_eq(back.text, item->text));
    CHECK_IF(item->real == item->real, back.real == item->real);
    buf_free(&out);
}

static void fuzz_values(const uint8_t *data, size_t len, size_t cut)
{
    uint8_t *copy = mem_alloc(len);
    struct diag why;
    struct resp_item item;
    size_t used = 0;
    size_t used_cut = 0;
    enum resp_status whole;
    enum resp_status part;

    if (len > 0) {
        memcpy(copy, data, len);
    }
    if (resp_item_next(copy, len, &item, &used, &why) == RESP_DONE) {
        CHECK(used > 0 && used <= len);
        check_item(&item);
    }
    whole = resp_value_bytes(copy, len, &used, &why);
    mem_free(copy);
    cut = cut < len ? cut : len;
    copy = mem_alloc(cut);
    if (cut > 0) {
        memcpy(copy, data, cut);
    }
    part = resp_value_bytes(copy, cut, &used_cut, &why);
    CHECK(part == RESP_MORE || part == whole); /* more bytes never change a verdict */
    CHECK_IF(part == RESP_DONE, used == used_cut);
    mem_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t step;

    if (size == 0) {
        return 0;
    }
    step = (size_t)(data[0] & 0x7f) + 1;
    if ((data[0] & 0x80) == 0) {
        fuzz_requests(data + 1, size - 1, step);
    } else {
        fuzz_values(data + 1, size - 1, step);
    }
    return 0;
}
