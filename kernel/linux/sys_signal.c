/*
 * Signal system calls. See signal(7).
 */
#include "arch/x86_64/uaccess.h"
#include "linux/cred.h"
#include "linux/process.h"
#include "linux/sigstate.h"
#include "linux/syscall.h"
#include "linux/timespec.h"
#include "mm/slab.h"
#include "sched/clock.h"

#include <linux/eventpoll.h>

#define SIGSET_SIZE   8
#define MINIMUM_STACK 2048 /* MINSIGSTKSZ */

static bool sig_valid(int sig)
{
    return sig >= 1 && sig <= SIG_COUNT;
}

static long sys_rt_sigaction(int sig, const struct sig_action *act, struct sig_action *old,
                             size_t size)
{
    struct sig_action new, before;

    if (size != SIGSET_SIZE || !sig_valid(sig) || (act && (sig == SIGKILL || sig == SIGSTOP)))
        return -EINVAL;
    if (act && copy_from_user(&new, act, sizeof(new)) < 0)
        return -EFAULT;
    before = sig_actions[sig];
    if (act) {
        new.mask &= ~(SIGMASK(SIGKILL) | SIGMASK(SIGSTOP));
        sig_actions[sig] = new;
        /* A signal that is ignored now is not pending any more (POSIX §2.4.3). */
        if (new.handler == (uint64_t)SIG_IGN ||
            (new.handler == (uint64_t)SIG_DFL &&
             (sig == SIGCHLD || sig == SIGURG || sig == SIGWINCH || sig == SIGCONT))) {
            siginfo_t drop;
            while (signal_take(SIGMASK(sig), &drop))
                ;
        }
    }
    return old ? copy_to_user(old, &before, sizeof(before)) : 0;
}
SYSCALL(rt_sigaction, COMPLETE, "gppz", "");

static long sys_rt_sigprocmask(int how, const uint64_t *set, uint64_t *old, size_t size)
{
    uint64_t mask = current()->sig->mask, before = mask, v;

    if (size != SIGSET_SIZE)
        return -EINVAL;
    if (set) {
        if (get_user(v, set) < 0)
            return -EFAULT;
        if (how == SIG_BLOCK)
            mask |= v;
        else if (how == SIG_UNBLOCK)
            mask &= ~v;
        else if (how == SIG_SETMASK)
            mask = v;
        else
            return -EINVAL;
        signal_set_mask(mask);
    }
    return old ? put_user(before, old) : 0;
}
SYSCALL(rt_sigprocmask, COMPLETE, "ippz", "");

static long sys_rt_sigpending(uint64_t *set, size_t size)
{
    if (size > SIGSET_SIZE)
        return -EINVAL;
    return put_user(signal_pending_set() & current()->sig->mask, set);
}
SYSCALL(rt_sigpending, COMPLETE, "pz", "");

static long sys_rt_sigsuspend(const uint64_t *set, size_t size)
{
    uint64_t mask;

    if (size != SIGSET_SIZE)
        return -EINVAL;
    if (get_user(mask, set) < 0)
        return -EFAULT;
    signal_restore_mask_later(signal_set_mask(mask));
    while (!signal_pending()) {
        current()->interruptible = true;
        thread_block(WAIT_FOREVER);
        current()->interruptible = false;
    }
    return -ERESTARTNOHAND;
}
SYSCALL(rt_sigsuspend, COMPLETE, "pz", "");

static long sys_pause(void)
{
    while (!signal_pending()) {
        current()->interruptible = true;
        thread_block(WAIT_FOREVER);
        current()->interruptible = false;
    }
    return -ERESTARTNOHAND;
}
SYSCALL(pause, COMPLETE, "", "");

static long sys_rt_sigtimedwait(const uint64_t *uset, siginfo_t *uinfo,
                                const struct __kernel_timespec *ts, size_t size)
{
    uint64_t set, deadline = WAIT_FOREVER, old, ns;
    siginfo_t info;
    int sig;

    if (size != SIGSET_SIZE)
        return -EINVAL;
    if (get_user(set, uset) < 0)
        return -EFAULT;
    if (ts) {
        int r = timespec_get(ts, &ns);
        if (r < 0)
            return r;
        deadline = deadline_after(ns);
    }
    set &= ~(SIGMASK(SIGKILL) | SIGMASK(SIGSTOP));
    sig = signal_dequeue(set, &info);
    if (!sig && (!ts || ns)) {
        /* Unblock them for the sleep, so that their arrival ends it. */
        old = signal_set_mask(current()->sig->mask & ~set);
        current()->sig->waiting = set;
        while (!signal_pending()) {
            bool in_time;
            current()->interruptible = true;
            in_time = thread_block(deadline);
            current()->interruptible = false;
            if (!in_time)
                break;
        }
        current()->sig->waiting = 0;
        sig = signal_dequeue(set, &info);
        signal_set_mask(old);
        if (!sig)
            return signal_pending() ? -EINTR : -EAGAIN;
    }
    if (!sig)
        return -EAGAIN;
    if (uinfo && copy_to_user(uinfo, &info, sizeof(info)) < 0)
        return -EFAULT;
    return sig;
}
SYSCALL(rt_sigtimedwait, COMPLETE, "ppTz", "");

