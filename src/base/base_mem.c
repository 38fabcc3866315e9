#include "base/base_mem.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

/* jemalloc's, where it is linked. */
int mallctl(const char *name, void *old, size_t *old_len, void *new, size_t new_len)
    __attribute__((weak));

void mem_keep_freed(void)
{
    ssize_t never = -1;

    if (mallctl != NULL) {
        (void)mallctl("arenas.dirty_decay_ms", NULL, NULL, &never, sizeof never);
        /* 4096 is all of those that there are already */
        (void)mallctl("arena.4096.dirty_decay_ms", NULL, NULL, &never, sizeof never);
    }
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
