/*
 * The signal state behind linux/signal.c, shared with sigframe.c and sys_signal.c.
 */
#pragma once

#include "linux/signal.h"
#include "lib/list.h"

#define SIG_COUNT   64
#define SIG_MIN_RT  32

/* A queued signal: standard signals at most one each, real-time signals in order. */
struct sigqueued {
    struct list link;
    siginfo_t info;
};

struct sigpending {
    uint64_t set;
    struct list queue;
};

/* As the kernel's struct sigaction of rt_sigaction(2). */
struct sig_action {
    uint64_t handler, flags, restorer, mask;
};

struct sigstate {
    uint64_t mask;
    uint64_t saved_mask; /* to come back once the call's signal was handled */
    bool restore_mask;
    uint64_t waiting; /* sigtimedwait: signals taken even if they would be ignored */
    struct sigpending pending;
    stack_t altstack;
};

extern struct sig_action sig_actions[SIG_COUNT + 1];
extern struct sigpending process_pending;

struct sigstate *sigstate_new(const struct sigstate *parent);
void sigstate_free(struct sigstate *s);
/* Recomputes thread->signal_pending of one thread or all. */
void signal_recalc(struct thread *t);
void signal_recalc_all(void);
/* A thread stops handling what the process may have pending: another one that can is woken. */
void signal_retarget(uint64_t set);
/* A timer fired whose signal, with its id in si_tid, is queued still: counts an overrun there.
 * False if it is not queued. */
bool signal_add_overrun(int sig, int timer_id, uint64_t n);
/* Takes the next signal of set pending for the current thread. */
int signal_take(uint64_t set, siginfo_t *info);
/* Sends a signal the current thread cannot refuse: a blocked or ignored one kills. */
void signal_force(int sig, int code, uint64_t addr, struct trap_frame *f);

/* sigframe.c: 0, or -EFAULT when the stack cannot hold the frame. */
int sigframe_push(struct trap_frame *f, int sig, const siginfo_t *info, const struct sig_action *a,
                  uint64_t old_mask);
