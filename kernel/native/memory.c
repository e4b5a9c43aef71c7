/*
 * Memory for a program in the image (include/wherry/app.h): from the heap, from pages, from 2 MiB
 * pages, by size. What is behind a pointer is told by its alignment and place: heap blocks carry
 * the block's start in front of them.
 */
#include "mm/layout.h"
#include "mm/slab.h"

#include <wherry/app.h>

#define LINE 64u

void *wherry_alloc(size_t size)
{
    void *p = NULL;

    if (size >= PAGE_SIZE) {
        if (size >= HUGE_SIZE)
            p = vmalloc_huge(size);
        if (!p)
            p = vmalloc(size);
        if (p)
            memset(p, 0, size);
        return p;
    }
    char *block = kzalloc(size + 2 * LINE);
    if (!block)
        return NULL;
    char *at = (char *)ALIGN_UP((uintptr_t)block + sizeof(void *), (uintptr_t)LINE);
    ((void **)at)[-1] = block;
    return at;
}

void wherry_free(void *p)
{
    if (!p)
        return;
    if ((uintptr_t)p % PAGE_SIZE == 0 && (uintptr_t)p >= KVMAP_BASE && (uintptr_t)p < KVMAP_END)
        vfree(p);
    else
        kfree(((void **)p)[-1]);
}
