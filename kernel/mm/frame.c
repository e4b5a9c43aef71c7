/*
 * The buddy allocator (Knowlton 1965; Knuth vol. 1 §2.5). Free blocks are linked through
 * their own first bytes in the direct map; a bit mask of non-empty orders finds the
 * smallest sufficient one without a search. See frame.h for the rules.
 *
 * Memory that was never used is not on the lists: it waits in `fresh` stretches and joins them
 * one largest block at a time, lowest address first, when the lists have nothing that fits. A host
 * gives a guest its memory as it is touched, 2 MiB at a time if it can; linking all free blocks at
 * boot would make it clear half of the guest's memory (130 MiB of 256: 0.1 s and more).
 */
#include "mm/frame.h"

#include "mm/layout.h"

#include <asm/errno.h>

struct free_block {
    struct free_block *next, *prev;
};

/* Between the image, the initrd, the frame array and the ends of a range. */
#define FRESH_MAX 6

struct fresh {
    phys_t start, end;
};

struct frame_range {
    phys_t start, end;
    struct fresh fresh[FRESH_MAX]; /* sorted; empty ones last */
    struct frame *frames;
    uint64_t first; /* number of the first frame (frame_number()) */
    uint64_t total, free;
    uint32_t nonempty; /* bit n: heads[n] has blocks */
    struct free_block heads[FRAME_MAX_ORDER + 1];
};

static struct frame_range ranges[FRAME_MAX_RANGES];
static unsigned nr_ranges;
static uint64_t failed;
static uint64_t (*reclaim_fn)(unsigned order);

static size_t index_in(const struct frame_range *r, phys_t p)
{
    return (p - r->start) >> PAGE_SHIFT;
}

static struct frame_range *range_of(phys_t p)
{
    for (unsigned i = 0; i < nr_ranges; i++)
        if (p >= ranges[i].start && p < ranges[i].end)
            return &ranges[i];
    return NULL;
}

struct frame *frame_of(phys_t p)
{
    struct frame_range *r = range_of(p);

    return likely(r != NULL) ? &r->frames[index_in(r, p)] : NULL;
}

static void push(struct frame_range *r, phys_t p, unsigned order)
{
    struct frame *f = &r->frames[index_in(r, p)];
    struct free_block *b = phys_to_virt(p), *h = &r->heads[order];

    f->state = FRAME_FREE;
    f->order = order;
    f->refs = 0;
    b->next = h->next;
    b->prev = h;
    h->next->prev = b;
    h->next = b;
    r->nonempty |= 1u << order;
}

static void take(struct frame_range *r, phys_t p, unsigned order)
{
    struct free_block *b = phys_to_virt(p);

    b->next->prev = b->prev;
    b->prev->next = b->next;
    r->frames[index_in(r, p)].state = FRAME_TAIL;
    if (r->heads[order].next == &r->heads[order])
        r->nonempty &= ~(1u << order);
}

/* Buddies are aligned to their size in physical memory, not in the range, so that a block of 2 MiB
 * can always be mapped as one. */
static void free_block(struct frame_range *r, phys_t p, unsigned order)
{
    r->frames[index_in(r, p)].state = FRAME_TAIL;
    while (order < FRAME_MAX_ORDER) {
        phys_t buddy = p ^ (PAGE_SIZE << order);
        struct frame *f;

        if (buddy < r->start || buddy >= r->end)
            break;
        f = &r->frames[index_in(r, buddy)];
        if (f->state != FRAME_FREE || f->order != order)
            break;
        take(r, buddy, order);
        p &= ~(PAGE_SIZE << order);
        order++;
    }
    push(r, p, order);
}

size_t frame_array_size(phys_t start, phys_t end)
{
    return ((end - start) >> PAGE_SHIFT) * sizeof(struct frame);
}

int frame_add_range(phys_t start, phys_t end, void *array)
{
    struct frame_range *r = &ranges[nr_ranges];

    if (start >= end || (start | end) & ~PAGE_MASK)
        return -EINVAL;
    if (nr_ranges == FRAME_MAX_RANGES)
        return -ENOSPC;
    r->start = start;
    r->end = end;
    r->frames = array;
    r->first = frame_numbers();
    memset(array, 0, frame_array_size(start, end));
    for (unsigned i = 0; i <= FRAME_MAX_ORDER; i++)
        r->heads[i].next = r->heads[i].prev = &r->heads[i];
    return nr_ranges++;
}

/* Puts [start, end) on the lists, as the largest blocks it consists of. */
static void link_area(struct frame_range *r, phys_t start, phys_t end)
{
    while (start < end) {
        unsigned order = MIN((unsigned)__builtin_ctzll(start | 1ull << 62) - PAGE_SHIFT,
                             (unsigned)FRAME_MAX_ORDER);

        while (start + (PAGE_SIZE << order) > end)
            order--;
        free_block(r, start, order);
        start += PAGE_SIZE << order;
    }
}

