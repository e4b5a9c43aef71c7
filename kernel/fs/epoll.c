/*
 * epoll(7). An item is one (file, descriptor) pair that an epoll watches. It hangs a waiter
 * on the file's wait queue; a wake-up with events of interest puts the item on the epoll's
 * ready list, and epoll_wait asks only the files on that list. A level-triggered item that was
 * reported goes back to the end of the list, so it is asked again next time and the order
 * rotates; an edge-triggered one waits for its next wake-up.
 *
 * An item holds no reference on its file: it dies when the file does (epoll_file_released) or
 * with the epoll. Both unlink it everywhere at once, which is safe because nothing here keeps a
 * pointer to an item across a sleep: events are gathered in kernel memory without sleeping and
 * then copied out in one go.
 *
 * Called by system calls (threads, may sleep) and by wait queues (any context, does not).
 */
#include "fs/epoll.h"

#include "fs/file.h"
#include "fs/poll.h"
#include "linux/syscall.h"
#include "mm/slab.h"
#include "sched/thread.h"

#define EP_BATCH       32 /* events gathered before they are copied out */
#define EP_SLOTS       8  /* of the hash table an epoll begins with */
#define EP_MAX_EVENTS  ((int)(INT32_MAX / sizeof(struct epoll_event)))
#define EP_MAX_WATCHES (1u << 22) /* of the machine; Linux: /proc/sys/fs/epoll/max_user_watches */
#define EP_MAX_DEPTH   5          /* epolls in a chain of epolls watching each other */
#define EP_MODES       (EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE)
#define EP_ALWAYS      (EPOLLERR | EPOLLHUP)
#define EP_EXCLUSIVE_OK                                                                            \
    (EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE)
/* Names for readable and writable that files need not report themselves (poll_normalise). */
#define EP_ALIASES (EPOLLRDNORM | EPOLLWRNORM)

struct epoll;

struct ep_item {
    struct waiter w; /* on the file's queue; w.events: what to report, 0 while disabled */
    struct list ready;
    struct file *file;
    uint64_t data;
    uint32_t events; /* as the application gave them */
    uint32_t pass;   /* delivery that looked at it last */
    struct epoll *ep;
    struct ep_item *hash_next;
    struct list watch; /* in file->watches */
    int fd;
    uint32_t fired; /* delivery that disabled it (EPOLLONESHOT), 0 while armed */
};

struct epoll {
    struct file file;
    struct list ready; /* ep_item.ready */
    struct waitq
        sleepers;         /* threads in epoll_wait; file.waitq is for pollers of the epoll itself */
    uint32_t pass;        /* number of the last delivery, never 0 once one was */
    uint32_t count, mask; /* items; slots - 1 */
    struct ep_item **slots; /* items by descriptor */
    struct ep_item *first_slots[EP_SLOTS];
    uint32_t check; /* loop check that visited it last, and the depth it found */
    int depth;
};

struct ep_sleeper {
    struct waiter w;
    struct thread *thread;
    bool woken;
};

struct epoll_stats epoll_stats;

static uint32_t loop_checks;
static const struct file_ops epoll_ops;

static struct epoll *epoll_of(struct file *f)
{
    return container_of(f, struct epoll, file);
}

/* ---- Readiness --------------------------------------------------------------------------- */

/* What the item has to report now. */
static uint32_t item_poll(const struct ep_item *it)
{
    uint32_t events = it->file->ops->poll(it->file);
    if (unlikely(it->events & EP_ALIASES))
        events = poll_normalise(events) & (it->events | EP_ALWAYS);
    return events & it->w.events;
}

static void mark_ready(struct ep_item *it)
{
    struct epoll *ep = it->ep;
    list_push_back(&ep->ready, &it->ready);
    waitq_wake(&ep->sleepers, EPOLLIN);
    waitq_wake(&ep->file.waitq, EPOLLIN);
}

