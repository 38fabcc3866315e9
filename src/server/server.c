/* server.c - start and stop of one node's process. */
#include "server/server.h"

#include "base/base_mem.h"
#include "server/server_options.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, CONFIG_BYTES_MAX = 1 << 20 };

/* Read by jemalloc when the process starts. Two arenas: the loop allocates nearly all,
 * and memory that one arena holds another cannot use. What is freed goes back after a
 * second, in a thread of its own, so that no turn of the loop pays for it. */
extern const char *malloc_conf;
const char *malloc_conf = "narenas:2,background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0";

/* The one thing a signal handler can reach. */
static _Atomic(struct port *) signalled;
static atomic_uint signals;

static void on_stop_signal(int number)
{
    struct port *p = atomic_load(&signalled);

    (void)number;
    if (atomic_fetch_add(&signals, 1) > 0) {
        _exit(EXIT_FAILED); /* asked twice: at once. Nothing acknowledged is lost. */
    }
    if (p != NULL) {
        port_request_stop(p);
    }
}

static void signals_init(void)
{
    struct sigaction stop = {.sa_handler = on_stop_signal};
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    (void)sigaction(SIGTERM, &stop, NULL);
    (void)sigaction(SIGINT, &stop, NULL);
    (void)sigaction(SIGPIPE, &ignore, NULL);
}

static int fail(const struct diag *why, int status)
{
    (void)fprintf(stderr, "synod: %s\n", why->text);
    return status;
}

static enum err read_config(struct server_options *o, struct diag *why)
{
    struct buf text = {0};
    int fd = open(o->config_file, O_RDONLY | O_CLOEXEC);
    enum err err = ERR_OK;
    ssize_t n = 1;

    if (fd < 0) {
        diag_set(why, "cannot open --config %s: %s", o->config_file, strerror(errno));
        return ERR_BAD_ARGUMENT;
    }
    while (n > 0 && text.len < CONFIG_BYTES_MAX) {
        buf_reserve(&text, 65536);
        n = read(fd, text.data + text.len, 65536);
        text.len += n > 0 ? (size_t)n : 0;
    }
    if (n != 0) {
        diag_set(why, "cannot read --config %s: %s", o->config_file,
                 n < 0 ? strerror(errno) : "larger than 1 MiB");
        err = ERR_BAD_ARGUMENT;
    }
    (void)close(fd);
    if (err == ERR_OK) {
        err = server_options_text(o, o->config_file, buf_slice(&text), why);
    }
    buf_free(&text);
    return err;
}

static void print_help(void)
{
    struct buf out = {0};

    buf_printf(&out, "usage: synod server --dir DIR --listen HOST:PORT [FLAGS]\n");
    server_options_help(&out);
    buf_printf(&out,
               "A first start needs --found, --bootstrap or --join; where DIR already belongs to\n"
               "a cluster they are ignored with a notice. SIGTERM stops cleanly, a second one at\n"
               "once. docs/howto/run.md says more.\n");
    (void)fwrite(out.data, 1, out.len, stdout);
    buf_free(&out);
}

static enum err run(struct port *p, struct port_dir *d, const struct server_options *o,
                    struct diag *why)
{
    struct disk_boot boot = port_dir_boot(d);
    struct node *n = NULL;
    uint8_t entropy[32];
    char id[41];
    struct node_config cfg = o->node;
    enum err err = port_entropy(entropy, why);

    if (port_packet_addr(p, cfg.peer_addr, &cfg.packet_addr, why) != ERR_OK) {
        port_log(NODE_LOG_WARN, "this node does not gossip until it is started again reason=\"%s\"",
                 why->text);
    }
    if (err == ERR_OK) {
        err = node_open(&cfg, &boot, port_now(), entropy, &n, why);
    }
    if (err != ERR_OK) {
        return err;
    }
    mem_trim(); /* of reading the log */
    node_id_text(n, id);
    port_log_node(id);
    port_log(NODE_LOG_INFO, "started pid=%d listen=%s peer=%s dir=%s io=%s", (int)getpid(),
             o->listen, o->peer, o->dir, port_io_name(p));
    if (port_io_note(p)[0] != '\0') {
        port_log(NODE_LOG_WARN, "io_uring is not available; using epoll reason=\"%s\"",
                 port_io_note(p));
    }
    atomic_store(&signalled, p);
    if (atomic_load(&signals) > 0) {
        port_request_stop(p); /* asked while the log was being read */
    }
    err = port_run(p, n, why);
    atomic_store(&signalled, NULL);
    if (err == ERR_OK) {
        port_log(NODE_LOG_INFO, "stopped");
    } else {
        port_log(NODE_LOG_ERROR, "stopped by a failure err=%s reason=\"%s\"", err_name(err),
                 why->text);
    }
    node_close(n);
    return err;
}

int server_main(int argc, char **argv)
{
    struct server_options o;
    struct port_config cfg;
    struct port_dir *dir = NULL;
    struct port *port = NULL;
    struct diag why = {""};
    enum err err;

    server_options_init(&o);
    err = server_options_flags(&o, argc, argv, &why);
    if (err == ERR_OK && o.help) {
        print_help();
        return 0;
    }
    if (err == ERR_OK && o.config_file[0] != '\0') {
        err = read_config(&o, &why);
    }
    if (err == ERR_OK) {
        err = server_options_finish(&o, &why);
    }
    if (err != ERR_OK) {
        return fail(&why, EXIT_USAGE);
    }
    port_log_level(o.log_level);
    signals_init();
    cfg = (struct port_config){o.io, o.listen, o.peer, o.node.maxclients, o.poll_us};
    err = port_dir_open(o.dir, &dir, &why);
    if (err == ERR_OK) {
        err = port_create(&cfg, dir, &port, &why);
    }
    if (err == ERR_OK) {
        err = run(port, dir, &o, &why);
    }
    if (port != NULL) {
        port_destroy(port);
    }
    if (dir != NULL) {
        port_dir_close(dir);
    }
    return err == ERR_OK ? 0 : fail(&why, EXIT_FAILED);
}
