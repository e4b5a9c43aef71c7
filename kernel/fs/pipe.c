/*
 * pipe(2) and fifo(7). A pipe is a ring of page frames (fs/pipe_ring.c), its open ends, and a
 * lock. Copies to and from the application may sleep in a page fault, so whoever moves data
 * holds the lock, which keeps a write of up to PIPE_BUF bytes in one piece; a thread that
 * finds the pipe full or empty gives it up and sleeps on its own end's wait queue. Polling needs no
 * lock.
 *
 * As in Linux, a write goes behind the newest page's bytes only if its odd part fits there;
 * otherwise it starts a page. So a pipe that has a free slot takes PIPE_BUF bytes at once, which
 * is what EPOLLOUT promises.
 *
 * Called by system calls and the path walk (threads); reads, writes and fifo_open() may sleep.
 */
#include "fs/pipe.h"

#include "arch/x86_64/uaccess.h"
#include "fs/pipe_ring.h"
#include "fs/vfs.h"
#include "linux/signal.h"
#include "linux/syscall.h"
#include "mm/frame.h"
#include "mm/layout.h"
#include "mm/slab.h"
#include "sched/clock.h"
#include "sched/thread.h"

#include <asm/ioctls.h>
#include <linux/eventpoll.h>

#define PIPE_MODE       (S_IFIFO | 0600)
#define PIPE_SIZE_LIMIT (1ul << 31) /* F_SETPIPE_SZ refuses more as invalid */

struct pipe {
    struct pipe_ring ring;
    struct list files;                /* pipe_file.link */
    uint32_t readers, writers;        /* open ends; one opened O_RDWR is both */
    uint32_t read_opens, write_opens; /* ever: what a FIFO's open waits to see change */
    bool locked;
    struct waitq lock_wait, open_wait;
    struct inode *inode; /* of a FIFO, kept by the files; NULL for pipe(2) */
    uint64_t ino;        /* what fstat shows for pipe(2) */
    uint64_t created;    /* CLOCK_REALTIME, for fstat */
};

struct pipe_file {
    struct file file;
    struct pipe *pipe;
    struct list link;
    /* Opened O_NONBLOCK before any writer came: no EPOLLHUP until write_opens changes. */
    uint32_t quiet_opens;
    bool quiet;
};

struct pipe_stats pipe_stats;

static uint64_t next_ino = 1;
static const struct file_ops pipe_ops;

static struct pipe_file *pipe_file_of(struct file *f)
{
    return container_of(f, struct pipe_file, file);
}

static struct pipe *pipe_of(struct file *f)
{
    return pipe_file_of(f)->pipe;
}

static bool can_read(const struct file *f)
{
    return (f->flags & O_ACCMODE) != O_WRONLY;
}

static bool can_write(const struct file *f)
{
    return (f->flags & O_ACCMODE) != O_RDONLY;
}

static void pipe_lock(struct pipe *p)
{
    while (unlikely(p->locked))
        waitq_sleep_uninterruptible(&p->lock_wait, EPOLLIN, WAIT_FOREVER);
    p->locked = true;
}

static void pipe_unlock(struct pipe *p)
{
    p->locked = false;
    waitq_wake(&p->lock_wait, EPOLLIN);
}

/* Tells the ends that can use it, all who sleep there: nobody hands a wake-up on. */
static void pipe_wake(struct pipe *p, uint32_t events)
{
    list_for_each (pf, &p->files, struct pipe_file, link) {
        bool fits = ((events & (EPOLLIN | EPOLLHUP)) && can_read(&pf->file)) ||
                    ((events & (EPOLLOUT | EPOLLERR)) && can_write(&pf->file));
        if (!fits)
            continue;
        waitq_wake_all(&pf->file.waitq, events);
        if (unlikely(pf->file.flags & O_ASYNC))
            file_sigio(&pf->file, (int)events);
    }
}

static int broken_pipe(void)
{
    signal_send_thread(current(), SIGPIPE, NULL);
    return -EPIPE;
}

/*
 * With the pipe locked: waits until there is something to read. 1; 0 at the end (empty and no
 * writer); -EAGAIN, -ERESTARTSYS. The lock is held on return, given up in between.
 */
static int wait_readable(struct file *f, bool nonblock)
{
    struct pipe *p = pipe_of(f);
    while (pipe_ring_empty(&p->ring)) {
        if (p->writers == 0)
            return 0;
        if (nonblock)
            return -EAGAIN;
        pipe_unlock(p);
        int r = wait_event(&f->waitq, EPOLLIN | EPOLLHUP, WAIT_FOREVER,
                           !pipe_ring_empty(&p->ring) || p->writers == 0);
        pipe_lock(p);
        if (r < 0)
            return r;
    }
    return 1;
}

