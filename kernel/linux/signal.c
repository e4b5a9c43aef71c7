/*
 * Signals: sending, queueing, taking, and what happens on the way back to the
 * application. See signal.h; frames are in sigframe.c, system calls in sys_signal.c.
 */
#include "linux/signal.h"

#include "arch/x86_64/hooks.h"
#include "guide/guide.h"
#include "linux/crash.h"
#include "linux/limits_table.h"
#include "linux/process.h"
#include "linux/rseq.h"
#include "linux/sigstate.h"
#include "mm/slab.h"
#include "mm/vma.h"

#include <asm/errno.h>
#include <linux/eventpoll.h>

#define IGNORED_BY_DEFAULT                                                                         \
    (SIGMASK(SIGCHLD) | SIGMASK(SIGURG) | SIGMASK(SIGWINCH) | SIGMASK(SIGCONT) |                   \
     SIGMASK(SIGSTOP) | SIGMASK(SIGTSTP) | SIGMASK(SIGTTIN) | SIGMASK(SIGTTOU))
#define DUMPS_CORE                                                                                 \
    (SIGMASK(SIGQUIT) | SIGMASK(SIGILL) | SIGMASK(SIGTRAP) | SIGMASK(SIGABRT) | SIGMASK(SIGBUS) |  \
     SIGMASK(SIGFPE) | SIGMASK(SIGSEGV) | SIGMASK(SIGXCPU) | SIGMASK(SIGXFSZ) | SIGMASK(SIGSYS))
#define SYNCHRONOUS                                                                                \
    (SIGMASK(SIGSEGV) | SIGMASK(SIGBUS) | SIGMASK(SIGILL) | SIGMASK(SIGTRAP) | SIGMASK(SIGFPE) |   \
     SIGMASK(SIGSYS))
#define UNBLOCKABLE (SIGMASK(SIGKILL) | SIGMASK(SIGSTOP))

struct sig_action sig_actions[SIG_COUNT + 1];
struct sigpending process_pending = {.queue = LIST_INIT(process_pending.queue)};
struct waitq signal_waitq = WAITQ_INIT(signal_waitq);
static unsigned queued;

struct sigstate *sigstate_new(const struct sigstate *parent)
{
    struct sigstate *s = kzalloc(sizeof(*s));

    if (s) {
        s->mask = parent ? parent->mask : 0;
        s->altstack.ss_flags = SS_DISABLE;
        list_init(&s->pending.queue);
    }
    return s;
}

void sigstate_free(struct sigstate *s)
{
    list_for_each_safe (q, &s->pending.queue, struct sigqueued, link) {
        list_remove(&q->link);
        queued--;
        kfree(q);
    }
    kfree(s);
}

void signal_recalc(struct thread *t)
{
    t->signal_pending = t->sig && ((t->sig->pending.set | process_pending.set) & ~t->sig->mask);
    if (t == current() && t->signal_pending)
        cpu_exit_work |= WORK_SIGNAL;
}

void signal_recalc_all(void)
{
    list_for_each (t, &thread_list, struct thread, all_link)
        signal_recalc(t);
}

static bool ignored(int sig)
{
    uint64_t h = sig_actions[sig].handler;

    return h == (uint64_t)SIG_IGN || (h == (uint64_t)SIG_DFL && IGNORED_BY_DEFAULT & SIGMASK(sig));
}

unsigned signal_queued(void)
{
    return queued;
}

/* RLIMIT_SIGPENDING bounds what applications can pile up. A standard signal of the kernel's is
 * queued but once, and a timer's has at most one for each timer. */
static bool is_limited(int sig, const siginfo_t *info)
{
    if (info && info->si_code == SI_TIMER)
        return false;
    return sig >= SIG_MIN_RT || (info && info->si_code < 0);
}

static int enqueue(struct sigpending *p, int sig, const siginfo_t *info)
{
    struct sigqueued *q = NULL;

    if (sig < SIG_MIN_RT && p->set & SIGMASK(sig))
        return 0; /* standard signals do not queue */
    if (queued < rlimits[RLIMIT_SIGPENDING].rlim_cur || !is_limited(sig, info))
        q = kmalloc(sizeof(*q));
    if (!q && sig >= SIG_MIN_RT && info && info->si_code != SI_USER && info->si_code != SI_TIMER)
        return -EAGAIN;
    p->set |= SIGMASK(sig);
    if (!q)
        return 0; /* it arrives without details, as on Linux */
    queued++;
    if (info) {
        q->info = *info;
    } else {
        memset(&q->info, 0, sizeof(q->info));
        q->info.si_code = SI_KERNEL;
    }
    q->info.si_signo = sig;
    list_push_back(&p->queue, &q->link);
    return 0;
}

