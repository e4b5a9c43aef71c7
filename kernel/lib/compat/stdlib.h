/*
 * For third-party code only (the decompressors): memory that may be large and is needed for a
 * short time, so it is taken page-wise.
 */
#pragma once

#include "mm/slab.h"

#define malloc(size) vmalloc(size)
#define free(p)      compat_free(p)
#define calloc(n, s) compat_calloc(n, s)

static inline void compat_free(void *p)
{
    if (p != NULL)
        vfree(p);
}

static inline void *compat_calloc(size_t n, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(n, size, &total))
        return NULL;
    void *p = vmalloc(total);
    if (p != NULL)
        memset(p, 0, total);
    return p;
}
