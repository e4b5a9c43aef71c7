/*
 * Polling before halting: a CPU with nothing to run looks for packets for a while before it asks
 * for an interrupt and halts, because to be woken costs more than most answers (an exit to the
 * monitor, an interrupt, and on the other side a thread of the host's that must run first). For how
 * long follows from what the past waits were, after Linux's cpuidle governor "haltpoll"
 * (Documentation/virt/guest-halt-polling.rst): twice as long after a wait that was too long for the
 * window but not for the limit, half as long after one that was longer than the limit. A guest that
 * has little to do therefore halts at once, and one that is asked again and again never does.
 *
 * The policy only, called by thread_block(); pure, and tested on the host.
 */
#pragma once

#include "lib/base.h"

struct haltpoll {
    uint64_t max_ns;    /* longest window; 0: never polls */
    uint64_t window_ns; /* the next one */
};

/* The window of the first wait that is worth one. */
#define HALTPOLL_START_NS 25000u
/* For programs whose owner has asked for nothing else: Linux's guest_halt_poll_ns. */
#define HALTPOLL_DEFAULT_NS 200000u

/* A wait has taken waited_ns, of which up to window_ns was polled. */
static inline void haltpoll_waited(struct haltpoll *h, uint64_t waited_ns)
{
    if (waited_ns > h->max_ns)
        h->window_ns = h->window_ns / 2 < HALTPOLL_START_NS ? 0 : h->window_ns / 2;
    else if (waited_ns > h->window_ns)
        h->window_ns = MIN(MAX(h->window_ns * 2, HALTPOLL_START_NS), h->max_ns);
}
