/* cmd_handlers.h - one handler for each row of the table that has one.
 *
 * cmd_get answers GET, cmd_object_encoding answers OBJECT ENCODING, and so on; the
 * file is that of the family (cmd_string.c, cmd_bitmap.c, cmd_hash.c, cmd_key.c ...).
 * Arity was checked before. A handler reads and writes only through its call.
 */
#ifndef CMD_HANDLERS_H
#define CMD_HANDLERS_H
#include "cmd/cmd.h"

/* Rows without a handler all declare this name; nobody defines or calls it. */
#define CMD_NO_HANDLER cmd_no_handler
#define CMD(id, number, name, arity, flags, first, last, step, handler, ...)                       \
    void handler(struct call *c);
#include "cmd/cmd_table.def"
#undef CMD
#undef CMD_NO_HANDLER
#endif
