/* What is sealed opens with the right keys and with nothing else.
 *
 * The frozen packets below were also computed without OpenSSL, by AES, GHASH and HMAC written out
 * from FIPS 197, SP 800-38D and RFC 2104. */
#include "base/base_prng.h"
#include "seal/seal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define KEY1 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY2 "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
#define KEY1_BASE64 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

static const uint8_t nonce1[SEAL_NONCE_BYTES] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

static size_t from_hex(const char *hex, uint8_t *out)
{
    size_t count = 0;
    unsigned byte;

    for (; sscanf(hex + 2 * count, "%2x", &byte) == 1; count++) {
        out[count] = (uint8_t)byte;
    }
    return count;
}

static struct seal_ring *ring_of(const char *text)
{
    struct seal_keys keys;
    struct diag why;

    assert_int_equal(seal_keys_parse(&keys, "test", slice_str(text), &why), ERR_OK);
    struct seal_ring *r = seal_ring_create(&keys);

    seal_keys_wipe(&keys);
    assert_int_equal(keys.count, 0);
    return r;
}

/* RFC 5869, appendix A: tests 1 and 3. */
static void hkdf_as_the_rfc_has_it(void **state)
{
    uint8_t secret[22], salt[13], info[10], out[42], want[42];

    (void)state;
    memset(secret, 0x0b, sizeof secret);
    (void)from_hex("000102030405060708090a0b0c", salt);
    (void)from_hex("f0f1f2f3f4f5f6f7f8f9", info);
    seal_hkdf((struct slice){secret, sizeof secret}, (struct slice){salt, sizeof salt},
              (struct slice){info, sizeof info}, out, sizeof out);
    (void)from_hex(
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        want);
    assert_memory_equal(out, want, sizeof want);
    seal_hkdf((struct slice){secret, sizeof secret}, (struct slice){0}, (struct slice){0}, out,
              sizeof out);
    (void)from_hex(
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        want);
    assert_memory_equal(out, want, sizeof want);
}

static void frozen_packets(void **state)
{
    static const struct {
        const char *plain, *packet;
    } rows[] = {
        {"", "01ea0102030405060708090a0b0c003e267ad43a862693c5f5dff3cd977f"},
        {"ping", "01ea0102030405060708090a0b0cca2c1980e093b14c7d8dc99ee68030e33c16ffee"},
    };
    struct seal_ring *r = ring_of(KEY1);
    uint8_t cluster[16], want[64];

    (void)state;
    assert_int_equal(from_hex("a0a1a2a3a4a5a6a7a8a9aaabacadaeaf", cluster), 16);
    struct slice associated = {cluster, sizeof cluster};

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct buf packet = {0}, plain = {0};

        seal_packet(r, nonce1, associated, slice_str(rows[i].plain), &packet);
        assert_int_equal(from_hex(rows[i].packet, want), packet.len);
        assert_memory_equal(packet.data, want, packet.len);
        assert_int_equal(seal_open(r, associated, buf_slice(&packet), &plain), ERR_OK);
        assert_true(slice_eq(buf_slice(&plain), slice_str(rows[i].plain)));
        buf_free(&packet);
        buf_free(&plain);
    }
    seal_ring_destroy(r);
}

static void frozen_keys(void **state)
{
    struct seal_keys keys;
    struct seal_nonces n;
    uint8_t raw[32], out[12], want[12] = {0};

    (void)state;
    (void)from_hex(KEY1, raw);
    assert_int_equal(seal_fingerprint(raw), 0x6075bbea);
    (void)from_hex(KEY2, raw);
    assert_int_equal(seal_fingerprint(raw), 0xae365849);
    (void)from_hex("a0a1a2a3a4a5a6a7a8a9aaabacadaeaf", raw);
    seal_keys_of_cluster(&keys, (struct slice){raw, 16});
    (void)from_hex("1c73b399f39a56b3f7d1d8a80b2f1d81a5a4033ac2effa64d8e6a0d1ba2062a0", raw);
    assert_int_equal(keys.count, 1);
    assert_memory_equal(keys.key[0], raw, 32);
    (void)from_hex(KEY1, raw);
    seal_nonces_init(&n, (struct slice){raw, 32});
    (void)from_hex("b56d0250237699ba24ece0b1", want);
    seal_nonces_next(&n, out);
    assert_memory_equal(out, want, sizeof want);
    want[0]++;
    seal_nonces_next(&n, out);
    assert_memory_equal(out, want, sizeof want);
}

static void nonces_carry_over_all_bits(void **state)
{
    static const uint8_t last[12] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
    static const uint8_t zero[12] = {0};
    struct seal_nonces n = {.low = UINT64_MAX, .high = 6};
    uint8_t out[12];

    (void)state;
    seal_nonces_next(&n, out);
    assert_int_equal(n.high, 7);
    assert_int_equal(n.low, 0);
    n = (struct seal_nonces){UINT64_MAX, UINT32_MAX};
    seal_nonces_next(&n, out);
    assert_memory_equal(out, last, sizeof out);
    seal_nonces_next(&n, out);
    assert_memory_equal(out, zero, sizeof out);
}

