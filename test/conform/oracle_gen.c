/* oracle_gen.c - random commands from templates.
 *
 * A template is words; %x is replaced by something of kind x, a word ending in ? is
 * there half of the time, one ending in * is repeated up to four times; ; ends one
 * command of several. Now and then an argument is lost, added or spoilt, so that
 * errors are compared as well. Times are chosen so that no clock matters: long past,
 * or far off and all different. */
#include "oracle.h"

#include <inttypes.h>
#include <stdio.h>

struct command_template {
    const char *family;
    unsigned weight;
    enum oracle_norm norm;
    const char *text;
};

static const struct command_template templates[] = {
    {"string", 8, ORACLE_EXACT, "SET %k %v"},
    {"string", 12, ORACLE_EXACT, "SET %k %v %G*"},
    {"string", 6, ORACLE_EXACT, "GET %k"},
    {"string", 2, ORACLE_EXACT, "SETNX %k %v"},
    {"string", 2, ORACLE_EXACT, "SETEX %k %x %v"},
    {"string", 2, ORACLE_EXACT, "PSETEX %k %X %v"},
    {"string", 2, ORACLE_EXACT, "GETSET %k %v"},
    {"string", 2, ORACLE_EXACT, "GETDEL %k"},
    {"string", 6, ORACLE_EXACT, "GETEX %k %E*"},
    {"string", 4, ORACLE_EXACT, "APPEND %k %v"},
    {"string", 2, ORACLE_EXACT, "STRLEN %k"},
    {"string", 3, ORACLE_EXACT, "INCR %k"},
    {"string", 3, ORACLE_EXACT, "DECR %k"},
    {"string", 4, ORACLE_EXACT, "INCRBY %k %i"},
    {"string", 4, ORACLE_EXACT, "DECRBY %k %i"},
    {"string", 6, ORACLE_EXACT, "INCRBYFLOAT %k %d"},
    {"string", 3, ORACLE_EXACT, "SET %k %d ; INCRBYFLOAT %r %d"},
    {"string", 3, ORACLE_EXACT, "SET %k %i ; INCRBY %r %i ; DECR %r"},
    {"string", 5, ORACLE_EXACT, "GETRANGE %k %s %s"},
    {"string", 1, ORACLE_EXACT, "GETRANGE %k %i %i"},
    {"string", 2, ORACLE_EXACT, "SUBSTR %k %s %s"},
    {"string", 4, ORACLE_EXACT, "SETRANGE %k %n %v"},
    {"string", 1, ORACLE_EXACT, "SETRANGE %k %h %v"},
    {"string", 3, ORACLE_EXACT, "MGET %k %k*"},
    {"string", 2, ORACLE_EXACT, "MSET %m %m*"},
    {"string", 2, ORACLE_EXACT, "MSETNX %m %m*"},
    {"string", 6, ORACLE_EXACT, "LCS %k %k %L*"},
    {"string", 3, ORACLE_EXACT, "MSET k0 %v k1 %v ; LCS k0 k1 %L*"},
    {"string", 2, ORACLE_SECONDS, "TTL %k"},
    {"string", 2, ORACLE_MILLIS, "PEXPIRETIME %k"},
    {"string", 2, ORACLE_EXACT, "DEL %k"},
    {"string", 1, ORACLE_EXACT, "DEL %k ; HSET %r %q"},
    {"string", 1, ORACLE_EXACT, "DEL %k ; SET %r %v ; OBJECT ENCODING %r"},

    {"bitmap", 8, ORACLE_EXACT, "SETBIT %k %o %b"},
    {"bitmap", 4, ORACLE_EXACT, "GETBIT %k %o"},
    {"bitmap", 2, ORACLE_EXACT, "BITCOUNT %k"},
    {"bitmap", 5, ORACLE_EXACT, "BITCOUNT %k %s %s %u?"},
    {"bitmap", 2, ORACLE_EXACT, "BITCOUNT %k %i %i %u?"},
    {"bitmap", 3, ORACLE_EXACT, "BITPOS %k %b"},
    {"bitmap", 3, ORACLE_EXACT, "BITPOS %k %b %s"},
    {"bitmap", 6, ORACLE_EXACT, "BITPOS %k %b %s %s %u?"},
    {"bitmap", 2, ORACLE_EXACT, "BITPOS %k %b %i %i %u?"},
    {"bitmap", 6, ORACLE_EXACT, "BITOP %O %k %k %k*"},
    {"bitmap", 2, ORACLE_EXACT, "BITOP NOT %k %k"},
    {"bitmap", 16, ORACLE_EXACT, "BITFIELD %k %B*"},
    {"bitmap", 4, ORACLE_EXACT, "BITFIELD_RO %k %R*"},
    {"bitmap", 1, ORACLE_EXACT, "BITFIELD_RO %k %B*"},
    {"bitmap", 5, ORACLE_EXACT, "SET %k %v"},
    {"bitmap", 5, ORACLE_EXACT, "GET %k"},
    {"bitmap", 2, ORACLE_EXACT, "SETRANGE %k %n %v"},
    {"bitmap", 2, ORACLE_EXACT, "DEL %k"},
    {"bitmap", 1, ORACLE_EXACT, "SET %k %v EX %x"},
    {"bitmap", 1, ORACLE_SECONDS, "TTL %k"},
    {"bitmap", 1, ORACLE_EXACT, "DEL %k ; HSET %r %q"},

    {"hash", 12, ORACLE_EXACT, "HSET %k %q %q*"},
    {"hash", 2, ORACLE_EXACT, "HMSET %k %q %q*"},
    {"hash", 3, ORACLE_EXACT, "HSETNX %k %f %v"},
    {"hash", 5, ORACLE_EXACT, "HGET %k %f"},
    {"hash", 3, ORACLE_EXACT, "HMGET %k %f %f*"},
    {"hash", 4, ORACLE_EXACT, "HINCRBY %k %f %i"},
    {"hash", 5, ORACLE_EXACT, "HINCRBYFLOAT %k %f %d"},
    {"hash", 3, ORACLE_EXACT, "HSET %k f1 %d ; HINCRBYFLOAT %r f1 %d"},
    {"hash", 3, ORACLE_EXACT, "HSET %k f1 %i ; HINCRBY %r f1 %i"},
    {"hash", 5, ORACLE_EXACT, "HDEL %k %f %f*"},
    {"hash", 2, ORACLE_EXACT, "HLEN %k"},
    {"hash", 2, ORACLE_EXACT, "HSTRLEN %k %f"},
    {"hash", 2, ORACLE_EXACT, "HEXISTS %k %f"},
    {"hash", 2, ORACLE_UNORDERED, "HKEYS %k"},
    {"hash", 2, ORACLE_UNORDERED, "HVALS %k"},
    {"hash", 2, ORACLE_PAIRS, "HGETALL %k"},
    {"hash", 4, ORACLE_SCAN_PAIRS, "HSCAN %k %c %C* COUNT 5000"},
    {"hash", 3, ORACLE_SHAPE, "HRANDFIELD %k"},
    {"hash", 3, ORACLE_SHAPE, "HRANDFIELD %k %s"},
    {"hash", 3, ORACLE_SHAPE, "HRANDFIELD %k %s WITHVALUES"},
    {"hash", 1, ORACLE_UNORDERED, "HRANDFIELD %k 5000"},
    {"hash", 1, ORACLE_SHAPE, "HRANDFIELD %k %H WITHVALUES?"},
    {"hash", 2, ORACLE_EXACT, "DEL %k"},
    {"hash", 1, ORACLE_EXACT, "SET %k %v"},
    {"hash", 1, ORACLE_EXACT, "PEXPIRE %k %X"},
    {"hash", 1, ORACLE_MILLIS, "PTTL %k"},
    {"hash", 1, ORACLE_EXACT, "TYPE %k"},
    {"hash", 1, ORACLE_EXACT, "DEL %k ; HSET %r %q %q* ; OBJECT ENCODING %r"},

    {"key", 3, ORACLE_EXACT, "DEL %k %k*"},
    {"key", 1, ORACLE_EXACT, "UNLINK %k %k*"},
    {"key", 3, ORACLE_EXACT, "EXISTS %k %k*"},
    {"key", 3, ORACLE_EXACT, "TOUCH %k %k*"},
    {"key", 3, ORACLE_EXACT, "TYPE %k"},
    {"key", 4, ORACLE_EXACT, "EXPIRE %k %x %N*"},
    {"key", 4, ORACLE_EXACT, "PEXPIRE %k %X %N*"},
    {"key", 4, ORACLE_EXACT, "EXPIREAT %k %a %N*"},
    {"key", 4, ORACLE_EXACT, "PEXPIREAT %k %A %N*"},
    {"key", 3, ORACLE_SECONDS, "TTL %k"},
    {"key", 3, ORACLE_MILLIS, "PTTL %k"},
    {"key", 3, ORACLE_SECONDS, "EXPIRETIME %k"},
    {"key", 3, ORACLE_MILLIS, "PEXPIRETIME %k"},
    {"key", 3, ORACLE_EXACT, "PERSIST %k"},
    {"key", 6, ORACLE_EXACT, "COPY %k %k REPLACE?"},
    {"key", 1, ORACLE_EXACT, "COPY %k %k DB 0 REPLACE?"},
    {"key", 6, ORACLE_EXACT, "RENAME %k %k"},
    {"key", 6, ORACLE_EXACT, "RENAMENX %k %k"},
    {"key", 3, ORACLE_UNORDERED, "KEYS %p"},
    {"key", 3, ORACLE_SCAN, "SCAN %c %D* COUNT 5000"},
    {"key", 2, ORACLE_SHAPE, "RANDOMKEY"},
    {"key", 1, ORACLE_EXACT, "DEL %k ; SET %r text ; OBJECT REFCOUNT %r"},
    {"key", 1, ORACLE_EXACT, "OBJECT FREQ %k"},
    {"key", 1, ORACLE_SECONDS, "OBJECT IDLETIME %k"},
    {"key", 1, ORACLE_EXACT, "OBJECT %v %k"},
    {"key", 1, ORACLE_EXACT, "OBJECT HELP"},
    {"key", 2, ORACLE_EXACT, "DEL %k ; SET %r %v ; OBJECT ENCODING %r"},
    {"key", 2, ORACLE_EXACT, "DEL %k ; HSET %r %q %q* ; OBJECT ENCODING %r"},
    {"key", 12, ORACLE_EXACT, "SET %k %v"},
    {"key", 3, ORACLE_EXACT, "SET %k %v PXAT %A"},
    {"key", 4, ORACLE_EXACT, "HSET %k %q %q*"},
    {"key", 3, ORACLE_EXACT, "GET %k"},
    {"key", 1, ORACLE_EXACT, "NOSUCH %k %v*"},
};

