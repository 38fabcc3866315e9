#include "base/base_disk.h"

#include "base/base_mem.h"

struct disk_op *disk_ops_push(struct disk_ops *ops, enum disk_op_kind kind, enum disk_lane lane)
{
    MEM_GROW(ops->at, ops->count, ops->cap);
    ops->at[ops->count] = (struct disk_op){.kind = kind, .lane = lane};
    return &ops->at[ops->count++];
}

void disk_ops_free(struct disk_ops *ops)
{
    for (size_t i = 0; i < ops->count; i++) {
        buf_free(&ops->at[i].data);
    }
    mem_free(ops->at);
    *ops = (struct disk_ops){0};
}