void frame_release_area(phys_t start, phys_t end)
{
    struct frame_range *r = range_of(start);
    struct fresh *f;

    assert(r != NULL && start < end && end <= r->end);
    r->total += (end - start) >> PAGE_SHIFT;
    r->free += (end - start) >> PAGE_SHIFT;
    f = &r->fresh[FRESH_MAX - 1];
    if (f->start < f->end) {
        link_area(r, start, end);
        return;
    }
    for (; f > r->fresh && (f[-1].start >= f[-1].end || f[-1].start > start); f--)
        f[0] = f[-1];
    *f = (struct fresh){start, end};
}

/* Links what lies in the next largest block's place. False: there is no fresh memory left. */
static bool link_fresh(struct frame_range *r)
{
    struct fresh *f = &r->fresh[0];
    phys_t start = f->start, end;

    if (start >= f->end)
        return false;
    end = MIN(ALIGN_UP(start + 1, PAGE_SIZE << FRAME_MAX_ORDER), f->end);
    f->start = end;
    if (end == f->end) {
        memmove(f, f + 1, (FRESH_MAX - 1) * sizeof(*f));
        f[FRESH_MAX - 1] = (struct fresh){0};
    }
    link_area(r, start, end);
    return true;
}

static phys_t alloc_in(struct frame_range *r, unsigned order)
{
    uint32_t fit;
    struct frame *f;
    unsigned o;
    phys_t p;

    while (unlikely(!(fit = r->nonempty >> order << order)))
        if (!link_fresh(r))
            return 0;
    o = __builtin_ctz(fit);
    p = virt_to_phys(r->heads[o].next);
    take(r, p, o);
    while (o > order) {
        o--;
        push(r, p + (PAGE_SIZE << o), o);
    }
    r->free -= 1ul << order;
    f = &r->frames[index_in(r, p)];
    f->state = FRAME_USED;
    f->order = order;
    f->refs = 1;
    f->flags = 0;
    return p;
}

phys_t frame_alloc_from(unsigned range, unsigned order)
{
    return range < nr_ranges && order <= FRAME_MAX_ORDER ? alloc_in(&ranges[range], order) : 0;
}

phys_t frame_alloc(unsigned order)
{
    if (unlikely(order > FRAME_MAX_ORDER))
        return 0;
    for (;;) {
        /* Higher ranges first: low memory stays for devices that need it. */
        for (unsigned i = nr_ranges; i-- > 0;) {
            phys_t p = alloc_in(&ranges[i], order);
            if (likely(p != 0))
                return p;
        }
        if (!reclaim_fn || reclaim_fn(order) == 0)
            break;
    }
    failed++;
    return 0;
}

phys_t frame_alloc_zero(void)
{
    phys_t p = frame_alloc(0);

    if (likely(p != 0))
        memset(phys_to_virt(p), 0, PAGE_SIZE);
    return p;
}

phys_t frame_alloc_split(unsigned order)
{
    phys_t p = frame_alloc(order);

    if (p)
        frame_split(p);
    return p;
}

static void make_single(struct frame *f)
{
    f->state = FRAME_USED;
    f->order = 0;
    f->refs = 1;
}

void frame_split(phys_t p)
{
    struct frame *f = frame_of(p);
    unsigned n;

    assert(f && f->state == FRAME_USED && f->refs == 1);
    n = 1u << f->order;
    for (unsigned i = 0; i < n; i++)
        make_single(&f[i]);
}

void frame_adopt(phys_t start, phys_t end)
{
    while (start < end) {
        struct frame_range *r = range_of(start);
        if (!r) {
            start += PAGE_SIZE;
            continue;
        }
        for (; start < MIN(end, r->end); start += PAGE_SIZE) {
            make_single(&r->frames[index_in(r, start)]);
            r->total++;
        }
    }
}

void frame_get(phys_t p)
{
    struct frame *f = frame_of(p);

    if (f)
        f->refs++;
}

void frame_put(phys_t p)
{
    struct frame_range *r = range_of(p);
    struct frame *f;

    if (!r)
        return;
    f = &r->frames[index_in(r, p)];
    assert(f->refs > 0);
    if (--f->refs == 0) {
        r->free += 1ul << f->order;
        free_block(r, p, f->order);
    }
}

uint64_t frame_number(phys_t p)
{
    const struct frame_range *r = range_of(p);

    return r->first + index_in(r, p);
}

uint64_t frame_numbers(void)
{
    const struct frame_range *r = &ranges[nr_ranges];

    return nr_ranges == 0 ? 0 : r[-1].first + ((r[-1].end - r[-1].start) >> PAGE_SHIFT);
}

struct frame_stats frame_stats(void)
{
    struct frame_stats s = {.failed = failed};

    for (unsigned i = 0; i < nr_ranges; i++) {
        s.total += ranges[i].total;
        s.free += ranges[i].free;
    }
    return s;
}

void frame_set_reclaim(uint64_t (*reclaim)(unsigned order))
{
    reclaim_fn = reclaim;
}
