/*
 * Names and inodes: the tree of directories, path walking, permissions and mounts.
 * Called by the file system calls, exec and the ELF loader, unix sockets (bind, connect)
 * and the file systems themselves (tmpfs, procfs). Walking never sleeps: paths are in
 * kernel memory and every file system is in memory too.
 *
 * A name is a struct path_node. The nodes of a tree that exist on their own (tmpfs, and the
 * fixed part of procfs) hang in one hash table keyed by (parent, name); the hash entry counts as
 * one reference, and so does each child. Directories whose content is computed (/proc/self/fd)
 * have a lookup operation that makes a node for every walk, never hashed.
 */
#pragma once

#include "fs/file.h"
#include "lib/list.h"
#include "linux/cred.h"

#include <linux/fcntl.h>
#include <linux/limits.h>
#include <linux/fs.h>
#include <linux/stat.h>

struct mount;
struct filesystem;
struct path_node;
struct xattr_set;
struct lock_set;

/* What stat(2) and statx(2) report. Times are nanoseconds since the epoch. */
struct kstat {
    uint64_t dev, ino, rdev, size, blocks; /* blocks of 512 bytes */
    uint32_t mode, uid, gid, nlink, blksize;
    int64_t atime, mtime, ctime, btime; /* btime 0: unknown */
};

struct inode_ops {
    /* Makes a file description for it; inode and path are filled in by the caller after. */
    int (*open)(struct inode *inode, struct path_node *path, unsigned flags, struct file **out);
    /* Directories with computed content: a new node (one reference) for a name. -ENOENT. */
    int (*lookup)(struct path_node *dir, const char *name, size_t len, struct path_node **out);
    /* Symbolic links: the target, not terminated; returns its length, cut to size. */
    ssize_t (*readlink)(struct inode *inode, char *buf, size_t size);
    /* A link that leads to an object instead of a name (/proc/self/fd/N): the node, referenced.
     * NULL: an ordinary link. */
    int (*follow)(struct inode *inode, struct path_node **out);
    int (*truncate)(struct inode *inode, uint64_t size);
    /* Adjusts what the inode's fields do not hold (size, blocks). May be NULL. */
    void (*stat)(struct inode *inode, struct kstat *st);
    /* Frees the inode; the last reference went. */
    void (*release)(struct inode *inode);
};

struct inode {
    const struct inode_ops *ops;
    struct filesystem *fs;
    uint64_t ino;
    uint32_t refs; /* of nodes and open files; inode_get/inode_put */
    uint32_t mode; /* S_IF* and permissions */
    uint32_t uid, gid, nlink;
    uint32_t seals; /* F_SEAL_* of a memfd, F_SEAL_SEAL for other files */
    uint64_t rdev;  /* Linux's dev_t encoding, see makedev below */
    uint64_t size;
    int64_t atime, mtime, ctime, btime; /* ns since the epoch */
    void
        *object; /* a fifo's pipe (fs/pipe.c), a bound socket (net/unix*.c); theirs, unreferenced */
    struct lock_set *locks;   /* fs/locks.c; NULL if none */
    struct xattr_set *xattrs; /* fs/xattr.c; NULL if none */
};

struct path_node {
    uint32_t refs;
    uint32_t hash;
    struct path_node *parent; /* referenced; NULL for a file system's root and nameless files */
    struct inode *inode;      /* referenced */
    struct path_node *hash_next;
    struct mount *mount;  /* mounted on this directory; NULL if none */
    struct list sibling;  /* in parent->children, by rising cookie */
    struct list children; /* hashed names in this directory */
    uint64_t cookie;      /* position in the parent for readdir */
    const char *name;     /* NUL-terminated; short_name or allocated */
    uint16_t len;
    uint16_t flags; /* PATH_* */
    char short_name[28];
};

#define PATH_HASHED  1u /* in the tree; clear once unlinked, and for computed names */
#define PATH_DELETED 2u /* was unlinked, or never had a name */
#define PATH_TMPFILE 4u /* made by O_TMPFILE without O_EXCL: link(2) may give it a name */

struct mount {
    struct list link;
    struct filesystem *fs;
    struct path_node *point; /* referenced; NULL for the root file system */
    uint32_t flags;          /* MS_RDONLY, MS_NOSUID ... */
    uint32_t id;
    char source[32];
};

