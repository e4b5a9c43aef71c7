// unit: kernel/fs/iov.c kernel/sched/wait.c kernel/lib/printf.c
/* Proves epoll's triggers, order, exclusivity, nesting and the end of what is watched, on files
 * that are ready when the test says so; and eventfd, as a real file to watch. */
#define FAKE_HAS_EPOLL
#include "ipc_fakes.h"

#include "fs/epoll.c"
#include "fs/eventfd.c"

struct fake {
    struct file file;
    uint32_t ready;
    unsigned polls;
};

static uint32_t fake_poll(struct file *f)
{
    struct fake *k = container_of(f, struct fake, file);
    k->polls++;
    return k->ready;
}

static void fake_release(struct file *f)
{
    kfree(container_of(f, struct fake, file));
}

static const struct file_ops fake_ops = {
    .name = "fake", .poll = fake_poll, .release = fake_release};
static const struct file_ops regular_ops = {.name = "regular", .release = fake_release};

static struct fake *fake_open(int *fd, const struct file_ops *ops)
{
    struct fake *k = kzalloc(sizeof(*k));
    file_init(&k->file, ops, O_RDWR, 0);
    *fd = fd_install(&k->file, 10, 0);
    return k;
}

static void happen(struct fake *k, uint32_t events)
{
    k->ready |= events;
    waitq_wake(&k->file.waitq, events);
}

static int ep, fa, fb;
static struct fake *a, *b;

static int open_all(void **state)
{
    ep = (int)sys_epoll_create1(0);
    a = fake_open(&fa, &fake_ops);
    b = fake_open(&fb, &fake_ops);
    return 0;
}

static int close_all(void **state)
{
    for (int fd = 0; fd < FAKE_FDS; fd++)
        fd_close(fd);
    assert_int_equal(fake_live(), 0);
    assert_int_equal(epoll_stats.watches, 0);
    return 0;
}

static long ctl(int epfd, int op, int fd, uint32_t events)
{
    struct epoll_event e = {events, (uint64_t)fd * 1000};
    return sys_epoll_ctl(epfd, op, fd, &e);
}

static struct epoll_event ev[100];

static long wait_now(int max)
{
    return sys_epoll_wait(ep, ev, max, 0);
}

static void level_triggered_repeats_while_ready(void **state)
{
    assert_int_equal(ctl(ep, EPOLL_CTL_ADD, fa, EPOLLIN), 0);
    assert_int_equal(wait_now(10), 0);
    happen(a, EPOLLIN | EPOLLOUT);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(wait_now(10), 1);
        assert_int_equal(ev[0].events, EPOLLIN);
        assert_int_equal(ev[0].data, (uint64_t)fa * 1000);
    }
    a->ready = 0;
    assert_int_equal(wait_now(10), 0);
    /* Not ready and not on the list: not even asked. */
    a->polls = 0;
    assert_int_equal(wait_now(10), 0);
    assert_int_equal(a->polls, 0);
}

static void edge_triggered_reports_each_wake_once(void **state)
{
    a->ready = EPOLLOUT;
    assert_int_equal(ctl(ep, EPOLL_CTL_ADD, fa, EPOLLIN | EPOLLOUT | EPOLLET), 0);
    assert_int_equal(wait_now(10), 1);
    assert_int_equal(wait_now(10), 0);
    happen(a, EPOLLIN);
    assert_int_equal(wait_now(10), 1);
    assert_int_equal(ev[0].events, EPOLLIN | EPOLLOUT);
    assert_int_equal(wait_now(10), 0);
    waitq_wake(&a->file.waitq, EPOLLPRI); /* not asked for */
    assert_int_equal(wait_now(10), 0);
    /* MOD arms an edge anew if it is ready. */
    assert_int_equal(ctl(ep, EPOLL_CTL_MOD, fa, EPOLLIN | EPOLLET), 0);
    assert_int_equal(wait_now(10), 1);
}

static void oneshot_is_silent_until_modified(void **state)
{
    assert_int_equal(ctl(ep, EPOLL_CTL_ADD, fa, EPOLLIN | EPOLLONESHOT), 0);
    happen(a, EPOLLIN);
    assert_int_equal(wait_now(10), 1);
    happen(a, EPOLLIN | EPOLLHUP);
    assert_int_equal(wait_now(10), 0);
    assert_int_equal(ctl(ep, EPOLL_CTL_MOD, fa, EPOLLIN | EPOLLONESHOT), 0);
    assert_int_equal(wait_now(10), 1);
    assert_int_equal(ev[0].events, EPOLLIN | EPOLLHUP);
}

