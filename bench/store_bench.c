/* store_bench - the keyspace alone: CPU nanoseconds per operation, bytes per key; with a
 * fourth argument the longest single call too, whose clock then costs each call some 200 ns.
 * Usage: store_bench [keys] [stores] [fields] [longest]. Build without sanitizers. */
#include "base/base_hash.h"
#include "base/base_mem.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    KEY_BYTES = 16,
    VALUE_BYTES = 100,
    STORES_MAX = 1024,
    SNAP_BYTES = 256 << 10,
    SCRUB_BYTES = 32 << 10,
};

static struct store *stores[STORES_MAX];
static size_t store_total = 64;
static bool each_call; /* time every call, not only the run */

static uint64_t now_ns(void)
{
    struct timespec ts;

    /* Of the thread: other programs of the machine do not count. */
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

static size_t rss_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    size_t pages = 0, resident = 0;

    CHECK(f != NULL);
    CHECK(fscanf(f, "%zu %zu", &pages, &resident) == 2);
    (void)fclose(f);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

struct timing {
    const char *name;
    uint64_t from, spent, longest;
    size_t count;
};

static void timing_go(struct timing *t)
{
    t->from = now_ns();
}

static void timing_stop(struct timing *t, size_t calls)
{
    uint64_t took = now_ns() - t->from;

    t->spent += took;
    t->longest = took > t->longest ? took : t->longest;
    t->count += calls;
}

/* After each of many calls. */
static void timing_step(struct timing *t)
{
    if (each_call) {
        timing_stop(t, 1);
        timing_go(t);
    } else {
        t->count++;
    }
}

static void timing_print(struct timing *t)
{
    if (t->longest == 0) {
        timing_stop(t, 0);
        t->longest = 0;
    }
    printf("%-26s %10.0f ns each, %8zu calls", t->name,
           (double)t->spent / (double)(t->count == 0 ? 1 : t->count), t->count);
    if (t->longest != 0) {
        printf(", longest %.1f us", (double)t->longest / 1000);
    }
    printf("\n");
}

static struct slice key_of(uint64_t n, char out[KEY_BYTES])
{
    memcpy(out, "key:", 4);
    for (size_t i = KEY_BYTES; i-- > 4; n /= 10) {
        out[i] = (char)('0' + n % 10);
    }
    return (struct slice){(const uint8_t *)out, KEY_BYTES};
}

static struct store *store_of(struct slice key)
{
    return stores[hashslot_of_key(key) * store_total / HASHSLOT_COUNT];
}

enum what { SET, GET, INCR, MISS, SET_EXPIRING, DEL };

static void run(const char *name, enum what what, size_t keys)
{
    struct timing t = {.name = name};
    char text[KEY_BYTES], value[VALUE_BYTES], scratch[STORE_INT_TEXT_MAX];
    struct prng rng = {7};
    size_t found = 0;

    memset(value, 'v', sizeof value);
    timing_go(&t);
    for (size_t i = 0; i < keys; i++) {
        bool in_order = what == SET || what == DEL;
        uint64_t n = in_order ? i : prng_below(&rng, keys);
        struct slice key = key_of(what == MISS ? n + keys : n, text);
        struct store *s = store_of(key);
        struct store_item *it;
        int64_t number = 0;

        switch (what) {
        case SET:
        case SET_EXPIRING:
            memcpy(value, &i, sizeof i);
            (void)store_set_string(s, key, (struct slice){(const uint8_t *)value, sizeof value},
                                   what == SET ? 0 : 1 + prng_below(&rng, keys));
            break;
        case GET:
        case MISS:
            it = store_find(s, key, 0, 1);
            found += it != NULL && store_string(it, scratch).len > 0;
            break;
        case INCR:
            it = store_find_write(s, key, 0);
            if (it != NULL) {
                (void)store_string_int(it, &number);
            }
            (void)store_set_int(s, key, number + 1, 0);
            break;
        case DEL:
            found += store_del(s, key);
            break;
        }
        timing_step(&t);
    }
    CHECK(found <= keys);
    timing_print(&t);
}

static void print_memory(const char *when, size_t keys, size_t rss_before)
{
    size_t memory = 0;

    for (size_t i = 0; i < store_total; i++) {
        memory += store_memory(stores[i]);
    }
    printf("%s: %.1f bytes each by store_memory, %.1f by RSS (%.1f MB)\n", when,
           (double)memory / (double)keys, (double)(rss_bytes() - rss_before) / (double)keys,
           (double)rss_bytes() / 1e6);
}

static void snapshot(struct store *s, const char *name, struct store *into)
{
    struct timing t = {.name = name}, load = {.name = "  and load"};
    struct buf out = {0};
    struct diag why;
    bool more;
    size_t bytes = 0;

    store_snap_begin(s);
    do {
        timing_go(&t);
        more = store_snap_next(s, SNAP_BYTES, &out);
        timing_stop(&t, 1);
        bytes += out.len;
        timing_go(&load);
        CHECK(store_load(into, buf_slice(&out), &why) == ERR_OK);
        timing_stop(&load, 1);
        out.len = 0;
    } while (more);
    timing_print(&t);
    timing_print(&load);
    printf("  %.1f MB in all\n", (double)bytes / 1e6);
    CHECK(store_digest(s) == store_digest(into));
    buf_free(&out);
}

static void scrub(struct store *s)
{
    struct timing t = {.name = "scrub"};
    bool more;

    store_scrub_begin(s);
    do {
        timing_go(&t);
        more = store_scrub_next(s, SCRUB_BYTES);
        timing_stop(&t, 1);
    } while (more);
    timing_print(&t);
    CHECK(store_snap_sound(s));
}

/* One hash of many fields: growth, a snapshot, deletion. */
static void large_hash(size_t fields)
{
    struct store *s = store_create(1), *copy = store_create(2);
    struct timing t = {.name = "hset on one hash"};
    char text[KEY_BYTES];

    timing_go(&t);
    for (size_t i = 0; i < fields; i++) {
        struct slice field = key_of(i, text);

        (void)store_hash_set(s, SLICE("hash"), field, field);
        timing_step(&t);
    }
    timing_print(&t);
    printf("%.1f bytes per field\n", (double)store_memory(s) / (double)fields);
    snapshot(s, "snapshot of that hash", copy);
    t = (struct timing){.name = "del of that hash"};
    timing_go(&t);
    (void)store_del(s, SLICE("hash"));
    timing_stop(&t, 1);
    timing_print(&t);
    t = (struct timing){.name = "store_work after it"};
    while (store_memory(s) > 1000) {
        timing_go(&t);
        store_work(s);
        timing_stop(&t, 1);
    }
    timing_print(&t);
    store_destroy(s);
    store_destroy(copy);
}

int main(int argc, char **argv)
{
    size_t keys = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    size_t fields = argc > 3 ? strtoull(argv[3], NULL, 10) : 1000000;
    size_t before;
    struct store *copy;

    store_total = argc > 2 ? strtoull(argv[2], NULL, 10) : store_total;
    each_call = argc > 4;
    CHECK(store_total > 0 && store_total <= STORES_MAX);
    before = rss_bytes();
    for (size_t i = 0; i < store_total; i++) {
        stores[i] = store_create(i);
    }
    printf("an empty store: %zu bytes\n", store_memory(stores[0]));
    run("set, new keys", SET, keys);
    print_memory("filled", keys, before);
    run("set, in place, random", SET, keys);
    run("get, random", GET, keys);
    run("get, absent", MISS, keys);
    copy = store_create(5);
    snapshot(stores[0], "snapshot of one store", copy);
    store_destroy(copy);
    scrub(stores[0]);
    run("incr, random", INCR, keys);
    run("set with expiry, random", SET_EXPIRING, keys);
    run("del", DEL, keys);
    for (size_t i = 0; i < store_total; i++) {
        store_destroy(stores[i]);
    }
    large_hash(fields);
    return 0;
}
