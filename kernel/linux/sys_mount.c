/*
 * mount and umount, and the calls about file systems that a machine without disks refuses.
 */
#include "arch/x86_64/uaccess.h"
#include "fs/procfs.h"
#include "fs/tmpfs.h"
#include "linux/syscall.h"
#include "linux/userpath.h"

#include <linux/ioprio.h>

#define TYPE_MAX 32

static int new_filesystem(const char *type, struct filesystem **out)
{
    *out = NULL;
    if (strcmp(type, "tmpfs") == 0 || strcmp(type, "ramfs") == 0)
        *out = tmpfs_new(strcmp(type, "tmpfs") == 0 ? "tmpfs" : "ramfs", 01777);
    else if (strcmp(type, "proc") == 0)
        *out = procfs_new();
    else if (strcmp(type, "sysfs") == 0)
        *out = sysfs_new();
    else
        return -ENODEV;
    return *out != NULL ? 0 : -ENOMEM;
}

static int remount(struct path_node *at, unsigned long flags)
{
    struct mount *m = at->inode->fs->mount;
    if (m == NULL || m->fs->root != at)
        return -EINVAL;
    m->flags = (uint32_t)(flags & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME));
    return 0;
}

static long sys_mount(const char *usource, const char *utarget, const char *utype,
                      unsigned long flags, const void *data)
{
    if (cred.euid != 0)
        return -EPERM;
    if (flags & (MS_BIND | MS_MOVE))
        return -EPERM;
    struct user_path target;
    int err = user_path_get(&target, utarget);
    if (err < 0)
        return err;
    struct path_node *point;
    err = vfs_lookup(AT_FDCWD, target.text, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &point);
    user_path_put(&target);
    if (err < 0)
        return err;
    char type[TYPE_MAX], source[TYPE_MAX] = "none";
    struct filesystem *fs;
    if (flags & MS_REMOUNT) {
        err = remount(point, flags);
        goto out;
    }
    if (flags & (MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE)) {
        /* Propagation between namespaces: there is one, so it is whatever was asked for. */
        err = 0;
        goto out;
    }
    ssize_t n = copy_string_from_user(type, utype, sizeof(type));
    err = n == -ENAMETOOLONG ? -ENODEV : n < 0 ? (int)n : 0;
    if (err == 0 && usource != NULL &&
        copy_string_from_user(source, usource, sizeof(source)) == -EFAULT)
        err = -EFAULT;
    if (err == 0)
        err = new_filesystem(type, &fs);
    if (err == 0) {
        source[sizeof(source) - 1] = '\0';
        uint32_t keep =
            (uint32_t)(flags & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME));
        err = vfs_mount(fs, point, source, keep);
        if (err < 0)
            fs->release(fs);
    }
out:
    path_put(point);
    return err;
}
SYSCALL(mount, PARTIAL, "sssxp",
        "tmpfs, ramfs, proc and sysfs; their options, nosuid, nodev and noexec have no effect; no bind mounts or moves (EPERM)");

static long sys_umount2(const char *utarget, int flags)
{
    const int force = 1, detach = 2, expire = 4, nofollow = 8; /* MNT_*, UMOUNT_NOFOLLOW */
    if (flags & ~(force | detach | expire | nofollow))
        return -EINVAL;
    if (cred.euid != 0)
        return -EPERM;
    struct user_path target;
    int err = user_path_get(&target, utarget);
    if (err < 0)
        return err;
    struct path_node *root;
    err = vfs_lookup(AT_FDCWD, target.text, flags & nofollow ? 0 : LOOKUP_FOLLOW, &root);
    user_path_put(&target);
    if (err < 0)
        return err;
    err = vfs_umount(root, (unsigned)flags);
    path_put(root);
    return err;
}
SYSCALL(umount2, PARTIAL, "sx", "MNT_DETACH and MNT_EXPIRE do what an ordinary umount does");

/* ---- Refused
 * ------------------------------------------------------------------------------------- */

static long sys_pivot_root(const char *new_root, const char *put_old)
{
    return cred.euid == 0 ? -EINVAL : -EPERM; /* the root is the initial one: pivot_root(2) */
}
SYSCALL(pivot_root, COMPLETE, "ss", "");

static long sys_name_to_handle_at(int dirfd, const char *path, void *handle, int *mount_id,
                                  int flags)
{
    return -EOPNOTSUPP;
}
SYSCALL(name_to_handle_at, PARTIAL, "Asppx", "refused: no file system here has handles");

static long sys_open_by_handle_at(int mount_fd, void *handle, int flags)
{
    return cred.euid == 0 ? -ESTALE : -EPERM;
}
SYSCALL(open_by_handle_at, PARTIAL, "dpO", "refused: no file system here has handles");

static long sys_quotactl(unsigned cmd, const char *special, int id, void *addr)
{
    return -ENOSYS;
}
SYSCALL(quotactl, PARTIAL, "xsip", "refused: there are no block devices");

static long sys_swapon(const char *path, int flags)
{
    return cred.euid == 0 ? -EINVAL : -EPERM;
}
SYSCALL(swapon, PARTIAL, "sx", "refused: there are no block devices");

static long sys_swapoff(const char *path)
{
    return cred.euid == 0 ? -EINVAL : -EPERM;
}
SYSCALL(swapoff, PARTIAL, "s", "refused: there are no block devices");

/* ---- I/O priorities: kept, without an effect on memory
 * ----------------------------------------------- */

static int priority = IOPRIO_PRIO_VALUE(IOPRIO_CLASS_NONE, 0);

static long sys_ioprio_get(int which, int who)
{
    if (which != IOPRIO_WHO_PROCESS && which != IOPRIO_WHO_PGRP && which != IOPRIO_WHO_USER)
        return -EINVAL;
    return priority;
}
SYSCALL(ioprio_get, COMPLETE, "ii", "");

static long sys_ioprio_set(int which, int who, int value)
{
    int class = value >> IOPRIO_CLASS_SHIFT, level = value & ((1 << IOPRIO_CLASS_SHIFT) - 1);
    if (which != IOPRIO_WHO_PROCESS && which != IOPRIO_WHO_PGRP && which != IOPRIO_WHO_USER)
        return -EINVAL;
    if (class == IOPRIO_CLASS_NONE ? level != 0
                                   : class > IOPRIO_CLASS_IDLE || level >= IOPRIO_NR_LEVELS)
        return -EINVAL;
    if (class == IOPRIO_CLASS_RT && cred.euid != 0)
        return -EPERM;
    priority = value;
    return 0;
}
SYSCALL(ioprio_set, COMPLETE, "iix", "");
