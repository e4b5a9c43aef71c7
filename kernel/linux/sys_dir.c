/*
 * System calls on directories and names: getdents, getcwd, chdir, chroot, mkdir, rmdir, unlink,
 * rename, link, symlink, mknod, umask.
 */
#include "arch/x86_64/uaccess.h"
#include "fs/vfs.h"
#include "linux/syscall.h"
#include "linux/userpath.h"

/* ---- Listing ------------------------------------------------------------------------------------
 */

#define DENTS_BUFFER (16 * KiB)

/* UAPI headers leave these two to the C library. */
struct dirent64 {
    uint64_t ino;
    int64_t off; /* position of the next entry */
    uint16_t reclen;
    uint8_t type;
    char name[];
};

struct dirent_old {
    unsigned long ino, off;
    uint16_t reclen;
    char name[]; /* the type is the record's last byte */
};

/* Entries are put together in kernel memory, since a directory must not change half-way through
 * one, and copied out at the end. */
struct dents {
    struct dir_context ctx;
    char *buf;
    size_t size, used;
    char *last; /* the entry put last: its off is the position after it */
    bool old;
    bool too_small;
};

static void set_off(struct dents *d, uint64_t pos)
{
    if (d->last == NULL)
        return;
    if (d->old)
        ((struct dirent_old *)d->last)->off = pos;
    else
        ((struct dirent64 *)d->last)->off = (int64_t)pos;
}

static bool dents_emit(struct dir_context *ctx, const char *name, size_t len, uint64_t ino,
                       unsigned type)
{
    struct dents *d = container_of(ctx, struct dents, ctx);
    size_t head = d->old ? offsetof(struct dirent_old, name) : offsetof(struct dirent64, name);
    size_t reclen = ALIGN_UP(head + len + 1 + (d->old ? 1 : 0), sizeof(uint64_t));
    /* The position says how far the caller has got: the end of the entry before this one. */
    set_off(d, ctx->pos);
    if (reclen > d->size - d->used) {
        d->too_small = d->used == 0;
        return false;
    }
    char *at = d->buf + d->used;
    memset(at, 0, reclen);
    memcpy(at + head, name, len);
    if (d->old) {
        struct dirent_old *e = (struct dirent_old *)at;
        e->ino = ino;
        e->reclen = (uint16_t)reclen;
        at[reclen - 1] = (char)type;
    } else {
        struct dirent64 *e = (struct dirent64 *)at;
        e->ino = ino;
        e->reclen = (uint16_t)reclen;
        e->type = (uint8_t)type;
    }
    d->last = at;
    d->used += reclen;
    return true;
}

static long do_getdents(int fd, char *ubuf, size_t size, bool old)
{
    struct file *f = fd_get(fd);
    if (f == NULL)
        return -EBADF;
    long r = -ENOTDIR;
    if (f->ops->readdir == NULL)
        goto out;
    r = -ENOENT;
    if (f->path->flags & PATH_DELETED)
        goto out;
    struct dents d = {
        .ctx = {.pos = f->pos, .emit = dents_emit}, .size = MIN(size, DENTS_BUFFER), .old = old};
    d.buf = kmalloc(MAX(d.size, 1ul));
    r = -ENOMEM;
    if (d.buf == NULL)
        goto out;
    r = f->ops->readdir(f, &d.ctx);
    set_off(&d, d.ctx.pos);
    if (r >= 0)
        r = d.too_small ? -EINVAL : (long)d.used;
    if (r > 0 && copy_to_user(ubuf, d.buf, d.used) < 0)
        r = -EFAULT;
    if (r > 0)
        f->pos = d.ctx.pos;
    kfree(d.buf);
out:
    file_put(f);
    return r;
}

static long sys_getdents64(int fd, char *ubuf, unsigned size)
{
    return do_getdents(fd, ubuf, size, false);
}
SYSCALL(getdents64, COMPLETE, "dpu", "");

