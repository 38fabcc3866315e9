/* What goes wrong with disks and with what is on them. What harms data goes by
 * sim_harm.h: one replica at a time, and it must be noticed. */
#include "sim/sim_fault.h"
#include "sim/sim_world.h"

#include <stdio.h>

/* --- disks that refuse --- */

static void room_event(struct sim_world *w, uint64_t host, uint64_t unused)
{
    (void)unused;
    w->hosts[host].disk.full = false;
}

void sim_fault_disk_full(struct sim_world *w)
{
    struct sim_host *h = sim_fault_any_host(w);

    h->disk.full = true;
    sim_say(w, SIM_LOG_SHORT, "n%u has no room left on its disk", h->id);
    sim_in(w, sim_fault_length_us(w), room_event, h->id, 0);
}

static void writable_event(struct sim_world *w, uint64_t host, uint64_t unused)
{
    (void)unused;
    w->hosts[host].disk.read_only = false;
}

void sim_fault_read_only(struct sim_world *w)
{
    struct sim_host *h = sim_fault_any_host(w);

    h->disk.read_only = true;
    sim_say(w, SIM_LOG_SHORT, "n%u: its disk has become read-only", h->id);
    sim_in(w, sim_fault_length_us(w), writable_event, h->id, 0);
}

/* --- harm --- */

/* What a leader wrote last counts before anybody was told of it; were it lost together with a
 * follower's lag, nothing could tell [docs/protocol/storage.md]. */
static bool leads(const struct sim_world *w, const struct sim_host *h)
{
    for (uint32_t part = 0; part < w->opt.partitions; part++) {
        if (w->raft.seen[h->id][part].was_leader) {
            return true;
        }
    }
    return false;
}

/* It is seen at the next start: soon. */
static void restart(struct sim_world *w, struct sim_host *h)
{
    sim_host_crash(w, h, false);
    sim_host_start_in(w, h, w->truce ? 1000 : prng_between(&h->rng, 1000, w->opt.fault_long_us));
}

static void found_out_event(struct sim_world *w, uint64_t host, uint64_t harm)
{
    struct sim_host *h = &w->hosts[host];

    if (sim_harm_is_on(w, h) && w->harm.count == harm && !w->harm.started) {
        if (w->truce && leads(w, h)) {
            sim_in(w, 100000, found_out_event, host, harm);
        } else {
            restart(w, h);
        }
    }
}

void sim_fault_wrote_wrong(struct sim_world *w, struct sim_host *h)
{
    w->harm.armed = false;
    w->harm.since_us = w->now_us;
    sim_in(w, 1 + prng_below(&h->rng, 300000), found_out_event, h->id, w->harm.count);
}

static void wrong_write(struct sim_world *w, enum sim_write_fault fault)
{
    struct sim_host *h = sim_fault_any_host(w);

    if (sim_harm_begin(w, h, SIM_HARM_NEWEST)) {
        w->harm.armed = true;
        h->write_fault = fault;
    }
}

void sim_fault_wipe(struct sim_world *w)
{
    struct sim_host *h = sim_fault_any_host(w);

    if (!sim_harm_begin(w, h, SIM_HARM_PROVEN)) {
        return;
    }
    sim_say(w, SIM_LOG_SHORT, "n%u loses its directory", h->id);
    sim_host_crash(w, h, true);
    sim_host_emptied(w, h);
    h->impostor = prng_chance(&w->rng, 1, 3);
    sim_host_start_in(w, h, sim_fault_length_us(w));
}

/* A byte of the log: of an older synced batch, or (newest) of the last one. */
static bool log_byte(struct sim_world *w, const struct sim_host *h, bool newest, const char **path,
                     uint64_t *offset)
{
    const struct sim_log_write *at;
    uint64_t back = 1;

    if (h->log_write_count < SIM_LOG_WRITES) {
        return false;
    }
    back = newest ? 1 : prng_between(&w->rng, 4, SIM_LOG_WRITES - 1);
    at = &h->log_writes[(h->log_write_count - back) % SIM_LOG_WRITES];
    *path = at->path;
    *offset = at->offset + prng_below(&w->rng, at->bytes);
    return true;
}

/* A file of the directory, in random order; NULL: none. */
static const char *some_file(struct sim_world *w, const struct sim_host *h, const char *dir)
{
    uint64_t first = h->disk.count == 0 ? 0 : prng_below(&w->rng, h->disk.count);

    for (size_t i = 0; i < h->disk.count; i++) {
        const struct sim_file *f = h->disk.files[(first + i) % h->disk.count];

        if (!f->removed && f->view.len > 0 && strncmp(f->path, dir, strlen(dir)) == 0) {
            return f->path;
        }
    }
    return NULL;
}

