/* swim_world.h - many engines and a network between them, in virtual time, from a seed.
 *
 * Every message goes through the codec. After each turn the rules that a bystander can see are
 * judged; a broken one ends the process with a sentence. Used by the traces and by the random
 * worlds. */
#ifndef SWIM_WORLD_H
#define SWIM_WORLD_H
#include "base/base_mem.h"
#include "wire/wire.h"

enum { WORLD_ADDR_STEP = 10000 }; /* a node's next address: this much further */

struct world_node {
    uint32_t number; /* from 1; its id */
    struct swim *swim;
    struct swim_config cfg;
    uint64_t persisted, spoken; /* incarnations */
    uint32_t life, addr;        /* restarts; its address as a number */
    uint64_t tick_at_us, persist_us, slow_us;
    uint32_t side; /* of a partition; only the same side hears it */
    bool stream_dead, packets_dead, left, silent;
    /* about the others, by number */
    uint64_t *buried; /* the incarnation up to which it has held one dead, in this life */
    uint64_t *probed; /* the number of the probe that last went to one */
    uint64_t packets, packet_bytes, stream_bytes, rumours;
};

struct world_event {
    uint64_t at_us, order;
    enum { WORLD_TICK, WORLD_DELIVER, WORLD_DURABLE } kind;
    uint32_t node, life, from_addr, to_addr;
    bool stream;
    uint64_t limit;
    struct slice bytes;
};

struct world {
    struct swim_config cfg; /* for nodes to come */
    struct world_node *nodes;
    uint32_t count;
    uint32_t *owners; /* address to node number, or 0 */
    uint32_t owner_cap;
    struct world_event *events;
    uint32_t event_count, event_cap;
    uint64_t event_order, now_us, turns;
    struct prng prng;
    uint64_t latency_us_min, latency_us_max;
    uint32_t loss_ppm;
    bool cut[32][32];     /* from, to: among the first 31 nodes */
    bool judge_fairness;  /* nobody comes or goes, nothing is lost: bound the round robin */
    uint32_t check_every; /* turns between swim_check */
    struct swim_effects fx;
    struct wire_swim_records scratch;
    void (*on_effect)(struct world *w, struct world_node *n, const struct swim_effect *e);
    void *arg;
};
struct world *world_create(uint64_t seed);
void world_destroy(struct world *w);
struct world_node *world_add(struct world *w); /* not started */
struct world_node *world_node(struct world *w, uint32_t number);
/* Start or restart; it knows the addresses of `seed` and of the first node (0: of nobody). */
void world_start(struct world *w, struct world_node *n, uint32_t seed);
void world_crash(struct world *w, struct world_node *n);
void world_leave(struct world *w, struct world_node *n);
void world_move(struct world *w, struct world_node *n); /* to another address */
void world_greet(struct world *w, struct world_node *n, uint32_t whom);
void world_forget(struct world *w, struct world_node *n, uint32_t whom);
void world_link_failed(struct world *w, struct world_node *n, uint32_t about);
void world_receive(struct world *w, struct world_node *n, const struct swim_msg *m,
                   uint32_t from_addr);
void world_tick(struct world *w, struct world_node *n);
void world_run(struct world *w, uint64_t us);
struct swim_id world_id(uint32_t number);
uint32_t world_number(const struct swim_id *id); /* 0: none */
struct swim_addr world_addr(uint32_t addr);
uint32_t world_addr_number(const struct swim_addr *a);
/* What n holds of another; UNKNOWN if it does not list it. */
enum swim_state world_state(const struct world_node *n, uint32_t about);
/* Every node that is up lists exactly those as alive, with their address, and suspects nobody. */
bool world_agrees(const struct world *w);
void world_explain(const struct world *w); /* who differs from whom, to stderr */
_Noreturn void world_finding(const struct world *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
#endif
