/* sim_client.h - Redis clients: pipelines over one connection to one node at a time.
 *
 * Every value written is unique, and its text can be computed from its number, so
 * that a read proves which write it saw and that no byte of it is wrong. Replies are
 * parsed by code of its own, not by the product's.
 */
#ifndef SIM_CLIENT_H
#define SIM_CLIENT_H
#include "base/base_bytes.h"
#include "base/base_prng.h"
#include "sim/sim_history.h"

struct sim_world;

struct sim_client {
    uint32_t id;
    struct prng rng;
    uint32_t host; /* dialed last */
    uint32_t conn; /* in the net; valid unless idle */
    enum { SIM_CLIENT_IDLE, SIM_CLIENT_DIALING, SIM_CLIENT_CONNECTED } link;
    uint32_t ops;         /* so far, those left out too: the second half of an operation's name */
    uint32_t tries;       /* generation of timeouts */
    uint32_t waiting[64]; /* ops sent and not answered, in order; positions in history */
    uint32_t waiting_count;
    struct buf in;
    uint32_t reads_done; /* of the closing phase: objects read */
    bool acting;         /* an act event is scheduled */
};
void sim_client_init(struct sim_world *w, uint32_t id);
void sim_client_free(struct sim_client *c);
/* Begin, or go on after a change of phase. */
void sim_client_wake(struct sim_world *w, struct sim_client *c);
/* Stop after what is under way. */
bool sim_client_quiet(const struct sim_client *c);

/* From the net. */
void sim_client_connected(struct sim_world *w, uint32_t client, uint32_t conn);
void sim_client_closed(struct sim_world *w, uint32_t client, uint32_t conn);
void sim_client_received(struct sim_world *w, uint32_t client, uint32_t conn,
                         const struct buf *data);

/* The family and name of an object. */
enum sim_family sim_object_family(const struct sim_world *w, uint32_t object);
/* Replies, for tests: one RESP2 value of the shapes used. */
enum sim_reply_kind {
    SIM_REPLY_SIMPLE,
    SIM_REPLY_ERROR,
    SIM_REPLY_INT,
    SIM_REPLY_BULK,
    SIM_REPLY_NULL,
    SIM_REPLY_ARRAY
};
struct sim_reply {
    enum sim_reply_kind kind;
    struct slice text; /* SIMPLE, ERROR, BULK */
    int64_t integer;   /* INT; ARRAY: count */
    struct slice items[3];
    bool item_null[3];
};
/* Bytes used, 0: incomplete, SIZE_MAX: not RESP. */
size_t sim_reply_parse(struct slice in, struct sim_reply *out);
/* The text of value number `value`, appended. */
void sim_value_put(struct buf *out, uint64_t value, uint32_t bytes_max);
/* Its number; 0: the text is of no value ever written. */
uint64_t sim_value_get(struct slice text, uint32_t bytes_max);
#endif
