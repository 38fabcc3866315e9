/* node_trio.h - three nodes of one cluster, each on its rig, in one virtual time.
 *
 * Connections keep their order and lose nothing; what waits for a ticket is delivered once it
 * is durable. Ways may be cut (what is sent on them waits, nobody is told), nodes killed and
 * started again. Datagrams go their own ways. The rest is the rig's: disks are the test's to harm.
 */
#ifndef NODE_TRIO_H
#define NODE_TRIO_H
#include "node_rig.h"

enum { TRIO = 3, TRIO_TURN_US = 1000, TRIO_LINES_MAX = 1024 };

/* A connection between two nodes. End 0 dialed. */
struct trio_line {
    uint8_t node[2];
    uint64_t conn[2]; /* its number there; that of end 1 is 0 until it was accepted */
    bool told;        /* the dialer knows that it is open */
    bool over[2];     /* this end knows that it is closed */
};
struct trio_packet {
    uint32_t line;
    uint8_t from; /* end */
    uint64_t gate;
    struct buf data;
};
struct trio_datagram {
    uint8_t from, to;
    struct buf data;
};
struct trio {
    struct rig at[TRIO];
    bool cut[TRIO][TRIO]; /* nothing comes from the first to the second, nobody is told */
    uint64_t turn_us;
    uint32_t replicas;
    uint64_t accepted; /* connections, at all nodes */
    struct trio_line lines[TRIO_LINES_MAX];
    uint32_t line_count;
    struct trio_packet *packets; /* in the order in which they were sent */
    size_t packet_count, packet_cap;
    /* With gossip: what is in the air, and what does not arrive. */
    struct trio_datagram *datagrams;
    size_t datagram_count, datagram_cap;
    bool deaf[TRIO][TRIO]; /* no datagram comes from the first to the second */
    bool harm;             /* one bit of each datagram changes on the way */
    uint64_t datagrams_lost;
};

/* Founded: every partition has a leader, all links are up. Elections after that time and at most
 * as long again; 0: the usual one. */
void trio_open(struct trio *t, uint64_t election_us);
/* Only the first so many found it; the others are not started, and will join. */
void trio_open_some(struct trio *t, unsigned founders);
/* The same, and they gossip: each is probed five times a second. */
void trio_open_gossip(struct trio *t);
/* The same as trio_open, and each partition has one replica: the nodes have nothing in common. */
void trio_open_apart(struct trio *t);
void trio_close(struct trio *t);
void trio_run(struct trio *t, uint64_t us);
/* That node, which is down, is at another port from now on: 0 is where it was. */
void trio_readdress(struct trio *t, unsigned node, unsigned port);
void trio_cut_off(struct trio *t, unsigned node, bool cut); /* from both others */
void trio_kill(struct trio *t, unsigned node);              /* kill -9: what was written is there */
void trio_start(struct trio *t, unsigned node);             /* on its directory, with a client */
/* What that node's client has been told when it was told something, or after `us`. */
const char *trio_ask(struct trio *t, unsigned node, const char *bytes, uint64_t us);
/* Which node leads the partition of the key; TRIO: none, or more than one says so. */
unsigned trio_leader(struct trio *t, const char *key);
uint32_t trio_partition(struct trio *t, const char *key);
/* For tests that one key is enough for, `a`: trio_open, and the node that leads its partition; the
 * replica there; SET a i through a node, which must succeed within ten seconds. */
unsigned trio_open_led(struct trio *t, uint64_t election_us);
struct group *trio_group(struct trio *t, unsigned node);
void trio_set(struct trio *t, unsigned node, unsigned i);
/* A datagram for the node `to`, as if `from` had sent it. */
void trio_datagram(struct trio *t, unsigned from, unsigned to, struct slice bytes);
/* All or none of the datagrams from and to that node arrive. */
void trio_deafen(struct trio *t, unsigned node, bool deaf);
struct swim_addr trio_addr(unsigned node);
/* Bytes for the node `to`, as if `from` had sent them on their connection. */
void trio_inject(struct trio *t, unsigned from, unsigned to, struct slice bytes);
#endif
