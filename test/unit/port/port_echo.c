/* port_echo.c - the loop under a node that only echoes, to be run by hand under a
 * load generator: port_echo uring|epoll HOST:PORT DIR. Shows what the driver costs. */
#include "base/base_mem.h"
#include "port/port.h"
#include "port_fake_node.h"

#include <signal.h>
#include <stdio.h>

static struct port *running;

static void on_signal(int number)
{
    (void)number;
    port_request_stop(running); /* NOLINT(bugprone-signal-handler): port.h promises it */
}

int main(int argc, char **argv)
{
    struct port_config cfg = {.maxclients = 20000, .peer_listen = "127.0.0.1:22199"};
    struct port_dir *dir;
    struct diag why;
    struct node *n = fake_node_create();

    if (argc != 4) {
        (void)fprintf(stderr, "usage: port_echo uring|epoll HOST:PORT DIR\n");
        return 2;
    }
    cfg.io = strcmp(argv[1], "uring") == 0 ? PORT_IO_URING : PORT_IO_EPOLL;
    cfg.client_listen = argv[2];
    if (port_dir_open(argv[3], &dir, &why) != ERR_OK ||
        port_create(&cfg, dir, &running, &why) != ERR_OK) {
        (void)fprintf(stderr, "port_echo: %s\n", why.text);
        return 1;
    }
    (void)signal(SIGTERM, on_signal);
    (void)signal(SIGINT, on_signal);
    enum err err = port_run(running, n, &why);
    struct fake_counts counts = fake_node_counts(n);

    (void)printf("turns=%llu ticks=%llu sent_reports=%llu disk_done=%llu\n",
                 (unsigned long long)counts.turns, (unsigned long long)counts.ticks,
                 (unsigned long long)counts.sent_reports, (unsigned long long)counts.disk_done);
    port_destroy(running);
    port_dir_close(dir);
    fake_node_destroy(n);
    return err == ERR_OK ? 0 : 1;
}
