/*
 * Advisory file locks (locks.h). An inode that was never locked has no lock_set. The set
 * lives as long as the inode, so waiters may sleep on it while they hold their file.
 */
#include "fs/locks.h"

#include "fs/vfs.h"
#include "mm/slab.h"

#include <linux/eventpoll.h>

struct range_lock {
    struct list link;
    struct file *owner;  /* OFD; NULL: the process. Not referenced: the file's release removes it */
    uint64_t start, end; /* end inclusive */
    bool write;
};

struct whole_lock {
    struct list link;
    struct file *owner;
    bool exclusive;
};

struct lock_set {
    struct list ranges; /* struct range_lock, in no order */
    struct list wholes; /* struct whole_lock */
    struct waitq waitq; /* woken when anything is unlocked */
};

static struct lock_set *lock_set_of(struct inode *i)
{
    if (i->locks == NULL) {
        struct lock_set *s = kmalloc(sizeof(*s));
        if (s == NULL)
            return NULL;
        list_init(&s->ranges);
        list_init(&s->wholes);
        waitq_init(&s->waitq);
        i->locks = s;
    }
    return i->locks;
}

static void range_free(struct range_lock *l)
{
    list_remove(&l->link);
    kfree(l);
    file_stats.locks--;
}

static void whole_free(struct whole_lock *l)
{
    list_remove(&l->link);
    kfree(l);
    file_stats.locks--;
}

/* ---- flock ------------------------------------------------------------------------------- */

static struct whole_lock *whole_of(struct lock_set *s, const struct file *f)
{
    list_for_each (l, &s->wholes, struct whole_lock, link) {
        if (l->owner == f)
            return l;
    }
    return NULL;
}

static bool whole_conflict(struct lock_set *s, const struct file *f, bool exclusive)
{
    list_for_each (l, &s->wholes, struct whole_lock, link) {
        if (l->owner != f && (exclusive || l->exclusive))
            return true;
    }
    return false;
}

int locks_flock(struct file *f, int op)
{
    bool nonblock = op & LOCK_NB;
    op &= ~LOCK_NB;
    if (op != LOCK_SH && op != LOCK_EX && op != LOCK_UN)
        return -EINVAL;
    if (f->inode == NULL)
        return -EBADF;
    struct lock_set *s = lock_set_of(f->inode);
    if (s == NULL)
        return -ENOMEM;
    /* A conversion gives the old lock up first, as Linux's does: it is not atomic. */
    struct whole_lock *mine = whole_of(s, f);
    if (mine != NULL && mine->exclusive == (op == LOCK_EX) && op != LOCK_UN)
        return 0;
    if (mine != NULL) {
        whole_free(mine);
        waitq_wake(&s->waitq, EPOLLOUT);
    }
    if (op == LOCK_UN)
        return 0;
    if (nonblock && whole_conflict(s, f, op == LOCK_EX))
        return -EWOULDBLOCK;
    int err = wait_event(&s->waitq, EPOLLOUT, WAIT_FOREVER, !whole_conflict(s, f, op == LOCK_EX));
    if (err < 0)
        return err;
    mine = whole_of(s, f); /* another thread may have been quicker with the same description */
    if (mine == NULL) {
        mine = kmalloc(sizeof(*mine));
        if (mine == NULL)
            return -ENOMEM;
        mine->owner = f;
        list_push_back(&s->wholes, &mine->link);
        file_stats.locks++;
    }
    mine->exclusive = op == LOCK_EX;
    return 0;
}

/* ---- Byte ranges ------------------------------------------------------------------------- */

static struct range_lock *range_conflict(struct lock_set *s, const struct file *owner,
                                         uint64_t start, uint64_t end, bool write)
{
    list_for_each (l, &s->ranges, struct range_lock, link) {
        if (l->owner != owner && l->start <= end && l->end >= start && (write || l->write))
            return l;
    }
    return NULL;
}

/* Removes [start, end] from the owner's ranges. spare is used when one is cut in two. */
static void range_cut(struct lock_set *s, const struct file *owner, uint64_t start, uint64_t end,
                      struct range_lock **spare)
{
    list_for_each_safe (l, &s->ranges, struct range_lock, link) {
        if (l->owner != owner || l->start > end || l->end < start)
            continue;
        if (l->start < start && l->end > end) {
            struct range_lock *tail = *spare;
            *spare = NULL;
            *tail = (struct range_lock){
                .owner = l->owner, .start = end + 1, .end = l->end, .write = l->write};
            list_push_back(&s->ranges, &tail->link);
            file_stats.locks++;
            l->end = start - 1;
        } else if (l->start < start) {
            l->end = start - 1;
        } else if (l->end > end) {
            l->start = end + 1;
        } else {
            range_free(l);
        }
    }
}

/* Joins a new range with the owner's adjacent ones of the same kind. */
static void range_join(struct lock_set *s, struct range_lock *n)
{
    list_for_each_safe (l, &s->ranges, struct range_lock, link) {
        if (l == n || l->owner != n->owner || l->write != n->write)
            continue;
        if (l->end + 1 == n->start && n->start != 0) {
            n->start = l->start;
            range_free(l);
        } else if (n->end + 1 == l->start && l->start != 0) {
            n->end = l->end;
            range_free(l);
        }
    }
}

