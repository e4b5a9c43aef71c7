/*
 * The extended attribute system calls, over fs/xattr.h.
 */
#include "fs/xattr.h"
#include "arch/x86_64/uaccess.h"
#include "fs/vfs.h"
#include "linux/syscall.h"
#include "linux/userpath.h"

#include <linux/xattr.h>

/* What a call works on: a path, followed or not, or a descriptor. */
struct target {
    const char *upath; /* NULL: fd */
    int fd;
    bool follow;
};

/* The inode, referenced. */
static int target_inode(const struct target *t, struct inode **out)
{
    if (t->upath == NULL) {
        struct file *f = fd_peek(t->fd);
        if (f == NULL || (f->kind & FILE_PATH))
            return -EBADF;
        if (f->inode == NULL)
            return -EOPNOTSUPP;
        inode_get(f->inode);
        *out = f->inode;
        return 0;
    }
    struct user_path path;
    int err = user_path_get(&path, t->upath);
    if (err < 0)
        return err;
    struct path_node *n;
    err = vfs_lookup(AT_FDCWD, path.text, t->follow ? LOOKUP_FOLLOW : 0, &n);
    user_path_put(&path);
    if (err < 0)
        return err;
    inode_get(n->inode);
    *out = n->inode;
    path_put(n);
    return 0;
}

static int get_name(char *name, const char *uname)
{
    ssize_t n = copy_string_from_user(name, uname, XATTR_NAME_MAX + 1);
    if (n < 0)
        return n == -ENAMETOOLONG ? -ERANGE : (int)n;
    return n == 0 ? -ERANGE : 0;
}

static long do_set(const struct target *t, const char *uname, const void *uvalue, size_t size,
                   int flags)
{
    char name[XATTR_NAME_MAX + 1];
    if (flags & ~(XATTR_CREATE | XATTR_REPLACE))
        return -EINVAL;
    int err = get_name(name, uname);
    if (err < 0)
        return err;
    if (size > XATTR_SIZE_MAX)
        return -E2BIG;
    struct inode *i;
    err = target_inode(t, &i);
    if (err < 0)
        return err;
    void *value = kmalloc(MAX(size, 1ul));
    if (value == NULL)
        err = -ENOMEM;
    else if (copy_from_user(value, uvalue, size) < 0)
        err = -EFAULT;
    else
        err = xattr_set(i, name, value, size, flags);
    kfree(value);
    inode_put(i);
    return err;
}

static long do_get(const struct target *t, const char *uname, void *uvalue, size_t size)
{
    char name[XATTR_NAME_MAX + 1];
    int err = get_name(name, uname);
    if (err < 0)
        return err;
    struct inode *i;
    err = target_inode(t, &i);
    if (err < 0)
        return err;
    size = MIN(size, (size_t)XATTR_SIZE_MAX);
    void *value = kmalloc(MAX(size, 1ul));
    ssize_t r = value != NULL ? xattr_get(i, name, value, size) : -ENOMEM;
    if (r > 0 && size > 0 && copy_to_user(uvalue, value, (size_t)r) < 0)
        r = -EFAULT;
    kfree(value);
    inode_put(i);
    return r;
}

static long do_list(const struct target *t, char *ulist, size_t size)
{
    struct inode *i;
    int err = target_inode(t, &i);
    if (err < 0)
        return err;
    size = MIN(size, (size_t)XATTR_LIST_MAX);
    char *list = kmalloc(MAX(size, 1ul));
    ssize_t r = list != NULL ? xattr_list(i, list, size) : -ENOMEM;
    if (r > 0 && size > 0 && copy_to_user(ulist, list, (size_t)r) < 0)
        r = -EFAULT;
    kfree(list);
    inode_put(i);
    return r;
}

static long do_remove(const struct target *t, const char *uname)
{
    char name[XATTR_NAME_MAX + 1];
    int err = get_name(name, uname);
    if (err < 0)
        return err;
    struct inode *i;
    err = target_inode(t, &i);
    if (err < 0)
        return err;
    err = xattr_remove(i, name);
    inode_put(i);
    return err;
}

#define BY_PATH(p)  (&(struct target){.upath = (p), .follow = true})
#define BY_LPATH(p) (&(struct target){.upath = (p)})
#define BY_FD(d)    (&(struct target){.fd = (d)})

static long sys_setxattr(const char *path, const char *name, const void *v, size_t n, int flags)
{
    return do_set(BY_PATH(path), name, v, n, flags);
}
SYSCALL(setxattr, PARTIAL, "ssbzx", "no POSIX ACLs (system.*)");
static long sys_lsetxattr(const char *path, const char *name, const void *v, size_t n, int flags)
{
    return do_set(BY_LPATH(path), name, v, n, flags);
}
SYSCALL(lsetxattr, PARTIAL, "ssbzx", "no POSIX ACLs (system.*)");
static long sys_fsetxattr(int fd, const char *name, const void *v, size_t n, int flags)
{
    return do_set(BY_FD(fd), name, v, n, flags);
}
SYSCALL(fsetxattr, PARTIAL, "dsbzx", "no POSIX ACLs (system.*)");

static long sys_getxattr(const char *path, const char *name, void *v, size_t n)
{
    return do_get(BY_PATH(path), name, v, n);
}
SYSCALL(getxattr, COMPLETE, "sspz", "");
static long sys_lgetxattr(const char *path, const char *name, void *v, size_t n)
{
    return do_get(BY_LPATH(path), name, v, n);
}
SYSCALL(lgetxattr, COMPLETE, "sspz", "");
static long sys_fgetxattr(int fd, const char *name, void *v, size_t n)
{
    return do_get(BY_FD(fd), name, v, n);
}
SYSCALL(fgetxattr, COMPLETE, "dspz", "");

static long sys_listxattr(const char *path, char *list, size_t n)
{
    return do_list(BY_PATH(path), list, n);
}
SYSCALL(listxattr, COMPLETE, "spz", "");
static long sys_llistxattr(const char *path, char *list, size_t n)
{
    return do_list(BY_LPATH(path), list, n);
}
SYSCALL(llistxattr, COMPLETE, "spz", "");
static long sys_flistxattr(int fd, char *list, size_t n)
{
    return do_list(BY_FD(fd), list, n);
}
SYSCALL(flistxattr, COMPLETE, "dpz", "");

static long sys_removexattr(const char *path, const char *name)
{
    return do_remove(BY_PATH(path), name);
}
SYSCALL(removexattr, COMPLETE, "ss", "");
static long sys_lremovexattr(const char *path, const char *name)
{
    return do_remove(BY_LPATH(path), name);
}
SYSCALL(lremovexattr, COMPLETE, "ss", "");
static long sys_fremovexattr(int fd, const char *name)
{
    return do_remove(BY_FD(fd), name);
}
SYSCALL(fremovexattr, COMPLETE, "ds", "");
