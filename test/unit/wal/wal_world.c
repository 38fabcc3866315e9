#include "wal_world.h"

uint64_t rnd(struct world *wo, uint64_t bound)
{
    return prng_below(&wo->rng, bound);
}

void world_init(struct world *wo, uint64_t seed)
{
    *wo = (struct world){.rng = {seed}};
    wo->cfg.segment_bytes = (uint32_t)(4 + rnd(wo, 20)) * 4096;
    wo->cfg.spare_count = 1 + (uint32_t)rnd(wo, 3);
    wo->large = rnd(wo, 3) == 0;
}

/* --- puts, to the log and to the model --------------------------------- */

static void put_entries(struct world *wo, uint32_t group)
{
    static uint8_t junk[120000];
    struct model_group *g = &wo->current.groups[group];
    struct raft_entry e[8];
    uint32_t count = 1 + (uint32_t)rnd(wo, ARRAY_COUNT(e));
    uint64_t first = model_last(g) + 1;
    uint64_t most = 500;

    if (wo->large) {
        most = rnd(wo, 300) == 0 ? sizeof junk : rnd(wo, 40) == 0 ? 20000 : most;
    }

    if (g->count > 0 && rnd(wo, 8) == 0) {
        first -= rnd(wo, g->count < 20 ? g->count : 20); /* a new leader's replace some */
    }
    if (g->count > 200) {
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        size_t len = (size_t)rnd(wo, most);

        e[i] = (struct raft_entry){.index = {first + i},
                                   .term = {g->hard.term.n + 1},
                                   .kind = (enum raft_entry_kind)rnd(wo, 3),
                                   .data = {junk + rnd(wo, sizeof junk - len), len}};
        if (len > 8) {
            store_u64le(junk + (e[i].data.data - junk), prng_next(&wo->rng));
        }
    }
    /* The junk is rewritten meanwhile: hash and put see the same bytes, now. */
    wal_put_entries(wo->w, group, e, count);
    model_entries(&wo->current, group, e, count);
}

static void put_snapshot(struct world *wo, uint32_t group)
{
    struct model_group *g = &wo->current.groups[group];
    uint64_t index, term, file = prng_next(&wo->rng);

    if (g->count == 0 || rnd(wo, 10) == 0) { /* from another replica */
        index = model_last(g) + 1 + rnd(wo, 50);
        term = g->hard.term.n + 1;
        if (rnd(wo, 2) == 0) {
            wal_reset_group(wo->w, group);
            model_reset(&wo->current, group);
        }
    } else {
        uint64_t part = rnd(wo, 3) == 0 ? g->count - 1 : rnd(wo, g->count);

        index = g->base + 1 + part;
        term = g->entries[part].term;
    }
    wal_put_snapshot(wo->w, group, (struct raft_index){index}, (struct raft_term){term}, file);
    model_snapshot(&wo->current, group, index, term, file);
}

static void put_something(struct world *wo)
{
    static uint8_t blob[MODEL_BLOB];
    uint32_t group = (uint32_t)rnd(wo, MODEL_GROUPS);
    struct model_group *g = &wo->current.groups[group];
    struct raft_hard hard = {{g->hard.term.n + rnd(wo, 2)}, {rnd(wo, 4)}};
    uint64_t kind = rnd(wo, 100);

    if (kind < 70) {
        put_entries(wo, group);
    } else if (kind < 80) {
        wal_put_hard(wo->w, group, hard);
        model_hard(&wo->current, group, hard);
    } else if (kind < 88) {
        uint64_t commit = g->base + rnd(wo, g->count + 1);

        wal_put_commit(wo->w, group, (struct raft_index){commit});
        model_commit(&wo->current, group, commit);
    } else if (kind < 95) {
        put_snapshot(wo, group);
    } else if (kind < 98) {
        size_t len = (size_t)rnd(wo, sizeof blob);

        store_u64le(blob, prng_next(&wo->rng));
        wal_put_blob(wo->w, group, (struct slice){blob, len});
        model_blob(&wo->current, group, (struct slice){blob, len});
    } else if (kind == 98) {
        wal_reset_group(wo->w, group);
        model_reset(&wo->current, group);
    }
}