static void interrupt(struct thread *t)
{
    if (t->interruptible)
        thread_wake(t);
}

int signal_send_process(int sig, const siginfo_t *info)
{
    struct thread *target = NULL;
    bool blocked_by_all = true, wanted = false;
    int r;

    list_for_each (t, &thread_list, struct thread, all_link) {
        if (!t->sig || t->sig->mask & SIGMASK(sig))
            continue;
        if (t->sig->waiting & SIGMASK(sig))
            wanted = true;
        blocked_by_all = false;
        /* The first thread if it takes the signal, as Linux does; else best one that sleeps. */
        if (!target || (target->tid != PROCESS_PID && t->interruptible))
            target = t;
    }
    if (!blocked_by_all && !wanted && ignored(sig))
        return 0;
    r = enqueue(&process_pending, sig, info);
    if (r < 0)
        return r;
    signal_recalc_all();
    if (target)
        interrupt(target);
    waitq_wake(&signal_waitq, EPOLLIN);
    return 0;
}

int signal_send_thread(struct thread *t, int sig, const siginfo_t *info)
{
    int r;

    if (!t->sig || (!((t->sig->mask | t->sig->waiting) & SIGMASK(sig)) && ignored(sig)))
        return 0;
    r = enqueue(&t->sig->pending, sig, info);
    if (r < 0)
        return r;
    signal_recalc(t);
    if (t->signal_pending)
        interrupt(t);
    waitq_wake(&signal_waitq, EPOLLIN);
    return 0;
}

static int take_from(struct sigpending *p, uint64_t set, siginfo_t *info)
{
    uint64_t ready = p->set & set;
    bool more = false, found = false;
    int sig;

    if (!ready)
        return 0;
    /* Those a fault caused come first, then by number. */
    sig = __builtin_ctzll(ready & SYNCHRONOUS ? ready & SYNCHRONOUS : ready) + 1;
    memset(info, 0, sizeof(*info));
    info->si_signo = sig;
    info->si_code = SI_USER;
    list_for_each_safe (q, &p->queue, struct sigqueued, link) {
        if (q->info.si_signo != sig)
            continue;
        if (found) {
            more = true;
            break;
        }
        *info = q->info;
        list_remove(&q->link);
        queued--;
        kfree(q);
        found = true;
    }
    if (!more)
        p->set &= ~SIGMASK(sig);
    return sig;
}

int signal_take(uint64_t set, siginfo_t *info)
{
    int sig = take_from(&current()->sig->pending, set, info);

    if (!sig)
        sig = take_from(&process_pending, set, info);
    if (sig)
        signal_recalc_all();
    return sig;
}

int signal_dequeue(uint64_t set, siginfo_t *info)
{
    return signal_take(set & ~UNBLOCKABLE, info);
}

uint64_t signal_pending_set(void)
{
    return current()->sig->pending.set | process_pending.set;
}

void signal_retarget(uint64_t set)
{
    set &= process_pending.set;
    list_for_each (t, &thread_list, struct thread, all_link)
        if (set && t != current() && t->sig && set & ~t->sig->mask) {
            set &= t->sig->mask;
            interrupt(t);
        }
}

static bool add_overrun(struct sigpending *p, int sig, int timer_id, uint64_t n)
{
    list_for_each (q, &p->queue, struct sigqueued, link)
        if (q->info.si_signo == sig && q->info.si_code == SI_TIMER && q->info.si_tid == timer_id) {
            q->info.si_overrun = MIN(q->info.si_overrun + n, (uint64_t)INT32_MAX);
            return true;
        }
    return false;
}

bool signal_add_overrun(int sig, int timer_id, uint64_t n)
{
    if (add_overrun(&process_pending, sig, timer_id, n))
        return true;
    list_for_each (t, &thread_list, struct thread, all_link)
        if (t->sig && add_overrun(&t->sig->pending, sig, timer_id, n))
            return true;
    return false;
}

uint64_t signal_set_mask(uint64_t mask)
{
    struct sigstate *s = current()->sig;
    uint64_t old = s->mask;

    s->mask = mask & ~UNBLOCKABLE;
    signal_recalc(current());
    if (unlikely(process_pending.set & s->mask & ~old))
        signal_retarget(s->mask & ~old);
    return old;
}

void signal_restore_mask_later(uint64_t old)
{
    struct sigstate *s = current()->sig;

    s->saved_mask = old;
    s->restore_mask = true;
    cpu_exit_work |= WORK_SIGNAL;
}