static int range_set(struct lock_set *s, struct file *owner, int type, uint64_t start, uint64_t end,
                     bool wait)
{
    if (type != F_UNLCK) {
        bool write = type == F_WRLCK;
        if (!wait && range_conflict(s, owner, start, end, write) != NULL)
            return -EAGAIN;
        int err = wait_event(&s->waitq, EPOLLOUT, WAIT_FOREVER,
                             range_conflict(s, owner, start, end, write) == NULL);
        if (err < 0)
            return err;
    }
    /* All memory first: what follows cannot fail half-way. */
    struct range_lock *spare = kmalloc(sizeof(*spare)), *n = kmalloc(sizeof(*n));
    if (spare == NULL || n == NULL) {
        kfree(spare);
        kfree(n);
        return -ENOMEM;
    }
    range_cut(s, owner, start, end, &spare);
    if (type != F_UNLCK) {
        *n = (struct range_lock){
            .owner = owner, .start = start, .end = end, .write = type == F_WRLCK};
        list_push_back(&s->ranges, &n->link);
        file_stats.locks++;
        range_join(s, n);
        n = NULL;
    }
    kfree(spare);
    kfree(n);
    waitq_wake(&s->waitq, EPOLLOUT); /* unlocked, or a write lock became a read lock */
    return 0;
}

/* The range of a struct flock (fcntl(2)) as inclusive bounds. */
static int range_bounds(struct file *f, const struct flock *fl, uint64_t *start, uint64_t *end)
{
    int64_t base;
    switch (fl->l_whence) {
    case 0: /* SEEK_SET */
        base = 0;
        break;
    case 1: /* SEEK_CUR */
        base = (int64_t)f->pos;
        break;
    case 2: /* SEEK_END */
        base = (int64_t)f->inode->size;
        break;
    default:
        return -EINVAL;
    }
    int64_t first, last;
    if (__builtin_add_overflow(base, fl->l_start, &first))
        return -EOVERFLOW;
    if (first < 0)
        return -EINVAL;
    if (fl->l_len > 0) {
        if (__builtin_add_overflow(first, fl->l_len - 1, &last))
            return -EOVERFLOW;
    } else if (fl->l_len < 0) {
        if (first + fl->l_len < 0)
            return -EINVAL;
        last = first - 1;
        first += fl->l_len;
    } else {
        last = INT64_MAX;
    }
    *start = (uint64_t)first;
    *end = (uint64_t)last;
    return 0;
}

int locks_fcntl(struct file *f, unsigned cmd, struct flock *fl)
{
    if (f->inode == NULL)
        return -EINVAL;
    bool ofd = cmd == F_OFD_GETLK || cmd == F_OFD_SETLK || cmd == F_OFD_SETLKW;
    bool get = cmd == F_OFD_GETLK || cmd == F_GETLK;
    if (ofd && fl->l_pid != 0)
        return -EINVAL;
    if (fl->l_type != F_RDLCK && fl->l_type != F_WRLCK && (fl->l_type != F_UNLCK || get))
        return -EINVAL;
    uint64_t start, end;
    int err = range_bounds(f, fl, &start, &end);
    if (err < 0)
        return err;
    struct file *owner = ofd ? f : NULL;
    if (get) {
        struct range_lock *l = NULL;
        if (f->inode->locks != NULL)
            l = range_conflict(f->inode->locks, owner, start, end, fl->l_type == F_WRLCK);
        if (l == NULL) {
            fl->l_type = F_UNLCK;
            return 0;
        }
        fl->l_type = l->write ? F_WRLCK : F_RDLCK;
        fl->l_whence = 0;
        fl->l_start = (int64_t)l->start;
        fl->l_len = l->end == INT64_MAX ? 0 : (int64_t)(l->end - l->start + 1);
        fl->l_pid = l->owner != NULL ? -1 : 1; /* fcntl(2): -1 for OFD locks; else our pid */
        return 0;
    }
    /* A read lock needs a file open for reading, a write lock one open for writing. */
    unsigned access = (f->flags & O_ACCMODE) + 1;
    if ((fl->l_type == F_RDLCK && !(access & 1)) || (fl->l_type == F_WRLCK && !(access & 2)))
        return -EBADF;
    if (fl->l_type == F_UNLCK && f->inode->locks == NULL)
        return 0;
    struct lock_set *s = lock_set_of(f->inode);
    if (s == NULL)
        return -ENOMEM;
    return range_set(s, owner, fl->l_type, start, end, cmd == F_SETLKW || cmd == F_OFD_SETLKW);
}

/* ---- Release ----------------------------------------------------------------------------- */

void locks_release_file(struct file *f)
{
    struct lock_set *s = f->inode->locks;
    struct whole_lock *w = whole_of(s, f);
    if (w != NULL)
        whole_free(w);
    list_for_each_safe (l, &s->ranges, struct range_lock, link) {
        if (l->owner == f)
            range_free(l);
    }
    waitq_wake(&s->waitq, EPOLLOUT);
}

void locks_release_process(struct inode *inode)
{
    struct lock_set *s = inode->locks;
    list_for_each_safe (l, &s->ranges, struct range_lock, link) {
        if (l->owner == NULL)
            range_free(l);
    }
    waitq_wake(&s->waitq, EPOLLOUT);
}

void locks_free(struct inode *inode)
{
    struct lock_set *s = inode->locks;
    if (s == NULL)
        return;
    list_for_each_safe (l, &s->ranges, struct range_lock, link) {
        range_free(l);
    }
    assert(list_empty(&s->wholes));
    kfree(s);
    inode->locks = NULL;
}
