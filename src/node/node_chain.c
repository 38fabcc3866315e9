/* Driving core/paxos: messages over the links, its state in meta/chain, maps as they are decided.
 *
 * The file is kept twice, like all metadata, and its copy is written after it. A write counts
 * only when BOTH files have it: were a promise spoken with one file written, that file could be
 * damaged later, and the older copy would bring back a state from before the promise. After a
 * crash between the two they are made equal before anything is said (`mending`).
 */
#include "node/node_chain.h"

#include "base/base_hash.h"
#include "base/base_mem.h"
#include "node/node_internal.h"

#define META_CHAIN "meta/chain"

enum {
    WRITE_RETRY_US = 1000 * 1000,
    VALUE_BYTES_MAX = 1 << 20,
    ROUNDS_MAX = 4, /* of flushing in one turn: a council of one decides at once */
};

/* ---- what a value says ---- */

static bool council_of_map(const struct wire_map *map, struct paxos_council *c)
{
    *c = (struct paxos_council){.count = map->council_count,
                                .quorum1 = (uint8_t)(map->council_count / 2 + 1),
                                .quorum2 = (uint8_t)(map->council_count / 2 + 1)};
    static_assert((int)WIRE_COUNCIL_MAX <= (int)PAXOS_ACCEPTORS_MAX, "every council fits");
    for (uint8_t i = 0; i < map->council_count; i++) {
        c->ids[i].n = map->members[map->council[i]].paxos;
    }
    return paxos_council_valid(c);
}

static bool council_of(struct slice value, struct paxos_council *c)
{
    struct wire_map map;
    bool valid = wire_get_map(value, &map) == ERR_OK && council_of_map(&map, c);

    wire_map_free(&map);
    return valid;
}

/* A map of this cluster, with that epoch. */
static bool value_fits(const struct node *n, uint64_t epoch, struct slice value)
{
    const struct wire_map *mine = &n->chain->map;
    struct wire_map map;
    bool fits = wire_get_map(value, &map) == ERR_OK && map.epoch == epoch &&
                wire_id_eq(&map.cluster, &mine->cluster) && map.partitions == mine->partitions;

    wire_map_free(&map);
    return fits;
}

static void note_digest(struct node *n)
{
    struct buf value = {0};

    wire_put_map(&value, &n->chain->map);
    n->chain->digest = hash64(value.data, value.len);
    buf_free(&value);
}

bool node_map_view(const struct node *n, struct node_map_view *out)
{
    const struct chain *c = n->chain;

    if (c == NULL) {
        return false;
    }
    *out = (struct node_map_view){.epoch = c->map.epoch,
                                  .digest = c->digest,
                                  .members = c->map.member_count,
                                  .acceptors = c->map.council_count,
                                  .self = n->paxos};
    return true;
}

const struct wire_map *node_chain_map(const struct node *n)
{
    return n->chain == NULL ? NULL : &n->chain->map;
}

bool node_map_has_self(const struct node *n)
{
    const struct wire_map *map = node_chain_map(n);
    int pos = map == NULL ? -1 : wire_map_member(map, &n->id);

    return pos >= 0 && map->members[pos].paxos == n->paxos;
}

/* ---- meta/chain ---- */

static void put_ballot(struct buf *b, struct paxos_ballot ballot)
{
    put_u64le(b, ballot.round);
    put_u64le(b, ballot.node.n);
}

static struct paxos_ballot get_ballot(struct reader *r)
{
    struct paxos_ballot ballot = {.round = get_u64le(r)};

    ballot.node.n = get_u64le(r);
    return ballot;
}

static void body_put(struct buf *b, uint64_t self, const struct paxos_recovered *rec)
{
    b->len = 0;
    put_u64le(b, self);
    put_u64le(b, rec->hard.round);
    put_u64le(b, rec->hard.instance.n);
    put_ballot(b, rec->hard.promised);
    put_ballot(b, rec->hard.accepted);
    put_bytes(b, rec->hard.value);
    put_u64le(b, rec->decided.n);
    put_bytes(b, rec->value);
}

/* Slices are borrowed from body. */
static enum err body_get(struct slice body, uint64_t *self, struct paxos_recovered *rec)
{
    struct reader r = reader_of(body.data, body.len);