static long sys_getdents(int fd, char *ubuf, unsigned size)
{
    return do_getdents(fd, ubuf, size, true);
}
SYSCALL(getdents, COMPLETE, "dpu", "");

/* ---- Where the process is
 * ------------------------------------------------------------------------- */

static long sys_getcwd(char *ubuf, size_t size)
{
    static const char prefix[] = "(unreachable)";
    char *buf = kmalloc(PATH_MAX);
    if (buf == NULL)
        return -ENOMEM;
    long r = -ENOENT;
    if (fs_context.cwd->flags & PATH_DELETED)
        goto out;
    bool reachable;
    char *text =
        path_text(fs_context.cwd, buf + sizeof(prefix), PATH_MAX - sizeof(prefix), &reachable);
    r = -ENAMETOOLONG;
    if (text == NULL)
        goto out;
    if (!reachable) {
        text -= sizeof(prefix) - 1;
        memcpy(text, prefix, sizeof(prefix) - 1);
    }
    size_t n = strlen(text) + 1;
    r = n > size ? -ERANGE : copy_to_user(ubuf, text, n) < 0 ? -EFAULT : (long)n;
out:
    kfree(buf);
    return r;
}
SYSCALL(getcwd, COMPLETE, "pz", "");

static int change(struct path_node **which, struct path_node *n)
{
    int err = inode_permission(n->inode, MAY_EXEC);
    if (err < 0)
        return err;
    struct path_node *old = *which;
    path_get(n);
    *which = n;
    path_put(old);
    return 0;
}

static long change_to_path(struct path_node **which, const char *upath)
{
    struct user_path path;
    int err = user_path_get(&path, upath);
    if (err < 0)
        return err;
    struct path_node *n;
    err = vfs_lookup(AT_FDCWD, path.text, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &n);
    user_path_put(&path);
    if (err < 0)
        return err;
    err = change(which, n);
    path_put(n);
    return err;
}

static long sys_chdir(const char *upath)
{
    return change_to_path(&fs_context.cwd, upath);
}
SYSCALL(chdir, COMPLETE, "s", "");

static long sys_fchdir(int fd)
{
    struct file *f = fd_peek(fd);
    if (f == NULL)
        return -EBADF;
    if (f->path == NULL || !inode_is_dir(f->inode))
        return -ENOTDIR;
    return change(&fs_context.cwd, f->path);
}
SYSCALL(fchdir, COMPLETE, "d", "");

static long sys_chroot(const char *upath)
{
    if (cred.euid != 0)
        return -EPERM;
    return change_to_path(&fs_context.root, upath);
}
SYSCALL(chroot, COMPLETE, "s", "");

static long sys_umask(unsigned mask)
{
    uint32_t old = fs_context.umask;
    fs_context.umask = mask & 0777;
    return old;
}
SYSCALL(umask, COMPLETE, "o", "");

/* ---- Making and removing names
 * --------------------------------------------------------------------- */

static long sys_mkdirat(int dirfd, const char *upath, unsigned mode)
{
    struct user_path path;
    int err = user_path_get(&path, upath);
    if (err < 0)
        return err;
    err = vfs_mkdir(dirfd, path.text, mode);
    user_path_put(&path);
    return err;
}
SYSCALL(mkdirat, COMPLETE, "Aso", "");

static long sys_mkdir(const char *upath, unsigned mode)
{
    return sys_mkdirat(AT_FDCWD, upath, mode);
}
SYSCALL(mkdir, COMPLETE, "so", "");

static long sys_mknodat(int dirfd, const char *upath, unsigned mode, unsigned dev)
{
    struct user_path path;
    int err = user_path_get(&path, upath);
    if (err < 0)
        return err;
    err = vfs_mknod(dirfd, path.text, mode & (S_IFMT | 07777), dev, NULL);
    user_path_put(&path);
    return err;
}
SYSCALL(mknodat, COMPLETE, "Asou", "");

