/* port_internal.h - the parts of a port; private to this room.
 *
 * Who owns what: the port owns its connections; a backend may refer to one until
 * it has called port_conn_released. Output buffers are owned by the queue of
 * their connection, or by the gate queue until their ticket is durable. */
#ifndef PORT_INTERNAL_H
#define PORT_INTERNAL_H
#include "base/base_list.h"
#include "base/base_map.h"
#include "base/base_mem.h"
#include "port/port.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum {
    PORT_BACKLOG = 1024,
    PORT_FILES_RESERVE = 128,           /* for segments, links and the rest */
    PORT_LINGER_US = 2000000,           /* a closed connection may still flush this long */
    PORT_DIAL_US = 3000000,             /* then a connect has failed */
    PORT_ACCEPT_PAUSE_US = 50000,       /* after running out of files */
    PORT_STOP_US = 15000000,            /* a clean stop that takes longer is abandoned */
    PORT_SENT_STEP_BYTES = 128 << 10,   /* progress worth telling */
    PORT_SENT_URGENT_BYTES = 32 << 10,  /* so much had piled up: tell at once */
    PORT_IOV_MAX = 32,                  /* buffers in one send */
    PORT_EPOLL_ARENA_BYTES = 2 << 20,   /* input of one turn */
    PORT_EPOLL_READ_BYTES = 128 << 10,  /* and of one connection in it */
    PORT_URING_BUFFERS = 256,           /* times */
    PORT_URING_BUFFER_BYTES = 16 << 10, /* = input of one turn */
    PORT_URING_ENTRIES = 1024,
};

struct port;

/* ---- connections (port_conn.c) ---- */
enum port_conn_state {
    CONN_RESOLVING, /* the name of the other end is being looked up */
    CONN_DIALING,
    CONN_OPEN,
    CONN_FLUSHING, /* the node closed it; output remains */
    CONN_DRAINING, /* our side is shut; input is discarded until the other side ends */
    CONN_DEAD,     /* the backend may still refer to it */
};
struct port_out { /* one buffer to send */
    struct port_out *next;
    struct buf data;
};
struct port_conn {
    uint64_t id;
    int fd;
    enum node_conn_kind kind;
    enum port_conn_state state;
    bool known;   /* the node uses the number: it may be given events */
    bool reading; /* the node wants to read */
    bool ended;   /* the end was seen, the node not told yet */
    int end_errno;
    uint32_t gated;    /* buffers of it waiting for a ticket */
    uint64_t fed_turn; /* the last turn that gave it bytes */
    size_t unsent;     /* bytes queued, gated ones not counted */
    size_t reported;   /* unsent as the node was last told, or made it */
    size_t peak;       /* largest unsent since then */
    size_t out_pos;    /* sent bytes of the first buffer */
    struct port_out *out_head, *out_tail;
    struct buf held;      /* came after reading was stopped */
    uint64_t deadline_us; /* while in_deadline is linked */
    struct list in_dirty, in_sent, in_again, in_deadline;
    /* The backend's. */
    struct list in_rearm;
    bool recv_armed, recv_stopping, send_busy;
    uint32_t io_ops; /* uring: requests in the kernel; epoll: events asked for */
};

/* What a turn collected, fed to the node in this order. */
enum port_event_kind { EVENT_ACCEPTED, EVENT_DIALED, EVENT_DATA, EVENT_CLOSED, EVENT_PACKET };
struct port_event {
    enum port_event_kind kind;
    union {
        struct port_conn *conn;
        struct port_packet *packet; /* PACKET; data is NULL */
    };
    const uint8_t *data;
    size_t len;
};

struct port_listener {
    int fd;
    enum node_conn_kind kind;
    bool on;               /* the backend accepts from it */
    bool armed;            /* uring: an accept is in the kernel */
    uint64_t paused_until; /* out of files: 0 or when to go on */
    char addr[NODE_ADDR_MAX];
};