    *rec = (struct paxos_recovered){0};
    *self = get_u64le(&r);
    rec->hard.round = get_u64le(&r);
    rec->hard.instance.n = get_u64le(&r);
    rec->hard.promised = get_ballot(&r);
    rec->hard.accepted = get_ballot(&r);
    rec->hard.value = get_bytes(&r);
    rec->decided.n = get_u64le(&r);
    rec->value = get_bytes(&r);
    return r.bad || r.pos != r.end || *self == 0 ? ERR_CORRUPT : ERR_OK;
}

static void write_now(struct node *n)
{
    struct chain *c = n->chain;

    if (!c->dirty || c->writing || n->now.mono_us < c->write_retry_us) {
        return;
    }
    c->writing = true;
    c->dirty = false;
    c->issued++;
    node_meta_write(n, META_CHAIN, DISK_USER_CHAIN, &c->body);
}

/* The state as it is now goes to disk, also if paxos thinks that it is there. */
static void write_anew(struct node *n)
{
    struct chain *c = n->chain;
    struct paxos_recovered rec = {.hard = paxos_hard(c->paxos),
                                  .decided = paxos_decided(c->paxos),
                                  .value = paxos_value(c->paxos)};

    body_put(&c->body, n->paxos, &rec);
    c->dirty = c->mending = true;
}

/* ---- life ---- */

static enum err chain_create(struct node *n, const struct paxos_recovered *rec)
{
    const struct node_config *cfg = &n->cfg;
    const struct paxos_config config = {
        .self = {n->paxos},
        .retry_us = cfg->election_us_max,
        .backoff_us_min = cfg->heartbeat_us,
        .backoff_us_max = 8 * cfg->election_us_max + 2 * cfg->heartbeat_us,
        .finish_us = 4 * cfg->election_us_max,
        .value_bytes_max = VALUE_BYTES_MAX,
        .seed = hash64_mix(n->run, n->paxos),
        .council_of = council_of,
    };

    return paxos_create(&config, rec, n->now.mono_us, &n->chain->paxos);
}

static void learn_own(struct node *n, const struct wire_map *map)
{
    struct buf value = {0};

    wire_put_map(&value, map);
    if (paxos_learn(n->chain->paxos, n->now.mono_us, (struct paxos_instance){map->epoch},
                    buf_slice(&value)) != ERR_OK) {
        n->troubles.maps_forked++;
    }
    buf_free(&value);
}

/* Nothing is known but the map: under an id that has never spoken. */
static void chain_fresh(struct node *n, uint64_t paxos_id, const struct wire_map *map)
{
    struct paxos_recovered rec = {.decided = {map->epoch}};
    struct buf value = {0};
    enum err err;

    n->paxos = paxos_id;
    wire_put_map(&value, map);
    rec.value = buf_slice(&value);
    err = chain_create(n, &rec);
    CHECK(err == ERR_OK);
    buf_free(&value);
}

static void chain_new(struct node *n, const struct wire_map *map)
{
    CHECK(n->chain == NULL);
    n->chain = MEM_NEW(struct chain);
    wire_map_copy(&n->chain->map, map);
    n->chain->listen_us = n->now.mono_us + n->cfg.election_us_min;
    note_digest(n);
}

static enum err take_newer(struct node *n, const struct paxos_recovered *rec, struct diag *why)
{
    struct chain *c = n->chain;
    int pos;

    wire_map_free(&c->map);
    if (wire_get_map(rec->value, &c->map) != ERR_OK ||
        !wire_id_eq(&c->map.cluster, &n->map.cluster) || c->map.partitions != n->map.partitions) {
        diag_set(why, META_CHAIN " holds the map of another cluster: the files of two nodes were "
                                 "mixed");
        return ERR_CORRUPT;
    }
    note_digest(n);
    if (c->map.epoch <= n->map.epoch) {
        return ERR_OK;
    }
    SOMETIMES(true, "node_chain: stopped between a decision and writing the map");
    pos = wire_map_member(&c->map, &n->id);
    if (pos < 0) {
        diag_set(why,
                 "this node is no member any more since map %llu; empty its directory and start "
                 "it with --join to have it taken in again",
                 (unsigned long long)c->map.epoch);
        return ERR_STALE;
    }
    wire_map_free(&n->map);
    wire_map_copy(&n->map, &c->map);
    n->self_pos = (uint32_t)pos;
    n->map_dirty = true;
    return ERR_OK;
}

