/* sim_net.h - connections as TCP gives them: ordered bytes, in any pieces, until they
 * break; and then each side may learn of it at a different time, or not for long.
 *
 * What a connection carried and had not delivered when it broke is gone; nothing of
 * it arrives later. Blocked links hold bytes back; most connections over them break.
 * On connections between nodes whole Raft frames may also be lost, doubled or
 * exchanged, which TCP would not do: Raft must bear it.
 */
#ifndef SIM_NET_H
#define SIM_NET_H
#include "base/base_bytes.h"
#include "base/base_map.h"
#include "sim/sim_options.h"

struct sim_world;
struct sim_host;

enum { SIM_PLACE_CLIENTS = SIM_HOSTS_MAX, SIM_PLACES };
enum { SIM_KERNEL_BYTES = 64 << 10 }; /* what a sender may hand over before it counts as unsent */

struct sim_piece {
    uint64_t arrives_us;
    struct buf data;
    bool fin; /* the sender closed after this */
};
struct sim_flow { /* one direction */
    struct sim_piece *pieces;
    size_t first, count, cap;
    uint64_t last_arrival_us;
    size_t in_flight, unsent_told;
    bool pumping;      /* an event will deliver the first piece */
    struct buf frames; /* bytes not yet cut into frames */
    struct buf late;   /* a frame held back, to follow the next one */
    bool hello_sent;
};
struct sim_end {
    bool is_host, attached; /* attached: the owner believes it open and hears of it */
    bool reading;
    uint32_t who; /* host or client */
    uint32_t life;
    uint64_t number;    /* host: its connection number */
    struct buf waiting; /* arrived while not reading */
};
struct sim_conn {
    bool established, broken, peers;
    struct sim_end end[2];   /* 0 dialed */
    struct sim_flow flow[2]; /* from end i to the other */
};
struct sim_net {
    struct sim_conn **conns;
    uint32_t count, cap;
    struct map64 numbers[SIM_HOSTS_MAX];  /* connection number -> conn + 1 */
    bool blocked[SIM_PLACES][SIM_PLACES]; /* from, to */
    uint64_t slow_us[SIM_PLACES][SIM_PLACES];
    struct prng dice[SIM_PLACES][SIM_PLACES]; /* each link's own */
    uint64_t bytes, frames_dropped, frames_doubled, frames_late;
};
void sim_net_init(struct sim_world *w);
void sim_net_free(struct sim_net *net);

/* What a host's driver does. Unknown numbers are ignored: the connection is gone. */
void sim_net_dial(struct sim_world *w, struct sim_host *h, uint64_t number, const char *addr);
void sim_net_send(struct sim_world *w, struct sim_host *h, uint64_t number, struct buf *data);
void sim_net_close(struct sim_world *w, struct sim_host *h, uint64_t number);
void sim_net_read(struct sim_world *w, struct sim_host *h, uint64_t number, bool on);
/* Whether the node still has that number. last: an end is being reported; forget it. */
bool sim_net_open(struct sim_world *w, struct sim_host *h, uint64_t number, bool last);
void sim_net_host_down(struct sim_world *w, struct sim_host *h, bool power);

/* What a client does; end 0 of conn is the client's. */
uint32_t sim_net_client_dial(struct sim_world *w, uint32_t client, uint32_t host);
void sim_net_client_send(struct sim_world *w, uint32_t conn, struct buf *data);
void sim_net_client_close(struct sim_world *w, uint32_t conn);

/* Faults. */
void sim_net_block(struct sim_world *w, uint32_t from, uint32_t to, bool on);
/* As block, and no connection breaks: TCP outlives a short cut, and sends again after it. */
void sim_net_freeze(struct sim_world *w, uint32_t from, uint32_t to);
/* A random established connection breaks. quiet: the ends may not notice for long. */
void sim_net_break_one(struct sim_world *w, bool quiet);
/* All links work from now on; broken connections are noticed soon. */
void sim_net_heal(struct sim_world *w);
#endif
