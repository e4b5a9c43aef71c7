/*
 * Page-table operations on ranges; see mmu.h. A walk goes a 2 MiB slot at a time, so
 * that empty stretches cost one look each.
 */
#include "mm/mmu.h"

#include "mm/far/far.h"
#include "mm/frame.h"

#include <asm/errno.h>

#define FRAMES_PER_HUGE (HUGE_SIZE / PAGE_SIZE)
/* More single invalidations than this cost more than a whole flush and its refills. */
#define FLUSH_ALL_ABOVE 33

phys_t mmu_zero;
struct mm_stats mm_stats;

struct flush {
    unsigned pages;
};

static void flush_page(struct flush *f, virt_t va)
{
    if (++f->pages < FLUSH_ALL_ABOVE)
        tlb_flush_page(va);
}

static void flush_end(struct flush *f)
{
    if (f->pages >= FLUSH_ALL_ABOVE)
        tlb_flush_all();
}

void mmu_init(void)
{
    mmu_zero = frame_alloc_zero();
    if (!mmu_zero)
        panic("out of memory for the zero page");
}

void mmu_account(uint64_t pte, int64_t pages)
{
    if (pte & PTE_ANON)
        mm_stats.rss_anon += pages;
    else if ((pte & PTE_ADDR) != mmu_zero)
        mm_stats.rss_file += pages;
    if (pte & PTE_HUGE)
        mm_stats.huge += pages;
}

static void zap_entry(uint64_t pte, int64_t pages)
{
    if (unlikely(far_on)) {
        if (pte_is_far(pte)) {
            far_zap(pte);
            return;
        }
        if (pte & PTE_ANON && !(pte & PTE_HUGE))
            far_forget(pte & PTE_ADDR);
    }
    mmu_account(pte, -pages);
    if ((pte & PTE_ADDR) != mmu_zero)
        frame_put(pte & PTE_ADDR);
}

/* The end of va's 2 MiB slot, cut to end. */
static virt_t slot_end(virt_t va, virt_t end)
{
    return MIN(ALIGN_DOWN(va, HUGE_SIZE) + HUGE_SIZE, end);
}

static bool is_huge(uint64_t pde)
{
    return pde & PTE_HUGE && pde & (PTE_P | PTE_NONE);
}

int mmu_split_huge(uint64_t *pde, virt_t va)
{
    phys_t base = *pde & PTE_ADDR;

    if (pde_split(pde, va) < 0)
        return -ENOMEM;
    frame_split(base);
    mm_stats.huge -= FRAMES_PER_HUGE;
    return 0;
}

int mmu_join_huge(uint64_t *pde, virt_t va)
{
    uint64_t *pte = pte_lookup(va, false, NULL), rights = *pte & ~PTE_ADDR;
    phys_t base = frame_alloc(HUGE_SHIFT - PAGE_SHIFT);

    if (!base)
        return -ENOMEM;
    for (size_t i = 0; i < FRAMES_PER_HUGE; i++) {
        memcpy(phys_to_virt(base + i * PAGE_SIZE), phys_to_virt(pte[i] & PTE_ADDR), PAGE_SIZE);
        zap_entry(pte[i], 1);
    }
    pde_free_table(pde);
    *pde = base | rights | PTE_A | PTE_D | PTE_HUGE;
    mmu_account(*pde, FRAMES_PER_HUGE);
    tlb_flush_all();
    return 0;
}

/* Is the slot's page there as one, while only part of it is meant? Then it is split. */
static int split_partial(uint64_t *pde, virt_t va, virt_t stop)
{
    return is_huge(*pde) && stop - va < HUGE_SIZE ? mmu_split_huge(pde, va) : 0;
}

/* The same for a page of which [va, stop) goes away: if memory is out, a frame that goes anyway
 * becomes the table. Giving memory back must not fail for want of memory. */
static void split_to_zap(uint64_t *pde, virt_t va, virt_t stop)
{
    phys_t base = *pde & PTE_ADDR, table = base + (va & ~HUGE_MASK);
    uint64_t *pte;

    if (split_partial(pde, va, stop) == 0)
        return;
    frame_split(base);
    mm_stats.huge -= FRAMES_PER_HUGE;
    pde_split_into(pde, va, table);
    pte = pte_lookup(va, false, NULL);
    mmu_account(*pte, -1);
    *pte = 0;
    tlb_flush_page(va);
}

int mmu_split(virt_t va)
{
    uint64_t *pde = pde_lookup(va, false);

    return pde && va & ~HUGE_MASK ? split_partial(pde, va, slot_end(va, UINT64_MAX)) : 0;
}

static bool table_is_empty(uint64_t pde)
{
    const uint64_t *t = phys_to_virt(pde & PTE_ADDR);

    for (unsigned i = 0; i < FRAMES_PER_HUGE; i++)
        if (t[i])
            return false;
    return true;
}

