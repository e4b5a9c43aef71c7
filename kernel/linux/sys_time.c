/*
 * Clocks and sleeping. Applications read clocks through the vDSO; these are the calls for
 * those that do not, and the rest of time(7).
 */
#include "linux/cred.h"
#include "linux/process.h"
#include "linux/syscall.h"
#include "linux/timespec.h"
#include "sched/thread.h"

#include <linux/times.h>
#include <linux/timex.h>

#define COARSE_NS     (4 * NSEC_PER_MSEC)
#define NSEC_PER_TICK (NSEC_PER_SEC / 100)

struct timezone_old {
    int minuteswest, dsttime;
};

static long sys_clock_gettime(int clock, struct __kernel_timespec *ts)
{
    uint64_t ns;
    int r = clock_read(clock, &ns);

    return r < 0 ? r : timespec_put(ts, ns);
}
SYSCALL(clock_gettime, COMPLETE, "ip", "");

static long sys_clock_getres(int clock, struct __kernel_timespec *ts)
{
    bool coarse = clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE;
    uint64_t ns;
    int r = clock_read(clock, &ns);

    if (r < 0 || !ts)
        return r;
    return timespec_put(ts, coarse ? COARSE_NS : 1);
}
SYSCALL(clock_getres, COMPLETE, "ip", "");

static long set_real(uint64_t ns)
{
    return cred.euid ? -EPERM : clock_set_real(ns);
}

static long sys_clock_settime(int clock, const struct __kernel_timespec *ts)
{
    uint64_t ns;
    int r;

    if (clock != CLOCK_REALTIME)
        return -EINVAL;
    r = timespec_get(ts, &ns);
    return r < 0 ? r : set_real(ns);
}
SYSCALL(clock_settime, COMPLETE, "iT", "");

static long sys_gettimeofday(struct __kernel_old_timeval *tv, struct timezone_old *tz)
{
    struct timezone_old utc = {0, 0};

    if (tv && timeval_put(tv, clock_real_ns()) < 0)
        return -EFAULT;
    return tz ? copy_to_user(tz, &utc, sizeof(utc)) : 0;
}
SYSCALL(gettimeofday, COMPLETE, "pp", "");

static long sys_settimeofday(const struct __kernel_old_timeval *tv, const struct timezone_old *tz)
{
    uint64_t ns;
    int r = tv ? timeval_get(tv, &ns) : 0;

    if (r < 0)
        return r;
    return tv ? set_real(ns) : cred.euid ? -EPERM : 0;
}
SYSCALL(settimeofday, PARTIAL, "pp", "the time zone is not kept");

static long sys_time(int64_t *t)
{
    int64_t now = clock_real_ns() / NSEC_PER_SEC;

    if (t && put_user(now, t) < 0)
        return -EFAULT;
    return now;
}
SYSCALL(time, COMPLETE, "p", "");

/* Sleeps until d; -EINTR when a signal comes first. */
static long sleep_until(struct clock_deadline d)
{
    struct thread *t = current();

    while ((d.real ? clock_real_ns() : clock_mono_ns()) < d.at) {
        if (t->signal_pending)
            return -EINTR;
        t->interruptible = true;
        clock_block(d);
        t->interruptible = false;
    }
    return 0;
}

/* Sleeps for ns; what remains goes to urem when a signal ends it. */
static long sleep_for(uint64_t ns, struct __kernel_timespec *urem)
{
    uint64_t deadline = deadline_after(ns), now;
    long r = sleep_until((struct clock_deadline){deadline, false});

    if (r == -EINTR && urem) {
        now = clock_mono_ns();
        if (timespec_put(urem, deadline > now ? deadline - now : 0) < 0)
            return -EFAULT;
    }
    return r;
}

static long sys_nanosleep(const struct __kernel_timespec *uts, struct __kernel_timespec *urem)
{
    uint64_t ns;
    int r = timespec_get(uts, &ns);

    return r < 0 ? r : sleep_for(ns, urem);
}
SYSCALL(nanosleep, COMPLETE, "Tp", "");

static long sys_clock_nanosleep(int clock, int flags, const struct __kernel_timespec *uts,
                                struct __kernel_timespec *urem)
{
    struct clock_deadline d = {.real = clock_is_real(clock)};
    uint64_t ns, now;
    int r;

    if (clock == CLOCK_THREAD_CPUTIME_ID || flags & ~TIMER_ABSTIME)
        return -EINVAL;
    r = timespec_get(uts, &ns);
    if (r < 0)
        return r;
    r = clock_read(clock, &now);
    if (r < 0)
        return r;
    if (!(flags & TIMER_ABSTIME))
        return sleep_for(ns, urem);
    if (d.real)
        d.at = ns;
    else
        deadline_on_clock(clock, ns, &d.at);
    return sleep_until(d) < 0 ? -ERESTARTNOHAND : 0;
}
SYSCALL(clock_nanosleep, PARTIAL, "ixTp", "a process CPU-time clock sleeps by real time");

static uint64_t all_threads_ns(void)
{
    uint64_t ns = 0;

    clock_read(CLOCK_PROCESS_CPUTIME_ID, &ns);
    return ns;
}

static long sys_times(struct tms *u)
{
    /* There is no border between user and system time in one ring: it is all the application's. */
    struct tms t = {.tms_utime = all_threads_ns() / NSEC_PER_TICK};

    if (u && copy_to_user(u, &t, sizeof(t)) < 0)
        return -EFAULT;
    return clock_mono_ns() / NSEC_PER_TICK;
}
SYSCALL(times, COMPLETE, "p", "");

/* Reading the clock's state is answered; disciplining it is for the host. */
static long adjust(struct __kernel_timex *u)
{
    struct __kernel_timex t;
    uint64_t now = clock_real_ns();

    if (copy_from_user(&t, u, sizeof(t)) < 0)
        return -EFAULT;
    if (t.modes)
        return -EPERM;
    memset(&t, 0, sizeof(t));
    t.status = STA_UNSYNC;
    t.tick = 10000;
    t.maxerror = t.esterror = 16000000;
    t.time.tv_sec = now / NSEC_PER_SEC;
    t.time.tv_usec = now % NSEC_PER_SEC / NSEC_PER_USEC;
    return copy_to_user(u, &t, sizeof(t)) < 0 ? -EFAULT : TIME_ERROR;
}

static long sys_adjtimex(struct __kernel_timex *u)
{
    return adjust(u);
}
SYSCALL(adjtimex, PARTIAL, "p", "read only: setting gives EPERM");

static long sys_clock_adjtime(int clock, struct __kernel_timex *u)
{
    return clock == CLOCK_REALTIME ? adjust(u) : -EINVAL;
}
SYSCALL(clock_adjtime, PARTIAL, "ip", "read only: setting gives EPERM");
