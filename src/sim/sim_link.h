/* sim_link.h - the way from one place to another: how long bytes are on it, and whether any
 * get through.
 *
 * TCP runs on it, so what a link loses arrives later, not never: a lost piece costs a round
 * trip or a retransmission timer that doubles, and all that follows on its connection waits.
 */
#ifndef SIM_LINK_H
#define SIM_LINK_H
#include "sim/sim_options.h"

struct sim_link {
    struct prng dice;
    enum sim_link_shape shape;
    uint64_t base_us, spread_us; /* the least delay, and what is usually added at most */
    uint64_t bytes_per_s;        /* of all its connections together */
    uint64_t busy_until_us;      /* earlier bytes are still leaving */
    uint32_t loss_ppm;           /* of the pieces */
    uint64_t slow_us;            /* added while a fault lasts */
    uint64_t cut_since_us;       /* nothing gets through; 0: open */
    uint64_t cut_until_us;
    struct prng packet_dice;  /* of datagrams alone: connections go on as without them */
    uint32_t packet_loss_ppm; /* of the datagrams, beyond what is lost anyway */
    bool packets_pass;        /* cut, but not for datagrams */
};
void sim_link_draw(struct sim_link *l, const struct sim_options *o, struct prng dice);
/* Delay of a few bytes. calm: never more than base and spread. */
uint64_t sim_link_delay_us(struct sim_link *l, bool calm);
/* When a piece that leaves now arrives. UINT64_MAX: lost so often that TCP gives up. */
uint64_t sim_link_arrival_us(struct sim_link *l, bool calm, uint64_t now_us, size_t bytes);
static inline bool sim_link_cut(const struct sim_link *l)
{
    return l->cut_since_us != 0;
}
#endif
