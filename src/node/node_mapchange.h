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
};
struct node_change {
    enum node_change_kind kind;
    struct wire_member member;
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
