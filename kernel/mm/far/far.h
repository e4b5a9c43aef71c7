/*
 * Far memory: pages of the application that are elsewhere, so that it may have more than there is
 * here (docs/far-memory.md). Called by mm/fault.c, mm/mmu.c and the memory system calls; calls
 * frames, page tables and a backend (backend.h).
 *
 * All anonymous pages are eligible, private copies of file pages too, but not those of locked
 * mappings or that somebody else holds a reference to. The kernel's own memory never is. The state
 * of a page is in its page-table entry, and nowhere else:
 *
 *     0                          never touched, or all zero again
 *     present, PTE_ANON          here. Its frame may own a slot that holds what the page was when
 * it was last clean; PTE_D tells that it is no longer that PTE_FAR | slot             away; with
 * PTE_LOST: the last attempt to have it back failed PTE_FAR | PTE_COMING | io  away, and under way
 * to here
 *
 * A page is away only after its write has been acknowledged. Pages that leave are copied first, so
 * that the application may go on writing meanwhile.
 *
 * far_fault(), far_await() and far_throttle() may sleep; nothing else here does.
 */
#pragma once

#include "lib/histogram.h"
#include "mm/mmu.h"

/* Of entries that are neither present nor PTE_NONE. */
#define PTE_FAR    0x002ull
#define PTE_COMING 0x004ull
#define PTE_LOST   0x008ull

static inline bool pte_is_far(uint64_t pte)
{
    return (pte & (PTE_P | PTE_NONE | PTE_FAR)) == PTE_FAR;
}

extern bool far_on; /* there is a backend */

/* Brings the page that holds addr, whose entry was found to be far. 0 (access again), -EIO: the
 * backend cannot give it; -ENOMEM. */
int far_fault(struct vma *v, virt_t addr);
/* Asks for the pages of [at, at + n) that are away, as far as there is room: *last becomes the last
 * one that is under way. False: no more for now. Nothing, if no prefetcher is to be used. */
bool far_bring(virt_t at, size_t n, virt_t *last);
/* Sleeps until the page at va is not under way any more. */
void far_await(virt_t va);
/* A far entry was removed for good. */
void far_zap(uint64_t pte);
/* A frame of an anonymous page is about to lose its entry for good. */
void far_forget(phys_t frame);
/* An entry now stands at another address. */
void far_moved(uint64_t pte, virt_t to);
/* May so many pages become present without going over the limit? */
bool far_room(uint64_t pages);
/* A page became present on a fault: makes room for others, sleeps when there is none at all. */
void far_throttle(void);
/* May there be one page more? False: nothing is left, here and there, but for pages that come back.
 * asked: by a call, which can fail; who does not ask, as with a page that left by being zero, gets
 * some more. */
bool far_may_grow(bool asked);
/* MADV_WILLNEED, MADV_COLD, MADV_PAGEOUT on [start, end) of a mapping. */
void far_advise(const struct vma *v, virt_t start, virt_t end, int advice);

/* Local pages that are allowed: so many, or, if share, so many thousandths of all pages of the
 * application, here and away. Takes effect at once, and pages leave in the background. */
void far_set_limit(uint64_t n, bool share);
/* The same from a text, "64M", "25%" or "12.5%": 0 or -EINVAL. */
int far_parse_limit(const char *value);
uint64_t far_limit(void); /* in pages */

struct far_stats {
    uint64_t remote;       /* pages that are away now */
    uint64_t faults;       /* on such pages: */
    uint64_t late;         /*   that were on their way already */
    uint64_t prefetched;   /* pages asked for ahead */
    uint64_t hits, wasted; /*   and used; and not, until they left again */
    uint64_t evicted;      /* pages that left */
    uint64_t written;      /* pages sent */
    uint64_t zero;         /* pages that left by being all zero */
    uint64_t errors;       /* transfers that failed */
    uint64_t forged;       /*   by bringing another page than was stored */
    uint64_t retried;      /* and asked for again therefore */
    uint64_t throttled;    /* waits for room */
    uint64_t brought;      /* waits of system calls for what they read */
    uint64_t joined;       /* 2 MiB pages made of small ones */
    uint64_t wait_ns;      /* spent in faults */

    struct histogram demand_ns, late_ns; /* each fault; of those that are counted as late */
    struct histogram write_ns;           /* from a copy's start to its acknowledgement */
};
extern struct far_stats far_stats;

/* Places for pages that are away, or were and are here unchanged. */
struct far_space {
    uint32_t slots, used;
};
struct far_space far_space(void);
