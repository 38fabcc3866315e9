/* swim.h - who is there: the SWIM membership of one node, without I/O.
 *
 * Feed it messages and the time; each call appends to a list what the driver must do. It never
 * blocks, reads a clock, draws entropy or touches a socket: same configuration and same inputs,
 * same effects.
 *
 * A member is known by its id, never by its address. What is said about it is ordered by
 * (incarnation, state), and only the member itself raises its incarnation: records merge in any
 * order to the same view, and what is older never wins.
 *
 * Durability is data: the member's own incarnation is spoken only below a limit that the driver
 * has confirmed to be on stable storage, so that a restart begins above all that was said before.
 *
 * Owner: one thread at a time. Memory: about 150 bytes per member; no call but swim_each and what
 * sends a whole state does work that grows with the number of members.
 * Source: [SWIM] Das, Gupta, Motivala, SWIM: Scalable Weakly-consistent Infection-style Process
 * Group Membership Protocol (2002); [LG] Dadgar, Phillips, Currey, Lifeguard: Local Health
 * Awareness for More Accurate Failure Detection (2018). [docs/protocol/swim.md]
 */
#ifndef SWIM_H
#define SWIM_H
#include "base/base_bytes.h"
#include "base/base_prng.h"

/* Random 128 bits; all zero: none, or whoever is at the address. */
struct swim_id {
    uint8_t b[16];
};
static inline bool swim_id_eq(const struct swim_id *a, const struct swim_id *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0; /* of a fixed size: two loads */
}
bool swim_id_is_zero(const struct swim_id *a);

/* IPv4 as ::ffff:a.b.c.d; port 0: no address. */
struct swim_addr {
    uint8_t ip[16];
    uint16_t port;
};
bool swim_addr_eq(const struct swim_addr *a, const struct swim_addr *b);
bool swim_addr_is_v4(const struct swim_addr *a);

enum {
    SWIM_META_MAX = 24,      /* bytes that swim carries and does not read */
    SWIM_SEEDS_MAX = 16,     /* addresses to begin with */
    SWIM_LOST_MAX = 16,      /* reaped members that are still tried */
    SWIM_FANOUT_MAX = 16,    /* receivers of one round of gossip */
    SWIM_HELPERS_MAX = 8,    /* asked for one indirect probe */
    SWIM_ACCUSERS_MAX = 4,   /* the first of a suspicion, and 3 that confirm it */
    SWIM_RELAYS_MAX = 64,    /* indirect probes under way for others */
    SWIM_RUMOURS_MAX = 100,  /* in one packet */
    SWIM_TRANSMITS_MAX = 63, /* of one rumour */
    SWIM_HEALTH_MAX = 8,     /* [LG] S: the worst local health */
    SWIM_PACKET_BYTES_MIN = 256,
    SWIM_MEMBERS_MAX = 1 << 20,
    SWIM_INCARNATION_AHEAD = 64, /* set aside by one write */
    SWIM_GOODBYES = 3,           /* a leaver tells its rumour so many times over */
};
#define SWIM_INCARNATION_MAX (1ULL << 48) /* beyond: nonsense */

/* In the order of what overrides what at the same incarnation. */
enum swim_state { SWIM_UNKNOWN, SWIM_ALIVE, SWIM_SUSPECT, SWIM_DEAD, SWIM_LEFT, SWIM_STATES };

/* What is said about a member: a rumour, or a line of a state. */
struct swim_record {
    struct swim_id id;
    struct swim_addr addr;
    uint64_t incarnation;
    enum swim_state state;
    bool by_stream;   /* SUSPECT, DEAD: its stream fails; only a working one refutes that */
    uint8_t meta_len; /* ALIVE, SUSPECT */
    uint8_t meta[SWIM_META_MAX];
    struct swim_id by; /* SUSPECT: who says so */
};

enum swim_msg_kind {
    /* in a packet */
    SWIM_PING,     /* answer with ACK */
    SWIM_ACK,      /* of the ping `seq`; or of the PING_REQ `seq`, from who was asked */
    SWIM_PING_REQ, /* ping `target` for me, within wait_ms; ACK or NACK */
    SWIM_NACK,     /* no answer from it yet; but I am here [LG] */
    SWIM_GOSSIP,   /* nothing but rumours */
    /* over a stream */
    SWIM_STREAM_PING,
    SWIM_STREAM_ACK,
    SWIM_SYNC,  /* my record, and the digest of my view: send me yours if it differs */
    SWIM_STATE, /* my whole view; send me yours unless `last` */
    SWIM_MSG_KINDS
};
struct swim_msg {
    enum swim_msg_kind kind;
    struct swim_id from, to;
    uint32_t seq;
    struct swim_id target;        /* PING_REQ */
    struct swim_addr target_addr; /* PING_REQ */
    uint16_t wait_ms;             /* PING_REQ */
    uint64_t digest;              /* SYNC */
    bool last;                    /* STATE */
    uint32_t record_count;
    const struct swim_record *records; /* borrowed */
};
bool swim_msg_is_stream(enum swim_msg_kind kind);
/* What the codec makes of them, in bytes: exactly, so that packets keep their budget. */
size_t swim_record_bytes(const struct swim_record *r);
size_t swim_head_bytes(const struct swim_msg *m);

