/*
 * UDP output without routing, ARP and header building: servers answer the same few clients, so the
 * last destination's headers are kept, as a template with partial checksums. A template holds
 * while the socket's address and options are the same (udp_flow_forget()), the interface is up with
 * the same address, and the ARP table has not changed; the table counts a change every second,
 * so that an entry in use is seen to be in use.
 *
 * The packet is built in a netbuf: room for the device's header, the 42 bytes of headers, the
 * data, in one piece. Called by inet_udp.c in a thread.
 */
#include "net/udp_flow.h"

#include "net/ethif.h"
#include "net/inet_dgram.h"

#include "lwip/etharp.h"
#include "lwip/prot/ip4.h"
#include "lwip/prot/udp.h"

#define DATA_AT   (NETBUF_HEAD + 64u) /* of the block; the headers end here */
#define IP_AT     ETH_HLEN
#define UDP_AT    (ETH_HLEN + IP_HLEN)
#define DATA_MAX  (NETBUF_SIZE - DATA_AT)
#define CSUM_OFF  6 /* of the UDP checksum in its header */

/* Unfragmented packets need no unique identification (RFC 6864 §4.1); ours differ all the same. */
static u16_t next_id;

static __always_inline u16_t fold(u32_t s)
{
    s = (s >> 16) + (s & 0xffff);
    return (u16_t)((s >> 16) + s);
}

static u32_t sum16(const void *p, size_t n)
{
    const u8_t *b = p;
    u32_t s = 0;

    for (size_t i = 0; i < n; i += 2)
        s += (u32_t)b[i] | (u32_t)b[i + 1] << 8;
    return s;
}

void udp_flow_learn(struct dgram_sock *d, const struct sock_msg *m, const struct dgram_dest *to)
{
    struct udp_flow *f = &d->flow;
    struct netif *netif = to->netif;
    u8_t *h = f->headers;
    struct ip_hdr *ip = (struct ip_hdr *)(h + IP_AT);
    struct udp_hdr *udp = (struct udp_hdr *)(h + UDP_AT);
    u32_t src, dst;

    udp_flow_forget(f);
    if (!m->addr || m->addr->len != 16 || m->addr->family != AF_INET || m->control_len ||
        !IP_IS_V4_VAL(to->ip) || !IP_IS_V4_VAL(to->src) || ip_addr_ismulticast(&to->ip) ||
        net_is_lo(netif) || !(netif->offload & NETIF_OFFLOAD_TX_CSUM))
        return;
    src = ip_2_ip4(&to->src)->addr;
    dst = ip_2_ip4(&to->ip)->addr;
    if (src != netif_ip4_addr(netif)->addr || dst == src ||
        !ethif_next_hop(netif, dst, h, &f->generation))
        return;
    memset(ip, 0, IP_HLEN + UDP_HLEN);
    IPH_VHL_SET(ip, 4, IP_HLEN / 4);
    IPH_TOS_SET(ip, to->tos);
    IPH_TTL_SET(ip, to->ttl);
    IPH_PROTO_SET(ip, IP_PROTO_UDP);
    memcpy(&ip->src, &src, sizeof(src));
    memcpy(&ip->dest, &dst, sizeof(dst));
    udp->src = lwip_htons(d->in.bind_port);
    udp->dest = lwip_htons(to->port);
    f->netif = netif;
    f->src = src;
    f->ip_sum = sum16(ip, IP_HLEN);
    f->pseudo_sum = sum16(&ip->src, 8) + PP_HTONS(IP_PROTO_UDP);
    memcpy(&f->key, m->addr->bytes, sizeof(f->key));
}

static __always_inline bool usable(const struct dgram_sock *d, const struct sock_msg *m, size_t len)
{
    const struct udp_flow *f = &d->flow;
    uint64_t key;

    if (!m->addr || m->addr->len != 16)
        return false;
    __builtin_memcpy(&key, m->addr->bytes, sizeof(key));
    return key == f->key && key != 0 && f->generation == etharp_generation &&
           netif_ip4_addr(f->netif)->addr == f->src && netif_is_up(f->netif) &&
           len + IP_HLEN + UDP_HLEN <= f->netif->mtu;
}

/* Length, identification and checksums of the packet at h. */
static __always_inline void finish_headers(const struct udp_flow *f, u8_t *h, size_t len)
{
    struct ip_hdr *ip = (struct ip_hdr *)(h + IP_AT);
    struct udp_hdr *udp = (struct udp_hdr *)(h + UDP_AT);
    u16_t ip_len = lwip_htons((u16_t)(len + IP_HLEN + UDP_HLEN));
    u16_t udp_len = lwip_htons((u16_t)(len + UDP_HLEN)), id = next_id++;

    ip->_len = ip_len;
    ip->_id = id;
    ip->_chksum = (u16_t)~fold(f->ip_sum + ip_len + id);
    udp->len = udp_len;
    udp->chksum = fold(f->pseudo_sum + udp_len); /* the device adds the rest */
}

ssize_t udp_flow_send(struct dgram_sock *d, struct sock_msg *m)
{
    struct udp_flow *f = &d->flow;
    size_t len = m->it->count;
    u32_t uses = f->uses;
    struct netbuf *b;
    struct pbuf *p;
    u8_t *h;

    if (unlikely(!usable(d, m, len) || len > DATA_MAX || m->it->nr != 1 || m->it->kernel ||
                 m->control_len || m->flags & MSG_MORE || d->corked || netbuf_scarce()))
        return UDP_FLOW_MISS;
    b = netbuf_alloc();
    if (unlikely(!b))
        return UDP_FLOW_MISS;
    b->data = DATA_AT - UDP_FLOW_HEADERS;
    b->len = (uint16_t)(len + UDP_FLOW_HEADERS);
    h = (u8_t *)b + DATA_AT - UDP_FLOW_HEADERS;
    if (len && unlikely(copy_from_iter(m->it, h + UDP_FLOW_HEADERS, len) != (ssize_t)len)) {
        netbuf_free(b);
        return -EFAULT;
    }
    /* If the copy slept, the template may have been dropped, or made for another destination. */
    if (unlikely(f->generation != etharp_generation || f->uses != uses)) {
        netbuf_free(b);
        goto rewind;
    }
    __builtin_memcpy(h, f->headers, UDP_FLOW_HEADERS);
    finish_headers(f, h, len);
    p = ethif_pbuf(b);
    p->l4_len = (u16_t)(len + UDP_HLEN);
    p->csum_off = CSUM_OFF;
    if (likely(ethif_transmit(f->netif, p) == ERR_OK)) {
        UDP_STATS_INC(udp.xmit);
        return (ssize_t)len;
    }
rewind: /* the long way knows how to wait */
    m->it->off -= len;
    m->it->count += len;
    return UDP_FLOW_MISS;
}
