/* cmd_transcript.h - tests of commands as transcripts: what is typed, what comes back.
 *
 * A command is words; "..." holds one with spaces, and \xHH any byte. A reply is the
 * RESP bytes with each line end as one space, the last left out: "$3 abc".
 * Two lines are for the transcript itself: "@now MS" and "@proto 2|3".
 */
#ifndef CMD_TRANSCRIPT_H
#define CMD_TRANSCRIPT_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cmd/cmd.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>

enum { TRANSCRIPT_ARGS_MAX = 32, TRANSCRIPT_NOW_MS = 1000000 };

struct transcript_row {
    const char *command, *reply;
};

struct transcript {
    struct store *store;
    uint64_t now_ms;
    uint8_t proto;
    struct prng rng;
    struct buf words, out;
    bool changed; /* by the last command */
};

static inline void transcript_init(struct transcript *t)
{
    *t = (struct transcript){
        .store = store_create(7), .now_ms = TRANSCRIPT_NOW_MS, .proto = 2, .rng = {42}};
    buf_reserve(&t->words, 1U << 16); /* arguments point into it: it must not move */
}

static inline void transcript_free(struct transcript *t)
{
    store_check(t->store);
    assert_int_equal(store_digest(t->store), store_digest_slow(t->store));
    store_destroy(t->store);
    buf_free(&t->words);
    buf_free(&t->out);
}

/* One word from *text into t->words. */
static inline struct slice transcript_word(struct transcript *t, const char **text)
{
    size_t start = t->words.len;
    bool quoted = **text == '"';
    const char *p = *text + quoted;

    while (*p != '\0' && *p != (quoted ? '"' : ' ')) {
        if (p[0] == '\\' && p[1] == 'x') {
            char hex[3] = {p[2], p[3], '\0'};

            put_u8(&t->words, (uint8_t)strtoul(hex, NULL, 16));
            p += 4;
        } else {
            put_u8(&t->words, (uint8_t)*p++);
        }
    }
    *text = p + (quoted && *p == '"');
    return (struct slice){t->words.data + start, t->words.len - start};
}

/* Run one command as the node would; the reply is left in t->out. */
static inline void transcript_run(struct transcript *t, const char *text)
{
    struct slice argv[TRANSCRIPT_ARGS_MAX];
    struct call c = {.argv = argv,
                     .store = t->store,
                     .now_ms = t->now_ms,
                     .access_s = (uint32_t)(t->now_ms / 1000),
                     .rng = {prng_next(&t->rng)},
                     .out = {.out = &t->out, .proto = t->proto}};

    t->words.len = 0;
    t->out.len = 0;
    while (*text != '\0') {
        assert_true(c.argc < TRANSCRIPT_ARGS_MAX);
        argv[c.argc++] = transcript_word(t, &text);
        text += strspn(text, " ");
    }
    c.cmd = cmd_lookup(argv, c.argc);
    if (c.cmd == NULL) {
        cmd_reject_unknown(&c.out, argv, c.argc);
    } else if (!cmd_arity_ok(c.cmd, c.argc)) {
        cmd_reject_arity(&c.out, c.cmd);
    } else {
        cmd_run(&c);
    }
    t->changed = c.changed;
}

/* t->out with line ends as spaces, terminated. */
static inline const char *transcript_reply(struct transcript *t)
{
    size_t to = 0;

    for (size_t from = 0; from < t->out.len; from++) {
        if (t->out.data[from] == '\r' && from + 1 < t->out.len && t->out.data[from + 1] == '\n') {
            t->out.data[to++] = ' ';
            from++;
        } else {
            t->out.data[to++] = t->out.data[from];
        }
    }
    t->out.len = to > 0 ? to - 1 : 0; /* not the last line end */
    put_u8(&t->out, '\0');
    return (const char *)t->out.data;
}

/* Run the rows in order on an empty store. */
static inline void transcript_check(const struct transcript_row *rows, size_t count)
{
    struct transcript t;

    transcript_init(&t);
    for (size_t i = 0; i < count; i++) {
        const char *text = rows[i].command;

        if (strncmp(text, "@now ", 5) == 0) {
            t.now_ms = strtoull(text + 5, NULL, 10);
        } else if (strncmp(text, "@proto ", 7) == 0) {
            t.proto = (uint8_t)strtoul(text + 7, NULL, 10);
        } else {
            transcript_run(&t, text);
            if (strcmp(transcript_reply(&t), rows[i].reply) != 0) {
                print_error("row %zu: %s\n  want %s\n  got  %s\n", i, text, rows[i].reply,
                            (const char *)t.out.data);
                fail();
            }
        }
    }
    transcript_free(&t);
}
#define TRANSCRIPT_CHECK(rows) transcript_check((rows), ARRAY_COUNT(rows))
#endif