static void errors_are_always_reported(void **state)
{
    assert_int_equal(ctl(ep, EPOLL_CTL_ADD, fa, 0), 0);
    happen(a, EPOLLIN | EPOLLERR | EPOLLRDHUP);
    assert_int_equal(wait_now(10), 1);
    assert_int_equal(ev[0].events, EPOLLERR);
}

static void aliases_of_readable_are_understood(void **state)
{
    assert_int_equal(ctl(ep, EPOLL_CTL_ADD, fa, EPOLLRDNORM), 0);
    happen(a, EPOLLIN);
    assert_int_equal(wait_now(10), 1);
    assert_int_equal(ev[0].events, EPOLLRDNORM);
}

static void many_are_served_in_turn(void **state)
{
    int fds[90];
    unsigned seen[FAKE_FDS] = {0};
    for (int i = 0; i < 90; i++) {
        struct fake *k = fake_open(&fds[i], &fake_ops);
        assert_int_equal(ctl(ep, EPOLL_CTL_ADD, fds[i], EPOLLIN), 0);
        happen(k, EPOLLIN);
    }
    /* 9 rounds of 10 reach all of the 90, which stay ready. */
    for (int round = 0; round < 9; round++) {
        assert_int_equal(wait_now(10), 10);
        for (int i = 0; i < 10; i++)
            seen[ev[i].data / 1000]++;
    }
    for (int i = 0; i < 90; i++)
        assert_int_equal(seen[fds[i]], 1);
    /* More than one batch in a call, none twice. */
    memset(seen, 0, sizeof(seen));
    assert_int_equal(wait_now(100), 90);
    for (int i = 0; i < 90; i++)
        assert_int_equal(++seen[ev[i].data / 1000], 1);
}

static void a_failed_copy_loses_nothing(void **state)
{
    assert_int_equal(ctl(ep, EPOLL_CTL_ADD, fa, EPOLLIN | EPOLLET), 0);
    assert_int_equal(ctl(ep, EPOLL_CTL_ADD, fb, EPOLLIN | EPOLLONESHOT), 0);
    happen(a, EPOLLIN);
    happen(b, EPOLLIN);
    assert_int_equal(sys_epoll_wait(ep, (void *)16, 10, 0), -EFAULT);
    assert_int_equal(wait_now(10), 2);
    assert_int_equal(wait_now(10), 0);
}

static void ctl_errors_are_linuxs(void **state)
{
    int reg;
    fake_open(&reg, &regular_ops);
    assert_int_equal(ctl(ep, EPOLL_CTL_ADD, 999, EPOLLIN), -EBADF);
    assert_int_equal(ctl(999, EPOLL_CTL_ADD, fa, EPOLLIN), -EBADF);
    assert_int_equal(ctl(ep, EPOLL_CTL_ADD, reg, EPOLLIN), -EPERM);
    assert_int_equal(ctl(ep, EPOLL_CTL_ADD, ep, EPOLLIN), -EINVAL);
    assert_int_equal(ctl(fb, EPOLL_CTL_ADD, fa, EPOLLIN), -EINVAL);
    assert_int_equal(ctl(ep, EPOLL_CTL_MOD, fa, EPOLLIN), -ENOENT);
    assert_int_equal(ctl(ep, EPOLL_CTL_DEL, fa, 0), -ENOENT);
    assert_int_equal(ctl(ep, EPOLL_CTL_ADD, fa, EPOLLIN), 0);
    assert_int_equal(ctl(ep, EPOLL_CTL_ADD, fa, EPOLLIN), -EEXIST);
    assert_int_equal(ctl(ep, 7, fa, EPOLLIN), -EINVAL);
    assert_int_equal(ctl(ep, EPOLL_CTL_MOD, fa, EPOLLIN | EPOLLEXCLUSIVE), -EINVAL);
    assert_int_equal(ctl(ep, EPOLL_CTL_ADD, fb, EPOLLPRI | EPOLLEXCLUSIVE), -EINVAL);
    assert_int_equal(sys_epoll_ctl(ep, EPOLL_CTL_DEL, fa, NULL), 0);
    assert_int_equal(sys_epoll_wait(ep, ev, 0, 0), -EINVAL);
    assert_int_equal(sys_epoll_wait(fa, ev, 1, 0), -EINVAL);
    assert_int_equal(sys_epoll_wait(999, ev, 1, 0), -EBADF);
    assert_int_equal(sys_epoll_create(0), -EINVAL);
    assert_int_equal(sys_epoll_create1(1), -EINVAL);
}

