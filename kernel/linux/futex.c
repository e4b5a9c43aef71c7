/*
 * futex(2). Waiters hang in a hash by address: there is one address space, so shared and
 * private futexes are the same. Priority inheritance has nothing to inherit (all
 * threads are equal); the PI operations are refused as Linux does without CONFIG_FUTEX_PI.
 */
#include "linux/futex.h"

#include "arch/x86_64/uaccess.h"
#include "lib/list.h"
#include "linux/syscall.h"
#include "linux/timespec.h"
#include "sched/thread.h"

#include <linux/futex.h>
#include <linux/time.h>

#define BUCKETS      256
#define ROBUST_LIMIT 2048

struct futex_waiter {
    struct list link;
    uint64_t addr;
    uint32_t bitset;
    bool woken;
    struct thread *thread;
};

static struct list buckets[BUCKETS];

static struct list *bucket_of(uint64_t addr)
{
    struct list *b = &buckets[(addr >> 2 ^ addr >> 12) % BUCKETS];

    if (!b->next)
        list_init(b);
    return b;
}

static int wake(uint64_t addr, int count, uint32_t bitset)
{
    struct list *b = bucket_of(addr);
    int n = 0;

    list_for_each_safe (w, b, struct futex_waiter, link) {
        if (n >= count)
            break;
        if (w->addr != addr || !(w->bitset & bitset))
            continue;
        list_remove(&w->link);
        w->woken = true;
        thread_wake(w->thread);
        n++;
    }
    return n;
}

static long futex_wait(uint32_t *uaddr, uint32_t expected, struct clock_deadline deadline,
                       uint32_t bitset)
{
    struct thread *t = current();
    struct futex_waiter w = {.addr = (uint64_t)uaddr, .bitset = bitset, .thread = t};
    uint32_t value;
    bool in_time = true;

    if (get_user(value, uaddr) < 0)
        return -EFAULT;
    /* Nothing can change it between here and the sleep: the kernel is not preempted. */
    if (value != expected)
        return -EAGAIN;
    list_push_back(bucket_of(w.addr), &w.link);
    while (!w.woken && in_time && !t->signal_pending) {
        t->interruptible = true;
        in_time = clock_block(deadline);
        t->interruptible = false;
    }
    list_remove(&w.link);
    if (w.woken)
        return 0;
    if (!in_time)
        return -ETIMEDOUT;
    return deadline.at == WAIT_FOREVER ? -ERESTARTSYS : -EINTR;
}

static long requeue(uint32_t *from, uint32_t *to, int wake_count, int move_count)
{
    struct list *b = bucket_of((uint64_t)from), *dst = bucket_of((uint64_t)to);
    long n;

    if (wake_count < 0 || move_count < 0)
        return -EINVAL;
    if ((uint64_t)to & 3)
        return -EINVAL;
    n = wake((uint64_t)from, wake_count, FUTEX_BITSET_MATCH_ANY);
    if (from == to) /* they stay, and would be met again for ever */
        return n;
    list_for_each_safe (w, b, struct futex_waiter, link) {
        if (move_count == 0)
            break;
        if (w->addr != (uint64_t)from)
            continue;
        list_remove(&w->link);
        w->addr = (uint64_t)to;
        list_push_back(dst, &w->link);
        move_count--;
        n++;
    }
    return n;
}

static int sign_extend12(uint32_t v)
{
    return (int)(v << 20) >> 20;
}

static long wake_op(uint32_t *a, uint32_t *b, int count_a, int count_b, uint32_t op)
{
    int arg = sign_extend12(op >> 12), cmp_arg = sign_extend12(op), old;
    uint32_t new, v;
    bool hit;
    long n;

    if ((uint64_t)b & 3)
        return -EINVAL;
    if (get_user(v, b) < 0)
        return -EFAULT;
    old = v;
    if (op >> 28 & FUTEX_OP_OPARG_SHIFT)
        arg = 1 << (arg & 31);
    switch (op >> 28 & 7) {
    case FUTEX_OP_SET:
        new = arg;
        break;
    case FUTEX_OP_ADD:
        new = old + arg;
        break;
    case FUTEX_OP_OR:
        new = old | arg;
        break;
    case FUTEX_OP_ANDN:
        new = old & ~arg;
        break;
    case FUTEX_OP_XOR:
        new = old ^ arg;
        break;
    default:
        return -ENOSYS;
    }
    if (put_user(new, b) < 0)
        return -EFAULT;
    switch (op >> 24 & 15) {
    case FUTEX_OP_CMP_EQ:
        hit = old == cmp_arg;
        break;
    case FUTEX_OP_CMP_NE:
        hit = old != cmp_arg;
        break;
    case FUTEX_OP_CMP_LT:
        hit = old < cmp_arg;
        break;
    case FUTEX_OP_CMP_LE:
        hit = old <= cmp_arg;
        break;
    case FUTEX_OP_CMP_GT:
        hit = old > cmp_arg;
        break;
    case FUTEX_OP_CMP_GE:
        hit = old >= cmp_arg;
        break;
    default:
        return -ENOSYS;
    }
    n = wake((uint64_t)a, count_a, FUTEX_BITSET_MATCH_ANY);
    if (hit)
        n += wake((uint64_t)b, count_b, FUTEX_BITSET_MATCH_ANY);
    return n;
}

