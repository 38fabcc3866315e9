/* port_fake_node.h - a node for the tests of the loop: answers single words.
 *
 *   PING            +PONG (also inside a RESP array)
 *   ECHO text       text
 *   BIG n           n bytes, byte i is i mod 251, in buffers of 64 KiB
 *   SYNC text       text, after it was written to the log lane and synced
 *   MIXED           "gated" behind a synced write, then "free" without a gate
 *   CLOSE           BYE, then the node closes
 *   LASTSYNC        gated BYE, then the node closes at once
 *   DEAF ms         stops reading for so long, then says OK
 *   DIAL host:port  OK, or what node_closed said
 *   CLOSED          how many connections the node was told are closed, in 8 digits
 *   STOP            clean stop
 *
 * A datagram goes back to where it came from, unless it begins with '!'.
 */
#ifndef PORT_FAKE_NODE_H
#define PORT_FAKE_NODE_H
#include "node/node.h"

struct node *fake_node_create(void);
void fake_node_destroy(struct node *n);
struct fake_counts {
    uint64_t accepted, closed, bytes_in, sent_reports, sent_zero, disk_done, turns, ticks;
    uint64_t packets;
    size_t unsent_peak;
};
/* Only while the loop does not run. */
struct fake_counts fake_node_counts(const struct node *n);
#endif
