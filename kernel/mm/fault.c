/*
 * Demand paging: what a fault in the application's half, or a copy to it, makes present.
 * The page comes from the mapping's object (vma_ops.page) or is anonymous; private
 * pages of objects are shared until written. May sleep (in vma_ops.page), so the
 * mapping is looked up again after.
 */
#include "mm/vma.h"

#include "fs/file.h"
#include "mm/far/far.h"
#include "mm/frame.h"
#include "mm/mmu.h"

#include <asm/errno.h>

bool mm_huge_disabled;

/* Huge pages are given by default only while this share of memory is free: 1/n. */
#define HUGE_FREE_SHARE 4
/* And only where one is a small part of all memory: most of it may never be touched. */
#define HUGE_MIN_TOTAL (128 * MiB / PAGE_SIZE)

/* What a fault on a file looks at; the larger, the more is mapped that nobody uses. */
#define AROUND_SIZE (32 * PAGE_SIZE)

static int set_entry(virt_t va, uint64_t *pte, uint64_t entry)
{
    uint64_t old = *pte;

    *pte = entry;
    mmu_account(entry, 1);
    if (old) {
        mmu_account(old, -1);
        if (unlikely(far_on) && old & PTE_ANON)
            far_forget(old & PTE_ADDR);
        if ((old & PTE_ADDR) != mmu_zero)
            frame_put(old & PTE_ADDR);
        tlb_flush_page(va);
    }
    return 0;
}

/* Maps the whole 2 MiB slot at once where that is allowed and sensible. */
static bool fault_huge(struct vma *v, virt_t va)
{
    virt_t slot = ALIGN_DOWN(va, HUGE_SIZE);
    struct frame_stats fs;
    uint64_t *pde;
    phys_t p;

    if (v->flags & (VMA_NOHUGE | VMA_STACK) || slot < v->start || slot + HUGE_SIZE > v->end)
        return false;
    if (mm_huge_disabled && !(v->flags & VMA_HUGE))
        return false;
    fs = frame_stats();
    if (!(v->flags & VMA_HUGE) &&
        (fs.total < HUGE_MIN_TOTAL || fs.free < fs.total / HUGE_FREE_SHARE + HUGE_SIZE / PAGE_SIZE))
        return false;
    if (unlikely(far_on) && !far_room(HUGE_SIZE / PAGE_SIZE))
        return false;
    pde = pde_lookup(va, true);
    if (!pde || *pde)
        return false;
    p = frame_alloc(HUGE_SHIFT - PAGE_SHIFT);
    if (!p)
        return false;
    memset(phys_to_virt(p), 0, HUGE_SIZE);
    *pde = p | mmu_rights(v->prot) | PTE_HUGE | PTE_ANON;
    mmu_account(*pde, HUGE_SIZE / PAGE_SIZE);
    mm_stats.faults_zero++;
    return true;
}

/* Memory for a page that the application has not had before; 0: there is none. */
static phys_t new_page(void)
{
    return unlikely(far_on) && !far_may_grow(false) ? 0 : frame_alloc(0);
}

static int fault_anonymous(struct vma *v, virt_t va, bool write)
{
    uint64_t *pte, *huge;
    phys_t p;

    if (write && v->prot & PROT_WRITE && fault_huge(v, va))
        return 0;
    pte = pte_lookup(va, true, &huge);
    if (huge)
        return 0; /* somebody was faster */
    if (!pte)
        return -ENOMEM;
    if (*pte & PTE_P && (!write || *pte & PTE_W))
        return 0;
    if (!write) {
        set_entry(va, pte, mmu_zero | (mmu_rights(v->prot) & ~PTE_W) | PTE_COW);
        mm_stats.faults_zero++;
        return 0;
    }
    p = new_page();
    if (!p)
        return -ENOMEM;
    memset(phys_to_virt(p), 0, PAGE_SIZE);
    mm_stats.faults_zero++;
    return set_entry(va, pte, p | mmu_rights(v->prot) | PTE_ANON);
}

/* Gives the application its own copy of a page, at va; the reference to the page is ours. */
static int map_copy(struct vma *v, virt_t va, uint64_t *pte, phys_t page)
{
    phys_t p = new_page();

    if (p)
        memcpy(phys_to_virt(p), phys_to_virt(page), PAGE_SIZE);
    frame_put(page);
    if (!p)
        return -ENOMEM;
    mm_stats.faults_cow++;
    return set_entry(va, pte, p | mmu_rights(v->prot) | PTE_ANON);
}

/* The same for the page that is mapped there now. */
static int copy_on_write(struct vma *v, virt_t va, uint64_t *pte)
{
    phys_t old = *pte & PTE_ADDR;

    if (*pte & PTE_ANON && frame_of(old)->refs == 1) {
        *pte = old | mmu_rights(v->prot) | PTE_ANON;
        tlb_flush_page(va);
        return 0;
    }
    frame_get(old); /* memory for the copy may come from pages like this one (mm/reclaim.c) */
    return map_copy(v, va, pte, old);
}

/*
 * Maps what the object holds in memory already around va too: an entry costs a tenth of a fault.
 * They are not marked as used. Not for what may be written: a copy of a page that is mapped costs a
 * TLB invalidation more than one of a page that is not.
 */
