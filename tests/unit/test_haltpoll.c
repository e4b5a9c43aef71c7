// unit:
/*
 * Polling before halting (kernel/sched/haltpoll.h): what the windows become for a program that is
 * asked again soon, one that is asked now and then, and one that is left alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sched/haltpoll.h"

#define USEC 1000ull
#define MSEC (1000 * USEC)

/* Waits for so long, n times; the CPU time that polling took of it. */
static uint64_t wait(struct haltpoll *h, uint64_t ns, unsigned n)
{
    uint64_t polled = 0;

    while (n-- > 0) {
        polled += MIN(ns, h->window_ns);
        haltpoll_waited(h, ns);
    }
    return polled;
}

static void asked_soon(void **state)
{
    struct haltpoll h = {.max_ns = 200 * USEC};

    wait(&h, 70 * USEC, 4);
    assert_true(h.window_ns >= 70 * USEC); /* it does not halt any more */
    assert_int_equal(wait(&h, 70 * USEC, 100), 7000 * USEC);
    assert_true(h.window_ns <= 140 * USEC);
}

static void left_alone(void **state)
{
    struct haltpoll h = {.max_ns = 200 * USEC};

    wait(&h, 150 * USEC, 10);
    assert_int_equal(h.window_ns, 200 * USEC);
    assert_true(wait(&h, 4 * MSEC, 10) <= 400 * USEC);
    assert_int_equal(h.window_ns, 0);
    assert_int_equal(wait(&h, 4 * MSEC, 1000), 0);
    wait(&h, 5 * USEC, 1); /* and is asked again */
    assert_int_equal(h.window_ns, HALTPOLL_START_NS);
}

static void never(void **state)
{
    struct haltpoll h = {.max_ns = 0};

    for (uint64_t ns = 0; ns < 10 * MSEC; ns = ns * 2 + 1)
        wait(&h, ns, 3);
    assert_int_equal(h.window_ns, 0);
}

/* A limit below the first window holds, and any sequence of waits keeps to it. */
static void limit(void **state)
{
    struct haltpoll h = {.max_ns = 3 * USEC};

    srand(7);
    for (unsigned i = 0; i < 100000; i++) {
        haltpoll_waited(&h, (uint64_t)rand() % (i % 2 ? 10 * USEC : 3 * USEC));
        assert_true(h.window_ns <= h.max_ns);
    }
    wait(&h, 2 * USEC, 3);
    assert_int_equal(h.window_ns, 3 * USEC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(asked_soon), cmocka_unit_test(left_alone),
                                       cmocka_unit_test(never), cmocka_unit_test(limit)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
