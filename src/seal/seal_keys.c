/* seal_keys.c - keys as text, as a cluster has them, and what may be shown of them. */
#include "seal/seal.h"

#include <stdio.h>

enum { HEX_CHARS = 2 * SEAL_KEY_BYTES, BASE64_CHARS = 44 };

void seal_keys_wipe(struct seal_keys *keys)
{
    seal_wipe(keys, sizeof *keys);
}

bool seal_keys_eq(const struct seal_keys *a, const struct seal_keys *b)
{
    return a->count == b->count && memcmp(a->key, b->key, a->count * sizeof a->key[0]) == 0;
}

void seal_keys_of_cluster(struct seal_keys *keys, struct slice cluster_id)
{
    *keys = (struct seal_keys){.count = 1};
    seal_hkdf(cluster_id, (struct slice){0}, SLICE("synod key of a cluster 1"), keys->key[0],
              SEAL_KEY_BYTES);
}

uint32_t seal_fingerprint(const uint8_t key[SEAL_KEY_BYTES])
{
    uint8_t raw[4];

    seal_hkdf((struct slice){key, SEAL_KEY_BYTES}, (struct slice){0},
              SLICE("synod key fingerprint 1"), raw, sizeof raw);
    return load_u32le(raw);
}

/* --- text --- */

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20; /* to lower case */
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool hex_key(struct slice line, uint8_t out[SEAL_KEY_BYTES])
{
    for (size_t i = 0; i < SEAL_KEY_BYTES; i++) {
        int high = hex_value(line.data[2 * i]), low = hex_value(line.data[2 * i + 1]);

        if (high < 0 || low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static int base64_value(uint8_t c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c == '\0' ? NULL : strchr(digits, c);

    return at == NULL ? -1 : (int)(at - digits);
}

/* 43 digits of six bits are 32 bytes and two bits, which are zero; then one '='. */
static bool base64_key(struct slice line, uint8_t out[SEAL_KEY_BYTES])
{
    uint32_t bits = 0, have = 0;
    size_t at = 0;

    for (size_t i = 0; i + 1 < BASE64_CHARS; i++) {
        int value = base64_value(line.data[i]);

        if (value < 0) {
            return false;
        }
        bits = (bits << 6 | (uint32_t)value) & 0x3fff;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[at++] = (uint8_t)(bits >> have);
        }
    }
    CHECK(at == SEAL_KEY_BYTES);
    return line.data[BASE64_CHARS - 1] == '=' && (bits & 3) == 0;
}

static struct slice trimmed(struct slice line)
{
    while (line.len > 0 && strchr(" \t\r", line.data[0]) != NULL && line.data[0] != '\0') {
        line.data++;
        line.len--;
    }
    while (line.len > 0 && line.data[line.len - 1] != '\0' &&
           strchr(" \t\r", line.data[line.len - 1]) != NULL) {
        line.len--;
    }
    return line;
}

/* One line that is a key, or should be. */
static enum err add(struct seal_keys *keys, const char *where, struct slice line, struct diag *why)
{
    uint8_t *to = keys->key[keys->count];

    if (line.len != HEX_CHARS && line.len != BASE64_CHARS) {
        diag_set(why,
                 "%s: a key is 32 bytes, written as 64 hex digits or as 44 characters of base64; "
                 "these are %zu characters (openssl rand -hex 32 makes one)",
                 where, line.len);
        return ERR_BAD_INPUT;
    }
    if (keys->count == SEAL_KEYS_MAX) {
        diag_set(why, "%s: more than %d keys; remove those that no node seals with any more", where,
                 SEAL_KEYS_MAX);
        return ERR_FULL;
    }
    if (line.len == HEX_CHARS ? !hex_key(line, to) : !base64_key(line, to)) {
        diag_set(why, "%s: a character that is not %s", where,
                 line.len == HEX_CHARS ? "a hex digit" : "base64 of 32 bytes");
        return ERR_BAD_INPUT;
    }
    for (uint32_t i = 0; i < keys->count; i++) {
        if (memcmp(keys->key[i], to, SEAL_KEY_BYTES) == 0) {
            diag_set(why, "%s: the same key as number %u; keep one", where, i + 1);
            return ERR_BAD_INPUT;
        }
    }
    keys->count++;
    return ERR_OK;
}

enum err seal_keys_parse(struct seal_keys *keys, const char *name, struct slice text,
                         struct diag *why)
{
    const uint8_t *at = text.data, *end = text.data + text.len;
    enum err err = ERR_OK;

    *keys = (struct seal_keys){0};
    for (unsigned n = 1; at < end && err == ERR_OK; n++) {
        const uint8_t *stop = memchr(at, '\n', (size_t)(end - at));
        struct slice line = trimmed((struct slice){at, (size_t)((stop != NULL ? stop : end) - at)});
        char where[300];

        if (line.len > 0 && line.data[0] != '#') {
            (void)snprintf(where, sizeof where, "%s line %u", name, n);
            err = add(keys, where, line, why);
        }
        at = stop != NULL ? stop + 1 : end;
    }
    if (err == ERR_OK && keys->count == 0) {
        diag_set(why, "%s: no key in it (openssl rand -hex 32 makes one)", name);
        err = ERR_BAD_INPUT;
    }
    if (err != ERR_OK) {
        seal_keys_wipe(keys);
    }
    return err;
}
