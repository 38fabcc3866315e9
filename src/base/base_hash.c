#include "base/base_hash.h"

#include <xxhash.h>
/* The library picks what this processor does best; the sums are the same. */
#ifdef SYNOD_XXH_DISPATCH
#include <xxh_x86dispatch.h>
#endif

uint64_t hash64(const void *data, size_t len)
{
    return XXH3_64bits(data, len);
}

uint64_t hash64_seeded(const void *data, size_t len, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, len, seed);
}

uint32_t checksum32(const void *data, size_t len)
{
    return (uint32_t)XXH3_64bits(data, len);
}

void hash64_stream_begin(struct hash64_stream *h)
{
    h->state = XXH3_createState();
    CHECK(h->state != NULL);
    CHECK(XXH3_64bits_reset(h->state) == XXH_OK);
}

void hash64_stream_add(struct hash64_stream *h, const void *data, size_t len)
{
    CHECK(XXH3_64bits_update(h->state, data, len) == XXH_OK);
}

uint64_t hash64_stream_end(struct hash64_stream *h)
{
    uint64_t sum = XXH3_64bits_digest(h->state);

    (void)XXH3_freeState(h->state);
    h->state = NULL;
    return sum;
}

/* Nibble-wise would be smaller; the byte table is built by the compiler's own
 * arithmetic so that no 256-line constant has to be believed. */
#define CRC_BIT(c) (((c)&0x8000) ? (uint16_t)(((c) << 1) ^ 0x1021) : (uint16_t)((c) << 1))
static uint16_t crc16_byte(uint16_t c)
{
    for (unsigned bit = 0; bit < 8; bit++) {
        c = (uint16_t)CRC_BIT(c); /* a conditional of uint16_t is an int */
    }
    return c;
}

static uint16_t crc16_table[256];

__attribute__((constructor)) static void crc16_table_fill(void)
{
    for (unsigned i = 0; i < 256; i++) {
        crc16_table[i] = crc16_byte((uint16_t)(i << 8));
    }
}

uint16_t crc16(const void *data, size_t len)
{
    const uint8_t *p = data;
    uint16_t crc = 0;

    for (size_t i = 0; i < len; i++) {
        crc = (uint16_t)((crc << 8) ^ crc16_table[((crc >> 8) ^ p[i]) & 0xff]);
    }
    return crc;
}

uint16_t hashslot_of_key(struct slice key)
{
    const uint8_t *open = key.len == 0 ? NULL : memchr(key.data, '{', key.len);

    if (open != NULL) {
        const uint8_t *tag = open + 1;
        size_t rest = key.len - (size_t)(tag - key.data);
        const uint8_t *close = rest == 0 ? NULL : memchr(tag, '}', rest);

        if (close != NULL && close > tag) {
            key = (struct slice){tag, (size_t)(close - tag)};
        }
    }
    return (uint16_t)(crc16(key.data, key.len) & (HASHSLOT_COUNT - 1));
}
