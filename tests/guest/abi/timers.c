/* Clocks, sleeping, interval timers, POSIX timers, timerfd. */
#include "tap.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>

#define MS 1000000ull

static struct timespec in_ms(unsigned ms)
{
    return (struct timespec){ms / 1000, ms % 1000 * MS};
}

static uint64_t read_clock(clockid_t c)
{
    struct timespec t;
    MUST(clock_gettime(c, &t) == 0 && t.tv_nsec >= 0 && t.tv_nsec < 1000000000);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void clocks(void)
{
    static const clockid_t all[] = {
        CLOCK_REALTIME,          CLOCK_MONOTONIC,     CLOCK_PROCESS_CPUTIME_ID,
        CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE,
        CLOCK_MONOTONIC_COARSE,  CLOCK_BOOTTIME,      CLOCK_TAI};
    struct timespec res, t;
    struct timeval tv;
    bool good = true;

    for (unsigned i = 0; i < sizeof(all) / sizeof(*all); i++) {
        uint64_t last = read_clock(all[i]);
        for (int k = 0; k < 1000; k++) {
            uint64_t now = read_clock(all[i]);
            good = good && now >= last;
            last = now;
        }
        good = good && clock_getres(all[i], &res) == 0 && res.tv_sec == 0 && res.tv_nsec > 0;
    }
    OK(good);
    /* The library's way (vDSO) and the call agree. */
    uint64_t a = read_clock(CLOCK_MONOTONIC);
    MUST(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t) == 0);
    uint64_t b = t.tv_sec * 1000000000ull + t.tv_nsec, c = read_clock(CLOCK_MONOTONIC);
    OK(a <= b && b <= c);
    a = read_clock(CLOCK_REALTIME);
    MUST(gettimeofday(&tv, NULL) == 0);
    b = tv.tv_sec * 1000000000ull + tv.tv_usec * 1000;
    OK(b + 1000 >= a && b - a < 1000 * MS && time(NULL) - tv.tv_sec <= 1);
    OK(tv.tv_sec > 1600000000);
    FAILS(clock_gettime(77, &t), EINVAL);
    FAILS(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, (void *)8), EFAULT);
    /* CPU time passes while working, not while sleeping */
    a = read_clock(CLOCK_PROCESS_CPUTIME_ID), b = read_clock(CLOCK_THREAD_CPUTIME_ID);
    usleep(100000);
    OK(read_clock(CLOCK_PROCESS_CPUTIME_ID) - a < 50 * MS &&
       read_clock(CLOCK_THREAD_CPUTIME_ID) - b < 50 * MS);
    a = read_clock(CLOCK_THREAD_CPUTIME_ID);
    for (uint64_t end = now_ns() + 50 * MS; now_ns() < end;)
        ;
    OK(read_clock(CLOCK_THREAD_CPUTIME_ID) - a >= 5 * MS);
    struct rusage ru;
    struct tms tms;
    OK(getrusage(RUSAGE_SELF, &ru) == 0 &&
       ru.ru_utime.tv_sec * 1000000 + ru.ru_utime.tv_usec > 5000);
    OK(times(&tms) != (clock_t)-1 && clock() != (clock_t)-1);
    clockid_t cpu;
    OK(clock_getcpuclockid(0, &cpu) == 0 && read_clock(cpu) > 0);
    OK(pthread_getcpuclockid(pthread_self(), &cpu) == 0 && read_clock(cpu) > 0);
}

static void sleeping(void)
{
    struct timespec t = in_ms(20), at;
    uint64_t start = now_ns();

    OK(nanosleep(&t, NULL) == 0 && now_ns() - start >= 20 * MS && now_ns() - start < 2000 * MS);
    t.tv_nsec = -1;
    FAILS(nanosleep(&t, NULL), EINVAL);
    t.tv_nsec = 1000000000;
    FAILS(nanosleep(&t, NULL), EINVAL);
    FAILS(syscall(SYS_nanosleep, (void *)8, NULL), EFAULT);
    clock_gettime(CLOCK_MONOTONIC, &at);
    OK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == 0); /* passed */
    for (int i = 0; i < 2; i++) {
        clockid_t c = i ? CLOCK_REALTIME : CLOCK_MONOTONIC;
        uint64_t now = read_clock(c) + 20 * MS;
        at.tv_sec = now / 1000000000, at.tv_nsec = now % 1000000000;
        OK(clock_nanosleep(c, TIMER_ABSTIME, &at, NULL) == 0 && read_clock(c) >= now);
    }
    OK(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &at, NULL) == EINVAL);
    OK(clock_nanosleep(77, 0, &at, NULL) == EINVAL);
    start = now_ns();
    OK(poll(NULL, 0, 20) == 0 && now_ns() - start >= 20 * MS - 1 * MS);
    start = now_ns();
    OK(usleep(1) == 0 && now_ns() - start < 1000 * MS);
}

