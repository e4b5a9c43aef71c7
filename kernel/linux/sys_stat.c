/*
 * System calls that report on files: the stat family, access, readlink, statfs.
 */
#include "arch/x86_64/uaccess.h"
#include "fs/vfs.h"
#include "linux/syscall.h"
#include "linux/userpath.h"
#include "mm/frame.h"

#include <asm/stat.h>
#include <asm/statfs.h>

#define SECONDS(ns) ((ns) / (int64_t)NSEC_PER_SEC)
#define NANOS(ns)   ((ns) % (int64_t)NSEC_PER_SEC)
#define ST_VALID    0x0020 /* statfs(2): f_flags was filled in */

/* Linux's new_decode_dev, undone. */
static uint32_t dev_major(uint64_t dev)
{
    return dev >> 8 & 0xfff;
}
static uint32_t dev_minor(uint64_t dev)
{
    return (uint32_t)((dev & 0xff) | (dev >> 12 & 0xffffff00));
}

/* A time before 1970 has its nanoseconds counted upwards too. */
static void split_time(int64_t ns, int64_t *s, uint32_t *frac)
{
    *s = SECONDS(ns);
    int64_t f = NANOS(ns);
    if (f < 0) {
        f += (int64_t)NSEC_PER_SEC;
        (*s)--;
    }
    *frac = (uint32_t)f;
}

static long put_stat(const struct kstat *k, struct stat *ust)
{
    struct stat st = {
        .st_dev = k->dev,
        .st_ino = k->ino,
        .st_nlink = k->nlink,
        .st_mode = k->mode,
        .st_uid = k->uid,
        .st_gid = k->gid,
        .st_rdev = k->rdev,
        .st_size = (long)k->size,
        .st_blksize = k->blksize,
        .st_blocks = (long)k->blocks,
    };
    int64_t s;
    uint32_t ns;
    split_time(k->atime, &s, &ns);
    st.st_atime = (unsigned long)s;
    st.st_atime_nsec = ns;
    split_time(k->mtime, &s, &ns);
    st.st_mtime = (unsigned long)s;
    st.st_mtime_nsec = ns;
    split_time(k->ctime, &s, &ns);
    st.st_ctime = (unsigned long)s;
    st.st_ctime_nsec = ns;
    return copy_to_user(ust, &st, sizeof(st));
}

/* What (dirfd, path) with AT_EMPTY_PATH and AT_SYMLINK_NOFOLLOW names. */
static int stat_at(int dirfd, const char *upath, unsigned flags, struct kstat *k)
{
    if (flags & AT_EMPTY_PATH) {
        /* The common way to write fstat: an empty path, which is not worth a walk. */
        char first;
        if (get_user(first, upath) < 0)
            return -EFAULT;
        if (first == '\0' && dirfd != AT_FDCWD) {
            struct file *f = fd_peek(dirfd);
            return f != NULL ? vfs_stat_file(f, k) : -EBADF;
        }
    }
    struct user_path path;
    int err = user_path_get(&path, upath);
    if (err < 0)
        return err;
    struct path_node *n;
    unsigned lookup = (flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW) |
                      (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0);
    err = vfs_lookup(dirfd, path.text, lookup, &n);
    user_path_put(&path);
    if (err < 0)
        return err;
    vfs_stat_inode(n->inode, k);
    path_put(n);
    return 0;
}

static long stat_path(int dirfd, const char *upath, unsigned flags, struct stat *ust)
{
    struct kstat k;
    int err = stat_at(dirfd, upath, flags, &k);
    return err < 0 ? err : put_stat(&k, ust);
}

static long sys_stat(const char *upath, struct stat *ust)
{
    return stat_path(AT_FDCWD, upath, 0, ust);
}
SYSCALL(stat, COMPLETE, "sp", "");

static long sys_lstat(const char *upath, struct stat *ust)
{
    return stat_path(AT_FDCWD, upath, AT_SYMLINK_NOFOLLOW, ust);
}
SYSCALL(lstat, COMPLETE, "sp", "");

static long sys_newfstatat(int dirfd, const char *upath, struct stat *ust, unsigned flags)
{
    if (flags & ~(unsigned)(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH))
        return -EINVAL;
    return stat_path(dirfd, upath, flags, ust);
}
SYSCALL(newfstatat, COMPLETE, "Aspx", "");

