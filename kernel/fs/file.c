/*
 * File descriptions and the descriptor table. Called by every call that has a descriptor.
 * Which descriptors are taken is kept in a bitmap of two levels (a summary bit says that
 * a word is full), so that the lowest free one is found in a few steps whatever the number
 * of open ones. fd_install() and the lookups never sleep; closing may (ops->release).
 */
#include "fs/file.h"

#include "fs/locks.h"
#include "fs/vfs.h"
#include "linux/signal.h"
#include "mm/slab.h"
#include "sched/thread.h"

#include <linux/eventpoll.h>

#define FD_INITIAL      64u /* descriptors the first table holds: one bitmap word */
#define WORD_BITS       64u
#define KMALLOC_COMFORT (64 * KiB) /* above this, contiguous memory is not worth asking for */

static struct fd_entry first_entries[FD_INITIAL];
static uint64_t first_used[1], first_full[1];

struct fd_entry *fd_entries = first_entries;
unsigned fd_limit = FD_INITIAL;
uint32_t fd_rlimit = FD_RLIMIT_SOFT;
struct file_stats file_stats;

static uint64_t *used = first_used; /* one bit a descriptor */
static uint64_t *full = first_full; /* one bit a word of used: no bit of it is clear */
static unsigned in_use;

void file_init(struct file *f, const struct file_ops *ops, uint32_t flags, uint32_t kind)
{
    f->ops = ops;
    f->refs = 1;
    f->flags = flags & ~(uint32_t)(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC);
    f->kind = kind;
    f->owner = 0;
    f->owner_sig = 0;
    f->pos = 0;
    f->inode = NULL;
    f->path = NULL;
    waitq_init(&f->waitq);
    list_init(&f->watches);
    file_stats.opened++;
}

void file_put_last(struct file *f)
{
    /* Until the object is gone, nobody may find a count of zero and free it twice. */
    f->refs = 1;
    if (!list_empty(&f->watches))
        epoll_file_released(f);
    struct inode *inode = f->inode;
    struct path_node *path = f->path;
    if (inode != NULL && inode->locks != NULL)
        locks_release_file(f);
    file_stats.released++;
    if (f->ops->release != NULL)
        f->ops->release(f);
    if (path != NULL)
        path_put(path);
    if (inode != NULL)
        inode_put(inode);
}

uint32_t file_poll(struct file *f)
{
    return f->ops->poll != NULL ? f->ops->poll(f) : EPOLLIN | EPOLLOUT | EPOLLRDNORM | EPOLLWRNORM;
}

void file_sigio(struct file *f, int band)
{
    if (!(f->flags & O_ASYNC) || f->owner == 0)
        return;
    /* POLL_IN ... as siginfo's si_code wants them; a plain SIGIO carries none of it. */
    siginfo_t info = {.si_signo = f->owner_sig != 0 ? f->owner_sig : SIGIO};
    bool detailed = f->owner_sig != 0;
    if (detailed) {
        info.si_code = band & EPOLLIN ? POLL_IN : band & EPOLLOUT ? POLL_OUT : POLL_ERR;
        info.si_band = band;
        info.si_fd = -1;
        for (unsigned fd = 0; fd < fd_limit; fd++) {
            if (fd_entries[fd].file == f) {
                info.si_fd = (int)fd;
                break;
            }
        }
    }
    struct thread *t = thread_find(f->owner);
    if (f->owner_type == F_OWNER_TID && t != NULL)
        signal_send_thread(t, info.si_signo, detailed ? &info : NULL);
    else
        signal_send_process(info.si_signo, detailed ? &info : NULL);
}

/* ---- The table --------------------------------------------------------------------------- */

static void *table_alloc(size_t size)
{
    void *p = size <= KMALLOC_COMFORT ? kmalloc(size) : vmalloc(size);
    if (p != NULL)
        memset(p, 0, size);
    return p;
}

static void table_free(void *p, size_t size)
{
    if (size <= KMALLOC_COMFORT)
        kfree(p);
    else
        vfree(p);
}

static size_t used_bytes(unsigned limit)
{
    return limit / WORD_BITS * sizeof(uint64_t);
}

static size_t full_bytes(unsigned limit)
{
    return ALIGN_UP(limit / WORD_BITS, WORD_BITS) / WORD_BITS * sizeof(uint64_t);
}

