#include "node/node_mapchange.h"

#include "base/base_bytes.h"
#include "node/node_mapplan.h"

#include <stdio.h>

/* ---- the council ---- */

static bool sits(const struct wire_map *map, uint32_t pos)
{
    for (uint8_t i = 0; i < map->council_count; i++) {
        if (map->council[i] == pos) {
            return true;
        }
    }
    return false;
}

/* So many of `chosen` are in the zone of the member at pos. */
static uint32_t in_zone(const struct wire_map *map, uint64_t chosen, uint32_t pos)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < map->member_count; i++) {
        count += (chosen >> i & 1) != 0 && map->members[i].zone == map->members[pos].zone;
    }
    return count;
}

/* Whether a is a better next acceptor than b, given those chosen. */
static bool better(const struct wire_map *map, uint64_t chosen, uint32_t a, uint32_t b)
{
    bool drained_a = map->members[a].state != WIRE_MEMBER_UP;
    bool drained_b = map->members[b].state != WIRE_MEMBER_UP;
    uint32_t zone_a = in_zone(map, chosen, a), zone_b = in_zone(map, chosen, b);

    if (drained_a != drained_b) {
        return drained_b;
    }
    if (zone_a != zone_b) {
        return zone_a < zone_b;
    }
    if (sits(map, a) != sits(map, b)) {
        return sits(map, a);
    }
    return a < b;
}

/* An even number of acceptors bears no more deaths than one less. */
static uint32_t council_size(const struct wire_map *map)
{
    uint32_t up = 0;

    for (uint32_t i = 0; i < map->member_count; i++) {
        up += map->members[i].state == WIRE_MEMBER_UP;
    }
    return up >= 5 ? 5 : up >= 3 ? 3 : 1;
}

void node_map_choose_council(struct wire_map *map)
{
    uint32_t wanted = council_size(map);
    uint64_t chosen = 0;

    static_assert(WIRE_MEMBERS_MAX <= 64, "a bit for each");
    for (uint32_t k = 0; k < wanted; k++) {
        uint32_t best = map->member_count;

        for (uint32_t i = 0; i < map->member_count; i++) {
            if ((chosen >> i & 1) == 0 &&
                (best == map->member_count || better(map, chosen, i, best))) {
                best = i;
            }
        }
        CHECK(best < map->member_count);
        chosen |= 1ULL << best;
    }
    map->council_count = 0;
    for (uint32_t i = 0; i < map->member_count; i++) {
        if ((chosen >> i & 1) != 0) {
            map->council[map->council_count++] = (uint8_t)i;
        }
    }
}

/* ---- the changes ---- */

static bool taken(const struct wire_map *map, const struct wire_member *m)
{
    for (uint32_t i = 0; i < map->member_count; i++) {
        if (map->members[i].paxos == m->paxos && !wire_id_eq(&map->members[i].node, &m->node)) {
            return true;
        }
    }
    return false;
}

static int sole_at(const struct wire_map *map, const char *peer_addr, uint32_t *count)
{
    int found = -1;

    *count = 0;
    for (uint32_t i = 0; i < map->member_count; i++) {
        if (strcmp(map->members[i].peer_addr, peer_addr) == 0) {
            found = (int)i;
            (*count)++;
        }
    }
    return found;
}

static bool readdress(struct wire_member *to, const struct wire_member *m)
{
    bool same =
        strcmp(to->peer_addr, m->peer_addr) == 0 && strcmp(to->client_addr, m->client_addr) == 0;

    memcpy(to->peer_addr, m->peer_addr, sizeof to->peer_addr);
    memcpy(to->client_addr, m->client_addr, sizeof to->client_addr);
    return !same;
}

static enum node_change_verdict join(struct wire_map *next, const struct wire_member *m,
                                     struct diag *why)
{
    int pos = wire_map_member(next, &m->node);
    uint32_t count;

    if (pos >= 0) { /* it asks again: perhaps it started anew before it had the map */
        bool renewed = next->members[pos].paxos != m->paxos;

        next->members[pos].paxos = m->paxos;
        return readdress(&next->members[pos], m) || renewed ? NODE_CHANGE_NEXT : NODE_CHANGE_IS_SO;
    }
    pos = sole_at(next, m->peer_addr, &count);
    if (count > 1) {
        diag_set(why,
                 "%u members of the map are at %s: whose place is to be taken will be known when "
                 "the others have said where they are now",
                 count, m->peer_addr);
        return NODE_CHANGE_REFUSED;
    }
    if (pos < 0) {
        if (next->member_count == WIRE_MEMBERS_MAX) {
            diag_set(why, "the cluster has %u members, and that is the most it can have",
                     next->member_count);
            return NODE_CHANGE_REFUSED;
        }
        pos = (int)next->member_count++;
    }
    next->members[pos] = *m;
    next->members[pos].state = WIRE_MEMBER_UP;
    return NODE_CHANGE_NEXT;
}

