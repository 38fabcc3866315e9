/* The linearizability checker against one too dumb to be wrong: random tiny histories are also
 * judged by trying every order and every subset of the commands of unknown outcome, with no
 * pruning and with an interpreter of its own that shares nothing with the checker's model.
 *
 * Some histories are what really running the commands gives, others are made wrong a little. A
 * disagreement is made small and printed as sim_linear_test.c writes histories: keep it there. */
#include "base/base_prng.h"
#include "sim/sim_check.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum {
    OPS_MAX = 8,
    WORDS_MAX = 6,
    KEYS = 2,
    FIELDS = 2,
    HISTORIES = 4000,
    FOREVER = 1000000,
    REPLY_BYTES = 96
};

/* --- what commands do --- */

enum kind { NOTHING, STRING, HASH };
struct value {
    enum kind kind;
    bool timed; /* may be gone whenever somebody looks */
    char text[80];
    char field[FIELDS][12]; /* of a hash: "": not there */
};
struct store {
    struct value key[KEYS];
};
enum outcome { KNOWN, LOST, DOUBT, SILENT, REFUSED };
struct op {
    unsigned conn, call, back; /* back: of a reply of any kind */
    unsigned latest;           /* that it can happen */
    enum outcome outcome;
    char word[WORDS_MAX][12];
    unsigned words;
    char reply[REPLY_BYTES];
};

static bool word_is(const struct op *op, unsigned i, const char *text)
{
    return i < op->words && strcmp(op->word[i], text) == 0;
}

static struct value *at_word(struct store *s, const struct op *op, unsigned i)
{
    return &s->key[op->word[i][0] - 'a'];
}

static bool has_word(const struct op *op, const char *text)
{
    bool has = false;

    for (unsigned i = 1; i < op->words; i++) {
        has = has || word_is(op, i, text);
    }
    return has;
}

static void put_string(struct value *v, const char *text)
{
    *v = (struct value){.kind = STRING};
    (void)snprintf(v->text, sizeof v->text, "%s", text);
}

static void say(char *out, const char *reply)
{
    (void)snprintf(out, REPLY_BYTES, "%s", reply);
}

static void say_int(char *out, long n)
{
    (void)snprintf(out, REPLY_BYTES, ":%ld", n);
}

/* NULL: nothing is there. */
static void say_text(char *out, const char *text)
{
    (void)snprintf(out, REPLY_BYTES, "%s%s", text == NULL ? "_" : "$", text == NULL ? "" : text);
}

static void say_value(char *out, const struct value *v)
{
    say_text(out, v->kind == STRING ? v->text : NULL);
}

static void run_set(struct value *v, const struct op *op, char *out)
{
    struct value old = *v;
    bool no =
        (has_word(op, "NX") && old.kind != NOTHING) || (has_word(op, "XX") && old.kind == NOTHING);

    if (!no) {
        put_string(v, op->word[2]);
        v->timed = has_word(op, "PX") || (has_word(op, "KEEPTTL") && old.timed);
    }
    if (has_word(op, "GET")) {
        say_value(out, &old);
    } else {
        say(out, no ? "_" : "+OK");
    }
}

/* INCR, DECR, INCRBY, DECRBY */
static void run_add(struct value *v, const struct op *op, char *out)
{
    long by = op->words > 2 ? strtol(op->word[2], NULL, 10) : 1, n;
    char *end;

    n = strtol(v->text, &end, 10) + (op->word[0][0] == 'D' ? -by : by);
    if (*end != 0) {
        say(out, "-\"ERR no number\"");
        return;
    }
    v->kind = STRING;
    (void)snprintf(v->text, sizeof v->text, "%ld", n);
    say_int(out, n);
}