/* The same for a free slot: 0, -EPIPE (SIGPIPE is sent), -EAGAIN, -ERESTARTSYS. */
static int wait_writable(struct file *f, bool nonblock)
{
    struct pipe *p = pipe_of(f);
    while (true) {
        if (p->readers == 0)
            return broken_pipe();
        if (!pipe_ring_full(&p->ring))
            return 0;
        if (nonblock)
            return -EAGAIN;
        pipe_unlock(p);
        /* What was written so far has to be read for this to end. */
        pipe_wake(p, EPOLLIN);
        int r = wait_event(&f->waitq, EPOLLOUT | EPOLLERR, WAIT_FOREVER,
                           !pipe_ring_full(&p->ring) || p->readers == 0);
        pipe_lock(p);
        if (r < 0)
            return r;
    }
}

/* ---- Reading ----------------------------------------------------------------------------- */

/* Hands out what is there, up to n bytes: bytes taken, or the actor's error. */
static ssize_t drain(struct pipe *p, size_t n, pipe_actor actor, void *ctx)
{
    size_t done = 0;
    while (done < n && !pipe_ring_empty(&p->ring)) {
        struct pipe_slot *s = pipe_ring_first(&p->ring);
        size_t len = MIN((size_t)s->len, n - done);
        bool packet = s->packet;
        ssize_t used = actor(ctx, (char *)phys_to_virt(s->frame) + s->off, len);
        if (used <= 0)
            return done > 0 ? (ssize_t)done : used;
        pipe_ring_consume(&p->ring, (size_t)used);
        done += (size_t)used;
        if (packet || (size_t)used < len)
            break;
    }
    return (ssize_t)done;
}

ssize_t pipe_splice_out(struct file *f, size_t n, bool nonblock, pipe_actor actor, void *ctx)
{
    struct pipe *p = pipe_of(f);
    if (n == 0)
        return 0;
    pipe_stats.reads++;
    pipe_lock(p);
    ssize_t r = wait_readable(f, nonblock);
    if (r > 0)
        r = drain(p, n, actor, ctx);
    bool room = !pipe_ring_full(&p->ring);
    pipe_unlock(p);
    if (r > 0 && room)
        pipe_wake(p, EPOLLOUT);
    return r;
}

static ssize_t copy_actor(void *ctx, const void *data, size_t len)
{
    return copy_to_iter(ctx, data, len);
}

static ssize_t pipe_read(struct file *f, struct iov_iter *it, uint64_t *pos)
{
    return pipe_splice_out(f, it->count, file_nonblock(f), copy_actor, it);
}

/* ---- Writing ----------------------------------------------------------------------------- */

/* Fills one new slot, the ring having room: bytes, 0 when fill has no more, or -errno. */
static ssize_t fill_slot(struct pipe *p, size_t n, bool packet, pipe_fill fill, void *ctx)
{
    phys_t frame = pipe_ring_take_frame(&p->ring);
    if (!frame)
        return -ENOMEM;
    ssize_t len = fill(ctx, phys_to_virt(frame), MIN(n, PAGE_SIZE));
    if (len <= 0) {
        pipe_ring_give_frame(&p->ring, frame);
        return len;
    }
    pipe_ring_push(&p->ring,
                   (struct pipe_slot){.frame = frame, .len = (uint16_t)len, .packet = packet});
    return len;
}

/* With the pipe locked: fills slots until n bytes are in. */
static ssize_t fill_slots(struct file *f, size_t n, bool nonblock, bool whole, pipe_fill fill,
                          void *ctx)
{
    struct pipe *p = pipe_of(f);
    size_t done = 0;
    ssize_t r = 0;
    while (done < n) {
        /* Only a write waits again once it has put something in. */
        if (done > 0 && !whole && pipe_ring_full(&p->ring))
            break;
        r = wait_writable(f, nonblock);
        if (r < 0)
            break;
        r = fill_slot(p, n - done, f->flags & O_DIRECT, fill, ctx);
        if (r <= 0)
            break;
        done += (size_t)r;
        if (!whole && (size_t)r < PAGE_SIZE)
            break;
    }
    return done > 0 ? (ssize_t)done : r;
}

ssize_t pipe_splice_in(struct file *f, size_t n, bool nonblock, pipe_fill fill, void *ctx)
{
    struct pipe *p = pipe_of(f);
    if (n == 0)
        return 0;
    pipe_lock(p);
    ssize_t r = fill_slots(f, n, nonblock, false, fill, ctx);
    pipe_unlock(p);
    if (r > 0)
        pipe_wake(p, EPOLLIN);
    return r;
}