/* ---- backends (port_uring.c, port_epoll.c) ----
 * They call port_on_*; those only record, so a call back into the backend happens
 * in `flush`, `read`, `detach`, never inside `wait`. */
struct port_backend {
    const char *name;
    MUST_USE enum err (*open)(struct port *p, struct diag *why);
    void (*close)(struct port *p);
    void (*accept)(struct port *p, struct port_listener *l, bool on);
    /* fd of c is a fresh non-blocking socket; ends in port_on_dialed. */
    void (*dial)(struct port *p, struct port_conn *c, const struct sockaddr_storage *to);
    void (*read)(struct port *p, struct port_conn *c); /* c->reading changed */
    void (*flush)(struct port *p, struct port_conn *c);
    /* Forget c: closes its fd, then port_conn_released, now or later. */
    void (*detach)(struct port *p, struct port_conn *c);
    /* Submit, wait until something happened or timeout_us passed, collect it. */
    void (*wait)(struct port *p, uint64_t timeout_us);
    void (*recycle)(struct port *p); /* the bytes given by the last wait are done with */
};
extern const struct port_backend port_backend_uring, port_backend_epoll;

void port_on_accept(struct port *p, struct port_listener *l, int fd);
void port_on_accept_error(struct port *p, struct port_listener *l, int error);
void port_on_dialed(struct port *p, struct port_conn *c, int error);
void port_on_data(struct port *p, struct port_conn *c, const uint8_t *data, size_t len);
void port_on_end(struct port *p, struct port_conn *c, int error); /* 0: end of stream */
void port_on_sent(struct port *p, struct port_conn *c, size_t bytes);
void port_on_wake(struct port *p);
void port_conn_released(struct port *p, struct port_conn *c);
/* The queue as an iovec; at least one entry when unsent > 0. */
unsigned port_conn_iov(const struct port_conn *c, struct iovec *iov, unsigned max);

void port_conn_send(struct port *p, struct port_conn *c, struct buf *data); /* takes it */
void port_conn_close(struct port *p, struct port_conn *c); /* the node's NODE_CLOSE */
void port_conn_read(struct port *p, struct port_conn *c, bool on);
void port_conn_dial(struct port *p, uint64_t id, const char *addr);
void port_conn_resolved(struct port *p, uint64_t id, const struct sockaddr_storage *to, int error);
void port_conn_tell(struct port *p, const struct port_event *e); /* one event to the node */
void port_conn_tell_sent(struct port *p);
void port_conn_again(struct port *p);     /* what was held back, as events of this turn */
void port_conn_flush_all(struct port *p); /* start sending what the turn queued */
void port_conn_deadlines(struct port *p, uint64_t now_us);
void port_conn_bury(struct port *p); /* free the released ones */
void port_conn_destroy_all(struct port *p);
void port_conn_maybe_shut(struct port *p, struct port_conn *c);
/* A buffer held back for its ticket may go now; takes it. */
void port_conn_ungate(struct port *p, struct port_conn *c, struct buf *data);
static inline bool port_conn_wants_input(const struct port_conn *c)
{
    return !c->ended && (c->state == CONN_OPEN ? c->reading : c->state == CONN_DRAINING);
}

/* ---- looking for work before sleeping (port_poll.c) ----
 * Under load the next input comes within microseconds. Going to sleep for it and being woken
 * costs both sides more than looking again and again, and giving way to whoever can run
 * gathers more input into one turn. So a thread looks for a while, as long as its recent
 * waits were short; an idle one sleeps at once [docs/decisions/0008-poll.md]. */
struct port_poll {
    uint64_t most_us; /* 0: never look */
    uint64_t mean_us; /* of the recent waits */
};
uint64_t port_poll_us(const struct port_poll *w); /* how long to look this time */
void port_poll_waited(struct port_poll *w, uint64_t waited_us);