/* Commands of one key that must hold a string, or nothing. */
static void run_string(struct value *v, const struct op *op, char *out)
{
    if (op->word[0][0] == 'I' || op->word[0][0] == 'D') {
        run_add(v, op, out);
        return;
    }
    if (word_is(op, 0, "APPEND")) {
        size_t len = strlen(v->text);

        v->kind = STRING;
        (void)snprintf(v->text + len, sizeof v->text - len, "%s", op->word[2]);
        say_int(out, (long)strlen(v->text));
        return;
    }
    if (word_is(op, 0, "STRLEN")) {
        say_int(out, (long)strlen(v->text));
        return;
    }
    say_value(out, v);
    if (word_is(op, 0, "GETSET")) {
        put_string(v, op->word[2]);
    } else if (word_is(op, 0, "GETDEL")) {
        *v = (struct value){0};
    } else if (word_is(op, 0, "GETEX") && v->kind == STRING) {
        v->timed = !has_word(op, "PERSIST");
    }
}

/* Eight bits, kept as digits; nothing is asked but bits. */
static void run_bits(struct store *s, const struct op *op, char *out)
{
    struct value *v = at_word(s, op, word_is(op, 0, "BITOP") ? 2 : 1), from;
    long at = op->words > 2 ? strtol(op->word[2], NULL, 10) : 0, count = 0;
    char digits[9] = "00000000";

    if (v->kind == STRING) {
        memcpy(digits, v->text, 8);
    }
    if (word_is(op, 0, "SETBIT")) {
        say_int(out, digits[at] - '0');
        digits[at] = op->word[3][0];
        v->kind = STRING;
        memcpy(v->text, digits, sizeof digits);
    } else if (word_is(op, 0, "GETBIT")) {
        say_int(out, digits[at] - '0');
    } else if (word_is(op, 0, "BITCOUNT")) {
        for (unsigned i = 0; i < 8; i++) {
            count += digits[i] == '1';
        }
        say_int(out, count);
    } else { /* BITOP NOT */
        from = *at_word(s, op, 3);
        *v = (struct value){.kind = from.kind};
        for (unsigned i = 0; i < 8 && from.kind == STRING; i++) {
            v->text[i] = from.text[i] == '1' ? '0' : '1';
        }
        say_int(out, from.kind == STRING);
    }
}

static unsigned fields(const struct value *v)
{
    unsigned n = 0;

    for (unsigned i = 0; i < FIELDS; i++) {
        n += v->field[i][0] != 0;
    }
    return n;
}

static void add_text(char *out, const char *text)
{
    size_t len = strlen(out);

    (void)snprintf(out + len, REPLY_BYTES - len, "%s%s", text[0] == 0 ? " _" : " $", text);
}

static void run_hash_read(struct value *v, const struct op *op, char *out)
{
    if (word_is(op, 0, "HGET")) {
        const char *text = v->field[op->word[2][0] - 'f'];

        say_text(out, text[0] == 0 ? NULL : text);
    } else if (word_is(op, 0, "HLEN")) {
        say_int(out, fields(v));
    } else if (word_is(op, 0, "HMGET")) {
        say(out, "*2");
        add_text(out, v->field[0]);
        add_text(out, v->field[1]);
    } else { /* HGETALL; HSCAN in one call; HRANDFIELD of so many that all are shown */
        bool values = !word_is(op, 0, "HRANDFIELD");

        (void)snprintf(out, REPLY_BYTES, "%s*%u", word_is(op, 0, "HSCAN") ? "*2 $0 " : "",
                       (values ? 2 : 1) * fields(v));
        for (unsigned i = 0; i < FIELDS; i++) {
            if (v->field[i][0] != 0) {
                add_text(out, i == 0 ? "f" : "g");
                if (values) {
                    add_text(out, v->field[i]);
                }
            }
        }
    }
}

static void put_field(struct value *v, const char *field, const char *text)
{
    (void)snprintf(v->field[field[0] - 'f'], sizeof v->field[0], "%s", text);
}

