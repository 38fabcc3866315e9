#include "sim/sim_world.h"

#include "sim/sim_fault.h"
#include "sim/sim_judge.h"

#include <stdarg.h>
#include <stdio.h>

enum {
    STEP_US = 20000,        /* between two looks at the phase */
    FOUNDING_US = 20000000, /* at most, without faults */
    HEALTHY_US = 1000000,
    CORE_HEALTHY_US = 500000,
};

void sim_at(struct sim_world *w, uint64_t at_us, sim_fn *fn, uint64_t a, uint64_t b)
{
    CHECK(at_us >= w->now_us);
    sim_queue_push(&w->queue, at_us, fn, a, b);
}

void sim_in(struct sim_world *w, uint64_t delay_us, sim_fn *fn, uint64_t a, uint64_t b)
{
    sim_at(w, w->now_us + delay_us, fn, a, b);
}

uint64_t sim_around(struct sim_world *w, uint64_t mean)
{
    return prng_below(&w->rng, 2 * mean + 1);
}

static void put_line(const struct sim_world *w, struct buf *out, const char *fmt, va_list ap)
{
    char text[SIM_RECORD_LINE_BYTES * 4];

    (void)vsnprintf(text, sizeof text, fmt, ap);
    buf_printf(out, "%s", text);
    if (w->fault_now != 0) {
        buf_printf(out, "  [fault ");
        sim_name_print(w->fault_now, out);
        buf_printf(out, "]");
    }
    put_u8(out, 0);
}

void sim_say(const struct sim_world *w, enum sim_log level, const char *fmt, ...)
{
    struct sim_record *r = w->opt.record;
    bool recorded = r != NULL && r->level >= level;
    struct buf line = {0};
    va_list ap;

    if (LIKELY(w->opt.log < level && !recorded)) {
        return;
    }
    va_start(ap, fmt);
    put_line(w, &line, fmt, ap);
    va_end(ap);
    if (recorded) {
        struct sim_line *to = &r->line[r->lines++ % SIM_RECORD_LINES];

        to->at_us = w->now_us;
        (void)snprintf(to->text, sizeof to->text, "%s", (const char *)line.data);
    }
    if (w->opt.log >= level) {
        (void)printf("%4lu.%06lu s  %s\n", w->now_us / 1000000, w->now_us % 1000000,
                     (const char *)line.data);
    }
    buf_free(&line);
}

void sim_found(struct sim_world *w, const char *fmt, ...)
{
    va_list ap;
    int at;

    if (w->found) {
        return;
    }
    w->found = true;
    w->kind = hash64(fmt, strlen(fmt));
    at = snprintf(w->finding, sizeof w->finding, "at %lu.%06lu s: ", w->now_us / 1000000,
                  w->now_us % 1000000);
    CHECK(at > 0);
    va_start(ap, fmt);
    (void)vsnprintf(w->finding + at, sizeof w->finding - (size_t)at, fmt, ap);
    va_end(ap);
    sim_say(w, SIM_LOG_SHORT, "FINDING %s", w->finding);
}

/* --- the phases --- */

static void enter(struct sim_world *w, enum sim_phase phase)
{
    static const char *const words[] = {
        [SIM_FOUNDING] = "the nodes found a cluster",
        [SIM_FAULTS] = "faults begin; clients work",
        [SIM_CORE] = "faults end but for some who stay away; the others must come back",
        [SIM_CORE_HEALTHY] = "every operation through the others must succeed",
        [SIM_HEALING] = "all faults are over; the cluster must come back by itself",
        [SIM_HEALTHY] = "from now on every operation must succeed",
        [SIM_READING] = "every key is read once",
        [SIM_SETTLING] = "replicas must become equal",
        [SIM_DONE] = "all is well",
    };

    w->phase = phase;
    w->phase_since_us = w->now_us;
    sim_trace(w, 0x9a5e, phase);
    sim_say(w, SIM_LOG_SHORT, "--- %s", words[phase]);
    if (phase == SIM_HEALTHY || phase == SIM_CORE_HEALTHY) {
        w->healthy_since_us = w->now_us;
    } else if (phase == SIM_HEALING) {
        w->healthy_since_us = 0;
    }
    if (phase == SIM_FAULTS && w->opt.record != NULL) {
        w->opt.record->faults_from_us = w->now_us;
    }
    if (phase == SIM_FAULTS) {
        sim_fault_begin(w);
    } else if (phase == SIM_HEALING) {
        w->live.outsiders = 0;
        w->gossip.healed_us = w->now_us;
        sim_fault_heal(w);
    }
    for (uint32_t i = 0; i < w->opt.clients; i++) {
        sim_client_wake(w, &w->clients[i]);
    }
}