static enum node_change_verdict of_member(struct wire_map *next, const struct node_change *change,
                                          struct diag *why)
{
    int pos = wire_map_member(next, &change->member.node);
    struct wire_member *m;
    bool changed;

    if (pos < 0) {
        diag_set(why, "the node is not a member of the cluster");
        return NODE_CHANGE_REFUSED;
    }
    m = &next->members[pos];
    if (change->kind == NODE_CHANGE_READDRESS) {
        changed = readdress(m, &change->member);
    } else {
        changed = m->paxos != change->member.paxos;
        m->paxos = change->member.paxos;
    }
    return changed ? NODE_CHANGE_NEXT : NODE_CHANGE_IS_SO;
}

static enum node_change_verdict apply(struct wire_map *next, const struct node_change *change,
                                      struct diag *why)
{
    bool names = change->kind == NODE_CHANGE_JOIN || change->kind == NODE_CHANGE_RENEW;

    if (names && taken(next, &change->member)) {
        diag_set(why, "another member takes part in deciding under this id; start the node again");
        return NODE_CHANGE_REFUSED;
    }
    switch (change->kind) {
    case NODE_CHANGE_JOIN:
        return join(next, &change->member, why);
    case NODE_CHANGE_READDRESS:
    case NODE_CHANGE_RENEW:
        return of_member(next, change, why);
    case NODE_CHANGE_COUNCIL:
        return NODE_CHANGE_IS_SO;
    case NODE_CHANGE_DRAIN:
    case NODE_CHANGE_LEAVE:
    case NODE_CHANGE_AWAY:
    case NODE_CHANGE_RETURN:
    case NODE_CHANGE_REMOVE:
    case NODE_CHANGE_FORGET:
    case NODE_CHANGE_WEIGH:
    case NODE_CHANGE_ZONE:
    case NODE_CHANGE_REBALANCE:
    case NODE_CHANGE_REPLICAS:
        return node_mapplan(next, change, why);
    }
    UNREACHABLE("change of the map");
}

static bool same_council(const struct wire_map *a, const struct wire_map *b)
{
    return a->council_count == b->council_count &&
           memcmp(a->council, b->council, a->council_count) == 0;
}

enum node_change_verdict node_mapchange(const struct wire_map *map,
                                        const struct node_change *change, struct wire_map *next,
                                        struct diag *why)
{
    enum node_change_verdict verdict;

    wire_map_copy(next, map);
    next->epoch++;
    verdict = apply(next, change, why);
    if (verdict != NODE_CHANGE_REFUSED) {
        node_map_choose_council(next);
        if (!same_council(map, next)) {
            verdict = NODE_CHANGE_NEXT;
        }
    }
    if (verdict != NODE_CHANGE_NEXT) {
        wire_map_free(next);
    }
    return verdict;
}

void node_mapchange_text(const struct node_change *change, char out[80])
{
    static const char *const words[] = {
        [NODE_CHANGE_JOIN] = "join of the node at",
        [NODE_CHANGE_READDRESS] = "new address",
        [NODE_CHANGE_RENEW] = "new acceptor id of",
        [NODE_CHANGE_COUNCIL] = "council",
        [NODE_CHANGE_DRAIN] = "draining of",
        [NODE_CHANGE_LEAVE] = "leaving of",
        [NODE_CHANGE_AWAY] = "placing elsewhere what is on the dead",
        [NODE_CHANGE_RETURN] = "return of",
        [NODE_CHANGE_REMOVE] = "removal of",
        [NODE_CHANGE_FORGET] = "forgetting of",
        [NODE_CHANGE_WEIGH] = "weight of",
        [NODE_CHANGE_ZONE] = "zone of",
        [NODE_CHANGE_REBALANCE] = "rebalance",
        [NODE_CHANGE_REPLICAS] = "number of replicas",
    };

    (void)snprintf(out, 80, "%s%s%.50s", words[change->kind],
                   change->member.peer_addr[0] != 0 ? " " : "", change->member.peer_addr);
}
