/* See hostfs.h. */
#define _GNU_SOURCE
#include "hostfs.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_LINKS 40

struct link {
    dev_t dev;
    ino_t ino;
    struct inode *inode;
};

void hostfs_init(struct hostfs *h, struct tree *t)
{
    *h = (struct hostfs){.tree = t};
}

void hostfs_free(struct hostfs *h)
{
    for (size_t i = 0; i < h->nr; i++)
        inode_put(h->links[i].inode);
    free(h->links);
    *h = (struct hostfs){0};
}

static char *read_link(const char *path, struct why *w)
{
    char buf[PATH_MAX];
    ssize_t n = readlink(path, buf, sizeof(buf));

    if (n < 0 || n == sizeof(buf)) {
        because(w, "%s: %s", path, n < 0 ? strerror(errno) : "link too long");
        return NULL;
    }
    return xstrndup(buf, n);
}

static struct inode *known_link(struct hostfs *h, const struct stat *st)
{
    for (size_t i = 0; i < h->nr; i++)
        if (h->links[i].dev == st->st_dev && h->links[i].ino == st->st_ino)
            return h->links[i].inode;
    return NULL;
}

static struct inode *take_inode(struct hostfs *h, const char *path, const struct stat *st,
                                bool read_only, struct why *w)
{
    struct inode *i = st->st_nlink > 1 && !S_ISDIR(st->st_mode) ? known_link(h, st) : NULL;

    if (i)
        return i;
    if (S_ISREG(st->st_mode) && access(path, R_OK) < 0) {
        because(w, "%s: %s", path, strerror(errno));
        return NULL;
    }
    if (S_ISLNK(st->st_mode)) {
        char *target = read_link(path, w);
        if (!target)
            return NULL;
        i = inode_new(st->st_mode, target, strlen(target));
        free(target);
    } else {
        i = inode_new(st->st_mode, NULL, 0);
    }
    if (S_ISREG(st->st_mode)) {
        i->size = st->st_size;
        i->host_path = xstrdup(path);
    }
    if (read_only && !S_ISLNK(st->st_mode))
        i->mode &= ~(mode_t)0222;
    i->uid = st->st_uid;
    i->gid = st->st_gid;
    i->mtime = st->st_mtime;
    i->rdev = S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode) ? st->st_rdev : 0;
    return i;
}

static bool put(struct hostfs *h, const char *to, struct inode *i, const struct stat *st,
                struct why *w)
{
    bool fresh = i->nlink == 0;

    if (!tree_put(h->tree, to, i, w))
        return false;
    if (fresh && st->st_nlink > 1 && !S_ISDIR(st->st_mode)) {
        if (h->nr == h->cap) {
            h->cap = h->cap ? h->cap * 2 : 16;
            h->links = xrealloc(h->links, h->cap * sizeof(h->links[0]));
        }
        h->links[h->nr++] = (struct link){st->st_dev, st->st_ino, i};
        i->nlink++; /* ours, so that a replaced name does not leave us a dangling pointer */
    }
    return true;
}

/* Entries of a directory in order of name, for the same output whatever the file system. */
static bool map_dir(struct hostfs *h, const char *from, const char *to, bool read_only,
                    struct why *w);

static bool map_one(struct hostfs *h, const char *from, const char *to, const struct stat *st,
                    bool read_only, struct why *w)
{
    struct inode *i;

    if (S_ISSOCK(st->st_mode)) {
        detail("left out the socket %s", from);
        return true;
    }
    i = take_inode(h, from, st, read_only, w);
    return i && put(h, to, i, st, w) &&
           (!S_ISDIR(st->st_mode) || map_dir(h, from, to, read_only, w));
}

static bool map_dir(struct hostfs *h, const char *from, const char *to, bool read_only,
                    struct why *w)
{
    struct dirent **list;
    bool ok = true;
    int n = scandir(from, &list, NULL, alphasort);

    if (n < 0)
        return because(w, "%s: %s", from, strerror(errno));
    for (int k = 0; k < n; k++) {
        const char *name = list[k]->d_name;
        if (ok && strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
            char *f = path_join(from, name), *t = path_join(to, name);
            struct stat st;
            if (lstat(f, &st) < 0)
                ok = because(w, "%s: %s", f, strerror(errno));
            else
                ok = map_one(h, f, t, &st, read_only, w);
            free(f);
            free(t);
        }
        free(list[k]);
    }
    free(list);
    return ok;
}

bool hostfs_map(struct hostfs *h, const char *from, const char *to, bool read_only, struct why *w)
{
    struct stat st;

    if (stat(from, &st) < 0)
        return because(w, "%s: %s", from, strerror(errno));
    return map_one(h, from, to, &st, read_only, w);
}

/*
 * Walks the host's path component by component. A symbolic link is put into the tree as it is
 * and its target is walked in its place; the last component is the file.
 */
bool hostfs_mirror(struct hostfs *h, const char *path, struct why *w)
{
    char *done = xstrdup(""), *rest = xstrdup(path), *next;
    int links = 0;
    bool ok = false;

    for (;;) {
        struct stat st;
        char *at = rest + strspn(rest, "/"), *here;
        size_t len = strcspn(at, "/");
        const char *after = at + len + strspn(at + len, "/");
        if (len == 0) {
            because(w, "%s: is a directory", path);
            break;
        }
        if ((len == 1 && at[0] == '.') || (len == 2 && at[0] == '.' && at[1] == '.')) {
            if (len == 2 && *done)
                *strrchr(done, '/') = '\0';
            next = xstrdup(after);
            free(rest);
            rest = next;
            continue;
        }
        here = xasprintf("%s/%.*s", done, (int)len, at);
        if (lstat(here, &st) < 0) {
            because(w, "%s: %s", here, strerror(errno));
            free(here);
            break;
        }
        if (S_ISLNK(st.st_mode)) {
            char *target = ++links > MAX_LINKS ? NULL : read_link(here, w);
            if (!target) {
                if (links > MAX_LINKS)
                    because(w, "%s: %s", path, strerror(ELOOP));
                free(here);
                break;
            }
            /* Where the guest has a directory of that name already, what is behind the link goes
             * to the link's target all the same: both paths must then be given with -v. */
            struct node *old = tree_lookup(h->tree, here, false);
            bool put_ok = true;
            if (!old || !S_ISDIR(old->inode->mode)) {
                struct inode *i = take_inode(h, here, &st, false, w);
                put_ok = i && put(h, here, i, &st, w);
            }
            next = xasprintf("%s%s%s", target, *after ? "/" : "", after);
            if (target[0] == '/')
                done[0] = '\0';
            free(target);
            free(here);
            free(rest);
            rest = next;
            if (!put_ok)
                break;
            continue;
        }
        if (*after) {
            next = xstrdup(after);
            free(done);
            free(rest);
            done = here;
            rest = next;
            continue;
        }
        ok = S_ISDIR(st.st_mode) ? because(w, "%s: is a directory", path)
                                 : map_one(h, here, here, &st, false, w);
        free(here);
        break;
    }
    free(done);
    free(rest);
    return ok;
}
