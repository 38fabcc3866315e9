/* store.h - the keyspace of one partition replica.
 *
 * A hash table from binary keys to typed values, with incremental growth, keys
 * and small values in one allocation, logged-time expiry, an order-independent
 * digest of the whole content, and forkless snapshots.
 *
 * Determinism: two stores that were given the same writes hold the same items and
 * the same digest, whatever their capacity, growth state or history of reads.
 * Nothing here reads a clock; `now_ms` is the logged time of the entry being
 * applied, or the leader's hybrid time for reads.
 *
 * Reads never change content. A read that meets an item whose time has come treats
 * it as absent and raises saw_expired: the leader must then log a removal before
 * it answers, so that no later leader can show the item again.
 * Writes remove such an item first, silently.
 *
 * Owner: one thread at a time.
 */
#ifndef STORE_H
#define STORE_H
#include "base/base_bytes.h"
#include "base/base_prng.h"

enum {
    STORE_STRING_BYTES_MAX = 512 << 20,
    STORE_KEY_BYTES_MAX = 512 << 20,
    STORE_INT_TEXT_MAX = 24, /* a 64-bit integer in decimal */
};
enum store_type { STORE_NONE, STORE_STRING, STORE_HASH };
const char *store_type_name(enum store_type type); /* "none", "string", "hash" */

struct store;
struct store_item; /* borrowed until the next write to the store */

struct store *store_create(uint64_t seed);
void store_destroy(struct store *s);
void store_clear(struct store *s);

/* The item, or NULL when absent or past its time. Marks it as used at access_s
 * (seconds; 0: leave as it is), which is memory only and not content. */
struct store_item *store_find(struct store *s, struct slice key, uint64_t now_ms,
                              uint32_t access_s);
/* As store_find, for a write about to happen: an item past its time is removed. */
struct store_item *store_find_write(struct store *s, struct slice key, uint64_t now_ms);
/* Since the last call: did store_find pass over an item past its time? */
bool store_take_saw_expired(struct store *s);

enum store_type store_item_type(const struct store_item *it);
struct slice store_item_key(const struct store_item *it);
uint64_t store_item_expire_ms(const struct store_item *it); /* 0: never */
uint32_t store_item_access_s(const struct store_item *it);
void store_item_set_access(struct store_item *it, uint32_t access_s);
/* Items written from now on are marked as used at access_s; 0: they keep their mark. */
void store_set_access(struct store *s, uint32_t access_s);
/* "int", "embstr", "raw", "listpack", "hashtable": what Redis 7 would say. */
const char *store_item_encoding(const struct store_item *it);
size_t store_item_memory(const struct store_item *it); /* bytes, allocator overhead included */

/* Strings. A value that is a canonical 64-bit integer is kept as one. */
struct slice store_string(const struct store_item *it, char scratch[STORE_INT_TEXT_MAX]);
size_t store_string_len(const struct store_item *it);
bool store_string_int(const struct store_item *it, int64_t *value); /* false: not kept as int */
/* Create or replace, whatever type was there. expire_ms 0: none. Returns the item. */
struct store_item *store_set_string(struct store *s, struct slice key, struct slice value,
                                    uint64_t expire_ms);
struct store_item *store_set_int(struct store *s, struct slice key, int64_t value,
                                 uint64_t expire_ms);
/* Write bytes at offset, in place; the gap, if any, is filled with zeros; key is
 * created if absent; expiry is kept. The item must be a string or absent. Cost
 * follows the bytes written, not the value's size. */
struct store_item *store_string_write(struct store *s, struct slice key, size_t offset,
                                      struct slice bytes);

/* Hashes: field -> value, both binary, each field with no expiry of its own yet. */
size_t store_hash_len(const struct store_item *it);
bool store_hash_get(const struct store_item *it, struct slice field, struct slice *value);
/* True: the field is new. Creates the hash if the key is absent; the item must be
 * a hash or absent. Key expiry is kept. */
