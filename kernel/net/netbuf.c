/*
 * Receive buffers: see netbuf.h. Blocks come from the frame allocator in chunks and stay ours.
 */
#include "net/netbuf.h"

#include "mm/frame.h"
#include "mm/layout.h"

#define CHUNK_ORDER 3 /* 32 KiB: 16 blocks */
#define SHARE       8 /* of the machine's memory, at most one part in so many */
#define MIN_BLOCKS  512u
#define MAX_BLOCKS  (64u * 1024)

struct netbuf_stats netbuf_stats;
uint64_t netbuf_limit = MIN_BLOCKS, netbuf_many = MIN_BLOCKS / 4 * 3;
struct netbuf_cache netbuf_cache;
static struct netbuf *spilled;

void netbuf_init(void)
{
    uint64_t share = frame_stats().total * PAGE_SIZE / SHARE / NETBUF_SIZE;
    netbuf_limit = MIN(MAX(share, (uint64_t)MIN_BLOCKS), (uint64_t)MAX_BLOCKS);
    netbuf_many = netbuf_limit / 4 * 3;
}

void netbuf_spill(struct netbuf *b)
{
    b->next = spilled;
    spilled = b;
}

static void refill_from_list(void)
{
    while (spilled != NULL && netbuf_cache.n < NETBUF_CACHE / 2) {
        netbuf_cache.block[netbuf_cache.n++] = spilled;
        spilled = spilled->next;
    }
}

/* Makes some more. False: there is no memory, or they are as many as they may be. */
static bool grow(void)
{
    phys_t p = 0;
    unsigned order = CHUNK_ORDER;

    if (netbuf_stats.blocks < netbuf_limit) {
        while ((p = frame_alloc(order)) == 0 && order > 0)
            order--;
    }
    if (p == 0) {
        netbuf_stats.refused++;
        return false;
    }
    uint8_t *mem = phys_to_virt(p);
    for (size_t off = 0; off < PAGE_SIZE << order; off += NETBUF_SIZE) {
        struct netbuf *b = (struct netbuf *)(mem + off);
        memset(b, 0, sizeof(*b));
        netbuf_cache.block[netbuf_cache.n++] = b;
        netbuf_stats.blocks++;
    }
    return true;
}

/* Puts blocks into the empty cache. False: there are none. */
bool netbuf_refill(void)
{
    refill_from_list();
    return netbuf_cache.n > 0 || grow();
}

void netbuf_stock(unsigned n)
{
    assert(n <= NETBUF_CACHE / 2);
    refill_from_list();
    while (netbuf_cache.n < n && grow())
        ;
}
