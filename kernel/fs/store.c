/*
 * Sparse file content (store.h).
 */
#include "fs/store.h"

#include "drivers/blkdev.h"
#include "mm/frame.h"
#include "mm/layout.h"
#include "lib/list.h"
#include "mm/slab.h"
#include "mm/vma.h"

#include <asm/errno.h>

#define FANOUT_SHIFT 6
#define FANOUT       (1u << FANOUT_SHIFT)
#define FANOUT_MASK  (FANOUT - 1)
#define SLOT_EMPTY   0u
#define SLOT_HOLE    UINT32_MAX /* a page of the backing that became zeroes */

struct leaf {
    uint32_t slot[FANOUT]; /* frame numbers: physical memory up to 16 TiB */
};

/* Pages read from disk at a time: start-up code and libraries are used in runs. */
#define READ_PAGES 16
/* But only while so many frames are free. */
#define READ_AHEAD_ABOVE 128u
/* Frames that reclaim looks for at a time. */
#define RECLAIM_PAGES 32u

struct inner {
    void *child[FANOUT];
};

/* ---- The radix tree ------------------------------------------------------------------------ */

static uint64_t tree_capacity(const struct page_store *ps)
{
    unsigned bits = ps->height * FANOUT_SHIFT;
    return ps->root == NULL ? 0 : bits >= 64 ? UINT64_MAX : 1ull << bits;
}

static uint32_t slot_value(const struct page_store *ps, uint64_t i)
{
    if (i >= tree_capacity(ps))
        return SLOT_EMPTY;
    const void *node = ps->root;
    for (unsigned level = ps->height - 1; level > 0; level--) {
        node = ((const struct inner *)node)->child[i >> (level * FANOUT_SHIFT) & FANOUT_MASK];
        if (node == NULL)
            return SLOT_EMPTY;
    }
    return ((const struct leaf *)node)->slot[i & FANOUT_MASK];
}

/* The slot of page i, with the nodes above it; NULL: out of memory. */
static uint32_t *slot_make(struct page_store *ps, uint64_t i)
{
    if (ps->root == NULL) {
        ps->root = kzalloc(sizeof(struct leaf));
        if (ps->root == NULL)
            return NULL;
        ps->height = 1;
    }
    while (i >= tree_capacity(ps)) {
        struct inner *top = kzalloc(sizeof(*top));
        if (top == NULL)
            return NULL;
        top->child[0] = ps->root;
        ps->root = top;
        ps->height++;
    }
    void *node = ps->root;
    for (unsigned level = ps->height - 1; level > 0; level--) {
        void **child = &((struct inner *)node)->child[i >> (level * FANOUT_SHIFT) & FANOUT_MASK];
        if (*child == NULL) {
            *child = kzalloc(level == 1 ? sizeof(struct leaf) : sizeof(struct inner));
            if (*child == NULL)
                return NULL;
        }
        node = *child;
    }
    return &((struct leaf *)node)->slot[i & FANOUT_MASK];
}

static void slot_drop(struct page_store *ps, uint32_t *slot)
{
    if (*slot != SLOT_EMPTY && *slot != SLOT_HOLE) {
        frame_put((phys_t)*slot << PAGE_SHIFT);
        ps->frames--;
    }
    *slot = SLOT_EMPTY;
}

/* Clears all slots >= first below node, which starts at page base. True: the node is empty now
 * and was freed. */
static bool tree_cut(struct page_store *ps, void *node, unsigned level, uint64_t base,
                     uint64_t first)
{
    bool empty = true;
    if (level == 0) {
        struct leaf *l = node;
        for (unsigned k = 0; k < FANOUT; k++) {
            if (base + k >= first)
                slot_drop(ps, &l->slot[k]);
            else if (l->slot[k] != SLOT_EMPTY)
                empty = false;
        }
    } else {
        struct inner *n = node;
        uint64_t span = 1ull << (level * FANOUT_SHIFT);
        for (unsigned k = 0; k < FANOUT; k++) {
            if (n->child[k] == NULL)
                continue;
            uint64_t start = base + k * span;
            if (start + span - 1 < first || !tree_cut(ps, n->child[k], level - 1, start, first))
                empty = false;
            else
                n->child[k] = NULL;
        }
    }
    if (empty)
        kfree(node);
    return empty;
}

