/* sim_bytes.h - the content of a simulated file, of which a tail of zeros takes no memory.
 *
 * The product makes its files as long as they may become; most never fill. Whatever was
 * written lies in memory up to its last byte, and what follows is known to be zeros.
 */
#ifndef SIM_BYTES_H
#define SIM_BYTES_H
#include "base/base_bytes.h"

struct sim_bytes {
    struct buf laid; /* the first bytes; those behind are zeros. laid.len <= len */
    size_t len;
};
void sim_bytes_free(struct sim_bytes *b);
/* Write there; what lies between the old end and offset is zeros then. Nothing: no change. */
void sim_bytes_lay(struct sim_bytes *b, uint64_t offset, const void *data, size_t len);
/* Nothing but zeros, so many. */
void sim_bytes_zeros(struct sim_bytes *b, size_t len);
/* to becomes what from is. */
void sim_bytes_copy(struct sim_bytes *to, const struct sim_bytes *from);
/* Append up to len bytes from offset on to out; fewer at the end. */
void sim_bytes_read(const struct sim_bytes *b, uint64_t offset, size_t len, struct buf *out);
/* A byte to change in place; CHECKs that there is one. */
uint8_t *sim_bytes_at(struct sim_bytes *b, uint64_t offset);
/* All of it, in memory; valid until b changes. */
struct slice sim_bytes_whole(struct sim_bytes *b);
/* hash64 of the content. */
uint64_t sim_bytes_hash(const struct sim_bytes *b);
#endif
