/* See rootfs.h. */
#define _GNU_SOURCE
#include "rootfs.h"

#include "archive.h"
#include "elfdeps.h"
#include "etc_files.h"
#include "hostfs.h"
#include "ldcache.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum image { IMAGE_ELF, IMAGE_ARCHIVE, IMAGE_DIR };

/* Libraries that glibc opens by name at run time: host names, cancelled threads. */
static const char *const run_time_libs[] = {"libnss_files.so.2", "libnss_dns.so.2",
                                            "libgcc_s.so.1"};

static bool has_magic(const struct blob *b, size_t at, const char *magic, size_t n)
{
    return b->size >= at + n && memcmp((const char *)b->data + at, magic, n) == 0;
}

static bool archive_magic(const struct blob *b)
{
    static const struct {
        size_t at;
        const char *magic;
        size_t n;
    } known[] = {
        {0, "07070", 5},
        {0, "\xc7\x71", 2},
        {257, "ustar", 5},
        {0, "\x1f\x8b", 2},
        {0,
         "\xfd"
         "7zXZ",
         5},
        {0, "\x28\xb5\x2f\xfd", 4},
        {0, "BZh", 3},
        {0, "\x04\x22\x4d\x18", 4},
        {0, "\x5d\0\0", 3},
    };

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (has_magic(b, known[i].at, known[i].magic, known[i].n))
            return true;
    return false;
}

/* A script's interpreter, for the advice. */
static void refuse_script(const char *path, const struct blob *b)
{
    const char *p = (const char *)b->data + 2, *end = (const char *)b->data + b->size;
    size_t n = 0;

    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    while (p + n < end && p[n] > ' ' && n < 200)
        n++;
    die("%s is a script, not an ELF file; run its interpreter: wherry run -v %s:/script %.*s -- "
        "/script",
        path, path, (int)n, p);
}

static enum image image_kind(const char *path)
{
    struct stat st;
    struct blob b;
    struct why w;
    enum image kind = IMAGE_ELF;

    if (stat(path, &st) < 0)
        die("%s: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return IMAGE_DIR;
    if (!blob_map(&b, path, &w))
        die("%s", w.text);
    if (has_magic(&b, 0, "#!", 2))
        refuse_script(path, &b);
    if (archive_magic(&b))
        kind = IMAGE_ARCHIVE;
    blob_free(&b);
    return kind;
}

/* Where the image is: a path as given, or a name looked up. Absolute, links kept. */
static char *locate(const char *image)
{
    char *path;

    if (strchr(image, '/')) {
        /* The directory's real path; the file itself may be a link, by which programs with
         * several names know what to be. */
        char *dir = xstrdup(image), *slash = strrchr(dir, '/'), *real;
        if (slash[1] == '\0' || strcmp(slash, "/.") == 0 || strcmp(slash, "/..") == 0) {
            real = realpath(image, NULL);
            path = real ? xstrdup(real) : NULL;
        } else {
            *slash = '\0';
            real = realpath(slash == dir ? "/" : dir, NULL);
            path = real ? path_join(real, slash + 1) : NULL;
        }
        if (!path)
            die("%s: %s", image, strerror(errno));
        free(real);
        free(dir);
        return path;
    }
    path = find_program(image);
    if (!path && access(image, F_OK) == 0)
        die("%s is not in PATH; for the one in this directory write ./%s", image, image);
    if (!path)
        die("%s is not in PATH", image);
    return path;
}

/* --- files of a tree, as elfdeps.h wants to see them --- */

static bool tree_open(void *ctx, const char *path, struct blob *b)
{
    struct node *n = tree_lookup(ctx, path, true);
    struct why w;

    *b = (struct blob){0};
    if (!n || !S_ISREG(n->inode->mode))
        return false;
    if (n->inode->host_path)
        return blob_map(b, n->inode->host_path, &w);
    *b = (struct blob){n->inode->data, n->inode->size, false};
    return true;
}

static char *tree_real(void *ctx, const char *path)
{
    struct node *n = tree_lookup(ctx, path, true);

    return n ? node_path(n) : NULL;
}

/* --- a program of the host --- */

static void mirror(struct hostfs *h, const char *path)
{
    struct why w;

    if (!hostfs_mirror(h, path, &w))
        die("%s", w.text);
}

static void pack_program(struct rootfs *r, struct hostfs *h, struct elfdeps *d, const char *path)
{
    struct why w;

    if (!elfdeps_add(d, path, &w))
        die("%s", w.text);
    if (d->objects[0]->elf.pvh) {
        r->native_kernel = xstrdup(path);
        return;
    }
    if (d->objects[0]->elf.soname && !d->objects[0]->elf.interp)
        die("%s is a shared library, not a program", path);
    for (size_t i = 0; d->interp && !d->musl && i < ARRAY_LEN(run_time_libs); i++)
        if (!elfdeps_add_library(d, run_time_libs[i], &w))
            detail("%s; left out", w.text);
    for (size_t i = 0; i < d->nr; i++)
        mirror(h, d->objects[i]->path);
    r->program = xstrdup(path);
    r->host_program = xstrdup(path);
}

static void collect_elf(void *ctx, struct node *n, const char *path)
{
    struct blob b;
    struct why w;

    (void)path;
    if (!S_ISREG(n->inode->mode) || !n->inode->host_path ||
        (!(n->inode->mode & 0111) && !strstr(n->name, ".so")))
        return;
    if (!blob_map(&b, n->inode->host_path, &w))
        return;
    if (has_magic(&b, 0,
                  "\x7f"
                  "ELF",
                  4))
        words_add(ctx, n->inode->host_path);
    blob_free(&b);
}

/* What programs and plugins given with -v need beyond what the main program has. A missing
 * library is not fatal here: the plugin may never be used. */
static void pack_plugin_libs(struct rootfs *r, struct hostfs *h, struct elfdeps *d)
{
    struct words files = {0};

    tree_walk(&r->tree, collect_elf, &files);
    for (size_t i = 0; i < files.n; i++) {
        size_t first = d->nr;
        bool known = false;
        struct why w;
        for (size_t k = 0; k < d->nr && !known; k++) {
            char *real = realpath(d->objects[k]->path, NULL);
            known = strcmp(d->objects[k]->path, files.v[i]) == 0 ||
                    (real && strcmp(real, files.v[i]) == 0);
            free(real);
        }
        if (!known && !elfdeps_add(d, files.v[i], &w))
            warn("%s", w.text);
        /* What a search path of its own (RUNPATH) found comes with the same -v. */
        for (size_t k = first; k < d->nr; k++)
            if (d->objects[k]->by_search)
                mirror(h, d->objects[k]->path);
    }
    words_free(&files);
}

static void add_ld_cache(struct rootfs *r, const struct elfdeps *d)
{
    struct words names = {0}, paths = {0};
    struct strbuf cache = {0};
    struct why w;

    for (size_t i = 0; i < d->nr; i++) {
        if (!d->objects[i]->by_search)
            continue;
        words_add(&names, d->objects[i]->name);
        words_add(&paths, d->objects[i]->path);
    }
    if (names.n && !d->musl && !tree_lookup(&r->tree, "/etc/ld.so.cache", false)) {
        ldcache_build(&names, &paths, &cache);
        if (!tree_put(&r->tree, "/etc/ld.so.cache", inode_new(S_IFREG | 0644, cache.s, cache.len),
                      &w))
            die("%s", w.text);
        free(cache.s);
    }
    words_free(&names);
    words_free(&paths);
}

/* --- a whole root file system --- */

static char *find_in_tree(const struct tree *t, const char *name)
{
    static const char *const dirs[] = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin",
                                       "/sbin",           "/bin",           "/"};
    static const char *const inits[] = {"/init", "/sbin/init"};
    struct node *n;