/* Makes room for descriptor fd. */
static int table_grow(unsigned fd)
{
    unsigned limit = fd_limit;
    while (limit <= fd)
        limit *= 2;
    struct fd_entry *e = table_alloc(limit * sizeof(*e));
    uint64_t *u = table_alloc(used_bytes(limit));
    uint64_t *l = table_alloc(full_bytes(limit));
    if (e == NULL || u == NULL || l == NULL) {
        if (e != NULL)
            table_free(e, limit * sizeof(*e));
        if (u != NULL)
            table_free(u, used_bytes(limit));
        if (l != NULL)
            table_free(l, full_bytes(limit));
        return -ENOMEM;
    }
    memcpy(e, fd_entries, fd_limit * sizeof(*e));
    memcpy(u, used, used_bytes(fd_limit));
    memcpy(l, full, full_bytes(fd_limit));
    if (fd_entries != first_entries) {
        table_free(fd_entries, fd_limit * sizeof(*e));
        table_free(used, used_bytes(fd_limit));
        table_free(full, full_bytes(fd_limit));
    }
    fd_entries = e;
    used = u;
    full = l;
    fd_limit = limit;
    return 0;
}

static void mark_used(unsigned fd)
{
    unsigned w = fd / WORD_BITS;
    used[w] |= 1ull << fd % WORD_BITS;
    if (used[w] == UINT64_MAX)
        full[w / WORD_BITS] |= 1ull << w % WORD_BITS;
    in_use++;
}

static void mark_free(unsigned fd)
{
    unsigned w = fd / WORD_BITS;
    used[w] &= ~(1ull << fd % WORD_BITS);
    full[w / WORD_BITS] &= ~(1ull << w % WORD_BITS);
    in_use--;
}

/* The lowest free descriptor >= min; fd_limit or more when the table has none. */
static unsigned find_free(unsigned min)
{
    if (min >= fd_limit)
        return min;
    unsigned w = min / WORD_BITS;
    uint64_t avail = ~used[w] & (UINT64_MAX << min % WORD_BITS);
    if (likely(avail != 0))
        return w * WORD_BITS + (unsigned)__builtin_ctzll(avail);
    w++;
    unsigned words = fd_limit / WORD_BITS;
    while (w < words) {
        uint64_t not_full = ~full[w / WORD_BITS] & (UINT64_MAX << w % WORD_BITS);
        if (not_full == 0) {
            w = ALIGN_DOWN(w, WORD_BITS) + WORD_BITS;
            continue;
        }
        w = ALIGN_DOWN(w, WORD_BITS) + (unsigned)__builtin_ctzll(not_full);
        if (w >= words)
            break;
        return w * WORD_BITS + (unsigned)__builtin_ctzll(~used[w]);
    }
    return fd_limit;
}

int fd_install(struct file *f, int min, unsigned flags)
{
    unsigned fd = find_free((unsigned)min);
    if (unlikely(fd >= fd_rlimit)) {
        file_stats.emfile++;
        return -EMFILE;
    }
    if (unlikely(fd >= fd_limit)) {
        int err = table_grow(fd);
        if (err < 0)
            return err;
    }
    mark_used(fd);
    fd_entries[fd].file = f;
    fd_entries[fd].cloexec = flags & O_CLOEXEC;
    return (int)fd;
}

int fd_install_at(struct file *f, int fd, unsigned flags)
{
    if ((unsigned)fd >= fd_rlimit)
        return -EBADF;
    if ((unsigned)fd >= fd_limit) {
        int err = table_grow((unsigned)fd);
        if (err < 0)
            return err;
    }
    struct file *old = fd_entries[fd].file;
    if (old == NULL)
        mark_used((unsigned)fd);
    fd_entries[fd].file = f;
    fd_entries[fd].cloexec = flags & O_CLOEXEC;
    if (old != NULL) {
        if (old->ops->flush != NULL)
            old->ops->flush(old);
        if (old->inode != NULL && old->inode->locks != NULL)
            locks_release_process(old->inode);
        file_put(old);
    }
    return fd;
}

int fd_close(int fd)
{
    struct file *f = fd_peek(fd);
    if (f == NULL)
        return -EBADF;
    fd_entries[fd].file = NULL;
    mark_free((unsigned)fd);
    if (f->ops->flush != NULL)
        f->ops->flush(f);
    if (f->inode != NULL && f->inode->locks != NULL)
        locks_release_process(f->inode);
    file_put(f);
    return 0;
}

void fd_close_range(unsigned first, unsigned last)
{
    /* fd_limit is read anew each time: closing may sleep, and the table may grow meanwhile. */
    for (unsigned fd = first; fd < fd_limit && fd <= last; fd++)
        if (fd_entries[fd].file != NULL)
            fd_close((int)fd);
}

void fd_cloexec_range(unsigned first, unsigned last)
{
    for (unsigned fd = first; fd < fd_limit && fd <= last; fd++)
        if (fd_entries[fd].file != NULL)
            fd_entries[fd].cloexec = true;
}

void fd_close_on_exec(void)
{
    for (unsigned fd = 0; fd < fd_limit; fd++)
        if (fd_entries[fd].file != NULL && fd_entries[fd].cloexec)
            fd_close((int)fd);
}

unsigned fd_count(void)
{
    return in_use;
}
