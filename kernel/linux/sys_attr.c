/*
 * System calls that change a file's attributes and size: chmod, chown, utimensat, truncate,
 * fallocate, and the fsync family, which in memory has nothing to do but check its arguments.
 */
#include "arch/x86_64/uaccess.h"
#include "fs/vfs.h"
#include "linux/syscall.h"
#include "linux/userpath.h"
#include "sched/clock.h"

#include <linux/fadvise.h>
#include <linux/falloc.h>
#include <linux/time.h>
#include <linux/time_types.h>

#define UTIME_NOW_NS  ((1l << 30) - 1l) /* utimensat(2) */
#define UTIME_OMIT_NS ((1l << 30) - 2l)
#define KEEP_ID       UINT32_MAX /* chown(2): leave it */

/* The node that (dirfd, path) names. */
static int lookup_at(int dirfd, const char *upath, unsigned lookup, struct path_node **out)
{
    struct user_path path;
    int err = user_path_get(&path, upath);
    if (err < 0)
        return err;
    err = vfs_lookup(dirfd, path.text, lookup, out);
    user_path_put(&path);
    return err;
}

static bool read_only(const struct inode *i)
{
    return i->fs->mount != NULL && (i->fs->mount->flags & MS_RDONLY);
}

/* ---- Mode and owner ---------------------------------------------------------------------------
 */

static int set_mode(struct inode *i, unsigned mode)
{
    if (read_only(i))
        return -EROFS;
    if (!inode_owner_or_capable(i))
        return -EPERM;
    if ((i->mode & S_IFMT) == S_IFLNK)
        return -EOPNOTSUPP;
    i->mode = (i->mode & S_IFMT) | (mode & 07777);
    inode_changed(i);
    return 0;
}

static long sys_fchmodat(int dirfd, const char *upath, unsigned mode)
{
    struct path_node *n;
    int err = lookup_at(dirfd, upath, LOOKUP_FOLLOW, &n);
    if (err < 0)
        return err;
    err = set_mode(n->inode, mode);
    path_put(n);
    return err;
}
SYSCALL(fchmodat, COMPLETE, "Aso", "");

static long sys_chmod(const char *upath, unsigned mode)
{
    return sys_fchmodat(AT_FDCWD, upath, mode);
}
SYSCALL(chmod, COMPLETE, "so", "");

static long sys_fchmod(int fd, unsigned mode)
{
    struct file *f = fd_peek(fd);
    if (f == NULL || (f->kind & FILE_PATH))
        return -EBADF;
    return f->inode != NULL ? set_mode(f->inode, mode) : 0; /* sockets take it, as in Linux */
}
SYSCALL(fchmod, COMPLETE, "do", "");

static bool member_of(uint32_t gid)
{
    if (cred.fsgid == gid)
        return true;
    for (uint32_t k = 0; k < cred.nr_groups; k++)
        if (cred.groups[k] == gid)
            return true;
    return false;
}

static int set_owner(struct inode *i, uint32_t uid, uint32_t gid)
{
    if (read_only(i))
        return -EROFS;
    bool root = cred.fsuid == 0, owner = cred.fsuid == i->uid;
    if (uid != KEEP_ID && !root && !(owner && uid == i->uid))
        return -EPERM;
    if (gid != KEEP_ID && !root && !(owner && (gid == i->gid || member_of(gid))))
        return -EPERM;
    if (uid != KEEP_ID)
        i->uid = uid;
    if (gid != KEEP_ID)
        i->gid = gid;
    if (!inode_is_dir(i)) /* a program's special rights were the old owner's to give */
        i->mode &= ~(uint32_t)(S_ISUID | (i->mode & 0010 ? S_ISGID : 0));
    inode_changed(i);
    return 0;
}

