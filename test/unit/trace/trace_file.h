/* trace_file.h - files of scenarios: what is commanded, and what happened.
 *
 * A stanza is: comments, one command per line, `----`, what happened, a blank line. With
 * --update (or REWRITE=1) the expected lines are replaced by what happened; read the diff.
 */
#ifndef TRACE_FILE_H
#define TRACE_FILE_H
#include "base/base_bytes.h"

struct words {
    char *at[24];
    uint32_t count;
};
/* What a machine under trace is to the files. */
struct trace_machine {
    void (*begin)(void); /* before each file */
    void (*run)(const struct words *w);
    void (*end)(void);
};
/* The main function of a trace test. */
int trace_main(int argc, char **argv, const struct trace_machine *machine);

/* What happened, in words, since the stanza began. */
extern struct buf trace_got;
#define SAY(...) buf_printf(&trace_got, __VA_ARGS__)
#define U(x) ((unsigned long long)(x))

/* Ends the test: the file is wrong, not the machine. */
_Noreturn void bad_command(const char *what);
uint64_t number(const char *s);
/* The text after `name=`, or NULL. */
const char *option(const struct words *w, const char *name);
uint64_t option_number(const struct words *w, const char *name, uint64_t otherwise);
bool flag(const struct words *w, const char *name);
/* FROM->TO; 0 stands for *, any. */
void parse_link(const char *s, uint64_t *from, uint64_t *to);
/* The first link among the words, or any to any. */
void link_arg(const struct words *w, uint64_t *from, uint64_t *to);
#endif
