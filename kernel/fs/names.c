/*
 * Making, removing and renaming names, with the checks of path_resolution(7) and the man
 * pages of the calls. Called by the file system calls, unix sockets' bind and the unpacker
 * of the initial root. Paths are in kernel memory. Never sleeps.
 */
#include "fs/vfs.h"

#include "mm/vma.h"

/* May names in this directory be made or removed? */
static int dir_writable(const struct path_node *dir)
{
    if (dir->inode->fs->mount != NULL && (dir->inode->fs->mount->flags & MS_RDONLY))
        return -EROFS;
    return inode_permission(dir->inode, MAY_WRITE | MAY_EXEC);
}

/* Before making a name: what w found is nothing, and the directory takes one. */
static int may_create(const struct walk *w)
{
    if (w->node != NULL)
        return -EEXIST;
    if (w->dir->flags & PATH_DELETED)
        return -ENOENT;
    if (w->dir->inode->fs->fixed)
        return -ENOENT; /* what Linux's procfs says */
    return dir_writable(w->dir);
}

/* Before removing or replacing the name of n in dir. */
static int may_delete(const struct path_node *dir, const struct path_node *n)
{
    if (dir->inode->fs->fixed)
        return -EPERM;
    int err = dir_writable(dir);
    if (err < 0)
        return err;
    if ((dir->inode->mode & S_ISVTX) && cred.fsuid != 0 && cred.fsuid != n->inode->uid &&
        cred.fsuid != dir->inode->uid)
        return -EPERM;
    return 0;
}

static void dir_changed(struct path_node *dir)
{
    inode_touch(dir->inode);
}

int names_create(struct walk *w, uint32_t mode, uint64_t rdev, struct path_node **out)
{
    int err = may_create(w);
    if (err < 0)
        return err;
    struct filesystem *fs = w->dir->inode->fs;
    struct inode *dir = w->dir->inode;
    struct inode *i = fs->new_inode(fs, mode, rdev);
    if (i == NULL)
        return -ENOSPC;
    if (dir->mode & S_ISGID) {
        i->gid = dir->gid;
        if (inode_is_dir(i))
            i->mode |= S_ISGID;
    }
    struct path_node *n = path_new(w->dir, w->name, w->len, i);
    if (n == NULL) {
        inode_put(i);
        return -ENOSPC;
    }
    path_hash(n);
    if (inode_is_dir(i))
        dir->nlink++;
    dir_changed(w->dir);
    if (out != NULL)
        *out = n;
    else
        path_put(n);
    return 0;
}

int vfs_mknod(int dirfd, const char *path, uint32_t mode, uint64_t rdev, struct path_node **out)
{
    uint32_t type = mode & S_IFMT;
    if (type == 0)
        mode |= S_IFREG;
    else if (type == S_IFDIR)
        return -EPERM;
    else if (type == S_IFLNK)
        return -EINVAL;
    if ((type == S_IFCHR || type == S_IFBLK) && cred.fsuid != 0)
        return -EPERM;
    struct walk w;
    int err = vfs_walk(dirfd, path, LOOKUP_PARENT, &w);
    if (err < 0)
        return err;
    if (w.node == NULL && w.slash)
        err = -ENOENT;
    else
        err = names_create(&w, mode & ~fs_context.umask, rdev, out);
    walk_end(&w);
    return err;
}

int vfs_mkdir(int dirfd, const char *path, uint32_t mode)
{
    struct walk w;
    int err = vfs_walk(dirfd, path, LOOKUP_PARENT, &w);
    if (err < 0)
        return err;
    mode = S_IFDIR | (mode & 01777 & ~fs_context.umask);
    err = names_create(&w, mode, 0, NULL);
    walk_end(&w);
    return err;
}

