/*
 * eventfd(2): a 64-bit counter with a wait queue. Called by system calls; reads and writes
 * may sleep.
 */
#include "fs/file.h"
#include "linux/syscall.h"
#include "mm/slab.h"

#include <linux/eventpoll.h>

#define EFD_SEMAPHORE 1
#define EFD_CLOEXEC   O_CLOEXEC
#define EFD_NONBLOCK  O_NONBLOCK
#define EVENTFD_MAX   (UINT64_MAX - 1) /* the largest count that writes can reach */

struct eventfd {
    struct file file;
    uint64_t count;
    bool semaphore;
};

static struct eventfd *eventfd_of(struct file *f)
{
    return container_of(f, struct eventfd, file);
}

static ssize_t eventfd_read(struct file *f, struct iov_iter *it, uint64_t *pos)
{
    struct eventfd *e = eventfd_of(f);
    if (it->count < sizeof(uint64_t))
        return -EINVAL;
    if (e->count == 0) {
        if (file_nonblock(f))
            return -EAGAIN;
        int r = wait_event(&f->waitq, EPOLLIN, WAIT_FOREVER, e->count != 0);
        if (r < 0)
            return r;
    }
    uint64_t v = e->semaphore ? 1 : e->count;
    e->count -= v;
    waitq_wake_all(&f->waitq, EPOLLOUT);
    return copy_to_iter(it, &v, sizeof(v));
}

static ssize_t eventfd_write(struct file *f, struct iov_iter *it, uint64_t *pos)
{
    struct eventfd *e = eventfd_of(f);
    uint64_t v;
    if (it->count < sizeof(v))
        return -EINVAL;
    if (copy_from_iter(it, &v, sizeof(v)) != sizeof(v))
        return -EFAULT;
    if (v == UINT64_MAX)
        return -EINVAL;
    if (v > EVENTFD_MAX - e->count) {
        if (file_nonblock(f))
            return -EAGAIN;
        int r = wait_event(&f->waitq, EPOLLOUT, WAIT_FOREVER, v <= EVENTFD_MAX - e->count);
        if (r < 0)
            return r;
    }
    e->count += v;
    /* A write of 0 changes nothing, but an edge-triggered watcher is told of it as in Linux. */
    waitq_wake_all(&f->waitq, EPOLLIN);
    if (unlikely(f->flags & O_ASYNC))
        file_sigio(f, EPOLLIN);
    return sizeof(v);
}

static uint32_t eventfd_poll(struct file *f)
{
    uint64_t count = eventfd_of(f)->count;
    return (count > 0 ? EPOLLIN : 0) | (count < EVENTFD_MAX ? EPOLLOUT : 0);
}

static void eventfd_release(struct file *f)
{
    kfree(eventfd_of(f));
}

static const struct file_ops eventfd_ops = {
    .name = "anon_inode:[eventfd]",
    .read = eventfd_read,
    .write = eventfd_write,
    .poll = eventfd_poll,
    .release = eventfd_release,
};

static long sys_eventfd2(unsigned count, int flags)
{
    if (flags & ~(EFD_SEMAPHORE | EFD_CLOEXEC | EFD_NONBLOCK))
        return -EINVAL;
    struct eventfd *e = kzalloc(sizeof(*e));
    if (!e)
        return -ENOMEM;
    file_init(&e->file, &eventfd_ops, O_RDWR | (flags & EFD_NONBLOCK), FILE_STREAM);
    e->count = count;
    e->semaphore = flags & EFD_SEMAPHORE;
    int fd = fd_install(&e->file, 0, flags & EFD_CLOEXEC);
    if (fd < 0)
        file_put(&e->file);
    return fd;
}
SYSCALL(eventfd2, COMPLETE, "ux", "");

static long sys_eventfd(unsigned count)
{
    return sys_eventfd2(count, 0);
}
SYSCALL(eventfd, COMPLETE, "u", "");