/* Kinds that are one of several templates themselves. */
static const struct kind {
    char name;
    const char *choices[12];
} kinds[] = {
    {'G', {"NX", "XX", "GET", "KEEPTTL", "EX %x", "PX %X", "EXAT %a", "PXAT %A", "PERSIST"}},
    {'E', {"PERSIST", "EX %x", "PX %X", "EXAT %a", "PXAT %A", "KEEPTTL"}},
    {'L', {"LEN", "IDX", "IDX", "WITHMATCHLEN", "MINMATCHLEN %s"}},
    {'m', {"%k %v"}},
    {'q', {"%f %v"}},
    {'u', {"BIT", "BIT", "BYTE", "bits"}},
    {'O', {"AND", "OR", "XOR", "NOT"}},
    {'b', {"0", "1", "0", "1", "0", "1", "0", "1", "2", "-1"}},
    {'B',
     {"GET %t %o", "SET %t %o %i", "SET %t %o %i", "INCRBY %t %o %i", "INCRBY %t %o %i",
      "OVERFLOW %w", "OVERFLOW %w INCRBY %t %o %i", "OVERFLOW %w SET %t %o %i"}},
    {'R', {"GET %t %o"}},
    {'w', {"WRAP", "SAT", "FAIL", "SAT", "FAIL", "NONE"}},
    {'C', {"MATCH %p", "COUNT 100"}},
    {'D', {"MATCH %p", "COUNT 100", "TYPE string", "TYPE hash", "TYPE list"}},
    {'N', {"NX", "XX", "GT", "LT"}},
    {'c', {"0", "0", "0", "0", "0", "0", "", "+0", "-0", "x", " 0"}},
    {'h', {"-1", "536870912", "9223372036854775807", "536870911x", "4294967295"}},
    {'H', {"-9223372036854775808", "9223372036854775807", "4611686018427387904", "x"}},
};

