#include "sim/sim_calls.h"

#include "base/base_mem.h"

#include <stdlib.h>

struct placed_call {
    uint32_t conn;
    uint64_t call_us;
    uint32_t pos;
};

static int by_call(const void *a, const void *b)
{
    const struct placed_call *x = a, *y = b;

    if (x->conn != y->conn) {
        return x->conn < y->conn ? -1 : 1;
    }
    if (x->call_us != y->call_us) {
        return x->call_us < y->call_us ? -1 : 1;
    }
    return x->pos < y->pos ? -1 : x->pos > y->pos;
}

uint32_t sim_calls_known(const struct sim_call *calls, uint32_t count, uint32_t *out)
{
    struct placed_call *sorted = mem_alloc((count + 1) * sizeof sorted[0]);
    bool in_order = true; /* a run's are */
    uint32_t known = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (calls[i].known) {
            sorted[known] = (struct placed_call){0, calls[i].call_us, i};
            in_order = in_order && (known == 0 || sorted[known - 1].call_us <= calls[i].call_us);
            known++;
        }
    }
    if (!in_order) {
        qsort(sorted, known, sizeof sorted[0], by_call);
    }
    for (uint32_t i = 0; i < known; i++) {
        out[i] = sorted[i].pos;
    }
    mem_free(sorted);
    return known;
}

void sim_calls_order(const struct sim_call *calls, uint32_t count, uint32_t *after, uint32_t *next)
{
    struct placed_call *sorted = mem_alloc((count + 1) * sizeof sorted[0]);
    uint32_t newest = 0;

    for (uint32_t i = 0; i < count; i++) {
        sorted[i] = (struct placed_call){calls[i].conn, calls[i].call_us, i};
    }
    qsort(sorted, count, sizeof sorted[0], by_call);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t pos = sorted[i].pos;

        newest = i > 0 && sorted[i].conn != sorted[i - 1].conn ? 0 : newest;
        after[pos] = newest;
        newest = calls[pos].known ? pos + 1 : newest;
        if (next != NULL) {
            bool last = i + 1 == count || sorted[i + 1].conn != sorted[i].conn;

            next[pos] = last ? 0 : sorted[i + 1].pos + 1;
        }
    }
    mem_free(sorted);
}

bool sim_call_changed_nothing(const struct sim_model *m, const struct sim_call *c)
{
    enum sim_command_id id = c->cmd->id;
    const struct sim_item *said = &c->items[0];

    if ((c->cmd->flags & SIM_COMMAND_WRITES) == 0 || said->kind == SIM_ITEM_ERROR) {
        return true;
    }
    if (said->kind == SIM_ITEM_NULL) {
        return id == SIM_SET && c->word_count == 4 && /* NX or XX */
               !slice_eq_nocase(sim_blob_get(&m->blobs, c->words[3]), SLICE("GET"));
    }
    return said->kind == SIM_ITEM_INT && said->n == 0 &&
           (id == SIM_DEL || id == SIM_UNLINK || id == SIM_HDEL || id == SIM_SETNX ||
            id == SIM_MSETNX || id == SIM_HSETNX || id == SIM_COPY || id == SIM_RENAMENX ||
            (id >= SIM_EXPIRE && id <= SIM_PERSIST));
}
