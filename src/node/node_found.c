/* Identity, and how a node comes to its first map.
 *
 * The founding members start with the same list; the one with the lowest address waits for all
 * others' identities, writes map 1 and gives it to them: the first value of the chain of maps,
 * decided (node_chain.c). Whoever comes later gets the newest map that names it. A member is its
 * random id, never its address: an emptied directory has a new id and is refused as a voter.
 */
#include "node/node_internal.h"

#include "base/base_hash.h"
#include "base/base_mem.h"
#include "node/node_mapplan.h"

#include <stdio.h>
#include <stdlib.h>

#define META_NODE "meta/node"
/* The id; then the one under which the node first takes part in deciding the map: it is told before
 * there is a map, and a founder that restarts meanwhile must be the one whom the map names. Were it
 * another, and another founder's too, a majority of the first council would not exist (seed 4689).
 */
enum { IDENTITY_BYTES = sizeof(struct wire_id) + 8 };
#define META_MAP "meta/map"
/* flags before the map in meta/map */
enum { MAP_LOG_STARTED = 1, MAP_JOINED = 2 };

static int addr_order(const void *a, const void *b)
{
    return strcmp(a, b);
}

uint64_t node_found_hash(const struct node *n)
{
    char sorted[NODE_MEMBERS_MAX][NODE_ADDR_MAX];
    uint64_t hash = 1;

    memcpy(sorted, n->cfg.seeds, sizeof sorted);
    qsort(sorted, n->cfg.seed_count, sizeof sorted[0], addr_order);
    for (uint32_t i = 0; i < n->cfg.seed_count; i++) {
        hash = hash64_seeded(sorted[i], strlen(sorted[i]), hash);
    }
    return hash | 1;
}

uint64_t node_new_paxos_id(struct node *n)
{
    uint64_t chance = hash64_mix(n->run, ++n->paxos_ids);

    return node_short_id(&n->id) | (1 + chance % NODE_GENERATION_MASK);
}

static enum err boot_identity(struct node *n, const struct disk_boot *boot,
                              const uint8_t entropy[32], struct diag *why)
{
    struct buf body = {0};
    enum err err = node_meta_read(boot, META_NODE, &body, &n->identity_repair, why);

    if (err == ERR_NOT_FOUND) {
        memcpy(n->id.b, entropy, sizeof n->id.b);
        n->id.b[0] |= 1; /* never all zero */
        n->phase = NODE_PHASE_IDENTITY;
        err = ERR_OK;
        n->first_paxos = node_new_paxos_id(n);
    } else if (err == ERR_OK && body.len != IDENTITY_BYTES) {
        diag_set(why,
                 META_NODE " has %zu bytes instead of %u; empty the directory and bring this "
                           "node back with --join",
                 body.len, IDENTITY_BYTES);
        err = ERR_CORRUPT;
    } else if (err == ERR_OK) {
        memcpy(n->id.b, body.data, sizeof n->id.b);
        n->first_paxos = load_u64le(body.data + sizeof n->id.b);
        n->phase = NODE_PHASE_FOUNDING;
    }
    buf_free(&body);
    n->paxos = n->first_paxos;
    return err;
}

static enum err boot_map(struct node *n, const struct disk_boot *boot, struct diag *why)
{
    struct buf body = {0};
    enum err err = node_meta_read(boot, META_MAP, &body, &n->map_dirty, why);

    if (err == ERR_NOT_FOUND) {
        buf_free(&body);
        return ERR_OK;
    }
    if (err == ERR_OK && n->phase == NODE_PHASE_IDENTITY) {
        diag_set(why, META_NODE " is missing although " META_MAP " is there: the node's identity "
                                "is lost; empty the directory and bring the node back with --join");
        err = ERR_CORRUPT;
    }
    if (err == ERR_OK) {
        struct slice rest = {body.data + 1, body.len - 1};

        n->log_started = body.len > 0 && (body.data[0] & MAP_LOG_STARTED) != 0;
        n->joined = body.len > 0 && (body.data[0] & MAP_JOINED) != 0;
        if (body.len < 2 || wire_get_map(rest, &n->map) != ERR_OK) {
            diag_set(why, META_MAP " does not hold a cluster map; empty the directory and bring "
                                   "the node back with --join");
            err = ERR_CORRUPT;
        }
    }
    buf_free(&body);
    if (err == ERR_OK) {
        int pos = node_member_by_id(n, &n->id);

        if (pos < 0) {
            diag_set(why, META_MAP " does not name this node: the files of two nodes were mixed");
            return ERR_CORRUPT;
        }
        n->self_pos = (uint32_t)pos;
        n->phase = NODE_PHASE_SERVING;
    }
    return err;
}

