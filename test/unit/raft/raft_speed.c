/* raft_speed.c - what the protocol itself costs per entry, without disk and network.
 *
 * One leader and two followers; each turn proposes a batch, and everything is
 * handed over by pointer. Not a test: prints nanoseconds per entry, for all
 * three replicas together, and per idle flush.
 */
#include "core/raft/raft.h"

#include <stdio.h>
#include <time.h>

enum { ENTRIES = 2000000, KEEP = 10000 };

struct replica {
    struct raft *r;
    struct raft_effects fx;
    uint64_t ticket;
};

static uint64_t now_us = 1;
static struct replica nodes[3];

static double seconds(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Flush until nobody has anything to say; every write is durable at once. */
static void settle(void)
{
    for (bool busy = true; busy;) {
        busy = false;
        for (int i = 0; i < 3; i++) {
            struct replica *n = &nodes[i];

            raft_flush(n->r, now_us, n->ticket, &n->fx);
            busy = busy || n->fx.count > 0;
            for (uint32_t k = 0; k < n->fx.count; k++) {
                const struct raft_effect *e = &n->fx.at[k];

                if (e->kind == RAFT_SEND) {
                    CHECK(raft_step(nodes[e->u.msg.to.n - 1].r, now_us, &e->u.msg) == ERR_OK);
                } else if (e->kind == RAFT_COMMITTED) {
                    raft_applied(n->r, e->u.index);
                    if (e->u.index.n > KEEP && e->u.index.n % 1000 < 64) {
                        raft_compact(n->r, (struct raft_index){e->u.index.n - KEEP});
                    }
                }
            }
            raft_durable(n->r, now_us, n->ticket++);
        }
    }
}

static void run(uint32_t batch)
{
    static const uint8_t payload[128];
    struct raft_index index = {0};
    double start = seconds(), spent;

    for (uint32_t done = 0; done < ENTRIES; done += batch) {
        for (uint32_t k = 0; k < batch; k++) {
            CHECK(raft_propose(nodes[0].r, now_us, (struct slice){payload, 128}, &index) == ERR_OK);
        }
        now_us += 10;
        settle();
    }
    spent = seconds() - start;
    CHECK(raft_commit(nodes[0].r).n == index.n);
    printf("batch %3u: %6.0f ns per entry, three replicas together\n", batch,
           spent / ENTRIES * 1e9);
}

int main(void)
{
    struct raft_config cfg = {
        .heartbeat_us = 50000,
        .election_us_min = 300000,
        .election_us_max = 600000,
        .append_bytes_max = 1 << 20,
        .inflight_bytes_max = 8 << 20,
        .inflight_count_max = 256,
        .uncommitted_bytes_max = 64 << 20,
        .lease_reads = true,
    };
    struct raft_recovered rec = {.conf.voter_count = 3};
    double start;
    bool now;
    uint64_t answered = 0;

    for (uint64_t i = 0; i < 3; i++) {
        rec.conf.voters[i].n = i + 1;
    }
    for (uint64_t i = 0; i < 3; i++) {
        cfg.self.n = cfg.seed = i + 1;
        nodes[i] = (struct replica){.r = raft_create(&cfg, &rec), .ticket = 1};
        raft_start(nodes[i].r, now_us);
    }
    now_us = raft_deadline_us(nodes[0].r);
    raft_tick(nodes[0].r, now_us);
    settle();
    CHECK(raft_role(nodes[0].r) == RAFT_LEADER);
    run(1);
    run(16);
    run(64);
    start = seconds();
    for (int i = 0; i < ENTRIES; i++) {
        raft_flush(nodes[0].r, now_us, nodes[0].ticket, &nodes[0].fx);
    }
    printf("idle flush: %4.1f ns\n", (seconds() - start) / ENTRIES * 1e9);
    start = seconds();
    for (int i = 0; i < ENTRIES; i++) {
        CHECK(raft_read(nodes[0].r, now_us, 1, &now) == ERR_OK);
        answered += now;
    }
    printf("lease read: %4.1f ns\n", (seconds() - start) / ENTRIES * 1e9);
    CHECK(answered == ENTRIES);
    for (int i = 0; i < 3; i++) {
        raft_destroy(nodes[i].r);
        raft_effects_free(&nodes[i].fx);
    }
    return 0;
}
