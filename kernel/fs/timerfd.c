/*
 * timerfd(2). The kernel's timers are one-shot on the monotonic clock. An expiry makes the
 * descriptor readable and nothing more: the periods that passed since are counted when
 * somebody reads, and only then is the timer set again. So an interval timer that nobody reads
 * costs nothing. An absolute timer on CLOCK_REALTIME remembers its time on that clock
 * and is set again when the clock is.
 *
 * Called by system calls (may sleep), the timer interrupt and clock_settime (do not).
 */
#include "fs/timerfd.h"

#include "arch/x86_64/uaccess.h"
#include "fs/file.h"
#include "linux/syscall.h"
#include "mm/slab.h"
#include "sched/clock.h"
#include "sched/timer.h"

#include <asm/ioctls.h>
#include <linux/eventpoll.h>
#include <linux/time.h>
#include <linux/timerfd.h>

struct timerfd {
    struct file file;
    struct list all; /* in timerfds */
    struct timer timer;
    uint64_t deadline; /* of the current expiry, in the timer's clock */
    uint64_t interval; /* ns, 0: one-shot */
    uint64_t ticks;    /* expirations not yet read */
    int clock;
    bool real;      /* the deadline is a time of CLOCK_REALTIME */
    bool expired;   /* fired and not set again */
    bool cancel;    /* TFD_TIMER_CANCEL_ON_SET */
    bool cancelled; /* the clock was set, nobody was told yet */
};

static struct list timerfds = LIST_INIT(timerfds);
static const struct file_ops timerfd_ops;

static struct timerfd *timerfd_of(struct file *f)
{
    return container_of(f, struct timerfd, file);
}

static uint64_t timerfd_now(const struct timerfd *t)
{
    return t->real ? clock_real_ns() : clock_mono_ns();
}

/* Sets the kernel's timer to t->deadline. */
static int timerfd_arm(struct timerfd *t)
{
    uint64_t deadline = t->deadline;
    if (t->real) {
        uint64_t real = clock_real_ns(), mono = clock_mono_ns();
        uint64_t ahead = deadline > real ? deadline - real : 0;
        deadline = ahead < WAIT_FOREVER - mono ? mono + ahead : WAIT_FOREVER;
    }
    if (deadline == WAIT_FOREVER) {
        timer_cancel(&t->timer);
        return 0;
    }
    return timer_set(&t->timer, deadline);
}

static void timerfd_fire(struct timer *timer)
{
    struct timerfd *t = container_of(timer, struct timerfd, timer);
    t->expired = true;
    t->ticks++;
    waitq_wake_all(&t->file.waitq, EPOLLIN);
}

/* Counts the periods that passed since the expiry, and goes on from there. */
static int timerfd_forward(struct timerfd *t)
{
    if (!t->expired || t->interval == 0)
        return 0;
    uint64_t now = timerfd_now(t);
    uint64_t periods = now > t->deadline ? (now - t->deadline) / t->interval : 0;
    t->ticks += periods;
    t->deadline += (periods + 1) * t->interval;
    t->expired = false;
    return timerfd_arm(t);
}

static bool timerfd_take_cancel(struct timerfd *t)
{
    bool was = t->cancel && t->cancelled;
    t->cancelled = false;
    return was;
}

void timerfd_clock_was_set(void)
{
    list_for_each (t, &timerfds, struct timerfd, all) {
        if (!t->real)
            continue;
        if (timer_pending(&t->timer))
            /* The timer is set, so the heap has room for it. */
            (void)timerfd_arm(t);
        if (t->cancel) {
            t->cancelled = true;
            t->ticks++;
            waitq_wake_all(&t->file.waitq, EPOLLIN);
        }
    }
}

static ssize_t timerfd_read(struct file *f, struct iov_iter *it, uint64_t *pos)
{
    struct timerfd *t = timerfd_of(f);
    if (it->count < sizeof(t->ticks))
        return -EINVAL;
    if (t->ticks == 0) {
        if (file_nonblock(f))
            return -EAGAIN;
        int r = wait_event(&f->waitq, EPOLLIN, WAIT_FOREVER, t->ticks != 0);
        if (r < 0)
            return r;
    }
    if (timerfd_take_cancel(t)) {
        t->ticks = 0;
        t->expired = false;
        return -ECANCELED;
    }
    int r = timerfd_forward(t);
    if (r < 0)
        return r;
    uint64_t ticks = t->ticks;
    t->ticks = 0;
    return copy_to_iter(it, &ticks, sizeof(ticks));
}

static uint32_t timerfd_poll(struct file *f)
{
    return timerfd_of(f)->ticks ? EPOLLIN : 0;
}

static long timerfd_ioctl(struct file *f, unsigned cmd, uint64_t arg)
{
    struct timerfd *t = timerfd_of(f);
    uint64_t ticks = 0;
    if (cmd != TFD_IOC_SET_TICKS)
        return -ENOTTY;
    if (get_user(ticks, (const uint64_t *)arg) < 0)
        return -EFAULT;
    if (ticks == 0)
        return -EINVAL;
    if (timerfd_take_cancel(t))
        return -ECANCELED;
    t->ticks = ticks;
    waitq_wake_all(&f->waitq, EPOLLIN);
    return 0;
}

static void timerfd_release(struct file *f)
{
    struct timerfd *t = timerfd_of(f);
    timer_cancel(&t->timer);
    list_remove(&t->all);
    kfree(t);
}

