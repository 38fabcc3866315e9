#include "sim/sim_fault_memory.h"

#include "sim/sim_fault.h"
#include "sim/sim_world.h"

static bool is_open(const struct sim_rot *r)
{
    return r->end_us == 0;
}

/* The value is right again, but copies of it may not be. */
static bool lingers(const struct sim_world *w, const struct sim_rot *r)
{
    const struct sim_host *h = &w->hosts[r->host];
    struct node_group_view v;

    return r->overwritten && h->node != NULL && h->life == r->life &&
           node_group_view(h->node, r->part, &v) && v.installs == r->installs;
}

bool sim_rot_in(const struct sim_world *w, uint32_t host, uint32_t part)
{
    for (uint32_t i = 0; i < w->rots.count; i++) {
        const struct sim_rot *r = &w->rots.at[i];

        if (is_open(r) && r->host == host && r->part == part) {
            return true;
        }
    }
    return false;
}

bool sim_rot_in_host(const struct sim_world *w, uint32_t host)
{
    for (uint32_t part = 0; part < w->opt.partitions; part++) {
        if (sim_rot_in(w, host, part)) {
            return true;
        }
    }
    return false;
}

static bool partition_rots(const struct sim_world *w, uint32_t part)
{
    for (uint32_t i = 0; i < w->rots.count; i++) {
        const struct sim_rot *r = &w->rots.at[i];

        if (r->part == part && (is_open(r) || lingers(w, r))) {
            return true;
        }
    }
    return false;
}

/* The number in the name of a key: "reg:7", "{pair:7}a". */
static uint32_t object_of(struct slice key)
{
    uint32_t object = 0;
    size_t at = 0;

    while (at < key.len && key.data[at] != ':') {
        at++;
    }
    for (at++; at < key.len && key.data[at] >= '0' && key.data[at] <= '9'; at++) {
        object = object * 10 + (uint32_t)(key.data[at] - '0');
    }
    return object;
}

/* Everyone is there and votes: were two replicas to lose what they know at once, nothing could
 * be proved, and what the third has not yet heard of would be gone. */
static bool partition_whole(struct sim_world *w, uint32_t part)
{
    uint32_t here = 0;

    for (uint32_t i = 0; i < w->opt.hosts; i++) {
        const struct sim_host *h = &w->hosts[i];
        struct node_group_view v;

        if (h->node != NULL && node_group_view(h->node, part, &v) && v.here && !v.rebuilding &&
            v.conf->outgoing_count == 0 && v.conf->learner_count == 0) {
            here++;
        }
    }
    return here >= w->opt.replicas && !partition_rots(w, part);
}

/* A replica of the partition: a follower, as a rule. -1: none will do. */
static int pick_host(struct sim_world *w, uint32_t part)
{
    uint64_t first = prng_below(&w->rng, w->opt.hosts);
    bool leader = prng_chance(&w->rng, 1, 4);

    for (uint32_t i = 0; i < w->opt.hosts; i++) {
        uint32_t id = (uint32_t)(first + i) % w->opt.hosts;
        struct node_group_view v;

        if (w->hosts[id].node != NULL && node_group_view(w->hosts[id].node, part, &v) && v.here &&
            !v.rebuilding && (v.role == RAFT_LEADER) == leader) {
            return (int)id;
        }
    }
    return -1;
}

static void rot_one(struct sim_world *w, uint32_t part)
{
    int id = pick_host(w, part);
    struct sim_rot *r = &w->rots.at[w->rots.count];
    struct node_group_view v;
    struct buf key = {0};

    if (id < 0 || w->harm.open || w->rots.count == SIM_ROTS_MAX || !partition_whole(w, part)) {
        return;
    }
    if (node_rot(w->hosts[id].node, part, &w->rng, &key)) {
        (void)node_group_view(w->hosts[id].node, part, &v);
        *r = (struct sim_rot){.host = (uint32_t)id,
                              .part = part,
                              .object = object_of(buf_slice(&key)),
                              .life = w->hosts[id].life,
                              .installs = v.installs,
                              .since_us = w->now_us,
                              .led = v.role == RAFT_LEADER};
        w->rots.count++;
        sim_trace(w, 0x707, r->object);
        sim_say(w, SIM_LOG_SHORT, "n%d p%u %s a bit of %.*s rots", id, part,
                r->led ? "leader" : "follower", (int)key.len, (const char *)key.data);
    }
    buf_free(&key);
}

void sim_rot_some(struct sim_world *w)
{
    if (w->opt.hosts < 3) {
        return; /* there must be others that are right */
    }
    for (uint32_t part = 0; part < w->opt.partitions; part++) {
        if (prng_chance(&w->rng, 1, 2)) {
            rot_one(w, part);
        }
    }
}

