// unit: kernel/linux/timespec.h
/* Applications' times to nanoseconds and back: ranges, saturation, clocks, deadlines. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "linux/timespec.c"

#define DIRECT_BASE_REAL 0xffff800000000000ul

struct thread *current_thread;
struct list thread_list = LIST_INIT(thread_list);
static uint64_t mono = 1000 * NSEC_PER_SEC, real = 1700000000 * NSEC_PER_SEC;
static bool user_fault;

size_t user_copy(void *dst, const void *src, size_t n)
{
    if (!user_fault)
        memcpy(dst, src, n);
    return user_fault ? n : 0;
}
uint64_t clock_mono_ns(void)
{
    return mono;
}
uint64_t clock_real_ns(void)
{
    return real;
}
uint64_t thread_cpu_ns(const struct thread *t)
{
    return 5 * NSEC_PER_SEC;
}
struct thread *thread_find(int tid)
{
    return tid == 7 ? current_thread : NULL;
}
void tsc_set_real(uint64_t ns)
{
    real = ns;
}
void timerfd_clock_was_set(void)
{
}
void posix_timers_clock_was_set(void)
{
}

static uint64_t blocked_until; /* what thread_block() was asked for */
static unsigned wakes;
static uint64_t set_meanwhile; /* CLOCK_REALTIME is set to this while the thread sleeps */
bool thread_block(uint64_t deadline)
{
    blocked_until = deadline;
    if (set_meanwhile)
        clock_set_real(set_meanwhile);
    return set_meanwhile != 0;
}
void thread_wake(struct thread *t)
{
    assert_ptr_equal(t, current_thread);
    wakes++;
}

static int get(int64_t sec, int64_t nsec, uint64_t *ns)
{
    struct __kernel_timespec ts = {sec, nsec};
    return timespec_get(&ts, ns);
}

static void ranges(void **state)
{
    struct __kernel_old_timeval tv = {3, 999999};
    struct __kernel_timespec ts;
    uint64_t ns;

    assert_int_equal(get(0, 0, &ns), 0);
    assert_int_equal(ns, 0);
    assert_int_equal(get(2, 999999999, &ns), 0);
    assert_int_equal(ns, 2999999999ull);
    assert_int_equal(get(-1, 0, &ns), -EINVAL);
    assert_int_equal(get(0, -1, &ns), -EINVAL);
    assert_int_equal(get(0, 1000000000, &ns), -EINVAL);
    assert_int_equal(get(INT64_MAX, 999999999, &ns), 0);
    assert_true(ns == NS_MAX);
    for (int64_t sec = NS_MAX / NSEC_PER_SEC - 2; sec < (int64_t)(NS_MAX / NSEC_PER_SEC) + 3;
         sec++) {
        assert_int_equal(get(sec, 999999999, &ns), 0);
        assert_true(ns <= NS_MAX);
        assert_true(ns == NS_MAX || ns == (uint64_t)sec * NSEC_PER_SEC + 999999999);
    }
    assert_true(deadline_after(NS_MAX) == WAIT_FOREVER);
    assert_int_equal(deadline_after(5), mono + 5);
    assert_int_equal(timeval_get(&tv, &ns), 0);
    assert_int_equal(ns, 3999999000ull);
    tv.tv_usec = 1000000;
    assert_int_equal(timeval_get(&tv, &ns), -EINVAL);
    assert_int_equal(timespec_put(&ts, 1234567890123ull), 0);
    assert_true(ts.tv_sec == 1234 && ts.tv_nsec == 567890123);
    assert_int_equal(timeval_put(&tv, 1234567890123ull), 0);
    assert_true(tv.tv_sec == 1234 && tv.tv_usec == 567890);
    user_fault = true;
    assert_int_equal(get(0, 0, &ns), -EFAULT);
    assert_int_equal(timespec_put(&ts, 1), -EFAULT);
    user_fault = false;
    assert_int_equal(timespec_get((void *)DIRECT_BASE_REAL, &ns), -EFAULT);
}

static void clocks(void **state)
{
    static struct thread t;
    uint64_t ns, deadline;

    current_thread = &t;
    list_init(&t.all_link);
    list_push_back(&thread_list, &t.all_link);
    assert_int_equal(clock_read(CLOCK_REALTIME, &ns), 0);
    assert_int_equal(ns, real);
    assert_int_equal(clock_read(CLOCK_BOOTTIME, &ns), 0);
    assert_int_equal(ns, mono);
    assert_int_equal(clock_read(77, &ns), -EINVAL);
    assert_int_equal(clock_read(CLOCK_PROCESS_CPUTIME_ID, &ns), 0);
    assert_int_equal(ns, 5 * NSEC_PER_SEC);
    /* ~id << 3 | kind, as clock_getcpuclockid and pthread_getcpuclockid make them */
    assert_int_equal(clock_read((int)(~0u << 3 | 2), &ns), 0);
    assert_int_equal(clock_read((int)(~7u << 3 | 4 | 2), &ns), 0);
    assert_int_equal(clock_read((int)(~8u << 3 | 4 | 2), &ns), -EINVAL);
    assert_int_equal(clock_read((int)(~99u << 3 | 2), &ns), -EINVAL);
    assert_int_equal(clock_read((int)(~0u << 3 | 3), &ns), -EINVAL);
    assert_int_equal(deadline_on_clock(CLOCK_REALTIME, real + 10, &deadline), 0);
    assert_int_equal(deadline, mono + 10);
    assert_int_equal(deadline_on_clock(CLOCK_REALTIME, 5, &deadline), 0);
    assert_int_equal(deadline, mono); /* long ago: now */
    assert_int_equal(deadline_on_clock(CLOCK_MONOTONIC, NS_MAX, &deadline), 0);
    assert_true(deadline == WAIT_FOREVER);
    assert_int_equal(deadline_on_clock(77, 5, &deadline), -EINVAL);
    assert_int_equal(clock_set_real(99), 0);
    assert_int_equal(clock_real_ns(), 99);
    list_remove(&t.all_link);
}

/* Waits for a time of CLOCK_REALTIME look again when it is set, others do not. */
static void waits(void **state)
{
    real = 1700000000 * NSEC_PER_SEC;
    assert_false(clock_block((struct clock_deadline){mono + 7, false}));
    assert_int_equal(blocked_until, mono + 7);
    assert_false(clock_block(CLOCK_FOREVER));
    assert_true(blocked_until == WAIT_FOREVER);
    set_meanwhile = real + 50;
    assert_true(clock_block((struct clock_deadline){mono + 7, false}));
    assert_int_equal(wakes, 0);
    real = set_meanwhile - 50;
    assert_true(clock_block((struct clock_deadline){real + 60, true}));
    assert_int_equal(blocked_until, mono + 60);
    assert_int_equal(wakes, 1);
    set_meanwhile = 0;
    assert_false(clock_block((struct clock_deadline){real + 10, true}));
    assert_int_equal(blocked_until, mono + 10);
    assert_int_equal(clock_set_real(99), 0); /* nobody waits any more */
    assert_int_equal(wakes, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges),
        cmocka_unit_test(clocks),
        cmocka_unit_test(waits),
    };
    return cmocka_run_group_tests_name("timespec", tests, NULL, NULL);
}
