/*
 * A page that is away is missed: it is asked for, the prefetcher says what else, room is made
 * meanwhile, and the thread waits; if no other can run it polls. Called through far.h.
 */
#include "mm/far/internal.h"
#include "sched/clock.h"
#include "sched/thread.h"

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

static void ahead(struct vma *v, virt_t addr, bool late)
{
    struct far_fault f = {.va = ALIGN_DOWN(addr, PAGE_SIZE),
                          .address = addr,
                          .start = v->start,
                          .end = v->end,
                          .late = late};

    wanted_in = v;
    wanted_room = f.room = far_prefetch_room();
    far_prefetcher->fault(&f);
    wanted_room = 0;
}

int far_ask(virt_t va)
{
    uint64_t *pte = far_stats.remote > 0 && va < USER_MAX ? pte_lookup(va, false, NULL) : NULL;

    va = ALIGN_DOWN(va, PAGE_SIZE);
    if (!pte || !pte_is_far(*pte))
        return 0;
    if (*pte & PTE_COMING)
        return 1;
    if (far_prefetch_room() == 0 || !far_read(va, pte, FAR_PREFETCH))
        return -EAGAIN;
    far_stats.prefetched++;
    return 1;
}

bool far_bring(virt_t at, size_t n, virt_t *last)
{
    virt_t va = ALIGN_DOWN(at, PAGE_SIZE), end = at + n;

    if (far_prefetcher == &far_prefetch_none || far_stats.remote == 0)
        return false;
    for (; va < end; va += PAGE_SIZE) {
        int state = far_ask(va);

        if (state < 0)
            return false;
        if (state > 0)
            *last = va;
    }
    return true;
}

static bool is_away(virt_t va, bool coming)
{
    const uint64_t *pte = pte_lookup(va, false, NULL);

    return pte && pte_is_far(*pte) && (!coming || *pte & PTE_COMING);
}

void far_await(virt_t va)
{
    if (va == 0)
        return;
    far_backend->kick();
    far_reclaim();
    if (!is_away(va, true))
        return;
    far_stats.brought++;
    waitq_sleep_uninterruptible(&far_io_of(*pte_lookup(va, false, NULL))->waiters, 1, WAIT_FOREVER);
}

int far_ask_part(virt_t va, size_t n, void *to, unsigned tag)
{
    const uint64_t *pte = va < USER_MAX ? pte_lookup(va, false, NULL) : NULL;

    assert(n > 0 && (va & ~PAGE_MASK) + n <= PAGE_SIZE);
    if (!pte || !pte_is_far(*pte))
        return -EINVAL;
    if (*pte & PTE_COMING)
        return -EBUSY;
    return far_read_part(va, *pte, n, to, tag) ? 0 : -EAGAIN;
}

const struct far_prefetcher *far_set_prefetcher(const struct far_prefetcher *p)
{
    const struct far_prefetcher *before = far_prefetcher;

    far_prefetcher = p;
    return before;
}

void far_kick(void)
{
    if (far_on)
        far_backend->kick();
}

bool far_is_reading(void)
{
    return far_reading > 0;
}

int far_fault(struct vma *v, virt_t addr)
{
    virt_t va = ALIGN_DOWN(addr, PAGE_SIZE);
    uint64_t start = clock_mono_ns();
    bool first = true, asked = false, late = false;
    int r = 0;

    if (is_away(va, true)) { /* it may have come, and nobody has looked */
        pollers_run();
        if (!is_away(va, false))
            return 0;
        v = vma_find(va);
        if (!v)
            return 0; /* the access is made again, and meets what is there now */
    }
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
                bool any = far_squeeze();

                if (far_stats.evicted != left)
                    continue; /* some page could go at once */
                if (!any && far_reading == 0) {
                    r = -ENOMEM;
                    break;
                }
                far_wait_room(WAIT_FOREVER);
                v = vma_find(va);
                if (!v)
                    break;
                continue;
            }
            asked = true;
            ahead(v, addr, false);
        } else if (first) {
            far_stats.late++;
            late = true;
            ahead(v, addr, true);
        }
        far_backend->kick();
        far_reclaim();
        waitq_sleep_uninterruptible(&far_io_of(*pte)->waiters, 1, WAIT_FOREVER);
    }
    start = clock_mono_ns() - start;
    far_stats.wait_ns += start;
    histogram_add(late ? &far_stats.late_ns : &far_stats.demand_ns, start);
    return r;
}
