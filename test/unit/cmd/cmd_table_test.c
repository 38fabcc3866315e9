/* The rows: finding them, their keys, their errors, their log bytes, and COMMAND. */
#include "cmd_transcript.h"

#include "base/base_mem.h"

/* Words of `text` into argv, borrowed; returns how many. */
static uint32_t split(const char *text, struct slice *argv)
{
    uint32_t argc = 0;

    while (*text != '\0') {
        size_t len = strcspn(text, " ");

        argv[argc++] = (struct slice){(const uint8_t *)text, len};
        text += len;
        text += *text == ' ';
    }
    return argc;
}

static void rows_are_found(void **state)
{
    static const struct {
        const char *words;
        enum cmd_id id;
    } rows[] = {
        {"get", CMD_ID_GET},
        {"GET", CMD_ID_GET},
        {"gEt k", CMD_ID_GET},
        {"ge", CMD_ID_NONE},
        {"gett", CMD_ID_NONE},
        {"INCRBYFLOAT", CMD_ID_INCRBYFLOAT},
        {"INCRBYFLOAs", CMD_ID_NONE},
        {"bitfield_ro", CMD_ID_BITFIELD_RO},
        {"bitfield\x7fro", CMD_ID_NONE}, /* differs in the bit that letters ignore */
        {"BITFIELD_RO", CMD_ID_BITFIELD_RO},
        {"config", CMD_ID_CONFIG},
        {"config get", CMD_ID_CONFIG_GET},
        {"CONFIG GET x", CMD_ID_CONFIG_GET},
        {"config foo", CMD_ID_NONE},
        {"config|get", CMD_ID_NONE}, /* not how a client says it */
        {"object get", CMD_ID_NONE}, /* a subcommand of another container */
        {"command", CMD_ID_COMMAND},
        {"client no-evict on", CMD_ID_CLIENT_NO_EVICT},
        {"cluster count-failure-reports", CMD_ID_CLUSTER_COUNT_FAILURE_REPORTS},
        {"cluster countkeysinslot", CMD_ID_CLUSTER_COUNTKEYSINSLOT},
        {"synod.expire 1", CMD_ID_NONE}, /* internal */
        {"synod status", CMD_ID_SYNOD_STATUS},
        {"averyveryverylongnamethatnobodyhasevergiventoanycommandwhatsoever", CMD_ID_NONE},
    };
    struct slice empty = {(const uint8_t *)"", 0};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct slice argv[4];
        const struct cmd *row = cmd_lookup(argv, split(rows[i].words, argv));

        if ((row == NULL ? CMD_ID_NONE : row->id) != rows[i].id) {
            fail_msg("%s", rows[i].words);
        }
    }
    assert_null(cmd_lookup(&empty, 1));
    assert_null(cmd_by_name(SLICE("nosuch|get")));
    assert_null(cmd_by_name(SLICE("config|")));
    assert_null(cmd_by_name(SLICE("|get")));
    assert_null(cmd_by_name(SLICE("")));
    assert_int_equal(cmd_by_name(SLICE("Config|Get"))->id, CMD_ID_CONFIG_GET);
    assert_int_equal(cmd_by_name(SLICE("synod.expire"))->id, CMD_ID_SYNOD_EXPIRE);
    assert_null(cmd_by_id(CMD_ID_NONE));
    assert_null(cmd_by_id((enum cmd_id)100000));
}

/* What must hold of every row. */
static void rows_are_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i < cmd_count(); i++) {
        const struct cmd *row = cmd_at(i);
        bool served = row->handler != NULL;

        if (cmd_by_name(slice_str(row->name)) != row || cmd_by_id(row->id) != row) {
            fail_msg("%s is not found again", row->name);
        }
        for (const char *p = row->name; *p != '\0'; p++) {
            assert_false(*p >= 'A' && *p <= 'Z');
        }
        assert_true(row->arity != 0);
        assert_true(row->summary[0] != '\0' && row->complexity[0] != '\0');
        assert_true(row->group[0] != '\0' && row->since[0] != '\0');
        assert_true((row->first_key == 0) == (row->key_step == 0));
        /* Read, write, or not for the store: exactly one. */
        assert_int_equal(((row->flags & CMD_READ) != 0) + ((row->flags & CMD_WRITE) != 0) +
                             ((row->flags & (CMD_NODE | CMD_CONTAINER)) != 0),
                         1);
        assert_true(served == ((row->flags & (CMD_READ | CMD_WRITE)) != 0));
        if ((row->flags & CMD_WRITE) != 0 && (row->flags & CMD_INTERNAL) == 0) {
            assert_true(row->first_key > 0 || (row->flags & CMD_FANOUT) != 0);
        }
        if ((row->flags & CMD_DENYOOM) != 0) {
            assert_true((row->flags & CMD_WRITE) != 0);
        }
    }
}