struct filesystem {
    const char *type; /* "tmpfs", "proc", ... */
    uint32_t magic;
    bool keeps_xattrs;
    bool fixed;   /* the application may not create or remove names (procfs) */
    uint32_t dev; /* st_dev */
    uint64_t next_ino;
    struct path_node *root; /* referenced */
    struct mount *mount;    /* where it is; NULL until mounted */
    /* A new inode of mode (regular, directory, link, node). NULL: out of memory. fixed: NULL. */
    struct inode *(*new_inode)(struct filesystem *fs, uint32_t mode, uint64_t rdev);
    int (*set_link)(struct inode *inode, const char *target, size_t len);
    /* Does anything but the tree itself refer to its nodes? NULL: it is never unmounted. */
    bool (*in_use)(struct filesystem *fs);
    void (*release)(struct filesystem *fs);
};

/* The process's view; a unikernel has one. */
struct fs_context {
    struct path_node *root, *cwd; /* referenced */
    uint32_t umask;
};
extern struct fs_context fs_context;
extern struct list mount_list; /* struct mount by link, in order of mounting */

struct vfs_stats {
    uint64_t lookups, misses, links_followed, opens;
    uint64_t nodes, inodes; /* live */
};
extern struct vfs_stats vfs_stats;

static inline bool inode_is_dir(const struct inode *i)
{
    return (i->mode & S_IFMT) == S_IFDIR;
}
static inline void inode_get(struct inode *i)
{
    i->refs++;
}
void inode_release(struct inode *i);
static inline void inode_put(struct inode *i)
{
    if (--i->refs == 0)
        inode_release(i);
}
static inline void path_get(struct path_node *p)
{
    p->refs++;
}
void path_release(struct path_node *p);
static inline void path_put(struct path_node *p)
{
    if (--p->refs == 0)
        path_release(p);
}

/* Linux's new_encode_dev: the st_rdev of <sys/sysmacros.h> for majors < 4096, minors < 2^20. */
static inline uint64_t vfs_makedev(uint32_t major, uint32_t minor)
{
    return (minor & 0xff) | (uint64_t)(major & 0xfff) << 8 | (uint64_t)(minor & ~0xffu) << 12;
}

/* ---- Opening and using files from inside the kernel -------------------------------------- */

/*
 * dirfd is a directory's descriptor or AT_FDCWD; path is kernel memory. open(2)'s flags and
 * errors. *out has one reference. A FIFO may sleep.
 */
int vfs_open(int dirfd, const char *path, int flags, int mode, struct file **out);
/* The same with LOOKUP_* restrictions (openat2). */
int vfs_open_lookup(int dirfd, const char *path, int flags, int mode, unsigned lookup,
                    struct file **out);
/* Opens a node that was looked up. */
int vfs_open_node(struct path_node *node, int flags, struct file **out);
/* Kernel memory; short only at the end of the file, or -errno. */
ssize_t file_read_at(struct file *f, void *buf, size_t n, uint64_t off);
ssize_t file_write_at(struct file *f, const void *buf, size_t n, uint64_t off);
/* A bare description (kmalloc'ed: ops->release is to kfree() it). */
int file_new(const struct file_ops *ops, unsigned flags, uint32_t kind, struct file **out);
/* What fstat gives as inode number, also for nameless files. */
uint64_t file_ino(const struct file *f);
/* fstat of anything. */
int vfs_stat_file(struct file *f, struct kstat *st);
void vfs_stat_inode(struct inode *i, struct kstat *st);
/* The absolute path (with " (deleted)" if so, "socket:[N]" and the like for nameless files): a
 * pointer into buf, NULL if it does not fit. */
char *vfs_path_of(struct file *f, char *buf, size_t size);
/* The same of a node; *reachable (may be NULL): it is below the process's root. */
char *path_text(struct path_node *p, char *buf, size_t size, bool *reachable);

/* ---- Names ------------------------------------------------------------------------------- */

#define LOOKUP_FOLLOW    1u  /* follow a link in the last component */
#define LOOKUP_DIRECTORY 2u  /* it must be a directory */
#define LOOKUP_EMPTY     4u  /* "" means dirfd itself */
#define LOOKUP_PARENT    8u  /* the last component need not exist: vfs_walk only */
#define LOOKUP_NO_LINKS  16u /* openat2: RESOLVE_NO_SYMLINKS */
#define LOOKUP_NO_MAGIC  32u
#define LOOKUP_NO_XDEV   64u
#define LOOKUP_BENEATH   128u
#define LOOKUP_IN_ROOT   256u

/* The existing object of that name: 0 and a referenced node, or -errno. */
int vfs_lookup(int dirfd, const char *path, unsigned flags, struct path_node **out);

