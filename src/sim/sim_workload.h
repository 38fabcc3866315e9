/* sim_workload.h - what clients ask for, and in which manner.
 *
 * Each object belongs to a family, with commands and a prefix of its own. Every value
 * written whole is unique in the run, so that a read proves which write it saw.
 */
#ifndef SIM_WORKLOAD_H
#define SIM_WORKLOAD_H
#include "base/base_bytes.h"
#include "base/base_prng.h"

/* Kinds of keys. */
enum sim_family {
    SIM_FAMILY_REGISTER,   /* SET and its options, GETSET, GETDEL, DEL: values as a whole */
    SIM_FAMILY_COUNTER,    /* INCR, DECR, INCRBY, DECRBY */
    SIM_FAMILY_FLOAT,      /* INCRBYFLOAT */
    SIM_FAMILY_STRING,     /* APPEND, STRLEN */
    SIM_FAMILY_RANGE,      /* SETRANGE, GETRANGE */
    SIM_FAMILY_BITMAP,     /* SETBIT, BITFIELD, BITOP over two keys */
    SIM_FAMILY_HASH,       /* HSET, HDEL, HGETALL: values as a whole */
    SIM_FAMILY_HASH_COUNT, /* HINCRBY */
    SIM_FAMILY_PAIR,       /* MSET, MSETNX, RENAME, COPY over two keys of one hashtag */
    SIM_FAMILY_TIMED,      /* all that gives, takes and shows a deadline */
    SIM_FAMILY_COUNT
};

/* Drawn; how often in thousand where nothing else is said. */
struct sim_habits {
    uint32_t links;   /* connections of one client */
    uint32_t resp3;   /* of the connections */
    uint32_t follows; /* of the connections: those of clients that ask for the map */
    uint32_t inline_commands;
    uint32_t silent; /* of the batches: CLIENT REPLY OFF or SKIP */
    uint32_t hasty;  /* of the batches: gone before the replies */
    uint32_t lazy;   /* of the batches: stops reading for a while */
    uint32_t lazy_us_max;
    uint32_t keyspace; /* of the commands: SCAN, KEYS, DBSIZE, RANDOMKEY */
    uint32_t flushes;  /* of the commands, per million: FLUSHALL */
    uint32_t crossing; /* of the commands: keys of several slots, to be refused */
    uint32_t big;      /* of the values */
    uint32_t big_bytes_max;
    uint32_t fields;                   /* that hashes have, at most */
    uint32_t many_keys, long_pipeline; /* 0: as few as otherwise drawn */
};
void sim_habits_draw(struct sim_habits *h, uint64_t seed);
/* In words, appended. */
void sim_habits_put(const struct sim_habits *h, struct buf *out);
const char *sim_family_name(enum sim_family family);

/* What one client's SCAN and HSCAN are at. */
struct sim_scan {
    char cursor[24];       /* "" : none under way */
    char field_cursor[24]; /* the same of HSCAN */
    uint32_t field_object; /* ... on this one */
};
/* One command. */
struct sim_request {
    const struct sim_habits *habits;
    enum sim_family family;
    uint32_t object, objects; /* which, of how many */
    uint64_t number;          /* unique in the run: values are made of it */
    uint64_t wall_ms;         /* about what the nodes' clocks show */
    uint32_t read_percent, value_bytes_max;
    bool sparing; /* no big values any more */
    bool closing; /* read the whole object, nothing else */
    struct sim_scan *scan;
};
/* The words, each as u32 length and bytes, appended. */
void sim_workload_words(const struct sim_request *r, struct prng *dice, struct buf *out);
#endif
