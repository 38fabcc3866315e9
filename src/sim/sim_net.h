/* sim_net.h - connections as TCP gives them: ordered bytes, in any pieces, until they
 * break; and then each side may learn of it at a different time, or never.
 *
 * A sender's kernel takes a window of bytes; what is beyond it waits in the process, counts
 * as unsent, and is gone when the process dies. What the kernel has still arrives after the
 * death of a process, and a part of it after the loss of a machine's power: a message may
 * outlive its sender. A receiver that does not read fills its own window, then the
 * sender's. Cut links hold bytes back; some connections over them break.
 * On connections between nodes whole Raft frames may also be lost, doubled or
 * exchanged, which TCP would not do: Raft must bear it.
 */
#ifndef SIM_NET_H
#define SIM_NET_H
#include "base/base_bytes.h"
#include "base/base_map.h"
#include "sim/sim_link.h"

struct sim_world;
struct sim_host;

/* Hosts first, then the machines of the clients. */
enum { SIM_PLACES = SIM_HOSTS_MAX + SIM_CLIENTS_MAX };
static inline uint32_t sim_place_of_client(uint32_t client)
{
    return SIM_HOSTS_MAX + client;
}

enum sim_piece_kind { SIM_PIECE_BYTES, SIM_PIECE_FIN, SIM_PIECE_RESET };
struct sim_piece {
    enum sim_piece_kind kind;
    uint64_t arrives_us; /* once it flies */
    struct buf data;
};
struct sim_flow { /* one direction; its pieces in order, first those that fly */
    struct sim_piece *pieces;
    size_t first, count, cap;
    size_t flying, flying_bytes, unsent, unsent_told;
    uint64_t last_arrival_us;
    bool pumping;      /* an event will deliver the first piece */
    struct buf frames; /* bytes not yet cut into frames */
    struct buf late;   /* a frame held back, to follow the next one */
    bool hello_sent;
};
enum { SIM_STRANGER = UINT32_MAX }; /* in place of a client: opens connections, no more */
struct sim_end {
    bool is_host, attached; /* attached: the owner believes it open and hears of it */
    bool reading;
    uint32_t who; /* host or client */
    uint32_t place;
    uint32_t life;
    uint64_t number;    /* host: its connection number */
    struct buf waiting; /* arrived while not reading */
};
struct sim_conn {
    bool established, accepted, broken, peers;
    bool stuck; /* a middlebox forgot it: bytes go into nothing, nobody is told */
    uint8_t dials;
    struct sim_end end[2];   /* 0 dialed */
    struct sim_flow flow[2]; /* from end i to the other */
};
struct sim_net {
    struct sim_conn **conns;
    uint32_t count, cap;
    uint32_t *live; /* those not yet over, in order */
    uint32_t live_count, live_cap;
    struct map64 numbers[SIM_HOSTS_MAX];           /* connection number -> conn + 1 */
    struct sim_link links[SIM_PLACES][SIM_PLACES]; /* from, to */
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
/* power: its kernel is gone too, and answers nothing until the host starts again. */
void sim_net_host_down(struct sim_world *w, struct sim_host *h, bool power);

/* What a client does; end 0 of conn is the client's. */
uint32_t sim_net_client_dial(struct sim_world *w, uint32_t client, uint32_t host);
void sim_net_client_send(struct sim_world *w, uint32_t conn, struct buf *data);
void sim_net_client_close(struct sim_world *w, uint32_t conn);

/* Faults. */
static inline struct sim_link *sim_net_link(struct sim_net *net, uint32_t from, uint32_t to)
{
    return &net->links[from][to];
}
/* Nothing gets through until then, unless it is cut for longer already. breaks: one of two
 * connections over it does not survive; otherwise TCP outlives it and sends again. */
void sim_net_cut(struct sim_world *w, uint32_t from, uint32_t to, uint64_t until_us, bool breaks);
/* The same for connections alone: datagrams get through, unless it is cut for them too. */
void sim_net_cut_streams(struct sim_world *w, uint32_t from, uint32_t to, uint64_t until_us);
/* It is open again at once, whatever it was cut for. */
void sim_net_open_link(struct sim_world *w, uint32_t from, uint32_t to);
/* A random established connection breaks. quiet: the ends may not notice for long. */
void sim_net_break_one(struct sim_world *w, bool quiet);
/* Those of a host with other hosts break, and both ends know at once. */
void sim_net_reset_host(struct sim_world *w, uint32_t host);
/* A random one goes into nothing from now on. One end may be told that it is closed. */
void sim_net_forget_one(struct sim_world *w);
/* A random client stops reading for a while, or goes on. */
void sim_net_client_reading(struct sim_world *w, uint32_t client, bool on);
/* Somebody connects, perhaps says something senseless, and hangs up after a while. */
void sim_net_stranger(struct sim_world *w, uint32_t host, bool peer_port);
/* All links work from now on as they were drawn. Ends of connections that were forgotten
 * still find out by themselves, but for clients. */
void sim_net_heal(struct sim_world *w);
#endif
