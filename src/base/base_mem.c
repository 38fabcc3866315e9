#include "base/base_mem.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

/* jemalloc's, absent where a sanitizer brings its own allocator. In the names, 4096 is
 * MALLCTL_ARENAS_ALL: written out because no header is needed otherwise. */
extern int mallctl(const char *name, void *old, size_t *old_bytes, void *new, size_t new_bytes)
    __attribute__((weak));

void mem_keep_freed(void)
{
    ssize_t never = -1;

    if (mallctl != NULL) {
        (void)mallctl("arenas.dirty_decay_ms", NULL, NULL, &never, sizeof never);
        (void)mallctl("arena.4096.dirty_decay_ms", NULL, NULL, &never, sizeof never);
    }
}

void mem_trim(void)
{
    if (mallctl != NULL) {
        (void)mallctl("thread.tcache.flush", NULL, NULL, NULL, 0);
        (void)mallctl("arena.4096.purge", NULL, NULL, NULL, 0);
    }
}

uint64_t mem_heap_bytes(void)
{
    uint64_t epoch = 1;
    size_t bytes = 0, size = sizeof bytes;

    if (mallctl == NULL || mallctl("epoch", NULL, NULL, &epoch, sizeof epoch) != 0 ||
        mallctl("stats.allocated", &bytes, &size, NULL, 0) != 0) {
        return 0;
    }
    return bytes;
}

static _Noreturn void out_of_memory(size_t bytes)
{
    (void)fprintf(stderr, "out of memory: an allocation of %zu bytes failed; the process ends\n",
                  bytes);
    abort();
}

void *mem_alloc(size_t bytes)
{
    void *ptr = malloc(bytes == 0 ? 1 : bytes);

    if (UNLIKELY(ptr == NULL)) {
        out_of_memory(bytes);
    }
    return ptr;
}

void *mem_zalloc(size_t bytes)
{
    void *ptr = calloc(1, bytes == 0 ? 1 : bytes);

    if (UNLIKELY(ptr == NULL)) {
        out_of_memory(bytes);
    }
    return ptr;
}

void *mem_realloc(void *ptr, size_t bytes)
{
    void *moved = realloc(ptr, bytes == 0 ? 1 : bytes);

    if (UNLIKELY(moved == NULL)) {
        out_of_memory(bytes);
    }
    return moved;
}

void mem_free(void *ptr)
{
    free(ptr);
}

char *mem_strndup(const void *from, size_t bytes)
{
    char *copy = mem_alloc(bytes + 1);

    if (bytes > 0) {
        memcpy(copy, from, bytes);
    }
    copy[bytes] = 0;
    return copy;
}

size_t mem_usable(const void *ptr)
{
    union {
        const void *in;
        void *out;
    } cast = {.in = ptr};

    return malloc_usable_size(cast.out);
}
