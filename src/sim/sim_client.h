/* sim_client.h - Redis clients, each with a few connections, as well behaved as clients are.
 *
 * Plain ones ask any node; others fetch the map and go where MOVED sends them. They pipeline,
 * speak RESP2 or RESP3, sometimes want no reply, leave before it comes, or stop reading. What
 * they asked and were told goes into the history; sim_check.h judges it.
 */
#ifndef SIM_CLIENT_H
#define SIM_CLIENT_H
#include "base/base_bytes.h"
#include "base/base_prng.h"
#include "sim/sim_reply.h"
#include "sim/sim_workload.h"

struct sim_world;

enum { SIM_PIPES_MAX = 3 };
struct sim_pipe {
    enum { SIM_PIPE_IDLE, SIM_PIPE_DIALING, SIM_PIPE_OPEN } state;
    uint32_t host;     /* dialed last */
    uint32_t conn;     /* in the net; valid unless idle */
    uint32_t tries;    /* generation of timeouts */
    uint32_t ops;      /* so far, those left out too: the second half of an operation's name */
    uint32_t *waiting; /* replies expected, in order: positions in the history, or NOBODY */
    uint32_t waiting_count, waiting_cap;
    struct buf in;
    bool acting;         /* an act event is scheduled */
    bool follows;        /* asked for the map: is sent on */
    bool writes;         /* something of the batch under way */
    bool leaving;        /* goes elsewhere once all is answered */
    bool gone_by_itself; /* what it leaves unanswered is nobody's fault */
    uint32_t wish;       /* the host to dial next, or SIM_HOSTS_MAX */
};
struct sim_client {
    uint32_t id;
    struct prng rng;
    struct sim_pipe link[SIM_PIPES_MAX];
    struct sim_scan scan;
    uint32_t reads_done; /* of the closing phase: objects read */
    uint32_t reads_open; /* ... and not answered */
};
void sim_client_init(struct sim_world *w, uint32_t id);
void sim_client_free(struct sim_client *c);
/* Begin, or go on after a change of phase. */
void sim_client_wake(struct sim_world *w, struct sim_client *c);
/* Nothing is under way. */
bool sim_client_quiet(const struct sim_client *c);
/* Every object of its share was read in the closing phase. */
bool sim_client_has_read(const struct sim_world *w, const struct sim_client *c);

/* From the net. */
void sim_client_connected(struct sim_world *w, uint32_t client, uint32_t conn);
void sim_client_closed(struct sim_world *w, uint32_t client, uint32_t conn);
void sim_client_received(struct sim_world *w, uint32_t client, uint32_t conn,
                         const struct buf *data);
#endif