static long sys_futex(uint32_t *uaddr, int op, uint32_t val, const struct __kernel_timespec *ts,
                      uint32_t *uaddr2, uint32_t val3)
{
    int cmd = op & FUTEX_CMD_MASK;
    bool realtime = op & FUTEX_CLOCK_REALTIME;
    struct clock_deadline deadline = CLOCK_FOREVER;
    uint64_t ns;
    uint32_t value;
    int r;

    if ((uint64_t)uaddr & 3 || !user_range_ok(uaddr, sizeof(*uaddr)))
        return (uint64_t)uaddr & 3 ? -EINVAL : -EFAULT;
    if (realtime && cmd != FUTEX_WAIT_BITSET && cmd != FUTEX_WAIT)
        return -ENOSYS;
    switch (cmd) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET:
        if (ts) {
            r = timespec_get(ts, &ns);
            if (r < 0)
                return r;
            /* WAIT's timeout is relative, WAIT_BITSET's a point in time. */
            if (cmd == FUTEX_WAIT)
                deadline.at = deadline_after(ns);
            else
                deadline = (struct clock_deadline){ns, realtime};
        }
        if (cmd == FUTEX_WAIT)
            val3 = FUTEX_BITSET_MATCH_ANY;
        return val3 ? futex_wait(uaddr, val, deadline, val3) : -EINVAL;
    case FUTEX_WAKE:
        return wake((uint64_t)uaddr, (int)val, FUTEX_BITSET_MATCH_ANY);
    case FUTEX_WAKE_BITSET:
        return val3 ? wake((uint64_t)uaddr, (int)val, val3) : -EINVAL;
    case FUTEX_CMP_REQUEUE:
        if (get_user(value, uaddr) < 0)
            return -EFAULT;
        if (value != val3)
            return -EAGAIN;
        return requeue(uaddr, uaddr2, val, (int)(uint64_t)ts);
    case FUTEX_REQUEUE:
        return requeue(uaddr, uaddr2, val, (int)(uint64_t)ts);
    case FUTEX_WAKE_OP:
        return wake_op(uaddr, uaddr2, val, (int)(uint64_t)ts, val3);
    default:
        return -ENOSYS;
    }
}
SYSCALL(futex, PARTIAL, "pxuTpx", "no priority inheritance (FUTEX_LOCK_PI and its kin)");

static long sys_set_robust_list(uint64_t head, size_t len)
{
    if (len != sizeof(struct robust_list_head))
        return -EINVAL;
    current()->robust_list = head;
    current()->robust_list_len = len;
    return 0;
}
SYSCALL(set_robust_list, COMPLETE, "pz", "");

static long sys_get_robust_list(int tid, uint64_t *head, size_t *len)
{
    struct thread *t = tid ? thread_find(tid) : current();

    if (!t)
        return -ESRCH;
    return put_user(sizeof(struct robust_list_head), len) < 0 || put_user(t->robust_list, head) < 0
               ? -EFAULT
               : 0;
}
SYSCALL(get_robust_list, COMPLETE, "ipp", "");

/* A mutex whose owner died: the next one to lock it learns so. */
static void release_robust(const struct thread *t, uint64_t addr)
{
    uint32_t v;

    if (addr & 3 || get_user(v, (uint32_t *)addr) < 0 || (v & FUTEX_TID_MASK) != (uint32_t)t->tid)
        return;
    if (put_user((v & FUTEX_WAITERS) | FUTEX_OWNER_DIED, (uint32_t *)addr) == 0 &&
        v & FUTEX_WAITERS)
        wake(addr, 1, FUTEX_BITSET_MATCH_ANY);
}

static void walk_robust_list(const struct thread *t)
{
    uint64_t head = t->robust_list, entry, pending;
    long offset;

    if (get_user(entry, (uint64_t *)head) < 0 || get_user(offset, (long *)(head + 8)) < 0 ||
        get_user(pending, (uint64_t *)(head + 16)) < 0)
        return;
    /* Bit 0 marks a PI mutex, which we have none of. */
    for (int i = 0; i < ROBUST_LIMIT && (entry & ~1ul) != head; i++) {
        uint64_t next;
        if (get_user(next, (uint64_t *)(entry & ~1ul)) < 0)
            return;
        if (entry != pending)
            release_robust(t, (entry & ~1ul) + offset);
        entry = next;
    }
    if (pending) {
        uint64_t addr = (pending & ~1ul) + offset;
        uint32_t v;

        /* It died between unlocking and waking: the wake-up is ours to give. */
        if (!(addr & 3) && get_user(v, (uint32_t *)addr) == 0 && v == 0)
            wake(addr, 1, FUTEX_BITSET_MATCH_ANY);
        release_robust(t, addr);
    }
}

void futex_thread_exit(struct thread *t)
{
    if (t->robust_list)
        walk_robust_list(t);
    if (t->clear_child_tid && put_user(0, (int *)t->clear_child_tid) == 0)
        wake(t->clear_child_tid, 1, FUTEX_BITSET_MATCH_ANY);
}
