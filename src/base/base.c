#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef SYNOD_PLANTED
enum planted planted_now;

/* Programs of tests have no option that chooses one: SYNOD_PLANTED=NAME does. */
__attribute__((constructor)) static void planted_from_environment(void)
{
#define PLANTED_NAME(id, name, room, what) name,
    static const char *const names[] = {PLANTED_LIST(PLANTED_NAME)};
    const char *chosen = getenv("SYNOD_PLANTED");

    for (unsigned i = 0; chosen != NULL && i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(chosen, names[i]) == 0) {
            planted_now = (enum planted)(i + 1);
        }
    }
}
#endif

_Noreturn void check_failed(const char *cond, const char *file, int line)
{
    (void)fprintf(stderr, "%s:%d: CHECK failed: %s\n", file, line, cond);
    (void)fflush(stderr);
    abort();
}

/* The linker delimits the section; a program without marks has neither symbol. */
extern struct base_mark *const __start_base_marks[] __attribute__((weak));
extern struct base_mark *const __stop_base_marks[] __attribute__((weak));

void base_marks_each(void (*visit)(const struct base_mark *mark, void *arg), void *arg)
{
    for (struct base_mark *const *m = __start_base_marks; m < __stop_base_marks; m++) {
        visit(*m, arg);
    }
}

#define ERR_TEXT_CASE(name, text)                                                                  \
    case name:                                                                                     \
        return text;
const char *err_text(enum err err)
{
    switch (err) {
        ERR_LIST(ERR_TEXT_CASE)
    case ERR_COUNT:
        break;
    }
    return "unknown error";
}

#define ERR_NAME_CASE(name, text)                                                                  \
    case name:                                                                                     \
        return #name;
const char *err_name(enum err err)
{
    switch (err) {
        ERR_LIST(ERR_NAME_CASE)
    case ERR_COUNT:
        break;
    }
    return "ERR_UNKNOWN";
}

void diag_set(struct diag *d, const char *fmt, ...)
{
    va_list ap;

    if (d == NULL) {
        return;
    }
    va_start(ap, fmt);
    (void)vsnprintf(d->text, sizeof d->text, fmt, ap);
    va_end(ap);
}
