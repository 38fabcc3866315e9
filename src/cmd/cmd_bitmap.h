/* cmd_bitmap.h - what the bit commands share. Private to the room.
 *
 * Bit 0 is the highest bit of byte 0.
 */
#ifndef CMD_BITMAP_H
#define CMD_BITMAP_H
#include "cmd/cmd.h"

/* argv[pos] as a bit offset below 2^32. field_bits > 0: "#n" is allowed and means
 * n * field_bits. False: the error is written. */
MUST_USE bool cmd_bitmap_offset(struct call *c, uint32_t pos, unsigned field_bits,
                                uint64_t *offset);
/* Make the string at argv[1] long enough for this bit, creating it if absent.
 * Sets changed if it grew. False: the error is written. */
MUST_USE bool cmd_bitmap_grow(struct call *c, uint64_t last_bit);
#endif
