/* server_file.h - files that a person wrote for the node: its configuration, its keys. */
#ifndef SERVER_FILE_H
#define SERVER_FILE_H
#include "base/base_bytes.h"
#include "seal/seal.h"

/* The whole file, appended to out. ERR_BAD_ARGUMENT: it cannot be read, or is larger than most;
 * why names it and the flag. */
MUST_USE enum err server_file_read(const char *flag, const char *path, size_t most, struct buf *out,
                                   struct diag *why);
/* The file of --gossip-key; a warning is logged where others may read it. Nothing of it stays in
 * memory but keys, which the caller wipes. ERR_BAD_ARGUMENT: why names the line, never its text. */
MUST_USE enum err server_keys_read(const char *path, struct seal_keys *keys, struct diag *why);
#endif