    for (size_t i = 0; !name && i < ARRAY_LEN(inits); i++)
        if (tree_lookup(t, inits[i], true))
            return xstrdup(inits[i]);
    if (name && strchr(name, '/'))
        return path_join(name[0] == '/' ? "" : "/", name + (name[0] == '/'));
    for (size_t i = 0; name && i < ARRAY_LEN(dirs); i++) {
        char *p = path_join(dirs[i], name);
        n = tree_lookup(t, p, true);
        if (n && S_ISREG(n->inode->mode))
            return p;
        free(p);
    }
    return NULL;
}

static void check_in_tree(struct rootfs *r, const char *rootfs)
{
    const struct file_view view = {tree_open, tree_real, &r->tree};
    struct node *n = tree_lookup(&r->tree, r->program, true);
    struct elfdeps d;
    struct why w;

    if (!n)
        die("there is no %s in root file system %s", r->program, rootfs);
    if (!S_ISREG(n->inode->mode))
        die("%s in root file system %s is not a regular file", r->program, rootfs);
    elfdeps_init(&d, &view);
    if (!elfdeps_add(&d, r->program, &w))
        die("in root file system %s: %s", rootfs, w.text);
    elfdeps_free(&d);
    r->host_program = n->inode->host_path ? xstrdup(n->inode->host_path) : NULL;
}

static void load_whole(struct rootfs *r, struct hostfs *h, const char *path)
{
    struct stat st;
    struct why w;

    if (stat(path, &st) < 0)
        die("root file system %s: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode) ? !hostfs_map(h, path, "/", false, &w)
                            : !archive_to_tree(&r->tree, path, &w))
        die("%s", w.text);
}

static void add_volumes(struct hostfs *h, const struct run_options *o)
{
    struct why w;

    for (size_t i = 0; i < o->nr_volumes; i++) {
        const struct volume *v = &o->volumes[i];
        char *real = realpath(v->host, NULL);
        if (!real)
            die("-v %s: %s", v->host, strerror(errno));
        if (!hostfs_map(h, real, v->guest, v->read_only, &w))
            die("-v %s: %s", v->host, w.text);
        free(real);
    }
}

void rootfs_pack(struct rootfs *r, const struct run_options *o)
{
    const char *whole = o->rootfs;
    char *image = NULL;
    struct hostfs h;

    *r = (struct rootfs){0};
    tree_init(&r->tree);
    hostfs_init(&h, &r->tree);
    if (!whole) {
        image = locate(o->image);
        if (image_kind(image) != IMAGE_ELF)
            whole = image;
    }
    if (whole) {
        load_whole(r, &h, whole);
        add_volumes(&h, o);
        r->program = find_in_tree(&r->tree, o->rootfs ? o->image : NULL);
        if (!r->program && o->rootfs && o->image)
            die("there is no program %s in root file system %s", o->image, whole);
        if (!r->program)
            die("root file system %s has neither /init nor /sbin/init; name a program: wherry run "
                "--rootfs %s PROGRAM",
                whole, whole);
        check_in_tree(r, whole);
    } else {
        struct elfdeps d;
        skeleton_add(&r->tree);
        elfdeps_init(&d, &host_view);
        pack_program(r, &h, &d, image);
        add_volumes(&h, o);
        pack_plugin_libs(r, &h, &d);
        add_ld_cache(r, &d);
        etc_files_add(&r->tree, &o->net[0]);
        elfdeps_free(&d);
    }
    hostfs_free(&h);
    free(image);
}

void rootfs_free(struct rootfs *r)
{
    tree_free(&r->tree);
    free(r->program);
    free(r->native_kernel);
    free(r->host_program);
}