/* clang-format off */
static const char *const ints[] = {
    "0", "1", "-1", "2", "10", "-10", "100", "127", "128", "-128", "-129", "255", "256", "32767",
    "2147483647", "-2147483648", "4294967296", "4611686018427387904", "9223372036854775806",
    "9223372036854775807", "-9223372036854775807", "-9223372036854775808",
    "9223372036854775808", "-9223372036854775809", "18446744073709551615", "01", "-0", "+1", "1 ",
    " 1", "", "-", "1.0", "0x10", "abc",
};
static const char *const floats[] = {
    "0", "1", "-1", "0.1", "0.2", "1.5", "-3.25", "3.0e3", "5.0e3", "1e10", "1e-10", "1e17", "1e18",
    "123456789.123456789", "-0.000000000000000001", "0.00000000000000000012", "1e-300", "1e300",
    "1e4000", "1e4932", "1e5000", "-1e5000", "1e-5000", "inf", "-inf", "+inf", "Infinity", "nan",
    "-nan", "0x1p3", "0x1.8", ".5", "5.", "-.5e-1", "1e", "e5", " 1", "1 ", "", "+1.5", "-0", "1,5",
    "9007199254740993", "18446744073709551616", "9223372036854775807", "abc",
    "3.141592653589793238462643383279502884197", "17179869184.0000000001",
};
static const char *const patterns[] = {
    "*", "k*", "k?", "k[0-3]", "k[^0-3]", "f*", "*1", "\\k1", "[a-z]*", "k[3-0]", "k[", "k\\",
    "**1", "", "?", "[^k]*", "f[1\\-3]*", "*k*1*", "kk*", "f1[0-9]", "k[]1]",
};
/* clang-format on */