void mmu_zap(virt_t start, virt_t end)
{
    struct flush f = {0};

    for (virt_t va = start, stop; va < end; va = stop) {
        uint64_t *pde = pde_lookup(va, false), *pte;

        stop = slot_end(va, end);
        if (!pde || !*pde)
            continue;
        split_to_zap(pde, va, stop);
        if (is_huge(*pde)) {
            zap_entry(*pde, FRAMES_PER_HUGE);
            *pde = 0;
            flush_page(&f, va);
            continue;
        }
        pte = pte_lookup(va, false, NULL);
        for (virt_t at = va; at < stop; at += PAGE_SIZE, pte++) {
            if (!*pte)
                continue;
            zap_entry(*pte, 1);
            *pte = 0;
            flush_page(&f, at);
        }
        if (table_is_empty(*pde)) {
            /* The walker may have cached the table's address (SDM vol. 3 §4.10.2.2): the flush of
             * any page below it drops that. */
            pde_free_table(pde);
            flush_page(&f, va);
        }
    }
    flush_end(&f);
}

static uint64_t with_prot(uint64_t pte, unsigned prot)
{
    uint64_t rights = mmu_rights(prot) & ~(PTE_A | PTE_D);
    uint64_t keep = pte & (PTE_ADDR | PTE_COW | PTE_ANON | PTE_HUGE | PTE_A | PTE_D);

    if (unlikely(pte_is_far(pte))) /* it gets its rights when it comes */
        return pte;
    /* A page that is not to be written in place stays so, whatever the mapping allows. */
    if (pte & PTE_COW)
        rights &= ~PTE_W;
    return keep | rights;
}

void mmu_protect(virt_t start, virt_t end, unsigned prot)
{
    struct flush f = {0};

    for (virt_t va = start, stop; va < end; va = stop) {
        uint64_t *pde = pde_lookup(va, false), *pte;

        stop = slot_end(va, end);
        if (!pde || !*pde)
            continue;
        if (is_huge(*pde)) {
            assert(stop - va == HUGE_SIZE); /* mmu_split() came before */
            *pde = with_prot(*pde, prot);
            flush_page(&f, va);
            continue;
        }
        pte = pte_lookup(va, false, NULL);
        for (virt_t at = va; at < stop; at += PAGE_SIZE, pte++)
            if (*pte) {
                *pte = with_prot(*pte, prot);
                flush_page(&f, at);
            }
    }
    flush_end(&f);
}

/* Moves a 2 MiB page as one where both sides are aligned. */
static bool move_huge(uint64_t *src, virt_t from, virt_t to, size_t len)
{
    uint64_t *dst;

    if ((from | to) & ~HUGE_MASK || len < HUGE_SIZE)
        return false;
    dst = pde_lookup(to, true);
    if (!dst || *dst)
        return false;
    *dst = *src;
    *src = 0;
    return true;
}

int mmu_move(virt_t from, virt_t to, size_t len)
{
    struct flush f = {0};
    int r = 0;

    for (size_t off = 0; off < len; off += PAGE_SIZE) {
        uint64_t *huge, *src = pte_lookup(from + off, false, &huge), *dst;

        if (huge) {
            if (move_huge(huge, from + off, to + off, len - off)) {
                flush_page(&f, from + off);
                off += HUGE_SIZE - PAGE_SIZE;
                continue;
            }
            r = split_partial(huge, from + off, from + off + PAGE_SIZE);
            if (r < 0)
                break;
            src = pte_lookup(from + off, false, NULL);
        }
        if (!src || !*src)
            continue;
        dst = pte_lookup(to + off, true, NULL);
        if (!dst) {
            r = -ENOMEM;
            break;
        }
        *dst = *src;
        *src = 0;
        if (unlikely(pte_is_far(*dst)))
            far_moved(*dst, to + off);
        flush_page(&f, from + off);
    }
    flush_end(&f);
    return r;
}

uint64_t mmu_resident(virt_t start, virt_t end, uint64_t *away)
{
    uint64_t n = 0, far = 0;

    for (virt_t va = start, stop; va < end; va = stop) {
        uint64_t *pde = pde_lookup(va, false), *pte;

        stop = slot_end(va, end);
        if (!pde || !*pde)
            continue;
        if (is_huge(*pde)) {
            n += (stop - va) >> PAGE_SHIFT;
            continue;
        }
        pte = pte_lookup(va, false, NULL);
        for (virt_t at = va; at < stop; at += PAGE_SIZE, pte++) {
            n += *pte && !pte_is_far(*pte) && (*pte & PTE_ADDR) != mmu_zero;
            far += pte_is_far(*pte);
        }
    }
    if (away != NULL)
        *away = far;
    return n;
}
