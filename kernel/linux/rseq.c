/*
 * rseq(2); see rseq.h and <linux/rseq.h> for the protocol.
 */
#include "linux/rseq.h"

#include "arch/x86_64/uaccess.h"
#include "linux/sigstate.h"
#include "linux/syscall.h"
#include "sched/thread.h"

/* Not <linux/rseq.h>'s own struct name clash: the header is included for its layout. */
#include <linux/rseq.h>

#define RSEQ_MIN_SIZE 32

static uint32_t signature;

void rseq_fix_up(struct trap_frame *f)
{
    struct thread *t = current();
    struct rseq *u = (struct rseq *)t->rseq;
    struct rseq_cs cs;
    uint64_t ptr;
    uint32_t sig;

    if (!u || get_user(ptr, (uint64_t *)&u->rseq_cs) < 0 || !ptr)
        return;
    if (copy_from_user(&cs, (void *)ptr, sizeof(cs)) < 0)
        goto bad;
    if (f->rip - cs.start_ip >= cs.post_commit_offset) {
        if (put_user((uint64_t)0, (uint64_t *)&u->rseq_cs) < 0)
            goto bad;
        return;
    }
    if (get_user(sig, (uint32_t *)(cs.abort_ip - sizeof(sig))) < 0 || sig != signature ||
        put_user((uint64_t)0, (uint64_t *)&u->rseq_cs) < 0)
        goto bad;
    f->rip = cs.abort_ip;
    return;
bad:
    signal_force(SIGSEGV, SI_KERNEL, ptr, f);
}

static long sys_rseq(struct rseq *u, uint32_t len, int flags, uint32_t sig)
{
    struct thread *t = current();

    if (flags & RSEQ_FLAG_UNREGISTER) {
        if (flags & ~RSEQ_FLAG_UNREGISTER || (uint64_t)u != t->rseq || !t->rseq)
            return -EINVAL;
        if (sig != signature)
            return -EPERM;
        if (put_user((uint32_t)0, &u->cpu_id_start) < 0 ||
            put_user((uint32_t)RSEQ_CPU_ID_UNINITIALIZED, &u->cpu_id) < 0)
            return -EFAULT;
        t->rseq = 0;
        return 0;
    }
    if (flags)
        return -EINVAL;
    if (t->rseq)
        return (uint64_t)u != t->rseq || len != t->rseq_len ? -EINVAL
               : sig != signature                           ? -EPERM
                                                            : -EBUSY;
    if (len < RSEQ_MIN_SIZE || (uint64_t)u % RSEQ_MIN_SIZE)
        return -EINVAL;
    if (!user_range_ok(u, len))
        return -EFAULT;
    if (put_user((uint32_t)0, &u->cpu_id_start) < 0 || put_user((uint32_t)0, &u->cpu_id) < 0)
        return -EFAULT;
    t->rseq = (uint64_t)u;
    t->rseq_len = len;
    signature = sig;
    return 0;
}
SYSCALL(rseq, COMPLETE, "pixx", "");
