/*
 * Path walking: from a path in kernel memory to a node. Called by every call that takes a
 * path. Never sleeps, so one reference on the node the walk stands on is all it needs.
 *
 * A symbolic link in the way is spliced into the path: the walk goes on in a new buffer that
 * holds the link's target and what was left. So there is no recursion, however links nest;
 * LINKS_MAX of them end a loop.
 */
#include "fs/vfs.h"

#include "mm/slab.h"

#define LINKS_MAX 40 /* path_resolution(7) */

struct fs_context fs_context = {.umask = 022};

struct walker {
    struct path_node *root; /* where "/" and ".." end */
    struct path_node *at;   /* referenced */
    const char *rest;       /* what is left of the path */
    char *buffer;           /* holds rest after a link; else NULL */
    unsigned links;
    unsigned flags;
};

/* The root of what is mounted on n, if anything is; moves the reference. */
static struct path_node *cross_down(struct path_node *n)
{
    while (n->mount != NULL) {
        struct path_node *root = n->mount->fs->root;
        path_get(root);
        path_put(n);
        n = root;
    }
    return n;
}

/* The parent of w->at, referenced. */
static int step_up(struct walker *w, struct path_node **out)
{
    struct path_node *n = w->at;
    if (n == w->root) {
        if (w->flags & LOOKUP_BENEATH)
            return -EXDEV;
    } else {
        /* Out of a mounted file system by the directory it covers. */
        while (n->parent == NULL) {
            struct mount *m = n->inode->fs->mount;
            if (m == NULL || m->point == NULL || n != m->fs->root)
                break;
            if (w->flags & LOOKUP_NO_XDEV)
                return -EXDEV;
            n = m->point;
            if (n == w->root)
                break;
        }
        if (n->parent != NULL && n != w->root)
            n = n->parent;
    }
    path_get(n);
    *out = cross_down(n);
    return 0;
}

/* Makes the target of link the next part of the path. */
static int splice_link(struct walker *w, struct inode *link)
{
    char *buf = kmalloc(PATH_MAX);
    if (buf == NULL)
        return -ENOMEM;
    ssize_t n = link->ops->readlink(link, buf, PATH_MAX - 1);
    size_t left = strlen(w->rest);
    int err = n < 0 ? (int)n : n == 0 ? -ENOENT : 0;
    if (err == 0 && (size_t)n + 1 + left + 1 > PATH_MAX)
        err = -ENAMETOOLONG;
    if (err < 0) {
        kfree(buf);
        return err;
    }
    if (left > 0)
        buf[n++] = '/';
    memcpy(buf + n, w->rest, left + 1);
    kfree(w->buffer);
    w->buffer = buf;
    w->rest = buf;
    if (buf[0] == '/') {
        if (w->flags & LOOKUP_BENEATH)
            return -EXDEV;
        path_put(w->at);
        w->at = w->root;
        path_get(w->at);
    }
    return 0;
}

/* Finds the child name of w->at: referenced, or -ENOENT. */
static inline int child_of(struct walker *w, const char *name, size_t len, struct path_node **out)
{
    struct path_node *n = path_child(w->at, name, len);
    if (n != NULL) {
        path_get(n);
        *out = n;
        return 0;
    }
    const struct inode_ops *ops = w->at->inode->ops;
    return ops->lookup != NULL ? ops->lookup(w->at, name, len, out) : -ENOENT;
}

/* Does the walk go through a link found under the last name? */
static inline bool follow_last(const struct walker *w, bool slash)
{
    return (w->flags & LOOKUP_FOLLOW) || (slash && !(w->flags & LOOKUP_PARENT));
}

/*
 * Walks w->rest from w->at. On success out->node (may be NULL with LOOKUP_PARENT) and
 * out->dir are referenced; the name is filled in with LOOKUP_PARENT only.
 */
