/* See linux_guest.h. */
#define _GNU_SOURCE
#include "linux_guest.h"

#include "archive.h"

#include <libgen.h>
#include <stdlib.h>
#include <string.h>

#define MODULE_DIR  "/wherry-modules"
#define MODULE_LIST MODULE_DIR "/order"

/* The static program built from linux-init.c, made part of this one by tools.mk. */
extern const char linux_init_start[], linux_init_end[];

/* A module's name in a path: base name, '-' and '_' the same, no suffix. */
static bool is_module(const char *path, size_t len, const char *name)
{
    const char *base = path;

    for (size_t i = 0; i < len; i++)
        if (path[i] == '/')
            base = path + i + 1;
    for (; *name && base < path + len; name++, base++)
        if (*name != *base && !(*name == '_' && *base == '-'))
            return false;
    return !*name && base < path + len && *base == '.';
}

/* The line "PATH: DEP DEP..." of a module in modules.dep, or NULL. */
static char *dep_line(const char *deps, const char *name)
{
    for (const char *p = deps; *p;) {
        size_t len = strcspn(p, "\n"), path = strcspn(p, ":\n");
        if (is_module(p, path, name))
            return xstrndup(p, len);
        p += len + (p[len] == '\n');
    }
    return NULL;
}

static bool built_in(const char *list, const char *name)
{
    for (const char *p = list; p && *p;) {
        size_t len = strcspn(p, "\n");
        if (is_module(p, len, name))
            return true;
        p += len + (p[len] == '\n');
    }
    return false;
}

static void add_module(struct tree *t, const char *dir, const char *path, struct strbuf *order)
{
    char *from = path[0] == '/' ? xstrdup(path) : path_join(dir, path), *copy = xstrdup(path);
    char *base = basename(copy), *to, *suffix = strstr(base, ".ko");
    struct strbuf data = {0};
    struct why w;

    if (suffix)
        suffix[3] = '\0'; /* .ko.xz: it is unpacked here */
    to = path_join(MODULE_DIR, base);
    if (!tree_lookup(t, to, false)) {
        if (!archive_decompress(from, &data, &w))
            die("Linux module %s", w.text);
        if (!tree_put(t, to, inode_new(S_IFREG | 0644, data.s, data.len), &w))
            die("%s", w.text);
        sb_addf(order, "%s\n", to);
        free(data.s);
    }
    free(to);
    free(copy);
    free(from);
}

/* modules.dep lists dependencies such that the last is to be loaded first. */
static void add_with_deps(struct tree *t, const char *dir, char *line, struct strbuf *order)
{
    struct words w = {0};
    char *save = NULL;

    for (char *p = strtok_r(line, ": ", &save); p; p = strtok_r(NULL, ": ", &save))
        words_add(&w, p);
    for (size_t i = w.n; i-- > 0;)
        add_module(t, dir, w.v[i], order);
    words_free(&w);
}

void linux_guest_fill(struct tree *t, const struct kimage *k, bool mmio, bool net,
                      const struct words *more)
{
    struct strbuf order = {0};
    struct words wanted = {0};
    struct why w;
    char *dir = k->version ? kimage_modules(k->version) : NULL;

    words_add(&wanted, mmio ? "virtio_mmio" : "virtio_pci");
    if (net)
        words_add(&wanted, "virtio_net");
    words_add(&wanted, "virtio_rng");
    for (size_t i = 0; i < more->n; i++)
        words_add(&wanted, more->v[i]);
    sb_add(&order, "", 0);
    if (dir) {
        char *p = path_join(dir, "modules.dep"), *deps = read_text(p);
        free(p);
        p = path_join(dir, "modules.builtin");
        char *builtin = read_text(p);
        for (size_t i = 0; i < wanted.n; i++) {
            char *line = deps ? dep_line(deps, wanted.v[i]) : NULL;
            if (line)
                add_with_deps(t, dir, line, &order);
            else if (!built_in(builtin, wanted.v[i]))
                warn("Linux %s has no %s driver in %s", k->version, wanted.v[i], dir);
            free(line);
        }
        free(p);
        free(deps);
        free(builtin);
        free(dir);
    } else {
        detail("no modules for %s: its drivers must be built in", k->path);
    }
    tree_dir(t, MODULE_DIR, 0755);
    tree_file(t, MODULE_LIST, 0644, order.s);
    if (!tree_put(t, LINUX_INIT,
                  inode_new(S_IFREG | 0755, linux_init_start, linux_init_end - linux_init_start),
                  &w))
        die("%s", w.text);
    words_free(&wanted);
    free(order.s);
}
