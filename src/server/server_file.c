/* server_file.c - files that a person wrote for the node. */
#include "server/server_file.h"

#include "port/port.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STEP_BYTES = 65536, KEYS_BYTES_MAX = 16384 };

enum err server_file_read(const char *flag, const char *path, size_t most, struct buf *out,
                          struct diag *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    enum err err = ERR_OK;
    size_t before = out->len;
    ssize_t n = 1;

    if (fd < 0) {
        diag_set(why, "cannot open %s %s: %s", flag, path, strerror(errno));
        return ERR_BAD_ARGUMENT;
    }
    while (n > 0 && out->len - before <= most) {
        buf_reserve(out, STEP_BYTES);
        n = read(fd, out->data + out->len, STEP_BYTES);
        out->len += n > 0 ? (size_t)n : 0;
    }
    if (n < 0) {
        diag_set(why, "cannot read %s %s: %s", flag, path, strerror(errno));
        err = ERR_BAD_ARGUMENT;
    } else if (out->len - before > most) {
        diag_set(why, "cannot read %s %s: larger than %zu KiB", flag, path, most / 1024);
        err = ERR_BAD_ARGUMENT;
    }
    (void)close(fd);
    return err;
}

enum err server_keys_read(const char *path, struct seal_keys *keys, struct diag *why)
{
    struct buf text = {0};
    struct stat st;
    enum err err;

    buf_reserve(&text, STEP_BYTES + KEYS_BYTES_MAX); /* it does not move: one place to wipe */
    err = server_file_read("--gossip-key", path, KEYS_BYTES_MAX, &text, why);
    if (err == ERR_OK && seal_keys_parse(keys, path, buf_slice(&text), why) != ERR_OK) {
        err = ERR_BAD_ARGUMENT;
    }
    seal_wipe(text.data, text.cap);
    buf_free(&text);
    if (err == ERR_OK && stat(path, &st) == 0 && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        port_log(NODE_LOG_WARN, "others may read the keys; chmod 600 it file=%s", path);
    }
    return err;
}