static void run_hash(struct value *v, const struct op *op, char *out)
{
    unsigned before = fields(v);
    bool named = op->words > 2 && islower((unsigned char)op->word[2][0]);
    char *field = v->field[named ? op->word[2][0] - 'f' : 0];

    if (word_is(op, 0, "HSET")) {
        for (unsigned i = 2; i < op->words; i += 2) {
            put_field(v, op->word[i], op->word[i + 1]);
        }
        say_int(out, fields(v) - before);
    } else if (word_is(op, 0, "HSETNX")) {
        say_int(out, field[0] == 0);
        if (field[0] == 0) {
            put_field(v, op->word[2], op->word[3]);
        }
    } else if (word_is(op, 0, "HINCRBY")) {
        long n = strtol(field, NULL, 10) + strtol(op->word[3], NULL, 10);

        (void)snprintf(field, sizeof v->field[0], "%ld", n);
        say_int(out, n);
    } else if (word_is(op, 0, "HDEL")) {
        for (unsigned i = 2; i < op->words; i++) {
            v->field[op->word[i][0] - 'f'][0] = 0;
        }
        say_int(out, before - fields(v));
    } else {
        run_hash_read(v, op, out);
    }
    v->kind = fields(v) > 0 ? HASH : NOTHING;
    v->timed = v->timed && v->kind == HASH;
}

/* DEL, EXISTS, MGET, MSET, MSETNX */
static void run_many(struct store *s, const struct op *op, char *out)
{
    unsigned step = op->word[0][0] == 'M' && op->word[0][1] == 'S' ? 2 : 1;
    long found = 0;

    (void)snprintf(out, REPLY_BYTES, "*%u", op->words - 1);
    for (unsigned i = 1; i < op->words; i += step) {
        struct value *v = at_word(s, op, i);

        found += v->kind != NOTHING;
        if (word_is(op, 0, "DEL")) {
            *v = (struct value){0};
        } else if (word_is(op, 0, "MGET")) {
            add_text(out, v->kind == STRING ? v->text : "");
        }
    }
    if (step == 2 && (found == 0 || word_is(op, 0, "MSET"))) {
        for (unsigned i = 1; i < op->words; i += 2) {
            put_string(at_word(s, op, i), op->word[i + 1]);
        }
    }
    if (word_is(op, 0, "MSET")) {
        say(out, "+OK");
    } else if (!word_is(op, 0, "MGET")) {
        say_int(out, step == 2 ? found == 0 : found);
    }
}

/* COPY, RENAME, RENAMENX */
static void run_move(struct store *s, const struct op *op, char *out)
{
    struct value *from = at_word(s, op, 1), *to = at_word(s, op, 2), moved = *from;
    bool copy = op->word[0][0] == 'C';

    if (from->kind == NOTHING) {
        say(out, copy ? ":0" : "-\"ERR no such key\"");
    } else if (to->kind != NOTHING && !word_is(op, 0, "RENAME") && !has_word(op, "REPLACE")) {
        say_int(out, 0);
    } else {
        if (!copy) {
            *from = (struct value){0};
        }
        *to = moved;
        say(out, word_is(op, 0, "RENAME") ? "+OK" : ":1");
    }
}

static void run_deadline(struct value *v, const struct op *op, char *out)
{
    bool persist = word_is(op, 0, "PERSIST");

    if (word_is(op, 0, "PTTL")) {
        say_int(out, v->kind == NOTHING ? -2 : v->timed ? 7 : -1);
    } else if (v->kind == NOTHING || (persist && !v->timed) || (has_word(op, "NX") && v->timed) ||
               (has_word(op, "XX") && !v->timed)) {
        say_int(out, 0);
    } else {
        v->timed = !persist;
        if (word_is(op, 2, "0")) {
            *v = (struct value){0};
        }
        say_int(out, 1);
    }
}

