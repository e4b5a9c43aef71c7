/*
 * Looking up the kernel's symbols; see lib/ksyms.h. The table is the linker's and trusted as
 * little as costs nothing: an index beyond it gives "no name", since this runs during a panic.
 */
#include "lib/ksyms.h"

#include "lib/base.h"

struct header {
    uint32_t magic, nr_groups, nr_symbols, names_size;
    uint64_t base;
    uint8_t pair[KSYMS_CODES][2];
} __packed;

struct group {
    uint32_t offset, first, name;
} __packed;

/* Weak: the host's unit tests bring their own table. */
extern const uint8_t __ksyms_start[] __attribute__((weak)), __ksyms_end[] __attribute__((weak));
extern const char __text_end[] __attribute__((weak));

/* Writes what a code stands for. A code's parts are lower than itself, so the depth is limited by
 * the number of codes; a pending stack replaces recursion. */
static size_t expand(const struct header *h, uint8_t code, char *name, size_t n)
{
    uint8_t pending[KSYMS_CODES];
    unsigned depth = 0;

    pending[depth++] = code;
    while (depth > 0 && n < KSYMS_NAME_MAX) {
        uint8_t c = pending[--depth];
        if (c < KSYMS_FIRST_CODE) {
            name[n++] = (char)c;
            continue;
        }
        const uint8_t *p = h->pair[c - KSYMS_FIRST_CODE];
        if (p[0] >= c || p[1] >= c || depth + 2 > KSYMS_CODES)
            break;
        pending[depth++] = p[1];
        pending[depth++] = p[0];
    }
    return n;
}

const char *ksym_lookup_in(const uint8_t *table, size_t size, uint64_t pc, uint64_t *off,
                           char *name)
{
    const struct header *h = (const struct header *)table;

    if (size < sizeof(*h) || h->magic != KSYMS_MAGIC || pc < h->base || h->nr_symbols == 0)
        return NULL;
    uint64_t need = sizeof(*h) + h->nr_groups * (uint64_t)sizeof(struct group) +
                    h->nr_symbols * 2ull + h->names_size;
    if (need > size)
        return NULL;
    const struct group *groups = (const struct group *)(table + sizeof(*h));
    const uint8_t *offsets = (const uint8_t *)&groups[h->nr_groups];
    const uint8_t *names = offsets + h->nr_symbols * 2;

    /* The last group, then the last symbol in it, that starts at or before pc. */
    uint64_t rel = pc - h->base;
    uint32_t lo = 0, hi = h->nr_groups;
    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (groups[mid].offset <= rel)
            lo = mid;
        else
            hi = mid;
    }
    const struct group *g = &groups[lo];
    uint32_t end = lo + 1 < h->nr_groups ? groups[lo + 1].first : h->nr_symbols;
    uint32_t at = g->name, len = 0, code = 0;
    uint64_t start = 0;
    for (uint32_t i = g->first; i < end && i < h->nr_symbols && at < h->names_size; i++) {
        uint64_t sym = g->offset + (offsets[2 * i] | (uint64_t)offsets[2 * i + 1] << 8);
        if (sym > rel)
            break;
        start = sym;
        len = names[at];
        code = at + 1;
        at = code + len;
    }
    if (code == 0 || at > h->names_size)
        return NULL;
    size_t n = 0;
    for (uint32_t i = 0; i < len; i++)
        n = expand(h, names[code + i], name, n);
    name[n] = '\0';
    *off = rel - start;
    return name;
}

const char *ksym_lookup(uint64_t pc, uint64_t *off)
{
    static char name[KSYMS_NAME_MAX + 1];
    if (__ksyms_start == NULL || pc >= (uint64_t)__text_end)
        return NULL;
    return ksym_lookup_in(__ksyms_start, (size_t)(__ksyms_end - __ksyms_start), pc, off, name);
}
