/* cmd_bitmap.c - strings as arrays of bits: SETBIT GETBIT BITCOUNT BITPOS BITOP.
 *
 * Replies, error texts and the order in which arguments are judged follow Redis
 * 7.0 (bitops.c).
 */
#include "cmd/cmd_bitmap.h"
#include "base/base_mem.h"
#include "cmd/cmd_find.h"
#include "cmd/cmd_handlers.h"

#define ERR_BIT "ERR bit is not an integer or out of range"
#define ERR_BIT_OFFSET "ERR bit offset is not an integer or out of range"

bool cmd_bitmap_offset(struct call *c, uint32_t pos, unsigned field_bits, uint64_t *offset)
{
    struct slice text = c->argv[pos];
    bool by_field = field_bits > 0 && text.len > 0 && text.data[0] == '#';
    int64_t value;

    if (by_field) {
        text.data++;
        text.len--;
    }
    if (!cmd_parse_int(text, &value) || value < 0 ||
        (by_field && __builtin_mul_overflow(value, (int64_t)field_bits, &value)) ||
        value >> 3 >= STORE_STRING_BYTES_MAX) {
        resp_put_error(&c->out, ERR_BIT_OFFSET);
        return false;
    }
    *offset = (uint64_t)value;
    return true;
}

bool cmd_bitmap_grow(struct call *c, uint64_t last_bit)
{
    size_t last = (size_t)(last_bit >> 3);
    struct store_item *it;

    if (!cmd_find_write(c, c->argv[1], STORE_STRING, &it)) {
        return false;
    }
    if (last >= STORE_STRING_BYTES_MAX) { /* the end of a field that starts below the limit */
        resp_put_error(&c->out, ERR_BIT_OFFSET);
        return false;
    }
    if (it == NULL || store_string_len(it) <= last) {
        (void)store_string_write(c->store, c->argv[1], last, SLICE("\0"));
        c->changed = true;
    }
    return true;
}

void cmd_setbit(struct call *c)
{
    char scratch[STORE_INT_TEXT_MAX];
    uint64_t offset;
    int64_t bit;
    uint8_t byte, mask;

    if (!cmd_bitmap_offset(c, 2, 0, &offset)) {
        return;
    }
    if (!cmd_parse_int(c->argv[3], &bit) || bit < 0 || bit > 1) {
        resp_put_error(&c->out, ERR_BIT);
        return;
    }
    if (!cmd_bitmap_grow(c, offset)) {
        return;
    }
    byte =
        store_string(store_find_write(c->store, c->argv[1], c->now_ms), scratch).data[offset >> 3];
    mask = (uint8_t)(0x80U >> (offset & 7));
    if (((byte & mask) != 0) != (bit != 0)) {
        byte ^= mask;
        (void)store_string_write(c->store, c->argv[1], (size_t)(offset >> 3),
                                 (struct slice){&byte, 1});
        c->changed = true;
        resp_put_int(&c->out, !bit);
    } else {
        resp_put_int(&c->out, bit);
    }
}

void cmd_getbit(struct call *c)
{
    char scratch[STORE_INT_TEXT_MAX];
    struct store_item *it;
    uint64_t offset;
    int bit = 0;

    if (!cmd_bitmap_offset(c, 2, 0, &offset) || !cmd_find_read(c, c->argv[1], STORE_STRING, &it)) {
        return;
    }
    if (it != NULL && offset >> 3 < store_string_len(it)) {
        bit = store_string(it, scratch).data[offset >> 3] >> (7 - (offset & 7)) & 1;
    }
    resp_put_int(&c->out, bit);
}

/* A range of bits, both ends included; empty when start > end. */
struct bit_range {
    int64_t start, end;
};

/* start and end as given, in units of bytes or bits, to bits within len bytes.
 * Negative ones count from the end. */
static struct bit_range bit_range_of(int64_t start, int64_t end, bool in_bits, size_t len)
{
    int64_t total = (int64_t)len * (in_bits ? 8 : 1);

    start = start < 0 ? start + total : start;
    end = end < 0 ? end + total : end;
    start = start < 0 ? 0 : start;
    end = end < 0 ? 0 : end;
    end = end >= total ? total - 1 : end;
    if (start > end) {
        return (struct bit_range){0, -1};
    }
    return in_bits ? (struct bit_range){start, end} : (struct bit_range){start * 8, end * 8 + 7};
}

