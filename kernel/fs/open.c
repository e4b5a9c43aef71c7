/*
 * Opening: from a path and open(2)'s flags to a file description. Also the small
 * operations on files that the rest of the kernel uses (read, write, stat, path).
 * Sleeps only where a FIFO's open does.
 */
#include "fs/vfs.h"

#include "mm/slab.h"

/* ---- Descriptions without an object of their own ------------------------------------------ */

static void plain_release(struct file *f)
{
    kfree(f);
}

static const struct file_ops path_ops = {.name = "path", .release = plain_release};

static int64_t dir_seek(struct file *f, int64_t off, int whence)
{
    if (whence == SEEK_CUR)
        off += (int64_t)f->pos;
    else if (whence != SEEK_SET)
        return -EINVAL;
    if (off < 0)
        return -EINVAL;
    f->pos = (uint64_t)off;
    return off;
}

static ssize_t dir_read(struct file *f, struct iov_iter *it, uint64_t *pos)
{
    return -EISDIR;
}

static int nothing_to_sync(struct file *f, bool data_only)
{
    return 0;
}

static const struct file_ops dir_ops = {
    .name = "directory",
    .read = dir_read,
    .seek = dir_seek,
    .readdir = path_readdir,
    .fsync = nothing_to_sync,
    .release = plain_release,
};

int file_new(const struct file_ops *ops, unsigned flags, uint32_t kind, struct file **out)
{
    struct file *f = kmalloc(sizeof(*f));
    if (f == NULL)
        return -ENOMEM;
    file_init(f, ops, flags, kind);
    *out = f;
    return 0;
}

int vfs_open_dir(struct inode *inode, struct path_node *path, unsigned flags, struct file **out)
{
    return file_new(&dir_ops, flags, FILE_DIR, out);
}

/* ---- Opening ------------------------------------------------------------------------------ */

static int open_object(struct path_node *node, unsigned flags, struct file **out)
{
    struct inode *i = node->inode;
    if (flags & O_PATH)
        return file_new(&path_ops, O_PATH | O_ACCMODE, FILE_PATH, out);
    switch (i->mode & S_IFMT) {
    case S_IFCHR:
        return chardev_open(i, node, flags, out);
    case S_IFIFO:
        return fifo_open(i, node, flags, out);
    case S_IFSOCK:
    case S_IFBLK:
        return -ENXIO;
    case S_IFLNK:
        return -ELOOP;
    default:
        return i->ops->open != NULL ? i->ops->open(i, node, flags, out) : -EACCES;
    }
}

/* Opens the object and gives the description its name. */
static int open_named(struct path_node *node, unsigned flags, struct file **out)
{
    struct file *f;
    int err = open_object(node, flags, &f);
    if (err < 0)
        return err;
    if (f->path == NULL) { /* not a device that leads to an existing description */
        path_get(node);
        f->path = node;
        inode_get(node->inode);
        f->inode = node->inode;
    }
    vfs_stats.opens++;
    *out = f;
    return 0;
}

/* What the access mode needs of the inode. O_ACCMODE itself (3) asks for both and gives none. */
static int access_mask(unsigned flags)
{
    static const int masks[] = {MAY_READ, MAY_WRITE, MAY_READ | MAY_WRITE, MAY_READ | MAY_WRITE};
    int mask = masks[flags & O_ACCMODE];
    return flags & O_TRUNC ? mask | MAY_WRITE : mask;
}

static int may_open(const struct path_node *node, unsigned flags)
{
    const struct inode *i = node->inode;
    uint32_t type = i->mode & S_IFMT;
    if (type == S_IFLNK)
        return -ELOOP;
    if (type == S_IFDIR && (access_mask(flags) & MAY_WRITE))
        return -EISDIR;
    if ((flags & O_NOATIME) && !inode_owner_or_capable(i))
        return -EPERM;
    return inode_permission(i, access_mask(flags));
}

int vfs_open_node(struct path_node *node, int iflags, struct file **out)
{
    unsigned flags = (unsigned)iflags;
    if ((flags & O_DIRECTORY) && !inode_is_dir(node->inode))
        return -ENOTDIR;
    if (flags & O_PATH)
        return open_named(node, flags, out);
    int err = may_open(node, flags);
    if (err < 0)
        return err;
    if ((flags & O_TRUNC) && (node->inode->mode & S_IFMT) == S_IFREG &&
        node->inode->ops->truncate != NULL) {
        err = vfs_truncate(node->inode, 0);
        if (err < 0)
            return err;
    }
    return open_named(node, flags, out);
}

/* O_TMPFILE: a file without a name in the directory that was named. */
static int open_tmpfile(int dirfd, const char *path, unsigned flags, unsigned lookup, uint32_t mode,
                        struct file **out)
{
    if ((flags & O_ACCMODE) == O_RDONLY)
        return -EINVAL;
    struct path_node *dir;
    int err = vfs_lookup(dirfd, path, lookup | LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &dir);
    if (err < 0)
        return err;
    struct filesystem *fs = dir->inode->fs;
    struct inode *i = NULL;
    struct path_node *n = NULL;
    char name[24];
    err = fs->fixed ? -EOPNOTSUPP : inode_permission(dir->inode, MAY_WRITE | MAY_EXEC);
    if (err < 0)
        goto out;
    err = -ENOSPC;
    i = fs->new_inode(fs, S_IFREG | (mode & 07777 & ~fs_context.umask), 0);
    if (i == NULL)
        goto out;
    i->nlink = 0;
    int len = ksnprintf(name, sizeof(name), "#%lu", i->ino);
    n = path_new(dir, name, (size_t)len, i);
    if (n == NULL) {
        inode_put(i);
        goto out;
    }
    n->flags = PATH_DELETED | (flags & O_EXCL ? 0 : PATH_TMPFILE);
    err = open_named(n, flags, out);
    path_put(n);
out:
    path_put(dir);
    return err;
}

