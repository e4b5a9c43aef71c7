/*
 * Start-up of the file systems: the root, what the machine was given to put into it, and the
 * mounts every Linux program expects (/dev, /proc, /sys, /dev/shm, /tmp). Once, at boot.
 */
#include "fs/devices.h"
#include "fs/initramfs.h"
#include "fs/procfs.h"
#include "fs/tmpfs.h"
#include "lib/init.h"

static int mount_at(struct filesystem *fs, const char *path)
{
    if (fs == NULL)
        return -ENOMEM;
    int err = vfs_mkdir(AT_FDCWD, path, 0755);
    if (err < 0 && err != -EEXIST)
        return err;
    struct path_node *point;
    err = vfs_lookup(AT_FDCWD, path, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &point);
    if (err < 0)
        return err;
    err = vfs_mount(fs, point, fs->type, 0);
    path_put(point);
    return err;
}

static int rootfs_init(void)
{
    struct filesystem *root = tmpfs_new("rootfs", 0755);
    if (root == NULL)
        panic("no memory for the root file system");
    vfs_set_root(root);
    initramfs_unpack();
    initramfs_unpack_disk();
    devices_register();

    uint32_t umask = fs_context.umask;
    fs_context.umask = 0;
    int err = mount_at(tmpfs_new("devtmpfs", 0755), "/dev");
    if (err == 0)
        err = devices_populate();
    if (err == 0)
        err = mount_at(procfs_new(), "/proc");
    if (err == 0)
        err = mount_at(sysfs_new(), "/sys");
    if (err == 0) {
        err = vfs_mkdir(AT_FDCWD, "/tmp", 01777);
        err = err == -EEXIST ? 0 : err;
    }
    fs_context.umask = umask;
    if (err < 0)
        kprintf("wherry: cannot set up /dev, /proc, /sys and /tmp: error %d\n", -err);
    return err;
}
INIT(INIT_FS, rootfs_init);
