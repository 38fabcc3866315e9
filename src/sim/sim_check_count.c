#include "sim/sim_check_internal.h"

static bool number_of(struct slice text, int64_t *out)
{
    bool minus = text.len > 0 && text.data[0] == '-';

    *out = 0;
    if (text.len == (minus ? 1 : 0) || text.len > 15) {
        return false;
    }
    for (size_t i = minus ? 1 : 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        *out = *out * 10 + (text.data[i] - '0');
    }
    *out = minus ? -*out : *out;
    return true;
}

/* What an op adds; false: it does something else. */
static bool adds(const struct check *c, const struct judged *j, int64_t *by)
{
    enum sim_command_id id = j->cmd->id;

    *by = id == SIM_DECR ? -1 : 1;
    if (id == SIM_INCR || id == SIM_DECR) {
        return true;
    }
    if ((id != SIM_INCRBY && id != SIM_DECRBY) || !number_of(sim_op_word(c->h, j->op, 2), by)) {
        return false;
    }
    *by = id == SIM_DECRBY ? -*by : *by;
    return true;
}

/* The last GET that was answered, when all else only adds; NULL otherwise. */
static const struct judged *last_read(const struct check *c, struct judged *const *ops,
                                      uint32_t count)
{
    const struct judged *last = NULL;
    bool any = false;

    for (uint32_t i = 0; i < count; i++) {
        const struct judged *j = ops[i];
        int64_t by;

        if ((j->cmd->flags & SIM_COMMAND_WRITES) != 0 &&
            (!adds(c, j, &by) || sim_op_error(c->h, j->op).len > 0)) {
            if (j->kind == JUDGED_KNOWN || !adds(c, j, &by)) {
                return NULL;
            }
        }
        any = any || adds(c, j, &by);
        if (j->cmd->id == SIM_GET && j->kind == JUDGED_KNOWN &&
            (last == NULL || j->op->call_us > last->op->call_us)) {
            last = j;
        }
    }
    return any ? last : NULL;
}

bool check_count(struct check *c, struct judged *const *ops, uint32_t count)
{
    const struct judged *last = last_read(c, ops, count);
    int64_t least = 0, most = 0, said, by;
    const struct sim_item *item;

    if (last == NULL || last->keys.count != 1) {
        return true;
    }
    item = &c->h->items[last->op->item];
    said = 0;
    if (item->kind == SIM_ITEM_BULK && !number_of(sim_blob_get(&c->h->blobs, item->blob), &said)) {
        return true;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct judged *j = ops[i];
        bool known = j->kind == JUDGED_KNOWN;

        if ((j->cmd->flags & SIM_COMMAND_WRITES) == 0 || !adds(c, j, &by) ||
            j->op->call_us > last->op->return_us) {
            continue;
        }
        if (known && j->op->return_us < last->op->call_us) {
            least += by;
            most += by;
        } else if (by > 0) {
            most += by;
        } else {
            least += by;
        }
    }
    if (said < least || said > most) {
        check_found(c, "op %u reads %ld; what was acknowledged and sent gives %ld to %ld",
                    last->op->id, said, least, most);
        return false;
    }
    return true;
}