/* The file says that something happened. */
static bool item_wake(struct waiter *w, uint32_t events)
{
    struct ep_item *it = container_of(w, struct ep_item, w);
    /* An exclusive wake-up is used up only if a thread here acts on it. */
    bool taken = !w->exclusive || !list_empty(&it->ep->sleepers.waiters);
    if (list_empty(&it->ready))
        mark_ready(it);
    return taken;
}

static uint32_t epoll_poll(struct file *f)
{
    struct epoll *ep = epoll_of(f);
    list_for_each_safe (it, &ep->ready, struct ep_item, ready) {
        if (item_poll(it))
            return EPOLLIN | EPOLLRDNORM;
        list_remove(&it->ready);
    }
    return 0;
}

/* ---- Items ------------------------------------------------------------------------------- */

static struct ep_item **item_slot(const struct epoll *ep, int fd)
{
    return &ep->slots[(unsigned)fd & ep->mask];
}

static struct ep_item *item_find(const struct epoll *ep, const struct file *f, int fd)
{
    struct ep_item *it = *item_slot(ep, fd);
    while (it && (it->fd != fd || it->file != f))
        it = it->hash_next;
    return it;
}

/* Doubles the table. Without memory the chains just become longer. */
static void slots_grow(struct epoll *ep)
{
    uint32_t mask = ep->mask * 2 + 1;
    struct ep_item **old = ep->slots, **slots = kzalloc((mask + 1ul) * sizeof(*slots));
    if (!slots)
        return;
    ep->slots = slots;
    for (uint32_t i = 0; i <= ep->mask; i++) {
        for (struct ep_item *it = old[i], *next; it; it = next) {
            next = it->hash_next;
            struct ep_item **slot = &slots[(unsigned)it->fd & mask];
            it->hash_next = *slot;
            *slot = it;
        }
    }
    ep->mask = mask;
    if (old != ep->first_slots)
        kfree(old);
}

static void item_set_events(struct ep_item *it, uint32_t events, uint64_t data)
{
    uint32_t mask = (events & ~EP_MODES) | EP_ALWAYS;
    if (mask & EPOLLRDNORM)
        mask |= EPOLLIN;
    if (mask & EPOLLWRNORM)
        mask |= EPOLLOUT;
    it->events = events;
    it->data = data;
    it->fired = 0;
    it->w.events = mask;
}

static void item_drop(struct ep_item *it)
{
    struct epoll *ep = it->ep;
    struct ep_item **p = item_slot(ep, it->fd);
    while (*p != it)
        p = &(*p)->hash_next;
    *p = it->hash_next;
    waitq_remove(&it->w);
    list_remove(&it->watch);
    list_remove(&it->ready);
    ep->count--;
    epoll_stats.watches--;
    kfree(it);
}

void epoll_file_released(struct file *f)
{
    while (!list_empty(&f->watches))
        item_drop(list_first(&f->watches, struct ep_item, watch));
}

/* ---- Epolls watching epolls -------------------------------------------------------------- */

/* Epolls in the longest chain that begins with ep, following what is watched; EP_MAX_DEPTH + 1
 * stands for "too many, or target is among them". */
static int depth_below(struct epoll *ep, const struct epoll *target)
{
    if (ep == target)
        return EP_MAX_DEPTH + 1;
    if (ep->check == loop_checks)
        return ep->depth;
    int deepest = 0;
    for (uint32_t i = 0; i <= ep->mask && deepest < EP_MAX_DEPTH; i++) {
        for (struct ep_item *it = ep->slots[i]; it; it = it->hash_next) {
            if (it->file->kind & FILE_EPOLL)
                deepest = MAX(deepest, depth_below(epoll_of(it->file), target));
        }
    }
    ep->check = loop_checks;
    ep->depth = MIN(deepest + 1, EP_MAX_DEPTH + 1);
    return ep->depth;
}

