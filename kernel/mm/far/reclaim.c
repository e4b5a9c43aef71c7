/*
 * Which pages leave: a second-chance clock over the application's address space by the accessed bit
 * (SDM vol. 3 §4.8; Corbató 1968). It starts when fewer pages than a low watermark are left below
 * the limit and stops at a high one. A page that was changed is sent first and leaves when that has
 * been acknowledged, unless it was touched meanwhile. Called after faults, while their pages are
 * under way, and by the poller. Never sleeps.
 */
#include "mm/far/internal.h"
#include "mm/frame.h"
#include "sched/clock.h"

#include <linux/mman.h>

/* Entries that one call looks at, at most: it stands between an event and its handler. */
#define SCAN_MAX 2048u
/* The same when all slots are taken, and few pages can leave: they are looked for all the time. */
#define SCAN_FULL 64u
/* Below the limit: 1/HIGH_SHARE of it is kept free, within bounds; of a small limit no more than
 * 1/HIGH_SMALL, as half of 128 pages would be missed more than it helps. */
#define HIGH_SHARE 16u
#define HIGH_SMALL 8u
#define HIGH_MIN   64u
#define HIGH_MAX   2048u
/* A write that takes so long holds up nobody who can do without. */
#define STUCK_NS (2 * NSEC_PER_MSEC)
/* This share of memory is for others than the application: more pages leave when less is free. */
#define RESERVE_SHARE 32u
/* Fewer pages would not do: one instruction may touch several, and all must be here at once, with
 * those that other threads are about to use. */
#define LIMIT_MIN 128u

static uint64_t limit = UINT64_MAX;
static bool limit_share; /* it is in thousandths */
static bool reclaiming;  /* between the watermarks, on the way down */
static bool clean_only;  /* copies do not get away: what needs none can leave */
static virt_t hand;      /* where the clock stands */

uint64_t far_limit(void)
{
    uint64_t n = limit;

    if (limit_share)
        n = (mm_stats.rss_anon + far_stats.remote) * limit / 1000;
    return MAX(n, (uint64_t)LIMIT_MIN);
}

static uint64_t used(void)
{
    return mm_stats.rss_anon + far_reading;
}

static uint64_t high(uint64_t lim)
{
    uint64_t least = MIN(lim / HIGH_SMALL, (uint64_t)HIGH_MIN);

    return MIN(MAX(lim / HIGH_SHARE, least), (uint64_t)HIGH_MAX);
}

void far_set_limit(uint64_t n, bool share)
{
    limit_share = share && n < 1000;
    limit = share && n >= 1000 ? UINT64_MAX : n; /* all may stay: no watermark below them */
}

