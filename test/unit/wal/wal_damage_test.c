/* Bits flipped, files lost and cut short in random logs: every group that lost
 * something is named, no other differs from what was durable, and the verdict holds
 * until the group is reset. `wal_damage_test [seeds [first]]`. */
#include "wal_world.h"

#include <stdlib.h>

static void flip(struct world *wo, struct disk_file *f)
{
    uint64_t block = rnd(wo, (f->bytes.len + DISK_BLOCK_BYTES - 1) / DISK_BLOCK_BYTES);

    for (uint64_t bits = 1 + rnd(wo, 3); bits > 0; bits--) {
        uint64_t at = block * DISK_BLOCK_BYTES + rnd(wo, rnd(wo, 2) ? DISK_BLOCK_BYTES : 64);

        if (at < f->bytes.len) {
            f->bytes.data[at] ^= (uint8_t)(1U << rnd(wo, 8));
        }
    }
}

static void harm(struct world *wo)
{
    struct disk_file *f = &wo->disk.files[rnd(wo, wo->disk.count)];

    if (f->bytes.len == 0) {
        return;
    }
    switch (rnd(wo, 6)) {
    case 0:
        disk_sim_remove(&wo->disk, f->path);
        break;
    case 1:
        f->bytes.len = rnd(wo, f->bytes.len);
        break;
    default:
        flip(wo, f);
        break;
    }
}

static bool undamaged_equal(const struct model *read, const struct model *want)
{
    for (uint32_t i = 0; i < MODEL_GROUPS; i++) {
        if (!read->damaged[i] && !model_group_equal(&read->groups[i], &want->groups[i])) {
            return false;
        }
    }
    return true;
}

/* Groups of which nothing is left are not named: the caller knows who should be
 * there. */
static void blame_lost(struct model *read, const struct wal_recovery *found)
{
    for (uint32_t i = 0; i < MODEL_GROUPS && found->groups_lost > 0; i++) {
        read->damaged[i] |= !read->groups[i].exists;
    }
}

static void touch_undamaged(struct world *wo, const struct model *read)
{
    for (uint32_t i = 0; i < MODEL_GROUPS; i++) {
        if (!read->damaged[i] && read->groups[i].exists) {
            wal_put_commit(wo->w, i, (struct raft_index){read->groups[i].commit});
        }
    }
}

static void rebuild(struct world *wo, const struct model *read)
{
    for (uint32_t i = 0; i < MODEL_GROUPS; i++) {
        if (read->damaged[i]) {
            wal_reset_group(wo->w, i);
            wal_put_blob(wo->w, i, SLICE("a new identity"));
            model_reset(&wo->current, i);
            model_blob(&wo->current, i, SLICE("a new identity"));
        } else {
            wo->current.groups[i] = read->groups[i];
        }
    }
}

static void some_steps(struct world *wo, uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++) {
        world_step(wo);
    }
    world_settle(wo);
}

static uint32_t damaged_count(const struct model *m)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < MODEL_GROUPS; i++) {
        count += m->damaged[i];
    }
    return count;
}

static void run_seed(uint64_t seed)
{
    static struct world wo;
    static struct model read, again;
    struct wal_recovery found;

    world_init(&wo, seed);
    world_open(&wo);
    some_steps(&wo, 200 + (uint32_t)rnd(&wo, 1500));
    for (uint32_t round = 0; round < 4; round++) {
        world_close(&wo);
        harm(&wo);
        world_recover(&wo, &read, &found);
        blame_lost(&read, &found);
        CHECK(undamaged_equal(&read, &wo.durable) || undamaged_equal(&read, &wo.previous));

        /* Nothing was written since: the same verdict. With one batch of no damaged group
         * written, too: the states that begin its segment carry it. */
        touch_undamaged(&wo, &read);
        world_settle(&wo);
        world_close(&wo);
        world_recover(&wo, &again, &found);
        blame_lost(&again, &found);
        for (uint32_t i = 0; i < MODEL_GROUPS; i++) {
            CHECK(read.damaged[i] == again.damaged[i]);
        }
        CHECK(undamaged_equal(&again, &read));

        wo.durable = again; /* the newest batch may have been taken for torn, and cut */
        rebuild(&wo, &again);
        wo.flight = wo.current;
        world_settle(&wo);
        SOMETIMES(damaged_count(&again) > 0, "wal_damage_test: groups rebuilt");
        some_steps(&wo, (uint32_t)rnd(&wo, 300));
    }
    world_close(&wo);
    world_recover(&wo, &read, &found);
    CHECK(damaged_count(&read) == 0);
    CHECK(undamaged_equal(&read, &wo.durable));
    world_close(&wo);
    disk_sim_free(&wo.disk);
}

int main(int argc, char **argv)
{
    uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : 60;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;

    for (uint64_t seed = first; seed < first + seeds; seed++) {
        run_seed(seed);
    }
    return 0;
}