static bool clients_quiet(const struct sim_world *w)
{
    for (uint32_t i = 0; i < w->opt.clients; i++) {
        if (!sim_client_quiet(&w->clients[i])) {
            return false;
        }
    }
    return true;
}

static bool all_read(const struct sim_world *w)
{
    for (uint32_t i = 0; i < w->opt.clients; i++) {
        if (!sim_client_has_read(w, &w->clients[i])) {
            return false;
        }
    }
    return true;
}

static void phase_event(struct sim_world *w, uint64_t converged_since, uint64_t unused);

/* Nothing that is still unnoticed can change it any more. */
static bool stays(const struct sim_world *w, uint64_t converged_since)
{
    return w->now_us - converged_since > 2 * w->opt.election_us_max + 500000 &&
           w->now_us - w->phase_since_us > sim_live_settle_us(w);
}

static uint64_t look_at_core(struct sim_world *w, uint64_t converged_since)
{
    uint64_t passed = w->now_us - w->phase_since_us;
    struct diag why = {0};

    if (!sim_check_raft_core(w, &why)) {
        if (passed > sim_live_core_bound_us(w) && sim_live_excused(w)) {
            sim_say(w, SIM_LOG_SHORT, "the core is not whole: %s", why.text);
            enter(w, SIM_HEALING);
        } else if (passed > sim_live_core_bound_us(w)) {
            sim_found(w, "liveness: %lu ms after the last fault, with some away: %s", passed / 1000,
                      why.text);
        }
        return 0;
    }
    if (converged_since == 0) {
        w->live.core_us = passed;
        return w->now_us;
    }
    if (stays(w, converged_since)) {
        enter(w, SIM_CORE_HEALTHY);
    }
    return converged_since;
}

/* Each client reads its share of the keys, and thinks in between. */
static uint64_t reading_us(const struct sim_world *w)
{
    uint64_t share = w->opt.keys / w->opt.clients + 1;

    return share * (2 * w->opt.think_us + w->opt.election_us_max * w->opt.muse_permille / 500 +
                    8 * (w->opt.latency_us + w->opt.jitter_us));
}

/* Who is there is known to all; who asked for it may have to wait a little longer. */
static void settled(struct sim_world *w)
{
    struct diag why = {0};
    uint64_t passed = w->now_us - w->gossip.healed_us;

    if (sim_check_gossip_agrees(w, &why)) {
        enter(w, SIM_DONE);
    } else if (passed > sim_check_gossip_bound_us(w)) {
        sim_found(w, "liveness: views of the membership differ %lu ms after the last fault: %s",
                  passed / 1000, why.text);
    }
}

static uint64_t look(struct sim_world *w, uint64_t converged_since)
{
    uint64_t passed = w->now_us - w->phase_since_us;
    struct diag why = {0};

    switch (w->phase) {
    case SIM_FOUNDING:
        if (w->opt.faults_while_founding || sim_check_raft_converged(w, &why)) {
            enter(w, SIM_FAULTS);
        } else if (passed > FOUNDING_US) {
            sim_found(w, "the cluster was not founded in %d s: %s", FOUNDING_US / 1000000,
                      why.text);
        }
        return 0;
    case SIM_FAULTS:
        if (passed >= w->opt.fault_us) {
            enter(w, sim_live_begin(w) ? SIM_CORE : SIM_HEALING);
        }
        return 0;
    case SIM_CORE:
        return look_at_core(w, converged_since);
    case SIM_CORE_HEALTHY:
        if (passed >= w->opt.request_timeout_us + CORE_HEALTHY_US) {
            enter(w, SIM_HEALING);
        }
        return 0;
    case SIM_HEALING:
        if (!sim_check_raft_converged(w, &why) || !sim_rot_healed(w, &why)) {
            if (passed > sim_live_heal_bound_us(w) + sim_rot_bound_us(w)) {
                sim_found(w, "liveness: %lu ms after the last fault: %s", passed / 1000, why.text);
            }
            return 0;
        }
        if (converged_since == 0) {
            w->live.heal_us = passed;
            return w->now_us;
        }
        if (stays(w, converged_since)) {
            enter(w, SIM_HEALTHY);
        }
        return converged_since;
    case SIM_HEALTHY:
        if (passed >= HEALTHY_US) {
            enter(w, SIM_READING);
        }
        return 0;
    case SIM_READING:
        if (all_read(w) && clients_quiet(w)) {
            enter(w, SIM_SETTLING);
        } else if (passed > sim_live_heal_bound_us(w) + reading_us(w)) {
            sim_found(w, "liveness: the closing reads do not end");
        }
        return 0;
    case SIM_SETTLING:
        if (sim_check_raft_settled(w, &why)) {
            settled(w);
        } else if (passed > sim_live_heal_bound_us(w)) {
            sim_found(w, "liveness: replicas do not become equal: %s", why.text);
        }
        return 0;
    case SIM_DONE:
        return 0;
    }
    UNREACHABLE("phase");
}