static const struct file_ops timerfd_ops = {
    .name = "anon_inode:[timerfd]",
    .read = timerfd_read,
    .poll = timerfd_poll,
    .ioctl = timerfd_ioctl,
    .release = timerfd_release,
};

static long sys_timerfd_create(int clock, int flags)
{
    if (flags & ~(TFD_CLOEXEC | TFD_NONBLOCK))
        return -EINVAL;
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_MONOTONIC:
    case CLOCK_BOOTTIME:
    case CLOCK_REALTIME_ALARM: /* nothing is ever suspended: nothing to wake from */
    case CLOCK_BOOTTIME_ALARM:
        break;
    default:
        return -EINVAL;
    }
    struct timerfd *t = kzalloc(sizeof(*t));
    if (!t)
        return -ENOMEM;
    file_init(&t->file, &timerfd_ops, O_RDWR | (flags & TFD_NONBLOCK), FILE_STREAM);
    timer_init(&t->timer, timerfd_fire);
    t->clock = clock;
    list_push_back(&timerfds, &t->all);
    int fd = fd_install(&t->file, 0, flags & TFD_CLOEXEC);
    if (fd < 0)
        file_put(&t->file);
    return fd;
}
SYSCALL(timerfd_create, COMPLETE, "ix", "");

static struct __kernel_timespec ns_to_timespec(uint64_t ns)
{
    return (struct __kernel_timespec){ns / NSEC_PER_SEC, ns % NSEC_PER_SEC};
}

/* Saturates as Linux's timespec64_to_ktime: some 292 years. */
static int timespec_to_ns(const struct __kernel_timespec *ts, uint64_t *ns)
{
    if (ts->tv_sec < 0 || ts->tv_nsec < 0 || ts->tv_nsec >= (long long)NSEC_PER_SEC)
        return -EINVAL;
    *ns = (uint64_t)ts->tv_sec >= INT64_MAX / NSEC_PER_SEC
              ? INT64_MAX
              : (uint64_t)ts->tv_sec * NSEC_PER_SEC + (uint64_t)ts->tv_nsec;
    return 0;
}

/* The setting as timerfd_gettime reports it. */
static int timerfd_current(struct timerfd *t, struct __kernel_itimerspec *its)
{
    int r = timerfd_forward(t);
    uint64_t left = 0;
    if (timer_pending(&t->timer)) {
        uint64_t now = timerfd_now(t);
        left = t->deadline > now ? t->deadline - now : 1;
    }
    its->it_value = ns_to_timespec(left);
    its->it_interval = ns_to_timespec(t->interval);
    return r;
}

/* The referenced timer of a descriptor. */
static int timerfd_get(int fd, struct timerfd **out)
{
    struct file *f = fd_peek(fd);
    if (!f || (f->kind & FILE_PATH))
        return -EBADF;
    if (f->ops != &timerfd_ops)
        return -EINVAL;
    file_get(f);
    *out = timerfd_of(f);
    return 0;
}

static int timerfd_set(struct timerfd *t, int flags, uint64_t value, uint64_t interval)
{
    timer_cancel(&t->timer);
    bool absolute = flags & TFD_TIMER_ABSTIME;
    bool realtime = t->clock == CLOCK_REALTIME || t->clock == CLOCK_REALTIME_ALARM;
    t->real = absolute && realtime;
    t->cancel = t->real && (flags & TFD_TIMER_CANCEL_ON_SET);
    t->interval = interval;
    t->ticks = 0;
    t->expired = false;
    if (value == 0)
        return 0;
    t->deadline = absolute ? value : clock_mono_ns() + value;
    return timerfd_arm(t);
}

static long sys_timerfd_settime(int fd, int flags, const struct __kernel_itimerspec *unew,
                                struct __kernel_itimerspec *uold)
{
    struct __kernel_itimerspec its, old;
    uint64_t value, interval;
    if (copy_from_user(&its, unew, sizeof(its)) < 0)
        return -EFAULT;
    if ((flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)) ||
        timespec_to_ns(&its.it_value, &value) < 0 ||
        timespec_to_ns(&its.it_interval, &interval) < 0)
        return -EINVAL;
    struct timerfd *t;
    long r = timerfd_get(fd, &t);
    if (r < 0)
        return r;
    r = timerfd_current(t, &old);
    bool cancelled = timerfd_take_cancel(t);
    if (r == 0)
        r = timerfd_set(t, flags, value, interval);
    /* The caller used a clock that is no longer right: the timer is set, but told so. */
    if (r == 0 && cancelled && t->cancel)
        r = -ECANCELED;
    if (r == 0 && uold && copy_to_user(uold, &old, sizeof(old)) < 0)
        r = -EFAULT;
    file_put(&t->file);
    return r;
}
SYSCALL(timerfd_settime, COMPLETE, "dxpp", "");

static long sys_timerfd_gettime(int fd, struct __kernel_itimerspec *uits)
{
    struct __kernel_itimerspec its;
    struct timerfd *t;
    long r = timerfd_get(fd, &t);
    if (r < 0)
        return r;
    r = timerfd_current(t, &its);
    file_put(&t->file);
    if (r < 0)
        return r;
    return copy_to_user(uits, &its, sizeof(its));
}
SYSCALL(timerfd_gettime, COMPLETE, "dp", "");