/* Numbers are in logs that exist: this table may grow, never change. */
static const struct {
    const char *name;
    int number;
} frozen[] = {
    {"set", 1},
    {"get", 2},
    {"setnx", 3},
    {"setex", 4},
    {"psetex", 5},
    {"getset", 6},
    {"getdel", 7},
    {"getex", 8},
    {"append", 9},
    {"strlen", 10},
    {"incr", 11},
    {"decr", 12},
    {"incrby", 13},
    {"decrby", 14},
    {"incrbyfloat", 15},
    {"getrange", 16},
    {"substr", 17},
    {"setrange", 18},
    {"mget", 19},
    {"mset", 20},
    {"msetnx", 21},
    {"lcs", 22},
    {"setbit", 40},
    {"getbit", 41},
    {"bitcount", 42},
    {"bitpos", 43},
    {"bitop", 44},
    {"bitfield", 45},
    {"bitfield_ro", 46},
    {"hset", 50},
    {"hsetnx", 51},
    {"hget", 52},
    {"hmset", 53},
    {"hmget", 54},
    {"hincrby", 55},
    {"hincrbyfloat", 56},
    {"hdel", 57},
    {"hlen", 58},
    {"hstrlen", 59},
    {"hkeys", 60},
    {"hvals", 61},
    {"hgetall", 62},
    {"hexists", 63},
    {"hscan", 64},
    {"hrandfield", 65},
    {"del", 80},
    {"unlink", 81},
    {"exists", 82},
    {"type", 83},
    {"expire", 84},
    {"pexpire", 85},
    {"expireat", 86},
    {"pexpireat", 87},
    {"expiretime", 88},
    {"pexpiretime", 89},
    {"persist", 90},
    {"ttl", 91},
    {"pttl", 92},
    {"touch", 93},
    {"copy", 94},
    {"rename", 95},
    {"renamenx", 96},
    {"flushall", 114},
    {"flushdb", 115},
    {"synod.expire", 127},
};

static void numbers_are_frozen(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(frozen); i++) {
        const struct cmd *row = cmd_by_name(slice_str(frozen[i].name));

        assert_non_null(row);
        assert_int_equal(row->id, frozen[i].number);
    }
}

static void arity(void **state)
{
    (void)state;
    assert_false(cmd_arity_ok(cmd_by_id(CMD_ID_GET), 1));
    assert_true(cmd_arity_ok(cmd_by_id(CMD_ID_GET), 2));
    assert_false(cmd_arity_ok(cmd_by_id(CMD_ID_GET), 3));
    assert_false(cmd_arity_ok(cmd_by_id(CMD_ID_SET), 2));
    assert_true(cmd_arity_ok(cmd_by_id(CMD_ID_SET), 3));
    assert_true(cmd_arity_ok(cmd_by_id(CMD_ID_SET), 1 << 20));
    assert_true(cmd_arity_ok(cmd_by_id(CMD_ID_COMMAND), 1));
    assert_false(cmd_arity_ok(cmd_by_id(CMD_ID_CONFIG), 1));
}

