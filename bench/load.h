/* load.h - a load generator: closed loop, keep-alive connections, one thread.
 *
 * Every client sends a batch, waits for all its answers, records how long each took
 * since the batch was sent, and sends the next. Two protocols, RESP and etcd's gRPC, run
 * under the same loop, so that what they measure can be compared.
 */
#ifndef LOAD_H
#define LOAD_H
#include "base/base_bytes.h"
#include "base/base_prng.h"

enum load_proto { LOAD_RESP, LOAD_ETCD };
enum load_mode { LOAD_SET, LOAD_GET, LOAD_INCR, LOAD_HSET, LOAD_GET_SERIALIZABLE };
enum load_wait { LOAD_WAIT_NONE, LOAD_WAIT_EACH, LOAD_WAIT_BATCH };

enum {
    LOAD_TARGETS_MAX = 64,
    LOAD_PREFIX_MAX = 100,
    /* Two powers of two per doubling step: 64 steps of 1/32 each, to 2^40 ns. */
    LOAD_STEPS = 32,
    LOAD_BUCKETS = 48 * LOAD_STEPS,
};

struct load_options {
    enum load_proto proto;
    enum load_mode mode;
    enum load_wait wait; /* RESP: WAIT 1 after each write, or ending each batch */
    uint32_t wait_ms;
    uint32_t clients, pipeline;
    uint32_t value_bytes;
    uint64_t keys; /* drawn from this many; sequential: counted through them */
    bool sequential;
    const char *prefix; /* of the keys */
    uint64_t count;     /* operations, or */
    double seconds;     /* time; whichever comes first */
    uint32_t targets;
    char host[LOAD_TARGETS_MAX][64];
    uint16_t port[LOAD_TARGETS_MAX];
};

struct load_conn {
    int fd;
    bool broken;
    struct buf in, out;
    size_t sent;           /* of out */
    uint64_t batch_ns;     /* when the batch was sent */
    uint32_t ops_waiting;  /* operations of the batch without their answer */
    uint32_t replies_left; /* RESP: replies to read, those of WAIT included */
    uint32_t stream;       /* etcd: of the call under way */
    bool greeted, data_seen;
};

struct load {
    struct load_options opt;
    struct load_conn *conn;
    int epoll;
    struct prng prng;
    uint8_t *value;
    uint64_t issued, done, errors;
    uint64_t next_key;
    char first_error[200];
    uint64_t start_ns, end_ns;
    uint64_t histogram[LOAD_BUCKETS];
    uint64_t latency_max_ns;
};

/* One operation is answered; ok false counts as an error with its text. */
void load_done(struct load *l, struct load_conn *c, bool ok, struct slice error);
/* The next key's name, in a buffer that lives until the next call. */
struct slice load_key(struct load *l);

/* Append a batch of `ops` operations to c->out. */
void load_resp_batch(struct load *l, struct load_conn *c, uint32_t ops);
/* Take whole answers out of c->in. False: not the protocol. */
MUST_USE bool load_resp_take(struct load *l, struct load_conn *c);
void load_etcd_batch(struct load *l, struct load_conn *c, uint32_t ops); /* ops is 1 */
MUST_USE bool load_etcd_take(struct load *l, struct load_conn *c);
#endif