static void phase_event(struct sim_world *w, uint64_t converged_since, uint64_t unused)
{
    (void)unused;
    sim_harm_poll(w);
    converged_since = look(w, converged_since);
    if (w->phase != SIM_DONE) {
        sim_in(w, STEP_US, phase_event, converged_since, 0);
    }
}

/* --- one run --- */

static void world_init(struct sim_world *w, const struct sim_options *given)
{
    struct buf text = {0};

    w->opt = *given;
    sim_bug_plant(w->opt.bug);
    sim_options_draw(&w->opt);
    sim_net_init(w);
    w->now_us = 1000000;
    if (w->opt.log != SIM_LOG_NONE) {
        sim_options_text(&w->opt, &text);
        sim_say(w, SIM_LOG_SHORT, "seed %lu: %.*s", w->opt.seed, (int)text.len,
                (const char *)text.data);
        buf_free(&text);
    }
    for (uint32_t i = 0; i < w->opt.hosts; i++) {
        sim_host_init(w, i);
        sim_host_start_in(w, &w->hosts[i], prng_below(&w->hosts[i].rng, 100000));
    }
    for (uint32_t i = 0; i < w->opt.clients; i++) {
        sim_client_init(w, i);
    }
    enter(w, SIM_FOUNDING);
    sim_in(w, STEP_US + 100000, phase_event, 0, 0);
}

static void world_free(struct sim_world *w)
{
    for (uint32_t i = 0; i < w->opt.hosts; i++) {
        sim_host_free(w, &w->hosts[i]);
    }
    for (uint32_t i = 0; i < w->opt.clients; i++) {
        sim_client_free(&w->clients[i]);
    }
    sim_net_free(&w->net);
    sim_packets_free(&w->packets);
    sim_history_free(&w->history);
    sim_reply_free(&w->reply);
    sim_check_raft_free(&w->raft);
    sim_harm_free(&w->harm);
    sim_queue_free(&w->queue);
    mem_free(w);
}

void sim_world_run(const struct sim_options *given, struct sim_result *out)
{
    struct sim_world *w = MEM_NEW(struct sim_world);
    struct sim_event ev;

    *out = (struct sim_result){0};
    world_init(w, given);
    while (!w->found && w->phase != SIM_DONE && sim_queue_pop(&w->queue, &ev)) {
        CHECK(ev.at_us >= w->now_us);
        w->now_us = ev.at_us;
        w->fault_now = 0;
        w->events++;
        if (w->opt.record != NULL) {
            w->opt.record->now_us = w->now_us;
        }
        ev.fn(w, ev.a, ev.b);
    }
    for (uint32_t i = 0; i < w->opt.hosts && !w->found; i++) {
        node_check(w->hosts[i].node, NODE_CHECK_DEEP);
    }
    sim_judge_history(w, out);
    sim_trace(w, 0xe4d, w->events);
    out->trace = w->trace;
    out->virtual_us = w->now_us;
    out->turns = w->turns;
    out->faults = w->faults;
    out->core_us = w->live.core_us;
    out->heal_us = w->live.heal_us;
    out->found = w->found;
    out->kind = w->kind;
    memcpy(out->finding, w->finding, sizeof out->finding);
    world_free(w);
}
