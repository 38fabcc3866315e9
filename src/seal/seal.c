/* seal.c - packets sealed and opened. */
#include "seal/seal.h"

#include "base/base_mem.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

enum { VERSION = 1 };

struct seal_key {
    uint8_t hint;
    uint32_t fingerprint;
    uint64_t opened;
    EVP_CIPHER_CTX *seal, *open; /* the key is set; a packet sets the nonce */
};
struct seal_ring {
    uint32_t count;
    struct seal_key key[SEAL_KEYS_MAX];
};

/* OpenSSL fails here only without memory, or if the default provider lacks what it is for. */
static void must(int rc)
{
    CHECK(rc == 1);
}

/* What is used here needs no configuration; and the file that OpenSSL would look for by itself is
 * none of a simulation's inputs. */
static void ready(void)
{
    must(OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL));
}

void seal_wipe(void *at, size_t bytes)
{
    OPENSSL_cleanse(at, bytes);
}

void seal_hkdf(struct slice secret, struct slice salt, struct slice info, uint8_t *out,
               size_t bytes)
{
    OSSL_PARAM params[5], *p = params;
    char digest[] = "SHA256";

    ready();
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);

    CHECK(kdf != NULL);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);

    CHECK(ctx != NULL);
    /* The library takes pointers to what it only reads. */
    *p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
    *p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)secret.data,
                                             secret.len);
    if (salt.len > 0) {
        *p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)salt.data,
                                                 salt.len);
    }
    if (info.len > 0) {
        *p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)info.data,
                                                 info.len);
    }
    *p = OSSL_PARAM_construct_end();
    must(EVP_KDF_derive(ctx, out, bytes, params));
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
}

/* --- nonces --- */

void seal_nonces_init(struct seal_nonces *n, struct slice seed)
{
    uint8_t start[SEAL_NONCE_BYTES];

    CHECK(seed.len >= 16);
    seal_hkdf(seed, (struct slice){0}, SLICE("synod packet nonces 1"), start, sizeof start);
    n->low = load_u64le(start);
    n->high = load_u32le(start + 8);
}

void seal_nonces_next(struct seal_nonces *n, uint8_t out[SEAL_NONCE_BYTES])
{
    store_u64le(out, n->low);
    store_u32le(out + 8, n->high);
    n->high += ++n->low == 0;
}

/* --- rings --- */

static EVP_CIPHER_CTX *context(const EVP_CIPHER *cipher, const uint8_t *key, int seals)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

    CHECK(ctx != NULL);
    must(EVP_CipherInit_ex2(ctx, cipher, key, NULL, seals, NULL));
    return ctx;
}

struct seal_ring *seal_ring_create(const struct seal_keys *keys)
{
    struct seal_ring *r = MEM_NEW(struct seal_ring);

    CHECK(keys->count > 0);
    CHECK(keys->count <= SEAL_KEYS_MAX);
    ready();
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);

    CHECK(cipher != NULL);
    for (uint32_t i = 0; i < keys->count; i++) {
        struct slice key = {keys->key[i], SEAL_KEY_BYTES};
        uint8_t packets[SEAL_KEY_BYTES]; /* a key that fingerprint and hint tell nothing of */

        seal_hkdf(key, (struct slice){0}, SLICE("synod packets 1"), packets, sizeof packets);
        r->key[i].fingerprint = seal_fingerprint(key.data);
        r->key[i].hint = (uint8_t)r->key[i].fingerprint;
        r->key[i].seal = context(cipher, packets, 1);
        r->key[i].open = context(cipher, packets, 0);
        seal_wipe(packets, sizeof packets);
    }
    r->count = keys->count;
    EVP_CIPHER_free(cipher); /* the contexts keep it */
    return r;
}

void seal_ring_destroy(struct seal_ring *r)
{
    if (r == NULL) {
        return;
    }
    for (uint32_t i = 0; i < r->count; i++) {
        EVP_CIPHER_CTX_free(r->key[i].seal); /* wipes the key in it */
        EVP_CIPHER_CTX_free(r->key[i].open);
    }
    mem_free(r);
}