enum byte_harm { FLIP_BIT, BREAK_SECTOR };

static void harm_byte(struct sim_world *w, struct sim_host *h, const char *path, uint64_t offset,
                      enum byte_harm what)
{
    bool done = what == FLIP_BIT
                    ? sim_disk_flip(&h->disk, path, offset, (unsigned)prng_below(&w->rng, 8))
                    : sim_disk_break(&h->disk, path, offset);

    sim_say(w, SIM_LOG_SHORT, "n%u: on its disk %s %s, at byte %lu%s", h->id,
            what == FLIP_BIT ? "one bit changes in" : "a sector cannot be read:", path, offset,
            done ? "" : " (not there)");
    sim_trace(w, 0x4a53, hash64_mix(hash64(path, strlen(path)), offset));
}

static void harm_log(struct sim_world *w, enum byte_harm what)
{
    struct sim_host *h = sim_fault_any_host(w);
    bool newest = prng_chance(&w->rng, 1, 4) && !leads(w, h);
    const char *path;
    uint64_t offset;

    if (log_byte(w, h, newest, &path, &offset) &&
        sim_harm_begin(w, h, newest ? SIM_HARM_NEWEST : SIM_HARM_PROVEN)) {
        sim_host_crash(w, h, false);
        harm_byte(w, h, path, offset, what);
        sim_host_start_in(w, h, w->truce ? 1000 : sim_fault_length_us(w));
    }
}

/* Metadata is short and kept twice: its head is meant as often as the rest, and sometimes both
 * files are hit. */
static void harm_metadata(struct sim_world *w, struct sim_host *h, const char *path,
                          enum byte_harm what)
{
    static const char mark[] = ".copy";
    enum { HEAD_BYTES = 16, MARK_BYTES = sizeof mark - 1 };
    bool both = prng_chance(&w->rng, 1, 4), head = prng_chance(&w->rng, 1, 2);
    size_t len = strlen(path);
    bool is_copy = len > MARK_BYTES && strcmp(path + len - MARK_BYTES, mark) == 0;
    int stem = (int)(is_copy ? len - MARK_BYTES : len);

    for (unsigned i = 0; i < 2; i++) {
        const struct sim_file *f;
        char name[DISK_PATH_MAX];
        uint64_t bytes;

        (void)snprintf(name, sizeof name, "%.*s%s", stem, path, i == 0 ? "" : mark);
        f = sim_disk_find(&h->disk, name);
        bytes = f == NULL ? 0 : sim_file_platter_bytes(f);
        if (bytes > HEAD_BYTES && (both || (i == 1) == is_copy)) {
            harm_byte(w, h, name, prng_below(&w->rng, head ? HEAD_BYTES : bytes), what);
        }
    }
}

static void harm_file(struct sim_world *w, enum byte_harm what)
{
    struct sim_host *h = sim_fault_any_host(w);
    bool meta = prng_chance(&w->rng, 1, 2);
    const char *found = some_file(w, h, meta ? "meta/" : "snap/");
    char path[DISK_PATH_MAX];
    uint64_t bytes;

    if (found == NULL || !sim_harm_begin(w, h, meta ? SIM_HARM_METADATA : SIM_HARM_PROVEN)) {
        return;
    }
    (void)snprintf(path, sizeof path, "%s", found);
    bytes = sim_file_platter_bytes(sim_disk_find(&h->disk, path));
    if (prng_chance(&w->rng, 1, 2)) {
        sim_host_crash(w, h, false);
    }
    if (meta) {
        harm_metadata(w, h, path, what);
    } else if (bytes > 0) {
        harm_byte(w, h, path, prng_below(&w->rng, bytes), what);
    }
    if (h->node == NULL) {
        sim_host_start_in(w, h, sim_fault_length_us(w));
    } else { /* it may be sent to others before anybody looks at it */
        sim_in(w, sim_fault_length_us(w), found_out_event, h->id, w->harm.count);
    }
}

