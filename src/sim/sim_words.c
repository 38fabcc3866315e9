#include "sim/sim_words.h"

#include <errno.h>
#include <stdlib.h>

enum { SECONDS_MAX = 1000000, MICRO = 1000000 };

bool sim_words_take(int argc, char **argv, sim_take *take, void *to, struct diag *why)
{
    for (int at = 0; at < argc; at++) {
        const char *value = at + 1 < argc ? argv[at + 1] : "";

        switch (take(to, argv[at], value)) {
        case SIM_WORD_FLAG:
            break;
        case SIM_WORD_VALUE:
            at++;
            break;
        case SIM_WORD_BAD:
            diag_set(why, "%s cannot be '%s'", argv[at], value);
            return false;
        case SIM_WORD_UNKNOWN:
            diag_set(why, "there is no option %s", argv[at]);
            return false;
        }
    }
    return true;
}

enum sim_taken sim_word_judge(bool good)
{
    return good ? SIM_WORD_VALUE : SIM_WORD_BAD;
}

static bool leading_number(const char *text, const char **end, uint64_t *out)
{
    char *after;

    errno = 0;
    *out = strtoull(text, &after, 0);
    *end = after;
    return errno == 0 && *text >= '0' && *text <= '9';
}

bool sim_word_number(const char *text, uint64_t least, uint64_t most, uint64_t *out)
{
    const char *end;

    return leading_number(text, &end, out) && *end == 0 && *out >= least && *out <= most;
}

bool sim_word_u32(const char *text, uint32_t least, uint32_t most, uint32_t *out)
{
    uint64_t n;
    bool good = sim_word_number(text, least, most, &n);

    *out = good ? (uint32_t)n : *out;
    return good;
}

bool sim_word_fraction(const char *text, double most, double *out)
{
    char *end;

    errno = 0;
    *out = strtod(text, &end);
    return errno == 0 && *text >= '0' && *text <= '9' && *end == 0 && *out <= most;
}

bool sim_word_seconds(const char *text, uint64_t *out_us)
{
    double seconds;
    bool good = sim_word_fraction(text, SECONDS_MAX, &seconds);

    *out_us = good ? (uint64_t)(seconds * MICRO + 0.5) : *out_us;
    return good;
}

bool sim_word_numbers(const char *text, struct sim_word_list list)
{
    *list.count = 0;
    for (;;) {
        uint64_t n;

        if (*list.count == list.room || !leading_number(text, &text, &n) || n < list.least ||
            n > list.most) {
            return false;
        }
        list.to[(*list.count)++] = (uint32_t)n;
        if (*text == 0) {
            return true;
        }
        if (*text++ != ',') {
            return false;
        }
    }
}
