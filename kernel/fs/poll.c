/*
 * poll, ppoll, select and pselect6: one engine over an array of struct pollfd, into which
 * select's bit sets are translated. A thread that finds nothing ready hangs one waiter on
 * each file and sleeps until any of them fires. Small sets live on the kernel stack.
 * Called by system calls only; may sleep.
 */
#include "fs/file.h"
#include "fs/poll.h"
#include "linux/syscall.h"
#include "mm/slab.h"
#include "sched/thread.h"

#include <asm/poll.h>

#define POLL_FAST     16 /* descriptors that need no allocation */
#define POLL_KMALLOC  (32 * KiB)
#define SELECT_FAST   (1024 / 64) /* words of a bit set that need none: glibc's FD_SETSIZE */
#define SELECT_SETS   3
#define SELECT_IN     (EPOLLRDNORM | EPOLLRDBAND | EPOLLIN | EPOLLHUP | EPOLLERR)
#define SELECT_OUT    (EPOLLWRBAND | EPOLLWRNORM | EPOLLOUT | EPOLLERR)
#define SELECT_EXCEPT EPOLLPRI
#define USEC_PER_SEC  1000000
/* What poll reports without being asked. select does not: its sets are all it reports. */
#define POLL_ALWAYS (EPOLLERR | EPOLLHUP | EPOLLNVAL)

struct poll_sleep {
    struct thread *thread;
    bool woken;
};

struct poll_entry {
    struct waiter w;
    struct poll_sleep *sleep;
    struct file *file; /* referenced */
};

static void *poll_alloc(size_t size)
{
    return size <= POLL_KMALLOC ? kmalloc(size) : vmalloc(size);
}

static void poll_free(void *p, size_t size)
{
    if (size <= POLL_KMALLOC)
        kfree(p);
    else
        vfree(p);
}

static struct file *poll_file(int fd)
{
    struct file *f = fd_peek(fd);
    return f && !(f->kind & FILE_PATH) ? f : NULL;
}

/* Fills in revents without sleeping; returns how many descriptors have some. */
static unsigned scan(struct pollfd *fds, unsigned n, uint32_t always)
{
    unsigned found = 0;
    for (unsigned i = 0; i < n; i++) {
        uint32_t events = 0;
        if (fds[i].fd >= 0) {
            struct file *f = poll_file(fds[i].fd);
            events = f ? poll_normalise(file_poll(f)) : EPOLLNVAL;
            events &= (uint16_t)fds[i].events | always;
        }
        fds[i].revents = (short)events;
        found += events != 0;
    }
    return found;
}

static bool entry_wake(struct waiter *w, uint32_t events)
{
    struct poll_entry *e = container_of(w, struct poll_entry, w);
    e->sleep->woken = true;
    thread_wake(e->sleep->thread);
    return true;
}

static unsigned hang(struct poll_entry *entries, struct poll_sleep *s, const struct pollfd *fds,
                     unsigned n, uint32_t always)
{
    unsigned hung = 0;
    for (unsigned i = 0; i < n; i++) {
        struct file *f = fds[i].fd >= 0 ? poll_file(fds[i].fd) : NULL;
        if (!f)
            continue;
        uint32_t events = (uint16_t)fds[i].events | always;
        if (events & EPOLLRDNORM)
            events |= EPOLLIN;
        if (events & EPOLLWRNORM)
            events |= EPOLLOUT;
        struct poll_entry *e = &entries[hung++];
        *e =
            (struct poll_entry){.w = {.events = events, .wake = entry_wake}, .sleep = s, .file = f};
        file_get(f);
        waitq_add(&f->waitq, &e->w);
    }
    return hung;
}

/* The number of descriptors with events, 0 when the time is over, -EINTR, -ENOMEM. */
static long poll_wait(struct pollfd *fds, unsigned n, uint32_t always, struct poll_limit *limit)
{
    pollers_run();
    unsigned found = scan(fds, n, always);
    if (found || limit->timeout == 0)
        return found;

    struct poll_entry fast[POLL_FAST], *entries = fast;
    if (n > POLL_FAST) {
        entries = poll_alloc(n * sizeof(*entries));
        if (!entries)
            return -ENOMEM;
    }
    struct poll_sleep s = {.thread = current()};
    uint64_t deadline = poll_deadline(limit);
    unsigned hung = hang(entries, &s, fds, n, always);
    long r = 0;
    bool in_time = true;
    current()->interruptible = true;
    do {
        if (signal_pending()) {
            r = -EINTR;
            break;
        }
        in_time = thread_block(deadline);
        if (s.woken || !in_time) {
            s.woken = false;
            r = scan(fds, n, always);
        }
    } while (r == 0 && in_time);
    current()->interruptible = false;

    for (unsigned i = 0; i < hung; i++)
        waitq_remove(&entries[i].w);
    for (unsigned i = 0; i < hung; i++)
        file_put(entries[i].file);
    if (entries != fast)
        poll_free(entries, n * sizeof(*entries));
    return r;
}

