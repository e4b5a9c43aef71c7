/*
 * signalfd(2). Signals are queued on the process, not on the descriptor: a read takes those
 * of the descriptor's mask that the reading thread could take. Each descriptor listens on the
 * signal code's wait queue and passes what happens on to its own, where pollers are.
 * Called by system calls (may sleep) and, in its waiter, by whoever sends a signal.
 */
#include "arch/x86_64/uaccess.h"
#include "fs/file.h"
#include "linux/signal.h"
#include "linux/syscall.h"
#include "mm/slab.h"

#include <linux/eventpoll.h>
#include <linux/signalfd.h>

struct signalfd {
    struct file file;
    struct waiter w; /* on signal_waitq */
    uint64_t mask;   /* signals to take */
};

static const struct file_ops signalfd_ops;

static struct signalfd *signalfd_of(struct file *f)
{
    return container_of(f, struct signalfd, file);
}

static bool signalfd_wake(struct waiter *w, uint32_t events)
{
    struct signalfd *s = container_of(w, struct signalfd, w);
    waitq_wake_all(&s->file.waitq, EPOLLIN);
    return true;
}

/* Which fields of a siginfo mean something depends on who sent it (sigaction(2)). */
static void fill_fault(struct signalfd_siginfo *o, const siginfo_t *i)
{
    o->ssi_addr = (uint64_t)i->si_addr;
    if (i->si_signo == SIGTRAP || i->si_signo == SIGILL || i->si_signo == SIGFPE)
        o->ssi_trapno = (uint32_t)i->si_trapno;
    if (i->si_signo == SIGBUS && (i->si_code == BUS_MCEERR_AR || i->si_code == BUS_MCEERR_AO))
        o->ssi_addr_lsb = (uint16_t)i->si_addr_lsb;
}

static void fill_sent(struct signalfd_siginfo *o, const siginfo_t *i)
{
    o->ssi_pid = (uint32_t)i->si_pid;
    o->ssi_uid = i->si_uid;
}

static void fill_value(struct signalfd_siginfo *o, const siginfo_t *i)
{
    o->ssi_ptr = (uint64_t)i->si_ptr;
    o->ssi_int = i->si_int;
}

static void fill_kernel(struct signalfd_siginfo *o, const siginfo_t *i)
{
    switch (i->si_signo) {
    case SIGILL:
    case SIGFPE:
    case SIGSEGV:
    case SIGBUS:
    case SIGTRAP:
        fill_fault(o, i);
        break;
    case SIGCHLD:
        fill_sent(o, i);
        o->ssi_status = i->si_status;
        o->ssi_utime = (uint64_t)i->si_utime;
        o->ssi_stime = (uint64_t)i->si_stime;
        break;
    case SIGSYS:
        o->ssi_call_addr = (uint64_t)i->si_call_addr;
        o->ssi_syscall = i->si_syscall;
        o->ssi_arch = i->si_arch;
        break;
    default:
        /* POLL_IN ... POLL_HUP, from any signal that F_SETSIG chose. */
        o->ssi_band = (uint32_t)i->si_band;
        o->ssi_fd = i->si_fd;
        break;
    }
}

static void fill(struct signalfd_siginfo *o, const siginfo_t *i)
{
    *o = (struct signalfd_siginfo){
        .ssi_signo = (uint32_t)i->si_signo,
        .ssi_errno = i->si_errno,
        .ssi_code = i->si_code,
    };
    if (i->si_code > 0 && i->si_code < SI_KERNEL) {
        fill_kernel(o, i);
        return;
    }
    switch (i->si_code) {
    case SI_USER:
    case SI_TKILL:
    case SI_KERNEL:
        fill_sent(o, i);
        break;
    case SI_TIMER:
        o->ssi_tid = (uint32_t)i->si_tid;
        o->ssi_overrun = (uint32_t)i->si_overrun;
        fill_value(o, i);
        break;
    case SI_SIGIO:
        o->ssi_band = (uint32_t)i->si_band;
        o->ssi_fd = i->si_fd;
        break;
    default: /* SI_QUEUE, SI_MESGQ, SI_ASYNCIO, and what rt_sigqueueinfo made up */
        fill_sent(o, i);
        fill_value(o, i);
        break;
    }
}

static ssize_t signalfd_read(struct file *f, struct iov_iter *it, uint64_t *pos)
{
    struct signalfd *s = signalfd_of(f);
    ssize_t done = 0;
    if (it->count < sizeof(struct signalfd_siginfo))
        return -EINVAL;
    while (it->count >= sizeof(struct signalfd_siginfo)) {
        siginfo_t info;
        if (signal_dequeue(s->mask, &info) == 0) {
            if (done > 0)
                break;
            if (file_nonblock(f))
                return -EAGAIN;
            int r = wait_event(&f->waitq, EPOLLIN, WAIT_FOREVER, signal_pending_set() & s->mask);
            if (r < 0)
                return r;
            continue;
        }
        struct signalfd_siginfo out;
        fill(&out, &info);
        if (copy_to_iter(it, &out, sizeof(out)) != sizeof(out))
            return done > 0 ? done : -EFAULT;
        done += (ssize_t)sizeof(out);
    }
    return done;
}

static uint32_t signalfd_poll(struct file *f)
{
    return signal_pending_set() & signalfd_of(f)->mask ? EPOLLIN : 0;
}

static void signalfd_release(struct file *f)
{
    struct signalfd *s = signalfd_of(f);
    waitq_remove(&s->w);
    kfree(s);
}

static const struct file_ops signalfd_ops = {
    .name = "anon_inode:[signalfd]",
    .read = signalfd_read,
    .poll = signalfd_poll,
    .release = signalfd_release,
};

static int signalfd_create(uint64_t mask, int flags)
{
    struct signalfd *s = kzalloc(sizeof(*s));
    if (!s)
        return -ENOMEM;
    file_init(&s->file, &signalfd_ops, O_RDWR | (flags & SFD_NONBLOCK), FILE_STREAM);
    s->mask = mask;
    s->w.events = EPOLLIN;
    s->w.wake = signalfd_wake;
    waitq_add(&signal_waitq, &s->w);
    int fd = fd_install(&s->file, 0, flags & SFD_CLOEXEC);
    if (fd < 0)
        file_put(&s->file);
    return fd;
}

static long sys_signalfd4(int fd, const uint64_t *umask, size_t size, int flags)
{
    uint64_t mask = 0;
    if (size != sizeof(mask))
        return -EINVAL;
    if (get_user(mask, umask) < 0)
        return -EFAULT;
    if (flags & ~(SFD_CLOEXEC | SFD_NONBLOCK))
        return -EINVAL;
    mask &= ~(SIGMASK(SIGKILL) | SIGMASK(SIGSTOP));
    if (fd == -1)
        return signalfd_create(mask, flags);
    struct file *f = fd_peek(fd);
    if (!f || (f->kind & FILE_PATH))
        return -EBADF;
    if (f->ops != &signalfd_ops)
        return -EINVAL;
    signalfd_of(f)->mask = mask;
    /* Something may be pending that the old mask did not have. */
    waitq_wake_all(&f->waitq, EPOLLIN);
    return fd;
}
SYSCALL(signalfd4, COMPLETE, "dpzx", "");

static long sys_signalfd(int fd, const uint64_t *umask, size_t size)
{
    return sys_signalfd4(fd, umask, size, 0);
}
SYSCALL(signalfd, COMPLETE, "dpz", "");