/* The same towards those who watch ep. The links form no loop: those were refused. */
static int depth_above(struct epoll *ep)
{
    if (ep->check == loop_checks)
        return ep->depth;
    int deepest = 0;
    list_for_each (it, &ep->file.watches, struct ep_item, watch)
        deepest = MAX(deepest, depth_above(it->ep));
    ep->check = loop_checks;
    ep->depth = deepest + 1;
    return ep->depth;
}

/* May ep watch target? Wake-ups and polls recurse along the chain, so it has to be short. */
static int check_nesting(struct epoll *ep, struct epoll *target)
{
    loop_checks++;
    int below = depth_below(target, ep);
    if (below > EP_MAX_DEPTH)
        return -ELOOP;
    loop_checks++;
    return below + depth_above(ep) > EP_MAX_DEPTH ? -ELOOP : 0;
}

/* ---- epoll_ctl --------------------------------------------------------------------------- */

static int item_add(struct epoll *ep, struct file *f, int fd, uint32_t events, uint64_t data)
{
    if (f->kind & FILE_EPOLL) {
        int r = check_nesting(ep, epoll_of(f));
        if (r < 0)
            return r;
    }
    if (epoll_stats.watches >= EP_MAX_WATCHES)
        return -ENOSPC;
    struct ep_item *it = kzalloc(sizeof(*it));
    if (!it)
        return -ENOMEM;
    if (ep->count > ep->mask)
        slots_grow(ep);
    it->ep = ep;
    it->file = f;
    it->fd = fd;
    list_init(&it->ready);
    item_set_events(it, events, data);
    it->w.exclusive = events & EPOLLEXCLUSIVE;
    it->w.wake = item_wake;
    struct ep_item **slot = item_slot(ep, fd);
    it->hash_next = *slot;
    *slot = it;
    ep->count++;
    epoll_stats.watches++;
    list_push_back(&f->watches, &it->watch);
    waitq_add(&f->waitq, &it->w);
    if (item_poll(it))
        mark_ready(it);
    return 0;
}

static int item_modify(struct ep_item *it, uint32_t events, uint64_t data)
{
    if ((it->events | events) & EPOLLEXCLUSIVE)
        return -EINVAL;
    item_set_events(it, events, data);
    if (list_empty(&it->ready) && item_poll(it))
        mark_ready(it);
    return 0;
}

static long sys_epoll_ctl(int epfd, int op, int fd, const struct epoll_event *uev)
{
    uint32_t events = 0;
    uint64_t data = 0;
    if (op != EPOLL_CTL_DEL) {
        const char *u = (const char *)uev;
        if (get_user(events, (const uint32_t *)u) < 0 ||
            get_user(data, (const uint64_t *)(u + offsetof(struct epoll_event, data))) < 0)
            return -EFAULT;
        /* Nothing is ever suspended here; Linux drops it too for want of CAP_BLOCK_SUSPEND. */
        events &= ~EPOLLWAKEUP;
    }
    /* Nothing below sleeps: the files stay without references. */
    struct file *epf = fd_peek(epfd), *f = fd_peek(fd);
    if (!epf || !f || ((epf->kind | f->kind) & FILE_PATH))
        return -EBADF;
    if (!f->ops->poll)
        return -EPERM;
    if (epf == f || !(epf->kind & FILE_EPOLL))
        return -EINVAL;
    if (unlikely(events & EPOLLEXCLUSIVE) &&
        (op == EPOLL_CTL_MOD ||
         (op == EPOLL_CTL_ADD && ((f->kind & FILE_EPOLL) || (events & ~EP_EXCLUSIVE_OK)))))
        return -EINVAL;

    struct epoll *ep = epoll_of(epf);
    struct ep_item *it = item_find(ep, f, fd);
    switch (op) {
    case EPOLL_CTL_ADD:
        return it ? -EEXIST : item_add(ep, f, fd, events, data);
    case EPOLL_CTL_MOD:
        return it ? item_modify(it, events, data) : -ENOENT;
    case EPOLL_CTL_DEL:
        if (!it)
            return -ENOENT;
        item_drop(it);
        return 0;
    default:
        return -EINVAL;
    }
}
SYSCALL(epoll_ctl, COMPLETE, "didE", "");

