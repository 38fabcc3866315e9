/* port_lane.c - threads that run disk operations in order, and name lookups.
 *
 * The loop puts items into a lane and takes them back completed; an item belongs
 * to one side at a time. A completion wakes the loop through wake_fd. */
#include "port/port_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

enum { BOUNCE_BYTES = 1 << 20 };

void port_item_free(struct port_item *item)
{
    buf_free(&item->op.data);
    buf_free(&item->read);
    mem_free(item);
}

static void item_complete(struct port_lanes *l, struct port_item *item)
{
    uint64_t one = 1;

    item->next = NULL;
    CHECK(pthread_mutex_lock(&l->done_lock) == 0);
    *l->done_tail = item;
    l->done_tail = &item->next;
    atomic_store(&l->done_some, true);
    CHECK(pthread_mutex_unlock(&l->done_lock) == 0);
    if (atomic_exchange(&l->loop_sleeps, false)) {
        CHECK(write(l->wake_fd, &one, sizeof one) == sizeof one);
    }
}

static struct port_item *lane_next(struct port_lane *lane)
{
    struct port_item *item;

    CHECK(pthread_mutex_lock(&lane->lock) == 0);
    while (lane->head == NULL && !lane->stop) {
        CHECK(pthread_cond_wait(&lane->more, &lane->lock) == 0);
    }
    item = lane->head;
    if (item != NULL) {
        lane->head = item->next;
        if (lane->head == NULL) {
            lane->tail = &lane->head;
        }
    }
    CHECK(pthread_mutex_unlock(&lane->lock) == 0);
    return item; /* NULL: stopped, and everything put has run */
}

static void *lane_main(void *arg)
{
    struct port_lane *lane = arg;
    struct port_bounce bounce = {0};
    struct port_item *item;

    if (lane->number != PORT_LANE_NAMES) {
        bounce = port_bounce_new(BOUNCE_BYTES);
    }
    while ((item = lane_next(lane)) != NULL) {
        if (lane->number == PORT_LANE_NAMES) {
            item->error = port_net_resolve(item->addr, false, &item->to);
        } else {
            port_file_run(lane->lanes->files, &item->op, &bounce, &item->done, &item->read);
        }
        item_complete(lane->lanes, item);
    }
    port_bounce_free(&bounce);
    return NULL;
}

/* The threads take no signals: those are the loop's. */
static int thread_start(struct port_lane *lane)
{
    sigset_t all, before;
    char name[16];
    int rc;

    (void)sigfillset(&all);
    CHECK(pthread_sigmask(SIG_BLOCK, &all, &before) == 0);
    rc = pthread_create(&lane->thread, NULL, lane_main, lane);
    CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    if (rc == 0) {
        static const char *const names[PORT_LANES] = {"log", "bulk", "names"};

        (void)snprintf(name, sizeof name, "synod-%s", names[lane->number]);
        (void)pthread_setname_np(lane->thread, name);
        lane->started = true;
    }
    return rc;
}

enum err port_lanes_start(struct port_lanes *l, int dirfd, int wake_fd, struct diag *why)
{
    *l = (struct port_lanes){.wake_fd = wake_fd, .files = port_files_create(dirfd)};
    CHECK(pthread_mutex_init(&l->done_lock, NULL) == 0);
    l->done_tail = &l->done_head;
    for (unsigned i = 0; i < PORT_LANES; i++) {
        l->lane[i].number = i;
        l->lane[i].lanes = l;
        l->lane[i].tail = &l->lane[i].head;
        CHECK(pthread_mutex_init(&l->lane[i].lock, NULL) == 0);
        CHECK(pthread_cond_init(&l->lane[i].more, NULL) == 0);
    }
    for (unsigned i = 0; i < DISK_LANE_COUNT; i++) {
        int rc = thread_start(&l->lane[i]);

        if (rc != 0) {
            diag_set(why, "cannot start a disk thread: %s", strerror(rc));
            port_lanes_stop(l);
            return ERR_IO;
        }
    }
    return ERR_OK;
}

void port_lanes_put(struct port_lanes *l, unsigned number, struct port_item *item)
{
    struct port_lane *lane = &l->lane[number];

    CHECK(number < PORT_LANES);
    if (!lane->started) { /* names: most clusters have none to look up */
        CHECK(number == PORT_LANE_NAMES);
        item->error = thread_start(lane);
        if (item->error != 0) {
            item_complete(l, item);
            return;
        }
    }
    item->next = NULL;
    CHECK(pthread_mutex_lock(&lane->lock) == 0);
    *lane->tail = item;
    lane->tail = &item->next;
    CHECK(pthread_mutex_unlock(&lane->lock) == 0);
    CHECK(pthread_cond_signal(&lane->more) == 0);
}

struct port_item *port_lanes_take(struct port_lanes *l)
{
    struct port_item *items;

    CHECK(pthread_mutex_lock(&l->done_lock) == 0);
    items = l->done_head;
    l->done_head = NULL;
    l->done_tail = &l->done_head;
    atomic_store(&l->done_some, false);
    CHECK(pthread_mutex_unlock(&l->done_lock) == 0);
    return items;
}

bool port_lanes_done(struct port_lanes *l)
{
    return atomic_load(&l->done_some);
}

void port_lanes_sleep(struct port_lanes *l, bool sleeping)
{
    atomic_store(&l->loop_sleeps, sleeping);
}

void port_lanes_stop(struct port_lanes *l)
{
    struct port_item *item;

    for (unsigned i = 0; i < PORT_LANES; i++) {
        struct port_lane *lane = &l->lane[i];

        if (lane->started) {
            CHECK(pthread_mutex_lock(&lane->lock) == 0);
            lane->stop = true;
            CHECK(pthread_mutex_unlock(&lane->lock) == 0);
            CHECK(pthread_cond_signal(&lane->more) == 0);
            CHECK(pthread_join(lane->thread, NULL) == 0);
        }
        (void)pthread_cond_destroy(&lane->more);
        (void)pthread_mutex_destroy(&lane->lock);
    }
    while ((item = port_lanes_take(l)) != NULL) {
        while (item != NULL) {
            struct port_item *next = item->next;

            port_item_free(item);
            item = next;
        }
    }
    (void)pthread_mutex_destroy(&l->done_lock);
    port_files_destroy(l->files);
}