static enum err check_start(struct node *n, struct diag *why)
{
    bool listed = false;

    if (n->map.partitions > 0 || n->cfg.start == NODE_START_BOOTSTRAP ||
        n->cfg.start == NODE_START_JOIN) {
        return ERR_OK;
    }
    if (n->cfg.start == NODE_START_PRESENT) {
        diag_set(why, "the data directory belongs to no cluster yet: say --found LIST, "
                      "--bootstrap or --join LIST");
        return ERR_BAD_ARGUMENT;
    }
    for (uint32_t i = 0; i < n->cfg.seed_count; i++) {
        listed = listed || strcmp(n->cfg.seeds[i], n->cfg.peer_addr) == 0;
    }
    if (!listed) {
        diag_set(why, "--found does not list this node's own peer address %s", n->cfg.peer_addr);
        return ERR_BAD_ARGUMENT;
    }
    return ERR_OK;
}

enum err node_found_boot(struct node *n, const struct disk_boot *boot, const uint8_t entropy[32],
                         struct diag *why)
{
    enum err err = boot_identity(n, boot, entropy, why);

    if (err == ERR_OK) {
        err = boot_map(n, boot, why);
    }
    if (err == ERR_OK) {
        err = node_chain_boot(n, boot, why);
    }
    return err == ERR_OK ? check_start(n, why) : err;
}

static void map_body(const struct node *n, const struct wire_map *map, struct buf *body)
{
    put_u8(body, (uint8_t)((n->log_started ? MAP_LOG_STARTED : 0) | (n->joined ? MAP_JOINED : 0)));
    wire_put_map(body, map);
}

void node_map_write(struct node *n)
{
    struct buf body = {0};

    if (n->map_writing) {
        n->map_dirty = true; /* written again when this one is done */
        return;
    }
    n->map_writing = true;
    n->map_dirty = false;
    map_body(n, &n->map, &body);
    node_meta_write(n, META_MAP, DISK_USER_MAP, &body);
    buf_free(&body);
}

void node_found_adopt(struct node *n, struct wire_map map)
{
    struct buf body = {0};

    CHECK(n->phase == NODE_PHASE_FOUNDING);
    n->phase = NODE_PHASE_MAP;
    n->map_next = map;
    n->joined = map.epoch > 1; /* the replicas placed here are others' to begin with */
    node_chain_found(n, &map); /* before the other, which is not without it */
    n->map_writing = true;
    map_body(n, &map, &body);
    node_meta_write(n, META_MAP, DISK_USER_MAP, &body);
    buf_free(&body);
}

void node_self_member(const struct node *n, struct wire_member *out)
{
    *out = (struct wire_member){
        .node = n->id, .zone = n->cfg.zone, .weight = (uint8_t)n->cfg.weight, .paxos = n->paxos};
    if (n->map.partitions > 0) {
        const struct wire_member *known = &n->map.members[n->self_pos];

        out->weight = known->weight;
        out->state = known->state;
    }
    memcpy(out->peer_addr, n->cfg.peer_addr, sizeof out->peer_addr);
    memcpy(out->client_addr, n->cfg.client_addr, sizeof out->client_addr);
}

static int member_order(const void *a, const void *b)
{
    return strcmp(((const struct wire_member *)a)->peer_addr,
                  ((const struct wire_member *)b)->peer_addr);
}

/* Members are complete: place the partitions and write the map. */
static void found_with(struct node *n, struct wire_map map)
{
    struct diag why = {0};
    enum err err;

    qsort(map.members, map.member_count, sizeof map.members[0], member_order);
    map.epoch = 1;
    map.partitions = n->cfg.partitions;
    map.replicas = n->cfg.replicas;
    store_u64le(map.cluster.b, prng_next(&n->rng) | 1);
    store_u64le(map.cluster.b + 8, prng_next(&n->rng));
    map.placement = mem_alloc((size_t)map.partitions * map.replicas);
    memset(map.placement, WIRE_NOBODY, (size_t)map.partitions * map.replicas);
    err = node_map_replan(&map, &why);
    if (err != ERR_OK) {
        wire_map_free(&map);
        node_fail(n, err, &why);
        return;
    }
    node_map_choose_council(&map);
    node_found_adopt(n, map);
}

static bool is_founder(const struct node *n)
{
    for (uint32_t i = 0; i < n->cfg.seed_count; i++) {
        if (strcmp(n->cfg.seeds[i], n->cfg.peer_addr) < 0) {
            return false;
        }
    }
    return true;
}

