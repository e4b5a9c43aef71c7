/*
 * What the calls that wait for readiness (epoll_wait, poll, select) share: time limits and
 * the temporary signal mask of their p-variants. Threads only; the functions that read
 * application memory may sleep.
 */
#pragma once

#include "arch/x86_64/uaccess.h"
#include "linux/signal.h"
#include "sched/clock.h"
#include "sched/wait.h"

#include <linux/eventpoll.h>
#include <linux/time_types.h>

/* What files may report for "readable" and "writable" under another name, added to what they do
 * report: a poll operation need only know EPOLLIN and EPOLLOUT. */
static inline uint32_t poll_normalise(uint32_t events)
{
    if (events & EPOLLIN)
        events |= EPOLLRDNORM;
    if (events & EPOLLOUT)
        events |= EPOLLWRNORM;
    return events;
}

/* A time limit whose clock is first read when somebody is about to sleep. */
struct poll_limit {
    uint64_t timeout;  /* ns from now; 0: do not wait; WAIT_FOREVER */
    uint64_t deadline; /* 0: not yet computed */
};

static inline uint64_t poll_deadline(struct poll_limit *l)
{
    if (l->deadline == 0) {
        l->deadline = WAIT_FOREVER;
        if (l->timeout != WAIT_FOREVER) {
            uint64_t now = clock_mono_ns();
            l->deadline = l->timeout < WAIT_FOREVER - now ? now + l->timeout : WAIT_FOREVER;
        }
    }
    return l->deadline;
}

static inline uint64_t poll_ms(int ms)
{
    return ms < 0 ? WAIT_FOREVER : (uint64_t)ms * NSEC_PER_MSEC;
}

/* sec and nsec as an interval in ns, saturating: 0, or -EINVAL if they are no valid time. */
static inline int poll_interval(int64_t sec, int64_t nsec, uint64_t *out)
{
    if (sec < 0 || nsec < 0 || nsec >= (int64_t)NSEC_PER_SEC)
        return -EINVAL;
    if ((uint64_t)sec >= WAIT_FOREVER / NSEC_PER_SEC)
        *out = WAIT_FOREVER;
    else
        *out = (uint64_t)sec * NSEC_PER_SEC + (uint64_t)nsec;
    return 0;
}

/* An optional timespec of the application (NULL: for ever). 0, -EFAULT, -EINVAL. */
static inline int poll_timespec(const struct __kernel_timespec *uts, uint64_t *out)
{
    struct __kernel_timespec ts;
    *out = WAIT_FOREVER;
    if (uts == NULL)
        return 0;
    if (copy_from_user(&ts, uts, sizeof(ts)) < 0)
        return -EFAULT;
    return poll_interval(ts.tv_sec, ts.tv_nsec, out);
}

/* The signal mask for the time of one call. */
struct poll_sigmask {
    bool swapped;
    uint64_t old;
};

static inline int poll_sigmask_enter(struct poll_sigmask *s, const uint64_t *umask, size_t size)
{
    uint64_t mask = 0;
    s->swapped = false;
    if (umask == NULL)
        return 0;
    if (size != sizeof(mask))
        return -EINVAL;
    if (get_user(mask, umask) < 0)
        return -EFAULT;
    s->old = signal_set_mask(mask);
    s->swapped = true;
    return 0;
}

/* A call ended by a signal leaves the mask in place for the handler's choice. */
static inline void poll_sigmask_leave(const struct poll_sigmask *s, long result)
{
    if (!s->swapped)
        return;
    if (result == -EINTR)
        signal_restore_mask_later(s->old);
    else
        signal_set_mask(s->old);
}
