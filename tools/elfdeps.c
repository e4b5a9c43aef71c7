/* See elfdeps.h. */
#define _GNU_SOURCE
#include "elfdeps.h"

#include "ldcache.h"

#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LD_SO_CACHE "/etc/ld.so.cache"
#define TRIPLET     "x86_64-linux-gnu"

static const char *const glibc_dirs[] = {
    "/lib/" TRIPLET, "/usr/lib/" TRIPLET, "/lib64", "/usr/lib64", "/lib", "/usr/lib"};
static const char *const musl_dirs[] = {"/lib", "/usr/local/lib", "/usr/lib"};

static bool host_open(void *ctx, const char *path, struct blob *b)
{
    struct why w;

    (void)ctx;
    return blob_map(b, path, &w);
}

static char *host_real(void *ctx, const char *path)
{
    (void)ctx;
    return realpath(path, NULL);
}

const struct file_view host_view = {host_open, host_real, NULL};

void elfdeps_init(struct elfdeps *d, const struct file_view *view)
{
    *d = (struct elfdeps){.view = view};
    view->open(view->ctx, LD_SO_CACHE, &d->cache);
}

static void object_free(struct object *o)
{
    elf_free(&o->elf);
    free(o->path);
    free(o->name);
    free(o);
}

void elfdeps_free(struct elfdeps *d)
{
    for (size_t i = 0; i < d->nr; i++)
        object_free(d->objects[i]);
    free(d->objects);
    free(d->interp);
    blob_free(&d->cache);
}

static struct object *loaded(const struct elfdeps *d, const char *name)
{
    for (size_t i = 0; i < d->nr; i++) {
        struct object *o = d->objects[i];
        if ((o->name && strcmp(o->name, name) == 0) ||
            (o->elf.soname && strcmp(o->elf.soname, name) == 0))
            return o;
    }
    return NULL;
}

/* An object of that path, if it is an ELF file for us; else NULL and the reason. */
static struct object *object_open(struct elfdeps *d, const char *path, const char *name,
                                  const struct object *parent, struct why *w)
{
    struct blob b;
    struct object *o;

    if (!d->view->open(d->view->ctx, path, &b)) {
        because(w, "%s: no such file", path);
        return NULL;
    }
    o = xcalloc(1, sizeof(*o));
    struct why reason;
    if (!elf_read(b.data, b.size, &o->elf, &reason)) {
        because(w, "%s %s", path, reason.text);
        free(o);
        o = NULL;
    } else {
        o->path = xstrdup(path);
        o->name = name ? xstrdup(name) : NULL;
        o->parent = parent;
    }
    blob_free(&b);
    return o;
}

static struct object *object_add(struct elfdeps *d, struct object *o)
{
    if (d->nr == d->cap) {
        d->cap = d->cap ? d->cap * 2 : 32;
        d->objects = xrealloc(d->objects, d->cap * sizeof(d->objects[0]));
    }
    d->objects[d->nr++] = o;
    return o;
}

/* One directory of a search path with its dynamic string tokens replaced. */
static char *expand(const struct elfdeps *d, const char *dir, size_t len,
                    const struct object *owner)
{
    struct strbuf b = {0};

    sb_add(&b, "", 0);
    for (size_t i = 0; i < len;) {
        static const char *const tokens[] = {"ORIGIN", "LIB", "PLATFORM"};
        size_t t, n = 0, brace = i + 1 < len && dir[i + 1] == '{';
        for (t = 0; dir[i] == '$' && t < ARRAY_LEN(tokens); t++) {
            n = strlen(tokens[t]);
            if (i + 1 + brace + n + brace <= len &&
                strncmp(dir + i + 1 + brace, tokens[t], n) == 0 &&
                (!brace || dir[i + 2 + n] == '}'))
                break;
        }
        if (dir[i] != '$' || t == ARRAY_LEN(tokens)) {
            sb_add(&b, dir + i++, 1);
            continue;
        }
        i += 1 + n + 2 * brace;
        if (t == 0) {
            char *real = d->view->real(d->view->ctx, owner->path);
            sb_addf(&b, "%s", dirname(real ? real : strdupa(owner->path)));
            free(real);
        } else {
            sb_addf(&b, "%s", t == 1 ? "lib/" TRIPLET : "x86_64");
        }
    }
    return b.s;
}