uint32_t seal_ring_count(const struct seal_ring *r)
{
    return r->count;
}

uint32_t seal_ring_fingerprint(const struct seal_ring *r, uint32_t i)
{
    CHECK(i < r->count);
    return r->key[i].fingerprint;
}

uint64_t seal_ring_opened(const struct seal_ring *r, uint32_t i)
{
    CHECK(i < r->count);
    return r->key[i].opened;
}

/* --- packets --- */

/* Nonce, then what is authenticated without being in the ciphertext. */
static void begin(EVP_CIPHER_CTX *ctx, const uint8_t *packet, struct slice associated)
{
    int len;

    must(EVP_CipherInit_ex2(ctx, NULL, NULL, packet + 2, -1, NULL));
    must(EVP_CipherUpdate(ctx, NULL, &len, packet, 2));
    must(EVP_CipherUpdate(ctx, NULL, &len, associated.data, (int)associated.len));
}

void seal_packet(struct seal_ring *r, const uint8_t nonce[SEAL_NONCE_BYTES],
                 struct slice associated, struct slice plain, struct buf *out)
{
    size_t bytes = plain.len + SEAL_OVERHEAD_BYTES;
    EVP_CIPHER_CTX *ctx = r->key[0].seal;
    int len = 0, rest = 0;

    CHECK(bytes <= SEAL_PACKET_BYTES_MAX);
    CHECK(associated.len <= SEAL_PACKET_BYTES_MAX);
    buf_reserve(out, bytes);
    uint8_t *packet = out->data + out->len;

    packet[0] = VERSION;
    packet[1] = r->key[0].hint;
    memcpy(packet + 2, nonce, SEAL_NONCE_BYTES);
    begin(ctx, packet, associated);
    must(EVP_CipherUpdate(ctx, packet + SEAL_HEAD_BYTES, &len, plain.data, (int)plain.len));
    must(EVP_CipherFinal_ex(ctx, packet + SEAL_HEAD_BYTES + len, &rest));
    CHECK((size_t)len + (size_t)rest == plain.len); /* a stream cipher: nothing is padded */
    must(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG_BYTES,
                             packet + SEAL_HEAD_BYTES + plain.len));
    out->len += bytes;
}

static bool opens(EVP_CIPHER_CTX *ctx, struct slice associated, struct slice packet, uint8_t *to)
{
    size_t bytes = packet.len - SEAL_OVERHEAD_BYTES;
    uint8_t tag[SEAL_TAG_BYTES]; /* the library takes a pointer to what it only reads */
    int len = 0, rest = 0;

    memcpy(tag, packet.data + SEAL_HEAD_BYTES + bytes, sizeof tag);
    begin(ctx, packet.data, associated);
    must(EVP_CipherUpdate(ctx, to, &len, packet.data + SEAL_HEAD_BYTES, (int)bytes));
    must(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG_BYTES, tag));
    if (EVP_CipherFinal_ex(ctx, to + len, &rest) == 1) {
        return true;
    }
    seal_wipe(to, bytes); /* what an attacker made of it is nobody's to see */
    return false;
}

enum err seal_open(struct seal_ring *r, struct slice associated, struct slice packet,
                   struct buf *out)
{
    enum err err = ERR_NOT_FOUND;

    CHECK(associated.len <= SEAL_PACKET_BYTES_MAX);
    if (packet.len < SEAL_OVERHEAD_BYTES || packet.len > SEAL_PACKET_BYTES_MAX) {
        return ERR_BAD_INPUT;
    }
    if (packet.data[0] != VERSION) {
        return ERR_VERSION;
    }
    buf_reserve(out, packet.len);
    for (uint32_t i = 0; i < r->count; i++) {
        if (r->key[i].hint != packet.data[1]) {
            continue; /* two keys may have one hint: any that opens it will do */
        }
        if (opens(r->key[i].open, associated, packet, out->data + out->len)) {
            out->len += packet.len - SEAL_OVERHEAD_BYTES;
            r->key[i].opened++;
            return ERR_OK;
        }
        err = ERR_REFUSED;
    }
    return err;
}