__noreturn static void die(struct trap_frame *f, int sig, const siginfo_t *info)
{
    if (DUMPS_CORE & SIGMASK(sig))
        crash_report(f, sig, (uint64_t)info->si_addr);
    else
        kprintf("wherry: %s ended by signal %d\n", process.comm, sig);
    process_exit(128 + sig);
}

void signal_force(int sig, int code, uint64_t addr, struct trap_frame *f)
{
    struct sigstate *s = current()->sig;
    struct sig_action *a = &sig_actions[sig];
    siginfo_t info = {0};

    info.si_signo = sig;
    info.si_code = code;
    info.si_addr = (void *)addr;
    if (sig == SIGKILL || s->mask & SIGMASK(sig) || a->handler == (uint64_t)SIG_IGN ||
        a->handler == (uint64_t)SIG_DFL)
        die(f, sig, &info);
    signal_send_thread(current(), sig, &info);
}

/* What a system call that a signal ended returns, now that it is known which signal it was.
 * handler: 0 if none runs. */
static void finish_syscall(struct trap_frame *f, const struct sig_action *handler)
{
    bool restart = false;

    if (f->vector != VECTOR_SYSCALL)
        return;
    f->vector = 0; /* only once */
    switch (-(int64_t)f->rax) {
    case ERESTARTNOINTR:
        restart = true;
        break;
    case ERESTARTSYS:
        restart = !handler || handler->flags & SA_RESTART;
        break;
    case ERESTARTNOHAND:
    case ERESTART_RESTARTBLOCK:
        restart = !handler;
        break;
    default:
        return;
    }
    if (restart) {
        f->rax = f->error; /* the call's number */
        f->rip -= 2;       /* over SYSCALL */
    } else {
        f->rax = -EINTR;
    }
}

static void deliver(struct trap_frame *f)
{
    struct sigstate *s = current()->sig;
    siginfo_t info;
    int sig;

    while ((sig = signal_take(~s->mask, &info))) {
        struct sig_action a = sig_actions[sig];
        uint64_t old_mask;

        if (a.handler == (uint64_t)SIG_IGN)
            continue;
        if (a.handler == (uint64_t)SIG_DFL) {
            if (IGNORED_BY_DEFAULT & SIGMASK(sig))
                continue;
            die(f, sig, &info);
        }
        finish_syscall(f, &a);
        rseq_fix_up(f);
        old_mask = s->restore_mask ? s->saved_mask : s->mask;
        s->restore_mask = false;
        if (sigframe_push(f, sig, &info, &a, old_mask) < 0) {
            kprintf("wherry: no room on the stack for a signal frame\n");
            die(f, SIGSEGV, &info);
        }
        if (a.flags & SA_RESETHAND)
            sig_actions[sig].handler = (uint64_t)SIG_DFL;
        s->mask |= a.mask | (a.flags & SA_NODEFER ? 0 : SIGMASK(sig));
        s->mask &= ~UNBLOCKABLE;
        signal_recalc(current());
        if (unlikely(process_pending.set & s->mask & ~old_mask))
            signal_retarget(s->mask & ~old_mask);
    }
}

void user_return_work(struct trap_frame *f)
{
    struct thread *t = current();

    if (process_thread_must_exit(t))
        process_exit_thread();
    while (cpu_exit_work & (WORK_RESCHED | WORK_SIGNAL)) {
        if (cpu_exit_work & WORK_RESCHED) {
            thread_yield();
            rseq_fix_up(f);
            if (process_thread_must_exit(t))
                process_exit_thread();
        }
        cpu_exit_work &= ~WORK_SIGNAL;
        if (t->signal_pending)
            deliver(f);
        if (t->sig->restore_mask) {
            t->sig->restore_mask = false;
            signal_set_mask(t->sig->saved_mask);
        }
    }
    finish_syscall(f, NULL);
}

void user_fault(struct trap_frame *f, int sig, int code, uint64_t addr, unsigned trap)
{
    f->vector = trap;
    if (sig == SIGKILL)
        crash_report_memory();
    signal_force(sig, code, addr, f);
}

void user_was_preempted(struct trap_frame *f)
{
    rseq_fix_up(f);
}

bool user_breakpoint(struct trap_frame *f)
{
    int r = guide_breakpoint(f);

    if (r == -EFAULT)
        user_fault(f, SIGSEGV, SEGV_MAPERR, f->rsp - sizeof(uint64_t), f->vector);
    return r != -ENOENT;
}

int user_page_fault(uint64_t addr, bool write, bool exec)
{
    return vma_fault(addr, write, exec);
}