/* ---- poll -------------------------------------------------------------------------------- */

static long poll_user(struct pollfd *ufds, unsigned n, struct poll_limit *limit)
{
    if (n > fd_rlimit)
        return -EINVAL;
    struct pollfd fast[POLL_FAST], *fds = fast;
    if (n > POLL_FAST) {
        fds = poll_alloc(n * sizeof(*fds));
        if (!fds)
            return -ENOMEM;
    }
    long r = copy_from_user(fds, ufds, n * sizeof(*fds));
    if (r == 0)
        r = poll_wait(fds, n, POLL_ALWAYS, limit);
    if (r >= 0) {
        for (unsigned i = 0; i < n; i++) {
            if (put_user(fds[i].revents, &ufds[i].revents) < 0) {
                r = -EFAULT;
                break;
            }
        }
    }
    if (fds != fast)
        poll_free(fds, n * sizeof(*fds));
    return r;
}

static long sys_poll(struct pollfd *ufds, unsigned n, int timeout)
{
    struct poll_limit limit = {.timeout = poll_ms(timeout)};
    return poll_user(ufds, n, &limit);
}
SYSCALL(poll, COMPLETE, "pui", "");

/* What is left of the time, in ns. */
static uint64_t poll_left(const struct poll_limit *limit)
{
    if (limit->deadline == 0)
        return limit->timeout;
    uint64_t now = clock_mono_ns();
    return limit->deadline > now ? limit->deadline - now : 0;
}

/* As Linux, the calls with a timespec report the time left, and a caller whose timespec is
 * read-only does not mind. */
static void put_timespec_left(struct __kernel_timespec *uts, const struct poll_limit *limit)
{
    uint64_t left = poll_left(limit);
    if (!uts || limit->timeout == 0 || limit->timeout == WAIT_FOREVER)
        return;
    struct __kernel_timespec ts = {left / NSEC_PER_SEC, left % NSEC_PER_SEC};
    (void)copy_to_user(uts, &ts, sizeof(ts));
}

static long sys_ppoll(struct pollfd *ufds, unsigned n, struct __kernel_timespec *timeout,
                      const uint64_t *sigmask, size_t size)
{
    struct poll_limit limit = {0};
    struct poll_sigmask mask;
    long r = poll_timespec(timeout, &limit.timeout);
    if (r == 0)
        r = poll_sigmask_enter(&mask, sigmask, size);
    if (r < 0)
        return r;
    r = poll_user(ufds, n, &limit);
    poll_sigmask_leave(&mask, r);
    put_timespec_left(timeout, &limit);
    return r;
}
SYSCALL(ppoll, COMPLETE, "puTpz", "");

/* ---- select ------------------------------------------------------------------------------ */

static const uint32_t select_events[SELECT_SETS] = {SELECT_IN, SELECT_OUT, SELECT_EXCEPT};

/* The events that select's bit sets ask of descriptor fd. */
static uint32_t wanted(uint64_t *const sets[SELECT_SETS], unsigned fd)
{
    uint32_t events = 0;
    for (int s = 0; s < SELECT_SETS; s++) {
        if (sets[s][fd / 64] >> fd % 64 & 1)
            events |= select_events[s];
    }
    return events;
}

/* Turns sets into an array of the descriptors in them: their number, -EBADF. */
static long sets_to_fds(uint64_t *const sets[SELECT_SETS], unsigned words, struct pollfd *fds)
{
    unsigned count = 0;
    for (unsigned word = 0; word < words; word++) {
        uint64_t any = sets[0][word] | sets[1][word] | sets[2][word];
        for (; any; any &= any - 1) {
            int fd = (int)(word * 64) + __builtin_ctzll(any);
            if (!poll_file(fd))
                return -EBADF;
            fds[count++] = (struct pollfd){.fd = fd, .events = (short)wanted(sets, fd)};
        }
    }
    return count;
}

/* The other way: leaves in the sets what is ready, and returns the number of bits. */
static long fds_to_sets(const struct pollfd *fds, unsigned count, uint64_t *const sets[SELECT_SETS])
{
    long bits = 0;
    for (unsigned i = 0; i < count; i++) {
        unsigned fd = (unsigned)fds[i].fd;
        for (int s = 0; s < SELECT_SETS; s++) {
            uint64_t bit = 1ull << fd % 64;
            if (!(sets[s][fd / 64] & bit))
                continue;
            if ((uint16_t)fds[i].revents & select_events[s])
                bits++;
            else
                sets[s][fd / 64] &= ~bit;
        }
    }
    return bits;
}

/* Bits at and above n are not select's business. */
static void mask_tail(uint64_t *set, unsigned n)
{
    if (n % 64)
        set[n / 64] &= (1ull << n % 64) - 1;
}