/* ---- addresses and sockets (port_net.c) ---- */
/* "host:port", "[v6]:port". numeric: no names. 0 or an error for gai_strerror. */
int port_net_resolve(const char *addr, bool numeric, struct sockaddr_storage *out);
socklen_t port_net_len(const struct sockaddr_storage *a);
void port_net_text(const struct sockaddr_storage *a, char out[NODE_ADDR_MAX]);
/* flag: what the user would change, for the message. */
MUST_USE enum err port_net_listen(const char *addr, const char *flag, int *fd, struct diag *why);
/* A socket for datagrams; at: where it is bound. */
MUST_USE enum err port_net_bind_packets(const char *addr, const char *flag, int *fd,
                                        struct sockaddr_storage *at, struct diag *why);
/* An address of this node as others have it, of a family. Waits a moment for name servers. */
MUST_USE enum err port_net_own(const char *addr, sa_family_t family, struct sockaddr_storage *out,
                               struct diag *why);
void port_net_tune(int fd, enum node_conn_kind kind);

/* ---- who holds an address (port_holder.c) ---- */
struct port_holder {
    int pid;
    char name[32];
};
/* A living process whose socket keeps one from being bound to `at`: for datagrams, or listening.
 * False: none, or only one that is ending, or none that this user may see. */
bool port_holder_find(const struct sockaddr_storage *at, bool packets, struct port_holder *out);

/* ---- datagrams (port_packet.c) ---- */
enum { PORT_PACKETS = 64 }; /* taken in one turn */
struct port_packet {
    struct sockaddr_storage from;
    uint8_t bytes[NODE_PACKET_BYTES_MAX];
};
struct port_packets {
    int fd;
    struct sockaddr_storage bound;
    struct port_packet *slot; /* PORT_PACKETS of them; those of this turn come first */
    unsigned count;
    bool more; /* and there may be more in the socket */
    /* oversize: larger than any of ours. unsent: the kernel did not take it. */
    uint64_t received, received_bytes, sent, sent_bytes, oversize, unsent;
};
MUST_USE enum err port_packets_open(struct port *p, const char *addr, const char *flag,
                                    struct diag *why);
void port_packets_close(struct port *p);
/* The socket is readable, or `more` says that it may be. Called inside `wait`. */
void port_packets_collect(struct port *p);
void port_packet_tell(struct port *p, const struct port_event *e);
void port_packets_recycle(struct port *p); /* the events of the turn are done with */
void port_packet_send(struct port *p, const struct swim_addr *to, struct slice data);

/* ---- gates (port_gate.c) ---- */
struct port_gated {
    struct list in_fifo;
    uint64_t gate;
    struct port_conn *conn; /* stays allocated while its `gated` counts this */
    struct buf data;
};
struct port_ticket {
    uint64_t n;
    uint32_t in_flight;
    bool failed;
};
struct port_gates {
    struct list fifo; /* of port_gated, by gate, then by age */
    struct port_ticket *tickets;
    size_t ticket_count, ticket_cap;
    uint64_t durable;
};
void port_gates_init(struct port_gates *g);
void port_gates_free(struct port_gates *g);
/* A synced write of the log lane was issued / has completed and the node knows. */
void port_gates_issued(struct port_gates *g, uint64_t ticket);
void port_gates_done(struct port_gates *g, uint64_t ticket, bool ok);
/* Takes data. Only for a gate beyond durable. */
void port_gates_hold(struct port_gates *g, uint64_t gate, struct port_conn *c, struct buf *data);
/* The next whose gate is durable, or NULL; the caller owns it. */
struct port_gated *port_gates_pop(struct port_gates *g);

/* ---- files (port_file.c): used by the lanes, each call from any thread ---- */
struct port_files;
struct port_files *port_files_create(int dirfd);
void port_files_destroy(struct port_files *f);
/* Run one operation to its end. bounce: the lane's own aligned memory. */
struct port_bounce {
    uint8_t *at; /* aligned to a block */
    size_t bytes;
    void *whole; /* what was allocated */
};
struct port_bounce port_bounce_new(size_t bytes); /* zeroed */
void port_bounce_free(struct port_bounce *b);
void port_file_run(struct port_files *f, const struct disk_op *op, struct port_bounce *bounce,
                   struct disk_done *done, struct buf *read);