static void run(struct store *s, const struct op *op, char *out)
{
    static const char names[] = " GET GETSET GETDEL GETEX APPEND STRLEN INCR DECR INCRBY DECRBY ";
    struct value *v =
        op->words > 1 ? at_word(s, op, strcmp(op->word[0], "BITOP") == 0 ? 2 : 1) : NULL;
    char name[16];

    (void)snprintf(name, sizeof name, " %s ", op->word[0]);
    if (v == NULL) { /* FLUSHALL */
        *s = (struct store){0};
        say(out, "+OK");
    } else if (strstr(names, name) != NULL) {
        if (v->kind == HASH) {
            say(out, "-\"WRONGTYPE no\"");
        } else {
            run_string(v, op, out);
        }
    } else if (word_is(op, 0, "SET")) {
        run_set(v, op, out);
    } else if (word_is(op, 0, "SETNX")) {
        say_int(out, v->kind == NOTHING);
        if (v->kind == NOTHING) {
            put_string(v, op->word[2]);
        }
    } else if (strstr(" SETBIT GETBIT BITCOUNT BITOP ", name) != NULL) {
        run_bits(s, op, out);
    } else if (name[1] == 'H') {
        if (v->kind == STRING) {
            say(out, "-\"WRONGTYPE no\"");
        } else {
            run_hash(v, op, out);
        }
    } else if (strstr(" COPY RENAME RENAMENX ", name) != NULL) {
        run_move(s, op, out);
    } else if (name[1] == 'P') {
        run_deadline(v, op, out);
    } else {
        run_many(s, op, out);
    }
}

/* --- every order --- */

struct history {
    struct op op[OPS_MAX]; /* those of one connection in the order of sending */
    unsigned count;
    bool any_order;
    struct {
        unsigned op, at;
    } log[OPS_MAX]; /* what some log has: true, or anything else */
    unsigned logged;
};
struct brute {
    const struct history *h;
    bool placed[OPS_MAX];
};

static bool fits(const struct op *op, const char *reply)
{
    if (op->outcome != KNOWN) {
        return true;
    }
    if (word_is(op, 0, "PTTL") && strcmp(reply, ":7") == 0) { /* when it ends nobody knows */
        return op->reply[0] == ':' && isdigit((unsigned char)op->reply[1]);
    }
    return strcmp(op->reply, reply) == 0;
}

/* May op i be next, behind those placed? */
static bool may_follow(const struct brute *b, unsigned i)
{
    const struct op *op = &b->h->op[i];

    if (b->placed[i] || op->outcome == REFUSED) {
        return false;
    }
    for (unsigned j = 0; j < b->h->count; j++) {
        const struct op *other = &b->h->op[j];

        if (b->placed[j] ? op->latest < other->call
                         : other->outcome == KNOWN && j != i && other->latest < op->call) {
            return false;
        }
        if (!b->placed[j] && j < i && other->outcome == KNOWN && other->conn == op->conn &&
            !b->h->any_order) {
            return false;
        }
    }
    return true;
}

static bool explained(struct brute *b, const struct store *from);

static bool explained_by(struct brute *b, const struct store *from, unsigned i)
{
    const struct op *op = &b->h->op[i];
    bool found = false;

    b->placed[i] = true;
    for (unsigned gone = 0; gone < 1U << KEYS && !found; gone++) {
        struct store s = *from;
        char reply[REPLY_BYTES];
        bool can = true;

        for (unsigned k = 0; k < KEYS; k++) {
            if ((gone >> k & 1) != 0) {
                can = can && s.key[k].timed && has_word(op, k == 0 ? "a" : "b");
                s.key[k] = (struct value){0};
            }
        }
        if (can) {
            run(&s, op, reply);
            found = fits(op, reply) && explained(b, &s);
        }
    }
    b->placed[i] = false;
    return found;
}

static bool explained(struct brute *b, const struct store *from)
{
    bool done = true, found = false;

    for (unsigned i = 0; i < b->h->count; i++) {
        done = done && (b->placed[i] || b->h->op[i].outcome != KNOWN);
    }
    for (unsigned i = 0; i < b->h->count && !done && !found; i++) {
        found = may_follow(b, i) && explained_by(b, from, i);
    }
    return done || found;
}

static bool brute_legal(const struct history *h)
{
    struct brute b = {.h = h};
    struct store empty = {0};

    return explained(&b, &empty);
}

/* --- the checker --- */