/* The first founder waits for the others, and writes the map. */
static void found_tick(struct node *n)
{
    struct wire_map map = {0};

    if (n->cfg.start == NODE_START_BOOTSTRAP) {
        map.member_count = 1;
        node_self_member(n, &map.members[0]);
        found_with(n, map);
        return;
    }
    if (n->cfg.start != NODE_START_FOUND || !is_founder(n)) {
        return;
    }
    node_self_member(n, &map.members[map.member_count++]);
    for (uint32_t i = 0; i < n->link_count; i++) {
        const struct link *l = &n->links[i];
        struct wire_member *m = &map.members[map.member_count];

        if (strcmp(l->addr, n->cfg.peer_addr) == 0) {
            continue;
        }
        if (l->state != LINK_UP || l->hello.found_hash != node_found_hash(n)) {
            return; /* not all are here yet */
        }
        *m = (struct wire_member){.node = l->node,
                                  .zone = l->hello.zone,
                                  .weight = l->hello.weight,
                                  .paxos = l->hello.paxos};
        memcpy(m->peer_addr, l->hello_peer, sizeof m->peer_addr);
        memcpy(m->client_addr, l->hello_client, sizeof m->client_addr);
        map.member_count++;
    }
    found_with(n, map);
}

void node_found_tick(struct node *n)
{
    if (n->map_dirty && !n->map_writing && n->now.mono_us >= n->map_retry_us) {
        node_map_write(n);
    }
    if (n->phase == NODE_PHASE_FOUNDING) {
        found_tick(n); /* apart: its map is large */
    }
}

void node_found_begin(struct node *n)
{
    if (n->phase == NODE_PHASE_IDENTITY || n->identity_repair) {
        struct buf body = {0};

        buf_append(&body, n->id.b, sizeof n->id.b);
        put_u64le(&body, n->first_paxos);
        node_meta_write(n, META_NODE, DISK_USER_IDENTITY, &body);
        buf_free(&body);
    }
    if (n->identity_repair || n->map_dirty) {
        node_log(n, NODE_LOG_WARN,
                 "msg=\"a file of metadata was missing or damaged: made good from its copy\"");
    }
    if (n->phase == NODE_PHASE_SERVING && n->cfg.start != NODE_START_PRESENT) {
        node_log(n, NODE_LOG_INFO,
                 "msg=\"the directory belongs to a cluster already; --found, --bootstrap and "
                 "--join are ignored\"");
    }
    node_links_setup(n);
    node_issue_ops(n);
}

static bool foreign(struct node *n, struct link *l)
{
    const struct wire_hello *h = &l->hello;

    if (wire_id_is_zero(&h->cluster) || wire_id_eq(&h->cluster, &n->map.cluster)) {
        return false;
    }
    node_link_refuse(n, l->conn, ERR_REFUSED,
                     "it belongs to another cluster; nodes of two clusters cannot talk");
    return true;
}

void node_found_hello(struct node *n, struct link *l)
{
    const struct wire_hello *h = &l->hello;

    if (n->map.partitions > 0) {
        if (!foreign(n, l) && h->map_epoch < node_chain_map(n)->epoch) {
            node_link_say_map(n, l);
        }
        return;
    }
    if (wire_id_is_zero(&h->cluster) && h->found_hash != node_found_hash(n)) {
        node_link_refuse(n, l->conn, ERR_REFUSED,
                         "the founding lists differ: give all nodes the same --found list");
    }
}

void node_found_visit(struct node *n, struct link *l)
{
    const struct wire_hello *h = &l->hello;

    if (foreign(n, l)) {
        return;
    }
    if (!wire_id_is_zero(&h->cluster)) {
        /* A member of a newer map, which it is about to send; or it was one, and learns that. */
        if (h->map_epoch <= node_chain_map(n)->epoch) {
            SOMETIMES_RARE(true, "node_found: a former member came back", MARK_NOT_DUE,
                           "nobody restores a directory that was replaced; "
                           "test/unit/node/node_chain_test.c");
            node_link_say_map(n, l);
            node_link_end(n, l);
        }
    } else if (h->joining) {
        node_steward_join(n, l);
    } else if (node_member_by_addr(n, l->hello_peer) >= 0) {
        node_link_refuse(
            n, l->conn, ERR_REFUSED,
            "the cluster knows this address as a node whose data directory is lost: an "
            "emptied node has forgotten its votes and is not taken back as a voter; "
            "start it with --join to have it rebuilt under a new identity");
    } else {
        node_link_refuse(n, l->conn, ERR_REFUSED,
                         "the cluster is founded and does not know this address; start the node "
                         "with --join to have it taken in");
    }
}

