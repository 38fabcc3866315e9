/* sim_packet.h - datagrams between nodes, as UDP gives them: each on its own, whole or not at all,
 * once or twice, in any order; sometimes with bits that changed on the way.
 *
 * They take the links that connections take, and are lost where those are cut; but a link may also
 * lose datagrams alone, or carry nothing else. A process that does not read keeps as many as its
 * socket holds.
 */
#ifndef SIM_PACKET_H
#define SIM_PACKET_H
#include "base/base_bytes.h"
#include "core/swim/swim.h"

struct sim_world;
struct sim_host;

enum { SIM_PACKETS_WAITING = 64 }; /* in a socket */
struct sim_packet {
    bool flies, harmed;
    uint32_t from, to;
    struct buf data;
};
struct sim_packets {
    struct sim_packet *at;
    uint32_t count, cap;
    uint64_t sent, bytes, lost, doubled, late, harmed;
};
struct swim_addr sim_packet_addr(uint32_t host);
/* Takes data. */
void sim_packet_send(struct sim_world *w, struct sim_host *h, const struct swim_addr *to,
                     struct buf *data);
void sim_packets_free(struct sim_packets *p);
#endif
