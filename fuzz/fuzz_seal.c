/* fuzz_seal - bytes as a packet, and as a file of keys.
 *
 * The first byte says how: odd, the rest is a packet, which nothing opens; even, the rest is a
 * file of keys, and those that are found seal and open a packet. */
#include "seal/seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void read_packet(struct slice packet)
{
    static struct seal_ring *ring;
    struct buf plain = {0};

    if (ring == NULL) {
        struct seal_keys keys = {.count = 2, .key = {{1}, {2}}};

        ring = seal_ring_create(&keys);
    }
    CHECK(seal_open(ring, SLICE("c"), packet, &plain) != ERR_OK); /* nobody guesses a tag */
    CHECK(plain.len == 0);
    buf_free(&plain);
}

static void read_keys(struct slice text)
{
    static const uint8_t nonce[SEAL_NONCE_BYTES] = {1};
    struct seal_keys keys;
    struct diag why = {""};
    struct buf packet = {0}, plain = {0};

    if (seal_keys_parse(&keys, "fuzz", text, &why) != ERR_OK) {
        CHECK(keys.count == 0);
        CHECK(why.text[0] != '\0');
        return;
    }
    struct seal_ring *ring = seal_ring_create(&keys);

    seal_packet(ring, nonce, SLICE("c"), text, &packet);
    CHECK(seal_open(ring, SLICE("c"), buf_slice(&packet), &plain) == ERR_OK);
    CHECK(slice_eq(buf_slice(&plain), text));
    seal_ring_destroy(ring);
    buf_free(&packet);
    buf_free(&plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0 || len > 4096) {
        return 0;
    }
    if (data[0] % 2 == 1) {
        read_packet((struct slice){data + 1, len - 1});
    } else {
        read_keys((struct slice){data + 1, len - 1});
    }
    return 0;
}
