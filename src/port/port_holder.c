/* port_holder.c - which process holds an address, as far as /proc tells this user.
 *
 * The kernel's tables name the sockets that are bound there by inode; the descriptors of the
 * processes say whose they are. A socket without a process is what the kernel has not yet taken
 * apart of one that ended; so is that of a process that is ending. */
#include "port/port_internal.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { INODES_MAX = 8, STATE_LISTEN = 0x0a, FLAG_EXITING = 0x4 };

struct holders {
    unsigned long inode[INODES_MAX];
    unsigned count;
};

/* Addresses as the tables have them: words of four bytes as they lie in memory, in hex. */
static bool table_addr(const char *hex, struct in6_addr *out, bool *v4)
{
    size_t words = strlen(hex) / 8;

    if (strlen(hex) != 8 && strlen(hex) != 32) {
        return false;
    }
    *v4 = words == 1;
    *out = in6addr_any;
    for (size_t i = 0; i < words; i++) {
        char word[9];
        uint32_t n;

        memcpy(word, hex + 8 * i, 8);
        word[8] = '\0';
        n = (uint32_t)strtoul(word, NULL, 16);
        memcpy(out->s6_addr + 4 * i, &n, 4);
    }
    return true;
}

/* Would a socket there keep one from being bound to `at`? */
static bool in_the_way(const struct sockaddr_storage *at, const struct in6_addr *there, bool v4)
{
    struct in6_addr mine = in6addr_any;
    bool mine_v4 = at->ss_family == AF_INET;

    if (mine_v4) {
        memcpy(mine.s6_addr, &((const struct sockaddr_in *)at)->sin_addr, 4);
    } else {
        mine = ((const struct sockaddr_in6 *)at)->sin6_addr;
    }
    if (mine_v4 != v4) { /* only what stands for every address, of either family */
        return mine_v4 && IN6_IS_ADDR_UNSPECIFIED(there);
    }
    return IN6_IS_ADDR_UNSPECIFIED(there) || IN6_IS_ADDR_UNSPECIFIED(&mine) ||
           IN6_ARE_ADDR_EQUAL(there, &mine);
}

static void read_table(const char *path, const struct sockaddr_storage *at, bool listening,
                       struct holders *h)
{
    uint16_t port = ntohs(at->ss_family == AF_INET ? ((const struct sockaddr_in *)at)->sin_port
                                                   : ((const struct sockaddr_in6 *)at)->sin6_port);
    FILE *f = fopen(path, "re");
    char line[512];

    while (f != NULL && fgets(line, sizeof line, f) != NULL && h->count < INODES_MAX) {
        char hex[33];
        unsigned there_port, state;
        unsigned long inode;
        struct in6_addr there;
        bool v4;

        if (sscanf(line, " %*d: %32[0-9A-Fa-f]:%x %*s %x %*s %*s %*s %*s %*s %lu", hex, &there_port,
                   &state, &inode) == 4 &&
            there_port == port && (!listening || state == STATE_LISTEN) && inode != 0 &&
            table_addr(hex, &there, &v4) && in_the_way(at, &there, v4)) {
            h->inode[h->count++] = inode;
        }
    }
    if (f != NULL) {
        (void)fclose(f);
    }
}

static bool holds(const char *pid, const struct holders *h)
{
    char path[300], to[64];
    struct dirent *entry;
    bool found = false;
    DIR *fds;

    (void)snprintf(path, sizeof path, "/proc/%s/fd", pid);
    fds = opendir(path); /* NULL: another user's, or gone */
    while (fds != NULL && !found && (entry = readdir(fds)) != NULL) {
        unsigned long inode;
        ssize_t n = readlinkat(dirfd(fds), entry->d_name, to, sizeof to - 1);

        if (n <= 0) {
            continue;
        }
        to[n] = '\0';
        if (sscanf(to, "socket:[%lu]", &inode) != 1) {
            continue;
        }
        for (unsigned i = 0; i < h->count; i++) {
            found = found || h->inode[i] == inode;
        }
    }
    if (fds != NULL) {
        (void)closedir(fds);
    }
    return found;
}

/* Its name and, from /proc/PID/stat, whether it is on its way out. */
static bool describe(const char *pid, struct port_holder *out)
{
    char path[300], line[512] = "";
    unsigned flags = 0;
    FILE *f;

    (void)snprintf(path, sizeof path, "/proc/%s/stat", pid);
    f = fopen(path, "re");
    if (f == NULL || fgets(line, sizeof line, f) == NULL) {
        line[0] = '\0';
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    char *open = strchr(line, '('), *close = strrchr(line, ')'), state;

    if (open == NULL || close == NULL ||
        sscanf(close + 1, " %c %*d %*d %*d %*d %*d %u", &state, &flags) != 2) {
        return false;
    }
    out->pid = (int)strtol(pid, NULL, 10);
    *close = '\0';
    (void)snprintf(out->name, sizeof out->name, "%s", open + 1);
    return state != 'Z' && state != 'X' && (flags & FLAG_EXITING) == 0;
}

/* It has been killed and does not know yet: it has had no processor since. */
static bool is_killed(const char *pid)
{
    char path[300], line[256];
    bool killed = false;
    FILE *f;

    (void)snprintf(path, sizeof path, "/proc/%s/status", pid);
    f = fopen(path, "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        unsigned long long pending;

        if ((sscanf(line, "SigPnd: %llx", &pending) == 1 ||
             sscanf(line, "ShdPnd: %llx", &pending) == 1) &&
            (pending & (1ULL << 8)) != 0) { /* SIGKILL */
            killed = true;
        }
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    return killed;
}

bool port_holder_find(const struct sockaddr_storage *at, bool packets, struct port_holder *out)
{
    struct holders h = {.count = 0};
    struct dirent *entry;
    bool found = false;
    DIR *processes;

    read_table(packets ? "/proc/self/net/udp" : "/proc/self/net/tcp", at, !packets, &h);
    read_table(packets ? "/proc/self/net/udp6" : "/proc/self/net/tcp6", at, !packets, &h);
    processes = h.count > 0 ? opendir("/proc") : NULL;
    while (processes != NULL && !found && (entry = readdir(processes)) != NULL) {
        found = isdigit((unsigned char)entry->d_name[0]) != 0 && holds(entry->d_name, &h) &&
                describe(entry->d_name, out) && !is_killed(entry->d_name);
    }
    if (processes != NULL) {
        (void)closedir(processes);
    }
    return found;
}