/* A fault in the middle of a page takes the page back, so that no write is half done. */
static ssize_t copy_fill(void *ctx, void *buf, size_t room)
{
    ssize_t n = copy_from_iter(ctx, buf, room);
    return n == (ssize_t)room ? n : -EFAULT;
}

/* The odd bytes of a write, if they fit behind the newest slot's: how many, or -EFAULT. */
static ssize_t merge(struct pipe *p, struct iov_iter *it)
{
    size_t odd = it->count & (PAGE_SIZE - 1);
    struct pipe_slot *s = odd ? pipe_ring_mergeable(&p->ring, odd) : NULL;
    if (!s)
        return 0;
    ssize_t n = copy_fill(it, (char *)phys_to_virt(s->frame) + s->off + s->len, odd);
    if (n > 0)
        s->len += (uint16_t)n;
    return n;
}

static ssize_t pipe_write(struct file *f, struct iov_iter *it, uint64_t *pos)
{
    struct pipe *p = pipe_of(f);
    size_t n = it->count;
    if (n == 0)
        return 0;
    pipe_stats.writes++;
    pipe_lock(p);
    ssize_t merged = 0, r = 0;
    if (p->readers == 0)
        r = broken_pipe();
    else if (!(f->flags & O_DIRECT))
        r = merged = merge(p, it);
    if (r >= 0 && (size_t)merged < n) {
        r = fill_slots(f, n - (size_t)merged, file_nonblock(f), true, copy_fill, it);
        if (merged > 0)
            r = r > 0 ? r + merged : merged;
    }
    pipe_unlock(p);
    if (r > 0)
        pipe_wake(p, EPOLLIN);
    return r;
}

/* ---- Pages by reference ------------------------------------------------------------------ */

ssize_t pipe_splice_page(struct file *f, phys_t frame, size_t off, size_t len, bool nonblock)
{
    struct pipe *p = pipe_of(f);
    assert(off + len <= PAGE_SIZE);
    if (len == 0)
        return 0;
    pipe_lock(p);
    ssize_t r = wait_writable(f, nonblock);
    if (r == 0) {
        frame_get(frame);
        pipe_ring_push(&p->ring, (struct pipe_slot){.frame = frame,
                                                    .off = (uint16_t)off,
                                                    .len = (uint16_t)len,
                                                    .packet = f->flags & O_DIRECT,
                                                    .shared = true});
        pipe_stats.pages_shared++;
        r = (ssize_t)len;
    }
    pipe_unlock(p);
    if (r > 0)
        pipe_wake(p, EPOLLIN);
    return r;
}

/*
 * Sleeps until in has data and out has room, with neither pipe locked by anybody. From then on
 * the caller must not sleep, and so needs no lock. 1; 0 at the end of in; -errno.
 */
static int wait_both(struct file *in, struct file *out, bool nonblock)
{
    struct pipe *i = pipe_of(in), *o = pipe_of(out);
    if (i == o)
        return -EINVAL;
    while (true) {
        pipe_lock(i);
        int r = wait_readable(in, nonblock);
        pipe_unlock(i);
        if (r <= 0)
            return r;
        pipe_lock(o);
        r = wait_writable(out, nonblock);
        pipe_unlock(o);
        if (r < 0)
            return r;
        if (!i->locked && !o->locked && !pipe_ring_empty(&i->ring))
            return 1;
        /* Somebody was faster. Let the holder of the lock go on. */
        thread_yield();
        if (signal_pending())
            return -ERESTARTSYS;
    }
}

ssize_t pipe_splice_pipe(struct file *in, struct file *out, size_t n, bool nonblock)
{
    if (n == 0)
        return 0;
    int r = wait_both(in, out, nonblock);
    if (r <= 0)
        return r;
    struct pipe *i = pipe_of(in), *o = pipe_of(out);
    size_t done = 0;
    while (done < n && !pipe_ring_empty(&i->ring) && !pipe_ring_full(&o->ring)) {
        struct pipe_slot *s = pipe_ring_first(&i->ring);
        size_t len = MIN((size_t)s->len, n - done);
        pipe_ring_share(&o->ring, s, len);
        pipe_ring_consume(&i->ring, len);
        pipe_stats.pages_shared++;
        done += len;
    }
    pipe_wake(i, EPOLLOUT);
    pipe_wake(o, EPOLLIN);
    return (ssize_t)done;
}

