#include "base/base_mem.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
