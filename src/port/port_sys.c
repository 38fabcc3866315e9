/* port_sys.c - clocks, chance, limits and gauges of the process. */
#include "port/port_internal.h"

#include "base/base_mem.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

uint64_t port_mono_us(void)
{
    struct timespec t;

    CHECK(clock_gettime(CLOCK_BOOTTIME, &t) == 0);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

struct node_time port_now(void)
{
    struct timespec t;

    CHECK(clock_gettime(CLOCK_REALTIME, &t) == 0);
    return (struct node_time){
        .mono_us = port_mono_us(),
        .wall_ms = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000,
    };
}

enum err port_entropy(uint8_t out[32], struct diag *why)
{
    if (getrandom(out, 32, 0) != 32) {
        diag_set(why, "the kernel gives no random bytes: %s", strerror(errno));
        return ERR_IO;
    }
    return ERR_OK;
}

uint64_t port_raise_files(uint64_t want)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) != 0) {
        return 1024;
    }
    if (r.rlim_cur < want) {
        r.rlim_cur = r.rlim_max;
        if (r.rlim_cur < want) {
            struct rlimit more = {.rlim_cur = want, .rlim_max = want}; /* root may */

            if (setrlimit(RLIMIT_NOFILE, &more) == 0) {
                return want;
            }
        }
        (void)setrlimit(RLIMIT_NOFILE, &r);
        (void)getrlimit(RLIMIT_NOFILE, &r);
    }
    return r.rlim_cur;
}

static uint64_t rss_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    unsigned long long total = 0, resident = 0;

    if (f == NULL) {
        return 0;
    }
    if (fscanf(f, "%llu %llu", &total, &resident) != 2) {
        resident = 0;
    }
    (void)fclose(f);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

void port_gauges(struct port *p)
{
    struct node_gauges *g = node_gauges(p->node);
    struct rusage used;

    g->rss_bytes = rss_bytes();
    g->heap_bytes = mem_heap_bytes();
    g->pid = (uint64_t)getpid();
    g->uptime_start_ms = p->started_ms;
    g->connections_rejected = p->rejected;
    g->packets_unsent = p->packets.unsent;
    g->packets_oversize = p->packets.oversize;
    if (getrusage(RUSAGE_SELF, &used) == 0) {
        g->cpu_user_s = seconds(used.ru_utime);
        g->cpu_sys_s = seconds(used.ru_stime);
    }
    (void)snprintf(g->io, sizeof g->io, "%s", p->backend->name);
    (void)snprintf(g->data_dir, sizeof g->data_dir, "%s", port_dir_path(p->dir));
}
