/* cli_main.c - the synod command: picks the word, nothing else. */
#include "cli/cli.h"
#include "server/server.h"
#include "sim/sim.h"

#include <stdio.h>
#include <string.h>

static int help(void)
{
    (void)printf("usage: synod WORD [ARGUMENTS]\n"
                 "  server           one node; `synod server --help` lists its flags\n"
                 "  demo             a whole local cluster in the foreground\n"
                 "  cluster WORD     status, members, drain, leave, ...: `synod cluster --help`\n"
                 "  sim cluster      the simulated cluster; `synod sim --help`\n"
                 "  sim check FILE   judges a recorded history\n"
                 "  sim ring         placements compared; `synod sim ring --help`\n"
                 "  version          the version\n"
                 "Clients are those of Redis: redis-cli -p 7001\n");
    return 0;
}

static int is_any(const char *word, const char *a, const char *b)
{
    return strcmp(word, a) == 0 || strcmp(word, b) == 0;
}

int main(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "help";

    if (strcmp(word, "server") == 0) {
        return server_main(argc - 2, argv + 2);
    }
    if (strcmp(word, "demo") == 0) {
        return cli_demo(argc - 2, argv + 2);
    }
    if (strcmp(word, "cluster") == 0) {
        return cli_cluster(argc - 2, argv + 2);
    }
    if (strcmp(word, "sim") == 0) {
        return sim_main(argc - 1, argv + 1);
    }
    if (is_any(word, "version", "--version")) {
        (void)printf("synod %s\n", SYNOD_VERSION);
        return 0;
    }
    if (is_any(word, "help", "--help") || strcmp(word, "-h") == 0) {
        return help();
    }
    (void)fprintf(stderr, "synod: unknown word %s; `synod help` lists all\n", word);
    return 2;
}
