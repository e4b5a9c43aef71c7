/*
 * Extended attributes (xattr.h): a list an inode. Namespaces as in xattr(7): user (regular
 * files and directories), trusted (root only), security. There are no POSIX ACLs: the
 * system namespace is refused.
 */
#include "fs/xattr.h"

#include "fs/vfs.h"
#include "mm/slab.h"

#include <linux/xattr.h>

#define XATTR_TOTAL_MAX (256 * KiB) /* of one inode: what is kept here is kernel memory */

struct xattr {
    struct list link;
    size_t size;
    uint8_t *value; /* behind the name, in the same block */
    char name[];
};

struct xattr_set {
    struct list attrs;
    size_t total;
};

static bool has_prefix(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* May the process use this attribute of this inode? */
static int name_check(const struct inode *i, const char *name, bool write)
{
    if (!i->fs->keeps_xattrs)
        return -EOPNOTSUPP;
    if (has_prefix(name, XATTR_TRUSTED_PREFIX))
        return cred.fsuid == 0 ? 0 : write ? -EPERM : -ENODATA;
    if (has_prefix(name, XATTR_SECURITY_PREFIX))
        return !write || cred.fsuid == 0 ? 0 : -EPERM;
    if (!has_prefix(name, XATTR_USER_PREFIX))
        return -EOPNOTSUPP;
    if (name[sizeof(XATTR_USER_PREFIX) - 1] == '\0')
        return -EINVAL;
    uint32_t type = i->mode & S_IFMT;
    if (type != S_IFREG && type != S_IFDIR)
        return write ? -EPERM : -ENODATA;
    return inode_permission(i, write ? MAY_WRITE : MAY_READ);
}

static struct xattr *find(const struct inode *i, const char *name)
{
    if (i->xattrs == NULL)
        return NULL;
    list_for_each (x, &i->xattrs->attrs, struct xattr, link) {
        if (strcmp(x->name, name) == 0)
            return x;
    }
    return NULL;
}

static void drop(struct inode *i, struct xattr *x)
{
    i->xattrs->total -= sizeof(*x) + strlen(x->name) + 1 + x->size;
    list_remove(&x->link);
    kfree(x);
}

int xattr_set(struct inode *i, const char *name, const void *value, size_t size, int flags)
{
    int err = name_check(i, name, true);
    if (err < 0)
        return err;
    struct xattr *old = find(i, name);
    if (old != NULL && (flags & XATTR_CREATE))
        return -EEXIST;
    if (old == NULL && (flags & XATTR_REPLACE))
        return -ENODATA;
    if (i->xattrs == NULL) {
        struct xattr_set *s = kzalloc(sizeof(*s));
        if (s == NULL)
            return -ENOMEM;
        list_init(&s->attrs);
        i->xattrs = s;
    }
    size_t len = strlen(name) + 1;
    size_t total = sizeof(struct xattr) + len + size;
    if (i->xattrs->total + total > XATTR_TOTAL_MAX)
        return -ENOSPC;
    struct xattr *x = kmalloc(total);
    if (x == NULL)
        return -ENOMEM;
    memcpy(x->name, name, len);
    x->value = (uint8_t *)x->name + len;
    x->size = size;
    memcpy(x->value, value, size);
    if (old != NULL)
        drop(i, old);
    list_push_back(&i->xattrs->attrs, &x->link);
    i->xattrs->total += total;
    inode_changed(i);
    return 0;
}

ssize_t xattr_get(struct inode *i, const char *name, void *value, size_t size)
{
    int err = name_check(i, name, false);
    if (err < 0)
        return err;
    struct xattr *x = find(i, name);
    if (x == NULL)
        return -ENODATA;
    if (size == 0)
        return (ssize_t)x->size;
    if (size < x->size)
        return -ERANGE;
    memcpy(value, x->value, x->size);
    return (ssize_t)x->size;
}

ssize_t xattr_list(struct inode *i, char *list, size_t size)
{
    if (!i->fs->keeps_xattrs)
        return -EOPNOTSUPP;
    size_t used = 0;
    if (i->xattrs == NULL)
        return 0;
    list_for_each (x, &i->xattrs->attrs, struct xattr, link) {
        if (has_prefix(x->name, XATTR_TRUSTED_PREFIX) && cred.fsuid != 0)
            continue;
        size_t len = strlen(x->name) + 1;
        if (size != 0) {
            if (used + len > size)
                return -ERANGE;
            memcpy(list + used, x->name, len);
        }
        used += len;
    }
    return (ssize_t)used;
}

int xattr_remove(struct inode *i, const char *name)
{
    int err = name_check(i, name, true);
    if (err < 0)
        return err;
    struct xattr *x = find(i, name);
    if (x == NULL)
        return -ENODATA;
    drop(i, x);
    inode_changed(i);
    return 0;
}

void xattr_free(struct inode *i)
{
    list_for_each_safe (x, &i->xattrs->attrs, struct xattr, link) {
        kfree(x);
    }
    kfree(i->xattrs);
    i->xattrs = NULL;
}
