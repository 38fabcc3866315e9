/* port_poll.c - for how long to look for work before sleeping. */
#include "port/port_internal.h"

/* The mean over about the last eight waits: a burst after a tick of an idle node does not
 * turn polling on, one late reply under load does not turn it off for long. */
enum { MEAN_SHIFT = 3, CAP = 8 };

uint64_t port_poll_us(const struct port_poll *w)
{
    return w->mean_us < w->most_us ? w->most_us : 0;
}

void port_poll_waited(struct port_poll *w, uint64_t waited_us)
{
    uint64_t cap = (uint64_t)CAP * w->most_us; /* a day's sleep is as good as a moment's */

    waited_us = waited_us < cap ? waited_us : cap;
    w->mean_us += (waited_us >> MEAN_SHIFT) - (w->mean_us >> MEAN_SHIFT);
}