/* What this node promised is gone, or unreadable: it has forgotten, and knows. */
static void boot_lost(struct node *n, const struct diag *why)
{
    SOMETIMES(true, "node_chain: the state of the chain is lost");
    node_log(n, NODE_LOG_ERROR,
             "msg=\"what this node promised as an acceptor of the map is lost: it takes part "
             "under another id\" reason=\"%s\"",
             why->text);
    /* With nobody else in the cluster nobody has heard a promise. */
    chain_fresh(n,
                n->map.member_count == 1 ? n->map.members[n->self_pos].paxos : node_new_paxos_id(n),
                &n->map);
    n->chain->renewed = true;
    write_anew(n);
}

/* Without a map nothing is said, and what may be there is overwritten; but the map may be what was
 * lost, and the id have spoken. (Where there is a log too, the node does not start: node_boot.c.)
 */
static void boot_mapless(struct node *n, const struct disk_boot *boot)
{
    struct buf body = {0};
    struct diag why = {0};
    struct paxos_recovered rec = {0};
    bool mend = false;
    uint64_t self = 0;
    enum err err = node_meta_read(boot, META_CHAIN, &body, &mend, &why);

    if (err == ERR_OK) {
        err = body_get(buf_slice(&body), &self, &rec);
    }
    if (err != ERR_NOT_FOUND && (err != ERR_OK || self != n->paxos || rec.hard.round != 0 ||
                                 rec.hard.promised.round != 0)) {
        n->paxos = node_new_paxos_id(n);
    }
    buf_free(&body);
}

enum err node_chain_boot(struct node *n, const struct disk_boot *boot, struct diag *why)
{
    struct buf body = {0};
    struct diag lost = {0};
    struct paxos_recovered rec;
    bool mend = false;
    enum err err;

    if (n->map.partitions == 0) {
        boot_mapless(n, boot);
        return ERR_OK;
    }
    chain_new(n, &n->map);
    err = node_meta_read(boot, META_CHAIN, &body, &mend, &lost);
    if (err == ERR_VERSION) {
        *why = lost;
        buf_free(&body);
        return err;
    }
    if (err == ERR_OK) {
        err = body_get(buf_slice(&body), &n->paxos, &rec);
    }
    if (err == ERR_OK) {
        err = chain_create(n, &rec);
    }
    if (err != ERR_OK) {
        boot_lost(n, &lost);
        buf_free(&body);
        return ERR_OK;
    }
    err = take_newer(n, &rec, why);
    buf_free(&body);
    if (err == ERR_OK && n->map.epoch > paxos_decided(n->chain->paxos).n) {
        learn_own(n, &n->map); /* the disk was full when it was decided */
    }
    if (err == ERR_OK && mend) {
        SOMETIMES(true, "node_chain: one of the two files was mended");
        write_anew(n);
    }
    return err;
}

void node_chain_found(struct node *n, const struct wire_map *map)
{
    struct paxos_recovered rec = {.decided = {map->epoch}};
    struct buf body = {0}, value = {0};

    wire_put_map(&value, map);
    rec.value = buf_slice(&value);
    body_put(&body, n->paxos, &rec);
    node_meta_write(n, META_CHAIN, DISK_USER_CHAIN, &body);
    buf_free(&body);
    buf_free(&value);
}

void node_chain_begin(struct node *n)
{
    chain_new(n, &n->map);
    chain_fresh(n, n->paxos, &n->map);
}

static void drop_held(struct chain *c)
{
    while (c->held_count > 0) {
        buf_free(&c->held[--c->held_count].frame);
    }
}

void node_chain_free(struct node *n)
{
    struct chain *c = n->chain;

    if (c == NULL) {
        return;
    }
    drop_held(c);
    paxos_effects_free(&c->fx);
    paxos_destroy(c->paxos);
    wire_map_free(&c->map);
    buf_free(&c->body);
    mem_free(c);
    n->chain = NULL;
}

void node_chain_forgot(struct node *n)
{
    struct chain *c = n->chain;

    /* What it said in this run rests on what it wrote in this run: once is enough. */
    if (c == NULL || c->renewed) {
        return;
    }
    SOMETIMES(true, "node_chain: a member that forgot takes another id");
    node_log(n, NODE_LOG_WARN,
             "msg=\"this directory is older than what was heard of it: the node takes part in "
             "deciding the map under another id\"");
    drop_held(c);
    paxos_destroy(c->paxos);
    c->paxos = NULL;
    c->fx.count = 0;
    c->offered = c->won = false;
    chain_fresh(n, node_new_paxos_id(n), &c->map);
    c->renewed = true;
    write_anew(n);
}