ssize_t pipe_tee(struct file *in, struct file *out, size_t n, bool nonblock)
{
    if (n == 0)
        return 0;
    int r = wait_both(in, out, nonblock);
    if (r <= 0)
        return r;
    struct pipe *i = pipe_of(in), *o = pipe_of(out);
    size_t done = 0;
    for (uint32_t k = 0; k < i->ring.head - i->ring.tail; k++) {
        if (done == n || pipe_ring_full(&o->ring))
            break;
        struct pipe_slot *s = pipe_ring_at(&i->ring, k);
        size_t len = MIN((size_t)s->len, n - done);
        pipe_ring_share(&o->ring, s, len);
        pipe_stats.pages_shared++;
        done += len;
    }
    pipe_wake(o, EPOLLIN);
    return (ssize_t)done;
}

/* ---- The other operations ---------------------------------------------------------------- */

static uint32_t pipe_poll(struct file *f)
{
    struct pipe_file *pf = pipe_file_of(f);
    struct pipe *p = pf->pipe;
    uint32_t events = 0;
    if (can_read(f)) {
        if (!pipe_ring_empty(&p->ring))
            events |= EPOLLIN;
        if (p->writers == 0 && !(pf->quiet && pf->quiet_opens == p->write_opens))
            events |= EPOLLHUP;
    }
    if (can_write(f)) {
        if (!pipe_ring_full(&p->ring))
            events |= EPOLLOUT;
        if (p->readers == 0)
            events |= EPOLLERR;
    }
    return events;
}

static long pipe_ioctl(struct file *f, unsigned cmd, uint64_t arg)
{
    if (cmd != FIONREAD)
        return -ENOTTY;
    return put_user((int)pipe_ring_bytes(&pipe_of(f)->ring), (int *)arg);
}

static int pipe_stat(struct file *f, struct kstat *st)
{
    struct pipe *p = pipe_of(f);
    if (f->inode) {
        vfs_stat_inode(f->inode, st);
        return 0;
    }
    *st = (struct kstat){
        .ino = p->ino,
        .mode = PIPE_MODE,
        .uid = cred.fsuid,
        .gid = cred.fsgid,
        .nlink = 1,
        .blksize = PAGE_SIZE,
        .atime = (int64_t)p->created,
        .mtime = (int64_t)p->created,
        .ctime = (int64_t)p->created,
    };
    return 0;
}

long pipe_get_size(struct file *f)
{
    return file_is_pipe(f) ? (long)(pipe_of(f)->ring.nr * PAGE_SIZE) : -EBADF;
}

long pipe_set_size(struct file *f, uint64_t size)
{
    if (!file_is_pipe(f))
        return -EBADF;
    struct pipe *p = pipe_of(f);
    uint32_t nr = 1;
    if (size > PIPE_SIZE_LIMIT)
        return -EINVAL;
    while (nr * PAGE_SIZE < size)
        nr *= 2;
    if (nr > p->ring.nr && nr * PAGE_SIZE > PIPE_SIZE_MAX)
        return -EPERM;
    pipe_lock(p);
    long r = pipe_ring_resize(&p->ring, nr);
    pipe_unlock(p);
    if (r < 0)
        return r;
    pipe_wake(p, EPOLLOUT);
    return pipe_get_size(f);
}

/* ---- Opening and closing ----------------------------------------------------------------- */

static struct pipe *pipe_new(void)
{
    struct pipe *p = kzalloc(sizeof(*p));
    if (!p)
        return NULL;
    if (pipe_ring_init(&p->ring, PIPE_SLOTS) < 0) {
        kfree(p);
        return NULL;
    }
    list_init(&p->files);
    waitq_init(&p->lock_wait);
    waitq_init(&p->open_wait);
    p->ino = next_ino++;
    p->created = clock_real_ns();
    pipe_stats.pipes++;
    return p;
}

static void pipe_free(struct pipe *p)
{
    if (p->inode)
        p->inode->object = NULL;
    pipe_ring_free(&p->ring);
    pipe_stats.pipes--;
    kfree(p);
}

/* A new end, counted in the pipe. */
static struct pipe_file *pipe_open_end(struct pipe *p, unsigned flags)
{
    struct pipe_file *pf = kzalloc(sizeof(*pf));
    if (!pf)
        return NULL;
    file_init(&pf->file, &pipe_ops, flags, FILE_STREAM | FILE_PIPE);
    pf->pipe = p;
    list_push_back(&p->files, &pf->link);
    if (can_read(&pf->file)) {
        p->readers++;
        p->read_opens++;
    }
    if (can_write(&pf->file)) {
        p->writers++;
        p->write_opens++;
    }
    return pf;
}

