/* swim_internal.h - the engine's own data; swim.h is the contract. */
#ifndef SWIM_INTERNAL_H
#define SWIM_INTERNAL_H
#include "base/base_hash.h"
#include "base/base_mem.h"
#include "core/swim/swim.h"

#define SWIM_NONE UINT32_MAX
#define SWIM_NEVER UINT64_MAX
enum { SWIM_SELF = 0 }; /* the place of the node itself among its members */

/* Round robin in random order, shuffled one step at a time: at[0..cursor) had their turn in this
 * round, each next one is drawn from the rest. Between two turns of a member lie at most
 * 2 * count - 2 others' [SWIM s4.3]. */
struct swim_order {
    uint32_t *at;
    uint32_t count, cap, cursor;
};
enum swim_which {
    SWIM_ORDER_PROBE,  /* the living */
    SWIM_ORDER_GOSSIP, /* the living */
    SWIM_ORDER_GONE,   /* the listed dead */
    SWIM_ORDERS
};

struct swim_suspicion {
    uint64_t began_us, shortest_us, longest_us;
    uint8_t needed; /* confirmations that make it the shortest */
    uint8_t accuser_count, said;
    struct swim_id accusers[SWIM_ACCUSERS_MAX];
};

struct swim_member {
    struct swim_id id;
    struct swim_addr addr;
    uint8_t state; /* enum swim_state; UNKNOWN: a free place */
    uint8_t meta_len;
    uint8_t meta[SWIM_META_MAX];
    bool by_stream, reaped;
    uint8_t transmits;   /* of its rumour, while queued */
    uint8_t order_count; /* orders that it is in: 0, 1 (gone) or 2 (living) */
    uint32_t order_pos[2];
    uint32_t timer_pos;  /* in the heap, or NONE */
    uint32_t prev, next; /* its rumour's neighbours */
    bool queued;
    uint32_t accused_s; /* when this node last accused it for its link; 0: never */
    uint64_t incarnation;
    struct swim_suspicion *suspicion; /* iff SUSPECT */
};

struct swim_timer {
    uint64_t at_us;
    uint32_t member;
};

/* Rumours that were sent equally often, oldest first. */
struct swim_rumours {
    uint32_t head, tail;
};

enum swim_phase { SWIM_IDLE, SWIM_DIRECT, SWIM_INDIRECT, SWIM_ANSWERED };
struct swim_probe {
    enum swim_phase phase;
    struct swim_id target;
    uint64_t incarnation; /* of the target when the probe began */
    uint32_t seq;
    uint64_t sent_us, timeout_at_us, end_at_us;
    uint32_t helper_count, nacks;
    struct swim_id helpers[SWIM_HELPERS_MAX];
    bool nacked[SWIM_HELPERS_MAX];
};

struct swim_relay { /* a ping for somebody else */
    bool used, nacked;
    struct swim_id origin, target;
    struct swim_addr origin_addr;
    uint32_t origin_seq, seq;
    uint64_t nack_at_us, end_at_us;
};

struct swim_lost {
    struct swim_id id;
    struct swim_addr addr;
};

struct swim {
    struct swim_config cfg;
    struct prng prng;
    uint64_t now_us, began_us;
    /* own incarnation: members[SELF].incarnation <= durable; wanted: to be taken when durable */
    uint64_t durable, asked, wanted;
    bool speaking, leaving, gone;
    uint32_t goodbyes;

    struct swim_member *members;
    uint32_t member_cap, member_used, free_head, tombstones;
    uint32_t counts[SWIM_STATES]; /* listed, by state; self included */
    uint32_t *slots;              /* hash by id: place + 1, or 0 */
    uint32_t slot_cap, slot_count;
    uint64_t digest;
    struct swim_order orders[SWIM_ORDERS];
    struct swim_timer *timers;
    uint32_t timer_count, timer_cap;
    struct swim_rumours rumours[SWIM_TRANSMITS_MAX + 1];
    uint32_t rumour_count;

    uint32_t seq;
    struct swim_probe probe;
    struct swim_relay relays[SWIM_RELAYS_MAX];
    uint64_t relay_at_us; /* not later than the first deadline of a relay */
    uint64_t probe_at_us, gossip_at_us, sync_at_us, rejoin_at_us, greet_at_us;
    struct swim_lost lost[SWIM_LOST_MAX];
    uint32_t lost_count, rejoin_pos;

    /* A suspicion for its streams that this node must answer with a working one. */
    uint64_t proof_incarnation, proof_at_us, conflict_at_us;
    uint32_t proof_seq;
    bool proving;

    uint32_t health;
    uint64_t rtt_us, rtt_var_us;
    uint32_t loss_ppm;
    struct swim_stats stats;
};

