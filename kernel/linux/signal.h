/*
 * Signals, as other parts of the kernel see them. Any context unless said.
 */
#pragma once

#include "lib/base.h"
#include "sched/thread.h"

#include <linux/signal.h>

#define SIGMASK(sig) (1ull << ((sig)-1))

/* Signals with their details that may be pending at once: RLIMIT_SIGPENDING's default. */
#define SIGQUEUE_MAX 4096

/* To the process: any thread that does not block it. info may be NULL (SI_KERNEL). 0, or -EAGAIN if
 * it is a real-time signal that somebody queued and the queue is full (sigqueue(3)). */
int signal_send_process(int sig, const siginfo_t *info);
/* To one thread; the result as above. */
int signal_send_thread(struct thread *t, int sig, const siginfo_t *info);
/* How many signals are queued. */
unsigned signal_queued(void);
/* Is there a signal the current thread should handle now? */
static inline bool signal_pending(void)
{
    return current()->signal_pending;
}
/* Takes the first pending signal of set (signalfd, sigtimedwait): its number, 0 if none. */
int signal_dequeue(uint64_t set, siginfo_t *info);
/* Signals of set that signal_dequeue() would find now. */
uint64_t signal_pending_set(void);
/* Woken with EPOLLIN whenever a signal is queued: signalfd sleeps here. */
extern struct waitq signal_waitq;
/* Swaps the current thread's mask and returns the old one. signal_restore_mask_later(old): the
 * mask comes back when the call returns to the application, after a handler that interrupted it
 * (ppoll, pselect, epoll_pwait, sigsuspend). */
uint64_t signal_set_mask(uint64_t mask);
void signal_restore_mask_later(uint64_t old);
