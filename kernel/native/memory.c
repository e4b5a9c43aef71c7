/*
 * Memory for a program in the image (include/wherry/app.h): from the heap, from pages, from 2 MiB
 * pages, by size. What is behind a pointer is told by its alignment and place: heap blocks carry
 * the block's start in front of them. And how much of it main()'s stack gets.
 */
#include "native/native.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/paging.h"
#include "mm/layout.h"
#include "mm/slab.h"

#include <wherry/app.h>

#define LINE 64u

/* Not in start.c, which uses it: the compiler would take this value for the only one. */
const size_t wherry_stack_size __attribute__((weak)) = 256 * KiB;

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

const void *native_direct(const void *p, size_t *len)
{
    virt_t va = (virt_t)p;
    uint64_t *pde, entry;
    size_t page = PAGE_SIZE;

    if (va < KVMAP_BASE || va >= KVMAP_END) { /* the heap's, or the image's */
        return phys_to_virt(virt_to_phys(p));
    }
    pde = pde_lookup(va, false);
    entry = *pde;
    if (entry & PTE_HUGE)
        page = HUGE_SIZE;
    else
        entry = *pte_lookup(va, false, NULL);
    *len = MIN(*len, page - va % page);
    return phys_to_virt((entry & PTE_ADDR & ~(page - 1)) + va % page);
}

/* Intel SDM vol. 2A, CPUID leaf 04H; AMD APM vol. 3, leaf 8000_001DH, which has the same fields,
 * and 8000_0006H for older ones and emulators: the third level in units of 512 KiB, the second in
 * KiB. */
size_t wherry_cache_size(void)
{
    uint32_t leaf = 4, r[4]; /* eax, ebx, ecx, edx */
    size_t most = 0;

    cpuid(0x80000000, 0, r);
    if (r[0] >= 0x80000006) {
        cpuid(0x80000006, 0, r);
        most = r[3] >> 18 ? (r[3] >> 18) * 512 * (size_t)KiB : (r[2] >> 16) * (size_t)KiB;
        cpuid(0x80000000, 0, r);
    }
    if (r[0] >= 0x8000001d) {
        cpuid(4, 0, r);
        if ((r[0] & 31) == 0)
            leaf = 0x8000001d;
    }
    for (unsigned i = 0; i < 16; i++) {
        size_t ways, parts, line;

        cpuid(leaf, i, r);
        if ((r[0] & 31) == 0) /* no more caches */
            break;
        ways = (r[1] >> 22) + 1;
        parts = (r[1] >> 12 & 0x3ff) + 1;
        line = (r[1] & 0xfff) + 1;
        most = MAX(most, ways * parts * line * ((size_t)r[2] + 1));
    }
    return most;
}