static int walk(struct walker *w, struct walk *out)
{
    bool parent = w->flags & LOOKUP_PARENT;
    for (;;) {
        while (*w->rest == '/')
            w->rest++;
        if (*w->rest == '\0') { /* the path was "/", or a link's target was */
            out->dir = w->at;
            path_get(w->at);
            out->node = w->at;
            w->at = NULL;
            out->special = true;
            out->slash = true;
            return 0;
        }
        struct inode *dir = w->at->inode;
        if (!inode_is_dir(dir))
            return -ENOTDIR;
        int err = inode_permission(dir, MAY_EXEC);
        if (err < 0)
            return err;
        const char *name = w->rest, *end = name;
        while (*end != '\0' && *end != '/')
            end++;
        size_t len = (size_t)(end - name);
        if (len > NAME_MAX)
            return -ENAMETOOLONG;
        bool slash = *end == '/';
        while (*end == '/')
            end++;
        bool last = *end == '\0';
        w->rest = end;

        struct path_node *next;
        bool special = true;
        if (len == 1 && name[0] == '.') {
            next = w->at;
            path_get(next);
        } else if (len == 2 && name[0] == '.' && name[1] == '.') {
            err = step_up(w, &next);
            if (err < 0)
                return err;
        } else {
            special = false;
            err = child_of(w, name, len, &next);
            if (err == -ENOENT && last && parent)
                next = NULL;
            else if (err < 0)
                return err;
        }
        if (next != NULL && (next->inode->mode & S_IFMT) == S_IFLNK &&
            (!last || follow_last(w, slash))) {
            vfs_stats.links_followed++;
            const struct inode_ops *ops = next->inode->ops;
            bool magic = ops->follow != NULL;
            if (++w->links > LINKS_MAX || (w->flags & LOOKUP_NO_LINKS) ||
                (magic && (w->flags & LOOKUP_NO_MAGIC))) {
                path_put(next);
                return -ELOOP;
            }
            if (magic && (w->flags & (LOOKUP_BENEATH | LOOKUP_IN_ROOT))) {
                path_put(next);
                return -EXDEV;
            }
            struct path_node *target = NULL;
            if (magic)
                err = ops->follow(next->inode, &target);
            else
                err = splice_link(w, next->inode);
            path_put(next);
            if (err < 0)
                return err;
            if (!magic)
                continue;
            next = target;
        } else if (next != NULL && next->mount != NULL) {
            if (w->flags & LOOKUP_NO_XDEV) {
                path_put(next);
                return -EXDEV;
            }
            next = cross_down(next);
        }
        if (last) {
            out->dir = w->at;
            out->node = next;
            w->at = NULL;
            out->special = special;
            out->slash = slash;
            if (parent) {
                out->len = len;
                memcpy(out->name, name, len);
                out->name[len] = '\0';
            }
            return 0;
        }
        path_put(w->at);
        w->at = next;
    }
}

int vfs_walk(int dirfd, const char *path, unsigned flags, struct walk *out)
{
    vfs_stats.lookups++;
    struct walker w = {.root = fs_context.root, .rest = path, .flags = flags};
    out->dir = out->node = NULL;
    out->special = out->slash = false;
    out->len = 0;
    struct path_node *start;
    if (path[0] == '/' && !(flags & (LOOKUP_BENEATH | LOOKUP_IN_ROOT))) {
        start = w.root;
    } else if (dirfd == AT_FDCWD) {
        start = fs_context.cwd;
    } else {
        struct file *f = fd_peek(dirfd);
        if (f == NULL)
            return -EBADF;
        if (path[0] == '\0' && (flags & LOOKUP_EMPTY) && f->path == NULL)
            return -ENOTDIR; /* nameless: the caller deals with such descriptors itself */
        if (f->path == NULL || (path[0] != '\0' && !inode_is_dir(f->inode)))
            return -ENOTDIR;
        start = f->path;
    }
    if (path[0] == '/' && (flags & LOOKUP_BENEATH))
        return -EXDEV;
    if (flags & (LOOKUP_BENEATH | LOOKUP_IN_ROOT))
        w.root = start;
    if (path[0] == '\0') {
        if (!(flags & LOOKUP_EMPTY))
            return -ENOENT;
        path_get(start);
        out->node = start;
        out->special = true;
        return 0;
    }
    w.at = start;
    path_get(start);
    int err = walk(&w, out);
    if (w.at != NULL)
        path_put(w.at);
    kfree(w.buffer);
    if (err < 0) {
        vfs_stats.misses++;
        return err;
    }
    if (out->node != NULL &&
        ((flags & LOOKUP_DIRECTORY) || (out->slash && !(flags & LOOKUP_PARENT))) &&
        !inode_is_dir(out->node->inode)) {
        walk_end(out);
        return -ENOTDIR;
    }
    return 0;
}

void walk_end(struct walk *w)
{
    if (w->dir != NULL)
        path_put(w->dir);
    if (w->node != NULL)
        path_put(w->node);
    w->dir = w->node = NULL;
}

int vfs_lookup(int dirfd, const char *path, unsigned flags, struct path_node **out)
{
    struct walk w;
    int err = vfs_walk(dirfd, path, flags & ~LOOKUP_PARENT, &w);
    if (err < 0)
        return err;
    *out = w.node;
    if (w.dir != NULL)
        path_put(w.dir);
    return 0;
}