static void pipe_release(struct file *f)
{
    struct pipe_file *pf = pipe_file_of(f);
    struct pipe *p = pf->pipe;
    list_remove(&pf->link);
    if (can_read(f) && --p->readers == 0)
        pipe_wake(p, EPOLLOUT | EPOLLERR);
    if (can_write(f) && --p->writers == 0)
        pipe_wake(p, EPOLLIN | EPOLLHUP);
    kfree(pf);
    if (list_empty(&p->files))
        pipe_free(p);
}

static const struct file_ops pipe_ops = {
    .name = "pipe",
    .read = pipe_read,
    .write = pipe_write,
    .poll = pipe_poll,
    .ioctl = pipe_ioctl,
    .stat = pipe_stat,
    .release = pipe_release,
};

/* fifo(7): an open for reading waits for a writer and the other way round. 0 or -ERESTARTSYS. */
static int fifo_wait(struct pipe_file *pf)
{
    struct pipe *p = pf->pipe;
    uint32_t flags = pf->file.flags;
    uint32_t reads = p->read_opens, writes = p->write_opens;
    switch (flags & O_ACCMODE) {
    case O_RDONLY:
        if (p->writers > 0)
            return 0;
        if (flags & O_NONBLOCK) {
            pf->quiet = true;
            pf->quiet_opens = writes;
            return 0;
        }
        return wait_event(&p->open_wait, EPOLLOUT, WAIT_FOREVER, p->write_opens != writes);
    case O_WRONLY:
        if (p->readers > 0)
            return 0;
        return wait_event(&p->open_wait, EPOLLIN, WAIT_FOREVER, p->read_opens != reads);
    default:
        return 0;
    }
}

int fifo_open(struct inode *inode, struct path_node *path, unsigned flags, struct file **out)
{
    struct pipe *p = inode->object;
    if (!p) {
        /* Nobody reads what is not open. */
        if ((flags & O_ACCMODE) == O_WRONLY && (flags & O_NONBLOCK))
            return -ENXIO;
        p = pipe_new();
        if (!p)
            return -ENOMEM;
        p->inode = inode;
        inode->object = p;
    } else if ((flags & O_ACCMODE) == O_WRONLY && (flags & O_NONBLOCK) && p->readers == 0) {
        return -ENXIO;
    }
    struct pipe_file *pf = pipe_open_end(p, flags);
    if (!pf) {
        if (list_empty(&p->files))
            pipe_free(p);
        return -ENOMEM;
    }
    uint32_t events = (can_read(&pf->file) ? EPOLLIN : 0) | (can_write(&pf->file) ? EPOLLOUT : 0);
    waitq_wake_all(&p->open_wait, events);
    int r = fifo_wait(pf);
    if (r < 0) {
        file_put(&pf->file);
        return r;
    }
    *out = &pf->file;
    return 0;
}

static int pipe_install(struct pipe_file *rd, struct pipe_file *wr, int *ufds, int flags)
{
    int fds[2];
    fds[0] = fd_install(&rd->file, 0, flags & O_CLOEXEC);
    if (fds[0] < 0) {
        file_put(&rd->file);
        file_put(&wr->file);
        return fds[0];
    }
    fds[1] = fd_install(&wr->file, 0, flags & O_CLOEXEC);
    if (fds[1] < 0) {
        file_put(&wr->file);
        fd_close(fds[0]);
        return fds[1];
    }
    if (copy_to_user(ufds, fds, sizeof(fds)) < 0) {
        fd_close(fds[0]);
        fd_close(fds[1]);
        return -EFAULT;
    }
    return 0;
}

static long sys_pipe2(int *ufds, int flags)
{
    if (flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT))
        return -EINVAL;
    struct pipe *p = pipe_new();
    if (!p)
        return -ENOMEM;
    unsigned common = (unsigned)flags & (O_NONBLOCK | O_DIRECT);
    struct pipe_file *rd = pipe_open_end(p, O_RDONLY | common);
    struct pipe_file *wr = rd ? pipe_open_end(p, O_WRONLY | common) : NULL;
    if (!wr) {
        if (rd)
            file_put(&rd->file);
        else
            pipe_free(p);
        return -ENOMEM;
    }
    return pipe_install(rd, wr, ufds, flags);
}
SYSCALL(pipe2, COMPLETE, "pO", "");

static long sys_pipe(int *ufds)
{
    return sys_pipe2(ufds, 0);
}
SYSCALL(pipe, COMPLETE, "p", "");
