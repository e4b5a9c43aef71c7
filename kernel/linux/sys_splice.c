/*
 * System calls that move bytes between two descriptors: sendfile, splice, tee, vmsplice,
 * copy_file_range. From a tmpfs file the destination's write operation is handed the file's own
 * pages; from anything else the bytes go through a buffer.
 */
#include "arch/x86_64/uaccess.h"
#include "fs/pipe.h"
#include "fs/tmpfs.h"
#include "linux/syscall.h"
#include "mm/slab.h"

#define BOUNCE   (16 * KiB)
#define FAST_IOV 8

/* SPLICE_F_*: the UAPI headers leave them to the C library. */
#define SPLICE_F_MOVE     1u
#define SPLICE_F_NONBLOCK 2u
#define SPLICE_F_MORE     4u
#define SPLICE_F_GIFT     8u
#define SPLICE_F_ALL      15u

static bool readable(const struct file *f)
{
    return (f->flags + 1) & 1;
}
static bool writable(const struct file *f)
{
    return (f->flags + 1) & 2;
}

/* ---- File content to anything -------------------------------------------------------------------
 */

static ssize_t send_pages(struct file *in, uint64_t *in_pos, struct file *out, uint64_t *out_pos,
                          size_t n)
{
    struct tmpfs_pins pins;
    int err = tmpfs_pin(in, *in_pos, n, &pins);
    if (err < 0 || pins.bytes == 0)
        return err;
    struct iov_iter it;
    iov_iter_init(&it, pins.iov, pins.nr_iov, pins.bytes, true);
    ssize_t r = out->ops->write(out, &it, out_pos);
    tmpfs_unpin(&pins);
    if (r > 0)
        *in_pos += (uint64_t)r;
    return r;
}

static ssize_t send_copy(struct file *in, uint64_t *in_pos, struct file *out, uint64_t *out_pos,
                         size_t n)
{
    char *buf = kmalloc(BOUNCE);
    if (buf == NULL)
        return -ENOMEM;
    struct iovec v = {.iov_base = buf, .iov_len = MIN(n, BOUNCE)};
    struct iov_iter it;
    iov_iter_init(&it, &v, 1, v.iov_len, true);
    uint64_t pos = *in_pos;
    ssize_t r = in->ops->read(in, &it, &pos);
    if (r > 0) {
        v.iov_len = (size_t)r;
        iov_iter_init(&it, &v, 1, v.iov_len, true);
        r = out->ops->write(out, &it, out_pos);
        if (r > 0)
            *in_pos += (uint64_t)r;
    }
    kfree(buf);
    return r;
}

/* Up to n bytes from in at *in_pos to out: bytes moved, or the error if there were none. */
static ssize_t send_range(struct file *in, uint64_t *in_pos, struct file *out, uint64_t *out_pos,
                          size_t n)
{
    bool pages = tmpfs_is_file(in);
    size_t done = 0;
    while (done < n) {
        ssize_t r = pages ? send_pages(in, in_pos, out, out_pos, n - done)
                          : send_copy(in, in_pos, out, out_pos, n - done);
        if (r <= 0)
            return done > 0 ? (ssize_t)done : r;
        done += (size_t)r;
    }
    return (ssize_t)done;
}

static long sys_sendfile(int out_fd, int in_fd, int64_t *uoff, size_t n)
{
    struct file *in = fd_get(in_fd), *out = fd_get(out_fd);
    long r = -EBADF;
    if (in == NULL || out == NULL || !readable(in) || !writable(out))
        goto out;
    r = in->kind & FILE_DIR ? -EISDIR : -EINVAL;
    if (in->kind & (FILE_STREAM | FILE_DIR)) {
        if (uoff != NULL && (in->kind & FILE_STREAM))
            r = -ESPIPE;
        goto out;
    }
    if (in->ops->read == NULL || out->ops->write == NULL || (ssize_t)n < 0 ||
        (out->flags & O_APPEND))
        goto out;
    int64_t off = (int64_t)in->pos;
    r = -EFAULT;
    if (uoff != NULL && get_user(off, uoff) < 0)
        goto out;
    r = -EINVAL;
    if (off < 0)
        goto out;
    uint64_t pos = (uint64_t)off;
    r = send_range(in, &pos, out, &out->pos, MIN(n, MAX_RW_COUNT));
    if (uoff == NULL)
        in->pos = pos;
    else if (r >= 0 && put_user((int64_t)pos, uoff) < 0)
        r = -EFAULT;
out:
    if (in != NULL)
        file_put(in);
    if (out != NULL)
        file_put(out);
    return r;
}
SYSCALL(sendfile, COMPLETE, "ddpz", "");

