/* cmd_number.c - numbers as Redis reads and prints them. */
#include "cmd/cmd.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { CMD_FLOAT_TEXT_MAX = 5 * 1024 };

bool cmd_parse_int(struct slice text, int64_t *value)
{
    return resp_parse_int(text, value);
}

/* Redis takes what strtold() takes as a whole, hexadecimal and "inf" included, but
 * nothing that over- or underflows, and no NaN. */
bool cmd_parse_long_double(struct slice text, long double *value)
{
    char copy[CMD_FLOAT_TEXT_MAX];
    char *end;

    if (text.len == 0 || text.len >= sizeof(copy) || isspace(text.data[0])) {
        return false;
    }
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    errno = 0;
    *value = strtold(copy, &end);
    if (end != copy + text.len || isnan(*value)) {
        return false;
    }
    return errno != ERANGE || !(isinf(*value) || fpclassify(*value) == FP_ZERO);
}

bool cmd_parse_double(struct slice text, double *value)
{
    char copy[CMD_FLOAT_TEXT_MAX];
    char *end;

    if (text.len == 0 || text.len >= sizeof(copy) || isspace(text.data[0])) {
        return false;
    }
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    errno = 0;
    *value = strtod(copy, &end);
    if (end != copy + text.len || isnan(*value)) {
        return false;
    }
    return errno != ERANGE || !(isinf(*value) || fpclassify(*value) == FP_ZERO);
}

size_t cmd_print_long_double(long double value, char out[CMD_FLOAT_TEXT_MAX])
{
    int printed;
    size_t len;

    CHECK(!isnan(value));
    if (isinf(value)) {
        printed = snprintf(out, CMD_FLOAT_TEXT_MAX, "%s", value > 0 ? "inf" : "-inf");
        return (size_t)printed;
    }
    /* 17 digits behind the point, so that 3.0 + 0.1 is told as 3.1 and not as the
     * nearest binary fraction. */
    printed = snprintf(out, CMD_FLOAT_TEXT_MAX, "%.17Lf", value);
    CHECK(printed > 0 && printed < CMD_FLOAT_TEXT_MAX);
    len = (size_t)printed;
    while (out[len - 1] == '0') {
        len--;
    }
    if (out[len - 1] == '.') {
        len--;
    }
    if (len == 2 && out[0] == '-' && out[1] == '0') {
        out[0] = '0';
        len = 1;
    }
    out[len] = '\0';
    return len;
}