void sim_fault_lost_file(struct sim_world *w)
{
    static const char *const dirs[] = {"log/", "snap/", "meta/"};
    static const enum sim_harm_kind kinds[] = {SIM_HARM_NEWEST, SIM_HARM_PROVEN, SIM_HARM_METADATA};
    struct sim_host *h = sim_fault_any_host(w);
    uint64_t which = prng_below(&w->rng, ARRAY_COUNT(dirs));
    const char *found = some_file(w, h, dirs[which]);
    char path[DISK_PATH_MAX];

    if (found == NULL || (kinds[which] == SIM_HARM_NEWEST && leads(w, h)) ||
        !sim_harm_begin(w, h, kinds[which])) {
        return;
    }
    (void)snprintf(path, sizeof path, "%s", found);
    sim_host_crash(w, h, false);
    if (sim_disk_lose(&h->disk, path)) {
        sim_say(w, SIM_LOG_SHORT, "n%u loses the file %s", h->id, path);
    }
    sim_host_start_in(w, h, w->truce ? 1000 : sim_fault_length_us(w));
}

/* --- old images --- */

enum { HEARD_OF_US = 500000 }; /* by then every peer was told */

static void restore_event(struct sim_world *w, uint64_t host, uint64_t life)
{
    struct sim_harm *m = &w->harm;
    struct sim_host *h = &w->hosts[host];
    uint64_t writes = 0;

    (void)life;
    for (uint64_t i = 0; i < SIM_LOG_WRITES && i < h->log_write_count; i++) {
        const struct sim_log_write *at =
            &h->log_writes[(h->log_write_count - 1 - i) % SIM_LOG_WRITES];

        writes += at->at_us > m->image_us && at->at_us + HEARD_OF_US < w->now_us;
    }
    /* With nothing but writes of the last moment missing, nobody may know. */
    if (w->phase == SIM_FAULTS && h->wipes == m->image_life &&
        (writes > 0 || h->log_write_count == m->image_writes) &&
        sim_harm_begin(w, h, SIM_HARM_IMAGE)) {
        m->must_notice = writes > 0;
        sim_say(w, SIM_LOG_SHORT, "n%u is restored as it was %lu ms ago, without %lu writes", h->id,
                (w->now_us - m->image_us) / 1000, h->log_write_count - m->image_writes);
        sim_host_crash(w, h, true);
        sim_disk_copy(&h->disk, &m->image);
        h->log_write_count = 0;
        sim_host_start_in(w, h, 1000);
    }
    sim_disk_wipe(&m->image);
    m->has_image = false;
}

void sim_fault_old_image(struct sim_world *w)
{
    struct sim_harm *m = &w->harm;
    struct sim_host *h = sim_fault_any_host(w);
    struct diag why;

    if (w->opt.hosts < 3 || m->has_image || m->open || !sim_check_raft_converged(w, &why)) {
        return;
    }
    m->has_image = true;
    m->image_host = h->id;
    m->image_life = h->wipes;
    m->image_us = w->now_us;
    m->image_writes = h->log_write_count;
    sim_disk_copy(&m->image, &h->disk);
    sim_disk_crash(&m->image, &w->rng, true, NULL, 0); /* as good as a power failure */
    sim_say(w, SIM_LOG_SHORT, "n%u an image is taken of its disk", h->id);
    sim_in(w, prng_between(&w->rng, HEARD_OF_US, 4000000), restore_event, h->id, h->wipes);
}

/* --- the rest of the classes --- */

void sim_fault_slow_disk(struct sim_world *w)
{
    sim_fault_any_host(w)->disk_stall_until_us = w->now_us + sim_fault_length_us(w);
}

void sim_fault_disk_error(struct sim_world *w)
{
    struct sim_host *h = sim_fault_any_host(w);

    if (h->write_fault == SIM_WRITE_AS_MEANT) {
        h->write_fault = SIM_WRITE_FAILS;
    }
}

void sim_fault_misdirect(struct sim_world *w)
{
    wrong_write(w, SIM_WRITE_ELSEWHERE);
}

void sim_fault_corrupt(struct sim_world *w)
{
    wrong_write(w, SIM_WRITE_CHANGED);
}

void sim_fault_flip(struct sim_world *w)
{
    harm_log(w, FLIP_BIT);
}

void sim_fault_rot(struct sim_world *w)
{
    harm_file(w, FLIP_BIT);
}

void sim_fault_latent(struct sim_world *w)
{
    if (prng_chance(&w->rng, 2, 3)) {
        harm_log(w, BREAK_SECTOR);
    } else {
        harm_file(w, BREAK_SECTOR);
    }
}

void sim_fault_disks_heal(struct sim_world *w)
{
    for (uint32_t i = 0; i < w->opt.hosts; i++) {
        struct sim_host *h = &w->hosts[i];

        h->disk.full = h->disk.read_only = false;
        h->disk_stall_until_us = 0;
        if (h->write_fault == SIM_WRITE_FAILS) {
            h->write_fault = SIM_WRITE_AS_MEANT;
        }
    }
    sim_harm_heal(w);
}