static long sys_mknod(const char *upath, unsigned mode, unsigned dev)
{
    return sys_mknodat(AT_FDCWD, upath, mode, dev);
}
SYSCALL(mknod, COMPLETE, "sou", "");

static long do_unlink(int dirfd, const char *upath, bool rmdir)
{
    struct user_path path;
    int err = user_path_get(&path, upath);
    if (err < 0)
        return err;
    err = vfs_unlink(dirfd, path.text, rmdir);
    user_path_put(&path);
    return err;
}

static long sys_unlinkat(int dirfd, const char *upath, int flags)
{
    if (flags & ~AT_REMOVEDIR)
        return -EINVAL;
    return do_unlink(dirfd, upath, flags & AT_REMOVEDIR);
}
SYSCALL(unlinkat, COMPLETE, "Asx", "");

static long sys_unlink(const char *upath)
{
    return do_unlink(AT_FDCWD, upath, false);
}
SYSCALL(unlink, COMPLETE, "s", "");

static long sys_rmdir(const char *upath)
{
    return do_unlink(AT_FDCWD, upath, true);
}
SYSCALL(rmdir, COMPLETE, "s", "");

static long sys_renameat2(int olddir, const char *uold, int newdir, const char *unew,
                          unsigned flags)
{
    struct user_path old, new;
    int err = user_path_get(&old, uold);
    if (err < 0)
        return err;
    err = user_path_get(&new, unew);
    if (err == 0) {
        err = vfs_rename(olddir, old.text, newdir, new.text, flags);
        user_path_put(&new);
    }
    user_path_put(&old);
    return err;
}
SYSCALL(renameat2, PARTIAL, "AsAsx", "no RENAME_WHITEOUT");

static long sys_renameat(int olddir, const char *uold, int newdir, const char *unew)
{
    return sys_renameat2(olddir, uold, newdir, unew, 0);
}
SYSCALL(renameat, COMPLETE, "AsAs", "");

static long sys_rename(const char *uold, const char *unew)
{
    return sys_renameat2(AT_FDCWD, uold, AT_FDCWD, unew, 0);
}
SYSCALL(rename, COMPLETE, "ss", "");

static long sys_linkat(int olddir, const char *uold, int newdir, const char *unew, int flags)
{
    if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    if ((flags & AT_EMPTY_PATH) && cred.euid != 0)
        return -ENOENT;
    struct user_path old, new;
    int err = user_path_get(&old, uold);
    if (err < 0)
        return err;
    err = user_path_get(&new, unew);
    if (err == 0) {
        struct path_node *n;
        err = vfs_lookup(olddir, old.text,
                         (flags & AT_SYMLINK_FOLLOW ? LOOKUP_FOLLOW : 0) |
                             (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0),
                         &n);
        if (err == 0) {
            err = vfs_link(n, newdir, new.text);
            path_put(n);
        }
        user_path_put(&new);
    }
    user_path_put(&old);
    return err;
}
SYSCALL(linkat, COMPLETE, "AsAsx", "");

static long sys_link(const char *uold, const char *unew)
{
    return sys_linkat(AT_FDCWD, uold, AT_FDCWD, unew, 0);
}
SYSCALL(link, COMPLETE, "ss", "");

static long sys_symlinkat(const char *utarget, int dirfd, const char *upath)
{
    struct user_path target, path;
    int err = user_path_get(&target, utarget);
    if (err < 0)
        return err;
    err = user_path_get(&path, upath);
    if (err == 0) {
        err = vfs_symlink(target.text, dirfd, path.text);
        user_path_put(&path);
    }
    user_path_put(&target);
    return err;
}
SYSCALL(symlinkat, COMPLETE, "sAs", "");

static long sys_symlink(const char *utarget, const char *upath)
{
    return sys_symlinkat(utarget, AT_FDCWD, upath);
}
SYSCALL(symlink, COMPLETE, "ss", "");
