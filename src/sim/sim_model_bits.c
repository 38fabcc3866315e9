/* Bits of strings. Bit 0 is the highest of the first byte. */
#include "sim/sim_model_internal.h"

enum { BITS_MAX_LOG2 = 32, BITFIELD_REPLIES_MAX = 64 };

static bool bit_at(struct slice text, uint64_t bit)
{
    return bit / 8 < text.len && (text.data[bit / 8] >> (7 - bit % 8) & 1) != 0;
}

static void bit_put(struct buf *b, uint64_t bit, bool on)
{
    uint8_t mask = (uint8_t)(1U << (7 - bit % 8));

    b->data[bit / 8] = (uint8_t)(on ? b->data[bit / 8] | mask : b->data[bit / 8] & ~mask);
}

/* A copy of the value in scratch, with room for that many bits. */
static struct buf *editable(const struct sim_run *r, const struct sim_key_state *k, uint64_t bits)
{
    struct buf *b = &r->m->scratch;
    size_t least = (size_t)((bits + 7) / 8);

    b->len = 0;
    buf_append_slice(b, run_text(r, k));
    if (b->len < least) {
        buf_reserve(b, least - b->len);
        memset(b->data + b->len, 0, least - b->len);
        b->len = least;
    }
    return b;
}

static bool run_setbit(const struct sim_run *r, struct sim_key_state *k)
{
    int64_t at, on;
    struct buf *b;
    bool old;

    if (!run_word_int(r, 2, &at) || at < 0 || at >> BITS_MAX_LOG2 != 0 ||
        !run_word_int(r, 3, &on) || (on & ~1) != 0) {
        return says_error(r, "ERR");
    }
    if (run_found(k) == SIM_HASH) {
        return says_error(r, "WRONGTYPE");
    }
    old = bit_at(run_text(r, k), (uint64_t)at);
    b = editable(r, k, (uint64_t)at + 1);
    bit_put(b, (uint64_t)at, on != 0);
    run_change(r, k, buf_slice(b));
    return says_int(r, old);
}

/* The bits from *from to *to, both included; false: none. */
static bool bit_range(const struct sim_run *r, uint32_t word, struct slice text, int64_t range[2])
{
    bool bits = run_word_is(r, word + 2, "BIT");
    int64_t len = (int64_t)text.len * (bits ? 8 : 1);
    int64_t from = 0, to = len - 1;

    if ((word < r->c->word_count && !run_word_int(r, word, &from)) ||
        (word + 1 < r->c->word_count && !run_word_int(r, word + 1, &to)) ||
        !run_range(&from, &to, len)) {
        return false;
    }
    range[0] = bits ? from : from * 8;
    range[1] = bits ? to : to * 8 + 7;
    return true;
}

static bool run_bitcount(const struct sim_run *r, const struct sim_key_state *k)
{
    struct slice text = run_text(r, k);
    int64_t range[2], sum = 0;

    if (bit_range(r, 2, text, range)) {
        for (int64_t i = range[0]; i <= range[1]; i++) {
            sum += bit_at(text, (uint64_t)i);
        }
    }
    return says_int(r, sum);
}

static bool run_bitpos(const struct sim_run *r, const struct sim_key_state *k)
{
    struct slice text = run_text(r, k);
    bool on = run_word_is(r, 2, "1");
    int64_t range[2];

    if (k->value == 0) {
        return says_int(r, on ? -1 : 0);
    }
    if (!bit_range(r, 3, text, range)) {
        return says_int(r, -1);
    }
    for (int64_t i = range[0]; i <= range[1]; i++) {
        if (bit_at(text, (uint64_t)i) == on) {
            return says_int(r, i);
        }
    }
    /* Without an end, the zeros go on behind the string. */
    return says_int(r, !on && r->c->word_count < 5 ? (int64_t)text.len * 8 : -1);
}