static void map_around(struct vma *v, virt_t va)
{
    virt_t from = MAX(ALIGN_DOWN(va, AROUND_SIZE), v->start);
    virt_t end = MIN(ALIGN_DOWN(va, AROUND_SIZE) + AROUND_SIZE, v->end);
    uint64_t rights = (mmu_rights(v->prot) & ~(PTE_W | PTE_A)) | PTE_COW;
    uint64_t *pte = pte_lookup(from, false, NULL); /* one table: a window is smaller */

    for (; from < end; from += PAGE_SIZE, pte++) {
        phys_t p;
        if (*pte)
            continue;
        p = v->ops->page_ready(v, v->pgoff + ((from - v->start) >> PAGE_SHIFT));
        if (!p)
            continue;
        *pte = p | rights;
        mmu_account(*pte, 1);
    }
}

/* Is page pgoff of the file still mapped at va, in the same way? */
static bool same_mapping(const struct vma *v, virt_t va, const struct file *file, uint64_t pgoff,
                         bool shared)
{
    return v && v->file == file && v->pgoff + ((va - v->start) >> PAGE_SHIFT) == pgoff &&
           ((v->flags & MAP_TYPE) != MAP_PRIVATE) == shared;
}

static int fault_file(struct vma *v, virt_t va, bool write)
{
    const struct file *file = v->file;
    bool shared = (v->flags & MAP_TYPE) != MAP_PRIVATE;
    uint64_t pgoff = v->pgoff + ((va - v->start) >> PAGE_SHIFT);
    uint64_t rights, *pte;
    int err = -EFAULT;
    phys_t p;

    pte = pte_lookup(va, false, NULL);
    if (pte && *pte & PTE_P && write && !shared)
        return copy_on_write(v, va, pte);
    p = v->ops->page(v, pgoff, write && shared, &err);
    if (!p)
        return err == -ENOMEM ? -ENOMEM : -EIO;
    v = vma_find(va); /* page() may have slept */
    if (!same_mapping(v, va, file, pgoff, shared)) {
        frame_put(p);
        return 0; /* the access is made again, and meets what is there now */
    }
    pte = pte_lookup(va, true, NULL);
    if (!pte || (*pte & PTE_P && (!write || *pte & PTE_W))) {
        frame_put(p);
        return pte ? 0 : -ENOMEM;
    }
    rights = mmu_rights(v->prot);
    if (shared)
        return set_entry(va, pte, p | (write ? rights : rights & ~PTE_W));
    if (write)
        return map_copy(v, va, pte, p);
    set_entry(va, pte, p | (rights & ~PTE_W) | PTE_COW);
    if (v->ops->page_ready && !(v->prot & PROT_WRITE))
        map_around(v, va);
    return 0;
}

int vma_fault(virt_t addr, bool write, bool exec)
{
    virt_t va = ALIGN_DOWN(addr, PAGE_SIZE);
    struct vma *v;

    mm_stats.faults_minor++;
    if (unlikely(far_on))
        far_throttle(); /* it may sleep: nothing has been looked at yet */
    v = vma_find(va);
    if (unlikely(!v))
        return -EFAULT;
    if (unlikely((write && !(v->prot & PROT_WRITE)) || (exec && !(v->prot & PROT_EXEC)) ||
                 !(v->prot & (PROT_READ | PROT_WRITE | PROT_EXEC))))
        return -EACCES;
    if (unlikely(far_on)) {
        const uint64_t *pte = pte_lookup(va, false, NULL);

        if (pte && pte_is_far(*pte))
            return far_fault(v, addr);
    }
    if (v->ops)
        return fault_file(v, va, write);
    return fault_anonymous(v, va, write);
}

int vma_populate(virt_t addr, size_t len, bool write)
{
    virt_t end = addr + len;

    for (virt_t va = ALIGN_DOWN(addr, PAGE_SIZE); va < end; va += PAGE_SIZE) {
        uint64_t *huge, *pte = pte_lookup(va, false, &huge);
        int r;

        if (huge || (pte && *pte & PTE_P && (!write || *pte & PTE_W)))
            continue;
        if (unlikely(far_on) && write && !(pte && pte_is_far(*pte))) {
            far_throttle();
            if (!far_may_grow(true))
                return -ENOMEM;
        }
        r = vma_fault(va, write, false);
        if (r < 0)
            return r;
    }
    return 0;
}

int vma_poke(virt_t addr, const void *data, size_t n)
{
    virt_t va = ALIGN_DOWN(addr, PAGE_SIZE);
    int r = vma_populate(va, PAGE_SIZE, false);
    struct vma *v = vma_find(va);
    uint64_t *pte;

    assert(addr + n <= va + PAGE_SIZE);
    if (r < 0)
        return r;
    pte = pte_lookup(va, false, NULL); /* NULL: part of a 2 MiB page, which no file's is */
    if (!v || (v->flags & MAP_TYPE) != MAP_PRIVATE || !pte || !(*pte & PTE_P))
        return -EFAULT;
    r = copy_on_write(v, va, pte);
    if (r == 0)
        memcpy((uint8_t *)phys_to_virt(*pte & PTE_ADDR) + (addr - va), data, n);
    return r;
}
