/* cli.h - the words of the `synod` command, each with the arguments after it.
 * All return the exit status: 0 done, 1 failed, 2 wrong usage. */
#ifndef CLI_H
#define CLI_H

/* A whole local cluster in the foreground, until SIGINT or SIGTERM. */
int cli_demo(int argc, char **argv);
/* Ask a running cluster. */
int cli_cluster(int argc, char **argv);
#endif