int vfs_symlink(const char *target, int dirfd, const char *path)
{
    if (target[0] == '\0')
        return -ENOENT;
    struct walk w;
    int err = vfs_walk(dirfd, path, LOOKUP_PARENT, &w);
    if (err < 0)
        return err;
    struct path_node *n = NULL;
    if (w.node == NULL && w.slash)
        err = -ENOENT;
    else
        err = names_create(&w, S_IFLNK | 0777, 0, &n);
    if (err == 0) {
        err = n->inode->fs->set_link(n->inode, target, strlen(target));
        if (err < 0)
            path_unhash(n);
        path_put(n);
    }
    walk_end(&w);
    return err;
}

/* The name goes; the inode stays for who has it open. */
static void remove_node(struct path_node *n)
{
    struct inode *i = n->inode;
    if (inode_is_dir(i)) {
        i->nlink = 0;
        n->parent->inode->nlink--;
    } else {
        i->nlink--;
    }
    inode_changed(i);
    dir_changed(n->parent);
    path_unhash(n);
}

static int check_unlink(const struct walk *w, bool rmdir)
{
    const struct path_node *n = w->node;
    if (w->special) {
        if (!rmdir)
            return -EISDIR;
        if (w->len == 1 && w->name[0] == '.')
            return -EINVAL;
        return w->len == 2 && w->name[0] == '.' ? -ENOTEMPTY : -EBUSY;
    }
    if (n == NULL)
        return -ENOENT;
    if (n->parent != w->dir)
        return -EBUSY; /* the walk crossed into a mounted file system */
    int err = may_delete(w->dir, n);
    if (err < 0)
        return err;
    bool dir = inode_is_dir(n->inode);
    if (rmdir && !dir)
        return -ENOTDIR;
    if (!rmdir && dir)
        return -EISDIR;
    if (!rmdir && w->slash)
        return -ENOTDIR;
    if (rmdir && !list_empty(&n->children))
        return -ENOTEMPTY;
    if (rmdir && n == fs_context.root)
        return -EBUSY;
    return 0;
}

int vfs_unlink(int dirfd, const char *path, bool rmdir)
{
    struct walk w;
    int err = vfs_walk(dirfd, path, LOOKUP_PARENT, &w);
    if (err < 0)
        return err;
    err = check_unlink(&w, rmdir);
    if (err == 0)
        remove_node(w.node);
    walk_end(&w);
    return err;
}

int vfs_link(struct path_node *old, int dirfd, const char *path)
{
    if (inode_is_dir(old->inode))
        return -EPERM;
    struct walk w;
    int err = vfs_walk(dirfd, path, LOOKUP_PARENT, &w);
    if (err < 0)
        return err;
    err = may_create(&w);
    if (err == 0 && w.slash)
        err = -ENOENT;
    if (err == 0 && old->inode->fs != w.dir->inode->fs)
        err = -EXDEV;
    /* A file without any name left cannot get a new one, unless it was opened with O_TMPFILE. */
    if (err == 0 && old->inode->nlink == 0 && !(old->flags & PATH_TMPFILE))
        err = -ENOENT;
    if (err == 0) {
        struct path_node *n = path_new(w.dir, w.name, w.len, old->inode);
        if (n == NULL) {
            err = -ENOSPC;
        } else {
            inode_get(old->inode);
            old->inode->nlink++;
            path_hash(n);
            path_put(n);
            inode_changed(old->inode);
            dir_changed(w.dir);
        }
    }
    walk_end(&w);
    return err;
}

/* Is a an ancestor of n, or n itself? */
static bool is_above(const struct path_node *a, const struct path_node *n)
{
    for (; n != NULL; n = n->parent)
        if (n == a)
            return true;
    return false;
}

