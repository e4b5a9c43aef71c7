/*
 * The tree of names: nodes, the hash that finds a child in its directory, directory
 * listings, and the text of a path (vfs.h says what a node is). Called by the walk, the
 * name operations and the file systems. Never sleeps.
 */
#include "fs/vfs.h"

#include "fs/locks.h"
#include "fs/xattr.h"
#include "mm/slab.h"
#include "sched/clock.h"

#define HASH_INITIAL 256u /* buckets before anything is unpacked */
#define COOKIE_FIRST 2    /* readdir positions 0 and 1 are "." and ".." */

static struct path_node *first_buckets[HASH_INITIAL];
static struct path_node **buckets = first_buckets;
static uint32_t bucket_mask = HASH_INITIAL - 1;
static uint64_t hashed;

struct vfs_stats vfs_stats;

/* FNV-1a: one multiplication a byte, good enough for names that are mostly distinct. */
static inline uint32_t name_hash(const char *name, size_t len)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (uint8_t)name[i]) * 16777619u;
    return h;
}

static inline uint32_t bucket_of(const struct path_node *parent, uint32_t hash)
{
    uint64_t p = (uint64_t)parent >> 6; /* nodes are at least 64 bytes apart */
    return (uint32_t)(hash ^ p ^ (p >> 10) ^ (hash >> 15)) & bucket_mask;
}

/* ---- Inodes ------------------------------------------------------------------------------ */

void inode_setup(struct inode *i, struct filesystem *fs, const struct inode_ops *ops, uint32_t mode)
{
    i->ops = ops;
    i->fs = fs;
    i->ino = ++fs->next_ino;
    i->refs = 1;
    i->mode = mode;
    i->uid = cred.fsuid;
    i->gid = cred.fsgid;
    i->nlink = (mode & S_IFMT) == S_IFDIR ? 2 : 1;
    i->seals = F_SEAL_SEAL;
    i->rdev = 0;
    i->size = 0;
    i->atime = i->mtime = i->ctime = i->btime = (int64_t)clock_real_ns();
    i->object = NULL;
    i->locks = NULL;
    i->xattrs = NULL;
    vfs_stats.inodes++;
}

void inode_release(struct inode *i)
{
    if (i->locks != NULL)
        locks_free(i);
    if (i->xattrs != NULL)
        xattr_free(i);
    vfs_stats.inodes--;
    i->ops->release(i);
}

void inode_touch(struct inode *i)
{
    i->mtime = i->ctime = (int64_t)clock_real_ns();
}

void inode_changed(struct inode *i)
{
    i->ctime = (int64_t)clock_real_ns();
}

static bool in_group(uint32_t gid)
{
    if (cred.fsgid == gid)
        return true;
    for (uint32_t i = 0; i < cred.nr_groups; i++)
        if (cred.groups[i] == gid)
            return true;
    return false;
}

int inode_permission(const struct inode *i, int mask)
{
    uint32_t type = i->mode & S_IFMT;
    if ((mask & MAY_WRITE) && i->fs->mount != NULL && (i->fs->mount->flags & MS_RDONLY) &&
        (type == S_IFREG || type == S_IFDIR || type == S_IFLNK))
        return -EROFS;
    if (likely(cred.fsuid == 0)) {
        /* Root reads and writes everything, but executes only what somebody may. */
        if (!(mask & MAY_EXEC) || type == S_IFDIR || (i->mode & 0111))
            return 0;
        return -EACCES;
    }
    unsigned shift = i->uid == cred.fsuid ? 6 : in_group(i->gid) ? 3 : 0;
    return ((i->mode >> shift) & (unsigned)mask) == (unsigned)mask ? 0 : -EACCES;
}

bool inode_owner_or_capable(const struct inode *i)
{
    return cred.fsuid == 0 || cred.fsuid == i->uid;
}

/* ---- Nodes ------------------------------------------------------------------------------- */

static void node_put_name(struct path_node *n, char *text, const char *name, size_t len)
{
    memcpy(text, name, len);
    text[len] = '\0';
    n->name = text;
    n->len = (uint16_t)len;
    n->hash = name_hash(text, len);
}

struct path_node *path_new(struct path_node *parent, const char *name, size_t len,
                           struct inode *inode)
{
    struct path_node *n = kmalloc(sizeof(*n));
    if (n == NULL)
        return NULL;
    char *text = n->short_name;
    if (len >= sizeof(n->short_name)) {
        text = kmalloc(len + 1);
        if (text == NULL) {
            kfree(n);
            return NULL;
        }
    }
    node_put_name(n, text, name, len);
    n->refs = 1;
    n->parent = parent;
    if (parent != NULL)
        path_get(parent);
    n->inode = inode;
    n->hash_next = NULL;
    n->mount = NULL;
    list_init(&n->sibling);
    list_init(&n->children);
    n->cookie = 0;
    n->flags = 0;
    vfs_stats.nodes++;
    return n;
}

void path_release(struct path_node *n)
{
    /* Up the chain: dropping a node may drop the last reference of its directory. */
    while (n != NULL) {
        assert(!(n->flags & PATH_HASHED));
        struct path_node *parent = n->parent;
        inode_put(n->inode);
        if (n->name != n->short_name)
            kfree((void *)n->name);
        kfree(n);
        vfs_stats.nodes--;
        if (parent == NULL || --parent->refs > 0)
            break;
        n = parent;
    }
}

