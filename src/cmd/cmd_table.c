/* cmd_table.c - finding rows, their keys, and the errors of what is not found.
 *
 * The lookup tables are derived from the rows once, before main(), and never
 * change: every thread may read them.
 */
#include "cmd/cmd_handlers.h"

enum {
    CMD_NUMBERS = 512,  /* numbers in use are below */
    CMD_BUCKETS = 1024, /* a power of two, several times the rows */
    CMD_NAME_MAX = 64,
    CMD_QUOTED_MAX = 128, /* bytes of a client's words in an error */
};

#define CMD_NO_HANDLER NULL
#define CMD(id, number, name, arity, flags, first, last, step, handler, group, since, complexity,  \
            summary)                                                                               \
    {CMD_ID_##id, name,  arity, flags,      first,   last, step,                                   \
     handler,     group, since, complexity, summary, NULL},
static struct cmd cmd_rows[] = {
#include "cmd/cmd_table.def"
};
#undef CMD
#undef CMD_NO_HANDLER

/* A name as two words that hold all of its bytes, up to 16. */
struct cmd_words {
    uint64_t a, b;
};
static struct cmd_bucket {
    struct cmd_words name;  /* the own name: what follows '|' in subcommands */
    struct cmd_words loose; /* bits in which a client's spelling may differ: case */
    const struct cmd *row;  /* NULL: free */
    struct slice own;
} cmd_buckets[CMD_BUCKETS];
static uint16_t cmd_row_of_number[CMD_NUMBERS]; /* position + 1 */

static_assert(ARRAY_COUNT(cmd_rows) * 4 <= CMD_BUCKETS, "probe sequences stay short");

static inline struct cmd_words cmd_load(struct slice name)
{
    const uint8_t *p = name.data;
    struct cmd_words w = {0, 0};

    if (name.len >= 8) {
        memcpy(&w.a, p, 8);
        memcpy(&w.b, p + name.len - 8, 8);
    } else if (name.len >= 4) {
        uint32_t low;
        uint32_t high;

        memcpy(&low, p, 4);
        memcpy(&high, p + name.len - 4, 4);
        w = (struct cmd_words){low, high};
    } else if (name.len > 0) {
        w.a = (uint64_t)p[0] | (uint64_t)p[name.len / 2] << 8 | (uint64_t)p[name.len - 1] << 16;
    }
    return w;
}

/* Letters differ from their other case in bit 5 only, so setting it everywhere makes
 * the hash blind to case; that other bytes collide too does not matter. */
static inline uint32_t cmd_hash(struct cmd_words w, size_t len, const struct cmd *container)
{
    uint64_t salt = container == NULL ? 0 : (uint64_t)container->id;

    w.a |= 0x2020202020202020ULL;
    w.b |= 0x2020202020202020ULL;
    w.a = (w.a ^ (salt << 32) ^ len) * 0x9e3779b97f4a7c15ULL;
    w.a = (w.a ^ (w.a >> 29) ^ w.b) * 0xbf58476d1ce4e5b9ULL;
    return (uint32_t)(w.a >> 32) & (CMD_BUCKETS - 1);
}

static inline const struct cmd *cmd_find(struct slice name, const struct cmd *container)
{
    struct cmd_words w = cmd_load(name);

    for (uint32_t i = cmd_hash(w, name.len, container); cmd_buckets[i].row != NULL;
         i = (i + 1) & (CMD_BUCKETS - 1)) {
        const struct cmd_bucket *b = &cmd_buckets[i];
        uint64_t differ = ((w.a ^ b->name.a) & ~b->loose.a) | ((w.b ^ b->name.b) & ~b->loose.b);

        if (differ == 0 && b->own.len == name.len && b->row->container == container &&
            (name.len <= 16 || slice_eq_nocase(name, b->own))) {
            return b->row;
        }
    }
    return NULL;
}

/* Bit 5 of every byte of w that is a letter. */
static uint64_t cmd_letters(uint64_t w)
{
    uint64_t bits = 0;

    for (unsigned shift = 0; shift < 64; shift += 8) {
        uint8_t c = (uint8_t)(w >> shift);

        bits |= c >= 'a' && c <= 'z' ? (uint64_t)0x20 << shift : 0;
    }
    return bits;
}

static void cmd_index_row(size_t pos)
{
    struct cmd *row = &cmd_rows[pos];
    const char *bar = strchr(row->name, '|');
    const char *own = bar == NULL ? row->name : bar + 1;
    struct cmd_words words;
    uint32_t i;

    if (bar != NULL) { /* containers stand before their subcommands */
        row->container =
            cmd_find((struct slice){(const uint8_t *)row->name, (size_t)(bar - row->name)}, NULL);
        CHECK(row->container != NULL);
        CHECK((row->container->flags & CMD_CONTAINER) != 0);
    }
    CHECK(strlen(row->name) <= CMD_NAME_MAX);
    CHECK(cmd_find(slice_str(own), row->container) == NULL);
    CHECK(row->id > 0 && (uint32_t)row->id < CMD_NUMBERS);
    CHECK(cmd_row_of_number[row->id] == 0);
    CHECK_IF((row->flags & (CMD_NODE | CMD_CONTAINER)) != 0, row->handler == NULL);
    CHECK_IF((row->flags & (CMD_READ | CMD_WRITE)) != 0, row->handler != NULL);
    cmd_row_of_number[row->id] = (uint16_t)(pos + 1);

    words = cmd_load(slice_str(own));
    i = cmd_hash(words, strlen(own), row->container);
    while (cmd_buckets[i].row != NULL) {
        i = (i + 1) & (CMD_BUCKETS - 1);
    }
    cmd_buckets[i] = (struct cmd_bucket){
        .name = words,
        .loose = {cmd_letters(words.a), cmd_letters(words.b)},
        .row = row,
        .own = slice_str(own),
    };
}

