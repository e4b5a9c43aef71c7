/*
 * Times as applications give them, to nanoseconds and back. May sleep (reads and writes
 * application memory).
 */
#pragma once

#include "arch/x86_64/uaccess.h"
#include "sched/clock.h"
#include "sched/wait.h"

#include <linux/time.h>
#include <linux/time_types.h>

/* Nanoseconds that fit a deadline; what is larger means "for ever". */
#define NS_MAX (INT64_MAX / 2)

/* 0, -EFAULT, or -EINVAL for a negative time or too many nanoseconds. Saturates at NS_MAX. */
int timespec_get(const struct __kernel_timespec *ts, uint64_t *ns);
int timespec_put(struct __kernel_timespec *ts, uint64_t ns);
int timeval_get(const struct __kernel_old_timeval *tv, uint64_t *ns);
int timeval_put(struct __kernel_old_timeval *tv, uint64_t ns);

/* The absolute monotonic deadline ns from now. */
static inline uint64_t deadline_after(uint64_t ns)
{
    return ns >= NS_MAX ? WAIT_FOREVER : clock_mono_ns() + ns;
}
/* The monotonic deadline of an absolute time on a clock: 0 or -EINVAL for an unknown clock. */
int deadline_on_clock(int clock, uint64_t at_ns, uint64_t *deadline);
/* The present time of a clock: 0 or -EINVAL. */
int clock_read(int clock, uint64_t *ns);
/* Does setting the time of day move it? */
bool clock_is_real(int clock);

/* When a wait ends: an absolute time of the monotonic clock, or of CLOCK_REALTIME. */
struct clock_deadline {
    uint64_t at;
    bool real;
};
#define CLOCK_FOREVER ((struct clock_deadline){WAIT_FOREVER, false})
/* thread_block() until then, whatever the clock is set to meanwhile; false when it is reached. */
bool clock_block(struct clock_deadline d);
