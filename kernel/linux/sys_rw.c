/*
 * System calls that move a file's bytes: read, write and their vector and position variants,
 * and lseek. read and write on a socket are the data path: they go to ops->read in as few
 * steps as can be, without an allocation.
 */
#include "arch/x86_64/uaccess.h"
#include "fs/file.h"
#include "fs/vfs.h"
#include "linux/syscall.h"

#include <linux/fs.h>

#define FAST_IOV 8 /* pieces that need no allocation: UIO_FASTIOV */

/* O_RDONLY 0, O_WRONLY 1, O_RDWR 2: plus one, bit 0 says readable and bit 1 writable. O_PATH
 * descriptors have 3: neither. */
static inline bool readable(const struct file *f)
{
    return (f->flags + 1) & 1;
}
static inline bool writable(const struct file *f)
{
    return (f->flags + 1) & 2;
}

typedef ssize_t rw_op(struct file *f, struct iov_iter *it, uint64_t *pos);

static __always_inline long move(struct file *f, rw_op *op, void *buf, size_t n, uint64_t *pos,
                                 bool write)
{
    struct iovec v = {.iov_base = buf, .iov_len = n};
    struct iov_iter it;
    long r;

    iov_iter_init(&it, &v, 1, n, false);
    f->refs++;
    if (write)
        iov_bring(&it);
    r = op(f, &it, pos);
    file_put(f);
    return r;
}

static __always_inline long rw(int fd, void *buf, size_t n, bool write)
{
    struct file *f = fd_peek(fd);
    if (unlikely(f == NULL || !(write ? writable(f) : readable(f))))
        return -EBADF;
    rw_op *op = write ? f->ops->write : f->ops->read;
    if (unlikely(op == NULL))
        return -EINVAL;
    if (unlikely((ssize_t)n < 0))
        return -EINVAL;
    if (unlikely(!user_range_ok(buf, n)))
        return -EFAULT;
    if (unlikely(n > MAX_RW_COUNT))
        n = MAX_RW_COUNT;
    return move(f, op, buf, n, &f->pos, write);
}

static long sys_read(int fd, void *buf, size_t n)
{
    return rw(fd, buf, n, false);
}
SYSCALL(read, COMPLETE, "dBz", "");

static long sys_write(int fd, const void *buf, size_t n)
{
    return rw(fd, (void *)buf, n, true);
}
SYSCALL(write, COMPLETE, "dbz", "");

static long prw(int fd, void *buf, size_t n, int64_t pos, bool write)
{
    if (pos < 0)
        return -EINVAL;
    struct file *f = fd_peek(fd);
    if (f == NULL || !(write ? writable(f) : readable(f)))
        return -EBADF;
    if (f->kind & FILE_STREAM)
        return -ESPIPE;
    rw_op *op = write ? f->ops->write : f->ops->read;
    if (op == NULL || (ssize_t)n < 0)
        return -EINVAL;
    if (!user_range_ok(buf, n))
        return -EFAULT;
    if (n > MAX_RW_COUNT)
        n = MAX_RW_COUNT;
    uint64_t off = (uint64_t)pos;
    return move(f, op, buf, n, &off, write);
}

static long sys_pread64(int fd, void *buf, size_t n, int64_t pos)
{
    return prw(fd, buf, n, pos, false);
}
SYSCALL(pread64, COMPLETE, "dBzl", "");

static long sys_pwrite64(int fd, const void *buf, size_t n, int64_t pos)
{
    return prw(fd, (void *)buf, n, pos, true);
}
SYSCALL(pwrite64, COMPLETE, "dbzl", "");

