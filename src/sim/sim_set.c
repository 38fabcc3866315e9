#include "sim/sim_set.h"

#include "base/base_mem.h"

void sim_set_free(struct sim_set *s)
{
    mem_free(s->ranges);
    *s = (struct sim_set){0};
}

/* The first range that does not end before name. */
static size_t place_of(const struct sim_set *s, uint64_t name)
{
    size_t low = 0, high = s->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (s->ranges[middle].last < name) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

void sim_set_add(struct sim_set *s, uint64_t first, uint64_t last)
{
    size_t from, to;

    CHECK(first <= last);
    CHECK(first >> 32 == last >> 32);
    from = to = place_of(s, (uint32_t)first == 0 ? first : first - 1); /* one that touches joins */
    while (to < s->count && s->ranges[to].first >> 32 == last >> 32 &&
           s->ranges[to].first <= last + 1) {
        to++;
    }
    if (from < to) {
        first = s->ranges[from].first < first ? s->ranges[from].first : first;
        last = s->ranges[to - 1].last > last ? s->ranges[to - 1].last : last;
    }
    if (s->count + 1 > s->cap) {
        s->cap = s->cap == 0 ? 8 : s->cap * 2;
        s->ranges = mem_realloc(s->ranges, s->cap * sizeof s->ranges[0]);
    }
    memmove(s->ranges + from + 1, s->ranges + to, (s->count - to) * sizeof s->ranges[0]);
    s->count = s->count - (to - from) + 1;
    s->ranges[from] = (struct sim_range){first, last};
}

bool sim_set_has(const struct sim_set *s, uint64_t name)
{
    size_t at = place_of(s, name);

    return at < s->count && s->ranges[at].first <= name;
}

uint64_t sim_set_size(const struct sim_set *s)
{
    uint64_t size = 0;

    for (size_t i = 0; i < s->count; i++) {
        size += s->ranges[i].last - s->ranges[i].first + 1;
    }
    return size;
}

void sim_set_names(const struct sim_set *s, struct buf *out)
{
    for (size_t i = 0; i < s->count; i++) {
        for (uint64_t name = s->ranges[i].first; name <= s->ranges[i].last; name++) {
            buf_append(out, &name, sizeof name);
        }
    }
}

/* --- as text --- */

static bool parse_number(const char **at, uint32_t *out)
{
    uint64_t n = 0;
    const char *c = *at;

    while (*c >= '0' && *c <= '9' && n <= UINT32_MAX) {
        n = n * 10 + (uint64_t)(*c++ - '0');
    }
    *out = (uint32_t)n;
    if (c == *at || n > UINT32_MAX) {
        return false;
    }
    *at = c;
    return true;
}

/* "7", "7-9", "2.14", "2.14-16" */
static bool parse_range(const char **at, struct sim_range *out)
{
    uint32_t major = 0, first, last;

    if (!parse_number(at, &first)) {
        return false;
    }
    if (**at == '.') {
        (*at)++;
        major = first;
        if (!parse_number(at, &first)) {
            return false;
        }
    }
    last = first;
    if (**at == '-') {
        (*at)++;
        if (!parse_number(at, &last)) {
            return false;
        }
    }
    *out = (struct sim_range){sim_name(major, first), sim_name(major, last)};
    return first <= last;
}

bool sim_set_parse(struct sim_set *s, const char *text)
{
    if (strcmp(text, "none") == 0) {
        return true;
    }
    for (;;) {
        struct sim_range r;

        if (!parse_range(&text, &r)) {
            return false;
        }
        sim_set_add(s, r.first, r.last);
        if (*text == 0) {
            return true;
        }
        if (*text++ != ',') {
            return false;
        }
    }
}

void sim_name_print(uint64_t name, struct buf *out)
{
    if (name >> 32 != 0) {
        buf_printf(out, "%lu.", name >> 32);
    }
    buf_printf(out, "%u", (uint32_t)name);
}

void sim_set_print(const struct sim_set *s, struct buf *out)
{
    if (s->count == 0) {
        buf_printf(out, "none");
    }
    for (size_t i = 0; i < s->count; i++) {
        const struct sim_range *r = &s->ranges[i];

        buf_printf(out, "%s", i == 0 ? "" : ",");
        sim_name_print(r->first, out);
        if (r->first != r->last) {
            buf_printf(out, "-%u", (uint32_t)r->last);
        }
    }
}
