#include "sim/sim_live.h"

#include "sim/sim_fault.h"
#include "sim/sim_world.h"

/* What the product promises itself, restated here: whoever changes one there meets a finding, or
 * a bound that is too wide, here. All in microseconds. */
enum {
    SILENCE_US = 3000000, /* a link from which nothing comes is closed (node_link.c) */
    HELLO_US = 2000000,   /* a dial, or a peer that does not introduce itself, is given up */
    REDIAL_US = 750000,   /* the longest pause before the next dial */
    TCP_RETRY_US = 2000000,
    SNAPSHOT_US = 5000000, /* a snapshot of what a run can write, with everything in its way */
    JOIN_STEP_US = 300000, /* a replica asks to be taken in this often (node_member.c) */
    JOIN_STEPS = 4,        /* learner, caught up, joint, done */
    SEND_PATIENCE_US = 15000000, /* a snapshot nobody acknowledges (node_snapsend.c) */
    ROUNDS = 10, /* elections in a row that nobody wins: with random timeouts, one in millions */
};

/* A link may have just been dialed into nothing, or be open on one side only: both ends know of
 * one that works after this. */
static uint64_t links_us(void)
{
    return SILENCE_US + HELLO_US + REDIAL_US + TCP_RETRY_US;
}

/* Links; a disk operation that began before the faults ended; elections; and one member of the
 * quorum may have to be caught up first. */
uint64_t sim_live_core_bound_us(const struct sim_world *w)
{
    return links_us() + w->opt.fault_long_us + ROUNDS * w->opt.election_us_max + SNAPSHOT_US;
}

/* Beyond that: a snapshot may be under way to one who forgot it; replicas are taken in step by
 * step, and nodes take one checkpoint at a time. */
uint64_t sim_live_heal_bound_us(const struct sim_world *w)
{
    uint64_t joins = JOIN_STEPS * (JOIN_STEP_US + 4 * w->opt.disk_sync_us) + SNAPSHOT_US / 4;

    return sim_live_core_bound_us(w) + SEND_PATIENCE_US + w->opt.partitions * joins +
           sim_churn_bound_us(w);
}

uint64_t sim_live_settle_us(const struct sim_world *w)
{
    uint64_t links = w->opt.fault[SIM_FAULT_HALF_OPEN] ? links_us() : TCP_RETRY_US;

    return links > w->opt.fault_long_us ? links : w->opt.fault_long_us;
}

bool sim_live_must_succeed(const struct sim_world *w, uint32_t host, uint64_t sent_us)
{
    return w->healthy_since_us != 0 && sent_us > w->healthy_since_us && sim_live_in_core(w, host);
}

bool sim_live_in_core(const struct sim_world *w, uint32_t host)
{
    return (w->live.outsiders >> host & 1) == 0;
}

uint32_t sim_live_host(const struct sim_world *w, struct prng *dice)
{
    uint32_t host = (uint32_t)prng_below(dice, w->opt.hosts);

    while (!sim_live_in_core(w, host)) {
        host = (host + 1) % w->opt.hosts;
    }
    return host;
}

/* Who may stay away: nobody before all were founded; while the data of one is harmed, only that
 * one. */
static uint32_t draw_outsiders(struct sim_world *w)
{
    uint32_t replicas = w->opt.replicas < w->opt.hosts ? w->opt.replicas : w->opt.hosts;
    uint32_t most = (replicas - 1) / 2, chosen = 0;
    uint64_t count = most == 0 ? 0 : prng_between(&w->rng, 1, most);
    struct diag why;

    for (uint32_t i = 0; i < w->opt.hosts; i++) {
        if (!w->hosts[i].founded) {
            return 0;
        }
    }
    if (!sim_rot_healed(w, &why)) {
        return 0; /* with one away and one rotten, nobody could prove anything */
    }
    if (w->harm.open) {
        return most > 0 ? 1U << w->harm.host : 0;
    }
    while (count > 0) {
        uint32_t bit = 1U << prng_below(&w->rng, w->opt.hosts);

        count -= (chosen & bit) == 0;
        chosen |= bit;
    }
    return chosen;
}

static void cut_off(struct sim_world *w, uint32_t host, bool to, bool from)
{
    bool breaks = prng_chance(&w->rng, 1, 2);

    for (uint32_t i = 0; i < SIM_PLACES; i++) {
        if (i != host && to) {
            sim_net_cut(w, i, host, UINT64_MAX, breaks);
        }
        if (i != host && from) {
            sim_net_cut(w, host, i, UINT64_MAX, breaks);
        }
    }
}

static void send_away(struct sim_world *w, struct sim_host *h, enum sim_outside how)
{
    static const char *const names[] = {"dead", "dark", "asleep", "cut off", "deaf", "mute"};

    sim_say(w, SIM_LOG_SHORT, "n%u stays %s", h->id, names[how]);
    switch (how) {
    case SIM_OUTSIDE_DEAD:
    case SIM_OUTSIDE_DARK:
        sim_host_crash(w, h, how == SIM_OUTSIDE_DARK);
        h->dark = how == SIM_OUTSIDE_DARK;
        h->stays_down = true;
        return;
    case SIM_OUTSIDE_ASLEEP:
        h->stays_down = h->node == NULL;
        sim_host_pause(w, h, UINT64_MAX / 4);
        return;
    case SIM_OUTSIDE_CUT:
    case SIM_OUTSIDE_DEAF:
    case SIM_OUTSIDE_MUTE:
        cut_off(w, h->id, how != SIM_OUTSIDE_MUTE, how != SIM_OUTSIDE_DEAF);
        sim_fault_heal_host(w, h);
        return;
    case SIM_OUTSIDE_KINDS:
        break;
    }
    UNREACHABLE("way to stay away");
}

bool sim_live_begin(struct sim_world *w)
{
    w->rng = sim_dice(w, SIM_FOR_HEAL, 1);
    /* Where replicas are on their way any one may be needed. */
    if (w->opt.hosts < 3 || sim_churn_began(w) || !prng_chance(&w->rng, 2, 3)) {
        return false;
    }
    w->live.outsiders = draw_outsiders(w);
    sim_trace(w, 0x11fe, w->live.outsiders);
    if (w->live.outsiders == 0) {
        return false;
    }
    /* Hosts go on meanwhile and may elect a leader: nobody strikes it any more, and opens ways for
     * that which are being closed here (seed 19872 of 0ab1b6e). */
    w->phase = SIM_CORE;
    sim_net_heal(w);
    sim_fault_disks_heal(w);
    for (uint32_t i = 0; i < w->opt.hosts; i++) {
        if (sim_live_in_core(w, i)) {
            sim_fault_heal_host(w, &w->hosts[i]);
        } else {
            send_away(w, &w->hosts[i], (enum sim_outside)prng_below(&w->rng, SIM_OUTSIDE_KINDS));
        }
    }
    return true;
}

bool sim_live_excused(struct sim_world *w)
{
    uint32_t wanted = w->opt.replicas < w->opt.hosts ? w->opt.replicas : w->opt.hosts;

    for (uint32_t part = 0; part < w->opt.partitions; part++) {
        uint32_t whole = 0;

        for (uint32_t i = 0; i < w->opt.hosts; i++) {
            struct node_group_view v;

            whole += sim_live_in_core(w, i) && w->hosts[i].node != NULL &&
                     node_group_view(w->hosts[i].node, part, &v) && v.here && !v.rebuilding;
        }
        if (whole < wanted / 2 + 1) {
            return true;
        }
    }
    return false;
}