/* How far a value is above another one; 0: it is not. */
static uint64_t above(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* Pages too many: above the limit, or that other users of memory will want. */
static uint64_t excess(void)
{
    struct frame_stats fs = frame_stats();
    uint64_t lim = far_limit(), reserve = fs.total / RESERVE_SHARE;

    if (!reclaiming) /* the low watermark */
        return MAX(above(used() + high(lim) / 2, lim), above(reserve / 2, fs.free));
    return MAX(above(used() + high(lim), lim), above(reserve, fs.free));
}

bool far_room(uint64_t pages)
{
    struct frame_stats fs = frame_stats();
    uint64_t lim = far_limit();

    return used() + pages + high(lim) <= lim && fs.free > pages + fs.total / RESERVE_SHARE;
}

unsigned far_prefetch_room(void)
{
    uint64_t lim = far_limit(), u = used();

    return u < lim ? (unsigned)MIN(lim - u, (uint64_t)HIGH_MAX) : 0;
}

/* When all slots are taken, only pages that have one can leave: not worth a search for a few. */
#define SEARCH_MIN 32u

static bool can_leave(void)
{
    struct far_space s = far_space();

    return s.used < s.slots || s.used - far_stats.remote >= SEARCH_MIN;
}

bool far_is_tight(void)
{
    return excess() > 0 && can_leave();
}

static bool all_zero(const void *page)
{
    const uint64_t *p = page;

    for (unsigned i = 0; i < PAGE_SIZE / sizeof(*p); i++)
        if (p[i] != 0)
            return false;
    return true;
}

/* Not used lately, and changed: a copy is sent, or, if it is all zero, it is forgotten. Pages that
 * will be gone soon, 1 or 0; -1: no more can be sent now. */
static int clean(virt_t va, uint64_t *pte)
{
    phys_t frame = *pte & PTE_ADDR;
    uint32_t *word = far_word(frame);
    uint64_t entry = *pte;

    if (*word & SLOT_WRITING)
        return 0;
    /* Of a file's private page nothing would be the file's again. */
    if (all_zero(phys_to_virt(frame)) && vma_find(va)->file == NULL) {
        *pte = 0;
        tlb_flush_page(va);
        mmu_account(entry, -1);
        far_forget(frame);
        frame_put(frame);
        far_stats.zero++;
        far_stats.evicted++;
        return 1;
    }
    if ((*word & SLOT_MASK) == 0) {
        uint32_t slot = far_slot_take();

        if (slot == 0)
            return 0; /* others have one */
        *word |= slot;
    }
    *pte = entry & ~PTE_D;
    tlb_flush_page(va); /* or the CPU would go on writing without a mark */
    if (far_write(va, frame))
        return 1;
    *pte = entry | PTE_D;
    return -1;
}

/* One entry under the clock's hand; as above. */
static int look(virt_t va, uint64_t *pte)
{
    uint64_t entry = *pte;
    uint32_t *word;

    if ((entry & (PTE_P | PTE_ANON)) != (PTE_P | PTE_ANON))
        return 0;
    word = far_word(entry & PTE_ADDR);
    if (entry & PTE_A) {
        *pte = entry & ~PTE_A;
        tlb_flush_page(va);
        if (*word & SLOT_AHEAD) {
            *word &= ~SLOT_AHEAD;
            far_stats.hits++;
        }
        return 0;
    }
    if (frame_of(entry & PTE_ADDR)->refs != 1)
        return 0;
    if (entry & PTE_D || (*word & SLOT_MASK) == 0)
        return clean_only ? 0 : clean(va, pte);
    return far_evict_clean(va, pte);
}

/* A 2 MiB page: in small ones it can leave, if it was not used. False: it stays. */
static bool break_up(uint64_t *pde, virt_t va)
{
    if (*pde & PTE_A) {
        *pde &= ~PTE_A;
        tlb_flush_page(va);
        return false;
    }
    return mmu_split_huge(pde, va) == 0;
}

/* Moves the hand through [hand, end) until `goal` pages are going or the budget is used up. False:
 * it must stop. */
static bool sweep(virt_t end, uint64_t *goal, unsigned *budget)
{
    while (hand < end) {
        uint64_t *huge, *pte;
        int r;

        if (*goal == 0 || *budget == 0)
            return false;
        --*budget;
        pte = pte_lookup(hand, false, &huge);
        if (!pte && !(huge && *huge & PTE_P && break_up(huge, hand))) {
            hand = MIN(ALIGN_DOWN(hand, HUGE_SIZE) + HUGE_SIZE, end);
            continue;
        }
        if (!pte)
            pte = pte_lookup(hand, false, NULL);
        r = look(hand, pte);
        if (r < 0)
            return false;
        *goal -= (uint64_t)r;
        hand += PAGE_SIZE;
    }
    return true;
}

static void reclaim(unsigned budget)
{
    unsigned rounds = 0;
    uint64_t goal;

    reclaiming = far_is_tight();
    goal = above(excess(), clean_only ? 0 : far_writing);
    if (!reclaiming || goal == 0)
        return;
    while (rounds < 2) {
        struct vma *v = vma_find_above(hand);

        if (!v) {
            hand = 0;
            rounds++;
            continue;
        }
        hand = MAX(hand, v->start);
        if (v->flags & (VMA_LOCKED | VMA_KERNEL))
            hand = v->end;
        else if (!sweep(v->end, &goal, &budget))
            break;
    }
    far_backend->kick();
}

void far_reclaim(void)
{
    struct far_space s = far_space();

    reclaim(s.used < s.slots ? SCAN_MAX : SCAN_FULL);
}

/* This share of memory, a quarter of the low watermark, is for the kernel, and for pages that come
 * back: each of these has a slot, and so can leave again. A quarter of it is never for new pages.
 */
#define BRINK_SHARE (4 * RESERVE_SHARE)

static bool on_the_brink(void)
{
    struct frame_stats fs = frame_stats();

    return fs.free < fs.total / BRINK_SHARE;
}

bool far_squeeze(void)
{
    uint64_t calls = 2 * (used() + far_stats.remote) / SCAN_MAX + 2, before = far_stats.evicted;

    while (calls-- > 0) {
        reclaim(SCAN_MAX);
        if (far_stats.evicted != before || far_writing > 0)
            return true;
    }
    return false;
}

/* Nodes take no writes at the moment; pages that they have already can leave all the same. */
static bool leave_without_copies(void)
{
    uint64_t before = far_stats.evicted;

    clean_only = true;
    reclaim(SCAN_MAX);
    clean_only = false;
    return far_stats.evicted != before;
}

void far_throttle(void)
{
    if (!far_is_tight())
        return;
    far_reclaim();
    while (used() > far_limit() || on_the_brink()) {
        if (far_writing > 0) {
            far_stats.throttled++;
            if (far_wait_room(STUCK_NS) < 0 && leave_without_copies())
                continue;
            far_reclaim();
        } else if (!on_the_brink() || !far_squeeze()) {
            break;
        }
    }
}

bool far_may_grow(bool asked)
{
    struct frame_stats fs = frame_stats();

    return fs.free >= fs.total / BRINK_SHARE / (asked ? 1 : 4);
}

void far_advise(const struct vma *v, virt_t start, virt_t end, int advice)
{
    for (virt_t va = start; va < end; va += PAGE_SIZE) {
        uint64_t *huge, *pte = pte_lookup(va, false, &huge);

        if (huge && *huge & PTE_P && advice != MADV_WILLNEED && mmu_split_huge(huge, va) == 0)
            pte = pte_lookup(va, false, NULL);
        if (!pte) {
            va = ALIGN_DOWN(va, HUGE_SIZE) + HUGE_SIZE - PAGE_SIZE;
            continue;
        }
        if (advice == MADV_WILLNEED) {
            if (pte_is_far(*pte) && !(*pte & PTE_COMING) && !far_read(va, pte, FAR_PREFETCH))
                break;
        } else if ((*pte & (PTE_P | PTE_ANON)) == (PTE_P | PTE_ANON) && !(v->flags & VMA_LOCKED)) {
            *pte &= ~PTE_A;
            tlb_flush_page(va);
            if (advice == MADV_PAGEOUT && look(va, pte) < 0)
                break;
        }
    }
    far_backend->kick();
}