/* Where a walk with LOOKUP_PARENT ended. walk_end() drops the references. */
struct walk {
    struct path_node *dir;  /* referenced: the directory of the last component */
    struct path_node *node; /* referenced: what it names; NULL if there is nothing yet */
    bool special;           /* the last component is ".", ".." or "/": not a name to change */
    bool slash;             /* a slash follows it: it must be a directory */
    size_t len;
    char name[NAME_MAX + 1];
};
int vfs_walk(int dirfd, const char *path, unsigned flags, struct walk *w);
void walk_end(struct walk *w);
/* Makes what a LOOKUP_PARENT walk did not find; mode is final. -EEXIST if it did. */
int names_create(struct walk *w, uint32_t mode, uint64_t rdev, struct path_node **out);

/*
 * Makes a node of any type (mode with S_IF*, the umask is applied): 0 and, if out is not NULL,
 * the referenced node; -EEXIST and the other errors of mknod(2). For bind(2) of a unix socket:
 * S_IFSOCK, then put the socket into node->inode->object.
 */
int vfs_mknod(int dirfd, const char *path, uint32_t mode, uint64_t rdev, struct path_node **out);
int vfs_mkdir(int dirfd, const char *path, uint32_t mode);
int vfs_symlink(const char *target, int dirfd, const char *path);
int vfs_unlink(int dirfd, const char *path, bool rmdir);
int vfs_link(struct path_node *old, int dirfd, const char *path);
int vfs_rename(int olddir, const char *oldpath, int newdir, const char *newpath, unsigned flags);
int vfs_truncate(struct inode *inode, uint64_t size);

#define MAY_EXEC  1
#define MAY_WRITE 2
#define MAY_READ  4
/* Discretionary access control for the process's file-system identity: 0, -EACCES, -EROFS. */
int inode_permission(const struct inode *i, int mask);
/* May the process change attributes that only the owner may? */
bool inode_owner_or_capable(const struct inode *i);
/* Marks a change of content (mtime and ctime) or of attributes (ctime). */
void inode_touch(struct inode *i);
void inode_changed(struct inode *i);

/* ---- For file systems -------------------------------------------------------------------- */

struct dir_context {
    uint64_t pos; /* of the next entry; the file's position */
    /* Takes an entry; false: full, do not advance. type is DT_*. */
    bool (*emit)(struct dir_context *ctx, const char *name, size_t len, uint64_t ino,
                 unsigned type);
};

void inode_setup(struct inode *i, struct filesystem *fs, const struct inode_ops *ops,
                 uint32_t mode);
/* A node (one reference, the caller's) for inode, whose reference it takes over; not hashed.
 * NULL: out of memory, the inode is still the caller's. */
struct path_node *path_new(struct path_node *parent, const char *name, size_t len,
                           struct inode *inode);
/* Puts the node into its parent's tree; the tree takes a reference of its own. */
void path_hash(struct path_node *p);
void path_unhash(struct path_node *p);
/* The child of that name in the tree, not referenced; NULL if none. */
struct path_node *path_child(struct path_node *dir, const char *name, size_t len);
/* Gives a hashed node another directory and name: 0, -ENOMEM (nothing changed). */
int path_move(struct path_node *p, struct path_node *dir, const char *name, size_t len);
/* Emits "." and ".." at positions 0 and 1: nonzero when the buffer is full. */
int path_emit_dots(struct path_node *dir, struct dir_context *ctx);
/* Directory listing of hashed children, "." and ".." first: a file_ops.readdir for directories
 * without computed content. */
int path_readdir(struct file *f, struct dir_context *ctx);
/* An open description of a directory of hashed children (inode_ops.open). */
int vfs_open_dir(struct inode *inode, struct path_node *path, unsigned flags, struct file **out);
/* Numbers in DT_* from S_IF*. */
static inline unsigned mode_to_dt(uint32_t mode)
{
    return (mode & S_IFMT) >> 12;
}

void filesystem_setup(struct filesystem *fs, const char *type, uint32_t magic);
/* Mounts on a directory: 0, -EBUSY, -ENOMEM. */
int vfs_mount(struct filesystem *fs, struct path_node *point, const char *source, uint32_t flags);
int vfs_umount(struct path_node *root, unsigned flags);
/* The root file system; once, at boot. */
void vfs_set_root(struct filesystem *fs);

/* Character devices: what opening a node of that number does. */
struct chardev {
    struct list link;
    uint32_t major, minor;
    const char *name;
    int (*open)(struct inode *inode, struct path_node *path, unsigned flags, struct file **out);
};
void chardev_register(struct chardev *d);
int chardev_open(struct inode *inode, struct path_node *path, unsigned flags, struct file **out);

/* Opens a FIFO (fs/pipe.c): inode->object is the pipe, made at the first open; the pipe clears it
 * when it goes. May sleep until the other side opens, as fifo(7). */
int fifo_open(struct inode *inode, struct path_node *path, unsigned flags, struct file **out);
