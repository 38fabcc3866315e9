/* server_options.h - what one node is told at its start: flags and a file.
 *
 * Flags and the lines of the file ("listen 127.0.0.1:7001") have the same names,
 * from one table; a flag wins over the file. Pure: reads no file, prints nothing. */
#ifndef SERVER_OPTIONS_H
#define SERVER_OPTIONS_H
#include "port/port.h"

struct server_options {
    struct node_config node;
    char dir[256];
    char listen[NODE_ADDR_MAX];
    char peer[NODE_ADDR_MAX];      /* default: listen's host, port + 10000 */
    char advertise[NODE_ADDR_MAX]; /* default: listen */
    char config_file[256];
    char gossip_key[256]; /* a file; "": the keys are made of the cluster's id */
    enum port_io io;
    uint32_t poll_us;
    enum node_log_level log_level;
    bool help;
    bool bootstrap;
    uint64_t given; /* a bit per row of the table */
};
void server_options_init(struct server_options *o);

/* The arguments after the word `server`. ERR_BAD_ARGUMENT: why names the flag and
 * the remedy. */
MUST_USE enum err server_options_flags(struct server_options *o, int argc, char **argv,
                                       struct diag *why);
/* The text of a configuration file, for what no flag has set; name is for messages. */
MUST_USE enum err server_options_text(struct server_options *o, const char *name, struct slice text,
                                      struct diag *why);
/* Check the whole and fill in what follows from the rest. */
MUST_USE enum err server_options_finish(struct server_options *o, struct diag *why);
/* One line per flag, for --help. */
void server_options_help(struct buf *out);

/* "host:port" or "[v6]:port" with a port of 1..65535. port may be NULL. */
bool server_addr_ok(const char *addr, uint32_t *port);
#endif