/* ---- epoll_wait -------------------------------------------------------------------------- */

/* Gathers up to max events without sleeping. An item looked at in this delivery before ends it:
 * the list went round. */
static unsigned collect(struct epoll *ep, struct epoll_event *out, unsigned max, uint32_t pass)
{
    unsigned n = 0;
    while (n < max && !list_empty(&ep->ready)) {
        struct ep_item *it = container_of(ep->ready.next, struct ep_item, ready);
        if (it->pass == pass)
            break;
        it->pass = pass;
        list_remove(&it->ready);
        uint32_t events = item_poll(it);
        if (!events) {
            epoll_stats.stale++;
            continue;
        }
        out[n].events = events;
        out[n].data = it->data;
        n++;
        if (it->events & EPOLLONESHOT) {
            it->fired = pass;
            it->w.events = 0;
        } else if (!(it->events & EPOLLET)) {
            list_push_back(&ep->ready, &it->ready);
        }
    }
    return n;
}

/* The application's array could not be written: nothing of the delivery may be lost. Items are
 * armed and asked again, all of them, as some may be gone since. */
static __cold void undo(struct epoll *ep, uint32_t pass)
{
    for (uint32_t i = 0; i <= ep->mask; i++) {
        for (struct ep_item *it = ep->slots[i]; it; it = it->hash_next) {
            if (it->fired == pass)
                item_set_events(it, it->events, it->data);
            if (list_empty(&it->ready) && item_poll(it))
                mark_ready(it);
        }
    }
}

static long deliver(struct epoll *ep, struct epoll_event *uev, unsigned max)
{
    struct epoll_event buf[EP_BATCH];
    uint32_t pass = ++ep->pass;
    if (unlikely(pass == 0))
        pass = ++ep->pass;
    unsigned total = 0, n;
    do {
        n = collect(ep, buf, MIN(max - total, (unsigned)EP_BATCH), pass);
        if (n == 0)
            break;
        if (unlikely(copy_to_user(uev + total, buf, n * sizeof(*buf)) < 0)) {
            undo(ep, pass);
            if (total == 0)
                return -EFAULT;
            break;
        }
        total += n;
    } while (n == EP_BATCH && total < max);
    epoll_stats.events += total;
    /* One event wakes one thread; what is left over is the next one's. */
    if (!list_empty(&ep->ready))
        waitq_wake(&ep->sleepers, EPOLLIN);
    return total;
}

static bool sleeper_wake(struct waiter *w, uint32_t events)
{
    struct ep_sleeper *s = container_of(w, struct ep_sleeper, w);
    s->woken = true;
    waitq_remove(w);
    thread_wake(s->thread);
    return true;
}

/* 0 when something became ready, -EINTR, -ETIMEDOUT. */
static int sleep_on(struct epoll *ep, uint64_t deadline)
{
    struct ep_sleeper s = {
        .w = {.events = EPOLLIN, .exclusive = true, .wake = sleeper_wake},
        .thread = current(),
    };
    int r = 0;
    epoll_stats.sleeps++;
    waitq_add(&ep->sleepers, &s.w);
    current()->interruptible = true;
    while (!s.woken) {
        if (signal_pending()) {
            r = -EINTR;
            break;
        }
        if (!thread_block(deadline) && !s.woken) {
            r = -ETIMEDOUT;
            break;
        }
    }
    current()->interruptible = false;
    waitq_remove(&s.w);
    return r;
}