/* ---- The backing --------------------------------------------------------------------------- */

static bool aligned(const struct page_store *ps)
{
    return (ps->backing & (PAGE_SIZE - 1)) == 0;
}

static uint64_t backing_pages(const struct page_store *ps)
{
    return (ps->backing_len + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

static bool in_backing(const struct page_store *ps, uint64_t i)
{
    return i < backing_pages(ps) && slot_value(ps, i) == SLOT_EMPTY;
}

/*
 * Page i, which was in the backing, no longer is: its slot is set, or it was the last one and is
 * being cut off (cut). Drops the frames that no other page of this file needs.
 */
static void backing_gone(struct page_store *ps, uint64_t i, bool cut)
{
    phys_t first = (ps->backing & PAGE_MASK) + i * PAGE_SIZE;
    if (ps->disk != NULL)
        return; /* it never had a frame */
    if (aligned(ps)) {
        frame_put(first);
        return;
    }
    if (i == 0 || !in_backing(ps, i - 1))
        frame_put(first);
    if (ps->backing + ps->backing_len > first + PAGE_SIZE && (cut || !in_backing(ps, i + 1)))
        frame_put(first + PAGE_SIZE);
}

/* Shortens the backing to its first count pages. */
static void backing_cut(struct page_store *ps, uint64_t count)
{
    for (uint64_t pages = backing_pages(ps); pages > count; pages--) {
        uint64_t last = pages - 1;
        if (in_backing(ps, last))
            backing_gone(ps, last, true);
        ps->backing_len = last * PAGE_SIZE;
    }
}

void store_init(struct page_store *ps, phys_t backing, uint64_t len)
{
    *ps = (struct page_store){.backing = backing, .backing_len = len};
}

/* ---- A backing on disk ----------------------------------------------------------------------- */

struct store_disk {
    struct blkdev *dev;
    struct page_store *ps;
    struct list link; /* in disks */
    uint64_t hand;    /* the page at which reclaim goes on */
};

/* Of every store with a backing on disk; reclaim goes on with the first. */
static struct list disks = LIST_INIT(disks);

struct store_stats store_stats;

/* Drops up to max clean pages that nobody else refers to, from the hand to the end. */
static uint64_t drop_clean(struct store_disk *d, uint64_t max)
{
    struct page_store *ps = d->ps;
    uint64_t dropped = 0, pages = MIN(backing_pages(ps), tree_capacity(ps));
    for (; d->hand < pages && dropped < max; d->hand++) {
        uint32_t v = slot_value(ps, d->hand);
        if (v == SLOT_EMPTY || v == SLOT_HOLE)
            continue;
        const struct frame *f = frame_of((phys_t)v << PAGE_SHIFT);
        if (f->refs == 1 && (f->flags & FRAME_CLEAN)) {
            slot_drop(ps, slot_make(ps, d->hand)); /* it exists: nothing is allocated */
            dropped++;
        }
    }
    if (d->hand >= pages)
        d->hand = 0;
    return dropped;
}

static uint64_t drop_clean_anywhere(uint64_t max)
{
    uint64_t dropped = 0;
    struct list *last = disks.prev;
    for (struct list *l = disks.next; l != &disks && dropped < max; l = disks.next) {
        struct store_disk *d = container_of(l, struct store_disk, link);
        dropped += drop_clean(d, max - dropped);
        if (d->hand != 0)
            break; /* there may be more in it */
        list_remove(l);
        list_push_back(&disks, l);
        if (l == last)
            break;
    }
    return dropped;
}

/* For the frame allocator: clean pages go that nobody has mapped; if there are none, such as are
 * mapped but were not used of late. */
static uint64_t reclaim(unsigned order)
{
    uint64_t dropped = drop_clean_anywhere(RECLAIM_PAGES);
    if (dropped == 0 && vma_unmap_clean(RECLAIM_PAGES) > 0)
        dropped = drop_clean_anywhere(RECLAIM_PAGES);
    store_stats.reclaimed += dropped;
    return dropped;
}

int store_init_disk(struct page_store *ps, struct blkdev *disk, uint64_t off, uint64_t len)
{
    struct store_disk *d = kmalloc(sizeof(*d));
    if (d == NULL)
        return -ENOMEM;
    *ps = (struct page_store){.backing = off, .backing_len = len, .disk = d};
    *d = (struct store_disk){.dev = disk, .ps = ps};
    list_push_back(&disks, &d->link);
    frame_set_reclaim(reclaim);
    return 0;
}

/* Frames for the pages from i on that are to be read together; how many. */
static unsigned take_frames(const struct page_store *ps, uint64_t i, phys_t *frames)
{
    /* Pages that may be wanted next must not drive out others that are wanted now. */
    unsigned n = 0, most = frame_stats().free > READ_AHEAD_ABOVE ? READ_PAGES : 1;
    while (n < most && in_backing(ps, i + n)) {
        frames[n] = frame_alloc(0);
        if (frames[n] == 0)
            break;
        n++;
    }
    return n;
}

int store_bring_slow(struct page_store *ps, uint64_t i)
{
    phys_t frames[READ_PAGES];
    unsigned n = take_frames(ps, i, frames);
    if (n == 0)
        return in_backing(ps, i) ? -ENOMEM : 0;
    struct blkdev *dev = ps->disk->dev;
    int err = dev->transfer(dev, false, ps->backing + i * PAGE_SIZE, frames, n);
    frame_get(frames[0]); /* lest it is reclaimed while the others are installed */
    for (unsigned k = 0; k < n; k++) {
        uint64_t off = (i + k) * PAGE_SIZE;
        int bad = err;
        /* Somebody else may have brought, written or cut the page while we slept. */
        bool wanted = bad == 0 && in_backing(ps, i + k);
        if (wanted) {
            if (ps->backing_len - off < PAGE_SIZE)
                memset((char *)phys_to_virt(frames[k]) + (ps->backing_len - off), 0,
                       PAGE_SIZE - (ps->backing_len - off));
            frame_of(frames[k])->flags |= FRAME_CLEAN;
            bad = store_install(ps, i + k, frames[k]);
        }
        if (!wanted || bad < 0)
            frame_put(frames[k]);
        else
            store_stats.brought++;
        if (k == 0)
            err = bad;
    }
    frame_put(frames[0]);
    return err;
}

/* ---- Pages --------------------------------------------------------------------------------- */

phys_t store_peek(const struct page_store *ps, uint64_t i)
{
    uint32_t v = slot_value(ps, i);
    if (v == SLOT_HOLE)
        return 0;
    if (v != SLOT_EMPTY)
        return (phys_t)v << PAGE_SHIFT;
    return i < backing_pages(ps) && aligned(ps) && ps->disk == NULL ? ps->backing + i * PAGE_SIZE
                                                                    : 0;
}

int store_install(struct page_store *ps, uint64_t i, phys_t frame)
{
    uint32_t *slot = slot_make(ps, i);
    if (slot == NULL)
        return -ENOMEM;
    bool was_backed = *slot == SLOT_EMPTY && i < backing_pages(ps);
    assert(*slot == SLOT_EMPTY || *slot == SLOT_HOLE);
    *slot = (uint32_t)(frame >> PAGE_SHIFT);
    ps->frames++;
    if (was_backed)
        backing_gone(ps, i, false);
    return 0;
}

phys_t store_get(struct page_store *ps, uint64_t i)
{
    phys_t frame = store_peek(ps, i);
    if (likely(frame != 0))
        return frame;
    if (ps->disk != NULL) {
        if (store_bring_slow(ps, i) < 0)
            return 0;
        frame = store_peek(ps, i);
        if (frame != 0 || in_backing(ps, i))
            return frame;
    }
    frame = frame_alloc(0);
    if (frame == 0)
        return 0;
    uint8_t *mem = phys_to_virt(frame);
    size_t have = 0;
    if (in_backing(ps, i)) {
        uint64_t off = i * PAGE_SIZE;
        have = MIN(ps->backing_len - off, PAGE_SIZE);
        memcpy(mem, phys_to_virt(ps->backing + off), have);
    }
    memset(mem + have, 0, PAGE_SIZE - have);
    if (store_install(ps, i, frame) < 0) {
        frame_put(frame);
        return 0;
    }
    return frame;
}

const void *store_run(const struct page_store *ps, uint64_t off, size_t max, size_t *n)
{
    if (ps->root == NULL && off < ps->backing_len && ps->disk == NULL) {
        *n = MIN(max, ps->backing_len - off);
        return phys_to_virt(ps->backing + off);
    }
    uint64_t i = off >> PAGE_SHIFT;
    size_t in_page = off & (PAGE_SIZE - 1);
    *n = MIN(max, PAGE_SIZE - in_page);
    phys_t frame = store_peek(ps, i);
    if (frame != 0)
        return (const char *)phys_to_virt(frame) + in_page;
    if (off < ps->backing_len && slot_value(ps, i) == SLOT_EMPTY && ps->disk == NULL) {
        *n = MIN(*n, ps->backing_len - off);
        return phys_to_virt(ps->backing + off);
    }
    return NULL;
}

int store_zero(struct page_store *ps, uint64_t off, size_t n)
{
    uint64_t i = off >> PAGE_SHIFT;
    phys_t frame = store_peek(ps, i);
    if (frame == 0) {
        if (!in_backing(ps, i))
            return 0;
        frame = store_get(ps, i);
        if (frame == 0)
            return -ENOMEM;
    }
    store_dirty(frame);
    memset((char *)phys_to_virt(frame) + (off & (PAGE_SIZE - 1)), 0, n);
    return 0;
}

void store_cut(struct page_store *ps, uint64_t first)
{
    /* Before the slots go: they say which pages have left the backing. */
    backing_cut(ps, first);
    if (ps->root != NULL && first < tree_capacity(ps) &&
        tree_cut(ps, ps->root, ps->height - 1, 0, first)) {
        ps->root = NULL;
        ps->height = 0;
    }
    if (ps->disk != NULL && ps->backing_len == 0) {
        list_remove(&ps->disk->link);
        kfree(ps->disk);
        ps->disk = NULL;
    }
}

int store_punch(struct page_store *ps, uint64_t first, uint64_t last)
{
    for (uint64_t i = store_next(ps, first, last, true); i < last;
         i = store_next(ps, i + 1, last, true)) {
        phys_t frame = store_peek(ps, i);
        if (frame != 0 && frame_of(frame)->refs > 1) {
            store_dirty(frame);
            memset(phys_to_virt(frame), 0, PAGE_SIZE);
            continue;
        }
        bool backed = in_backing(ps, i);
        uint32_t *slot = slot_make(ps, i);
        if (slot == NULL)
            return -ENOMEM;
        slot_drop(ps, slot);
        if (i < backing_pages(ps))
            *slot = SLOT_HOLE;
        if (backed)
            backing_gone(ps, i, false);
    }
    return 0;
}

uint64_t store_next(const struct page_store *ps, uint64_t i, uint64_t end, bool data)
{
    while (i < end) {
        uint32_t v = slot_value(ps, i);
        bool is_data = v == SLOT_EMPTY ? i < backing_pages(ps) : v != SLOT_HOLE;
        if (is_data == data)
            return i;
        /* Behind everything that could hold data, the rest is one hole. */
        if (data && i >= backing_pages(ps) && i >= tree_capacity(ps))
            return end;
        i++;
    }
    return end;
}

uint64_t store_count(const struct page_store *ps)
{
    /* Pages that left the backing are counted by their slots; holes in it are too few to matter
     * for st_blocks, but must not be counted twice. */
    uint64_t backed = 0;
    if (ps->root == NULL)
        return backing_pages(ps);
    for (uint64_t i = 0; i < backing_pages(ps); i++)
        backed += in_backing(ps, i);
    return ps->frames + backed;
}
