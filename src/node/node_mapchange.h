/* node_mapchange.h - changes of the cluster map, as pure functions from map to map.
 *
 * A change says what should be so, not what to do: applied to a map in which it is so
 * already, it changes nothing. So it can be applied anew to whatever map was decided
 * meanwhile, as often as needed, also where nobody knows whether it was decided before.
 *
 * Whoever wants one has it decided by node_chain_propose (node_chain.h).
 */
#ifndef NODE_MAPCHANGE_H
#define NODE_MAPCHANGE_H
#include "wire/wire.h"

enum node_change_kind {
    NODE_CHANGE_JOIN,      /* member: takes the place of the one at its peer address, or is added */
    NODE_CHANGE_READDRESS, /* member.node is reached at member.peer_addr and client_addr */
    NODE_CHANGE_RENEW,     /* member.node takes part in deciding under member.paxos */
    NODE_CHANGE_COUNCIL, /* nothing but what each change does: the council that fits the members */
    /* Of member.node, and the placement is planned anew (node_mapplan.h): */
    NODE_CHANGE_DRAIN,  /* its replicas go elsewhere, and it stays a member */
    NODE_CHANGE_LEAVE,  /* the same; when it has none, NODE_CHANGE_REMOVE is due */
    NODE_CHANGE_AWAY,   /* the same, for it was dead too long; only of a member that is up */
    NODE_CHANGE_RETURN, /* none of these: it is up */
    NODE_CHANGE_REMOVE, /* it leaves and nothing is placed on it: it is no member any more */
    NODE_CHANGE_FORGET, /* it is no member any more, at once; refused where it alone has something
                         */
    NODE_CHANGE_WEIGH,  /* its capacity is member.weight */
    NODE_CHANGE_ZONE,   /* it is in member.zone */
    /* Of no member: */
    NODE_CHANGE_REBALANCE, /* everybody is to have its share */
    NODE_CHANGE_REPLICAS,  /* so many replicas of each partition are wanted */
};
struct node_change {
    enum node_change_kind kind;
    struct wire_member member;
    uint32_t replicas;
};
enum node_change_verdict {
    NODE_CHANGE_NEXT,    /* *next is the map to be proposed; the caller frees it */
    NODE_CHANGE_IS_SO,   /* the map says so already */
    NODE_CHANGE_REFUSED, /* it cannot be; why says so in a sentence */
};
enum node_change_verdict node_mapchange(const struct wire_map *map,
                                        const struct node_change *change, struct wire_map *next,
                                        struct diag *why);
/* What the change is about, for people; at most 80 bytes. */
void node_mapchange_text(const struct node_change *change, char out[80]);

/* Fill map->council: five acceptors where there are so many members, else three, else one;
 * evenly over the zones; whoever is of the present council stays if that is as even; members
 * that are being drained only where there are no others. */
void node_map_choose_council(struct wire_map *map);
#endif
