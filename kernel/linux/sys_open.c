/*
 * System calls that make and close descriptors: open and its kin, close, dup, memfd_create.
 */
#include "arch/x86_64/uaccess.h"
#include "fs/tmpfs.h"
#include "linux/syscall.h"
#include "linux/userpath.h"

#include <linux/close_range.h>
#include <linux/memfd.h>
#include <linux/openat2.h>

/* The flags open(2) knows; it ignores others, openat2(2) refuses them. */
#define OPEN_FLAGS                                                                                 \
    (O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_DSYNC |         \
     FASYNC | O_DIRECT | O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_SYNC | \
     O_PATH | __O_TMPFILE)
#define OPEN_HOW_SIZE_VER0 24  /* what Linux 5.6 had */
#define MEMFD_NAME_MAX     249 /* memfd_create(2) */

int user_path_get_long(struct user_path *p, const char *u)
{
    p->block = kmalloc(PATH_MAX);
    if (p->block == NULL)
        return -ENOMEM;
    ssize_t n = copy_string_from_user(p->block, u, PATH_MAX);
    if (n < 0) {
        kfree(p->block);
        p->block = NULL;
        return (int)n;
    }
    p->text = p->block;
    return 0;
}

static long do_open(int dirfd, const char *upath, unsigned flags, unsigned mode, unsigned lookup)
{
    struct user_path path;
    int err = user_path_get(&path, upath);
    if (err < 0)
        return err;
    struct file *f;
    err = vfs_open_lookup(dirfd, path.text, (int)flags, (int)mode, lookup, &f);
    user_path_put(&path);
    if (err < 0)
        return err;
    int fd = fd_install(f, 0, flags);
    if (fd < 0)
        file_put(f);
    return fd;
}

static long sys_openat(int dirfd, const char *upath, int flags, unsigned mode)
{
    return do_open(dirfd, upath, (unsigned)flags & OPEN_FLAGS, mode, 0);
}
SYSCALL(openat, COMPLETE, "AsOo", "");

static long sys_open(const char *upath, int flags, unsigned mode)
{
    return do_open(AT_FDCWD, upath, (unsigned)flags & OPEN_FLAGS, mode, 0);
}
SYSCALL(open, COMPLETE, "sOo", "");

static long sys_creat(const char *upath, unsigned mode)
{
    return do_open(AT_FDCWD, upath, O_CREAT | O_WRONLY | O_TRUNC, mode, 0);
}
SYSCALL(creat, COMPLETE, "so", "");

static long sys_openat2(int dirfd, const char *upath, const struct open_how *uhow, size_t size)
{
    struct open_how how = {.flags = 0};
    if (size < OPEN_HOW_SIZE_VER0)
        return -EINVAL;
    if (size > PAGE_SIZE)
        return -E2BIG;
    if (copy_from_user(&how, uhow, MIN(size, sizeof(how))) < 0)
        return -EFAULT;
    /* A longer structure is from a newer header: what we do not know must be unset. */
    for (size_t i = sizeof(how); i < size; i++) {
        char c;
        if (get_user(c, (const char *)uhow + i) < 0)
            return -EFAULT;
        if (c != 0)
            return -E2BIG;
    }
    static const struct {
        uint64_t resolve;
        unsigned lookup;
    } map[] = {{RESOLVE_NO_XDEV, LOOKUP_NO_XDEV},      {RESOLVE_NO_MAGICLINKS, LOOKUP_NO_MAGIC},
               {RESOLVE_NO_SYMLINKS, LOOKUP_NO_LINKS}, {RESOLVE_BENEATH, LOOKUP_BENEATH},
               {RESOLVE_IN_ROOT, LOOKUP_IN_ROOT},      {RESOLVE_CACHED, 0}};
    unsigned lookup = 0;
    uint64_t rest = how.resolve;
    for (size_t i = 0; i < ARRAY_SIZE(map); i++) {
        if (how.resolve & map[i].resolve)
            lookup |= map[i].lookup;
        rest &= ~map[i].resolve;
    }
    if (rest != 0 || (how.flags & ~(uint64_t)OPEN_FLAGS) ||
        (how.resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT)) == (RESOLVE_BENEATH | RESOLVE_IN_ROOT))
        return -EINVAL;
    bool creates = (how.flags & O_CREAT) || (how.flags & O_TMPFILE) == O_TMPFILE;
    if (creates ? how.mode & ~07777ull : how.mode != 0)
        return -EINVAL;
    if ((how.flags & O_PATH) &&
        (how.flags & ~(uint64_t)(O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)))
        return -EINVAL;
    if ((how.resolve & RESOLVE_CACHED) && (creates || (how.flags & O_TRUNC)))
        return -EAGAIN;
    return do_open(dirfd, upath, (unsigned)how.flags, (unsigned)how.mode, lookup);
}
SYSCALL(openat2, COMPLETE, "Aspz", "");

