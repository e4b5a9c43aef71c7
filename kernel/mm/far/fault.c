/*
 * A page that is away is missed: it is asked for, the prefetcher says what else, room is made
 * meanwhile, and the thread waits; if no other can run it polls. Called through far.h.
 */
#include "mm/far/internal.h"
#include "sched/clock.h"

#include <asm/errno.h>
#include <linux/mman.h>

/* What a fault that calls the prefetcher is about. */
static struct vma *wanted_in;
static unsigned wanted_room;

const struct far_prefetcher *far_prefetcher = &far_prefetch_none;

bool far_want(virt_t va)
{
    uint64_t *pte;

    if (wanted_room == 0 || va < wanted_in->start || va >= wanted_in->end)
        return false;
    pte = pte_lookup(va, false, NULL);
    if (!pte || !pte_is_far(*pte) || *pte & PTE_COMING)
        return false;
    if (!far_read(va, pte, FAR_PREFETCH)) {
        wanted_room = 0;
        return false;
    }
    wanted_room--;
    far_stats.prefetched++;
    return true;
}

bool far_was_used(virt_t va)
{
    const uint64_t *pte = pte_lookup(va, false, NULL);

    /* The clock takes the accessed bit away, and the mark of pages that have not been used. */
    return pte && *pte & PTE_P && *pte & PTE_ANON &&
           (*pte & PTE_A || !(*far_word(*pte & PTE_ADDR) & SLOT_AHEAD));
}

static void ahead(struct vma *v, virt_t va, bool late)
{
    struct far_fault f = {.va = va, .start = v->start, .end = v->end, .late = late};

    wanted_in = v;
    wanted_room = f.room = far_prefetch_room();
    far_prefetcher->fault(&f);
    wanted_room = 0;
}

int far_fault(struct vma *v, virt_t va)
{
    uint64_t start = clock_mono_ns();
    bool first = true, asked = false;
    int r = 0;

    far_stats.faults++;
    for (;; first = false) {
        uint64_t *pte = pte_lookup(va, false, NULL);

        if (!pte || !pte_is_far(*pte))
            break;
        if (!(*pte & PTE_COMING)) {
            if (asked && *pte & PTE_LOST) {
                r = -EIO;
                break;
            }
            if (!far_read(va, pte, FAR_DEMAND)) {
                uint64_t left = far_stats.evicted;

                far_reclaim();
                if (far_stats.evicted != left)
                    continue; /* some page could go at once */
                if (far_reading + far_writing == 0) {
                    r = -ENOMEM;
                    break;
                }
                far_wait_room();
                v = vma_find(va);
                if (!v)
                    break;
                continue;
            }
            asked = true;
            ahead(v, va, false);
        } else if (first) {
            far_stats.late++;
            ahead(v, va, true);
        }
        far_backend->kick();
        far_reclaim();
        waitq_sleep_uninterruptible(&far_io_of(*pte)->waiters, 1, WAIT_FOREVER);
    }
    far_stats.wait_ns += clock_mono_ns() - start;
    return r;
}
