/* cmd_bitfield.c - BITFIELD and BITFIELD_RO: integers of 1 to 64 bits inside strings.
 *
 * All operations are parsed before the first one runs, as in Redis 7.0, so that an
 * error changes nothing. Fields are big-endian: the first bit is the highest.
 */
#include "base/base_mem.h"
#include "cmd/cmd_bitmap.h"
#include "cmd/cmd_find.h"
#include "cmd/cmd_handlers.h"

enum field_opcode { FIELD_GET, FIELD_SET, FIELD_INCRBY };
enum field_overflow { OVERFLOW_WRAP, OVERFLOW_SAT, OVERFLOW_FAIL };

struct field_op {
    enum field_opcode opcode;
    enum field_overflow overflow;
    bool is_signed;
    unsigned bits;
    uint64_t offset;
    int64_t operand;
};
/* The operations of one call; last_bit is the highest that any of them writes. */
struct field_ops {
    struct field_op *at;
    size_t count;
    bool writes;
    uint64_t last_bit;
};

/* "i16", "u8": i1 to i64, u1 to u63. */
static bool parse_type(struct call *c, uint32_t pos, struct field_op *op)
{
    struct slice text = c->argv[pos];
    int64_t bits;

    if (text.len < 2 || (text.data[0] != 'i' && text.data[0] != 'u')) {
        goto invalid;
    }
    op->is_signed = text.data[0] == 'i';
    if (!cmd_parse_int((struct slice){text.data + 1, text.len - 1}, &bits) || bits < 1 ||
        bits > (op->is_signed ? 64 : 63)) {
        goto invalid;
    }
    op->bits = (unsigned)bits;
    return true;
invalid:
    resp_put_error(&c->out, "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 "
                            "is not supported but i64 is.");
    return false;
}

static bool parse_overflow(struct call *c, uint32_t pos, enum field_overflow *overflow)
{
    if (cmd_arg_is(c, pos, SLICE("WRAP"))) {
        *overflow = OVERFLOW_WRAP;
    } else if (cmd_arg_is(c, pos, SLICE("SAT"))) {
        *overflow = OVERFLOW_SAT;
    } else if (cmd_arg_is(c, pos, SLICE("FAIL"))) {
        *overflow = OVERFLOW_FAIL;
    } else {
        resp_put_error(&c->out, "ERR Invalid OVERFLOW type specified");
        return false;
    }
    return true;
}

/* One operation at argv[*pos], which moves behind it. */
static bool parse_op(struct call *c, uint32_t *pos, struct field_op *op)
{
    uint32_t more = c->argc - *pos - 1;

    if (cmd_arg_is(c, *pos, SLICE("GET")) && more >= 2) {
        op->opcode = FIELD_GET;
    } else if (cmd_arg_is(c, *pos, SLICE("SET")) && more >= 3) {
        op->opcode = FIELD_SET;
    } else if (cmd_arg_is(c, *pos, SLICE("INCRBY")) && more >= 3) {
        op->opcode = FIELD_INCRBY;
    } else {
        resp_put_error(&c->out, CMD_ERR_SYNTAX);
        return false;
    }
    if (!parse_type(c, *pos + 1, op) || !cmd_bitmap_offset(c, *pos + 2, op->bits, &op->offset) ||
        (op->opcode != FIELD_GET && !cmd_arg_int(c, *pos + 3, &op->operand))) {
        return false;
    }
    *pos += op->opcode == FIELD_GET ? 3 : 4;
    return true;
}

static bool parse_ops(struct call *c, struct field_ops *ops)
{
    enum field_overflow overflow = OVERFLOW_WRAP;
    uint32_t pos = 2;

    ops->at = mem_alloc(((size_t)c->argc / 3 + 1) * sizeof(*ops->at)); /* GET has three words */
    while (pos < c->argc) {
        struct field_op op = {.overflow = overflow};

        if (cmd_arg_is(c, pos, SLICE("OVERFLOW")) && pos + 1 < c->argc) {
            if (!parse_overflow(c, pos + 1, &overflow)) {
                return false;
            }
            pos += 2;
            continue;
        }
        if (!parse_op(c, &pos, &op)) {
            return false;
        }
        if (op.opcode != FIELD_GET) {
            uint64_t last = op.offset + op.bits - 1;

            ops->writes = true;
            ops->last_bit = last > ops->last_bit ? last : ops->last_bit;
        }
        ops->at[ops->count++] = op;
    }
    CHECK(ops->count <= (size_t)c->argc / 3 + 1);
    return true;
}

/* The low `bits` bits of value, as a number. */
static uint64_t field_extend(const struct field_op *op, uint64_t value)
{
    unsigned unused = 64 - op->bits;

    return op->is_signed ? (uint64_t)((int64_t)(value << unused) >> unused)
                         : value << unused >> unused;
}

/* Bytes beyond the end of the string count as zeros. */
static uint64_t field_get(const struct field_op *op, struct slice value)
{
    size_t first = (size_t)(op->offset >> 3);
    unsigned shift = (unsigned)(op->offset & 7);
    unsigned __int128 window = 0; /* nine bytes hold any field */

    for (size_t i = first; i < first + 9; i++) {
        window = window << 8 | (i < value.len ? value.data[i] : 0);
    }
    return field_extend(op, (uint64_t)(window >> (72 - shift - op->bits)));
}