/* ---- messages ---- */

static struct link *link_of(struct node *n, uint64_t paxos_id)
{
    return node_link_to(n, (struct raft_id){node_of_paxos_id(paxos_id)});
}

static void send_frame(struct node *n, uint64_t to, const struct buf *frame)
{
    struct link *l = link_of(n, to);

    if (l != NULL) { /* else it is lost, and paxos asks again */
        buf_append(&l->now, frame->data, frame->len);
    }
}

static void send_msg(struct node *n, const struct paxos_msg *m, uint64_t gate)
{
    struct chain *c = n->chain;
    struct buf frame = {0};
    size_t mark = wire_begin(&frame, WIRE_PAXOS);

    wire_put_paxos(&frame, m);
    wire_end(&frame, mark);
    if (gate <= c->durable) {
        send_frame(n, m->to.n, &frame);
        buf_free(&frame);
        return;
    }
    if (c->held_count == CHAIN_HELD_MAX) { /* a disk that is full for long: the oldest is lost */
        buf_free(&c->held[0].frame);
        memmove(c->held, c->held + 1, --c->held_count * sizeof c->held[0]);
    }
    c->held[c->held_count++] = (struct chain_held){.gate = gate, .to = m->to.n, .frame = frame};
}

static void release_held(struct node *n)
{
    struct chain *c = n->chain;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < c->held_count; i++) {
        if (c->held[i].gate > c->durable) {
            c->held[kept++] = c->held[i];
            continue;
        }
        send_frame(n, c->held[i].to, &c->held[i].frame);
        buf_free(&c->held[i].frame);
    }
    c->held_count = kept;
}

/* Others may still come to say that this node forgot, or its files are not equal yet. What is
 * decided may be heard all the same. */
static bool deaf(const struct node *n, enum paxos_msg_kind kind)
{
    const struct chain *c = n->chain;

    return (c->mending || n->now.mono_us < c->listen_us) && kind != PAXOS_DECIDED;
}

static void forked(struct node *n, const struct link *l)
{
    n->troubles.maps_forked++;
    node_log(n, NODE_LOG_ERROR,
             "msg=\"two maps were decided for one epoch, or two values offered in one ballot: a "
             "member forgot and spoke; what this one says is ignored\" peer=%s epoch=%llu",
             l->addr, (unsigned long long)n->chain->map.epoch);
}

static bool has_value(const struct paxos_msg *m)
{
    return m->kind == PAXOS_ACCEPT || m->kind == PAXOS_DECIDED ||
           (m->kind == PAXOS_PROMISE && m->accepted.round != 0);
}

/* False: the link is gone. */
static bool step(struct node *n, struct link *l, const struct paxos_msg *m)
{
    enum err err;

    if (node_of_paxos_id(m->from.n) != node_short_id(&l->node) || deaf(n, m->kind)) {
        return true; /* late, of one that was there before */
    }
    if (has_value(m) && !value_fits(n, m->instance.n, m->value)) {
        node_link_garbled(n, l, "a map that does not fit this cluster");
        return false;
    }
    err = paxos_step(n->chain->paxos, n->now.mono_us, m);
    SOMETIMES(err == ERR_MISROUTED, "node_chain: a message for an earlier id");
    if (err == ERR_FORKED) {
        forked(n, l);
    } else if (err != ERR_OK && err != ERR_MISROUTED) {
        node_link_garbled(n, l, "a message of the chain of maps that makes no sense");
        return false;
    }
    return true;
}

void node_chain_frame(struct node *n, struct link *l, struct slice payload)
{
    struct reader r = reader_of(payload.data, payload.len);
    struct paxos_msg m;

    while (reader_left(&r) > 0) {
        if (wire_get_paxos(&r, &m) != ERR_OK) {
            node_link_garbled(n, l, "a message of the chain of maps that cannot be read");
            return;
        }
        if (n->chain != NULL && !step(n, l, &m)) {
            return;
        }
    }
}