static int check_rename(const struct walk *from, const struct walk *to, unsigned flags)
{
    const struct path_node *a = from->node, *b = to->node;
    if (from->special || to->special)
        return flags & RENAME_NOREPLACE && to->special ? -EEXIST : -EBUSY;
    if (a == NULL)
        return -ENOENT;
    if (b != NULL && (flags & RENAME_NOREPLACE))
        return -EEXIST;
    if (b == NULL && (flags & RENAME_EXCHANGE))
        return -ENOENT;
    if (from->dir->inode->fs != to->dir->inode->fs)
        return -EXDEV;
    if (a->parent != from->dir || (b != NULL && b->parent != to->dir))
        return -EBUSY; /* mount points */
    bool a_dir = inode_is_dir(a->inode), b_dir = b != NULL && inode_is_dir(b->inode);
    if ((from->slash && !a_dir) || (to->slash && !a_dir && b == NULL) ||
        (to->slash && b != NULL && !b_dir))
        return -ENOTDIR;
    if (is_above(a, to->dir))
        return -EINVAL;
    if (b != NULL && is_above(b, from->dir))
        return flags & RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
    int err = may_delete(from->dir, a);
    if (err < 0)
        return err;
    if (b == NULL) {
        if (to->dir->flags & PATH_DELETED)
            return -ENOENT;
        return dir_writable(to->dir);
    }
    err = may_delete(to->dir, b);
    if (err < 0 || (flags & RENAME_EXCHANGE))
        return err;
    if (a_dir && !b_dir)
        return -ENOTDIR;
    if (!a_dir && b_dir)
        return -EISDIR;
    return b_dir && !list_empty(&b->children) ? -ENOTEMPTY : 0;
}

/* A directory that moves takes its ".." along. */
static void move_link_count(const struct path_node *n, struct path_node *from, struct path_node *to)
{
    if (inode_is_dir(n->inode)) {
        from->inode->nlink--;
        to->inode->nlink++;
    }
}

static int exchange(struct walk *from, struct walk *to)
{
    struct path_node *a = from->node, *b = to->node;
    if (a == b)
        return 0;
    /* Names are told apart by (directory, name): for a moment both have the same one, which no
     * lookup can see. Only the first step can fail for want of memory but the second must not:
     * so the second is undone by a third if it does. */
    int err = path_move(a, to->dir, to->name, to->len);
    if (err < 0)
        return err;
    err = path_move(b, from->dir, from->name, from->len);
    if (err < 0) {
        int undo = path_move(a, from->dir, from->name, from->len);
        return undo < 0 ? undo : err;
    }
    move_link_count(a, from->dir, to->dir);
    move_link_count(b, to->dir, from->dir);
    return 0;
}

int vfs_rename(int olddir, const char *oldpath, int newdir, const char *newpath, unsigned flags)
{
    if ((flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) ||
        flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
        return -EINVAL;
    struct walk from, to;
    int err = vfs_walk(olddir, oldpath, LOOKUP_PARENT, &from);
    if (err < 0)
        return err;
    err = vfs_walk(newdir, newpath, LOOKUP_PARENT, &to);
    if (err < 0) {
        walk_end(&from);
        return err;
    }
    err = check_rename(&from, &to, flags);
    if (err == 0 && (flags & RENAME_EXCHANGE)) {
        err = exchange(&from, &to);
    } else if (err == 0 && (to.node == NULL || to.node->inode != from.node->inode)) {
        /* Two names of one inode stay as they are: rename(2). */
        err = path_move(from.node, to.dir, to.name, to.len);
        if (err == 0) {
            if (to.node != NULL)
                remove_node(to.node);
            move_link_count(from.node, from.dir, to.dir);
        }
    }
    if (err == 0) {
        inode_changed(from.node->inode);
        dir_changed(from.dir);
        if (to.dir != from.dir)
            dir_changed(to.dir);
    }
    walk_end(&from);
    walk_end(&to);
    return err;
}

int vfs_truncate(struct inode *inode, uint64_t size)
{
    if (inode_is_dir(inode))
        return -EISDIR;
    if (inode->ops->truncate == NULL)
        return -EINVAL;
    if (((inode->seals & F_SEAL_SHRINK) && size < inode->size) ||
        ((inode->seals & F_SEAL_GROW) && size > inode->size))
        return -EPERM;
    return inode->ops->truncate(inode, size);
}
