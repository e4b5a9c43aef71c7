// unit: kernel/fs/iov.c kernel/sched/wait.c kernel/lib/printf.c
/* Proves poll and select on files that are ready when the test says so, and timer and signal
 * descriptors against a clock and signals that move when told. */
#include "ipc_fakes.h"

#include "fs/poll.c"
#include "fs/signalfd.c"
#include "fs/timerfd.c"

static uint32_t ready[FAKE_FDS];

struct fake {
    struct file file;
    int fd;
};

static uint32_t fake_poll(struct file *f)
{
    return ready[container_of(f, struct fake, file)->fd];
}

static void fake_release(struct file *f)
{
    kfree(container_of(f, struct fake, file));
}

static const struct file_ops fake_ops = {
    .name = "fake", .poll = fake_poll, .release = fake_release};

/* The one timer there can be. */
static struct timer *armed;

int timer_set(struct timer *t, uint64_t deadline)
{
    t->deadline = deadline;
    t->slot = 1;
    armed = t;
    return 0;
}

void timer_cancel(struct timer *t)
{
    t->slot = 0;
    armed = NULL;
}

static void pass(uint64_t ns)
{
    fake_now += ns;
    while (armed && armed->deadline <= fake_now) {
        struct timer *t = armed;
        timer_cancel(t);
        t->fn(t);
    }
}

static uint64_t pending_signals;
static siginfo_t pending_info;

int signal_dequeue(uint64_t set, siginfo_t *info)
{
    if (!(pending_signals & set))
        return 0;
    int sig = __builtin_ctzll(pending_signals & set) + 1;
    pending_signals &= ~SIGMASK(sig);
    *info = pending_info;
    info->si_signo = sig;
    return sig;
}

uint64_t signal_pending_set(void)
{
    return pending_signals;
}

#define FILES 200

static int open_files(void **state)
{
    memset(ready, 0, sizeof(ready));
    for (int i = 0; i < FILES; i++) {
        struct fake *k = kzalloc(sizeof(*k));
        file_init(&k->file, &fake_ops, O_RDWR, 0);
        k->fd = fd_install(&k->file, 0, 0);
    }
    return 0;
}

static int close_files(void **state)
{
    for (int fd = 0; fd < FAKE_FDS; fd++)
        fd_close(fd);
    assert_int_equal(fake_live(), 0);
    assert_true(list_empty(&timerfds));
    return 0;
}

static void poll_reports_what_is_asked(void **state)
{
    struct pollfd p[5] = {
        {.fd = 3, .events = POLLIN},
        {.fd = 4, .events = POLLOUT | POLLWRNORM},
        {.fd = -7, .events = POLLIN, .revents = 99},
        {.fd = 1900, .events = POLLIN},
        {.fd = 5, .events = 0},
    };
    ready[3] = EPOLLOUT;
    ready[4] = EPOLLOUT;
    ready[5] = EPOLLHUP | EPOLLIN;
    assert_int_equal(sys_poll(p, 5, -1), 3);
    assert_int_equal(p[0].revents, 0);
    assert_int_equal(p[1].revents, POLLOUT | POLLWRNORM);
    assert_int_equal(p[2].revents, 0);
    assert_int_equal(p[3].revents, POLLNVAL);
    assert_int_equal(p[4].revents, POLLHUP);
    assert_int_equal(sys_poll(p, FAKE_FDS + 1, 0), -EINVAL);
}

static void becomes_ready(void)
{
    ready[150] = EPOLLIN;
    waitq_wake(&fd_peek(150)->waitq, EPOLLIN);
}

static void a_signal_comes(void)
{
    fake_thread.signal_pending = true;
}

