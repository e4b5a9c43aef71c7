/* See threads.h. */
#include "crash/threads.h"

#include "crash/backtrace.h"
#include "sched/thread.h"

/* What thread_switch() (arch/x86_64/switch.S) leaves on the stack of a thread that has given the
 * CPU away, lowest first, and then its return address. */
static const uint8_t saved[] = {UNWIND_R15, UNWIND_R14, UNWIND_R13, UNWIND_R12,
                                UNWIND_RBP, UNWIND_RBX, UNWIND_RIP};

static struct unwind_cursor switched_out(const struct thread *t)
{
    struct unwind_cursor c = {.known = 1u << UNWIND_RSP};
    const uint64_t *stack = (const uint64_t *)t->ksp;

    for (unsigned i = 0; i < ARRAY_SIZE(saved); i++) {
        c.reg[saved[i]] = stack[i];
        c.known |= 1u << saved[i];
    }
    c.reg[UNWIND_RSP] = (uint64_t)(stack + ARRAY_SIZE(saved));
    return c;
}

void threads_print(void)
{
    static const char *const states[] = {
        [THREAD_RUNNABLE] = "runnable", [THREAD_BLOCKED] = "blocked", [THREAD_DEAD] = "dead"};

    list_for_each (t, &thread_list, struct thread, all_link) {
        struct unwind_cursor c;

        kprintf("wherry: thread %d (%s), %s\n", t->tid, t->name,
                t == current() ? "running" : states[t->state]);
        if (t == current()) /* it has asked */
            continue;
        c = switched_out(t);
        backtrace_print(&c);
    }
}
