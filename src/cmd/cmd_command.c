/* cmd_command.c - COMMAND and the HELP of every container, told from the rows. */
#include "cmd/cmd.h"

enum {
    CMD_KEY_SPECS_MAX = 2,
    CMD_INFO_FIELDS = 10, /* of each entry of COMMAND INFO */
};

/* Beyond cmd_table.def; lists of words are separated by single spaces. */
struct cmd_key_spec {
    const char *flags;
    int first, last, step; /* last counts from first; -1: the last argument */
    const char *note;      /* or NULL */
};
struct cmd_info {
    enum cmd_id id;
    const char *flags, *categories, *tips;
    struct cmd_key_spec keys[CMD_KEY_SPECS_MAX]; /* unused: flags NULL */
};
#define KEYS(flags, first, last, step, note)                                                       \
    {                                                                                              \
        flags, first, last, step, note                                                             \
    }
#define KEYS_NONE KEYS(NULL, 0, 0, 0, NULL)
#define INFO(id, flags, categories, tips, ...)                                                     \
    {CMD_ID_##id, flags, categories, tips, {__VA_ARGS__}},
#define DEPRECATED(id, since, by)
static const struct cmd_info cmd_infos[] = {
#include "cmd/cmd_info.def"
};
#undef INFO
#undef DEPRECATED
#undef KEYS
#undef KEYS_NONE

static const struct cmd_deprecated {
    enum cmd_id id;
    const char *since, *by;
} cmd_deprecations[] = {
#define INFO(...)
#define DEPRECATED(id, since, by) {CMD_ID_##id, since, by},
#include "cmd/cmd_info.def"
#undef INFO
#undef DEPRECATED
};

static const struct cmd_help_text {
    enum cmd_id id;
    const char *lines[48];
} cmd_help_texts[] = {
#define HELP(id, ...) {CMD_ID_##id, {__VA_ARGS__}},
#include "cmd/cmd_help.def"
#undef HELP
};

static const struct cmd_info *cmd_info_of(const struct cmd *row)
{
    for (size_t i = 0; i < ARRAY_COUNT(cmd_infos); i++) {
        if (cmd_infos[i].id == row->id) {
            return &cmd_infos[i];
        }
    }
    UNREACHABLE("every row of cmd_table.def has one in cmd_info.def");
}

/* Rows a client may know of. */
static bool cmd_shown(const struct cmd *row)
{
    return (row->flags & CMD_INTERNAL) == 0;
}

static size_t cmd_words(const char *words)
{
    size_t count = words[0] != '\0';

    for (const char *p = words; *p != '\0'; p++) {
        count += *p == ' ';
    }
    return count;
}

/* A set of words, each with a prefix; as simple strings, or bulk. */
static void cmd_put_words(struct resp_writer *out, const char *words, const char *prefix, bool bulk)
{
    resp_put_set(out, cmd_words(words));
    while (*words != '\0') {
        size_t len = strcspn(words, " ");
        char text[80];
        size_t at = strlen(prefix);

        CHECK(at + len < sizeof(text));
        memcpy(text, prefix, at);
        memcpy(text + at, words, len);
        text[at + len] = '\0';
        if (bulk) {
            resp_put_bulk_str(out, text);
        } else {
            resp_put_simple(out, text);
        }
        words += len;
        words += *words == ' ';
    }
}

static size_t cmd_subcommands(const struct cmd *container)
{
    size_t count = 0;

    for (size_t i = 0; i < cmd_count(); i++) {
        count += cmd_at(i)->container == container;
    }
    return count;
}

/* --- COMMAND INFO ------------------------------------------------------------ */

static void cmd_put_key_spec(struct resp_writer *out, const struct cmd_key_spec *k)
{
    resp_put_map(out, k->note == NULL ? 3 : 4);
    if (k->note != NULL) {
        resp_put_bulk_str(out, "notes");
        resp_put_bulk_str(out, k->note);
    }
    resp_put_bulk_str(out, "flags");
    cmd_put_words(out, k->flags, "", false);
    resp_put_bulk_str(out, "begin_search");
    resp_put_map(out, 2);
    resp_put_bulk_str(out, "type");
    resp_put_bulk_str(out, "index");
    resp_put_bulk_str(out, "spec");
    resp_put_map(out, 1);
    resp_put_bulk_str(out, "index");
    resp_put_int(out, k->first);
    resp_put_bulk_str(out, "find_keys");
    resp_put_map(out, 2);
    resp_put_bulk_str(out, "type");
    resp_put_bulk_str(out, "range");
    resp_put_bulk_str(out, "spec");
    resp_put_map(out, 3);
    resp_put_bulk_str(out, "lastkey");
    resp_put_int(out, k->last);
    resp_put_bulk_str(out, "keystep");
    resp_put_int(out, k->step);
    resp_put_bulk_str(out, "limit");
    resp_put_int(out, 0);
}

/* One entry without the list of its subcommands, which the caller adds. */
static void cmd_put_info_head(struct resp_writer *out, const struct cmd *row)
{
    const struct cmd_info *info = cmd_info_of(row);
    size_t specs = 0;

    while (specs < CMD_KEY_SPECS_MAX && info->keys[specs].flags != NULL) {
        specs++;
    }
    resp_put_array(out, CMD_INFO_FIELDS);
    resp_put_bulk_str(out, row->name);
    resp_put_int(out, row->arity);
    cmd_put_words(out, info->flags, "", false);
    resp_put_int(out, row->first_key);
    resp_put_int(out, row->last_key);
    resp_put_int(out, row->key_step);
    cmd_put_words(out, info->categories, "@", false);
    cmd_put_words(out, info->tips, "", true);
    resp_put_set(out, specs);
    for (size_t i = 0; i < specs; i++) {
        cmd_put_key_spec(out, &info->keys[i]);
    }
}

static void cmd_put_info(struct resp_writer *out, const struct cmd *row)
{
    size_t subcommands = row == NULL ? 0 : cmd_subcommands(row);

    if (row == NULL || !cmd_shown(row)) {
        resp_put_null(out);
        return;
    }
    cmd_put_info_head(out, row);
    if (subcommands == 0) {
        resp_put_set(out, 0);
        return;
    }
    resp_put_array(out, subcommands);
    for (size_t i = 0; i < cmd_count(); i++) {
        if (cmd_at(i)->container == row) {
            cmd_put_info_head(out, cmd_at(i));
            resp_put_set(out, 0);
        }
    }
}

/* Rows that are not subcommands. */
static size_t cmd_top_rows(void)
{
    size_t count = 0;

    for (size_t i = 0; i < cmd_count(); i++) {
        count += cmd_shown(cmd_at(i)) && cmd_at(i)->container == NULL;
    }
    return count;
}

static void cmd_command_info(struct resp_writer *out, uint32_t argc, const struct slice *argv)
{
    if (argc <= 2) {
        resp_put_array(out, cmd_top_rows());
        for (size_t i = 0; i < cmd_count(); i++) {
            if (cmd_shown(cmd_at(i)) && cmd_at(i)->container == NULL) {
                cmd_put_info(out, cmd_at(i));
            }
        }
        return;
    }
    resp_put_array(out, argc - 2);
    for (uint32_t i = 2; i < argc; i++) {
        cmd_put_info(out, cmd_by_name(argv[i]));
    }
}

/* --- COMMAND DOCS ------------------------------------------------------------ */

static void cmd_put_pair(struct resp_writer *out, const char *name, const char *value)
{
    resp_put_bulk_str(out, name);
    resp_put_bulk_str(out, value);
}

/* Name, then a map; of `more` further entries the caller adds the rest. */
static void cmd_put_docs_head(struct resp_writer *out, const struct cmd *row, size_t more)
{
    const struct cmd_deprecated *old = NULL;

    for (size_t i = 0; i < ARRAY_COUNT(cmd_deprecations); i++) {
        if (cmd_deprecations[i].id == row->id) {
            old = &cmd_deprecations[i];
        }
    }
    resp_put_bulk_str(out, row->name);
    resp_put_map(out, 4 + (old == NULL ? 0U : 3U) + more);
    cmd_put_pair(out, "summary", row->summary);
    cmd_put_pair(out, "since", row->since);
    cmd_put_pair(out, "group", row->group);
    cmd_put_pair(out, "complexity", row->complexity);
    if (old != NULL) {
        resp_put_bulk_str(out, "doc_flags");
        resp_put_set(out, 1);
        resp_put_simple(out, "deprecated");
        cmd_put_pair(out, "deprecated_since", old->since);
        cmd_put_pair(out, "replaced_by", old->by);
    }
}

static void cmd_put_docs(struct resp_writer *out, const struct cmd *row)
{
    size_t subcommands = cmd_subcommands(row);

    cmd_put_docs_head(out, row, subcommands > 0 ? 1U : 0U);
    if (subcommands == 0) {
        return;
    }
    resp_put_bulk_str(out, "subcommands");
    resp_put_map(out, subcommands);
    for (size_t i = 0; i < cmd_count(); i++) {
        if (cmd_at(i)->container == row) {
            cmd_put_docs_head(out, cmd_at(i), 0);
        }
    }
}

static void cmd_command_docs(struct resp_writer *out, uint32_t argc, const struct slice *argv)
{
    size_t known = 0;

    if (argc <= 2) {
        resp_put_map(out, cmd_top_rows());
        for (size_t i = 0; i < cmd_count(); i++) {
            if (cmd_shown(cmd_at(i)) && cmd_at(i)->container == NULL) {
                cmd_put_docs(out, cmd_at(i));
            }
        }
        return;
    }
    for (uint32_t i = 2; i < argc; i++) {
        const struct cmd *row = cmd_by_name(argv[i]);

        known += row != NULL && cmd_shown(row) ? 1 : 0;
    }
    resp_put_map(out, known);
    for (uint32_t i = 2; i < argc; i++) {
        const struct cmd *row = cmd_by_name(argv[i]);

        if (row != NULL && cmd_shown(row)) {
            cmd_put_docs(out, row);
        }
    }
}

/* --- COMMAND LIST, GETKEYS --------------------------------------------------- */

static bool cmd_in_category(const struct cmd *row, struct slice category)
{
    const char *words = cmd_info_of(row)->categories;

    while (*words != '\0') {
        size_t len = strcspn(words, " ");

        if (slice_eq_nocase(category, (struct slice){(const uint8_t *)words, len})) {
            return true;
        }
        words += len;
        words += *words == ' ';
    }
    return false;
}

/* Does the row pass FILTERBY kind value? kind is known to be one of the three. */
static bool cmd_passes(const struct cmd *row, struct slice kind, struct slice value)
{
    if (slice_eq_nocase(kind, SLICE("pattern"))) {
        return cmd_glob(value, slice_str(row->name), true);
    }
    return slice_eq_nocase(kind, SLICE("aclcat")) && cmd_in_category(row, value);
}

static void cmd_command_list(struct resp_writer *out, uint32_t argc, const struct slice *argv)
{
    bool filter =
        argc == 5 && slice_eq_nocase(argv[2], SLICE("filterby")) &&
        (slice_eq_nocase(argv[3], SLICE("module")) || slice_eq_nocase(argv[3], SLICE("aclcat")) ||
         slice_eq_nocase(argv[3], SLICE("pattern")));
    size_t count = 0;

    if (argc > 2 && !filter) {
        resp_put_error(out, CMD_ERR_SYNTAX);
        return;
    }
    for (size_t pass = 0; pass < 2; pass++) { /* count them, then name them */
        if (pass == 1) {
            resp_put_array(out, count);
        }
        for (size_t i = 0; i < cmd_count(); i++) {
            const struct cmd *row = cmd_at(i);

            if (!cmd_shown(row) || (filter && !cmd_passes(row, argv[3], argv[4]))) {
                continue;
            }
            if (pass == 0) {
                count++;
            } else {
                resp_put_bulk_str(out, row->name);
            }
        }
    }
}

/* The access flags of the key at pos: those of the specification it falls under. */
static const char *cmd_key_flags(const struct cmd *row, uint32_t argc, uint32_t pos)
{
    const struct cmd_info *info = cmd_info_of(row);

    for (size_t i = 0; i < CMD_KEY_SPECS_MAX && info->keys[i].flags != NULL; i++) {
        int64_t first = info->keys[i].first;
        int64_t last = info->keys[i].last < 0 ? (int64_t)argc + info->keys[i].last
                                              : first + info->keys[i].last;

        if (pos >= first && pos <= last) {
            return info->keys[i].flags;
        }
    }
    UNREACHABLE("a key of the row that no specification covers");
}

static void cmd_command_getkeys(struct resp_writer *out, uint32_t argc, const struct slice *argv,
                                bool with_flags)
{
    const struct slice *full = argv + 2;
    uint32_t full_argc = argc - 2;
    const struct cmd *row = cmd_lookup(full, full_argc);
    uint32_t count = 0;

    if (row == NULL) {
        resp_put_error(out, "ERR Invalid command specified");
        return;
    }
    if (row->first_key == 0) {
        resp_put_error(out, "ERR The command has no key arguments");
        return;
    }
    if (!cmd_arity_ok(row, full_argc)) {
        resp_put_error(out, "ERR Invalid number of arguments specified for command");
        return;
    }
    count = cmd_keys(row, full_argc, full, NULL, 0);
    resp_put_array(out, count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t pos = (uint32_t)row->first_key + i * (uint32_t)row->key_step;

        CHECK(pos < full_argc);
        if (with_flags) {
            resp_put_array(out, 2);
        }
        resp_put_bulk(out, full[pos]);
        if (with_flags) {
            cmd_put_words(out, cmd_key_flags(row, full_argc, pos), "", false);
        }
    }
}

/* --- entries ----------------------------------------------------------------- */

void cmd_help(struct resp_writer *out, const struct cmd *help_row)
{
    const struct cmd_help_text *text = NULL;
    static const char title_end[] = " <subcommand> [<arg> [value] [opt] ...]. Subcommands are:";
    char title[80];
    size_t len = strlen(help_row->container->name);
    size_t lines = 0;

    for (size_t i = 0; i < ARRAY_COUNT(cmd_help_texts); i++) {
        if (cmd_help_texts[i].id == help_row->id) {
            text = &cmd_help_texts[i];
        }
    }
    CHECK(text != NULL);
    while (lines < ARRAY_COUNT(text->lines) && text->lines[lines] != NULL) {
        lines++;
    }
    CHECK(len + sizeof(title_end) <= sizeof(title));
    for (size_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t)help_row->container->name[i];

        title[i] = (char)(c >= 'a' && c <= 'z' ? c - ('a' - 'A') : c);
    }
    memcpy(title + len, title_end, sizeof(title_end));
    resp_put_array(out, lines + 3);
    resp_put_simple(out, title);
    for (size_t i = 0; i < lines; i++) {
        resp_put_simple(out, text->lines[i]);
    }
    resp_put_simple(out, "HELP");
    resp_put_simple(out, "    Prints this help.");
}

void cmd_command(struct resp_writer *out, uint32_t argc, const struct slice *argv)
{
    const struct cmd *row = cmd_lookup(argv, argc);

    CHECK(row != NULL);
    if (row->id == CMD_ID_COMMAND) {
        cmd_command_info(out, 0, argv);
    } else if (row->id == CMD_ID_COMMAND_COUNT) {
        resp_put_int(out, (int64_t)cmd_top_rows());
    } else if (row->id == CMD_ID_COMMAND_DOCS) {
        cmd_command_docs(out, argc, argv);
    } else if (row->id == CMD_ID_COMMAND_INFO) {
        cmd_command_info(out, argc, argv);
    } else if (row->id == CMD_ID_COMMAND_LIST) {
        cmd_command_list(out, argc, argv);
    } else if (row->id == CMD_ID_COMMAND_GETKEYS) {
        cmd_command_getkeys(out, argc, argv, false);
    } else if (row->id == CMD_ID_COMMAND_GETKEYSANDFLAGS) {
        cmd_command_getkeys(out, argc, argv, true);
    } else {
        CHECK(row->id == CMD_ID_COMMAND_HELP);
        cmd_help(out, row);
    }
}
