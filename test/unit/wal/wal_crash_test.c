/* Random logs, cut off at random: what was durable is there, nothing is invented,
 * again and again on the same disk. `wal_crash_test [seeds [first]]`. */
#include "wal_world.h"

#include <stdlib.h>

static void run_seed(uint64_t seed)
{
    static struct world wo;

    world_init(&wo, seed);
    uint64_t crash_one_in = 20 + rnd(&wo, 400);
    bool tight = rnd(&wo, 3) == 0; /* a disk that fills up */

    world_open(&wo);
    for (uint32_t i = 0; i < 3000; i++) {
        if (tight) {
            wo.disk.capacity = rnd(&wo, 200) == 0 ? 0 : wo.disk.capacity;
            wo.disk.capacity = rnd(&wo, 100) == 0 ? wo.peak_bytes : wo.disk.capacity;
            wo.disk.writes_fail_no_space = rnd(&wo, 30) == 0;
        }
        world_step(&wo);
        if (rnd(&wo, crash_one_in) == 0) {
            wal_destroy(wo.w);
            disk_sim_crash(&wo.disk, &wo.rng);
            world_open(&wo);
        }
    }
    wo.disk.capacity = 0;
    wo.disk.writes_fail_no_space = false;
    world_settle(&wo); /* space came back: so does the log, by itself */
    CHECK(!wal_full(wo.w));
    world_close(&wo);
    world_open(&wo);
    world_close(&wo);
    disk_sim_free(&wo.disk);
    CHECK(wo.batches > 10);
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
