/* base_hash.h - checksums and hashes (xxHash, wrapped here alone) and Redis's CRC16. */
#ifndef BASE_HASH_H
#define BASE_HASH_H
#include "base/base_bytes.h"

/* XXH3, 64 bits. Stable: written to disk and wire as a checksum. */
uint64_t hash64(const void *data, size_t len);
uint64_t hash64_seeded(const void *data, size_t len, uint64_t seed);
/* The low half of hash64: the checksum of records and frames. */
uint32_t checksum32(const void *data, size_t len);
/* Mix two words into one; order matters. */
static inline uint64_t hash64_mix(uint64_t a, uint64_t b)
{
    unsigned __int128 m =
        (unsigned __int128)(a ^ 0x9e3779b97f4a7c15ULL) * (b ^ 0xe7037ed1a0b428dbULL);

    return (uint64_t)m ^ (uint64_t)(m >> 64) ^ (a * 3);
}

/* A hash over pieces, equal to hash64 of their concatenation. */
struct hash64_stream {
    void *state;
};
void hash64_stream_begin(struct hash64_stream *h);
void hash64_stream_add(struct hash64_stream *h, const void *data, size_t len);
uint64_t hash64_stream_end(struct hash64_stream *h); /* frees; begin again to reuse */

/* CRC16/XMODEM as in the Redis Cluster specification. */
uint16_t crc16(const void *data, size_t len);
enum { HASHSLOT_COUNT = 16384 };
/* CRC16 of the key, or of its {hashtag} where it has a non-empty one, mod 16384. */
uint16_t hashslot_of_key(struct slice key);
#endif
