/*
 * Pages of 2 MiB that were split for some of their pages to leave, or could not be had when there
 * was no room, are made again when all 512 are here, are used, and there is room to spare: a place
 * is looked at now and then, by the poller. Never sleeps.
 */
#include "mm/far/internal.h"
#include "mm/frame.h"

#define FRAMES_PER_HUGE (HUGE_SIZE / PAGE_SIZE)
/* A look takes a microsecond or two, a copy half a millisecond. */
#define PERIOD_NS 5000000u
/* A page is wanted as one if so many of the small ones were used since the clock came by last. */
#define USED_MIN (FRAMES_PER_HUGE / 2)

static virt_t hand;
static uint64_t due;

/* Can the small pages below pde, of v, be one, and is it of use? */
static bool is_worth(const struct vma *v, const uint64_t *pte)
{
    uint64_t rights = (mmu_rights(v->prot) | PTE_ANON) & ~(PTE_A | PTE_D);
    size_t used = 0;

    for (size_t i = 0; i < FRAMES_PER_HUGE; i++) {
        phys_t frame = pte[i] & PTE_ADDR;

        if ((pte[i] & ~(PTE_ADDR | PTE_A | PTE_D)) != rights || frame_of(frame)->refs != 1 ||
            *far_word(frame) & SLOT_WRITING)
            return false;
        used += !!(pte[i] & PTE_A);
    }
    return used >= USED_MIN;
}

/* The next place where a mapping may have one; NULL: there is none above. */
static struct vma *next_place(void)
{
    struct vma *v;

    while ((v = vma_find_above(hand)) != NULL) {
        hand = ALIGN_UP(MAX(hand, v->start), HUGE_SIZE);
        if (!v->file && !(v->flags & (VMA_NOHUGE | VMA_STACK | VMA_KERNEL)) &&
            v->prot & PROT_READ && hand + HUGE_SIZE <= v->end)
            return v;
        hand = v->end;
    }
    return NULL;
}

void far_join(uint64_t now)
{
    struct vma *v;
    uint64_t *pde, *pte;

    if (now < due)
        return;
    due = now + PERIOD_NS;
    if (!far_room(FRAMES_PER_HUGE))
        return;
    v = next_place();
    if (!v) {
        hand = 0;
        return;
    }
    pde = pde_lookup(hand, false);
    pte = pde && *pde && !(*pde & PTE_HUGE) ? pte_lookup(hand, false, NULL) : NULL;
    if (pte && (!mm_huge_disabled || v->flags & VMA_HUGE) && is_worth(v, pte) &&
        mmu_join_huge(pde, hand) == 0)
        far_stats.joined++;
    hand += HUGE_SIZE;
}