static void hash_grow(void)
{
    uint32_t new_count = (bucket_mask + 1) * 4;
    struct path_node **table = vmalloc(new_count * sizeof(*table));
    if (table == NULL)
        return; /* longer chains, nothing worse */
    memset(table, 0, new_count * sizeof(*table));
    struct path_node **old = buckets;
    uint32_t old_count = bucket_mask + 1;
    buckets = table;
    bucket_mask = new_count - 1;
    for (uint32_t b = 0; b < old_count; b++) {
        for (struct path_node *n = old[b], *next; n != NULL; n = next) {
            next = n->hash_next;
            struct path_node **head = &buckets[bucket_of(n->parent, n->hash)];
            n->hash_next = *head;
            *head = n;
        }
    }
    if (old != first_buckets)
        vfree(old);
}

void path_hash(struct path_node *n)
{
    assert(!(n->flags & PATH_HASHED) && n->parent != NULL);
    if (hashed > 2ull * bucket_mask)
        hash_grow();
    struct path_node **head = &buckets[bucket_of(n->parent, n->hash)];
    n->hash_next = *head;
    *head = n;
    hashed++;
    n->flags = (n->flags & ~PATH_DELETED) | PATH_HASHED;
    struct list *children = &n->parent->children;
    n->cookie = list_empty(children)
                    ? COOKIE_FIRST
                    : container_of(children->prev, struct path_node, sibling)->cookie + 1;
    list_push_back(children, &n->sibling);
    path_get(n);
}

void path_unhash(struct path_node *n)
{
    assert(n->flags & PATH_HASHED);
    struct path_node **p = &buckets[bucket_of(n->parent, n->hash)];
    while (*p != n)
        p = &(*p)->hash_next;
    *p = n->hash_next;
    n->hash_next = NULL;
    hashed--;
    n->flags = (n->flags & ~PATH_HASHED) | PATH_DELETED;
    list_remove(&n->sibling);
    path_put(n);
}

struct path_node *path_child(struct path_node *dir, const char *name, size_t len)
{
    uint32_t h = name_hash(name, len);
    for (struct path_node *n = buckets[bucket_of(dir, h)]; n != NULL; n = n->hash_next)
        if (n->hash == h && n->parent == dir && n->len == len && memcmp(n->name, name, len) == 0)
            return n;
    return NULL;
}

int path_move(struct path_node *n, struct path_node *dir, const char *name, size_t len)
{
    char *text = NULL;
    if (len >= sizeof(n->short_name)) {
        text = kmalloc(len + 1);
        if (text == NULL)
            return -ENOMEM;
    }
    path_get(n); /* path_unhash() drops the tree's reference */
    path_unhash(n);
    if (n->name != n->short_name)
        kfree((void *)n->name);
    node_put_name(n, text != NULL ? text : n->short_name, name, len);
    if (n->parent != dir) {
        struct path_node *from = n->parent;
        path_get(dir);
        n->parent = dir;
        path_put(from);
    }
    path_hash(n);
    path_put(n);
    return 0;
}

/* ---- Listing ----------------------------------------------------------------------------- */

int path_emit_dots(struct path_node *dir, struct dir_context *ctx)
{
    if (ctx->pos == 0) {
        if (!ctx->emit(ctx, ".", 1, dir->inode->ino, mode_to_dt(S_IFDIR)))
            return 1;
        ctx->pos = 1;
    }
    if (ctx->pos == 1) {
        struct path_node *up = dir->parent != NULL ? dir->parent : dir;
        if (!ctx->emit(ctx, "..", 2, up->inode->ino, mode_to_dt(S_IFDIR)))
            return 1;
        ctx->pos = COOKIE_FIRST;
    }
    return 0;
}

int path_readdir(struct file *f, struct dir_context *ctx)
{
    struct path_node *dir = f->path;
    if (path_emit_dots(dir, ctx) != 0)
        return 0;
    list_for_each (n, &dir->children, struct path_node, sibling) {
        if (n->cookie < ctx->pos)
            continue;
        if (!ctx->emit(ctx, n->name, n->len, n->inode->ino, mode_to_dt(n->inode->mode)))
            return 0;
        ctx->pos = n->cookie + 1;
    }
    return 0;
}

/* ---- Text -------------------------------------------------------------------------------- */

char *path_text(struct path_node *p, char *buf, size_t size, bool *reachable)
{
    static const char deleted[] = " (deleted)";
    char *at = buf + size;
    if (size < 2)
        return NULL;
    *--at = '\0';
    if (p->flags & PATH_DELETED) {
        if ((size_t)(at - buf) < sizeof(deleted) - 1)
            return NULL;
        at -= sizeof(deleted) - 1;
        memcpy(at, deleted, sizeof(deleted) - 1);
    }
    char *end = at;
    while (p != fs_context.root) {
        if (p->parent == NULL && p->len == 0) { /* the root of a mounted file system */
            struct mount *m = p->inode->fs->mount;
            if (m == NULL || m->point == NULL)
                break;
            p = m->point;
            continue;
        }
        if ((size_t)(at - buf) < (size_t)p->len + 1)
            return NULL;
        at -= p->len;
        memcpy(at, p->name, p->len);
        *--at = '/';
        if (p->parent == NULL) /* a nameless file: "/memfd:x (deleted)" */
            break;
        p = p->parent;
    }
    if (reachable != NULL)
        *reachable = p == fs_context.root;
    if (at == end) {
        if (at == buf)
            return NULL;
        *--at = '/';
    }
    return at;
}
