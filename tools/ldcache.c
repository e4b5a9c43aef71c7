/* See ldcache.h. */
#define _GNU_SOURCE
#include "ldcache.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC               "glibc-ld.so.cache1.1" /* magic and version, no NUL */
#define OLD_MAGIC           "ld.so-1.7.0"          /* an old-format cache may precede the new one */
#define LITTLE_ENDIAN_CACHE 2
#define LIB_X86_64          0x0303 /* FLAG_ELF_LIBC6 | FLAG_X8664_LIB64 */

struct header {
    char magic[20];
    uint32_t nr_libs;
    uint32_t strings_size;
    uint8_t flags;
    uint8_t padding[3];
    uint32_t extensions;
    uint32_t unused[3];
};

struct entry {
    int32_t flags;
    uint32_t name, path; /* offsets from the header */
    uint32_t os_version;
    uint64_t hwcap;
};

struct old_header {
    char magic[12];
    uint32_t nr_libs;
};
#define OLD_ENTRY_SIZE 12

static const char *string_at(const char *base, size_t size, uint32_t offset)
{
    return offset < size && memchr(base + offset, '\0', size - offset) ? base + offset : NULL;
}

const char *ldcache_find(const void *image, size_t size, const char *name)
{
    const char *base = image;
    struct header h;
    struct old_header old;

    if (size >= sizeof(old) && memcmp(base, OLD_MAGIC, strlen(OLD_MAGIC)) == 0) {
        memcpy(&old, base, sizeof(old));
        uint64_t skip = (sizeof(old) + (uint64_t)old.nr_libs * OLD_ENTRY_SIZE + 7) & ~7ull;
        if (skip > size)
            return NULL;
        base += skip;
        size -= skip;
    }
    if (size < sizeof(h) || memcmp(base, MAGIC, sizeof(h.magic)) != 0)
        return NULL;
    memcpy(&h, base, sizeof(h));
    if (h.nr_libs > (size - sizeof(h)) / sizeof(struct entry))
        return NULL;
    for (uint32_t i = 0; i < h.nr_libs; i++) {
        struct entry e;
        memcpy(&e, base + sizeof(h) + i * sizeof(e), sizeof(e));
        if (e.flags != LIB_X86_64 || e.hwcap != 0)
            continue;
        const char *n = string_at(base, size, e.name), *p = string_at(base, size, e.path);
        if (n && p && strcmp(n, name) == 0)
            return p;
    }
    return NULL;
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The loader searches by halves in this order: runs of digits compare as numbers and sort after
 * anything else, and the table is descending. */
static int loader_compare(const char *a, const char *b)
{
    while (*a) {
        if (digit(*a) != digit(*b))
            return digit(*a) ? 1 : -1;
        if (digit(*a)) {
            unsigned long x = strtoul(a, (char **)&a, 10), y = strtoul(b, (char **)&b, 10);
            if (x != y)
                return x < y ? -1 : 1;
        } else if (*a != *b) {
            break;
        } else {
            a++;
            b++;
        }
    }
    return (unsigned char)*a - (unsigned char)*b;
}

struct pair {
    const char *name, *path;
};

static int descending(const void *a, const void *b)
{
    return -loader_compare(((const struct pair *)a)->name, ((const struct pair *)b)->name);
}

void ldcache_build(const struct words *names, const struct words *paths, struct strbuf *out)
{
    struct header h = {.nr_libs = names->n, .flags = LITTLE_ENDIAN_CACHE};
    struct pair *pairs = xcalloc(names->n, sizeof(*pairs));
    uint32_t at = sizeof(h) + names->n * sizeof(struct entry);

    for (size_t i = 0; i < names->n; i++) {
        pairs[i] = (struct pair){names->v[i], paths->v[i]};
        h.strings_size += strlen(names->v[i]) + strlen(paths->v[i]) + 2;
    }
    qsort(pairs, names->n, sizeof(*pairs), descending);
    memcpy(h.magic, MAGIC, sizeof(h.magic));
    sb_add(out, &h, sizeof(h));
    for (size_t i = 0; i < names->n; i++) {
        struct entry e = {.flags = LIB_X86_64, .name = at};
        e.path = at + strlen(pairs[i].name) + 1;
        at = e.path + strlen(pairs[i].path) + 1;
        sb_add(out, &e, sizeof(e));
    }
    for (size_t i = 0; i < names->n; i++) {
        sb_add(out, pairs[i].name, strlen(pairs[i].name) + 1);
        sb_add(out, pairs[i].path, strlen(pairs[i].path) + 1);
    }
    free(pairs);
}
