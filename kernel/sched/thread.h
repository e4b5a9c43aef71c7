/*
 * Threads and the scheduler: one CPU, round robin, preemptive while application code
 * runs. Kernel code is never preempted and runs with interrupts off, so it needs no
 * locks; it gives way only where it sleeps. A thread that finds nothing runnable when it
 * blocks does not switch away: it idles in place, polling the devices, until somebody
 * (often itself) is woken.
 */
#pragma once

#include "arch/x86_64/trap.h"
#include "lib/list.h"
#include "sched/timer.h"
#include "sched/wait.h"

struct sigstate;

enum thread_state { THREAD_RUNNABLE, THREAD_BLOCKED, THREAD_DEAD };

struct thread {
    uint64_t ksp;        /* kernel stack pointer while switched out */
    uint64_t kstack_top; /* where system calls and traps start; the FPU area lies above */
    void *kstack;
    void *fpu;           /* XSAVE area, 64-byte aligned */
    uint64_t fs_base, gs_base; /* while switched out */
    enum thread_state state;
    bool interruptible;  /* blocked in a sleep that a signal may end */
    bool signal_pending; /* a signal it does not block waits for it; kept by linux/signal.c */
    bool timed_out;
    int tid;
    char name[16];       /* NUL-terminated, as prctl(PR_SET_NAME) */
    struct list run_link;
    struct list all_link; /* every live thread, for /proc/self/task */
    uint64_t cpu_ns;     /* time run until the last switch */
    uint64_t switched_in_ns;
    uint64_t switches;

    /* Linux state, owned by linux/ */
    struct sigstate *sig;
    uint64_t clear_child_tid; /* user address */
    uint64_t robust_list, robust_list_len;
    uint64_t rseq, rseq_len;
};

extern struct thread *current_thread;
extern struct list thread_list;
extern unsigned thread_count;

static inline struct thread *current(void)
{
    return current_thread;
}

/* The frame at the top of the kernel stack: the application's registers while it is in the
 * kernel. A system call fills callee-saved registers in only on its slow paths. */
static inline struct trap_frame *thread_user_frame(const struct thread *t)
{
    return (struct trap_frame *)(t->kstack_top - TRAP_FRAME_SIZE);
}

/* Makes the boot context the first thread (tid 1); once. */
void thread_init(void);
/* A thread that will enter the application with its user frame, which the caller fills in before
 * thread_start(). FPU state is fresh. NULL when out of memory. */
struct thread *thread_create(const char *name);
void thread_start(struct thread *t);
/* Frees one that was never started. */
void thread_discard(struct thread *t);
__noreturn void thread_exit(void);
/* Time the thread has run, in ns. */
uint64_t thread_cpu_ns(const struct thread *t);
/* Gives the CPU to another runnable thread, if there is one; also polls devices. */
void thread_yield(void);
/* Makes a blocked thread runnable. Any context. Harmless when it is not blocked. */
void thread_wake(struct thread *t);
/*
 * Blocks the current thread until thread_wake() or the deadline; the caller arranges the
 * wake-up before. Returns false when the deadline passed. Spurious returns are allowed.
 */
bool thread_block(uint64_t deadline);
struct thread *thread_find(int tid);
/* Starts the tick; before the first application code runs. */
void sched_start(void);
/* From the timer interrupt: runs due timers; when application code was interrupted also polls the
 * devices and asks for a reschedule if somebody waits for the CPU. */
void sched_tick(bool from_user);

/*
 * Devices that can be polled (the NIC) register here. poll() processes what has arrived and
 * returns whether there was anything; arm() asks for an interrupt for the next arrival and
 * returns false when something arrived meanwhile (so: poll again, do not halt). idle() only looks:
 * is there nothing for poll()? It is called again and again while the CPU waits; its name begins
 * with haltpoll_, by which profiles tell waiting from work.
 */
struct poller {
    struct list link;
    bool (*poll)(struct poller *p);
    bool (*arm)(struct poller *p);
    bool (*idle)(const struct poller *p);
    bool first; /* to be asked before others: it knows best when not to halt */
};
void poller_register(struct poller *p);
/* The CPU polls before it halts (haltpoll.h), unless the command line has said for how long. */
void haltpoll_enable(void);
/* Polls every device once; true if there was work. Not from interrupt context. */
bool pollers_run(void);
