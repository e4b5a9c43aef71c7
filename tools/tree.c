/* See tree.h. */
#define _GNU_SOURCE
#include "tree.h"

#include <stdlib.h>
#include <string.h>

#define MAX_LINKS 40 /* symbolic links followed on one path, as Linux's MAXSYMLINKS */

struct inode *inode_new(mode_t mode, const void *data, size_t size)
{
    struct inode *i = xcalloc(1, sizeof(*i));

    i->mode = mode;
    if (data) {
        i->data = xmalloc(size + 1);
        memcpy(i->data, data, size);
        ((char *)i->data)[size] = '\0';
        i->size = size;
    }
    return i;
}

void inode_put(struct inode *i)
{
    if (i->nlink > 1) {
        i->nlink--;
        return;
    }
    free(i->host_path);
    free(i->data);
    free(i);
}

static struct node *node_new(struct node *parent, const char *name, size_t len, struct inode *inode)
{
    struct node *n = xcalloc(1, sizeof(*n));

    n->name = xstrndup(name, len);
    n->inode = inode;
    n->parent = parent;
    inode->nlink++;
    return n;
}

static void node_free(struct node *n)
{
    for (size_t i = 0; i < n->nr; i++)
        node_free(n->child[i]);
    inode_put(n->inode);
    free(n->child);
    free(n->name);
    free(n);
}

void tree_init(struct tree *t)
{
    t->root = node_new(NULL, "", 0, inode_new(S_IFDIR | 0755, NULL, 0));
}

void tree_free(struct tree *t)
{
    node_free(t->root);
    t->root = NULL;
}