static void items_die_with_their_file(void **state)
{
    int dup = fd_install(&a->file, 500, 0);
    file_get(&a->file);
    assert_int_equal(ctl(ep, EPOLL_CTL_ADD, fa, EPOLLIN), 0);
    assert_int_equal(ctl(ep, EPOLL_CTL_ADD, dup, EPOLLIN), 0);
    happen(a, EPOLLIN);
    fd_close(fa);
    /* The file lives on through its duplicate, and so do both items. */
    assert_int_equal(wait_now(10), 2);
    fd_close(dup);
    assert_int_equal(epoll_stats.watches, 0);
    assert_int_equal(wait_now(10), 0);
    assert_int_equal(ctl(ep, EPOLL_CTL_ADD, fb, EPOLLIN), 0);
    fd_close(ep);
    happen(b, EPOLLIN);
}

static void nested_epolls_pass_readiness_on(void **state)
{
    int outer = (int)sys_epoll_create1(0);
    assert_int_equal(ctl(outer, EPOLL_CTL_ADD, ep, EPOLLIN), 0);
    assert_int_equal(ctl(ep, EPOLL_CTL_ADD, fa, EPOLLIN), 0);
    assert_int_equal(sys_epoll_wait(outer, ev, 10, 0), 0);
    happen(a, EPOLLIN);
    assert_int_equal(sys_epoll_wait(outer, ev, 10, 0), 1);
    assert_int_equal(ev[0].data, (uint64_t)ep * 1000);
    a->ready = 0;
    assert_int_equal(sys_epoll_wait(outer, ev, 10, 0), 0);
    assert_int_equal(ctl(ep, EPOLL_CTL_ADD, outer, EPOLLIN), -ELOOP);
}