bool oracle_gen_init(struct oracle_gen *g, const char *family, uint64_t seed)
{
    *g = (struct oracle_gen){.rng = {seed}, .family = family};
    for (size_t i = 0; i < ARRAY_COUNT(templates); i++) {
        if (strcmp(templates[i].family, family) == 0) {
            return true;
        }
    }
    return false;
}

static void add_arg(struct oracle_command *out, const void *data, size_t len)
{
    if (out->argc == ORACLE_ARGS_MAX) {
        return;
    }
    buf_append(&out->bytes, data, len);
    out->argc++;
    out->at[out->argc] = out->bytes.len;
}

static void add_str(struct oracle_command *out, const char *text)
{
    add_arg(out, text, strlen(text));
}

static void add_int(struct oracle_command *out, int64_t value)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "%" PRId64, value);
    add_str(out, text);
}

static void add_one_of(struct oracle_gen *g, struct oracle_command *out, const char *const *list,
                       size_t count)
{
    add_str(out, list[prng_below(&g->rng, count)]);
}

static void add_value(struct oracle_gen *g, struct oracle_command *out)
{
    static const char letters[] = "aabbbcd019\xff\n\r ";
    uint8_t bytes[600];
    size_t len;

    switch (prng_below(&g->rng, 8)) {
    case 0:
        add_one_of(g, out, ints, ARRAY_COUNT(ints));
        return;
    case 1:
        add_int(out, (int64_t)prng_next(&g->rng) >> prng_below(&g->rng, 64));
        return;
    case 2:
        len = prng_below(&g->rng, 12) == 0 ? prng_below(&g->rng, sizeof(bytes)) : 1;
        for (size_t i = 0; i < len; i++) {
            bytes[i] = (uint8_t)prng_next(&g->rng);
        }
        break;
    case 3: /* runs of bits */
        len = prng_below(&g->rng, 40);
        memset(bytes, prng_chance(&g->rng, 1, 2) ? 0xff : 0, len);
        break;
    default:
        len = prng_below(&g->rng, 12 + (prng_below(&g->rng, 10) == 0 ? 80 : 0));
        for (size_t i = 0; i < len; i++) {
            bytes[i] = (uint8_t)letters[prng_below(&g->rng, sizeof(letters))];
        }
        break;
    }
    add_arg(out, bytes, len);
}