/* All times in us. What adapts stays within the bounds named beside it. */
struct swim_config {
    struct swim_id self;
    struct swim_addr addr;
    uint8_t meta_len;
    uint8_t meta[SWIM_META_MAX];
    uint64_t incarnation_limit; /* the last one persisted; 0: never ran */
    uint64_t seed;
    uint32_t seed_count;
    struct swim_addr seeds[SWIM_SEEDS_MAX];
    uint32_t packet_bytes_max; /* of an encoded packet, before encryption */

    uint64_t probe_us;       /* the period; up to probe_us_max when answers are slow */
    uint64_t probe_us_max;   /* (before the local health's multiplier) */
    uint64_t timeout_us;     /* for a direct answer until round trips are known; the upper bound */
    uint64_t timeout_us_min; /* the lower bound */
    uint32_t helpers;        /* [SWIM] k */
    uint32_t health_max;     /* [LG] S: the worst local health; 0: it has no say, as in [SWIM] */
    bool buddy;              /* [LG] tell first of all who is suspect that it is */
    uint32_t suspicion_mult; /* [LG] alpha: shortest suspicion = alpha log10(n) periods */
    uint32_t suspicion_max;  /* [LG] beta: longest = beta times the shortest */
    uint32_t confirmations;  /* [LG] K: as many make it the shortest */
    uint64_t gossip_us_min;  /* between packets of mere rumours: 4 round trips, */
    uint64_t gossip_us_max;  /* within these */
    uint32_t fanout;         /* receivers each time; more when packets are lost, */
    uint32_t fanout_max;     /* up to this */
    uint32_t retransmit;     /* [SWIM] lambda: a rumour is sent lambda log10(n+1) times; */
    uint32_t retransmit_max; /* larger when packets are lost, up to this */
    uint64_t sync_us;        /* between comparisons of whole views; longer beyond 32 members */
    uint64_t rejoin_us;      /* between attempts to reach the dead, for ever */
    uint64_t reap_us;        /* the dead and those who left are listed so long, */
    uint64_t tombstone_us;   /* and remembered so long: no older record revives them */
};
/* Values for one data centre. self, addr and seed are the caller's to set. */
void swim_config_default(struct swim_config *cfg);
/* Take Lifeguard's three parts out: what is left is [SWIM], to compare with. */
void swim_config_plain(struct swim_config *cfg);

enum swim_effect_kind {
    SWIM_SEND,        /* a packet to an address */
    SWIM_SEND_STREAM, /* over a stream to the address; if it fails: nothing, or swim_link_failed */
    SWIM_PERSIST,     /* make the limit durable, then swim_durable */
    SWIM_CHANGED,     /* a member's state; is == was: its address or metadata, or its incarnation */
    SWIM_GONE,        /* after swim_leave: everything is said, stop */
};
struct swim_effect {
    enum swim_effect_kind kind;
    union {
        struct {
            struct swim_addr addr;
            struct swim_msg msg; /* its records are borrowed until the next clear */
            uint32_t record_first;
        } send;
        uint64_t limit;
        struct {
            struct swim_id id;
            enum swim_state was, is; /* is UNKNOWN: reaped, no longer listed */
            bool refuted;            /* it was said to be suspect or dead, and has denied it */
        } changed;
    } u;
};
/* Appended to by every call, cleared and freed by the caller. */
struct swim_effects {
    struct swim_effect *at;
    uint32_t count, cap;
    struct swim_record *records;
    uint32_t record_count, record_cap;
};
void swim_effects_clear(struct swim_effects *fx);
void swim_effects_free(struct swim_effects *fx);

struct swim; /* swim_internal.h */

/* Copies cfg. The first effect is PERSIST; until swim_durable nothing is sent. */
struct swim *swim_create(const struct swim_config *cfg, uint64_t now_us, struct swim_effects *fx);
void swim_destroy(struct swim *s);

