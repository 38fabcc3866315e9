/* wire.h - the bytes between two nodes, without I/O.
 *
 * A connection carries frames: u32 length of the rest, u32 checksum of the rest
 * after the checksum, u8 type, payload. The first frame each way is HELLO. A frame that breaks
 * its format ends the connection; nothing of it is acted upon.
 * [docs/protocol/wire.md]
 *
 * Encoding: wire_begin(), put items, wire_end(). Items of one type may share a
 * frame, so that a loop turn sends one frame per type and peer.
 * Decoding: wire_next() finds a whole frame; wire_get_*() read its items.
 * Decoded slices are borrowed from the received bytes.
 */
#ifndef WIRE_H
#define WIRE_H
#include "core/paxos/paxos.h"
#include "core/raft/raft.h"
#include "core/swim/swim.h"

enum {
    WIRE_VERSION = 3,
    WIRE_HEAD_BYTES = 9,
    WIRE_FRAME_BYTES_MAX = 1 << 30,
    WIRE_ADDR_MAX = 64,
    WIRE_MEMBERS_MAX = 64,
    WIRE_REPLICAS_MAX = 7,
    WIRE_COUNCIL_MAX = 7,
    WIRE_WEIGHT_MAX = 64,
    WIRE_NOBODY = 0xff, /* in a row of the placement: no member for this replica */
};
enum wire_type {
    WIRE_HELLO = 1,   /* who I am; first on each connection */
    WIRE_RAFT = 2,    /* Raft messages of any groups */
    WIRE_REQUEST = 3, /* commands for partitions that the receiver leads */
    WIRE_REPLY = 4,   /* their outcomes */
    WIRE_MAP = 5,     /* the cluster map */
    WIRE_CHUNK = 6,   /* a piece of a snapshot */
    WIRE_CHUNK_ACK = 7,
    WIRE_JOIN = 8,    /* a replica asks the leader to be taken in */
    WIRE_LEADERS = 9, /* who leads what, as the sender knows it */
    WIRE_REFUSE = 10, /* why the connection ends; for people */
    /* I am here; one byte: 1 = give me no leadership (stopping, disk full); then one of
     * enum wire_feature; then u64 the epoch of my map */
    WIRE_PING = 11,
    WIRE_DIGEST = 12,  /* are the replicas equal? Only to those that said WIRE_DIGESTS */
    WIRE_RECORDS = 13, /* how many log records my replicas have, durably */
    WIRE_FORGOT = 14,  /* your replica has said that it had more */
    WIRE_PAXOS = 15,   /* messages of the chain of maps */
    WIRE_SWIM = 16,    /* one message of the membership. Only to those that said WIRE_GOSSIP */
    WIRE_OUT = 17,     /* does my replica still take part? It does not */
};

/* What the sender of a PING understands beyond version 1, so that a node which knows it may
 * meet one that does not. */
enum wire_feature { WIRE_DIGESTS = 1, WIRE_GOSSIP = 4, WIRE_RESTS = 8 };

/* Random 128 bits; all zero: none. */
struct wire_id {
    uint8_t b[16];
};
bool wire_id_eq(const struct wire_id *a, const struct wire_id *b);
bool wire_id_is_zero(const struct wire_id *a);

struct wire_frame {
    enum wire_type type;
    struct slice payload;
    size_t used; /* bytes of the input */
};
/* ERR_OK: one frame. ERR_AGAIN: incomplete. ERR_CORRUPT, ERR_TOO_LARGE: end the
 * connection. */
MUST_USE enum err wire_next(const uint8_t *data, size_t len, struct wire_frame *out);
/* Begin a frame at the end of b; returns the mark that wire_end needs. */
size_t wire_begin(struct buf *b, enum wire_type type);
void wire_end(struct buf *b, size_t mark);

struct wire_hello {
    uint16_t version;
    struct wire_id node, cluster; /* cluster zero: none yet */
    uint64_t map_epoch;
    uint64_t found_hash; /* of the sorted founding list; 0: not founding */
    bool joining;
    uint32_t zone;
    uint8_t weight;
    uint64_t paxos; /* as in struct wire_member */
    struct slice peer_addr, client_addr;
};
void wire_put_hello(struct buf *b, const struct wire_hello *h);
MUST_USE enum err wire_get_hello(struct slice payload, struct wire_hello *h);

void wire_put_raft(struct buf *b, uint32_t group, const struct raft_msg *m);
/* One item. Entries are decoded into *entries, grown as needed and reused by the
 * caller; m->entries points there. */