static long ep_wait(int epfd, struct epoll_event *uev, int max, struct poll_limit *limit)
{
    if (unlikely(max <= 0 || max > EP_MAX_EVENTS))
        return -EINVAL;
    if (unlikely(!user_range_ok(uev, (size_t)max * sizeof(*uev))))
        return -EFAULT;
    struct file *f = fd_peek(epfd);
    if (unlikely(!f || (f->kind & FILE_PATH)))
        return -EBADF;
    if (unlikely(!(f->kind & FILE_EPOLL)))
        return -EINVAL;
    struct epoll *ep = epoll_of(f);
    file_get(f);
    epoll_stats.waits++;

    /* Serve the network first, even if something is ready: events come in batches then. */
    pollers_run();
    long r = 0;
    while (true) {
        if (!list_empty(&ep->ready)) {
            long n = deliver(ep, uev, max);
            if (n != 0) {
                r = n;
                break;
            }
        }
        if (limit->timeout == 0 || r == -ETIMEDOUT) {
            r = 0;
            break;
        }
        if (r < 0)
            break;
        /* Polls the devices for as long as nobody else wants to run. */
        r = sleep_on(ep, poll_deadline(limit));
    }
    file_put(f);
    return r;
}

static long sys_epoll_wait(int epfd, struct epoll_event *uev, int max, int timeout)
{
    struct poll_limit limit = {.timeout = poll_ms(timeout)};
    return ep_wait(epfd, uev, max, &limit);
}
SYSCALL(epoll_wait, COMPLETE, "dpii", "");

static long sys_epoll_pwait(int epfd, struct epoll_event *uev, int max, int timeout,
                            const uint64_t *sigmask, size_t size)
{
    struct poll_limit limit = {.timeout = poll_ms(timeout)};
    struct poll_sigmask mask;
    long r = poll_sigmask_enter(&mask, sigmask, size);
    if (r < 0)
        return r;
    r = ep_wait(epfd, uev, max, &limit);
    poll_sigmask_leave(&mask, r);
    return r;
}
SYSCALL(epoll_pwait, COMPLETE, "dpiipz", "");

static long sys_epoll_pwait2(int epfd, struct epoll_event *uev, int max,
                             const struct __kernel_timespec *timeout, const uint64_t *sigmask,
                             size_t size)
{
    struct poll_limit limit = {0};
    struct poll_sigmask mask;
    long r = poll_timespec(timeout, &limit.timeout);
    if (r == 0)
        r = poll_sigmask_enter(&mask, sigmask, size);
    if (r < 0)
        return r;
    r = ep_wait(epfd, uev, max, &limit);
    poll_sigmask_leave(&mask, r);
    return r;
}
SYSCALL(epoll_pwait2, COMPLETE, "dpiTpz", "");

/* ---- Creation and end -------------------------------------------------------------------- */

static void epoll_release(struct file *f)
{
    struct epoll *ep = epoll_of(f);
    for (uint32_t i = 0; i <= ep->mask; i++) {
        while (ep->slots[i])
            item_drop(ep->slots[i]);
    }
    if (ep->slots != ep->first_slots)
        kfree(ep->slots);
    kfree(ep);
}

static const struct file_ops epoll_ops = {
    .name = "anon_inode:[eventpoll]",
    .poll = epoll_poll,
    .release = epoll_release,
};

static long sys_epoll_create1(int flags)
{
    if (flags & ~EPOLL_CLOEXEC)
        return -EINVAL;
    struct epoll *ep = kzalloc(sizeof(*ep));
    if (!ep)
        return -ENOMEM;
    file_init(&ep->file, &epoll_ops, O_RDWR, FILE_STREAM | FILE_EPOLL);
    list_init(&ep->ready);
    waitq_init(&ep->sleepers);
    ep->slots = ep->first_slots;
    ep->mask = EP_SLOTS - 1;
    int fd = fd_install(&ep->file, 0, flags);
    if (fd < 0)
        file_put(&ep->file);
    return fd;
}
SYSCALL(epoll_create1, COMPLETE, "O", "");

static long sys_epoll_create(int size)
{
    return size <= 0 ? -EINVAL : sys_epoll_create1(0);
}
SYSCALL(epoll_create, COMPLETE, "i", "");
