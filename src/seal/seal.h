/* seal.h - packets that only holders of a key can read or make; the one room that knows OpenSSL.
 *
 * A key ring holds up to four keys: the first seals, all of them open, so that keys are replaced
 * while nodes talk [docs/howto/gossip-keys.md]. A sealed packet is AES-256-GCM:
 *
 *   u8 version, u8 hint, 12 nonce, ciphertext, 16 tag
 *
 * The hint tells holders which key it was and nobody anything else. Version, hint and what the
 * caller names as associated are authenticated with it. A replay is opened like the packet itself:
 * what is inside must bear being heard twice.
 *
 * Nonces are the caller's, so that a simulated node seals like a real one: see seal_nonces. One
 * nonce must never be used twice with one key: two such packets give away the XOR of their
 * contents and let others be forged. That is the bound on a key's life, stated there.
 *
 * No I/O, no clock, no entropy; OpenSSL's configuration file is not read. Key material is wiped
 * from memory when it is no longer used. Owner: one thread at a time.
 * Source: NIST SP 800-38D (GCM), s8; RFC 5869 (HKDF). [docs/decisions/0010-sealed-packets.md]
 */
#ifndef SEAL_H
#define SEAL_H
#include "base/base_bytes.h"

enum {
    SEAL_KEYS_MAX = 4,
    SEAL_KEY_BYTES = 32,
    SEAL_NONCE_BYTES = 12,
    SEAL_TAG_BYTES = 16,
    SEAL_HEAD_BYTES = 2 + SEAL_NONCE_BYTES,
    SEAL_OVERHEAD_BYTES = SEAL_HEAD_BYTES + SEAL_TAG_BYTES,
    SEAL_PACKET_BYTES_MAX = 65507, /* UDP over IPv4 carries no more */
};

/* ---- keys ---- */
/* Secrets: seal_keys_wipe when done. No key twice. */
struct seal_keys {
    uint32_t count; /* 0: none */
    uint8_t key[SEAL_KEYS_MAX][SEAL_KEY_BYTES];
};
void seal_keys_wipe(struct seal_keys *keys);
bool seal_keys_eq(const struct seal_keys *a, const struct seal_keys *b);
/* Keys from the text of a file: one a line, 64 hex digits or 44 characters of base64; empty lines
 * and those that begin with # do not count. name is for messages, which give the line and never
 * what stands there. ERR_BAD_INPUT: not such a text, or a key twice, or none; ERR_FULL: more than
 * SEAL_KEYS_MAX. keys is overwritten, and empty after an error. */
MUST_USE enum err seal_keys_parse(struct seal_keys *keys, const char *name, struct slice text,
                                  struct diag *why);
/* The one key of who configured none: HKDF of the cluster's id. It keeps clusters apart that meet
 * by accident; whoever knows the id can make it. */
void seal_keys_of_cluster(struct seal_keys *keys, struct slice cluster_id);
/* What may be shown of a key, to compare rings by. */
uint32_t seal_fingerprint(const uint8_t key[SEAL_KEY_BYTES]);
/* Any secret bytes, so that the compiler does not leave it out. */
void seal_wipe(void *at, size_t bytes);

/* ---- nonces ---- */
/* 96 bits that count up from a secret place. Two of B processes that seal N packets in all under
 * one key meet with a chance below B N / 2^96: with a thousand nodes, each started a thousand
 * times, 2^50 packets, below one in 2^25. (Each nonce drawn by chance: one in 2^32 after 2^32
 * packets [SP 800-38D s8.3].) A process that is resumed twice from one image of its memory
 * repeats itself: take new keys then. */
struct seal_nonces {
    uint64_t low;
    uint32_t high;
};
/* seed: at least 16 bytes that no other process has; used for this alone or through HKDF. */
void seal_nonces_init(struct seal_nonces *n, struct slice seed);
void seal_nonces_next(struct seal_nonces *n, uint8_t out[SEAL_NONCE_BYTES]);

/* ---- packets ---- */
struct seal_ring; /* contexts made ready, so that a packet costs about a microsecond */
/* Copies what it needs of keys; count must not be 0. */
struct seal_ring *seal_ring_create(const struct seal_keys *keys);
void seal_ring_destroy(struct seal_ring *r); /* NULL is allowed */
uint32_t seal_ring_count(const struct seal_ring *r);
/* Of key number i; the first is the one that seals. */
uint32_t seal_ring_fingerprint(const struct seal_ring *r, uint32_t i);
/* Packets that it opened since the ring was made: whether anybody still seals with it. */
uint64_t seal_ring_opened(const struct seal_ring *r, uint32_t i);

/* Append the sealed packet to out: plain.len + SEAL_OVERHEAD_BYTES, at most
 * SEAL_PACKET_BYTES_MAX. plain must not lie in out. */
void seal_packet(struct seal_ring *r, const uint8_t nonce[SEAL_NONCE_BYTES],
                 struct slice associated, struct slice plain, struct buf *out);
/* Append what is in the packet to out. Nothing is appended after an error:
 * ERR_BAD_INPUT  too short or too long to be one
 * ERR_VERSION    of another version of this format
 * ERR_NOT_FOUND  sealed with a key that is not in the ring
 * ERR_REFUSED    changed on the way, or associated with something else */
MUST_USE enum err seal_open(struct seal_ring *r, struct slice associated, struct slice packet,
                            struct buf *out);

/* RFC 5869 with SHA-256; salt may be empty. bytes at most 255 * 32. */
void seal_hkdf(struct slice secret, struct slice salt, struct slice info, uint8_t *out,
               size_t bytes);
#endif