static void put_op(struct buf *out, const struct op *op, const char *format)
{
    static const char *const other[] = {[LOST] = "lost",
                                        [SILENT] = "silent",
                                        [DOUBT] = "-\"INDOUBT ?\"",
                                        [REFUSED] = "-\"CLUSTERDOWN no\""};
    char back[16] = "-";

    if (op->outcome != LOST && op->outcome != SILENT) {
        (void)snprintf(back, sizeof back, "%u", op->back);
    }
    if (format == NULL) { /* as sim_linear_test.c has it */
        buf_printf(out, "%u %u-%s", op->conn, op->call, back[0] == '-' ? "" : back);
    } else {
        buf_printf(out, "op %u %u %u %s", op->conn, op->conn, op->call, back);
    }
    for (unsigned i = 0; i < op->words; i++) {
        buf_printf(out, " %s", op->word[i]);
    }
    buf_printf(out, " > %s\n", op->outcome == KNOWN ? op->reply : other[op->outcome]);
}

static bool checker_legal(const struct history *h)
{
    struct sim_check_options options = {.any_order = h->any_order};
    struct sim_check_result result;
    struct sim_history parsed = {0};
    struct buf text = {0};
    struct diag why;
    bool legal;

    buf_printf(&text, "synod-history 1\n");
    for (unsigned i = 0; i < h->count; i++) {
        put_op(&text, &h->op[i], "op");
    }
    for (unsigned i = 0; i < h->logged; i++) {
        const struct op *op = &h->op[h->log[i].op];

        buf_printf(&text, "log 0 %u 1 %u", i + 1, h->log[i].at);
        for (unsigned w = 0; w < op->words; w++) {
            buf_printf(&text, " %s", op->word[w]);
        }
        put_u8(&text, '\n');
    }
    if (sim_history_parse(&parsed, buf_slice(&text), &why) != ERR_OK) {
        fail_msg("%s: %.*s", why.text, (int)text.len, (const char *)text.data);
    }
    sim_check_history(&parsed, &options, &result);
    assert_int_equal(result.undecided, 0);
    assert_int_equal(result.unjudged, 0);
    legal = result.found == 0;
    sim_check_free(&result);
    sim_history_free(&parsed);
    buf_free(&text);
    return legal;
}

/* --- random histories --- */

/* $v: one of few values, $t: a token, $u: one that nobody else has, $n: a number, $o: a bit,
 * $f: a field. Both keys belong together by the last of each row. */