static volatile int fired, value, overruns, sigcode;
static timer_t timer;
static void on_signal(int sig, siginfo_t *info, void *uc)
{
    (void)sig, (void)uc;
    fired++;
    value = info->si_value.sival_int;
    sigcode = info->si_code;
    overruns += sig == SIGRTMIN ? info->si_overrun : 0;
}

static void intervals(void)
{
    struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    struct itimerval it = {{0, 10000}, {0, 10000}}, now;

    sigaction(SIGALRM, &sa, NULL), sigaction(SIGVTALRM, &sa, NULL), sigaction(SIGPROF, &sa, NULL);
    OK(setitimer(ITIMER_REAL, &it, NULL) == 0 && getitimer(ITIMER_REAL, &now) == 0 &&
       now.it_interval.tv_usec == 10000 && now.it_value.tv_usec <= 10000);
    while (fired < 5)
        pause();
    it.it_interval.tv_usec = it.it_value.tv_usec = 0;
    OK(setitimer(ITIMER_REAL, &it, &now) == 0 && now.it_interval.tv_usec == 10000);
    fired = 0;
    usleep(30000);
    OK(fired == 0 && getitimer(ITIMER_REAL, &now) == 0 && now.it_value.tv_usec == 0);
    OK(alarm(100) == 0 && alarm(0) == 100);
    for (int i = 0; i < 2; i++) {
        it.it_value.tv_usec = 20000;
        fired = 0;
        setitimer(i ? ITIMER_PROF : ITIMER_VIRTUAL, &it, NULL);
        usleep(40000);
        OK(fired == 0); /* no CPU time was used */
        for (uint64_t end = now_ns() + 3000 * MS; !fired && now_ns() < end;)
            ;
        OK(fired == 1);
    }
    it.it_value.tv_usec = 1000000;
    FAILS(setitimer(ITIMER_REAL, &it, NULL), EINVAL);
    FAILS(setitimer(77, &now, NULL), EINVAL);
}

static volatile int notified;
static void notify(union sigval v)
{
    notified = v.sival_int;
}