static void poll_sleeps_on_many_files(void **state)
{
    static struct pollfd p[FILES];
    for (int i = 0; i < FILES; i++)
        p[i] = (struct pollfd){.fd = i, .events = POLLIN};
    on_block = becomes_ready;
    assert_int_equal(sys_poll(p, FILES, -1), 1);
    assert_int_equal(p[150].revents, POLLIN);
    for (int i = 0; i < FILES; i++)
        assert_true(list_empty(&fd_peek(i)->waitq.waiters));
    ready[150] = 0;
    uint64_t before = fake_now;
    assert_int_equal(sys_poll(p, FILES, 20), 0);
    assert_int_equal(fake_now - before, 20 * NSEC_PER_MSEC);
    on_block = a_signal_comes;
    struct __kernel_timespec ts = {3, 500};
    uint64_t mask = 1;
    fake_sigmask = 2;
    assert_int_equal(sys_ppoll(p, FILES, &ts, &mask, 8), -EINTR);
    assert_int_equal(fake_mask_later, 2);
    assert_int_equal(ts.tv_sec, 3);
    fake_thread.signal_pending = false;
    for (int i = 0; i < FILES; i++)
        assert_int_equal(fd_peek(i)->refs, 1);
}

static void set(uint64_t *s, int fd)
{
    s[fd / 64] |= 1ull << fd % 64;
}

static void select_counts_bits(void **state)
{
    uint64_t in[16] = {0}, out[16] = {0}, ex[16] = {0};
    ready[3] = EPOLLIN | EPOLLOUT;
    ready[70] = EPOLLPRI;
    set(in, 3), set(out, 3), set(in, 70), set(ex, 70), set(in, 120);
    assert_int_equal(sys_select(121, in, out, ex, NULL), 3);
    assert_int_equal(in[0], 8);
    assert_int_equal(out[0], 8);
    assert_int_equal(in[1], 0);
    assert_int_equal(ex[1], 1ull << 6);
    /* Bits at n and above are not looked at. */
    memset(in, 0, sizeof(in));
    set(in, 3), set(in, 150);
    struct __kernel_old_timeval tv = {0, 0};
    ready[150] = EPOLLIN;
    assert_int_equal(sys_select(150, in, NULL, NULL, &tv), 1);
    memset(in, 0, sizeof(in));
    set(in, 900);
    assert_int_equal(sys_select(1000, in, NULL, NULL, &tv), -EBADF);
    assert_int_equal(sys_select(-1, in, NULL, NULL, &tv), -EINVAL);
    tv.tv_sec = -1;
    assert_int_equal(sys_select(0, NULL, NULL, NULL, &tv), -EINVAL);
}

static void select_sleeps(void **state)
{
    uint64_t in[16] = {0}, out[16] = {0};
    struct __kernel_old_timeval tv = {0, 1500000};
    uint64_t before = fake_now;
    /* A hang-up makes readable, not writable: nobody is told who only wants to write. */
    ready[9] = EPOLLHUP;
    set(out, 9);
    set(in, 150);
    assert_int_equal(sys_select(200, in, out, NULL, &tv), 0);
    assert_int_equal(fake_now - before, 1500 * NSEC_PER_MSEC);
    assert_int_equal(tv.tv_sec + tv.tv_usec, 0);
    assert_int_equal(in[150 / 64], 0);
    set(in, 150);
    on_block = becomes_ready;
    struct __kernel_timespec ts = {10, 0};
    assert_int_equal(sys_pselect6(200, in, NULL, NULL, &ts, NULL), 1);
    assert_int_equal(ts.tv_sec, 10);
}

static long settime(int fd, int flags, uint64_t value, uint64_t interval)
{
    struct __kernel_itimerspec its = {ns_to_timespec(interval), ns_to_timespec(value)};
    return sys_timerfd_settime(fd, flags, &its, NULL);
}