/* --- the log's life ---------------------------------------------------- */

void world_recover(struct world *wo, struct model *read, struct wal_recovery *found)
{
    struct diag why = {""};
    struct disk_boot boot = disk_sim_boot(&wo->disk);

    *read = (struct model){0};
    struct wal_visitor visitor = model_visitor(read);

    wo->w = wal_create(&wo->cfg);
    CHECK(wal_recover(wo->w, &boot, &visitor, found, &why) == ERR_OK);
    wo->ticket_seen = wal_ticket(wo->w);
}

void world_open(struct world *wo)
{
    static struct model read;
    struct wal_recovery found;

    world_recover(wo, &read, &found);
    CHECK(found.groups_lost == 0);
    for (uint32_t i = 0; i < MODEL_GROUPS; i++) {
        CHECK(!read.damaged[i]); /* a crash is not damage */
    }
    bool as_durable = model_equal(&read, &wo->durable);
    bool as_flight = model_equal(&read, &wo->flight);

    CHECK(as_durable || as_flight); /* whole batches, and all that were durable */
    SOMETIMES(as_durable && !as_flight, "wal_world: batch lost");
    SOMETIMES(!as_durable && as_flight, "wal_world: batch kept");
    wo->durable = wo->flight = wo->current = as_flight ? wo->flight : wo->durable;
}

static void disk_done(struct world *wo, enum disk_lane lane)
{
    struct disk_done done;
    struct diag why;

    if (disk_sim_step(&wo->disk, lane, &done)) {
        uint64_t before = wal_durable(wo->w);

        CHECK(wal_owns(wo->w, done.token));
        CHECK(wal_disk_done(wo->w, wo->now_us, &done, &why) == ERR_OK);
        if (wal_durable(wo->w) > before) {
            wo->previous = wo->durable;
            wo->durable = wo->flight;
            wo->batches++;
        }
    }
}

static void flush(struct world *wo, struct disk_ops *ops)
{
    wal_flush(wo->w, ops);
    if (wal_ticket(wo->w) != wo->ticket_seen) {
        CHECK(wal_ticket(wo->w) == wo->ticket_seen + 1);
        wo->ticket_seen++;
        wo->flight = wo->current;
    }
}

void world_step(struct world *wo)
{
    struct disk_ops ops = {0};
    uint64_t kind = rnd(wo, 100);

    wo->now_us += rnd(wo, 20000);
    if (kind < 45) {
        if (!wal_full(wo->w)) {
            put_something(wo);
        }
    } else if (kind < 60) {
        flush(wo, &ops);
    } else if (kind < 70) {
        wal_tidy(wo->w, wo->now_us, &ops);
    } else if (kind < 85) {
        disk_done(wo, DISK_LANE_LOG);
    } else {
        disk_done(wo, DISK_LANE_BULK);
    }
    disk_sim_submit(&wo->disk, &ops);
    disk_ops_free(&ops);
    wal_check(wo->w);
    if (disk_sim_bytes(&wo->disk) > wo->peak_bytes) {
        wo->peak_bytes = disk_sim_bytes(&wo->disk);
    }
}

void world_settle(struct world *wo)
{
    for (uint32_t i = 0; i < 100; i++) {
        struct disk_ops ops = {0};

        wo->now_us += 100000;
        flush(wo, &ops);
        wal_tidy(wo->w, wo->now_us, &ops);
        disk_sim_submit(&wo->disk, &ops);
        disk_ops_free(&ops);
        disk_done(wo, DISK_LANE_LOG);
        disk_done(wo, DISK_LANE_BULK);
    }
    CHECK(wal_durable(wo->w) + 1 == wal_ticket(wo->w));
    CHECK(!wal_can_flush(wo->w));
}

void world_close(struct world *wo)
{
    wal_destroy(wo->w);
    wo->w = NULL;
    disk_sim_drop(&wo->disk);
}
