/* cmd_glob.c - Redis's glob, without its recursion.
 *
 * On a mismatch only the last '*' needs to be tried again one byte later: what an
 * earlier one could reach, the last one reaches too. So the work is at most
 * pattern times text, and a budget bounds that.
 */
#include "cmd/cmd.h"

enum { CMD_GLOB_STEPS_MAX = 1 << 26 };

/* As signed char, the way Redis compares ranges. */
static int cmd_glob_char(uint8_t c, bool nocase)
{
    return (int8_t)(nocase && c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

/* Is c in the range p[0]-p[2]? Either end may come first. */
static bool cmd_glob_range(const uint8_t *p, int c, bool nocase)
{
    int low = (int8_t)p[0];
    int high = (int8_t)p[2];

    if (low > high) {
        int swap = low;

        low = high;
        high = swap;
    }
    if (nocase) {
        low = cmd_glob_char((uint8_t)low, true);
        high = cmd_glob_char((uint8_t)high, true);
    }
    return c >= low && c <= high;
}

/* p is behind '['. Returns what follows the class; a class that never closes ends
 * with the pattern. */
static const uint8_t *cmd_glob_class(const uint8_t *p, const uint8_t *end, uint8_t byte,
                                     bool nocase, bool *match)
{
    int c = cmd_glob_char(byte, nocase);
    bool negate = p < end && *p == '^';

    *match = false;
    if (negate) {
        p++;
    }
    for (;; p++) {
        if (end - p >= 2 && p[0] == '\\') {
            p++;
            *match = *match || p[0] == byte; /* escaped: in this case only, as in Redis */
        } else if (p == end || *p == ']') {
            break;
        } else if (end - p >= 3 && p[1] == '-') {
            *match = *match || cmd_glob_range(p, c, nocase);
            p += 2;
        } else {
            *match = *match || cmd_glob_char(*p, nocase) == c;
        }
    }
    *match = *match != negate;
    return p < end ? p + 1 : end;
}

/* Does one pattern element, not '*', take this byte? *next: behind the element. */
static bool cmd_glob_one(const uint8_t *p, const uint8_t *end, uint8_t byte, bool nocase,
                         const uint8_t **next)
{
    bool match;

    switch (*p) {
    case '?':
        *next = p + 1;
        return true;
    case '[':
        *next = cmd_glob_class(p + 1, end, byte, nocase, &match);
        return match;
    case '\\':
        if (end - p >= 2) {
            p++;
        }
        break;
    default:
        break;
    }
    *next = p + 1;
    return cmd_glob_char(*p, nocase) == cmd_glob_char(byte, nocase);
}

bool cmd_glob(struct slice pattern, struct slice text, bool nocase)
{
    const uint8_t *p = pattern.data;
    const uint8_t *p_end = pattern.data + pattern.len;
    const uint8_t *t = text.data;
    const uint8_t *t_end = text.data + text.len;
    const uint8_t *star = NULL; /* behind the last '*' */
    const uint8_t *star_text = NULL;
    uint32_t steps = 0;

    while (t < t_end) {
        const uint8_t *next;

        if (++steps > CMD_GLOB_STEPS_MAX) {
            return false;
        }
        if (p < p_end && *p == '*') {
            star = ++p;
            star_text = t;
            if (p == p_end) {
                return true;
            }
        } else if (p < p_end && cmd_glob_one(p, p_end, *t, nocase, &next)) {
            p = next;
            t++;
        } else if (star != NULL) {
            p = star;
            t = ++star_text;
        } else {
            return false;
        }
    }
    while (p < p_end && *p == '*') {
        p++;
    }
    return p == p_end;
}
