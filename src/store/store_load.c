/* store_load.c - items from the bytes that store_snap_next wrote. Judged, not trusted. */
#include "base/base_mem.h"
#include "store/store_internal.h"

struct record {
    uint64_t expire_ms;
    struct slice key;
    struct store_item *it; /* what the key holds already, or NULL */
};

static enum err bad(struct diag *why, const char *what, struct slice key)
{
    enum { SHOWN_MAX = 40 };
    int shown = (int)(key.len < SHOWN_MAX ? key.len : SHOWN_MAX);

    diag_set(why, "snapshot: %s, at key \"%.*s\"", what, shown, (const char *)key.data);
    return ERR_CORRUPT;
}

static enum err load_part(struct store *s, struct reader *r, const struct record *rec,
                          struct diag *why)
{
    uint64_t offset = get_varint(r);
    struct slice bytes = get_bytes(r);

    if (r->bad || bytes.len == 0 || bytes.len > STORE_STRING_BYTES_MAX ||
        offset > STORE_STRING_BYTES_MAX - bytes.len) {
        return bad(why, "a part of a string breaks the format", rec->key);
    }
    if (rec->it == NULL
            ? offset != 0
            : store_item_type(rec->it) != STORE_STRING || store_string_len(rec->it) != offset) {
        return bad(why, "a part of a string is out of order", rec->key);
    }
    (void)store_string_write(s, rec->key, (size_t)offset, bytes);
    if (rec->it == NULL) {
        store_set_expire(s, rec->key, rec->expire_ms);
    }
    return ERR_OK;
}

static enum err load_fields(struct store *s, struct reader *r, const struct record *rec,
                            struct diag *why)
{
    uint32_t count = get_u32le(r);

    if (count == 0 || (rec->it != NULL && store_item_type(rec->it) != STORE_HASH)) {
        return bad(why, "a hash breaks the format", rec->key);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct slice field = get_bytes(r), value = get_bytes(r);

        if (r->bad || field.len > STORE_KEY_BYTES_MAX || value.len > STORE_STRING_BYTES_MAX) {
            return bad(why, "a field breaks the format", rec->key);
        }
        if (!store_hash_set(s, rec->key, field, value)) {
            return bad(why, "a field is there twice", rec->key);
        }
    }
    if (rec->it == NULL) {
        store_set_expire(s, rec->key, rec->expire_ms);
    }
    return ERR_OK;
}

static enum err load_record(struct store *s, struct reader *r, struct diag *why)
{
    uint8_t kind = get_u8(r);
    struct record rec = {.expire_ms = get_varint(r), .key = get_bytes(r)};
    bool part = kind == SNAP_STRING_PART || kind == SNAP_HASH_PART;

    if (r->bad || rec.key.len > STORE_KEY_BYTES_MAX) {
        diag_set(why, "snapshot: a record breaks the format");
        return ERR_CORRUPT;
    }
    rec.it = store_find(s, rec.key, 0, 0);
    if (rec.it != NULL && (!part || item_expire_ms(rec.it) != rec.expire_ms)) {
        return bad(why, "a key is there twice", rec.key);
    }
    switch (kind) {
    case SNAP_INT: {
        uint64_t value = get_u64le(r);

        if (!r->bad) {
            (void)store_set_int(s, rec.key, (int64_t)value, rec.expire_ms);
        }
        break;
    }
    case SNAP_STRING: {
        struct slice value = get_bytes(r);

        if (value.len > STORE_STRING_BYTES_MAX) {
            return bad(why, "a string is longer than any", rec.key);
        }
        if (!r->bad) {
            (void)store_set_string(s, rec.key, value, rec.expire_ms);
        }
        break;
    }
    case SNAP_STRING_PART:
        return load_part(s, r, &rec, why);
    case SNAP_HASH:
    case SNAP_HASH_PART:
        return load_fields(s, r, &rec, why);
    default:
        return bad(why, "a record of an unknown kind", rec.key);
    }
    return r->bad ? bad(why, "a record is cut short", rec.key) : ERR_OK;
}

enum err store_load(struct store *s, struct slice chunk, struct diag *why)
{
    struct reader r = {0};

    if (chunk.len > 0) {
        r = reader_of(chunk.data, chunk.len);
    }
    while (reader_left(&r) > 0) {
        enum err err = load_record(s, &r, why);

        if (err != ERR_OK) {
            return err;
        }
    }
    return ERR_OK;
}
