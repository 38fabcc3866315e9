#include "sim/sim_judge.h"

#include "sim/sim_check.h"
#include "sim/sim_world.h"

#include <stdio.h>

enum { STATES_MAX = 200000 };

void sim_judge_wall(struct sim_world *w, uint32_t host, uint64_t wall_ms)
{
    int64_t offset_ms = (int64_t)wall_ms - (int64_t)(w->now_us / 1000);
    char name[16];
    int len;

    if (w->wall_offset_ms[host] == offset_ms) {
        return;
    }
    w->wall_offset_ms[host] = offset_ms;
    len = snprintf(name, sizeof name, "n%u", host);
    sim_history_wall(
        &w->history,
        (struct sim_wall){.at_us = w->now_us,
                          .node = sim_blob_put(&w->history.blobs,
                                               (struct slice){(const uint8_t *)name, (size_t)len}),
                          .least_ms = offset_ms,
                          .most_ms = offset_ms});
}

/* Until the end of the first line. */
static size_t first_line(const struct buf *b)
{
    const uint8_t *end = b->len == 0 ? NULL : memchr(b->data, '\n', b->len);

    return end == NULL ? b->len : (size_t)(end - b->data);
}

static void write_history(const struct sim_world *w)
{
    struct buf text = {0};
    FILE *f = fopen(w->opt.history_path, "wb");

    sim_history_put(&text, &w->history);
    if (f == NULL || fwrite(text.data, 1, text.len, f) != text.len) {
        (void)fprintf(stderr, "synod sim: cannot write %s\n", w->opt.history_path);
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    buf_free(&text);
}

void sim_judge_history(struct sim_world *w, struct sim_result *out)
{
    const struct sim_check_options options = {
        .any_order = w->opt.any_order, .states_max = STATES_MAX, .found_max = 1};
    struct sim_check_result result;

    sim_check_raft_drop_replaced(w);
    if (w->opt.history_path != NULL) {
        write_history(w);
    }
    sim_check_history(&w->history, &options, &result);
    out->ops = w->history.count;
    out->ops_ok = result.replied;
    out->ops_fail = result.refused;
    out->ops_unknown = result.unknown;
    out->inconclusive = result.undecided;
    sim_trace(w, 0x1d6e, result.states);
    if (result.notes.len > 0) {
        sim_say(w, SIM_LOG_SHORT, "%.*s", (int)result.notes.len - 1,
                (const char *)result.notes.data);
    }
    if (result.unjudged > 0) {
        sim_found(w, "a client sent what no model knows: %.*s", (int)first_line(&result.notes),
                  (const char *)result.notes.data);
    }
    if (result.found > 0) {
        sim_say(w, SIM_LOG_SHORT, "%.*s", (int)result.findings.len - 1,
                (const char *)result.findings.data);
        sim_found(w, "%.*s", (int)first_line(&result.findings), (const char *)result.findings.data);
    }
    sim_check_free(&result);
}
