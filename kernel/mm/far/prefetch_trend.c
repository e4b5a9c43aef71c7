/*
 * Any stride that most of the last accesses have, after Leap (Al Maruf and Chowdhury, "Effectively
 * Prefetching Remote Memory with Leap", USENIX ATC 2020, §4.2). Called by mm/far/fault.c; pure.
 *
 * The history holds the differences between successive accesses, of the whole program as in the
 * paper. The trend is what more than half of the newest few differences are (Boyer and Moore's
 * majority vote); where those have none the span is doubled, up to the whole history, so that a few
 * irregular accesses do not hide it. How many pages are asked for follows from how many of the last
 * ones were of use.
 *
 * Leap sees every access to a page that was away, as each goes through the swap cache. Here a page
 * that was prefetched and has arrived is used without a fault: the history would get one long
 * stride for a whole batch, and lose the trend that made it. So the used pages of a batch enter the
 * history at the next fault, in the order of the batch. A late fault counts as a hit, and moves the
 * batch on when half of it is left, so that the line is never idle.
 */
#include "mm/far/prefetch.h"

#define HISTORY 32u /* a power of two */
#define SPAN    8u  /* the newest differences that are asked first */

static int64_t history[HISTORY]; /* none is 0 but those that are not there yet */
static unsigned newest;          /* index of the next one */
static virt_t last;              /* access; 0: none yet */
static int64_t trend;            /* the newest; 0: none */
static unsigned window;          /* pages asked for the last time */
static unsigned hits;            /* since then */

/* The newest pages asked for: at + stride, at + 2 * stride, ... */
static struct {
    virt_t at;
    int64_t stride;
    unsigned pages;
    uint64_t asked; /* bit i - 1: page i was asked for, and has not been seen used */
} batch;

static void note(virt_t va)
{
    if (va == last)
        return;
    if (last != 0)
        history[newest++ & (HISTORY - 1)] = (int64_t)(va - last);
    last = va;
}

/* What more than half of the newest `span` differences are; 0: nothing. */
static int64_t majority(unsigned span)
{
    int64_t candidate = 0;
    unsigned votes = 0, count = 0;

    for (unsigned i = 1; i <= span; i++) {
        int64_t d = history[(newest - i) & (HISTORY - 1)];

        if (votes == 0)
            candidate = d;
        votes += d == candidate ? 1 : -1u;
    }
    for (unsigned i = 1; i <= span; i++)
        count += history[(newest - i) & (HISTORY - 1)] == candidate;
    return count > span / 2 ? candidate : 0;
}

static int64_t find_trend(void)
{
    int64_t found = 0;

    for (unsigned span = SPAN; found == 0 && span <= HISTORY; span *= 2)
        found = majority(span);
    return found;
}

/* Notes the pages of the batch that were used; the index of va in it, or 0. */
static unsigned judge(virt_t va)
{
    virt_t page = batch.at;
    unsigned place = 0;

    for (unsigned i = 1; i <= batch.pages; i++) {
        uint64_t bit = 1ull << (i - 1);

        page += (uint64_t)batch.stride;
        if (page == va)
            place = i;
        if (!(batch.asked & bit) || !far_was_used(page))
            continue;
        batch.asked &= ~bit;
        hits++;
        note(page);
    }
    return place;
}

/* How many pages to ask for: the hits and one more, as a power of two. */
static unsigned next_window(bool follows)
{
    unsigned pages = follows;

    if (hits > 0)
        for (pages = 2; pages <= hits; pages *= 2)
            ;
    pages = MAX(MIN(pages, far_prefetch_window), window / 2); /* not too fast down */
    hits = 0;
    return window = pages;
}

/* Asks for pages behind those of the batch, up to so many. */
static void ask(const struct far_fault *f, unsigned pages)
{
    virt_t va = batch.at + (uint64_t)((int64_t)(batch.pages + 1) * batch.stride);

    for (unsigned room = f->room; batch.pages < pages && room > 0; room--, batch.pages++) {
        if (va < f->start || va >= f->end)
            break;
        if (far_want(va))
            batch.asked |= 1ull << batch.pages;
        va += (uint64_t)batch.stride;
    }
}

/* A page of the batch is missed while it is on its way. */
static void late(const struct far_fault *f, unsigned place)
{
    unsigned left = batch.pages - place;

    hits++;
    if (left > window / 2) {
        batch.asked &= ~(1ull << (place - 1));
        return;
    }
    batch.at = f->va;
    batch.pages = left;
    batch.asked = place < 64 ? batch.asked >> place : 0;
    ask(f, next_window(true));
}

static void by_trend(const struct far_fault *f)
{
    unsigned place = judge(f->va);
    bool follows = trend != 0 && last + (uint64_t)trend == f->va;
    int64_t found;

    note(f->va);
    found = find_trend();
    if (found != 0)
        trend = found;
    if (f->late && place > 0 && batch.stride == trend) {
        late(f, place);
        return;
    }
    batch.at = f->va;
    batch.stride = trend;
    batch.pages = 0;
    batch.asked = 0;
    if (trend != 0)
        ask(f, next_window(follows));
}

const struct far_prefetcher far_prefetch_trend = {.name = "trend", .fault = by_trend};