static void timerfds_count_periods(void **state)
{
    int fd = (int)sys_timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct file *f = fd_peek(fd);
    struct __kernel_itimerspec its;
    uint64_t n;
    assert_int_equal(file_in(f, &n, 8), -EAGAIN);
    assert_int_equal(settime(fd, 0, 1000, 100), 0);
    pass(999);
    assert_int_equal(file_poll(f), 0);
    assert_int_equal(sys_timerfd_gettime(fd, &its), 0);
    assert_int_equal(its.it_value.tv_nsec, 1);
    pass(1);
    assert_int_equal(file_poll(f), EPOLLIN);
    pass(350);
    assert_null(armed); /* nobody reads: nothing ticks */
    assert_int_equal(file_in(f, &n, 8), 8);
    assert_int_equal(n, 4);
    assert_int_equal(file_in(f, &n, 8), -EAGAIN);
    pass(49);
    assert_int_equal(file_poll(f), 0);
    pass(1);
    assert_int_equal(file_in(f, &n, 8), 8);
    assert_int_equal(n, 1);
    assert_int_equal(settime(fd, 0, 0, 0), 0);
    assert_null(armed);
    assert_int_equal(settime(fd, 8, 1, 1), -EINVAL);
    assert_int_equal(sys_timerfd_create(CLOCK_THREAD_CPUTIME_ID, 0), -EINVAL);
    assert_int_equal(sys_timerfd_gettime(3, &its), -EINVAL);
    assert_int_equal(sys_timerfd_gettime(1999, &its), -EBADF);
}

static void timerfds_follow_the_wall_clock(void **state)
{
    int fd = (int)sys_timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK);
    struct file *f = fd_peek(fd);
    uint64_t n, at = clock_real_ns() + 1000;
    assert_int_equal(settime(fd, TFD_TIMER_ABSTIME, at, 0), 0);
    fake_real_offset -= 500;
    timerfd_clock_was_set();
    pass(1000);
    assert_int_equal(file_poll(f), 0);
    pass(500);
    assert_int_equal(file_in(f, &n, 8), 8);
    at = clock_real_ns() + 1000;
    assert_int_equal(settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, at, 0), 0);
    fake_real_offset += 10;
    timerfd_clock_was_set();
    assert_int_equal(file_poll(f), EPOLLIN);
    assert_int_equal(file_in(f, &n, 8), -ECANCELED);
    assert_int_equal(file_in(f, &n, 8), -EAGAIN);
}

static void signalfds_take_signals(void **state)
{
    uint64_t mask = SIGMASK(SIGUSR1) | SIGMASK(SIGKILL) | SIGMASK(SIGCHLD);
    int fd = (int)sys_signalfd4(-1, &mask, 8, SFD_NONBLOCK);
    struct file *f = fd_peek(fd);
    struct signalfd_siginfo out[2];
    assert_int_equal(file_in(f, out, sizeof(out)), -EAGAIN);
    assert_int_equal(file_in(f, out, 127), -EINVAL);
    pending_signals = SIGMASK(SIGUSR1) | SIGMASK(SIGUSR2);
    pending_info = (siginfo_t){0};
    pending_info.si_code = SI_QUEUE;
    pending_info.si_pid = 7;
    pending_info.si_int = 42;
    assert_int_equal(file_poll(f), EPOLLIN);
    assert_int_equal(file_in(f, out, sizeof(out)), sizeof(out[0]));
    assert_int_equal(out[0].ssi_signo, SIGUSR1);
    assert_int_equal(out[0].ssi_pid, 7);
    assert_int_equal(out[0].ssi_int, 42);
    assert_int_equal(file_poll(f), 0);
    mask = SIGMASK(SIGUSR2);
    assert_int_equal(sys_signalfd4(fd, &mask, 8, 0), fd);
    assert_int_equal(file_poll(f), EPOLLIN);
    assert_int_equal(sys_signalfd4(3, &mask, 8, 0), -EINVAL);
    assert_int_equal(sys_signalfd4(-1, &mask, 4, 0), -EINVAL);
    pending_signals = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, open_files, close_files)
        T(poll_reports_what_is_asked), T(poll_sleeps_on_many_files),
        T(select_counts_bits),         T(select_sleeps),
        T(timerfds_count_periods),     T(timerfds_follow_the_wall_clock),
        T(signalfds_take_signals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