void node_chain_learn(struct node *n, struct link *l, struct slice map)
{
    struct wire_map told;
    uint64_t epoch;
    enum err err;

    if (wire_get_map(map, &told) != ERR_OK) {
        node_link_garbled(n, l, "a map that cannot be read");
        return;
    }
    epoch = told.epoch;
    wire_map_free(&told);
    l->map_epoch = epoch > l->map_epoch ? epoch : l->map_epoch;
    if (n->chain == NULL || epoch < n->chain->map.epoch) {
        return;
    }
    if (!value_fits(n, epoch, map)) {
        node_link_garbled(n, l, "a map that does not fit this cluster");
        return;
    }
    err = paxos_learn(n->chain->paxos, n->now.mono_us, (struct paxos_instance){epoch}, map);
    if (err == ERR_FORKED) {
        forked(n, l);
    } else if (err != ERR_OK) {
        node_link_garbled(n, l, "a map that cannot be");
    }
}

/* ---- effects ---- */

static void persist(struct node *n, const struct paxos_effect *e)
{
    const struct paxos_recovered rec = {
        .hard = e->u.persist.hard, .decided = e->u.persist.decided, .value = e->u.persist.value};

    body_put(&n->chain->body, n->paxos, &rec);
    n->chain->dirty = true;
}

static void learned(struct node *n, struct slice value)
{
    struct chain *c = n->chain;
    struct wire_map map;
    enum err err;

    wire_map_free(&c->map);
    err = wire_get_map(value, &c->map);
    CHECK(err == ERR_OK); /* looked at when it came */
    note_digest(n);
    if (c->map.epoch <= n->map.epoch) {
        return; /* at the start: meta/map was written, meta/chain was not */
    }
    wire_map_copy(&map, &c->map);
    write_now(n); /* ahead of meta/map where possible */
    node_map_take(n, map);
}

static void over(struct node *n, const struct paxos_effect *e)
{
    struct chain *c = n->chain;

    SOMETIMES(e->u.over.outcome == PAXOS_LOST, "node_chain: another map won");
    SOMETIMES_RARE(e->u.over.outcome == PAXOS_UNKNOWN, "node_chain: the chain went on unseen",
                   20000,
                   "a proposer is cut off between offering a map and hearing what became of it, "
                   "and two maps are decided meanwhile");
    c->won = c->offered && e->u.over.outcome == PAXOS_WON;
    c->offered = false;
}

static void run(struct node *n, const struct paxos_effect *e)
{
    switch (e->kind) {
    case PAXOS_PERSIST:
        persist(n, e);
        return;
    case PAXOS_SEND:
        send_msg(n, &e->u.msg, e->gate);
        return;
    case PAXOS_PROPOSAL_OVER:
        over(n, e);
        return;
    case PAXOS_LEARNED:
        learned(n, e->u.learned.value);
        return;
    }
    UNREACHABLE("effect of paxos");
}

void node_chain_flush(struct node *n)
{
    struct chain *c = n->chain;

    if (c == NULL) {
        return;
    }
    for (unsigned round = 0; round < ROUNDS_MAX && n->phase != NODE_PHASE_STOPPED; round++) {
        node_steward_next(n);
        if (!c->mending) {
            paxos_flush(c->paxos, c->issued + 1, &c->fx);
            for (uint32_t i = 0; i < c->fx.count; i++) {
                run(n, &c->fx.at[i]);
            }
        }
        if (c->mending || c->fx.count == 0) {
            break;
        }
    }
    write_now(n);
    node_issue_ops(n);
}

void node_chain_disk(struct node *n, const struct disk_done *done)
{
    struct chain *c = n->chain;

    if (done->err == ERR_NO_SPACE && c != NULL) {
        SOMETIMES(true, "node_chain: a disk without room for a promise");
        c->writing = false;
        c->dirty = true; /* `body` is as new as what could not be written, or newer */
        c->write_retry_us = n->now.mono_us + WRITE_RETRY_US;
        return;
    }
    if (done->err != ERR_OK) {
        node_fail(n, done->err, &done->why);
        return;
    }
    if (c == NULL || !c->writing) {
        return; /* that of the first map, which meta/map follows */
    }
    c->writing = false;
    c->durable = c->issued;
    if (c->mending && !c->dirty) {
        c->mending = false;
    }
    paxos_durable(c->paxos, n->now.mono_us, c->durable);
    release_held(n);
}

void node_chain_tick(struct node *n)
{
    struct chain *c = n->chain;

    if (c == NULL || c->mending || n->now.mono_us < c->listen_us) {
        return;
    }
    if (n->now.mono_us >= paxos_deadline_us(c->paxos)) {
        paxos_tick(c->paxos, n->now.mono_us);
    }
    node_steward_tick(n);
}