/* "bit" or "byte" at argv[pos]. */
static bool parse_unit(struct call *c, uint32_t pos, bool *in_bits)
{
    if (cmd_arg_is(c, pos, SLICE("BIT"))) {
        *in_bits = true;
    } else if (cmd_arg_is(c, pos, SLICE("BYTE"))) {
        *in_bits = false;
    } else {
        resp_put_error(&c->out, CMD_ERR_SYNTAX);
        return false;
    }
    return true;
}

static int64_t count_bytes(const uint8_t *data, size_t len)
{
    int64_t count = 0;

    for (; len >= 8; data += 8, len -= 8) {
        uint64_t word;

        memcpy(&word, data, 8);
        count += __builtin_popcountll(word);
    }
    for (; len > 0; data++, len--) {
        count += __builtin_popcount(*data);
    }
    return count;
}

static int64_t count_range(const uint8_t *data, struct bit_range r)
{
    size_t first = (size_t)(r.start >> 3), last = (size_t)(r.end >> 3);
    unsigned before = data[first] & ~(0xffU >> (r.start & 7)) & 0xffU;
    unsigned after = data[last] & (0x7fU >> (r.end & 7));

    CHECK(r.start <= r.end);
    return count_bytes(data + first, last - first + 1) - __builtin_popcount(before) -
           __builtin_popcount(after);
}

void cmd_bitcount(struct call *c)
{
    char scratch[STORE_INT_TEXT_MAX];
    struct store_item *it;
    struct slice value;
    int64_t start = 0, end = -1;
    bool in_bits = false;
    struct bit_range r;

    if (!cmd_find_read(c, c->argv[1], STORE_STRING, &it)) {
        return;
    }
    if (it == NULL) { /* Redis judges no further arguments then */
        resp_put_int(&c->out, 0);
        return;
    }
    value = store_string(it, scratch);
    if (c->argc == 4 || c->argc == 5) {
        if (!cmd_arg_int(c, 2, &start) || !cmd_arg_int(c, 3, &end)) {
            return;
        }
        if (start < 0 && end < 0 && start > end) { /* before it looks at the unit */
            resp_put_int(&c->out, 0);
            return;
        }
        if (c->argc == 5 && !parse_unit(c, 4, &in_bits)) {
            return;
        }
    } else if (c->argc != 2) {
        resp_put_error(&c->out, CMD_ERR_SYNTAX);
        return;
    }
    r = bit_range_of(start, end, in_bits, value.len);
    resp_put_int(&c->out, r.start > r.end ? 0 : count_range(value.data, r));
}

/* The first bit of this value in the range, or -1. */
static int64_t find_bit(const uint8_t *data, struct bit_range r, unsigned bit)
{
    size_t first = (size_t)(r.start >> 3), last = (size_t)(r.end >> 3);
    uint8_t flip = bit != 0 ? 0 : 0xff; /* look for a one in data ^ flip */
    uint64_t flip_word = bit != 0 ? 0 : UINT64_MAX;
    unsigned byte = (unsigned)(data[first] ^ flip) & (0xffU >> (r.start & 7));
    int64_t found;

    CHECK(r.start <= r.end);
    while (byte == 0 && first < last) {
        first++;
        while (last - first >= 8) {
            uint64_t word;

            memcpy(&word, data + first, 8);
            if (word != flip_word) {
                break;
            }
            first += 8;
        }
        byte = (unsigned)(data[first] ^ flip);
    }
    if (byte == 0) {
        return -1;
    }
    found = (int64_t)first * 8 + __builtin_clz(byte) - 24;
    return found <= r.end ? found : -1;
}

/* Optional start, end and unit, in the order in which Redis judges them. */
static bool bitpos_range(struct call *c, size_t len, struct bit_range *r)
{
    int64_t start = 0, end = -1;
    bool in_bits = false;

    if (c->argc > 6) {
        resp_put_error(&c->out, CMD_ERR_SYNTAX);
        return false;
    }
    if ((c->argc > 3 && !cmd_arg_int(c, 3, &start)) ||
        (c->argc == 6 && !parse_unit(c, 5, &in_bits)) ||
        (c->argc > 4 && !cmd_arg_int(c, 4, &end))) {
        return false;
    }
    *r = bit_range_of(start, end, in_bits, len);
    return true;
}

