#include "wal/wal_internal.h"

static void check_segments(const struct wal_segments *list, uint64_t below, uint64_t *live,
                           uint64_t *disk)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct wal_segment *s = &list->at[i];
        uint32_t alive = 0;

        CHECK(s->number > 0);
        CHECK(s->number < below);
        CHECK(i == 0 || list->at[i - 1].number < s->number);
        CHECK(s->used <= wal_pad(s->bytes));
        for (uint32_t j = 0; j < s->extent_count; j++) {
            CHECK(j == 0 || s->extents[j - 1].group < s->extents[j].group);
            alive += s->extents[j].bytes > 0;
            *live += s->extents[j].bytes;
        }
        CHECK(alive == s->live_count);
        *disk += s->bytes;
    }
}

void wal_check(const struct wal *w)
{
    uint64_t live = 0, disk = 0, states = 0;

    CHECK(w->fill.len >= WAL_BATCH_HEADER_BYTES);
    CHECK((w->fill_records == 0) == (w->fill.len == WAL_BATCH_HEADER_BYTES));
    CHECK_IF(w->touched_count == 0, w->fill_records == 0);
    CHECK(w->durable < w->ticket);
    CHECK((w->flight_state == WAL_FLIGHT_NONE) == (w->durable + 1 == w->ticket));
    CHECK((w->flight_state == WAL_FLIGHT_NONE) == (w->flight.len == 0));
    CHECK_IF(w->flight_state != WAL_FLIGHT_NONE, w->active.number != 0);
    CHECK(w->active.number < w->next_number);
    CHECK(w->active.used <= w->active.bytes);
    CHECK(w->active.used % WAL_BLOCK_BYTES == 0);
    check_segments(&w->sealed, w->active.number == 0 ? w->next_number : w->active.number, &live,
                   &disk);
    check_segments(&w->skipped, w->next_number, &live, &disk);
    check_segments(&w->spares, w->next_number, &live, &disk);
    for (size_t i = 0; i < w->spares.count; i++) {
        CHECK(w->spares.at[i].number > w->active.number);
        CHECK_IF(i + 1 < w->spares.count, w->spares.at[i].ready);
    }
    CHECK_IF(w->discard_due, w->spares.count > 0 && !w->spares.at[w->spares.count - 1].ready);
    for (uint32_t i = 0; i < w->known_count; i++) {
        const struct wal_group *g = w->groups[w->known[i]];

        CHECK(g->number == w->known[i]);
        CHECK(g->flushed.count <= g->now.count);
        CHECK(g->durable_count <= g->flushed.count);
        CHECK_IF(w->flight_state == WAL_FLIGHT_NONE, g->durable_count == g->flushed.count);
        CHECK_IF(!g->touched, g->flushed.count == g->now.count);
        CHECK_IF(!g->touched, g->batch_bytes == 0);
        CHECK((g->active_bytes == 0) == (g->active_max == 0));
        live += g->active_bytes;
        states += wal_state_bytes(g);
    }
    CHECK(live == w->live_bytes);
    CHECK(states == w->states_bytes);
    CHECK(disk + w->active.bytes + w->house_segment.bytes == w->disk_bytes);
}
