/*
 * Ethernet interfaces: lwIP on a struct netdev (net/ethif.c).
 */
#pragma once

#include "lib/base.h"

#include "net/netbuf.h"

#include <linux/if_ether.h>

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
/*
 * TCP over IPv4 without lwIP's IP output: puts the IP and the Ethernet header in front of a segment
 * (payload at its TCP header, all but the checksum filled in), has the device make the checksum,
 * and queues it; p stays the caller's. False: the next hop's address is not known, or the packet
 * not of the kind; untouched. *r is as of netif->linkoutput().
 */
struct ethif_ip4 {
    u32_t src, dst; /* network order */
    u8_t tos, ttl;
};
bool ethif_output_tcp4(struct netif *netif, struct pbuf *p, const struct ethif_ip4 *t, err_t *r);
/* The same for UDP: b is a datagram in one block from its UDP header on, with NETDEV_HEADROOM and
 * ETHIF_IP4_ROOM before it, and is taken over. ERR_RTE: it is not, for the above reasons; else as
 * netif->linkoutput(). */
#define ETHIF_IP4_ROOM (ETH_HLEN + 20u)
err_t ethif_output_udp4(struct netif *netif, struct netbuf *b, const struct ethif_ip4 *t);
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