static void keys_are_found(void **state)
{
    static const struct {
        const char *words;
        uint32_t count;
        uint32_t pos[4];
    } rows[] = {
        {"get a", 1, {1}},
        {"get", 0, {0}},
        {"ping", 0, {0}},
        {"set a b ex 1", 1, {1}},
        {"del a", 1, {1}},
        {"del a b c", 3, {1, 2, 3}},
        {"mset a 1 b 2", 2, {1, 3}},
        {"mset a 1 b", 2, {1, 3}},
        {"lcs a b len", 2, {1, 2}},
        {"bitop and d a b", 3, {2, 3, 4}},
        {"bitop not d a", 2, {2, 3}},
        {"copy a b replace", 2, {1, 2}},
        {"rename a b", 2, {1, 2}},
        {"object encoding a", 1, {2}},
        {"memory usage a samples 0", 1, {2}},
        {"scan 0", 0, {0}},
        {"cluster keyslot a", 0, {0}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct slice argv[8];
        uint32_t argc = split(rows[i].words, argv);
        const struct cmd *row = cmd_lookup(argv, argc);
        uint32_t pos[4] = {0};
        uint32_t one[1] = {0};

        assert_non_null(row);
        if (cmd_keys(row, argc, argv, pos, 4) != rows[i].count ||
            memcmp(pos, rows[i].pos, sizeof(pos)) != 0) {
            fail_msg("%s", rows[i].words);
        }
        assert_int_equal(cmd_keys(row, argc, argv, one, 1), rows[i].count);
        assert_int_equal(one[0], rows[i].pos[0]);
    }
}

static void rejections(void **state)
{
#define X128                                                                                       \
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"                             \
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
    static const struct transcript_row rows[] = {
        {"foo", "-ERR unknown command 'foo', with args beginning with: "},
        {"foo a b", "-ERR unknown command 'foo', with args beginning with: 'a' 'b' "},
        {"foo a\\x0d\\x0ab", "-ERR unknown command 'foo', with args beginning with: 'a  b' "},
        {"foo a\\x00b c", "-ERR unknown command 'foo', with args beginning with: 'a' 'c' "},
        {"\"\"", "-ERR unknown command '', with args beginning with: "},
        {X128 "y", "-ERR unknown command '" X128 "', with args beginning with: "},
        {"foo " X128 "y z", "-ERR unknown command 'foo', with args beginning with: '" X128 "' "},
        {"foo 0123456789 " X128,
         "-ERR unknown command 'foo', with args beginning with: '0123456789' "
         "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
         "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' "},
        {"config", "-ERR wrong number of arguments for 'config' command"},
        {"config get", "-ERR wrong number of arguments for 'config|get' command"},
        {"config Foo x", "-ERR unknown subcommand 'Foo'. Try CONFIG HELP."},
        {"config " X128 "y", "-ERR unknown subcommand '" X128 "'. Try CONFIG HELP."},
        {"config|get x", "-ERR unknown command 'config|get', with args beginning with: 'x' "},
        {"get", "-ERR wrong number of arguments for 'get' command"},
        {"GET a b", "-ERR wrong number of arguments for 'get' command"},
    };
    (void)state;
    TRANSCRIPT_CHECK(rows);
}

/* --- codec ------------------------------------------------------------------- */

static void codec_round_trip(void **state)
{
    static const char *const commands[] = {
        "set a b",      "del a b c d e f g h i j k l m n o p q r s t u v",
        "flushall",     "object encoding k",
        "mset a 1 b 2", "synod.expire 100"};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        struct slice argv[32];
        uint32_t argc = split(commands[i], argv);
        const struct cmd *row = i == 5 ? cmd_by_id(CMD_ID_SYNOD_EXPIRE) : cmd_lookup(argv, argc);
        struct cmd_decoded d;
        struct buf out = {0};

        cmd_encode(&out, row, argc, argv);
        assert_int_equal(out.len, cmd_encoded_bytes(row, argc, argv));
        assert_int_equal(cmd_decode(buf_slice(&out), &d), ERR_OK);
        assert_ptr_equal(d.cmd, row);
        assert_int_equal(d.argc, argc);
        for (uint32_t k = 0; k < argc; k++) {
            assert_true(slice_eq(d.argv[k], argv[k]));
        }
        cmd_decoded_free(&d);
        for (size_t len = 0; len < out.len; len++) { /* cut anywhere: refused */
            uint8_t *copy = mem_alloc(len);

            memcpy(copy, out.data, len);
            assert_int_equal(cmd_decode((struct slice){copy, len}, &d), ERR_BAD_INPUT);
            cmd_decoded_free(&d);
            mem_free(copy);
        }
        put_u8(&out, 0); /* and nothing may follow */
        assert_int_equal(cmd_decode(buf_slice(&out), &d), ERR_BAD_INPUT);
        buf_free(&out);
    }
}

