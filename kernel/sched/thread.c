/*
 * The scheduler: see thread.h for the rules. The run queue holds threads that could run
 * but do not; the current thread is never on it. A thread that blocks with nobody to
 * switch to stays current and idles inside thread_block(), which is what makes the common
 * case (wait for the network, be woken by it) free of context switches.
 */
#include "sched/thread.h"

#include "arch/x86_64/clockevent.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/tsc.h"
#include "lib/cmdline.h"
#include "mm/slab.h"
#include "sched/clock.h"
#include "sched/haltpoll.h"

#include <asm/errno.h>

/* A thread that runs on without blocking gives way, and has the devices polled, this often. */
#define TICK_NS     (4 * NSEC_PER_MSEC)
#define KSTACK_SIZE (16 * KiB)
#define FIRST_TID   1

#define POLL_MAX_USEC 1000000u /* wherry.poll= */

/* arch/x86_64/switch.S, syscall.S */
void thread_switch(uint64_t *save_rsp, uint64_t load_rsp);
extern char thread_user_start[];
void thread_started(void);

struct thread *current_thread;
struct list thread_list = LIST_INIT(thread_list);
unsigned thread_count;

static struct list runq = LIST_INIT(runq);
static struct list pollers = LIST_INIT(pollers);
static struct thread *dead; /* its stack is freed by the thread that runs next */
static int next_tid = FIRST_TID;
static struct haltpoll haltpoll;
static bool haltpoll_told; /* by the command line */

struct switch_frame { /* what thread_switch() pops */
    uint64_t r15, r14, r13, r12, rbp, rbx, rip;
};

void poller_register(struct poller *p)
{
    if (p->first)
        list_push_front(&pollers, &p->link);
    else
        list_push_back(&pollers, &p->link);
}

bool pollers_run(void)
{
    bool work = false;

    list_for_each (p, &pollers, struct poller, link)
        work |= p->poll(p);
    return work;
}

static bool pollers_arm(void)
{
    list_for_each (p, &pollers, struct poller, link)
        if (!p->arm(p))
            return false;
    return true;
}

/* wherry.poll=USEC: how long the CPU may look for packets before it halts; 0: not at all. */
static int poll_option(const char *value)
{
    const char *end;
    uint64_t usec;

    if (value == NULL || (end = parse_u64(value, &usec)) == NULL || *end != '\0' ||
        usec > POLL_MAX_USEC)
        return -EINVAL;
    haltpoll.max_ns = usec * 1000;
    haltpoll_told = true;
    return 0;
}
CMDLINE("wherry.poll", poll_option);

void haltpoll_enable(void)
{
    if (!haltpoll_told)
        haltpoll.max_ns = HALTPOLL_DEFAULT_NS;
}

/* Looks for packets, without touching them. True: somebody has work; false: it is end, or one of
 * the devices cannot be looked at. Interrupts are let in, and may have made threads runnable. */
static __attribute__((noinline)) bool haltpoll_spin(const struct thread *self, uint64_t end)
{
    for (;;) {
        list_for_each (p, &pollers, struct poller, link) {
            if (p->idle == NULL)
                return false;
            if (!p->idle(p))
                return true;
        }
        if (self->state == THREAD_RUNNABLE || !list_empty(&runq))
            return true;
        if (clock_mono_ns() >= end)
            return false;
        irq_window();
        cpu_relax();
    }
}

static struct thread *thread_alloc(const char *name)
{
    struct thread *t = kzalloc(sizeof(*t));
    size_t fpu_size = ALIGN_UP(cpu_features.xsave_size, 64);
    char *stack = vmalloc(KSTACK_SIZE + fpu_size);

    if (!t || !stack) {
        kfree(t);
        vfree(stack);
        return NULL;
    }
    t->kstack = stack;
    t->fpu = (void *)ALIGN_DOWN(
        (virt_t)stack + ALIGN_UP(KSTACK_SIZE + fpu_size, PAGE_SIZE) - fpu_size, 64);
    t->kstack_top = (virt_t)t->fpu;
    fpu_init_area(t->fpu);
    strlcpy(t->name, name, sizeof(t->name));
    list_init(&t->run_link);
    list_init(&t->all_link);
    return t;
}

static void thread_free(struct thread *t)
{
    vfree(t->kstack);
    kfree(t);
}

void thread_discard(struct thread *t)
{
    thread_free(t);
}

static void thread_publish(struct thread *t)
{
    t->tid = next_tid++;
    list_push_back(&thread_list, &t->all_link);
    thread_count++;
}

void thread_init(void)
{
    struct thread *t = thread_alloc("init");

    if (!t)
        panic("out of memory for the first thread");
    thread_publish(t);
    current_thread = t;
    cpu_kstack_top = t->kstack_top;
    fpu_restore(t->fpu);
    t->switched_in_ns = clock_mono_ns();
}

struct thread *thread_create(const char *name)
{
    struct thread *t = thread_alloc(name);
    struct switch_frame *f;

    if (!t)
        return NULL;
    t->tid = next_tid++;
    f = (struct switch_frame *)thread_user_frame(t) - 1;
    memset(f, 0, sizeof(*f));
    f->rip = (uint64_t)thread_user_start;
    t->ksp = (uint64_t)f;
    t->state = THREAD_BLOCKED;
    return t;
}

void thread_start(struct thread *t)
{
    list_push_back(&thread_list, &t->all_link);
    thread_count++;
    thread_wake(t);
}

