/* See kimage.h. */
#define _GNU_SOURCE
#include "kimage.h"

#include "elffile.h"

#include <glob.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Linux Documentation/arch/x86/boot.rst: the setup header. */
#define SETUP_MAGIC_AT   0x202
#define SETUP_VERSION_AT 0x20e
#define SETUP_BASE       0x200

char *kimage_wherry(void)
{
    static const char *const beside[] = {"../wherry", "../lib/wherry/wherry"};
    const char *env = getenv("WHERRY_KERNEL");
    char exe[PATH_MAX], *found = NULL;
    ssize_t n;

    if (env && *env)
        return access(env, R_OK) == 0 ? xstrdup(env) : NULL;
    n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    if (n < 0)
        return NULL;
    exe[n] = '\0';
    const char *dir = dirname(exe);
    for (size_t i = 0; i < ARRAY_LEN(beside) && !found; i++) {
        char *p = path_join(dir, beside[i]);
        if (access(p, R_OK) == 0)
            found = realpath(p, NULL);
        free(p);
    }
    return found;
}

char *kimage_linux(void)
{
    static const char *const patterns[] = {"/boot/vmlinuz-*-cloud-amd64", "/boot/vmlinuz-*"};
    char *best = NULL;

    for (size_t i = 0; i < ARRAY_LEN(patterns) && !best; i++) {
        glob_t g;
        if (glob(patterns[i], 0, NULL, &g) == 0) {
            for (size_t k = 0; k < g.gl_pathc; k++) {
                const char *p = g.gl_pathv[k];
                if (access(p, R_OK) == 0 && (!best || strverscmp(p, best) > 0)) {
                    free(best);
                    best = xstrdup(p);
                }
            }
            globfree(&g);
        }
    }
    return best;
}

char *kimage_modules(const char *version)
{
    static const char *const roots[] = {"/lib/modules", "/usr/lib/modules"};

    for (size_t i = 0; i < ARRAY_LEN(roots); i++) {
        char *dir = path_join(roots[i], version), *dep = path_join(dir, "modules.dep");
        bool there = access(dep, R_OK) == 0;
        free(dep);
        if (there)
            return dir;
        free(dir);
    }
    return NULL;
}

/* The release in a bzImage's header, or NULL if the bytes are no bzImage. */
static char *bzimage_version(const struct blob *b)
{
    const unsigned char *p = b->data;
    size_t at;

    if (b->size < SETUP_VERSION_AT + 2 || memcmp(p + SETUP_MAGIC_AT, "HdrS", 4) != 0)
        return NULL;
    at = p[SETUP_VERSION_AT] | p[SETUP_VERSION_AT + 1] << 8;
    at = at ? at + SETUP_BASE : b->size;
    if (at >= b->size)
        return xstrdup("");
    const char *s = (const char *)p + at;
    size_t n = 0;
    while (at + n < b->size && s[n] && s[n] != ' ' && n < 128)
        n++;
    return xstrndup(s, n);
}

static void identify(struct kimage *k)
{
    struct blob b;
    struct why w;
    struct elf_file elf;

    if (!blob_map(&b, k->path, &w))
        die("kernel image %s", w.text);
    k->version = bzimage_version(&b);
    if (k->version) {
        k->kind = KERNEL_LINUX;
    } else if (!elf_read(b.data, b.size, &elf, &w)) {
        die("kernel image %s is neither a bzImage nor an ELF file for this machine", k->path);
    } else {
        if (!elf.pvh)
            die("kernel image %s has no PVH entry (Xen ELF note 18), so no VMM can start it",
                k->path);
        k->kind = elf.linux_kernel ? KERNEL_LINUX : KERNEL_WHERRY;
        k->end = elf.phys_end;
        elf_free(&elf);
    }
    blob_free(&b);
}

void kimage_find(const char *spec, struct kimage *k)
{
    *k = (struct kimage){0};
    if (strcmp(spec, "wherry") == 0) {
        const char *env = getenv("WHERRY_KERNEL");
        k->path = kimage_wherry();
        if (!k->path && env && *env)
            die("there is no kernel image at WHERRY_KERNEL=%s", env);
        if (!k->path)
            die("there is no Wherry kernel image: build it with make, or set WHERRY_KERNEL=PATH");
    } else if (strcmp(spec, "linux") == 0) {
        k->path = kimage_linux();
        if (!k->path)
            die("there is no Linux kernel in /boot: apt-get install linux-image-cloud-amd64");
    } else {
        k->path = xstrdup(spec);
    }
    identify(k);
    char *symbols = xasprintf("%s.elf", k->path);
    if (k->kind == KERNEL_WHERRY && access(symbols, R_OK) == 0)
        k->symbols = symbols;
    else
        free(symbols);
}

void kimage_free(struct kimage *k)
{
    free(k->path);
    free(k->version);
    free(k->symbols);
    *k = (struct kimage){0};
}