static long sys_fchownat(int dirfd, const char *upath, uint32_t uid, uint32_t gid, unsigned flags)
{
    if (flags & ~(unsigned)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    struct path_node *n;
    int err = lookup_at(dirfd, upath,
                        (flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW) |
                            (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0),
                        &n);
    if (err < 0)
        return err;
    err = set_owner(n->inode, uid, gid);
    path_put(n);
    return err;
}
SYSCALL(fchownat, COMPLETE, "Asuux", "");

static long sys_chown(const char *upath, uint32_t uid, uint32_t gid)
{
    return sys_fchownat(AT_FDCWD, upath, uid, gid, 0);
}
SYSCALL(chown, COMPLETE, "suu", "");

static long sys_lchown(const char *upath, uint32_t uid, uint32_t gid)
{
    return sys_fchownat(AT_FDCWD, upath, uid, gid, AT_SYMLINK_NOFOLLOW);
}
SYSCALL(lchown, COMPLETE, "suu", "");

static long sys_fchown(int fd, uint32_t uid, uint32_t gid)
{
    struct file *f = fd_peek(fd);
    if (f == NULL || (f->kind & FILE_PATH))
        return -EBADF;
    return f->inode != NULL ? set_owner(f->inode, uid, gid) : 0;
}
SYSCALL(fchown, COMPLETE, "duu", "");

/* ---- Times ------------------------------------------------------------------------------------
 */

struct new_times {
    int64_t atime, mtime; /* ns */
    bool set_atime, set_mtime;
    bool both_now; /* allowed to whoever may write */
};

static int set_times(struct inode *i, const struct new_times *t)
{
    if (read_only(i))
        return -EROFS;
    if (!t->set_atime && !t->set_mtime)
        return 0;
    if (!inode_owner_or_capable(i)) {
        if (!t->both_now)
            return -EPERM;
        int err = inode_permission(i, MAY_WRITE);
        if (err < 0)
            return err;
    }
    if (t->set_atime)
        i->atime = t->atime;
    if (t->set_mtime)
        i->mtime = t->mtime;
    inode_changed(i);
    return 0;
}

static struct new_times times_now(void)
{
    int64_t now = (int64_t)clock_real_ns();
    return (struct new_times){now, now, true, true, true};
}

/* dirfd alone (path NULL) is what futimens(3) does. */
static long set_times_at(int dirfd, const char *upath, unsigned flags, const struct new_times *t)
{
    if (upath == NULL && dirfd != AT_FDCWD) {
        struct file *f = fd_peek(dirfd);
        if (f == NULL || (f->kind & FILE_PATH))
            return -EBADF;
        if (flags & AT_SYMLINK_NOFOLLOW)
            return -EINVAL;
        return f->inode != NULL ? set_times(f->inode, t) : 0;
    }
    struct path_node *n;
    int err = lookup_at(dirfd, upath,
                        (flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW) |
                            (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0),
                        &n);
    if (err < 0)
        return err;
    err = set_times(n->inode, t);
    path_put(n);
    return err;
}

static int one_time(const struct __kernel_timespec *ts, int64_t *ns, bool *set, bool *now)
{
    *now = ts->tv_nsec == UTIME_NOW_NS;
    *set = ts->tv_nsec != UTIME_OMIT_NS;
    if (*now)
        *ns = (int64_t)clock_real_ns();
    else if (*set) {
        if (ts->tv_nsec < 0 || ts->tv_nsec >= (long)NSEC_PER_SEC)
            return -EINVAL;
        *ns = ts->tv_sec * (int64_t)NSEC_PER_SEC + ts->tv_nsec;
    }
    return 0;
}

static long sys_utimensat(int dirfd, const char *upath, const struct __kernel_timespec *uts,
                          unsigned flags)
{
    if (flags & ~(unsigned)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    struct new_times t;
    if (uts == NULL) {
        t = times_now();
    } else {
        struct __kernel_timespec ts[2];
        bool now[2];
        if (copy_from_user(ts, uts, sizeof(ts)) < 0)
            return -EFAULT;
        if (one_time(&ts[0], &t.atime, &t.set_atime, &now[0]) < 0 ||
            one_time(&ts[1], &t.mtime, &t.set_mtime, &now[1]) < 0)
            return -EINVAL;
        t.both_now = now[0] && now[1];
    }
    return set_times_at(dirfd, upath, flags, &t);
}
SYSCALL(utimensat, COMPLETE, "Aspx", "");

static long sys_futimesat(int dirfd, const char *upath, const struct __kernel_old_timeval *utv)
{
    struct new_times t;
    if (utv == NULL) {
        t = times_now();
    } else {
        struct __kernel_old_timeval tv[2];
        if (copy_from_user(tv, utv, sizeof(tv)) < 0)
            return -EFAULT;
        for (int k = 0; k < 2; k++)
            if (tv[k].tv_usec < 0 || tv[k].tv_usec >= 1000000)
                return -EINVAL;
        t = (struct new_times){
            tv[0].tv_sec * (int64_t)NSEC_PER_SEC + tv[0].tv_usec * (int64_t)NSEC_PER_USEC,
            tv[1].tv_sec * (int64_t)NSEC_PER_SEC + tv[1].tv_usec * (int64_t)NSEC_PER_USEC, true,
            true, false};
    }
    return set_times_at(dirfd, upath, 0, &t);
}
SYSCALL(futimesat, COMPLETE, "Asp", "");

static long sys_utimes(const char *upath, const struct __kernel_old_timeval *utv)
{
    return sys_futimesat(AT_FDCWD, upath, utv);
}
SYSCALL(utimes, COMPLETE, "sp", "");

static long sys_utime(const char *upath, const long *utimbuf)
{
    struct new_times t;
    if (utimbuf == NULL) {
        t = times_now();
    } else {
        long s[2]; /* struct utimbuf: actime, modtime */
        if (copy_from_user(s, utimbuf, sizeof(s)) < 0)
            return -EFAULT;
        t = (struct new_times){s[0] * (int64_t)NSEC_PER_SEC, s[1] * (int64_t)NSEC_PER_SEC, true,
                               true, false};
    }
    return set_times_at(AT_FDCWD, upath, 0, &t);
}
SYSCALL(utime, COMPLETE, "sp", "");

/* ---- Size -------------------------------------------------------------------------------------
 */

static long sys_truncate(const char *upath, int64_t size)
{
    if (size < 0)
        return -EINVAL;
    struct path_node *n;
    int err = lookup_at(AT_FDCWD, upath, LOOKUP_FOLLOW, &n);
    if (err < 0)
        return err;
    err = inode_is_dir(n->inode) ? -EISDIR : inode_permission(n->inode, MAY_WRITE);
    if (err == 0)
        err = vfs_truncate(n->inode, (uint64_t)size);
    path_put(n);
    return err;
}
SYSCALL(truncate, COMPLETE, "sl", "");

static bool open_for_writing(const struct file *f)
{
    return (f->flags + 1) & 2;
}

static long sys_ftruncate(int fd, int64_t size)
{
    struct file *f = fd_peek(fd);
    if (f == NULL || (f->kind & FILE_PATH))
        return -EBADF;
    if (size < 0 || !open_for_writing(f) || f->ops->truncate == NULL)
        return -EINVAL;
    return f->ops->truncate(f, (uint64_t)size);
}
SYSCALL(ftruncate, COMPLETE, "dl", "");

static long sys_fallocate(int fd, int mode, int64_t off, int64_t len)
{
    struct file *f = fd_peek(fd);
    if (f == NULL || !open_for_writing(f))
        return -EBADF;
    if (off < 0 || len <= 0)
        return -EINVAL;
    if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE |
                 FALLOC_FL_ZERO_RANGE | FALLOC_FL_INSERT_RANGE | FALLOC_FL_UNSHARE_RANGE))
        return -EOPNOTSUPP;
    /* A hole can only be punched where the size stays. */
    if ((mode & FALLOC_FL_PUNCH_HOLE) && !(mode & FALLOC_FL_KEEP_SIZE))
        return -EOPNOTSUPP;
    if (f->kind & FILE_STREAM)
        return -ESPIPE;
    if (f->kind & FILE_DIR)
        return -EISDIR;
    if (f->ops->fallocate == NULL)
        return f->inode != NULL && (f->inode->mode & S_IFMT) == S_IFREG ? -EOPNOTSUPP : -ENODEV;
    if (off > INT64_MAX - len)
        return -EFBIG;
    return f->ops->fallocate(f, mode, (uint64_t)off, (uint64_t)len);
}
SYSCALL(fallocate, COMPLETE, "dxll", "");

