/*
 * Prefetchers: what else to fetch when a page is missed. A policy of its own, called by
 * mm/far/fault.c while the page itself is on its way; pure, and tested on the host. It names
 * addresses by far_want() and keeps what it remembers in its own file. docs/far-memory.md compares
 * them.
 *
 * "Hits" are pages it asked for that were used before they left again, as far as the accessed bits
 * have been looked at.
 */
#pragma once

#include "mm/layout.h"

struct far_fault {
    virt_t va;         /* of the page that is missed; page aligned */
    virt_t address;    /* that was accessed there */
    virt_t start, end; /* of its mapping */
    bool late;         /* it was on its way already */
    unsigned room;     /* so many pages may be asked for at this fault */
};

struct far_prefetcher {
    const char *name;
    void (*fault)(const struct far_fault *f);
    /* The page at va, which was under way, is here or (bad) still away; what far_ask_part() asked
     * for is there, or not. Not the place to ask for more: that is poll(), which follows, and is
     * called again and again while anything is under way. May be NULL, all three. */
    void (*came)(virt_t va, bool good);
    void (*came_part)(unsigned tag, bool good);
    void (*poll)(void);
};

/* Fetch the page at va, if it is away and of the same mapping. True: it is on its way now, by this
 * call. For prefetchers. */
bool far_want(virt_t va);
/* Has the page at va, for which far_want() was true, been used? False if it is not here. For
 * prefetchers. */
bool far_was_used(virt_t va);

/*
 * For guides (kernel/guide), at any time. Asks for the page at va of any mapping: 1 it is on its
 * way, by this call or by another one; 0 it is not away; -EAGAIN: no room now.
 */
int far_ask(virt_t va);
/* Reads n bytes from va on, within one page that is away, to `to`, which is the kernel's. They are
 * not verified, and may be of another page by the time they come: hints. 0: came_part(tag) follows;
 * -EINVAL: the page is not away; -EBUSY: it is under way; -EAGAIN: no room now. */
int far_ask_part(virt_t va, size_t n, void *to, unsigned tag);
/* Takes a prefetcher into use; the one before. */
const struct far_prefetcher *far_set_prefetcher(const struct far_prefetcher *p);
/* Is any page under way to here? */
bool far_is_reading(void);
/* What was asked for is to leave now. */
void far_kick(void);

/*
 * wherry.far.window=PAGES: so many pages are asked for ahead of a fault, at most. 32 are 128 KiB,
 * as Linux reads ahead in files: at 10 Gb/s a page takes 3.3 us on the wire, so 32 fill the line
 * for 105 us, more than the round trip to another machine and its software; and several scans at
 * once, each a window ahead, still fit in a local memory of a few MiB. At most 64, as bits of a
 * word tell them apart.
 */
#define FAR_WINDOW_DEFAULT 32u
#define FAR_WINDOW_MAX     64u
extern unsigned far_prefetch_window;

extern const struct far_prefetcher far_prefetch_none, far_prefetch_sequential, far_prefetch_trend;
