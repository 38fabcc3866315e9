/* seal_speed.c - what sealing and opening a packet costs, for a few sizes. Not a test. */
#include "seal/seal.h"

#include <stdio.h>
#include <time.h>

enum { PACKETS = 500000 };

static double seconds(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(void)
{
    static const size_t sizes[] = {64, 256, 1200};
    static uint8_t bytes[1200];
    struct seal_keys keys;
    struct seal_nonces nonces;

    seal_keys_of_cluster(&keys, SLICE("a cluster's id!!"));
    seal_nonces_init(&nonces, SLICE("sixteen bytes or more"));
    struct seal_ring *r = seal_ring_create(&keys);

    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        struct buf packet = {0}, plain = {0};
        uint8_t nonce[SEAL_NONCE_BYTES];
        double start = seconds();

        for (unsigned n = 0; n < PACKETS; n++) {
            packet.len = 0;
            seal_nonces_next(&nonces, nonce);
            seal_packet(r, nonce, SLICE("a cluster's id!!"), (struct slice){bytes, sizes[i]},
                        &packet);
        }
        double middle = seconds();

        for (unsigned n = 0; n < PACKETS; n++) {
            plain.len = 0;
            CHECK(seal_open(r, SLICE("a cluster's id!!"), buf_slice(&packet), &plain) == ERR_OK);
        }
        (void)printf("%4zu bytes: seal %.0f ns, open %.0f ns\n", sizes[i],
                     (middle - start) / PACKETS * 1e9, (seconds() - middle) / PACKETS * 1e9);
        buf_free(&packet);
        buf_free(&plain);
    }
    seal_ring_destroy(r);
    return 0;
}