static int get_offset(const struct file *f, const int64_t *uoff, uint64_t *pos)
{
    int64_t off = (int64_t)f->pos;
    if (uoff != NULL && get_user(off, uoff) < 0)
        return -EFAULT;
    if (off < 0)
        return -EINVAL;
    *pos = (uint64_t)off;
    return 0;
}

static int set_offset(struct file *f, int64_t *uoff, uint64_t pos)
{
    if (uoff != NULL)
        return put_user((int64_t)pos, uoff);
    f->pos = pos;
    return 0;
}

static bool is_regular(const struct file *f)
{
    return f->inode != NULL && (f->inode->mode & S_IFMT) == S_IFREG;
}

static long do_copy_range(struct file *in, int64_t *uoff_in, struct file *out, int64_t *uoff_out,
                          size_t n)
{
    if ((in->kind | out->kind) & FILE_DIR)
        return -EISDIR;
    if (!is_regular(in) || !is_regular(out) || in->ops->read == NULL || out->ops->write == NULL)
        return -EINVAL;
    if (!readable(in) || !writable(out) || (out->flags & O_APPEND))
        return -EBADF;
    uint64_t from, to;
    int err = get_offset(in, uoff_in, &from);
    if (err == 0)
        err = get_offset(out, uoff_out, &to);
    if (err < 0)
        return err;
    n = MIN(n, MAX_RW_COUNT);
    if (n > INT64_MAX - MAX(from, to))
        return -EOVERFLOW;
    if (in->inode == out->inode && from < to + n && to < from + n)
        return -EINVAL;
    long r = send_range(in, &from, out, &to, n);
    if (r > 0 && (set_offset(in, uoff_in, from) < 0 || set_offset(out, uoff_out, to) < 0))
        return -EFAULT;
    return r;
}

static long sys_copy_file_range(int in_fd, int64_t *uoff_in, int out_fd, int64_t *uoff_out,
                                size_t n, unsigned flags)
{
    if (flags != 0)
        return -EINVAL;
    struct file *in = fd_get(in_fd), *out = fd_get(out_fd);
    long r = in != NULL && out != NULL ? do_copy_range(in, uoff_in, out, uoff_out, n) : -EBADF;
    if (in != NULL)
        file_put(in);
    if (out != NULL)
        file_put(out);
    return r;
}
SYSCALL(copy_file_range, COMPLETE, "dpdpzx", "");

/* ---- Pipes
 * ---------------------------------------------------------------------------------------- */

struct other_side {
    struct file *file;
    uint64_t *pos;
};

static ssize_t to_file(void *ctx, const void *data, size_t n)
{
    struct other_side *o = ctx;
    struct iovec v = {.iov_base = (void *)data, .iov_len = n};
    struct iov_iter it;
    iov_iter_init(&it, &v, 1, n, true);
    return o->file->ops->write(o->file, &it, o->pos);
}

static ssize_t from_file(void *ctx, void *buf, size_t room)
{
    struct other_side *o = ctx;
    struct iovec v = {.iov_base = buf, .iov_len = room};
    struct iov_iter it;
    iov_iter_init(&it, &v, 1, room, true);
    return o->file->ops->read(o->file, &it, o->pos);
}

