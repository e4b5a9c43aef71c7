/*
 * Ethernet interfaces: lwIP on a struct netdev (net/ethif.c).
 */
#pragma once

#include "lib/base.h"

#include "net/netbuf.h"

#include "lwip/err.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"

struct netdev;

/* Makes an interface of a device, down and without addresses. 0 or -ENOMEM. */
int ethif_attach(struct netdev *d);
/* The pbuf of a netbuf that starts a packet of its own, for the sockets. */
struct pbuf *ethif_pbuf(struct netbuf *b);
/* Is p a netbuf's pbuf? */
bool ethif_is_netbuf(const struct pbuf *p);
/* Queues a whole frame of one piece with room for the device's header in front (p->l4_len etc. say
 * what the device does with checksums); takes over p in any case. ERR_MEM: the device is full. */
err_t ethif_transmit(struct netif *netif, struct pbuf *p);
/* The Ethernet header for an IPv4 address, if a packet went there recently; it holds as long as
 * etharp_generation is *generation. */
bool ethif_next_hop(struct netif *netif, u32_t ip, u8_t *header, u32_t *generation);
/*
 * TCP over IPv4 without lwIP's IP output: puts the IP and the Ethernet header in front of a segment
 * (payload at its TCP header, all but the checksum filled in), has the device make the checksum,
 * and queues it; p stays the caller's. False: the next hop is not known, or the packet not of the
 * kind; untouched. *r is as of netif->linkoutput().
 */
struct ethif_tcp4 {
    u32_t src, dst; /* network order */
    u8_t tos, ttl;
};
bool ethif_output_tcp4(struct netif *netif, struct pbuf *p, const struct ethif_tcp4 *t, err_t *r);
/* Tells lwIP what to check of the packet that it gets next: each says for itself whether its TCP or
 * UDP checksum is known to be good. */
static inline void ethif_checks(struct netif *netif, bool csum_ok)
{
    netif->chksum_flags =
        csum_ok ? NETIF_CHECKSUM_ENABLE_ALL & ~(NETIF_CHECKSUM_CHECK_TCP | NETIF_CHECKSUM_CHECK_UDP)
                : NETIF_CHECKSUM_ENABLE_ALL;
}
/* Takes completed transmissions back on all interfaces. */
void ethif_reclaim(void);

/* pbuf_free() of a netbuf's pbuf, without detours when it is all there is and nobody else's. */
static __always_inline void ethif_free_netbuf(struct netbuf *b)
{
    struct pbuf *p = (struct pbuf *)b->owner;

    if (likely(p->ref == 1 && p->next == NULL))
        netbuf_free(b);
    else
        pbuf_free(p);
}
