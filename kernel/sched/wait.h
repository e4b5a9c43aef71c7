/*
 * Wait queues. Whatever can become ready (a socket, a pipe, a child) has one; a thread
 * sleeps on it, epoll hangs a callback on it. The kernel runs with interrupts off and is
 * never preempted, so testing a condition and then sleeping cannot lose a wake-up.
 * waitq_wake() may be called from interrupt handlers and network callbacks; the sleeping
 * calls only from a thread.
 */
#pragma once

#include "lib/list.h"

#define WAIT_FOREVER UINT64_MAX

/* What a sleep that a signal ended returns; the signal code turns it into a restart or EINTR
 * (the numbers Linux uses inside its kernel, never seen by an application). */
#define ERESTARTSYS           512 /* restart if the handler has SA_RESTART, else EINTR */
#define ERESTARTNOINTR        513 /* always restart */
#define ERESTARTNOHAND        514 /* restart only if no handler ran */
#define ERESTART_RESTARTBLOCK 516 /* restart with the remaining time */

struct waitq {
    struct list waiters;
};

struct waiter {
    struct list link;
    uint32_t events;  /* EPOLL* bits of interest; a wake-up that has none of them is skipped */
    bool exclusive;   /* at most one exclusive waiter is woken by each wake-up */
    /* Runs inside waitq_wake(), must not block, may remove its own waiter. Returns whether it
     * took the wake-up (what exclusive waiters are counted by). */
    bool (*wake)(struct waiter *w, uint32_t events);
};

#define WAITQ_INIT(name) {LIST_INIT((name).waiters)}

static inline void waitq_init(struct waitq *q)
{
    list_init(&q->waiters);
}

static inline void waitq_add(struct waitq *q, struct waiter *w)
{
    /* Exclusive waiters queue behind the others, first come first served. */
    if (w->exclusive)
        list_push_back(&q->waiters, &w->link);
    else
        list_push_front(&q->waiters, &w->link);
}

static inline void waitq_remove(struct waiter *w)
{
    list_remove(&w->link);
}

void waitq_wake_slow(struct waitq *q, uint32_t events);
static inline void waitq_wake(struct waitq *q, uint32_t events)
{
    if (!list_empty(&q->waiters))
        waitq_wake_slow(q, events);
}
/* Wakes exclusive waiters as well, all of them: for what every sleeper must see (hang-up). */
void waitq_wake_all_slow(struct waitq *q, uint32_t events);
static inline void waitq_wake_all(struct waitq *q, uint32_t events)
{
    if (!list_empty(&q->waiters))
        waitq_wake_all_slow(q, events);
}

/*
 * Sleeps until woken with one of events, deadline (absolute clock_mono_ns(), WAIT_FOREVER
 * for none) or a deliverable signal: 0, -ETIMEDOUT, -ERESTARTSYS. A return of 0 says only
 * that something happened: test the condition again.
 */
int waitq_sleep(struct waitq *q, uint32_t events, uint64_t deadline);
/* The same, not ended by signals. */
int waitq_sleep_uninterruptible(struct waitq *q, uint32_t events, uint64_t deadline);

/* Sleeps until cond holds; evaluates to 0, -ETIMEDOUT or -ERESTARTSYS. */
#define wait_event(q, events, deadline, cond)                                                      \
    ({                                                                                             \
        int wait_ret_ = 0;                                                                         \
        while (!(cond)) {                                                                          \
            wait_ret_ = waitq_sleep((q), (events), (deadline));                                    \
            if (wait_ret_ < 0) {                                                                   \
                if (cond)                                                                          \
                    wait_ret_ = 0;                                                                 \
                break;                                                                             \
            }                                                                                      \
        }                                                                                          \
        wait_ret_;                                                                                 \
    })