/* pos NULL: the file's own position. */
static long rwv(int fd, const struct iovec *uiov, size_t nr, uint64_t *pos, bool write,
                unsigned extra_flags)
{
    struct file *f = fd_get(fd);
    if (unlikely(f == NULL))
        return -EBADF;
    struct iovec fast[FAST_IOV], *iov = fast;
    struct iov_iter it;
    long r = -EBADF;
    if (!(write ? writable(f) : readable(f)))
        goto out;
    r = -ESPIPE;
    if (pos != NULL && (f->kind & FILE_STREAM))
        goto out;
    rw_op *op = write ? f->ops->write : f->ops->read;
    r = -EINVAL;
    if (op == NULL)
        goto out;
    r = iov_import(&it, uiov, nr, fast, FAST_IOV, &iov);
    if (r < 0)
        goto out;
    if (write)
        iov_bring(&it);
    if (unlikely(extra_flags & ~f->flags)) {
        /* RWF_NOWAIT, RWF_APPEND: as if the description had the flag, for this call. It cannot be
         * set on f itself, which another thread may use while this one sleeps: a copy of what
         * the operation looks at would miss its wake-ups. So the flag is set, and taken back. */
        unsigned added = extra_flags & ~f->flags;
        f->flags |= added;
        r = op(f, &it, pos != NULL ? pos : &f->pos);
        f->flags &= ~added;
    } else {
        r = op(f, &it, pos != NULL ? pos : &f->pos);
    }
    iov_release(iov, fast);
out:
    file_put(f);
    return r;
}

static long sys_readv(int fd, const struct iovec *iov, size_t nr)
{
    return rwv(fd, iov, nr, NULL, false, 0);
}
SYSCALL(readv, COMPLETE, "dVu", "");

static long sys_writev(int fd, const struct iovec *iov, size_t nr)
{
    return rwv(fd, iov, nr, NULL, true, 0);
}
SYSCALL(writev, COMPLETE, "dVu", "");

static long rwv_at(int fd, const struct iovec *iov, size_t nr, int64_t pos, bool write)
{
    if (pos < 0)
        return -EINVAL;
    uint64_t off = (uint64_t)pos;
    return rwv(fd, iov, nr, &off, write, 0);
}

static long sys_preadv(int fd, const struct iovec *iov, size_t nr, int64_t pos)
{
    return rwv_at(fd, iov, nr, pos, false);
}
SYSCALL(preadv, COMPLETE, "dVul", "");

static long sys_pwritev(int fd, const struct iovec *iov, size_t nr, int64_t pos)
{
    return rwv_at(fd, iov, nr, pos, true);
}
SYSCALL(pwritev, COMPLETE, "dVul", "");

/* preadv2 and pwritev2. The position comes in two registers of which the second is for 32-bit
 * callers; -1 means the file's own. */
static long rwv2(int fd, const struct iovec *iov, size_t nr, int64_t pos, int flags, bool write)
{
    const int known = RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND;
    if (flags & ~known)
        return -EOPNOTSUPP;
    if (pos < -1)
        return -EINVAL;
    if ((flags & RWF_NOWAIT) && write)
        return -EOPNOTSUPP;
    unsigned extra =
        (flags & RWF_NOWAIT ? O_NONBLOCK : 0) | (flags & RWF_APPEND && write ? O_APPEND : 0);
    uint64_t off = (uint64_t)pos;
    return rwv(fd, iov, nr, pos == -1 ? NULL : &off, write, extra);
}

static long sys_preadv2(int fd, const struct iovec *iov, size_t nr, int64_t pos, long high,
                        int flags)
{
    return rwv2(fd, iov, nr, pos, flags, false);
}
SYSCALL(preadv2, COMPLETE, "dVulix", "");

static long sys_pwritev2(int fd, const struct iovec *iov, size_t nr, int64_t pos, long high,
                         int flags)
{
    return rwv2(fd, iov, nr, pos, flags, true);
}
SYSCALL(pwritev2, COMPLETE, "dVulix", "");

static long sys_lseek(int fd, int64_t off, unsigned whence)
{
    struct file *f = fd_peek(fd);
    if (f == NULL || (f->kind & FILE_PATH))
        return -EBADF;
    if (whence > SEEK_MAX)
        return -EINVAL;
    if ((f->kind & FILE_STREAM) || f->ops->seek == NULL)
        return -ESPIPE;
    return f->ops->seek(f, off, (int)whence);
}
SYSCALL(lseek, COMPLETE, "dli", "");
