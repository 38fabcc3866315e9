#include "trace_file.h"

#include "base/base_mem.h"

#include <stdio.h>
#include <stdlib.h>

struct buf trace_got;
static const char *path_now;
static int line_now;

_Noreturn void bad_command(const char *what)
{
    (void)fprintf(stderr, "%s:%d: bad command: %s\n", path_now, line_now, what);
    exit(2);
}

/* --- the words of a command --- */

uint64_t number(const char *s)
{
    char *end;
    uint64_t n = strtoull(s, &end, 10);

    if (end == s) {
        bad_command(s);
    }
    return n;
}

const char *option(const struct words *w, const char *name)
{
    size_t len = strlen(name);

    for (uint32_t i = 1; i < w->count; i++) {
        if (strncmp(w->at[i], name, len) == 0 && w->at[i][len] == '=') {
            return w->at[i] + len + 1;
        }
    }
    return NULL;
}

uint64_t option_number(const struct words *w, const char *name, uint64_t otherwise)
{
    const char *text = option(w, name);

    return text == NULL ? otherwise : number(text);
}

bool flag(const struct words *w, const char *name)
{
    for (uint32_t i = 1; i < w->count; i++) {
        if (strcmp(w->at[i], name) == 0) {
            return true;
        }
    }
    return false;
}

void parse_link(const char *s, uint64_t *from, uint64_t *to)
{
    char *end;

    *from = *s == '*' ? 0 : strtoull(s, &end, 10);
    s = strstr(s, "->");
    if (s == NULL) {
        bad_command("a link is FROM->TO");
    }
    *to = s[2] == '*' ? 0 : strtoull(s + 2, &end, 10);
}

void link_arg(const struct words *w, uint64_t *from, uint64_t *to)
{
    *from = *to = 0;
    for (uint32_t i = 1; i < w->count; i++) {
        if (strstr(w->at[i], "->") != NULL) {
            parse_link(w->at[i], from, to);
        }
    }
}

static void run_line(const struct trace_machine *machine, const char *line)
{
    char *copy = mem_strndup(line, strlen(line)), *save = NULL;
    struct words w = {.count = 0};

    for (char *s = strtok_r(copy, " \n", &save); s != NULL && w.count < ARRAY_COUNT(w.at);
         s = strtok_r(NULL, " \n", &save)) {
        w.at[w.count++] = s;
    }
    CHECK(w.count > 0); /* empty lines and comments do not come here */
    machine->run(&w);
    mem_free(copy);
}

/* --- files --- */

static struct buf read_file(const char *path)
{
    struct buf text = {0};
    FILE *f = fopen(path, "r");
    char chunk[4096];
    size_t got;

    if (f == NULL) {
        perror(path);
        exit(2);
    }
    while ((got = fread(chunk, 1, sizeof chunk, f)) > 0) {
        buf_append(&text, chunk, got);
    }
    (void)fclose(f);
    put_u8(&text, 0);
    return text;
}

static int finish_stanza(const struct buf *want, struct buf *out)
{
    int bad = !slice_eq(buf_slice(&trace_got), buf_slice(want));

    if (bad && out == NULL) {
        printf("%s:%d\n--- expected\n%.*s--- happened\n%.*s", path_now, line_now, (int)want->len,
               (const char *)want->data, (int)trace_got.len, (const char *)trace_got.data);
    }
    if (out != NULL) {
        buf_append_slice(out, buf_slice(&trace_got));
        bad = 0;
    }
    return bad;
}

/* out: the file as it should be; NULL to compare only. */
static int run_text(const struct trace_machine *machine, char *text, struct buf *out)
{
    struct buf want = {0};
    bool expecting = false;
    int bad = 0;

    for (char *line = text, *next; line != NULL; line = next) {
        char *end = strchr(line, '\n');

        next = end == NULL ? NULL : end + 1;
        if (end != NULL) {
            *end = 0;
        }
        line_now++;
        if (expecting && *line == 0) {
            bad += finish_stanza(&want, out);
            expecting = false;
            trace_got.len = want.len = 0;
        }
        if (expecting) {
            buf_printf(&want, "%s\n", line);
            continue;
        }
        if (strcmp(line, "----") == 0) {
            expecting = true;
        } else if (*line != 0 && *line != '#') {
            run_line(machine, line);
        }
        if (out != NULL && (next != NULL || *line != 0)) {
            buf_printf(out, "%s\n", line);
        }
    }
    buf_free(&want);
    return bad;
}

static int run_file(const struct trace_machine *machine, const char *path, bool update)
{
    struct buf text = read_file(path), out = {0};
    FILE *f;
    int bad;

    path_now = path;
    line_now = 0;
    machine->begin();
    bad = run_text(machine, (char *)text.data, update ? &out : NULL);
    machine->end();
    if (update) {
        f = fopen(path, "w");
        CHECK(f != NULL);
        CHECK(out.len == 0 || fwrite(out.data, 1, out.len, f) == out.len);
        CHECK(fclose(f) == 0);
    }
    buf_free(&trace_got);
    buf_free(&text);
    buf_free(&out);
    return bad;
}

int trace_main(int argc, char **argv, const struct trace_machine *machine)
{
    bool update = getenv("REWRITE") != NULL;
    int files = 0, bad = 0;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--update") == 0) {
            update = true;
            continue;
        }
        bad += run_file(machine, argv[i], update);
        files++;
    }
    printf("%d files, %d stanzas failed\n", files, bad);
    return bad != 0 || files == 0;
}
