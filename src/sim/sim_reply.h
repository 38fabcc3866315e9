/* sim_reply.h - RESP2 and RESP3 as a client understands them; a parser of its own. */
#ifndef SIM_REPLY_H
#define SIM_REPLY_H
#include "sim/sim_history.h"

struct sim_part {
    enum sim_item_kind kind;
    struct slice text; /* in the bytes given */
    int64_t n;
};
/* One reply, flattened as in a history. Zero-initialised is empty; reused from reply to reply. */
struct sim_reply {
    struct sim_part *parts;
    uint32_t count, cap;
};
void sim_reply_free(struct sim_reply *r);
/* Bytes used, 0: incomplete, SIZE_MAX: not RESP. */
size_t sim_reply_parse(struct slice in, struct sim_reply *out);
#endif