struct family {
    const char *name;
    const char *of[24];
    const char *closing;
};
static const struct family families[] = {
    {"register",
     {"SET a $v", "SET a $v", "SET a $v NX", "SET a $v XX", "SET a $v GET", "SETNX a $v",
      "GETSET a $v", "GETDEL a", "DEL a", "GET a", "GET a", "GET a", "EXISTS a", "FLUSHALL"},
     "GET a"},
    {"counter",
     {"INCR a", "DECR a", "INCRBY a $n", "INCRBY a $n", "DECRBY a $n", "GET a", "GET a"},
     "GET a"},
    {"counter that is set",
     {"INCR a", "INCRBY a $n", "SET a $n", "SET a x", "GET a", "GETSET a 0", "DEL a"},
     "GET a"},
    {"list",
     {"APPEND a $u", "APPEND a $u", "APPEND a $u", "APPEND a $u", "DEL a", "GET a", "GET a",
      "STRLEN a", "GETSET a $u"},
     "GET a"},
    {"string",
     {"APPEND a $t", "APPEND a $t", "SET a $t", "GETDEL a", "GET a", "STRLEN a", "FLUSHALL"},
     "GET a"},
    {"bits",
     {"SETBIT a $o 1", "SETBIT a $o 1", "SETBIT a $o 0", "SETBIT b $o 1", "GETBIT a $o",
      "BITCOUNT a", "BITCOUNT b", "BITOP NOT b a", "BITOP NOT a b", "DEL a"},
     "EXISTS a b"},
    {"hash",
     {"HSET a $f $v", "HSET a $f $v", "HSET a f $v g $v", "HSETNX a $f $v", "HDEL a $f",
      "HDEL a f g", "HGET a $f", "HMGET a f g", "HGETALL a", "HLEN a", "DEL a", "EXISTS a",
      "HSCAN a 0", "HRANDFIELD a 2"},
     "HGETALL a"},
    {"hash of counters",
     {"HINCRBY a $f $n", "HINCRBY a $f $n", "HDEL a $f", "HGET a $f", "HMGET a f g"},
     "HGETALL a"},
    {"pair",
     {"MSET a $v b $v", "MSET a $v b $v", "MSETNX a $v b $v", "SET a $v", "DEL a b", "RENAME a b",
      "RENAMENX b a", "COPY a b REPLACE", "COPY b a", "MGET a b", "MGET b a", "EXISTS a b",
      "GET b"},
     "MGET a b"},
    {"timed",
     {"SET a $v PX 5", "SET a $v PX 5", "SET a $v", "PEXPIRE a 5", "PEXPIRE a 5 NX",
      "PEXPIRE a 9 XX", "PEXPIRE a 0", "PERSIST a", "GETEX a PX 5", "GETEX a PERSIST",
      "SET a $v KEEPTTL", "DEL a", "SET a $v NX PX 5", "GET a", "GET a", "PTTL a", "EXISTS a"},
     "GET a"},
    {"timed pair",
     {"SET a $v PX 5", "SET a $v PX 5", "SET b $v", "PEXPIRE a 5", "RENAME a b", "RENAMENX a b",
      "COPY a b REPLACE", "PERSIST b", "MSETNX a $v b $v", "GET b", "EXISTS a b", "GET a"},
     "MGET a b"},
    {"mixed",
     {"SET a $v", "HSET a f $v", "HDEL a f", "DEL a", "INCR a", "APPEND a $t", "GET a", "HGET a f",
      "GETSET a $v", "HLEN a", "SETNX a $v"},
     "EXISTS a"},
};

static void put_words(struct prng *p, struct op *op, const char *words)
{
    static unsigned number;
    char copy[64], *rest = copy;

    (void)snprintf(copy, sizeof copy, "%s", words);
    for (char *w = strtok_r(copy, " ", &rest); w != NULL; w = strtok_r(NULL, " ", &rest)) {
        char *to = op->word[op->words++];
        unsigned dice = (unsigned)prng_below(p, 3);

        if (w[0] != '$') {
            (void)snprintf(to, sizeof op->word[0], "%s", w);
        } else if (w[1] == 'u') {
            number = number % 19 + 1;
            (void)snprintf(to, sizeof op->word[0], "%u,", number);
        } else if (w[1] == 't') {
            (void)snprintf(to, sizeof op->word[0], "%s", dice == 0 ? "x" : dice == 1 ? "y" : "xy");
        } else if (w[1] == 'f') {
            (void)snprintf(to, sizeof op->word[0], "%s", dice == 0 ? "f" : "g");
        } else {
            (void)snprintf(to, sizeof op->word[0], "%u", dice + (w[1] == 'v' ? 6 : 1));
        }
    }
}

static void draw_op(struct prng *p, const struct family *f, struct op *op, unsigned pick,
                    unsigned doubt)
{
    static const enum outcome outcomes[] = {REFUSED, DOUBT, LOST, LOST, SILENT, SILENT, SILENT};

    put_words(p, op, f->of[pick]);
    op->outcome = prng_chance(p, doubt, 6) ? outcomes[prng_below(p, ARRAY_COUNT(outcomes))] : KNOWN;
}