static void nesting_is_bounded(void **state)
{
    int fds[6];
    for (int i = 0; i < 6; i++)
        fds[i] = (int)sys_epoll_create1(0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(ctl(fds[i], EPOLL_CTL_ADD, fds[i + 1], EPOLLIN), 0);
    assert_int_equal(ctl(fds[4], EPOLL_CTL_ADD, fds[5], EPOLLIN), -ELOOP);
    assert_int_equal(ctl(fds[5], EPOLL_CTL_ADD, fds[0], EPOLLIN), -ELOOP);
    assert_int_equal(ctl(fds[5], EPOLL_CTL_ADD, fds[1], EPOLLIN), 0);
    assert_int_equal(ctl(fds[4], EPOLL_CTL_ADD, fds[5], EPOLLIN), -ELOOP);
    assert_int_equal(ctl(fds[4], EPOLL_CTL_ADD, fa, EPOLLIN), 0);
    happen(a, EPOLLIN);
    assert_int_equal(sys_epoll_wait(fds[0], ev, 10, 0), 1);
    assert_int_equal(sys_epoll_wait(fds[5], ev, 10, 0), 1);
}

static void a_ready(void)
{
    happen(a, EPOLLIN);
}

static void a_signal_comes(void)
{
    fake_thread.signal_pending = true;
}

static void waiting_ends_by_event_time_or_signal(void **state)
{
    assert_int_equal(ctl(ep, EPOLL_CTL_ADD, fa, EPOLLIN | EPOLLET), 0);
    on_block = a_ready;
    assert_int_equal(sys_epoll_wait(ep, ev, 10, -1), 1);
    uint64_t before = fake_now;
    assert_int_equal(sys_epoll_wait(ep, ev, 10, 5), 0);
    assert_int_equal(fake_now, before + 5 * NSEC_PER_MSEC);
    on_block = a_signal_comes;
    assert_int_equal(sys_epoll_wait(ep, ev, 10, -1), -EINTR);
    /* What is ready is delivered all the same. */
    happen(a, EPOLLIN);
    assert_int_equal(sys_epoll_wait(ep, ev, 10, -1), 1);
    uint64_t mask = 0x55;
    fake_sigmask = 0x11;
    assert_int_equal(sys_epoll_pwait(ep, ev, 10, -1, &mask, 8), -EINTR);
    assert_int_equal(fake_mask_later, 0x11);
    fake_thread.signal_pending = false;
    assert_int_equal(sys_epoll_pwait(ep, ev, 10, 0, &mask, 4), -EINVAL);
    struct __kernel_timespec ts = {0, 1000};
    assert_int_equal(sys_epoll_pwait2(ep, ev, 10, &ts, NULL, 0), 0);
    ts.tv_nsec = -1;
    assert_int_equal(sys_epoll_pwait2(ep, ev, 10, &ts, NULL, 0), -EINVAL);
}

static void exclusive_watchers_share_the_wakes(void **state)
{
    /* Two epolls, nobody asleep in either: both get the event, none may lose it. */
    int ep2 = (int)sys_epoll_create1(0);
    assert_int_equal(ctl(ep, EPOLL_CTL_ADD, fa, EPOLLIN | EPOLLEXCLUSIVE), 0);
    assert_int_equal(ctl(ep2, EPOLL_CTL_ADD, fa, EPOLLIN | EPOLLEXCLUSIVE), 0);
    happen(a, EPOLLIN);
    assert_int_equal(wait_now(10), 1);
    assert_int_equal(sys_epoll_wait(ep2, ev, 10, 0), 1);
    a->ready = 0;
    assert_int_equal(wait_now(10), 0);
    assert_int_equal(sys_epoll_wait(ep2, ev, 10, 0), 0);
    /* Somebody asleep in the first: the second is left alone. */
    on_block = a_ready;
    assert_int_equal(sys_epoll_wait(ep, ev, 10, -1), 1);
    assert_true(list_empty(&epoll_of(fd_peek(ep2))->ready));
}

static void tables_grow_with_many_items(void **state)
{
    int fds[1000];
    for (int i = 0; i < 1000; i++) {
        fake_open(&fds[i], &fake_ops);
        assert_int_equal(ctl(ep, EPOLL_CTL_ADD, fds[i], EPOLLIN), 0);
    }
    assert_int_equal(epoll_of(fd_peek(ep))->mask, 1023);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(ctl(ep, EPOLL_CTL_MOD, fds[i], EPOLLOUT), 0);
    for (int i = 0; i < 1000; i += 2)
        assert_int_equal(ctl(ep, EPOLL_CTL_DEL, fds[i], 0), 0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(ctl(ep, EPOLL_CTL_DEL, fds[i], 0), i % 2 ? 0 : -ENOENT);
}

static void eventfds_count(void **state)
{
    int fd = (int)sys_eventfd2(3, EFD_NONBLOCK),
        sem = (int)sys_eventfd2(2, EFD_SEMAPHORE | EFD_NONBLOCK);
    struct file *f = fd_peek(fd), *s = fd_peek(sem);
    uint64_t v = 0;
    assert_int_equal(ctl(ep, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLET), 0);
    assert_int_equal(wait_now(10), 1);
    assert_int_equal(file_in(f, &v, 8), 8);
    assert_int_equal(v, 3);
    assert_int_equal(file_in(f, &v, 8), -EAGAIN);
    assert_int_equal(file_in(f, &v, 4), -EINVAL);
    v = 5;
    assert_int_equal(file_out(f, &v, 8), 8);
    assert_int_equal(wait_now(10), 1);
    v = UINT64_MAX;
    assert_int_equal(file_out(f, &v, 8), -EINVAL);
    v = UINT64_MAX - 5;
    assert_int_equal(file_out(f, &v, 8), -EAGAIN);
    v = UINT64_MAX - 6;
    assert_int_equal(file_out(f, &v, 8), 8);
    assert_int_equal(file_poll(f), EPOLLIN);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(file_in(s, &v, 8), 8);
        assert_int_equal(v, 1);
    }
    assert_int_equal(file_in(s, &v, 8), -EAGAIN);
    assert_int_equal(sys_eventfd2(0, 2), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, open_all, close_all)
        T(level_triggered_repeats_while_ready),
        T(edge_triggered_reports_each_wake_once),
        T(oneshot_is_silent_until_modified),
        T(errors_are_always_reported),
        T(aliases_of_readable_are_understood),
        T(many_are_served_in_turn),
        T(a_failed_copy_loses_nothing),
        T(ctl_errors_are_linuxs),
        T(items_die_with_their_file),
        T(nested_epolls_pass_readiness_on),
        T(nesting_is_bounded),
        T(waiting_ends_by_event_time_or_signal),
        T(exclusive_watchers_share_the_wakes),
        T(tables_grow_with_many_items),
        T(eventfds_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