/* Seconds or milliseconds from now, or absolute. */
static void add_time(struct oracle_gen *g, struct oracle_command *out, bool relative, bool millis)
{
    static const char *const odd[] = {"0",
                                      "-1",
                                      "9223372036854775807",
                                      "-9223372036854775808",
                                      "9223372036854775",
                                      "9223372036854776",
                                      "x",
                                      "1.5"};
    int64_t seconds;

    if (prng_chance(&g->rng, 1, 8)) {
        add_one_of(g, out, odd, ARRAY_COUNT(odd));
        return;
    }
    /* Far off, and no two alike: which of two is later must not depend on when. */
    seconds = 1000000 + (int64_t)(g->times++ * 7919 % 1000003) * 1000;
    if (!relative) {
        seconds = prng_chance(&g->rng, 1, 4) ? 1000 : 5000000000 + seconds;
    }
    add_int(out,
            millis ? seconds * 1000 + (int64_t)prng_below(&g->rng, relative ? 1 : 1000) : seconds);
}

static void add_field(struct oracle_gen *g, struct oracle_command *out)
{
    char text[96];
    uint64_t of = prng_chance(&g->rng, 1, 6) ? 400 : 6;

    if (prng_chance(&g->rng, 1, 40)) {
        add_value(g, out);
        return;
    }
    (void)snprintf(text, sizeof(text), "f%" PRIu64, prng_below(&g->rng, of));
    add_str(out, text);
}

static void add_offset(struct oracle_gen *g, struct oracle_command *out)
{
    static const char *const odd[] = {
        "-1", "4294967296", "#-1", "#", "", "x", "#x", "+1", "#0x1", "9223372036854775807", "01"};
    char text[32];

    if (prng_chance(&g->rng, 1, 30)) {
        add_one_of(g, out, odd, ARRAY_COUNT(odd));
        return;
    }
    (void)snprintf(text, sizeof(text), "%s%" PRIu64, prng_chance(&g->rng, 1, 4) ? "#" : "",
                   prng_below(&g->rng, prng_chance(&g->rng, 1, 20) ? 3000 : 100));
    add_str(out, text);
}

static void add_type(struct oracle_gen *g, struct oracle_command *out)
{
    static const char *const odd[] = {"u64", "i65", "u0", "i0", "i", "", "8", "I8", "u-1", "u08"};
    char text[32];

    if (prng_chance(&g->rng, 1, 60)) {
        add_one_of(g, out, odd, ARRAY_COUNT(odd));
        return;
    }
    if (prng_chance(&g->rng, 1, 2)) {
        (void)snprintf(text, sizeof(text), "i%" PRIu64, 1 + prng_below(&g->rng, 64));
    } else {
        (void)snprintf(text, sizeof(text), "u%" PRIu64, 1 + prng_below(&g->rng, 63));
    }
    add_str(out, text);
}