/* swim_table.c */
uint32_t swim_lookup(const struct swim *s, const struct swim_id *id);
uint32_t swim_insert(struct swim *s, const struct swim_id *id); /* NONE: no room */
void swim_remove(struct swim *s, uint32_t pos);
void swim_orders_enter(struct swim *s, uint32_t pos, bool living);
void swim_orders_leave(struct swim *s, uint32_t pos);
uint32_t swim_order_next(struct swim *s, enum swim_which which); /* NONE: empty */
uint32_t swim_order_any(struct swim *s, enum swim_which which);
void swim_timer_set(struct swim *s, uint32_t pos, uint64_t at_us);
void swim_timer_clear(struct swim *s, uint32_t pos);
uint64_t swim_member_digest(const struct swim_member *m);
bool swim_is_living(const struct swim_member *m);
void swim_table_free(struct swim *s);

/* swim_rumour.c */
void swim_rumour_add(struct swim *s, uint32_t pos); /* to be told anew */
void swim_rumour_drop(struct swim *s, uint32_t pos);
void swim_gossip(struct swim *s, struct swim_effects *fx);
/* Send m to the member at addr, with what fits of rumours; first of all what is said about the
 * receiver (buddy system [LG]). */
void swim_send(struct swim *s, struct swim_msg *m, const struct swim_addr *addr,
               struct swim_effects *fx);
void swim_send_stream(struct swim *s, struct swim_msg *m, const struct swim_addr *addr,
                      struct swim_effects *fx);
struct swim_effect *swim_effect_add(struct swim_effects *fx, enum swim_effect_kind kind);
struct swim_record *swim_record_add(struct swim_effects *fx);
void swim_records_settle(struct swim_effects *fx);
void swim_record_of(const struct swim_member *m, struct swim_record *out);

/* swim_merge.c */
void swim_merge(struct swim *s, const struct swim_record *r, const struct swim_id *teller,
                struct swim_effects *fx);
void swim_accuse(struct swim *s, uint32_t pos, bool by_stream, struct swim_effects *fx);
void swim_bury(struct swim *s, uint32_t pos, struct swim_effects *fx); /* it counts as left */
void swim_timer_due(struct swim *s, uint32_t pos, struct swim_effects *fx);
void swim_raise(struct swim *s, uint64_t above, struct swim_effects *fx);
void swim_proven(struct swim *s, struct swim_effects *fx);

/* swim_probe.c */
void swim_probe_tick(struct swim *s, struct swim_effects *fx);
void swim_relays_tick(struct swim *s, struct swim_effects *fx);
void swim_on_ping(struct swim *s, const struct swim_msg *m, const struct swim_addr *addr,
                  struct swim_effects *fx);
void swim_on_ack(struct swim *s, const struct swim_msg *m, struct swim_effects *fx);
void swim_on_ping_req(struct swim *s, const struct swim_msg *m, const struct swim_addr *addr,
                      struct swim_effects *fx);
void swim_on_nack(struct swim *s, const struct swim_msg *m);

/* swim_sync.c */
void swim_sync_tick(struct swim *s, struct swim_effects *fx);
void swim_rejoin_tick(struct swim *s, struct swim_effects *fx);
void swim_sync_with(struct swim *s, const struct swim_id *id, const struct swim_addr *addr,
                    struct swim_effects *fx);
void swim_on_sync(struct swim *s, const struct swim_msg *m, const struct swim_addr *addr,
                  struct swim_effects *fx);
void swim_on_state(struct swim *s, const struct swim_msg *m, const struct swim_addr *addr,
                   struct swim_effects *fx);
void swim_lost_add(struct swim *s, const struct swim_member *m);
void swim_lost_found(struct swim *s, const struct swim_id *id);

/* swim_adapt.c */
uint32_t swim_log2_q16(uint64_t x);                     /* log2 of x >= 1, in 1/65536 */
uint64_t swim_log10_times(uint64_t x, uint64_t factor); /* factor * log10(x), rounded up */
uint64_t swim_suspicion_us(uint64_t shortest, uint64_t longest, uint32_t confirmed,
                           uint32_t needed);
void swim_health_add(struct swim *s, int delta);
void swim_rtt_sample(struct swim *s, uint64_t rtt_us);
void swim_loss_sample(struct swim *s, bool lost);
uint32_t swim_living(const struct swim *s); /* alive and suspect, self included */
uint64_t swim_probe_us(const struct swim *s);
uint64_t swim_timeout_us(const struct swim *s); /* both: with the multiplier of health */
uint64_t swim_base_us(const struct swim *s);    /* the period without it */
uint64_t swim_gossip_us(const struct swim *s);
uint32_t swim_fanout(const struct swim *s);
uint32_t swim_transmits(const struct swim *s);
uint64_t swim_sync_us(const struct swim *s);
uint64_t swim_suspicion_min_us(const struct swim *s);
#endif
