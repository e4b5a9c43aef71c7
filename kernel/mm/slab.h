/*
 * The kernel's heap: size classes up to half a page from slabs, larger sizes as whole
 * frames. Returns direct-map memory (physically contiguous). Called by all of the
 * kernel; never blocks; any context. NULL when memory is exhausted.
 */
#pragma once

#include "lib/base.h"

void *kmalloc(size_t size);
void *kzalloc(size_t size);
/* Keeps min(old, new) bytes; on failure the old block stays and NULL is returned. */
void *krealloc(void *p, size_t size);
void kfree(void *p);
char *kstrdup(const char *s);

/* Large memory that need not be physically contiguous (mm/vmalloc.c); rounded up to pages. */
void *vmalloc(size_t size);
/* The same of 2 MiB pages; rounded up to them. NULL also where only small ones are left. */
void *vmalloc_huge(size_t size);
void vfree(void *p);
/* Maps device registers uncached; never unmapped. NULL when out of memory. */
void *mmio_map(phys_t p, size_t size);

struct slab_stats {
    uint64_t bytes_used, bytes_reserved; /* slabs only */
    uint64_t large_bytes;
};
struct slab_stats slab_stats(void);