static void add_key(struct oracle_gen *g, struct oracle_command *out, bool again)
{
    char text[32];

    if (!again) {
        g->last_key = (unsigned)prng_below(&g->rng, 8);
    }
    (void)snprintf(text, sizeof(text), "k%u", g->last_key);
    add_str(out, text);
}

static void add_number(struct oracle_gen *g, struct oracle_command *out)
{
    if (prng_chance(&g->rng, 1, 3)) {
        add_one_of(g, out, ints, ARRAY_COUNT(ints));
    } else {
        add_int(out, (int64_t)prng_next(&g->rng) >> prng_below(&g->rng, 64));
    }
}

static void add_words(struct oracle_gen *g, struct oracle_command *out, const char *text,
                      unsigned depth);

static void add_kind(struct oracle_gen *g, struct oracle_command *out, char kind, unsigned depth)
{
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        if (kinds[i].name == kind) {
            size_t count = 0;

            while (count < ARRAY_COUNT(kinds[i].choices) && kinds[i].choices[count] != NULL) {
                count++;
            }
            CHECK(depth < 4);
            add_words(g, out, kinds[i].choices[prng_below(&g->rng, count)], depth + 1);
            return;
        }
    }
    if (kind == 'k' || kind == 'r') {
        add_key(g, out, kind == 'r');
    } else if (kind == 'f') {
        add_field(g, out);
    } else if (kind == 'v') {
        add_value(g, out);
    } else if (kind == 'i') {
        add_number(g, out);
    } else if (kind == 's') {
        add_int(out, (int64_t)prng_below(&g->rng, 60) - 20);
    } else if (kind == 'n') {
        add_int(out, (int64_t)prng_below(&g->rng, 60));
    } else if (kind == 'o') {
        add_offset(g, out);
    } else if (kind == 't') {
        add_type(g, out);
    } else if (kind == 'd') {
        add_one_of(g, out, floats, ARRAY_COUNT(floats));
    } else if (kind == 'p') {
        add_one_of(g, out, patterns, ARRAY_COUNT(patterns));
    } else {
        CHECK(strchr("xXaA", kind) != NULL);
        add_time(g, out, kind == 'x' || kind == 'X', kind == 'X' || kind == 'A');
    }
}

/* A word of the template as it stands, in a random case. */
static void add_literal(struct oracle_gen *g, struct oracle_command *out, const char *word,
                        size_t len)
{
    char text[64];
    bool lower = prng_chance(&g->rng, 1, 2);

    CHECK(len < sizeof(text));
    for (size_t i = 0; i < len; i++) {
        text[i] = word[i];
        if (lower && word[i] >= 'A' && word[i] <= 'Z') {
            text[i] = (char)(word[i] + ('a' - 'A'));
        }
    }
    add_arg(out, text, len);
}

static void add_words(struct oracle_gen *g, struct oracle_command *out, const char *text,
                      unsigned depth)
{
    CHECK(text != NULL);
    if (text[0] == '\0' || text[0] == ' ') { /* a choice that is itself the argument */
        add_str(out, text);
        return;
    }
    while (*text != '\0') {
        size_t len = strcspn(text, " ");
        char last = text[len - 1];
        bool some = len > 1 && (last == '?' || last == '*');
        uint64_t times = 1;

        if (some) {
            times = last == '?' ? prng_below(&g->rng, 2) : prng_below(&g->rng, 5);
        }
        for (uint64_t i = 0; i < times; i++) {
            if (text[0] == '%') {
                add_kind(g, out, text[1], depth);
            } else {
                add_literal(g, out, text, some ? len - 1 : len);
            }
        }
        text += len;
        text += strspn(text, " ");
    }
}