struct thread *thread_find(int tid)
{
    list_for_each (t, &thread_list, struct thread, all_link)
        if (t->tid == tid)
            return t;
    return NULL;
}

uint64_t thread_cpu_ns(const struct thread *t)
{
    return t->cpu_ns + (t == current() ? clock_mono_ns() - t->switched_in_ns : 0);
}

void thread_started(void)
{
    if (dead) {
        thread_free(dead);
        dead = NULL;
    }
}

static void switch_to(struct thread *next)
{
    struct thread *prev = current();
    uint64_t now = clock_mono_ns();

    list_remove(&next->run_link);
    prev->cpu_ns += now - prev->switched_in_ns;
    next->switched_in_ns = now;
    next->switches++;
    if (prev->state != THREAD_DEAD)
        fpu_save(prev->fpu);
    fpu_restore(next->fpu);
    prev->fs_base = fs_base_get();
    prev->gs_base = gs_base_get();
    fs_base_set(next->fs_base);
    gs_base_set(next->gs_base);
    cpu_kstack_top = next->kstack_top;
    current_thread = next;
    /* The chain of ticks ends while the CPU idles: whoever runs next must not run for ever. */
    clockevent_request(now + TICK_NS);
    /* Whatever is due for the new thread is looked at on its way out. */
    cpu_exit_work &= ~WORK_RESCHED;
    if (next->signal_pending)
        cpu_exit_work |= WORK_SIGNAL;
    if (prev->state == THREAD_DEAD)
        dead = prev;
    thread_switch(&prev->ksp, next->ksp);
    thread_started();
}

void thread_wake(struct thread *t)
{
    if (t->state != THREAD_BLOCKED)
        return;
    t->state = THREAD_RUNNABLE;
    if (t != current())
        list_push_back(&runq, &t->run_link);
}

struct block_timer {
    struct timer timer;
    struct thread *thread;
};

static void block_timeout(struct timer *timer)
{
    struct thread *t = container_of(timer, struct block_timer, timer)->thread;

    t->timed_out = true;
    thread_wake(t);
}

/* Switches away from a blocked thread; it comes back runnable. False: the deadline did it. */
static bool block_switched(struct thread *self, uint64_t deadline)
{
    struct block_timer bt = {.thread = self};
    bool timed = deadline != WAIT_FOREVER;

    timer_init(&bt.timer, block_timeout);
    self->timed_out = false;
    if (timed && timer_set(&bt.timer, deadline) < 0) {
        self->state = THREAD_RUNNABLE; /* no memory for a timer: a spurious return is allowed */
        return true;
    }
    switch_to(list_first(&runq, struct thread, run_link));
    if (timed)
        timer_cancel(&bt.timer);
    return !self->timed_out;
}

/* Waits, from now on, until there may be something to do, but not beyond until. The time then; 0 if
 * it was no wait at all. */
static uint64_t idle(struct thread *self, uint64_t now, uint64_t until)
{
    uint64_t end;

    if (haltpoll.window_ns == 0 || !haltpoll_spin(self, MIN(until, now + haltpoll.window_ns))) {
        if (!pollers_arm())
            return 0;
        tsc_calibrate();
        clockevent_request(until);
        irq_wait();
    }
    end = clock_mono_ns();
    haltpoll_waited(&haltpoll, end - now);
    self->switched_in_ns += end - now; /* idle time is nobody's */
    return end;
}

bool thread_block(uint64_t deadline)
{
    struct thread *self = current();
    uint64_t waited_until = 0; /* the last time; 0: it did not wait */
    bool in_time = true;

    if (self->state != THREAD_DEAD)
        self->state = THREAD_BLOCKED;
    for (;;) {
        uint64_t now, next, end;

        pollers_run();
        if (self->state == THREAD_RUNNABLE)
            break;
        if (!list_empty(&runq))
            return block_switched(self, deadline);
        now = clock_mono_ns();
        next = timer_run(now);
        if (self->state == THREAD_RUNNABLE)
            break;
        if (now >= deadline) {
            self->state = THREAD_RUNNABLE;
            in_time = false;
            break;
        }
        if (!list_empty(&runq))
            continue;
        end = idle(self, now, MIN(next, deadline));
        if (end != 0)
            waited_until = end;
    }
    /* The application runs on: it must not run for ever with the next interrupt far away. */
    if (waited_until)
        clockevent_request(waited_until + TICK_NS);
    return in_time;
}

void sched_start(void)
{
    tsc_calibrate();
    clockevent_request(clock_mono_ns() + TICK_NS);
}

void thread_yield(void)
{
    struct thread *self = current(), *next;

    pollers_run();
    cpu_exit_work &= ~WORK_RESCHED;
    next = list_first(&runq, struct thread, run_link);
    if (!next)
        return;
    list_push_back(&runq, &self->run_link);
    switch_to(next);
}

void sched_tick(bool from_user)
{
    uint64_t now = clock_mono_ns(), next;

    clockevent_fired();
    if (!from_user)
        return; /* the idle loop does the rest */
    next = timer_run(now);
    pollers_run();
    if (!list_empty(&runq))
        cpu_exit_work |= WORK_RESCHED;
    clockevent_request(MIN(next, now + TICK_NS));
}

void thread_exit(void)
{
    struct thread *self = current();

    self->state = THREAD_DEAD;
    list_remove(&self->all_link);
    thread_count--;
    for (;;)
        thread_block(WAIT_FOREVER);
}