static void draw_ops(struct prng *p, const struct family *f, struct history *h)
{
    unsigned conns = (unsigned)prng_between(p, 2, 4), ops = (unsigned)prng_between(p, 2, 6);
    unsigned pace = (unsigned)prng_between(p, 2, 12), picks = 0, clock[5] = {0};
    unsigned doubt = (unsigned)prng_between(p, 0, 4);

    while (picks < ARRAY_COUNT(f->of) && f->of[picks] != NULL) {
        picks++;
    }
    h->any_order = prng_chance(p, 1, 4);
    while (h->count < ops) {
        struct op *op = &h->op[h->count++], *last = NULL;

        op->conn = (unsigned)prng_between(p, 1, conns);
        for (struct op *o = h->op; o < op; o++) {
            last = o->conn == op->conn ? o : last;
        }
        draw_op(p, f, op, (unsigned)prng_below(p, picks), doubt);
        op->call = clock[op->conn] + (unsigned)prng_between(p, 1, 4);
        if (last != NULL && prng_chance(p, 1, 4)) { /* in one pipeline */
            op->call = last->call;
        }
        op->back = op->call + (unsigned)prng_below(p, pace);
        op->back = op->back < clock[op->conn] ? clock[op->conn] : op->back;
        clock[op->conn] = op->back;
    }
    h->op[h->count] = (struct op){.conn = conns + 1, .call = (unsigned)prng_between(p, 1, 16)};
    h->op[h->count].back = h->op[h->count].call + (unsigned)prng_below(p, pace);
    put_words(p, &h->op[h->count++], f->closing);
}

/* When each can happen at the latest; silent ones before the next reply of their connection. */
static void bound_ops(struct history *h)
{
    for (unsigned i = h->count; i-- > 0;) {
        struct op *op = &h->op[i];

        op->latest = op->outcome == KNOWN ? op->back : FOREVER;
        for (unsigned j = h->count; j-- > i + 1 && op->outcome == SILENT;) {
            const struct op *next = &h->op[j];

            if (next->conn == op->conn && next->outcome != LOST && next->outcome != SILENT) {
                op->latest = next->back;
            }
        }
    }
}

/* Replies as of one random order, which need not be true to time. */
static void run_ops(struct prng *p, struct history *h, bool true_to_time)
{
    struct brute b = {.h = h};
    struct store s = {0};

    for (unsigned round = 0; round < 60; round++) {
        unsigned i = (unsigned)prng_below(p, h->count);
        struct op *op = &h->op[i];

        if (op->outcome != REFUSED && !b.placed[i] && (!true_to_time || may_follow(&b, i)) &&
            (op->outcome == KNOWN || prng_chance(p, 1, 4))) {
            for (unsigned k = 0; k < KEYS; k++) {
                if (s.key[k].timed && has_word(op, k == 0 ? "a" : "b") && prng_chance(p, 1, 3)) {
                    s.key[k] = (struct value){0};
                }
            }
            run(&s, op, op->reply);
            b.placed[i] = true;
            h->log[h->logged].op = i;
            h->log[h->logged].at =
                (unsigned)prng_between(p, op->call, op->outcome == KNOWN ? op->back : op->call + 9);
            h->logged++;
        }
    }
    for (unsigned i = 0; i < h->count; i++) {
        if (!b.placed[i] && h->op[i].outcome == KNOWN) {
            run(&s, &h->op[i], h->op[i].reply);
        }
    }
}

static void mutate(struct prng *p, struct history *h)
{
    struct op *op = &h->op[prng_below(p, h->count)], *other = &h->op[prng_below(p, h->count)];

    switch (prng_below(p, 4)) {
    case 0: /* its reply is another's */
        if (op->outcome == KNOWN && other->outcome == KNOWN) {
            (void)memmove(op->reply, other->reply, sizeof op->reply);
        }
        break;
    case 1: /* another digit */
        for (char *c = op->reply; *c != 0; c++) {
            if (isdigit((unsigned char)*c) && op->reply[0] != '*') {
                *c = (char)('1' + prng_below(p, 9));
                break;
            }
        }
        break;
    case 2: /* it found nothing */
        if (op->reply[0] == '$') {
            say(op->reply, "_");
        }
        break;
    default: /* it did not happen, says the reply */
        if (op != &h->op[h->count - 1] && op->outcome != SILENT) {
            op->outcome = REFUSED;
        }
    }
}