static void finish(struct oracle_command *out)
{
    for (uint32_t i = 0; i < out->argc; i++) {
        out->argv[i] = (struct slice){out->bytes.data + out->at[i], out->at[i + 1] - out->at[i]};
    }
}

/* Lose, add or spoil an argument; the name stays. */
static void mutate(struct oracle_gen *g, const char *text, struct oracle_command *out)
{
    uint32_t pos = 1 + (uint32_t)prng_below(&g->rng, out->argc);

    if (out->norm == ORACLE_UNORDERED) {
        out->norm = ORACLE_SHAPE; /* HRANDFIELD without its count chooses freely */
    }
    if (strcmp(text, "HRANDFIELD %k") != 0 && (prng_chance(&g->rng, 1, 3) || out->argc < 2)) {
        add_value(g, out); /* as a count it could ask for thousands of millions of fields */
    } else if (prng_chance(&g->rng, 1, 2)) {
        out->argc--;
    } else if (pos < out->argc) {
        out->at[pos + 1] = out->at[pos]; /* empty; the next one grows in front */
    }
}

static void pick_template(struct oracle_gen *g)
{
    uint64_t total = 0, at;
    size_t i;

    for (i = 0; i < ARRAY_COUNT(templates); i++) {
        total += strcmp(templates[i].family, g->family) == 0 ? templates[i].weight : 0;
    }
    at = prng_below(&g->rng, total);
    for (i = 0; i < ARRAY_COUNT(templates); i++) {
        uint64_t weight = strcmp(templates[i].family, g->family) == 0 ? templates[i].weight : 0;

        if (at < weight) {
            break;
        }
        at -= weight;
    }
    CHECK(i < ARRAY_COUNT(templates));
    (void)snprintf(g->script, sizeof(g->script), "%s", templates[i].text);
    g->script_norm = templates[i].norm;
    g->spoil = strstr(g->script, " ; ") == NULL; /* several rely on each other */
}

static void clear(struct oracle_command *out)
{
    out->argc = 0;
    out->bytes.len = 0;
    buf_reserve(&out->bytes, 1); /* even empty arguments point somewhere */
    out->at[0] = 0;
}

void oracle_gen_next(struct oracle_gen *g, struct oracle_command *out)
{
    char text[sizeof(g->script)];
    char *next;

    if (g->script[0] == '\0') {
        pick_template(g);
    }
    memcpy(text, g->script, sizeof(text));
    next = strstr(text, " ; ");
    g->script[0] = '\0';
    if (next != NULL) {
        *next = '\0';
        memcpy(g->script, next + 3, strlen(next + 3) + 1);
    }
    clear(out);
    out->norm = g->script_norm;
    add_words(g, out, text, 0);
    if (g->spoil && prng_chance(&g->rng, 1, 25)) {
        mutate(g, text, out);
    }
    finish(out);
}

bool oracle_gen_dump(unsigned pos, struct oracle_command *out)
{
    static const struct {
        const char *name;
        enum oracle_norm norm;
    } shows[] = {{"TYPE", ORACLE_EXACT},   {"PEXPIRETIME", ORACLE_MILLIS}, {"GET", ORACLE_EXACT},
                 {"STRLEN", ORACLE_EXACT}, {"HGETALL", ORACLE_PAIRS},      {"HLEN", ORACLE_EXACT}};
    char key[8];

    clear(out);
    if (pos == 0) {
        add_str(out, "KEYS");
        add_str(out, "*");
        out->norm = ORACLE_UNORDERED;
    } else if ((pos - 1) / ARRAY_COUNT(shows) < 8) {
        (void)snprintf(key, sizeof(key), "k%zu", (pos - 1) / ARRAY_COUNT(shows));
        add_str(out, shows[(pos - 1) % ARRAY_COUNT(shows)].name);
        add_str(out, key);
        out->norm = shows[(pos - 1) % ARRAY_COUNT(shows)].norm;
    } else {
        return false;
    }
    finish(out);
    return true;
}