/* ---- Writing back and reading ahead
 * -------------------------------------------------------------- */

static long do_fsync(int fd, bool data_only)
{
    struct file *f = fd_get(fd);
    if (f == NULL || (f->kind & FILE_PATH)) {
        if (f != NULL)
            file_put(f);
        return -EBADF;
    }
    long r = f->ops->fsync != NULL ? f->ops->fsync(f, data_only) : -EINVAL;
    file_put(f);
    return r;
}

static long sys_fsync(int fd)
{
    return do_fsync(fd, false);
}
SYSCALL(fsync, COMPLETE, "d", "");

static long sys_fdatasync(int fd)
{
    return do_fsync(fd, true);
}
SYSCALL(fdatasync, COMPLETE, "d", "");

static long sys_sync(void)
{
    return 0;
}
SYSCALL(sync, COMPLETE, "", "");

static long sys_syncfs(int fd)
{
    return fd_peek(fd) != NULL ? 0 : -EBADF;
}
SYSCALL(syncfs, COMPLETE, "d", "");

static long sys_sync_file_range(int fd, int64_t off, int64_t len, unsigned flags)
{
    struct file *f = fd_peek(fd);
    if (f == NULL)
        return -EBADF;
    if (off < 0 || len < 0 || off + len < off ||
        (flags & ~(unsigned)(SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                             SYNC_FILE_RANGE_WAIT_AFTER)))
        return -EINVAL;
    return f->kind & FILE_STREAM ? -ESPIPE : 0;
}
SYSCALL(sync_file_range, COMPLETE, "dllx", "");

static long sys_fadvise64(int fd, int64_t off, int64_t len, int advice)
{
    struct file *f = fd_peek(fd);
    if (f == NULL)
        return -EBADF;
    if (f->kind & FILE_PIPE)
        return -ESPIPE;
    switch (advice) {
    case POSIX_FADV_NORMAL:
    case POSIX_FADV_RANDOM:
    case POSIX_FADV_SEQUENTIAL:
    case POSIX_FADV_WILLNEED:
    case POSIX_FADV_DONTNEED:
    case POSIX_FADV_NOREUSE:
        return len < 0 ? -EINVAL : 0; /* every file is in memory already */
    }
    return -EINVAL;
}
SYSCALL(fadvise64, COMPLETE, "dlli", "");

static long sys_readahead(int fd, int64_t off, size_t n)
{
    struct file *f = fd_peek(fd);
    if (f == NULL || !((f->flags + 1) & 1))
        return -EBADF;
    return f->inode != NULL && (f->inode->mode & S_IFMT) == S_IFREG ? 0 : -EINVAL;
}
SYSCALL(readahead, COMPLETE, "dlz", "");