static long sys_close(int fd)
{
    return fd_close(fd);
}
SYSCALL(close, COMPLETE, "d", "");

static long sys_close_range(unsigned first, unsigned last, unsigned flags)
{
    if ((flags & ~(unsigned)(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)) || first > last)
        return -EINVAL;
    /* CLOSE_RANGE_UNSHARE: nobody outside this process shares the table. Threads of it do. */
    if (flags & CLOSE_RANGE_CLOEXEC)
        fd_cloexec_range(first, last);
    else
        fd_close_range(first, last);
    return 0;
}
SYSCALL(close_range, PARTIAL, "uux",
        "CLOSE_RANGE_UNSHARE does not give the calling thread a table of its own");

static long sys_dup(int fd)
{
    struct file *f = fd_get(fd);
    if (f == NULL)
        return -EBADF;
    int new = fd_install(f, 0, 0);
    if (new < 0)
        file_put(f);
    return new;
}
SYSCALL(dup, COMPLETE, "d", "");

static long dup_at(int fd, int new, unsigned flags)
{
    struct file *f = fd_get(fd);
    if (f == NULL)
        return -EBADF;
    int r = fd_install_at(f, new, flags);
    if (r < 0)
        file_put(f);
    return r;
}

static long sys_dup2(int fd, int new)
{
    if (fd == new)
        return fd_peek(fd) != NULL ? new : -EBADF;
    return dup_at(fd, new, 0);
}
SYSCALL(dup2, COMPLETE, "dd", "");

static long sys_dup3(int fd, int new, int flags)
{
    if (fd == new || (flags & ~O_CLOEXEC))
        return -EINVAL;
    return dup_at(fd, new, (unsigned)flags);
}
SYSCALL(dup3, COMPLETE, "ddO", "");

static long sys_memfd_create(const char *uname, unsigned flags)
{
    static const char prefix[] = "memfd:";
    char name[sizeof(prefix) + MEMFD_NAME_MAX + 1];
    if (flags & ~(MFD_CLOEXEC | MFD_ALLOW_SEALING))
        return -EINVAL; /* MFD_HUGETLB: there is no pool of huge pages */
    memcpy(name, prefix, sizeof(prefix) - 1);
    ssize_t n = copy_string_from_user(name + sizeof(prefix) - 1, uname, MEMFD_NAME_MAX + 1);
    if (n < 0)
        return n == -ENAMETOOLONG ? -EINVAL : n;
    struct file *f;
    int err =
        tmpfs_memfd(name, O_RDWR | O_LARGEFILE, flags & MFD_ALLOW_SEALING ? 0 : F_SEAL_SEAL, &f);
    if (err < 0)
        return err;
    int fd = fd_install(f, 0, flags & MFD_CLOEXEC ? O_CLOEXEC : 0);
    if (fd < 0)
        file_put(f);
    return fd;
}
SYSCALL(memfd_create, PARTIAL, "sx", "no MFD_HUGETLB");
