/* node_mapplan.h - the placement in the map, and the changes that re-plan it.
 *
 * Pure functions. What is placed is a goal: how the groups' members get there is the
 * business of whoever carries it out, and no plan knows how far that has come.
 */
#ifndef NODE_MAPPLAN_H
#define NODE_MAPPLAN_H
#include "node/node_mapchange.h"

/* Place the partitions on the members that are up, fair by weight and zone, moving as little
 * as that allows (core/ring). map->placement has a row for each partition; nobody at all is
 * allowed here. ERR_BAD_ARGUMENT: no member is up, and nothing was changed. */
MUST_USE enum err node_map_replan(struct wire_map *map, struct diag *why);

/* Replicas that `after` places on members on which `before` does not place them. */
uint64_t node_map_moves(const struct wire_map *before, const struct wire_map *after);

/* Replicas that the map places on the member at pos. */
uint32_t node_map_load(const struct wire_map *map, uint32_t pos);

/* The part of node_mapchange for NODE_CHANGE_DRAIN and those after it: change *next in place,
 * also where it then refuses. The council is the caller's to choose anew. */
enum node_change_verdict node_mapplan(struct wire_map *next, const struct node_change *change,
                                      struct diag *why);
#endif
