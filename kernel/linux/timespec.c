/*
 * Times of applications; see timespec.h.
 */
#include "linux/timespec.h"

#include "arch/x86_64/tsc.h"
#include "fs/timerfd.h"
#include "linux/sys_timer.h"
#include "sched/thread.h"

static int combine(int64_t sec, int64_t sub, int64_t per_sec, uint64_t *ns)
{
    if (sec < 0 || sub < 0 || sub >= per_sec)
        return -EINVAL;
    if ((uint64_t)sec >= NS_MAX / NSEC_PER_SEC)
        *ns = NS_MAX;
    else
        *ns = sec * NSEC_PER_SEC + sub * (NSEC_PER_SEC / per_sec);
    return 0;
}

int timespec_get(const struct __kernel_timespec *uts, uint64_t *ns)
{
    struct __kernel_timespec ts;

    if (copy_from_user(&ts, uts, sizeof(ts)) < 0)
        return -EFAULT;
    return combine(ts.tv_sec, ts.tv_nsec, NSEC_PER_SEC, ns);
}

int timespec_put(struct __kernel_timespec *uts, uint64_t ns)
{
    struct __kernel_timespec ts = {ns / NSEC_PER_SEC, ns % NSEC_PER_SEC};

    return copy_to_user(uts, &ts, sizeof(ts));
}

int timeval_get(const struct __kernel_old_timeval *utv, uint64_t *ns)
{
    struct __kernel_old_timeval tv;

    if (copy_from_user(&tv, utv, sizeof(tv)) < 0)
        return -EFAULT;
    return combine(tv.tv_sec, tv.tv_usec, 1000000, ns);
}

int timeval_put(struct __kernel_old_timeval *utv, uint64_t ns)
{
    struct __kernel_old_timeval tv = {ns / NSEC_PER_SEC, ns % NSEC_PER_SEC / NSEC_PER_USEC};

    return copy_to_user(utv, &tv, sizeof(tv));
}

static uint64_t process_cpu_ns(void)
{
    uint64_t sum = 0;

    list_for_each (t, &thread_list, struct thread, all_link)
        sum += thread_cpu_ns(t);
    return sum;
}

/* Negative clock ids name a process's or thread's CPU clock (Linux: ~id << 3 | bits). */
static int cpu_clock(int clock, uint64_t *ns)
{
    int id = ~(clock >> 3);
    struct thread *t;

    if ((clock & 3) == 3)
        return -EINVAL;
    if (clock & 4) {
        t = id ? thread_find(id) : current();
        if (!t)
            return -EINVAL;
        *ns = thread_cpu_ns(t);
    } else {
        if (id != 0 && id != 1)
            return -EINVAL;
        *ns = process_cpu_ns();
    }
    return 0;
}

int clock_read(int clock, uint64_t *ns)
{
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_REALTIME_ALARM:
    case CLOCK_TAI:
        *ns = clock_real_ns();
        return 0;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
    case CLOCK_BOOTTIME_ALARM:
        *ns = clock_mono_ns();
        return 0;
    case CLOCK_PROCESS_CPUTIME_ID:
        *ns = process_cpu_ns();
        return 0;
    case CLOCK_THREAD_CPUTIME_ID:
        *ns = thread_cpu_ns(current());
        return 0;
    default:
        return clock < 0 ? cpu_clock(clock, ns) : -EINVAL;
    }
}

int deadline_on_clock(int clock, uint64_t at_ns, uint64_t *deadline)
{
    uint64_t now;
    int r = clock_read(clock, &now);

    if (r < 0)
        return r;
    if (at_ns >= NS_MAX)
        *deadline = WAIT_FOREVER;
    else
        *deadline = clock_mono_ns() + (at_ns > now ? at_ns - now : 0);
    return 0;
}

bool clock_is_real(int clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE ||
           clock == CLOCK_REALTIME_ALARM || clock == CLOCK_TAI;
}

/* A thread in clock_block() for a time of CLOCK_REALTIME. */
struct real_sleeper {
    struct list link;
    struct thread *thread;
};
static struct list real_sleepers = LIST_INIT(real_sleepers);

bool clock_block(struct clock_deadline d)
{
    struct real_sleeper s = {.thread = current()};
    uint64_t deadline;
    bool in_time;

    if (!d.real)
        return thread_block(d.at);
    deadline_on_clock(CLOCK_REALTIME, d.at, &deadline);
    list_push_back(&real_sleepers, &s.link);
    in_time = thread_block(deadline);
    list_remove(&s.link);
    return in_time;
}

int clock_set_real(uint64_t epoch_ns)
{
    tsc_set_real(epoch_ns);
    timerfd_clock_was_set();
    posix_timers_clock_was_set();
    /* They find that nothing happened, and sleep again: to where their time is now. */
    list_for_each (s, &real_sleepers, struct real_sleeper, link)
        thread_wake(s->thread);
    return 0;
}