struct wire_entries {
    struct raft_entry *at;
    uint32_t cap;
};
void wire_entries_free(struct wire_entries *e);
MUST_USE enum err wire_get_raft(struct reader *r, uint32_t *group, struct raft_msg *m,
                                struct wire_entries *entries);

/* One item of the chain of maps; m->value is borrowed from the received bytes. Fields that a
 * kind does not use do not travel, and are zero when decoded. */
void wire_put_paxos(struct buf *b, const struct paxos_msg *m);
MUST_USE enum err wire_get_paxos(struct reader *r, struct paxos_msg *m);

enum { WIRE_REQUEST_AFTER_WRITES = 1, WIRE_REQUEST_RESP3 = 2 };
struct wire_request {
    uint64_t id; /* the sender's */
    uint32_t partition;
    struct raft_term term; /* in which the sender believes the receiver to lead */
    uint8_t flags;
    struct slice command; /* cmd_encode */
};
void wire_put_request(struct buf *b, const struct wire_request *q);
MUST_USE enum err wire_get_request(struct reader *r, struct wire_request *q);

enum wire_outcome {
    WIRE_DONE,       /* reply: RESP bytes for the client */
    WIRE_NOT_LEADER, /* nothing was done */
    WIRE_IN_DOUBT,   /* it may have been done */
    WIRE_OUTCOMES
};
struct wire_reply {
    uint64_t id;
    enum wire_outcome outcome;
    struct slice reply;
};
void wire_put_reply(struct buf *b, const struct wire_reply *p);
MUST_USE enum err wire_get_reply(struct reader *r, struct wire_reply *p);

enum wire_member_state {
    WIRE_MEMBER_UP,
    WIRE_MEMBER_DRAINING, /* its replicas go elsewhere, and no new ones come */
    WIRE_MEMBER_LEAVING,  /* the same; when it has none, it is no member any more */
    WIRE_MEMBER_AWAY,     /* the same, for it was dead too long; when it is back, it is up */
    WIRE_MEMBER_STATES
};
struct wire_member {
    struct wire_id node;
    uint32_t zone;
    uint8_t weight; /* capacity, 1 to WIRE_WEIGHT_MAX */
    enum wire_member_state state;
    uint64_t paxos; /* under this id it takes part in deciding maps; not zero, no other's */
    char peer_addr[WIRE_ADDR_MAX], client_addr[WIRE_ADDR_MAX];
};
/* The cluster map: also the content of the file meta/map. What is placed is what is wanted; the
 * groups' configurations say how far it has come. */
struct wire_map {
    struct wire_id cluster;
    uint64_t epoch;
    uint32_t partitions;
    uint32_t replicas; /* wanted of each partition, whether or not there are so many members */
    uint32_t member_count;
    struct wire_member members[WIRE_MEMBERS_MAX];
    uint8_t council_count;             /* 1 to WIRE_COUNCIL_MAX */
    uint8_t council[WIRE_COUNCIL_MAX]; /* positions, growing: a majority decides the next map */
    /* Heap: for each partition a row of `replicas` member positions, preferred leader first, each
     * member once; WIRE_NOBODY at its end, where members are too few. Never nobody at all. */
    uint8_t *placement;
};
void wire_put_map(struct buf *b, const struct wire_map *m);
/* Allocates placement; free with wire_map_free. */
MUST_USE enum err wire_get_map(struct slice payload, struct wire_map *m);
void wire_map_free(struct wire_map *m);
void wire_map_copy(struct wire_map *to, const struct wire_map *from); /* its own placement */
/* How many members the partition's row names; they stand at *row. */
uint32_t wire_map_row(const struct wire_map *m, uint32_t partition, const uint8_t **row);
/* The member at pos is to have a replica of the partition. */
bool wire_map_places(const struct wire_map *m, uint32_t partition, uint32_t pos);
/* Position of the member with this id, or -1. */
int wire_map_member(const struct wire_map *m, const struct wire_id *id);
void wire_put_member(struct buf *b, const struct wire_member *m);
MUST_USE enum err wire_get_member(struct reader *r, struct wire_member *m);

