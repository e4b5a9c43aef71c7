/*
 * Mounts, and the registry of character devices. A file system instance is mounted once;
 * there are no bind mounts and no mount namespaces. Called at boot and by mount(2). Never
 * sleeps.
 */
#include "fs/vfs.h"

#include "mm/slab.h"

#define MINOR_FIRST 20 /* st_dev of the first mount: any number does */

struct list mount_list = LIST_INIT(mount_list);

static uint32_t next_dev = MINOR_FIRST;
static uint32_t next_mount_id = 1;
static struct list chardevs = LIST_INIT(chardevs);

void filesystem_setup(struct filesystem *fs, const char *type, uint32_t magic)
{
    *fs = (struct filesystem){.type = type, .magic = magic, .dev = next_dev++};
}

static struct mount *mount_new(struct filesystem *fs, const char *source, uint32_t flags)
{
    struct mount *m = kzalloc(sizeof(*m));
    if (m == NULL)
        return NULL;
    m->fs = fs;
    m->flags = flags;
    m->id = next_mount_id++;
    strlcpy(m->source, source, sizeof(m->source));
    fs->mount = m;
    list_push_back(&mount_list, &m->link);
    return m;
}

void vfs_set_root(struct filesystem *fs)
{
    if (mount_new(fs, "rootfs", 0) == NULL)
        panic("no memory for the root file system");
    path_get(fs->root);
    path_get(fs->root);
    fs_context.root = fs_context.cwd = fs->root;
}

int vfs_mount(struct filesystem *fs, struct path_node *point, const char *source, uint32_t flags)
{
    if (fs->mount != NULL)
        return -EBUSY;
    if (!inode_is_dir(point->inode))
        return -ENOTDIR;
    assert(point->mount == NULL); /* a walk ends on the topmost mount */
    struct mount *m = mount_new(fs, source, flags);
    if (m == NULL)
        return -ENOMEM;
    path_get(point);
    m->point = point;
    point->mount = m;
    return 0;
}

/* Is any directory of this file system covered? */
static bool has_mounts_below(const struct filesystem *fs)
{
    list_for_each (m, &mount_list, struct mount, link) {
        if (m->point != NULL && m->point->inode->fs == fs)
            return true;
    }
    return false;
}

int vfs_umount(struct path_node *root, unsigned flags)
{
    struct filesystem *fs = root->inode->fs;
    struct mount *m = fs->mount;
    if (fs->root != root || m == NULL)
        return -EINVAL;
    /* Whoever works in it (an open file, a working directory) holds references on its nodes. */
    if (m->point == NULL || has_mounts_below(fs) || fs->in_use == NULL || fs->in_use(fs))
        return -EBUSY;
    m->point->mount = NULL;
    path_put(m->point);
    list_remove(&m->link);
    kfree(m);
    fs->mount = NULL;
    fs->release(fs);
    return 0;
}

/* ---- Character devices --------------------------------------------------------------------- */

void chardev_register(struct chardev *d)
{
    list_push_back(&chardevs, &d->link);
}

int chardev_open(struct inode *inode, struct path_node *path, unsigned flags, struct file **out)
{
    list_for_each (d, &chardevs, struct chardev, link) {
        if (vfs_makedev(d->major, d->minor) == inode->rdev)
            return d->open(inode, path, flags, out);
    }
    return -ENXIO;
}
