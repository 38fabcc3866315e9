/* server.h - one node as a process: options, directory, signals, log, end. */
#ifndef SERVER_H
#define SERVER_H

/* argv: what follows the word `server`. The exit status: 0 after a clean stop or
 * --help, 1 when the node could not start or go on (a sentence on stderr says
 * why), 2 for wrong usage. */
int server_main(int argc, char **argv);
#endif
