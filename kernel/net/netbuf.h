/*
 * Receive buffers: blocks of 2 KiB that hold a packet, or a part of one, behind a header of one
 * cache line. A NIC's ring is filled with them and hands them on as they are; whoever gets one
 * owns it until netbuf_free(). lwIP keeps its pbuf in the header, so that a packet costs no
 * second allocation and no second cache line.
 *
 * All blocks together are bounded (netbuf_limit, a share of memory): a reader who does not read
 * cannot take the machine's memory, only, in the end, packets. Any context; never sleeps.
 */
#pragma once

#include "lib/base.h"

#define NETBUF_SIZE 2048u
#define NETBUF_HEAD 64u
#define NETBUF_ROOM (NETBUF_SIZE - NETBUF_HEAD)

struct netbuf {
    _Alignas(8) uint8_t owner[40]; /* whoever holds it; lwIP: struct pbuf_custom */
    struct netbuf *next; /* the rest of the packet; or a queue's or the free list's next */
    uint16_t data;       /* offset of the packet's first byte from the start of the block */
    uint16_t len;        /* bytes of the packet here */
    uint16_t l3;         /* offset of the IP header, set by the Ethernet input */
    uint8_t flags;       /* NETBUF_* */
    uint8_t nbufs;       /* of the packet, in its first block */
    uint32_t total;      /* bytes of the packet, in its first block */
    uint32_t port;       /* UDP source port, set by the socket that queues it */
};
_Static_assert(sizeof(struct netbuf) == NETBUF_HEAD, "one cache line");

#define NETBUF_CSUM_OK                                                                             \
    1u /* the device has verified the TCP or UDP checksum, or it was never on a wire */

struct netbuf_stats {
    uint64_t blocks;  /* made so far */
    uint64_t in_use;  /* not on the free list */
    uint64_t refused; /* allocations over the limit or without memory */
};
extern struct netbuf_stats netbuf_stats;
extern uint64_t netbuf_limit, netbuf_many; /* blocks; from when on netbuf_scarce() */

#ifdef WHERRY_HOST_TEST
/* On the host each block is an allocation of its own, which a sanitizer can watch (tests/fuzz). */
struct netbuf *netbuf_host_alloc(void);
void netbuf_host_free(struct netbuf *b);
#define netbuf_alloc netbuf_host_alloc
#define netbuf_free  netbuf_host_free
#else
/* Free blocks: the last freed ones in an array, so that blocks come and go without a look into
 * them; more of them in a list. */
#define NETBUF_CACHE 512u
struct netbuf_cache {
    unsigned n;
    struct netbuf *block[NETBUF_CACHE];
};
extern struct netbuf_cache netbuf_cache;

/* Sets the limit; once, before the first allocation. */
void netbuf_init(void);
bool netbuf_refill(void);
/* Tries to have n blocks at hand. */
void netbuf_stock(unsigned n);
void netbuf_spill(struct netbuf *b);

/* NULL when there is none. Its content is undefined. */
static __always_inline struct netbuf *netbuf_alloc(void)
{
    if (unlikely(netbuf_cache.n == 0) && !netbuf_refill())
        return NULL;
    netbuf_stats.in_use++;
    return netbuf_cache.block[--netbuf_cache.n];
}

static __always_inline void netbuf_free(struct netbuf *b)
{
    netbuf_stats.in_use--;
    if (likely(netbuf_cache.n < NETBUF_CACHE))
        netbuf_cache.block[netbuf_cache.n++] = b;
    else
        netbuf_spill(b);
}
#endif

/* Frees a packet: b and what follows it. */
static inline void netbuf_free_packet(struct netbuf *b)
{
    while (b != NULL) {
        struct netbuf *next = b->next;
        netbuf_free(b);
        b = next;
    }
}

/* So many are in use that holders should copy small packets out of them. */
static __always_inline bool netbuf_scarce(void)
{
    return unlikely(netbuf_stats.in_use > netbuf_many);
}
