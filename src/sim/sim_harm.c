#include "sim/sim_harm.h"

#include "sim/sim_world.h"

static_assert((int)SIM_HARM_PARTITIONS_MAX == (int)SIM_PARTITIONS_MAX, "a place for each");

void sim_harm_free(struct sim_harm *m)
{
    sim_disk_free(&m->twin);
    sim_disk_free(&m->image);
}

bool sim_harm_is_on(const struct sim_world *w, const struct sim_host *h)
{
    return w->harm.open && w->harm.host == h->id;
}

bool sim_harm_begin(struct sim_world *w, struct sim_host *h, enum sim_harm_kind kind)
{
    struct sim_harm *m = &w->harm;
    struct diag why;

    if (w->opt.hosts < 3 || m->open || h->node == NULL || h->stopping ||
        !sim_check_raft_converged(w, &why) || !sim_rot_healed(w, &why)) {
        return false;
    }
    m->open = true;
    m->kind = kind;
    m->host = h->id;
    m->armed = m->started = m->must_notice = m->noticed = false;
    m->since_us = w->now_us;
    memset(m->of, 0, sizeof m->of);
    sim_disk_copy(&m->twin, &h->disk);
    m->has_twin = true;
    h->damaged = true;
    m->count++;
    if (kind == SIM_HARM_NEWEST || kind == SIM_HARM_IMAGE) {
        w->truce = true;
        sim_net_heal(w);
        for (uint32_t i = 0; i < w->opt.hosts; i++) {
            sim_host_resume(w, &w->hosts[i]);
        }
    }
    return true;
}

static void close_harm(struct sim_world *w)
{
    struct sim_harm *m = &w->harm;

    sim_disk_wipe(&m->twin);
    m->open = m->has_twin = false;
    w->truce = false;
}

void sim_harm_cancel(struct sim_world *w)
{
    w->harm.count--;
    close_harm(w);
}

/* --- a start --- */

static bool same_state(const struct node_group_view *a, const struct node_group_view *b)
{
    struct raft_hard ha = raft_hard(a->raft), hb = raft_hard(b->raft);

    return a->self.n == b->self.n && ha.term.n == hb.term.n && ha.voted_for.n == hb.voted_for.n &&
           a->last.n == b->last.n &&
           raft_term_at(a->raft, a->last).n == raft_term_at(b->raft, b->last).n &&
           a->applied.n == b->applied.n && a->digest == b->digest && a->rebuilding == b->rebuilding;
}

/* Less than the twin, but nothing else: what is there must be true. */
static bool is_part(const struct node_group_view *a, const struct node_group_view *b)
{
    struct raft_term at = raft_term_at(b->raft, a->last);

    return a->last.n <= b->last.n && a->term.n <= b->term.n &&
           (at.n == 0 || at.n == raft_term_at(a->raft, a->last).n ||
            a->term.n < b->term.n); /* a tail that was replaced later */
}

static void judge_group(struct sim_world *w, struct sim_host *h, uint32_t part,
                        const struct node *twin)
{
    struct sim_harm *m = &w->harm;
    struct node_group_view a = {0}, b = {0};
    bool have = node_group_view(h->node, part, &a) && a.here;
    bool had = node_group_view(twin, part, &b) && b.here;

    if (!have || !had) {
        if (have != had) {
            sim_found(w, "n%u p%u: %s after its data was harmed", h->id, part,
                      have ? "appeared" : "vanished");
        }
        return;
    }
    if (same_state(&a, &b)) {
        return;
    }
    if (a.rebuilding && a.self.n != b.self.n) {
        m->noticed = true;
        m->noticed_count++;
        sim_say(w, SIM_LOG_SHORT, "n%u has noticed that its p%u is harmed", h->id, part);
        return;
    }
    if (m->kind == SIM_HARM_PROVEN || m->kind == SIM_HARM_METADATA || !is_part(&a, &b)) {
        sim_found(w,
                  "n%u p%u started from harmed data without noticing: raft %lx term %lu last %lu "
                  "applied %lu; unharmed it is raft %lx term %lu last %lu applied %lu",
                  h->id, part, a.self.n, a.term.n, a.last.n, a.applied.n, b.self.n, b.term.n,
                  b.last.n, b.applied.n);
        return;
    }
    m->of[part].cut = true;
    m->of[part].self = a.self.n;
    m->cuts++;
    sim_say(w, SIM_LOG_SHORT,
            "n%u: its replica of p%u has forgotten: its log ends at %lu in term %lu, before at %lu "
            "in %lu",
            h->id, part, a.last.n, a.term.n, b.last.n, b.term.n);
    SOMETIMES(true, "sim_harm: a replica started without what it wrote last");
}

