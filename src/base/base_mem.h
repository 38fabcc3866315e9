/* base_mem.h - heap memory that is there or ends the process.
 *
 * A data grid that cannot allocate cannot keep its promises either: it stops
 * with a clear line, and its peers go on. Sizes are bounded by the callers
 * (limits, maxmemory), so a failure here is exhaustion, not a large request.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H
#include "base/base.h"

#define RETURNS_MEM __attribute__((returns_nonnull, malloc, warn_unused_result))

/* bytes may be 0; the result is then a unique pointer. Free with mem_free. */
void *mem_alloc(size_t bytes) RETURNS_MEM;
void *mem_zalloc(size_t bytes) RETURNS_MEM;
void *mem_realloc(void *ptr, size_t bytes) __attribute__((returns_nonnull, warn_unused_result));
void mem_free(void *ptr); /* NULL is allowed */
/* A copy of `bytes` bytes, plus a terminating zero that is not counted. */
char *mem_strndup(const void *from, size_t bytes) RETURNS_MEM;
/* What the allocator really set aside for ptr, in bytes. */
size_t mem_usable(const void *ptr);
/* Freed memory is not given back to the system from now on: for processes that allocate and free
 * the same again and again. */
void mem_keep_freed(void);
/* Give memory that is free but still held back to the system now: after a peak, such as that of
 * reading the log. Takes milliseconds. */
void mem_trim(void);
/* What the process has allocated, in bytes; 0 where the allocator does not tell. */
uint64_t mem_heap_bytes(void);

#define MEM_NEW(type) ((type *)mem_zalloc(sizeof(type)))
/* Room for at least one more in an array of `count` elements, with space for `cap`. */
#define MEM_GROW(array, count, cap)                                                                \
    do {                                                                                           \
        if ((count) == (cap)) {                                                                    \
            (cap) = (cap) == 0 ? 8 : (cap)*2;                                                      \
            (array) = mem_realloc((array), (cap) * sizeof *(array));                               \
        }                                                                                          \
    } while (0)
#endif
