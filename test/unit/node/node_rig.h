/* node_rig.h - one node on an in-memory disk, driven by hand, for tests of its edges. */
#ifndef NODE_RIG_H
#define NODE_RIG_H
#include "node/node.h"

enum { RIG_FILES_MAX = 256, RIG_PENDING_MAX = 4096 };

struct rig_file {
    char path[DISK_PATH_MAX];
    struct buf data;
};
struct rig {
    struct node *node;
    struct node_config cfg;
    struct node_time now;
    struct rig_file files[RIG_FILES_MAX];
    uint32_t file_count;
    struct disk_op pending[RIG_PENDING_MAX]; /* issued, not completed */
    uint32_t pending_count;
    bool hold_log;    /* complete no log writes */
    const char *hold; /* ... no operation on a path with this in it, and none behind */
    bool disk_full;   /* ALLOCATE fails for lack of space */
    char unreadable[DISK_PATH_MAX]; /* no byte of that file can be read, but at the start */
    bool deep_off;     /* the content is known to be wrong: node_check looks at the rest */
    struct buf out;    /* what the client was sent */
    uint64_t gate_max; /* highest gate seen on a send */
    bool closed, reading_off, stopped;
    struct node_effects fx;
    uint8_t number, lives; /* what a node draws differs between nodes and lives */
    uint64_t durable;      /* newest log ticket that is */
    /* Effects on connections other than the client's, and packets, if set: it takes e->data. */
    void (*peers)(struct rig *r, struct node_effect *e);
    void *peers_arg;
};
void rig_open(struct rig *r);   /* founds a cluster of one, with a client on connection 1 */
void rig_reopen(struct rig *r); /* as after kill -9: what was written is there */
/* Close the node and open the directory again; on success as rig_reopen. */
enum err rig_try_open(struct rig *r, struct diag *why);
void rig_kill(struct rig *r);                         /* what was not written is gone */
enum err rig_start(struct rig *r, struct diag *why);  /* and no more: no turn, no client */
void rig_client(struct rig *r);                       /* connects */
void rig_turn_begin(struct rig *r, uint64_t step_us); /* and tell what the disk has done */
void rig_turn_end(struct rig *r);
struct buf *rig_file(struct rig *r, const char *path); /* NULL: there is none */
void rig_lose(struct rig *r, const char *path);
/* All files as they are now, to be put back later. */
struct rig_image {
    struct rig_file files[RIG_FILES_MAX];
    uint32_t file_count;
};
void rig_image_take(const struct rig *r, struct rig_image *out); /* overwrites what is not freed */
void rig_image_put(struct rig *r, const struct rig_image *image);
void rig_image_free(struct rig_image *image);
uint64_t rig_disk_hash(const struct rig *r);
void rig_close(struct rig *r);
void rig_turns(struct rig *r, unsigned count, uint64_t step_us);
/* Run what a node_end() of the test's own listed in fx. */
void rig_effects(struct rig *r);
/* Send bytes as the client, run until quiet, return all that came back since. */
const char *rig_ask(struct rig *r, const char *bytes);
void rig_send(struct rig *r, const void *data, size_t len);

/* For tests that need one, opened and closed around each. */
extern struct rig rig;
int rig_setup(void **state);
int rig_teardown(void **state);
#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
#endif