enum err port_err_of(int error); /* errno to enum err */
int port_dir_fd(const struct port_dir *d);
const char *port_dir_path(const struct port_dir *d);

/* ---- lanes (port_lane.c) ---- */
enum { PORT_LANE_NAMES = DISK_LANE_COUNT, PORT_LANES }; /* one more for name lookups */
struct port_item {
    struct port_item *next;
    struct disk_op op; /* disk lanes */
    struct disk_done done;
    struct buf read;
    uint64_t conn; /* name lookups */
    char addr[NODE_ADDR_MAX];
    struct sockaddr_storage to;
    int error;
};
struct port_lane {
    pthread_t thread;
    bool started;
    unsigned number;
    struct port_lanes *lanes;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct port_item *head, **tail;
    bool stop;
};
struct port_lanes {
    struct port_lane lane[PORT_LANES];
    struct port_files *files;
    int wake_fd;
    pthread_mutex_t done_lock;
    struct port_item *done_head, **done_tail;
    /* The loop says that it sleeps, then looks; a lane says that something is done, then
     * looks: one of them sees the other, in whatever order they run. */
    atomic_bool done_some, loop_sleeps;
};
MUST_USE enum err port_lanes_start(struct port_lanes *l, int dirfd, int wake_fd, struct diag *why);
void port_lanes_put(struct port_lanes *l, unsigned number, struct port_item *item);
struct port_item *port_lanes_take(struct port_lanes *l); /* all completions, oldest first */
bool port_lanes_done(struct port_lanes *l);              /* is there something to take? */
/* From now on completions write to wake_fd, or do not. What port_lanes_done says after
 * sleeping was set holds until then. */
void port_lanes_sleep(struct port_lanes *l, bool sleeping);
void port_lanes_stop(struct port_lanes *l); /* after everything put has run */
void port_item_free(struct port_item *item);

/* ---- gauges (port_sys.c) ---- */
void port_gauges(struct port *p);

/* ---- the port ---- */
enum { PORT_LISTENERS = 2 };
struct port {
    const struct port_backend *backend;
    void *io; /* the backend's */
    struct port_dir *dir;
    struct node *node;
    struct port_listener listener[PORT_LISTENERS];
    struct port_packets packets;
    int wake_fd, spare_fd;
    atomic_uint stop_requests, reload_requests;
    unsigned stops_told, reloads_done;
    void (*reload)(struct node *n, void *arg);
    void *reload_arg;
    uint64_t stop_deadline_us;
    uint64_t turn, now_us, next_tick_us, next_gauges_us, next_deadline_us;
    uint64_t next_conn; /* odd */
    uint64_t files_max, started_ms, rejected;
    uint64_t full_logged_us;
    struct map64 conns;  /* number -> port_conn, while the node uses it */
    uint64_t conn_count; /* with a descriptor, dying ones included */
    struct port_event *events;
    size_t event_count, event_cap;
    bool urgent; /* something waits for the next turn: do not sleep */
    bool woken;  /* wake_fd was written to */
    struct port_poll poll;
    /* Of connections. gated_closes: closed by the node, output waits for a ticket;
     * living_dead: the backend may refer to them; dead: to be freed. */
    struct list dirty, sent, again, deadlines, gated_closes, living_dead, dead;
    struct port_out *out_free;
    size_t out_free_count;
    struct port_lanes lanes;
    struct port_gates gates;
    struct node_effects fx;
    bool stopped;
    enum err stop_err;
    struct diag stop_why;
    char io_note[200];
};
void port_event_push(struct port *p, enum port_event_kind kind, struct port_conn *c);
void port_event_push_packet(struct port *p, struct port_packet *k, size_t len);
#endif