static struct object *try_path(struct elfdeps *d, const char *dir, const char *name,
                               const struct object *parent)
{
    struct why ignored; /* an unfit file is passed over, as the loader does */
    char *path = path_join(*dir ? dir : ".", name);
    struct object *o = object_open(d, path, name, parent, &ignored);

    free(path);
    return o;
}

static struct object *try_list(struct elfdeps *d, const char *list, const char *name,
                               const struct object *owner, const struct object *parent)
{
    struct object *o = NULL;

    while (list && !o) {
        size_t len = strcspn(list, ":");
        char *dir = expand(d, list, len, owner);
        o = try_path(d, dir, name, parent);
        free(dir);
        list = list[len] ? list + len + 1 : NULL;
    }
    return o;
}

static struct object *search(struct elfdeps *d, const char *name, const struct object *parent)
{
    struct object *o = NULL;
    const char *cached;

    if (parent && !parent->elf.runpath)
        for (const struct object *p = parent; p && !o; p = p->parent)
            if (!p->elf.runpath)
                o = try_list(d, p->elf.rpath, name, p, parent);
    if (!o && parent)
        o = try_list(d, parent->elf.runpath, name, parent, parent);
    if (o)
        return o;
    if (!d->musl && (cached = ldcache_find(d->cache.data, d->cache.size, name))) {
        struct why ignored;
        o = object_open(d, cached, name, parent, &ignored);
    }
    const char *const *dirs = d->musl ? musl_dirs : glibc_dirs;
    size_t n = d->musl ? ARRAY_LEN(musl_dirs) : ARRAY_LEN(glibc_dirs);
    for (size_t i = 0; !o && i < n; i++)
        o = try_path(d, dirs[i], name, parent);
    if (o)
        o->by_search = true;
    return o;
}

/* All that the objects from index first on need. Grows the list while it is walked. */
static bool close_over(struct elfdeps *d, size_t first, struct why *w)
{
    for (size_t i = first; i < d->nr; i++) {
        for (size_t k = 0; k < d->objects[i]->elf.needed.n; k++) {
            struct object *parent = d->objects[i], *o;
            const char *name = parent->elf.needed.v[k];
            if (loaded(d, name))
                continue;
            if (strchr(name, '/')) {
                char *path = expand(d, name, strlen(name), parent);
                o = object_open(d, path, name, parent, w);
                free(path);
            } else {
                o = search(d, name, parent);
            }
            if (!o)
                return because(w, "library %s, wanted by %s, was not found", name, parent->path);
            object_add(d, o);
        }
    }
    return true;
}

static bool set_interp(struct elfdeps *d, const struct object *o, struct why *w)
{
    struct why reason;
    struct object *i;

    if (d->interp || !o->elf.interp)
        return true;
    d->interp = xstrdup(o->elf.interp);
    d->musl = strstr(d->interp, "/ld-musl-") != NULL;
    i = object_open(d, d->interp, strrchr(d->interp, '/') ? strrchr(d->interp, '/') + 1 : d->interp,
                    o, &reason);
    if (!i)
        return because(w, "interpreter of %s: %s", o->path, reason.text);
    object_add(d, i);
    return true;
}

bool elfdeps_add(struct elfdeps *d, const char *path, struct why *w)
{
    struct object *o = object_open(d, path, NULL, NULL, w);
    size_t first = d->nr;

    if (!o)
        return false;
    object_add(d, o);
    return set_interp(d, o, w) && close_over(d, first, w);
}

bool elfdeps_add_library(struct elfdeps *d, const char *name, struct why *w)
{
    size_t first = d->nr;
    struct object *o;

    if (loaded(d, name))
        return true;
    o = search(d, name, NULL);
    if (!o)
        return because(w, "library %s was not found", name);
    object_add(d, o);
    return close_over(d, first, w);
}