bool store_hash_set(struct store *s, struct slice key, struct slice field, struct slice value);
/* True: it was there. The key goes with its last field. */
bool store_hash_del(struct store *s, struct slice key, struct slice field);
/* Walk all fields: start with a zeroed cursor. The order may differ between
 * replicas, so no write may depend on it. The store must not change meanwhile. */
struct store_hash_cursor {
    size_t a, b;
    const void *node;
};
bool store_hash_next(const struct store_item *it, struct store_hash_cursor *c, struct slice *field,
                     struct slice *value);
/* HSCAN: Redis's guarantee (every field present throughout is returned at least
 * once). Returns the next cursor, 0 at the end. count: buckets to look at, about. */
uint64_t store_hash_scan(const struct store_item *it, uint64_t cursor, size_t count,
                         void (*visit)(void *arg, struct slice field, struct slice value),
                         void *arg);
/* A uniformly chosen field. */
void store_hash_random(const struct store_item *it, struct prng *rng, struct slice *field,
                       struct slice *value);

/* Keys. */
bool store_del(struct store *s, struct slice key);
/* The key must exist. expire_ms 0: never. */
void store_set_expire(struct store *s, struct slice key, uint64_t expire_ms);
/* Copy content and expiry of from (must exist) to `to`, replacing it. */
void store_copy(struct store *s, struct slice from, struct slice to);
void store_rename(struct store *s, struct slice from, struct slice to);
/* Remove up to max items whose time has come by now_ms, in an order that depends
 * on content alone (expiry time, then key). Returns how many. */
size_t store_expire_due(struct store *s, uint64_t now_ms, size_t max);
uint64_t store_next_expire_ms(const struct store *s); /* earliest; 0: none */

size_t store_count(const struct store *s);         /* with those past their time */
size_t store_expires_count(const struct store *s); /* items that have an expiry */
size_t store_memory(const struct store *s);        /* bytes in use, about */
/* SCAN: Redis's guarantee, across growth. Returns the next cursor, 0 at the end;
 * cursors are below 2^48. */
uint64_t store_scan(struct store *s, uint64_t cursor, size_t count,
                    void (*visit)(void *arg, struct store_item *it), void *arg);
/* Every item, in table order. */
void store_each(struct store *s, void (*visit)(void *arg, struct store_item *it), void *arg);
struct store_item *store_random(struct store *s, struct prng *rng); /* NULL when empty */
/* A little growth work; call now and then (each turn, idle). */
void store_work(struct store *s);

/* Equal content, equal digest; kept up to date by every write. */
uint64_t store_digest(const struct store *s);
/* The same, computed from the bytes of the content alone: for checks. */
uint64_t store_digest_slow(const struct store *s);

/* Forkless snapshot of the content as of begin: writes go on meanwhile; an item's
 * old value is set aside just before its first change. One at a time per store. */
void store_snap_begin(struct store *s);
bool store_snap_active(const struct store *s);
/* Append about `bytes` of encoded items to out, with work bounded by it. False: that was the
 * last; the snapshot is over. */
bool store_snap_next(struct store *s, size_t bytes, struct buf *out);
void store_snap_abort(struct store *s);
/* After the last piece: the bytes that were met, old values included, make the digest that
 * the writes had kept as of begin. False: something changed behind the store's back, or a
 * digest is wrong; what was written must not be trusted, and neither must the store. */
bool store_snap_sound(const struct store *s);

/* A scrub is a snapshot that is not written: the same walk under the same writes, for
 * store_snap_sound alone. It also finds items that no search would find. One of the
 * two at a time; store_snap_abort ends either. bytes: of items to look at, about. */
void store_scrub_begin(struct store *s);
bool store_scrub_next(struct store *s, size_t bytes);
/* Load what snap_next produced; chunk boundaries as they were written. */
MUST_USE enum err store_load(struct store *s, struct slice chunk, struct diag *why);

/* What faulty memory does: one bit of one value changes, and nobody is told. For tests and
 * the simulator, which must show that it is found. False: there is no value to change.
 * key: whose it was, appended. */
bool store_rot(struct store *s, struct prng *rng, struct buf *key);

void store_check(const struct store *s);
#endif