static void codec_vectors(void **state)
{
    static const struct {
        const char *name;
        struct slice bytes;
        enum err want;
    } rows[] = {
#define ROW(name, bytes, want) {name, {(const uint8_t *)(bytes), sizeof(bytes) - 1}, want}
        ROW("set a bc, for ever",
            "\x01\x02\x01"
            "a\x02"
            "bc",
            ERR_OK),
        ROW("flushall", "\x72\x00", ERR_OK),
        ROW("no number", "", ERR_BAD_INPUT),
        ROW("number 0", "\x00\x00", ERR_BAD_INPUT),
        ROW("number of no row", "\x7e\x00", ERR_BAD_INPUT),
        ROW("number beyond all", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00", ERR_BAD_INPUT),
        ROW("row of the node room: ping", "\x80\x02\x00", ERR_BAD_INPUT),
        ROW("container: object", "\x61\x01\x01x", ERR_BAD_INPUT),
        ROW("too few arguments",
            "\x01\x01\x01"
            "a",
            ERR_BAD_INPUT),
        ROW("too many arguments",
            "\x02\x02\x01"
            "a\x01"
            "b",
            ERR_BAD_INPUT),
        ROW("announces more than there is", "\x50\x7f\x00", ERR_BAD_INPUT),
        ROW("announces a million", "\x50\xff\xff\x3f\x00", ERR_BAD_INPUT),
#undef ROW
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct cmd_decoded d;

        if (cmd_decode(rows[i].bytes, &d) != rows[i].want) {
            fail_msg("%s", rows[i].name);
        }
        cmd_decoded_free(&d);
    }
}

/* Hostile bytes: decode refuses, or gives what may be run. */
static void codec_takes_any_bytes(void **state)
{
    struct prng rng = {9};

    (void)state;
    for (int i = 0; i < 200000; i++) {
        uint8_t bytes[24];
        size_t len = prng_below(&rng, sizeof(bytes) + 1);
        struct cmd_decoded d;

        for (size_t k = 0; k < len; k++) {
            bytes[k] = (uint8_t)(prng_chance(&rng, 1, 2) ? prng_below(&rng, 4) : prng_next(&rng));
        }
        if (cmd_decode((struct slice){bytes, len}, &d) == ERR_OK) {
            assert_non_null(d.cmd->handler);
            assert_true(cmd_arity_ok(d.cmd, d.argc));
        }
        cmd_decoded_free(&d);
    }
}

/* --- COMMAND ----------------------------------------------------------------- */

static void command_check(const struct transcript_row *rows, size_t count, uint8_t proto)
{
    struct transcript t;

    transcript_init(&t);
    for (size_t i = 0; i < count; i++) {
        struct slice argv[16];
        uint32_t argc = split(rows[i].command, argv);
        struct resp_writer w = {&t.out, proto, false};

        t.out.len = 0;
        cmd_command(&w, argc, argv);
        if (strcmp(transcript_reply(&t), rows[i].reply) != 0) {
            print_error("%s\n  want %s\n  got  %s\n", rows[i].command, rows[i].reply,
                        (const char *)t.out.data);
            fail();
        }
    }
    transcript_free(&t);
}

#define INDEX_SPEC(at) "$12 begin_search %2 $4 type $5 index $4 spec %1 $5 index :" at
#define RANGE_SPEC(last)                                                                           \
    "$9 find_keys %2 $4 type $5 range $4 spec %3 $7 lastkey :" last " $7 keystep :1 $5 limit :0"

static void command_replies(void **state)
{
    static const struct transcript_row three[] = {
        {"COMMAND INFO get nosuch synod.expire",
         "*3 *10 $3 get :2 ~2 +readonly +fast :1 :1 :1 ~3 +@read +@string +@fast ~0 "
         "~1 %3 $5 flags ~2 +RO +access " INDEX_SPEC("1") " " RANGE_SPEC("0") " ~0 _ _"},
        {"COMMAND INFO bitop",
         "*1 *10 $5 bitop :-4 ~2 +write +denyoom :2 :-1 :1 ~3 +@write +@bitmap +@slow ~0 "
         "~2 %3 $5 flags ~2 +OW +update " INDEX_SPEC("2") " " RANGE_SPEC(
             "0") " "
                  "%3 $5 flags ~2 +RO +access " INDEX_SPEC("3") " " RANGE_SPEC("-1") " ~0"},
        {"COMMAND INFO config|SET",
         "*1 *10 $10 config|set :-4 ~4 +admin +noscript +loading +stale :0 :0 :0 "
         "~3 +@admin +@slow +@dangerous "
         "~2 $24 request_policy:all_nodes $29 response_policy:all_succeeded ~0 ~0"},
        {"COMMAND DOCS get nosuch",
         "%1 $3 get %4 $7 summary $22 Get the value of a key $5 since $5 1.0.0 $5 group $6 string "
         "$10 complexity $4 O(1)"},
        {"COMMAND DOCS getset",
         "%1 $6 getset %7 $7 summary $54 Set the string value of a key and return its old value "
         "$5 since $5 1.0.0 $5 group $6 string $10 complexity $4 O(1) $9 doc_flags ~1 +deprecated "
         "$16 deprecated_since $5 6.2.0 $11 replaced_by $30 `SET` with the `!GET` argument"},
        {"COMMAND DOCS nosuch", "%0"},
        {"COMMAND GETKEYSANDFLAGS bitop and a b c",
         "*3 *2 $1 a ~2 +OW +update *2 $1 b ~2 +RO +access *2 $1 c ~2 +RO +access"},
    };
    static const struct transcript_row two[] = {
        {"COMMAND INFO nosuch", "*1 $-1"},
        {"COMMAND GETKEYS get a", "*1 $1 a"},
        {"COMMAND GETKEYS MSET a 1 b 2", "*2 $1 a $1 b"},
        {"COMMAND GETKEYS object encoding b", "*1 $1 b"},
        {"COMMAND GETKEYS get", "-ERR Invalid number of arguments specified for command"},
        {"COMMAND GETKEYS ping", "-ERR The command has no key arguments"},
        {"COMMAND GETKEYS nosuch a", "-ERR Invalid command specified"},
        {"COMMAND LIST FILTERBY pattern CONF*",
         "*6 $6 config $10 config|get $10 config|set $16 config|resetstat $14 config|rewrite "
         "$11 config|help"},
        {"COMMAND LIST FILTERBY ACLCAT bitmap",
         "*7 $6 setbit $6 getbit $8 bitcount $6 bitpos $5 bitop $8 bitfield $11 bitfield_ro"},
        {"COMMAND LIST FILTERBY ACLCAT @bitmap", "*0"},
        {"COMMAND LIST FILTERBY MODULE json", "*0"},
        {"COMMAND LIST FILTERBY pattern synod.*", "*0"},
        {"COMMAND LIST FILTERBY foo x", "-ERR syntax error"},
        {"COMMAND LIST foo", "-ERR syntax error"},
        {"COMMAND LIST FILTERBY pattern", "-ERR syntax error"},
    };

    (void)state;
    command_check(three, ARRAY_COUNT(three), 3);
    command_check(two, ARRAY_COUNT(two), 2);
}

/* Every list COMMAND gives is whole RESP, and they agree on how many rows there are. */
static void command_lists_agree(void **state)
{
    static const char *const lists[] = {"COMMAND", "COMMAND INFO", "COMMAND DOCS", "COMMAND LIST",
                                        "COMMAND HELP"};
    size_t top = 0;
    size_t all = 0;

    (void)state;
    for (size_t i = 0; i < cmd_count(); i++) {
        bool shown = (cmd_at(i)->flags & CMD_INTERNAL) == 0;

        all += shown ? 1U : 0U;
        top += shown && cmd_at(i)->container == NULL ? 1U : 0U;
    }
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++) {
        struct slice argv[2];
        uint32_t argc = split(lists[i], argv);
        struct buf out = {0};
        struct resp_writer w = {&out, 3, false};
        struct resp_item item;
        struct diag why;
        size_t used;

        cmd_command(&w, argc, argv);
        assert_int_equal(resp_value_bytes(out.data, out.len, &used, &why), RESP_DONE);
        assert_int_equal(used, out.len);
        assert_int_equal(resp_item_next(out.data, out.len, &item, &used, &why), RESP_DONE);
        if (i < 4) {
            assert_int_equal(item.count, i == 3 ? all : top);
        }
        buf_free(&out);
    }
}

static void every_help_is_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < cmd_count(); i++) {
        const struct cmd *row = cmd_at(i);
        size_t len = strlen(row->name);

        if (len > 5 && strcmp(row->name + len - 5, "|help") == 0) {
            struct buf out = {0};
            struct resp_writer w = {&out, 2, false};
            struct diag why;
            size_t used;

            cmd_help(&w, row);
            assert_int_equal(resp_value_bytes(out.data, out.len, &used, &why), RESP_DONE);
            assert_int_equal(used, out.len);
            buf_free(&out);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_found),        cmocka_unit_test(rows_are_sound),
        cmocka_unit_test(numbers_are_frozen),    cmocka_unit_test(arity),
        cmocka_unit_test(keys_are_found),        cmocka_unit_test(rejections),
        cmocka_unit_test(codec_round_trip),      cmocka_unit_test(codec_vectors),
        cmocka_unit_test(codec_takes_any_bytes), cmocka_unit_test(command_replies),
        cmocka_unit_test(command_lists_agree),   cmocka_unit_test(every_help_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
