/* What setting CLOCK_REALTIME does to those who wait for a time on it, and to those who do not. */
#include "tap.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/timerfd.h>

#define MS   1000000ull
#define SEC  1000000000ull
#define HOUR (3600 * SEC)

static struct timespec to_timespec(uint64_t ns)
{
    return (struct timespec){ns / SEC, ns % SEC};
}

static uint64_t real_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * SEC + t.tv_nsec;
}

static void step_clock(int64_t by)
{
    struct timespec t = to_timespec(real_ns() + by);
    MUST(clock_settime(CLOCK_REALTIME, &t) == 0);
}

/* A thread that waits for a time of CLOCK_REALTIME in one of the ways there are. */
enum way { SLEEP, CONDITION, DESCRIPTOR, TIMER, WAYS };
static const char *const names[WAYS] = {"clock_nanosleep", "pthread_cond_timedwait", "timerfd",
                                        "timer_settime"};
struct wait {
    enum way way;
    uint64_t until;       /* on CLOCK_REALTIME */
    uint64_t ended;       /* on CLOCK_MONOTONIC */
    volatile bool asleep; /* or about to be */
    bool reached;         /* it ended for the reason it should */
    pthread_t thread;
};

static bool wait_condition(const struct timespec *until)
{
    pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t c = PTHREAD_COND_INITIALIZER;
    int r = 0;
    pthread_mutex_lock(&m);
    while (r == 0)
        r = pthread_cond_timedwait(&c, &m, until);
    pthread_mutex_unlock(&m);
    return r == ETIMEDOUT;
}

static bool wait_descriptor(const struct timespec *until)
{
    int fd = timerfd_create(CLOCK_REALTIME, 0);
    struct itimerspec its = {{0, 0}, *until};
    uint64_t n = 0;
    MUST(timerfd_settime(fd, TFD_TIMER_ABSTIME, &its, NULL) == 0);
    bool good = read(fd, &n, 8) == 8 && n == 1;
    close(fd);
    return good;
}

static bool wait_timer(const struct timespec *until)
{
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    struct itimerspec its = {{0, 0}, *until};
    timer_t timer;
    siginfo_t info;
    sigset_t s;
    sigemptyset(&s);
    sigaddset(&s, SIGRTMIN);
    MUST(timer_create(CLOCK_REALTIME, &ev, &timer) == 0);
    MUST(timer_settime(timer, TIMER_ABSTIME, &its, NULL) == 0);
    bool good = sigwaitinfo(&s, &info) == SIGRTMIN && info.si_code == SI_TIMER;
    timer_delete(timer);
    return good;
}

static void *waiter(void *arg)
{
    struct wait *w = arg;
    struct timespec until = to_timespec(w->until);
    w->asleep = true;
    switch (w->way) {
    case SLEEP:
        w->reached = clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL) == 0;
        break;
    case CONDITION:
        w->reached = wait_condition(&until);
        break;
    case DESCRIPTOR:
        w->reached = wait_descriptor(&until);
        break;
    default:
        w->reached = wait_timer(&until);
    }
    w->ended = now_ns();
    w->reached = w->reached && real_ns() >= w->until;
    return NULL;
}

/* All ways at once, to `ahead` from now; the clock steps while they sleep. They have to end no
 * sooner than `least` after the start and no later than `most`. */
static void all_ways(uint64_t ahead, int64_t step, uint64_t least, uint64_t most)
{
    struct wait w[WAYS];
    uint64_t start = now_ns(), until = real_ns() + ahead;
    for (int i = 0; i < WAYS; i++) {
        w[i] = (struct wait){.way = (enum way)i, .until = until};
        MUST(pthread_create(&w[i].thread, NULL, waiter, &w[i]) == 0);
    }
    for (int i = 0; i < WAYS; i++)
        while (!w[i].asleep)
            usleep(1000);
    usleep(50000);
    step_clock(step);
    for (int i = 0; i < WAYS; i++) {
        MUST(pthread_join(w[i].thread, NULL) == 0);
        printf("# %s: %d ms\n", names[i], (int)((w[i].ended - start) / MS));
        OK(w[i].reached && w[i].ended - start >= least && w[i].ended - start <= most);
    }
}

/* "In 300 ms" is no time of the clock. */
static void relative(int64_t step)
{
    struct itimerspec its = {{0, 0}, {0, 300 * MS}}, left;
    struct sigevent ev = {.sigev_notify = SIGEV_NONE};
    struct pollfd p = {.fd = timerfd_create(CLOCK_REALTIME, 0), .events = POLLIN};
    timer_t timer;
    uint64_t start = now_ns();

    MUST(timer_create(CLOCK_REALTIME, &ev, &timer) == 0);
    MUST(timer_settime(timer, 0, &its, NULL) == 0 && timerfd_settime(p.fd, 0, &its, NULL) == 0);
    step_clock(step);
    OK(timer_gettime(timer, &left) == 0 && left.it_value.tv_sec == 0 && left.it_value.tv_nsec > 0);
    OK(poll(&p, 1, 5000) == 1 && now_ns() - start >= 300 * MS && now_ns() - start < 3000 * MS);
    usleep(20000);
    OK(timer_gettime(timer, &left) == 0 && left.it_value.tv_sec == 0 && left.it_value.tv_nsec == 0);
    timer_delete(timer);
    close(p.fd);
    start = now_ns();
    struct timespec t = to_timespec(50 * MS);
    OK(clock_nanosleep(CLOCK_REALTIME, 0, &t, NULL) == 0 && now_ns() - start >= 50 * MS);
}

/* timerfd_create(2), ECANCELED. */
static void cancelled(void)
{
    int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK);
    int other = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    struct itimerspec its = {{0, 0}, to_timespec(real_ns() + 10 * HOUR)};
    uint64_t n;

    MUST(timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &its, NULL) == 0);
    MUST(timerfd_settime(other, TFD_TIMER_ABSTIME, &its, NULL) == 0);
    FAILS(read(fd, &n, 8), EAGAIN);
    step_clock(5 * (int64_t)SEC);
    OK(poll(&p, 1, 1000) == 1);
    FAILS(read(fd, &n, 8), ECANCELED);
    FAILS(read(fd, &n, 8), EAGAIN); /* once */
    FAILS(read(other, &n, 8), EAGAIN);
    step_clock(-5 * (int64_t)SEC);
    FAILS(read(fd, &n, 8), ECANCELED);
    /* Who sets it again without having read learns of it there. */
    step_clock(SEC);
    FAILS(timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &its, NULL), ECANCELED);
    close(fd), close(other);
}

int main(void)
{
    sigset_t s;

    sigemptyset(&s);
    sigaddset(&s, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &s, NULL);
    if (getpid() != 1) {
        OK(getpid() != 1); /* the clock is not ours to set */
        return tap_done();
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct timeval tv = {1700000000, 5};
    OK(settimeofday(&tv, NULL) == 0 && real_ns() / SEC - 1700000000 < 5);
    FAILS(clock_settime(CLOCK_MONOTONIC, &(struct timespec){0, 0}), EINVAL);
    all_ways(HOUR, 2 * (int64_t)HOUR, 50 * MS, 3000 * MS);
    all_ways(400 * MS, -300 * (int64_t)MS, 700 * MS, 5000 * MS);
    relative((int64_t)HOUR);
    relative(-(int64_t)HOUR);
    cancelled();
    return tap_done();
}