void node_found_map(struct node *n, struct link *l, struct slice payload)
{
    struct wire_map map;

    if (n->phase != NODE_PHASE_FOUNDING) {
        node_chain_learn(n, l, payload);
        return;
    }
    if (wire_get_map(payload, &map) != ERR_OK) {
        node_link_garbled(n, l, "a map that cannot be read");
    } else if (wire_map_member(&map, &n->id) >= 0) {
        node_found_adopt(n, map);
        return;
    }
    wire_map_free(&map);
}

enum { MAP_RETRY_US = 1000 * 1000 };

void node_found_disk(struct node *n, enum disk_user user, const struct disk_done *of)
{
    struct disk_done failed = {.token = of->token, .err = n->meta_failed, .why = of->why};
    const struct disk_done *done = of->err == ERR_OK && failed.err != ERR_OK ? &failed : of;

    if (user == DISK_USER_META_FIRST) { /* its copy comes next, and decides for both */
        n->meta_failed = of->err;
        return;
    }
    n->meta_failed = ERR_OK;
    if (user == DISK_USER_CHAIN) {
        node_chain_disk(n, done);
        return;
    }
    if (done->err == ERR_NO_SPACE && user == DISK_USER_IDENTITY && n->identity_repair) {
        return; /* one good file is left; the next start tries again */
    }
    if (done->err == ERR_NO_SPACE && user == DISK_USER_MAP && n->map_next.partitions == 0) {
        n->map_writing = false; /* the older one stays in force on disk for a while */
        n->map_dirty = true;
        n->map_retry_us = n->now.mono_us + MAP_RETRY_US;
        node_log(n, NODE_LOG_WARN, "msg=\"the disk is full: the cluster map is written later\"");
        return;
    }
    if (done->err != ERR_OK && (done->err != ERR_NO_SPACE || user != DISK_USER_INCARNATION)) {
        node_fail(n, done->err, &done->why);
        return;
    }
    if (user == DISK_USER_INCARNATION) {
        node_gossip_persisted(n, done);
        return;
    }
    if (user == DISK_USER_IDENTITY) {
        n->identity_repair = false;
        if (n->phase == NODE_PHASE_IDENTITY) {
            n->phase = NODE_PHASE_FOUNDING;
        }
        return;
    }
    n->map_writing = false;
    if (n->map_next.partitions > 0) {
        n->map = n->map_next;
        n->map_next = (struct wire_map){0};
        int pos = node_member_by_id(n, &n->id);
        CHECK(pos >= 0);
        n->self_pos = (uint32_t)pos;
        n->map_us = n->now.mono_us;
        if (n->phase == NODE_PHASE_MAP) {
            n->phase = NODE_PHASE_SERVING;
        }
        node_chain_begin(n);
        node_links_setup(n);
        node_start_groups(n);
        for (uint32_t i = 0; i < n->link_count; i++) {
            if (n->links[i].state == LINK_UP && wire_id_is_zero(&n->links[i].hello.cluster)) {
                node_link_say_map(n, &n->links[i]);
            }
        }
    } else if (n->map_dirty) {
        node_map_write(n);
    }
}

void node_found_rebuilt(struct node *n)
{
    for (uint32_t p = 0; p < n->map.partitions; p++) {
        if (n->groups[p].here && n->groups[p].rebuilding) {
            return;
        }
    }
    if (n->joined) {
        n->joined = false;
        node_map_write(n);
    }
}

/* ---- looking things up in the map ---- */

int node_member_by_id(const struct node *n, const struct wire_id *id)
{
    return wire_map_member(&n->map, id);
}

int node_member_by_addr(const struct node *n, const char *peer_addr)
{
    for (uint32_t i = 0; i < n->map.member_count; i++) {
        if (strcmp(n->map.members[i].peer_addr, peer_addr) == 0) {
            return (int)i;
        }
    }
    return -1;
}

int node_member_of(const struct node *n, struct raft_id id)
{
    for (uint32_t i = 0; i < n->map.member_count; i++) {
        if (node_short_id(&n->map.members[i].node) == node_of_raft_id(id)) {
            return (int)i;
        }
    }
    return -1;
}

struct raft_id node_replica_id(const struct node *n, uint32_t pos)
{
    return (struct raft_id){node_short_id(&n->map.members[pos].node)};
}

uint32_t node_partition_of_slot(const struct node *n, uint32_t hashslot)
{
    return hashslot * n->map.partitions / HASHSLOT_COUNT;
}