/* A message from addr; judged, not trusted. ERR_MISROUTED: not for this id, or from it.
 * ERR_BAD_INPUT: nonsense. ERR_STOPPED: has left. Nothing changed then. */
MUST_USE enum err swim_step(struct swim *s, uint64_t now_us, const struct swim_msg *msg,
                            const struct swim_addr *addr, struct swim_effects *fx);
void swim_tick(struct swim *s, uint64_t now_us, struct swim_effects *fx);
uint64_t swim_deadline_us(const struct swim *s); /* call swim_tick no later than this */
/* Incarnations up to limit are on stable storage as used. */
void swim_durable(struct swim *s, uint64_t now_us, uint64_t limit, struct swim_effects *fx);
/* The driver's stream to the member fails: it becomes suspect whatever its packets say, and only
 * a stream that works, to anyone, lets it refute that. Call again while it fails: it is
 * accused again no sooner than after two of the longest suspicions. */
void swim_link_failed(struct swim *s, uint64_t now_us, const struct swim_id *id,
                      struct swim_effects *fx);
/* A stream to the member works: compare views over it. Its address need not be known. */
void swim_greet(struct swim *s, uint64_t now_us, const struct swim_id *id, struct swim_effects *fx);
/* Whoever decides such things says that this is a member no more: as if it had said goodbye. */
void swim_forget(struct swim *s, uint64_t now_us, const struct swim_id *id,
                 struct swim_effects *fx);
/* Times and multipliers from now on; what cfg says about the node itself is not looked at. */
void swim_set_pace(struct swim *s, const struct swim_config *cfg);
/* This node's own address or metadata, from now on. */
void swim_set_self(struct swim *s, uint64_t now_us, const struct swim_addr *addr, struct slice meta,
                   struct swim_effects *fx);
/* Try this address too, now and for ever. ERR_FULL: SWIM_SEEDS_MAX are known. */
MUST_USE enum err swim_join(struct swim *s, uint64_t now_us, const struct swim_addr *addr,
                            struct swim_effects *fx);
/* Say goodbye; SWIM_GONE follows when it is said often enough. */
void swim_leave(struct swim *s, uint64_t now_us, struct swim_effects *fx);

/* Views. The node itself counts as a member. */
uint32_t swim_count(const struct swim *s, enum swim_state state);
bool swim_find(const struct swim *s, const struct swim_id *id, struct swim_record *out);
/* All listed members; start with *pos = 0. The engine must not change meanwhile. */
bool swim_each(const struct swim *s, uint32_t *pos, struct swim_record *out);
uint64_t swim_digest(const struct swim *s); /* of ids and incarnations of the living */

/* What the engine measures and has made of it. */
struct swim_tuning {
    uint32_t health;   /* [LG] 0: well; SWIM_HEALTH_MAX: slow or cut off itself */
    uint64_t rtt_us;   /* smoothed; 0: none measured */
    uint32_t loss_ppm; /* of round trips of packets */
    uint64_t probe_us; /* period, with the multiplier of health */
    uint64_t timeout_us;
    uint64_t gossip_us;
    uint32_t fanout, transmits;
    uint64_t suspicion_us_min, suspicion_us_max;
};
void swim_tuning(const struct swim *s, struct swim_tuning *out);
struct swim_stats {
    uint64_t refutations, suspicions, deaths; /* own; begun; declared by this node's timer */
    uint64_t stale, rejected;                 /* records: older than known; nonsense or no room */
    uint64_t probes, probes_failed, relays_dropped;
    uint64_t conflicts; /* what is said of this node and it has not said: a lost disk, or a twin */
};
const struct swim_stats *swim_stats(const struct swim *s);

/* What it makes of what it measures: pure, so that a study of the rules uses these and no others.
 * An estimate after one more sample: of the round trip (0: none yet), of the share of round trips
 * that are lost. Then, with loss, round trip and the number of the living: receivers each time,
 * times that a rumour is sent, time between packets of mere rumours. */
uint64_t swim_rtt_after(uint64_t rtt_us, uint64_t sample_us);
uint32_t swim_loss_after(uint32_t loss_ppm, bool lost);
uint32_t swim_fanout_for(const struct swim_config *cfg, uint32_t loss_ppm);
uint32_t swim_transmits_for(const struct swim_config *cfg, uint32_t loss_ppm, uint32_t living);
uint64_t swim_gossip_us_for(const struct swim_config *cfg, uint64_t rtt_us);

/* Every invariant this struct promises; looks at every member. */
void swim_check(const struct swim *s);
const char *swim_state_name(enum swim_state state);
const char *swim_msg_name(enum swim_msg_kind kind);
#endif
