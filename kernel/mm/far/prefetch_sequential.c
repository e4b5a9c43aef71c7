/*
 * Runs of neighbouring pages, upwards or downwards, several at once. Called by mm/far/fault.c;
 * pure. In the manner of Linux's swap readahead by mapping (mm/swap_state.c, swap_vma_readahead):
 * the window grows with the pages that were of use and shrinks with those that were not. What
 * differs: one mapping may have several runs, which a table of runs keeps apart, and a run goes on.
 *
 * A run stands at the page of its newest fault; the pages that it covers lie from there up to its
 * edge, which is the first page it has not covered:
 *
 *        at                      edge
 *         |  1  2  3  4  5  6  7  |              bit i - 1 of `asked`: page i was asked for
 *
 * A page that was asked for and has arrived is used without a fault, so what comes next is a fault
 *   - within the run, late: the page is still on its way. The program is faster than the pages
 *     come; the edge is moved on before it is reached, so that the line is never idle;
 *   - at the edge: the program came through the whole window, and so its next window follows it at
 *     once, twice as large. That it is exactly this page is what tells, even where accessed bits
 *     have been cleared meanwhile;
 *   - a little behind the edge: likewise, and the pages between were here already;
 *   - elsewhere: another run, which asks for nothing until its second page is missed. Random
 *     accesses so cost nothing but a run of the table.
 * Pages behind `at` are judged once, when the run moves on.
 */
#include "mm/far/prefetch.h"

#define RUNS 16u
/* The first window. A run that ends there has wasted at most that; one twice as long as it was at
 * any time has wasted at most as many pages as it used, as windows only double. */
#define FIRST 4u
/* So many runs at least are new ones without a window. Beyond that they replace each other, so that
 * random accesses beside a scan do not push it out of the table. */
#define NEW 4u

struct run {
    virt_t at;
    int64_t step;    /* bytes: a page up or down; 0: not known yet */
    unsigned edge;   /* pages from `at` */
    unsigned window; /* pages to keep ahead; 0: none yet */
    unsigned hits, misses;
    uint64_t asked;
    uint64_t last; /* count of faults at its newest one; 0: unused */
};

static struct run runs[RUNS];
static uint64_t now; /* faults so far */

/* How many pages the fault at va is ahead of the run; 0: it does not belong to it. */
static unsigned ahead_of(const struct run *r, virt_t va)
{
    int64_t pages = ((int64_t)(va - r->at)) >> PAGE_SHIFT;

    if (r->last == 0)
        return 0;
    if (r->step == 0)
        return pages == 1 || pages == -1;
    if (r->step < 0)
        pages = -pages;
    /* Beyond the edge by as much as the window: what lies between may be here. */
    return pages > 0 && pages <= (int64_t)(r->edge + r->window) ? (unsigned)pages : 0;
}

static void change_window(struct run *r, bool exact)
{
    unsigned judged = r->hits + r->misses;

    if (!exact && judged < r->window)
        return;
    if (r->hits > 3 * r->misses)
        r->window = MIN(2 * r->window, far_prefetch_window);
    else if (r->misses > r->hits && !exact)
        r->window /= 2;
    r->hits = r->misses = 0;
}

/* The run moves on to the fault, so many pages ahead: which of those it passes were of use? */
static void advance(struct run *r, const struct far_fault *f, unsigned pages)
{
    bool exact = pages == r->edge;
    virt_t va = r->at;

    for (unsigned i = 1; i <= pages && i <= FAR_WINDOW_MAX; i++) {
        va += (uint64_t)r->step;
        if (!(r->asked >> (i - 1) & 1))
            continue;
        if (i == pages ? f->late : far_was_used(va))
            r->hits++;
        else
            r->misses++;
    }
    if (r->window == 0)
        r->window = MIN(FIRST, far_prefetch_window);
    else
        change_window(r, exact);
    r->at = f->va;
    r->asked = pages < 64 ? r->asked >> pages : 0;
    r->edge = pages < r->edge ? r->edge - pages : 1;
}

/* Covers pages up to a window ahead, unless half of them are covered yet. */
static void extend(struct run *r, const struct far_fault *f)
{
    virt_t va = r->at + (uint64_t)((int64_t)r->edge * r->step);

    if (r->edge - 1 > r->window / 2)
        return;
    for (unsigned room = f->room; r->edge <= r->window && room > 0; room--, r->edge++) {
        if (va < f->start || va >= f->end)
            break;
        if (far_want(va))
            r->asked |= 1ull << (r->edge - 1);
        va += (uint64_t)r->step;
    }
}

/* Which run makes room for another one: the oldest of those without a window, if there are many. */
static struct run *replaced(void)
{
    struct run *oldest[2] = {NULL, NULL};
    unsigned new = 0;

    for (struct run *r = runs; r < runs + RUNS; r++) {
        struct run **o = &oldest[r->window > 0];

        new += r->window == 0;
        if (*o == NULL || r->last < (*o)->last)
            *o = r;
    }
    return new >= NEW ? oldest[0] : oldest[1];
}

/* The run that the fault belongs to, one with a window before any other; it is so many pages ahead.
 * *again: a run stands there already, so that it tells nothing new. */
static struct run *find(virt_t va, unsigned *ahead, bool *again)
{
    struct run *best = NULL;

    *again = false;
    for (struct run *r = runs; r < runs + RUNS; r++) {
        unsigned pages = ahead_of(r, va);

        *again |= r->last != 0 && r->at == va;
        if (pages > 0 && (best == NULL || r->window > best->window)) {
            best = r;
            *ahead = pages;
        }
    }
    return best;
}

static void sequential(const struct far_fault *f)
{
    unsigned pages = 0;
    bool again;
    struct run *r = find(f->va, &pages, &again);

    now++;
    if (r == NULL) {
        if (!again)
            *replaced() = (struct run){.at = f->va, .edge = 1, .last = now};
        return;
    }
    if (r->step == 0)
        r->step = f->va > r->at ? (int64_t)PAGE_SIZE : -(int64_t)PAGE_SIZE;
    advance(r, f, pages);
    if (r->window > 0)
        extend(r, f);
    else
        r->step = 0, r->edge = 1, r->asked = 0;
    r->last = now;
}

const struct far_prefetcher far_prefetch_sequential = {.name = "sequential", .fault = sequential};