static int open_create(int dirfd, const char *path, unsigned flags, unsigned lookup, uint32_t mode,
                       struct file **out)
{
    struct walk w;
    /* With O_EXCL a link is itself the name that must not exist. */
    if (!(flags & (O_NOFOLLOW | O_EXCL)))
        lookup |= LOOKUP_FOLLOW;
    int err = vfs_walk(dirfd, path, lookup | LOOKUP_PARENT, &w);
    if (err < 0)
        return err;
    if (w.slash) {
        err = -EISDIR;
    } else if (w.node == NULL) {
        mode = S_IFREG | (mode & 07777 & ~fs_context.umask);
        struct path_node *n;
        err = names_create(&w, mode, 0, &n);
        if (err == 0) {
            /* The mode is for later opens: this one may write a read-only file. */
            err = open_named(n, flags, out);
            path_put(n);
        }
    } else if (flags & O_EXCL) {
        err = -EEXIST;
    } else if (inode_is_dir(w.node->inode)) {
        err = -EISDIR;
    } else {
        err = vfs_open_node(w.node, (int)flags, out);
    }
    walk_end(&w);
    return err;
}

int vfs_open_lookup(int dirfd, const char *path, int iflags, int imode, unsigned lookup,
                    struct file **out)
{
    unsigned flags = (unsigned)iflags, mode = (unsigned)imode;
    if (flags & O_PATH)
        flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    if ((flags & (O_CREAT | O_DIRECTORY)) == (O_CREAT | O_DIRECTORY))
        return -EINVAL;
    if ((flags & O_TMPFILE) == O_TMPFILE)
        return open_tmpfile(dirfd, path, flags, lookup, mode, out);
    if (flags & __O_TMPFILE)
        return -EINVAL;
    if (flags & O_CREAT)
        return open_create(dirfd, path, flags, lookup, mode, out);
    if (!(flags & O_NOFOLLOW))
        lookup |= LOOKUP_FOLLOW;
    if (flags & O_DIRECTORY)
        lookup |= LOOKUP_DIRECTORY;
    struct path_node *n;
    int err = vfs_lookup(dirfd, path, lookup, &n);
    if (err < 0)
        return err;
    err = vfs_open_node(n, (int)flags, out);
    path_put(n);
    return err;
}

int vfs_open(int dirfd, const char *path, int flags, int mode, struct file **out)
{
    return vfs_open_lookup(dirfd, path, flags, mode, 0, out);
}

/* ---- Using files from inside the kernel ---------------------------------------------------- */

ssize_t file_read_at(struct file *f, void *buf, size_t n, uint64_t off)
{
    if (f->ops->read == NULL)
        return -EINVAL;
    size_t done = 0;
    while (done < n) {
        struct iovec v = {.iov_base = (char *)buf + done, .iov_len = n - done};
        struct iov_iter it;
        iov_iter_init(&it, &v, 1, v.iov_len, true);
        ssize_t got = f->ops->read(f, &it, &off);
        if (got < 0)
            return done > 0 ? (ssize_t)done : got;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

ssize_t file_write_at(struct file *f, const void *buf, size_t n, uint64_t off)
{
    if (f->ops->write == NULL)
        return -EINVAL;
    struct iovec v = {.iov_base = (void *)buf, .iov_len = n};
    struct iov_iter it;
    iov_iter_init(&it, &v, 1, n, true);
    return f->ops->write(f, &it, &off);
}

#define ANON_DEV 15 /* any number that no mount has */

uint64_t file_ino(const struct file *f)
{
    /* Unique while the object lives, which is all that fstat promises of a socket. */
    return f->inode != NULL ? f->inode->ino : ((uint64_t)f >> 5) & 0xffffffff;
}

void vfs_stat_inode(struct inode *i, struct kstat *st)
{
    *st = (struct kstat){
        .dev = i->fs->dev,
        .ino = i->ino,
        .rdev = i->rdev,
        .size = i->size,
        .blocks = 0,
        .mode = i->mode,
        .uid = i->uid,
        .gid = i->gid,
        .nlink = i->nlink,
        .blksize = PAGE_SIZE,
        .atime = i->atime,
        .mtime = i->mtime,
        .ctime = i->ctime,
        .btime = i->btime,
    };
    if (i->ops->stat != NULL)
        i->ops->stat(i, st);
}

int vfs_stat_file(struct file *f, struct kstat *st)
{
    if (f->ops->stat != NULL)
        return f->ops->stat(f, st);
    if (f->inode != NULL) {
        vfs_stat_inode(f->inode, st);
        return 0;
    }
    uint32_t mode = f->kind & FILE_SOCKET ? S_IFSOCK | 0777
                    : f->kind & FILE_PIPE ? S_IFIFO | 0600
                                          : 0600;
    *st = (struct kstat){.dev = ANON_DEV,
                         .ino = file_ino(f),
                         .mode = mode,
                         .nlink = 1,
                         .blksize = PAGE_SIZE,
                         .uid = cred.euid,
                         .gid = cred.egid};
    return 0;
}

char *vfs_path_of(struct file *f, char *buf, size_t size)
{
    if (f->path != NULL)
        return path_text(f->path, buf, size, NULL);
    int n;
    if (f->kind & FILE_SOCKET)
        n = ksnprintf(buf, size, "socket:[%lu]", file_ino(f));
    else if (f->kind & FILE_PIPE)
        n = ksnprintf(buf, size, "pipe:[%lu]", file_ino(f));
    else
        n = ksnprintf(buf, size, "%s", f->ops->name);
    return (size_t)n < size ? buf : NULL;
}