static siginfo_t user_info(int sig, int code)
{
    siginfo_t info = {0};

    info.si_signo = sig;
    info.si_code = code;
    info.si_pid = PROCESS_PID;
    info.si_uid = cred.uid;
    return info;
}

static long sys_kill(int pid, int sig)
{
    siginfo_t info = user_info(sig, SI_USER);

    if (sig && !sig_valid(sig))
        return -EINVAL;
    /* Our process group and every process there is are the process itself; -1 spares the caller. */
    if (pid == -1)
        return -ESRCH;
    if (pid != PROCESS_PID && pid != 0 && pid != -PROCESS_PID)
        return -ESRCH;
    return sig ? signal_send_process(sig, &info) : 0;
}
SYSCALL(kill, COMPLETE, "ig", "");

static long send_to_thread(int tgid, int tid, int sig, const siginfo_t *info)
{
    struct thread *t;

    if (tid <= 0 || (sig && !sig_valid(sig)))
        return -EINVAL;
    t = tgid == PROCESS_PID ? thread_find(tid) : NULL;
    if (!t)
        return -ESRCH;
    return sig ? signal_send_thread(t, sig, info) : 0;
}

static long sys_tgkill(int tgid, int tid, int sig)
{
    siginfo_t info = user_info(sig, SI_TKILL);

    return tgid <= 0 ? -EINVAL : send_to_thread(tgid, tid, sig, &info);
}
SYSCALL(tgkill, COMPLETE, "iig", "");

static long sys_tkill(int tid, int sig)
{
    siginfo_t info = user_info(sig, SI_TKILL);

    return send_to_thread(PROCESS_PID, tid, sig, &info);
}
SYSCALL(tkill, COMPLETE, "ig", "");

static long sys_rt_sigqueueinfo(int pid, int sig, const siginfo_t *uinfo)
{
    siginfo_t info;

    if (copy_from_user(&info, uinfo, sizeof(info)) < 0)
        return -EFAULT;
    if (pid != PROCESS_PID)
        return -ESRCH;
    if (sig && !sig_valid(sig))
        return -EINVAL;
    return sig ? signal_send_process(sig, &info) : 0;
}
SYSCALL(rt_sigqueueinfo, COMPLETE, "igp", "");

static long sys_rt_tgsigqueueinfo(int tgid, int tid, int sig, const siginfo_t *uinfo)
{
    siginfo_t info;

    if (copy_from_user(&info, uinfo, sizeof(info)) < 0)
        return -EFAULT;
    return tgid <= 0 ? -EINVAL : send_to_thread(tgid, tid, sig, &info);
}
SYSCALL(rt_tgsigqueueinfo, COMPLETE, "iigp", "");

static long sys_sigaltstack(const stack_t *uss, stack_t *uold)
{
    struct sigstate *s = current()->sig;
    uint64_t sp = thread_user_frame(current())->rsp;
    stack_t new, old = s->altstack;
    bool active = !(old.ss_flags & SS_DISABLE) && sp > (uint64_t)old.ss_sp &&
                  sp - (uint64_t)old.ss_sp <= old.ss_size;

    if (active)
        old.ss_flags |= SS_ONSTACK;
    if (uss) {
        int mode;

        if (copy_from_user(&new, uss, sizeof(new)) < 0)
            return -EFAULT;
        if (active)
            return -EPERM;
        mode = new.ss_flags & ~(int)SS_AUTODISARM;
        if (mode != 0 && mode != SS_DISABLE && mode != SS_ONSTACK)
            return -EINVAL;
        if (mode != SS_DISABLE && new.ss_size < MINIMUM_STACK)
            return -ENOMEM;
        new.ss_flags &= ~SS_ONSTACK;
        if (mode == SS_DISABLE)
            new = (stack_t){.ss_flags = SS_DISABLE};
        s->altstack = new;
    }
    return uold ? copy_to_user(uold, &old, sizeof(old)) : 0;
}
SYSCALL(sigaltstack, COMPLETE, "pp", "");
