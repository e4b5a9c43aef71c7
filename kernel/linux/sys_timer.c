/*
 * Interval timers: setitimer, alarm, and POSIX timers (timer_create). CPU-time clocks are
 * served from the real clock's heap by re-checking when the earliest possible moment came.
 */
#include "linux/process.h"
#include "linux/sigstate.h"
#include "linux/sys_timer.h"
#include "linux/syscall.h"
#include "linux/timespec.h"
#include "mm/slab.h"
#include "sched/timer.h"

#define ITIMERS          3 /* ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF */
#define MAX_TIMERS       512
#define OVERRUN_MAX      INT32_MAX
#define SIGEV_SIGNAL_    0
#define SIGEV_NONE_      1
#define SIGEV_THREAD_ID_ 4

/* One timer, on any clock. */
struct clock_timer {
    struct timer timer;
    int clock;
    int base;         /* the clock that expires is on */
    uint64_t expires; /* 0: disarmed */
    uint64_t interval;
    void (*fire)(struct clock_timer *c, uint64_t missed);
};

/* Programs the heap for the time that is left on the clock. */
static int program(struct clock_timer *c)
{
    uint64_t deadline;
    int r = deadline_on_clock(c->base, c->expires, &deadline);

    return r < 0 ? r : timer_set(&c->timer, deadline);
}

static void expired(struct timer *t)
{
    struct clock_timer *c = container_of(t, struct clock_timer, timer);
    uint64_t now, missed = 0;

    if (!c->expires || clock_read(c->base, &now) < 0)
        return;
    if (now >= c->expires) {
        if (c->interval) {
            missed = (now - c->expires) / c->interval;
            c->expires += (missed + 1) * c->interval;
        } else {
            c->expires = 0;
        }
        c->fire(c, missed);
    }
    if (c->expires)
        program(c);
}

static void clock_timer_init(struct clock_timer *c, int clock,
                             void (*fire)(struct clock_timer *, uint64_t))
{
    c->clock = c->base = clock;
    c->fire = fire;
    timer_init(&c->timer, expired);
}

static uint64_t remaining(const struct clock_timer *c)
{
    uint64_t now;

    if (!c->expires || clock_read(c->base, &now) < 0)
        return 0;
    return c->expires > now ? c->expires - now : 1;
}

/* value 0 disarms. Absolute values are on the clock. */
static int arm(struct clock_timer *c, uint64_t value, uint64_t interval, bool absolute)
{
    uint64_t now;

    timer_cancel(&c->timer);
    c->expires = 0;
    c->interval = interval;
    if (!value)
        return 0;
    /* "In a second" means that, whatever the clock is set to (timer_settime(2)). */
    c->base = !absolute && clock_is_real(c->clock) ? CLOCK_MONOTONIC : c->clock;
    if (clock_read(c->base, &now) < 0)
        return -EINVAL;
    c->expires = absolute ? value : MIN(now + value, (uint64_t)INT64_MAX);
    return program(c);
}

/* ---- setitimer ---- */

static struct clock_timer itimers[ITIMERS];
static const int itimer_clock[ITIMERS] = {CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID,
                                          CLOCK_PROCESS_CPUTIME_ID};
static const int itimer_signal[ITIMERS] = {SIGALRM, SIGVTALRM, SIGPROF};

static void itimer_fire(struct clock_timer *c, uint64_t missed)
{
    siginfo_t info = {0};

    info.si_code = SI_KERNEL;
    signal_send_process(itimer_signal[c - itimers], &info);
}

static struct clock_timer *itimer(int which)
{
    if (!itimers[which].fire)
        clock_timer_init(&itimers[which], itimer_clock[which], itimer_fire);
    return &itimers[which];
}

static int put_itimer(int which, struct __kernel_old_itimerval *u)
{
    uint64_t left = remaining(itimer(which));

    /* What is left rounds up: zero would say disarmed. */
    left = left ? MAX(left, NSEC_PER_USEC) : 0;
    if (timeval_put(&u->it_value, left) < 0)
        return -EFAULT;
    return timeval_put(&u->it_interval, itimers[which].interval);
}

static long sys_getitimer(int which, struct __kernel_old_itimerval *u)
{
    return which < 0 || which >= ITIMERS ? -EINVAL : put_itimer(which, u);
}
SYSCALL(getitimer, COMPLETE, "ip", "");

static long sys_setitimer(int which, const struct __kernel_old_itimerval *new,
                          struct __kernel_old_itimerval *old)
{
    uint64_t value = 0, interval = 0;
    int r = 0;

    if (which < 0 || which >= ITIMERS)
        return -EINVAL;
    if (new) {
        r = timeval_get(&new->it_value, &value);
        if (r == 0)
            r = timeval_get(&new->it_interval, &interval);
    }
    if (r == 0 && old)
        r = put_itimer(which, old);
    return r < 0 ? r : arm(itimer(which), value, interval, false);
}
SYSCALL(setitimer, COMPLETE, "ipp", "");

static long sys_alarm(unsigned seconds)
{
    uint64_t left = remaining(itimer(0));

    arm(itimer(0), seconds * NSEC_PER_SEC, 0, false);
    return (left + NSEC_PER_SEC - 1) / NSEC_PER_SEC;
}
SYSCALL(alarm, COMPLETE, "u", "");

