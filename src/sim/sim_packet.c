#include "sim/sim_packet.h"

#include "sim/sim_world.h"

enum { PORT = 17000, MILLION = 1000000 };

struct swim_addr sim_packet_addr(uint32_t host)
{
    return (struct swim_addr){
        .ip = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, (uint8_t)(host + 1)},
        .port = PORT,
    };
}

void sim_packets_free(struct sim_packets *p)
{
    for (uint32_t i = 0; i < p->count; i++) {
        buf_free(&p->at[i].data);
    }
    mem_free(p->at);
    *p = (struct sim_packets){0};
}

static uint32_t place_new(struct sim_packets *p)
{
    for (uint32_t i = 0; i < p->count; i++) {
        if (!p->at[i].flies) {
            return i;
        }
    }
    if (p->count == p->cap) {
        p->cap = p->cap == 0 ? 16 : 2 * p->cap;
        p->at = mem_realloc(p->at, p->cap * sizeof p->at[0]);
    }
    return p->count++;
}

/* A bit changes, the end is missing, or something follows. */
static void harm(struct prng *dice, struct buf *data)
{
    size_t at = prng_below(dice, data->len);

    switch (prng_below(dice, 4)) {
    case 0:
        data->len = at;
        return;
    case 1:
        put_u8(data, (uint8_t)prng_next(dice));
        return;
    default:
        data->data[at] ^= (uint8_t)(1U << prng_below(dice, 8));
        return;
    }
}

static void arrives(struct sim_world *w, uint64_t place, uint64_t unused)
{
    struct sim_packet *p = &w->packets.at[place];
    struct sim_host *h = &w->hosts[p->to];
    struct sim_input in = {
        .kind = SIM_IN_PACKET, .place = p->from, .data = p->data, .harmed = p->harmed};

    (void)unused;
    *p = (struct sim_packet){0};
    if (h->node == NULL || h->packets_waiting >= SIM_PACKETS_WAITING) {
        w->packets.lost++;
        buf_free(&in.data);
        return;
    }
    h->packets_waiting++;
    sim_trace(w, 0xda7a, hash64(in.data.data, in.data.len));
    sim_host_input(w, h, &in, true);
}

static void fly(struct sim_world *w, uint32_t from, uint32_t to, const struct buf *data)
{
    struct sim_link *l = sim_net_link(&w->net, from, to);
    bool faults = sim_faults_on(w) && w->opt.fault[SIM_FAULT_PACKETS];
    uint64_t delay_us = sim_link_delay_us(l, !sim_faults_on(w));
    uint32_t place = place_new(&w->packets);
    struct sim_packet *p = &w->packets.at[place];

    *p = (struct sim_packet){.flies = true, .from = from, .to = to};
    buf_append(&p->data, data->data, data->len);
    if (faults && prng_chance(&l->packet_dice, w->opt.packet_harm_permille, 1000)) {
        p->harmed = true;
        harm(&l->packet_dice, &p->data);
        w->packets.harmed++;
    }
    if (faults && prng_chance(&l->packet_dice, w->opt.packet_late_permille, 1000)) {
        delay_us += prng_below(&l->packet_dice, w->opt.fault_long_us);
        w->packets.late++;
    }
    sim_in(w, delay_us, arrives, place, 0);
}

static bool lost(struct sim_world *w, struct sim_link *l)
{
    bool faults = sim_faults_on(w) && w->opt.fault[SIM_FAULT_PACKETS];

    return (sim_link_cut(l) && !l->packets_pass) ||
           prng_chance(&l->packet_dice, l->packet_loss_ppm, MILLION) ||
           prng_chance(&l->packet_dice, l->loss_ppm, MILLION) ||
           (faults && prng_chance(&l->packet_dice, w->opt.packet_drop_permille, 1000));
}

void sim_packet_send(struct sim_world *w, struct sim_host *h, const struct swim_addr *to,
                     struct buf *data)
{
    uint32_t host = (uint32_t)to->ip[15] - 1;
    struct swim_addr known = sim_packet_addr(host);
    bool faults = sim_faults_on(w) && w->opt.fault[SIM_FAULT_PACKETS];
    struct sim_link *l;

    sim_trace(w, 0xda7a + h->id + 1, hash64(data->data, data->len));
    if (host >= w->opt.hosts || host == h->id || !swim_addr_eq(to, &known)) {
        sim_found(w, "n%u sends a packet to an address where nobody else ever was", h->id);
    } else if (data->len == 0 || data->len > NODE_PACKET_BYTES_MAX) {
        sim_found(w, "n%u sends a packet of %zu bytes; the network takes no more than %u", h->id,
                  data->len, NODE_PACKET_BYTES_MAX);
    } else {
        l = sim_net_link(&w->net, h->id, host);
        w->packets.sent++;
        w->packets.bytes += data->len;
        if (lost(w, l)) {
            w->packets.lost++;
        } else {
            fly(w, h->id, host, data);
            if (faults && prng_chance(&l->packet_dice, w->opt.packet_twice_permille, 1000)) {
                w->packets.doubled++;
                fly(w, h->id, host, data);
            }
        }
    }
    buf_free(data);
}
