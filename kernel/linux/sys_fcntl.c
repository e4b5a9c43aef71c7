/*
 * fcntl, flock, and the part of ioctl that is the same for every descriptor.
 */
#include "arch/x86_64/uaccess.h"
#include "fs/locks.h"
#include "fs/pipe.h"
#include "fs/vfs.h"
#include "linux/process.h"
#include "linux/syscall.h"
#include "mm/vma.h"
#include "sched/thread.h"

#include <asm/ioctls.h>
#include <asm/signal.h>

#define SETTABLE   (O_APPEND | O_NONBLOCK | FASYNC | O_DIRECT | O_NOATIME)
#define SIGNAL_MAX 64 /* the real-time ones included */
#define SEALS      (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)

static long set_flags(struct file *f, unsigned flags)
{
    if ((flags & O_NOATIME) && !(f->flags & O_NOATIME) && f->inode != NULL &&
        !inode_owner_or_capable(f->inode))
        return -EPERM;
    f->flags = (f->flags & ~(unsigned)SETTABLE) | (flags & SETTABLE);
    if (f->ops->flags_changed != NULL)
        f->ops->flags_changed(f);
    return 0;
}

static long get_flags(const struct file *f)
{
    return f->kind & FILE_PATH ? O_PATH : (long)f->flags;
}

/* ---- The owner that SIGIO goes to
 * ----------------------------------------------------------------- */

/* A positive number is a process, a negative one a group. Ours is the only one there is. */
static long set_owner(struct file *f, long who)
{
    if (who == INT32_MIN)
        return -EINVAL;
    long pid = who < 0 ? -who : who;
    if (pid != 0 && pid != PROCESS_PID && thread_find((int)pid) == NULL)
        return -ESRCH;
    f->owner = (int32_t)who;
    f->owner_type = who < 0 ? F_OWNER_PGRP : F_OWNER_PID;
    return 0;
}

static long set_owner_ex(struct file *f, uint64_t arg)
{
    struct f_owner_ex o;
    if (copy_from_user(&o, (void *)arg, sizeof(o)) < 0)
        return -EFAULT;
    if (o.type != F_OWNER_TID && o.type != F_OWNER_PID && o.type != F_OWNER_PGRP)
        return -EINVAL;
    if (o.pid < 0)
        return -EINVAL;
    if (o.pid != 0 && o.pid != PROCESS_PID && (o.type != F_OWNER_TID || thread_find(o.pid) == NULL))
        return -ESRCH;
    f->owner = o.type == F_OWNER_PGRP ? -o.pid : o.pid;
    f->owner_type = o.type;
    return 0;
}

static long get_owner_ex(const struct file *f, uint64_t arg)
{
    struct f_owner_ex o = {.type = f->owner_type, .pid = f->owner < 0 ? -f->owner : f->owner};
    return copy_to_user((void *)arg, &o, sizeof(o));
}

/* ---- Seals
 * ------------------------------------------------------------------------------------------ */

static bool mapped_writable(const struct inode *i)
{
    for (struct vma *v = vma_find_above(0); v != NULL; v = vma_next(v))
        if (v->file != NULL && v->file->inode == i && (v->flags & MAP_SHARED) &&
            (v->prot & PROT_WRITE))
            return true;
    return false;
}

static long add_seals(struct file *f, unsigned seals)
{
    struct inode *i = f->inode;
    if (i == NULL || (i->mode & S_IFMT) != S_IFREG || i->fs->fixed)
        return -EINVAL;
    if (!((f->flags + 1) & 2))
        return -EPERM;
    if (seals & ~(unsigned)SEALS)
        return -EINVAL;
    if (i->seals & F_SEAL_SEAL)
        return -EPERM;
    if ((seals & F_SEAL_WRITE) && !(i->seals & F_SEAL_WRITE) && mapped_writable(i))
        return -EBUSY;
    i->seals |= seals;
    return 0;
}

static long get_seals(const struct file *f)
{
    const struct inode *i = f->inode;
    if (i == NULL || (i->mode & S_IFMT) != S_IFREG || i->fs->fixed)
        return -EINVAL;
    return i->seals;
}

/* ---- fcntl
 * ------------------------------------------------------------------------------------------ */

static long do_lock(struct file *f, unsigned cmd, uint64_t arg)
{
    struct flock fl;
    if (copy_from_user(&fl, (void *)arg, sizeof(fl)) < 0)
        return -EFAULT;
    long r = locks_fcntl(f, cmd, &fl);
    if (r == 0 && (cmd == F_GETLK || cmd == F_OFD_GETLK))
        r = copy_to_user((void *)arg, &fl, sizeof(fl));
    return r;
}

static long dup_from(struct file *f, uint64_t min, unsigned flags)
{
    if (min >= fd_rlimit)
        return -EINVAL;
    file_get(f);
    int fd = fd_install(f, (int)min, flags);
    if (fd < 0)
        file_put(f);
    return fd;
}