static void every_changed_byte_is_noticed(void **state)
{
    struct seal_ring *r = ring_of(KEY1 "\n" KEY2);
    struct slice associated = SLICE("cluster");
    struct buf packet = {0}, plain = {0};

    (void)state;
    seal_packet(r, nonce1, associated, SLICE("who is there?"), &packet);
    for (size_t i = 0; i < packet.len; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            packet.data[i] ^= (uint8_t)(1U << bit);
            enum err err = seal_open(r, associated, buf_slice(&packet), &plain);

            assert_int_equal(err, i == 0 ? ERR_VERSION : i == 1 ? ERR_NOT_FOUND : ERR_REFUSED);
            assert_int_equal(plain.len, 0);
            packet.data[i] ^= (uint8_t)(1U << bit);
        }
    }
    for (size_t len = 0; len < packet.len; len++) {
        struct slice cut = {packet.data, len};

        assert_int_equal(seal_open(r, associated, cut, &plain),
                         len < SEAL_OVERHEAD_BYTES ? ERR_BAD_INPUT : ERR_REFUSED);
    }
    assert_int_equal(seal_open(r, SLICE("cluste"), buf_slice(&packet), &plain), ERR_REFUSED);
    assert_int_equal(seal_open(r, SLICE(""), buf_slice(&packet), &plain), ERR_REFUSED);
    /* What is authenticated beside the packet cannot move into it, nor out of it. */
    assert_int_equal(seal_open(r, SLICE("clusterw"), buf_slice(&packet), &plain), ERR_REFUSED);
    put_u8(&packet, 0);
    assert_int_equal(seal_open(r, associated, buf_slice(&packet), &plain), ERR_REFUSED);
    packet.len--;
    assert_int_equal(seal_open(r, associated, buf_slice(&packet), &plain), ERR_OK);
    assert_int_equal(seal_open(r, associated, buf_slice(&packet), &plain), ERR_OK);
    assert_true(slice_eq(buf_slice(&plain), SLICE("who is there?who is there?"))); /* appended */
    buf_free(&packet);
    buf_free(&plain);
    seal_ring_destroy(r);
}

/* The order of docs/howto/gossip-keys.md: at every step whoever is a step ahead or behind is
 * understood. */
static void keys_are_replaced_while_nodes_talk(void **state)
{
    struct seal_ring *step[4] = {ring_of(KEY1), ring_of(KEY1 "\n" KEY2), ring_of(KEY2 "\n" KEY1),
                                 ring_of(KEY2)};
    struct buf packet = {0}, plain = {0};

    (void)state;
    for (unsigned from = 0; from < 4; from++) {
        for (unsigned to = 0; to < 4; to++) {
            bool near = from + 1 >= to && to + 1 >= from;
            bool known = near || (from < 2 && to == 2) || (from >= 2 && to == 1);

            packet.len = plain.len = 0;
            seal_packet(step[from], nonce1, SLICE("c"), SLICE("x"), &packet);
            enum err err = seal_open(step[to], SLICE("c"), buf_slice(&packet), &plain);

            if (near) {
                assert_int_equal(err, ERR_OK);
            } else if (!known) {
                assert_int_equal(err, ERR_NOT_FOUND);
            }
        }
    }
    /* From itself and from the step before it; from those that still seal with the old one. */
    assert_int_equal(seal_ring_opened(step[2], 0), 2);
    assert_int_equal(seal_ring_opened(step[2], 1), 2);
    assert_int_equal(seal_ring_opened(step[0], 0), 2);
    assert_int_equal(seal_ring_count(step[2]), 2);
    assert_int_equal(seal_ring_fingerprint(step[2], 0), 0xae365849);
    assert_int_equal(seal_ring_fingerprint(step[2], 1), 0x6075bbea);
    for (unsigned i = 0; i < 4; i++) {
        seal_ring_destroy(step[i]);
    }
    buf_free(&packet);
    buf_free(&plain);
}

/* Among a few hundred keys two have one hint: neither hides the other. */
static void one_hint_for_two_keys(void **state)
{
    struct seal_keys keys = {.count = 2}, second;
    struct prng p = {5};
    struct buf packet = {0}, plain = {0};

    (void)state;
    do {
        for (unsigned i = 0; i < SEAL_KEY_BYTES; i++) {
            keys.key[1][i] = (uint8_t)prng_next(&p);
        }
    } while ((uint8_t)seal_fingerprint(keys.key[0]) != (uint8_t)seal_fingerprint(keys.key[1]));
    second = (struct seal_keys){.count = 1};
    memcpy(second.key[0], keys.key[1], SEAL_KEY_BYTES);
    struct seal_ring *both = seal_ring_create(&keys), *one = seal_ring_create(&second);

    seal_packet(one, nonce1, SLICE("c"), SLICE("x"), &packet);
    assert_int_equal(seal_open(both, SLICE("c"), buf_slice(&packet), &plain), ERR_OK);
    packet.len = plain.len = 0;
    seal_packet(both, nonce1, SLICE("c"), SLICE("x"), &packet);
    assert_int_equal(seal_open(one, SLICE("c"), buf_slice(&packet), &plain), ERR_REFUSED);
    assert_false(seal_keys_eq(&keys, &second));
    assert_true(seal_keys_eq(&keys, &keys));
    buf_free(&packet);
    buf_free(&plain);
    seal_ring_destroy(both);
    seal_ring_destroy(one);
}

