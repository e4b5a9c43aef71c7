/*
 * Takes pages of files that could be read again (FRAME_CLEAN) out of the application's page
 * tables, those first that were not used since the last look: the second-chance clock over all
 * mappings, by the accessed bit (SDM vol. 3 §4.8). Called when memory has run out, by whoever owns
 * the pages (fs/store.c), out of any allocation; so it allocates nothing, never sleeps, and leaves
 * tables and mappings in place. Whoever holds a page-table entry across an allocation looks at it
 * again afterwards, and whoever uses a frame that only an entry refers to takes a reference.
 */
#include "mm/frame.h"
#include "mm/mmu.h"

/* Where the clock's hand stands. */
static virt_t hand;

/* A page that is present, not the application's own, and clean? */
static bool is_clean_file_page(uint64_t pte)
{
    const struct frame *f;

    if (!(pte & PTE_P) || pte & PTE_ANON || (pte & PTE_ADDR) == mmu_zero)
        return false;
    f = frame_of(pte & PTE_ADDR);
    return f && f->flags & FRAME_CLEAN;
}

/* Goes over [hand, end) until max pages have been taken out. */
static uint64_t sweep(virt_t end, uint64_t max)
{
    uint64_t taken = 0;

    while (hand < end && taken < max) {
        uint64_t *pte = pte_lookup(hand, false, NULL), entry;

        if (!pte) {
            hand = ALIGN_DOWN(hand, HUGE_SIZE) + HUGE_SIZE;
            continue;
        }
        entry = *pte;
        if (is_clean_file_page(entry)) {
            if (entry & PTE_A) {
                *pte = entry & ~PTE_A;
            } else {
                *pte = 0;
                mmu_account(entry, -1);
                frame_put(entry & PTE_ADDR);
                taken++;
            }
            tlb_flush_page(hand);
        }
        hand += PAGE_SIZE;
    }
    return taken;
}

uint64_t vma_unmap_clean(uint64_t max)
{
    uint64_t taken = 0;

    /* Once round for the pages that were used to lose their mark, once more to the start. */
    for (unsigned rounds = 0; rounds < 3 && taken < max;) {
        struct vma *v = vma_find_above(hand);

        if (!v) {
            hand = 0;
            rounds++;
            continue;
        }
        hand = MAX(hand, v->start);
        if (v->file && !(v->flags & (VMA_LOCKED | VMA_KERNEL)))
            taken += sweep(v->end, max - taken);
        else
            hand = v->end;
    }
    return taken;
}