/* Commands that an O_PATH descriptor has too. */
static bool works_on_path(unsigned cmd)
{
    return cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC || cmd == F_GETFD || cmd == F_SETFD ||
           cmd == F_GETFL;
}

static long do_fcntl(struct file *f, int fd, unsigned cmd, uint64_t arg)
{
    switch (cmd) {
    case F_DUPFD:
        return dup_from(f, arg, 0);
    case F_DUPFD_CLOEXEC:
        return dup_from(f, arg, O_CLOEXEC);
    case F_GETFD:
        return fd_entries[fd].cloexec ? FD_CLOEXEC : 0;
    case F_SETFD:
        fd_entries[fd].cloexec = arg & FD_CLOEXEC;
        return 0;
    case F_GETFL:
        return get_flags(f);
    case F_SETFL:
        return set_flags(f, (unsigned)arg);
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        return do_lock(f, cmd, arg);
    case F_SETOWN:
        return set_owner(f, (int)arg);
    case F_GETOWN:
        return f->owner;
    case F_SETOWN_EX:
        return set_owner_ex(f, arg);
    case F_GETOWN_EX:
        return get_owner_ex(f, arg);
    case F_SETSIG:
        if (arg > SIGNAL_MAX)
            return -EINVAL;
        f->owner_sig = (int32_t)arg;
        return 0;
    case F_GETSIG:
        return f->owner_sig;
    case F_GETLEASE:
        return F_UNLCK;
    case F_SETLEASE: /* nobody but this process could break one */
    case F_NOTIFY:
        return -EINVAL;
    case F_SETPIPE_SZ:
        return pipe_set_size(f, arg);
    case F_GETPIPE_SZ:
        return pipe_get_size(f);
    case F_ADD_SEALS:
        return add_seals(f, (unsigned)arg);
    case F_GET_SEALS:
        return get_seals(f);
    }
    return -EINVAL;
}

static long sys_fcntl(int fd, unsigned cmd, uint64_t arg)
{
    struct file *f = fd_get(fd);
    if (f == NULL)
        return -EBADF;
    long r = (f->kind & FILE_PATH) && !works_on_path(cmd) ? -EBADF : do_fcntl(f, fd, cmd, arg);
    file_put(f);
    return r;
}
SYSCALL(fcntl, PARTIAL, "dux", "no leases, F_NOTIFY or write hints: refused");

static long sys_flock(int fd, int op)
{
    struct file *f = fd_get(fd);
    if (f == NULL)
        return -EBADF;
    long r = f->kind & FILE_PATH ? -EBADF : locks_flock(f, op);
    file_put(f);
    return r;
}
SYSCALL(flock, COMPLETE, "dx", "");

/* ---- ioctl
 * ------------------------------------------------------------------------------------------ */

static long set_flag_by_int(struct file *f, unsigned flag, uint64_t arg)
{
    int on;
    if (get_user(on, (int *)arg) < 0)
        return -EFAULT;
    unsigned flags = on ? f->flags | flag : f->flags & ~flag;
    if (flags != f->flags) {
        f->flags = flags;
        if (f->ops->flags_changed != NULL)
            f->ops->flags_changed(f);
    }
    return 0;
}

static long file_bytes_left(const struct file *f, uint64_t arg)
{
    int64_t left = (int64_t)(f->inode->size - f->pos);
    return put_user((int)MIN(MAX(left, 0l), (int64_t)INT32_MAX), (int *)arg);
}

static long do_ioctl(struct file *f, int fd, unsigned cmd, uint64_t arg)
{
    switch (cmd) {
    case FIOCLEX:
        fd_entries[fd].cloexec = true;
        return 0;
    case FIONCLEX:
        fd_entries[fd].cloexec = false;
        return 0;
    case FIONBIO:
        return set_flag_by_int(f, O_NONBLOCK, arg);
    case FIOASYNC:
        return set_flag_by_int(f, FASYNC, arg);
    case FIONREAD:
        if (f->inode != NULL && (f->inode->mode & S_IFMT) == S_IFREG)
            return file_bytes_left(f, arg);
        break;
    case FIGETBSZ:
        return f->inode != NULL ? put_user((int)PAGE_SIZE, (int *)arg) : -EINVAL;
    case FIBMAP:
        return cred.euid == 0 ? -EINVAL : -EPERM;
    }
    return f->ops->ioctl != NULL ? f->ops->ioctl(f, cmd, arg) : -ENOTTY;
}

static long sys_ioctl(int fd, unsigned cmd, uint64_t arg)
{
    struct file *f = fd_get(fd);
    if (f == NULL)
        return -EBADF;
    long r = f->kind & FILE_PATH ? -EBADF : do_ioctl(f, fd, cmd, arg);
    file_put(f);
    return r;
}
SYSCALL(ioctl, COMPLETE, "dxx", "");
