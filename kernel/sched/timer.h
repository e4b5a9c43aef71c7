/*
 * One-shot timers on the monotonic clock, in a binary heap. Callbacks run with
 * interrupts off, in whatever context found the deadline passed (the timer interrupt or
 * the idle loop): they must not block, and may set or cancel any timer, theirs too.
 * A struct timer is owned by its user and must be cancelled before it is freed.
 */
#pragma once

#include "lib/base.h"

struct timer {
    uint64_t deadline; /* clock_mono_ns() at which it fires */
    uint32_t slot;     /* index in the heap + 1; 0 when not set */
    void (*fn)(struct timer *t);
};

static inline void timer_init(struct timer *t, void (*fn)(struct timer *))
{
    t->slot = 0;
    t->fn = fn;
}

static inline bool timer_pending(const struct timer *t)
{
    return t->slot != 0;
}

/* Sets or moves the timer. 0, or -ENOMEM when the heap could not grow. */
int timer_set(struct timer *t, uint64_t deadline);
void timer_cancel(struct timer *t);
/* Runs what is due; returns the next deadline, WAIT_FOREVER if none. Scheduler only. */
uint64_t timer_run(uint64_t now);