static bool run_bitop(const struct sim_run *r)
{
    struct buf *b = &r->m->scratch;
    size_t longest = 0;

    for (uint32_t i = 1; i < r->c->key_count; i++) {
        if (run_found(run_key(r, i)) == SIM_HASH) {
            return says_error(r, "WRONGTYPE");
        }
        if (run_text(r, run_key(r, i)).len > longest) {
            longest = run_text(r, run_key(r, i)).len;
        }
    }
    if (longest == 0) {
        run_delete(run_key(r, 0));
        return says_int(r, 0);
    }
    b->len = 0;
    for (size_t at = 0; at < longest; at++) {
        uint8_t all = 0;

        for (uint32_t i = 1; i < r->c->key_count; i++) {
            struct slice text = run_text(r, run_key(r, i));
            uint8_t one = at < text.len ? text.data[at] : 0;

            if (i == 1) {
                all = run_word_is(r, 1, "NOT") ? (uint8_t)~one : one;
            } else if (run_word_is(r, 1, "AND")) {
                all &= one;
            } else if (run_word_is(r, 1, "OR")) {
                all |= one;
            } else {
                all ^= one;
            }
        }
        put_u8(b, all);
    }
    run_set(run_key(r, 0), sim_blob_put(&r->m->blobs, buf_slice(b)));
    return says_int(r, (int64_t)longest);
}

/* --- BITFIELD --- */

struct field {
    bool is_signed;
    unsigned width;
    uint64_t at;
};
enum overflow { OVERFLOW_WRAP, OVERFLOW_SAT, OVERFLOW_FAIL };

static bool read_field(const struct sim_run *r, uint32_t word, struct field *f)
{
    struct slice type, at;
    int64_t width, offset;

    if (word + 1 >= r->c->word_count) {
        return false;
    }
    type = run_word(r, word);
    at = run_word(r, word + 1);
    if (type.len < 2 || at.len == 0 ||
        !run_int((struct slice){type.data + 1, type.len - 1}, &width)) {
        return false;
    }
    f->is_signed = type.data[0] == 'i';
    if (at.data[0] == '#') {
        if (!run_int((struct slice){at.data + 1, at.len - 1}, &offset)) {
            return false;
        }
        offset = offset > INT32_MAX ? -1 : offset * width;
    } else if (!run_int(at, &offset)) {
        return false;
    }
    f->width = (unsigned)width;
    f->at = (uint64_t)offset;
    return (f->is_signed || type.data[0] == 'u') && width >= 1 && width <= 63 + f->is_signed &&
           offset >= 0 && f->at + f->width <= 1ULL << BITS_MAX_LOG2;
}

static __int128 field_get(const struct field *f, struct slice text)
{
    __int128 v = 0;

    CHECK(f->width > 0);
    for (unsigned i = 0; i < f->width; i++) {
        v = v * 2 + bit_at(text, f->at + i);
    }
    return f->is_signed && v >= (__int128)1 << (f->width - 1) ? v - ((__int128)1 << f->width) : v;
}

/* Bring v into the field's range; false: it does not fit, and must. */
static bool field_fit(const struct field *f, enum overflow how, __int128 *v)
{
    __int128 span = (__int128)1 << f->width;
    __int128 least = f->is_signed ? -(span / 2) : 0, most = least + span - 1;

    if (*v >= least && *v <= most) {
        return true;
    }
    if (how == OVERFLOW_SAT) {
        *v = *v < least ? least : most;
    } else if (how == OVERFLOW_WRAP) {
        *v = ((*v - least) % span + span) % span + least;
    }
    return how != OVERFLOW_FAIL;
}

static void field_put(const struct field *f, struct buf *b, __int128 v)
{
    for (unsigned i = 0; i < f->width; i++) {
        bit_put(b, f->at + i, (v >> (f->width - 1 - i) & 1) != 0);
    }
}