bool sim_harm_judge_start(struct sim_world *w, struct sim_host *h, const struct node_config *cfg,
                          const uint8_t entropy[32], const struct diag *why)
{
    struct sim_harm *m = &w->harm;
    struct disk_boot boot = sim_disk_boot(&m->twin);
    struct node *twin = NULL;
    struct diag twin_why = {{0}};

    m->started = true;
    m->started_us = w->now_us;
    m->whole_us = 0;
    if (h->node == NULL) {
        bool allowed = m->kind == SIM_HARM_METADATA && why->text[0] != 0;

        SOMETIMES(allowed, "sim_harm: harmed metadata, and a node that refused to start");
        m->refusals += allowed;
        return !allowed;
    }
    if (!m->has_twin) {
        return true;
    }
    if (node_open(cfg, &boot, h->now, entropy, &twin, &twin_why) != ERR_OK) {
        sim_found(w, "n%u cannot open the twin of its directory: %s", h->id, twin_why.text);
        return true;
    }
    for (uint32_t part = 0; part < node_partition_count(twin) && !w->found; part++) {
        judge_group(w, h, part, twin);
    }
    node_close(twin);
    sim_disk_wipe(&m->twin);
    m->has_twin = false;
    return true;
}

/* --- the end of it --- */

enum { SPOKEN_US = 1000000 };

static void judge_end(struct sim_world *w)
{
    struct sim_harm *m = &w->harm;
    struct sim_host *h = &w->hosts[m->host];
    bool cut = false;

    for (uint32_t part = 0; part < w->opt.partitions; part++) {
        struct node_group_view v;

        if (!m->of[part].cut || !node_group_view(h->node, part, &v)) {
            continue;
        }
        cut = true;
        if (v.self.n != m->of[part].self) {
            m->noticed = true;
            m->noticed_count++;
            SOMETIMES(true, "sim_harm: peers noticed that a replica forgot");
        } else {
            SOMETIMES_RARE(true, "sim_harm: what was forgotten nobody had heard of", 20000,
                           "a replica dies between a sync and the words about it, and just that "
                           "batch is harmed");
        }
    }
    if (cut && m->must_notice && !m->noticed) {
        sim_found(w, "n%u came back with an old image of its data, and nobody noticed", h->id);
    }
}

/* Whole again, and, where only the peers can tell, for long enough that whoever heard of what is
 * missing has said so: its link may come up in the same moment in which a leader is known. */
static bool whole(struct sim_world *w)
{
    struct sim_harm *m = &w->harm;
    uint64_t words_us = w->truce ? SPOKEN_US / 4 + 8 * (w->opt.latency_us + w->opt.jitter_us) : 0;
    struct diag why;

    if (!sim_check_raft_converged(w, &why)) {
        m->whole_us = 0;
        return false;
    }
    m->whole_us = m->whole_us == 0 ? w->now_us : m->whole_us;
    return w->now_us >= m->whole_us + words_us;
}

void sim_harm_poll(struct sim_world *w)
{
    struct sim_harm *m = &w->harm;

    /* A leader is known before the first words of the harmed node have come to everybody. */
    if (m->open && !m->armed && m->started && w->now_us > m->started_us + SPOKEN_US && whole(w)) {
        judge_end(w);
        close_harm(w);
    }
}

void sim_harm_heal(struct sim_world *w)
{
    struct sim_harm *m = &w->harm;
    struct sim_host *h = &w->hosts[m->host];

    if (!m->open) {
        return;
    }
    if (m->armed) { /* nothing was written since */
        h->write_fault = SIM_WRITE_AS_MEANT;
        sim_harm_cancel(w);
    } else if (!m->started) {
        sim_host_crash(w, h, false);
    }
    w->truce = false;
}
