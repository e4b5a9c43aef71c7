/*
 * Wait queues and sleeping on them; see wait.h.
 */
#include "sched/wait.h"

#include "sched/thread.h"

#include <asm/errno.h>

struct sleeper {
    struct waiter waiter;
    struct thread *thread;
};

void waitq_wake_slow(struct waitq *q, uint32_t events)
{
    /* A callback may take its own waiter off the queue, not others'. */
    list_for_each_safe (w, &q->waiters, struct waiter, link) {
        if (!(w->events & events))
            continue;
        if (w->wake(w, events) && w->exclusive)
            break;
    }
}

void waitq_wake_all_slow(struct waitq *q, uint32_t events)
{
    list_for_each_safe (w, &q->waiters, struct waiter, link) {
        if (w->events & events)
            w->wake(w, events);
    }
}

static bool wake_sleeper(struct waiter *w, uint32_t events)
{
    thread_wake(container_of(w, struct sleeper, waiter)->thread);
    waitq_remove(w);
    return true;
}

static int sleep_on(struct waitq *q, uint32_t events, uint64_t deadline, bool interruptible)
{
    struct thread *t = current();
    struct sleeper s = {.waiter = {.events = events, .exclusive = true, .wake = wake_sleeper},
                        .thread = t};
    bool in_time;

    if (interruptible && t->signal_pending)
        return -ERESTARTSYS;
    waitq_add(q, &s.waiter);
    t->interruptible = interruptible;
    in_time = thread_block(deadline);
    t->interruptible = false;
    waitq_remove(&s.waiter);
    if (!in_time)
        return -ETIMEDOUT;
    return interruptible && t->signal_pending ? -ERESTARTSYS : 0;
}

int waitq_sleep(struct waitq *q, uint32_t events, uint64_t deadline)
{
    return sleep_on(q, events, deadline, true);
}

int waitq_sleep_uninterruptible(struct waitq *q, uint32_t events, uint64_t deadline)
{
    return sleep_on(q, events, deadline, false);
}
