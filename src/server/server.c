/* server.c - start and stop of one node's process. */
#include "server/server.h"

#include "base/base_mem.h"
#include "server/server_file.h"
#include "server/server_options.h"

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

static void on_reload_signal(int number)
{
    struct port *p = atomic_load(&signalled);

    (void)number;
    if (p != NULL) { /* otherwise everything is being read anyway */
        port_request_reload(p);
    }
}

static void signals_init(void)
{
    struct sigaction stop = {.sa_handler = on_stop_signal};
    struct sigaction reload = {.sa_handler = on_reload_signal, .sa_flags = SA_RESTART};
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    (void)sigaction(SIGTERM, &stop, NULL);
    (void)sigaction(SIGINT, &stop, NULL);
    (void)sigaction(SIGHUP, &reload, NULL);
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
    enum err err = server_file_read("--config", o->config_file, CONFIG_BYTES_MAX, &text, why);

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

/* What SIGHUP does. A file that cannot be used changes nothing. */
static void reload(struct node *n, void *arg)
{
    const struct server_options *o = arg;
    struct seal_keys keys;
    struct diag why;

    if (o->gossip_key[0] == '\0') {
        port_log(NODE_LOG_INFO, "nothing to read again: there is no --gossip-key");
    } else if (server_keys_read(o->gossip_key, &keys, &why) != ERR_OK) {
        port_log(NODE_LOG_ERROR, "the keys stay as they were reason=\"%s\"", why.text);
    } else {
        node_packet_keys(n, &keys);
        port_log(NODE_LOG_INFO, "the keys were read again count=%u seals=%08x", keys.count,
                 seal_fingerprint(keys.key[0]));
        seal_keys_wipe(&keys);
    }
}

static enum err open_node(struct port *p, const struct server_options *o,
                          const struct disk_boot *boot, struct node **out, struct diag *why)
{
    struct node_config cfg = o->node;
    struct seal_keys keys = {0};
    uint8_t entropy[32];
    enum err err = ERR_OK;

    if (o->gossip_key[0] != '\0') {
        err = server_keys_read(o->gossip_key, &keys, why);
    }
    if (err == ERR_OK) {
        err = port_entropy(entropy, why);
    }
    if (err == ERR_OK && port_packet_addr(p, cfg.peer_addr, &cfg.packet_addr, why) != ERR_OK) {
        port_log(NODE_LOG_WARN, "this node does not gossip until it is started again reason=\"%s\"",
                 why->text);
    }
    if (err == ERR_OK) {
        err = node_open(&cfg, boot, port_now(), entropy, out, why);
    }
    if (err == ERR_OK && keys.count > 0) {
        node_packet_keys(*out, &keys);
    }
    seal_wipe(entropy, sizeof entropy);
    seal_keys_wipe(&keys);
    return err;
}

static enum err run(struct port *p, struct port_dir *d, const struct server_options *o,
                    struct diag *why)
{
    struct disk_boot boot = port_dir_boot(d);
    struct node *n = NULL;
    char id[41];
    enum err err = open_node(p, o, &boot, &n, why);

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
    cfg = (struct port_config){o.io, o.listen, o.peer, o.node.maxclients, o.poll_us, reload, &o};
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