static void rot_ends(struct sim_world *w, struct sim_rot *r, const char *how)
{
    r->end_us = w->now_us;
    sim_trace(w, 0x70e, r->known_us);
    sim_say(w, SIM_LOG_SHORT, "n%u p%u rot of object %u ends after %lu ms: %s", r->host, r->part,
            r->object, (w->now_us - r->since_us) / 1000, how);
    SOMETIMES(r->known_us != 0, "sim: rot was found and repaired");
    SOMETIMES(r->led, "sim: a rotten replica led before it was found");
}

void sim_rot_gone(struct sim_world *w, struct sim_host *h)
{
    for (uint32_t i = 0; i < w->rots.count; i++) {
        if (is_open(&w->rots.at[i]) && w->rots.at[i].host == h->id) {
            rot_ends(w, &w->rots.at[i], "the process ended");
        }
    }
}

static struct sim_rot *rot_of(struct sim_world *w, uint32_t host, uint32_t part)
{
    for (uint32_t i = w->rots.count; i-- > 0;) {
        if (w->rots.at[i].host == host && w->rots.at[i].part == part && is_open(&w->rots.at[i])) {
            return &w->rots.at[i];
        }
    }
    return NULL;
}

static void look(struct sim_world *w, struct sim_rot *r, const struct node_group_view *v)
{
    const struct sim_host *h = &w->hosts[r->host];

    if (v->installs != r->installs) {
        if (v->suspect) {
            sim_found(w, "n%u p%u: its state was replaced, and it is still called wrong", r->host,
                      r->part);
        }
        rot_ends(w, r, r->known_us != 0 ? "repaired" : "overtaken by a snapshot");
        return;
    }
    if (v->suspect && r->known_us == 0) {
        r->known_us = w->now_us;
        sim_say(w, SIM_LOG_SHORT, "n%u p%u rot of object %u found after %lu ms", r->host, r->part,
                r->object, (w->now_us - r->since_us) / 1000);
    } else if (!v->suspect && r->known_us != 0) {
        sim_found(w, "n%u p%u: trusts its state again, and nothing has repaired it", r->host,
                  r->part);
    }
    r->led = r->led || (r->known_us == 0 && v->role == RAFT_LEADER);
    if (r->known_us == 0 && h->turns % 64 == 0 && node_sound(h->node, r->part)) {
        r->overwritten = true;
        rot_ends(w, r, "the value was overwritten");
    }
}

/* The replica is found to be wrong. Seed 618: a checkpoint had begun before the rotten value was
 * overwritten, so it held that one, and the replica noticed. */
static bool came_back(struct sim_world *w, uint32_t host, uint32_t part)
{
    for (uint32_t i = w->rots.count; i-- > 0;) {
        struct sim_rot *r = &w->rots.at[i];

        if (r->host == host && r->part == part && lingers(w, r)) {
            r->overwritten = false;
            r->end_us = 0;
            r->known_us = w->now_us;
            sim_say(w, SIM_LOG_SHORT, "n%u p%u copies of the rotten object %u are found", host,
                    part, r->object);
            SOMETIMES_RARE(true, "sim: rot was found in what had been copied from it", MARK_NOT_DUE,
                           "needs a checkpoint that began before the value was overwritten");
            return true;
        }
    }
    return false;
}

void sim_rot_turn(struct sim_world *w, struct sim_host *h)
{
    for (uint32_t part = 0; part < w->raft.view_count && !w->found; part++) {
        const struct node_group_view *v = &w->raft.views[part];
        struct sim_rot *r = rot_of(w, h->id, part);

        if (!v->here) {
            continue;
        }
        if (r != NULL) {
            look(w, r, v);
        } else if (v->suspect && !came_back(w, h->id, part)) {
            sim_found(w, "n%u p%u at index %lu is found to be wrong, and nothing had rotted", h->id,
                      part, v->applied.n);
        }
        if (v->unresolved) {
            sim_found(w, "n%u p%u: no majority of replicas is right, and at most one had rotted",
                      h->id, part);
        }
    }
}

bool sim_rot_excuses(const struct sim_world *w, const struct sim_op *op)
{
    for (uint32_t i = 0; i < w->rots.count; i++) {
        const struct sim_rot *r = &w->rots.at[i];
        uint64_t until = r->known_us != 0 ? r->known_us : r->end_us;

        if (r->led && r->object == op->object && (until == 0 || op->call_us <= until)) {
            return true;
        }
    }
    return false;
}

bool sim_rot_healed(const struct sim_world *w, struct diag *why)
{
    for (uint32_t i = 0; i < w->rots.count; i++) {
        const struct sim_rot *r = &w->rots.at[i];

        if (is_open(r)) {
            diag_set(why, "n%u p%u: object %u has rotted %lu ms ago and is %s", r->host, r->part,
                     r->object, (w->now_us - r->since_us) / 1000,
                     r->known_us != 0 ? "known and not repaired" : "not found");
            return false;
        }
    }
    return true;
}

uint64_t sim_rot_bound_us(const struct sim_world *w)
{
    return 4 * w->opt.scrub_rest_us + 8 * w->opt.digest_us + 10000000;
}