struct wire_chunk {
    uint32_t group;
    struct raft_id from, to;
    uint64_t file;
    struct raft_index index;
    struct raft_term term, sender_term;
    uint64_t offset, total; /* bytes of the whole file */
    bool last;
    struct slice bytes;
};
void wire_put_chunk(struct buf *b, const struct wire_chunk *c);
MUST_USE enum err wire_get_chunk(struct slice payload, struct wire_chunk *c);
struct wire_chunk_ack {
    uint32_t group;
    struct raft_id from, to; /* from: the receiver of the snapshot */
    uint64_t file;
    struct raft_index index;
    uint64_t offset; /* bytes taken so far */
    uint8_t state;   /* 0 go on, 1 installed durably, 2 given up */
};
enum {
    WIRE_CHUNK_MORE = 0,
    WIRE_CHUNK_INSTALLED = 1,
    WIRE_CHUNK_GIVEN_UP = 2,
    WIRE_CHUNK_DAMAGED = 3, /* given up, for it is not a whole snapshot: the sender's file is bad */
};
void wire_put_chunk_ack(struct buf *b, const struct wire_chunk_ack *a);
MUST_USE enum err wire_get_chunk_ack(struct slice payload, struct wire_chunk_ack *a);

struct wire_join {
    uint32_t group;
    struct raft_id id;         /* the new replica */
    struct raft_id replaces;   /* any generation of it leaves with the same step */
    struct wire_member member; /* who runs it */
};
void wire_put_join(struct buf *b, const struct wire_join *j);
MUST_USE enum err wire_get_join(struct slice payload, struct wire_join *j);

/* A replica that may have been taken out asks any other; whoever knows that it is out answers. */
struct wire_out {
    uint32_t group;
    bool answer;
    struct raft_id id; /* whom it is about */
    uint64_t asked;    /* the number of the question, back in its answer */
    /* answer: as of this index, which is committed, the configuration is not joint and does not
     * name it. Question: 0 */
    struct raft_index index;
};
void wire_put_out(struct buf *b, const struct wire_out *o);
MUST_USE enum err wire_get_out(struct slice payload, struct wire_out *o);

struct wire_leader {
    uint32_t partition;
    struct raft_term term;
    struct raft_id leader;
};
void wire_put_leader(struct buf *b, const struct wire_leader *l);
MUST_USE enum err wire_get_leader(struct reader *r, struct wire_leader *l);

enum wire_digest_kind {
    WIRE_DIGEST_ASK,     /* leader: say what your digest is when you have applied index */
    WIRE_DIGEST_ANSWER,  /* it is this; damaged: and I do not trust my state */
    WIRE_DIGEST_VERDICT, /* leader: a majority has this digest at index, you are to be rebuilt */
    WIRE_DIGEST_WANT,    /* send me a snapshot, not older than index */
    WIRE_DIGEST_KINDS
};
struct wire_digest {
    uint32_t group;
    enum wire_digest_kind kind;
    bool damaged;
    struct raft_id from, to;
    struct raft_term term; /* of the leader that speaks or is spoken to */
    struct raft_index index;
    uint64_t digest;
};
void wire_put_digest(struct buf *b, const struct wire_digest *d);
MUST_USE enum err wire_get_digest(struct slice payload, struct wire_digest *d);

/* RECORDS: u8 flags (1: the first of a connection, complete), then, if it is the first, the u64
 * number of the sender's run, then these; FORGOT: these. */
enum { WIRE_STARTS_MAX = 4 };
struct wire_start {
    uint64_t run;     /* a random number that the process took as it started */
    uint64_t records; /* what its log held of the group then */
};
struct wire_starts { /* the last of a replica, oldest first */
    uint8_t count;
    struct wire_start at[WIRE_STARTS_MAX];
};
struct wire_records {
    uint32_t group;
    struct raft_id replica;
    uint64_t records;          /* of the group, over the life of the sender's log */
    struct wire_starts starts; /* of the replica; none but in the first of a connection */
};
void wire_put_starts(struct buf *b, const struct wire_starts *s);
/* ERR_BAD_INPUT: r ends early, or there are too many. */
MUST_USE enum err wire_get_starts(struct reader *r, struct wire_starts *s);
void wire_put_records(struct buf *b, const struct wire_records *s);
MUST_USE enum err wire_get_records(struct reader *r, struct wire_records *s);

/* A message of the membership: the content of one packet, or of one frame of a stream. No
 * checksum: packets are authenticated by who seals them, frames have theirs. Exactly
 * swim_head_bytes and swim_record_bytes long. */
struct wire_swim_records {
    struct swim_record *at;
    uint32_t cap;
};
void wire_put_swim(struct buf *b, const struct swim_msg *m);
/* The records are decoded into *records, grown as needed and reused by the caller; m->records
 * points there. ERR_VERSION, ERR_BAD_INPUT: drop it. */
MUST_USE enum err wire_get_swim(struct slice payload, struct swim_msg *m,
                                struct wire_swim_records *records);
void wire_swim_records_free(struct wire_swim_records *s);

void wire_put_refuse(struct buf *b, enum err code, const char *text);
MUST_USE enum err wire_get_refuse(struct slice payload, enum err *code, struct slice *text);
#endif
