/* node_keeper.h - what the map needs without anybody asking, as a pure function of what is seen.
 *
 * A member that has left or is back says so itself. For those who cannot, one member acts: the
 * first of the council that is alive, as it sees that. Two that see it differently do no harm,
 * for maps are decided one after another, and a change that is in the map already is none.
 */
#ifndef NODE_KEEPER_H
#define NODE_KEEPER_H
#include "node/node_mapchange.h"

enum {
    KEEPER_BACK_US = 10 * 1000 * 1000,   /* with a majority for so long: no longer away */
    KEEPER_REST_US = 5 * 1000 * 1000,    /* between a map and a rebalance: others may join too */
    KEEPER_LEAVER_US = 60 * 1000 * 1000, /* a leaver that died with nothing left to give away */
};
struct keeper_view {
    const struct wire_map *map;
    uint32_t self;
    uint64_t alive;                     /* bits by position: they are there, as this node sees it */
    uint64_t dead_us[WIRE_MEMBERS_MAX]; /* so long the others have not been */
    uint64_t majority_us;               /* so long more than half have been */
    uint64_t map_us;                    /* age of the map, here */
    uint64_t replace_us;                /* who is dead longer is replaced; 0: nobody */
    bool empty;                         /* this node has no replica */
    bool moving;                        /* something that is placed is not yet, or not yet alone */
    bool fair;                          /* a rebalance would change nothing */
};
/* False: nothing is to be done. */
bool keeper_next(const struct keeper_view *v, struct node_change *out);
#endif