void cmd_bitpos(struct call *c)
{
    char scratch[STORE_INT_TEXT_MAX];
    struct store_item *it;
    struct slice value;
    struct bit_range r;
    int64_t bit, found = -1;

    if (!cmd_arg_int(c, 2, &bit)) {
        return;
    }
    if (bit != 0 && bit != 1) {
        resp_put_error(&c->out, "ERR The bit argument must be 1 or 0.");
        return;
    }
    if (!cmd_find_read(c, c->argv[1], STORE_STRING, &it)) {
        return;
    }
    if (it == NULL) { /* an endless row of zeros */
        resp_put_int(&c->out, bit != 0 ? -1 : 0);
        return;
    }
    value = store_string(it, scratch);
    if (!bitpos_range(c, value.len, &r)) {
        return;
    }
    if (r.start <= r.end) {
        found = find_bit(value.data, r, (unsigned)bit);
        if (found < 0 && bit == 0 && c->argc < 5) {
            found = r.end + 1; /* no end was given: zeros follow the last byte */
        }
    }
    resp_put_int(&c->out, found);
}

enum bitop { BITOP_AND, BITOP_OR, BITOP_XOR, BITOP_NOT };

static bool bitop_parse(struct call *c, enum bitop *op)
{
    static const struct slice names[] = {SLICE("AND"), SLICE("OR"), SLICE("XOR"), SLICE("NOT")};

    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (cmd_arg_is(c, 1, names[i])) {
            *op = (enum bitop)i;
            if (*op == BITOP_NOT && c->argc != 4) {
                resp_put_error(&c->out, "ERR BITOP NOT must be called with a single source key.");
                return false;
            }
            return true;
        }
    }
    resp_put_error(&c->out, CMD_ERR_SYNTAX);
    return false;
}

/* out op= in, where in counts as zeros from in.len to len. */
static void bitop_fold(enum bitop op, uint8_t *out, struct slice in, size_t len)
{
    CHECK(in.len <= len);
    switch (op) {
    case BITOP_AND:
        for (size_t i = 0; i < in.len; i++) {
            out[i] &= in.data[i];
        }
        if (len > in.len) {
            memset(out + in.len, 0, len - in.len);
        }
        break;
    case BITOP_OR:
        for (size_t i = 0; i < in.len; i++) {
            out[i] |= in.data[i];
        }
        break;
    case BITOP_XOR:
        for (size_t i = 0; i < in.len; i++) {
            out[i] ^= in.data[i];
        }
        break;
    case BITOP_NOT: /* one source, and out starts as zeros */
        for (size_t i = 0; i < in.len; i++) {
            out[i] = (uint8_t)~in.data[i];
        }
        break;
    }
}

void cmd_bitop(struct call *c)
{
    enum bitop op;
    struct store_item *it;
    size_t len = 0;
    uint8_t *result;

    if (!bitop_parse(c, &op)) {
        return;
    }
    for (uint32_t pos = 3; pos < c->argc; pos++) {
        if (!cmd_find_write(c, c->argv[pos], STORE_STRING, &it)) {
            return;
        }
        if (it != NULL && store_string_len(it) > len) {
            len = store_string_len(it);
        }
    }
    if (len == 0) { /* no bytes: the target is not set but removed */
        if (store_find_write(c->store, c->argv[2], c->now_ms) != NULL) {
            c->changed = store_del(c->store, c->argv[2]);
        }
        resp_put_int(&c->out, 0);
        return;
    }
    result = mem_zalloc(len);
    for (uint32_t pos = 3; pos < c->argc; pos++) {
        char scratch[STORE_INT_TEXT_MAX];
        struct slice value = SLICE("");

        it = store_find_write(c->store, c->argv[pos], c->now_ms);
        if (it != NULL) {
            value = store_string(it, scratch);
        }
        bitop_fold(pos == 3 && op == BITOP_AND ? BITOP_OR : op, result, value, len);
    }
    (void)store_set_string(c->store, c->argv[2], (struct slice){result, len}, 0);
    c->changed = true;
    mem_free(result);
    resp_put_int(&c->out, (int64_t)len);
}