/* ---- POSIX timers ---- */

struct posix_timer {
    struct clock_timer c;
    int id, notify, signo, tid;
    sigval_t value;
    int overrun;
};

static struct posix_timer *timers[MAX_TIMERS];

static void posix_fire(struct clock_timer *c, uint64_t missed)
{
    struct posix_timer *p = container_of(c, struct posix_timer, c);
    siginfo_t info = {0};
    struct thread *t;

    if (p->notify == SIGEV_NONE_)
        return;
    /* A timer has at most one signal queued; what comes before it is taken is counted in it. */
    if (signal_add_overrun(p->signo, p->id, missed + 1)) {
        p->overrun = MIN(p->overrun + missed + 1, (uint64_t)OVERRUN_MAX);
        return;
    }
    p->overrun = MIN(missed, (uint64_t)OVERRUN_MAX);
    info.si_code = SI_TIMER;
    info.si_tid = p->id;
    info.si_overrun = p->overrun;
    info.si_value = p->value;
    if (p->notify == SIGEV_THREAD_ID_) {
        t = thread_find(p->tid);
        if (t)
            signal_send_thread(t, p->signo, &info);
    } else {
        signal_send_process(p->signo, &info);
    }
}

void posix_timers_clock_was_set(void)
{
    for (int id = 0; id < MAX_TIMERS; id++) {
        struct posix_timer *p = timers[id];

        /* One that is set has its place in the heap: this cannot fail. */
        if (p && clock_is_real(p->c.base) && timer_pending(&p->c.timer))
            (void)program(&p->c);
    }
}

static struct posix_timer *timer_of(int id)
{
    return id >= 0 && id < MAX_TIMERS ? timers[id] : NULL;
}

static long sys_timer_create(int clock, const struct sigevent *uev, int *uid)
{
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL_, .sigev_signo = SIGALRM};
    struct posix_timer *p;
    uint64_t now;
    int id;

    if (clock_read(clock, &now) < 0)
        return -EINVAL;
    if (uev && copy_from_user(&ev, uev, sizeof(ev)) < 0)
        return -EFAULT;
    if (ev.sigev_notify != SIGEV_NONE_ &&
        ((ev.sigev_notify != SIGEV_SIGNAL_ && ev.sigev_notify != SIGEV_THREAD_ID_) ||
         ev.sigev_signo < 1 || ev.sigev_signo > SIG_COUNT ||
         (ev.sigev_notify == SIGEV_THREAD_ID_ && !thread_find(ev._sigev_un._tid))))
        return -EINVAL;
    for (id = 0; id < MAX_TIMERS && timers[id]; id++)
        ;
    p = id < MAX_TIMERS ? kzalloc(sizeof(*p)) : NULL;
    if (!p)
        return -EAGAIN;
    clock_timer_init(&p->c, clock, posix_fire);
    p->id = id;
    p->notify = ev.sigev_notify;
    p->signo = ev.sigev_signo;
    p->tid = ev._sigev_un._tid;
    p->value = ev.sigev_value;
    if (!uev)
        p->value.sival_int = id;
    if (put_user(id, uid) < 0) {
        kfree(p);
        return -EFAULT;
    }
    timers[id] = p;
    return 0;
}
SYSCALL(timer_create, COMPLETE, "ipp", "");

static int put_itimerspec(const struct clock_timer *c, struct __kernel_itimerspec *u)
{
    if (timespec_put(&u->it_value, remaining(c)) < 0)
        return -EFAULT;
    return timespec_put(&u->it_interval, c->interval);
}

static long sys_timer_settime(int id, int flags, const struct __kernel_itimerspec *new,
                              struct __kernel_itimerspec *old)
{
    struct posix_timer *p = timer_of(id);
    uint64_t value, interval;
    int r;

    if (!p || !new)
        return -EINVAL;
    r = timespec_get(&new->it_value, &value);
    if (r == 0)
        r = timespec_get(&new->it_interval, &interval);
    if (r == 0 && old)
        r = put_itimerspec(&p->c, old);
    return r < 0 ? r : arm(&p->c, value, interval, flags & TIMER_ABSTIME);
}
SYSCALL(timer_settime, COMPLETE, "ixpp", "");

static long sys_timer_gettime(int id, struct __kernel_itimerspec *u)
{
    struct posix_timer *p = timer_of(id);

    return p ? put_itimerspec(&p->c, u) : -EINVAL;
}
SYSCALL(timer_gettime, COMPLETE, "ip", "");

static long sys_timer_getoverrun(int id)
{
    struct posix_timer *p = timer_of(id);

    return p ? p->overrun : -EINVAL;
}
SYSCALL(timer_getoverrun, COMPLETE, "i", "");

static long sys_timer_delete(int id)
{
    struct posix_timer *p = timer_of(id);

    if (!p)
        return -EINVAL;
    timer_cancel(&p->c.timer);
    timers[id] = NULL;
    kfree(p);
    return 0;
}
SYSCALL(timer_delete, COMPLETE, "i", "");