static void posix_timers(void)
{
    struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    struct itimerspec its = {{0, 5 * MS}, {0, 5 * MS}}, now;
    sigset_t s, old;

    ev.sigev_value.sival_int = 42;
    sigaction(SIGRTMIN, &sa, NULL);
    OK(timer_create(CLOCK_MONOTONIC, &ev, &timer) == 0);
    OK(timer_gettime(timer, &now) == 0 && now.it_value.tv_nsec == 0 && now.it_value.tv_sec == 0);
    fired = overruns = 0;
    OK(timer_settime(timer, 0, &its, NULL) == 0);
    while (fired < 4)
        pause();
    OK(value == 42 && sigcode == SI_TIMER);
    OK(timer_gettime(timer, &now) == 0 && now.it_interval.tv_nsec == 5 * MS &&
       (uint64_t)now.it_value.tv_nsec <= 5 * MS);
    /* While it is blocked one signal is queued, and what it missed is counted. */
    sigemptyset(&s);
    sigaddset(&s, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &s, &old);
    usleep(10000);
    siginfo_t info;
    struct timespec zero = {0, 0};
    while (sigtimedwait(&s, &info, &zero) > 0)
        ;
    usleep(52000);
    OK(sigtimedwait(&s, &info, &zero) == SIGRTMIN && info.si_code == SI_TIMER &&
       info.si_value.sival_int == 42 && info.si_overrun >= 8);
    OK(timer_getoverrun(timer) >= 8);
    OK(sigtimedwait(&s, &info, &zero) == -1 || info.si_overrun <= 1);
    memset(&its, 0, sizeof(its));
    OK(timer_settime(timer, 0, &its, &now) == 0 && now.it_interval.tv_nsec == 5 * MS);
    while (sigtimedwait(&s, &info, &zero) > 0)
        ;
    sigprocmask(SIG_SETMASK, &old, NULL);
    /* an absolute time */
    uint64_t at = read_clock(CLOCK_MONOTONIC) + 20 * MS;
    its.it_value.tv_sec = at / 1000000000, its.it_value.tv_nsec = at % 1000000000;
    fired = 0;
    OK(timer_settime(timer, TIMER_ABSTIME, &its, NULL) == 0);
    while (!fired)
        pause();
    OK(now_ns() >= at && now_ns() - at < 1000 * MS);
    OK(timer_delete(timer) == 0);
    FAILS(timer_gettime((timer_t)99, &now), EINVAL);
    ev.sigev_signo = 99;
    FAILS(timer_create(CLOCK_MONOTONIC, &ev, &timer), EINVAL);
    FAILS(timer_create(77, NULL, &timer), EINVAL);
    /* SIGEV_THREAD: the C library's thread gets it */
    struct sigevent tev = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = notify};
    tev.sigev_value.sival_int = 17;
    OK(timer_create(CLOCK_REALTIME, &tev, &timer) == 0);
    its = (struct itimerspec){{0, 0}, {0, 5 * MS}};
    timer_settime(timer, 0, &its, NULL);
    for (int i = 0; i < 200 && !notified; i++)
        usleep(10000);
    OK(notified == 17 && timer_delete(timer) == 0);
    /* CPU time */
    ev.sigev_signo = SIGRTMIN;
    OK(timer_create(CLOCK_THREAD_CPUTIME_ID, &ev, &timer) == 0);
    its = (struct itimerspec){{0, 0}, {0, 20 * MS}};
    fired = 0;
    timer_settime(timer, 0, &its, NULL);
    for (uint64_t end = now_ns() + 3000 * MS; !fired && now_ns() < end;)
        ;
    OK(fired == 1 && timer_delete(timer) == 0);
}

static void descriptors(void)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct itimerspec its = {{0, 10 * MS}, {0, 10 * MS}}, now;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    uint64_t n = 0;

    OK(fd >= 0);
    FAILS(read(fd, &n, 8), EAGAIN);
    OK(timerfd_settime(fd, 0, &its, NULL) == 0);
    OK(poll(&p, 1, 1000) == 1 && read(fd, &n, 8) == 8 && n >= 1);
    usleep(55000);
    OK(read(fd, &n, 8) == 8 && n >= 5);
    FAILS(read(fd, &n, 4), EINVAL);
    OK(timerfd_gettime(fd, &now) == 0 && now.it_interval.tv_nsec == 10 * MS);
    close(fd);
    fd = timerfd_create(CLOCK_REALTIME, 0);
    uint64_t at = read_clock(CLOCK_REALTIME) + 20 * MS;
    its = (struct itimerspec){{0, 0}, {at / 1000000000, at % 1000000000}};
    OK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &its, NULL) == 0);
    OK(read(fd, &n, 8) == 8 && n == 1 && read_clock(CLOCK_REALTIME) >= at);
    close(fd);
    FAILS(timerfd_create(77, 0), EINVAL);
}

/* Many sleepers wake in the order of their times. */
static volatile int awake;
static int woke[32];
static void *sleeper(void *arg)
{
    long i = (long)arg;
    struct timespec t = in_ms(20 + (unsigned)(i * 7 % 32) * 15);
    nanosleep(&t, NULL);
    woke[__atomic_fetch_add(&awake, 1, __ATOMIC_SEQ_CST)] = (int)(i * 7 % 32);
    return NULL;
}

static void order(void)
{
    pthread_t t[32];
    int inversions = 0;

    for (long i = 0; i < 32; i++)
        pthread_create(&t[i], NULL, sleeper, (void *)i);
    for (int i = 0; i < 32; i++)
        pthread_join(t[i], NULL);
    for (int i = 1; i < 32; i++)
        inversions += woke[i] < woke[i - 1];
    OK(awake == 32 && inversions <= 6);
}

int main(void)
{
    clocks();
    sleeping();
    intervals();
    posix_timers();
    descriptors();
    order();
    return tap_done();
}
