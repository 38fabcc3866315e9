/* port.h - the real world under one node: sockets, files, clocks, signals.
 *
 * One loop per worker drives one struct node as node.h says: it collects what
 * happened, reads the clocks, feeds the node, runs the effects. Two backends,
 * io_uring and epoll, look the same from the node. Disk operations run on one
 * thread per lane, in order [docs/decisions/0004-io.md].
 *
 * Owner: the thread that calls port_create and port_run; only port_request_stop
 * and port_request_reload may be called from elsewhere, and from a signal handler.
 */
#ifndef PORT_H
#define PORT_H
#include "node/node.h"

enum port_io { PORT_IO_AUTO, PORT_IO_URING, PORT_IO_EPOLL };

/* ---- clocks and chance (port_sys.c) ---- */
struct node_time port_now(void);
uint64_t port_mono_us(void); /* CLOCK_BOOTTIME: goes on while the machine sleeps */
MUST_USE enum err port_entropy(uint8_t out[32], struct diag *why);
/* Raise the soft limit of open files to the hard one, as far as `want` needs.
 * Returns the limit now in force. */
uint64_t port_raise_files(uint64_t want);

/* ---- log lines (port_log.c) ---- */
/* One line to stderr: time, level, node=, then text as msg="..." and its key=value
 * pairs. Lines below the level set are dropped. */
void port_log_level(enum node_log_level least);
void port_log_node(const char *id); /* the name in node=; at most 15 characters are kept */
void port_log(enum node_log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);
void port_log_text(enum node_log_level level, struct slice text);

/* ---- the data directory (port_dir.c) ---- */
struct port_dir;
/* Create what is missing (mode 0700), lock it for this process, check its format.
 * ERR_BUSY: another process has it; ERR_VERSION: written by a newer one; ERR_IO,
 * ERR_NO_SPACE. why names the directory and the remedy. */
MUST_USE enum err port_dir_open(const char *path, struct port_dir **out, struct diag *why);
void port_dir_close(struct port_dir *d);
/* Readers of the directory, for node_open; valid while d is open. */
struct disk_boot port_dir_boot(struct port_dir *d);

/* ---- the loop (port.c) ---- */
enum { PORT_POLL_US = 200 }; /* measured best on two cores [docs/decisions/0008-poll.md] */
struct port_config {
    enum port_io io;
    const char *client_listen; /* HOST:PORT, [V6]:PORT */
    const char *peer_listen;
    uint32_t maxclients; /* sizes the limit of open files */
    uint64_t poll_us;    /* under load, look for work this long before sleeping; 0: never */
    /* Called inside a turn after port_request_reload, to read again what may have changed and
     * tell n. It may read a small file. NULL: nothing is read again. */
    void (*reload)(struct node *n, void *arg);
    void *reload_arg;
};
struct port;
/* Bind, listen, start the backend and the disk lanes; nothing is accepted yet.
 * d is borrowed and must outlive the port. ERR_EXISTS: an address is in use;
 * ERR_BAD_ARGUMENT: it cannot be used; ERR_REFUSED: io_uring was asked for and
 * the kernel says no. */
MUST_USE enum err port_create(const struct port_config *cfg, struct port_dir *d, struct port **out,
                              struct diag *why);
/* Drive n until it stops. ERR_OK after a clean stop; otherwise what NODE_STOP
 * said. Disk operations already taken are finished before it returns. */
MUST_USE enum err port_run(struct port *p, struct node *n, struct diag *why);
void port_destroy(struct port *p);
/* This node's own address for datagrams, from what others reach it by; waits up to 3 s for name
 * servers. ERR_NOT_FOUND: the name is unknown, or has no address of the family of peer_listen. */
MUST_USE enum err port_packet_addr(const struct port *p, const char *addr, struct swim_addr *out,
                                   struct diag *why);
/* Ask for a clean stop. Async-signal-safe. */
void port_request_stop(struct port *p);
/* Ask for the reload of port_config. Async-signal-safe. */
void port_request_reload(struct port *p);
const char *port_io_name(const struct port *p); /* "uring" or "epoll" */
/* Why io_uring was not taken although `auto` prefers it; "" when it was. */
const char *port_io_note(const struct port *p);
#endif