/* The index at which a name is or belongs. */
static size_t child_index(const struct node *dir, const char *name, size_t len, bool *found)
{
    size_t lo = 0, hi = dir->nr;

    *found = false;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        const char *s = dir->child[mid]->name;
        int c = strncmp(s, name, len);
        if (c == 0 && s[len])
            c = 1;
        if (c == 0) {
            *found = true;
            return mid;
        }
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static struct node *child_find(const struct node *dir, const char *name, size_t len)
{
    bool found;
    size_t i = child_index(dir, name, len, &found);

    return found ? dir->child[i] : NULL;
}

struct node *node_child(const struct node *dir, const char *name)
{
    return child_find(dir, name, strlen(name));
}

static struct node *child_add(struct node *dir, const char *name, size_t len, struct inode *inode)
{
    bool found;
    size_t i = child_index(dir, name, len, &found);

    if (dir->nr == dir->cap) {
        dir->cap = dir->cap ? dir->cap * 2 : 8;
        dir->child = xrealloc(dir->child, dir->cap * sizeof(dir->child[0]));
    }
    memmove(dir->child + i + 1, dir->child + i, (dir->nr - i) * sizeof(dir->child[0]));
    dir->child[i] = node_new(dir, name, len, inode);
    dir->nr++;
    return dir->child[i];
}

/*
 * Follows a path from a directory. With make, missing directories are created. *last, if wanted,
 * gets the last component's text instead of it being looked up, and the directory it is in
 * is returned.
 */
static struct node *walk(struct node *root, struct node *dir, const char *path, bool follow,
                         bool make, const char **last, int *links)
{
    if (*path == '/')
        dir = root;
    for (;;) {
        path += strspn(path, "/");
        size_t len = strcspn(path, "/");
        if (len == 0)
            return last ? NULL : dir;
        bool is_last = path[len + strspn(path + len, "/")] == '\0';
        if (!S_ISDIR(dir->inode->mode))
            return NULL;
        if (len == 1 && path[0] == '.') {
            path += len;
            continue;
        }
        if (len == 2 && path[0] == '.' && path[1] == '.') {
            dir = dir->parent ? dir->parent : dir;
            path += len;
            continue;
        }
        if (is_last && last) {
            *last = path;
            return dir;
        }
        struct node *n = child_find(dir, path, len);
        if (!n && make)
            n = child_add(dir, path, len, inode_new(S_IFDIR | 0755, NULL, 0));
        if (!n)
            return NULL;
        if (S_ISLNK(n->inode->mode) && (!is_last || follow)) {
            if (++*links > MAX_LINKS)
                return NULL;
            n = walk(root, dir, n->inode->data, true, make, NULL, links);
            if (!n)
                return NULL;
        }
        dir = n;
        path += len;
    }
}

struct node *tree_lookup(const struct tree *t, const char *path, bool follow)
{
    int links = 0;

    return walk(t->root, t->root, path, follow, false, NULL, &links);
}

char *node_path(const struct node *n)
{
    char *path = xstrdup(n->parent ? "" : "/");

    for (; n->parent; n = n->parent) {
        char *longer = xasprintf("/%s%s", n->name, path);
        free(path);
        path = longer;
    }
    return path;
}

static struct node *refuse(struct inode *inode, struct why *w, const char *path, const char *text)
{
    if (inode->nlink == 0) {
        inode->nlink = 1;
        inode_put(inode);
    }
    because(w, "%s in the root file system: %s", path, text);
    return NULL;
}

struct node *tree_put(struct tree *t, const char *path, struct inode *inode, struct why *w)
{
    const char *last = NULL;
    int links = 0;
    struct node *dir = walk(t->root, t->root, path, true, true, &last, &links), *old;
    bool is_dir = S_ISDIR(inode->mode);

    if (!dir && path[strspn(path, "/.")] == '\0') {
        old = t->root;
        if (!is_dir)
            return refuse(inode, w, path, "the root must be a directory");
    } else if (!dir) {
        return refuse(inode, w, path, "a part of this path is not a directory");
    } else {
        size_t len = strcspn(last, "/");
        old = child_find(dir, last, len);
        if (!old)
            return child_add(dir, last, len, inode);
        if (is_dir && S_ISLNK(old->inode->mode)) {
            /* A directory over a link to a directory: its contents go where the link leads. */
            struct node *target = tree_lookup(t, path, true);
            if (!target || !S_ISDIR(target->inode->mode))
                return refuse(inode, w, path, "a directory would replace a link");
            old = target;
        }
        if (is_dir != S_ISDIR(old->inode->mode))
            return refuse(inode, w, path,
                          is_dir ? "a directory would replace a file"
                                 : "a file would replace a directory");
    }
    inode->nlink++;
    inode_put(old->inode);
    old->inode = inode;
    return old;
}

static void put_ours(struct tree *t, const char *path, struct inode *inode)
{
    struct why w;

    if (!tree_put(t, path, inode, &w))
        die("%s", w.text);
}

void tree_file(struct tree *t, const char *path, mode_t perm, const char *text)
{
    put_ours(t, path, inode_new(S_IFREG | perm, text, strlen(text)));
}

void tree_dir(struct tree *t, const char *path, mode_t perm)
{
    put_ours(t, path, inode_new(S_IFDIR | perm, NULL, 0));
}

void tree_link(struct tree *t, const char *path, const char *target)
{
    put_ours(t, path, inode_new(S_IFLNK | 0777, target, strlen(target)));
}

static void walk_all(struct node *n, const char *path,
                     void (*fn)(void *, struct node *, const char *), void *ctx)
{
    fn(ctx, n, path);
    for (size_t i = 0; i < n->nr; i++) {
        char *p = path_join(path, n->child[i]->name);
        walk_all(n->child[i], p, fn, ctx);
        free(p);
    }
}

void tree_walk(const struct tree *t, void (*fn)(void *ctx, struct node *n, const char *path),
               void *ctx)
{
    walk_all(t->root, "/", fn, ctx);
}

struct sum {
    uint64_t bytes;
    unsigned files;
};

/* A file with several names is met as often; "written" marks the first time. */
static void add_size(void *ctx, struct node *n, const char *path)
{
    struct sum *s = ctx;

    (void)path;
    if (!S_ISREG(n->inode->mode))
        return;
    s->files++;
    if (!n->inode->written)
        s->bytes += n->inode->size;
    n->inode->written = true;
}

static void clear_written(void *ctx, struct node *n, const char *path)
{
    (void)ctx;
    (void)path;
    n->inode->written = false;
}

uint64_t tree_bytes(const struct tree *t, unsigned *files)
{
    struct sum s = {0};

    tree_walk(t, clear_written, NULL);
    tree_walk(t, add_size, &s);
    tree_walk(t, clear_written, NULL);
    if (files)
        *files = s.files;
    return s.bytes;
}