static unsigned count_bits(uint64_t *const sets[SELECT_SETS], unsigned words)
{
    unsigned count = 0;
    for (unsigned i = 0; i < words; i++) {
        for (uint64_t any = sets[0][i] | sets[1][i] | sets[2][i]; any; any &= any - 1)
            count++;
    }
    return count;
}

static long select_sets(uint64_t *const sets[SELECT_SETS], unsigned words, struct poll_limit *limit)
{
    unsigned count = count_bits(sets, words);
    struct pollfd fast[POLL_FAST], *fds = fast;
    if (count > POLL_FAST) {
        fds = poll_alloc(count * sizeof(*fds));
        if (!fds)
            return -ENOMEM;
    }
    long r = sets_to_fds(sets, words, fds);
    if (r >= 0)
        r = poll_wait(fds, count, 0, limit);
    if (r >= 0)
        r = fds_to_sets(fds, count, sets);
    if (fds != fast)
        poll_free(fds, count * sizeof(*fds));
    return r;
}

static long select_user(int n, uint64_t *const usets[SELECT_SETS], struct poll_limit *limit)
{
    if (n < 0)
        return -EINVAL;
    /* Descriptors beyond the table cannot be open: not looked at, as in Linux. */
    unsigned bits = MIN((unsigned)n, fd_limit), words = (bits + 63) / 64;
    uint64_t fast[SELECT_SETS * SELECT_FAST], *buf = fast;
    size_t size = SELECT_SETS * words * sizeof(uint64_t);
    if (size > sizeof(fast)) {
        buf = poll_alloc(size);
        if (!buf)
            return -ENOMEM;
    }
    uint64_t *const sets[SELECT_SETS] = {buf, buf + words, buf + 2 * words};
    long r = 0;
    for (int s = 0; s < SELECT_SETS && r == 0; s++) {
        if (usets[s])
            r = copy_from_user(sets[s], usets[s], words * sizeof(uint64_t));
        else
            memset(sets[s], 0, words * sizeof(uint64_t));
        mask_tail(sets[s], bits);
    }
    if (r == 0)
        r = select_sets(sets, words, limit);
    for (int s = 0; s < SELECT_SETS && r >= 0; s++) {
        if (usets[s] && copy_to_user(usets[s], sets[s], words * sizeof(uint64_t)) < 0)
            r = -EFAULT;
    }
    if (buf != fast)
        poll_free(buf, size);
    return r;
}

static long sys_select(int n, uint64_t *in, uint64_t *out, uint64_t *except,
                       struct __kernel_old_timeval *utv)
{
    struct poll_limit limit = {.timeout = WAIT_FOREVER};
    struct __kernel_old_timeval tv;
    if (utv) {
        if (copy_from_user(&tv, utv, sizeof(tv)) < 0)
            return -EFAULT;
        /* Linux lets whole seconds hide in tv_usec. */
        int64_t sec;
        if (__builtin_add_overflow(tv.tv_sec, tv.tv_usec / USEC_PER_SEC, &sec) ||
            poll_interval(sec, tv.tv_usec % USEC_PER_SEC * (int64_t)NSEC_PER_USEC, &limit.timeout) <
                0)
            return -EINVAL;
    }
    uint64_t *const usets[SELECT_SETS] = {in, out, except};
    long r = select_user(n, usets, &limit);
    if (utv && limit.timeout != 0 && limit.timeout != WAIT_FOREVER) {
        uint64_t left = poll_left(&limit);
        tv =
            (struct __kernel_old_timeval){left / NSEC_PER_SEC, left % NSEC_PER_SEC / NSEC_PER_USEC};
        (void)copy_to_user(utv, &tv, sizeof(tv));
    }
    return r;
}
SYSCALL(select, COMPLETE, "ipppp", "");

/* pselect6's last argument: the mask and its size, as six registers hold no seventh. */
struct pselect_mask {
    const uint64_t *mask;
    size_t size;
};

static long sys_pselect6(int n, uint64_t *in, uint64_t *out, uint64_t *except,
                         struct __kernel_timespec *timeout, const struct pselect_mask *uarg)
{
    struct poll_limit limit = {0};
    struct pselect_mask arg = {0};
    struct poll_sigmask mask;
    if (uarg && copy_from_user(&arg, uarg, sizeof(arg)) < 0)
        return -EFAULT;
    long r = poll_timespec(timeout, &limit.timeout);
    if (r == 0)
        r = poll_sigmask_enter(&mask, arg.mask, arg.size);
    if (r < 0)
        return r;
    uint64_t *const usets[SELECT_SETS] = {in, out, except};
    r = select_user(n, usets, &limit);
    poll_sigmask_leave(&mask, r);
    put_timespec_left(timeout, &limit);
    return r;
}
SYSCALL(pselect6, COMPLETE, "ippppTp", "");
