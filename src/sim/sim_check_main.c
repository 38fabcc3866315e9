/* `synod sim check FILE`: the checkers over a recorded history. */
#include "sim/sim_check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static int usage(FILE *to, int status)
{
    (void)fprintf(to, "usage: synod sim check [--no-order] [--states N] FILE...\n"
                      "  judges histories written as docs/format/history.md says\n"
                      "  --no-order   do not judge the order of what one connection sent\n"
                      "  --states N   what one search may try before it gives up (1000000)\n");
    return status;
}

static bool read_file(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "rb");
    size_t got;
    bool ok;

    if (f == NULL) {
        return false;
    }
    do {
        buf_reserve(out, 1 << 20);
        got = fread(out->data + out->len, 1, out->cap - out->len, f);
        out->len += got;
    } while (got > 0);
    ok = ferror(f) == 0;
    (void)fclose(f);
    return ok;
}

static void print(const struct buf *b)
{
    if (b->len > 0) {
        (void)fwrite(b->data, 1, b->len, stdout);
    }
}

static int check_file(const char *path, const struct sim_check_options *options)
{
    struct sim_history h = {0};
    struct sim_check_result result;
    struct buf text = {0};
    struct diag why;
    int status = 2;

    if (!read_file(path, &text)) {
        (void)fprintf(stderr, "synod sim check: cannot read %s: %s\n", path, strerror(errno));
    } else if (sim_history_parse(&h, buf_slice(&text), &why) != ERR_OK) {
        (void)fprintf(stderr, "synod sim check: %s: %s\n", path, why.text);
    } else {
        sim_check_history(&h, options, &result);
        print(&result.notes);
        print(&result.findings);
        (void)printf("%s: %u commands: %lu answered, %lu refused, %lu of unknown outcome; %lu "
                     "groups of keys, %lu explained by a log, %lu undecided, %lu not judged, %lu "
                     "states tried; %u "
                     "findings\n",
                     path, h.count, result.replied, result.refused, result.unknown, result.groups,
                     result.followed, result.undecided, result.unjudged, result.states,
                     result.found);
        status = result.found > 0 ? 1 : 0;
        sim_check_free(&result);
    }
    sim_history_free(&h);
    buf_free(&text);
    return status;
}

int sim_check_main(int argc, char **argv)
{
    struct sim_check_options options = {0};
    int at = 1, worst = 0;

    for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
        if (strcmp(argv[at], "--help") == 0) {
            return usage(stdout, 0);
        }
        if (strcmp(argv[at], "--no-order") == 0) {
            options.any_order = true;
        } else if (strcmp(argv[at], "--states") == 0 && at + 1 < argc) {
            options.states_max = strtoull(argv[++at], NULL, 10);
        } else {
            return usage(stderr, 2);
        }
    }
    if (at == argc) {
        return usage(stderr, 2);
    }
    for (; at < argc; at++) {
        int status = check_file(argv[at], &options);

        worst = status > worst ? status : worst;
    }
    return worst;
}
