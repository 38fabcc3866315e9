/* cmd_codec.c - a command as log bytes.
 *
 * varint number of the row | varint count of the arguments after the name | for each
 * varint length, bytes. Of a subcommand the name is that of its container, so its
 * own name is the first argument. docs/format/command.md
 */
#include "cmd/cmd.h"

#include "base/base_mem.h"

enum { CMD_ARGS_MAX = 1 << 20 };

size_t cmd_encoded_bytes(const struct cmd *cmd, uint32_t argc, const struct slice *argv)
{
    size_t bytes;

    CHECK(argc > 0);
    bytes = varint_bytes((uint64_t)cmd->id) + varint_bytes(argc - 1);
    for (uint32_t i = 1; i < argc; i++) {
        bytes += varint_bytes(argv[i].len) + argv[i].len;
    }
    return bytes;
}

void cmd_encode(struct buf *out, const struct cmd *cmd, uint32_t argc, const struct slice *argv)
{
    size_t bytes = cmd_encoded_bytes(cmd, argc, argv);
    size_t before = out->len;

    CHECK(cmd_arity_ok(cmd, argc));
    buf_reserve(out, bytes);
    put_varint(out, (uint64_t)cmd->id);
    put_varint(out, argc - 1);
    for (uint32_t i = 1; i < argc; i++) {
        put_bytes(out, argv[i]);
    }
    CHECK(out->len - before == bytes);
}

/* What stood in argv[0]: the row's name up to its '|'. */
static struct slice cmd_first_word(const struct cmd *cmd)
{
    const char *name = cmd->container == NULL ? cmd->name : cmd->container->name;

    return slice_str(name);
}

enum err cmd_decode(struct slice data, struct cmd_decoded *out)
{
    struct reader r = reader_of(data.data, data.len);
    uint64_t number = get_varint(&r);
    uint64_t count = get_varint(&r);

    *out = (struct cmd_decoded){0};
    if (r.bad || number > UINT32_MAX || count >= CMD_ARGS_MAX || count > reader_left(&r)) {
        return ERR_BAD_INPUT; /* an argument takes a byte at least: no room, no array */
    }
    out->cmd = cmd_by_id((enum cmd_id)number);
    out->argc = (uint32_t)count + 1;
    if (out->cmd == NULL || out->cmd->handler == NULL || !cmd_arity_ok(out->cmd, out->argc)) {
        return ERR_BAD_INPUT;
    }
    out->argv = out->inline_argv;
    if (out->argc > ARRAY_COUNT(out->inline_argv)) {
        out->heap_argv = mem_alloc(out->argc * sizeof(*out->heap_argv));
        out->argv = out->heap_argv;
    }
    out->argv[0] = cmd_first_word(out->cmd);
    for (uint32_t i = 1; i < out->argc; i++) {
        out->argv[i] = get_bytes(&r);
    }
    if (r.bad || reader_left(&r) != 0) {
        cmd_decoded_free(out);
        return ERR_BAD_INPUT;
    }
    return ERR_OK;
}

void cmd_decoded_free(struct cmd_decoded *d)
{
    mem_free(d->heap_argv);
    d->heap_argv = NULL;
    d->argv = NULL;
}