/* Store the low bits of number; the string is long enough. */
static void field_put(struct call *c, const struct field_op *op, struct slice value,
                      uint64_t number)
{
    size_t first = (size_t)(op->offset >> 3);
    size_t last = (size_t)((op->offset + op->bits - 1) >> 3);
    unsigned below = (unsigned)(7 - ((op->offset + op->bits - 1) & 7));
    unsigned __int128 ones = (UINT64_MAX >> (64 - op->bits));
    unsigned __int128 mask = ones << below;
    unsigned __int128 bits = (unsigned __int128)(number & (uint64_t)ones) << below;
    uint8_t bytes[9];

    CHECK(last < value.len);
    CHECK(last - first < sizeof(bytes));
    for (size_t i = last + 1; i-- > first; mask >>= 8, bits >>= 8) {
        bytes[i - first] = (uint8_t)((value.data[i] & ~(uint8_t)mask) | (uint8_t)bits);
    }
    (void)store_string_write(c->store, c->argv[1], first, (struct slice){bytes, last - first + 1});
    c->changed = true;
}

/* value + by in the field's range. True: it did not fit, and *sum is what the mode
 * makes of it. Unsigned arithmetic throughout: it wraps where Redis's wraps. */
static bool add_signed(const struct field_op *op, int64_t value, int64_t by, uint64_t *sum)
{
    int64_t max = (int64_t)(UINT64_MAX >> (64 - op->bits) >> 1); /* i1: 0 */
    int64_t min = -max - 1;
    int64_t room_up = (int64_t)((uint64_t)max - (uint64_t)value);
    int64_t room_down = (int64_t)((uint64_t)min - (uint64_t)value);
    bool narrow = op->bits != 64;

    *sum = field_extend(op, (uint64_t)value + (uint64_t)by);
    if (value > max || ((narrow || (value >= 0 && by > 0)) && by > room_up)) {
        *sum = op->overflow == OVERFLOW_SAT ? (uint64_t)max : *sum;
        return true;
    }
    if (value < min || ((narrow || (value < 0 && by < 0)) && by < room_down)) {
        *sum = op->overflow == OVERFLOW_SAT ? (uint64_t)min : *sum;
        return true;
    }
    return false;
}

static bool add_unsigned(const struct field_op *op, uint64_t value, int64_t by, uint64_t *sum)
{
    uint64_t max = UINT64_MAX >> (64 - op->bits);
    int64_t room_up = (int64_t)(max - value);
    int64_t room_down = (int64_t)(0 - value);

    *sum = field_extend(op, value + (uint64_t)by);
    if (value > max || (by > 0 && by > room_up)) {
        *sum = op->overflow == OVERFLOW_SAT ? max : *sum;
        return true;
    }
    if (by < 0 && by < room_down) {
        *sum = op->overflow == OVERFLOW_SAT ? 0 : *sum;
        return true;
    }
    return false;
}

static void run_op(struct call *c, const struct field_op *op, struct slice value)
{
    uint64_t before = field_get(op, value), after;
    uint64_t start = op->opcode == FIELD_SET ? (uint64_t)op->operand : before;
    int64_t by = op->opcode == FIELD_SET ? 0 : op->operand;
    bool overflowed;

    if (op->opcode == FIELD_GET) {
        resp_put_int(&c->out, (int64_t)before);
        return;
    }
    overflowed = op->is_signed ? add_signed(op, (int64_t)start, by, &after)
                               : add_unsigned(op, start, by, &after);
    if (overflowed && op->overflow == OVERFLOW_FAIL) {
        resp_put_null(&c->out);
        return;
    }
    if (before != after) {
        field_put(c, op, value, after);
    }
    resp_put_int(&c->out, (int64_t)(op->opcode == FIELD_SET ? before : after));
}

static void run_ops(struct call *c, const struct field_ops *ops)
{
    resp_put_array(&c->out, ops->count);
    for (size_t i = 0; i < ops->count; i++) {
        char scratch[STORE_INT_TEXT_MAX];
        /* Found anew for each: a write may move it. */
        struct store_item *it = ops->writes
                                    ? store_find_write(c->store, c->argv[1], c->now_ms)
                                    : store_find(c->store, c->argv[1], c->now_ms, c->access_s);

        CHECK_IF(ops->writes, it != NULL);
        run_op(c, &ops->at[i], it == NULL ? SLICE("") : store_string(it, scratch));
    }
}

static void bitfield(struct call *c, bool read_only)
{
    struct field_ops ops = {0};
    struct store_item *it;
    bool ok;

    if (!parse_ops(c, &ops)) {
        goto out;
    }
    if (!ops.writes) {
        ok = cmd_find_read(c, c->argv[1], STORE_STRING, &it);
    } else if (read_only) {
        resp_put_error(&c->out, "ERR BITFIELD_RO only supports the GET subcommand");
        ok = false;
    } else {
        ok = cmd_bitmap_grow(c, ops.last_bit);
    }
    if (ok) {
        run_ops(c, &ops);
    }
out:
    mem_free(ops.at);
}

void cmd_bitfield(struct call *c)
{
    bitfield(c, false);
}

void cmd_bitfield_ro(struct call *c)
{
    bitfield(c, true);
}