/* A log that is not what happened must not change a verdict. */
static void mutate_log(struct prng *p, struct history *h)
{
    unsigned from, to;

    if (h->logged == 0) {
        return;
    }
    from = (unsigned)prng_below(p, h->logged);
    to = (unsigned)prng_below(p, h->logged);
    switch (prng_below(p, 4)) {
    case 0: /* another order */
        h->log[OPS_MAX - 1] = h->log[from];
        h->log[from] = h->log[to];
        h->log[to] = h->log[OPS_MAX - 1];
        h->logged -= h->logged == OPS_MAX;
        break;
    case 1: /* one is missing */
        h->log[from] = h->log[--h->logged];
        break;
    case 2: /* something else stands there */
        h->log[from].op = (unsigned)prng_below(p, h->count);
        break;
    default: /* at another time */
        h->log[from].at = (unsigned)prng_below(p, 20);
    }
}

/* --- the verdicts --- */

static bool agree(struct history *h)
{
    bound_ops(h);
    return brute_legal(h) == checker_legal(h);
}

static void leave_out_of_log(struct history *h, unsigned op)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < h->logged; i++) {
        if (h->log[i].op != op) {
            h->log[kept] = h->log[i];
            h->log[kept++].op -= h->log[i].op > op;
        }
    }
    h->logged = kept;
}

/* Leave out what the disagreement does not need, but the last, which joins the keys. */
static void shrink(struct history *h)
{
    for (unsigned i = 0; i + 1 < h->count;) {
        struct history less = *h;

        memmove(&less.op[i], &less.op[i + 1], (less.count - i - 1) * sizeof less.op[0]);
        less.count--;
        leave_out_of_log(&less, i);
        if (agree(&less)) {
            i++;
        } else {
            *h = less;
            i = 0;
        }
    }
    bound_ops(h);
}

static void disagreement(struct history *h, const char *family, uint64_t seed)
{
    struct buf words = {0};

    shrink(h);
    for (unsigned i = 0; i < h->count; i++) {
        put_op(&words, &h->op[i], NULL);
    }
    for (unsigned i = 0; i < h->logged; i++) {
        buf_printf(&words, "log of %s %s, at %u\n", h->op[h->log[i].op].word[0],
                   h->op[h->log[i].op].word[1], h->log[i].at);
    }
    fail_msg("%s, seed %lu: by brute force this is %s%s, the checker says otherwise:\n%.*s", family,
             seed, brute_legal(h) ? "legal" : "illegal", h->any_order ? " in any order" : "",
             (int)words.len, (const char *)words.data);
}

static void all_orders(void **state)
{
    uint64_t total[2] = {0}; /* illegal, legal */

    (void)state;
    for (unsigned f = 0; f < ARRAY_COUNT(families); f++) {
        uint64_t count[2] = {0};

        for (uint64_t seed = 1; seed <= HISTORIES; seed++) {
            struct prng p = {seed * ARRAY_COUNT(families) + f};
            struct history h = {0};

            draw_ops(&p, &families[f], &h);
            bound_ops(&h);
            run_ops(&p, &h, prng_chance(&p, 3, 4));
            for (uint64_t times = prng_below(&p, 4); times > 0; times--) {
                mutate(&p, &h);
            }
            for (uint64_t times = prng_below(&p, 3); times > 0; times--) {
                mutate_log(&p, &h);
            }
            h.logged = prng_chance(&p, 1, 3) ? 0 : h.logged;
            if (!agree(&h)) {
                disagreement(&h, families[f].name, seed);
            }
            count[brute_legal(&h)]++;
        }
        print_message("%-20s %lu legal, %lu illegal\n", families[f].name, count[1], count[0]);
        assert_true(count[0] >= HISTORIES / 5 && count[1] >= HISTORIES / 5);
        total[0] += count[0];
        total[1] += count[1];
    }
    print_message("all: %lu legal, %lu illegal\n", total[1], total[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_orders)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
