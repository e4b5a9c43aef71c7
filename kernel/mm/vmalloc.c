/*
 * Kernel mappings made at run time: memory that need not be contiguous, kernel stacks
 * with a guard page, device registers. Areas are kept in a list sorted by address; the
 * gap before an area serves as its guard page. Few and long-lived, so first fit will do.
 */
#include "mm/slab.h"

#include "arch/x86_64/paging.h"
#include "lib/list.h"
#include "mm/frame.h"

struct area {
    struct list link;
    virt_t start;
    size_t size;
    bool device; /* pages are not ours to free */
    bool huge;   /* of 2 MiB pages */
};

#define HUGE_ORDER 9

static struct list areas = LIST_INIT(areas);

static struct area *area_reserve(size_t size, size_t align)
{
    struct area *a = kmalloc(sizeof(*a));
    virt_t at = KVMAP_BASE + align;
    struct list *after = &areas;

    if (!a)
        return NULL;
    list_for_each (o, &areas, struct area, link) {
        if (o->start >= at + size + PAGE_SIZE)
            break;
        at = ALIGN_UP(o->start + o->size + PAGE_SIZE, align);
        after = &o->link;
    }
    if (at + size > KVMAP_END) {
        kfree(a);
        return NULL;
    }
    *a = (struct area){.start = at, .size = size};
    list_insert_after(after, &a->link);
    return a;
}

static void area_release(struct area *a, size_t mapped)
{
    for (virt_t va = a->start; !a->device && va < a->start + mapped; va += PAGE_SIZE) {
        uint64_t *pte = pte_lookup(va, false, NULL);
        frame_put(*pte & PTE_ADDR);
    }
    kernel_unmap(a->start, mapped);
    list_remove(&a->link);
    kfree(a);
}

static void release_huge(struct area *a, size_t mapped)
{
    for (virt_t va = a->start; va < a->start + mapped; va += HUGE_SIZE) {
        uint64_t *pde = pde_lookup(va, false);

        frame_put(*pde & PTE_ADDR & ~(HUGE_SIZE - 1));
        *pde = 0;
    }
    tlb_flush_all();
    list_remove(&a->link);
    kfree(a);
}

void *vmalloc_huge(size_t size)
{
    struct area *a;

    size = ALIGN_UP(size, HUGE_SIZE);
    a = size && size < KVMAP_END - KVMAP_BASE ? area_reserve(size, HUGE_SIZE) : NULL;
    if (!a)
        return NULL;
    a->huge = true;
    for (size_t off = 0; off < size; off += HUGE_SIZE) {
        phys_t p = frame_alloc(HUGE_ORDER);
        uint64_t *pde = p ? pde_lookup(a->start + off, true) : NULL;

        if (!pde || *pde) { /* a table of small pages that were freed stays in the way */
            if (p)
                frame_put(p);
            release_huge(a, off);
            return NULL;
        }
        *pde = p | PTE_P | PTE_W | PTE_A | PTE_D | PTE_NX | PTE_G | PTE_HUGE;
    }
    return (void *)a->start;
}

void *vmalloc(size_t size)
{
    struct area *a;

    size = ALIGN_UP(size, PAGE_SIZE);
    a = size && size < KVMAP_END - KVMAP_BASE ? area_reserve(size, PAGE_SIZE) : NULL;
    if (!a)
        return NULL;
    for (size_t off = 0; off < size; off += PAGE_SIZE) {
        phys_t p = frame_alloc(0);
        uint64_t *pte = p ? pte_lookup(a->start + off, true, NULL) : NULL;

        if (!pte) {
            if (p)
                frame_put(p);
            area_release(a, off);
            return NULL;
        }
        *pte = p | PTE_P | PTE_W | PTE_A | PTE_D | PTE_NX | PTE_G;
    }
    return (void *)a->start;
}

void vfree(void *p)
{
    if (!p)
        return;
    list_for_each (a, &areas, struct area, link)
        if (a->start == (virt_t)p) {
            if (a->huge)
                release_huge(a, a->size);
            else
                area_release(a, a->size);
            return;
        }
    panic("vfree of %p, which is not allocated", p);
}

void *mmio_map(phys_t p, size_t size)
{
    phys_t base = ALIGN_DOWN(p, PAGE_SIZE);
    struct area *a;

    size = ALIGN_UP(p + size, PAGE_SIZE) - base;
    a = area_reserve(size, PAGE_SIZE);
    if (!a)
        return NULL;
    a->device = true;
    kernel_map(a->start, base, size,
               PTE_P | PTE_W | PTE_A | PTE_D | PTE_NX | PTE_G | PTE_PCD | PTE_PWT);
    return (void *)(a->start + (p - base));
}