/* One GET, SET or INCRBY on the copy; says what it answers. */
static bool run_field(const struct sim_run *r, uint32_t word, enum overflow how, uint32_t nth)
{
    struct buf *b = &r->m->scratch;
    const struct sim_item *item = &r->c->items[r->c->known ? nth + 1 : 0];
    struct field f = {0};
    __int128 old, next;
    int64_t by = 0;

    CHECK(read_field(r, word + 1, &f));
    old = field_get(&f, buf_slice(b));
    if (run_word_is(r, word, "GET")) {
        return !r->c->known || (item->kind == SIM_ITEM_INT && item->n == (int64_t)old);
    }
    (void)run_word_int(r, word + 3, &by);
    if (run_word_is(r, word, "SET")) {
        next = f.is_signed ? by : (__int128)(uint64_t)by;
    } else {
        next = old + by;
        old = next;
        (void)field_fit(&f, how, &old);
    }
    if (!field_fit(&f, how, &next)) {
        return !r->c->known || item->kind == SIM_ITEM_NULL;
    }
    field_put(&f, b, next);
    return !r->c->known || (item->kind == SIM_ITEM_INT && item->n == (int64_t)old);
}

static bool is_overflow_word(const struct sim_run *r, uint32_t i, enum overflow *how)
{
    *how = run_word_is(r, i + 1, "SAT")    ? OVERFLOW_SAT
           : run_word_is(r, i + 1, "FAIL") ? OVERFLOW_FAIL
                                           : OVERFLOW_WRAP;
    return run_word_is(r, i, "OVERFLOW");
}

static bool run_bitfield(const struct sim_run *r, struct sim_key_state *k)
{
    enum overflow how = OVERFLOW_WRAP, next;
    uint64_t bits = 0;
    uint32_t count = 0;

    for (uint32_t i = 2; i < r->c->word_count;) { /* judged whole before anything is done */
        bool get = run_word_is(r, i, "GET");
        struct field f = {0};
        int64_t by;

        if (is_overflow_word(r, i, &next)) {
            i += 2;
            continue;
        }
        if (!read_field(r, i + 1, &f) || (!get && !run_word_int(r, i + 3, &by))) {
            return says_error(r, "ERR");
        }
        if (!get && f.at + f.width > bits) {
            bits = f.at + f.width;
        }
        count++;
        i += get ? 3 : 4;
    }
    if (run_found(k) == SIM_HASH) {
        return says_error(r, "WRONGTYPE");
    }
    if (!says_array(r, count)) {
        return false;
    }
    (void)editable(r, k, bits);
    count = 0;
    for (uint32_t i = 2; i < r->c->word_count;) {
        if (is_overflow_word(r, i, &next)) {
            how = next;
            i += 2;
            continue;
        }
        if (!run_field(r, i, how, count)) {
            return false;
        }
        count++;
        i += run_word_is(r, i, "GET") ? 3 : 4;
    }
    if (bits > 0) {
        run_change(r, k, buf_slice(&r->m->scratch));
    }
    return true;
}

bool run_bits(const struct sim_run *r)
{
    enum sim_command_id id = r->c->cmd->id;
    struct sim_key_state *k = run_key(r, 0);
    int64_t at;

    if (id == SIM_BITFIELD || id == SIM_BITFIELD_RO) {
        return run_bitfield(r, k);
    }
    if (id == SIM_BITOP) {
        return run_bitop(r);
    }
    if (id == SIM_SETBIT) {
        return run_setbit(r, k);
    }
    if (run_found(k) == SIM_HASH) {
        return says_error(r, "WRONGTYPE");
    }
    if (id == SIM_BITCOUNT) {
        return run_bitcount(r, k);
    }
    if (id == SIM_BITPOS) {
        return run_bitpos(r, k);
    }
    CHECK(id == SIM_GETBIT);
    if (!run_word_int(r, 2, &at) || at < 0 || at >> BITS_MAX_LOG2 != 0) {
        return says_error(r, "ERR");
    }
    return says_int(r, bit_at(run_text(r, k), (uint64_t)at));
}