static long do_splice(struct file *in, int64_t *uoff_in, struct file *out, int64_t *uoff_out,
                      size_t n, unsigned flags)
{
    bool in_pipe = file_is_pipe(in), out_pipe = file_is_pipe(out);
    if (!readable(in) || !writable(out))
        return -EBADF;
    if (!in_pipe && !out_pipe)
        return -EINVAL;
    if ((in_pipe && uoff_in != NULL) || (out_pipe && uoff_out != NULL))
        return -ESPIPE;
    bool nonblock = flags & SPLICE_F_NONBLOCK;
    if (in_pipe && out_pipe)
        return pipe_splice_pipe(in, out, n, nonblock || file_nonblock(in) || file_nonblock(out));
    struct file *other = in_pipe ? out : in;
    int64_t *uoff = in_pipe ? uoff_out : uoff_in;
    if (uoff != NULL && (other->kind & FILE_STREAM))
        return -ESPIPE;
    if ((in_pipe ? other->ops->write == NULL : other->ops->read == NULL) ||
        (other->kind & FILE_DIR) || (in_pipe && (out->flags & O_APPEND)))
        return -EINVAL;
    uint64_t pos;
    int err = get_offset(other, uoff, &pos);
    if (err < 0)
        return err;
    struct other_side o = {.file = other, .pos = &pos};
    long r = in_pipe ? pipe_splice_out(in, n, nonblock || file_nonblock(in), to_file, &o)
                     : pipe_splice_in(out, n, nonblock || file_nonblock(out), from_file, &o);
    if (r > 0 && !(other->kind & FILE_STREAM) && set_offset(other, uoff, pos) < 0)
        return -EFAULT;
    return r;
}

static long sys_splice(int in_fd, int64_t *uoff_in, int out_fd, int64_t *uoff_out, size_t n,
                       unsigned flags)
{
    if (flags & ~SPLICE_F_ALL)
        return -EINVAL;
    if (n == 0)
        return 0;
    struct file *in = fd_get(in_fd), *out = fd_get(out_fd);
    long r = in != NULL && out != NULL
                 ? do_splice(in, uoff_in, out, uoff_out, MIN(n, MAX_RW_COUNT), flags)
                 : -EBADF;
    if (in != NULL)
        file_put(in);
    if (out != NULL)
        file_put(out);
    return r;
}
SYSCALL(splice, COMPLETE, "dpdpzx", "");

static long sys_tee(int in_fd, int out_fd, size_t n, unsigned flags)
{
    if (flags & ~SPLICE_F_ALL)
        return -EINVAL;
    if (n == 0)
        return 0;
    struct file *in = fd_get(in_fd), *out = fd_get(out_fd);
    long r = -EBADF;
    if (in != NULL && out != NULL && readable(in) && writable(out))
        r = file_is_pipe(in) && file_is_pipe(out)
                ? pipe_tee(in, out, MIN(n, MAX_RW_COUNT), flags & SPLICE_F_NONBLOCK)
                : -EINVAL;
    if (in != NULL)
        file_put(in);
    if (out != NULL)
        file_put(out);
    return r;
}
SYSCALL(tee, COMPLETE, "ddzx", "");

static long do_vmsplice(struct file *f, const struct iovec *uiov, size_t nr, unsigned flags)
{
    if (!file_is_pipe(f))
        return -EBADF;
    struct iovec fast[FAST_IOV], *iov;
    struct iov_iter it;
    int err = iov_import(&it, uiov, nr, fast, FAST_IOV, &iov);
    if (err < 0)
        return err;
    /* The pages are copied: a later change by the caller does not show, which the call allows. */
    unsigned was = f->flags & O_NONBLOCK;
    if (flags & SPLICE_F_NONBLOCK)
        f->flags |= O_NONBLOCK;
    uint64_t pos = 0;
    long r = writable(f) ? f->ops->write(f, &it, &pos) : f->ops->read(f, &it, &pos);
    f->flags = (f->flags & ~(unsigned)O_NONBLOCK) | was;
    iov_release(iov, fast);
    return r;
}

static long sys_vmsplice(int fd, const struct iovec *uiov, size_t nr, unsigned flags)
{
    if (flags & ~SPLICE_F_ALL)
        return -EINVAL;
    struct file *f = fd_get(fd);
    if (f == NULL)
        return -EBADF;
    long r = do_vmsplice(f, uiov, nr, flags);
    file_put(f);
    return r;
}
SYSCALL(vmsplice, COMPLETE, "dVux", "");
