/*
 * Scheduling parameters. All threads are equal on one CPU; what Linux would accept is
 * kept, so that it reads back, and has no effect.
 */
#include "arch/x86_64/uaccess.h"
#include "linux/process.h"
#include "linux/syscall.h"
#include "linux/timespec.h"
#include "sched/thread.h"

#include <linux/resource.h>
#include <linux/sched.h>
#include <linux/sched/types.h>

#define RT_MIN   1
#define RT_MAX   99
#define NICE_MIN (-20)
#define NICE_MAX 19
#define SLICE_NS (4 * NSEC_PER_MSEC)

static int policy = SCHED_NORMAL, rt_priority, nice;

static bool known(int pid)
{
    return pid == 0 || thread_find(pid);
}

static int check(int pol, int prio)
{
    switch (pol & ~SCHED_RESET_ON_FORK) {
    case SCHED_NORMAL:
    case SCHED_BATCH:
    case SCHED_IDLE:
        return prio == 0 ? 0 : -EINVAL;
    case SCHED_FIFO:
    case SCHED_RR:
        return prio >= RT_MIN && prio <= RT_MAX ? 0 : -EINVAL;
    default:
        return -EINVAL;
    }
}

static long set_policy(int pid, int pol, int prio)
{
    int r = pid < 0 ? -EINVAL : check(pol, prio);

    if (r < 0)
        return r;
    if (!known(pid))
        return -ESRCH;
    policy = pol;
    rt_priority = prio;
    return 0;
}

static long sys_sched_setscheduler(int pid, int pol, const int *uprio)
{
    int prio;

    return get_user(prio, uprio) < 0 ? -EFAULT : pol < 0 ? -EINVAL : set_policy(pid, pol, prio);
}
SYSCALL(sched_setscheduler, PARTIAL, "iip", "kept for all threads, without effect");

static long sys_sched_getscheduler(int pid)
{
    return pid < 0 ? -EINVAL : known(pid) ? policy : -ESRCH;
}
SYSCALL(sched_getscheduler, COMPLETE, "i", "");

static long sys_sched_setparam(int pid, const int *uprio)
{
    int prio;

    return get_user(prio, uprio) < 0 ? -EFAULT : set_policy(pid, policy, prio);
}
SYSCALL(sched_setparam, PARTIAL, "ip", "kept for all threads, without effect");

static long sys_sched_getparam(int pid, int *uprio)
{
    return pid < 0 ? -EINVAL : known(pid) ? put_user(rt_priority, uprio) : -ESRCH;
}
SYSCALL(sched_getparam, COMPLETE, "ip", "");

static long sys_sched_setattr(int pid, const struct sched_attr *u, unsigned flags)
{
    struct sched_attr a = {0};
    uint32_t size;

    if (flags || pid < 0)
        return -EINVAL;
    if (get_user(size, &u->size) < 0)
        return -EFAULT;
    if (size && size < SCHED_ATTR_SIZE_VER0)
        return -E2BIG;
    if (copy_from_user(&a, u, MIN(size ? size : SCHED_ATTR_SIZE_VER0, (uint32_t)sizeof(a))) < 0)
        return -EFAULT;
    if (a.sched_policy == SCHED_NORMAL || a.sched_policy == SCHED_BATCH)
        nice = a.sched_nice < NICE_MIN   ? NICE_MIN
               : a.sched_nice > NICE_MAX ? NICE_MAX
                                         : a.sched_nice;
    return set_policy(pid, a.sched_policy, a.sched_priority);
}
SYSCALL(sched_setattr, PARTIAL, "ipx", "kept for all threads, without effect; no SCHED_DEADLINE");

static long sys_sched_getattr(int pid, struct sched_attr *u, unsigned size, unsigned flags)
{
    struct sched_attr a = {.size = SCHED_ATTR_SIZE_VER0,
                           .sched_policy = policy,
                           .sched_nice = nice,
                           .sched_priority = rt_priority};

    if (flags || pid < 0 || size < SCHED_ATTR_SIZE_VER0)
        return -EINVAL;
    return known(pid) ? copy_to_user(u, &a, SCHED_ATTR_SIZE_VER0) : -ESRCH;
}
SYSCALL(sched_getattr, COMPLETE, "ipux", "");

static long sys_sched_get_priority_max(int pol)
{
    return check(pol, 0) == 0 ? 0 : check(pol, RT_MAX) == 0 ? RT_MAX : -EINVAL;
}
SYSCALL(sched_get_priority_max, COMPLETE, "i", "");

static long sys_sched_get_priority_min(int pol)
{
    return check(pol, 0) == 0 ? 0 : check(pol, RT_MIN) == 0 ? RT_MIN : -EINVAL;
}
SYSCALL(sched_get_priority_min, COMPLETE, "i", "");

static long sys_sched_rr_get_interval(int pid, struct __kernel_timespec *u)
{
    return pid < 0 ? -EINVAL : known(pid) ? timespec_put(u, SLICE_NS) : -ESRCH;
}
SYSCALL(sched_rr_get_interval, COMPLETE, "ip", "");

static long sys_sched_yield(void)
{
    thread_yield();
    return 0;
}
SYSCALL(sched_yield, COMPLETE, "", "");

/* One CPU, number 0. */
static long sys_sched_setaffinity(int pid, unsigned len, const uint8_t *mask)
{
    uint8_t first;

    if (!len)
        return -EINVAL;
    if (get_user(first, mask) < 0)
        return -EFAULT;
    return !known(pid) ? -ESRCH : first & 1 ? 0 : -EINVAL;
}
SYSCALL(sched_setaffinity, COMPLETE, "iup", "");

static long sys_sched_getaffinity(int pid, unsigned len, uint64_t *mask)
{
    if (len < sizeof(*mask) || len % sizeof(*mask))
        return -EINVAL;
    if (!known(pid))
        return -ESRCH;
    return put_user(1ull, mask) < 0 ? -EFAULT : (long)sizeof(*mask);
}
SYSCALL(sched_getaffinity, COMPLETE, "iup", "");

static long sys_getcpu(unsigned *cpu, unsigned *node)
{
    return (cpu && put_user(0u, cpu) < 0) || (node && put_user(0u, node) < 0) ? -EFAULT : 0;
}
SYSCALL(getcpu, COMPLETE, "pp", "");

static bool which_ok(int which, int who)
{
    return which == PRIO_PROCESS ? known(who) : who == 0 || who == PROCESS_PID;
}

static long sys_getpriority(int which, int who)
{
    if (which < PRIO_PROCESS || which > PRIO_USER)
        return -EINVAL;
    return which_ok(which, who) ? 20 - nice : -ESRCH; /* the call's own encoding, 1..40 */
}
SYSCALL(getpriority, COMPLETE, "ii", "");

static long sys_setpriority(int which, int who, int value)
{
    if (which < PRIO_PROCESS || which > PRIO_USER)
        return -EINVAL;
    if (!which_ok(which, who))
        return -ESRCH;
    nice = value < NICE_MIN ? NICE_MIN : value > NICE_MAX ? NICE_MAX : value;
    return 0;
}
SYSCALL(setpriority, PARTIAL, "iii", "kept for all threads, without effect");