__attribute__((constructor)) static void cmd_index_rows(void)
{
    for (size_t pos = 0; pos < ARRAY_COUNT(cmd_rows); pos++) {
        cmd_index_row(pos);
    }
}

const struct cmd *cmd_lookup(const struct slice *argv, uint32_t argc)
{
    const struct cmd *row;

    CHECK(argc > 0);
    row = cmd_find(argv[0], NULL);
    if (row == NULL || (row->flags & CMD_INTERNAL) != 0) {
        return NULL;
    }
    if ((row->flags & CMD_CONTAINER) != 0 && argc > 1) {
        return cmd_find(argv[1], row);
    }
    return row;
}

const struct cmd *cmd_by_name(struct slice name)
{
    const uint8_t *bar = name.len == 0 ? NULL : memchr(name.data, '|', name.len);
    const struct cmd *container;
    size_t len;

    if (bar == NULL) {
        return cmd_find(name, NULL);
    }
    len = (size_t)(bar - name.data);
    container = cmd_find((struct slice){name.data, len}, NULL);
    return container == NULL ? NULL
                             : cmd_find((struct slice){bar + 1, name.len - len - 1}, container);
}

const struct cmd *cmd_by_id(enum cmd_id id)
{
    uint32_t number = (uint32_t)id;

    if (number >= CMD_NUMBERS || cmd_row_of_number[number] == 0) {
        return NULL;
    }
    return &cmd_rows[cmd_row_of_number[number] - 1];
}

size_t cmd_count(void)
{
    return ARRAY_COUNT(cmd_rows);
}

const struct cmd *cmd_at(size_t pos)
{
    CHECK(pos < ARRAY_COUNT(cmd_rows));
    return &cmd_rows[pos];
}

bool cmd_arity_ok(const struct cmd *cmd, uint32_t argc)
{
    return cmd->arity >= 0 ? argc == (uint32_t)cmd->arity : argc >= (uint32_t)-cmd->arity;
}

uint32_t cmd_keys(const struct cmd *cmd, uint32_t argc, const struct slice *argv, uint32_t *pos,
                  uint32_t max)
{
    int64_t last = cmd->last_key < 0 ? (int64_t)argc + cmd->last_key : cmd->last_key;
    uint32_t count = 0;

    (void)argv; /* every row so far has its keys at fixed places */
    if (cmd->first_key == 0) {
        return 0;
    }
    for (int64_t i = cmd->first_key; i <= last && i < (int64_t)argc; i += cmd->key_step) {
        if (count < max) {
            pos[count] = (uint32_t)i;
        }
        count++;
    }
    return count;
}

/* printf's precision: what of a slice goes into an error. */
static int cmd_quoted(struct slice s, size_t max)
{
    return (int)(s.len < max ? s.len : max);
}

void cmd_reject_unknown(struct resp_writer *out, const struct slice *argv, uint32_t argc)
{
    const struct cmd *row = cmd_find(argv[0], NULL);
    struct buf words = {0};

    if (out->mute) {
        return;
    }
    if (row != NULL && (row->flags & CMD_CONTAINER) != 0 && argc > 1) {
        char upper[CMD_NAME_MAX + 1];
        size_t len = strlen(row->name);

        for (size_t i = 0; i <= len; i++) {
            bool letter = row->name[i] >= 'a' && row->name[i] <= 'z';

            upper[i] = (char)(row->name[i] - (letter ? 'a' - 'A' : 0));
        }
        resp_put_errorf(out, "ERR unknown subcommand '%.*s'. Try %s HELP.",
                        cmd_quoted(argv[1], CMD_QUOTED_MAX), (const char *)argv[1].data, upper);
        return;
    }
    for (uint32_t i = 1; i < argc && words.len < CMD_QUOTED_MAX; i++) {
        buf_printf(&words, "'%.*s' ", cmd_quoted(argv[i], CMD_QUOTED_MAX - words.len),
                   (const char *)argv[i].data);
    }
    resp_put_errorf(out, "ERR unknown command '%.*s', with args beginning with: %.*s",
                    cmd_quoted(argv[0], CMD_QUOTED_MAX), (const char *)argv[0].data, (int)words.len,
                    words.len == 0 ? "" : (const char *)words.data);
    buf_free(&words);
}

void cmd_reject_arity(struct resp_writer *out, const struct cmd *cmd)
{
    resp_put_errorf(out, "ERR wrong number of arguments for '%s' command", cmd->name);
}

void cmd_run(struct call *c)
{
    CHECK(c->cmd->handler != NULL);
    CHECK(cmd_arity_ok(c->cmd, c->argc));
    CHECK(c->store != NULL);
    store_set_access(c->store, c->access_s);
    c->cmd->handler(c);
}
