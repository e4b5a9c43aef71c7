/*
 * The timer heap; see timer.h. A binary heap of pointers in one growing array: setting
 * and cancelling cost O(log n), looking at the next deadline O(1).
 */
#include "sched/timer.h"

#include "arch/x86_64/clockevent.h"
#include "mm/slab.h"
#include "sched/wait.h"

#include <asm/errno.h>

static struct timer **heap; /* heap[slot - 1] */
static uint32_t count, capacity;

static void place(struct timer *t, uint32_t i)
{
    heap[i] = t;
    t->slot = i + 1;
}

static void sift_up(struct timer *t, uint32_t i)
{
    while (i > 0) {
        uint32_t parent = (i - 1) / 2;
        if (heap[parent]->deadline <= t->deadline)
            break;
        place(heap[parent], i);
        i = parent;
    }
    place(t, i);
}

static void sift_down(struct timer *t, uint32_t i)
{
    for (;;) {
        uint32_t kid = 2 * i + 1;
        if (kid >= count)
            break;
        if (kid + 1 < count && heap[kid + 1]->deadline < heap[kid]->deadline)
            kid++;
        if (t->deadline <= heap[kid]->deadline)
            break;
        place(heap[kid], i);
        i = kid;
    }
    place(t, i);
}

static void reposition(struct timer *t, uint32_t i)
{
    if (i > 0 && heap[(i - 1) / 2]->deadline > t->deadline)
        sift_up(t, i);
    else
        sift_down(t, i);
}

int timer_set(struct timer *t, uint64_t deadline)
{
    t->deadline = deadline;
    if (t->slot) {
        reposition(t, t->slot - 1);
    } else {
        if (unlikely(count == capacity)) {
            uint32_t wanted = capacity ? capacity * 2 : 64;
            struct timer **bigger = krealloc(heap, wanted * sizeof(*heap));
            if (!bigger)
                return -ENOMEM;
            heap = bigger;
            capacity = wanted;
        }
        sift_up(t, count++);
    }
    if (t->slot == 1)
        clockevent_request(deadline);
    return 0;
}

void timer_cancel(struct timer *t)
{
    uint32_t i = t->slot;
    struct timer *last;

    if (!i)
        return;
    t->slot = 0;
    last = heap[--count];
    if (last != t) {
        heap[i - 1] = last;
        reposition(last, i - 1);
    }
}

uint64_t timer_run(uint64_t now)
{
    while (count && heap[0]->deadline <= now) {
        struct timer *t = heap[0];
        timer_cancel(t);
        t->fn(t);
    }
    return count ? heap[0]->deadline : WAIT_FOREVER;
}