static void any_length(void **state)
{
    static uint8_t bytes[SEAL_PACKET_BYTES_MAX + 1];
    static const size_t lens[] = {
        0, 1, 15, 16, 17, 255, 1200, 1400, 65000, SEAL_PACKET_BYTES_MAX - SEAL_OVERHEAD_BYTES};
    struct seal_ring *r = ring_of(KEY1_BASE64);
    struct buf packet = {0}, plain = {0};

    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 7);
    }
    for (size_t i = 0; i < ARRAY_COUNT(lens); i++) {
        packet.len = plain.len = 0;
        seal_packet(r, nonce1, SLICE("c"), (struct slice){bytes, lens[i]}, &packet);
        assert_int_equal(packet.len, lens[i] + SEAL_OVERHEAD_BYTES);
        assert_int_equal(seal_open(r, SLICE("c"), buf_slice(&packet), &plain), ERR_OK);
        assert_true(slice_eq(buf_slice(&plain), (struct slice){bytes, lens[i]}));
    }
    bytes[0] = 1;
    assert_int_equal(seal_open(r, SLICE("c"), (struct slice){bytes, sizeof bytes}, &plain),
                     ERR_BAD_INPUT);
    buf_free(&packet);
    buf_free(&plain);
    seal_ring_destroy(r);
}

static void key_files(void **state)
{
    static const struct {
        const char *name, *text;
        enum err err;
        uint32_t count;
        const char *says;
    } rows[] = {
        {"one of hex", KEY1 "\n", ERR_OK, 1, NULL},
        {"no end of line", KEY1, ERR_OK, 1, NULL},
        {"capitals", "ABCDEF0405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1fff", ERR_OK, 1,
         NULL},
        {"comments, blanks, other systems' ends", "# new\r\n\r\n  " KEY2 "\t\r\n#old\n" KEY1_BASE64,
         ERR_OK, 2, NULL},
        {"nothing", "", ERR_BAD_INPUT, 0, "f: no key in it"},
        {"only comments", "# \n\n", ERR_BAD_INPUT, 0, "f: no key in it"},
        {"too short", "# \n\n0001\n", ERR_BAD_INPUT, 0, "f line 3: a key is 32 bytes"},
        {"too long", KEY1 "00", ERR_BAD_INPUT, 0, "f line 1: a key is 32 bytes"},
        {"no hex", "g00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
         ERR_BAD_INPUT, 0, "f line 1: a character that is not a hex digit"},
        {"no base64", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdH?8=", ERR_BAD_INPUT, 0,
         "f line 1: a character that is not base64 of 32 bytes"},
        {"33 bytes of base64", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8A", ERR_BAD_INPUT, 0,
         "f line 1: a character that is not base64 of 32 bytes"},
        {"bits beyond 32 bytes", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=", ERR_BAD_INPUT, 0,
         "f line 1: a character that is not base64 of 32 bytes"},
        {"twice", KEY1 "\n" KEY2 "\n" KEY1_BASE64, ERR_BAD_INPUT, 0,
         "f line 3: the same key as number 1"},
        {"five",
         KEY1 "\n" KEY2 "\n"
              "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
              "ee0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
              "dd0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n",
         ERR_FULL, 0, "f line 5: more than 4 keys"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct seal_keys keys;
        struct diag why = {""};
        enum err err = seal_keys_parse(&keys, "f", slice_str(rows[i].text), &why);

        if (err != rows[i].err || keys.count != rows[i].count ||
            (rows[i].says != NULL && strncmp(why.text, rows[i].says, strlen(rows[i].says)) != 0)) {
            fail_msg("%s: %s, %u keys, \"%s\"", rows[i].name, err_name(err), keys.count, why.text);
        }
    }
    struct seal_keys keys;
    struct diag why;

    /* A zero byte is no blank and no end. */
    assert_int_equal(seal_keys_parse(&keys, "f", SLICE(KEY1 "\0\n"), &why), ERR_BAD_INPUT);
    assert_int_equal(seal_keys_parse(&keys, "f", SLICE("\0"), &why), ERR_BAD_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hkdf_as_the_rfc_has_it),
        cmocka_unit_test(frozen_packets),
        cmocka_unit_test(frozen_keys),
        cmocka_unit_test(nonces_carry_over_all_bits),
        cmocka_unit_test(every_changed_byte_is_noticed),
        cmocka_unit_test(keys_are_replaced_while_nodes_talk),
        cmocka_unit_test(one_hint_for_two_keys),
        cmocka_unit_test(any_length),
        cmocka_unit_test(key_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
