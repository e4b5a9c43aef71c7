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
struct wherry_packet;

/* Somebody of the kernel's own who is shown what comes in before the stack is, and takes what is
 * theirs (net/peer.h). NULL: nobody. */
extern bool (*ethif_divert)(struct netdev *d, struct netbuf *b);

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
/*
 * The same for UDP, in two steps, of which the second serves many frames. A datagram of len bytes,
 * from its UDP header on, lies in a netbuf, with NETDEV_HEADROOM and ETHIF_IP4_ROOM before it: the
 * headers are put there, and the part of the checksum that the device completes. False: for the
 * above reasons.
 */
#define ETHIF_IP4_ROOM (ETH_HLEN + 20u)
bool ethif_frame_udp4(struct netif *netif, u8_t *udp, u16_t len, const struct ethif_ip4 *t);
/* Queues such frames (to be marked with ETHIF_UDP4_CSUM): how many; they are the device's. The
 * rest, for which it has no room, stay the caller's. */
#define ETHIF_UDP4_CSUM .flags = WHERRY_CSUM_TODO, .csum_start = ETHIF_IP4_ROOM, .csum_off = 6
unsigned ethif_output_frames(struct netif *netif, const struct wherry_packet *p, unsigned n);
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

/* What a netbuf's pbuf calls in the end. */
void ethif_pbuf_free(struct pbuf *p);

/* The pbuf of one netbuf, tot_len as for the last of a chain. */
static __always_inline struct pbuf *ethif_pbuf_of(struct netbuf *b, u8_t if_idx)
{
    struct pbuf_custom *c = (struct pbuf_custom *)b->owner;
    struct pbuf *p = &c->pbuf;
    p->next = NULL;
    p->payload = (u8_t *)b + b->data;
    p->len = p->tot_len = b->len;
    /* data follows the header in the same block: headers can be put in front again */
    p->type_internal = (u8_t)PBUF_RAM;
    p->flags = PBUF_FLAG_IS_CUSTOM;
    p->ref = 1;
    p->if_idx = if_idx;
    LWIP_PBUF_CUSTOM_DATA_INIT(p);
    c->custom_free_function = ethif_pbuf_free;
    return p;
}

/* pbuf_free() of a netbuf's pbuf, without detours when it is all there is and nobody else's. */
static __always_inline void ethif_free_netbuf(struct netbuf *b)
{
    struct pbuf *p = (struct pbuf *)b->owner;

    if (likely(p->ref == 1 && p->next == NULL))
        netbuf_free(b);
    else
        pbuf_free(p);
}
