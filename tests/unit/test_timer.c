// unit: kernel/sched/timer.c
/*
 * The timer heap against a plain array: each timer fires at its time, once, in order; setting,
 * moving and cancelling work from inside callbacks; the hardware is asked for the earliest.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "mm/slab.h"
#include "sched/timer.h"
#include "sched/wait.h"

#include <asm/errno.h>

#define N 500

static struct test_timer {
    struct timer t;
    uint64_t deadline; /* 0: not set */
    unsigned fired;
} timers[N];
static uint64_t now, last_fired, requested = UINT64_MAX;
static bool no_memory;
static uint64_t seed = 88172645463325252ull;

void clockevent_request(uint64_t deadline);

static unsigned below(unsigned n)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return (unsigned)(seed >> 20) % n;
}

void *krealloc(void *p, size_t size)
{
    return no_memory ? NULL : realloc(p, size);
}

void clockevent_request(uint64_t deadline)
{
    requested = MIN(requested, deadline);
}

static void set(struct test_timer *tt, uint64_t deadline)
{
    assert_int_equal(timer_set(&tt->t, deadline), 0);
    tt->deadline = deadline;
    assert_true(timer_pending(&tt->t));
}

static void cancel(struct test_timer *tt)
{
    timer_cancel(&tt->t);
    tt->deadline = 0;
    assert_false(timer_pending(&tt->t));
}

static void fire(struct timer *t)
{
    struct test_timer *tt = container_of(t, struct test_timer, t), *other;

    assert_true(tt->deadline && tt->deadline <= now);
    assert_true(tt->deadline >= last_fired);
    last_fired = tt->deadline;
    for (unsigned i = 0; i < N; i++) /* nothing earlier is left */
        assert_true(!timers[i].deadline || timers[i].deadline >= tt->deadline);
    assert_false(timer_pending(t));
    tt->deadline = 0;
    tt->fired++;
    if (!below(3))
        set(tt, now + 1 + below(1000));
    other = &timers[below(N)];
    if (!below(4))
        cancel(other);
    else if (!below(3))
        set(other, now + 1 + below(3000));
    else if (!below(10))
        set(other, now); /* due at once */
}

static void random_operations(void **state)
{
    unsigned long total = 0;

    for (unsigned i = 0; i < N; i++)
        timer_init(&timers[i].t, fire);
    for (unsigned k = 0; k < 400000; k++) {
        struct test_timer *tt = &timers[below(N)];
        uint64_t next, earliest = WAIT_FOREVER;

        switch (below(5)) {
        case 0:
            cancel(tt);
            break;
        case 1:
        case 2:
            requested = UINT64_MAX;
            set(tt, now + below(5000));
            for (unsigned i = 0; i < N; i++)
                if (timers[i].deadline)
                    earliest = MIN(earliest, timers[i].deadline);
            if (earliest == tt->deadline && requested != UINT64_MAX)
                assert_int_equal(requested, tt->deadline);
            if (timers[tt - timers].t.slot == 1)
                assert_int_equal(requested, tt->deadline);
            earliest = WAIT_FOREVER;
            break;
        default:
            now += below(50);
            last_fired = 0;
            next = timer_run(now);
            for (unsigned i = 0; i < N; i++)
                if (timers[i].deadline) {
                    assert_true(timers[i].deadline > now);
                    earliest = MIN(earliest, timers[i].deadline);
                }
            assert_int_equal(next, earliest);
        }
        for (unsigned i = 0; k % 1000 == 0 && i < N; i++)
            assert_int_equal(timer_pending(&timers[i].t), timers[i].deadline != 0);
    }
    for (unsigned i = 0; i < N; i++)
        total += timers[i].fired;
    assert_true(total > 10000);
}

static void ignore(struct timer *t)
{
}

static void no_room(void **state)
{
    static struct timer many[5000];
    unsigned refused = 0;

    no_memory = true;
    for (unsigned i = 0; i < ARRAY_SIZE(many); i++) {
        timer_init(&many[i], ignore);
        if (timer_set(&many[i], UINT64_MAX - 1 - i) == -ENOMEM) {
            assert_false(timer_pending(&many[i]));
            refused++;
        }
    }
    assert_true(refused > 4000);
    no_memory = false;
    for (unsigned i = 0; i < ARRAY_SIZE(many); i++)
        assert_int_equal(timer_set(&many[i], UINT64_MAX - 1 - i), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(many); i++)
        timer_cancel(&many[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations),
        cmocka_unit_test(no_room),
    };
    return cmocka_run_group_tests_name("timer", tests, NULL, NULL);
}