static long sys_fstat(int fd, struct stat *ust)
{
    struct file *f = fd_peek(fd);
    if (f == NULL)
        return -EBADF;
    struct kstat k;
    int err = vfs_stat_file(f, &k);
    return err < 0 ? err : put_stat(&k, ust);
}
SYSCALL(fstat, COMPLETE, "dp", "");

static struct statx_timestamp statx_time(int64_t ns)
{
    struct statx_timestamp t = {.tv_sec = 0};
    int64_t s;
    split_time(ns, &s, &t.tv_nsec);
    t.tv_sec = s;
    return t;
}

static long sys_statx(int dirfd, const char *upath, unsigned flags, unsigned mask, struct statx *ux)
{
    const unsigned known =
        AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE;
    if ((flags & ~known) || (mask & STATX__RESERVED) ||
        (flags & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE)
        return -EINVAL;
    struct kstat k;
    int err = stat_at(dirfd, upath, flags, &k);
    if (err < 0)
        return err;
    struct statx x = {
        .stx_mask = STATX_BASIC_STATS | (k.btime != 0 ? STATX_BTIME : 0),
        .stx_blksize = k.blksize,
        .stx_nlink = k.nlink,
        .stx_uid = k.uid,
        .stx_gid = k.gid,
        .stx_mode = (uint16_t)k.mode,
        .stx_ino = k.ino,
        .stx_size = k.size,
        .stx_blocks = k.blocks,
        .stx_atime = statx_time(k.atime),
        .stx_btime = statx_time(k.btime),
        .stx_ctime = statx_time(k.ctime),
        .stx_mtime = statx_time(k.mtime),
        .stx_rdev_major = dev_major(k.rdev),
        .stx_rdev_minor = dev_minor(k.rdev),
        .stx_dev_major = dev_major(k.dev),
        .stx_dev_minor = dev_minor(k.dev),
    };
    return copy_to_user(ux, &x, sizeof(x));
}
SYSCALL(statx, COMPLETE, "Asxxp", "");

/* ---- access ------------------------------------------------------------------------------------
 */

static long do_access(int dirfd, const char *upath, int mode, unsigned flags)
{
    if ((mode & ~(MAY_READ | MAY_WRITE | MAY_EXEC)) ||
        (flags & ~(unsigned)(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)))
        return -EINVAL;
    struct user_path path;
    int err = user_path_get(&path, upath);
    if (err < 0)
        return err;
    /* access(2) asks for the real identity. Nothing sleeps until it is put back. */
    uint32_t fsuid = cred.fsuid, fsgid = cred.fsgid;
    if (!(flags & AT_EACCESS)) {
        cred.fsuid = cred.uid;
        cred.fsgid = cred.gid;
    }
    struct path_node *n;
    struct file *f = fd_peek(dirfd);
    if (path.text[0] == '\0' && (flags & AT_EMPTY_PATH) && f != NULL && f->path == NULL) {
        err = 0; /* a socket or the like: its owner asks */
    } else {
        err = vfs_lookup(dirfd, path.text,
                         (flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW) |
                             (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0),
                         &n);
        if (err == 0) {
            err = inode_permission(n->inode, mode);
            path_put(n);
        }
    }
    cred.fsuid = fsuid;
    cred.fsgid = fsgid;
    user_path_put(&path);
    return err;
}

static long sys_access(const char *upath, int mode)
{
    return do_access(AT_FDCWD, upath, mode, 0);
}
SYSCALL(access, COMPLETE, "si", "");

static long sys_faccessat(int dirfd, const char *upath, int mode)
{
    return do_access(dirfd, upath, mode, 0);
}
SYSCALL(faccessat, COMPLETE, "Asi", "");

static long sys_faccessat2(int dirfd, const char *upath, int mode, unsigned flags)
{
    return do_access(dirfd, upath, mode, flags);
}
SYSCALL(faccessat2, COMPLETE, "Asix", "");

/* ---- readlink ----------------------------------------------------------------------------------
 */

static long sys_readlinkat(int dirfd, const char *upath, char *ubuf, int size)
{
    if (size <= 0)
        return -EINVAL;
    struct user_path path;
    int err = user_path_get(&path, upath);
    if (err < 0)
        return err;
    bool empty = path.text[0] == '\0' && dirfd != AT_FDCWD;
    struct path_node *n;
    /* An empty path means dirfd, which was opened with O_PATH | O_NOFOLLOW on a link. */
    err = vfs_lookup(dirfd, path.text, empty ? LOOKUP_EMPTY : 0, &n);
    user_path_put(&path);
    if (err < 0)
        return err;
    long r = empty ? -ENOENT : -EINVAL;
    if ((n->inode->mode & S_IFMT) == S_IFLNK) {
        char fast[128], *buf = fast;
        size_t room = MIN((size_t)size, (size_t)PATH_MAX);
        if (room > sizeof(fast))
            buf = kmalloc(room);
        r = buf != NULL ? n->inode->ops->readlink(n->inode, buf, room) : -ENOMEM;
        if (r > 0 && copy_to_user(ubuf, buf, (size_t)r) < 0)
            r = -EFAULT;
        if (buf != fast)
            kfree(buf);
    }
    path_put(n);
    return r;
}
SYSCALL(readlinkat, COMPLETE, "AsBi", "");

static long sys_readlink(const char *upath, char *ubuf, int size)
{
    return sys_readlinkat(AT_FDCWD, upath, ubuf, size);
}
SYSCALL(readlink, COMPLETE, "sBi", "");

/* ---- statfs ------------------------------------------------------------------------------------
 */

static long put_statfs(const struct filesystem *fs, struct statfs *ust)
{
    struct frame_stats m = frame_stats();
    bool memory = !fs->fixed; /* a tmpfs: as large as the memory */
    struct statfs st = {
        .f_type = fs->magic,
        .f_bsize = PAGE_SIZE,
        .f_blocks = memory ? (long)m.total : 0,
        .f_bfree = memory ? (long)m.free : 0,
        .f_bavail = memory ? (long)m.free : 0,
        .f_files = memory ? (long)m.total : 0,
        .f_ffree = memory ? (long)m.free : 0,
        .f_fsid = {.val = {(int)fs->dev, 0}},
        .f_namelen = NAME_MAX,
        .f_frsize = PAGE_SIZE,
        .f_flags = ST_VALID | (fs->mount != NULL ? (long)(fs->mount->flags & MS_RDONLY) : 0),
    };
    return copy_to_user(ust, &st, sizeof(st));
}

static long sys_statfs(const char *upath, struct statfs *ust)
{
    struct user_path path;
    int err = user_path_get(&path, upath);
    if (err < 0)
        return err;
    struct path_node *n;
    err = vfs_lookup(AT_FDCWD, path.text, LOOKUP_FOLLOW, &n);
    user_path_put(&path);
    if (err < 0)
        return err;
    long r = put_statfs(n->inode->fs, ust);
    path_put(n);
    return r;
}
SYSCALL(statfs, COMPLETE, "sp", "");

/* Sockets, pipes and other nameless files live in file systems of their own. */
static long nameless_statfs(const struct file *f, struct statfs *ust)
{
    static const uint32_t sockfs = 0x534f434b, pipefs = 0x50495045, anonfs = 0x09041934;
    struct statfs st = {.f_type = f->kind & FILE_SOCKET ? sockfs
                                  : f->kind & FILE_PIPE ? pipefs
                                                        : anonfs,
                        .f_bsize = PAGE_SIZE,
                        .f_frsize = PAGE_SIZE,
                        .f_namelen = NAME_MAX,
                        .f_flags = ST_VALID};
    return copy_to_user(ust, &st, sizeof(st));
}

static long sys_fstatfs(int fd, struct statfs *ust)
{
    struct file *f = fd_get(fd);
    if (f == NULL)
        return -EBADF;
    long r = f->inode != NULL ? put_statfs(f->inode->fs, ust) : nameless_statfs(f, ust);
    file_put(f);
    return r;
}
SYSCALL(fstatfs, COMPLETE, "dp", "");

static long sys_ustat(unsigned dev, void *u)
{
    struct {
        int32_t tfree;
        uint64_t tinode;
        char fname[6], fpack[6];
    } out = {.tfree = 0};
    list_for_each (m, &mount_list, struct mount, link) {
        if (m->fs->dev != dev)
            continue;
        out.tfree = (int32_t)frame_stats().free;
        out.tinode = frame_stats().free;
        return copy_to_user(u, &out, sizeof(out));
    }
    return -EINVAL;
}
SYSCALL(ustat, COMPLETE, "up", "");
